/**
 * The allocator: blocks of one size per record type, in chunks that hold one type only.
 *
 * Free blocks are listed outside the blocks (rule R8): on the stack of their chunk, or in the private stock
 * of a request slot. A block's bytes therefore belong to whoever allocated it and to nobody else, and may be
 * written without logging until the transaction that allocated it has committed.
 *
 * A stock is a ring with two running indices. Taking a block is a logged `taken + 1`, so a rollback puts it
 * back; blocks are added behind `filled` by system transactions, which the rollback leaves alone. Between
 * `taken` at the transaction's begin and `filled` nothing in the ring is overwritten.
 *
 * Invariants (checked by check.ts)
 *   A1  Each block of a chunk is in exactly one place: on the chunk's stack, in one stock, or live.
 *   A2  A block's state word is BLOCK_LIVE if and only if it is live.
 *   A3  A chunk is on its type's list of partial chunks if and only if its stack is not empty.
 *   A4  A chunk holds blocks of the type that the chunk table names.
 *
 * Rejected: free lists threaded through the blocks (a rollback would need the old bytes of every block taken
 * and freed); a lock for each type held to the end of the transaction (ranks below every server's locks, so
 * nobody could allocate and then lock).
 */

import { assert } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import { LOCK_RANK } from "../base/lock-order.ts";
import type { HeapAddr, HeapView } from "./heap.ts";
import {
  BLOCK_FREE,
  BLOCK_LIVE,
  CHUNK,
  CHUNK_HEADER_WORDS,
  CHUNK_SHIFT,
  CHUNK_TYPES_AT,
  CHUNK_WORDS,
  HEADER,
  REDO,
  SLOT,
  SLOT_LOG,
  STOCK_RING,
  STOCK_WORDS,
  TYPE,
  TYPE_WORDS,
  TYPES_AT,
  WAITS_MAX,
} from "./layout.ts";
import type { Transaction } from "./transaction.ts";

/** Blocks are aligned to this many words (one cache line), so that two records never share a line. */
const BLOCK_ALIGN_WORDS = 16;
/** Blocks that a refill brings. */
const REFILL = 8;
assert(STOCK_RING >= WAITS_MAX + REFILL, "a request that parks takes a waiter for each condition");
/** A stock that grows beyond this gives REFILL blocks back. */
const STOCK_HIGH = 32;

/** A stock: the index of the next block to take, the index behind the last, and the ring. */
export const STOCK = { taken: 0, filled: 1, ring: 2 } as const;

/** Words that a block of a record of `words` words takes. */
export function blockWords(words: number): number {
  return Math.ceil(words / BLOCK_ALIGN_WORDS) * BLOCK_ALIGN_WORDS;
}

/** The chunk in which `address` lies. Chunks are aligned to their size. */
export function chunkOf(address: HeapAddr): HeapAddr {
  return (address >>> CHUNK_SHIFT) << CHUNK_SHIFT;
}

/** The word that tells whether the block at `address` is live. */
export function stateWord(view: HeapView, address: HeapAddr): HeapAddr {
  const w = view.words;
  const chunk = chunkOf(address);
  return (
    chunk + CHUNK_HEADER_WORDS + (((address - w[chunk + CHUNK.blocksAt]!) / w[chunk + CHUNK.blockWords]!) | 0)
  );
}

/** The number of the record type at `address`, 0 if no live block begins there. Accepts any number. */
export function liveTypeAt(view: HeapView, address: HeapAddr): number {
  const w = view.words;
  const index = (address - w[HEADER.chunksAt]!) >> CHUNK_SHIFT;
  if (!Number.isInteger(address) || index < 0 || index >= w[HEADER.chunksUsed]!) return 0;
  const type = w[CHUNK_TYPES_AT + index]!;
  if (type === 0) return 0;
  const chunk = chunkOf(address);
  const offset = address - w[chunk + CHUNK.blocksAt]!;
  const size = w[chunk + CHUNK.blockWords]!;
  if (offset < 0 || offset % size !== 0 || offset / size >= w[chunk + CHUNK.capacity]!) return 0;
  return w[chunk + CHUNK_HEADER_WORDS + offset / size] === BLOCK_LIVE ? type : 0;
}

