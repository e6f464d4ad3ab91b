/** Real threads in one address space: nothing is lost, torn or leaked. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { checkHeap } from "../../heap/check.ts";
import { destroyStep, holdSpace, releaseSpace } from "./address-space.ts";
import { drainFrames, frameUsage } from "./frames.ts";
import { AddressSpace } from "./records.ts";
import { anonymous, forgetTestFile, map, request, testMachine } from "./testing/test-machine.ts";

const THREADS = 3;
const ROUNDS = 300;

test("threads map, write, fork and unmap in one space", { timeout: 60_000 }, async () => {
  forgetTestFile();
  const { tx, space } = testMachine({ memory: 64 << 20, heap: 16 << 20, slots: THREADS + 1 });
  drainFrames(tx);
  const before = frameUsage(tx).free;
  const common = map(tx, space, anonymous(4096, { address: 0x10_0000 }));
  for (let slot = 1; slot <= THREADS; slot++) request(tx, () => holdSpace(tx, space));
  const workers: Worker[] = [];
  const threads = Array.from({ length: THREADS }, (_, i) => {
    const workerData = { ...tx.buffers, slot: i + 1, space, rounds: ROUNDS, common };
    const worker = new Worker(new URL("./testing/storm-worker.ts", import.meta.url), { workerData });
    workers.push(worker);
    return new Promise<void>((resolve, reject) => {
      worker.on("error", reject);
      worker.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`exit ${code}`))));
    });
  });
  try {
    await Promise.all(threads);
  } catch (error) {
    // A thread that has failed is not recovered here, so the others would wait for it.
    for (const worker of workers) await worker.terminate();
    throw error;
  }
  assert.deepEqual(checkHeap(tx), []);
  assert.equal(AddressSpace.mappingCount.get(tx, space), 1);
  while (!request(tx, () => releaseSpace(tx, space)));
  while (!request(tx, () => destroyStep(tx, space)));
  drainFrames(tx);
  assert.equal(frameUsage(tx).free, before);
  assert.deepEqual(checkHeap(tx), []);
});
