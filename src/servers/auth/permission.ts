/**
 * What credentials allow: the rules of path_resolution(7), chown(2), chmod(2), unlink(2) and kill(2). All of
 * them only read: credentials do not change while somebody refers to them.
 */

import type { HeapView } from "../../heap/heap.ts";
import { Credentials } from "../../kernel/credentials.ts";
import { CAP, hasCapability } from "./capabilities.ts";

/** Bits of `wanted`, as in the permission bits of a mode. */
export const MAY = { READ: 4, WRITE: 2, EXECUTE: 1 } as const;

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_ISVTX = 0o1000;

/** An id argument that means "leave as it is". */
export const KEEP = 0xffff_ffff;

/** Whether `gid` is the file-system group or a supplementary one. */
export function inGroup(view: HeapView, credentials: Credentials, gid: number): boolean {
  if (Credentials.fsGid.get(view, credentials) === gid) return true;
  const count = Credentials.groupCount.get(view, credentials);
  for (let i = 0; i < count; i++) if (Credentials.groups.get(view, credentials, i) >>> 0 === gid) return true;
  return false;
}

/** Whether a file with this owner, group and mode (with its type) may be accessed as `wanted` says. */
export function mayAccess(
  view: HeapView,
  credentials: Credentials,
  uid: number,
  gid: number,
  mode: number,
  wanted: number,
): boolean {
  let granted = mode;
  if (Credentials.fsUid.get(view, credentials) === uid) granted = mode >> 6;
  else if (((mode >> 3) & 7) !== (mode & 7) && inGroup(view, credentials, gid)) granted = mode >> 3;
  if ((granted & wanted) === wanted) return true;
  if ((mode & S_IFMT) === S_IFDIR) {
    if (hasCapability(view, credentials, CAP.DAC_OVERRIDE)) return true;
    return (wanted & MAY.WRITE) === 0 && hasCapability(view, credentials, CAP.DAC_READ_SEARCH);
  }
  if (wanted === MAY.READ && hasCapability(view, credentials, CAP.DAC_READ_SEARCH)) return true;
  if ((wanted & MAY.EXECUTE) !== 0 && (mode & 0o111) === 0) return false;
  return hasCapability(view, credentials, CAP.DAC_OVERRIDE);
}

/** Whether an entry of `victimUid`'s may be removed from a directory, as far as the sticky bit is concerned. */
export function mayRemove(
  view: HeapView,
  credentials: Credentials,
  directoryMode: number,
  directoryUid: number,
  victimUid: number,
): boolean {
  if ((directoryMode & S_ISVTX) === 0) return true;
  const uid = Credentials.fsUid.get(view, credentials);
  return uid === victimUid || uid === directoryUid || hasCapability(view, credentials, CAP.FOWNER);
}

/** Whether the credentials own a file of `uid` or may act as if they did: chmod, utimes, sticky directories. */
export function isOwner(view: HeapView, credentials: Credentials, uid: number): boolean {
  return Credentials.fsUid.get(view, credentials) === uid || hasCapability(view, credentials, CAP.FOWNER);
}

/** Whether owner and group of a file may be changed to these ({@link KEEP}: stays). */
export function mayChown(
  view: HeapView,
  credentials: Credentials,
  uid: number,
  gid: number,
  newUid: number,
  newGid: number,
): boolean {
  if (hasCapability(view, credentials, CAP.CHOWN)) return true;
  const mine = Credentials.fsUid.get(view, credentials) === uid;
  if (newUid !== KEEP && (!mine || newUid !== uid)) return false;
  return newGid === KEEP || (mine && (newGid === gid || inGroup(view, credentials, newGid)));
}

/** The mode that a file gets which chown(2) has been called on: set-uid and set-gid go, except on directories. */
export function modeAfterChown(mode: number): number {
  return (mode & S_IFMT) === S_IFDIR ? mode : withoutPrivileges(mode);
}

/** The mode that a file gets which these credentials have written to or truncated. */
export function modeAfterWrite(view: HeapView, credentials: Credentials, mode: number): number {
  if ((mode & (S_ISUID | S_ISGID)) === 0 || hasCapability(view, credentials, CAP.FSETID)) return mode;
  return withoutPrivileges(mode);
}

/** Without group execution, set-gid means mandatory locking and stays (inode(7)). */
function withoutPrivileges(mode: number): number {
  return mode & ~S_ISUID & ((mode & 0o010) !== 0 ? ~S_ISGID : -1);
}

/** The permission bits that chmod(2) to `mode` sets on a file of group `gid`. */
export function modeForChmod(view: HeapView, credentials: Credentials, gid: number, mode: number): number {
  const keeps = inGroup(view, credentials, gid) || hasCapability(view, credentials, CAP.FSETID);
  return mode & 0o7777 & (keeps ? -1 : ~S_ISGID);
}

/** Whether a process with `sender`'s credentials may signal one with `target`'s. */
export function mayKill(view: HeapView, sender: Credentials, target: Credentials): boolean {
  const effective = Credentials.effectiveUid.get(view, sender);
  const real = Credentials.uid.get(view, sender);
  const targetReal = Credentials.uid.get(view, target);
  const targetSaved = Credentials.savedUid.get(view, target);
  return (
    effective === targetSaved ||
    effective === targetReal ||
    real === targetSaved ||
    real === targetReal ||
    hasCapability(view, sender, CAP.KILL)
  );
}
