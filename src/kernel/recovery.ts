/**
 * What follows the death of a hart: its request is rolled back, its task goes on elsewhere.
 *
 * A hart that died in a system call or a fault leaves a task whose registers say that the call has not been
 * made, or that it is finished (rule R2); another hart runs it on. A hart that died in user mode may have died
 * between an instruction's effects, so its task's process is killed, and that is counted as a class of its
 * own (rule R14).
 *
 * The caller has made sure that the thread has ended.
 */

import { errno } from "../base/errno.ts";
import { REG_PC } from "../base/hart-abi.ts";
import { SLOT } from "../heap/layout.ts";
import type { Transaction } from "../heap/transaction.ts";
import { keepCall } from "./attend.ts";
import { cancelHostCall, finishHostCall } from "./host-call.ts";
import { recoverRequest } from "./placement/recover.ts";
import { beginExit } from "./process.ts";
import { clearSegments, clearWaits } from "./request.ts";
import { abandonHart, Hart, retireTask, ringDoorbell } from "./scheduler.ts";
import { SIG } from "./signal.ts";
import { ATTENTION, RUN, Task } from "./task.ts";

/** How a dead hart's task fared. */
export type HartDeath = "idle" | "in a request" | "in user mode" | "of a poison request";

/** Harts that may die of one request by themselves before its task is not run on (rule R14). */
export const HARTS_PER_REQUEST = 3;

/**
 * Recovers hart `hart`, from whose request slot `tx` works now. `thread` is the recovering thread. Undefined
 * if another thread still has to do with the request (a server that has not yet handed it back, another
 * recoverer): ask again. `blame`: the thread died by itself (an exception in the kernel, a hang), not by a
 * fault from outside, so the request may be the reason.
 */
export function recoverHart(
  tx: Transaction,
  hart: Hart,
  thread: number,
  isDead: (thread: number) => boolean,
  blame = false,
): HartDeath | undefined {
  if (!recoverRequest(tx, thread, isDead)) return undefined;
  Atomics.store(tx.words, tx.slotAt + SLOT.holder, thread);
  forgetScratch(tx);
  Atomics.store(tx.words, Hart.idle.at(hart), 0);
  // It may have been the hart that was to wake for the next deadline, of which those asleep have not heard.
  ringDoorbell(tx, 1);
  const wasInUser = Hart.inUser.get(tx, hart) !== 0;
  const task = Hart.current.get(tx, hart) as Task;
  if (task === 0) return "idle";
  const isGuest = Task.hostCall.get(tx, task) === 0;
  // The ending first: were the task made ready first, another hart might run it on meanwhile.
  if (wasInUser && isGuest) {
    beginExit(tx, Task.process.get(tx, task), SIG.KILL);
    tx.commit();
  }
  tx.words[Hart.inUser.at(hart)] = 0;
  if (blame && !wasInUser && isPoison(tx, task)) {
    giveUp(tx, hart, task);
    return "of a poison request";
  }
  if (!wasInUser && isGuest) keepCall(tx, task, false);
  abandonHart(tx, hart);
  tx.commit();
  return wasInUser && isGuest ? "in user mode" : "in a request";
}

/** Counts the death of a hart at this place of the task; true if there have been too many. */
function isPoison(tx: Transaction, task: Task): boolean {
  const registers = Task.registers.get(tx, task);
  const at = registers === 0 ? 0 : tx.memory[registers + (REG_PC >> 2)]!;
  const attempts = Task.attemptsAt.get(tx, task) === at ? Task.attempts.get(tx, task) + 1 : 1;
  Task.attemptsAt.set(tx, task, at);
  Task.attempts.set(tx, task, attempts);
  tx.commit();
  return attempts >= HARTS_PER_REQUEST;
}

/**
 * The task is not run on: a host call fails, a process gets SIGKILL, and what cannot even be ended stays
 * stopped for ever, so that the others go on.
 */
function giveUp(tx: Transaction, hart: Hart, task: Task): void {
  Task.attempts.set(tx, task, 0);
  const record = Task.hostCall.get(tx, task);
  if (record !== 0) {
    cancelHostCall(tx, record);
    finishHostCall(tx, record, -errno.EIO.code);
    retireTask(tx, hart, task, RUN.NEW);
  } else if (Task.isTimer.get(tx, task) !== 0 || (Task.attention.get(tx, task) & ATTENTION.EXIT) !== 0) {
    retireTask(tx, hart, task, RUN.STOPPED);
  } else {
    beginExit(tx, Task.process.get(tx, task), SIG.KILL);
    tx.commit();
    abandonHart(tx, hart);
  }
  tx.commit();
  // What was cancelled may have made a task ready, for which nobody has been rung.
  ringDoorbell(tx, 1);
}

/** What the dead one had noted in the slot for its request, which none of its attempts will read again. */
function forgetScratch(tx: Transaction): void {
  clearWaits(tx);
  clearSegments(tx);
  tx.words[tx.slotAt + SLOT.deadline] = 0;
  tx.words[tx.slotAt + SLOT.deadline + 1] = 0;
}
