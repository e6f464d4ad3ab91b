/**
 * File systems whose names and attributes somebody else keeps (a granted host folder): what create.ts,
 * remove.ts, rename.ts, attributes.ts and contents of files call instead of changing the heap.
 */

import type { Transaction } from "../../heap/transaction.ts";
import type { NameBytes } from "./names.ts";
import { type Dirent, FileSystem, Inode } from "./records.ts";

export interface ForeignFileSystem {
  /** Makes a file (S_IFREG), directory or link (with `target`) and gives its entry. */
  create(
    tx: Transaction,
    directory: Inode,
    name: NameBytes,
    mode: number,
    target: NameBytes | undefined,
  ): Dirent;
  remove(tx: Transaction, entry: Dirent, isDirectory: boolean): void;
  rename(tx: Transaction, entry: Dirent, directory: Inode, name: NameBytes, victim: Dirent): void;
  setMode(tx: Transaction, inode: Inode, mode: number): void;
  setSize(tx: Transaction, inode: Inode, size: number): void;
  setTimes(tx: Transaction, inode: Inode, times: readonly [number, number, number, number]): void;
}

const foreign = new Map<number, ForeignFileSystem>();

/** Says who keeps file systems of a kind. Once, when a module is loaded. */
export function registerForeign(kind: number, given: ForeignFileSystem): void {
  foreign.set(kind, given);
}

/** Who keeps the file system of an inode; undefined: the heap does. */
export function foreignOf(tx: Transaction, inode: Inode): ForeignFileSystem | undefined {
  return foreign.get(FileSystem.kind.get(tx, Inode.fileSystem.get(tx, inode)));
}
