/**
 * What the namespace of a new machine looks like. Each step is a transaction of its own, run again while it
 * throws WOULD_BLOCK (the image's first blocks have to arrive), and does nothing if it has been done:
 *
 *     createVfs          state, tables, the root file system's record       in one transaction
 *     mountRoot          the image's root inode; the root mount             may wait
 *     mountDevices …     /dev, /dev/pts, /dev/shm, /proc, /run              may wait (mount points of the image)
 */

import { errno } from "../../base/errno.ts";
import { encodeUtf8 } from "../../base/text.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { placeMemoryFiles } from "./memory-file.ts";
import { deviceNumber, MEMORY_DEVICE } from "./devices.ts";
import { addEntry } from "./entries.ts";
import { openImage } from "./image.ts";
import { createInode, isDirectory, markChanged, S_IFCHR, S_IFDIR, S_IFLNK } from "./inodes.ts";
import { lookUpEntry } from "./lookup.ts";
import { addMount, createMemoryFileSystem, MS } from "./mounts.ts";
import { type NameBytes, nameOf, storeBytes } from "./names.ts";
import { Dirent, DIRENT, FILE_SYSTEM, FileSystem, Inode, Mount, VfsState } from "./records.ts";
import { createFileSystem, DEFAULT_SIZES, lockVfs, placeVfs, type VfsSizes } from "./state.ts";
import { mountOn, type Place } from "./walk.ts";

export interface VfsOptions {
  /** Number of the host device that holds the root image; none: the root is an empty file system of memory. */
  readonly device?: number;
  /** The root file system must not be changed. */
  readonly readOnly?: boolean;
  readonly sizes?: VfsSizes;
}

/** The state record, the tables, and the root file system's record. At boot, one transaction. */
export function createVfs(tx: Transaction, options: VfsOptions): void {
  const state = placeVfs(tx, options.sizes ?? DEFAULT_SIZES);
  let root: FileSystem;
  if (options.device === undefined) {
    root = createMemoryFileSystem(tx, state, FILE_SYSTEM.MEMORY, 0o755);
  } else {
    root = createFileSystem(tx, state, FILE_SYSTEM.IMAGE);
    FileSystem.ioDevice.init(tx, root, options.device);
  }
  if (options.readOnly === true) FileSystem.flags.init(tx, root, MS.RDONLY);
  VfsState.rootFileSystem.init(tx, state, root);
  placeMemoryFiles(tx, state);
}

/** Mounts the root file system. May throw WOULD_BLOCK. */
export function mountRoot(tx: Transaction): void {
  const state = lockVfs(tx);
  if (VfsState.rootMount.get(tx, state) !== 0) return;
  const root = VfsState.rootFileSystem.get(tx, state);
  if (FileSystem.root.get(tx, root) === 0) openImage(tx, root);
  const mount = addMount(tx, state, root, FileSystem.rootEntry.get(tx, root), undefined, 0);
  VfsState.rootMount.set(tx, state, mount);
}

/** A file system of memory that boot mounts. */
export type BootMount = "dev" | "pts" | "shm" | "proc" | "run" | "tmp";

const BOOT_MOUNTS: Readonly<
  Record<BootMount, { path: readonly string[]; kind: number; mode: number; flags: number }>
> = {
  dev: { path: ["dev"], kind: FILE_SYSTEM.DEVICES, mode: 0o755, flags: MS.NOSUID },
  pts: { path: ["dev", "pts"], kind: FILE_SYSTEM.PTS, mode: 0o755, flags: MS.NOSUID | MS.NOEXEC },
  shm: { path: ["dev", "shm"], kind: FILE_SYSTEM.MEMORY, mode: 0o1777, flags: MS.NOSUID | MS.NODEV },
  proc: { path: ["proc"], kind: FILE_SYSTEM.PROC, mode: 0o555, flags: MS.NOSUID | MS.NODEV | MS.NOEXEC },
  run: { path: ["run"], kind: FILE_SYSTEM.MEMORY, mode: 0o755, flags: MS.NOSUID | MS.NODEV },
  tmp: { path: ["tmp"], kind: FILE_SYSTEM.MEMORY, mode: 0o1777, flags: MS.NOSUID | MS.NODEV },
};

