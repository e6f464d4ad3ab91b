/**
 * Input and output by the host thread: requests that are committed first and waited for afterwards.
 *
 *     request                       host thread                    any hart
 *     -------                       -----------                    --------
 *     finds that a block is missing
 *     abandons its transaction
 *     marks the block "on its way",
 *     queues an I/O record, commits
 *     waits for the arrival ······▶ reads into the frames,
 *                                   marks the record done,  ·····▶ completeNextIo: marks the blocks present,
 *                                   wakes a hart                   frees the record, signals the arrival
 *     runs again from the beginning
 *
 * ## Abandoning
 *
 * An operation that needs a block finds out deep inside the transaction of a system call, which is going to be
 * rolled back, since it has to wait; but the request for the block must outlive that. So the operation itself
 * rolls the transaction back, at once, makes the request in a transaction of its own, commits that, and throws
 * WOULD_BLOCK: {@link abandon}. Whoever catches WOULD_BLOCK must therefore not go on with what it did before
 * (it could not anyway: it has to roll back), and finds no lock held.
 *
 * Rejected: a system transaction (it must not allocate, and its locks rank above those that guard the block
 * index, which the main transaction may hold); a list of demands that the scheduler carries out between
 * rollback and park (the same, with more hands).
 *
 * ## Invariants
 *
 *   I1  Every live I/O record is in exactly one entry of the table, and inFlight counts them.
 *
 * A request is PREPARED until its transaction has committed, and only then QUEUED, by a redo step: the host
 * thread, which reads the table at any time, must not begin what may still be rolled back.
 *
 * The host's side of the protocol is in base/host-io.ts. Locks: the completion lock is taken first of all by
 * whoever completes, so that one hart at a time does; the table's lock guards entries and counts.
 */

import { assert } from "../base/assert.ts";
import {
  IO_ARGUMENTS,
  IO_FRAMES,
  IO_KIND,
  IO_REQUEST,
  IO_ROOT,
  IO_ROOT_WORDS,
  IO_STATE,
  IO_TABLE,
  type IoKind,
} from "../base/host-io.ts";
import { LOCK_RANK } from "../base/lock-order.ts";
import { liveRecords, registerInvariant } from "../heap/check.ts";
import { type HeapAddr, type HeapView, placeRoot } from "../heap/heap.ts";
import { REDO, SLOT } from "../heap/layout.ts";
import { defineRecord, i32, type Ref, u32, words } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { signalCondition } from "./condition.ts";
import { clearWaits, WOULD_BLOCK } from "./request.ts";
import { registerRedo } from "./thread.ts";

/** An I/O request. The order of the fields is base/host-io.ts's. */
export const HostIo = defineRecord("host-io", {
  state: u32(),
  result: i32(),
  id: u32(),
  kind: u32(),
  device: u32(),
  block: u32(),
  count: u32(),
  arguments: words(IO_ARGUMENTS),
  frames: words(IO_FRAMES),
  /** The record on whose behalf it runs (a file system), and a word of its own. */
  owner: u32(),
  detail: u32(),
});
export type HostIo = Ref<"host-io">;
assert(
  HostIo.state.word === IO_REQUEST.state && HostIo.frames.word === IO_REQUEST.frames,
  "I/O layouts differ",
);

/** Words of the root after those of base/host-io.ts. */
const COMPLETION_LOCK = IO_ROOT_WORDS;

/**
 * Carries on when a request of some kind is done or has failed. The request's record is freed afterwards,
 * unless the answer is "keep": then somebody calls {@link releaseIo}.
 */
export type IoCompletion = (tx: Transaction, io: HostIo, failed: boolean) => "free" | "keep";

const completions: (IoCompletion | undefined)[] = [];

/** Says what follows the end of requests of `kind`. Once for each, when a module is loaded. */
export function registerIoCompletion(kind: IoKind, completion: IoCompletion): void {
  assert(completions[kind] === undefined, `completion of I/O kind ${kind} registered twice`);
  completions[kind] = completion;
}

