/**
 * Event counters (eventfd): a number of 64 bits to which writers add and which readers take.
 *
 * `lock` (rank "event") guards the record. Readers wait for `readable`, writers for `writable`; both are signalled
 * by every change, because an edge-triggered epoll reports each.
 *
 * Invariants
 *   EC1  A counter is below 2^64 − 1, and belongs to one open file.
 */

import { errno } from "../../base/errno.ts";
import { liveRecords, registerInvariant } from "../../heap/check.ts";
import { condition, defineRecord, lock, type Ref, words } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { File, FILE_KINDS, POLL } from "../../kernel/file.ts";
import { bytesFromSegments, bytesToSegments, noteWait, waitFor } from "../../kernel/request.ts";

export const EventCounter = defineRecord("event-counter", {
  lock: lock("event"),
  /** Low and high word. */
  count: words(2),
  readable: condition(),
  writable: condition(),
});
export type EventCounter = Ref<"event-counter">;

const BYTES = 8;
const WORD = 0x1_0000_0000;

export function createCounter(tx: Transaction, initial: number): number {
  const counter = EventCounter.allocate(tx);
  EventCounter.count.init(tx, counter, 0, initial);
  return counter;
}

function setCount(tx: Transaction, counter: EventCounter, low: number, high: number): void {
  EventCounter.count.set(tx, counter, 0, low);
  EventCounter.count.set(tx, counter, 1, high);
}

/** Takes the count, or 1 of it (EFD_SEMAPHORE), into the segments; EINVAL for less than 8 bytes. */
export function readCounter(
  tx: Transaction,
  counter: EventCounter,
  length: number,
  semaphore: boolean | number,
  nonblock: boolean | number,
): number {
  if (length < BYTES) throw errno.EINVAL;
  EventCounter.lock.acquire(tx, counter);
  const low = EventCounter.count.get(tx, counter, 0) >>> 0;
  const high = EventCounter.count.get(tx, counter, 1) >>> 0;
  if (low === 0 && high === 0) {
    if (nonblock) throw errno.EAGAIN;
    throw waitFor(tx, EventCounter.readable.at(counter));
  }
  if (!semaphore) setCount(tx, counter, 0, 0);
  else setCount(tx, counter, low - 1, low === 0 ? high - 1 : high);
  signalCondition(tx, EventCounter.writable.at(counter));
  const taken = semaphore ? [1, 0] : [low, high];
  bytesToSegments(tx, 0, new Uint8Array(Uint32Array.from(taken).buffer));
  return BYTES;
}

/** Adds what lies in the segments; waits while the sum would reach 2^64 − 1. */
export function writeCounter(
  tx: Transaction,
  counter: EventCounter,
  length: number,
  nonblock: boolean | number,
): number {
  if (length < BYTES) throw errno.EINVAL;
  const bytes = new Uint8Array(BYTES);
  bytesFromSegments(tx, 0, bytes);
  const [addLow = 0, addHigh = 0] = new Uint32Array(bytes.buffer);
  if (addLow === WORD - 1 && addHigh === WORD - 1) throw errno.EINVAL;
  EventCounter.lock.acquire(tx, counter);
  const low = (EventCounter.count.get(tx, counter, 0) >>> 0) + addLow;
  const high = (EventCounter.count.get(tx, counter, 1) >>> 0) + addHigh + (low >= WORD ? 1 : 0);
  if (high >= WORD || (high === WORD - 1 && low % WORD === WORD - 1)) {
    if (nonblock) throw errno.EAGAIN;
    throw waitFor(tx, EventCounter.writable.at(counter));
  }
  setCount(tx, counter, low, high);
  signalCondition(tx, EventCounter.readable.at(counter));
  return BYTES;
}

export function pollCounter(tx: Transaction, counter: EventCounter, note: boolean | number): number {
  EventCounter.lock.acquire(tx, counter);
  const low = EventCounter.count.get(tx, counter, 0) >>> 0;
  const high = EventCounter.count.get(tx, counter, 1) >>> 0;
  if (note) {
    noteWait(tx, EventCounter.readable.at(counter));
    noteWait(tx, EventCounter.writable.at(counter));
  }
  let bits = 0;
  if (low !== 0 || high !== 0) bits |= POLL.IN | POLL.RDNORM;
  // There is room for 1.
  if (high < WORD - 1 || low < WORD - 2) bits |= POLL.OUT | POLL.WRNORM;
  return bits;
}

export function closeCounter(tx: Transaction, counter: EventCounter): void {
  EventCounter.lock.acquire(tx, counter);
  // A thread may wait whose descriptor another thread has closed: it is woken before the record goes.
  signalCondition(tx, EventCounter.readable.at(counter));
  signalCondition(tx, EventCounter.writable.at(counter));
  EventCounter.free(tx, counter);
}

registerInvariant({
  id: "EC1",
  statement: "a counter is below 2^64 - 1 and belongs to one open file",
  check(view, report) {
    const owners = new Map<number, number>();
    for (const file of liveRecords(view, File.schema)) {
      if (FILE_KINDS[File.kind.get(view, file)] !== "eventfd") continue;
      const counter = File.object.get(view, file);
      owners.set(counter, (owners.get(counter) ?? 0) + 1);
    }
    for (const counter of liveRecords(view, EventCounter.schema)) {
      if (EventCounter.count.get(view, counter, 0) === -1 && EventCounter.count.get(view, counter, 1) === -1)
        report(`counter ${counter} is full beyond its limit`);
      if (owners.get(counter) !== 1)
        report(`counter ${counter} belongs to ${owners.get(counter) ?? 0} files`);
    }
  },
});
