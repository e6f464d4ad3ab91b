/** Changing and testing attributes: chmod, chown, utimensat, faccessat, readlink. */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { Credentials } from "../../kernel/credentials.ts";
import { File } from "../../kernel/file.ts";
import { bytesToSegments } from "../../kernel/request.ts";
import { auth } from "../auth/auth.ts";
import { KEEP, MAY } from "../auth/permission.ts";
import { IN } from "./inotify.ts";
import { tellOf, tellOfFile } from "./notify.ts";
import { needModeChange } from "./seals.ts";
import { needWritable } from "./create.ts";
import { foreignOf } from "./foreign.ts";
import { isDirectory, markChanged, S_IFLNK, S_IFMT, S_IFREG, typeOf } from "./inodes.ts";
import { linkTarget } from "./links.ts";
import { MS } from "./mounts.ts";
import { O } from "./open-flags.ts";
import type { FsContext } from "./records.ts";
import { Dirent, Inode, Mount } from "./records.ts";
import { lockVfs, now, touch } from "./state.ts";
import { AT, NamelessFile, type Place, pathBytes, Walk, walkOrBase } from "./walk.ts";

type PathArguments = [context: FsContext, credentials: Credentials, base: File, path: number, length: number];

/** What is at a path, on a mount that may be written to. */
function toChange(tx: Transaction, at: PathArguments, flags: number): Dirent {
  if ((flags & ~(AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH)) !== 0) throw errno.EINVAL;
  const place = walkOrBase(tx, ...at, flags);
  needWritable(tx, place.mount);
  return place.entry;
}

/** The inode of an open file, likewise, with the vfs lock held. */
function ofFile(tx: Transaction, file: File): Inode {
  lockVfs(tx);
  const inode = File.inode.get(tx, file);
  if (inode === 0) throw errno.EINVAL;
  if ((File.flags.get(tx, file) & O.PATH) !== 0) throw errno.EBADF;
  const mount = File.mount.get(tx, file);
  if (mount !== 0) needWritable(tx, mount);
  return inode;
}

function setMode(tx: Transaction, credentials: Credentials, inode: Inode, mode: number): void {
  if (typeOf(tx, inode) === S_IFLNK) throw errno.EOPNOTSUPP;
  if (auth.isOwner(tx, credentials, Inode.uid.get(tx, inode)) === 0) throw errno.EPERM;
  foreignOf(tx, inode)?.setMode(tx, inode, mode);
  Inode.lock.acquire(tx, inode);
  const bits = auth.modeForChmod(tx, credentials, Inode.gid.get(tx, inode), mode);
  needModeChange(tx, inode, bits);
  Inode.mode.set(tx, inode, (Inode.mode.get(tx, inode) & S_IFMT) | bits);
  markChanged(tx, inode);
  touch(tx, inode, false);
}

export function chmod(tx: Transaction, ...args: [...PathArguments, mode: number, flags: number]): void {
  const [context, credentials, base, path, length, mode, flags] = args;
  const entry = toChange(tx, [context, credentials, base, path, length], flags);
  setMode(tx, credentials, Dirent.inode.get(tx, entry), mode);
  tellOf(tx, entry, IN.ATTRIB);
}

export function chmodFile(tx: Transaction, credentials: Credentials, file: File, mode: number): void {
  setMode(tx, credentials, ofFile(tx, file), mode);
  tellOfFile(tx, file, IN.ATTRIB);
}

function setOwner(tx: Transaction, credentials: Credentials, inode: Inode, uid: number, gid: number): void {
  const newUid = uid >>> 0;
  const newGid = gid >>> 0;
  const oldUid = Inode.uid.get(tx, inode);
  const oldGid = Inode.gid.get(tx, inode);
  if (auth.mayChown(tx, credentials, oldUid, oldGid, newUid, newGid) === 0) throw errno.EPERM;
  if (foreignOf(tx, inode) !== undefined) {
    // The owner is what the grant says; setting it to that is no change.
    if ((newUid !== KEEP && newUid !== oldUid) || (newGid !== KEEP && newGid !== oldGid)) throw errno.EPERM;
    return;
  }
  Inode.lock.acquire(tx, inode);
  if (newUid !== KEEP) Inode.uid.set(tx, inode, newUid);
  if (newGid !== KEEP) Inode.gid.set(tx, inode, newGid);
  const mode = Inode.mode.get(tx, inode);
  if ((mode & S_IFMT) === S_IFREG) Inode.mode.set(tx, inode, auth.modeAfterChown(tx, mode));
  markChanged(tx, inode);
  touch(tx, inode, false);
}

