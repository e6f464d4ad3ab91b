/** A machine of memory alone, for the tests: guest memory, a heap, and what translated code does. */

import { ENTRY_INVALID, LEAF_READ, LEAF_WRITE, VA_LIMIT } from "../../../base/hart-abi.ts";
import { createHeap, type HeapView } from "../../../heap/heap.ts";
import { REDO, type RedoKind } from "../../../heap/layout.ts";
import { none } from "../../../heap/record.ts";
import { HookedTransaction, type TransactionHook } from "../../../heap/transaction.ts";
import { createFile, type FileKind, registerFileKind } from "../../file.ts";
import { WOULD_BLOCK } from "../../request.ts";
import { KernelThread } from "../../thread.ts";
import { createSpace } from "../address-space.ts";
import { registerFrameHolder } from "../check.ts";
import { FAULT, handleFault } from "../fault.ts";
import { allocateZeroFrame, frameAddress, holdFrame } from "../frames.ts";
import { memoryLayout, placeMemory } from "../layout.ts";
import { MAP, mmap, type MapRequest } from "../mmap.ts";
import { AddressSpace, PROT } from "../records.ts";
import { placeSafepoints } from "../safepoint.ts";

export class TestHost extends KernelThread {
  woken: number[] = [];
  constructor() {
    super(1, { monotonic: () => 0, realtime: () => 0 }, { fill: () => {} }, () => {
      throw new Error("contended in one thread");
    });
  }
  override redo(tx: HookedTransaction, kind: RedoKind, value: number): boolean {
    if (kind !== REDO.wake) return super.redo(tx, kind, value);
    this.woken.push(value);
    return true;
  }
}

export const OWNER = 77;
export const STACK_LIMIT: number = 8 << 20;

export interface TestMachine {
  readonly tx: HookedTransaction;
  /** A second request slot. */
  readonly other: HookedTransaction;
  readonly space: AddressSpace;
}

export interface TestSizes {
  readonly memory?: number;
  readonly heap?: number;
  readonly slots?: number;
}

export function testMachine(sizes: TestSizes = {}): TestMachine {
  const heap = createHeap({ bytes: sizes.heap ?? 6 << 20, slots: sizes.slots ?? 2 });
  const memory = new SharedArrayBuffer(sizes.memory ?? 16 << 20);
  const host = new TestHost();
  const idle: TransactionHook = () => {};
  const tx = new HookedTransaction({ heap, memory }, 0, host, idle);
  const other = new HookedTransaction({ heap, memory }, 1, host, idle);
  placeMemory(tx, { harts: 2, tier0Bytes: 5000, tasksMax: 16, hostCalls: 1 });
  placeSafepoints(tx);
  const space = createSpace(tx);
  tx.commit();
  return { tx, other, space };
}

/** Runs `work` as a request: commits, or rolls back what it throws. */
export function request<T>(tx: HookedTransaction, work: () => T): T {
  try {
    const result = work();
    tx.commit();
    return result;
  } catch (error) {
    tx.rollback();
    throw error;
  }
}

/** Runs an operation that works in steps to its end. */
export function steps(tx: HookedTransaction, work: () => number): number {
  for (let i = 0; i < 10_000; i++) {
    const result = request(tx, work);
    if (result !== -1) return result;
  }
  throw new Error("an operation without end");
}

/** What fills a request for anonymous private memory. */
export function anonymous(length: number, extra: Partial<MapRequest> = {}): MapRequest {
  return {
    address: 0,
    length,
    prot: PROT.READ | PROT.WRITE,
    flags: MAP.PRIVATE | MAP.ANONYMOUS,
    file: none(),
    offset: 0,
    limit: Number.POSITIVE_INFINITY,
    ...extra,
  };
}

/** Maps, to the end. */
export function map(tx: HookedTransaction, space: AddressSpace, what: MapRequest): number {
  return steps(tx, () => mmap(tx, space, what, OWNER));
}

