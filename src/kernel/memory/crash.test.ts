/** Every crash point of every operation of kernel memory, and a mutant for every invariant. */

import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { census, checkHeap, registeredInvariants } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import type { Ref } from "../../heap/record.ts";
import type { HookedTransaction } from "../../heap/transaction.ts";
import { File } from "../file.ts";
import { madvise, MADV } from "./advise.ts";
import { createSpace, destroyStep, holdSpace, releaseSpace, setUpSpace } from "./address-space.ts";
import { brk } from "./brk.ts";
import { handleFault } from "./fault.ts";
import { changeFileMappings } from "./file-change.ts";
import { beginFork, cancelFork, forkStep } from "./fork.ts";
import { memoryLayout } from "./layout.ts";
import { eachMapping, mappingFrom } from "./mapping-tree.ts";
import { MAP, mmap, munmap } from "./mmap.ts";
import { mremap, MREMAP } from "./mremap.ts";
import { PAGE_COW, PAGE_FETCH, PAGE_READ, PAGE_WRITE, pageWordAt, rootWord, TO_READ } from "./page-table.ts";
import { CONTROL } from "./pool.ts";
import { mprotect } from "./protect.ts";
import { AddressSpace, Mapping, PROT } from "./records.ts";
import { publishSafepoint, releasePending } from "./safepoint.ts";
import { SharedObject } from "./shared-object.ts";
import {
  anonymous,
  forgetTestFile,
  map,
  openTestFile,
  OWNER,
  peek,
  poke,
  request,
  STACK_LIMIT,
  steps,
  type TestMachine,
  testMachine,
} from "./testing/test-machine.ts";

beforeEach(forgetTestFile);

/** What a program can see of a space, and the accounting. */
function observe(tx: HookedTransaction, space: AddressSpace): unknown {
  if (!AddressSpace.isLive(tx, space)) return "gone";
  const mappings = [...eachMapping(tx, space)].map((mapping) => [
    Mapping.first.get(tx, mapping),
    Mapping.end.get(tx, mapping),
    Mapping.prot.get(tx, mapping),
    Mapping.flags.get(tx, mapping),
  ]);
  return [
    mappings,
    AddressSpace.residentPages.get(tx, space),
    AddressSpace.claim.get(tx, space),
    [...census(tx)],
  ];
}

interface Scene extends TestMachine {
  readonly own: number;
  readonly shared: number;
  readonly hidden: number;
  /** Private anonymous memory that is large enough for a home. */
  readonly large: number;
  readonly file: ReturnType<typeof openTestFile>;
}

/** A space with private, shared and file memory, some of it touched. */
function scene(): Scene {
  forgetTestFile();
  const machine = testMachine({ heap: 4 << 20 });
  const { tx, space } = machine;
  const file = openTestFile(tx, 4);
  const own = map(tx, space, anonymous(6 * 4096, { address: 0x10_0000, flags: 0x32 }));
  const shared = map(tx, space, anonymous(2 * 4096, { address: 0x20_0000, flags: 0x31 }));
  const hidden = map(
    tx,
    space,
    anonymous(4 * 4096, { address: 0x30_0000, flags: MAP.PRIVATE | MAP.FIXED, file }),
  );
  const large = map(tx, space, anonymous(64 * 4096, { address: 0x70_0000, flags: 0x32 }));
  // Chunks of the records that most operations allocate: to make one is the allocator's business.
  request(tx, () => changeFileMappings(tx, 1 as Ref<"inode">, 0, 1));
  poke(tx, space, own, 1);
  steps(tx, () => madvise(tx, space, own, 4096, MADV.DONTNEED, OWNER));
  poke(tx, space, own, 1);
  peek(tx, space, own + 4096);
  poke(tx, space, own + 2 * 4096, 2);
  poke(tx, space, shared, 3);
  peek(tx, space, hidden);
  poke(tx, space, hidden + 4096, 4);
  assert.deepEqual(checkHeap(tx), []);
  return { ...machine, own, shared, hidden, large, file };
}

