/** System calls about time: clocks, sleeping, interval timers. */

import { errno, Errno } from "../base/errno.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { CallHandler, SystemCall } from "../kernel/call.ts";
import { putU64 } from "../kernel/memory/user-memory.ts";
import { unsigned, X } from "../kernel/registers.ts";
import { WOULD_BLOCK } from "../kernel/request.ts";
import { Kernel, Process, Task } from "../kernel/task.ts";
import { kernelOf, lockTree } from "../kernel/process.ts";
import { threadOf } from "../kernel/thread.ts";
import { processTime } from "../kernel/posix-timer.ts";
import { armRealTimer, realTimerOf } from "../kernel/real-timer.ts";
import { childrenUsage, processUsage, rusageBytes, taskUsage } from "./rusage.ts";
import { CLOCK, readClock } from "./clocks.ts";
import { type CallRow, flagSet, full, nameSet, partial } from "./row.ts";
import { pairBytes, readTimespec, readTimeval, writeTimespec, writeTimeval } from "./time-values.ts";
import { writeBack, writeUser } from "./user.ts";

const TIMER_ABSTIME = 1;
const NS = 1e9;

/** Time on harts of the calling task, or of all tasks of its process that live and have lived, ns. */
function cpuTime(call: SystemCall, ofProcess: boolean): number {
  return ofProcess ? processTime(call.tx, call.process) : Task.runTime.get(call.tx, call.task);
}

const clockGettime: CallHandler = (call) => {
  const time = readClock(call, call.int(0));
  writeTimespec(call, call.address(1), time);
  return 0;
};

const clockGetres: CallHandler = (call) => {
  readClock(call, call.int(0));
  if (call.address(1) !== 0) writeTimespec(call, call.address(1), 1);
  return 0;
};

const gettimeofday: CallHandler = (call) => {
  if (call.address(0) !== 0) writeTimeval(call, call.address(0), threadOf(call.tx).clock.realtime());
  if (call.address(1) !== 0) writeUser(call, call.address(1), new Uint8Array(8));
  return 0;
};

const setClock: CallHandler = () => {
  // The clock is the host's; nobody in the machine may set it.
  throw errno.EPERM;
};

/** Sleeps until the monotonic time `until`. */
function sleepUntil(call: SystemCall, until: number): number {
  if (call.now() >= call.deadlineAt(until)) return 0;
  throw WOULD_BLOCK;
}

/** A handler ends the sleep: tells what remains of it at `address`, if that is wanted. */
function tellRemainder(tx: Transaction, task: Task, address: number): boolean {
  if (address === 0) return true;
  const left = Math.max(0, Task.deadline.get(tx, task) - threadOf(tx).clock.monotonic());
  try {
    const space = Task.space.get(tx, task);
    putU64(tx, space, address, Math.floor(left / NS));
    putU64(tx, space, address + 8, left % NS);
  } catch (error) {
    // The sleep is over all the same; Linux would answer EFAULT instead of EINTR.
    if (!(error instanceof Errno)) throw error;
  }
  return true;
}

const argument = (tx: Transaction, task: Task, index: number): number =>
  unsigned(tx, Task.registers.get(tx, task), X.a0 + index);

const nanosleep: CallHandler = (call) => sleepUntil(call, call.now() + readTimespec(call, call.address(0)));

const clockNanosleep: CallHandler = (call) => {
  const clock = call.int(0);
  if (clock === CLOCK.CLOCK_THREAD_CPUTIME_ID) throw errno.EINVAL;
  const now = readClock(call, clock);
  const time = readTimespec(call, call.address(2));
  const length = (call.int(1) & TIMER_ABSTIME) !== 0 ? time - now : time;
  return sleepUntil(call, call.now() + Math.max(0, length));
};

const getitimer: CallHandler = (call) => {
  if (call.int(0) < 0 || call.int(0) > 2) throw errno.EINVAL;
  writeUser(call, call.address(1), timerBytes(call, call.int(0)));
  return 0;
};

/** struct itimerval of one of the process's timers. */
function timerBytes(call: SystemCall, which: number): Uint8Array {
  const { tx, process } = call;
  const bytes = new Uint8Array(32);
  const timer = TIMERS[which];
  const { left, interval } =
    timer === undefined
      ? realTimerOf(tx, process, call.now())
      : { left: timer.left.get(tx, process), interval: timer.interval.get(tx, process) };
  const micros = (time: number): Uint8Array =>
    pairBytes(Math.floor(time / NS), Math.floor((time % NS) / 1000));
  bytes.set(micros(interval), 0);
  // A timer that has not fired yet never shows zero.
  bytes.set(micros(left > 0 ? Math.max(left, 1000) : 0), 16);
  return bytes;
}

