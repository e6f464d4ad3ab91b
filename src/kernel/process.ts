/**
 * The process tree: making processes and tasks, ending them, and what a parent learns of it.
 *
 * A task that ends lets go of what it holds in bounded steps, each a transaction, in a fixed order; what is
 * already gone is a zero reference, so the steps can be begun again at any time. The last task of a process
 * leaves a zombie, which the parent's wait reaps. Orphans go to init, which is the kernel itself: it has no
 * task and reaps at once.
 *
 * The tree lock guards all of this (task.ts says what); a process's task list also its signals lock.
 */

import { assert } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import { type HeapView, placeRoot } from "../heap/heap.ts";
import { REDO } from "../heap/layout.ts";
import { append, each, remove } from "../heap/list.ts";
import { none, type Ref } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { signalCondition } from "./condition.ts";
import type { SignalInfo } from "./call.ts";
import {
  actionOf,
  CLD,
  conformTasks,
  dropQueueStep,
  handlerOf,
  SA,
  sendToProcess,
  SI,
  SIG,
  SIG_IGN,
  signalInfo,
} from "./signal.ts";
import { ATTENTION, Kernel, LIFE, Limits, Process, SignalHandlers, Task } from "./task.ts";
import { dropFile, type File } from "./file.ts";
import { terminalControl } from "./job-control.ts";
import { dismissEntriesStep } from "./scheduler.ts";
import { registerFile } from "./memory/layout.ts";
import { AddressSpace } from "./memory/records.ts";
import { dropTimersStep } from "./posix-timer.ts";
import { dropRealTimer } from "./real-timer.ts";
import { registerRedo } from "./thread.ts";

/** Pids go from 1 to this number. */
export const PID_MAX = 32768;

export function kernelOf(view: HeapView): Kernel {
  return view.words[view.root("kernel")]! as Kernel;
}

/** Takes the lock of the process tree. */
export function lockTree(tx: Transaction): Kernel {
  const kernel = kernelOf(tx);
  Kernel.tree.acquire(tx, kernel);
  return kernel;
}

// Root "pids": a word for each pid leads to the process, then a word for each tid leads to the task.

export function processOf(view: HeapView, pid: number): Process {
  return pid < 1 || pid > PID_MAX ? (0 as Process) : (view.words[view.root("pids") + pid]! as Process);
}

export function taskOf(view: HeapView, tid: number): Task {
  return tid < 1 || tid > PID_MAX
    ? (0 as Task)
    : (view.words[view.root("pids") + PID_MAX + 1 + tid]! as Task);
}

function setProcessOf(tx: Transaction, pid: number, process: Process): void {
  tx.store(tx.root("pids") + pid, process);
}

function setTaskOf(tx: Transaction, tid: number, task: Task): void {
  tx.store(tx.root("pids") + PID_MAX + 1 + tid, task);
}

/** A pid that no process, task, group or session carries. With the tree lock held. Throws EAGAIN. */
function allocatePid(tx: Transaction, kernel: Kernel): number {
  let pid = Kernel.lastPid.get(tx, kernel);
  for (let tries = 0; tries < PID_MAX; tries++) {
    pid = pid >= PID_MAX ? 2 : pid + 1;
    if (processOf(tx, pid) !== 0 || taskOf(tx, pid) !== 0 || groupExists(tx, pid)) continue;
    Kernel.lastPid.set(tx, kernel, pid);
    return pid;
  }
  throw errno.EAGAIN;
}

/** Whether any process is in group or session `id`. With the tree lock held. */
export function groupExists(tx: Transaction, id: number): boolean {
  for (const process of each(tx, Kernel.all, kernelOf(tx), Process.allLinks)) {
    if (Process.group.get(tx, process) === id || Process.session.get(tx, process) === id) return true;
  }
  return false;
}

/** Something that tasks hold and share: descriptors, file-system context, address space, credentials. */
export interface TaskResource {
  readonly name: string;
  /** Lets go of the task's reference, or of a bounded part of what it leads to; true when nothing is left. */
  release(tx: Transaction, task: Task): boolean;
}

