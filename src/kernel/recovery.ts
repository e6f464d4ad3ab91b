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

import { SLOT } from "../heap/layout.ts";
import type { Transaction } from "../heap/transaction.ts";
import { recoverRequest } from "./placement/recover.ts";
import { beginExit } from "./process.ts";
import { clearSegments, clearWaits } from "./request.ts";
import { abandonHart, Hart } from "./scheduler.ts";
import { SIG } from "./signal.ts";
import { Task } from "./task.ts";

/** How a dead hart's task fared. */
export type HartDeath = "idle" | "in a request" | "in user mode";

/**
 * Recovers hart `hart`, from whose request slot `tx` works now. `thread` is the recovering thread. Undefined
 * if another thread still has to do with the request (a server that has not yet handed it back, another
 * recoverer): ask again.
 */
export function recoverHart(
  tx: Transaction,
  hart: Hart,
  thread: number,
  isDead: (thread: number) => boolean,
): HartDeath | undefined {
  if (!recoverRequest(tx, thread, isDead)) return undefined;
  Atomics.store(tx.words, tx.slotAt + SLOT.holder, thread);
  forgetScratch(tx);
  Atomics.store(tx.words, Hart.idle.at(hart), 0);
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
  abandonHart(tx, hart);
  tx.commit();
  return wasInUser && isGuest ? "in user mode" : "in a request";
}

/** What the dead one had noted in the slot for its request, which none of its attempts will read again. */
function forgetScratch(tx: Transaction): void {
  clearWaits(tx);
  clearSegments(tx);
  tx.words[tx.slotAt + SLOT.deadline] = 0;
  tx.words[tx.slotAt + SLOT.deadline + 1] = 0;
}
