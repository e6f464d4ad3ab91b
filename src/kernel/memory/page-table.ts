/**
 * Page tables: the two levels that translated code walks (base/hart-abi.ts), kept by the kernel.
 *
 * ## Page word
 *
 *     31..12   frame
 *          9   STALE     the file has another frame for this page by now, or none (file-change.ts)
 *          8   FILE      the frame is the file's, not a private copy
 *          7   MOVING    the frame is about to be replaced by a copy, when all harts have let go of it
 *          6   CLEAN     a page of a shared file mapping whose server has not been told of writing
 *          5   COW       the frame may be shared, so a write must copy it first
 *          4   EXEC  ┐
 *          3   WRITE │   what the page permits
 *          2   READ  ┘
 *          1   PRESENT
 *          0   FETCH     (hart-abi.ts) instructions may be fetched now
 *
 * The read entry, the write entry and FETCH are derived from READ, WRITE and EXEC, and are what harts act on;
 * of a page that is MOVING or STALE all are invalid. Neither COW nor CLEAN stands together with WRITE.
 *
 * ## What is uncommitted must not be used
 *
 * A hart acts on an entry the moment it is stored, before any commit. If the transaction were then rolled
 * back, the frame would go back to the free ones while another thread of the process has written to it, and
 * what it wrote would be lost. Therefore an entry becomes valid
 *   - at once, if the space has one reference: its only task is the one that asks, and it is in the kernel;
 *   - else only for a page word that an earlier transaction has committed: the access faults a second time.
 * Rolling back an entry for a committed page word takes nothing away.
 *
 * ## Tables
 *
 * A table in its pool is clean: a root points to the empty leaf everywhere, a leaf forbids everything. So a
 * table that is given back needs no clearing, and one that is taken no filling, except the first time. All
 * stores to tables are logged.
 */

import {
  ENTRY_INVALID,
  LEAF_ARRAY_BYTES,
  LEAF_BYTES,
  LEAF_ENTRIES,
  LEAF_INDEX_BITS,
  LEAF_PAGE,
  LEAF_WRITE,
  PAGE_FETCH,
  PAGE_SHIFT,
  ROOT_BYTES,
  ROOT_ENTRIES,
  VA_LIMIT,
} from "../../base/hart-abi.ts";
import type { HeapView, MemoryWord } from "../../heap/heap.ts";
import { REDO } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { clearLeaf, type FrameNumber, memoryLayout, type PhysicalAddress } from "./layout.ts";
import { CONTROL, take } from "./pool.ts";
import { AddressSpace, type PageNumber, PROT } from "./records.ts";

export { PAGE_FETCH };
export const PAGE_PRESENT = 2;
export const PAGE_READ = 4;
export const PAGE_WRITE = 8;
export const PAGE_EXEC = 16;
export const PAGE_COW = 32;
export const PAGE_CLEAN = 64;
export const PAGE_MOVING = 128;
export const PAGE_FILE = 256;
export const PAGE_STALE = 512;

/** Distances, in words, from a page word to the entries of the same page. */
export const TO_READ: number = -(LEAF_PAGE >>> 2);
export const TO_WRITE: number = (LEAF_WRITE - LEAF_PAGE) >> 2;
const PAGE_WORDS: number = LEAF_PAGE >>> 2;
const LEAF_MASK: number = LEAF_ENTRIES - 1;

/** The frame of a page word. */
export function frameOf(word: number): FrameNumber {
  return word >>> PAGE_SHIFT;
}

/** The page word of `frame` with `flags`. */
export function pageWord(frame: FrameNumber, flags: number): number {
  return (frame << PAGE_SHIFT) | flags;
}

/** What a mapping's protection lets a page permit, WRITE apart. Write implies read, as on Linux riscv64. */
export function pageFlags(prot: number): number {
  let flags = PAGE_PRESENT;
  if ((prot & (PROT.READ | PROT.WRITE)) !== 0) flags |= PAGE_READ;
  if ((prot & PROT.EXEC) !== 0) flags |= PAGE_EXEC;
  return flags;
}

/** Index of the root word of a page. */
export function rootIndex(page: PageNumber): number {
  return page >>> LEAF_INDEX_BITS;
}

/** Memory word of the root word that covers `page`. */
export function rootWord(root: PhysicalAddress, page: PageNumber): MemoryWord {
  return (root >>> 2) + (page >>> LEAF_INDEX_BITS);
}

/** Memory word of the page word of `page`; it lies in the empty leaf if the page has no leaf of its own. */
export function pageWordAt(view: HeapView, root: PhysicalAddress, page: PageNumber): MemoryWord {
  const leaf = view.memory[rootWord(root, page)]!;
  return (leaf >>> 2) + PAGE_WORDS + (page & LEAF_MASK);
}

/** The page word of `page`, 0 if it has none. */
export function readPage(view: HeapView, root: PhysicalAddress, page: PageNumber): number {
  return view.memory[pageWordAt(view, root, page)]!;
}

/** pa of the byte at `va` if the entries allow the access now, else −1. Needs no lock: see safepoint.ts. */
export function translate(view: HeapView, root: PhysicalAddress, va: number, write: boolean): number {
  if (!(va >= 0 && va < VA_LIMIT)) return -1;
  const page = Math.floor(va / 4096);
  const at = pageWordAt(view, root, page);
  const entry = view.memory[at + (write ? TO_WRITE : TO_READ)]!;
  if ((entry & ENTRY_INVALID) !== 0) return -1;
  return (entry + (va % 0x1_0000_0000)) >>> 0;
}

