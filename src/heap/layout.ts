/**
 * Where everything lies in the heap, one `SharedArrayBuffer` that outlives every thread that works on it.
 * All addresses in the heap are word indices (byte offset ÷ 4): a record's address is its first word, and
 * address 0 means "none".
 *
 *     word 0            header: magic, version, sizes                                  HEADER_WORDS
 *     ROOTS_AT          boot directory: one word for each name in ROOT_NAMES
 *     TYPES_AT          one control block for each record type                        TYPE_WORDS each
 *     CHUNK_TYPES_AT    for each chunk, the number of the record type that it holds
 *     slotsAt           request slots (see below)                                      SLOT_WORDS each
 *     chunksAt          chunks, aligned to their size                                  CHUNK_WORDS each
 *
 * ## Request slot
 *
 * A slot is the place from which one request at a time works: its undo logs, the locks it holds, what is to
 * be done after its commit, its private stock of free blocks. Whatever thread the SLOT.holder word names is
 * the slot's only writer (rule R10).
 *
 *     +0   holder       thread id, 0 when nobody works from this slot
 *     +1   recoverer    thread id of who is rolling this slot back, 0 if nobody
 *     +2   owner        task on whose behalf the request runs, 0 for the kernel's own
 *     +3   attempts     times that this request has failed
 *     +4   sequence     transactions committed; tells a transaction from the one before it
 *     +5   redoCount    items in the redo list; a logged store, so it is 0 unless a commit made it final
 *     +150 redoHead     index of the redo list's first item; the list is a ring
 *     +151 diskWait     1 if what the request waits for is on its way from the host: no signal ends that
 *     +152 keepsAnswers 1 while the request is a series that needs the host's answers again in each attempt
 *     +153 redoCursor   how far the redo list's first item has come, for items done in parts; 0 before each
 *     +154 tableSeen    1 + closings of the shared descriptor table as the request found it; 0: it shares none
 *     +155 redoFiled    while the first item is done in parts: how many items stood in the list before its first part
 *     +156 partCursor   as redoCursor, for an item that a part of the first one has filed
 *     +6   deadline     (two words) when the wait that the request asks for is to end; see kernel/wait.ts
 *     +8   main log:    logCount, lockCount, then LOCKS_MAX pairs (word of the lock, rank)
 *     +80  system log:  the same, for the short system transactions inside the main one
 *     +160 call frame   CALL_WORDS words: a contract call on its way to another thread
 *     +224 redo list    REDO_MAX pairs: kind, value
 *     +768 segments     SEGMENTS_MAX pairs: where in the guest memory a read or write copies to or from
 *     +840 waits        WAITS_MAX pairs: condition, its counter when the request found that it had to wait
 *     +2048 paths       two paths of up to 4096 bytes that the request works on
 *     +4096 stocks       for each record type: taken, filled, then a ring of STOCK_RING addresses
 *     ...  system log   SYSTEM_LOG_MAX entries of two words
 *     ...  main log     LOG_MAX entries of two words: target, old value
 *
 * Storing 0 in logCount is the commit point.
 *
 * A log entry's target is a word index; bit 31 set means that it is a word of the guest memory, not of the
 * heap (rule R6). The entry is complete before the count that publishes it, and the count before the store
 * that it undoes. The stores are plain ones: see docs/design/heap.md for why that is enough.
 */

import { RECORD_NAMES } from "../base/record-ids.ts";

export const HEAP_MAGIC = 0x43_4f_50_31;
export const HEAP_VERSION = 1;

export const HEADER_WORDS = 64;
export const HEADER = {
  magic: 0,
  version: 1,
  words: 2,
  slots: 3,
  slotsAt: 4,
  chunksAt: 5,
  chunks: 6,
  chunksUsed: 7,
  allocatorLock: 8,
} as const;

/** What boot places and everybody finds by name: word = address or number, fixed after boot. */
export const ROOT_NAMES = [
  "kernel",
  "scheduler",
  "tasks",
  "timers",
  "futexes",
  "frames",
  "tables",
  "host-calls",
  "host-io",
  "vfs",
  "auth",
  "tty",
  "pids",
  "harts",
  "dirent-table",
  "page-table",
  "log",
  "threads",
  "hart-records",
  "life",
  "fifos",
  "placement",
  "safepoints",
  "missing-calls",
  "accounts",
  "sockets",
] as const;
export type RootName = (typeof ROOT_NAMES)[number];
export const ROOTS_AT: number = HEADER_WORDS;
/** The word of each root. */
export const ROOT_WORD: { readonly [N in RootName]: number } = Object.fromEntries(
  ROOT_NAMES.map((name, index) => [name, ROOTS_AT + index]),
) as { readonly [N in RootName]: number };

