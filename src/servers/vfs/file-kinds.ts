/** Open regular files, directories and paths: the kinds "inode", "directory" and "path". */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File, type FileKind, POLL, registerFileKind } from "../../kernel/file.ts";
import { holdFrame } from "../../kernel/memory/frames.ts";
import { IN } from "./inotify.ts";
import { tellOfFile } from "./notify.ts";
import { deniesWriting } from "./seals.ts";
import {
  dropPrivileges,
  NO_LIMIT,
  noteAccess,
  readContents,
  seekData,
  SIZE_MAX,
  writeContents,
  writePosition,
} from "./contents.ts";
import { O, wantsRead, wantsWrite } from "./open-flags.ts";
import { bringTail, frameForMapping, frameToShow, PAGE_BYTES } from "./pages.ts";
import { Inode, INODE } from "./records.ts";
import { lockInode, lockVfs } from "./state.ts";

const READY = POLL.IN | POLL.OUT | POLL.RDNORM | POLL.WRNORM;

/** lseek(2) with whence 0 to 2, given the size that SEEK_END counts from. */
export function seekTo(tx: Transaction, file: File, offset: number, whence: number, size: number): number {
  File.lock.acquire(tx, file);
  let base = 0;
  if (whence === 1) base = File.position.get(tx, file);
  else if (whence === 2) base = size;
  else if (whence !== 0) throw errno.EINVAL;
  const position = base + offset;
  if (position < 0 || position > SIZE_MAX) throw errno.EINVAL;
  File.position.set(tx, file, position);
  return position;
}

export function writeFile(
  tx: Transaction,
  file: File,
  length: number,
  offset: number,
  limit: number,
): number {
  if (!wantsWrite(File.flags.get(tx, file))) throw errno.EBADF;
  const inode = File.inode.get(tx, file);
  // Taking away set-uid changes the mode, which the vfs lock guards too.
  const privileged = (Inode.mode.get(tx, inode) & 0o6000) !== 0;
  if (privileged) lockVfs(tx);
  Inode.lock.acquire(tx, inode);
  File.lock.acquire(tx, file);
  if (privileged && length > 0) dropPrivileges(tx, file, inode);
  const position = writePosition(tx, file, inode, offset);
  const count = writeContents(tx, inode, position, length, limit);
  if (offset < 0) File.position.set(tx, file, position + count);
  if (count > 0) tellOfFile(tx, file, IN.MODIFY);
  return count;
}

const inodeKind: FileKind = {
  name: "inode",
  read(tx, file, length, offset) {
    if (!wantsRead(File.flags.get(tx, file))) throw errno.EBADF;
    const inode = File.inode.get(tx, file);
    Inode.lock.acquire(tx, inode);
    if (offset < 0) File.lock.acquire(tx, file);
    const position = offset < 0 ? File.position.get(tx, file) : offset;
    if ((File.flags.get(tx, file) & O.NOATIME) === 0 && length > 0) noteAccess(tx, inode);
    const count = readContents(tx, inode, position, length);
    if (offset < 0 && count > 0) File.position.set(tx, file, position + count);
    if (count > 0) tellOfFile(tx, file, IN.ACCESS);
    return count;
  },
  write: (tx, file, length, offset) => writeFile(tx, file, length, offset, NO_LIMIT),
  poll: () => READY,
  watchable: false,
  release: () => {},
  seek(tx, file, offset, whence) {
    const inode = File.inode.get(tx, file);
    Inode.lock.acquire(tx, inode);
    if (whence === 3 || whence === 4) {
      const position = seekData(tx, inode, offset, whence);
      File.lock.acquire(tx, file);
      File.position.set(tx, file, position);
      return position;
    }
    return seekTo(tx, file, offset, whence, Inode.size.get(tx, inode));
  },
  deniesSharedWriting(tx, file) {
    const inode = File.inode.get(tx, file);
    lockInode(tx, inode);
    return deniesWriting(tx, inode);
  },
  page(tx, file, index, forWrite) {
    const inode = File.inode.get(tx, file);
    lockInode(tx, inode);
    bringTail(tx, inode);
    const size = Inode.size.get(tx, inode);
    if (index * PAGE_BYTES >= size) return 0;
    const flags = Inode.flags.get(tx, inode);
    const frame = forWrite ? frameForMapping(tx, inode, index, size) : frameToShow(tx, inode, index, size);
    if ((flags & INODE.MAPPED) === 0) Inode.flags.set(tx, inode, Inode.flags.get(tx, inode) | INODE.MAPPED);
    holdFrame(tx, frame);
    return frame;
  },
};

const directoryKind: FileKind = {
  name: "directory",
  read() {
    throw errno.EISDIR;
  },
  write() {
    throw errno.EBADF;
  },
  poll: () => READY,
  watchable: false,
  release: () => {},
  // Positions are the cookies of directory.ts; the end of a directory has no number to seek from.
  seek: (tx, file, offset, whence) => seekTo(tx, file, offset, whence === 2 ? 3 : whence, 0),
};

/** Files opened with O_PATH: nothing but their name counts. */
const pathKind: FileKind = {
  name: "path",
  read() {
    throw errno.EBADF;
  },
  write() {
    throw errno.EBADF;
  },
  poll: () => POLL.NVAL,
  release: () => {},
  seek() {
    throw errno.EBADF;
  },
};

registerFileKind(inodeKind);
registerFileKind(directoryKind);
registerFileKind(pathKind);
