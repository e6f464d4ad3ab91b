/**
 * What a task looks at before it goes on in user mode: is it to end, to stop, or to handle a signal?
 *
 * Each turn is one transaction. A hart that dies in between leaves the attention bits as they were, and the
 * next hart that runs the task begins again.
 */

import { assert } from "../base/assert.ts";
import { errno, Errno } from "../base/errno.ts";
import type { Transaction } from "../heap/transaction.ts";
import { type Personality, type SignalInfo, type SystemCall } from "./call.ts";
import { signalCondition } from "./condition.ts";
import { putU32 } from "./memory/user-memory.ts";
import { leaveMutexWait } from "./futex-owner.ts";
import { beginExit, childInfo, exitStep, isOrphanedGroup, lockTree } from "./process.ts";
import { forgetRecordWait } from "./record-wait.ts";
import { clearWaits } from "./request.ts";
import { finishCall } from "./registers.ts";
import { type Hart, retireTask } from "./scheduler.ts";
import {
  ACTION,
  actionOf,
  CLD,
  conformTasks,
  defaultAction,
  deliverable,
  infoOf,
  nextSignal,
  onlySignal,
  SA,
  sendToProcess,
  SIG,
  SIG_DFL,
  SIG_IGN,
  takeSignal,
} from "./signal.ts";
import { ATTENTION, Process, RUN, SignalHandlers, Task } from "./task.ts";

/**
 * Values of Task.inCall: the call waits; what it had left over several attempts has been given up; it waits and
 * signals do not interrupt it.
 */
export const IN_CALL = { WAITING: 1, ABANDONED: 2, UNINTERRUPTIBLE: 3 } as const;

/** What became of the task. */
export type Attended = "goes on" | "left its hart";

/**
 * A call of several transactions that its hart leaves in the middle, by its death or for something that comes from the
 * disk, is gone on with before a handler runs: what the handler calls would take its progress for its own. Whether
 * there is anything to commit. The task is known to be in a call, or its progress alone is to say so.
 */
export function keepCall(tx: Transaction, task: Task, isInCall: boolean): boolean {
  const isUnderWay =
    Task.progress.get(tx, task) !== 0 ||
    Task.child.get(tx, task) !== 0 ||
    (isInCall && Task.progressDetail.get(tx, task) !== 0);
  if (!isUnderWay || Task.inCall.get(tx, task) !== 0) return false;
  Task.inCall.set(tx, task, IN_CALL.UNINTERRUPTIBLE);
  return true;
}

/** Attends to the task of `call`, which is on `hart`, until it may go on in user mode or has left. */
export function attend(call: SystemCall, hart: Hart, personality: Personality): Attended {
  const { tx, task } = call;
  for (;;) {
    const attention = Task.attention.get(tx, task);
    if (attention === 0) return "goes on";
    if ((attention & ATTENTION.EXIT) !== 0) {
      endTask(tx, hart, task);
      return "left its hart";
    }
    if ((attention & ATTENTION.LEFTOVERS) !== 0) {
      clearLeftovers(tx, task, personality);
      continue;
    }
    // A call that signals do not interrupt is finished first; it ends with another look at this.
    if (Task.inCall.get(tx, task) === IN_CALL.UNINTERRUPTIBLE) return "goes on";
    if ((attention & ATTENTION.STOP) !== 0) {
      if (stopHere(tx, hart, task)) return "left its hart";
      continue;
    }
    if ((attention & ATTENTION.BEGIN) !== 0) {
      begin(tx, task);
      continue;
    }
    tellContinued(tx, task);
    if ((attention & ATTENTION.SIGNAL) !== 0) {
      handleOne(call, personality);
      continue;
    }
    restoreMask(tx, task);
    tx.commit();
  }
}

