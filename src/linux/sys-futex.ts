/** futex(2). */

import { errno } from "../base/errno.ts";
import { VA_LIMIT } from "../base/hart-abi.ts";
import type { CallHandler, SystemCall } from "../kernel/call.ts";
import {
  endFutexWait,
  enqueueFutex,
  FUTEX_BITSET_ALL,
  type FutexCaller,
  futexCondition,
  type FutexKey,
  futexKey,
  type FutexStep,
  isWoken,
  requeueFutex,
  wakeFutex,
  wakeTwoFutexes,
} from "../kernel/futex.ts";
import {
  isForgotten,
  leaveMutexWait,
  lockMutex,
  OWNED,
  ownsMutex,
  unlockMutex,
} from "../kernel/futex-owner.ts";
import { spaceRoot } from "../kernel/memory/address-space.ts";
import { translate } from "../kernel/memory/page-table.ts";
import { changeUserWord } from "../kernel/memory/user-word.ts";
import { checkUser } from "../kernel/memory/user-memory.ts";
import { Kernel, Task } from "../kernel/task.ts";
import { kernelOf } from "../kernel/process.ts";
import { threadOf } from "../kernel/thread.ts";
import { type CallRow, flagSet, partial, type RestartKind } from "./row.ts";
import { readTimespec } from "./time-values.ts";
import { readUser, spaceOf } from "./user.ts";

const OP = {
  WAIT: 0,
  WAKE: 1,
  REQUEUE: 3,
  CMP_REQUEUE: 4,
  WAKE_OP: 5,
  LOCK_PI: 6,
  UNLOCK_PI: 7,
  TRYLOCK_PI: 8,
  WAIT_BITSET: 9,
  WAKE_BITSET: 10,
  LOCK_PI2: 13,
} as const;
const FUTEX_PRIVATE_FLAG = 128;
const FUTEX_CLOCK_REALTIME = 256;
const COMMAND = 127;

/** Where the word at `address` lies, its page present. Throws EINVAL if it is not aligned, EFAULT. */
function locate(call: SystemCall, address: number): number {
  if (address % 4 !== 0) throw errno.EINVAL;
  readUser(call, address, 4);
  const physical = translate(call.tx, spaceRoot(call.tx, spaceOf(call)), address, false);
  if (physical < 0) throw errno.EFAULT;
  return physical;
}

function keyOf(call: SystemCall, address: number): FutexKey {
  return futexKey(call.tx, spaceOf(call), address, (call.int(1) & FUTEX_PRIVATE_FLAG) !== 0);
}

/** The key of a word that is not looked at. As on Linux, one that only the caller's threads use need not exist. */
function keyAt(call: SystemCall, address: number): FutexKey {
  if (address % 4 !== 0) throw errno.EINVAL;
  if ((call.int(1) & FUTEX_PRIVATE_FLAG) === 0) locate(call, address);
  else if (!(address + 4 <= VA_LIMIT)) throw errno.EFAULT;
  return keyOf(call, address);
}

/** The monotonic time at which a wait ends. WAIT takes a length, WAIT_BITSET a moment of one of two clocks. */
function endOfWait(call: SystemCall, command: number): number {
  if (call.address(3) === 0) return Number.POSITIVE_INFINITY;
  const time = readTimespec(call, call.address(3));
  if (command === OP.WAIT) return call.now() + time;
  const { clock } = threadOf(call.tx);
  if (command === OP.LOCK_PI || (call.int(1) & FUTEX_CLOCK_REALTIME) !== 0)
    return call.now() + time - clock.realtime();
  return time + Kernel.bootedAt.get(call.tx, kernelOf(call.tx));
}

function wait(call: SystemCall, command: number, bitset: number): number {
  const { tx, task } = call;
  if (bitset === 0) throw errno.EINVAL;
  const end = endOfWait(call, command);
  if (Task.futexWaiter.get(tx, task) === 0) {
    const physical = locate(call, call.address(0));
    enqueueFutex(tx, task, keyOf(call, call.address(0)), physical, call.int(2), bitset);
    call.step();
  }
  if (isWoken(tx, task)) {
    endFutexWait(tx, task);
    return 0;
  }
  const deadline = call.deadlineAt(end);
  if (call.now() >= deadline) {
    // A result, not a throw: the waiter must be gone with it.
    return endFutexWait(tx, task) ? 0 : -errno.ETIMEDOUT.code;
  }
  throw call.waitFor(futexCondition(tx, task));
}

