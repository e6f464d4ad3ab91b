/**
 * Futexes with an owner (FUTEX_LOCK_PI and its kin): the word holds the TID of the thread that has the mutex, and
 * FUTEX_WAITERS while somebody waits in the kernel.
 *
 *     user mode    0 ──▶ TID        the usual lock and unlock: no call
 *     LOCK_PI      TID ──▶ TID | WAITERS, wait
 *     UNLOCK_PI    TID | WAITERS ──▶ next TID | WAITERS, wake the next;  ──▶ 0 if nobody waits
 *     owner ends   … ──▶ next TID | WAITERS | OWNER_DIED, wake the next
 *
 * Priorities are inherited by nobody, since all tasks have the same turn (scheduler.ts); what programs see of such
 * mutexes is who owns them. The next owner is the one that has waited longest, and it owns the mutex before it runs.
 *
 * The word is user memory: changed by compare-and-exchange under the bucket's lock, and not undone. So a call that
 * fails after the change and runs again finds it made. LOCK_PI and UNLOCK_PI therefore say beforehand, in a commit of
 * their own (Task.progress), that they have begun: then a word that names the caller, or no longer names it, is their
 * own work. A next owner that is not yet marked woken is marked by whoever comes first: the call run again, or itself.
 *
 * Invariants
 *   X2  All waiters for one mutex name the same owner, which none of them is.
 */

import { errno } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/hart-abi.ts";
import { LOCK_RANK } from "../base/lock-order.ts";
import { liveRecords, registerInvariant } from "../heap/check.ts";
import type { HeapView } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import {
  bucketOf,
  endFutexWait,
  FUTEX_BITSET_ALL,
  type FutexKey,
  insertWaiter,
  nextWaiter,
  ownerBit,
  wakeWaiter,
} from "./futex.ts";
import { spaceRoot } from "./memory/address-space.ts";
import { translate } from "./memory/page-table.ts";
import type { AddressSpace } from "./memory/records.ts";
import { exchangeUserWord, loadUserWord } from "./memory/user-word.ts";
import { taskOf } from "./process.ts";
import { FutexWaiter, Task } from "./task.ts";

const WAITERS = 0x8000_0000 | 0;
const OWNER_DIED = 0x4000_0000;
const TID_MASK = 0x3fff_ffff;

/** Where a call stands with the mutex. */
export const OWNED = { TAKEN: 0, WAITING: 1 } as const;

/** The first waiter for the mutex, in its locked bucket. */
function firstWaiter(tx: Transaction, key: FutexKey): FutexWaiter {
  let waiter = tx.words[bucketOf(tx, key) + 1]! as FutexWaiter;
  while (waiter !== 0 && !(isOwnerWaiter(tx, waiter) && isOf(tx, waiter, key)))
    waiter = nextWaiter(tx, waiter);
  return waiter;
}

function isOf(view: HeapView, waiter: FutexWaiter, key: FutexKey): boolean {
  return (
    FutexWaiter.keyObject.get(view, waiter) === key.object &&
    FutexWaiter.keyOffset.get(view, waiter) === key.offset
  );
}

export function isOwnerWaiter(view: HeapView, waiter: FutexWaiter): boolean {
  return FutexWaiter.ownerTid.get(view, waiter) !== 0;
}

/** Whether the caller owns the mutex whose word lies at `physical`. */
export function ownsMutex(tx: Transaction, task: Task, physical: number): boolean {
  return (loadUserWord(tx, physical) & TID_MASK) === Task.tid.get(tx, task);
}

/** Whether `tid` is no thread, or one that has given up what others wait for and will not look again. */
function isGone(view: HeapView, tid: number): boolean {
  const task = taskOf(view, tid);
  return task === 0 || Task.mutexesReleased.get(view, task) !== 0;
}

/**
 * Whether the owner that the task waits for has ended without seeing it: it was enqueued after the owner's last look.
 * The owner says so before it looks, the task is enqueued before it asks: one of the two sees the other.
 */
export function isForgotten(view: HeapView, task: Task): boolean {
  const waiter = Task.futexWaiter.get(view, task);
  return FutexWaiter.woken.get(view, waiter) === 0 && isGone(view, FutexWaiter.ownerTid.get(view, waiter));
}

/**
 * Takes the mutex, or enqueues the task behind its owner. ESRCH if the owner is no thread any more; with `mayWait`
 * false, EAGAIN instead of waiting. The caller has seen to it that it does not own the mutex already.
 */
export function lockMutex(
  tx: Transaction,
  task: Task,
  key: FutexKey,
  physical: number,
  mayWait: boolean,
): number {
  tx.lock(bucketOf(tx, key), LOCK_RANK.futex);
  const tid = Task.tid.get(tx, task);
  for (;;) {
    const word = loadUserWord(tx, physical);
    const owner = word & TID_MASK;
    const waiter = firstWaiter(tx, key);
    if (owner === tid) return OWNED.TAKEN;
    if (owner === 0 && waiter === 0) {
      if (exchangeUserWord(tx, physical, word, (word & OWNER_DIED) | tid)) return OWNED.TAKEN;
      continue;
    }
    if (waiter === 0 && isGone(tx, owner)) {
      if (loadUserWord(tx, physical) === word) throw errno.ESRCH;
      continue;
    }
    if (!mayWait) throw errno.EAGAIN;
    if ((word & WAITERS) === 0 && !exchangeUserWord(tx, physical, word, word | WAITERS)) continue;
    const named = waiter === 0 ? owner : FutexWaiter.ownerTid.get(tx, waiter);
    noteOwner(tx, named);
    insertWaiter(tx, task, key, FUTEX_BITSET_ALL, named);
    return OWNED.WAITING;
  }
}

