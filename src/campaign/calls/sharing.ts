/** What tasks share and wait for together: tables, spaces, signal actions, futexes, ends of pipes; and their end. */

import type { Guest, Step } from "../guest.ts";
import { AT_FDCWD, O, scenario, type Scenario } from "./scenario.ts";

const CLONE = {
  VM: 0x100,
  FS: 0x200,
  FILES: 0x400,
  SIGHAND: 0x800,
  PARENT: 0x8000,
  PARENT_SETTID: 0x10_0000,
  CHILD_SETTID: 0x100_0000,
  THREAD: 0x3d_0f00,
} as const;
const SIG = { USR1: 10, CHLD: 17, RT: 34 } as const;
const FUTEX = { WAIT: 0, WAKE: 1, REQUEUE: 3, CMP_REQUEUE: 4, WAKE_OP: 5, WAIT_BITSET: 9 } as const;

function* pipe(g: Guest): Step<readonly [reader: number, writer: number]> {
  const fds = g.bytes(8);
  yield* g.ok("pipe2", fds, 0);
  return [yield* g.word(fds), yield* g.word(fds + 4)];
}

/** Threads of their own stacks that run `program`; their tids. */
function* threads(g: Guest, count: number, program: (own: Guest, index: number) => Step): Step<number[]> {
  const tids: number[] = [];
  for (let index = 0; index < count; index++) {
    const word = g.bytes(16);
    tids.push(
      yield* g.clone(
        CLONE.THREAD,
        function* (own) {
          yield* program(own, index);
          yield* own.ok("exit", 0);
        },
        g.bytes(1024) + 1024,
        word,
        0x1000,
        word + 8,
      ),
    );
  }
  return tids;
}

/** A program of one segment, which nobody runs: it is only loaded. `interpreter`: what it asks to be loaded by. */
function elf(interpreter?: string): Uint8Array {
  const bytes = new Uint8Array(400);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 243, true);
  view.setUint32(24, 0x2000_0078, true);
  view.setUint32(32, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, interpreter === undefined ? 1 : 2, true);
  const header = (at: number, values: readonly [type: number, flags: number, offset: number]): void => {
    view.setUint32(at, values[0], true);
    view.setUint32(at + 4, values[1], true);
    view.setUint32(at + 8, values[2], true);
  };
  header(64, [1, 7, 0]);
  view.setUint32(64 + 16, 0x2000_0000, true);
  view.setUint32(64 + 32, 400, true);
  view.setUint32(64 + 40, 9000, true);
  if (interpreter !== undefined) {
    header(120, [3, 4, 200]);
    view.setUint32(120 + 32, interpreter.length + 1, true);
    bytes.set(new TextEncoder().encode(interpreter), 200);
  }
  return bytes;
}

function* install(g: Guest, path: string, bytes: Uint8Array): Step<number> {
  const name = yield* g.put(path);
  const fd = yield* g.ok("openat", AT_FDCWD, name, O.WRONLY | O.CREAT, 0o755);
  yield* g.ok("write", fd, yield* g.put(bytes), bytes.length);
  yield* g.ok("close", fd);
  return name;
}

