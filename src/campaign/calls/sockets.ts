/** Sockets: names, connections, streams, datagrams, descriptors on their way, options. */

import type { Guest, Step } from "../guest.ts";
import { O, scenario, type Scenario } from "./scenario.ts";

const UNIX = 1;
const INET = 2;
const TYPE = { STREAM: 1, DGRAM: 2, SEQPACKET: 5 } as const;
const MSG = { PEEK: 2, TRUNC: 0x20, DONTWAIT: 0x40, WAITALL: 0x100, NOSIGNAL: 0x4000 } as const;
const SOL_SOCKET = 1;
const SO = { TYPE: 3, ERROR: 4, SNDBUF: 7, LINGER: 13, PASSCRED: 16, PEERCRED: 17, RCVTIMEO: 20 } as const;
const SIG = { PIPE: 13 } as const;
const FIONREAD = 0x541b;
const TIOCOUTQ = 0x5411;

function* pair(g: Guest, type: number = TYPE.STREAM, flags = 0): Step<readonly [number, number]> {
  const fds = g.bytes(8);
  yield* g.ok("socketpair", UNIX, type | flags, 0, fds);
  return [yield* g.word(fds), yield* g.word(fds + 4)];
}

/** A struct sockaddr_un and its length; a name that begins with "@" is an abstract one. */
function* address(g: Guest, name: string): Step<readonly [at: number, length: number]> {
  const bytes = new TextEncoder().encode(`\u0001\0${name}`);
  if (name.startsWith("@")) bytes[2] = 0;
  return [yield* g.put(bytes), bytes.length];
}

