/** The thread behind unpack-pool.ts: takes the bytes of a package, answers with what is in it. */

import { parentPort } from "node:worker_threads";
import { DebError, readDeb } from "./deb.ts";
import type { DebPackage } from "./deb.ts";

/** What the pool sends. */
export interface UnpackRequest {
  id: number;
  content: Uint8Array<ArrayBuffer>;
}

/** What it gets back: `deb`, or why the package is broken. */
export interface UnpackReply {
  id: number;
  deb?: DebPackage;
  problem?: string;
}

const port = parentPort;
port?.on("message", ({ id, content }: UnpackRequest) => {
  void readDeb(content).then(
    (deb) => port.postMessage({ id, deb } satisfies UnpackReply, [deb.data.buffer as ArrayBuffer]),
    (error: unknown) => {
      if (!(error instanceof DebError)) throw error; // Ends the thread; the pool reports it.
      port.postMessage({ id, problem: error.message } satisfies UnpackReply);
    },
  );
});
