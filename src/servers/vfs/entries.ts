/**
 * Directory entries in the heap: the hash table by (directory, name), and each directory's two lists.
 *
 * A directory of an image shows the image's names, except those that a dirent of the heap hides (a whiteout,
 * or one that COVERS), and besides them its own LISTED dirents. A name of the image that has been looked up
 * has a dirent too, as a shadow: CACHED until something is changed about it.
 *
 * All of this is guarded by the vfs lock.
 */

import type { HeapAddr, HeapView } from "../../heap/heap.ts";
import { append, remove } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { dropAfterCommit, registerDrop } from "../server.ts";
import { redoFree } from "../../heap/allocator.ts";
import { endWatchOfRemoved } from "./inotify.ts";
import { bytesAt, freeBytesNow, hashName, type NameBytes, sameBytes, storeBytes } from "./names.ts";
import { Dirent, DIRENT, Inode, VfsState } from "./records.ts";
import { lockVfs, stateOf } from "./state.ts";

function bucketOf(view: HeapView, state: VfsState, hash: number): HeapAddr {
  return VfsState.direntTable.get(view, state) + (hash & (VfsState.direntBuckets.get(view, state) - 1));
}

/** The dirent of `name` in `directory`, a whiteout included; none if the heap has none. */
export function findEntry(view: HeapView, directory: Inode, name: NameBytes): Dirent {
  const state = stateOf(view);
  const hash = hashName(directory, name);
  let entry = view.words[bucketOf(view, state, hash)]! as Dirent;
  while (entry !== 0) {
    if (
      Dirent.hash.get(view, entry) === hash &&
      Dirent.directory.get(view, entry) === directory &&
      sameBytes(view, Dirent.name.get(view, entry), Dirent.nameLength.get(view, entry), name)
    ) {
      return entry;
    }
    entry = Dirent.chain.get(view, entry);
  }
  return entry;
}

/** The name of a dirent, as a window on the heap. */
export function nameOfEntry(view: HeapView, entry: Dirent): NameBytes {
  return bytesAt(view, Dirent.name.get(view, entry), Dirent.nameLength.get(view, entry));
}

/** One more reference to an inode, with the vfs lock held. */
export function holdInode(tx: Transaction, inode: Inode): void {
  Inode.references.set(tx, inode, Inode.references.get(tx, inode) + 1);
}

export function holdEntry(tx: Transaction, entry: Dirent): void {
  Dirent.references.set(tx, entry, Dirent.references.get(tx, entry) + 1);
}

/** A dirent outside any directory: the root of a file system, with one reference. */
export function createRootEntry(tx: Transaction, inode: Inode): Dirent {
  const entry = Dirent.allocate(tx);
  Dirent.flags.init(tx, entry, DIRENT.ROOT);
  Dirent.references.init(tx, entry, 1);
  Dirent.inode.init(tx, entry, inode);
  holdInode(tx, inode);
  Inode.entry.set(tx, inode, entry);
  return entry;
}

/** A dirent for a file that never had a name: as if it had been removed from `directory`. No reference yet. */
export function createRemovedEntry(tx: Transaction, directory: Inode, name: NameBytes, inode: Inode): Dirent {
  const entry = Dirent.allocate(tx);
  Dirent.name.init(tx, entry, storeBytes(tx, name));
  Dirent.nameLength.init(tx, entry, name.length);
  Dirent.flags.init(tx, entry, DIRENT.DELETED);
  Dirent.inode.init(tx, entry, inode);
  Dirent.directory.init(tx, entry, directory);
  holdInode(tx, inode);
  holdInode(tx, directory);
  return entry;
}

