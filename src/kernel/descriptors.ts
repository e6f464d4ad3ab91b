/**
 * Descriptors: the small numbers by which a process names its open files, and the table behind them.
 *
 *     file-table               descriptor-block (64 descriptors)       file
 *     +--------------+         +----------------------+               +------+
 *     | block 0      |───────▶ | descriptor 0         |─────────────▶ |      |
 *     | …            |         | …                    |               +------+
 *     | block 63     |         | close-on-exec bits   |
 *     +--------------+         +----------------------+
 *
 * `lock` (rank "file-table") guards the table and its blocks. A table with one reference is changed by its one
 * task only, so that task looks descriptors up without the lock; others (/proc) take it. Tasks that share a
 * table (CLONE_FILES) take the lock to look up, and with it the file stays open until the transaction ends.
 * A descriptor keeps its file alive, so a lookup raises no count; a call that waits holds nothing and looks up
 * again when it runs again. In a shared table the file may end before the task is registered as a waiter with it:
 * `closings` tells (hasItsFiles).
 *
 * Whatever touches many files goes in steps of at most STEP_FILES (rule R3): copying a table for fork, closing
 * one at exit, close-on-exec. Locks of several files are taken by rising address. Releasing a file may take
 * further locks, so a step releases at most one, and as the last thing it does.
 *
 * Invariants
 *   D1  A table's references are the tasks that have it, and at most one for each request that makes or ends one.
 *   D2  Each descriptor block belongs to one table; its descriptors refer to live files.
 *   D3  No descriptor below `firstFree` is free.
 *   D4  A file is referred to at least as often as descriptors name it.
 */

import { assert } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import { liveRecords, registerInvariant } from "../heap/check.ts";
import type { HeapView } from "../heap/heap.ts";
import { SLOT } from "../heap/layout.ts";
import { defineRecord, i32, lock, none, type Ref, refs, u32, words } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { dropFile, File } from "./file.ts";
import { Task } from "./task.ts";

const BLOCK_SHIFT = 6;
const BLOCK_SIZE: number = 1 << BLOCK_SHIFT;
const BLOCKS = 64;
/** Descriptors that a table can hold: no RLIMIT_NOFILE goes beyond. */
export const DESCRIPTORS_MAX: number = BLOCKS * BLOCK_SIZE;
/** Files that one step of a copy or of a closing touches. */
export const STEP_FILES = 12;
/** Descriptors that one step looks at. */
const STEP_DESCRIPTORS = 512;
const O_PATH = 0x20_0000;

export const DescriptorBlock = defineRecord("descriptor-block", {
  files: refs("file", BLOCK_SIZE),
  closeOnExec: words(BLOCK_SIZE / 32),
});
export type DescriptorBlock = Ref<"descriptor-block">;

export const FileTable = defineRecord("file-table", {
  lock: lock("file-table"),
  references: i32(),
  /** See D3: where the search for a free descriptor begins. */
  firstFree: u32(),
  /** How far a copy into this table, or the closing of its files, has come: the next descriptor. */
  progress: u32(),
  /** Goes up whenever a descriptor is closed while several tasks share the table. */
  closings: u32(),
  /** 1 once a record lock (fcntl) was asked for: closing then has to look for locks. */
  usesRecordLocks: u32(),
  blocks: refs("descriptor-block", BLOCKS),
});
export type FileTable = Ref<"file-table">;

type CloseHook = (tx: Transaction, file: File, table: FileTable) => void;
let closeHook: CloseHook = () => {};

/**
 * Says what else happens when a process whose table has used record locks closes a descriptor (POSIX: its
 * locks on that file go). Called before the file's own lock is taken.
 */
export function registerCloseHook(hook: CloseHook): void {
  closeHook = hook;
}

// Looking up.

/** The file that `descriptor` names in `table`; none if it is not open. The caller sees to the lock. */
export function fileAt(view: HeapView, table: FileTable, descriptor: number): File {
  if (descriptor >>> 0 >= DESCRIPTORS_MAX) return none();
  const block = view.words[table + FileTable.blocks.word + (descriptor >>> BLOCK_SHIFT)]!;
  if (block === 0) return none();
  return view.words[block + DescriptorBlock.files.word + (descriptor & (BLOCK_SIZE - 1))]! as File;
}

