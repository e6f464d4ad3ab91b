/**
 * Futexes: waiting for a word of user memory to be woken by name.
 *
 * The second kind of wait (rule R1, enqueue): a waiter is a record on the list of its bucket; the waker takes
 * it off, marks it woken, and the woken call only looks at that mark. Key: in a shared mapping the frame and
 * the offset in it; else the address space and the address.
 *
 *     root "futexes": BUCKETS buckets of 4 words: lock, first waiter, last waiter, unused
 *
 * The bucket's lock guards its list, the waiters on it, and the comparison of the word with what the waiter
 * expects: whoever changes the word and then wakes takes the lock after the change.
 *
 * Invariants
 *   X1  A waiter is on its bucket's list if and only if it is not woken; its task's futexWaiter refers to it.
 */

import { errno } from "../base/errno.ts";
import { PAGE_SHIFT, PAGE_SIZE } from "../base/hart-abi.ts";
import { LOCK_RANK } from "../base/lock-order.ts";
import { liveRecords, registerInvariant } from "../heap/check.ts";
import { type HeapAddr, type HeapView, placeRoot } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import { signalCondition } from "./condition.ts";
import { spaceRoot } from "./memory/address-space.ts";
import { mappingAt } from "./memory/mapping-tree.ts";
import { translate } from "./memory/page-table.ts";
import { type AddressSpace, Mapping, MAPPING } from "./memory/records.ts";
import { loadUserWord } from "./memory/user-word.ts";
import { FutexWaiter, Task } from "./task.ts";

const BUCKETS = 256;
const BUCKET_WORDS = 4;
export const FUTEX_BITSET_ALL = -1;

export function createFutexes(view: HeapView): void {
  placeRoot(view, "futexes", BUCKETS * BUCKET_WORDS);
}

/** What a futex is known by. */
export interface FutexKey {
  /** Address space, or −1 − frame. */
  readonly object: number;
  readonly offset: number;
}

/**
 * The key of the word at `address`, whose page must be present; `isPrivate` if the program says that only its
 * own threads use it.
 */
export function futexKey(view: HeapView, space: AddressSpace, address: number, isPrivate: boolean): FutexKey {
  if (!isPrivate) {
    const mapping = mappingAt(view, space, Math.floor(address / PAGE_SIZE));
    if (mapping !== 0 && (Mapping.flags.get(view, mapping) & MAPPING.SHARED) !== 0) {
      const pa = translate(view, spaceRoot(view, space), address, false);
      if (pa < 0) throw errno.EFAULT;
      return { object: -1 - (pa >>> PAGE_SHIFT), offset: pa % PAGE_SIZE };
    }
  }
  return { object: space, offset: address };
}

export function bucketOf(view: HeapView, key: FutexKey): HeapAddr {
  let hash = Math.imul(key.object, 0x9e37_79b1) ^ Math.imul(key.offset >>> 2, 0x85eb_ca6b);
  hash ^= hash >>> 15;
  return view.root("futexes") + (hash & (BUCKETS - 1)) * BUCKET_WORDS;
}

function lockBucket(tx: Transaction, bucket: HeapAddr): void {
  tx.lock(bucket, LOCK_RANK.futex);
}

export function nextWaiter(view: HeapView, waiter: FutexWaiter): FutexWaiter {
  return view.words[waiter + FutexWaiter.links.word]! as FutexWaiter;
}

function linkLast(tx: Transaction, bucket: HeapAddr, waiter: FutexWaiter): void {
  const last = tx.words[bucket + 2]!;
  tx.store(waiter + FutexWaiter.links.word, 0);
  tx.store(waiter + FutexWaiter.links.word + 1, last);
  if (last === 0) tx.store(bucket + 1, waiter);
  else tx.store(last + FutexWaiter.links.word, waiter);
  tx.store(bucket + 2, waiter);
}

function unlink(tx: Transaction, bucket: HeapAddr, waiter: FutexWaiter): void {
  const after = nextWaiter(tx, waiter);
  const before = tx.words[waiter + FutexWaiter.links.word + 1]!;
  if (before === 0) tx.store(bucket + 1, after);
  else tx.store(before + FutexWaiter.links.word, after);
  if (after === 0) tx.store(bucket + 2, before);
  else tx.store(after + FutexWaiter.links.word + 1, before);
  tx.store(waiter + FutexWaiter.links.word, 0);
  tx.store(waiter + FutexWaiter.links.word + 1, 0);
}

function isFor(view: HeapView, waiter: FutexWaiter, key: FutexKey, bitset: number): boolean {
  return (
    FutexWaiter.keyObject.get(view, waiter) === key.object &&
    FutexWaiter.keyOffset.get(view, waiter) === key.offset &&
    (FutexWaiter.bitset.get(view, waiter) & bitset) !== 0
  );
}

