/**
 * Advisory locks: flock(2), which belongs to the open file, and record locks, which belong to the process (fcntl
 * F_SETLK) or to the open file (F_OFD_SETLK). flock and record locks do not see each other.
 *
 * An inode's locks are on one list, guarded by its lock. An owner's record locks on one file never overlap, and
 * adjacent ones of one type are one: setting a range first cuts it out of those that it has. Who has to wait notes
 * the inode's lockReleased, which is signalled whenever a range becomes free.
 */

import { errno } from "../../base/errno.ts";
import { redoFree } from "../../heap/allocator.ts";
import { append, each, remove } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { File } from "../../kernel/file.ts";
import { noteWait, waitFor } from "../../kernel/request.ts";
import { registerDrop } from "../server.ts";
import { O, wantsRead, wantsWrite } from "./open-flags.ts";
import { ENDS_MASK } from "./open.ts";
import { FileLock, Inode } from "./records.ts";

const KIND = { RECORD: 0, FLOCK: 1 } as const;
const TYPE = { READ: 0, WRITE: 1, UNLOCK: 2 } as const;
/** "To the end of the file, however long it grows." */
export const LOCK_END: number = 2 ** 52;
/**
 * Record locks that one owner may have on a file, so that one transaction can free them all (rule R3), and locks that a
 * file may have, which bounds the walk along its list. Only what adds a lock meets the bounds: giving up never fails.
 */
const OWN_LOCKS_MAX = 200;
const LOCKS_MAX = 4096;

const FLOCK = { SHARED: 1, EXCLUSIVE: 2, NONBLOCK: 4, UNLOCK: 8 } as const;

function lockableInode(tx: Transaction, file: File): Inode {
  const inode = File.inode.get(tx, file);
  if (inode === 0 || (File.flags.get(tx, file) & O.PATH) !== 0) throw errno.EBADF;
  Inode.lock.acquire(tx, inode);
  return inode;
}

/** flock(2). Works on what vfs itself opens: regular files and directories. */
export function flock(tx: Transaction, file: File, operation: number): void {
  const inode = lockableInode(tx, file);
  File.lock.acquire(tx, file);
  const wanted = operation & ~FLOCK.NONBLOCK;
  const detail = File.detail.get(tx, file);
  const held = (detail & ~ENDS_MASK) as FileLock;
  if (wanted === FLOCK.UNLOCK) {
    if (held === 0) return;
    removeLock(tx, inode, held);
    File.detail.set(tx, file, detail & ENDS_MASK);
    signalCondition(tx, Inode.lockReleased.at(inode));
    return;
  }
  if (wanted !== FLOCK.SHARED && wanted !== FLOCK.EXCLUSIVE) throw errno.EINVAL;
  const type = wanted === FLOCK.SHARED ? TYPE.READ : TYPE.WRITE;
  for (const other of each(tx, Inode.locks, inode, FileLock.links)) {
    if (other === held || FileLock.kind.get(tx, other) !== KIND.FLOCK) continue;
    if (type === TYPE.READ && FileLock.type.get(tx, other) === TYPE.READ) continue;
    if ((operation & FLOCK.NONBLOCK) !== 0) throw errno.EAGAIN;
    throw waitFor(tx, Inode.lockReleased.at(inode));
  }
  if (held !== 0) {
    const loosened = FileLock.type.get(tx, held) === TYPE.WRITE && type === TYPE.READ;
    FileLock.type.set(tx, held, type);
    if (loosened) signalCondition(tx, Inode.lockReleased.at(inode));
    return;
  }
  const lock = addLock(tx, inode, KIND.FLOCK, type, file, 0, 0, LOCK_END);
  File.detail.set(tx, file, detail | lock);
}

function addLock(
  tx: Transaction,
  inode: Inode,
  kind: number,
  type: number,
  owner: number,
  pid: number,
  start: number,
  end: number,
): FileLock {
  const lock = FileLock.allocate(tx);
  FileLock.inode.init(tx, lock, inode);
  FileLock.kind.init(tx, lock, kind);
  FileLock.type.init(tx, lock, type);
  FileLock.owner.init(tx, lock, owner);
  FileLock.pid.init(tx, lock, pid);
  FileLock.start.init(tx, lock, start);
  FileLock.end.init(tx, lock, end);
  append(tx, Inode.locks, inode, FileLock.links, lock);
  return lock;
}

