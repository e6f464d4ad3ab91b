/**
 * The records of kernel memory: address spaces and mappings.
 *
 * An address space's lock guards the space's fields, its mappings, its page words and the read and write
 * entries. Translated code and user copies read entries without it; see safepoint.ts for why they may.
 *
 * Invariants (check.ts)
 *   M1  A space's mappings form a search tree by `first` and a heap by priority (mapping-tree.ts), do not
 *       overlap, lie between PAGE_MIN and the end of user space, and are as many as `mappingCount`.
 *   M2  virtualPages is the sum of the mappings' pages.
 *   M3  residentPages is the number of present page words whose frame is not the zero frame.
 *   M4  A present page word lies in a mapping and permits no more than the mapping does.
 *   M5  A read or write entry that allows an access, and PAGE_FETCH, agree with the page word: same frame,
 *       permission there, neither MOVING nor STALE; no write entry to a page that must be copied first.
 *   M6  A leaf table is reached from exactly one root word; leafTables counts them.
 *   M7  The zero frame and frames outside the ordinary range are never writable.
 *   M8  A shared object's references are the mappings of it.
 *   M9  A table in its pool, or in a stock, is clean (page-table.ts).
 */

import { VA_LIMIT } from "../../base/hart-abi.ts";
import { condition, defineRecord, i32, i64, list, lock, ref, type Ref, u32 } from "../../heap/record.ts";

/** A page number: va ÷ PAGE_SIZE. */
export type PageNumber = number;

/** Lowest page that may be mapped (vm.mmap_min_addr of Linux: 65536). */
export const PAGE_MIN = 16;
/** First page behind user space. */
export const PAGE_LIMIT: number = VA_LIMIT / 4096;
/** vm.max_map_count. */
export const MAPPINGS_MAX = 65530;
/** Pages kept free below a stack that may grow (stack_guard_gap: 1 MiB). */
export const STACK_GUARD_PAGES = 256;
/** Where top-down placement begins: below the stack and its room to grow. */
export const MMAP_BASE_DEFAULT: PageNumber = PAGE_LIMIT - 0x8000 - STACK_GUARD_PAGES;

/** Most pages whose words one transaction changes: the bound of rule R3. */
export const STEP_PAGES = 360;

export const AddressSpace = defineRecord("address-space", {
  lock: lock("address-space"),
  /** Tasks that run in it, and a fork or exec under way that builds it. 0: it is being destroyed. */
  references: i32(),
  /** pa of the root table; REG_ROOT of the tasks. */
  root: u32(),
  /** Root of the tree of mappings. */
  mappings: ref("mapping"),
  mappingCount: u32(),
  /** Placement of mappings without an address begins below this page. */
  mmapBase: u32(),
  /** Program break: where it began and where it is, in bytes. */
  breakStart: i64(),
  break: i64(),
  virtualPages: u32(),
  residentPages: u32(),
  /** 1 after mlockall(MCL_FUTURE): new mappings are locked. */
  locksFuture: u32(),
  /** The most that residentPages has been after a fault. */
  residentPeak: u32(),
  leafTables: u32(),
  /**
   * Claim (rule R4): the task whose change of the mappings goes on over several transactions, 0 if none.
   * Other changes wait for `claimFree`.
   */
  claim: u32(),
  claimFree: condition(),
  /**
   * Names what harts may keep about the code that is mapped here: it changes when code is taken away or
   * replaced (safepoint.ts, renewCode).
   */
  codeStamp: u32(),
  /** The same of its entries: it changes when entries that were valid are so no more, or lead elsewhere. */
  entryStamp: u32(),
  /** Number of the last taking-away that others had to notice, 0 if none is pending (safepoint.ts). */
  ticket: u32(),
  /** Frames that wait for that. */
  pending: list("frame-batch"),
  /** In a space that a fork is filling: where the fork goes on, in pages, and the space that it copies. */
  cursor: u32(),
  forkOf: ref("address-space"),
  /** A move under way (mremap.ts): first page and end of what moves, how far it has come, where it goes. */
  moveFirst: u32(),
  moveEnd: u32(),
  moveCursor: u32(),
  moveTarget: u32(),
  /** What exec left for /proc: argument and environment strings, in bytes. */
  argumentStart: i64(),
  argumentEnd: i64(),
  environmentEnd: i64(),
});
export type AddressSpace = Ref<"address-space">;

/** Flags of a mapping. */
export const MAPPING = {
  SHARED: 1,
  GROWSDOWN: 2,
  /** mprotect may make it writable: private, or a shared mapping of a file open for writing. */
  MAY_WRITE: 4,
  NORESERVE: 8,
  /** The heap that brk made. */
  BREAK: 16,
  STACK: 32,
  /** mlock: counts against RLIMIT_MEMLOCK. Nothing is ever swapped out, so that is all that it does. */
  LOCKED: 64,
  /** The page by which signal handlers return: every space reads the same frame. */
  TRAMPOLINE: 128,
} as const;

export const Mapping = defineRecord("mapping", {
  left: ref("mapping"),
  right: ref("mapping"),
  first: u32(),
  /** Excluded. */
  end: u32(),
  prot: u32(),
  flags: u32(),
  /** The file that it shows, with one reference; none if it is anonymous. */
  file: ref("file"),
  /** The object that holds its pages, if it is anonymous and shared. */
  object: ref("shared-object"),
  /** Page of the file or object at `first`. */
  filePage: u32(),
  /** Where frames for its pages are looked for (home.ts); only a hint. */
  home: u32(),
});
export type Mapping = Ref<"mapping">;

/** Mapping.home: looked for in vain. */
export const HOME_VAIN = 2;

/** Protection bits, as mmap(2) has them. */
export const PROT = { READ: 1, WRITE: 2, EXEC: 4 } as const;
