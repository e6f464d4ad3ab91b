/**
 * clone, clone3: making tasks and processes.
 *
 * A series of transactions. The new task is built apart, hanging from `Task.child` of its maker, with what it
 * shares or copies; the descriptors and the address space are copied in bounded steps. The last step enrols
 * it, where it becomes visible, and starts it. Cancel: when the maker ends, so does what it was building.
 */

import { errno, Errno } from "../base/errno.ts";
import { REG_ROOT, REGISTER_FILE_BYTES, REG_KERNEL } from "../base/hart-abi.ts";
import { each } from "../heap/list.ts";
import { none } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { CallHandler, SystemCall } from "../kernel/call.ts";
import { addFile, copyFilesStep, createFileTable, holdFileTable, lockFiles } from "../kernel/descriptors.ts";
import { holdSpace, spaceRoot } from "../kernel/memory/address-space.ts";
import { holdFile } from "../kernel/file.ts";
import { beginFork, forkStep } from "../kernel/memory/fork.ts";
import { MORE } from "../kernel/memory/change.ts";
import {
  buildTask,
  createProcess,
  discardStep,
  admitTask,
  enrollTask,
  kernelOf,
  lockTree,
  processOf,
} from "../kernel/process.ts";
import { pc, setPc, setX, X } from "../kernel/registers.ts";
import { startTask } from "../kernel/scheduler.ts";
import { ATTENTION, Kernel, LIFE, Limits, Process, SignalHandlers, Task } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { CAP } from "../servers/auth/capabilities.ts";
import { createPidFileFile } from "../servers/event/event-server.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { RLIMIT } from "./abi-memory.ts";
import { softLimit } from "./limits.ts";
import { type CallRow, flagSet, partial } from "./row.ts";
import { readStruct, writeUser } from "./user.ts";

export const CLONE = {
  CLONE_VM: 0x100,
  CLONE_FS: 0x200,
  CLONE_FILES: 0x400,
  CLONE_SIGHAND: 0x800,
  CLONE_PIDFD: 0x1000,
  CLONE_VFORK: 0x4000,
  CLONE_PARENT: 0x8000,
  CLONE_THREAD: 0x1_0000,
  CLONE_NEWNS: 0x2_0000,
  CLONE_SYSVSEM: 0x4_0000,
  CLONE_SETTLS: 0x8_0000,
  CLONE_PARENT_SETTID: 0x10_0000,
  CLONE_CHILD_CLEARTID: 0x20_0000,
  CLONE_UNTRACED: 0x80_0000,
  CLONE_CHILD_SETTID: 0x100_0000,
  CLONE_IO: 0x8000_0000,
} as const;
const CSIGNAL = 0xff;
const KNOWN = Object.values(CLONE).reduce((all, flag) => all | flag, CSIGNAL) & ~CLONE.CLONE_NEWNS;
/** Size of struct clone_args, first version. */
const CLONE_ARGS_BYTES = 64;

interface CloneRequest {
  readonly flags: number;
  /** Top of the new stack, 0: the same as the caller's. */
  readonly stack: number;
  readonly parentTid: number;
  readonly tls: number;
  readonly childTid: number;
  readonly exitSignal: number;
  /** Where the descriptor of CLONE_PIDFD goes. */
  readonly pidFd: number;
}

/** Phases of Task.progressDetail while a clone is under way. */
const PHASE = { IDENTITY: 1, FILES: 2, SPACE: 3, ENROL: 4 } as const;

function checkFlags(flags: number): void {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if ((flags & ~KNOWN) !== 0) throw errno.EINVAL;
  if (has(CLONE.CLONE_SIGHAND) && !has(CLONE.CLONE_VM)) throw errno.EINVAL;
  if (has(CLONE.CLONE_THREAD) && !has(CLONE.CLONE_SIGHAND)) throw errno.EINVAL;
  // A file stands for a process, not for a thread.
  if (has(CLONE.CLONE_PIDFD) && has(CLONE.CLONE_THREAD)) throw errno.EINVAL;
}