/**
 * Gives the mutex to the next waiter, or to nobody. The caller has owned it when the call began: if it does no
 * longer, an earlier attempt has changed the word.
 */
export function unlockMutex(tx: Transaction, task: Task, key: FutexKey, physical: number): void {
  tx.lock(bucketOf(tx, key), LOCK_RANK.futex);
  for (;;) {
    const word = loadUserWord(tx, physical);
    const waiter = firstWaiter(tx, key);
    const owner = word & TID_MASK;
    if (owner !== Task.tid.get(tx, task)) {
      if (waiter !== 0 && owner === tidOf(tx, waiter)) handOver(tx, key, waiter);
      return;
    }
    const next = waiter === 0 ? 0 : tidOf(tx, waiter) | WAITERS;
    if (!exchangeUserWord(tx, physical, word, next)) continue;
    if (waiter !== 0) handOver(tx, key, waiter);
    return;
  }
}

function tidOf(view: HeapView, waiter: FutexWaiter): number {
  return Task.tid.get(view, FutexWaiter.task.get(view, waiter));
}

/**
 * Ends the task's wait for a futex of any kind; true if it had been woken. One that the word of its mutex names has been
 * given it by an attempt that died before it could wake anybody, and counts as woken.
 */
export function leaveMutexWait(tx: Transaction, task: Task): boolean {
  const waiter = Task.futexWaiter.get(tx, task);
  if (!isOwnerWaiter(tx, waiter)) return endFutexWait(tx, task);
  const key = keyOf(tx, waiter);
  tx.lock(bucketOf(tx, key), LOCK_RANK.futex);
  if (FutexWaiter.woken.get(tx, waiter) === 0) {
    const physical = wordOf(tx, key);
    if (physical >= 0 && ownsMutex(tx, task, physical)) handOver(tx, key, waiter);
  }
  return endFutexWait(tx, task);
}

function keyOf(view: HeapView, waiter: FutexWaiter): FutexKey {
  return {
    object: FutexWaiter.keyObject.get(view, waiter),
    offset: FutexWaiter.keyOffset.get(view, waiter),
  };
}

/** Where the word of a mutex lies, −1 if it cannot be written where it is. */
function wordOf(tx: Transaction, key: FutexKey): number {
  if (key.object < 0) return (-1 - key.object) * PAGE_SIZE + key.offset;
  return translate(tx, spaceRoot(tx, key.object as AddressSpace), key.offset, true);
}

/**
 * Notes, before anybody is enqueued, that mutexes of `tid` are waited for: a thread of which that has never been noted
 * need not look through all waiters when it ends. A hint that is shared by some threads, never undone and never cleared.
 */
function noteOwner(tx: Transaction, tid: number): void {
  Atomics.or(tx.words, ...ownerBit(tx, tid));
}

/** The word names the waiter: it is woken, and the others wait for it. */
function handOver(tx: Transaction, key: FutexKey, next: FutexWaiter): void {
  const tid = tidOf(tx, next);
  noteOwner(tx, tid);
  wakeWaiter(tx, bucketOf(tx, key), next);
  for (let other = firstWaiter(tx, key); other !== 0; other = nextWaiter(tx, other)) {
    if (isOwnerWaiter(tx, other) && isOf(tx, other, key)) FutexWaiter.ownerTid.set(tx, other, tid);
  }
}

/**
 * A thread ends that threads wait for: one of its mutexes goes to the one that has waited longest, which is told so
 * by OWNER_DIED. True when nobody waits for it.
 */
export function releaseMutexStep(tx: Transaction, task: Task): boolean {
  const tid = Task.tid.get(tx, task);
  const [at, bit] = ownerBit(tx, tid);
  // Written, so that it does not overtake the store which says that the task looks for the last time.
  if ((Atomics.or(tx.words, at, 0) & bit) === 0) return true;
  for (const candidate of liveRecords(tx, FutexWaiter.schema)) {
    if (FutexWaiter.ownerTid.get(tx, candidate) !== tid || FutexWaiter.woken.get(tx, candidate) !== 0)
      continue;
    const key = keyOf(tx, candidate);
    tx.lock(bucketOf(tx, key), LOCK_RANK.futex);
    // Looked at without the lock: it may have been given away or given up meanwhile.
    const waiter = firstWaiter(tx, key);
    if (waiter === 0 || FutexWaiter.ownerTid.get(tx, waiter) !== tid) return false;
    const physical = wordOf(tx, key);
    if (physical >= 0) Atomics.store(tx.memory, physical >>> 2, tidOf(tx, waiter) | WAITERS | OWNER_DIED);
    handOver(tx, key, waiter);
    return false;
  }
  return true;
}

registerInvariant({
  id: "X2",
  statement: "all waiters for one mutex name the same owner, which none of them is",
  check(view, report) {
    const owners = new Map<string, number>();
    for (const waiter of liveRecords(view, FutexWaiter.schema)) {
      const owner = FutexWaiter.ownerTid.get(view, waiter);
      if (owner === 0 || FutexWaiter.woken.get(view, waiter) !== 0) continue;
      const key = `${FutexWaiter.keyObject.get(view, waiter)}:${FutexWaiter.keyOffset.get(view, waiter)}`;
      if ((owners.get(key) ?? owner) !== owner) report(`waiter ${waiter} names ${owner}, others another`);
      if (tidOf(view, waiter) === owner) report(`waiter ${waiter} waits for itself`);
      owners.set(key, owner);
    }
  },
});
