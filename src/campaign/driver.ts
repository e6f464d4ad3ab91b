/**
 * The driver of a one-hart machine whose progress is cut into segments. A segment is one turn of the hart's
 * loop in which the kernel works: a system call, a page fault, a signal, a call of the host, a timer. What user
 * code does in between is not part of it.
 *
 *     user code runs to its next trap ─▶ [ segment: the trap is handled ] ─▶ user code runs on …
 *                                          ▲ can be run again from a snapshot
 *
 * At a segment's beginning and end no task is on the hart, so heap and memory are the whole state, but for the
 * trap that each task is about to make. A segment that dies (its code throws all the way out) is a hart that
 * dies: it is recovered, and the next turn goes on.
 *
 * User code is tier 0, or a program of the campaign (guest.ts), which sets registers and says what trap comes.
 */

import { assert } from "../base/assert.ts";
import { type AccessKind, EXIT, REG_BUDGET } from "../base/hart-abi.ts";
import { next, prepend, remove } from "../heap/list.ts";
import type { Transaction, TransactionHook } from "../heap/transaction.ts";
import type { Translated } from "../kernel/hart.ts";
import { low, pc, X } from "../kernel/registers.ts";
import { recoverHart } from "../kernel/recovery.ts";
import { abandonHart, Hart, nextDeadline, Scheduler, schedulerOf } from "../kernel/scheduler.ts";
import { Process, RUN, Task } from "../kernel/task.ts";
import type { Tier0 } from "../riscv/tier0.ts";
import type { OneThreadMachine, SimulatedHart } from "./machine.ts";

/** What a task is about to do when it next has a hart. */
export type Trap =
  | { readonly kind: "syscall"; readonly pc: number }
  | { readonly kind: "fault"; readonly pc: number; readonly address: number; readonly access: AccessKind }
  | { readonly kind: "exit"; readonly pc: number; readonly reason: number };

/** User code that is not machine code: runs the task to its next trap. */
export interface UserCode {
  /** Whether the task runs this code. */
  drives(task: Task): boolean;
  advance(task: Task): Trap;
}

/** A segment that is about to be run. */
export interface Segment {
  /** The task at the head of the run queue; 0 when time passes. */
  readonly task: Task;
  /** What it does: "call 63", "fault", "host call spawn", "timer", "attend". */
  readonly what: string;
  /** Number of the system call, −1 if it is none. */
  readonly call: number;
  /** Runs it, from the state as it is now, to its end. */
  run(): void;
}

/** Runs a segment; a campaign runs it many times. */
export type SegmentRunner = (segment: Segment) => void;

/** Thrown out of a turn when a task is back in user mode. */
const BOUNDARY: { readonly boundary: true } = { boundary: true };
/** What a fault of a campaign throws: the hart has died. */
export class HartDeath extends Error {}

const BUDGET = 0x7fff_ffff;
/** Transfers after which a task that makes no trap gives way to others. */
const SPIN_BUDGET = 200_000;

export class Driver {
  readonly machine: OneThreadMachine;
  readonly hart: SimulatedHart;
  readonly #tier0: Tier0;
  readonly #code: UserCode | undefined;
  readonly #runner: SegmentRunner;
  #traps = new Map<Task, Trap>();
  /** Called when a dead hart has been recovered: what it does from here on is alive again. */
  onRecovered: () => void = () => {};
  /** The hook while the driver itself works: recovering, taking a task off its hart. */
  quietHook: TransactionHook = () => {};
  #met: Trap | undefined;
  /** The trap that was made last: a recovered task makes it again unless it is done. */
  #last: { readonly task: Task; readonly trap: Trap } | undefined;

