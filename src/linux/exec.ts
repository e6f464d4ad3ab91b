/**
 * execve, execveat, and the loading of a first program.
 *
 * An execve is a series of transactions:
 *
 *     read path, argv, envp          nothing is changed yet
 *     open program and interpreter   exec-file.ts    ┐ all that is made belongs to the record "exec"
 *     build the new address space    exec-load.ts    ┘ (exec-record.ts)
 *     end the other threads          the first thing that others see
 *     own the file table
 *     one commit                     the point of no return: space, registers, identity, handlers, name
 *     close what is to be closed, take the old space apart
 *                                    by the task itself, before its first instruction (ATTENTION.LEFTOVERS)
 *
 * Nothing is closed before the commit: the next attempt may need the descriptor that names the program.
 *
 * Up to the commit an attempt that fails, waits or is interrupted leaves only the record, which the next
 * attempt clears away before it begins anew. The commit also asks the task to clear away what the record then
 * holds: the call is finished, so nobody would run it again to do that.
 */

import { Errno, errno } from "../base/errno.ts";
import { REG_F, REG_FFLAGS, REG_FRM, REG_RESERVATION, REG_ROOT, REG_X } from "../base/hart-abi.ts";
import { none } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { forgetCall } from "../kernel/attend.ts";
import { NO_RESULT, type SystemCall } from "../kernel/call.ts";
import { signalCondition } from "../kernel/condition.ts";
import { Credentials } from "../kernel/credentials.ts";
import {
  closeFilesStep,
  copyFilesStep,
  createFileTable,
  FileTable,
  getAnyFile,
} from "../kernel/descriptors.ts";
import type { File } from "../kernel/file.ts";
import { releaseSpace, spaceRoot } from "../kernel/memory/address-space.ts";
import { AddressSpace } from "../kernel/memory/records.ts";
import { dropTimersStep } from "../kernel/posix-timer.ts";
import { endExecuting, endOtherTasks, keepResident, lockTree, takeLead } from "../kernel/process.ts";
import { setPc, setX, X } from "../kernel/registers.ts";
import { noteWait, pathAt, WOULD_BLOCK } from "../kernel/request.ts";
import { ACTION, SIG, SIG_DFL, SIG_IGN, SIGNALS_MAX } from "../kernel/signal.ts";
import { ATTENTION, Process, SignalHandlers, Task } from "../kernel/task.ts";
import { threadOf } from "../kernel/thread.ts";
import { auth } from "../servers/auth/auth.ts";
import { giveAnswersBack, keepAnswers } from "../servers/vfs/folder-call.ts";
import { AT, AT_FDCWD } from "./abi-file.ts";
import { AUX, HWCAP, RLIMIT } from "./abi-memory.ts";
import { PROGRAM_HEADER_BYTES } from "./elf.ts";
import { openPrograms, type ProgramFiles } from "./exec-file.ts";
import { type Loaded, loadImages, loadStack, STACK_TOP } from "./exec-load.ts";
import { clearExecStep, Exec, execOf } from "./exec-record.ts";
import { argumentBytes, type BuiltStack, buildStack } from "./exec-stack.ts";
import { limitOf } from "./limits.ts";
import { type Place, placeOrFile } from "./paths.ts";
import { leaveMemoryStep } from "./task-end.ts";
import { type CallRow, flagSet, full } from "./row.ts";
import { atNames } from "./sys-stat.ts";
import { readPointer, readString } from "./user.ts";

/** Most bytes of one argument, its zero included (MAX_ARG_STRLEN). */
const STRING_MAX = 131_072;
/** Bounds of what all arguments may take: a quarter of the stack, within these. */
const ARGUMENTS_MIN = 131_072;
const ARGUMENTS_MAX = 6_291_456;
const CLOCK_TICKS = 100;
const MINSIGSTKSZ = 2048;
const SS_DISABLE = 2;

