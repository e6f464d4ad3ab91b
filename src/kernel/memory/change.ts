/**
 * Changing the mappings of an address space: what mmap, munmap, mprotect, mremap, brk, madvise, fork and exit
 * have in common.
 *
 * ## Steps (rule R3)
 *
 * An operation that may concern many pages or several files works in steps. Each call is one transaction's
 * worth: it returns MORE when it has to be called again, with the same arguments, after a commit. What is
 * done so far stands in the mappings themselves, so nothing is done twice. Bounds of one step: STEP_PAGES
 * pages (three stores each), MAPPING_STEPS mappings, and one file or shared object whose references change:
 * locks of one rank are taken by rising address, and giving up a file may call its server, whose locks come
 * last.
 *
 * ## Claims (rule R4)
 *
 * While an operation goes on over several transactions, the space is claimed for its task: a change by
 * another thread waits until the claim is free. Faults need no claim, except when they would grow a stack.
 * The claim is taken with the first MORE and given up with the last step. If the task ends in between,
 * `dropClaim` frees it: whatever was done is a consistent state, as if the call had been interrupted.
 */

import { assert } from "../../base/assert.ts";
import { Errno, errno } from "../../base/errno.ts";
import { LEAF_ENTRIES, LEAF_INDEX_BITS } from "../../base/hart-abi.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../condition.ts";
import { dropFile, holdFile } from "../file.ts";
import { waitFor } from "../request.ts";
import { BATCH, Batches } from "./frames.ts";
import { memoryLayout } from "./layout.ts";
import { insertMapping, mappingFrom, removeMapping, resizeMapping } from "./mapping-tree.ts";
import {
  frameOf,
  isSingle,
  leafNumber,
  nextLeaf,
  PAGE_PRESENT,
  pageWordAt,
  rootWord,
  setPage,
  TAKEN,
} from "./page-table.ts";
import { AddressSpace, Mapping, MAPPINGS_MAX, type PageNumber, STEP_PAGES } from "./records.ts";
import { beginTaking, noteTaken } from "./safepoint.ts";
import { dropSharedObject, holdSharedObject } from "./shared-object.ts";

/** Returned by an operation that goes on in the next transaction. */
export const MORE = -1;

/** Mappings that one step may remove, split or copy. */
export const MAPPING_STEPS = 24;

/** Takes the space's lock for a change of its mappings by `owner`; waits while another task has the claim. */
export function lockForChange(tx: Transaction, space: AddressSpace, owner: number): void {
  AddressSpace.lock.acquire(tx, space);
  const claim = AddressSpace.claim.get(tx, space);
  if (claim !== 0 && claim !== owner) throw waitFor(tx, AddressSpace.claimFree.at(space));
}

/** Keeps others from changing the mappings until `dropClaim`. The caller has `lockForChange`d. */
export function claimSpace(tx: Transaction, space: AddressSpace, owner: number): void {
  if (AddressSpace.claim.get(tx, space) !== owner) AddressSpace.claim.set(tx, space, owner);
}

/** Gives up the claim of `owner`, if it has one. */
export function dropClaim(tx: Transaction, space: AddressSpace, owner: number): void {
  AddressSpace.lock.acquire(tx, space);
  if (AddressSpace.claim.get(tx, space) !== owner) return;
  AddressSpace.claim.set(tx, space, 0);
  endMove(tx, space);
  signalCondition(tx, AddressSpace.claimFree.at(space));
}

/** Forgets the move under way, if any: what has moved has moved. */
export function endMove(tx: Transaction, space: AddressSpace): void {
  if (AddressSpace.moveEnd.get(tx, space) === 0) return;
  AddressSpace.moveFirst.set(tx, space, 0);
  AddressSpace.moveEnd.set(tx, space, 0);
  AddressSpace.moveCursor.set(tx, space, 0);
  AddressSpace.moveTarget.set(tx, space, 0);
}

/**
 * Runs a change that works in steps to its end, committing between the steps, and returns what it gives. If
 * it fails on the way, what is done stays done and the claim is given up. To be called with an open
 * transaction that holds nothing but what the change itself needs; the last step is left to the caller to
 * commit. A WOULD_BLOCK passes through: run it again with the same arguments.
 */
