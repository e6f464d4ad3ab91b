/**
 * What a request carries from hand to hand while it runs, in its slot (heap/layout.ts) and therefore visible
 * to whichever thread works on it: the pieces of guest memory that it copies to or from, the conditions that
 * it found itself waiting for, and its paths. All of it is scratch: it is written before it is read in every
 * attempt, so it needs no undo.
 */

import { assert } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import { decodeUtf8 } from "../base/text.ts";
import type { HeapAddr, HeapView } from "../heap/heap.ts";
import { PATH_BYTES, SEGMENTS_MAX, SLOT, WAITS_MAX } from "../heap/layout.ts";
import type { Transaction } from "../heap/transaction.ts";

//
// A segment is a run of bytes in the guest memory: physical address and length. The kernel fills the list
// from user addresses before any lock is taken (rule R9); servers copy through it, last of all. Physical
// addresses stay right until the hart's next safepoint, so a list never outlives its transaction.

/** Forgets the segments of the request. */
export function clearSegments(tx: Transaction): void {
  tx.words[tx.slotAt + SLOT.segmentCount] = 0;
}

/** Adds `length` bytes at physical address `pa`, joined to the last segment if they follow it. */
export function addSegment(tx: Transaction, pa: number, length: number): void {
  const w = tx.words;
  const count = w[tx.slotAt + SLOT.segmentCount]!;
  const at = tx.slotAt + SLOT.segments + count * 2;
  if (count > 0 && pa === (w[at - 2]! >>> 0) + w[at - 1]!) {
    w[at - 1] = w[at - 1]! + length;
    return;
  }
  assert(count < SEGMENTS_MAX, "too many segments in one request");
  w[at] = pa | 0;
  w[at + 1] = length;
  w[tx.slotAt + SLOT.segmentCount] = count + 1;
}

/** Bytes that the segments hold together. */
export function segmentBytes(tx: Transaction): number {
  const w = tx.words;
  let total = 0;
  for (let i = w[tx.slotAt + SLOT.segmentCount]! - 1; i >= 0; i--)
    total += w[tx.slotAt + SLOT.segments + i * 2 + 1]!;
  return total;
}

/** Room left in the list. */
export function segmentRoom(tx: Transaction): number {
  return SEGMENTS_MAX - tx.words[tx.slotAt + SLOT.segmentCount]!;
}

/**
 * Copies `length` bytes from the guest memory at physical address `pa` into the segments, `skip` bytes after
 * their beginning. The last step of an operation: user memory is not undone (rule R9).
 */
export function copyToSegments(tx: Transaction, skip: number, pa: number, length: number): void {
  walkSegments(
    tx,
    skip,
    length,
    (at, done, run) => void tx.memoryBytes.copyWithin(at, pa + done, pa + done + run),
  );
}

/** Copies `length` bytes out of the segments, from `skip` bytes after their beginning, to `pa`. */
export function copyFromSegments(tx: Transaction, skip: number, pa: number, length: number): void {
  walkSegments(tx, skip, length, (at, done, run) => void tx.memoryBytes.copyWithin(pa + done, at, at + run));
}

/** Copies `bytes` into the segments, `skip` bytes after their beginning. */
export function bytesToSegments(tx: Transaction, skip: number, bytes: Uint8Array): void {
  walkSegments(tx, skip, bytes.length, (at, done, run) =>
    tx.memoryBytes.set(bytes.subarray(done, done + run), at),
  );
}

/** Copies out of the segments, from `skip` bytes after their beginning, until `bytes` is full. */
export function bytesFromSegments(tx: Transaction, skip: number, bytes: Uint8Array): void {
  walkSegments(tx, skip, bytes.length, (at, done, run) =>
    bytes.set(tx.memoryBytes.subarray(at, at + run), done),
  );
}

/** Fills `length` bytes of the segments, from `skip` bytes after their beginning, with `value`. */
export function fillSegments(tx: Transaction, skip: number, length: number, value: number): void {
  const first = tx.slotAt + SLOT.segments;
  // The usual case, without the closure: few bytes, all in the first segment.
  if (
    length <= 64 &&
    skip + length <= tx.words[first + 1]! &&
    tx.words[tx.slotAt + SLOT.segmentCount] !== 0
  ) {
    const from = (tx.words[first]! >>> 0) + skip;
    for (let i = 0; i < length; i++) tx.memoryBytes[from + i] = value;
    return;
  }
  walkSegments(tx, skip, length, (at, _done, run) => void tx.memoryBytes.fill(value, at, at + run));
}