/** Begins: a task with its table of descriptors and its address space, shared or still to be copied. */
function build(call: SystemCall, flags: number): void {
  const { tx, task } = call;
  const child = buildTask(tx);
  Task.child.set(tx, task, child);
  Task.progressDetail.set(tx, task, PHASE.IDENTITY);
  const files = Task.files.get(tx, task);
  if ((flags & CLONE.CLONE_FILES) !== 0) {
    holdFileTable(tx, files);
    Task.files.init(tx, child, files);
  } else Task.files.init(tx, child, createFileTable(tx));
  const space = Task.space.get(tx, task);
  if ((flags & CLONE.CLONE_VM) !== 0) {
    holdSpace(tx, space);
    Task.space.init(tx, child, space);
  } else Task.space.init(tx, child, beginFork(tx, space, task));
  call.step();
}

/** Where the task is in the file system, and who it is. */
function giveIdentity(call: SystemCall, flags: number): void {
  const { tx, task } = call;
  const child = Task.child.get(tx, task);
  const context = Task.fs.get(tx, task);
  if ((flags & CLONE.CLONE_FS) !== 0) {
    vfs.holdContext(tx, context);
    Task.fs.set(tx, child, context);
  } else Task.fs.set(tx, child, vfs.copyContext(tx, context));
  const credentials = Task.credentials.get(tx, task);
  auth.hold(tx, credentials);
  Task.credentials.set(tx, child, credentials);
  Task.progressDetail.set(tx, task, PHASE.FILES);
  call.step();
}

/** Copies the caller's registers; nobody sees the new file before the task is started. */
function copyRegisters(tx: Transaction, from: number, to: number): void {
  const bytes = tx.memoryBytes;
  bytes.copyWithin(to * 4, from * 4, from * 4 + REG_KERNEL);
  bytes.fill(0, to * 4 + REG_KERNEL, to * 4 + REGISTER_FILE_BYTES);
}

function copyLimits(tx: Transaction, from: Process, to: Process): void {
  const source = Process.limits.get(tx, from);
  const copy = Limits.allocate(tx);
  for (let i = 0; i < 64; i++) Limits.values.init(tx, copy, i, Limits.values.get(tx, source, i));
  Process.limits.set(tx, to, copy);
}

/** The new process's signal actions: shared, or a copy. */
function giveHandlers(tx: Transaction, from: Process, to: Process, shared: boolean): void {
  const source = Process.handlers.get(tx, from);
  SignalHandlers.lock.acquire(tx, source);
  if (shared) {
    SignalHandlers.references.set(tx, source, SignalHandlers.references.get(tx, source) + 1);
    Process.handlers.set(tx, to, source);
    return;
  }
  const copy = SignalHandlers.allocate(tx);
  SignalHandlers.references.init(tx, copy, 1);
  const at = SignalHandlers.actions.word;
  tx.words.copyWithin(copy + at, source + at, source + at + SignalHandlers.actions.words);
  Process.handlers.set(tx, to, copy);
}

/** Throws EAGAIN if the caller's user has as many tasks as RLIMIT_NPROC allows. With the tree lock held. */
function checkTaskLimit(call: SystemCall): void {
  const { tx, task, process } = call;
  const limit = softLimit(call, RLIMIT.NPROC);
  const uid = Process.uid.get(tx, process);
  if (limit === Number.POSITIVE_INFINITY || uid === 0) return;
  const credentials = Task.credentials.get(tx, task);
  for (const capability of [CAP.SYS_RESOURCE, CAP.SYS_ADMIN]) {
    if (auth.isCapable(tx, credentials, capability) !== 0) return;
  }
  let count = 0;
  for (const other of each(tx, Kernel.all, kernelOf(tx), Process.allLinks)) {
    // A zombie counts as one until it is reaped.
    if (Process.uid.get(tx, other) === uid) count += Math.max(1, Process.taskCount.get(tx, other));
  }
  if (count >= limit) throw errno.EAGAIN;
}

