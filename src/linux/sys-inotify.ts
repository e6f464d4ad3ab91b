/** inotify(7): what happens to files, as events that are read from a file. The vfs server keeps watches and queues. */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { addFile, getFile, lockFiles } from "../kernel/descriptors.ts";
import { IN, IN_EVENTS } from "../servers/vfs/inotify.ts";
import { Process } from "../kernel/task.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { AT_FDCWD, O } from "./abi-file.ts";
import { placeOf } from "./paths.ts";
import { type CallRow, flagSet, full, partial } from "./row.ts";
import { descriptorLimit } from "./sys-descriptor.ts";

/** Bits of which a mask must have one (ALL_INOTIFY_BITS). */
const MASK_KNOWN: number =
  IN_EVENTS |
  IN.ONLYDIR |
  IN.DONT_FOLLOW |
  IN.EXCL_UNLINK |
  IN.MASK_CREATE |
  IN.MASK_ADD |
  IN.ISDIR |
  IN.ONESHOT;

function init(call: SystemCall): number {
  const flags = call.uint(0);
  call.refuseUnknown(flags, O.CLOEXEC | O.NONBLOCK);
  const table = lockFiles(call.tx, call.task);
  const file = vfs.openInotify(call.tx, flags & O.NONBLOCK, Process.uid.get(call.tx, call.process));
  return addFile(call.tx, table, file, (flags & O.CLOEXEC) !== 0, descriptorLimit(call));
}

function addWatch(call: SystemCall): number {
  const mask = call.uint(2);
  if ((mask & MASK_KNOWN) === 0) throw errno.EINVAL;
  const file = getFile(call.tx, call.task, call.int(0));
  if ((mask & IN.MASK_ADD) !== 0 && (mask & IN.MASK_CREATE) !== 0) throw errno.EINVAL;
  return vfs.addWatch(call.tx, ...placeOf(call, AT_FDCWD, call.address(1)), file, mask);
}

function removeWatch(call: SystemCall): number {
  vfs.removeWatch(call.tx, getFile(call.tx, call.task, call.int(0)), call.int(1));
  return 0;
}

const names = flagSet(Object.fromEntries(Object.entries(IN).map(([name, bit]) => [`IN_${name}`, bit])));

export const inotifyRows: readonly CallRow[] = [
  full(26, "inotify_init1", ["hex"], init),
  partial(
    27,
    "inotify_add_watch",
    ["fd", "string", names],
    "no IN_UNMOUNT; executing a program, and what happens in a granted folder, is no event",
    addWatch,
  ),
  full(28, "inotify_rm_watch", ["fd", "int"], removeWatch),
];
