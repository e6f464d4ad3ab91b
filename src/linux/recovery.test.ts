import assert from "node:assert/strict";
import { test } from "node:test";
import { IN_CALL } from "../kernel/attend.ts";
import { recoverHart } from "../kernel/recovery.ts";
import { Hart, hartOf } from "../kernel/scheduler.ts";
import { RUN, Task } from "../kernel/task.ts";
import { LinuxMachine } from "./testing/linux-machine.ts";

/** What a task's call is to others after its hart has died in it, having moved `progress` bytes. */
function callAfterDeath(progress: number): number {
  const { tx, task } = new LinuxMachine();
  const hart = hartOf(tx, 0);
  Task.run.set(tx, task, RUN.RUNNING);
  Hart.current.set(tx, hart, task);
  Task.progress.set(tx, task, progress);
  tx.commit();
  assert.equal(
    recoverHart(tx, hart, 1, () => true),
    "in a request",
  );
  assert.equal(Task.run.get(tx, task), RUN.READY);
  return Task.inCall.get(tx, task);
}

test("a call of several transactions goes on before a handler runs, if its hart dies in the middle", () => {
  assert.equal(callAfterDeath(65_536), IN_CALL.UNINTERRUPTIBLE);
  assert.equal(callAfterDeath(0), 0);
});