export function runChange(tx: Transaction, space: AddressSpace, owner: number, change: () => number): number {
  try {
    for (;;) {
      const result = change();
      if (result !== MORE) return result;
      tx.commit();
    }
  } catch (error) {
    if (!(error instanceof Errno) || AddressSpace.claim.get(tx, space) !== owner) throw error;
    tx.rollback();
    dropClaim(tx, space, owner);
    tx.commit();
    throw error;
  }
}

/** What one transaction of a change has used up and collected. */
export class Step {
  readonly space: AddressSpace;
  /** Pages that may still be changed. */
  pages: number = STEP_PAGES;
  /** Mappings that may still be changed. */
  mappings: number = MAPPING_STEPS;
  /** The file or shared object whose references this transaction has changed. */
  backing = 0;
  /** What was allowed and is not any more: TAKEN, 0 if nothing. */
  taken = 0;
  resident = 0;
  readonly frames: Batches = new Batches();
  readonly leaves: Batches = new Batches(BATCH.leaves);

  constructor(space: AddressSpace) {
    this.space = space;
  }

  /** Whether this transaction may change the references to what is behind `mapping`. */
  mayTouch(tx: Transaction, mapping: Mapping): boolean {
    const backing = backingOf(tx, mapping);
    return backing === 0 || this.backing === 0 || this.backing === backing;
  }

  /** Notes that it does. */
  touch(tx: Transaction, mapping: Mapping): void {
    this.backing ||= backingOf(tx, mapping);
  }

  /** Notes what setPage has taken away. */
  take(taken: number): void {
    this.taken |= taken;
  }

  /** Files what was collected. The last thing that the transaction does with the space. */
  finish(tx: Transaction): void {
    noteTaken(tx, this.space, this.taken);
    const ticket = this.taken !== 0 && !isSingle(tx, this.space) ? beginTaking(tx, this.space) : 0;
    this.frames.finish(tx, this.space, ticket);
    this.leaves.finish(tx, this.space, ticket);
    if (this.resident !== 0) AddressSpace.residentPages.add(tx, this.space, this.resident);
  }
}

/** The file or shared object behind a mapping, or 0. */
export function backingOf(tx: Transaction, mapping: Mapping): number {
  return Mapping.file.get(tx, mapping) || Mapping.object.get(tx, mapping);
}

/** Ends one step of a change by `owner`: files the step, and keeps or gives up the claim. */
export function endStep(tx: Transaction, step: Step, owner: number, result: number): number {
  step.finish(tx);
  if (result === MORE) claimSpace(tx, step.space, owner);
  else dropClaim(tx, step.space, owner);
  return result;
}

/**
 * Takes the present pages from `first` to `end` away, as far as the step's budget goes; returns the page
 * up to which that is done.
 */
export function zapPages(tx: Transaction, step: Step, first: PageNumber, end: PageNumber): PageNumber {
  const { space } = step;
  const root = AddressSpace.root.get(tx, space);
  const { framesFrom } = memoryLayout(tx);
  const m = tx.memory;
  for (let page = nextLeaf(tx, root, first, end); page < end; page = nextLeaf(tx, root, page, end)) {
    const last = Math.min(end, ((page >>> LEAF_INDEX_BITS) + 1) << LEAF_INDEX_BITS);
    let at = pageWordAt(tx, root, page);
    for (; page < last; page++, at++) {
      const word = m[at]!;
      if ((word & PAGE_PRESENT) === 0) continue;
      if (step.pages === 0) return page;
      step.pages--;
      step.take(setPage(tx, at, page, 0, false));
      const frame = frameOf(word);
      if (frame < framesFrom) continue;
      step.frames.add(tx, frame);
      step.resident--;
    }
  }
  return end;
}

/** Gives back the leaf tables from `first` to `end` over which no mapping lies any more. */
export function freeLeaves(tx: Transaction, step: Step, first: PageNumber, end: PageNumber): void {
  const { space } = step;
  const root = AddressSpace.root.get(tx, space);
  const layout = memoryLayout(tx);
  for (let page = nextLeaf(tx, root, first, end); page < end; page = nextLeaf(tx, root, page, end)) {
    const base = (page >>> LEAF_INDEX_BITS) << LEAF_INDEX_BITS;
    const mapping = mappingFrom(tx, space, base);
    if (mapping === 0 || Mapping.first.get(tx, mapping) >= base + LEAF_ENTRIES) {
      if (step.mappings === 0) return;
      step.mappings--;
      const at = rootWord(root, page);
      step.leaves.add(tx, leafNumber(tx, tx.memory[at]! >>> 0));
      // Whoever still walks this leaf finds nothing allowed; it is not used again before the next safepoint.
      step.take(TAKEN.DATA);
      tx.storeMemory(at, layout.emptyLeaf | 0);
      AddressSpace.leafTables.add(tx, space, -1);
    }
    page = base + LEAF_ENTRIES;
  }
}

