/**
 * What a task lets go of when it ends, in this order: its wait, what its own memory has to be told, its
 * descriptors, its file-system context, its address space, its credentials (kernel/process.ts).
 */

import { errno, Errno } from "../base/errno.ts";
import { none } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { closeFilesStep } from "../kernel/descriptors.ts";
import { futexKey, wakeFirst } from "../kernel/futex.ts";
import { leaveMutexWait, releaseMutexStep } from "../kernel/futex-owner.ts";
import { destroyStep, releaseSpace, spaceRoot } from "../kernel/memory/address-space.ts";
import { cancelFork } from "../kernel/memory/fork.ts";
import { translate } from "../kernel/memory/page-table.ts";
import { AddressSpace } from "../kernel/memory/records.ts";
import { checkUser, getPointer, getU32, putU32 } from "../kernel/memory/user-memory.ts";
import { exchangeUserWord, loadUserWord } from "../kernel/memory/user-word.ts";
import { keepResident, registerTaskResource, type TaskResource } from "../kernel/process.ts";
import { Process, Task } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { vfs } from "../servers/vfs/vfs.ts";

const FUTEX_WAITERS = 0x8000_0000 | 0;
const FUTEX_OWNER_DIED = 0x4000_0000;
const FUTEX_TID_MASK = 0x3fff_ffff;
/** Entries of a robust list that are followed (ROBUST_LIST_LIMIT of Linux). */
const ROBUST_MAX = 2048;

/** Does `work` with the task's memory; what the memory does not allow is nobody's problem any more. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
  }
}

/** A robust list of a task that ends, as it is followed: where the mutexes lie from the entries, and who held them. */
interface RobustList {
  readonly space: AddressSpace;
  readonly tid: number;
  readonly offset: number;
}

/**
 * Marks a robust mutex that the task held as owner-died and wakes one who waits for it; whether it did that. The word
 * is not undone, so one that has been marked already by an attempt that died is seen to again: at worst somebody wakes
 * for nothing. `isPending`: the task was about to lock or unlock it, and a free one may have a waiter not yet woken.
 */
function releaseRobust(tx: Transaction, list: RobustList, pointer: number, isPending: boolean): boolean {
  const { space, tid } = list;
  // The lowest bit of a pointer says that the mutex has an owner (FUTEX_LOCK_PI). Who waits for that is seen to below.
  const hasOwner = pointer % 2 !== 0;
  const address = pointer - (pointer % 2) + list.offset;
  if (address % 4 !== 0) throw errno.EINVAL;
  checkUser(tx, space, address, 4, true);
  const physical = translate(tx, spaceRoot(tx, space), address, true);
  if (physical < 0) throw errno.EFAULT;
  const key = futexKey(tx, space, address, false);
  for (;;) {
    const value = loadUserWord(tx, physical);
    const isMarked = (value & (FUTEX_TID_MASK | FUTEX_OWNER_DIED)) === FUTEX_OWNER_DIED;
    const isLeft = isPending && !hasOwner && value === 0;
    if ((value & FUTEX_TID_MASK) === tid) {
      const marked = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
      if (!exchangeUserWord(tx, physical, value, marked)) continue;
    } else if (!isMarked && !isLeft) return false;
    if (hasOwner || ((value & FUTEX_WAITERS) === 0 && !isLeft)) return false;
    wakeFirst(tx, key);
    return true;
  }
}

/** Entries that one step follows, at most to the first mutex for which somebody waits: each has a lock of its own. */
const ROBUST_STEP = 64;

/**
 * Follows some of the list of robust mutexes (struct robust_list_head) of a task that ends; true when it is done. Where
 * it goes on stands in the task, since an entry may be another's as soon as its mutex is free.
 */
