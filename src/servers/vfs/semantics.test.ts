/** What Linux does in the corners: permissions, links, limits, failures. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkHeap } from "../../heap/check.ts";
import { none } from "../../heap/record.ts";
import { dropFile, type File, kindOf } from "../../kernel/file.ts";
import { dropFrame, frameUsage } from "../../kernel/memory/frames.ts";
import { WOULD_BLOCK } from "../../kernel/request.ts";
import { auth } from "../auth/auth.ts";
import { FILE_SYSTEM } from "./records.ts";
import { O, O_EXEC_DENY } from "./open-flags.ts";
import { directory, file, imageOf, symlink } from "./testing/test-image.ts";
import { TestMachine } from "./testing/test-machine.ts";
import { vfs } from "./vfs.ts";

const names = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`f${i}`, file(`${i}`)]));
const image = await imageOf(
  directory({
    tmp: directory({}, 0o1777),
    bin: directory({ su: file("su", 0o4755), sh: file("sh", 0o755) }),
    secret: directory({ f: file("secret") }, 0o700),
    link: symlink("/bin/sh"),
    loop: symlink("loop"),
    big: file(new Uint8Array(1_000_000).fill(9)),
    names: directory(names),
    mnt: directory({}),
  }),
);

const fails = (m: TestMachine, work: () => unknown, name: string): void =>
  assert.equal(m.attempt(work), name, work.toString());

describe("paths", () => {
  test("links, loops, dots and lengths", () => {
    const m = new TestMachine({ image });
    assert.equal(m.readFile("/link"), "sh");
    fails(m, () => m.stat("/loop"), "ELOOP");
    assert.equal(m.stat("/loop", 0x100).mode, 0o120777);
    fails(m, () => m.open("/link", O.NOFOLLOW), "ELOOP");
    fails(m, () => m.stat("/bin/sh/"), "ENOTDIR");
    fails(m, () => m.stat("/bin/sh/x"), "ENOTDIR");
    fails(m, () => m.stat(`/${"x".repeat(256)}`), "ENAMETOOLONG");
    fails(m, () => m.stat(`/${"x/".repeat(2100)}`), "ENAMETOOLONG");
    fails(m, () => m.stat(""), "ENOENT");
    assert.equal(m.stat("/../bin/./../bin//").mode, 0o40755);
    m.symlink("/tmp/target", "/tmp/dangling");
    m.writeFile("/tmp/dangling", "through");
    assert.equal(m.readFile("/tmp/target"), "through");
    fails(m, () => m.open("/tmp/dangling", O.CREAT | O.EXCL), "EEXIST");
    fails(m, () => m.mkdir("/tmp/dangling"), "EEXIST");
    fails(m, () => m.mkdir("/"), "EEXIST");
    fails(m, () => m.rmdir("/tmp/."), "EINVAL");
    fails(m, () => m.rmdir("/tmp/.."), "ENOTEMPTY");
    fails(m, () => m.rmdir("/"), "EBUSY");
    fails(m, () => m.unlink("/tmp"), "EISDIR");
    fails(m, () => m.open("/tmp", O.RDWR), "EISDIR");
    fails(m, () => m.open("/tmp/new/", O.CREAT), "EISDIR");
    m.chdir("/bin");
    assert.equal(m.getcwd(), "/bin");
    assert.equal(m.readFile("sh"), "sh");
    m.rename("/bin", "/tmp/moved");
    assert.equal(m.getcwd(), "/tmp/moved");
    fails(m, () => m.rename("/tmp", "/tmp/moved/x"), "EINVAL");
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("RESOLVE_BENEATH and RESOLVE_IN_ROOT stay inside", () => {
    const m = new TestMachine({ image });
    const base = m.open("/tmp", O.DIRECTORY);
    m.symlink("/etc", "/tmp/out");
    m.writeFile("/tmp/in", "in");
    const from = (path: string, resolve: number): unknown =>
      m.attempt(
        () => m.run((tx) => vfs.open(tx, m.context, m.who, base, 0, m.path(path), 0, 0, resolve)) > 0,
      );
    assert.equal(from("in", 8), true);
    assert.equal(from("../tmp/in", 8), "EXDEV");
    assert.equal(from("out", 8), "EXDEV");
    assert.equal(from("../in", 16), true);
    assert.equal(from("out", 16), "ENOENT");
    assert.equal(from("out", 4), "ELOOP");
  });

  test("mounts are crossed both ways", () => {
    const m = new TestMachine({ image });
    m.run((tx) => vfs.mount(tx, m.context, m.who, none(), 0, m.path("/mnt"), FILE_SYSTEM.MEMORY, 0, 0));
    m.writeFile("/mnt/x", "inside");
    assert.equal(m.readFile("/mnt/../mnt/x"), "inside");
    fails(m, () => m.rename("/mnt/x", "/tmp/x"), "EXDEV");
    fails(m, () => m.rmdir("/mnt"), "EBUSY");
    const unmount = (): void => m.run((tx) => vfs.umount(tx, m.context, m.who, none(), 0, m.path("/mnt"), 0));
    const opened = m.open("/mnt/x");
    fails(m, unmount, "EBUSY");
    m.close(opened);
    m.run((tx) => {
      const length = m.path("/bin", 1);
      vfs.mount(tx, m.context, m.who, none(), 0, m.path("/tmp"), 0, length, 4096);
    });
    assert.equal(m.readFile("/tmp/sh"), "sh");
    unmount();
    fails(m, () => m.stat("/mnt/x"), "ENOENT");
    assert.deepEqual(checkHeap(m.tx), []);
  });
});

describe("permissions", () => {
  test("owner, group, other; sticky directories; set-uid", () => {
    const m = new TestMachine({ image });
    m.writeFile("/tmp/roots", "r");
    m.who = m.user1000();
    fails(m, () => m.readFile("/secret/f"), "EACCES");
    fails(m, () => m.writeFile("/bin/sh", "x"), "EACCES");
    fails(m, () => m.unlink("/bin/sh"), "EACCES");
    fails(m, () => m.unlink("/tmp/roots"), "EPERM");
    fails(m, () => m.rename("/tmp/roots", "/tmp/mine"), "EPERM");
    m.writeFile("/tmp/mine", "m");
    assert.equal(m.stat("/tmp/mine").uid, 1000);
    fails(m, () => m.chown("/tmp/mine", 0, -1), "EPERM");
    m.chown("/tmp/mine", -1, 1000);
    m.chmod("/tmp/mine", 0o6755);
    assert.equal(m.stat("/tmp/mine").mode, 0o106755);
    m.writeFile("/tmp/mine", "n", O.WRONLY);
    assert.equal(m.stat("/tmp/mine").mode, 0o100755);
    fails(m, () => m.chmod("/bin/sh", 0o777), "EPERM");
    fails(m, () => m.access("/bin/sh", 2), "EACCES");
    m.access("/bin/sh", 5);
    fails(m, () => m.mknod("/tmp/null", 0o20666, 0x103), "EPERM");
    m.mknod("/tmp/fifo", 0o10666);
    m.unlink("/tmp/mine");
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("a read-only root is EROFS, after permissions", () => {
    const m = new TestMachine({ image, readOnly: true });
    fails(m, () => m.writeFile("/tmp/x", ""), "EROFS");
    fails(m, () => m.unlink("/bin/sh"), "EROFS");
    fails(m, () => m.chmod("/bin/sh", 0o700), "EROFS");
    fails(m, () => m.mkdir("/bin/sh"), "EEXIST");
  });

  test("identity: capabilities follow, and come back by set-uid execution", () => {
    const m = new TestMachine({ image });
    const user = m.user1000();
    assert.equal(
      m.run((tx) => auth.isCapable(tx, user, 1)),
      0,
    );
    fails(m, () => m.run((tx) => auth.setuid(tx, user, 0)), "EPERM");
    const raised = (tx: typeof m.tx) => auth.afterExec(tx, user, 0, 0, 0o104755, 1);
    m.run(() => {
      const made = raised(m.tx);
      assert.equal(auth.isCapable(m.tx, made, 1), 1);
      assert.equal(auth.isSecure(m.tx, made), 1);
      auth.drop(m.tx, made);
    });
  });
});

describe("open files", () => {
  test("a program that runs cannot be written to, and the other way round", () => {
    const m = new TestMachine({ image });
    const running = m.open("/bin/sh", O_EXEC_DENY);
    fails(m, () => m.open("/bin/sh", O.WRONLY), "ETXTBSY");
    fails(m, () => m.truncate("/bin/sh", 0), "ETXTBSY");
    m.close(running);
    const writing = m.open("/bin/sh", O.WRONLY);
    fails(m, () => m.open("/bin/sh", O_EXEC_DENY), "ETXTBSY");
    m.close(writing);
    m.close(m.open("/bin/sh", O_EXEC_DENY));
    fails(m, () => m.open("/bin", O_EXEC_DENY), "EACCES");
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("holes, seeking, appending, sizes", () => {
    const m = new TestMachine();
    const f = m.open("/f", O.CREAT | O.RDWR);
    m.write(f, "end", 100_000);
    assert.equal(m.statFile(f).size, 100_003);
    assert.equal(m.statFile(f).blocks, 8);
    assert.deepEqual([...m.read(f, 3, 50_000)], [0, 0, 0]);
    assert.equal(m.seek(f, 0, 3), 98_304);
    assert.equal(m.seek(f, 98_304, 4), 100_003);
    fails(m, () => m.seek(f, 100_003, 3), "ENXIO");
    assert.equal(m.seek(f, -3, 2), 100_000);
    fails(m, () => m.seek(f, -1, 0), "EINVAL");
    m.truncate("/f", 1);
    m.truncate("/f", 5000);
    assert.deepEqual([...m.read(f, 3, 0)], [0, 0, 0]);
    const limited = (): number =>
      m.run((tx) => {
        m.user(100);
        return vfs.writeLimited(tx, f, 100, 5000, 5050);
      });
    assert.equal(limited(), 50);
    fails(m, () => m.run((tx) => vfs.writeLimited(tx, f, 1, 5050, 5050)), "EFBIG");
    m.close(f);
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("a file larger than one transaction may cut goes by truncation, by O_TRUNC and by unlink", () => {
    const m = new TestMachine();
    const free = frameUsage(m.tx).free;
    const bytes = new Uint8Array(1_000_000).fill(3);
    m.writeFile("/a", bytes);
    m.truncate("/a", 10);
    assert.equal(m.readFile("/a").length, 10);
    m.writeFile("/a", bytes);
    m.writeFile("/a", "short");
    assert.equal(m.readFile("/a"), "short");
    m.writeFile("/b", bytes);
    m.unlink("/b");
    m.unlink("/a");
    assert.ok(frameUsage(m.tx).free > free - 200);
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("a file that begins with a large hole has a sound index, and goes", () => {
    const m = new TestMachine();
    const free = frameUsage(m.tx).free;
    // One page behind what a node, two and three levels of nodes hold.
    for (const [name, page] of [
      ["/a", 64],
      ["/b", 64 ** 2],
      ["/c", 64 ** 3 + 1],
    ] as const) {
      const f = m.open(name, O.CREAT | O.RDWR);
      m.write(f, "end", page * 4096);
      assert.deepEqual(checkHeap(m.tx), []);
      m.unlink(name);
      m.close(f);
      assert.deepEqual(checkHeap(m.tx), []);
    }
    assert.ok(frameUsage(m.tx).free > free - 200);
  });

  test("a removed file lives as long as it is open", () => {
    const m = new TestMachine({ image });
    const f = m.open("/bin/sh", O.RDWR);
    m.unlink("/bin/sh");
    assert.equal(m.statFile(f).links, 0);
    m.write(f, "xx");
    assert.deepEqual([...m.read(f, 2, 0)], [0x78, 0x78]);
    m.close(f);
    assert.deepEqual(m.list("/bin"), ["su"]);
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("a directory with many names that are only hidden is removed", () => {
    const m = new TestMachine({ image });
    for (const name of m.list("/names")) m.unlink(`/names/${name}`);
    m.writeFile("/names/new", "");
    fails(m, () => m.rmdir("/names"), "ENOTEMPTY");
    m.unlink("/names/new");
    m.rmdir("/names");
    fails(m, () => m.stat("/names"), "ENOENT");
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("listing goes on where it was while names come and go", () => {
    const m = new TestMachine({ image });
    const f = m.open("/names", O.DIRECTORY);
    const seen = m.listSome(f, 1000);
    const gone = seen.at(-1)!;
    m.unlink(`/names/${gone}`);
    m.writeFile("/names/added", "");
    for (;;) {
      const part = m.listSome(f, 1000);
      if (part.length === 0) break;
      seen.push(...part);
    }
    assert.equal(new Set(seen).size, seen.length);
    assert.equal(seen.length, 200 + 2 + 1);
    assert.ok(seen.includes("added"));
    fails(m, () => m.listSome((m.seek(f, 0, 0), f), 10), "EINVAL");
  });

  test("flock and record locks", () => {
    const m = new TestMachine();
    const a = m.open("/f", O.CREAT | O.RDWR);
    const b = m.open("/f", O.RDWR);
    const flock = (file: File, operation: number): void => m.run((tx) => vfs.flock(tx, file, operation));
    flock(a, 1);
    flock(b, 1);
    fails(m, () => flock(a, 2 | 4), "EAGAIN");
    flock(b, 8);
    flock(a, 2);
    assert.throws(
      () => vfs.flock(m.tx, b, 2),
      (error) => error === WOULD_BLOCK,
    );
    m.tx.rollback();
    m.close(a);
    flock(b, 2);
    const record = (owner: number, type: number, start: number, length: number): void => {
      m.run((tx) => vfs.setRecordLock(tx, b, owner, owner, type, start, length, 0));
    };
    record(1, 1, 0, 100);
    fails(m, () => record(2, 0, 50, 10), "EAGAIN");
    record(1, 2, 50, 10);
    record(2, 0, 50, 10);
    assert.equal(m.run((tx) => vfs.testRecordLock(tx, b, 2, 0, 60, 1)) > 0, true);
    m.run((tx) => vfs.dropRecordLocks(tx, b, 1));
    m.run((tx) => vfs.dropRecordLocks(tx, b, 2));
    m.close(b);
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("extended attributes", () => {
    const m = new TestMachine({ image });
    const at = (path: string) => [m.context, m.who, none<"file">(), 0, m.path(path)] as const;
    const set = (name: string, length: number): void =>
      m.run((tx) => {
        m.user(length);
        vfs.setxattr(tx, ...at("/bin/sh"), 1, m.path(name, 1), length, 0, 0);
      });
    set("user.a", 5);
    set("user.a", 300);
    set("user.b", 0);
    const get = (name: string): number =>
      m.run((tx) => vfs.getxattr(tx, ...at("/bin/sh"), 1, m.path(name, 1), 0, 0));
    assert.equal(get("user.a"), 300);
    fails(m, () => get("user.c"), "ENODATA");
    fails(m, () => get("other.c"), "EOPNOTSUPP");
    assert.equal(
      m.run((tx) => vfs.listxattr(tx, ...at("/bin/sh"), 0, 0)),
      14,
    );
    m.unlink("/bin/sh");
    assert.deepEqual(checkHeap(m.tx), []);
  });
});

describe("failures", () => {
  test("a block that cannot be read is EIO, its neighbours are not", () => {
    const plain = new TestMachine({ image });
    const f = plain.open("/big");
    plain.read(f, 1);
    // The file's blocks are the last ones that were asked for: find the block of page 3 by trying.
    const blocks = image.length / 4096;
    const first = blocks - Math.ceil(1_000_000 / 4096) - 205;
    let found = -1;
    for (let block = Math.max(0, first); block < blocks && found < 0; block++) {
      if (image[block * 4096] === 9) found = block;
    }
    const m = new TestMachine({ image, badBlocks: new Set([found + 3]) });
    const opened = m.open("/big");
    assert.equal(m.read(opened, 4096, 0).length, 4096);
    fails(m, () => m.read(opened, 10, 3 * 4096), "EIO");
    assert.equal(m.read(opened, 10, 4 * 4096)[0], 9);
    fails(m, () => m.read(opened, 10, 3 * 4096), "EIO");
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("when frames run out, clean pages go, and then writes end short or with ENOMEM", () => {
    const m = new TestMachine({ image });
    assert.equal(m.readFile("/big").length, 1_000_000);
    const f = m.open("/tmp/f", O.CREAT | O.RDWR);
    const bytes = new Uint8Array(65536);
    let outcome: unknown;
    for (let i = 0; i < 1000; i++) {
      outcome = m.attempt(() => m.write(f, bytes));
      if (typeof outcome === "string") break;
    }
    assert.equal(outcome, "ENOMEM");
    assert.equal(
      m.run((tx) => vfs.reclaim(tx, 64)),
      0,
    );
    m.truncate("/tmp/f", 0);
    assert.equal(m.readFile("/big").length, 1_000_000);
    m.close(f);
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("a full heap is ENOMEM or ENOSPC, and everything else goes on", () => {
    const m = new TestMachine({ image, heapBytes: 3 << 20 });
    let made = 0;
    for (; made < 50_000; made++) {
      const outcome = m.attempt(() => m.writeFile(`/tmp/${made}`, ""));
      if (outcome === undefined) continue;
      assert.ok(outcome === "ENOMEM" || outcome === "ENOSPC", outcome);
      break;
    }
    assert.ok(made > 100 && made < 50_000, `${made} files`);
    assert.deepEqual(checkHeap(m.tx), []);
    for (let i = 0; i < made; i++) m.unlink(`/tmp/${i}`);
    m.writeFile("/tmp/again", "x");
    assert.deepEqual(checkHeap(m.tx), []);
  });
});

describe("mapped pages", () => {
  test("a page that is mapped stays where it is; another goes to a fresh frame", () => {
    const m = new TestMachine();
    const f = m.open("/f", O.CREAT | O.RDWR);
    m.write(f, "first");
    const page = (write: boolean): number => m.run((tx) => kindOf(tx, f).page!(tx, f, 0, write));
    const before = page(true);
    m.run((tx) => dropFrame(tx, before));
    m.write(f, "FIRST", 0);
    const fresh = page(true);
    assert.notEqual(fresh, before);
    m.write(f, "third", 0);
    assert.equal(m.tx.memoryBytes[fresh * 4096], 0x74);
    assert.equal(
      m.run((tx) => kindOf(tx, f).page!(tx, f, 1, false)),
      0,
    );
    m.run((tx) => dropFrame(tx, fresh));
    m.run((tx) => dropFile(tx, f));
    assert.deepEqual(checkHeap(m.tx), []);
  });
});
