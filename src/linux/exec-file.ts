/**
 * The files of an execve: opened for execution, looked into, followed from script to interpreter.
 *
 * Each file is opened and read in one transaction and then belongs to the record "exec". What was read is kept
 * in JavaScript for this attempt only: an execve that has to run again looks again.
 */

import { errno } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/hart-abi.ts";
import type { Transaction } from "../heap/transaction.ts";
import { dropFile, type File, kindOf } from "../kernel/file.ts";
import { allocateFrame, dropFrame, frameAddress } from "../kernel/memory/frames.ts";
import { addSegment, bytesFromSegments, clearSegments, pathAt } from "../kernel/request.ts";
import { Task } from "../kernel/task.ts";
import { O_EXEC_DENY, vfs } from "../servers/vfs/vfs.ts";
import { STAT_BYTES, STATFS_BYTES } from "./abi-file.ts";
import {
  type ElfImage,
  interpreterPath,
  isElf,
  parseHeader,
  parseImage,
  parseScript,
  PROGRAM_HEADER_BYTES,
  SCRIPT_BYTES,
} from "./elf.ts";
import { Exec, execOf } from "./exec-record.ts";
import type { Place } from "./paths.ts";

/** Scripts whose interpreters are scripts: as deep as Linux goes. */
const SCRIPT_DEPTH = 5;

/** Who owns a program, for set-uid and set-gid. */
export interface ProgramOwner {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whether its mount lets it raise anything. */
  readonly nosuid: boolean;
}

/** Everything about the files that the rest of the execve needs. */
export interface ProgramFiles {
  readonly image: ElfImage;
  readonly interpreter: ElfImage | undefined;
  readonly owner: ProgramOwner;
  /** Arguments that take the place of argv[0], for a script; undefined for a program. */
  readonly scriptArguments: readonly Uint8Array[] | undefined;
}

type BytesAt = (offset: number, length: number) => Uint8Array;

/** Runs `use` with a frame as the request's only segment, in a transaction of its own: each takes its locks. */
function withFrame<T>(tx: Transaction, use: () => T): T {
  const frame = allocateFrame(tx);
  clearSegments(tx);
  addSegment(tx, frameAddress(frame), PAGE_SIZE);
  const value = use();
  dropFrame(tx, frame);
  tx.commit();
  return value;
}

function segmentView(tx: Transaction, length: number): DataView {
  const bytes = new Uint8Array(length);
  bytesFromSegments(tx, 0, bytes);
  return new DataView(bytes.buffer);
}

/** Up to `length` bytes of the file at `offset`. */
function readFile(tx: Transaction, file: File, offset: number, length: number): Uint8Array {
  const parts = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const wanted = Math.min(PAGE_SIZE, length - done);
    const from = done;
    const got = withFrame(tx, () => {
      const count = kindOf(tx, file).read(tx, file, wanted, offset + from, false);
      bytesFromSegments(tx, 0, parts.subarray(from, from + count));
      return count;
    });
    if (got === 0) break;
    done += got;
  }
  return parts.subarray(0, done);
}

/** The file's bytes by offset; those of its first page are read once. */
function reader(tx: Transaction, file: File): BytesAt {
  const first = readFile(tx, file, 0, PAGE_SIZE);
  return (offset, length) =>
    offset + length <= PAGE_SIZE
      ? first.subarray(offset, offset + length)
      : readFile(tx, file, offset, length);
}

function parseElf(bytesAt: BytesAt): ElfImage {
  const header = parseHeader(bytesAt(0, SCRIPT_BYTES));
  return parseImage(header, bytesAt(header.programHeadersAt, header.programHeaders * PROGRAM_HEADER_BYTES));
}

function ownerOf(tx: Transaction, file: File): ProgramOwner {
  const stat = withFrame(tx, () => {
    vfs.statFile(tx, file, 0);
    return segmentView(tx, STAT_BYTES);
  });
  const flags = withFrame(tx, () => {
    vfs.statfsFile(tx, file);
    return segmentView(tx, STATFS_BYTES).getUint32(80, true);
  });
  const ST_NOSUID = 2;
  return {
    mode: stat.getUint32(16, true),
    uid: stat.getUint32(24, true),
    gid: stat.getUint32(28, true),
    nosuid: (flags & ST_NOSUID) !== 0,
  };
}

/** Puts `path` into path buffer 0 and names it from the working directory. */
function placePath(tx: Transaction, task: Task, path: Uint8Array): Place {
  tx.bytes.set(path, pathAt(tx, 0));
  return [Task.fs.get(tx, task), Task.credentials.get(tx, task), 0 as File, 0, path.length];
}

function openProgram(tx: Transaction, place: Place): File {
  return vfs.open(tx, ...place, O_EXEC_DENY, 0, 0);
}

/**
 * Opens the program at `place` and all that running it takes; `name` is how a script is to name itself to its
 * interpreter. Commits several times. Throws what execve(2) throws for bad files.
 */
export function openPrograms(tx: Transaction, task: Task, place: Place, name: Uint8Array): ProgramFiles {
  let at = place;
  let script = name;
  let scriptArguments: Uint8Array[] | undefined;
  for (let depth = 0; ; depth++) {
    const file = openProgram(tx, at);
    const exec = execOf(tx, task);
    Exec.program.set(tx, exec, file);
    // Opening has taken locks that rank behind those of reading.
    tx.commit();
    const bytesAt = reader(tx, file);
    const head = bytesAt(0, SCRIPT_BYTES);
    if (isElf(head)) {
      const image = parseElf(bytesAt);
      const wanted = image.interpreter;
      const path = wanted && interpreterPath(bytesAt(wanted.offset, wanted.length));
      tx.commit();
      const owner = ownerOf(tx, file);
      tx.commit();
      const interpreter = path && openInterpreter(tx, task, path);
      return { image, interpreter, owner, scriptArguments };
    }
    const line = parseScript(head);
    if (line === undefined) throw errno.ENOEXEC;
    if (depth === SCRIPT_DEPTH) throw errno.ELOOP;
    tx.commit();
    Exec.program.set(tx, exec, 0 as File);
    dropFile(tx, file);
    tx.commit();
    // The interpreter, its argument, the script's name in place of argv[0], and what followed that.
    const own = line.argument === undefined ? [line.interpreter] : [line.interpreter, line.argument];
    scriptArguments = [...own, script, ...(scriptArguments?.slice(1) ?? [])];
    script = line.interpreter;
    at = placePath(tx, task, line.interpreter);
  }
}

/** Opens the interpreter that the program names. Throws ELIBBAD if it is not an ELF file that can run here. */
function openInterpreter(tx: Transaction, task: Task, path: Uint8Array): ElfImage {
  const file = openProgram(tx, placePath(tx, task, path));
  Exec.interpreter.set(tx, execOf(tx, task), file);
  tx.commit();
  let image: ElfImage;
  try {
    image = parseElf(reader(tx, file));
  } catch (error) {
    throw error === errno.ENOEXEC || error === errno.EINVAL ? errno.ELIBBAD : error;
  }
  tx.commit();
  return image;
}
