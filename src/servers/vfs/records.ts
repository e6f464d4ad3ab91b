/**
 * The records of the vfs server.
 *
 *     Mount ──root──▶ Dirent ──inode──▶ Inode ──fileSystem──▶ FileSystem
 *       ▲               │  ▲              │
 *       └── parent, at ─┘  └── directory ─┘ (a dirent lies in a directory; a directory knows its own dirent)
 *
 * ## What guards what
 *
 * The vfs lock (VfsState.lock) guards the namespace: dirents, the two hash tables, mounts, and all reference
 * counts of dirents, inodes, mounts and file systems. An inode's lock guards its contents, size, times and
 * file locks. A dirent's directory and name change under the lock of inotify besides, so either is enough to read
 * them. Mode, owner and link count change only under both, so either is enough to read them. The lock
 * of a file system guards its block index (blocks.ts). Who needs more than one takes them in that order, two
 * inodes by rising address.
 *
 * ## Invariants (invariants.ts)
 *
 *   V1  A dirent is in the hash table, in the chain of its hash, if and only if it is not DELETED and not a
 *       root; then its directory lists it: among the entries if LISTED, else among the shadows.
 *   V2  A directory's entries have rising cookies, below its nextCookie.
 *   V3  An inode's references are the dirents that name it or lie in it, the open files, the file systems and
 *       the watches that refer to it.
 *   V4  An inode of a memory file system has as many links as hashed dirents name it (a directory: 2, and one
 *       for each directory in it; 0 once it is removed).
 *   V5  An inode with an nid is in the inode table under (file system, nid), and no other with the same.
 *   V6  A dirent's references are the open files, contexts, mounts and file systems that refer to it, and 1
 *       while it is in the hash table.
 *   V7  A page index holds no page beyond the end of its file; the bytes after the end in the last page may
 *       be anything (rule R9). Each frame in it is live.
 *   V8  The mounts form a tree under the root mount; a dirent's MOUNTPOINT flag is set if and only if a mount
 *       lies on it.
 *   V9  The writers of an inode are its files open for writing; its writers are 0 while writing is denied.
 *   V10 Record locks of different owners do not conflict.
 *   V11 Only files of VfsState.memoryMount have seals; no mapping may write to one that is sealed against it.
 *   V12 The owner of a flock, and of a record lock of pid −1, is a live file of the lock's inode.
 */

import {
  condition,
  defineRecord,
  i32,
  i64,
  link,
  list,
  lock,
  ref,
  type Ref,
  u32,
  words,
} from "../../heap/record.ts";

/** Kinds of file system. */
export const FILE_SYSTEM = {
  MEMORY: 0,
  IMAGE: 1,
  PROC: 2,
  PTS: 3,
  HOST: 4,
  ANONYMOUS: 5,
  DEVICES: 6,
} as const;

export const VfsState = defineRecord("vfs-state", {
  lock: lock("vfs"),
  rootMount: ref("mount"),
  rootFileSystem: ref("file-system"),
  /** Files without a name (pipes, sockets) live here. */
  anonymous: ref("file-system"),
  /** The mount, in no tree, of files of memory without a name (memory-file.ts). */
  memoryMount: ref("mount"),
  mounts: list("mount"),
  /** Guards all of inotify.ts, and the directory and name of dirents besides the vfs lock. */
  notifying: lock("event"),
  /** Watches on the machine; events that wait in queues; instances that have lost one and are to be told so. */
  watches: u32(),
  notices: u32(),
  losers: list("inotify"),
  lastCookie: u32(),
  nextMountId: u32(),
  nextDevice: u32(),
  /** Dirents that can be made again from their source, oldest first; see cache.ts. */
  cached: list("dirent"),
  cachedCount: u32(),
  cachedMax: u32(),
  /** Buckets of the two tables, a power of two each, and where they lie. */
  direntBuckets: u32(),
  direntTable: u32(),
  inodeBuckets: u32(),
  inodeTable: u32(),
});
export type VfsState = Ref<"vfs-state">;

/** Conditions by which those wait who need blocks of one file system; a block's is chosen by its number. */
export const ARRIVALS = 8;

export const FileSystem = defineRecord("file-system", {
  /** Guards blocks, height and what is on its way. */
  lock: lock("page-cache"),
  kind: u32(),
  /** st_dev, in Linux's encoding. */
  device: u32(),
  /** MS_* flags of the file system itself: MS_RDONLY. */
  flags: u32(),
  /** Mounts of it. */
  references: i32(),
  root: ref("inode"),
  rootEntry: ref("dirent"),
  nextIno: u32(),
  inodes: u32(),
  /** Pages that files of a memory file system may take; 0: no limit but the machine's memory. */
  pagesMax: u32(),
  // An image: where its blocks come from, and those that are here.
  ioDevice: u32(),
  /** 0 until the superblock has been read. */
  blockCount: u32(),
  rootNid: u32(),
  metaBlock: u32(),
  xattrBlock: u32(),
  buildSeconds: i64(),
  buildNanos: u32(),
  blocks: ref("radix-node"),
  blocksPresent: u32(),
  /** Next block of the sequential reader last seen, for read-ahead. */
  sequential: u32(),
  clock: u32(),
  arrived: words(2 * ARRIVALS),
  // A host folder: its number on the host side, and who owns all in it.
  folder: u32(),
  ownerUid: u32(),
  ownerGid: u32(),
});
export type FileSystem = Ref<"file-system">;

