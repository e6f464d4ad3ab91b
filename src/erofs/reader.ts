/**
 * Reads an EROFS file system, block by block (layout.ts has the bytes).
 *
 * Everything here is a function of its arguments: no cache, no state between calls. Blocks come from the
 * caller, at once, and what the caller's {@link BlockAccess} throws (for example "not in memory yet") passes
 * through unchanged; the caller simply calls again later.
 *
 * Every number in an image is untrusted. What is out of range gives a {@link CorruptImageError} and nothing
 * else, loops are bounded by the block they read, and no byte outside the block is looked at:
 *
 *   R1  a block number is below the superblock's number of blocks before it is asked for;
 *   R2  an offset within a block, and an offset plus a length, is checked against the block's size;
 *   R3  a 64-bit number that a double cannot hold exactly is corrupt.
 */

import { CorruptImageError } from "./corrupt.ts";
import { crc32c } from "./crc32c.ts";
import {
  blockBits,
  blockSize,
  compactInodeSize,
  dataLayout,
  direntSize,
  extendedInodeSize,
  featureSuperblockChecksum,
  fileTypeOfMode,
  fileType,
  modeType,
  nameLimit,
  slotSize,
  superblockMagic,
  superblockOffset,
  superblockSize,
  xattrEntrySize,
  xattrHeaderSize,
  xattrPrefixes,
} from "./layout.ts";

/** One block: 4096 bytes from `offset` in `bytes`. */
export interface BlockRef {
  bytes: Uint8Array;
  offset: number;
}

/**
 * Gives block `block` of the image. May throw a signal of the caller's own; the bytes must stay as they are
 * until the reading function returns.
 */
export type BlockAccess = (block: number) => BlockRef;

export interface Superblock {
  /** Blocks of the file system; a hash tree may follow. */
  blocks: number;
  inodes: number;
  rootNid: number;
  /** Where nids are counted from, in bytes. */
  metaOffset: number;
  /** Where shared xattrs are counted from, in bytes. */
  xattrOffset: number;
  buildSeconds: number;
  buildNanoseconds: number;
  uuid: Uint8Array;
}

export interface Inode {
  nid: number;
  /** With the file-type bits. */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  size: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  /** Encoded device number of a device node (see `decodeDevice`), else 0. */
  rdev: number;
  /** {@link dataLayout}. */
  layout: number;
  /** First block of the content; of no meaning when there is none. */
  firstBlock: number;
  /** Number of whole blocks that lie from `firstBlock` on. */
  ownBlocks: number;
  /** Where the xattrs lie, in bytes from the start of the image, and their size. */
  xattrOffset: number;
  xattrSize: number;
  /** Where the inline tail lies, in bytes from the start of the image. */
  tailOffset: number;
}

function corrupt(part: string, problem: string): never {
  throw new CorruptImageError(part, problem);
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

function u32(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0;
}

/** A 64-bit number of at most 2^53 − 1 (R3). */
function u64(bytes: Uint8Array, at: number, part: string): number {
  const high = u32(bytes, at + 4);
  if (high >= 0x20_0000) corrupt(part, "number too large");
  return high * 0x1_0000_0000 + u32(bytes, at);
}

/** A signed 64-bit time. */
function s64(bytes: Uint8Array, at: number, part: string): number {
  const value = (u32(bytes, at + 4) | 0) * 0x1_0000_0000 + u32(bytes, at);
  if (!Number.isSafeInteger(value)) corrupt(part, "time out of range");
  return value;
}

/**
 * Reads and checks the superblock.
 * @throws {CorruptImageError} for another format, or one with features that are not supported.
 */
export function readSuperblock(read: BlockAccess): Superblock {
  const { bytes, offset } = read(0);
  const part = "superblock";
  const at = offset + superblockOffset;
  if (bytes.length < offset + blockSize) corrupt(part, "truncated");
  if (u32(bytes, at) !== superblockMagic) corrupt(part, "this is no EROFS image");
  if (bytes[at + 12] !== blockBits) corrupt(part, "block size is not 4096");
  if (u32(bytes, at + 80) !== 0) corrupt(part, "the image needs features that are not supported");
  if (bytes[at + 90] !== 0) corrupt(part, "directory blocks of another size are not supported");
  if ((u32(bytes, at + 8) & featureSuperblockChecksum) !== 0) {
    const copy = bytes.slice(at, offset + blockSize);
    copy.fill(0, 4, 8);
    if (crc32c(0xffff_ffff, copy, 0, copy.length) !== u32(bytes, at + 4))
      corrupt(part, "checksum does not match");
  }
  const blocks = u32(bytes, at + 36);
  const metaBlock = u32(bytes, at + 40);
  if (blocks === 0 || metaBlock >= blocks) corrupt(part, "impossible number of blocks");
  return {
    blocks,
    inodes: u64(bytes, at + 16, part),
    rootNid: u16(bytes, at + 14),
    metaOffset: metaBlock * blockSize,
    xattrOffset: u32(bytes, at + 44) * blockSize,
    buildSeconds: s64(bytes, at + 24, part),
    buildNanoseconds: u32(bytes, at + 32),
    uuid: bytes.slice(at + 48, at + 64),
  };
}

/** Size of the superblock, for those who want to read it alone. */
export const superblockEnd: number = superblockOffset + superblockSize;

/** Block `block`, checked to be one of the file system's (R1). */
function fetchBlock(read: BlockAccess, sb: Superblock, block: number, part: string): BlockRef {
  if (!(block >= 0 && block < sb.blocks)) corrupt(part, `block ${block} is beyond the end`);
  const ref = read(block);
  if (ref.offset < 0 || ref.offset + blockSize > ref.bytes.length)
    corrupt(part, `block ${block} is truncated`);
  return ref;
}

/** `length` bytes at byte `at` of the image. In one block they are a view; across blocks, a copy. */
function fetchRange(read: BlockAccess, sb: Superblock, at: number, length: number, part: string): BlockRef {
  const block = Math.floor(at / blockSize);
  const within = at - block * blockSize;
  const first = fetchBlock(read, sb, block, part);
  if (within + length <= blockSize) return { bytes: first.bytes, offset: first.offset + within };
  const copy = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const position = at + done;
    const number = Math.floor(position / blockSize);
    const from = position - number * blockSize;
    const count = Math.min(blockSize - from, length - done);
    const ref = fetchBlock(read, sb, number, part);
    copy.set(ref.bytes.subarray(ref.offset + from, ref.offset + from + count), done);
    done += count;
  }
  return { bytes: copy, offset: 0 };
}

