/**
 * Builds a real image from a real mirror and lets Linux's own tools judge it. Runs with COPPICE_LIVE=1 only;
 * each part says what it skips for want of a tool.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { blockSize } from "../erofs/layout.ts";
import { lookUp, readContent, readInode, readSuperblock, readSymlink } from "../erofs/reader.ts";
import type { BlockAccess } from "../erofs/reader.ts";
import { buildImage } from "./build.ts";
import type { BuiltImage } from "./build.ts";
import { openImage } from "./image-file.ts";
import { compareVersions } from "./version.ts";

const live = process.env["COPPICE_LIVE"] === "1";
const skip: string | false = live ? false : "COPPICE_LIVE is not 1";
const scratch = mkdtempSync(join(tmpdir(), "coppice-live-test-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

function run(command: string, ...args: string[]): { status: number | null; output: string } {
  const result = spawnSync(command, args, { encoding: "utf8", maxBuffer: 512 * 1024 ** 2 });
  return {
    status: result.error === undefined ? result.status : -1,
    output: `${result.stdout}${result.stderr}`,
  };
}

/** Whether a tool is there; prints that its test is skipped otherwise. */
function has(tool: string, t: { skip(message: string): void }): boolean {
  const found = run("sh", "-c", `command -v ${tool}`).status === 0;
  if (!found) t.skip(`${tool} is not installed`);
  return found;
}

const cacheDirectory = join(scratch, "cache");
let building: Promise<BuiltImage> | undefined;
function built(): Promise<BuiltImage> {
  building ??= buildImage({ name: "live", cacheDirectory, lock: join(scratch, "lock.json") });
  return building;
}

test("trixie builds in time, and its lock repeats it", { skip, timeout: 300_000 }, async (t) => {
  const begin = performance.now();
  const image = await built();
  const seconds = (performance.now() - begin) / 1000;
  t.diagnostic(
    `${seconds.toFixed(1)} s, ${image.packages.length} packages, ${(image.bytes / 1e6).toFixed(1)} MB, ${JSON.stringify(image.timings)}`,
  );
  assert(seconds < 45, `${seconds} s`);
  const again = await buildImage({
    name: "again",
    cacheDirectory,
    lock: join(scratch, "lock.json"),
    offline: true,
  });
  assert.equal(again.digest, image.digest);
});

test("fsck.erofs accepts the image", { skip, timeout: 300_000 }, async (t) => {
  if (!has("fsck.erofs", t)) return;
  const { status, output } = run("fsck.erofs", (await built()).path);
  assert.equal(status, 0, output);
});

test("veritysetup accepts the hash tree, and notices one changed byte", {
  skip,
  timeout: 300_000,
}, async (t) => {
  if (!has("veritysetup", t)) return;
  const image = await built();
  const verify = (path: string): number | null =>
    run("veritysetup", "verify", path, path, image.digest, `--hash-offset=${image.dataBlocks * blockSize}`)
      .status;
  assert.equal(verify(image.path), 0);
  const copy = join(scratch, "damaged.img");
  const content = readFileSync(image.path);
  content[5_000_000] = (content[5_000_000] ?? 0) ^ 1;
  writeFileSync(copy, content);
  assert.notEqual(verify(copy), 0);
  rmSync(copy);
});

/** `type mode uid/gid size mtime path -> target` of every file, from the host's own tools. */
function listing(directory: string): Map<string, string> {
  const { status, output } = run(
    "find",
    directory,
    "-mindepth",
    "1",
    "-printf",
    "%P\\t%y %m %U/%G %s %T@ %n %l\\n",
  );
  assert.equal(status, 0, output);
  const entries = new Map<string, string>();
  for (const line of output.split("\n")) {
    const [path, rest] = line.split("\t");
    // The size of a directory is the file system's own affair.
    if (path !== undefined && rest !== undefined) entries.set(path, rest.replace(/^(d \S+ \S+) \S+/, "$1 -"));
  }
  return entries;
}

