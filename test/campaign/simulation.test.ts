import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { batonOperations } from "../../src/campaign/baton-operations.ts";
import { runMachine, runOperation } from "../../src/campaign/baton-run.ts";
import { simulate } from "../../src/campaign/simulation.ts";

const programs = ["fork-wait", "pipe-pingpong"].map((name) => ({
  name,
  file: path.resolve(import.meta.dirname, "../guest/bin", name),
}));

test("the same seed gives the same trace twice, another seed another one, and the output stays", () => {
  const run = (seed: number, deathsPerTurns = 0): ReturnType<typeof simulate> =>
    simulate({ seed, harts: 3, programs, deathsPerTurns });
  const first = run(1);
  assert.equal(run(1).trace.hash, first.trace.hash);
  const other = run(2);
  assert.notEqual(other.trace.hash, first.trace.hash);
  assert.deepEqual(other.outputs, first.outputs);
  const deadly = run(1, 10);
  assert.ok(deadly.deaths > 0);
  assert.equal(run(1, 10).trace.hash, deadly.trace.hash);
  assert.deepEqual(deadly.outputs, first.outputs);
  assert.deepEqual(deadly.violations, []);
});

test("baton mode finds the planted races and no others", async () => {
  for (const { name, isPlanted } of batonOperations) {
    const results = [await runOperation(name, 1), await runOperation(name, 2)];
    assert.equal(
      results.some(({ problems }) => problems.length > 0),
      isPlanted,
      `${name}: ${results.flatMap(({ problems }) => problems).join("; ")}`,
    );
  }
  const again = await runOperation("counter", 1);
  assert.equal((await runOperation("counter", 1)).hash, again.hash);
});

test("a machine whose harts are threads in baton mode does the same thing twice", async () => {
  const first = await runMachine(programs, 1);
  assert.deepEqual(first.problems, []);
  const second = await runMachine(programs, 1);
  assert.equal(second.hash, first.hash);
  assert.deepEqual(second.outputs, first.outputs);
  assert.ok(first.switches > 100);
});
