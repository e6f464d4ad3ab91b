/** A hart's thread: attaches to the machine's buffers and runs the hart's loop until the machine ends. */

import { parentPort, workerData } from "node:worker_threads";
import { nodeHost } from "../host/node/host.ts";
import { onCrash } from "../kernel/ledger.ts";
import { transactionsOf } from "./fault-control.ts";
import { createHartLoop } from "./hart-parts.ts";
import { isStopping } from "./life.ts";
import { createThread, holdSlot, leaveSlot } from "./thread-context.ts";
import type { HartThreadData } from "./thread-data.ts";

const data = workerData as HartThreadData;
const host = nodeHost();
const thread = createThread(data.thread, host);
const buffers = { heap: data.heap, memory: data.memory.buffer as SharedArrayBuffer };

onCrash((where, error) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  parentPort?.postMessage({ kind: "crash", where, text });
});
const tx = holdSlot(transactionsOf(buffers, thread, data.faults, data.hart)(data.slot), thread);
const trace = data.strace
  ? (line: string): void => parentPort?.postMessage({ kind: "strace", line })
  : undefined;
const loop = createHartLoop({ tx, host, memory: data.memory, module: data.module, index: data.hart, trace });
parentPort?.postMessage({ kind: "ready" });
loop.run(() => isStopping(tx));
leaveSlot(tx);
