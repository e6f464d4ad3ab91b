/** Removing names (unlinkat(2)). */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import type { File } from "../../kernel/file.ts";
import { auth } from "../auth/auth.ts";
import { endWatches, IN } from "./inotify.ts";
import { tellName, tellSelf } from "./notify.ts";
import { needDirectoryWrite, needNames, needWritable } from "./create.ts";
import { isEmptyDirectory } from "./directory.ts";
import { removeEntry } from "./entries.ts";
import { foreignOf } from "./foreign.ts";
import { isDirectory, markChanged } from "./inodes.ts";
import { isName } from "./names.ts";
import type { FsContext } from "./records.ts";
import { Dirent, DIRENT, Inode } from "./records.ts";
import { touch } from "./state.ts";
import { AT, type LastName, pathBytes, Walk } from "./walk.ts";

/** EACCES or EPERM unless the caller may take `inode`'s name out of `directory`. */
export function needRemoval(tx: Transaction, credentials: Credentials, directory: Inode, inode: Inode): void {
  needDirectoryWrite(tx, credentials, directory);
  const mode = Inode.mode.get(tx, directory);
  const allowed = auth.mayRemove(
    tx,
    credentials,
    mode,
    Inode.uid.get(tx, directory),
    Inode.uid.get(tx, inode),
  );
  if (allowed === 0) throw errno.EPERM;
}

/** Locks two inodes by rising address. */
export function lockBoth(tx: Transaction, a: Inode, b: Inode): void {
  Inode.lock.acquire(tx, a < b ? a : b);
  if (a !== b) Inode.lock.acquire(tx, a < b ? b : a);
}

/** An inode has lost a name; `directory` is where it was, and both are locked. */
export function loseName(tx: Transaction, directory: Inode, inode: Inode): void {
  if (isDirectory(tx, inode)) {
    Inode.links.set(tx, inode, 0);
    Inode.links.set(tx, directory, Inode.links.get(tx, directory) - 1);
  } else {
    Inode.links.set(tx, inode, Inode.links.get(tx, inode) - 1);
  }
  markChanged(tx, inode);
  markChanged(tx, directory);
  touch(tx, inode, false);
  touch(tx, directory, true);
}

export function unlink(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  flags: number,
): void {
  if ((flags & ~AT.REMOVEDIR) !== 0) throw errno.EINVAL;
  const removeDirectory = (flags & AT.REMOVEDIR) !== 0;
  const walk = new Walk(tx, context, credentials, base);
  const last = walk.toLast(pathBytes(tx, path, length));
  checkLast(last, removeDirectory);
  walk.finish({ ...last, slash: false }, false);
  const { entry } = walk.at;
  const inode = Dirent.inode.get(tx, entry);
  needWritable(tx, last.mount);
  needNames(tx, last.directory);
  needRemoval(tx, credentials, last.directory, walk.at.mount === last.mount ? inode : last.directory);
  if (walk.at.mount !== last.mount) throw errno.EBUSY;
  const directory = isDirectory(tx, inode);
  if (removeDirectory) {
    if (!directory) throw errno.ENOTDIR;
    if (!isEmptyDirectory(tx, inode)) throw errno.ENOTEMPTY;
  } else if (directory) {
    throw errno.EISDIR;
  } else if (last.slash) {
    throw errno.ENOTDIR;
  }
  // Another mount of the same file system may have something on it: Linux detaches that; here it is busy.
  if ((Dirent.flags.get(tx, entry) & DIRENT.MOUNTPOINT) !== 0) throw errno.EBUSY;
  const foreign = foreignOf(tx, inode);
  if (foreign !== undefined) {
    foreign.remove(tx, entry, directory);
    return;
  }
  lockBoth(tx, last.directory, inode);
  removeEntry(tx, entry);
  loseName(tx, last.directory, inode);
  if (!directory) tellSelf(tx, inode, IN.ATTRIB);
  // Nobody has it open by this name: what watches it hears of the end first, as on Linux. Else when it is closed.
  if (Dirent.references.get(tx, entry) === 1 && Inode.links.get(tx, inode) === 0) endWatches(tx, inode);
  tellName(tx, last.directory, last.name, inode, IN.DELETE);
}

function checkLast(last: LastName, removeDirectory: boolean): void {
  const isDot = isName(last.name, ".");
  const isDotDot = isName(last.name, "..");
  if (removeDirectory) {
    if (last.name.length === 0) throw errno.EBUSY;
    if (isDot) throw errno.EINVAL;
    if (isDotDot) throw errno.ENOTEMPTY;
  } else if (isDot || isDotDot || last.name.length === 0) {
    throw errno.EISDIR;
  }
}
