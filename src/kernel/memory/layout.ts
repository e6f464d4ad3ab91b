/**
 * What lies where in the guest memory: one shared WebAssembly memory, created at its full size.
 *
 *     frame 0            never used, so that physical address 0 is nobody's
 *     hart blocks        HART_BLOCK_BYTES each                                        hart-abi.ts
 *     tier-0 tables      as many bytes as boot says
 *     code               as many bytes as boot says, for the translator; may be none
 *     register files     REGISTER_FILE_BYTES for each task
 *     host-call buffers  HOST_CALL_BYTES each
 *     frame words        for each frame its number of references, then the stack of free frames
 *     table words        the same for root and leaf tables
 *     root tables        ROOT_BYTES each  ┐ together TABLES_SHARE of the memory,
 *     leaf tables        LEAF_BYTES each  ┘ LEAVES_PER_ROOT leaves for each root
 *     empty leaf         the shared leaf of ranges where nothing is mapped
 *     zero frame         read by all who have not written yet; never freed, not counted
 *     ordinary frames    to the end; the upper part can be claimed by number (pool.ts, SINGLES_SHARE)
 *
 * No page table entry ever leads into the range before the zero frame, so a guest cannot reach it; the undo
 * log covers it (rule R6). The numbers below stand in the heap under the root "frames", the words of the
 * pools (pool.ts) behind them and under "tables".
 *
 * Rejected: growing the memory as it fills (old views stay short, and every hart would have to notice);
 * tables in ordinary frames (a leaf takes 12 adjoining frames, which a fragmented memory may not have).
 */

import type { WasmMemory } from "../../base/webassembly.ts";
import { assert } from "../../base/assert.ts";
import {
  ENTRY_INVALID,
  HART_BLOCK_BYTES,
  LEAF_BYTES,
  LEAF_PAGE,
  PAGE_SIZE,
  REGISTER_FILE_BYTES,
  ROOT_BYTES,
} from "../../base/hart-abi.ts";
import { LOCK_RANK } from "../../base/lock-order.ts";
import { type HeapAddr, type HeapView, type MemoryWord, placeRoot } from "../../heap/heap.ts";
import { CLAIM_MAX, HOLD_WORDS, initPool, type Pool, POOL_WORDS, stockWords } from "./pool.ts";

/** Number of a frame: physical address ÷ PAGE_SIZE. */
export type FrameNumber = number;
/** Byte offset into the guest memory. */
export type PhysicalAddress = number;

/** Bytes of a host-call buffer. */
export const HOST_CALL_BYTES = 65536;
/** Part of the memory that holds page tables: one in so many bytes. */
const TABLES_SHARE = 8;
const LEAVES_PER_ROOT = 4;
/**
 * Part of the ordinary frames that are singles, one in so many: what the page cache, copies of file pages and
 * small mappings take in a machine whose memory is mainly its programs'. It need not fit: either zone serves
 * when the other is exhausted. With less, a page cache that is filled first would reach into the homes sooner;
 * with more, anonymous memory that wants rows would find fewer.
 */
const SINGLES_SHARE = 4;
const MEMORY_MIN: number = 16 * 2 ** 20;
const MEMORY_MAX: number = 2 ** 32;

/** Stocks that each request slot keeps (pool.ts): ring, refill, upper limit. */
const FRAME_STOCK = { ring: 128, refill: 16, high: 48 } as const;
const ROOT_STOCK = { ring: 16, refill: 1, high: 2 } as const;
const LEAF_STOCK = { ring: 64, refill: 2, high: 8 } as const;

export interface MemorySizes {
  readonly harts: number;
  /** Bytes of the tables of the tier-0 interpreter. */
  readonly tier0Bytes: number;
  /** Bytes of the code area of the translator; none if left out. */
  readonly codeBytes?: number;
  /** Register files. */
  readonly tasksMax: number;
  /** Host-call buffers. */
  readonly hostCalls: number;
  /** What the page holds by which signal handlers return, in words. */
  readonly trampoline?: readonly number[];
}

/** Words of the root "frames" that describe the layout; the pool of frames follows at FRAME_POOL_AT. */
const AT = {
  harts: 0,
  hartBlocks: 1,
  tier0: 2,
  tier0Bytes: 3,
  registers: 4,
  tasksMax: 5,
  hostCalls: 6,
  hostCallsMax: 7,
  frameWords: 8,
  tableWords: 9,
  roots: 10,
  rootsMax: 11,
  leaves: 12,
  leavesMax: 13,
  emptyLeaf: 14,
  zeroFrame: 15,
  framesEnd: 16,
  code: 17,
  codeBytes: 18,
  trampolineFrame: 19,
} as const;
const FRAME_POOL_AT = 64;

