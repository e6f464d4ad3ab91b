/**
 * Epolls: sets of watched files, and the list of those that may be ready.
 *
 *     condition of a file ──▶ waiter (entry) ──▶ waiter (task) …        as for any wait (condition.ts)
 *                                │ signalled: announced by the waker, after its commit
 *                                ▼
 *     eventpoll.ready ──▶ entry ──▶ entry …          eventpoll.readable: who waits for that
 *                          │ asked again by the reader: is it ready now?
 *                          ▼
 *                     told, and back on the list (level), or off it (edge, one-shot, not ready)
 *
 * An entry is registered for the conditions that its file's poll notes, and stays so. A signal puts it on the list
 * of its epoll; nothing is scanned. Readers ask each listed file again, so an entry on the list says "may be", and a
 * file that is ready is always on the list (E3). docs/design/events.md has the argument.
 *
 * Two locks. `Kernel.watching` (rank "epoll"), one for all epolls because they nest, guards which epoll watches
 * what. The scheduler's lock guards registrations and lists of ready entries, because wakers change those.
 * A file is asked with `watching` held; its own locks stay held until the answer is acted upon.
 *
 * Invariants
 *   E1  An entry is on the list of its epoll and on that of its file, once each.
 *   E2  An entry is on its epoll's ready list if and only if it says so (queued).
 *   E3  An entry whose file is ready for something that it asks for, and was not told by edge or one-shot since,
 *       is queued. (What makes a file ready signals; no check can see it from the records alone.)
 *   E4  Each waiter of an entry is on the list of a condition, which lies in a live record.
 *   E5  No epoll watches itself, directly or through others.
 */

import { errno } from "../../base/errno.ts";
import { redoFree } from "../../heap/allocator.ts";
import { liveRecords, registerInvariant } from "../../heap/check.ts";
import type { HeapView } from "../../heap/heap.ts";
import { REDO, SLOT } from "../../heap/layout.ts";
import { append, each, next, remove } from "../../heap/list.ts";
import { rollbackTo, savepoint } from "../../heap/savepoint.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { CONDITION, hasWaiters, signalCondition } from "../../kernel/condition.ts";
import { File, FILE_KINDS, kindOf, releaseFile } from "../../kernel/file.ts";
import { kernelOf } from "../../kernel/process.ts";
import { bytesToSegments, clearWaits, noteWait } from "../../kernel/request.ts";
import {
  lockReady,
  queueEntry,
  registerEntry,
  unqueueEntry,
  unregisterEntry,
} from "../../kernel/scheduler.ts";
import { Eventpoll, Kernel, PollEntry, Waiter, WATCH } from "../../kernel/task.ts";
import { registerRedo } from "../../kernel/thread.ts";
import { dropAfterCommit, registerDrop } from "../server.ts";

/** Bytes of struct epoll_event on riscv64, which pads it. */
export const EPOLL_EVENT_BYTES = 16;
/** Epolls in a chain (EP_MAX_NESTS of Linux, and the last). */
const NESTING_MAX = 5;
/** Entries that one step of the end of an epoll or of a file gives up. */
const FORGET_STEP = 8;

const EPOLL = FILE_KINDS.indexOf("eventpoll");

/** Takes the lock of everything that is watched. */
export function lockWatching(tx: Transaction): void {
  Kernel.watching.acquire(tx, kernelOf(tx));
}

/** A new epoll that watches nothing. */
export function createPoll(tx: Transaction): number {
  return Eventpoll.allocate(tx);
}

function findEntry(view: HeapView, poll: Eventpoll, file: File, descriptor: number): PollEntry {
  for (const entry of each(view, File.watches, file, PollEntry.fileLinks)) {
    if (PollEntry.poll.get(view, entry) === poll && PollEntry.descriptor.get(view, entry) === descriptor)
      return entry;
  }
  return 0 as PollEntry;
}

/** Asks the entry's file for what the entry wants; the conditions are noted. */
function ask(tx: Transaction, entry: PollEntry): number {
  const file = PollEntry.file.get(tx, entry);
  clearWaits(tx);
  return kindOf(tx, file).poll(tx, file, true) & PollEntry.events.get(tx, entry) & ~WATCH.PRIVATE;
}

// What poll has noted, in the request's slot: pairs of condition and counter.
const notedCount = (tx: Transaction): number => tx.words[tx.slotAt + SLOT.waitCount]!;
const notedAt = (tx: Transaction, index: number): number => tx.slotAt + SLOT.waits + index * 2;

/** Whether a condition that the last answer depends on has been signalled since. With the scheduler's lock held. */
function isStale(tx: Transaction): boolean {
  for (let i = 0; i < notedCount(tx); i++) {
    const pair = notedAt(tx, i);
    if (Atomics.load(tx.words, tx.words[pair]! + CONDITION.counter) !== tx.words[pair + 1]) return true;
  }
  return false;
}

