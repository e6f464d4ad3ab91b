/**
 * Futexes: waiting for a word of user memory to be woken by name.
 *
 * The second kind of wait (rule R1, enqueue): a waiter is a record on the list of its bucket; the waker takes
 * it off, marks it woken, and the woken call only looks at that mark. Key: in a shared mapping the frame and
 * the offset in it; else the address space and the address.
 *
 *     root "futexes": BUCKETS buckets of 4 words: lock, first waiter, last waiter, round
 *                     then 256 bits, by tid: whose mutexes have been waited for (futex-owner.ts)
 *
 * The bucket's lock guards its list, the waiters on it, and the comparison of the word with what the waiter
 * expects: whoever changes the word and then wakes takes the lock after the change.
 *
 * A call that wakes or moves more waiters than one transaction may (rule R3) does so in steps. On Linux it is one moment,
 * and a waiter that is woken and waits again at once is not counted twice. So each waiter carries the *round* in which
 * its bucket was when it joined the list. The first step that leaves some over notes the rounds in the caller's record
 * (Task.futexRounds) and begins new ones; the further steps see nobody who came later. The note means something only
 * while that call goes on, so nobody has to clear it.
 *
 * Rejected: *a number for each waiter*, a logged store more in every wait; *the last waiter as the mark*: it may give up,
 * and its record be another's; *a record on the list as the mark*: a waiter that is none, to be taken off at every end
 * that a call can have.
 *
 * Invariants
 *   X1  A waiter is on its bucket's list if and only if it is not woken; its task's futexWaiter refers to it.
 *   X3  Rounds ascend along a list, and none is later than its bucket's.
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
const FIRST = 1;
const LAST = 2;
const ROUND = 3;
const OWNER_WORDS = 8;
export const FUTEX_BITSET_ALL = -1;

export function createFutexes(view: HeapView): void {
  placeRoot(view, "futexes", BUCKETS * BUCKET_WORDS + OWNER_WORDS);
}

/** Where the bit of `tid` stands that says whether a mutex of it has been waited for: word, and bit. */
export function ownerBit(view: HeapView, tid: number): readonly [at: HeapAddr, bit: number] {
  return [view.root("futexes") + BUCKETS * BUCKET_WORDS + ((tid >>> 5) % OWNER_WORDS), 1 << (tid & 31)];
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

/**
 * How many rounds ago it was that the bucket was in `round`. Rounds wrap: only a waiter of 2^32 rounds ago, each begun by
 * a call that woke or moved 32 others, would pass for one of the present.
 */
function ageOf(view: HeapView, bucket: HeapAddr, round: number): number {
  return (view.words[bucket + ROUND]! - round) >>> 0;
}

function linkLast(tx: Transaction, bucket: HeapAddr, waiter: FutexWaiter): void {
  const last = tx.words[bucket + LAST]!;
  tx.store(waiter + FutexWaiter.links.word, 0);
  tx.store(waiter + FutexWaiter.links.word + 1, last);
  if (last === 0) tx.store(bucket + FIRST, waiter);
  else tx.store(last + FutexWaiter.links.word, waiter);
  tx.store(bucket + LAST, waiter);
}

function unlink(tx: Transaction, bucket: HeapAddr, waiter: FutexWaiter): void {
  const after = nextWaiter(tx, waiter);
  const before = tx.words[waiter + FutexWaiter.links.word + 1]!;
  if (before === 0) tx.store(bucket + FIRST, after);
  else tx.store(before + FutexWaiter.links.word, after);
  if (after === 0) tx.store(bucket + LAST, before);
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
  FutexWaiter.round.init(tx, waiter, tx.words[bucket + ROUND]!);
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

/** Whose call wakes or moves waiters, and whether earlier steps of it have committed. */
export interface FutexCaller {
  readonly task: Task;
  readonly goesOn: boolean;
}

/** What a step has done: waiters woken (of a first and a second word) or moved. */
export interface FutexStep {
  readonly first: number;
  readonly second: number;
  /** Whether the step has done all that it may do: then there may be more, for another step. */
  readonly full: boolean;
}

/** Most waiters that one transaction wakes or moves: the bound of rule R3. */
const STEP_MAX = 32;

/** Whether a step that may see to `asked` waiters, and has seen to `done`, is to be followed by another. */
const isFull = (done: number, asked: number): boolean => done === STEP_MAX && asked > STEP_MAX;

/** The last round of the bucket, the caller's first or second, whose waiters the step may touch. */
function lastRound(view: HeapView, caller: FutexCaller, bucket: HeapAddr, index: 0 | 1): number {
  return caller.goesOn ? Task.futexRounds.get(view, caller.task, index) : view.words[bucket + ROUND]!;
}

/** The end of a full step: who waits from now on is not of those that the further steps of the call touch. */
function closeRounds(tx: Transaction, caller: FutexCaller, first: HeapAddr, second: HeapAddr): void {
  if (caller.goesOn) return;
  for (const [index, bucket] of [first, second].entries())
    Task.futexRounds.set(tx, caller.task, index, tx.words[bucket + ROUND]!);
  for (const bucket of new Set([first, second]))
    tx.store(bucket + ROUND, (tx.words[bucket + ROUND]! + 1) | 0);
}

/** Wakes the first waiter of `key`. */
export function wakeFirst(tx: Transaction, key: FutexKey): void {
  const bucket = bucketOf(tx, key);
  lockBucket(tx, bucket);
  wakeInBucket(tx, bucket, key, 1, FUTEX_BITSET_ALL, tx.words[bucket + ROUND]!);
}

/** Wakes up to `count` waiters; one step. */
export function wakeFutex(
  tx: Transaction,
  caller: FutexCaller,
  key: FutexKey,
  count: number,
  bitset: number,
): FutexStep {
  const bucket = bucketOf(tx, key);
  lockBucket(tx, bucket);
  const last = lastRound(tx, caller, bucket, 0);
  const woken = wakeInBucket(tx, bucket, key, Math.min(count, STEP_MAX), bitset, last);
  const full = isFull(woken, count);
  if (full) closeRounds(tx, caller, bucket, bucket);
  return { first: woken, second: 0, full };
}

/**
 * Calls `change`, then wakes up to `counts[0]` waiters of `keys[0]` and, if `change` has answered true, up to
 * `counts[1]` of `keys[1]`; one step.
 */
export function wakeTwoFutexes(
  tx: Transaction,
  caller: FutexCaller,
  keys: readonly [FutexKey, FutexKey],
  counts: readonly [number, number],
  change: () => boolean,
): FutexStep {
  const [one, other] = lockTwo(tx, keys[0], keys[1]);
  const both = change();
  const wake = (index: 0 | 1, bucket: HeapAddr, count: number): number =>
    wakeInBucket(tx, bucket, keys[index], count, FUTEX_BITSET_ALL, lastRound(tx, caller, bucket, index));
  const first = wake(0, one, Math.min(counts[0], STEP_MAX));
  const second = both ? wake(1, other, Math.min(counts[1], STEP_MAX - first)) : 0;
  const full = isFull(first + second, counts[0] + (both ? counts[1] : 0));
  if (full) closeRounds(tx, caller, one, other);
  return { first, second, full };
}

/** The buckets of two keys, locked. */
function lockTwo(tx: Transaction, one: FutexKey, other: FutexKey): readonly [HeapAddr, HeapAddr] {
  const first = bucketOf(tx, one);
  const second = bucketOf(tx, other);
  lockBucket(tx, Math.min(first, second));
  if (first !== second) lockBucket(tx, Math.max(first, second));
  return [first, second];
}

/** The first waiter for the key from `waiter` on, none behind those of round `last`. It may be one of a mutex: EINVAL. */
function findWaiter(
  tx: Transaction,
  bucket: HeapAddr,
  waiter: FutexWaiter,
  key: FutexKey,
  bitset: number,
  last: number,
): FutexWaiter {
  const leastAge = ageOf(tx, bucket, last);
  for (let at = waiter; at !== 0; at = nextWaiter(tx, at)) {
    if (ageOf(tx, bucket, FutexWaiter.round.get(tx, at)) < leastAge) break;
    if (!isFor(tx, at, key, bitset)) continue;
    needPlain(tx, at);
    return at;
  }
  return 0 as FutexWaiter;
}

function wakeInBucket(
  tx: Transaction,
  bucket: HeapAddr,
  key: FutexKey,
  count: number,
  bitset: number,
  last: number,
): number {
  let woken = 0;
  let next = tx.words[bucket + FIRST]! as FutexWaiter;
  while (woken < count) {
    const waiter = findWaiter(tx, bucket, next, key, bitset, last);
    if (waiter === 0) break;
    next = nextWaiter(tx, waiter);
    wakeWaiter(tx, bucket, waiter);
    woken++;
  }
  return woken;
}

/**
 * Wakes up to `wake` waiters of `from` and moves up to `move` others to `to`, if the word at `physical` still
 * holds `expected` (undefined: whatever it holds); one step.
 */
export function requeueFutex(
  tx: Transaction,
  caller: FutexCaller,
  [from, to]: readonly [FutexKey, FutexKey],
  [wake, move]: readonly [number, number],
  physical: number,
  expected: number | undefined,
): FutexStep {
  const [source, target] = lockTwo(tx, from, to);
  if (expected !== undefined && loadUserWord(tx, physical) !== (expected | 0)) throw errno.EAGAIN;
  const last = lastRound(tx, caller, source, 0);
  const woken = wakeInBucket(tx, source, from, Math.min(wake, STEP_MAX), FUTEX_BITSET_ALL, last);
  const left = STEP_MAX - woken;
  // Who is moved to where he is counts and stays: no store, so no bound, but the woken ones first.
  const stays = from.object === to.object && from.offset === to.offset;
  const most = stays && left > 0 ? move : Math.min(move, left);
  let moved = 0;
  let next = tx.words[source + FIRST]! as FutexWaiter;
  while (moved < most) {
    const waiter = findWaiter(tx, source, next, from, FUTEX_BITSET_ALL, last);
    if (waiter === 0) break;
    next = nextWaiter(tx, waiter);
    if (!stays) moveWaiter(tx, waiter, source, target, to);
    moved++;
  }
  const full = isFull(stays ? woken : woken + moved, wake + move);
  if (full) closeRounds(tx, caller, source, source);
  return { first: woken, second: moved, full };
}

/**
 * Moves a waiter behind those that wait for `to`, whichever bucket they are in. In the target's present round, it is
 * none of those that a call in steps there saw when it began, nor here if another call moves it back.
 */
function moveWaiter(
  tx: Transaction,
  waiter: FutexWaiter,
  source: HeapAddr,
  target: HeapAddr,
  to: FutexKey,
): void {
  unlink(tx, source, waiter);
  linkLast(tx, target, waiter);
  if (source !== target) FutexWaiter.bucket.set(tx, waiter, target);
  FutexWaiter.round.set(tx, waiter, tx.words[target + ROUND]!);
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
        let waiter = view.words[bucket + FIRST]! as FutexWaiter;
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

registerInvariant({
  id: "X3",
  statement: "rounds ascend along a list of futex waiters, and none is later than its bucket's",
  check(view, report) {
    for (const waiter of liveRecords(view, FutexWaiter.schema)) {
      if (FutexWaiter.woken.get(view, waiter) !== 0) continue;
      const round = FutexWaiter.round.get(view, waiter);
      const behind = nextWaiter(view, waiter);
      const limit =
        behind === 0
          ? view.words[FutexWaiter.bucket.get(view, waiter) + ROUND]!
          : FutexWaiter.round.get(view, behind);
      if (((limit - round) | 0) < 0) report(`waiter ${waiter} is of round ${round}, before ${limit}`);
    }
  },
});
