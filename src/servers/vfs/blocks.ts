/**
 * The blocks of an image in memory: one index for each image, which serves its metadata and, since a page of
 * a file is one whole block, its files' contents too.
 *
 *     absent ──requestRange──▶ loading ──arrived──▶ present ──reclaim──▶ absent
 *                                 ├──failed alone──▶ failed (EIO) ─reclaim┘
 *                                 └──failed among others──▶ suspect ──▶ loading, alone
 *
 * ## Locks
 *
 * The index changes under the file system's lock. Who reads it holds either that lock (contents of files) or
 * the vfs lock (metadata, read while names are walked, when inode locks are still to be taken); reclaiming
 * takes both, so a block that a transaction has looked up stays until its end. Words change at once and say
 * "present" only after the bytes are there, and nodes of the index stay while the file system lives, so a
 * reader under the vfs lock alone sees a word of before or after.
 *
 * ## Read-ahead
 *
 * A missing block brings its absent neighbours up to the given end along: READ_AHEAD_FIRST of them, or
 * READ_AHEAD_MAX if it lies where the last request ended.
 */

import { errno } from "../../base/errno.ts";
import { IO_FRAMES, IO_KIND } from "../../base/host-io.ts";
import type { HeapAddr, HeapView } from "../../heap/heap.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { abandon, HostIo, ioRoom, registerIoCompletion, requestBlocks } from "../../kernel/block-io.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { clearWaits, noteWait } from "../../kernel/request.ts";
import { allocateFrame, dropFrame, frameReferences } from "./page-frames.ts";
import {
  clearPage,
  eachPage,
  frameOf,
  lookUpPage,
  PAGE,
  pageWord,
  rootField,
  setPage,
  SUSPECT,
} from "./radix.ts";
import { ARRIVALS, FileSystem } from "./records.ts";
import { lockVfs } from "./state.ts";

const READ_AHEAD_FIRST = 8;
const READ_AHEAD_MAX = IO_FRAMES;

/** The condition that tells of the arrival of a block. */
function arrivalOf(fileSystem: FileSystem, block: number): HeapAddr {
  return FileSystem.arrived.at(fileSystem, 2 * ((block >>> 5) % ARRIVALS));
}

/**
 * The frame that holds block `block`. If it is not here, abandons the transaction and asks for it, and for
 * blocks after it below `end`. Throws EIO if it could not be read.
 */
export function blockFrame(tx: Transaction, fileSystem: FileSystem, block: number, end: number): number {
  const word = lookUpPage(tx, FileSystem.blocks.get(tx, fileSystem), block);
  if ((word & PAGE.MASK) === PAGE.PRESENT) return frameOf(word);
  if (word === PAGE.FAILED) throw errno.EIO;
  return abandon(tx, () => requestRange(tx, fileSystem, block, end));
}

/** The frame of a block if it is here now, else −1. */
export function blockFrameIfPresent(view: HeapView, fileSystem: FileSystem, block: number): number {
  const word = lookUpPage(view, FileSystem.blocks.get(view, fileSystem), block);
  return (word & PAGE.MASK) === PAGE.PRESENT ? frameOf(word) : -1;
}

/** Asks for `block` and what else read-ahead brings along, and notes the wait. In a transaction of its own. */
function requestRange(tx: Transaction, fileSystem: FileSystem, block: number, end: number): void {
  for (let attempt = 0; ; attempt++) {
    FileSystem.lock.acquire(tx, fileSystem);
    const arrival = arrivalOf(fileSystem, block);
    noteWait(tx, arrival);
    const root = rootField(FileSystem.blocks, fileSystem);
    const word = lookUpPage(tx, root.get(tx), block);
    if ((word & PAGE.MASK) === PAGE.LOADING) return;
    if (word !== 0 && word !== SUSPECT) {
      // It has arrived meanwhile: the request need not wait at all.
      signalCondition(tx, arrival);
      return;
    }
    let window = FileSystem.sequential.get(tx, fileSystem) === block ? READ_AHEAD_MAX : READ_AHEAD_FIRST;
    if (word === SUSPECT) window = 1;
    const frames = takeFrames(tx, fileSystem, block, Math.min(block + window, end));
    if (frames.length === 0) {
      tx.rollback();
      clearWaits(tx);
      if (attempt === 2 || reclaimBlocks(tx, fileSystem, IO_FRAMES) === 0) throw errno.ENOMEM;
      tx.commit();
      continue;
    }
    const io = requestBlocks(tx, FileSystem.ioDevice.get(tx, fileSystem), block, frames, fileSystem);
    if (io === 0) {
      // Noted while the table's lock is held, or room that comes in between would go unnoticed.
      clearWaits(tx);
      noteWait(tx, ioRoom(tx));
      tx.rollback();
      return;
    }
    frames.forEach((frame, i) => setPage(tx, root, block + i, (frame << 2) | PAGE.LOADING));
    FileSystem.sequential.set(tx, fileSystem, block + frames.length);
    return;
  }
}