/**
 * Notes that the request has looked something up in the locked table of several tasks. What it looked up is kept
 * alive by the table, so it must not wait for it once another task has closed the descriptor: {@link
 * hasItsFiles} looks.
 */
export function noteTable(tx: Transaction, table: FileTable): void {
  tx.words[tx.slotAt + SLOT.tableSeen] = FileTable.closings.get(tx, table) + 1;
}

/**
 * Before a task waits: takes the lock of the table in which its request has looked files up, so that they last
 * until the task is registered with their conditions; false if one has been closed since. From then on the end of
 * a file wakes the task, because every server signals its conditions before it frees them.
 */
export function hasItsFiles(tx: Transaction, task: Task): boolean {
  const at = tx.slotAt + SLOT.tableSeen;
  const seen = tx.words[at]!;
  const table = Task.files.get(tx, task);
  if (seen === 0 || table === 0) return true;
  tx.words[at] = 0;
  FileTable.lock.acquire(tx, table);
  return FileTable.closings.get(tx, table) + 1 === seen;
}

/**
 * Takes the lock of a table that several tasks share. For calls that copy from user memory before they look a
 * descriptor up: the lock of the address space ranks behind this one.
 */
export function lockSharedFiles(tx: Transaction, task: Task): void {
  const table = Task.files.get(tx, task);
  if (FileTable.references.get(tx, table) !== 1) FileTable.lock.acquire(tx, table);
}

/** The task's file `descriptor`, O_PATH files included, alive until the transaction ends. Throws EBADF. */
export function getAnyFile(tx: Transaction, task: Task, descriptor: number): File {
  const table = Task.files.get(tx, task);
  if (FileTable.references.get(tx, table) !== 1) {
    FileTable.lock.acquire(tx, table);
    noteTable(tx, table);
  }
  const file = fileAt(tx, table, descriptor);
  if (file === 0) throw errno.EBADF;
  return file;
}

/** The task's file `descriptor`, alive until the transaction ends. Throws EBADF, also for O_PATH files. */
export function getFile(tx: Transaction, task: Task, descriptor: number): File {
  const file = getAnyFile(tx, task, descriptor);
  if ((File.flags.get(tx, file) & O_PATH) !== 0) throw errno.EBADF;
  return file;
}

/** The first open descriptor at or after `from`; −1 if there is none. The caller sees to the lock. */
export function nextDescriptor(view: HeapView, table: FileTable, from: number): number {
  for (let descriptor = from; descriptor < DESCRIPTORS_MAX; descriptor++) {
    if (FileTable.blocks.get(view, table, descriptor >>> BLOCK_SHIFT) === 0) descriptor |= BLOCK_SIZE - 1;
    else if (fileAt(view, table, descriptor) !== 0) return descriptor;
  }
  return -1;
}

/** Whether `descriptor`, which is open, is closed by execve. */
export function isCloseOnExec(view: HeapView, table: FileTable, descriptor: number): boolean {
  const block = FileTable.blocks.get(view, table, descriptor >>> BLOCK_SHIFT);
  const word = DescriptorBlock.closeOnExec.get(view, block, (descriptor >>> 5) & 1);
  return ((word >>> (descriptor & 31)) & 1) !== 0;
}

// Changing one descriptor.

/** The table of `task`, locked for changes. */
export function lockFiles(tx: Transaction, task: Task): FileTable {
  const table = Task.files.get(tx, task);
  FileTable.lock.acquire(tx, table);
  return table;
}

/**
 * The lowest free descriptor from `from` on, in a locked table. `limit`: RLIMIT_NOFILE. Throws EMFILE, and
 * ENOMEM if there is no room for another block of descriptors.
 */
export function findFree(tx: Transaction, table: FileTable, from: number, limit: number): number {
  const end = Math.min(limit, DESCRIPTORS_MAX);
  let descriptor = Math.max(from, FileTable.firstFree.get(tx, table));
  while (descriptor < end && fileAt(tx, table, descriptor) !== 0) descriptor++;
  if (descriptor >= end) throw errno.EMFILE;
  return descriptor;
}