/** Adds the entry `name` of `directory`, which names `inode` (none: a whiteout). */
export function addEntry(
  tx: Transaction,
  directory: Inode,
  name: NameBytes,
  inode: Inode,
  flags: number,
): Dirent {
  const entry = Dirent.allocate(tx);
  Dirent.name.init(tx, entry, storeBytes(tx, name));
  Dirent.nameLength.init(tx, entry, name.length);
  Dirent.flags.init(tx, entry, flags);
  Dirent.references.init(tx, entry, 1);
  Dirent.inode.init(tx, entry, inode);
  if (inode !== 0) {
    holdInode(tx, inode);
    if ((Inode.mode.get(tx, inode) & 0o170000) === 0o040000) Inode.entry.set(tx, inode, entry);
  }
  insert(tx, entry, directory, hashName(directory, name));
  if ((flags & DIRENT.CACHED) !== 0) {
    const state = stateOf(tx);
    append(tx, VfsState.cached, state, Dirent.cacheLinks, entry);
    VfsState.cachedCount.add(tx, state, 1);
  }
  return entry;
}

/** Puts an entry that is in no directory into one: the table, and the list that its flags say. */
function insert(tx: Transaction, entry: Dirent, directory: Inode, hash: number): void {
  const bucket = bucketOf(tx, stateOf(tx), hash);
  Dirent.hash.set(tx, entry, hash);
  Dirent.directory.set(tx, entry, directory);
  holdInode(tx, directory);
  Dirent.chain.set(tx, entry, tx.words[bucket]! as Dirent);
  tx.store(bucket, entry);
  if ((Dirent.flags.get(tx, entry) & DIRENT.LISTED) === 0) {
    append(tx, Inode.shadows, directory, Dirent.links, entry);
    return;
  }
  const cookie = Inode.nextCookie.get(tx, directory);
  Dirent.cookie.set(tx, entry, cookie);
  Inode.nextCookie.set(tx, directory, cookie + 1);
  append(tx, Inode.entries, directory, Dirent.links, entry);
}

/** Takes an entry out of the table and its directory's list; it keeps its directory, for paths of the removed. */
function withdraw(tx: Transaction, entry: Dirent): void {
  const bucket = bucketOf(tx, stateOf(tx), Dirent.hash.get(tx, entry));
  const after = Dirent.chain.get(tx, entry);
  let at = tx.words[bucket]! as Dirent;
  if (at === entry) tx.store(bucket, after);
  else {
    while (Dirent.chain.get(tx, at) !== entry) at = Dirent.chain.get(tx, at);
    Dirent.chain.set(tx, at, after);
  }
  Dirent.chain.set(tx, entry, none());
  const directory = Dirent.directory.get(tx, entry);
  const listed = (Dirent.flags.get(tx, entry) & DIRENT.LISTED) !== 0;
  remove(tx, listed ? Inode.entries : Inode.shadows, directory, Dirent.links, entry);
  uncache(tx, entry);
}

/** Takes an entry off the list of those that may be forgotten: something about it has changed. */
export function uncache(tx: Transaction, entry: Dirent): void {
  const flags = Dirent.flags.get(tx, entry);
  if ((flags & DIRENT.CACHED) === 0) return;
  const state = stateOf(tx);
  remove(tx, VfsState.cached, state, Dirent.cacheLinks, entry);
  VfsState.cachedCount.add(tx, state, -1);
  Dirent.flags.set(tx, entry, flags & ~DIRENT.CACHED);
}

/** Whether the image of the directory has this name too, so that a whiteout must take its place. */
function coversImage(view: HeapView, entry: Dirent): boolean {
  const flags = Dirent.flags.get(view, entry);
  return (flags & DIRENT.COVERS) !== 0;
}

/** Removes an entry from its directory for good; a whiteout takes its place if the image has the name. */
export function removeEntry(tx: Transaction, entry: Dirent): void {
  const whiteout = coversImage(tx, entry);
  const directory = Dirent.directory.get(tx, entry);
  withdraw(tx, entry);
  Dirent.flags.set(
    tx,
    entry,
    (Dirent.flags.get(tx, entry) & ~(DIRENT.LISTED | DIRENT.COVERS)) | DIRENT.DELETED,
  );
  dropAfterCommit(tx, entry);
  if (whiteout) addEntry(tx, directory, nameOfEntry(tx, entry), none(), DIRENT.WHITEOUT | DIRENT.COVERS);
}

/** Forgets an entry that can be made again from its source. */
export function forgetEntry(tx: Transaction, entry: Dirent): void {
  withdraw(tx, entry);
  Dirent.flags.set(tx, entry, Dirent.flags.get(tx, entry) | DIRENT.DELETED);
  dropAfterCommit(tx, entry);
}

