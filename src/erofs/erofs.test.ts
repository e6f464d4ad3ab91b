import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { CorruptImageError } from "./corrupt.ts";
import { crc32c } from "./crc32c.ts";
import { blockSize, decodeDevice, encodeDevice, fileType, modeType } from "./layout.ts";
import {
  contentBlock,
  contentLength,
  directoryBlocks,
  lookUp,
  readContent,
  readEntries,
  readInode,
  readSuperblock,
  readSymlink,
  readXattrs,
} from "./reader.ts";
import type { BlockAccess, Inode, Superblock } from "./reader.ts";
import { UnwritableTreeError, planErofs, writeErofs } from "./writer.ts";
import type { DirectoryNode, ErofsNode, FileNode } from "./writer.ts";

const options = { uuid: new Uint8Array(16).fill(7), label: "test", buildSeconds: 1_700_000_000 };

async function imageOf(root: DirectoryNode): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const plan = planErofs(root, options);
  await writeErofs(plan, (chunk) => {
    chunks.push(new Uint8Array(chunk));
  });
  const image = new Uint8Array(Buffer.concat(chunks));
  assert.equal(image.length, plan.blocks * blockSize);
  return image;
}

function accessTo(image: Uint8Array): BlockAccess {
  return (block) => ({ bytes: image, offset: block * blockSize });
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));
const common = { mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 1, mtimeNanoseconds: 0 };
const directory = (children: Record<string, ErofsNode> = {}): DirectoryNode => ({
  kind: "directory",
  ...common,
  children: new Map(Object.entries(children)),
});
const file = (data: Uint8Array): FileNode => ({ kind: "file", ...common, mode: 0o644, data });

/** Reads everything back, in the shape of the writer's nodes; hard links become the same object. */
function readTree(read: BlockAccess): DirectoryNode {
  const sb = readSuperblock(read);
  const seen = new Map<number, ErofsNode>();
  const visit = (nid: number, links: Map<number, number>): ErofsNode => {
    links.set(nid, (links.get(nid) ?? 0) + 1);
    const known = seen.get(nid);
    if (known !== undefined) return known;
    const inode = readInode(read, sb, nid);
    const attributes = {
      mode: inode.mode & 0o7777,
      uid: inode.uid,
      gid: inode.gid,
      mtimeSeconds: inode.mtimeSeconds,
      mtimeNanoseconds: inode.mtimeNanoseconds,
      ...xattrsOf(read, sb, inode),
    };
    const node = nodeOf(read, sb, inode, attributes, (child) => visit(child, links));
    seen.set(nid, node);
    return node;
  };
  const links = new Map<number, number>();
  const root = visit(sb.rootNid, links);
  for (const [nid, count] of links) {
    const inode = readInode(read, sb, nid);
    const node = seen.get(nid);
    const expected =
      node?.kind === "directory"
        ? 2 + [...node.children.values()].filter((n) => n.kind === "directory").length
        : count;
    assert.equal(inode.nlink, expected);
  }
  assert.equal(sb.inodes, seen.size);
  assert(root.kind === "directory");
  return root;
}

function xattrsOf(read: BlockAccess, sb: Superblock, inode: Inode): { xattrs?: Map<string, Uint8Array> } {
  const found = readXattrs(read, sb, inode);
  return found.length === 0 ? {} : { xattrs: new Map(found.map(({ name, value }) => [name, value])) };
}

