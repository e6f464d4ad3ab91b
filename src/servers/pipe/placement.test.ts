/**
 * Servers in threads of their own, and what becomes of a request when one of them dies.
 *
 * This file is also the program of the worker threads: a server's thread, or a client that makes requests.
 * The main thread owns them all: it ends the thread that has stopped inside the store hook, notes its end, and
 * starts another in its place.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Errno, errno } from "../../base/errno.ts";
import { defined } from "../../base/assert.ts";
import { checkHeap } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { createHeap, type HeapBuffers, HeapView, placeRoot } from "../../heap/heap.ts";
import { REDO, SLOT } from "../../heap/layout.ts";
import { defineRecord, lock, ref, type Ref, u32 } from "../../heap/record.ts";
import { recoverSlot } from "../../heap/recovery.ts";
import { HookedTransaction, type Transaction } from "../../heap/transaction.ts";
import { createPipe } from "./pipe-server.ts";
import { dropFile, type File, kindOf } from "../../kernel/file.ts";
import {
  defineServer,
  enterPlacement,
  type PlacementName,
  type Placements,
  placeServers,
  serveHere,
  type ServerName,
  serverIndex,
  stopServer,
  workerServers,
} from "../../kernel/placement.ts";
import {
  collect,
  type Parking,
  ServerCrash,
  ServerDied,
  ship,
  shipment,
} from "../../kernel/placement/call.ts";
import { CONTROL, controlOf } from "../../kernel/placement/frame.ts";
import { recoverRequest } from "../../kernel/placement/recover.ts";
import { contendedInServer, ThreadEnd } from "../../kernel/placement/serve.ts";
import { isDead, markDead, placeThreads, registerThread, ROLE } from "../../kernel/placement/threads.ts";
import { addSegment, clearSegments, clearWaits, WOULD_BLOCK } from "../../kernel/request.ts";
import { KernelThread } from "../../kernel/thread.ts";
import { openPtmx, openPts } from "../tty/tty-server.ts";
import { IOCTL } from "../tty/termios.ts";
import { placeTerminals } from "../tty/tty.ts";
import { type JobControl, registerJobControl } from "../../kernel/job-control.ts";
import { placeFifos } from "./fifo.ts";

// A file system and the server that it asks for permission, with nothing in them but their calls.

const Node = defineRecord("test-a", {
  lock: lock("inode"),
  opens: u32(),
  granted: u32(),
  user: ref("test-b"),
});
const User = defineRecord("test-b", { lock: lock("auth"), uid: u32(), asked: u32() });

const auth = defineServer("auth", {
  check(tx: Transaction, user: Ref<"test-b">, uid: number): number {
    User.lock.acquire(tx, user);
    User.asked.add(tx, user, 1);
    if (User.uid.get(tx, user) !== uid) throw errno.EACCES;
    return User.asked.get(tx, user);
  },
}).operations;

const vfs = defineServer("vfs", {
  open(tx: Transaction, node: Ref<"test-a">, uid: number): number {
    Node.lock.acquire(tx, node);
    Node.opens.add(tx, node, 1);
    const asked = auth.check(tx, Node.user.get(tx, node), uid);
    Node.granted.add(tx, node, 1);
    return asked * 100 + Node.granted.get(tx, node);
  },
}).operations;

// No process has any of the terminals for its own.
const nobody = {
  lock: () => {},
  callerGroup: () => 0,
  callerTerminal: () => 0,
  callerLeadsSession: () => false,
};
registerJobControl(nobody as unknown as JobControl);

/** Words of the test's own shared memory. */
const TEST = { server: 0, killAt: 1, count: 2, how: 3, stopped: 4, deaths: 5, resume: 6, next: 7 } as const;
/** In place of a server: the client's own thread, in which servers in caller placement run. */
const CLIENT = 99;
/** What strikes at the chosen step. */
const HOW = { kill: 1, end: 2, crash: 3, pause: 4 } as const;

interface Setup {
  readonly role: ServerName | "client";
  readonly scenario: string;
  readonly thread: number;
  readonly slot: number;
  readonly buffers: HeapBuffers;
  readonly control: Int32Array<SharedArrayBuffer>;
}

const parking: Parking = {
  wait: (words, at, value, timeoutMs) => void Atomics.wait(words, at, value, timeoutMs),
};
/** Where the client of a slot keeps the bytes that it writes, and behind them those that it reads. */
const bytesOf = (tx: Transaction): number => tx.slotIndex * 2048;

