/** Runs in baton mode: an operation of several threads, or a whole machine whose harts are threads. */

import { Worker } from "node:worker_threads";
import { moduleExtension } from "../base/module-extension.ts";
import { checkHeap, liveRecords, type Violation } from "../heap/check.ts";
import { createHeap } from "../heap/heap.ts";
import { Transaction } from "../heap/transaction.ts";
import { registerThread, ROLE } from "../kernel/placement/threads.ts";
import { leaveSpace } from "../kernel/memory/safepoint.ts";
import { abandonHart, Hart } from "../kernel/scheduler.ts";
import { low, X } from "../kernel/registers.ts";
import { RUN, Task } from "../kernel/task.ts";
import { KernelThread } from "../kernel/thread.ts";
import { FIRST_HART_SLOT } from "../machine/system.ts";
import { batonTrace, createBaton, startBaton } from "./baton.ts";
import { batonOperations, Shared } from "./baton-operations.ts";
import type { BatonThreadData, HartThread, OperationThread } from "./baton-thread.ts";
import { installProgram, OneThreadMachine, spawnProgram, startMachine } from "./machine.ts";
import { tier0Module } from "../machine/interpreter.ts";

const entry = new URL(`./baton-thread${moduleExtension(import.meta.url)}`, import.meta.url);
const HEAP_BYTES: number = 8 * 2 ** 20;

/** Starts the threads, gives the first one the baton when all are ready, and waits for their ends. */
async function runThreads(control: SharedArrayBuffer, threads: readonly BatonThreadData[]): Promise<void> {
  const workers = threads.map((workerData) => new Worker(entry, { workerData }));
  const ends = workers.map(
    (worker) =>
      new Promise<void>((resolve, reject) => {
        worker.on("error", reject);
        worker.on("exit", () => resolve());
      }),
  );
  await Promise.all(
    workers.map(
      (worker) =>
        new Promise<void>((resolve) => {
          worker.on("message", () => resolve());
        }),
    ),
  );
  startBaton(control);
  try {
    await Promise.all(ends);
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

export interface BatonResult {
  /** Hash of the decisions, and how often the baton was passed on. */
  readonly hash: string;
  readonly switches: number;
  /** What is wrong; nothing if all is well. */
  readonly problems: readonly string[];
}

const describe = ({ invariant, text }: Violation): string => `${invariant}: ${text}`;

/** Runs an operation of baton-operations.ts in several threads. */
export async function runOperation(
  name: string,
  seed: number,
  threads = 3,
  rounds = 10,
): Promise<BatonResult> {
  const operation = batonOperations.find((each) => each.name === name);
  if (operation === undefined) throw new Error(`there is no operation "${name}"`);
  const buffers = {
    heap: createHeap({ bytes: HEAP_BYTES, slots: threads + 1 }),
    memory: new SharedArrayBuffer(65536),
  };
  const clock = { monotonic: () => 0, realtime: () => 0 };
  const self = new KernelThread(1, clock, { fill: () => {} }, () => {});
  const tx = new Transaction(buffers, threads, self);
  const shared = Shared.allocate(tx);
  tx.commit();
  const control = createBaton(seed, threads);
  const data = Array.from(
    { length: threads },
    (_, index): OperationThread => ({
      kind: "operation",
      ...buffers,
      control,
      self: index,
      threads,
      thread: index + 2,
      slot: index,
      operation: name,
      shared,
      rounds,
    }),
  );
  const problems: string[] = [];
  await runThreads(control, data).catch((error: unknown) => {
    problems.push(error instanceof Error ? error.message : String(error));
  });
  const wrong = operation.check(tx, shared, threads, rounds);
  if (wrong !== undefined) problems.push(wrong);
  problems.push(...checkHeap(tx).slice(0, 5).map(describe));
  return { ...batonTrace(control), problems };
}

/** Runs programs in a machine whose harts are threads in baton mode; what they print comes with the result. */
export async function runMachine(
  programs: readonly { readonly name: string; readonly file: string }[],
  seed: number,
  harts = 2,
): Promise<BatonResult & { readonly outputs: readonly string[] }> {
  const machine = new OneThreadMachine({ harts, seed });
  const turn = prepare(machine);
  startMachine(machine, turn);
  for (const { name, file } of programs) installProgram(machine, file, `/bin/${name}`, turn);
  const spawned = programs.map(({ name }, index) =>
    spawnProgram(machine, [name], turn, { cwd: `/tmp/${index}` }),
  );
  for (const { input } of spawned) machine.hostCall("close", [input], new Uint8Array(), turn);
  const control = createBaton(seed, harts);
  const data = machine.harts.map(
    ({ index }): HartThread => ({
      kind: "hart",
      ...machine.system,
      control,
      self: index,
      threads: harts,
      thread: registerThread(machine.view, ROLE.HART),
      slot: FIRST_HART_SLOT + index,
      module: tier0Module(),
      seed,
    }),
  );
  const problems: string[] = [];
  await runThreads(control, data).catch((error: unknown) => {
    problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  });
  problems.push(...unfinished(machine));
  const outputs = problems.length > 0 ? [] : spawned.map(({ output }) => readAll(machine, output, turn));
  problems.push(...checkHeap(machine.view).slice(0, 5).map(describe));
  return { ...batonTrace(control), problems, outputs };
}

const NOT_YET: { readonly notYet: true } = { notYet: true };

/** Turns of the first hart in which calls of the host are carried out and no program runs. */
function prepare(machine: OneThreadMachine): () => void {
  const { loop, tx, hart } = machine.harts[0]!;
  loop.attach({
    run: () => {
      throw NOT_YET;
    },
  });
  return () => {
    try {
      loop.turn();
    } catch (error) {
      if (error !== NOT_YET) throw error;
      tx.words[Hart.inUser.at(hart)] = 0;
      abandonHart(tx, hart);
      tx.commit();
      leaveSpace(tx);
    }
  };
}

/** The tasks of programs that have not come to their end, each with the call that it is in. */
function unfinished(machine: OneThreadMachine): string[] {
  const { view } = machine;
  return [...liveRecords(view, Task.schema)]
    .filter((task) => Task.tid.get(view, task) !== 0 && Task.run.get(view, task) !== RUN.DEAD)
    .map((task) => {
      const call = low(view, Task.registers.get(view, task), X.a7);
      const run = Object.entries(RUN).find(([, value]) => value === Task.run.get(view, task))?.[0] ?? "?";
      return `task ${Task.tid.get(view, task)} has not ended: ${run}, call ${call}`;
    });
}

/** What lies in a pipe whose writers have gone. */
function readAll(machine: OneThreadMachine, file: number, turn: () => void): string {
  const decoder = new TextDecoder();
  for (let text = ""; ; ) {
    const { result, buffer } = machine.hostCall("read", [file, 65536, -1], new Uint8Array(), turn);
    if (result === 0) return text;
    text += decoder.decode(buffer.subarray(0, result), { stream: true });
  }
}