/** −1, as the operations get it: leave an id as it is. */
const KEEP_ID = -1;

export function chown(
  tx: Transaction,
  ...args: [...PathArguments, uid: number, gid: number, flags: number]
): void {
  const [context, credentials, base, path, length, uid, gid, flags] = args;
  const entry = toChange(tx, [context, credentials, base, path, length], flags);
  setOwner(tx, credentials, Dirent.inode.get(tx, entry), uid, gid);
  tellOf(tx, entry, uid === KEEP_ID && gid === KEEP_ID ? 0 : IN.ATTRIB);
}

export function chownFile(
  tx: Transaction,
  credentials: Credentials,
  file: File,
  uid: number,
  gid: number,
): void {
  setOwner(tx, credentials, ofFile(tx, file), uid, gid);
  tellOfFile(tx, file, uid === KEEP_ID && gid === KEEP_ID ? 0 : IN.ATTRIB);
}

/** Nanoseconds of utimensat(2) that stand for the present, or for no change. */
export const UTIME = { NOW: 0x3fffffff, OMIT: 0x3ffffffe } as const;

interface Times {
  readonly aSeconds: number;
  readonly aNanos: number;
  readonly mSeconds: number;
  readonly mNanos: number;
}

function changeTimes(tx: Transaction, credentials: Credentials, inode: Inode, times: Times): void {
  const { aNanos, mNanos } = times;
  for (const nanos of [aNanos, mNanos]) {
    if (nanos !== UTIME.NOW && nanos !== UTIME.OMIT && (nanos < 0 || nanos > 999_999_999)) throw errno.EINVAL;
  }
  if (aNanos === UTIME.OMIT && mNanos === UTIME.OMIT) return;
  const uid = Inode.uid.get(tx, inode);
  if (auth.isOwner(tx, credentials, uid) === 0) {
    // Who may only write may set both to the present, and nothing else.
    if (aNanos !== UTIME.NOW || mNanos !== UTIME.NOW) throw errno.EPERM;
    const mode = Inode.mode.get(tx, inode);
    if (auth.mayAccess(tx, credentials, uid, Inode.gid.get(tx, inode), mode, MAY.WRITE) === 0)
      throw errno.EACCES;
  }
  const present = now(tx);
  const foreign = foreignOf(tx, inode);
  if (foreign !== undefined) {
    const pick = (seconds: number, nanos: number, old: number, oldNanos: number): [number, number] => {
      if (nanos === UTIME.OMIT) return [old, oldNanos];
      return nanos === UTIME.NOW ? [present.seconds, present.nanos] : [seconds, nanos];
    };
    foreign.setTimes(tx, inode, [
      ...pick(times.aSeconds, aNanos, Inode.atime.get(tx, inode), Inode.atimeNanos.get(tx, inode)),
      ...pick(times.mSeconds, mNanos, Inode.mtime.get(tx, inode), Inode.mtimeNanos.get(tx, inode)),
    ]);
    return;
  }
  Inode.lock.acquire(tx, inode);
  if (aNanos !== UTIME.OMIT) {
    const isNow = aNanos === UTIME.NOW;
    Inode.atime.set(tx, inode, isNow ? present.seconds : times.aSeconds);
    Inode.atimeNanos.set(tx, inode, isNow ? present.nanos : aNanos);
  }
  if (mNanos !== UTIME.OMIT) {
    const isNow = mNanos === UTIME.NOW;
    Inode.mtime.set(tx, inode, isNow ? present.seconds : times.mSeconds);
    Inode.mtimeNanos.set(tx, inode, isNow ? present.nanos : mNanos);
  }
  markChanged(tx, inode);
  touch(tx, inode, false);
}

/** The event of a change of times (fsnotify_change). */
function timesEvent(aNanos: number, mNanos: number): number {
  if (aNanos !== UTIME.OMIT && mNanos !== UTIME.OMIT) return IN.ATTRIB;
  if (aNanos !== UTIME.OMIT) return IN.ACCESS;
  return mNanos !== UTIME.OMIT ? IN.MODIFY : 0;
}

