/**
 * mremap(2): a mapping gets another length, and perhaps another place.
 *
 * Moving takes the page words along, so no byte is copied and no count changes. A long move goes in steps
 * under a claim: what is to move and how far it has come stands in the space (moveFirst and so on),
 * and the next call of the same task carries on whatever its arguments say. Between two steps the part that
 * has moved is at its new place, the rest at its old one, and the new mapping covers the full length.
 */

import { LEAF_INDEX_BITS, PAGE_SIZE } from "../../base/hart-abi.ts";
import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { copyMapping, endMove, endStep, lockForChange, MORE, Step, unmapStep } from "./change.ts";
import { movedHome } from "./home.ts";
import { insertMapping, mappingAt, resizeMapping } from "./mapping-tree.ts";
import { mayLock } from "./locked.ts";
import { checkLimit, findFree, overlaps } from "./mmap.ts";
import { isSingle, nextLeaf, ownPageWord, PAGE_PRESENT, pageWordAt, setPage } from "./page-table.ts";
import { AddressSpace, Mapping, MAPPING, PAGE_LIMIT, PAGE_MIN, type PageNumber } from "./records.ts";

export const MREMAP = { MAYMOVE: 1, FIXED: 2 } as const;

export interface RemapRequest {
  readonly address: number;
  readonly oldLength: number;
  readonly newLength: number;
  readonly flags: number;
  /** With MREMAP.FIXED. */
  readonly newAddress: number;
  /** RLIMIT_AS in bytes. */
  readonly limit: number;
  /** As mmap's: pages that may be locked. */
  readonly lockLimit?: () => number;
}

/** Remaps, and returns the address; or MORE. */
export function mremap(tx: Transaction, space: AddressSpace, request: RemapRequest, owner: number): number {
  const { flags } = request;
  const fixed = (flags & MREMAP.FIXED) !== 0;
  if ((flags & ~(MREMAP.MAYMOVE | MREMAP.FIXED)) !== 0) throw errno.EINVAL;
  if (fixed && (flags & MREMAP.MAYMOVE) === 0) throw errno.EINVAL;
  if (request.address % PAGE_SIZE !== 0 || request.newLength === 0) throw errno.EINVAL;
  const first = request.address / PAGE_SIZE;
  const oldPages = Math.ceil(request.oldLength / PAGE_SIZE);
  const pages = Math.ceil(request.newLength / PAGE_SIZE);
  if (!(first + oldPages <= PAGE_LIMIT && pages <= PAGE_LIMIT)) throw errno.EINVAL;
  lockForChange(tx, space, owner);
  const step = new Step(space);
  if (AddressSpace.moveEnd.get(tx, space) !== 0) return moveStep(tx, step, owner);

  if (fixed) {
    const target = request.newAddress / PAGE_SIZE;
    if (request.newAddress % PAGE_SIZE !== 0 || target < PAGE_MIN || !(target + pages <= PAGE_LIMIT))
      throw errno.EINVAL;
    if (target < first + oldPages && first < target + pages) throw errno.EINVAL;
    wholeMapping(tx, space, first, Math.min(oldPages, pages));
    if (overlaps(tx, space, target, target + pages) && !unmapStep(tx, step, target, target + pages)) {
      return endStep(tx, step, owner, MORE);
    }
    if (pages < oldPages && !unmapStep(tx, step, first + pages, first + oldPages))
      return endStep(tx, step, owner, MORE);
    // What was unmapped may have locked other files than the one that moves.
    if (step.backing !== 0) return endStep(tx, step, owner, MORE);
    return beginMove(tx, step, first, Math.min(oldPages, pages), target, pages, request, owner);
  }
  if (pages <= oldPages) {
    if (mappingAt(tx, space, first) === 0) throw errno.EFAULT;
    const done = pages === oldPages || unmapStep(tx, step, first + pages, first + oldPages);
    return endStep(tx, step, owner, done ? request.address : MORE);
  }
  const mapping = wholeMapping(tx, space, first, oldPages);
  if (oldPages === 0) throw errno.EINVAL;
  const end = first + oldPages;
  if (
    Mapping.end.get(tx, mapping) === end &&
    first + pages <= PAGE_LIMIT &&
    !overlaps(tx, space, end, first + pages)
  ) {
    checkGrowth(tx, space, mapping, pages - oldPages, request);
    resizeMapping(tx, space, mapping, Mapping.first.get(tx, mapping), first + pages);
    return endStep(tx, step, owner, request.address);
  }
  if ((flags & MREMAP.MAYMOVE) === 0) throw errno.ENOMEM;
  return beginMove(tx, step, first, oldPages, findFree(tx, space, 0, pages), pages, request, owner);
}

