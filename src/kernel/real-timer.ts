/**
 * The real interval timer of a process (alarm, setitimer): an alarm that sends SIGALRM. Guarded by the process's
 * signals lock; its sleeping by the scheduler's.
 */

import type { HeapView } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import { ALARM, ALARM_GONE, armAlarm, createAlarm, dropAlarm, registerAlarm } from "./alarm.ts";
import { sendToProcess, SI, SIG, signalInfo } from "./signal.ts";
import { Process, Task } from "./task.ts";

/** Arms the timer for the monotonic time `at` (0: disarms it), and every `interval` ns after that. */
export function armRealTimer(tx: Transaction, process: Process, at: number, interval: number): void {
  Process.signals.acquire(tx, process);
  Process.realAt.set(tx, process, at);
  Process.realInterval.set(tx, process, interval);
  let alarm = Process.realTimer.get(tx, process);
  if (alarm === 0) {
    if (at === 0) return;
    alarm = createAlarm(tx, ALARM.REAL_TIMER, process);
    Process.realTimer.set(tx, process, alarm);
  }
  armAlarm(tx, alarm, at);
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

/** The process ends. With its signals lock held. */
export function dropRealTimer(tx: Transaction, process: Process): void {
  const alarm = Process.realTimer.get(tx, process);
  if (alarm === 0) return;
  Process.realTimer.set(tx, process, 0 as Task);
  dropAlarm(tx, alarm);
}

// Sends the signal if it is due, sleeps again if there is a next time.
registerAlarm(ALARM.REAL_TIMER, (tx, alarm, owner, now) => {
  const process = owner as Process;
  Process.signals.acquire(tx, process);
  if (Task.alarmOwner.get(tx, alarm) !== owner) return ALARM_GONE;
  let at = Process.realAt.get(tx, process);
  if (at !== 0 && at <= now) {
    const interval = Process.realInterval.get(tx, process);
    at = interval === 0 ? 0 : Math.max(at + interval, now);
    Process.realAt.set(tx, process, at);
    sendToProcess(tx, process, signalInfo(SIG.ALRM, SI.KERNEL));
  }
  return at;
});