/** The live block in which the word at `address` lies, 0 if none does. Accepts any number. */
export function liveBlockAround(view: HeapView, address: HeapAddr): HeapAddr {
  const w = view.words;
  const index = (address - w[HEADER.chunksAt]!) >> CHUNK_SHIFT;
  if (index < 0 || index >= w[HEADER.chunksUsed]! || w[CHUNK_TYPES_AT + index] === 0) return 0;
  const chunk = chunkOf(address);
  const blocksAt = w[chunk + CHUNK.blocksAt]!;
  const block = address - ((address - blocksAt) % w[chunk + CHUNK.blockWords]!);
  return address >= blocksAt && liveTypeAt(view, block) !== 0 ? block : 0;
}

/** The stock of blocks of `type` that the slot at `slotAt` keeps. */
export function stockOf(slotAt: HeapAddr, type: number): HeapAddr {
  return slotAt + SLOT.stocks + type * STOCK_WORDS;
}

/**
 * A block for a record of type `type` with `words` words, all zero. It belongs to the transaction: if that
 * is rolled back, the block is free again. Throws ENOMEM when the heap is full.
 */
export function allocate(tx: Transaction, type: number, words: number): HeapAddr {
  const w = tx.words;
  const stock = stockOf(tx.slotAt, type);
  const taken = w[stock + STOCK.taken]!;
  if (taken === w[stock + STOCK.filled]) refill(tx, type, stock, blockWords(words));
  const address = w[stock + STOCK.ring + (taken & (STOCK_RING - 1))]!;
  tx.store(stock + STOCK.taken, (taken + 1) | 0);
  tx.store(stateWord(tx, address), BLOCK_LIVE);
  w.fill(0, address, address + words);
  return address;
}

/** Gives the block at `address` back when the transaction commits (T4). */
export function release(tx: Transaction, address: HeapAddr): void {
  assert(liveTypeAt(tx, address) !== 0, "free of a block that is not live");
  tx.afterCommit(REDO.free, address);
}

/** The redo step of {@link release}; runs in a system transaction. */
export function redoFree(tx: Transaction, address: HeapAddr): void {
  const w = tx.words;
  const type = w[chunkOf(address) + CHUNK.type]!;
  const state = stateWord(tx, address);
  assert(w[state] === BLOCK_LIVE, "a block is freed twice");
  tx.store(state, BLOCK_FREE);
  const stock = stockOf(tx.slotAt, type);
  const filled = w[stock + STOCK.filled]!;
  if (((filled - w[stock + STOCK.taken]!) | 0) >= STOCK_HIGH) {
    tx.lock(HEADER.allocatorLock, LOCK_RANK.allocator);
    pushOnChunk(tx, type, address);
  } else {
    tx.store(stock + STOCK.ring + (filled & (STOCK_RING - 1)), address);
    tx.store(stock + STOCK.filled, (filled + 1) | 0);
  }
}

/** Puts the slot's whole stock back into the chunks, so that an idle slot withholds nothing. */
export function drainStocks(tx: Transaction, types: number): void {
  const w = tx.words;
  for (let type = 1; type < types; type++) {
    const stock = stockOf(tx.slotAt, type);
    while (w[stock + STOCK.taken] !== w[stock + STOCK.filled]) {
      tx.beginSystem();
      tx.lock(HEADER.allocatorLock, LOCK_RANK.allocator);
      const taken = w[stock + STOCK.taken]!;
      pushOnChunk(tx, type, w[stock + STOCK.ring + (taken & (STOCK_RING - 1))]!);
      tx.store(stock + STOCK.taken, (taken + 1) | 0);
      tx.endSystem();
    }
  }
}

/** Chunks handed out and chunks that exist, for accounting. */
export function chunkUsage(view: HeapView): { used: number; total: number } {
  return { used: view.words[HEADER.chunksUsed]!, total: view.words[HEADER.chunks]! };
}

/** The control block of a record type. */
export function typeControl(type: number): HeapAddr {
  return TYPES_AT + type * TYPE_WORDS;
}

