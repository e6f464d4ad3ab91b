/**
 * Frames: the pages of the guest memory that processes and the page cache use. Counting and recovery are
 * pool.ts's; this file gives the operations, and batches, in which many frames are given up together.
 *
 * A batch is a record with up to BATCH_ITEMS frames. It is filled by the transaction that takes the frames
 * out of page tables. If no other hart can still touch them, the batch is freed after that transaction's
 * commit; else it waits, in the list of its address space, until the harts have passed a safepoint
 * (safepoint.ts). Either way each frame is at every moment in exactly one place that counts.
 */

import { PAGE_SIZE } from "../../base/hart-abi.ts";
import { redoFree } from "../../heap/allocator.ts";
import type { HeapView } from "../../heap/heap.ts";
import { REDO } from "../../heap/layout.ts";
import { append } from "../../heap/list.ts";
import { defineRecord, link, none, type Ref, u32, words } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { registerRedo } from "../thread.ts";
import { type FrameNumber, memoryLayout, type PhysicalAddress } from "./layout.ts";
import { drainPool, dropAllNow, dropNow, freeItems, hold, holdAll, references, take } from "./pool.ts";
import { AddressSpace } from "./records.ts";

/** Frames in one batch: freeing them is one system transaction, whose log takes one store for each. */
export const BATCH_ITEMS = 120;
/** What a batch holds. */
export const BATCH = { frames: 0, leaves: 1 } as const;

export const FrameBatch = defineRecord("frame-batch", {
  /** On the list of its address space, while it waits for safepoints. */
  links: link(),
  /** The taking-away that must be complete before the frames may be freed (safepoint.ts). */
  ticket: u32(),
  kind: u32(),
  count: u32(),
  items: words(BATCH_ITEMS),
});
export type FrameBatch = Ref<"frame-batch">;

/** pa of the first byte of a frame. */
export function frameAddress(frame: FrameNumber): PhysicalAddress {
  return frame * PAGE_SIZE;
}

/** A frame with anything in it and one reference, which is the caller's. Throws ENOMEM. */
export function allocateFrame(tx: Transaction): FrameNumber {
  return take(tx, memoryLayout(tx).framePool);
}

/** A frame of zeros with one reference, which is the caller's. Throws ENOMEM. */
export function allocateZeroFrame(tx: Transaction): FrameNumber {
  const frame = allocateFrame(tx);
  clearFrame(tx, frame);
  return frame;
}

/** Fills a frame that only the caller can see with zeros. */
export function clearFrame(tx: Transaction, frame: FrameNumber): void {
  // Copying zeros is twice as fast as filling: V8 fills shared memory element by element.
  copyFrame(tx, frame, memoryLayout(tx).zeroFrame);
}

/** Copies the bytes of frame `from` to frame `to`, which only the caller can see. */
export function copyFrame(tx: Transaction, to: FrameNumber, from: FrameNumber): void {
  tx.memoryBytes.copyWithin(to * PAGE_SIZE, from * PAGE_SIZE, from * PAGE_SIZE + PAGE_SIZE);
}

/** One more reference to a frame that has one which cannot go away meanwhile. Any lock may be held. */
export function holdFrame(tx: Transaction, frame: FrameNumber): void {
  const layout = memoryLayout(tx);
  if (frame >= layout.framesFrom) hold(tx, layout.framePool, frame);
}

/** {@link holdFrame} for the first `count` of `frames`, all of them ordinary. */
export function holdFrames(tx: Transaction, frames: ArrayLike<FrameNumber>, count: number): void {
  if (count > 0) holdAll(tx, memoryLayout(tx).framePool, frames, count);
}

/** One reference less, once the transaction has committed; the last one frees the frame. */
export function dropFrame(tx: Transaction, frame: FrameNumber): void {
  if (frame >= memoryLayout(tx).framesFrom) tx.afterCommit(REDO.frame, frame);
}

