/**
 * The simulation in one thread (rule R16): a machine of several virtual harts, run from a seed. The seed
 * chooses which hart takes the next turn, when a task is taken off its hart (after which system call, at the
 * end of which slice), and where a hart dies, if it is to. Time passes when nothing else can happen.
 *
 *     choose a hart ─▶ its turn, until its task parks, is preempted, or the hart dies ─▶ output ─▶ again
 *
 * The trace holds every choice, every system call with its result, and every byte of output: the same seed
 * gives the same trace.
 */

import { type Random, seededRandom } from "../base/random.ts";
import { EXIT } from "../base/hart-abi.ts";
import { checkHeap, type Violation } from "../heap/check.ts";
import {
  CALL_STATE,
  freeHostCall,
  HostCall,
  hostBuffer,
  hostCallResult,
  postHostCall,
  takeHostCall,
} from "../kernel/host-call.ts";
import { leaveSpace } from "../kernel/memory/safepoint.ts";
import { recoverHart } from "../kernel/recovery.ts";
import { low, X } from "../kernel/registers.ts";
import { abandonHart, Hart, nextDeadline, Scheduler, schedulerOf } from "../kernel/scheduler.ts";
import { Process, Task } from "../kernel/task.ts";
import type { KernelThread } from "../kernel/thread.ts";
import { HartDeath } from "./driver.ts";
import {
  installProgram,
  OneThreadMachine,
  type SimulatedHart,
  spawnProgram,
  startMachine,
} from "./machine.ts";
import { Trace } from "./trace.ts";

export interface SimulationOptions {
  readonly seed: number;
  readonly harts: number;
  /** Programs: files of the host, run at the same time. */
  readonly programs: readonly { readonly name: string; readonly file: string }[];
  /** A hart dies about once in so many turns; 0: never. */
  readonly deathsPerTurns?: number;
  readonly keepTrace?: boolean;
}

export interface SimulationResult {
  readonly trace: Trace;
  readonly turns: number;
  readonly deaths: number;
  /** What each program printed, in the order of the options. */
  readonly outputs: readonly string[];
  readonly violations: readonly Violation[];
}

const PREEMPTED: { readonly preempted: true } = { preempted: true };
/** One in so many system calls is followed by others' turns. */
const PREEMPTION = 4;
const DEATH_STEPS = 300;
const TURNS_MAX = 5_000_000;

/** A read of the host that is posted again whenever it is done, until the end of the file. */
class Pump {
  readonly #machine: OneThreadMachine;
  readonly #file: number;
  readonly #decoder = new TextDecoder();
  #record: HostCall | undefined;
  text = "";
  isOver = false;

  constructor(machine: OneThreadMachine, file: number) {
    this.#machine = machine;
    this.#file = file;
  }

  /** Takes what has come; true if something has. */
  poll(): boolean {
    if (this.isOver) return false;
    const { view } = this.#machine;
    const record = this.#record;
    if (record !== undefined) {
      if (Atomics.load(view.words, HostCall.state.at(record)) !== CALL_STATE.DONE) return false;
      const count = hostCallResult(view, record);
      this.text += this.#decoder.decode(hostBuffer(view, record).slice(0, Math.max(0, count)), {
        stream: true,
      });
      freeHostCall(view, record);
      this.#record = undefined;
      if (count <= 0) {
        this.isOver = true;
        return true;
      }
    }
    this.#record = takeHostCall(view);
    if (this.#record === undefined) throw new Error("all host calls are in use");
    postHostCall(view, this.#record, "read", [this.#file, 65536, -1], 0);
    return true;
  }
}

class Simulation {
  readonly #machine: OneThreadMachine;
  readonly #random: Random;
  readonly #options: SimulationOptions;
  readonly trace: Trace;
  turns = 0;
  deaths = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.trace = new Trace(options.keepTrace);
    this.#machine = new OneThreadMachine({ harts: options.harts, seed: options.seed });
    for (const hart of this.#machine.harts) this.#attach(hart);
  }

