import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Errno } from "../../base/errno.ts";
import { seededRandom } from "../../base/random.ts";
import { census, checkHeap } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { createHeap } from "../../heap/heap.ts";
import { REDO } from "../../heap/layout.ts";
import { none, type Ref } from "../../heap/record.ts";
import { HookedTransaction, type TransactionHost } from "../../heap/transaction.ts";
import { CONDITION } from "../../kernel/condition.ts";
import { dropFile, File, kindOf, POLL } from "../../kernel/file.ts";
import { addSegment, clearSegments, clearWaits, WOULD_BLOCK } from "../../kernel/request.ts";
import { KernelThread } from "../../kernel/thread.ts";
import { placeFifos } from "./fifo.ts";
import {
  beginFifoOpen,
  createPipe,
  finishFifoOpen,
  pipeAvailable,
  pipeCapacity,
  reopenPipe,
  setPipeCapacity,
} from "./pipe-server.ts";
import { END, Pipe, PipePage } from "./pipe.ts";

const O_WRONLY = 1;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
/** Where the tests keep what they write and what they read, in the guest memory. */
const OUT = 0;
const IN: number = 1 << 20;

class TestHost extends KernelThread implements TransactionHost {
  woken: number[] = [];
  constructor() {
    super(1, { monotonic: () => 0, realtime: () => 0 }, { fill: () => {} }, () => {
      throw new Error("contended in one thread");
    });
  }
  override redo(tx: HookedTransaction, kind: (typeof REDO)[keyof typeof REDO], value: number): boolean {
    if (kind !== REDO.wake) return super.redo(tx, kind, value);
    this.woken.push(value);
    return true;
  }
}

