/** Files that stand for processes: pidfd_open, pidfd_send_signal, pidfd_getfd (servers/event/pid-file.ts). */

import { errno } from "../base/errno.ts";
import { none } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { CallHandler } from "../kernel/call.ts";
import { addFile, fileAt, getFile, lockFiles } from "../kernel/descriptors.ts";
import { type File, holdFile } from "../kernel/file.ts";
import { lockTree, processOf, taskOf } from "../kernel/process.ts";
import { sendToProcess, SI, SIGNALS_MAX } from "../kernel/signal.ts";
import { Process, Task } from "../kernel/task.ts";
import { createPidFileFile, processOfFile } from "../servers/event/event-server.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { O } from "./abi-file.ts";
import { type CallRow, flagSet, full, partial } from "./row.ts";
import { descriptorLimit } from "./sys-descriptor.ts";
import { maySend, readInfo, userInfo } from "./sys-signal.ts";

const pidfdOpen: CallHandler = (call) => {
  const { tx, task } = call;
  const pid = call.int(0);
  const flags = call.uint(1);
  call.refuseUnknown(flags, O.NONBLOCK);
  if (pid <= 0) throw errno.EINVAL;
  lockTree(tx);
  const process = processOf(tx, pid);
  // A thread that leads no process is not meant by this call.
  if (process === 0) throw taskOf(tx, pid) === 0 ? errno.ESRCH : errno.ENOENT;
  const table = lockFiles(tx, task);
  const file = createPidFileFile(tx, process, flags & O.NONBLOCK);
  return addFile(tx, table, file, true, descriptorLimit(call));
};

/** Linux takes the directory /proc/PID, which is older than pidfds, for one. With the tree locked. */
function processMeant(tx: Transaction, file: File): Process {
  const pid = vfs.processOfDirectory(tx, file);
  if (pid < 0) return processOfFile(tx, file);
  return pid === 0 ? none() : processOf(tx, pid);
}

const pidfdSendSignal: CallHandler = (call) => {
  const { tx, task } = call;
  const signal = call.int(1);
  call.refuseUnknown(call.uint(3), 0);
  lockTree(tx);
  const process = processMeant(tx, getFile(tx, task, call.int(0)));
  if (signal < 0 || signal > SIGNALS_MAX) throw errno.EINVAL;
  const isSelf = process === call.process;
  const info =
    call.address(2) === 0 ? userInfo(call, signal, SI.USER) : readInfo(call, call.address(2), signal, isSelf);
  if (info.signal !== signal) throw errno.EINVAL;
  if (process === 0) throw errno.ESRCH;
  if (!maySend(call, process, signal)) throw errno.EPERM;
  if (signal !== 0 && Process.tasks.first(tx, process) !== 0) sendToProcess(tx, process, info);
  return 0;
};

const pidfdGetfd: CallHandler = (call) => {
  const { tx, task } = call;
  call.refuseUnknown(call.uint(2), 0);
  lockTree(tx);
  const process = processOfFile(tx, getFile(tx, task, call.int(0)));
  const target = process === 0 ? (0 as Task) : Process.tasks.first(tx, process);
  if (target === 0) throw errno.ESRCH;
  if (!maySend(call, process, 0)) throw errno.EPERM;
  const own = Task.files.get(tx, task);
  const other = Task.files.get(tx, target);
  if (other === 0) throw errno.ESRCH;
  // Two tables: by rising address.
  if (other < own) lockFiles(tx, target);
  const table = lockFiles(tx, task);
  if (other > own) lockFiles(tx, target);
  const file = fileAt(tx, other, call.int(1));
  if (file === 0) throw errno.EBADF;
  holdFile(tx, file);
  return addFile(tx, table, file, true, descriptorLimit(call));
};

const FLAGS = flagSet({ PIDFD_NONBLOCK: O.NONBLOCK });

export const pidfdRows: readonly CallRow[] = [
  full(424, "pidfd_send_signal", ["fd", "signal", "address", "hex"], pidfdSendSignal),
  partial(434, "pidfd_open", ["pid", FLAGS], "no threads (PIDFD_THREAD)", pidfdOpen),
  partial(
    438,
    "pidfd_getfd",
    ["fd", "fd", "hex"],
    "asks for the right to send signals, not to trace",
    pidfdGetfd,
  ),
];