const resources: TaskResource[] = [];

/** Declares a resource. They are released in the order of declaration. */
export function registerTaskResource(resource: TaskResource): void {
  resources.push(resource);
}

/** Places the kernel's record, the pid tables, the stack of task numbers, and init. One thread, at boot. */
export function createKernel(tx: Transaction, tasksMax: number, now: number): Kernel {
  const kernel = Kernel.allocate(tx);
  tx.words[placeRoot(tx, "kernel", 1)] = kernel;
  placeRoot(tx, "pids", 2 * (PID_MAX + 1));
  const stack = placeRoot(tx, "tasks", tasksMax);
  for (let i = 0; i < tasksMax; i++) tx.words[stack + i] = tasksMax - 1 - i;
  Kernel.freeTasksAt.init(tx, kernel, stack);
  Kernel.freeTasks.init(tx, kernel, tasksMax);
  Kernel.taskMax.init(tx, kernel, tasksMax);
  Kernel.bootedAt.init(tx, kernel, now);
  Kernel.lastPid.init(tx, kernel, 1);
  const init = Process.allocate(tx);
  Process.pid.init(tx, init, 1);
  Process.group.init(tx, init, 1);
  Process.session.init(tx, init, 1);
  append(tx, Kernel.all, kernel, Process.allLinks, init);
  setProcessOf(tx, 1, init);
  Kernel.init.init(tx, kernel, init);
  return kernel;
}

/** A new process without tasks, child of `parent`, in its group and session. With the tree lock held. */
export function createProcess(tx: Transaction, parent: Process, now: number): Process {
  const kernel = kernelOf(tx);
  assert(Kernel.tree.heldBy(tx, kernel), "createProcess needs the tree lock");
  const process = Process.allocate(tx);
  const pid = allocatePid(tx, kernel);
  Process.pid.init(tx, process, pid);
  Process.parent.init(tx, process, parent);
  Process.group.init(tx, process, Process.group.get(tx, parent));
  Process.session.init(tx, process, Process.session.get(tx, parent));
  Process.terminal.init(tx, process, Process.terminal.get(tx, parent));
  Process.exitSignal.init(tx, process, SIG.CHLD);
  Process.startedAt.init(tx, process, now);
  Process.dumpable.init(tx, process, 1);
  append(tx, Process.children, parent, Process.siblings, process);
  const serial = (Kernel.lastSerial.get(tx, kernel) + 1) >>> 0;
  Kernel.lastSerial.set(tx, kernel, serial);
  Process.serial.init(tx, process, serial);
  append(tx, Kernel.all, kernel, Process.allLinks, process);
  setProcessOf(tx, pid, process);
  Kernel.processes.set(tx, kernel, Kernel.processes.get(tx, kernel) + 1);
  return process;
}

/**
 * A new task record with a register file, belonging to no process yet. `registersOf` gives the word index of
 * a register file. Takes the tree lock. Throws EAGAIN when there are too many tasks.
 */
export function buildTask(tx: Transaction): Task {
  const kernel = lockTree(tx);
  const free = Kernel.freeTasks.get(tx, kernel);
  if (free === 0) throw errno.EAGAIN;
  const number = tx.words[Kernel.freeTasksAt.get(tx, kernel) + free - 1]!;
  Kernel.freeTasks.set(tx, kernel, free - 1);
  const task = Task.allocate(tx);
  Task.number.init(tx, task, number);
  Task.registers.init(tx, task, registerFile(tx, number) / 4);
  Task.hart.init(tx, task, -1);
  return task;
}

/** Gives the register file of a task back. With the tree lock held. */
function giveBackNumber(tx: Transaction, task: Task): void {
  const kernel = kernelOf(tx);
  const free = Kernel.freeTasks.get(tx, kernel);
  tx.store(Kernel.freeTasksAt.get(tx, kernel) + free, Task.number.get(tx, task));
  Kernel.freeTasks.set(tx, kernel, free + 1);
}

