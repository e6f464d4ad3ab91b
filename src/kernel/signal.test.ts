import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkHeap } from "../heap/check.ts";
import { createHeap } from "../heap/heap.ts";
import { append } from "../heap/list.ts";
import { HookedTransaction } from "../heap/transaction.ts";
import "./signal.ts";
import { ATTENTION, Process, Task } from "./task.ts";
import { KernelThread } from "./thread.ts";

/** A process of two tasks, spoilt; the invariants that do not hold. */
function violations(
  spoil: (tx: HookedTransaction, process: Process, tasks: readonly [Task, Task]) => void,
): Set<string> {
  const host = new KernelThread(1, { monotonic: () => 1e9, realtime: () => 1e9 }, { fill: () => {} }, () => {
    throw new Error("contended in one thread");
  });
  const heap = createHeap({ bytes: 8 << 20, slots: 2 });
  const tx = new HookedTransaction({ heap, memory: new SharedArrayBuffer(1 << 20) }, 0, host, () => {});
  const process = Process.allocate(tx);
  const tasks = [Task.allocate(tx), Task.allocate(tx)] as const;
  for (const task of tasks) {
    Task.process.init(tx, task, process);
    append(tx, Process.tasks, process, Task.taskLinks, task);
  }
  spoil(tx, process, tasks);
  tx.commit();
  return new Set(checkHeap(tx).map(({ invariant }) => invariant));
}

describe("what tasks know of their process", () => {
  const { EXIT, STOP, SIGNAL } = ATTENTION;
  test("G3 holds", () => {
    assert.ok(!violations(() => {}).has("G3"));
    assert.ok(!violations((tx, _process, [a]) => Task.attention.set(tx, a, EXIT | SIGNAL)).has("G3"));
    const executes = violations((tx, process, [a, b]) => {
      Process.executing.set(tx, process, a);
      Task.attention.set(tx, b, EXIT);
    });
    assert.ok(!executes.has("G3"));
  });
  test("G3: an end, an execve or a stop of which one has not heard; a stop that is over", () => {
    assert.ok(violations((tx, process) => Process.ending.set(tx, process, 0x1_0000)).has("G3"));
    assert.ok(violations((tx, process, [a]) => Process.executing.set(tx, process, a)).has("G3"));
    assert.ok(violations((tx, process) => Process.stoppedBy.set(tx, process, 19)).has("G3"));
    assert.ok(violations((tx, _process, [a]) => Task.attention.set(tx, a, STOP)).has("G3"));
  });
});
