/**
 * A whole machine in the calling thread, for campaigns: the state that src/machine builds, one or more harts
 * that take turns in this thread, a simulated host, and transactions with a hook. Its root file system is
 * empty memory.
 *
 * Between two turns everything is in the heap and in the guest memory, so copies of the two buffers are a
 * snapshot.
 */

import { readFileSync } from "node:fs";
import { errnoOf } from "../base/errno.ts";
import type { HeapBuffers } from "../heap/heap.ts";
import { HookedTransaction, type Transaction, type TransactionHook } from "../heap/transaction.ts";
import { SLOT } from "../heap/layout.ts";
import { SeededEntropy, simulatedHost, type SimulatedHost, type WaitObserver } from "../host/sim/host.ts";
import type { HartLoop } from "../kernel/hart.ts";
import {
  CALL_STATE,
  finishedAt,
  freeHostCall,
  HostCall,
  hostBuffer,
  hostCallResult,
  type HostOperation,
  postHostCall,
  takeHostCall,
} from "../kernel/host-call.ts";
import { registerThread, ROLE } from "../kernel/placement/threads.ts";
import type { Hart } from "../kernel/scheduler.ts";
import { hartOf } from "../kernel/scheduler.ts";
import { KernelThread } from "../kernel/thread.ts";
import { createHartLoop } from "../machine/hart-parts.ts";
import { tier0Module } from "../machine/interpreter.ts";
import { SPAWN_RESULT, type SpawnPayload } from "../machine/host-spawn.ts";
import { createSystem, FIRST_HART_SLOT, type SystemBuffers } from "../machine/system.ts";
import { instantiateTier0, type Tier0, type Tier0Imports } from "../riscv/tier0.ts";
import { memoryLayout } from "../kernel/memory/layout.ts";

export interface MachineOptions {
  readonly memory?: number;
  readonly heap?: number;
  readonly harts?: number;
  readonly seed?: number;
  /** Entropy that gives the same bytes at every call: for operations that are run again. */
  readonly fixedEntropy?: boolean;
  readonly onWait?: WaitObserver;
}

const MEMORY_BYTES: number = 32 * 2 ** 20;
const HEAP_BYTES: number = 12 * 2 ** 20;
const TASKS_MAX = 64;
const idle: TransactionHook = () => {};

/** One hart of the machine. */
export interface SimulatedHart {
  readonly index: number;
  readonly tx: HookedTransaction;
  readonly loop: HartLoop;
  readonly hart: Hart;
}

/** What a host call gave. */
export interface HostResult {
  readonly result: number;
  readonly results: readonly number[];
  readonly buffer: Uint8Array;
}

export class OneThreadMachine {
  readonly host: SimulatedHost;
  readonly thread: KernelThread;
  readonly system: SystemBuffers;
  readonly buffers: HeapBuffers;
  readonly harts: readonly SimulatedHart[];

  constructor(options: MachineOptions = {}) {
    const entropy = new SeededEntropy(options.seed ?? 1, { fixed: options.fixedEntropy ?? false });
    this.host = simulatedHost(entropy, options.onWait);
    this.thread = new KernelThread(1, this.host.clock, entropy, () => {
      throw new Error("a lock is contended in one thread");
    });
    const harts = options.harts ?? 1;
    this.system = createSystem(
      {
        memory: options.memory ?? MEMORY_BYTES,
        heap: options.heap ?? HEAP_BYTES,
        harts,
        tasksMax: TASKS_MAX,
        hostname: "campaign",
      },
      this.thread,
    );
    this.buffers = { heap: this.system.heap, memory: this.system.memory.buffer as SharedArrayBuffer };
    this.harts = Array.from({ length: harts }, (_, index) => this.#createHart(index));
  }

  #createHart(index: number): SimulatedHart {
    const tx = new HookedTransaction(this.buffers, FIRST_HART_SLOT + index, this.thread, idle);
    const thread = registerThread(tx, ROLE.HART);
    // All harts are this thread; each slot's holder is a number of its own, as in a machine of many threads.
    const own = new KernelThread(thread, this.host.clock, this.thread.entropy, () => {
      throw new Error("a lock is contended in one thread");
    });
    const slot = new HookedTransaction(this.buffers, FIRST_HART_SLOT + index, own, idle);
    Atomics.store(slot.words, slot.slotAt + SLOT.holder, thread);
    const loop = createHartLoop({
      tx: slot,
      host: this.host,
      memory: this.system.memory,
      module: tier0Module(),
      index,
      trace: undefined,
    });
    return { index, tx: slot, loop, hart: hartOf(slot, index) };
  }

