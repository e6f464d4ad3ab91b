/**
 * A hart's thread: attaches to the machine's buffers and runs the hart's loop until the machine ends. Started
 * as a spare, it loads everything and sleeps until it is told which hart it is.
 */

import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { nodeHost } from "../host/node/host.ts";
import { onCrash } from "../kernel/ledger.ts";
import { transactionsOf } from "./fault-control.ts";
import { createHartLoop } from "./hart-parts.ts";
import { isStopping } from "./life.ts";
import { createThread, holdSlot, leaveSlot } from "./thread-context.ts";
import type { HartStart, PooledHartData } from "./thread-data.ts";

const data = workerData as PooledHartData;
const host = nodeHost();
const buffers = { heap: data.heap, memory: data.memory.buffer as SharedArrayBuffer };

onCrash((where, error) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  parentPort?.postMessage({ kind: "crash", where, text });
});
parentPort?.postMessage({ kind: "ready" });
const assigned = new Int32Array(data.assigned);
while (Atomics.load(assigned, 0) === 0) Atomics.wait(assigned, 0, 0);
const index = assigned[0]! - 1;
const thread = createThread(assigned[1]!, host);
const { module } = receiveMessageOnPort(parentPort!)!.message as HartStart;
const tx = holdSlot(transactionsOf(buffers, thread, data.faults, index)(data.firstSlot + index), thread);
const trace = data.strace
  ? (line: string): void => parentPort?.postMessage({ kind: "strace", line })
  : undefined;
createHartLoop({ tx, host, memory: data.memory, module, index, trace }).run(() => isStopping(tx));
leaveSlot(tx);
