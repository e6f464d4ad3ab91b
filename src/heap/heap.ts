/**
 * The heap as a thread sees it: typed-array views over the two buffers that hold all state of a machine,
 * and the steps that lay a heap out at boot.
 *
 * A view may read anything at any time; reading something that another request may be changing needs the
 * lock that guards it. Changing anything needs a Transaction (transaction.ts).
 */

import { assert } from "../base/assert.ts";
import { RECORD_NAMES } from "../base/record-ids.ts";
import type { WasmMemory } from "../base/webassembly.ts";
import { atomicsOf, createHeapMemory, type HeapAtomics } from "./atomics.ts";
import {
  CHUNK_WORDS,
  CHUNKS_MAX,
  CHUNK_TYPES_AT,
  HEADER,
  HEAP_MAGIC,
  HEAP_VERSION,
  REDO_MAX,
  ROOT_NAMES,
  ROOT_WORD,
  ROOTS_AT,
  type RootName,
  SLOT,
  SLOT_WORDS,
  TYPES_AT,
  TYPE_WORDS,
} from "./layout.ts";

/** A word index into the heap; 0 is "none". */
export type HeapAddr = number;
/** A word index into the guest memory. */
export type MemoryWord = number;

/** The two buffers of a machine, as they are passed to each thread. */
export interface HeapBuffers {
  /** A shared WebAssembly memory, for the sake of {@link HeapView.atomics}; no guest code imports it. */
  readonly heap: WasmMemory;
  /** The guest memory: the buffer of the shared WebAssembly memory. */
  readonly memory: SharedArrayBuffer;
}

export class HeapView {
  readonly buffers: HeapBuffers;
  /** The heap, by word. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The heap, by byte. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** Atomic operations on {@link words}, cheaper than `Atomics`. */
  readonly atomics: HeapAtomics;
  /** The guest memory, by word. */
  readonly memory: Int32Array<SharedArrayBuffer>;
  /** The guest memory, by byte. */
  readonly memoryBytes: Uint8Array<SharedArrayBuffer>;

  constructor(buffers: HeapBuffers) {
    this.buffers = buffers;
    const heap = buffers.heap.buffer as SharedArrayBuffer;
    this.words = new Int32Array(heap);
    this.bytes = new Uint8Array(heap);
    this.atomics = atomicsOf(buffers.heap);
    this.memory = new Int32Array(buffers.memory);
    this.memoryBytes = new Uint8Array(buffers.memory);
  }

  /** What boot placed under `name`; 0 before boot has placed it. */
  root(name: RootName): HeapAddr {
    return this.words[ROOT_WORD[name]]!;
  }

  get slotCount(): number {
    return this.words[HEADER.slots]!;
  }

  /** Address of request slot `index`. */
  slot(index: number): HeapAddr {
    assert(index >= 0 && index < this.slotCount, `request slot ${index} out of range`);
    return this.words[HEADER.slotsAt]! + index * SLOT_WORDS;
  }
}

export interface HeapOptions {
  /** Size of the heap in bytes, a multiple of 64 KiB, at most 1 GiB. */
  readonly bytes: number;
  /** Request slots: how many requests may be under way at once. */
  readonly slots: number;
}

/** Lays out a new heap in fresh (zeroed) shared memory and returns it. */
export function createHeap(options: HeapOptions): WasmMemory {
  const words = options.bytes / 4;
  assert(Number.isInteger(words) && words % CHUNK_WORDS === 0, "heap size must be a multiple of 64 KiB");
  assert(words <= 2 ** 28, "a heap has at most 1 GiB");
  const heap = createHeapMemory(options.bytes);
  const view = new Int32Array(heap.buffer);
  const slotsAt = (CHUNK_TYPES_AT + CHUNKS_MAX + 63) & ~63;
  const chunksAt = alignUp(slotsAt + options.slots * SLOT_WORDS, CHUNK_WORDS);
  assert(chunksAt < words, "heap too small for its request slots");
  assert(RECORD_NAMES.length <= 128, "more record types than type control blocks");
  assert(
    ROOTS_AT + ROOT_NAMES.length <= TYPES_AT && TYPES_AT + TYPE_WORDS * 128 <= CHUNK_TYPES_AT,
    "header overflows",
  );
  assert(SLOT.redo + REDO_MAX * 2 <= SLOT.segmentCount, "request slot overlaps itself");
  view[HEADER.version] = HEAP_VERSION;
  view[HEADER.words] = words;
  view[HEADER.slots] = options.slots;
  view[HEADER.slotsAt] = slotsAt;
  view[HEADER.chunksAt] = chunksAt;
  view[HEADER.chunks] = Math.min(CHUNKS_MAX, Math.floor((words - chunksAt) / CHUNK_WORDS));
  view[HEADER.chunksUsed] = 0;
  view[HEADER.magic] = HEAP_MAGIC;
  return heap;
}

/** Throws unless `heap` holds a heap that this version can work on. */
export function validateHeap(heap: WasmMemory): void {
  const view = new Int32Array(heap.buffer);
  assert(view[HEADER.magic] === HEAP_MAGIC, "not a Coppice heap");
  assert(
    view[HEADER.version] === HEAP_VERSION,
    `heap version ${view[HEADER.version]}, expected ${HEAP_VERSION}`,
  );
  assert(view[HEADER.words]! * 4 === heap.buffer.byteLength, "heap size differs from its header");
}

/**
 * Takes `words` words out of the chunk area for a table of fixed size, at boot and only then (one thread, no
 * transaction), and files its address under `name`. The words are zero.
 */
export function placeRoot(view: HeapView, name: RootName, words: number): HeapAddr {
  const w = view.words;
  assert(w[ROOT_WORD[name]] === 0, `root ${name} is already placed`);
  const chunks = Math.ceil(words / CHUNK_WORDS);
  const first = w[HEADER.chunksUsed]!;
  assert(first + chunks <= w[HEADER.chunks]!, `heap too small for ${name}`);
  w[HEADER.chunksUsed] = first + chunks;
  const address = w[HEADER.chunksAt]! + first * CHUNK_WORDS;
  w[ROOT_WORD[name]] = address;
  return address;
}

function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