/** A program to be run. */
export interface ProgramRequest {
  /** The file, in the terms of the vfs server; its path stands in path buffer 0. */
  readonly place: Place;
  /** How the program is called: AT_EXECFN, comm, and what a script passes to its interpreter. */
  readonly name: Uint8Array;
  readonly argv: readonly Uint8Array[];
  readonly envp: readonly Uint8Array[];
}

// Arguments.

/** The strings that a null-terminated array of pointers at `address` names. Throws E2BIG, EFAULT. */
function readStrings(call: SystemCall, address: number, most: number): Uint8Array[] {
  const strings: Uint8Array[] = [];
  if (address === 0) return strings;
  for (let bytes = 0; ; ) {
    const pointer = readPointer(call, address + strings.length * 8);
    if (pointer === 0) return strings;
    const text = readString(call, pointer, STRING_MAX - 1);
    if (text === undefined) throw errno.E2BIG;
    bytes += text.length + 1 + 8;
    if (bytes > most) throw errno.E2BIG;
    strings.push(text);
  }
}

function argumentLimit(tx: Transaction, process: Process): number {
  const quarter = Math.floor(limitOf(tx, process, RLIMIT.STACK) / 4);
  return Math.max(ARGUMENTS_MIN, Math.min(quarter, ARGUMENTS_MAX));
}

// The series.

/** Clears away what the record "exec" of the task holds. Commits. */
function clearExec(tx: Transaction, task: Task): void {
  while (!clearExecStep(tx, task)) tx.commit();
  tx.commit();
}

/**
 * Makes `task` run a program, from its next instruction on. The task needs credentials, a file-system context
 * and descriptors; it may be new and have no address space yet. Commits many times; throws Errno when the
 * program cannot be run (and then nothing has changed), WOULD_BLOCK when the call is to be made again.
 */
export function loadProgram(tx: Transaction, task: Task, request: ProgramRequest): void {
  keepAnswers(tx);
  let over = false;
  try {
    attemptLoad(tx, task, request);
    over = true;
  } catch (error) {
    // An errno has been cleared up after; anything else rolls back, and the call runs again.
    over = error instanceof Errno;
    throw error;
  } finally {
    giveAnswersBack(tx, over);
    if (over) tx.commit();
  }
}

function attemptLoad(tx: Transaction, task: Task, request: ProgramRequest): void {
  const process = Task.process.get(tx, task);
  // The path in its buffer outlives the clearing, which may overwrite nothing but the heap.
  if (Task.exec.get(tx, task) !== 0) clearExec(tx, task);
  try {
    const files = openPrograms(tx, task, request.place, request.name);
    const argv = argumentsFor(request, files);
    if (argumentBytes(argv, request.envp) > argumentLimit(tx, process)) throw errno.E2BIG;
    const loaded = loadImages(tx, task, files, limitOf(tx, process, RLIMIT.STACK));
    const stack = stackFor(tx, task, request, files, loaded, argv);
    loadStack(tx, task, loaded.space, stack.bytes, files.image.executableStack);
    awaitAlone(tx, task, process);
    ownFiles(tx, task);
    while (!leaveMemoryStep(tx, task)) tx.commit();
    tx.commit();
    while (!dropTimersStep(tx, Task.process.get(tx, task))) tx.commit();
    tx.commit();
    becomeProgram(tx, task, request.name, files, loaded, stack);
    tx.commit();
  } catch (error) {
    if (error instanceof Errno) {
      tx.rollback();
      clearExec(tx, task);
      if (Task.mutexesReleased.get(tx, task) !== 0) Task.mutexesReleased.set(tx, task, 0);
    }
    throw error;
  }
}

/** argv as the program gets it: a script's interpreter has its own first; nobody gets none (Linux 5.18). */
function argumentsFor(request: ProgramRequest, files: ProgramFiles): readonly Uint8Array[] {
  const argv = request.argv.length > 0 ? request.argv : [new Uint8Array(0)];
  return files.scriptArguments === undefined ? argv : [...files.scriptArguments, ...argv.slice(1)];
}

