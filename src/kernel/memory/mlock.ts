/**
 * mlock(2) and its kin. Nothing is ever swapped out; what locking does is to bring pages in, which is the caller's,
 * and to count against RLIMIT_MEMLOCK. A locked range is a flag of its mappings, which are split at its ends; a fork
 * copies none of it, as on Linux.
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { endStep, lockForChange, MORE, splitMapping, Step } from "./change.ts";
import { lockedPages } from "./locked.ts";
import { mappingAt, mappingFrom } from "./mapping-tree.ts";
import { joinAround } from "./protect.ts";
import { type AddressSpace, Mapping, MAPPING, type PageNumber } from "./records.ts";

/**
 * Locks or unlocks whole pages from `first` to `end`; 0, or MORE. Holes are passed over; the caller has looked for
 * them. `limit`: pages that may be locked, ENOMEM beyond.
 */
export function setLocked(
  tx: Transaction,
  space: AddressSpace,
  first: PageNumber,
  end: PageNumber,
  locked: boolean,
  limit: number,
  owner: number,
): number {
  lockForChange(tx, space, owner);
  const step = new Step(space);
  if (locked && lockedPages(tx, space) + (end - first) - lockedPages(tx, space, first, end) > limit)
    throw errno.ENOMEM;
  for (let page = first; page < end; ) {
    let mapping = mappingFrom(tx, space, page);
    if (mapping === 0 || Mapping.first.get(tx, mapping) >= end) break;
    const stop = Mapping.end.get(tx, mapping);
    const flags = Mapping.flags.get(tx, mapping);
    const wanted = locked ? flags | MAPPING.LOCKED : flags & ~MAPPING.LOCKED;
    if (flags !== wanted) {
      if (step.mappings <= 0 || !step.mayTouch(tx, mapping)) return endStep(tx, step, owner, MORE);
      step.mappings--;
      if (Mapping.first.get(tx, mapping) < page) mapping = splitMapping(tx, step, mapping, page);
      if (stop > end) splitMapping(tx, step, mapping, end);
      Mapping.flags.set(tx, mapping, wanted);
      joinAround(tx, space, mapping);
    }
    page = stop;
  }
  return endStep(tx, step, owner, 0);
}

/** Throws ENOMEM unless mappings cover the whole range (mlock(2)). */
export function needMapped(tx: Transaction, space: AddressSpace, first: PageNumber, end: PageNumber): void {
  for (let page = first; page < end; ) {
    const mapping = mappingAt(tx, space, page);
    if (mapping === 0) throw errno.ENOMEM;
    page = Mapping.end.get(tx, mapping);
  }
}