  /** Another instance of tier 0, with imports of one's own. */
  translator(imports: Omit<Tier0Imports, "memory" | "tables">): Tier0 {
    const { memory } = this.system;
    const { tier0 } = memoryLayout(this.harts[0]!.tx);
    return instantiateTier0(tier0Module(), { memory, tables: tier0, ...imports });
  }

  /** Any view of the machine's state. */
  get view(): Transaction {
    return this.harts[0]!.tx;
  }

  /** Makes a call of the host; `turn` lets the machine work until it is done. */
  hostCall(
    operation: HostOperation,
    args: readonly number[],
    payload: Uint8Array,
    turn: () => void,
  ): HostResult {
    const { view } = this;
    const record = takeHostCall(view);
    if (record === undefined) throw new Error("all host calls are in use");
    hostBuffer(view, record).set(payload);
    postHostCall(view, record, operation, args, payload.length);
    while (Atomics.load(view.words, HostCall.state.at(record)) !== CALL_STATE.DONE) turn();
    const result = hostCallResult(view, record);
    const results = Array.from({ length: 8 }, (_, index) => HostCall.results.get(view, record, index));
    const buffer = hostBuffer(view, record).slice();
    freeHostCall(view, record);
    Atomics.load(view.words, finishedAt(view));
    if (result < 0) throw new Error(`${operation}: ${errnoOf(-result).name}`);
    return { result, results, buffer };
  }
}

const encoder = new TextEncoder();
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const CHUNK = 32768;

/** Mounts what every machine has and makes /tmp and /bin. */
export function startMachine(machine: OneThreadMachine, turn: () => void): void {
  machine.hostCall("start", [], new Uint8Array(), turn);
  for (const [path, mode] of [
    ["/tmp", 0o1777],
    ["/bin", 0o755],
  ] as const) {
    const bytes = encoder.encode(path);
    machine.hostCall("mkdir", [bytes.length, mode], bytes, turn);
    // The umask has taken bits away.
    machine.hostCall("chmod", [bytes.length, mode], bytes, turn);
  }
}

/** Puts a file of the host into the machine, executable. */
export function installProgram(
  machine: OneThreadMachine,
  hostPath: string,
  path: string,
  turn: () => void,
): void {
  const name = encoder.encode(path);
  const flags = O_WRONLY | O_CREAT | O_TRUNC;
  const file = machine.hostCall("open", [name.length, flags, 0o755], name, turn).result;
  const content = new Uint8Array(readFileSync(hostPath));
  for (let at = 0; at < content.length; ) {
    const part = content.subarray(at, at + CHUNK);
    at += machine.hostCall("write", [file, part.length, -1], part, turn).result;
  }
  machine.hostCall("close", [file], new Uint8Array(), turn);
}

/** A started program: its pid and the host's ends of its standard streams (open files). */
export interface Spawned {
  readonly pid: number;
  readonly input: number;
  readonly output: number;
  readonly error: number;
}

/** Starts a program of the machine. */
export function spawnProgram(
  machine: OneThreadMachine,
  argv: readonly string[],
  turn: () => void,
  options: Partial<SpawnPayload> = {},
): Spawned {
  const payload: SpawnPayload = {
    argv,
    env: ["PATH=/bin"],
    path: ["/bin"],
    cwd: "/tmp",
    uid: 0,
    gid: 0,
    groups: [],
    ...options,
  };
  const { results } = machine.hostCall("spawn", [], encoder.encode(JSON.stringify(payload)), turn);
  return {
    pid: results[SPAWN_RESULT.pid]!,
    input: results[SPAWN_RESULT.input]!,
    output: results[SPAWN_RESULT.output]!,
    error: results[SPAWN_RESULT.error]!,
  };
}
