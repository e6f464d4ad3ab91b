/**
 * What procfs and devpts ask of the personality, registered when this module is loaded: which processes,
 * descriptors and terminals there are, and what the files of /proc say.
 *
 * It is asked with locks held that rank behind those of processes, so it reads without locks and answers
 * "nothing" for a record that is not live.
 */

import { decodeUtf8 } from "../base/text.ts";
import { SLOT } from "../heap/layout.ts";
import { each } from "../heap/list.ts";
import { none } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { Credentials } from "../kernel/credentials.ts";
import { fileAt, FileTable, nextDescriptor } from "../kernel/descriptors.ts";
import { File, FILE_KINDS } from "../kernel/file.ts";
import { PID_MAX, processOf, taskOf } from "../kernel/process.ts";
import { Process, Task } from "../kernel/task.ts";
import { terminalAt, terminalIndices, Tty } from "../servers/tty/tty.ts";
import { pathFrom } from "../servers/vfs/paths.ts";
import { registerProcSource } from "../servers/vfs/proc/source.ts";
import { registerPtsSource } from "../servers/vfs/pts.ts";
import { Dirent, FsContext, type Mount } from "../servers/vfs/records.ts";
import { machineText } from "./proc-machine.ts";
import { mappedFiles, mapsText, rollupText, smapsText, statmText } from "./proc-memory.ts";
import {
  argumentsOf,
  commandName,
  environmentOf,
  limitsText,
  pagesOfSubject,
  spaceOf,
  statText,
  statusText,
  type Subject,
} from "./proc-process.ts";

/** Group "tty" of Debian, which owns the slaves of pseudo-terminals (mount option gid=5). */
const TTY_GROUP = 5;

function callerOf(tx: Transaction): Task {
  return tx.words[tx.slotAt + SLOT.owner]! as Task;
}

/** The process of a pid with its task `tid` (0: its first one); undefined if it is gone. */
function subjectOf(tx: Transaction, pid: number, tid: number): Subject | undefined {
  const process = processOf(tx, pid);
  if (process === 0 || !Process.isLive(tx, process)) return undefined;
  const task = tid === 0 ? Process.tasks.first(tx, process) : taskOf(tx, tid);
  if (task !== 0 && (!Task.isLive(tx, task) || Task.process.get(tx, task) !== process)) return undefined;
  if (task === 0 && tid !== 0) return undefined;
  return { process, task };
}

function tableOf(tx: Transaction, pid: number): FileTable {
  const task = subjectOf(tx, pid, 0)?.task ?? none<"task">();
  const table = task === 0 ? none<"file-table">() : Task.files.get(tx, task);
  return FileTable.isLive(tx, table) ? table : none();
}

function fileOf(tx: Transaction, pid: number, descriptor: number): File {
  const table = tableOf(tx, pid);
  const file = table === 0 ? none<"file">() : fileAt(tx, table, descriptor);
  return File.isLive(tx, file) ? file : none();
}

interface Place {
  readonly mount: Mount;
  readonly entry: Dirent;
}

function placeOf(tx: Transaction, pid: number, name: string): Place | undefined {
  const subject = subjectOf(tx, pid, 0);
  if (subject === undefined) return undefined;
  if (name === "exe") {
    const file = Process.executable.get(tx, subject.process);
    if (!File.isLive(tx, file) || File.entry.get(tx, file) === 0) return undefined;
    return { mount: File.mount.get(tx, file), entry: File.entry.get(tx, file) };
  }
  const context = subject.task === 0 ? none<"fs-context">() : Task.fs.get(tx, subject.task);
  if (!FsContext.isLive(tx, context)) return undefined;
  if (name === "cwd")
    return { mount: FsContext.cwdMount.get(tx, context), entry: FsContext.cwd.get(tx, context) };
  return { mount: FsContext.rootMount.get(tx, context), entry: FsContext.root.get(tx, context) };
}

/** The path of an open file as the asking task sees it; "" if it has none. */
function pathOf(tx: Transaction, file: File): string {
  const caller = callerOf(tx);
  const context = caller === 0 ? none<"fs-context">() : Task.fs.get(tx, caller);
  const entry = File.entry.get(tx, file);
  if (context === 0 || entry === 0 || !Dirent.isLive(tx, entry)) return "";
  const root = { mount: FsContext.rootMount.get(tx, context), entry: FsContext.root.get(tx, context) };
  return decodeUtf8(pathFrom(tx, root, { mount: File.mount.get(tx, file), entry }));
}

function describe(tx: Transaction, file: File): string {
  const kind = FILE_KINDS[File.kind.get(tx, file)] ?? "none";
  const object = File.object.get(tx, file);
  if (kind === "tty" && Tty.isLive(tx, object)) return `/dev/pts/${Tty.index.get(tx, object as Tty)}`;
  if (kind === "pipe" || kind === "fifo") return `pipe:[${object}]`;
  if (kind === "socket") return `socket:[${object}]`;
  // Linux gives inotify's no brackets.
  return kind === "inotify" ? "anon_inode:inotify" : `anon_inode:[${kind}]`;
}

const IO_NAMES = ["rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"];

