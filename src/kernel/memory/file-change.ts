/**
 * When the frame behind a file's page changes, or the page is gone (truncate, a write to a page that so far
 * was the image's), the mappings of that file must look again. The file's server says so while it holds the
 * inode's lock, which ranks behind the lock of an address space; so the work is done after its commit, as a
 * redo step that goes through the address spaces, each a system transaction by itself.
 *
 * The step marks page words STALE, which makes their entries invalid and keeps the old frame's reference: no
 * frame is freed here, so nobody has to be waited for. The next fault on the page asks the file again, and
 * gives the old frame up then. Private copies are left alone (PAGE_FILE tells them apart).
 *
 * Until a hart's next safepoint it may still read the old frame, or write to it if that was allowed. A space
 * that a fork fills just then may keep a page that its parent has lost.
 *
 * Rejected: a list of mappings in each inode (every mmap, split and fork would lock it, and a list for each of
 * the files of a process does not fit the lock order); dropping the frames here (a system transaction must not
 * allocate the batch in which they would wait).
 */

import { redoFree } from "../../heap/allocator.ts";
import { liveRecords } from "../../heap/check.ts";
import { REDO } from "../../heap/layout.ts";
import { defineRecord, type Ref, u32 } from "../../heap/record.ts";
import type { HeapView } from "../../heap/heap.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File } from "../file.ts";
import { registerRedo } from "../thread.ts";
import { mappingFrom } from "./mapping-tree.ts";
import { nextLeaf, PAGE_FILE, PAGE_PRESENT, PAGE_STALE, pageWordAt, setPage } from "./page-table.ts";
import { noteTaken } from "./safepoint.ts";
import { AddressSpace, Mapping, MAPPING, PAGE_LIMIT, type PageNumber } from "./records.ts";
import { LEAF_INDEX_BITS } from "../../base/hart-abi.ts";

/** Pages that one system transaction marks: each logs up to three stores. */
const PAGES_AT_ONCE = 120;

const FileChange = defineRecord("file-change", {
  /** The inode's address; only compared, so it need not live. */
  inode: u32(),
  /** Pages of the file: from, and end, excluded. */
  first: u32(),
  end: u32(),
  /** The last space that is done, and how far its successor is, as a page number. */
  space: u32(),
  page: u32(),
});
type FileChange = Ref<"file-change">;

/**
 * Makes all mappings of pages `first` to `end` (excluded; may be 2^32) of the file with this inode ask the
 * file again, once the transaction has committed. Throws ENOMEM. Any lock may be held.
 */
export function changeFileMappings(tx: Transaction, inode: Ref<"inode">, first: number, end: number): void {
  const change = FileChange.allocate(tx);
  FileChange.inode.init(tx, change, inode);
  FileChange.first.init(tx, change, first);
  FileChange.end.init(tx, change, Math.min(end, 0xffff_ffff));
  tx.afterCommit(REDO.mappings, change);
}

registerRedo(REDO.mappings, (tx, address) => {
  const change = address as FileChange;
  const space = nextSpace(tx, FileChange.space.get(tx, change));
  if (space === 0) {
    redoFree(tx, change);
    return true;
  }
  AddressSpace.lock.acquire(tx, space);
  // A space that dies, or has died since, does not matter; one that begins asks the file as it is now.
  const from = AddressSpace.references.get(tx, space) > 0 ? markSpace(tx, space, change) : PAGE_LIMIT;
  if (from < PAGE_LIMIT) {
    FileChange.page.set(tx, change, from);
  } else {
    FileChange.space.set(tx, change, space);
    FileChange.page.set(tx, change, 0);
  }
  return false;
});

/**
 * Whether any shared mapping of the file with this inode may write, now or after mprotect. Whoever makes one holds
 * the inode's lock to its commit, as the caller does; one that is being taken away still counts.
 */
export function isMappedForWriting(view: HeapView, inode: Ref<"inode">): boolean {
  const wanted = MAPPING.SHARED | MAPPING.MAY_WRITE;
  for (const mapping of liveRecords(view, Mapping.schema)) {
    const file = Mapping.file.get(view, mapping);
    if (file === 0 || File.inode.get(view, file) !== inode) continue;
    if ((Mapping.flags.get(view, mapping) & wanted) === wanted) return true;
  }
  return false;
}

/** The first address space behind `address`. */
function nextSpace(view: HeapView, address: number): AddressSpace {
  let best = 0;
  for (const space of liveRecords(view, AddressSpace.schema)) {
    if (space > address && (best === 0 || space < best)) best = space;
  }
  return best as AddressSpace;
}

/** Marks pages of one space; returns the page from which to go on, PAGE_LIMIT when it is done. */
function markSpace(tx: Transaction, space: AddressSpace, change: FileChange): PageNumber {
  const inode = FileChange.inode.get(tx, change);
  const first = FileChange.first.get(tx, change);
  const end = FileChange.end.get(tx, change);
  let from = FileChange.page.get(tx, change);
  let budget = PAGES_AT_ONCE;
  for (;;) {
    const mapping = mappingFrom(tx, space, from);
    if (mapping === 0) return PAGE_LIMIT;
    const start = Mapping.first.get(tx, mapping);
    const stop = Mapping.end.get(tx, mapping);
    const file = Mapping.file.get(tx, mapping);
    if (file !== 0 && File.inode.get(tx, file) === inode) {
      // Where the changed pages of the file lie in this mapping.
      const shift = start - Mapping.filePage.get(tx, mapping);
      const low = Math.max(start, from, first + shift);
      const high = Math.min(stop, end + shift);
      for (let page = low; page < high; ) {
        page = markLeaf(tx, space, page, high, budget);
        budget = remaining;
        if (budget === 0) return page;
      }
    }
    from = stop;
  }
}

// What markLeaf has left of its budget; set before each return, so that no pair has to be made.
let remaining = 0;

/** Marks the file pages from `page` on in one leaf; returns how far that went. */
function markLeaf(
  tx: Transaction,
  space: AddressSpace,
  page: PageNumber,
  high: PageNumber,
  budget: number,
): PageNumber {
  const root = AddressSpace.root.get(tx, space);
  let left = budget;
  let at = nextLeaf(tx, root, page, high);
  if (at < high) {
    const last = Math.min(high, ((at >>> LEAF_INDEX_BITS) + 1) << LEAF_INDEX_BITS);
    let taken = 0;
    for (; at < last && left > 0; at++) {
      const wordAt = pageWordAt(tx, root, at);
      const word = tx.memory[wordAt]!;
      if ((word & PAGE_PRESENT) === 0 || (word & (PAGE_FILE | PAGE_STALE)) !== PAGE_FILE) continue;
      taken |= setPage(tx, wordAt, at, word | PAGE_STALE, false);
      left--;
    }
    noteTaken(tx, space, taken);
  }
  remaining = left;
  return at;
}
