/**
 * The vfs server's contract: files by name and by open file.
 *
 * ## How paths are passed
 *
 * A path is named by five numbers: the fs context of the task (root, working directory, umask), its
 * credentials, the open file that a relative path starts from (0: the working directory), which of the
 * request's path buffers holds the bytes (0 or 1), and their number. Paths need no terminating zero.
 *
 * ## What comes back
 *
 * Operations return numbers: a record, a count of bytes, or 0. Structures that a system call hands to the user
 * (stat, statx, statfs, directory entries, link targets, attribute values) are written into the request's
 * segments, in the form that Linux riscv64 gives them. Failures are thrown as errno; an operation that needs
 * a block of the image that is not there yet throws WOULD_BLOCK (kernel/block-io.ts says what that means).
 */

import { errno } from "../../base/errno.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import type { File } from "../../kernel/file.ts";
import { defineServer } from "../../kernel/placement.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { FsContext } from "./records.ts";

/** What is still to be written. */
function later(..._args: unknown[]): never {
  throw errno.ENOSYS;
}

type At = [context: FsContext, credentials: Credentials, base: File, path: number, length: number];

export const vfsServer = defineServer("vfs", {
  // --- fs contexts: root, working directory, umask ------------------------------------------------------
  /** A context at the root of the machine, umask 022, with one reference. */
  createContext: (tx: Transaction): FsContext => later(tx),
  /** A copy with one reference (clone without CLONE_FS, unshare). */
  copyContext: (tx: Transaction, context: FsContext): FsContext => later(tx, context),
  /** One more reference (CLONE_FS). */
  holdContext: (tx: Transaction, context: FsContext): void => later(tx, context),
  dropContext: (tx: Transaction, context: FsContext): void => later(tx, context),
  /** umask(2): sets the mask, returns the old one. */
  umask: (tx: Transaction, context: FsContext, mask: number): number => later(tx, context, mask),
  chdir: (tx: Transaction, ...at: At): void => later(tx, at),
  fchdir: (tx: Transaction, context: FsContext, credentials: Credentials, file: File): void =>
    later(tx, context, credentials, file),
  chroot: (tx: Transaction, ...at: At): void => later(tx, at),
  /** Writes the path of the working directory into path buffer 0, with its zero; returns the bytes. */
  getcwd: (tx: Transaction, context: FsContext): number => later(tx, context),
  /**
   * Writes the path by which `file` was opened, as seen from the context's root, into path buffer `which`;
   * returns the bytes (no zero). As /proc/PID/fd shows it, " (deleted)" included.
   */
  pathOfFile: (tx: Transaction, context: FsContext, file: File, which: number): number =>
    later(tx, context, file, which),

  // --- opening and closing ------------------------------------------------------------------------------
  /**
   * openat2(2) with open flags, mode (the umask is applied here) and RESOLVE_* flags: a new open file with
   * one reference. The flag {@link O_EXEC_DENY} opens for execve: execute permission, a regular file, and
   * nobody may write it until the file is released.
   */
  open: (tx: Transaction, ...args: [...At, flags: number, mode: number, resolve: number]): File => later(tx, args),
  /** What `release` of file kinds that other servers provide (fifo, tty) must call last, in their release. */
  releaseFile: (tx: Transaction, file: File): void => later(tx, file),

  // --- attributes ---------------------------------------------------------------------------------------
  /** newfstatat(2) (`form` 0: struct stat, 128 bytes) and statx(2) (1: struct statx, 256 bytes) into segments. */
  stat: (tx: Transaction, ...args: [...At, flags: number, form: number]): void => later(tx, args),
  /** fstat(2); works for every kind of file. */
  statFile: (tx: Transaction, file: File, form: number): void => later(tx, file, form),
  /** faccessat2(2). */
  access: (tx: Transaction, ...args: [...At, mode: number, flags: number]): void => later(tx, args),
  chmod: (tx: Transaction, ...args: [...At, mode: number, flags: number]): void => later(tx, args),
  chmodFile: (tx: Transaction, credentials: Credentials, file: File, mode: number): void =>
    later(tx, credentials, file, mode),
  /** fchownat(2); −1 leaves an id as it is. */
  chown: (tx: Transaction, ...args: [...At, uid: number, gid: number, flags: number]): void => later(tx, args),
  chownFile: (tx: Transaction, credentials: Credentials, file: File, uid: number, gid: number): void =>
    later(tx, credentials, file, uid, gid),
  /** utimensat(2): times in seconds and nanoseconds; nanoseconds UTIME_NOW and UTIME_OMIT as there. */
  setTimes: (
    tx: Transaction,
    ...args: [...At, aSeconds: number, aNanos: number, mSeconds: number, mNanos: number, flags: number]
  ): void => later(tx, args),
  setTimesFile: (
    tx: Transaction,
    credentials: Credentials,
    file: File,
    aSeconds: number,
    aNanos: number,
    mSeconds: number,
    mNanos: number,
  ): void => later(tx, credentials, file, aSeconds, aNanos, mSeconds, mNanos),
  /** statfs(2): struct statfs, 120 bytes, into segments. */
  statfs: (tx: Transaction, ...at: At): void => later(tx, at),
  statfsFile: (tx: Transaction, file: File): void => later(tx, file),
  /** readlinkat(2): at most `size` bytes into segments; returns how many. */
  readlink: (tx: Transaction, ...args: [...At, size: number]): number => later(tx, args),

  // --- names --------------------------------------------------------------------------------------------
  mkdir: (tx: Transaction, ...args: [...At, mode: number]): void => later(tx, args),
  /** mknodat(2); `device` in Linux's encoding (new_encode_dev). */
  mknod: (tx: Transaction, ...args: [...At, mode: number, device: number]): void => later(tx, args),
  /** symlinkat(2): the target lies in path buffer `target`. */
  symlink: (tx: Transaction, ...args: [...At, target: number, targetLength: number]): void => later(tx, args),
  /** linkat(2): the old name by the first five numbers after `tx`, the new one by the rest. */
  link: (
    tx: Transaction,
    ...args: [...At, newBase: File, newPath: number, newLength: number, flags: number]
  ): void => later(tx, args),
  /** unlinkat(2), with AT_REMOVEDIR for rmdir. */
  unlink: (tx: Transaction, ...args: [...At, flags: number]): void => later(tx, args),
  /** renameat2(2). */
  rename: (
    tx: Transaction,
    ...args: [...At, newBase: File, newPath: number, newLength: number, flags: number]
  ): void => later(tx, args),

  // --- contents -----------------------------------------------------------------------------------------
  // read, write, seek, poll and page go through kernel/file.ts (kindOf(tx, file).read …).
  /** truncate(2). 1: a part is done, call again (in a new transaction) until 0. `limit`: RLIMIT_FSIZE. */
  truncate: (tx: Transaction, ...args: [...At, size: number, limit: number]): number => later(tx, args),
  truncateFile: (tx: Transaction, file: File, size: number, limit: number): number => later(tx, file, size, limit),
  /** write(2) with the caller's RLIMIT_FSIZE; FileKind.write is this without a limit. EFBIG is SIGXFSZ's cue. */
  writeLimited: (tx: Transaction, file: File, length: number, offset: number, nonblock: number, limit: number): number =>
    later(tx, file, length, offset, nonblock, limit),
  /** fallocate(2). 1: call again. */
  fallocate: (tx: Transaction, file: File, mode: number, offset: number, length: number): number =>
    later(tx, file, mode, offset, length),
  /** getdents64(2): at most `length` bytes of entries into segments; returns the bytes, 0 at the end. */
  getdents: (tx: Transaction, file: File, length: number): number => later(tx, file, length),
  /** fsync, fdatasync, syncfs, sync: nothing outlives the machine, so there is nothing to wait for. */
  sync: (tx: Transaction, file: File): void => later(tx, file),

  // --- extended attributes: the name lies in path buffer `name` -------------------------------------------
  getxattr: (tx: Transaction, ...args: [...At, name: number, nameLength: number, size: number, flags: number]): number =>
    later(tx, args),
  getxattrFile: (tx: Transaction, credentials: Credentials, file: File, name: number, nameLength: number, size: number): number =>
    later(tx, credentials, file, name, nameLength, size),
  listxattr: (tx: Transaction, ...args: [...At, size: number, flags: number]): number => later(tx, args),
  listxattrFile: (tx: Transaction, file: File, size: number): number => later(tx, file, size),

  // --- locks --------------------------------------------------------------------------------------------
  /** flock(2): `operation` LOCK_SH 1, LOCK_EX 2, LOCK_UN 8, with LOCK_NB 4. */
  flock: (tx: Transaction, file: File, operation: number): void => later(tx, file, operation),
  /** fcntl(F_SETLK, F_SETLKW): `type` F_RDLCK 0, F_WRLCK 1, F_UNLCK 2; `owner` any number of the process's own. */
  setRecordLock: (
    tx: Transaction,
    file: File,
    owner: number,
    pid: number,
    type: number,
    start: number,
    length: number,
    wait: number,
  ): void => later(tx, file, owner, pid, type, start, length, wait),
  /**
   * fcntl(F_GETLK): 0 if the lock could be set, else the record of a lock in its way, which
   * {@link readFileLock} reads while the transaction is open.
   */
  testRecordLock: (tx: Transaction, file: File, owner: number, type: number, start: number, length: number): number =>
    later(tx, file, owner, type, start, length),
  /** The process `owner` closes a descriptor of `file`: its record locks on the inode go (POSIX). */
  dropRecordLocks: (tx: Transaction, file: File, owner: number): void => later(tx, file, owner),

  // --- mounts -------------------------------------------------------------------------------------------
  /**
   * mount(2) at the path: `source` is the file-system type (FILE_SYSTEM) for a new one, or with MS_BIND the
   * path in buffer 1 with `sourceLength` bytes.
   */
  mount: (tx: Transaction, ...args: [...At, type: number, sourceLength: number, flags: number]): void =>
    later(tx, args),
  umount: (tx: Transaction, ...args: [...At, flags: number]): void => later(tx, args),

  // --- upkeep -------------------------------------------------------------------------------------------
  /** Drops up to `pages` clean pages of images that nobody maps; returns how many. For when frames run out. */
  reclaim: (tx: Transaction, pages: number): number => later(tx, pages),
});

export const vfs: typeof vfsServer.operations = vfsServer.operations;

/** An open flag of the kernel's own: see `open`. */
export const O_EXEC_DENY = 0x2000_0000;
