/** New names: files, directories, nodes and symbolic links. */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import { Credentials as Who } from "../../kernel/credentials.ts";
import type { File } from "../../kernel/file.ts";
import { auth } from "../auth/auth.ts";
import { CAP } from "../auth/capabilities.ts";
import { MAY } from "../auth/permission.ts";
import { IN } from "./inotify.ts";
import { tellName, tellSelf } from "./notify.ts";
import { addEntry, clearWhiteout, holdInode } from "./entries.ts";
import { foreignOf } from "./foreign.ts";
import {
  createInode,
  isDirectory,
  markChanged,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
} from "./inodes.ts";
import { isName, type NameBytes, storeBytes } from "./names.ts";
import { MS } from "./mounts.ts";
import { Dirent, DIRENT, FILE_SYSTEM, FileSystem, FsContext, Inode, Mount } from "./records.ts";
import { touch } from "./state.ts";
import { type LastName, type Place, pathBytes, Walk } from "./walk.ts";

/** EROFS if the place is on a mount, or of a file system, that must not be written to. */
export function needWritable(tx: Transaction, mount: Mount): void {
  const fileSystem = Mount.fileSystem.get(tx, mount);
  if (((Mount.flags.get(tx, mount) | FileSystem.flags.get(tx, fileSystem)) & MS.RDONLY) !== 0)
    throw errno.EROFS;
}

/** File systems in which programs may make and remove names. */
export function needNames(tx: Transaction, directory: Inode): void {
  const kind = FileSystem.kind.get(tx, Inode.fileSystem.get(tx, directory));
  const changeable =
    kind === FILE_SYSTEM.MEMORY || kind === FILE_SYSTEM.IMAGE || kind === FILE_SYSTEM.DEVICES;
  if (!changeable && foreignOf(tx, directory) === undefined) throw errno.EPERM;
}

/** EACCES unless names in the directory may be added and removed. */
export function needDirectoryWrite(tx: Transaction, credentials: Credentials, directory: Inode): void {
  const mode = Inode.mode.get(tx, directory);
  const uid = Inode.uid.get(tx, directory);
  const gid = Inode.gid.get(tx, directory);
  if (auth.mayAccess(tx, credentials, uid, gid, mode, MAY.WRITE | MAY.EXECUTE) === 0) throw errno.EACCES;
}

/** Walks to where a new name shall be; EEXIST if it is there already. */
export function walkToNew(walk: Walk, path: NameBytes, allowSlash: boolean): LastName {
  const last = walk.toLast(path);
  if (last.name.length === 0 || isName(last.name, ".") || isName(last.name, "..")) throw errno.EEXIST;
  const { found } = walk.finishOrWhere({ ...last, slash: false }, false);
  if (found) throw errno.EEXIST;
  if (last.slash && !allowSlash) throw errno.ENOENT;
  // A removed directory has no names any more.
  if (Inode.links.get(walk.tx, last.directory) === 0) throw errno.ENOENT;
  needWritable(walk.tx, last.mount);
  needNames(walk.tx, last.directory);
  needDirectoryWrite(walk.tx, walk.credentials, last.directory);
  return last;
}

/** Makes an inode owned by the caller, as in a directory that may have set-gid, and its name. */
export function createIn(
  tx: Transaction,
  credentials: Credentials,
  last: LastName,
  mode: number,
  rdev: number,
  target?: NameBytes,
): { entry: Dirent; inode: Inode } {
  const { directory } = last;
  const foreign = foreignOf(tx, directory);
  if (foreign !== undefined) {
    const made = foreign.create(tx, directory, last.name, mode, target);
    return { entry: made, inode: Dirent.inode.get(tx, made) };
  }
  const inode = createOwned(tx, credentials, directory, mode, rdev);
  const covers = clearWhiteout(tx, directory, last.name);
  Inode.lock.acquire(tx, directory);
  const entry = addEntry(tx, directory, last.name, inode, DIRENT.LISTED | covers);
  Inode.links.init(tx, inode, (mode & S_IFMT) === S_IFDIR ? 2 : 1);
  if ((mode & S_IFMT) === S_IFDIR) Inode.links.set(tx, directory, Inode.links.get(tx, directory) + 1);
  markChanged(tx, directory);
  touch(tx, directory, true);
  tellName(tx, directory, last.name, inode, IN.CREATE);
  return { entry, inode };
}

/** The inode alone: for O_TMPFILE too. */
export function createOwned(
  tx: Transaction,
  credentials: Credentials,
  directory: Inode,
  mode: number,
  rdev: number,
): Inode {
  let gid = Who.fsGid.get(tx, credentials);
  let bits = mode;
  if ((Inode.mode.get(tx, directory) & S_ISGID) !== 0) {
    gid = Inode.gid.get(tx, directory);
    if ((mode & S_IFMT) === S_IFDIR) bits |= S_ISGID;
    else if ((bits & 0o2010) === 0o2010 && auth.isInGroup(tx, credentials, gid) === 0) {
      if (auth.isCapable(tx, credentials, CAP.FSETID) === 0) bits &= ~S_ISGID;
    }
  }
  return createInode(
    tx,
    Inode.fileSystem.get(tx, directory),
    bits,
    Who.fsUid.get(tx, credentials),
    gid,
    rdev,
  );
}

