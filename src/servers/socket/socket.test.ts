import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Errno } from "../../base/errno.ts";
import { census, checkHeap } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { createHeap } from "../../heap/heap.ts";
import { REDO, type RedoKind } from "../../heap/layout.ts";
import { each } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import { HookedTransaction, type Transaction } from "../../heap/transaction.ts";
import { fireAlarm } from "../../kernel/alarm.ts";
import { dropFile, File, holdFile, kindOf, POLL } from "../../kernel/file.ts";
import { addSegment, clearSegments, clearWaits, WOULD_BLOCK } from "../../kernel/request.ts";
import { createScheduler, hartOf, pickTask, wakeDue } from "../../kernel/scheduler.ts";
import { KernelThread } from "../../kernel/thread.ts";
import { addLetterFile, addressOf, clearLetter, letterField, letterFile, setAddress } from "./letter.ts";
import { AF, BOX, Mailbox, Message, MSG, Rights, Socket, SocketPage, SocketState, TYPE } from "./records.ts";
import { createSocketFile, sockets, socketOf } from "./socket-server.ts";
import { placeSockets, socketState } from "./state.ts";

const OUT = 0;
const IN: number = 1 << 17;

class TestHost extends KernelThread {
  now = 1000;
  constructor() {
    super(1, { monotonic: () => this.now, realtime: () => 0 }, { fill: () => {} }, () => {
      throw new Error("contended in one thread");
    });
  }
  override redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    return kind === REDO.wake || kind === REDO.doorbell ? true : super.redo(tx, kind, value);
  }
}

function fresh(): HookedTransaction {
  const heap = createHeap({ bytes: 2 << 20, slots: 2 });
  const memory = new SharedArrayBuffer(1 << 18);
  const tx = new HookedTransaction({ heap, memory }, 0, new TestHost(), () => {});
  createScheduler(tx, 1, 16);
  placeSockets(tx);
  tx.commit();
  return tx;
}

/** Runs `work` as a request: commits, or rolls back what it throws. */
function request<T>(tx: HookedTransaction, work: () => T): T {
  clearWaits(tx);
  try {
    const result = work();
    tx.commit();
    return result;
  } catch (error) {
    tx.rollback();
    throw error;
  }
}

function segment(tx: HookedTransaction, pa: number, length: number): void {
  clearSegments(tx);
  if (length > 0) addSegment(tx, pa, length);
}

const socketAt = (tx: HookedTransaction, file: File): Socket => socketOf(tx, file);

function open(tx: HookedTransaction, type: number = TYPE.STREAM): File {
  return request(tx, () => createSocketFile(tx, sockets.create(tx, AF.UNIX, type, 0), 0));
}

function pair(tx: HookedTransaction, type: number = TYPE.STREAM): [File, File] {
  return request(tx, () => {
    const a = sockets.create(tx, AF.UNIX, type, 0);
    const b = sockets.create(tx, AF.UNIX, type, 0);
    sockets.pair(tx, a, b);
    return [createSocketFile(tx, a, 0), createSocketFile(tx, b, 0)];
  });
}

function name(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(`\u0001\0\0${text}`);
  return bytes;
}

function bind(tx: HookedTransaction, file: File, text: string): void {
  request(tx, () => {
    clearLetter(tx);
    setAddress(tx, name(text));
    sockets.bindUnix(tx, socketAt(tx, file));
  });
}

function connect(tx: HookedTransaction, file: File, text: string, nonblock = 1): void {
  request(tx, () => {
    clearLetter(tx);
    setAddress(tx, name(text));
    sockets.connectUnix(tx, socketAt(tx, file), nonblock, 0);
  });
}

function listener(tx: HookedTransaction, text: string, backlog = 3): File {
  const file = open(tx);
  bind(tx, file, text);
  request(tx, () => sockets.listen(tx, socketAt(tx, file), backlog));
  return file;
}

