/**
 * What an image says: inodes made from it when they are first met, names looked up in it, its link targets and
 * attributes. The image's bytes come from the block index (blocks.ts), so all of this may abandon the
 * transaction and throw WOULD_BLOCK. A damaged image is EIO.
 */

import { errno } from "../../base/errno.ts";
import { CorruptImageError } from "../../erofs/corrupt.ts";
import {
  type BlockAccess,
  directoryBlocks,
  type EntryVisitor,
  type Inode as ImageInode,
  lookUp,
  readEntries,
  readInode,
  readSuperblock,
  readSymlink,
  readXattrs,
  type Superblock,
  type Xattr,
} from "../../erofs/reader.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { blockFrame } from "./blocks.ts";
import { createRootEntry } from "./entries.ts";
import { enterImageInode, findImageInode, FIRST_COOKIE, S_IFLNK, S_IFMT, S_IFREG } from "./inodes.ts";
import type { NameBytes } from "./names.ts";
import { FileSystem, Inode } from "./records.ts";

/** Blocks that reading metadata brings along; directories and inodes lie close to each other. */
const METADATA_AHEAD = 8;

/** Runs a reader of the image; damage is EIO. */
function reading<T>(tx: Transaction, fileSystem: FileSystem, work: (read: BlockAccess) => T): T {
  const end = FileSystem.blockCount.get(tx, fileSystem);
  const ref = { bytes: tx.memoryBytes, offset: 0 };
  const read: BlockAccess = (block) => {
    const ahead = Math.max(Math.min(block + METADATA_AHEAD, end), block + 1);
    return { ...ref, offset: blockFrame(tx, fileSystem, block, ahead) * 4096 };
  };
  try {
    return work(read);
  } catch (error) {
    if (error instanceof CorruptImageError) throw errno.EIO;
    throw error;
  }
}

/** The superblock, from what {@link openImage} has noted. */
function superblock(tx: Transaction, fileSystem: FileSystem): Superblock {
  return {
    blocks: FileSystem.blockCount.get(tx, fileSystem),
    inodes: 0,
    rootNid: FileSystem.rootNid.get(tx, fileSystem),
    metaOffset: FileSystem.metaBlock.get(tx, fileSystem) * 4096,
    xattrOffset: FileSystem.xattrBlock.get(tx, fileSystem) * 4096,
    buildSeconds: FileSystem.buildSeconds.get(tx, fileSystem),
    buildNanoseconds: FileSystem.buildNanos.get(tx, fileSystem),
    uuid: NO_UUID,
  };
}
const NO_UUID = new Uint8Array(16);

/** Reads the superblock and the root inode of a file system whose record is committed; may throw WOULD_BLOCK. */
export function openImage(tx: Transaction, fileSystem: FileSystem): void {
  if (FileSystem.blockCount.get(tx, fileSystem) === 0) {
    const found = reading(tx, fileSystem, readSuperblock);
    FileSystem.blockCount.set(tx, fileSystem, found.blocks);
    FileSystem.rootNid.set(tx, fileSystem, found.rootNid);
    FileSystem.metaBlock.set(tx, fileSystem, found.metaOffset / 4096);
    FileSystem.xattrBlock.set(tx, fileSystem, found.xattrOffset / 4096);
    FileSystem.buildSeconds.set(tx, fileSystem, found.buildSeconds);
    FileSystem.buildNanos.set(tx, fileSystem, found.buildNanoseconds);
  }
  const root = imageInode(tx, fileSystem, FileSystem.rootNid.get(tx, fileSystem));
  FileSystem.root.set(tx, fileSystem, root);
  FileSystem.rootEntry.set(tx, fileSystem, createRootEntry(tx, root));
}

