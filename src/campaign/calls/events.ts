/** Files for events, and epolls over them and others. */

import { AT_FDCWD, O, scenario, type Scenario } from "./scenario.ts";

const EPOLL = { IN: 1, OUT: 4, EXCLUSIVE: 1 << 28, ONESHOT: 1 << 30, EDGE: 0x8000_0000 } as const;
const CTL = { ADD: 1, DEL: 2, MOD: 3 } as const;
const NONBLOCK = 0o4000;
const SIG = { TERM: 15, CHLD: 17 } as const;
const WEXITED = 4;
const P_PIDFD = 3;

export const events: readonly Scenario[] = [
  scenario("events/counters, timers, signals", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(256);
    const counter = yield* g.ok("eventfd2", 3, NONBLOCK);
    yield* g.ok("read", counter, buffer, 8);
    yield* g.fails("EAGAIN", "read", counter, buffer, 8);
    yield* g.ok("write", counter, yield* g.put([5]), 8);
    yield* g.fails("EINVAL", "write", counter, yield* g.put([-1]), 8);
    const timer = yield* g.ok("timerfd_create", 1, 0);
    yield* g.ok("timerfd_settime", timer, 0, yield* g.put([0, 1000, 0, 1000]), buffer);
    yield* g.ok("read", timer, buffer, 8);
    yield* g.ok("nanosleep", yield* g.put([0, 10_000]), 0);
    yield* g.ok("timerfd_gettime", timer, buffer);
    yield* g.ok("read", timer, buffer, 8);
    yield* g.ok("timerfd_settime", timer, 1, yield* g.put([0, 0, 9, 0]), buffer);
    yield* g.ok("read", timer, buffer, 8);
    const set = yield* g.put([1n << BigInt(SIG.TERM - 1)]);
    yield* g.ok("rt_sigprocmask", 0, set, 0, 8);
    const signals = yield* g.ok("signalfd4", -1, set, 8, NONBLOCK);
    yield* g.fails("EAGAIN", "read", signals, buffer, 256);
    yield* g.ok("kill", yield* g.ok("getpid"), SIG.TERM);
    const polls = yield* g.put(new Uint8Array(Int32Array.from([signals, 1, counter, 1, timer, 1]).buffer));
    yield* g.ok("ppoll", polls, 3, yield* g.put([0, 0]), 0, 8);
    yield* g.ok("read", signals, buffer, 256);
    yield* g.ok("signalfd4", signals, yield* g.put([0]), 8, 0);
    yield* g.ok("close", timer);
    yield* g.ok("close", signals);
    yield* g.ok("close", counter);
  }),
  scenario("events/epoll", function* (g) {
    yield* g.setUp();
    const got = g.bytes(16 * 8);
    const fds = g.bytes(8);
    const poll = yield* g.ok("epoll_create1", 0);
    const outer = yield* g.ok("epoll_create1", 0);
    yield* g.ok("pipe2", fds, NONBLOCK);
    const [reader, writer] = [yield* g.word(fds), yield* g.word(fds + 4)];
    const counter = yield* g.ok("eventfd2", 0, NONBLOCK);
    const event = (bits: number, data: number): ReturnType<typeof g.put> => g.put([bits >>> 0, data]);
    yield* g.ok("epoll_ctl", outer, CTL.ADD, poll, yield* event(EPOLL.IN, 1));
    yield* g.ok("epoll_ctl", poll, CTL.ADD, reader, yield* event(EPOLL.IN, 2));
    yield* g.ok("epoll_ctl", poll, CTL.ADD, counter, yield* event(EPOLL.IN | EPOLL.EDGE, 3));
    yield* g.fails("EEXIST", "epoll_ctl", poll, CTL.ADD, reader, yield* event(EPOLL.IN, 2));
    yield* g.fails("ELOOP", "epoll_ctl", poll, CTL.ADD, outer, yield* event(EPOLL.IN, 2));
    yield* g.ok("write", writer, yield* g.put("xy"), 2);
    yield* g.ok("write", counter, yield* g.put([1]), 8);
    yield* g.ok("epoll_pwait", outer, got, 8, 0, 0, 8);
    yield* g.ok("epoll_pwait", poll, got, 1, 0, 0, 8);
    yield* g.ok("epoll_pwait", poll, got, 8, 0, 0, 8);
    yield* g.ok("epoll_pwait2", poll, got, 8, yield* g.put([0, 0]), 0, 8);
    yield* g.ok("read", reader, got, 2);
    yield* g.ok("epoll_pwait", poll, got, 8, 0, 0, 8);
    yield* g.ok("epoll_ctl", poll, CTL.MOD, counter, yield* event(EPOLL.IN | EPOLL.ONESHOT, 4));
    yield* g.ok("epoll_pwait", poll, got, 8, 0, 0, 8);
    yield* g.ok("epoll_pwait", poll, got, 8, 1, 0, 8);
    // Another process wakes this one, through both.
    yield* g.fork(function* (child) {
      yield* child.ok("write", writer, yield* child.put("z"), 1);
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("epoll_pwait", outer, got, 8, -1, 0, 8);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("epoll_ctl", poll, CTL.DEL, counter, 0);
    yield* g.ok("epoll_ctl", poll, CTL.ADD, counter, yield* event(EPOLL.IN | EPOLL.EXCLUSIVE, 5));
    // A watched file is closed, then an epoll that watches and is watched.
    yield* g.ok("close", counter);
    yield* g.ok("close", poll);
    yield* g.ok("epoll_pwait", outer, got, 8, 0, 0, 8);
    yield* g.ok("close", reader);
    yield* g.ok("close", writer);
  }),
  scenario("events/processes", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(128);
    const pid = yield* g.fork(function* (child) {
      yield* child.call("rt_sigsuspend", yield* child.put([0]), 8);
    });
    const file = yield* g.ok("pidfd_open", pid, 0);
    const poll = yield* g.ok("epoll_create1", 0);
    yield* g.ok("epoll_ctl", poll, CTL.ADD, file, yield* g.put([EPOLL.IN, 1]));
    yield* g.fails("EBADF", "pidfd_send_signal", poll, 0, 0, 0);
    const copy = yield* g.ok("pidfd_getfd", file, 0, 0);
    yield* g.ok("close", copy);
    yield* g.call("mkdirat", AT_FDCWD, yield* g.put("/proc"), 0o755);
    yield* g.call("mount", yield* g.put("proc"), yield* g.put("/proc"), yield* g.put("proc"), 0, 0);
    const directory = yield* g.ok("openat", AT_FDCWD, yield* g.put(`/proc/${pid}`), O.DIRECTORY, 0);
    yield* g.ok("pidfd_send_signal", directory, 0, 0, 0);
    yield* g.ok("pidfd_send_signal", file, SIG.TERM, 0, 0);
    yield* g.ok("epoll_pwait", poll, buffer, 1, -1, 0, 8);
    yield* g.ok("waitid", P_PIDFD, file, buffer, WEXITED, 0);
    yield* g.fails("ESRCH", "pidfd_send_signal", file, 0, 0, 0);
    yield* g.fails("ESRCH", "pidfd_send_signal", directory, 0, 0, 0);
    yield* g.ok("close", file);
    yield* g.ok("close", poll);
  }),
];
