/**
 * Files of memory without a name: memfd_create(2).
 *
 * They are files of one memory file system that is mounted nowhere (VfsState.memoryMount). Each keeps a removed
 * dirent "memfd:NAME", which is what /proc/PID/fd shows. Their pages are like those of any file of memory, so
 * that they are read, written, mapped and truncated in the same way; what may still be done to them, seals.ts says.
 */

import { encodeUtf8 } from "../../base/text.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { Credentials } from "../../kernel/credentials.ts";
import type { File } from "../../kernel/file.ts";
import { createRemovedEntry } from "./entries.ts";
import { createInode, ENDS, S_IFREG } from "./inodes.ts";
import { addDetachedMount, createMemoryFileSystem } from "./mounts.ts";
import { nameOf } from "./names.ts";
import { O } from "./open-flags.ts";
import { makeFile } from "./open.ts";
import { FILE_SYSTEM, FileSystem, Inode, Mount, VfsState } from "./records.ts";
import { lockVfs } from "./state.ts";
import { pathBytes } from "./walk.ts";

const O_LARGEFILE = 0o100000;
const PREFIX = encodeUtf8("memfd:");

/** Makes the file system of files without a name. At boot. */
export function placeMemoryFiles(tx: Transaction, state: VfsState): void {
  const fileSystem = createMemoryFileSystem(tx, state, FILE_SYSTEM.MEMORY, 0o777);
  VfsState.memoryMount.init(tx, state, addDetachedMount(tx, state, fileSystem));
}

/**
 * memfd_create(2): a new file, open for reading and writing, with permission bits `mode` and the first `seals`;
 * the name lies in path buffer `path`.
 */
export function createMemoryFile(
  tx: Transaction,
  credentials: Credentials,
  path: number,
  length: number,
  mode: number,
  seals: number,
): File {
  const state = lockVfs(tx);
  const mount = VfsState.memoryMount.get(tx, state);
  const fileSystem = Mount.fileSystem.get(tx, mount);
  const uid = Credentials.fsUid.get(tx, credentials);
  const inode = createInode(tx, fileSystem, S_IFREG | mode, uid, Credentials.fsGid.get(tx, credentials), 0);
  Inode.writers.init(tx, inode, 1);
  Inode.seals.init(tx, inode, seals);
  const { source, start } = pathBytes(tx, path, length);
  const name = nameOf(Uint8Array.of(...PREFIX, ...source.subarray(start, start + length)));
  const entry = createRemovedEntry(tx, FileSystem.root.get(tx, fileSystem), name, inode);
  return makeFile(tx, credentials, { mount, entry }, inode, "inode", O.RDWR | O_LARGEFILE, ENDS.WRITER);
}
