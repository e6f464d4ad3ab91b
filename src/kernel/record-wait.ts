/**
 * Who waits for whose record lock: so that a wait that would close a circle of processes fails with EDEADLK.
 *
 *     table A ──its task waits for a lock of──▶ table B ──▶ table C ──▶ table A
 *
 * A task that has found a lock in its way rolls back, notes the lock's owner in a transaction under the tree lock, and
 * looks again; it waits only if it finds the same owner at the same count of releases. So two tasks that close a
 * circle together note one after the other, and the later one sees it. A note is true for as long as the condition's
 * counter is the one noted: a release on the file wakes the task, which notes anew. Owners are descriptor tables, as
 * on Linux (files_struct), which looks ten steps far, too.
 */

import { append, each } from "../heap/list.ts";
import type { HeapAddr, HeapView } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import { lockTree, unlistLockWaiter } from "./process.ts";
import { Kernel, Task } from "./task.ts";

/** Steps that a search for a circle takes (MAX_DEADLK_ITERATIONS). */
const STEPS_MAX = 10;

export interface RecordWait {
  /** The descriptor table that owns the lock in the way. */
  readonly blocker: HeapAddr;
  readonly condition: HeapAddr;
  readonly counter: number;
}

/** Whether just this wait is noted for the task. */
export function isNoted(view: HeapView, task: Task, wait: RecordWait): boolean {
  return (
    Task.lockBlocker.get(view, task) === wait.blocker &&
    Task.lockCondition.get(view, task) === wait.condition &&
    Task.lockCounter.get(view, task) === wait.counter
  );
}

/** Notes what the task is going to wait for; false, and nothing noted, if that would close a circle. */
export function noteRecordWait(tx: Transaction, task: Task, wait: RecordWait): boolean {
  const kernel = lockTree(tx);
  const own = Task.files.get(tx, task);
  forgetOldWaits(tx, kernel);
  let owner = wait.blocker;
  for (let step = 0; step < STEPS_MAX && owner !== 0; step++) {
    if (owner === own) {
      forgetRecordWait(tx, task);
      return false;
    }
    owner = blockerOf(tx, kernel, owner, task);
  }
  Task.lockBlocker.set(tx, task, wait.blocker);
  Task.lockCondition.set(tx, task, wait.condition);
  Task.lockCounter.set(tx, task, wait.counter);
  if (Task.lockListed.get(tx, task) === 0) {
    Task.lockListed.set(tx, task, 1);
    append(tx, Kernel.lockWaiters, kernel, Task.lockLinks, task);
  }
  return true;
}

/** Whether the task still waits for the lock that it has noted. */
function isWaiting(view: HeapView, task: Task): boolean {
  if (Task.lockBlocker.get(view, task) === 0) return false;
  const counter = view.atomics.load(Task.lockCondition.get(view, task));
  return counter === Task.lockCounter.get(view, task);
}

/** Tasks whose notes are over that one search takes off the list. */
const FORGET_STEP = 16;

function forgetOldWaits(tx: Transaction, kernel: Kernel): void {
  let left = FORGET_STEP;
  for (const task of each(tx, Kernel.lockWaiters, kernel, Task.lockLinks)) {
    if (isWaiting(tx, task)) continue;
    if (left-- === 0) break;
    unlistLockWaiter(tx, task);
  }
}

/** The owner for whose lock a task of `table` waits; 0 if none waits. */
function blockerOf(view: HeapView, kernel: Kernel, table: HeapAddr, except: Task): HeapAddr {
  for (const task of each(view, Kernel.lockWaiters, kernel, Task.lockLinks)) {
    if (task === except || Task.files.get(view, task) !== table) continue;
    if (isWaiting(view, task)) return Task.lockBlocker.get(view, task);
  }
  return 0;
}

/** The task does not wait any more. */
export function forgetRecordWait(tx: Transaction, task: Task): void {
  if (Task.lockBlocker.get(tx, task) !== 0) Task.lockBlocker.set(tx, task, 0);
}
