/** Memory: mmap and its kin, brk, membarrier, and the two calls that only riscv has. */

import { errno } from "../base/errno.ts";
import { PAGE_SIZE, VA_LIMIT } from "../base/hart-abi.ts";
import { none } from "../heap/record.ts";
import type { SystemCall } from "../kernel/call.ts";
import { getFile } from "../kernel/descriptors.ts";
import {
  HOLE,
  madvise as advise,
  mincore as residentPages,
  msync as synchronize,
} from "../kernel/memory/advise.ts";
import { brk as moveBreak } from "../kernel/memory/brk.ts";
import { runChange } from "../kernel/memory/change.ts";
import { MAP, mmap as mapMemory, munmap as unmapMemory } from "../kernel/memory/mmap.ts";
import { needMapped, setLocked } from "../kernel/memory/mlock.ts";
import { AddressSpace } from "../kernel/memory/records.ts";
import { mremap as remapMemory } from "../kernel/memory/mremap.ts";
import { mprotect as protect } from "../kernel/memory/protect.ts";
import { flushCode } from "../kernel/memory/safepoint.ts";
import { checkUser } from "../kernel/memory/user-memory.ts";
import { Task } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { CAP } from "../servers/auth/capabilities.ts";
import { MADV, MREMAP, MSYNC, PROT, RLIMIT } from "./abi-memory.ts";
import { limitOf, softLimit } from "./limits.ts";
import { type CallRow, flagSet, full, nameSet, partial } from "./row.ts";
import { readStruct, spaceOf, writeUser } from "./user.ts";

const PROT_KNOWN: number = Object.values(PROT).reduce((all, bit) => all | bit, 0);
/** Pages of a result vector that one call of mincore fills at a time. */
const MINCORE_STEP = 4096;

/** Runs a change of the caller's mappings to its end. */
function change(call: SystemCall, step: () => number): number {
  return runChange(call.tx, spaceOf(call), call.task, step);
}

function mmap(call: SystemCall): number {
  const flags = call.uint(3);
  const prot = call.uint(2);
  const offset = call.address(5);
  if ((prot & ~PROT_KNOWN) !== 0) throw errno.EINVAL;
  if (offset % PAGE_SIZE !== 0) throw errno.EINVAL;
  const anonymous = (flags & MAP.ANONYMOUS) !== 0;
  const request = {
    address: call.address(0),
    length: call.address(1),
    prot,
    flags,
    offset: anonymous ? 0 : offset,
    limit: softLimit(call, RLIMIT.AS),
    lockLimit: () => lockLimit(call),
  };
  if ((flags & MAP.LOCKED) !== 0) needLockLimit(call);
  // The file is looked up by each step: what the table does not hold any more is not mapped.
  return change(call, () => {
    const file = anonymous ? none<"file">() : getFile(call.tx, call.task, call.int(4));
    return mapMemory(call.tx, spaceOf(call), { ...request, file }, call.task);
  });
}

function munmap(call: SystemCall): number {
  return change(call, () => unmapMemory(call.tx, spaceOf(call), call.address(0), call.address(1), call.task));
}

function mprotect(call: SystemCall): number {
  return change(call, () =>
    protect(call.tx, spaceOf(call), call.address(0), call.address(1), call.uint(2), call.task),
  );
}

function mremap(call: SystemCall): number {
  const request = {
    address: call.address(0),
    oldLength: call.address(1),
    newLength: call.address(2),
    flags: call.uint(3),
    newAddress: call.address(4),
    limit: softLimit(call, RLIMIT.AS),
    lockLimit: () => lockLimit(call),
  };
  return change(call, () => remapMemory(call.tx, spaceOf(call), request, call.task));
}

function brk(call: SystemCall): number {
  const [data, all] = [softLimit(call, RLIMIT.DATA), softLimit(call, RLIMIT.AS)];
  const locks = (): number => lockLimit(call);
  return change(call, () => moveBreak(call.tx, spaceOf(call), call.address(0), data, all, call.task, locks));
}

