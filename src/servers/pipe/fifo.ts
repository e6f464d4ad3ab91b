/**
 * Fifos: which pipe belongs to which inode, and opening one.
 *
 * An inode of a fifo has a pipe from its first open to its last close. The pipes of inodes hang on the lists
 * of a fixed number of buckets, placed at boot before any record, so that a bucket's lock (rank "pipe") is
 * taken before the lock of a pipe by address, too.
 *
 * Opening waits in the second manner (rule R1): the opener first commits its open end, for the other side to
 * see, and remembers how often the other end had been opened (its ticket); then it waits until that number
 * has changed. So two openers always meet, even if one of them has closed again before the other has run.
 */

import { errno } from "../../base/errno.ts";
import { LOCK_RANK } from "../../base/lock-order.ts";
import { liveRecords, registerInvariant } from "../../heap/check.ts";
import { type HeapAddr, type HeapView, placeRoot } from "../../heap/heap.ts";
import { next, previous } from "../../heap/list.ts";
import { none, type Ref } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { waitFor } from "../../kernel/request.ts";
import { END, newPipe, Pipe } from "./pipe.ts";

const BUCKETS = 64;
/** Words of a bucket: its lock, its first pipe. A cache line, so that neighbours do not disturb each other. */
const BUCKET_WORDS = 16;

/** Places the buckets. Once, at boot, before the first record is allocated. */
export function placeFifos(view: HeapView): void {
  placeRoot(view, "fifos", BUCKETS * BUCKET_WORDS);
}

function bucketOf(view: HeapView, inode: Ref<"inode">): HeapAddr {
  return view.root("fifos") + ((Math.imul(inode, 0x9e3779b1) >>> 16) % BUCKETS) * BUCKET_WORDS;
}

/** Locks the inode's bucket and gives its pipe, none if it has none. */
function findPipe(tx: Transaction, inode: Ref<"inode">): Pipe {
  const bucket = bucketOf(tx, inode);
  tx.lock(bucket, LOCK_RANK.pipe);
  let pipe = tx.words[bucket + 1]! as Pipe;
  while (pipe !== 0 && Pipe.inode.get(tx, pipe) !== inode) pipe = next(tx, Pipe.links, pipe);
  return pipe;
}

/**
 * Opens the fifo of `inode` with `ends` (of END) and gives its pipe; the open end counts from now on, so the
 * caller makes a file of it in the same transaction. What remains is {@link awaitFifo}. With `nonblock`, a
 * writer that finds no reader gets ENXIO.
 */
export function openFifo(tx: Transaction, inode: Ref<"inode">, ends: number, nonblock: boolean): Pipe {
  let pipe = findPipe(tx, inode);
  if (nonblock && ends === END.WRITE && (pipe === 0 || Pipe.readers.get(tx, pipe) === 0)) throw errno.ENXIO;
  if (pipe === 0) {
    pipe = newPipe(tx);
    const bucket = bucketOf(tx, inode);
    const first = tx.words[bucket + 1]! as Pipe;
    Pipe.inode.init(tx, pipe, inode);
    tx.storeFresh(pipe + Pipe.links.word, first);
    if (first !== 0) tx.store(first + Pipe.links.word + 1, pipe);
    tx.store(bucket + 1, pipe);
  }
  Pipe.lock.acquire(tx, pipe);
  addEnds(tx, pipe, ends);
  return pipe;
}

/** One more open file with `ends`. The pipe is locked. */
export function addEnds(tx: Transaction, pipe: Pipe, ends: number): void {
  if ((ends & END.READ) !== 0) {
    Pipe.readers.add(tx, pipe, 1);
    Pipe.readerOpens.set(tx, pipe, Pipe.readerOpens.get(tx, pipe) + 1);
  }
  if ((ends & END.WRITE) !== 0) {
    Pipe.writers.add(tx, pipe, 1);
    Pipe.writerOpens.set(tx, pipe, Pipe.writerOpens.get(tx, pipe) + 1);
  }
  signalCondition(tx, Pipe.opened.at(pipe));
}

/**
 * The opener's ticket: how often the other end has been opened, or −1 if there is nothing to wait for. To be
 * asked in the transaction that opened.
 */
export function fifoTicket(tx: Transaction, pipe: Pipe, ends: number): number {
  if (ends === END.READ) return Pipe.writers.get(tx, pipe) > 0 ? -1 : Pipe.writerOpens.get(tx, pipe);
  if (ends === END.WRITE) return Pipe.readers.get(tx, pipe) > 0 ? -1 : Pipe.readerOpens.get(tx, pipe);
  return -1;
}

/** Waits until the other end has been opened since the ticket was drawn. */
export function awaitFifo(tx: Transaction, pipe: Pipe, ends: number, ticket: number): void {
  Pipe.lock.acquire(tx, pipe);
  const opens = ends === END.READ ? Pipe.writerOpens.get(tx, pipe) : Pipe.readerOpens.get(tx, pipe);
  if (opens === ticket) throw waitFor(tx, Pipe.opened.at(pipe));
}

/** Takes the lock of the bucket of a fifo's pipe, which comes before the pipe's own. */
export function lockBucket(tx: Transaction, pipe: Pipe): void {
  const inode = Pipe.inode.get(tx, pipe);
  if (inode !== 0) tx.lock(bucketOf(tx, inode), LOCK_RANK.pipe);
}

/** Takes the pipe off the list of its bucket, which is locked. */
export function unlinkFifo(tx: Transaction, pipe: Pipe): void {
  const inode = Pipe.inode.get(tx, pipe);
  if (inode === 0) return;
  const after = next(tx, Pipe.links, pipe);
  const before = previous(tx, Pipe.links, pipe);
  tx.store(before === 0 ? bucketOf(tx, inode) + 1 : before + Pipe.links.word, after);
  if (after !== 0) tx.store(after + Pipe.links.word + 1, before);
  tx.store(pipe + Pipe.links.word, none());
  tx.store(pipe + Pipe.links.word + 1, none());
}

registerInvariant({
  id: "PI4",
  statement: "the pipe of an inode is on the list of its bucket, once; the pipes of no inode are on none",
  check(view, report) {
    const listed = new Set<number>();
    const root = view.root("fifos");
    for (let i = 0; root !== 0 && i < BUCKETS; i++) {
      let pipe = view.words[root + i * BUCKET_WORDS + 1]! as Pipe;
      for (
        ;
        pipe !== 0 && Pipe.isLive(view, pipe) && !listed.has(pipe);
        pipe = next(view, Pipe.links, pipe)
      ) {
        listed.add(pipe);
        const inode = Pipe.inode.get(view, pipe);
        if (inode === 0 || bucketOf(view, inode) !== root + i * BUCKET_WORDS) {
          report(`pipe ${pipe} of inode ${inode} is in bucket ${i}`);
        }
      }
      if (pipe !== 0) report(`the list of bucket ${i} leads to ${pipe}, seen before or not live`);
    }
    for (const pipe of liveRecords(view, Pipe.schema)) {
      if ((Pipe.inode.get(view, pipe) !== 0) !== listed.has(pipe)) {
        report(
          `pipe ${pipe} of inode ${Pipe.inode.get(view, pipe)} is ${listed.has(pipe) ? "" : "not "}listed`,
        );
      }
    }
  },
});
