/**
 * Alarms: kernel tasks that sleep until a moment and then do what their owner says: the real timer of a process
 * (real-timer.ts), POSIX timers (posix-timer.ts), timer files, the collector of descriptors that nobody has received
 * (servers/socket/rights.ts). Being tasks, they need nothing of their own in the
 * scheduler, and a hart that dies while it runs one leaves it to the next.
 *
 * An owner is a record with a lock. `Task.alarmOwner` is guarded by that lock: whoever gives an alarm up clears it
 * there, and the alarm's action takes the lock and looks again before it believes in its owner. Blocks of the heap
 * never change their type, so the lock of an owner that has been freed meanwhile is still a lock.
 *
 * Invariants
 *   A1  Every alarm is in the count of the scheduler, which bounds how many deadlines can be pending at once.
 */

import { assert } from "../base/assert.ts";
import type { HeapAddr } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import { cancelAlarm, countAlarm, type Hart, retireTask, setAlarm } from "./scheduler.ts";
import { RUN, Task } from "./task.ts";

/** Values of Task.isTimer: no alarm, or whose. */
export const ALARM = { NONE: 0, REAL_TIMER: 1, POSIX_TIMER: 2, TIMER_FILE: 3, COLLECTOR: 4 } as const;
export type AlarmKind = (typeof ALARM)[keyof typeof ALARM];

/** What an action answers when its alarm has been given up. */
export const ALARM_GONE = -1;

/**
 * What is done when an alarm's time has come (or it was woken for nothing): the monotonic time at which it is
 * due again, 0: not by itself, or ALARM_GONE.
 */
export type AlarmAction = (tx: Transaction, alarm: Task, owner: HeapAddr, now: number) => number;

const actions: (AlarmAction | undefined)[] = [];

/** Says what alarms of a kind do. Once for each kind, when a module is loaded. */
export function registerAlarm(kind: AlarmKind, action: AlarmAction): void {
  assert(actions[kind] === undefined, `alarm kind ${kind} registered twice`);
  actions[kind] = action;
}

/** A new alarm of `owner`, asleep. Throws EAGAIN when there are too many. */
export function createAlarm(tx: Transaction, kind: AlarmKind, owner: HeapAddr): Task {
  const alarm = Task.allocate(tx);
  Task.isTimer.init(tx, alarm, kind);
  Task.hart.init(tx, alarm, -1);
  Task.alarmOwner.init(tx, alarm, owner);
  countAlarm(tx, 1);
  return alarm;
}

/** Sets the monotonic time at which the alarm is due; 0: never. */
export function armAlarm(tx: Transaction, alarm: Task, at: number): void {
  setAlarm(tx, alarm, at);
}

/** The owner gives the alarm up, holding its own lock. */
export function dropAlarm(tx: Transaction, alarm: Task): void {
  if (!cancelAlarm(tx, alarm)) {
    // It is ready or on a hart, finds no owner, and ends itself.
    Task.alarmOwner.set(tx, alarm, 0);
    return;
  }
  countAlarm(tx, -1);
  Task.free(tx, alarm);
}

/** The alarm is on hart `hart`. */
export function fireAlarm(tx: Transaction, hart: Hart, alarm: Task, now: number): void {
  const owner = Task.alarmOwner.get(tx, alarm);
  const action = actions[Task.isTimer.get(tx, alarm)];
  assert(action !== undefined, "an alarm of unknown kind");
  const next = owner === 0 ? ALARM_GONE : action(tx, alarm, owner, now);
  if (next === ALARM_GONE) {
    retireTask(tx, hart, alarm, RUN.DEAD);
    countAlarm(tx, -1);
    Task.free(tx, alarm);
  } else {
    retireTask(tx, hart, alarm, RUN.WAITING);
    setAlarm(tx, alarm, next);
  }
  tx.commit();
}
