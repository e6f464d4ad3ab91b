/**
 * What goes by time on harts: RLIMIT_CPU, ITIMER_VIRTUAL and ITIMER_PROF, POSIX timers of such clocks. All such time counts as user time,
 * so the two timers run alike. Time is charged when a task's turn on its hart is over, so that nothing here
 * costs a task that does not use it; what a task runs before it waits within its turn is not charged.
 *
 * The timers are guarded by the process's signals lock.
 */

import type { HeapView } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import { expireCpuTimers, processTime } from "./posix-timer.ts";
import { sendToProcess, SI, SIG, signalInfo } from "./signal.ts";
import { Limits, Process } from "./task.ts";

const SECOND = 1e9;
/** RLIMIT_CPU is the first limit: soft low and high word, hard low and high word. */
const SOFT = 0;
const HARD = 2;

function limit(view: HeapView, limits: Limits, which: number): number {
  const high = Limits.values.get(view, limits, which + 1) >>> 0;
  return high === 0 ? Limits.values.get(view, limits, which) >>> 0 : Number.POSITIVE_INFINITY;
}

/** Whether time on harts means anything to the process. */
function isTimed(view: HeapView, process: Process): boolean {
  if (Process.virtualLeft.get(view, process) !== 0 || Process.profileLeft.get(view, process) !== 0)
    return true;
  if (Process.cpuTimers.get(view, process) !== 0) return true;
  const limits = Process.limits.get(view, process);
  return limits !== 0 && Limits.values.get(view, limits, SOFT + 1) === 0;
}

/** A task of the process, whose run time has been brought up to date, has spent `time` ns more on a hart. */
export function chargeTime(tx: Transaction, process: Process, time: number): void {
  if (!isTimed(tx, process)) return;
  const limits = Process.limits.get(tx, process);
  if (limits !== 0) chargeLimit(tx, process, limits);
  Process.signals.acquire(tx, process);
  const virtual = Process.virtualLeft.get(tx, process);
  if (virtual !== 0) {
    const next = virtual > time ? virtual - time : Process.virtualInterval.get(tx, process);
    Process.virtualLeft.set(tx, process, next);
    if (virtual <= time) sendToProcess(tx, process, signalInfo(SIG.VTALRM, SI.KERNEL));
  }
  const profile = Process.profileLeft.get(tx, process);
  if (profile !== 0) {
    const next = profile > time ? profile - time : Process.profileInterval.get(tx, process);
    Process.profileLeft.set(tx, process, next);
    if (profile <= time) sendToProcess(tx, process, signalInfo(SIG.PROF, SI.KERNEL));
  }
  if (Process.cpuTimers.get(tx, process) !== 0) expireCpuTimers(tx, process);
}

/** As on Linux, SIGXCPU raises the soft limit by a second, so that it comes again; the hard one kills. */
function chargeLimit(tx: Transaction, process: Process, limits: Limits): void {
  Limits.lock.acquire(tx, limits);
  Process.signals.acquire(tx, process);
  const seconds = processTime(tx, process) / SECOND;
  const soft = limit(tx, limits, SOFT);
  if (seconds < soft) return;
  const over = seconds >= limit(tx, limits, HARD);
  if (!over) Limits.values.set(tx, limits, SOFT, soft + 1);
  sendToProcess(tx, process, signalInfo(over ? SIG.KILL : SIG.XCPU, SI.KERNEL));
}
