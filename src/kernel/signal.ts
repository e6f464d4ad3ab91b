/**
 * Signals: sending, choosing, taking. What the actions do to a task is in attend.ts; the frame that a handler
 * runs on belongs to the personality.
 *
 * A signal is pending for a process (any of its tasks may take it) or for one task. Standard signals (1–31)
 * are pending at most once; real-time signals queue, and each signal of a POSIX timer does. Details of
 * process-directed standard signals without a value lie in the process record, so that sending one needs no
 * allocation and can be done in a redo step; all others are queued-signal records.
 *
 * Queued signals are charged to the user (account.ts). At the limit, a real-time signal that carries more than
 * kill(2) does fails with EAGAIN; any other is pending without its details, as on Linux.
 *
 * Everything here is guarded by Process.signals.
 *
 * Invariants
 *   G1  A pending bit of a process is set if and only if its queue holds a record of that signal, or the signal
 *       is plain; that of a task, if and only if its queue holds one.
 *   G2  A task with a pending signal that it does not block has ATTENTION.SIGNAL set, or another task of its
 *       process has, for a process-directed one.
 *   G3  A task's attention says EXIT and STOP as its process wants it; EXIT, a task may have for itself alone.
 */

import { assert } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import type { RecordName } from "../base/record-ids.ts";
import type { HeapView } from "../heap/heap.ts";
import { liveRecords, registerInvariant } from "../heap/check.ts";
import { REDO } from "../heap/layout.ts";
import { each, append, next, remove } from "../heap/list.ts";
import { type ListField, none, type Ref } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { chargeUser, creditUser } from "./account.ts";
import type { SignalAction, SignalInfo } from "./call.ts";
import { signalCondition } from "./condition.ts";
import { nudgeTask } from "./scheduler.ts";
import { ATTENTION, LIFE, Process, QueuedSignal, SignalHandlers, Task } from "./task.ts";
import { registerRedo } from "./thread.ts";

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
    setting: 0,
    ...rest,
  };
}

/**
 * Sends a signal to a process: any of its tasks may take it. A real-time signal is queued and throws EAGAIN
 * when that is impossible. False if nothing comes of it: the process has ended or ignores the signal, or the same
 * standard signal is pending already.
 */
export function sendToProcess(tx: Transaction, process: Process, info: SignalInfo): boolean {
  const { signal } = info;
  Process.signals.acquire(tx, process);
  if (Process.life.get(tx, process) !== LIFE.ALIVE) return false;
  prepare(tx, process, signal);
  if (isIgnored(tx, process, signal) && !blockedByAll(tx, process, signal)) return false;
  const word = wordOf(signal);
  const pending = Process.pending.get(tx, process, word);
  if (signal < REALTIME_FIRST && info.timer === 0) {
    if ((pending & bit(signal)) !== 0) return false;
    const carries = info.valueLow !== 0 || info.valueHigh !== 0 || info.errno !== 0;
    const account = carries ? chargeUser(tx, process, false) : 0;
    if (account !== 0) append(tx, Process.queue, process, QueuedSignal.links, queued(tx, info, account));
    else notePlain(tx, process, carries ? signalInfo(signal, SI.USER) : info);
  } else {
    const record = realTimeRecord(tx, process, info, Process.queue.first(tx, process));
    if (record === 0) return false;
    append(tx, Process.queue, process, QueuedSignal.links, record);
  }
  Process.pending.set(tx, process, word, pending | bit(signal));
  signalCondition(tx, Process.arrived.at(process));
  const taker = takerOf(tx, process, signal);
  if (taker !== 0) raiseAttention(tx, taker, ATTENTION.SIGNAL);
  return true;
}

/** Notes a standard signal in the process record. */
function notePlain(tx: Transaction, process: Process, info: SignalInfo): void {
  const at = (info.signal - 1) * 4;
  Process.details.set(tx, process, at, info.code);
  Process.details.set(tx, process, at + 1, info.pid);
  Process.details.set(tx, process, at + 2, info.uid);
  Process.details.set(tx, process, at + 3, info.status);
  Process.plain.set(tx, process, Process.plain.get(tx, process) | bit(info.signal));
}

/**
 * The record for a signal that queues behind `first`; none if the user's limit leaves only the fact that it is
 * pending, and it is already. A timer has paid for its signal when it was made.
 */
