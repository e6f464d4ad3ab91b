/**
 * Open files (what POSIX calls open file descriptions): the record that descriptors share, and the table of
 * operations that every kind of file fills. The system calls know files only through this table; which server
 * stands behind one, and where it runs, they do not see.
 *
 * Invariants
 *   F1  A file's references are the descriptors, requests under way and mappings that refer to it.
 *   F2  A file of kind K is released by K's `release` exactly once, when its references reach 0.
 */

import { assert } from "../base/assert.ts";
import { REDO } from "../heap/layout.ts";
import { defineRecord, i32, i64, list, lock, ref, type Ref, u32 } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";

export const File = defineRecord("file", {
  /** Guards position, flags and the fields below that change. */
  lock: lock("file"),
  references: i32(),
  /** Index into FILE_KINDS. */
  kind: u32(),
  /** Open flags of Linux (O_ACCMODE, O_APPEND, O_NONBLOCK, …); creation flags are not kept. */
  flags: u32(),
  /** Record behind the file: an inode, a pipe, a terminal. Its type follows from `kind`. */
  object: u32(),
  /** A second word for the kind's own use (which end of a pty, a directory's cookie space, …). */
  detail: u32(),
  /** File offset in bytes. */
  position: i64(),
  /** The inode by which the file was opened (for fstat, fchmod, /proc), if it has one. */
  inode: ref("inode"),
  /** The mount in which it was opened, if any. */
  mount: ref("mount"),
  /** The directory entry by which it was opened, if any: what /proc/self/fd shows. */
  entry: ref("dirent"),
  credentials: ref("credentials"),
  /** 1 once a record lock of the open file's own (F_OFD_SETLK) was set: its end has to look for locks. */
  ownsLocks: u32(),
  /** The entries of epolls that watch this file; guarded by Kernel.watching. They hold no reference. */
  watches: list("poll-entry"),
});
export type File = Ref<"file">;

/** Kinds of open file. The number is kept in the record: append only. */
export const FILE_KINDS = [
  "none",
  "inode",
  "directory",
  "pipe",
  "fifo",
  "tty",
  "device",
  "proc",
  "path",
  "host",
  "host-stream",
  "socket",
  "eventpoll",
  "eventfd",
  "timerfd",
  "signalfd",
  "pidfd",
  "inotify",
] as const;
export type FileKindName = (typeof FILE_KINDS)[number];

/** Poll events, as poll(2) has them. */
export const POLL = {
  IN: 1,
  PRI: 2,
  OUT: 4,
  ERR: 8,
  HUP: 16,
  NVAL: 32,
  RDNORM: 64,
  RDBAND: 128,
  WRNORM: 256,
  WRBAND: 512,
  RDHUP: 0x2000,
} as const;

/**
 * What a kind of file does. All run inside the caller's transaction, take their own locks, and may throw
 * Errno or WOULD_BLOCK (after noteWait). Lengths and results are bytes. Bytes come from and go to the
 * request's segments (request.ts), whose total length is `length`.
 */