/** What a new task does before anything else: it stores its tid where clone was asked to (CLONE_CHILD_SETTID). */
function begin(tx: Transaction, task: Task): void {
  const address = Task.setTid.get(tx, task);
  if (address !== 0) {
    try {
      putU32(tx, Task.space.get(tx, task), address, Task.tid.get(tx, task));
    } catch (error) {
      // As on Linux, an address that cannot be written is nobody's problem.
      if (!(error instanceof Errno)) throw error;
    }
    Task.setTid.set(tx, task, 0);
  }
  Process.signals.acquire(tx, Task.process.get(tx, task));
  Task.attention.set(tx, task, Task.attention.get(tx, task) & ~ATTENTION.BEGIN);
  tx.commit();
}

/** Clears away what the task's last call has left, in steps; only then does the bit go that asks for it. */
export function clearLeftovers(
  tx: Transaction,
  task: Task,
  { clearStep }: Pick<Personality, "clearStep">,
): void {
  while (!clearStep(tx, task)) tx.commit();
  tx.commit();
  Process.signals.acquire(tx, Task.process.get(tx, task));
  Task.attention.set(tx, task, Task.attention.get(tx, task) & ~ATTENTION.LEFTOVERS);
  tx.commit();
}

/** Carries the end of a task through, step by step. */
function endTask(tx: Transaction, hart: Hart, task: Task): void {
  while (!exitStep(tx, task)) tx.commit();
  retireTask(tx, hart, task, RUN.DEAD);
  tx.commit();
}

/** Stops the task if that still stands; the parent is told by the first task that stops. */
function stopHere(tx: Transaction, hart: Hart, task: Task): boolean {
  lockTree(tx);
  const process = Task.process.get(tx, task);
  Process.signals.acquire(tx, process);
  if ((Task.attention.get(tx, task) & ATTENTION.STOP) === 0) {
    tx.rollback();
    return false;
  }
  retireTask(tx, hart, task, RUN.STOPPED);
  tx.commit();
  return true;
}

/** Tells the parent that the process was stopped or goes on: wait status, condition, SIGCHLD. */
function tellParentOfChild(tx: Transaction, process: Process, code: number, status: number): void {
  const parent = Process.parent.get(tx, process);
  signalCondition(tx, Process.childChanged.at(parent));
  const handlers = Process.handlers.get(tx, parent);
  if (handlers === 0 || (actionOf(tx, handlers, SIG.CHLD).flags & SA.NOCLDSTOP) !== 0) return;
  // Another process's signals lock: the caller holds both, or not ours.
  sendToProcess(tx, parent, childInfo(tx, process, SIG.CHLD, code, status));
}

function tellContinued(tx: Transaction, task: Task): void {
  const process = Task.process.get(tx, task);
  if (Process.continued.get(tx, process) === 0) return;
  lockTree(tx);
  if (Process.continued.get(tx, process) !== 0) {
    Process.continued.set(tx, process, 0);
    tellParentOfChild(tx, process, CLD.CONTINUED, SIG.CONT);
  }
  tx.commit();
}

/** Takes one signal and carries out its action; clears the bit when there is none left. */
function handleOne(call: SystemCall, personality: Personality): void {
  const { tx, task } = call;
  const process = Task.process.get(tx, task);
  const signal = nextSignal(tx, task);
  if (signal === 0) {
    Process.signals.acquire(tx, process);
    if (nextSignal(tx, task) === 0) {
      Task.attention.set(tx, task, Task.attention.get(tx, task) & ~ATTENTION.SIGNAL);
    }
    tx.commit();
    return;
  }
  const info = infoOf(tx, task, signal);
  personality.trace?.signal(call, signal, info);
  const handlers = Process.handlers.get(tx, process);
  SignalHandlers.lock.acquire(tx, handlers);
  const { handler } = actionOf(tx, handlers, signal);
  const fixed = signal === SIG.KILL || signal === SIG.STOP;
  if (handler === SIG_IGN && !fixed) takeSignal(tx, task, signal);
  else if ((handler === SIG_DFL || fixed) && defaultAction(signal) === "stop") {
    tx.rollback();
    stopProcess(tx, task, process, info);
    return;
  } else if (handler === SIG_DFL || fixed) {
    if (takeSignal(tx, task, signal)) {
      takeDefault(tx, process, info);
      return;
    }
  } else {
    enterHandler(call, personality, info, handlers);
    return;
  }
  tx.commit();
}

