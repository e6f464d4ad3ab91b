import assert from "node:assert/strict";
import { test } from "node:test";
import { scenarios } from "../../src/campaign/calls/all.ts";
import type { Scenario } from "../../src/campaign/calls/scenario.ts";
import { CrashLoop, CrashRecord } from "../../src/campaign/crash-loop.ts";
import { Driver } from "../../src/campaign/driver.ts";
import { plainly, runScenario } from "../../src/campaign/run-scenario.ts";
import { checkHeap } from "../../src/heap/check.ts";
import type { OneThreadMachine } from "../../src/campaign/machine.ts";
import { callRows } from "../../src/linux/table.ts";
import { setterSites } from "../../tools/campaign/setter-sites.ts";

test("every scenario comes to its end and leaves a sound heap, and every call with a handler is in one", () => {
  const made = new Set<number>();
  for (const scenario of scenarios) {
    let machine: OneThreadMachine | undefined;
    const { calls } = runScenario(scenario, (started, code) => {
      machine = started;
      return new Driver(started, plainly, code);
    });
    for (const call of calls) made.add(call);
    assert.deepEqual(checkHeap(machine!.view), [], scenario.name);
  }
  const missing = callRows.filter(({ handler, number }) => handler !== undefined && !made.has(number));
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
});

/** Runs one scenario under the crash loop. */
function crash(scenario: Scenario, pointsMax: number): CrashRecord {
  const record = new CrashRecord();
  let isReady = false;
  const loop = new CrashLoop(record, { kinds: ["exception", "death"], pointsMax, wanted: () => isReady });
  runScenario(scenario, loop.driver.bind(loop), () => {
    isReady = true;
  });
  return record;
}

test("a pipe between two processes survives faults at points of every segment", () => {
  const scenario = scenarios.find(({ name }) => name === "pipes/between processes")!;
  const record = crash(scenario, 12);
  assert.ok(record.segments.length > 15);
  assert.ok(record.runs > 300);
  assert.deepEqual(record.failures, []);
});

test("store sites on the stack are those of the syntax tree", () => {
  const record = crash(scenarios.find(({ name }) => name === "pipes/one process")!, 1);
  const all = new Set(setterSites());
  assert.ok(all.size > 800);
  const reached = [...record.sites];
  const unknown = reached.filter((site) => !all.has(site) && !site.startsWith("unknown"));
  // Stores that go through the tables of the memory are made word by word, not by setters.
  assert.ok(unknown.length < reached.length / 3, unknown.join("\n"));
});