export function setTimes(
  tx: Transaction,
  ...args: [
    ...PathArguments,
    aSeconds: number,
    aNanos: number,
    mSeconds: number,
    mNanos: number,
    flags: number,
  ]
): void {
  const [context, credentials, base, path, length, aSeconds, aNanos, mSeconds, mNanos, flags] = args;
  const entry = toChange(tx, [context, credentials, base, path, length], flags);
  changeTimes(tx, credentials, Dirent.inode.get(tx, entry), { aSeconds, aNanos, mSeconds, mNanos });
  tellOf(tx, entry, timesEvent(aNanos, mNanos));
}

export function setTimesFile(
  tx: Transaction,
  credentials: Credentials,
  file: File,
  aSeconds: number,
  aNanos: number,
  mSeconds: number,
  mNanos: number,
): void {
  changeTimes(tx, credentials, ofFile(tx, file), { aSeconds, aNanos, mSeconds, mNanos });
  tellOfFile(tx, file, timesEvent(aNanos, mNanos));
}

export function access(tx: Transaction, ...args: [...PathArguments, mode: number, flags: number]): void {
  const [context, credentials, base, path, length, mode, flags] = args;
  if ((mode & ~7) !== 0 || (flags & ~(AT.EACCESS | AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH)) !== 0)
    throw errno.EINVAL;
  const asReal = (flags & AT.EACCESS) === 0 && !looksAsReal(tx, credentials);
  const who = asReal ? auth.asReal(tx, credentials) : credentials;
  try {
    checkAccess(tx, who, walkOrBase(tx, context, who, base, path, length, flags, true), mode);
  } catch (error) {
    // A pipe or socket that the caller has open: it may use it.
    if (!(error instanceof NamelessFile)) throw error;
  }
  if (asReal) auth.drop(tx, who);
}

/** Whether access by the real ids would be no different, as it nearly always is. */
function looksAsReal(tx: Transaction, credentials: Credentials): boolean {
  const uid = Credentials.uid.get(tx, credentials);
  if (uid !== Credentials.fsUid.get(tx, credentials)) return false;
  if (Credentials.gid.get(tx, credentials) !== Credentials.fsGid.get(tx, credentials)) return false;
  for (let i = 0; i < 2; i++) {
    const permitted = uid === 0 ? Credentials.permittedCapabilities.get(tx, credentials, i) : 0;
    if (Credentials.effectiveCapabilities.get(tx, credentials, i) !== permitted) return false;
  }
  return true;
}

function checkAccess(tx: Transaction, credentials: Credentials, place: Place, wanted: number): void {
  if (wanted === 0) return;
  const inode = Dirent.inode.get(tx, place.entry);
  const mode = Inode.mode.get(tx, inode);
  const plain = (mode & S_IFMT) === S_IFREG || isDirectory(tx, inode);
  if ((wanted & MAY.EXECUTE) !== 0 && (mode & S_IFMT) === S_IFREG) {
    if ((Mount.flags.get(tx, place.mount) & MS.NOEXEC) !== 0) throw errno.EACCES;
  }
  const gid = Inode.gid.get(tx, inode);
  if (auth.mayAccess(tx, credentials, Inode.uid.get(tx, inode), gid, mode, wanted) === 0) throw errno.EACCES;
  if ((wanted & MAY.WRITE) !== 0 && plain) needWritable(tx, place.mount);
}

export function readlink(tx: Transaction, ...args: [...PathArguments, size: number]): number {
  const [context, credentials, base, path, length, size] = args;
  if (size <= 0) throw errno.EINVAL;
  const walk = new Walk(tx, context, credentials, base);
  if (length > 0) walk.toEnd(pathBytes(tx, path, length), false);
  else if (base === 0) throw errno.ENOENT;
  if (typeOf(tx, walk.inode) !== S_IFLNK) throw length === 0 ? errno.ENOENT : errno.EINVAL;
  const target = linkTarget.read(tx, walk.inode);
  const count = Math.min(size, target.length);
  bytesToSegments(tx, 0, target.subarray(0, count));
  return count;
}
