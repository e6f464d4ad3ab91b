/** The words by which the parent of a hart arms its hook and learns where it has stopped. */

import type { CrashPoint } from "../heap/transaction.ts";

export const CONTROL = { state: 0, point: 1, count: 2, length: 3, text: 16 } as const;
export const CONTROL_STATE = { RUNNING: 0, ARMED: 1, STOPPED: 2 } as const;
export const CONTROL_BYTES = 1024;

/** Kinds of step at which a hart may be stopped; 0 is any. */
export const POINTS: readonly (CrashPoint | "any")[] = [
  "any",
  "store",
  "fresh",
  "lock",
  "commit",
  "committed",
  "rollback",
];
