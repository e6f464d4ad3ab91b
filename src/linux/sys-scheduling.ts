/** System calls about who runs where and how eagerly: policies, priorities, affinity. */

import { errno } from "../base/errno.ts";
import type { HeapView } from "../heap/heap.ts";
import type { CallHandler, SystemCall } from "../kernel/call.ts";
import { Credentials } from "../kernel/credentials.ts";
import { lockTree, taskOf } from "../kernel/process.ts";
import { hartCount } from "../kernel/scheduler.ts";
import { Process, Task } from "../kernel/task.ts";
import { CAP } from "../servers/auth/capabilities.ts";
import { type CallRow, full, nameSet, partial } from "./row.ts";
import { isCapable } from "./sys-process.ts";
import { writeTimespec } from "./time-values.ts";
import { readStruct, readUser, writeUser } from "./user.ts";

/** A set of processors as Linux has it on a machine of up to 64. */
const MASK_BYTES = 8;

const allHarts = (view: HeapView): number => (1 << hartCount(view)) - 1;

/** The harts on which a task may run, by bits. It is what the program has been told; any hart runs any task. */
export function affinityOf(view: HeapView, task: Task): number {
  return Task.affinity.get(view, task) || allHarts(view);
}

const schedYield: CallHandler = (call) => {
  call.yields = true;
  return 0;
};

const getaffinity: CallHandler = (call) => {
  const size = call.uint(1);
  if (size < MASK_BYTES || size % MASK_BYTES !== 0) throw errno.EINVAL;
  const mask = new Uint8Array(MASK_BYTES);
  mask[0] = affinityOf(call.tx, taskMeant(call));
  writeUser(call, call.address(2), mask);
  return MASK_BYTES;
};

const setaffinity: CallHandler = (call) => {
  const { tx } = call;
  const given = readUser(call, call.address(2), Math.min(call.uint(1), MASK_BYTES));
  const task = taskMeant(call);
  if (!isOwnerOf(call, task) && !isCapable(call, CAP.SYS_NICE)) throw errno.EPERM;
  const mask = (given[0] ?? 0) & allHarts(tx);
  if (mask === 0) throw errno.EINVAL;
  Task.affinity.set(tx, task, mask);
  return 0;
};

/** The task that a call about affinity names; 0 is the caller. With the tree locked. */
function taskMeant(call: SystemCall): Task {
  lockTree(call.tx);
  const tid = call.int(0);
  const task = tid === 0 ? call.task : tid < 0 ? (0 as Task) : taskOf(call.tx, tid);
  if (task === 0) throw errno.ESRCH;
  return task;
}

function isOwnerOf(call: SystemCall, task: Task): boolean {
  const { tx } = call;
  const own = Credentials.effectiveUid.get(tx, Task.credentials.get(tx, call.task));
  const theirs = Task.credentials.get(tx, task);
  return (
    task === call.task ||
    (theirs !== 0 &&
      (own === Credentials.effectiveUid.get(tx, theirs) || own === Credentials.uid.get(tx, theirs)))
  );
}

function checkTask(call: SystemCall, tid: number): void {
  if (tid < 0) throw errno.EINVAL;
  if (tid === 0) return;
  lockTree(call.tx);
  if (taskOf(call.tx, tid) === 0) throw errno.ESRCH;
}

const getcpu: CallHandler = (call) => {
  if (call.address(0) !== 0)
    writeUser(call, call.address(0), new Int32Array([Task.hart.get(call.tx, call.task)]));
  if (call.address(1) !== 0) writeUser(call, call.address(1), new Int32Array([0]));
  return 0;
};

const SCHED_NAMES = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
} as const;

