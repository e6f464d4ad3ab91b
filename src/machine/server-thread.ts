/** The thread of a server in `worker` placement: loads that server and serves its calls. */

import { workerData } from "node:worker_threads";
import { HeapView } from "../heap/heap.ts";
import { nodeHost } from "../host/node/host.ts";
import { serveHere, type ServerName } from "../kernel/placement.ts";
import { transactionsOf } from "./fault-control.ts";
import { createServerThread } from "./thread-context.ts";
import type { ServerThreadData } from "./thread-data.ts";

/** What each server needs to have loaded: itself, and all that registers with it. */
const LOADERS: { readonly [N in ServerName]: () => Promise<unknown> } = {
  auth: () => import("../servers/auth/auth.ts"),
  event: () => import("./parts.ts"),
  pipe: () => import("../servers/pipe/pipe-server.ts"),
  socket: () => import("./parts.ts"),
  tty: () => import("./parts.ts"),
  vfs: () => import("./parts.ts"),
};

const { heap, memory, thread: number, server, faults } = workerData as ServerThreadData;
const buffers = { heap, memory: memory.buffer as SharedArrayBuffer };
const host = nodeHost();
const thread = createServerThread(number, host);
await LOADERS[server]();
serveHere(
  server,
  new HeapView(buffers),
  number,
  { parking: host.parking, spins: 0 },
  transactionsOf(buffers, thread, faults, server),
);