class Crash extends Error {}

function hookOf(control: Int32Array<SharedArrayBuffer>, server: number): () => void {
  return () => {
    if (control[TEST.server] !== server || control[TEST.killAt] === 0) return;
    if (Atomics.add(control, TEST.count, 1) + 1 !== control[TEST.killAt]) return;
    switch (control[TEST.how]) {
      case HOW.crash:
        throw new Crash("planted");
      case HOW.end:
        throw new ThreadEnd("planted");
      default:
        Atomics.store(control, TEST.stopped, 1);
        Atomics.notify(control, TEST.stopped);
        while (Atomics.load(control, TEST.resume) === 0) Atomics.wait(control, TEST.resume, 0);
    }
  };
}

function threadFor(setup: Setup, contended: ConstructorParameters<typeof KernelThread>[3]): KernelThread {
  const thread = new KernelThread(
    setup.thread,
    { monotonic: () => 0, realtime: () => 0 },
    { fill: () => {} },
    contended,
  );
  // There is no scheduler here whose tasks could be woken.
  const redo = thread.redo.bind(thread);
  thread.redo = (tx, kind, value) => kind === REDO.wake || redo(tx, kind, value);
  return thread;
}

// The server's thread.

function serverMain(setup: Setup, name: ServerName): void {
  const thread = threadFor(setup, contendedInServer(parking));
  const hook = hookOf(setup.control, serverIndex(name));
  serveHere(name, new HeapView(setup.buffers), setup.thread, { parking, spins: 0 }, (slot) => {
    return new HookedTransaction(setup.buffers, slot, thread, hook);
  });
}

// The client's thread.

interface Client {
  readonly tx: HookedTransaction;
  readonly control: Int32Array<SharedArrayBuffer>;
}

interface Tally {
  operations: number;
  points: number;
  retries: number;
}

/** Runs `work` as a request until it is not struck any more: commits, or rolls back what it throws. */
function request<T>(tx: Transaction, tally: Tally, work: () => T): T | string {
  for (let attempt = 0; attempt < 5; attempt++) {
    clearWaits(tx);
    try {
      const result = work();
      tx.commit();
      return result;
    } catch (error) {
      tx.rollback();
      assert.deepEqual(checkHeap(tx), []);
      if (error instanceof Errno) return error.name;
      if (error === WOULD_BLOCK) return "would block";
      if (!(error instanceof ServerDied || error instanceof ServerCrash)) throw error;
      tally.retries++;
    }
  }
  throw new Error("struck again and again");
}

function segment(tx: Transaction, pa: number, length: number): void {
  clearSegments(tx);
  addSegment(tx, pa, length);
}

function write(tx: Transaction, file: File, text: string): number {
  tx.memoryBytes.set(new TextEncoder().encode(text), bytesOf(tx));
  segment(tx, bytesOf(tx), text.length);
  return kindOf(tx, file).write(tx, file, text.length, -1, false);
}

function read(tx: Transaction, file: File, length: number): string {
  const at = bytesOf(tx) + 1024;
  segment(tx, at, length);
  const count = kindOf(tx, file).read(tx, file, length, -1, false);
  return new TextDecoder().decode(tx.memoryBytes.slice(at, at + count));
}

/** The operations that are struck at each step. Each leaves things as it found them. */
function operations(tx: HookedTransaction, tally: Tally): Record<string, () => unknown> {
  const ask = <T>(work: () => T): T | string => request(tx, tally, work);
  const [reader, writer] = ask(() => createPipe(tx, 0)) as readonly [File, File];
  const master = ask(() => openPtmx(tx, 2)) as File;
  tx.memory[bytesOf(tx) / 4] = 0;
  segment(tx, bytesOf(tx), 4);
  ask(() => kindOf(tx, master).ioctl!(tx, master, IOCTL.TIOCSPTLCK, 0));
  const slave = ask(() => openPts(tx, 0, 2, true, false)) as File;
  const [node, user] = ask(() => {
    const node = Node.allocate(tx);
    const user = User.allocate(tx);
    User.uid.init(tx, user, 7);
    Node.user.init(tx, node, user);
    return [node, user] as const;
  }) as readonly [Ref<"test-a">, Ref<"test-b">];
  const reset = (): unknown =>
    ask(() => {
      Node.opens.set(tx, node, 0);
      Node.granted.set(tx, node, 0);
      User.asked.set(tx, user, 0);
    });
  return {
    "write and read": () => [ask(() => write(tx, writer, "some bytes")), ask(() => read(tx, reader, 100))],
    "read that waits": () => ask(() => read(tx, reader, 1)),
    "type, edit and read a line": () => [
      ask(() => write(tx, master, "ab\x7fc\n")),
      ask(() => read(tx, slave, 100)),
      ask(() => read(tx, master, 100)),
    ],
    "create and close": () => {
      const ends = ask(() => createPipe(tx, 0)) as readonly [File, File];
      return [typeof ends, ask(() => dropFile(tx, ends[1])), ask(() => dropFile(tx, ends[0]))];
    },
    "open, granted": () => [reset(), ask(() => vfs.open(tx, node, 7)), ask(() => vfs.open(tx, node, 7))],
    "open, refused": () => [
      reset(),
      ask(() => vfs.open(tx, node, 8)),
      Node.opens.get(tx, node),
      User.asked.get(tx, user),
    ],
  };
}