/** The timers that go by time on harts. */
const TIMERS = [
  undefined,
  { left: Process.virtualLeft, interval: Process.virtualInterval },
  { left: Process.profileLeft, interval: Process.profileInterval },
] as const;

const setitimer: CallHandler = (call) => {
  const which = call.int(0);
  if (which < 0 || which > 2) throw errno.EINVAL;
  let interval = 0;
  let value = 0;
  if (call.address(1) !== 0) {
    interval = readTimeval(call, call.address(1));
    value = readTimeval(call, call.address(1) + 16);
  }
  if (call.address(2) !== 0) writeBack(call, call.address(2), timerBytes(call, which));
  const timer = TIMERS[which];
  if (timer !== undefined) {
    Process.signals.acquire(call.tx, call.process);
    timer.left.set(call.tx, call.process, value);
    timer.interval.set(call.tx, call.process, interval);
    return 0;
  }
  armRealTimer(call.tx, call.process, value === 0 ? 0 : call.now() + value, interval);
  return 0;
};

const times: CallHandler = (call) => {
  const { tx, process } = call;
  const ticks = (ns: number): number => Math.floor(ns / 1e7);
  if (call.address(0) !== 0) {
    const bytes = new Uint8Array(32);
    bytes.set(pairBytes(ticks(cpuTime(call, true)), 0), 0);
    bytes.set(pairBytes(ticks(Process.childrenUserTime.get(tx, process)), 0), 16);
    writeUser(call, call.address(0), bytes);
  }
  return ticks(call.now() - Kernel.bootedAt.get(tx, kernelOf(tx)));
};

const RUSAGE = { RUSAGE_SELF: 0, RUSAGE_CHILDREN: -1, RUSAGE_THREAD: 1 } as const;

const getrusage: CallHandler = (call) => {
  const { tx, process } = call;
  switch (call.int(0)) {
    case RUSAGE.RUSAGE_SELF:
      lockTree(tx);
      writeUser(call, call.address(1), rusageBytes(processUsage(tx, process)));
      return 0;
    case RUSAGE.RUSAGE_THREAD:
      writeUser(call, call.address(1), rusageBytes(taskUsage(tx, call.task)));
      return 0;
    case RUSAGE.RUSAGE_CHILDREN:
      lockTree(tx);
      writeUser(call, call.address(1), rusageBytes(childrenUsage(tx, process)));
      return 0;
    default:
      throw errno.EINVAL;
  }
};

const CLOCKS = nameSet(CLOCK);
const ABSTIME = flagSet({ TIMER_ABSTIME });
const ITIMERS = nameSet({ ITIMER_REAL: 0, ITIMER_VIRTUAL: 1, ITIMER_PROF: 2 });

export const timeRows: readonly CallRow[] = [
  full(101, "nanosleep", ["timespec", "address"], nanosleep, {
    wait: "enqueue",
    restart: "interrupt",
    abandon: (tx, task) => tellRemainder(tx, task, argument(tx, task, 1)),
  }),
  full(102, "getitimer", [ITIMERS, "address"], getitimer),
  full(103, "setitimer", [ITIMERS, "address", "address"], setitimer),
  partial(112, "clock_settime", [CLOCKS, "timespec"], "the clock is the host's: EPERM", setClock),
  full(113, "clock_gettime", [CLOCKS, "timespec-out"], clockGettime),
  full(114, "clock_getres", [CLOCKS, "timespec-out"], clockGetres),
  full(115, "clock_nanosleep", [CLOCKS, ABSTIME, "timespec", "address"], clockNanosleep, {
    wait: "enqueue",
    restart: "interrupt",
    abandon: (tx, task) =>
      tellRemainder(tx, task, (argument(tx, task, 1) & TIMER_ABSTIME) === 0 ? argument(tx, task, 3) : 0),
  }),
  full(153, "times", ["address"], times),
  full(165, "getrusage", [nameSet(RUSAGE), "address"], getrusage),
  full(169, "gettimeofday", ["address", "address"], gettimeofday),
  partial(170, "settimeofday", ["address", "address"], "the clock is the host's: EPERM", setClock),
];
