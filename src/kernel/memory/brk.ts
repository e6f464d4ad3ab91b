/** brk(2): the heap, one private anonymous mapping that begins at the first page behind the program's data. */

import { PAGE_SIZE, VA_LIMIT } from "../../base/hart-abi.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { errno } from "../../base/errno.ts";
import { endStep, lockForChange, MORE, Step, unmapStep } from "./change.ts";
import { checkLimit, insert, overlaps } from "./mmap.ts";
import { mayLock } from "./locked.ts";
import { AddressSpace, MAPPING, PROT } from "./records.ts";

/**
 * Moves the break to `address`, and returns the break as it is then: the old one if it cannot be moved, as on
 * Linux; or MORE. `dataLimit`: RLIMIT_DATA, `limit`: RLIMIT_AS, in bytes, Infinity for none. `lockLimit`: as mmap's.
 */
export function brk(
  tx: Transaction,
  space: AddressSpace,
  address: number,
  dataLimit: number,
  limit: number,
  owner: number,
  lockLimit?: () => number,
): number {
  lockForChange(tx, space, owner);
  const start = AddressSpace.breakStart.get(tx, space);
  const old = AddressSpace.break.get(tx, space);
  const step = new Step(space);
  if (!(address >= start && address < VA_LIMIT) || address - start > dataLimit) {
    return endStep(tx, step, owner, old);
  }
  const oldEnd = Math.ceil(old / PAGE_SIZE);
  const end = Math.ceil(address / PAGE_SIZE);
  if (end < oldEnd) {
    if (!unmapStep(tx, step, end, oldEnd)) return endStep(tx, step, owner, MORE);
  } else if (end > oldEnd) {
    // One page stays free above the heap.
    if (overlaps(tx, space, oldEnd, end + 1)) return endStep(tx, step, owner, old);
    try {
      checkLimit(tx, space, end - oldEnd, limit);
    } catch (error) {
      if (error !== errno.ENOMEM) throw error;
      return endStep(tx, step, owner, old);
    }
    const locked = AddressSpace.locksFuture.get(tx, space) !== 0;
    if (locked && !mayLock(tx, space, end - oldEnd, lockLimit)) return endStep(tx, step, owner, old);
    insert(tx, space, {
      first: oldEnd,
      pages: end - oldEnd,
      prot: PROT.READ | PROT.WRITE,
      flags: MAPPING.MAY_WRITE | MAPPING.BREAK | (locked ? MAPPING.LOCKED : 0),
      file: none(),
      filePage: 0,
    });
  }
  AddressSpace.break.set(tx, space, address);
  return endStep(tx, step, owner, address);
}
