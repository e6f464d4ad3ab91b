/**
 * A hart: the loop that runs tasks. One thread, one request slot, one task at a time.
 *
 *     turn ──▶ safepoint ──▶ deadlines, host work ──▶ pick a task ──▶ run it ──▶ turn
 *                                                        │ none
 *                                                        ▼
 *                                                  park on the doorbell
 *
 * A task runs in translated code until it traps. A system call is a request: its handler runs in the hart's
 * transaction, and result, next pc and effects become final in one commit (rule R2); translated code then
 * goes on without having left. What makes it leave is an answer of `LEAVE`: the task has parked, ended, or
 * has to attend to something.
 *
 * A request that fails by a bug is rolled back and run again, ATTEMPTS times; then it is poison: its owner
 * alone gets an error, the system goes on (rule R14).
 *
 * The object holds nothing that cannot be rebuilt: current task and transaction state are in the heap.
 */

import { assert } from "../base/assert.ts";
import { errno, Errno } from "../base/errno.ts";
import {
  ACCESS,
  type AccessKind,
  EXIT,
  HART_INTERRUPT,
  HART_RUNS,
  REG_BUDGET,
  REG_PC,
  REG_RESERVATION,
  REG_ROOT,
  REG_SCRATCH,
  REG_X,
  RUNS_KEPT,
  RUNS_VOID,
} from "../base/hart-abi.ts";
import { SLOT } from "../heap/layout.ts";
import type { HeapAddr } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import { fireAlarm } from "./alarm.ts";
import { attend, forgetCall, forgetProgress, IN_CALL, keepCall } from "./attend.ts";
import { type Personality, SystemCall } from "./call.ts";
import { FAULT, faultCode, faultSignal, handleFault } from "./memory/fault.ts";
import { translate } from "./memory/page-table.ts";
import { AddressSpace } from "./memory/records.ts";
import {
  flushCode,
  hasPending,
  leaveSpace,
  pendingTaking,
  publishSafepoint,
  releasePending,
} from "./memory/safepoint.ts";
import { FAULT_IN, faultIn, NEEDS_FAULT } from "./memory/user-memory.ts";
import {
  cancelHostCall,
  finishHostCall,
  HOST_OPERATIONS,
  HostCall,
  type HostCallHandler,
  type HostOperation,
} from "./host-call.ts";
import { chargeTime } from "./cpu-timers.ts";
import { recordCrash, recordMissingCall } from "./ledger.ts";
import { ServerDied } from "./placement/call.ts";
import { BACKGROUND_READ, BACKGROUND_WRITE } from "./job-control.ts";
import { hasItsFiles } from "./descriptors.ts";
import { beginExit, signalGroupLater } from "./process.ts";
import { finishCall, signed, X } from "./registers.ts";
import { clearSegments, clearWaits, WOULD_BLOCK } from "./request.ts";
import {
  doorbellAt,
  Hart,
  isAnyIdle,
  nextDeadline,
  othersReady,
  parkTask,
  pickTask,
  retireTask,
  ringDoorbell,
  wakeDue,
  yieldTask,
} from "./scheduler.ts";
import { BUS, forceToTask, ILL, SIG, signalInfo, TRAP } from "./signal.ts";
import { ATTENTION, Limits, Process, RUN, Task } from "./task.ts";
import { threadOf } from "./thread.ts";
import { CUT_BUDGET, FIRST_BUDGET, nextBudget } from "./turn.ts";

/** Word of a register file that holds the number of the system call, a7. */
const NUMBER_WORD: number = (REG_X + X.a7 * 8) >> 2;
/** Low word of the pc, which tells whether a call is finished. */
const PC_WORD: number = REG_PC >> 2;

/** Answers of the imported functions to translated code. */
const GO_ON = 0;
const LEAVE = 1;

/** Times that one attempt of a call may ask for user memory before that counts as EFAULT. */
const FAULTS_MAX = 10_000;

