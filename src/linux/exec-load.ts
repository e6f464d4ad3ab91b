/**
 * The new address space of an execve: program, interpreter, stack, break.
 *
 *     0x40_0000_0000 ─ page   the page by which signal handlers return
 *                             top of the stack, which grows down
 *     mmap base               below the stack's room; the interpreter and mmap go down from here
 *     0x2a_aaaa_a000          a position-independent program that has an interpreter
 *     as linked               a program that is not position-independent
 *
 * The addresses are the same in every run: what a guest could guess of them protects nothing here, since it is
 * the only one in its machine, and a run can be repeated exactly.
 *
 * The space belongs to the record "exec" and nobody runs in it, so each step is a small transaction of its own
 * that the next attempt need not repeat: it throws all away and begins again.
 */

import { assert } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import { PAGE_SIZE, VA_LIMIT } from "../base/hart-abi.ts";
import { none } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { File } from "../kernel/file.ts";
import { createSpace, setUpSpace } from "../kernel/memory/address-space.ts";
import { runChange } from "../kernel/memory/change.ts";
import { MAP, mapTrampoline, mmap } from "../kernel/memory/mmap.ts";
import { type AddressSpace, MMAP_BASE_DEFAULT } from "../kernel/memory/records.ts";
import { askForPages, clearUser, copyToUser, FAULT_IN, faultIn } from "../kernel/memory/user-memory.ts";
import type { Task } from "../kernel/task.ts";
import { PROT } from "./abi-memory.ts";
import type { ElfImage, LoadSegment } from "./elf.ts";
import type { ProgramFiles } from "./exec-file.ts";
import { Exec, execOf } from "./exec-record.ts";
import { TRAMPOLINE } from "./signal-frame.ts";

/** Where the stack ends. */
export const STACK_TOP: number = TRAMPOLINE;
const PROGRAM_BASE = 0x2a_aaaa_a000;
/** Room that a stack has at first, below what the arguments take. */
const STACK_ROOM = 0x2_0000;
const STACK_GAP_MIN: number = 128 * 2 ** 20;
const STACK_GAP_MAX: number = Math.floor((VA_LIMIT / 6) * 5);
const STACK_GUARD: number = 2 ** 20;
/** Bytes that one transaction copies. */
const COPY_STEP = 0x1_0000;

const down = (address: number, unit: number = PAGE_SIZE): number => Math.floor(address / unit) * unit;
const up = (address: number): number => Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;

/** What was put where. */
export interface Loaded {
  readonly space: AddressSpace;
  /** Where execution begins: the interpreter's entry, or the program's. */
  readonly start: number;
  readonly programEntry: number;
  readonly programHeaders: number;
  /** Address of the interpreter, 0 without one. */
  readonly interpreterBase: number;
}

/**
 * Faults the `length` bytes at `address` in, to be written, and runs `work`, which touches them and nothing else that
 * counts, in a transaction of its own. Throws EFAULT where there is nothing, ENOMEM, or WOULD_BLOCK.
 */
function inSpace(
  tx: Transaction,
  space: AddressSpace,
  address: number,
  length: number,
  work: () => void,
): void {
  askForPages(address, length, true);
  for (;;) {
    const came = faultIn(tx, space, Number.POSITIVE_INFINITY);
    tx.commit();
    if (came === FAULT_IN.DONE) break;
    assert(came === FAULT_IN.MORE, "nobody else is in the space");
  }
  work();
  tx.commit();
}

/** Maps in steps; nobody else changes the space. */
function map(
  tx: Transaction,
  task: Task,
  space: AddressSpace,
  request: Omit<Parameters<typeof mmap>[2], "limit">,
): number {
  const whole = { ...request, limit: Number.POSITIVE_INFINITY };
  const at = runChange(tx, space, task, () => mmap(tx, space, whole, task));
  tx.commit();
  return at;
}

function mapAnonymous(
  tx: Transaction,
  task: Task,
  space: AddressSpace,
  address: number,
  length: number,
  prot: number,
  flags = 0,
): void {
  const all = MAP.PRIVATE | MAP.FIXED | MAP.ANONYMOUS | flags;
  map(tx, task, space, { address, length, prot, flags: all, file: none(), offset: 0 });
}