/** A struct sockaddr_in of 127.0.0.1, or of an address that begins with another byte. */
function* internet(g: Guest, port: number, first = 127): Step<readonly [at: number, length: number]> {
  const bytes = Uint8Array.of(INET, 0, port >> 8, port & 255, first, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  return [yield* g.put(bytes), bytes.length];
}

/** A struct msghdr for one buffer and control data. */
function* header(g: Guest, buffer: number, length: number, control = 0, controlLength = 0): Step<number> {
  const vector = yield* g.put([buffer, length]);
  return yield* g.put([0, 0, vector, 1, control, controlLength, 0]);
}

/** Control data that carries descriptors. */
function* rights(g: Guest, ...descriptors: readonly number[]): Step<readonly [at: number, length: number]> {
  const length = 16 + descriptors.length * 4;
  const bytes = new DataView(new ArrayBuffer(Math.ceil(length / 8) * 8));
  bytes.setUint32(0, length, true);
  bytes.setInt32(8, SOL_SOCKET, true);
  bytes.setInt32(12, 1, true);
  for (const [i, descriptor] of descriptors.entries()) bytes.setInt32(16 + i * 4, descriptor, true);
  return [yield* g.put(new Uint8Array(bytes.buffer)), length];
}

function* sendRights(g: Guest, socket: number, ...descriptors: readonly number[]): Step<number> {
  const [control, length] = yield* rights(g, ...descriptors);
  return yield* g.call("sendmsg", socket, yield* header(g, yield* g.put("x"), 1, control, length), 0);
}

export const socketScenarios: readonly Scenario[] = [
  scenario("sockets/a pair of streams", function* (g) {
    yield* g.setUp();
    const [a, b] = yield* pair(g, TYPE.STREAM, O.CLOEXEC);
    const text = yield* g.put("hello");
    yield* g.ok("write", a, text, 5);
    yield* g.ok("sendto", a, text, 5, 0, 0, 0);
    yield* g.ok("ioctl", b, FIONREAD, g.bytes(8));
    yield* g.ok("ioctl", a, TIOCOUTQ, g.bytes(8));
    yield* g.ok("recvfrom", b, text, 3, MSG.PEEK, 0, 0);
    yield* g.ok("read", b, text, 3);
    yield* g.ok("recvfrom", b, text, 100, MSG.DONTWAIT, g.bytes(128), yield* g.put([110]));
    yield* g.fails("EAGAIN", "recvfrom", b, text, 100, MSG.DONTWAIT, 0, 0);
    yield* g.ok("write", a, text, 5);
    yield* g.ok("shutdown", a, 1);
    yield* g.fails("EPIPE", "sendto", a, text, 1, MSG.NOSIGNAL, 0, 0);
    yield* g.ok("read", b, text, 10);
    yield* g.ok("read", b, text, 10);
    yield* g.ok("fstat", b, g.bytes(128));
    yield* g.fails("ESPIPE", "lseek", b, 0, 0);
    yield* g.fails("EISCONN", "sendto", b, text, 1, 0, ...(yield* address(g, "@x")));
    yield* g.fails("EINVAL", "shutdown", b, 7);
    yield* g.ok("close", a);
    const ignore = yield* g.put([1, 0, 0]);
    yield* g.ok("rt_sigaction", SIG.PIPE, ignore, 0, 8);
    yield* g.fails("EPIPE", "write", b, text, 1);
    yield* g.fails("EFAULT", "socketpair", UNIX, TYPE.STREAM, 0, 8);
    yield* g.fails("EAFNOSUPPORT", "socket", 16, 3, 0);
    yield* g.fails("EPROTONOSUPPORT", "socket", UNIX, TYPE.STREAM, 9);
    yield* g.fails("ENOTSOCK", "sendto", yield* g.ok("dup", 0), text, 1, 0, 0, 0);
  }),
  scenario("sockets/long streams, full and reset", function* (g) {
    yield* g.setUp();
    const [a, b] = yield* pair(g, TYPE.STREAM, O.NONBLOCK);
    const block = g.bytes(100_000);
    yield* g.poke(block, new Uint8Array(100_000).fill(66));
    yield* g.ok("write", a, block, 300);
    yield* g.ok("write", a, block, 100_000);
    yield* g.ok("read", b, block, 200);
    yield* g.ok("read", b, block, 70_000);
    yield* g.ok("write", a, block, 100_000);
    yield* g.call("write", a, block, 100_000);
    yield* g.fails("EAGAIN", "write", a, block, 100_000);
    yield* g.ok("read", b, block, 100_000);
    yield* g.ok("setsockopt", a, SOL_SOCKET, SO.SNDBUF, yield* g.put([4000]), 4);
    yield* g.fails("EAGAIN", "write", a, block, 10);
    yield* g.ok("close", b);
    yield* g.fails("ECONNRESET", "read", a, block, 10);
    yield* g.ok("read", a, block, 10);
  }),
  scenario("sockets/names, listeners, connections", function* (g) {
    yield* g.setUp();
    const listener = yield* g.ok("socket", UNIX, TYPE.STREAM | O.CLOEXEC, 0);
    const [path, length] = yield* address(g, "/tmp/socket");
    yield* g.fails("EINVAL", "listen", listener, 1);
    yield* g.ok("bind", listener, path, length);
    yield* g.fails("EINVAL", "bind", listener, ...(yield* address(g, "@again")));
    yield* g.ok("listen", listener, 1);
    const name = g.bytes(128);
    const room = yield* g.put([110]);
    yield* g.ok("getsockname", listener, name, room);
    yield* g.fails("ENOTCONN", "getpeername", listener, name, room);
    const other = yield* g.ok("socket", UNIX, TYPE.STREAM, 0);
    yield* g.fails("EADDRINUSE", "bind", other, path, length);
    yield* g.fails("ECONNREFUSED", "connect", other, ...(yield* address(g, "@nobody")));
    yield* g.fails("ENOENT", "connect", other, ...(yield* address(g, "/tmp/none")));
    yield* g.fork(function* (child) {
      const socket = yield* child.ok("socket", UNIX, TYPE.STREAM, 0);
      yield* child.ok("connect", socket, path, length);
      yield* child.ok("write", socket, yield* child.put("from the child"), 14);
      yield* child.ok("read", socket, child.bytes(32), 32);
      yield* child.ok("exit_group", 0);
    });
    const accepted = yield* g.ok("accept4", listener, name, room, O.CLOEXEC);
    yield* g.ok("read", accepted, g.bytes(32), 32);
    yield* g.ok("getpeername", accepted, name, room);
    yield* g.ok("getsockopt", accepted, SOL_SOCKET, SO.PEERCRED, g.bytes(16), yield* g.put([12]));
    yield* g.ok("write", accepted, yield* g.put("back"), 4);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("connect", other, path, length);
    yield* g.fails("EISCONN", "connect", other, path, length);
    yield* g.ok("accept", listener, 0, 0);
    const late = yield* g.ok("socket", UNIX, TYPE.STREAM | O.NONBLOCK, 0);
    yield* g.ok("connect", late, path, length);
    const later = yield* g.ok("socket", UNIX, TYPE.STREAM | O.NONBLOCK, 0);
    yield* g.ok("connect", later, path, length);
    const last = yield* g.ok("socket", UNIX, TYPE.STREAM | O.NONBLOCK, 0);
    yield* g.fails("EAGAIN", "connect", last, path, length);
    yield* g.ok("close", listener);
    yield* g.fails("ECONNRESET", "read", late, name, 1);
    yield* g.fails("ECONNREFUSED", "connect", last, path, length);
    yield* g.ok("unlinkat", -100, yield* g.put("/tmp/socket"), 0);
  }),
  scenario("sockets/waiting for each other", function* (g) {
    yield* g.setUp();
    const [a, b] = yield* pair(g);
    const listener = yield* g.ok("socket", UNIX, TYPE.STREAM, 0);
    const [path, length] = yield* address(g, "@listener");
    yield* g.ok("bind", listener, path, length);
    yield* g.ok("listen", listener, 0);
    const poll = yield* g.put(new Uint8Array(Int32Array.from([listener, 1]).buffer));
    yield* g.fork(function* (child) {
      const text = yield* child.put("x".repeat(9000));
      yield* child.ok("write", b, text, 1);
      yield* child.ok("write", b, text, 9000);
      const socket = yield* child.ok("socket", UNIX, TYPE.STREAM, 0);
      yield* child.ok("connect", socket, path, length);
      const second = yield* child.ok("socket", UNIX, TYPE.STREAM, 0);
      yield* child.ok("connect", second, path, length);
      yield* child.ok("exit_group", 0);
    });
    const text = g.bytes(10_000);
    yield* g.ok("read", a, text, 10);
    yield* g.ok("recvfrom", a, text, 9000, MSG.WAITALL, 0, 0);
    yield* g.ok("ppoll", poll, 1, 0, 0, 8);
    yield* g.ok("accept", listener, 0, 0);
    yield* g.ok("accept", listener, 0, 0);
    yield* g.ok("wait4", -1, 0, 0, 0);
    yield* g.ok("setsockopt", a, SOL_SOCKET, SO.RCVTIMEO, yield* g.put([0, 1000]), 16);
    yield* g.fails("EAGAIN", "read", a, text, 1);
  }),
  scenario("sockets/datagrams", function* (g) {
    yield* g.setUp();
    const receiver = yield* g.ok("socket", UNIX, TYPE.DGRAM, 0);
    const [name, length] = yield* address(g, "@receiver");
    yield* g.ok("bind", receiver, name, length);
    const sender = yield* g.ok("socket", UNIX, TYPE.DGRAM | O.NONBLOCK, 0);
    const text = yield* g.put("a datagram");
    yield* g.fails("ENOTCONN", "sendto", sender, text, 10, 0, 0, 0);
    yield* g.ok("sendto", sender, text, 10, 0, name, length);
    yield* g.ok("bind", sender, yield* g.put(Uint8Array.of(1, 0)), 2);
    yield* g.ok("connect", sender, name, length);
    for (let i = 0; i < 10; i++) yield* g.ok("sendto", sender, text, i, 0, 0, 0);
    yield* g.fails("EAGAIN", "sendto", sender, text, 1, 0, 0, 0);
    yield* g.ok("recvfrom", receiver, text, 4, MSG.TRUNC, g.bytes(128), yield* g.put([110]));
    yield* g.ok("read", receiver, text, 10);
    const headers = g.bytes(128);
    const buffer = g.bytes(64);
    const vector = yield* g.put([buffer, 16]);
    yield* g.poke(
      headers,
      new Uint8Array(
        BigInt64Array.from([
          0n,
          0n,
          BigInt(vector),
          1n,
          0n,
          0n,
          0n,
          0n,
          0n,
          0n,
          BigInt(vector),
          1n,
          0n,
          0n,
          0n,
          0n,
        ]).buffer,
      ),
    );
    yield* g.ok("recvmmsg", receiver, headers, 2, 0, 0);
    yield* g.ok("sendmmsg", sender, headers, 2, 0);
    yield* g.ok("connect", sender, yield* g.put(Uint8Array.of(0, 0)), 2);
    const big = g.bytes(100_000);
    const [a, b] = yield* pair(g, TYPE.SEQPACKET);
    yield* g.poke(big, new Uint8Array(100_000).fill(67));
    yield* g.ok("sendto", a, big, 100_000, 0, 0, 0);
    yield* g.ok("recvfrom", b, big, 100_000, 0, 0, 0);
    yield* g.fails("EMSGSIZE", "sendto", a, big, 300_000, 0, 0, 0);
    yield* g.ok("close", receiver);
    yield* g.fails("ECONNREFUSED", "sendto", sender, text, 1, 0, name, length);
  }),
  scenario("sockets/descriptors and identities", function* (g) {
    yield* g.setUp();
    const [a, b] = yield* pair(g);
    const fds = g.bytes(8);
    yield* g.ok("pipe2", fds, 0);
    const [reader, writer] = [yield* g.word(fds), yield* g.word(fds + 4)];
    yield* g.ok("setsockopt", b, SOL_SOCKET, SO.PASSCRED, yield* g.put([1]), 4);
    yield* sendRights(g, a, reader, writer, writer);
    yield* sendRights(g, a, reader);
    yield* g.fails("EBADF", "sendmsg", a, yield* header(g, fds, 1, ...(yield* rights(g, 99))), 0);
    const control = g.bytes(256);
    const buffer = g.bytes(16);
    yield* g.ok("recvmsg", b, yield* header(g, buffer, 16, control, 256), MSG.PEEK);
    yield* g.ok("recvmsg", b, yield* header(g, buffer, 16, control, 56), 0x4000_0000);
    yield* g.ok("recvmsg", b, yield* header(g, buffer, 16), 0);
    yield* sendRights(g, a, ...Array.from({ length: 30 }, () => writer));
    yield* g.ok("recvmsg", b, yield* header(g, buffer, 16, control, 256), 0);
    // A listener with an embryo, in its own peer's mailbox; and two ends in each other's.
    yield* sendRights(g, a, a);
    yield* sendRights(g, b, b);
    yield* sendRights(g, b, a);
    const [c, d] = yield* pair(g);
    yield* g.ok("close", a);
    yield* g.ok("close", b);
    yield* g.ok("close", c);
    yield* g.ok("sched_yield");
    yield* g.ok("close", d);
    yield* g.ok("sched_yield");
    yield* g.ok("ppoll", 0, 0, yield* g.put([0, 1000]), 0, 8);
  }),
  scenario("sockets/internet streams", function* (g) {
    yield* g.setUp();
    const listener = yield* g.ok("socket", INET, TYPE.STREAM, 0);
    const [name, length] = yield* internet(g, 4711);
    yield* g.ok("bind", listener, name, length);
    yield* g.ok("listen", listener, 1);
    const other = yield* g.ok("socket", INET, TYPE.STREAM, 0);
    yield* g.fails("EADDRINUSE", "bind", other, name, length);
    yield* g.fails("EADDRNOTAVAIL", "bind", other, ...(yield* internet(g, 0, 10)));
    yield* g.fails("ENETUNREACH", "connect", other, ...(yield* internet(g, 80, 8)));
    yield* g.fails("ECONNREFUSED", "connect", other, ...(yield* internet(g, 99)));
    yield* g.ok("connect", other, name, length);
    const peer = yield* g.ok("accept4", listener, g.bytes(128), yield* g.put([110]), 0);
    const text = yield* g.put("over loopback");
    yield* g.ok("write", other, text, 13);
    yield* g.ok("read", peer, text, 13);
    yield* g.ok("getsockname", other, g.bytes(128), yield* g.put([110]));
    yield* g.ok("close", peer);
    yield* g.ok("sendto", other, text, 5, MSG.NOSIGNAL, 0, 0);
    yield* g.fails("EPIPE", "sendto", other, text, 5, MSG.NOSIGNAL, 0, 0);
    const late = yield* g.ok("socket", INET, TYPE.STREAM | O.NONBLOCK, 0);
    yield* g.fails("EINPROGRESS", "connect", late, ...(yield* internet(g, 99)));
    yield* g.fails("ECONNREFUSED", "connect", late, name, length);
    yield* g.fails("EINPROGRESS", "connect", late, name, length);
    yield* g.ok("connect", late, name, length);
    yield* g.fails("EISCONN", "connect", late, name, length);
    yield* g.ok("close", listener);
    yield* g.fails("ECONNRESET", "read", late, text, 1);
  }),
  scenario("sockets/internet datagrams", function* (g) {
    yield* g.setUp();
    const server = yield* g.ok("socket", INET, TYPE.DGRAM, 0);
    const [name, length] = yield* internet(g, 4712);
    yield* g.ok("bind", server, name, length);
    const client = yield* g.ok("socket", INET, TYPE.DGRAM, 0);
    const text = yield* g.put("a datagram");
    yield* g.fails("EDESTADDRREQ", "sendto", client, text, 10, 0, 0, 0);
    yield* g.ok("sendto", client, text, 10, 0, name, length);
    yield* g.ok("recvfrom", server, text, 10, 0, g.bytes(128), yield* g.put([110]));
    yield* g.ok("connect", client, name, length);
    yield* g.ok("write", client, text, 4);
    yield* g.ok("read", server, text, 10);
    yield* g.ok("close", server);
    yield* g.ok("write", client, text, 4);
    yield* g.fails("ECONNREFUSED", "write", client, text, 4);
  }),
  scenario("sockets/options", function* (g) {
    yield* g.setUp();
    const socket = yield* g.ok("socket", UNIX, TYPE.SEQPACKET, 0);
    const value = yield* g.put([1, 5]);
    const room = yield* g.put([8]);
    for (const name of [SO.TYPE, SO.ERROR, SO.SNDBUF, SO.LINGER, SO.RCVTIMEO]) {
      yield* g.ok("getsockopt", socket, SOL_SOCKET, name, value, room);
    }
    yield* g.ok("setsockopt", socket, SOL_SOCKET, SO.LINGER, value, 8);
    yield* g.fails("ENOPROTOOPT", "getsockopt", socket, SOL_SOCKET, 9999, value, room);
    yield* g.fails("EINVAL", "setsockopt", socket, SOL_SOCKET, SO.LINGER, value, 2);
    yield* g.fails("ENOTCONN", "recvfrom", socket, value, 1, 0, 0, 0);
    yield* g.ok("fcntl", socket, 4, O.NONBLOCK);
    const poll = yield* g.put(new Uint8Array(Int32Array.from([socket, 5]).buffer));
    yield* g.ok("ppoll", poll, 1, 0, 0, 8);
  }),
];
