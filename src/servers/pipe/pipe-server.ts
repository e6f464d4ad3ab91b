/**
 * The pipe server: its operations, and how open files reach them.
 *
 * Every operation takes the pipe's lock and no other but that of a fifo's bucket, and calls no other server.
 * The greatest log is that of a write of PIPE_STEP bytes into a pipe without pages: two stores for each page,
 * and a dozen more.
 *
 * Waiting: requests wait for `readable` only when the pipe is empty, for `writable` only when no whole slot is
 * free; so `readable` is signalled only by the write that finds the pipe empty, and `writable` only by the
 * read that frees the first slot. While an epoll watches, every write signals: to it each is an edge.
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Ref } from "../../heap/record.ts";
import { hasWaiters, signalCondition } from "../../kernel/condition.ts";
import {
  createFile,
  File,
  type FileKind,
  type FileKindName,
  POLL,
  registerFileKind,
} from "../../kernel/file.ts";
import { defineServer } from "../../kernel/placement.ts";
import { noteWait, waitFor } from "../../kernel/request.ts";
import { addEnds, awaitFifo, fifoTicket, lockBucket, openFifo, unlinkFifo } from "./fifo.ts";
import {
  END,
  freePipe,
  newPipe,
  Pipe,
  PIPE_MAX_BYTES,
  PIPE_PAGE,
  PIPE_STEP,
  pipeRoom,
  pipeUsed,
  putBytes,
  resizePipe,
  roomBetween,
  takeBytes,
} from "./pipe.ts";

/** A new pipe with both ends open once: the caller makes its two files in the same transaction. */
function create(tx: Transaction): number {
  const pipe = newPipe(tx);
  Pipe.readers.init(tx, pipe, 1);
  Pipe.writers.init(tx, pipe, 1);
  Pipe.readerOpens.init(tx, pipe, 1);
  Pipe.writerOpens.init(tx, pipe, 1);
  return pipe;
}

/** Reads up to `length` bytes into the segments; 0 at the end. `nonblock`: EAGAIN instead of a wait. */
function read(tx: Transaction, pipe: Pipe, length: number, nonblock: boolean | number): number {
  Pipe.lock.acquire(tx, pipe);
  if (length === 0) return 0;
  const head = Pipe.head.get(tx, pipe);
  const tail = Pipe.tail.get(tx, pipe);
  if (head === tail) {
    if (Pipe.writers.get(tx, pipe) === 0) return 0;
    if (nonblock) throw errno.EAGAIN;
    throw waitFor(tx, Pipe.readable.at(pipe));
  }
  const capacity = Pipe.capacity.get(tx, pipe);
  const count = Math.min((tail - head) >>> 0, length, PIPE_STEP);
  const wasFull = roomBetween(head, tail, capacity) < PIPE_PAGE;
  takeBytes(tx, pipe, count, head, tail, capacity);
  if (wasFull && pipeRoom(tx, pipe) >= PIPE_PAGE) signalCondition(tx, Pipe.writable.at(pipe));
  return count;
}

/**
 * Writes from the segments. Up to PIPE_BUF bytes go as a whole or not at all; of more, as many as there is
 * room for, and the caller calls again with the rest. EPIPE if nobody can read.
 */
function write(tx: Transaction, pipe: Pipe, length: number, nonblock: boolean | number): number {
  Pipe.lock.acquire(tx, pipe);
  if (length === 0) return 0;
  if (Pipe.readers.get(tx, pipe) === 0) throw errno.EPIPE;
  const head = Pipe.head.get(tx, pipe);
  const tail = Pipe.tail.get(tx, pipe);
  const capacity = Pipe.capacity.get(tx, pipe);
  const room = roomBetween(head, tail, capacity);
  if (room < length && (length <= PIPE_PAGE || room === 0)) {
    if (nonblock) throw errno.EAGAIN;
    throw waitFor(tx, Pipe.writable.at(pipe));
  }
  const count = Math.min(room, length, PIPE_STEP);
  putBytes(tx, pipe, count, tail, capacity);
  if (head === tail || hasWaiters(tx, Pipe.readable.at(pipe))) signalCondition(tx, Pipe.readable.at(pipe));
  return count;
}

/**
 * The POLL bits of a file with `ends`. `since` is the number of writers' opens when the file was opened: its
 * end shows POLLHUP only if there has been a writer since.
 */
