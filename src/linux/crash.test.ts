/**
 * Every crash point of the system calls on files, memory and programs: each scenario is run again and again,
 * with an exception before its first step, its second, and so on. After each crash the request is rolled back,
 * the heap checked, and the call made again from where the task's registers say that it is; it must end as it
 * does without a crash.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkHeap } from "../heap/check.ts";
import { Crash } from "../heap/crash-loop.ts";
import { AT_FDCWD, O } from "./abi-file.ts";
import { BLOCKS, LinuxMachine, USER } from "./testing/linux-machine.ts";

interface Scenario {
  readonly name: string;
  /** What happens before the call that crashes. */
  readonly before?: (machine: LinuxMachine) => void;
  readonly call: (machine: LinuxMachine) => [name: string, ...args: (number | string)[]];
  /** What a program can see afterwards. */
  readonly observe?: (machine: LinuxMachine) => unknown;
}

const file = (machine: LinuxMachine, text = "0123456789"): void => {
  machine.call("openat", AT_FDCWD, "/tmp/file", O.CREAT | O.RDWR, 0o644);
  machine.call("write", 0, text, text.length);
  machine.call("lseek", 0, 2, 0);
};
const pipe = (machine: LinuxMachine): void => void machine.call("pipe2", USER, 0);
const contents = (machine: LinuxMachine, fd = 0): unknown => [
  machine.attempt("lseek", fd, 0, 1),
  machine.attempt("pread64", fd, USER + 0x1000, 64, 0),
  machine.text(USER + 0x1000, 64),
];
const list = (machine: LinuxMachine): unknown => {
  const fd = machine.call("openat", AT_FDCWD, "/tmp", O.DIRECTORY, 0) as number;
  const bytes = machine.call("getdents64", fd, USER, 4096) as number;
  return machine.text(USER, bytes).replaceAll(/[^ -~]+/g, " ");
};
/** A program of one segment that holds its own header. */
function program(): Uint8Array {
  const bytes = new Uint8Array(200);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 243, true);
  view.setUint32(24, 0x1_0078, true);
  view.setUint32(32, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  view.setUint32(68, 7, true);
  view.setUint32(80, 0x1_0000, true);
  view.setUint32(96, 200, true);
  view.setUint32(104, 9000, true);
  return bytes;
}
const install = (machine: LinuxMachine): void => {
  machine.call("openat", AT_FDCWD, "/tmp/program", O.CREAT | O.WRONLY, 0o755);
  machine.call("write", 0, machine.put(program()), 200);
  machine.call("close", 0);
};

