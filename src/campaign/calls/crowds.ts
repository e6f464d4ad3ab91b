/** Sets without a bound, and files that others close: signals to many processes, ends that are waited for. */

import type { Guest, Step } from "../guest.ts";
import { AT_FDCWD, O, scenario, type Scenario, thread } from "./scenario.ts";

const SIG = { INT: 2, KILL: 9, USR2: 12, PIPE: 13, CONT: 18, STOP: 19 } as const;
const SIG_IGN = 1;
const POLLIN = 1;
/** Processes in a crowd: more than two transactions signal (batchAfter in kernel/process.ts). */
const CROWD = 13;
const F = { SETLK: 6, SETLKW: 7, OFD_GETLK: 36, OFD_SETLK: 37, OFD_SETLKW: 38 } as const;
const IOCTL = { TIOCSPTLCK: 0x4004_5431, TIOCGPTPEER: 0x5441, TIOCSCTTY: 0x540e } as const;

/** Makes CROWD children that wait for a signal. */
function* crowd(g: Guest): Step {
  for (let i = 0; i < CROWD; i++) {
    const pid = yield* g.fork(function* (child) {
      yield* child.call("rt_sigsuspend", yield* child.put([0]), 8);
      yield* child.ok("exit_group", 1);
    });
    if (pid < 0) throw new Error(`only ${i} processes`);
  }
}

function* reap(g: Guest): Step {
  for (let i = 0; i < CROWD; i++) yield* g.ok("wait4", -1, 0, 0, 0);
}

/** Threads that run `program` and end. */
function* threads(g: Guest, count: number, program: (own: Guest) => Step): Step {
  for (let i = 0; i < count; i++) yield* thread(g, program);
}

/** A thread that makes one call and ends. */
function* threadCalling(g: Guest, call: string, ...args: readonly number[]): Step {
  yield* thread(g, function* (own) {
    yield* own.call(call, ...args);
  });
}

