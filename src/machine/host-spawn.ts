/**
 * The host starts a program: the operation "spawn".
 *
 * A series of transactions. The new task hangs from the call's own task (Task.child) while it is built, and
 * what has been built is seen there: a call that is run again goes on where it was. When the program cannot
 * be loaded, or the call is poison, all that is given up (cancelSpawn).
 *
 * The buffer holds a JSON object (SpawnPayload). Results: pid, then the open files that are the host's ends:
 * standard input, output, error; or the master of the terminal in place of the first two.
 */

import { Errno, errno } from "../base/errno.ts";
import { decodeUtf8, encodeUtf8 } from "../base/text.ts";
import { none } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { SLOT } from "../heap/layout.ts";
import type { SystemCall } from "../kernel/call.ts";
import { Credentials } from "../kernel/credentials.ts";
import { addFile, createFileTable, fileAt, FileTable } from "../kernel/descriptors.ts";
import { dropFile, File, kindOf } from "../kernel/file.ts";
import { HOST_CALL_BYTES, HostCall, type HostCallHandler, registerHostCancel } from "../kernel/host-call.ts";
import { buildTask, createProcess, discardStep, enrollTask, kernelOf, lockTree } from "../kernel/process.ts";
import { addSegment, clearSegments, pathAt } from "../kernel/request.ts";
import { startTask } from "../kernel/scheduler.ts";
import { ATTENTION, Kernel, Limits, Process, SignalHandlers, Task } from "../kernel/task.ts";
import { loadProgram } from "../linux/exec.ts";
import { initialLimits } from "../linux/sys-process.ts";
import { auth } from "../servers/auth/auth.ts";
import { createPipe } from "../servers/pipe/pipe-server.ts";
import { openPtmx, resizeTerminal, terminalIndex } from "../servers/tty/tty-server.ts";
import type { FsContext } from "../servers/vfs/records.ts";
import { vfs } from "../servers/vfs/vfs.ts";

/** What the host says about the program to be started. */
export interface SpawnPayload {
  readonly argv: readonly string[];
  /** `NAME=value` each. */
  readonly env: readonly string[];
  /** Folders in which a command without a slash is looked for, in order. */
  readonly path: readonly string[];
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** A terminal of this size. */
  readonly tty?: { readonly columns: number; readonly rows: number };
}

/** Results of the call, by index. */
export const SPAWN_RESULT = { pid: 0, input: 1, output: 2, error: 3 } as const;

const O_RDWR = 2;
const O_NOCTTY = 0o400;
const TIOCSCTTY = 0x540e;
const TIOCSPTLCK = 0x4004_5431;
const NOFILE = 1024;

export const spawn: HostCallHandler = (call, record) => {
  const { tx, task } = call;
  const at = HostCall.buffer.get(tx, record);
  const payload = JSON.parse(
    decodeUtf8(tx.memoryBytes.subarray(at, at + HostCall.length.get(tx, record))),
  ) as SpawnPayload;
  if (Task.child.get(tx, task) === 0) {
    build(call, record, payload);
    call.step();
  }
  const child = Task.child.get(tx, task);
  const table = Task.files.get(tx, child);
  if (fileAt(tx, table, 0) === 0) {
    if (payload.tty === undefined) givePipes(tx, record, table);
    else {
      if (HostCall.results.get(tx, record, SPAWN_RESULT.input) === 0) {
        makeTerminal(tx, record, payload.tty, payload.uid);
        call.step();
      }
      giveTerminal(tx, record, table);
    }
    call.step();
  }
  if (Task.process.get(tx, child) === 0) {
    enrol(call, record, child);
    call.step();
  }
  const process = Task.process.get(tx, child);
  if (Process.hasExecuted.get(tx, process) === 0) {
    if (payload.tty !== undefined && Process.terminal.get(tx, process) === 0) {
      takeTerminal(tx, child, fileAt(tx, table, 0));
      call.step();
    }
    enterFolder(call, child, payload.cwd);
    load(call, child, payload);
  }
  Task.child.set(tx, task, none());
  startTask(tx, child);
  return 0;
};