/** The last step: makes the task visible and starts it. Returns its tid. */
function enrol(call: SystemCall, request: CloneRequest): number {
  const { tx, task, process } = call;
  const { flags } = request;
  const child = Task.child.get(tx, task);
  lockTree(tx);
  checkTaskLimit(call);
  let home = process;
  if ((flags & CLONE.CLONE_THREAD) === 0) {
    const parent = (flags & CLONE.CLONE_PARENT) !== 0 ? Process.parent.get(tx, process) : process;
    home = createProcess(tx, parent, call.now());
    Process.group.set(tx, home, Process.group.get(tx, process));
    Process.session.set(tx, home, Process.session.get(tx, process));
    Process.terminal.set(tx, home, Process.terminal.get(tx, process));
    Process.exitSignal.set(tx, home, request.exitSignal);
    Process.uid.set(tx, home, Process.uid.get(tx, process));
    Process.noNewPrivileges.set(tx, home, Process.noNewPrivileges.get(tx, process));
    Process.nice.set(tx, home, Process.nice.get(tx, process));
    copyLimits(tx, process, home);
    giveHandlers(tx, process, home, (flags & CLONE.CLONE_SIGHAND) !== 0);
    const table = (flags & CLONE.CLONE_PIDFD) !== 0 ? lockFiles(tx, task) : none<"file-table">();
    const executable = Process.executable.get(tx, process);
    if (executable !== 0) holdFile(tx, executable);
    Process.executable.set(tx, home, executable);
    if (table !== 0) {
      const file = createPidFileFile(tx, home, 0);
      const descriptor = addFile(tx, table, file, true, softLimit(call, RLIMIT.NOFILE));
      writeUser(call, request.pidFd, new Int32Array([descriptor]));
    }
  } else admitTask(tx, process, task, child);
  enrollTask(tx, home, child);
  const tid = Task.tid.get(tx, child);
  const registers = Task.registers.get(tx, child);
  copyRegisters(tx, call.registers, registers);
  setX(tx, registers, X.a0, 0);
  setPc(tx, registers, pc(tx, call.registers) + 4);
  if (request.stack !== 0) setX(tx, registers, X.sp, request.stack);
  if ((flags & CLONE.CLONE_SETTLS) !== 0) setX(tx, registers, X.tp, request.tls);
  tx.storeMemory(registers + (REG_ROOT >> 2), spaceRoot(tx, Task.space.get(tx, child)) | 0);
  for (let word = 0; word < 2; word++) Task.mask.set(tx, child, word, Task.mask.get(tx, task, word));
  for (let word = 0; word < 4; word++) Task.name.set(tx, child, word, Task.name.get(tx, task, word));
  Task.personality.set(tx, child, Task.personality.get(tx, task));
  Task.affinity.set(tx, child, Task.affinity.get(tx, task));
  if ((flags & CLONE.CLONE_VM) === 0 || (flags & CLONE.CLONE_VFORK) !== 0) {
    Task.stackBase.set(tx, child, Task.stackBase.get(tx, task));
    Task.stackSize.set(tx, child, Task.stackSize.get(tx, task));
    Task.stackFlags.set(tx, child, Task.stackFlags.get(tx, task));
  }
  if ((flags & CLONE.CLONE_CHILD_CLEARTID) !== 0) Task.clearTid.set(tx, child, request.childTid);
  if ((flags & CLONE.CLONE_CHILD_SETTID) !== 0) {
    Task.setTid.set(tx, child, request.childTid);
    Task.attention.set(tx, child, Task.attention.get(tx, child) | ATTENTION.BEGIN);
  }
  if ((flags & CLONE.CLONE_PARENT_SETTID) !== 0) {
    writeUser(call, request.parentTid, new Uint32Array([tid]));
  }
  Task.child.set(tx, task, 0 as Task);
  Task.progressDetail.set(tx, task, 0);
  if ((flags & CLONE.CLONE_VFORK) !== 0) Task.vforkPid.set(tx, task, tid);
  startTask(tx, child);
  call.cutTurn();
  return tid;
}

/** Waits until the vfork child has executed another program or ended; its pid. */
function awaitVfork(call: SystemCall): number {
  const { tx, task } = call;
  lockTree(tx);
  const pid = Task.vforkPid.get(tx, task);
  const child = processOf(tx, pid);
  if (
    child !== 0 &&
    Process.life.get(tx, child) !== LIFE.ZOMBIE &&
    Process.hasExecuted.get(tx, child) === 0
  ) {
    throw call.waitFor(Process.released.at(child));
  }
  Task.vforkPid.set(tx, task, 0);
  return pid;
}

