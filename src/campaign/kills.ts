/**
 * Real kills (rule R15): harts are worker threads; one that works in the kernel is stopped inside the store
 * hook at a step that a seed has drawn, ended for good, recovered as the warden does it, and replaced, while
 * unmodified programs run. What these print must be what they print without kills.
 *
 *     arm ──▶ the hart counts its steps ──▶ parked in the hook ──▶ terminate ──▶ recover ──▶ a new hart
 */

import { readFileSync } from "node:fs";
import { moduleExtension } from "../base/module-extension.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { checkHeap, type Violation } from "../heap/check.ts";
import { type HeapBuffers, HeapView } from "../heap/heap.ts";
import { SLOT } from "../heap/layout.ts";
import { Transaction } from "../heap/transaction.ts";
import type { HostThread } from "../host/contract.ts";
import { nodeHost } from "../host/node/host.ts";
import { nodeThreads } from "../host/node/threads.ts";
import { crashCount } from "../kernel/ledger.ts";
import { memoryLayout } from "../kernel/memory/layout.ts";
import { CONTROL as POOL_CONTROL } from "../kernel/memory/pool.ts";
import { markSlotIdle } from "../kernel/memory/safepoint.ts";
import { isDead, markDead, registerThread, ROLE } from "../kernel/placement/threads.ts";
import { type HartDeath, recoverHart } from "../kernel/recovery.ts";
import { hartOf, ringDoorbell } from "../kernel/scheduler.ts";
import type { KernelThread } from "../kernel/thread.ts";
import type { ExitStatus } from "../machine/api.ts";
import { GuestFiles } from "../machine/guest-files.ts";
import { RunningProcess } from "../machine/guest-process.ts";
import { HostCalls } from "../machine/host-calls.ts";
import { SPAWN_RESULT, type SpawnPayload } from "../machine/host-spawn.ts";
import { stopMachine } from "../machine/life.ts";
import { createSystem, FIRST_HART_SLOT, type SystemBuffers } from "../machine/system.ts";
import { createThread } from "../machine/thread-context.ts";
import { describeMachine } from "./describe.ts";
import { CONTROL, CONTROL_BYTES, CONTROL_STATE, POINTS } from "./kill-control.ts";
import type { KillHartData } from "./kill-hart.ts";
import { tier0Module } from "../machine/interpreter.ts";

/** A program of the workload. */
export interface Workload {
  readonly name: string;
  /** Path of the ELF on the host. */
  readonly file: string;
  readonly args: readonly string[];
}

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
  readonly harts: number;
  readonly workload: readonly Workload[];
  /** Programs that run at the same time. */
  readonly parallel: number;
  /** Ends the campaign before all kills are made. */
  readonly isOver?: () => boolean;
  readonly onKill?: (kill: Kill, number: number) => void;
  readonly onProblem?: (text: string) => void;
}

/** One kill: where the thread stood, and what the task that it ran had been doing. */
export interface Kill {
  readonly point: string;
  readonly site: string;
  readonly death: HartDeath | undefined;
}

export interface KillReport {
  /** Frames in use when the first program without kills was over, and at the end. */
  readonly frames: readonly [before: number, after: number];
  readonly kills: readonly Kill[];
  /** Programs that ran to their end, and those that did not print what they should. */
  readonly programs: number;
  readonly wrong: readonly string[];
  readonly violations: readonly Violation[];
  /** Failures by a bug that the kernel has counted, and harts that a bug has ended. */
  readonly crashes: number;
  readonly accidents: number;
}

const MEMORY_BYTES: number = 128 * 2 ** 20;
const HEAP_BYTES: number = 64 * 2 ** 20;
const TASKS_MAX = 512;
/** Steps that an armed hart makes at most before it stops. */
const STEPS_MAX = 2000;
/** Time for an armed hart to come to its step, ms; then another is armed. */
const PATIENCE_MS = 1000;
/** A program that takes longer hangs, ms. A hart that is replaced loads its code anew, on a busy machine for seconds. */
const PROGRAM_MS = 300_000;

interface Hart {
  thread: HostThread;
  number: number;
  readonly control: Int32Array<SharedArrayBuffer>;
}

interface WaitAsync {
  readonly async: boolean;
  readonly value: Promise<string> | string;
}
const waitAsync = (
  Atomics as unknown as {
    waitAsync(words: Int32Array, index: number, value: number, ms: number): WaitAsync;
  }
).waitAsync;

/** What a program printed and how it ended. */
interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: ExitStatus;
  /** Why what it left could not be removed. */
  readonly removal: string | undefined;
}