function madvise(call: SystemCall): number {
  const advice = call.int(2);
  if (advice === MADV.POPULATE_READ || advice === MADV.POPULATE_WRITE) {
    return populate(call, advice === MADV.POPULATE_WRITE);
  }
  const result = change(call, () =>
    advise(call.tx, spaceOf(call), call.address(0), call.address(1), advice, call.task),
  );
  return result === HOLE ? -errno.ENOMEM.code : result;
}

/** Brings pages in, a bounded number in each attempt of the call; they stay, so the attempts come to an end. */
function populate(call: SystemCall, write: boolean): number {
  const [address, length] = [call.address(0), call.address(1)];
  if (address % PAGE_SIZE !== 0) throw errno.EINVAL;
  if (!(address + length <= VA_LIMIT)) throw errno.ENOMEM;
  checkUser(call.tx, spaceOf(call), address, length, write);
  return 0;
}

function msync(call: SystemCall): number {
  synchronize(call.tx, spaceOf(call), call.address(0), call.address(1), call.uint(2));
  return 0;
}

function mincore(call: SystemCall): number {
  const [address, length] = [call.address(0), call.address(1)];
  const end = address + Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
  for (let at = address; at < end; at += MINCORE_STEP * PAGE_SIZE) {
    const pages = Math.min(MINCORE_STEP, (end - at) / PAGE_SIZE);
    const vector = new Uint8Array(pages);
    residentPages(call.tx, spaceOf(call), at, pages * PAGE_SIZE, (index, resident) => {
      vector[index] = resident ? 1 : 0;
    });
    writeUser(call, call.address(2) + (at - address) / PAGE_SIZE, vector);
    call.step();
  }
  return 0;
}

// Locking. Nothing is ever swapped out, so it only counts.

/** Pages that the caller may lock. */
function lockLimit({ tx, task, process }: SystemCall): number {
  if (auth.isCapable(tx, Task.credentials.get(tx, task), CAP.IPC_LOCK) !== 0) return Number.POSITIVE_INFINITY;
  return Math.floor(limitOf(tx, process, RLIMIT.MEMLOCK) / PAGE_SIZE);
}

/** {@link lockLimit}; EPERM if nothing may be locked at all. */
function needLockLimit(call: SystemCall): number {
  const limit = lockLimit(call);
  if (limit === 0 && limitOf(call.tx, call.process, RLIMIT.MEMLOCK) === 0) throw errno.EPERM;
  return limit;
}

/** Locks or unlocks the pages of the range, up to the first hole, which is ENOMEM. */
function changeLocks(call: SystemCall, locked: boolean, limit: number): number {
  const first = Math.floor(call.address(0) / PAGE_SIZE);
  const end = Math.ceil((call.address(0) + call.address(1)) / PAGE_SIZE);
  if (!(end * PAGE_SIZE <= VA_LIMIT))
    throw call.address(0) + call.address(1) > 2 ** 63 ? errno.EINVAL : errno.ENOMEM;
  change(call, () => setLocked(call.tx, spaceOf(call), first, end, locked, limit, call.task));
  // What comes before a hole stays locked.
  call.step();
  AddressSpace.lock.acquire(call.tx, spaceOf(call));
  needMapped(call.tx, spaceOf(call), first, end);
  return 0;
}

function mlock(call: SystemCall): number {
  return changeLocks(call, true, needLockLimit(call));
}

function munlock(call: SystemCall): number {
  return changeLocks(call, false, Number.POSITIVE_INFINITY);
}

function mlock2(call: SystemCall): number {
  const MLOCK_ONFAULT = 1;
  call.refuseUnknown(call.uint(2), MLOCK_ONFAULT);
  return mlock(call);
}

