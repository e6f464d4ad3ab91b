/**
 * What procfs asks of those who know: the process server and the personality. They register one object when
 * they are loaded. It keeps no state; all that it tells is read from the heap when it is asked.
 *
 * It is called with locks held that rank behind those of processes and tasks (the vfs lock, for names). So it
 * reads without locks, checks that each record it comes by is live, and answers "nothing" for what is not.
 */

import type { Transaction } from "../../../heap/transaction.ts";
import type { File } from "../../../kernel/file.ts";
import type { Dirent, Mount } from "../records.ts";

export interface ProcSource {
  /** The process and the task that ask. */
  self(tx: Transaction): { readonly pid: number; readonly tid: number };
  /** The least pid above `after`; 0 if there is none. */
  nextProcess(tx: Transaction, after: number): number;
  isProcess(tx: Transaction, pid: number): boolean;
  /** What tells a process from another one that has had its pid; 0 if there is none. */
  serial(tx: Transaction, pid: number): number;
  /** The tids of a process, ascending. */
  tasks(tx: Transaction, pid: number): readonly number[];
  /** Who owns the files of a process: its effective ids. */
  owner(tx: Transaction, pid: number): { readonly uid: number; readonly gid: number };
  /**
   * Contents of /proc/PID/`name` or, with a tid that is not 0, of /proc/PID/task/TID/`name`; undefined if the
   * process is gone. The names are those of TASK_FILES in tree.ts.
   */
  text(tx: Transaction, pid: number, tid: number, name: string): string | Uint8Array | undefined;
  /** Where "exe", "cwd" or "root" of a process lead. */
  place(
    tx: Transaction,
    pid: number,
    name: string,
  ): { readonly mount: Mount; readonly entry: Dirent } | undefined;
  /** Open descriptors of a process, ascending. */
  descriptors(tx: Transaction, pid: number): readonly number[];
  /** The open file behind a descriptor, none if there is none. */
  file(tx: Transaction, pid: number, descriptor: number): File;
  /** The mappings of files of a process: first page, page after the last, file. */
  mappings(tx: Transaction, pid: number): readonly (readonly [first: number, end: number, file: File])[];
  /** What a link to a file without a name shows: "pipe:[4711]". */
  describe(tx: Transaction, file: File): string;
  /** Contents of a file of the machine (MACHINE_FILES in tree.ts), by its path below /proc. */
  machineText(tx: Transaction, path: string): string;
  /** Takes what is written to a file; undefined: it cannot be written. */
  write?(tx: Transaction, pid: number, path: string, text: string): boolean;
}

let source: ProcSource | undefined;

/** Registers the source. Once. */
export function registerProcSource(given: ProcSource): void {
  source = given;
}

/** The source; undefined on a machine without processes (tests). */
export function procSource(): ProcSource | undefined {
  return source;
}
