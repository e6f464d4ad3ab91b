import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Errno } from "../../base/errno.ts";
import { census, checkHeap } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { createHeap } from "../../heap/heap.ts";
import { REDO, type RedoKind } from "../../heap/layout.ts";
import { HookedTransaction, type Transaction } from "../../heap/transaction.ts";
import { dropFile, type File } from "../../kernel/file.ts";
import { addSegment, clearSegments, clearWaits } from "../../kernel/request.ts";
import { createScheduler } from "../../kernel/scheduler.ts";
import { KernelThread } from "../../kernel/thread.ts";
import { addressOf, clearLetter, setAddress, valueAt } from "./letter.ts";
import { SO, SOL } from "./options.ts";
import { AF, TYPE } from "./records.ts";
import { createSocketFile, sockets, socketOf } from "./socket-server.ts";
import { placeSockets } from "./state.ts";

const IN: number = 1 << 17;

class TestHost extends KernelThread {
  constructor() {
    super(1, { monotonic: () => 1000, realtime: () => 0 }, { fill: () => {} }, () => {
      throw new Error("contended in one thread");
    });
  }
  override redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    return kind === REDO.wake || kind === REDO.doorbell ? true : super.redo(tx, kind, value);
  }
}

class Net {
  readonly tx: HookedTransaction;

  constructor() {
    const buffers = {
      heap: createHeap({ bytes: 2 << 20, slots: 2 }),
      memory: new SharedArrayBuffer(1 << 18),
    };
    this.tx = new HookedTransaction(buffers, 0, new TestHost(), () => {});
    createScheduler(this.tx, 1, 16);
    placeSockets(this.tx);
    this.tx.commit();
  }

  request<T>(work: () => T): T {
    clearWaits(this.tx);
    try {
      const result = work();
      this.tx.commit();
      return result;
    } catch (error) {
      this.tx.rollback();
      throw error;
    }
  }

  open(type: number = TYPE.STREAM, family: number = AF.INET): File {
    return this.request(() => createSocketFile(this.tx, sockets.create(this.tx, family, type, 0), 0));
  }

  bind(file: File, address: Uint8Array): void {
    this.request(() => {
      this.address(address);
      sockets.bindInet(this.tx, socketOf(this.tx, file));
    });
  }

  listen(file: File): File {
    this.request(() => {
      sockets.prepareListen(this.tx, socketOf(this.tx, file));
      sockets.listen(this.tx, socketOf(this.tx, file), 5);
    });
    return file;
  }

  connect(file: File, address: Uint8Array, nonblock = 0): number {
    return this.request(() => {
      this.address(address);
      return sockets.connectInet(this.tx, socketOf(this.tx, file), nonblock, 0);
    });
  }

  accept(file: File): File {
    return this.request(() =>
      createSocketFile(this.tx, sockets.accept(this.tx, socketOf(this.tx, file), 1), 0),
    );
  }

  address(bytes: Uint8Array): void {
    clearLetter(this.tx);
    setAddress(this.tx, bytes);
  }

  name(file: File, peer = 0): number[] {
    this.request(() => sockets.name(this.tx, socketOf(this.tx, file), peer));
    return [...addressOf(this.tx)];
  }

  send(file: File, text: string, to?: Uint8Array): number {
    const bytes = new TextEncoder().encode(text);
    this.tx.memoryBytes.set(bytes, 0);
    clearSegments(this.tx);
    if (bytes.length > 0) addSegment(this.tx, 0, bytes.length);
    return this.request(() => {
      clearLetter(this.tx);
      if (to !== undefined) setAddress(this.tx, to);
      return sockets.send(this.tx, socketOf(this.tx, file), bytes.length, 1, to === undefined ? 0 : 1);
    });
  }

  receive(file: File, length = 100): string {
    clearSegments(this.tx);
    addSegment(this.tx, IN, length);
    const count = this.request(() =>
      sockets.receive(this.tx, socketOf(this.tx, file), length, length, 0, 1, 0),
    );
    return count < 0
      ? `error ${-count}`
      : new TextDecoder().decode(this.tx.memoryBytes.slice(IN, IN + count));
  }

