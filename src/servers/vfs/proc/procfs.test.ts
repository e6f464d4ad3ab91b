import assert from "node:assert/strict";
import { test } from "node:test";
import { checkHeap, liveRecords } from "../../../heap/check.ts";
import { none } from "../../../heap/record.ts";
import { File } from "../../../kernel/file.ts";
import { O } from "../open-flags.ts";
import { registerPtsSource } from "../pts.ts";
import { TestMachine } from "../testing/test-machine.ts";
import { registerProcSource } from "./source.ts";

const processes = new Set([1, 7, 123]);
let open = new Map<number, File>();

registerProcSource({
  self: () => ({ pid: 7, tid: 7 }),
  nextProcess: (_tx, after) => [...processes].find((pid) => pid > after) ?? 0,
  isProcess: (_tx, pid) => processes.has(pid),
  serial: (_tx, pid) => (processes.has(pid) ? pid : 0),
  tasks: (_tx, pid) => (pid === 7 ? [7, 8] : [pid]),
  owner: (_tx, pid) => ({ uid: pid === 123 ? 1000 : 0, gid: 0 }),
  text: (_tx, pid, tid, name) => `${name} of ${pid}/${tid}\n`,
  place: () => undefined,
  descriptors: () => [...open.keys()],
  file: (_tx, pid, descriptor) => (pid === 7 ? (open.get(descriptor) ?? none()) : none()),
  mappings: () => [],
  describe: () => "pipe:[5]",
  machineText: (_tx, path) => `<${path}>`,
});
let generation = 1;
registerPtsSource({
  indexes: () => [0],
  terminal: (_tx, index) => (index === 0 ? { generation, uid: 5, gid: 5 } : undefined),
});

test("processes, their files and descriptors", () => {
  const m = new TestMachine({ mounts: ["proc", "dev", "pts"] });
  assert.equal(m.readFile("/proc/version"), "<version>");
  assert.equal(m.readFile("/proc/sys/kernel/pid_max"), "<sys/kernel/pid_max>");
  assert.equal(m.readlink("/proc/self"), "7");
  assert.equal(m.readFile("/proc/self/status"), "status of 7/0\n");
  assert.equal(m.readFile("/proc/thread-self/stat"), "stat of 7/7\n");
  assert.equal(
    m.attempt(() => m.stat("/proc/99")),
    "ENOENT",
  );
  assert.deepEqual([m.stat("/proc/123").uid, m.stat("/proc/1").uid], [1000, 0]);
  const names = m.list("/proc", 300);
  for (const name of ["1", "7", "123", "self", "sys", "meminfo"]) assert.ok(names.includes(name), name);
  assert.deepEqual(m.list("/proc/7/task"), ["7", "8"]);
  m.writeFile("/file", "text");
  open = new Map([[3, m.open("/file", O.RDWR)]]);
  assert.deepEqual(m.list("/proc/self/fd"), ["3"]);
  assert.equal(m.readlink("/dev/fd/3"), "/file");
  assert.equal(m.readFile("/dev/fd/3"), "text");
  m.unlink("/file");
  assert.equal(m.readlink("/proc/self/fd/3"), "/file (deleted)");
  assert.equal(m.readFile("/proc/self/fd/3"), "text");
  assert.match(m.readFile("/proc/mounts"), /^tmpfs \/ tmpfs rw,relatime 0 0\nproc \/proc proc rw,nosuid/);
  assert.match(m.readFile("/proc/self/mountinfo"), /0:5 \/ \/dev rw,nosuid,relatime - devtmpfs/);
  processes.delete(123);
  assert.equal(
    m.attempt(() => m.stat("/proc/123")),
    "ENOENT",
  );
  assert.equal(
    m.attempt(() => m.writeFile("/proc/new", "")),
    "ENOENT",
  );
  assert.equal(
    m.attempt(() => m.mkdir("/proc/new")),
    "EPERM",
  );
  m.close(open.get(3)!);
  assert.deepEqual([...liveRecords(m.tx, File.schema)], []);
  assert.deepEqual(checkHeap(m.tx), []);
});

test("terminals", () => {
  const m = new TestMachine({ mounts: ["dev", "pts"] });
  assert.deepEqual(m.list("/dev/pts"), ["ptmx", "0"]);
  assert.deepEqual([m.stat("/dev/pts/0").rdev, m.stat("/dev/pts/0").uid], [0x8800, 5]);
  m.chown("/dev/pts/0", 9, 9);
  assert.equal(m.stat("/dev/pts/0").uid, 9);
  generation = 2;
  assert.equal(m.stat("/dev/pts/0").uid, 5);
  assert.deepEqual(checkHeap(m.tx), []);
});
