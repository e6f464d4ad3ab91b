/**
 * Asking the host about a granted folder.
 *
 * A request asks, abandons its transaction (kernel/block-io.ts), waits, and runs again from the beginning; then
 * it finds the answer, which is kept in the I/O record for its task: the same question with the same arguments
 * gets the same answer, until the request commits and gives the answers that it used back. A request that walks
 * through three folders so asks three times and runs four times.
 *
 * An answer that nobody used (the request failed, its task died) is good for ANSWER_MS; so for that long a
 * second request of the same task may see what the first one saw. A failure is given back at once, before it is
 * thrown. Guarantee: what changes a folder is done at least once; it is done twice only if the host thread dies
 * between doing it and saying so.
 */

import { errno, errnoOf } from "../../base/errno.ts";
import {
  FOLDER_ARGUMENT,
  FOLDER_DATA_BYTES,
  FOLDER_OPERATION,
  FOLDER_PATH_BYTES,
  type FolderOperation,
} from "../../base/host-folder-io.ts";
import { IO_KIND, IO_STATE } from "../../base/host-io.ts";
import { liveRecords } from "../../heap/check.ts";
import { SLOT } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";
import {
  abandon,
  eachIo,
  HostIo,
  ioRoom,
  lockIo,
  queueIo,
  registerIoCompletion,
  releaseIo,
} from "../../kernel/block-io.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { noteRetry, noteWait } from "../../kernel/request.ts";
import { threadOf } from "../../kernel/thread.ts";
import { registerFrameHolder } from "../../kernel/memory/check.ts";
import { dropFrameNow } from "../../kernel/memory/frames.ts";
import { dropAfterCommit, registerDrop } from "../server.ts";
import { allocateFrame } from "./page-frames.ts";
import { FileSystem } from "./records.ts";

/**
 * How long an answer is good for, how long it is if the question was to change something, and how long one that
 * nobody fetches is kept. Answers are looked for without the table's lock, so the last must be longer by far.
 */
const ANSWER_MS = 50;
const CHANGE_MS = 1000;
/** For a series that keeps its answers: all its questions must be answered within this time. */
const SERIES_MS = 2500;
const ORPHAN_MS = 5000;

/** What is asked. */
export interface FolderQuestion {
  readonly operation: FolderOperation;
  readonly path: Uint8Array;
  readonly second?: Uint8Array;
  readonly offset?: number;
  readonly length?: number;
  readonly mode?: number;
  /** Data for the host, put into the data frames. */
  readonly data?: (put: (bytes: Uint8Array) => void) => void;
  /** Bytes of data frames that the answer may need. */
  readonly room?: number;
}

export interface FolderAnswer {
  /** A count, or 0; −ENOENT only if that was allowed. */
  readonly result: number;
  /** Byte addresses of the data frames in the guest memory. */
  readonly frames: readonly number[];
}

const NO_BYTES = new Uint8Array(0);
const nowMs = (tx: Transaction): number => Math.floor(threadOf(tx).clock.monotonic() / 1e6) & 0x7fff_ffff;
/** Operations that change nothing, so that their answers may be used again. */
const READS: readonly number[] = [
  FOLDER_OPERATION.LOOKUP,
  FOLDER_OPERATION.LIST,
  FOLDER_OPERATION.READ,
  FOLDER_OPERATION.READLINK,
];

/** The answer to a question, given up at the commit. Throws its errno; −ENOENT is a result if `mayMiss`. */
export function askFolder(
  tx: Transaction,
  fileSystem: FileSystem,
  question: FolderQuestion,
  mayMiss: boolean = false,
): FolderAnswer {
  if (question.path.length > FOLDER_PATH_BYTES) throw errno.ENAMETOOLONG;
  if ((question.second ?? NO_BYTES).length > FOLDER_PATH_BYTES) throw errno.ENAMETOOLONG;
  const io = findAnswer(tx, fileSystem, question);
  if (io === 0) return abandon(tx, () => ask(tx, fileSystem, question));
  if (HostIo.state.get(tx, io) !== IO_STATE.KEPT)
    return abandon(tx, () => awaitAnswer(tx, fileSystem, question));
  const result = HostIo.result.get(tx, io);
  if (result < 0 && !(mayMiss && result === -errno.ENOENT.code)) {
    tx.rollback();
    dropAfterCommit(tx, io);
    tx.commit();
    throw errnoOf(-result);
  }
  const frames: number[] = [];
  for (let i = 1; i < HostIo.count.get(tx, io); i++) frames.push(HostIo.frames.get(tx, io, i) * 4096);
  // The same answer may be asked for again in this transaction; it is given back once.
  const keeps = tx.words[tx.slotAt + SLOT.keepsAnswers] !== 0 && READS.includes(question.operation);
  if (!keeps && HostIo.arguments.get(tx, io, FOLDER_ARGUMENT.taken) === 0) {
    HostIo.arguments.set(tx, io, FOLDER_ARGUMENT.taken, 1);
    dropAfterCommit(tx, io);
  }
  return { result, frames };
}

