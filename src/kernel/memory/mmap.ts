/**
 * mmap(2) and munmap(2), and the search for free addresses.
 *
 * Placement without MAP_FIXED follows Linux: the hint if that range is free, else the highest free range
 * below the space's mmapBase, else the lowest above it.
 */

import { assert } from "../../base/assert.ts";
import { PAGE_SIZE, VA_LIMIT } from "../../base/hart-abi.ts";
import { errno } from "../../base/errno.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File, holdFile, kindOf } from "../file.ts";
import { backingOf, endStep, lockForChange, MORE, Step, unmapStep } from "./change.ts";
import { insertMapping, mappingBefore, mappingFrom, resizeMapping, removeMapping } from "./mapping-tree.ts";
import {
  AddressSpace,
  Mapping,
  MAPPING,
  MAPPINGS_MAX,
  PAGE_LIMIT,
  PAGE_MIN,
  type PageNumber,
  PROT,
  STACK_GUARD_PAGES,
} from "./records.ts";
import { mayLock } from "./locked.ts";
import { createSharedObject } from "./shared-object.ts";

/** Flags of mmap(2) on Linux riscv64. */
export const MAP = {
  SHARED: 0x01,
  PRIVATE: 0x02,
  SHARED_VALIDATE: 0x03,
  TYPE: 0x0f,
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  GROWSDOWN: 0x100,
  DENYWRITE: 0x800,
  EXECUTABLE: 0x1000,
  LOCKED: 0x2000,
  NORESERVE: 0x4000,
  POPULATE: 0x8000,
  NONBLOCK: 0x10000,
  STACK: 0x20000,
  HUGETLB: 0x40000,
  SYNC: 0x80000,
  FIXED_NOREPLACE: 0x100000,
} as const;

/** What MAP_SHARED_VALIDATE knows. */
const MAP_KNOWN: number =
  MAP.TYPE |
  MAP.FIXED |
  MAP.ANONYMOUS |
  MAP.GROWSDOWN |
  MAP.DENYWRITE |
  MAP.EXECUTABLE |
  MAP.LOCKED |
  MAP.NORESERVE |
  MAP.POPULATE |
  MAP.NONBLOCK |
  MAP.STACK |
  MAP.HUGETLB |
  MAP.FIXED_NOREPLACE;

const O_ACCMODE = 3;
const O_WRONLY = 1;
const O_RDWR = 2;

export interface MapRequest {
  /** Hint, or the address with MAP.FIXED. */
  readonly address: number;
  readonly length: number;
  readonly prot: number;
  readonly flags: number;
  /** The file to map, `none()` for anonymous memory; the mapping takes a reference of its own. */
  readonly file: File;
  /** Offset in the file, bytes. */
  readonly offset: number;
  /** RLIMIT_AS in bytes, Infinity for none. */
  readonly limit: number;
  /** Pages that may be locked (RLIMIT_MEMLOCK); asked only if these are to be. Absent: no limit. */
  readonly lockLimit?: () => number;
}

/**
 * Maps, and returns the address; or MORE (change.ts). `owner` is the task that asks. Populating (MAP.POPULATE)
 * is the caller's, with faultIn. Errors as mmap(2).
 */
