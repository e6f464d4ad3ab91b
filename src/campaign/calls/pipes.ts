/** Pipes and fifos, and waiting for several files. */

import type { Guest, Step } from "../guest.ts";
import { AT_FDCWD, O, scenario, type Scenario } from "./scenario.ts";

function* pipe(g: Guest, flags = 0): Step<readonly [reader: number, writer: number]> {
  const fds = g.bytes(8);
  yield* g.ok("pipe2", fds, flags);
  return [yield* g.word(fds), yield* g.word(fds + 4)];
}

export const pipes: readonly Scenario[] = [
  scenario("pipes/one process", function* (g) {
    yield* g.setUp();
    const [reader, writer] = yield* pipe(g, O.CLOEXEC);
    const text = yield* g.put("hello");
    yield* g.ok("write", writer, text, 5);
    yield* g.ok("ioctl", reader, 0x541b, g.bytes(8));
    yield* g.ok("read", reader, text, 2);
    yield* g.ok("read", reader, text, 10);
    yield* g.call("fcntl", writer, 1032, 0);
    yield* g.call("fcntl", writer, 1031, 8192);
    yield* g.ok("fstat", reader, g.bytes(128));
    yield* g.fails("ESPIPE", "lseek", reader, 0, 0);
    yield* g.ok("close", writer);
    yield* g.ok("read", reader, text, 10);
    yield* g.fails("EINVAL", "pipe2", g.bytes(8), 0x7000_0000);
    yield* g.fails("EFAULT", "pipe2", 8, 0);
  }),
  scenario("pipes/nonblocking and full", function* (g) {
    yield* g.setUp();
    const [reader, writer] = yield* pipe(g, O.NONBLOCK);
    const block = g.bytes(40_000);
    yield* g.poke(block, new Uint8Array(40_000).fill(66));
    yield* g.fails("EAGAIN", "read", reader, block, 10);
    yield* g.ok("write", writer, block, 40_000);
    yield* g.ok("write", writer, block, 40_000);
    yield* g.fails("EAGAIN", "write", writer, block, 4096);
    yield* g.ok("read", reader, block, 40_000);
    yield* g.ok("read", reader, block, 40_000);
    yield* g.ok("rt_sigaction", 13, yield* g.put([1, 0, 0]), 0, 8);
    yield* g.ok("close", reader);
    yield* g.fails("EPIPE", "write", writer, block, 1);
  }),
  scenario("pipes/between processes", function* (g) {
    yield* g.setUp();
    const [reader, writer] = yield* pipe(g);
    const [backReader, backWriter] = yield* pipe(g);
    yield* g.fork(function* (child) {
      const text = yield* child.put("pong");
      yield* child.ok("close", writer);
      yield* child.ok("read", reader, text, 4);
      yield* child.ok("write", backWriter, text, 4);
      yield* child.ok("read", reader, text, 4);
      yield* child.ok("exit_group", 0);
    });
    const text = yield* g.put("ping");
    yield* g.ok("write", writer, text, 4);
    yield* g.ok("read", backReader, text, 4);
    yield* g.ok("close", writer);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("close", backWriter);
    yield* g.ok("read", backReader, text, 4);
  }),
  scenario("pipes/a writer waits for room", function* (g) {
    yield* g.setUp();
    const [reader, writer] = yield* pipe(g);
    yield* g.fork(function* (child) {
      const block = child.bytes(100_000);
      yield* child.poke(block, new Uint8Array(100_000).fill(67));
      yield* child.ok("write", writer, block, 100_000);
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("close", writer);
    const block = g.bytes(60_000);
    let total = 0;
    for (;;) {
      const count = yield* g.ok("read", reader, block, 60_000);
      if (count === 0) break;
      total += count;
    }
    if (total !== 100_000) throw new Error(`${total} bytes came through the pipe`);
    yield* g.ok("wait4", -1, 0, 0, 0);
  }),
  scenario("pipes/SIGPIPE", function* (g) {
    yield* g.setUp();
    const [reader, writer] = yield* pipe(g);
    yield* g.ok("close", reader);
    yield* g.fork(function* (child) {
      yield* child.call("write", writer, yield* child.put("x"), 1);
      throw new Error("survived SIGPIPE");
    });
    const status = g.bytes(8);
    yield* g.ok("wait4", -1, status, 0, 0);
    if ((yield* g.word(status)) !== 13) throw new Error("no SIGPIPE");
  }),
  scenario("pipes/fifo", function* (g) {
    yield* g.setUp();
    const path = yield* g.put("/tmp/fifo");
    yield* g.ok("mknodat", AT_FDCWD, path, 0o010644, 0);
    yield* g.fails("ENXIO", "openat", AT_FDCWD, path, O.WRONLY | O.NONBLOCK, 0);
    const early = yield* g.ok("openat", AT_FDCWD, path, O.RDONLY | O.NONBLOCK, 0);
    yield* g.ok("close", early);
    yield* g.fork(function* (child) {
      const fd = yield* child.ok("openat", AT_FDCWD, path, O.WRONLY, 0);
      yield* child.ok("write", fd, yield* child.put("through"), 7);
      yield* child.ok("exit_group", 0);
    });
    const fd = yield* g.ok("openat", AT_FDCWD, path, O.RDONLY, 0);
    const text = g.bytes(16);
    yield* g.ok("read", fd, text, 16);
    yield* g.ok("read", fd, text, 16);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("openat", AT_FDCWD, path, O.RDWR, 0);
    yield* g.ok("unlinkat", AT_FDCWD, path, 0);
  }),
  scenario("pipes/splicing", function* (g) {
    yield* g.setUp();
    const [r0, w0] = yield* pipe(g);
    const [r1, w1] = yield* pipe(g);
    const buffer = g.bytes(64);
    yield* g.ok("write", w0, yield* g.put("hello, splice"), 13);
    yield* g.ok("splice", r0, 0, w1, 0, 4, 0);
    yield* g.ok("splice", r1, 0, w0, 0, 2, 0);
    yield* g.ok("tee", r0, w1, 6, 0);
    yield* g.fails("EINVAL", "splice", r0, 0, w0, 0, 1, 0);
    const path = yield* g.put("/tmp/spliced");
    const fd = yield* g.ok("openat", AT_FDCWD, path, O.RDWR | O.CREAT, 0o600);
    yield* g.ok("splice", r0, 0, fd, 0, 5, 0);
    yield* g.ok("splice", r0, 0, fd, yield* g.put([1]), 5, 0);
    yield* g.ok("splice", fd, yield* g.put([0]), w1, 0, 64, 0);
    yield* g.ok("vmsplice", w0, yield* g.put([buffer, 8]), 1, 0);
    yield* g.ok("vmsplice", r0, yield* g.put([buffer, 64]), 1, 2);
    yield* g.fork(function* (child) {
      yield* child.ok("write", w0, yield* child.put("late"), 4);
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("splice", r0, 0, w1, 0, 64, 0);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("read", r1, buffer, 64);
    yield* g.ok("unlinkat", AT_FDCWD, path, 0);
  }),
  scenario("pipes/poll and select", function* (g) {
    yield* g.setUp();
    const [reader, writer] = yield* pipe(g);
    const polls = yield* g.put(new Uint8Array(Int32Array.from([reader, 1, writer, 4]).buffer));
    yield* g.ok("ppoll", polls, 2, yield* g.put([0, 0]), 0, 8);
    const pollReader = yield* g.put(new Uint8Array(Int32Array.from([reader, 1]).buffer));
    yield* g.ok("ppoll", pollReader, 1, yield* g.put([0, 1000]), yield* g.put([0x400]), 8);
    yield* g.fork(function* (child) {
      yield* child.ok("write", writer, yield* child.put("x"), 1);
      yield* child.ok("exit_group", 0);
    });
    yield* g.ok("ppoll", pollReader, 1, 0, 0, 8);
    yield* g.ok("ppoll", yield* g.put(new Uint8Array(Int32Array.from([99, 1]).buffer)), 1, 0, 0, 8);
    const set = yield* g.put([1 << reader, 0]);
    const timeout = yield* g.put([0, 1_000_000]);
    yield* g.ok("pselect6", 10, set, 0, 0, timeout, 0);
    yield* g.ok("read", reader, g.bytes(16), 1);
    yield* g.ok("pselect6", 10, yield* g.put([1 << reader, 0]), 0, 0, timeout, 0);
    yield* g.ok("wait4", -1, 0, 0, 0);
  }),
];
