/**
 * The heap alone, in nanoseconds: what a transaction costs, and what other forms of the log would.
 *
 *     node bench/heap.ts [ROUNDS]
 *
 * The other forms are written out below on the same layout: the count stored atomically; an entry stored as
 * one 64-bit word, built as a double from arithmetic or through a scratch buffer, or as a BigInt; no log.
 */

import { redoFree } from "../src/heap/allocator.ts";
import { createHeap } from "../src/heap/heap.ts";
import { LOCK_HOLDER, LOG_HEAD, SLOT, SLOT_LOG } from "../src/heap/layout.ts";
import { append, remove } from "../src/heap/list.ts";
import { defineRecord, link, list, lock, u32, words } from "../src/heap/record.ts";
import { HookedTransaction, Transaction, type TransactionHost } from "../src/heap/transaction.ts";
import { median } from "./lib/measure.ts";
import { roundsFrom } from "./lib/rounds.ts";

const A = defineRecord("test-a", { lock: lock("pipe"), fields: words(8), items: list("test-b") });
const B = defineRecord("test-b", { links: link(), value: u32() });

const host: TransactionHost = {
  contended: () => {
    throw new Error("contended in one thread");
  },
  redo: (tx, _kind, value) => {
    redoFree(tx, value);
    return true;
  },
};

/** A way to log the old values of eight words from `first` on, one by one, and to store `value` in each. */
type Form = (tx: Transaction, first: number, value: number) => void;

/** Measures and prints; `rounds` transactions of each kind at a time. */
export function measureHeap(rounds: number, print: (line: string) => void): void {
  const buffers = { heap: createHeap({ bytes: 4 << 20, slots: 2 }), memory: new SharedArrayBuffer(65536) };
  const tx = new Transaction(buffers, 0, host);
  const a = A.allocate(tx);
  tx.commit();

  const time = (name: string, work: (i: number) => void): void => {
    const samples: number[] = [];
    for (let sample = 0; sample < 7; sample++) {
      const start = performance.now();
      for (let i = 0; i < rounds; i++) work(i);
      samples.push(((performance.now() - start) * 1e6) / rounds);
    }
    print(`${name.padEnd(64)} ${median(samples.slice(2)).toFixed(1).padStart(8)} ns`);
  };

  time("lock, commit", () => {
    A.lock.acquire(tx, a);
    tx.commit();
  });
  time("lock, 8 logged stores, commit", (i) => {
    A.lock.acquire(tx, a);
    for (let field = 0; field < 8; field++) A.fields.set(tx, a, field, i);
    tx.commit();
  });
  time("lock, 8 logged stores, rollback", (i) => {
    A.lock.acquire(tx, a);
    for (let field = 0; field < 8; field++) A.fields.set(tx, a, field, i);
    tx.rollback();
  });
  time("allocate a record, put it on a list, take it off, free it", (i) => {
    const b = B.allocate(tx);
    B.value.init(tx, b, i);
    append(tx, A.items, a, B.links, b);
    remove(tx, A.items, a, B.links, b);
    B.free(tx, b);
    tx.commit();
  });

  print("");
  for (const [name, form] of Object.entries(forms(tx))) {
    time(`8 stores, ${name}`, (i) => {
      lockOf(tx, a);
      form(tx, a + 1, i);
      commitOf(tx, a);
    });
  }

  print("");
  const hooked = new HookedTransaction(buffers, 1, host, () => {});
  time("lock, 8 logged stores, commit, with a hook that does nothing", (i) => {
    A.lock.acquire(hooked, a);
    for (let field = 0; field < 8; field++) A.fields.set(hooked, a, field, i);
    hooked.commit();
  });
}

function lockOf(tx: Transaction, a: number): void {
  const w = tx.words;
  const head = tx.slotAt + SLOT.main;
  w[head + LOG_HEAD.list] = a;
  w[head + LOG_HEAD.locks] = 1;
  if (Atomics.compareExchange(w, a, 0, 1) !== 0) throw new Error("locked");
}

function commitOf(tx: Transaction, a: number): void {
  const w = tx.words;
  const head = tx.slotAt + SLOT.main;
  w[head] = 0;
  if ((w[a]! & LOCK_HOLDER) === 1) Atomics.exchange(w, a, 0);
  w[head + LOG_HEAD.locks] = 0;
}

function forms(view: Transaction): Record<string, Form> {
  const doubles = new Float64Array(view.buffers.heap.buffer);
  const longs = new BigInt64Array(view.buffers.heap.buffer);
  const scratchWords = new Int32Array(2);
  const scratch = new Float64Array(scratchWords.buffer);
  const at = (tx: Transaction, count: number): number => tx.slotAt + SLOT_LOG + (count << 1);
  return {
    "two plain words and a plain count (as it is)": (tx, first, value) => {
      const w = tx.words;
      const head = tx.slotAt + SLOT.main;
      for (let word = first; word < first + 8; word++) {
        const count = w[head]!;
        const entry = at(tx, count);
        w[entry] = word;
        w[entry + 1] = w[word]!;
        w[head] = count + 1;
        w[word] = value;
      }
    },
    "two plain words and an atomic count": (tx, first, value) => {
      const w = tx.words;
      const head = tx.slotAt + SLOT.main;
      for (let word = first; word < first + 8; word++) {
        const count = w[head]!;
        const entry = at(tx, count);
        w[entry] = word;
        w[entry + 1] = w[word]!;
        Atomics.store(w, head, count + 1);
        w[word] = value;
      }
    },
    "one double made by arithmetic, plain count": (tx, first, value) => {
      const w = tx.words;
      const head = tx.slotAt + SLOT.main;
      for (let word = first; word < first + 8; word++) {
        const count = w[head]!;
        doubles[at(tx, count) >> 1] = word * 0x1_0000_0000 + (w[word]! >>> 0);
        w[head] = count + 1;
        w[word] = value;
      }
    },
    "one double through a scratch buffer, plain count": (tx, first, value) => {
      const w = tx.words;
      const head = tx.slotAt + SLOT.main;
      for (let word = first; word < first + 8; word++) {
        const count = w[head]!;
        scratchWords[0] = word;
        scratchWords[1] = w[word]!;
        doubles[at(tx, count) >> 1] = scratch[0]!;
        w[head] = count + 1;
        w[word] = value;
      }
    },
    "one BigInt, plain count": (tx, first, value) => {
      const w = tx.words;
      const head = tx.slotAt + SLOT.main;
      for (let word = first; word < first + 8; word++) {
        const count = w[head]!;
        longs[at(tx, count) >> 1] = (BigInt(w[word]!) << 32n) | BigInt(word);
        w[head] = count + 1;
        w[word] = value;
      }
    },
    "no log": (tx, first, value) => {
      const w = tx.words;
      for (let word = first; word < first + 8; word++) {
        w[word] = value;
      }
    },
  };
}

if (import.meta.main)
  measureHeap(roundsFrom("The heap alone: what a transaction costs.", 1_000_000), (line) =>
    console.log(line),
  );
