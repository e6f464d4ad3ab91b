/**
 * Recovery of a request that may be lent: what is done after the thread that a slot belongs to has ended.
 *
 * The slot belongs to the caller of frame 0, or, if nothing is lent, to the slot's holder. While that thread
 * is alive, the request is its own business, even if a server's thread that worked on it has died. When it is
 * dead, calls that nobody has taken are withdrawn, and the rollback begins as soon as every server's thread
 * that has the request has handed it back or has ended too (rule R10).
 */

import { SLOT } from "../../heap/layout.ts";
import { claimRecovery, undoSlot, yieldRecovery } from "../../heap/recovery.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { FRAME, frameOf, reclaim } from "./frame.ts";

/** The thread that the slot of `tx` belongs to, 0 if none. */
export function slotOwner(tx: Transaction): number {
  if (tx.words[tx.slotAt + SLOT.call] === 0) return tx.words[tx.slotAt + SLOT.holder]!;
  return tx.words[frameOf(tx, tx.slotIndex, 0) + FRAME.caller]!;
}

/**
 * Recovers the slot from which `tx` works if the thread to which it belongs has ended; like recoverSlot of
 * heap/recovery.ts, but also for requests that are lent. False: not now, and perhaps not needed.
 */
export function recoverRequest(
  tx: Transaction,
  thread: number,
  isDead: (thread: number) => boolean,
): boolean {
  return withStillSlot(tx, thread, isDead, () => undoSlot(tx));
}

/**
 * The part of {@link recoverRequest} that others wait for: undoes what is not committed and frees the locks.
 * It takes no lock, so whoever waits for one of a dead thread's locks may call it, in the middle of a
 * transaction of its own; the rest is left to the warden, who holds nothing.
 */
export function releaseRequest(
  tx: Transaction,
  thread: number,
  isDead: (thread: number) => boolean,
): boolean {
  return withStillSlot(tx, thread, isDead, () => {
    if (tx.words[tx.slotAt + SLOT.holder] !== 0) tx.undo();
  });
}

/** Does `work` as the one recoverer of the slot, once no thread works in it any more; false if some may. */
function withStillSlot(
  tx: Transaction,
  thread: number,
  isDead: (thread: number) => boolean,
  work: () => void,
): boolean {
  if (!claimRecovery(tx, thread, isDead)) return false;
  const owner = slotOwner(tx);
  const ours = owner === 0 || owner === thread || isDead(owner);
  const lent = ours && tx.words[tx.slotAt + SLOT.call] !== 0;
  const still = ours && (!lent || reclaim(tx, tx.slotIndex, 0, owner, isDead));
  if (still) work();
  yieldRecovery(tx);
  return still;
}