test("mounted by Linux, every packaged file is as dpkg-deb unpacks it", {
  skip,
  timeout: 300_000,
}, async (t) => {
  if (!has("dpkg-deb", t)) return;
  const image = await built();
  const mount = join(scratch, "mount");
  mkdirSync(mount);
  const mounted = run("mount", "-t", "erofs", "-o", "loop,ro", image.path, mount);
  if (mounted.status !== 0) return t.skip(`cannot mount: ${mounted.output.trim()}`);
  try {
    const actual = listing(mount);
    let files = 0;
    for (const { name, sha256 } of image.packages) {
      const directory = join(scratch, "one");
      mkdirSync(directory);
      const { status, output } = run("dpkg-deb", "-x", join(cacheDirectory, "blobs", sha256), directory);
      assert.equal(status, 0, output);
      for (const [path, expected] of listing(directory)) {
        // base-files ships these as directories, and its postinst makes links of them.
        if (path === "var/lock" || path === "var/run") continue;
        const merged = path.replace(/^(bin|sbin|lib)\//, "usr/$1/");
        const found = actual.get(merged);
        assert(found !== undefined, `${name}: ${path}`);
        // A directory belongs to the package that brought it first, and links grow with the names beside it.
        if (expected.startsWith("d ")) {
          assert(found.startsWith("d "), `${name}: ${path}`);
          continue;
        }
        files += 1;
        assert.equal(found, expected, `${name}: ${path}`);
        if (expected.startsWith("f ")) {
          const same = readFileSync(join(mount, merged)).equals(readFileSync(join(directory, path)));
          assert(same, `${name}: content of ${path}`);
        }
      }
      rmSync(directory, { recursive: true });
    }
    t.diagnostic(`${files} files and links compared`);
    assert(files > 3000);
    if (has("dpkg", t)) {
      const verify = run("dpkg", `--root=${mount}`, "--verify");
      assert.deepEqual([verify.status, verify.output], [0, ""]);
      const query = run(
        "dpkg-query",
        `--admindir=${mount}/var/lib/dpkg`,
        "-W",
        "-f=${Package} ${db:Status-Status}\\n",
      );
      assert.equal(query.output, image.packages.map((p) => `${p.name} unpacked\n`).join(""));
    }
  } finally {
    run("umount", mount);
  }
});

test("images by mkfs.erofs read back", { skip, timeout: 300_000 }, (t) => {
  if (!has("mkfs.erofs", t)) return;
  const source = join(scratch, "source");
  mkdirSync(join(source, "many"), { recursive: true });
  for (let i = 0; i < 700; i++) writeFileSync(join(source, "many", `file-${i}`), "x".repeat(i * 13));
  run("ln", "-s", "t".repeat(3000), join(source, "long"));
  run("ln", join(source, "many/file-699"), join(source, "hard"));
  run("setfattr", "-n", "user.note", "-v", "value", join(source, "hard"));
  const path = join(scratch, "foreign.img");
  const made = run("mkfs.erofs", path, source);
  assert.equal(made.status, 0, made.output);
  const image = new Uint8Array(readFileSync(path));
  const read: BlockAccess = (block) => ({ bytes: image, offset: block * blockSize });
  const sb = readSuperblock(read);
  const top = readInode(read, sb, sb.rootNid);
  const at = (from: typeof top, name: string): typeof top =>
    readInode(read, sb, lookUp(read, sb, from, Buffer.from(name)));
  assert.equal(Buffer.from(readSymlink(read, sb, at(top, "long"))).toString(), "t".repeat(3000));
  assert.equal(at(top, "hard").nlink, 2);
  const many = at(top, "many");
  for (let i = 0; i < 700; i++) {
    const inode = at(many, `file-${i}`);
    assert.equal(inode.size, i * 13);
    for (let page = 0; page * blockSize < inode.size; page++)
      assert.equal(readContent(read, sb, inode, page).bytes[readContent(read, sb, inode, page).offset], 120);
  }
});

test("every block of the image verifies through our own reader", { skip, timeout: 300_000 }, async (t) => {
  const image = await built();
  using file = openImage(image.path, image.digest, image.dataBlocks);
  const target = new Uint8Array(blockSize);
  const begin = performance.now();
  for (let block = 0; block < image.dataBlocks; block++) file.readBlock(block, target);
  const ms = performance.now() - begin;
  t.diagnostic(
    `${((image.dataBlocks * blockSize) / 1000 / ms).toFixed(0)} MB/s, ${((ms * 1000) / image.dataBlocks).toFixed(1)} µs a block`,
  );
});

test("a disk that is really full", { skip, timeout: 300_000 }, async (t) => {
  const disk = join(scratch, "small");
  mkdirSync(disk);
  if (run("mount", "-t", "tmpfs", "-o", "size=60m", "none", disk).status !== 0)
    return t.skip("cannot mount a tmpfs");
  try {
    await assert.rejects(
      buildImage({ name: "x", cacheDirectory: join(disk, "c") }),
      /cache: the disk is full: .*free some space/,
    );
    const left = readdirSync(disk, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    assert.deepEqual(
      left.map(({ name }) => name),
      [],
    );
    assert(statSync(disk).isDirectory());
  } finally {
    run("umount", disk);
  }
});

test("version comparison agrees with dpkg", { skip, timeout: 300_000 }, (t) => {
  if (!has("dpkg", t)) return;
  const letters = "0012349abzA.+~-";
  let seed = 42;
  const next = (bound: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % bound;
  };
  const version = (): string => {
    let text = String(next(10));
    for (let length = next(6); length > 0; length--) text += letters[next(letters.length)];
    return (next(5) === 0 ? "1:" : "") + text.replace(/-$/, "-1");
  };
  const pairs = Array.from({ length: 1000 }, () => [version(), version()] as const);
  const script = pairs
    .map(
      ([a, b]) =>
        `dpkg --compare-versions '${a}' lt '${b}' && echo -1 || { dpkg --compare-versions '${a}' gt '${b}' && echo 1 || echo 0; }\n`,
    )
    .join("");
  const { stdout } = spawnSync("sh", [], { input: script, encoding: "utf8" });
  const answers = stdout.trim().split("\n").map(Number);
  pairs.forEach(([a, b], i) => assert.equal(Math.sign(compareVersions(a, b)), answers[i], `${a} and ${b}`));
});
