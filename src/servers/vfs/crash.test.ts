/** The crash loop over every operation of the vfs server: a crash at each step, and the same result after. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { IO_STATE } from "../../base/host-io.ts";
import { liveRecords } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { completeNextIo, HostIo } from "../../kernel/block-io.ts";
import { dropFile, type File, kindOf } from "../../kernel/file.ts";
import { auth } from "../auth/auth.ts";
import { O } from "./open-flags.ts";
import { FILE_SYSTEM } from "./records.ts";
import { directory, file, imageOf, symlink } from "./testing/test-image.ts";
import { held, TestMachine } from "./testing/test-machine.ts";
import { vfs } from "./vfs.ts";

const image = await imageOf(
  directory({
    etc: directory({ passwd: file("root:x:0:0\n"), hosts: file("localhost\n".repeat(1000)) }),
    bin: symlink("usr/bin"),
    usr: directory({ bin: directory({ sh: file("#!", 0o4755) }) }),
    dir: directory({ sub: directory({ x: file("x") }), empty: directory({}) }),
    tmp: directory({}, 0o1777),
  }),
);

interface Case {
  readonly name: string;
  /** Before the loop: what the operation finds. */
  prepare?(m: TestMachine): void;
  operation(m: TestMachine, tx: Transaction): unknown;
}

let file1: File = none();

const at = (m: TestMachine, text: string) => [m.context, m.who, none<"file">(), 0, m.path(text)] as const;
const two = (m: TestMachine, to: string) => [none<"file">(), 1, m.path(to, 1)] as const;

