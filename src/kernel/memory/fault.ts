/**
 * Page faults: what happens when an access finds no entry that allows it.
 *
 *     no mapping ──a growing stack above?──▶ grow it, else SIGSEGV MAPERR
 *     mapping forbids ─────────────────────▶ SIGSEGV ACCERR
 *     page word STALE ─────────────────────▶ as if it were absent
 *     page word there and permits ─────────▶ entries become valid
 *     page word there, write, COW ─────────▶ sole reference: becomes writable; else copied
 *     no page word ────────────────────────▶ zero frame, fresh zeros, shared object or file page
 *         written behind others, one task ─▶ fresh zeros, also for some pages behind it
 *
 * A fault is a transaction of its own: the space's lock, then whatever the file's server takes. It is never
 * part of a system call's transaction, which would have to take a server's lock twice, or locks of two files
 * in the wrong order; user copies ask for one instead (user-memory.ts).
 *
 * Copying (rule R7). While another slot has the space active, someone may still read the old frame. The page
 * is then marked MOVING, which makes its entries invalid; the copy is made by whoever faults on it after all
 * have noticed. Every hart can do that, so nothing waits for a hart that dies.
 */

import { ACCESS, type AccessKind, PAGE_SIZE, VA_LIMIT } from "../../base/hart-abi.ts";
import { Errno, errno } from "../../base/errno.ts";
import { none, type Ref } from "../../heap/record.ts";
import type { MemoryWord } from "../../heap/heap.ts";
import { SLOT } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { kindOf } from "../file.ts";
import { waitFor } from "../request.ts";
import { Task } from "../task.ts";
import { allocateFrame, clearFrame, copyFrame, dropFrame, frameReferences, parkFrame } from "./frames.ts";
import { claimHome, claimRow, homeFrame, pagesAhead } from "./home.ts";
import { type FrameNumber, memoryLayout } from "./layout.ts";
import { mappingBefore, mappingFrom, resizeMapping } from "./mapping-tree.ts";
import {
  frameOf,
  isSingle,
  ownPageWord,
  PAGE_CLEAN,
  PAGE_COW,
  PAGE_EXEC,
  PAGE_FETCH,
  PAGE_FILE,
  PAGE_MOVING,
  PAGE_PRESENT,
  PAGE_READ,
  PAGE_STALE,
  PAGE_WRITE,
  pageFlags,
  pageWord,
  pageWordAt,
  setPage,
  TAKEN,
} from "./page-table.ts";
import {
  AddressSpace,
  Mapping,
  MAPPING,
  PAGE_MIN,
  type PageNumber,
  PROT,
  STACK_GUARD_PAGES,
} from "./records.ts";
import { beginTaking, hasPending, isTakingDone, noteTaken, releasePending } from "./safepoint.ts";
import { sharedPage } from "./shared-object.ts";

/** What came of a fault: one of these, or a signal (`faultSignal` and `faultCode` take it apart). */
export const FAULT = {
  /** Commit and execute the access again. In a space with several tasks it may fault once more. */
  DONE: 0,
  /** Commit, wait until `pendingTaking` gives nothing (or a little while), and execute the access again. */
  WAIT: 1,
} as const;
export type FaultOutcome = number;

const SIGBUS = 7;
const SIGSEGV = 11;
/** si_code: address not mapped, mapped otherwise; for SIGBUS: no such physical address. */
const SEGV_MAPERR = 1;
const SEGV_ACCERR = 2;
const BUS_ADRERR = 2;

const outcome = (signal: number, code: number): FaultOutcome => (signal << 8) | code;
const MAPERR: FaultOutcome = outcome(SIGSEGV, SEGV_MAPERR);
const ACCERR: FaultOutcome = outcome(SIGSEGV, SEGV_ACCERR);
const ADRERR: FaultOutcome = outcome(SIGBUS, BUS_ADRERR);

/** Signal of an outcome, 0 if it is none. */
export function faultSignal(value: FaultOutcome): number {
  return value >> 8;
}

/** si_code of an outcome that is a signal. */
export function faultCode(value: FaultOutcome): number {
  return value & 0xff;
}