function poll(tx: Transaction, pipe: Pipe, ends: number, since: number, note: boolean | number): number {
  Pipe.lock.acquire(tx, pipe);
  let bits = 0;
  if ((ends & END.READ) !== 0) {
    if (pipeUsed(tx, pipe) > 0) bits |= POLL.IN | POLL.RDNORM;
    if (Pipe.writers.get(tx, pipe) === 0 && Pipe.writerOpens.get(tx, pipe) !== since) bits |= POLL.HUP;
    if (note) noteWait(tx, Pipe.readable.at(pipe));
  }
  if ((ends & END.WRITE) !== 0) {
    if (pipeRoom(tx, pipe) >= PIPE_PAGE) bits |= POLL.OUT | POLL.WRNORM;
    if (Pipe.readers.get(tx, pipe) === 0) bits |= POLL.ERR;
    if (note) noteWait(tx, Pipe.writable.at(pipe));
  }
  return bits;
}

/** One open file with `ends` less; with the last one the pipe is gone. */
function close(tx: Transaction, pipe: Pipe, ends: number): void {
  lockBucket(tx, pipe);
  Pipe.lock.acquire(tx, pipe);
  let readers = Pipe.readers.get(tx, pipe);
  let writers = Pipe.writers.get(tx, pipe);
  if ((ends & END.READ) !== 0) readers = Pipe.readers.add(tx, pipe, -1);
  if ((ends & END.WRITE) !== 0) writers = Pipe.writers.add(tx, pipe, -1);
  if (readers + writers === 0) {
    // A thread may wait whose descriptor another thread has closed: it is woken before the record goes.
    signalCondition(tx, Pipe.readable.at(pipe));
    signalCondition(tx, Pipe.writable.at(pipe));
    unlinkFifo(tx, pipe);
    freePipe(tx, pipe);
    return;
  }
  if ((ends & END.WRITE) !== 0 && writers === 0) signalCondition(tx, Pipe.readable.at(pipe));
  if ((ends & END.READ) !== 0 && readers === 0) signalCondition(tx, Pipe.writable.at(pipe));
}

/** One more open file with `ends` of a pipe that is open already (an open of /proc/self/fd/N). */
function reopen(tx: Transaction, pipe: Pipe, ends: number): void {
  Pipe.lock.acquire(tx, pipe);
  addEnds(tx, pipe, ends);
}

/** Bytes that wait to be read (FIONREAD). */
function available(tx: Transaction, pipe: Pipe): number {
  Pipe.lock.acquire(tx, pipe);
  return pipeUsed(tx, pipe);
}

function capacity(tx: Transaction, pipe: Pipe): number {
  Pipe.lock.acquire(tx, pipe);
  return Pipe.capacity.get(tx, pipe);
}

/**
 * Sets the capacity to at least `bytes` and gives what it has become. EBUSY if more than that waits in the
 * pipe, EINVAL for 0 or more than 2^31, EPERM above the limit.
 */
function setCapacity(tx: Transaction, pipe: Pipe, bytes: number): number {
  if (bytes <= 0 || bytes > 2 ** 31) throw errno.EINVAL;
  let wanted = PIPE_PAGE;
  while (wanted < bytes) wanted *= 2;
  if (wanted > PIPE_MAX_BYTES) throw errno.EPERM;
  Pipe.lock.acquire(tx, pipe);
  const before = Pipe.capacity.get(tx, pipe);
  if (before - pipeRoom(tx, pipe) > wanted) throw errno.EBUSY;
  if (wanted !== before) resizePipe(tx, pipe, wanted);
  if (wanted > before) signalCondition(tx, Pipe.writable.at(pipe));
  return wanted;
}

export const pipeServer = defineServer("pipe", {
  create,
  read,
  write,
  poll,
  close,
  reopen,
  available,
  capacity,
  setCapacity,
  openFifo: (tx: Transaction, inode: Ref<"inode">, ends: number, nonblock: boolean | number): number =>
    openFifo(tx, inode, ends, Boolean(nonblock)),
  fifoTicket,
  awaitFifo,
});

const pipes = pipeServer.operations;

// The end that a file has, and the number of writers' opens that its POLLHUP counts from, in File.detail.
const END_BITS = 2;

function endsOf(tx: Transaction, file: File): number {
  return File.detail.get(tx, file) & (END.READ | END.WRITE);
}

