import assert from "node:assert/strict";
import { test } from "node:test";
import { REG_BUDGET } from "../base/hart-abi.ts";
import type { Transaction } from "../heap/transaction.ts";
import { SystemCall } from "./call.ts";
import { BUDGET_MAX, CUT_BUDGET, FIRST_BUDGET, nextBudget } from "./turn.ts";

/** The turns of a task whose transfers take `ns` each. */
function settle(ns: number, from: number): number {
  let budget = from;
  for (let turn = 0; turn < 20; turn++) budget = nextBudget(budget, budget * ns);
  return budget;
}

test("turns come to two milliseconds, whatever a transfer takes", () => {
  for (const ns of [40, 300, 2000, 10_000]) {
    assert.ok(Math.abs(settle(ns, FIRST_BUDGET) * ns - 2e6) < 2e6 * 0.01, `${ns} ns a transfer`);
  }
  assert.equal(settle(1, FIRST_BUDGET), BUDGET_MAX);
});

test("a turn that was too long is cut at once", () => {
  assert.ok(nextBudget(BUDGET_MAX, BUDGET_MAX * 5000) * 5000 <= 2.1e6);
});

test("a clock that stands still changes nothing", () => {
  assert.equal(nextBudget(FIRST_BUDGET, 0), FIRST_BUDGET);
});

test("a turn that is cut has little left, and never more than before", () => {
  const memory = new Int32Array(new SharedArrayBuffer(1024));
  const call = new SystemCall({ memory } as Partial<Transaction> as Transaction);
  call.registers = 16;
  const left = 16 + (REG_BUDGET >> 2);
  memory[left] = CUT_BUDGET / 2;
  call.cutTurn();
  assert.deepEqual([memory[left], call.isTurnCut], [CUT_BUDGET / 2, false]);
  memory[left] = BUDGET_MAX;
  call.cutTurn();
  assert.deepEqual([memory[left], call.isTurnCut], [CUT_BUDGET, true]);
});
