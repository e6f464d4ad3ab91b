/**
 * What an execve holds between its transactions, and after its last one: the record "exec", which Task.exec
 * names.
 *
 *     building:   space       the new address space, with the one reference that it has
 *                 program     the file to be executed, open as such
 *                 interpreter its interpreter, likewise
 *                 files       a copy of the descriptors, if the task shares its table
 *
 *     committed:  space       the old address space if nobody else is in it: dying
 *                 program     the file that was executed before
 *                 closes      1 until what is to be closed on exec is closed
 *
 * Either way, what is there is to be given up: before the commit by the execve itself or its next attempt, after
 * it by the task when it next attends (ATTENTION.LEFTOVERS), and in any case at the task's end (rule R4: the
 * cancel procedure goes back before the commit, forward after it).
 */

import { defineRecord, none, ref, type Ref, u32 } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { closeFilesStep, closeOnExecStep } from "../kernel/descriptors.ts";
import { dropFile } from "../kernel/file.ts";
import { destroyStep, releaseSpace } from "../kernel/memory/address-space.ts";
import { AddressSpace } from "../kernel/memory/records.ts";
import { registerTaskResource } from "../kernel/process.ts";
import { Task } from "../kernel/task.ts";

export const Exec = defineRecord("exec", {
  space: ref("address-space"),
  program: ref("file"),
  interpreter: ref("file"),
  files: ref("file-table"),
  closes: u32(),
});
export type Exec = Ref<"exec">;

/** The task's record, made if there is none. */
export function execOf(tx: Transaction, task: Task): Exec {
  let exec = Task.exec.get(tx, task);
  if (exec === 0) {
    exec = Exec.allocate(tx);
    Task.exec.set(tx, task, exec);
  }
  return exec;
}

/** Gives up something of what the task's record holds: one bounded step. True when nothing is left. */
export function clearExecStep(tx: Transaction, task: Task): boolean {
  const exec = Task.exec.get(tx, task);
  if (exec === 0) return true;
  if (Exec.closes.get(tx, exec) !== 0) {
    const files = Task.files.get(tx, task);
    // A task that has ended meanwhile has closed everything.
    if (files === 0 || closeOnExecStep(tx, files)) Exec.closes.set(tx, exec, 0);
    return false;
  }
  const space = Exec.space.get(tx, exec);
  if (space !== 0) {
    if (AddressSpace.references.get(tx, space) !== 0) releaseSpace(tx, space);
    if (destroyStep(tx, space)) Exec.space.set(tx, exec, none());
    return false;
  }
  for (const field of [Exec.program, Exec.interpreter]) {
    const file = field.get(tx, exec);
    if (file === 0) continue;
    field.set(tx, exec, none());
    dropFile(tx, file);
    return false;
  }
  const files = Exec.files.get(tx, exec);
  if (files !== 0) {
    if (closeFilesStep(tx, files)) Exec.files.set(tx, exec, none());
    return false;
  }
  Task.exec.set(tx, task, none());
  Exec.free(tx, exec);
  return true;
}

registerTaskResource({
  name: "exec",
  release: (tx, task) => Task.exec.get(tx, task) === 0 || (clearExecStep(tx, task), false),
});
