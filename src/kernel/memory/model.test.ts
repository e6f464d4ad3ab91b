/** Random sequences of operations, against a model that knows only what programs may expect. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { errno } from "../../base/errno.ts";
import { ENTRY_INVALID } from "../../base/hart-abi.ts";
import { checkHeap } from "../../heap/check.ts";
import type { HookedTransaction } from "../../heap/transaction.ts";
import { MADV, madvise } from "./advise.ts";
import { destroyStep, holdSpace, releaseSpace } from "./address-space.ts";
import { beginFork, forkStep } from "./fork.ts";
import { drainFrames, frameUsage } from "./frames.ts";
import { eachMapping } from "./mapping-tree.ts";
import { findFree, MAP, munmap } from "./mmap.ts";
import { mprotect } from "./protect.ts";
import { pageWordAt, TO_READ, TO_WRITE } from "./page-table.ts";
import { AddressSpace, Mapping } from "./records.ts";
import { mremap, MREMAP } from "./mremap.ts";
import {
  anonymous,
  forgetTestFile,
  map,
  openTestFile,
  OWNER,
  peek,
  poke,
  request,
  steps,
  testMachine,
} from "./testing/test-machine.ts";

const BASE = 0x40_0000;
const PAGES = 24;
const FILE_PAGES = 40;

/** A page of the model: what its first byte is, and what may be done to it. */
interface Page {
  readonly prot: number;
  /** What the byte is when the page is dropped: a file's byte, 0, or the cell that a shared mapping shows. */
  readonly base: number;
  readonly cell: { value: number } | undefined;
  value: number | undefined;
}
type Model = (Page | undefined)[];

interface Process {
  readonly space: AddressSpace;
  readonly pages: Model;
}

