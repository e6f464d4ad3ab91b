/**
 * Signal files (signalfd): pending signals of a set, taken by reading. Whose signals, the reader decides: they are
 * those of the task that reads or polls, as on Linux.
 *
 * `lock` (rank "event") guards the set; what is pending and the condition lie in the process (kernel/signal.ts).
 */

import { errno } from "../../base/errno.ts";
import { SLOT } from "../../heap/layout.ts";
import { defineRecord, lock, type Ref, words } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { SignalInfo } from "../../kernel/call.ts";
import { POLL } from "../../kernel/file.ts";
import { bytesToSegments, noteWait, waitFor } from "../../kernel/request.ts";
import { infoOf, nextSignal, SI, SIG, takeSignal } from "../../kernel/signal.ts";
import { Process, Task } from "../../kernel/task.ts";

export const SignalFile = defineRecord("signal-file", {
  lock: lock("event"),
  /** Signals that it takes: bit n−1 for signal n. */
  mask: words(2),
});
export type SignalFile = Ref<"signal-file">;

/** Bytes of struct signalfd_siginfo. */
const INFO_BYTES = 128;
/** Signals that one read takes at most. */
const READ_MAX = 32;
const UNTAKEABLE: number = (1 << (SIG.KILL - 1)) | (1 << (SIG.STOP - 1));

export function createSignalFile(tx: Transaction, low: number, high: number): number {
  const file = SignalFile.allocate(tx);
  SignalFile.mask.init(tx, file, 0, low & ~UNTAKEABLE);
  SignalFile.mask.init(tx, file, 1, high);
  return file;
}

export function setSignalMask(tx: Transaction, file: SignalFile, low: number, high: number): void {
  SignalFile.lock.acquire(tx, file);
  SignalFile.mask.set(tx, file, 0, low & ~UNTAKEABLE);
  SignalFile.mask.set(tx, file, 1, high);
}

/** The task on whose behalf the request runs. */
function readerOf(tx: Transaction): Task {
  return tx.words[tx.slotAt + SLOT.owner]! as Task;
}

function maskOf(tx: Transaction, file: SignalFile): readonly [number, number] {
  SignalFile.lock.acquire(tx, file);
  return [SignalFile.mask.get(tx, file, 0), SignalFile.mask.get(tx, file, 1)];
}

/** struct signalfd_siginfo (include/uapi/linux/signalfd.h); which fields hold, the code says (signalfd_copyinfo). */
function infoBytes(info: SignalInfo): Uint8Array {
  const view = new DataView(new ArrayBuffer(INFO_BYTES));
  view.setUint32(0, info.signal, true);
  view.setInt32(4, info.errno, true);
  view.setInt32(8, info.code, true);
  if (info.code === SI.TIMER) {
    view.setUint32(24, info.pid, true);
    view.setUint32(32, info.uid, true);
  } else {
    view.setUint32(12, info.pid, true);
    view.setUint32(16, info.uid, true);
  }
  if (info.signal === SIG.CHLD && info.code > 0) view.setInt32(40, info.status, true);
  else {
    view.setInt32(44, info.valueLow, true);
    view.setInt32(48, info.valueLow, true);
    view.setInt32(52, info.valueHigh, true);
  }
  if (info.address !== 0) view.setBigUint64(72, BigInt(info.address), true);
  return new Uint8Array(view.buffer);
}

/** Takes as many pending signals as there is room for, at least one; EINVAL for less room than one needs. */
export function readSignals(
  tx: Transaction,
  file: SignalFile,
  length: number,
  nonblock: boolean | number,
): number {
  if (length < INFO_BYTES) throw errno.EINVAL;
  const wanted = maskOf(tx, file);
  const task = readerOf(tx);
  const process = Task.process.get(tx, task);
  Process.signals.acquire(tx, process);
  let done = 0;
  for (let i = 0; i < READ_MAX && done + INFO_BYTES <= length; i++) {
    const signal = nextSignal(tx, task, wanted);
    if (signal === 0) break;
    const info = infoOf(tx, task, signal);
    takeSignal(tx, task, signal, info);
    bytesToSegments(tx, done, infoBytes(info));
    done += INFO_BYTES;
  }
  if (done > 0) return done;
  if (nonblock) throw errno.EAGAIN;
  throw waitFor(tx, Process.arrived.at(process));
}

export function pollSignals(tx: Transaction, file: SignalFile, note: boolean | number): number {
  const wanted = maskOf(tx, file);
  const task = readerOf(tx);
  if (task === 0) return 0;
  const process = Task.process.get(tx, task);
  Process.signals.acquire(tx, process);
  if (note) noteWait(tx, Process.arrived.at(process));
  return nextSignal(tx, task, wanted) !== 0 ? POLL.IN | POLL.RDNORM : 0;
}

export function closeSignalFile(tx: Transaction, file: SignalFile): void {
  SignalFile.lock.acquire(tx, file);
  SignalFile.free(tx, file);
}
