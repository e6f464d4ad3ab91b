/**
 * What every thread of a machine sets up for itself: its number, its view of the buffers, and what it does
 * when a lock stays taken.
 */

import { LOCK_HOLDER, SLOT } from "../heap/layout.ts";
import type { HeapAddr } from "../heap/heap.ts";
import { Transaction } from "../heap/transaction.ts";
import type { Host } from "../host/contract.ts";
import { releaseRequest, slotOwner } from "../kernel/placement/recover.ts";
import { contendedInServer } from "../kernel/placement/serve.ts";
import { isDead } from "../kernel/placement/threads.ts";
import { KernelThread } from "../kernel/thread.ts";

/** Milliseconds that a thread sleeps on a lock before it looks whether the holder is still alive. */
const LOCK_PATIENCE_MS = 5;

/** The thread with number `number` in the thread table. */
export function createThread(number: number, host: Host): KernelThread {
  const thread: KernelThread = new KernelThread(number, host.clock, host.entropy, (tx, word, value) =>
    waitForLock(thread, host, tx, word, value),
  );
  return thread;
}

/** The thread of a server, with number `number`: it hands a call back rather than wait for its locks. */
export function createServerThread(number: number, host: Host): KernelThread {
  return new KernelThread(number, host.clock, host.entropy, contendedInServer(host.parking));
}

/** Sleeps until the lock may be free; frees it if whoever held it is dead. */
function waitForLock(thread: KernelThread, host: Host, tx: Transaction, word: HeapAddr, value: number): void {
  const slot = (value & LOCK_HOLDER) - 1;
  const other = new Transaction(tx.buffers, slot, thread);
  const owner = slotOwner(other);
  if (owner !== 0 && isDead(tx, owner) && releaseRequest(other, thread.id, (each) => isDead(tx, each)))
    return;
  host.parking.wait(tx.words, word, value, LOCK_PATIENCE_MS);
}

/** Makes `thread` the holder of the slot of `tx`. */
export function holdSlot(tx: Transaction, thread: KernelThread): Transaction {
  Atomics.store(tx.words, tx.slotAt + SLOT.holder, thread.id);
  return tx;
}

/** Gives the slot up, at rest. */
export function leaveSlot(tx: Transaction): void {
  tx.rollback();
  Atomics.store(tx.words, tx.slotAt + SLOT.holder, 0);
}
