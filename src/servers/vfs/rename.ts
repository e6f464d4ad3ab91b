/**
 * renameat2(2).
 *
 * The vfs lock is held over the whole of it, so the tree does not change meanwhile and rule R5's coarse lock
 * for renaming is not needed: the set of inodes to be locked is known before the first of them is locked.
 */

import { errno } from "../../base/errno.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import type { File } from "../../kernel/file.ts";
import { auth } from "../auth/auth.ts";
import { MAY } from "../auth/permission.ts";
import { lockNotifying } from "./inotify.ts";
import { tellMoved } from "./notify.ts";
import { needDirectoryWrite, needNames, needWritable } from "./create.ts";
import { isEmptyDirectory } from "./directory.ts";
import { exchangeEntries, moveEntry, removeEntry } from "./entries.ts";
import { foreignOf } from "./foreign.ts";
import { isDirectory, markChanged } from "./inodes.ts";
import { isName } from "./names.ts";
import type { FsContext } from "./records.ts";
import { Dirent, DIRENT, Inode } from "./records.ts";
import { loseName, needRemoval } from "./remove.ts";
import { touch } from "./state.ts";
import { type LastName, pathBytes, Walk } from "./walk.ts";

export const RENAME = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;

export function rename(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  newBase: File,
  newPath: number,
  newLength: number,
  flags: number,
): void {
  if ((flags & ~(RENAME.NOREPLACE | RENAME.EXCHANGE)) !== 0 || flags === 3) throw errno.EINVAL;
  const from = new Walk(tx, context, credentials, base);
  const source = needRealName(from.toLast(pathBytes(tx, path, length)));
  const to = new Walk(tx, context, credentials, newBase);
  const target = needRealName(to.toLast(pathBytes(tx, newPath, newLength)), (flags & RENAME.NOREPLACE) !== 0);
  if (source.mount !== target.mount) throw errno.EXDEV;
  from.finish({ ...source, slash: false }, false);
  const entry = from.at.entry;
  const { found } = to.finishOrWhere({ ...target, slash: false }, false);
  const inode = Dirent.inode.get(tx, entry);
  const moved = isDirectory(tx, inode);
  const victim = found ? to.at.entry : (0 as Dirent);
  if (found && (flags & RENAME.NOREPLACE) !== 0) throw errno.EEXIST;
  if (!found && (flags & RENAME.EXCHANGE) !== 0) throw errno.ENOENT;
  if (!moved && (source.slash || (target.slash && (flags & RENAME.EXCHANGE) === 0))) throw errno.ENOTDIR;
  if (Inode.links.get(tx, target.directory) === 0) throw errno.ENOENT;
  // A directory must not come to lie below itself, nor replace one that it lies in.
  if (isAbove(tx, entry, target.directory)) throw errno.EINVAL;
  if (found && isAbove(tx, victim, source.directory)) {
    throw (flags & RENAME.EXCHANGE) !== 0 ? errno.EINVAL : errno.ENOTEMPTY;
  }
  needWritable(tx, source.mount);
  needNames(tx, source.directory);
  needRemoval(tx, credentials, source.directory, inode);
  if (victim === entry) return;
  const victimInode = found ? Dirent.inode.get(tx, victim) : (0 as Inode);
  if (found) needRemoval(tx, credentials, target.directory, victimInode);
  else needDirectoryWrite(tx, credentials, target.directory);
  // Two names of one inode: rename does nothing, and says that all is well.
  if (found && victimInode === inode && (flags & RENAME.EXCHANGE) === 0) return;
  const exchange = (flags & RENAME.EXCHANGE) !== 0;
  const replaced = found && isDirectory(tx, victimInode);
  if (found && !exchange) {
    if (moved && !replaced) throw errno.ENOTDIR;
    if (!moved && replaced) throw errno.EISDIR;
  }
  for (const walk of found ? [from, to] : [from]) needFree(tx, walk, source.mount);
  // Moving a directory elsewhere changes its "..".
  if (source.directory !== target.directory) {
    if (moved) needOwnWrite(tx, credentials, inode);
    if (exchange && replaced) needOwnWrite(tx, credentials, victimInode);
  }
  if (found && !exchange && replaced && !isEmptyDirectory(tx, victimInode)) throw errno.ENOTEMPTY;
  const foreign = foreignOf(tx, inode);
  if (foreign !== undefined) {
    if (exchange) throw errno.EINVAL;
    foreign.rename(tx, entry, target.directory, target.name, victim);
    return;
  }
  lockAll(tx, [source.directory, target.directory, inode, victimInode]);
  if (exchange) exchangeNames(tx, source, target, entry, victim);
  else move(tx, source, target, entry, victim);
}

