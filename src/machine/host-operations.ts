/**
 * What the host asks of the machine, carried out on a hart (kernel/host-call.ts): starting programs, moving
 * bytes in and out, waiting for ends, and the files as root sees them.
 *
 * The host names open files and processes by the addresses that it was given. Arguments and results are the
 * host's own: they are not checked as a guest's are.
 */

import { errno } from "../base/errno.ts";
import { decodeUtf8 } from "../base/text.ts";
import { none } from "../heap/record.ts";
import type { SystemCall } from "../kernel/call.ts";
import type { Credentials } from "../kernel/credentials.ts";
import { dropFile, type File, kindOf } from "../kernel/file.ts";
import {
  HOST_ANSWER_AT,
  HOST_CALL_BYTES,
  HostCall,
  hostArgument,
  type HostCallHandler,
  type HostOperation,
} from "../kernel/host-call.ts";
import { batchAfter, beginExit, kernelOf, lockTree, processOf, reap } from "../kernel/process.ts";
import { addSegment, clearSegments, pathAt } from "../kernel/request.ts";
import { sendToProcess, SI, SIG, signalInfo } from "../kernel/signal.ts";
import { Kernel, LIFE, Process } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { resizeTerminal } from "../servers/tty/tty-server.ts";
import { mountAtBoot, mountRoot } from "../servers/vfs/boot.ts";
import { mountHostFolder } from "../servers/vfs/host-folder.ts";
import type { FsContext } from "../servers/vfs/records.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { spawn } from "./host-spawn.ts";

/** Where a path of the host's begins: root's context and identity, no base, path buffer, bytes. */
type Place = [context: FsContext, credentials: Credentials, base: File, path: number, length: number];

/** Copies `length` bytes of the call's buffer, from `offset` on, into path buffer `which`. */
function placeIn(call: SystemCall, record: HostCall, which: number, offset: number, length: number): Place {
  const { tx } = call;
  if (length > 4095) throw errno.ENAMETOOLONG;
  const from = HostCall.buffer.get(tx, record) + offset;
  tx.bytes.set(tx.memoryBytes.subarray(from, from + length), pathAt(tx, which));
  const kernel = kernelOf(tx);
  return [Kernel.hostContext.get(tx, kernel), Kernel.hostCredentials.get(tx, kernel), none(), which, length];
}

/** The path at the beginning of the buffer; its length is argument 0. */
function firstPath(call: SystemCall, record: HostCall): Place {
  return placeIn(call, record, 0, 0, hostArgument(call.tx, record, 0));
}

/** Makes `length` bytes of the buffer, from `offset` on, the request's segments. */
function bufferSegments(call: SystemCall, record: HostCall, offset: number, length: number): void {
  clearSegments(call.tx);
  addSegment(
    call.tx,
    HostCall.buffer.get(call.tx, record) + offset,
    Math.min(length, HOST_CALL_BYTES - offset),
  );
}

/** Mounts what every machine has; each step a transaction, which may wait for the image. */
const start: HostCallHandler = (call) => {
  const { tx } = call;
  mountRoot(tx);
  call.step();
  for (const what of ["dev", "pts", "shm", "proc", "run"] as const) {
    mountAtBoot(tx, what);
    call.step();
  }
  const kernel = kernelOf(tx);
  if (Kernel.hostContext.get(tx, kernel) === 0) {
    Kernel.hostContext.set(tx, kernel, vfs.createContext(tx));
    Kernel.hostCredentials.set(tx, kernel, auth.createInitial(tx));
  }
  return 0;
};

/** read(file, bytes, offset or −1): bytes into the buffer. */
const read: HostCallHandler = (call, record) => {
  const { tx } = call;
  const file = hostArgument(tx, record, 0) as File;
  const length = Math.min(hostArgument(tx, record, 1), HOST_CALL_BYTES);
  bufferSegments(call, record, 0, length);
  return kindOf(tx, file).read(tx, file, length, hostArgument(tx, record, 2), false);
};

/** write(file, bytes, offset or −1): bytes from the buffer; a short count is possible. */
const write: HostCallHandler = (call, record) => {
  const { tx } = call;
  const file = hostArgument(tx, record, 0) as File;
  const length = hostArgument(tx, record, 1);
  bufferSegments(call, record, 0, length);
  return kindOf(tx, file).write(tx, file, length, hostArgument(tx, record, 2), false);
};

const close: HostCallHandler = (call, record) => {
  dropFile(call.tx, hostArgument(call.tx, record, 0) as File);
  return 0;
};

/** wait(pid): the status of a process that the host has started; it is gone afterwards. */
const wait: HostCallHandler = (call, record) => {
  const { tx } = call;
  const kernel = lockTree(tx);
  const process = processOf(tx, hostArgument(tx, record, 0));
  if (process === 0) throw errno.ECHILD;
  if (Process.life.get(tx, process) !== LIFE.ZOMBIE || Process.settled.get(tx, process) === 0) {
    throw call.waitFor(Kernel.hostChildChanged.at(kernel));
  }
  return reap(tx, process);
};

/** kill(pid, signal). Nothing if the process has ended. */
const kill: HostCallHandler = (call, record) => {
  const { tx } = call;
  lockTree(tx);
  const process = processOf(tx, hostArgument(tx, record, 0));
  if (process === 0 || Process.tasks.first(tx, process) === 0) return 0;
  const signal = hostArgument(tx, record, 1);
  if (signal !== 0) sendToProcess(tx, process, signalInfo(signal, SI.USER));
  return 0;
};