/** Each operation's single step, by name. */
const OPERATIONS: readonly [string, (s: Scene) => (tx: HookedTransaction) => unknown][] = [
  ["create a space", () => (tx) => createSpace(tx)],
  ["map anonymous memory", (s) => (tx) => mmap(tx, s.space, anonymous(8192), OWNER)],
  [
    "map anonymous memory next to like memory",
    (s) => (tx) => mmap(tx, s.space, anonymous(4096, { address: s.own + 6 * 4096 }), OWNER),
  ],
  [
    "map shared memory",
    (s) => (tx) => mmap(tx, s.space, anonymous(8192, { flags: MAP.SHARED | MAP.ANONYMOUS }), OWNER),
  ],
  [
    "map a file over memory",
    (s) => (tx) =>
      mmap(
        tx,
        s.space,
        anonymous(8192, { address: s.own + 4096, flags: MAP.PRIVATE | MAP.FIXED, file: s.file }),
        OWNER,
      ),
  ],
  [
    "map memory over a file",
    (s) => (tx) => mmap(tx, s.space, anonymous(4096, { address: s.hidden + 4096, flags: 0x32 }), OWNER),
  ],
  ["map beyond the limit", (s) => (tx) => mmap(tx, s.space, anonymous(4096, { limit: 4096 }), OWNER)],
  ["unmap the middle", (s) => (tx) => munmap(tx, s.space, s.own + 4096, 2 * 4096, OWNER)],
  ["unmap the end", (s) => (tx) => munmap(tx, s.space, s.own + 4096, 5 * 4096, OWNER)],
  ["unmap a file", (s) => (tx) => munmap(tx, s.space, s.hidden, 4 * 4096, OWNER)],
  ["unmap shared memory", (s) => (tx) => munmap(tx, s.space, s.shared, 2 * 4096, OWNER)],
  ["protect the middle", (s) => (tx) => mprotect(tx, s.space, s.own + 4096, 2 * 4096, PROT.READ, OWNER)],
  ["protect a file", (s) => (tx) => mprotect(tx, s.space, s.hidden, 2 * 4096, PROT.READ | PROT.EXEC, OWNER)],
  ["drop pages", (s) => (tx) => madvise(tx, s.space, s.own, 6 * 4096, MADV.DONTNEED, OWNER)],
  [
    "grow in place",
    (s) => (tx) =>
      mremap(
        tx,
        s.space,
        { address: s.own, oldLength: 6 * 4096, newLength: 9 * 4096, flags: 0, newAddress: 0, limit: 1e12 },
        OWNER,
      ),
  ],
  [
    "move",
    (s) => (tx) =>
      mremap(
        tx,
        s.space,
        {
          address: s.own,
          oldLength: 6 * 4096,
          newLength: 9 * 4096,
          flags: 3,
          newAddress: 0x50_0000,
          limit: 1e12,
        },
        OWNER,
      ),
  ],
  [
    "move part of a file",
    (s) => (tx) =>
      mremap(
        tx,
        s.space,
        {
          address: s.hidden + 4096,
          oldLength: 4096,
          newLength: 8192,
          flags: MREMAP.MAYMOVE,
          newAddress: 0,
          limit: 1e12,
        },
        OWNER,
      ),
  ],
  ["raise the break", (s) => (tx) => brk(tx, s.space, 0x60_0000 + 9000, Infinity, Infinity, OWNER)],
  ["fault: zero page", (s) => (tx) => handleFault(tx, s.space, s.own + 3 * 4096, 0, STACK_LIMIT)],
  ["fault: fresh page", (s) => (tx) => handleFault(tx, s.space, s.own + 3 * 4096, 1, STACK_LIMIT)],
  ["fault: copy the zero page", (s) => (tx) => handleFault(tx, s.space, s.own + 4096, 1, STACK_LIMIT)],
  ["fault: shared page", (s) => (tx) => handleFault(tx, s.space, s.shared + 4096, 1, STACK_LIMIT)],
  ["fault: file page", (s) => (tx) => handleFault(tx, s.space, s.hidden + 2 * 4096, 0, STACK_LIMIT)],
  [
    "fault: write to a file page",
    (s) => (tx) => handleFault(tx, s.space, s.hidden + 2 * 4096, 1, STACK_LIMIT),
  ],
  ["fault: copy a file page", (s) => (tx) => handleFault(tx, s.space, s.hidden, 1, STACK_LIMIT)],
  [
    "fault: a page that finds a home",
    (s) => (tx) => handleFault(tx, s.space, s.large + 4096, 1, STACK_LIMIT),
  ],
  [
    "fault: a page that goes home",
    (s) => {
      poke(s.tx, s.space, s.large + 4096, 1);
      return (tx) => handleFault(tx, s.space, s.large + 7 * 4096, 1, STACK_LIMIT);
    },
  ],
  [
    "fault: several pages at once",
    (s) => {
      for (let page = 0; page < 8; page++) poke(s.tx, s.space, s.large + page * 4096, 1);
      return (tx) => handleFault(tx, s.space, s.large + 8 * 4096, 1, STACK_LIMIT);
    },
  ],
  [
    "fault: copy the zero page to a home",
    (s) => {
      peek(s.tx, s.space, s.large + 4096);
      return (tx) => handleFault(tx, s.space, s.large + 4096, 1, STACK_LIMIT);
    },
  ],
  [
    "unmap a part of what has a home",
    (s) => {
      for (let page = 0; page < 32; page++) poke(s.tx, s.space, s.large + page * 4096, 1);
      return (tx) => munmap(tx, s.space, s.large + 4096, 24 * 4096, OWNER);
    },
  ],
  ["begin a fork", (s) => (tx) => beginFork(tx, s.space, OWNER)],
  [
    "fork",
    (s) => {
      const child = request(s.tx, () => beginFork(s.tx, s.space, OWNER));
      return (tx) => forkStep(tx, child, OWNER);
    },
  ],
  [
    "give a fork up",
    (s) => {
      const child = request(s.tx, () => beginFork(s.tx, s.space, OWNER));
      return (tx) => {
        cancelFork(tx, child, OWNER);
        return destroyStep(tx, child);
      };
    },
  ],
  [
    "write after a fork",
    (s) => {
      const child = request(s.tx, () => beginFork(s.tx, s.space, OWNER));
      steps(s.tx, () => forkStep(s.tx, child, OWNER));
      return (tx) => handleFault(tx, s.space, s.own, 1, STACK_LIMIT);
    },
  ],
  [
    "pages of a file change",
    (s) => {
      const inode = 4711 as Ref<"inode">;
      request(s.tx, () => File.inode.set(s.tx, s.file, inode));
      return (tx) => changeFileMappings(tx, inode, 0, 4);
    },
  ],
  [
    "destroy",
    (s) => {
      request(s.tx, () => releaseSpace(s.tx, s.space));
      return (tx) => destroyStep(tx, s.space);
    },
  ],
];