/**
 * Makes a built task one of `process`, where it can be seen. The first task of a process has its pid as tid.
 * With the tree lock held.
 */
export function enrollTask(tx: Transaction, process: Process, task: Task): void {
  const kernel = kernelOf(tx);
  assert(Kernel.tree.heldBy(tx, kernel), "enrollTask needs the tree lock");
  const tid = Process.tasks.isEmpty(tx, process) ? Process.pid.get(tx, process) : allocatePid(tx, kernel);
  Task.tid.set(tx, task, tid);
  Task.process.set(tx, task, process);
  setTaskOf(tx, tid, task);
  Process.signals.acquire(tx, process);
  append(tx, Process.tasks, process, Task.taskLinks, task);
  Process.taskCount.set(tx, process, Process.taskCount.get(tx, process) + 1);
  Kernel.tasks.set(tx, kernel, Kernel.tasks.get(tx, kernel) + 1);
}

/** Undoes {@link buildTask}, in steps; true when nothing is left of it. */
export function discardStep(tx: Transaction, task: Task): boolean {
  for (const resource of resources) {
    if (!resource.release(tx, task)) return false;
  }
  lockTree(tx);
  giveBackNumber(tx, task);
  Task.free(tx, task);
  return true;
}

/**
 * Makes the whole process end with `status` (a word as wait(2) gives it): every task of it sees
 * ATTENTION.EXIT, when the transaction has been committed and settled. The first status stands.
 */
export function beginExit(tx: Transaction, process: Process, status: number): void {
  Process.signals.acquire(tx, process);
  if (Process.ending.get(tx, process) !== 0) return;
  Process.ending.set(tx, process, status | 0x1_0000);
  conformTasks(tx, process);
}

/**
 * Makes every task of the process but `except` end, by and by (exec by a thread). Throws EAGAIN if that one has to end
 * itself: the process ends, or another of its threads was first.
 */
export function endOtherTasks(tx: Transaction, process: Process, except: Task): void {
  Process.signals.acquire(tx, process);
  const executing = Process.executing.get(tx, process);
  if (executing === except) return;
  if (mustNotGrow(tx, process, except)) throw errno.EAGAIN;
  Process.executing.set(tx, process, except);
  conformTasks(tx, process);
}

/** Whether the process ends, or all of its tasks but one that is not `task`. With Process.signals held. */
function mustNotGrow(view: HeapView, process: Process, task: Task): boolean {
  const executing = Process.executing.get(view, process);
  return Process.ending.get(view, process) !== 0 || (executing !== 0 && executing !== task);
}

/**
 * Lets `maker` add the built `task` to its process, in the same transaction; EAGAIN if that ends. Under the lock of
 * those who look which tasks there are, so that nobody is added behind their backs.
 */
export function admitTask(tx: Transaction, process: Process, maker: Task, task: Task): void {
  Process.signals.acquire(tx, process);
  if (mustNotGrow(tx, process, maker)) throw errno.EAGAIN;
  endExecuting(tx, process, maker);
  if (Process.stoppedBy.get(tx, process) !== 0) Task.attention.set(tx, task, ATTENTION.STOP);
}

/** What {@link endOtherTasks} has begun is over: the task is alone, or does not execute anything. */
export function endExecuting(tx: Transaction, process: Process, task: Task): void {
  if (Process.executing.get(tx, process) !== task) return;
  Process.signals.acquire(tx, process);
  Process.executing.set(tx, process, none());
}

/**
 * One step of the end of a task; true when it is over and the record is gone from everywhere but its hart.
 * `status` is the exit status if the task ends by itself and is the last of its process.
 */
