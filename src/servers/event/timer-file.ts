/**
 * Timer files (timerfd): a timer whose expirations are read from a file.
 *
 * Once it has expired, it is armed again when somebody reads or asks: the expirations in between are counted then,
 * so that a short interval costs nothing while nobody looks, as on Linux.
 *
 * `lock` (rank "event") guards the record, and the owner of its alarm (kernel/alarm.ts).
 *
 * Invariants
 *   TF1  A timer file's alarm is its own.
 */

import { errno } from "../../base/errno.ts";
import { liveRecords, registerInvariant } from "../../heap/check.ts";
import { condition, defineRecord, i32, i64, lock, ref, type Ref, u32 } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { ALARM, ALARM_GONE, armAlarm, createAlarm, dropAlarm, registerAlarm } from "../../kernel/alarm.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { POLL } from "../../kernel/file.ts";
import { bytesToSegments, noteWait, waitFor } from "../../kernel/request.ts";
import { Task } from "../../kernel/task.ts";
import { threadOf } from "../../kernel/thread.ts";

export const TimerFile = defineRecord("timer-file", {
  lock: lock("event"),
  /** The clock's number, as the program gave it; the times here are monotonic all the same. */
  clock: i32(),
  /** When it expires next, or has expired and not been read; 0: disarmed. And its interval. ns. */
  at: i64(),
  interval: i64(),
  /** 1 from an expiration to the read that takes it. */
  expired: u32(),
  readable: condition(),
  alarm: ref("task"),
});
export type TimerFile = Ref<"timer-file">;

const BYTES = 8;

export function createTimerFile(tx: Transaction, clock: number): number {
  const timer = TimerFile.allocate(tx);
  TimerFile.clock.init(tx, timer, clock);
  return timer;
}

/** The clock's number. */
export function timerFileClock(tx: Transaction, timer: TimerFile): number {
  return TimerFile.clock.get(tx, timer);
}

const now = (tx: Transaction): number => threadOf(tx).clock.monotonic();

function arm(tx: Transaction, timer: TimerFile, at: number): void {
  TimerFile.at.set(tx, timer, at);
  let alarm = TimerFile.alarm.get(tx, timer);
  if (alarm === 0) {
    if (at === 0) return;
    alarm = createAlarm(tx, ALARM.TIMER_FILE, timer);
    TimerFile.alarm.set(tx, timer, alarm);
  }
  armAlarm(tx, alarm, at);
}

/**
 * Arms the timer for the monotonic time `at` (0: disarms it), and every `interval` ns after that. Unlike the other
 * timers of Linux, one that is disarmed still shows the interval that it was given.
 */
export function setTimerFile(tx: Transaction, timer: TimerFile, at: number, interval: number): void {
  TimerFile.lock.acquire(tx, timer);
  TimerFile.expired.set(tx, timer, 0);
  TimerFile.interval.set(tx, timer, interval);
  arm(tx, timer, at);
}

/** ns until it expires next; 0: disarmed, or it has expired and has no interval. */
export function timerFileLeft(tx: Transaction, timer: TimerFile): number {
  TimerFile.lock.acquire(tx, timer);
  const at = TimerFile.at.get(tx, timer);
  const interval = TimerFile.interval.get(tx, timer);
  if (at === 0) return 0;
  const time = now(tx);
  if (at > time) return at - time;
  return interval === 0 ? 0 : interval - ((time - at) % interval);
}

/** Its interval, ns. */
export function timerFileInterval(tx: Transaction, timer: TimerFile): number {
  TimerFile.lock.acquire(tx, timer);
  return TimerFile.interval.get(tx, timer);
}

/** Reads the number of expirations since the last read. */
export function readTimerFile(
  tx: Transaction,
  timer: TimerFile,
  length: number,
  nonblock: boolean | number,
): number {
  if (length < BYTES) throw errno.EINVAL;
  TimerFile.lock.acquire(tx, timer);
  if (TimerFile.expired.get(tx, timer) === 0) {
    if (nonblock) throw errno.EAGAIN;
    throw waitFor(tx, TimerFile.readable.at(timer));
  }
  let count = 1;
  const interval = TimerFile.interval.get(tx, timer);
  const at = TimerFile.at.get(tx, timer);
  TimerFile.expired.set(tx, timer, 0);
  if (interval === 0) TimerFile.at.set(tx, timer, 0);
  else {
    count += Math.max(0, Math.floor((now(tx) - at) / interval));
    arm(tx, timer, at + count * interval);
  }
  const words = Uint32Array.of(count % 0x1_0000_0000, Math.floor(count / 0x1_0000_0000));
  bytesToSegments(tx, 0, new Uint8Array(words.buffer));
  return BYTES;
}

export function pollTimerFile(tx: Transaction, timer: TimerFile, note: boolean | number): number {
  TimerFile.lock.acquire(tx, timer);
  if (note) noteWait(tx, TimerFile.readable.at(timer));
  return TimerFile.expired.get(tx, timer) !== 0 ? POLL.IN | POLL.RDNORM : 0;
}

export function closeTimerFile(tx: Transaction, timer: TimerFile): void {
  TimerFile.lock.acquire(tx, timer);
  const alarm = TimerFile.alarm.get(tx, timer);
  if (alarm !== 0) dropAlarm(tx, alarm);
  // A thread may wait whose descriptor another thread has closed.
  signalCondition(tx, TimerFile.readable.at(timer));
  TimerFile.free(tx, timer);
}

registerAlarm(ALARM.TIMER_FILE, (tx, alarm, owner, time) => {
  const timer = owner as TimerFile;
  TimerFile.lock.acquire(tx, timer);
  if (Task.alarmOwner.get(tx, alarm) !== owner) return ALARM_GONE;
  const at = TimerFile.at.get(tx, timer);
  if (at === 0 || TimerFile.expired.get(tx, timer) !== 0) return 0;
  if (at > time) return at;
  TimerFile.expired.set(tx, timer, 1);
  signalCondition(tx, TimerFile.readable.at(timer));
  return 0;
});

registerInvariant({
  id: "TF1",
  statement: "a timer file's alarm is its own",
  check(view, report) {
    for (const timer of liveRecords(view, TimerFile.schema)) {
      const alarm = TimerFile.alarm.get(view, timer);
      if (alarm !== 0 && (!Task.isLive(view, alarm) || Task.alarmOwner.get(view, alarm) !== timer))
        report(`timer file ${timer} has alarm ${alarm}, which is not its own`);
    }
  },
});