/** The same with a second task, whose slot has the space active and notices nothing by itself. */
const SHARED_OPERATIONS: readonly [string, (s: Scene) => (tx: HookedTransaction) => unknown][] = [
  ["unmap", (s) => (tx) => munmap(tx, s.space, s.own, 4 * 4096, OWNER)],
  ["protect", (s) => (tx) => mprotect(tx, s.space, s.own, 6 * 4096, PROT.READ, OWNER)],
  ["fault", (s) => (tx) => handleFault(tx, s.space, s.own + 3 * 4096, 1, STACK_LIMIT)],
  ["fault: a page that finds a home", (s) => (tx) => handleFault(tx, s.space, s.large, 1, STACK_LIMIT)],
  [
    "fork",
    (s) => {
      const child = request(s.tx, () => beginFork(s.tx, s.space, OWNER));
      return (tx) => forkStep(tx, child, OWNER);
    },
  ],
  ["copy: mark", (s) => (tx) => handleFault(tx, s.space, s.hidden, 1, STACK_LIMIT)],
  [
    "copy: move",
    (s) => {
      request(s.tx, () => handleFault(s.tx, s.space, s.hidden, 1, STACK_LIMIT));
      publishSafepoint(s.other, s.space);
      return (tx) => handleFault(tx, s.space, s.hidden, 0, STACK_LIMIT);
    },
  ],
  [
    "free what has waited",
    (s) => {
      request(s.tx, () => munmap(s.tx, s.space, s.own, 4 * 4096, OWNER));
      request(s.tx, () => munmap(s.tx, s.space, s.hidden, 4 * 4096, OWNER));
      publishSafepoint(s.other, s.space);
      return (tx) => releasePending(tx, s.space);
    },
  ],
  [
    "end a space in which something waits",
    (s) => {
      request(s.tx, () => munmap(s.tx, s.space, s.own, 4 * 4096, OWNER));
      request(s.tx, () => releaseSpace(s.tx, s.space));
      request(s.tx, () => releaseSpace(s.tx, s.space));
      return (tx) => destroyStep(tx, s.space);
    },
  ],
];

describe("with a second task, crash at every step of", () => {
  for (const [name, prepare] of SHARED_OPERATIONS) {
    test(name, () => {
      const s = scene();
      request(s.tx, () => holdSpace(s.tx, s.space));
      publishSafepoint(s.other, s.space);
      const operation = prepare(s);
      const report = crashLoop({ tx: s.tx, operation, observe: (tx) => observe(tx, s.space) });
      assert.ok(report.points >= 2, `${report.points} points`);
    });
  }
});

