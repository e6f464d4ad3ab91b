/**
 * An image as a file on the host: writing one, and reading its blocks verified.
 *
 * The file is `dataBlocks` blocks of EROFS followed by the dm-verity hash area (see ../erofs/verity.ts), so
 * `veritysetup verify FILE FILE DIGEST --hash-offset=<dataBlocks × 4096>` checks it with nothing else.
 */

import { createHash, hash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { CorruptImageError } from "../erofs/corrupt.ts";
import { blockSize } from "../erofs/layout.ts";
import { readVerityHeader, verityAreaBlocks, verityBuilder, verityReader } from "../erofs/verity.ts";
import type { VerityHash } from "../erofs/verity.ts";
import { planErofs, writeErofs } from "../erofs/writer.ts";
import type { DirectoryNode } from "../erofs/writer.ts";
import type { TemporaryFile } from "./cache.ts";
import { ImageError, messageOf } from "./errors.ts";

const together = new Uint8Array(256 + blockSize);

/** SHA-256 by node:crypto. One call on joined bytes takes half as long as a hash object does. */
export const nodeVerityHash: VerityHash = (salt, block) => {
  together.set(salt, 0);
  together.set(block, salt.length);
  return hash("sha256", together.subarray(0, salt.length + block.length), "buffer");
};

export interface WrittenImage {
  /** The dm-verity root digest, lower-case hexadecimal: the image's name by content. */
  digest: string;
  dataBlocks: number;
  /** Of the whole file. */
  bytes: number;
  inodes: number;
  fileBytes: number;
}

const batchBytes = 1024 ** 2;

/**
 * Writes the tree under `root` into `file`. `seed` (32 bytes) decides uuid and salt, so the same tree and seed
 * give the same bytes. `onPlan` hears the size of the file, `onBytes` what has been written.
 */
export async function writeImage(
  file: TemporaryFile,
  root: DirectoryNode,
  seed: Uint8Array,
  buildSeconds: number,
  signal: AbortSignal,
  onPlan: (bytes: number) => void,
  onBytes: (count: number) => void,
): Promise<WrittenImage> {
  const derive = (what: string): Buffer => createHash("sha256").update(what).update(seed).digest();
  const uuid = derive("coppice image uuid").subarray(0, 16);
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x80; // RFC 9562: version 8, made by a rule of one's own.
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  const salt = derive("coppice image salt");
  const plan = planErofs(root, { uuid, label: "coppice", buildSeconds });
  const verity = verityBuilder({ dataBlocks: plan.blocks, salt, uuid }, nodeVerityHash);
  const total = (plan.blocks + verityAreaBlocks(plan.blocks)) * blockSize;
  onPlan(total);

  let position = 0;
  const batch = new Uint8Array(batchBytes);
  let filled = 0;
  const flush = async (): Promise<void> => {
    if (filled === 0) return;
    signal.throwIfAborted();
    await file.write(batch.subarray(0, filled), position);
    position += filled;
    onBytes(filled);
    filled = 0;
  };
  const put = async (chunk: Uint8Array): Promise<void> => {
    for (let at = 0; at < chunk.length; ) {
      const count = Math.min(batch.length - filled, chunk.length - at);
      batch.set(chunk.subarray(at, at + count), filled);
      filled += count;
      at += count;
      if (filled === batch.length) await flush();
    }
  };
  await writeErofs(plan, (chunk) => {
    verity.add(chunk);
    return put(chunk);
  });
  const { area, root: digest } = verity.finish();
  await put(area);
  await flush();
  return {
    digest: Buffer.from(digest).toString("hex"),
    dataBlocks: plan.blocks,
    bytes: total,
    inodes: plan.inodes,
    fileBytes: plan.fileBytes,
  };
}

/** An open image whose blocks are checked as they are read. */
export interface OpenImage {
  readonly path: string;
  readonly digest: string;
  /** Blocks of the file system. */
  readonly dataBlocks: number;
  /**
   * Reads block `index` into `target` (4096 bytes).
   * @throws {DamagedBlockError} when it, or the hash tree above it, was changed.
   * @throws {CorruptImageError} when the file ends before it.
   */
  readBlock(index: number, target: Uint8Array): void;
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * Opens the image at `path`, whose root digest must be `digest` (hexadecimal). Nothing is read but the header
 * of the hash area; every block is checked when it is asked for.
 * @throws {ImageError} when the file is missing, truncated, or no image.
 */
export function openImage(path: string, digest: string, dataBlocks: number): OpenImage {
  const remedy = "remove it with coppice image rm and build it again";
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw new ImageError({
      part: "image",
      problem: `${path} cannot be opened: ${messageOf(error)}`,
      remedy,
      cause: error,
    });
  }
  const readAt = (offset: number, target: Uint8Array): void => {
    for (let done = 0; done < target.length; ) {
      const count = readSync(fd, target, done, target.length - done, offset + done);
      if (count === 0) throw new CorruptImageError(path, `ends at byte ${offset + done}`);
      done += count;
    }
  };
  try {
    const size = fstatSync(fd).size;
    const expected = (dataBlocks + verityAreaBlocks(dataBlocks)) * blockSize;
    if (size !== expected) throw new CorruptImageError(path, `has ${size} bytes instead of ${expected}`);
    const head = new Uint8Array(blockSize);
    readAt(dataBlocks * blockSize, head);
    const header = readVerityHeader(head);
    if (header.dataBlocks !== dataBlocks)
      throw new CorruptImageError(path, "its hash tree is for another image");
    const rootDigest = new Uint8Array(Buffer.from(digest, "hex"));
    const reader = verityReader({ dataBlocks, salt: header.salt, rootDigest, hash: nodeVerityHash, readAt });
    let open = true;
    const close = (): void => {
      if (open) closeSync(fd);
      open = false;
    };
    return {
      path,
      digest,
      dataBlocks,
      readBlock: (index, target) => reader.readBlock(index, target),
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    closeSync(fd);
    if (!(error instanceof CorruptImageError)) throw error;
    throw new ImageError({ part: "image", problem: error.message, remedy, cause: error });
  }
}
