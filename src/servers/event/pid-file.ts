/**
 * Files that stand for processes (pidfd): readable once the process has ended.
 *
 * A process has one such record from the first that somebody opens to its reaping; the files refer to it. `lock`
 * (rank "event") guards the record but for `process`, which the lock of the process tree guards.
 *
 * Invariants
 *   PF1  A process and its record name each other; a record without a process has a file.
 */

import { liveRecords, registerInvariant } from "../../heap/check.ts";
import { condition, defineRecord, lock, none, ref, type Ref, u32 } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { POLL } from "../../kernel/file.ts";
import { registerProcessFile } from "../../kernel/process.ts";
import { noteWait } from "../../kernel/request.ts";
import { LIFE, Process } from "../../kernel/task.ts";

export const PidFile = defineRecord("pid-file", {
  lock: lock("event"),
  pid: u32(),
  /** None once it has been reaped. */
  process: ref("process"),
  /** 1 when the process has ended. */
  ended: u32(),
  files: u32(),
  changed: condition(),
});
export type PidFile = Ref<"pid-file">;

/** The record of `process`, for one more file. With the lock of the process tree. */
export function openPidFile(tx: Transaction, process: Process): number {
  let record = Process.pidFile.get(tx, process);
  if (record === 0) {
    record = PidFile.allocate(tx);
    PidFile.pid.init(tx, record, Process.pid.get(tx, process));
    PidFile.process.init(tx, record, process);
    const isOver = Process.life.get(tx, process) === LIFE.ZOMBIE && Process.settled.get(tx, process) !== 0;
    PidFile.ended.init(tx, record, isOver ? 1 : 0);
    Process.pidFile.set(tx, process, record);
  }
  PidFile.lock.acquire(tx, record);
  PidFile.files.add(tx, record, 1);
  return record;
}

export function pollPidFile(tx: Transaction, record: PidFile, note: boolean | number): number {
  PidFile.lock.acquire(tx, record);
  if (note) noteWait(tx, PidFile.changed.at(record));
  if (PidFile.ended.get(tx, record) === 0) return 0;
  return POLL.IN | POLL.RDNORM | (PidFile.process.get(tx, record) === 0 ? POLL.HUP : 0);
}

/** One file less. */
export function closePidFile(tx: Transaction, record: PidFile): void {
  PidFile.lock.acquire(tx, record);
  if (PidFile.files.add(tx, record, -1) > 0 || PidFile.process.get(tx, record) !== 0) return;
  // A thread may wait whose descriptor another thread has closed.
  signalCondition(tx, PidFile.changed.at(record));
  PidFile.free(tx, record);
}

registerProcessFile({
  lock: (tx, record) => PidFile.lock.acquire(tx, record),
  ended(tx, record) {
    PidFile.lock.acquire(tx, record);
    PidFile.ended.set(tx, record, 1);
    signalCondition(tx, PidFile.changed.at(record));
  },
  reaped(tx, record) {
    PidFile.lock.acquire(tx, record);
    PidFile.process.set(tx, record, none());
    signalCondition(tx, PidFile.changed.at(record));
    return PidFile.files.get(tx, record) === 0;
  },
});

registerInvariant({
  id: "PF1",
  statement: "a process and its pid file name each other, and one without a process has an open file",
  check(view, report) {
    for (const record of liveRecords(view, PidFile.schema)) {
      const process = PidFile.process.get(view, record);
      if (process !== 0 && (!Process.isLive(view, process) || Process.pidFile.get(view, process) !== record))
        report(`pid file ${record} names process ${process}, which does not name it`);
      if (process === 0 && PidFile.files.get(view, record) === 0) report(`pid file ${record} is nobody's`);
    }
    for (const process of liveRecords(view, Process.schema)) {
      const record = Process.pidFile.get(view, process);
      if (record !== 0 && (!PidFile.isLive(view, record) || PidFile.process.get(view, record) !== process))
        report(`process ${process} names pid file ${record}, which does not name it`);
    }
  },
});
