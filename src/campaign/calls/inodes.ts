/** What an inode carries besides its bytes: locks, extended attributes, long names, deep page indices. */

import type { Guest, Step } from "../guest.ts";
import { AT_FDCWD, O, scenario, type Scenario } from "./scenario.ts";

const LOCK = { SHARED: 1, EXCLUSIVE: 2, NONBLOCK: 4, UNLOCK: 8 } as const;
const F = { GETLK: 5, SETLK: 6, SETLKW: 7 } as const;
const LOCK_TYPE = { READ: 0, WRITE: 1, UNLOCK: 2 } as const;

function* open(g: Guest, path: string, flags: number, mode = 0o644): Step<number> {
  return yield* g.ok("openat", AT_FDCWD, yield* g.put(path), flags, mode);
}

/** struct flock: type, whence (SEEK_SET), start, length. */
function* lockOf(g: Guest, type: number, start: number, length: number): Step<number> {
  return yield* g.put([type, start, length, 0]);
}

export const inodes: readonly Scenario[] = [
  scenario("inodes/record locks", function* (g) {
    yield* g.setUp();
    const fd = yield* open(g, "/tmp/locked", O.RDWR | O.CREAT);
    const { READ, WRITE, UNLOCK } = LOCK_TYPE;
    yield* g.ok("fcntl", fd, F.SETLK, yield* lockOf(g, WRITE, 0, 100));
    // A hole in the middle, then both ends are cut, then what is left goes.
    yield* g.ok("fcntl", fd, F.SETLK, yield* lockOf(g, UNLOCK, 40, 20));
    yield* g.ok("fcntl", fd, F.SETLK, yield* lockOf(g, READ, 30, 20));
    yield* g.ok("fcntl", fd, F.SETLK, yield* lockOf(g, UNLOCK, 0, 10));
    yield* g.ok("fcntl", fd, F.SETLK, yield* lockOf(g, WRITE, 0, 0));
    const ready = g.bytes(8);
    yield* g.ok("pipe2", ready, 0);
    const [reader, writer] = [yield* g.word(ready), yield* g.word(ready + 4)];
    yield* g.fork(function* (child) {
      const asked = yield* lockOf(child, WRITE, 5, 5);
      yield* child.ok("fcntl", fd, F.GETLK, asked);
      yield* child.fails("EAGAIN", "fcntl", fd, F.SETLK, yield* lockOf(child, READ, 5, 5));
      yield* child.ok("write", writer, yield* child.put("x"), 1);
      yield* child.ok("fcntl", fd, F.SETLKW, yield* lockOf(child, WRITE, 5, 5));
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("read", reader, g.bytes(8), 1);
    yield* g.ok("sched_yield");
    yield* g.ok("fcntl", fd, F.SETLK, yield* lockOf(g, UNLOCK, 0, 0));
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("fcntl", fd, F.SETLK, yield* lockOf(g, WRITE, 0, 10));
    yield* g.ok("fcntl", fd, F.SETLK, yield* lockOf(g, WRITE, 20, 10));
    // Closing any descriptor of the file gives all of them up.
    yield* g.ok("close", yield* g.ok("dup", fd));
    yield* g.fails(
      "EBADF",
      "fcntl",
      yield* open(g, "/tmp/locked", O.WRONLY),
      F.SETLK,
      yield* lockOf(g, READ, 0, 1),
    );
    yield* g.fails("EINVAL", "fcntl", fd, F.SETLK, yield* lockOf(g, 9, 0, 1));
    yield* g.ok("fcntl", fd, F.SETLK, yield* lockOf(g, WRITE, 0, 10));
  }),
  scenario("inodes/flock", function* (g) {
    yield* g.setUp();
    const fd = yield* open(g, "/tmp/flocked", O.RDWR | O.CREAT);
    const other = yield* open(g, "/tmp/flocked", O.RDWR);
    yield* g.ok("flock", fd, LOCK.SHARED);
    yield* g.ok("flock", other, LOCK.SHARED);
    yield* g.fails("EAGAIN", "flock", fd, LOCK.EXCLUSIVE | LOCK.NONBLOCK);
    yield* g.ok("flock", other, LOCK.UNLOCK);
    yield* g.ok("flock", other, LOCK.UNLOCK);
    yield* g.ok("flock", fd, LOCK.EXCLUSIVE);
    yield* g.fails("EINVAL", "flock", fd, 3);
    yield* g.fork(function* (child) {
      yield* child.ok("flock", other, LOCK.SHARED);
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("sched_yield");
    yield* g.ok("flock", fd, LOCK.SHARED);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("close", fd);
    yield* g.ok("close", other);
  }),
  scenario("inodes/extended attributes", function* (g) {
    yield* g.setUp();
    const fd = yield* open(g, "/tmp/x", O.RDWR | O.CREAT);
    const path = yield* g.put("/tmp/x");
    const [first, second] = [yield* g.put("user.first"), yield* g.put("user.second")];
    const value = g.bytes(512);
    yield* g.call("setxattr", path, first, value, 8, 0);
    yield* g.call("fsetxattr", fd, second, value, 200, 1);
    yield* g.call("lsetxattr", path, second, value, 1, 1);
    yield* g.call("lsetxattr", path, first, value, 0, 2);
    yield* g.call("setxattr", path, yield* g.put("user.none"), value, 1, 2);
    yield* g.call("getxattr", path, second, value, 512);
    yield* g.call("fgetxattr", fd, second, value, 4);
    yield* g.call("listxattr", path, value, 512);
    yield* g.call("removexattr", path, second);
    yield* g.call("fsetxattr", fd, second, value, 3, 0);
    yield* g.call("fremovexattr", fd, first);
    yield* g.call("setxattr", path, yield* g.put("other.x"), value, 1, 0);
    yield* g.ok("close", fd);
    yield* g.ok("unlinkat", AT_FDCWD, path, 0);
  }),
  scenario("inodes/names of every length", function* (g) {
    yield* g.setUp();
    for (const length of [1, 40, 100, 200, 255]) {
      const path = yield* g.put(`/tmp/${"n".repeat(length)}`);
      yield* g.ok("close", yield* g.ok("openat", AT_FDCWD, path, O.WRONLY | O.CREAT, 0o600));
      yield* g.ok("symlinkat", path, AT_FDCWD, yield* g.put(`/tmp/${"l".repeat(length)}`));
    }
    yield* g.fails("ENAMETOOLONG", "openat", AT_FDCWD, yield* g.put(`/tmp/${"n".repeat(256)}`), O.RDONLY, 0);
    const long = yield* g.put("t".repeat(1000));
    yield* g.ok("symlinkat", long, AT_FDCWD, yield* g.put("/tmp/long"));
    yield* g.ok("mkdirat", AT_FDCWD, yield* g.put("/tmp/from"), 0o755);
    yield* g.ok("mkdirat", AT_FDCWD, yield* g.put("/tmp/to"), 0o755);
    yield* g.ok("mkdirat", AT_FDCWD, yield* g.put("/tmp/from/d"), 0o755);
    yield* g.ok("mkdirat", AT_FDCWD, yield* g.put("/tmp/to/e"), 0o755);
    yield* open(g, "/tmp/from/file", O.WRONLY | O.CREAT);
    const rename = (from: string, to: string, flags: number): Step<number> => renameOf(g, from, to, flags);
    // A directory and a file change places, over two directories; then one directory replaces an empty one.
    yield* rename("/tmp/from/file", "/tmp/to/e", 2);
    yield* rename("/tmp/from/d", "/tmp/from/e", 0);
    yield* rename("/tmp/from/e", "/tmp/to/f", 0);
    yield* rename("/tmp/to/e", "/tmp/from/g", 0);
  }),
  scenario("inodes/deep page indices", function* (g) {
    yield* g.setUp();
    const fd = yield* open(g, "/tmp/sparse", O.RDWR | O.CREAT);
    const text = yield* g.put("0123456789");
    for (const at of [0, 70 * 4096, 5000 * 4096, 3_000_000_000]) yield* g.ok("pwrite64", fd, text, 10, at);
    yield* g.ok("pwrite64", fd, text, 10, 100 * 4096);
    yield* g.call("lseek", fd, 8192, 3);
    yield* g.ok("fallocate", fd, 3, 4096 * 70, 4096);
    yield* g.ok("ftruncate", fd, 4096 * 80);
    yield* g.ok("ftruncate", fd, 10);
    yield* g.ok("rt_sigaction", 25, yield* g.put([1, 0, 0]), 0, 8);
    yield* g.fails("EFBIG", "ftruncate", fd, 2n ** 62n);
    yield* g.ok("ftruncate", fd, 1_000_000);
    yield* g.ok("ftruncate", fd, 0);
  }),
  scenario("inodes/more pages than one transaction cuts", function* (g) {
    yield* g.setUp();
    const fd = yield* open(g, "/tmp/big", O.RDWR | O.CREAT);
    const block = g.bytes(500_000);
    for (let done = 0; done < 4; done++) yield* g.ok("write", fd, block, 500_000);
    yield* g.ok("ftruncate", fd, 100);
    yield* g.ok("lseek", fd, 0, 0);
    for (let done = 0; done < 4; done++) yield* g.ok("write", fd, block, 500_000);
    yield* open(g, "/tmp/big", O.WRONLY | O.TRUNC);
    for (let done = 0; done < 2; done++) yield* g.ok("pwrite64", fd, block, 500_000, done * 500_000);
    yield* g.ok("unlinkat", AT_FDCWD, yield* g.put("/tmp/big"), 0);
  }),
  scenario(
    "inodes/set-uid bits go when others write",
    function* (g) {
      yield* g.setUp();
      const text = yield* g.put("text");
      for (const [name, call] of [
        ["written", "write"],
        ["cut", "truncate"],
      ] as const) {
        const path = yield* g.put(`/tmp/${name}`);
        const fd = yield* g.ok("openat", AT_FDCWD, path, O.RDWR | O.CREAT, 0o777);
        yield* g.ok("write", fd, text, 4);
        yield* g.ok("fchmodat", AT_FDCWD, path, 0o6777);
        if (call === "write") yield* g.ok("write", fd, text, 4);
        else yield* g.ok("truncate", path, 2);
        yield* g.ok("fchmod", fd, 0o4755);
        yield* g.ok("fchownat", AT_FDCWD, path, -1, 0, 0);
        yield* g.ok("faccessat", AT_FDCWD, path, 2);
      }
    },
    { uid: 1000 },
  ),
  scenario("inodes/what /proc and /dev say", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(4096);
    for (const name of ["self/stat", "self/maps", "meminfo", "self/cmdline"]) {
      const fd = yield* open(g, `/proc/${name}`, O.RDONLY);
      yield* g.ok("read", fd, buffer, 100);
      yield* g.ok("pread64", fd, buffer, 100, 10);
      yield* g.ok("close", fd);
    }
    const comm = yield* open(g, "/proc/self/comm", O.RDWR);
    yield* g.ok("write", comm, yield* g.put("renamed"), 7);
    const directory = yield* open(g, "/proc/self/fd", O.RDONLY | O.DIRECTORY);
    yield* g.ok("getdents64", directory, buffer, 100);
    yield* g.ok("getdents64", directory, buffer, 4096);
    yield* g.ok("lseek", directory, 0, 0);
    yield* g.ok("readlinkat", AT_FDCWD, yield* g.put("/proc/self/exe"), buffer, 100);
    const root = yield* open(g, "/proc", O.RDONLY | O.DIRECTORY);
    yield* g.ok("getdents64", root, buffer, 200);
    yield* g.ok("getdents64", root, buffer, 4096);
    const child = yield* g.fork(function* (own) {
      yield* own.ok("getpid");
    });
    const of = yield* g.call("openat", AT_FDCWD, yield* g.put(`/proc/${child}/stat`), O.RDONLY, 0);
    yield* g.ok("wait4", child, 0, 0, 0);
    if (of >= 0) yield* g.call("read", of, buffer, 100);
    yield* g.fails("ENOENT", "openat", AT_FDCWD, yield* g.put(`/proc/${child}/stat`), O.RDONLY, 0);
  }),
  scenario("inodes/mounts", function* (g) {
    yield* g.setUp();
    const tmpfs = yield* g.put("tmpfs");
    const at = yield* g.put("/tmp/m");
    yield* g.ok("mkdirat", AT_FDCWD, at, 0o755);
    yield* g.ok("mount", tmpfs, at, tmpfs, 0, 0);
    yield* g.ok("mount", 0, at, 0, 0x21, 0);
    yield* g.fails("EROFS", "mkdirat", AT_FDCWD, yield* g.put("/tmp/m/d"), 0o755);
    yield* g.ok("mount", 0, at, 0, 0x20, 0);
    yield* open(g, "/tmp/m/f", O.WRONLY | O.CREAT);
    yield* g.ok("umount2", at, 2);
    yield* g.fails("EINVAL", "umount2", at, 0);
  }),
];

function* renameOf(g: Guest, from: string, to: string, flags: number): Step<number> {
  return yield* g.ok("renameat2", AT_FDCWD, yield* g.put(from), AT_FDCWD, yield* g.put(to), flags);
}
