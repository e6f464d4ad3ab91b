import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkHeap } from "../heap/check.ts";
import { hartCount } from "../kernel/scheduler.ts";
import { Process, Task } from "../kernel/task.ts";
import { pc, unsigned, X } from "../kernel/registers.ts";
import { AT_FDCWD, O } from "./abi-file.ts";
import { hasCome } from "./table.ts";
import { BLOCKS, LinuxMachine, USER, USER_BYTES } from "./testing/linux-machine.ts";

const clean = (machine: LinuxMachine): void => assert.deepEqual(checkHeap(machine.tx), []);

/** A machine with a file of this text as descriptor 0, open for reading and writing at its beginning. */
function withFile(text: string): LinuxMachine {
  const machine = new LinuxMachine();
  assert.equal(machine.call("openat", AT_FDCWD, "/tmp/file", O.CREAT | O.RDWR, 0o644), 0);
  const bytes = new TextEncoder().encode(text);
  assert.equal(machine.call("write", 0, machine.put(bytes), bytes.length), bytes.length);
  assert.equal(machine.call("lseek", 0, 0, 0), 0);
  return machine;
}

describe("reading and writing", () => {
  test("vectors, positions and ends", () => {
    const machine = withFile("hello, world");
    const into = machine.words(USER, 5, USER + 100, 100);
    assert.equal(machine.attempt("readv", 0, into, 2), 12);
    assert.equal(machine.text(USER, 5) + machine.text(USER + 100, 7), "hello, world");
    assert.equal(machine.attempt("read", 0, USER, 10), 0);
    assert.equal(machine.attempt("pread64", 0, USER, 5, 7), 5);
    assert.equal(machine.text(USER, 5), "world");
    assert.equal(machine.attempt("lseek", 0, 0, 1), 12);
    assert.equal(machine.attempt("pwrite64", 0, "J", 1, 0), 1);
    assert.equal(machine.attempt("preadv2", 0, machine.words(USER, 3), 1, 0, 0, 0), 3);
    assert.equal(machine.text(USER, 3), "Jel");
    assert.equal(machine.attempt("lseek", 0, -1, 0), "EINVAL");
    assert.equal(machine.attempt("pread64", 0, USER, 5, -1), "EINVAL");
    assert.equal(machine.attempt("preadv2", 0, into, 2, 0, 0, 0x100), "EOPNOTSUPP");
    clean(machine);
  });

  test("bad descriptors, modes and addresses", () => {
    const machine = withFile("x");
    assert.equal(machine.attempt("read", 5, USER, 1), "EBADF");
    assert.equal(machine.attempt("read", -1, USER, 1), "EBADF");
    assert.equal(machine.attempt("read", 0, 0x1000, 1), "EFAULT");
    assert.equal(machine.attempt("read", 0, 2 ** 40, 1), "EFAULT");
    assert.equal(machine.attempt("readv", 0, machine.words(USER, 2 ** 52), 1), 1);
    assert.equal(machine.attempt("readv", 0, machine.words(USER, -1), 1), "EINVAL");
    assert.equal(machine.attempt("readv", 0, 0x1000, 1), "EFAULT");
    assert.equal(machine.attempt("readv", 0, USER, 1025), "EINVAL");
    assert.equal(machine.attempt("openat", AT_FDCWD, "/tmp/file", O.WRONLY, 0), 1);
    assert.equal(machine.attempt("read", 1, USER, 1), "EBADF");
    assert.equal(machine.attempt("openat", AT_FDCWD, "/tmp/file", 0, 0), 2);
    assert.equal(machine.attempt("write", 2, USER, 1), "EBADF");
    assert.equal(machine.attempt("openat", AT_FDCWD, "/tmp/file", O.PATH, 0), 3);
    assert.equal(machine.attempt("read", 3, USER, 1), "EBADF");
    clean(machine);
  });

  test("a long write is a series of steps, and the file has it once", () => {
    const machine = withFile("");
    const length = 300_000;
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31) >>> 3);
    machine.poke(USER, bytes);
    assert.equal(machine.attempt("write", 0, USER, length), length);
    machine.poke(USER, new Uint8Array(length));
    assert.equal(machine.attempt("pread64", 0, USER, USER_BYTES, 0), length);
    assert.deepEqual(machine.peek(USER, length), bytes);
    // The last page of the buffer is missing: what comes before it is read.
    assert.equal(machine.attempt("munmap", USER + 0x4_0000, 4096), 0);
    assert.equal(machine.attempt("pread64", 0, USER, length, 0), 0x4_0000);
    assert.equal(machine.attempt("pread64", 0, USER + 0x4_0000, 10, 0), "EFAULT");
    clean(machine);
  });

  test("a write into a full pipe waits for the rest; its count so far is kept", () => {
    const machine = new LinuxMachine();
    assert.equal(machine.attempt("pipe2", USER, 0), 0);
    assert.equal(machine.call("write", 1, USER, 100_000), BLOCKS);
    assert.equal(Task.progress.get(machine.tx, machine.task), 65_536);
    clean(machine);
    // Somebody reads (by another call of the same task, which puts its own registers back afterwards).
    Task.progress.set(machine.tx, machine.task, 0);
    machine.tx.commit();
    assert.equal(machine.attempt("read", 0, USER, 50_000), 50_000);
    Task.progress.set(machine.tx, machine.task, 65_536);
    machine.tx.commit();
    assert.equal(machine.attempt("write", 1, USER, 100_000), 100_000);
    assert.equal(Task.progress.get(machine.tx, machine.task), 0);
    clean(machine);
  });

  test("a pipe without readers is EPIPE and SIGPIPE; a write beyond the limit EFBIG and SIGXFSZ", () => {
    const machine = new LinuxMachine();
    machine.call("pipe2", USER, 0);
    machine.call("close", 0);
    assert.equal(machine.attempt("write", 1, USER, 1), "EPIPE");
    assert.notEqual(Task.pending.get(machine.tx, machine.task, 0) & (1 << 12), 0);
    const limits = machine.words(10, 10);
    assert.equal(machine.attempt("prlimit64", 0, 1, limits, 0), 0);
    machine.call("openat", AT_FDCWD, "/tmp/f", O.CREAT | O.RDWR, 0o600);
    assert.equal(machine.attempt("write", 0, USER, 20), 10);
    assert.equal(machine.attempt("write", 0, USER, 1), "EFBIG");
    assert.equal(machine.attempt("ftruncate", 0, 11), "EFBIG");
    assert.notEqual(Task.pending.get(machine.tx, machine.task, 0) & (1 << 24), 0);
    clean(machine);
  });

  test("copies between files", () => {
    const machine = withFile("0123456789");
    machine.call("pipe2", USER, 0);
    assert.equal(machine.attempt("sendfile", 2, 0, 0, 4), 4);
    assert.equal(machine.attempt("lseek", 0, 0, 1), 4);
    const offset = machine.words(8);
    assert.equal(machine.attempt("sendfile", 2, 0, offset, 100), 2);
    assert.equal(machine.view(offset, 8).getUint32(0, true), 10);
    assert.equal(machine.attempt("read", 1, USER, 100), 6);
    assert.equal(machine.text(USER, 6), "012389");
    assert.equal(machine.attempt("openat", AT_FDCWD, "/tmp/copy", O.CREAT | O.RDWR, 0o600), 3);
    assert.equal(machine.attempt("copy_file_range", 0, machine.words(0), 3, 0, 100, 0), 10);
    assert.equal(machine.attempt("pread64", 3, USER, 100, 0), 10);
    assert.equal(machine.text(USER, 10), "0123456789");
    assert.equal(
      machine.attempt("copy_file_range", 0, machine.words(0), 0, machine.words(5), 6, 0),
      "EINVAL",
    );
    assert.equal(machine.attempt("copy_file_range", 0, 0, 2, 0, 6, 0), "EINVAL");
    clean(machine);
  });
});

