/**
 * Guest programs written in TypeScript: each task of a scenario is a generator that yields system calls and
 * memory accesses, and gets their results. They stand in for machine code between two traps; whatever the
 * kernel sees (registers, memory, pc) is real.
 *
 *     function* (g) {
 *       const fds = g.bytes(8);
 *       yield* g.call("pipe2", fds, 0);
 *       yield* g.call("write", g.word(fds), yield* g.put("x"), 1);
 *     }
 *
 * A program runs on only from the final state of a segment, so it may keep what it likes in variables.
 *
 * Addresses: the call instruction of a task is always at CALL_PC; what follows it is where a finished call
 * leaves the pc. Signal handlers have addresses of their own (`handler`).
 */

import { ACCESS, REG_PC } from "../base/hart-abi.ts";
import { errnoOf } from "../base/errno.ts";
import type { HeapView } from "../heap/heap.ts";
import { AddressSpace } from "../kernel/memory/records.ts";
import { translate } from "../kernel/memory/page-table.ts";
import { pc, X } from "../kernel/registers.ts";
import { Process, Task } from "../kernel/task.ts";
import { callRows } from "../linux/table.ts";
import type { Trap, UserCode } from "./driver.ts";

const CALL_PC = 0x10_0000;
/** A handler returns elsewhere than at the call that it has interrupted, as by the trampoline. */
const RETURN_PC = 0x11_0000;
const HANDLERS_AT = 0x20_0000;
const ARENA_BYTES = 1 << 20;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;

const numbers = new Map(callRows.map((row) => [row.name, row.number]));

/** Number of a system call by its name. */
export function callNumber(name: string): number {
  const number = numbers.get(name);
  if (number === undefined) throw new Error(`there is no system call ${name}`);
  return number;
}

const EXIT_GROUP = callNumber("exit_group");
const EXECS: ReadonlySet<number> = new Set([callNumber("execve"), callNumber("execveat")]);
const SIGRETURN = callNumber("rt_sigreturn");

/** An argument of a call: a number, or −1 and the like; addresses come from `bytes` and `put`. */
export type CallArgument = number | bigint;

type Request =
  | { readonly kind: "call"; readonly number: number; readonly args: readonly CallArgument[] }
  | { readonly kind: "fault"; readonly address: number; readonly write: boolean };

/** What a program yields; it gets the result of the call. */
export type Step<T = void> = Generator<Request, T, number>;
export type Program = (guest: Guest) => Step;

/** A program's view of its task. */
export class Guest {
  readonly #view: HeapView;
  task: Task;
  arena = 0;
  #used = 0;
  /** Programs that the next fork or thread runs. */
  nextChild: Program | undefined;
  readonly handlers: Map<number, Program>;
  /** Where several programs of a scenario meet. */
  readonly shared: Record<string, number>;

  constructor(view: HeapView, task: Task, handlers: Map<number, Program>, shared: Record<string, number>) {
    this.#view = view;
    this.task = task;
    this.handlers = handlers;
    this.shared = shared;
  }

  /** Makes a system call; its result, −errno for a failure. */
  *call(name: string, ...args: readonly CallArgument[]): Step<number> {
    return yield { kind: "call", number: callNumber(name), args };
  }

  /** Makes a call that must not fail. */
  *ok(name: string, ...args: readonly CallArgument[]): Step<number> {
    const result = yield* this.call(name, ...args);
    if (result < 0) throw new Error(`${name}(${args.join(", ")}) failed with ${errnoOf(-result).name}`);
    return result;
  }

  /** Makes a call that must fail with the given errno. */
  *fails(expected: string, name: string, ...args: readonly CallArgument[]): Step {
    const result = yield* this.call(name, ...args);
    const got = result < 0 ? errnoOf(-result).name : String(result);
    if (got !== expected) throw new Error(`${name}(${args.join(", ")}) gave ${got} instead of ${expected}`);
  }

  /** Makes a call by its number. */
  *numbered(number: number, ...args: readonly CallArgument[]): Step<number> {
    return yield { kind: "call", number, args };
  }