const cases: readonly Case[] = [
  { name: "open", operation: (m, tx) => vfs.open(tx, ...at(m, "/bin/sh"), 0, 0, 0) },
  {
    name: "open, create",
    operation: (m, tx) => vfs.open(tx, ...at(m, "/tmp/new"), O.CREAT | O.RDWR, 0o600, 0),
  },
  {
    name: "open, create over a whiteout",
    prepare: (m) => m.unlink("/etc/passwd"),
    operation: (m, tx) => vfs.open(tx, ...at(m, "/etc/passwd"), O.CREAT | O.RDWR, 0o600, 0),
  },
  {
    name: "open, truncate",
    operation: (m, tx) => vfs.open(tx, ...at(m, "/etc/hosts"), O.TRUNC | O.WRONLY, 0, 0),
  },
  {
    name: "open without a name",
    operation: (m, tx) => vfs.open(tx, ...at(m, "/tmp"), O.TMPFILE | O.RDWR, 0o600, 0),
  },
  { name: "open, no such file", operation: (m, tx) => vfs.open(tx, ...at(m, "/etc/none"), 0, 0, 0) },
  {
    name: "close of the last reference to a removed file",
    prepare: (m) => {
      file1 = m.open("/tmp/f", O.CREAT | O.RDWR);
      m.write(file1, new Uint8Array(40_000).fill(1));
      m.unlink("/tmp/f");
    },
    operation: (_m, tx) => dropFile(tx, file1),
  },
  {
    name: "write, append",
    prepare: (m) => (file1 = m.open("/tmp/f", O.CREAT | O.RDWR | O.APPEND)),
    operation: (m, tx) => (m.user(9000), kindOf(tx, file1).write(tx, file1, 9000, -1, false)),
  },
  {
    name: "write over the image",
    prepare: (m) => (file1 = m.open("/etc/hosts", O.RDWR)),
    operation: (m, tx) => (m.user(300), kindOf(tx, file1).write(tx, file1, 300, 4000, false)),
  },
  {
    name: "read",
    prepare: (m) => (file1 = m.open("/etc/hosts", O.RDWR)),
    operation: (m, tx) => (m.user(300), kindOf(tx, file1).read(tx, file1, 300, -1, false)),
  },
  {
    name: "page for writing",
    prepare: (m) => (file1 = m.open("/etc/hosts", O.RDWR)),
    operation: (_m, tx) => {
      const frame = kindOf(tx, file1).page!(tx, file1, 1, true);
      // What a mapping would keep is given back, for the count of references.
      tx.afterCommit(2, frame);
    },
  },
  { name: "stat", operation: (m, tx) => (m.user(128), vfs.stat(tx, ...at(m, "/usr/bin/sh"), 0, 0)) },
  {
    name: "getdents",
    prepare: (m) => {
      m.writeFile("/etc/more", "");
      m.unlink("/etc/passwd");
      file1 = m.open("/etc", O.DIRECTORY);
    },
    operation: (m, tx) => (m.user(4096), vfs.getdents(tx, file1, 4096)),
  },
  { name: "mkdir", operation: (m, tx) => vfs.mkdir(tx, ...at(m, "/tmp/new"), 0o777) },
  { name: "mknod", operation: (m, tx) => vfs.mknod(tx, ...at(m, "/tmp/fifo"), 0o10644, 0) },
  { name: "symlink", operation: (m, tx) => vfs.symlink(tx, ...at(m, "/tmp/l"), 1, m.path("/target", 1)) },
  { name: "link", operation: (m, tx) => vfs.link(tx, ...at(m, "/etc/passwd"), ...two(m, "/etc/p2"), 0) },
  { name: "unlink, image", operation: (m, tx) => vfs.unlink(tx, ...at(m, "/etc/passwd"), 0) },
  {
    name: "unlink, memory",
    prepare: (m) => m.writeFile("/tmp/f", "12345"),
    operation: (m, tx) => vfs.unlink(tx, ...at(m, "/tmp/f"), 0),
  },
  { name: "rmdir, image", operation: (m, tx) => vfs.unlink(tx, ...at(m, "/dir/empty"), 0x200) },
  {
    name: "rmdir with whiteouts",
    prepare: (m) => m.unlink("/dir/sub/x"),
    operation: (m, tx) => vfs.unlink(tx, ...at(m, "/dir/sub"), 0x200),
  },
  { name: "rename", operation: (m, tx) => vfs.rename(tx, ...at(m, "/etc/passwd"), ...two(m, "/tmp/p"), 0) },
  {
    name: "rename of a directory",
    operation: (m, tx) => vfs.rename(tx, ...at(m, "/dir"), ...two(m, "/tmp/d"), 0),
  },
  {
    name: "rename over a file",
    operation: (m, tx) => vfs.rename(tx, ...at(m, "/etc/passwd"), ...two(m, "/etc/hosts"), 0),
  },
  { name: "exchange", operation: (m, tx) => vfs.rename(tx, ...at(m, "/etc/passwd"), ...two(m, "/dir"), 2) },
  { name: "truncate, shorter", operation: (m, tx) => vfs.truncate(tx, ...at(m, "/etc/hosts"), 5, 2 ** 53) },
  {
    name: "truncate, longer",
    operation: (m, tx) => vfs.truncate(tx, ...at(m, "/etc/passwd"), 5000, 2 ** 53),
  },
  {
    name: "fallocate, punch",
    prepare: (m) => (file1 = m.open("/etc/hosts", O.RDWR)),
    operation: (_m, tx) => vfs.fallocate(tx, file1, 3, 100, 5000),
  },
  { name: "chmod", operation: (m, tx) => vfs.chmod(tx, ...at(m, "/etc/passwd"), 0o600, 0) },
  { name: "chown", operation: (m, tx) => vfs.chown(tx, ...at(m, "/usr/bin/sh"), 5, 6, 0) },
  { name: "times", operation: (m, tx) => vfs.setTimes(tx, ...at(m, "/etc/passwd"), 1, 2, 3, 4, 0) },
  { name: "access", operation: (m, tx) => vfs.access(tx, ...at(m, "/etc/passwd"), 4, 0) },
  { name: "readlink", operation: (m, tx) => (m.user(100), vfs.readlink(tx, ...at(m, "/bin"), 100)) },
  { name: "chdir", operation: (m, tx) => vfs.chdir(tx, ...at(m, "/bin")) },
  { name: "context", operation: (m, tx) => vfs.dropContext(tx, vfs.copyContext(tx, m.context)) },
  { name: "mount", operation: (m, tx) => vfs.mount(tx, ...at(m, "/tmp"), FILE_SYSTEM.MEMORY, 0, 0) },
  {
    name: "umount",
    prepare: (m) => m.run((tx) => vfs.mount(tx, ...at(m, "/tmp"), FILE_SYSTEM.MEMORY, 0, 0)),
    operation: (m, tx) => vfs.umount(tx, ...at(m, "/tmp"), 0),
  },
  {
    name: "flock and close",
    prepare: (m) => {
      file1 = m.open("/etc/hosts", O.RDWR);
      m.run((tx) => vfs.flock(tx, file1, 2));
    },
    operation: (_m, tx) => dropFile(tx, file1),
  },
  {
    name: "record lock",
    prepare: (m) => {
      file1 = m.open("/etc/hosts", O.RDWR);
      m.run((tx) => vfs.setRecordLock(tx, file1, 7, 7, 1, 0, 100, 0));
    },
    operation: (_m, tx) => vfs.setRecordLock(tx, file1, 7, 7, 2, 10, 20, 0),
  },
  {
    name: "setxattr",
    operation: (m, tx) => (
      m.user(10), vfs.setxattr(tx, ...at(m, "/etc/passwd"), 1, m.path("user.x", 1), 10, 0, 0)
    ),
  },
  {
    name: "reclaim",
    prepare: (m) => void m.readFile("/etc/hosts"),
    operation: (_m, tx) => vfs.reclaim(tx, 4),
  },
  {
    name: "setuid",
    operation: (m, tx) => {
      const user = auth.setuid(tx, m.who, 1000);
      auth.drop(tx, user);
    },
  },
  { name: "credentials held", operation: (m, tx) => held(tx, (auth.hold(tx, m.who), m.who)) },
];