describe("descriptors", () => {
  test("the lowest free one is taken, up to the limit", () => {
    const machine = withFile("");
    for (let i = 1; i < 70; i++) assert.equal(machine.call("dup", 0), i);
    assert.equal(machine.call("close", 64), 0);
    assert.equal(machine.call("close", 3), 0);
    assert.equal(machine.call("dup", 0), 3);
    assert.equal(machine.call("fcntl", 0, 0, 10), 64);
    assert.equal(machine.call("prlimit64", 0, 7, machine.words(71, 71), 0), 0);
    assert.equal(machine.attempt("dup", 0), 70);
    assert.equal(machine.attempt("dup", 0), "EMFILE");
    assert.equal(machine.attempt("openat", AT_FDCWD, "/nonexistent", 0, 0), "EMFILE");
    assert.equal(machine.attempt("fcntl", 0, 0, 71), "EINVAL");
    assert.equal(machine.attempt("dup3", 0, 71, 0), "EBADF");
    clean(machine);
    assert.equal(machine.attempt("close_range", 1, 0xffff_ffff, 0), 0);
    assert.equal(machine.attempt("dup", 0), 1);
    clean(machine);
  });

  test("dup3 replaces, and keeps what is to be kept", () => {
    const machine = withFile("a");
    machine.call("pipe2", USER, O.CLOEXEC);
    assert.equal(machine.attempt("fcntl", 1, 1), 1);
    assert.equal(machine.attempt("dup3", 0, 1, 0), 1);
    assert.equal(machine.attempt("fcntl", 1, 1), 0);
    assert.equal(machine.attempt("dup3", 0, 1, O.CLOEXEC), 1);
    assert.equal(machine.attempt("fcntl", 1, 1), 1);
    assert.equal(machine.attempt("dup3", 1, 1, 0), "EINVAL");
    assert.equal(machine.attempt("dup3", 0, 1, 1), "EINVAL");
    assert.equal(machine.attempt("dup3", 9, 9, 0), "EINVAL");
    assert.equal(machine.attempt("dup3", 9, 8, 0), "EBADF");
    // The reading end is gone.
    assert.equal(machine.attempt("write", 2, USER, 1), "EPIPE");
    clean(machine);
  });

  test("status flags", () => {
    const machine = withFile("");
    assert.equal(machine.attempt("fcntl", 0, 3), O.RDWR | O.LARGEFILE);
    assert.equal(machine.attempt("fcntl", 0, 4, O.APPEND | O.NONBLOCK | O.WRONLY | O.CREAT), 0);
    assert.equal(machine.attempt("fcntl", 0, 3), O.RDWR | O.LARGEFILE | O.APPEND | O.NONBLOCK);
    machine.call("pipe2", USER, 0);
    assert.equal(machine.attempt("ioctl", 1, 0x5421, machine.words(1)), 0);
    assert.equal(machine.attempt("read", 1, USER, 1), "EAGAIN");
    assert.equal(machine.attempt("fcntl", 1, 1031, 5000), 8192);
    assert.equal(machine.attempt("fcntl", 1, 1032), 8192);
    assert.equal(machine.attempt("fcntl", 0, 1032), "EBADF");
    assert.equal(machine.attempt("fcntl", 0, 999), "EINVAL");
    clean(machine);
  });

  test("record locks are the process's own, and the end is found", () => {
    const machine = withFile("0123456789");
    const lock = new DataView(new ArrayBuffer(32));
    lock.setInt16(0, 1, true);
    lock.setInt16(2, 2, true);
    lock.setInt32(8, -4, true);
    lock.setInt32(12, -1, true);
    const at = machine.put(new Uint8Array(lock.buffer));
    assert.equal(machine.attempt("fcntl", 0, 6, at), 0);
    assert.equal(machine.attempt("fcntl", 0, 5, at), 0);
    assert.equal(machine.view(at, 32).getInt16(0, true), 2);
    assert.equal(machine.attempt("flock", 0, 2), 0);
    assert.equal(machine.attempt("flock", 0, 3), "EINVAL");
    clean(machine);
    assert.equal(machine.attempt("close", 0), 0);
    clean(machine);
  });
});