const page = fc.nat({ max: PAGES - 1 });
const count = fc.integer({ min: 1, max: 8 });
const prot = fc.constantFrom(0, 1, 3, 3, 3, 5, 7);
const action = fc.oneof(
  fc.record({ op: fc.constant("map"), page, count, prot }),
  fc.record({ op: fc.constant("mapShared"), page, count, prot }),
  fc.record({ op: fc.constant("mapFile"), page, count, prot }),
  fc.record({ op: fc.constant("unmap"), page, count, prot }),
  fc.record({ op: fc.constant("protect"), page, count, prot }),
  fc.record({ op: fc.constant("drop"), page, count, prot }),
  fc.record({ op: fc.constant("move"), page, count, prot, to: page }),
  fc.record({ op: fc.constant("write"), page, count, prot }),
  fc.record({ op: fc.constant("write"), page, count, prot }),
  fc.record({ op: fc.constant("fork"), page, count, prot }),
  fc.record({ op: fc.constant("exit"), page, count, prot }),
  fc.record({ op: fc.constant("switch"), page, count, prot }),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

function valueOf(p: Page): number {
  return p.cell !== undefined ? p.cell.value : (p.value ?? p.base);
}

/** What harts may keep of the pages of a space: its entries, under its stamp. */
interface Kept {
  readonly stamp: number;
  readonly entries: readonly number[];
}

function keptOf(tx: HookedTransaction, space: AddressSpace): Kept {
  const root = AddressSpace.root.get(tx, space);
  const entries = Array.from({ length: PAGES }, (_, i) => {
    const at = pageWordAt(tx, root, BASE / 4096 + i);
    return [tx.memory[at + TO_READ]!, tx.memory[at + TO_WRITE]!];
  });
  return { stamp: AddressSpace.entryStamp.get(tx, space), entries: entries.flat() };
}

/** Entries that were valid are as they were, or the stamp is another one. */
function checkKept(
  before: ReadonlyMap<AddressSpace, Kept>,
  tx: HookedTransaction,
  spaces: AddressSpace[],
): void {
  for (const space of spaces) {
    const old = before.get(space);
    const now = keptOf(tx, space);
    if (old === undefined || old.stamp !== now.stamp) continue;
    old.entries.forEach((entry, i) => {
      if (entry !== ENTRY_INVALID) assert.equal(now.entries[i], entry, `entry ${i} was taken away unnoticed`);
    });
  }
}

function check(tx: HookedTransaction, process: Process): void {
  process.pages.forEach((p, i) => {
    const va = BASE + i * 4096;
    const seen = peek(tx, process.space, va);
    if (p === undefined) assert.equal(seen, -((11 << 8) | 1), `page ${i} is not mapped`);
    else if ((p.prot & 3) === 0) assert.equal(seen, -((11 << 8) | 2), `page ${i} may not be read`);
    else assert.equal(seen, valueOf(p), `page ${i}`);
  });
}

/** Whether one mapping of the model's could hold all these pages (mremap moves one mapping only). */
function inOneMapping(tx: HookedTransaction, space: AddressSpace, first: number, pages: number): boolean {
  for (const mapping of eachMapping(tx, space)) {
    if (Mapping.first.get(tx, mapping) <= first) {
      if (Mapping.end.get(tx, mapping) >= first + pages) return true;
    }
  }
  return false;
}

test("random operations do what the model says, and leave nothing behind", () => {
  const run = (actions: readonly Action[], twoTasks: boolean): void => {
    forgetTestFile();
    const { tx, space } = testMachine({ heap: 4 << 20 });
    // With two tasks entries become valid by a second fault, and there is no zero frame.
    if (twoTasks) request(tx, () => holdSpace(tx, space));
    const file = openTestFile(tx, FILE_PAGES);
    drainFrames(tx);
    const before = frameUsage(tx).free;
    let processes: Process[] = [{ space, pages: Array.from({ length: PAGES }, () => undefined) }];
    let stamp = 100;
    let kept = new Map<AddressSpace, Kept>();
    for (const a of actions) {
      const spaces = processes.map((each) => each.space);
      checkKept(kept, tx, spaces);
      // Looking at all pages makes them usable; sometimes they are left as they are.
      if (a.count % 2 === 0) check(tx, processes[0]!);
      kept = new Map(spaces.map((each) => [each, keptOf(tx, each)]));
      const process = processes[0]!;
      const { pages } = process;
      const n = Math.min(a.count, PAGES - a.page);
      const at = BASE + a.page * 4096;
      const range = pages.slice(a.page, a.page + n);
      const put = (make: (i: number) => Page | undefined): void => {
        for (let i = 0; i < n; i++) pages[a.page + i] = make(i);
      };
      const fixed = { address: at, prot: a.prot, file, offset: a.page * 4096 };
      if (a.op === "map") {
        map(
          tx,
          process.space,
          anonymous(n * 4096, { ...fixed, flags: MAP.PRIVATE | MAP.FIXED | MAP.ANONYMOUS }),
        );
        put(() => ({ prot: a.prot, base: 0, cell: undefined, value: undefined }));
      } else if (a.op === "mapShared") {
        map(
          tx,
          process.space,
          anonymous(n * 4096, { ...fixed, flags: MAP.SHARED | MAP.FIXED | MAP.ANONYMOUS }),
        );
        put(() => ({ prot: a.prot, base: 0, cell: { value: 0 }, value: undefined }));
      } else if (a.op === "mapFile") {
        map(tx, process.space, anonymous(n * 4096, { ...fixed, flags: MAP.PRIVATE | MAP.FIXED }));
        put((i) => ({ prot: a.prot, base: a.page + i + 1, cell: undefined, value: undefined }));
      } else if (a.op === "unmap") {
        steps(tx, () => munmap(tx, process.space, at, n * 4096, OWNER));
        put(() => undefined);
      } else if (a.op === "protect") {
        const whole = range.every((p) => p !== undefined);
        const protect = () => steps(tx, () => mprotect(tx, process.space, at, n * 4096, a.prot, OWNER));
        if (whole) {
          protect();
          put((i) => ({ ...range[i]!, prot: a.prot }));
        } else if (range[0] === undefined) {
          assert.throws(protect, (error) => (error as { name?: string }).name === "ENOMEM");
        } else {
          assert.equal(protect(), -errno.ENOMEM.code);
          const hole = range.indexOf(undefined);
          put((i) => (i < hole ? { ...range[i]!, prot: a.prot } : range[i]));
        }
      } else if (a.op === "drop") {
        steps(tx, () => madvise(tx, process.space, at, n * 4096, MADV.DONTNEED, OWNER));
        put((i) => range[i] && { ...range[i], value: undefined });
      } else if (a.op === "move") {
        const target = (a as { to: number }).to;
        const apart = target + n <= a.page || a.page + n <= target;
        if (!apart || target + n > PAGES) continue;
        if (!inOneMapping(tx, process.space, at / 4096, n)) continue;
        const to = BASE + target * 4096;
        const moved = {
          address: at,
          oldLength: n * 4096,
          newLength: n * 4096,
          newAddress: to,
          limit: Infinity,
        };
        steps(tx, () => mremap(tx, process.space, { ...moved, flags: MREMAP.MAYMOVE | MREMAP.FIXED }, OWNER));
        put(() => undefined);
        range.forEach((p, i) => (pages[target + i] = p));
      } else if (a.op === "write") {
        for (let i = 0; i < n; i++) {
          const p = pages[a.page + i];
          const outcome = poke(tx, process.space, at + i * 4096, ++stamp & 127);
          if (p === undefined) assert.equal(outcome, (11 << 8) | 1);
          else if ((p.prot & 2) === 0) assert.equal(outcome, (11 << 8) | 2);
          else {
            assert.equal(outcome, 0);
            if (p.cell !== undefined) p.cell.value = stamp & 127;
            else p.value = stamp & 127;
          }
        }
      } else if (a.op === "fork" && processes.length < 4) {
        const child = request(tx, () => beginFork(tx, process.space, OWNER));
        steps(tx, () => forkStep(tx, child, OWNER));
        processes.push({ space: child, pages: pages.map((p) => p && { ...p }) });
      } else if (a.op === "exit" && processes.length > 1) {
        const gone = processes.pop()!;
        while (!request(tx, () => releaseSpace(tx, gone.space)));
        while (!request(tx, () => destroyStep(tx, gone.space)));
      } else if (a.op === "switch") processes = [...processes.slice(1), process];
    }
    for (const process of processes) check(tx, process);
    assert.deepEqual(checkHeap(tx), []);
    for (const { space } of processes) {
      while (!request(tx, () => releaseSpace(tx, space)));
      while (!request(tx, () => destroyStep(tx, space)));
    }
    drainFrames(tx);
    assert.equal(frameUsage(tx).free, before);
    assert.deepEqual(checkHeap(tx), []);
  };
  fc.assert(fc.property(fc.array(action, { maxLength: 60 }), fc.boolean(), run), {
    numRuns: 150,
    seed: 20_261_123,
  });
});

test("free ranges are found downwards, then upwards, and never overlap", () => {
  forgetTestFile();
  const { tx, space } = testMachine({ heap: 4 << 20 });
  const seen: number[] = [];
  for (let i = 0; i < 200; i++) {
    // Every second one is shared, so that neighbours are not joined.
    seen.push(map(tx, space, anonymous(4096 * (1 + (i % 5)), { flags: i % 2 === 0 ? 0x22 : 0x21 })));
  }
  assert.deepEqual(
    seen,
    [...seen].sort((a, b) => b - a),
  );
  for (let i = 0; i < 200; i += 3) steps(tx, () => munmap(tx, space, seen[i]!, 4096 * (1 + (i % 5)), OWNER));
  assert.deepEqual(checkHeap(tx), []);
  const hole = map(tx, space, anonymous(4096));
  assert.ok(hole > seen.at(-1)!, "a hole is used again");
  request(tx, () => assert.equal(findFree(tx, space, 0x1234, 5), 0x1234));
  const top = map(tx, space, anonymous(2 ** 37));
  assert.ok(top < seen.at(-1)!);
  assert.throws(() => map(tx, space, anonymous(2 ** 37)));
});