export function mmap(tx: Transaction, space: AddressSpace, request: MapRequest, owner: number): number {
  const { flags, file } = request;
  const fixed = (flags & (MAP.FIXED | MAP.FIXED_NOREPLACE)) !== 0;
  const anonymous = (flags & MAP.ANONYMOUS) !== 0;
  const type = flags & MAP.TYPE;
  if (request.offset % PAGE_SIZE !== 0) throw errno.EINVAL;
  if (!anonymous && file === 0) throw errno.EBADF;
  if (request.length === 0) throw errno.EINVAL;
  const pages = Math.ceil(request.length / PAGE_SIZE);
  if (!(pages <= PAGE_LIMIT - PAGE_MIN)) throw errno.ENOMEM;
  if (request.offset / PAGE_SIZE + pages > 2 ** 32) throw errno.EOVERFLOW;
  if (fixed && request.address % PAGE_SIZE !== 0) throw errno.EINVAL;
  if ((flags & MAP.HUGETLB) !== 0) throw errno.ENOMEM;

  lockForChange(tx, space, owner);
  const step = new Step(space);
  let first: PageNumber;
  if (fixed) {
    first = request.address / PAGE_SIZE;
    if (!(first + pages <= PAGE_LIMIT)) throw errno.ENOMEM;
    if (first < PAGE_MIN) throw errno.EPERM;
    if ((flags & MAP.FIXED_NOREPLACE) !== 0 && overlaps(tx, space, first, first + pages)) throw errno.EEXIST;
  } else {
    first = findFree(tx, space, Math.floor(request.address / PAGE_SIZE), pages);
  }

  let mapped = 0;
  if (type === MAP.SHARED || type === MAP.SHARED_VALIDATE) {
    if (type === MAP.SHARED_VALIDATE && (flags & ~MAP_KNOWN) !== 0) throw errno.EOPNOTSUPP;
    if ((flags & MAP.GROWSDOWN) !== 0) throw errno.EINVAL;
    mapped |= MAPPING.SHARED;
  } else if (type === MAP.PRIVATE) mapped |= MAPPING.MAY_WRITE;
  else throw errno.EINVAL;
  if (anonymous) mapped |= MAPPING.MAY_WRITE;
  else mapped |= fileFlags(tx, file, request.prot, type);
  if ((flags & MAP.GROWSDOWN) !== 0) mapped |= MAPPING.GROWSDOWN;
  if ((flags & MAP.NORESERVE) !== 0) mapped |= MAPPING.NORESERVE;
  if ((flags & MAP.STACK) !== 0) mapped |= MAPPING.STACK;
  if ((flags & MAP.LOCKED) !== 0 || AddressSpace.locksFuture.get(tx, space) !== 0) {
    mapped |= MAPPING.LOCKED;
    if (!mayLock(tx, space, pages, request.lockLimit)) throw errno.EAGAIN;
  }

  if (fixed && overlaps(tx, space, first, first + pages)) {
    const unmapped = unmapStep(tx, step, first, first + pages);
    const locksFile = !anonymous && step.backing !== 0 && step.backing !== file;
    if (!unmapped || locksFile) return endStep(tx, step, owner, MORE);
  }
  checkLimit(tx, space, pages, request.limit);
  insert(tx, space, {
    first,
    pages,
    prot: request.prot & (PROT.READ | PROT.WRITE | PROT.EXEC),
    flags: mapped,
    file: anonymous ? none() : file,
    filePage: request.offset / PAGE_SIZE,
  });
  return endStep(tx, step, owner, first * PAGE_SIZE);
}

/** Maps the page at `address` of a new space, of which nobody else knows, as the trampoline. */
export function mapTrampoline(tx: Transaction, space: AddressSpace, address: number): void {
  AddressSpace.lock.acquire(tx, space);
  const first = address / PAGE_SIZE;
  assert(!overlaps(tx, space, first, first + 1), "the trampoline's page is taken");
  insert(tx, space, {
    first,
    pages: 1,
    prot: PROT.READ | PROT.EXEC,
    flags: MAPPING.MAY_WRITE | MAPPING.TRAMPOLINE,
    file: none(),
    filePage: 0,
  });
}

/** MAY_WRITE if the file may be mapped writable; throws if it cannot be mapped as asked. */
function fileFlags(tx: Transaction, file: File, prot: number, type: number): number {
  const access = File.flags.get(tx, file) & O_ACCMODE;
  const writable = access === O_RDWR || access === O_WRONLY;
  if (access === O_WRONLY) throw errno.EACCES;
  if (type !== MAP.PRIVATE && (prot & PROT.WRITE) !== 0 && !writable) throw errno.EACCES;
  const kind = kindOf(tx, file);
  if (kind.page === undefined) throw errno.ENODEV;
  if (type !== MAP.PRIVATE && writable && kind.deniesSharedWriting?.(tx, file) === true) {
    if ((prot & PROT.WRITE) !== 0) throw errno.EPERM;
    return 0;
  }
  return type === MAP.PRIVATE || writable ? MAPPING.MAY_WRITE : 0;
}

interface NewMapping {
  readonly first: PageNumber;
  readonly pages: number;
  readonly prot: number;
  readonly flags: number;
  readonly file: File;
  readonly filePage: number;
}

/** Enters a mapping in a free range, or makes a neighbour longer that is just like it. */
export function insert(tx: Transaction, space: AddressSpace, request: NewMapping): void {
  const { first, flags } = request;
  const end = first + request.pages;
  const shared = (flags & MAPPING.SHARED) !== 0;
  if (request.file === 0 && !shared) {
    const below = mappingBefore(tx, space, first);
    if (below !== 0 && Mapping.end.get(tx, below) === first && isPlain(tx, below, request)) {
      resizeMapping(tx, space, below, Mapping.first.get(tx, below), end);
      joinWithNext(tx, space, below);
      return;
    }
    const above = mappingFrom(tx, space, first);
    if (above !== 0 && Mapping.first.get(tx, above) === end && isPlain(tx, above, request)) {
      resizeMapping(tx, space, above, first, Mapping.end.get(tx, above));
      return;
    }
  }
  if (AddressSpace.mappingCount.get(tx, space) >= MAPPINGS_MAX) throw errno.ENOMEM;
  const mapping = Mapping.allocate(tx);
  Mapping.first.init(tx, mapping, first);
  Mapping.end.init(tx, mapping, end);
  Mapping.prot.init(tx, mapping, request.prot);
  Mapping.flags.init(tx, mapping, flags);
  if (request.file !== 0) {
    holdFile(tx, request.file);
    Mapping.file.init(tx, mapping, request.file);
    Mapping.filePage.init(tx, mapping, request.filePage);
  } else if (shared) {
    Mapping.object.init(tx, mapping, createSharedObject(tx));
  }
  insertMapping(tx, space, mapping);
}

