import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkHeap } from "../../heap/check.ts";
import { O } from "./open-flags.ts";
import { directory, file, imageOf, symlink } from "./testing/test-image.ts";
import { TestMachine } from "./testing/test-machine.ts";

const big = new Uint8Array(300_000).map((_, i) => (i * 7) & 0xff);
const shared = file("one inode, two names\n");
const tree = directory({
  etc: directory({ passwd: file("root:x:0:0\n"), hosts: file("127.0.0.1 localhost\n") }),
  bin: symlink("usr/bin"),
  usr: directory({ bin: directory({ sh: file("#!"), a: shared, b: shared }), share: directory({}) }),
  big: file(big),
  many: directory(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`name-${i}`, file(`${i}`)]))),
  dev: directory({}),
  tmp: directory({}, 0o1777),
});
const bytes = await imageOf(tree);

function clean(machine: TestMachine): void {
  assert.deepEqual(checkHeap(machine.tx), []);
}

describe("memory file system", () => {
  test("files are created, written, read, listed and removed", () => {
    const m = new TestMachine({ mounts: ["dev"] });
    m.mkdir("/home");
    m.writeFile("/home/a", "hello");
    assert.equal(m.readFile("/home/a"), "hello");
    assert.deepEqual(m.list("/home"), ["a"]);
    const s = m.stat("/home/a");
    assert.deepEqual([s.mode, s.size, s.links], [0o100644, 5, 1]);
    m.writeFile("/home/a", " world", O.WRONLY | O.APPEND);
    assert.equal(m.readFile("/home/a"), "hello world");
    m.writeFile("/home/a", "J", O.WRONLY);
    assert.equal(m.readFile("/home/a"), "Jello world");
    m.rename("/home/a", "/home/b");
    assert.deepEqual(m.list("/home"), ["b"]);
    assert.equal(
      m.attempt(() => m.rmdir("/home")),
      "ENOTEMPTY",
    );
    m.unlink("/home/b");
    m.rmdir("/home");
    assert.equal(
      m.attempt(() => m.stat("/home")),
      "ENOENT",
    );
    clean(m);
  });

  test("devices", () => {
    const m = new TestMachine({ mounts: ["dev"] });
    const zero = m.open("/dev/zero", O.RDWR);
    assert.deepEqual([...m.read(zero, 3)], [0, 0, 0]);
    const full = m.open("/dev/full", O.RDWR);
    assert.equal(
      m.attempt(() => m.write(full, "x")),
      "ENOSPC",
    );
    assert.equal(m.readlink("/dev/fd"), "/proc/self/fd");
    clean(m);
  });
});

describe("image", () => {
  test("is read through the block index", () => {
    const m = new TestMachine({ image: bytes });
    assert.equal(m.readFile("/etc/passwd"), "root:x:0:0\n");
    assert.equal(m.readFile("/bin/sh"), "#!");
    assert.deepEqual(m.list("/").sort(), ["big", "bin", "dev", "etc", "many", "tmp", "usr"]);
    const f = m.open("/big");
    assert.deepEqual(m.read(f, 400_000), big);
    assert.equal(m.stat("/usr/bin/a").ino, m.stat("/usr/bin/b").ino);
    assert.equal(m.stat("/usr/bin/a").links, 2);
    assert.equal(m.list("/many", 1000).length, 500);
    clean(m);
  });

  test("changes stay in memory, with the same inode numbers", () => {
    const m = new TestMachine({ image: bytes });
    const before = m.stat("/etc/hosts");
    m.writeFile("/etc/hosts", "changed", O.WRONLY);
    assert.equal(m.readFile("/etc/hosts"), "changed.1 localhost\n");
    assert.equal(m.stat("/etc/hosts").ino, before.ino);
    m.unlink("/etc/passwd");
    assert.equal(
      m.attempt(() => m.readFile("/etc/passwd")),
      "ENOENT",
    );
    assert.deepEqual(m.list("/etc"), ["hosts"]);
    m.writeFile("/etc/passwd", "new");
    assert.deepEqual(m.list("/etc").sort(), ["hosts", "passwd"]);
    m.rename("/usr/bin", "/usr/sbin");
    assert.equal(
      m.attempt(() => m.stat("/bin/sh")),
      "ENOENT",
    );
    assert.equal(m.readFile("/usr/sbin/sh"), "#!");
    m.truncate("/big", 5000);
    assert.equal(m.stat("/big").size, 5000);
    m.truncate("/big", 9000);
    const f = m.open("/big");
    const expected = new Uint8Array(9000);
    expected.set(big.subarray(0, 5000));
    assert.deepEqual(m.read(f, 10_000), expected);
    clean(m);
  });
});