export const sharing: readonly Scenario[] = [
  scenario("sharing/execve with shared tables", function* (g) {
    yield* g.setUp();
    const path = yield* g.put("/bin/hello");
    const argv = yield* g.put([path, 0]);
    const handler = g.handler(function* (inside) {
      yield* inside.ok("getpid");
    });
    yield* g.ok("rt_sigaction", SIG.USR1, yield* g.put([handler, 0, 0]), 0, 8);
    const reader = (yield* pipe(g))[0];
    yield* g.ok("fcntl", reader, 2, 1);
    yield* g.clone(CLONE.FILES | CLONE.FS | SIG.CHLD, function* (child) {
      yield* child.ok("chdir", yield* child.put("/bin"));
      yield* child.ok("execve", path, argv, 0);
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.clone(
      CLONE.VM | CLONE.SIGHAND | SIG.CHLD,
      function* (child) {
        yield* child.ok("execve", path, argv, 0);
      },
      g.bytes(1024) + 1024,
    );
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.clone(
      CLONE.VM | SIG.CHLD,
      function* (child) {
        yield* child.ok("exit_group", 0);
      },
      g.bytes(1024) + 1024,
    );
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("close", reader);
  }),
  scenario("sharing/execve by a thread, and with an interpreter", function* (g) {
    yield* g.setUp();
    const argv = yield* g.put([yield* g.put("x"), 0]);
    yield* install(g, "/tmp/loader", elf());
    const path = yield* install(g, "/tmp/program", elf("/tmp/loader"));
    const missing = yield* install(g, "/tmp/orphan", elf("/tmp/none"));
    yield* g.fails("ENOENT", "execve", missing, argv, 0);
    const lock = yield* g.put([0]);
    yield* g.fork(function* (child) {
      yield* threads(child, 2, function* (own, index) {
        if (index === 0) yield* own.call("futex", lock, FUTEX.WAIT, 0, 0, 0, 0);
        yield* own.ok("execve", path, argv, 0);
        yield* own.ok("gettid");
      });
      yield* child.call("futex", lock, FUTEX.WAIT, 0, 0, 0, 0);
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
  }),
  scenario("sharing/clones that fail and clones with orders", function* (g) {
    yield* g.setUp();
    const word = yield* g.put([0, 0]);
    const none = function* (): Step {
      yield* g.ok("getpid");
    };
    const bad = yield* g.clone(CLONE.PARENT_SETTID | SIG.CHLD, none, 0, 8);
    if (bad !== -14) throw new Error(`a clone with a bad address gave ${bad}`);
    yield* g.fails("EINVAL", "clone", CLONE.SIGHAND, 0, 0, 0, 0);
    yield* g.fails("EINVAL", "clone", 40, 0, 0, 0, 0);
    yield* g.fork(function* (child) {
      yield* child.clone(
        CLONE.CHILD_SETTID | CLONE.PARENT_SETTID | SIG.CHLD,
        function* (own) {
          yield* own.word(word);
          yield* own.ok("exit_group", 0);
        },
        0,
        word,
        0,
        word + 8,
      );
      yield* child.ok("wait4", -1, 0, 0, 0);
      yield* child.clone(
        CLONE.CHILD_SETTID | SIG.CHLD,
        function* (own) {
          yield* own.ok("exit_group", 0);
        },
        0,
        0,
        0,
        8,
      );
      yield* child.ok("wait4", -1, 0, 0, 0);
      yield* child.clone(CLONE.PARENT | SIG.CHLD, function* (own) {
        yield* own.ok("exit_group", 0);
      });
    });
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("personality", 0);
  }),
  scenario("sharing/futexes with many waiters", function* (g) {
    yield* g.setUp();
    const word = yield* g.put([0, 0, 0, 0]);
    const timeout = yield* g.put([0, 1_000_000]);
    yield* threads(g, 5, function* (own, index) {
      // Two kinds of waiters on one word, so that one in the middle is woken first.
      if (index % 2 === 1) yield* own.call("futex", word, FUTEX.WAIT, 0, 0, 0, 0);
      else yield* own.call("futex", word, FUTEX.WAIT_BITSET, 0, 0, 0, 1 << index);
    });
    yield* g.ok("sched_yield");
    yield* g.ok("futex", word, 10, 1, 0, 0, 1 << 2);
    yield* g.ok("futex", word, FUTEX.CMP_REQUEUE, 1, 2, word + 8, 0);
    yield* g.ok("futex", word, FUTEX.WAKE_OP, 1, 1, word + 8, 0x1000_0001);
    yield* g.fails("EAGAIN", "futex", word, FUTEX.CMP_REQUEUE, 1, 2, word + 8, 77);
    yield* g.ok("futex", word, FUTEX.REQUEUE, 0, 9, word, 0);
    yield* g.ok("futex", word, FUTEX.WAKE, 9, 0, 0, 0);
    yield* g.ok("futex", word + 8, FUTEX.WAKE, 9, 0, 0, 0);
    yield* g.call("futex", word, FUTEX.WAIT, 0, timeout, 0, 0);
    yield* g.ok("exit_group", 0);
  }),
  scenario("sharing/several readers, several fifos", function* (g) {
    yield* g.setUp();
    const [reader, writer] = yield* pipe(g);
    // So many that two are in one bucket of the table.
    const fifos: number[] = [];
    for (let index = 0; index < 20; index++) {
      const path = yield* g.put(`/tmp/fifo${index}`);
      yield* g.ok("mknodat", AT_FDCWD, path, 0o010644, 0);
      fifos.push(yield* g.ok("openat", AT_FDCWD, path, O.RDWR, 0));
    }
    const pids: number[] = [];
    for (let index = 0; index < 3; index++) {
      pids.push(
        yield* g.fork(function* (child) {
          yield* child.ok("read", reader, child.bytes(8), 1);
          yield* child.ok("exit_group", 0);
        }),
      );
    }
    for (let turn = 0; turn < 4; turn++) yield* g.ok("sched_yield");
    yield* g.ok("kill", pids[1]!, 9);
    yield* g.ok("wait4", pids[1]!, 0, 0, 0);
    yield* g.ok("write", writer, yield* g.put("x"), 1);
    yield* g.ok("write", writer, yield* g.put("y"), 1);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("wait4", -1, 0, 0, 0);
    for (const fd of fifos) yield* g.ok("close", fd);
  }),
  scenario("sharing/ends with signals, timers and calls under way", function* (g) {
    yield* g.setUp();
    const fifo = yield* g.put("/tmp/fifo");
    yield* g.ok("mknodat", AT_FDCWD, fifo, 0o010644, 0);
    const [reader, writer] = yield* pipe(g);
    const blocked = yield* g.put([(1n << BigInt(SIG.RT - 1)) | (1n << BigInt(SIG.USR1 - 1))]);
    const info = yield* g.put([SIG.RT, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const child = yield* g.fork(function* (own) {
      const pid = yield* own.ok("getpid");
      const tid = yield* own.ok("gettid");
      yield* own.ok("rt_sigprocmask", 0, blocked, 0, 8);
      yield* own.call("rt_sigqueueinfo", pid, SIG.RT, info);
      yield* own.call("rt_sigqueueinfo", pid, SIG.RT, info);
      yield* own.call("rt_tgsigqueueinfo", pid, tid, SIG.RT, info);
      yield* own.ok("tkill", tid, SIG.USR1);
      yield* own.ok("setitimer", 0, yield* own.put([5, 0, 5, 0]), 0);
      yield* own.ok("rt_sigtimedwait", blocked, 0, 0, 8);
      yield* own.ok("write", writer, yield* own.put("x"), 1);
      yield* own.ok("openat", AT_FDCWD, fifo, O.RDONLY, 0);
    });
    yield* g.ok("read", reader, g.bytes(8), 1);
    yield* g.ok("sched_yield");
    yield* g.ok("kill", child, 9);
    yield* g.ok("wait4", child, 0, 0, 0);
    // A transfer that has moved a part when its process is ended.
    const big = yield* g.fork(function* (own) {
      yield* own.ok("write", writer, own.bytes(100_000), 100_000);
    });
    yield* g.ok("sched_yield");
    yield* g.ok("kill", big, 9);
    yield* g.ok("wait4", big, 0, 0, 0);
  }),
];
