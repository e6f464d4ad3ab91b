/**
 * Signals: sending, choosing, taking. What the actions do to a task is in attend.ts; the frame that a handler
 * runs on belongs to the personality.
 *
 * A signal is pending for a process (any of its tasks may take it) or for one task. Standard signals (1–31)
 * are pending at most once; real-time signals queue. Details of process-directed standard signals lie in the
 * process record, so that sending one needs no allocation and can be done in a redo step; all others are
 * queued-signal records.
 *
 * Everything here is guarded by Process.signals.
 *
 * Invariants
 *   G1  A pending bit of a real-time signal, or of any task-directed signal, is set if and only if the queue
 *       holds a record of that signal.
 *   G2  A task with a pending signal that it does not block has ATTENTION.SIGNAL set, or another task of its
 *       process has, for a process-directed one.
 */

import { assert } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import type { HeapView } from "../heap/heap.ts";
import { each, append, next, remove } from "../heap/list.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { SignalAction, SignalInfo } from "./call.ts";
import { signalCondition } from "./condition.ts";
import { nudgeTask } from "./scheduler.ts";
import { ATTENTION, LIFE, Process, QueuedSignal, SignalHandlers, Task } from "./task.ts";

export const SIG = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  PWR: 30,
  SYS: 31,
} as const;
export const SIGNALS_MAX = 64;
const REALTIME_FIRST = 32;

/** si_code values (asm-generic/siginfo.h). */
export const SI = { USER: 0, KERNEL: 0x80, QUEUE: -1, TIMER: -2, TKILL: -6 } as const;
export const CLD = { EXITED: 1, KILLED: 2, DUMPED: 3, TRAPPED: 4, STOPPED: 5, CONTINUED: 6 } as const;
export const SEGV = { MAPERR: 1, ACCERR: 2 } as const;
export const BUS = { ADRALN: 1, ADRERR: 2 } as const;
export const ILL = { ILLOPC: 1 } as const;
export const TRAP = { BRKPT: 1 } as const;

export const SA = {
  NOCLDSTOP: 1,
  NOCLDWAIT: 2,
  SIGINFO: 4,
  ONSTACK: 0x0800_0000,
  RESTART: 0x1000_0000,
  NODEFER: 0x4000_0000,
  RESETHAND: 0x8000_0000 | 0,
} as const;
export const SIG_DFL = 0;
export const SIG_IGN = 1;

/** Words of one entry of SignalHandlers.actions, and what they hold. */
export const ACTION = { words: 6, handler: 0, flags: 2, mask: 4 } as const;

const bit = (signal: number): number => 1 << ((signal - 1) & 31);
const wordOf = (signal: number): number => (signal - 1) >> 5;
const set = (...signals: number[]): number => signals.reduce((bits, signal) => bits | bit(signal), 0);

const DEFAULT_IGNORE = set(SIG.CHLD, SIG.CONT, SIG.URG, SIG.WINCH);
const DEFAULT_STOP = set(SIG.STOP, SIG.TSTP, SIG.TTIN, SIG.TTOU);
const DEFAULT_CORE = set(
  SIG.QUIT,
  SIG.ILL,
  SIG.TRAP,
  SIG.ABRT,
  SIG.BUS,
  SIG.FPE,
  SIG.SEGV,
  SIG.XCPU,
  SIG.XFSZ,
  SIG.SYS,
);
const SYNCHRONOUS = set(SIG.SEGV, SIG.BUS, SIG.ILL, SIG.TRAP, SIG.FPE, SIG.SYS);
const UNBLOCKABLE = set(SIG.KILL, SIG.STOP);

/** What a signal does if its action is the default one. */
export type DefaultAction = "ignore" | "stop" | "continue" | "terminate" | "core";

