/**
 * User memory: how system calls read and write the bytes of the calling process.
 *
 * All functions here look addresses up in the entries, as translated code does, without any lock
 * (safepoint.ts says why that is safe) and without handling faults. Where an entry is missing they throw
 * NEEDS_FAULT with the range that is wanted. Whoever runs requests then rolls the request back, calls
 * `faultIn` until it is done, a transaction each time, and runs the request again:
 *
 *     try { handler } catch (e) { if (e !== NEEDS_FAULT) throw e;
 *       rollback; while (faultIn(tx, space, stackLimit) !== FAULT_IN.DONE) commit, or wait; commit; again }
 *
 * Nothing that a handler has done by then survives, so it may touch user memory at any point, even with
 * servers' locks held; it is cheaper before. A page that is not to be had is remembered until the request
 * has run again: then the access throws EFAULT, or `userSegments` ends before it.
 *
 * Rejected: handling faults inside the request (a file page's server would take its locks before or after
 * the request's own in any order, and WOULD_BLOCK would need them released); probing the mappings first
 * (a lock for every copy).
 *
 * Addresses are numbers; one that is not below 2^38 gives EFAULT.
 */

import { ACCESS, PAGE_SIZE, VA_LIMIT } from "../../base/hart-abi.ts";
import { errno } from "../../base/errno.ts";
import { PATH_BYTES, SEGMENTS_MAX, SLOT } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { addSegment, clearSegments, pathAt } from "../request.ts";
import { FAULT, faultPage, faultSignal, isFileError } from "./fault.ts";
import { frameOf, PAGE_READ, readPage, translate } from "./page-table.ts";
import { AddressSpace } from "./records.ts";

/** Bytes that the segments of one step hold at most. */
export const SEGMENT_BYTES_MAX = 65536;

/** Thrown when user memory has to be faulted in first. One object: nothing in it outlives the request. */
export const NEEDS_FAULT: {
  readonly needsFault: true;
  va: number;
  length: number;
  write: boolean;
  /** First byte of a page that is not to be had, and for which slot and transaction that was found. */
  badPage: number;
  badSlot: number;
  badSequence: number;
} = { needsFault: true, va: 0, length: 0, write: false, badPage: -1, badSlot: -1, badSequence: -1 };

export const FAULT_IN = {
  /** Commit and run the request again. */
  DONE: 0,
  /** Commit and call `faultIn` again. */
  MORE: 1,
  /** Commit, wait until `pendingTaking` gives nothing (or a little while), and call again. */
  WAIT: 2,
} as const;

/** Pages that one transaction of `faultIn` brings in. */
const FAULT_IN_PAGES = 17;

/**
 * Faults in what NEEDS_FAULT asks for, one transaction's worth. Throws WOULD_BLOCK while a file page is on
 * its way, ENOMEM when there are no frames.
 */
export function faultIn(tx: Transaction, space: AddressSpace, stackLimit: number): number {
  const need = NEEDS_FAULT;
  const root = AddressSpace.root.get(tx, space);
  const kind = need.write ? ACCESS.WRITE : ACCESS.READ;
  const end = Math.min(need.va + need.length, VA_LIMIT);
  let pages = FAULT_IN_PAGES;
  for (let va = need.va - (need.va % PAGE_SIZE); va < end; va += PAGE_SIZE) {
    if (translate(tx, root, va, need.write) >= 0) continue;
    if (pages-- === 0) return FAULT_IN.MORE;
    const locks = tx.locksHeld;
    AddressSpace.lock.acquire(tx, space);
    let bad: boolean;
    try {
      const came = faultPage(tx, space, va / PAGE_SIZE, kind, stackLimit);
      if (came === FAULT.WAIT) return FAULT_IN.WAIT;
      bad = faultSignal(came) !== 0;
    } catch (error) {
      if (!isFileError(error)) throw error;
      tx.rollback();
      bad = true;
    }
    if (bad) {
      need.badPage = va;
      need.badSlot = tx.slotIndex;
      // The caller commits once before the request runs again.
      need.badSequence = (tx.sequence + 1) | 0;
      return FAULT_IN.DONE;
    }
    // A server's locks have been taken: the next page may need others, in another order.
    if (tx.locksHeld > Math.max(locks, 1)) return FAULT_IN.MORE;
    // With several tasks the entries become valid after the commit.
    if (translate(tx, root, va, need.write) < 0) return FAULT_IN.MORE;
  }
  return FAULT_IN.DONE;
}