/** Ends the other threads of the process; throws WOULD_BLOCK while there are any. The last one has its pid. */
function awaitAlone(tx: Transaction, task: Task, process: Process): void {
  if (Process.taskCount.get(tx, process) > 1) endOthers(tx, task, process);
  endExecuting(tx, process, task);
  tx.commit();
  if (Task.tid.get(tx, task) === Process.pid.get(tx, process)) return;
  lockTree(tx);
  takeLead(tx, task);
  tx.commit();
}

function endOthers(tx: Transaction, task: Task, process: Process): void {
  endOtherTasks(tx, process, task);
  tx.commit();
  Process.signals.acquire(tx, process);
  if (Process.taskCount.get(tx, process) <= 1) return;
  noteWait(tx, Process.released.at(process));
  throw WOULD_BLOCK;
}

/** Gives the task a file table that it shares with nobody. */
function ownFiles(tx: Transaction, task: Task): void {
  const table = Task.files.get(tx, task);
  if (FileTable.references.get(tx, table) === 1) return;
  const exec = execOf(tx, task);
  const copy = createFileTable(tx);
  Exec.files.set(tx, exec, copy);
  while (!copyFilesStep(tx, table, copy)) tx.commit();
  Task.files.set(tx, task, copy);
  Exec.files.set(tx, exec, none());
  // Others have the table, so this only takes the reference away, in the same transaction.
  if (!closeFilesStep(tx, table)) Exec.files.set(tx, exec, table);
  tx.commit();
}

function stackFor(
  tx: Transaction,
  task: Task,
  request: ProgramRequest,
  files: ProgramFiles,
  loaded: Loaded,
  argv: readonly Uint8Array[],
): BuiltStack {
  const random = new Uint8Array(16);
  // oxlint-disable-next-line unicorn/no-array-fill-with-reference-type -- the host's entropy is no array
  threadOf(tx).entropy.fill(random);
  const identity = identityAfter(tx, task, files);
  const secure = auth.isSecure(tx, identity);
  const auxiliary: (readonly [number, number])[] = [
    [AUX.HWCAP, HWCAP],
    [AUX.PAGESZ, 4096],
    [AUX.CLKTCK, CLOCK_TICKS],
    [AUX.PHDR, loaded.programHeaders],
    [AUX.PHENT, PROGRAM_HEADER_BYTES],
    [AUX.PHNUM, files.image.programHeaders],
    [AUX.BASE, loaded.interpreterBase],
    [AUX.FLAGS, 0],
    [AUX.ENTRY, loaded.programEntry],
    [AUX.UID, Credentials.uid.get(tx, identity)],
    [AUX.EUID, Credentials.effectiveUid.get(tx, identity)],
    [AUX.GID, Credentials.gid.get(tx, identity)],
    [AUX.EGID, Credentials.effectiveGid.get(tx, identity)],
    [AUX.SECURE, secure],
    [AUX.MINSIGSTKSZ, MINSIGSTKSZ],
  ];
  // Only to look at: the identity is made again by the transaction that takes it on.
  tx.rollback();
  return buildStack({ argv, envp: request.envp, path: request.name, random, auxiliary }, STACK_TOP);
}

/** The credentials with which the program runs; one reference, the caller's. */
function identityAfter(tx: Transaction, task: Task, { owner }: ProgramFiles): Credentials {
  const process = Task.process.get(tx, task);
  const mayRaise = !owner.nosuid && Process.noNewPrivileges.get(tx, process) === 0;
  const old = Task.credentials.get(tx, task);
  return auth.afterExec(tx, old, owner.uid, owner.gid, owner.mode, mayRaise ? 1 : 0);
}

// The point of no return.

