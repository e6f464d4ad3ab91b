/**
 * Looking one name up in one directory, whatever kind of file system it is of: in the heap first, then in the
 * image, or by asking the file system that makes its names as they are asked for (procfs).
 */

import type { Transaction } from "../../heap/transaction.ts";
import { addEntry, findEntry } from "./entries.ts";
import { imageInode, lookUpInImage } from "./image.ts";
import type { NameBytes } from "./names.ts";
import { DIRENT, Dirent, FILE_SYSTEM, FileSystem, Inode, INODE } from "./records.ts";

/** A file system that makes its names as they are looked up. */
export interface GeneratedNames {
  /** The entry of `name`, made or made sure of; none if there is no such name. */
  lookUp(tx: Transaction, directory: Inode, name: NameBytes): Dirent;
}

const generated = new Map<number, GeneratedNames>();

/** Says who makes the names of file systems of a kind. Once for each, when a module is loaded. */
export function registerGeneratedNames(kind: number, names: GeneratedNames): void {
  generated.set(kind, names);
}

/** The entry of `name` in `directory`; none if there is no such name. With the vfs lock held. */
export function lookUpEntry(tx: Transaction, directory: Inode, name: NameBytes): Dirent {
  const maker = generated.get(FileSystem.kind.get(tx, Inode.fileSystem.get(tx, directory)));
  if (maker !== undefined) return maker.lookUp(tx, directory, name);
  const entry = findEntry(tx, directory, name);
  if (entry !== 0) return (Dirent.flags.get(tx, entry) & DIRENT.WHITEOUT) !== 0 ? (0 as Dirent) : entry;
  if (!showsImage(tx, directory)) return 0 as Dirent;
  const nid = lookUpInImage(tx, directory, name);
  if (nid < 0) return 0 as Dirent;
  const inode = imageInode(tx, Inode.fileSystem.get(tx, directory), nid);
  return addEntry(tx, directory, name, inode, DIRENT.CACHED | DIRENT.COVERS);
}

/** Whether a directory shows names of an image. */
export function showsImage(tx: Transaction, directory: Inode): boolean {
  return (
    Inode.nid.get(tx, directory) !== 0 &&
    Inode.links.get(tx, directory) !== 0 &&
    (Inode.flags.get(tx, directory) & INODE.OPAQUE) === 0 &&
    FileSystem.kind.get(tx, Inode.fileSystem.get(tx, directory)) === FILE_SYSTEM.IMAGE
  );
}
