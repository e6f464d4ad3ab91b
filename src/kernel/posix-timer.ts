/**
 * POSIX timers (timer_create and its kin). A timer belongs to a process, hangs on its list, and is guarded by its
 * signals lock. One that goes by real time has an alarm (alarm.ts); one that goes by time on harts is looked at
 * when such time is charged (cpu-timers.ts).
 *
 * A timer that expires sends its signal and is then not armed until that signal is taken: the expirations in
 * between are counted, not sent, so a short interval cannot flood anybody. Whoever takes the signal is told their
 * number (`si_overrun`), and the timer is armed for the next one.
 *
 *     set ──▶ armed ──expires──▶ signal pending ──taken──▶ armed again (interval) or disarmed
 *               └─────── signal ignored: armed for the next expiration ───────┘
 *
 * Invariants
 *   PT1  A timer is on the list of its process, and has an alarm of its own or none.
 *   PT2  A process's cpuTimers is the number of its timers that are armed and go by time on harts.
 */

import { liveRecords, registerInvariant } from "../heap/check.ts";
import type { HeapView } from "../heap/heap.ts";
import { append, each, remove } from "../heap/list.ts";
import type { Transaction } from "../heap/transaction.ts";
import { chargeUser, creditUser } from "./account.ts";
import { ALARM, ALARM_GONE, armAlarm, createAlarm, dropAlarm, registerAlarm } from "./alarm.ts";
import { errno } from "../base/errno.ts";
import { registerTimerSignals, sendToProcess, sendToTask, SI, signalInfo } from "./signal.ts";
import { Process, QueuedSignal, Task, Timer } from "./task.ts";
import { threadOf } from "./thread.ts";

/** What a timer goes by: real time, time on harts of its process, or that of one of its tasks. */
export const TIMER_BASE = { REAL: 0, PROCESS: 1, TASK: 2 } as const;
/** How it notifies (SIGEV_* of Linux). */
export const NOTIFY = { SIGNAL: 0, NONE: 1, THREAD: 2, THREAD_ID: 4 } as const;
/** What timer_getoverrun tells at most (DELAYTIMER_MAX). */
const OVERRUN_MAX = 0x7fff_ffff;
/** A timer whose signal is ignored does not come back sooner than that, ns. */
const IGNORED_MIN = 1e6;
/** Timers that one step of the end of a process deletes. */
const DROP_STEP = 32;

/** What timer_create asks for. */
export interface TimerRequest {
  readonly base: number;
  /** The task of TIMER_BASE.TASK. */
  readonly clockTid: number;
  /** The number by which the program knows the clock. */
  readonly clock: number;
  readonly notify: number;
  readonly signal: number;
  readonly tid: number;
  /** si_value; undefined: the timer's id. */
  readonly value: readonly [low: number, high: number] | undefined;
}

/** A timer of `process`, disarmed; its id. Throws EAGAIN. */
export function createTimer(tx: Transaction, process: Process, request: TimerRequest): number {
  Process.signals.acquire(tx, process);
  const account = chargeUser(tx, process, false);
  if (account === 0) throw errno.EAGAIN;
  const timer = Timer.allocate(tx);
  const id = Process.nextTimer.get(tx, process);
  Process.nextTimer.set(tx, process, (id + 1) & OVERRUN_MAX);
  Timer.process.init(tx, timer, process);
  Timer.id.init(tx, timer, id);
  Timer.base.init(tx, timer, request.base);
  Timer.clockTid.init(tx, timer, request.clockTid);
  Timer.clock.init(tx, timer, request.clock);
  Timer.notify.init(tx, timer, request.notify);
  Timer.signal.init(tx, timer, request.signal);
  Timer.tid.init(tx, timer, request.tid);
  Timer.value.init(tx, timer, 0, request.value?.[0] ?? id);
  Timer.value.init(tx, timer, 1, request.value?.[1] ?? 0);
  Timer.account.init(tx, timer, account);
  append(tx, Process.timers, process, Timer.links, timer);
  return id;
}