describe("every crash point leaves all or nothing", () => {
  let points = 0;
  for (const each of cases) {
    test(each.name, () => {
      const m = new TestMachine({ image, heapBytes: 4 << 20 });
      // What the image says is brought in first, so that the operation runs through without waiting.
      for (const path of ["/etc/passwd", "/etc/hosts", "/bin/sh", "/dir/sub/x"]) m.readFile(path);
      for (const path of ["/etc", "/dir/empty", "/tmp", "/"]) m.list(path);
      file1 = none();
      each.prepare?.(m);
      const report = crashLoop({ tx: m.tx, operation: (tx) => each.operation(m, tx) });
      points += report.points;
      assert.ok(report.points > 0);
    });
  }
  test("there were many", () => assert.ok(points > 1000, `${points} points`));
});

/** A machine that has had all blocks of its image and given them back. */
function emptied(): TestMachine {
  const m = new TestMachine({ image, heapBytes: 4 << 20 });
  m.readFile("/etc/hosts");
  m.run((tx) => vfs.reclaim(tx, 128));
  return m;
}

describe("every crash point of I/O", () => {
  test("asking for a block", () => {
    const m = emptied();
    const report = crashLoop({
      tx: m.tx,
      operation: (tx) => vfs.open(tx, ...at(m, "/dir/sub/x"), 0, 0, 0),
      observe: (tx) => [...liveRecords(tx, HostIo.schema)].length,
    });
    assert.deepEqual(report.outcome, { threw: '{"wouldBlock":true}' });
    assert.ok(report.points > 20, `${report.points} points`);
  });

  for (const state of [IO_STATE.DONE, IO_STATE.FAILED]) {
    test(`its arrival, state ${state}`, () => {
      const m = emptied();
      assert.throws(() => vfs.open(m.tx, ...at(m, "/dir/sub/x"), 0, 0, 0));
      const [io] = liveRecords(m.tx, HostIo.schema);
      m.tx.words[HostIo.state.at(io!)] = state;
      const report = crashLoop({ tx: m.tx, operation: (tx) => completeNextIo(tx) });
      assert.deepEqual(report.outcome, { value: true });
    });
  }
});
