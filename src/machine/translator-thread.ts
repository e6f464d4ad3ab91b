/**
 * The translator's thread: makes the regions that harts ask for, one after the other (riscv/region-maker.ts), or
 * publishes them as an earlier machine has made them. It keeps nothing that another in its place would miss: a
 * request that it dies of is not made again until somebody asks again.
 */

import { workerData } from "node:worker_threads";
import { CodeArea } from "../riscv/code-area.ts";
import { decodeRegions, encodeRegion, KeptRegions } from "../riscv/kept-regions.ts";
import { MappedCode, RegionMaker } from "../riscv/region-maker.ts";
import type { TranslatorThreadData } from "./thread-data.ts";
import { TranslationStore } from "./translation-store.ts";

/** Time without a request after which what is new is written, ms; and bytes at which it is written at once. */
const IDLE_MS = 1000;
const PENDING_MAX: number = 4 << 20;

const { memory, area, kept } = workerData as TranslatorThreadData;
const code = new MappedCode(memory.buffer);
const requests = new CodeArea(memory.buffer, area.at, area.bytes, area.harts);

const store = kept === undefined ? undefined : new TranslationStore(kept.folder, kept.image);
const known = new KeptRegions();
for (const body of store?.load() ?? []) for (const region of decodeRegions(body)) known.add(region);

let pending: Uint8Array[] = [];
let pendingBytes = 0;
/** Writes what is new. */
function write(): void {
  if (pending.length === 0) return;
  store?.append(Buffer.concat(pending));
  pending = [];
  pendingBytes = 0;
}

const maker = new RegionMaker(code, requests, {
  kept: known,
  made: (region) => {
    if (store === undefined) return;
    const record = encodeRegion(region);
    pending.push(record);
    pendingBytes += record.length;
    if (pendingBytes >= PENDING_MAX) write();
  },
});

for (;;) {
  // The bell is read first: it changes after what it tells of.
  const { word, value } = requests.bell();
  if (requests.isEnding) break;
  const request = requests.takeRequest();
  if (request !== undefined) maker.make(request.root, request.pc, request.hart);
  else if (pending.length === 0) Atomics.wait(code.words, word, value);
  else if (Atomics.wait(code.words, word, value, IDLE_MS) === "timed-out") write();
}
write();