/** Times that a request is run again after it has failed by a bug. */
export const ATTEMPTS = 3;
/** Servers' threads that may end under one request, which may be anybody's fault, before that counts as a failure. */
export const SERVER_DEATHS = 3;

/** What has gone wrong with a request so far. */
interface Failures {
  crashes: number;
  deaths: number;
}

/** Translated code, as the hart sees it. */
export interface Translated {
  /** Runs from REG_PC until an exit; `registers` and `hart` are physical addresses. Returns an EXIT value. */
  run(registers: number, hart: number): number;
  /** Hears the code stamp of the address space whose code runs next, when it is another one. */
  setCode?(stamp: number): void;
}

/** What a hart is put together from. */
export interface HartParts {
  readonly tx: Transaction;
  readonly index: number;
  readonly personality: Personality;
  /** Sleeps until the heap word at `word` is no longer `value`, is notified, or `ms` milliseconds have passed. */
  wait(word: HeapAddr, value: number, ms: number): void;
  /** Work that came from the host: finished I/O, calls of the API. True if there was any. */
  hostWork(tx: Transaction): boolean;
  /** What carries out the calls of the host. */
  readonly hostCalls: { readonly [O in HostOperation]: HostCallHandler };
  /** Value of a counter CSR (cycle, time, instret) as two words, or undefined: illegal. */
  csr(csr: number): readonly [low: number, high: number] | undefined;
}

export class HartLoop {
  readonly parts: HartParts;
  readonly tx: Transaction;
  readonly hart: Hart;
  readonly call: SystemCall;
  #translated: Translated | undefined;
  /** The code stamp that translated code has heard last. */
  #codeStamp = 0;
  /** The entry stamp under which the hart keeps runs; 0: it has to forget them after each safepoint. */
  #entryStamp = 0;
  readonly #runsAt: number;
  readonly #blockAddress: number;
  readonly #interruptAt: number;
  readonly #inUserAt: HeapAddr;
  readonly #handlers: Personality["handlers"];
  readonly #trace: Personality["trace"];