/** Mounts one of the file systems that every machine has, making its mount point. May throw WOULD_BLOCK. */
export function mountAtBoot(tx: Transaction, what: BootMount): void {
  const state = lockVfs(tx);
  const { path, kind, mode, flags } = BOOT_MOUNTS[what];
  const at = directoryAt(tx, state, path);
  if (mountOn(tx, state, at) !== 0) return;
  const fileSystem = createMemoryFileSystem(tx, state, kind, mode);
  if (what === "dev") fillDevices(tx, fileSystem);
  addMount(tx, state, fileSystem, FileSystem.rootEntry.get(tx, fileSystem), at, flags);
}

/** Walks directories by name from the root mount, as the kernel itself, and makes those that are missing. */
export function directoryAt(tx: Transaction, state: VfsState, path: readonly string[]): Place {
  let place: Place = rootPlace(tx, state);
  for (const text of path) {
    const directory = Dirent.inode.get(tx, place.entry);
    const name = nameOf(encodeUtf8(text));
    let entry = lookUpEntry(tx, directory, name);
    if (entry === 0) entry = makeDirectory(tx, directory, name, 0o755);
    if (!isDirectory(tx, Dirent.inode.get(tx, entry))) throw errno.ENOTDIR;
    place = { mount: place.mount, entry };
    const upper = mountOn(tx, state, place);
    if (upper !== 0) place = { mount: upper, entry: Mount.root.get(tx, upper) };
  }
  // What is mounted on the last name is not the place to mount on.
  const parent = Mount.parent.get(tx, place.mount);
  if (path.length > 0 && place.entry === Mount.root.get(tx, place.mount) && parent !== 0) {
    return { mount: parent, entry: Mount.at.get(tx, place.mount) };
  }
  return place;
}

function rootPlace(tx: Transaction, state: VfsState): Place {
  const mount = VfsState.rootMount.get(tx, state);
  return { mount, entry: Mount.root.get(tx, mount) };
}

function makeDirectory(tx: Transaction, directory: Inode, name: NameBytes, mode: number): Dirent {
  const inode = createInode(tx, Inode.fileSystem.get(tx, directory), S_IFDIR | mode, 0, 0, 0);
  Inode.links.init(tx, inode, 2);
  Inode.links.set(tx, directory, Inode.links.get(tx, directory) + 1);
  markChanged(tx, directory);
  return addEntry(tx, directory, name, inode, DIRENT.LISTED);
}

const TTY_MAJOR = 5;
const NODES: readonly (readonly [name: string, major: number, minor: number, mode: number])[] = [
  ["null", 1, MEMORY_DEVICE.NULL, 0o666],
  ["zero", 1, MEMORY_DEVICE.ZERO, 0o666],
  ["full", 1, MEMORY_DEVICE.FULL, 0o666],
  ["random", 1, MEMORY_DEVICE.RANDOM, 0o666],
  ["urandom", 1, MEMORY_DEVICE.URANDOM, 0o666],
  ["kmsg", 1, MEMORY_DEVICE.KMSG, 0o644],
  ["tty", TTY_MAJOR, 0, 0o666],
  ["console", TTY_MAJOR, 1, 0o600],
  ["ptmx", TTY_MAJOR, 2, 0o666],
];
const LINKS: readonly (readonly [name: string, target: string])[] = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
];

function fillDevices(tx: Transaction, fileSystem: FileSystem): void {
  const root = FileSystem.root.get(tx, fileSystem);
  for (const [name, major, minor, mode] of NODES) {
    const inode = createInode(tx, fileSystem, S_IFCHR | mode, 0, 0, deviceNumber(major, minor));
    Inode.links.init(tx, inode, 1);
    addEntry(tx, root, nameOf(encodeUtf8(name)), inode, DIRENT.LISTED);
  }
  for (const [name, target] of LINKS) {
    const inode = createInode(tx, fileSystem, S_IFLNK | 0o777, 0, 0, 0);
    const bytes = nameOf(encodeUtf8(target));
    Inode.links.init(tx, inode, 1);
    Inode.target.init(tx, inode, storeBytes(tx, bytes));
    Inode.size.init(tx, inode, bytes.length);
    addEntry(tx, root, nameOf(encodeUtf8(name)), inode, DIRENT.LISTED);
  }
  for (const name of ["pts", "shm"]) makeDirectory(tx, root, nameOf(encodeUtf8(name)), 0o755);
}