describe("names", () => {
  test("links, renames and directories", () => {
    const machine = withFile("text");
    assert.equal(machine.attempt("mkdirat", AT_FDCWD, "/tmp/dir", 0o755), 0);
    assert.equal(machine.attempt("openat", AT_FDCWD, "/tmp/dir", O.DIRECTORY, 0), 1);
    assert.equal(machine.attempt("linkat", AT_FDCWD, "/tmp/file", 1, "hard", 0), 0);
    assert.equal(machine.attempt("symlinkat", "../file", 1, "soft"), 0);
    assert.equal(machine.attempt("readlinkat", 1, "soft", USER, 100), 7);
    assert.equal(machine.text(USER, 7), "../file");
    assert.equal(machine.attempt("readlinkat", 1, "soft", USER, 3), 3);
    assert.equal(machine.attempt("readlinkat", 1, "soft", USER, 0), "EINVAL");
    assert.equal(machine.attempt("newfstatat", 1, "soft", USER, 0), 0);
    assert.equal(machine.view(USER, 128).getUint32(20, true), 2);
    assert.equal(machine.attempt("renameat2", 1, "hard", AT_FDCWD, "/tmp/file2", 1), 0);
    assert.equal(machine.attempt("renameat2", 1, "soft", AT_FDCWD, "/tmp/file2", 1), "EEXIST");
    assert.equal(machine.attempt("renameat2", 1, "soft", AT_FDCWD, "/tmp/file2", 9), "EINVAL");
    assert.equal(machine.attempt("unlinkat", AT_FDCWD, "/tmp/dir", 0), "EISDIR");
    assert.equal(machine.attempt("unlinkat", AT_FDCWD, "/tmp/dir", 0x200), "ENOTEMPTY");
    assert.equal(machine.attempt("fchdir", 1), 0);
    assert.equal(machine.attempt("getcwd", USER, 100), 9);
    assert.equal(machine.text(USER, 8), "/tmp/dir");
    assert.equal(machine.attempt("getcwd", USER, 8), "ERANGE");
    assert.equal(machine.attempt("getdents64", 0, USER, 1000), "ENOTDIR");
    assert.equal(machine.attempt("getdents64", 1, USER, 1000), 72);
    assert.equal(machine.attempt("unlinkat", AT_FDCWD, "", 0), "ENOENT");
    assert.equal(machine.attempt("mkdirat", AT_FDCWD, 0, 0), "EFAULT");
    assert.equal(machine.attempt("mkdirat", AT_FDCWD, "x".repeat(4096), 0), "ENAMETOOLONG");
    assert.equal(machine.attempt("mkdirat", 50, "x", 0), "EBADF");
    assert.equal(machine.attempt("mkdirat", 50, "/tmp/abs", 0o700), 0);
    clean(machine);
  });

  test("attributes by descriptor and by name", () => {
    const machine = withFile("text");
    assert.equal(machine.attempt("fchmod", 0, 0o4751), 0);
    assert.equal(machine.attempt("fchownat", 0, "", 5, 6, 0x1000), 0);
    assert.equal(machine.attempt("newfstatat", 0, "", USER, 0x1000), 0);
    const view = machine.view(USER, 128);
    assert.deepEqual(
      [view.getUint32(16, true), view.getUint32(24, true), view.getUint32(28, true)],
      [0o100751, 5, 6],
    );
    assert.equal(machine.attempt("newfstatat", 0, "", USER, 0), "ENOENT");
    assert.equal(machine.attempt("newfstatat", AT_FDCWD, "", USER, 0x1000), 0);
    assert.equal(machine.view(USER, 128).getUint32(16, true) & 0o170000, 0o040000);
    assert.equal(machine.attempt("statx", AT_FDCWD, "/tmp/file", 0, 0xfff, USER), 0);
    assert.equal(machine.view(USER, 256).getUint16(28, true), 0o100751);
    assert.equal(machine.attempt("statx", AT_FDCWD, "/tmp/file", 0x10_0000, 0, USER), "EINVAL");
    const times = machine.words(1000, 5, 2000, 6);
    assert.equal(machine.attempt("utimensat", AT_FDCWD, "/tmp/file", times, 0), 0);
    assert.equal(machine.attempt("fstat", 0, USER), 0);
    assert.equal(machine.view(USER, 128).getUint32(88, true), 2000);
    assert.equal(
      machine.attempt("utimensat", AT_FDCWD, "/tmp/file", machine.words(0, 1e9, 0, 0), 0),
      "EINVAL",
    );
    assert.equal(machine.attempt("faccessat", AT_FDCWD, "/tmp/file", 8), "EINVAL");
    assert.equal(machine.attempt("faccessat2", AT_FDCWD, "/tmp/file", 4, 0x200), 0);
    assert.equal(machine.attempt("fstat", 0, 0x1000), "EFAULT");
    assert.equal(machine.attempt("truncate", "/tmp/file", 2), 0);
    assert.equal(machine.attempt("truncate", "/tmp/file", -2), "EINVAL");
    assert.equal(machine.attempt("fallocate", 0, 0, 0, 9000), 0);
    assert.equal(machine.attempt("lseek", 0, 0, 2), 9000);
    assert.equal(machine.attempt("fallocate", 0, 8, 0, 10), "EOPNOTSUPP");
    assert.equal(machine.attempt("getxattr", "/tmp/file", "user.x", USER, 10), "ENODATA");
    assert.equal(machine.attempt("listxattr", "/tmp/file", USER, 10), 0);
    clean(machine);
  });

  test("a fifo opens when its other end does", () => {
    const machine = new LinuxMachine();
    assert.equal(machine.attempt("mknodat", AT_FDCWD, "/tmp/fifo", 0o010600, 0), 0);
    assert.equal(machine.attempt("openat", AT_FDCWD, "/tmp/fifo", O.WRONLY | O.NONBLOCK, 0), "ENXIO");
    assert.equal(machine.call("openat", AT_FDCWD, "/tmp/fifo", 0, 0), BLOCKS);
    const mayFinish = (): boolean => {
      const answer = hasCome(machine.tx, machine.task);
      machine.tx.rollback();
      return answer;
    };
    assert.equal(mayFinish(), false);
    clean(machine);
    // The waiting open holds the reading end, so a writer need not wait.
    const waiting = [Task.progress, Task.progressDetail].map((field) => field.get(machine.tx, machine.task));
    Task.progress.set(machine.tx, machine.task, 0);
    machine.tx.commit();
    assert.equal(machine.attempt("openat", AT_FDCWD, "/tmp/fifo", O.WRONLY, 0), 0);
    Task.progress.set(machine.tx, machine.task, waiting[0]!);
    Task.progressDetail.set(machine.tx, machine.task, waiting[1]!);
    machine.tx.commit();
    assert.equal(mayFinish(), true, "no signal interrupts an open whose other end has come");
    assert.equal(machine.attempt("openat", AT_FDCWD, "/tmp/fifo", 0, 0), 1);
    assert.equal(machine.attempt("write", 0, "abc", 3), 3);
    assert.equal(machine.attempt("read", 1, USER, 10), 3);
    clean(machine);
  });
});

