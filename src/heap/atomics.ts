/**
 * Atomic operations on the words of a heap, as WebAssembly functions.
 *
 * The engine calls a builtin for each operation of `Atomics`, 20 ns; a small WebAssembly function it compiles into
 * its caller, 5 to 7 ns (`node bench/heap.ts`). A lock takes two of them, so the heap is a WebAssembly memory of
 * its own. No guest code imports it.
 *
 * The functions are the module below, one instance for each heap in each thread. `Atomics` works on the same
 * words, and does where time does not matter.
 */

import { WebAssembly, type WasmMemory } from "../base/webassembly.ts";

/** Sequentially consistent operations on heap words (by word index), as `Atomics` has them. Outside the heap they trap. */
export interface HeapAtomics {
  load(word: number): number;
  store(word: number, value: number): void;
  /** Stores `replacement` if the word is `expected`; returns what it was. */
  compareExchange(word: number, expected: number, replacement: number): number;
  /** Stores `value`; returns what was there. */
  exchange(word: number, value: number): number;
  /** Adds `delta`; returns what was there. */
  add(word: number, delta: number): number;
}

/** The most pages of 64 KiB that a heap may have: 1 GiB. */
const PAGES_MAX = 16384;

const I32 = 0x7f;
/** Opcodes behind the prefix 0xfe (threads proposal), each with its parameters after the address. */
const OPERATIONS: readonly (readonly [
  name: keyof HeapAtomics,
  opcode: number,
  operands: number,
  results: number,
])[] = [
  ["load", 0x10, 0, 1],
  ["store", 0x17, 1, 0],
  ["compareExchange", 0x48, 2, 1],
  ["exchange", 0x41, 1, 1],
  ["add", 0x1e, 1, 1],
];

/** A number as unsigned LEB128. */
function leb(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

const text = (name: string): number[] => [name.length, ...Array.from(name, (letter) => letter.charCodeAt(0))];
const vector = (items: readonly (readonly number[])[]): number[] => [...leb(items.length), ...items.flat()];
const sized = (content: readonly number[]): number[] => [...leb(content.length), ...content];

/** `(word, …operands) → op(word × 4, …operands)`, of which the engine makes one instruction. */
function body(opcode: number, operands: number): number[] {
  // local.get 0; i32.const 2; i32.shl; local.get 1 …; 0xfe op align=2 offset=0; end
  const rest = Array.from({ length: operands }, (_, i) => [0x20, i + 1]).flat();
  return sized([0, 0x20, 0, 0x41, 2, 0x74, ...rest, 0xfe, opcode, 2, 0, 0x0b]);
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const types = OPERATIONS.map(([, , operands, results]) => [
    0x60,
    ...vector(Array.from({ length: operands + 1 }, () => [I32])),
    ...vector(Array.from({ length: results }, () => [I32])),
  ]);
  // A memory that is shared, with limits: flags 3, at least 1 page, at most PAGES_MAX.
  const memory = [...text("env"), ...text("heap"), 2, 3, 1, ...leb(PAGES_MAX)];
  const exported = OPERATIONS.map(([name], index) => [...text(name), 0, index]);
  const section = (id: number, content: readonly number[]): number[] => [id, ...sized(content)];
  const magicAndVersion = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  return Uint8Array.from(
    [
      magicAndVersion,
      section(1, vector(types)),
      section(2, vector([memory])),
      section(3, vector(OPERATIONS.map((_, index) => [index]))),
      section(7, vector(exported)),
      section(10, vector(OPERATIONS.map(([, opcode, operands]) => body(opcode, operands)))),
    ].flat(),
  );
}

let compiled: object | undefined;
const instances = new WeakMap<WasmMemory, HeapAtomics>();

/** The operations on the words of `heap`, in this thread. */
export function atomicsOf(heap: WasmMemory): HeapAtomics {
  let instance = instances.get(heap);
  if (instance === undefined) {
    compiled ??= new WebAssembly.Module(moduleBytes());
    instance = new WebAssembly.Instance(compiled, { env: { heap } }).exports as HeapAtomics;
    instances.set(heap, instance);
  }
  return instance;
}

/** The memory of a new heap of `bytes`, a multiple of 64 KiB, all zero. */
export function createHeapMemory(bytes: number): WasmMemory {
  const pages = bytes / 65536;
  // A maximum that is the size itself: the engine reserves no room to grow.
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}
