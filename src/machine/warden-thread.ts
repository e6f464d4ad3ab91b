/**
 * The warden: the parent of the harts and of the servers that have threads of their own. It starts them, sees
 * them end, recovers what a dead one left and starts another in its place; it does nothing else. The main
 * thread is its own parent, and starts another warden if it dies (its children die with it): that one finds
 * all harts dead and recovers them before it starts any.
 *
 * A thread is hung if it has made no progress for `hangMs` while it had something to do, and the warden's own
 * ticks came in time (rule R14: a sleeping laptop is not a hang). Progress of a hart is a turn of its loop or a
 * commit; in user mode it is never hung. Progress of a server's thread is a call taken.
 */

import { parentPort, workerData } from "node:worker_threads";
import { moduleExtension } from "../base/module-extension.ts";
import { SLOT } from "../heap/layout.ts";
import { HeapView } from "../heap/heap.ts";
import { Transaction } from "../heap/transaction.ts";
import type { HostThread, ThreadRole } from "../host/contract.ts";
import { nodeHost } from "../host/node/host.ts";
import { nodeThreads } from "../host/node/threads.ts";
import { recordDeath } from "../kernel/ledger.ts";
import { markSlotIdle } from "../kernel/memory/safepoint.ts";
import { callsServed, type ServerName, serverIndex, stopServer, workerServers } from "../kernel/placement.ts";
import { CONTROL, controlOf } from "../kernel/placement/frame.ts";
import { isDead, markDead, registerThread, ROLE } from "../kernel/placement/threads.ts";
import { recoverHart } from "../kernel/recovery.ts";
import { Hart, hartOf, ringDoorbell } from "../kernel/scheduler.ts";
import { isStopping } from "./life.ts";
import { createThread } from "./thread-context.ts";
import type { EndRequest, HartThreadData, ServerThreadData, WardenThreadData } from "./thread-data.ts";

const data = workerData as WardenThreadData;
const TICK_MS: number = Math.min(500, data.hangMs / 4);
/** Pause before it is asked again whether a dead hart's request has been handed back, ms. */
const ASK_AGAIN_MS = 1;

const buffers = { heap: data.heap, memory: data.memory.buffer as SharedArrayBuffer };
const view = new HeapView(buffers);
const thread = createThread(data.thread, nodeHost());
const entry = (name: string): URL => new URL(`./${name}${moduleExtension(import.meta.url)}`, import.meta.url);
const threads = nodeThreads({
  hart: entry("hart-thread"),
  server: entry("server-thread"),
  warden: entry("warden-thread"),
  io: entry("io-thread"),
});

/** A child: a hart, by its number, or a server, by its name. */
type Target = number | ServerName;

interface Child {
  readonly thread: HostThread;
  readonly number: number;
  progress: number;
  since: number;
}
const children = new Map<Target, Child>();

function start(target: Target): void {
  const isHart = typeof target === "number";
  const number = registerThread(view, isHart ? ROLE.HART : ROLE.SERVER + serverIndex(target));
  const role: ThreadRole = isHart ? "hart" : "server";
  const child = threads.start(role, isHart ? hartData(target, number) : serverData(target, number));
  children.set(target, { thread: child, number, progress: -1, since: Date.now() });
  child.onMessage((message) => parentPort?.postMessage(message));
  child.onEnd((error) => void ended(target, number, error));
}

const common = {
  heap: data.heap,
  memory: data.memory,
  ...(data.faults !== undefined && { faults: data.faults }),
};

function hartData(hart: number, number: number): HartThreadData {
  const { module, strace } = data;
  return { ...common, thread: number, hart, slot: data.firstSlot + hart, module, strace };
}

function serverData(server: ServerName, number: number): ServerThreadData {
  return { ...common, thread: number, server };
}

/** A child has ended, for certain: undo what it left, hand its task on, start another. */
async function ended(target: Target, number: number, error: Error | undefined): Promise<void> {
  markDead(view, number);
  children.delete(target);
  const isOver = isStopping(view);
  if (!isOver) recordDeath(view, typeof target === "number" ? "harts" : "servers");
  const death = typeof target === "number" ? await recover(target) : undefined;
  if (isStopping(view)) {
    stopNext();
    return;
  }
  parentPort?.postMessage({ kind: "died", target, death, text: error?.stack ?? "" });
  start(target);
}

/** Recovers hart `index`, whose thread has ended, if there is anything to recover. */
async function recover(index: number): Promise<string | undefined> {
  const slot = data.firstSlot + index;
  const hart = hartOf(view, index);
  if (view.words[view.slot(slot) + SLOT.holder] === 0 && Hart.current.get(view, hart) === 0) return undefined;
  // The records of every part, whose redo steps a recovery may have to carry out. Loaded when they are needed
  // first, so that the warden is there early.
  await import("./parts.ts");
  const tx = new Transaction(buffers, slot, thread);
  Atomics.store(view.words, tx.slotAt + SLOT.owner, 0);
  for (;;) {
    const death = recoverHart(tx, hart, data.thread, (each) => isDead(view, each));
    if (death !== undefined) {
      // Until the next thread of this hart takes the slot, nobody holds it.
      Atomics.store(view.words, tx.slotAt + SLOT.holder, 0);
      markSlotIdle(view, slot);
      ringDoorbell(view);
      return death;
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

/** The machine ends: harts by themselves, then the servers that they call, then the warden. */
function stopNext(): void {
  if ([...children.keys()].some((target) => typeof target === "number")) return;
  for (const name of workerServers(view)) stopServer(view, name);
  if (children.size === 0) parentPort?.close();
}

let lastTick = Date.now();

function watch(): void {
  const now = Date.now();
  const late = now - lastTick > TICK_MS * 3;
  lastTick = now;
  for (const [target, child] of children) {
    const progress =
      typeof target === "number" ? hartProgress(target, child.number) : serverProgress(target, child.number);
    if (late || progress === undefined || progress !== child.progress) {
      child.progress = progress ?? -1;
      child.since = now;
    } else if (now - child.since > data.hangMs) {
      child.since = now;
      parentPort?.postMessage({ kind: "hung", target });
      void child.thread.end();
    }
  }
}

/** A number that goes up while the hart works; undefined if it need not, or its thread is still loading. */
function hartProgress(index: number, number: number): number | undefined {
  const hart = hartOf(view, index);
  const slot = view.slot(data.firstSlot + index);
  if (view.words[slot + SLOT.holder] !== number && view.words[slot + SLOT.call] === 0) return undefined;
  if (Hart.idle.get(view, hart) !== 0 || Hart.inUser.get(view, hart) !== 0) return undefined;
  return (Hart.beats.get(view, hart) + view.words[slot + SLOT.sequence]!) | 0;
}

/** As for harts. */
function serverProgress(name: ServerName, number: number): number | undefined {
  const control = controlOf(view, serverIndex(name));
  if (view.words[control + CONTROL.thread] !== number || view.words[control + CONTROL.sleeping] !== 0) {
    return undefined;
  }
  return callsServed(view, name);
}

parentPort?.on("message", (message: EndRequest) => void children.get(message.target)?.thread.end());
for (let index = 0; index < data.harts; index++) await recover(index);
for (const name of workerServers(view)) start(name);
for (let index = 0; index < data.harts; index++) start(index);
setInterval(watch, TICK_MS).unref();