/** Makes the free descriptor name `file`, whose reference passes to the (locked) table. */
export function installFile(
  tx: Transaction,
  table: FileTable,
  descriptor: number,
  file: File,
  closeOnExec: boolean,
): void {
  const at = descriptor >>> BLOCK_SHIFT;
  let block = FileTable.blocks.get(tx, table, at);
  if (block === 0) {
    block = DescriptorBlock.allocate(tx);
    FileTable.blocks.set(tx, table, at, block);
  }
  DescriptorBlock.files.set(tx, block, descriptor & (BLOCK_SIZE - 1), file);
  storeCloseOnExec(tx, block, descriptor, closeOnExec);
  if (FileTable.firstFree.get(tx, table) === descriptor) FileTable.firstFree.set(tx, table, descriptor + 1);
}

/** {@link findFree} and {@link installFile} from 0 on; returns the descriptor. */
export function addFile(
  tx: Transaction,
  table: FileTable,
  file: File,
  closeOnExec: boolean,
  limit: number,
): number {
  const descriptor = findFree(tx, table, 0, limit);
  installFile(tx, table, descriptor, file, closeOnExec);
  return descriptor;
}

function storeCloseOnExec(tx: Transaction, block: DescriptorBlock, descriptor: number, on: boolean): void {
  const index = (descriptor >>> 5) & 1;
  const word = DescriptorBlock.closeOnExec.get(tx, block, index);
  const bit = 1 << (descriptor & 31);
  const next = on ? word | bit : word & ~bit;
  if (next !== word) DescriptorBlock.closeOnExec.set(tx, block, index, next);
}

/** Sets or clears FD_CLOEXEC of an open descriptor. Throws EBADF. */
export function setCloseOnExec(tx: Transaction, task: Task, descriptor: number, on: boolean): void {
  const table = lockFiles(tx, task);
  if (fileAt(tx, table, descriptor) === 0) throw errno.EBADF;
  storeCloseOnExec(tx, FileTable.blocks.get(tx, table, descriptor >>> BLOCK_SHIFT), descriptor, on);
}

function noteClosing(tx: Transaction, table: FileTable): void {
  if (FileTable.references.get(tx, table) === 1) return;
  FileTable.closings.set(tx, table, (FileTable.closings.get(tx, table) + 1) | 0);
}

/** Takes `descriptor` out of the locked table and returns its file, whose reference is now the caller's. */
function removeFile(tx: Transaction, table: FileTable, descriptor: number): File {
  const file = fileAt(tx, table, descriptor);
  const block = FileTable.blocks.get(tx, table, descriptor >>> BLOCK_SHIFT);
  DescriptorBlock.files.set(tx, block, descriptor & (BLOCK_SIZE - 1), none());
  storeCloseOnExec(tx, block, descriptor, false);
  if (descriptor < FileTable.firstFree.get(tx, table)) FileTable.firstFree.set(tx, table, descriptor);
  noteClosing(tx, table);
  return file;
}

/** close(2). The last thing that its transaction does. Throws EBADF. */
export function closeDescriptor(tx: Transaction, task: Task, descriptor: number): void {
  const table = lockFiles(tx, task);
  if (fileAt(tx, table, descriptor) === 0) throw errno.EBADF;
  const file = removeFile(tx, table, descriptor);
  if (FileTable.usesRecordLocks.get(tx, table) !== 0) closeHook(tx, file, table);
  changeReferences(tx, [file], -1);
}

/**
 * dup2(2), dup3(2): makes `target` name what `source` names, closing what it named. The two differ. The last
 * thing that its transaction does. Throws EBADF.
 */
export function duplicateTo(
  tx: Transaction,
  task: Task,
  source: number,
  target: number,
  closeOnExec: boolean,
  limit: number,
): void {
  const table = lockFiles(tx, task);
  const file = fileAt(tx, table, source);
  if (file === 0 || target < 0 || target >= Math.min(limit, DESCRIPTORS_MAX)) throw errno.EBADF;
  const old = fileAt(tx, table, target);
  if (old === 0) {
    changeReferences(tx, [file], 1);
    installFile(tx, table, target, file, closeOnExec);
    return;
  }
  if (FileTable.usesRecordLocks.get(tx, table) !== 0) closeHook(tx, old, table);
  const block = FileTable.blocks.get(tx, table, target >>> BLOCK_SHIFT);
  DescriptorBlock.files.set(tx, block, target & (BLOCK_SIZE - 1), file);
  storeCloseOnExec(tx, block, target, closeOnExec);
  noteClosing(tx, table);
  if (file === old) return;
  File.lock.acquire(tx, file < old ? file : old);
  File.lock.acquire(tx, file < old ? old : file);
  File.references.set(tx, file, File.references.get(tx, file) + 1);
  changeReferences(tx, [old], -1);
}