function realTimeRecord(
  tx: Transaction,
  process: Process,
  info: SignalInfo,
  first: QueuedSignal,
): QueuedSignal {
  if (info.timer !== 0) return queued(tx, info, 0);
  const account = chargeUser(tx, process, false);
  if (account !== 0) return queued(tx, info, account);
  if (info.signal >= REALTIME_FIRST && info.code !== SI.USER) throw errno.EAGAIN;
  if (findQueued(tx, first, info.signal) !== 0) return none();
  return queued(tx, signalInfo(info.signal, SI.USER), 0);
}

/** Sends a signal to one task; false if nothing comes of it. */
export function sendToTask(tx: Transaction, task: Task, info: SignalInfo): boolean {
  const { signal } = info;
  const process = Task.process.get(tx, task);
  Process.signals.acquire(tx, process);
  if (Process.life.get(tx, process) !== LIFE.ALIVE) return false;
  prepare(tx, process, signal);
  if (isIgnored(tx, process, signal) && !isBlocked(tx, task, signal)) return false;
  return queueForTask(tx, task, info, false);
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
  queueForTask(tx, task, info, true);
}

/** `forced`: the user's limit does not matter. */
function queueForTask(tx: Transaction, task: Task, info: SignalInfo, forced: boolean): boolean {
  const { signal } = info;
  const process = Task.process.get(tx, task);
  const word = wordOf(signal);
  const pending = Task.pending.get(tx, task, word);
  if (signal < REALTIME_FIRST && info.timer === 0 && (pending & bit(signal)) !== 0) return false;
  const record = forced
    ? queued(tx, info, chargeUser(tx, process, true))
    : realTimeRecord(tx, process, info, Task.queue.first(tx, task));
  if (record === 0) return false;
  append(tx, Task.queue, task, QueuedSignal.links, record);
  Task.pending.set(tx, task, word, pending | bit(signal));
  signalCondition(tx, Process.arrived.at(process));
  if (!isBlocked(tx, task, signal) || isAwaited(tx, task, signal)) raiseAttention(tx, task, ATTENTION.SIGNAL);
  return true;
}

function queued(tx: Transaction, info: SignalInfo, account: number): QueuedSignal {
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
  QueuedSignal.setting.init(tx, record, info.setting);
  QueuedSignal.account.init(tx, record, account);
  return record;
}

/** What POSIX timers do when their signals are looked at and taken (posix-timer.ts). */
interface TimerSignals {
  /** Expirations that the signal stands for beyond its own, now. */
  overrun(tx: Transaction, process: Process, signal: QueuedSignal): number;
  /** The signal is taken, or dropped; `overrun`: what its receiver was told, if anybody was. */
  taken(tx: Transaction, process: Process, signal: QueuedSignal, overrun: number | undefined): void;
}
let timerSignals: TimerSignals | undefined;

export function registerTimerSignals(hooks: TimerSignals): void {
  timerSignals = hooks;
}

/** Takes a record off its queue and frees it. With Process.signals held. */
function dropRecord<N extends RecordName>(
  tx: Transaction,
  head: ListField<N, "queued-signal">,
  owner: Ref<N>,
  process: Process,
  record: QueuedSignal,
  info?: SignalInfo,
): void {
  remove(tx, head, owner, QueuedSignal.links, record);
  if (QueuedSignal.timer.get(tx, record) !== 0) {
    const told = info?.timer === QueuedSignal.timer.get(tx, record) ? info.uid : undefined;
    timerSignals?.taken(tx, process, record, told);
  }
  creditUser(tx, QueuedSignal.account.get(tx, record));
  QueuedSignal.free(tx, record);
}

/** Records that one step of {@link dropQueueStep} drops. */
const QUEUE_STEP = 64;

/** Drops some of what is queued for a task that ends, or for its process; true when nothing is left. */
export function dropQueueStep(tx: Transaction, task: Task, withProcess: boolean): boolean {
  const process = Task.process.get(tx, task);
  if (Task.queue.isEmpty(tx, task) && (!withProcess || Process.queue.isEmpty(tx, process))) return true;
  Process.signals.acquire(tx, process);
  let count = 0;
  for (const record of each(tx, Task.queue, task, QueuedSignal.links)) {
    if (count++ === QUEUE_STEP) return false;
    dropRecord(tx, Task.queue, task, process, record);
  }
  Task.pending.set(tx, task, 0, 0);
  Task.pending.set(tx, task, 1, 0);
  if (!withProcess) return false;
  for (const record of each(tx, Process.queue, process, QueuedSignal.links)) {
    if (count++ === QUEUE_STEP) return false;
    dropRecord(tx, Process.queue, process, process, record);
  }
  Process.pending.set(tx, process, 0, Process.plain.get(tx, process));
  Process.pending.set(tx, process, 1, 0);
  return false;
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
      conformTasks(tx, process);
    }
  } else if (signal < REALTIME_FIRST && (DEFAULT_STOP & bit(signal)) !== 0)
    discard(tx, process, bit(SIG.CONT));
}