/** Notes what `faultIn` is to bring in: for who knows beforehand that there is nothing yet. */
export function askForPages(va: number, length: number, write: boolean): void {
  NEEDS_FAULT.va = va;
  NEEDS_FAULT.length = length;
  NEEDS_FAULT.write = write;
}

/** Throws NEEDS_FAULT for a range, or EFAULT if its first page is known not to be had. */
function miss(tx: Transaction, va: number, length: number, write: boolean): never {
  if (!(va >= 0 && va < VA_LIMIT) || isBad(tx, va)) throw errno.EFAULT;
  askForPages(va, length, write);
  // eslint-disable-next-line typescript/only-throw-error -- not a failure: see the header
  throw NEEDS_FAULT;
}

/** Whether the last `faultIn` of this request found that the page of `va` is not to be had. */
function isBad(tx: Transaction, va: number): boolean {
  const need = NEEDS_FAULT;
  return (
    need.badPage === va - (va % PAGE_SIZE) &&
    need.badSlot === tx.slotIndex &&
    need.badSequence === tx.sequence
  );
}

/** pa of the byte at `va`, whose page allows the access. `length`: how much is wanted from there on. */
function locate(tx: Transaction, space: AddressSpace, va: number, length: number, write: boolean): number {
  const pa = translate(tx, AddressSpace.root.get(tx, space), va, write);
  return pa >= 0 ? pa : miss(tx, va, length, write);
}

// segments

/**
 * Makes the request's segments (request.ts) the `length` bytes at `va`, or as many as one step allows, or as
 * come before a bad page. Returns their number; throws EFAULT if there is none and some were wanted.
 */
export function userSegments(
  tx: Transaction,
  space: AddressSpace,
  va: number,
  length: number,
  write: boolean,
): number {
  clearSegments(tx);
  return addUserSegments(tx, space, va, length, write);
}

/** {@link userSegments} behind those that are there (readv, writev). */
export function addUserSegments(
  tx: Transaction,
  space: AddressSpace,
  va: number,
  length: number,
  write: boolean,
): number {
  const root = AddressSpace.root.get(tx, space);
  const w = tx.words;
  const wanted = Math.min(length, SEGMENT_BYTES_MAX);
  let done = 0;
  while (done < wanted) {
    const at = va + done;
    const pa = translate(tx, root, at, write);
    if (pa < 0) {
      if (done > 0 && (at >= VA_LIMIT || isBad(tx, at))) return done;
      miss(tx, at, wanted - done, write);
    }
    const run = Math.min(PAGE_SIZE - (at % PAGE_SIZE), wanted - done);
    const count = w[tx.slotAt + SLOT.segmentCount]!;
    if (count === SEGMENTS_MAX && !followsLast(tx, count, pa)) return done;
    addSegment(tx, pa, run);
    done += run;
  }
  return done;
}

function followsLast(tx: Transaction, count: number, pa: number): boolean {
  const at = tx.slotAt + SLOT.segments + count * 2;
  const end = (tx.words[at - 2]! >>> 0) + tx.words[at - 1]!;
  return end === pa;
}

// copies

/** Calls `visit(pa, bytes done before, bytes in this run)` for each page's part of a range. */
function eachRun(
  tx: Transaction,
  space: AddressSpace,
  va: number,
  length: number,
  write: boolean,
  visit: (pa: number, done: number, run: number) => void,
): void {
  for (let done = 0; done < length; ) {
    const pa = locate(tx, space, va + done, length - done, write);
    const run = Math.min(PAGE_SIZE - ((va + done) % PAGE_SIZE), length - done);
    visit(pa, done, run);
    done += run;
  }
}

/** Bytes up to which a loop is quicker than the two views that a bulk copy needs. */
const SHORT = 128;

/** Copies from user memory until `target` is full. Throws EFAULT. */
export function copyFromUser(tx: Transaction, space: AddressSpace, va: number, target: Uint8Array): void {
  for (let done = 0; done < target.length; ) {
    const pa = locate(tx, space, va + done, target.length - done, false);
    const run = Math.min(PAGE_SIZE - ((va + done) % PAGE_SIZE), target.length - done);
    if (run <= SHORT) for (let i = 0; i < run; i++) target[done + i] = tx.memoryBytes[pa + i]!;
    else target.set(tx.memoryBytes.subarray(pa, pa + run), done);
    done += run;
  }
}