/** The timer of `process` with that id; none if there is none. With its signals lock held. */
export function findTimer(view: HeapView, process: Process, id: number): Timer {
  for (const timer of each(view, Process.timers, process, Timer.links)) {
    if (Timer.id.get(view, timer) === id) return timer;
  }
  return 0 as Timer;
}

/** Time on harts of the task `tid` of `process`; 0 if it has ended. */
function taskTime(view: HeapView, process: Process, tid: number): number {
  for (const task of each(view, Process.tasks, process, Task.taskLinks)) {
    if (Task.tid.get(view, task) === tid) return Task.runTime.get(view, task);
  }
  return 0;
}

/** Time on harts of all tasks of a process that live and have lived, ns. */
export function processTime(view: HeapView, process: Process): number {
  let time = Process.userTime.get(view, process);
  for (const task of each(view, Process.tasks, process, Task.taskLinks)) time += Task.runTime.get(view, task);
  return time;
}

/** What the timer's clock says: monotonic time, or time on harts. */
export function timerNow(tx: Transaction, timer: Timer): number {
  const process = Timer.process.get(tx, timer);
  switch (Timer.base.get(tx, timer)) {
    case TIMER_BASE.PROCESS:
      return processTime(tx, process);
    case TIMER_BASE.TASK:
      return taskTime(tx, process, Timer.clockTid.get(tx, timer));
    default:
      return threadOf(tx).clock.monotonic();
  }
}

/** What is left until the timer expires and its interval, ns; 0 and 0 when it is disarmed. */
export function timerLeft(tx: Transaction, timer: Timer): { left: number; interval: number } {
  const at = Timer.at.get(tx, timer);
  const interval = Timer.interval.get(tx, timer);
  if (at === 0) return { left: 0, interval: 0 };
  const now = timerNow(tx, timer);
  if (at > now) return { left: at - now, interval };
  if (interval > 0) return { left: interval - ((now - at) % interval), interval };
  // One that has just expired and sends no signal shows nothing; one that is about to send shows an instant.
  return { left: Timer.notify.get(tx, timer) === NOTIFY.NONE ? 0 : 1, interval };
}

/** Arms the timer for `at` (by its own clock; 0: disarms it), and every `interval` ns after that. */
export function setTimer(tx: Transaction, timer: Timer, at: number, interval: number): void {
  Timer.setting.set(tx, timer, Timer.setting.get(tx, timer) + 1);
  Timer.pending.set(tx, timer, 0);
  Timer.missed.set(tx, timer, 0);
  Timer.overrun.set(tx, timer, 0);
  Timer.interval.set(tx, timer, at === 0 ? 0 : interval);
  arm(tx, timer, at);
}

/** Sets when the timer expires next, 0: not. */
function arm(tx: Transaction, timer: Timer, at: number): void {
  const isReal = Timer.base.get(tx, timer) === TIMER_BASE.REAL;
  if (!isReal) {
    const process = Timer.process.get(tx, timer);
    const change = (at === 0 ? 0 : 1) - (Timer.at.get(tx, timer) === 0 ? 0 : 1);
    if (change !== 0) Process.cpuTimers.add(tx, process, change);
  }
  Timer.at.set(tx, timer, at);
  if (!isReal || Timer.notify.get(tx, timer) === NOTIFY.NONE) return;
  let alarm = Timer.alarm.get(tx, timer);
  if (alarm === 0) {
    if (at === 0) return;
    alarm = createAlarm(tx, ALARM.POSIX_TIMER, timer);
    Timer.alarm.set(tx, timer, alarm);
  }
  armAlarm(tx, alarm, at);
}