/** Places the table. At boot. */
export function createHostIo(view: HeapView): void {
  placeRoot(view, "host-io", IO_ROOT_WORDS + 1);
}

/** Adds 1 to the heap's word at `value` and wakes who waits for it. A crash may make it happen twice. */
registerRedo(REDO.notify, (tx, value) => {
  Atomics.add(tx.words, value, 1);
  Atomics.notify(tx.words, value);
  return true;
});

/**
 * What a transaction has said of the request with id `value` is committed: sends it, or shows its answer. Done
 * twice after a crash, it finds that done, or the request gone.
 */
registerRedo(REDO.io, (tx, value) => {
  const w = tx.words;
  const root = tx.root("host-io");
  for (let entry = 0; entry < IO_TABLE; entry++) {
    const io = w[root + IO_ROOT.table + entry]! as HostIo;
    if (io === 0 || !HostIo.isLive(tx, io) || HostIo.id.get(tx, io) !== value >>> 0) continue;
    const { PREPARED, QUEUED, ANSWERED, KEPT } = IO_STATE;
    if (Atomics.compareExchange(w, HostIo.state.at(io), ANSWERED, KEPT) === ANSWERED) return true;
    Atomics.compareExchange(w, HostIo.state.at(io), PREPARED, QUEUED);
  }
  Atomics.add(w, root + IO_ROOT.submitted, 1);
  Atomics.notify(w, root + IO_ROOT.submitted);
  return true;
});

function lockTable(tx: Transaction): HeapAddr {
  const root = tx.root("host-io");
  tx.lock(root + IO_ROOT.lock, LOCK_RANK["host-io"]);
  return root;
}

/** Requests under way. */
export function ioInFlight(view: HeapView): number {
  return view.words[view.root("host-io") + IO_ROOT.inFlight]!;
}

/** The condition that is signalled when there is room for another request. */
export function ioRoom(view: HeapView): HeapAddr {
  return view.root("host-io") + IO_ROOT.room;
}

/**
 * Queues a request, to be sent at the commit; none if too many are under way (then wait for {@link ioRoom},
 * noted while the table's lock is held, as it is now).
 */
export function queueIo(
  tx: Transaction,
  kind: IoKind,
  device: number,
  owner: number,
  detail: number,
): HostIo {
  const root = lockTable(tx);
  const w = tx.words;
  const table = root + IO_ROOT.table;
  let entry = 0;
  while (entry < IO_TABLE && w[table + entry] !== 0) entry++;
  if (entry === IO_TABLE) return 0 as HostIo;
  const io = HostIo.allocate(tx);
  const id = (w[root + IO_ROOT.nextId]! + 1) >>> 0;
  HostIo.id.init(tx, io, id);
  HostIo.kind.init(tx, io, kind);
  HostIo.device.init(tx, io, device);
  HostIo.owner.init(tx, io, owner);
  HostIo.detail.init(tx, io, detail);
  tx.store(table + entry, io);
  tx.store(root + IO_ROOT.nextId, id | 0);
  tx.store(root + IO_ROOT.inFlight, w[root + IO_ROOT.inFlight]! + 1);
  tx.afterCommit(REDO.io, id | 0);
  return io;
}

/** Queues the reading of `frames.length` blocks from `block` on into frames that the caller has allocated. */
export function requestBlocks(
  tx: Transaction,
  device: number,
  block: number,
  frames: readonly number[],
  owner: number,
): HostIo {
  assert(frames.length > 0 && frames.length <= IO_FRAMES, "impossible number of blocks");
  const io = queueIo(tx, IO_KIND.READ_BLOCKS, device, owner, 0);
  if (io === 0) return io;
  HostIo.block.init(tx, io, block);
  HostIo.count.init(tx, io, frames.length);
  frames.forEach((frame, index) => HostIo.frames.init(tx, io, index, frame));
  return io;
}

/** Whether a request has been completed by the host and waits for {@link completeNextIo}. Needs no lock. */
export function hasCompletedIo(view: HeapView): boolean {
  return findCompleted(view) >= 0;
}