/** Whether the entry is registered for exactly the conditions that its file has just noted. */
function isRegistered(tx: Transaction, entry: PollEntry): boolean {
  let waiter = PollEntry.waiters.first(tx, entry);
  for (let i = 0; i < notedCount(tx); i++) {
    if (waiter === 0 || Waiter.condition.get(tx, waiter) !== tx.words[notedAt(tx, i)]) return false;
    waiter = next(tx, Waiter.taskLinks, waiter);
  }
  return waiter === 0;
}

/** Registers the entry for the conditions that its file has just noted. With the scheduler's lock held. */
function register(tx: Transaction, entry: PollEntry): void {
  if (isRegistered(tx, entry)) return;
  unregisterEntry(tx, entry);
  for (let i = 0; i < notedCount(tx); i++) registerEntry(tx, entry, tx.words[notedAt(tx, i)]!);
}

/** The file is asked; if it is ready now, its entry is queued, and who waits for that is woken. */
function look(tx: Transaction, entry: PollEntry): void {
  const bits = ask(tx, entry);
  lockReady(tx);
  register(tx, entry);
  clearWaits(tx);
  if (bits === 0 || PollEntry.queued.get(tx, entry) !== 0) return;
  queueEntry(tx, entry);
  signalCondition(tx, Eventpoll.readable.at(PollEntry.poll.get(tx, entry)));
}

/** EPOLL_CTL_ADD. Throws EEXIST, ELOOP, EINVAL. */
export function watch(
  tx: Transaction,
  poll: Eventpoll,
  file: File,
  descriptor: number,
  events: number,
  dataLow: number,
  dataHigh: number,
): void {
  lockWatching(tx);
  if (findEntry(tx, poll, file, descriptor) !== 0) throw errno.EEXIST;
  checkNesting(tx, poll, file);
  const entry = PollEntry.allocate(tx);
  PollEntry.poll.init(tx, entry, poll);
  PollEntry.file.init(tx, entry, file);
  PollEntry.descriptor.init(tx, entry, descriptor);
  PollEntry.events.init(tx, entry, events);
  PollEntry.data.init(tx, entry, 0, dataLow);
  PollEntry.data.init(tx, entry, 1, dataHigh);
  append(tx, Eventpoll.entries, poll, PollEntry.links, entry);
  append(tx, File.watches, file, PollEntry.fileLinks, entry);
  look(tx, entry);
}

/** EPOLL_CTL_MOD. Throws ENOENT, and EINVAL for an entry that asked to be alone. */
export function rewatch(
  tx: Transaction,
  poll: Eventpoll,
  file: File,
  descriptor: number,
  events: number,
  dataLow: number,
  dataHigh: number,
): void {
  lockWatching(tx);
  const entry = findEntry(tx, poll, file, descriptor);
  if (entry === 0) throw errno.ENOENT;
  if ((PollEntry.events.get(tx, entry) & WATCH.EXCLUSIVE) !== 0) throw errno.EINVAL;
  PollEntry.events.set(tx, entry, events);
  PollEntry.data.set(tx, entry, 0, dataLow);
  PollEntry.data.set(tx, entry, 1, dataHigh);
  look(tx, entry);
}

/** EPOLL_CTL_DEL. Throws ENOENT. */
export function unwatch(tx: Transaction, poll: Eventpoll, file: File, descriptor: number): void {
  lockWatching(tx);
  const entry = findEntry(tx, poll, file, descriptor);
  if (entry === 0) throw errno.ENOENT;
  forget(tx, entry);
}

/** Takes an entry off everything and frees it, with `watching` held. */
function forget(tx: Transaction, entry: PollEntry): void {
  lockReady(tx);
  unregisterEntry(tx, entry);
  unqueueEntry(tx, entry);
  remove(tx, Eventpoll.entries, PollEntry.poll.get(tx, entry), PollEntry.links, entry);
  remove(tx, File.watches, PollEntry.file.get(tx, entry), PollEntry.fileLinks, entry);
  if (tx.inSystem) redoFree(tx, entry);
  else PollEntry.free(tx, entry);
}

// Nesting.

/** Levels of epolls from `poll` down; Infinity if `avoid` is among them. */
function depthBelow(view: HeapView, poll: Eventpoll, avoid: Eventpoll, left: number): number {
  if (poll === avoid || left === 0) return Number.POSITIVE_INFINITY;
  let depth = 0;
  for (const entry of each(view, Eventpoll.entries, poll, PollEntry.links)) {
    const file = PollEntry.file.get(view, entry);
    if (File.kind.get(view, file) !== EPOLL) continue;
    depth = Math.max(depth, depthBelow(view, File.object.get(view, file) as Eventpoll, avoid, left - 1));
  }
  return depth + 1;
}

