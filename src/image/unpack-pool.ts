/**
 * Unpacks packages in worker threads. Decompression is nearly all of the work, and all of it is pure: bytes in,
 * bytes out. Measured on two cores: unpacking takes about half as long as in the thread that downloads.
 */

import { moduleExtension } from "../base/module-extension.ts";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { DebError, readDeb } from "./deb.ts";
import type { DebPackage } from "./deb.ts";
import type { UnpackReply, UnpackRequest } from "./unpack-worker.ts";

export interface UnpackPool {
  /** Takes `content` away from the caller. @throws {DebError} for a broken package. */
  unpack(content: Buffer): Promise<DebPackage>;
  close(): Promise<void>;
}

/** Packages below this size are done before a thread would have its first byte. */
const smallBytes = 256 * 1024;
/** More threads than this wait for the network. */
const mostThreads = 4;

interface Waiting {
  resolve(deb: DebPackage): void;
  reject(error: Error): void;
}

interface Thread {
  worker: Worker;
  waiting: Map<number, Waiting>;
}

/** A pool whose threads start when the first package of some size arrives. */
export function createUnpackPool(): UnpackPool {
  const threads: Thread[] = [];
  const most = Math.min(mostThreads, availableParallelism());
  let serial = 0;
  let closing = false;

  const start = (): Thread => {
    // The built package runs JavaScript, a checkout TypeScript; the compiler does not rewrite addresses.
    const worker = new Worker(new URL(`./unpack-worker${moduleExtension(import.meta.url)}`, import.meta.url));
    const thread: Thread = { worker, waiting: new Map() };
    worker.on("message", ({ id, deb, problem }: UnpackReply) => {
      const waiting = thread.waiting.get(id);
      thread.waiting.delete(id);
      if (deb !== undefined) waiting?.resolve(deb);
      else waiting?.reject(new DebError(problem ?? "unknown problem"));
    });
    const fail = (error: Error): void => {
      for (const waiting of thread.waiting.values()) waiting.reject(error);
      thread.waiting.clear();
    };
    worker.on("error", fail);
    worker.on("exit", (code) => {
      if (!closing) fail(new Error(`the unpacking thread ended with status ${code}`));
    });
    threads.push(thread);
    return thread;
  };

  /** The thread with the least to do; a new one while there may be more and none is idle. */
  const pick = (): Thread => {
    const idlest = threads.reduce<Thread | undefined>(
      (best, thread) => (best === undefined || thread.waiting.size < best.waiting.size ? thread : best),
      undefined,
    );
    if (idlest === undefined || (idlest.waiting.size > 0 && threads.length < most)) return start();
    return idlest;
  };

  return {
    unpack(content) {
      if (content.length < smallBytes || most < 2) return readDeb(content);
      const thread = pick();
      const id = ++serial;
      const whole = content.byteOffset === 0 && content.length === content.buffer.byteLength;
      const bytes = new Uint8Array(whole ? (content.buffer as ArrayBuffer) : new Uint8Array(content).buffer);
      return new Promise((resolve, reject) => {
        thread.waiting.set(id, { resolve, reject });
        thread.worker.postMessage({ id, content: bytes } satisfies UnpackRequest, [bytes.buffer]);
      });
    },
    async close() {
      closing = true;
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}