function accept(tx: HookedTransaction, file: File): File {
  return request(tx, () => createSocketFile(tx, sockets.accept(tx, socketAt(tx, file), 1), 0));
}

function send(
  tx: HookedTransaction,
  file: File,
  bytes: Uint8Array | string,
  nonblock = 1,
  to = "",
  rights: readonly File[] = [],
): number {
  const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  tx.memoryBytes.set(data, OUT);
  segment(tx, OUT, data.length);
  return request(tx, () => {
    for (const each of rights) holdFile(tx, each);
    clearLetter(tx);
    if (to !== "") setAddress(tx, name(to));
    for (const each of rights) addLetterFile(tx, each);
    return sockets.send(
      tx,
      socketAt(tx, file),
      data.length,
      nonblock,
      to !== "" || rights.length > 0 ? 1 : 0,
    );
  });
}

function receive(tx: HookedTransaction, file: File, length: number, flags = 0, room = 0): string {
  segment(tx, IN, length);
  const count = request(tx, () => sockets.receive(tx, socketAt(tx, file), length, length, flags, 1, room));
  if (count < 0) return `error ${-count}`;
  return new TextDecoder().decode(tx.memoryBytes.slice(IN, IN + Math.min(count, length)));
}

/** The descriptors that the last receive has brought: their references are the caller's. */
function received(tx: HookedTransaction): File[] {
  return Array.from({ length: letterField(tx, "rights") }, (_, i) => letterFile(tx, i));
}

const close = (tx: HookedTransaction, ...files: readonly File[]): void => {
  for (const file of files) request(tx, () => dropFile(tx, file));
};

const poll = (tx: HookedTransaction, file: File): number =>
  request(tx, () => kindOf(tx, file).poll(tx, file, false));

/** Lets the collector do what it has to. */
function collect(tx: HookedTransaction): void {
  const hart = hartOf(tx, 0);
  wakeDue(tx, Number.MAX_SAFE_INTEGER);
  const task = pickTask(tx, hart);
  tx.commit();
  if (task !== 0) fireAlarm(tx, hart, task, 0);
}

function failsWith(expected: string, work: () => unknown): void {
  assert.throws(work, (error) => error instanceof Errno && error.name === expected);
}
const clean = (tx: HookedTransaction): void => assert.deepEqual(checkHeap(tx), []);
/** Live records of the server, beside its state. */
const left = (tx: HookedTransaction): unknown[] =>
  [...census(tx)].filter(
    ([each]) => (each.startsWith("socket") && each !== "socket-state") || each === "file",
  );