/**
 * Handles the fault of an access of `kind` at `va`. `stackLimit`: RLIMIT_STACK in bytes. A transaction of its
 * own, which the caller commits. Throws ENOMEM when frames or tables have run out, WOULD_BLOCK while a file
 * page is on its way.
 */
export function handleFault(
  tx: Transaction,
  space: AddressSpace,
  va: number,
  kind: AccessKind,
  stackLimit: number,
): FaultOutcome {
  if (!(va >= 0 && va < VA_LIMIT)) return MAPERR;
  try {
    AddressSpace.lock.acquire(tx, space);
    return faultPage(tx, space, Math.floor(va / PAGE_SIZE), kind, stackLimit);
  } catch (error) {
    if (!isFileError(error)) throw error;
    tx.rollback();
    return ADRERR;
  }
}

/** Whether a fault failed because the file's page could not be read: a bus error. */
export function isFileError(error: unknown): boolean {
  return error instanceof Errno && error !== errno.ENOMEM;
}

/** {@link handleFault} for a page, with the space's lock held. */
export function faultPage(
  tx: Transaction,
  space: AddressSpace,
  page: PageNumber,
  kind: AccessKind,
  stackLimit: number,
): FaultOutcome {
  let mapping = mappingFrom(tx, space, page);
  if (mapping === 0) return MAPERR;
  if (Mapping.first.get(tx, mapping) > page) {
    mapping = growStack(tx, space, mapping, page, stackLimit);
    if (mapping === 0) return MAPERR;
  }
  const prot = Mapping.prot.get(tx, mapping);
  if (!permits(prot, kind)) return ACCERR;
  const at = pageWordAt(tx, AddressSpace.root.get(tx, space), page);
  const word = tx.memory[at]!;
  if ((word & PAGE_PRESENT) === 0) return fillPage(tx, space, mapping, page, kind);
  if ((word & PAGE_STALE) !== 0) {
    // All entries have been invalid since the page became stale, but not all may have noticed.
    setPage(tx, at, page, 0, false);
    giveUp(tx, space, frameOf(word), TAKEN.DATA);
    return fillPage(tx, space, mapping, page, kind);
  }
  if ((word & PAGE_MOVING) !== 0) return finishMove(tx, space, page, at, word);
  if (kind === ACCESS.WRITE && (word & PAGE_COW) !== 0) return breakCow(tx, space, page, at, word);
  if (kind === ACCESS.WRITE && (word & PAGE_CLEAN) !== 0)
    return beginWriting(tx, space, mapping, page, at, word);
  // What is there permits the access (M4 and permits): only the entries were missing.
  setPage(tx, at, page, word, true);
  return FAULT.DONE;
}

function permits(prot: number, kind: AccessKind): boolean {
  if (kind === ACCESS.READ) return (prot & (PROT.READ | PROT.WRITE)) !== 0;
  if (kind === ACCESS.WRITE) return (prot & PROT.WRITE) !== 0;
  return (prot & PROT.EXEC) !== 0;
}

/** Lets the stack `mapping` grow down to `page` if it may; none if not. */
function growStack(
  tx: Transaction,
  space: AddressSpace,
  mapping: Mapping,
  page: PageNumber,
  stackLimit: number,
): Mapping {
  if ((Mapping.flags.get(tx, mapping) & MAPPING.GROWSDOWN) === 0 || page < PAGE_MIN) return none();
  const end = Mapping.end.get(tx, mapping);
  if ((end - page) * PAGE_SIZE > stackLimit) return none();
  const below = mappingBefore(tx, space, page);
  if (below !== 0 && Mapping.end.get(tx, below) + STACK_GUARD_PAGES > page) return none();
  // A change of the mappings: it waits for one that is under way.
  if (AddressSpace.claim.get(tx, space) !== 0) throw waitFor(tx, AddressSpace.claimFree.at(space));
  resizeMapping(tx, space, mapping, page, end);
  return mapping;
}

