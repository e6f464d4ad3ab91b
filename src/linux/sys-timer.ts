/** POSIX timers: timer_create and its kin (kernel/posix-timer.ts). */

import { errno } from "../base/errno.ts";
import type { CallHandler, SystemCall } from "../kernel/call.ts";
import {
  createTimer,
  deleteTimer,
  findTimer,
  NOTIFY,
  setTimer,
  TIMER_BASE,
  timerLeft,
  timerNow,
  type TimerRequest,
} from "../kernel/posix-timer.ts";
import { taskOf } from "../kernel/process.ts";
import { SIG, SIGNALS_MAX } from "../kernel/signal.ts";
import { Process, Task, Timer } from "../kernel/task.ts";
import { CLOCK, cpuClock, monotonicAt } from "./clocks.ts";
import { type CallRow, flagSet, full, nameSet, partial } from "./row.ts";
import { pairBytes, readTimespec } from "./time-values.ts";
import { readStruct, writeBack, writeUser } from "./user.ts";

const TIMER_ABSTIME = 1;
const NS = 1e9;
const SIGEVENT_BYTES = 64;

/** Clocks of real time that timers can go by. */
const REAL_CLOCKS: readonly number[] = [
  CLOCK.CLOCK_REALTIME,
  CLOCK.CLOCK_MONOTONIC,
  CLOCK.CLOCK_BOOTTIME,
  CLOCK.CLOCK_TAI,
];
/** Clocks that are there and that no timer goes by: they are for reading, or wake a machine that sleeps. */
const OTHER_CLOCKS: readonly number[] = [
  CLOCK.CLOCK_MONOTONIC_RAW,
  CLOCK.CLOCK_REALTIME_COARSE,
  CLOCK.CLOCK_MONOTONIC_COARSE,
  CLOCK.CLOCK_REALTIME_ALARM,
  CLOCK.CLOCK_BOOTTIME_ALARM,
];

/** struct itimerspec: interval, then value. */
export const ITIMERSPEC_BYTES = 32;

/** A struct itimerspec as bytes, from ns. */
export function itimerspecBytes(left: number, interval: number): Uint8Array {
  const bytes = new Uint8Array(ITIMERSPEC_BYTES);
  bytes.set(pairBytes(Math.floor(interval / NS), interval % NS), 0);
  bytes.set(pairBytes(Math.floor(left / NS), left % NS), 16);
  return bytes;
}

/** The struct itimerspec at `address`, in ns that an integer can hold; EINVAL if it is none. */
export function readItimerspec(call: SystemCall, address: number): { interval: number; value: number } {
  const bounded = (time: number): number => Math.min(time, 2 ** 52);
  return {
    interval: bounded(readTimespec(call, address)),
    value: readTimespec(call, address + 16),
  };
}

/** The request in struct sigevent at `address`; 0: SIGALRM with the timer's id. Throws EINVAL. */
function readEvent(call: SystemCall, address: number): Omit<TimerRequest, "base" | "clockTid" | "clock"> {
  if (address === 0) return { notify: NOTIFY.SIGNAL, signal: SIG.ALRM, tid: 0, value: undefined };
  const view = readStruct(call, address, SIGEVENT_BYTES);
  const value = [view.getInt32(0, true), view.getInt32(4, true)] as const;
  const signal = view.getInt32(8, true);
  const notify = view.getInt32(12, true);
  const tid = view.getInt32(16, true);
  switch (notify) {
    case NOTIFY.NONE:
      return { notify, signal: 0, tid: 0, value };
    case NOTIFY.THREAD_ID: {
      const task = taskOf(call.tx, tid);
      if (task === 0 || Task.process.get(call.tx, task) !== call.process) throw errno.EINVAL;
      break;
    }
    case NOTIFY.SIGNAL:
    case NOTIFY.THREAD:
      break;
    default:
      throw errno.EINVAL;
  }
  if (signal < 1 || signal > SIGNALS_MAX) throw errno.EINVAL;
  return { notify, signal, tid, value };
}

const timerCreate: CallHandler = (call) => {
  const { tx, process } = call;
  const clock = call.int(0);
  if (OTHER_CLOCKS.includes(clock)) throw errno.EOPNOTSUPP;
  const cpu = REAL_CLOCKS.includes(clock) ? undefined : cpuClock(call, clock);
  if (cpu === undefined && !REAL_CLOCKS.includes(clock)) throw errno.EINVAL;
  if (cpu !== undefined && cpu.process !== process) throw errno.EOPNOTSUPP;
  const event = readEvent(call, call.address(1));
  const id = createTimer(tx, process, {
    ...event,
    base: cpu?.base ?? TIMER_BASE.REAL,
    clockTid: cpu?.tid ?? 0,
    clock,
  });
  writeUser(call, call.address(2), new Int32Array([id]));
  return 0;
};

/** The caller's timer in argument 0, with the signals lock. Throws EINVAL. */
function timerOf(call: SystemCall): Timer {
  Process.signals.acquire(call.tx, call.process);
  const timer = findTimer(call.tx, call.process, call.int(0));
  if (timer === 0) throw errno.EINVAL;
  return timer;
}

const timerSettime: CallHandler = (call) => {
  const { tx } = call;
  if (call.address(2) === 0) throw errno.EINVAL;
  const { interval, value } = readItimerspec(call, call.address(2));
  const isAbsolute = (call.int(1) & TIMER_ABSTIME) !== 0;
  const timer = timerOf(call);
  const old = timerLeft(tx, timer);
  let at = 0;
  if (value !== 0) {
    const isReal = Timer.base.get(tx, timer) === TIMER_BASE.REAL;
    if (!isAbsolute) at = timerNow(tx, timer) + value;
    else at = isReal ? monotonicAt(call, Timer.clock.get(tx, timer), value) : value;
    at = Math.min(Math.max(1, Math.floor(at)), 2 ** 52);
  }
  setTimer(tx, timer, at, interval);
  if (call.address(3) !== 0) writeBack(call, call.address(3), itimerspecBytes(old.left, old.interval));
  return 0;
};

const timerGettime: CallHandler = (call) => {
  const { left, interval } = timerLeft(call.tx, timerOf(call));
  writeUser(call, call.address(1), itimerspecBytes(left, interval));
  return 0;
};

const timerGetoverrun: CallHandler = (call) => Timer.overrun.get(call.tx, timerOf(call));

const timerDelete: CallHandler = (call) => {
  deleteTimer(call.tx, timerOf(call));
  return 0;
};

const CLOCKS = nameSet(CLOCK);
const ABSTIME = flagSet({ TIMER_ABSTIME });

export const timerRows: readonly CallRow[] = [
  partial(
    107,
    "timer_create",
    [CLOCKS, "address", "address"],
    "not by the clock of another process; no alarms that wake a machine",
    timerCreate,
  ),
  full(108, "timer_gettime", ["int", "address"], timerGettime),
  full(109, "timer_getoverrun", ["int"], timerGetoverrun),
  full(110, "timer_settime", ["int", ABSTIME, "address", "address"], timerSettime),
  full(111, "timer_delete", ["int"], timerDelete),
];