/** Calls `visit(pa, bytes done before, bytes in this run)` for each contiguous run of the range. */
export function walkSegments(
  tx: Transaction,
  skip: number,
  length: number,
  visit: (pa: number, done: number, run: number) => void,
): void {
  const w = tx.words;
  const count = w[tx.slotAt + SLOT.segmentCount]!;
  let done = 0;
  for (let i = 0; i < count && done < length; i++) {
    const at = tx.slotAt + SLOT.segments + i * 2;
    const size = w[at + 1]!;
    if (skip >= size) {
      skip -= size;
      continue;
    }
    const run = Math.min(size - skip, length - done);
    visit((w[at]! >>> 0) + skip, done, run);
    done += run;
    skip = 0;
  }
  assert(done === length, "segments shorter than the copy");
}

/** Bytes up to which a loop is quicker than the views that a bulk copy needs. */
const SMALL = 64;

/** Copies from the segments to byte offset `to` of the heap. */
export function segmentsToHeap(tx: Transaction, skip: number, to: number, length: number): void {
  const at = tx.slotAt + SLOT.segments;
  // The usual case, without the closure: one segment, few bytes.
  if (length <= SMALL && tx.words[tx.slotAt + SLOT.segmentCount] === 1) {
    const from = (tx.words[at]! >>> 0) + skip;
    for (let i = 0; i < length; i++) tx.bytes[to + i] = tx.memoryBytes[from + i]!;
    return;
  }
  walkSegments(tx, skip, length, (pa, done, run) => {
    tx.bytes.set(tx.memoryBytes.subarray(pa, pa + run), to + done);
  });
}

/** Copies to the segments from byte offset `from` of the heap. */
export function heapToSegments(tx: Transaction, skip: number, from: number, length: number): void {
  const at = tx.slotAt + SLOT.segments;
  if (length <= SMALL && tx.words[tx.slotAt + SLOT.segmentCount] === 1) {
    const to = (tx.words[at]! >>> 0) + skip;
    for (let i = 0; i < length; i++) tx.memoryBytes[to + i] = tx.bytes[from + i]!;
    return;
  }
  walkSegments(tx, skip, length, (pa, done, run) => {
    tx.memoryBytes.set(tx.bytes.subarray(from + done, from + done + run), pa);
  });
}

/** Thrown by an operation that cannot go on; the request is rolled back and waits for what it has noted. */
export const WOULD_BLOCK: { readonly wouldBlock: true } = { wouldBlock: true };

/** Forgets what the request waits for. */
export function clearWaits(tx: Transaction): void {
  tx.words[tx.slotAt + SLOT.waitCount] = 0;
}

/**
 * Notes that the request has to wait until the condition at `condition` is signalled. Call it while holding
 * the lock that guards the condition, then throw {@link WOULD_BLOCK} (or note more conditions first).
 */
export function noteWait(tx: Transaction, condition: HeapAddr): void {
  const w = tx.words;
  const count = w[tx.slotAt + SLOT.waitCount]!;
  if (count >= WAITS_MAX) throw errno.ENOMEM;
  w[tx.slotAt + SLOT.waits + count * 2] = condition;
  w[tx.slotAt + SLOT.waits + count * 2 + 1] = w[condition]!;
  w[tx.slotAt + SLOT.waitCount] = count + 1;
}

/** Notes a wait for `condition` as if it had been signalled since: the request runs again at once. */
export function noteRetry(tx: Transaction, condition: HeapAddr): void {
  noteWait(tx, condition);
  const noted = tx.slotAt + SLOT.waits + (tx.words[tx.slotAt + SLOT.waitCount]! - 1) * 2 + 1;
  tx.words[noted] = (tx.words[noted]! - 1) | 0;
}

/** Notes one condition and throws: `throw waitFor(tx, Pipe.readable.at(pipe))`. */
export function waitFor(tx: Transaction, condition: HeapAddr): typeof WOULD_BLOCK {
  noteWait(tx, condition);
  return WOULD_BLOCK;
}

/** Byte offset in `view.bytes` of the request's path `which` (0 or 1); PATH_BYTES long. */
export function pathAt(tx: Transaction, which: number): number {
  return (tx.slotAt + SLOT.paths) * 4 + which * PATH_BYTES;
}

/** A copy of `length` bytes of the heap as text, for messages and traces. */
export function textAt(view: HeapView, byteOffset: number, length: number): string {
  return decodeUtf8(view.bytes.slice(byteOffset, byteOffset + length));
}