/** Gives an absent page its frame. */
function fillPage(
  tx: Transaction,
  space: AddressSpace,
  mapping: Mapping,
  page: PageNumber,
  kind: AccessKind,
): FaultOutcome {
  const prot = Mapping.prot.get(tx, mapping);
  const shared = (Mapping.flags.get(tx, mapping) & MAPPING.SHARED) !== 0;
  const file = Mapping.file.get(tx, mapping);
  const object = Mapping.object.get(tx, mapping);
  const index = (Mapping.filePage.get(tx, mapping) + page - Mapping.first.get(tx, mapping)) >>> 0;
  const writing = kind === ACCESS.WRITE;
  const single = isSingle(tx, space);
  let flags = pageFlags(prot);
  let frame: FrameNumber;
  if (file !== 0) {
    const found = filePage(tx, file, index, shared && writing);
    if (found === 0) return ADRERR;
    frame = found;
    if (shared) flags |= PAGE_FILE | (writing ? PAGE_WRITE : PAGE_CLEAN);
    else if (writing) {
      frame = allocateFrame(tx);
      copyFrame(tx, frame, found);
      dropFrame(tx, found);
      flags |= PAGE_WRITE;
    } else flags |= PAGE_FILE | PAGE_COW;
  } else if (object !== 0) {
    frame = sharedPage(tx, object, index);
    if ((prot & PROT.WRITE) !== 0) flags |= PAGE_WRITE;
  } else if (!writing && (Mapping.flags.get(tx, mapping) & MAPPING.TRAMPOLINE) !== 0) {
    frame = memoryLayout(tx).trampolineFrame;
    flags |= PAGE_COW;
  } else if (writing || !single) {
    if (writing && single && fillRow(tx, space, mapping, page, flags | PAGE_WRITE)) return FAULT.DONE;
    // With several tasks a copy later on would have to wait for the others, so there is no zero frame.
    frame = claimHome(tx, space, mapping, page, writing) || allocateFrame(tx);
    clearFrame(tx, frame);
    if ((prot & PROT.WRITE) !== 0) flags |= PAGE_WRITE;
  } else {
    frame = memoryLayout(tx).zeroFrame;
    flags |= PAGE_COW;
  }
  setPage(tx, ownPageWord(tx, space, page), page, pageWord(frame, flags), single);
  if (frame >= memoryLayout(tx).framesFrom) AddressSpace.residentPages.add(tx, space, 1);
  return FAULT.DONE;
}

/**
 * Gives an absent page and some behind it frames of zeros, if those before it have been written to one after the
 * other; false if they have not. The space has a single task, so all entries are valid at once.
 */
function fillRow(
  tx: Transaction,
  space: AddressSpace,
  mapping: Mapping,
  page: PageNumber,
  flags: number,
): boolean {
  const at = pageWordAt(tx, AddressSpace.root.get(tx, space), page);
  const wanted = pagesAhead(tx, mapping, page, at);
  if (wanted === 1) return false;
  const count = claimRow(tx, mapping, page, wanted);
  const frame = homeFrame(tx, mapping, page);
  for (let i = 0; i < count; i++) {
    clearFrame(tx, frame + i);
    setPage(tx, at + i, page + i, pageWord(frame + i, flags), true);
  }
  if (count === 0) return false;
  AddressSpace.residentPages.add(tx, space, count);
  countFaults(tx, space, count - 1);
  return true;
}

/** Counts the faults that pages which came ahead have saved: getrusage(2) tells of one for each, as on Linux. */
function countFaults(tx: Transaction, space: AddressSpace, count: number): void {
  const task = tx.words[tx.slotAt + SLOT.owner]! as Task;
  // An exec fills a space that is not yet its task's; in tests there is no task.
  if (task === 0 || Task.space.get(tx, task) !== space) return;
  Task.minorFaults.add(tx, task, count);
}

/** A page of a file with one reference, 0 if there is none to be had (SIGBUS). */
function filePage(tx: Transaction, file: Ref<"file">, index: number, forWrite: boolean): FrameNumber {
  return kindOf(tx, file).page?.(tx, file, index, forWrite) ?? 0;
}