export interface MemoryLayout {
  readonly harts: number;
  /** pa of the first hart block. */
  readonly hartBlocks: PhysicalAddress;
  readonly tier0: PhysicalAddress;
  readonly tier0Bytes: number;
  /** The translator's area; codeBytes 0: there is none. */
  readonly code: PhysicalAddress;
  readonly codeBytes: number;
  readonly registers: PhysicalAddress;
  readonly tasksMax: number;
  readonly hostCalls: PhysicalAddress;
  readonly hostCallsMax: number;
  readonly roots: PhysicalAddress;
  readonly rootsMax: number;
  readonly leaves: PhysicalAddress;
  readonly leavesMax: number;
  readonly emptyLeaf: PhysicalAddress;
  /** The frame of zeros and the one of the trampoline: every space may show them, and nobody counts references. */
  readonly zeroFrame: FrameNumber;
  readonly trampolineFrame: FrameNumber;
  /** Ordinary frames: from this one… */
  readonly framesFrom: FrameNumber;
  /** … to this one, excluded. */
  readonly framesEnd: FrameNumber;
  readonly framePool: Pool;
  readonly rootPool: Pool;
  readonly leafPool: Pool;
}

/** Lays out fresh (zeroed) guest memory. At boot, once, in one thread, after the heap has been created. */
export function placeMemory(view: HeapView, sizes: MemorySizes): MemoryLayout {
  const bytes = view.buffers.memory.byteLength;
  assert(bytes >= MEMORY_MIN && bytes <= MEMORY_MAX && bytes % PAGE_SIZE === 0, "impossible memory size");
  let next = PAGE_SIZE;
  const place = (size: number): PhysicalAddress => {
    const at = next;
    next += Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
    assert(next < bytes, "memory too small for its reserved range");
    return at;
  };
  const frames = bytes / PAGE_SIZE;
  const rootsMax = Math.floor(bytes / TABLES_SHARE / (ROOT_BYTES + LEAVES_PER_ROOT * LEAF_BYTES));
  const leavesMax = rootsMax * LEAVES_PER_ROOT;
  const hartBlocks = place(sizes.harts * HART_BLOCK_BYTES);
  const tier0 = place(sizes.tier0Bytes);
  const codeBytes = sizes.codeBytes ?? 0;
  const code = place(codeBytes);
  const registers = place(sizes.tasksMax * REGISTER_FILE_BYTES);
  const hostCalls = place(sizes.hostCalls * HOST_CALL_BYTES);
  const frameWords = place(frames * 8);
  const tableWords = place((rootsMax + leavesMax) * 8);
  const roots = place(rootsMax * ROOT_BYTES);
  const leaves = place(leavesMax * LEAF_BYTES);
  const emptyLeaf = place(LEAF_BYTES);
  const zeroFrame = place(PAGE_SIZE) / PAGE_SIZE;
  const trampolineFrame = place(PAGE_SIZE) / PAGE_SIZE;

  const slots = view.slotCount;
  const at = placeRoot(
    view,
    "frames",
    FRAME_POOL_AT + POOL_WORDS + slots * (stockWords(FRAME_STOCK.ring) + HOLD_WORDS),
  );
  placeRoot(
    view,
    "tables",
    POOL_WORDS * 2 + slots * (stockWords(ROOT_STOCK.ring) + stockWords(LEAF_STOCK.ring)),
  );
  const values: { readonly [K in keyof typeof AT]: number } = {
    harts: sizes.harts,
    hartBlocks,
    tier0,
    tier0Bytes: sizes.tier0Bytes,
    code,
    codeBytes,
    registers,
    tasksMax: sizes.tasksMax,
    hostCalls,
    hostCallsMax: sizes.hostCalls,
    frameWords,
    tableWords,
    roots,
    rootsMax,
    leaves,
    leavesMax,
    emptyLeaf,
    zeroFrame,
    trampolineFrame,
    framesEnd: frames,
  };
  for (const [name, word] of Object.entries(AT)) view.words[at + word] = values[name as keyof typeof AT] | 0;
  clearLeaf(view, emptyLeaf >>> 2);
  const layout = readLayout(view, at);
  view.memory.set(sizes.trampoline ?? [], (trampolineFrame * PAGE_SIZE) >>> 2);
  // Rows begin at multiples of CLAIM_MAX (home.ts).
  const { framesFrom } = layout;
  const singles = Math.floor((frames - framesFrom) / SINGLES_SHARE);
  const homes = Math.ceil((framesFrom + singles) / CLAIM_MAX) * CLAIM_MAX;
  initPool(view, layout.framePool, framesFrom, frames, Math.min(homes, frames));
  initPool(view, layout.rootPool, 0, rootsMax);
  initPool(view, layout.leafPool, 0, leavesMax);
  return layout;
}