/** Moves REFILL free blocks, or as many as there are, from the chunks to an empty stock. */
function refill(tx: Transaction, type: number, stock: HeapAddr, size: number): void {
  const w = tx.words;
  // Blocks that this transaction took must stay in the ring, where its rollback will look for them.
  const room = STOCK_RING - ((w[stock + STOCK.filled]! - takenAtBegin(tx, stock)) | 0);
  assert(
    room >= REFILL,
    "more records of one type allocated in one transaction than a stock's ring can remember",
  );
  assert(!tx.inSystem, "a system transaction must not allocate records");
  tx.beginSystem();
  tx.lock(HEADER.allocatorLock, LOCK_RANK.allocator);
  const control = typeControl(type);
  const chunk = w[control + TYPE.partial]! || addChunk(tx, type, size);
  if (chunk === 0) {
    tx.endSystem();
    throw errno.ENOMEM;
  }
  const take = Math.min(REFILL, w[chunk + CHUNK.freeCount]!);
  const left = w[chunk + CHUNK.freeCount]! - take;
  const filled = w[stock + STOCK.filled]!;
  for (let i = 0; i < take; i++) {
    const block = w[w[chunk + CHUNK.stackAt]! + left + (take - 1 - i)]!;
    tx.store(
      stock + STOCK.ring + ((filled + i) & (STOCK_RING - 1)),
      w[chunk + CHUNK.blocksAt]! + block * w[chunk + CHUNK.blockWords]!,
    );
  }
  tx.store(stock + STOCK.filled, (filled + take) | 0);
  tx.store(chunk + CHUNK.freeCount, left);
  if (left === 0) {
    tx.store(control + TYPE.partial, w[chunk + CHUNK.nextPartial]!);
    tx.store(chunk + CHUNK.isPartial, 0);
  }
  tx.endSystem();
}

/** The stock's `taken` index as it was when the open transaction began: its oldest value in the log. */
function takenAtBegin(tx: Transaction, stock: HeapAddr): number {
  const w = tx.words;
  const count = tx.logged;
  for (let i = 0; i < count; i++) {
    const entry = tx.slotAt + SLOT_LOG + (i << 1);
    if (w[entry] === stock + STOCK.taken) return w[entry + 1]!;
  }
  return w[stock + STOCK.taken]!;
}

function pushOnChunk(tx: Transaction, type: number, address: HeapAddr): void {
  const w = tx.words;
  const chunk = chunkOf(address);
  const free = w[chunk + CHUNK.freeCount]!;
  const index = (address - w[chunk + CHUNK.blocksAt]!) / w[chunk + CHUNK.blockWords]!;
  tx.store(w[chunk + CHUNK.stackAt]! + free, index);
  tx.store(chunk + CHUNK.freeCount, free + 1);
  if (w[chunk + CHUNK.isPartial] === 0) {
    const control = typeControl(type);
    tx.store(chunk + CHUNK.nextPartial, w[control + TYPE.partial]!);
    tx.store(chunk + CHUNK.isPartial, 1);
    tx.store(control + TYPE.partial, chunk);
  }
}

/** Takes a fresh chunk for `type` and makes it the head of the type's partial list; 0 if there is none. */
function addChunk(tx: Transaction, type: number, size: number): HeapAddr {
  const w = tx.words;
  const index = w[HEADER.chunksUsed]!;
  if (index >= w[HEADER.chunks]!) return 0;
  const chunk = w[HEADER.chunksAt]! + index * CHUNK_WORDS;
  const capacity = Math.floor((CHUNK_WORDS - CHUNK_HEADER_WORDS - BLOCK_ALIGN_WORDS) / (size + 2));
  assert(capacity > 0, `record type ${type} is larger than a chunk`);
  const stackAt = chunk + CHUNK_HEADER_WORDS + capacity;
  const blocksAt = Math.ceil((stackAt + capacity) / BLOCK_ALIGN_WORDS) * BLOCK_ALIGN_WORDS;
  assert(blocksAt + capacity * size <= chunk + CHUNK_WORDS, "chunk overflows");
  // Nobody can reach the chunk until chunksUsed counts it, so its contents need no undo.
  for (let i = 0; i < capacity; i++) {
    tx.storeFresh(chunk + CHUNK_HEADER_WORDS + i, BLOCK_FREE);
    // Low addresses are handed out first.
    tx.storeFresh(stackAt + i, capacity - 1 - i);
  }
  const control = typeControl(type);
  tx.storeFresh(chunk + CHUNK.type, type);
  tx.storeFresh(chunk + CHUNK.blockWords, size);
  tx.storeFresh(chunk + CHUNK.capacity, capacity);
  tx.storeFresh(chunk + CHUNK.freeCount, capacity);
  tx.storeFresh(chunk + CHUNK.stackAt, stackAt);
  tx.storeFresh(chunk + CHUNK.blocksAt, blocksAt);
  tx.storeFresh(chunk + CHUNK.isPartial, 1);
  tx.storeFresh(chunk + CHUNK.nextPartial, 0);
  tx.store(CHUNK_TYPES_AT + index, type);
  tx.store(HEADER.chunksUsed, index + 1);
  tx.store(control + TYPE.partial, chunk);
  tx.store(control + TYPE.chunks, w[control + TYPE.chunks]! + 1);
  return chunk;
}