/** Levels of epolls from `poll` up: those that watch it, and theirs. */
function depthAbove(view: HeapView, poll: Eventpoll): number {
  let depth = 0;
  const file = Eventpoll.file.get(view, poll);
  for (const entry of each(view, File.watches, file, PollEntry.fileLinks))
    depth = Math.max(depth, depthAbove(view, PollEntry.poll.get(view, entry)));
  return depth + 1;
}

/** Throws ELOOP if the epoll would watch itself, or too long a chain of others. */
function checkNesting(view: HeapView, poll: Eventpoll, file: File): void {
  if (File.kind.get(view, file) !== EPOLL) return;
  const below = depthBelow(view, File.object.get(view, file) as Eventpoll, poll, NESTING_MAX);
  if (below + depthAbove(view, poll) > NESTING_MAX) throw errno.ELOOP;
}

// Asking.

/**
 * Drops the entry, whose file has just said that it is not ready, from the ready list: final at once, whatever
 * becomes of the request. Not if the answer is old by now (what an epoll says is guarded by no lock of its own):
 * then the file is asked again.
 */
function settleIdle(tx: Transaction, entry: PollEntry): void {
  tx.beginSystem();
  lockReady(tx);
  if (!isStale(tx)) unqueueEntry(tx, entry);
  tx.endSystem();
}

/**
 * The first entry of the list whose file is ready, with the bits that it has; the file's locks are held. None if
 * there is none, or the next was told in `round` already.
 */
function firstReady(
  tx: Transaction,
  poll: Eventpoll,
  round: number,
): { readonly entry: PollEntry; readonly bits: number } | undefined {
  for (;;) {
    const entry = Eventpoll.ready.first(tx, poll);
    if (entry === 0 || (round !== 0 && PollEntry.round.get(tx, entry) === round)) return undefined;
    const mark = savepoint(tx);
    const bits = ask(tx, entry);
    if (bits !== 0) return { entry, bits };
    settleIdle(tx, entry);
    rollbackTo(tx, mark);
  }
}

/**
 * Tells one event: writes its struct epoll_event into the segments, and gives the number of the round, which the
 * caller hands back when it asks for more. 0 if there is nothing (more); then the condition to wait for is noted.
 */
export function harvest(tx: Transaction, poll: Eventpoll, round: number): number {
  lockWatching(tx);
  const readable = Eventpoll.readable.at(poll);
  const seen = tx.words[readable + CONDITION.counter]!;
  const found = firstReady(tx, poll, round);
  if (found === undefined) {
    clearWaits(tx);
    noteSeen(tx, readable, seen);
    return 0;
  }
  const { entry, bits } = found;
  lockReady(tx);
  register(tx, entry);
  clearWaits(tx);
  unqueueEntry(tx, entry);
  const events = PollEntry.events.get(tx, entry);
  let told = round;
  if (told === 0) {
    told = (Eventpoll.round.get(tx, poll) + 1) & 0x7fff_ffff || 1;
    Eventpoll.round.set(tx, poll, told);
  }
  PollEntry.round.set(tx, entry, told);
  if ((events & WATCH.ONESHOT) !== 0) PollEntry.events.set(tx, entry, events & WATCH.PRIVATE);
  else if ((events & WATCH.EDGE) === 0) queueEntry(tx, entry);
  const view = new DataView(new ArrayBuffer(EPOLL_EVENT_BYTES));
  view.setInt32(0, bits, true);
  view.setInt32(8, PollEntry.data.get(tx, entry, 0), true);
  view.setInt32(12, PollEntry.data.get(tx, entry, 1), true);
  bytesToSegments(tx, 0, new Uint8Array(view.buffer));
  return told;
}

/** Notes a wait for a condition as its counter was before the caller looked. */
function noteSeen(tx: Transaction, condition: number, seen: number): void {
  noteWait(tx, condition);
  tx.words[notedAt(tx, notedCount(tx) - 1) + 1] = seen;
}

/** Whether an entry of the epoll is ready, for those who poll the epoll itself. */
export function isReadable(tx: Transaction, poll: Eventpoll, note: boolean | number): number {
  lockWatching(tx);
  const readable = Eventpoll.readable.at(poll);
  // Asking the entries notes their conditions; what was noted before is put back behind that.
  const noted = tx.words.slice(notedAt(tx, 0), notedAt(tx, notedCount(tx)));
  const seen = tx.words[readable + CONDITION.counter]!;
  const found = firstReady(tx, poll, 0);
  clearWaits(tx);
  tx.words.set(noted, notedAt(tx, 0));
  tx.words[tx.slotAt + SLOT.waitCount] = noted.length / 2;
  if (note) noteSeen(tx, readable, seen);
  return found === undefined ? 0 : 1;
}