export function exitStep(tx: Transaction, task: Task): boolean {
  const child = Task.child.get(tx, task);
  if (child !== 0) {
    if (discardStep(tx, child)) Task.child.set(tx, task, 0 as Task);
    return false;
  }
  for (const resource of resources) {
    if (!resource.release(tx, task)) return false;
  }
  const isLast = Process.taskCount.get(tx, Task.process.get(tx, task)) === 1;
  if (!dropQueueStep(tx, task, isLast)) return false;
  if (isLast && !dropTimersStep(tx, Task.process.get(tx, task))) return false;
  if (isLast && !dismissEntriesStep(tx, Process.arrived.at(Task.process.get(tx, task)))) return false;
  return leaveProcess(tx, task);
}

/** A task that ends leaves what it has counted to its process. */
function keepUsage(tx: Transaction, process: Process, task: Task): void {
  Process.minorFaults.add(tx, process, Task.minorFaults.get(tx, task));
  Process.voluntarySwitches.add(tx, process, Task.switches.get(tx, task));
  Process.involuntarySwitches.add(tx, process, Task.preemptions.get(tx, task));
  const resident = Task.maxResident.get(tx, task);
  if (resident > Process.maxResident.get(tx, process)) Process.maxResident.set(tx, process, resident);
}

/** A process that is reaped leaves what it and its children have used to its parent. */
function passUsage(tx: Transaction, child: Process, parent: Process): void {
  for (const [own, all] of [
    [Process.minorFaults, Process.childrenMinorFaults],
    [Process.voluntarySwitches, Process.childrenVoluntarySwitches],
    [Process.involuntarySwitches, Process.childrenInvoluntarySwitches],
  ] as const)
    all.add(tx, parent, own.get(tx, child) + all.get(tx, child));
  const most = Math.max(Process.maxResident.get(tx, child), Process.childrenMaxResident.get(tx, child));
  if (most > Process.childrenMaxResident.get(tx, parent)) Process.childrenMaxResident.set(tx, parent, most);
}

/** Pages that a space has had at most. */
export function mostResident(view: HeapView, space: AddressSpace): number {
  if (space === 0) return 0;
  return Math.max(AddressSpace.residentPeak.get(view, space), AddressSpace.residentPages.get(view, space));
}

/** The task is about to leave its address space: how large that has been at most stays with it. */
export function keepResident(tx: Transaction, task: Task): void {
  const most = mostResident(tx, Task.space.get(tx, task));
  if (most > Task.maxResident.get(tx, task)) Task.maxResident.set(tx, task, most);
}

/** The task is on the list of those that wait for record locks no more. With the tree lock held. */
export function unlistLockWaiter(tx: Transaction, task: Task): void {
  if (Task.lockListed.get(tx, task) === 0) return;
  Task.lockListed.set(tx, task, 0);
  remove(tx, Kernel.lockWaiters, kernelOf(tx), Task.lockLinks, task);
}

/** False, and nothing is done but a part of that, if something has been queued since the last step. */
function leaveProcess(tx: Transaction, task: Task): boolean {
  const kernel = lockTree(tx);
  const process = Task.process.get(tx, task);
  const last = Process.taskCount.get(tx, process) === 1;
  if (last) dropHandlers(tx, process);
  Process.signals.acquire(tx, process);
  if (!dropQueueStep(tx, task, last)) return false;
  remove(tx, Process.tasks, process, Task.taskLinks, task);
  Process.taskCount.set(tx, process, Process.taskCount.get(tx, process) - 1);
  Process.userTime.set(tx, process, Process.userTime.get(tx, process) + Task.runTime.get(tx, task));
  keepUsage(tx, process, task);
  setTaskOf(tx, Task.tid.get(tx, task), 0 as Task);
  unlistLockWaiter(tx, task);
  giveBackNumber(tx, task);
  Kernel.tasks.set(tx, kernel, Kernel.tasks.get(tx, kernel) - 1);
  // An execve by another task waits until it is alone.
  if (!last) signalCondition(tx, Process.released.at(process));
  endExecuting(tx, process, task);
  if (last) for (let i = 0; i < 4; i++) Process.name.set(tx, process, i, Task.name.get(tx, task, i));
  if (last) becomeZombie(tx, kernel, process, Task.exitCode.get(tx, task));
  Task.free(tx, task);
  return true;
}