/** Where the word at `address` lies, to be written. Throws EINVAL if it is not aligned, EFAULT. */
function locateToWrite(call: SystemCall, address: number): number {
  const { tx } = call;
  if (address % 4 !== 0) throw errno.EINVAL;
  checkUser(tx, spaceOf(call), address, 4, true);
  const physical = translate(tx, spaceRoot(tx, spaceOf(call)), address, true);
  if (physical < 0) throw errno.EFAULT;
  return physical;
}

/** Commits that the call is going to change the word of a mutex: see futex-owner.ts. */
function begin(call: SystemCall): void {
  Task.progress.set(call.tx, call.task, 1);
  call.step();
}

/** LOCK_PI, LOCK_PI2 and TRYLOCK_PI: owns the mutex at the end, or fails. */
function lock(call: SystemCall, command: number): number {
  const { tx, task } = call;
  const address = call.address(0);
  const end = command === OP.TRYLOCK_PI ? 0 : endOfWait(call, command);
  if (Task.futexWaiter.get(tx, task) === 0) {
    if (Task.progress.get(tx, task) === 0) {
      if (ownsMutex(tx, task, locateToWrite(call, address))) throw errno.EDEADLK;
      begin(call);
    }
    const physical = locateToWrite(call, address);
    const outcome = lockMutex(tx, task, keyOf(call, address), physical, command !== OP.TRYLOCK_PI);
    Task.progress.set(tx, task, 0);
    if (outcome === OWNED.TAKEN) return 0;
    call.step();
  }
  return awaitMutex(call, end);
}

/** Waits until the owner has given the mutex to the task, or the time is over. */
function awaitMutex(call: SystemCall, end: number): number {
  const { tx, task } = call;
  if (isWoken(tx, task)) {
    endFutexWait(tx, task);
    return 0;
  }
  if (isForgotten(tx, task)) {
    // The owner ended just before the task was enqueued: what it has left is seen from the beginning.
    endFutexWait(tx, task);
    call.step();
    return lock(call, call.int(1) & COMMAND);
  }
  const deadline = call.deadlineAt(end);
  if (call.now() >= deadline) {
    return leaveMutexWait(tx, task) ? 0 : -errno.ETIMEDOUT.code;
  }
  throw call.waitFor(futexCondition(tx, task));
}

function unlock(call: SystemCall): number {
  const { tx, task } = call;
  const address = call.address(0);
  if (Task.progress.get(tx, task) === 0) {
    if (!ownsMutex(tx, task, locateToWrite(call, address))) throw errno.EPERM;
    begin(call);
  }
  const physical = locateToWrite(call, address);
  unlockMutex(tx, task, keyOf(call, address), physical);
  Task.progress.set(tx, task, 0);
  return 0;
}

/** The new value of the second word of WAKE_OP; the operation is bits 28–31 of `encoded`, 31 a shift. */
function operate(encoded: number, old: number): number {
  let operand = (encoded << 8) >> 20;
  if (encoded < 0) operand = 1 << (operand & 31);
  switch ((encoded >> 28) & 7) {
    case 0:
      return operand;
    case 1:
      return (old + operand) | 0;
    case 2:
      return old | operand;
    case 3:
      return old & ~operand;
    case 4:
      return old ^ operand;
    default:
      throw errno.ENOSYS;
  }
}

/** Whether the old value of the second word of WAKE_OP passes the comparison in `encoded`. */
function compare(encoded: number, old: number): boolean {
  const operand = (encoded << 20) >> 20;
  switch ((encoded >> 24) & 15) {
    case 0:
      return old === operand;
    case 1:
      return old !== operand;
    case 2:
      return old < operand;
    case 3:
      return old <= operand;
    case 4:
      return old > operand;
    case 5:
      return old >= operand;
    default:
      throw errno.ENOSYS;
  }
}

// What wakes or moves many goes in steps, which together are one moment for those who wait (kernel/futex.ts). How many
// of the first and of the second kind they have seen to is in the halves of the high word of Task.progress; fewer tasks
// than either can hold exist. The low word is WAKE_OP's.

/** How many the call may wake or move. As on Linux, waking none wakes one. */
function most(call: SystemCall, count: number, least: number): number {
  return Math.min(Math.max(count, least), Kernel.taskMax.get(call.tx, kernelOf(call.tx)));
}

/** Steps until one has not been full; what they have done together. */
function inSteps(
  call: SystemCall,
  step: (caller: FutexCaller, first: number, second: number) => FutexStep,
): number {
  const { tx, task } = call;
  const countsAt = Task.progress.at(task) + 1;
  for (;;) {
    const counts = tx.words[countsAt]!;
    const done = step({ task, goesOn: counts !== 0 }, counts & 0xffff, counts >>> 16);
    const first = (counts & 0xffff) + done.first;
    const second = (counts >>> 16) + done.second;
    if (!done.full) {
      if (Task.progress.get(tx, task) !== 0) Task.progress.set(tx, task, 0);
      return first + second;
    }
    tx.store(countsAt, first | (second << 16));
    call.step();
  }
}