function nodeOf(
  read: BlockAccess,
  sb: Superblock,
  inode: Inode,
  attributes: typeof common,
  visit: (nid: number) => ErofsNode,
): ErofsNode {
  switch (inode.mode & modeType.mask) {
    case modeType.directory: {
      const children = new Map<string, ErofsNode>();
      const names: string[] = [];
      for (let block = 0; block < directoryBlocks(inode); block++) {
        readEntries(read, sb, inode, block, 0, (nid, type, data, start, end) => {
          const name = Buffer.from(data.subarray(start, end)).toString("latin1");
          assert.equal(lookUp(read, sb, inode, data.slice(start, end)), nid, `lookup of ${name}`);
          names.push(name);
          if (name === "." || name === "..") {
            assert.equal(type, fileType.directory);
            if (name === ".") assert.equal(nid, inode.nid);
          } else children.set(name, visit(nid));
          return true;
        });
      }
      assert.deepEqual(names, [...names].sort());
      return { kind: "directory", ...attributes, children };
    }
    case modeType.symlink:
      return {
        kind: "symlink",
        ...attributes,
        target: Buffer.from(readSymlink(read, sb, inode)).toString("latin1"),
      };
    case modeType.regular: {
      const data = new Uint8Array(inode.size);
      for (let page = 0; page * blockSize < inode.size; page++) {
        assert(contentBlock(inode, page) > 0, "a file page is a whole block");
        const { bytes: source, offset } = readContent(read, sb, inode, page);
        const length = contentLength(inode, page);
        data.set(source.subarray(offset, offset + length), page * blockSize);
        assert(source.subarray(offset + length, offset + blockSize).every((byte) => byte === 0));
      }
      return { kind: "file", ...attributes, data };
    }
    default: {
      const kinds: Record<number, "character" | "block" | "fifo" | "socket"> = {
        [modeType.character]: "character",
        [modeType.block]: "block",
        [modeType.fifo]: "fifo",
        [modeType.socket]: "socket",
      };
      const kind = kinds[inode.mode & modeType.mask];
      assert(kind !== undefined);
      return { kind, ...attributes, ...decodeDevice(inode.rdev) };
    }
  }
}

const nameArbitrary = fc
  .uint8Array({ minLength: 1, maxLength: 40 })
  .map((raw) => Buffer.from(raw.map((b) => (b === 0 || b === 47 ? 65 : b))).toString("latin1"))
  .filter((name) => name !== "." && name !== "..");
const attributesArbitrary = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.nat(0xffff_ffff),
  gid: fc.nat(0xffff_ffff),
  mtimeSeconds: fc.oneof(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), fc.nat(2 ** 31)),
  mtimeNanoseconds: fc.nat(999_999_999),
});
const xattrsArbitrary = fc.option(
  fc
    .uniqueArray(
      fc.tuple(fc.constantFrom("user.", "security.", "trusted."), fc.stringMatching(/^[a-z]{1,9}$/)),
      {
        minLength: 1,
        maxLength: 4,
        selector: (pair) => pair.join(""),
      },
    )
    .chain((names) =>
      fc
        .array(fc.uint8Array({ maxLength: 60 }), { minLength: names.length, maxLength: names.length })
        .map((values) => new Map(names.map((name, i) => [name.join(""), new Uint8Array(values[i] ?? [])]))),
    ),
  { nil: undefined, freq: 4 },
);
const withXattrs = <T extends object>(node: T, xattrs: Map<string, Uint8Array> | undefined): T =>
  xattrs === undefined ? node : { ...node, xattrs };

const { node: nodeArbitrary } = fc.letrec<{ node: ErofsNode; directory: DirectoryNode }>((tie) => ({
  node: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc
      .tuple(
        attributesArbitrary,
        fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.uint8Array({ minLength: 4000, maxLength: 9000 })),
        xattrsArbitrary,
      )
      .map(([a, data, x]): ErofsNode => withXattrs({ kind: "file", ...a, data: new Uint8Array(data) }, x)),
    fc
      .tuple(
        attributesArbitrary,
        fc.oneof(
          nameArbitrary,
          fc.nat(4094).map((n) => "x".repeat(n + 1)),
        ),
        xattrsArbitrary,
      )
      .map(([a, target, x]): ErofsNode => withXattrs({ kind: "symlink", ...a, target }, x)),
    fc
      .tuple(
        attributesArbitrary,
        fc.constantFrom("character" as const, "block" as const),
        fc.nat(0xfff),
        fc.nat(0xfffff),
      )
      .map(([a, kind, major, minor]): ErofsNode => ({ kind, ...a, major, minor })),
    fc
      .tuple(attributesArbitrary, fc.constantFrom("fifo" as const, "socket" as const))
      .map(([a, kind]): ErofsNode => ({ kind, ...a, major: 0, minor: 0 })),
    tie("directory"),
  ),
  directory: fc
    .tuple(attributesArbitrary, fc.dictionary(nameArbitrary, tie("node"), { maxKeys: 12 }), xattrsArbitrary)
    .map(
      ([a, children, x]): DirectoryNode =>
        withXattrs({ kind: "directory", ...a, children: new Map(Object.entries(children)) }, x),
    ),
}));
const treeArbitrary = fc
  .tuple(attributesArbitrary, fc.array(fc.tuple(nameArbitrary, nodeArbitrary), { maxLength: 25 }))
  .map(([a, entries]): DirectoryNode => ({ kind: "directory", ...a, children: new Map(entries) }));

