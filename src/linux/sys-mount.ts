/** Mounts and extended attributes. */

import { errno } from "../base/errno.ts";
import { decodeUtf8 } from "../base/text.ts";
import type { SystemCall } from "../kernel/call.ts";
import { getFile, lockSharedFiles } from "../kernel/descriptors.ts";
import { pathAt } from "../kernel/request.ts";
import { Task } from "../kernel/task.ts";
import { FILE_SYSTEM } from "../servers/vfs/records.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { AT, AT_FDCWD, MNT, MS, UMOUNT_NOFOLLOW } from "./abi-file.ts";
import { type Place, placeOf } from "./paths.ts";
import { type CallRow, flagSet, partial, full } from "./row.ts";
import { copyPath, segmentsFor } from "./user.ts";

// Mounts.

/** File-system types by the names that mount(2) takes. */
const TYPES = new Map<string, number>([
  ["tmpfs", FILE_SYSTEM.MEMORY],
  ["ramfs", FILE_SYSTEM.MEMORY],
  ["proc", FILE_SYSTEM.PROC],
  ["devpts", FILE_SYSTEM.PTS],
  ["devtmpfs", FILE_SYSTEM.DEVICES],
]);
const PROPAGATION: number = MS.UNBINDABLE | MS.PRIVATE | MS.SLAVE | MS.SHARED;
/** Marks flags of an old library; Linux takes it off. */
const MS_MAGIC = 0xc0ed_0000;

function mount(call: SystemCall): number {
  let flags = call.uint(3);
  if ((flags & 0xffff_0000) >>> 0 === MS_MAGIC) flags &= 0xffff;
  const place = placeOf(call, AT_FDCWD, call.address(1));
  // There is one mount tree, so what is passed on between trees does not matter.
  if ((flags & PROPAGATION) !== 0) return 0;
  if ((flags & MS.MOVE) !== 0) throw errno.EINVAL;
  if ((flags & (MS.BIND | MS.REMOUNT)) !== 0) {
    const sourceLength = (flags & MS.REMOUNT) !== 0 ? 0 : copyPath(call, call.address(0), 1);
    if ((flags & MS.REMOUNT) === 0 && sourceLength === 0) throw errno.ENOENT;
    vfs.mount(call.tx, ...place, FILE_SYSTEM.MEMORY, sourceLength, flags);
    return 0;
  }
  const length = copyPath(call, call.address(2), 1);
  const at = pathAt(call.tx, 1);
  const type = TYPES.get(decodeUtf8(call.tx.bytes.slice(at, at + length)));
  if (type === undefined) throw errno.ENODEV;
  vfs.mount(call.tx, ...place, type, 0, flags);
  return 0;
}

function umount2(call: SystemCall): number {
  const flags = call.uint(1);
  call.refuseUnknown(flags, MNT.FORCE | MNT.DETACH | MNT.EXPIRE | UMOUNT_NOFOLLOW);
  vfs.umount(call.tx, ...placeOf(call, AT_FDCWD, call.address(0)), flags);
  return 0;
}

// Extended attributes.

const XATTR_NAME_MAX = 255;
const XATTR_SIZE_MAX = 65536;

/** Copies the attribute's name into path buffer 1. */
function copyName(call: SystemCall, address: number): number {
  const length = copyPath(call, address, 1);
  if (length === 0 || length > XATTR_NAME_MAX) throw errno.ERANGE;
  return length;
}

/** Room for a value of up to `size` bytes at `address`; 0 asks for the size alone. */
function roomFor(call: SystemCall, address: number, size: number): number {
  const room = Math.min(size, XATTR_SIZE_MAX);
  segmentsFor(call, address, room, true);
  return room;
}

function getAt(call: SystemCall, flags: number): number {
  const place: Place = placeOf(call, AT_FDCWD, call.address(0));
  const length = copyName(call, call.address(1));
  const room = roomFor(call, call.address(2), call.address(3));
  return vfs.getxattr(call.tx, ...place, 1, length, room, flags);
}

function getxattr(call: SystemCall): number {
  return getAt(call, 0);
}

function lgetxattr(call: SystemCall): number {
  return getAt(call, AT.SYMLINK_NOFOLLOW);
}

function fgetxattr(call: SystemCall): number {
  const file = getFile(call.tx, call.task, call.int(0));
  const length = copyName(call, call.address(1));
  const room = roomFor(call, call.address(2), call.address(3));
  return vfs.getxattrFile(call.tx, Task.credentials.get(call.tx, call.task), file, 1, length, room);
}

function listAt(call: SystemCall, flags: number): number {
  const place: Place = placeOf(call, AT_FDCWD, call.address(0));
  return vfs.listxattr(call.tx, ...place, roomFor(call, call.address(1), call.address(2)), flags);
}