function mlockall(call: SystemCall): number {
  const flags = call.uint(0);
  if (flags === 0 || (flags & ~MCL.KNOWN) !== 0 || flags === MCL.ONFAULT) throw errno.EINVAL;
  const { tx } = call;
  const space = spaceOf(call);
  const limit = needLockLimit(call);
  if ((flags & MCL.CURRENT) !== 0) {
    if (AddressSpace.virtualPages.get(tx, space) > limit) throw errno.ENOMEM;
    change(call, () =>
      setLocked(tx, space, 0, VA_LIMIT / PAGE_SIZE, true, Number.POSITIVE_INFINITY, call.task),
    );
  }
  return setFuture(call, (flags & MCL.FUTURE) !== 0);
}

function setFuture(call: SystemCall, on: boolean): number {
  const space = spaceOf(call);
  AddressSpace.lock.acquire(call.tx, space);
  AddressSpace.locksFuture.set(call.tx, space, on ? 1 : 0);
  return 0;
}

function munlockall(call: SystemCall): number {
  const all = VA_LIMIT / PAGE_SIZE;
  change(call, () => setLocked(call.tx, spaceOf(call), 0, all, false, Number.POSITIVE_INFINITY, call.task));
  return setFuture(call, false);
}

const MCL = { CURRENT: 1, FUTURE: 2, ONFAULT: 4, KNOWN: 7 } as const;

const MEMBARRIER = {
  QUERY: 0,
  GLOBAL: 1,
  GLOBAL_EXPEDITED: 2,
  REGISTER_GLOBAL_EXPEDITED: 4,
  PRIVATE_EXPEDITED: 8,
  REGISTER_PRIVATE_EXPEDITED: 16,
} as const;

/**
 * Guest accesses to memory are those of WebAssembly, whose atomic ones are sequentially consistent and whose
 * plain ones every host of Coppice keeps as ordered as RISC-V asks; a barrier for other threads is the
 * interruption that their harts' safepoints are, which comes with every system call.
 */
function membarrier(call: SystemCall): number {
  const command = call.uint(0);
  if (call.uint(1) !== 0) throw errno.EINVAL;
  const supported = MEMBARRIER.GLOBAL;
  if (command === MEMBARRIER.QUERY) return supported;
  if (command !== MEMBARRIER.GLOBAL) throw errno.EINVAL;
  return 0;
}

/** The code of the range has changed. Instructions are read from memory each time, so there is nothing to forget. */
function flushIcache(call: SystemCall): number {
  const SYS_RISCV_FLUSH_ICACHE_LOCAL = 1;
  const flags = call.uint(2);
  call.refuseUnknown(flags, SYS_RISCV_FLUSH_ICACHE_LOCAL);
  flushCode(call.tx, Task.space.get(call.tx, call.task), flags === 0);
  return 0;
}

/** Keys of riscv_hwprobe (Documentation/arch/riscv/hwprobe.rst) and what they are here. */
const HWPROBE: ReadonlyMap<number, readonly [low: number, high: number]> = new Map([
  // Vendor, architecture and implementation: none.
  [0, [0, 0]],
  [1, [0, 0]],
  [2, [0, 0]],
  // RISCV_HWPROBE_BASE_BEHAVIOR_IMA.
  [3, [1, 0]],
  // RISCV_HWPROBE_KEY_IMA_EXT_0: FD and C.
  [4, [3, 0]],
  // How fast misaligned accesses are: not said, so that libraries do not seek them.
  [5, [0, 0]],
  // No cache-block zeroing.
  [6, [0, 0]],
  // Highest user address.
  [7, [-1, Math.floor((VA_LIMIT - 1) / 0x1_0000_0000)]],
]);
const HWPROBE_PAIRS_MAX = 1024;

/** Pairs of 16 bytes: a key, which becomes −1 if nobody knows it, and its value. */
function hwprobe(call: SystemCall): number {
  const count = call.address(1);
  if (call.address(4) !== 0 || count > HWPROBE_PAIRS_MAX) throw errno.EINVAL;
  if (count === 0) return 0;
  const pairs = readStruct(call, call.address(0), count * 16);
  for (let at = 0; at < count * 16; at += 16) {
    const known = pairs.getInt32(at + 4, true) === 0 ? HWPROBE.get(pairs.getInt32(at, true)) : undefined;
    if (known === undefined) {
      pairs.setInt32(at, -1, true);
      pairs.setInt32(at + 4, -1, true);
    }
    pairs.setInt32(at + 8, known?.[0] ?? 0, true);
    pairs.setInt32(at + 12, known?.[1] ?? 0, true);
  }
  writeUser(call, call.address(0), pairs);
  return 0;
}

