/**
 * What a task lets go of when it ends, in this order: what its own memory has to be told, its wait, its
 * descriptors, its file-system context, its address space, its credentials (kernel/process.ts).
 */

import { errno, Errno } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/hart-abi.ts";
import { none } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { closeFilesStep } from "../kernel/descriptors.ts";
import { endFutexWait, FUTEX_BITSET_ALL, type FutexKey, futexKey, wakeFutex } from "../kernel/futex.ts";
import { releaseMutexStep } from "../kernel/futex-owner.ts";
import { destroyStep, releaseSpace, spaceRoot } from "../kernel/memory/address-space.ts";
import { cancelFork } from "../kernel/memory/fork.ts";
import { translate } from "../kernel/memory/page-table.ts";
import { AddressSpace } from "../kernel/memory/records.ts";
import { getPointer, getU32, putU32 } from "../kernel/memory/user-memory.ts";
import { keepResident, registerTaskResource } from "../kernel/process.ts";
import { Process, Task } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { vfs } from "../servers/vfs/vfs.ts";

const FUTEX_WAITERS = 0x8000_0000;
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

/** Marks a robust mutex that the task held as owner-died and wakes one who waits for it. */
function releaseRobust(
  tx: Transaction,
  space: AddressSpace,
  tid: number,
  address: number,
  hasOwner: boolean,
): void {
  if (address % 4 !== 0) throw errno.EINVAL;
  const value = getU32(tx, space, address);
  if ((value & FUTEX_TID_MASK) !== tid) return;
  putU32(tx, space, address, ((value & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0);
  // Those who wait for an owner are seen to below.
  if ((value & FUTEX_WAITERS) !== 0 && !hasOwner)
    wakeFutex(tx, futexKey(tx, space, address, false), 1, FUTEX_BITSET_ALL);
}

/** Walks the list of robust mutexes (struct robust_list_head) of a task that ends. */
function walkRobustList(tx: Transaction, task: Task): void {
  const head = Task.robustList.get(tx, task);
  const space = Task.space.get(tx, task);
  const tid = Task.tid.get(tx, task);
  const offset = getPointer(tx, space, head + 8);
  const pending = getPointer(tx, space, head + 16);
  // The lowest bit of a pointer says that the mutex has an owner (FUTEX_LOCK_PI).
  const release = (pointer: number): void =>
    releaseRobust(tx, space, tid, pointer - (pointer % 2) + offset, pointer % 2 !== 0);
  let pointer = getPointer(tx, space, head);
  for (let i = 0; i < ROBUST_MAX && pointer - (pointer % 2) !== head && pointer !== 0; i++) {
    const after = getPointer(tx, space, pointer - (pointer % 2));
    if (pointer !== pending) release(pointer);
    pointer = after;
  }
  if (pending !== 0) release(pending);
}

registerTaskResource({
  name: "robust list",
  release(tx, task) {
    if (Task.robustList.get(tx, task) === 0) return true;
    if (Task.tid.get(tx, task) !== 0) attempt(() => walkRobustList(tx, task));
    Task.robustList.set(tx, task, 0);
    return false;
  },
});

registerTaskResource({
  name: "mutexes that others wait for",
  release(tx, task) {
    if (Task.tid.get(tx, task) === 0) return true;
    if (Task.mutexesReleased.get(tx, task) === 0) {
      // In a commit of its own, before the first look: see isForgotten.
      Task.mutexesReleased.set(tx, task, 1);
      return false;
    }
    return releaseMutexStep(tx, task, (key) => wordOf(tx, key));
  },
});

/** Where the word of a futex lies, −1 if it cannot be written where it is. */
function wordOf(tx: Transaction, key: FutexKey): number {
  if (key.object < 0) return (-1 - key.object) * PAGE_SIZE + key.offset;
  return translate(tx, spaceRoot(tx, key.object as AddressSpace), key.offset, true);
}

registerTaskResource({
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
        wakeFutex(tx, futexKey(tx, space, address, false), 1, FUTEX_BITSET_ALL);
      });
    }
    return false;
  },
});

registerTaskResource({
  name: "futex wait",
  release(tx, task) {
    if (Task.futexWaiter.get(tx, task) === 0) return true;
    endFutexWait(tx, task);
    return false;
  },
});

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
