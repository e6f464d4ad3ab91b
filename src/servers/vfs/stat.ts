/** Status of files, in the structures of Linux riscv64: struct stat, struct statx, struct statfs. */

import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import { File, FILE_KINDS } from "../../kernel/file.ts";
import { frameUsage } from "../../kernel/memory/frames.ts";
import { bytesToSegments } from "../../kernel/request.ts";
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK } from "./inodes.ts";
import { MS } from "./mounts.ts";
import { NAME_MAX } from "./names.ts";
import type { FsContext } from "./records.ts";
import { Dirent, FILE_SYSTEM, FileSystem, Inode, Mount, VfsState } from "./records.ts";
import { lockVfs, stateOf } from "./state.ts";
import { NamelessFile, type Place, walkOrBase, walkTo } from "./walk.ts";

/** What `form` of the stat operations says. */
export const STAT_FORM = { STAT: 0, STATX: 1 } as const;

const PAGE_BYTES = 4096;

/** The attributes of an inode, as numbers. */
export interface Attributes {
  device: number;
  ino: number;
  mode: number;
  links: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  blocks: number;
  atime: readonly [number, number];
  mtime: readonly [number, number];
  ctime: readonly [number, number];
  btime: readonly [number, number];
  mountId: number;
  isMountRoot: boolean;
}

/** Makes the attributes of generated files current before they are read. */
export type RefreshInode = (tx: Transaction, inode: Inode) => void;
const refreshers = new Map<number, RefreshInode>();
export function registerRefresh(kind: number, refresh: RefreshInode): void {
  refreshers.set(kind, refresh);
}

export function attributesOf(tx: Transaction, inode: Inode, mount: Mount, entry: Dirent): Attributes {
  const fileSystem = Inode.fileSystem.get(tx, inode);
  refreshers.get(FileSystem.kind.get(tx, fileSystem))?.(tx, inode);
  Inode.lock.acquire(tx, inode);
  const size = Inode.size.get(tx, inode);
  const mode = Inode.mode.get(tx, inode);
  const type = mode & S_IFMT;
  let pages = 0;
  if (type === S_IFREG) {
    // The image's pages, and own ones; a page that both have is counted twice, but never beyond the size.
    const whole = Math.ceil(size / PAGE_BYTES);
    pages = Math.min(whole, Inode.imagePages.get(tx, inode) + Inode.pageCount.get(tx, inode));
  }
  return {
    device: FileSystem.device.get(tx, fileSystem),
    ino: Inode.ino.get(tx, inode),
    mode,
    links: Inode.links.get(tx, inode),
    uid: Inode.uid.get(tx, inode),
    gid: Inode.gid.get(tx, inode),
    rdev: type === S_IFCHR || type === S_IFBLK ? Inode.rdev.get(tx, inode) : 0,
    size,
    blocks: pages * (PAGE_BYTES / 512),
    atime: [Inode.atime.get(tx, inode), Inode.atimeNanos.get(tx, inode)],
    mtime: [Inode.mtime.get(tx, inode), Inode.mtimeNanos.get(tx, inode)],
    ctime: [Inode.ctime.get(tx, inode), Inode.ctimeNanos.get(tx, inode)],
    btime: [Inode.btime.get(tx, inode), Inode.btimeNanos.get(tx, inode)],
    mountId: mount === 0 ? 0 : Mount.id.get(tx, mount),
    isMountRoot: mount !== 0 && Mount.root.get(tx, mount) === entry,
  };
}

function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setInt32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** struct stat, 128 bytes (asm-generic/stat.h). */
function formatStat(a: Attributes): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  put64(view, 0, a.device);
  put64(view, 8, a.ino);
  view.setUint32(16, a.mode, true);
  view.setUint32(20, a.links, true);
  view.setUint32(24, a.uid, true);
  view.setUint32(28, a.gid, true);
  put64(view, 32, a.rdev);
  put64(view, 48, a.size);
  view.setUint32(56, PAGE_BYTES, true);
  put64(view, 64, a.blocks);
  let at = 72;
  for (const time of [a.atime, a.mtime, a.ctime]) {
    put64(view, at, time[0]);
    put64(view, at + 8, time[1]);
    at += 16;
  }
  return bytes;
}

const STATX_BASIC = 0x7ff;
const STATX_BTIME = 0x800;
const STATX_MNT_ID = 0x1000;
const STATX_ATTR_MOUNT_ROOT = 0x2000;

/** struct statx, 256 bytes (linux/stat.h): always all that is known, whatever was asked for. */
function formatStatx(a: Attributes): Uint8Array {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, STATX_BASIC | STATX_BTIME | STATX_MNT_ID, true);
  view.setUint32(4, PAGE_BYTES, true);
  put64(view, 8, a.isMountRoot ? STATX_ATTR_MOUNT_ROOT : 0);
  view.setUint32(16, a.links, true);
  view.setUint32(20, a.uid, true);
  view.setUint32(24, a.gid, true);
  view.setUint16(28, a.mode, true);
  put64(view, 32, a.ino);
  put64(view, 40, a.size);
  put64(view, 48, a.blocks);
  put64(view, 56, STATX_ATTR_MOUNT_ROOT);
  let at = 64;
  for (const time of [a.atime, a.btime, a.ctime, a.mtime]) {
    put64(view, at, time[0]);
    view.setUint32(at + 8, time[1], true);
    at += 16;
  }
  view.setUint32(128, majorOf(a.rdev), true);
  view.setUint32(132, minorOf(a.rdev), true);
  view.setUint32(136, majorOf(a.device), true);
  view.setUint32(140, minorOf(a.device), true);
  put64(view, 144, a.mountId);
  return bytes;
}

