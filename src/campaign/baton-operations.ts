/**
 * Operations that threads run against each other in baton mode, each with what must hold afterwards. Some have
 * a planted race: a campaign that does not find it is too weak.
 */

import { append, next, remove } from "../heap/list.ts";
import { defineRecord, link, list, lock, type Ref, u32 } from "../heap/record.ts";
import type { HeapView } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";

/** What the threads work on. */
export const Shared = defineRecord("test-a", {
  lock: lock("pipe"),
  counter: u32(),
  length: u32(),
  items: list("test-b"),
});
export type Shared = Ref<"test-a">;

const Item = defineRecord("test-b", { links: link(), thread: u32() });

export interface BatonOperation {
  readonly name: string;
  /** One round of one thread, in a transaction that is then committed. */
  run(tx: Transaction, shared: Shared, thread: number): void;
  /** What is wrong after `rounds` rounds of each of `threads` threads; undefined if nothing is. */
  check(view: HeapView, shared: Shared, threads: number, rounds: number): string | undefined;
  /** Whether a race was planted in it. */
  readonly isPlanted: boolean;
}

function count(tx: Transaction, shared: Shared): void {
  const value = Shared.counter.get(tx, shared);
  Shared.counter.set(tx, shared, value + 1);
}

function checkCount(view: HeapView, shared: Shared, threads: number, rounds: number): string | undefined {
  const counted = Shared.counter.get(view, shared);
  return counted === threads * rounds ? undefined : `${counted} rounds counted of ${threads * rounds}`;
}

function addItem(tx: Transaction, shared: Shared, thread: number): void {
  const item = Item.allocate(tx);
  Item.thread.init(tx, item, thread);
  append(tx, Shared.items, shared, Item.links, item);
  Shared.length.set(tx, shared, Shared.length.get(tx, shared) + 1);
  const first = Shared.items.first(tx, shared);
  if (Shared.length.get(tx, shared) <= 3 || first === 0) return;
  remove(tx, Shared.items, shared, Item.links, first);
  Item.free(tx, first);
  Shared.length.set(tx, shared, Shared.length.get(tx, shared) - 1);
}

function checkItems(view: HeapView, shared: Shared): string | undefined {
  // The walk of a torn list may have no end.
  let items = 0;
  for (let item = Shared.items.first(view, shared); item !== 0 && items < 1000; items++) {
    item = next(view, Item.links, item);
  }
  const length = Shared.length.get(view, shared);
  return items === length ? undefined : `${items} items on a list of ${length}`;
}

export const batonOperations: readonly BatonOperation[] = [
  {
    name: "counter",
    isPlanted: false,
    run: (tx, shared) => {
      Shared.lock.acquire(tx, shared);
      count(tx, shared);
    },
    check: checkCount,
  },
  { name: "counter without its lock", isPlanted: true, run: count, check: checkCount },
  {
    name: "counter read before its lock",
    isPlanted: true,
    run: (tx, shared) => {
      const value = Shared.counter.get(tx, shared);
      Shared.lock.acquire(tx, shared);
      Shared.counter.set(tx, shared, value + 1);
    },
    check: checkCount,
  },
  {
    name: "list",
    isPlanted: false,
    run: (tx, shared, thread) => {
      Shared.lock.acquire(tx, shared);
      addItem(tx, shared, thread);
    },
    check: checkItems,
  },
  { name: "list without its lock", isPlanted: true, run: addItem, check: checkItems },
];
