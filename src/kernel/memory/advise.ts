/** madvise(2), msync(2) and mincore(2). */

import { PAGE_SIZE } from "../../base/hart-abi.ts";
import { type Errno, errno } from "../../base/errno.ts";
import type { HeapView } from "../../heap/heap.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { endStep, lockForChange, MORE, Step, zapPages } from "./change.ts";
import { mappingAt, mappingFrom } from "./mapping-tree.ts";
import { PAGE_PRESENT, readPage } from "./page-table.ts";
import { AddressSpace, Mapping, MAPPING, PAGE_LIMIT, type PageNumber } from "./records.ts";

export const MADV = {
  NORMAL: 0,
  RANDOM: 1,
  SEQUENTIAL: 2,
  WILLNEED: 3,
  DONTNEED: 4,
  FREE: 8,
  MERGEABLE: 12,
  UNMERGEABLE: 13,
  HUGEPAGE: 14,
  NOHUGEPAGE: 15,
  DONTDUMP: 16,
  DODUMP: 17,
  COLD: 20,
  PAGEOUT: 21,
} as const;

/** Hints that change nothing which a program could see. */
const HINTS: ReadonlySet<number> = new Set([
  MADV.NORMAL,
  MADV.RANDOM,
  MADV.SEQUENTIAL,
  MADV.WILLNEED,
  MADV.MERGEABLE,
  MADV.UNMERGEABLE,
  MADV.HUGEPAGE,
  MADV.NOHUGEPAGE,
  MADV.DONTDUMP,
  MADV.DODUMP,
  MADV.COLD,
  MADV.PAGEOUT,
]);

/** madvise(2): 0, or MORE. MADV_FREE gives the pages up at once, which it is allowed to. */
export function madvise(
  tx: Transaction,
  space: AddressSpace,
  address: number,
  length: number,
  advice: number,
  owner: number,
): number {
  const drops = advice === MADV.DONTNEED || advice === MADV.FREE;
  if (!drops && !HINTS.has(advice)) throw errno.EINVAL;
  const [first, end] = pageRange(address, length, errno.EINVAL);
  if (first === end) return 0;
  lockForChange(tx, space, owner);
  if (drops) {
    const step = new Step(space);
    for (let page = first; page < end; ) {
      const mapping = mappingFrom(tx, space, page);
      if (mapping === 0) break;
      const start = Math.max(page, Mapping.first.get(tx, mapping));
      if (start >= end) break;
      const stop = Math.min(end, Mapping.end.get(tx, mapping));
      const isPlain =
        (Mapping.flags.get(tx, mapping) & MAPPING.SHARED) === 0 && Mapping.file.get(tx, mapping) === 0;
      if (advice === MADV.FREE && !isPlain) throw errno.EINVAL;
      if (zapPages(tx, step, start, stop) < stop) return endStep(tx, step, owner, MORE);
      page = stop;
    }
    endStep(tx, step, owner, 0);
  }
  // A hole is reported, but what lies around it has been done.
  return isCovered(tx, space, first, end) ? 0 : HOLE;
}

/** Result of madvise for a range with a hole: ENOMEM for the caller, but the transaction is to be committed. */
export const HOLE = -12;

/** msync(2): the pages of shared mappings are the file's own, so there is nothing to be written back. */
export function msync(
  tx: Transaction,
  space: AddressSpace,
  address: number,
  length: number,
  flags: number,
): void {
  const MS_ASYNC = 1;
  const MS_INVALIDATE = 2;
  const MS_SYNC = 4;
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0) throw errno.EINVAL;
  if ((flags & MS_ASYNC) !== 0 && (flags & MS_SYNC) !== 0) throw errno.EINVAL;
  const [first, end] = pageRange(address, length, errno.ENOMEM);
  AddressSpace.lock.acquire(tx, space);
  if (!isCovered(tx, space, first, end)) throw errno.ENOMEM;
}

/**
 * mincore(2): whether each page of the range is resident, as `visit(page index in the range, resident)`.
 * Throws ENOMEM if the range has a hole.
 */
export function mincore(
  tx: Transaction,
  space: AddressSpace,
  address: number,
  length: number,
  visit: (index: number, resident: boolean) => void,
): void {
  const [first, end] = pageRange(address, length, errno.ENOMEM);
  AddressSpace.lock.acquire(tx, space);
  if (!isCovered(tx, space, first, end)) throw errno.ENOMEM;
  for (let page = first; page < end; page++) visit(page - first, isResident(tx, space, page));
}

/** Whether a page has a frame. */
export function isResident(view: HeapView, space: AddressSpace, page: PageNumber): boolean {
  return (readPage(view, AddressSpace.root.get(view, space), page) & PAGE_PRESENT) !== 0;
}

/** Whether mappings lie all over the range. */
export function isCovered(tx: Transaction, space: AddressSpace, first: PageNumber, end: PageNumber): boolean {
  for (let page = first; page < end; ) {
    const mapping = mappingAt(tx, space, page);
    if (mapping === 0) return false;
    page = Mapping.end.get(tx, mapping);
  }
  return true;
}

function pageRange(address: number, length: number, tooLong: Errno): [PageNumber, PageNumber] {
  if (address % PAGE_SIZE !== 0) throw errno.EINVAL;
  const first = address / PAGE_SIZE;
  const end = first + Math.ceil(length / PAGE_SIZE);
  if (!(end <= PAGE_LIMIT)) throw tooLong;
  return [first, end];
}
