import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { makeKey } from "../../test/image/openpgp-writer.ts";
import { basePackages, makeMirror, serve, testNowSeconds } from "../../test/image/synthetic-mirror.ts";
import type { Mirror, MirrorOptions } from "../../test/image/synthetic-mirror.ts";
import { CorruptImageError } from "../erofs/corrupt.ts";
import { blockSize, decodeDevice, modeType } from "../erofs/layout.ts";
import {
  contentLength,
  lookUp,
  readContent,
  readInode,
  readSuperblock,
  readSymlink,
} from "../erofs/reader.ts";
import type { BlockAccess, Inode } from "../erofs/reader.ts";
import { DamagedBlockError } from "../erofs/verity.ts";
import { buildImage } from "./build.ts";
import type { BuildEnvironment, BuildOptions, BuiltImage } from "./build.ts";
import { ImageError } from "./errors.ts";
import { openImage } from "./image-file.ts";
import { findImage, listImages, lookUpImage, pruneImages, removeImage } from "./images.ts";
import type { PhaseReport } from "./progress.ts";

const scratch = mkdtempSync(join(tmpdir(), "coppice-image-test-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
let serial = 0;
const fresh = (what: string): string => {
  const path = join(scratch, `${what}-${++serial}`);
  mkdirSync(path);
  return path;
};

const mirror: Mirror = makeMirror(fresh("mirror"));

function environment(
  key: { armored: string },
  more: Partial<BuildEnvironment> = {},
): Partial<BuildEnvironment> {
  return {
    env: {},
    aptDirectory: join(scratch, "no-apt"),
    nowMs: () => testNowSeconds * 1000,
    trustedKeys: [key.armored],
    download: { retryDelayMs: 5, idleMs: 2000, attempts: 3 },
    ...more,
  };
}

function optionsFor(m: Mirror, more: Partial<BuildOptions> = {}): BuildOptions {
  return {
    name: "test",
    mirror: m.url,
    cacheDirectory: fresh("cache"),
    environment: environment(m.key),
    ...more,
  };
}

/** Every file below a folder with its content's hash: to see that nothing changed. */
function contents(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found[path] = createHash("sha256").update(readFileSync(path)).digest("hex");
  }
  return found;
}

async function failure(work: Promise<unknown>): Promise<ImageError> {
  try {
    await work;
  } catch (error) {
    assert(error instanceof ImageError, `${String(error)} ${(error as Error).stack}`);
    return error;
  }
  return assert.fail("expected an ImageError");
}

/** Looks into an image through the verified reader. */
class View {
  readonly #read: BlockAccess;
  readonly #sb: ReturnType<typeof readSuperblock>;
  constructor(image: BuiltImage) {
    const file = openImage(image.path, image.digest, image.dataBlocks);
    after(() => file.close());
    this.#read = (block) => {
      const bytes = new Uint8Array(blockSize);
      file.readBlock(block, bytes);
      return { bytes, offset: 0 };
    };
    this.#sb = readSuperblock(this.#read);
  }
  inode(path: string): Inode {
    let inode = readInode(this.#read, this.#sb, this.#sb.rootNid);
    for (const name of path.split("/").filter((part) => part !== "")) {
      const nid = lookUp(this.#read, this.#sb, inode, Buffer.from(name));
      assert(nid >= 0, `${path} is in the image`);
      inode = readInode(this.#read, this.#sb, nid);
    }
    return inode;
  }
  text(path: string): string {
    const inode = this.inode(path);
    let text = "";
    for (let page = 0; page * blockSize < inode.size; page++) {
      const { bytes, offset } = readContent(this.#read, this.#sb, inode, page);
      text += Buffer.from(bytes.subarray(offset, offset + contentLength(inode, page))).toString("latin1");
    }
    return text;
  }
  link(path: string): string {
    return Buffer.from(readSymlink(this.#read, this.#sb, this.inode(path))).toString();
  }
}

test("an image from a local mirror: files, links, accounts, database, alternatives", async () => {
  const reports: PhaseReport[] = [];
  const image = await buildImage(optionsFor(mirror, { include: ["tool"] }), {
    report: (r) => reports.push(r),
  });
  assert.deepEqual(
    image.packages.map(({ name }) => name),
    ["base-files", "base-passwd", "libtest1", "shell", "tool"],
  );
  const ended = reports.filter(({ state }) => state === "end").map(({ phase }) => phase);
  assert.deepEqual(ended, ["release", "index", "resolve", "download", "unpack", "configure", "write"]);
  const download = reports.findLast(({ phase }) => phase === "download");
  assert.equal(download?.bytes, download?.totalBytes);
  assert.equal(download?.items, 5);

  const view = new View(image);
  assert.equal(view.link("bin"), "usr/bin");
  assert.equal(view.inode("usr/bin/bash").nid, view.inode("usr/bin/rbash").nid);
  assert.equal(view.inode("usr/bin/bash").nlink, 2);
  assert.equal(view.text("usr/lib/libtest.so.1"), "\x07".repeat(9000));
  const tool = view.inode("usr/bin/tool");
  assert.deepEqual([tool.mode, tool.gid, tool.mtimeSeconds], [modeType.regular | 0o4755, 42, 1_600_000_000]);
  assert.equal(view.inode("tmp").mode, modeType.directory | 0o1777);
  assert.deepEqual(decodeDevice(0x103), { major: 1, minor: 3 });

  assert.match(view.text("etc/passwd"), /^root:x:0:0:root:\/root:\/bin\/bash\n/);
  assert.match(view.text("etc/shadow"), /^root:\*:20423:0:99999:7:::\n/);
  assert.deepEqual([view.inode("etc/shadow").mode & 0o777, view.inode("etc/shadow").gid], [0o640, 42]);
  assert.equal(view.text("etc/group"), "root:x:0:\nshadow:x:42:\nstaff:x:50:alice\n");
  assert.equal(view.text("etc/gshadow"), "root:*::\nshadow:*::\nstaff:*::alice\n");
  assert.equal(view.text("etc/profile"), "PATH=/usr/bin\n");
  assert.equal(view.text("root/.profile"), "# profile\n");
  assert.match(view.text("etc/hosts"), /127\.0\.0\.1\tlocalhost/);

  assert.equal(view.link("etc/alternatives/pager"), "/bin/more");
  assert.equal(view.link("usr/bin/pager"), "/etc/alternatives/pager");
  assert.equal(
    view.text("var/lib/dpkg/alternatives/pager"),
    "auto\n/usr/bin/pager\npager.1\n/usr/share/man/pager.1\n\n/bin/more\n50\n/nowhere\n\n",
  );
  assert.deepEqual(image.notes, [
    "shell: alternative left to the package's own script: for i in a b; do update-alternatives --install /usr/bin/$i $i /usr/bin/more 1; done",
  ]);

  const status = view.text("var/lib/dpkg/status");
  assert.match(
    status,
    /^Package: base-files\nEssential: yes\nStatus: install ok unpacked\nPriority: required\n/,
  );
  const issue = createHash("md5").update("Test \\n\n").digest("hex");
  assert(status.includes(`Conffiles:\n /etc/issue ${issue}\n`));
  assert.match(view.text("var/lib/dpkg/info/shell.postinst"), /^#!\/bin\/sh/);
  assert.equal(view.inode("var/lib/dpkg/info/shell.postinst").mode & 0o777, 0o755);
  assert.equal(view.text("var/lib/dpkg/info/libtest1:riscv64.list"), "/lib/libtest.so.1\n");
  assert.match(view.text("var/lib/dpkg/info/base-files.list"), /^\/\.\n\/bin\n/);
  assert.equal(view.text("var/lib/dpkg/triggers/File"), "/usr/lib64 base-files/noawait\n");
  assert.equal(view.text("var/lib/dpkg/triggers/named-trigger"), "base-files\n");
});

test("the lock repeats a build bit for bit, also offline and from another mirror's cache", async () => {
  const lock = join(fresh("lock"), "image.lock.json");
  const first = await buildImage(optionsFor(mirror, { lock, include: ["tool"] }));
  const text = readFileSync(lock, "utf8");
  // A mirror that has moved on: the same pool, an index without one of the packages, another date.
  const later = makeMirror(fresh("mirror"), { date: "Tue, 02 Dec 2025 00:00:00 UTC", key: mirror.key });
  const options = optionsFor(later, { lock, include: ["tool"] });
  const second = await buildImage(options);
  assert.equal(second.digest, first.digest);
  assert.deepEqual(readFileSync(second.path), readFileSync(first.path));
  assert.equal(readFileSync(lock, "utf8"), text);
  const offline = await buildImage({ ...options, name: "again", mirror: "file:///nowhere", offline: true });
  assert.equal(offline.digest, first.digest);
  // Nothing is missing from the cache, so no mirror is needed.
  const { mirror: _, ...withoutMirror } = options;
  assert.equal((await buildImage(withoutMirror)).digest, first.digest);
  // Without the lock the other release gives another image.
  const { lock: __, ...withoutLock } = options;
  assert.notEqual((await buildImage(withoutLock)).digest, first.digest);
  assert.deepEqual(Object.keys(JSON.parse(text) as object).sort(), [
    "architecture",
    "format",
    "include",
    "packages",
    "release",
    "suite",
  ]);
  assert(!text.includes("://"));
});

test("offline builds use the last release, and say what is missing", async () => {
  const options = optionsFor(mirror);
  const error = await failure(buildImage({ ...options, offline: true }));
  assert.match(
    error.message,
    /^release: the cache holds no release file of suite trixie; build once without --offline/,
  );
  const online = await buildImage(options);
  assert.equal((await buildImage({ ...options, offline: true })).digest, online.digest);
  const missing = await failure(buildImage({ ...options, offline: true, include: ["tool"] }));
  assert.match(
    missing.message,
    /^cache: package tool 1\.0 is not in the cache; build once without --offline$/,
  );
});

test("lock files that do not fit or are damaged", async () => {
  const lock = join(fresh("lock"), "lock");
  const options = optionsFor(mirror, { lock });
  await buildImage(options);
  const text = readFileSync(lock, "utf8");
  const cases: [string, Partial<BuildOptions>, RegExp][] = [
    [text, { include: ["tool"] }, /was made with --include "", this build says "tool"/],
    [text, { suite: "bookworm" }, /is for suite trixie, not for bookworm/],
    [text.slice(0, 200), {}, /is no JSON/],
    ["{}", {}, /not a lock file of format/],
    [text.replace(/"sha256": "[0-9a-f]{8}/, '"sha256": "'), {}, /malformed package entry/],
    [text.replace(/"filename": "/, '"filename": "../'), {}, /malformed package entry/],
    [text.replaceAll('"name": "shell"', '"name": "base-files"'), {}, /lists package base-files twice/],
  ];
  for (const [content, more, pattern] of cases) {
    writeFileSync(lock, content);
    const error = await failure(buildImage({ ...options, ...more }));
    assert.equal(error.part, "lock file");
    assert.match(error.message, pattern);
    assert(error.message.includes(lock));
  }
});

const wrongMirrors: [string, MirrorOptions, string, RegExp][] = [
  [
    "foreign key",
    { key: makeKey({ created: testNowSeconds - 10 }) },
    "signature",
    /unknown key .*use a mirror of Debian itself/,
  ],
  [
    "expired signature",
    { sign: { expiresAfter: 100 } },
    "signature",
    /signature expired .*check this machine's clock/,
  ],
  ["weak digest", { sign: { hash: "sha1" } }, "signature", /weak hash/],
  [
    "passed Valid-Until",
    { validUntil: "Tue, 30 Dec 2025 00:00:00 UTC" },
    "release",
    /was valid until Tue, 30 Dec 2025/,
  ],
  ["unreadable date", { date: "soon" }, "release", /no readable Date/],
];

test("releases that cannot be trusted leave the cache as it was", async () => {
  for (const [what, options, part, pattern] of wrongMirrors) {
    const made = makeMirror(fresh("mirror"), { key: mirror.key, ...options });
    const build = optionsFor(made, { environment: environment(mirror.key) });
    await buildImage({ ...build, mirror: mirror.url });
    const before = contents(build.cacheDirectory ?? "");
    const error = await failure(buildImage(build));
    assert.equal(error.part, part, what);
    assert.match(error.message, pattern, what);
    assert(error.message.includes("dists/trixie/InRelease"), what);
    assert.deepEqual(contents(build.cacheDirectory ?? ""), before, what);
  }
  const valid = makeMirror(fresh("mirror"), { validUntil: "Wed, 28 Jan 2026 00:00:00 UTC" });
  await buildImage(optionsFor(valid));
});

test("a tampered release, index or package is refused", async () => {
  const cases: [(m: Mirror) => string, string, RegExp][] = [
    [() => "dists/trixie/InRelease", "signature", /does not verify .*changed on its way/],
    [
      () => "dists/trixie/main/binary-riscv64/Packages.gz",
      "download",
      /index of trixie does not match its SHA-256/,
    ],
    [(m) => m.pool.get("shell") ?? "", "download", /package shell 2:1\.5~rc1-3 does not match its SHA-256/],
  ];
  for (const [file, part, pattern] of cases) {
    const made = makeMirror(fresh("mirror"));
    const path = join(made.directory, file(made));
    const content = readFileSync(path);
    const at = part === "signature" ? content.indexOf("Version: 13.0") + 9 : content.length >> 1;
    content[at] = (content[at] ?? 0) ^ 1;
    writeFileSync(path, content);
    const options = optionsFor(made);
    const error = await failure(buildImage(options));
    assert.equal(error.part, part);
    assert.match(error.message, pattern);
    assert.deepEqual(await listImages(options), []);
    assert.deepEqual(readdirSync(join(options.cacheDirectory ?? "", "tmp")), []);
  }
});

test("a package that is broken although its hash is right", async () => {
  const broken = { name: "odd", fields: { Essential: "yes" }, files: [{ path: "../outside", data: "x" }] };
  const made = makeMirror(fresh("mirror"), { packages: [...basePackages, broken] });
  const error = await failure(buildImage(optionsFor(made)));
  assert.equal(error.part, "package");
  assert.match(
    error.message,
    /package odd 1\.0 \(pool\/main\/odd_1\.0_riscv64\.deb\) cannot be unpacked: path "\.\.\/outside" leads out/,
  );
});

test("mirrors that are missing, or that hold something else", async () => {
  const gone = await serve(scratch);
  await gone.close();
  const cases: [Partial<BuildOptions>, string, RegExp][] = [
    [{ mirror: "file:///nowhere/at/all" }, "mirror", /file:\/\/\/nowhere\/at\/all has no suite trixie/],
    [{ mirror: gone.url }, "mirror", /cannot be fetched: .*ECONNREFUSED/],
    [{ mirror: "/srv/debian" }, "options", /"\/srv\/debian" is not an address; write file:\/\/\/srv\/debian/],
    [{ mirror: "ftp://x/y" }, "options", /is not an address; write an address that begins with/],
    [{ suite: "sid" }, "mirror", /has no suite sid/],
    [{ suite: "../x" }, "options", /not the name of a Debian suite/],
    [{ include: ["no-such-thing"] }, "packages", /there is no package "no-such-thing"/],
    [{ include: ["Bad Name"] }, "options", /"Bad Name" is not the name of a Debian package/],
    [{ name: "Bad/Name" }, "options", /not a name for an image/],
  ];
  for (const [more, part, pattern] of cases) {
    const error = await failure(buildImage(optionsFor(mirror, more)));
    assert.equal(error.part, part);
    assert.match(error.message, pattern);
  }
  const other = makeMirror(fresh("mirror"), { suite: "bookworm" });
  mkdirSync(join(other.directory, "dists/trixie"));
  writeFileSync(
    join(other.directory, "dists/trixie/InRelease"),
    readFileSync(join(other.directory, "dists/bookworm/InRelease")),
  );
  assert.match(
    (await failure(buildImage(optionsFor(other)))).message,
    /is for suite stable\/bookworm, not for trixie/,
  );
});

test("without the option: COPPICE_MIRROR, then apt's sources of origin Debian", async () => {
  const { mirror: _, ...options } = optionsFor(mirror);
  const none = await failure(buildImage(options));
  assert.match(
    none.message,
    /no Debian mirror with suite trixie is known: the host has no apt sources; name one with --mirror or COPPICE_MIRROR/,
  );

  const byEnv = {
    ...options,
    environment: environment(mirror.key, { env: { COPPICE_MIRROR: `${mirror.url}/` } }),
  };
  await buildImage(byEnv);
  const badEnv = {
    ...options,
    environment: environment(mirror.key, { env: { COPPICE_MIRROR: "nonsense" } }),
  };
  assert.match((await failure(buildImage(badEnv))).message, /COPPICE_MIRROR "nonsense" is not an address/);

  const apt = fresh("apt");
  mkdirSync(join(apt, "sources.list.d"));
  const foreign = makeMirror(fresh("mirror"), { key: mirror.key, origin: "Elsewhere" });
  const untrusted = makeMirror(fresh("mirror"));
  writeFileSync(
    join(apt, "sources.list"),
    `# comment\ndeb [arch=amd64] ${foreign.url} bookworm main\ndeb-src ${mirror.url} bookworm main\n`,
  );
  writeFileSync(
    join(apt, "sources.list.d", "a.sources"),
    `Types: deb\nURIs: file:///nowhere\n ${untrusted.url}\nSuites: bookworm\n`,
  );
  const fromApt = { ...options, environment: environment(mirror.key, { aptDirectory: apt }) };
  const refused = await failure(buildImage(fromApt));
  assert.match(refused.message, /is of Elsewhere, not of Debian/);
  assert.match(refused.message, /no valid signature by a trusted key/);
  writeFileSync(
    join(apt, "sources.list.d", "b.sources"),
    `Enabled: no\nTypes: deb\nURIs: ${mirror.url}\nSuites: x\n`,
  );
  await failure(buildImage(fromApt));
  writeFileSync(
    join(apt, "sources.list.d", "c.sources"),
    `Types: deb deb-src\nURIs: ${mirror.url}\nSuites: x\n`,
  );
  assert.equal((await buildImage(fromApt)).name, "test");
});

test("over http: several at a time, by hash, and broken connections resume", async () => {
  const made = makeMirror(fresh("mirror"), { byHash: true });
  const big = made.pool.get("libtest1") ?? "";
  const server = await serve(made.directory, { breakAfter: new Map([[big, [4000, 3000]]]), delayMs: 20 });
  try {
    await buildImage(optionsFor(made, { mirror: server.url, include: ["tool"] }));
    const asked = server.requests.filter(({ path }) => path === big).map(({ range }) => range);
    assert.deepEqual(asked, [undefined, "bytes=4000-", "bytes=7000-"]);
    assert(server.requests.some(({ path }) => path.includes("/by-hash/SHA256/")));
    assert(server.mostAtOnce > 1 && server.mostAtOnce <= 8, `${server.mostAtOnce} at once`);
  } finally {
    await server.close();
  }
});

test("a server without ranges starts afresh; one that stays silent or broken is given up", async () => {
  const made = makeMirror(fresh("mirror"));
  const big = made.pool.get("libtest1") ?? "";
  const behaviour = { ranges: false, breakAfter: new Map([[big, [4000]]]) };
  const server = await serve(made.directory, behaviour);
  try {
    await buildImage(optionsFor(made, { mirror: server.url }));
    behaviour.breakAfter.set(big, [1, 2, 3]);
    const error = await failure(buildImage(optionsFor(made, { mirror: server.url })));
    assert.equal(error.part, "download");
    assert.match(error.message, /package libtest1 1\.2-1 cannot be fetched .*what has arrived is kept/);
  } finally {
    await server.close();
  }
  const silent = await serve(made.directory, { delayMs: 3000 });
  try {
    const options = optionsFor(made, {
      mirror: silent.url,
      environment: environment(made.key, { download: { attempts: 2, idleMs: 100, retryDelayMs: 1 } }),
    });
    assert.match((await failure(buildImage(options))).message, /no answer for 0 seconds/);
  } finally {
    await silent.close();
  }
});

test("a stopped build keeps partial downloads, leaves nothing else, and the next one resumes", async () => {
  const made = makeMirror(fresh("mirror"));
  const big = made.pool.get("libtest1") ?? "";
  const size = statSync(join(made.directory, big)).size;
  const server = await serve(made.directory, { breakAfter: new Map([[big, [5000]]]) });
  const options = optionsFor(made, { mirror: server.url });
  const cache = options.cacheDirectory ?? "";
  try {
    const stop = new AbortController();
    const reason = new Error("stopped by the user");
    const work = buildImage(
      {
        ...options,
        environment: environment(made.key, { download: { attempts: 3, idleMs: 2000, retryDelayMs: 60_000 } }),
      },
      {
        report: (r) =>
          r.phase === "download" &&
          r.detail === "libtest1" &&
          r.bytes > 0 &&
          setTimeout(() => stop.abort(reason), 100),
      },
      stop.signal,
    );
    await assert.rejects(work, (error) => error === reason);
    assert.deepEqual(readdirSync(join(cache, "tmp")), []);
    assert.deepEqual(readdirSync(join(cache, "names")), []);
    const [partial] = readdirSync(join(cache, "partial"));
    assert(partial !== undefined);
    assert.equal(statSync(join(cache, "partial", partial)).size, 5000);
    server.requests.length = 0;
    await buildImage(options);
    assert.deepEqual(
      server.requests.filter(({ path }) => path === big).map(({ range }) => range),
      ["bytes=5000-"],
    );
    assert.deepEqual(readdirSync(join(cache, "partial")), []);

    // What was kept may be wrong: it is fetched again from the start.
    rmSync(join(cache, "blobs", partial));
    writeFileSync(join(cache, "partial", partial), Buffer.alloc(size - 10, 1));
    await buildImage(options);
    // A blob that the disk has damaged is fetched again, too.
    writeFileSync(join(cache, "blobs", partial), "damaged");
    await buildImage(options);
  } finally {
    await server.close();
  }
});

test("what a killed build had fetched is taken up, unless it may still be at work", async () => {
  const made = makeMirror(fresh("mirror"));
  const big = made.pool.get("libtest1") ?? "";
  const content = readFileSync(join(made.directory, big));
  const digest = createHash("sha256").update(content).digest("hex");
  const server = await serve(made.directory);
  try {
    for (const [pid, ageSeconds, expected] of [
      [999_999_999, 120, "bytes=5000-"],
      [999_999_999, 1, undefined],
      [process.pid, 120, undefined],
    ] as const) {
      const options = optionsFor(made, { mirror: server.url });
      const left = join(options.cacheDirectory ?? "", "tmp", `${digest}.${pid}.0123456789ab`);
      mkdirSync(dirname(left));
      writeFileSync(left, content.subarray(0, 5000));
      const then = Date.now() / 1000 - ageSeconds;
      utimesSync(left, then, then);
      server.requests.length = 0;
      await buildImage(options);
      assert.deepEqual(
        server.requests.filter(({ path }) => path === big).map(({ range }) => range),
        [expected],
      );
    }
  } finally {
    await server.close();
  }
});

test("two builds at once do not disturb each other", async () => {
  const cacheDirectory = fresh("cache");
  const builds = ["one", "two", "three"].map((name) =>
    buildImage(optionsFor(mirror, { name, cacheDirectory, include: ["vi"] })),
  );
  const images = await Promise.all(builds);
  assert.equal(new Set(images.map(({ digest }) => digest)).size, 1);
  assert.deepEqual(
    (await listImages({ cacheDirectory })).map(({ name }) => name),
    ["one", "three", "two"],
  );
  assert.deepEqual(readdirSync(join(cacheDirectory, "tmp")), []);
});

test("a full disk is a clear error, whenever it comes, and the images stay", async () => {
  const options = optionsFor(mirror);
  await buildImage(options);
  const cache = options.cacheDirectory ?? "";
  const before = contents(cache);
  const enospc = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  for (let writes = 0; writes < 40; writes += 1) {
    let left = writes;
    const full = environment(mirror.key, {
      writeAll: async (handle, bytes, position) => {
        if (left-- <= 0) {
          await handle.write(bytes, 0, bytes.length >> 1, position);
          throw enospc;
        }
        await handle.write(bytes, 0, bytes.length, position);
      },
    });
    let failed: ImageError | undefined;
    try {
      await buildImage({ ...options, include: ["tool", "vi"], environment: full });
    } catch (error) {
      assert(error instanceof ImageError, String(error));
      failed = error;
    }
    if (failed === undefined) return; // Room enough for the whole build.
    assert.equal(failed.part, "cache");
    assert.equal(
      failed.message,
      `cache: the disk is full: ${cache}; free some space (coppice image prune), or set COPPICE_CACHE to a folder on another disk`,
    );
    assert.deepEqual(contents(cache), before);
  }
  assert.fail("the build never succeeded");
});

test("finding, removing and pruning", async () => {
  const options = optionsFor(mirror);
  const where = { cacheDirectory: options.cacheDirectory ?? "" };
  const missing = await failure(findImage("test", where));
  assert.equal(
    missing.message,
    'image: there is no image "test"; build it with coppice image build test, or see what there is with coppice image ls',
  );
  assert.equal((await pruneImages({ cacheDirectory: join(scratch, "never-made") })).freedBytes, 0);
  const first = await buildImage(options);
  await buildImage({ ...options, name: "same" });
  assert.deepEqual(await findImage("test", where), { ...(await lookUpImage("same", where)), name: "test" });
  assert.equal((await removeImage("test", where)).freedBytes, 0);
  await failure(removeImage("test", where));
  const kept = await pruneImages(where);
  assert.deepEqual([kept.images, kept.downloads], [0, 0]);

  // A name that moves to another image leaves the old one to the next prune, with what only it was made from.
  const second = await buildImage({ ...options, name: "same", include: ["vi"] });
  writeFileSync(
    join(where.cacheDirectory, "tmp", "image.999999999.0123456789ab"),
    "left by a process that died",
  );
  writeFileSync(join(where.cacheDirectory, "partial", "ab".repeat(32)), "12345");
  const translations = (): string[] => readdirSync(join(where.cacheDirectory, "translations"));
  for (const { digest } of [first, second])
    writeFileSync(
      join(where.cacheDirectory, "translations", `${digest}.0123456789abcdef`),
      "made by a machine",
    );
  const pruned = await pruneImages(where);
  assert.deepEqual([pruned.images, pruned.downloads, pruned.temporary], [1, 0, 2]);
  assert(pruned.freedBytes > first.bytes);
  assert.deepEqual(translations(), [`${second.digest}.0123456789abcdef`]);
  assert.equal((await removeImage("same", where)).digest, second.digest);
  assert.deepEqual(translations(), []);
  const all = await pruneImages(where);
  assert(all.downloads >= 7);
  assert.deepEqual(readdirSync(join(where.cacheDirectory, "blobs")), []);
  assert.deepEqual(readdirSync(join(where.cacheDirectory, "images")), []);
});

test("a prune leaves alone what a running build has made", async () => {
  const options = optionsFor(mirror);
  const where = { cacheDirectory: options.cacheDirectory ?? "" };
  let pruned: Promise<unknown> = Promise.resolve();
  const image = await buildImage(options, {
    report: ({ phase, state }) => {
      if (phase === "write" && state === "begin") pruned = pruneImages({ ...where, all: true });
    },
  });
  await pruned;
  assert.equal((await findImage("test", where)).digest, image.digest);
  assert(readdirSync(join(where.cacheDirectory, "blobs")).length > 0);
});

test("truncated and damaged images", async () => {
  const image = await buildImage(optionsFor(mirror));
  const good = readFileSync(image.path);
  const where = join(fresh("images"), "copy.img");
  writeFileSync(where, good.subarray(0, good.length - blockSize));
  assert.throws(
    () => openImage(where, image.digest, image.dataBlocks),
    (error) =>
      error instanceof ImageError &&
      /copy\.img: has \d+ bytes instead of \d+; remove it with coppice image rm/.test(error.message),
  );
  assert.throws(() => openImage(join(scratch, "absent.img"), image.digest, image.dataBlocks), ImageError);
  const damaged = Buffer.from(good);
  damaged[3 * blockSize + 5] = (damaged[3 * blockSize + 5] ?? 0) ^ 1;
  writeFileSync(where, damaged);
  using file = openImage(where, image.digest, image.dataBlocks);
  const target = new Uint8Array(blockSize);
  file.readBlock(0, target);
  assert.throws(
    () => file.readBlock(3, target),
    (error) => error instanceof DamagedBlockError && error.block === 3,
  );
  assert.throws(() => file.readBlock(image.dataBlocks, target), CorruptImageError);
});