// The end of an epoll and of a watched file.

registerDrop("eventpoll", (tx, poll) => {
  lockWatching(tx);
  for (let i = 0; i < FORGET_STEP; i++) {
    const entry = Eventpoll.entries.first(tx, poll);
    if (entry === 0) {
      const readable = Eventpoll.readable.at(poll);
      if (hasWaiters(tx, readable)) {
        // Threads whose descriptor another thread has closed are woken first.
        signalCondition(tx, readable);
        dropAfterCommit(tx, poll);
      } else redoFree(tx, poll);
      return true;
    }
    forget(tx, entry);
  }
  return false;
});

registerRedo(REDO.unwatch, (tx, value) => {
  const file = value as File;
  if (File.watches.isEmpty(tx, file)) {
    releaseFile(tx, file);
    return true;
  }
  lockWatching(tx);
  for (let i = 0; i < FORGET_STEP; i++) {
    const entry = File.watches.first(tx, file);
    if (entry === 0) break;
    forget(tx, entry);
  }
  return false;
});

registerInvariant({
  id: "E1",
  statement: "an entry is on the list of its epoll and on that of its file, once each",
  check(view, report) {
    const counts = new Map<number, number>();
    const count = (entry: number, weight: number): void => {
      counts.set(entry, (counts.get(entry) ?? 0) + weight);
    };
    for (const poll of liveRecords(view, Eventpoll.schema)) {
      for (const entry of each(view, Eventpoll.entries, poll, PollEntry.links)) {
        count(entry, 1);
        if (PollEntry.poll.get(view, entry) !== poll)
          report(`entry ${entry} is on the list of epoll ${poll}`);
      }
    }
    for (const file of liveRecords(view, File.schema)) {
      for (const entry of each(view, File.watches, file, PollEntry.fileLinks)) {
        count(entry, 100);
        if (PollEntry.file.get(view, entry) !== file) report(`entry ${entry} is on the list of file ${file}`);
      }
    }
    for (const entry of liveRecords(view, PollEntry.schema)) {
      if (counts.get(entry) !== 101)
        report(`entry ${entry} is on ${counts.get(entry) ?? 0} lists (100: of files)`);
    }
  },
});

registerInvariant({
  id: "E2",
  statement: "an entry is on its epoll's ready list if and only if it says so",
  check(view, report) {
    const listed = new Set<number>();
    for (const poll of liveRecords(view, Eventpoll.schema)) {
      for (const entry of each(view, Eventpoll.ready, poll, PollEntry.readyLinks)) {
        if (listed.has(entry) || PollEntry.poll.get(view, entry) !== poll)
          report(`entry ${entry} is on the ready list of ${poll}`);
        if (listed.has(entry)) break;
        listed.add(entry);
      }
    }
    for (const entry of liveRecords(view, PollEntry.schema)) {
      if ((PollEntry.queued.get(view, entry) !== 0) !== listed.has(entry))
        report(`entry ${entry} says ${PollEntry.queued.get(view, entry)}; listed: ${listed.has(entry)}`);
    }
  },
});

registerInvariant({
  id: "E4",
  statement: "each waiter of an entry is on the list of its condition",
  check(view, report) {
    for (const entry of liveRecords(view, PollEntry.schema)) {
      for (const waiter of each(view, PollEntry.waiters, entry, Waiter.taskLinks)) {
        if (!Waiter.isLive(view, waiter) || Waiter.entry.get(view, waiter) !== entry) {
          report(`waiter ${waiter} of entry ${entry} is not its own`);
          break;
        }
        let other = view.words[Waiter.condition.get(view, waiter) + CONDITION.waiters]! as Waiter;
        for (let i = 0; other !== 0 && other !== waiter && i < 10_000; i++)
          other = view.words[other + Waiter.conditionLinks.word]! as Waiter;
        if (other !== waiter) report(`waiter ${waiter} of entry ${entry} is not on its condition's list`);
      }
    }
  },
});

registerInvariant({
  id: "E5",
  statement: "no epoll watches itself, directly or through others",
  check(view, report) {
    for (const poll of liveRecords(view, Eventpoll.schema)) {
      for (const entry of each(view, Eventpoll.entries, poll, PollEntry.links)) {
        const file = PollEntry.file.get(view, entry);
        if (!File.isLive(view, file) || File.kind.get(view, file) !== EPOLL) continue;
        const below = depthBelow(view, File.object.get(view, file) as Eventpoll, poll, NESTING_MAX);
        if (below > NESTING_MAX) report(`epoll ${poll} watches itself, or a chain of ${below}`);
      }
    }
  },
});
