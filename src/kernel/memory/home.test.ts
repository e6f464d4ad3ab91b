/** Homes: how many rows of frames the pages of a mapping get, and that they stay hints. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { checkHeap } from "../../heap/check.ts";
import type { HookedTransaction } from "../../heap/transaction.ts";
import { destroyStep, holdSpace, releaseSpace, setUpSpace } from "./address-space.ts";
import { brk } from "./brk.ts";
import { eachPage } from "./check.ts";
import { beginFork, forkStep } from "./fork.ts";
import { drainFrames, frameUsage } from "./frames.ts";
import { memoryLayout } from "./layout.ts";
import { mappingAt } from "./mapping-tree.ts";
import { MAP, munmap } from "./mmap.ts";
import { mremap, MREMAP } from "./mremap.ts";
import { frameOf } from "./page-table.ts";
import { claim, CONTROL } from "./pool.ts";
import { mprotect } from "./protect.ts";
import { AddressSpace, Mapping } from "./records.ts";
import {
  anonymous,
  forgetTestFile,
  map,
  OWNER,
  peek,
  poke,
  request,
  steps,
  testMachine,
  walk,
} from "./testing/test-machine.ts";

beforeEach(forgetTestFile);

const MIB = 1 << 20;

/** In how many rows the frames of the pages from `va` on lie that follow each other, and how many these are. */
function rows(
  tx: HookedTransaction,
  space: AddressSpace,
  va: number,
  length: number,
): { pages: number; rows: number } {
  let count = 0;
  let pages = 0;
  let expected = -1;
  eachPage(tx, space, (page, word) => {
    if (page < va / 4096 || page >= (va + length) / 4096) return;
    pages++;
    if (frameOf(word) - page !== expected) count++;
    expected = frameOf(word) - page;
  });
  return { pages, rows: count };
}

function shuffled(count: number): number[] {
  const random = seededRandom(7);
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

for (const [how, order] of [
  ["upwards", Array.from({ length: 1024 }, (_, i) => i)],
  ["downwards", Array.from({ length: 1024 }, (_, i) => 1023 - i)],
  ["in random order", shuffled(1024)],
] as const) {
  for (const tasks of [1, 2]) {
    test(`4 MiB touched ${how} are one row; tasks: ${tasks}`, () => {
      const { tx, space } = testMachine({ memory: 32 * MIB });
      if (tasks === 2) request(tx, () => holdSpace(tx, space));
      const at = map(tx, space, anonymous(4 * MIB));
      for (const page of order) assert.equal(poke(tx, space, at + page * 4096, 1), 0);
      assert.deepEqual(rows(tx, space, at, 4 * MIB), { pages: 1024, rows: 1 });
      assert.deepEqual(checkHeap(tx), []);
    });
  }
}

test("pages that were read first get the same row when they are written", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  const at = map(tx, space, anonymous(MIB));
  for (let page = 0; page < 256; page++) assert.equal(peek(tx, space, at + page * 4096), 0);
  for (const page of shuffled(256)) poke(tx, space, at + page * 4096, 1);
  assert.deepEqual(rows(tx, space, at, MIB), { pages: 256, rows: 1 });
});

test("mappings that are touched in turns have a row each", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  // Different protections, so that they are not joined.
  const places = [3, 7, 3, 7].map((prot) => map(tx, space, anonymous(MIB, { prot })));
  for (let page = 0; page < 256; page++) for (const at of places) poke(tx, space, at + page * 4096, 1);
  for (const at of places) assert.deepEqual(rows(tx, space, at, MIB), { pages: 256, rows: 1 });
  assert.deepEqual(checkHeap(tx), []);
});

test("a small mapping has no home, and neither has memory that others share", () => {
  const { tx, space } = testMachine();
  const pool = memoryLayout(tx).framePool;
  const homes = tx.words[pool.controlAt + CONTROL.homes]!;
  for (const what of [
    anonymous(15 * 4096),
    anonymous(64 * 4096, { flags: MAP.SHARED | MAP.ANONYMOUS, address: 0x40_0000 }),
  ]) {
    const at = map(tx, space, what);
    poke(tx, space, at, 1);
    assert.equal(Mapping.home.get(tx, mappingAt(tx, space, at / 4096)), 0);
    eachPage(tx, space, (_page, word) => assert.ok(frameOf(word) < homes));
  }
});