function clientMain(setup: Setup): void {
  const view = new HeapView(setup.buffers);
  const thread = threadFor(setup, (tx, word, value) => parking.wait(tx.words, word, value, 5));
  enterPlacement(view, { parking, spins: 0 });
  const tx = new HookedTransaction(setup.buffers, setup.slot, thread, hookOf(setup.control, CLIENT));
  tx.words[tx.slotAt + SLOT.holder] = setup.thread;
  const client: Client = { tx, control: setup.control };
  const report = scenarios[setup.scenario]!(client);
  defined(parentPort, "parent").postMessage(report);
}

const scenarios: Record<string, (client: Client) => unknown> = {
  /** Strikes server `control[server]` at every step of each operation that reaches it. */
  strike({ tx, control }) {
    const tally: Tally = { operations: 0, points: 0, retries: 0 };
    for (const [name, operation] of Object.entries(operations(tx, tally))) {
      const expected = JSON.stringify(operation());
      for (let step = 1; ; step++) {
        const deaths = tally.retries;
        Atomics.store(control, TEST.count, 0);
        Atomics.store(control, TEST.killAt, step);
        const result = JSON.stringify(operation());
        const reached = Atomics.load(control, TEST.count);
        Atomics.store(control, TEST.killAt, 0);
        assert.equal(result, expected, `${name}, struck at step ${step}`);
        assert.deepEqual(checkHeap(tx), [], `${name}, struck at step ${step}`);
        if (reached < step) break;
        assert.equal(tally.retries, deaths + 1, `${name}, struck at step ${step}`);
        tally.points++;
      }
      tally.operations++;
    }
    return tally;
  },

  /** A write and a read in the pipe that is there; what the read got. The client itself may be struck. */
  pass({ tx, control }) {
    const tally: Tally = { operations: 0, points: 0, retries: 0 };
    const root = tx.root("kernel");
    const [reader, writer] = [tx.words[root + 2] as File, tx.words[root + 3] as File];
    // Whatever a client that was struck had written: it may have been struck behind the commit.
    request(tx, tally, () => read(tx, reader, 100));
    const sequence = tx.sequence;
    if (control[TEST.how] === HOW.kill) Atomics.store(control, TEST.killAt, control[TEST.next]!);
    request(tx, tally, () => write(tx, writer, "some bytes"));
    const result = request(tx, tally, () => read(tx, reader, 100));
    Atomics.store(control, TEST.killAt, 0);
    return [result, tx.sequence - sequence];
  },

  /** One write, in which the server is made to stop. */
  once({ tx, control }) {
    const tally: Tally = { operations: 0, points: 0, retries: 0 };
    const [, writer] = request(tx, tally, () => createPipe(tx, 0)) as readonly [File, File];
    Atomics.store(control, TEST.killAt, 4);
    return request(tx, tally, () => write(tx, writer, "abc"));
  },

  /** Two clients that write to and read from one pipe each, and contend for one node. */
  contend({ tx }) {
    const tally: Tally = { operations: 0, points: 0, retries: 0 };
    const [reader, writer] = request(tx, tally, () => createPipe(tx, 0)) as readonly [File, File];
    const node = tx.words[tx.root("kernel")] as Ref<"test-a">;
    for (let i = 0; i < 300; i++) {
      const granted = request(tx, tally, () => {
        const before = Node.granted.get(tx, node);
        const result = vfs.open(tx, node, 7);
        // The node stays locked to the end of the request, so both calls see one state.
        assert.ok(vfs.open(tx, node, 7) === result + 101, `after ${before}`);
        return true;
      });
      assert.equal(granted, true);
      assert.equal(
        request(tx, tally, () => write(tx, writer, `line ${i}`)),
        `line ${i}`.length,
      );
      assert.equal(
        request(tx, tally, () => read(tx, reader, 100)),
        `line ${i}`,
      );
      tally.operations += 3;
    }
    return tally;
  },

  /** Ships calls and does something else meanwhile; every third one is struck. */
  ship({ tx, control }) {
    const tally: Tally = { operations: 0, points: 0, retries: 0 };
    const node = tx.words[tx.root("kernel")] as Ref<"test-a">;
    const bell = tx.root("kernel") + 1;
    const results: unknown[] = [];
    for (let i = 0; i < 30; i++) {
      if (i % 3 === 0) {
        Atomics.store(control, TEST.count, 0);
        Atomics.store(control, TEST.killAt, 2);
      }
      for (;;) {
        let rung = Atomics.load(tx.words, bell);
        ship(tx, serverIndex("vfs"), 0, [node, 7], bell);
        while (shipment(tx, tx.slotIndex) === "lent") {
          parking.wait(tx.words, bell, rung, 5);
          rung = Atomics.load(tx.words, bell);
        }
        try {
          const result = collect(tx, parking);
          tx.commit();
          if (result === undefined) continue;
          results.push(result);
          break;
        } catch (error) {
          if (!(error instanceof ServerDied)) throw error;
          tx.rollback();
          assert.deepEqual(checkHeap(tx), []);
          tally.retries++;
        }
      }
      Atomics.store(control, TEST.killAt, 0);
    }
    return { retries: tally.retries, results };
  },
};

