/** One thread of storm.test.ts: maps, touches, unmaps and forks in a space that others work in, too. */

import type { WasmMemory } from "../../../base/webassembly.ts";
import { parentPort, workerData } from "node:worker_threads";
import { seededRandom } from "../../../base/random.ts";
import { REDO, type RedoKind } from "../../../heap/layout.ts";
import { none } from "../../../heap/record.ts";
import { Transaction } from "../../../heap/transaction.ts";
import { clearWaits, WOULD_BLOCK } from "../../request.ts";
import { KernelThread } from "../../thread.ts";
import { destroyStep, releaseSpace } from "../address-space.ts";
import { runChange } from "../change.ts";
import { handleFault } from "../fault.ts";
import { beginFork, forkStep } from "../fork.ts";
import { drainFrames } from "../frames.ts";
import { MAP, mmap, munmap } from "../mmap.ts";
import { translate } from "../page-table.ts";
import { mprotect } from "../protect.ts";
import { AddressSpace } from "../records.ts";
import {
  bindSafepoint,
  hasPending,
  leaveSpace,
  pendingTaking,
  publishSafepoint,
  releasePending,
} from "../safepoint.ts";

interface StormData {
  readonly heap: WasmMemory;
  readonly memory: SharedArrayBuffer;
  readonly slot: number;
  readonly space: number;
  readonly rounds: number;
  /** A page that every thread writes to, each its own word. */
  readonly common: number;
}
const data = workerData as StormData;
const space = data.space as AddressSpace;
const owner = 100 + data.slot;
const random = seededRandom(data.slot);

class StormThread extends KernelThread {
  override redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    return kind === REDO.wake || super.redo(tx, kind, value);
  }
}
const thread = new StormThread(
  data.slot + 1,
  { monotonic: () => 0, realtime: () => 0 },
  { fill: () => {} },
  (tx, word, value) => void Atomics.wait(tx.words, word, value, 5),
);
const tx = new Transaction({ heap: data.heap, memory: data.memory }, data.slot, thread);
bindSafepoint(tx, data.slot <= 2 ? data.slot - 1 : -1);

/** Runs a request to its end, as a hart would. */
function run<T>(work: () => T): T {
  for (;;) {
    publishSafepoint(tx, space);
    clearWaits(tx);
    try {
      const result = work();
      tx.commit();
      awaitTaking();
      return result;
    } catch (error) {
      tx.rollback();
      if (error !== WOULD_BLOCK) throw error;
      // Another thread's change is under way.
      publishSafepoint(tx, space);
      Atomics.wait(tx.words, 0, tx.words[0]!, 0.05);
    }
  }
}

function awaitTaking(): void {
  while (hasPending(tx, space)) {
    publishSafepoint(tx, space);
    const pending = pendingTaking(tx, space);
    if (pending !== undefined) Atomics.wait(tx.words, pending.word, pending.value, 1);
    else {
      releasePending(tx, space);
      tx.commit();
    }
  }
}

function reach(where: AddressSpace, va: number, write: boolean): number {
  for (let i = 0; i < 10_000; i++) {
    publishSafepoint(tx, where);
    const pa = translate(tx, AddressSpace.root.get(tx, where), va, write);
    if (pa >= 0) return pa;
    const outcome = run(() => handleFault(tx, where, va, write ? 1 : 0, 0));
    if (outcome > 1) throw new Error(`fault 0x${outcome.toString(16)} at 0x${va.toString(16)}`);
  }
  throw new Error("an access that never goes through");
}

/** Looks the address up, dawdles, and stores: what rule R7 is about. */
function store(va: number, value: number): void {
  const pa = reach(space, va, true);
  for (let i = random.below(400); i > 0; i--) Atomics.load(tx.words, 0);
  tx.memory[pa >>> 2] = value;
}

function expect(where: AddressSpace, va: number, value: number): void {
  const seen = tx.memory[reach(where, va, false) >>> 2];
  if (seen !== value) throw new Error(`0x${va.toString(16)} is ${seen}, not ${value}`);
}

/** Pages of a region; word 0 of each holds a number of this thread's. */
function round(number: number): void {
  // Some are large enough for a home.
  const pages = 1 + random.below(random.below(4) === 0 ? 48 : 12);
  const length = pages * 4096;
  const mark = (data.slot << 24) | (number << 8);
  const what = {
    address: 0,
    length,
    prot: 3,
    flags: MAP.PRIVATE | MAP.ANONYMOUS,
    file: none<"file">(),
    offset: 0,
    limit: Infinity,
  };
  const at = run(() => runChange(tx, space, owner, () => mmap(tx, space, what, owner)));
  for (let i = 0; i < pages; i++) store(at + i * 4096, mark + i);
  for (let i = 0; i < pages; i++) expect(space, at + i * 4096, mark + i);
  if (random.below(4) === 0) {
    const child = run(() => beginFork(tx, space, owner));
    while (run(() => forkStep(tx, child, owner)) !== 0);
    for (let i = 0; i < pages; i++) store(at + i * 4096, ~(mark + i));
    for (let i = 0; i < pages; i++) expect(child, at + i * 4096, mark + i);
    for (let i = 0; i < pages; i++) expect(space, at + i * 4096, ~(mark + i));
    publishSafepoint(tx, space);
    run(() => releaseSpace(tx, child));
    while (!run(() => destroyStep(tx, child)));
  }
  if (random.below(3) === 0)
    run(() => runChange(tx, space, owner, () => mprotect(tx, space, at, 4096, 1, owner)));
  run(() => runChange(tx, space, owner, () => munmap(tx, space, at, length, owner)));
}

// Forks by the others make the common page copy-on-write again and again: a store that went to a frame which
// had been copied by then would be lost.
const mine = data.common + data.slot * 64;
for (let i = 0; i < data.rounds; i++) {
  round(i & 0xffff);
  for (let n = 0; n < 50; n++) {
    store(mine, i * 64 + n);
    expect(space, mine, i * 64 + n);
  }
}
leaveSpace(tx);
drainFrames(tx);
parentPort?.postMessage("done");