  constructor(parts: HartParts, hart: Hart) {
    this.parts = parts;
    this.tx = parts.tx;
    this.hart = hart;
    this.call = new SystemCall(parts.tx);
    this.#interruptAt = Hart.blockAt.get(parts.tx, hart) + (HART_INTERRUPT >> 2);
    this.#runsAt = Hart.blockAt.get(parts.tx, hart) + (HART_RUNS >> 2);
    // A hart before this one may have used the block.
    parts.tx.memory[this.#runsAt] = RUNS_VOID;
    this.#blockAddress = Hart.blockAt.get(parts.tx, hart) * 4;
    this.#inUserAt = Hart.inUser.at(hart);
    this.#handlers = parts.personality.handlers;
    this.#trace = parts.personality.trace;
  }

  /** The functions that translated code imports. */
  readonly imports: {
    syscall(regs: number): number;
    fault(regs: number, vaLow: number, vaHigh: number, kind: number): number;
    csr(regs: number, csr: number): number;
  } = {
    syscall: () => {
      const answer = this.#systemCall();
      if (answer === GO_ON) this.#tellCode();
      return answer;
    },
    fault: (_regs, vaLow, vaHigh, kind) => {
      const answer = this.#fault((vaHigh >>> 0) * 0x1_0000_0000 + (vaLow >>> 0), kind as AccessKind);
      if (answer === GO_ON) this.#tellCode();
      return answer;
    },
    csr: (regs, csr) => {
      const value = this.parts.csr(csr);
      if (value === undefined) return LEAVE;
      const at = (regs >>> 0) / 4 + (REG_SCRATCH >> 2);
      this.tx.memory[at] = value[0];
      this.tx.memory[at + 1] = value[1];
      return GO_ON;
    },
  };

  /** Gives the hart its translated code, which was instantiated with {@link imports}. */
  attach(translated: Translated): void {
    this.#translated = translated;
  }

  /**
   * Tells translated code if what it may run is other code than before, and if what it keeps of pages is void
   * (safepoint.ts, noteTaken). To be called after each safepoint.
   */
  #tellCode(): void {
    const w = this.tx.words;
    const space = w[this.call.task + Task.space.word]!;
    const isSingle = w[space + AddressSpace.references.word]! <= 1;
    const entries = isSingle ? w[space + AddressSpace.entryStamp.word]! : 0;
    if (entries !== this.#entryStamp || entries === 0) {
      this.#entryStamp = entries;
      const m = this.tx.memory;
      if (m[this.#runsAt] === RUNS_KEPT) m[this.#runsAt] = RUNS_VOID;
    }
    const stamp = w[space + AddressSpace.codeStamp.word]!;
    if (stamp === this.#codeStamp) return;
    this.#codeStamp = stamp;
    this.#translated?.setCode?.(stamp);
  }

  /** One turn: some work for the host, or one task's time on the hart. False if there was nothing to do. */
  turn(): boolean {
    const { tx, hart } = this;
    tx.words[Hart.beats.at(hart)] = (tx.words[Hart.beats.at(hart)]! + 1) | 0;
    let worked = this.housekeep();
    const task = pickTask(tx, hart);
    if (task !== 0) {
      tx.commit();
      worked = true;
      this.#runTask(task);
    } else tx.rollback();
    return worked;
  }

  /** Wakes what is due and does what the host has asked for. */
  housekeep(): boolean {
    const { tx, parts } = this;
    let worked = false;
    const deadline = nextDeadline(tx);
    if (deadline !== 0) {
      const now = threadOf(tx).clock.monotonic();
      if (deadline <= now) {
        while (wakeDue(tx, now)) worked = true;
      }
    }
    return parts.hostWork(tx) || worked;
  }

  /**
   * Runs until `stopping` says so, parking when there is nothing to do.
   */
  run(stopping: () => boolean): void {
    const { tx } = this;
    const idleAt = Hart.idle.at(this.hart);
    const bell = doorbellAt(tx);
    while (!stopping()) {
      const rung = Atomics.load(tx.words, bell);
      if (this.turn()) continue;
      Atomics.store(tx.words, idleAt, 1);
      leaveSpace(tx);
      const deadline = nextDeadline(tx);
      let ms = 1000;
      if (deadline !== 0) ms = Math.max(0, Math.min(ms, (deadline - threadOf(tx).clock.monotonic()) / 1e6));
      if (!othersReady(tx)) this.parts.wait(bell, rung, ms);
      Atomics.store(tx.words, idleAt, 0);
    }
  }

  #runTask(task: Task): void {
    const { tx, hart, call } = this;
    if (Task.hostCall.get(tx, task) !== 0) {
      this.#runHostCall(task);
      return;
    }
    if (Task.isTimer.get(tx, task) !== 0) {
      this.#runAlarm(task);
      return;
    }
    assert(this.#translated !== undefined, "hart without translated code");
    const registers = Task.registers.get(tx, task);
    call.task = task;
    call.registers = registers;
    tx.words[tx.slotAt + SLOT.owner] = task;
    publishSafepoint(tx, Task.space.get(tx, task));
    // No other task's store may let this one's SC succeed: a reservation does not outlive a switch.
    tx.memory[registers + (REG_RESERVATION >> 2)] = -1;
    tx.memory[registers + (REG_RESERVATION >> 2) + 1] = -1;
    let counted = threadOf(tx).clock.monotonic();
    call.isTurnCut = false;
    for (;;) {
      if (Task.attention.get(tx, task) !== 0 && !this.#attend(task)) return;
      const budget = Task.turnBudget.get(tx, task) || FIRST_BUDGET;
      // A cut holds until the turn ends, whatever else leaves user mode meanwhile.
      tx.memory[registers + (REG_BUDGET >> 2)] = call.isTurnCut ? Math.min(budget, CUT_BUDGET) : budget;
      this.#tellCode();
      tx.words[Hart.inUser.at(hart)] = 1;
      const reason = this.#translated.run(registers * 4, this.#blockAddress);
      tx.words[Hart.inUser.at(hart)] = 0;
      if (Hart.current.get(tx, hart) !== task) return;
      publishSafepoint(tx, Task.space.get(tx, task));
      switch (reason) {
        case EXIT.LEFT:
          break;
        case EXIT.BUDGET: {
          const now = threadOf(tx).clock.monotonic();
          Task.runTime.set(tx, task, Task.runTime.get(tx, task) + (now - counted));
          if (!call.isTurnCut) Task.turnBudget.set(tx, task, nextBudget(budget, now - counted));
          call.isTurnCut = false;
          chargeTime(tx, Task.process.get(tx, task), now - counted);
          tx.commit();
          counted = now;
          this.housekeep();
          if (othersReady(tx)) {
            if (isAnyIdle(tx)) ringDoorbell(tx, 1);
            else {
              yieldTask(tx, hart, task);
              tx.commit();
              return;
            }
          }
          break;
        }
        case EXIT.INTERRUPT:
          Atomics.store(tx.memory, this.#interruptAt, 0);
          this.housekeep();
          break;
        case EXIT.FENCE:
          flushCode(tx, Task.space.get(tx, task), false);
          tx.commit();
          break;
        case EXIT.ILLEGAL:
          this.#trap(task, SIG.ILL, ILL.ILLOPC);
          break;
        case EXIT.BREAKPOINT:
          this.#trap(task, SIG.TRAP, TRAP.BRKPT);
          break;
        default:
          assert(false, `translated code left with ${reason}`);
      }
    }
  }

  /** Lets an alarm do what it is for. One that fails by a bug each time costs its hart, and in the end itself. */
  #runAlarm(task: Task): void {
    const { tx, hart } = this;
    for (let attempt = 1; ; attempt++) {
      try {
        fireAlarm(tx, hart, task, threadOf(tx).clock.monotonic());
        return;
      } catch (error) {
        tx.rollback();
        // A crash behind the commit point: it has been done.
        if (Hart.current.get(tx, hart) !== task) return;
        recordCrash(tx, "alarm", error);
        if (attempt >= ATTEMPTS) throw error;
      }
    }
  }

  /** Runs a call of the host until it is done or has to wait. */
  #runHostCall(task: Task): void {
    const { tx, call } = this;
    const record = Task.hostCall.get(tx, task);
    call.task = task;
    call.registers = 0;
    // The host is nobody's job: it has no process group and no terminal.
    tx.words[tx.slotAt + SLOT.owner] = 0;
    const operation = HOST_OPERATIONS[HostCall.operation.get(tx, record)]!;
    const failures: Failures = { crashes: 0, deaths: 0 };
    for (;;) {
      const failure = HostCall.result.get(tx, record);
      if (failure < 0) {
        this.#cancelHostCall(record);
        this.#endHostCall(task, failure);
        return;
      }
      try {
        const result = this.parts.hostCalls[operation](call, record);
        this.#endHostCall(task, result);
        return;
      } catch (error) {
        if (error === WOULD_BLOCK) {
          if (this.#park(task, true)) return;
          continue;
        }
        const failed = this.#failed(error, operation, failures);
        // A crash behind the commit point: the call is finished (rule R2).
        if (Hart.current.get(tx, this.hart) !== task) return;
        if (failed === undefined) continue;
        // By a commit of its own: a hart that dies while it gives the call up must not have it begun anew.
        HostCall.result.set(tx, record, -failed.code);
        tx.commit();
      }
    }
  }

  /** Gives up what the attempts of a failed call have left; what cannot be given up, by a bug, stays. */
  #cancelHostCall(record: HostCall): void {
    const { tx } = this;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      try {
        cancelHostCall(tx, record);
        return;
      } catch (error) {
        tx.rollback();
        recordCrash(tx, "cancelling a host call", error);
      }
    }
  }

  #endHostCall(task: Task, result: number): void {
    const { tx, hart } = this;
    forgetCall(tx, task);
    forgetProgress(tx, task);
    finishHostCall(tx, Task.hostCall.get(tx, task), result);
    retireTask(tx, hart, task, RUN.NEW);
    tx.commit();
  }

  /** A trap at REG_PC becomes a signal. */
  #trap(task: Task, signal: number, code: number): void {
    const { tx } = this;
    const at = Task.registers.get(tx, task) + (REG_PC >> 2);
    const address = (tx.memory[at + 1]! >>> 0) * 0x1_0000_0000 + (tx.memory[at]! >>> 0);
    forceToTask(tx, task, signalInfo(signal, code, { address }));
    tx.commit();
  }

