/** Clocks: the numbers by which programs know them, and what they say. */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { kernelOf, processOf, taskOf } from "../kernel/process.ts";
import { processTime, TIMER_BASE } from "../kernel/posix-timer.ts";
import { Kernel, Process, Task } from "../kernel/task.ts";
import { threadOf } from "../kernel/thread.ts";

export const CLOCK = {
  CLOCK_REALTIME: 0,
  CLOCK_MONOTONIC: 1,
  CLOCK_PROCESS_CPUTIME_ID: 2,
  CLOCK_THREAD_CPUTIME_ID: 3,
  CLOCK_MONOTONIC_RAW: 4,
  CLOCK_REALTIME_COARSE: 5,
  CLOCK_MONOTONIC_COARSE: 6,
  CLOCK_BOOTTIME: 7,
  CLOCK_REALTIME_ALARM: 8,
  CLOCK_BOOTTIME_ALARM: 9,
  CLOCK_TAI: 11,
} as const;

// A negative clock is that of a process or task: ~id in the upper bits, then whether it is a task's, then which
// of three times (include/linux/posix-timers.h).
const CPU_TASK = 4;
const CPU_WHICH = 3;
const CPU_FD = 3;

/** Whose time on harts a clock tells. */
export interface CpuClock {
  readonly base: number;
  readonly process: Process;
  /** For TIMER_BASE.TASK. */
  readonly tid: number;
}

/** The clock of time on harts that `clock` is; undefined if it is another clock. Throws EINVAL if it is none. */
export function cpuClock(call: SystemCall, clock: number): CpuClock | undefined {
  const { tx, task, process } = call;
  if (clock === CLOCK.CLOCK_PROCESS_CPUTIME_ID) return { base: TIMER_BASE.PROCESS, process, tid: 0 };
  if (clock === CLOCK.CLOCK_THREAD_CPUTIME_ID)
    return { base: TIMER_BASE.TASK, process, tid: Task.tid.get(tx, task) };
  if (clock >= 0) return undefined;
  if ((clock & CPU_WHICH) === CPU_FD) throw errno.EINVAL;
  const id = ~(clock >> 3);
  if ((clock & CPU_TASK) !== 0) {
    const target = id === 0 ? task : taskOf(tx, id);
    // A task's own clock is its process's business.
    if (target === 0 || Task.process.get(tx, target) !== process) throw errno.EINVAL;
    return { base: TIMER_BASE.TASK, process, tid: Task.tid.get(tx, target) };
  }
  const target = id === 0 ? process : processOf(tx, id);
  if (target === 0 || Process.tasks.first(tx, target) === 0) throw errno.EINVAL;
  return { base: TIMER_BASE.PROCESS, process: target, tid: 0 };
}

/** What the clock says, ns. Throws EINVAL if there is no such clock. */
export function readClock(call: SystemCall, clock: number): number {
  const { tx } = call;
  switch (clock) {
    case CLOCK.CLOCK_REALTIME:
    case CLOCK.CLOCK_REALTIME_COARSE:
    case CLOCK.CLOCK_TAI:
      return threadOf(tx).clock.realtime();
    case CLOCK.CLOCK_MONOTONIC:
    case CLOCK.CLOCK_MONOTONIC_RAW:
    case CLOCK.CLOCK_MONOTONIC_COARSE:
    case CLOCK.CLOCK_BOOTTIME:
      return call.now() - Kernel.bootedAt.get(tx, kernelOf(tx));
    default: {
      const cpu = cpuClock(call, clock);
      if (cpu === undefined) throw errno.EINVAL;
      if (cpu.base === TIMER_BASE.PROCESS) return processTime(tx, cpu.process);
      return Task.runTime.get(tx, taskOf(tx, cpu.tid));
    }
  }
}

/** The monotonic time of the machine's own clock at which `clock`, one of real time, will say `at`. */
export function monotonicAt(call: SystemCall, clock: number, at: number): number {
  return call.now() + (at - readClock(call, clock));
}