export interface FileKind {
  readonly name: FileKindName;
  /**
   * Reads up to `length` bytes at `offset`, or at the file's position when `offset` is −1 (and then moves
   * the position). Throws WOULD_BLOCK when there is nothing yet, EAGAIN instead if `nonblock`.
   */
  read(tx: Transaction, file: File, length: number, offset: number, nonblock: boolean): number;
  /** Writes; otherwise as `read`. A short count means: call again with the rest. */
  write(tx: Transaction, file: File, length: number, offset: number, nonblock: boolean): number;
  /**
   * The POLL bits that hold now, out of any; notes the conditions whose signal may change the answer. For epoll:
   * the locks that guard the noted conditions stay held to the end of the transaction, the conditions lie in
   * records that live as long as the file, and the locks rank behind "epoll".
   */
  poll(tx: Transaction, file: File, note: boolean): number;
  /** False for files that are always ready: epoll refuses them (EPERM), as Linux does files without a poll. */
  readonly watchable?: boolean;
  /** The last reference is gone. Must not wait, must not fail. */
  release(tx: Transaction, file: File): void;
  /** lseek(2): the new position. Absent: ESPIPE. */
  seek?(tx: Transaction, file: File, offset: number, whence: number): number;
  /**
   * ioctl(2). `argument` is the raw argument (a number below 2^53); user structures are copied with the
   * functions of user-memory.ts by the ioctl table of linux/, which calls the server's typed operations;
   * kinds that have none leave this out: ENOTTY.
   */
  ioctl?(tx: Transaction, file: File, command: number, argument: number): number;
  /**
   * The frame (number) that holds page `index` of the file, for a mapping or for reading, its reference
   * count raised by one for the caller. `forWrite`: the frame will be written through a shared mapping.
   * Throws WOULD_BLOCK while the page is on its way, EIO if it cannot be read, and gives 0 if the page lies
   * wholly beyond the end of the file (SIGBUS).
   */
  page?(tx: Transaction, file: File, index: number, forWrite: boolean): number;
  /** Whether no new shared mapping may write to the file, however it is open (a seal). Absent: they may. */
  deniesSharedWriting?(tx: Transaction, file: File): boolean;
  /** Flags changed by fcntl(F_SETFL): only if the kind wants to know. */
  flagsChanged?(tx: Transaction, file: File): void;
}

const kinds: (FileKind | undefined)[] = [];

/** Says what files of a kind do. Once for each kind, when a server's module is loaded. */
export function registerFileKind(kind: FileKind): void {
  const index = FILE_KINDS.indexOf(kind.name);
  assert(kinds[index] === undefined, `file kind ${kind.name} registered twice`);
  kinds[index] = kind;
}

/** The operations of `file`. */
export function kindOf(tx: Transaction, file: File): FileKind {
  const kind = kinds[File.kind.get(tx, file)];
  assert(kind !== undefined, "a file of unknown kind");
  return kind;
}

/** A new open file with one reference, which is the caller's. */
export function createFile(tx: Transaction, kind: FileKindName, object: number, flags: number): File {
  const file = File.allocate(tx);
  File.references.init(tx, file, 1);
  File.kind.init(tx, file, FILE_KINDS.indexOf(kind));
  File.object.init(tx, file, object);
  File.flags.init(tx, file, flags);
  return file;
}

/** One more reference to `file`. */
export function holdFile(tx: Transaction, file: File): void {
  File.lock.acquire(tx, file);
  File.references.set(tx, file, File.references.get(tx, file) + 1);
}

let releaseName: (tx: Transaction, file: File) => void = () => {};

/**
 * Says how a file gives up what its opening by name has taken: inode, mount, entry, credentials. The vfs does,
 * when it is loaded; the kinds' own `release` need not know of names.
 */
export function registerNameRelease(release: (tx: Transaction, file: File) => void): void {
  releaseName = release;
}

let tellClosed: (tx: Transaction, file: File) => void = () => {};

/**
 * Says who hears of the end of a file with a name (inotify), before the kind's own `release`, whose locks may rank
 * later. Not of one that ends in a redo step.
 */
export function registerCloseNotice(tell: (tx: Transaction, file: File) => void): void {
  tellClosed = tell;
}

/** One reference less; the last one releases the file. */
export function dropFile(tx: Transaction, file: File): void {
  File.lock.acquire(tx, file);
  const references = File.references.get(tx, file) - 1;
  assert(references >= 0, "file released twice");
  File.references.set(tx, file, references);
  if (references > 0) return;
  if (File.inode.get(tx, file) !== 0 && !tx.inSystem) tellClosed(tx, file);
  // Epolls forget the file first, in bounded steps, under locks that rank before this one.
  if (File.watches.isEmpty(tx, file)) releaseFile(tx, file);
  else tx.afterCommit(REDO.unwatch, file);
}

/** Releases a file without references that nobody watches. */
export function releaseFile(tx: Transaction, file: File): void {
  kindOf(tx, file).release(tx, file);
  if (File.inode.get(tx, file) !== 0) releaseName(tx, file);
  File.free(tx, file);
}
