/**
 * The translator's thread: makes the regions that harts ask for, one after the other (riscv/region-maker.ts).
 * It keeps nothing that another in its place would miss: a request that it dies of is not made again until
 * somebody asks again.
 */

import { workerData } from "node:worker_threads";
import { CodeArea } from "../riscv/code-area.ts";
import { MappedCode, RegionMaker } from "../riscv/region-maker.ts";
import type { TranslatorThreadData } from "./thread-data.ts";

const { memory, area } = workerData as TranslatorThreadData;
const code = new MappedCode(memory.buffer);
const requests = new CodeArea(memory.buffer, area.at, area.bytes, area.harts);
const maker = new RegionMaker(code, requests);

for (;;) {
  const { word, value } = requests.bell();
  const request = requests.takeRequest();
  if (request === undefined) Atomics.wait(code.words, word, value);
  else maker.make(request.root, request.pc, request.hart);
}