const scenarios: readonly Scenario[] = [
  {
    name: "openat, new",
    call: () => ["openat", AT_FDCWD, "/tmp/new", O.CREAT | O.RDWR, 0o600],
    observe: list,
  },
  {
    name: "openat, truncating",
    before: file,
    call: () => ["openat", AT_FDCWD, "/tmp/file", O.TRUNC | O.RDWR, 0],
    observe: contents,
  },
  { name: "openat, missing", call: () => ["openat", AT_FDCWD, "/tmp/none", 0, 0] },
  { name: "openat2", before: file, call: (m) => ["openat2", AT_FDCWD, "/tmp/file", m.words(0, 0, 0), 24] },
  { name: "openat, terminal", call: () => ["openat", AT_FDCWD, "/dev/ptmx", O.RDWR | O.NOCTTY, 0] },
  {
    name: "openat, fifo",
    before: (m) => void m.call("mknodat", AT_FDCWD, "/tmp/fifo", 0o010600, 0),
    call: () => ["openat", AT_FDCWD, "/tmp/fifo", O.NONBLOCK, 0],
  },
  { name: "close, file", before: file, call: () => ["close", 0] },
  {
    name: "close, pipe",
    before: pipe,
    call: () => ["close", 0],
    observe: (m) => m.attempt("write", 1, "x", 1),
  },
  { name: "close, bad", call: () => ["close", 7] },
  { name: "dup", before: file, call: () => ["dup", 0] },
  {
    name: "dup3 over a pipe",
    before: (m) => (file(m), pipe(m)),
    call: () => ["dup3", 0, 1, 0],
    observe: contents,
  },
  { name: "fcntl, flags", before: file, call: () => ["fcntl", 0, 4, O.APPEND] },
  { name: "fcntl, duplicate", before: file, call: () => ["fcntl", 0, 1030, 70] },
  { name: "flock", before: file, call: () => ["flock", 0, 2] },
  { name: "close_range", before: (m) => (file(m), pipe(m), pipe(m)), call: () => ["close_range", 0, 3, 0] },
  { name: "pipe2", call: () => ["pipe2", USER, O.CLOEXEC], observe: (m) => [...m.peek(USER, 8)] },
  { name: "read", before: file, call: () => ["read", 0, USER, 5], observe: contents },
  { name: "write", before: file, call: () => ["write", 0, "abc", 3], observe: contents },
  { name: "write, three steps", before: file, call: () => ["write", 0, USER, 140_000], observe: contents },
  {
    name: "read, three steps",
    before: (m) => (file(m), void m.call("ftruncate", 0, 200_000)),
    call: () => ["read", 0, USER, 140_000],
  },
  {
    name: "write, pipe",
    before: pipe,
    call: () => ["write", 1, "abc", 3],
    observe: (m) => m.attempt("read", 0, USER, 9),
  },
  { name: "write, full pipe", before: pipe, call: () => ["write", 1, USER, 100_000] },
  {
    name: "write, EPIPE",
    before: (m) => (pipe(m), void m.call("close", 0)),
    call: () => ["write", 1, "x", 1],
  },
  {
    name: "writev",
    before: file,
    call: (m) => ["writev", 0, m.words(m.put("ab"), 2, m.put("cd"), 2), 2],
    observe: contents,
  },
  { name: "pwrite64", before: file, call: () => ["pwrite64", 0, "abc", 3, 8], observe: contents },
  {
    name: "sendfile",
    before: (m) => (file(m), pipe(m)),
    call: () => ["sendfile", 2, 0, 0, 100],
    observe: (m) => [contents(m), m.attempt("read", 1, USER, 99)],
  },
  {
    name: "copy_file_range",
    before: (m) => (file(m), void m.call("openat", AT_FDCWD, "/tmp/b", O.CREAT | O.RDWR, 0o600)),
    call: (m) => ["copy_file_range", 0, m.words(1), 1, 0, 100, 0],
    observe: (m) => contents(m, 1),
  },
  { name: "lseek", before: file, call: () => ["lseek", 0, -1, 2] },
  { name: "ftruncate", before: file, call: () => ["ftruncate", 0, 3], observe: contents },
  { name: "fallocate", before: file, call: () => ["fallocate", 0, 0, 0, 20_000], observe: contents },
  { name: "mkdirat", call: () => ["mkdirat", AT_FDCWD, "/tmp/dir", 0o755], observe: list },
  { name: "mknodat", call: () => ["mknodat", AT_FDCWD, "/tmp/node", 0o010600, 0], observe: list },
  { name: "unlinkat", before: file, call: () => ["unlinkat", AT_FDCWD, "/tmp/file", 0], observe: list },
  {
    name: "linkat",
    before: file,
    call: () => ["linkat", AT_FDCWD, "/tmp/file", AT_FDCWD, "/tmp/b", 0],
    observe: list,
  },
  { name: "symlinkat", call: () => ["symlinkat", "target", AT_FDCWD, "/tmp/link"], observe: list },
  {
    name: "renameat2",
    before: file,
    call: () => ["renameat2", AT_FDCWD, "/tmp/file", AT_FDCWD, "/tmp/b", 0],
    observe: list,
  },
  { name: "fchmodat", before: file, call: () => ["fchmodat", AT_FDCWD, "/tmp/file", 0o700] },
  { name: "fchownat", before: file, call: () => ["fchownat", AT_FDCWD, "/tmp/file", 5, 6, 0] },
  {
    name: "utimensat",
    before: file,
    call: (m) => ["utimensat", AT_FDCWD, "/tmp/file", m.words(1, 2, 3, 4), 0],
  },
  { name: "newfstatat", before: file, call: () => ["newfstatat", AT_FDCWD, "/tmp/file", USER, 0] },
  { name: "statx", before: file, call: () => ["statx", AT_FDCWD, "/tmp/file", 0, 0xfff, USER] },
  { name: "statfs", call: () => ["statfs", "/tmp", USER] },
  {
    name: "getdents64",
    before: (m) => void m.call("openat", AT_FDCWD, "/dev", O.DIRECTORY, 0),
    call: () => ["getdents64", 0, USER, 4096],
  },
  {
    name: "chdir",
    call: () => ["chdir", "/tmp"],
    observe: (m) => [m.attempt("getcwd", USER, 99), m.text(USER, 4)],
  },
  { name: "getcwd", call: () => ["getcwd", USER, 99] },
  { name: "umask", call: () => ["umask", 0o77], observe: (m) => m.attempt("umask", 0) },
  {
    name: "ppoll",
    before: pipe,
    call: (m) => ["ppoll", m.put(Uint8Array.from([1, 0, 0, 0, 4, 0, 0, 0])), 1, m.words(0, 0), 0, 0],
  },
  {
    name: "ppoll, with a mask",
    before: pipe,
    call: (m) => ["ppoll", m.put(Uint8Array.from([1, 0, 0, 0, 4, 0, 0, 0])), 1, 0, m.words(6), 8],
  },
  {
    name: "ioctl, terminal",
    before: (m) => void m.call("openat", AT_FDCWD, "/dev/ptmx", O.RDWR | O.NOCTTY, 0),
    call: (m) => ["ioctl", 0, 0x5414, m.words(80)],
  },
  { name: "mmap", before: file, call: () => ["mmap", 0, 8192, 3, 2, 0, 0] },
  { name: "mmap, fixed over another", call: () => ["mmap", USER + 0x3000, 8192, 3, 0x32, -1, 0] },
  { name: "munmap", call: () => ["munmap", USER + 0x3000, 8192] },
  { name: "mprotect", call: () => ["mprotect", USER + 0x3000, 8192, 1] },
  { name: "mremap", call: () => ["mremap", USER + 0xf_0000, 8192, 0x2_0000, 1, 0] },
  { name: "brk", before: (m) => void m.call("brk", 0x2000_5000), call: () => ["brk", 0x2000_1000] },
  { name: "madvise", call: () => ["madvise", USER, 0x4000, 4] },
  { name: "mount", call: () => ["mount", "none", "/tmp", "tmpfs", 0, 0], observe: list },
  { name: "getxattr", before: file, call: () => ["getxattr", "/tmp/file", "user.x", USER, 10] },
  { name: "sethostname", call: () => ["sethostname", "stump", 5] },
  { name: "execve, missing", call: (m) => ["execve", "/tmp/none", m.words(0), 0] },
  {
    name: "execve, no program",
    before: (m) => (file(m), m.call("fchmod", 0, 0o755), void m.call("close", 0)),
    call: () => ["execve", "/tmp/file", 0, 0],
  },
  {
    name: "execve",
    before: (m) => (install(m), void m.call("pipe2", USER, O.CLOEXEC)),
    call: (m) => ["execve", "/tmp/program", m.words(m.put("a"), 0), m.words(m.put("B=c"), 0)],
    observe: (m) => [m.attempt("brk", 0), m.attempt("fcntl", 0, 1)],
  },
];