  /** True if the task may go on in user mode. */
  #attend(task: Task): boolean {
    const { tx, parts, call } = this;
    for (let attempt = 1; ; attempt++) {
      try {
        return attend(call, this.hart, parts.personality) === "goes on";
      } catch (error) {
        tx.rollback();
        if (error === WOULD_BLOCK || error === NEEDS_FAULT) {
          if (!this.#obtain(task, error)) return false;
          attempt = 0;
          continue;
        }
        if (Hart.current.get(tx, this.hart) !== task) return false;
        recordCrash(tx, "attend", error);
        if (attempt > ATTEMPTS) {
          // What cannot be attended to ends its process; what cannot end is a bug that must be seen.
          assert((Task.attention.get(tx, task) & 2) === 0, `task cannot end: ${String(error)}`);
          beginExit(tx, Task.process.get(tx, task), SIG.KILL);
          tx.commit();
        }
      }
    }
  }

  /**
   * One system call. The whole of a call that does not wait, fail or trap is in this function, kept small so
   * that the engine compiles handler, transaction and this into one piece; everything else is `#slowCall`.
   */
  #systemCall(): number {
    const { call, tx } = this;
    const w = tx.words;
    w[this.#inUserAt] = 0;
    // What an earlier call may have noted and not used.
    w[tx.slotAt + SLOT.deadline] = 0;
    w[tx.slotAt + SLOT.deadline + 1] = 0;
    // Both as they are before the call: exec and sigreturn replace the registers, a crash may come after that.
    const number = tx.memory[call.registers + NUMBER_WORD]!;
    const calledAt = tx.memory[call.registers + PC_WORD]!;
    const handler = this.#handlers[number];
    if (handler === undefined || this.#trace !== undefined)
      return this.#slowCall(number, calledAt, undefined);
    const { task } = call;
    try {
      const result = handler(call);
      // NO_RESULT is not a number, and alone unequal to itself.
      // oxlint-disable-next-line no-self-compare
      if (result === result) finishCall(tx, call.registers, result);
      // Task.inCall says that there may be a deadline and more.
      if (w[task + Task.inCall.word] !== 0) forgetCall(tx, task);
      tx.commit();
    } catch (error) {
      return this.#slowCall(number, calledAt, error);
    }
    if (call.yields || w[task + Task.attention.word] !== 0 || hasPending(tx, Task.space.get(tx, task))) {
      return this.#afterCall(task);
    }
    w[this.#inUserAt] = 1;
    return GO_ON;
  }

  /** Call `number` at `calledAt` (low word of the pc): traced, or its first attempt threw `thrown`. */
  #slowCall(number: number, calledAt: number, thrown: unknown): number {
    const { call } = this;
    this.#trace?.enter(call, number);
    const result = this.#insist(call.task, number, calledAt, thrown);
    if (result === undefined) return LEAVE;
    this.#trace?.exit(call, number, result);
    return this.#afterCall(call.task);
  }

  /**
   * Runs the call's handler until it is finished: its result, or undefined if the task has left its hart or
   * has to attend to something first. `thrown`: what the first attempt has thrown already.
   */
  #insist(task: Task, number: number, calledAt: number, thrown: unknown): number | undefined {
    const { call, tx } = this;
    const { registers } = call;
    const handler = this.#handlers[number];
    let faults = 0;
    const failures: Failures = { crashes: 0, deaths: 0 };
    let error = thrown;
    for (;;) {
      if (error === undefined) {
        try {
          if (handler === undefined) throw errno.ENOSYS;
          const result = handler(call);
          if (!Number.isNaN(result)) finishCall(tx, registers, result);
          if (Task.inCall.get(tx, task) !== 0) forgetCall(tx, task);
          tx.commit();
          return result;
        } catch (caught) {
          error = caught;
        }
      }
      const reason = error;
      error = undefined;
      if (reason === WOULD_BLOCK) {
        if (this.#park(task, this.parts.personality.isInterruptible(call))) return undefined;
      } else if (reason === NEEDS_FAULT && ++faults < FAULTS_MAX) {
        tx.rollback();
        if (!this.#obtain(task, reason, true)) return undefined;
        if ((Task.attention.get(tx, task) & ATTENTION.EXIT) !== 0) return undefined;
      } else if (reason === BACKGROUND_READ || reason === BACKGROUND_WRITE) {
        this.#stopBackground(task, reason === BACKGROUND_READ ? SIG.TTIN : SIG.TTOU);
        return undefined;
      } else {
        const failed = this.#failed(reason === NEEDS_FAULT ? errno.EFAULT : reason, number, failures);
        // A crash behind the commit point: the call is finished (rule R2), and has been carried out.
        if (tx.memory[registers + PC_WORD] !== calledAt) return signed(tx, registers, X.a0);
        if (failed === undefined) continue;
        if (failed === errno.ENOSYS) recordMissingCall(tx, number);
        finishCall(tx, registers, -failed.code);
        forgetCall(tx, task);
        forgetProgress(tx, task);
        tx.commit();
        return -failed.code;
      }
    }
  }

  /** What is to be seen to between the end of a call and user mode. */
  #afterCall(task: Task): number {
    const { call, tx } = this;
    if (Task.space.get(tx, task) !== 0) this.#awaitTaking(Task.space.get(tx, task));
    if (call.yields) {
      call.yields = false;
      if (othersReady(tx)) {
        yieldTask(tx, this.hart, task);
        tx.commit();
        return LEAVE;
      }
    }
    if (Task.attention.get(tx, task) !== 0) return LEAVE;
    tx.words[this.#inUserAt] = 1;
    return GO_ON;
  }

  /** The caller's group, in the background, touched its terminal: it gets a signal, and the call runs again. */
  #stopBackground(task: Task, signal: number): void {
    const { tx } = this;
    tx.rollback();
    signalGroupLater(tx, Process.group.get(tx, Task.process.get(tx, task)), signal);
    if (Task.inCall.get(tx, task) === 0) Task.inCall.set(tx, task, IN_CALL.WAITING);
    tx.commit();
  }

  /** Rolls a failed request back; the errno that its owner gets, or undefined: run it again. */
  #failed(error: unknown, what: number | string, failures: Failures): Errno | undefined {
    this.tx.rollback();
    if (error instanceof Errno) return error;
    if (error instanceof ServerDied && ++failures.deaths < SERVER_DEATHS) return undefined;
    recordCrash(this.tx, `call ${what}`, error);
    return ++failures.crashes >= ATTEMPTS ? errno.EIO : undefined;
  }