/**
 * Enqueues the task as a waiter unless the word no longer holds `expected`: then EAGAIN. `physical` is where
 * the word lies.
 */
export function enqueueFutex(
  tx: Transaction,
  task: Task,
  key: FutexKey,
  physical: number,
  expected: number,
  bitset: number,
): void {
  const bucket = bucketOf(tx, key);
  const waiter = FutexWaiter.allocate(tx);
  lockBucket(tx, bucket);
  if (loadUserWord(tx, physical) !== (expected | 0)) throw errno.EAGAIN;
  initWaiter(tx, waiter, task, key, bitset, 0);
}

/** Makes the task a waiter of `key`, whose bucket is locked, behind the others. */
export function insertWaiter(
  tx: Transaction,
  task: Task,
  key: FutexKey,
  bitset: number,
  ownerTid: number,
): void {
  initWaiter(tx, FutexWaiter.allocate(tx), task, key, bitset, ownerTid);
}

function initWaiter(
  tx: Transaction,
  waiter: FutexWaiter,
  task: Task,
  key: FutexKey,
  bitset: number,
  ownerTid: number,
): void {
  const bucket = bucketOf(tx, key);
  FutexWaiter.task.init(tx, waiter, task);
  FutexWaiter.keyObject.init(tx, waiter, key.object);
  FutexWaiter.keyOffset.init(tx, waiter, key.offset);
  FutexWaiter.bitset.init(tx, waiter, bitset);
  FutexWaiter.ownerTid.init(tx, waiter, ownerTid);
  FutexWaiter.bucket.init(tx, waiter, bucket);
  linkLast(tx, bucket, waiter);
  Task.futexWaiter.set(tx, task, waiter);
}

/** Wakes one waiter of a locked bucket. */
export function wakeWaiter(tx: Transaction, bucket: HeapAddr, waiter: FutexWaiter): void {
  unlink(tx, bucket, waiter);
  FutexWaiter.woken.set(tx, waiter, 1);
  signalCondition(tx, FutexWaiter.condition.at(waiter));
}

/** EINVAL for a waiter that only the owner of its mutex wakes (FUTEX_UNLOCK_PI). */
function needPlain(tx: Transaction, waiter: FutexWaiter): void {
  if (FutexWaiter.ownerTid.get(tx, waiter) !== 0) throw errno.EINVAL;
}

/** Locks the bucket in which the waiter is; another task may requeue it until that has succeeded. */
function lockBucketOf(tx: Transaction, waiter: FutexWaiter): HeapAddr {
  const bucket = FutexWaiter.bucket.get(tx, waiter);
  lockBucket(tx, bucket);
  return bucket;
}

/** Whether the task's waiter has been woken; takes its bucket's lock, which guards the condition to wait for. */
export function isWoken(tx: Transaction, task: Task): boolean {
  const waiter = Task.futexWaiter.get(tx, task);
  lockBucketOf(tx, waiter);
  return FutexWaiter.woken.get(tx, waiter) !== 0;
}

/** The condition that is signalled when the task's waiter is woken. */
export function futexCondition(tx: Transaction, task: Task): HeapAddr {
  return FutexWaiter.condition.at(Task.futexWaiter.get(tx, task));
}

/** Ends the task's wait, if it has one: the record goes. True if it had been woken. */
export function endFutexWait(tx: Transaction, task: Task): boolean {
  const waiter = Task.futexWaiter.get(tx, task);
  if (waiter === 0) return false;
  const bucket = lockBucketOf(tx, waiter);
  const woken = FutexWaiter.woken.get(tx, waiter) !== 0;
  if (!woken) unlink(tx, bucket, waiter);
  Task.futexWaiter.set(tx, task, 0 as FutexWaiter);
  FutexWaiter.free(tx, waiter);
  return woken;
}

/** How far a series of steps has come: waiters woken (of a first and a second word) or moved. */
export interface FutexStep {
  readonly first: number;
  readonly second: number;
  /** Whether the step has done all that it may do: then there may be more, for another step. */
  readonly full: boolean;
}

/** Most waiters that one transaction wakes or moves: the bound of rule R3. */
const STEP_MAX = 32;

const stepOf = (first: number, second: number): FutexStep => ({
  first,
  second,
  full: first + second === STEP_MAX,
});

/** Wakes up to `count` waiters; one step. */
export function wakeFutex(tx: Transaction, key: FutexKey, count: number, bitset: number): FutexStep {
  const bucket = bucketOf(tx, key);
  lockBucket(tx, bucket);
  return stepOf(wakeInBucket(tx, bucket, key, Math.min(count, STEP_MAX), bitset), 0);
}