  /** Gives a hart translated code that a seed may interrupt. */
  #attach({ loop, tx, index }: SimulatedHart): void {
    const { imports } = loop;
    let isPreempted = false;
    const tier0 = this.#machine.translator({
      ...imports,
      syscall: (regs) => {
        const { task, registers } = loop.call;
        const number = low(tx, registers, X.a7);
        const answer = imports.syscall(regs);
        const pid = Task.isLive(tx, task) ? Process.pid.get(tx, Task.process.get(tx, task)) : 0;
        this.trace.add("call", index, pid, number, low(tx, registers, X.a0), answer);
        if (answer !== 0) return answer;
        isPreempted = this.#random.below(PREEMPTION) === 0;
        return isPreempted ? 1 : 0;
      },
    });
    loop.attach({
      run: (registers, block) => {
        isPreempted = false;
        const reason = tier0.run(registers, block);
        if (isPreempted || reason === EXIT.BUDGET) throw PREEMPTED;
        return reason;
      },
    });
  }

  /** One turn of one hart, or a step of time. */
  turn = (): void => {
    const { harts, view, host } = this.#machine;
    if (++this.turns > TURNS_MAX) throw new Error("the simulation does not end");
    const hart = harts[this.#random.below(harts.length)]!;
    this.trace.add("turn", hart.index);
    const doomed = this.#arm(hart);
    let worked = true;
    try {
      worked = hart.loop.turn();
    } catch (error) {
      if (error === PREEMPTED) {
        hart.tx.words[Hart.inUser.at(hart.hart)] = 0;
        hart.tx.hook = () => {};
        abandonHart(hart.tx, hart.hart);
        hart.tx.commit();
      } else if (error instanceof HartDeath) this.#recover(hart);
      else throw error;
    }
    if (doomed) hart.tx.hook = () => {};
    leaveSpace(hart.tx);
    if (worked || !Scheduler.queue.isEmpty(view, schedulerOf(view))) return;
    const deadline = nextDeadline(view);
    if (deadline === 0) return;
    host.clock.advanceTo(deadline);
    this.trace.add("time", deadline);
  };

  /** Perhaps the hart dies in this turn. */
  #arm({ tx, index }: SimulatedHart): boolean {
    const rate = this.#options.deathsPerTurns ?? 0;
    if (rate === 0 || this.#random.below(rate) !== 0) return false;
    let left = 1 + this.#random.below(DEATH_STEPS);
    tx.hook = (point) => {
      // Once dead, it does nothing more.
      if (--left > 0) return;
      if (left === 0) this.trace.add("death", index, point);
      throw new HartDeath(point);
    };
    return true;
  }

  #recover({ tx, hart }: SimulatedHart): void {
    this.deaths++;
    tx.hook = () => {};
    recoverHart(tx, hart, (tx.host as KernelThread).id, () => false);
  }

  run(): SimulationResult {
    const { programs } = this.#options;
    const machine = this.#machine;
    startMachine(machine, this.turn);
    for (const { name, file } of programs) installProgram(machine, file, `/bin/${name}`, this.turn);
    const pumps = programs.map(({ name }, index) => {
      const cwd = `/tmp/${index}`;
      const { input, output } = spawnProgram(machine, [name], this.turn, { cwd });
      machine.hostCall("close", [input], new Uint8Array(), this.turn);
      return new Pump(machine, output);
    });
    while (pumps.some(({ isOver }) => !isOver)) {
      this.turn();
      for (const [index, pump] of pumps.entries()) {
        if (pump.poll()) this.trace.add("output", index, pump.text.length);
      }
    }
    const outputs = pumps.map(({ text }) => text);
    for (const text of outputs) this.trace.add("output", text);
    return {
      trace: this.trace,
      turns: this.turns,
      deaths: this.deaths,
      outputs,
      violations: checkHeap(machine.view),
    };
  }
}

/** Runs programs in a machine of virtual harts from a seed. */
export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}