describe("streams", () => {
  test("bytes come out as they went in, and close is the end", () => {
    const tx = fresh();
    const [a, b] = pair(tx);
    assert.equal(send(tx, a, "hello, "), 7);
    assert.equal(send(tx, a, "socket"), 6);
    assert.equal(receive(tx, b, 5, MSG.PEEK), "hello");
    assert.equal(receive(tx, b, 100), "hello, socket");
    failsWith("EAGAIN", () => receive(tx, b, 1));
    segment(tx, IN, 1);
    assert.throws(
      () => request(tx, () => kindOf(tx, b).read(tx, b, 1, -1, false)),
      (error) => error === WOULD_BLOCK,
    );
    send(tx, b, "back");
    assert.equal(receive(tx, a, 100), "back");
    send(tx, a, "last");
    close(tx, a);
    assert.equal(receive(tx, b, 100), "last");
    assert.equal(receive(tx, b, 100), "");
    failsWith("EPIPE", () => send(tx, b, "x"));
    clean(tx);
    close(tx, b);
    clean(tx);
    assert.deepEqual(left(tx), []);
  });

  test("a peer that leaves bytes unread resets the connection, once", () => {
    const tx = fresh();
    const [a, b] = pair(tx);
    send(tx, a, "unread");
    send(tx, b, "still to be read");
    close(tx, b);
    assert.equal(poll(tx, a) & (POLL.ERR | POLL.HUP | POLL.IN), POLL.ERR | POLL.HUP | POLL.IN);
    assert.equal(receive(tx, a, 100), "still to be read");
    assert.equal(receive(tx, a, 100), "error 104");
    assert.equal(receive(tx, a, 100), "");
    close(tx, a);
    assert.deepEqual(left(tx), []);
  });

  test("random sends and receives agree with a plain queue", () => {
    const tx = fresh();
    const [a, b] = pair(tx);
    let seed = 7;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return (seed >>> 8) % below;
    };
    const byteAt = (i: number): number => (Math.imul(i, 2654435761) >>> 24) & 255;
    let sent = 0;
    let got = 0;
    for (let round = 0; round < 2000; round++) {
      const size = 1 + (random(4) === 0 ? random(70_000) : random(600));
      try {
        if (random(2) === 0) {
          const data = Uint8Array.from({ length: size }, (_, i) => byteAt(sent + i));
          sent += send(tx, a, data);
        } else {
          segment(tx, IN, size);
          const count = request(tx, () => sockets.receive(tx, socketAt(tx, b), size, size, 0, 1, 0));
          for (let i = 0; i < count; i++) assert.equal(tx.memoryBytes[IN + i], byteAt(got + i));
          got += count;
        }
      } catch (error) {
        if (!(error instanceof Errno) || error.name !== "EAGAIN") throw error;
      }
      if (round % 100 === 0) clean(tx);
    }
    assert.ok(got > 1e6);
    assert.equal(
      request(tx, () => sockets.available(tx, socketAt(tx, b))),
      sent - got,
    );
    close(tx, a, b);
    assert.deepEqual(left(tx), []);
  });

  test("names, backlog, refusal", () => {
    const tx = fresh();
    const server = listener(tx, "service", 0);
    const first = open(tx);
    connect(tx, first, "service");
    const second = open(tx);
    failsWith("EAGAIN", () => connect(tx, second, "service"));
    failsWith("ECONNREFUSED", () => connect(tx, second, "other"));
    send(tx, first, "early");
    const accepted = accept(tx, server);
    assert.equal(receive(tx, accepted, 10), "early");
    request(tx, () => sockets.name(tx, socketAt(tx, first), 1));
    assert.deepEqual([...addressOf(tx)], [...name("service")]);
    connect(tx, second, "service");
    clean(tx);
    close(tx, server);
    assert.equal(receive(tx, second, 10), "error 104");
    const again = open(tx);
    bind(tx, again, "service");
    close(tx, first, second, accepted, again);
    clean(tx);
    assert.deepEqual(left(tx), []);
  });
});

describe("datagrams", () => {
  test("keep their bounds and their sender's name", () => {
    const tx = fresh();
    const server = open(tx, TYPE.DGRAM);
    bind(tx, server, "d");
    const client = open(tx, TYPE.DGRAM);
    bind(tx, client, "c");
    send(tx, client, "one", 1, "d");
    send(tx, client, "", 1, "d");
    send(tx, client, "three", 1, "d");
    assert.equal(receive(tx, server, 2), "on");
    assert.equal(letterField(tx, "flags"), MSG.TRUNC);
    assert.deepEqual([...addressOf(tx)], [...name("c")]);
    assert.equal(receive(tx, server, 10), "");
    assert.equal(receive(tx, server, 10), "three");
    for (let i = 0; i < 11; i++) send(tx, client, "x", 1, "d");
    failsWith("EAGAIN", () => send(tx, client, "x", 1, "d"));
    clean(tx);
    close(tx, server);
    failsWith("ECONNREFUSED", () => send(tx, client, "x", 1, "d"));
    close(tx, client);
    clean(tx);
    assert.deepEqual(left(tx), []);
  });
});