/** Crash points that are tried in one scenario at most: beyond, every n-th. Long ones repeat their steps. */
const POINTS_MAX = 400;

function run(scenario: Scenario): number {
  const machine = new LinuxMachine();
  const { tx } = machine;
  scenario.before?.(machine);
  const number = machine.prepare(...scenario.call(machine));
  const initial = { heap: tx.words.slice(), memory: tx.memory.slice() };
  const restore = (): void => {
    tx.words.set(initial.heap);
    tx.memory.set(initial.memory);
  };
  const seen = (result: unknown): string => {
    const shown = result === BLOCKS ? BLOCKS : machine.result;
    if (result === BLOCKS) machine.forget();
    return JSON.stringify([shown, scenario.observe?.(machine)]);
  };
  let steps = 0;
  tx.hook = () => void steps++;
  const outcome = machine.carryOut(number);
  tx.hook = () => {};
  const expected = seen(outcome);
  assert.deepEqual(checkHeap(tx), [], scenario.name);
  const stride = Math.max(1, Math.ceil(steps / POINTS_MAX));
  let points = 0;
  for (let at = 1; at <= steps; at += stride) {
    restore();
    let count = 0;
    let where = "";
    tx.hook = (point) => {
      if (++count !== at) return;
      where = `${scenario.name}: crash before ${point}, step ${at} of ${steps}`;
      throw new Crash(where);
    };
    let result: unknown;
    try {
      result = machine.carryOut(number);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
    tx.hook = () => {};
    if (where === "") continue;
    points++;
    tx.rollback();
    const violations = checkHeap(tx);
    if (violations.length > 0) assert.fail(`${where}: ${JSON.stringify(violations.slice(0, 5))}`);
    if (machine.finished) machine.clearLeftovers();
    else result = machine.carryOut(number);
    assert.equal(seen(result), expected, where);
    const after = checkHeap(tx);
    if (after.length > 0) assert.fail(`${where}, in the end: ${JSON.stringify(after.slice(0, 5))}`);
  }
  return points;
}

describe("a crash at every step", () => {
  for (const scenario of scenarios) {
    test(scenario.name, () => {
      assert.ok(run(scenario) > 0);
    });
  }
});
