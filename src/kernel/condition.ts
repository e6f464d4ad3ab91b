/**
 * Conditions: what requests wait for.
 *
 * A condition is two words inside some record: a counter, and the first of the waiters. The counter is
 * guarded by the lock that its record names and goes up, in the same transaction, with every change that may
 * end a wait. The waiters are guarded by the scheduler's lock (kernel/scheduler.ts).
 *
 *     waiter                                    waker
 *     ------                                    -----
 *     runs, finds "not yet", notes the counter  changes the state and the counter, commits
 *     rolls back, releases all locks            looks for waiters; makes them runnable after its commit
 *     registers as waiter; reads the counter
 *     again; sleeps only if it is the same
 *
 * The waiter registers before it reads, the waker changes before it looks, and an atomic operation stands
 * between each pair, so at least one of the two sees the other: no wake-up is lost.
 */

import type { HeapAddr, HeapView } from "../heap/heap.ts";
import { REDO } from "../heap/layout.ts";
import type { Transaction } from "../heap/transaction.ts";

export const CONDITION = { counter: 0, waiters: 1 } as const;

/**
 * Says that a wait for the condition at `condition` may be over. The waiters run again after the transaction
 * has committed. Call it while holding the lock that guards the condition.
 */
export function signalCondition(tx: Transaction, condition: HeapAddr): void {
  tx.store(condition, (tx.words[condition]! + 1) | 0);
  // The atomic operation is the barrier between the change and the look. Who registers after it reads the new
  // counter and does not sleep.
  if (tx.atomics.add(condition + CONDITION.waiters, 0) !== 0) tx.afterCommit(REDO.wake, condition);
}

/**
 * Whether anybody is registered for the condition. A server that signals only the changes that can end a wait
 * (a pipe that was empty) signals every change while this holds: an edge-triggered epoll reports each one. Call it
 * while holding the lock that guards the condition.
 */
export function hasWaiters(view: HeapView, condition: HeapAddr): boolean {
  return view.words[condition + CONDITION.waiters] !== 0;
}
