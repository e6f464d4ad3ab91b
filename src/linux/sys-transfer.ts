/**
 * Copies from file to file without user memory: sendfile, copy_file_range.
 *
 * A step reads from the source at an explicit offset into frames of its own, keeps the bytes, and undoes all
 * that; then it writes them, in the one transaction that counts. So the locks of the two files never meet, and
 * nothing but the count is committed between steps: Task.progress holds the bytes done, Task.progressDetail
 * the source's first offset. The positions, and offsets in user memory, move in the last transaction and before a
 * wait.
 */

import { Errno, errno } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/hart-abi.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { SystemCall } from "../kernel/call.ts";
import { getFile, lockSharedFiles } from "../kernel/descriptors.ts";
import { File, FILE_KINDS, kindOf } from "../kernel/file.ts";
import { allocateFrame, dropFrame, frameAddress } from "../kernel/memory/frames.ts";
import {
  addSegment,
  bytesFromSegments,
  bytesToSegments,
  clearSegments,
  WOULD_BLOCK,
} from "../kernel/request.ts";
import { Task } from "../kernel/task.ts";
import { O, O_ACCMODE, RW_MAX, SEEK } from "./abi-file.ts";
import { type CallRow, full } from "./row.ts";
import { failWrite } from "./sys-read-write.ts";
import { readStruct, writeBack } from "./user.ts";

const REGULAR = FILE_KINDS.indexOf("inode");
const PIPES: readonly number[] = [FILE_KINDS.indexOf("pipe"), FILE_KINDS.indexOf("fifo")];
/** Frames, and bytes, that one step copies. */
const FRAMES = 16;
export const STEP: number = FRAMES * PAGE_SIZE;

/** Points the segments at frames that this transaction has allocated. */
export function bounce(tx: Transaction): number[] {
  clearSegments(tx);
  const frames: number[] = [];
  for (let i = 0; i < FRAMES; i++) {
    const frame = allocateFrame(tx);
    frames.push(frame);
    addSegment(tx, frameAddress(frame), PAGE_SIZE);
  }
  return frames;
}

/** Up to `length` bytes of the source at `offset`; leaves no trace in the heap. */
function peek(call: SystemCall, file: File, length: number, offset: number): Uint8Array {
  bounce(call.tx);
  const got = kindOf(call.tx, file).read(call.tx, file, length, offset, false);
  const bytes = new Uint8Array(got);
  bytesFromSegments(call.tx, 0, bytes);
  call.tx.rollback();
  return bytes;
}

/** Writes `bytes` at `offset` (−1: at the position); how many were taken. */
function put(call: SystemCall, file: File, bytes: Uint8Array, offset: number, wait: boolean): number {
  const frames = bounce(call.tx);
  bytesToSegments(call.tx, 0, bytes);
  const nonblock = !wait || (File.flags.get(call.tx, file) & O.NONBLOCK) !== 0;
  const taken = kindOf(call.tx, file).write(call.tx, file, bytes.length, offset, nonblock);
  for (const frame of frames) dropFrame(call.tx, frame);
  return taken;
}

interface Transfer {
  readonly from: number;
  readonly to: number;
  /** First offset in the source, or −1 for its position. */
  readonly fromOffset: number;
  /** First offset in the target, or −1 for its position. */
  readonly toOffset: number;
  readonly length: number;
  /** Whether the target is not waited for (SPLICE_F_NONBLOCK). */
  readonly nonblock?: boolean;
}

function sourceOf(call: SystemCall, descriptor: number): File {
  const file = getFile(call.tx, call.task, descriptor);
  if ((File.flags.get(call.tx, file) & O_ACCMODE) === O.WRONLY) throw errno.EBADF;
  // Only what has pages can be read at an offset.
  const { page, seek } = kindOf(call.tx, file);
  if (page === undefined || seek === undefined) throw errno.EINVAL;
  return file;
}

function targetOf(call: SystemCall, descriptor: number): File {
  const file = getFile(call.tx, call.task, descriptor);
  if ((File.flags.get(call.tx, file) & O_ACCMODE) === 0) throw errno.EBADF;
  return file;
}

/** Whether a copy into the file ends where it would have to wait: into a pipe, as on Linux. */
function isFilled(call: SystemCall, descriptor: number): boolean {
  return PIPES.includes(File.kind.get(call.tx, targetOf(call, descriptor)));
}

/** Moves the source's position behind `done` bytes from `start` on, if it is read there, and what `finish` moves. */
function settle(call: SystemCall, request: Transfer, start: number, done: number, finish: Finish): void {
  if (request.fromOffset < 0 && done > 0) {
    const file = sourceOf(call, request.from);
    kindOf(call.tx, file).seek!(call.tx, file, start + done, SEEK.SET);
  }
  finish(done, start);
}