/** The machine, and the parent of its harts. */
class KillMachine {
  readonly #options: KillOptions;
  readonly #system: SystemBuffers;
  readonly #view: HeapView;
  readonly #self: KernelThread;
  readonly #harts: Hart[] = [];
  readonly #chance: Random;
  readonly #threads = nodeThreads({
    hart: new URL(`./kill-hart${moduleExtension(import.meta.url)}`, import.meta.url),
    warden: new URL(import.meta.url),
    io: new URL(import.meta.url),
    translator: new URL(import.meta.url),
    server: new URL(import.meta.url),
  });
  readonly calls: HostCalls;
  readonly files: GuestFiles;
  /** Harts that died of a bug, not of a kill. */
  #accidents = 0;
  readonly #closed: Promise<void>;
  #close: () => void = () => {};

  constructor(options: KillOptions) {
    this.#options = options;
    this.#chance = seededRandom(options.seed);
    this.#closed = new Promise((resolve) => {
      this.#close = resolve;
    });
    const host = nodeHost();
    const sizes = { memory: MEMORY_BYTES, heap: HEAP_BYTES, tasksMax: TASKS_MAX, harts: options.harts };
    this.#system = createSystem({ ...sizes, hostname: "kills" }, createThread(1, host));
    this.#view = new HeapView(this.#buffers);
    this.#self = createThread(registerThread(this.#view, ROLE.WARDEN), host);
    this.calls = new HostCalls(this.#view);
    this.files = new GuestFiles(this.calls);
    for (let index = 0; index < options.harts; index++) {
      const control = new Int32Array(new SharedArrayBuffer(CONTROL_BYTES));
      this.#harts.push({ ...this.#startHart(index, control), control });
    }
  }

  get #buffers(): HeapBuffers {
    return { heap: this.#system.heap, memory: this.#system.memory.buffer as SharedArrayBuffer };
  }

  #startHart(index: number, control: Int32Array<SharedArrayBuffer>): { thread: HostThread; number: number } {
    const number = registerThread(this.#view, ROLE.HART);
    const data: KillHartData = {
      ...this.#system,
      thread: number,
      hart: index,
      slot: FIRST_HART_SLOT + index,
      module: tier0Module(),
      strace: false,
      control: control.buffer,
    };
    const thread = this.#threads.start("hart", data);
    thread.onMessage((message) => this.#options.onProblem?.(JSON.stringify(message)));
    thread.onEnd((error) => {
      if (error !== undefined)
        this.#options.onProblem?.(`hart ${index} died by itself: ${error.stack ?? ""}`);
    });
    return { thread, number };
  }

  /** Kills one hart; undefined if the one that was armed had nothing to do. */
  async kill(): Promise<Kill | undefined> {
    const index = this.#chance.below(this.#harts.length);
    const hart = this.#harts[index]!;
    const { control } = hart;
    control[CONTROL.point] = this.#chance.below(POINTS.length);
    control[CONTROL.count] = 1 + this.#chance.below(this.#chance.below(2) === 0 ? 50 : STEPS_MAX);
    Atomics.store(control, CONTROL.state, CONTROL_STATE.ARMED);
    const waiting = waitAsync(control, CONTROL.state, CONTROL_STATE.ARMED, PATIENCE_MS);
    if (waiting.async) await waiting.value;
    const { ARMED, RUNNING } = CONTROL_STATE;
    if (Atomics.compareExchange(control, CONTROL.state, ARMED, RUNNING) === ARMED) return undefined;
    const text = new TextDecoder().decode(
      new Uint8Array(control.buffer, CONTROL.text * 4, control[CONTROL.length]).slice(),
    );
    await hart.thread.end();
    const death = this.#recover(index, hart.number);
    Atomics.store(control, CONTROL.state, CONTROL_STATE.RUNNING);
    Object.assign(hart, this.#startHart(index, control));
    const [point = "", site = ""] = text.split(" ");
    return { point, site, death };
  }

  /** What the warden does when a hart's end is confirmed. */
  #recover(index: number, number: number): HartDeath | undefined {
    const slot = FIRST_HART_SLOT + index;
    markDead(this.#view, number);
    const tx = new Transaction(this.#buffers, slot, this.#self);
    Atomics.store(tx.words, tx.slotAt + SLOT.owner, 0);
    const death = recoverHart(tx, hartOf(tx, index), this.#self.id, (each) => isDead(tx, each));
    markSlotIdle(tx, slot);
    ringDoorbell(tx);
    return death;
  }

  async start(): Promise<void> {
    await this.calls.call("start", []);
    await this.files.mkdir("/bin");
    await this.files.mkdir("/tmp");
    await this.files.chmod("/tmp", 0o1777);
    for (const { name, file } of this.#options.workload) {
      await this.files.writeFile(`/bin/${name}`, readFileSync(file), { mode: 0o755 });
    }
  }

  /** Frames of guest memory that somebody counts on. */
  get framesInUse(): number {
    const { referencesAt, controlAt } = memoryLayout(this.#view).framePool;
    const first = this.#view.words[controlAt + POOL_CONTROL.first]!;
    const end = this.#view.words[controlAt + POOL_CONTROL.end]!;
    let count = 0;
    for (let frame = first; frame < end; frame++) if (this.#view.memory[referencesAt + frame] !== 0) count++;
    return count;
  }

  /** Runs one program; what it gave, or undefined if it hangs. */
  async run({ name, args }: Workload, number: number): Promise<Outcome | undefined> {
    const payload: SpawnPayload = {
      argv: [`/bin/${name}`, ...args],
      env: ["PATH=/bin"],
      path: ["/bin"],
      cwd: `/tmp/${number}`,
      uid: 0,
      gid: 0,
      groups: [],
    };
    const ends = await this.calls.call(
      "spawn",
      [],
      new TextEncoder().encode(JSON.stringify(payload)),
      ({ results }) => results,
    );
    const child = new RunningProcess(
      { calls: this.calls, closed: this.#closed },
      {
        pid: ends[SPAWN_RESULT.pid]!,
        input: ends[SPAWN_RESULT.input]!,
        output: ends[SPAWN_RESULT.output]!,
        error: ends[SPAWN_RESULT.error]!,
        isTerminal: false,
      },
      "null",
    );
    const outcome = Promise.all([text(child.stdout), text(child.stderr), child.wait()]);
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<"hangs">((resolve) => {
      timer = setTimeout(() => resolve("hangs"), PROGRAM_MS);
    });
    const result = await Promise.race([outcome, patience]);
    clearTimeout(timer);
    if (result === "hangs") {
      this.#options.onProblem?.(describeMachine(this.#view));
      return undefined;
    }
    const [stdout, stderr, status] = result;
    // What it leaves must not fill the memory of those that follow.
    const removal = await this.files
      .rm(`/tmp/${number}`, { recursive: true, force: true })
      .then(() => undefined, String);
    return { stdout, stderr, status, removal };
  }

  /** Ends the machine and looks at what it leaves. */
  async stop(): Promise<Pick<KillReport, "violations" | "crashes" | "accidents">> {
    stopMachine(this.#view);
    for (const { thread } of this.#harts) {
      const ended = new Promise<void>((resolve) => thread.onEnd(() => resolve()));
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 2000))]);
      await thread.end();
    }
    this.#close();
    this.calls.close();
    for (const { number } of this.#harts) markDead(this.#view, number);
    for (let slot = FIRST_HART_SLOT; slot < FIRST_HART_SLOT + this.#harts.length; slot++) {
      Atomics.store(this.#view.words, this.#view.slot(slot) + SLOT.holder, 0);
    }
    return { violations: checkHeap(this.#view), crashes: crashCount(this.#view), accidents: this.#accidents };
  }
}

async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let result = "";
  for await (const chunk of stream) result += decoder.decode(chunk, { stream: true });
  return result;
}

function firstDifference(now: string, then: string): string {
  const [ours, theirs] = [now.split("\n"), then.split("\n")];
  const line = ours.findIndex((each, index) => each !== theirs[index]);
  return line < 0 ? `${ours.length} lines of ${theirs.length}` : `"${ours[line]}" for "${theirs[line]}"`;
}

/** What differs between two runs of a program; undefined if nothing does. */
function difference(name: string, now: Outcome | undefined, then: Outcome): string | undefined {
  if (now === undefined) return `${name} hangs`;
  if (JSON.stringify(now) === JSON.stringify(then)) return undefined;
  if (now.removal !== undefined) return `what ${name} left could not be removed: ${now.removal}`;
  const status = JSON.stringify(now.status);
  return `${name} ended with ${status}, printed ${firstDifference(now.stdout, then.stdout)} ${now.stderr}`;
}

/**
 * Runs each program once without kills; then the workload over and over until so many harts have been killed,
 * and lets it come to its end. Every run must give what the first one gave.
 */
export async function killHarts(options: KillOptions): Promise<KillReport> {
  const machine = new KillMachine(options);
  await machine.start();
  const expected = new Map<Workload, Outcome>();
  for (const [index, program] of options.workload.entries()) {
    const outcome = await machine.run(program, -1 - index);
    if (outcome === undefined) throw new Error(`${program.name} hangs without kills`);
    expected.set(program, outcome);
  }
  const kills: Kill[] = [];
  const wrong: string[] = [];
  let programs = 0;
  let isOver = false;
  const worker = async (first: number): Promise<void> => {
    for (let number = first; !isOver && wrong.length < 5; number += options.parallel) {
      const program = options.workload[number % options.workload.length]!;
      const outcome = await machine.run(program, number);
      const problem = difference(program.name, outcome, expected.get(program)!);
      programs++;
      if (problem === undefined) continue;
      wrong.push(problem);
      options.onProblem?.(problem);
    }
  };
  const workers = Array.from({ length: options.parallel }, (_, index) => worker(index));
  const framesBefore = machine.framesInUse;
  while (kills.length < options.kills && wrong.length < 5 && options.isOver?.() !== true) {
    const kill = await machine.kill();
    if (kill === undefined) continue;
    kills.push(kill);
    options.onKill?.(kill, kills.length);
  }
  isOver = true;
  await Promise.all(workers);
  const frames = [framesBefore, machine.framesInUse] as const;
  return { kills, programs, wrong, frames, ...(await machine.stop()) };
}