test("a stack that grows down and a break that is raised stay in their rows beside other mappings", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  const top = 0x1000_0000;
  map(tx, space, anonymous(4096, { address: top - 4096, flags: 0x32 | MAP.GROWSDOWN }));
  request(tx, () => setUpSpace(tx, space, { breakStart: 0x60_0000 }));
  const stackPages = 60;
  for (let i = 1; i <= stackPages; i++) {
    poke(tx, space, top - i * 4096, 1);
    steps(tx, () => brk(tx, space, 0x60_0000 + i * 3 * 4096, Infinity, Infinity, OWNER));
    for (let k = 0; k < 3; k++) poke(tx, space, 0x60_0000 + ((i - 1) * 3 + k) * 4096, 1);
    if (i % 20 !== 0) continue;
    const at = map(tx, space, anonymous(64 * 4096, { prot: i % 40 === 0 ? 3 : 7 }));
    for (let k = 0; k < 64; k++) poke(tx, space, at + k * 4096, 1);
  }
  assert.deepEqual(rows(tx, space, top - stackPages * 4096, stackPages * 4096), { pages: 60, rows: 1 });
  assert.deepEqual(rows(tx, space, 0x60_0000, MIB), { pages: 180, rows: 1 });
  assert.deepEqual(checkHeap(tx), []);
});

test("a home goes with what is split, joined and moved", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  const at = map(tx, space, anonymous(MIB, { address: 0x1000_0000, flags: 0x32 }));
  const touch = (from: number, to: number): void => {
    for (let page = from; page < to; page++) poke(tx, space, at + page * 4096, 1);
  };
  touch(0, 32);
  steps(tx, () => mprotect(tx, space, at + 64 * 4096, 64 * 4096, 7, OWNER));
  touch(32, 160);
  steps(tx, () => mprotect(tx, space, at + 64 * 4096, 64 * 4096, 3, OWNER));
  touch(160, 192);
  assert.deepEqual(rows(tx, space, at, MIB), { pages: 192, rows: 1 });
  const to = 0x2000_0000;
  const move = (from: number, newAddress: number): number =>
    steps(tx, () =>
      mremap(
        tx,
        space,
        {
          address: from,
          oldLength: MIB,
          newLength: 2 * MIB,
          flags: MREMAP.MAYMOVE | MREMAP.FIXED,
          newAddress,
          limit: Infinity,
        },
        OWNER,
      ),
    );
  move(at, to);
  for (let page = 192; page < 256; page++) poke(tx, space, to + page * 4096, 1);
  assert.deepEqual(rows(tx, space, to, MIB), { pages: 256, rows: 1 });
  // By part of a group: what is there stays in its row, what comes has another.
  move(to, 0x3000_5000);
  for (let page = 256; page < 512; page++) poke(tx, space, 0x3000_5000 + page * 4096, 1);
  const after = rows(tx, space, 0x3000_5000, 2 * MIB);
  assert.equal(after.pages, 512);
  assert.ok(after.rows <= 2, `${after.rows} rows`);
  assert.deepEqual(checkHeap(tx), []);
});

test("a home that others have overtaken is left for a new one", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  const pool = memoryLayout(tx).framePool;
  const at = map(tx, space, anonymous(MIB));
  for (let page = 0; page < 100; page++) poke(tx, space, at + page * 4096, 1);
  const home = Mapping.home.get(tx, mappingAt(tx, space, at / 4096));
  const free = frameUsage(tx).free;
  // Somebody else takes what would have come next; the page table is none of theirs, so they give it up again.
  const next = (at / 4096 + 112 + home - 1) >>> 0;
  assert.equal(
    request(tx, () => claim(tx, pool, next, 16)),
    16,
  );
  for (let page = 100; page < 256; page++) poke(tx, space, at + page * 4096, 1);
  const after = rows(tx, space, at, MIB);
  assert.equal(after.pages, 256);
  assert.ok(after.rows <= 4, `${after.rows} rows`);
  assert.notEqual(Mapping.home.get(tx, mappingAt(tx, space, at / 4096)), home);
  assert.ok(free - frameUsage(tx).free <= 156 + 16 + 16);
});

test("pages that are written one after the other fault less and less, and none twice as far as was written", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  const at = map(tx, space, anonymous(MIB));
  const resident = (): number => AddressSpace.residentPages.get(tx, space);
  const seen: [number, number][] = [];
  for (let page = 0; page < 256; page++) {
    if (walk(tx, space, at + page * 4096, 1, true) >= 0) continue;
    poke(tx, space, at + page * 4096, 1);
    seen.push([page, resident()]);
  }
  assert.deepEqual(seen.slice(0, 6), [
    [0, 1],
    [1, 2],
    [2, 4],
    [4, 8],
    [8, 16],
    [16, 32],
  ]);
  // Afterwards sixteen at a time, and none behind the end.
  assert.equal(seen.length, 5 + 15);
  assert.equal(resident(), 256);
  assert.deepEqual(rows(tx, space, at, MIB), { pages: 256, rows: 1 });
  assert.deepEqual(checkHeap(tx), []);
});

test("what was written and given up is zero in pages that come ahead", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  for (let round = 0; round < 3; round++) {
    const at = map(tx, space, anonymous(MIB));
    for (let page = 0; page < 256; page++) {
      if (walk(tx, space, at + page * 4096, 1, true) < 0) poke(tx, space, at + page * 4096, 0);
      const pa = walk(tx, space, at + page * 4096, 1, true);
      assert.ok(tx.memoryBytes.subarray(pa, pa + 4096).every((byte) => byte === 0));
      tx.memoryBytes.fill(0xaa, pa, pa + 4096);
    }
    steps(tx, () => munmap(tx, space, at, MIB, OWNER));
  }
});

