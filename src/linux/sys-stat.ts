/** What is known about a file, and changing that: stat, access, chmod, chown, times, truncation, readlink. */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import type { Credentials } from "../kernel/credentials.ts";
import { getAnyFile, getFile } from "../kernel/descriptors.ts";
import { File } from "../kernel/file.ts";
import { sendToTask, SI, SIG, signalInfo } from "../kernel/signal.ts";
import { Process, Task } from "../kernel/task.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { AT, AT_FDCWD, FALLOC, O_ACCMODE, S, STAT_BYTES, STATFS_BYTES, STATX_BYTES } from "./abi-file.ts";
import { RLIMIT } from "./abi-memory.ts";
import { softLimit } from "./limits.ts";
import { placeOf, placeOrFile } from "./paths.ts";
import { type CallRow, flagSet, full, partial } from "./row.ts";
import { readStruct, segmentsFor } from "./user.ts";

/** Forms in which the vfs server gives attributes. */
const FORM = { STAT: 0, STATX: 1 } as const;
const MODE_BITS = 0o7777;

function credentialsOf(call: SystemCall): Credentials {
  return Task.credentials.get(call.tx, call.task);
}

// Reading attributes.

function fstat(call: SystemCall): number {
  const file = getAnyFile(call.tx, call.task, call.int(0));
  segmentsFor(call, call.address(1), STAT_BYTES, true);
  vfs.statFile(call.tx, file, FORM.STAT);
  return 0;
}

function statAt(call: SystemCall, flags: number, form: number, target: number, bytes: number): number {
  const place = placeOrFile(call, call.int(0), call.address(1), (flags & AT.EMPTY_PATH) !== 0);
  const file = place === undefined ? getAnyFile(call.tx, call.task, call.int(0)) : (0 as File);
  segmentsFor(call, target, bytes, true);
  if (place === undefined) vfs.statFile(call.tx, file, form);
  else vfs.stat(call.tx, ...place, flags & AT.SYMLINK_NOFOLLOW, form);
  return 0;
}

function newfstatat(call: SystemCall): number {
  const flags = call.uint(3);
  call.refuseUnknown(flags, AT.SYMLINK_NOFOLLOW | AT.NO_AUTOMOUNT | AT.EMPTY_PATH);
  return statAt(call, flags, FORM.STAT, call.address(2), STAT_BYTES);
}

function statx(call: SystemCall): number {
  const flags = call.uint(2);
  const SYNC_TYPE = AT.STATX_FORCE_SYNC | AT.STATX_DONT_SYNC;
  call.refuseUnknown(flags, AT.SYMLINK_NOFOLLOW | AT.NO_AUTOMOUNT | AT.EMPTY_PATH | SYNC_TYPE);
  if ((flags & SYNC_TYPE) === SYNC_TYPE) throw errno.EINVAL;
  const STATX_RESERVED = 0x8000_0000;
  if ((call.uint(3) & STATX_RESERVED) !== 0) throw errno.EINVAL;
  return statAt(call, flags, FORM.STATX, call.address(4), STATX_BYTES);
}

function statfs(call: SystemCall): number {
  const place = placeOf(call, AT_FDCWD, call.address(0));
  segmentsFor(call, call.address(1), STATFS_BYTES, true);
  vfs.statfs(call.tx, ...place);
  return 0;
}

function fstatfs(call: SystemCall): number {
  const file = getAnyFile(call.tx, call.task, call.int(0));
  segmentsFor(call, call.address(1), STATFS_BYTES, true);
  vfs.statfsFile(call.tx, file);
  return 0;
}

function access(call: SystemCall, flags: number): number {
  const mode = call.uint(2);
  if ((mode & ~7) !== 0) throw errno.EINVAL;
  call.refuseUnknown(flags, AT.EACCESS | AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH);
  const place = placeOrFile(call, call.int(0), call.address(1), (flags & AT.EMPTY_PATH) !== 0);
  if (place !== undefined) vfs.access(call.tx, ...place, mode, flags);
  else vfs.access(call.tx, ...emptyPlace(call), mode, flags);
  return 0;
}

/** A file by its descriptor alone, as a place: an empty path from it, which the vfs server takes. */
function emptyPlace(call: SystemCall): [ReturnType<typeof Task.fs.get>, Credentials, File, number, number] {
  return [
    Task.fs.get(call.tx, call.task),
    credentialsOf(call),
    getAnyFile(call.tx, call.task, call.int(0)),
    0,
    0,
  ];
}

function faccessat(call: SystemCall): number {
  return access(call, 0);
}

function faccessat2(call: SystemCall): number {
  return access(call, call.uint(3));
}

function readlinkat(call: SystemCall): number {
  const size = call.int(3);
  if (size <= 0) throw errno.EINVAL;
  const place = placeOrFile(call, call.int(0), call.address(1), true) ?? emptyPlace(call);
  // No target is longer than a path, and what is not there of the buffer matters only if the target reaches it.
  const room = segmentsFor(call, call.address(2), Math.min(size, 4096), true, true);
  return vfs.readlink(call.tx, ...place, room);
}

