/** Each of the heap's invariants has a mutant that trips it, and the crash loop finds planted bugs. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { redoFree, STOCK, stockOf, typeControl } from "./allocator.ts";
import { census, checkHeap, registeredInvariants } from "./check.ts";
import { crashLoop } from "./crash-loop.ts";
import { createHeap, type HeapAddr, type HeapBuffers } from "./heap.ts";
import { CHUNK, CHUNK_TYPES_AT, HEADER, LOG_HEAD, REDO, SLOT, TYPE } from "./layout.ts";
import { append, next } from "./list.ts";
import { defineRecord, link, list, lock, ref, type Ref, u32 } from "./record.ts";
import { rollbackTo, savepoint } from "./savepoint.ts";
import { HookedTransaction, type TransactionHost } from "./transaction.ts";

const A = defineRecord("test-a", { lock: lock("pipe"), count: u32(), items: list("test-b") });
const B = defineRecord("test-b", { links: link(), owner: ref("test-a") });

const host: TransactionHost = {
  contended: () => assert.fail("contended in one thread"),
  redo: (tx, _kind, value) => {
    redoFree(tx, value);
    return true;
  },
};

interface Sample {
  readonly tx: HookedTransaction;
  readonly w: Int32Array;
  readonly a: Ref<"test-a">;
  readonly first: Ref<"test-b">;
  readonly second: Ref<"test-b">;
  readonly slot: HeapAddr;
  readonly chunk: HeapAddr;
}

function buffers(): HeapBuffers {
  return { heap: createHeap({ bytes: 2 << 20, slots: 2 }), memory: new SharedArrayBuffer(4096) };
}

/** A record with a list of two, at rest. */
function sample(tx = new HookedTransaction(buffers(), 0, host, () => {})): Sample {
  const a = A.allocate(tx);
  const first = B.allocate(tx);
  const second = B.allocate(tx);
  for (const b of [first, second]) {
    B.owner.init(tx, b, a);
    append(tx, A.items, a, B.links, b);
  }
  tx.commit();
  return { tx, w: tx.words, a, first, second, slot: tx.slotAt, chunk: (a >>> 14) << 14 };
}

describe("mutants", () => {
  const mutants: readonly [id: string, what: string, spoil: (sample: Sample) => void][] = [
    ["T1", "a log that is not empty", ({ w, slot }) => void (w[slot + SLOT.main + LOG_HEAD.count] = 1)],
    ["T1", "a lock in the list", ({ w, slot }) => void (w[slot + SLOT.main + LOG_HEAD.locks] = 1)],
    [
      "T1",
      "a system log that is not empty",
      ({ w, slot }) => void (w[slot + SLOT.system + LOG_HEAD.count] = 1),
    ],
    ["T1", "a redo step left", ({ w, slot }) => void (w[slot + SLOT.redoCount] = 1)],
    [
      "A1",
      "a live block that is also in a stock",
      ({ w, slot, a }) => {
        w[stockOf(slot, A.schema.id) + STOCK.ring + (w[stockOf(slot, A.schema.id) + STOCK.taken]! & 63)] = a;
      },
    ],
    ["A1", "a block that is nowhere", ({ w, slot }) => void w[stockOf(slot, A.schema.id) + STOCK.taken]!++],
    [
      "A1",
      "a stock that holds more than its ring",
      ({ w, slot }) => void (w[stockOf(slot, A.schema.id) + STOCK.filled]! += 65),
    ],
    [
      "A1",
      "a live block marked free",
      ({ w, chunk, a }) => {
        w[chunk + 8 + (a - w[chunk + CHUNK.blocksAt]!) / w[chunk + CHUNK.blockWords]!] = 0;
      },
    ],
    [
      "A1",
      "a free block twice on the stack",
      ({ w, chunk }) => {
        w[w[chunk + CHUNK.stackAt]!] = w[w[chunk + CHUNK.stackAt]! + 1]!;
      },
    ],
    [
      "A3",
      "a partial chunk that is not listed",
      ({ w }) => void (w[typeControl(A.schema.id) + TYPE.partial] = 0),
    ],
    ["A3", "a partial list in a circle", ({ w, chunk }) => void (w[chunk + CHUNK.nextPartial] = chunk)],
    ["A3", "a chunk of another type", ({ w, chunk }) => void (w[chunk + CHUNK.type] = B.schema.id)],
    [
      "A3",
      "a chunk that the table calls another type",
      ({ w, chunk }) => {
        w[CHUNK_TYPES_AT + (chunk - w[HEADER.chunksAt]!) / 16384] = B.schema.id;
      },
    ],
    ["A3", "chunks counted wrongly", ({ w }) => void w[typeControl(A.schema.id) + TYPE.chunks]!++],
    [
      "R1",
      "a reference to a record of another type",
      ({ w, first }) => void (w[first + B.owner.word] = first),
    ],
    [
      "R1",
      "a reference to a freed record",
      ({ tx, a }) => {
        A.free(tx, a);
        tx.commit();
      },
    ],
    [
      "R1",
      "a reference into the middle of a record",
      ({ w, a, first }) => void (w[first + B.owner.word] = a + 1),
    ],
    ["R2", "a lock that is held", ({ w, a }) => void (w[a + A.lock.word] = 1)],
    ["R3", "a next one that does not point back", ({ w, second }) => void (w[second + B.links.word + 1] = 0)],
    ["R3", "a previous one that does not point here", ({ w, first }) => void (w[first + B.links.word] = 0)],
  ];
  for (const [id, what, spoil] of mutants) {
    test(`${id}: ${what}`, () => {
      const it = sample();
      assert.deepEqual(checkHeap(it.tx), []);
      spoil(it);
      const found = new Set(checkHeap(it.tx).map((violation) => violation.invariant));
      assert.ok(found.has(id), `${id} not in ${[...found].join(" ")}`);
    });
  }
  test("none of the heap's invariants is without one", () => {
    const tripped = new Set(mutants.map(([id]) => id));
    assert.deepEqual(
      registeredInvariants()
        .map(({ id }) => id)
        .filter((id) => !tripped.has(id)),
      [],
    );
  });
});