/** Whether `mapping` is private anonymous memory like the one asked for. */
function isPlain(
  tx: Transaction,
  mapping: Mapping,
  like: { readonly prot: number; readonly flags: number },
): boolean {
  return (
    backingOf(tx, mapping) === 0 &&
    Mapping.prot.get(tx, mapping) === like.prot &&
    Mapping.flags.get(tx, mapping) === like.flags &&
    (like.flags & (MAPPING.SHARED | MAPPING.GROWSDOWN)) === 0
  );
}

/** Makes one mapping of `mapping` and the one after it, if both are private, anonymous and alike. */
export function joinWithNext(tx: Transaction, space: AddressSpace, mapping: Mapping): void {
  const end = Mapping.end.get(tx, mapping);
  const above = mappingFrom(tx, space, end);
  if (above === 0 || Mapping.first.get(tx, above) !== end || backingOf(tx, mapping) !== 0) return;
  const like = { prot: Mapping.prot.get(tx, mapping), flags: Mapping.flags.get(tx, mapping) };
  if (!isPlain(tx, above, like)) return;
  const aboveEnd = Mapping.end.get(tx, above);
  if (Mapping.home.get(tx, mapping) === 0) Mapping.home.set(tx, mapping, Mapping.home.get(tx, above));
  removeMapping(tx, space, above);
  Mapping.free(tx, above);
  resizeMapping(tx, space, mapping, Mapping.first.get(tx, mapping), aboveEnd);
}

/** Throws ENOMEM if `pages` more would exceed RLIMIT_AS. */
export function checkLimit(tx: Transaction, space: AddressSpace, pages: number, limit: number): void {
  if ((AddressSpace.virtualPages.get(tx, space) + pages) * PAGE_SIZE > limit) throw errno.ENOMEM;
}

/** Whether a mapping lies anywhere from `first` to `end`. */
export function overlaps(tx: Transaction, space: AddressSpace, first: PageNumber, end: PageNumber): boolean {
  const mapping = mappingFrom(tx, space, first);
  return mapping !== 0 && Mapping.first.get(tx, mapping) < end;
}

/** First page of a free range of `pages` pages: at `hint` if that is free. Throws ENOMEM. */
export function findFree(tx: Transaction, space: AddressSpace, hint: PageNumber, pages: number): PageNumber {
  if (hint !== 0 && hint + pages <= PAGE_LIMIT) {
    const at = Math.max(hint, PAGE_MIN);
    const above = mappingFrom(tx, space, at);
    if (above === 0 || at + pages <= guardedFirst(tx, above)) return at;
  }
  const base = AddressSpace.mmapBase.get(tx, space);
  // Downwards from the base: `top` is where the free range under consideration ends.
  let above = mappingFrom(tx, space, base);
  let top = above !== 0 ? Math.min(base, guardedFirst(tx, above)) : base;
  for (;;) {
    const below = mappingBefore(tx, space, above !== 0 ? Mapping.first.get(tx, above) : PAGE_LIMIT);
    const bottom = below !== 0 ? Mapping.end.get(tx, below) : PAGE_MIN;
    if (top - pages >= Math.max(bottom, PAGE_MIN)) return top - pages;
    if (below === 0) break;
    above = below;
    top = Math.min(top, guardedFirst(tx, below));
  }
  let bottom = base;
  for (;;) {
    const next = mappingFrom(tx, space, bottom);
    const end = next !== 0 ? guardedFirst(tx, next) : PAGE_LIMIT;
    if (bottom + pages <= end) return bottom;
    if (next === 0) throw errno.ENOMEM;
    bottom = Mapping.end.get(tx, next);
  }
}

/** First page of a mapping, with the room below it in which a stack may not have neighbours. */
function guardedFirst(tx: Transaction, mapping: Mapping): PageNumber {
  const first = Mapping.first.get(tx, mapping);
  const grows = (Mapping.flags.get(tx, mapping) & MAPPING.GROWSDOWN) !== 0;
  return grows ? Math.max(0, first - STACK_GUARD_PAGES) : first;
}

/** munmap(2): 0, or MORE. */
export function munmap(
  tx: Transaction,
  space: AddressSpace,
  address: number,
  length: number,
  owner: number,
): number {
  if (address % PAGE_SIZE !== 0 || length === 0 || !(address + length <= VA_LIMIT)) throw errno.EINVAL;
  lockForChange(tx, space, owner);
  const step = new Step(space);
  const first = address / PAGE_SIZE;
  const done = unmapStep(tx, step, first, first + Math.ceil(length / PAGE_SIZE));
  return endStep(tx, step, owner, done ? 0 : MORE);
}
