/**
 * dm-verity: a tree of SHA-256 hashes over the blocks of an image, so that each block can be checked when it
 * is read and one root digest vouches for all of them.
 *
 * The form is the one `veritysetup` writes (hash type 1, 4096-byte data and hash blocks, with superblock).
 * The hash area follows the data directly; everything is little-endian.
 *
 *     hash block 0      superblock: "verity\0\0", u32 version 1, u32 hash type 1, u8[16] uuid,
 *                       u8[32] "sha256", u32 data block size, u32 hash block size, u64 data blocks,
 *                       u16 salt size, 6 × 0, u8[256] salt, zeroes
 *     hash block 1 …    the tree, top level first; within a level, 128 digests of 32 bytes a block
 *
 * A digest is SHA-256(salt ‖ block). The root digest is the digest of the single top block.
 *
 * Invariants: V1  no byte of a block is handed out before its digest matched its parent's entry;
 *             V2  a cached hash block has matched, so it needs no further check.
 */

import { assert } from "../base/assert.ts";
import { CorruptImageError } from "./corrupt.ts";
import { blockSize } from "./layout.ts";

export const digestSize = 32;
const digestsPerBlock = blockSize / digestSize;
const saltLimit = 256;
const signature = "verity\0\0";

/** SHA-256 of `salt` followed by `block`, 32 bytes. The host supplies it: this folder runs anywhere. */
export type VerityHash = (salt: Uint8Array, block: Uint8Array) => Uint8Array;

/** A block of an image whose digest is not the one that its parent holds. */
export class DamagedBlockError extends CorruptImageError {
  override readonly name: string = "DamagedBlockError";
  /** Block number from the start of the image. */
  readonly block: number;
  constructor(block: number, what: "data" | "hash") {
    super(`${what} block ${block}`, "its content does not match the hash tree");
    this.block = block;
  }
}

/** What the superblock of a hash tree says. */
export interface VerityHeader {
  dataBlocks: number;
  salt: Uint8Array;
  uuid: Uint8Array;
}

/** Number of hash blocks in each level, the one just above the data first. Empty for one data block. */
export function levelSizes(dataBlocks: number): number[] {
  const sizes: number[] = [];
  for (let count = dataBlocks; count > 1; ) {
    count = Math.ceil(count / digestsPerBlock);
    sizes.push(count);
  }
  return sizes;
}

/** Blocks that the hash area takes, its superblock among them. */
export function verityAreaBlocks(dataBlocks: number): number {
  return levelSizes(dataBlocks).reduce((sum, size) => sum + size, 1);
}

/** Collects the digests of data blocks as they are written and then makes the hash area. */
export interface VerityBuilder {
  /** Takes the next data blocks; a whole number of them. */
  add(chunk: Uint8Array): void;
  /** The hash area (superblock and tree) and the root digest. */
  finish(): { area: Uint8Array; root: Uint8Array };
}

/** A builder for `dataBlocks` blocks. */
export function verityBuilder(header: VerityHeader, hash: VerityHash): VerityBuilder {
  assert(header.salt.length <= saltLimit && header.uuid.length === 16, "salt or uuid of a wrong size");
  const { dataBlocks, salt } = header;
  const digests = new Uint8Array(Math.ceil(dataBlocks / digestsPerBlock) * blockSize);
  let added = 0;
  return {
    add(chunk) {
      assert(chunk.length % blockSize === 0, "whole blocks only");
      for (let at = 0; at < chunk.length; at += blockSize) {
        digests.set(hash(salt, chunk.subarray(at, at + blockSize)), added * digestSize);
        added += 1;
      }
    },
    finish() {
      assert(added === dataBlocks, `expected ${dataBlocks} blocks, got ${added}`);
      const levels: Uint8Array[] = [];
      let level = digests;
      for (const size of levelSizes(dataBlocks)) {
        levels.unshift(level);
        const above = new Uint8Array(Math.ceil(size / digestsPerBlock) * blockSize);
        for (let i = 0; i < size; i++) {
          above.set(hash(salt, level.subarray(i * blockSize, (i + 1) * blockSize)), i * digestSize);
        }
        level = above;
      }
      const area = new Uint8Array(verityAreaBlocks(dataBlocks) * blockSize);
      writeHeader(area, header);
      let at = blockSize;
      for (const bytes of levels) {
        area.set(bytes, at);
        at += bytes.length;
      }
      return { area, root: level.slice(0, digestSize) };
    },
  };
}