function becomeProgram(
  tx: Transaction,
  task: Task,
  name: Uint8Array,
  files: ProgramFiles,
  loaded: Loaded,
  stack: BuiltStack,
): void {
  const process = Task.process.get(tx, task);
  const exec = execOf(tx, task);
  // The call ends here: that it had waited for the other threads must not outlive this commit.
  forgetCall(tx, task);
  resetHandlers(tx, process);
  exchangeSpace(tx, task, process, exec, loaded.space, stack);
  resetRegisters(tx, task, loaded, stack);
  const before = Task.credentials.get(tx, task);
  Task.credentials.set(tx, task, identityAfter(tx, task, files));
  auth.drop(tx, before);
  const program = Process.executable.get(tx, process);
  Process.executable.set(tx, process, Exec.program.get(tx, exec));
  Exec.program.set(tx, exec, program);
  Exec.closes.set(tx, exec, 1);
  setName(tx, task, name);
  Task.stackBase.set(tx, task, 0);
  Task.stackSize.set(tx, task, 0);
  Task.stackFlags.set(tx, task, SS_DISABLE);
  Task.clearTid.set(tx, task, 0);
  Task.robustList.set(tx, task, 0);
  Task.mutexesReleased.set(tx, task, 0);
  Process.hasExecuted.set(tx, process, 1);
  Process.exitSignal.set(tx, process, SIG.CHLD);
  Process.argumentsStart.set(tx, process, stack.argumentsStart);
  Process.argumentsEnd.set(tx, process, stack.argumentsEnd);
  Process.environmentStart.set(tx, process, stack.argumentsEnd);
  Process.environmentEnd.set(tx, process, stack.environmentEnd);
  Process.signals.acquire(tx, process);
  Task.attention.set(tx, task, Task.attention.get(tx, task) | ATTENTION.LEFTOVERS);
  // A parent that waits in vfork has its memory to itself again.
  signalCondition(tx, Process.released.at(process));
}

/** Signals with a handler get the default action; if others share the table, the process leaves it to them. */
function resetHandlers(tx: Transaction, process: Process): void {
  let handlers = Process.handlers.get(tx, process);
  if (handlers === 0) return;
  SignalHandlers.lock.acquire(tx, handlers);
  const references = SignalHandlers.references.get(tx, handlers);
  if (references > 1) {
    const own = SignalHandlers.allocate(tx);
    for (let i = 0; i < SIGNALS_MAX * ACTION.words; i++) {
      SignalHandlers.actions.init(tx, own, i, SignalHandlers.actions.get(tx, handlers, i));
    }
    SignalHandlers.references.init(tx, own, 1);
    SignalHandlers.references.set(tx, handlers, references - 1);
    Process.handlers.set(tx, process, own);
    handlers = own;
  }
  for (let at = 0; at < SIGNALS_MAX * ACTION.words; at += ACTION.words) {
    const handler = SignalHandlers.actions.get(tx, handlers, at + ACTION.handler);
    const high = SignalHandlers.actions.get(tx, handlers, at + ACTION.handler + 1);
    const kept = high === 0 && handler === SIG_IGN ? SIG_IGN : SIG_DFL;
    for (let i = 0; i < ACTION.words; i++) {
      const value = i === ACTION.handler ? kept : 0;
      if (SignalHandlers.actions.get(tx, handlers, at + i) !== value)
        SignalHandlers.actions.set(tx, handlers, at + i, value);
    }
  }
}

/** The task leaves its space for the new one; the record keeps the old one if it is to be taken apart. */
function exchangeSpace(
  tx: Transaction,
  task: Task,
  process: Process,
  exec: Exec,
  space: AddressSpace,
  stack: BuiltStack,
): void {
  const old = Task.space.get(tx, task);
  keepResident(tx, task);
  Exec.space.set(tx, exec, none());
  if (old !== 0 && releaseSpace(tx, old)) Exec.space.set(tx, exec, old);
  Task.space.set(tx, task, space);
  Process.space.set(tx, process, space);
  AddressSpace.argumentStart.set(tx, space, stack.argumentsStart);
  AddressSpace.argumentEnd.set(tx, space, stack.argumentsEnd);
  AddressSpace.environmentEnd.set(tx, space, stack.environmentEnd);
}

