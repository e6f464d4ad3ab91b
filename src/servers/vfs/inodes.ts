/**
 * Inodes: their making, the table of those that come from images, and their end.
 *
 * An inode ends when its last reference is given up and no name is left (or it can be made again from the
 * image). What hangs on it (pages, names that only hide the image's, attributes) goes first, in bounded parts.
 */

import { assert } from "../../base/assert.ts";
import { errno } from "../../base/errno.ts";
import { redoFree } from "../../heap/allocator.ts";
import type { HeapAddr, HeapView } from "../../heap/heap.ts";
import { remove } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { dropAfterCommit, registerDrop } from "../server.ts";
import { forgetEntry } from "./entries.ts";
import { releasePageNow } from "./page-frames.ts";
import { freeBytesNow } from "./names.ts";
import { freeNodeNow, removePages, rootField } from "./radix.ts";
import { FileLock, FileSystem, Inode, INODE, VfsState, Xattr } from "./records.ts";
import { lockVfs, now, stateOf } from "./state.ts";

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISVTX = 0o1000;
export const S_ISGID = 0o2000;
export const S_ISUID = 0o4000;

export const typeOf = (view: HeapView, inode: Inode): number => Inode.mode.get(view, inode) & S_IFMT;
export const isDirectory = (view: HeapView, inode: Inode): boolean => typeOf(view, inode) === S_IFDIR;

/** Inodes that a file system made since boot may have, whatever the heap's size. */
const INODES_MAX = 1 << 22;

/** What a drop of an inode's reference ends besides (see dropAfterCommit). */
export const ENDS = { WRITER: 1, DENIAL: 2 } as const;

/** A new inode of `fileSystem` with no name and no reference. */
export function createInode(
  tx: Transaction,
  fileSystem: FileSystem,
  mode: number,
  uid: number,
  gid: number,
  rdev: number,
): Inode {
  const inodes = FileSystem.inodes.get(tx, fileSystem);
  if (inodes >= INODES_MAX) throw errno.ENOSPC;
  const inode = Inode.allocate(tx);
  const ino = FileSystem.nextIno.get(tx, fileSystem);
  FileSystem.nextIno.set(tx, fileSystem, ino + 1);
  FileSystem.inodes.set(tx, fileSystem, inodes + 1);
  Inode.fileSystem.init(tx, inode, fileSystem);
  Inode.ino.init(tx, inode, ino);
  Inode.mode.init(tx, inode, mode);
  Inode.uid.init(tx, inode, uid);
  Inode.gid.init(tx, inode, gid);
  Inode.rdev.init(tx, inode, rdev);
  Inode.nextCookie.init(tx, inode, FIRST_COOKIE);
  const { seconds, nanos } = now(tx);
  for (const time of ["atime", "mtime", "ctime", "btime"] as const) {
    Inode[time].init(tx, inode, seconds);
    Inode[`${time}Nanos`].init(tx, inode, nanos);
  }
  return inode;
}

/** Cookies of entries made since boot begin here; smaller ones count the entries of an image directory. */
export const FIRST_COOKIE = 0x4000_0000;

// the table of image inodes, by (file system, nid)

function inodeBucket(view: HeapView, fileSystem: FileSystem, nid: number): HeapAddr {
  const state = stateOf(view);
  const hash = Math.imul(nid ^ (fileSystem >>> 4), 0x9e3779b1) >>> 8;
  return VfsState.inodeTable.get(view, state) + (hash & (VfsState.inodeBuckets.get(view, state) - 1));
}

export function findImageInode(view: HeapView, fileSystem: FileSystem, nid: number): Inode {
  let inode = view.words[inodeBucket(view, fileSystem, nid)]! as Inode;
  while (inode !== 0) {
    if (Inode.nid.get(view, inode) === nid && Inode.fileSystem.get(view, inode) === fileSystem) return inode;
    inode = Inode.hashNext.get(view, inode);
  }
  return inode;
}

export function enterImageInode(tx: Transaction, inode: Inode): void {
  const bucket = inodeBucket(tx, Inode.fileSystem.get(tx, inode), Inode.nid.get(tx, inode));
  Inode.hashNext.set(tx, inode, tx.words[bucket]! as Inode);
  tx.store(bucket, inode);
}

function leaveTable(tx: Transaction, inode: Inode): void {
  const bucket = inodeBucket(tx, Inode.fileSystem.get(tx, inode), Inode.nid.get(tx, inode));
  let at = tx.words[bucket]! as Inode;
  if (at === inode) tx.store(bucket, Inode.hashNext.get(tx, inode));
  else {
    while (Inode.hashNext.get(tx, at) !== inode) at = Inode.hashNext.get(tx, at);
    Inode.hashNext.set(tx, at, Inode.hashNext.get(tx, inode));
  }
}

