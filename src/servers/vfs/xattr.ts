/**
 * Extended attributes. Those of the image are shown as they are; since boot, attributes may be set and removed
 * on files of the image and of memory, and live in the heap, with the inode.
 */

import { errno } from "../../base/errno.ts";
import { decodeUtf8, encodeUtf8 } from "../../base/text.ts";
import { SLOT } from "../../heap/layout.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import { File } from "../../kernel/file.ts";
import { Task } from "../../kernel/task.ts";
import { bytesFromSegments, bytesToSegments } from "../../kernel/request.ts";
import { auth } from "../auth/auth.ts";
import { CAP } from "../auth/capabilities.ts";
import { MAY } from "../auth/permission.ts";
import { IN } from "./inotify.ts";
import { tellOf, tellOfFile } from "./notify.ts";
import { needNames, needWritable } from "./create.ts";
import { foreignOf } from "./foreign.ts";
import { readImageXattrs } from "./image.ts";
import { markChanged, S_IFDIR, S_IFREG, typeOf } from "./inodes.ts";
import { freeBytes, NAME_MAX, nameOf, storeBytes } from "./names.ts";
import type { FsContext } from "./records.ts";
import { Dirent, Inode, Xattr } from "./records.ts";
import { lockVfs, touch } from "./state.ts";
import { AT, pathBytes, walkOrBase } from "./walk.ts";

/** Bytes of one attribute's value, and attributes of one inode, that the heap keeps. */
const VALUE_MAX = 4096;
const XATTRS_MAX = 64;
const S_ISVTX = 0o1000;
const SET = { CREATE: 1, REPLACE: 2 } as const;

/** All attributes of an inode: the heap's say more than the image's. */
function attributesOf(tx: Transaction, inode: Inode): Map<string, Uint8Array> {
  const all = new Map<string, Uint8Array>();
  for (const { name, value } of readImageXattrs(tx, inode)) all.set(name, value);
  for (let xattr = Inode.xattrs.get(tx, inode); xattr !== 0; xattr = Xattr.next.get(tx, xattr)) {
    const name = textOf(tx, Xattr.name.get(tx, xattr), Xattr.nameLength.get(tx, xattr));
    const length = Xattr.valueLength.get(tx, xattr);
    if (length < 0) all.delete(name);
    else
      all.set(name, tx.bytes.slice(Xattr.value.get(tx, xattr) * 4, Xattr.value.get(tx, xattr) * 4 + length));
  }
  return all;
}

function textOf(tx: Transaction, record: number, length: number): string {
  return decodeUtf8(tx.bytes.slice(record * 4, record * 4 + length));
}

/** The name in a path buffer; it must have a namespace that is known. */
function nameArgument(tx: Transaction, which: number, length: number): string {
  if (length === 0 || length > NAME_MAX) throw errno.ERANGE;
  const { source, start } = pathBytes(tx, which, length);
  const name = decodeUtf8(source.slice(start, start + length));
  if (!/^(user|trusted|security)\./.test(name)) throw errno.EOPNOTSUPP;
  // A namespace without a name in it.
  if (name.endsWith(".") && name.indexOf(".") === name.length - 1) throw errno.EINVAL;
  return name;
}

/** Whether the caller may read or change an attribute of this name (xattr(7)). */
function needNamespace(
  tx: Transaction,
  credentials: Credentials,
  inode: Inode,
  name: string,
  wanted: number,
): void {
  if (name.startsWith("trusted.") && auth.isCapable(tx, credentials, CAP.SYS_ADMIN) === 0) {
    throw wanted === MAY.READ ? errno.ENODATA : errno.EPERM;
  }
  if (!name.startsWith("user.")) return;
  const type = typeOf(tx, inode);
  if (type !== S_IFREG && type !== S_IFDIR) throw wanted === MAY.READ ? errno.ENODATA : errno.EPERM;
  const mode = Inode.mode.get(tx, inode);
  // In a directory where all may write, only the owner says what it is.
  const isSticky = type === S_IFDIR && (mode & S_ISVTX) !== 0;
  if (wanted === MAY.WRITE && isSticky && auth.isOwner(tx, credentials, Inode.uid.get(tx, inode)) === 0)
    throw errno.EPERM;
  const gid = Inode.gid.get(tx, inode);
  if (auth.mayAccess(tx, credentials, Inode.uid.get(tx, inode), gid, mode, wanted) === 0) throw errno.EACCES;
}

function get(tx: Transaction, credentials: Credentials, inode: Inode, name: string, size: number): number {
  Inode.lock.acquire(tx, inode);
  needNamespace(tx, credentials, inode, name, MAY.READ);
  const value = attributesOf(tx, inode).get(name);
  if (value === undefined) throw errno.ENODATA;
  return deliver(tx, value, size);
}

/** Hands `bytes` out; with a size of 0, only says how many there are. */
function deliver(tx: Transaction, bytes: Uint8Array, size: number): number {
  if (size === 0) return bytes.length;
  if (bytes.length > size) throw errno.ERANGE;
  bytesToSegments(tx, 0, bytes);
  return bytes.length;
}

function list(tx: Transaction, inode: Inode, size: number): number {
  Inode.lock.acquire(tx, inode);
  const task = tx.words[tx.slotAt + SLOT.owner]! as Task;
  const seesAll = task === 0 || auth.isCapable(tx, Task.credentials.get(tx, task), CAP.SYS_ADMIN) !== 0;
  const names = [...attributesOf(tx, inode).keys()]
    .filter((name) => seesAll || !name.startsWith("trusted."))
    .map((name) => `${name}\0`);
  return deliver(tx, encodeUtf8(names.join("")), size);
}