/** The inode of the image's `nid`, made if the heap has it not yet. */
export function imageInode(tx: Transaction, fileSystem: FileSystem, nid: number): Inode {
  const known = findImageInode(tx, fileSystem, nid);
  if (known !== 0) return known;
  const found = readImageInode(tx, fileSystem, nid);
  const inode = Inode.allocate(tx);
  Inode.fileSystem.init(tx, inode, fileSystem);
  Inode.nid.init(tx, inode, nid);
  Inode.ino.init(tx, inode, nid);
  Inode.mode.init(tx, inode, found.mode);
  Inode.uid.init(tx, inode, found.uid);
  Inode.gid.init(tx, inode, found.gid);
  Inode.links.init(tx, inode, found.nlink);
  Inode.rdev.init(tx, inode, found.rdev);
  Inode.size.init(tx, inode, found.size);
  Inode.nextCookie.init(tx, inode, FIRST_COOKIE);
  for (const time of ["atime", "mtime", "ctime", "btime"] as const) {
    Inode[time].init(tx, inode, found.mtimeSeconds);
    Inode[`${time}Nanos`].init(tx, inode, found.mtimeNanoseconds);
  }
  if ((found.mode & S_IFMT) === S_IFREG) {
    // A tail inside the inode is copied into a page when it is first needed (pages.ts): imagePages leaves it out.
    Inode.imageBlock.init(tx, inode, found.firstBlock);
    Inode.imagePages.init(tx, inode, found.ownBlocks);
  }
  FileSystem.inodes.set(tx, fileSystem, FileSystem.inodes.get(tx, fileSystem) + 1);
  enterImageInode(tx, inode);
  return inode;
}

function readImageInode(tx: Transaction, fileSystem: FileSystem, nid: number): ImageInode {
  return reading(tx, fileSystem, (read) => readInode(read, superblock(tx, fileSystem), nid));
}

/** The nid of `name` in an image directory, −1 if it has no such name. */
export function lookUpInImage(tx: Transaction, directory: Inode, name: NameBytes): number {
  const fileSystem = Inode.fileSystem.get(tx, directory);
  const sb = superblock(tx, fileSystem);
  return reading(tx, fileSystem, (read) => {
    const bytes = name.source.subarray(name.start, name.start + name.length);
    return lookUp(read, sb, readInode(read, sb, Inode.nid.get(tx, directory)), bytes);
  });
}

/**
 * Visits the names of an image directory from block `block`, entry `from` on, until the visitor answers false;
 * true if it came to the end. `visit` gets the block's number besides.
 */
export function visitImageEntries(
  tx: Transaction,
  directory: Inode,
  block: number,
  from: number,
  visit: (block: number, ...entry: Parameters<EntryVisitor>) => boolean,
): boolean {
  const fileSystem = Inode.fileSystem.get(tx, directory);
  const sb = superblock(tx, fileSystem);
  return reading(tx, fileSystem, (read) => {
    const inode = readInode(read, sb, Inode.nid.get(tx, directory));
    const blocks = directoryBlocks(inode);
    for (let at = block; at < blocks; at++) {
      const first = at === block ? from : 0;
      if (!readEntries(read, sb, inode, at, first, (...entry) => visit(at, ...entry))) return false;
    }
    return true;
  });
}

/** Bytes of the inline tail of a regular file, which Coppice's own images do not have. */
export function readTail(tx: Transaction, inode: Inode): Uint8Array {
  const found = readImageInode(tx, Inode.fileSystem.get(tx, inode), Inode.nid.get(tx, inode));
  const fileSystem = Inode.fileSystem.get(tx, inode);
  const length = found.size % 4096;
  const block = Math.floor(found.tailOffset / 4096);
  const at = blockFrame(tx, fileSystem, block, block + 1) * 4096 + (found.tailOffset % 4096);
  return tx.memoryBytes.slice(at, at + length);
}

/** The target of a symbolic link of the image. */
export function readImageLink(tx: Transaction, inode: Inode): Uint8Array {
  const fileSystem = Inode.fileSystem.get(tx, inode);
  if ((Inode.mode.get(tx, inode) & S_IFMT) !== S_IFLNK) throw errno.EINVAL;
  const sb = superblock(tx, fileSystem);
  return reading(tx, fileSystem, (read) =>
    readSymlink(read, sb, readInode(read, sb, Inode.nid.get(tx, inode))),
  );
}

/** The extended attributes that the image gives an inode. */
export function readImageXattrs(tx: Transaction, inode: Inode): Xattr[] {
  if (Inode.nid.get(tx, inode) === 0) return [];
  const fileSystem = Inode.fileSystem.get(tx, inode);
  const sb = superblock(tx, fileSystem);
  return reading(tx, fileSystem, (read) =>
    readXattrs(read, sb, readInode(read, sb, Inode.nid.get(tx, inode))),
  );
}
