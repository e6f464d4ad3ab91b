/** inotify: watches, the events of every kind of call, their reading, and their end. */

import { AT_FDCWD, O, scenario, type Scenario } from "./scenario.ts";

const IN = { ALL: 0xfff, CREATE: 0x100, ONESHOT: 0x8000_0000, MASK_ADD: 0x2000_0000 } as const;
const NONBLOCK = 0o4000;
const FIONREAD = 0x541b;
const AT_REMOVEDIR = 0x200;

export const watches: readonly Scenario[] = [
  scenario("watches/events", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(4096);
    const notify = yield* g.ok("inotify_init1", NONBLOCK);
    const path = (text: string): ReturnType<typeof g.put> => g.put(text);
    const [directory, file, other] = [yield* path("/w"), yield* path("/w/f"), yield* path("/w/g")];
    yield* g.ok("mkdirat", AT_FDCWD, directory, 0o755);
    const wd = yield* g.ok("inotify_add_watch", notify, directory, IN.ALL);
    const made = yield* g.ok("openat", AT_FDCWD, file, O.RDWR | O.CREAT, 0o644);
    yield* g.ok("inotify_add_watch", notify, file, IN.ALL);
    yield* g.ok("inotify_add_watch", notify, file, IN.CREATE | IN.MASK_ADD);
    yield* g.ok("write", made, buffer, 10);
    yield* g.ok("write", made, buffer, 10);
    yield* g.ok("pread64", made, buffer, 10, 0);
    yield* g.ok("ioctl", notify, FIONREAD, buffer);
    yield* g.ok("read", notify, buffer, 40);
    yield* g.ok("read", notify, buffer, 4096);
    yield* g.fails("EAGAIN", "read", notify, buffer, 4096);
    yield* g.ok("ftruncate", made, 5);
    yield* g.ok("fallocate", made, 0, 0, 100);
    yield* g.ok("fchmod", made, 0o600);
    yield* g.ok("fchownat", AT_FDCWD, file, 0, 0, 0);
    yield* g.ok("utimensat", AT_FDCWD, file, 0, 0);
    yield* g.ok("linkat", AT_FDCWD, file, AT_FDCWD, other, 0);
    yield* g.ok("renameat2", AT_FDCWD, file, AT_FDCWD, other, 2);
    yield* g.ok("unlinkat", AT_FDCWD, other, 0);
    yield* g.ok("symlinkat", file, AT_FDCWD, other);
    yield* g.ok("renameat2", AT_FDCWD, other, AT_FDCWD, yield* path("/w/h"), 0);
    yield* g.fails("EINVAL", "read", notify, buffer, 20);
    yield* g.ok("ppoll", yield* g.put([notify + 2 ** 32]), 1, yield* g.put([0, 0]), 0, 8);
    yield* g.ok("read", notify, buffer, 4096);
    // The last name goes while the file is open; its end comes with the descriptor.
    yield* g.ok("unlinkat", AT_FDCWD, file, 0);
    yield* g.ok("close", made);
    yield* g.ok("read", notify, buffer, 4096);
    yield* g.ok("inotify_rm_watch", notify, wd);
    yield* g.ok("mkdirat", AT_FDCWD, yield* path("/w/d"), 0o755);
    yield* g.ok("inotify_add_watch", notify, yield* path("/w/d"), IN.ALL);
    yield* g.ok("inotify_add_watch", notify, directory, IN.CREATE | IN.ONESHOT);
    yield* g.ok("mkdirat", AT_FDCWD, yield* path("/w/e"), 0o755);
    yield* g.ok("unlinkat", AT_FDCWD, yield* path("/w/d"), AT_REMOVEDIR);
    yield* g.fails("EINVAL", "inotify_rm_watch", notify, 99);
    yield* g.ok("read", notify, buffer, 4096);
    yield* g.ok("close", notify);
  }),
  scenario("watches/a reader waits, an instance ends", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(4096);
    const notify = yield* g.ok("inotify_init1", 0);
    const poll = yield* g.ok("epoll_create1", 0);
    yield* g.ok("epoll_ctl", poll, 1, notify, yield* g.put([1, 1]));
    yield* g.ok("inotify_add_watch", notify, yield* g.put("/"), IN.ALL);
    yield* g.fork(function* (child) {
      yield* child.ok("mkdirat", AT_FDCWD, yield* child.put("/n"), 0o755);
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("read", notify, buffer, 4096);
    yield* g.ok("wait4", -1, 0, 0, 0);
    for (let i = 0; i < 12; i++) {
      yield* g.ok("mkdirat", AT_FDCWD, yield* g.put(`/n/${i}`), 0o755);
      yield* g.ok("inotify_add_watch", notify, yield* g.put(`/n/${i}`), IN.ALL);
      yield* g.ok("openat", AT_FDCWD, yield* g.put(`/n/${i}`), O.RDONLY, 0);
    }
    yield* g.ok("epoll_pwait", poll, buffer, 1, 0, 0, 8);
    yield* g.ok("close", notify);
    yield* g.ok("close", poll);
  }),
  scenario("watches/more readers than one operation tells", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(4096);
    const [directory, file] = [yield* g.put("/c"), yield* g.put("/c/f")];
    yield* g.ok("mkdirat", AT_FDCWD, directory, 0o755);
    yield* g.ok("mknodat", AT_FDCWD, file, 0o100644, 0);
    const readers: number[] = [];
    for (let i = 0; i < 34; i++) {
      const reader = yield* g.ok("inotify_init1", NONBLOCK);
      yield* g.ok("inotify_add_watch", reader, file, IN.ALL);
      readers.push(reader);
    }
    yield* g.ok("inotify_add_watch", readers[0]!, directory, IN.ALL | IN.ONESHOT);
    yield* g.ok("truncate", file, 10);
    yield* g.ok("read", readers[33]!, buffer, 4096);
    yield* g.ok("unlinkat", AT_FDCWD, file, 0);
    for (const reader of readers) yield* g.ok("read", reader, buffer, 4096);
    for (const reader of readers) yield* g.ok("close", reader);
  }),
];