test("CRC-32C of the standard's check string", () => {
  assert.equal(crc32c(0xffff_ffff, bytes("123456789"), 0, 9), ~0xe3069283 >>> 0);
});

test("device numbers survive encoding", () => {
  fc.assert(
    fc.property(fc.nat(0xfff), fc.nat(0xfffff), (major, minor) => {
      assert.deepEqual(decodeDevice(encodeDevice(major, minor)), { major, minor });
    }),
  );
});

test("any tree reads back as it was written, and the same tree gives the same bytes", async () => {
  await fc.assert(
    fc.asyncProperty(treeArbitrary, async (tree) => {
      const image = await imageOf(tree);
      assert.deepEqual(readTree(accessTo(image)), tree);
      const reversed: DirectoryNode = { ...tree, children: new Map([...tree.children].reverse()) };
      assert.deepEqual(await imageOf(reversed), image);
    }),
    { numRuns: 150 },
  );
});

test("a directory of many blocks: every name is found, and no other", async () => {
  const names = Array.from({ length: 3000 }, (_, i) => `entry-${(i * 7919) % 100_003}`);
  const root = directory(Object.fromEntries(names.map((name) => [name, file(bytes(name))])));
  const read = accessTo(await imageOf(root));
  const sb = readSuperblock(read);
  const top = readInode(read, sb, sb.rootNid);
  assert(directoryBlocks(top) > 10);
  for (const name of names) {
    const inode = readInode(read, sb, lookUp(read, sb, top, bytes(name)));
    const { bytes: data, offset } = readContent(read, sb, inode, 0);
    assert.equal(Buffer.from(data.subarray(offset, offset + inode.size)).toString(), name);
  }
  for (const name of ["", "!", "entry", "entry-", "entry-100003", "zzz", "~", "\xff", "-"]) {
    assert.equal(lookUp(read, sb, top, bytes(name)), -1, name);
  }
  assert.equal(lookUp(read, sb, top, bytes("..")), sb.rootNid);
});

test("hard links are one inode", async () => {
  const shared = file(bytes("shared"));
  const tree = directory({ a: shared, b: directory({ c: shared }) });
  const back = readTree(accessTo(await imageOf(tree)));
  const inner = back.children.get("b");
  assert(inner?.kind === "directory");
  assert.equal(back.children.get("a"), inner.children.get("c"));
});

test("what the format cannot hold is refused, with the path", () => {
  const cases: [ErofsNode, RegExp][] = [
    [file(new Uint8Array(0)), /255 bytes/],
    [{ ...file(new Uint8Array(0)), mode: 0o10000 }, /out of range/],
    [{ kind: "symlink", ...common, target: "" }, /without a target/],
    [{ kind: "symlink", ...common, target: "x".repeat(4096) }, /4095/],
    [{ kind: "block", ...common, major: 4096, minor: 0 }, /device number/],
    [{ ...file(new Uint8Array(0)), xattrs: new Map([["odd.name", new Uint8Array(1)]]) }, /known prefix/],
    [{ ...file(new Uint8Array(0)), xattrs: new Map([["user.x", new Uint8Array(4090)]]) }, /do not fit/],
  ];
  cases.forEach(([node, message], i) => {
    const name = i === 0 ? "n".repeat(256) : "odd";
    assert.throws(
      () => planErofs(directory({ d: directory({ [name]: node }) }), options),
      (error) =>
        error instanceof UnwritableTreeError && error.path === `/d/${name}` && message.test(error.message),
    );
  });
  for (const name of [".", "..", "", "a/b", "a\0b"]) {
    assert.throws(() => planErofs(directory({ [name]: file(bytes("")) }), options), UnwritableTreeError);
  }
});