/** The program cannot be started: its task goes, or is started only to end, and the host's ends are closed. */
function cancelSpawn(tx: Transaction, record: HostCall): boolean {
  const task = HostCall.task.get(tx, record);
  const child = Task.child.get(tx, task);
  if (child !== 0) {
    const process = Task.process.get(tx, child);
    if (process === 0) {
      if (discardStep(tx, child)) Task.child.set(tx, task, none());
      return false;
    }
    lockTree(tx);
    Process.signals.acquire(tx, process);
    Task.attention.set(tx, child, Task.attention.get(tx, child) | ATTENTION.EXIT);
    Process.hostHandle.set(tx, process, 0);
    Task.child.set(tx, task, none());
    startTask(tx, child);
    return false;
  }
  const { input, output, error } = SPAWN_RESULT;
  const master = HostCall.results.get(tx, record, input);
  for (const index of [output, error, input]) {
    const file = HostCall.results.get(tx, record, index) as File;
    if (file === 0) continue;
    HostCall.results.set(tx, record, index, 0);
    // A terminal's master is input and output, and one reference.
    if (index === output && file === master) continue;
    dropFile(tx, file);
    return false;
  }
  return true;
}

registerHostCancel("spawn", cancelSpawn);

/** A task with identity, an empty table of descriptors, and a context at the root of the machine. */
function build(call: SystemCall, record: HostCall, payload: SpawnPayload): void {
  const { tx, task } = call;
  const child = buildTask(tx);
  Task.child.set(tx, task, child);
  Task.files.init(tx, child, createFileTable(tx));
  Task.fs.init(tx, child, vfs.createContext(tx));
  let credentials = auth.createInitial(tx);
  const change = (made: number): void => {
    auth.drop(tx, credentials);
    credentials = made as Credentials;
  };
  if (payload.uid !== 0 || payload.gid !== 0 || payload.groups.length > 0) {
    const raw = new Uint8Array(Uint32Array.from(payload.groups).buffer);
    const at = HostCall.buffer.get(tx, record) + HOST_CALL_BYTES - 4096;
    tx.memoryBytes.set(raw, at);
    clearSegments(tx);
    if (raw.length > 0) addSegment(tx, at, raw.length);
    change(auth.setgroups(tx, credentials, payload.groups.length));
    change(auth.setresgid(tx, credentials, payload.gid, payload.gid, payload.gid));
    change(auth.setresuid(tx, credentials, payload.uid, payload.uid, payload.uid));
  }
  Task.credentials.init(tx, child, credentials);
}

function keep(tx: Transaction, record: HostCall, index: number, file: number): void {
  HostCall.results.set(tx, record, index, file);
}

/** Descriptors 0, 1 and 2 are pipes whose other ends the host keeps. */
function givePipes(tx: Transaction, record: HostCall, table: FileTable): void {
  FileTable.lock.acquire(tx, table);
  const [inputReader, inputWriter] = createPipe(tx, 0);
  const [outputReader, outputWriter] = createPipe(tx, 0);
  const [errorReader, errorWriter] = createPipe(tx, 0);
  addFile(tx, table, inputReader, false, NOFILE);
  addFile(tx, table, outputWriter, false, NOFILE);
  addFile(tx, table, errorWriter, false, NOFILE);
  keep(tx, record, SPAWN_RESULT.input, inputWriter);
  keep(tx, record, SPAWN_RESULT.output, outputReader);
  keep(tx, record, SPAWN_RESULT.error, errorReader);
}

/** A terminal whose master the host keeps. */
function makeTerminal(
  tx: Transaction,
  record: HostCall,
  size: { readonly columns: number; readonly rows: number },
  owner: number,
): void {
  const master = openPtmx(tx, O_RDWR | O_NOCTTY, owner);
  unlock(tx, record, master);
  resizeTerminal(tx, master, size.rows, size.columns);
  keep(tx, record, SPAWN_RESULT.input, master);
  keep(tx, record, SPAWN_RESULT.output, master);
  keep(tx, record, SPAWN_RESULT.error, 0);
}

/** Descriptors 0, 1 and 2 are the terminal, opened by its name, which ttyname(3) and fstat(2) are to find. */
function giveTerminal(tx: Transaction, record: HostCall, table: FileTable): void {
  FileTable.lock.acquire(tx, table);
  const master = HostCall.results.get(tx, record, SPAWN_RESULT.input) as File;
  const name = encodeUtf8(`/dev/pts/${terminalIndex(tx, master).index}`);
  tx.bytes.set(name, pathAt(tx, 0));
  const kernel = kernelOf(tx);
  const [fs, identity] = [Kernel.hostContext.get(tx, kernel), Kernel.hostCredentials.get(tx, kernel)];
  const slave = vfs.open(tx, fs, identity, none(), 0, name.length, O_RDWR | O_NOCTTY, 0, 0);
  // Nobody else knows the file yet: its count needs no lock, which would rank before those that are held.
  File.references.init(tx, slave, 3);
  for (let descriptor = 0; descriptor < 3; descriptor++) addFile(tx, table, slave, false, NOFILE);
}

