/** The two zones of the pool of frames: claims, exhaustion, and what rollbacks and other harts make of them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { errno } from "../../base/errno.ts";
import { checkHeap } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { rollbackTo, savepoint } from "../../heap/savepoint.ts";
import type { HookedTransaction } from "../../heap/transaction.ts";
import { allocateFrame, drainFrames, dropFrame, frameReferences, frameUsage } from "./frames.ts";
import { memoryLayout } from "./layout.ts";
import { claim, CLAIM_MAX, CONTROL, holdsAt, itemsInUse, RING } from "./pool.ts";
import { registerFrameHolder } from "./check.ts";
import { forgetTestFile, request, testMachine } from "./testing/test-machine.ts";

/** Frames that the tests have; the checker counts them. */
const mine: number[] = [];
registerFrameHolder((_view, add) => mine.forEach(add));

function scene() {
  forgetTestFile();
  mine.length = 0;
  const machine = testMachine();
  const pool = memoryLayout(machine.tx).framePool;
  const homes = machine.tx.words[pool.controlAt + CONTROL.homes]!;
  const end = machine.tx.words[pool.controlAt + CONTROL.end]!;
  return { ...machine, pool, homes, end };
}

/** Gives up what the tests have. */
function dropAll(tx: HookedTransaction): void {
  while (mine.length > 0) {
    request(tx, () => mine.splice(-100).forEach((frame) => dropFrame(tx, frame)));
  }
}

test("a claim gets the frames that were asked for, up to the first that somebody has", () => {
  const { tx, pool, homes, end } = scene();
  const free = frameUsage(tx).free;
  assert.equal(homes % CLAIM_MAX, 0);
  const got = (item: number, count: number): number => {
    const number = request(tx, () => claim(tx, pool, item, count));
    for (let i = 0; i < number; i++) mine.push(item + i);
    return number;
  };
  assert.equal(got(homes + 20, 3), 3);
  assert.equal(got(homes + 20, 3), 0);
  assert.equal(got(homes + 10, 16), 10);
  assert.equal(got(end - 2, 16), 2);
  assert.equal(got(homes + 100, 1000), CLAIM_MAX);
  assert.deepEqual([got(homes - 1, 1), got(end, 1), got(2 ** 32 - 1, 1)], [0, 0, 0]);
  assert.equal(frameUsage(tx).free, free - mine.length);
  for (const frame of mine) assert.equal(frameReferences(tx, frame), 1);
  assert.deepEqual(checkHeap(tx), []);
  dropAll(tx);
  assert.equal(frameUsage(tx).free, free);
  assert.equal(got(homes + 20, 1), 1);
  dropAll(tx);
  assert.deepEqual(checkHeap(tx), []);
});

test("what a rolled back claim has taken is free again, at the latest with the slot's next one", () => {
  const { tx, pool, homes } = scene();
  drainFrames(tx);
  const free = frameUsage(tx).free;
  claim(tx, pool, homes, 5);
  tx.rollback();
  assert.deepEqual(checkHeap(tx), []);
  assert.equal(frameUsage(tx).free, free - 5);
  assert.equal(
    request(tx, () => claim(tx, pool, homes + 5, 1)),
    1,
  );
  mine.push(homes + 5);
  assert.deepEqual(checkHeap(tx), []);
  assert.equal(frameUsage(tx).free, free - 1);
  // The later part of a transaction is undone, the earlier one stays.
  assert.equal(claim(tx, pool, homes, 2), 2);
  const mark = savepoint(tx);
  claim(tx, pool, homes + 32, 4);
  rollbackTo(tx, mark);
  assert.equal(claim(tx, pool, homes + 64, 3), 3);
  tx.commit();
  mine.push(homes, homes + 1, homes + 64, homes + 65, homes + 66);
  assert.deepEqual(checkHeap(tx), []);
  assert.equal(frameUsage(tx).free, free - 6);
  claim(tx, pool, homes + 80, 7);
  tx.rollback();
  drainFrames(tx);
  dropAll(tx);
  assert.equal(frameUsage(tx).free, free);
  assert.deepEqual(checkHeap(tx), []);
});

test("a transaction claims no more than its hold ring holds, and the rest is left to take", () => {
  const { tx, pool, homes } = scene();
  let item = homes;
  for (;;) {
    const got = claim(tx, pool, item, CLAIM_MAX);
    for (let i = 0; i < got; i++) mine.push(item + i);
    item += got;
    if (got < CLAIM_MAX) break;
  }
  assert.equal(item - homes, 1024);
  mine.push(allocateFrame(tx));
  tx.commit();
  assert.deepEqual(checkHeap(tx), []);
  dropAll(tx);
  assert.deepEqual(checkHeap(tx), []);
});

