/**
 * Real deaths: worker threads that are stopped inside the store hook, at steps drawn from a seed, and ended
 * there; and what others make of what they left. This file is also the program of those threads.
 *
 * The work is moving items between accounts. Whoever dies at whatever step: no item is lost or doubled, every
 * account counts what it has, and the heap's invariants hold.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { seededRandom } from "../base/random.ts";
import { redoFree } from "./allocator.ts";
import { census, checkHeap, liveRecords } from "./check.ts";
import { createHeap, type HeapBuffers, HeapView } from "./heap.ts";
import { REDO, SLOT } from "./layout.ts";
import { append, each, remove } from "./list.ts";
import { defineRecord, link, list, lock, ref, type Ref, u32 } from "./record.ts";
import { recoverSlot } from "./recovery.ts";
import { HookedTransaction, Transaction, type TransactionHost } from "./transaction.ts";

const Account = defineRecord("test-a", { lock: lock("pipe"), count: u32(), items: list("test-b") });
const Item = defineRecord("test-b", { links: link(), owner: ref("test-a"), serial: u32() });

const ACCOUNTS = 4;
const ITEMS = 40;

/** Words of the shared control memory; the dead threads' flags follow. */
const CONTROL = {
  stopAt: 0,
  count: 1,
  stopped: 2,
  moves: 3,
  stop: 4,
  kind: 5,
  answer: 6,
  go: 7,
  dead: 16,
} as const;

interface Setup {
  readonly role: "mover" | "recoverer" | "racer";
  readonly buffers: HeapBuffers;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly slot: number;
  readonly thread: number;
  readonly seed: number;
}

const KINDS = ["store", "fresh", "lock", "commit", "committed", "rollback"] as const;

const host: TransactionHost = {
  contended: (tx, word, value) => void Atomics.wait(tx.words, word, value, 5),
  redo: (tx, kind, value) => {
    assert.equal(kind, REDO.free);
    redoFree(tx, value);
    return true;
  },
};

/** Moves the oldest item of one account to another, as a new record. */
function move(tx: Transaction, accounts: readonly Ref<"test-a">[], from: number, to: number): void {
  const source = accounts[from]!;
  const target = accounts[to]!;
  Account.lock.acquire(tx, source < target ? source : target);
  Account.lock.acquire(tx, source < target ? target : source);
  const old = Account.items.first(tx, source);
  if (old === 0 || source === target) return tx.commit();
  remove(tx, Account.items, source, Item.links, old);
  Account.count.add(tx, source, -1);
  const item = Item.allocate(tx);
  Item.owner.init(tx, item, target);
  Item.serial.init(tx, item, Item.serial.get(tx, old));
  Item.free(tx, old);
  append(tx, Account.items, target, Item.links, item);
  Account.count.add(tx, target, 1);
  tx.commit();
}

/** Stops for ever at step `control[stopAt]` of all that the threads do. */
function stopHook(control: Int32Array<SharedArrayBuffer>) {
  return (point: (typeof KINDS)[number]): void => {
    const at = Atomics.load(control, CONTROL.stopAt);
    if (at === 0 || Atomics.add(control, CONTROL.count, 1) + 1 !== at) return;
    control[CONTROL.kind] = KINDS.indexOf(point);
    Atomics.store(control, CONTROL.stopped, (workerData as Setup).thread);
    Atomics.notify(control, CONTROL.stopped);
    Atomics.wait(control, CONTROL.dead + 4095, 0);
  };
}

const isDead =
  (control: Int32Array) =>
  (thread: number): boolean =>
    Atomics.load(control, CONTROL.dead + thread) !== 0;

function threadMain({ role, buffers, control, slot, thread, seed }: Setup): void {
  const tx = new HookedTransaction(buffers, slot, host, stopHook(control));
  if (role === "recoverer") {
    recoverSlot(tx, thread, isDead(control));
    return;
  }
  if (role === "racer") {
    while (Atomics.load(control, CONTROL.go) === 0);
    // Whoever comes too late may find that the slot has been taken anew: it must keep off then.
    if (recoverSlot(tx, thread, isDead(control))) Atomics.add(control, CONTROL.answer, 1);
    return;
  }
  Atomics.store(tx.words, tx.slotAt + SLOT.holder, thread);
  const accounts = [...liveRecords(tx, Account.schema)];
  const random = seededRandom(seed);
  while (Atomics.load(control, CONTROL.stop) === 0) {
    move(tx, accounts, random.below(ACCOUNTS), random.below(ACCOUNTS));
    Atomics.add(control, CONTROL.moves, 1);
  }
  Atomics.store(tx.words, tx.slotAt + SLOT.holder, 0);
}

