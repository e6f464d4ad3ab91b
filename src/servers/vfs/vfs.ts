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

import { assert } from "../../base/assert.ts";
import { type File, kindOf } from "../../kernel/file.ts";
import { defineServer } from "../../kernel/placement.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { dropAfterCommit } from "../server.ts";
import * as attributes from "./attributes.ts";
import * as contexts from "./context.ts";
import * as create from "./create.ts";
import { getdents } from "./directory.ts";
import { writeFile } from "./file-kinds.ts";
import * as watching from "./inotify-file.ts";
import * as locks from "./locks.ts";
import * as memoryFiles from "./memory-file.ts";
import * as mounting from "./mount-calls.ts";
import * as opening from "./open.ts";
import * as paths from "./paths.ts";
import type { FsContext } from "./records.ts";
import * as removal from "./remove.ts";
import { processOfDirectory } from "./proc/procfs.ts";
import { rename } from "./rename.ts";
import * as seals from "./seals.ts";
import * as status from "./stat.ts";
import * as truncation from "./truncate.ts";
import * as xattr from "./xattr.ts";
import "./devices.ts";
import "./host-folder.ts";
import "./invariants.ts";
import "./pts.ts";

export const vfsServer = defineServer("vfs", {
  // fs contexts: root, working directory, umask
  /** A context at the root of the machine, umask 022, with one reference. */
  createContext: contexts.createContext,
  /** A copy with one reference (clone without CLONE_FS, unshare). */
  copyContext: contexts.copyContext,
  /** One more reference (CLONE_FS). */
  holdContext: contexts.holdContext,
  /** One reference less, once the transaction has committed. */
  dropContext: (tx: Transaction, context: FsContext): void => dropAfterCommit(tx, context),
  /** umask(2): sets the mask, returns the old one. */
  umask: contexts.umask,
  chdir: contexts.chdir,
  fchdir: contexts.fchdir,
  chroot: contexts.chroot,
  /** Writes the path of the working directory into path buffer 0, with its zero; returns the bytes. */
  getcwd: paths.getcwd,
  /**
   * Writes the path by which `file` was opened, as seen from the context's root, into path buffer `which`;
   * returns the bytes (no zero). As /proc/PID/fd shows it, " (deleted)" included.
   */
  pathOfFile: paths.pathOfFile,

  // opening and closing
  /**
   * openat2(2) with open flags, mode (the umask is applied here) and RESOLVE_* flags: a new open file with
   * one reference. The flag {@link O_EXEC_DENY} opens for execve: execute permission, a regular file, and
   * nobody may write it until the file is released.
   */
  open: opening.open,
  /** TIOCGPTPEER: an open file of a terminal's node in devpts; 0 if there is no such node. */
  openTerminal: opening.openTerminal,

  /** The pid whose directory /proc/PID a file is: 0 if that process is gone, −1 for any other file. */
  processOfDirectory,

  /** memfd_create(2): permission bits and F_SEAL_* bits to begin with; the name is in the path buffer. */
  createMemoryFile: memoryFiles.createMemoryFile,
  /** fcntl(F_GET_SEALS, F_ADD_SEALS). */
  getSeals: seals.getSeals,
  addSeals: seals.addSeals,

  // attributes
  /** newfstatat(2) (`form` 0: struct stat, 128 bytes) and statx(2) (1: struct statx, 256 bytes) into segments. */
  stat: status.stat,
  /** fstat(2); works for every kind of file. */
  statFile: status.statFile,
  /** faccessat2(2). */
  access: attributes.access,
  chmod: attributes.chmod,
  chmodFile: attributes.chmodFile,
  /** fchownat(2); −1 leaves an id as it is. */
  chown: attributes.chown,
  chownFile: attributes.chownFile,
  /** utimensat(2): times in seconds and nanoseconds; nanoseconds UTIME_NOW and UTIME_OMIT as there. */
  setTimes: attributes.setTimes,
  setTimesFile: attributes.setTimesFile,
  /** statfs(2): struct statfs, 120 bytes, into segments. */
  statfs: status.statfs,
  statfsFile: status.statfsFile,
  /** readlinkat(2): at most `size` bytes into segments; returns how many. */
  readlink: attributes.readlink,

  // names
  mkdir: create.mkdir,
  /** mknodat(2); `device` in Linux's encoding (new_encode_dev). */
  mknod: create.mknod,
  /** The node of a unix socket's name, and the inode behind one. */
  makeSocket: create.makeSocket,
  findSocket: create.findSocket,
  /** symlinkat(2): the target lies in path buffer `target`. */
  symlink: create.symlink,
  /** linkat(2): the old name by the first five numbers after `tx`, the new one by the rest. */
  link: create.link,
  /** unlinkat(2), with AT_REMOVEDIR for rmdir. */
  unlink: removal.unlink,
  /** renameat2(2). */
  rename,

  // contents
  // read, write, seek, poll and page go through kernel/file.ts (kindOf(tx, file).read …).
  /** truncate(2). 1: a part is done, call again (in a new transaction) until 0. `limit`: RLIMIT_FSIZE. */
  truncate: truncation.truncate,
  truncateFile: truncation.truncateFile,
  /** write(2) with the caller's RLIMIT_FSIZE; FileKind.write is this without a limit. EFBIG is SIGXFSZ's cue. */
  writeLimited: (tx: Transaction, file: File, length: number, offset: number, limit: number): number => {
    assert(kindOf(tx, file).name === "inode", "only regular files have a size limit");
    return writeFile(tx, file, length, offset, limit);
  },
  /** fallocate(2). 1: call again. */
  fallocate: truncation.fallocate,
  /** getdents64(2): at most `length` bytes of entries into segments; returns the bytes, 0 at the end. */
  getdents,
  /** fsync, fdatasync, syncfs, sync: nothing outlives the machine, so there is nothing to wait for. */
  sync: (_tx: Transaction, _file: File): void => {},

  // extended attributes: the name lies in path buffer `name`
  getxattr: xattr.getxattr,
  getxattrFile: xattr.getxattrFile,
  listxattr: xattr.listxattr,
  listxattrFile: xattr.listxattrFile,
  /** setxattr(2): the value in the segments, `size` bytes (−1: removexattr); `flags` AT_*, `setFlags` XATTR_*. */
  setxattr: xattr.setxattr,
  setxattrFile: xattr.setxattrFile,

  // locks
  /** flock(2): `operation` LOCK_SH 1, LOCK_EX 2, LOCK_UN 8, with LOCK_NB 4. */
  flock: locks.flock,
  /**
   * fcntl(F_SETLK, F_SETLKW, and those of open files): `type` F_RDLCK 0, F_WRLCK 1, F_UNLCK 2; `owner` any number of
   * the process's own, or the file itself, with the pid −1. 0, or with `wait` the record of a lock in the way, whose
   * release is noted.
   */
  setRecordLock: locks.setRecordLock,
  /**
   * fcntl(F_GETLK): 0 if the lock could be set, else the record of a lock in its way, which
   * {@link readFileLock} reads while the transaction is open.
   */
  testRecordLock: locks.testRecordLock,
  /** The process `owner` closes a descriptor of `file`: its record locks on the inode go (POSIX). */
  dropRecordLocks: locks.dropRecordLocks,

  // inotify
  openInotify: watching.openInotify,
  /** inotify_add_watch(2): the instance's file and the mask come after the path; the watch descriptor. */
  addWatch: watching.addWatch,
  removeWatch: watching.removeWatch,
  watchedBytes: watching.watchedBytes,

  // mounts
  /**
   * mount(2) at the path: `source` is the file-system type (FILE_SYSTEM) for a new one, or with MS_BIND the
   * path in buffer 1 with `sourceLength` bytes.
   */
  mount: mounting.mount,
  umount: mounting.umount,

  // upkeep
  /** Drops up to `pages` clean pages of images that nobody maps; returns how many. For when frames run out. */
  reclaim: mounting.reclaim,
});

export const vfs: typeof vfsServer.operations = vfsServer.operations;

export { O_EXEC_DENY } from "./open-flags.ts";
export { readFileLock } from "./locks.ts";