describe("crash at every step, and in every step of the recovery, of", () => {
  for (const name of ["fault: copy a file page", "raise the break", "unmap shared memory"]) {
    test(name, () => {
      const s = scene();
      request(s.tx, () => setUpSpace(s.tx, s.space, { breakStart: 0x60_0000 }));
      const operation = OPERATIONS.find(([each]) => each === name)![1](s);
      const report = crashLoop({ tx: s.tx, operation, pairs: true });
      assert.ok(report.pairs > 10, `${report.pairs} pairs`);
    });
  }
});

describe("crash at every step of", () => {
  for (const [name, prepare] of OPERATIONS) {
    test(name, () => {
      const s = scene();
      request(s.tx, () => setUpSpace(s.tx, s.space, { breakStart: 0x60_0000 }));
      const operation = prepare(s);
      const report = crashLoop({ tx: s.tx, operation, observe: (tx) => observe(tx, s.space) });
      assert.ok(report.points >= 2, `${report.points} points`);
    });
  }
});

test("every invariant of kernel memory is tripped by a mutant", () => {
  const word = (s: Scene, va: number): number =>
    pageWordAt(s.tx, AddressSpace.root.get(s.tx, s.space), va / 4096);
  const mutants: Readonly<Record<string, (s: Scene) => void>> = {
    P1: (s) => {
      const { framePool } = memoryLayout(s.tx);
      s.tx.memory[framePool.referencesAt + s.tx.words[framePool.controlAt + CONTROL.homes]! - 1] = 1;
    },
    P3: (s) => void (s.tx.words[memoryLayout(s.tx).framePool.controlAt + CONTROL.homesFree]! += 1),
    P2: (s) => {
      const { framePool } = memoryLayout(s.tx);
      const at = framePool.referencesAt + (s.tx.memory[word(s, s.own)]! >>> 12);
      s.tx.memory[at] = s.tx.memory[at]! + 1;
    },
    M1: (s) => void (s.tx.words[mappingFrom(s.tx, s.space, 0) + Mapping.end.word]! += 5000),
    M2: (s) => void (s.tx.words[AddressSpace.virtualPages.at(s.space)]! += 1),
    M3: (s) => void (s.tx.words[AddressSpace.residentPages.at(s.space)]! -= 1),
    M4: (s) => void (s.tx.words[mappingFrom(s.tx, s.space, s.own / 4096) + Mapping.prot.word] = PROT.EXEC),
    M5: (s) => void (s.tx.memory[word(s, s.own) + TO_READ]! += 4096),
    M6: (s) => {
      const root = AddressSpace.root.get(s.tx, s.space);
      s.tx.memory[rootWord(root, 0x1_0000)] = s.tx.memory[rootWord(root, s.own / 4096)]!;
    },
    M7: (s) => void (s.tx.memory[word(s, s.own + 4096)]! |= PAGE_WRITE),
    M8: (s) => {
      const object = Mapping.object.get(s.tx, mappingFrom(s.tx, s.space, s.shared / 4096));
      s.tx.words[object + SharedObject.references.word]! += 1;
    },
    M9: (s) => {
      const child = request(s.tx, () => createSpace(s.tx));
      const root = AddressSpace.root.get(s.tx, child);
      request(s.tx, () => releaseSpace(s.tx, child));
      request(s.tx, () => destroyStep(s.tx, child));
      s.tx.memory[(root >>> 2) + 5] = 4096;
    },
  };
  const mine = registeredInvariants().filter(({ id }) => /^[MP]\d/.test(id));
  assert.deepEqual(mine.map(({ id }) => id).sort(), Object.keys(mutants).sort());
  for (const [id, mutate] of Object.entries(mutants)) {
    const s = scene();
    mutate(s);
    assert.ok(
      checkHeap(s.tx).some(({ invariant }) => invariant === id),
      `${id} is not tripped`,
    );
  }
  // M5 has several parts.
  for (const [va, mutate] of [
    [0, (w: number) => (w & ~PAGE_READ) | 0],
    [0, (w: number) => w | PAGE_FETCH],
    [0, (w: number) => w | PAGE_COW],
  ] as const) {
    const s = scene();
    const at = word(s, s.own + va);
    s.tx.memory[at] = mutate(s.tx.memory[at]!);
    assert.ok(checkHeap(s.tx).some(({ invariant }) => invariant === "M5"));
  }
  const s = scene();
  s.tx.memory[word(s, s.own + 5 * 4096) + TO_READ] = 0;
  assert.ok(checkHeap(s.tx).some(({ invariant }) => invariant === "M5"));
});