/** dup(2), fcntl(F_DUPFD): the lowest free descriptor from `from` on names what `source` names. */
export function duplicate(
  tx: Transaction,
  task: Task,
  source: number,
  from: number,
  closeOnExec: boolean,
  limit: number,
): number {
  const table = lockFiles(tx, task);
  const file = fileAt(tx, table, source);
  if (file === 0) throw errno.EBADF;
  const target = findFree(tx, table, from, limit);
  changeReferences(tx, [file], 1);
  installFile(tx, table, target, file, closeOnExec);
  return target;
}

// Many files.

/** Adds `delta` to the references of each file, one per mention. At most one of them may end by that. */
function changeReferences(tx: Transaction, files: readonly File[], delta: 1 | -1): void {
  const sorted = [...files].sort((a, b) => a - b);
  let last: File = none();
  for (const file of sorted) {
    File.lock.acquire(tx, file);
    const references = File.references.get(tx, file) + delta;
    if (references > 0) File.references.set(tx, file, references);
    else {
      assert(last === 0, "one step releases one file");
      last = file;
    }
  }
  if (last !== 0) dropFile(tx, last);
}

/** One more reference to each file, one per mention: at most STEP_FILES of them. */
export function holdFiles(tx: Transaction, files: readonly File[]): void {
  assert(files.length <= STEP_FILES, "a step touches few files");
  changeReferences(tx, files, 1);
}

/** A table without files, with one reference. */
export function createFileTable(tx: Transaction): FileTable {
  const table = FileTable.allocate(tx);
  FileTable.references.init(tx, table, 1);
  return table;
}

/** One more task has the table (CLONE_FILES). */
export function holdFileTable(tx: Transaction, table: FileTable): void {
  FileTable.lock.acquire(tx, table);
  FileTable.references.set(tx, table, FileTable.references.get(tx, table) + 1);
}

/**
 * Copies `source` into `copy`, a table that nobody else knows yet and whose first step this may be: one
 * bounded step. False: commit, and call again; meanwhile the caller keeps `copy` where a rerun finds it, and
 * {@link closeFilesStep} undoes it.
 */
export function copyFilesStep(tx: Transaction, source: FileTable, copy: FileTable): boolean {
  FileTable.lock.acquire(tx, source);
  const files: File[] = [];
  const end = Math.min(DESCRIPTORS_MAX, FileTable.progress.get(tx, copy) + STEP_DESCRIPTORS);
  let descriptor = FileTable.progress.get(tx, copy);
  for (; files.length < STEP_FILES; descriptor++) {
    descriptor = nextDescriptor(tx, source, descriptor);
    if (descriptor < 0) {
      descriptor = DESCRIPTORS_MAX;
      break;
    }
    if (descriptor >= end) break;
    const file = fileAt(tx, source, descriptor);
    files.push(file);
    installFresh(tx, copy, descriptor, file, isCloseOnExec(tx, source, descriptor));
  }
  changeReferences(tx, files, 1);
  FileTable.progress.set(tx, copy, descriptor);
  if (descriptor < DESCRIPTORS_MAX) return false;
  FileTable.progress.set(tx, copy, 0);
  FileTable.firstFree.set(tx, copy, FileTable.firstFree.get(tx, source));
  return true;
}

function installFresh(
  tx: Transaction,
  copy: FileTable,
  descriptor: number,
  file: File,
  closeOnExec: boolean,
): void {
  const at = descriptor >>> BLOCK_SHIFT;
  let block = FileTable.blocks.get(tx, copy, at);
  if (block === 0) {
    block = DescriptorBlock.allocate(tx);
    FileTable.blocks.set(tx, copy, at, block);
  }
  DescriptorBlock.files.set(tx, block, descriptor & (BLOCK_SIZE - 1), file);
  if (closeOnExec) storeCloseOnExec(tx, block, descriptor, true);
}

/**
 * A task gives `table` up (exit, exec of a shared table, a cancelled copy): one bounded step. False: commit and
 * call again. If others have the table, only the reference goes. The caller clears Task.files in the
 * transaction in which this returns true.
 */