export function defaultAction(signal: number): DefaultAction {
  if (signal >= REALTIME_FIRST) return "terminate";
  if (signal === SIG.CONT) return "continue";
  if ((DEFAULT_IGNORE & bit(signal)) !== 0) return "ignore";
  if ((DEFAULT_STOP & bit(signal)) !== 0) return "stop";
  return (DEFAULT_CORE & bit(signal)) !== 0 ? "core" : "terminate";
}

/** The address of the handler of `signal`: 0 default, 1 ignore. */
export function handlerOf(view: HeapView, handlers: SignalHandlers, signal: number): number {
  const at = (signal - 1) * ACTION.words + ACTION.handler;
  const low = SignalHandlers.actions.get(view, handlers, at) >>> 0;
  return (SignalHandlers.actions.get(view, handlers, at + 1) >>> 0) * 0x1_0000_0000 + low;
}

/** The whole action of `signal`, without the old mask. */
export function actionOf(
  view: HeapView,
  handlers: SignalHandlers,
  signal: number,
): Omit<SignalAction, "oldMaskLow" | "oldMaskHigh"> {
  const at = (signal - 1) * ACTION.words;
  const actions = SignalHandlers.actions;
  return {
    handler: handlerOf(view, handlers, signal),
    flags: actions.get(view, handlers, at + ACTION.flags),
    maskLow: actions.get(view, handlers, at + ACTION.mask),
    maskHigh: actions.get(view, handlers, at + ACTION.mask + 1),
  };
}

/** Whether `signal` would have no effect on the process if it were delivered now. */
export function isIgnored(view: HeapView, process: Process, signal: number): boolean {
  const handlers = Process.handlers.get(view, process);
  if (handlers === 0) return true;
  const handler = handlerOf(view, handlers, signal);
  return handler === SIG_IGN || (handler === SIG_DFL && defaultAction(signal) === "ignore");
}

export function isBlocked(view: HeapView, task: Task, signal: number): boolean {
  return (Task.mask.get(view, task, wordOf(signal)) & bit(signal)) !== 0;
}

/** A plain SignalInfo. */
export function signalInfo(signal: number, code: number, rest: Partial<SignalInfo> = {}): SignalInfo {
  return {
    signal,
    code,
    errno: 0,
    pid: 0,
    uid: 0,
    status: 0,
    address: 0,
    valueLow: 0,
    valueHigh: 0,
    timer: 0,
    ...rest,
  };
}

/**
 * Sends a signal to a process: any of its tasks may take it. A real-time signal is queued and throws EAGAIN
 * when that is impossible. Nothing happens if the process has ended or ignores the signal.
 */
export function sendToProcess(tx: Transaction, process: Process, info: SignalInfo): void {
  const { signal } = info;
  Process.signals.acquire(tx, process);
  if (Process.life.get(tx, process) !== LIFE.ALIVE) return;
  prepare(tx, process, signal);
  if (isIgnored(tx, process, signal) && !blockedByAll(tx, process, signal)) return;
  const word = wordOf(signal);
  const pending = Process.pending.get(tx, process, word);
  if (signal < REALTIME_FIRST) {
    if ((pending & bit(signal)) !== 0) return;
    const at = (signal - 1) * 4;
    Process.details.set(tx, process, at, info.code);
    Process.details.set(tx, process, at + 1, info.pid);
    Process.details.set(tx, process, at + 2, info.uid);
    Process.details.set(tx, process, at + 3, info.status);
  } else {
    append(tx, Process.queue, process, QueuedSignal.links, queued(tx, info));
  }
  Process.pending.set(tx, process, word, pending | bit(signal));
  const taker = takerOf(tx, process, signal);
  if (taker !== 0) raiseAttention(tx, taker, ATTENTION.SIGNAL);
}

/** Sends a signal to one task. */
export function sendToTask(tx: Transaction, task: Task, info: SignalInfo): void {
  const { signal } = info;
  const process = Task.process.get(tx, task);
  Process.signals.acquire(tx, process);
  if (Process.life.get(tx, process) !== LIFE.ALIVE) return;
  prepare(tx, process, signal);
  if (isIgnored(tx, process, signal) && !isBlocked(tx, task, signal)) return;
  queueForTask(tx, task, info);
}