function wake(call: SystemCall, bitset: number): number {
  if (bitset === 0) throw errno.EINVAL;
  const limit = most(call, call.int(2), 1);
  return inSteps(call, (caller, woken) =>
    wakeFutex(call.tx, caller, keyAt(call, call.address(0)), limit - woken, bitset),
  );
}

function requeue(call: SystemCall, isComparing: boolean): number {
  if (call.int(2) < 0 || call.int(3) < 0) throw errno.EINVAL;
  const [wakes, moves] = [most(call, call.int(2), 0), most(call, call.int(3), 0)];
  return inSteps(call, (caller, woken, moved) => {
    const physical = isComparing ? locate(call, call.address(0)) : 0;
    const expected = isComparing && !caller.goesOn ? call.int(5) : undefined;
    const keys = [keyAt(call, call.address(0)), keyAt(call, call.address(4))] as const;
    return requeueFutex(call.tx, caller, keys, [wakes - woken, moves - moved], physical, expected);
  });
}

/**
 * What WAKE_OP has found when it changed its word: whose waiters are to be woken. The note that it has (user-word.ts)
 * is the low word of Task.progress.
 */
const CHANGED = { ONE: 1, BOTH: 2 } as const;

/** Changes the second word, wakes waiters of the first, and of the second if its old value was as wanted. */
function wakeOp(call: SystemCall): number {
  const encoded = call.int(5);
  operate(encoded, 0);
  compare(encoded, 0);
  const limits = [most(call, call.int(2), 1), most(call, call.int(3), 1)] as const;
  return inSteps(call, (caller, first, second) => {
    const own = keyAt(call, call.address(0));
    const physical = locateToWrite(call, call.address(4));
    const keys = [own, keyOf(call, call.address(4))] as const;
    return wakeTwoFutexes(call.tx, caller, keys, [limits[0] - first, limits[1] - second], () =>
      isSecondMeant(call, physical, encoded),
    );
  });
}

/** Changes the word, unless an earlier attempt has done so; whether its old value was as wanted. */
function isSecondMeant({ tx, task }: SystemCall, physical: number, encoded: number): boolean {
  const noteAt = Task.progress.at(task);
  changeUserWord(
    tx,
    physical,
    noteAt,
    (old) => operate(encoded, old),
    (old) => (compare(encoded, old) ? CHANGED.BOTH : CHANGED.ONE),
  );
  return tx.words[noteAt] === CHANGED.BOTH;
}

const futex: CallHandler = (call) => {
  const command = call.int(1) & COMMAND;
  switch (command) {
    case OP.WAIT:
      return wait(call, command, FUTEX_BITSET_ALL);
    case OP.WAIT_BITSET:
      return wait(call, command, call.int(5));
    case OP.WAKE:
      return wake(call, FUTEX_BITSET_ALL);
    case OP.WAKE_BITSET:
      return wake(call, call.int(5));
    case OP.REQUEUE:
    case OP.CMP_REQUEUE:
      return requeue(call, command === OP.CMP_REQUEUE);
    case OP.WAKE_OP:
      return wakeOp(call);
    case OP.LOCK_PI:
    case OP.LOCK_PI2:
    case OP.TRYLOCK_PI:
      return lock(call, command);
    case OP.UNLOCK_PI:
      return unlock(call);
    default:
      throw errno.ENOSYS;
  }
};

/** A wait for a mutex goes on after any handler; one with a limit that is a length would get it anew. */
function restartOf(call: SystemCall): RestartKind {
  const command = call.int(1) & COMMAND;
  if (command === OP.LOCK_PI || command === OP.LOCK_PI2) return "always";
  return call.address(3) === 0 ? "restart" : "interrupt";
}

const FLAGS = flagSet(
  { FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME },
  { mask: COMMAND, names: Object.entries(OP).map(([name, value]) => [`FUTEX_${name}`, value] as const) },
);

export const futexRows: readonly CallRow[] = [
  partial(
    98,
    "futex",
    ["address", FLAGS, "unsigned", "address", "address", "hex"],
    "mutexes with owners (PI), but nobody inherits a priority; no requeueing to them (WAIT_REQUEUE_PI: ENOSYS)",
    futex,
    { wait: "enqueue", restartOf },
  ),
];