// Changing attributes.

function fchmod(call: SystemCall): number {
  const file = getFile(call.tx, call.task, call.int(0));
  vfs.chmodFile(call.tx, credentialsOf(call), file, call.uint(1) & MODE_BITS);
  return 0;
}

function chmodAt(call: SystemCall, flags: number): number {
  call.refuseUnknown(flags, AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH);
  const mode = call.uint(2) & MODE_BITS;
  const place = placeOrFile(call, call.int(0), call.address(1), (flags & AT.EMPTY_PATH) !== 0);
  if (place !== undefined) vfs.chmod(call.tx, ...place, mode, flags & AT.SYMLINK_NOFOLLOW);
  else vfs.chmodFile(call.tx, credentialsOf(call), getAnyFile(call.tx, call.task, call.int(0)), mode);
  return 0;
}

function fchmodat(call: SystemCall): number {
  return chmodAt(call, 0);
}

function fchmodat2(call: SystemCall): number {
  return chmodAt(call, call.uint(3));
}

/** A user or group id; −1: leave it as it is. */
function idOf(call: SystemCall, index: number): number {
  const id = call.uint(index);
  return id === 0xffff_ffff ? -1 : id;
}

function fchown(call: SystemCall): number {
  const file = getFile(call.tx, call.task, call.int(0));
  vfs.chownFile(call.tx, credentialsOf(call), file, idOf(call, 1), idOf(call, 2));
  return 0;
}

function fchownat(call: SystemCall): number {
  const flags = call.uint(4);
  call.refuseUnknown(flags, AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH);
  const [uid, gid] = [idOf(call, 2), idOf(call, 3)];
  const place = placeOrFile(call, call.int(0), call.address(1), (flags & AT.EMPTY_PATH) !== 0);
  if (place !== undefined) vfs.chown(call.tx, ...place, uid, gid, flags & AT.SYMLINK_NOFOLLOW);
  else vfs.chownFile(call.tx, credentialsOf(call), getAnyFile(call.tx, call.task, call.int(0)), uid, gid);
  return 0;
}

const UTIME_NOW = 0x3fff_ffff;
const UTIME_OMIT = 0x3fff_fffe;

/** Access and modification time: seconds and nanoseconds of each. */
type Times = [aSeconds: number, aNanos: number, mSeconds: number, mNanos: number];

function readTimes(call: SystemCall, address: number): Times {
  if (address === 0) return [0, UTIME_NOW, 0, UTIME_NOW];
  const view = readStruct(call, address, 32);
  const long = (at: number): number => view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
  const times: Times = [long(0), long(8), long(16), long(24)];
  for (const nanos of [times[1], times[3]]) {
    const special = nanos === UTIME_NOW || nanos === UTIME_OMIT;
    if (!special && (nanos < 0 || nanos >= 1e9)) throw errno.EINVAL;
  }
  return times;
}

function utimensat(call: SystemCall): number {
  const flags = call.uint(3);
  const { tx, task } = call;
  // The file first: with threads its lookup takes a lock that ranks before the user's memory.
  const direct = call.address(1) === 0 && (flags & AT.EMPTY_PATH) === 0;
  if (direct) {
    if (flags !== 0) throw errno.EINVAL;
    const file = call.int(0) === AT_FDCWD ? undefined : getFile(tx, task, call.int(0));
    if (file === undefined) throw errno.EFAULT;
    const times = readTimes(call, call.address(2));
    if (times[1] === UTIME_OMIT && times[3] === UTIME_OMIT) return 0;
    vfs.setTimesFile(tx, credentialsOf(call), file, ...times);
    return 0;
  }
  call.refuseUnknown(flags, AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH);
  const place = placeOrFile(call, call.int(0), call.address(1), (flags & AT.EMPTY_PATH) !== 0);
  const file = place === undefined ? getAnyFile(tx, task, call.int(0)) : (0 as File);
  const times = readTimes(call, call.address(2));
  if (times[1] === UTIME_OMIT && times[3] === UTIME_OMIT) return 0;
  if (place === undefined) vfs.setTimesFile(tx, credentialsOf(call), file, ...times);
  else vfs.setTimes(tx, ...place, ...times, flags & AT.SYMLINK_NOFOLLOW);
  return 0;
}

// Size.

/** Runs a size change to its end, step by step. A size beyond RLIMIT_FSIZE is EFBIG and SIGXFSZ. */
function inSteps(call: SystemCall, step: () => number): number {
  try {
    while (step() !== 0) call.step();
    return 0;
  } catch (error) {
    if (error !== errno.EFBIG) throw error;
    // The signal is to outlive the failed step, so the error is a result instead of a throw.
    call.tx.rollback();
    const pid = Process.pid.get(call.tx, call.process);
    sendToTask(call.tx, call.task, signalInfo(SIG.XFSZ, SI.KERNEL, { pid }));
    return -errno.EFBIG.code;
  }
}

