/**
 * Moving bytes between a pipe and another file without user memory: splice, tee, vmsplice.
 *
 * What a pipe gives is taken and put in one transaction, so no byte is lost or doubled whatever dies. Both files'
 * locks meet there, so the one that ranks first goes first (base/lock-order.ts: every other file before a pipe, two
 * pipes by address). To put before taking, the step has to know the bytes: it takes them once, keeps them, and undoes
 * that; when it takes them again behind the write and they are others (another reader was faster), it begins anew.
 *
 * Regular files are read at an explicit offset and cannot lose anything: those are sys-transfer.ts's business.
 */

import { Errno, errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { getFile, lockSharedFiles } from "../kernel/descriptors.ts";
import { File, FILE_KINDS, kindOf } from "../kernel/file.ts";
import { dropFrame } from "../kernel/memory/frames.ts";
import { bytesFromSegments, bytesToSegments } from "../kernel/request.ts";
import { O, O_ACCMODE, RW_MAX } from "./abi-file.ts";
import { type CallRow, flagSet, full, partial } from "./row.ts";
import { failWrite, readv, writev } from "./sys-read-write.ts";
import { bounce, moveOffset, offsetAt, STEP, transfer } from "./sys-transfer.ts";

const SPLICE = { SPLICE_F_MOVE: 1, SPLICE_F_NONBLOCK: 2, SPLICE_F_MORE: 4, SPLICE_F_GIFT: 8 } as const;
const KNOWN = 15;
const RDONLY = 0;
const PIPES: readonly number[] = [FILE_KINDS.indexOf("pipe"), FILE_KINDS.indexOf("fifo")];

const isPipe = (call: SystemCall, file: File): boolean => PIPES.includes(File.kind.get(call.tx, file));

/** The file for reading or writing in argument `index`. Throws EBADF. */
function fileFor(call: SystemCall, index: number, forWrite: boolean): File {
  const file = getFile(call.tx, call.task, call.int(index));
  const mode = File.flags.get(call.tx, file) & O_ACCMODE;
  if (mode === (forWrite ? RDONLY : O.WRONLY)) throw errno.EBADF;
  return file;
}

/** Two files of one step, and how they are used. */
interface Ends {
  /** Arguments that name them. */
  readonly fromIndex: number;
  readonly toIndex: number;
  readonly from: File;
  readonly to: File;
  /** Where in the target, −1 for its position. */
  readonly toOffset: number;
  readonly length: number;
  readonly fromNonblock: boolean;
  readonly toNonblock: boolean;
}

function readSome(call: SystemCall, { from, fromNonblock }: Ends, length: number): number {
  return kindOf(call.tx, from).read(call.tx, from, length, -1, fromNonblock);
}

/**
 * What the source would give now; nothing has happened. Throws EBADF if another thread has meanwhile made the
 * descriptors name other files.
 */
function lookAhead(call: SystemCall, ends: Ends): Uint8Array {
  bounce(call.tx);
  const bytes = new Uint8Array(readSome(call, ends, Math.min(ends.length, STEP)));
  bytesFromSegments(call.tx, 0, bytes);
  call.tx.rollback();
  lockSharedFiles(call.tx, call.task);
  const isFrom = fileFor(call, ends.fromIndex, false) === ends.from;
  if (!isFrom || fileFor(call, ends.toIndex, true) !== ends.to) throw errno.EBADF;
  return bytes;
}

/** Whether the target's locks come before the source's. */
function isTargetFirst(call: SystemCall, { from, to }: Ends): boolean {
  if (!isPipe(call, from)) return false;
  return !isPipe(call, to) || File.object.get(call.tx, to) < File.object.get(call.tx, from);
}

/** Takes the next `length` bytes, which lie in the segments then; false if they are not `bytes`. */
function takeSame(call: SystemCall, ends: Ends, bytes: Uint8Array): boolean {
  if (readSome(call, ends, bytes.length) !== bytes.length) return false;
  const again = new Uint8Array(bytes.length);
  bytesFromSegments(call.tx, 0, again);
  return again.every((byte, i) => byte === bytes[i]);
}

/** One step: moves bytes and gives their number, 0 at the end of the source. */
function move(call: SystemCall, ends: Ends): number {
  const { tx } = call;
  const { to, toOffset, toNonblock } = ends;
  let most = ends.length;
  for (;;) {
    const bytes = lookAhead(call, { ...ends, length: most });
    if (bytes.length === 0) return 0;
    const frames = bounce(tx);
    const put = (): number => {
      bytesToSegments(tx, 0, bytes);
      return kindOf(tx, to).write(tx, to, bytes.length, toOffset, toNonblock);
    };
    let taken = bytes.length;
    let isSame: boolean;
    if (isTargetFirst(call, ends)) {
      taken = put();
      isSame = takeSame(call, ends, bytes.subarray(0, taken));
    } else {
      isSame = takeSame(call, ends, bytes);
      if (isSame) taken = put();
      // The target has no room for all that was taken: again with less.
      if (isSame && taken < bytes.length) most = taken;
      isSame &&= taken === bytes.length;
    }
    if (isSame) {
      for (const frame of frames) dropFrame(tx, frame);
      return taken;
    }
    tx.rollback();
  }
}

/** `work`, with the signal that goes with a failed write. */
function writing(call: SystemCall, work: () => number): number {
  try {
    return work();
  } catch (error) {
    if (error instanceof Errno) return failWrite(call, error, 0);
    throw error;
  }
}

function isNonblocking(call: SystemCall, file: File, flags: number): boolean {
  if ((File.flags.get(call.tx, file) & O.NONBLOCK) !== 0) return true;
  return isPipe(call, file) && (flags & SPLICE.SPLICE_F_NONBLOCK) !== 0;
}

/** The files that arguments 0 and `toIndex` name. */
function endsOf(call: SystemCall, toIndex: number, toOffset: number, length: number, flags: number): Ends {
  const from = fileFor(call, 0, false);
  const to = fileFor(call, toIndex, true);
  return {
    fromIndex: 0,
    toIndex,
    from,
    to,
    toOffset,
    length: Math.min(length, RW_MAX),
    fromNonblock: isNonblocking(call, from, flags),
    toNonblock: isNonblocking(call, to, flags),
  };
}

function splice(call: SystemCall): number {
  const { tx } = call;
  const flags = call.uint(5);
  const length = call.address(4);
  if (length === 0) return 0;
  call.refuseUnknown(flags, KNOWN);
  lockSharedFiles(tx, call.task);
  const from = fileFor(call, 0, false);
  const to = fileFor(call, 2, true);
  const [fromPipe, toPipe] = [isPipe(call, from), isPipe(call, to)];
  if ((fromPipe && call.address(1) !== 0) || (toPipe && call.address(3) !== 0)) throw errno.ESPIPE;
  if (!fromPipe && !toPipe) throw errno.EINVAL;
  if (fromPipe && toPipe && File.object.get(tx, from) === File.object.get(tx, to)) throw errno.EINVAL;
  if ((File.flags.get(tx, to) & O.APPEND) !== 0) throw errno.EINVAL;
  const fromOffset = offsetAt(call, call.address(1));
  const toOffset = offsetAt(call, call.address(3));
  const { page, seek } = kindOf(tx, from);
  if (!fromPipe && page !== undefined && seek !== undefined) {
    const request = {
      from: call.int(0),
      to: call.int(2),
      fromOffset,
      toOffset: -1,
      length: Math.min(length, RW_MAX),
      nonblock: (flags & SPLICE.SPLICE_F_NONBLOCK) !== 0,
    };
    return transfer(call, request, (done, start) => moveOffset(call, call.address(1), start + done));
  }
  if (fromOffset >= 0) throw errno.ESPIPE;
  return writing(call, () => {
    const moved = move(call, endsOf(call, 2, toOffset, length, flags));
    moveOffset(call, call.address(3), toOffset + moved);
    return moved;
  });
}

function tee(call: SystemCall): number {
  const { tx } = call;
  const flags = call.uint(3);
  call.refuseUnknown(flags, KNOWN);
  const length = call.address(2);
  if (length === 0) return 0;
  lockSharedFiles(tx, call.task);
  const from = fileFor(call, 0, false);
  const to = fileFor(call, 1, true);
  if (!isPipe(call, from) || !isPipe(call, to)) throw errno.EINVAL;
  if (File.object.get(tx, from) === File.object.get(tx, to)) throw errno.EINVAL;
  return writing(call, () => {
    const ends = endsOf(call, 1, -1, length, flags);
    const bytes = lookAhead(call, ends);
    if (bytes.length === 0) return 0;
    const frames = bounce(tx);
    bytesToSegments(tx, 0, bytes);
    const taken = kindOf(tx, to).write(tx, to, bytes.length, -1, ends.toNonblock);
    for (const frame of frames) dropFrame(tx, frame);
    return taken;
  });
}

function vmsplice(call: SystemCall): number {
  call.refuseUnknown(call.uint(3), KNOWN);
  const file = getFile(call.tx, call.task, call.int(0));
  if (call.address(2) === 0) return 0;
  if (!isPipe(call, file)) throw errno.EBADF;
  const nonblock = (call.uint(3) & SPLICE.SPLICE_F_NONBLOCK) !== 0;
  const isWriter = (File.flags.get(call.tx, file) & O_ACCMODE) !== RDONLY;
  return isWriter ? writev(call, nonblock) : readv(call, nonblock);
}

const FLAGS = flagSet(SPLICE);
const waits = { wait: "retry" } as const;
const LENGTH_NOTE = "moves at most 64 KiB at once";

export const spliceRows: readonly CallRow[] = [
  partial(
    75,
    "vmsplice",
    ["fd", "iovec-in", "unsigned", FLAGS],
    "copies: pages are not given away",
    vmsplice,
    {
      ...waits,
      countsProgress: true,
    },
  ),
  partial(76, "splice", ["fd", "address", "fd", "address", "unsigned", FLAGS], LENGTH_NOTE, splice, waits),
  full(77, "tee", ["fd", "fd", "unsigned", FLAGS], tee, waits),
];