class Bank {
  readonly buffers: HeapBuffers = {
    heap: createHeap({ bytes: 4 << 20, slots: 4 }),
    memory: new SharedArrayBuffer(4096),
  };
  readonly view = new HeapView(this.buffers);
  readonly control = new Int32Array(new SharedArrayBuffer(4 * (CONTROL.dead + 4096)));
  #threads = 0;

  constructor() {
    const tx = new Transaction(this.buffers, 3, host);
    const accounts = Array.from({ length: ACCOUNTS }, () => Account.allocate(tx));
    for (let i = 0; i < ITEMS; i++) {
      const item = Item.allocate(tx);
      const account = accounts[i % ACCOUNTS]!;
      Item.owner.init(tx, item, account);
      Item.serial.init(tx, item, i);
      append(tx, Account.items, account, Item.links, item);
      Account.count.add(tx, account, 1);
      tx.commit();
    }
  }

  start(role: Setup["role"], slot: number): { worker: Worker; thread: number; ended: Promise<void> } {
    const thread = ++this.#threads;
    const { buffers, control } = this;
    const setup: Setup = { role, buffers, control, slot, thread, seed: thread * 77 };
    const worker = new Worker(import.meta.filename, { workerData: setup });
    const ended = new Promise<void>((resolve, reject) => {
      worker.on("error", reject);
      worker.on("exit", () => {
        Atomics.store(control, CONTROL.dead + thread, 1);
        resolve();
      });
    });
    return { worker, thread, ended };
  }

  /** Lets threads run until one has stopped at the `steps`-th step from now; its number. */
  async stopAfter(steps: number): Promise<number> {
    const { control } = this;
    Atomics.store(control, CONTROL.stopped, 0);
    Atomics.store(control, CONTROL.count, 0);
    Atomics.store(control, CONTROL.stopAt, steps);
    while (Atomics.load(control, CONTROL.stopped) === 0) {
      const wait = Atomics.waitAsync(control, CONTROL.stopped, 0, 50);
      if (wait.async) await wait.value;
    }
    Atomics.store(control, CONTROL.stopAt, 0);
    return Atomics.load(control, CONTROL.stopped);
  }

  /** A transaction from which this thread recovers slot `slot`. */
  recoverer(slot: number): Transaction {
    return new Transaction(this.buffers, slot, host);
  }

  /** Everything in its place, in a heap at rest. */
  check(): void {
    assert.deepEqual(checkHeap(this.view), []);
    assert.deepEqual(
      [...census(this.view)],
      [
        ["test-a", ACCOUNTS],
        ["test-b", ITEMS],
      ],
    );
    const serials = new Set<number>();
    for (const account of liveRecords(this.view, Account.schema)) {
      const items = [...each(this.view, Account.items, account, Item.links)];
      assert.equal(items.length, Account.count.get(this.view, account));
      for (const item of items) {
        assert.equal(Item.owner.get(this.view, item), account);
        serials.add(Item.serial.get(this.view, item));
      }
    }
    assert.equal(serials.size, ITEMS);
  }
}

if (isMainThread) mainTests();
else threadMain(workerData as Setup);