test("what comes ahead ends at a page that is there, at the mapping's end and at a leaf table's", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  const leaf = 2 ** 24;
  const at = map(tx, space, anonymous(80 * 4096, { address: 5 * leaf - 32 * 4096, flags: 0x32 }));
  map(tx, space, anonymous(16 * 4096, { address: at + 80 * 4096, flags: 0x32, prot: 7 }));
  poke(tx, space, at + 23 * 4096, 9);
  peek(tx, space, at + 50 * 4096);
  const faulted: number[] = [];
  for (let page = 0; page < 80; page++) {
    if (walk(tx, space, at + page * 4096, 1, true) >= 0) continue;
    faulted.push(page);
    poke(tx, space, at + page * 4096, 1);
    assert.deepEqual(checkHeap(tx), []);
  }
  assert.equal(peek(tx, space, at + 23 * 4096), 9);
  // 8 to 15; 16 to 22; 24 to 31; a leaf's first two; up to the zero frame; …
  assert.deepEqual(faulted.slice(0, 8), [0, 1, 2, 4, 8, 16, 24, 32]);
  assert.ok(faulted.includes(50));
  assert.equal(AddressSpace.residentPages.get(tx, space), 80);
});

test("nothing comes ahead with several tasks, out of order, or when frames are scarce", () => {
  const shared = testMachine({ memory: 32 * MIB });
  request(shared.tx, () => holdSpace(shared.tx, shared.space));
  const at = map(shared.tx, shared.space, anonymous(MIB));
  for (let page = 0; page < 64; page++) {
    poke(shared.tx, shared.space, at + page * 4096, 1);
    assert.equal(AddressSpace.residentPages.get(shared.tx, shared.space), page + 1);
  }
  const random = testMachine({ memory: 32 * MIB });
  const place = map(random.tx, random.space, anonymous(MIB));
  for (let page = 254; page >= 0; page -= 2) poke(random.tx, random.space, place + page * 4096, 1);
  assert.equal(AddressSpace.residentPages.get(random.tx, random.space), 128);
  const scarce = testMachine();
  const { tx, space } = scarce;
  const { free, total } = frameUsage(tx);
  const most = map(tx, space, anonymous(16 * MIB));
  for (let page = 0; page < free - total / 16 + 20; page++) poke(tx, space, most + page * 4096, 1);
  const last = map(tx, space, anonymous(64 * 4096, { prot: 7 }));
  const before = AddressSpace.residentPages.get(tx, space);
  for (let page = 0; page < 10; page++) poke(tx, space, last + page * 4096, 1);
  assert.equal(AddressSpace.residentPages.get(tx, space), before + 10);
  assert.deepEqual(checkHeap(tx), []);
});

test("a row that is given up is the next to be used", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  let seen = 0;
  for (let round = 0; round < 40; round++) {
    const at = map(tx, space, anonymous(2 * MIB));
    for (let page = 0; page < 512; page++) poke(tx, space, at + page * 4096, 1);
    assert.equal(rows(tx, space, at, 2 * MIB).rows, 1);
    seen = Math.max(seen, tx.words[memoryLayout(tx).framePool.controlAt + CONTROL.reached]!);
    steps(tx, () => munmap(tx, space, at, 2 * MIB, OWNER));
  }
  const homes = tx.words[memoryLayout(tx).framePool.controlAt + CONTROL.homes]!;
  assert.ok(seen - homes < 2048, `${seen - homes} frames were used`);
});

test("a fork's child finds homes of its own, and what it copies costs no search", () => {
  const { tx, space } = testMachine({ memory: 32 * MIB });
  drainFrames(tx);
  const free = frameUsage(tx).free;
  const at = map(tx, space, anonymous(MIB));
  for (let page = 0; page < 128; page++) poke(tx, space, at + page * 4096, 1);
  const child = request(tx, () => beginFork(tx, space, OWNER));
  steps(tx, () => forkStep(tx, child, OWNER));
  const childMapping = mappingAt(tx, child, at / 4096);
  assert.equal(Mapping.home.get(tx, childMapping), 0);
  poke(tx, child, at, 2);
  assert.equal(Mapping.home.get(tx, childMapping), 0);
  for (let page = 128; page < 256; page++) poke(tx, child, at + page * 4096, 2);
  assert.deepEqual(rows(tx, child, at + 128 * 4096, MIB / 2), { pages: 128, rows: 1 });
  assert.deepEqual(checkHeap(tx), []);
  for (const gone of [child, space]) {
    request(tx, () => releaseSpace(tx, gone));
    while (!request(tx, () => destroyStep(tx, gone)));
  }
  drainFrames(tx);
  assert.equal(frameUsage(tx).free, free);
  assert.deepEqual(checkHeap(tx), []);
});