const getscheduler: CallHandler = (call) => {
  checkTask(call, call.int(0));
  return SCHED_NAMES.SCHED_OTHER;
};
const getparam: CallHandler = (call) => {
  checkTask(call, call.int(0));
  writeUser(call, call.address(1), new Int32Array([0]));
  return 0;
};
const setscheduler: CallHandler = (call) => {
  checkTask(call, call.int(0));
  const policy = call.int(1);
  if (policy === SCHED_NAMES.SCHED_FIFO || policy === SCHED_NAMES.SCHED_RR) throw errno.EPERM;
  if (policy < 0 || policy > 6) throw errno.EINVAL;
  if (readStruct(call, call.address(2), 4).getInt32(0, true) !== 0) throw errno.EINVAL;
  return 0;
};
const setparam: CallHandler = (call) => {
  if (call.address(1) === 0 || call.int(0) < 0) throw errno.EINVAL;
  const priority = readStruct(call, call.address(1), 4).getInt32(0, true);
  checkTask(call, call.int(0));
  // The only policies that there are have the one priority.
  if (priority !== 0) throw errno.EINVAL;
  return 0;
};

const rrGetInterval: CallHandler = (call) => {
  checkTask(call, call.int(0));
  // A turn (kernel/hart.ts) as Linux would say it of a task without real-time policy: a few milliseconds.
  writeTimespec(call, call.address(1), 4e6);
  return 0;
};

/** struct sched_attr, first version: size, policy, flags, nice, priority, and three times of deadline scheduling. */
const SCHED_ATTR_BYTES = 48;
const PAGE_BYTES = 4096;
/** SCHED_FLAG_RESET_ON_FORK. */
const SCHED_FLAGS = 1;

const schedGetattr: CallHandler = (call) => {
  const size = call.uint(2);
  if (call.address(1) === 0 || call.int(0) < 0 || call.uint(3) !== 0) throw errno.EINVAL;
  if (size < SCHED_ATTR_BYTES || size > PAGE_BYTES) throw errno.EINVAL;
  checkTask(call, call.int(0));
  const { tx } = call;
  const task = call.int(0) === 0 ? call.task : taskOf(tx, call.int(0));
  const view = new DataView(new ArrayBuffer(SCHED_ATTR_BYTES));
  view.setUint32(0, SCHED_ATTR_BYTES, true);
  view.setInt32(16, Process.nice.get(tx, Task.process.get(tx, task)), true);
  writeUser(call, call.address(1), view);
  return 0;
};

const schedSetattr: CallHandler = (call) => {
  const { tx } = call;
  if (call.address(1) === 0 || call.int(0) < 0 || call.uint(2) !== 0) throw errno.EINVAL;
  const size = readStruct(call, call.address(1), 4).getUint32(0, true) || SCHED_ATTR_BYTES;
  if (size < SCHED_ATTR_BYTES || size > PAGE_BYTES) throw errno.E2BIG;
  const attributes = readStruct(call, call.address(1), SCHED_ATTR_BYTES);
  checkTask(call, call.int(0));
  const policy = attributes.getUint32(4, true);
  if (policy > 6 || policy === 4) throw errno.EINVAL;
  if ((attributes.getUint32(8, true) & ~SCHED_FLAGS) !== 0) throw errno.EINVAL;
  const isRealTime = policy === SCHED_NAMES.SCHED_FIFO || policy === SCHED_NAMES.SCHED_RR;
  if (isRealTime !== (attributes.getUint32(20, true) !== 0) && policy !== 6) throw errno.EINVAL;
  // What no task of this machine may have: see sched_setscheduler.
  if (isRealTime || policy === 6) throw errno.EPERM;
  const task = call.int(0) === 0 ? call.task : taskOf(tx, call.int(0));
  const process = Task.process.get(tx, task);
  const nice = attributes.getInt32(16, true);
  if (nice < NICE_MIN || nice > NICE_MAX) throw errno.EINVAL;
  if (nice < Process.nice.get(tx, process) && !isCapable(call, CAP.SYS_NICE)) throw errno.EPERM;
  Process.nice.set(tx, process, nice);
  return 0;
};