/** Sets an attribute to the first `size` bytes of the segments; −1 removes it. */
function change(
  tx: Transaction,
  credentials: Credentials,
  inode: Inode,
  name: string,
  size: number,
  flags: number,
): void {
  needNames(tx, inode);
  if (foreignOf(tx, inode) !== undefined) throw errno.EOPNOTSUPP;
  Inode.lock.acquire(tx, inode);
  needNamespace(tx, credentials, inode, name, MAY.WRITE);
  if (name.startsWith("security.") && auth.isCapable(tx, credentials, CAP.SYS_ADMIN) === 0) throw errno.EPERM;
  const known = attributesOf(tx, inode);
  if (size < 0 || (flags & SET.REPLACE) !== 0) {
    if (!known.has(name)) throw errno.ENODATA;
  } else if ((flags & SET.CREATE) !== 0 && known.has(name)) {
    throw errno.EEXIST;
  }
  if (size > VALUE_MAX || (size >= 0 && !known.has(name) && known.size >= XATTRS_MAX)) throw errno.ENOSPC;
  if (size < 0 && !readImageXattrs(tx, inode).some((each) => each.name === name)) {
    forget(tx, inode, name);
    touch(tx, inode, false);
    return;
  }
  const value = new Uint8Array(Math.max(0, size));
  if (size > 0) bytesFromSegments(tx, 0, value);
  forget(tx, inode, name);
  const xattr = Xattr.allocate(tx);
  const bytes = encodeUtf8(name);
  Xattr.name.init(tx, xattr, storeBytes(tx, nameOf(bytes)));
  Xattr.nameLength.init(tx, xattr, bytes.length);
  Xattr.value.init(tx, xattr, storeBytes(tx, nameOf(value)));
  Xattr.valueLength.init(tx, xattr, size);
  Xattr.next.init(tx, xattr, Inode.xattrs.get(tx, inode));
  Inode.xattrs.set(tx, inode, xattr);
  markChanged(tx, inode);
  touch(tx, inode, false);
}

/** Takes what the heap says about an attribute away. */
function forget(tx: Transaction, inode: Inode, name: string): void {
  let before = none<"xattr">();
  for (let xattr = Inode.xattrs.get(tx, inode); xattr !== 0; xattr = Xattr.next.get(tx, xattr)) {
    if (textOf(tx, Xattr.name.get(tx, xattr), Xattr.nameLength.get(tx, xattr)) === name) {
      const after = Xattr.next.get(tx, xattr);
      if (before === 0) Inode.xattrs.set(tx, inode, after);
      else Xattr.next.set(tx, before, after);
      freeBytes(tx, Xattr.name.get(tx, xattr));
      freeBytes(tx, Xattr.value.get(tx, xattr));
      Xattr.free(tx, xattr);
      return;
    }
    before = xattr;
  }
}

type PathArguments = [context: FsContext, credentials: Credentials, base: File, path: number, length: number];

function entryAt(tx: Transaction, at: PathArguments, flags: number, write: boolean): Dirent {
  const place = walkOrBase(tx, ...at, flags & (AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH));
  if (write) needWritable(tx, place.mount);
  return place.entry;
}

function inodeAt(tx: Transaction, at: PathArguments, flags: number): Inode {
  return Dirent.inode.get(tx, entryAt(tx, at, flags, false));
}

/** The inode of an open file, with the vfs lock held: attributes of images are read under it. */
function inodeOf(tx: Transaction, file: File, write: boolean): Inode {
  lockVfs(tx);
  const inode = File.inode.get(tx, file);
  if (inode === 0) throw errno.EOPNOTSUPP;
  if (write && File.mount.get(tx, file) !== 0) needWritable(tx, File.mount.get(tx, file));
  return inode;
}

export function getxattr(
  tx: Transaction,
  ...args: [...PathArguments, name: number, nameLength: number, size: number, flags: number]
): number {
  const [context, credentials, base, path, length, name, nameLength, size, flags] = args;
  const text = nameArgument(tx, name, nameLength);
  return get(tx, credentials, inodeAt(tx, [context, credentials, base, path, length], flags), text, size);
}

export function getxattrFile(
  tx: Transaction,
  credentials: Credentials,
  file: File,
  name: number,
  nameLength: number,
  size: number,
): number {
  return get(tx, credentials, inodeOf(tx, file, false), nameArgument(tx, name, nameLength), size);
}

export function listxattr(tx: Transaction, ...args: [...PathArguments, size: number, flags: number]): number {
  const [context, credentials, base, path, length, size, flags] = args;
  return list(tx, inodeAt(tx, [context, credentials, base, path, length], flags), size);
}

export function listxattrFile(tx: Transaction, file: File, size: number): number {
  return list(tx, inodeOf(tx, file, false), size);
}

export function setxattr(
  tx: Transaction,
  ...args: [...PathArguments, name: number, nameLength: number, size: number, flags: number, setFlags: number]
): void {
  const [context, credentials, base, path, length, name, nameLength, size, flags, setFlags] = args;
  const text = nameArgument(tx, name, nameLength);
  const entry = entryAt(tx, [context, credentials, base, path, length], flags, true);
  change(tx, credentials, Dirent.inode.get(tx, entry), text, size, setFlags);
  tellOf(tx, entry, IN.ATTRIB);
}

export function setxattrFile(
  tx: Transaction,
  credentials: Credentials,
  file: File,
  name: number,
  nameLength: number,
  size: number,
  setFlags: number,
): void {
  change(tx, credentials, inodeOf(tx, file, true), nameArgument(tx, name, nameLength), size, setFlags);
  tellOfFile(tx, file, IN.ATTRIB);
}