// The main thread: owner of all others.

interface Machine {
  readonly buffers: HeapBuffers;
  readonly view: HeapView;
  readonly control: Int32Array<SharedArrayBuffer>;
  /** Ends of server threads that have been seen. */
  ends: number;
  startClient(scenario: string, slot: number): { worker: Worker; thread: number; result: Promise<unknown> };
  stop(): Promise<void>;
}

function boot(placements: Placements): Machine {
  const buffers = { heap: createHeap({ bytes: 4 << 20, slots: 4 }), memory: new SharedArrayBuffer(65536) };
  const view = new HeapView(buffers);
  const control = new Int32Array(new SharedArrayBuffer(64));
  placeFifos(view);
  placeTerminals(view);
  placeThreads(view);
  placeServers(view, placements);
  placeSharedNode(view);
  const running = new Map<Worker, Promise<void>>();
  const clients = new Set<Worker>();
  let stopping = false;
  const machine: Machine = {
    buffers,
    view,
    control,
    ends: 0,
    startClient(scenario, slot) {
      const thread = registerThread(view, ROLE.HART);
      const worker = new Worker(import.meta.filename, {
        workerData: { role: "client", scenario, thread, slot, buffers, control } satisfies Setup,
      });
      clients.add(worker);
      const result = new Promise<unknown>((resolve, reject) => {
        let report: unknown;
        worker.on("message", (message) => (report = message));
        worker.on("error", reject);
        worker.on("exit", () => resolve(report));
      });
      return { worker, thread, result };
    },
    async stop() {
      stopping = true;
      await Promise.all([...clients].map((worker) => worker.terminate()));
      for (const name of workerServers(view)) stopServer(view, name);
      await Promise.all(running.values());
    },
  };
  const startServer = (name: ServerName): void => {
    const thread = registerThread(view, ROLE.SERVER + serverIndex(name));
    const worker = new Worker(import.meta.filename, {
      workerData: { role: name, scenario: "", thread, slot: 0, buffers, control } satisfies Setup,
    });
    const ended = new Promise<void>((resolve) => {
      worker.on("error", () => {});
      worker.on("exit", () => {
        markDead(view, thread);
        running.delete(worker);
        if (!stopping) {
          machine.ends++;
          startServer(name);
        }
        resolve();
      });
    });
    running.set(worker, ended);
    byServer.set(serverIndex(name), worker);
  };
  const byServer = new Map<number, Worker>();
  for (const name of workerServers(view)) startServer(name);
  // Whoever has stopped inside the hook is ended, unless the test wants it to go on.
  const watch = async (): Promise<void> => {
    while (!stopping) {
      const wait = Atomics.waitAsync(control, TEST.stopped, 0, 100);
      if (wait.async) await wait.value;
      const server = byServer.get(control[TEST.server]!);
      if (
        Atomics.load(control, TEST.stopped) === 0 ||
        control[TEST.how] === HOW.pause ||
        server === undefined
      ) {
        if (!wait.async) await new Promise((resolve) => setTimeout(resolve, 1));
        continue;
      }
      Atomics.store(control, TEST.stopped, 0);
      await server.terminate();
    }
  };
  void watch();
  return machine;
}