/**
 * Reads inode `nid`.
 * @throws {CorruptImageError} when it lies outside the image or its fields contradict each other.
 */
export function readInode(read: BlockAccess, sb: Superblock, nid: number): Inode {
  const part = `inode ${nid}`;
  if (!Number.isInteger(nid) || nid < 0) corrupt(part, "impossible number");
  const at = sb.metaOffset + nid * slotSize;
  const head = fetchRange(read, sb, at, compactInodeSize, part);
  const format = u16(head.bytes, head.offset);
  const extended = (format & 1) !== 0;
  const layout = (format >>> 1) & 7;
  if (format >>> 4 !== 0) corrupt(part, "unknown format");
  if (layout !== dataLayout.plain && layout !== dataLayout.inline) {
    corrupt(part, `data layout ${layout} is not supported`);
  }
  const { bytes, offset: o } = extended ? fetchRange(read, sb, at, extendedInodeSize, part) : head;
  const mode = u16(bytes, o + 4);
  const type = fileTypeOfMode(mode);
  if (type === fileType.unknown) corrupt(part, "unknown file type");
  const size = extended ? u64(bytes, o + 8, part) : u32(bytes, o + 8);
  const words = u16(bytes, o + 2);
  const xattrSize = words === 0 ? 0 : xattrHeaderSize + (words - 1) * 4;
  const inodeSize = extended ? extendedInodeSize : compactInodeSize;
  const nanoseconds = extended ? u32(bytes, o + 40) : sb.buildNanoseconds;
  if (nanoseconds > 999_999_999) corrupt(part, "nanoseconds out of range");
  const device = type === fileType.character || type === fileType.block;
  const hasContent = type === fileType.regular || type === fileType.directory || type === fileType.symlink;
  const inode: Inode = {
    nid,
    mode,
    uid: extended ? u32(bytes, o + 24) : u16(bytes, o + 24),
    gid: extended ? u32(bytes, o + 28) : u16(bytes, o + 26),
    nlink: extended ? u32(bytes, o + 44) : u16(bytes, o + 6),
    size: hasContent ? size : 0,
    mtimeSeconds: extended ? s64(bytes, o + 32, part) : sb.buildSeconds,
    mtimeNanoseconds: nanoseconds,
    rdev: device ? u32(bytes, o + 16) : 0,
    layout,
    firstBlock: u32(bytes, o + 16),
    ownBlocks: 0,
    xattrOffset: at + inodeSize,
    xattrSize,
    tailOffset: at + inodeSize + xattrSize,
  };
  checkContent(sb, inode, part);
  return inode;
}

