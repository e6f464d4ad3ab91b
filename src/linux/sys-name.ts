/** Names: directories, links, renaming, the working directory, the root, and listing. */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { getAnyFile, getFile } from "../kernel/descriptors.ts";
import { PATH_BYTES } from "../heap/layout.ts";
import { clearSegments, pathAt } from "../kernel/request.ts";
import { File, FILE_KINDS } from "../kernel/file.ts";
import { Task } from "../kernel/task.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { AT, AT_FDCWD, RENAME, S } from "./abi-file.ts";
import { contextOf, placeOf, placeOrFile } from "./paths.ts";
import { type CallRow, flagSet, full, partial } from "./row.ts";
import { STEP_BYTES } from "./sys-read-write.ts";
import { atNames, typeNames } from "./sys-stat.ts";
import { addUserSegments, copyPath, writeUser } from "./user.ts";

const PERMISSIONS = 0o7777;
const DIRECTORY = FILE_KINDS.indexOf("directory");

function mkdirat(call: SystemCall): number {
  vfs.mkdir(call.tx, ...placeOf(call, call.int(0), call.address(1)), call.uint(2) & PERMISSIONS);
  return 0;
}

function mknodat(call: SystemCall): number {
  let mode = call.uint(2) & (S.IFMT | PERMISSIONS);
  if ((mode & S.IFMT) === 0) mode |= S.IFREG;
  const type = mode & S.IFMT;
  if (type === S.IFDIR) throw errno.EPERM;
  if (![S.IFREG, S.IFCHR, S.IFBLK, S.IFIFO, S.IFSOCK].some((known) => known === type)) throw errno.EINVAL;
  vfs.mknod(call.tx, ...placeOf(call, call.int(0), call.address(1)), mode, call.uint(3));
  return 0;
}

function unlinkat(call: SystemCall): number {
  const flags = call.uint(2);
  call.refuseUnknown(flags, AT.REMOVEDIR);
  vfs.unlink(call.tx, ...placeOf(call, call.int(0), call.address(1)), flags);
  return 0;
}

function symlinkat(call: SystemCall): number {
  const place = placeOf(call, call.int(1), call.address(2));
  const length = copyPath(call, call.address(0), 1);
  if (length === 0) throw errno.ENOENT;
  vfs.symlink(call.tx, ...place, 1, length);
  return 0;
}

function linkat(call: SystemCall): number {
  const flags = call.uint(4);
  call.refuseUnknown(flags, AT.SYMLINK_FOLLOW | AT.EMPTY_PATH);
  const [context, credentials] = contextOf(call);
  const source = placeOrFile(call, call.int(0), call.address(1), (flags & AT.EMPTY_PATH) !== 0, 0);
  const [, , newBase, newPath, newLength] = placeOf(call, call.int(2), call.address(3), 1);
  const from = source ?? ([context, credentials, getAnyFile(call.tx, call.task, call.int(0)), 0, 0] as const);
  vfs.link(call.tx, ...from, newBase, newPath, newLength, flags);
  return 0;
}

function rename(call: SystemCall, flags: number): number {
  call.refuseUnknown(flags, RENAME.NOREPLACE | RENAME.EXCHANGE | RENAME.WHITEOUT);
  const exclusive = RENAME.NOREPLACE | RENAME.WHITEOUT;
  if ((flags & exclusive) !== 0 && (flags & RENAME.EXCHANGE) !== 0) throw errno.EINVAL;
  if ((flags & RENAME.WHITEOUT) !== 0) throw errno.EINVAL;
  const from = placeOf(call, call.int(0), call.address(1), 0);
  const [, , newBase, newPath, newLength] = placeOf(call, call.int(2), call.address(3), 1);
  vfs.rename(call.tx, ...from, newBase, newPath, newLength, flags);
  return 0;
}

function renameat2(call: SystemCall): number {
  return rename(call, call.uint(4));
}

function chdir(call: SystemCall): number {
  vfs.chdir(call.tx, ...placeOf(call, AT_FDCWD, call.address(0)));
  return 0;
}

function fchdir(call: SystemCall): number {
  vfs.fchdir(call.tx, ...contextOf(call), getAnyFile(call.tx, call.task, call.int(0)));
  return 0;
}

function chroot(call: SystemCall): number {
  vfs.chroot(call.tx, ...placeOf(call, AT_FDCWD, call.address(0)));
  return 0;
}

function getcwd(call: SystemCall): number {
  const { tx } = call;
  const size = call.address(1);
  const bytes = vfs.getcwd(tx, Task.fs.get(tx, call.task));
  if (bytes > PATH_BYTES) throw errno.ENAMETOOLONG;
  if (bytes > size) throw errno.ERANGE;
  const at = pathAt(tx, 0);
  const path = tx.bytes.slice(at, at + bytes);
  // What follows copies to the user: the locks that the lookup took rank behind those of the user's memory.
  tx.commit();
  writeUser(call, call.address(0), new DataView(path.buffer));
  return bytes;
}

function umask(call: SystemCall): number {
  return vfs.umask(call.tx, Task.fs.get(call.tx, call.task), call.uint(0) & 0o777);
}

function getdents64(call: SystemCall): number {
  const file = getFile(call.tx, call.task, call.int(0));
  if (File.kind.get(call.tx, file) !== DIRECTORY) throw errno.ENOTDIR;
  clearSegments(call.tx);
  const room = addUserSegments(call, call.address(1), Math.min(call.uint(2), STEP_BYTES), true);
  return vfs.getdents(call.tx, file, room);
}

const removeNames = flagSet({ AT_REMOVEDIR: AT.REMOVEDIR });
const renameNames = flagSet({ RENAME_NOREPLACE: 1, RENAME_EXCHANGE: 2, RENAME_WHITEOUT: 4 });

export const nameRows: readonly CallRow[] = [
  full(17, "getcwd", ["string-out", "unsigned"], getcwd),
  full(33, "mknodat", ["dirfd", "string", typeNames, "hex"], mknodat),
  full(34, "mkdirat", ["dirfd", "string", "mode"], mkdirat),
  full(35, "unlinkat", ["dirfd", "string", removeNames], unlinkat),
  full(36, "symlinkat", ["string", "dirfd", "string"], symlinkat),
  full(37, "linkat", ["dirfd", "string", "dirfd", "string", atNames], linkat),
  full(49, "chdir", ["string"], chdir),
  full(50, "fchdir", ["fd"], fchdir),
  full(51, "chroot", ["string"], chroot),
  full(61, "getdents64", ["fd", "address", "unsigned"], getdents64),
  full(166, "umask", ["mode"], umask),
  partial(
    276,
    "renameat2",
    ["dirfd", "string", "dirfd", "string", renameNames],
    "RENAME_WHITEOUT: EINVAL",
    renameat2,
  ),
];