/** Maps one segment of `file`, moved by `bias`, and the zeros that follow it. */
function mapSegment(
  tx: Transaction,
  task: Task,
  space: AddressSpace,
  file: File,
  segment: LoadSegment,
  bias: number,
): void {
  const { fileBytes, memoryBytes, protection } = segment;
  const address = segment.address + bias;
  const start = down(address);
  const fileEnd = address + fileBytes;
  if (fileBytes > 0) {
    const offset = segment.fileOffset - (address - start);
    if (offset < 0) throw errno.EINVAL;
    const flags = MAP.PRIVATE | MAP.FIXED;
    map(tx, task, space, { address: start, length: fileEnd - start, prot: protection, flags, file, offset });
  }
  if (memoryBytes === fileBytes) return;
  const zeroFrom = fileBytes > 0 ? up(fileEnd) : start;
  // What follows in the last page of the file is not the program's; a page that it may not write stays.
  if (fileBytes > 0 && fileEnd < zeroFrom && (protection & PROT.WRITE) !== 0) {
    inSpace(tx, space, fileEnd, zeroFrom - fileEnd, () => {
      clearUser(tx, space, fileEnd, zeroFrom - fileEnd);
    });
  }
  const end = up(address + memoryBytes);
  if (end > zeroFrom) mapAnonymous(tx, task, space, zeroFrom, end - zeroFrom, protection);
}

function mapImage(
  tx: Transaction,
  task: Task,
  space: AddressSpace,
  file: File,
  image: ElfImage,
  bias: number,
): void {
  if (image.start + bias < PAGE_SIZE * 16 || image.end + bias > STACK_TOP) throw errno.ENOMEM;
  for (const segment of image.segments) mapSegment(tx, task, space, file, segment, bias);
}

/** Page-aligned base of the area for mmap, below the room that the stack may take. */
function mmapBase(stackLimit: number): number {
  const gap = Math.min(Math.max(stackLimit, STACK_GAP_MIN), STACK_GAP_MAX);
  return Math.min(down(STACK_TOP - gap - STACK_GUARD), MMAP_BASE_DEFAULT * PAGE_SIZE);
}

/**
 * Makes the space and maps everything but the stack, in many transactions. `stackLimit`: RLIMIT_STACK. Throws
 * WOULD_BLOCK, ENOMEM, and what mmap throws for impossible addresses.
 */
export function loadImages(tx: Transaction, task: Task, files: ProgramFiles, stackLimit: number): Loaded {
  const exec = execOf(tx, task);
  const space = createSpace(tx);
  Exec.space.set(tx, exec, space);
  tx.commit();
  const { image, interpreter } = files;
  const base = mmapBase(stackLimit);
  let top = base;
  let bias = 0;
  if (image.relocatable) {
    const at =
      interpreter === undefined
        ? down(top - (image.end - image.start), image.alignment)
        : down(PROGRAM_BASE, image.alignment);
    if (interpreter === undefined) top = at;
    bias = at - image.start;
  }
  mapImage(tx, task, space, Exec.program.get(tx, exec), image, bias);
  let start = image.entry + bias;
  let interpreterBase = 0;
  if (interpreter !== undefined) {
    if (interpreter.relocatable) {
      interpreterBase =
        down(top - (interpreter.end - interpreter.start), interpreter.alignment) - interpreter.start;
    }
    mapImage(tx, task, space, Exec.interpreter.get(tx, exec), interpreter, interpreterBase);
    start = interpreter.entry + interpreterBase;
  }
  // Above a program as linked; one that lies directly below the area for mmap has no room for a break above it.
  const breakStart = bias !== 0 && interpreter === undefined ? PROGRAM_BASE : image.end + bias;
  mapTrampoline(tx, space, TRAMPOLINE);
  setUpSpace(tx, space, { breakStart, mmapBase: base });
  tx.commit();
  if (start % 2 !== 0 || !(start < VA_LIMIT)) throw errno.ENOEXEC;
  const headers = image.programHeadersAddress === 0 ? 0 : image.programHeadersAddress + bias;
  return { space, start, programEntry: image.entry + bias, programHeaders: headers, interpreterBase };
}

/** Maps the stack and copies `bytes` to its top end, which is STACK_TOP. */
export function loadStack(
  tx: Transaction,
  task: Task,
  space: AddressSpace,
  bytes: Uint8Array,
  executable: boolean,
): void {
  const length = up(bytes.length) + STACK_ROOM;
  const prot = PROT.READ | PROT.WRITE | (executable ? PROT.EXEC : 0);
  mapAnonymous(tx, task, space, STACK_TOP - length, length, prot, MAP.GROWSDOWN | MAP.STACK);
  for (let done = 0; done < bytes.length; done += COPY_STEP) {
    const part = bytes.subarray(done, done + COPY_STEP);
    const at = STACK_TOP - bytes.length + done;
    inSpace(tx, space, at, part.length, () => copyToUser(tx, space, at, part));
  }
}