  error(file: File): number {
    this.request(() => sockets.getOption(this.tx, socketOf(this.tx, file), SOL.SOCKET, SO.ERROR));
    return new DataView(this.tx.bytes.buffer, valueAt(this.tx), 4).getInt32(0, true);
  }

  set(file: File, level: number, name: number): void {
    new DataView(this.tx.bytes.buffer, valueAt(this.tx), 16).setInt32(0, 1, true);
    this.request(() => sockets.setOption(this.tx, socketOf(this.tx, file), level, name, 4, 1));
  }

  close(...files: readonly File[]): void {
    for (const file of files) this.request(() => dropFile(this.tx, file));
  }

  clean(): void {
    assert.deepEqual(checkHeap(this.tx), []);
  }
}

function v4(port: number, ...address: readonly number[]): Uint8Array {
  const [a = 127, b = 0, c = 0, d = 1] = address;
  return Uint8Array.of(AF.INET, 0, port >> 8, port & 255, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0);
}

function v6(port: number, ...address: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(28);
  bytes.set([AF.INET6, 0, port >> 8, port & 255]);
  bytes.set(address, 24 - address.length);
  return bytes;
}

function failsWith(expected: string, work: () => unknown): void {
  assert.throws(work, (error) => error instanceof Errno && error.name === expected);
}

describe("streams", () => {
  test("a connection, its names, and its end", () => {
    const net = new Net();
    const server = net.open();
    net.bind(server, v4(5000, 0, 0, 0, 0));
    net.listen(server);
    const client = net.open();
    assert.equal(net.connect(client, v4(5000)), 0);
    const peer = net.accept(server);
    assert.deepEqual(net.name(client, 1), [...v4(5000)]);
    assert.deepEqual(net.name(peer), [...v4(5000)]);
    assert.deepEqual(net.name(peer, 1), net.name(client));
    assert.deepEqual(net.name(server), [...v4(5000, 0, 0, 0, 0)]);
    net.send(client, "there");
    assert.equal(net.receive(peer), "there");
    net.send(peer, "and back");
    net.close(peer);
    assert.equal(net.receive(client), "and back");
    assert.equal(net.receive(client), "");
    assert.equal(net.send(client, "lost"), 4);
    failsWith("EPIPE", () => net.send(client, "x"));
    net.clean();
    net.close(client, server);
    net.clean();
    assert.deepEqual(
      [...census(net.tx)].filter(([name]) => name.startsWith("socket-m") || name === "socket"),
      [],
    );
  });

  test("a connect that may not wait", () => {
    const net = new Net();
    const [refused, made] = [net.open(), net.open()];
    assert.equal(net.connect(refused, v4(1), 1), -115);
    assert.equal(net.error(refused), 111);
    assert.equal(net.error(refused), 0);
    const server = net.listen(net.open());
    const port = (net.name(server)[2]! << 8) | net.name(server)[3]!;
    assert.ok(port >= 32_768);
    assert.equal(net.connect(made, v4(port), 1), -115);
    assert.equal(net.error(made), 0);
    assert.equal(net.connect(made, v4(port), 1), 0);
    failsWith("EISCONN", () => net.connect(made, v4(port), 1));
    net.clean();
  });

  test("ports are taken, shared, and free again", () => {
    const net = new Net();
    const [a, b, c] = [net.open(), net.open(), net.open()];
    net.bind(a, v4(6000));
    failsWith("EADDRINUSE", () => net.bind(b, v4(6000)));
    failsWith("EADDRINUSE", () => net.bind(b, v4(6000, 0, 0, 0, 0)));
    failsWith("EADDRNOTAVAIL", () => net.bind(b, v4(6000, 10, 0, 0, 1)));
    failsWith("EAFNOSUPPORT", () => net.bind(b, v6(6000, 1)));
    net.bind(b, v4(6000, 127, 0, 0, 2));
    for (const file of [a, c]) net.set(file, SOL.SOCKET, SO.REUSEADDR);
    net.bind(c, v4(6000));
    net.close(a, b, c);
    const d = net.open();
    net.bind(d, v4(6000));
    failsWith("ENETUNREACH", () => net.connect(net.open(), v4(80, 8, 8, 8, 8)));
    net.clean();
  });

  test("IPv6 takes IPv4 unless it may not", () => {
    const net = new Net();
    const server = net.open(TYPE.STREAM, AF.INET6);
    net.bind(server, v6(7000));
    net.listen(server);
    const client = net.open();
    net.connect(client, v4(7000));
    const peer = net.accept(server);
    assert.deepEqual(net.name(peer, 1).slice(18, 24), [0xff, 0xff, 127, 0, 0, 1]);
    const six = net.open(TYPE.STREAM, AF.INET6);
    net.connect(six, v6(7000, 1));
    const only = net.open(TYPE.STREAM, AF.INET6);
    net.set(only, SOL.IPV6, 26);
    net.bind(only, v6(7001));
    net.listen(only);
    failsWith("ECONNREFUSED", () => net.connect(net.open(), v4(7001)));
    net.clean();
  });

  test("bytes that nobody reads reset the connection", () => {
    const net = new Net();
    const server = net.open();
    net.bind(server, v4(5001));
    net.listen(server);
    const client = net.open();
    net.connect(client, v4(5001));
    const peer = net.accept(server);
    net.send(client, "unread");
    net.close(peer);
    assert.equal(net.receive(client), "error 104");
    net.clean();
  });
});

