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

import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { moduleExtension } from "../base/module-extension.ts";
import { SLOT } from "../heap/layout.ts";
import { HeapView } from "../heap/heap.ts";
import { Transaction } from "../heap/transaction.ts";
import type { HostThread } from "../host/contract.ts";
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
import type {
  EndRequest,
  HartStart,
  PooledHartData,
  ServerThreadData,
  WardenThreadData,
} from "./thread-data.ts";

const data = workerData as WardenThreadData;
const TICK_MS: number = Math.min(500, data.hangMs / 4);
/** When a spare is started, ms: a while after the boot, soon after one has been used. */
const FIRST_SPARE_MS = 1000;
const NEXT_SPARE_MS = 50;
/** When the other harts are started though the first one has not said that it is ready, ms. */
const OTHERS_MS = 300;
/** Pause before it is asked again whether a dead hart's request has been handed back, ms. */
const ASK_AGAIN_MS = 1;

const buffers = { heap: data.heap, memory: data.memory.buffer as SharedArrayBuffer };
const view = new HeapView(buffers);
const entry = (name: string): URL => new URL(`./${name}${moduleExtension(import.meta.url)}`, import.meta.url);
const threads = nodeThreads({
  hart: entry("hart-thread"),
  server: entry("server-thread"),
  warden: entry("warden-thread"),
  io: entry("io-thread"),
  translator: entry("translator-thread"),
});

/** Whether the first hart has its place, and the others are not started. */
let areOthersDue = false;

/** A child: a hart, by its number, or a server, by its name. */
type Target = number | ServerName;

interface Child {
  readonly thread: HostThread;
  /** Number in the thread table; 0 for a spare hart, which has none yet. */
  number: number;
  /** Undefined while it is a spare hart. */
  target: Target | undefined;
  /** For a hart: tells it which one it is (PooledHartData.assigned). */
  readonly assigned: Int32Array<SharedArrayBuffer> | undefined;
  isReady: boolean;
  isHung: boolean;
  progress: number;
  since: number;
}
const children = new Map<Target, Child>();
/** A hart's thread that has loaded everything and waits to take the place of one that ends. */
let spare: Child | undefined;

/** Starts a spare hart. */
function launchHart(): Child {
  const assigned = new Int32Array(new SharedArrayBuffer(8));
  const { strace, firstSlot } = data;
  const hart = { ...common, assigned: assigned.buffer, firstSlot, strace } satisfies PooledHartData;
  return adopt(threads.start("hart", hart), assigned);
}

/** Starts a server's thread. */
function launchServer(server: ServerName): Child {
  const number = registerThread(view, ROLE.SERVER + serverIndex(server));
  const child = adopt(
    threads.start("server", { ...common, thread: number, server } satisfies ServerThreadData),
    undefined,
  );
  child.number = number;
  return child;
}

function adopt(started: HostThread, assigned: Child["assigned"]): Child {
  const child: Child = {
    thread: started,
    number: 0,
    target: undefined,
    assigned,
    isReady: false,
    isHung: false,
    progress: -1,
    since: Date.now(),
  };
  started.onMessage((message) => {
    if ((message as { kind: string }).kind === "ready") {
      child.isReady = true;
      startOthers();
    } else parentPort?.postMessage(message);
  });
  started.onEnd((error) => void ended(child, error));
  return child;
}

/** Puts a thread in the place of a server. */
function fillServer(server: ServerName): void {
  const child = launchServer(server);
  child.target = server;
  children.set(server, child);
}

/** Makes a spare, if there is one that is ready or none is awaited, or else a new thread the hart `index`. */
function fillHart(index: number, spared: Child | undefined): void {
  const child = spared ?? launchHart();
  child.number = registerThread(view, ROLE.HART);
  child.target = index;
  child.since = Date.now();
  children.set(index, child);
  child.thread.post({ module } satisfies HartStart);
  child.assigned![1] = child.number;
  Atomics.store(child.assigned!, 0, index + 1);
  Atomics.notify(child.assigned!, 0);
}

/** Puts another thread in the place of one that has ended. */
function refill(target: Target): void {
  if (typeof target !== "number") fillServer(target);
  else if (spare?.isReady === true) {
    const ready = spare;
    spare = undefined;
    fillHart(target, ready);
  } else fillHart(target, undefined);
}

/** Starts the harts that have not been started yet, if it is time for that. */
function startOthers(): void {
  if (!areOthersDue || isStopping(view)) return;
  areOthersDue = false;
  for (let index = 1; index < data.harts; index++) fillHart(index, undefined);
}

/** Starts a spare in `ms` milliseconds, if there is none then. */
function prepareSpare(ms: number): void {
  setTimeout(() => {
    if (spare === undefined && !isStopping(view)) spare = launchHart();
  }, ms).unref();
}

const common = {
  heap: data.heap,
  memory: data.memory,
  ...(data.faults !== undefined && { faults: data.faults }),
};

/** A child has ended, for certain: undo what it left, hand its task on, put another in its place. */
async function ended(child: Child, error: Error | undefined): Promise<void> {
  const { target } = child;
  if (target === undefined) {
    spare = undefined;
    if (isStopping(view)) stopNext();
    else prepareSpare(NEXT_SPARE_MS);
    return;
  }
  markDead(view, child.number);
  children.delete(target);
  if (!isStopping(view)) recordDeath(view, typeof target === "number" ? "harts" : "servers");
  const death =
    typeof target === "number" ? await recover(target, error !== undefined || child.isHung) : undefined;
  if (isStopping(view)) {
    stopNext();
    return;
  }
  parentPort?.postMessage({ kind: "died", target, death, text: error?.stack ?? "" });
  refill(target);
  prepareSpare(NEXT_SPARE_MS);
}

/** Recovers hart `index`, whose thread has ended, if there is anything to recover. `blame`: see recoverHart. */
async function recover(index: number, blame: boolean): Promise<string | undefined> {
  const slot = data.firstSlot + index;
  const hart = hartOf(view, index);
  if (view.words[view.slot(slot) + SLOT.holder] === 0 && Hart.current.get(view, hart) === 0) return undefined;
  // The records of every part, whose redo steps a recovery may have to carry out. Loaded when they are needed
  // first, so that the warden is there early.
  await import("./parts.ts");
  const tx = new Transaction(buffers, slot, thread);
  Atomics.store(view.words, tx.slotAt + SLOT.owner, 0);
  for (;;) {
    const death = recoverHart(tx, hart, number, (each) => isDead(view, each), blame);
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
  void spare?.thread.end();
  if (children.size === 0 && spare === undefined) parentPort?.close();
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
      child.isHung = true;
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

// A thread takes as long to load as the state takes to build, so a hart is started before that is there. The
// others wait until it is ready: what they load is loaded on the same processors, and the first program needs one.
const early = launchHart();
const begun = new Int32Array(data.begun);
Atomics.wait(begun, 0, 0);
const number = begun[0]!;
const thread = createThread(number, nodeHost());
const { module } = receiveMessageOnPort(parentPort!)!.message as HartStart;

parentPort?.on("message", ({ target }: EndRequest) => {
  // Who wants the end of a hart that is not there yet would wait for it for ever.
  if (!children.has(target)) startOthers();
  void children.get(target)?.thread.end();
});
for (let index = 0; index < data.harts; index++) await recover(index, false);
for (const name of workerServers(view)) fillServer(name);
fillHart(0, early);
areOthersDue = true;
if (early.isReady) startOthers();
else setTimeout(startOthers, OTHERS_MS).unref();
prepareSpare(FIRST_SPARE_MS);
setInterval(watch, TICK_MS).unref();
