/**
 * Entries of file systems that make their names as they are looked up (procfs, devpts). Such an entry is a
 * shadow like a name of an image: it can be forgotten and made again. Its inode says in `detail`, `subject`
 * and `object` what it stands for; an entry that stands for something else by now is replaced.
 */

import type { Transaction } from "../../heap/transaction.ts";
import { addEntry, findEntry, forgetEntry } from "./entries.ts";
import { createInode, S_IFDIR, S_IFMT } from "./inodes.ts";
import type { NameBytes } from "./names.ts";
import { Dirent, DIRENT, Inode, INODE } from "./records.ts";

/** What an inode stands for. */
export interface Identity {
  readonly detail: number;
  readonly subject: number;
  readonly object: number;
}

export interface GeneratedAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
}

/** The entry `name` of a generated directory for `identity`. With the vfs lock held. */
export function generatedEntry(
  tx: Transaction,
  directory: Inode,
  name: NameBytes,
  identity: Identity,
  attributes: GeneratedAttributes,
): Dirent {
  const known = findEntry(tx, directory, name);
  if (known !== 0) {
    if (identityIs(tx, Dirent.inode.get(tx, known), identity)) return known;
    forgetGenerated(tx, known);
  }
  const { mode, uid, gid, rdev } = attributes;
  const inode = createInode(tx, Inode.fileSystem.get(tx, directory), mode, uid, gid, rdev);
  Inode.flags.init(tx, inode, INODE.TRANSIENT);
  Inode.links.init(tx, inode, (mode & S_IFMT) === S_IFDIR ? 2 : 1);
  Inode.detail.init(tx, inode, identity.detail);
  Inode.subject.init(tx, inode, identity.subject);
  Inode.object.init(tx, inode, identity.object);
  return addEntry(tx, directory, name, inode, DIRENT.CACHED);
}

function identityIs(tx: Transaction, inode: Inode, identity: Identity): boolean {
  return (
    Inode.detail.get(tx, inode) === identity.detail &&
    Inode.subject.get(tx, inode) === identity.subject &&
    Inode.object.get(tx, inode) === identity.object
  );
}

/** Takes a generated entry away: what it stood for is no more. */
export function forgetGenerated(tx: Transaction, entry: Dirent): void {
  const inode = Dirent.inode.get(tx, entry);
  // Without a link the inode lets go of the names in it when its last reference goes.
  Inode.links.set(tx, inode, 0);
  forgetEntry(tx, entry);
}
