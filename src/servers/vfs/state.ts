/**
 * The vfs server's place in the heap: one state record, and its two hash tables. Everything here is found from
 * the roots; nothing is kept in JavaScript.
 */

import { type HeapAddr, type HeapView, placeRoot } from "../../heap/heap.ts";
import { LOG_HEAD, SLOT } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { noteRetry, WOULD_BLOCK } from "../../kernel/request.ts";
import { threadOf } from "../../kernel/thread.ts";
import { FILE_SYSTEM, FileSystem, Inode, VfsState } from "./records.ts";

export interface VfsSizes {
  /** Buckets of the table of directory entries, a power of two. */
  readonly direntBuckets: number;
  /** Buckets of the table of image inodes, a power of two. */
  readonly inodeBuckets: number;
  /** Names of images that are kept although nobody uses them. */
  readonly cachedNames: number;
}

export const DEFAULT_SIZES: VfsSizes = { direntBuckets: 16384, inodeBuckets: 16384, cachedNames: 32768 };

/** Places the state record and the tables. At boot, in a transaction. */
export function placeVfs(tx: Transaction, sizes: VfsSizes): VfsState {
  const state = VfsState.allocate(tx);
  tx.words[placeRoot(tx, "vfs", 1 + sizes.inodeBuckets)] = state;
  VfsState.direntTable.init(tx, state, placeRoot(tx, "dirent-table", sizes.direntBuckets));
  VfsState.direntBuckets.init(tx, state, sizes.direntBuckets);
  VfsState.inodeTable.init(tx, state, tx.root("vfs") + 1);
  VfsState.inodeBuckets.init(tx, state, sizes.inodeBuckets);
  VfsState.cachedMax.init(tx, state, sizes.cachedNames);
  VfsState.nextMountId.init(tx, state, 20);
  VfsState.nextDevice.init(tx, state, 1);
  VfsState.anonymous.init(tx, state, createFileSystem(tx, state, FILE_SYSTEM.ANONYMOUS));
  return state;
}

export function stateOf(view: HeapView): VfsState {
  return view.words[view.root("vfs")]! as VfsState;
}

/** Takes the vfs lock, which guards the namespace, and gives the state record. */
export function lockVfs(tx: Transaction): VfsState {
  const state = stateOf(tx);
  VfsState.lock.acquire(tx, state);
  return state;
}

/** First inode number that a file made since boot gets, so that it is none of an image's. */
export const FIRST_NEW_INO = 0x4000_0000;

/**
 * Takes a lock of an inode or a file system although others that rank after it may be held already: faulting in
 * a range of user memory needs pages of several files, in any order. If it is taken by somebody else just now
 * and must not be waited for in this order, the request runs again from the beginning.
 */
export function lockInAnyOrder(tx: Transaction, word: HeapAddr, rank: number, condition: HeapAddr): void {
  if (tx.tryLock(word, rank)) return;
  if (tx.locksHeld > 0) {
    const last = tx.slotAt + SLOT.main + LOG_HEAD.list + (tx.locksHeld - 1) * 2;
    const [heldWord, heldRank] = [tx.words[last]!, tx.words[last + 1]!];
    if (heldRank > rank || (heldRank === rank && heldWord >= word)) {
      noteRetry(tx, condition);
      throw WOULD_BLOCK;
    }
  }
  tx.lock(word, rank);
}

/** {@link lockInAnyOrder} for an inode. */
export function lockInode(tx: Transaction, inode: Inode): void {
  lockInAnyOrder(tx, inode + Inode.lock.word, Inode.lock.rank, Inode.lockReleased.at(inode));
}

/** A file system with no root yet, and no mount. */
export function createFileSystem(tx: Transaction, state: VfsState, kind: number): FileSystem {
  const made = FileSystem.allocate(tx);
  const minor = VfsState.nextDevice.get(tx, state);
  VfsState.nextDevice.set(tx, state, minor + 1);
  FileSystem.kind.init(tx, made, kind);
  // Linux's anonymous devices: major 0.
  FileSystem.device.init(tx, made, minor & 0xff);
  FileSystem.nextIno.init(tx, made, kind === FILE_SYSTEM.IMAGE ? FIRST_NEW_INO : 1);
  return made;
}

/** Wall-clock time as seconds and nanoseconds. */
export function now(tx: Transaction): { readonly seconds: number; readonly nanos: number } {
  const time = threadOf(tx).clock.realtime();
  const seconds = Math.floor(time / 1e9);
  return { seconds, nanos: Math.floor(time - seconds * 1e9) };
}

/** Sets the change time, and the modification time too if `modified`, to now. */
export function touch(tx: Transaction, inode: Inode, modified: boolean): void {
  const { seconds, nanos } = now(tx);
  Inode.ctime.set(tx, inode, seconds);
  Inode.ctimeNanos.set(tx, inode, nanos);
  if (!modified) return;
  Inode.mtime.set(tx, inode, seconds);
  Inode.mtimeNanos.set(tx, inode, nanos);
}
