/** What is laid into the tree and made on top of it: unpacking rules, alternatives, PAM, apt's sources. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { makeDeb } from "../../test/image/synthetic-mirror.ts";
import type { TestPackage } from "../../test/image/synthetic-mirror.ts";
import { readAlternatives, applyAlternatives } from "./alternatives.ts";
import { readOneLineSources, readStanzaSources } from "./apt-sources.ts";
import { cacheDirectory } from "./cache.ts";
import { DebError, readDeb } from "./deb.ts";
import { writePamConfiguration } from "./pam.ts";
import { FileTree, TreeError } from "./tree.ts";
import { createUnpackPool } from "./unpack-pool.ts";
import { Unpacker } from "./unpack.ts";

const plain = { mode: 0o644 };

async function lay(...packages: TestPackage[]): Promise<{ tree: FileTree; notes: string[] }> {
  const tree = new FileTree(0);
  const notes: string[] = [];
  const unpacker = new Unpacker(tree, (message) => notes.push(message));
  for (const p of packages) unpacker.unpack(await readDeb(makeDeb(p)), p.name);
  return { tree, notes };
}

test("paths follow links inside the tree, and circles end", () => {
  const tree = new FileTree(0);
  tree.mkdir("usr/bin", { mode: 0o755 });
  tree.link("bin", "usr/bin");
  tree.link("usr/abs", "/bin");
  tree.link("up", "usr/../usr/bin/../../bin");
  tree.write("bin/sh", "sh", plain);
  assert.equal(tree.readText("usr/bin/sh"), "sh");
  assert.equal(tree.readText("usr/abs/sh"), "sh");
  assert.equal(tree.readText("up/sh"), "sh");
  assert.equal(tree.readText("../../bin/sh"), "sh");
  assert.equal(tree.get("bin")?.kind, "symlink");
  assert.equal(tree.get("bin", true)?.kind, "directory");
  tree.link("a", "b");
  tree.link("b", "a");
  assert.throws(() => tree.get("a/x"), TreeError);
  tree.write("file", "", plain);
  assert.throws(() => tree.write("file/x", "", plain), TreeError);
});

test("unpacking: first directory stays, links to directories are followed, hard links join", async () => {
  const { tree } = await lay(
    {
      name: "a",
      files: [
        { path: "./d/", type: "5", mode: 0o700 },
        { path: "./l", type: "2", link: "d" },
        { path: "./d/f", data: "f" },
      ],
    },
    {
      name: "b",
      files: [
        { path: "./d/", type: "5", mode: 0o755 },
        { path: "./l/", type: "5" },
        { path: "./l/g", data: "g" },
        { path: "./l/h", type: "1", link: "./l/g" },
        { path: "./d", type: "2", link: "elsewhere" },
      ],
    },
  );
  assert.equal(tree.get("d")?.mode, 0o700);
  assert.equal(tree.get("l")?.kind, "symlink");
  assert.deepEqual(tree.list("d"), ["f", "g", "h"]);
  assert.equal(tree.get("d/g"), tree.get("d/h"));
  await assert.rejects(
    lay({ name: "a", files: [{ path: "h", type: "1", link: "missing" }] }),
    /hard link \/h to \/missing/,
  );
  await assert.rejects(
    lay({
      name: "a",
      files: [
        { path: "d/", type: "5" },
        { path: "d", data: "x" },
      ],
    }),
    /would replace a directory/,
  );
});

test("unpacking: Replaces decides between two packages with the same file, whatever their order", async () => {
  const file = (data: string): { path: string; data: string }[] => [{ path: "./f", data }];
  const old = { name: "a", version: "1", files: file("a") };
  const taker = { name: "b", files: file("b"), fields: { Replaces: "a (<< 2)" } };
  for (const order of [
    [old, taker],
    [taker, old],
  ]) {
    const { tree, notes } = await lay(...order);
    assert.equal(tree.readText("f"), "b");
    assert.deepEqual(notes, []);
  }
  const { tree, notes } = await lay({ ...old, version: "2" }, taker);
  assert.equal(tree.readText("f"), "b");
  assert.deepEqual(notes, ["/f is in a and in b; the one of b stays"]);
});

test("the pool unpacks large packages in threads and passes their faults on", async () => {
  const pool = createUnpackPool();
  const data = randomBytes(900_000);
  const deb = makeDeb({ name: "large", files: [{ path: "f", data }], control: { postinst: "x" } });
  try {
    const results = await Promise.all(Array.from({ length: 6 }, () => pool.unpack(Buffer.from(deb))));
    for (const { entries, data: whole, control } of results) {
      const [entry] = entries;
      assert(entry !== undefined && control.has("postinst"));
      assert(data.equals(whole.subarray(entry.offset, entry.offset + entry.size)));
    }
    const broken = Buffer.from(deb.subarray(0, deb.length - 1000));
    await assert.rejects(
      pool.unpack(broken),
      (error) => error instanceof DebError && /middle of a member/.test(error.message),
    );
  } finally {
    await pool.close();
  }
});

test("alternatives are read from scripts as far as no shell is needed", () => {
  const { found, skipped } = readAlternatives(
    [
      "#!/bin/sh",
      'if [ "$1" = configure ]; then update-alternatives --quiet --install /usr/bin/awk awk "/usr/bin/mawk" 5 \\',
      "   --slave /usr/bin/nawk nawk /usr/bin/mawk; fi",
      "ua() {",
      "\tupdate-alternatives --install /usr/bin/which which /usr/bin/which.debianutils 0 || true",
      "}",
      "# update-alternatives --install /a a /b 1",
      "update-alternatives --install /usr/bin/$x $x /usr/bin/y 1",
      "update-alternatives --install /usr/bin/z z `which y` 1",
      "update-alternatives --install /usr/bin/../z z /bin/y 1",
      "update-alternatives --install /usr/bin/z z /bin/y high",
      "update-alternatives --remove z /bin/y",
    ].join("\n"),
  );
  assert.deepEqual(found, [
    {
      link: "/usr/bin/awk",
      name: "awk",
      path: "/usr/bin/mawk",
      priority: 5,
      slaves: [{ link: "/usr/bin/nawk", name: "nawk", path: "/usr/bin/mawk" }],
    },
    { link: "/usr/bin/which", name: "which", path: "/usr/bin/which.debianutils", priority: 0, slaves: [] },
  ]);
  assert.equal(skipped.length, 4);
});

test("of several alternatives the highest priority whose file exists wins; files are never replaced", () => {
  const tree = new FileTree(0);
  for (const name of ["low", "high", "own"]) tree.write(`usr/bin/${name}`, name, plain);
  const choice = (name: string, file: string, priority: number, link = `/usr/bin/${name}`) => ({
    link,
    name,
    path: `/usr/bin/${file}`,
    priority,
    slaves: [],
  });
  applyAlternatives(tree, [
    choice("e", "low", 1),
    choice("e", "high", 9),
    choice("e", "gone", 99),
    choice("own", "low", 1),
  ]);
  assert.equal(tree.readText("usr/bin/e"), "high");
  assert.equal(tree.readText("usr/bin/own"), "own");
  assert.equal(
    tree.readText("var/lib/dpkg/alternatives/e"),
    "auto\n/usr/bin/e\n\n/usr/bin/high\n9\n/usr/bin/low\n1\n\n",
  );
});

test("PAM's common files come from templates and profiles in order of priority", () => {
  const tree = new FileTree(0);
  tree.write(
    "usr/share/pam/common-auth",
    "# head\n$auth_primary\nauth requisite pam_deny.so\n$auth_additional\n",
    plain,
  );
  tree.write(
    "usr/share/pam/common-session-noninteractive",
    "$session_nonint_primary\n$session_nonint_additional\n",
    plain,
  );
  tree.write("usr/share/pam/common-auth.md5sums", "x", plain);
  const profile = (priority: number, module: string, extra = ""): string =>
    `Name: ${module}\nDefault: yes\nPriority: ${priority}\n${extra}Auth-Type: Primary\nAuth:\n\t[success=end default=ignore]\t${module} try_first_pass\nAuth-Initial:\n\t[success=end default=ignore]\t${module}\nSession-Type: Additional\nSession:\n\trequired\t${module}\n`;
  tree.write("usr/share/pam-configs/unix", profile(256, "pam_unix.so"), plain);
  tree.write(
    "usr/share/pam-configs/other",
    profile(512, "pam_other.so", "Session-Interactive-Only: yes\n"),
    plain,
  );
  tree.write("usr/share/pam-configs/off", profile(900, "pam_off.so").replace("yes", "no"), plain);
  writePamConfiguration(tree);
  assert.equal(
    tree.readText("etc/pam.d/common-auth"),
    "# head\nauth\t[success=2 default=ignore]\tpam_other.so\nauth\t[success=1 default=ignore]\tpam_unix.so try_first_pass\nauth requisite pam_deny.so\n",
  );
  assert.equal(tree.readText("etc/pam.d/common-session-noninteractive"), "session\trequired\tpam_unix.so\n");
  assert.deepEqual(tree.list("etc/pam.d"), ["common-auth", "common-session-noninteractive"]);
});

test("apt's sources in both formats", () => {
  assert.deepEqual(
    readOneLineSources(
      "deb http://a/debian trixie main\n#deb http://b x y\ndeb-src http://c x y\n  deb [signed-by=/k arch=a] https://d/ x y\ndeb http://e\n",
    ),
    ["http://a/debian", "https://d/"],
  );
  assert.deepEqual(
    readStanzaSources(
      "types: deb deb-src\nuris: http://a http://b\nSuites: x\n\nTypes: deb-src\nURIs: http://c\n\nEnabled: no\nTypes: deb\nURIs: http://d\n\n# c\nTypes: deb\nURIs:\n http://e\n http://f\n",
    ),
    ["http://a", "http://b", "http://e", "http://f"],
  );
});

test("the cache lies where the platform keeps such things", () => {
  assert.equal(cacheDirectory({ COPPICE_CACHE: "/c", XDG_CACHE_HOME: "/x" }, "linux"), "/c");
  assert.equal(cacheDirectory({ XDG_CACHE_HOME: "/x" }, "linux"), "/x/coppice");
  assert.match(cacheDirectory({ XDG_CACHE_HOME: "relative" }, "linux"), /\/\.cache\/coppice$/);
  assert.match(cacheDirectory({}, "darwin"), /\/Library\/Caches\/coppice$/);
  assert.match(cacheDirectory({ LOCALAPPDATA: "L" }, "win32"), /^L.coppice.cache$/);
});
