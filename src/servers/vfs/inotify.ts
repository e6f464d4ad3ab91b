/**
 * inotify(7): who watches which inode, and the events that wait to be read.
 *
 *     Inotify ──watches──▶ Watch ◀──watches── Inode
 *        └────queue──▶ Notice, Notice, …     (the watches that an event concerns append to their Inotify's queue)
 *
 * One lock, VfsState.notifying (rank "event"), guards all of it, and the directory and name of a dirent besides the
 * vfs lock: so an event is told with no more than that lock, by whoever reads, writes, opens or closes. The operations
 * tell it where their other locks rank before it, in the transaction of the change; it commits or vanishes with it.
 * Without a single watch on the machine (VfsState.watches) nothing of this happens, and nothing is locked.
 *
 * An operation tells at most TOLD_MAX events, since its log, its redo list and the ring of a stock are bounded. Instances
 * beyond lose theirs, and get IN_Q_OVERFLOW in its place by a redo step, as they do when their queue is full. Events that
 * wait are bounded for the machine, too: when they are many, each queue may hold few.
 *
 * Instances and watches are charged to the user who made the instance (account.ts).
 *
 * The end of a file's last name comes in a redo step, which must not allocate. So a watch keeps the notices of its
 * own end in reserve (IN_DELETE_SELF, IN_IGNORED), and an instance that of its overflow.
 *
 * A watch holds a reference to its inode.
 *
 * Invariants
 *   N1  A watch is on the lists of its inode and its instance once each, the machine counts all watches, and each has
 *       its two notices in reserve.
 *   N2  A notice is on one queue once, or in reserve once; an instance counts the notices of its queue and their bytes.
 *   N3  An instance belongs to one open file.
 *   N4  An instance is on the list of losers if and only if it says so; the machine counts the notices of all queues.
 *   N5  Users are charged for their instances and those's watches.
 *
 * Rejected: *a lock for each instance*: an event of a rename concerns several, in whatever order their addresses have.
 * *Telling events in redo steps*: they would come after the call returned to nobody's harm, but what they name may be
 * gone by then, so each would have to hold it.
 */

import { errno } from "../../base/errno.ts";
import { redoFree } from "../../heap/allocator.ts";
import type { HeapView } from "../../heap/heap.ts";
import { REDO } from "../../heap/layout.ts";
import { append, each, remove } from "../../heap/list.ts";
import { bytes, condition, defineRecord, link, list, none, ref, type Ref, u32 } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { chargeFor, creditFor, User } from "../../kernel/account.ts";
import { hasWaiters, signalCondition } from "../../kernel/condition.ts";
import { POLL } from "../../kernel/file.ts";
import { bytesToSegments, noteWait, waitFor } from "../../kernel/request.ts";
import { registerRedo } from "../../kernel/thread.ts";
import { dropAfterCommit, registerDrop } from "../server.ts";
import { NAME_MAX, type NameBytes, sameName } from "./names.ts";
import { Inode, VfsState } from "./records.ts";
import { stateOf } from "./state.ts";

/** Bits of events and watches (inotify(7)). */
export const IN = {
  ACCESS: 1,
  MODIFY: 2,
  ATTRIB: 4,
  CLOSE_WRITE: 8,
  CLOSE_NOWRITE: 16,
  OPEN: 32,
  MOVED_FROM: 64,
  MOVED_TO: 128,
  CREATE: 256,
  DELETE: 512,
  DELETE_SELF: 1024,
  MOVE_SELF: 2048,
  Q_OVERFLOW: 0x4000,
  IGNORED: 0x8000,
  ONLYDIR: 0x100_0000,
  DONT_FOLLOW: 0x200_0000,
  EXCL_UNLINK: 0x400_0000,
  MASK_CREATE: 0x1000_0000,
  MASK_ADD: 0x2000_0000,
  ISDIR: 0x4000_0000,
  ONESHOT: 0x8000_0000,
} as const;
export const IN_EVENTS = 0xfff;
/** What a watch keeps of its mask. */
const KEPT: number = IN_EVENTS | IN.EXCL_UNLINK | IN.ONESHOT;

