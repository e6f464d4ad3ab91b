/** Signals in all their ways of arriving, and what they do to calls that wait; a terminal's signals and modes. */

import type { Guest, Step } from "../guest.ts";
import { AT_FDCWD, O, scenario, type Scenario } from "./scenario.ts";

const SIG = { HUP: 1, USR1: 10, SEGV: 11, USR2: 12, TSTP: 20, CONT: 18, RT: 34 } as const;
const SA = {
  SIGINFO: 4,
  ONSTACK: 0x0800_0000,
  RESTART: 0x1000_0000,
  NODEFER: 0x4000_0000,
  RESETHAND: 0x8000_0000,
} as const;
const SS_AUTODISARM = 0x8000_0000;
const EINTR = -4;

function* pipe(g: Guest): Step<readonly [reader: number, writer: number]> {
  const fds = g.bytes(8);
  yield* g.ok("pipe2", fds, 0);
  return [yield* g.word(fds), yield* g.word(fds + 4)];
}

const bit = (signal: number): bigint => 1n << BigInt(signal - 1);

export const interrupts: readonly Scenario[] = [
  scenario("interrupts/actions with every flag", function* (g) {
    yield* g.setUp();
    const pid = yield* g.ok("getpid");
    const handler = g.handler(function* (inside) {
      yield* inside.ok("getpid");
    });
    const stack = g.bytes(16_384);
    const { SIGINFO, ONSTACK, NODEFER, RESETHAND } = SA;
    yield* g.ok("rt_sigaction", SIG.USR1, yield* g.put([handler, RESETHAND | SIGINFO | NODEFER, 0]), 0, 8);
    yield* g.ok("kill", pid, SIG.USR1);
    yield* g.ok("sigaltstack", yield* g.put([stack, SS_AUTODISARM, 16_384]), 0);
    yield* g.ok("rt_sigaction", SIG.USR2, yield* g.put([handler, ONSTACK, 0]), 0, 8);
    yield* g.ok("kill", pid, SIG.USR2);
    yield* g.ok("rt_sigaction", SIG.RT, yield* g.put([handler, SIGINFO, bit(SIG.USR1)]), 0, 8);
    const info = yield* g.put([SIG.RT, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    yield* g.ok("rt_sigqueueinfo", pid, SIG.RT, info);
    // Held back, twice; then both come.
    const held = yield* g.put([bit(SIG.RT) | bit(SIG.USR2) | bit(SIG.TSTP)]);
    yield* g.ok("rt_sigprocmask", 0, held, 0, 8);
    yield* g.ok("rt_sigqueueinfo", pid, SIG.RT, info);
    yield* g.ok("rt_sigqueueinfo", pid, SIG.RT, info);
    yield* g.ok("tkill", yield* g.ok("gettid"), SIG.USR2);
    yield* g.ok("kill", pid, SIG.USR2);
    yield* g.ok("kill", pid, SIG.TSTP);
    yield* g.ok("tkill", yield* g.ok("gettid"), SIG.TSTP);
    yield* g.ok("kill", pid, SIG.CONT);
    yield* g.ok("rt_sigprocmask", 1, held, 0, 8);
    yield* g.ok("rt_sigprocmask", 0, held, 0, 8);
    yield* g.ok("kill", pid, SIG.USR2);
    yield* g.ok("tkill", yield* g.ok("gettid"), SIG.USR2);
    yield* g.ok("rt_sigaction", SIG.USR2, yield* g.put([1, 0, 0]), 0, 8);
  }),
  scenario("interrupts/one address for old and new", function* (g) {
    yield* g.setUp();
    const action = yield* g.put([1, 0, 0]);
    yield* g.ok("rt_sigaction", SIG.USR1, action, action, 8);
    yield* g.ok("rt_sigaction", SIG.USR1, action, action, 8);
    const mask = yield* g.put([bit(SIG.USR1)]);
    yield* g.ok("rt_sigprocmask", 2, mask, mask, 8);
    yield* g.ok("rt_sigprocmask", 2, mask, mask, 8);
    const stack = yield* g.put([g.bytes(8192), 0, 8192]);
    yield* g.ok("sigaltstack", stack, stack);
    yield* g.ok("sigaltstack", stack, stack);
    const timer = yield* g.put([0, 0, 9, 0]);
    yield* g.ok("setitimer", 1, timer, timer);
    yield* g.ok("setitimer", 1, timer, timer);
    const limit = yield* g.put([100, 1000]);
    yield* g.ok("prlimit64", 0, 7, limit, limit);
    yield* g.ok("prlimit64", 0, 7, limit, limit);
    const [reader, writer] = yield* pipe(g);
    yield* g.ok("write", writer, action, 3);
    const sets = yield* g.put([(1 << reader) | (1 << writer), (1 << reader) | (1 << writer)]);
    yield* g.ok("pselect6", 10, sets, sets + 8, 0, 0, 0);
    const times = yield* g.put([0, 1_000_000]);
    yield* g.ok("nanosleep", times, times);
  }),
  scenario("interrupts/forced signals", function* (g) {
    yield* g.setUp();
    for (const how of ["ignored", "blocked"] as const) {
      yield* g.fork(function* (child) {
        if (how === "ignored") yield* child.ok("rt_sigaction", SIG.SEGV, yield* child.put([1, 0, 0]), 0, 8);
        else yield* child.ok("rt_sigprocmask", 0, yield* child.put([bit(SIG.SEGV)]), 0, 8);
        yield* child.touch(8, true);
        throw new Error("survived SIGSEGV");
      });
      yield* g.ok("wait4", -1, 0, 0, 0);
    }
    yield* g.fork(function* (child) {
      // A handler whose stack cannot be written.
      const handler = child.handler(function* () {});
      yield* child.ok("rt_sigaction", SIG.USR1, yield* child.put([handler, SA.ONSTACK, 0]), 0, 8);
      yield* child.ok("sigaltstack", yield* child.put([0x4000, 0, 8192]), 0);
      yield* child.ok("kill", yield* child.ok("getpid"), SIG.USR1);
      throw new Error("survived a bad stack");
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
  }),
  scenario("interrupts/calls that wait", function* (g) {
    yield* g.setUp();
    const parent = yield* g.ok("getpid");
    const [reader, writer] = yield* pipe(g);
    const fifo = yield* g.put("/tmp/fifo");
    yield* g.ok("mknodat", AT_FDCWD, fifo, 0o010644, 0);
    const handler = g.handler(function* (inside) {
      yield* inside.ok("getppid");
    });
    yield* g.ok("rt_sigaction", SIG.USR1, yield* g.put([handler, 0, 0]), 0, 8);
    yield* g.ok("rt_sigaction", SIG.USR2, yield* g.put([handler, SA.RESTART, 0]), 0, 8);
    const word = yield* g.put([0]);
    const long = yield* g.put([100, 0]);
    const polls = yield* g.put(new Uint8Array(Int32Array.from([reader, 1]).buffer));
    const empty = yield* g.put([0]);
    const packed = yield* g.put([empty, 8]);
    const times = g.bytes(16);
    const calls: readonly (readonly [string, ...(number | bigint)[]])[] = [
      ["openat", AT_FDCWD, fifo, O.RDONLY, 0],
      ["futex", word, 0, 0, 0, 0, 0],
      ["futex", word, 0, 0, long, 0, 0],
      ["ppoll", polls, 1, 0, empty, 8],
      ["pselect6", 0, 0, 0, 0, long, packed],
      ["nanosleep", long, times],
      ["clock_nanosleep", 1, 0, long, times],
      ["rt_sigtimedwait", yield* g.put([bit(SIG.HUP)]), 0, long, 8],
      ["wait4", -1, 0, 0, 0],
      ["read", reader, times, 1],
    ];
    // Signals that are let through by the mask of the wait alone.
    const both = yield* g.put([bit(SIG.USR1) | bit(SIG.USR2)]);
    const child = yield* g.fork(function* (own) {
      for (let index = 0; index < calls.length; index++) {
        yield* own.ok("nanosleep", yield* own.put([1, 0]), 0);
        yield* own.ok("kill", parent, SIG.USR2);
        yield* own.ok("nanosleep", yield* own.put([1, 0]), 0);
        yield* own.ok("kill", parent, SIG.USR1);
      }
      yield* own.call("rt_sigsuspend", empty, 8);
    });
    for (const [name, ...args] of calls) {
      let result: number;
      // A call that has been ended by the first signal is made again for the second.
      do result = yield* g.call(name, ...args);
      while (result === EINTR && (yield* g.call("getpid")) < 0);
      if (result !== EINTR) throw new Error(`${name} gave ${result}`);
    }
    yield* g.ok("rt_sigprocmask", 0, both, 0, 8);
    yield* g.ok("kill", parent, SIG.USR1);
    const ended = yield* g.call("ppoll", polls, 1, yield* g.put([0, 0]), empty, 8);
    if (ended !== EINTR) throw new Error(`a poll with a signal gave ${ended}`);
    yield* g.ok("kill", parent, SIG.USR1);
    yield* g.ok("write", writer, word, 1);
    yield* g.ok("ppoll", polls, 1, 0, empty, 8);
    yield* g.ok("rt_sigprocmask", 1, both, 0, 8);
    yield* g.ok("kill", child, 9);
  }),
  scenario("interrupts/a write that has moved a part", function* (g) {
    yield* g.setUp();
    const parent = yield* g.ok("getpid");
    const [, writer] = yield* pipe(g);
    const handler = g.handler(function* (inside) {
      yield* inside.ok("getppid");
    });
    yield* g.ok("rt_sigaction", SIG.USR1, yield* g.put([handler, 0, 0]), 0, 8);
    yield* g.fork(function* (own) {
      yield* own.ok("nanosleep", yield* own.put([1, 0]), 0);
      yield* own.ok("kill", parent, SIG.USR1);
    });
    const moved = yield* g.ok("write", writer, g.bytes(100_000), 100_000);
    if (moved !== 65_536) throw new Error(`${moved} bytes were written`);
  }),
];

const TC = {
  GETS: 0x5401,
  SETS: 0x5402,
  SETSF: 0x5404,
  XONC: 0x540a,
  FLSH: 0x540b,
  GETS2: 0x802c_542a,
  SETS2: 0x402c_542b,
} as const;
const TIOC = {
  EXCL: 0x540c,
  NXCL: 0x540d,
  SCTTY: 0x540e,
  SPGRP: 0x5410,
  STI: 0x5412,
  SWINSZ: 0x5414,
  FIONBIO: 0x5421,
  PKT: 0x5420,
  NOTTY: 0x5422,
} as const;
const L = { ISIG: 1, ICANON: 2, ECHO: 8 } as const;

/** A pseudo-terminal: both ends. */
function* terminal(g: Guest): Step<readonly [master: number, slave: number]> {
  const master = yield* g.ok("openat", AT_FDCWD, yield* g.put("/dev/ptmx"), O.RDWR, 0);
  yield* g.ok("ioctl", master, 0x4004_5431, yield* g.put([0]));
  return [master, yield* g.ok("ioctl", master, 0x5441, O.RDWR | 0o400)];
}

export const terminalModes: readonly Scenario[] = [
  scenario("tty/packets, modes and special characters", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(256);
    const [master, slave] = yield* terminal(g);
    const settings = g.bytes(64);
    yield* g.ok("ioctl", slave, TC.GETS2, settings);
    yield* g.ok("ioctl", slave, TC.SETS2, settings);
    yield* g.ok("ioctl", slave, TC.GETS, settings);
    const original = yield* g.peek(settings, 36);
    const changed = original.slice();
    yield* g.ok("ioctl", slave, TIOC.EXCL, 0);
    yield* g.ok("ioctl", slave, TIOC.NXCL, 0);
    yield* g.ok("ioctl", master, TIOC.PKT, yield* g.put([1]));
    // ^V and ^C as bytes, an erased character, a killed line, stop and start.
    yield* g.ok(
      "write",
      master,
      yield* g.put(Uint8Array.of(0x16, 3, 97, 98, 127, 99, 21, 19, 17, 100, 10)),
      11,
    );
    yield* g.ok("read", master, buffer, 100);
    yield* g.ok("read", master, buffer, 100);
    yield* g.ok("read", slave, buffer, 100);
    yield* g.ok("ioctl", slave, TC.XONC, 0);
    yield* g.ok("ioctl", slave, TC.XONC, 1);
    yield* g.ok("ioctl", slave, TC.FLSH, 2);
    // Echo off, so that a killed line just goes; then single characters; then lines again.
    changed[12]! &= ~L.ECHO;
    changed[17 + 3] = 0x18;
    yield* g.poke(settings, changed);
    yield* g.ok("ioctl", slave, TC.SETS, settings);
    yield* g.ok("write", master, yield* g.put(Uint8Array.of(97, 98, 0x18, 99)), 4);
    changed[12]! &= ~L.ICANON;
    yield* g.poke(settings, changed);
    yield* g.ok("ioctl", slave, TC.SETS, settings);
    yield* g.ok("write", master, yield* g.put("raw"), 3);
    yield* g.ok("read", slave, buffer, 2);
    yield* g.poke(settings, original);
    yield* g.ok("ioctl", slave, TC.SETS, settings);
    yield* g.ok("ioctl", slave, TC.SETSF, settings);
    yield* g.ok("ioctl", master, TIOC.PKT, yield* g.put([0]));
    yield* g.ok("ioctl", slave, TIOC.FIONBIO, yield* g.put([1]));
    yield* g.fails("EAGAIN", "read", slave, buffer, 10);
    yield* g.ok("ioctl", slave, TIOC.FIONBIO, yield* g.put([0]));
    const again = yield* g.put(`/proc/self/fd/${slave}`);
    yield* g.ok("openat", AT_FDCWD, again, O.RDWR | 0o400, 0);
    yield* g.ok("ioctl", slave, TIOC.SWINSZ, yield* g.put([30]));
    // More output than the flush leaves.
    const block = g.bytes(20_000);
    yield* g.ok("ioctl", slave, TIOC.FIONBIO, yield* g.put([1]));
    yield* g.call("write", slave, block, 20_000);
    yield* g.call("write", slave, block, 20_000);
    yield* g.ok("ioctl", slave, TC.FLSH, 2);
    yield* g.ok("read", master, block, 20_000);
  }),
  scenario("tty/jobs in the background", function* (g) {
    yield* g.setUp();
    const [master, slave] = yield* terminal(g);
    const leader = yield* g.fork(function* (own) {
      yield* own.ok("setsid");
      yield* own.ok("ioctl", slave, TIOC.SCTTY, 0);
      const job = yield* own.fork(function* (reader) {
        yield* reader.ok("setpgid", 0, 0);
        yield* reader.ok("read", slave, reader.bytes(16), 10);
        yield* reader.ok("exit_group", 0);
      });
      yield* own.call("setpgid", job, job);
      const status = own.bytes(16);
      // It is stopped when it reads; in the foreground it goes on.
      yield* own.ok("wait4", job, status, 2, 0);
      yield* own.ok("ioctl", slave, TIOC.SPGRP, yield* own.put([job]));
      yield* own.ok("kill", -job, SIG.CONT);
      yield* own.ok("write", master, yield* own.put("line\n"), 5);
      yield* own.ok("wait4", job, status, 0, 0);
      yield* own.ok("rt_sigaction", 22, yield* own.put([1, 0, 0]), 0, 8);
      yield* own.ok("ioctl", slave, TIOC.SPGRP, yield* own.put([yield* own.ok("getpid")]));
      yield* own.ok("write", master, yield* own.put(Uint8Array.of(28)), 1);
      yield* own.call("read", slave, status, 1);
    });
    yield* g.ok("wait4", leader, 0, 0, 0);
    yield* g.ok("close", slave);
    yield* g.ok("close", master);
  }),
];