function fresh(): { tx: HookedTransaction; host: TestHost } {
  const host = new TestHost();
  const heap = createHeap({ bytes: 4 << 20, slots: 2 });
  const memory = new SharedArrayBuffer(1 << 21);
  const tx = new HookedTransaction({ heap, memory }, 0, host, () => {});
  placeFifos(tx);
  return { tx, host };
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

function write(tx: HookedTransaction, file: File, bytes: Uint8Array | string, nonblock = false): number {
  const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  tx.memoryBytes.set(data, OUT);
  segment(tx, OUT, data.length);
  return request(tx, () => kindOf(tx, file).write(tx, file, data.length, -1, nonblock));
}

function readBytes(tx: HookedTransaction, file: File, length: number, nonblock = false): Uint8Array {
  segment(tx, IN, length);
  const count = request(tx, () => kindOf(tx, file).read(tx, file, length, -1, nonblock));
  return tx.memoryBytes.slice(IN, IN + count);
}

function read(tx: HookedTransaction, file: File, length: number, nonblock = false): string {
  return new TextDecoder().decode(readBytes(tx, file, length, nonblock));
}

function poll(tx: HookedTransaction, file: File): number {
  return request(tx, () => kindOf(tx, file).poll(tx, file, false));
}

function failsWith(name: string, work: () => unknown): void {
  assert.throws(work, (error) => error instanceof Errno && error.name === name);
}

function blocks(work: () => unknown): void {
  assert.throws(work, (error) => error === WOULD_BLOCK);
}

const clean = (tx: HookedTransaction): void => assert.deepEqual(checkHeap(tx), []);

describe("pipe", () => {
  test("bytes come out as they went in, and the end of the writers is the end of the file", () => {
    const { tx } = fresh();
    const [reader, writer] = request(tx, () => createPipe(tx, 0));
    assert.equal(write(tx, writer, "hello, "), 7);
    assert.equal(write(tx, writer, "pipe"), 4);
    assert.equal(
      request(tx, () => pipeAvailable(tx, reader)),
      11,
    );
    assert.equal(read(tx, reader, 5), "hello");
    clean(tx);
    assert.equal(read(tx, reader, 100), ", pipe");
    blocks(() => read(tx, reader, 1));
    failsWith("EAGAIN", () => read(tx, reader, 1, true));
    assert.equal(read(tx, reader, 0), "");
    request(tx, () => dropFile(tx, writer));
    assert.equal(read(tx, reader, 1), "");
    clean(tx);
    request(tx, () => dropFile(tx, reader));
    clean(tx);
    assert.deepEqual([...census(tx)], []);
  });

  test("a write up to PIPE_BUF goes as a whole, a larger one in parts", () => {
    const { tx } = fresh();
    const [reader, writer] = request(tx, () => createPipe(tx, 0));
    const data = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) >>> 3);
    assert.equal(write(tx, writer, data), 65536);
    blocks(() => write(tx, writer, data.subarray(65536)));
    failsWith("EAGAIN", () => write(tx, writer, data.subarray(65536), true));
    assert.deepEqual(readBytes(tx, reader, 4095), data.subarray(0, 4095));
    // The slot that was read in part counts as full, as on Linux.
    blocks(() => write(tx, writer, "x"));
    assert.deepEqual(readBytes(tx, reader, 2), data.subarray(4095, 4097));
    assert.equal(write(tx, writer, data.subarray(65536)), 4096);
    clean(tx);
    assert.deepEqual(readBytes(tx, reader, 100_000), data.subarray(4097, 65536 + 4096));
    clean(tx);
    request(tx, () => dropFile(tx, reader));
    failsWith("EPIPE", () => write(tx, writer, "x"));
    assert.equal(write(tx, writer, ""), 0);
  });

  test("poll bits are those of Linux", () => {
    const { tx } = fresh();
    const [reader, writer] = request(tx, () => createPipe(tx, 0));
    assert.equal(poll(tx, reader), 0);
    assert.equal(poll(tx, writer), POLL.OUT | POLL.WRNORM);
    write(tx, writer, new Uint8Array(65536));
    assert.equal(poll(tx, reader), POLL.IN | POLL.RDNORM);
    assert.equal(poll(tx, writer), 0);
    readBytes(tx, reader, 4095);
    assert.equal(poll(tx, writer), 0);
    readBytes(tx, reader, 1);
    assert.equal(poll(tx, writer), POLL.OUT | POLL.WRNORM);
    request(tx, () => dropFile(tx, writer));
    assert.equal(poll(tx, reader), POLL.IN | POLL.RDNORM | POLL.HUP);
    readBytes(tx, reader, 65536);
    assert.equal(poll(tx, reader), POLL.HUP);
    const [other, end] = request(tx, () => createPipe(tx, 0));
    request(tx, () => dropFile(tx, other));
    assert.equal(poll(tx, end), POLL.OUT | POLL.WRNORM | POLL.ERR);
  });

  test("those who wait are woken, and nobody else", () => {
    const { tx, host } = fresh();
    const [reader, writer] = request(tx, () => createPipe(tx, 0));
    const pipe = File.object.get(tx, reader) as Pipe;
    host.woken = [];
    write(tx, writer, "a");
    read(tx, reader, 1);
    assert.deepEqual(host.woken, []);
    // Somebody waits for either condition, as far as the pipe can see: there is no scheduler here.
    for (const at of [Pipe.readable.at(pipe), Pipe.writable.at(pipe)]) tx.words[at + CONDITION.waiters] = 1;
    write(tx, writer, "a");
    assert.deepEqual(host.woken, [Pipe.readable.at(pipe)]);
    // More bytes end nobody's wait, but are an edge to an epoll that is registered.
    write(tx, writer, "b");
    read(tx, reader, 2);
    assert.deepEqual(host.woken, [Pipe.readable.at(pipe), Pipe.readable.at(pipe)]);
    write(tx, writer, new Uint8Array(65536));
    host.woken = [];
    readBytes(tx, reader, 4096);
    assert.deepEqual(host.woken, [Pipe.writable.at(pipe)]);
    host.woken = [];
    request(tx, () => dropFile(tx, writer));
    assert.deepEqual(host.woken, [Pipe.readable.at(pipe)]);
  });

  test("the capacity changes, with the bytes in it", () => {
    const { tx } = fresh();
    const [reader, writer] = request(tx, () => createPipe(tx, 0));
    const data = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 13) >>> 5);
    write(tx, writer, data.subarray(0, 60_000));
    readBytes(tx, reader, 50_000);
    write(tx, writer, data.subarray(60_000, 100_000));
    assert.equal(
      request(tx, () => setPipeCapacity(tx, writer, 1_000_000)),
      1 << 20,
    );
    clean(tx);
    assert.equal(write(tx, writer, data.subarray(100_000)), 200_000);
    failsWith("EBUSY", () => request(tx, () => setPipeCapacity(tx, writer, 65536)));
    failsWith("EPERM", () => request(tx, () => setPipeCapacity(tx, writer, (1 << 20) + 1)));
    failsWith("EINVAL", () => request(tx, () => setPipeCapacity(tx, writer, 0)));
    assert.deepEqual(readBytes(tx, reader, 245_000), data.subarray(50_000, 295_000));
    assert.equal(
      request(tx, () => setPipeCapacity(tx, writer, 5000)),
      8192,
    );
    assert.equal(
      request(tx, () => pipeCapacity(tx, writer)),
      8192,
    );
    assert.deepEqual(readBytes(tx, reader, 10_000), data.subarray(295_000));
    clean(tx);
    request(tx, () => dropFile(tx, reader));
    request(tx, () => dropFile(tx, writer));
    clean(tx);
    assert.deepEqual([...census(tx)], []);
  });

  test("random reads and writes agree with a plain queue", () => {
    const random = seededRandom(11);
    const { tx } = fresh();
    const [reader, writer] = request(tx, () => createPipe(tx, 0));
    let sent = 0;
    let received = 0;
    const byteAt = (i: number): number => (Math.imul(i, 2654435761) >>> 24) & 255;
    for (let round = 0; round < 3000; round++) {
      const size = random.below(4) === 0 ? random.below(70_000) : random.below(300);
      try {
        if (random.below(2) === 0) {
          sent += write(
            tx,
            writer,
            Uint8Array.from({ length: size }, (_, i) => byteAt(sent + i)),
          );
        } else {
          for (const byte of readBytes(tx, reader, size)) assert.equal(byte, byteAt(received++));
        }
      } catch (error) {
        if (error !== WOULD_BLOCK) throw error;
      }
      if (round % 100 === 0) clean(tx);
    }
    assert.ok(received > 1e6);
    assert.equal(
      request(tx, () => pipeAvailable(tx, reader)),
      sent - received,
    );
  });

  test("an end opened again counts", () => {
    const { tx } = fresh();
    const [reader, writer] = request(tx, () => createPipe(tx, 0));
    const again = request(tx, () => reopenPipe(tx, writer, O_WRONLY));
    request(tx, () => dropFile(tx, writer));
    blocks(() => read(tx, reader, 1));
    write(tx, again, "y");
    assert.equal(read(tx, reader, 1), "y");
    clean(tx);
  });
});