function takeDefault(tx: Transaction, process: Process, info: SignalInfo): void {
  switch (defaultAction(info.signal)) {
    case "ignore":
    case "continue":
      tx.commit();
      return;
    case "terminate":
      beginExit(tx, process, info.signal);
      tx.commit();
      return;
    case "core":
      // No core is written; the status says that one would have been possible only if it had been.
      beginExit(tx, process, info.signal);
      tx.commit();
      return;
    case "stop":
      // Not here: stopProcess takes the signal itself.
      assert(false, "a stop signal taken without the tree lock");
  }
}

/**
 * Takes a stop signal and stops the process, in one transaction. The tree lock comes first in the order: whether
 * the group is orphaned is known under it, and the parent is told.
 */
function stopProcess(tx: Transaction, task: Task, process: Process, info: SignalInfo): void {
  lockTree(tx);
  for (const each of [process, Process.parent.get(tx, process)].sort((a, b) => a - b)) {
    Process.signals.acquire(tx, each);
  }
  const orphaned = isOrphanedGroup(tx, Process.group.get(tx, process));
  if (!takeSignal(tx, task, info.signal) || (info.signal !== SIG.STOP && orphaned)) {
    tx.commit();
    return;
  }
  Process.unreportedStop.set(tx, process, (info.signal << 8) | 0x7f);
  Process.unreportedContinue.set(tx, process, 0);
  Process.stoppedBy.set(tx, process, info.signal);
  tellParentOfChild(tx, process, CLD.STOPPED, info.signal);
  conformTasks(tx, process);
  tx.commit();
}

/**
 * Makes the task enter a handler: one transaction that pushes the frame, takes the signal, and sets the mask.
 * The frame comes first because its pages are found under the address space's lock, which ranks before the
 * signals lock. A stack that cannot take the frame is a SIGSEGV that ends the process.
 */
function enterHandler(
  call: SystemCall,
  personality: Personality,
  info: SignalInfo,
  handlers: SignalHandlers,
): void {
  const { tx, task } = call;
  if (Task.futexWaiter.get(tx, task) !== 0) {
    // First and by itself: the futex's lock ranks behind the address space's, which the frame needs.
    tx.rollback();
    leaveFutex(call);
    return;
  }
  const action = actionOf(tx, handlers, info.signal);
  const resumes = personality.restarts(call, (action.flags & SA.RESTART) !== 0);
  if (
    Task.inCall.get(tx, task) === IN_CALL.WAITING &&
    // One that is resumed begins anew: what it has come to would pass for the progress of what the handler calls.
    (!resumes || Task.progress.get(tx, task) !== 0 || Task.progressDetail.get(tx, task) !== 0) &&
    personality.partialResult(call) === undefined
  ) {
    tx.rollback();
    const isDone = personality.hasCome(tx, task);
    tx.rollback();
    clearWaits(tx);
    // What has come must not be lost: who opens the other end of a fifo may be gone by now.
    if (isDone) Task.inCall.set(tx, task, IN_CALL.UNINTERRUPTIBLE);
    else {
      while (!personality.abandonStep(tx, task)) tx.commit();
      Task.inCall.set(tx, task, IN_CALL.ABANDONED);
    }
    tx.commit();
    return;
  }
  const restoring = (Task.attention.get(tx, task) & ATTENTION.RESTORE_MASK) !== 0;
  const mask = restoring ? Task.savedMask : Task.mask;
  const oldMaskLow = mask.get(tx, task, 0);
  const oldMaskHigh = mask.get(tx, task, 1);
  if ((action.flags & SA.RESETHAND) !== 0) {
    const at = (info.signal - 1) * ACTION.words;
    SignalHandlers.actions.set(tx, handlers, at, SIG_DFL);
    SignalHandlers.actions.set(tx, handlers, at + 1, 0);
  }
  interruptCall(call, personality, resumes);
  try {
    personality.pushSignalFrame(call, info.signal, info, { ...action, oldMaskLow, oldMaskHigh });
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    tx.rollback();
    beginExit(tx, Task.process.get(tx, task), SIG.SEGV);
    tx.commit();
    return;
  }
  if (!takeSignal(tx, task, info.signal, info)) {
    tx.rollback();
    return;
  }
  let blockLow = action.maskLow;
  let blockHigh = action.maskHigh;
  if ((action.flags & SA.NODEFER) === 0) {
    const [low, high] = onlySignal(info.signal);
    blockLow |= low;
    blockHigh |= high;
  }
  const unblockable = (1 << (SIG.KILL - 1)) | (1 << (SIG.STOP - 1));
  Task.mask.set(tx, task, 0, (Task.mask.get(tx, task, 0) | blockLow) & ~unblockable);
  Task.mask.set(tx, task, 1, Task.mask.get(tx, task, 1) | blockHigh);
  let attention = Task.attention.get(tx, task) & ~ATTENTION.RESTORE_MASK;
  if (nextSignal(tx, task) === 0) attention &= ~ATTENTION.SIGNAL;
  Task.attention.set(tx, task, attention);
  tx.commit();
}

