/**
 * A hart's thread that can be stopped inside the store hook: as src/machine/hart-thread.ts, but its
 * transactions call a hook, which parks the thread for ever when the parent has armed it (kills.ts).
 */

import { parentPort, workerData } from "node:worker_threads";
import { SLOT } from "../heap/layout.ts";
import { type CrashPoint, HookedTransaction } from "../heap/transaction.ts";
import { nodeHost } from "../host/node/host.ts";
import { onCrash } from "../kernel/ledger.ts";
import { createHartLoop } from "../machine/hart-parts.ts";
import { isStopping } from "../machine/life.ts";
import { createThread } from "../machine/thread-context.ts";
import type { HartThreadData } from "../machine/thread-data.ts";
import { CONTROL, CONTROL_STATE, POINTS } from "./kill-control.ts";
import { storeSite } from "./store-sites.ts";

export interface KillHartData extends HartThreadData {
  readonly control: SharedArrayBuffer;
}

const data = workerData as KillHartData;
const control = new Int32Array(data.control);
const text = new Uint8Array(data.control, CONTROL.text * 4);
const host = nodeHost();
const thread = createThread(data.thread, host);
const buffers = { heap: data.heap, memory: data.memory.buffer as SharedArrayBuffer };

function hook(point: CrashPoint): void {
  if (control[CONTROL.state] !== CONTROL_STATE.ARMED) return;
  const wanted = control[CONTROL.point]!;
  if (wanted !== 0 && POINTS[wanted] !== point) return;
  if (--control[CONTROL.count]! > 0) return;
  const where = new TextEncoder().encode(`${point} ${storeSite()}`).subarray(0, text.length);
  text.set(where);
  control[CONTROL.length] = where.length;
  // The parent may have lost its patience since: then it does not come.
  const { ARMED, STOPPED } = CONTROL_STATE;
  if (Atomics.compareExchange(control, CONTROL.state, ARMED, STOPPED) !== ARMED) return;
  Atomics.notify(control, CONTROL.state);
  // Nothing wakes it: the parent ends the thread here, between two instructions of a transaction.
  for (;;) Atomics.wait(control, CONTROL.state, STOPPED);
}

onCrash((where, error) => {
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  parentPort?.postMessage({ kind: "crash", where, text: reason });
});
const tx = new HookedTransaction(buffers, data.slot, thread, hook);
Atomics.store(tx.words, tx.slotAt + SLOT.holder, thread.id);
const loop = createHartLoop({
  tx,
  host,
  memory: data.memory,
  module: data.module,
  index: data.hart,
  trace: undefined,
});
loop.run(() => isStopping(tx));
