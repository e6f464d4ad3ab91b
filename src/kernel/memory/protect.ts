/**
 * mprotect(2): new permissions for a range, in steps (change.ts). Pages that are there get new permission
 * bits and entries; a permission that goes is a taking-away (safepoint.ts), one that comes waits for the next
 * fault, or is there at once if the space has one task.
 */

import { LEAF_INDEX_BITS, PAGE_SIZE } from "../../base/hart-abi.ts";
import { errno, type Errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { backingOf, endStep, lockForChange, MORE, splitMapping, Step } from "./change.ts";
import { mappingAt, mappingBefore } from "./mapping-tree.ts";
import { joinWithNext } from "./mmap.ts";
import {
  isSingle,
  nextLeaf,
  PAGE_CLEAN,
  PAGE_COW,
  PAGE_FILE,
  PAGE_MOVING,
  PAGE_PRESENT,
  PAGE_STALE,
  PAGE_WRITE,
  pageFlags,
  pageWord,
  pageWordAt,
  frameOf,
  setPage,
} from "./page-table.ts";
import { AddressSpace, Mapping, MAPPING, PAGE_LIMIT, type PageNumber, PROT } from "./records.ts";

const PROT_SEM = 8;
const PROT_GROWSDOWN = 0x0100_0000;
const PROT_GROWSUP = 0x0200_0000;

/** Flags of a page that do not follow from its protection. */
const KEPT: number = PAGE_COW | PAGE_CLEAN | PAGE_MOVING | PAGE_FILE | PAGE_STALE;

/**
 * mprotect(2): 0, or MORE; a negative error number if only the part before a hole or a file that may not be
 * written was changed. Errors: EINVAL, ENOMEM (a hole at once, or too many mappings), EACCES.
 */
export function mprotect(
  tx: Transaction,
  space: AddressSpace,
  address: number,
  length: number,
  prot: number,
  owner: number,
): number {
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP) || address % PAGE_SIZE !== 0) throw errno.EINVAL;
  if ((prot & ~(PROT.READ | PROT.WRITE | PROT.EXEC | PROT_SEM | grows)) !== 0) throw errno.EINVAL;
  if (length === 0) return 0;
  const wanted = prot & (PROT.READ | PROT.WRITE | PROT.EXEC);
  let first = address / PAGE_SIZE;
  const end = first + Math.ceil(length / PAGE_SIZE);
  if (!(end <= PAGE_LIMIT)) throw errno.ENOMEM;
  lockForChange(tx, space, owner);
  if (grows !== 0) {
    const mapping = mappingAt(tx, space, first);
    if (mapping === 0) throw errno.ENOMEM;
    // No mapping grows upwards here.
    if ((Mapping.flags.get(tx, mapping) & MAPPING.GROWSDOWN) === 0 || grows === PROT_GROWSUP)
      throw errno.EINVAL;
    first = Mapping.first.get(tx, mapping);
  }
  const { stop: checked, failure } = checkRange(tx, space, first, end, wanted);
  if (checked === first && failure !== undefined) throw failure;
  const step = new Step(space);
  for (let page = first; page < checked; ) {
    let mapping = mappingAt(tx, space, page);
    if (Mapping.prot.get(tx, mapping) === wanted) {
      page = Mapping.end.get(tx, mapping);
      continue;
    }
    if (step.mappings <= 0 || step.pages <= 0 || !step.mayTouch(tx, mapping)) {
      return endStep(tx, step, owner, MORE);
    }
    step.mappings--;
    if (Mapping.first.get(tx, mapping) < page) mapping = splitMapping(tx, step, mapping, page);
    const stop = Math.min(checked, Mapping.end.get(tx, mapping));
    const reached = protectPages(tx, step, page, stop, wanted);
    if (reached === page) return endStep(tx, step, owner, MORE);
    if (reached < Mapping.end.get(tx, mapping)) splitMapping(tx, step, mapping, reached);
    Mapping.prot.set(tx, mapping, wanted);
    joinAround(tx, space, mapping);
    page = reached;
  }
  return endStep(tx, step, owner, failure === undefined ? 0 : -failure.code);
}

/**
 * How far the range may get these permissions: up to a hole (ENOMEM) or a file that may not be written
 * (EACCES). What comes before is changed all the same, as on Linux.
 */
function checkRange(
  tx: Transaction,
  space: AddressSpace,
  first: PageNumber,
  end: PageNumber,
  prot: number,
): { readonly stop: PageNumber; readonly failure: Errno | undefined } {
  for (let page = first; page < end; ) {
    const mapping = mappingAt(tx, space, page);
    if (mapping === 0) return { stop: page, failure: errno.ENOMEM };
    const flags = Mapping.flags.get(tx, mapping);
    if ((prot & PROT.WRITE) !== 0 && (flags & MAPPING.MAY_WRITE) === 0) {
      return { stop: page, failure: errno.EACCES };
    }
    page = Mapping.end.get(tx, mapping);
  }
  return { stop: end, failure: undefined };
}

/** Gives the present pages from `first` to `end` new permissions, as far as the step goes; see zapPages. */
function protectPages(
  tx: Transaction,
  step: Step,
  first: PageNumber,
  end: PageNumber,
  prot: number,
): PageNumber {
  const { space } = step;
  const root = AddressSpace.root.get(tx, space);
  const single = isSingle(tx, space);
  const permission = pageFlags(prot);
  const m = tx.memory;
  for (let page = nextLeaf(tx, root, first, end); page < end; page = nextLeaf(tx, root, page, end)) {
    const last = Math.min(end, ((page >>> LEAF_INDEX_BITS) + 1) << LEAF_INDEX_BITS);
    let at = pageWordAt(tx, root, page);
    for (; page < last; page++, at++) {
      const word = m[at]!;
      if ((word & PAGE_PRESENT) === 0) continue;
      if (step.pages === 0) return page;
      step.pages--;
      let flags = permission | (word & KEPT);
      if ((prot & PROT.WRITE) !== 0 && (word & (PAGE_COW | PAGE_CLEAN)) === 0) flags |= PAGE_WRITE;
      const value = pageWord(frameOf(word), flags);
      step.take(setPage(tx, at, page, value, single));
    }
  }
  return end;
}

/** Joins `mapping` with its neighbours, if all are private, anonymous and alike. */
export function joinAround(tx: Transaction, space: AddressSpace, mapping: Mapping): void {
  if (backingOf(tx, mapping) !== 0) return;
  joinWithNext(tx, space, mapping);
  const below = mappingBefore(tx, space, Mapping.first.get(tx, mapping));
  if (below !== 0 && Mapping.end.get(tx, below) === Mapping.first.get(tx, mapping))
    joinWithNext(tx, space, below);
}