function resetRegisters(tx: Transaction, task: Task, loaded: Loaded, stack: BuiltStack): void {
  const registers = Task.registers.get(tx, task);
  const clear = (from: number, words: number): void => {
    for (let i = 0; i < words; i++) {
      const at = registers + (from >> 2) + i;
      if (tx.memory[at] !== 0) tx.storeMemory(at, 0);
    }
  };
  clear(REG_X, 64);
  clear(REG_F, 64);
  clear(REG_FFLAGS, 1);
  clear(REG_FRM, 1);
  setX(tx, registers, X.sp, STACK_TOP - stack.bytes.length);
  setPc(tx, registers, loaded.start);
  tx.storeMemory(registers + (REG_RESERVATION >> 2), -1);
  tx.storeMemory(registers + (REG_RESERVATION >> 2) + 1, -1);
  tx.storeMemory(registers + (REG_ROOT >> 2), spaceRoot(tx, loaded.space) | 0);
}

/** comm: up to 15 bytes of the last part of the path. */
function setName(tx: Transaction, task: Task, path: Uint8Array): void {
  const SLASH = 0x2f;
  const from = path.lastIndexOf(SLASH) + 1;
  const end = Math.min(path.length, from + 15);
  for (let word = 0; word < 4; word++) {
    let value = 0;
    for (let at = from + word * 4, shift = 0; at < end && shift < 32; at++, shift += 8)
      value |= path[at]! << shift;
    Task.name.set(tx, task, word, value);
  }
}

// The calls.

function execute(call: SystemCall, place: Place, name: Uint8Array, argvAt: number, envpAt: number): number {
  const most = argumentLimit(call.tx, call.process);
  const argv = readStrings(call, argvAt, most);
  const envp = readStrings(call, envpAt, most);
  loadProgram(call.tx, call.task, { place, name, argv, envp });
  return NO_RESULT;
}

/** The bytes of the path that a place names. */
function pathBytes(tx: Transaction, [, , , which, length]: Place): Uint8Array {
  const at = pathAt(tx, which);
  return tx.bytes.slice(at, at + length);
}

function execve(call: SystemCall): number {
  const place = placeOrFile(call, AT_FDCWD, call.address(0), false)!;
  return execute(call, place, pathBytes(call.tx, place), call.address(1), call.address(2));
}

function execveat(call: SystemCall): number {
  const flags = call.uint(4);
  call.refuseUnknown(flags, AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH);
  // A path that may not end in a link is opened so by the vfs server's own flag, which execution lacks.
  if ((flags & AT.SYMLINK_NOFOLLOW) !== 0) throw errno.EINVAL;
  const descriptor = call.int(0);
  const place = placeOrFile(call, descriptor, call.address(1), (flags & AT.EMPTY_PATH) !== 0);
  if (place === undefined) return executeFile(call, descriptor);
  let name = pathBytes(call.tx, place);
  const base: File = place[2];
  // A path that is relative to a descriptor has a name that leads there too, for scripts.
  if (base !== 0) name = join(`/dev/fd/${descriptor}/`, name);
  return execute(call, place, name, call.address(2), call.address(3));
}

function join(head: string, tail: Uint8Array): Uint8Array {
  return Uint8Array.from([...head].map((letter) => letter.charCodeAt(0)).concat([...tail]));
}

/** The file that a descriptor names, found by its name under /dev/fd as Linux does for scripts. */
function executeFile(call: SystemCall, descriptor: number): number {
  const { tx, task } = call;
  getAnyFile(tx, task, descriptor);
  const name = join(`/dev/fd/${descriptor}`, new Uint8Array(0));
  const path = join(`/proc/self/fd/${descriptor}`, new Uint8Array(0));
  tx.bytes.set(path, pathAt(tx, 0));
  const place: Place = [Task.fs.get(tx, task), Task.credentials.get(tx, task), none(), 0, path.length];
  return execute(call, place, name, call.address(2), call.address(3));
}

const execNames = flagSet(Object.fromEntries(atNames.names));
const options = { restart: "uninterruptible", abandon: clearExecStep, wait: "retry" } as const;

export const execRows: readonly CallRow[] = [
  full(221, "execve", ["string", "strings", "environment"], execve, options),
  full(281, "execveat", ["dirfd", "string", "strings", "environment", execNames], execveat, options),
];