function findCompleted(view: HeapView): number {
  const table = view.root("host-io") + IO_ROOT.table;
  for (let entry = 0; entry < IO_TABLE; entry++) {
    const io = view.words[table + entry]!;
    if (io === 0 || !HostIo.isLive(view, io)) continue;
    const state = Atomics.load(view.words, io + IO_REQUEST.state);
    if (state === IO_STATE.DONE || state === IO_STATE.FAILED) return entry;
  }
  return -1;
}

/**
 * Carries on after one request that the host has completed; false if there is none. A transaction of its own:
 * the caller commits, and calls again until there is none.
 */
export function completeNextIo(tx: Transaction): boolean {
  const root = tx.root("host-io");
  tx.lock(root + COMPLETION_LOCK, LOCK_RANK["io-completion"]);
  const entry = findCompleted(tx);
  if (entry < 0) return false;
  const io = tx.words[root + IO_ROOT.table + entry]! as HostIo;
  const completion = completions[HostIo.kind.get(tx, io)];
  assert(completion !== undefined, `nobody waits for I/O of kind ${HostIo.kind.get(tx, io)}`);
  if (completion(tx, io, HostIo.state.get(tx, io) !== IO_STATE.DONE) === "keep") {
    HostIo.state.set(tx, io, IO_STATE.ANSWERED);
    tx.afterCommit(REDO.io, HostIo.id.get(tx, io) | 0);
  } else {
    releaseIo(tx, io);
  }
  return true;
}

/** Frees the record of a request that has been completed. Its frames are the caller's. */
export function releaseIo(tx: Transaction, io: HostIo): void {
  const root = lockTable(tx);
  const w = tx.words;
  for (let entry = 0; entry < IO_TABLE; entry++) {
    if (w[root + IO_ROOT.table + entry] === io) tx.store(root + IO_ROOT.table + entry, 0);
  }
  tx.store(root + IO_ROOT.inFlight, w[root + IO_ROOT.inFlight]! - 1);
  HostIo.free(tx, io);
  signalCondition(tx, root + IO_ROOT.room);
}

/** The requests in the table, in no order. Whoever changes something about them holds the table's lock. */
export function* eachIo(view: HeapView): Generator<HostIo> {
  const table = view.root("host-io") + IO_ROOT.table;
  for (let entry = 0; entry < IO_TABLE; entry++) {
    const io = view.words[table + entry]! as HostIo;
    if (io !== 0) yield io;
  }
}

/** Takes the lock of the table of requests. */
export function lockIo(tx: Transaction): void {
  lockTable(tx);
}

/**
 * Gives up what the open transaction has done, runs `start` (which queues what is missing and notes the
 * condition that will tell of it) in a transaction of its own, commits that, and throws WOULD_BLOCK.
 */
export function abandon(tx: Transaction, start: (tx: Transaction) => void): never {
  assert(!tx.inSystem, "a system transaction cannot wait");
  tx.rollback();
  clearWaits(tx);
  start(tx);
  tx.commit();
  tx.words[tx.slotAt + SLOT.diskWait] = 1;
  throw WOULD_BLOCK;
}

registerInvariant({
  id: "I1",
  statement: "every live I/O record is in exactly one entry of the table, and inFlight counts them",
  check(view, report) {
    const root = view.root("host-io");
    if (root === 0) return;
    const entries = new Map<number, number>();
    for (let i = 0; i < IO_TABLE; i++) {
      const io = view.words[root + IO_ROOT.table + i]!;
      if (io !== 0) entries.set(io, (entries.get(io) ?? 0) + 1);
    }
    let live = 0;
    for (const io of liveRecords(view, HostIo.schema)) {
      live++;
      if (entries.get(io) !== 1) report(`I/O record ${io} is in ${entries.get(io) ?? 0} entries`);
      entries.delete(io);
    }
    for (const io of entries.keys()) report(`the I/O table names ${io}, which is no live record`);
    if (view.words[root + IO_ROOT.inFlight] !== live) report(`inFlight is not ${live}`);
  },
});
