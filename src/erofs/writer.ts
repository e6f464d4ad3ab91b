/**
 * Writes a tree of nodes as an EROFS file system (layout.ts has the bytes).
 *
 * Two steps: {@link planErofs} decides where everything lies, {@link writeErofs} emits the blocks in order, so
 * that an image of any size needs memory for its metadata only. The same tree gives the same bytes: nothing
 * here depends on insertion order, time or chance.
 *
 * Invariants of what is written:
 *   E1  A regular file is FLAT_PLAIN: its page n is one whole block, first + n, zero-filled at the end.
 *   E2  An inode with its xattrs and its inline tail lies inside one block.
 *   E3  Directory entries ascend by bytes over the whole directory.
 *   E4  A node reached by several names is one inode whose link count is the number of names.
 */

import { assert, defined } from "../base/assert.ts";
import { crc32c } from "./crc32c.ts";
import {
  blockBits,
  blockSize,
  dataLayout,
  direntSize,
  encodeDevice,
  extendedInodeSize,
  featureMtime,
  featureSuperblockChecksum,
  fileTypeOfMode,
  modeType,
  nameLimit,
  firstNid,
  slotSize,
  superblockMagic,
  superblockOffset,
  superblockSize,
  xattrEntrySize,
  xattrHeaderSize,
  xattrPrefixes,
} from "./layout.ts";

/**
 * Names and link targets are bytes on disk. A *byte string* holds one byte per character (0–255), so that it
 * can be a map key, and its order is the byte order that EROFS wants.
 */
export type ByteString = string;

/** What all kinds of node share. */
interface NodeCommon {
  /** Permission bits with set-uid, set-gid and sticky: 0 to 0o7777. */
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970. */
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  /** Extended attributes by full name, for example `security.capability`. */
  xattrs?: ReadonlyMap<ByteString, Uint8Array>;
}

export interface DirectoryNode extends NodeCommon {
  kind: "directory";
  children: Map<ByteString, ErofsNode>;
}
export interface FileNode extends NodeCommon {
  kind: "file";
  data: Uint8Array;
}
export interface SymlinkNode extends NodeCommon {
  kind: "symlink";
  target: ByteString;
}
export interface SpecialNode extends NodeCommon {
  kind: "character" | "block" | "fifo" | "socket";
  major: number;
  minor: number;
}
/** A file of any kind. The same object under several names is a hard link. */
export type ErofsNode = DirectoryNode | FileNode | SymlinkNode | SpecialNode;

export interface ErofsOptions {
  uuid: Uint8Array;
  /** At most 16 bytes. */
  label: ByteString;
  /** Seconds since 1970, written as the time of the build. */
  buildSeconds: number;
}

/** The tree cannot be expressed: a name too long, a value out of range. `path` names the node. */
export class UnwritableTreeError extends Error {
  override readonly name: string = "UnwritableTreeError";
  readonly path: string;
  constructor(path: string, problem: string) {
    super(`${path}: ${problem}`);
    this.path = path;
  }
}

interface Placed {
  node: ErofsNode;
  path: string;
  ino: number;
  links: number;
  xattrs: Uint8Array;
  /** Byte offset of the inode in the image. */
  offset: number;
  size: number;
  layout: number;
  firstBlock: number;
  /** Blocks of its own (without the inline tail). */
  blocks: number;
  parent: Placed | undefined;
  entries: Entry[];
  /** For directories: the number of entries in each directory block. */
  blockCounts: number[];
}

interface Entry {
  name: ByteString;
  target: Placed;
}

/** Where everything lies; made by {@link planErofs}. */
export interface ErofsPlan {
  /** Size of the file system in blocks. */
  readonly blocks: number;
  readonly inodes: number;
  /** Bytes in regular files, each hard link counted once. */
  readonly fileBytes: number;
  /** In the order of their inodes. For {@link writeErofs}. */
  readonly placed: readonly unknown[];
  readonly metaBlocks: number;
  readonly options: ErofsOptions;
}