/** Deletes a timer. A signal of it that is pending stays so. */
export function deleteTimer(tx: Transaction, timer: Timer): void {
  const process = Timer.process.get(tx, timer);
  Timer.interval.set(tx, timer, 0);
  if (Timer.at.get(tx, timer) !== 0 && Timer.base.get(tx, timer) !== TIMER_BASE.REAL)
    Process.cpuTimers.add(tx, process, -1);
  const { account, alarm, links } = Timer;
  creditUser(tx, account.get(tx, timer));
  const task = alarm.get(tx, timer);
  if (task !== 0) dropAlarm(tx, task);
  remove(tx, Process.timers, process, links, timer);
  Timer.free(tx, timer);
}

/**
 * Deletes some timers of a process that ends or executes another program: one bounded step. True, without a lock,
 * when none was left.
 */
export function dropTimersStep(tx: Transaction, process: Process): boolean {
  if (Process.timers.isEmpty(tx, process)) return true;
  Process.signals.acquire(tx, process);
  for (let i = 0; i < DROP_STEP; i++) {
    const timer = Process.timers.first(tx, process);
    if (timer === 0) break;
    deleteTimer(tx, timer);
  }
  return false;
}

/** The timer's time has come by its clock, which says `now`: sends its signal or counts it as missed. */
function expire(tx: Transaction, timer: Timer, now: number): void {
  if (Timer.notify.get(tx, timer) === NOTIFY.NONE) return;
  if (sendTimerSignal(tx, timer)) {
    Timer.pending.set(tx, timer, 1);
    if (Timer.interval.get(tx, timer) === 0) disarmExpired(tx, timer);
    return;
  }
  const interval = Timer.interval.get(tx, timer);
  if (interval === 0) {
    disarmExpired(tx, timer);
    return;
  }
  // Nobody wants the signal now; a handler may be set up later.
  const passed = Math.floor((now - Timer.at.get(tx, timer)) / interval) + 1;
  const next = Timer.at.get(tx, timer) + passed * interval;
  const lazy = Math.max(next, next + Math.ceil((now + IGNORED_MIN - next) / interval) * interval);
  Timer.missed.set(tx, timer, Timer.missed.get(tx, timer) + passed + (lazy - next) / interval);
  arm(tx, timer, lazy);
}

/** A timer without an interval has expired. Its alarm, which asks for its next time, sleeps from now on. */
function disarmExpired(tx: Transaction, timer: Timer): void {
  if (Timer.base.get(tx, timer) !== TIMER_BASE.REAL)
    Process.cpuTimers.add(tx, Timer.process.get(tx, timer), -1);
  Timer.at.set(tx, timer, 0);
}

function sendTimerSignal(tx: Transaction, timer: Timer): boolean {
  const process = Timer.process.get(tx, timer);
  const info = signalInfo(Timer.signal.get(tx, timer), SI.TIMER, {
    pid: Timer.id.get(tx, timer),
    valueLow: Timer.value.get(tx, timer, 0),
    valueHigh: Timer.value.get(tx, timer, 1),
    timer: Timer.id.get(tx, timer) + 1,
    setting: Timer.setting.get(tx, timer),
  });
  if ((Timer.notify.get(tx, timer) & NOTIFY.THREAD_ID) === 0) return sendToProcess(tx, process, info);
  const tid = Timer.tid.get(tx, timer);
  for (const task of each(tx, Process.tasks, process, Task.taskLinks)) {
    if (Task.tid.get(tx, task) === tid) return sendToTask(tx, task, info);
  }
  return false;
}

registerAlarm(ALARM.POSIX_TIMER, (tx, alarm, owner, now) => {
  const timer = owner as Timer;
  Process.signals.acquire(tx, Timer.process.get(tx, timer));
  if (Task.alarmOwner.get(tx, alarm) !== owner) return ALARM_GONE;
  const at = Timer.at.get(tx, timer);
  if (at !== 0 && at <= now && Timer.pending.get(tx, timer) === 0) expire(tx, timer, now);
  return Timer.pending.get(tx, timer) === 0 ? Timer.at.get(tx, timer) : 0;
});

