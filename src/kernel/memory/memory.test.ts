import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { Ref } from "../../heap/record.ts";
import { File } from "../file.ts";
import { madvise } from "./advise.ts";
import { createSpace, holdSpace } from "./address-space.ts";
import { changeFileMappings } from "./file-change.ts";
import { publishSafepoint, releasePending } from "./safepoint.ts";
import { errno } from "../../base/errno.ts";
import { census, checkHeap } from "../../heap/check.ts";
import { faultCode, faultSignal } from "./fault.ts";
import { allocateZeroFrame, dropFrame, frameAddress, frameUsage } from "./frames.ts";
import { memoryLayout } from "./layout.ts";
import { beginFork, forkStep } from "./fork.ts";
import { MAP, mapTrampoline, munmap } from "./mmap.ts";
import { mprotect } from "./protect.ts";
import { AddressSpace, PROT } from "./records.ts";
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
  testFile,
  testMachine,
  walk,
} from "./testing/test-machine.ts";
import {
  copyFromSpace,
  FAULT_IN,
  faultIn,
  getU32,
  getU64,
  NEEDS_FAULT,
  putU32,
  putU64,
  userSegments,
} from "./user-memory.ts";
import { clearSegments, segmentBytes } from "../request.ts";

beforeEach(forgetTestFile);

test("anonymous memory is zero, keeps what is written, and is gone after munmap", () => {
  const { tx, space } = testMachine();
  const at = map(tx, space, anonymous(100_000));
  assert.equal(at % 4096, 0);
  assert.equal(peek(tx, space, at), 0);
  assert.equal(poke(tx, space, at + 5, 7), 0);
  assert.equal(peek(tx, space, at + 5), 7);
  assert.deepEqual(checkHeap(tx), []);
  const outcome = poke(tx, space, at + 100_000 + 4096, 1);
  assert.deepEqual([faultSignal(outcome), faultCode(outcome)], [11, 1]);
  assert.equal(
    steps(tx, () => munmap(tx, space, at, 100_000, OWNER)),
    0,
  );
  assert.equal(peek(tx, space, at), -((11 << 8) | 1));
  assert.equal(AddressSpace.residentPages.get(tx, space), 0);
  assert.equal(AddressSpace.leafTables.get(tx, space), 0);
  assert.deepEqual(checkHeap(tx), []);
});

test("a private file page is shared until it is written; a shared one is the file's own", () => {
  const { tx, space } = testMachine();
  const file = openTestFile(tx, 3);
  const hidden = map(tx, space, anonymous(3 * 4096, { flags: MAP.PRIVATE, file }));
  const shared = map(tx, space, anonymous(4 * 4096, { flags: MAP.SHARED, file }));
  assert.equal(peek(tx, space, hidden + 4096), 2);
  poke(tx, space, hidden + 4097, 99);
  assert.equal(peek(tx, space, hidden + 4096), 2);
  assert.equal(peek(tx, space, hidden + 4097), 99);
  assert.equal(peek(tx, space, shared + 4097), 2);
  poke(tx, space, shared + 8192, 55);
  assert.equal(peek(tx, space, hidden + 8192), 55);
  assert.equal(peek(tx, space, shared + 3 * 4096), -((7 << 8) | 2));
  testFile.block = true;
  assert.throws(
    () => peek(tx, space, hidden),
    (error) => (error as { wouldBlock?: boolean }).wouldBlock === true,
  );
  testFile.block = false;
  testFile.fail = errno.EIO as unknown as Error;
  assert.equal(peek(tx, space, hidden), -((7 << 8) | 2));
  testFile.fail = undefined;
  assert.deepEqual(checkHeap(tx), []);
  steps(tx, () => munmap(tx, space, hidden, 3 * 4096, OWNER));
  steps(tx, () => munmap(tx, space, shared, 4 * 4096, OWNER));
  assert.deepEqual(checkHeap(tx), []);
});