describe("descriptors on their way", () => {
  test("references pass to the receiver, or to the collector", () => {
    const tx = fresh();
    const [a, b] = pair(tx);
    const [c, d] = pair(tx);
    send(tx, a, "x", 1, "", [c, d, c]);
    assert.equal(File.references.get(tx, c), 3);
    close(tx, c);
    clean(tx);
    assert.equal(receive(tx, b, 10, 0, 24), "x");
    assert.deepEqual(received(tx), [c, d]);
    assert.equal(letterField(tx, "flags"), MSG.CTRUNC);
    collect(tx);
    clean(tx);
    assert.equal(File.references.get(tx, c), 1);
    assert.equal(File.references.get(tx, d), 2);
    send(tx, a, "y", 1, "", [c]);
    close(tx, b);
    collect(tx);
    assert.equal(File.references.get(tx, c), 1);
    close(tx, d, d, c, a);
    collect(tx);
    clean(tx);
    assert.deepEqual(left(tx), []);
  });

  test("cycles that nobody can reach are found, others are left alone", () => {
    const tx = fresh();
    const [a, b] = pair(tx);
    const [c, d] = pair(tx);
    // Each in the other's mailbox, and one in its own.
    send(tx, a, "x", 1, "", [a]);
    send(tx, b, "x", 1, "", [b, c]);
    send(tx, c, "x", 1, "", [a]);
    const [e, f] = pair(tx);
    close(tx, a, b, c);
    close(tx, e, f);
    collect(tx);
    clean(tx);
    // d can still receive a, whose mailbox has b and c.
    assert.equal(receive(tx, d, 10, 0, 64), "x");
    assert.deepEqual(received(tx), [a]);
    close(tx, a);
    close(tx, d);
    collect(tx);
    clean(tx);
    assert.deepEqual(left(tx), []);
  });

  test("a listener in flight takes its backlog with it", () => {
    const tx = fresh();
    const server = listener(tx, "s");
    const client = open(tx);
    connect(tx, client, "s");
    send(tx, client, "x", 1, "", [server, client]);
    close(tx, server);
    clean(tx);
    close(tx, client);
    close(tx, ...pair(tx));
    collect(tx);
    clean(tx);
    assert.deepEqual(left(tx), []);
  });
});