/** What else moves with the bytes: offsets in user memory. */
type Finish = (done: number, start: number) => void;

/**
 * Copies, and calls `finish` with the count in the last transaction, and before a wait: a signal may end it, and the
 * count so far is then the answer.
 */
export function transfer(call: SystemCall, request: Transfer, finish: Finish): number {
  const { tx, task } = call;
  const { from, to, toOffset, length } = request;
  let done = Task.progress.get(tx, task);
  let start = done > 0 ? Task.progressDetail.get(tx, task) : request.fromOffset;
  if (start < 0) start = File.position.get(tx, sourceOf(call, from));
  while (done < length) {
    try {
      const bytes = peek(call, sourceOf(call, from), Math.min(STEP, length - done), start + done);
      if (bytes.length === 0) break;
      const at = toOffset < 0 ? toOffset : toOffset + done;
      done += put(call, targetOf(call, to), bytes, at, request.nonblock !== true);
    } catch (error) {
      if (error instanceof Errno) {
        const result = failWrite(call, error, done);
        if (result < 0) return result;
        break;
      }
      if (error !== WOULD_BLOCK || done === 0) throw error;
      tx.rollback();
      if (isFilled(call, to)) break;
      settle(call, request, start, done, finish);
      Task.progress.set(tx, task, done);
      Task.progressDetail.set(tx, task, start);
      call.step();
      throw error;
    }
    Task.progress.set(tx, task, done);
    Task.progressDetail.set(tx, task, start);
    call.step();
  }
  settle(call, request, start, done, finish);
  Task.progress.set(tx, task, 0);
  Task.progressDetail.set(tx, task, 0);
  return done;
}

/** An offset that the caller keeps in its memory; −1 if it gives none. */
export function offsetAt(call: SystemCall, address: number): number {
  if (address === 0) return -1;
  const view = readStruct(call, address, 8);
  const offset = view.getInt32(4, true) * 0x1_0000_0000 + view.getUint32(0, true);
  if (offset < 0) throw errno.EINVAL;
  return offset;
}

/** Moves such an offset on. */
export function moveOffset(call: SystemCall, address: number, offset: number): void {
  if (address === 0) return;
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, offset % 0x1_0000_0000, true);
  view.setUint32(4, Math.floor(offset / 0x1_0000_0000), true);
  writeBack(call, address, view);
}

function sendfile(call: SystemCall): number {
  const [to, from] = [call.int(0), call.int(1)];
  lockSharedFiles(call.tx, call.task);
  sourceOf(call, from);
  if ((File.flags.get(call.tx, targetOf(call, to)) & O.APPEND) !== 0) throw errno.EINVAL;
  const fromOffset = offsetAt(call, call.address(2));
  const length = Math.min(call.address(3), RW_MAX);
  return transfer(call, { from, to, fromOffset, toOffset: -1, length }, (done, start) =>
    moveOffset(call, call.address(2), start + done),
  );
}

function copyFileRange(call: SystemCall): number {
  const [from, to] = [call.int(0), call.int(2)];
  if (call.uint(5) !== 0) throw errno.EINVAL;
  lockSharedFiles(call.tx, call.task);
  const source = sourceOf(call, from);
  const target = targetOf(call, to);
  if (File.kind.get(call.tx, source) !== REGULAR || File.kind.get(call.tx, target) !== REGULAR)
    throw errno.EINVAL;
  if ((File.flags.get(call.tx, target) & O.APPEND) !== 0) throw errno.EBADF;
  const fromOffset = offsetAt(call, call.address(1));
  const toOffset = offsetAt(call, call.address(3));
  const length = Math.min(call.address(4), RW_MAX);
  if (File.inode.get(call.tx, source) === File.inode.get(call.tx, target))
    refuseOverlap(call, source, target, fromOffset, toOffset, length);
  return transfer(call, { from, to, fromOffset, toOffset, length }, (done) => {
    moveOffset(call, call.address(1), fromOffset + done);
    moveOffset(call, call.address(3), toOffset + done);
  });
}

function refuseOverlap(
  call: SystemCall,
  source: File,
  target: File,
  fromOffset: number,
  toOffset: number,
  length: number,
): void {
  if (Task.progress.get(call.tx, call.task) !== 0) return;
  const from = fromOffset < 0 ? File.position.get(call.tx, source) : fromOffset;
  const to = toOffset < 0 ? File.position.get(call.tx, target) : toOffset;
  if (from < to + length && to < from + length) throw errno.EINVAL;
}

export const transferRows: readonly CallRow[] = [
  full(71, "sendfile", ["fd", "fd", "address", "unsigned"], sendfile, {
    wait: "retry",
    countsProgress: true,
  }),
  full(285, "copy_file_range", ["fd", "address", "fd", "address", "unsigned", "hex"], copyFileRange, {
    wait: "retry",
  }),
];
