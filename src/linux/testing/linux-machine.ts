/**
 * A machine for tests of system calls: all records of a real one, one process with one task, no harts. Calls
 * are made with arguments in the task's registers and structures in its memory, and carried out as a hart
 * carries them out, but for parking: a call that would wait says so.
 */

import { assert } from "../../base/assert.ts";
import { Errno, errno } from "../../base/errno.ts";
import { decodeUtf8, encodeUtf8 } from "../../base/text.ts";
import { createHeap } from "../../heap/heap.ts";
import { REDO, type RedoKind, SLOT } from "../../heap/layout.ts";
import { none } from "../../heap/record.ts";
import { HookedTransaction, type Transaction } from "../../heap/transaction.ts";
import { placeAccounts } from "../../kernel/account.ts";
import { clearLeftovers } from "../../kernel/attend.ts";
import { createHostIo } from "../../kernel/block-io.ts";
import { SystemCall } from "../../kernel/call.ts";
import { createFileTable } from "../../kernel/descriptors.ts";
import { createFutexes } from "../../kernel/futex.ts";
import { createSpace, setUpSpace, spaceRoot } from "../../kernel/memory/address-space.ts";
import { MAP, mmap } from "../../kernel/memory/mmap.ts";
import { PROT } from "../../kernel/memory/records.ts";
import { placeSafepoints, publishSafepoint } from "../../kernel/memory/safepoint.ts";
import { copyFromUser, copyToUser, FAULT_IN, faultIn, NEEDS_FAULT } from "../../kernel/memory/user-memory.ts";
// oxlint-disable-next-line import/no-unassigned-import -- it registers itself
import "../../kernel/job.ts";
import {
  buildTask,
  createKernel,
  createProcess,
  enrollTask,
  kernelOf,
  lockTree,
} from "../../kernel/process.ts";
import { finishCall, pc, setPc, setX, X } from "../../kernel/registers.ts";
import { clearSegments, clearWaits, WOULD_BLOCK } from "../../kernel/request.ts";
import { createScheduler, Hart, hartOf } from "../../kernel/scheduler.ts";
import { ATTENTION, Kernel, Limits, Process, SignalHandlers, Task } from "../../kernel/task.ts";
import { KernelThread } from "../../kernel/thread.ts";
import { REG_ROOT } from "../../base/hart-abi.ts";
import { hartBlock, placeMemory } from "../../kernel/memory/layout.ts";
import { auth, createAuth } from "../../servers/auth/auth.ts";
import { placeFifos } from "../../servers/pipe/fifo.ts";
import { placeSockets } from "../../servers/socket/state.ts";
import { placeTerminals } from "../../servers/tty/tty.ts";
import { type BootMount, createVfs, mountAtBoot, mountRoot } from "../../servers/vfs/boot.ts";
import { vfs } from "../../servers/vfs/vfs.ts";
import { clearExecStep } from "../exec-record.ts";
import { TRAMPOLINE_CODE } from "../signal-frame.ts";
import { callRows } from "../table.ts";
// oxlint-disable-next-line import/no-unassigned-import -- it registers itself
import "../task-end.ts";

/** Where the task's memory lies that tests use as they like, and how much there is. */
export const USER = 0x1000_0000;
export const USER_BYTES = 0x10_0000;
const SCRATCH: number = USER + 0xc_0000;
const CODE = 0x4000;
const BREAK = 0x2000_0000;

class TestThread extends KernelThread {
  override redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    return kind === REDO.wake || kind === REDO.task ? true : super.redo(tx, kind, value);
  }
}

/** What `call` gives for a call that has to wait. */
export const BLOCKS = "blocks";

export class LinuxMachine {
  readonly tx: HookedTransaction;
  readonly task: Task;
  readonly process: Process;
  /** Nanoseconds, for the next calls. */
  now = 1e9;
  #scratch = SCRATCH;
  readonly #call: SystemCall;