  constructor(machine: OneThreadMachine, runner: SegmentRunner, code?: UserCode) {
    this.machine = machine;
    this.hart = machine.harts[0]!;
    this.#runner = runner;
    this.#code = code;
    // Traps are only noted: the segment makes them.
    this.#tier0 = machine.translator({
      syscall: (regs) => this.#meet({ kind: "syscall", pc: this.#pc(regs) }),
      fault: (regs, low, high, kind) =>
        this.#meet({
          kind: "fault",
          pc: this.#pc(regs),
          address: (high >>> 0) * 0x1_0000_0000 + (low >>> 0),
          access: kind as AccessKind,
        }),
      csr: (regs, csr) => this.hart.loop.imports.csr(regs, csr),
    });
    const translated: Translated = { run: (registers) => this.#run(registers) };
    this.hart.loop.attach(translated);
  }

  get #tx(): Transaction {
    return this.hart.tx;
  }

  #pc(regs: number): number {
    return pc(this.#tx, (regs >>> 0) / 4);
  }

  #meet(trap: Trap): number {
    this.#met = trap;
    return 1;
  }

  /** User mode, as the hart's loop calls it. */
  #run(registers: number): number {
    const task = this.hart.loop.call.task;
    const trap = this.#traps.get(task);
    if (trap === undefined || trap.pc !== this.#pc(registers)) throw BOUNDARY;
    this.#traps.delete(task);
    this.#last = { task, trap };
    const { imports } = this.hart.loop;
    let answer: number;
    switch (trap.kind) {
      case "syscall":
        // A call that leaves the pc where it was is made again, as translated code would.
        do answer = imports.syscall(registers);
        while (answer === 0 && this.#pc(registers) === trap.pc);
        break;
      case "fault":
        answer = imports.fault(
          registers,
          trap.address | 0,
          Math.floor(trap.address / 0x1_0000_0000),
          trap.access,
        );
        break;
      case "exit":
        return trap.reason;
    }
    if (answer === 0) throw BOUNDARY;
    return EXIT.LEFT;
  }

  /** Runs the user code of `task`, which is READY, to its next trap. Changes nothing but what user code changes. */
  #advance(task: Task): Trap {
    if (this.#code?.drives(task) === true) return this.#code.advance(task);
    const tx = this.#tx;
    const registers = Task.registers.get(tx, task);
    const block = Hart.blockAt.get(tx, this.hart.hart) * 4;
    this.#met = undefined;
    for (let spent = 0; ; spent += SPIN_BUDGET) {
      tx.memory[registers + (REG_BUDGET >> 2)] = Math.min(SPIN_BUDGET, BUDGET);
      const reason = this.#tier0.run(registers * 4, block);
      if (reason === EXIT.LEFT) {
        assert(this.#met !== undefined, "tier 0 left without a trap");
        return this.#met;
      }
      if (reason === EXIT.BUDGET && this.#readyCount() < 2 && spent < SPIN_BUDGET * 1000) continue;
      return { kind: "exit", pc: this.#pc(registers * 4), reason };
    }
  }

  #readyCount(): number {
    return Scheduler.ready.get(this.#tx, schedulerOf(this.#tx));
  }

  /** Does one thing: user code, a segment, or time. False if nothing is left to do. */
  step(): boolean {
    const tx = this.#tx;
    // Which posted calls it has seen, the hart keeps to itself: so this is not part of a segment.
    this.hart.loop.parts.hostWork(tx);
    const task = this.#first();
    if (task === 0) {
      const deadline = nextDeadline(tx);
      if (deadline === 0) return false;
      this.machine.host.clock.advanceTo(deadline);
      this.#segment({ task, what: "time", call: -1, run: () => this.#turn(task) });
      return true;
    }
    const isKernel = Task.hostCall.get(tx, task) !== 0 || Task.isTimer.get(tx, task) !== 0;
    if (!isKernel && Task.attention.get(tx, task) === 0) {
      const trap = this.#traps.get(task);
      const at = pc(tx, Task.registers.get(tx, task));
      if (trap === undefined || trap.pc !== at) this.#traps.set(task, this.#advance(task));
    }
    this.#segment({ task, ...this.#describe(task, isKernel), run: () => this.#turn(task) });
    return true;
  }

  #describe(task: Task, isKernel: boolean): { what: string; call: number } {
    const tx = this.#tx;
    if (isKernel) return { what: Task.isTimer.get(tx, task) !== 0 ? "timer" : "host call", call: -1 };
    const trap = this.#traps.get(task);
    if (Task.attention.get(tx, task) !== 0 || trap === undefined) return { what: "attend", call: -1 };
    if (trap.kind !== "syscall") return { what: trap.kind, call: -1 };
    const call = low(tx, Task.registers.get(tx, task), X.a7);
    return { what: `call ${call}`, call };
  }

  #segment(segment: Segment): void {
    const traps = new Map(this.#traps);
    let after: Map<Task, Trap> | undefined;
    this.#runner({
      ...segment,
      run: () => {
        this.#traps.clear();
        this.#last = undefined;
        for (const [task, trap] of traps) this.#traps.set(task, trap);
        segment.run();
        after ??= new Map(this.#traps);
      },
    });
    // Whatever runs with faults there were, the machine goes on from the first one.
    this.#traps = after ?? traps;
  }

  /** One turn of the hart, deaths and recoveries included, that begins with `task` at the head of the queue. */
  #turn(task: Task): void {
    const { loop } = this.hart;
    let victim = task;
    let diedAt = -1;
    for (let deaths = 0; ; ) {
      const { sequence } = this.#tx;
      try {
        loop.turn();
        if (deaths > 0 && this.#mustGoOn(victim, diedAt)) continue;
        return;
      } catch (error) {
        if (error === BOUNDARY) {
          this.#leaveUser();
          if (deaths > 0 && this.#mustGoOn(victim, diedAt)) continue;
          return;
        }
        if (!(error instanceof HartDeath)) throw error;
        assert(++deaths < 10, "a hart dies again and again");
        const current = this.#undo();
        if (current !== 0) victim = current;
        // What it did was final, and it has parked or ended: the turn would have been over.
        const isOver = current === 0 && this.#tx.sequence !== sequence;
        this.#recover(victim);
        if (isOver || (victim !== 0 && !this.#isReady(victim))) return;
        diedAt = this.#callOf(victim);
      }
    }
  }

  /** The pc of the call that a recovered task has not finished; −1 if it is in none. */
  #callOf(task: Task): number {
    const tx = this.#tx;
    if (task === 0 || !Task.isLive(tx, task) || Task.hostCall.get(tx, task) !== 0) return -1;
    const at = pc(tx, Task.registers.get(tx, task));
    return this.#traps.get(task)?.pc === at ? at : -1;
  }

  #isReady(task: Task): boolean {
    return Task.isLive(this.#tx, task) && Task.run.get(this.#tx, task) === RUN.READY;
  }

  /** Whether a recovered task is ready and has still to do what it was at. */
  #mustGoOn(task: Task, diedAt: number): boolean {
    const tx = this.#tx;
    if (task === 0 || !this.#isReady(task)) return false;
    if (Task.hostCall.get(tx, task) !== 0) return this.#first() === task;
    if (diedAt < 0 || this.#callOf(task) !== diedAt) return false;
    this.#moveFirst(task);
    return true;
  }

  #first(): Task {
    return Scheduler.queue.first(this.#tx, schedulerOf(this.#tx));
  }

  #leaveUser(): void {
    const { tx } = this.hart;
    const hook = tx.hook;
    tx.hook = this.quietHook;
    tx.words[Hart.inUser.at(this.hart.hart)] = 0;
    abandonHart(tx, this.hart.hart);
    tx.commit();
    tx.hook = hook;
  }

  /** Undoes the open transaction, as recovery does first; the task that the hart had before it. */
  #undo(): Task {
    const { tx } = this.hart;
    const hook = tx.hook;
    tx.hook = this.quietHook;
    tx.undo();
    tx.hook = hook;
    return Hart.current.get(tx, this.hart.hart) as Task;
  }

  /** What the warden does when a hart has died; then the task is first again. */
  #recover(task: Task): void {
    const { tx, hart } = this.hart;
    const hook = tx.hook;
    tx.hook = this.quietHook;
    const thread = tx.host as { readonly id?: number };
    recoverHart(tx, hart, thread.id ?? 0, () => false);
    this.#moveFirst(task);
    if (this.#last?.task === task) this.#traps.set(task, this.#last.trap);
    tx.hook = hook;
    // The hart's object is gone with its thread.
    this.hart.loop.call.yields = false;
    this.onRecovered();
  }

  /** The campaign runs the interrupted task on first, so that every run has the same order. */
  #moveFirst(task: Task): void {
    const { tx } = this.hart;
    if (task === 0 || !Task.isLive(tx, task) || Task.run.get(tx, task) !== RUN.READY) return;
    const scheduler = schedulerOf(tx);
    if (this.#first() === task) return;
    const { hook } = tx;
    tx.hook = this.quietHook;
    Scheduler.lock.acquire(tx, scheduler);
    remove(tx, Scheduler.queue, scheduler, Task.queueLinks, task);
    prepend(tx, Scheduler.queue, scheduler, Task.queueLinks, task);
    tx.commit();
    tx.hook = hook;
  }

  /** The tasks that are ready, first to last: for traces. */
  *ready(): Generator<Task> {
    const tx = this.#tx;
    for (let task = this.#first(); task !== 0; task = next(tx, Task.queueLinks, task)) yield task;
  }

  /** Pid of a task's process, 0 for the kernel's own. */
  pidOf(task: Task): number {
    const tx = this.#tx;
    const process = task === 0 ? 0 : Task.process.get(tx, task);
    return process === 0 ? 0 : Process.pid.get(tx, process);
  }
}
