/**
 * Job control between terminals and processes: what a terminal asks of the process tree, and what the tree
 * tells a terminal. The terminal server knows processes only through this.
 *
 * Groups and sessions are numbers, as in POSIX. The tree's lock ranks before every terminal's, so a terminal
 * takes it first where it has to look beyond the caller (`lock`), and signals are sent after the commit.
 */

import { assert } from "../base/assert.ts";
import { Errno } from "../base/errno.ts";
import type { Transaction } from "../heap/transaction.ts";

/** What terminals ask of processes. "The caller" is the process on whose behalf the request runs. */
export interface JobControl {
  /** Takes the lock of the process tree. Before any terminal's lock. */
  lock(tx: Transaction): void;
  /** The caller's process group; 0 for a request of the kernel or the host, which no job control concerns. */
  callerGroup(tx: Transaction): number;
  callerSession(tx: Transaction): number;
  callerLeadsSession(tx: Transaction): boolean;
  /** The caller's controlling terminal (a record), 0 if it has none. */
  callerTerminal(tx: Transaction): number;
  /** Makes `terminal` the caller's controlling terminal; 0: none. With the tree locked. */
  setCallerTerminal(tx: Transaction, terminal: number): void;
  /** Whether the calling task ignores or blocks `signal`. */
  callerIgnores(tx: Transaction, signal: number): boolean;
  /** Whether the group has nobody who could continue it. With the tree locked. */
  isOrphaned(tx: Transaction, group: number): boolean;
  /** The session of a process group, 0 if there is no such group. With the tree locked. */
  sessionOfGroup(tx: Transaction, group: number): number;
  /** Sends `signal` to the group, after the commit. */
  signalGroup(tx: Transaction, group: number, signal: number): void;
  /**
   * After the commit: `terminal` is no longer the controlling terminal of any process of `session`; with
   * `signals`, the session's leader gets SIGHUP and SIGCONT.
   */
  dropTerminal(tx: Transaction, session: number, terminal: number, signals: boolean): void;
  /**
   * When a wait of `ns` nanoseconds that the present call began is over, by the monotonic clock: the same at
   * each attempt of one call. The call is run again then, if it throws WOULD_BLOCK.
   */
  deadlineIn(tx: Transaction, ns: number): number;
}

/** What processes tell terminals. */
export interface TerminalControl {
  /** The leader of `session`, whose controlling terminal is `terminal`, has ended. */
  sessionEnded(tx: Transaction, terminal: number, session: number): void;
}

/**
 * Thrown by an operation on a terminal that the caller, in the background, may not do now: roll back, send
 * SIGTTIN or SIGTTOU to the caller's group, and run the call again when it goes on.
 */
export const BACKGROUND_READ: Errno = new Errno("SIGTTIN", 512 + 21);
export const BACKGROUND_WRITE: Errno = new Errno("SIGTTOU", 512 + 22);

/** The one of the two above that has this code. */
export function backgroundStop(code: number): Errno | undefined {
  return [BACKGROUND_READ, BACKGROUND_WRITE].find((each) => each.code === code);
}

let control: JobControl | undefined;
let terminals: TerminalControl | undefined;

/** Says how terminals reach processes. Once, when the kernel's process modules are loaded. */
export function registerJobControl(value: JobControl): void {
  control = value;
}

export function jobControl(): JobControl {
  assert(control !== undefined, "no job control is registered");
  return control;
}

/** Says how processes reach terminals. Once, when the terminal server is loaded. */
export function registerTerminalControl(value: TerminalControl): void {
  terminals = value;
}

/** Undefined in a machine without terminals. */
export function terminalControl(): TerminalControl | undefined {
  return terminals;
}