describe("waiting for files", () => {
  test("poll and select", () => {
    const machine = new LinuxMachine();
    machine.call("pipe2", USER, 0);
    const set = (...entries: [number, number][]): number => {
      const view = new DataView(new ArrayBuffer(entries.length * 8));
      for (const [i, [fd, events]] of entries.entries()) {
        view.setInt32(i * 8, fd, true);
        view.setUint16(i * 8 + 4, events, true);
      }
      return machine.put(new Uint8Array(view.buffer));
    };
    const zero = machine.words(0, 0);
    const polled = set([0, 1], [1, 4], [9, 1], [-1, 1]);
    assert.equal(machine.attempt("ppoll", polled, 4, zero, 0, 0), 2);
    const answers = [0, 1, 2, 3].map((i) => machine.view(polled, 32).getUint16(i * 8 + 6, true));
    assert.deepEqual(answers, [0, 4, 0x20, 0]);
    assert.equal(machine.call("ppoll", set([0, 1]), 1, 0, 0, 0), BLOCKS);
    clean(machine);
    machine.forget();
    const limit = machine.words(2, 0);
    assert.equal(machine.call("ppoll", set([0, 1]), 1, limit, 0, 0), BLOCKS);
    machine.now += 2e9;
    assert.equal(machine.call("ppoll", set([0, 1]), 1, limit, 0, 0), 0);
    assert.equal(machine.attempt("ppoll", USER, 1, machine.words(0, 1e9), 0, 0), "EINVAL");
    machine.call("write", 1, "x", 1);
    const reads = machine.words(1);
    const writes = machine.words(2);
    assert.equal(machine.attempt("pselect6", 2, reads, writes, 0, zero, 0), 2);
    assert.equal(machine.attempt("pselect6", 64, machine.words(8), 0, 0, zero, 0), "EBADF");
    assert.equal(machine.attempt("pselect6", 0, 0, 0, 0, zero, 0), 0);
    clean(machine);
  });
});