export function closeFilesStep(tx: Transaction, table: FileTable): boolean {
  FileTable.lock.acquire(tx, table);
  const references = FileTable.references.get(tx, table);
  if (references > 1) {
    FileTable.references.set(tx, table, references - 1);
    return true;
  }
  if (!closeStep(tx, table, () => true)) return false;
  for (let i = 0; i < BLOCKS; i++) {
    const block = FileTable.blocks.get(tx, table, i);
    if (block !== 0) DescriptorBlock.free(tx, block);
  }
  FileTable.free(tx, table);
  return true;
}

/** Closes what execve closes, of a table that the task has alone: one bounded step. False: commit, call again. */
export function closeOnExecStep(tx: Transaction, table: FileTable): boolean {
  FileTable.lock.acquire(tx, table);
  return closeStep(tx, table, (descriptor) => isCloseOnExec(tx, table, descriptor));
}

/**
 * close_range(2), one bounded step: closes the descriptors from `first` to `last`. False: commit, call again.
 */
export function closeRangeStep(tx: Transaction, table: FileTable, first: number, last: number): boolean {
  FileTable.lock.acquire(tx, table);
  return closeStep(tx, table, (descriptor) => descriptor >= first && descriptor <= last);
}

/**
 * Closes some of the chosen descriptors; true when none is left. A step ends at the first file that has to be
 * released, because that may take any lock.
 */
function closeStep(tx: Transaction, table: FileTable, chosen: (descriptor: number) => boolean): boolean {
  const most = FileTable.usesRecordLocks.get(tx, table) !== 0 ? 1 : STEP_FILES;
  const found: { readonly descriptor: number; readonly file: File }[] = [];
  for (let descriptor = 0; found.length < most; descriptor++) {
    descriptor = nextDescriptor(tx, table, descriptor);
    if (descriptor < 0) break;
    if (chosen(descriptor)) found.push({ descriptor, file: fileAt(tx, table, descriptor) });
  }
  if (found.length === 0) return true;
  if (most === 1) closeHook(tx, found[0]!.file, table);
  // Which files the step may let go of is known under their locks only, so the descriptors go afterwards; the
  // one release comes last of all.
  found.sort((a, b) => a.file - b.file);
  let last: File = none();
  for (const { descriptor, file } of found) {
    File.lock.acquire(tx, file);
    const references = File.references.get(tx, file) - 1;
    if (references === 0) {
      if (last !== 0) continue;
      last = file;
    } else File.references.set(tx, file, references);
    removeFile(tx, table, descriptor);
  }
  if (last !== 0) dropFile(tx, last);
  return false;
}

registerInvariant({
  id: "D2",
  statement: "each descriptor block belongs to one table, and its descriptors refer to live files",
  check(view, report) {
    const owners = new Map<number, number>();
    for (const table of liveRecords(view, FileTable.schema)) {
      for (let i = 0; i < BLOCKS; i++) {
        const block = FileTable.blocks.get(view, table, i);
        if (block !== 0) owners.set(block, (owners.get(block) ?? 0) + 1);
      }
    }
    for (const block of liveRecords(view, DescriptorBlock.schema)) {
      if (owners.get(block) !== 1)
        report(`descriptor block ${block} belongs to ${owners.get(block) ?? 0} tables`);
    }
  },
});

registerInvariant({
  id: "D3",
  statement: "no descriptor below a table's firstFree is free",
  check(view, report) {
    for (const table of liveRecords(view, FileTable.schema)) {
      const bound = FileTable.firstFree.get(view, table);
      for (let descriptor = 0; descriptor < bound; descriptor++) {
        if (fileAt(view, table, descriptor) === 0) report(`table ${table}: descriptor ${descriptor} is free`);
      }
    }
  },
});

registerInvariant({
  id: "D4",
  statement: "a file has at least as many references as descriptors that name it",
  check(view, report) {
    const named = new Map<number, number>();
    for (const table of liveRecords(view, FileTable.schema)) {
      for (let d = nextDescriptor(view, table, 0); d >= 0; d = nextDescriptor(view, table, d + 1)) {
        const file = fileAt(view, table, d);
        named.set(file, (named.get(file) ?? 0) + 1);
      }
    }
    for (const file of liveRecords(view, File.schema)) {
      const references = File.references.get(view, file);
      const count = named.get(file) ?? 0;
      if (references < count) report(`file ${file} has ${references} references, ${count} descriptors`);
    }
  },
});