test("a signal thrown by the block access passes through, and the call succeeds when repeated", async () => {
  const image = await imageOf(
    directory({ f: file(new Uint8Array(5000)), l: { kind: "symlink", ...common, target: "t" } }),
  );
  class NotResident extends Error {}
  const resident = new Set<number>();
  const read: BlockAccess = (block) => {
    if (!resident.has(block)) {
      resident.add(block);
      throw new NotResident();
    }
    return { bytes: image, offset: block * blockSize };
  };
  const retry = <T>(work: () => T): T => {
    for (;;) {
      try {
        return work();
      } catch (error) {
        if (!(error instanceof NotResident)) throw error;
      }
    }
  };
  const sb = retry(() => readSuperblock(read));
  const top = retry(() => readInode(read, sb, sb.rootNid));
  const inode = retry(() =>
    readInode(
      read,
      sb,
      retry(() => lookUp(read, sb, top, bytes("f"))),
    ),
  );
  assert.equal(inode.size, 5000);
  retry(() => readContent(read, sb, inode, 1));
  assert(resident.size >= 2);
});

/** Walks an image as far as it goes; only corruption may be thrown. Bounded, since links may form circles. */
function exercise(image: Uint8Array): void {
  const read: BlockAccess = (block) => {
    if (!Number.isInteger(block) || block < 0 || (block + 1) * blockSize > image.length) {
      throw new CorruptImageError(`block ${block}`, "beyond the end of the file");
    }
    return { bytes: image, offset: block * blockSize };
  };
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      if (error instanceof CorruptImageError) return undefined;
      throw error;
    }
  };
  const sb = attempt(() => readSuperblock(read));
  if (sb === undefined) return;
  const queue = [sb.rootNid];
  for (let i = 0; i < queue.length && i < 60; i++) {
    const inode = attempt(() => readInode(read, sb, queue[i] ?? 0));
    if (inode === undefined) continue;
    attempt(() => readXattrs(read, sb, inode));
    attempt(() => readSymlink(read, sb, inode));
    attempt(() => lookUp(read, sb, inode, bytes("name")));
    attempt(() => readContent(read, sb, inode, 0));
    for (let block = 0; block < Math.min(4, Math.ceil(inode.size / blockSize)); block++) {
      attempt(() =>
        readEntries(read, sb, inode, block, 0, (nid) => {
          queue.push(nid);
          return true;
        }),
      );
    }
  }
}

test("damaged images give CorruptImageError and nothing else", async () => {
  await fc.assert(
    fc.asyncProperty(
      treeArbitrary,
      fc.array(fc.tuple(fc.nat(0xffff_ffff), fc.nat(255)), { minLength: 1, maxLength: 60 }),
      fc.boolean(),
      async (tree, damage, keepChecksum) => {
        const image = await imageOf(tree);
        // Most of a small image is metadata near the start: aim there.
        for (const [where, value] of damage)
          image[1024 + (where % Math.min(image.length - 1024, 12_000))] = value;
        if (keepChecksum) {
          image.fill(0, 1028, 1032);
          new DataView(image.buffer).setUint32(1028, crc32c(0xffff_ffff, image, 1024, blockSize), true);
          new DataView(image.buffer).setUint32(1024, 0xe0f5e1e2, true);
        }
        exercise(image);
        exercise(image.subarray(0, image.length - blockSize));
      },
    ),
    { numRuns: 300 },
  );
});

test("the bytes of a fixed tree have not changed", async () => {
  const image = await imageOf(
    directory({
      bin: { kind: "symlink", ...common, target: "usr/bin" },
      dev: directory({ null: { kind: "character", ...common, mode: 0o666, major: 1, minor: 3 } }),
      file: { ...file(bytes("hello\n")), xattrs: new Map([["user.note", bytes("hi")]]) },
    }),
  );
  const digest = createHash("sha256").update(image).digest("hex");
  assert.equal(digest, "575958ee2e372d0456353a1131335979234f452033118352cce2d235a2d3dab1");
});