/**
 * Moves an entry to another name or directory, where there is none (or only a whiteout). It stays the same
 * record, so files and working directories that refer to it show the new path.
 */
export function moveEntry(tx: Transaction, entry: Dirent, directory: Inode, name: NameBytes): void {
  const oldDirectory = Dirent.directory.get(tx, entry);
  const oldName = nameOfEntry(tx, entry);
  const whiteout = coversImage(tx, entry);
  withdraw(tx, entry);
  if (whiteout) addEntry(tx, oldDirectory, oldName, none(), DIRENT.WHITEOUT | DIRENT.COVERS);
  const covers = clearWhiteout(tx, directory, name);
  const record = storeBytes(tx, name);
  freeLater(tx, Dirent.name.get(tx, entry));
  Dirent.name.set(tx, entry, record);
  Dirent.nameLength.set(tx, entry, name.length);
  Dirent.flags.set(tx, entry, (Dirent.flags.get(tx, entry) & ~DIRENT.COVERS) | DIRENT.LISTED | covers);
  dropAfterCommit(tx, oldDirectory);
  insert(tx, entry, directory, hashName(directory, name));
}

/** Exchanges two entries: each takes the other's directory and name. */
export function exchangeEntries(tx: Transaction, a: Dirent, b: Dirent): void {
  const ends = [a, b].map((entry) => ({
    directory: Dirent.directory.get(tx, entry),
    name: Dirent.name.get(tx, entry),
    length: Dirent.nameLength.get(tx, entry),
    hash: Dirent.hash.get(tx, entry),
    covers: Dirent.flags.get(tx, entry) & DIRENT.COVERS,
  }));
  withdraw(tx, a);
  withdraw(tx, b);
  for (const [entry, end] of [
    [a, ends[1]!],
    [b, ends[0]!],
  ] as const) {
    dropAfterCommit(tx, Dirent.directory.get(tx, entry));
    Dirent.name.set(tx, entry, end.name);
    Dirent.nameLength.set(tx, entry, end.length);
    const flags = Dirent.flags.get(tx, entry) & ~DIRENT.COVERS;
    Dirent.flags.set(tx, entry, flags | DIRENT.LISTED | end.covers);
    insert(tx, entry, end.directory, end.hash);
  }
}

function freeLater(tx: Transaction, record: HeapAddr): void {
  if (record !== 0) Dirent.free(tx, record as Dirent);
}

/** Takes away the whiteout of `name`, if there is one; the flag that the entry in its place must have. */
export function clearWhiteout(tx: Transaction, directory: Inode, name: NameBytes): number {
  const whiteout = findEntry(tx, directory, name);
  if (whiteout === 0) return 0;
  withdraw(tx, whiteout);
  Dirent.flags.set(tx, whiteout, DIRENT.WHITEOUT | DIRENT.DELETED);
  dropAfterCommit(tx, whiteout);
  return DIRENT.COVERS;
}

registerDrop("dirent", (tx, entry) => {
  lockVfs(tx);
  const references = Dirent.references.get(tx, entry);
  if (references > 1) {
    Dirent.references.set(tx, entry, references - 1);
    return true;
  }
  const inode = Dirent.inode.get(tx, entry);
  const directory = Dirent.directory.get(tx, entry);
  // The last name of a file is gone, and nobody has it open by that name any more.
  if (inode !== 0 && Inode.links.get(tx, inode) === 0 && !endWatchOfRemoved(tx, inode)) return false;
  if (inode !== 0 || directory !== 0) {
    if (references > 0) Dirent.references.set(tx, entry, 0);
    if (inode !== 0 && Inode.entry.get(tx, inode) === entry) Inode.entry.set(tx, inode, none());
    Dirent.inode.set(tx, entry, none());
    Dirent.directory.set(tx, entry, none());
    dropAfterCommit(tx, inode);
    dropAfterCommit(tx, directory);
    return false;
  }
  freeBytesNow(tx, Dirent.name.get(tx, entry));
  redoFree(tx, entry);
  return true;
});
