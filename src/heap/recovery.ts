/**
 * Recovery: what undoes the work of a thread that has died.
 *
 * The caller has made sure that every thread which worked from the slot has ended (rule R10); only then is
 * its memory still. Any thread may recover any slot, from what the slot itself says. Each step is idempotent,
 * so a recovery that dies is simply done again by the next: until a log's count is zero the locks are still
 * held, nobody else can have touched the logged words, and restoring them a second time gives the same.
 */

import { SLOT } from "./layout.ts";
import type { Transaction } from "./transaction.ts";

/**
 * Makes `thread` the one who recovers the slot from which `tx` works; false if another living thread is at it.
 * `isDead` tells whether a thread has ended, so that the recovery of a recoverer that died is taken over.
 */
export function claimRecovery(tx: Transaction, thread: number, isDead: (thread: number) => boolean): boolean {
  const at = tx.slotAt + SLOT.recoverer;
  const recoverer = Atomics.compareExchange(tx.words, at, 0, thread);
  if (recoverer === 0 || recoverer === thread) return true;
  return isDead(recoverer) && Atomics.compareExchange(tx.words, at, recoverer, thread) === recoverer;
}

/** Ends what {@link claimRecovery} began. */
export function yieldRecovery(tx: Transaction): void {
  Atomics.store(tx.words, tx.slotAt + SLOT.recoverer, 0);
}

/**
 * Rolls back the request of the slot from which `tx` works, if the thread that held the slot has ended: undoes
 * it, frees its locks, carries out what it had already committed, and leaves the slot free. `thread` is the
 * number of the recovering thread.
 *
 * False, and nothing is done, if another thread is at it; if the slot's holder is alive (the slot has been
 * recovered and taken again since the caller looked); or if the request is lent to other threads, of which
 * only kernel/placement/recover.ts knows whether they have ended.
 */
export function recoverSlot(tx: Transaction, thread: number, isDead: (thread: number) => boolean): boolean {
  const w = tx.words;
  if (!claimRecovery(tx, thread, isDead)) return false;
  // Only now, as the one recoverer, may we trust what the slot says.
  const holder = Atomics.load(w, tx.slotAt + SLOT.holder);
  const ours = holder === 0 || holder === thread || isDead(holder);
  if (ours && w[tx.slotAt + SLOT.call] === 0) {
    undoSlot(tx);
    yieldRecovery(tx);
    return true;
  }
  yieldRecovery(tx);
  return false;
}

/** The recovery itself, for whoever has claimed it and knows that nobody else writes in the slot. */
export function undoSlot(tx: Transaction): void {
  // A slot that nobody holds has been recovered before, or never used.
  if (Atomics.load(tx.words, tx.slotAt + SLOT.holder) === 0) return;
  tx.rollback();
  Atomics.store(tx.words, tx.slotAt + SLOT.holder, 0);
}
