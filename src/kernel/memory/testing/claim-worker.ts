/** One thread of pool.test.ts: claims frames that another thread wants, too, and gives them up. */

import { parentPort, workerData } from "node:worker_threads";
import type { WasmMemory } from "../../../base/webassembly.ts";
import { seededRandom } from "../../../base/random.ts";
import { Transaction } from "../../../heap/transaction.ts";
import { KernelThread } from "../../thread.ts";
import { drainFrames, dropFrame } from "../frames.ts";
import { memoryLayout } from "../layout.ts";
import { claim, CONTROL } from "../pool.ts";

interface ClaimData {
  readonly heap: WasmMemory;
  readonly memory: SharedArrayBuffer;
  readonly slot: number;
  /** For each frame the slot that has it. */
  readonly owners: SharedArrayBuffer;
}
const data = workerData as ClaimData;
const owners = new Int32Array(data.owners);
const random = seededRandom(data.slot);
const thread = new KernelThread(
  data.slot + 1,
  { monotonic: () => 0, realtime: () => 0 },
  { fill: () => {} },
  (tx, word, value) => void Atomics.wait(tx.words, word, value, 5),
);
const tx = new Transaction({ heap: data.heap, memory: data.memory }, data.slot, thread);
const pool = memoryLayout(tx).framePool;
const homes = tx.words[pool.controlAt + CONTROL.homes]!;
/** Frames that both threads want. */
const WANTED = 64;

/** Rounds, and most of them until the threads have met: on a busy machine one may have the processor for long. */
const ROUNDS = 20_000;
const ROUNDS_MAX = 2_000_000;

// Both begin together. Frame 0 is nobody's, so its word counts those that are there.
Atomics.add(owners, 0, 1);
Atomics.notify(owners, 0);
Atomics.wait(owners, 0, 1, 30_000);
let got = 0;
let missed = 0;
for (let round = 0; round < ROUNDS || (missed === 0 && round < ROUNDS_MAX); round++) {
  const item = homes + random.below(WANTED);
  const count = claim(tx, pool, item, 1 + random.below(16));
  if (random.below(8) === 0) {
    tx.rollback();
    continue;
  }
  tx.commit();
  if (count === 0) missed++;
  got += count;
  for (let i = item; i < item + count; i++) {
    if (Atomics.compareExchange(owners, i, 0, data.slot) !== 0) throw new Error(`frame ${i} is had twice`);
  }
  for (let i = item; i < item + count; i++) Atomics.store(owners, i, 0);
  for (let i = item; i < item + count; i++) dropFrame(tx, i);
  tx.commit();
}
drainFrames(tx);
parentPort?.postMessage({ got, missed });
