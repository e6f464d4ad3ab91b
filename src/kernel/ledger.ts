/**
 * The ledger: what went wrong in the system itself, counted in the heap, where it outlives the thread, the
 * server and the request concerned. Crashes of the system's own code are told to the host, too. System calls
 * that were answered ENOSYS are counted by number: what programs asked for and the system does not have.
 */

import { placeRoot, type HeapView } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";

/** Root "log": counters. */
const LOG_WORDS = 16;
const LOG = { crashes: 0, harts: 1, servers: 2, wardens: 3 } as const;
/** Threads whose ends are counted. */
export type MortalRole = "harts" | "servers" | "wardens";

/** Listener for the text of a crash: the thread's own, set at its start. Text is no state. */
let listener: ((where: string, error: unknown) => void) | undefined;

/** Root "missing-calls": a counter for each number below this, then one for all numbers beyond. */
const MISSING_NUMBERS = 512;

export function createLedger(view: HeapView): void {
  placeRoot(view, "log", LOG_WORDS);
  placeRoot(view, "missing-calls", MISSING_NUMBERS + 1);
}

/** Sets what hears of crashes in this thread. */
export function onCrash(hear: (where: string, error: unknown) => void): void {
  listener = hear;
}

/** Counts a crash. Not undone: an atomic addition, made after the rollback. */
export function recordCrash(tx: Transaction, where: string, error: unknown): void {
  const at = tx.root("log");
  if (at !== 0) Atomics.add(tx.words, at, 1);
  listener?.(where, error);
}

/** Crashes of the system's own code so far. */
export function crashCount(view: HeapView): number {
  const at = view.root("log");
  return at === 0 ? 0 : Atomics.load(view.words, at);
}

/** Counts the end of a thread that was not meant to end. */
export function recordDeath(view: HeapView, role: MortalRole): void {
  const at = view.root("log");
  if (at !== 0) Atomics.add(view.words, at + LOG[role], 1);
}

/** Threads of a role that have ended so far and were replaced. */
export function deathCount(view: HeapView, role: MortalRole): number {
  const at = view.root("log");
  return at === 0 ? 0 : Atomics.load(view.words, at + LOG[role]);
}

/**
 * Counts a system call that was answered ENOSYS. Not undone: what counts is that a program was told so, and it
 * is told after the rollback.
 */
export function recordMissingCall(view: HeapView, number: number): void {
  const at = view.root("missing-calls");
  if (at !== 0) Atomics.add(view.words, at + Math.min(number >>> 0, MISSING_NUMBERS), 1);
}

/** How often each system call was answered ENOSYS so far; those that never were are left out. */
export function missingCalls(view: HeapView): Map<number, number> {
  const counts = new Map<number, number>();
  const at = view.root("missing-calls");
  for (let number = 0; at !== 0 && number <= MISSING_NUMBERS; number++) {
    const count = Atomics.load(view.words, at + number);
    if (count !== 0) counts.set(number, count);
  }
  return counts;
}