/**
 * The request is a series of transactions that begins anew in each attempt (execve): from now on an answer that
 * it has used stays for its next attempt, until {@link giveAnswersBack}.
 */
export function keepAnswers(tx: Transaction): void {
  tx.words[tx.slotAt + SLOT.keepsAnswers] = 1;
}

/** Ends {@link keepAnswers}: in this attempt, which waits, or (`all`) for good. */
export function giveAnswersBack(tx: Transaction, all: boolean): void {
  tx.words[tx.slotAt + SLOT.keepsAnswers] = 0;
  if (!all) return;
  const owner = tx.words[tx.slotAt + SLOT.owner]!;
  for (const io of eachIo(tx)) {
    if (HostIo.kind.get(tx, io) !== IO_KIND.FOLDER || (HostIo.detail.get(tx, io) | 0) !== owner) continue;
    if (HostIo.state.get(tx, io) !== IO_STATE.KEPT) continue;
    if (HostIo.arguments.get(tx, io, FOLDER_ARGUMENT.taken) !== 0) continue;
    HostIo.arguments.set(tx, io, FOLDER_ARGUMENT.taken, 1);
    dropAfterCommit(tx, io);
  }
}

/** An answer has been taken, or nobody has fetched it: the record and its frames go. */
registerDrop("host-io", (tx, io) => {
  lockIo(tx);
  for (let i = 0; i < HostIo.count.get(tx, io); i++) dropFrameNow(tx, HostIo.frames.get(tx, io, i));
  releaseIo(tx, io);
  return true;
});

registerFrameHolder((view, add) => {
  for (const io of liveRecords(view, HostIo.schema)) {
    if (HostIo.kind.get(view, io) !== IO_KIND.FOLDER) continue;
    for (let i = 0; i < HostIo.count.get(view, io); i++) add(HostIo.frames.get(view, io, i));
  }
});

/** The record in which this task has asked the same, if the answer is still good. */
function findAnswer(tx: Transaction, fileSystem: FileSystem, question: FolderQuestion): HostIo {
  const owner = tx.words[tx.slotAt + SLOT.owner]!;
  const time = nowMs(tx);
  for (const io of eachIo(tx)) {
    if (HostIo.kind.get(tx, io) !== IO_KIND.FOLDER || HostIo.owner.get(tx, io) !== fileSystem) continue;
    if ((HostIo.detail.get(tx, io) | 0) !== owner || !isSame(tx, io, question)) continue;
    const age = time - HostIo.arguments.get(tx, io, FOLDER_ARGUMENT.arrived);
    const keeps = tx.words[tx.slotAt + SLOT.keepsAnswers] !== 0;
    const limit = READS.includes(question.operation) ? (keeps ? SERIES_MS : ANSWER_MS) : CHANGE_MS;
    if (HostIo.state.get(tx, io) !== IO_STATE.KEPT || age <= limit) return io;
  }
  return 0 as HostIo;
}

function isSame(tx: Transaction, io: HostIo, question: FolderQuestion): boolean {
  const argument = (index: number): number => HostIo.arguments.get(tx, io, index);
  const offset = question.offset ?? 0;
  const second = question.second ?? NO_BYTES;
  return (
    argument(FOLDER_ARGUMENT.operation) === question.operation &&
    argument(FOLDER_ARGUMENT.offset) === (offset | 0) &&
    argument(FOLDER_ARGUMENT.offset + 1) === Math.floor(offset / 2 ** 32) &&
    argument(FOLDER_ARGUMENT.length) === (question.length ?? 0) &&
    argument(FOLDER_ARGUMENT.mode) === (question.mode ?? 0) &&
    argument(FOLDER_ARGUMENT.pathLength) === question.path.length &&
    argument(FOLDER_ARGUMENT.secondLength) === second.length &&
    holds(tx, HostIo.frames.get(tx, io, 0) * 4096, question.path) &&
    holds(tx, HostIo.frames.get(tx, io, 0) * 4096 + FOLDER_PATH_BYTES, second)
  );
}

function holds(tx: Transaction, at: number, bytes: Uint8Array): boolean {
  return bytes.every((byte, i) => tx.memoryBytes[at + i] === byte);
}

