/** A thread in baton mode: runs an operation again and again, or a hart of a whole machine. */

import { parentPort, workerData } from "node:worker_threads";
import { HeapView } from "../heap/heap.ts";
import { HookedTransaction, type TransactionHook } from "../heap/transaction.ts";
import { SLOT } from "../heap/layout.ts";
import type { Host } from "../host/contract.ts";
import { SeededEntropy } from "../host/sim/host.ts";
import { KernelThread } from "../kernel/thread.ts";
import type { WasmMemory, WasmModule } from "../base/webassembly.ts";
import { Baton } from "./baton.ts";
import { batonOperations, type Shared } from "./baton-operations.ts";

interface BatonThreadCommon {
  readonly control: SharedArrayBuffer;
  readonly self: number;
  readonly threads: number;
  /** Number in the thread table, or any if there is none. */
  readonly thread: number;
  readonly slot: number;
  readonly heap: WasmMemory;
}
export interface OperationThread extends BatonThreadCommon {
  readonly kind: "operation";
  readonly memory: SharedArrayBuffer;
  readonly operation: string;
  readonly shared: Shared;
  readonly rounds: number;
}
export interface HartThread extends BatonThreadCommon {
  readonly kind: "hart";
  readonly memory: WasmMemory;
  readonly module: WasmModule;
  readonly seed: number;
}
export type BatonThreadData = OperationThread | HartThread;

const data = workerData as BatonThreadData;
const baton = new Baton(data.control, data.self, data.threads);
const step: TransactionHook = (point, of) => baton.step(point, of);

function runOperation({
  heap,
  memory,
  slot,
  thread,
  operation,
  shared,
  rounds,
  self: index,
}: OperationThread): void {
  parentPort?.postMessage("ready");
  baton.take();
  const self = new KernelThread(thread, baton.clock, new SeededEntropy(1), () => baton.pass());
  const tx = new HookedTransaction({ heap, memory }, slot, self, step);
  const { run } = batonOperations.find(({ name }) => name === operation)!;
  for (let round = 0; round < rounds; round++) {
    run(tx, shared, index);
    tx.commit();
  }
}

async function runHart({ heap, memory, slot, thread, module, seed, self }: HartThread): Promise<void> {
  // Loaded here, since operations start much faster without.
  const { createHartLoop } = await import("../machine/hart-parts.ts");
  const { createThread } = await import("../machine/thread-context.ts");
  const { isStopping, stopMachine } = await import("../machine/life.ts");
  const { doorbellAt, nextDeadline } = await import("../kernel/scheduler.ts");
  parentPort?.postMessage("ready");
  baton.take();
  const buffers = { heap, memory: memory.buffer as SharedArrayBuffer };
  const view = new HeapView(buffers);
  const host: Host = {
    clock: baton.clock,
    entropy: new SeededEntropy(seed + self),
    parking: baton.parking(
      () => doorbellAt(view),
      () => nextDeadline(view),
      () => stopMachine(view),
    ),
  };
  const tx = new HookedTransaction(buffers, slot, createThread(thread, host), step);
  Atomics.store(tx.words, tx.slotAt + SLOT.holder, thread);
  const loop = createHartLoop({ tx, host, memory, module, index: self, trace: undefined });
  loop.run(() => isStopping(tx));
}

try {
  if (data.kind === "operation") runOperation(data);
  else await runHart(data);
} finally {
  baton.leave();
}