/**
 * Decides the place of every inode and block of the tree under `root`.
 * @throws {UnwritableTreeError} for a name, size or attribute that the format cannot hold.
 */
export function planErofs(root: DirectoryNode, options: ErofsOptions): ErofsPlan {
  assert(options.uuid.length === 16, "a uuid has 16 bytes");
  assert(options.label.length <= 16, "a label has at most 16 bytes");
  const order = collect(root);
  for (const item of order) measure(item);

  let offset = firstNid * slotSize;
  for (const item of order) {
    const tail = item.layout === dataLayout.inline ? item.size - item.blocks * blockSize : 0;
    const need = extendedInodeSize + item.xattrs.length + tail;
    if ((offset % blockSize) + need > blockSize) offset = roundUp(offset, blockSize);
    item.offset = offset;
    offset = roundUp(offset + need, slotSize);
  }
  const metaBlocks = Math.ceil(offset / blockSize);

  // Directories and links first: a walk of the tree then touches one compact run of blocks.
  let block = metaBlocks;
  let fileBytes = 0;
  for (const files of [false, true]) {
    for (const item of order) {
      if ((item.node.kind === "file") !== files) continue;
      if (files) fileBytes += item.size;
      if (item.blocks === 0) continue;
      item.firstBlock = block;
      block += item.blocks;
    }
  }
  if (block >= 0xffff_ffff) throw new UnwritableTreeError("/", "the image would have more than 2^32 blocks");
  return { blocks: block, inodes: order.length, fileBytes, placed: order, metaBlocks, options };
}

/**
 * Emits the file system of `plan` in order. Each chunk is a whole number of blocks and is the receiver's to
 * keep only until it returns.
 */