describe("memory", () => {
  test("mappings, break and advice", () => {
    const machine = withFile("contents");
    const at = machine.attempt("mmap", 0, 4096, 3, 2, 0, 0) as number;
    assert.equal(machine.text(at, 8), "contents");
    machine.poke(at, new TextEncoder().encode("C"));
    assert.equal(machine.attempt("pread64", 0, USER, 1, 0), 1);
    assert.equal(machine.text(USER, 1), "c");
    const shared = machine.attempt("mmap", 0, 4096, 3, 1, 0, 0) as number;
    machine.poke(shared, new TextEncoder().encode("S"));
    assert.equal(machine.attempt("pread64", 0, USER, 1, 0), 1);
    assert.equal(machine.text(USER, 1), "S");
    assert.equal(machine.attempt("mmap", 0, 4096, 3, 2, 7, 0), "EBADF");
    assert.equal(machine.attempt("mmap", 0, 4096, 3, 2, 0, 100), "EINVAL");
    assert.equal(machine.attempt("mmap", 0, 0, 3, 0x22, -1, 0), "EINVAL");
    assert.equal(machine.attempt("mprotect", at, 4096, 1), 0);
    assert.equal(machine.attempt("read", 0, at, 1), "EFAULT");
    assert.equal(machine.attempt("mremap", at, 4096, 8192, 1, 0), machine.result);
    assert.equal(machine.attempt("madvise", USER, 8192, 4), 0);
    assert.equal(machine.text(USER, 1), "\0");
    assert.equal(machine.attempt("madvise", USER, 8192, 9), "EINVAL");
    assert.equal(machine.attempt("madvise", USER - 8192, 16_384, 4), "ENOMEM");
    assert.equal(machine.attempt("madvise", USER, 8192, 23), 0);
    assert.equal(machine.attempt("mincore", USER, 8192, USER + 0x8000), 0);
    assert.deepEqual([...machine.peek(USER + 0x8000, 2)], [1, 1]);
    assert.equal(machine.attempt("msync", USER, 4096, 4), 0);
    assert.equal(machine.attempt("mlock", USER, 4096), 0);
    assert.equal(machine.attempt("mlock", 0x1000, 4096), "ENOMEM");
    assert.equal(machine.attempt("munmap", USER + 1, 4096), "EINVAL");
    const start = machine.attempt("brk", 0) as number;
    assert.equal(machine.attempt("brk", start + 10_000), start + 10_000);
    assert.equal(machine.attempt("brk", 5), start + 10_000);
    clean(machine);
  });
});

