/**
 * Seals (fcntl(2), F_ADD_SEALS): what may no longer be done to a file of memory without a name.
 *
 * They lie in the inode, guarded by its lock, and are only ever added. A seal against writing is refused while a
 * mapping may still write; who maps holds the inode's lock from asking `deniesWriting` to its commit, so no such
 * mapping comes about meanwhile. Invariant V11 is in records.ts.
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File } from "../../kernel/file.ts";
import { isMappedForWriting } from "../../kernel/memory/file-change.ts";
import { S_IFMT, S_IFREG } from "./inodes.ts";
import { wantsWrite } from "./open-flags.ts";
import { FILE_SYSTEM, FileSystem, Inode, Mount, VfsState } from "./records.ts";
import { stateOf } from "./state.ts";

/** Bits of F_ADD_SEALS (fcntl(2)). */
export const SEAL = { SEAL: 1, SHRINK: 2, GROW: 4, WRITE: 8, FUTURE_WRITE: 16, EXEC: 32 } as const;
const SEALS_KNOWN: number = Object.values(SEAL).reduce((all, bit) => all | bit, 0);
const AGAINST_WRITING: number = SEAL.WRITE | SEAL.FUTURE_WRITE;
const X_BITS = 0o111;

/** The inode of a file that can have seals, locked; EINVAL for any other. Ordinary files of memory have only SEAL. */
function sealable(tx: Transaction, file: File): { readonly inode: Inode; readonly seals: number } {
  const inode = File.inode.get(tx, file);
  const isFile = inode !== 0 && (Inode.mode.get(tx, inode) & S_IFMT) === S_IFREG;
  if (!isFile || FileSystem.kind.get(tx, Inode.fileSystem.get(tx, inode)) !== FILE_SYSTEM.MEMORY)
    throw errno.EINVAL;
  Inode.lock.acquire(tx, inode);
  return { inode, seals: isNameless(tx, inode) ? Inode.seals.get(tx, inode) : SEAL.SEAL };
}

function isNameless(tx: Transaction, inode: Inode): boolean {
  return (
    Inode.fileSystem.get(tx, inode) === Mount.fileSystem.get(tx, VfsState.memoryMount.get(tx, stateOf(tx)))
  );
}

/** fcntl(F_GET_SEALS). */
export function getSeals(tx: Transaction, file: File): number {
  return sealable(tx, file).seals;
}

/** fcntl(F_ADD_SEALS). EPERM if the file is not open for writing or is sealed; EBUSY while a mapping may write. */
export function addSeals(tx: Transaction, file: File, wanted: number): void {
  if (!wantsWrite(File.flags.get(tx, file))) throw errno.EPERM;
  if ((wanted & ~SEALS_KNOWN) !== 0) throw errno.EINVAL;
  const { inode, seals } = sealable(tx, file);
  if ((seals & SEAL.SEAL) !== 0) throw errno.EPERM;
  let added = wanted;
  // Whoever may execute what can no longer become executable must not be able to change it either.
  const executable = (Inode.mode.get(tx, inode) & X_BITS) !== 0;
  if ((added & SEAL.EXEC) !== 0 && executable)
    added |= SEAL.SHRINK | SEAL.GROW | SEAL.WRITE | SEAL.FUTURE_WRITE;
  if ((added & ~seals & SEAL.WRITE) !== 0 && isMappedForWriting(tx, inode)) throw errno.EBUSY;
  Inode.seals.set(tx, inode, seals | added);
}

/** Whether the file of `inode`, which is locked, may not be written to any more. */
export function deniesWriting(tx: Transaction, inode: Inode): boolean {
  return (Inode.seals.get(tx, inode) & AGAINST_WRITING) !== 0;
}

/**
 * How many of the `length` bytes may be written at `position`, `size` being the size: as Linux writes page by
 * page, those pages count that do not go beyond a size that is sealed. EPERM if none may.
 */
export function writableLength(tx: Transaction, inode: Inode, position: number, length: number): number {
  const seals = Inode.seals.get(tx, inode);
  if (seals === 0 || length === 0) return length;
  if (deniesWriting(tx, inode)) throw errno.EPERM;
  if ((seals & SEAL.GROW) === 0 || position + length <= Inode.size.get(tx, inode)) return length;
  const size = Inode.size.get(tx, inode);
  const end = size - (size % 4096);
  if (end <= position) throw errno.EPERM;
  return end - position;
}

/** Throws EPERM unless the size may become `size`. */
export function needResizable(tx: Transaction, inode: Inode, size: number): void {
  const seals = Inode.seals.get(tx, inode);
  const old = Inode.size.get(tx, inode);
  if ((seals & SEAL.SHRINK) !== 0 && size < old) throw errno.EPERM;
  if ((seals & SEAL.GROW) !== 0 && size > old) throw errno.EPERM;
}

/** Throws EPERM if the mode `mode` differs from the file's in an execute bit and that is sealed. */
export function needModeChange(tx: Transaction, inode: Inode, mode: number): void {
  if ((Inode.seals.get(tx, inode) & SEAL.EXEC) === 0) return;
  if (((Inode.mode.get(tx, inode) ^ mode) & X_BITS) !== 0) throw errno.EPERM;
}
