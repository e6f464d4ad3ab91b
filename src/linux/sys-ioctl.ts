/**
 * ioctl: the commands that concern every file, those of pipes, and those of terminals, whose structures are
 * copied here and whose meaning is the terminal server's.
 */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { addFile, getFile, lockFiles, setCloseOnExec } from "../kernel/descriptors.ts";
import { File, FILE_KINDS, kindOf } from "../kernel/file.ts";
import { clearSegments } from "../kernel/request.ts";
import { pipeAvailable } from "../servers/pipe/pipe-server.ts";
import { socketOf, sockets } from "../servers/socket/socket-server.ts";
import { TTY_IOCTLS } from "../servers/tty/termios.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { O, O_ACCMODE, SEEK } from "./abi-file.ts";
import { IOCTL } from "./abi-ioctl.ts";
import { openPeer, prepareOpen } from "./attach.ts";
import { type CallRow, nameSet, partial } from "./row.ts";
import { descriptorLimit } from "./sys-descriptor.ts";
import { readStruct, segmentsFor, writeUser } from "./user.ts";

function kindName(call: SystemCall, file: File): string {
  return FILE_KINDS[File.kind.get(call.tx, file)] ?? "none";
}

function ioctl(call: SystemCall): number {
  const { tx, task } = call;
  // The peer may become the controlling terminal, whose lock ranks before that of the descriptors.
  if (call.uint(1) === IOCTL.TIOCGPTPEER) prepareOpen(tx, call.uint(2));
  const file = getFile(tx, task, call.int(0));
  const command = call.uint(1);
  switch (command) {
    case IOCTL.FIOCLEX:
    case IOCTL.FIONCLEX:
      setCloseOnExec(tx, task, call.int(0), command === IOCTL.FIOCLEX);
      return 0;
    case IOCTL.FIONBIO:
      setNonblocking(call, file, readStruct(call, call.address(2), 4).getInt32(0, true) !== 0);
      return 0;
    case IOCTL.FIOASYNC:
      // Nobody is told of input by signal.
      if (readStruct(call, call.address(2), 4).getInt32(0, true) !== 0) throw errno.ENOTTY;
      return 0;
    default:
  }
  const name = kindName(call, file);
  if (name === "tty") return terminalControl(call, file, command);
  if (command === IOCTL.FIONREAD) return putInt(call, bytesWaiting(call, file, name));
  if (name === "socket" && command === IOCTL.TIOCOUTQ)
    return putInt(call, sockets.unsent(tx, socketOf(tx, file)));
  throw errno.ENOTTY;
}

function setNonblocking(call: SystemCall, file: File, on: boolean): void {
  const { tx } = call;
  File.lock.acquire(tx, file);
  const flags = File.flags.get(tx, file);
  File.flags.set(tx, file, on ? flags | O.NONBLOCK : flags & ~O.NONBLOCK);
  kindOf(tx, file).flagsChanged?.(tx, file);
}

function putInt(call: SystemCall, value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, value, true);
  writeUser(call, call.address(2), view);
  return 0;
}

/** Bytes that can be read at once: in a pipe, or from the position of a regular file to its end. */
function bytesWaiting(call: SystemCall, file: File, name: string): number {
  const { tx } = call;
  if (name === "pipe" || name === "fifo") return pipeAvailable(tx, file);
  if (name === "inotify") return vfs.watchedBytes(tx, file);
  if (name === "socket") return sockets.available(tx, socketOf(tx, file));
  const { seek } = kindOf(tx, file);
  if (name !== "inode" || seek === undefined) throw errno.ENOTTY;
  const position = File.position.get(tx, file);
  const end = seek(tx, file, 0, SEEK.END);
  seek(tx, file, position, SEEK.SET);
  return Math.max(0, Math.min(end - position, 0x7fff_ffff));
}

function terminalControl(call: SystemCall, file: File, command: number): number {
  const { tx, task } = call;
  if (command === IOCTL.TIOCGPTPEER) {
    const flags = call.uint(2);
    const table = lockFiles(tx, task);
    const peer = openPeer(call, file, flags & (O_ACCMODE | O.NONBLOCK | O.NOCTTY));
    return addFile(tx, table, peer, (flags & O.CLOEXEC) !== 0, descriptorLimit(call));
  }
  const shape = TTY_IOCTLS.get(command);
  const control = kindOf(tx, file).ioctl;
  if (shape === undefined || control === undefined) throw errno.ENOTTY;
  if (shape.bytes > 0) segmentsFor(call, call.address(2), shape.bytes, shape.direction === "out");
  else clearSegments(tx);
  return control(tx, file, command, call.uint(2));
}

/** sync_file_range, readahead, fadvise64: hints, which only have to name an open file. */
function hint(call: SystemCall): number {
  getFile(call.tx, call.task, call.int(0));
  return 0;
}

function fadvise(call: SystemCall): number {
  const file = getFile(call.tx, call.task, call.int(0));
  if (call.uint(3) > 5 || call.long(2) < 0) throw errno.EINVAL;
  if (kindOf(call.tx, file).seek === undefined) throw errno.ESPIPE;
  return 0;
}

const names = nameSet(IOCTL);
const FADVICE = nameSet({
  POSIX_FADV_NORMAL: 0,
  POSIX_FADV_RANDOM: 1,
  POSIX_FADV_SEQUENTIAL: 2,
  POSIX_FADV_WILLNEED: 3,
  POSIX_FADV_DONTNEED: 4,
  POSIX_FADV_NOREUSE: 5,
});

export const ioctlRows: readonly CallRow[] = [
  partial(
    29,
    "ioctl",
    ["fd", names, "address"],
    "those of terminals, pipes and sockets, FIOCLEX, FIONCLEX, FIONBIO, FIONREAD",
    ioctl,
    {
      wait: "retry",
    },
  ),
  partial(213, "readahead", ["fd", "long", "unsigned"], "a hint without effect", hint),
  partial(223, "fadvise64", ["fd", "long", "long", FADVICE], "a hint without effect", fadvise),
];