export const INODE = {
  /** The image's inode has been changed: it must stay in the heap. */
  CHANGED: 1,
  /** Its pages have been given to a mapping. */
  MAPPED: 2,
  /** Made for one use (a generated file of /proc, a file without a name). */
  TRANSIENT: 4,
  /** The image directory under it is hidden: every name comes from the heap. */
  OPAQUE: 8,
} as const;

export const Inode = defineRecord("inode", {
  lock: lock("inode"),
  references: i32(),
  fileSystem: ref("file-system"),
  flags: u32(),
  /** Number in the image, 0 if it is not of the image. */
  nid: u32(),
  ino: u32(),
  hashNext: ref("inode"),
  mode: u32(),
  uid: u32(),
  gid: u32(),
  links: u32(),
  rdev: u32(),
  size: i64(),
  atime: i64(),
  atimeNanos: u32(),
  mtime: i64(),
  mtimeNanos: u32(),
  ctime: i64(),
  ctimeNanos: u32(),
  btime: i64(),
  btimeNanos: u32(),
  /** Pages that differ from the image's, or all pages there are. */
  pages: ref("radix-node"),
  pageCount: u32(),
  /** First block of the image's contents, and how many of its pages still count. */
  imageBlock: u32(),
  imagePages: u32(),
  /** Target of a symbolic link (a name record, or bytes-4k), its length being the size. 0: in the image. */
  target: u32(),
  /** A directory's own dirent. */
  entry: ref("dirent"),
  entries: list("dirent"),
  shadows: list("dirent"),
  nextCookie: u32(),
  /** Files open for writing, and how many forbid that (programs being executed). */
  writers: i32(),
  denials: i32(),
  /** What a FIFO, socket or terminal device keeps behind the name; its server knows. */
  object: u32(),
  /** A generated file's own numbers: which one, and of which process. */
  detail: u32(),
  subject: u32(),
  locks: list("file-lock"),
  lockReleased: condition(),
  xattrs: ref("xattr"),
  /** F_SEAL_* bits; of files of memory without a name alone (memory-file.ts). */
  seals: u32(),
  /** Who watches it; guarded by VfsState.notifying (inotify.ts). */
  watches: list("watch"),
});
export type Inode = Ref<"inode">;

export const DIRENT = {
  /** On its directory's entries, with a cookie. Otherwise (a name of the image, a whiteout) a shadow. */
  LISTED: 1,
  /** The name is gone from the directory, though the image has it. */
  WHITEOUT: 2,
  /** Out of the table: removed while somebody still holds it. */
  DELETED: 4,
  /** Root of a file system: in no directory. */
  ROOT: 8,
  /** Can be made again from its source at any time; on the list of cached dirents. */
  CACHED: 16,
  MOUNTPOINT: 32,
  /** The image has the name too: when the dirent goes, a whiteout takes its place. */
  COVERS: 64,
} as const;

export const Dirent = defineRecord("dirent", {
  hash: u32(),
  chain: ref("dirent"),
  directory: ref("inode"),
  inode: ref("inode"),
  /** A name record (names.ts). */
  name: u32(),
  nameLength: u32(),
  flags: u32(),
  /** Place in the order in which getdents lists the directory's entries. */
  cookie: u32(),
  references: i32(),
  links: link(),
  cacheLinks: link(),
});
export type Dirent = Ref<"dirent">;

export const Mount = defineRecord("mount", {
  id: u32(),
  fileSystem: ref("file-system"),
  /** The dirent that shows as its root; for a bind mount any dirent of the file system. */
  root: ref("dirent"),
  /** The mount and the dirent that it lies on; none for the root mount and for one that is detached. */
  parent: ref("mount"),
  at: ref("dirent"),
  /** MS_* flags of this mount: RDONLY, NOSUID, NODEV, NOEXEC. */
  flags: u32(),
  /** Open files and contexts that use it, mounts on it, and 1 while it is in the tree. */
  references: i32(),
  links: link(),
});
export type Mount = Ref<"mount">;

export const FsContext = defineRecord("fs-context", {
  lock: lock("fs-context"),
  references: i32(),
  rootMount: ref("mount"),
  root: ref("dirent"),
  cwdMount: ref("mount"),
  cwd: ref("dirent"),
  umask: u32(),
});
export type FsContext = Ref<"fs-context">;

/** Slots of a node of a page index; see radix.ts. */
export const RADIX_SLOTS = 64;
export const RadixNode = defineRecord("radix-node", {
  /** 0: the slots hold pages; n: they hold nodes of level n − 1. */
  level: u32(),
  /** Slots that are not 0. */
  used: u32(),
  slots: words(RADIX_SLOTS),
});
export type RadixNode = Ref<"radix-node">;

export const FileLock = defineRecord("file-lock", {
  links: link(),
  inode: ref("inode"),
  /** 0: record lock of a process; 1: flock of an open file. */
  kind: u32(),
  /** F_RDLCK 0 or F_WRLCK 1. */
  type: u32(),
  owner: u32(),
  pid: u32(),
  start: i64(),
  /** Last byte, inclusive; 2^52 for "to the end". */
  end: i64(),
});
export type FileLock = Ref<"file-lock">;

/** An extended attribute set since boot: name and value in records of bytes. */
export const Xattr = defineRecord("xattr", {
  next: ref("xattr"),
  name: u32(),
  nameLength: u32(),
  /** 0 with length −1: the image's attribute of that name is gone. */
  value: u32(),
  valueLength: i32(),
});
export type Xattr = Ref<"xattr">;