function followRobustList(tx: Transaction, task: Task): boolean {
  const head = Task.robustList.get(tx, task);
  const space = Task.space.get(tx, task);
  // A signed long, and with glibc less than 0.
  const offset = (getU32(tx, space, head + 12) | 0) * 0x1_0000_0000 + (getU32(tx, space, head + 8) >>> 0);
  const list: RobustList = { space, tid: Task.tid.get(tx, task), offset };
  const pending = getPointer(tx, space, head + 16);
  let seen = Task.robustSeen.get(tx, task);
  let pointer = seen === 0 ? getPointer(tx, space, head) : Task.robustNext.get(tx, task);
  for (let i = 0; i < ROBUST_STEP; i++) {
    if (seen >= ROBUST_MAX || pointer - (pointer % 2) === head || pointer === 0) {
      if (pending !== 0) releaseRobust(tx, list, pending, true);
      return true;
    }
    const entry = pointer;
    pointer = getPointer(tx, space, entry - (entry % 2));
    seen++;
    if (entry !== pending && releaseRobust(tx, list, entry, false)) break;
  }
  Task.robustNext.set(tx, task, pointer);
  Task.robustSeen.set(tx, task, seen);
  return false;
}

// First of all: a task that is handed a mutex while it ends must be seen to have it.
registerTaskResource({
  name: "futex wait",
  release(tx, task) {
    if (Task.futexWaiter.get(tx, task) === 0) return true;
    leaveMutexWait(tx, task);
    return false;
  },
});

const robustList: TaskResource = {
  name: "robust list",
  release(tx, task) {
    if (Task.robustList.get(tx, task) === 0) return true;
    let isDone = true;
    if (Task.tid.get(tx, task) !== 0) {
      attempt(() => {
        isDone = followRobustList(tx, task);
      });
    }
    if (isDone) {
      Task.robustList.set(tx, task, 0);
      if (Task.robustSeen.get(tx, task) !== 0) Task.robustSeen.set(tx, task, 0);
    }
    return false;
  },
};

const awaitedMutexes: TaskResource = {
  name: "mutexes that others wait for",
  release(tx, task) {
    if (Task.tid.get(tx, task) === 0) return true;
    if (Task.mutexesReleased.get(tx, task) === 0) {
      // In a commit of its own, before the first look: see isForgotten.
      Task.mutexesReleased.set(tx, task, 1);
      return false;
    }
    return releaseMutexStep(tx, task);
  },
};

const childTid: TaskResource = {
  name: "child tid",
  release(tx, task) {
    const address = Task.clearTid.get(tx, task);
    if (address === 0) return true;
    Task.clearTid.set(tx, task, 0);
    const space = Task.space.get(tx, task);
    // Nobody is left to read it if the space goes too.
    if (Task.tid.get(tx, task) !== 0 && AddressSpace.references.get(tx, space) > 1) {
      attempt(() => {
        putU32(tx, space, address, 0);
        wakeFirst(tx, futexKey(tx, space, address, false));
      });
    }
    return false;
  },
};

const ofMemory = [robustList, awaitedMutexes, childTid];
for (const resource of ofMemory) registerTaskResource(resource);

/** What others in its memory are told when a task leaves it by execve: one bounded step; true when nothing is left. */
export const leaveMemoryStep = (tx: Transaction, task: Task): boolean =>
  ofMemory.every((resource) => resource.release(tx, task));

registerTaskResource({
  name: "descriptors",
  release(tx, task) {
    const files = Task.files.get(tx, task);
    if (files === 0) return true;
    if (closeFilesStep(tx, files)) Task.files.set(tx, task, none());
    return false;
  },
});

registerTaskResource({
  name: "file-system context",
  release(tx, task) {
    const context = Task.fs.get(tx, task);
    if (context === 0) return true;
    Task.fs.set(tx, task, none());
    vfs.dropContext(tx, context);
    return false;
  },
});

registerTaskResource({
  name: "address space",
  release(tx, task) {
    const space = Task.space.get(tx, task);
    if (space === 0) return true;
    const forked = AddressSpace.forkOf.get(tx, space);
    keepResident(tx, task);
    if (forked !== 0) cancelFork(tx, space, AddressSpace.claim.get(tx, forked));
    else if (AddressSpace.references.get(tx, space) === 0) {
      if (destroyStep(tx, space)) {
        Task.space.set(tx, task, none());
        const process = Task.process.get(tx, task);
        if (process !== 0 && Process.space.get(tx, process) === space) Process.space.set(tx, process, none());
      }
    } else if (!releaseSpace(tx, space, task)) Task.space.set(tx, task, none());
    return false;
  },
});

registerTaskResource({
  name: "credentials",
  release(tx, task) {
    const credentials = Task.credentials.get(tx, task);
    if (credentials === 0) return true;
    Task.credentials.set(tx, task, none());
    auth.drop(tx, credentials);
    return false;
  },
});
