/**
 * Waiting for several files: ppoll, pselect6.
 *
 * Each file is asked in a transaction of its own, so no more than one file's locks are held at a time and
 * their order does not matter. The conditions that the files note stay listed with their counters; parking
 * compares them again, so a change between two of the questions is not lost (kernel/condition.ts).
 *
 * The signal mask of the call is put in place by the first attempt that finds nothing, in a commit (rule R1,
 * enqueue): ATTENTION.RESTORE_MASK says that it has been, and makes the kernel put the old one back before the
 * task goes on in user mode, after any handler that the wait was for. A signal that the mask lets through ends
 * the call with EINTR, which is why a call that finds a file ready at once leaves the mask alone, as Linux puts
 * it back before it looks at signals.
 */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { fileAt, FileTable, lockFiles, noteTable } from "../kernel/descriptors.ts";
import { File, kindOf, POLL } from "../kernel/file.ts";
import { clearWaits, WOULD_BLOCK } from "../kernel/request.ts";
import { ATTENTION, Task } from "../kernel/task.ts";
import { O, POLLFD_BYTES } from "./abi-file.ts";
import { type CallRow, full } from "./row.ts";
import { descriptorLimit } from "./sys-descriptor.ts";
import { type Mask, readMask, replaceMask } from "./sys-signal.ts";
import { readStruct, writeBack, writeUser } from "./user.ts";

/** One file of the set: what is asked, and what was answered. */
interface Interest {
  readonly descriptor: number;
  readonly events: number;
  answer: number;
}

/** Reads the set and asks each file; the number of those that answered anything. */
function askAll(call: SystemCall, interests: readonly Interest[], note: boolean): number {
  let ready = 0;
  for (const interest of interests) {
    if (interest.descriptor < 0) continue;
    // Once one file has answered, nobody is going to wait.
    interest.answer = ask(call, interest, note && ready === 0);
    if (interest.answer !== 0) ready++;
    call.step();
  }
  return ready;
}

function ask(call: SystemCall, { descriptor, events }: Interest, note: boolean): number {
  const { tx, task } = call;
  const table = Task.files.get(tx, task);
  if (FileTable.references.get(tx, table) !== 1) lockFiles(tx, task);
  const file = fileAt(tx, table, descriptor);
  if (file === 0 || (File.flags.get(tx, file) & O.PATH) !== 0) return POLL.NVAL;
  return kindOf(tx, file).poll(tx, file, note) & (events | POLL.ERR | POLL.HUP | POLL.NVAL);
}

/** The signal mask for the wait, if there is to be one. `size`: what the caller says a sigset_t has. */
function readOptionalMask(call: SystemCall, address: number, size: number): Mask | undefined {
  return address === 0 ? undefined : readMask(call, address, size);
}

/** A timespec as nanoseconds; Infinity for a null pointer. Throws EINVAL. */
function readTimeout(call: SystemCall, address: number): number {
  if (address === 0) return Number.POSITIVE_INFINITY;
  const view = readStruct(call, address, 16);
  const seconds = view.getInt32(4, true) * 0x1_0000_0000 + view.getUint32(0, true);
  const nanos = view.getInt32(12, true) * 0x1_0000_0000 + view.getUint32(8, true);
  if (seconds < 0 || nanos < 0 || nanos >= 1e9) throw errno.EINVAL;
  return seconds * 1e9 + nanos;
}

/** Writes what is left of a timeout back, as Linux does. A bad address does not matter any more. */
function writeRemaining(call: SystemCall, address: number, deadline: number): void {
  if (address === 0) return;
  const left = Math.max(0, deadline - call.now());
  const view = new DataView(new ArrayBuffer(16));
  const seconds = Math.floor(left / 1e9);
  view.setUint32(0, seconds % 0x1_0000_0000, true);
  view.setUint32(4, Math.floor(seconds / 0x1_0000_0000), true);
  view.setUint32(8, left % 1e9, true);
  try {
    writeBack(call, address, view);
  } catch (error) {
    if (error !== errno.EFAULT) throw error;
    call.tx.rollback();
  }
}

/**
 * Asks until a file answers, the time is over, or a signal comes that `mask` lets through; the number of
 * answers. WOULD_BLOCK in between. `remaining`: where the timespec lies, to be updated.
 */