/** First write to a page of a shared file mapping that was mapped by a read. */
function beginWriting(
  tx: Transaction,
  space: AddressSpace,
  mapping: Mapping,
  page: PageNumber,
  at: MemoryWord,
  word: number,
): FaultOutcome {
  const index = (Mapping.filePage.get(tx, mapping) + page - Mapping.first.get(tx, mapping)) >>> 0;
  const frame = filePage(tx, Mapping.file.get(tx, mapping), index, true);
  if (frame === 0) return ADRERR;
  const single = isSingle(tx, space);
  const flags = (word & (PAGE_PRESENT | PAGE_READ | PAGE_EXEC | PAGE_FILE)) | PAGE_WRITE;
  const old = frameOf(word);
  if (frame === old) {
    // The page word keeps its reference; the new one goes.
    dropFrame(tx, frame);
    if (single) setPage(tx, at, page, pageWord(frame, flags), true);
    else tx.storeMemory(at, pageWord(frame, flags | (word & PAGE_FETCH)));
    return FAULT.DONE;
  }
  // The file has another frame for the page by now: it was a hole, or was overwritten as a whole.
  const taken = setPage(tx, at, page, pageWord(frame, flags), false);
  giveUp(tx, space, old, taken);
  AddressSpace.residentPages.add(tx, space, 1);
  if (single) setPage(tx, at, page, pageWord(frame, flags), true);
  return FAULT.DONE;
}

/** Gives up a frame that a page word had, now or when the harts have noticed; the page is no longer resident. */
function giveUp(tx: Transaction, space: AddressSpace, frame: FrameNumber, taken: number): void {
  noteTaken(tx, space, taken);
  const ticket = taken !== 0 && !isSingle(tx, space) ? beginTaking(tx, space) : 0;
  // A hole of a file is read through the zero frame, which nobody counts.
  if (frame < memoryLayout(tx).framesFrom) return;
  AddressSpace.residentPages.add(tx, space, -1);
  if (ticket === 0) dropFrame(tx, frame);
  else parkFrame(tx, space, frame, ticket);
}

/** A write to a page whose frame may be shared. */
function breakCow(
  tx: Transaction,
  space: AddressSpace,
  page: PageNumber,
  at: MemoryWord,
  word: number,
): FaultOutcome {
  const frame = frameOf(word);
  const single = isSingle(tx, space);
  if (frame >= memoryLayout(tx).framesFrom && frameReferences(tx, frame) === 1) {
    const value = (word & ~(PAGE_COW | PAGE_FILE)) | PAGE_WRITE;
    // The frame stays the page's own and committed, so even with several tasks the entries may be valid.
    setPage(tx, at, page, value, true);
    return FAULT.DONE;
  }
  if (!single) {
    noteTaken(tx, space, setPage(tx, at, page, word | PAGE_MOVING, false));
    if (beginTaking(tx, space) !== 0) return FAULT.WAIT;
  }
  copyPage(tx, space, page, at, word, single);
  return FAULT.DONE;
}

/** The page is MOVING: the copy is made if all have noticed. */
function finishMove(
  tx: Transaction,
  space: AddressSpace,
  page: PageNumber,
  at: MemoryWord,
  word: number,
): FaultOutcome {
  if (hasPending(tx, space) && !isTakingDone(tx, space)) return FAULT.WAIT;
  releasePending(tx, space);
  copyPage(tx, space, page, at, word & ~PAGE_MOVING, isSingle(tx, space));
  return FAULT.DONE;
}

/** Replaces the frame of a page, which nobody reads any more, by a copy that belongs to the page alone. */
function copyPage(
  tx: Transaction,
  space: AddressSpace,
  page: PageNumber,
  at: MemoryWord,
  word: number,
  install: boolean,
): void {
  const layout = memoryLayout(tx);
  const old = frameOf(word);
  const permission = word & (PAGE_PRESENT | PAGE_READ | PAGE_EXEC);
  const mapping = mappingFrom(tx, space, page);
  // After a fork most that is copied is soon given up, by an exec or an exit: not worth looking for a home.
  const frame = claimHome(tx, space, mapping, page, old === layout.zeroFrame) || allocateFrame(tx);
  copyFrame(tx, frame, old);
  dropFrame(tx, old);
  const writable = (Mapping.prot.get(tx, mapping) & PROT.WRITE) !== 0 ? PAGE_WRITE : 0;
  const taken = setPage(tx, at, page, pageWord(frame, permission | writable), install);
  noteTaken(tx, space, taken);
  if (old < layout.framesFrom) AddressSpace.residentPages.add(tx, space, 1);
}