  constructor(mounts: readonly BootMount[] = ["dev", "tmp"]) {
    const clock = { monotonic: () => this.now, realtime: () => this.now };
    const thread = new TestThread(1, clock, { fill: (bytes) => void bytes.fill(7) }, () => {
      throw new Error("contended in one thread");
    });
    const heap = createHeap({ bytes: 8 << 20, slots: 2 });
    const memory = new SharedArrayBuffer(16 << 20);
    const tx = new HookedTransaction({ heap, memory }, 0, thread, () => {});
    this.tx = tx;
    placeMemory(tx, { harts: 1, tier0Bytes: 4096, tasksMax: 8, hostCalls: 1, trampoline: TRAMPOLINE_CODE });
    placeSafepoints(tx);
    createKernel(tx, 8, this.now);
    createScheduler(tx, 1, 8);
    Hart.blockAt.init(tx, hartOf(tx, 0), hartBlock(tx, 0) / 4);
    createFutexes(tx);
    placeAccounts(tx);
    createHostIo(tx);
    createAuth(tx);
    placeFifos(tx);
    placeTerminals(tx);
    placeSockets(tx);
    tx.commit();
    createVfs(tx, { sizes: { direntBuckets: 1024, inodeBuckets: 1024, cachedNames: 64 } });
    tx.commit();
    mountRoot(tx);
    tx.commit();
    for (const what of mounts) {
      mountAtBoot(tx, what);
      tx.commit();
    }
    [this.process, this.task] = this.#createProcess();
    this.#call = new SystemCall(tx);
    this.#call.task = this.task;
    this.#call.registers = Task.registers.get(tx, this.task);
    tx.words[tx.slotAt + SLOT.owner] = this.task;
    publishSafepoint(tx, Task.space.get(tx, this.task));
  }