  /** Maps the arena: the first thing that every program does. */
  *setUp(): Step {
    this.arena = yield* this.call("mmap", 0, ARENA_BYTES, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  }

  /** The address of `length` unused bytes, aligned to 16. */
  bytes(length: number): number {
    const at = this.arena + this.#used;
    this.#used += (length + 15) & ~15;
    if (this.#used > ARENA_BYTES) throw new Error("the arena is full");
    return at;
  }

  /** Puts text (with a zero behind it), bytes or 64-bit numbers into memory; their address. */
  *put(value: string | Uint8Array | readonly (number | bigint)[]): Step<number> {
    let bytes: Uint8Array;
    if (typeof value === "string") bytes = new TextEncoder().encode(`${value}\0`);
    else if (value instanceof Uint8Array) bytes = value;
    else bytes = new Uint8Array(BigInt64Array.from(value.map(BigInt)).buffer);
    const at = this.bytes(bytes.length);
    yield* this.poke(at, bytes);
    return at;
  }

  /** Stores bytes, with the faults that this takes. */
  *poke(address: number, bytes: Uint8Array): Step {
    for (let done = 0; done < bytes.length; ) {
      const pa = yield* this.#access(address + done, true);
      const run = Math.min(bytes.length - done, 4096 - (pa & 4095));
      this.#view.memoryBytes.set(bytes.subarray(done, done + run), pa);
      done += run;
    }
  }

  /** Reads bytes, with the faults that this takes. */
  *peek(address: number, length: number): Step<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const pa = yield* this.#access(address + done, false);
      const run = Math.min(length - done, 4096 - (pa & 4095));
      bytes.set(this.#view.memoryBytes.subarray(pa, pa + run), done);
      done += run;
    }
    return bytes;
  }

  /** A 32-bit word of memory. */
  *word(address: number): Step<number> {
    const bytes = yield* this.peek(address, 4);
    return new DataView(bytes.buffer).getInt32(0, true);
  }

  *#access(address: number, write: boolean): Step<number> {
    for (let tries = 0; tries < 4; tries++) {
      const root = AddressSpace.root.get(this.#view, Task.space.get(this.#view, this.task));
      const pa = translate(this.#view, root, address, write);
      if (pa >= 0) return pa;
      yield { kind: "fault", address, write };
    }
    throw new Error(`0x${address.toString(16)} cannot be reached`);
  }

  /** Touches an address as a load or store would, once. */
  *touch(address: number, write: boolean): Step {
    yield { kind: "fault", address, write };
  }

  /** The address of a signal handler that runs `program`; rt_sigreturn follows by itself. */
  handler(program: Program): number {
    const address = HANDLERS_AT + this.handlers.size * 16;
    this.handlers.set(address, program);
    return address;
  }

  /** Makes a process that runs `child`; its pid. */
  *fork(child: Program): Step<number> {
    return yield* this.clone(17, child);
  }

  /** clone(2) with `flags`; what it makes runs `child`. */
  *clone(flags: number, child: Program, stack = 0, parentTid = 0, tls = 0, childTid = 0): Step<number> {
    this.nextChild = child;
    const made = yield* this.call("clone", flags, stack, parentTid, tls, childTid);
    if (made < 0) this.nextChild = undefined;
    return made;
  }
}

interface Frame {
  readonly steps: Step;
  /** What its program has asked for, and the pc of the trap. */
  request: Request | undefined;
  pc: number;
}

interface Running {
  readonly guest: Guest;
  /** Tells a task from an earlier one with the same record. */
  tid: number;
  readonly frames: Frame[];
}

/** Drives the tasks of a scenario. */
export class GuestPrograms implements UserCode {
  readonly #view: HeapView;
  readonly #running = new Map<Task, Running>();
  readonly #handlers = new Map<number, Program>();
  readonly #shared: Record<string, number> = {};
  readonly #first: Program;
  /** Whether the first program came to its end, or ended itself. */
  hasEnded = false;

  constructor(view: HeapView, first: Program) {
    this.#view = view;
    this.#first = first;
  }

  drives(): boolean {
    return true;
  }

  advance(task: Task): Trap {
    const registers = Task.registers.get(this.#view, task);
    const running = this.#runningOf(task);
    const at = pc(this.#view, registers);
    const frame = running.frames.at(-1)!;
    if (frame.request?.kind === "fault" && frame.pc === at) return this.#resume(running, registers);
    const isReturn = frame.request?.kind === "call" && frame.request.number === SIGRETURN;
    const handler = this.#handlers.get(at);
    if (handler !== undefined) {
      // A handler has returned into the beginning of another: two signals came at once, or one during the call
      // that was made again.
      if (isReturn) running.frames.pop();
      running.frames.push({ steps: withReturn(handler, running.guest), request: undefined, pc: at });
      return this.#resume(running, registers);
    }
    // The call is to be made again.
    if (at === CALL_PC && frame.request?.kind === "call" && !isReturn) return this.#trapOf(frame, registers);
    return this.#resume(running, registers);
  }

  /** The task's program; a task with the same record and another tid is another, unless execve gave it that. */
  #runningOf(task: Task): Running {
    const tid = Task.tid.get(this.#view, task);
    const known = this.#running.get(task);
    if (known?.tid === tid) return known;
    const request = known?.frames.at(-1)?.request;
    if (known === undefined || request?.kind !== "call" || !EXECS.has(request.number))
      return this.#begin(task);
    known.tid = tid;
    return known;
  }

  #begin(task: Task): Running {
    const program = this.#programOf(task);
    const guest = new Guest(this.#view, task, this.#handlers, this.#shared);
    const running: Running = {
      guest,
      tid: Task.tid.get(this.#view, task),
      frames: [{ steps: program(guest), request: undefined, pc: 0 }],
    };
    this.#running.set(task, running);
    return running;
  }

  #programOf(task: Task): Program {
    for (const { guest } of this.#running.values()) {
      const child = guest.nextChild;
      if (child === undefined) continue;
      guest.nextChild = undefined;
      const { arena } = guest;
      return function* inherit(own) {
        own.arena = arena;
        // The lower half is the parent's to use.
        own.bytes(ARENA_BYTES / 2);
        yield* child(own);
      };
    }
    // What the host has started runs the scenario's program, however often it does.
    const isHosts = Process.hostHandle.get(this.#view, Task.process.get(this.#view, task)) !== 0;
    if (isHosts) return this.#first;
    throw new Error("nobody said what this task runs");
  }

  /** Goes on with the program on top; what it asks for next. */
  #resume(running: Running, registers: number): Trap {
    const frame = running.frames.at(-1)!;
    const { value, done } = frame.steps.next(resultOf(this.#view, registers));
    if (done !== true) {
      frame.request = value;
      if (value.kind === "call" && value.number === EXIT_GROUP) this.#noteEnd(running);
      return this.#trapOf(frame, registers);
    }
    if (running.frames.length > 1) {
      // rt_sigreturn has put the registers of the interrupted program back.
      running.frames.pop();
      const below = running.frames.at(-1)!;
      const again = below.request?.kind === "call" && pc(this.#view, registers) === CALL_PC;
      return again ? this.#trapOf(below, registers) : this.#resume(running, registers);
    }
    frame.request = { kind: "call", number: EXIT_GROUP, args: [0] };
    this.#noteEnd(running);
    return this.#trapOf(frame, registers);
  }

  #noteEnd(running: Running): void {
    if (running === [...this.#running.values()][0]) this.hasEnded = true;
  }

  /** Makes the registers say what the program has asked for. */
  #trapOf(frame: Frame, registers: number): Trap {
    const request = frame.request!;
    if (request.kind === "fault") {
      frame.pc = pc(this.#view, registers);
      const access = request.write ? ACCESS.WRITE : ACCESS.READ;
      return { kind: "fault", pc: frame.pc, address: request.address, access };
    }
    const m = this.#view.memory;
    const set = (index: number, value: CallArgument): void => {
      const word = BigInt.asUintN(64, BigInt(value));
      m[registers + index * 2] = Number(word & 0xffff_ffffn) | 0;
      m[registers + index * 2 + 1] = Number(word >> 32n) | 0;
    };
    set(X.a7, request.number);
    for (let i = 0; i < 6; i++) set(X.a0 + i, request.args[i] ?? 0);
    const at = request.number === SIGRETURN ? RETURN_PC : CALL_PC;
    m[registers + (REG_PC >> 2)] = at;
    m[registers + (REG_PC >> 2) + 1] = 0;
    frame.pc = at;
    return { kind: "syscall", pc: at };
  }
}

function resultOf(view: HeapView, registers: number): number {
  const at = registers + X.a0 * 2;
  return view.memory[at + 1]! * 0x1_0000_0000 + (view.memory[at]! >>> 0);
}

function* withReturn(program: Program, guest: Guest): Step {
  yield* program(guest);
  yield* guest.numbered(SIGRETURN);
}
