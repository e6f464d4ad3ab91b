/**
 * Savepoints: undoing the later part of a transaction. What was stored and locked since the savepoint is put
 * back and released; the earlier part stays open. A server thread uses it to hand a call back that cannot get
 * a lock (kernel/placement/serve.ts).
 *
 * The later part guarded its own stores by its own locks, so these may be released as soon as those are undone
 * (T3 for the later part by itself). If the thread dies in between, the whole transaction is rolled back.
 */

import { assert } from "../base/assert.ts";
import { LOG_HEAD, SLOT, SLOT_LOG } from "./layout.ts";
import type { Transaction } from "./transaction.ts";
import { releaseLocks, undo } from "./undo.ts";

export interface Savepoint {
  /** Log entries and locks that were there. */
  readonly logged: number;
  readonly locks: number;
}

/** The transaction as far as it has come. */
export function savepoint(tx: Transaction): Savepoint {
  return { logged: tx.logged, locks: tx.locksHeld };
}

/** Undoes and unlocks what has come since `mark`. Not inside a system transaction. */
export function rollbackTo(tx: Transaction, mark: Savepoint): void {
  assert(!tx.inSystem, "a system transaction has no savepoints");
  const head = tx.slotAt + SLOT.main;
  assert(tx.words[head + LOG_HEAD.count]! >= mark.logged, "the savepoint lies behind the log's end");
  undo(tx, head, tx.slotAt + SLOT_LOG, mark.logged);
  releaseLocks(tx, head, tx.slotIndex, mark.locks);
}