  #createProcess(): [Process, Task] {
    const { tx } = this;
    lockTree(tx);
    const task = buildTask(tx);
    const process = createProcess(tx, Kernel.init.get(tx, kernelOf(tx)), this.now);
    enrollTask(tx, process, task);
    tx.commit();
    const limits = Limits.allocate(tx);
    for (let i = 0; i < 64; i++) Limits.values.init(tx, limits, i, -1);
    Limits.references.init(tx, limits, 1);
    Process.limits.set(tx, process, limits);
    const handlers = SignalHandlers.allocate(tx);
    SignalHandlers.references.init(tx, handlers, 1);
    Process.handlers.set(tx, process, handlers);
    tx.commit();
    Task.credentials.set(tx, task, auth.createInitial(tx));
    tx.commit();
    Task.fs.set(tx, task, vfs.createContext(tx));
    tx.commit();
    Task.files.set(tx, task, createFileTable(tx));
    tx.commit();
    const space = createSpace(tx);
    setUpSpace(tx, space, { breakStart: BREAK });
    Task.space.set(tx, task, space);
    Process.space.set(tx, process, space);
    const registers = Task.registers.get(tx, task);
    tx.storeMemory(registers + (REG_ROOT >> 2), spaceRoot(tx, space) | 0);
    tx.commit();
    const flags = MAP.PRIVATE | MAP.ANONYMOUS | MAP.FIXED;
    const request = { prot: PROT.READ | PROT.WRITE, flags, file: none<"file">(), offset: 0, limit: 2 ** 40 };
    mmap(tx, space, { ...request, address: USER, length: USER_BYTES }, task);
    tx.commit();
    return [process, task];
  }

  /** Runs `work` on the task's memory, faulting pages in. */
  #inMemory(work: () => void): void {
    const { tx } = this;
    const space = Task.space.get(tx, this.task);
    for (;;) {
      try {
        work();
        tx.commit();
        return;
      } catch (error) {
        tx.rollback();
        if (error !== NEEDS_FAULT) throw error;
      }
      this.#faultIn(space);
    }
  }

  #faultIn(space: ReturnType<typeof createSpace>): void {
    for (;;) {
      const came = faultIn(this.tx, space, 8 << 20);
      this.tx.commit();
      if (came === FAULT_IN.DONE) return;
      assert(came === FAULT_IN.MORE, "one task never waits for a safepoint");
    }
  }

  /** Writes bytes into the task's memory. */
  poke(address: number, bytes: Uint8Array): void {
    this.#inMemory(() => copyToUser(this.tx, Task.space.get(this.tx, this.task), address, bytes));
  }

  /** Bytes of the task's memory. */
  peek(address: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    this.#inMemory(() => copyFromUser(this.tx, Task.space.get(this.tx, this.task), address, bytes));
    return bytes;
  }

  text(address: number, length: number): string {
    return decodeUtf8(this.peek(address, length));
  }

  view(address: number, length: number): DataView {
    return new DataView(this.peek(address, length).buffer);
  }

  /** A place in the task's memory with these bytes (a string: with its zero). */
  put(what: string | Uint8Array): number {
    const bytes = typeof what === "string" ? encodeUtf8(`${what}\0`) : what;
    const at = this.#scratch;
    this.#scratch = (at + bytes.length + 7) & ~7;
    if (this.#scratch > USER + USER_BYTES - 65536) this.#scratch = SCRATCH;
    this.poke(at, bytes);
    return at;
  }

  /** An array of 64-bit numbers in the task's memory. */
  words(...values: number[]): number {
    const view = new DataView(new ArrayBuffer(values.length * 8));
    for (const [i, value] of values.entries()) {
      view.setUint32(i * 8, value >>> 0, true);
      view.setInt32(i * 8 + 4, Math.floor(value / 0x1_0000_0000), true);
    }
    return this.put(new Uint8Array(view.buffer));
  }

  /** Readies the task to make a system call. Strings among the arguments are put into its memory. */
  prepare(name: string, ...args: (number | string)[]): number {
    const row = callRows.find((each) => each.name === name);
    assert(row !== undefined, `no system call ${name}`);
    const { tx } = this;
    const values = args.map((argument) => (typeof argument === "string" ? this.put(argument) : argument));
    const { registers } = this.#call;
    for (let i = 0; i < 6; i++) setX(tx, registers, X.a0 + i, values[i] ?? 0);
    setX(tx, registers, X.a7, row.number);
    setPc(tx, registers, CODE);
    tx.commit();
    return row.number;
  }

  /** Whether the call that was prepared has ended (or the task runs another program). */
  get finished(): boolean {
    return pc(this.tx, this.#call.registers) !== CODE;
  }

  /** a0, as a signed number. */
  get result(): number {
    const at = this.#call.registers + X.a0 * 2;
    return this.tx.memory[at + 1]! * 0x1_0000_0000 + (this.tx.memory[at]! >>> 0);
  }

  /** Carries the prepared call out, as a hart does; BLOCKS if it has to wait. */
  carryOut(number: number): number | typeof BLOCKS {
    const { tx } = this;
    const call = this.#call;
    const handler = callRows.find((row) => row.number === number)?.handler;
    for (;;) {
      clearWaits(tx);
      clearSegments(tx);
      try {
        if (handler === undefined) throw errno.ENOSYS;
        const result = handler(call);
        if (!Number.isNaN(result)) finishCall(tx, call.registers, result);
        if (Task.deadline.get(tx, this.task) !== 0) Task.deadline.set(tx, this.task, 0);
        tx.commit();
        this.clearLeftovers();
        return result;
      } catch (error) {
        if (error === NEEDS_FAULT) {
          tx.rollback();
          this.#faultIn(Task.space.get(tx, this.task));
          continue;
        }
        if (error === WOULD_BLOCK) {
          tx.rollback();
          const at = tx.slotAt + SLOT.deadline;
          const deadline = tx.words[at + 1]! * 0x1_0000_0000 + (tx.words[at]! >>> 0);
          if (deadline !== 0) Task.deadline.set(tx, this.task, deadline);
          tx.commit();
          return BLOCKS;
        }
        if (!(error instanceof Errno)) throw error;
        tx.rollback();
        finishCall(tx, call.registers, -error.code);
        if (Task.progress.get(tx, this.task) !== 0) Task.progress.set(tx, this.task, 0);
        if (Task.deadline.get(tx, this.task) !== 0) Task.deadline.set(tx, this.task, 0);
        tx.commit();
        return -error.code;
      }
    }
  }

  /** What the task would see to before its next instruction: what a finished execve has left. */
  clearLeftovers(): void {
    const { tx, task } = this;
    if ((Task.attention.get(tx, task) & ATTENTION.LEFTOVERS) !== 0)
      clearLeftovers(tx, task, { clearStep: clearExecStep });
  }

  /** Forgets a call that waits: the next one begins anew. */
  forget(): void {
    for (const field of [Task.deadline, Task.progress, Task.progressDetail]) field.set(this.tx, this.task, 0);
    this.tx.commit();
  }

  /** Makes a system call: its result, −errno, or BLOCKS. */
  call(name: string, ...args: (number | string)[]): number | typeof BLOCKS {
    return this.carryOut(this.prepare(name, ...args));
  }

  /** As `call`, with a failure as the errno's name. */
  attempt(name: string, ...args: (number | string)[]): number | string {
    const result = this.call(name, ...args);
    if (typeof result === "string" || !(result < 0 && result > -4096)) return result;
    return Object.values(errno).find(({ code }) => code === -result)?.name ?? String(result);
  }
}