function childrenText(tx: Transaction, process: Process): string {
  let text = "";
  for (const child of each(tx, Process.children, process, Process.siblings))
    text += `${Process.pid.get(tx, child)} `;
  return text;
}

function taskText(tx: Transaction, pid: number, tid: number, name: string): string | Uint8Array | undefined {
  const subject = subjectOf(tx, pid, tid);
  if (subject === undefined) return undefined;
  switch (name) {
    case "stat":
      return statText(tx, subject, tid !== 0);
    case "status":
      return statusText(tx, subject, tid !== 0);
    case "statm":
      return statmText(pagesOfSubject(tx, subject));
    case "comm":
      return `${commandName(tx, subject)}\n`;
    case "cmdline":
      return argumentsOf(tx, subject);
    case "environ":
      return environmentOf(tx, subject);
    case "maps":
    case "smaps":
    case "smaps_rollup": {
      const space = spaceOf(tx, subject);
      if (space === 0) return "";
      if (name === "smaps_rollup") return rollupText(tx, space);
      return (name === "maps" ? mapsText : smapsText)(tx, space, (file) => pathOf(tx, file));
    }
    case "io":
      // What a process moves is not counted.
      return IO_NAMES.map((each) => `${each}: 0\n`).join("");
    case "children":
      return childrenText(tx, subject.process);
    case "syscall":
      return "running\n";
    case "limits":
      return limitsText(tx, subject);
    case "oom_score":
    case "oom_score_adj":
    case "oom_adj":
      return "0\n";
    case "wchan":
      return "0";
    case "cgroup":
      return "0::/\n";
    case "loginuid":
    case "sessionid":
      return "4294967295";
    case "personality":
      return "00000000\n";
    case "schedstat":
      return "0 0 0\n";
    case "uid_map":
    case "gid_map":
      return "         0          0 4294967295\n";
    case "setgroups":
      return "allow\n";
    default:
      return "";
  }
}

registerProcSource({
  self(tx) {
    const task = callerOf(tx);
    if (task === 0) return { pid: 1, tid: 1 };
    const process = Task.process.get(tx, task);
    return process === 0
      ? { pid: 1, tid: 1 }
      : { pid: Process.pid.get(tx, process), tid: Task.tid.get(tx, task) };
  },
  nextProcess(tx, after) {
    for (let pid = after + 1; pid <= PID_MAX; pid++) if (processOf(tx, pid) !== 0) return pid;
    return 0;
  },
  isProcess: (tx, pid) => subjectOf(tx, pid, 0) !== undefined,
  serial(tx, pid) {
    const process = subjectOf(tx, pid, 0)?.process;
    return process === undefined ? 0 : Process.serial.get(tx, process);
  },
  tasks(tx, pid) {
    const process = processOf(tx, pid);
    if (process === 0 || !Process.isLive(tx, process)) return [];
    const tids: number[] = [];
    for (const task of each(tx, Process.tasks, process, Task.taskLinks)) tids.push(Task.tid.get(tx, task));
    return tids.sort((a, b) => a - b);
  },
  owner(tx, pid) {
    const task = subjectOf(tx, pid, 0)?.task ?? none<"task">();
    const who = task === 0 ? none<"credentials">() : Task.credentials.get(tx, task);
    if (!Credentials.isLive(tx, who)) return { uid: 0, gid: 0 };
    return { uid: Credentials.effectiveUid.get(tx, who), gid: Credentials.effectiveGid.get(tx, who) };
  },
  text: taskText,
  place: placeOf,
  descriptors(tx, pid) {
    const table = tableOf(tx, pid);
    const open: number[] = [];
    if (table === 0) return open;
    for (let fd = nextDescriptor(tx, table, 0); fd >= 0; fd = nextDescriptor(tx, table, fd + 1))
      open.push(fd);
    return open;
  },
  file: fileOf,
  mappings(tx, pid) {
    const subject = subjectOf(tx, pid, 0);
    const space = subject === undefined ? none<"address-space">() : spaceOf(tx, subject);
    return space === 0 ? [] : mappedFiles(tx, space);
  },
  describe,
  machineText,
  write(tx, pid, path, text) {
    // What programs set here has no effect: the out-of-memory score, and the name, which prctl(2) sets as well.
    if (path === "comm") return setName(tx, pid, text);
    return path === "oom_score_adj" || path === "oom_adj" || path === "loginuid";
  },
});

function setName(tx: Transaction, pid: number, text: string): boolean {
  const task = subjectOf(tx, pid, 0)?.task ?? none<"task">();
  if (task === 0) return false;
  const padded = new DataView(new ArrayBuffer(16));
  const name = text.replace(/\n$/, "");
  for (let i = 0; i < Math.min(name.length, 15); i++) padded.setUint8(i, name.charCodeAt(i) & 0xff);
  for (let i = 0; i < 4; i++) Task.name.set(tx, task, i, padded.getInt32(i * 4, true));
  return true;
}

registerPtsSource({
  indexes: (tx) => terminalIndices(tx),
  terminal(tx, index) {
    const tty = terminalAt(tx, index);
    return tty === 0 ? undefined : { generation: tty, uid: Tty.owner.get(tx, tty), gid: TTY_GROUP };
  },
});