/** Notes that an inode of an image no longer is as the image has it, so that the heap must keep it. */
export function markChanged(tx: Transaction, inode: Inode): void {
  const flags = Inode.flags.get(tx, inode);
  if ((flags & INODE.CHANGED) === 0) Inode.flags.set(tx, inode, flags | INODE.CHANGED);
}

// the end

/** Pages, names and attributes that go in one part, so that each fits in a system transaction. */
const PAGES_AT_ONCE = 16;
const NAMES_AT_ONCE = 4;

registerDrop("inode", (tx, inode, note) => {
  lockVfs(tx);
  Inode.lock.acquire(tx, inode);
  if (Inode.links.get(tx, inode) === 0 && forgetShadows(tx, inode)) {
    // Behind the names' own steps, so that the list of steps stays short.
    dropAfterCommit(tx, inode, note);
    return true;
  }
  const references = Inode.references.get(tx, inode);
  if (references > 0) {
    if ((note & ENDS.WRITER) !== 0) Inode.writers.set(tx, inode, Inode.writers.get(tx, inode) - 1);
    if ((note & ENDS.DENIAL) !== 0) Inode.denials.set(tx, inode, Inode.denials.get(tx, inode) - 1);
    Inode.references.set(tx, inode, references - 1);
    return references > 1 || mustStay(tx, inode);
  }
  if (mustStay(tx, inode)) return true;
  if (!shed(tx, inode)) return false;
  assert(Inode.locks.isEmpty(tx, inode), "an inode ends with locks on it");
  if (Inode.nid.get(tx, inode) !== 0) leaveTable(tx, inode);
  const fileSystem = Inode.fileSystem.get(tx, inode);
  FileSystem.inodes.set(tx, fileSystem, FileSystem.inodes.get(tx, fileSystem) - 1);
  redoFree(tx, inode);
  return true;
});

/** Whether an inode that nobody refers to must stay: it has names that are not in the heap now. */
function mustStay(view: HeapView, inode: Inode): boolean {
  if (Inode.links.get(view, inode) === 0) return false;
  const flags = Inode.flags.get(view, inode);
  return (flags & INODE.TRANSIENT) === 0 && (flags & INODE.CHANGED) !== 0;
}

/**
 * Forgets some of the names that a removed directory only hides; each refers to the directory, which would
 * otherwise never end. False if there are none.
 */
function forgetShadows(tx: Transaction, inode: Inode): boolean {
  if (Inode.shadows.isEmpty(tx, inode)) return false;
  for (let i = 0; i < NAMES_AT_ONCE; i++) {
    const shadow = Inode.shadows.first(tx, inode);
    if (shadow === 0) break;
    forgetEntry(tx, shadow);
  }
  return true;
}

/** Takes off a part of what hangs on an inode; true when nothing is left. */
function shed(tx: Transaction, inode: Inode): boolean {
  const root = rootField(Inode.pages, inode);
  if (root.get(tx) !== 0) {
    let taken = 0;
    const fileSystem = Inode.fileSystem.get(tx, inode);
    const limited = FileSystem.pagesMax.get(tx, fileSystem) !== 0;
    if (limited) FileSystem.lock.acquire(tx, fileSystem);
    const release = (word: number): void => {
      taken++;
      releasePageNow(tx, word);
    };
    removePages(tx, root, 0, PAGES_AT_ONCE, release, freeNodeNow);
    Inode.pageCount.set(tx, inode, Inode.pageCount.get(tx, inode) - taken);
    if (limited) {
      FileSystem.blocksPresent.set(tx, fileSystem, FileSystem.blocksPresent.get(tx, fileSystem) - taken);
    }
    return false;
  }
  assert(Inode.entries.isEmpty(tx, inode), "a directory ends with entries in it");
  const xattr = Inode.xattrs.get(tx, inode);
  if (xattr !== 0) {
    Inode.xattrs.set(tx, inode, Xattr.next.get(tx, xattr));
    freeBytesNow(tx, Xattr.name.get(tx, xattr));
    freeBytesNow(tx, Xattr.value.get(tx, xattr));
    redoFree(tx, xattr);
    return false;
  }
  const target = Inode.target.get(tx, inode);
  if (target !== 0) {
    Inode.target.set(tx, inode, 0);
    freeBytesNow(tx, target);
    return false;
  }
  return true;
}

registerDrop("file-lock", (tx, lock) => {
  const inode = FileLock.inode.get(tx, lock);
  if (inode === 0) {
    redoFree(tx, lock);
    return true;
  }
  Inode.lock.acquire(tx, inode);
  remove(tx, Inode.locks, inode, FileLock.links, lock);
  FileLock.inode.set(tx, lock, none());
  signalCondition(tx, Inode.lockReleased.at(inode));
  return false;
});