/** Frames for the absent blocks from `block` to `end`, as many as there are in a row; none if memory is full. */
function takeFrames(tx: Transaction, fileSystem: FileSystem, block: number, end: number): number[] {
  const root = FileSystem.blocks.get(tx, fileSystem);
  const frames: number[] = [];
  for (let next = block; next < Math.max(end, block + 1); next++) {
    if (next > block && lookUpPage(tx, root, next) !== 0) break;
    try {
      frames.push(allocateFrame(tx));
    } catch (error) {
      if (error !== errno.ENOMEM) throw error;
      break;
    }
  }
  return frames;
}

registerIoCompletion(IO_KIND.READ_BLOCKS, (tx, io, failed) => {
  const fileSystem = HostIo.owner.get(tx, io) as FileSystem;
  FileSystem.lock.acquire(tx, fileSystem);
  const root = rootField(FileSystem.blocks, fileSystem);
  const first = HostIo.block.get(tx, io);
  const count = HostIo.count.get(tx, io);
  // Which block of a request has made it fail is not known: each is asked for again, alone.
  for (let i = 0; i < count; i++) {
    const frame = HostIo.frames.get(tx, io, i);
    if (!failed) setPage(tx, root, first + i, pageWord(frame));
    else {
      setPage(tx, root, first + i, count === 1 ? PAGE.FAILED : SUSPECT);
      dropFrame(tx, frame);
    }
  }
  if (failed) FileSystem.sequential.set(tx, fileSystem, 0);
  else FileSystem.blocksPresent.set(tx, fileSystem, FileSystem.blocksPresent.get(tx, fileSystem) + count);
  const last = first + count - 1;
  for (let block = first; block >>> 5 <= last >>> 5; block += 32)
    signalCondition(tx, arrivalOf(fileSystem, block));
  return "free";
});

/**
 * Takes up to `limit` blocks that nobody maps out of the index, going round it as a clock's hand; returns how
 * many. Nobody reads them: see Locks.
 */
export function reclaimBlocks(tx: Transaction, fileSystem: FileSystem, limit: number): number {
  lockVfs(tx);
  FileSystem.lock.acquire(tx, fileSystem);
  const root = FileSystem.blocks.get(tx, fileSystem);
  const hand = FileSystem.clock.get(tx, fileSystem);
  const chosen: number[] = [];
  for (const [from, to] of [
    [hand, Number.MAX_SAFE_INTEGER],
    [0, hand],
  ] as const) {
    for (const [block, word] of eachPage(tx, root)) {
      if (chosen.length >= limit) break;
      if (block < from || block >= to) continue;
      const kind = word & PAGE.MASK;
      const idle = kind === PAGE.PRESENT && frameReferences(tx, frameOf(word)) === 1;
      if (idle || kind === PAGE.FAILED) chosen.push(block);
    }
  }
  let freed = 0;
  for (const block of chosen) {
    const word = clearPage(tx, root, block);
    if ((word & PAGE.MASK) !== PAGE.PRESENT) continue;
    dropFrame(tx, frameOf(word));
    freed++;
  }
  if (freed > 0)
    FileSystem.blocksPresent.set(tx, fileSystem, FileSystem.blocksPresent.get(tx, fileSystem) - freed);
  FileSystem.clock.set(tx, fileSystem, (chosen.at(-1) ?? -1) + 1);
  return freed;
}