/** Takes the standard signals in `bits` off everything that is pending. */
function discard(tx: Transaction, process: Process, bits: number): void {
  discardWord(tx, process, 0, bits);
}

/**
 * Records that are discarded at once, so that log and redo list have room, also for a batch of processes in one redo
 * step; the others are taken and ignored one by one.
 */
const DISCARD_MAX = { request: 100, redo: 20 } as const;

/** Takes the signals in `bits` (of word `word`) off everything that is pending. */
function discardWord(tx: Transaction, process: Process, word: number, bits: number): void {
  let room: number = tx.inSystem ? DISCARD_MAX.redo : DISCARD_MAX.request;
  const isMeant = (record: QueuedSignal): boolean => {
    const signal = QueuedSignal.signal.get(tx, record);
    return wordOf(signal) === word && (bit(signal) & bits) !== 0 && room-- > 0;
  };
  const pending = Process.pending.get(tx, process, word);
  if ((pending & bits) !== 0) {
    for (const record of each(tx, Process.queue, process, QueuedSignal.links)) {
      if (isMeant(record)) dropRecord(tx, Process.queue, process, process, record);
    }
    if (word === 0) Process.plain.set(tx, process, Process.plain.get(tx, process) & ~bits);
    if (room > 0) Process.pending.set(tx, process, word, pending & ~bits);
  }
  for (const task of each(tx, Process.tasks, process, Task.taskLinks)) {
    if ((Task.pending.get(tx, task, word) & bits) === 0) continue;
    for (const record of each(tx, Task.queue, task, QueuedSignal.links)) {
      if (isMeant(record)) dropRecord(tx, Task.queue, task, process, record);
    }
    if (room > 0) Task.pending.set(tx, task, word, Task.pending.get(tx, task, word) & ~bits);
  }
}

