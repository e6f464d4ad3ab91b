/** Inotify instances as open files, and the calls that watch by name. */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import { createFile, File, FILE_KINDS, registerFileKind } from "../../kernel/file.ts";
import { auth } from "../auth/auth.ts";
import { MAY } from "../auth/permission.ts";
import { dropAfterCommit } from "../server.ts";
import { isDirectory } from "./inodes.ts";
import {
  createInotify,
  IN,
  type Inotify,
  inotifyAvailable,
  pollInotify,
  readInotify,
  unwatchInode,
  watchInode,
} from "./inotify.ts";
import type { FsContext } from "./records.ts";
import { Inode } from "./records.ts";
import { pathBytes, Walk } from "./walk.ts";

const INOTIFY = FILE_KINDS.indexOf("inotify");

/** inotify_init1(2): a new instance's file with `flags` (O_NONBLOCK), charged to user `uid`. */
export function openInotify(tx: Transaction, flags: number, uid: number): File {
  return createFile(tx, "inotify", createInotify(tx, uid), flags);
}

/** The instance of a file; EINVAL if it is none. */
function instanceOf(tx: Transaction, file: File): Inotify {
  if (File.kind.get(tx, file) !== INOTIFY) throw errno.EINVAL;
  return File.object.get(tx, file) as Inotify;
}

/** inotify_add_watch(2): the watch descriptor. The caller may read what it watches. */
export function addWatch(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  file: File,
  mask: number,
): number {
  const instance = instanceOf(tx, file);
  const walk = new Walk(tx, context, credentials, base);
  walk.toEnd(pathBytes(tx, path, length), (mask & IN.DONT_FOLLOW) === 0);
  const { inode } = walk;
  if ((mask & IN.ONLYDIR) !== 0 && !isDirectory(tx, inode)) throw errno.ENOTDIR;
  const owner = [Inode.uid.get(tx, inode), Inode.gid.get(tx, inode)] as const;
  const allowed = auth.mayAccess(tx, credentials, ...owner, Inode.mode.get(tx, inode), MAY.READ);
  if (allowed === 0) throw errno.EACCES;
  return watchInode(tx, instance, inode, mask);
}

/** inotify_rm_watch(2). */
export function removeWatch(tx: Transaction, file: File, wd: number): void {
  unwatchInode(tx, instanceOf(tx, file), wd);
}

/** Bytes that wait to be read (FIONREAD). */
export function watchedBytes(tx: Transaction, file: File): number {
  return inotifyAvailable(tx, instanceOf(tx, file));
}

registerFileKind({
  name: "inotify",
  read(tx, file, length, offset, nonblock) {
    if (offset !== -1) throw errno.ESPIPE;
    return readInotify(tx, instanceOf(tx, file), length, nonblock);
  },
  write() {
    throw errno.EBADF;
  },
  poll: (tx, file, note) => pollInotify(tx, instanceOf(tx, file), note),
  release: (tx, file) => dropAfterCommit(tx, File.object.get(tx, file)),
});
