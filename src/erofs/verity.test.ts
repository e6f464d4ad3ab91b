import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { CorruptImageError } from "./corrupt.ts";
import { blockSize } from "./layout.ts";
import {
  DamagedBlockError,
  levelSizes,
  readVerityHeader,
  verityAreaBlocks,
  verityBuilder,
  verityReader,
} from "./verity.ts";
import type { VerityHash, VerityReader } from "./verity.ts";

const hash: VerityHash = (salt, block) => createHash("sha256").update(salt).update(block).digest();
const salt = new Uint8Array(32).fill(0x5a);
const uuid = new Uint8Array(16).fill(1);

/** `count` data blocks, each with its number in it, followed by their hash area. */
function build(count: number): { image: Uint8Array; root: Uint8Array } {
  const image = new Uint8Array((count + verityAreaBlocks(count)) * blockSize);
  for (let i = 0; i < count; i++) new DataView(image.buffer).setUint32(i * blockSize, i + 1);
  const builder = verityBuilder({ dataBlocks: count, salt, uuid }, hash);
  for (let i = 0; i < count; i += 100) {
    builder.add(image.subarray(i * blockSize, Math.min(count, i + 100) * blockSize));
  }
  const { area, root } = builder.finish();
  image.set(area, count * blockSize);
  return { image, root };
}

function open(
  image: Uint8Array,
  count: number,
  rootDigest: Uint8Array,
  onRead?: (offset: number) => void,
): VerityReader {
  return verityReader({
    dataBlocks: count,
    salt,
    rootDigest,
    hash,
    readAt: (offset, target) => {
      onRead?.(offset);
      target.set(image.subarray(offset, offset + target.length));
    },
  });
}

test("the shape of the tree", () => {
  assert.deepEqual(levelSizes(1), []);
  assert.deepEqual(levelSizes(2), [1]);
  assert.deepEqual(levelSizes(128), [1]);
  assert.deepEqual(levelSizes(129), [2, 1]);
  assert.deepEqual(levelSizes(128 * 128 + 1), [129, 2, 1]);
});

test("every block of images of all depths verifies, and hash blocks are read once", () => {
  for (const count of [1, 2, 127, 128, 129, 300, 128 * 128 + 1]) {
    const { image, root } = build(count);
    const header = readVerityHeader(image.subarray(count * blockSize));
    assert.equal(header.dataBlocks, count);
    assert.deepEqual(header.salt, salt);
    const reads = new Map<number, number>();
    const reader = open(image, count, root, (offset) => reads.set(offset, (reads.get(offset) ?? 0) + 1));
    const target = new Uint8Array(blockSize);
    for (let i = 0; i < count; i++) {
      reader.readBlock(i, target);
      assert.equal(new DataView(target.buffer).getUint32(0), i + 1);
    }
    assert([...reads.values()].every((times) => times === 1));
  }
});

test("one changed bit is found, named, and not handed out", () => {
  const count = 300;
  const { image, root } = build(count);
  const target = new Uint8Array(blockSize);
  const cases = [
    { damaged: 7, read: 7, what: "data block 7" },
    { damaged: 299, read: 299, what: "data block 299" },
    // After the superblock (300) come the top block (301) and three blocks of the lowest level (302…304).
    { damaged: 301, read: 0, what: "hash block 301" },
    { damaged: 303, read: 200, what: "hash block 303" },
  ];
  for (const { damaged, read, what } of cases) {
    const copy = new Uint8Array(image);
    const at = damaged * blockSize + 17;
    copy[at] = (copy[at] ?? 0) ^ 0x10;
    assert.throws(
      () => open(copy, count, root).readBlock(read, target),
      (error) => error instanceof DamagedBlockError && error.block === damaged && error.part === what,
    );
    assert(target.every((byte) => byte === 0));
  }
  const wrong = new Uint8Array(root);
  wrong[0] = (wrong[0] ?? 0) ^ 1;
  assert.throws(() => open(image, count, wrong).readBlock(0, target), /hash block 301/);
  assert.throws(() => open(image, count, root).readBlock(count, target), CorruptImageError);
  assert.throws(() => open(image, count, root).readBlock(-1, target), CorruptImageError);
});

test("a reader whose bytes are not there yet can be asked again", () => {
  const count = 200;
  const { image, root } = build(count);
  const seen = new Set<number>();
  const reader = open(image, count, root, (offset) => {
    if (seen.has(offset)) return;
    seen.add(offset);
    throw new RangeError("not yet");
  });
  const target = new Uint8Array(blockSize);
  let attempts = 0;
  for (;;) {
    attempts += 1;
    try {
      reader.readBlock(150, target);
      break;
    } catch (error) {
      assert(error instanceof RangeError);
    }
  }
  assert.equal(attempts, 4);
  assert.equal(new DataView(target.buffer).getUint32(0), 151);
});

test("a damaged superblock of the tree is refused", () => {
  const { image } = build(3);
  const header = image.slice(3 * blockSize, 4 * blockSize);
  for (const at of [0, 8, 12, 33, 65, 69, 79, 81]) {
    const copy = new Uint8Array(header);
    copy[at] = 0xee;
    assert.throws(() => readVerityHeader(copy), CorruptImageError, `byte ${at}`);
  }
  assert.throws(() => readVerityHeader(header.subarray(0, 100)), CorruptImageError);
});