/** Events that may wait in one queue; the next one is IN_Q_OVERFLOW (max_queued_events). */
export const QUEUE_MAX = 16384;
/** Events that may wait in all queues before each may hold QUEUE_SHARE only. */
const NOTICES_MANY = 32768;
const QUEUE_SHARE = 128;
/** Instances and watches that a user may have (max_user_instances, max_user_watches). */
const USER_INSTANCES_MAX = 128;
const USER_WATCHES_MAX = 8192;
/** Watches that one inode may have. */
const WATCHERS_MAX = 64;
/** Events that one transaction tells, and watches that it ends. */
const TOLD_MAX = 24;
/** Instances that one step tells of their loss. */
const LOSERS_STEP = 8;
/** Events that one read gives at most, so that its log stays bounded. */
const READ_STEP = 64;
/** Things that one step of the end of an instance gives up. */
const END_STEP = 8;
/** struct inotify_event without its name; names are padded to a multiple of it. */
const EVENT_BYTES = 16;

export const Notice = defineRecord("notice", {
  links: link(),
  wd: u32(),
  mask: u32(),
  cookie: u32(),
  nameLength: u32(),
  name: bytes(NAME_MAX + 1),
});
export type Notice = Ref<"notice">;

export const Inotify = defineRecord("inotify", {
  queue: list("notice"),
  count: u32(),
  /** Of the queue, as read(2) gives them. */
  bytes: u32(),
  readable: condition(),
  /** In reserve for IN_Q_OVERFLOW; none while that is in the queue. */
  overflow: ref("notice"),
  watches: list("watch"),
  watchCount: u32(),
  lastWd: u32(),
  /** Who is charged for it (account.ts). */
  account: u32(),
  /** 1 while it is on the list of those that have lost an event. */
  loses: u32(),
  loserLinks: link(),
});
export type Inotify = Ref<"inotify">;

export const Watch = defineRecord("watch", {
  instance: ref("inotify"),
  inode: ref("inode"),
  wd: u32(),
  mask: u32(),
  /** On the instance's and the inode's list. */
  links: link(),
  inodeLinks: link(),
  deleted: ref("notice"),
  ignored: ref("notice"),
  /** Who was charged for it, once it is on no list. */
  account: u32(),
});
export type Watch = Ref<"watch">;

/** Whether there is any watch. Without a lock: who adds the first one at this moment misses what happens now. */
export const isWatching = (tx: Transaction): boolean => VfsState.watches.get(tx, stateOf(tx)) !== 0;

/** What has been told since the lock was taken, by this thread, which alone tells anything while it is held. */
let told = 0;

export function lockNotifying(tx: Transaction): void {
  const state = stateOf(tx);
  if (VfsState.notifying.heldBy(tx, state)) return;
  VfsState.notifying.acquire(tx, state);
  told = 0;
}

/** A new instance of user `uid`. Throws EMFILE if that has too many. */
export function createInotify(tx: Transaction, uid: number): number {
  const instance = Inotify.allocate(tx);
  Inotify.overflow.init(tx, instance, Notice.allocate(tx));
  const account = chargeFor(tx, uid, "instances", USER_INSTANCES_MAX);
  if (account === 0) throw errno.EMFILE;
  Inotify.account.init(tx, instance, account);
  return instance;
}

/** Watches `inode` with `mask`, or changes what is watched; the watch descriptor. With the vfs lock held. */
export function watchInode(tx: Transaction, instance: Inotify, inode: Inode, mask: number): number {
  lockNotifying(tx);
  let watchers = 0;
  for (const watch of each(tx, Inode.watches, inode, Watch.inodeLinks)) {
    watchers++;
    if (Watch.instance.get(tx, watch) !== instance) continue;
    if ((mask & IN.MASK_CREATE) !== 0) throw errno.EEXIST;
    const old = (mask & IN.MASK_ADD) !== 0 ? Watch.mask.get(tx, watch) : 0;
    Watch.mask.set(tx, watch, (mask & KEPT) | old);
    return Watch.wd.get(tx, watch);
  }
  const count = Inotify.watchCount.get(tx, instance);
  if (watchers >= WATCHERS_MAX) throw errno.ENOSPC;
  const uid = User.uid.get(tx, Inotify.account.get(tx, instance) as User);
  if (chargeFor(tx, uid, "watches", USER_WATCHES_MAX) === 0) throw errno.ENOSPC;
  const watch = Watch.allocate(tx);
  const wd = Inotify.lastWd.get(tx, instance) + 1;
  Inotify.lastWd.set(tx, instance, wd);
  Inotify.watchCount.set(tx, instance, count + 1);
  Watch.instance.init(tx, watch, instance);
  Watch.inode.init(tx, watch, inode);
  Watch.wd.init(tx, watch, wd);
  Watch.mask.init(tx, watch, mask & KEPT);
  Watch.deleted.init(tx, watch, Notice.allocate(tx));
  Watch.ignored.init(tx, watch, Notice.allocate(tx));
  append(tx, Inotify.watches, instance, Watch.links, watch);
  append(tx, Inode.watches, inode, Watch.inodeLinks, watch);
  Inode.references.set(tx, inode, Inode.references.get(tx, inode) + 1);
  VfsState.watches.add(tx, stateOf(tx), 1);
  return wd;
}

