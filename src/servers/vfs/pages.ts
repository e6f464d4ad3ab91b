/**
 * The contents of files, page by page.
 *
 * A page of a file is its own (in the inode's page index), or the image's (in the block index, blocks.ts), or
 * a hole. Whatever is written becomes the file's own. The caller holds the inode's lock throughout.
 *
 * ## What a crash leaves of a write (rule R9)
 *
 *   - Bytes beyond the committed size are garbage; they are zeroed when the file grows over them.
 *   - Committed bytes of a page that nobody maps are never overwritten: the page's new contents go to a fresh
 *     frame, which the commit puts in its place.
 *   - A page that is mapped must stay where its mappers see it, so it is written in place. A write that is
 *     rolled back may have changed some of the bytes that it was going to write in such a page, and no others;
 *     its repetition writes them all.
 */

import { Errno, errno } from "../../base/errno.ts";
import { liveRecords } from "../../heap/check.ts";
import type { HeapView } from "../../heap/heap.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { abandon } from "../../kernel/block-io.ts";
import { noteRetry } from "../../kernel/request.ts";
import { changeFileMappings } from "../../kernel/memory/file-change.ts";
import { blockFrame, reclaimBlocks } from "./blocks.ts";
import { readTail } from "./image.ts";
import { markChanged } from "./inodes.ts";
import { allocateFrame, copyFrame, dropFrame, frameReferences, memoryLayout } from "./page-frames.ts";
import {
  frameOf,
  freeNodeLater,
  lookUpPage,
  PAGE,
  pageWord,
  removePages,
  rootField,
  setPage,
} from "./radix.ts";
import { FILE_SYSTEM, FileSystem, Inode, INODE } from "./records.ts";
import { lockInAnyOrder } from "./state.ts";

export const PAGE_BYTES = 4096;

/** Blocks behind a missing one that a reader of a file wants too. */
const AHEAD = 32;

/** Pages of an inode have another frame now, or are gone: its mappings, if it ever had any, ask again. */
export function tellMappings(tx: Transaction, inode: Inode, firstPage: number, endPage: number): void {
  if ((Inode.flags.get(tx, inode) & INODE.MAPPED) !== 0) changeFileMappings(tx, inode, firstPage, endPage);
}

/** The frame of page `index` as it is now, for reading; −1 for a hole. */
export function frameForReading(tx: Transaction, inode: Inode, index: number): number {
  const word = lookUpPage(tx, Inode.pages.get(tx, inode), index);
  if ((word & PAGE.MASK) === PAGE.PRESENT) return frameOf(word);
  if (Inode.nid.get(tx, inode) === 0) return -1;
  const fileSystem = Inode.fileSystem.get(tx, inode);
  const pages = Inode.imagePages.get(tx, inode);
  if (index < pages) {
    const { word: at, rank } = FileSystem.lock;
    lockInAnyOrder(tx, fileSystem + at, rank, FileSystem.arrived.at(fileSystem, 0));
    const first = Inode.imageBlock.get(tx, inode);
    return blockFrame(tx, fileSystem, first + index, first + Math.min(pages, index + AHEAD));
  }
  return -1;
}

/** Whether page `index` is the image's or the file's own, not a hole. */
export function hasPage(view: HeapView, inode: Inode, index: number): boolean {
  return (
    index < Inode.imagePages.get(view, inode) || lookUpPage(view, Inode.pages.get(view, inode), index) !== 0
  );
}

/**
 * Coppice's images keep no file's tail in its inode, but others do: such a tail becomes a page of the file's
 * own before the file is used.
 */
export function bringTail(tx: Transaction, inode: Inode): void {
  if (Inode.nid.get(tx, inode) === 0 || (Inode.flags.get(tx, inode) & INODE.CHANGED) !== 0) return;
  const pages = Inode.imagePages.get(tx, inode);
  const size = Inode.size.get(tx, inode);
  if (size <= pages * PAGE_BYTES || lookUpPage(tx, Inode.pages.get(tx, inode), pages) !== 0) return;
  FileSystem.lock.acquire(tx, Inode.fileSystem.get(tx, inode));
  const tail = readTail(tx, inode);
  const frame = newPage(tx, inode, pages);
  const at = frame * PAGE_BYTES;
  tx.memoryBytes.fill(0, at, at + PAGE_BYTES);
  tx.memoryBytes.set(tail, at);
}

/** Puts a fresh frame, with anything in it, at page `index`, in place of what was there. */
function newPage(tx: Transaction, inode: Inode, index: number): number {
  limitPages(tx, inode);
  const frame = takeFrame(tx, inode);
  const old = setPage(tx, rootField(Inode.pages, inode), index, pageWord(frame));
  if (old === 0) {
    Inode.pageCount.add(tx, inode, 1);
    markChanged(tx, inode);
    chargePages(tx, inode, 1);
  } else {
    dropFrame(tx, frameOf(old));
  }
  return frame;
}

/**
 * A frame. If there is none, the transaction is abandoned, clean pages of images are given back, and the request
 * runs again; if that gave nothing, it fails.
 */
function takeFrame(tx: Transaction, inode: Inode): number {
  try {
    return allocateFrame(tx);
  } catch (error) {
    if (error !== errno.ENOMEM) throw error;
  }
  return abandon(tx, () => {
    let freed = 0;
    for (const fileSystem of liveRecords(tx, FileSystem.schema)) {
      if (freed < RECLAIMED && FileSystem.blocksPresent.get(tx, fileSystem) > 0) {
        if (FileSystem.kind.get(tx, fileSystem) === FILE_SYSTEM.IMAGE)
          freed += reclaimBlocks(tx, fileSystem, RECLAIMED);
      }
    }
    // Not the ENOMEM after which a write counts what it has done: that is undone already.
    if (freed === 0) throw new Errno("ENOMEM", errno.ENOMEM.code);
    noteRetry(tx, Inode.lockReleased.at(inode));
  });
}
const RECLAIMED = 64;