describe("crash loop", () => {
  interface Stage {
    readonly tx: HookedTransaction;
    a: File;
    b: File;
  }
  const data = Uint8Array.from({ length: 20_000 }, (_, i) => (i * 31) >>> 4);

  /** What anybody could see of a socket. */
  function seen(tx: HookedTransaction, file: File): unknown {
    if (!File.isLive(tx, file)) return "gone";
    const inbox = Socket.inbox.get(tx, socketAt(tx, file));
    const messages: unknown[] = [];
    for (const message of each(tx, Mailbox.messages, inbox, Message.links)) {
      const rights = Message.rights.get(tx, message);
      messages.push([
        Message.begin.get(tx, message),
        Message.end.get(tx, message),
        rights === 0 ? 0 : Rights.count.get(tx, rights),
      ]);
    }
    const { bytes, flags, error, embryos, references } = Mailbox;
    return [messages, ...[bytes, flags, error, embryos, references].map((field) => field.get(tx, inbox))];
  }

  function move({ tx }: Stage, file: File, what: "send" | "receive", length: number): number {
    clearWaits(tx);
    if (what === "send") tx.memoryBytes.set(data.subarray(0, length), OUT);
    segment(tx, what === "send" ? OUT : IN, length);
    if (what === "send") return sockets.send(tx, socketAt(tx, file), length, 1, 0);
    return sockets.receive(tx, socketAt(tx, file), length, length, 0, 1, 0);
  }

  const cases: Record<string, { type?: number; prepare?(stage: Stage): void; run(stage: Stage): unknown }> = {
    pair: {
      run: ({ tx }) => {
        const [x, y] = [sockets.create(tx, AF.UNIX, 1, 0), sockets.create(tx, AF.UNIX, 1, 0)] as Socket[];
        sockets.pair(tx, x!, y!);
        return [createSocketFile(tx, x!, 0), createSocketFile(tx, y!, 0)].length;
      },
    },
    "send into a fresh mailbox": { run: (s) => move(s, s.a, "send", 10) },
    "send of several pages": { run: (s) => move(s, s.a, "send", 20_000) },
    "send behind bytes": {
      prepare: ({ tx, a }) => void send(tx, a, data.subarray(0, 300)),
      run: (s) => move(s, s.a, "send", 5000),
    },
    "receive that empties": {
      prepare: ({ tx, a }) => void send(tx, a, data),
      run: (s) => move(s, s.b, "receive", 20_000),
    },
    "receive of a part": {
      prepare: ({ tx, a }) => void send(tx, a, data),
      run: (s) => move(s, s.b, "receive", 9000),
    },
    "a message": { type: TYPE.SEQPACKET, run: (s) => move(s, s.a, "send", 6000) },
    "receive of a message": {
      type: TYPE.SEQPACKET,
      prepare: ({ tx, a }) => void send(tx, a, data),
      run: (s) => move(s, s.b, "receive", 100),
    },
    "receive of the beginning of a long message": {
      type: TYPE.SEQPACKET,
      prepare: ({ tx, a }) => void send(tx, a, data),
      run: ({ tx, b }) => {
        segment(tx, IN, 5000);
        return sockets.receive(tx, socketAt(tx, b), 5000, 20_000, 0, 1, 0);
      },
    },
    "send of descriptors": {
      run: ({ tx, a, b }) => {
        segment(tx, OUT, 1);
        for (const file of [a, b].sort((x, y) => x - y)) holdFile(tx, file);
        clearLetter(tx);
        addLetterFile(tx, a);
        addLetterFile(tx, b);
        return sockets.send(tx, socketAt(tx, a), 1, 1, 1);
      },
    },
    "receive of descriptors": {
      prepare: ({ tx, a, b }) => void send(tx, a, "x", 1, "", [a, a, b]),
      run: ({ tx, b }) => {
        segment(tx, IN, 1);
        const count = sockets.receive(tx, socketAt(tx, b), 1, 1, 0, 1, 24);
        for (const file of received(tx)) dropFileLater(tx, file);
        return count;
      },
    },
    "close with messages": {
      prepare: ({ tx, a }) => void send(tx, a, data, 1, "", [a]),
      run: ({ tx, b }) => dropFile(tx, b),
    },
    shutdown: { run: ({ tx, a }) => sockets.shutdown(tx, socketAt(tx, a), 2) },
    bind: {
      run: ({ tx, a }) => {
        clearLetter(tx);
        setAddress(tx, name("n"));
        sockets.bindUnix(tx, socketAt(tx, a));
      },
    },
    connect: {
      prepare: (s) => {
        s.a = listener(s.tx, "l");
        s.b = open(s.tx);
      },
      run: ({ tx, b }) => {
        clearLetter(tx);
        setAddress(tx, name("l"));
        sockets.connectUnix(tx, socketAt(tx, b), 1, 0);
      },
    },
    "close of a listener": {
      prepare: (s) => {
        s.a = listener(s.tx, "l");
        s.b = open(s.tx);
        connect(s.tx, s.b, "l");
      },
      run: ({ tx, a }) => dropFile(tx, a),
    },
    accept: {
      prepare: (s) => {
        s.a = listener(s.tx, "l");
        s.b = open(s.tx);
        connect(s.tx, s.b, "l");
      },
      run: ({ tx, a }) => createSocketFile(tx, sockets.accept(tx, socketAt(tx, a), 1), 0) > 0,
    },
    stage: {
      type: TYPE.SEQPACKET,
      run: ({ tx, a }) => {
        segment(tx, OUT, 5000);
        sockets.stage(tx, 5000, 0);
        return File.object.get(tx, a) > 0;
      },
    },
    "send of what is staged": {
      type: TYPE.SEQPACKET,
      prepare: ({ tx }) => {
        segment(tx, OUT, 5000);
        request(tx, () => sockets.stage(tx, 5000, 0));
      },
      run: (s) => move(s, s.a, "send", 5000),
    },
    "drop what is staged": {
      prepare: ({ tx }) => {
        segment(tx, OUT, 5000);
        request(tx, () => sockets.stage(tx, 5000, 0));
      },
      run: ({ tx }) => sockets.dropStaged(tx, none()),
    },
  };

  /** The receiver's reference: given up so that the loop's files stay as they are. */
  function dropFileLater(tx: Transaction, file: File): void {
    sockets.giveBack(tx, file);
  }

  for (const [title, { type = TYPE.STREAM, prepare, run }] of Object.entries(cases)) {
    test(title, (t) => {
      const tx = fresh();
      const [a, b] = pair(tx, type);
      const stage: Stage = { tx, a, b };
      prepare?.(stage);
      const report = crashLoop({
        tx,
        operation: () => run(stage),
        observe: () => [seen(tx, stage.a), seen(tx, stage.b), [...census(tx)]],
        pairs: true,
      });
      t.diagnostic(`${report.points} points, ${report.pairs} pairs`);
      assert.ok(report.points > 0);
      assert.ok("value" in report.outcome, JSON.stringify(report.outcome));
      clean(tx);
    });
  }
});