/** inotify_rm_watch(2): EINVAL if there is no such watch. */
export function unwatchInode(tx: Transaction, instance: Inotify, wd: number): void {
  lockNotifying(tx);
  for (const watch of each(tx, Inotify.watches, instance, Watch.links)) {
    if (Watch.wd.get(tx, watch) !== wd) continue;
    endWatch(tx, watch);
    return;
  }
  throw errno.EINVAL;
}

/** A watch is over: the reader is told. */
function endWatch(tx: Transaction, watch: Watch): void {
  const ignored = Watch.ignored.get(tx, watch);
  fill(tx, ignored, Watch.wd.get(tx, watch), IN.IGNORED, 0);
  enqueue(tx, Watch.instance.get(tx, watch), ignored);
  Watch.ignored.set(tx, watch, none());
  forgetWatch(tx, watch);
}

/** Takes a watch off its lists. What it has in reserve, its reference and its charge end after the commit. */
function forgetWatch(tx: Transaction, watch: Watch): void {
  const instance = Watch.instance.get(tx, watch);
  remove(tx, Inotify.watches, instance, Watch.links, watch);
  remove(tx, Inode.watches, Watch.inode.get(tx, watch), Watch.inodeLinks, watch);
  Inotify.watchCount.add(tx, instance, -1);
  VfsState.watches.add(tx, stateOf(tx), -1);
  // The instance may be gone by then.
  Watch.account.set(tx, watch, Inotify.account.get(tx, instance));
  dropAfterCommit(tx, watch);
}

registerDrop("watch", (tx, watch) => {
  // First: what frees may take the allocator's lock.
  creditFor(tx, Watch.account.get(tx, watch), "watches");
  dropAfterCommit(tx, Watch.inode.get(tx, watch));
  for (const reserve of [Watch.deleted, Watch.ignored]) {
    const notice = reserve.get(tx, watch);
    if (notice !== 0) redoFree(tx, notice);
  }
  redoFree(tx, watch);
  return true;
});

function fill(tx: Transaction, notice: Notice, wd: number, mask: number, cookie: number): void {
  Notice.wd.set(tx, notice, wd);
  Notice.mask.set(tx, notice, mask);
  Notice.cookie.set(tx, notice, cookie);
}

/** Bytes of an event: its name with a zero, padded; none without one. */
export function bytesOf(view: HeapView, notice: Notice): number {
  const length = Notice.nameLength.get(view, notice);
  return EVENT_BYTES + (length === 0 ? 0 : (Math.floor(length / EVENT_BYTES) + 1) * EVENT_BYTES);
}

function enqueue(tx: Transaction, instance: Inotify, notice: Notice): void {
  append(tx, Inotify.queue, instance, Notice.links, notice);
  Inotify.count.add(tx, instance, 1);
  Inotify.bytes.add(tx, instance, bytesOf(tx, notice));
  VfsState.notices.add(tx, stateOf(tx), 1);
  signalCondition(tx, Inotify.readable.at(instance));
}

/** Whether the last event of the queue is just like this one, which then adds nothing. */
function repeatsLast(
  tx: Transaction,
  instance: Inotify,
  wd: number,
  mask: number,
  name?: NameBytes,
): boolean {
  const last = tx.words[Inotify.queue.at(instance) + 1]! as Notice;
  if (last === 0 || Notice.wd.get(tx, last) !== wd || Notice.mask.get(tx, last) !== mask >>> 0) return false;
  const length = Notice.nameLength.get(tx, last);
  if (length !== (name?.length ?? 0)) return false;
  return name === undefined || sameName(Notice.name.window(tx, last), name);
}

/** Events that may wait in one queue now. */
function queueMax(view: HeapView): number {
  return VfsState.notices.get(view, stateOf(view)) < NOTICES_MANY ? QUEUE_MAX : QUEUE_SHARE;
}

