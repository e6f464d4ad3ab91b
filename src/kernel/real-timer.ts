/**
 * The real interval timer of a process (alarm, setitimer): a kernel task that sleeps until the timer expires,
 * then sends SIGALRM, then sleeps again or stays asleep. Being a task, it needs nothing of its own in the
 * scheduler.
 *
 * Guarded by the process's signals lock; its sleeping by the scheduler's.
 */

import type { HeapView } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import { cancelAlarm, type Hart, retireTask, setAlarm } from "./scheduler.ts";
import { sendToProcess, SI, SIG, signalInfo } from "./signal.ts";
import { Process, RUN, Task } from "./task.ts";

/** Arms the timer for the monotonic time `at` (0: disarms it), and every `interval` ns after that. */
export function armRealTimer(tx: Transaction, process: Process, at: number, interval: number): void {
  Process.signals.acquire(tx, process);
  Process.realAt.set(tx, process, at);
  Process.realInterval.set(tx, process, interval);
  let task = Process.realTimer.get(tx, process);
  if (task === 0) {
    if (at === 0) return;
    task = Task.allocate(tx);
    Task.isTimer.init(tx, task, 1);
    Task.hart.init(tx, task, -1);
    Task.process.init(tx, task, process);
    Process.realTimer.set(tx, process, task);
  }
  setAlarm(tx, task, at);
}

/** What is left until the timer expires and its interval, ns; 0 and 0 when it is disarmed. */
export function realTimerOf(
  view: HeapView,
  process: Process,
  now: number,
): { left: number; interval: number } {
  const at = Process.realAt.get(view, process);
  return { left: at === 0 ? 0 : Math.max(0, at - now), interval: Process.realInterval.get(view, process) };
}

/** The timer's task is on hart `hart`: sends the signal if it is due, sleeps again if there is a next time. */
export function fireRealTimer(tx: Transaction, hart: Hart, task: Task, now: number): void {
  const process = Task.process.get(tx, task);
  if (process === 0) {
    // The process has ended meanwhile, and left the task to end itself.
    retireTask(tx, hart, task, RUN.DEAD);
    Task.free(tx, task);
    tx.commit();
    return;
  }
  Process.signals.acquire(tx, process);
  let at = Process.realAt.get(tx, process);
  if (at !== 0 && at <= now) {
    const interval = Process.realInterval.get(tx, process);
    at = interval === 0 ? 0 : Math.max(at + interval, now);
    Process.realAt.set(tx, process, at);
    sendToProcess(tx, process, signalInfo(SIG.ALRM, SI.KERNEL));
  }
  retireTask(tx, hart, task, RUN.WAITING);
  setAlarm(tx, task, at);
  tx.commit();
}

/** The process ends. With its signals lock held. */
export function dropRealTimer(tx: Transaction, process: Process): void {
  const task = Process.realTimer.get(tx, process);
  if (task === 0) return;
  Process.realTimer.set(tx, process, 0 as Task);
  if (cancelAlarm(tx, task)) Task.free(tx, task);
  else Task.process.set(tx, task, 0 as Process);
}
