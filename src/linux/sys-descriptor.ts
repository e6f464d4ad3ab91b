/** Descriptors: close, dup, fcntl, flock, pipe2, close_range. */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import {
  addFile,
  closeDescriptor,
  closeRangeStep,
  DESCRIPTORS_MAX,
  duplicate,
  duplicateTo,
  FileTable,
  getAnyFile,
  getFile,
  isCloseOnExec,
  lockFiles,
  nextDescriptor,
  registerCloseHook,
  setCloseOnExec,
} from "../kernel/descriptors.ts";
import { File, FILE_KINDS, kindOf } from "../kernel/file.ts";
import { forgetRecordWait, isNoted, noteRecordWait, type RecordWait } from "../kernel/record-wait.ts";
import { clearWaits, WOULD_BLOCK } from "../kernel/request.ts";
import { Process, Task } from "../kernel/task.ts";
import { createPipe, pipeCapacity, setPipeCapacity } from "../servers/pipe/pipe-server.ts";
import { FileLock, Inode } from "../servers/vfs/records.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { CLOSE_RANGE, F, F_UNLCK, FD_CLOEXEC, FLOCK_BYTES, LOCK, O, SEEK } from "./abi-file.ts";
import { RLIMIT } from "./abi-memory.ts";
import { softLimit } from "./limits.ts";
import { type CallRow, flagSet, full, nameSet, partial } from "./row.ts";
import { readStruct, writeBack, writeUser } from "./user.ts";

/** Most descriptors that the caller may have. */
export function descriptorLimit(call: SystemCall): number {
  return softLimit(call, RLIMIT.NOFILE);
}

function close(call: SystemCall): number {
  closeDescriptor(call.tx, call.task, call.int(0));
  return 0;
}

function closeRange(call: SystemCall): number {
  const first = call.uint(0);
  const last = call.uint(1);
  const flags = call.uint(2);
  call.refuseUnknown(flags, CLOSE_RANGE.CLOEXEC | CLOSE_RANGE.UNSHARE);
  if (first > last) throw errno.EINVAL;
  const table = Task.files.get(call.tx, call.task);
  if ((flags & CLOSE_RANGE.UNSHARE) !== 0 && FileTable.references.get(call.tx, table) > 1) throw errno.EINVAL;
  if ((flags & CLOSE_RANGE.CLOEXEC) !== 0) markRange(call, first, last);
  else while (!closeRangeStep(call.tx, table, first, last)) call.step();
  return 0;
}

function markRange(call: SystemCall, first: number, last: number): void {
  const table = lockFiles(call.tx, call.task);
  for (
    let fd = nextDescriptor(call.tx, table, first);
    fd >= 0 && fd <= last;
    fd = nextDescriptor(call.tx, table, fd + 1)
  ) {
    setCloseOnExec(call.tx, call.task, fd, true);
  }
}

function dup(call: SystemCall): number {
  return duplicate(call.tx, call.task, call.int(0), 0, false, descriptorLimit(call));
}

function dup3(call: SystemCall): number {
  const source = call.int(0);
  const target = call.int(1);
  const flags = call.uint(2);
  call.refuseUnknown(flags, O.CLOEXEC);
  if (source === target) throw errno.EINVAL;
  duplicateTo(call.tx, call.task, source, target, (flags & O.CLOEXEC) !== 0, descriptorLimit(call));
  return target;
}

function pipe2(call: SystemCall): number {
  const flags = call.uint(1);
  call.refuseUnknown(flags, O.CLOEXEC | O.NONBLOCK | O.DIRECT);
  // Pipes in packet mode are not there; Linux answers EINVAL too where it has been left out.
  if ((flags & O.DIRECT) !== 0) throw errno.EINVAL;
  const table = lockFiles(call.tx, call.task);
  const closeOnExec = (flags & O.CLOEXEC) !== 0;
  const limit = descriptorLimit(call);
  const [reading, writing] = createPipe(call.tx, flags & O.NONBLOCK);
  const fds = new DataView(new ArrayBuffer(8));
  fds.setInt32(0, addFile(call.tx, table, reading, closeOnExec, limit), true);
  fds.setInt32(4, addFile(call.tx, table, writing, closeOnExec, limit), true);
  writeUser(call, call.address(0), fds);
  return 0;
}

function flock(call: SystemCall): number {
  const file = getFile(call.tx, call.task, call.int(0));
  const operation = call.uint(1);
  const kind = operation & ~LOCK.NB;
  if (kind !== LOCK.SH && kind !== LOCK.EX && kind !== LOCK.UN) throw errno.EINVAL;
  vfs.flock(call.tx, file, operation);
  return 0;
}

// Fcntl.