/** Takes the task off the futex that it waits for; a wake-up that came before is not lost: the call ends. */
function leaveFutex(call: SystemCall): void {
  const { tx, task } = call;
  if (leaveMutexWait(tx, task)) {
    forgetCall(tx, task);
    finishCall(tx, call.registers, 0);
  }
  tx.commit();
}

/** If the task is inside a waiting call, ends that call: EINTR, or from the beginning after the handler. */
function interruptCall(call: SystemCall, personality: Personality, resumes: boolean): void {
  const { tx, task, registers } = call;
  if (Task.inCall.get(tx, task) === 0) return;
  const partial = personality.partialResult(call);
  if (partial === undefined && resumes) {
    forgetCall(tx, task);
    return;
  }
  forgetCall(tx, task);
  if (partial !== undefined) forgetProgress(tx, task);
  finishCall(tx, registers, partial ?? -errno.EINTR.code);
}

/** Clears what a call that waits over several attempts has left in the task. */
export function forgetCall(tx: Transaction, task: Task): void {
  if (Task.deadline.get(tx, task) !== 0) Task.deadline.set(tx, task, 0);
  forgetRecordWait(tx, task);
  if (Task.inCall.get(tx, task) !== 0) Task.inCall.set(tx, task, 0);
}

/** The call that is at its end had come so far; the next one begins at its beginning. */
export function forgetProgress(tx: Transaction, task: Task): void {
  if (Task.progress.get(tx, task) !== 0) Task.progress.set(tx, task, 0);
  if (Task.progressDetail.get(tx, task) !== 0) Task.progressDetail.set(tx, task, 0);
}

/** Puts back the mask that sigsuspend, ppoll or pselect replaced, when no handler did. */
function restoreMask(tx: Transaction, task: Task): void {
  const process = Task.process.get(tx, task);
  Process.signals.acquire(tx, process);
  Task.mask.set(tx, task, 0, Task.savedMask.get(tx, task, 0));
  Task.mask.set(tx, task, 1, Task.savedMask.get(tx, task, 1));
  let attention = Task.attention.get(tx, task) & ~ATTENTION.RESTORE_MASK;
  if (deliverable(tx, task, 0) !== 0 || deliverable(tx, task, 1) !== 0) attention |= ATTENTION.SIGNAL;
  Task.attention.set(tx, task, attention);
}