describe("mutants: each invariant is tripped by sockets that break it", () => {
  const trips = (id: string, spoil: (tx: HookedTransaction, socket: Socket, box: Mailbox) => void): void => {
    test(id, () => {
      const tx = fresh();
      const [a, b] = pair(tx);
      listener(tx, "l");
      send(tx, a, new Uint8Array(5000));
      send(tx, a, "with", 1, "", [b]);
      clean(tx);
      const socket = socketAt(tx, b);
      request(tx, () => spoil(tx, socket, Socket.inbox.get(tx, socket)));
      const found = new Set(checkHeap(tx).map((violation) => violation.invariant));
      assert.ok(found.has(id), `${id} not in ${[...found].join(" ")}`);
    });
  };
  const first = (tx: HookedTransaction, box: Mailbox): Message => Mailbox.messages.first(tx, box);
  trips("SO1", (tx, _socket, box) => Mailbox.references.set(tx, box, 3));
  trips("SO1", (tx, _socket, box) => Mailbox.flags.set(tx, box, BOX.DEAD));
  trips("SO2", (tx, _socket, box) => Mailbox.bytes.set(tx, box, 1));
  trips("SO2", (tx, _socket, box) => Mailbox.count.set(tx, box, 1));
  trips("SO2", (tx, _socket, box) => Message.end.set(tx, first(tx, box), 0));
  trips("SO3", (tx, _socket, box) => Message.pages.set(tx, first(tx, box), 0, none()));
  trips("SO3", (tx) => void SocketPage.allocate(tx));
  trips("SO3", (tx) => void Message.allocate(tx));
  trips("SO4", (tx, _socket, box) => Mailbox.flags.set(tx, box, BOX.NAMED));
  trips("SO5", (tx, socket) => void createSocketFile(tx, socket, 0));
  trips("SO5", (tx, _socket, box) => Mailbox.embryos.set(tx, box, 1));
  trips("SO6", (tx) => SocketState.inFlight.set(tx, socketState(tx), 0));
  trips("SO6", (tx) => void Rights.allocate(tx));
  trips("SO6", (tx, _socket, box) => {
    for (const message of each(tx, Mailbox.messages, box, Message.links)) {
      if (Message.rights.get(tx, message) !== 0) Message.rights.set(tx, message, none<"socket-rights">());
    }
  });
});
