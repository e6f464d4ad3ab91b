/** mount(2), umount2(2), and giving pages of images back when memory runs out. */

import { errno } from "../../base/errno.ts";
import { next } from "../../heap/list.ts";
import { liveRecords } from "../../heap/check.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import type { File } from "../../kernel/file.ts";
import { auth } from "../auth/auth.ts";
import { CAP } from "../auth/capabilities.ts";
import { reclaimBlocks } from "./blocks.ts";
import { isDirectory } from "./inodes.ts";
import { addMount, createMemoryFileSystem, MS, removeMount } from "./mounts.ts";
import type { FsContext } from "./records.ts";
import { FILE_SYSTEM, FileSystem, Mount, VfsState } from "./records.ts";
import { stateOf } from "./state.ts";
import { pathBytes, Walk } from "./walk.ts";

/** Mounts that the machine may have. */
const MOUNTS_MAX = 1024;
const MODE_OF: ReadonlyMap<number, number> = new Map([
  [FILE_SYSTEM.MEMORY, 0o1777],
  [FILE_SYSTEM.PROC, 0o555],
  [FILE_SYSTEM.PTS, 0o755],
]);

export function mount(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  type: number,
  sourceLength: number,
  flags: number,
): void {
  if (auth.isCapable(tx, credentials, CAP.SYS_ADMIN) === 0) throw errno.EPERM;
  const walk = new Walk(tx, context, credentials, base);
  const place = walk.toEnd(pathBytes(tx, path, length), true);
  if ((flags & MS.REMOUNT) !== 0) {
    if (place.entry !== Mount.root.get(tx, place.mount)) throw errno.EINVAL;
    Mount.flags.set(tx, place.mount, flags & MS.KEPT);
    return;
  }
  if ([...eachMount(tx)].length >= MOUNTS_MAX) throw errno.ENOSPC;
  if ((flags & MS.BIND) !== 0) {
    const source = new Walk(tx, context, credentials, base);
    const from = source.toEnd(pathBytes(tx, 1, sourceLength), true);
    if (isDirectory(tx, source.inode) !== isDirectory(tx, walk.inode)) throw errno.ENOTDIR;
    const system = Mount.fileSystem.get(tx, from.mount);
    addMount(tx, walk.state, system, from.entry, place, Mount.flags.get(tx, from.mount));
    return;
  }
  const mode = MODE_OF.get(type);
  if (mode === undefined) throw errno.ENODEV;
  if (!isDirectory(tx, walk.inode)) throw errno.ENOTDIR;
  const fileSystem = createMemoryFileSystem(tx, walk.state, type, mode);
  addMount(tx, walk.state, fileSystem, FileSystem.rootEntry.get(tx, fileSystem), place, flags);
}

const UMOUNT = { FORCE: 1, DETACH: 2, EXPIRE: 4, NOFOLLOW: 8 } as const;

export function umount(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  flags: number,
): void {
  if (auth.isCapable(tx, credentials, CAP.SYS_ADMIN) === 0) throw errno.EPERM;
  if ((flags & ~(UMOUNT.FORCE | UMOUNT.DETACH | UMOUNT.NOFOLLOW)) !== 0) throw errno.EINVAL;
  const walk = new Walk(tx, context, credentials, base);
  const place = walk.toEnd(pathBytes(tx, path, length), (flags & UMOUNT.NOFOLLOW) === 0);
  if (place.entry !== Mount.root.get(tx, place.mount)) throw errno.EINVAL;
  removeMount(tx, walk.state, place.mount, (flags & UMOUNT.DETACH) !== 0);
}

/**
 * Drops up to `pages` clean pages of images that nobody maps; returns how many. The greatest number in one
 * transaction is RECLAIM_MAX.
 */
export function reclaim(tx: Transaction, pages: number): number {
  let freed = 0;
  const limit = Math.min(pages, RECLAIM_MAX);
  for (const fileSystem of liveRecords(tx, FileSystem.schema)) {
    if (freed >= limit) break;
    if (FileSystem.kind.get(tx, fileSystem) !== FILE_SYSTEM.IMAGE) continue;
    freed += reclaimBlocks(tx, fileSystem, limit - freed);
  }
  return freed;
}
export const RECLAIM_MAX = 128;

/** The mounts of the machine as /proc/mounts lists them. */
export function* eachMount(tx: Transaction): Generator<Mount> {
  const state = stateOf(tx);
  for (let mount = VfsState.mounts.first(tx, state); mount !== 0; mount = next(tx, Mount.links, mount))
    yield mount;
}