export function mkdir(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  mode: number,
): void {
  const walk = new Walk(tx, context, credentials, base);
  const last = walkToNew(walk, pathBytes(tx, path, length), true);
  if (Inode.links.get(tx, last.directory) >= 65000) throw errno.EMLINK;
  createIn(tx, credentials, last, S_IFDIR | (mode & 0o1777 & ~FsContext.umask.get(tx, context)), 0);
}

export function mknod(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  mode: number,
  device: number,
): void {
  const type = (mode & S_IFMT) === 0 ? S_IFREG : mode & S_IFMT;
  if (type === S_IFDIR) throw errno.EPERM;
  if (![S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK].includes(type)) throw errno.EINVAL;
  const walk = new Walk(tx, context, credentials, base);
  const last = walkToNew(walk, pathBytes(tx, path, length), false);
  const isDevice = type === S_IFCHR || type === S_IFBLK;
  if (isDevice && auth.isCapable(tx, credentials, CAP.MKNOD) === 0) throw errno.EPERM;
  const bits = type | (mode & 0o7777 & ~FsContext.umask.get(tx, context));
  createIn(tx, credentials, last, bits, isDevice ? device : 0);
}

/** bind(2) of a unix socket to a path: the new inode, with a reference that is the caller's. */
export function makeSocket(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
): Inode {
  const walk = new Walk(tx, context, credentials, base);
  const last = walkToNew(walk, pathBytes(tx, path, length), false);
  if (foreignOf(tx, last.directory) !== undefined) throw errno.EPERM;
  const bits = S_IFSOCK | (0o777 & ~FsContext.umask.get(tx, context));
  const { inode } = createIn(tx, credentials, last, bits, 0);
  holdInode(tx, inode);
  return inode;
}

/** The inode of the socket that the path names, for somebody who wants to send there; alive while the transaction is. */
export function findSocket(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
): Inode {
  const place = new Walk(tx, context, credentials, base).toEnd(pathBytes(tx, path, length), true);
  const inode = Dirent.inode.get(tx, place.entry);
  const mode = Inode.mode.get(tx, inode);
  const [uid, gid] = [Inode.uid.get(tx, inode), Inode.gid.get(tx, inode)];
  if (auth.mayAccess(tx, credentials, uid, gid, mode, MAY.WRITE) === 0) throw errno.EACCES;
  if ((mode & S_IFMT) !== S_IFSOCK) throw errno.ECONNREFUSED;
  return inode;
}

export function symlink(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  target: number,
  targetLength: number,
): void {
  if (targetLength === 0) throw errno.ENOENT;
  const text = pathBytes(tx, target, targetLength);
  const walk = new Walk(tx, context, credentials, base);
  const last = walkToNew(walk, pathBytes(tx, path, length), false);
  const { inode } = createIn(tx, credentials, last, S_IFLNK | 0o777, 0, text);
  if (foreignOf(tx, inode) !== undefined) return;
  Inode.target.init(tx, inode, storeBytes(tx, text));
  Inode.size.init(tx, inode, targetLength);
}

export function link(
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
  if ((flags & ~0x1400) !== 0) throw errno.EINVAL;
  let source: Place;
  const walk = new Walk(tx, context, credentials, base);
  if (length === 0 && (flags & 0x1000) !== 0) {
    if (auth.isCapable(tx, credentials, CAP.DAC_READ_SEARCH) === 0) throw errno.ENOENT;
    source = walk.at;
  } else {
    source = walk.toEnd(pathBytes(tx, path, length), (flags & 0x400) !== 0);
  }
  const inode = Dirent.inode.get(tx, source.entry);
  const target = new Walk(tx, context, credentials, newBase);
  const last = walkToNew(target, pathBytes(tx, newPath, newLength), false);
  if (last.mount !== source.mount) throw errno.EXDEV;
  if (isDirectory(tx, inode) || foreignOf(tx, inode) !== undefined) throw errno.EPERM;
  if (Inode.links.get(tx, inode) >= 65000) throw errno.EMLINK;
  const [low, high] = inode < last.directory ? [inode, last.directory] : [last.directory, inode];
  Inode.lock.acquire(tx, low);
  Inode.lock.acquire(tx, high);
  const covers = clearWhiteout(tx, last.directory, last.name);
  addEntry(tx, last.directory, last.name, inode, DIRENT.LISTED | covers);
  Inode.links.set(tx, inode, Inode.links.get(tx, inode) + 1);
  markChanged(tx, inode);
  markChanged(tx, last.directory);
  touch(tx, inode, false);
  touch(tx, last.directory, true);
  tellSelf(tx, inode, IN.ATTRIB);
  tellName(tx, last.directory, last.name, inode, IN.CREATE);
}
