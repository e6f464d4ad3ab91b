/** The process tree's side of job control (job-control.ts): what terminals ask, answered from the records. */

import { REDO, SLOT } from "../heap/layout.ts";
import { each } from "../heap/list.ts";
import type { HeapView } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import { SystemCall } from "./call.ts";
import { registerJobControl } from "./job-control.ts";
import { isOrphanedGroup, kernelOf, lockTree, processOf, signalGroupLater } from "./process.ts";
import { isBlocked, isIgnored, sendToProcess, SI, SIG, signalInfo } from "./signal.ts";
import { noteRetry, WOULD_BLOCK } from "./request.ts";
import { Kernel, LIFE, Process, Task } from "./task.ts";
import { registerRedo } from "./thread.ts";

/** The task on whose behalf the request of `view`'s slot runs; none for the kernel and the host. */
function callerOf(tx: Transaction): Task {
  return tx.words[tx.slotAt + SLOT.owner]! as Task;
}

function callerProcess(tx: Transaction): Process {
  const task = callerOf(tx);
  return task === 0 ? (0 as Process) : Task.process.get(tx, task);
}

function field(tx: Transaction, read: (process: Process) => number): number {
  const process = callerProcess(tx);
  return process === 0 ? 0 : read(process);
}

function sessionOfGroup(view: HeapView, group: number): number {
  for (const process of each(view, Kernel.all, kernelOf(view), Process.allLinks)) {
    if (Process.group.get(view, process) === group && Process.life.get(view, process) === LIFE.ALIVE) {
      return Process.session.get(view, process);
    }
  }
  return 0;
}

/** Attempts to take the tree's lock out of order, before the request begins again without any lock. */
const ATTEMPTS = 1000;

/**
 * Takes the tree's lock for a terminal. A request that came there through a descriptor table shared by several
 * tasks holds that table's lock, which ranks behind the tree's: then waiting is not allowed, only trying.
 */
function lockTreeLate(tx: Transaction): void {
  const kernel = kernelOf(tx);
  if (tx.inSystem || tx.locksHeld === 0 || Kernel.tree.heldBy(tx, kernel)) {
    lockTree(tx);
    return;
  }
  for (let i = 0; i < ATTEMPTS; i++) if (Kernel.tree.tryAcquire(tx, kernel)) return;
  noteRetry(tx, Kernel.changed.at(kernel));
  throw WOULD_BLOCK;
}

registerJobControl({
  lock: lockTreeLate,
  callerGroup: (tx) => field(tx, (process) => Process.group.get(tx, process)),
  callerSession: (tx) => field(tx, (process) => Process.session.get(tx, process)),
  callerLeadsSession: (tx) =>
    field(tx, (process) => (Process.session.get(tx, process) === Process.pid.get(tx, process) ? 1 : 0)) !== 0,
  callerTerminal: (tx) => field(tx, (process) => Process.terminal.get(tx, process)),
  setCallerTerminal: (tx, terminal) => {
    const process = callerProcess(tx);
    if (process !== 0) Process.terminal.set(tx, process, terminal);
  },
  callerIgnores: (tx, signal) => {
    const task = callerOf(tx);
    return task !== 0 && (isBlocked(tx, task, signal) || isIgnored(tx, Task.process.get(tx, task), signal));
  },
  isOrphaned: (tx, group) => isOrphanedGroup(tx, group),
  sessionOfGroup,
  signalGroup: signalGroupLater,
  dropTerminal: (tx, session, terminal, signals) => {
    // The session's number and whether to signal travel in the step; the terminal is found by the processes.
    void terminal;
    tx.afterCommit(REDO.session, session * 2 + (signals ? 1 : 0));
  },
  deadlineIn: (tx, ns) => {
    const call = new SystemCall(tx);
    call.task = callerOf(tx);
    return call.deadlineIn(ns);
  },
});

// No process of the session has a controlling terminal any more.
registerRedo(REDO.session, (tx, value) => {
  const session = value >>> 1;
  lockTree(tx);
  for (const process of each(tx, Kernel.all, kernelOf(tx), Process.allLinks)) {
    if (Process.session.get(tx, process) === session && Process.terminal.get(tx, process) !== 0) {
      Process.terminal.set(tx, process, 0);
    }
  }
  const leader = processOf(tx, session);
  if ((value & 1) !== 0 && leader !== 0 && Process.tasks.first(tx, leader) !== 0) {
    sendToProcess(tx, leader, signalInfo(SIG.HUP, SI.KERNEL));
    sendToProcess(tx, leader, signalInfo(SIG.CONT, SI.KERNEL));
  }
  return true;
});
