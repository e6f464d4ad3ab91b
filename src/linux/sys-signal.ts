/** System calls about signals: actions, masks, sending, waiting for them, alternate stacks. */

import { errno } from "../base/errno.ts";
import type { Transaction } from "../heap/transaction.ts";
import { IN_CALL } from "../kernel/attend.ts";
import { type CallHandler, NO_RESULT, type SignalInfo, type SystemCall } from "../kernel/call.ts";
import { batchAfter, lockTree, processOf, sendToBatch, taskOf } from "../kernel/process.ts";
import {
  ACTION,
  checkSignal,
  defaultAction,
  discardIgnored,
  handlerOf,
  infoOf,
  nextSignal,
  sendToProcess,
  sendToTask,
  setMask,
  SI,
  SIG,
  SIG_DFL,
  SIG_IGN,
  signalInfo,
  SIGNALS_MAX,
  takeSignal,
} from "../kernel/signal.ts";
import { ATTENTION, LIFE, Process, SignalHandlers, Task } from "../kernel/task.ts";
import { WOULD_BLOCK } from "../kernel/request.ts";
import { auth } from "../servers/auth/auth.ts";
import { CAP } from "../servers/auth/capabilities.ts";
import { Credentials } from "../kernel/credentials.ts";
import { type CallRow, full, nameSet } from "./row.ts";
import { popSignalFrame, siginfoBytes, SIGINFO_BYTES } from "./signal-frame.ts";
import { readUser, writeBack, writeUser } from "./user.ts";
import { readTimespec } from "./time-values.ts";

const SIGSET_BYTES = 8;
const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
const SIG_SETMASK = 2;
const SS_ONSTACK = 1;
const SS_DISABLE = 2;
const SS_AUTODISARM = 0x8000_0000;
/** MINSIGSTKSZ of riscv64 (asm/signal.h takes the generic 2048). */
const STACK_MIN = 2048;

/** A signal set as two words. */
export type Mask = [low: number, high: number];

