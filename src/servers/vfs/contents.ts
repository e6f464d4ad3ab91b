/**
 * Reading, writing, truncating and seeking in regular files. Large requests are done in part: the caller sees
 * a short count and calls again, in another transaction (rule R3).
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File } from "../../kernel/file.ts";
import { copyFromSegments, copyToSegments, fillSegments } from "../../kernel/request.ts";
import { auth } from "../auth/auth.ts";
import { needResizable, writableLength } from "./seals.ts";
import { markChanged } from "./inodes.ts";
import { O } from "./open-flags.ts";
import {
  bringTail,
  cutPages,
  frameForReading,
  frameForWriting,
  hasPage,
  PAGE_BYTES,
  tellMappings,
} from "./pages.ts";
import { lastPage, nextPage } from "./radix.ts";
import { Inode } from "./records.ts";
import { now, touch } from "./state.ts";

/** Greatest file size (MAX_LFS_FILESIZE would be 2^63 − 1; page numbers and offsets stay exact below 2^43). */
export const SIZE_MAX: number = 2 ** 43;
/** Pages that one transaction reads or writes at most. */
const PAGES_AT_ONCE = 24;
/** No limit, for RLIMIT_FSIZE. */
export const NO_LIMIT: number = 2 ** 53;

/** Reads from a regular file into the segments. */
export function readContents(tx: Transaction, inode: Inode, position: number, length: number): number {
  bringTail(tx, inode);
  const size = Inode.size.get(tx, inode);
  const end = Math.min(
    size,
    position + length,
    (Math.floor(position / PAGE_BYTES) + PAGES_AT_ONCE) * PAGE_BYTES,
  );
  if (position >= end) return 0;
  // First all pages, then the bytes: a page that is missing must not leave the user's memory half written.
  const first = Math.floor(position / PAGE_BYTES);
  const frames: number[] = [];
  for (let index = first; index * PAGE_BYTES < end; index++) frames.push(frameForReading(tx, inode, index));
  let at = position;
  for (const frame of frames) {
    const within = at % PAGE_BYTES;
    const run = Math.min(PAGE_BYTES - within, end - at);
    if (frame < 0) fillSegments(tx, at - position, run, 0);
    else copyToSegments(tx, at - position, frame * PAGE_BYTES + within, run);
    at += run;
  }
  return end - position;
}

/** Notes the time of a read as Linux does by default (relatime): once a day, or after a change. */
export function noteAccess(tx: Transaction, inode: Inode): void {
  const { seconds, nanos } = now(tx);
  const last = Inode.atime.get(tx, inode);
  const changed = Math.max(Inode.mtime.get(tx, inode), Inode.ctime.get(tx, inode));
  if (last > changed && seconds - last < 86400) return;
  markChanged(tx, inode);
  Inode.atime.set(tx, inode, seconds);
  Inode.atimeNanos.set(tx, inode, nanos);
}

/**
 * Writes from the segments into a regular file at `position`; returns how many bytes. `limit` is RLIMIT_FSIZE:
 * nothing is written beyond it, and EFBIG is thrown if that leaves nothing.
 */
export function writeContents(
  tx: Transaction,
  inode: Inode,
  position: number,
  length: number,
  limit: number,
): number {
  bringTail(tx, inode);
  const most = Math.min(limit, SIZE_MAX);
  if (length === 0) return 0;
  if (position >= most) throw errno.EFBIG;
  const size = Inode.size.get(tx, inode);
  const end = Math.min(
    position + writableLength(tx, inode, position, length),
    most,
    (Math.floor(position / PAGE_BYTES) + PAGES_AT_ONCE) * PAGE_BYTES,
  );
  markChanged(tx, inode);
  if (position > size) zeroGap(tx, inode, size);
  let at = position;
  try {
    while (at < end) {
      const index = Math.floor(at / PAGE_BYTES);
      const base = index * PAGE_BYTES;
      const from = at - base;
      const to = Math.min(PAGE_BYTES, end - base);
      const committed = Math.max(0, Math.min(PAGE_BYTES, size - base));
      const frame = frameForWriting(tx, inode, index, from, to, committed);
      copyFromSegments(tx, at - position, frame * PAGE_BYTES + from, to - from);
      at = base + to;
    }
  } catch (error) {
    // Memory or space ran out: what has been written counts, unless it is nothing.
    if (at === position || (error !== errno.ENOMEM && error !== errno.ENOSPC)) throw error;
  }
  if (at > size) Inode.size.set(tx, inode, at);
  touch(tx, inode, true);
  return at - position;
}