/** Flags that F_SETFL changes; the others stay as they were. */
const SETTABLE: number = O.APPEND | O.NONBLOCK | O.NOATIME | O.DIRECT | O.ASYNC;
/** What an O_PATH descriptor may be asked (open(2)). */
const PATH_COMMANDS = new Set<number>([F.DUPFD, F.DUPFD_CLOEXEC, F.GETFD, F.SETFD, F.GETFL]);

function fcntl(call: SystemCall): number {
  const { tx, task } = call;
  const descriptor = call.int(0);
  const command = call.uint(1);
  const file = PATH_COMMANDS.has(command) ? getAnyFile(tx, task, descriptor) : getFile(tx, task, descriptor);
  switch (command) {
    case F.DUPFD:
    case F.DUPFD_CLOEXEC: {
      const from = call.int(2);
      const limit = descriptorLimit(call);
      if (from < 0 || from >= Math.min(limit, DESCRIPTORS_MAX)) throw errno.EINVAL;
      return duplicate(tx, task, descriptor, from, command === F.DUPFD_CLOEXEC, limit);
    }
    case F.GETFD:
      return isCloseOnExec(tx, Task.files.get(tx, task), descriptor) ? FD_CLOEXEC : 0;
    case F.SETFD:
      setCloseOnExec(tx, task, descriptor, (call.uint(2) & FD_CLOEXEC) !== 0);
      return 0;
    case F.GETFL:
      return File.flags.get(tx, file);
    case F.SETFL:
      setStatusFlags(call, file, call.uint(2));
      return 0;
    case F.GETLK:
    case F.SETLK:
    case F.SETLKW:
    case F.OFD_GETLK:
    case F.OFD_SETLK:
    case F.OFD_SETLKW:
      return recordLock(call, command);
    case F.GETOWN:
    case F.GETSIG:
      return 0;
    case F.SETOWN:
    case F.SETSIG:
      // Nobody is told of input by signal; the owner is accepted because shells and editors set it.
      return 0;
    case F.SETPIPE_SZ:
      return setPipeCapacity(tx, pipeOnly(call, file), call.uint(2));
    case F.GETPIPE_SZ:
      return pipeCapacity(tx, pipeOnly(call, file));
    case F.GET_SEALS:
      return vfs.getSeals(tx, file);
    case F.ADD_SEALS:
      vfs.addSeals(tx, file, call.uint(2));
      return 0;
    case F.DUPFD_QUERY:
      return getAnyFile(tx, task, call.int(2)) === file ? 1 : 0;
    default:
      throw errno.EINVAL;
  }
}

function setStatusFlags(call: SystemCall, file: File, flags: number): void {
  const { tx } = call;
  File.lock.acquire(tx, file);
  const old = File.flags.get(tx, file);
  const next = (old & ~SETTABLE) | (flags & SETTABLE);
  if (next === old) return;
  File.flags.set(tx, file, next);
  kindOf(tx, file).flagsChanged?.(tx, file);
}

function pipeOnly(call: SystemCall, file: File): File {
  const kind = FILE_KINDS[File.kind.get(call.tx, file)];
  if (kind !== "pipe" && kind !== "fifo") throw errno.EBADF;
  return file;
}

/** The commands about locks of the open file, by those about locks of the process. */
const OFD_COMMANDS: ReadonlyMap<number, number> = new Map([
  [F.OFD_GETLK, F.GETLK],
  [F.OFD_SETLK, F.SETLK],
  [F.OFD_SETLKW, F.SETLKW],
]);

/** Sets, frees or tests; waits until the lock in the way is released, unless all would wait for each other. */
function recordLock(call: SystemCall, command: number): number {
  const { tx, task } = call;
  for (;;) {
    const wait = tryRecordLock(call, command);
    if (wait === undefined) break;
    if (wait.blocker === 0 || isNoted(tx, task, wait)) throw WOULD_BLOCK;
    // The tree's lock ranks first: the attempt is undone, and made again with the note in place.
    tx.rollback();
    clearWaits(tx);
    if (!noteRecordWait(tx, task, wait)) return -errno.EDEADLK.code;
    call.step();
  }
  forgetRecordWait(tx, task);
  return 0;
}

/**
 * One attempt; what to wait for if a lock is in the way, which has been noted. Locks of open files take no part in
 * the search for circles: blocker 0. struct flock: type and whence (16 bits each), start and length at 8 and 16, pid
 * at 24.
 */
