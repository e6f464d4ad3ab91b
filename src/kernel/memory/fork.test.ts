import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { errno } from "../../base/errno.ts";
import { census, checkHeap } from "../../heap/check.ts";
import type { HookedTransaction } from "../../heap/transaction.ts";
import { createSpace, destroyStep, holdSpace, releaseSpace } from "./address-space.ts";
import { FAULT, handleFault } from "./fault.ts";
import { beginFork, cancelFork, forkStep } from "./fork.ts";
import { drainFrames, frameUsage } from "./frames.ts";
import { MAP, munmap } from "./mmap.ts";
import { tableUsage } from "./page-table.ts";
import { mprotect } from "./protect.ts";
import { AddressSpace, PROT } from "./records.ts";
import {
  bindSafepoint,
  isTakingDone,
  leaveSpace,
  pendingTaking,
  publishSafepoint,
  releasePending,
} from "./safepoint.ts";
import {
  access,
  anonymous,
  forgetTestFile,
  map,
  openTestFile,
  OWNER,
  peek,
  poke,
  request,
  STACK_LIMIT,
  steps,
  testMachine,
  walk,
} from "./testing/test-machine.ts";

beforeEach(forgetTestFile);

function fork(tx: HookedTransaction, parent: AddressSpace): AddressSpace {
  const child = request(tx, () => beginFork(tx, parent, OWNER));
  steps(tx, () => forkStep(tx, child, OWNER));
  return child;
}

function destroy(tx: HookedTransaction, space: AddressSpace): void {
  request(tx, () => releaseSpace(tx, space));
  while (!request(tx, () => destroyStep(tx, space)));
}

test("parent and child share until one writes, and shared memory stays shared", () => {
  const { tx, space } = testMachine();
  const file = openTestFile(tx, 2);
  const own = map(tx, space, anonymous(4 * 4096));
  const both = map(tx, space, anonymous(2 * 4096, { flags: MAP.SHARED | MAP.ANONYMOUS }));
  const hidden = map(tx, space, anonymous(2 * 4096, { flags: MAP.PRIVATE, file }));
  poke(tx, space, own, 1);
  peek(tx, space, own + 4096);
  poke(tx, space, both, 2);
  poke(tx, space, hidden, 3);
  peek(tx, space, hidden + 4096);
  const child = fork(tx, space);
  assert.deepEqual(checkHeap(tx), []);
  assert.deepEqual([peek(tx, child, own), peek(tx, child, both), peek(tx, child, hidden)], [1, 2, 3]);
  poke(tx, child, own, 11);
  poke(tx, child, own + 4096, 12);
  poke(tx, space, hidden, 13);
  poke(tx, child, both, 14);
  poke(tx, space, both + 4096, 15);
  assert.deepEqual([peek(tx, space, own), peek(tx, space, own + 4096)], [1, 0]);
  assert.deepEqual([peek(tx, child, hidden), peek(tx, child, hidden + 4096)], [3, 2]);
  assert.deepEqual([peek(tx, space, both), peek(tx, child, both + 4096)], [14, 15]);
  assert.deepEqual(checkHeap(tx), []);
  destroy(tx, child);
  const resident = AddressSpace.residentPages.get(tx, space);
  poke(tx, space, own, 16);
  assert.equal(AddressSpace.residentPages.get(tx, space), resident);
  assert.deepEqual(checkHeap(tx), []);
  destroy(tx, space);
  assert.deepEqual(checkHeap(tx), []);
  assert.equal(census(tx).get("mapping"), undefined);
});

test("a page that was read-only at the fork is not shared by a later mprotect", () => {
  const { tx, space } = testMachine();
  const at = map(tx, space, anonymous(4096));
  poke(tx, space, at, 1);
  steps(tx, () => mprotect(tx, space, at, 4096, PROT.READ, OWNER));
  const child = fork(tx, space);
  steps(tx, () => mprotect(tx, space, at, 4096, PROT.READ | PROT.WRITE, OWNER));
  poke(tx, space, at, 2);
  assert.equal(peek(tx, child, at), 1);
  assert.deepEqual(checkHeap(tx), []);
});

