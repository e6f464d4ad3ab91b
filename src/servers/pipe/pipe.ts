/**
 * Pipes: the record, and the bytes in it.
 *
 * A pipe is a ring of page slots. Its bytes lie between two running positions, `head` (next to be read) and
 * `tail` (next to be written), both modulo 2^32; byte p lies in slot (p ÷ 4096) mod (capacity ÷ 4096). A page
 * is attached when the tail enters its slot and leaves when the head has passed it; one spare page is kept.
 *
 *       page begins    head                    tail
 *     ----+-------------+======================+------------------+
 *     gone|  consumed   |  bytes to be read    |  garbage (R9)    |  page begins + capacity
 *     ----+-------------+======================+------------------+
 *
 * A slot that has been read in part still counts as full, as on Linux: so no slot ever holds both ends of the
 * ring, and "writable" means that a whole slot is free. A pipe that has become empty starts over at the
 * beginning of the page.
 *
 * The bytes themselves are not logged: whatever lies beyond the committed tail means nothing, so a writer that
 * is rolled back leaves nothing that could be read. A transaction that has moved the head of a pipe must not
 * write to the same pipe, or it would overwrite bytes that its rollback brings back.
 *
 * `lock` (rank "pipe") guards every field of its record and the bytes.
 *
 * Invariants
 *   PI1  tail − (beginning of head's page) is at most the capacity, which is a power of two from 4096 to
 *        PIPE_MAX_BYTES; the head of an empty pipe is at the beginning of a page.
 *   PI2  A slot has a page if a byte between head and tail lies in it; the tail's slot may have one; no other
 *        has. Each page belongs to one pipe, once.
 *   PI3  readers and writers are the open files of the pipe that have that end; one of them is not 0.
 *   PI4  A pipe of an inode is on the list of the inode's bucket, once; other pipes are on no list (fifo.ts).
 *
 * Rejected: frames of the guest memory instead of heap pages. Nothing maps a pipe's bytes, so a frame would
 * buy only the splice of whole pages, and would let a few full pipes eat the memory of programs.
 */

import { redoFree } from "../../heap/allocator.ts";
import { liveRecords, registerInvariant } from "../../heap/check.ts";
import { REDO } from "../../heap/layout.ts";
import {
  bytes,
  condition,
  defineRecord,
  link,
  lock,
  none,
  ref,
  refs,
  type Ref,
  u32,
} from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File, FILE_KINDS } from "../../kernel/file.ts";
import { heapToSegments, segmentsToHeap } from "../../kernel/request.ts";
import { registerRedo } from "../../kernel/thread.ts";

/** Bytes in a page of a pipe, and PIPE_BUF: a write of up to this many bytes is not interleaved. */
export const PIPE_PAGE = 4096;
const PAGE_SHIFT = 12;
/** Capacity of a new pipe. */
export const PIPE_BYTES = 65536;
/** Greatest capacity (/proc/sys/fs/pipe-max-size of Linux). */
export const PIPE_MAX_BYTES: number = 1 << 20;
/** Bytes that one transaction moves at most, so that its log and its redo list stay bounded (rule R3). */
export const PIPE_STEP: number = 128 * PIPE_PAGE;
/** Pages that one redo step of a closed pipe frees. */
const FREE_STEP = 16;

export const PipePage = defineRecord("pipe-page", { bytes: bytes(PIPE_PAGE) });

export const Pipe = defineRecord("pipe", {
  lock: lock("pipe"),
  readers: u32(),
  writers: u32(),
  head: u32(),
  tail: u32(),
  capacity: u32(),
  /** Times that the reading and the writing end have been opened: what a fifo's opener waits for. */
  readerOpens: u32(),
  writerOpens: u32(),
  /** There is something to read, or no writer any more. */
  readable: condition(),
  /** There is room for PIPE_BUF bytes, or no reader any more. */
  writable: condition(),
  /** An end has been opened. */
  opened: condition(),
  /** The inode of a fifo, none for a pipe; constant. */
  inode: ref("inode"),
  /** On the list of the inode's bucket. */
  links: link(),
  spare: ref("pipe-page"),
  pages: refs("pipe-page", PIPE_MAX_BYTES / PIPE_PAGE),
});
export type Pipe = Ref<"pipe">;

/** Bytes that wait to be read. */
export function pipeUsed(tx: Transaction, pipe: Pipe): number {
  return (Pipe.tail.get(tx, pipe) - Pipe.head.get(tx, pipe)) >>> 0;
}