/** Copies `source` to user memory. What is copied is not undone: do it last. Throws EFAULT. */
export function copyToUser(tx: Transaction, space: AddressSpace, va: number, source: Uint8Array): void {
  for (let done = 0; done < source.length; ) {
    const pa = locate(tx, space, va + done, source.length - done, true);
    const run = Math.min(PAGE_SIZE - ((va + done) % PAGE_SIZE), source.length - done);
    if (run <= SHORT) for (let i = 0; i < run; i++) tx.memoryBytes[pa + i] = source[done + i]!;
    else tx.memoryBytes.set(source.subarray(done, done + run), pa);
    done += run;
  }
}

/**
 * As {@link copyToUser}, by logged stores of whole words, so that a rollback takes it back: for the few bytes that
 * a call writes where it has read, and would read again. Throws EFAULT.
 */
export function storeToUser(tx: Transaction, space: AddressSpace, va: number, source: Uint8Array): void {
  eachRun(tx, space, va, source.length, true, (pa, done, run) => {
    for (let word = pa >>> 2; word * 4 < pa + run; word++) {
      let value = tx.memory[word]!;
      for (let at = Math.max(word * 4, pa); at < Math.min(word * 4 + 4, pa + run); at++) {
        const shift = (at & 3) * 8;
        value = (value & ~(0xff << shift)) | (source[done + at - pa]! << shift);
      }
      tx.storeMemory(word, value);
    }
  });
}

/** Fills user memory with zeros. Throws EFAULT. */
export function clearUser(tx: Transaction, space: AddressSpace, va: number, length: number): void {
  eachRun(tx, space, va, length, true, (pa, _done, run) => void tx.memoryBytes.fill(0, pa, pa + run));
}

/** Makes sure that the range can be read, or written, when it is copied at the end. Throws EFAULT. */
export function checkUser(
  tx: Transaction,
  space: AddressSpace,
  va: number,
  length: number,
  write: boolean,
): void {
  eachRun(tx, space, va, length, write, () => {});
}

/**
 * Copies a string of user memory, without its zero, into `target`; returns its length, or −1 if there is no
 * zero within `target.length` bytes. Throws EFAULT.
 */
export function stringFromUser(tx: Transaction, space: AddressSpace, va: number, target: Uint8Array): number {
  const m = tx.memoryBytes;
  for (let done = 0; done < target.length; ) {
    const run = Math.min(PAGE_SIZE - ((va + done) % PAGE_SIZE), target.length - done);
    const pa = locate(tx, space, va + done, 1, false);
    const zero = m.subarray(pa, pa + run).indexOf(0);
    const length = zero < 0 ? run : zero;
    target.set(m.subarray(pa, pa + length), done);
    if (zero >= 0) return done + zero;
    done += run;
  }
  return -1;
}

/** The string at `va` without its zero, or undefined if it is longer than `most` bytes. Throws EFAULT. */
export function textFromUser(
  tx: Transaction,
  space: AddressSpace,
  va: number,
  most: number,
): Uint8Array<ArrayBuffer> | undefined {
  const m = tx.memoryBytes;
  let length = 0;
  for (;;) {
    const pa = locate(tx, space, va + length, 1, false);
    const run = PAGE_SIZE - ((va + length) % PAGE_SIZE);
    // Most strings are short, where a loop is quicker than a view to search in.
    let at = 0;
    while (at < run && m[pa + at] !== 0) at++;
    length += at;
    if (length > most) return undefined;
    if (at < run) break;
  }
  const text = new Uint8Array(length);
  copyFromUser(tx, space, va, text);
  return text;
}

/**
 * Copies a path into the request's path `which` (request.ts), with its zero; returns its length in bytes.
 * Throws ENAMETOOLONG, EFAULT.
 */
export function pathFromUser(tx: Transaction, space: AddressSpace, va: number, which: number): number {
  const at = pathAt(tx, which);
  const target = tx.bytes.subarray(at, at + PATH_BYTES);
  const length = stringFromUser(tx, space, va, target);
  if (length < 0) throw errno.ENAMETOOLONG;
  target[length] = 0;
  return length;
}

/**
 * Copies from the memory of a space that need not be the caller's (/proc/PID/cmdline), without faulting
 * anything in; returns the bytes copied before the first page that has no frame. Takes the space's lock,
 * under which no frame of it goes away.
 */