function removeLock(tx: Transaction, inode: Inode, lock: FileLock): void {
  remove(tx, Inode.locks, inode, FileLock.links, lock);
  FileLock.inode.set(tx, lock, none());
  FileLock.free(tx, lock);
}

/**
 * A record lock of others that stands in the way of a lock of `type`; for UNLOCK, one of the owner's own in the
 * range (F_OFD_GETLK).
 */
function conflicting(
  tx: Transaction,
  inode: Inode,
  owner: number,
  type: number,
  start: number,
  end: number,
): FileLock {
  for (const lock of each(tx, Inode.locks, inode, FileLock.links)) {
    if (FileLock.kind.get(tx, lock) !== KIND.RECORD) continue;
    if ((FileLock.owner.get(tx, lock) === owner) !== (type === TYPE.UNLOCK)) continue;
    if (type === TYPE.READ && FileLock.type.get(tx, lock) === TYPE.READ) continue;
    if (FileLock.end.get(tx, lock) >= start && FileLock.start.get(tx, lock) <= end) return lock;
  }
  return none();
}

/** First and last byte, from what fcntl gives: a length of 0 is "to the end", a negative one lies before. */
function rangeOf(start: number, length: number): { start: number; end: number } {
  if (length < 0) return rangeOf(start + length, -length);
  if (start < 0) throw errno.EINVAL;
  return { start, end: length === 0 ? LOCK_END : Math.min(LOCK_END, start + length - 1) };
}

/**
 * Sets a range or frees it; 0. A lock of somebody else in the way: EAGAIN, or if `wait`, that lock, whose release is
 * noted as what to wait for. `owner` is a descriptor table, or the file itself for a lock of its own; `pid` is −1 then.
 */
export function setRecordLock(
  tx: Transaction,
  file: File,
  owner: number,
  pid: number,
  type: number,
  start: number,
  length: number,
  wait: number,
): number {
  const inode = lockableInode(tx, file);
  const flags = File.flags.get(tx, file);
  if (type !== TYPE.READ && type !== TYPE.WRITE && type !== TYPE.UNLOCK) throw errno.EINVAL;
  if (type === TYPE.READ && !wantsRead(flags)) throw errno.EBADF;
  if (type === TYPE.WRITE && !wantsWrite(flags)) throw errno.EBADF;
  const range = rangeOf(start, length);
  if (type !== TYPE.UNLOCK) {
    const other = conflicting(tx, inode, owner, type, range.start, range.end);
    if (other !== 0) {
      if (wait === 0) throw errno.EAGAIN;
      noteWait(tx, Inode.lockReleased.at(inode));
      return other;
    }
  }
  const left = cutOut(tx, inode, owner, range.start, range.end);
  if (type === TYPE.UNLOCK) {
    if (left.splits) needRoom(left);
    return 0;
  }
  if (owner === file && File.ownsLocks.get(tx, file) === 0) {
    File.lock.acquire(tx, file);
    File.ownsLocks.set(tx, file, 1);
  }
  needRoom(left);
  const { start: from, end } = absorb(tx, inode, owner, type, range);
  addLock(tx, inode, KIND.RECORD, type, owner, pid, from, end);
  return 0;
}

/** A range, longer by the owner's locks of `type` that touch it, which go. */
function absorb(
  tx: Transaction,
  inode: Inode,
  owner: number,
  type: number,
  range: { readonly start: number; readonly end: number },
): { start: number; end: number } {
  let { start, end } = range;
  for (const lock of each(tx, Inode.locks, inode, FileLock.links)) {
    if (FileLock.kind.get(tx, lock) !== KIND.RECORD || FileLock.owner.get(tx, lock) !== owner) continue;
    if (FileLock.type.get(tx, lock) !== type) continue;
    if (FileLock.end.get(tx, lock) === range.start - 1) start = FileLock.start.get(tx, lock);
    else if (FileLock.start.get(tx, lock) === range.end + 1) end = FileLock.end.get(tx, lock);
    else continue;
    removeLock(tx, inode, lock);
  }
  return { start, end };
}

