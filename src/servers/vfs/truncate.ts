/** truncate(2), ftruncate(2), fallocate(2). */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import { File } from "../../kernel/file.ts";
import { auth } from "../auth/auth.ts";
import { MAY } from "../auth/permission.ts";
import { IN } from "./inotify.ts";
import { tellOf, tellOfFile } from "./notify.ts";
import { deniesWriting, needResizable } from "./seals.ts";
import { dropPrivileges, NO_LIMIT, setSize, SIZE_MAX } from "./contents.ts";
import { needWritable } from "./create.ts";
import { foreignOf } from "./foreign.ts";
import { isDirectory, markChanged, S_IFREG, typeOf } from "./inodes.ts";
import { wantsWrite } from "./open-flags.ts";
import { frameForReading, frameForWriting, hasPage, PAGE_BYTES } from "./pages.ts";
import type { FsContext } from "./records.ts";
import { Dirent, Inode } from "./records.ts";
import { lockVfs, touch } from "./state.ts";
import { walkTo } from "./walk.ts";

export function truncate(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  size: number,
  limit: number,
): number {
  if (size < 0) throw errno.EINVAL;
  const place = walkTo(tx, context, credentials, base, path, length, true);
  const inode = Dirent.inode.get(tx, place.entry);
  if (isDirectory(tx, inode)) throw errno.EISDIR;
  if (typeOf(tx, inode) !== S_IFREG) throw errno.EINVAL;
  const mode = Inode.mode.get(tx, inode);
  const gid = Inode.gid.get(tx, inode);
  if (auth.mayAccess(tx, credentials, Inode.uid.get(tx, inode), gid, mode, MAY.WRITE) === 0)
    throw errno.EACCES;
  needWritable(tx, place.mount);
  const foreign = foreignOf(tx, inode);
  if (foreign !== undefined) {
    foreign.setSize(tx, inode, size);
    return 0;
  }
  Inode.lock.acquire(tx, inode);
  if (Inode.denials.get(tx, inode) > 0) throw errno.ETXTBSY;
  const privileges = auth.modeAfterWrite(tx, credentials, mode);
  if (privileges !== mode) Inode.mode.set(tx, inode, privileges);
  const more = setSize(tx, inode, size, limit);
  if (more === 0) tellOf(tx, place.entry, IN.MODIFY);
  return more;
}

export function truncateFile(tx: Transaction, file: File, size: number, limit: number): number {
  const inode = File.inode.get(tx, file);
  if (size < 0 || inode === 0 || typeOf(tx, inode) !== S_IFREG || !wantsWrite(File.flags.get(tx, file))) {
    throw errno.EINVAL;
  }
  const foreign = foreignOf(tx, inode);
  if (foreign !== undefined) {
    lockVfs(tx);
    foreign.setSize(tx, inode, size);
    return 0;
  }
  lockWithMode(tx, inode);
  dropPrivileges(tx, file, inode);
  const more = setSize(tx, inode, size, limit);
  if (more === 0) tellOfFile(tx, file, IN.MODIFY);
  return more;
}

/** The inode's lock, and before it the vfs lock if the mode has bits that writing takes away. */
function lockWithMode(tx: Transaction, inode: Inode): void {
  if ((Inode.mode.get(tx, inode) & 0o6000) !== 0) lockVfs(tx);
  Inode.lock.acquire(tx, inode);
}

const FALLOC = { KEEP_SIZE: 1, PUNCH_HOLE: 2, ZERO_RANGE: 16 } as const;
/** Pages that one transaction makes or zeroes. */
const PAGES_AT_ONCE = 32;

/**
 * fallocate(2). Memory is given when it is written, so reserving only sets the size; punching and zeroing
 * write zeros into the pages that there are. 1: a part is done, call again.
 */
export function fallocate(tx: Transaction, file: File, mode: number, offset: number, length: number): number {
  const inode = File.inode.get(tx, file);
  if (offset < 0 || length <= 0) throw errno.EINVAL;
  if (!wantsWrite(File.flags.get(tx, file))) throw errno.EBADF;
  if (inode === 0 || typeOf(tx, inode) !== S_IFREG) throw errno.ENODEV;
  if (offset + length > SIZE_MAX) throw errno.EFBIG;
  if (foreignOf(tx, inode) !== undefined) throw errno.EOPNOTSUPP;
  const punch = (mode & FALLOC.PUNCH_HOLE) !== 0;
  if ((mode & ~(FALLOC.KEEP_SIZE | FALLOC.PUNCH_HOLE | FALLOC.ZERO_RANGE)) !== 0) throw errno.EOPNOTSUPP;
  if (punch && (mode & FALLOC.KEEP_SIZE) === 0) throw errno.EOPNOTSUPP;
  lockWithMode(tx, inode);
  dropPrivileges(tx, file, inode);
  const end = offset + length;
  const zeroes = punch || (mode & FALLOC.ZERO_RANGE) !== 0;
  if (zeroes && deniesWriting(tx, inode)) throw errno.EPERM;
  if ((mode & FALLOC.KEEP_SIZE) === 0 && end > Inode.size.get(tx, inode)) needResizable(tx, inode, end);
  if (zeroes && zeroRange(tx, inode, offset, Math.min(end, Inode.size.get(tx, inode)))) return 1;
  if ((mode & FALLOC.KEEP_SIZE) === 0 && end > Inode.size.get(tx, inode)) {
    if (setSize(tx, inode, end, NO_LIMIT) !== 0) return 1;
  }
  tellOfFile(tx, file, IN.MODIFY);
  return 0;
}

/** Writes zeros over the range, a part of it at a time; true if there is more to do. */
function zeroRange(tx: Transaction, inode: Inode, offset: number, end: number): boolean {
  let done = 0;
  const size = Inode.size.get(tx, inode);
  for (let index = Math.floor(offset / PAGE_BYTES); index * PAGE_BYTES < end; index++) {
    const base = index * PAGE_BYTES;
    const from = Math.max(0, offset - base);
    const to = Math.min(PAGE_BYTES, end - base);
    if (!hasPage(tx, inode, index) || isZero(tx, inode, index, from, to)) continue;
    if (done++ === PAGES_AT_ONCE) return true;
    const committed = Math.min(PAGE_BYTES, size - base);
    const frame = frameForWriting(tx, inode, index, from, to, committed);
    tx.memoryBytes.fill(0, frame * PAGE_BYTES + from, frame * PAGE_BYTES + to);
  }
  markChanged(tx, inode);
  touch(tx, inode, true);
  return false;
}

function isZero(tx: Transaction, inode: Inode, index: number, from: number, to: number): boolean {
  const at = frameForReading(tx, inode, index) * PAGE_BYTES;
  for (let i = from; i < to; i++) if (tx.memoryBytes[at + i] !== 0) return false;
  return true;
}