/** Drops what is pending of a signal whose action has just become "ignore" (POSIX sigaction). */
export function discardIgnored(tx: Transaction, process: Process, signal: number): void {
  Process.signals.acquire(tx, process);
  discardWord(tx, process, wordOf(signal), bit(signal));
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

// What concerns all tasks of a process (its end, an execve that ends the others, a stop, its end) stands in the process.
// Each task's attention word is made to conform after the commit, some in each step: there may be thousands (rule R3).

/** Files that the tasks of the process are to see what has become of it. With Process.signals held. */
export function conformTasks(tx: Transaction, process: Process): void {
  tx.afterCommit(REDO.conform, process);
}

/** Tasks whose attention one step changes: each takes as many stores as its waiters and its deadline need. */
const CONFORM_AT_ONCE = 8;

/** The task's attention word as the state of its process wants it. */
function conforming(view: HeapView, process: Process, task: Task): number {
  const attention = Task.attention.get(view, task);
  const executing = Process.executing.get(view, process);
  if (Process.ending.get(view, process) !== 0 || (executing !== 0 && executing !== task))
    return (attention & ~ATTENTION.STOP) | ATTENTION.EXIT;
  if ((attention & ATTENTION.EXIT) !== 0) return attention;
  return Process.stoppedBy.get(view, process) !== 0
    ? attention | ATTENTION.STOP
    : attention & ~ATTENTION.STOP;
}

registerRedo(REDO.conform, (tx, value) => {
  const process = value as Process;
  if (!Process.isLive(tx, process)) return true;
  Process.signals.acquire(tx, process);
  // The cursor is a task: those before it conform. If it has left the process meanwhile, the walk begins anew.
  const cursorAt = tx.redoCursorAt;
  let task = tx.words[cursorAt]! as Task;
  if (!Task.isLive(tx, task) || Task.process.get(tx, task) !== process || !isEnrolled(tx, task))
    task = Process.tasks.first(tx, process);
  for (let left = CONFORM_AT_ONCE; task !== 0; task = next(tx, Task.taskLinks, task)) {
    const wanted = conforming(tx, process, task);
    if (wanted === Task.attention.get(tx, task)) continue;
    if (left-- === 0) break;
    Task.attention.set(tx, task, wanted);
    nudgeTask(tx, task);
  }
  tx.store(cursorAt, task);
  return task === 0;
});

registerInvariant({
  id: "G3",
  statement: "a task's attention says EXIT and STOP as its process wants it",
  check(view, report) {
    for (const process of liveRecords(view, Process.schema)) {
      for (const task of each(view, Process.tasks, process, Task.taskLinks)) {
        const [is, wanted] = [Task.attention.get(view, task), conforming(view, process, task)];
        if (is !== wanted) report(`task ${task}: attention ${is} instead of ${wanted}`);
      }
    }
  },
});

/** Whether the task is on its process's list. */
function isEnrolled(view: HeapView, task: Task): boolean {
  const process = Task.process.get(view, task);
  const before = view.words[task + Task.taskLinks.word + 1]!;
  return before !== 0 || Process.tasks.first(view, process) === task;
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
export function infoOf(tx: Transaction, task: Task, signal: number): SignalInfo {
  const process = Task.process.get(tx, task);
  const first = isOwn(tx, task, signal) ? Task.queue.first(tx, task) : Process.queue.first(tx, process);
  const record = findQueued(tx, first, signal);
  if (record !== 0) return recordInfo(tx, process, record);
  if (isOwn(tx, task, signal) || signal >= REALTIME_FIRST) return signalInfo(signal, SI.KERNEL);
  const at = (signal - 1) * 4;
  return signalInfo(signal, Process.details.get(tx, process, at), {
    pid: Process.details.get(tx, process, at + 1),
    uid: Process.details.get(tx, process, at + 2) >>> 0,
    status: Process.details.get(tx, process, at + 3),
  });
}

function recordInfo(tx: Transaction, process: Process, record: QueuedSignal): SignalInfo {
  const timer = QueuedSignal.timer.get(tx, record);
  return signalInfo(QueuedSignal.signal.get(tx, record), QueuedSignal.code.get(tx, record), {
    errno: QueuedSignal.errno.get(tx, record),
    pid: QueuedSignal.pid.get(tx, record),
    // siginfo_t has the overrun of a timer where others have the user.
    uid: timer === 0 ? QueuedSignal.uid.get(tx, record) : (timerSignals?.overrun(tx, process, record) ?? 0),
    status: QueuedSignal.status.get(tx, record),
    address: QueuedSignal.address.get(tx, record),
    valueLow: QueuedSignal.value.get(tx, record, 0),
    valueHigh: QueuedSignal.value.get(tx, record, 1),
    timer,
  });
}

/**
 * Takes one pending `signal` out of what is pending; false if another task was faster. `info`: its details, if
 * somebody is told of them.
 */
export function takeSignal(tx: Transaction, task: Task, signal: number, info?: SignalInfo): boolean {
  const process = Task.process.get(tx, task);
  Process.signals.acquire(tx, process);
  const word = wordOf(signal);
  if (isOwn(tx, task, signal)) {
    const record = findQueued(tx, Task.queue.first(tx, task), signal);
    assert(record !== 0, "pending signal without its record (G1)");
    const more = findQueued(tx, next(tx, QueuedSignal.links, record), signal) !== 0;
    dropRecord(tx, Task.queue, task, process, record, info);
    if (!more) Task.pending.set(tx, task, word, Task.pending.get(tx, task, word) & ~bit(signal));
    return true;
  }
  const pending = Process.pending.get(tx, process, word);
  if ((pending & bit(signal)) === 0) return false;
  const plain = Process.plain.get(tx, process);
  const record = findQueued(tx, Process.queue.first(tx, process), signal);
  let more = false;
  if (record !== 0) {
    more = findQueued(tx, next(tx, QueuedSignal.links, record), signal) !== 0;
    more ||= word === 0 && (plain & bit(signal)) !== 0;
    dropRecord(tx, Process.queue, process, process, record, info);
  } else {
    assert(word === 0 && (plain & bit(signal)) !== 0, "pending signal without its record (G1)");
    Process.plain.set(tx, process, plain & ~bit(signal));
  }
  if (!more) Process.pending.set(tx, process, word, pending & ~bit(signal));
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