describe("programs", () => {
  /** A static program of one segment that holds its own header, starting at 0x1_0078. */
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

  function install(machine: LinuxMachine, path: string, bytes: Uint8Array, mode = 0o755): void {
    const fd = machine.call("openat", AT_FDCWD, path, O.CREAT | O.WRONLY | O.TRUNC, mode);
    assert.equal(machine.call("write", fd as number, machine.put(bytes), bytes.length), bytes.length);
    assert.equal(machine.call("close", fd as number), 0);
  }

  const stackOf = (machine: LinuxMachine): { words: number[]; text: (address: number) => string } => {
    const sp = unsigned(machine.tx, Task.registers.get(machine.tx, machine.task), X.sp);
    const view = machine.view(sp, 0x40_0000_0000 - 4096 - sp);
    const words: number[] = [];
    for (let i = 0; i + 8 <= view.byteLength; i += 8) {
      words.push(view.getUint32(i + 4, true) * 2 ** 32 + view.getUint32(i, true));
    }
    const text = (address: number): string => {
      const bytes = new Uint8Array(view.buffer).subarray(address - sp);
      return Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString();
    };
    return { words, text };
  };

  test("a program gets its arguments, environment and auxiliary vector, and nothing of the old one", () => {
    const machine = withFile("");
    machine.call("pipe2", USER, O.CLOEXEC);
    install(machine, "/tmp/program", program());
    const argv = machine.words(machine.put("name"), machine.put("second"), 0);
    const envp = machine.words(machine.put("KEY=value"), 0);
    assert.ok(Number.isNaN(machine.call("execve", "/tmp/program", argv, envp)));
    const registers = Task.registers.get(machine.tx, machine.task);
    assert.equal(pc(machine.tx, registers), 0x1_0078);
    const { words, text } = stackOf(machine);
    assert.equal(words[0], 2);
    assert.deepEqual([text(words[1]!), text(words[2]!), words[3]], ["name", "second", 0]);
    assert.deepEqual([text(words[4]!), words[5]], ["KEY=value", 0]);
    const auxiliary = new Map<number, number>();
    for (let i = 6; words[i] !== 0; i += 2) auxiliary.set(words[i]!, words[i + 1]!);
    assert.equal(auxiliary.get(3), 0x1_0040);
    assert.deepEqual([auxiliary.get(4), auxiliary.get(5), auxiliary.get(6)], [56, 1, 4096]);
    assert.equal(auxiliary.get(9), 0x1_0078);
    assert.equal(text(auxiliary.get(31)!), "/tmp/program");
    assert.equal(auxiliary.get(23), 0);
    // The zeros behind the file's bytes, and the break behind those.
    assert.deepEqual(
      [...machine.peek(0x1_0000 + 200, 8800)].filter((byte) => byte !== 0),
      [],
    );
    assert.equal(machine.attempt("brk", 0), 0x1_3000);
    assert.equal(machine.attempt("fcntl", 1, 1), "EBADF");
    assert.equal(machine.attempt("fcntl", 0, 1), 0);
    assert.equal(machine.attempt("read", 0, USER, 1), "EFAULT");
    assert.equal(Task.exec.get(machine.tx, machine.task), 0);
    assert.notEqual(Process.executable.get(machine.tx, machine.process), 0);
    clean(machine);
  });

  test("scripts name their interpreters, up to a depth", () => {
    const machine = new LinuxMachine();
    const script = (path: string, text: string): void =>
      install(machine, path, new TextEncoder().encode(text));
    install(machine, "/tmp/program", program());
    script("/tmp/inner", "#!/tmp/program -i arg\n");
    script("/tmp/outer", "#! /tmp/inner  -o \n");
    const argv = machine.words(machine.put("ignored"), machine.put("last"), 0);
    assert.ok(Number.isNaN(machine.call("execve", "/tmp/outer", argv, 0)));
    const { words, text } = stackOf(machine);
    const args = words.slice(1, 1 + words[0]!).map(text);
    assert.deepEqual(args, ["/tmp/program", "-i arg", "/tmp/inner", "-o", "/tmp/outer", "last"]);
    clean(machine);
  });

  test("what cannot be executed leaves the old program as it was", () => {
    const machine = new LinuxMachine();
    const script = (path: string, text: string): void =>
      install(machine, path, new TextEncoder().encode(text));
    install(machine, "/tmp/cut", program().subarray(0, 70));
    install(machine, "/tmp/closed", program(), 0o644);
    script("/tmp/text", "echo\n");
    script("/tmp/self", "#!/tmp/self\n");
    script("/tmp/lost", "#!/tmp/nowhere\n");
    const argv = machine.words(machine.put("x"), 0);
    const expected = [
      ["/tmp/cut", "ENOEXEC"],
      ["/tmp/closed", "EACCES"],
      ["/tmp/text", "ENOEXEC"],
      ["/tmp/self", "ELOOP"],
      ["/tmp/lost", "ENOENT"],
      ["/tmp", "EACCES"],
      ["", "ENOENT"],
    ] as const;
    for (const [path, error] of expected) {
      assert.equal(machine.attempt("execve", path, argv, 0), error, path);
      assert.equal(Task.exec.get(machine.tx, machine.task), 0);
      clean(machine);
    }
    install(machine, "/tmp/program", program());
    assert.equal(machine.attempt("execve", "/tmp/program", 0x1000, 0), "EFAULT");
    const long = machine.words(machine.put("x".repeat(131_072)), 0);
    assert.equal(machine.attempt("execve", "/tmp/program", long, 0), "E2BIG");
    assert.equal(machine.attempt("openat", AT_FDCWD, "/tmp/program", O.WRONLY, 0), 0);
    assert.equal(machine.attempt("execve", "/tmp/program", argv, 0), "ETXTBSY");
    assert.equal(machine.text(USER, 1), "\0");
    clean(machine);
  });

  test("set-user-id programs run as their owner, and are told to be careful", () => {
    // On /tmp, which is mounted nosuid, the bit counts for nothing.
    for (const [path, effective] of [
      ["/tmp/program", 100],
      ["/program", 7],
    ] as const) {
      const machine = new LinuxMachine();
      install(machine, path, program());
      assert.equal(machine.attempt("fchownat", AT_FDCWD, path, 7, 7, 0), 0);
      assert.equal(machine.attempt("fchmodat", AT_FDCWD, path, 0o4755), 0);
      assert.equal(machine.attempt("setresuid", 100, 100, 100), 0);
      assert.ok(Number.isNaN(machine.call("execve", path, 0, 0)));
      const { words } = stackOf(machine);
      assert.equal(words[0], 1);
      const auxiliary = new Map<number, number>();
      for (let i = 4; words[i] !== 0; i += 2) auxiliary.set(words[i]!, words[i + 1]!);
      const identity = [11, 12, 23].map((type) => auxiliary.get(type));
      assert.deepEqual(identity, [100, effective, effective === 7 ? 1 : 0]);
      assert.equal(machine.attempt("geteuid"), effective);
      clean(machine);
    }
  });
});

