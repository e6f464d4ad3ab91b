/** A thread in baton mode: runs an operation again and again, or a hart of a whole machine. */

import { parentPort, workerData } from "node:worker_threads";
import { HookedTransaction, type TransactionHook } from "../heap/transaction.ts";
import { SLOT } from "../heap/layout.ts";
import type { Host } from "../host/contract.ts";
import { SeededEntropy } from "../host/sim/host.ts";
import { doorbellAt, nextDeadline } from "../kernel/scheduler.ts";
import { createHartLoop } from "../machine/hart-parts.ts";
import { isStopping, stopMachine } from "../machine/life.ts";
import { createThread } from "../machine/thread-context.ts";
import type { WasmMemory, WasmModule } from "../riscv/wasm/api.ts";
import { Baton } from "./baton.ts";
import { batonOperations, type Shared } from "./baton-operations.ts";

interface BatonThreadCommon {
  readonly control: SharedArrayBuffer;
  readonly self: number;
  readonly threads: number;
  /** Number in the thread table, or any if there is none. */
  readonly thread: number;
  readonly slot: number;
  readonly heap: SharedArrayBuffer;
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
  self,
}: OperationThread): void {
  const host: Host = {
    clock: baton.clock,
    entropy: new SeededEntropy(1),
    parking: baton.parking(
      () => -1,
      () => 0,
      () => {},
    ),
  };
  const tx = new HookedTransaction({ heap, memory }, slot, createThread(thread, host), step);
  const { run } = batonOperations.find(({ name }) => name === operation)!;
  for (let round = 0; round < rounds; round++) {
    run(tx, shared, self);
    tx.commit();
  }
}

function runHart({ heap, memory, slot, thread, module, seed, self }: HartThread): void {
  const buffers = { heap, memory: memory.buffer as SharedArrayBuffer };
  let tx: HookedTransaction | undefined;
  const host: Host = {
    clock: baton.clock,
    entropy: new SeededEntropy(seed + self),
    parking: baton.parking(
      () => doorbellAt(tx!),
      () => nextDeadline(tx!),
      () => stopMachine(tx!),
    ),
  };
  tx = new HookedTransaction(buffers, slot, createThread(thread, host), step);
  const view = tx;
  Atomics.store(view.words, view.slotAt + SLOT.holder, thread);
  const loop = createHartLoop({ tx, host, memory, module, index: self, trace: undefined });
  loop.run(() => isStopping(view));
}

parentPort?.postMessage("ready");
baton.take();
try {
  if (data.kind === "operation") runOperation(data);
  else runHart(data);
} finally {
  baton.leave();
}
