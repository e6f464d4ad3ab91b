/** The thread table, and the mutants that trip the invariants of threads and call frames. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkHeap } from "../../heap/check.ts";
import { createHeap, HeapView } from "../../heap/heap.ts";
import { SLOT } from "../../heap/layout.ts";
import { Transaction } from "../../heap/transaction.ts";
import { defineServer, enterPlacement, placeServers, serverIndex, workerServers } from "../placement.ts";
import { KernelThread } from "../thread.ts";
import { ship, shipment } from "./call.ts";
import { CALL_DEPTH, CONTROL, controlOf, FRAME, FRAME_STATE, frameOf, reclaim, takenBy } from "./frame.ts";
import { recoverRequest } from "./recover.ts";
import { isDead, markDead, placeThreads, registerThread, ROLE, roleOf, THREADS_MAX } from "./threads.ts";

const auth = defineServer("auth", { add: (_tx: Transaction, a: number, b: number) => a + b }).operations;
const vfs = defineServer("vfs", { nothing: (_tx: Transaction) => 0 }).operations;

function fresh(): { view: HeapView; tx: Transaction; me: number } {
  const buffers = { heap: createHeap({ bytes: 2 << 20, slots: 2 }), memory: new SharedArrayBuffer(4096) };
  const view = new HeapView(buffers);
  placeThreads(view);
  placeServers(view, { auth: "worker" });
  const me = registerThread(view, ROLE.HART);
  const thread = new KernelThread(
    me,
    { monotonic: () => 0, realtime: () => 0 },
    { fill: () => {} },
    () => {},
  );
  const tx = new Transaction(buffers, 0, thread);
  tx.words[tx.slotAt + SLOT.holder] = me;
  return { view, tx, me };
}

test("a number names one life of one thread, for ever", () => {
  const { view, me } = fresh();
  assert.equal(isDead(view, me), false);
  assert.equal(roleOf(view, me), ROLE.HART);
  markDead(view, me);
  assert.equal(isDead(view, me), true);
  const next = registerThread(view, ROLE.WARDEN);
  assert.notEqual(next, me);
  assert.equal(next % THREADS_MAX, me % THREADS_MAX);
  assert.equal(isDead(view, me), true);
  assert.equal(isDead(view, next), false);
  assert.throws(() => markDead(view, me));
  for (let i = 1; i < THREADS_MAX; i++) registerThread(view, ROLE.OTHER);
  assert.throws(() => registerThread(view, ROLE.OTHER), /more than 64 threads/);
});

test("an operation is the function itself or a stub, as the heap says", () => {
  const { view, tx } = fresh();
  assert.deepEqual(workerServers(view), ["auth"]);
  const parking = {
    wait: (): void => {
      throw new Error("waits");
    },
  };
  assert.equal(auth.add(tx, 2, 3), 5);
  enterPlacement(view, { parking, spins: 0 });
  assert.throws(() => auth.add(tx, 2, 3), /waits/);
  enterPlacement(view, { parking, spins: 0, self: "auth" });
  assert.equal(auth.add(tx, 2, 3), 5);
});

test("a server's thread is refused a call against the order of servers", () => {
  const { view, tx } = fresh();
  view.words[controlOf(view, serverIndex("vfs")) + CONTROL.worker] = 1;
  enterPlacement(view, { parking: { wait: () => {} }, spins: 0, self: "auth" });
  assert.throws(() => vfs.nothing(tx), /auth may not call vfs/);
  enterPlacement(view, { parking: { wait: () => {} }, spins: 0, self: "vfs" });
  assert.equal(vfs.nothing(tx), 0);
});

test("a call that nobody has taken is withdrawn; one that a living thread has is waited for", () => {
  const { view, tx, me } = fresh();
  const dead = (thread: number): boolean => isDead(view, thread);
  ship(tx, serverIndex("auth"), 0, [1, 2], view.root("placement"));
  assert.equal(shipment(view, 0), "lent");
  assert.throws(() => ship(tx, serverIndex("auth"), 0, [1, 2], 0), /top-level/);
  assert.equal(recoverRequest(tx, me + 1, dead), false);
  const server = registerThread(view, ROLE.SERVER);
  const state = frameOf(view, 0, 0) + FRAME.state;
  view.words[state] = takenBy(server);
  markDead(view, me);
  const other = registerThread(view, ROLE.HART);
  assert.equal(recoverRequest(tx, other, dead), false);
  markDead(view, server);
  assert.equal(shipment(view, 0), "lost");
  assert.equal(recoverRequest(tx, other, dead), true);
  assert.equal(view.words[state], FRAME_STATE.IDLE);
  assert.equal(view.words[tx.slotAt + SLOT.holder], 0);
  assert.deepEqual(checkHeap(view), []);
  assert.equal(reclaim(view, 1, 0, other, dead), true);
});

describe("mutants", () => {
  const mutants: readonly [id: string, what: string, spoil: (it: ReturnType<typeof fresh>) => void][] = [
    ["TH1", "a number that leads elsewhere", ({ view }) => void view.words[view.root("threads")]!++],
    ["TH1", "a state that is none", ({ view }) => void (view.words[view.root("threads") + 1] = 9)],
    ["TH2", "a slot held by a dead thread", ({ view, me }) => markDead(view, me)],
    ["TH2", "a dead recoverer", ({ view, tx }) => void (view.words[tx.slotAt + SLOT.recoverer] = 77)],
    ["PL1", "a frame in use", ({ view, tx }) => void (view.words[tx.slotAt + SLOT.call] = 1)],
    [
      "PL1",
      "a frame that is not idle",
      ({ view }) => {
        view.words[frameOf(view, 1, CALL_DEPTH - 1) + FRAME.state] = FRAME_STATE.DONE;
      },
    ],
    [
      "PL2",
      "a thread for a server that runs in its callers",
      ({ view, me }) => {
        view.words[controlOf(view, serverIndex("pipe")) + CONTROL.thread] = me;
      },
    ],
    [
      "PL2",
      "a placement that is none",
      ({ view }) => void (view.words[controlOf(view, 0) + CONTROL.worker] = 2),
    ],
  ];
  for (const [id, what, spoil] of mutants) {
    test(`${id}: ${what}`, () => {
      const it = fresh();
      assert.deepEqual(checkHeap(it.view), []);
      spoil(it);
      const found = new Set(checkHeap(it.view).map((violation) => violation.invariant));
      assert.ok(found.has(id), `${id} not in ${[...found].join(" ")}`);
    });
  }
});