/** Gives the only task of a process its pid as tid (exec by a thread). With the tree lock held. */
export function takeLead(tx: Transaction, task: Task): void {
  const process = Task.process.get(tx, task);
  const pid = Process.pid.get(tx, process);
  assert(Process.taskCount.get(tx, process) === 1, "only the last task of a process takes its lead");
  if (Task.tid.get(tx, task) === pid) return;
  setTaskOf(tx, Task.tid.get(tx, task), 0 as Task);
  setTaskOf(tx, pid, task);
  Task.tid.set(tx, task, pid);
}

/** What happens when the last task of `process` has left it; afterwards only wait(2) has business with it. */
function becomeZombie(tx: Transaction, kernel: Kernel, process: Process, exitCode: number): void {
  const ending = Process.ending.get(tx, process);
  const status = ending !== 0 ? ending & 0xffff : exitCode;
  Process.plain.set(tx, process, 0);
  Process.pending.set(tx, process, 0, 0);
  Process.pending.set(tx, process, 1, 0);
  if (Process.space.get(tx, process) !== 0) Process.space.set(tx, process, 0 as AddressSpace);
  dropLimits(tx, process);
  dropRealTimer(tx, process);
  Process.life.set(tx, process, LIFE.ZOMBIE);
  Process.exitStatus.set(tx, process, status);
  signalCondition(tx, Process.released.at(process));
  signalCondition(tx, Kernel.changed.at(kernel));
  // The rest touches other processes, whose signals locks may rank before this one's: a step of its own.
  tx.afterCommit(REDO.zombie, process);
}

/** What the files that stand for a process do with its end; they are a server's. */
interface ProcessFile {
  lock(tx: Transaction, record: Ref<"pid-file">): void;
  ended(tx: Transaction, record: Ref<"pid-file">): void;
  /** The process is reaped; true if the record has no other use. */
  reaped(tx: Transaction, record: Ref<"pid-file">): boolean;
}
let processFile: ProcessFile | undefined;

export function registerProcessFile(hooks: ProcessFile): void {
  processFile = hooks;
}

/** Adopts the children, frees the handlers and limits, tells the parent, reaps if nobody wants to know. */
export function settleZombie(tx: Transaction, process: Process): boolean {
  if (!Process.isLive(tx, process) || Process.settled.get(tx, process) !== 0) return true;
  const executable = Process.executable.get(tx, process);
  if (executable !== 0) {
    Process.executable.set(tx, process, 0 as File);
    dropFile(tx, executable);
    return false;
  }
  lockTree(tx);
  const terminal = Process.terminal.get(tx, process);
  const pid = Process.pid.get(tx, process);
  if (terminal !== 0 && Process.session.get(tx, process) === pid) {
    Process.terminal.set(tx, process, 0);
    terminalControl()?.sessionEnded(tx, terminal, pid);
    return false;
  }
  const child = Process.children.first(tx, process);
  if (child !== 0) {
    // One in each transaction: its signals lock or its new parent's may be needed.
    adopt(tx, child, newParent(tx, process));
    return false;
  }
  Process.settled.set(tx, process, 1);
  const record = Process.pidFile.get(tx, process);
  if (record !== 0) processFile?.ended(tx, record);
  tellParent(tx, process);
  return true;
}

/** Who adopts the children of `process`: the nearest subreaper above it that lives, or init. */
function newParent(view: HeapView, process: Process): Process {
  const init = Kernel.init.get(view, kernelOf(view));
  let parent = Process.parent.get(view, process);
  while (
    parent !== init &&
    (Process.childSubreaper.get(view, parent) === 0 || Process.life.get(view, parent) !== LIFE.ALIVE)
  ) {
    parent = Process.parent.get(view, parent);
  }
  return parent;
}