function writeHeader(area: Uint8Array, header: VerityHeader): void {
  const view = new DataView(area.buffer);
  putText(area, 0, signature);
  view.setUint32(8, 1, true);
  view.setUint32(12, 1, true);
  area.set(header.uuid, 16);
  putText(area, 32, "sha256");
  view.setUint32(64, blockSize, true);
  view.setUint32(68, blockSize, true);
  view.setUint32(72, header.dataBlocks >>> 0, true);
  view.setUint32(76, Math.floor(header.dataBlocks / 0x1_0000_0000), true);
  view.setUint16(80, header.salt.length, true);
  area.set(header.salt, 88);
}

function putText(bytes: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
}

/**
 * Reads the superblock of a hash area (its first block).
 * @throws {CorruptImageError} for anything but the one form that Coppice writes.
 */
export function readVerityHeader(block: Uint8Array): VerityHeader {
  const fail = (problem: string): never => {
    throw new CorruptImageError("dm-verity superblock", problem);
  };
  if (block.length < 512) fail("truncated");
  const view = new DataView(block.buffer, block.byteOffset, 512);
  const text = (at: number, length: number): string =>
    String.fromCharCode(...block.subarray(at, at + length));
  if (text(0, 8) !== signature) fail("signature missing");
  if (view.getUint32(8, true) !== 1 || view.getUint32(12, true) !== 1) fail("unknown version or hash type");
  if (text(32, 7) !== "sha256\0") fail("hash algorithm is not sha256");
  if (view.getUint32(64, true) !== blockSize || view.getUint32(68, true) !== blockSize) {
    fail("block size is not 4096");
  }
  const high = view.getUint32(76, true);
  const dataBlocks = high * 0x1_0000_0000 + view.getUint32(72, true);
  if (high >= 0x20_0000 || dataBlocks === 0) fail("impossible number of data blocks");
  const saltLength = view.getUint16(80, true);
  if (saltLength > saltLimit) fail("salt longer than 256 bytes");
  return { dataBlocks, salt: block.slice(88, 88 + saltLength), uuid: block.slice(16, 32) };
}

/** Hands out verified blocks. */
export interface VerityReader {
  readonly dataBlocks: number;
  /**
   * Reads data block `index` into `target` (4096 bytes) and checks it.
   * @throws {DamagedBlockError} when the block, or a hash block above it, does not match.
   */
  readBlock(index: number, target: Uint8Array): void;
}

export interface VerityReaderOptions {
  dataBlocks: number;
  salt: Uint8Array;
  rootDigest: Uint8Array;
  hash: VerityHash;
  /**
   * Fills `target` from byte `offset` of the image, at once. What it throws passes through, and no state
   * changes, so that it may signal that the bytes are not there yet.
   */
  readAt: (offset: number, target: Uint8Array) => void;
}

/**
 * A reader for an image of `dataBlocks` blocks followed by its hash area. Verified hash blocks stay in
 * memory: at most 1/127 of the image.
 */
export function verityReader(options: VerityReaderOptions): VerityReader {
  const { dataBlocks, salt, rootDigest, hash, readAt } = options;
  assert(rootDigest.length === digestSize, "a root digest has 32 bytes");
  const sizes = levelSizes(dataBlocks);
  // First block of each level in the image: the top level comes first, after the superblock.
  const starts: number[] = sizes.map(() => 0);
  let next = dataBlocks + 1;
  for (let level = sizes.length - 1; level >= 0; level--) {
    starts[level] = next;
    next += sizes[level] ?? 0;
  }
  const verified = new Map<number, Uint8Array>();

  const check = (level: number, index: number, content: Uint8Array): void => {
    const digest = hash(salt, content);
    const top = level === sizes.length;
    const parent = top ? rootDigest : hashBlock(level, Math.floor(index / digestsPerBlock));
    const from = top ? 0 : (index % digestsPerBlock) * digestSize;
    for (let i = 0; i < digestSize; i++) {
      if (digest[i] !== parent[from + i]) {
        throw new DamagedBlockError(
          level === 0 ? index : (starts[level - 1] ?? 0) + index,
          level === 0 ? "data" : "hash",
        );
      }
    }
  };
  const hashBlock = (level: number, index: number): Uint8Array => {
    const block = (starts[level] ?? 0) + index;
    const known = verified.get(block);
    if (known !== undefined) return known;
    const content = new Uint8Array(blockSize);
    readAt(block * blockSize, content);
    check(level + 1, index, content);
    verified.set(block, content);
    return content;
  };
  return {
    dataBlocks,
    readBlock(index, target) {
      assert(target.length === blockSize, "a block has 4096 bytes");
      if (!Number.isInteger(index) || index < 0 || index >= dataBlocks) {
        throw new CorruptImageError(`block ${index}`, `beyond the end of the image (${dataBlocks} blocks)`);
      }
      readAt(index * blockSize, target);
      try {
        check(0, index, target);
      } catch (error) {
        target.fill(0); // V1: the caller gets no unverified byte, whatever it does with the error.
        throw error;
      }
    },
  };
}