function truncate(call: SystemCall): number {
  const size = call.long(1);
  if (size < 0) throw errno.EINVAL;
  const place = placeOf(call, AT_FDCWD, call.address(0));
  const limit = softLimit(call, RLIMIT.FSIZE);
  return inSteps(call, () => vfs.truncate(call.tx, ...place, size, limit));
}

function ftruncate(call: SystemCall): number {
  const size = call.long(1);
  if (size < 0) throw errno.EINVAL;
  const limit = softLimit(call, RLIMIT.FSIZE);
  return inSteps(call, () => {
    const file = getFile(call.tx, call.task, call.int(0));
    if ((File.flags.get(call.tx, file) & O_ACCMODE) === 0) throw errno.EINVAL;
    return vfs.truncateFile(call.tx, file, size, limit);
  });
}

function fallocate(call: SystemCall): number {
  const mode = call.uint(1);
  const [offset, length] = [call.long(2), call.long(3)];
  if (offset < 0 || length <= 0) throw errno.EINVAL;
  const supported = FALLOC.KEEP_SIZE | FALLOC.PUNCH_HOLE | FALLOC.ZERO_RANGE;
  if ((mode & ~supported) !== 0) throw errno.EOPNOTSUPP;
  if ((mode & FALLOC.PUNCH_HOLE) !== 0 && mode !== (FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE))
    throw errno.EOPNOTSUPP;
  return inSteps(call, () => {
    const file = getFile(call.tx, call.task, call.int(0));
    if ((File.flags.get(call.tx, file) & O_ACCMODE) === 0) throw errno.EBADF;
    const growsTo = (mode & FALLOC.KEEP_SIZE) === 0 ? offset + length : 0;
    if (growsTo > softLimit(call, RLIMIT.FSIZE)) throw errno.EFBIG;
    return vfs.fallocate(call.tx, file, mode, offset, length);
  });
}

// Rows.

export const atNames = flagSet({
  AT_SYMLINK_NOFOLLOW: AT.SYMLINK_NOFOLLOW,
  AT_SYMLINK_FOLLOW: AT.SYMLINK_FOLLOW,
  AT_NO_AUTOMOUNT: AT.NO_AUTOMOUNT,
  AT_EMPTY_PATH: AT.EMPTY_PATH,
  AT_STATX_FORCE_SYNC: AT.STATX_FORCE_SYNC,
  AT_STATX_DONT_SYNC: AT.STATX_DONT_SYNC,
});
const accessFlags = flagSet({
  AT_EACCESS: AT.EACCESS,
  AT_SYMLINK_NOFOLLOW: AT.SYMLINK_NOFOLLOW,
  AT_EMPTY_PATH: AT.EMPTY_PATH,
});
const accessNames = flagSet({ R_OK: 4, W_OK: 2, X_OK: 1 }, { mask: 7, names: [["F_OK", 0]] });
const fallocNames = flagSet({
  FALLOC_FL_KEEP_SIZE: 1,
  FALLOC_FL_PUNCH_HOLE: 2,
  FALLOC_FL_COLLAPSE_RANGE: 8,
  FALLOC_FL_ZERO_RANGE: 16,
  FALLOC_FL_INSERT_RANGE: 32,
});
/** File types, for mknodat's mode. */
export const typeNames = flagSet(
  {},
  {
    mask: S.IFMT,
    names: Object.entries(S)
      .filter(([name]) => name.startsWith("IF") && name !== "IFMT")
      .map(([name, value]) => [`S_${name}`, value]),
  },
);

export const statRows: readonly CallRow[] = [
  full(43, "statfs", ["string", "address"], statfs),
  full(44, "fstatfs", ["fd", "address"], fstatfs),
  full(45, "truncate", ["string", "long"], truncate),
  full(46, "ftruncate", ["fd", "long"], ftruncate),
  partial(
    47,
    "fallocate",
    ["fd", fallocNames, "long", "long"],
    "no collapsing and no inserting of ranges",
    fallocate,
  ),
  full(48, "faccessat", ["dirfd", "string", accessNames], faccessat),
  full(52, "fchmod", ["fd", "mode"], fchmod),
  full(53, "fchmodat", ["dirfd", "string", "mode"], fchmodat),
  full(54, "fchownat", ["dirfd", "string", "int", "int", atNames], fchownat),
  full(55, "fchown", ["fd", "int", "int"], fchown),
  full(78, "readlinkat", ["dirfd", "string", "bytes-out", "unsigned"], readlinkat),
  full(79, "newfstatat", ["dirfd", "string", "stat-out", atNames], newfstatat),
  full(80, "fstat", ["fd", "stat-out"], fstat),
  full(88, "utimensat", ["dirfd", "string", "address", atNames], utimensat),
  full(291, "statx", ["dirfd", "string", atNames, "hex", "address"], statx),
  full(439, "faccessat2", ["dirfd", "string", accessNames, accessFlags], faccessat2),
  full(452, "fchmodat2", ["dirfd", "string", "mode", atNames], fchmodat2),
];