/** A node that several clients open; its address stands in the root "kernel", and a bell behind it. */
function placeSharedNode(view: HeapView): void {
  const thread = new KernelThread(1, { monotonic: () => 0, realtime: () => 0 }, { fill: () => {} }, () => {});
  const tx = new HookedTransaction(view.buffers, 3, thread, () => {});
  const node = Node.allocate(tx);
  const user = User.allocate(tx);
  User.uid.init(tx, user, 7);
  Node.user.init(tx, node, user);
  tx.commit();
  tx.words[placeRoot(tx, "kernel", 16)] = node;
}

if (!isMainThread) {
  const setup = workerData as Setup;
  if (setup.role === "client") clientMain(setup);
  else serverMain(setup, setup.role);
} else {
  mainTests();
}

function mainTests(): void {
  const everywhere: Placements = { tty: "worker", pipe: "worker", vfs: "worker", auth: "worker" };

  test("vfs → auth in caller placement under the crash loop", (t) => {
    const buffers = { heap: createHeap({ bytes: 4 << 20, slots: 2 }), memory: new SharedArrayBuffer(4096) };
    const thread = threadFor({ thread: 1 } as Setup, () => assert.fail("contended"));
    const tx = new HookedTransaction(buffers, 0, thread, () => {});
    const node = Node.allocate(tx);
    Node.user.init(tx, node, User.allocate(tx));
    tx.commit();
    for (const uid of [0, 1]) {
      const report = crashLoop({
        tx,
        operation: () => vfs.open(tx, node, uid),
        observe: () => [
          Node.opens.get(tx, node),
          Node.granted.get(tx, node),
          User.asked.get(tx, Node.user.get(tx, node)),
        ],
        pairs: true,
      });
      assert.deepEqual(report.outcome, uid === 0 ? { value: 101 } : { threw: "EACCES" });
      t.diagnostic(`${report.points} points, ${report.pairs} pairs`);
    }
  });

  const strike = (title: string, how: number, server: ServerName, placements: Placements): void => {
    test(title, { timeout: 120_000 }, async (t) => {
      const machine = boot(placements);
      machine.control[TEST.server] = serverIndex(server);
      machine.control[TEST.how] = how;
      try {
        const { result } = machine.startClient("strike", 0);
        const tally = (await result) as Tally;
        assert.equal(tally.operations, 6);
        assert.ok(tally.points > 0);
        if (how !== HOW.crash) assert.ok(machine.ends >= tally.points, `${machine.ends} ends`);
        t.diagnostic(`${tally.points} steps, ${machine.ends} threads ended`);
      } finally {
        await machine.stop();
      }
      assert.deepEqual(checkHeap(machine.view), []);
    });
  };
  for (const server of ["pipe", "vfs", "auth"] as const) {
    strike(`${server} in a thread of its own, an exception at every step`, HOW.crash, server, everywhere);
    strike(
      `${server} in a thread of its own, killed inside the hook at every step`,
      HOW.kill,
      server,
      everywhere,
    );
  }
  strike("tty in a thread of its own, an exception at every step", HOW.crash, "tty", everywhere);
  strike("a server's thread that ends by an exception", HOW.end, "auth", everywhere);
  const mixed = (vfsAt: PlacementName, authAt: PlacementName): Placements => ({ vfs: vfsAt, auth: authAt });
  strike(
    "only the called one has a thread of its own, killed at every step",
    HOW.kill,
    "auth",
    mixed("caller", "worker"),
  );
  strike(
    "only the caller has a thread of its own, killed at every step",
    HOW.kill,
    "vfs",
    mixed("worker", "caller"),
  );

  test("caller placement: the caller stopped inside the hook at every step of a write and a read, and ended", {
    timeout: 120_000,
  }, async (t) => {
    const machine = boot({});
    const { control, view } = machine;
    const boss = registerThread(view, ROLE.MAIN);
    const dead = (thread: number): boolean => isDead(view, thread);
    const files = new HookedTransaction(
      machine.buffers,
      2,
      threadFor({ thread: boss } as Setup, () => {}),
      () => {},
    );
    const ends = createPipe(files, 0);
    files.commit();
    files.words.set(ends, files.root("kernel") + 2);
    control[TEST.server] = CLIENT;
    let step = 0;
    try {
      for (;;) {
        control[TEST.how] = HOW.kill;
        control[TEST.next] = ++step;
        control[TEST.count] = 0;
        control[TEST.stopped] = 0;
        const client = machine.startClient("pass", 0);
        let over = false;
        void client.result.then(() => (over = true));
        while (!over && Atomics.load(control, TEST.stopped) === 0)
          await new Promise((resolve) => setTimeout(resolve, 2));
        const ended = over;
        await client.worker.terminate();
        markDead(view, client.thread);
        const tx = new HookedTransaction(
          machine.buffers,
          0,
          threadFor({ thread: boss } as Setup, () => {}),
          () => {},
        );
        assert.equal(recoverRequest(tx, boss, dead), true);
        assert.deepEqual(checkHeap(view), [], `step ${step}`);
        if (ended) break;
        control[TEST.how] = HOW.pause;
        control[TEST.killAt] = 0;
        const next = machine.startClient("pass", 0);
        assert.deepEqual(await next.result, ["some bytes", 2], `step ${step}`);
        markDead(view, next.thread);
        assert.equal(recoverRequest(tx, boss, dead), true);
        assert.deepEqual(checkHeap(view), [], `step ${step}`);
      }
    } finally {
      await machine.stop();
    }
    t.diagnostic(`${step - 1} steps`);
    assert.ok(step >= 8, `only ${step} steps`);
  });

  test("a hart that dies while its request is lent: recovery waits until the server hands it back", async () => {
    const machine = boot(everywhere);
    const { control, view } = machine;
    control[TEST.server] = serverIndex("pipe");
    control[TEST.how] = HOW.pause;
    try {
      const client = machine.startClient("once", 0);
      client.result.catch(() => {});
      while (Atomics.load(control, TEST.stopped) === 0)
        await new Promise((resolve) => setTimeout(resolve, 5));
      await client.worker.terminate();
      markDead(view, client.thread);
      const dead = (thread: number): boolean => isDead(view, thread);
      const thread = registerThread(view, ROLE.MAIN);
      const tx = new HookedTransaction(
        machine.buffers,
        0,
        threadFor({ thread } as Setup, () => {}),
        () => {},
      );
      assert.equal(recoverRequest(tx, thread, dead), false);
      assert.equal(recoverSlot(tx, thread, dead), false);
      assert.equal(
        view.words[view.slot(0) + SLOT.holder],
        view.words[controlOf(view, serverIndex("pipe")) + CONTROL.thread],
      );
      Atomics.store(control, TEST.resume, 1);
      Atomics.notify(control, TEST.resume);
      while (!recoverRequest(tx, thread, dead)) await new Promise((resolve) => setTimeout(resolve, 1));
      assert.deepEqual(checkHeap(view), []);
      assert.equal(view.words[view.slot(0) + SLOT.holder], 0);
    } finally {
      await machine.stop();
    }
  });

  test("clients that contend for a lock inside the server wait for it outside", {
    timeout: 60_000,
  }, async () => {
    const machine = boot(everywhere);
    try {
      const results = await Promise.all([0, 1].map((slot) => machine.startClient("contend", slot).result));
      for (const tally of results) assert.deepEqual(tally, { operations: 900, points: 0, retries: 0 });
    } finally {
      await machine.stop();
    }
    assert.deepEqual(checkHeap(machine.view), []);
    const node = machine.view.words[machine.view.root("kernel")] as Ref<"test-a">;
    assert.equal(Node.granted.get(machine.view, node), 1200);
  });

  test("shipped calls come back, or are known to be lost with the server", { timeout: 60_000 }, async () => {
    const machine = boot(everywhere);
    machine.control[TEST.server] = serverIndex("vfs");
    machine.control[TEST.how] = HOW.kill;
    try {
      const { retries, results } = (await machine.startClient("ship", 1).result) as {
        retries: number;
        results: number[];
      };
      assert.equal(retries, 10);
      assert.deepEqual(
        results,
        Array.from({ length: 30 }, (_, i) => (i + 1) * 101),
      );
    } finally {
      await machine.stop();
    }
    assert.deepEqual(checkHeap(machine.view), []);
  });
}