/** Throws ENOMEM, or EAGAIN for a mapping that is locked, unless it may grow by `pages`. */
function checkGrowth(
  tx: Transaction,
  space: AddressSpace,
  mapping: Mapping,
  pages: number,
  { limit, lockLimit }: RemapRequest,
): void {
  const locked = (Mapping.flags.get(tx, mapping) & MAPPING.LOCKED) !== 0;
  if (locked && pages > 0 && !mayLock(tx, space, pages, lockLimit)) throw errno.EAGAIN;
  checkLimit(tx, space, pages, limit);
}

/** The mapping that contains the whole range. Throws EFAULT if none does. */
function wholeMapping(tx: Transaction, space: AddressSpace, first: PageNumber, pages: number): Mapping {
  const mapping = mappingAt(tx, space, first);
  if (mapping === 0 || Mapping.end.get(tx, mapping) < first + pages) throw errno.EFAULT;
  return mapping;
}

/** Makes the mapping at the target, which is free, and moves the first pages there. */
function beginMove(
  tx: Transaction,
  step: Step,
  first: PageNumber,
  oldPages: number,
  target: PageNumber,
  pages: number,
  request: RemapRequest,
  owner: number,
): number {
  const { space } = step;
  const mapping = wholeMapping(tx, space, first, oldPages);
  checkGrowth(tx, space, mapping, pages - oldPages, request);
  step.touch(tx, mapping);
  const copy = copyMapping(tx, space, mapping);
  const skipped = first - Mapping.first.get(tx, mapping);
  Mapping.filePage.init(tx, copy, (Mapping.filePage.get(tx, copy) + skipped) >>> 0);
  Mapping.first.init(tx, copy, target);
  Mapping.end.init(tx, copy, target + pages);
  Mapping.home.init(tx, copy, movedHome(Mapping.home.get(tx, mapping), target - first));
  Mapping.flags.init(tx, copy, Mapping.flags.get(tx, mapping) & ~MAPPING.BREAK);
  insertMapping(tx, space, copy);
  AddressSpace.moveFirst.set(tx, space, first);
  AddressSpace.moveEnd.set(tx, space, first + oldPages);
  AddressSpace.moveCursor.set(tx, space, first);
  AddressSpace.moveTarget.set(tx, space, target);
  return moveStep(tx, step, owner);
}

/** Leaf tables that one step of a move may make. */
const LEAVES_IN_STEP = 24;

/** Moves pages as far as the step goes; when all have moved, unmaps the old range. */
function moveStep(tx: Transaction, step: Step, owner: number): number {
  const { space } = step;
  const root = AddressSpace.root.get(tx, space);
  const first = AddressSpace.moveFirst.get(tx, space);
  const end = AddressSpace.moveEnd.get(tx, space);
  const target = AddressSpace.moveTarget.get(tx, space);
  const shift = target - first;
  const single = isSingle(tx, space);
  const m = tx.memory;
  let leaves = LEAVES_IN_STEP;
  let page = nextLeaf(tx, root, AddressSpace.moveCursor.get(tx, space), end);
  moving: for (; page < end; page = nextLeaf(tx, root, page, end)) {
    if (leaves-- === 0) break;
    const last = Math.min(end, ((page >>> LEAF_INDEX_BITS) + 1) << LEAF_INDEX_BITS);
    let at = pageWordAt(tx, root, page);
    for (; page < last; page++, at++) {
      const word = m[at]!;
      if ((word & PAGE_PRESENT) === 0) continue;
      if (step.pages === 0) break moving;
      step.pages--;
      step.take(setPage(tx, at, page, 0, false));
      setPage(tx, ownPageWord(tx, space, page + shift), page + shift, word, single);
    }
  }
  AddressSpace.moveCursor.set(tx, space, page);
  // When everything has moved, what is left of the old range is its mapping.
  if (page < end || !unmapStep(tx, step, first, end)) return endStep(tx, step, owner, MORE);
  endMove(tx, space);
  return endStep(tx, step, owner, target * PAGE_SIZE);
}