/**
 * Calls `change`, then wakes up to `counts[0]` waiters of `keys[0]` and, if `change` has answered true, up to
 * `counts[1]` of `keys[1]`; one step.
 */
export function wakeTwoFutexes(
  tx: Transaction,
  keys: readonly [FutexKey, FutexKey],
  counts: readonly [number, number],
  change: () => boolean,
): FutexStep {
  const [first, second] = lockTwo(tx, keys[0], keys[1]);
  const both = change();
  const woken = wakeInBucket(tx, first, keys[0], Math.min(counts[0], STEP_MAX), FUTEX_BITSET_ALL);
  if (!both) return stepOf(woken, 0);
  const left = Math.min(counts[1], STEP_MAX - woken);
  return stepOf(woken, wakeInBucket(tx, second, keys[1], left, FUTEX_BITSET_ALL));
}

/** The buckets of two keys, locked. */
function lockTwo(tx: Transaction, one: FutexKey, other: FutexKey): readonly [HeapAddr, HeapAddr] {
  const first = bucketOf(tx, one);
  const second = bucketOf(tx, other);
  lockBucket(tx, Math.min(first, second));
  if (first !== second) lockBucket(tx, Math.max(first, second));
  return [first, second];
}

function wakeInBucket(
  tx: Transaction,
  bucket: HeapAddr,
  key: FutexKey,
  count: number,
  bitset: number,
): number {
  let woken = 0;
  let waiter = tx.words[bucket + 1]! as FutexWaiter;
  while (waiter !== 0 && woken < count) {
    const after = nextWaiter(tx, waiter);
    if (isFor(tx, waiter, key, bitset)) {
      needPlain(tx, waiter);
      wakeWaiter(tx, bucket, waiter);
      woken++;
    }
    waiter = after;
  }
  return woken;
}

/**
 * Wakes up to `wake` waiters of `from` and moves up to `move` others to `to`, if the word at `physical` still
 * holds `expected` (undefined: whatever it holds); one step.
 */
export function requeueFutex(
  tx: Transaction,
  from: FutexKey,
  to: FutexKey,
  wake: number,
  move: number,
  physical: number,
  expected: number | undefined,
): FutexStep {
  const [source, target] = lockTwo(tx, from, to);
  if (expected !== undefined && loadUserWord(tx, physical) !== (expected | 0)) throw errno.EAGAIN;
  const woken = wakeInBucket(tx, source, from, Math.min(wake, STEP_MAX), FUTEX_BITSET_ALL);
  const most = Math.min(move, STEP_MAX - woken);
  let moved = 0;
  let waiter = tx.words[source + 1]! as FutexWaiter;
  while (waiter !== 0 && moved < most) {
    const after = nextWaiter(tx, waiter);
    if (isFor(tx, waiter, from, FUTEX_BITSET_ALL)) {
      needPlain(tx, waiter);
      moveWaiter(tx, waiter, source, target, to);
      moved++;
    }
    waiter = after;
  }
  return stepOf(woken, moved);
}

function moveWaiter(
  tx: Transaction,
  waiter: FutexWaiter,
  source: HeapAddr,
  target: HeapAddr,
  to: FutexKey,
): void {
  if (source !== target) {
    unlink(tx, source, waiter);
    linkLast(tx, target, waiter);
    FutexWaiter.bucket.set(tx, waiter, target);
  }
  FutexWaiter.keyObject.set(tx, waiter, to.object);
  FutexWaiter.keyOffset.set(tx, waiter, to.offset);
}

registerInvariant({
  id: "X1",
  statement:
    "a futex waiter is on its bucket's list if and only if it is not woken, and its task refers to it",
  check(view, report) {
    const at = view.root("futexes");
    if (at === 0) return;
    const listed = new Set<number>();
    for (let i = 0; i < BUCKETS; i++) {
      const bucket = at + i * BUCKET_WORDS;
      for (
        let waiter = view.words[bucket + 1]! as FutexWaiter;
        waiter !== 0;
        waiter = nextWaiter(view, waiter)
      ) {
        if (listed.has(waiter)) {
          report(`bucket ${i} runs in a circle`);
          break;
        }
        listed.add(waiter);
        if (FutexWaiter.bucket.get(view, waiter) !== bucket)
          report(`waiter ${waiter} is in another bucket than it says`);
      }
    }
    for (const waiter of liveRecords(view, FutexWaiter.schema)) {
      const woken = FutexWaiter.woken.get(view, waiter) !== 0;
      if (woken === listed.has(waiter))
        report(`waiter ${waiter}: woken ${woken}, listed ${listed.has(waiter)}`);
      const task = FutexWaiter.task.get(view, waiter);
      if (Task.futexWaiter.get(view, task) !== waiter) report(`waiter ${waiter} is not its task's`);
    }
  },
});
