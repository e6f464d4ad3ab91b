/**
 * A system call in progress, as its handler sees it: who calls, with what arguments, in which transaction.
 *
 * A handler is a function of this object. It returns the result (a number; an address, a count, 0), throws an
 * Errno, or throws WOULD_BLOCK after noting what it waits for; then it runs again from the beginning once
 * that may be over. Its changes, the result register and the next pc become final in one commit (rule R2).
 *
 * Long work is a series of transactions: a handler may call `step()` to commit what it has done so far, if it
 * has noted in the task's `progress` fields (or in other records) where to go on; after that it may be run
 * again from the beginning at any time.
 */

import { errno } from "../base/errno.ts";
import { REG_BUDGET } from "../base/hart-abi.ts";
import type { MemoryWord } from "../heap/heap.ts";
import { SLOT } from "../heap/layout.ts";
import type { Transaction } from "../heap/transaction.ts";
import { high, low, signed, unsigned, X } from "./registers.ts";
import { noteWait, WOULD_BLOCK } from "./request.ts";
import { CUT_BUDGET } from "./turn.ts";
import type { Process } from "./task.ts";
import { Task } from "./task.ts";
import { threadOf } from "./thread.ts";

/** What a handler returns when it has set the registers itself (rt_sigreturn, execve). */
export const NO_RESULT = Number.NaN;

/** Carries out a system call. */
export type CallHandler = (call: SystemCall) => number;

/** What the kernel asks of the personality (linux/): its calls and its signal frames. */
export interface Personality {
  /** Handler of each system call by number; undefined: ENOSYS. */
  readonly handlers: readonly (CallHandler | undefined)[];
  /**
   * Makes the task enter its handler for `signal`: pushes the frame with `info` and the old mask, sets the
   * registers. The kernel has already updated the mask. Throws Errno when the stack cannot be written.
   */
  pushSignalFrame(call: SystemCall, signal: number, info: SignalInfo, action: SignalAction): void;
  /** Whether the call that the task is in is begun again after a handler, which asks for it (SA_RESTART) or not. */
  restarts(call: SystemCall, hasRestart: boolean): boolean;
  /** Whether signals interrupt the call that the task is in while it waits; its end always does. */
  isInterruptible(call: SystemCall): boolean;
  /** What an interrupted call answers because it has moved bytes already; undefined if it has not. */
  partialResult(call: SystemCall): number | undefined;
  /** Whether what a waiting call waits for has come, so that no signal interrupts it. The caller rolls back. */
  hasCome(tx: Transaction, task: Task): boolean;
  /** Gives up what an interrupted call has left that is not resumed: one bounded step; true at the end. */
  abandonStep(tx: Transaction, task: Task): boolean;
  /** Clears away what a finished call has left (ATTENTION.LEFTOVERS): one bounded step; true at the end. */
  readonly clearStep: (tx: Transaction, task: Task) => boolean;
  /** Called around each call if tracing is on. */
  readonly trace?: CallTrace | undefined;
}

export interface CallTrace {
  enter(call: SystemCall, number: number): void;
  exit(call: SystemCall, number: number, result: number): void;
  signal(call: SystemCall, signal: number, info: SignalInfo): void;
}

/** siginfo_t, decoded. */
export interface SignalInfo {
  readonly signal: number;
  readonly code: number;
  readonly errno: number;
  readonly pid: number;
  readonly uid: number;
  /** si_status of SIGCHLD. */
  readonly status: number;
  /** si_addr of faults. */
  readonly address: number;
  /** si_value, as two raw words. */
  readonly valueLow: number;
  readonly valueHigh: number;
  /** Of a POSIX timer's signal: the timer's id + 1, and its setting; else 0. Its `pid` is the id. */
  readonly timer: number;
  readonly setting: number;
}

export interface SignalAction {
  /** Address of the handler, or 0 (default) or 1 (ignore). */
  readonly handler: number;
  readonly flags: number;
  readonly maskLow: number;
  readonly maskHigh: number;
  /** The mask to be put back when the handler returns. */
  readonly oldMaskLow: number;
  readonly oldMaskHigh: number;
}

export class SystemCall {
  readonly tx: Transaction;
  /** The calling task. */
  task: Task = 0 as Task;
  /** Its registers (word index in the guest memory). */
  registers: MemoryWord = 0;
  /** Set by sched_yield: once the call is finished, others run first. */
  yields = false;
  /** Set by {@link cutTurn}: how long the turn takes says nothing about the task's budget. */
  isTurnCut = false;

  constructor(tx: Transaction) {
    this.tx = tx;
  }

  get process(): Process {
    return Task.process.get(this.tx, this.task);
  }

  /** Argument `index` (0–5) as a signed 32-bit integer: int, descriptor, pid_t. */
  int(index: number): number {
    return low(this.tx, this.registers, X.a0 + index);
  }

  /** Argument `index` as an unsigned 32-bit integer: flags, modes. */
  uint(index: number): number {
    return low(this.tx, this.registers, X.a0 + index) >>> 0;
  }

  /** The high word of argument `index`, for calls that must see it. */
  highWord(index: number): number {
    return high(this.tx, this.registers, X.a0 + index);
  }

  /** Argument `index` as a signed 64-bit integer: off_t, long. Inexact beyond 2^53. */
  long(index: number): number {
    return signed(this.tx, this.registers, X.a0 + index);
  }

  /** Argument `index` as an unsigned 64-bit integer: pointer, size_t. Inexact beyond 2^53. */
  address(index: number): number {
    return unsigned(this.tx, this.registers, X.a0 + index);
  }

  /** Monotonic time, ns. */
  now(): number {
    return threadOf(this.tx).clock.monotonic();
  }

  /** Lets the caller's turn end soon, if nothing else ends it before: there is another task for an idle hart. */
  cutTurn(): void {
    const at = this.registers + (REG_BUDGET >> 2);
    if (this.tx.memory[at]! <= CUT_BUDGET) return;
    this.tx.memory[at] = CUT_BUDGET;
    this.isTurnCut = true;
  }

  /** Commits what the handler has done so far. */
  step(): void {
    this.tx.commit();
  }

  /** Notes a condition and gives what is to be thrown: `throw call.waitFor(condition)`. */
  waitFor(condition: number): typeof WOULD_BLOCK {
    noteWait(this.tx, condition);
    return WOULD_BLOCK;
  }

  /**
   * The monotonic time at which this call's wait ends, `ns` from now on the first attempt; the same moment on
   * every later attempt. Noted for parking: a handler that throws WOULD_BLOCK after this runs again then at
   * the latest. Infinity for no limit.
   */
  deadlineIn(ns: number): number {
    return this.deadlineAt(Number.isFinite(ns) ? this.now() + Math.max(0, ns) : ns);
  }

  /** As {@link deadlineIn}, for an absolute monotonic time. */
  deadlineAt(at: number): number {
    const { tx } = this;
    const set = Task.deadline.get(tx, this.task);
    const deadline = set !== 0 ? set : Math.min(at, Number.MAX_SAFE_INTEGER);
    tx.words[tx.slotAt + SLOT.deadline] = deadline | 0;
    tx.words[tx.slotAt + SLOT.deadline + 1] = Math.floor(deadline / 0x1_0000_0000);
    return deadline >= Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : deadline;
  }

  /** Throws EINVAL unless `flags` has no bit outside `known`. */
  refuseUnknown(flags: number, known: number): void {
    if ((flags & ~known) !== 0) throw errno.EINVAL;
  }
}
