import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkHeap } from "../heap/check.ts";
import { createHeap } from "../heap/heap.ts";
import { HookedTransaction } from "../heap/transaction.ts";
import { createFutexes, insertWaiter } from "./futex.ts";
import "./futex-owner.ts";
import { FutexWaiter, Task } from "./task.ts";
import { KernelThread } from "./thread.ts";

/** Two tasks that wait for one mutex of thread 9. */
function setUp(): { tx: HookedTransaction; waiters: readonly [FutexWaiter, FutexWaiter] } {
  const host = new KernelThread(1, { monotonic: () => 1e9, realtime: () => 1e9 }, { fill: () => {} }, () => {
    throw new Error("contended in one thread");
  });
  const heap = createHeap({ bytes: 8 << 20, slots: 2 });
  const tx = new HookedTransaction({ heap, memory: new SharedArrayBuffer(1 << 20) }, 0, host, () => {});
  createFutexes(tx);
  const made = [3, 4].map((tid) => {
    const task = Task.allocate(tx);
    Task.tid.init(tx, task, tid);
    insertWaiter(tx, task, { object: 64, offset: 4096 }, -1, 9);
    return Task.futexWaiter.get(tx, task);
  });
  tx.commit();
  return { tx, waiters: [made[0]!, made[1]!] };
}

function violations(
  spoil: (tx: HookedTransaction, waiters: readonly [FutexWaiter, FutexWaiter]) => void,
): Set<string> {
  const { tx, waiters } = setUp();
  spoil(tx, waiters);
  tx.commit();
  return new Set(checkHeap(tx).map(({ invariant }) => invariant));
}

describe("mutants of futex waiters", () => {
  test("none, none", () => {
    const found = violations(() => {});
    assert.ok(!["X1", "X2", "X3"].some((id) => found.has(id)), [...found].join(" "));
  });
  test("X1: woken and listed, or somebody else's", () => {
    assert.ok(violations((tx, [a]) => FutexWaiter.woken.set(tx, a, 1)).has("X1"));
    assert.ok(violations((tx, [a, b]) => FutexWaiter.task.set(tx, a, FutexWaiter.task.get(tx, b))).has("X1"));
  });
  test("X3: of a later round than the next, or than the bucket", () => {
    assert.ok(violations((tx, [a]) => FutexWaiter.round.set(tx, a, 1)).has("X3"));
    assert.ok(violations((tx, [, b]) => FutexWaiter.round.set(tx, b, 1)).has("X3"));
    assert.ok(!violations((tx, [a]) => FutexWaiter.round.set(tx, a, -1)).has("X3"));
  });
  test("X2: another owner, or its own", () => {
    assert.ok(violations((tx, [a]) => FutexWaiter.ownerTid.set(tx, a, 8)).has("X2"));
    assert.ok(
      violations((tx, [a, b]) => [a, b].forEach((w) => FutexWaiter.ownerTid.set(tx, w, 3))).has("X2"),
    );
  });
});
