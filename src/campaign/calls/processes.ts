/** Processes and threads: making, executing, waiting, ending; groups and sessions; limits; futexes. */

import type { Guest, Step } from "../guest.ts";
import { AT_FDCWD, O, scenario, type Scenario } from "./scenario.ts";

const CLONE_THREAD_FLAGS = 0x3d0f00;
const CLONE_VFORK = 0x4000;
const CLONE_VM = 0x100;
const SIGCHLD = 17;

export const processes: readonly Scenario[] = [
  scenario("processes/fork, exit, wait", function* (g) {
    yield* g.setUp();
    const status = g.bytes(256);
    yield* g.fails("ECHILD", "wait4", -1, status, 0, 0);
    for (const code of [0, 7]) {
      const pid = yield* g.fork(function* (child) {
        yield* child.ok("getppid");
        yield* child.touch(status, true);
        yield* child.ok("exit_group", code);
      });
      yield* g.call("wait4", pid, status, 1, 0);
      yield* g.ok("wait4", pid, status, 0, status + 64);
      if ((yield* g.word(status)) !== code << 8) throw new Error("wrong exit status");
    }
    const pid = yield* g.fork(function* (child) {
      yield* child.ok("exit", 3);
    });
    yield* g.ok("waitid", 1, pid, status, 4 | 0x0100_0000, status + 128);
    yield* g.ok("waitid", 0, 0, status, 4 | 1, 0);
    yield* g.fails("ECHILD", "waitid", 0, 0, status, 4, 0);
    const orphan = yield* g.fork(function* (child) {
      yield* child.fork(function* (grandchild) {
        yield* grandchild.ok("getpid");
      });
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("wait4", orphan, 0, 0, 0);
    yield* g.ok("rt_sigaction", SIGCHLD, yield* g.put([1, 0, 0]), 0, 8);
    yield* g.fork(function* (child) {
      yield* child.ok("exit_group", 0);
    });
    yield* g.fails("ECHILD", "wait4", -1, status, 0, 0);
  }),
  scenario("processes/vfork and exec", function* (g) {
    yield* g.setUp();
    const path = yield* g.put("/bin/hello");
    const argv = yield* g.put([path, 0]);
    const missing = yield* g.put("/bin/missing");
    const text = yield* g.put("/tmp/text");
    const fd = yield* g.ok("openat", AT_FDCWD, text, O.WRONLY | O.CREAT, 0o755);
    yield* g.ok("write", fd, yield* g.put("no program"), 10);
    yield* g.ok("close", fd);
    yield* g.ok("openat", AT_FDCWD, text, O.RDONLY | O.CLOEXEC, 0);
    yield* g.clone(CLONE_VM | CLONE_VFORK | SIGCHLD, function* (child) {
      yield* child.fails("ENOENT", "execve", missing, argv, 0);
      yield* child.fails("ENOEXEC", "execve", text, argv, 0);
      yield* child.fails("EFAULT", "execve", 8, argv, 0);
      yield* child.ok("execve", path, argv, 0);
      yield* child.ok("exit_group", 5);
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.fork(function* (child) {
      yield* child.ok("execveat", AT_FDCWD, path, argv, 0, 0);
      yield* child.ok("exit_group", 5);
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
    // The descriptor that names the program is closed by the execve that it is for.
    yield* g.fork(function* (child) {
      const program = yield* child.ok("openat", AT_FDCWD, path, O.RDONLY | O.CLOEXEC, 0);
      yield* child.ok("execveat", program, yield* child.put(""), argv, 0, 0x1000);
      yield* child.ok("exit_group", 6);
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
    const script = yield* g.put("/tmp/script");
    const made = yield* g.ok("openat", AT_FDCWD, script, O.WRONLY | O.CREAT, 0o755);
    yield* g.ok("write", made, yield* g.put("#!/bin/hello x\n"), 15);
    yield* g.ok("close", made);
    yield* g.fork(function* (child) {
      yield* child.ok("execve", script, yield* child.put([script, 0]), yield* child.put([path, 0]));
      yield* child.ok("exit_group", 6);
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
  }),
  scenario("processes/threads and futexes", function* (g) {
    yield* g.setUp();
    const word = yield* g.put([0, 0, 0, 0]);
    const stack = g.bytes(4096) + 4096;
    yield* g.clone(
      CLONE_THREAD_FLAGS,
      function* (thread) {
        yield* thread.ok("gettid");
        yield* thread.ok("set_robust_list", word + 16, 24);
        yield* thread.call("futex", word, 129, 1, 0, 0, 0);
        yield* thread.ok("exit", 0);
      },
      stack,
      word + 8,
      0x1234,
      word + 24,
    );
    yield* g.call("futex", word, 128, 0, yield* g.put([0, 1_000_000]), 0, 0);
    yield* g.fails("EAGAIN", "futex", word, 128, 1, 0, 0, 0);
    yield* g.call("futex", word, 137, 0, yield* g.put([1, 1_000_000]), 0, -1);
    yield* g.call("futex", word, 132, 1, 1, word + 4, 0);
    yield* g.call("futex", word, 131, 1, 1, word + 4, 0);
    yield* g.call("futex", word, 133, 1, 1, word + 4, 0x1000_0001);
    yield* g.call("futex", word + 24, 0, 1, yield* g.put([0, 1_000_000]), 0, 0);
    yield* g.ok("get_robust_list", 0, word, word + 8);
    yield* g.ok("set_tid_address", word);
    yield* g.ok("gettid");
    yield* g.clone(
      CLONE_THREAD_FLAGS,
      function* (thread) {
        yield* thread.call("futex", word, 0, 0, 0, 0, 0);
        yield* thread.ok("exit", 0);
      },
      stack,
      word,
      0,
      word,
    );
    yield* g.ok("sched_yield");
    yield* g.ok("exit_group", 0);
  }),
  scenario("processes/groups and sessions", function* (g) {
    yield* g.setUp();
    const [reader, writer] = yield* pair(g);
    const pid = yield* g.fork(function* (child) {
      yield* child.ok("read", reader, child.bytes(16), 1);
      yield* child.fails("EPERM", "setsid");
      yield* child.fork(function* (grandchild) {
        yield* grandchild.ok("setsid");
      });
      yield* child.ok("wait4", -1, 0, 0, 0);
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("getpgid", 0);
    yield* g.ok("getpgid", pid);
    yield* g.ok("getsid", pid);
    yield* g.ok("setpgid", pid, pid);
    yield* g.ok("setpgid", pid, 0);
    yield* g.fails("ESRCH", "setpgid", 999, 0);
    yield* g.ok("write", writer, yield* g.put("x"), 1);
    yield* g.ok("wait4", -pid, 0, 0, 0);
    yield* g.ok("getpid");
    yield* g.ok("getppid");
  }),
  scenario("processes/limits and scheduling", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(512);
    yield* g.ok("prlimit64", 0, 7, 0, buffer);
    yield* g.ok("prlimit64", 0, 7, yield* g.put([3, 1024]), buffer);
    yield* g.fails("EMFILE", "dup", 1);
    yield* g.call("getrlimit", 3, buffer);
    yield* g.call("setrlimit", 3, yield* g.put([65536, 65536]));
    yield* g.ok("sched_getaffinity", 0, 128, buffer);
    yield* g.ok("sched_setaffinity", 0, 8, yield* g.put([1, 0]));
    yield* g.fails("ESRCH", "sched_setaffinity", -1, 8, yield* g.put([1, 0]));
    yield* g.fails("EINVAL", "sched_setaffinity", 0, 8, yield* g.put([0, 0]));
    yield* g.fails("ESRCH", "sched_getaffinity", 999, 128, buffer);
    yield* g.call("sched_getscheduler", 0);
    yield* g.call("sched_getparam", 0, buffer);
    yield* g.call("sched_setscheduler", 0, 0, yield* g.put([0]));
    yield* g.call("sched_setparam", 0, yield* g.put([0]));
    yield* g.ok("sched_get_priority_max", 0);
    yield* g.ok("sched_get_priority_min", 0);
    yield* g.fails("EINVAL", "sched_get_priority_min", -23);
    yield* g.call("sched_rr_get_interval", 0, buffer);
    yield* g.call("getpriority", 0, 0);
    yield* g.call("setpriority", 0, 0, 5);
    yield* g.call("personality", -1);
    yield* g.call("getcpu", buffer, buffer + 8);
    yield* g.ok("getrusage", 0, buffer);
    yield* g.ok("times", buffer);
    yield* g.ok("prctl", 15, yield* g.put("name"), 0, 0, 0);
    yield* g.ok("prctl", 16, buffer, 0, 0, 0);
    yield* g.call("prctl", 1, 9, 0, 0, 0);
    yield* g.call("prctl", 2, buffer, 0, 0, 0);
    yield* g.call("prctl", 3, 0, 0, 0, 0);
    yield* g.call("prctl", 4, 0, 0, 0, 0);
    yield* g.call("prctl", 36, 1, 0, 0, 0);
    yield* g.call("prctl", 38, 1, 0, 0, 0);
    yield* g.call("prctl", 39, 0, 0, 0, 0);
    yield* g.call("prctl", 23, 5, 0, 0, 0);
    yield* g.call("prctl", 24, 5, 0, 0, 0);
    yield* g.call("unshare", 0x400);
    yield* g.call("unshare", 0x200);
    yield* g.call("rseq", buffer, 32, 0, 0);
    yield* g.call("membarrier", 0, 0, 0);
    yield* g.call("clone3", yield* g.put([0, 0, 0, 0, SIGCHLD, 0, 0, 0]), 8);
  }),
];

function* pair(g: Guest): Step<readonly [number, number]> {
  const fds = g.bytes(8);
  yield* g.ok("pipe2", fds, 0);
  return [yield* g.word(fds), yield* g.word(fds + 4)];
}
