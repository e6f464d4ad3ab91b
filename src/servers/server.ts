/**
 * What servers share besides the contract (kernel/placement.ts): references that are given up after the
 * commit.
 *
 * Giving up a reference may end the life of what it referred to, and of what that refers to, whose locks rank
 * before those that the request holds by then. So it is filed as a redo step: the request's own transaction
 * only notes it, and after the commit, when no lock is held, a system transaction takes the reference away
 * and, if it was the last, frees the record in bounded parts.
 */

import { assert } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import { RECORD_ID, type RecordName } from "../base/record-ids.ts";
import { liveTypeAt } from "../heap/allocator.ts";
import type { HeapAddr } from "../heap/heap.ts";
import { REDO, REDO_MAX, SLOT } from "../heap/layout.ts";
import type { Ref } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { registerRedo } from "../kernel/thread.ts";

/**
 * Takes one reference to `record` away, or does a bounded part of what follows from that; false if it has to
 * be called again. Runs in a system transaction: it may take locks of any rank in rising order, must not
 * allocate, frees with redoFree, and may file a few further steps. `note` is what the giver said.
 */
export type Drop<N extends RecordName> = (tx: Transaction, record: Ref<N>, note: number) => boolean;

/** Records are aligned to 16 words, so an address has room for a note. */
const NOTE_MASK = 15;
/** Steps that a redo list keeps free for what its steps file themselves. */
const REDO_RESERVE = 32;

const drops: (Drop<RecordName> | undefined)[] = [];

/** Says how references to records of a type are given up. Once for each type, when a module is loaded. */
export function registerDrop<N extends RecordName>(name: N, drop: Drop<N>): void {
  assert(drops[RECORD_ID[name]] === undefined, `drop of ${name} registered twice`);
  drops[RECORD_ID[name]] = drop as unknown as Drop<RecordName>;
}

/**
 * Gives up one reference to `record` once this transaction has committed. Nothing if it is none. `note` (0 to
 * 15) tells the record's server what else ends with the reference.
 */
export function dropAfterCommit(tx: Transaction, record: HeapAddr, note: number = 0): void {
  if (record === 0) return;
  if (!tx.inSystem && tx.words[tx.slotAt + SLOT.redoCount]! >= REDO_MAX - REDO_RESERVE) throw errno.ENOMEM;
  tx.afterCommit(REDO.drop, record | note);
}

registerRedo(REDO.drop, (tx, value) => {
  const record = value & ~NOTE_MASK;
  const type = liveTypeAt(tx, record);
  const drop = drops[type];
  assert(drop !== undefined, `nobody knows how to give up a reference to ${record}, of type ${type}`);
  return drop(tx, record as Ref<RecordName>, value & NOTE_MASK);
});
