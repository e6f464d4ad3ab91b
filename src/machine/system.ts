/**
 * The state of a new machine, built in one thread before any other exists. What follows, in this order, is the
 * whole boot: laying out both buffers, then the records of each part, then (by the first host call, on a hart)
 * the mounts.
 */

import { encodeUtf8 } from "../base/text.ts";
import { createHeap } from "../heap/heap.ts";
import { Transaction } from "../heap/transaction.ts";
import { placeAccounts } from "../kernel/account.ts";
import { createHostIo } from "../kernel/block-io.ts";
import { createFutexes } from "../kernel/futex.ts";
import { createHostCalls, HOST_CALLS } from "../kernel/host-call.ts";
import { createLedger } from "../kernel/ledger.ts";
import { hartBlock, hostCallBuffer, memoryLayout, placeMemory } from "../kernel/memory/layout.ts";
import { placeSafepoints } from "../kernel/memory/safepoint.ts";
import { type Placements, placeServers } from "../kernel/placement.ts";
import { placeThreads } from "../kernel/placement/threads.ts";
import { createKernel, kernelOf } from "../kernel/process.ts";
import { createScheduler, Hart, hartOf } from "../kernel/scheduler.ts";
import { Kernel } from "../kernel/task.ts";
import type { KernelThread } from "../kernel/thread.ts";
import { type WasmMemory, WebAssembly } from "../base/webassembly.ts";
import { TRAMPOLINE_CODE } from "../linux/signal-frame.ts";
import { createAuth } from "../servers/auth/auth.ts";
import { placeFifos } from "../servers/pipe/fifo.ts";
import { placeSockets } from "../servers/socket/state.ts";
import { placeTerminals } from "../servers/tty/tty.ts";
import { createVfs } from "../servers/vfs/boot.ts";
import { tier0Tables } from "./interpreter.ts";
import { placeLife } from "./life.ts";

/** The slot from which the state is built, and the first slot of the harts. */
export const BOOT_SLOT = 0;
export const FIRST_HART_SLOT = 1;
/** Slots beyond those of the harts: requests that are lent to servers with threads of their own. */
const SPARE_SLOTS = 8;
const WASM_PAGE = 65536;

export interface SystemOptions {
  /** Bytes of guest memory, a multiple of 64 KiB. */
  readonly memory: number;
  /** Bytes of the heap. */
  readonly heap: number;
  readonly harts: number;
  /** Tasks that can exist at once. */
  readonly tasksMax: number;
  readonly hostname: string;
  /** Number of the device that holds the root image; left out: the root is empty memory. */
  readonly rootDevice?: number;
  /** Bytes of the translator's code area; left out: tier 0 runs alone. */
  readonly codeBytes?: number;
  readonly placements?: Placements;
}

export interface SystemBuffers {
  readonly heap: WasmMemory;
  readonly memory: WasmMemory;
}

/** The two buffers, with nothing in them but the heap's own header. */
export function createBuffers(options: SystemOptions): SystemBuffers {
  const pages = options.memory / WASM_PAGE;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const heap = createHeap({ bytes: options.heap, slots: FIRST_HART_SLOT + options.harts + SPARE_SLOTS });
  return { heap, memory };
}

/** Buffers with the state of a machine that has not begun. */
export function createSystem(options: SystemOptions, thread: KernelThread): SystemBuffers {
  const buffers = createBuffers(options);
  buildSystem(buffers, options, thread);
  return buffers;
}

/** Builds the state in fresh buffers, in a transaction that works for `thread`. */
export function buildSystem(buffers: SystemBuffers, options: SystemOptions, thread: KernelThread): void {
  const { heap, memory } = buffers;
  const tables = tier0Tables();
  const tx = new Transaction({ heap, memory: memory.buffer as SharedArrayBuffer }, BOOT_SLOT, thread);

  placeThreads(tx);
  placeLife(tx);
  placeMemory(tx, {
    trampoline: TRAMPOLINE_CODE,
    harts: options.harts,
    tier0Bytes: tables.length,
    codeBytes: options.codeBytes ?? 0,
    tasksMax: options.tasksMax,
    hostCalls: HOST_CALLS,
  });
  placeSafepoints(tx);
  const { tier0 } = memoryLayout(tx);
  tx.memoryBytes.set(tables, tier0);

  createLedger(tx);
  createKernel(tx, options.tasksMax, thread.clock.monotonic());
  createScheduler(tx, options.harts, options.tasksMax);
  for (let i = 0; i < options.harts; i++) Hart.blockAt.init(tx, hartOf(tx, i), hartBlock(tx, i) / 4);
  nameMachine(tx, options.hostname);
  createFutexes(tx);
  placeAccounts(tx);
  createHostIo(tx);
  placeServers(tx, options.placements ?? {});
  createAuth(tx);
  placeFifos(tx);
  placeTerminals(tx);
  placeSockets(tx);
  tx.commit();
  createVfs(tx, options.rootDevice === undefined ? {} : { device: options.rootDevice });
  tx.commit();
  createHostCalls(tx, (index) => hostCallBuffer(tx, index));
}

function nameMachine(tx: Transaction, hostname: string): void {
  const kernel = kernelOf(tx);
  const put = (at: number, text: string): void => {
    tx.bytes.set(encodeUtf8(text).subarray(0, 64), at * 4);
  };
  put(Kernel.hostname.at(kernel, 0), hostname);
  put(Kernel.domainname.at(kernel, 0), "(none)");
}