  /** Parks the task until what is on its way from the host has come: no signal but a fatal one ends that. */
  #parkForDisk(task: Task): boolean {
    const { tx } = this;
    tx.words[tx.slotAt + SLOT.diskWait] = 0;
    if (keepCall(tx, task, true)) tx.commit();
    const parked = parkTask(tx, this.hart, task, 0, false);
    clearWaits(tx);
    clearSegments(tx);
    if (parked) leaveSpace(tx);
    return parked || (Task.attention.get(tx, task) & ATTENTION.EXIT) !== 0;
  }

  /** Parks the task in its call; false if the call must run again at once. True also if a signal interrupts. */
  #park(task: Task, interruptible: boolean): boolean {
    const { tx } = this;
    const w = tx.words;
    tx.rollback();
    if (w[tx.slotAt + SLOT.diskWait] !== 0) return this.#parkForDisk(task);
    const at = tx.slotAt + SLOT.deadline;
    const deadline = w[at + 1]! * 0x1_0000_0000 + (w[at]! >>> 0);
    if (deadline !== 0 && Task.deadline.get(tx, task) !== deadline) Task.deadline.set(tx, task, deadline);
    const inCall = interruptible ? IN_CALL.WAITING : IN_CALL.UNINTERRUPTIBLE;
    const was = Task.inCall.get(tx, task);
    // One that a dead hart has left (recovery.ts) waits as any other from here on.
    if (was === 0 || was === IN_CALL.UNINTERRUPTIBLE) {
      if (was !== inCall) Task.inCall.set(tx, task, inCall);
    }
    tx.commit();
    const wakeAt = deadline >= Number.MAX_SAFE_INTEGER ? 0 : deadline;
    const parked = hasItsFiles(tx, task) && parkTask(tx, this.hart, task, wakeAt, interruptible);
    if (!parked) tx.rollback();
    clearWaits(tx);
    clearSegments(tx);
    w[at] = 0;
    w[at + 1] = 0;
    if (parked) {
      leaveSpace(tx);
      return true;
    }
    return (Task.attention.get(tx, task) & ~ATTENTION.RESTORE_MASK) !== 0;
  }

  #fault(address: number, kind: AccessKind): number {
    const inUser = Hart.inUser.at(this.hart);
    this.tx.words[inUser] = 0;
    const answer = this.#mapPage(address, kind);
    this.tx.words[inUser] = 1;
    return answer;
  }

  #mapPage(address: number, kind: AccessKind): number {
    const { tx, call } = this;
    const { task } = call;
    const space = Task.space.get(tx, task);
    assert(space !== 0, "a task without an address space is in user mode");
    if (kind === ACCESS.WRITE && isMisalignedAtomic(tx, call.registers, address)) {
      return this.#faultSignal(task, SIG.BUS, BUS.ADRALN, address);
    }
    for (let failures = 0; ; ) {
      try {
        const outcome = handleFault(tx, space, address, kind, stackLimit(tx, task));
        const signal = faultSignal(outcome);
        if (signal !== 0) {
          tx.rollback();
          return this.#faultSignal(task, signal, faultCode(outcome), address);
        }
        this.#countFault(task, space);
        tx.commit();
        if (outcome === FAULT.WAIT) this.#awaitTaking(space);
        return Task.attention.get(tx, task) !== 0 ? LEAVE : GO_ON;
      } catch (error) {
        tx.rollback();
        if (error === WOULD_BLOCK) {
          if (!this.#obtain(task, error)) return LEAVE;
          if ((Task.attention.get(tx, task) & ATTENTION.EXIT) !== 0) return LEAVE;
        } else if (error instanceof Errno) {
          // Out of frames, tables or heap: the task that asked is ended, as Linux's out-of-memory killer would.
          beginExit(tx, Task.process.get(tx, task), SIG.KILL);
          tx.commit();
          return LEAVE;
        } else {
          recordCrash(tx, "fault", error);
          if (++failures >= ATTEMPTS) return this.#faultSignal(task, SIG.BUS, BUS.ADRERR, address);
        }
      }
    }
  }

  #faultSignal(task: Task, signal: number, code: number, address: number): number {
    forceToTask(this.tx, task, signalInfo(signal, code, { address }));
    this.tx.commit();
    return LEAVE;
  }

  /**
   * Gets what a rolled-back request lacked: user memory (NEEDS_FAULT), or a page that is on its way
   * (WOULD_BLOCK). False if the task has parked for that or has to attend to something first. `isInCall`: for a call,
   * which may be in the middle of its steps.
   */
  #obtain(task: Task, lack: unknown, isInCall = false): boolean {
    const { tx } = this;
    const space = Task.space.get(tx, task);
    let missing = lack;
    for (;;) {
      if (missing === WOULD_BLOCK) {
        tx.words[tx.slotAt + SLOT.diskWait] = 0;
        if (isInCall && keepCall(tx, task, true)) tx.commit();
        const parked = parkTask(tx, this.hart, task, 0, false);
        clearWaits(tx);
        if (parked) {
          leaveSpace(tx);
          return false;
        }
        if ((Task.attention.get(tx, task) & ATTENTION.EXIT) !== 0) {
          // A task that is to end does not park; what it waits for comes by the work that harts do anyway.
          if (!this.housekeep()) this.parts.wait(doorbellAt(tx), Atomics.load(tx.words, doorbellAt(tx)), 1);
        }
        return true;
      }
      try {
        const came = faultIn(tx, space, stackLimit(tx, task));
        if (came === FAULT_IN.DONE) this.#countFault(task, space);
        tx.commit();
        if (came === FAULT_IN.DONE) return true;
        if (came === FAULT_IN.WAIT) this.#awaitTaking(space);
      } catch (error) {
        tx.rollback();
        if (error === WOULD_BLOCK) missing = error;
        else if (error instanceof Errno) {
          beginExit(tx, Task.process.get(tx, task), SIG.KILL);
          tx.commit();
          return true;
        } else {
          recordCrash(tx, "fault-in", error);
          return true;
        }
      }
    }
  }

  /** A fault is resolved, in the open transaction, with the space's lock: for getrusage. */
  #countFault(task: Task, space: AddressSpace): void {
    const { tx } = this;
    Task.minorFaults.add(tx, task, 1);
    if (!AddressSpace.lock.heldBy(tx, space)) return;
    const resident = AddressSpace.residentPages.get(tx, space);
    if (resident > AddressSpace.residentPeak.get(tx, space))
      AddressSpace.residentPeak.set(tx, space, resident);
  }

  /** Waits until every hart has noticed what was taken away from the space, then frees it (rule R7). */
  #awaitTaking(space: AddressSpace): void {
    const { tx } = this;
    if (space === 0) return;
    while (hasPending(tx, space)) {
      publishSafepoint(tx, space);
      const pending = pendingTaking(tx, space);
      if (pending !== undefined) {
        this.parts.wait(pending.word, pending.value, 1);
        continue;
      }
      releasePending(tx, space);
      tx.commit();
    }
  }
}