/** The last name, if it is one that can be renamed. */
function needRealName(last: LastName, isNew: boolean = false): LastName {
  if (last.name.length === 0 || isName(last.name, ".") || isName(last.name, "..")) {
    throw isNew ? errno.EEXIST : errno.EBUSY;
  }
  return last;
}

/** EBUSY if the walk has come to a mount's root, or something is mounted on the entry. */
function needFree(tx: Transaction, walk: Walk, mount: number): void {
  if (walk.at.mount !== mount) throw errno.EBUSY;
  if ((Dirent.flags.get(tx, walk.at.entry) & DIRENT.MOUNTPOINT) !== 0) throw errno.EBUSY;
}

/** Whether the directory of `entry` is `directory` or above it. */
function isAbove(tx: Transaction, entry: Dirent, directory: Inode): boolean {
  let at = Inode.entry.get(tx, directory);
  while (at !== 0) {
    if (at === entry) return true;
    const parent = Dirent.directory.get(tx, at);
    if (parent === 0) return false;
    at = Inode.entry.get(tx, parent);
  }
  return false;
}

function needOwnWrite(tx: Transaction, credentials: Credentials, inode: Inode): void {
  const mode = Inode.mode.get(tx, inode);
  const uid = Inode.uid.get(tx, inode);
  const gid = Inode.gid.get(tx, inode);
  if (auth.mayAccess(tx, credentials, uid, gid, mode, MAY.WRITE) === 0) throw errno.EACCES;
}

function lockAll(tx: Transaction, inodes: readonly Inode[]): void {
  for (const inode of [...new Set(inodes)].sort((a, b) => a - b))
    if (inode !== 0) Inode.lock.acquire(tx, inode);
}

function move(tx: Transaction, source: LastName, target: LastName, entry: Dirent, victim: Dirent): void {
  const inode = Dirent.inode.get(tx, entry);
  if (victim !== 0) {
    const victimInode = Dirent.inode.get(tx, victim);
    removeEntry(tx, victim);
    loseName(tx, target.directory, victimInode);
  }
  // Whoever tells an event of an open file reads its directory and name under this lock alone.
  lockNotifying(tx);
  moveEntry(tx, entry, target.directory, target.name);
  if (isDirectory(tx, inode) && source.directory !== target.directory) {
    Inode.links.set(tx, source.directory, Inode.links.get(tx, source.directory) - 1);
    Inode.links.set(tx, target.directory, Inode.links.get(tx, target.directory) + 1);
  }
  noteChange(tx, source, target, inode);
  tellMoved(tx, source, target, inode, victim === 0 ? (0 as Inode) : Dirent.inode.get(tx, victim));
}

function exchangeNames(
  tx: Transaction,
  source: LastName,
  target: LastName,
  entry: Dirent,
  other: Dirent,
): void {
  const inode = Dirent.inode.get(tx, entry);
  const otherInode = Dirent.inode.get(tx, other);
  lockNotifying(tx);
  exchangeEntries(tx, entry, other);
  if (source.directory !== target.directory) {
    const change = (isDirectory(tx, otherInode) ? 1 : 0) - (isDirectory(tx, inode) ? 1 : 0);
    Inode.links.set(tx, source.directory, Inode.links.get(tx, source.directory) + change);
    Inode.links.set(tx, target.directory, Inode.links.get(tx, target.directory) - change);
  }
  noteChange(tx, source, target, inode);
  markChanged(tx, otherInode);
  touch(tx, otherInode, false);
  tellMoved(tx, source, target, inode, none());
  tellMoved(tx, target, source, otherInode, none());
}

function noteChange(tx: Transaction, source: LastName, target: LastName, inode: Inode): void {
  for (const directory of new Set([source.directory, target.directory])) {
    markChanged(tx, directory);
    touch(tx, directory, true);
  }
  markChanged(tx, inode);
  touch(tx, inode, false);
}
