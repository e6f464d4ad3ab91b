/**
 * Requests to the host's I/O thread: the layout that it shares with the kernel (kernel/block-io.ts). All
 * numbers are words of the heap, relative to the root "host-io" or to a request record.
 *
 * The kernel puts the address of a request into a free entry of the table, in a transaction; after the commit
 * it sets the request's STATE from PREPARED to QUEUED, adds 1 to SUBMITTED and notifies it. The host thread scans the table for requests in state QUEUED
 * that it has not begun (it knows them by address and id), does what they ask for, writes RESULT, then STATE
 * (atomically), adds 1 to COMPLETED, and notifies it. Those words of a queued request are the host's alone;
 * all others are the kernel's. A host thread that takes over from one that died finds all that is not done in
 * the table, and does it again: every request may be carried out more than once.
 */

/** Requests that may be under way at once. */
export const IO_TABLE = 64;

/** Words from the root. */
export const IO_ROOT = {
  submitted: 0,
  completed: 1,
  lock: 2,
  /** Condition: an entry has become free. */
  room: 4,
  nextId: 6,
  inFlight: 7,
  table: 16,
} as const;
export const IO_ROOT_WORDS: number = IO_ROOT.table + IO_TABLE;

/** Frames of 4096 bytes that a request may read or write. */
export const IO_FRAMES = 32;
export const IO_ARGUMENTS = 12;

/** Words from the request record. */
export const IO_REQUEST = {
  state: 0,
  /** Result: a count, or −errno. */
  result: 1,
  id: 2,
  kind: 3,
  device: 4,
  /** First block. */
  block: 5,
  /** Blocks, each of which goes to the frame of the same place in `frames`. */
  count: 6,
  arguments: 7,
  /** Frame numbers: the frame lies at byte 4096 × number of the guest memory. */
  frames: 7 + IO_ARGUMENTS,
} as const;
export const IO_REQUEST_WORDS: number = IO_REQUEST.frames + IO_FRAMES;

/**
 * ANSWERED and KEPT: done, noticed by the kernel, and kept until the request that asked has taken the answer. The
 * first is stored by the transaction that notices, which may yet be rolled back; the second after its commit, as
 * QUEUED is after PREPARED. Who looks without a lock believes KEPT alone.
 */
export const IO_STATE = { PREPARED: 0, QUEUED: 1, DONE: 2, FAILED: 3, KEPT: 4, ANSWERED: 5 } as const;

/** What a request asks for. */
export const IO_KIND = {
  /** Read `count` blocks of `device` from `block` on into the frames, verified. */
  READ_BLOCKS: 1,
  /** One operation on a granted host folder: see host-folder-io.ts. */
  FOLDER: 2,
} as const;
export type IoKind = (typeof IO_KIND)[keyof typeof IO_KIND];