export const crowds: readonly Scenario[] = [
  scenario("crowds/kill", function* (g) {
    yield* g.setUp();
    yield* g.fails("ESRCH", "kill", -1, 0);
    yield* crowd(g);
    yield* g.ok("kill", -1, 0);
    yield* g.fails("ESRCH", "kill", -30000, SIG.KILL);
    yield* g.ok("rt_sigaction", SIG.USR2, yield* g.put([SIG_IGN, 0, 0]), 0, 8);
    yield* g.ok("kill", 0, SIG.USR2);
    yield* reap(g);
    yield* crowd(g);
    yield* g.ok("kill", -1, SIG.KILL);
    yield* reap(g);
  }),
  scenario("crowds/files that are not ready", function* (g) {
    yield* g.setUp();
    const ends = g.bytes(8);
    yield* g.ok("pipe2", ends, 0);
    // More waiters than a few refills of a stock bring.
    const files = 100;
    const polls = new Int32Array(files * 2);
    for (let i = 0; i < files; i++) polls.set([0, POLLIN], i * 2);
    const at = yield* g.put(new Uint8Array(polls.buffer));
    yield* g.ok("ppoll", at, files, yield* g.put([0, 1000]), 0, 8);
  }),
  scenario("crowds/a key", function* (g) {
    yield* g.setUp();
    const master = yield* g.ok("openat", AT_FDCWD, yield* g.put("/dev/ptmx"), O.RDWR, 0);
    yield* g.ok("ioctl", master, IOCTL.TIOCSPTLCK, yield* g.put([0]));
    const slave = yield* g.ok("ioctl", master, IOCTL.TIOCGPTPEER, O.RDWR | 0o400);
    yield* g.fork(function* (leader) {
      yield* leader.ok("setsid");
      yield* leader.ok("ioctl", slave, IOCTL.TIOCSCTTY, 0);
      yield* crowd(leader);
      yield* leader.ok("rt_sigaction", SIG.INT, yield* leader.put([SIG_IGN, 0, 0]), 0, 8);
      yield* leader.ok("write", master, yield* leader.put(Uint8Array.of(3)), 1);
      yield* reap(leader);
      yield* leader.ok("exit_group", 0);
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("close", slave);
    yield* g.ok("close", master);
  }),
  scenario("crowds/ends that others close", function* (g) {
    yield* g.setUp();
    const fds = g.bytes(8);
    const buffer = g.bytes(4096 * 17);
    yield* g.ok("rt_sigaction", SIG.PIPE, yield* g.put([SIG_IGN, 0, 0]), 0, 8);
    for (const waits of ["read", "write"] as const) {
      yield* g.ok("pipe2", fds, 0);
      const [reader, writer] = [yield* g.word(fds), yield* g.word(fds + 4)];
      yield* threadCalling(g, waits, waits === "read" ? reader : writer, buffer, 4096 * 17);
      yield* g.ok("sched_yield");
      yield* g.ok("close", waits === "read" ? reader : writer);
      yield* g.ok("close", waits === "read" ? writer : reader);
      yield* g.ok("sched_yield");
    }
    for (const [make, first] of [
      ["eventfd2", 0],
      ["timerfd_create", 1],
    ] as const) {
      const file = yield* g.ok(make, first, 0);
      yield* threadCalling(g, "read", file, buffer, 8);
      yield* threadCalling(g, "read", file, buffer, 8);
      yield* g.ok("sched_yield");
      yield* g.ok("close", file);
      yield* g.ok("sched_yield");
    }
    const poll = yield* g.ok("epoll_create1", 0);
    yield* threadCalling(g, "epoll_pwait", poll, buffer, 1, -1, 0, 8);
    yield* g.ok("sched_yield");
    yield* g.ok("close", poll);
    yield* g.ok("sched_yield");
    const master = yield* g.ok("openat", AT_FDCWD, yield* g.put("/dev/ptmx"), O.RDWR, 0);
    yield* threadCalling(g, "read", master, buffer, 8);
    yield* g.ok("sched_yield");
    yield* g.ok("close", master);
    yield* g.ok("sched_yield");
    const socket = g.bytes(8);
    yield* g.ok("socketpair", 1, 1, 0, socket);
    yield* threadCalling(g, "read", yield* g.word(socket), buffer, 8);
    yield* g.ok("sched_yield");
    yield* g.ok("close", yield* g.word(socket));
    yield* g.ok("close", yield* g.word(socket + 4));
    yield* g.ok("sched_yield");
  }),
  scenario("crowds/locks of open files, and a circle", function* (g) {
    yield* g.setUp();
    const lock = (type: number, start: number, length: number): ReturnType<typeof g.put> =>
      g.put([type, start, length, 0]);
    const path = yield* g.put("/locked");
    const [a, b] = [
      yield* g.ok("openat", AT_FDCWD, path, O.RDWR | O.CREAT, 0o644),
      yield* g.ok("openat", AT_FDCWD, path, O.RDWR, 0),
    ];
    for (let i = 0; i < 12; i++) yield* g.ok("fcntl", a, F.OFD_SETLK, yield* lock(i % 2, i * 2, 2));
    yield* g.ok("fcntl", a, F.OFD_SETLK, yield* lock(1, 2, 4));
    yield* g.fails("EAGAIN", "fcntl", b, F.OFD_SETLK, yield* lock(1, 0, 0));
    yield* g.fails("EAGAIN", "fcntl", b, F.SETLK, yield* lock(1, 0, 0));
    yield* g.ok("fcntl", b, F.OFD_GETLK, yield* lock(1, 3, 9));
    yield* g.fork(function* (child) {
      yield* child.ok("close", a);
      const own = yield* child.ok("openat", AT_FDCWD, path, O.RDWR, 0);
      yield* child.ok("fcntl", own, F.OFD_SETLKW, yield* child.put([1, 0, 0, 0]));
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("sched_yield");
    yield* g.ok("close", a);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("fcntl", b, F.SETLK, yield* lock(1, 0, 1));
    yield* g.fork(function* (child) {
      yield* child.ok("fcntl", b, F.SETLK, yield* child.put([1, 1, 1, 0]));
      yield* child.ok("fcntl", b, F.SETLKW, yield* child.put([1, 0, 1, 0]));
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("sched_yield");
    yield* g.fails("EDEADLK", "fcntl", b, F.SETLKW, yield* lock(1, 1, 1));
    yield* g.ok("fcntl", b, F.SETLK, yield* lock(2, 0, 1));
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("close", b);
  }),
  scenario("crowds/threads that end together", function* (g) {
    yield* g.setUp();
    const path = yield* g.put("/bin/hello");
    const argv = yield* g.put([path, 0]);
    const ends: readonly ((own: Guest) => Step)[] = [
      function* (own) {
        yield* own.ok("exit_group", 3);
      },
      function* (own) {
        yield* own.ok("kill", yield* own.ok("getpid"), SIG.KILL);
      },
      function* (own) {
        // Stopped as one, and going on as one.
        yield* own.ok("kill", yield* own.ok("getpid"), SIG.STOP);
        yield* own.ok("exit_group", 4);
      },
      function* (own) {
        // The first of two that execute wins; its thread is the process then.
        yield* threads(own, 2, function* (one) {
          yield* one.call("execve", path, argv, 0);
          yield* one.ok("exit_group", 0);
        });
        yield* own.ok("rt_sigsuspend", yield* own.put([0]), 8);
      },
    ];
    for (const end of ends) {
      const pid = yield* g.fork(function* (child) {
        const polls = yield* child.put(Array.from({ length: 20 }, () => 0x1_0000_0000));
        yield* threads(child, 12, function* (one) {
          // One that waits for more than one step takes off.
          yield* one.call("ppoll", polls, 20, 0, 0, 8);
        });
        yield* child.ok("sched_yield");
        yield* end(child);
      });
      const status = g.bytes(16);
      yield* g.ok("wait4", pid, status, 2, 0);
      if (((yield* g.word(status)) & 0xff) !== 0x7f) continue;
      yield* g.ok("kill", pid, SIG.CONT);
      yield* g.ok("wait4", pid, status, 0, 0);
    }
  }),
];
