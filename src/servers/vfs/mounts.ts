/** Mounts: the tree of file systems, and file systems of memory. */

import { errno } from "../../base/errno.ts";
import { redoFree } from "../../heap/allocator.ts";
import { append, each, remove } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { dropAfterCommit, registerDrop } from "../server.ts";
import { createRootEntry, holdEntry, uncache } from "./entries.ts";
import { createInode, S_IFDIR } from "./inodes.ts";
import { Dirent, DIRENT, FileSystem, Inode, Mount, VfsState } from "./records.ts";
import { createFileSystem, lockVfs } from "./state.ts";
import type { Place } from "./walk.ts";

export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  REMOUNT: 32,
  NOATIME: 1024,
  BIND: 4096,
  MOVE: 8192,
  REC: 16384,
  KEPT: 1 | 2 | 4 | 8 | 1024,
} as const;

/** A file system of memory with an empty root directory. */
export function createMemoryFileSystem(
  tx: Transaction,
  state: VfsState,
  kind: number,
  mode: number,
): FileSystem {
  const fileSystem = createFileSystem(tx, state, kind);
  const root = createInode(tx, fileSystem, S_IFDIR | mode, 0, 0, 0);
  Inode.links.init(tx, root, 2);
  FileSystem.root.init(tx, fileSystem, root);
  FileSystem.rootEntry.init(tx, fileSystem, createRootEntry(tx, root));
  return fileSystem;
}

/** Mounts `root`, a dirent of `fileSystem`, on `at` (undefined: as the root of the machine). */
export function addMount(
  tx: Transaction,
  state: VfsState,
  fileSystem: FileSystem,
  root: Dirent,
  at: Place | undefined,
  flags: number,
): Mount {
  const mount = Mount.allocate(tx);
  const id = VfsState.nextMountId.get(tx, state);
  VfsState.nextMountId.set(tx, state, id + 1);
  Mount.id.init(tx, mount, id);
  Mount.fileSystem.init(tx, mount, fileSystem);
  Mount.root.init(tx, mount, root);
  Mount.flags.init(tx, mount, flags & MS.KEPT);
  Mount.references.init(tx, mount, 1);
  holdEntry(tx, root);
  uncache(tx, root);
  FileSystem.references.set(tx, fileSystem, FileSystem.references.get(tx, fileSystem) + 1);
  if (at !== undefined) {
    Mount.parent.init(tx, mount, at.mount);
    Mount.at.init(tx, mount, at.entry);
    holdMount(tx, at.mount);
    holdEntry(tx, at.entry);
    uncache(tx, at.entry);
    Dirent.flags.set(tx, at.entry, Dirent.flags.get(tx, at.entry) | DIRENT.MOUNTPOINT);
  }
  append(tx, VfsState.mounts, state, Mount.links, mount);
  return mount;
}

/** A mount of the whole of `fileSystem` that is in no tree: no path leads to it. At boot. */
export function addDetachedMount(tx: Transaction, state: VfsState, fileSystem: FileSystem): Mount {
  const mount = Mount.allocate(tx);
  const id = VfsState.nextMountId.get(tx, state);
  VfsState.nextMountId.set(tx, state, id + 1);
  const root = FileSystem.rootEntry.get(tx, fileSystem);
  Mount.id.init(tx, mount, id);
  Mount.fileSystem.init(tx, mount, fileSystem);
  Mount.root.init(tx, mount, root);
  Mount.references.init(tx, mount, 1);
  holdEntry(tx, root);
  FileSystem.references.set(tx, fileSystem, FileSystem.references.get(tx, fileSystem) + 1);
  return mount;
}

export function holdMount(tx: Transaction, mount: Mount): void {
  Mount.references.set(tx, mount, Mount.references.get(tx, mount) + 1);
}

/** Takes a mount out of the tree; it ends with its last reference. EBUSY if it is in use, unless `lazy`. */
export function removeMount(tx: Transaction, state: VfsState, mount: Mount, lazy: boolean): void {
  for (const other of each(tx, VfsState.mounts, state, Mount.links)) {
    if (Mount.parent.get(tx, other) === mount) throw errno.EBUSY;
  }
  if (mount === VfsState.rootMount.get(tx, state)) throw errno.EBUSY;
  if (!lazy && Mount.references.get(tx, mount) > 1) throw errno.EBUSY;
  const parent = Mount.parent.get(tx, mount);
  const at = Mount.at.get(tx, mount);
  remove(tx, VfsState.mounts, state, Mount.links, mount);
  Mount.parent.set(tx, mount, none());
  Mount.at.set(tx, mount, none());
  let covered = false;
  for (const other of each(tx, VfsState.mounts, state, Mount.links)) {
    if (Mount.at.get(tx, other) === at) covered = true;
  }
  if (!covered) Dirent.flags.set(tx, at, Dirent.flags.get(tx, at) & ~DIRENT.MOUNTPOINT);
  dropAfterCommit(tx, at);
  dropAfterCommit(tx, parent);
  dropAfterCommit(tx, mount);
}

registerDrop("mount", (tx, mount) => {
  lockVfs(tx);
  const references = Mount.references.get(tx, mount);
  if (references > 1) {
    Mount.references.set(tx, mount, references - 1);
    return true;
  }
  const root = Mount.root.get(tx, mount);
  const fileSystem = Mount.fileSystem.get(tx, mount);
  if (root !== 0 || fileSystem !== 0) {
    Mount.references.set(tx, mount, 0);
    Mount.root.set(tx, mount, none());
    Mount.fileSystem.set(tx, mount, none());
    dropAfterCommit(tx, root);
    dropAfterCommit(tx, fileSystem);
    return false;
  }
  redoFree(tx, mount);
  return true;
});

/** A file system without mounts ends as a removed directory does: its root, and all that is below it. */
registerDrop("file-system", (tx, fileSystem) => {
  lockVfs(tx);
  const references = FileSystem.references.get(tx, fileSystem);
  if (references > 0) FileSystem.references.set(tx, fileSystem, references - 1);
  // What an unmounted file system kept in memory stays until the machine ends: see docs/design/vfs.md.
  return true;
});
