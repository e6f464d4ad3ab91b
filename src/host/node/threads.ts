/** Threads in Node: worker threads. */

import { Worker } from "node:worker_threads";
import type { HostThread, HostThreads, ThreadRole } from "../contract.ts";

/** Starts threads from the entry file of each role, as the machine names them. */
export function nodeThreads(entries: { readonly [R in ThreadRole]: URL }): HostThreads {
  return {
    start: (role: ThreadRole, data: unknown): HostThread => {
      const worker = new Worker(entries[role], {
        workerData: data,
        name: `coppice-${role}`,
        stdin: false,
      });
      let ended: { error: Error | undefined } | undefined;
      let lastError: Error | undefined;
      const hearers: ((error: Error | undefined) => void)[] = [];
      worker.on("error", (error: unknown) => {
        lastError = error instanceof Error ? error : new Error(String(error));
      });
      worker.on("exit", () => {
        ended = { error: lastError };
        for (const hear of hearers) hear(lastError);
      });
      return {
        end: async () => {
          await worker.terminate();
        },
        onEnd: (hear) => {
          if (ended === undefined) hearers.push(hear);
          else hear(ended.error);
        },
        onMessage: (hear) => void worker.on("message", hear),
        post: (message) => worker.postMessage(message),
      };
    },
  };
}
