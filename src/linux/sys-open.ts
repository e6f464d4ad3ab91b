/**
 * Opening files: openat, openat2.
 *
 * The vfs server opens by name. What it finds may belong to another server, which then attaches itself to the
 * new file: a fifo's pipe, a terminal. Opening a fifo waits for its other end, and the opener counts as an end
 * meanwhile (rule R1, enqueue): the file is committed, Task.progress refers to it, and the call is resumed
 * with it. Task.progressDetail holds the pipe server's ticket, and O_CLOEXEC in its lowest bit.
 */

import { errno } from "../base/errno.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { SystemCall } from "../kernel/call.ts";
import { WOULD_BLOCK } from "../kernel/request.ts";
import { addFile, findFree, installFile, lockFiles } from "../kernel/descriptors.ts";
import { dropFile, File, FILE_KINDS } from "../kernel/file.ts";
import { Task } from "../kernel/task.ts";
import { SEAL } from "../servers/vfs/seals.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { MFD, O, O_ACCMODE, O_KNOWN, OPEN_HOW_BYTES, RESOLVE } from "./abi-file.ts";
import { attachFile, finishOpening, OPENED, prepareOpen } from "./attach.ts";
import { type Place, placeOf } from "./paths.ts";
import { type CallRow, flagSet, full, partial } from "./row.ts";
import { descriptorLimit } from "./sys-descriptor.ts";
import { copyPath, readStruct } from "./user.ts";

const PERMISSIONS = 0o7777;
const FIFO = FILE_KINDS.indexOf("fifo");

/** Opens what `place` names and gives it the lowest free descriptor. The file table is locked already. */
function openPlace(call: SystemCall, place: Place, flags: number, mode: number, resolve: number): number {
  const { tx, task } = call;
  const table = lockFiles(tx, task);
  const limit = descriptorLimit(call);
  const descriptor = findFree(tx, table, 0, limit);
  // What open(2) does with O_PATH: all but a few flags do not count.
  const kept =
    (flags & O.PATH) === 0 ? flags | O.LARGEFILE : flags & (O.PATH | O.CLOEXEC | O.DIRECTORY | O.NOFOLLOW);
  const file = vfs.open(tx, ...place, kept & ~O.CLOEXEC, mode & PERMISSIONS, resolve);
  const ticket = (kept & O.PATH) === 0 ? attachFile(call, file, kept) : OPENED;
  if (ticket !== OPENED) {
    Task.progress.set(tx, task, file);
    Task.progressDetail.set(tx, task, ticket * 2 + ((flags & O.CLOEXEC) !== 0 ? 1 : 0));
    call.step();
    return resume(call);
  }
  installFile(tx, table, descriptor, file, (flags & O.CLOEXEC) !== 0);
  return descriptor;
}

/** Goes on with an open that waits for the other end of a fifo. */
function resume(call: SystemCall): number {
  const { tx, task } = call;
  const file = Task.progress.get(tx, task) as File;
  const detail = Task.progressDetail.get(tx, task);
  const table = lockFiles(tx, task);
  finishOpening(tx, file, Math.floor(detail / 2));
  const descriptor = findFree(tx, table, 0, descriptorLimit(call));
  installFile(tx, table, descriptor, file, detail % 2 !== 0);
  Task.progress.set(tx, task, 0);
  Task.progressDetail.set(tx, task, 0);
  return descriptor;
}

/** Gives up an open that waits. */
export function abandonOpen(tx: Transaction, task: Task): boolean {
  const file = Task.progress.get(tx, task) as File;
  if (!File.isLive(tx, file) || File.kind.get(tx, file) !== FIFO) return true;
  Task.progress.set(tx, task, 0);
  Task.progressDetail.set(tx, task, 0);
  dropFile(tx, file);
  return true;
}

/** Whether the other end has been opened since an open began to wait. */
function hasOpened(tx: Transaction, task: Task): boolean {
  const file = Task.progress.get(tx, task) as File;
  if (!File.isLive(tx, file) || File.kind.get(tx, file) !== FIFO) return false;
  try {
    finishOpening(tx, file, Math.floor(Task.progressDetail.get(tx, task) / 2));
    return true;
  } catch (error) {
    if (error !== WOULD_BLOCK) throw error;
    return false;
  }
}

function openat(call: SystemCall): number {
  if (Task.progress.get(call.tx, call.task) !== 0) return resume(call);
  let flags = call.uint(2) & O_KNOWN;
  const creates = (flags & O.CREAT) !== 0 || (flags & O.TMPFILE) === O.TMPFILE;
  const mode = creates ? call.uint(3) & PERMISSIONS : 0;
  if ((flags & O_ACCMODE) === O_ACCMODE) flags &= ~O.TRUNC;
  checkFlags(flags);
  prepareOpen(call.tx, flags);
  lockFiles(call.tx, call.task);
  return openPlace(call, placeOf(call, call.int(0), call.address(1)), flags, mode, 0);
}

/** The combinations that open(2) refuses whatever the file. */
function checkFlags(flags: number): void {
  const tmpfile = (flags & O.TMPFILE) === O.TMPFILE;
  if ((flags & O.TMPFILE & ~O.DIRECTORY) !== 0 && !tmpfile) throw errno.EINVAL;
  if (tmpfile && (flags & O_ACCMODE) === 0) throw errno.EINVAL;
  if ((flags & (O.CREAT | O.DIRECTORY)) === (O.CREAT | O.DIRECTORY)) throw errno.EINVAL;
}