/** What is left after a range has been cut out. */
interface Left {
  /** Locks of the file, and record locks of the owner among them, before anything is added. */
  readonly all: number;
  readonly own: number;
  /** Whether a lock has become two. */
  readonly splits: boolean;
}

function needRoom({ all, own }: Left): void {
  if (own >= OWN_LOCKS_MAX || all >= LOCKS_MAX) throw errno.ENOLCK;
}

/** Takes a range out of the owner's record locks; those that reach beyond it on both sides become two. */
function cutOut(tx: Transaction, inode: Inode, owner: number, start: number, end: number): Left {
  let [all, own] = [0, 0];
  let changed = false;
  let splits = false;
  for (const lock of each(tx, Inode.locks, inode, FileLock.links)) {
    all++;
    if (FileLock.kind.get(tx, lock) !== KIND.RECORD || FileLock.owner.get(tx, lock) !== owner) continue;
    own++;
    const first = FileLock.start.get(tx, lock);
    const last = FileLock.end.get(tx, lock);
    if (last < start || first > end) continue;
    changed = true;
    const type = FileLock.type.get(tx, lock);
    const pid = FileLock.pid.get(tx, lock);
    if (first < start && last > end) {
      FileLock.end.set(tx, lock, start - 1);
      addLock(tx, inode, KIND.RECORD, type, owner, pid, end + 1, last);
      splits = true;
    } else if (first < start) FileLock.end.set(tx, lock, start - 1);
    else if (last > end) FileLock.start.set(tx, lock, end + 1);
    else {
      removeLock(tx, inode, lock);
      all--;
      own--;
    }
  }
  if (changed) signalCondition(tx, Inode.lockReleased.at(inode));
  return { all, own, splits };
}

export function testRecordLock(
  tx: Transaction,
  file: File,
  owner: number,
  type: number,
  start: number,
  length: number,
): number {
  const inode = lockableInode(tx, file);
  const range = rangeOf(start, length);
  return conflicting(tx, inode, owner, type, range.start, range.end);
}

/** What fcntl(F_GETLK) tells of a lock in the way. */
export function readFileLock(
  tx: Transaction,
  lock: number,
): { readonly type: number; readonly start: number; readonly length: number; readonly pid: number } {
  const at = lock as FileLock;
  const start = FileLock.start.get(tx, at);
  const end = FileLock.end.get(tx, at);
  return {
    type: FileLock.type.get(tx, at),
    start,
    length: end >= LOCK_END ? 0 : end - start + 1,
    pid: FileLock.pid.get(tx, at),
  };
}

/** Closing any descriptor of a file gives up all record locks that the process has on it (fcntl(2)). */
export function dropRecordLocks(tx: Transaction, file: File, owner: number): void {
  const inode = File.inode.get(tx, file);
  if (inode === 0 || Inode.locks.isEmpty(tx, inode)) return;
  Inode.lock.acquire(tx, inode);
  cutOut(tx, inode, owner, 0, LOCK_END);
}

/** Locks that one step of the end of an open file gives up. */
const DROP_STEP = 8;

// The end of an open file that has locks of its own: before its record and its inode go, in steps.
registerDrop("file", (tx, file) => {
  const inode = File.inode.get(tx, file);
  Inode.lock.acquire(tx, inode);
  let dropped = 0;
  for (const lock of each(tx, Inode.locks, inode, FileLock.links)) {
    if (FileLock.kind.get(tx, lock) !== KIND.RECORD || FileLock.owner.get(tx, lock) !== file) continue;
    if (dropped++ === DROP_STEP) return false;
    remove(tx, Inode.locks, inode, FileLock.links, lock);
    redoFree(tx, lock);
  }
  signalCondition(tx, Inode.lockReleased.at(inode));
  return true;
});