/** A memory file system with a limit says ENOSPC before the machine's memory is used up. */
function limitPages(tx: Transaction, inode: Inode): void {
  const fileSystem = Inode.fileSystem.get(tx, inode);
  const most = FileSystem.pagesMax.get(tx, fileSystem);
  if (most !== 0 && FileSystem.blocksPresent.get(tx, fileSystem) >= most) throw errno.ENOSPC;
}

/** Counts the pages of a memory file system that has a limit. */
export function chargePages(tx: Transaction, inode: Inode, change: number): void {
  const fileSystem = Inode.fileSystem.get(tx, inode);
  if (
    FileSystem.kind.get(tx, fileSystem) !== FILE_SYSTEM.MEMORY ||
    FileSystem.pagesMax.get(tx, fileSystem) === 0
  )
    return;
  FileSystem.lock.acquire(tx, fileSystem);
  FileSystem.blocksPresent.set(tx, fileSystem, FileSystem.blocksPresent.get(tx, fileSystem) + change);
}

/**
 * A frame at page `index` in which bytes `from` to `to` (within the page) may be written now. All other bytes
 * of the page that count are as they were; `committed` is how many of the page's bytes count.
 */
export function frameForWriting(
  tx: Transaction,
  inode: Inode,
  index: number,
  from: number,
  to: number,
  committed: number,
): number {
  const word = lookUpPage(tx, Inode.pages.get(tx, inode), index);
  const own = (word & PAGE.MASK) === PAGE.PRESENT ? frameOf(word) : -1;
  if (own >= 0) {
    // Beyond the committed bytes nothing is lost; a mapped page must stay where it is.
    if (from >= committed || frameReferences(tx, own) > 1) {
      if (from > committed) tx.memoryBytes.fill(0, own * PAGE_BYTES + committed, own * PAGE_BYTES + from);
      return own;
    }
  }
  const before = own >= 0 ? own : frameForReading(tx, inode, index);
  const frame = newPage(tx, inode, index);
  const at = frame * PAGE_BYTES;
  if (from > 0 || to < committed) {
    if (before >= 0) copyFrame(tx, frame, before);
    else tx.memoryBytes.fill(0, at, at + PAGE_BYTES);
  }
  if (from > committed) tx.memoryBytes.fill(0, at + committed, at + from);
  // A page of its own that could be exchanged was mapped by nobody.
  if (own < 0) tellMappings(tx, inode, index, index + 1);
  return frame;
}

/**
 * The page as a shared mapping that writes to it needs it: the file's own, with zeros after the end. `size`
 * is the file's.
 */
export function frameForMapping(tx: Transaction, inode: Inode, index: number, size: number): number {
  const word = lookUpPage(tx, Inode.pages.get(tx, inode), index);
  if ((word & PAGE.MASK) === PAGE.PRESENT) {
    const frame = frameOf(word);
    if (frameReferences(tx, frame) === 1) zeroTail(tx, frame, index, size);
    return frame;
  }
  const before = frameForReading(tx, inode, index);
  const frame = newPage(tx, inode, index);
  if (before >= 0) copyFrame(tx, frame, before);
  else tx.memoryBytes.fill(0, frame * PAGE_BYTES, frame * PAGE_BYTES + PAGE_BYTES);
  zeroTail(tx, frame, index, size);
  tellMappings(tx, inode, index, index + 1);
  return frame;
}

/** Zeroes the bytes of a page after the end of the file: a mapping shows them. */
function zeroTail(tx: Transaction, frame: number, index: number, size: number): void {
  const count = Math.max(0, Math.min(PAGE_BYTES, size - index * PAGE_BYTES));
  if (count < PAGE_BYTES) tx.memoryBytes.fill(0, frame * PAGE_BYTES + count, frame * PAGE_BYTES + PAGE_BYTES);
}

/** The page for a private or reading mapping: whatever there is now; the frame of zeros for a hole. */
export function frameToShow(tx: Transaction, inode: Inode, index: number, size: number): number {
  const own = lookUpPage(tx, Inode.pages.get(tx, inode), index);
  if ((own & PAGE.MASK) === PAGE.PRESENT) {
    const frame = frameOf(own);
    if (frameReferences(tx, frame) === 1) zeroTail(tx, frame, index, size);
    return frame;
  }
  const frame = frameForReading(tx, inode, index);
  return frame >= 0 ? frame : memoryLayout(tx).zeroFrame;
}

/** Pages that one transaction takes out of a file at most. */
export const CUT_AT_ONCE = 64;

/**
 * Cuts the file's own pages from page `from` on, at most {@link CUT_AT_ONCE}; true if there may be more.
 * The image's pages from there on no longer count.
 */
export function cutPages(tx: Transaction, inode: Inode, from: number): boolean {
  if (Inode.imagePages.get(tx, inode) > from) {
    Inode.imagePages.set(tx, inode, from);
    markChanged(tx, inode);
  }
  const release = (word: number): void => dropFrame(tx, frameOf(word));
  const taken = removePages(tx, rootField(Inode.pages, inode), from, CUT_AT_ONCE, release, freeNodeLater);
  if (taken > 0) {
    Inode.pageCount.add(tx, inode, -taken);
    chargePages(tx, inode, -taken);
  }
  return taken === CUT_AT_ONCE;
}