function listxattr(call: SystemCall): number {
  return listAt(call, 0);
}

function llistxattr(call: SystemCall): number {
  return listAt(call, AT.SYMLINK_NOFOLLOW);
}

function flistxattr(call: SystemCall): number {
  const file = getFile(call.tx, call.task, call.int(0));
  return vfs.listxattrFile(call.tx, file, roomFor(call, call.address(1), call.address(2)));
}

/** The flags of setxattr. */
const XATTR = { XATTR_CREATE: 1, XATTR_REPLACE: 2 } as const;
/** As `size`: the attribute is to be removed. */
const REMOVE = -1;

/** The value's bytes as segments: how many. Throws EINVAL for unknown flags, E2BIG. */
function valueOf(call: SystemCall): number {
  const size = call.address(3);
  call.refuseUnknown(call.uint(4), XATTR.XATTR_CREATE | XATTR.XATTR_REPLACE);
  if (size > XATTR_SIZE_MAX) throw errno.E2BIG;
  segmentsFor(call, call.address(2), size, false);
  return size;
}

function changeAt(call: SystemCall, flags: number, size: number, setFlags: number): number {
  const place: Place = placeOf(call, AT_FDCWD, call.address(0));
  const length = copyName(call, call.address(1));
  vfs.setxattr(call.tx, ...place, 1, length, size, flags, setFlags);
  return 0;
}

function changeFile(call: SystemCall, size: number, setFlags: number): number {
  const { tx, task } = call;
  const file = getFile(tx, task, call.int(0));
  const length = copyName(call, call.address(1));
  vfs.setxattrFile(tx, Task.credentials.get(tx, task), file, 1, length, size, setFlags);
  return 0;
}

function setxattr(call: SystemCall): number {
  return changeAt(call, 0, valueOf(call), call.uint(4));
}

function lsetxattr(call: SystemCall): number {
  return changeAt(call, AT.SYMLINK_NOFOLLOW, valueOf(call), call.uint(4));
}

function fsetxattr(call: SystemCall): number {
  lockSharedFiles(call.tx, call.task);
  return changeFile(call, valueOf(call), call.uint(4));
}

const removexattr = (call: SystemCall): number => changeAt(call, 0, REMOVE, 0);
const lremovexattr = (call: SystemCall): number => changeAt(call, AT.SYMLINK_NOFOLLOW, REMOVE, 0);

function fremovexattr(call: SystemCall): number {
  lockSharedFiles(call.tx, call.task);
  return changeFile(call, REMOVE, 0);
}

const mountNames = flagSet(
  Object.fromEntries(Object.entries(MS).map(([name, value]) => [`MS_${name}`, value])),
);
const umountNames = flagSet({ MNT_FORCE: 1, MNT_DETACH: 2, MNT_EXPIRE: 4, UMOUNT_NOFOLLOW: 8 });
const mountNote =
  "tmpfs, proc, devpts, devtmpfs and bind mounts; options in the data string and propagation are ignored";
const valueNote = "values of up to 4096 bytes; no access control lists";
const xattrFlags = flagSet(XATTR);

export const mountRows: readonly CallRow[] = [
  partial(5, "setxattr", ["string", "string", "bytes-in", "unsigned", xattrFlags], valueNote, setxattr),
  partial(6, "lsetxattr", ["string", "string", "bytes-in", "unsigned", xattrFlags], valueNote, lsetxattr),
  partial(7, "fsetxattr", ["fd", "string", "bytes-in", "unsigned", xattrFlags], valueNote, fsetxattr),
  full(8, "getxattr", ["string", "string", "bytes-out", "unsigned"], getxattr),
  full(9, "lgetxattr", ["string", "string", "bytes-out", "unsigned"], lgetxattr),
  full(10, "fgetxattr", ["fd", "string", "bytes-out", "unsigned"], fgetxattr),
  full(11, "listxattr", ["string", "bytes-out", "unsigned"], listxattr),
  full(12, "llistxattr", ["string", "bytes-out", "unsigned"], llistxattr),
  full(13, "flistxattr", ["fd", "bytes-out", "unsigned"], flistxattr),
  full(14, "removexattr", ["string", "string"], removexattr),
  full(15, "lremovexattr", ["string", "string"], lremovexattr),
  full(16, "fremovexattr", ["fd", "string"], fremovexattr),
  partial(39, "umount2", ["string", umountNames], "MNT_EXPIRE is a plain unmount", umount2),
  partial(40, "mount", ["string", "string", "string", mountNames, "address"], mountNote, mount),
];