/** Cuts `mapping` in two at `page`, which lies inside; returns the upper part. */
export function splitMapping(tx: Transaction, step: Step, mapping: Mapping, page: PageNumber): Mapping {
  const { space } = step;
  const first = Mapping.first.get(tx, mapping);
  const end = Mapping.end.get(tx, mapping);
  assert(first < page && page < end, "split outside the mapping");
  step.touch(tx, mapping);
  const upper = copyMapping(tx, space, mapping);
  resizeMapping(tx, space, mapping, first, page);
  Mapping.first.init(tx, upper, page);
  Mapping.home.init(tx, upper, Mapping.home.get(tx, mapping));
  Mapping.filePage.init(tx, upper, (Mapping.filePage.get(tx, upper) + page - first) >>> 0);
  insertMapping(tx, space, upper);
  return upper;
}

/** A new mapping record like `mapping`, with references of its own, not yet entered in `space`. */
export function copyMapping(tx: Transaction, space: AddressSpace, mapping: Mapping): Mapping {
  if (AddressSpace.mappingCount.get(tx, space) >= MAPPINGS_MAX) throw errno.ENOMEM;
  const copy = Mapping.allocate(tx);
  Mapping.first.init(tx, copy, Mapping.first.get(tx, mapping));
  Mapping.end.init(tx, copy, Mapping.end.get(tx, mapping));
  Mapping.prot.init(tx, copy, Mapping.prot.get(tx, mapping));
  Mapping.flags.init(tx, copy, Mapping.flags.get(tx, mapping));
  Mapping.filePage.init(tx, copy, Mapping.filePage.get(tx, mapping));
  const file = Mapping.file.get(tx, mapping);
  if (file !== 0) holdFile(tx, file);
  Mapping.file.init(tx, copy, file);
  const object = Mapping.object.get(tx, mapping);
  if (object !== 0) holdSharedObject(tx, object);
  Mapping.object.init(tx, copy, object);
  return copy;
}

/** Takes out a mapping without pages, with its references; false if its object needs another step. */
export function dropMapping(tx: Transaction, step: Step, mapping: Mapping): boolean {
  step.touch(tx, mapping);
  const object = Mapping.object.get(tx, mapping);
  if (object !== 0) {
    const budget = step.pages;
    step.pages = 0;
    if (!dropSharedObject(tx, object, budget, step.frames)) return false;
  }
  removeMapping(tx, step.space, mapping);
  const file = Mapping.file.get(tx, mapping);
  Mapping.free(tx, mapping);
  if (file !== 0) dropFile(tx, file);
  step.mappings--;
  return true;
}

/**
 * Unmaps from `first` to `end`, one step of it; returns whether that is all. The caller has
 * `lockForChange`d and ends the step.
 */
export function unmapStep(tx: Transaction, step: Step, first: PageNumber, end: PageNumber): boolean {
  const { space } = step;
  for (;;) {
    let mapping = mappingFrom(tx, space, first);
    if (mapping === 0 || Mapping.first.get(tx, mapping) >= end) break;
    if (step.mappings <= 0 || !step.mayTouch(tx, mapping)) return false;
    const mappingFirst = Mapping.first.get(tx, mapping);
    const mappingEnd = Mapping.end.get(tx, mapping);
    const stop = Math.min(end, mappingEnd);
    if (mappingFirst < first) {
      if (mappingEnd <= end && stop - first <= step.pages) {
        zapPages(tx, step, first, stop);
        resizeMapping(tx, space, mapping, mappingFirst, first);
        step.mappings--;
        continue;
      }
      mapping = splitMapping(tx, step, mapping, first);
    }
    const reached = zapPages(tx, step, Mapping.first.get(tx, mapping), stop);
    if (reached < mappingEnd) {
      if (reached > Mapping.first.get(tx, mapping)) resizeMapping(tx, space, mapping, reached, mappingEnd);
      if (reached < stop) return false;
      step.mappings--;
      break;
    }
    if (!dropMapping(tx, step, mapping)) return false;
  }
  freeLeaves(tx, step, first, end);
  return true;
}