test("all spaces read one frame for the trampoline; who writes to it has a copy", () => {
  const { tx, space } = testMachine();
  const { trampolineFrame } = memoryLayout(tx);
  tx.memory[(trampolineFrame * 4096) >>> 2] = 0x1234;
  const at = 2 ** 38 - 8192;
  const second = request(tx, () => {
    const made = createSpace(tx);
    for (const each of [space, made]) mapTrampoline(tx, each, at);
    return made;
  });
  assert.equal(peek(tx, space, at), 0x34);
  assert.equal(walk(tx, space, at, 1, false), frameAddress(trampolineFrame));
  assert.deepEqual([...new Set([space, second].map((each) => peek(tx, each, at + 1)))], [0x12]);
  assert.equal(AddressSpace.residentPages.get(tx, space), 0);
  assert.deepEqual([faultSignal(poke(tx, space, at, 1)), walk(tx, space, at, 1, true)], [11, -1]);
  const child = request(tx, () => beginFork(tx, space, OWNER));
  steps(tx, () => forkStep(tx, child, OWNER));
  assert.deepEqual(checkHeap(tx), []);
  const all = PROT.READ | PROT.WRITE | PROT.EXEC;
  for (const each of [space, child]) steps(tx, () => mprotect(tx, each, at, 4096, all, OWNER));
  assert.equal(poke(tx, space, at, 0x77), 0);
  assert.deepEqual([peek(tx, space, at), peek(tx, space, at + 1)], [0x77, 0x12]);
  assert.deepEqual([peek(tx, child, at), peek(tx, second, at)], [0x34, 0x34]);
  assert.equal(AddressSpace.residentPages.get(tx, space), 1);
  assert.deepEqual(checkHeap(tx), []);
  steps(tx, () => madvise(tx, space, at, 4096, 4, OWNER));
  assert.equal(peek(tx, space, at), 0x34);
  assert.equal(poke(tx, child, at + 2, 5), 0);
  assert.deepEqual([peek(tx, child, at), peek(tx, child, at + 2), peek(tx, space, at + 2)], [0x34, 5, 0]);
  steps(tx, () => munmap(tx, child, at, 4096, OWNER));
  assert.deepEqual(checkHeap(tx), []);
});

test("user copies ask for what is missing and then go through", () => {
  const { tx, space } = testMachine();
  const at = map(tx, space, anonymous(40 * 4096));
  const user = <T>(work: () => T): T => {
    for (let i = 0; i < 20; i++) {
      try {
        return request(tx, work);
      } catch (error) {
        if (error !== NEEDS_FAULT) throw error;
        while (request(tx, () => faultIn(tx, space, 0)) !== FAULT_IN.DONE);
      }
    }
    throw new Error("never goes through");
  };
  user(() => putU32(tx, space, at + 4094, 0x12345678));
  assert.equal(
    user(() => getU32(tx, space, at + 4094)),
    0x12345678,
  );
  user(() => putU64(tx, space, at + 8192, 2 ** 40 + 5));
  assert.equal(
    user(() => getU64(tx, space, at + 8192)),
    2 ** 40 + 5,
  );
  user(() => putU64(tx, space, at + 8192, -1));
  assert.throws(
    () => user(() => getU64(tx, space, at + 8192)),
    (error) => error === errno.EOVERFLOW,
  );
  assert.equal(
    user(() => userSegments(tx, space, at + 100, 1 << 20, true)),
    65536,
  );
  assert.equal(segmentBytes(tx), 65536);
  assert.equal(
    user(() => userSegments(tx, space, at + 38 * 4096 + 100, 65536, false)),
    2 * 4096 - 100,
  );
  assert.throws(
    () => user(() => userSegments(tx, space, at - 1, 10, false)),
    (error) => error === errno.EFAULT,
  );
  assert.throws(
    () => user(() => userSegments(tx, space, 2 ** 38 - 1, 10, false)),
    (error) => error === errno.EFAULT,
  );
  clearSegments(tx);
  assert.deepEqual(checkHeap(tx), []);
});

test("running out of frames is ENOMEM and gives everything back", () => {
  const { tx, space } = testMachine();
  const before = frameUsage(tx).free;
  const at = map(tx, space, anonymous(1 << 26));
  let pages = 0;
  assert.throws(
    () => {
      for (;;) {
        poke(tx, space, at + pages * 4096, 1);
        pages++;
      }
    },
    (error) => error === errno.ENOMEM,
  );
  assert.ok(pages > before - 200 && pages <= before, `${pages} of ${before}`);
  assert.deepEqual(checkHeap(tx), []);
  steps(tx, () => munmap(tx, space, at, 1 << 26, OWNER));
  assert.ok(frameUsage(tx).free > before - 100);
  assert.deepEqual(checkHeap(tx), []);
});

test("protection is obeyed", () => {
  const { tx, space } = testMachine();
  const at = map(tx, space, anonymous(4096, { prot: PROT.READ }));
  assert.equal(peek(tx, space, at), 0);
  assert.equal(poke(tx, space, at, 1), (11 << 8) | 2);
  const closed = map(tx, space, anonymous(4096, { prot: 0 }));
  assert.equal(peek(tx, space, closed), -((11 << 8) | 2));
});