/** The walk that translated code makes: pa, or −1 if the entry forbids the access. */
export function walk(view: HeapView, space: AddressSpace, va: number, size: number, write: boolean): number {
  if (va < 0 || va >= VA_LIMIT) return -1;
  const root = AddressSpace.root.get(view, space);
  const leaf = view.memory[(root + Math.floor(va / 2 ** 24) * 4) >>> 2]! >>> 0;
  const index = Math.floor(va / 4096) & 0xfff;
  const entry = view.memory[(leaf + (write ? LEAF_WRITE : LEAF_READ) + index * 4) >>> 2]!;
  if ((entry & ENTRY_INVALID) !== 0 || va % size !== 0) return -1;
  return (entry + (va % 2 ** 32)) >>> 0;
}

/** Makes the access fault until it goes through; the outcome if that is a signal. */
export function access(tx: HookedTransaction, space: AddressSpace, va: number, kind: 0 | 1): number {
  for (let i = 0; i < 5; i++) {
    if (walk(tx, space, va, 1, kind === 1) >= 0) return 0;
    const outcome = request(tx, () => handleFault(tx, space, va, kind, STACK_LIMIT));
    if (outcome !== FAULT.DONE && outcome !== FAULT.WAIT) return outcome;
  }
  throw new Error(`access at 0x${va.toString(16)} never goes through`);
}

/** Stores a byte as a program would; the outcome of the fault if it cannot. */
export function poke(tx: HookedTransaction, space: AddressSpace, va: number, value: number): number {
  const outcome = access(tx, space, va, 1);
  if (outcome === 0) tx.memoryBytes[walk(tx, space, va, 1, true)] = value;
  return outcome;
}

/** Loads a byte as a program would; minus the outcome of the fault if it cannot. */
export function peek(tx: HookedTransaction, space: AddressSpace, va: number): number {
  const outcome = access(tx, space, va, 0);
  return outcome === 0 ? tx.memoryBytes[walk(tx, space, va, 1, false)]! : -outcome;
}

// a file whose pages are kept here, outside the heap

/** Pages of the test file that have a frame: page index → frame, with one reference; the zero frame is a hole. */
export const testFile: { pages: Map<number, number>; size: number; block: boolean; fail: Error | undefined } =
  {
    pages: new Map(),
    size: 64,
    block: false,
    fail: undefined,
  };

const unused = (): number => 0;
export const testKind: FileKind = {
  name: "inode",
  read: unused,
  write: unused,
  poll: unused,
  release: () => {},
  page: (tx, _file, index, forWrite) => {
    if (testFile.block) throw WOULD_BLOCK;
    if (testFile.fail !== undefined) throw testFile.fail;
    if (index >= testFile.size) return 0;
    let frame = testFile.pages.get(index);
    if (frame === memoryLayout(tx).zeroFrame && forWrite) {
      frame = allocateZeroFrame(tx);
      testFile.pages.set(index, frame);
    }
    if (frame === undefined) throw new Error("the test has not made this page");
    holdFrame(tx, frame);
    return frame;
  },
};
registerFileKind(testKind);
registerFrameHolder((view, add) => {
  for (const frame of testFile.pages.values()) if (frame !== memoryLayout(view).zeroFrame) add(frame);
});

/** An open file of `pages` pages, page n filled with n + 1; flags as open(2) has them (2: O_RDWR). */
export function openTestFile(tx: HookedTransaction, pages: number, flags = 2) {
  testFile.size = pages;
  testFile.block = false;
  testFile.fail = undefined;
  return request(tx, () => {
    for (let i = 0; i < pages; i++) {
      const frame = allocateZeroFrame(tx);
      tx.memoryBytes.fill(i + 1, frameAddress(frame), frameAddress(frame) + 4096);
      testFile.pages.set(i, frame);
    }
    return createFile(tx, "inode", 0, flags);
  });
}

/** Forgets the pages of the test file: for the next machine. */
export function forgetTestFile(): void {
  testFile.pages.clear();
}