/**
 * Sends a signal that the task's own instruction caused. It cannot be ignored or kept waiting: if the task
 * blocks or ignores it, the action becomes the default one, as on Linux.
 */
export function forceToTask(tx: Transaction, task: Task, info: SignalInfo): void {
  const { signal } = info;
  const process = Task.process.get(tx, task);
  const handlers = Process.handlers.get(tx, process);
  SignalHandlers.lock.acquire(tx, handlers);
  Process.signals.acquire(tx, process);
  if (isBlocked(tx, task, signal) || handlerOf(tx, handlers, signal) === SIG_IGN) {
    const at = (signal - 1) * ACTION.words + ACTION.handler;
    SignalHandlers.actions.set(tx, handlers, at, SIG_DFL);
    SignalHandlers.actions.set(tx, handlers, at + 1, 0);
    const word = wordOf(signal);
    Task.mask.set(tx, task, word, Task.mask.get(tx, task, word) & ~bit(signal));
  }
  queueForTask(tx, task, info);
}

function queueForTask(tx: Transaction, task: Task, info: SignalInfo): void {
  const { signal } = info;
  const word = wordOf(signal);
  const pending = Task.pending.get(tx, task, word);
  if (signal < REALTIME_FIRST && (pending & bit(signal)) !== 0) return;
  append(tx, Task.queue, task, QueuedSignal.links, queued(tx, info));
  Task.pending.set(tx, task, word, pending | bit(signal));
  if (!isBlocked(tx, task, signal) || isAwaited(tx, task, signal)) raiseAttention(tx, task, ATTENTION.SIGNAL);
}

function queued(tx: Transaction, info: SignalInfo): QueuedSignal {
  const record = QueuedSignal.allocate(tx);
  QueuedSignal.signal.init(tx, record, info.signal);
  QueuedSignal.code.init(tx, record, info.code);
  QueuedSignal.errno.init(tx, record, info.errno);
  QueuedSignal.pid.init(tx, record, info.pid);
  QueuedSignal.uid.init(tx, record, info.uid);
  QueuedSignal.status.init(tx, record, info.status);
  QueuedSignal.address.init(tx, record, info.address);
  QueuedSignal.value.init(tx, record, 0, info.valueLow);
  QueuedSignal.value.init(tx, record, 1, info.valueHigh);
  QueuedSignal.timer.init(tx, record, info.timer);
  return record;
}

/** What sending a signal does at once: stop signals and SIGCONT cancel each other, SIGCONT and SIGKILL wake. */
function prepare(tx: Transaction, process: Process, signal: number): void {
  if (signal === SIG.CONT || signal === SIG.KILL) {
    discard(tx, process, DEFAULT_STOP);
    if (Process.stoppedBy.get(tx, process) !== 0) {
      Process.stoppedBy.set(tx, process, 0);
      if (signal === SIG.CONT) {
        // wait(2) may report it from now on, whatever the process does next; the parent's SIGCHLD comes from
        // the first task that goes on. Whoever sends SIGCONT holds the tree lock.
        Process.continued.set(tx, process, 1);
        Process.unreportedContinue.set(tx, process, 1);
        Process.unreportedStop.set(tx, process, 0);
        signalCondition(tx, Process.childChanged.at(Process.parent.get(tx, process)));
      }
      for (const task of each(tx, Process.tasks, process, Task.taskLinks)) {
        Task.attention.set(tx, task, Task.attention.get(tx, task) & ~ATTENTION.STOP);
        nudgeTask(tx, task);
      }
    }
  } else if (signal < REALTIME_FIRST && (DEFAULT_STOP & bit(signal)) !== 0)
    discard(tx, process, bit(SIG.CONT));
}