const majorOf = (device: number): number => (device >>> 8) & 0xfff;
const minorOf = (device: number): number => (device & 0xff) | ((device >>> 12) & 0xfff00);

function deliver(tx: Transaction, attributes: Attributes, form: number): void {
  bytesToSegments(tx, 0, form === STAT_FORM.STATX ? formatStatx(attributes) : formatStat(attributes));
}

export function stat(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  flags: number,
  form: number,
): void {
  let place: Place;
  try {
    place = walkOrBase(tx, context, credentials, base, path, length, flags, true);
  } catch (error) {
    if (!(error instanceof NamelessFile)) throw error;
    statFile(tx, error.file, form);
    return;
  }
  deliver(tx, attributesOf(tx, Dirent.inode.get(tx, place.entry), place.mount, place.entry), form);
}

/** Types that open files without an inode show. */
const TYPE_OF_KIND: Readonly<Record<string, number>> = {
  pipe: S_IFIFO | 0o600,
  "host-stream": S_IFCHR | 0o620,
  tty: S_IFCHR | 0o620,
  // Files for events have no type.
  eventpoll: 0o600,
  eventfd: 0o600,
  timerfd: 0o600,
  signalfd: 0o600,
  pidfd: 0o600,
  inotify: 0o600,
};

export function statFile(tx: Transaction, file: File, form: number): void {
  const inode = File.inode.get(tx, file);
  if (inode !== 0) {
    deliver(tx, attributesOf(tx, inode, File.mount.get(tx, file), File.entry.get(tx, file)), form);
    return;
  }
  const mode = TYPE_OF_KIND[FILE_KINDS[File.kind.get(tx, file)] ?? "none"] ?? S_IFSOCK | 0o777;
  const none = [0, 0] as const;
  const anonymous = VfsState.anonymous.get(tx, stateOf(tx));
  const attributes: Attributes = {
    device: FileSystem.device.get(tx, anonymous),
    // The object behind the file tells one pipe from another.
    ino: File.object.get(tx, file) || 1,
    mode,
    links: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    blocks: 0,
    atime: none,
    mtime: none,
    ctime: none,
    btime: none,
    mountId: 0,
    isMountRoot: false,
  };
  deliver(tx, attributes, form);
}

/** f_type of statfs(2), by kind of file system (linux/magic.h). */
const MAGIC: Readonly<Record<number, number>> = {
  [FILE_SYSTEM.MEMORY]: 0x01021994,
  [FILE_SYSTEM.IMAGE]: 0x794c7630, // as an overlay of memory over an image
  [FILE_SYSTEM.PROC]: 0x9fa0,
  [FILE_SYSTEM.PTS]: 0x1cd1,
  [FILE_SYSTEM.HOST]: 0x01021997,
  [FILE_SYSTEM.ANONYMOUS]: 0x50495045,
  [FILE_SYSTEM.DEVICES]: 0x01021994,
};

/** struct statfs, 120 bytes (asm-generic/statfs.h). */
function deliverStatfs(tx: Transaction, mount: Mount, fileSystem: FileSystem): void {
  const kind = FileSystem.kind.get(tx, fileSystem);
  const bytes = new Uint8Array(120);
  const view = new DataView(bytes.buffer);
  const usage = frameUsage(tx);
  const keepsPages =
    kind === FILE_SYSTEM.MEMORY || kind === FILE_SYSTEM.IMAGE || kind === FILE_SYSTEM.DEVICES;
  const image = FileSystem.blockCount.get(tx, fileSystem);
  put64(view, 0, MAGIC[kind] ?? 0);
  put64(view, 8, PAGE_BYTES);
  put64(view, 16, keepsPages ? usage.total + image : 0);
  put64(view, 24, keepsPages ? usage.free : 0);
  put64(view, 32, keepsPages ? usage.free : 0);
  put64(view, 40, keepsPages ? 1 << 20 : 0);
  put64(view, 48, keepsPages ? Math.max(0, (1 << 20) - FileSystem.inodes.get(tx, fileSystem)) : 0);
  view.setUint32(56, FileSystem.device.get(tx, fileSystem), true);
  put64(view, 64, NAME_MAX);
  put64(view, 72, PAGE_BYTES);
  const flags = (mount === 0 ? 0 : Mount.flags.get(tx, mount)) | FileSystem.flags.get(tx, fileSystem);
  // ST_VALID and the flags whose values statfs(2) shares with mount(2); relatime is what atime does here.
  put64(view, 80, 0x20 | (flags & (MS.RDONLY | MS.NOSUID | MS.NODEV | MS.NOEXEC)) | 0x1000);
  bytesToSegments(tx, 0, bytes);
}

export function statfs(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
): void {
  const place: Place = walkTo(tx, context, credentials, base, path, length, true);
  deliverStatfs(tx, place.mount, Mount.fileSystem.get(tx, place.mount));
}

export function statfsFile(tx: Transaction, file: File): void {
  const inode = File.inode.get(tx, file);
  const state = lockVfs(tx);
  const fileSystem = inode === 0 ? VfsState.anonymous.get(tx, state) : Inode.fileSystem.get(tx, inode);
  deliverStatfs(tx, File.mount.get(tx, file), fileSystem);
}