function mainTests(): void {
  test("a thread ended at any step is rolled back by another", { timeout: 120_000 }, async (t) => {
    const random = seededRandom(1);
    const histogram = new Map<string, number>();
    const bank = new Bank();
    for (let kill = 0; kill < 60; kill++) {
      const mover = bank.start("mover", 0);
      const thread = await bank.stopAfter(1 + random.below(200));
      assert.equal(thread, mover.thread);
      const kind = KINDS[bank.control[CONTROL.kind]!]!;
      histogram.set(kind, (histogram.get(kind) ?? 0) + 1);
      assert.equal(recoverSlot(bank.recoverer(0), 4000, isDead(bank.control)), false);
      await mover.worker.terminate();
      await mover.ended;
      assert.equal(recoverSlot(bank.recoverer(0), 4000, isDead(bank.control)), true);
      bank.check();
    }
    t.diagnostic([...histogram].map(([kind, count]) => `${count} before ${kind}`).join(", "));
  });

  test("others go on beside the dying: contention for the same locks", { timeout: 120_000 }, async (t) => {
    const random = seededRandom(2);
    const bank = new Bank();
    const movers = new Map<number, ReturnType<Bank["start"]> & { slot: number }>();
    const start = (slot: number): void => {
      const mover = bank.start("mover", slot);
      movers.set(mover.thread, { ...mover, slot });
    };
    start(0);
    start(1);
    for (let kill = 0; kill < 40; kill++) {
      const thread = await bank.stopAfter(1 + random.below(400));
      const { worker, ended, slot } = movers.get(thread)!;
      await worker.terminate();
      await ended;
      movers.delete(thread);
      assert.equal(recoverSlot(bank.recoverer(slot), 4000, isDead(bank.control)), true);
      start(slot);
    }
    Atomics.store(bank.control, CONTROL.stop, 1);
    await Promise.all([...movers.values()].map(({ ended }) => ended));
    t.diagnostic(`${bank.control[CONTROL.moves]} moves completed beside 40 deaths`);
    bank.check();
  });

  test("a recoverer that dies is taken over by the next", { timeout: 120_000 }, async (t) => {
    const random = seededRandom(3);
    const bank = new Bank();
    let interrupted = 0;
    for (let round = 0; round < 30; round++) {
      const mover = bank.start("mover", 0);
      await bank.stopAfter(1 + random.below(60));
      await mover.worker.terminate();
      await mover.ended;
      Atomics.store(bank.control, CONTROL.stopped, 0);
      Atomics.store(bank.control, CONTROL.count, 0);
      Atomics.store(bank.control, CONTROL.stopAt, 1 + random.below(4));
      const recoverer = bank.start("recoverer", 0);
      // It stops at that step of the recovery, or ends before it has come there.
      let done = false;
      void recoverer.ended.then(() => (done = true));
      while (!done && Atomics.load(bank.control, CONTROL.stopped) === 0)
        await new Promise((resolve) => setTimeout(resolve, 1));
      Atomics.store(bank.control, CONTROL.stopAt, 0);
      if (!done) {
        interrupted++;
        assert.equal(recoverSlot(bank.recoverer(0), 4000, isDead(bank.control)), false);
        await recoverer.worker.terminate();
        await recoverer.ended;
        assert.equal(recoverSlot(bank.recoverer(0), 4000, isDead(bank.control)), true);
      }
      bank.check();
    }
    t.diagnostic(`${interrupted} recoveries interrupted`);
    assert.ok(interrupted > 10);
  });

  test("two recoverers at once do the work once", { timeout: 120_000 }, async () => {
    const random = seededRandom(4);
    const bank = new Bank();
    for (let round = 0; round < 10; round++) {
      const mover = bank.start("mover", 0);
      await bank.stopAfter(1 + random.below(100));
      await mover.worker.terminate();
      await mover.ended;
      Atomics.store(bank.control, CONTROL.go, 0);
      Atomics.store(bank.control, CONTROL.answer, 0);
      const racers = [bank.start("racer", 0), bank.start("racer", 0)];
      await new Promise((resolve) => setTimeout(resolve, 30));
      Atomics.store(bank.control, CONTROL.go, 1);
      await Promise.all(racers.map(({ ended }) => ended));
      assert.ok(bank.control[CONTROL.answer]! >= 1);
      bank.check();
    }
  });

  test("a slot that has been recovered and taken again is left alone", () => {
    const bank = new Bank();
    const accounts = [...liveRecords(bank.view, Account.schema)];
    const tx = bank.recoverer(0);
    const alive = 50;
    Atomics.store(tx.words, tx.slotAt + SLOT.holder, alive);
    Account.count.set(tx, accounts[0]!, 99);
    assert.equal(
      recoverSlot(bank.recoverer(0), 51, () => false),
      false,
    );
    assert.equal(Account.count.get(tx, accounts[0]!), 99);
    // A recoverer that died after it had freed the slot: the next one only takes its mark away.
    Atomics.store(tx.words, tx.slotAt + SLOT.recoverer, 49);
    assert.equal(
      recoverSlot(bank.recoverer(0), 51, (thread) => thread === 49),
      false,
    );
    assert.equal(tx.words[tx.slotAt + SLOT.recoverer], 0);
    assert.equal(
      recoverSlot(bank.recoverer(0), 51, (thread) => thread === alive),
      true,
    );
    assert.equal(Account.count.get(tx, accounts[0]!), ITEMS / ACCOUNTS);
    bank.check();
  });
}