function tryRecordLock(call: SystemCall, given: number): RecordWait | undefined {
  const { tx, task } = call;
  const file = getFile(tx, task, call.int(0));
  const command = OFD_COMMANDS.get(given) ?? given;
  const isOwn = command !== given;
  const lock = readStruct(call, call.address(2), FLOCK_BYTES);
  const type = lock.getInt16(0, true);
  if (type < 0 || type > F_UNLCK) throw errno.EINVAL;
  if (isOwn && lock.getInt32(24, true) !== 0) throw errno.EINVAL;
  const table = Task.files.get(tx, task);
  const owner = isOwn ? file : table;
  if (!isOwn && command !== F.GETLK && FileTable.usesRecordLocks.get(tx, table) === 0) {
    lockFiles(tx, task);
    FileTable.usesRecordLocks.set(tx, table, 1);
  }
  let start = readLong(lock, 8) + lockOrigin(call, file, lock.getInt16(2, true));
  let length = readLong(lock, 16);
  if (length < 0) {
    start += length;
    length = -length;
  }
  if (start < 0) throw errno.EINVAL;
  if (command === F.GETLK) {
    if (type === F_UNLCK && !isOwn) throw errno.EINVAL;
    const other = vfs.testRecordLock(tx, file, owner, type, start, length) as FileLock;
    lock.setInt16(0, other === 0 ? F_UNLCK : FileLock.type.get(tx, other), true);
    if (other !== 0) describeLock(call, lock, other);
    writeBack(call, call.address(2), lock);
    return undefined;
  }
  const mode = File.flags.get(tx, file) & 3;
  if ((type === 0 && mode === O.WRONLY) || (type === 1 && mode === 0)) throw errno.EBADF;
  const pid = isOwn ? -1 : Process.pid.get(tx, call.process);
  const waits = command === F.SETLKW ? 1 : 0;
  const other = vfs.setRecordLock(tx, file, owner, pid, type, start, length, waits) as FileLock;
  if (other === 0) return undefined;
  const condition = Inode.lockReleased.at(FileLock.inode.get(tx, other));
  const isFiles = isOwn || (FileLock.pid.get(tx, other) | 0) === -1;
  return { blocker: isFiles ? 0 : FileLock.owner.get(tx, other), condition, counter: tx.words[condition]! };
}

function readLong(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

function writeLong(view: DataView, at: number, value: number): void {
  view.setInt32(at, value | 0, true);
  view.setInt32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

function describeLock(call: SystemCall, lock: DataView, other: FileLock): void {
  const TO_THE_END = 2 ** 52;
  const start = FileLock.start.get(call.tx, other);
  const end = FileLock.end.get(call.tx, other);
  lock.setInt16(2, SEEK.SET, true);
  writeLong(lock, 8, start);
  writeLong(lock, 16, end >= TO_THE_END ? 0 : end - start + 1);
  lock.setInt32(24, FileLock.pid.get(call.tx, other), true);
}

/** Where l_start counts from. The end is found by seeking there and back, in the same transaction. */
function lockOrigin(call: SystemCall, file: File, whence: number): number {
  const { tx } = call;
  if (whence === SEEK.SET) return 0;
  if (whence === SEEK.CUR) return File.position.get(tx, file);
  if (whence !== SEEK.END) throw errno.EINVAL;
  const kind = kindOf(tx, file);
  if (kind.seek === undefined) throw errno.EINVAL;
  const position = File.position.get(tx, file);
  const end = kind.seek(tx, file, 0, SEEK.END);
  kind.seek(tx, file, position, SEEK.SET);
  return end;
}

registerCloseHook((tx, file, table) => vfs.dropRecordLocks(tx, file, table));

const fcntlNames = nameSet(
  Object.fromEntries(Object.entries(F).map(([name, value]) => [`F_${name}`, value])),
);
const openNames = flagSet({ O_CLOEXEC: O.CLOEXEC, O_NONBLOCK: O.NONBLOCK, O_DIRECT: O.DIRECT });
const flockNames = flagSet({ LOCK_SH: LOCK.SH, LOCK_EX: LOCK.EX, LOCK_NB: LOCK.NB, LOCK_UN: LOCK.UN });
const rangeNames = flagSet({ CLOSE_RANGE_UNSHARE: 2, CLOSE_RANGE_CLOEXEC: 4 });

export const descriptorRows: readonly CallRow[] = [
  full(23, "dup", ["fd"], dup),
  full(24, "dup3", ["fd", "fd", openNames], dup3),
  partial(
    25,
    "fcntl",
    ["fd", fcntlNames, "hex"],
    "no leases or signals on input; F_SETOWN and F_SETSIG are accepted and do nothing",
    fcntl,
    { wait: "retry" },
  ),
  full(32, "flock", ["fd", flockNames], flock, { wait: "retry" }),
  full(57, "close", ["fd"], close),
  partial(59, "pipe2", ["fd-pair-out", openNames], "no packet mode (O_DIRECT: EINVAL)", pipe2),
  partial(
    436,
    "close_range",
    ["unsigned", "unsigned", rangeNames],
    "CLOSE_RANGE_UNSHARE of a table that other tasks share is EINVAL",
    closeRange,
  ),
];