/** A notice for one more event; none if there is no room for it. */
function noticeFor(tx: Transaction, instance: Inotify): Notice {
  if (Inotify.count.get(tx, instance) >= queueMax(tx)) return none();
  try {
    return Notice.allocate(tx);
  } catch (error) {
    if (error !== errno.ENOMEM) throw error;
    return none();
  }
}

/** False if the instance loses the event. */
function tell(
  tx: Transaction,
  instance: Inotify,
  wd: number,
  mask: number,
  cookie: number,
  name?: NameBytes,
): boolean {
  if (repeatsLast(tx, instance, wd, mask, name)) return true;
  if (told++ >= TOLD_MAX) {
    loseEvent(tx, instance);
    return false;
  }
  const notice = noticeFor(tx, instance);
  if (notice === 0) {
    overflow(tx, instance);
    return false;
  }
  fill(tx, notice, wd, mask, cookie);
  if (name !== undefined) {
    Notice.nameLength.init(tx, notice, name.length);
    Notice.name.window(tx, notice).set(name.source.subarray(name.start, name.start + name.length));
  }
  enqueue(tx, instance, notice);
  return true;
}

/** The reader is told that it has lost events, unless that is in the queue already. */
function overflow(tx: Transaction, instance: Inotify): void {
  const notice = Inotify.overflow.get(tx, instance);
  if (notice === 0) return;
  Inotify.overflow.set(tx, instance, none());
  fill(tx, notice, -1, IN.Q_OVERFLOW, 0);
  enqueue(tx, instance, notice);
}

/** The same, later: the transaction has told enough. */
function loseEvent(tx: Transaction, instance: Inotify): void {
  if (Inotify.loses.get(tx, instance) !== 0) return;
  const state = stateOf(tx);
  // Whoever puts the first one on the list sees to all.
  if (VfsState.losers.isEmpty(tx, state)) tx.afterCommit(REDO.losers, state);
  Inotify.loses.set(tx, instance, 1);
  append(tx, VfsState.losers, state, Inotify.loserLinks, instance);
}

function leaveLosers(tx: Transaction, instance: Inotify): void {
  if (Inotify.loses.get(tx, instance) === 0) return;
  Inotify.loses.set(tx, instance, 0);
  remove(tx, VfsState.losers, stateOf(tx), Inotify.loserLinks, instance);
}

registerRedo(REDO.losers, (tx, value) => {
  lockNotifying(tx);
  for (let i = 0; i < LOSERS_STEP; i++) {
    const instance = VfsState.losers.first(tx, value as VfsState);
    if (instance === 0) return true;
    leaveLosers(tx, instance);
    overflow(tx, instance);
  }
  return false;
});

/** Tells those who watch `inode` of an event. `unlinked`: the name has been removed. With the lock. */
export function tellWatchers(
  tx: Transaction,
  inode: Inode,
  mask: number,
  cookie: number = 0,
  name?: NameBytes,
  unlinked: boolean = false,
): void {
  for (const watch of each(tx, Inode.watches, inode, Watch.inodeLinks)) {
    const wanted = Watch.mask.get(tx, watch);
    if ((wanted & mask & IN_EVENTS) === 0) continue;
    if (unlinked && (wanted & IN.EXCL_UNLINK) !== 0) continue;
    const isTold = tell(tx, Watch.instance.get(tx, watch), Watch.wd.get(tx, watch), mask, cookie, name);
    if (isTold && (wanted & IN.ONESHOT) !== 0) endWatch(tx, watch);
  }
}

/**
 * The last name of `inode` is gone: a watch on it is told and ends. True when there was none. One step, in a redo
 * step too.
 */
export function endWatchOfRemoved(tx: Transaction, inode: Inode): boolean {
  if (Inode.watches.isEmpty(tx, inode)) return true;
  lockNotifying(tx);
  const watch = Inode.watches.first(tx, inode);
  if (watch === 0) return true;
  if ((Watch.mask.get(tx, watch) & IN.DELETE_SELF) !== 0) {
    const deleted = Watch.deleted.get(tx, watch);
    fill(tx, deleted, Watch.wd.get(tx, watch), IN.DELETE_SELF, 0);
    enqueue(tx, Watch.instance.get(tx, watch), deleted);
    Watch.deleted.set(tx, watch, none());
  }
  endWatch(tx, watch);
  return false;
}