describe("fifo", () => {
  const inode = 4096 as Ref<"inode">;

  test("a reader and a writer wait for each other, even if one has gone again", () => {
    const { tx } = fresh();
    const first = request(tx, () => beginFifoOpen(tx, inode, 0, false));
    assert.equal(first.ticket, 0);
    blocks(() => request(tx, () => finishFifoOpen(tx, first.file, first.ticket)));
    const second = request(tx, () => beginFifoOpen(tx, inode, O_WRONLY, false));
    assert.equal(second.ticket, -1);
    request(tx, () => dropFile(tx, second.file));
    request(tx, () => finishFifoOpen(tx, first.file, first.ticket));
    assert.equal(read(tx, first.file, 1), "");
    clean(tx);
    request(tx, () => dropFile(tx, first.file));
    clean(tx);
    assert.deepEqual([...census(tx)], []);
  });

  test("O_NONBLOCK: a writer without reader is ENXIO, a reader opens at once and sees no hang-up yet", () => {
    const { tx } = fresh();
    failsWith("ENXIO", () => request(tx, () => beginFifoOpen(tx, inode, O_WRONLY | O_NONBLOCK, true)));
    const reader = request(tx, () => beginFifoOpen(tx, inode, O_NONBLOCK, true));
    assert.equal(reader.ticket, -1);
    assert.equal(poll(tx, reader.file), 0);
    assert.equal(read(tx, reader.file, 10, true), "");
    const writer = request(tx, () => beginFifoOpen(tx, inode, O_WRONLY | O_NONBLOCK, true));
    write(tx, writer.file, "z");
    request(tx, () => dropFile(tx, writer.file));
    assert.equal(poll(tx, reader.file), POLL.IN | POLL.RDNORM | POLL.HUP);
    clean(tx);
  });

  test("many fifos at once, each with its own pipe", () => {
    const { tx } = fresh();
    const files: File[] = [];
    for (let i = 1; i <= 200; i++) {
      const open = request(tx, () => beginFifoOpen(tx, (i * 64) as Ref<"inode">, O_RDWR, false));
      assert.equal(open.ticket, -1);
      write(tx, open.file, `fifo ${i}`);
      files.push(open.file);
    }
    clean(tx);
    for (const [i, file] of files.entries()) assert.equal(read(tx, file, 100), `fifo ${i + 1}`);
    for (const file of files.toReversed()) request(tx, () => dropFile(tx, file));
    clean(tx);
    assert.deepEqual([...census(tx)], []);
  });
});