test("all frames of both zones can be taken, by either way first, and are free again afterwards", () => {
  for (const claimsFirst of [true, false]) {
    const { tx, pool, homes, end } = scene();
    drainFrames(tx);
    const { free, total } = frameUsage(tx);
    assert.equal(free, total);
    assert.equal(itemsInUse(tx, pool), 0);
    const claimAll = (): void => {
      for (let item = homes; item < end; item += CLAIM_MAX) {
        const got = request(tx, () => claim(tx, pool, item, CLAIM_MAX));
        for (let i = 0; i < got; i++) mine.push(item + i);
      }
    };
    if (claimsFirst) claimAll();
    for (;;) {
      try {
        mine.push(request(tx, () => allocateFrame(tx)));
      } catch (error) {
        assert.equal(error, errno.ENOMEM);
        break;
      }
    }
    claimAll();
    assert.equal(mine.length, free);
    assert.equal(new Set(mine).size, free);
    assert.equal(itemsInUse(tx, pool), free);
    assert.equal(frameUsage(tx).free, 0);
    assert.deepEqual(checkHeap(tx), []);
    // A single home that is free somewhere is found.
    const lone = mine.splice(mine.indexOf(homes + 77), 1);
    request(tx, () => dropFrame(tx, lone[0]!));
    assert.equal(frameUsage(tx).free, 1);
    mine.push(request(tx, () => allocateFrame(tx)));
    assert.equal(mine.at(-1), homes + 77);
    dropAll(tx);
    drainFrames(tx);
    assert.equal(frameUsage(tx).free, total);
    assert.equal(itemsInUse(tx, pool), 0);
    assert.deepEqual(checkHeap(tx), []);
  }
});

test("singles are used up before a refill takes homes, and those from the top", () => {
  const { tx, homes, end } = scene();
  const singles = homes - memoryLayout(tx).framesFrom;
  for (let i = 0; i < singles; i++) mine.push(request(tx, () => allocateFrame(tx)));
  assert.ok(mine.every((frame) => frame < homes));
  mine.push(request(tx, () => allocateFrame(tx)));
  assert.equal(mine.at(-1), end - 1);
  dropAll(tx);
  assert.deepEqual(checkHeap(tx), []);
});

test("a crash at every step of claims, refills from the homes and giving up", () => {
  const { tx, pool, homes } = scene();
  const singles = homes - memoryLayout(tx).framesFrom;
  for (let i = 0; i < singles; i++) mine.push(request(tx, () => allocateFrame(tx)));
  const kept = mine.length;
  const report = crashLoop({
    tx,
    pairs: true,
    operation: () => {
      // What the transaction has is given up with it, so that nobody else has to keep it.
      const got = claim(tx, pool, homes + 32, 6) + claim(tx, pool, homes + 36, 6);
      for (let i = 0; i < got; i++) dropFrame(tx, homes + 32 + i);
      dropFrame(tx, allocateFrame(tx));
      return got;
    },
    observe: () => [mine.length],
  });
  assert.equal(mine.length, kept);
  assert.ok(report.points > 60, `${report.points} points`);
  assert.ok(report.pairs > 500, `${report.pairs} pairs`);
});

test("the ring of a slot that was taken over is given up by whoever has the slot then", () => {
  const { tx, other, pool, homes } = scene();
  assert.equal(claim(other, pool, homes, 4), 4);
  other.rollback();
  const ring = holdsAt(pool, other.slotIndex);
  assert.equal(other.words[ring + RING.filled]! - other.words[ring]!, 4);
  assert.equal(
    request(tx, () => claim(tx, pool, homes, 4)),
    0,
  );
  drainFrames(other);
  assert.equal(
    request(tx, () => claim(tx, pool, homes, 4)),
    4,
  );
  mine.push(homes, homes + 1, homes + 2, homes + 3);
  dropAll(tx);
  assert.deepEqual(checkHeap(tx), []);
});

test("two threads that claim the same frames get each of them once", { timeout: 60_000 }, async () => {
  forgetTestFile();
  mine.length = 0;
  const { tx } = testMachine({ slots: 3 });
  drainFrames(tx);
  const free = frameUsage(tx).free;
  const owners = new SharedArrayBuffer(4 * memoryLayout(tx).framesEnd);
  const workers = [1, 2].map((slot) => {
    const workerData = { ...tx.buffers, slot, owners };
    return new Worker(new URL("./testing/claim-worker.ts", import.meta.url), { workerData });
  });
  const counts = await Promise.all(
    workers.map(
      (worker) =>
        new Promise<{ got: number; missed: number }>((resolve, reject) => {
          worker.on("error", reject);
          worker.on("message", resolve);
        }),
    ),
  );
  for (const { got } of counts) assert.ok(got > 10_000, `${got} claimed`);
  assert.ok(counts.some(({ missed }) => missed > 0));
  assert.equal(frameUsage(tx).free, free);
  assert.deepEqual(checkHeap(tx), []);
});