/** Fills in `ownBlocks` and checks that the content lies inside the image. */
function checkContent(sb: Superblock, inode: Inode, part: string): void {
  const tail = inode.layout === dataLayout.inline ? inode.size % blockSize : 0;
  inode.ownBlocks = tail > 0 ? (inode.size - tail) / blockSize : Math.ceil(inode.size / blockSize);
  if (inode.ownBlocks > 0 && inode.firstBlock + inode.ownBlocks > sb.blocks) {
    corrupt(part, "its content lies beyond the end");
  }
  // An inline tail never crosses a block border (Linux checks the same).
  if (tail > 0 && (inode.tailOffset % blockSize) + tail > blockSize)
    corrupt(part, "inline data crosses a block");
  if ((inode.mode & modeType.mask) === modeType.directory && inode.size === 0)
    corrupt(part, "empty directory");
}

/**
 * The image block that holds page `index` of the content, or -1 when that page is the inline tail. Bytes of
 * the block beyond the inode's size are zero in images of our own; do not rely on it in others.
 * @throws {CorruptImageError} when `index` is beyond the end of the content.
 */
export function contentBlock(inode: Inode, index: number): number {
  if (index >= 0 && index < inode.ownBlocks) return inode.firstBlock + index;
  if (index === inode.ownBlocks && inode.ownBlocks * blockSize < inode.size) return -1;
  return corrupt(`inode ${inode.nid}`, `page ${index} is beyond its end`);
}

/** Bytes of page `index` of the content that count: 4096, or less for the last one. */
export function contentLength(inode: Inode, index: number): number {
  return Math.max(0, Math.min(blockSize, inode.size - index * blockSize));
}

/** Where page `index` of the content lies. */
export function readContent(read: BlockAccess, sb: Superblock, inode: Inode, index: number): BlockRef {
  const part = `inode ${inode.nid}`;
  const block = contentBlock(inode, index);
  if (block >= 0) return fetchBlock(read, sb, block, part);
  return fetchRange(read, sb, inode.tailOffset, contentLength(inode, index), part);
}

/** A block of a directory, its bounds checked. Entries are read with the functions below. */
interface DirectoryBlock {
  bytes: Uint8Array;
  offset: number;
  length: number;
  count: number;
  part: string;
}

function directoryBlock(read: BlockAccess, sb: Superblock, inode: Inode, index: number): DirectoryBlock {
  const part = `directory ${inode.nid}`;
  if ((inode.mode & modeType.mask) !== modeType.directory) corrupt(part, "is no directory");
  const { bytes, offset } = readContent(read, sb, inode, index);
  const length = contentLength(inode, index);
  if (length < direntSize) corrupt(part, "truncated entry");
  const first = u16(bytes, offset + 8);
  const count = first / direntSize;
  if (first === 0 || first > length || !Number.isInteger(count)) corrupt(part, "malformed first entry");
  return { bytes, offset, length, count, part };
}

function nameStart(block: DirectoryBlock, entry: number): number {
  const start = u16(block.bytes, block.offset + entry * direntSize + 8);
  if (start < block.count * direntSize || start > block.length) corrupt(block.part, "name outside its block");
  return start;
}

function nameEnd(block: DirectoryBlock, entry: number, start: number): number {
  let end: number;
  if (entry + 1 < block.count) {
    end = nameStart(block, entry + 1);
  } else {
    end = block.length;
    const limit = Math.min(end, start + nameLimit + 1);
    for (let i = start; i < limit; i++) {
      if (block.bytes[block.offset + i] === 0) {
        end = i;
        break;
      }
    }
  }
  if (end <= start || end - start > nameLimit) corrupt(block.part, "name of an impossible length");
  return end;
}

function entryNid(block: DirectoryBlock, entry: number): number {
  return u64(block.bytes, block.offset + entry * direntSize, block.part);
}

