/**
 * What the operations of the vfs server tell inotify (inotify.ts): the events of fsnotify.h, in its order. Each
 * function is cheap while nobody watches anything.
 */

import type { Transaction } from "../../heap/transaction.ts";
import { File, registerCloseNotice } from "../../kernel/file.ts";
import { nameOfEntry } from "./entries.ts";
import { isDirectory } from "./inodes.ts";
import { IN, isWatching, lockNotifying, nextCookie, tellWatchers } from "./inotify.ts";
import type { NameBytes } from "./names.ts";
import { O, wantsWrite } from "./open-flags.ts";
import { Dirent, DIRENT, type Inode } from "./records.ts";

function directoryBit(tx: Transaction, inode: Inode): number {
  return isDirectory(tx, inode) ? IN.ISDIR : 0;
}

/** An event of an object that its directory hears of, too, with the name by which it was found. */
export function tellOf(tx: Transaction, entry: Dirent, event: number): void {
  if (!isWatching(tx) || entry === 0) return;
  lockNotifying(tx);
  const inode = Dirent.inode.get(tx, entry);
  const directory = Dirent.directory.get(tx, entry);
  const mask = event | directoryBit(tx, inode);
  if (directory !== 0) {
    const unlinked = (Dirent.flags.get(tx, entry) & DIRENT.DELETED) !== 0;
    tellWatchers(tx, directory, mask, 0, nameOfEntry(tx, entry), unlinked);
  }
  tellWatchers(tx, inode, mask);
}

/** The same for an open file. */
export function tellOfFile(tx: Transaction, file: File, event: number): void {
  if (isWatching(tx)) tellOf(tx, File.entry.get(tx, file), event);
}

registerCloseNotice((tx, file) => {
  if (!isWatching(tx) || (File.flags.get(tx, file) & O.PATH) !== 0) return;
  tellOfFile(tx, file, wantsWrite(File.flags.get(tx, file)) ? IN.CLOSE_WRITE : IN.CLOSE_NOWRITE);
});

/** An event of the object alone, of which its directory does not hear. */
export function tellSelf(tx: Transaction, inode: Inode, event: number): void {
  if (!isWatching(tx)) return;
  lockNotifying(tx);
  tellWatchers(tx, inode, event | directoryBit(tx, inode));
}

/** A name has come into a directory, or gone from it (IN_CREATE, IN_DELETE). */
export function tellName(
  tx: Transaction,
  directory: Inode,
  name: NameBytes,
  inode: Inode,
  event: number,
): void {
  if (!isWatching(tx)) return;
  lockNotifying(tx);
  tellWatchers(tx, directory, event | directoryBit(tx, inode), 0, name);
}

/** `inode` has moved; `replaced` is what had the new name before, if anything. */
export function tellMoved(
  tx: Transaction,
  from: { readonly directory: Inode; readonly name: NameBytes },
  to: { readonly directory: Inode; readonly name: NameBytes },
  inode: Inode,
  replaced: Inode,
): void {
  if (!isWatching(tx)) return;
  lockNotifying(tx);
  const bit = directoryBit(tx, inode);
  const cookie = nextCookie(tx);
  tellWatchers(tx, from.directory, IN.MOVED_FROM | bit, cookie, from.name);
  tellWatchers(tx, to.directory, IN.MOVED_TO | bit, cookie, to.name);
  if (replaced !== 0) tellWatchers(tx, replaced, IN.ATTRIB | directoryBit(tx, replaced));
  tellWatchers(tx, inode, IN.MOVE_SELF);
}
