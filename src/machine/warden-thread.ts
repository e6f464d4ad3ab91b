/**
 * The warden: the parent of all harts. It starts them, sees them end, recovers what a dead one left and starts
 * another in its place; it does nothing else. The main thread is its own parent, and starts another warden if
 * it dies (its harts die with it).
 *
 * A hart is hung if its loop has not turned for HANG_MS while it is in the kernel and not parked, and the
 * warden's own ticks came in time (rule R14: a sleeping laptop is not a hang). In user mode it never is.
 */

import { parentPort, workerData } from "node:worker_threads";
import { moduleExtension } from "../base/module-extension.ts";
import { SLOT } from "../heap/layout.ts";
import { HeapView } from "../heap/heap.ts";
import { Transaction } from "../heap/transaction.ts";
import type { HostThread } from "../host/contract.ts";
import { nodeHost } from "../host/node/host.ts";
import { nodeThreads } from "../host/node/threads.ts";
import { markSlotIdle } from "../kernel/memory/safepoint.ts";
import { isDead, markDead, registerThread, ROLE } from "../kernel/placement/threads.ts";
import { recoverHart } from "../kernel/recovery.ts";
import { Hart, hartOf, ringDoorbell } from "../kernel/scheduler.ts";
import { isStopping } from "./life.ts";
import { createThread } from "./thread-context.ts";
import type { HartThreadData, WardenThreadData } from "./thread-data.ts";

const HANG_MS = 10_000;
const TICK_MS = 500;

const data = workerData as WardenThreadData;
const buffers = { heap: data.heap, memory: data.memory.buffer as SharedArrayBuffer };
const view = new HeapView(buffers);
const host = nodeHost();
const thread = createThread(data.thread, host);
const entry = (name: string): URL => new URL(`./${name}${moduleExtension(import.meta.url)}`, import.meta.url);
const hartEntry = new URL(`./hart-thread${moduleExtension(import.meta.url)}`, import.meta.url);
const threads = nodeThreads({
  hart: hartEntry,
  warden: entry("warden-thread"),
  io: entry("io-thread"),
  server: hartEntry,
});

interface Watched {
  thread: HostThread;
  number: number;
  beats: number;
  since: number;
}
const harts: (Watched | undefined)[] = [];

function startHart(index: number): void {
  const number = registerThread(view, ROLE.HART);
  const hartData: HartThreadData = {
    heap: data.heap,
    memory: data.memory,
    thread: number,
    hart: index,
    slot: data.firstSlot + index,
    module: data.module,
    strace: data.strace,
  };
  const started = threads.start("hart", hartData);
  harts[index] = { thread: started, number, beats: -1, since: Date.now() };
  started.onMessage((message) => parentPort?.postMessage(message));
  started.onEnd((error) => void ended(index, number, error));
}

/** A hart has ended, for certain: undo, hand its task on, start another. */
async function ended(index: number, number: number, error: Error | undefined): Promise<void> {
  markDead(view, number);
  if (isStopping(view)) return;
  // The records of every part, whose redo steps a recovery may have to carry out. Loaded when they are needed
  // first, so that the warden is there early.
  await import("./parts.ts");
  const slot = data.firstSlot + index;
  const tx = new Transaction(buffers, slot, thread);
  Atomics.store(view.words, tx.slotAt + SLOT.owner, 0);
  const death = recoverHart(tx, hartOf(view, index), data.thread, (each) => isDead(view, each));
  markSlotIdle(view, slot);
  parentPort?.postMessage({ kind: "hart-died", hart: index, death, text: error?.stack ?? "" });
  ringDoorbell(view);
  startHart(index);
}

let lastTick = Date.now();

function watch(): void {
  const now = Date.now();
  const late = now - lastTick > TICK_MS * 3;
  lastTick = now;
  for (const [index, watched] of harts.entries()) {
    if (watched === undefined) continue;
    const hart = hartOf(view, index);
    const beats = Hart.beats.get(view, hart);
    const busy = Hart.current.get(view, hart) !== 0 && Hart.inUser.get(view, hart) === 0;
    if (late || !busy || beats !== watched.beats) {
      watched.beats = beats;
      watched.since = now;
    } else if (now - watched.since > HANG_MS) {
      watched.since = now;
      parentPort?.postMessage({ kind: "hart-hung", hart: index });
      void watched.thread.end();
    }
  }
}

for (let index = 0; index < data.harts; index++) startHart(index);
setInterval(watch, TICK_MS).unref();
parentPort?.on("message", () => undefined);
