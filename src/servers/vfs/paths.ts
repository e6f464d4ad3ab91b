/** From a place back to its path. */

import { errno } from "../../base/errno.ts";
import { encodeUtf8 } from "../../base/text.ts";
import { PATH_BYTES } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File } from "../../kernel/file.ts";
import { pathAt } from "../../kernel/request.ts";
import { nameOfEntry } from "./entries.ts";
import { Dirent, DIRENT, FsContext, Inode, Mount, VfsState } from "./records.ts";
import { lockVfs, stateOf } from "./state.ts";
import type { Place } from "./walk.ts";

const DELETED = encodeUtf8(" (deleted)");
const UNREACHABLE = encodeUtf8("(unreachable)");
const SLASH = 0x2f;

/** The path of a place as seen from the context's root, as bytes of its own; "(unreachable)" before one outside. */
export function pathOf(tx: Transaction, context: FsContext, place: Place): Uint8Array {
  FsContext.lock.acquire(tx, context);
  lockVfs(tx);
  return pathFrom(
    tx,
    { mount: FsContext.rootMount.get(tx, context), entry: FsContext.root.get(tx, context) },
    place,
  );
}

/** The same from a given root, with the vfs lock held. */
export function pathFrom(tx: Transaction, root: Place, place: Place): Uint8Array {
  const names: { source: Uint8Array; start: number; length: number }[] = [];
  let { mount, entry } = place;
  const removed = (Dirent.flags.get(tx, entry) & DIRENT.DELETED) !== 0;
  let reachable = true;
  while (!(mount === root.mount && entry === root.entry)) {
    if (entry === Mount.root.get(tx, mount)) {
      const parent = Mount.parent.get(tx, mount);
      if (parent === 0) {
        // A file of memory without a name is shown as if its name were a path.
        reachable = mount === VfsState.memoryMount.get(tx, stateOf(tx));
        break;
      }
      entry = Mount.at.get(tx, mount);
      mount = parent;
      continue;
    }
    const directory = Dirent.directory.get(tx, entry);
    if (directory === 0) break;
    names.push(nameOfEntry(tx, entry));
    entry = Inode.entry.get(tx, directory);
    if (entry === 0) break;
  }
  const prefix = reachable ? 0 : UNREACHABLE.length;
  let length = prefix + (removed ? DELETED.length : 0);
  for (const name of names) length += name.length + 1;
  if (names.length === 0) length++;
  const path = new Uint8Array(length);
  if (!reachable) path.set(UNREACHABLE);
  let at = prefix;
  if (names.length === 0) path[at++] = SLASH;
  for (const name of names.reverse()) {
    path[at++] = SLASH;
    path.set(name.source.subarray(name.start, name.start + name.length), at);
    at += name.length;
  }
  if (removed) path.set(DELETED, at);
  return path;
}

function putPath(tx: Transaction, which: number, path: Uint8Array): number {
  if (path.length >= PATH_BYTES) throw errno.ENAMETOOLONG;
  tx.bytes.set(path, pathAt(tx, which));
  tx.bytes[pathAt(tx, which) + path.length] = 0;
  return path.length;
}

export function getcwd(tx: Transaction, context: FsContext): number {
  FsContext.lock.acquire(tx, context);
  lockVfs(tx);
  const place = { mount: FsContext.cwdMount.get(tx, context), entry: FsContext.cwd.get(tx, context) };
  if ((Dirent.flags.get(tx, place.entry) & DIRENT.DELETED) !== 0) throw errno.ENOENT;
  return putPath(tx, 0, pathOf(tx, context, place)) + 1;
}

export function pathOfFile(tx: Transaction, context: FsContext, file: File, which: number): number {
  const place = { mount: File.mount.get(tx, file), entry: File.entry.get(tx, file) };
  if (place.entry === 0) throw errno.ENOENT;
  return putPath(tx, which, pathOf(tx, context, place));
}