export async function writeErofs(
  plan: ErofsPlan,
  emit: (chunk: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const order = plan.placed as readonly Placed[];
  const meta = new Uint8Array(plan.metaBlocks * blockSize);
  for (const item of order) writeInode(meta, item);
  writeSuperblock(meta, plan, defined(order[0], "root").offset);
  await emit(meta);
  const last = new Uint8Array(blockSize);
  for (const item of order) {
    if (item.node.kind === "directory" && item.blocks > 0) {
      await emit(directoryBytes(item).subarray(0, item.blocks * blockSize));
    } else if (item.node.kind === "symlink" && item.blocks > 0) {
      await emit(padded(bytesOf(item.node.target)));
    }
  }
  for (const item of order) {
    if (item.node.kind !== "file" || item.blocks === 0) continue;
    const data = item.node.data;
    const whole = data.length - (data.length % blockSize);
    if (whole > 0) await emit(data.subarray(0, whole));
    if (whole < data.length) {
      last.fill(0);
      last.set(data.subarray(whole));
      await emit(last);
    }
  }
}

/** Breadth first, names sorted: parents come before their children and the order is fixed by the tree. */
function collect(root: DirectoryNode): Placed[] {
  const seen = new Map<ErofsNode, Placed>();
  const order: Placed[] = [];
  const place = (node: ErofsNode, path: string, parent: Placed | undefined): Placed => {
    const known = seen.get(node);
    if (known !== undefined) {
      if (node.kind === "directory") throw new UnwritableTreeError(path, "a directory cannot have two names");
      known.links += 1;
      return known;
    }
    const placed: Placed = {
      node,
      path,
      ino: order.length + 1,
      links: node.kind === "directory" ? 2 : 1,
      xattrs: encodeXattrs(node, path),
      offset: 0,
      size: 0,
      layout: dataLayout.plain,
      firstBlock: 0,
      blocks: 0,
      parent,
      entries: [],
      blockCounts: [],
    };
    checkCommon(node, path);
    seen.set(node, placed);
    order.push(placed);
    return placed;
  };
  place(root, "/", undefined);
  for (let next = 0; next < order.length; next++) {
    const item = defined(order[next], "queue entry");
    if (item.node.kind !== "directory") continue;
    const prefix = item.path === "/" ? "/" : `${item.path}/`;
    item.entries.push({ name: ".", target: item }, { name: "..", target: item.parent ?? item });
    for (const name of [...item.node.children.keys()].sort(byteOrder)) {
      checkName(name, prefix);
      const child = place(defined(item.node.children.get(name), name), prefix + name, item);
      if (child.node.kind === "directory") item.links += 1;
      item.entries.push({ name, target: child });
    }
    item.entries.sort((a, b) => byteOrder(a.name, b.name));
  }
  return order;
}

function byteOrder(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function checkName(name: ByteString, prefix: string): void {
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
    throw new UnwritableTreeError(prefix + name, "not a valid file name");
  }
  if (name.length > nameLimit) throw new UnwritableTreeError(prefix + name, "name longer than 255 bytes");
}

function checkCommon(node: ErofsNode, path: string): void {
  const ok =
    isCount(node.mode, 0o7777) &&
    isCount(node.uid, 0xffff_ffff) &&
    isCount(node.gid, 0xffff_ffff) &&
    Number.isSafeInteger(node.mtimeSeconds) &&
    isCount(node.mtimeNanoseconds, 999_999_999);
  if (!ok) throw new UnwritableTreeError(path, "mode, owner or time out of range");
  if ("major" in node && !(isCount(node.major, 0xfff) && isCount(node.minor, 0xfffff))) {
    throw new UnwritableTreeError(path, "device number out of range");
  }
}

function isCount(value: number, greatest: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= greatest;
}

/** Decides size, layout and number of blocks of one node. */
function measure(item: Placed): void {
  const node = item.node;
  if (node.kind === "file") {
    item.size = node.data.length;
    item.blocks = Math.ceil(item.size / blockSize);
    return;
  }
  if (node.kind === "symlink") {
    item.size = node.target.length;
    if (item.size === 0) throw new UnwritableTreeError(item.path, "a symbolic link without a target");
    if (item.size > 4095) throw new UnwritableTreeError(item.path, "link target longer than 4095 bytes");
  } else if (node.kind === "directory") {
    item.size = measureDirectory(item);
  } else {
    return;
  }
  const tail = item.size % blockSize;
  const fits = tail > 0 && extendedInodeSize + item.xattrs.length + tail <= blockSize;
  item.layout = fits ? dataLayout.inline : dataLayout.plain;
  item.blocks = fits ? (item.size - tail) / blockSize : Math.ceil(item.size / blockSize);
}

function measureDirectory(item: Placed): number {
  let used = 0;
  let count = 0;
  for (const { name } of item.entries) {
    const need = direntSize + name.length;
    if (used + need > blockSize) {
      item.blockCounts.push(count);
      used = 0;
      count = 0;
    }
    used += need;
    count += 1;
  }
  item.blockCounts.push(count);
  return (item.blockCounts.length - 1) * blockSize + used;
}

function directoryBytes(item: Placed): Uint8Array {
  const bytes = new Uint8Array(item.blockCounts.length * blockSize);
  const view = new DataView(bytes.buffer);
  let next = 0;
  item.blockCounts.forEach((count, index) => {
    const base = index * blockSize;
    let nameAt = count * direntSize;
    for (let i = 0; i < count; i++) {
      const { name, target } = defined(item.entries[next++], "directory entry");
      const at = base + i * direntSize;
      view.setUint32(at, target.offset / slotSize, true);
      view.setUint16(at + 8, nameAt, true);
      bytes[at + 10] = fileTypeOfMode(modeOf(target.node));
      putBytes(bytes, base + nameAt, name);
      nameAt += name.length;
    }
  });
  return bytes;
}

function modeOf(node: ErofsNode): number {
  const type = node.kind === "file" ? modeType.regular : modeType[node.kind];
  return type | node.mode;
}

function writeInode(meta: Uint8Array, item: Placed): void {
  const node = item.node;
  const view = new DataView(meta.buffer, item.offset, extendedInodeSize);
  view.setUint16(0, 1 | (item.layout << 1), true);
  view.setUint16(2, item.xattrs.length === 0 ? 0 : (item.xattrs.length - xattrHeaderSize) / 4 + 1, true);
  view.setUint16(4, modeOf(node), true);
  setUint64(view, 8, item.size);
  view.setUint32(16, "major" in node ? encodeDevice(node.major, node.minor) : item.firstBlock, true);
  view.setUint32(20, item.ino, true);
  view.setUint32(24, node.uid, true);
  view.setUint32(28, node.gid, true);
  setUint64(view, 32, node.mtimeSeconds);
  view.setUint32(40, node.mtimeNanoseconds, true);
  view.setUint32(44, item.links, true);
  meta.set(item.xattrs, item.offset + extendedInodeSize);
  if (item.layout !== dataLayout.inline) return;
  const tailAt = item.offset + extendedInodeSize + item.xattrs.length;
  const from = item.blocks * blockSize;
  if (node.kind === "directory") meta.set(directoryBytes(item).subarray(from, item.size), tailAt);
  else if (node.kind === "symlink") putBytes(meta, tailAt, node.target);
}

function writeSuperblock(meta: Uint8Array, plan: ErofsPlan, rootOffset: number): void {
  const view = new DataView(meta.buffer, superblockOffset, superblockSize);
  view.setUint32(0, superblockMagic, true);
  view.setUint32(8, featureSuperblockChecksum | featureMtime, true);
  view.setUint8(12, blockBits);
  // The root comes first, in the first or second block, so that its nid fits into 16 bits.
  view.setUint16(14, rootOffset / slotSize, true);
  setUint64(view, 16, plan.inodes);
  setUint64(view, 24, plan.options.buildSeconds);
  view.setUint32(36, plan.blocks, true);
  meta.set(plan.options.uuid, superblockOffset + 48);
  putBytes(meta, superblockOffset + 64, plan.options.label);
  view.setUint32(4, crc32c(0xffff_ffff, meta, superblockOffset, blockSize), true);
}

function encodeXattrs(node: ErofsNode, path: string): Uint8Array {
  if (node.xattrs === undefined || node.xattrs.size === 0) return new Uint8Array(0);
  const parts: { index: number; suffix: ByteString; value: Uint8Array }[] = [];
  for (const name of [...node.xattrs.keys()].sort(byteOrder)) {
    const value = defined(node.xattrs.get(name), name);
    const known = xattrPrefixes.find(({ prefix }) => name.startsWith(prefix));
    if (known === undefined)
      throw new UnwritableTreeError(path, `extended attribute ${name} has no known prefix`);
    const suffix = name.slice(known.prefix.length);
    if (suffix.length > 255 || value.length > 0xffff) {
      throw new UnwritableTreeError(path, `extended attribute ${name} is too long`);
    }
    parts.push({ index: known.index, suffix, value });
  }
  const size = parts.reduce(
    (sum, part) => sum + roundUp(xattrEntrySize + part.suffix.length + part.value.length, 4),
    xattrHeaderSize,
  );
  if (extendedInodeSize + size > blockSize) {
    throw new UnwritableTreeError(path, "extended attributes do not fit beside the inode in one block");
  }
  const bytes = new Uint8Array(size);
  let at = xattrHeaderSize;
  for (const { index, suffix, value } of parts) {
    bytes[at] = suffix.length;
    bytes[at + 1] = index;
    bytes[at + 2] = value.length & 0xff;
    bytes[at + 3] = value.length >>> 8;
    putBytes(bytes, at + xattrEntrySize, suffix);
    bytes.set(value, at + xattrEntrySize + suffix.length);
    at += roundUp(xattrEntrySize + suffix.length + value.length, 4);
  }
  return bytes;
}

function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setInt32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function putBytes(target: Uint8Array, at: number, text: ByteString): void {
  for (let i = 0; i < text.length; i++) target[at + i] = text.charCodeAt(i);
}

function bytesOf(text: ByteString): Uint8Array {
  const bytes = new Uint8Array(text.length);
  putBytes(bytes, 0, text);
  return bytes;
}

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(roundUp(bytes.length, blockSize));
  whole.set(bytes);
  return whole;
}