/**
 * Notes the wait for an answer that was on its way when it was looked for without a lock. It may have arrived
 * since; then there is nothing to wait for.
 */
function awaitAnswer(tx: Transaction, fileSystem: FileSystem, question: FolderQuestion): void {
  FileSystem.lock.acquire(tx, fileSystem);
  const io = findAnswer(tx, fileSystem, question);
  const isComing = io !== 0 && UNDER_WAY.includes(HostIo.state.get(tx, io));
  (isComing ? noteWait : noteRetry)(tx, FileSystem.arrived.at(fileSystem, 0));
}
/** States before the arrival, which takes the file system's lock, is committed. */
const UNDER_WAY: readonly number[] = [IO_STATE.PREPARED, IO_STATE.QUEUED, IO_STATE.DONE, IO_STATE.FAILED];

/** Queues the question, in a transaction of its own, and notes the wait. */
function ask(tx: Transaction, fileSystem: FileSystem, question: FolderQuestion): void {
  FileSystem.lock.acquire(tx, fileSystem);
  dropOrphans(tx);
  noteWait(tx, FileSystem.arrived.at(fileSystem, 0));
  const owner = tx.words[tx.slotAt + SLOT.owner]!;
  const io = queueIo(tx, IO_KIND.FOLDER, FileSystem.folder.get(tx, fileSystem), fileSystem, owner);
  if (io === 0) {
    noteWait(tx, ioRoom(tx));
    return;
  }
  const offset = question.offset ?? 0;
  const second = question.second ?? NO_BYTES;
  HostIo.arguments.init(tx, io, FOLDER_ARGUMENT.operation, question.operation);
  HostIo.arguments.init(tx, io, FOLDER_ARGUMENT.offset, offset);
  HostIo.arguments.init(tx, io, FOLDER_ARGUMENT.offset + 1, Math.floor(offset / 2 ** 32));
  HostIo.arguments.init(tx, io, FOLDER_ARGUMENT.length, question.length ?? 0);
  HostIo.arguments.init(tx, io, FOLDER_ARGUMENT.mode, question.mode ?? 0);
  HostIo.arguments.init(tx, io, FOLDER_ARGUMENT.pathLength, question.path.length);
  HostIo.arguments.init(tx, io, FOLDER_ARGUMENT.secondLength, second.length);
  const frames = 1 + Math.ceil(Math.min(question.room ?? 4096, FOLDER_DATA_BYTES) / 4096);
  HostIo.count.init(tx, io, frames);
  for (let i = 0; i < frames; i++) HostIo.frames.init(tx, io, i, allocateFrame(tx));
  const paths = HostIo.frames.get(tx, io, 0) * 4096;
  tx.memoryBytes.set(question.path, paths);
  tx.memoryBytes.set(second, paths + FOLDER_PATH_BYTES);
  let at = 0;
  question.data?.((bytes) => {
    for (let done = 0; done < bytes.length; ) {
      const frame = HostIo.frames.get(tx, io, 1 + Math.floor(at / 4096));
      const run = Math.min(bytes.length - done, 4096 - (at % 4096));
      tx.memoryBytes.set(bytes.subarray(done, done + run), frame * 4096 + (at % 4096));
      at += run;
      done += run;
    }
  });
}

/** Gives back answers that nobody has fetched. */
function dropOrphans(tx: Transaction): void {
  const time = nowMs(tx);
  lockIo(tx);
  for (const io of eachIo(tx)) {
    if (HostIo.kind.get(tx, io) !== IO_KIND.FOLDER || HostIo.state.get(tx, io) !== IO_STATE.KEPT) continue;
    if (HostIo.arguments.get(tx, io, FOLDER_ARGUMENT.taken) !== 0) continue;
    if (time - HostIo.arguments.get(tx, io, FOLDER_ARGUMENT.arrived) <= ORPHAN_MS) continue;
    HostIo.arguments.set(tx, io, FOLDER_ARGUMENT.taken, 1);
    dropAfterCommit(tx, io);
  }
}

registerIoCompletion(IO_KIND.FOLDER, (tx, io, failed) => {
  const fileSystem = HostIo.owner.get(tx, io) as FileSystem;
  FileSystem.lock.acquire(tx, fileSystem);
  if (failed && HostIo.result.get(tx, io) >= 0) HostIo.result.set(tx, io, -errno.EIO.code);
  HostIo.arguments.set(tx, io, FOLDER_ARGUMENT.arrived, nowMs(tx));
  signalCondition(tx, FileSystem.arrived.at(fileSystem, 0));
  return "keep";
});