/** {@link dropFrame} at once, in a system transaction: for redo steps. Takes the "frames" lock. */
export function dropFrameNow(tx: Transaction, frame: FrameNumber): void {
  const layout = memoryLayout(tx);
  if (frame >= layout.framesFrom) dropNow(tx, layout.framePool, frame);
}

/** References to a frame; see pool.ts for what the number proves. */
export function frameReferences(view: HeapView, frame: FrameNumber): number {
  return references(view, memoryLayout(view).framePool, frame);
}

/** Ordinary frames, and those of them that nobody has a reference to; slots' stocks count as taken. */
export function frameUsage(view: HeapView): { free: number; total: number } {
  const layout = memoryLayout(view);
  return { free: freeItems(view, layout.framePool), total: layout.framesEnd - layout.framesFrom };
}

/** Gives back the frames and tables that the slot of `tx` keeps in stock. Between transactions. */
export function drainFrames(tx: Transaction): void {
  const layout = memoryLayout(tx);
  drainPool(tx, layout.framePool);
  drainPool(tx, layout.rootPool);
  drainPool(tx, layout.leafPool);
}

/** Gives up one frame when the taking-away with number `ticket` is complete. With the space's lock held. */
export function parkFrame(tx: Transaction, space: AddressSpace, frame: FrameNumber, ticket: number): void {
  const batches = new Batches();
  batches.add(tx, frame);
  batches.finish(tx, space, ticket);
}

/** Frames or leaf tables that a transaction gives up together. */
export class Batches {
  readonly #kind: number;
  #batches: FrameBatch[] = [];
  #count: number = BATCH_ITEMS;

  constructor(kind: number = BATCH.frames) {
    this.#kind = kind;
  }

  /** The transaction's reference to `item` is to be given up. */
  add(tx: Transaction, item: number): void {
    if (this.#count === BATCH_ITEMS) {
      this.#close(tx);
      const batch = FrameBatch.allocate(tx);
      FrameBatch.kind.init(tx, batch, this.#kind);
      this.#batches.push(batch);
      this.#count = 0;
    }
    FrameBatch.items.init(tx, this.#batches.at(-1)!, this.#count++, item);
  }

  /**
   * Files the batches: to be freed after the commit if `ticket` is 0, else when the taking-away of that
   * number is complete. Afterwards the object is empty again.
   */
  finish(tx: Transaction, space: AddressSpace, ticket: number): void {
    this.#close(tx);
    for (const batch of this.#batches) {
      if (ticket === 0) {
        tx.afterCommit(REDO.frames, batch);
      } else {
        FrameBatch.ticket.init(tx, batch, ticket);
        append(tx, AddressSpace.pending, space, FrameBatch.links, batch);
      }
    }
    this.#batches = [];
    this.#count = BATCH_ITEMS;
  }

  #close(tx: Transaction): void {
    const last = this.#batches.at(-1) ?? none<"frame-batch">();
    if (last !== 0) FrameBatch.count.init(tx, last, this.#count);
  }
}

registerRedo(REDO.frame, (tx, frame) => {
  dropNow(tx, memoryLayout(tx).framePool, frame);
  return true;
});

registerRedo(REDO.frames, (tx, address) => {
  const batch = address as FrameBatch;
  const layout = memoryLayout(tx);
  const pool = FrameBatch.kind.get(tx, batch) === BATCH.leaves ? layout.leafPool : layout.framePool;
  dropAllNow(tx, pool, FrameBatch.items.at(batch, 0), FrameBatch.count.get(tx, batch));
  redoFree(tx, batch);
  return true;
});

/** The value of a REDO.table step: a root table, or a leaf table with TABLE_LEAF added. */
export const TABLE_LEAF = 0x4000_0000;

registerRedo(REDO.table, (tx, value) => {
  const layout = memoryLayout(tx);
  if ((value & TABLE_LEAF) !== 0) dropNow(tx, layout.leafPool, value & ~TABLE_LEAF);
  else dropNow(tx, layout.rootPool, value);
  return true;
});
