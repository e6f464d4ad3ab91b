/**
 * Faults in a running machine, for tests and the campaign: a thread stops inside the hook before a chosen step
 * of its transactions (rule R15) and stays there until its parent ends it, as hung or on request.
 *
 *     RUNNING ──armed from outside──▶ ARMED ──the chosen step──▶ STOPPED ──ended, a new thread──▶ RUNNING
 *
 * One shared buffer, with a block of words for each hart and each server's thread. Without it, threads work
 * with plain transactions and none of this is loaded.
 */

import type { HeapBuffers } from "../heap/heap.ts";
import { type CrashPoint, HookedTransaction, Transaction } from "../heap/transaction.ts";
import { SERVER_ORDER, type ServerName, serverIndex } from "../kernel/placement.ts";
import { HARTS_MAX } from "../kernel/scheduler.ts";
import type { KernelThread } from "../kernel/thread.ts";

const BLOCK_WORDS = 128;
export const FAULT = { state: 0, point: 1, count: 2, length: 3, text: 16 } as const;
export const FAULT_STATE = { RUNNING: 0, ARMED: 1, STOPPED: 2 } as const;
export const FAULT_BYTES: number = (HARTS_MAX + SERVER_ORDER.length) * BLOCK_WORDS * 4;

/** Kinds of step at which a thread can be stopped. */
export const FAULT_POINTS: readonly (CrashPoint | "any")[] = [
  "any",
  "store",
  "fresh",
  "lock",
  "commit",
  "committed",
  "rollback",
];

/** A thread that can be stopped: the hart of this number, or the server of this name. */
export type FaultTarget = number | ServerName;

/** The words of `target` in the buffer. */
export function faultBlock(faults: SharedArrayBuffer, target: FaultTarget): Int32Array<SharedArrayBuffer> {
  const index = typeof target === "number" ? target : HARTS_MAX + serverIndex(target);
  return new Int32Array(faults, index * BLOCK_WORDS * 4, BLOCK_WORDS);
}

/** What a thread was doing when it stopped, as `point file:line`. */
export function stoppedAt(block: Int32Array<SharedArrayBuffer>): string {
  const start = block.byteOffset + FAULT.text * 4;
  return new TextDecoder().decode(new Uint8Array(block.buffer, start, block[FAULT.length]).slice());
}

/** The transactions of a thread: from slot `index`, with the hook if there are faults to come. */
export function transactionsOf(
  buffers: HeapBuffers,
  thread: KernelThread,
  faults: SharedArrayBuffer | undefined,
  target: FaultTarget,
): (slot: number) => Transaction {
  if (faults === undefined) return (slot) => new Transaction(buffers, slot, thread);
  const block = faultBlock(faults, target);
  // A thread that is armed before it has started stays armed.
  const { STOPPED, RUNNING } = FAULT_STATE;
  if (Atomics.compareExchange(block, FAULT.state, STOPPED, RUNNING) === STOPPED) {
    Atomics.notify(block, FAULT.state);
  }
  const hook = (point: CrashPoint): void => strike(block, point);
  return (slot) => new HookedTransaction(buffers, slot, thread, hook);
}

function strike(block: Int32Array<SharedArrayBuffer>, point: CrashPoint): void {
  if (block[FAULT.state] !== FAULT_STATE.ARMED) return;
  const wanted = block[FAULT.point]!;
  if (wanted !== 0 && FAULT_POINTS[wanted] !== point) return;
  if (--block[FAULT.count]! > 0) return;
  const text = new TextEncoder().encode(`${point} ${callSite()}`).subarray(0, (BLOCK_WORDS - FAULT.text) * 4);
  new Uint8Array(block.buffer, block.byteOffset + FAULT.text * 4).set(text);
  block[FAULT.length] = text.length;
  // Whoever armed it may have lost patience since: then nobody would end this thread.
  const { ARMED, STOPPED } = FAULT_STATE;
  if (Atomics.compareExchange(block, FAULT.state, ARMED, STOPPED) !== ARMED) return;
  Atomics.notify(block, FAULT.state);
  for (;;) Atomics.wait(block, FAULT.state, STOPPED);
}

/** The first place on the stack outside the heap and this file. */
function callSite(): string {
  for (const line of (new Error("site").stack ?? "").split("\n").slice(1)) {
    const place = /((?:src|dist)\/[^():]+:\d+):\d+/.exec(line)?.[1];
    if (place !== undefined && !/\/heap\/|fault-control/.test(place)) return place;
  }
  return "unknown";
}