describe("crash loop", () => {
  const data = Uint8Array.from({ length: 20_000 }, (_, i) => (i * 31) >>> 4);
  const inode = 8192 as Ref<"inode">;

  interface Stage {
    readonly tx: HookedTransaction;
    readonly reader: File;
    readonly writer: File;
  }

  /** The bytes in the pipe and its counters: all that anybody could see of it. */
  function seen(tx: HookedTransaction, file: File): unknown {
    if (!File.isLive(tx, file)) return "gone";
    const pipe = File.object.get(tx, file) as Pipe;
    if (!Pipe.isLive(tx, pipe)) return "gone";
    let text = "";
    const capacity = Pipe.capacity.get(tx, pipe);
    for (let p = Pipe.head.get(tx, pipe); p !== Pipe.tail.get(tx, pipe); p = (p + 1) >>> 0) {
      const page = Pipe.pages.get(tx, pipe, (p >>> 12) & (capacity / 4096 - 1));
      text += String.fromCharCode(tx.bytes[PipePage.bytes.at(page) + (p & 4095)]!);
    }
    return [text, Pipe.readers.get(tx, pipe), Pipe.writers.get(tx, pipe), capacity];
  }

  const cases: Record<string, { prepare?(stage: Stage): void; run(stage: Stage): unknown }> = {
    create: { run: ({ tx }) => createPipe(tx, 0).length },
    "write into a fresh pipe": { run: (s) => transfer(s, "write", 10) },
    "write of several pages": { run: (s) => transfer(s, "write", 20_000) },
    "write with room for a part": {
      prepare: (s) => fill(s, 60_000),
      run: (s) => transfer(s, "write", 20_000),
    },
    "write that waits": { prepare: (s) => fill(s, 65_536), run: (s) => transfer(s, "write", 1) },
    "read that empties": { prepare: (s) => fill(s, 9), run: (s) => transfer(s, "read", 10) },
    "read across pages": { prepare: (s) => fill(s, 20_000), run: (s) => transfer(s, "read", 15_000) },
    "read that makes room": { prepare: (s) => fill(s, 65_536), run: (s) => transfer(s, "read", 5000) },
    "read that waits": { run: (s) => transfer(s, "read", 10) },
    poll: { run: ({ tx, reader }) => kindOf(tx, reader).poll(tx, reader, true) },
    "grow with bytes": {
      prepare: (s) => fill(s, 30_000),
      run: ({ tx, writer }) => setPipeCapacity(tx, writer, 200_000),
    },
    "close the writing end": { prepare: (s) => fill(s, 9), run: ({ tx, writer }) => dropFile(tx, writer) },
    "close the last end": {
      prepare: (s) => {
        fill(s, 65_536);
        request(s.tx, () => dropFile(s.tx, s.writer));
      },
      run: ({ tx, reader }) => dropFile(tx, reader),
    },
    reopen: { run: ({ tx, writer }) => void reopenPipe(tx, writer, O_WRONLY) },
    "open a new fifo": { run: ({ tx }) => beginFifoOpen(tx, inode, 0, false).ticket },
    "open a fifo that has a reader": {
      prepare: ({ tx }) => void request(tx, () => beginFifoOpen(tx, inode, 0, false)),
      run: ({ tx }) => beginFifoOpen(tx, inode, O_WRONLY, true).ticket,
    },
    "close a fifo": {
      prepare: (s) => {
        const open = request(s.tx, () => beginFifoOpen(s.tx, inode, O_RDWR, false));
        Object.assign(s, { reader: open.file });
      },
      run: ({ tx, reader }) => dropFile(tx, reader),
    },
  };

  function transfer({ tx, reader, writer }: Stage, what: "read" | "write", length: number): number {
    clearWaits(tx);
    if (what === "write") tx.memoryBytes.set(data.subarray(0, length), OUT);
    segment(tx, what === "write" ? OUT : IN, length);
    const file = what === "write" ? writer : reader;
    return kindOf(tx, file)[what](tx, file, length, -1, false);
  }

  function fill({ tx, writer }: Stage, length: number): void {
    for (let done = 0; done < length; done += 4096) {
      write(tx, writer, data.subarray(0, Math.min(4096, length - done)));
    }
  }

  for (const [name, { prepare, run }] of Object.entries(cases)) {
    test(name, (t) => {
      const { tx } = fresh();
      const [reader, writer] = request(tx, () => createPipe(tx, 0));
      const stage: Stage = { tx, reader, writer };
      prepare?.(stage);
      const report = crashLoop({
        tx,
        operation: () => run(stage),
        observe: () => [seen(tx, stage.reader), seen(tx, writer), [...census(tx)]],
        pairs: true,
      });
      const kinds = [...report.kinds].map(([kind, count]) => `${count} ${kind}`).join(", ");
      t.diagnostic(`${report.points} points (${kinds}), ${report.pairs} pairs`);
      assert.ok(report.points > 0);
    });
  }
});

