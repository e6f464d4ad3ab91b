/**
 * The I/O thread: the one thread of a machine that makes host calls which may block (rule R11). It takes
 * requests from the table of base/host-io.ts, carries them out one after the other, and says so there. It
 * keeps nothing: a thread that takes its place finds in the table all that is not done.
 */

import { parentPort, workerData } from "node:worker_threads";
import { IO_KIND, IO_REQUEST, IO_ROOT, IO_STATE, IO_TABLE } from "../base/host-io.ts";
import { HeapView } from "../heap/heap.ts";
import { HostFolders } from "../host/node/host-folder.ts";
import { type OpenImage, openImage } from "../image/image-file.ts";
import { ringDoorbell } from "../kernel/scheduler.ts";
import { errno } from "../base/errno.ts";
import type { IoThreadData } from "./thread-data.ts";

const FRAME_BYTES = 4096;

const data = workerData as IoThreadData;
Atomics.wait(new Int32Array(data.begun), 0, 0);
const view = new HeapView({ heap: data.heap, memory: data.memory.buffer as SharedArrayBuffer });
const words = view.words;
const root = view.root("host-io");
const images: OpenImage[] = data.images.map(({ path, digest, dataBlocks }) =>
  openImage(path, digest, dataBlocks),
);

const folders = new HostFolders(data.folders);

/** Reads verified blocks into the frames that the request names; a result or −errno. */
function readBlocks(request: number): number {
  const image = images[words[request + IO_REQUEST.device]!];
  if (image === undefined) return -errno.ENXIO.code;
  const first = words[request + IO_REQUEST.block]! >>> 0;
  const count = words[request + IO_REQUEST.count]!;
  const block = new Uint8Array(FRAME_BYTES);
  for (let i = 0; i < count; i++) {
    image.readBlock(first + i, block);
    view.memoryBytes.set(block, (words[request + IO_REQUEST.frames + i]! >>> 0) * FRAME_BYTES);
  }
  return count;
}

function carryOut(request: number): void {
  let result: number;
  try {
    const kind = words[request + IO_REQUEST.kind];
    if (kind === IO_KIND.READ_BLOCKS) result = readBlocks(request);
    else if (kind === IO_KIND.FOLDER) result = folders.serve(words, view.memoryBytes, request);
    else result = -errno.EINVAL.code;
  } catch (error) {
    // Whatever the host or the checker says, the guest sees an I/O error; the reason goes to the host's log.
    parentPort?.postMessage({
      kind: "io-error",
      text: error instanceof Error ? error.message : String(error),
    });
    result = -errno.EIO.code;
  }
  words[request + IO_REQUEST.result] = result;
  Atomics.store(words, request + IO_REQUEST.state, result < 0 ? IO_STATE.FAILED : IO_STATE.DONE);
  Atomics.add(words, root + IO_ROOT.completed, 1);
  ringDoorbell(view);
}

/** Carries out all that is queued; false if there was nothing. */
function drain(): boolean {
  let worked = false;
  for (let entry = 0; entry < IO_TABLE; entry++) {
    const request = Atomics.load(words, root + IO_ROOT.table + entry);
    if (request === 0 || Atomics.load(words, request + IO_REQUEST.state) !== IO_STATE.QUEUED) continue;
    carryOut(request);
    worked = true;
  }
  return worked;
}

parentPort?.postMessage({ kind: "ready" });
for (;;) {
  const submitted = Atomics.load(words, root + IO_ROOT.submitted);
  if (!drain()) Atomics.wait(words, root + IO_ROOT.submitted, submitted, 1000);
}