test("a fork of many pages goes in steps, can be given up, and everything comes back", () => {
  const { tx, space } = testMachine({ memory: 32 << 20 });
  const usage = (): unknown => {
    drainFrames(tx);
    return [frameUsage(tx), tableUsage(tx), [...census(tx)]];
  };
  const empty = usage();
  const at = map(tx, space, anonymous(1000 * 4096));
  for (let i = 0; i < 1000; i++) poke(tx, space, at + i * 4096, i);
  const before = usage();
  const child = request(tx, () => beginFork(tx, space, OWNER));
  assert.equal(
    request(tx, () => forkStep(tx, child, OWNER)),
    -1,
  );
  assert.throws(() => request(tx, () => munmap(tx, space, at, 4096, OWNER + 1)));
  assert.deepEqual(checkHeap(tx), []);
  request(tx, () => cancelFork(tx, child, OWNER));
  while (!request(tx, () => destroyStep(tx, child)));
  assert.deepEqual(usage(), before);
  const second = fork(tx, space);
  assert.equal(peek(tx, second, at + 999 * 4096), 999 & 255);
  destroy(tx, second);
  assert.deepEqual(usage(), before);
  steps(tx, () => munmap(tx, space, at, 1000 * 4096, OWNER));
  assert.deepEqual(usage(), empty);
  assert.deepEqual(checkHeap(tx), []);
});

test("tables run out: ENOMEM, and the fork can be given up", () => {
  const { tx, space } = testMachine();
  const at = map(tx, space, anonymous(4096));
  poke(tx, space, at, 1);
  const children: AddressSpace[] = [];
  assert.throws(
    () => {
      for (;;) {
        const child = request(tx, () => beginFork(tx, space, OWNER));
        children.push(child);
        steps(tx, () => forkStep(tx, child, OWNER));
      }
    },
    (error) => error === errno.ENOMEM,
  );
  assert.deepEqual(checkHeap(tx), []);
  for (const child of children) destroy(tx, child);
  assert.deepEqual(checkHeap(tx), []);
  destroy(tx, fork(tx, space));
});

test("with two tasks: entries come after the commit, frames wait for the other's safepoint", () => {
  const { tx, other, space } = testMachine();
  const at = map(tx, space, anonymous(4 * 4096));
  request(tx, () => holdSpace(tx, space));
  bindSafepoint(tx, 0);
  bindSafepoint(other, 1);
  publishSafepoint(tx, space);
  publishSafepoint(other, space);
  request(tx, () => handleFault(tx, space, at, 1, STACK_LIMIT));
  assert.equal(walk(tx, space, at, 1, true), -1, "not before the commit of the page word");
  poke(tx, space, at, 5);
  poke(tx, space, at + 4096, 6);
  const free = frameUsage(tx).free;
  steps(tx, () => munmap(tx, space, at, 4096, OWNER));
  assert.equal(walk(tx, space, at, 1, false), -1);
  assert.equal(isTakingDone(tx, space), false);
  assert.ok(pendingTaking(tx, space) !== undefined);
  assert.equal(
    request(tx, () => releasePending(tx, space)),
    false,
  );
  assert.deepEqual(checkHeap(tx), []);
  publishSafepoint(other, space);
  assert.equal(isTakingDone(tx, space), true);
  assert.equal(
    request(tx, () => releasePending(tx, space)),
    true,
  );
  drainFrames(tx);
  assert.ok(frameUsage(tx).free > free);
  assert.deepEqual(checkHeap(tx), []);

  // Copying: the page moves only when the other has let go of the old frame.
  const child = request(tx, () => beginFork(tx, space, OWNER));
  for (let i = 0; i < 3; i++)
    assert.equal(
      request(tx, () => forkStep(tx, child, OWNER)),
      -1,
      "not yet",
    );
  assert.equal(isTakingDone(tx, space), false);
  publishSafepoint(other, space);
  assert.equal(
    request(tx, () => forkStep(tx, child, OWNER)),
    0,
  );
  request(tx, () => releasePending(tx, space));
  assert.equal(
    request(tx, () => handleFault(tx, space, at + 4096, 1, STACK_LIMIT)),
    FAULT.WAIT,
  );
  assert.equal(walk(tx, space, at + 4096, 1, false), -1);
  assert.equal(
    request(tx, () => handleFault(tx, space, at + 4096, 0, STACK_LIMIT)),
    FAULT.WAIT,
  );
  assert.deepEqual(checkHeap(tx), []);
  leaveSpace(other);
  assert.equal(access(tx, space, at + 4096, 1), 0);
  poke(tx, space, at + 4096, 7);
  assert.equal(peek(tx, child, at + 4096), 6);
  assert.deepEqual(checkHeap(tx), []);
  request(tx, () => releaseSpace(tx, space));
  destroy(tx, space);
  destroy(tx, child);
  destroy(
    tx,
    request(tx, () => createSpace(tx)),
  );
  assert.deepEqual(checkHeap(tx), []);
});