const protNames = flagSet(
  {
    PROT_SEM: 8,
    PROT_GROWSDOWN: PROT.GROWSDOWN,
    PROT_GROWSUP: PROT.GROWSUP,
    PROT_READ: 1,
    PROT_WRITE: 2,
    PROT_EXEC: 4,
  },
  { mask: 7, names: [["PROT_NONE", 0]] },
);
const mapNames = flagSet(
  Object.fromEntries(
    Object.entries(MAP)
      .filter(([, value]) => value > MAP.TYPE)
      .map(([name, value]) => [`MAP_${name}`, value]),
  ),
  {
    mask: MAP.TYPE,
    names: [
      ["MAP_SHARED", 1],
      ["MAP_PRIVATE", 2],
      ["MAP_SHARED_VALIDATE", 3],
    ],
  },
);
const madvNames = nameSet(
  Object.fromEntries(Object.entries(MADV).map(([name, value]) => [`MADV_${name}`, value])),
);
const remapNames = flagSet(
  Object.fromEntries(Object.entries(MREMAP).map(([name, value]) => [`MREMAP_${name}`, value])),
);
const syncNames = flagSet(
  Object.fromEntries(Object.entries(MSYNC).map(([name, value]) => [`MS_${name}`, value])),
);
const barrierNames = nameSet(
  Object.fromEntries(Object.entries(MEMBARRIER).map(([name, value]) => [`MEMBARRIER_CMD_${name}`, value])),
);
const address = { result: "address", wait: "retry" } as const;
const waits = { wait: "retry" } as const;
const lockNote = "nothing is swapped out: it only counts against RLIMIT_MEMLOCK, and brings no page in";

export const memoryRows: readonly CallRow[] = [
  full(214, "brk", ["address"], brk, address),
  full(215, "munmap", ["address", "unsigned"], munmap, waits),
  partial(
    216,
    "mremap",
    ["address", "unsigned", "unsigned", remapNames, "address"],
    "no MREMAP_DONTUNMAP",
    mremap,
    address,
  ),
  partial(
    222,
    "mmap",
    ["address", "unsigned", protNames, mapNames, "fd", "hex"],
    "MAP_POPULATE and MAP_LOCKED bring nothing in; no huge pages",
    mmap,
    address,
  ),
  full(226, "mprotect", ["address", "unsigned", protNames], mprotect, waits),
  full(227, "msync", ["address", "unsigned", syncNames], msync),
  partial(228, "mlock", ["address", "unsigned"], lockNote, mlock, waits),
  partial(229, "munlock", ["address", "unsigned"], lockNote, munlock, waits),
  partial(230, "mlockall", ["hex"], lockNote, mlockall, waits),
  partial(231, "munlockall", [], lockNote, munlockall, waits),
  full(232, "mincore", ["address", "unsigned", "address"], mincore),
  partial(
    233,
    "madvise",
    ["address", "unsigned", madvNames],
    "no MADV_REMOVE, MADV_DONTFORK, MADV_WIPEONFORK",
    madvise,
    waits,
  ),
  partial(
    258,
    "riscv_hwprobe",
    ["address", "unsigned", "unsigned", "address", "hex"],
    "all harts are alike: no RISCV_HWPROBE_WHICH_CPUS",
    hwprobe,
  ),
  full(259, "riscv_flush_icache", ["address", "address", "hex"], flushIcache),
  partial(283, "membarrier", [barrierNames, "hex"], "MEMBARRIER_CMD_GLOBAL only", membarrier),
  partial(284, "mlock2", ["address", "unsigned", "hex"], lockNote, mlock2, waits),
];
