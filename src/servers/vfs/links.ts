/** Symbolic links: where they lead. */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { File } from "../../kernel/file.ts";
import { readImageLink } from "./image.ts";
import { S_IFLNK, typeOf } from "./inodes.ts";
import { FileSystem, Inode, type Dirent, type Mount } from "./records.ts";

/** A file system whose links are made as they are read (procfs, host folders). */
export interface GeneratedLinks {
  /** The target's bytes. */
  read(tx: Transaction, inode: Inode): Uint8Array;
  /** For a link that leads to a place whatever its name, or to an open file without a name: that. */
  magic?(tx: Transaction, inode: Inode): MagicTarget | undefined;
}

export type MagicTarget =
  | { readonly mount: Mount; readonly entry: Dirent }
  /** A pipe, a socket: it has no place. */
  | { readonly file: File };

const generated = new Map<number, GeneratedLinks>();

export function registerGeneratedLinks(kind: number, links: GeneratedLinks): void {
  generated.set(kind, links);
}

const kindOfInode = (tx: Transaction, inode: Inode): number =>
  FileSystem.kind.get(tx, Inode.fileSystem.get(tx, inode));

export const linkTarget = {
  magic(tx: Transaction, inode: Inode): MagicTarget | undefined {
    return generated.get(kindOfInode(tx, inode))?.magic?.(tx, inode);
  },

  /** The target as bytes of its own. EINVAL if the inode is no symbolic link. */
  read(tx: Transaction, inode: Inode): Uint8Array {
    if (typeOf(tx, inode) !== S_IFLNK) throw errno.EINVAL;
    const maker = generated.get(kindOfInode(tx, inode));
    if (maker !== undefined) return maker.read(tx, inode);
    const target = Inode.target.get(tx, inode);
    if (target === 0) return readImageLink(tx, inode);
    const at = target * 4;
    return tx.bytes.slice(at, at + Inode.size.get(tx, inode));
  },
};
