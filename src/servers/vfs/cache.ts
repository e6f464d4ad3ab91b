/**
 * Forgetting names of images that nobody uses, so that walking through a large image does not fill the heap.
 *
 * Names that can be made again stand in one list. Before a walk, if the list is full, a few at its head are
 * looked at: what is not in use goes, what is in use goes to the end. A walk adds about as many.
 */

import { append, remove } from "../../heap/list.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { forgetEntry } from "./entries.ts";
import { Dirent, DIRENT, Inode, INODE, VfsState } from "./records.ts";
import { stateOf } from "./state.ts";

const LOOKED_AT = 8;

/** Whether nothing would be lost with the entry but the work of making it again. */
function isIdle(tx: Transaction, entry: Dirent): boolean {
  if (Dirent.references.get(tx, entry) !== 1 || (Dirent.flags.get(tx, entry) & DIRENT.MOUNTPOINT) !== 0)
    return false;
  const inode = Dirent.inode.get(tx, entry);
  // An inode that only this name refers to has no open file, and no name in it if it is a directory.
  return (Inode.flags.get(tx, inode) & INODE.CHANGED) === 0 && Inode.references.get(tx, inode) === 1;
}

/** Makes room for what a walk will add. With the vfs lock held. */
export function evictSome(tx: Transaction): void {
  const state = stateOf(tx);
  if (VfsState.cachedCount.get(tx, state) < VfsState.cachedMax.get(tx, state)) return;
  for (let i = 0; i < LOOKED_AT; i++) {
    const entry = VfsState.cached.first(tx, state);
    if (entry === 0) return;
    if (isIdle(tx, entry)) forgetEntry(tx, entry);
    else {
      remove(tx, VfsState.cached, state, Dirent.cacheLinks, entry);
      append(tx, VfsState.cached, state, Dirent.cacheLinks, entry);
    }
  }
}
