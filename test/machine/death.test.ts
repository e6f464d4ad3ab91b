/**
 * Real deaths in a machine that runs Debian's bash: threads stop inside a transaction and are ended there. The
 * programs notice nothing, another thread takes the place of the dead one, and the heap is whole afterwards.
 */

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { BootOptions, Machine } from "../../src/machine/api.ts";
import { bootWithFaults } from "../../src/machine/boot.ts";
import type { FaultTarget } from "../../src/machine/fault-control.ts";
import type { FaultPoint, MachineFaults } from "../../src/machine/faults.ts";
import { missingImage, PRINTED, WORKLOAD } from "./debian.ts";

const skip = await missingImage();
const options = { skip, timeout: 120_000 };
/** Time for a thread to come to its point, and for another to take its place, ms. */
const PATIENCE_MS = 30_000;

/** Runs the workload, again and again while `strike` does its worst, and looks at everything afterwards. */
async function survive(
  placement: NonNullable<BootOptions["placement"]>,
  hangMs: number,
  strike: (faults: MachineFaults) => Promise<void>,
): Promise<void> {
  const { machine, faults } = await bootWithFaults({ image: "debian", placement }, { hooks: true, hangMs });
  try {
    let isOver = false;
    const struck = strike(faults).finally(() => {
      isOver = true;
    });
    struck.catch(() => undefined);
    const expected = { stdout: PRINTED, stderr: "", exitCode: 0 };
    while (!isOver) assert.deepEqual(await run(machine), expected);
    await struck;
    assert.deepEqual(await run(machine), expected);
  } finally {
    await machine[Symbol.asyncDispose]();
  }
  assert.deepEqual(faults.check(), []);
}

async function run(machine: Machine): Promise<{ stdout: string; stderr: string; exitCode: number | null }> {
  const { stdout, stderr, exitCode } = await machine.exec(["bash", "-c", WORKLOAD], { timeoutMs: 60_000 });
  return { stdout, stderr, exitCode };
}

/** Lets the thread run into the point. */
async function stop(
  t: TestContext,
  faults: MachineFaults,
  target: FaultTarget,
  at: FaultPoint,
): Promise<void> {
  const place = await faults.stopAt(target, at, PATIENCE_MS);
  assert.ok(place !== undefined, `${target} has not come to its point`);
  t.diagnostic(`${target} stopped at ${place}`);
}

test("a hart that ends at a store, at a lock and behind a commit", options, async (t) => {
  await survive({}, 60_000, async (faults) => {
    for (const [hart, at] of [
      [0, { point: "store", count: 1000 }],
      [1, { point: "lock", count: 50 }],
      [0, { point: "committed", count: 20 }],
    ] as const) {
      await stop(t, faults, hart, at);
      faults.end(hart);
      assert.ok(await faults.replaced(hart, PATIENCE_MS), "no other hart took its place");
    }
    assert.equal(faults.deaths("harts"), 3);
  });
});

test("servers' threads that end in the middle of a call", options, async (t) => {
  await survive({ pipe: "worker", auth: "worker" }, 60_000, async (faults) => {
    for (const [server, at] of [
      ["pipe", { point: "store", count: 40 }],
      ["auth", { point: "lock", count: 3 }],
      ["pipe", { point: "lock", count: 10 }],
    ] as const) {
      await stop(t, faults, server, at);
      faults.end(server);
      assert.ok(await faults.replaced(server, PATIENCE_MS), "no other thread took its place");
    }
    assert.equal(faults.deaths("servers"), 3);
  });
});

test("a warden that ends while its harts are in the middle of requests", options, async (t) => {
  await survive({ pipe: "worker" }, 60_000, async (faults) => {
    // In user mode the death of a hart costs the process that it runs (rule R14), so both stop first; the
    // second at its next step, or waiting for a lock that the first holds.
    await stop(t, faults, 0, { point: "store", count: 300 });
    await faults.stopAt(1, { point: "any", count: 1 }, 2000);
    await faults.endWarden();
    for (const hart of [0, 1]) assert.ok(await faults.replaced(hart, PATIENCE_MS), "no new hart");
    assert.equal(faults.deaths("wardens"), 1);
  });
});

test("a hart that hangs inside a transaction is ended by its warden", options, async (t) => {
  await survive({}, 1000, async (faults) => {
    await stop(t, faults, 0, { point: "store", count: 200 });
    assert.ok(await faults.replaced(0, PATIENCE_MS), "the hart that hangs was not replaced");
    // Whoever waited for one of its locks may have been taken for hung too.
    assert.ok(faults.deaths("harts") >= 1);
  });
});
