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