test("mappings ask the file again when its pages change, and private copies stay", () => {
  const { tx, other, space } = testMachine();
  const file = openTestFile(tx, 3);
  const inode = 4711 as Ref<"inode">;
  request(tx, () => File.inode.set(tx, file, inode));
  const hidden = map(tx, space, anonymous(3 * 4096, { flags: MAP.PRIVATE, file }));
  const shared = map(tx, space, anonymous(2 * 4096, { flags: MAP.SHARED, file, offset: 4096 }));
  peek(tx, space, hidden);
  poke(tx, space, hidden + 4096, 77);
  peek(tx, space, hidden + 8192);
  poke(tx, space, shared, 78);
  request(tx, () => holdSpace(tx, space));
  publishSafepoint(other, space);
  const change = (page: number): void => {
    const frame = allocateZeroFrame(tx);
    tx.memoryBytes.fill(100 + page, frameAddress(frame), frameAddress(frame) + 4096);
    dropFrame(tx, testFile.pages.get(page)!);
    testFile.pages.set(page, frame);
    changeFileMappings(tx, inode, page, page + 1);
  };
  request(tx, () => change(0));
  request(tx, () => change(1));
  assert.equal(walk(tx, space, hidden, 1, false), -1);
  assert.deepEqual(checkHeap(tx), []);
  assert.deepEqual([peek(tx, space, hidden), peek(tx, space, hidden + 4096)], [100, 77]);
  assert.deepEqual([peek(tx, space, hidden + 8192), peek(tx, space, shared)], [3, 101]);
  testFile.size = 2;
  request(tx, () => changeFileMappings(tx, inode, 2, 2 ** 32));
  assert.equal(peek(tx, space, hidden + 8192), -((7 << 8) | 2));
  publishSafepoint(other, space);
  request(tx, () => releasePending(tx, space));
  steps(tx, () => munmap(tx, space, hidden, 3 * 4096, OWNER));
  publishSafepoint(other, space);
  request(tx, () => releasePending(tx, space));
  assert.deepEqual(checkHeap(tx), []);
});

for (const isActive of [false, true]) {
  test(`a hole of a file is no resident page until it is written; ${isActive ? "two harts" : "one hart"}`, () => {
    const { tx, other, space } = testMachine();
    const file = openTestFile(tx, 3);
    const inode = 4711 as Ref<"inode">;
    request(tx, () => File.inode.set(tx, file, inode));
    const { zeroFrame } = memoryLayout(tx);
    const hole = (page: number): void => {
      dropFrame(tx, testFile.pages.get(page)!);
      testFile.pages.set(page, zeroFrame);
    };
    request(tx, () => [0, 1, 2].forEach(hole));
    const shared = map(tx, space, anonymous(3 * 4096, { flags: MAP.SHARED, file }));
    request(tx, () => holdSpace(tx, space));
    if (isActive) publishSafepoint(other, space);
    const settle = (): void => {
      publishSafepoint(other, space);
      request(tx, () => releasePending(tx, space));
      assert.deepEqual(checkHeap(tx), []);
    };
    for (const page of [0, 1, 2]) assert.equal(peek(tx, space, shared + page * 4096), 0);
    assert.equal(AddressSpace.residentPages.get(tx, space), 0);
    // Written through the mapping.
    poke(tx, space, shared, 5);
    assert.equal(peek(tx, space, shared), 5);
    if (isActive) settle();
    assert.equal(AddressSpace.residentPages.get(tx, space), 1);
    // Written by somebody else.
    request(tx, () => {
      const frame = allocateZeroFrame(tx);
      tx.memoryBytes.fill(7, frameAddress(frame), frameAddress(frame) + 4096);
      testFile.pages.set(1, frame);
      changeFileMappings(tx, inode, 1, 2);
    });
    assert.equal(peek(tx, space, shared + 4096), 7);
    if (isActive) settle();
    assert.equal(AddressSpace.residentPages.get(tx, space), 2);
    steps(tx, () => munmap(tx, space, shared, 3 * 4096, OWNER));
    if (isActive) settle();
    assert.equal(AddressSpace.residentPages.get(tx, space), 0);
    assert.deepEqual(checkHeap(tx), []);
  });
}

test("another process's memory can be read as far as it is there", () => {
  const { tx, space } = testMachine();
  const at = map(tx, space, anonymous(3 * 4096));
  poke(tx, space, at + 4095, 9);
  const target = new Uint8Array(6000);
  assert.equal(
    request(tx, () => copyFromSpace(tx, space, at + 4000, target)),
    96,
  );
  assert.equal(target[95], 9);
});

test("running out of heap is ENOMEM and gives everything back", () => {
  const { tx, space } = testMachine({ heap: 3 << 20 });
  const before = census(tx).get("mapping") ?? 0;
  const base = 0x1000_0000;
  let made = 0;
  assert.throws(
    () => {
      // Neighbours differ, so that they are not joined. At fixed places: the search for a free range walks them.
      for (; ; made++) {
        const prot = made % 2 === 0 ? PROT.READ : 0;
        const flags = MAP.PRIVATE | MAP.ANONYMOUS | MAP.FIXED;
        map(tx, space, anonymous(4096, { prot, flags, address: base + made * 4096 }));
      }
    },
    (error) => error === errno.ENOMEM,
  );
  assert.ok(made > 1000);
  assert.deepEqual(checkHeap(tx), []);
  assert.equal(AddressSpace.mappingCount.get(tx, space), made);
  steps(tx, () => munmap(tx, space, base, made * 4096, OWNER));
  assert.equal(census(tx).get("mapping") ?? 0, before);
  assert.deepEqual(checkHeap(tx), []);
});
