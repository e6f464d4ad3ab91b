/** Signals, memory, time, identity, terminals and the system as a whole. */

import { AT_FDCWD, O, scenario, type Scenario } from "./scenario.ts";

const SIG = { INT: 2, USR1: 10, ALRM: 14, TERM: 15, CHLD: 17, CONT: 18, STOP: 19, TTOU: 22, RT: 34 } as const;
const SA_RESTART = 0x1000_0000;
const SA_SIGINFO = 4;
const SA_ONSTACK = 0x0800_0000;
const EINTR = -4;
const MAP = { SHARED: 1, PRIVATE: 2, FIXED: 0x10, ANONYMOUS: 0x20, POPULATE: 0x8000 } as const;

export const signals: readonly Scenario[] = [
  scenario("signals/handlers", function* (g) {
    yield* g.setUp();
    const counter = yield* g.put([0]);
    const handler = g.handler(function* (inside) {
      const count = yield* inside.word(counter);
      yield* inside.poke(counter, Uint8Array.of(count + 1));
      yield* inside.ok("getpid");
    });
    const pid = yield* g.ok("getpid");
    const tid = yield* g.ok("gettid");
    yield* g.ok(
      "rt_sigaction",
      SIG.USR1,
      yield* g.put([handler, SA_RESTART | SA_SIGINFO, 0]),
      g.bytes(24),
      8,
    );
    yield* g.ok("kill", pid, SIG.USR1);
    yield* g.ok("tkill", tid, SIG.USR1);
    yield* g.ok("tgkill", pid, tid, SIG.USR1);
    yield* g.ok("kill", 0, SIG.USR1);
    yield* g.ok("kill", pid, 0);
    yield* g.fails("ESRCH", "kill", 12_345, SIG.USR1);
    yield* g.fails("EINVAL", "kill", pid, 99);
    const block = yield* g.put([1 << (SIG.USR1 - 1)]);
    const old = g.bytes(8);
    yield* g.ok("rt_sigprocmask", 0, block, old, 8);
    yield* g.ok("kill", pid, SIG.USR1);
    yield* g.ok("rt_sigpending", old, 8);
    yield* g.ok("rt_sigprocmask", 1, block, 0, 8);
    yield* g.ok("rt_sigprocmask", 2, yield* g.put([1 << (SIG.USR1 - 1)]), 0, 8);
    const both = yield* g.put([(1n << BigInt(SIG.USR1 - 1)) | (1n << BigInt(SIG.RT - 1))]);
    yield* g.ok("rt_sigprocmask", 0, both, 0, 8);
    const info = yield* g.put([SIG.USR1, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    yield* g.call("rt_sigqueueinfo", pid, SIG.USR1, info);
    yield* g.call("rt_tgsigqueueinfo", pid, tid, SIG.RT, info);
    yield* g.call("rt_sigtimedwait", both, g.bytes(128), yield* g.put([0, 0]), 8);
    yield* g.call("rt_sigtimedwait", both, g.bytes(128), yield* g.put([0, 0]), 8);
    yield* g.fails("EAGAIN", "rt_sigtimedwait", both, 0, yield* g.put([0, 1000]), 8);
    yield* g.ok("kill", pid, SIG.USR1);
    const result = yield* g.call("rt_sigsuspend", yield* g.put([0]), 8);
    if (result !== EINTR) throw new Error(`sigsuspend gave ${result}`);
    const stack = g.bytes(16_384);
    yield* g.ok("sigaltstack", yield* g.put([stack, 0, 16_384]), old);
    const onStack = [handler, SA_ONSTACK, 0] as const;
    yield* g.ok("rt_sigaction", SIG.INT, yield* g.put(onStack), 0, 8);
    yield* g.ok("kill", pid, SIG.INT);
    yield* g.ok("rt_sigaction", SIG.INT, yield* g.put([1, 0, 0]), 0, 8);
    yield* g.ok("kill", pid, SIG.INT);
  }),
  scenario("signals/interrupting and stopping", function* (g) {
    yield* g.setUp();
    const fds = g.bytes(8);
    yield* g.ok("pipe2", fds, 0);
    const [reader, writer] = [yield* g.word(fds), yield* g.word(fds + 4)];
    const parent = yield* g.ok("getpid");
    const handler = g.handler(function* (inside) {
      yield* inside.ok("getppid");
    });
    yield* g.ok("rt_sigaction", SIG.USR1, yield* g.put([handler, 0, 0]), 0, 8);
    yield* g.ok("rt_sigaction", SIG.ALRM, yield* g.put([handler, SA_RESTART, 0]), 0, 8);
    const child = yield* g.fork(function* (own) {
      yield* own.ok("kill", parent, SIG.USR1);
      yield* own.ok("sched_yield");
      yield* own.ok("kill", parent, SIG.ALRM);
      yield* own.ok("sched_yield");
      yield* own.ok("write", writer, yield* own.put("x"), 1);
      yield* own.call("rt_sigsuspend", yield* own.put([0]), 8);
      yield* own.call("rt_sigsuspend", yield* own.put([0]), 8);
    });
    const byte = g.bytes(8);
    let got: number;
    do got = yield* g.call("read", reader, byte, 1);
    while (got === EINTR);
    yield* g.ok("kill", child, SIG.STOP);
    yield* g.ok("wait4", child, byte, 2, 0);
    yield* g.ok("kill", child, SIG.CONT);
    yield* g.ok("wait4", child, byte, 8, 0);
    yield* g.ok("kill", child, SIG.TERM);
    yield* g.ok("wait4", child, byte, 0, 0);
  }),
  scenario("signals/faults", function* (g) {
    yield* g.setUp();
    const handler = g.handler(function* (inside) {
      yield* inside.ok("exit_group", 9);
    });
    yield* g.fork(function* (child) {
      yield* child.touch(8, false);
      throw new Error("survived SIGSEGV");
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("rt_sigaction", 11, yield* g.put([handler, SA_SIGINFO, 0]), 0, 8);
    yield* g.touch(8, true);
  }),
];

export const memory: readonly Scenario[] = [
  scenario("memory/mapping", function* (g) {
    yield* g.setUp();
    const at = yield* g.ok("mmap", 0, 65_536, 3, MAP.PRIVATE | MAP.ANONYMOUS, -1, 0);
    for (const page of [0, 1, 5]) yield* g.poke(at + page * 4096, Uint8Array.of(1));
    yield* g.ok("mprotect", at + 4096, 4096, 1);
    yield* g.ok("mprotect", at, 65_536, 3);
    yield* g.ok("madvise", at, 8192, 4);
    yield* g.call("madvise", at, 8192, 3);
    yield* g.call("mlock", at, 4096);
    yield* g.call("mlock", at, 1 << 30);
    yield* g.call("mlockall", 2);
    yield* g.call("mmap", 0, 8192, 3, 0x22, -1, 0);
    yield* g.call("mmap", 0, 8192, 3, 0x2022, -1, 0);
    yield* g.call("munlock", at, 4096);
    yield* g.call("mlock2", at, 4096, 0);
    yield* g.call("mlockall", 1);
    yield* g.call("munlockall");
    yield* g.call("mincore", at, 65_536, g.bytes(16));
    yield* g.call("msync", at, 4096, 4);
    yield* g.ok("mmap", at + 8192, 4096, 3, MAP.PRIVATE | MAP.ANONYMOUS | MAP.FIXED, -1, 0);
    const moved = yield* g.ok("mremap", at, 65_536, 131_072, 1, 0);
    yield* g.ok("mremap", moved, 131_072, 8192, 0, 0);
    yield* g.ok("munmap", moved + 4096, 4096);
    yield* g.ok("munmap", moved, 8192);
    yield* g.fails("EINVAL", "munmap", 1, 4096);
    yield* g.fails("EINVAL", "mmap", 0, 0, 3, MAP.PRIVATE | MAP.ANONYMOUS, -1, 0);
    const end = yield* g.ok("brk", 0);
    yield* g.ok("brk", end + 10_000);
    yield* g.poke(end + 100, Uint8Array.of(7));
    yield* g.ok("brk", end);
    yield* g.ok("mmap", 0, 16_384, 3, MAP.PRIVATE | MAP.ANONYMOUS | MAP.POPULATE, -1, 0);
    yield* g.call("riscv_flush_icache", at, at + 4096, 0);
    yield* g.call("riscv_hwprobe", g.bytes(16), 1, 0, 0, 0);
  }),
  scenario("memory/wide mappings", function* (g) {
    yield* g.setUp();
    const bytes = 16 * 2 ** 20;
    const own = yield* g.ok("mmap", 0, bytes, 3, MAP.PRIVATE | MAP.ANONYMOUS, -1, 0);
    const shared = yield* g.ok("mmap", 0, bytes, 3, MAP.SHARED | MAP.ANONYMOUS, -1, 0);
    for (const at of [0, 1, 600, 1500, 4095]) {
      yield* g.poke(own + at * 4096, Uint8Array.of(1));
      yield* g.poke(shared + at * 4096, Uint8Array.of(2));
    }
    yield* g.ok("madvise", shared, bytes, 4);
    yield* g.fork(function* (child) {
      yield* child.poke(own, Uint8Array.of(3));
      yield* child.peek(shared + 4095 * 4096, 1);
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
    const moved = yield* g.ok("mremap", own, bytes, bytes * 2, 1, 0);
    yield* g.ok("mprotect", moved + 2 ** 20, bytes / 2, 1);
    yield* g.ok("munmap", shared, bytes);
  }),
  scenario("memory/files and sharing", function* (g) {
    yield* g.setUp();
    const path = yield* g.put("/tmp/m");
    const fd = yield* g.ok("openat", AT_FDCWD, path, O.RDWR | O.CREAT, 0o600);
    yield* g.ok("ftruncate", fd, 12_288);
    const shared = yield* g.ok("mmap", 0, 12_288, 3, MAP.SHARED, fd, 0);
    const own = yield* g.ok("mmap", 0, 12_288, 3, MAP.PRIVATE, fd, 0);
    yield* g.poke(shared, Uint8Array.of(1, 2, 3));
    yield* g.peek(own, 3);
    yield* g.poke(own, Uint8Array.of(9));
    const anonymous = yield* g.ok("mmap", 0, 8192, 3, MAP.SHARED | MAP.ANONYMOUS, -1, 0);
    yield* g.poke(anonymous, Uint8Array.of(4));
    yield* g.fork(function* (child) {
      yield* child.poke(anonymous, Uint8Array.of(5));
      yield* child.poke(shared + 4096, Uint8Array.of(6));
      yield* child.poke(own + 4096, Uint8Array.of(7));
      yield* child.ok("munmap", shared, 12_288);
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.poke(own, Uint8Array.of(8));
    yield* g.ok("pread64", fd, g.bytes(16), 3, 0);
    yield* g.ok("msync", shared, 4096, 4);
    yield* g.ok("madvise", anonymous, 4096, 4);
    yield* g.ok("ftruncate", fd, 100);
    yield* g.ok("close", fd);
    yield* g.ok("munmap", shared, 12_288);
    yield* g.ok("unlinkat", AT_FDCWD, path, 0);
  }),
];

export const time: readonly Scenario[] = [
  scenario("time/clocks and sleeping", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(256);
    for (const clock of [0, 1, 2, 3, 4, 5, 6, 7]) yield* g.ok("clock_gettime", clock, buffer);
    yield* g.fails("EINVAL", "clock_gettime", 99, buffer);
    yield* g.ok("clock_getres", 1, buffer);
    yield* g.ok("gettimeofday", buffer, 0);
    yield* g.ok("nanosleep", yield* g.put([0, 1_000_000]), 0);
    yield* g.ok("clock_nanosleep", 1, 0, yield* g.put([0, 1000]), 0);
    yield* g.ok("clock_nanosleep", 1, 1, yield* g.put([1, 0]), 0);
    yield* g.fails("EINVAL", "nanosleep", yield* g.put([0, -1]), 0);
    yield* g.call("clock_settime", 0, yield* g.put([0, 0]));
    yield* g.call("settimeofday", yield* g.put([0, 0]), 0);
    yield* g.call("clock_adjtime", 0, buffer);
    yield* g.ok("times", buffer);
    yield* g.ok("getrusage", -1, buffer);
  }),
  scenario("time/interval timers", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(64);
    const handler = g.handler(function* (inside) {
      yield* inside.ok("getpid");
    });
    yield* g.ok("rt_sigaction", SIG.ALRM, yield* g.put([handler, 0, 0]), 0, 8);
    yield* g.ok("setitimer", 0, yield* g.put([0, 500, 0, 1000]), 0);
    yield* g.ok("getitimer", 0, buffer);
    yield* g.call("nanosleep", yield* g.put([1, 0]), buffer);
    yield* g.call("nanosleep", yield* g.put([1, 0]), buffer);
    yield* g.ok("setitimer", 0, yield* g.put([0, 0, 0, 0]), buffer);
    yield* g.call("setitimer", 1, yield* g.put([0, 0, 0, 0]), buffer);
  }),
  scenario("time/POSIX timers", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(128);
    const id = g.bytes(4);
    const set = yield* g.put([(1n << BigInt(SIG.USR1 - 1)) | (1n << BigInt(SIG.RT - 1))]);
    yield* g.ok("rt_sigprocmask", 0, set, 0, 8);
    const event = (signal: number, notify: number): ReturnType<typeof g.put> =>
      g.put([7, BigInt(signal) | (BigInt(notify) << 32n), 0, 0, 0, 0, 0, 0]);
    // A standard signal with an interval: taken twice, with expirations that were missed.
    yield* g.ok("timer_create", 1, yield* event(SIG.USR1, 0), id);
    yield* g.ok("timer_settime", 0, 0, yield* g.put([0, 1000, 0, 1000]), buffer);
    for (let i = 0; i < 2; i++) {
      yield* g.ok("nanosleep", yield* g.put([0, 10_000]), 0);
      yield* g.ok("rt_sigtimedwait", set, buffer, yield* g.put([1, 0]), 8);
    }
    yield* g.ok("timer_getoverrun", 0);
    yield* g.ok("timer_gettime", 0, buffer);
    // To a thread, once, by the clock of the day.
    const tid = yield* g.ok("gettid");
    const toThread = yield* g.put([9, BigInt(SIG.RT) | (4n << 32n), tid, 0, 0, 0, 0, 0]);
    yield* g.ok("timer_create", 0, toThread, id);
    yield* g.ok("timer_settime", 1, 0, yield* g.put([0, 0, 0, 1000]), 0);
    yield* g.ok("nanosleep", yield* g.put([0, 10_000]), 0);
    yield* g.ok("rt_sigtimedwait", set, buffer, yield* g.put([1, 0]), 8);
    // By time on harts, and ignored.
    yield* g.ok("timer_create", 2, yield* event(SIG.USR1, 1), id);
    yield* g.ok("timer_settime", 2, 0, yield* g.put([0, 0, 0, 1000]), 0);
    yield* g.ok("timer_create", 1, yield* event(SIG.CHLD, 0), id);
    yield* g.ok("timer_settime", 3, 0, yield* g.put([0, 1000, 0, 1000]), 0);
    yield* g.ok("nanosleep", yield* g.put([0, 10_000]), 0);
    yield* g.fails("EINVAL", "timer_settime", 9, 0, buffer, 0);
    // Deleted while its signal waits; the rest ends with the process.
    yield* g.ok("nanosleep", yield* g.put([0, 10_000]), 0);
    yield* g.ok("timer_delete", 0);
    yield* g.fails("EINVAL", "timer_delete", 0);
    yield* g.ok("rt_sigtimedwait", set, buffer, yield* g.put([1, 0]), 8);
  }),
];

export const identity: readonly Scenario[] = [
  scenario("identity/ids and groups", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(256);
    for (const name of ["getuid", "geteuid", "getgid", "getegid"]) yield* g.ok(name);
    yield* g.ok("getresuid", buffer, buffer + 4, buffer + 8);
    yield* g.ok("getresgid", buffer, buffer + 4, buffer + 8);
    const groups = yield* g.put(new Uint8Array(Uint32Array.from([3, 4, 5]).buffer));
    yield* g.ok("setgroups", 3, groups);
    yield* g.ok("getgroups", 0, 0);
    yield* g.ok("getgroups", 10, buffer);
    yield* g.fails("EINVAL", "getgroups", 1, buffer);
    yield* g.ok("setregid", -1, 9);
    yield* g.ok("setresgid", 8, 9, 10);
    yield* g.ok("setgid", 11);
    yield* g.ok("setfsgid", 12);
    yield* g.ok("setreuid", -1, 0);
    yield* g.ok("setfsuid", 0);
    const header = yield* g.put(new Uint8Array(Uint32Array.from([0x2008_0522, 0]).buffer));
    yield* g.ok("capget", header, buffer);
    yield* g.call("capset", header, buffer);
    yield* g.ok("setresuid", 1000, 1000, 0);
    yield* g.fails("EPERM", "setgid", 0);
    yield* g.ok("setuid", 1000);
    yield* g.ok("setresuid", -1, 0, -1);
    yield* g.ok("setresuid", 1000, 1000, 1000);
    yield* g.fails("EPERM", "setuid", 0);
    yield* g.fails("EPERM", "setgroups", 0, 0);
    yield* g.call("kill", 1, SIG.TERM);
  }),
];

export const terminals: readonly Scenario[] = [
  scenario(
    "tty/line discipline and modes",
    function* (g) {
      yield* g.setUp();
      const buffer = g.bytes(256);
      const TC = { GETS: 0x5401, SETS: 0x5402, SETSW: 0x5403, SETSF: 0x5404 };
      yield* g.ok("ioctl", 0, TC.GETS, buffer);
      yield* g.ok("ioctl", 0, TC.SETS, buffer);
      yield* g.ok("ioctl", 0, TC.SETSW, buffer);
      yield* g.ok("ioctl", 0, TC.SETSF, buffer);
      yield* g.ok("ioctl", 0, 0x5413, buffer);
      yield* g.ok("ioctl", 0, 0x5414, buffer);
      yield* g.ok("ioctl", 0, 0x540f, buffer);
      yield* g.ok("ioctl", 0, 0x5410, buffer);
      yield* g.call("ioctl", 0, 0x5429, buffer);
      yield* g.call("ioctl", 0, 0x540b, 0);
      yield* g.call("ioctl", 0, 0x541b, buffer);
      yield* g.ok("write", 1, yield* g.put("a\ttab\nline\b\b"), 11);
      const tty = yield* g.ok("openat", AT_FDCWD, yield* g.put("/dev/tty"), O.RDWR, 0);
      yield* g.ok("write", tty, yield* g.put("x"), 1);
      yield* g.ok("fstat", 0, buffer);
      const polls = yield* g.put(new Uint8Array(Int32Array.from([0, 1, 1, 4]).buffer));
      yield* g.ok("ppoll", polls, 2, yield* g.put([0, 0]), 0, 8);
      // A session leader that gives its terminal up gets SIGHUP.
      yield* g.ok("rt_sigaction", 1, yield* g.put([1, 0, 0]), 0, 8);
      yield* g.ok("ioctl", 0, 0x5422, 0);
    },
    { tty: true },
  ),
  scenario("tty/a pseudo-terminal of one's own", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(256);
    const master = yield* g.ok("openat", AT_FDCWD, yield* g.put("/dev/ptmx"), O.RDWR, 0);
    yield* g.ok("ioctl", master, 0x8004_5430, buffer);
    yield* g.ok("ioctl", master, 0x4004_5431, yield* g.put([0]));
    const number = yield* g.word(buffer);
    yield* g.call("openat", AT_FDCWD, yield* g.put(`/dev/pts/${number}`), O.RDWR | 0o400, 0);
    const slave = yield* g.ok("ioctl", master, 0x5441, O.RDWR | 0o400);
    yield* g.ok("write", master, yield* g.put("line\n"), 5);
    yield* g.ok("read", slave, buffer, 100);
    yield* g.ok("read", master, buffer, 100);
    yield* g.ok("write", slave, yield* g.put("out\n"), 4);
    yield* g.ok("read", master, buffer, 2);
    yield* g.fork(function* (child) {
      yield* child.ok("setsid");
      yield* child.ok("ioctl", slave, 0x540e, 0);
      yield* child.ok("read", slave, buffer, 10);
      yield* child.ok("exit_group", 1);
    });
    yield* g.ok("sched_yield");
    yield* g.ok("write", master, yield* g.put(Uint8Array.of(8, 21, 4, 3)), 4);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("close", slave);
    yield* g.call("read", master, buffer, 100);
    yield* g.ok("close", master);
  }),
];

export const system: readonly Scenario[] = [
  scenario("system/names and numbers", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(512);
    yield* g.ok("uname", buffer);
    yield* g.ok("sethostname", yield* g.put("other"), 5);
    yield* g.ok("setdomainname", yield* g.put("domain"), 6);
    yield* g.ok("sysinfo", buffer);
    yield* g.ok("getrandom", buffer, 100, 0);
    yield* g.fails("EINVAL", "getrandom", buffer, 100, 99);
    yield* g.fails("ENOSYS", "io_uring_setup", 1, buffer);
    yield* g.ok("setrlimit", 7, yield* g.put([100, 200]));
    yield* g.fails("EINVAL", "setrlimit", 7, yield* g.put([300, 200]));
    yield* g.ok("sched_setparam", 0, yield* g.put([0]));
    yield* g.ok("sched_rr_get_interval", 0, buffer);
    yield* g.ok("sched_getattr", 0, buffer, 48, 0);
    yield* g.ok("sched_setattr", 0, yield* g.put([48, 0, 5, 0, 0, 0]), 0);
    yield* g.ok("ioprio_set", 1, 0, 2 << 13);
    yield* g.ok("ioprio_get", 1, 0);
    yield* g.call("syslog", 10, 0, 0);
    yield* g.call("reboot", 0, 0, 0, 0);
  }),
];
