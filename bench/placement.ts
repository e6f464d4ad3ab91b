/**
 * What a contract call costs where the server runs: time, bytes that are copied to make the call, and context
 * switches. The server is the pipe server; the calls are one that does almost nothing (how many bytes wait?),
 * a byte written and read, and a page written and read.
 *
 *     node bench/placement.ts [ROUNDS]
 *
 * This file is also the program of the server's own thread.
 */

import { isMainThread, Worker, workerData } from "node:worker_threads";
import { createHeap, type HeapBuffers, HeapView } from "../src/heap/heap.ts";
import { REDO, type RedoKind, SLOT } from "../src/heap/layout.ts";
import { Transaction } from "../src/heap/transaction.ts";
import { type File, kindOf } from "../src/kernel/file.ts";
import { enterPlacement, placeServers, serveHere, serverIndex, stopServer } from "../src/kernel/placement.ts";
import type { Parking } from "../src/kernel/placement/call.ts";
import { contendedInServer } from "../src/kernel/placement/serve.ts";
import { placeThreads, registerThread, ROLE } from "../src/kernel/placement/threads.ts";
import { addSegment, clearSegments } from "../src/kernel/request.ts";
import { KernelThread } from "../src/kernel/thread.ts";
import { placeFifos } from "../src/servers/pipe/fifo.ts";
import { createPipe, pipeAvailable } from "../src/servers/pipe/pipe-server.ts";
import { median } from "./lib/measure.ts";
import { roundsFrom } from "./lib/rounds.ts";

interface Setup {
  readonly buffers: HeapBuffers;
  readonly thread: number;
  readonly spins: number;
}

const parking: Parking = {
  wait: (words, at, value, timeoutMs) => void Atomics.wait(words, at, value, timeoutMs),
};

/** A thread in a machine without a scheduler: there is nobody to wake. */
class BenchThread extends KernelThread {
  constructor(id: number, contended: ConstructorParameters<typeof KernelThread>[3]) {
    super(id, { monotonic: () => 0, realtime: () => 0 }, { fill: () => {} }, contended);
  }
  override redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    return kind === REDO.wake || super.redo(tx, kind, value);
  }
}

/** Bytes of a call frame that a call with `count` arguments and its result fill. */
function marshalled(count: number): number {
  // Server, operation, argument count, bell, caller, sleeping; outcome and result; state twice.
  return 4 * 6 + 8 * count + 4 + 8 + 8;
}

/** Measures and prints: `rounds` calls in the caller's thread, fewer where they cost more. */
export async function measurePlacement(rounds: number, print: (line: string) => void): Promise<void> {
  print(
    `${"".padEnd(46)} ${"ns".padStart(9)} ${"switches".padStart(9)} ${"marshalled".padStart(11)} ${"copied".padStart(7)}`,
  );
  for (const spins of [-1, 0, 20_000]) {
    const buffers = { heap: createHeap({ bytes: 4 << 20, slots: 2 }), memory: new SharedArrayBuffer(65536) };
    const view = new HeapView(buffers);
    placeFifos(view);
    placeThreads(view);
    placeServers(view, { pipe: spins < 0 ? "caller" : "worker" });
    const me = registerThread(view, ROLE.MAIN);
    let server: Worker | undefined;
    if (spins >= 0) {
      const setup: Setup = {
        buffers,
        spins,
        thread: registerThread(view, ROLE.SERVER + serverIndex("pipe")),
      };
      server = new Worker(import.meta.filename, { workerData: setup });
    }
    enterPlacement(view, { parking, spins: Math.max(0, spins) });
    const tx = new Transaction(buffers, 0, new BenchThread(me, () => {}));
    tx.words[tx.slotAt + SLOT.holder] = me;
    measureCalls(tx, spins, spins < 0 ? rounds : Math.ceil(rounds / 50), print);
    if (server !== undefined) {
      stopServer(view, "pipe");
      await new Promise((resolve) => server.on("exit", resolve));
    }
  }
}

function measureCalls(tx: Transaction, spins: number, rounds: number, print: (line: string) => void): void {
  const where = spins < 0 ? "caller" : spins === 0 ? "worker" : "worker, both sides spinning";
  const [reader, writer] = createPipe(tx, 0);
  tx.commit();
  const transfer = (length: number): void => {
    for (const [what, file] of [
      ["write", writer],
      ["read", reader],
    ] as ["read" | "write", File][]) {
      clearSegments(tx);
      addSegment(tx, what === "write" ? 0 : 8192, length);
      kindOf(tx, file)[what](tx, file, length, -1, false);
      tx.commit();
    }
  };
  const time = (name: string, calls: number, args: number, copied: number, work: () => void): void => {
    const samples: number[] = [];
    let switches = 0;
    for (let sample = 0; sample < 5; sample++) {
      const before = process.resourceUsage().voluntaryContextSwitches;
      const start = performance.now();
      for (let i = 0; i < rounds; i++) work();
      samples.push(((performance.now() - start) * 1e6) / rounds);
      switches = (process.resourceUsage().voluntaryContextSwitches - before) / rounds;
    }
    const bytes = spins < 0 ? 0 : calls * marshalled(args);
    const columns = [
      median(samples.slice(1)).toFixed(0).padStart(9),
      switches.toFixed(2).padStart(9),
      `${bytes}`.padStart(11),
    ];
    print(`${`${name}, ${where}`.padEnd(46)} ${columns.join(" ")} ${`${copied}`.padStart(7)}`);
  };
  time("bytes that wait", 1, 1, 0, () => {
    pipeAvailable(tx, reader);
    tx.commit();
  });
  time("1 byte in and out", 2, 3, 2, () => transfer(1));
  time("4096 bytes in and out", 2, 3, 8192, () => transfer(4096));
}

function serverMain({ buffers, thread, spins }: Setup): void {
  const kernelThread = new BenchThread(thread, contendedInServer(parking));
  serveHere(
    "pipe",
    new HeapView(buffers),
    thread,
    { parking, spins },
    (slot) => new Transaction(buffers, slot, kernelThread),
  );
}

if (!isMainThread) serverMain(workerData as Setup);
else if (import.meta.main)
  await measurePlacement(roundsFrom("What a contract call costs where the server runs.", 500_000), (line) =>
    console.log(line),
  );