describe("mutants: each invariant is tripped by a pipe that breaks it", () => {
  const trips = (id: string, spoil: (tx: HookedTransaction, pipe: Pipe) => void): void => {
    test(id, () => {
      const { tx } = fresh();
      const [, writer] = request(tx, () => createPipe(tx, 0));
      request(tx, () => beginFifoOpen(tx, 4096 as Ref<"inode">, O_RDWR, false));
      write(tx, writer, "some bytes");
      clean(tx);
      request(tx, () => spoil(tx, File.object.get(tx, writer) as Pipe));
      const found = new Set(checkHeap(tx).map((violation) => violation.invariant));
      assert.ok(found.has(id), `${id} not in ${[...found].join(" ")}`);
    });
  };
  trips("PI1", (tx, pipe) => Pipe.capacity.set(tx, pipe, 12_288));
  trips("PI1", (tx, pipe) => Pipe.tail.set(tx, pipe, Pipe.head.get(tx, pipe) + 65_537));
  trips("PI1", (tx, pipe) => Pipe.head.set(tx, pipe, Pipe.tail.get(tx, pipe)));
  trips("PI2", (tx, pipe) => Pipe.pages.set(tx, pipe, 0, none()));
  trips("PI2", (tx, pipe) => Pipe.pages.set(tx, pipe, 7, Pipe.pages.get(tx, pipe, 0)));
  trips("PI2", (tx) => void PipePage.allocate(tx));
  trips("PI3", (tx, pipe) => void Pipe.readers.add(tx, pipe, 1));
  trips("PI4", (tx, pipe) => Pipe.inode.set(tx, pipe, 64 as Ref<"inode">));
  test("an end without a file", () => {
    const { tx } = fresh();
    request(tx, () => Pipe.capacity.init(tx, Pipe.allocate(tx), 65536));
    assert.deepEqual(
      checkHeap(tx).map((violation) => violation.invariant),
      ["PI3"],
    );
    assert.equal(END.READ | END.WRITE, 3);
  });
});