function awaitAny(
  call: SystemCall,
  interests: readonly Interest[],
  timeout: number,
  remaining: number,
  mask: Mask | undefined,
): number {
  clearWaits(call.tx);
  // Each file is asked in a transaction of its own; what is closed after the first of them must be noticed.
  const table = Task.files.get(call.tx, call.task);
  if (FileTable.references.get(call.tx, table) !== 1) noteTable(call.tx, lockFiles(call.tx, call.task));
  const deadline = timeout === 0 ? 0 : call.deadlineIn(timeout);
  const ready = askAll(call, interests, timeout !== 0);
  if (ready === 0) {
    if (mask !== undefined) replaceMask(call, mask);
    const signalled = (Task.attention.get(call.tx, call.task) & ATTENTION.SIGNAL) !== 0;
    // Parking sees the signal and does not happen; time that is over does not come before it.
    if (signalled || (timeout !== 0 && call.now() < deadline)) throw WOULD_BLOCK;
  }
  clearWaits(call.tx);
  writeRemaining(call, remaining, deadline);
  return ready;
}

/** struct pollfd: descriptor, events and revents (16 bits each). */
function ppoll(call: SystemCall): number {
  const address = call.address(0);
  const count = call.address(1);
  if (count > descriptorLimit(call)) throw errno.EINVAL;
  const timeout = readTimeout(call, call.address(2));
  const mask = readOptionalMask(call, call.address(3), call.address(4));
  const view =
    count === 0 ? new DataView(new ArrayBuffer(0)) : readStruct(call, address, count * POLLFD_BYTES);
  const interests: Interest[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * POLLFD_BYTES;
    interests.push({ descriptor: view.getInt32(at, true), events: view.getUint16(at + 4, true), answer: 0 });
  }
  const ready = awaitAny(call, interests, timeout, call.address(2), mask);
  for (const [i, { answer }] of interests.entries()) view.setUint16(i * POLLFD_BYTES + 6, answer, true);
  if (count > 0) writeUser(call, address, view);
  return ready;
}

// What select(2) calls readable, writable and exceptional (fs/select.c).
const IN_SET: number = POLL.RDNORM | POLL.RDBAND | POLL.IN | POLL.HUP | POLL.ERR;
const OUT_SET: number = POLL.WRBAND | POLL.WRNORM | POLL.OUT | POLL.ERR;
const EX_SET: number = POLL.PRI;

/** The three sets of select: bit n of each stands for descriptor n. */
function pselect6(call: SystemCall): number {
  const count = Math.min(call.int(0), 65536);
  if (count < 0) throw errno.EINVAL;
  const timeout = readTimeout(call, call.address(4));
  const packed = call.address(5);
  let mask: Mask | undefined;
  if (packed !== 0) {
    // The last argument points to the mask's address and size.
    const view = readStruct(call, packed, 16);
    const address = view.getUint32(4, true) * 0x1_0000_0000 + view.getUint32(0, true);
    mask = readOptionalMask(call, address, view.getUint32(8, true));
  }
  const words = Math.ceil(count / 64) * 2;
  const sets = [call.address(1), call.address(2), call.address(3)].map((address) => ({
    address,
    asked:
      address === 0 || words === 0
        ? new DataView(new ArrayBuffer(words * 4))
        : readStruct(call, address, words * 4),
    answer: new DataView(new ArrayBuffer(words * 4)),
  }));
  const wanted = [IN_SET, OUT_SET, EX_SET];
  const has = (view: DataView, n: number): boolean =>
    ((view.getUint32((n >>> 5) * 4, true) >>> (n & 31)) & 1) !== 0;
  const interests: Interest[] = [];
  for (let n = 0; n < count; n++) {
    let events = 0;
    for (let s = 0; s < 3; s++) if (has(sets[s]!.asked, n)) events |= wanted[s]!;
    if (events !== 0) interests.push({ descriptor: n, events, answer: 0 });
  }
  checkOpen(call, interests);
  awaitAny(call, interests, timeout, call.address(4), mask);
  let total = 0;
  for (const { descriptor, answer } of interests) {
    for (let s = 0; s < 3; s++) {
      const { asked, answer: out } = sets[s]!;
      if ((answer & wanted[s]!) === 0 || !has(asked, descriptor)) continue;
      const at = (descriptor >>> 5) * 4;
      out.setUint32(at, out.getUint32(at, true) | (1 << (descriptor & 31)), true);
      total++;
    }
  }
  for (const { address, answer } of sets) if (address !== 0 && words > 0) writeBack(call, address, answer);
  return total;
}

/** select(2) refuses a set that names a descriptor which is not open. */
function checkOpen(call: SystemCall, interests: readonly Interest[]): void {
  const table = lockFiles(call.tx, call.task);
  for (const { descriptor } of interests) if (fileAt(call.tx, table, descriptor) === 0) throw errno.EBADF;
  call.step();
}

const waits = { wait: "enqueue", restart: "interrupt" } as const;

export const pollRows: readonly CallRow[] = [
  full(72, "pselect6", ["int", "address", "address", "address", "timespec", "address"], pselect6, waits),
  full(73, "ppoll", ["pollfds", "unsigned", "timespec", "sigset", "unsigned"], ppoll, waits),
];