/** Takes the standard signals in `bits` off everything that is pending. */
function discard(tx: Transaction, process: Process, bits: number): void {
  const pending = Process.pending.get(tx, process, 0);
  if ((pending & bits) !== 0) Process.pending.set(tx, process, 0, pending & ~bits);
  for (const task of each(tx, Process.tasks, process, Task.taskLinks)) {
    if ((Task.pending.get(tx, task, 0) & bits) === 0) continue;
    for (const record of each(tx, Task.queue, task, QueuedSignal.links)) {
      const signal = QueuedSignal.signal.get(tx, record);
      if (signal < REALTIME_FIRST && (bit(signal) & bits) !== 0) {
        remove(tx, Task.queue, task, QueuedSignal.links, record);
        QueuedSignal.free(tx, record);
      }
    }
    Task.pending.set(tx, task, 0, Task.pending.get(tx, task, 0) & ~bits);
  }
}

/** Drops what is pending of a signal whose action has just become "ignore" (POSIX sigaction). */
export function discardIgnored(tx: Transaction, process: Process, signal: number): void {
  Process.signals.acquire(tx, process);
  if (signal < REALTIME_FIRST) discard(tx, process, bit(signal));
}

function takerOf(tx: Transaction, process: Process, signal: number): Task {
  let fallback = 0 as Task;
  for (const task of each(tx, Process.tasks, process, Task.taskLinks)) {
    if (isAwaited(tx, task, signal)) return task;
    if (signal !== SIG.KILL && isBlocked(tx, task, signal)) continue;
    // A task that is not stopped or already busy with signals takes it soonest.
    if (Task.attention.get(tx, task) === 0) return task;
    if (fallback === 0) fallback = task;
  }
  return fallback;
}

/** Whether the task waits for the signal in sigtimedwait. */
function isAwaited(view: HeapView, task: Task, signal: number): boolean {
  return (Task.sigwait.get(view, task, wordOf(signal)) & bit(signal)) !== 0;
}

function blockedByAll(tx: Transaction, process: Process, signal: number): boolean {
  for (const task of each(tx, Process.tasks, process, Task.taskLinks)) {
    if (!isBlocked(tx, task, signal)) return false;
  }
  return true;
}

/** Sets bits of a task's attention word and makes it look. With Process.signals held. */
export function raiseAttention(tx: Transaction, task: Task, bits: number): void {
  const attention = Task.attention.get(tx, task);
  if ((attention & bits) !== bits) Task.attention.set(tx, task, attention | bits);
  nudgeTask(tx, task);
}

/** Signals that the task could take now, as two words. */
export function deliverable(view: HeapView, task: Task, word: number): number {
  const process = Task.process.get(view, task);
  const pending = Task.pending.get(view, task, word) | Process.pending.get(view, process, word);
  const mask = Task.mask.get(view, task, word);
  return word === 0 ? pending & (~mask | UNBLOCKABLE) : pending & ~mask;
}

/**
 * The signal that the task takes next: synchronous ones and low numbers first; 0 if there is none. `wanted`
 * limits the choice (sigtimedwait), and then the mask does not matter. A hint without Process.signals held.
 */
export function nextSignal(view: HeapView, task: Task, wanted?: readonly [number, number]): number {
  const process = Task.process.get(view, task);
  for (let word = 0; word < 2; word++) {
    const all = Task.pending.get(view, task, word) | Process.pending.get(view, process, word);
    const bits = wanted === undefined ? deliverable(view, task, word) : all & wanted[word]!;
    if (bits === 0) continue;
    const first = word === 0 && (bits & SYNCHRONOUS) !== 0 ? bits & SYNCHRONOUS : bits;
    return word * 32 + (31 - Math.clz32(first & -first)) + 1;
  }
  return 0;
}

/** Whether a pending `signal` is directed at the task itself, which then comes first. */
function isOwn(view: HeapView, task: Task, signal: number): boolean {
  return (Task.pending.get(view, task, wordOf(signal)) & bit(signal)) !== 0;
}