const RESOLVE_KNOWN: number = Object.values(RESOLVE).reduce((all, bit) => all | bit, 0);

/** struct open_how: flags, mode, resolve, 8 bytes each. */
function openat2(call: SystemCall): number {
  if (Task.progress.get(call.tx, call.task) !== 0) return resume(call);
  const size = call.address(3);
  if (size < OPEN_HOW_BYTES) throw errno.EINVAL;
  if (size > 4096) throw errno.E2BIG;
  prepareOpen(call.tx, 0);
  lockFiles(call.tx, call.task);
  const how = readStruct(call, call.address(2), size);
  for (let at = OPEN_HOW_BYTES; at < size; at++) if (how.getUint8(at) !== 0) throw errno.E2BIG;
  const [flags, mode, resolve] = [how.getUint32(0, true), how.getUint32(8, true), how.getUint32(16, true)];
  if (how.getUint32(4, true) !== 0 || how.getUint32(12, true) !== 0 || how.getUint32(20, true) !== 0) {
    throw errno.EINVAL;
  }
  const creates = (flags & O.CREAT) !== 0 || (flags & O.TMPFILE) === O.TMPFILE;
  if ((flags & ~O_KNOWN) !== 0 || (resolve & ~RESOLVE_KNOWN) !== 0) throw errno.EINVAL;
  if (mode !== 0 && (!creates || (mode & ~PERMISSIONS) !== 0)) throw errno.EINVAL;
  if ((resolve & RESOLVE.BENEATH) !== 0 && (resolve & RESOLVE.IN_ROOT) !== 0) throw errno.EINVAL;
  const pathOnly = O.PATH | O.CLOEXEC | O.DIRECTORY | O.NOFOLLOW | O.LARGEFILE;
  if ((flags & O.PATH) !== 0 && (flags & ~pathOnly) !== 0) throw errno.EINVAL;
  checkFlags(flags);
  return openPlace(call, placeOf(call, call.int(0), call.address(1)), flags, mode, resolve);
}

/** Bytes of a name that memfd_create takes: those of a file's name less those of its prefix. */
const MEMFD_NAME_MAX = 249;
const MFD_KNOWN: number = Object.values(MFD).reduce((all, bit) => all | bit, 0);

function memfdCreate(call: SystemCall): number {
  const { tx, task } = call;
  const flags = call.uint(1);
  // With huge pages the upper bits say how large they are; there are none.
  if ((flags & MFD.HUGETLB) !== 0) throw errno.ENODEV;
  if ((flags & ~MFD_KNOWN) !== 0) throw errno.EINVAL;
  if ((flags & (MFD.EXEC | MFD.NOEXEC_SEAL)) === (MFD.EXEC | MFD.NOEXEC_SEAL)) throw errno.EINVAL;
  const table = lockFiles(tx, task);
  let length = 0;
  try {
    length = copyPath(call, call.address(0), 0);
  } catch (error) {
    if (error === errno.ENAMETOOLONG) throw errno.EINVAL;
    throw error;
  }
  if (length > MEMFD_NAME_MAX) throw errno.EINVAL;
  const noExec = (flags & MFD.NOEXEC_SEAL) !== 0;
  let seals = noExec ? SEAL.EXEC : 0;
  if (!noExec && (flags & MFD.ALLOW_SEALING) === 0) seals = SEAL.SEAL;
  const credentials = Task.credentials.get(tx, task);
  const file = vfs.createMemoryFile(tx, credentials, 0, length, noExec ? 0o666 : 0o777, seals);
  return addFile(tx, table, file, (flags & MFD.CLOEXEC) !== 0, descriptorLimit(call));
}

/** Names of open flags, for traces. O_SYNC and O_TMPFILE hold other flags' bits, so they come first. */
export const openNames = flagSet(
  Object.fromEntries(
    Object.entries(O)
      .filter(([, value]) => value > O_ACCMODE)
      .sort(([, a], [, b]) => bits(b) - bits(a) || a - b)
      .map(([name, value]) => [`O_${name}`, value]),
  ),
  {
    mask: O_ACCMODE,
    names: [
      ["O_RDONLY", 0],
      ["O_WRONLY", O.WRONLY],
      ["O_RDWR", O.RDWR],
    ],
  },
);

function bits(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) count++;
  return count;
}

const memfdNames = flagSet(
  Object.fromEntries(Object.entries(MFD).map(([name, bit]) => [`MFD_${name}`, bit])),
);

export const openRows: readonly CallRow[] = [
  full(56, "openat", ["dirfd", "string", openNames, "open-mode"], openat, {
    wait: "enqueue",
    abandon: abandonOpen,
    hasCome: hasOpened,
  }),
  partial(
    437,
    "openat2",
    ["dirfd", "string", "address", "unsigned"],
    "RESOLVE_CACHED does not wait less",
    openat2,
    {
      wait: "enqueue",
      abandon: abandonOpen,
      hasCome: hasOpened,
    },
  ),
  partial(279, "memfd_create", ["string", memfdNames], "no huge pages (MFD_HUGETLB: ENODEV)", memfdCreate),
];
