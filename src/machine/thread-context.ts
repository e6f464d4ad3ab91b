/**
 * What every thread of a machine sets up for itself: its number, its view of the buffers, and what it does
 * when a lock stays taken.
 */

import { SLOT } from "../heap/layout.ts";
import type { HeapAddr, HeapBuffers } from "../heap/heap.ts";
import { recoverSlot } from "../heap/recovery.ts";
import { Transaction } from "../heap/transaction.ts";
import type { Host } from "../host/contract.ts";
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

/** Sleeps until the lock may be free; frees it if its holder is dead. */
function waitForLock(thread: KernelThread, host: Host, tx: Transaction, word: HeapAddr, value: number): void {
  const holder = (value & 0xffff) - 1;
  const holderThread = tx.words[tx.slot(holder) + SLOT.holder]!;
  if (holderThread !== 0 && isDead(tx, holderThread)) {
    recoverSlot(new Transaction(tx.buffers, holder, thread), thread.id, (each) => isDead(tx, each));
    return;
  }
  host.parking.wait(tx.words, word, value, LOCK_PATIENCE_MS);
}

/** A transaction from slot `index`, which this thread holds from now on. */
export function openSlot(buffers: HeapBuffers, index: number, thread: KernelThread): Transaction {
  const tx = new Transaction(buffers, index, thread);
  Atomics.store(tx.words, tx.slotAt + SLOT.holder, thread.id);
  return tx;
}