/** The signal set at user address `address`; its size must be that of the kernel's sigset_t. */
export function readMask(call: SystemCall, address: number, size: number): Mask {
  if (size !== SIGSET_BYTES) throw errno.EINVAL;
  const bytes = readUser(call, address, SIGSET_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, SIGSET_BYTES);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

function maskBytes(low: number, high: number): Uint8Array {
  return new Uint8Array(new Int32Array([low, high]).buffer);
}

const sigaction: CallHandler = (call) => {
  const { tx } = call;
  const signal = call.int(0);
  checkSignal(signal);
  if (call.address(3) !== SIGSET_BYTES) throw errno.EINVAL;
  const handlers = Process.handlers.get(tx, call.process);
  const at = (signal - 1) * ACTION.words;
  const fresh = call.address(1) !== 0 ? readUser(call, call.address(1), ACTION.words * 4) : undefined;
  if (fresh !== undefined && (signal === SIG.KILL || signal === SIG.STOP)) throw errno.EINVAL;
  // The old action is written before any lock is taken: the user's pages come first in the order.
  if (call.address(2) !== 0) {
    const old = new Int32Array(ACTION.words);
    for (let i = 0; i < ACTION.words; i++) old[i] = SignalHandlers.actions.get(tx, handlers, at + i);
    writeBack(call, call.address(2), new Uint8Array(old.buffer));
  }
  if (fresh === undefined) return 0;
  SignalHandlers.lock.acquire(tx, handlers);
  const view = new DataView(fresh.buffer, fresh.byteOffset, fresh.byteLength);
  for (let i = 0; i < ACTION.words; i++)
    SignalHandlers.actions.set(tx, handlers, at + i, view.getInt32(i * 4, true));
  const kill = 1 << (SIG.KILL - 1);
  const stop = 1 << (SIG.STOP - 1);
  const mask = SignalHandlers.actions.get(tx, handlers, at + ACTION.mask);
  SignalHandlers.actions.set(tx, handlers, at + ACTION.mask, mask & ~(kill | stop));
  const handler = handlerOf(tx, handlers, signal);
  if (handler === SIG_IGN || (handler === SIG_DFL && defaultAction(signal) === "ignore")) {
    discardIgnored(tx, call.process, signal);
  }
  return 0;
};

const sigprocmask: CallHandler = (call) => {
  const { tx, task } = call;
  const oldLow = Task.mask.get(tx, task, 0);
  const oldHigh = Task.mask.get(tx, task, 1);
  if (call.address(3) !== SIGSET_BYTES) throw errno.EINVAL;
  const wanted = call.address(1) !== 0 ? readMask(call, call.address(1), SIGSET_BYTES) : undefined;
  if (call.address(2) !== 0) writeBack(call, call.address(2), maskBytes(oldLow, oldHigh));
  if (wanted === undefined) return 0;
  const [low, high] = wanted;
  switch (call.int(0)) {
    case SIG_BLOCK:
      setMask(tx, task, oldLow | low, oldHigh | high);
      return 0;
    case SIG_UNBLOCK:
      setMask(tx, task, oldLow & ~low, oldHigh & ~high);
      return 0;
    case SIG_SETMASK:
      setMask(tx, task, low, high);
      return 0;
    default:
      throw errno.EINVAL;
  }
};

const sigpending: CallHandler = (call) => {
  const { tx, task, process } = call;
  if (call.address(1) > SIGSET_BYTES) throw errno.EINVAL;
  const pending = (word: number): number =>
    (Task.pending.get(tx, task, word) | Process.pending.get(tx, process, word)) &
    Task.mask.get(tx, task, word);
  writeUser(call, call.address(0), maskBytes(pending(0), pending(1)).subarray(0, call.address(1)));
  return 0;
};

/**
 * Puts another mask in place of the task's until the call ends: the first step of the second kind of wait
 * (rule R1). On later attempts the mask is there already. From this commit on the task waits: a signal that the
 * mask lets through ends the call, though the hart may die before the task has parked.
 */
export function replaceMask(call: SystemCall, mask: Mask): void {
  const { tx, task } = call;
  if ((Task.attention.get(tx, task) & ATTENTION.RESTORE_MASK) !== 0) return;
  Task.savedMask.set(tx, task, 0, Task.mask.get(tx, task, 0));
  Task.savedMask.set(tx, task, 1, Task.mask.get(tx, task, 1));
  setMask(tx, task, mask[0], mask[1]);
  Task.attention.set(tx, task, Task.attention.get(tx, task) | ATTENTION.RESTORE_MASK);
  Task.inCall.set(tx, task, IN_CALL.WAITING);
  call.step();
}

const sigsuspend: CallHandler = (call) => {
  replaceMask(call, readMask(call, call.address(0), call.address(1)));
  // It never ends by itself: the handler that a signal enters makes it EINTR (kernel/attend.ts).
  throw WOULD_BLOCK;
};

const sigtimedwait: CallHandler = (call) => {
  const { tx, task } = call;
  const [low, high] = readMask(call, call.address(0), call.address(3));
  const timeout = call.address(2) !== 0 ? readTimespec(call, call.address(2)) : Number.POSITIVE_INFINITY;
  const wanted: Mask = [low & ~((1 << (SIG.KILL - 1)) | (1 << (SIG.STOP - 1))), high];
  const signal = nextSignal(tx, task, wanted);
  if (signal !== 0) {
    const info = infoOf(tx, task, signal);
    if (call.address(1) !== 0) writeUser(call, call.address(1), siginfoBytes(info));
    if (takeSignal(tx, task, signal, info)) {
      Task.sigwait.set(tx, task, 0, 0);
      Task.sigwait.set(tx, task, 1, 0);
      return signal;
    }
  }
  if (Task.sigwait.get(tx, task, 0) !== wanted[0] || Task.sigwait.get(tx, task, 1) !== wanted[1]) {
    // A sender must know that this task takes the signal although it is blocked.
    Process.signals.acquire(tx, call.process);
    Task.sigwait.set(tx, task, 0, wanted[0]);
    Task.sigwait.set(tx, task, 1, wanted[1]);
    call.step();
    return sigtimedwait(call);
  }
  const deadline = call.deadlineIn(timeout);
  if (call.now() >= deadline) throw errno.EAGAIN;
  throw WOULD_BLOCK;
};

const sigreturn: CallHandler = (call) => {
  popSignalFrame(call);
  return NO_RESULT;
};

const sigaltstack: CallHandler = (call) => {
  const { tx, task, registers } = call;
  const base = Task.stackBase.get(tx, task);
  const size = Task.stackSize.get(tx, task);
  const sp = unsignedSp(tx, registers);
  const onStack = size > 0 && sp > base && sp <= base + size;
  const fresh = call.address(0) !== 0 ? readUser(call, call.address(0), 24) : undefined;
  if (call.address(1) !== 0) {
    const old = new DataView(new ArrayBuffer(24));
    old.setBigUint64(0, BigInt(base), true);
    old.setInt32(8, size === 0 ? SS_DISABLE : onStack ? SS_ONSTACK : 0, true);
    old.setBigUint64(16, BigInt(size), true);
    writeBack(call, call.address(1), new Uint8Array(old.buffer));
  }
  if (fresh === undefined) return 0;
  if (onStack) throw errno.EPERM;
  const view = new DataView(fresh.buffer, fresh.byteOffset, 24);
  const flags = view.getUint32(8, true);
  const mode = flags & ~SS_AUTODISARM;
  if (mode !== 0 && mode !== SS_ONSTACK && mode !== SS_DISABLE) throw errno.EINVAL;
  const newBase = Number(view.getBigUint64(0, true));
  const newSize = Number(view.getBigUint64(16, true));
  if (mode !== SS_DISABLE && newSize < STACK_MIN) throw errno.ENOMEM;
  if (newBase + newSize > Number.MAX_SAFE_INTEGER) throw errno.ENOMEM;
  Task.stackBase.set(tx, task, mode === SS_DISABLE ? 0 : newBase);
  Task.stackSize.set(tx, task, mode === SS_DISABLE ? 0 : newSize);
  Task.stackFlags.set(tx, task, flags);
  return 0;
};

function unsignedSp(tx: Transaction, registers: number): number {
  return (tx.memory[registers + 5]! >>> 0) * 0x1_0000_0000 + (tx.memory[registers + 4]! >>> 0);
}

// Sending.

export function userInfo(call: SystemCall, signal: number, code: number): SignalInfo {
  const { tx, task, process } = call;
  const uid = Credentials.uid.get(tx, Task.credentials.get(tx, task));
  return signalInfo(signal, code, { pid: Process.pid.get(tx, process), uid });
}

/** Whether the caller may send `signal` to `process`. */
export function maySend(call: SystemCall, process: Process, signal: number): boolean {
  const { tx, task } = call;
  const target = Process.tasks.first(tx, process);
  if (target === 0) {
    // A zombie, or init, which is the kernel itself: known by its user id alone.
    const own = Task.credentials.get(tx, task);
    const uid = Process.uid.get(tx, process);
    if (Credentials.uid.get(tx, own) === uid || Credentials.effectiveUid.get(tx, own) === uid) return true;
    return auth.isCapable(tx, own, CAP.KILL) !== 0;
  }
  if (signal === SIG.CONT && Process.session.get(tx, process) === Process.session.get(tx, call.process))
    return true;
  return auth.mayKill(tx, Task.credentials.get(tx, task), Task.credentials.get(tx, target)) !== 0;
}

const kill: CallHandler = (call) => {
  const { tx } = call;
  const pid = call.int(0);
  const signal = call.int(1);
  if (signal < 0 || signal > SIGNALS_MAX) throw errno.EINVAL;
  lockTree(tx);
  if (pid > 0) {
    const process = processOf(tx, pid);
    if (process === 0) throw errno.ESRCH;
    if (!maySend(call, process, signal)) throw errno.EPERM;
    if (signal !== 0 && Process.tasks.first(tx, process) !== 0)
      sendToProcess(tx, process, userInfo(call, signal, SI.USER));
    return 0;
  }
  return killMany(call, pid, signal);
};

/** What a kill of many has seen so far, in Task.progressDetail. */
const SEEN = { FOUND: 1, PERMITTED: 2, SELF: 4 } as const;

/**
 * kill(2) of a group or of all processes: a batch in each transaction, Task.progress being the serial of the last
 * process that has been seen to. The caller comes with the last batch, since its own signal may end it.
 */
function killMany(call: SystemCall, pid: number, signal: number): number {
  const { tx, task } = call;
  const group = pid === 0 ? Process.group.get(tx, call.process) : -pid;
  const info = userInfo(call, signal, SI.USER);
  const isTarget = (process: Process): boolean => {
    const isMeant =
      pid === -1
        ? Process.pid.get(tx, process) > 1 && process !== call.process
        : Process.group.get(tx, process) === group;
    // A process that is still being made has no task yet.
    return (
      isMeant && (Process.tasks.first(tx, process) !== 0 || Process.life.get(tx, process) !== LIFE.ALIVE)
    );
  };
  for (;;) {
    const { processes, next } = batchAfter(tx, Task.progress.get(tx, task), isTarget);
    const permitted = processes.filter((process) => maySend(call, process, signal));
    let seen = Task.progressDetail.get(tx, task);
    if (processes.length > 0) seen |= SEEN.FOUND;
    if (permitted.length > 0) seen |= SEEN.PERMITTED;
    if (permitted.includes(call.process)) seen |= SEEN.SELF;
    const others = permitted.filter((process) => process !== call.process);
    if (next === 0 && (seen & SEEN.SELF) !== 0) others.push(call.process);
    if (signal !== 0) sendToBatch(tx, others, info);
    if (next === 0) return endKill(call, seen);
    Task.progress.set(tx, task, next);
    Task.progressDetail.set(tx, task, seen);
    // What has been begun is carried to its end, whatever comes for the caller meanwhile.
    Task.inCall.set(tx, task, IN_CALL.UNINTERRUPTIBLE);
    call.step();
    lockTree(tx);
  }
}

function endKill({ tx, task }: SystemCall, seen: number): number {
  if (Task.progress.get(tx, task) !== 0) {
    Task.progress.set(tx, task, 0);
    Task.progressDetail.set(tx, task, 0);
  }
  if ((seen & SEEN.PERMITTED) !== 0) return 0;
  return (seen & SEEN.FOUND) !== 0 ? -errno.EPERM.code : -errno.ESRCH.code;
}

function sendToThread(
  call: SystemCall,
  group: number,
  tid: number,
  signal: number,
  info: SignalInfo,
): number {
  const { tx } = call;
  if (tid <= 0 || group === 0 || group < -1) throw errno.EINVAL;
  if (signal < 0 || signal > SIGNALS_MAX) throw errno.EINVAL;
  lockTree(tx);
  const task = taskOf(tx, tid);
  if (task === 0) throw errno.ESRCH;
  const process = Task.process.get(tx, task);
  if (group !== -1 && Process.pid.get(tx, process) !== group) throw errno.ESRCH;
  if (!maySend(call, process, signal)) throw errno.EPERM;
  if (signal !== 0) sendToTask(tx, task, info);
  return 0;
}

const tkill: CallHandler = (call) =>
  sendToThread(call, -1, call.int(0), call.int(1), userInfo(call, call.int(1), SI.TKILL));
const tgkill: CallHandler = (call) => {
  if (call.int(0) <= 0) throw errno.EINVAL;
  return sendToThread(call, call.int(0), call.int(1), call.int(2), userInfo(call, call.int(2), SI.TKILL));
};

/** The siginfo that a program hands over for sigqueue; it may not pretend to be the kernel or kill(2). */
export function readInfo(call: SystemCall, address: number, signal: number, own: boolean): SignalInfo {
  const bytes = readUser(call, address, SIGINFO_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, SIGINFO_BYTES);
  const code = view.getInt32(8, true);
  if ((code >= 0 || code === SI.TKILL) && !own) throw errno.EPERM;
  return signalInfo(signal, code, {
    errno: view.getInt32(4, true),
    pid: view.getInt32(16, true),
    uid: view.getUint32(20, true),
    valueLow: view.getInt32(24, true),
    valueHigh: view.getInt32(28, true),
  });
}

const sigqueueinfo: CallHandler = (call) => {
  const { tx } = call;
  const pid = call.int(0);
  const signal = call.int(1);
  if (signal < 0 || signal > SIGNALS_MAX) throw errno.EINVAL;
  const info = readInfo(call, call.address(2), signal, pid === Process.pid.get(tx, call.process));
  lockTree(tx);
  const process = processOf(tx, pid);
  if (process === 0) throw errno.ESRCH;
  if (!maySend(call, process, signal)) throw errno.EPERM;
  if (signal !== 0) sendToProcess(tx, process, info);
  return 0;
};

const tgsigqueueinfo: CallHandler = (call) => {
  const signal = call.int(2);
  const own = call.int(0) === Process.pid.get(call.tx, call.process);
  return sendToThread(call, call.int(0), call.int(1), signal, readInfo(call, call.address(3), signal, own));
};

const SA_FLAGS = nameSet({ SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK });

export const signalRows: readonly CallRow[] = [
  full(129, "kill", ["pid", "signal"], kill),
  full(130, "tkill", ["pid", "signal"], tkill),
  full(131, "tgkill", ["pid", "pid", "signal"], tgkill),
  full(132, "sigaltstack", ["address", "address"], sigaltstack),
  full(133, "rt_sigsuspend", ["sigset", "unsigned"], sigsuspend, { wait: "enqueue", restart: "interrupt" }),
  full(134, "rt_sigaction", ["signal", "address", "address", "unsigned"], sigaction),
  full(135, "rt_sigprocmask", [SA_FLAGS, "sigset", "sigset-out", "unsigned"], sigprocmask),
  full(136, "rt_sigpending", ["sigset-out", "unsigned"], sigpending),
  full(137, "rt_sigtimedwait", ["sigset", "address", "timespec", "unsigned"], sigtimedwait, {
    wait: "retry",
    restart: "interrupt",
  }),
  full(138, "rt_sigqueueinfo", ["pid", "signal", "address"], sigqueueinfo),
  full(139, "rt_sigreturn", [], sigreturn, { result: "none" }),
  full(240, "rt_tgsigqueueinfo", ["pid", "pid", "signal", "address"], tgsigqueueinfo),
];