/** Gives an orphan another parent, who learns of its end if that has come already. */
function adopt(tx: Transaction, child: Process, parent: Process): void {
  remove(tx, Process.children, Process.parent.get(tx, child), Process.siblings, child);
  append(tx, Process.children, parent, Process.siblings, child);
  Process.parent.set(tx, child, parent);
  Process.exitSignal.set(tx, child, SIG.CHLD);
  const deathSignal = Process.parentDeathSignal.get(tx, child);
  if (Process.life.get(tx, child) === LIFE.ZOMBIE) {
    if (Process.settled.get(tx, child) !== 0) tellParent(tx, child);
  } else if (deathSignal !== 0) sendToProcess(tx, child, signalInfo(deathSignal, SI.USER));
}

/** Tells the parent of an end, by signal and condition; reaps at once if the parent does not care. */
function tellParent(tx: Transaction, process: Process): void {
  const kernel = kernelOf(tx);
  // Before the signals lock of the parent: the process may be reaped here.
  const record = Process.pidFile.get(tx, process);
  if (record !== 0) processFile?.lock(tx, record);
  const parent = Process.parent.get(tx, process);
  const status = Process.exitStatus.get(tx, process);
  if (parent === Kernel.init.get(tx, kernel)) {
    if (Process.hostHandle.get(tx, process) === 0) reap(tx, process);
    else signalCondition(tx, Kernel.hostChildChanged.at(kernel));
    return;
  }
  const signal = Process.exitSignal.get(tx, process);
  const handlers = Process.handlers.get(tx, parent);
  let unwanted = false;
  if (signal === SIG.CHLD && handlers !== 0) {
    const action = actionOf(tx, handlers, SIG.CHLD);
    unwanted = handlerOf(tx, handlers, SIG.CHLD) === SIG_IGN || (action.flags & SA.NOCLDWAIT) !== 0;
  }
  if (signal !== 0) sendToProcess(tx, parent, childInfo(tx, process, signal, ...codeOf(status)));
  signalCondition(tx, Process.childChanged.at(parent));
  if (unwanted) reap(tx, process);
}

/** si_code and si_status of a wait status. */
function codeOf(status: number): [code: number, status: number] {
  if ((status & 0x7f) === 0) return [CLD.EXITED, (status >> 8) & 0xff];
  return [(status & 0x80) !== 0 ? CLD.DUMPED : CLD.KILLED, status & 0x7f];
}

/** The siginfo by which a parent hears of a child. */
export function childInfo(view: HeapView, child: Process, signal: number, code: number, status: number) {
  return signalInfo(signal, code, {
    pid: Process.pid.get(view, child),
    uid: Process.uid.get(view, child),
    status,
  });
}

/**
 * Takes a zombie out of the tree; its record is free after the commit. With the tree lock held. Returns its
 * status. The parent has its times added.
 */
export function reap(tx: Transaction, process: Process): number {
  const kernel = kernelOf(tx);
  const parent = Process.parent.get(tx, process);
  assert(Process.life.get(tx, process) === LIFE.ZOMBIE, "reaping a process that lives");
  const record = Process.pidFile.get(tx, process);
  if (record !== 0 && processFile?.reaped(tx, record) === true) tx.afterCommit(REDO.free, record);
  remove(tx, Process.children, parent, Process.siblings, process);
  remove(tx, Kernel.all, kernel, Process.allLinks, process);
  setProcessOf(tx, Process.pid.get(tx, process), 0 as Process);
  Kernel.processes.set(tx, kernel, Kernel.processes.get(tx, kernel) - 1);
  const user = Process.userTime.get(tx, process) + Process.childrenUserTime.get(tx, process);
  Process.childrenUserTime.set(tx, parent, Process.childrenUserTime.get(tx, parent) + user);
  passUsage(tx, process, parent);
  const status = Process.exitStatus.get(tx, process);
  Process.free(tx, process);
  return status;
}