describe("the machine", () => {
  test("affinity is kept, shown and inherited; policies have priorities", () => {
    const machine = new LinuxMachine();
    const tid = Task.tid.get(machine.tx, machine.task);
    const harts = (1 << hartCount(machine.tx)) - 1;
    assert.equal(machine.attempt("sched_getaffinity", 0, 8, USER), 8);
    assert.equal(machine.view(USER, 8).getUint32(0, true), harts);
    assert.equal(machine.attempt("sched_getaffinity", -1, 8, USER), "ESRCH");
    assert.equal(machine.attempt("sched_getaffinity", 9999, 8, USER), "ESRCH");
    assert.equal(machine.attempt("sched_getaffinity", 0, 7, USER), "EINVAL");
    assert.equal(machine.attempt("sched_setaffinity", tid, 8, machine.words(0xff)), 0);
    assert.equal(Task.affinity.get(machine.tx, machine.task), harts);
    assert.equal(machine.attempt("sched_setaffinity", 0, 8, machine.words(0)), "EINVAL");
    assert.equal(machine.attempt("sched_setaffinity", -1, 8, machine.words(1)), "ESRCH");
    assert.equal(machine.attempt("sched_get_priority_max", 2), 99);
    assert.equal(machine.attempt("sched_get_priority_min", 6), 0);
    assert.equal(machine.attempt("sched_get_priority_min", -23), "EINVAL");
    assert.equal(machine.attempt("sched_get_priority_max", 4), "EINVAL");
    clean(machine);
  });

  test("the directory of a process stands for it, as a pidfd does", () => {
    const machine = new LinuxMachine(["dev", "proc", "tmp"]);
    const pid = Process.pid.get(machine.tx, machine.process);
    const directory = machine.attempt("openat", AT_FDCWD, `/proc/${pid}`, O.DIRECTORY, 0);
    assert.equal(machine.attempt("pidfd_send_signal", directory, 10, 0, 0), 0);
    assert.notEqual(Process.pending.get(machine.tx, machine.process, 0) & (1 << 9), 0);
    const other = machine.attempt("openat", AT_FDCWD, `/proc/${pid}/fd`, O.DIRECTORY, 0);
    assert.equal(machine.attempt("pidfd_send_signal", other, 10, 0, 0), "EBADF");
    // Whoever has its pid later is not meant.
    Process.serial.set(machine.tx, machine.process, Process.serial.get(machine.tx, machine.process) + 1);
    machine.tx.commit();
    assert.equal(machine.attempt("pidfd_send_signal", directory, 10, 0, 0), "ESRCH");
  });

  test("a timer file that is disarmed shows the interval it was given", () => {
    const machine = new LinuxMachine();
    const timer = machine.attempt("timerfd_create", 1, 0);
    const setting = machine.words(0, 1000, 0, 0);
    assert.equal(machine.attempt("timerfd_settime", timer, 0, setting, 0), 0);
    assert.equal(machine.attempt("timerfd_gettime", timer, USER), 0);
    assert.deepEqual(
      [0, 8, 16, 24].map((at) => machine.view(USER, 32).getUint32(at, true)),
      [0, 1000, 0, 0],
    );
    clean(machine);
  });

  test("random bytes, sysinfo and names", () => {
    const machine = new LinuxMachine();
    assert.equal(machine.attempt("getrandom", USER, 100, 0), 100);
    assert.equal(machine.attempt("getrandom", USER, 100, 8), "EINVAL");
    assert.equal(machine.attempt("getrandom", 0, 0, 0), 0);
    assert.equal(machine.attempt("sysinfo", USER), 0);
    assert.equal(machine.attempt("sethostname", "stump", 5), 0);
    assert.equal(machine.attempt("sethostname", "stump", 65), "EINVAL");
    assert.equal(machine.attempt("uname", USER), 0);
    assert.equal(machine.text(USER + 65, 6), "stump\0");
    assert.equal(machine.attempt("ioctl", 0, 0x5401, USER), "EBADF");
    assert.equal(machine.attempt("sync"), 0);
    assert.equal(machine.attempt("membarrier", 0, 0), 1);
    clean(machine);
  });

  test("terminals are opened by name and know their ioctls", () => {
    const machine = new LinuxMachine();
    assert.equal(machine.attempt("openat", AT_FDCWD, "/dev/ptmx", O.RDWR | O.NOCTTY, 0), 0);
    assert.equal(machine.attempt("ioctl", 0, 0x4004_5431, machine.words(0)), 0);
    assert.equal(machine.attempt("ioctl", 0, 0x5441, O.RDWR | O.NOCTTY), 1);
    assert.equal(machine.attempt("ioctl", 1, 0x5401, USER), 0);
    assert.notEqual(machine.view(USER, 36).getUint32(12, true) & 2, 0);
    const size = machine.put(Uint8Array.from([24, 0, 80, 0, 0, 0, 0, 0]));
    assert.equal(machine.attempt("ioctl", 0, 0x5414, size), 0);
    assert.equal(machine.attempt("ioctl", 1, 0x5413, USER), 0);
    assert.deepEqual([...machine.peek(USER, 4)], [24, 0, 80, 0]);
    assert.equal(machine.attempt("ioctl", 1, 0x9999, USER), "ENOTTY");
    assert.equal(machine.attempt("write", 0, "hi\n", 3), 3);
    assert.equal(machine.attempt("read", 1, USER, 100), 3);
    assert.equal(machine.attempt("openat", AT_FDCWD, "/dev/tty", O.RDWR, 0), "ENXIO");
    clean(machine);
    assert.equal(machine.attempt("close", 1), 0);
    assert.equal(machine.attempt("close", 0), 0);
    clean(machine);
  });
});