/** Control block of a record type: first chunk that has a free block, number of chunks. */
export const TYPE_WORDS = 8;
export const TYPE = { partial: 0, chunks: 1 } as const;
export const TYPES_AT: number = ROOTS_AT + 64;

/** A chunk is 64 KiB and holds blocks of one type only. */
export const CHUNK_SHIFT = 14;
export const CHUNK_WORDS: number = 1 << CHUNK_SHIFT;
export const CHUNKS_MAX = 16384;
export const CHUNK_TYPES_AT: number = TYPES_AT + TYPE_WORDS * 128;

/** Header of a chunk; the state words, the stack of free blocks and the blocks follow. */
export const CHUNK = {
  type: 0,
  blockWords: 1,
  capacity: 2,
  freeCount: 3,
  nextPartial: 4,
  isPartial: 5,
  blocksAt: 6,
  stackAt: 7,
} as const;
export const CHUNK_HEADER_WORDS = 8;
/** State word of a block. */
export const BLOCK_FREE = 0;
export const BLOCK_LIVE = 1;

export const LOCKS_MAX = 32;
export const CALL_WORDS = 64;
/** Steps that one transaction may leave to be done. A power of two: the list is a ring. */
export const REDO_MAX = 256;
export const SEGMENTS_MAX = 32;
export const WAITS_MAX = 600;
/** Bytes of a path with its terminating zero (PATH_MAX of Linux), and how many a request has at hand. */
export const PATH_BYTES = 4096;
export const PATHS = 2;
/**
 * A ring is a power of two, so that its indices may run on for ever. It must hold all records of one type that a
 * transaction takes: a request that parks takes a waiter for each of WAITS_MAX conditions (poll of hundreds of files).
 */
export const STOCK_RING = 1024;
export const STOCK_WORDS: number = STOCK_RING + 2;
export const LOG_MAX = 8192;
export const SYSTEM_LOG_MAX = 4096;

/** A log's head: entries in it, locks held, then the lock list. */
export const LOG_HEAD = { count: 0, locks: 1, list: 2 } as const;

export const SLOT = {
  holder: 0,
  recoverer: 1,
  owner: 2,
  attempts: 3,
  sequence: 4,
  redoCount: 5,
  redoHead: 150,
  diskWait: 151,
  keepsAnswers: 152,
  redoCursor: 153,
  tableSeen: 154,
  redoFiled: 155,
  partCursor: 156,
  deadline: 6,
  main: 8,
  system: 80,
  call: 160,
  redo: 224,
  segmentCount: 766,
  waitCount: 767,
  segments: 768,
  waits: 840,
  paths: 2048,
  stocks: 4096,
} as const;
const STOCKS_WORDS: number = RECORD_NAMES.length * STOCK_WORDS;
export const SLOT_SYSTEM_LOG: number = SLOT.stocks + STOCKS_WORDS + (STOCKS_WORDS & 1);
export const SLOT_LOG: number = SLOT_SYSTEM_LOG + SYSTEM_LOG_MAX * 2;
export const SLOT_WORDS: number = (SLOT_LOG + LOG_MAX * 2 + 63) & ~63;

/** What is done after a commit: see Transaction.afterCommit. */
export const REDO = {
  free: 0,
  wake: 1,
  frame: 2,
  table: 3,
  notify: 4,
  task: 5,
  doorbell: 6,
  pipe: 7,
  drop: 8,
  zombie: 9,
  group: 10,
  frames: 11,
  session: 12,
  mappings: 13,
  io: 14,
  hostCall: 15,
  unwatch: 16,
  conform: 17,
  losers: 18,
} as const;
export type RedoKind = (typeof REDO)[keyof typeof REDO];

/** Bit of a log entry's target that names the guest memory instead of the heap. */
export const LOG_MEMORY: number = 0x8000_0000 | 0;

/** A lock word: 0 when free, else the holding slot's number + 1, with LOCK_CONTENDED if somebody sleeps on it. */
export const LOCK_HOLDER = 0xffff;
export const LOCK_CONTENDED = 0x10000;
