/**
 * The ledger of crashes: every failure of the system's own code, counted in the heap and told to the host.
 * It outlives the thread, the server and the request that failed.
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

export function createLedger(view: HeapView): void {
  placeRoot(view, "log", LOG_WORDS);
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