/** Negative, 0 or positive as `name` sorts before, is, or sorts after the name of `entry`. */
function compareName(block: DirectoryBlock, entry: number, name: Uint8Array): number {
  const start = nameStart(block, entry);
  const end = nameEnd(block, entry, start);
  const length = Math.min(name.length, end - start);
  for (let i = 0; i < length; i++) {
    const difference = (name[i] ?? 0) - (block.bytes[block.offset + start + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return name.length - (end - start);
}

/**
 * Looks `name` up in a directory, by binary search over its blocks and then within one.
 * @returns the nid, or -1 when there is no such name.
 */
export function lookUp(read: BlockAccess, sb: Superblock, directory: Inode, name: Uint8Array): number {
  // Find the last block whose first name is not after `name`.
  let low = 0;
  let high = directoryBlocks(directory) - 1;
  let found: DirectoryBlock | undefined;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const block = directoryBlock(read, sb, directory, middle);
    const order = compareName(block, 0, name);
    if (order === 0) return entryNid(block, 0);
    if (order < 0) high = middle - 1;
    else {
      found = block;
      low = middle + 1;
    }
  }
  if (found === undefined) return -1;
  let first = 1;
  let last = found.count - 1;
  while (first <= last) {
    const middle = (first + last) >>> 1;
    const order = compareName(found, middle, name);
    if (order === 0) return entryNid(found, middle);
    if (order < 0) last = middle - 1;
    else first = middle + 1;
  }
  return -1;
}

/** Number of blocks to give to {@link readEntries}. */
export function directoryBlocks(directory: Inode): number {
  return Math.ceil(directory.size / blockSize);
}

/**
 * Receives an entry: its nid, its type ({@link fileType}) and where its name lies. Answers whether to go on.
 */
export type EntryVisitor = (
  nid: number,
  type: number,
  bytes: Uint8Array,
  nameStart: number,
  nameEnd: number,
  index: number,
) => boolean;

/**
 * Visits the entries of block `block` of a directory, from entry `from` on, "." and ".." among them.
 * @returns whether the visitor let it come to the end of the block.
 */
export function readEntries(
  read: BlockAccess,
  sb: Superblock,
  directory: Inode,
  block: number,
  from: number,
  visit: EntryVisitor,
): boolean {
  const b = directoryBlock(read, sb, directory, block);
  for (let entry = from; entry < b.count; entry++) {
    const start = nameStart(b, entry);
    const end = nameEnd(b, entry, start);
    const type = b.bytes[b.offset + entry * direntSize + 10] ?? 0;
    if (type > fileType.symlink) corrupt(b.part, "entry of unknown type");
    if (!visit(entryNid(b, entry), type, b.bytes, b.offset + start, b.offset + end, entry)) return false;
  }
  return true;
}

/** The target of a symbolic link, as bytes of its own. */
export function readSymlink(read: BlockAccess, sb: Superblock, inode: Inode): Uint8Array {
  const part = `symbolic link ${inode.nid}`;
  if ((inode.mode & modeType.mask) !== modeType.symlink) corrupt(part, "is no symbolic link");
  if (inode.size === 0 || inode.size > 4095) corrupt(part, "target of an impossible length");
  const { bytes, offset } = readContent(read, sb, inode, 0);
  return bytes.slice(offset, offset + inode.size);
}

/** An extended attribute: its full name as a byte string, its value as bytes of its own. */
export interface Xattr {
  name: string;
  value: Uint8Array;
}

/** The extended attributes of an inode. */
export function readXattrs(read: BlockAccess, sb: Superblock, inode: Inode): Xattr[] {
  const found: Xattr[] = [];
  if (inode.xattrSize === 0) return found;
  const part = `xattrs of inode ${inode.nid}`;
  const { bytes, offset } = fetchRange(read, sb, inode.xattrOffset, inode.xattrSize, part);
  const end = offset + inode.xattrSize;
  const shared = bytes[offset + 4] ?? 0;
  let at = offset + xattrHeaderSize + shared * 4;
  if (at > end) corrupt(part, "more shared attributes than there is room for");
  for (let i = 0; i < shared; i++) {
    const position = sb.xattrOffset + u32(bytes, offset + xattrHeaderSize + i * 4) * 4;
    const head = fetchRange(read, sb, position, xattrEntrySize, part);
    const size = xattrEntrySize + (head.bytes[head.offset] ?? 0) + u16(head.bytes, head.offset + 2);
    const whole = fetchRange(read, sb, position, size, part);
    found.push(readXattr(whole.bytes, whole.offset, whole.offset + size, part));
  }
  while (at < end) {
    if (end - at < xattrEntrySize) corrupt(part, "truncated entry");
    const size = xattrEntrySize + (bytes[at] ?? 0) + u16(bytes, at + 2);
    found.push(readXattr(bytes, at, end, part));
    at += Math.ceil(size / 4) * 4;
  }
  return found;
}

function readXattr(bytes: Uint8Array, at: number, end: number, part: string): Xattr {
  const nameLength = bytes[at] ?? 0;
  const index = bytes[at + 1] ?? 0;
  const valueLength = u16(bytes, at + 2);
  const nameAt = at + xattrEntrySize;
  if (nameAt + nameLength + valueLength > end) corrupt(part, "entry outside its area");
  const prefix = xattrPrefixes.find((known) => known.index === index);
  if (prefix === undefined) return corrupt(part, `unknown name prefix ${index}`);
  let name = prefix.prefix;
  for (let i = 0; i < nameLength; i++) name += String.fromCharCode(bytes[nameAt + i] ?? 0);
  return { name, value: bytes.slice(nameAt + nameLength, nameAt + nameLength + valueLength) };
}