function slotOf(position: number, capacity: number): number {
  return (position >>> PAGE_SHIFT) & ((capacity >>> PAGE_SHIFT) - 1);
}

/** A new pipe without ends. */
export function newPipe(tx: Transaction): Pipe {
  const pipe = Pipe.allocate(tx);
  Pipe.capacity.init(tx, pipe, PIPE_BYTES);
  return pipe;
}

/** Frees the pipe and its pages, in bounded steps, once the transaction has committed. */
export function freePipe(tx: Transaction, pipe: Pipe): void {
  tx.afterCommit(REDO.pipe, pipe);
}

registerRedo(REDO.pipe, (tx, value) => {
  const pipe = value as Pipe;
  const slots = Pipe.capacity.get(tx, pipe) >>> PAGE_SHIFT;
  let freed = 0;
  for (let slot = 0; slot < slots; slot++) {
    const page = Pipe.pages.get(tx, pipe, slot);
    if (page === 0) continue;
    if (freed++ === FREE_STEP) return false;
    Pipe.pages.set(tx, pipe, slot, none());
    redoFree(tx, page);
  }
  const spare = Pipe.spare.get(tx, pipe);
  if (spare !== 0) redoFree(tx, spare);
  redoFree(tx, pipe);
  return true;
});

/**
 * Appends the first `length` bytes of the request's segments at `tail`, the pipe's; there must be room. Throws
 * ENOMEM.
 */
export function putBytes(tx: Transaction, pipe: Pipe, length: number, tail: number, capacity: number): void {
  let position = tail;
  for (let done = 0; done < length; ) {
    const offset = position & (PIPE_PAGE - 1);
    const run = Math.min(PIPE_PAGE - offset, length - done);
    const slot = slotOf(position, capacity);
    let page = Pipe.pages.get(tx, pipe, slot);
    if (page === 0) {
      page = Pipe.spare.get(tx, pipe);
      if (page === 0) page = PipePage.allocate(tx);
      else Pipe.spare.set(tx, pipe, none());
      Pipe.pages.set(tx, pipe, slot, page);
    }
    segmentsToHeap(tx, done, PipePage.bytes.at(page) + offset, run);
    position = (position + run) >>> 0;
    done += run;
  }
  Pipe.tail.set(tx, pipe, position);
}

/**
 * Moves the first `length` bytes, from `head` on, the pipe's, to the request's segments; that many must be
 * there before `tail`.
 */
export function takeBytes(
  tx: Transaction,
  pipe: Pipe,
  length: number,
  head: number,
  tail: number,
  capacity: number,
): void {
  let position = head;
  for (let done = 0; done < length; ) {
    const offset = position & (PIPE_PAGE - 1);
    const run = Math.min(PIPE_PAGE - offset, length - done);
    const slot = slotOf(position, capacity);
    const page = Pipe.pages.get(tx, pipe, slot);
    heapToSegments(tx, done, PipePage.bytes.at(page) + offset, run);
    position = (position + run) >>> 0;
    done += run;
    if ((position & (PIPE_PAGE - 1)) === 0) {
      Pipe.pages.set(tx, pipe, slot, none());
      if (Pipe.spare.get(tx, pipe) === 0) Pipe.spare.set(tx, pipe, page);
      else PipePage.free(tx, page);
    }
  }
  if (position === tail) {
    position = (position & ~(PIPE_PAGE - 1)) >>> 0;
    if (position !== tail) Pipe.tail.set(tx, pipe, position);
  }
  if (position !== head) Pipe.head.set(tx, pipe, position);
}

/** Gives the pipe `capacity` bytes, at least as many slots as it uses; the pages move to their new slots. */
export function resizePipe(tx: Transaction, pipe: Pipe, capacity: number): void {
  const before = Pipe.capacity.get(tx, pipe);
  const head = Pipe.head.get(tx, pipe);
  const held: Ref<"pipe-page">[] = [];
  for (let i = 0; i < before / PIPE_PAGE; i++) {
    const slot = slotOf(head + i * PIPE_PAGE, before);
    const page = Pipe.pages.get(tx, pipe, slot);
    if (page === 0) break;
    held.push(page);
    Pipe.pages.set(tx, pipe, slot, none());
  }
  for (const [i, page] of held.entries())
    Pipe.pages.set(tx, pipe, slotOf(head + i * PIPE_PAGE, capacity), page);
  Pipe.capacity.set(tx, pipe, capacity);
}