function doClone(call: SystemCall, request: CloneRequest): number {
  const { tx, task } = call;
  const { flags } = request;
  if (Task.vforkPid.get(tx, task) !== 0) return awaitVfork(call);
  if (Task.child.get(tx, task) === 0) {
    checkFlags(flags);
    // A real-time signal is queued, and at the end of a process there may be no room for that.
    if (request.exitSignal > 31) throw errno.EINVAL;
    build(call, flags);
  }
  try {
    return finish(call, request);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    tx.rollback();
    while (!discardStep(tx, Task.child.get(tx, task))) call.step();
    Task.child.set(tx, task, 0 as Task);
    Task.progressDetail.set(tx, task, 0);
    return -error.code;
  }
}

/** Goes on with the child that is being built, through its phases; its tid. */
function finish(call: SystemCall, request: CloneRequest): number {
  const { tx, task } = call;
  const { flags } = request;
  const child = Task.child.get(tx, task);
  if (Task.progressDetail.get(tx, task) === PHASE.IDENTITY) giveIdentity(call, flags);
  if (Task.progressDetail.get(tx, task) === PHASE.FILES) {
    if ((flags & CLONE.CLONE_FILES) === 0) {
      while (!copyFilesStep(tx, Task.files.get(tx, task), Task.files.get(tx, child))) call.step();
    }
    Task.progressDetail.set(tx, task, PHASE.SPACE);
    call.step();
  }
  if (Task.progressDetail.get(tx, task) === PHASE.SPACE) {
    if ((flags & CLONE.CLONE_VM) === 0) {
      while (forkStep(tx, Task.space.get(tx, child), task) === MORE) call.step();
    }
    Task.progressDetail.set(tx, task, PHASE.ENROL);
    call.step();
  }
  const tid = enrol(call, request);
  if ((flags & CLONE.CLONE_VFORK) === 0) return tid;
  call.step();
  return awaitVfork(call);
}

const clone: CallHandler = (call) => {
  const both = CLONE.CLONE_PIDFD | CLONE.CLONE_PARENT_SETTID;
  // Both would be written to the same place.
  if ((call.uint(0) & both) === both) throw errno.EINVAL;
  return doClone(call, {
    flags: call.uint(0) & ~CSIGNAL,
    exitSignal: call.uint(0) & CSIGNAL,
    stack: call.address(1),
    parentTid: call.address(2),
    tls: call.address(3),
    childTid: call.address(4),
    pidFd: call.address(2),
  });
};

const clone3: CallHandler = (call) => {
  const size = call.address(1);
  if (size < CLONE_ARGS_BYTES) throw errno.EINVAL;
  if (size > 4096) throw errno.E2BIG;
  const args = readStruct(call, call.address(0), size);
  for (let at = 88; at < size; at++) if (args.getUint8(at) !== 0) throw errno.E2BIG;
  const field = (index: number): number => Number(args.getBigUint64(index * 8, true));
  const flags = field(0);
  if (flags > 0xffff_ffff || (flags & CSIGNAL) !== 0) throw errno.EINVAL;
  const stack = field(5);
  const stackSize = field(6);
  if ((stack === 0) !== (stackSize === 0)) throw errno.EINVAL;
  return doClone(call, {
    flags,
    pidFd: field(1),
    childTid: field(2),
    parentTid: field(3),
    exitSignal: field(4),
    stack: stack + stackSize,
    tls: field(7),
  });
};

const CLONE_FLAGS = flagSet(CLONE);

const NOTE = "no namespaces, no real-time signal for the end";

export const cloneRows: readonly CallRow[] = [
  partial(220, "clone", [CLONE_FLAGS, "address", "address", "address", "address"], NOTE, clone, {
    wait: "enqueue",
    restart: "uninterruptible",
  }),
  partial(435, "clone3", ["address", "unsigned"], NOTE, clone3, {
    wait: "enqueue",
    restart: "uninterruptible",
  }),
];