/** The record of the oldest queued `signal` from `first` on, or none. */
function findQueued(view: HeapView, first: QueuedSignal, signal: number): QueuedSignal {
  let record = first;
  while (record !== 0 && QueuedSignal.signal.get(view, record) !== signal)
    record = next(view, QueuedSignal.links, record);
  return record;
}

/** The details of a pending signal. */
export function infoOf(view: HeapView, task: Task, signal: number): SignalInfo {
  const process = Task.process.get(view, task);
  const own = isOwn(view, task, signal);
  if (own || signal >= REALTIME_FIRST) {
    const record = findQueued(
      view,
      own ? Task.queue.first(view, task) : Process.queue.first(view, process),
      signal,
    );
    if (record === 0) return signalInfo(signal, SI.KERNEL);
    return signalInfo(signal, QueuedSignal.code.get(view, record), {
      errno: QueuedSignal.errno.get(view, record),
      pid: QueuedSignal.pid.get(view, record),
      uid: QueuedSignal.uid.get(view, record),
      status: QueuedSignal.status.get(view, record),
      address: QueuedSignal.address.get(view, record),
      valueLow: QueuedSignal.value.get(view, record, 0),
      valueHigh: QueuedSignal.value.get(view, record, 1),
      timer: QueuedSignal.timer.get(view, record),
    });
  }
  const at = (signal - 1) * 4;
  return signalInfo(signal, Process.details.get(view, process, at), {
    pid: Process.details.get(view, process, at + 1),
    uid: Process.details.get(view, process, at + 2) >>> 0,
    status: Process.details.get(view, process, at + 3),
  });
}

/** Takes one pending `signal` out of what is pending; false if another task was faster. */
export function takeSignal(tx: Transaction, task: Task, signal: number): boolean {
  const process = Task.process.get(tx, task);
  Process.signals.acquire(tx, process);
  const word = wordOf(signal);
  if (isOwn(tx, task, signal)) {
    const record = findQueued(tx, Task.queue.first(tx, task), signal);
    assert(record !== 0, "pending signal without its record (G1)");
    const more = findQueued(tx, next(tx, QueuedSignal.links, record), signal) !== 0;
    remove(tx, Task.queue, task, QueuedSignal.links, record);
    QueuedSignal.free(tx, record);
    if (!more) Task.pending.set(tx, task, word, Task.pending.get(tx, task, word) & ~bit(signal));
    return true;
  }
  const pending = Process.pending.get(tx, process, word);
  if ((pending & bit(signal)) === 0) return false;
  if (signal >= REALTIME_FIRST) {
    const record = findQueued(tx, Process.queue.first(tx, process), signal);
    assert(record !== 0, "pending signal without its record (G1)");
    const more = findQueued(tx, next(tx, QueuedSignal.links, record), signal) !== 0;
    remove(tx, Process.queue, process, QueuedSignal.links, record);
    QueuedSignal.free(tx, record);
    if (more) return true;
  }
  Process.pending.set(tx, process, word, pending & ~bit(signal));
  return true;
}

/** Sets the task's mask and sees whether that makes a pending signal deliverable. */
export function setMask(tx: Transaction, task: Task, lowBits: number, highBits: number): void {
  const process = Task.process.get(tx, task);
  Process.signals.acquire(tx, process);
  Task.mask.set(tx, task, 0, lowBits & ~UNBLOCKABLE);
  Task.mask.set(tx, task, 1, highBits);
  if (deliverable(tx, task, 0) !== 0 || deliverable(tx, task, 1) !== 0) {
    Task.attention.set(tx, task, Task.attention.get(tx, task) | ATTENTION.SIGNAL);
  }
}

/** The set with `signal` alone, as two words. */
export function onlySignal(signal: number): readonly [number, number] {
  return signal <= 32 ? [bit(signal), 0] : [0, bit(signal)];
}

/** Throws EINVAL unless `signal` is 1–64. */
export function checkSignal(signal: number): void {
  if (signal < 1 || signal > SIGNALS_MAX) throw errno.EINVAL;
}