/** Time on harts has been charged to `process`: its timers that go by it expire. With its signals lock held. */
export function expireCpuTimers(tx: Transaction, process: Process): void {
  for (const timer of each(tx, Process.timers, process, Timer.links)) {
    if (Timer.base.get(tx, timer) === TIMER_BASE.REAL || Timer.pending.get(tx, timer) !== 0) continue;
    const at = Timer.at.get(tx, timer);
    const now = at === 0 ? 0 : timerNow(tx, timer);
    if (at !== 0 && at <= now) expire(tx, timer, now);
  }
}

/** The timer whose signal this is, if it has not been deleted or set anew since. */
function senderOf(view: HeapView, process: Process, signal: QueuedSignal): Timer {
  const timer = findTimer(view, process, QueuedSignal.timer.get(view, signal) - 1);
  if (timer === 0 || Timer.setting.get(view, timer) !== QueuedSignal.setting.get(view, signal))
    return 0 as Timer;
  return timer;
}

/** Expirations that went by between the one that sent the pending signal and now. */
function passedBy(tx: Transaction, timer: Timer): number {
  const interval = Timer.interval.get(tx, timer);
  const at = Timer.at.get(tx, timer);
  if (interval === 0 || at === 0) return 0;
  return Math.max(0, Math.floor((timerNow(tx, timer) - at) / interval));
}

registerTimerSignals({
  overrun(tx, process, signal) {
    const timer = senderOf(tx, process, signal);
    if (timer === 0) return 0;
    return Math.min(Timer.missed.get(tx, timer) + passedBy(tx, timer), OVERRUN_MAX);
  },
  taken(tx, process, signal, told) {
    const timer = senderOf(tx, process, signal);
    if (timer === 0) return;
    const missed = Timer.missed.get(tx, timer);
    const passed = told === undefined || told === OVERRUN_MAX ? passedBy(tx, timer) : told - missed;
    Timer.overrun.set(tx, timer, Math.min(missed + passed, OVERRUN_MAX));
    Timer.missed.set(tx, timer, 0);
    Timer.pending.set(tx, timer, 0);
    const interval = Timer.interval.get(tx, timer);
    if (interval !== 0) arm(tx, timer, Timer.at.get(tx, timer) + (passed + 1) * interval);
  },
});

registerInvariant({
  id: "PT1",
  statement: "a timer is on the list of its process, once, and its alarm is its own",
  check(view, report) {
    const listed = new Set<number>();
    for (const process of liveRecords(view, Process.schema)) {
      for (const timer of each(view, Process.timers, process, Timer.links)) {
        if (listed.has(timer)) report(`timer ${timer} is on two lists`);
        listed.add(timer);
        if (Timer.process.get(view, timer) !== process) report(`timer ${timer} is on the list of ${process}`);
      }
    }
    for (const timer of liveRecords(view, Timer.schema)) {
      if (!listed.has(timer)) report(`timer ${timer} is on no list`);
      const alarm = Timer.alarm.get(view, timer);
      if (alarm !== 0 && (!Task.isLive(view, alarm) || Task.alarmOwner.get(view, alarm) !== timer))
        report(`timer ${timer} has alarm ${alarm}, which is not its own`);
    }
  },
});

registerInvariant({
  id: "PT2",
  statement: "a process counts its timers that are armed and go by time on harts",
  check(view, report) {
    for (const process of liveRecords(view, Process.schema)) {
      let count = 0;
      for (const timer of each(view, Process.timers, process, Timer.links)) {
        if (Timer.base.get(view, timer) !== TIMER_BASE.REAL && Timer.at.get(view, timer) !== 0) count++;
      }
      const said = Process.cpuTimers.get(view, process);
      if (said !== count) report(`process ${process} counts ${said} such timers, has ${count}`);
    }
  },
});
