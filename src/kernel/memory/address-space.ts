/**
 * Address spaces: how they begin, are shared, and end.
 *
 *     createSpace ──▶ in use (references ≥ 1) ──last releaseSpace──▶ dying (0) ──destroyStep…──▶ gone
 *
 * A space is referred to by its tasks; a fork or exec under way has the one reference of the space that it
 * builds. Who gives up the last reference runs destroyStep until it says true, one transaction each. What is
 * not done yet stands in the space itself, so whoever finds it dying may carry on; nobody else uses it.
 */

import { assert } from "../../base/assert.ts";
import type { HeapView } from "../../heap/heap.ts";
import { next, remove } from "../../heap/list.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { REDO } from "../../heap/layout.ts";
import { dropClaim, dropMapping, freeLeaves, Step, zapPages } from "./change.ts";
import { FrameBatch } from "./frames.ts";
import { mappingFrom } from "./mapping-tree.ts";
import { allocateRoot, freeRoot } from "./page-table.ts";
import { AddressSpace, Mapping, MMAP_BASE_DEFAULT, PAGE_LIMIT } from "./records.ts";
import type { PhysicalAddress } from "./layout.ts";
import { newCodeStamp, newEntryStamp } from "./safepoint.ts";

/** An empty address space with one reference, which is the caller's. Throws ENOMEM. */
export function createSpace(tx: Transaction): AddressSpace {
  const space = AddressSpace.allocate(tx);
  AddressSpace.references.init(tx, space, 1);
  AddressSpace.root.init(tx, space, allocateRoot(tx));
  AddressSpace.mmapBase.init(tx, space, MMAP_BASE_DEFAULT);
  AddressSpace.codeStamp.init(tx, space, newCodeStamp(tx));
  AddressSpace.entryStamp.init(tx, space, newEntryStamp(tx));
  return space;
}

/** Where the program loader has put things. */
export interface SpaceSetup {
  /** va where the program break begins; any alignment. */
  readonly breakStart: number;
  /** Mappings without an address go below this va; MMAP_BASE_DEFAULT if left out. */
  readonly mmapBase?: number;
}

/** Sets break and placement of a space that is being set up. */
export function setUpSpace(tx: Transaction, space: AddressSpace, setup: SpaceSetup): void {
  AddressSpace.lock.acquire(tx, space);
  AddressSpace.breakStart.set(tx, space, setup.breakStart);
  AddressSpace.break.set(tx, space, setup.breakStart);
  if (setup.mmapBase !== undefined) AddressSpace.mmapBase.set(tx, space, Math.floor(setup.mmapBase / 4096));
}

/** pa of the root table, for REG_ROOT. */
export function spaceRoot(view: HeapView, space: AddressSpace): PhysicalAddress {
  return AddressSpace.root.get(view, space);
}

/** One more task in the space (clone with CLONE_VM, vfork). */
export function holdSpace(tx: Transaction, space: AddressSpace): void {
  AddressSpace.lock.acquire(tx, space);
  const references = AddressSpace.references.get(tx, space);
  assert(references > 0, "reference to a dying address space");
  AddressSpace.references.set(tx, space, references + 1);
}

/**
 * One task less: `owner`, whose claim goes with it. True: it was the last, and the caller must see to it that
 * destroyStep is run to the end.
 */
export function releaseSpace(tx: Transaction, space: AddressSpace, owner = 0): boolean {
  AddressSpace.lock.acquire(tx, space);
  if (owner !== 0) dropClaim(tx, space, owner);
  const references = AddressSpace.references.get(tx, space) - 1;
  assert(references >= 0, "address space released twice");
  AddressSpace.references.set(tx, space, references);
  return references === 0;
}

/** Takes a dying space apart, one transaction's worth; true when it is gone. */
export function destroyStep(tx: Transaction, space: AddressSpace): boolean {
  AddressSpace.lock.acquire(tx, space);
  assert(AddressSpace.references.get(tx, space) === 0, "destroying an address space in use");
  const step = new Step(space);
  const done = takeApart(tx, step);
  // Nobody runs in the space any more, so nobody has to notice.
  step.taken = 0;
  step.finish(tx);
  if (!done || !freeWaiting(tx, space)) return false;
  freeRoot(tx, AddressSpace.root.get(tx, space));
  AddressSpace.free(tx, space);
  return true;
}

function takeApart(tx: Transaction, step: Step): boolean {
  const { space } = step;
  for (;;) {
    const mapping = mappingFrom(tx, space, 0);
    if (mapping === 0) break;
    if (step.mappings <= 0 || !step.mayTouch(tx, mapping)) return false;
    const first = Mapping.first.get(tx, mapping);
    const end = Mapping.end.get(tx, mapping);
    if (zapPages(tx, step, first, end) < end) return false;
    if (!dropMapping(tx, step, mapping)) return false;
    freeLeaves(tx, step, first, end);
  }
  if (AddressSpace.leafTables.get(tx, space) === 0) return true;
  // Leaves that earlier steps had no room to free.
  step.mappings = LEAVES_AT_ONCE;
  freeLeaves(tx, step, 0, PAGE_LIMIT);
  return AddressSpace.leafTables.get(tx, space) === 0;
}
const LEAVES_AT_ONCE = 40;

/** Frees what waited for safepoints in a space that nobody is in any more. */
function freeWaiting(tx: Transaction, space: AddressSpace): boolean {
  for (let batch = AddressSpace.pending.first(tx, space), count = 0; batch !== 0; count++) {
    if (count === BATCHES_AT_ONCE) return false;
    const after = next(tx, FrameBatch.links, batch);
    remove(tx, AddressSpace.pending, space, FrameBatch.links, batch);
    tx.afterCommit(REDO.frames, batch);
    batch = after;
  }
  return true;
}
const BATCHES_AT_ONCE = 32;

/** What a process's memory amounts to, in pages. */
export function spaceUsage(
  view: HeapView,
  space: AddressSpace,
): {
  readonly virtual: number;
  readonly resident: number;
  readonly tables: number;
  readonly mappings: number;
} {
  return {
    virtual: AddressSpace.virtualPages.get(view, space),
    resident: AddressSpace.residentPages.get(view, space),
    tables: AddressSpace.leafTables.get(view, space),
    mappings: AddressSpace.mappingCount.get(view, space),
  };
}