/** What grantpt and unlockpt do: the slave may be opened. */
function unlock(tx: Transaction, record: HostCall, master: File): void {
  const zero = HostCall.buffer.get(tx, record) + HOST_CALL_BYTES - 4;
  tx.memoryBytes.fill(0, zero, zero + 4);
  clearSegments(tx);
  addSegment(tx, zero, 4);
  kindOf(tx, master).ioctl?.(tx, master, TIOCSPTLCK, 0);
}

/** Makes the task the first of a new process, leader of its own session. */
function enrol(call: SystemCall, record: HostCall, child: Task): void {
  const { tx } = call;
  const kernel = lockTree(tx);
  const process = createProcess(tx, Kernel.init.get(tx, kernel), call.now());
  const pid = Process.pid.get(tx, process);
  Process.group.set(tx, process, pid);
  Process.session.set(tx, process, pid);
  Process.hostHandle.set(tx, process, 1);
  Process.uid.set(tx, process, Credentials.uid.get(tx, Task.credentials.get(tx, child)));
  const limits = Limits.allocate(tx);
  const values = new Int32Array(initialLimits().buffer);
  for (const [index, value] of values.entries()) Limits.values.init(tx, limits, index, value);
  Process.limits.set(tx, process, limits);
  const handlers = SignalHandlers.allocate(tx);
  SignalHandlers.references.init(tx, handlers, 1);
  Process.handlers.set(tx, process, handlers);
  enrollTask(tx, process, child);
  HostCall.results.set(tx, record, SPAWN_RESULT.pid, pid);
}

/** Makes the terminal the controlling one of the new process's session. */
function takeTerminal(tx: Transaction, child: Task, slave: File): void {
  const owner = tx.slotAt + SLOT.owner;
  tx.words[owner] = child;
  try {
    kindOf(tx, slave).ioctl?.(tx, slave, TIOCSCTTY, 0);
  } finally {
    tx.words[owner] = 0;
  }
}

function placeFor(
  tx: Transaction,
  child: Task,
  path: string,
): [FsContext, Credentials, File, number, number] {
  const bytes = encodeUtf8(path);
  if (bytes.length > 4095) throw errno.ENAMETOOLONG;
  tx.bytes.set(bytes, pathAt(tx, 0));
  return [Task.fs.get(tx, child), Task.credentials.get(tx, child), none(), 0, bytes.length];
}

/** The working folder, made if it is missing. */
function enterFolder(call: SystemCall, child: Task, cwd: string): void {
  const { tx } = call;
  try {
    vfs.chdir(tx, ...placeFor(tx, child, cwd));
    call.step();
    return;
  } catch (error) {
    if (error !== errno.ENOENT) throw error;
    tx.rollback();
  }
  const kernel = kernelOf(tx);
  const parts = cwd.split("/").filter((part) => part !== "");
  for (let i = 1; i <= parts.length; i++) {
    try {
      const place = placeFor(tx, child, `/${parts.slice(0, i).join("/")}`);
      place[1] = Kernel.hostCredentials.get(tx, kernel);
      vfs.mkdir(tx, ...place, 0o755);
      call.step();
    } catch (error) {
      if (error !== errno.EEXIST) throw error;
      tx.rollback();
    }
  }
  vfs.chdir(tx, ...placeFor(tx, child, cwd));
  call.step();
}

/** Finds the command as a shell does, and loads it. ENOENT if it is nowhere, EACCES if it may not be run. */
function load(call: SystemCall, child: Task, payload: SpawnPayload): void {
  const { tx } = call;
  const command = payload.argv[0] ?? "";
  const candidates = command.includes("/") ? [command] : payload.path.map((folder) => `${folder}/${command}`);
  const argv = payload.argv.map(encodeUtf8);
  const envp = payload.env.map(encodeUtf8);
  let refused: Errno = errno.ENOENT;
  for (const candidate of candidates) {
    try {
      const place = placeFor(tx, child, candidate);
      loadProgram(tx, child, { place, name: encodeUtf8(candidate), argv, envp });
      return;
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      tx.rollback();
      if (error !== errno.ENOENT && error !== errno.ENOTDIR) refused = error;
    }
  }
  throw refused;
}
