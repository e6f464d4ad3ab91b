/**
 * Reading and writing: read, write and their vector and positional forms, lseek.
 *
 * A transfer is a series of steps of at most STEP_BYTES, each one transaction that faults the user's pages in,
 * lists them as segments and calls the file. After each step but the last the bytes done so far stand in
 * Task.progress, so whoever runs the call again goes on there (rules R1, R2). A wait in the middle:
 *
 *   - reading: what has come is enough; later steps ask without waiting. Only a wait for the disk goes on.
 *   - writing: the call waits for the rest, as POSIX wants; a signal ends it with the count so far
 *     (table.ts, countsProgress).
 *
 * With threads, another task may close the descriptor between two steps; the call then ends with its count.
 */

import { Errno, errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { getFile, lockSharedFiles } from "../kernel/descriptors.ts";
import { File, FILE_KINDS, type FileKind, type FileKindName, kindOf } from "../kernel/file.ts";
import { clearSegments, segmentRoom } from "../kernel/request.ts";
import { sendToTask, SI, SIG, signalInfo } from "../kernel/signal.ts";
import { ATTENTION, Process, Task } from "../kernel/task.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { IOV_MAX, IOVEC_BYTES, O, O_ACCMODE, RW_MAX, RWF } from "./abi-file.ts";
import { RLIMIT } from "./abi-memory.ts";
import { softLimit } from "./limits.ts";
import { type CallRow, flagSet, full, nameSet, partial } from "./row.ts";
import { addUserSegments, placeSegment, readStruct } from "./user.ts";

/** Bytes that one step moves at most. */
export const STEP_BYTES = 65536;
/** The file's own position, as an offset. */
const HERE = -1;
const INODE = FILE_KINDS.indexOf("inode");

/** A range of user memory. */
export interface Vector {
  readonly address: number;
  readonly length: number;
}

// The file, checked.

function readable(call: SystemCall, descriptor: number): File {
  const file = getFile(call.tx, call.task, descriptor);
  if ((File.flags.get(call.tx, file) & O_ACCMODE) === O.WRONLY) throw errno.EBADF;
  return file;
}

function writable(call: SystemCall, descriptor: number): File {
  const file = getFile(call.tx, call.task, descriptor);
  if ((File.flags.get(call.tx, file) & O_ACCMODE) === 0) throw errno.EBADF;
  return file;
}

export function isNonblocking(call: SystemCall, file: File): boolean {
  return (File.flags.get(call.tx, file) & O.NONBLOCK) !== 0;
}

// One step.

/** Lists up to STEP_BYTES of the vectors, `skip` bytes after their beginning, as segments; returns the bytes. */
export function gather(
  call: SystemCall,
  vectors: readonly Vector[],
  skip: number,
  forWrite: boolean,
): number {
  clearSegments(call.tx);
  let total = 0;
  for (const { address, length } of vectors) {
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const wanted = Math.min(length - skip, STEP_BYTES - total);
    let got: number;
    try {
      got = addUserSegments(call, address + skip, wanted, forWrite);
    } catch (error) {
      // What lies before the bad address is still moved.
      if (error === errno.EFAULT && total > 0) return total;
      throw error;
    }
    total += got;
    skip = 0;
    if (got < wanted || total === STEP_BYTES || segmentRoom(call.tx) < 2) break;
  }
  return total;
}

/** Writes the segments, minding RLIMIT_FSIZE where it can matter. */
function writeStep(
  call: SystemCall,
  file: File,
  kind: FileKind,
  length: number,
  offset: number,
  nonblock: boolean,
): number {
  if (File.kind.get(call.tx, file) === INODE) {
    const limit = softLimit(call, RLIMIT.FSIZE);
    if (limit !== Number.POSITIVE_INFINITY) {
      return vfs.writeLimited(call.tx, file, length, offset, limit);
    }
  }
  return kind.write(call.tx, file, length, offset, nonblock);
}

// Series of steps.

/** How files are read and written whose bytes come in messages, which no step may cut. */
export interface WholeTransfer {
  read(call: SystemCall, descriptor: number, vectors: readonly Vector[], length: number): number;
  write(call: SystemCall, descriptor: number, vectors: readonly Vector[], length: number): number;
}

const wholeTransfers: (WholeTransfer | undefined)[] = FILE_KINDS.map(() => undefined);

/** Says so for a kind of file. Once for each kind, when a module is loaded. */
export function registerWholeTransfer(kind: FileKindName, transfer: WholeTransfer): void {
  wholeTransfers[FILE_KINDS.indexOf(kind)] = transfer;
}

function wholeTransferOf(call: SystemCall, descriptor: number, offset: number): WholeTransfer | undefined {
  if (offset !== HERE) return undefined;
  return wholeTransfers[File.kind.get(call.tx, getFile(call.tx, call.task, descriptor))];
}

/** Ends a series with its count. What the running step has done is undone: it moved nothing. */
function finish(call: SystemCall, done: number): number {
  if (Task.progress.get(call.tx, call.task) !== 0) Task.progress.set(call.tx, call.task, 0);
  return done;
}

/** Commits a step that is not the last. */
function stepOn(call: SystemCall, done: number): void {
  Task.progress.set(call.tx, call.task, done);
  call.step();
}

export function isEnding(call: SystemCall): boolean {
  return (Task.attention.get(call.tx, call.task) & ATTENTION.EXIT) !== 0;
}

function readAll(
  call: SystemCall,
  descriptor: number,
  vectors: readonly Vector[],
  length: number,
  offset: number,
  nowait: boolean,
): number {
  const whole = wholeTransferOf(call, descriptor, offset);
  if (whole !== undefined) return whole.read(call, descriptor, vectors, length);
  let done = Task.progress.get(call.tx, call.task);
  for (;;) {
    try {
      const file = readable(call, descriptor);
      const wanted = gather(call, vectors, done, true);
      const nonblock = nowait || done > 0 || isNonblocking(call, file);
      const at = offset === HERE ? HERE : offset + done;
      const got = kindOf(call.tx, file).read(call.tx, file, wanted, at, nonblock);
      done += got;
      if (got < wanted || done >= length) return finish(call, done);
    } catch (error) {
      if (!(error instanceof Errno) || done === 0) throw error;
      call.tx.rollback();
      return finish(call, done);
    }
    stepOn(call, done);
    if (isEnding(call)) return finish(call, done);
  }
}

function writeAll(
  call: SystemCall,
  descriptor: number,
  vectors: readonly Vector[],
  length: number,
  offset: number,
  nowait: boolean,
): number {
  const whole = wholeTransferOf(call, descriptor, offset);
  if (whole !== undefined) return whole.write(call, descriptor, vectors, length);
  let done = Task.progress.get(call.tx, call.task);
  for (;;) {
    try {
      const file = writable(call, descriptor);
      const wanted = gather(call, vectors, done, false);
      const nonblock = nowait || isNonblocking(call, file);
      const at = offset === HERE ? HERE : offset + done;
      const put = writeStep(call, file, kindOf(call.tx, file), wanted, at, nonblock);
      done += put;
      if (done >= length || put === 0) return finish(call, done);
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      return failWrite(call, error, done);
    }
    stepOn(call, done);
    if (isEnding(call)) return finish(call, done);
  }
}

/** Ends a write that failed after `done` bytes: with the signal that goes with some errors, and the count. */
export function failWrite(call: SystemCall, error: Errno, done: number): number {
  const { tx, task } = call;
  if (error === errno.EPIPE || (error === errno.EFBIG && done === 0)) {
    // The signal is to outlive the failed step, so the error is a result instead of a throw.
    tx.rollback();
    const pid = Process.pid.get(tx, call.process);
    const signal = error === errno.EPIPE ? SIG.PIPE : SIG.XFSZ;
    sendToTask(tx, task, signalInfo(signal, error === errno.EPIPE ? SI.USER : SI.KERNEL, { pid }));
    return finish(call, done > 0 ? done : -error.code);
  }
  if (done === 0) throw error;
  tx.rollback();
  return finish(call, done);
}

// The calls.

/** The length in argument 2, at most what one step moves; −1 if it is more, or if there is something to go on from. */
function shortLength(call: SystemCall): number {
  const length = call.int(2);
  const isShort = call.highWord(2) === 0 && length >= 0 && length <= STEP_BYTES;
  return isShort && Task.progress.get(call.tx, call.task) === 0 ? length : -1;
}

/** Makes the buffer of a short call the request's segments; returns how much of it they hold. */
function bufferSegments(call: SystemCall, length: number, forWrite: boolean): number {
  if (placeSegment(call, 1, length, forWrite)) return length;
  clearSegments(call.tx);
  return length === 0 ? 0 : addUserSegments(call, call.address(1), length, forWrite);
}

function buffer(call: SystemCall): Vector {
  return { address: call.address(1), length: Math.min(call.address(2), RW_MAX) };
}

/** The usual case of read: one step, nothing to go on from. */
function read(call: SystemCall): number {
  const { tx } = call;
  const length = shortLength(call);
  if (length < 0) return readAll(call, call.int(0), [buffer(call)], buffer(call).length, HERE, false);
  const file = readable(call, call.int(0));
  const wanted = bufferSegments(call, length, true);
  const got = kindOf(tx, file).read(tx, file, wanted, HERE, isNonblocking(call, file));
  if (got < wanted || wanted === length) return got;
  // The buffer did not fit one step's segments.
  stepOn(call, got);
  return readAll(call, call.int(0), [buffer(call)], length, HERE, false);
}

function write(call: SystemCall): number {
  const { tx } = call;
  const length = shortLength(call);
  if (length < 0) return writeAll(call, call.int(0), [buffer(call)], buffer(call).length, HERE, false);
  const file = writable(call, call.int(0));
  const wanted = bufferSegments(call, length, false);
  let put: number;
  try {
    put = writeStep(call, file, kindOf(tx, file), wanted, HERE, isNonblocking(call, file));
  } catch (error) {
    if (error instanceof Errno) return failWrite(call, error, 0);
    throw error;
  }
  if (put === length || put <= 0) return put;
  stepOn(call, put);
  return writeAll(call, call.int(0), [buffer(call)], length, HERE, false);
}

/** The iovecs of a call, and their total length. Throws EINVAL for too many or too long ones. */
function readVectors(call: SystemCall): { vectors: Vector[]; length: number } {
  lockSharedFiles(call.tx, call.task);
  const count = call.address(2);
  if (count > IOV_MAX) throw errno.EINVAL;
  const view = count === 0 ? undefined : readStruct(call, call.address(1), count * IOVEC_BYTES);
  const vectors: Vector[] = [];
  let length = 0;
  for (let i = 0; i < count; i++) {
    const high = view!.getInt32(i * IOVEC_BYTES + 12, true);
    if (high < 0) throw errno.EINVAL;
    const size = high * 0x1_0000_0000 + view!.getUint32(i * IOVEC_BYTES + 8, true);
    const address =
      view!.getUint32(i * IOVEC_BYTES + 4, true) * 0x1_0000_0000 + view!.getUint32(i * IOVEC_BYTES, true);
    const kept = Math.min(size, RW_MAX - length);
    if (kept > 0) vectors.push({ address, length: kept });
    length += kept;
  }
  return { vectors, length };
}

export function readv(call: SystemCall, nonblock: boolean): number {
  const { vectors, length } = readVectors(call);
  return readAll(call, call.int(0), vectors, length, HERE, nonblock);
}

export function writev(call: SystemCall, nonblock: boolean): number {
  const { vectors, length } = readVectors(call);
  return writeAll(call, call.int(0), vectors, length, HERE, nonblock);
}

/** A file that has positions; ESPIPE for those that have none (pread, pwrite). */
function checkPositional(call: SystemCall, offset: number): void {
  if (offset < 0) throw errno.EINVAL;
  const file = getFile(call.tx, call.task, call.int(0));
  if (kindOf(call.tx, file).seek === undefined) throw errno.ESPIPE;
}

function pread64(call: SystemCall): number {
  const length = Math.min(call.address(2), RW_MAX);
  const offset = call.long(3);
  checkPositional(call, offset);
  return readAll(call, call.int(0), [{ address: call.address(1), length }], length, offset, false);
}

function pwrite64(call: SystemCall): number {
  const length = Math.min(call.address(2), RW_MAX);
  const offset = call.long(3);
  checkPositional(call, offset);
  return writeAll(call, call.int(0), [{ address: call.address(1), length }], length, offset, false);
}

function preadv(call: SystemCall): number {
  const offset = call.long(3);
  checkPositional(call, offset);
  const { vectors, length } = readVectors(call);
  return readAll(call, call.int(0), vectors, length, offset, false);
}

function pwritev(call: SystemCall): number {
  const offset = call.long(3);
  checkPositional(call, offset);
  const { vectors, length } = readVectors(call);
  return writeAll(call, call.int(0), vectors, length, offset, false);
}

/** The arguments that preadv2 and pwritev2 have besides: offset −1 is the file's position. */
function secondForm(call: SystemCall, known: number): { offset: number; nowait: boolean } {
  const flags = call.uint(5);
  if ((flags & ~known) !== 0) throw errno.EOPNOTSUPP;
  const offset = call.long(3);
  if (offset !== HERE) checkPositional(call, offset);
  return { offset, nowait: (flags & RWF.NOWAIT) !== 0 };
}

function preadv2(call: SystemCall): number {
  const { offset, nowait } = secondForm(call, RWF.HIPRI | RWF.NOWAIT);
  const { vectors, length } = readVectors(call);
  return readAll(call, call.int(0), vectors, length, offset, nowait);
}

function pwritev2(call: SystemCall): number {
  const { offset, nowait } = secondForm(call, RWF.HIPRI | RWF.NOWAIT | RWF.DSYNC | RWF.SYNC);
  const { vectors, length } = readVectors(call);
  return writeAll(call, call.int(0), vectors, length, offset, nowait);
}

function lseek(call: SystemCall): number {
  const file = getFile(call.tx, call.task, call.int(0));
  const kind = kindOf(call.tx, file);
  const whence = call.uint(2);
  if (kind.seek === undefined) throw errno.ESPIPE;
  if (whence > 4) throw errno.EINVAL;
  return kind.seek(call.tx, file, call.long(1), whence);
}

const seekNames = nameSet({ SEEK_SET: 0, SEEK_CUR: 1, SEEK_END: 2, SEEK_DATA: 3, SEEK_HOLE: 4 });
const rwfNames = flagSet({ RWF_HIPRI: 1, RWF_DSYNC: 2, RWF_SYNC: 4, RWF_NOWAIT: 8, RWF_APPEND: 16 });
const waits = { wait: "retry", countsProgress: true } as const;
const vectorNote = "a vector of more than 32 separate pieces is not written to a pipe in one piece";
const flagNote = "of the flags, RWF_APPEND is refused; the others have nothing to do";

export const readWriteRows: readonly CallRow[] = [
  full(62, "lseek", ["fd", "long", seekNames], lseek),
  full(63, "read", ["fd", "bytes-out", "unsigned"], read, waits),
  full(64, "write", ["fd", "bytes-in", "unsigned"], write, waits),
  full(65, "readv", ["fd", "iovec-out", "int"], (call) => readv(call, false), waits),
  partial(66, "writev", ["fd", "iovec-in", "int"], vectorNote, (call) => writev(call, false), waits),
  full(67, "pread64", ["fd", "bytes-out", "unsigned", "long"], pread64, waits),
  full(68, "pwrite64", ["fd", "bytes-in", "unsigned", "long"], pwrite64, waits),
  full(69, "preadv", ["fd", "iovec-out", "int", "long"], preadv, waits),
  full(70, "pwritev", ["fd", "iovec-in", "int", "long"], pwritev, waits),
  partial(286, "preadv2", ["fd", "iovec-out", "int", "long", "long", rwfNames], flagNote, preadv2, waits),
  partial(287, "pwritev2", ["fd", "iovec-in", "int", "long", "long", rwfNames], flagNote, pwritev2, waits),
];
