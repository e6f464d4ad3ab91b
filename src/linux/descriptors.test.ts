import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { census, checkHeap } from "../heap/check.ts";
import { Crash } from "../heap/crash-loop.ts";
import {
  closeFilesStep,
  copyFilesStep,
  createFileTable,
  fileAt,
  FileTable,
  isCloseOnExec,
  nextDescriptor,
} from "../kernel/descriptors.ts";
import { File } from "../kernel/file.ts";
import { Task } from "../kernel/task.ts";
import { AT_FDCWD, O } from "./abi-file.ts";
import { clearExecStep, Exec, execOf } from "./exec-record.ts";
import { LinuxMachine, USER } from "./testing/linux-machine.ts";

/** A machine with 40 descriptors of 13 files, up to number 210. */
function crowded(): LinuxMachine {
  const machine = new LinuxMachine();
  for (let i = 0; i < 5; i++) machine.call("pipe2", USER, i % 2 === 0 ? O.CLOEXEC : 0);
  for (let i = 0; i < 3; i++) machine.call("openat", AT_FDCWD, `/tmp/${i}`, O.CREAT | O.RDWR, 0o600);
  for (let i = 0; i < 27; i++) machine.call("fcntl", i % 13, i % 3 === 0 ? 1030 : 0, 50 + i * 6);
  return machine;
}

/** What a table holds, as text. */
function holdings(machine: LinuxMachine, table: FileTable): string {
  const parts: string[] = [];
  for (
    let fd = nextDescriptor(machine.tx, table, 0);
    fd >= 0;
    fd = nextDescriptor(machine.tx, table, fd + 1)
  ) {
    const mark = isCloseOnExec(machine.tx, table, fd) ? "!" : "";
    parts.push(`${fd}=${fileAt(machine.tx, table, fd)}${mark}`);
  }
  return parts.join(" ");
}

/** Copies the task's table, in steps, keeping the copy where a cancel procedure finds it. */
function copy(machine: LinuxMachine): FileTable {
  const { tx, task } = machine;
  const made = createFileTable(tx);
  Exec.files.set(tx, execOf(tx, task), made);
  while (!copyFilesStep(tx, Task.files.get(tx, task), made)) tx.commit();
  tx.commit();
  return made;
}

function cancel(machine: LinuxMachine): void {
  while (!clearExecStep(machine.tx, machine.task)) machine.tx.commit();
  machine.tx.commit();
}

describe("file tables", () => {
  test("a copy has the same files, each referred to once more; closing it gives all back", () => {
    const machine = crowded();
    const { tx, task } = machine;
    const table = Task.files.get(tx, task);
    const before = census(tx);
    const made = copy(machine);
    assert.equal(holdings(machine, made), holdings(machine, table));
    assert.equal(FileTable.firstFree.get(tx, made), FileTable.firstFree.get(tx, table));
    assert.equal(File.references.get(tx, fileAt(tx, table, 0)), 8);
    assert.deepEqual(checkHeap(tx), []);
    cancel(machine);
    assert.equal(File.references.get(tx, fileAt(tx, table, 0)), 4);
    assert.deepEqual(census(tx), before);
    assert.deepEqual(checkHeap(tx), []);
  });

  test("closing a table of one's own releases every file", () => {
    const machine = crowded();
    const { tx, task } = machine;
    const table = Task.files.get(tx, task);
    while (!closeFilesStep(tx, table)) tx.commit();
    Task.files.set(tx, task, createFileTable(tx));
    tx.commit();
    assert.equal(census(tx).get("file"), undefined);
    assert.equal(census(tx).get("pipe"), undefined);
    assert.deepEqual(checkHeap(tx), []);
  });

  test("a crash at any step of a copy, or of its closing, is survived", () => {
    const machine = crowded();
    const { tx } = machine;
    const before = census(tx);
    const initial = { heap: tx.words.slice(), memory: tx.memory.slice() };
    let struck = true;
    for (let at = 1; struck; at += 3) {
      tx.words.set(initial.heap);
      tx.memory.set(initial.memory);
      struck = false;
      let count = 0;
      tx.hook = () => {
        if (++count !== at) return;
        struck = true;
        throw new Crash();
      };
      try {
        copy(machine);
        cancel(machine);
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
      }
      tx.hook = () => {};
      tx.rollback();
      cancel(machine);
      assert.deepEqual(checkHeap(tx), [], `step ${at}`);
      assert.deepEqual(census(tx), before, `step ${at}`);
    }
  });
});