/** Before the file grows beyond `size`: the bytes of its last page after the end become zeros that count. */
function zeroGap(tx: Transaction, inode: Inode, size: number): void {
  const within = size % PAGE_BYTES;
  if (within === 0) return;
  const index = Math.floor(size / PAGE_BYTES);
  if (!hasPage(tx, inode, index)) return;
  const frame = frameForWriting(tx, inode, index, within, PAGE_BYTES, within);
  tx.memoryBytes.fill(0, frame * PAGE_BYTES + within, frame * PAGE_BYTES + PAGE_BYTES);
}

/**
 * Sets the size. 1 if only a part is done (the file is shorter than before, and not yet as short as it shall
 * be): call again in another transaction.
 */
export function setSize(tx: Transaction, inode: Inode, size: number, limit: number): number {
  if (size < 0) throw errno.EINVAL;
  if (size > SIZE_MAX) throw errno.EFBIG;
  bringTail(tx, inode);
  const old = Inode.size.get(tx, inode);
  needResizable(tx, inode, size);
  if (size > old) {
    if (size > limit) throw errno.EFBIG;
    zeroGap(tx, inode, old);
    Inode.size.set(tx, inode, size);
  } else if (size < old) {
    const keep = Math.ceil(size / PAGE_BYTES);
    // From the end: while there is more to cut, the file ends above the pages that are still there.
    if (cutPages(tx, inode, keep)) {
      const most = Math.max(size, Math.min(old, (lastPage(tx, Inode.pages.get(tx, inode)) + 1) * PAGE_BYTES));
      Inode.size.set(tx, inode, most);
      tellMappings(tx, inode, Math.ceil(most / PAGE_BYTES), Number.MAX_SAFE_INTEGER);
      markChanged(tx, inode);
      if (most > size) return 1;
    }
    Inode.size.set(tx, inode, size);
    tellMappings(tx, inode, keep, Number.MAX_SAFE_INTEGER);
    const within = size % PAGE_BYTES;
    if (within !== 0 && hasPage(tx, inode, keep - 1)) {
      // Linux zeroes the rest of the last page at once, so that a mapping shows zeros there.
      const frame = frameForWriting(tx, inode, keep - 1, within, PAGE_BYTES, within);
      tx.memoryBytes.fill(0, frame * PAGE_BYTES + within, frame * PAGE_BYTES + PAGE_BYTES);
    }
  }
  markChanged(tx, inode);
  touch(tx, inode, true);
  return 0;
}

/** SEEK_DATA (3) and SEEK_HOLE (4), by pages. */
export function seekData(tx: Transaction, inode: Inode, offset: number, whence: number): number {
  const size = Inode.size.get(tx, inode);
  if (offset < 0 || offset >= size) throw errno.ENXIO;
  const wantsData = whence === 3;
  bringTail(tx, inode);
  let index = Math.floor(offset / PAGE_BYTES);
  if (wantsData) {
    if (!hasPage(tx, inode, index)) index = nextPage(tx, Inode.pages.get(tx, inode), index);
    if (index < 0 || index * PAGE_BYTES >= size) throw errno.ENXIO;
  } else {
    while (index * PAGE_BYTES < size && hasPage(tx, inode, index)) index++;
  }
  return Math.min(size, Math.max(offset, index * PAGE_BYTES));
}

/** Where a write goes, by the file's flags and the offset given (−1: the file's position). */
export function writePosition(tx: Transaction, file: File, inode: Inode, offset: number): number {
  // As on Linux, O_APPEND counts whatever the offset (pwrite(2), BUGS).
  if ((File.flags.get(tx, file) & O.APPEND) !== 0) return Inode.size.get(tx, inode);
  if (offset >= 0) return offset;
  return File.position.get(tx, file);
}

/** Takes set-uid and set-gid away from a file that somebody without CAP_FSETID writes to. */
export function dropPrivileges(tx: Transaction, file: File, inode: Inode): void {
  const mode = Inode.mode.get(tx, inode);
  if ((mode & 0o6000) === 0) return;
  const changed = auth.modeAfterWrite(tx, File.credentials.get(tx, file), mode);
  if (changed !== mode) Inode.mode.set(tx, inode, changed);
}
