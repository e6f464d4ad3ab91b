import assert from "node:assert/strict";
import { test } from "node:test";
import { Errno } from "../base/errno.ts";
import { redoFree } from "./allocator.ts";
import { census, checkHeap } from "./check.ts";
import { createHeap } from "./heap.ts";
import { REDO } from "./layout.ts";
import { defineRecord, i64, link, list, lock, ref, u32 } from "./record.ts";
import { append, each, remove } from "./list.ts";
import { HookedTransaction, type TransactionHost } from "./transaction.ts";

const A = defineRecord("test-a", { lock: lock("pipe"), count: u32(), size: i64(), items: list("test-b") });
const B = defineRecord("test-b", { links: link(), owner: ref("test-a"), value: u32() });

const host: TransactionHost = {
  contended: () => {
    throw new Error("contended in one thread");
  },
  redo: (tx, kind, value) => {
    assert.equal(kind, REDO.free);
    redoFree(tx, value);
    return true;
  },
};

class Crash extends Error {}

function fresh() {
  const memory = new SharedArrayBuffer(65536);
  const heap = createHeap({ bytes: 8 << 20, slots: 4 });
  return new HookedTransaction({ heap, memory }, 0, host, () => {});
}

test("every crash point of a transaction that allocates, links, unlinks and frees leaves all or nothing", () => {
  const tx = fresh();
  const a = A.allocate(tx);
  tx.commit();
  let points = 0;
  for (let crashAt = 1; ; crashAt++) {
    // Each round: add 20 records, remove every second of those there, crash at one point of it.
    const before = [...each(tx, A.items, a, B.links)].map((b) => B.value.get(tx, b));
    const countBefore = A.count.get(tx, a);
    const sequence = tx.sequence;
    let point = 0;
    tx.hook = () => {
      if (++point === crashAt) throw new Crash();
    };
    let crashed = false;
    try {
      A.lock.acquire(tx, a);
      let drop = false;
      for (const b of each(tx, A.items, a, B.links)) {
        if ((drop = !drop)) {
          remove(tx, A.items, a, B.links, b);
          B.free(tx, b);
        }
      }
      for (let i = 0; i < 20; i++) {
        const b = B.allocate(tx);
        B.value.init(tx, b, i);
        B.owner.init(tx, b, a);
        append(tx, A.items, a, B.links, b);
      }
      A.count.set(tx, a, countBefore + 1);
      A.size.set(tx, a, -(2 ** 40) - crashAt);
      tx.commit();
    } catch (error) {
      assert.ok(error instanceof Crash, String(error));
      crashed = true;
      tx.hook = () => {};
      tx.rollback();
    }
    points++;
    assert.deepEqual(checkHeap(tx), []);
    const after = [...each(tx, A.items, a, B.links)].map((b) => B.value.get(tx, b));
    if (crashed && tx.sequence === sequence) {
      assert.deepEqual(after, before);
      assert.equal(A.count.get(tx, a), countBefore);
    } else {
      assert.equal(A.count.get(tx, a), countBefore + 1);
      assert.equal(A.size.get(tx, a), -(2 ** 40) - crashAt);
    }
    assert.equal(census(tx).get("test-b") ?? 0, after.length);
    if (!crashed) break;
  }
  assert.ok(points > 150, `${points} points`);
});

test("a full heap and a full log are ENOMEM, and a rollback gives everything back", () => {
  const tx = fresh();
  const a = A.allocate(tx);
  tx.commit();
  let made = 0;
  try {
    for (;;) {
      append(tx, A.items, a, B.links, B.allocate(tx));
      tx.commit();
      made++;
    }
  } catch (error) {
    assert.ok(error instanceof Errno && error.name === "ENOMEM");
    tx.rollback();
  }
  assert.ok(made > 1000);
  assert.deepEqual(checkHeap(tx), []);
  assert.equal(census(tx).get("test-b"), made);
  let stores = 0;
  assert.throws(
    () => {
      for (;;) A.count.set(tx, a, ++stores);
    },
    (error) => error instanceof Errno && error.name === "ENOMEM",
  );
  tx.rollback();
  assert.equal(A.count.get(tx, a), 0);
});

test("locks out of order are refused, and a rollback frees those taken", () => {
  const tx = fresh();
  const a = A.allocate(tx);
  const b = A.allocate(tx);
  tx.commit();
  A.lock.acquire(tx, b > a ? b : a);
  assert.throws(() => A.lock.acquire(tx, b > a ? a : b), /lock order: pipe@\d+ after pipe/);
  tx.rollback();
  assert.deepEqual(checkHeap(tx), []);
});

/** A step of many parts: each counts in `count` and files a step that counts in `size`; the one behind it says when. */
function partsHost(parts: number): TransactionHost {
  const PART = { series: REDO.pipe, filed: REDO.task, behind: REDO.zombie } as const;
  return {
    ...host,
    redo: (tx, kind, value) => {
      const a = value as ReturnType<typeof A.allocate>;
      A.lock.acquire(tx, a);
      if (kind === PART.filed) A.size.set(tx, a, A.size.get(tx, a) + 1);
      if (kind === PART.behind) A.count.set(tx, a, A.count.get(tx, a) + 1000 * A.size.get(tx, a));
      if (kind !== PART.series) return true;
      const cursorAt = tx.redoCursorAt;
      const done = tx.words[cursorAt]! + 1;
      assert.ok(A.size.get(tx, a) >= done - 1, "what a part has filed is done before the next");
      A.count.set(tx, a, A.count.get(tx, a) + 1);
      tx.afterCommit(PART.filed, a);
      tx.store(cursorAt, done === parts ? 0 : done);
      return done === parts;
    },
  };
}

test("a step of more parts than the redo list has places files a step with each", () => {
  const heap = createHeap({ bytes: 8 << 20, slots: 4 });
  const memory = new SharedArrayBuffer(65536);
  const tx = new HookedTransaction({ heap, memory }, 0, partsHost(1000), () => {});
  const a = A.allocate(tx);
  tx.commit();
  tx.afterCommit(REDO.pipe, a);
  tx.afterCommit(REDO.zombie, a);
  tx.commit();
  assert.equal(A.size.get(tx, a), 1000);
  // What stood behind the series came after all of its parts; only what the last part filed may still be due then.
  assert.ok(A.count.get(tx, a) >= 1000 + 1000 * 999);
  assert.deepEqual(checkHeap(tx), []);
});

test("every crash point of a step in parts leaves each part done once", () => {
  let crashed = true;
  for (let crashAt = 1; crashed; crashAt++) {
    const heap = createHeap({ bytes: 8 << 20, slots: 4 });
    const memory = new SharedArrayBuffer(65536);
    const tx = new HookedTransaction({ heap, memory }, 0, partsHost(4), () => {});
    const a = A.allocate(tx);
    tx.commit();
    tx.afterCommit(REDO.pipe, a);
    tx.afterCommit(REDO.pipe, a);
    let point = 0;
    crashed = false;
    tx.hook = () => {
      if (++point === crashAt) throw new Crash();
    };
    try {
      tx.commit();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      crashed = true;
      tx.hook = () => {};
      const isBefore = tx.logged > 0;
      tx.rollback();
      if (isBefore) continue;
    }
    assert.deepEqual([A.count.get(tx, a), A.size.get(tx, a)], [8, 8], `crash at ${crashAt}`);
    assert.deepEqual(checkHeap(tx), []);
  }
});