/** resize(master, columns, rows). */
const resize: HostCallHandler = (call, record) => {
  const { tx } = call;
  resizeTerminal(
    tx,
    hostArgument(tx, record, 0) as File,
    hostArgument(tx, record, 2),
    hostArgument(tx, record, 1),
  );
  return 0;
};

/** open(path bytes, flags, mode): the open file. */
const open: HostCallHandler = (call, record) => {
  const { tx } = call;
  return vfs.open(
    tx,
    ...firstPath(call, record),
    hostArgument(tx, record, 1),
    hostArgument(tx, record, 2),
    0,
  );
};

/** stat(path bytes, flags): struct stat into the buffer, at HOST_ANSWER_AT. */
const stat: HostCallHandler = (call, record) => {
  const { tx } = call;
  const place = firstPath(call, record);
  bufferSegments(call, record, HOST_ANSWER_AT, 128);
  vfs.stat(tx, ...place, hostArgument(tx, record, 1), 0);
  return 128;
};

/** readdir(directory): struct linux_dirent64 records into the buffer; 0 at the end. */
const readdir: HostCallHandler = (call, record) => {
  const { tx } = call;
  bufferSegments(call, record, 0, HOST_CALL_BYTES);
  return vfs.getdents(tx, hostArgument(tx, record, 0) as File, HOST_CALL_BYTES);
};

const mkdir: HostCallHandler = (call, record) => {
  vfs.mkdir(call.tx, ...firstPath(call, record), hostArgument(call.tx, record, 1));
  return 0;
};

const unlink: HostCallHandler = (call, record) => {
  vfs.unlink(call.tx, ...firstPath(call, record), hostArgument(call.tx, record, 1));
  return 0;
};

/** rename(bytes of the old path, bytes of the new one), which follow each other in the buffer. */
const rename: HostCallHandler = (call, record) => {
  const { tx } = call;
  const [from, to] = [hostArgument(tx, record, 0), hostArgument(tx, record, 1)];
  placeIn(call, record, 1, from, to);
  vfs.rename(tx, ...firstPath(call, record), none(), 1, to, 0);
  return 0;
};

/** symlink(bytes of the path, bytes of the target), which follow each other in the buffer. */
const symlink: HostCallHandler = (call, record) => {
  const { tx } = call;
  const [path, target] = [hostArgument(tx, record, 0), hostArgument(tx, record, 1)];
  placeIn(call, record, 1, path, target);
  vfs.symlink(tx, ...firstPath(call, record), 1, target);
  return 0;
};

/** readlink(path bytes): the target into the buffer, at HOST_ANSWER_AT. */
const readlink: HostCallHandler = (call, record) => {
  const place = firstPath(call, record);
  bufferSegments(call, record, HOST_ANSWER_AT, 4096);
  return vfs.readlink(call.tx, ...place, 4096);
};

const chmod: HostCallHandler = (call, record) => {
  const { tx } = call;
  vfs.chmod(tx, ...firstPath(call, record), hostArgument(tx, record, 1), 0);
  return 0;
};

const chown: HostCallHandler = (call, record) => {
  const { tx } = call;
  vfs.chown(tx, ...firstPath(call, record), hostArgument(tx, record, 1), hostArgument(tx, record, 2), 0);
  return 0;
};

/** Kills every process; done when none is left. */
const shutdown: HostCallHandler = (call) => {
  const { tx } = call;
  const kernel = lockTree(tx);
  const isAlive = (process: Process): boolean => Process.tasks.first(tx, process) !== 0;
  const mustEnd = (process: Process): boolean => isAlive(process) && Process.ending.get(tx, process) === 0;
  for (;;) {
    const { processes } = batchAfter(tx, 0, mustEnd);
    if (processes.length === 0) break;
    for (const process of processes.sort((a, b) => a - b)) beginExit(tx, process, SIG.KILL);
    call.step();
    lockTree(tx);
  }
  if (batchAfter(tx, 0, isAlive, 1).processes.length === 0) return 0;
  throw call.waitFor(Kernel.changed.at(kernel));
};

/** mount(folder number, path bytes, read only, uid, gid): a granted folder of the host. */
const mount: HostCallHandler = (call, record) => {
  const { tx } = call;
  const bytes = new Uint8Array(hostArgument(tx, record, 1));
  const at = HostCall.buffer.get(tx, record);
  bytes.set(tx.memoryBytes.subarray(at, at + bytes.length));
  const [folder, , readOnly, uid, gid] = [0, 1, 2, 3, 4].map((index) => hostArgument(tx, record, index));
  mountHostFolder(tx, folder!, decodeUtf8(bytes), readOnly !== 0, uid!, gid!);
  return 0;
};

const unsupported: HostCallHandler = () => {
  throw errno.ENOSYS;
};

export const hostCallHandlers: { readonly [O in HostOperation]: HostCallHandler } = {
  start,
  spawn,
  wait,
  kill,
  read,
  write,
  close,
  resize,
  open,
  stat,
  readdir,
  mkdir,
  unlink,
  rename,
  symlink,
  readlink,
  chmod,
  chown,
  mount,
  shutdown,
  lookup: unsupported,
};