/** A root table from the pool. Throws ENOMEM. */
export function allocateRoot(tx: Transaction): PhysicalAddress {
  const layout = memoryLayout(tx);
  const index = take(tx, layout.rootPool);
  const root = layout.roots + index * ROOT_BYTES;
  // A root that was never used is all zero.
  if (tx.memory[root >>> 2] === 0) {
    // The first word comes last: it says that all the others are there.
    tx.memory.fill(layout.emptyLeaf | 0, (root >>> 2) + 1, (root + ROOT_BYTES) >>> 2);
    tx.storeFreshMemory(root >>> 2, layout.emptyLeaf | 0);
  }
  return root;
}

/** Gives a clean root table back after the commit. */
export function freeRoot(tx: Transaction, root: PhysicalAddress): void {
  tx.afterCommit(REDO.table, (root - memoryLayout(tx).roots) / ROOT_BYTES);
}

/**
 * Memory word of the page word of `page`, in a leaf that belongs to the space; makes one if need be. Throws
 * ENOMEM. The caller holds the space's lock.
 */
export function ownPageWord(tx: Transaction, space: AddressSpace, page: PageNumber): MemoryWord {
  const layout = memoryLayout(tx);
  const at = rootWord(AddressSpace.root.get(tx, space), page);
  let leaf = tx.memory[at]! >>> 0;
  if (leaf === layout.emptyLeaf) {
    leaf = layout.leaves + take(tx, layout.leafPool) * LEAF_BYTES;
    // A leaf that was never used is all zero; a clean one forbids reading its first page.
    if (tx.memory[leaf >>> 2] === 0) clearLeaf(tx, leaf >>> 2);
    AddressSpace.leafTables.add(tx, space, 1);
    tx.storeMemory(at, leaf | 0);
  }
  return (leaf >>> 2) + PAGE_WORDS + (page & LEAF_MASK);
}

/** Number of the leaf table at `leaf`, for the batch that gives it back. */
export function leafNumber(view: HeapView, leaf: PhysicalAddress): number {
  return (leaf - memoryLayout(view).leaves) / LEAF_BYTES;
}

/** Whether the space's only task is the one that asks, so that entries may become valid at once. */
export function isSingle(view: HeapView, space: AddressSpace): boolean {
  return AddressSpace.references.get(view, space) <= 1;
}

/** What a change of a page takes away: an access, or also the right to fetch; 0 if nothing. */
export const TAKEN = { DATA: 1, CODE: 2 } as const;

/**
 * Stores the page word of `page` at memory word `at` and sets the entries: valid as the word permits if
 * `install`, else invalid. Says what was allowed that is not any more, or leads elsewhere: TAKEN.
 */
export function setPage(
  tx: Transaction,
  at: MemoryWord,
  page: PageNumber,
  word: number,
  install: boolean,
): number {
  const m = tx.memory;
  const old = m[at]!;
  const usable = install && (word & (PAGE_MOVING | PAGE_STALE)) === 0;
  const entry = ((word >>> PAGE_SHIFT) - page) << PAGE_SHIFT;
  const read = usable && (word & PAGE_READ) !== 0 ? entry : ENTRY_INVALID;
  const write = usable && (word & PAGE_WRITE) !== 0 ? entry : ENTRY_INVALID;
  const value = usable && (word & PAGE_EXEC) !== 0 ? word | PAGE_FETCH : word & ~PAGE_FETCH;
  const isCodeTaken =
    (old & PAGE_FETCH) !== 0 && ((value & PAGE_FETCH) === 0 || old >>> PAGE_SHIFT !== word >>> PAGE_SHIFT);
  let taken: number = isCodeTaken ? TAKEN.DATA | TAKEN.CODE : 0;
  if (old !== value) tx.storeMemory(at, value);
  const oldRead = m[at + TO_READ]!;
  if (oldRead !== read) {
    if (oldRead !== ENTRY_INVALID) taken |= TAKEN.DATA;
    tx.storeMemory(at + TO_READ, read);
  }
  const oldWrite = m[at + TO_WRITE]!;
  if (oldWrite !== write) {
    if (oldWrite !== ENTRY_INVALID) taken |= TAKEN.DATA;
    tx.storeMemory(at + TO_WRITE, write);
  }
  return taken;
}

/** Stores a page word that permits no writing and leaves the read entry; true if there was a write entry. */
export function forbidWriting(tx: Transaction, at: MemoryWord, word: number): boolean {
  tx.storeMemory(at, word);
  if (tx.memory[at + TO_WRITE] === ENTRY_INVALID) return false;
  tx.storeMemory(at + TO_WRITE, ENTRY_INVALID);
  return true;
}

/** Tables in use: root tables and leaf tables, the slots' stocks included. */
export function tableUsage(view: HeapView): { roots: number; leaves: number } {
  const layout = memoryLayout(view);
  const used = (control: number): number =>
    view.words[control + CONTROL.fresh]! - view.words[control + CONTROL.stacked]!;
  return { roots: used(layout.rootPool.controlAt), leaves: used(layout.leafPool.controlAt) };
}

/** Root words with a leaf of their own, as pages: the first page of each, from `first` to `end`. */
export function nextLeaf(
  view: HeapView,
  root: PhysicalAddress,
  page: PageNumber,
  end: PageNumber,
): PageNumber {
  const empty = memoryLayout(view).emptyLeaf | 0;
  const m = view.memory;
  const base = root >>> 2;
  const last = Math.min(ROOT_ENTRIES, (end + LEAF_MASK) >>> LEAF_INDEX_BITS);
  let index = page >>> LEAF_INDEX_BITS;
  if (index < last && m[base + index] !== empty) return page;
  while (++index < last) if (m[base + index] !== empty) return index << LEAF_INDEX_BITS;
  return end;
}

export { LEAF_ARRAY_BYTES, LEAF_MASK };
