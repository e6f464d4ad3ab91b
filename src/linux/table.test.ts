import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isCurrent } from "../../tools/syscalls.ts";
import { callRows, rowOf } from "./table.ts";
import { LinuxMachine } from "./testing/linux-machine.ts";

/** Numbers below the last that Linux riscv64 leaves out: other architectures' own calls, and 32-bit ones. */
const isGap = (number: number): boolean =>
  (number >= 244 && number <= 257) || (number >= 295 && number <= 423);

describe("table of system calls", () => {
  test("every number up to the last has a row, but for the gaps of the architecture", () => {
    const last = Math.max(...callRows.map(({ number }) => number));
    assert.ok(last >= 462);
    for (let number = 0; number <= last; number++) {
      assert.equal(rowOf(number) === undefined, isGap(number), `system call ${number}`);
    }
  });

  test("names are unique, and a row says why when something is missing", () => {
    assert.equal(new Set(callRows.map(({ name }) => name)).size, callRows.length);
    for (const { name, support, note, handler, args } of callRows) {
      assert.equal(handler === undefined, support === "none", name);
      assert.equal(note === "", support === "full", name);
      assert.ok(args.length <= 6, name);
    }
  });

  test("a call that is not there answers ENOSYS", () => {
    const machine = new LinuxMachine([]);
    for (const { name, support } of callRows) {
      if (support === "none") assert.equal(machine.attempt(name), "ENOSYS", name);
    }
    machine.prepare("getpid");
    assert.equal(machine.carryOut(250), -38);
    assert.equal(machine.carryOut(100_000), -38);
  });

  test("docs/SYSCALLS.md is current (else: node tools/syscalls.ts)", () => {
    assert.ok(isCurrent());
  });
});