describe("datagrams", () => {
  test("arrive, are lost, or are refused", () => {
    const net = new Net();
    const [server, client] = [net.open(TYPE.DGRAM), net.open(TYPE.DGRAM)];
    net.bind(server, v4(8000));
    failsWith("EDESTADDRREQ", () => net.send(client, "x"));
    net.send(client, "one", v4(8000));
    net.send(client, "", v4(8000));
    assert.equal(net.receive(server), "one");
    assert.equal(net.receive(server), "");
    net.connect(client, v4(8000));
    net.send(client, "two");
    assert.equal(net.receive(server), "two");
    assert.equal(net.send(client, "nobody there", v4(8001)), 12);
    net.close(server);
    assert.equal(net.send(client, "gone"), 4);
    assert.equal(net.send(client, "gone"), -111);
    net.clean();
  });

  test("a connected socket hears its peer alone; a full one loses what comes", () => {
    const net = new Net();
    const [a, b, c] = [net.open(TYPE.DGRAM), net.open(TYPE.DGRAM), net.open(TYPE.DGRAM)];
    net.bind(a, v4(8100));
    net.bind(b, v4(8101));
    net.connect(a, v4(8101));
    net.send(c, "stranger", v4(8100));
    net.send(b, "peer", v4(8100));
    assert.equal(net.receive(a), "peer");
    failsWith("EAGAIN", () => net.receive(a));
    for (let i = 0; i < 400; i++) net.send(a, "x");
    let got = 0;
    try {
      while (net.receive(b) === "x") got++;
    } catch (error) {
      assert.ok(error instanceof Errno);
    }
    assert.ok(got > 100 && got < 400, `${got}`);
    net.clean();
  });
});

describe("crash loop", () => {
  const cases: Record<string, (net: Net, server: File, client: File) => unknown> = {
    connect: ({ tx }, _server, client) => {
      clearLetter(tx);
      setAddress(tx, v4(9000));
      return sockets.connectInet(tx, socketOf(tx, client), 0, 0);
    },
    "connect without waiting": ({ tx }, _server, client) => {
      clearLetter(tx);
      setAddress(tx, v4(9000));
      return sockets.connectInet(tx, socketOf(tx, client), 1, 0);
    },
    "refused connect": ({ tx }, _server, client) => {
      clearLetter(tx);
      setAddress(tx, v4(9001));
      return sockets.connectInet(tx, socketOf(tx, client), 1, 0);
    },
    "close of the listener": ({ tx }, server) => dropFile(tx, server),
  };
  for (const [title, run] of Object.entries(cases)) {
    test(title, (t) => {
      const net = new Net();
      const server = net.open();
      net.bind(server, v4(9000));
      net.listen(server);
      const client = net.open();
      const report = crashLoop({
        tx: net.tx,
        operation: () => run(net, server, client),
        observe: () => [...census(net.tx)],
        pairs: true,
      });
      t.diagnostic(`${report.points} points, ${report.pairs} pairs`);
      assert.ok("value" in report.outcome, JSON.stringify(report.outcome));
      net.clean();
    });
  }
});