export function copyFromSpace(tx: Transaction, space: AddressSpace, va: number, target: Uint8Array): number {
  AddressSpace.lock.acquire(tx, space);
  const root = AddressSpace.root.get(tx, space);
  let done = 0;
  while (done < target.length && va + done < VA_LIMIT) {
    const at = va + done;
    const word = readPage(tx, root, Math.floor(at / PAGE_SIZE));
    if ((word & PAGE_READ) === 0) break;
    const run = Math.min(PAGE_SIZE - (at % PAGE_SIZE), target.length - done);
    const pa = frameOf(word) * PAGE_SIZE + (at % PAGE_SIZE);
    target.set(tx.memoryBytes.subarray(pa, pa + run), done);
    done += run;
  }
  return done;
}

// numbers

/** The unsigned 32-bit integer at `va`, of any alignment. */
export function getU32(tx: Transaction, space: AddressSpace, va: number): number {
  if (va % 4 === 0) return tx.memory[locate(tx, space, va, 4, false) >>> 2]! >>> 0;
  let value = 0;
  eachRun(tx, space, va, 4, false, (pa, done, run) => {
    for (let i = 0; i < run; i++) value |= tx.memoryBytes[pa + i]! << ((done + i) * 8);
  });
  return value >>> 0;
}

/** The signed 32-bit integer at `va`. */
export function getI32(tx: Transaction, space: AddressSpace, va: number): number {
  return getU32(tx, space, va) | 0;
}

export function getU16(tx: Transaction, space: AddressSpace, va: number): number {
  return getU8(tx, space, va) | (getU8(tx, space, va + 1) << 8);
}

export function getU8(tx: Transaction, space: AddressSpace, va: number): number {
  return tx.memoryBytes[locate(tx, space, va, 1, false)]!;
}

/** The unsigned 64-bit integer at `va`. Throws EOVERFLOW if it is not below 2^53. */
export function getU64(tx: Transaction, space: AddressSpace, va: number): number {
  const high = getU32(tx, space, va + 4);
  if (high >= 1 << 21) throw errno.EOVERFLOW;
  return high * 0x1_0000_0000 + getU32(tx, space, va);
}

/** The signed 64-bit integer at `va`. Throws EOVERFLOW unless it is between −2^53 and 2^53. */
export function getI64(tx: Transaction, space: AddressSpace, va: number): number {
  const high = getI32(tx, space, va + 4);
  if (high >= 1 << 21 || high < -(1 << 21)) throw errno.EOVERFLOW;
  return high * 0x1_0000_0000 + getU32(tx, space, va);
}

/** The pointer at `va`: one that no user address can be (not below 2^53) throws EFAULT. */
export function getPointer(tx: Transaction, space: AddressSpace, va: number): number {
  const high = getU32(tx, space, va + 4);
  if (high >= 1 << 21) throw errno.EFAULT;
  return high * 0x1_0000_0000 + getU32(tx, space, va);
}

/** Stores the low 32 bits of `value` at `va`, of any alignment. */
export function putU32(tx: Transaction, space: AddressSpace, va: number, value: number): void {
  if (va % 4 === 0) {
    tx.memory[locate(tx, space, va, 4, true) >>> 2] = value;
    return;
  }
  eachRun(tx, space, va, 4, true, (pa, done, run) => {
    for (let i = 0; i < run; i++) tx.memoryBytes[pa + i] = value >>> ((done + i) * 8);
  });
}

export function putU16(tx: Transaction, space: AddressSpace, va: number, value: number): void {
  putU8(tx, space, va, value);
  putU8(tx, space, va + 1, value >>> 8);
}

export function putU8(tx: Transaction, space: AddressSpace, va: number, value: number): void {
  tx.memoryBytes[locate(tx, space, va, 1, true)] = value;
}

/** Stores an integer between −2^53 and 2^64 at `va` as 64 bits. */
export function putU64(tx: Transaction, space: AddressSpace, va: number, value: number): void {
  putWords(tx, space, va, value | 0, Math.floor(value / 0x1_0000_0000) | 0);
}

/** Stores 64 bits given as two words. */
export function putWords(tx: Transaction, space: AddressSpace, va: number, low: number, high: number): void {
  putU32(tx, space, va, low);
  putU32(tx, space, va + 4, high);
}