/** An I/O priority is kept by nobody, since what the machine reads comes from memory or the host: "none". */
const IOPRIO_CLASSES = 4;
const ioprioGet: CallHandler = (call) => {
  if (call.int(0) < 1 || call.int(0) > 3) throw errno.EINVAL;
  if (call.int(0) === 1) checkTask(call, call.int(1));
  return 0;
};
const ioprioSet: CallHandler = (call) => {
  const level = call.int(2);
  if (level >> 13 < 0 || level >> 13 >= IOPRIO_CLASSES) throw errno.EINVAL;
  if (level >> 13 === 1 && !isCapable(call, CAP.SYS_ADMIN)) throw errno.EPERM;
  return ioprioGet(call);
};

/** Least and greatest priority of a policy. Those of the real-time policies are said, though no task may have one. */
function prioritiesOf(policy: number): readonly [least: number, greatest: number] {
  if (policy === SCHED_NAMES.SCHED_FIFO || policy === SCHED_NAMES.SCHED_RR) return [1, 99];
  if (!Object.values<number>(SCHED_NAMES).includes(policy)) throw errno.EINVAL;
  return [0, 0];
}
const priorityMax: CallHandler = (call) => prioritiesOf(call.int(0))[1];
const priorityMin: CallHandler = (call) => prioritiesOf(call.int(0))[0];

const PRIO_PROCESS = 0;
const NICE_MIN = -20;
const NICE_MAX = 19;

/** The process that getpriority and setpriority mean: only PRIO_PROCESS names one other than the caller's. */
function priorityTarget(call: SystemCall): Process {
  const { tx } = call;
  if (call.int(0) < 0 || call.int(0) > 2) throw errno.EINVAL;
  if (call.int(0) !== PRIO_PROCESS || call.int(1) === 0) return call.process;
  lockTree(tx);
  const task = taskOf(tx, call.int(1));
  if (task === 0) throw errno.ESRCH;
  return Task.process.get(tx, task);
}

/** getpriority(2) returns 20 − nice. */
const getpriority: CallHandler = (call) => 20 - Process.nice.get(call.tx, priorityTarget(call));

const setpriority: CallHandler = (call) => {
  const { tx } = call;
  const process = priorityTarget(call);
  const nice = Math.max(NICE_MIN, Math.min(NICE_MAX, call.int(2)));
  if (nice < Process.nice.get(tx, process) && !isCapable(call, CAP.SYS_NICE)) throw errno.EACCES;
  Process.nice.set(tx, process, nice);
  return 0;
};

const SCHEDULERS = nameSet(SCHED_NAMES);

export const schedulingRows: readonly CallRow[] = [
  partial(30, "ioprio_set", ["int", "int", "int"], "accepted, without effect", ioprioSet),
  partial(31, "ioprio_get", ["int", "int"], "always none", ioprioGet),
  partial(118, "sched_setparam", ["pid", "address"], "priority 0 only", setparam),
  partial(
    119,
    "sched_setscheduler",
    ["pid", SCHEDULERS, "address"],
    "time-sharing policies only",
    setscheduler,
  ),
  partial(120, "sched_getscheduler", ["pid"], "always SCHED_OTHER", getscheduler),
  partial(121, "sched_getparam", ["pid", "address"], "always priority 0", getparam),
  partial(
    122,
    "sched_setaffinity",
    ["pid", "unsigned", "address"],
    "kept and shown, not obeyed",
    setaffinity,
  ),
  full(123, "sched_getaffinity", ["pid", "unsigned", "address"], getaffinity, { result: "int" }),
  full(124, "sched_yield", [], schedYield),
  full(125, "sched_get_priority_max", [SCHEDULERS], priorityMax),
  full(126, "sched_get_priority_min", [SCHEDULERS], priorityMin),
  full(127, "sched_rr_get_interval", ["pid", "timespec-out"], rrGetInterval),
  partial(
    140,
    "setpriority",
    ["int", "int", "int"],
    "kept for one process and shown, not obeyed",
    setpriority,
  ),
  partial(141, "getpriority", ["int", "int"], "of one process only", getpriority),
  full(168, "getcpu", ["address", "address"], getcpu),
  partial(274, "sched_setattr", ["pid", "address", "hex"], "no real-time policies", schedSetattr),
  partial(275, "sched_getattr", ["pid", "address", "unsigned", "hex"], "always SCHED_OTHER", schedGetattr),
];