/** Bytes that still fit between these positions. */
export function roomBetween(head: number, tail: number, capacity: number): number {
  return capacity - ((tail - (head & ~(PIPE_PAGE - 1))) >>> 0);
}

/** Bytes that still fit. */
export function pipeRoom(tx: Transaction, pipe: Pipe): number {
  return roomBetween(Pipe.head.get(tx, pipe), Pipe.tail.get(tx, pipe), Pipe.capacity.get(tx, pipe));
}

/** Ends of a pipe that a file has, in File.detail: bits 0 and 1. */
export const END = { READ: 1, WRITE: 2 } as const;

registerInvariant({
  id: "PI1",
  statement:
    "a pipe holds at most its capacity, a power of two from 4096 to 1 MiB; an empty one begins a page",
  check(view, report) {
    for (const pipe of liveRecords(view, Pipe.schema)) {
      const capacity = Pipe.capacity.get(view, pipe);
      if (capacity < PIPE_PAGE || capacity > PIPE_MAX_BYTES || (capacity & (capacity - 1)) !== 0) {
        report(`pipe ${pipe} has a capacity of ${capacity}`);
      }
      const head = Pipe.head.get(view, pipe);
      const used = (Pipe.tail.get(view, pipe) - (head & ~(PIPE_PAGE - 1))) >>> 0;
      if (used > capacity) report(`pipe ${pipe} holds ${used} of ${capacity} bytes`);
      if (head === Pipe.tail.get(view, pipe) && (head & (PIPE_PAGE - 1)) !== 0) {
        report(`pipe ${pipe} is empty in the middle of a page`);
      }
    }
  },
});

registerInvariant({
  id: "PI2",
  statement:
    "a pipe has a page for each slot that bytes lie in and for no other but the tail's; each page has one owner",
  check(view, report) {
    const owners = new Map<number, number>();
    for (const pipe of liveRecords(view, Pipe.schema)) {
      const capacity = Pipe.capacity.get(view, pipe);
      const head = Pipe.head.get(view, pipe);
      const tail = Pipe.tail.get(view, pipe);
      const used = Math.min((tail - (head & ~(PIPE_PAGE - 1))) >>> 0, capacity);
      const needed = new Set<number>();
      for (let i = 0; i < used; i += PIPE_PAGE) needed.add(slotOf(head + i, capacity));
      for (let slot = 0; slot < PIPE_MAX_BYTES / PIPE_PAGE; slot++) {
        const page = Pipe.pages.get(view, pipe, slot);
        const right = page !== 0 ? needed.has(slot) || slot === slotOf(tail, capacity) : !needed.has(slot);
        if (!right) report(`pipe ${pipe}: slot ${slot} has page ${page}`);
        if (page !== 0) owners.set(page, (owners.get(page) ?? 0) + 1);
      }
      const spare = Pipe.spare.get(view, pipe);
      if (spare !== 0) owners.set(spare, (owners.get(spare) ?? 0) + 1);
    }
    for (const page of liveRecords(view, PipePage.schema)) {
      if (owners.get(page) !== 1) report(`page ${page} belongs to ${owners.get(page) ?? 0} pipes`);
    }
  },
});

registerInvariant({
  id: "PI3",
  statement: "a pipe's readers and writers are the open files that have its ends, and there is one",
  check(view, report) {
    const ends = new Map<number, [number, number]>();
    const kinds = [FILE_KINDS.indexOf("pipe"), FILE_KINDS.indexOf("fifo")];
    for (const file of liveRecords(view, File.schema)) {
      if (!kinds.includes(File.kind.get(view, file))) continue;
      const count = ends.get(File.object.get(view, file)) ?? [0, 0];
      if ((File.detail.get(view, file) & END.READ) !== 0) count[0]++;
      if ((File.detail.get(view, file) & END.WRITE) !== 0) count[1]++;
      ends.set(File.object.get(view, file), count);
    }
    for (const pipe of liveRecords(view, Pipe.schema)) {
      const [readers, writers] = ends.get(pipe) ?? [0, 0];
      if (readers !== Pipe.readers.get(view, pipe) || writers !== Pipe.writers.get(view, pipe)) {
        const counts = `${Pipe.readers.get(view, pipe)} readers and ${Pipe.writers.get(view, pipe)} writers`;
        report(`pipe ${pipe} counts ${counts}; its files are ${readers} and ${writers}`);
      }
      if (readers + writers === 0) report(`pipe ${pipe} has no end`);
    }
  },
});
