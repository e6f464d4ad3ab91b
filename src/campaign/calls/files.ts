/** Files: opening, reading, writing, names, attributes, directories. */

import type { Guest, Step } from "../guest.ts";
import { AT_FDCWD, O, scenario, type Scenario } from "./scenario.ts";

/** Opens a path that is there or is made. */
function* open(g: Guest, path: string, flags: number, mode = 0o644): Step<number> {
  return yield* g.ok("openat", AT_FDCWD, yield* g.put(path), flags, mode);
}

export const files: readonly Scenario[] = [
  scenario("files/read and write", function* (g) {
    yield* g.setUp();
    const fd = yield* open(g, "/tmp/a", O.RDWR | O.CREAT | O.EXCL);
    const text = yield* g.put("0123456789");
    yield* g.ok("write", fd, text, 10);
    yield* g.ok("write", fd, text, 10);
    yield* g.ok("pwrite64", fd, text, 4, 4094);
    yield* g.ok("pread64", fd, text, 8, 4090);
    yield* g.ok("lseek", fd, 0, 0);
    yield* g.ok("read", fd, text, 10);
    yield* g.ok("lseek", fd, -4, 2);
    yield* g.ok("lseek", fd, 3, 1);
    yield* g.call("lseek", fd, 0, 3);
    yield* g.call("lseek", fd, 0, 4);
    yield* g.fails("EINVAL", "lseek", fd, -1, 0);
    yield* g.ok("read", fd, text, 10);
    yield* g.ok("read", fd, text, 10);
    const vector = yield* g.put([text, 4, text + 4, 4]);
    yield* g.ok("lseek", fd, 0, 0);
    yield* g.ok("writev", fd, vector, 2);
    yield* g.ok("pwritev", fd, vector, 2, 100);
    yield* g.ok("pwritev2", fd, vector, 2, 100, 0, 0);
    yield* g.ok("readv", fd, vector, 2);
    yield* g.ok("preadv", fd, vector, 2, 0);
    yield* g.ok("preadv2", fd, vector, 2, 0, 0, 0);
    yield* g.fails("EBADF", "read", 99, text, 1);
    yield* g.fails("EFAULT", "write", fd, 8, 1);
    yield* g.fails("EFAULT", "read", fd, 8, 1);
    yield* g.ok("close", fd);
    yield* g.fails("EBADF", "close", fd);
  }),
  scenario("files/append, truncate, big writes", function* (g) {
    yield* g.setUp();
    const fd = yield* open(g, "/tmp/b", O.RDWR | O.CREAT | O.APPEND);
    const block = g.bytes(20_000);
    yield* g.poke(block, new Uint8Array(20_000).fill(65));
    yield* g.ok("write", fd, block, 20_000);
    yield* g.ok("write", fd, block, 10);
    yield* g.ok("ftruncate", fd, 5000);
    yield* g.ok("ftruncate", fd, 9000);
    yield* g.ok("pread64", fd, block, 9000, 0);
    yield* g.ok("truncate", yield* g.put("/tmp/b"), 3);
    yield* g.call("fallocate", fd, 0, 0, 8192);
    yield* g.call("fallocate", fd, 3, 0, 4096);
    yield* g.ok("fsync", fd);
    yield* g.ok("fdatasync", fd);
    yield* g.ok("sync");
    yield* g.ok("syncfs", fd);
    yield* g.call("sync_file_range", fd, 0, 0, 0);
    yield* g.call("fadvise64", fd, 0, 0, 0);
    yield* g.call("readahead", fd, 0, 4096);
    const other = yield* open(g, "/tmp/c", O.RDWR | O.CREAT);
    yield* g.ok("ftruncate", fd, 20_000);
    yield* g.call("sendfile", other, fd, 0, 9000);
    const offsets = yield* g.put([0, 100]);
    yield* g.call("sendfile", other, fd, offsets, 100);
    yield* g.call("copy_file_range", fd, offsets, other, offsets + 8, 6000, 0);
    yield* g.ok("close", other);
    yield* g.ok("openat", AT_FDCWD, yield* g.put("/tmp/b"), O.WRONLY | O.TRUNC, 0);
  }),
  scenario("files/descriptors", function* (g) {
    yield* g.setUp();
    const fd = yield* open(g, "/dev/null", O.RDWR);
    yield* g.ok("dup", fd);
    yield* g.ok("dup3", fd, 40, O.CLOEXEC);
    yield* g.ok("dup3", 1, 40, 0);
    yield* g.fails("EINVAL", "dup3", 40, 40, 0);
    yield* g.fails("EBADF", "dup", 77);
    yield* g.ok("fcntl", fd, 0, 100);
    yield* g.ok("fcntl", fd, 1030, 50);
    yield* g.ok("fcntl", fd, 1, 0);
    yield* g.ok("fcntl", fd, 2, 1);
    yield* g.ok("fcntl", fd, 2, 0);
    yield* g.ok("fcntl", fd, 3, 0);
    yield* g.ok("fcntl", fd, 4, O.NONBLOCK | O.APPEND);
    yield* g.fails("EINVAL", "fcntl", fd, 999, 0);
    yield* g.ok("close_range", 60, 200, 4);
    yield* g.ok("close_range", 40, 200, 0);
    const byte = g.bytes(16);
    yield* g.ok("read", yield* open(g, "/dev/zero", O.RDONLY), byte, 1);
    yield* g.ok("read", yield* open(g, "/dev/urandom", O.RDONLY), byte, 8);
    yield* g.fails("ENOSPC", "write", yield* open(g, "/dev/full", O.WRONLY), byte, 1);
    yield* g.ok("write", fd, byte, 1);
    yield* g.ok("read", fd, byte, 1);
    yield* g.fails("ENOTTY", "ioctl", fd, 0x5401, byte);
    yield* g.call("flock", fd, 2);
    yield* g.call("flock", fd, 8);
    const lock = yield* g.put([1, 0, 10, 0]);
    yield* g.call("fcntl", fd, 6, lock);
    yield* g.call("fcntl", fd, 5, lock);
    const status = g.bytes(256);
    yield* g.ok("fstat", fd, status);
    yield* g.ok("fstatfs", fd, status);
  }),
  scenario("files/names", function* (g) {
    yield* g.setUp();
    const at = (path: string): Step<number> => g.put(path);
    yield* g.ok("mkdirat", AT_FDCWD, yield* at("/tmp/d"), 0o755);
    yield* g.fails("EEXIST", "mkdirat", AT_FDCWD, yield* at("/tmp/d"), 0o755);
    yield* g.fails("ENOENT", "mkdirat", AT_FDCWD, yield* at("/tmp/x/y"), 0o755);
    const fd = yield* open(g, "/tmp/d/f", O.WRONLY | O.CREAT);
    yield* g.ok("linkat", AT_FDCWD, yield* at("/tmp/d/f"), AT_FDCWD, yield* at("/tmp/l"), 0);
    yield* g.ok("symlinkat", yield* at("d/f"), AT_FDCWD, yield* at("/tmp/s"));
    yield* g.ok("readlinkat", AT_FDCWD, yield* at("/tmp/s"), g.bytes(64), 64);
    yield* open(g, "/tmp/s", O.RDONLY);
    yield* g.fails("ELOOP", "openat", AT_FDCWD, yield* at("/tmp/s"), O.RDONLY | O.NOFOLLOW, 0);
    yield* g.ok("renameat2", AT_FDCWD, yield* at("/tmp/l"), AT_FDCWD, yield* at("/tmp/d/g"), 0);
    yield* g.ok("renameat2", AT_FDCWD, yield* at("/tmp/s"), AT_FDCWD, yield* at("/tmp/t"), 1);
    yield* g.call("renameat2", AT_FDCWD, yield* at("/tmp/t"), AT_FDCWD, yield* at("/tmp/d/f"), 2);
    yield* g.ok("mkdirat", AT_FDCWD, yield* at("/tmp/e"), 0o700);
    yield* g.ok("renameat2", AT_FDCWD, yield* at("/tmp/d"), AT_FDCWD, yield* at("/tmp/e"), 0);
    yield* g.fails("ENOTEMPTY", "unlinkat", AT_FDCWD, yield* at("/tmp/e"), 0x200);
    yield* g.fails("EISDIR", "unlinkat", AT_FDCWD, yield* at("/tmp/e"), 0);
    const directory = yield* open(g, "/tmp/e", O.RDONLY | O.DIRECTORY);
    const entries = g.bytes(1024);
    yield* g.ok("getdents64", directory, entries, 64);
    yield* g.ok("getdents64", directory, entries, 1024);
    yield* g.ok("getdents64", directory, entries, 1024);
    yield* g.ok("lseek", directory, 0, 0);
    yield* g.ok("openat", directory, yield* at("g"), O.RDONLY, 0);
    yield* g.ok("fchdir", directory);
    yield* g.ok("getcwd", entries, 1024);
    yield* g.fails("ERANGE", "getcwd", entries, 2);
    yield* g.ok("unlinkat", AT_FDCWD, yield* at("g"), 0);
    yield* g.call("unlinkat", AT_FDCWD, yield* at("f"), 0);
    yield* g.ok("close", fd);
    yield* g.ok("chdir", yield* at(".."));
    yield* g.ok("unlinkat", AT_FDCWD, yield* at("e"), 0x200);
    yield* g.ok("mknodat", AT_FDCWD, yield* at("/tmp/fifo"), 0o010600, 0);
    yield* g.ok("mknodat", AT_FDCWD, yield* at("/tmp/null"), 0o020666, 0x103);
    yield* g.ok("umask", 0o77);
    yield* g.ok("mkdirat", AT_FDCWD, yield* at("/tmp/root"), 0o777);
    yield* g.ok("chroot", yield* at("/tmp/root"));
    yield* g.ok("getcwd", entries, 1024);
    yield* g.fails("ENOENT", "chdir", yield* at("/tmp"));
  }),
  scenario("files/attributes", function* (g) {
    yield* g.setUp();
    const fd = yield* open(g, "/tmp/f", O.RDWR | O.CREAT);
    const path = yield* g.put("/tmp/f");
    const status = g.bytes(256);
    yield* g.ok("newfstatat", AT_FDCWD, path, status, 0);
    yield* g.ok("newfstatat", fd, yield* g.put(""), status, 0x1000);
    yield* g.ok("statx", AT_FDCWD, path, 0, 0xfff, status);
    yield* g.ok("statfs", path, status);
    yield* g.ok("fchmod", fd, 0o600);
    yield* g.ok("fchmodat", AT_FDCWD, path, 0o4755);
    yield* g.call("fchmodat2", AT_FDCWD, path, 0o711, 0);
    yield* g.ok("fchown", fd, 5, 6);
    yield* g.ok("fchownat", AT_FDCWD, path, 7, -1, 0);
    yield* g.ok("faccessat", AT_FDCWD, path, 4);
    yield* g.ok("faccessat2", AT_FDCWD, path, 7, 0x200);
    yield* g.fails("ENOENT", "faccessat", AT_FDCWD, yield* g.put("/tmp/none"), 0);
    yield* g.ok("utimensat", AT_FDCWD, path, yield* g.put([1, 2, 3, 4]), 0);
    yield* g.ok("utimensat", AT_FDCWD, path, 0, 0);
    yield* g.ok("utimensat", fd, 0, yield* g.put([0, 0x3fff_ffff, 0, 0x3fff_fffe]), 0);
    yield* g.call("getxattr", path, yield* g.put("user.x"), status, 16);
    yield* g.call("lgetxattr", path, yield* g.put("user.x"), status, 16);
    yield* g.call("fgetxattr", fd, yield* g.put("user.x"), status, 16);
    yield* g.call("listxattr", path, status, 16);
    yield* g.call("llistxattr", path, status, 16);
    yield* g.call("flistxattr", fd, status, 16);
    yield* g.call("setxattr", path, yield* g.put("user.x"), status, 1, 0);
    yield* g.call("lsetxattr", path, yield* g.put("user.x"), status, 1, 0);
    yield* g.call("fsetxattr", fd, yield* g.put("user.x"), status, 1, 0);
    yield* g.call("removexattr", path, yield* g.put("user.x"));
    yield* g.call("lremovexattr", path, yield* g.put("user.x"));
    yield* g.call("fremovexattr", fd, yield* g.put("user.x"));
    yield* g.call("openat2", AT_FDCWD, path, yield* g.put([0, 0, 0]), 24);
    yield* g.ok("mkdirat", AT_FDCWD, yield* g.put("/tmp/m"), 0o755);
    const tmpfs = yield* g.put("tmpfs");
    yield* g.ok("mount", tmpfs, yield* g.put("/tmp/m"), tmpfs, 0, 0);
    const inside = yield* open(g, "/tmp/m/x", O.RDWR | O.CREAT);
    yield* g.call("umount2", yield* g.put("/tmp/m"), 0);
    yield* g.ok("close", inside);
    yield* g.ok("umount2", yield* g.put("/tmp/m"), 0);
  }),
  scenario(
    "files/permissions",
    function* (g) {
      yield* g.setUp();
      yield* g.fails("EACCES", "openat", AT_FDCWD, yield* g.put("/bin/x"), O.WRONLY | O.CREAT, 0o600);
      yield* open(g, "/tmp/mine", O.WRONLY | O.CREAT, 0o400);
      yield* g.fails("EACCES", "openat", AT_FDCWD, yield* g.put("/tmp/mine"), O.WRONLY, 0);
      yield* g.fails("EPERM", "fchownat", AT_FDCWD, yield* g.put("/tmp/mine"), 0, 0, 0);
      yield* g.ok("fchmodat", AT_FDCWD, yield* g.put("/tmp/mine"), 0o666);
      yield* g.fails("EPERM", "chroot", yield* g.put("/tmp"));
      yield* g.fails(
        "EPERM",
        "mount",
        yield* g.put("tmpfs"),
        yield* g.put("/tmp"),
        yield* g.put("tmpfs"),
        0,
        0,
      );
    },
    { uid: 1000 },
  ),
];