/** One reference less to the signal actions of `process`. */
function dropHandlers(tx: Transaction, process: Process): void {
  const handlers = Process.handlers.get(tx, process);
  if (handlers === 0) return;
  SignalHandlers.lock.acquire(tx, handlers);
  const references = SignalHandlers.references.get(tx, handlers) - 1;
  SignalHandlers.references.set(tx, handlers, references);
  Process.handlers.set(tx, process, 0 as SignalHandlers);
  if (references === 0) SignalHandlers.free(tx, handlers);
}

function dropLimits(tx: Transaction, process: Process): void {
  const limits = Process.limits.get(tx, process);
  if (limits === 0) return;
  Process.limits.set(tx, process, 0 as Limits);
  Limits.free(tx, limits);
}

/** Whether a process group has no member whose parent is in the same session and another group. */
export function isOrphanedGroup(view: HeapView, group: number, except: Process = 0 as Process): boolean {
  const kernel = kernelOf(view);
  for (const process of each(view, Kernel.all, kernel, Process.allLinks)) {
    if (process === except || Process.group.get(view, process) !== group) continue;
    if (Process.life.get(view, process) !== LIFE.ALIVE) continue;
    const parent = Process.parent.get(view, process);
    if (parent === 0 || parent === Kernel.init.get(view, kernel)) continue;
    if (Process.session.get(view, parent) !== Process.session.get(view, process)) continue;
    if (Process.group.get(view, parent) !== group) return false;
  }
  return true;
}

/** Processes that one transaction signals: each takes a lock (rules R3 and R5). */
const SIGNALLED_AT_ONCE = 6;

/** Some of the processes with a property, and the serial after which the walk goes on, 0 at its end. */
export interface Batch {
  readonly processes: Process[];
  readonly next: number;
}

/**
 * The first processes with serials after `after` for which `wanted` holds, as many as one transaction may signal.
 * With the tree lock held. A process that is made while the lock is free has the greatest serial, so a walk over
 * batches also meets the children of those that it has not come to yet, and misses nobody.
 */
export function batchAfter(
  tx: Transaction,
  after: number,
  wanted: (process: Process) => boolean,
  most: number = SIGNALLED_AT_ONCE,
): Batch {
  const processes: Process[] = [];
  for (const process of each(tx, Kernel.all, kernelOf(tx), Process.allLinks)) {
    if (Process.serial.get(tx, process) <= after || !wanted(process)) continue;
    processes.push(process);
    if (processes.length === most) return { processes, next: Process.serial.get(tx, process) };
  }
  return { processes, next: 0 };
}

/** Sends a signal to a batch of processes, whose locks are all taken before the first is sent. */
export function sendToBatch(tx: Transaction, processes: Process[], info: SignalInfo): void {
  // By rising address. Sending takes locks that come later: of accounts, in a redo step that of the scheduler.
  processes.sort((a, b) => a - b);
  for (const process of processes) Process.signals.acquire(tx, process);
  for (const process of processes) sendToProcess(tx, process, info);
}

/**
 * Files a kernel-made signal to a group, to be sent after the commit: for servers, whose locks rank behind
 * the tree's.
 */
export function signalGroupLater(tx: Transaction, group: number, signal: number): void {
  tx.afterCommit(REDO.group, group * 64 + (signal - 1));
}

registerRedo(REDO.group, (tx, value) => {
  lockTree(tx);
  const cursorAt = tx.redoCursorAt;
  const isMember = (process: Process): boolean =>
    Process.group.get(tx, process) === value >>> 6 && Process.tasks.first(tx, process) !== 0;
  const { processes, next } = batchAfter(tx, tx.words[cursorAt]! >>> 0, isMember);
  sendToBatch(tx, processes, signalInfo((value & 63) + 1, SI.KERNEL));
  tx.store(cursorAt, next);
  return next === 0;
});

registerRedo(REDO.zombie, (tx, value) => settleZombie(tx, value as Process));