/** RLIMIT_STACK of the task's process, bytes. */
function stackLimit(tx: Transaction, task: Task): number {
  const limits = Process.limits.get(tx, Task.process.get(tx, task));
  if (limits === 0) return STACK_LIMIT_DEFAULT;
  const high = Limits.values.get(tx, limits, RLIMIT_STACK * 4 + 1) >>> 0;
  if (high >= 0x20_0000) return Number.POSITIVE_INFINITY;
  return high * 0x1_0000_0000 + (Limits.values.get(tx, limits, RLIMIT_STACK * 4) >>> 0);
}

const RLIMIT_STACK = 3;
const STACK_LIMIT_DEFAULT: number = 8 * 2 ** 20;

/** Whether a refused write is that of an LR, SC or AMO whose address is not a multiple of its size. */
function isMisalignedAtomic(tx: Transaction, registers: number, address: number): boolean {
  if (address % 4 === 0 && address % 8 === 0) return false;
  const at = registers + (REG_PC >> 2);
  const pc = (tx.memory[at + 1]! >>> 0) * 0x1_0000_0000 + (tx.memory[at]! >>> 0);
  const space = tx.memory[registers + (REG_ROOT >> 2)]! >>> 0;
  const low = translate(tx, space, pc, false);
  const high = translate(tx, space, pc + 2, false);
  if (low < 0 || high < 0) return false;
  const bytes = tx.memoryBytes;
  const word = bytes[low]! | (bytes[low + 1]! << 8) | (bytes[high]! << 16) | (bytes[high + 1]! << 24);
  if ((word & 0x7f) !== 0x2f) return false;
  return address % (((word >> 12) & 7) === 3 ? 8 : 4) !== 0;
}