describe("planted bugs", () => {
  /** Forgets to log every `every`-th store. */
  class Forgetful extends HookedTransaction {
    every = Number.POSITIVE_INFINITY;
    #stores = 0;
    override store(word: HeapAddr, value: number): void {
      if (++this.#stores % this.every !== 0) return super.store(word, value);
      this.hook("store", this, word);
      this.words[word] = value;
    }
  }
  const operate = ({ tx, a, first }: Sample): void => {
    A.lock.acquire(tx, a);
    A.count.set(tx, a, 7);
    const b = B.allocate(tx);
    B.owner.init(tx, b, a);
    append(tx, A.items, a, B.links, b);
    B.owner.set(tx, first, a);
  };
  const loop = (it: Sample): unknown =>
    crashLoop({
      tx: it.tx,
      operation: () => operate(it),
      observe: () => [A.count.get(it.tx, it.a), next(it.tx, B.links, it.second) !== 0],
    });

  test("the loop passes without one", () => {
    assert.doesNotThrow(() => loop(sample()));
  });
  for (const every of [2, 3, 5]) {
    test(`every ${every}th store is not logged: found`, () => {
      const tx = new Forgetful(buffers(), 0, host, () => {});
      const it = sample(tx);
      tx.every = every;
      assert.throws(() => loop(it));
    });
  }
  test("a lock is not released: found", () => {
    class Clinging extends HookedTransaction {
      protected override releaseLocks(): void {
        this.hook("committed", this, 0);
        this.words[this.slotAt + SLOT.main + LOG_HEAD.locks] = 0;
      }
    }
    const it = sample(new Clinging(buffers(), 0, host, () => {}));
    assert.throws(() => loop(it), /R2/);
  });
  test("what is to be done after the commit is forgotten: found", () => {
    class Careless extends HookedTransaction {
      override settle(): void {
        this.words[this.slotAt + SLOT.redoCount] = 0;
      }
    }
    const it = sample(new Careless(buffers(), 0, host, () => {}));
    assert.throws(() =>
      crashLoop({
        tx: it.tx,
        operation: () => B.free(it.tx, B.allocate(it.tx)),
        // The block is leaked, live for ever: a count of what lives shows it, against what was there before.
        observe: () => assert.equal(census(it.tx).get("test-b"), 2),
      }),
    );
  });
});

test("steps that file further steps go on as long as few are due at a time", () => {
  let left = 2000;
  const chain: TransactionHost = {
    ...host,
    redo: (tx, kind, value) => {
      if (left-- > 0) tx.afterCommit(kind, value + 1);
      return true;
    },
  };
  const tx = new HookedTransaction(buffers(), 0, chain, () => {});
  for (let i = 0; i < 100; i++) tx.afterCommit(REDO.wake, i);
  tx.commit();
  assert.equal(left, -100);
  assert.deepEqual(checkHeap(tx), []);
});

test("a savepoint undoes and unlocks what came after it, and nothing else", () => {
  const { tx, a } = sample();
  const other = A.allocate(tx);
  tx.commit();
  const [low, high] = a < other ? [a, other] : [other, a];
  A.lock.acquire(tx, low);
  A.count.set(tx, low, 1);
  const mark = savepoint(tx);
  A.lock.acquire(tx, high);
  A.count.set(tx, low, 2);
  A.count.set(tx, high, 3);
  rollbackTo(tx, mark);
  assert.deepEqual([A.count.get(tx, low), A.count.get(tx, high)], [1, 0]);
  assert.deepEqual([A.lock.heldBy(tx, low), A.lock.isTaken(tx, high)], [true, false]);
  tx.commit();
  assert.deepEqual(checkHeap(tx), []);
  assert.equal(A.count.get(tx, low), 1);
});