function pipeOf(tx: Transaction, file: File): Pipe {
  return File.object.get(tx, file) as Pipe;
}

function makeFile(
  tx: Transaction,
  kind: FileKindName,
  pipe: number,
  flags: number,
  ends: number,
  since: number,
): File {
  const file = createFile(tx, kind, pipe, flags);
  File.detail.init(tx, file, ends | (since << END_BITS));
  return file;
}

const O_ACCMODE = 3;
const O_WRONLY = 1;

/** A pipe as pipe2(2) makes it: the files of its reading and of its writing end, with `flags` (O_NONBLOCK, …). */
export function createPipe(tx: Transaction, flags: number): readonly [File, File] {
  const pipe = pipes.create(tx);
  return [
    makeFile(tx, "pipe", pipe, flags, END.READ, 0),
    makeFile(tx, "pipe", pipe, flags | O_WRONLY, END.WRITE, 0),
  ];
}

/** What an open of a fifo gives: the file, and the ticket for {@link finishFifoOpen}, −1 if it need not wait. */
export interface FifoOpen {
  readonly file: File;
  readonly ticket: number;
}

/**
 * Opens the fifo of `inode` with open flags `flags`. If the ticket is not −1, the transaction commits, and the
 * open is complete when {@link finishFifoOpen} has returned; on a signal the file is dropped (dropFile).
 */
export function beginFifoOpen(
  tx: Transaction,
  inode: Ref<"inode">,
  flags: number,
  nonblock: boolean,
): FifoOpen {
  const mode = flags & O_ACCMODE;
  const ends = mode === 0 ? END.READ : mode === O_WRONLY ? END.WRITE : END.READ | END.WRITE;
  const pipe = pipes.openFifo(tx, inode, ends, nonblock) as Pipe;
  const ticket = pipes.fifoTicket(tx, pipe, ends);
  // Only a reader that did not wait for a writer asks whether there has been one since.
  const since = ends === END.READ && nonblock && ticket >= 0 ? ticket : 0;
  return { file: makeFile(tx, "fifo", pipe, flags, ends, since), ticket: nonblock ? -1 : ticket };
}

/** Waits (WOULD_BLOCK) until the other end of the fifo has been opened since the ticket. */
export function finishFifoOpen(tx: Transaction, file: File, ticket: number): void {
  pipes.awaitFifo(tx, pipeOf(tx, file), endsOf(tx, file), ticket);
}

/** A file of the same pipe as `file`, with its own access mode: an open of /proc/self/fd/N. */
export function reopenPipe(tx: Transaction, file: File, flags: number): File {
  const mode = flags & O_ACCMODE;
  const ends = mode === 0 ? END.READ : mode === O_WRONLY ? END.WRITE : END.READ | END.WRITE;
  pipes.reopen(tx, pipeOf(tx, file), ends);
  return makeFile(tx, "pipe", pipeOf(tx, file), flags, ends, 0);
}

/** Bytes that wait in the pipe of `file` (FIONREAD). */
export function pipeAvailable(tx: Transaction, file: File): number {
  return pipes.available(tx, pipeOf(tx, file));
}

/** fcntl(F_GETPIPE_SZ). */
export function pipeCapacity(tx: Transaction, file: File): number {
  return pipes.capacity(tx, pipeOf(tx, file));
}

/** fcntl(F_SETPIPE_SZ). */
export function setPipeCapacity(tx: Transaction, file: File, bytes: number): number {
  return pipes.setCapacity(tx, pipeOf(tx, file), bytes);
}

function fileKind(name: "pipe" | "fifo"): FileKind {
  return {
    name,
    read(tx, file, length, offset, nonblock) {
      if (offset !== -1) throw errno.ESPIPE;
      return pipes.read(tx, pipeOf(tx, file), length, nonblock);
    },
    write(tx, file, length, offset, nonblock) {
      if (offset !== -1) throw errno.ESPIPE;
      return pipes.write(tx, pipeOf(tx, file), length, nonblock);
    },
    poll(tx, file, note) {
      const since = File.detail.get(tx, file) >>> END_BITS;
      return pipes.poll(tx, pipeOf(tx, file), endsOf(tx, file), since, note);
    },
    release(tx, file) {
      pipes.close(tx, pipeOf(tx, file), endsOf(tx, file));
    },
  };
}

registerFileKind(fileKind("pipe"));
registerFileKind(fileKind("fifo"));
