/**
 * Kernel memory alone, in microseconds: faults, mmap and munmap, fork and end of a space of 300 pages, and in how
 * many rows of adjoining frames 4 MiB lie.
 *
 *     node bench/memory.ts [ROUNDS]
 */
import { createHeap } from "../src/heap/heap.ts";
import { REDO, type RedoKind } from "../src/heap/layout.ts";
import { none } from "../src/heap/record.ts";
import { Transaction } from "../src/heap/transaction.ts";
import { createSpace, destroyStep, releaseSpace } from "../src/kernel/memory/address-space.ts";
import { handleFault } from "../src/kernel/memory/fault.ts";
import { beginFork, forkStep } from "../src/kernel/memory/fork.ts";
import { placeMemory } from "../src/kernel/memory/layout.ts";
import { MAP, mmap, munmap } from "../src/kernel/memory/mmap.ts";
import { translate } from "../src/kernel/memory/page-table.ts";
import { AddressSpace } from "../src/kernel/memory/records.ts";
import { placeSafepoints, publishSafepoint } from "../src/kernel/memory/safepoint.ts";
import { copyToUser, getU32, userSegments } from "../src/kernel/memory/user-memory.ts";
import { KernelThread } from "../src/kernel/thread.ts";
import { roundsFrom } from "./lib/rounds.ts";

const PAGES = 300;
const OWNER = 1;

/** A thread in a machine without a scheduler: there is nobody to wake. */
class BenchThread extends KernelThread {
  override redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    return kind === REDO.wake || super.redo(tx, kind, value);
  }
}

/** Measures and prints; `rounds` of each. */
export function measureMemory(rounds: number, print: (line: string) => void): void {
  const host = new BenchThread(1, { monotonic: () => 0, realtime: () => 0 }, { fill: () => {} }, () => {});
  const heap = createHeap({ bytes: 16 << 20, slots: 8 });
  const memory = new SharedArrayBuffer(128 << 20);
  const tx = new Transaction({ heap, memory }, 0, host);
  placeMemory(tx, { harts: 2, tier0Bytes: 65536, tasksMax: 64, hostCalls: 2 });
  placeSafepoints(tx);
  const space = createSpace(tx);
  tx.commit();

  const step = (work: () => number): void => {
    while (work() === -1) tx.commit();
    tx.commit();
  };
  const map = (pages: number): number => {
    const length = pages * 4096;
    const flags = MAP.PRIVATE | MAP.ANONYMOUS;
    const what = { address: 0, length, prot: 3, flags, file: none<"file">(), offset: 0, limit: Infinity };
    const at = mmap(tx, space, what, OWNER);
    tx.commit();
    return at;
  };
  const touch = (where: AddressSpace, va: number, kind: 0 | 1): void => {
    handleFault(tx, where, va, kind, 0);
    tx.commit();
  };
  const root = AddressSpace.root.get(tx, space);
  /** Writes to a page as a program does: it faults if the entry is missing. */
  const write = (va: number): void => {
    if (translate(tx, root, va, true) < 0) touch(space, va, 1);
  };
  const destroy = (gone: AddressSpace): void => {
    releaseSpace(tx, gone);
    tx.commit();
    while (!destroyStep(tx, gone)) tx.commit();
    tx.commit();
  };
  const report = (name: string, total: number, count: number): void => {
    print(`${name.padEnd(44)} ${((total * 1000) / count).toFixed(3).padStart(9)} µs`);
  };
  /** The second half of the rounds counts; the first warms up. */
  const timed = (round: number, work: () => void): number => {
    const start = performance.now();
    work();
    return round * 2 >= rounds ? performance.now() - start : 0;
  };
  const counted = Math.ceil(rounds / 2);

  const at = map(PAGES);
  for (let i = 0; i < PAGES; i++) touch(space, at + i * 4096, 1);
  const times = {
    map: 0,
    zero: 0,
    fresh: 0,
    down: 0,
    unmap: 0,
    begin: 0,
    fork: 0,
    copy: 0,
    reuse: 0,
    destroy: 0,
  };
  for (let round = 0; round < rounds; round++) {
    let scratch = 0;
    times.map += timed(round, () => void (scratch = map(64)));
    times.zero += timed(round, () => {
      for (let i = 0; i < 32; i++) touch(space, scratch + i * 4096, 0);
    });
    times.fresh += timed(round, () => {
      for (let i = 32; i < 64; i++) write(scratch + i * 4096);
    });
    times.unmap += timed(round, () => step(() => munmap(tx, space, scratch, 64 * 4096, OWNER)));
    scratch = map(64);
    times.down += timed(round, () => {
      for (let i = 63; i >= 32; i--) write(scratch + i * 4096);
    });
    step(() => munmap(tx, space, scratch, 64 * 4096, OWNER));
    let child: AddressSpace = space;
    times.begin += timed(round, () => {
      child = beginFork(tx, space, OWNER);
      tx.commit();
    });
    times.fork += timed(round, () => step(() => forkStep(tx, child, OWNER)));
    times.copy += timed(round, () => {
      for (let i = 0; i < 32; i++) touch(child, at + i * 4096, 1);
    });
    times.destroy += timed(round, () => destroy(child));
    times.reuse += timed(round, () => {
      for (let i = 0; i < PAGES; i++) touch(space, at + i * 4096, 1);
    });
  }
  report("mmap of 64 pages", times.map, counted);
  report("fault: read of a fresh page (zero frame)", times.zero, counted * 32);
  report("fresh pages written upwards, each", times.fresh, counted * 32);
  report("fresh pages written downwards, each", times.down, counted * 32);
  report("munmap of 64 pages, 32 with frames", times.unmap, counted);
  report(`fork of ${PAGES} pages: the empty space`, times.begin, counted);
  report(`fork of ${PAGES} pages: copying`, times.fork, counted);
  report("fault: write to a page shared by fork", times.copy, counted * 32);
  report(`end of a space of ${PAGES} pages`, times.destroy, counted);
  report("fault: write to a page no longer shared", times.reuse, counted * PAGES);

  for (const [how, page] of [
    ["in order", (i: number) => i],
    ["in no order", (i: number) => (i * 387) % 1024],
  ] as const) {
    const start = map(1024);
    for (let i = 0; i < 1024; i++) write(start + page(i) * 4096);
    let rows = 0;
    let entry = -1;
    for (let va = start; va < start + 1024 * 4096; va += 4096) {
      const here = translate(tx, root, va, true) - va;
      if (here !== entry) rows++;
      entry = here;
    }
    print(`4 MiB written ${how}: rows of frames`.padEnd(44) + ` ${String(rows).padStart(9)}`);
    step(() => munmap(tx, space, start, 1024 * 4096, OWNER));
  }

  const loops = rounds * 500;
  const source = new Uint8Array(64);
  const user: [string, () => void][] = [
    ["user copy: read 4 bytes", () => void getU32(tx, space, at + 8)],
    ["user copy: write 64 bytes", () => copyToUser(tx, space, at + 8, source)],
    ["user copy: segments of 16 KiB", () => void userSegments(tx, space, at, 16384, true)],
    ["safepoint", () => publishSafepoint(tx, space)],
  ];
  for (const [name, work] of user) {
    for (let i = 0; i < loops; i++) work();
    const start = performance.now();
    for (let i = 0; i < loops; i++) work();
    report(name, performance.now() - start, loops);
  }
}

if (import.meta.main)
  measureMemory(roundsFrom("Kernel memory alone: faults, mmap and munmap, fork, homes.", 2000), console.log);