/**
 * Forbids everything in the leaf table at memory word `at`, which is all zero. Not logged: for tables that
 * were never used. The first word comes last: it says that all the others are there.
 */
export function clearLeaf(view: HeapView, at: MemoryWord): void {
  view.memory.fill(ENTRY_INVALID, at + 1, at + (LEAF_PAGE >>> 2));
  view.memory[at] = ENTRY_INVALID;
}

// The layout never changes after boot, so each heap's is read once; the last one asked for is at hand.
const layouts = new WeakMap<WasmMemory, MemoryLayout>();
let lastHeap: WasmMemory | undefined;
let lastLayout: MemoryLayout | undefined;

/** The layout of the machine that `view` belongs to. */
export function memoryLayout(view: HeapView): MemoryLayout {
  const heap = view.buffers.heap;
  if (heap === lastHeap) return lastLayout!;
  let layout = layouts.get(heap);
  if (layout === undefined) {
    const at = view.root("frames");
    assert(at !== 0, "the guest memory is not laid out");
    layout = readLayout(view, at);
    layouts.set(heap, layout);
  }
  lastHeap = heap;
  lastLayout = layout;
  return layout;
}

/** Whether boot has laid out the guest memory. */
export function hasMemory(view: HeapView): boolean {
  return view.root("frames") !== 0;
}

function readLayout(view: HeapView, at: HeapAddr): MemoryLayout {
  const word = (index: number): number => view.words[at + index]! >>> 0;
  const slots = view.slotCount;
  const tables = view.root("tables");
  const rootsMax = word(AT.rootsMax);
  const leavesMax = word(AT.leavesMax);
  const framesEnd = word(AT.framesEnd);
  const frameWords = word(AT.frameWords) >>> 2;
  const tableWords = word(AT.tableWords) >>> 2;
  const rootStocks = tables + POOL_WORDS * 2;
  return {
    harts: word(AT.harts),
    hartBlocks: word(AT.hartBlocks),
    tier0: word(AT.tier0),
    tier0Bytes: word(AT.tier0Bytes),
    code: word(AT.code),
    codeBytes: word(AT.codeBytes),
    registers: word(AT.registers),
    tasksMax: word(AT.tasksMax),
    hostCalls: word(AT.hostCalls),
    hostCallsMax: word(AT.hostCallsMax),
    roots: word(AT.roots),
    rootsMax,
    leaves: word(AT.leaves),
    leavesMax,
    emptyLeaf: word(AT.emptyLeaf),
    zeroFrame: word(AT.zeroFrame),
    trampolineFrame: word(AT.trampolineFrame),
    framesFrom: word(AT.trampolineFrame) + 1,
    framesEnd,
    framePool: {
      name: "frames",
      rank: LOCK_RANK.frames,
      controlAt: at + FRAME_POOL_AT,
      stocksAt: at + FRAME_POOL_AT + POOL_WORDS,
      stride: stockWords(FRAME_STOCK.ring) + HOLD_WORDS,
      ...FRAME_STOCK,
      referencesAt: frameWords,
      stackAt: frameWords + framesEnd,
    },
    rootPool: {
      name: "root tables",
      rank: LOCK_RANK.tables,
      controlAt: tables,
      stocksAt: rootStocks,
      stride: stockWords(ROOT_STOCK.ring),
      ...ROOT_STOCK,
      referencesAt: tableWords,
      stackAt: tableWords + rootsMax,
    },
    leafPool: {
      name: "leaf tables",
      rank: LOCK_RANK.tables,
      controlAt: tables + POOL_WORDS,
      stocksAt: rootStocks + slots * stockWords(ROOT_STOCK.ring),
      stride: stockWords(LEAF_STOCK.ring),
      ...LEAF_STOCK,
      referencesAt: tableWords + rootsMax * 2,
      stackAt: tableWords + rootsMax * 2 + leavesMax,
    },
  };
}

/** pa of the block of hart `index`. */
export function hartBlock(view: HeapView, index: number): PhysicalAddress {
  const layout = memoryLayout(view);
  assert(index >= 0 && index < layout.harts, `hart ${index} out of range`);
  return layout.hartBlocks + index * HART_BLOCK_BYTES;
}

/** pa of register file `index`. */
export function registerFile(view: HeapView, index: number): PhysicalAddress {
  const layout = memoryLayout(view);
  assert(index >= 0 && index < layout.tasksMax, `register file ${index} out of range`);
  return layout.registers + index * REGISTER_FILE_BYTES;
}

/** pa of host-call buffer `index`. */
export function hostCallBuffer(view: HeapView, index: number): PhysicalAddress {
  const layout = memoryLayout(view);
  assert(index >= 0 && index < layout.hostCallsMax, `host-call buffer ${index} out of range`);
  return layout.hostCalls + index * HOST_CALL_BYTES;
}