/** The same for watches on it, as many as one transaction may end; the name's own end sees to the others. */
export function endWatches(tx: Transaction, inode: Inode): void {
  if (Inode.watches.isEmpty(tx, inode)) return;
  lockNotifying(tx);
  while (told < TOLD_MAX && !endWatchOfRemoved(tx, inode)) told++;
}

/** The number that ties the two events of a rename together. With the lock. */
export function nextCookie(tx: Transaction): number {
  const state = stateOf(tx);
  const cookie = (VfsState.lastCookie.get(tx, state) + 1) >>> 0;
  VfsState.lastCookie.set(tx, state, cookie);
  return cookie;
}

// What the reader does.

/** Reads whole events into the segments; EINVAL if not even one fits. */
export function readInotify(
  tx: Transaction,
  instance: Inotify,
  length: number,
  nonblock: boolean | number,
): number {
  lockNotifying(tx);
  if (Inotify.queue.isEmpty(tx, instance)) {
    if (nonblock) throw errno.EAGAIN;
    throw waitFor(tx, Inotify.readable.at(instance));
  }
  let done = 0;
  for (let i = 0; i < READ_STEP; i++) {
    const notice = Inotify.queue.first(tx, instance);
    if (notice === 0) break;
    const size = bytesOf(tx, notice);
    if (done + size > length) {
      if (done === 0) throw errno.EINVAL;
      break;
    }
    bytesToSegments(tx, done, encode(tx, notice, size));
    dequeue(tx, instance, notice, size);
    done += size;
  }
  return done;
}

function encode(tx: Transaction, notice: Notice, size: number): Uint8Array {
  const event = new Uint8Array(size);
  const view = new DataView(event.buffer);
  view.setInt32(0, Notice.wd.get(tx, notice), true);
  view.setUint32(4, Notice.mask.get(tx, notice), true);
  view.setUint32(8, Notice.cookie.get(tx, notice), true);
  view.setUint32(12, size - EVENT_BYTES, true);
  const length = Notice.nameLength.get(tx, notice);
  event.set(Notice.name.window(tx, notice).subarray(0, length), EVENT_BYTES);
  return event;
}

function dequeue(tx: Transaction, instance: Inotify, notice: Notice, size: number): void {
  remove(tx, Inotify.queue, instance, Notice.links, notice);
  Inotify.count.add(tx, instance, -1);
  Inotify.bytes.add(tx, instance, -size);
  VfsState.notices.add(tx, stateOf(tx), -1);
  if ((Notice.mask.get(tx, notice) & IN.Q_OVERFLOW) !== 0) Inotify.overflow.set(tx, instance, notice);
  else Notice.free(tx, notice);
}

/** Bytes that wait (FIONREAD). */
export function inotifyAvailable(tx: Transaction, instance: Inotify): number {
  lockNotifying(tx);
  return Inotify.bytes.get(tx, instance);
}

export function pollInotify(tx: Transaction, instance: Inotify, note: boolean | number): number {
  lockNotifying(tx);
  if (note) noteWait(tx, Inotify.readable.at(instance));
  return Inotify.queue.isEmpty(tx, instance) ? 0 : POLL.IN | POLL.RDNORM;
}

registerDrop("inotify", (tx, instance) => {
  lockNotifying(tx);
  for (let i = 0; i < END_STEP; i++) {
    const watch = Inotify.watches.first(tx, instance);
    const notice = watch !== 0 ? (0 as Notice) : Inotify.queue.first(tx, instance);
    if (watch !== 0) forgetWatch(tx, watch);
    else if (notice !== 0) {
      remove(tx, Inotify.queue, instance, Notice.links, notice);
      Inotify.count.add(tx, instance, -1);
      VfsState.notices.add(tx, stateOf(tx), -1);
      redoFree(tx, notice);
    } else return i === 0 && endInotify(tx, instance);
  }
  return false;
});

function endInotify(tx: Transaction, instance: Inotify): boolean {
  if (hasWaiters(tx, Inotify.readable.at(instance))) {
    // Threads whose descriptor another thread has closed are woken first.
    signalCondition(tx, Inotify.readable.at(instance));
    dropAfterCommit(tx, instance);
    return true;
  }
  leaveLosers(tx, instance);
  creditFor(tx, Inotify.account.get(tx, instance), "instances");
  const reserve = Inotify.overflow.get(tx, instance);
  if (reserve !== 0) redoFree(tx, reserve);
  redoFree(tx, instance);
  return true;
}
