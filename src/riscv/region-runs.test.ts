/** Runs of pages that harts keep: the same as tier 0 sees, whatever the frames, permissions and faults. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EXIT } from "../base/hart-abi.ts";
import { assemble } from "./testing/assemble.ts";
import { type Permissions, TestMachine, type Tiers } from "./testing/test-machine.ts";

const CODE = 0x10_000;
const PAGE = 4096;
/** The pages lie on both sides of the boundary of two leaf tables. */
const DATA = 0x100_0000 - 8 * PAGE;
const PAGES = 16;
const [A0, A1, A2, SUM, T0, T1] = [10, 11, 12, 13, 5, 6];
const RW: Permissions = { read: true, write: true };
const EBREAK = assemble("ebreak");

/** Two bytes-wide walks through the data, up with reads and down with writes, at every alignment. */
const WALK: readonly number[] = [
  // up: t0 = ld (a0); sum = sum * 33 + t0; a0 += 61
  assemble("ld", { rd: T0, rs1: A0, imm: 0 }),
  assemble("slli", { rd: T1, rs1: SUM, imm: 5 }),
  assemble("add", { rd: SUM, rs1: SUM, rs2: T1 }),
  assemble("add", { rd: SUM, rs1: SUM, rs2: T0 }),
  assemble("addi", { rd: A0, rs1: A0, imm: 61 }),
  assemble("bltu", { rs1: A0, rs2: A1, imm: -20 }),
  // down: sd sum (a0 - 61); lw t0 (a0 - 57); a pair that one check covers
  assemble("sd", { rs1: A0, rs2: SUM, imm: -61 }),
  assemble("lw", { rd: T0, rs1: A0, imm: -57 }),
  assemble("add", { rd: SUM, rs1: SUM, rs2: T0 }),
  assemble("ld", { rd: T0, rs1: 2, imm: 8 }),
  assemble("sd", { rs1: 2, rs2: SUM, imm: 8 }),
  assemble("addi", { rd: A0, rs1: A0, imm: -61 }),
  assemble("bltu", { rs1: A2, rs2: A0, imm: -24 }),
  EBREAK,
];

interface Setup {
  readonly name: string;
  readonly map: (machine: TestMachine) => void;
  /** A fault at a page makes it usable. */
  readonly onDemand?: boolean;
}

const frames = (machine: TestMachine): number => machine.allocate(PAGES * PAGE);
const setups: readonly Setup[] = [
  { name: "frames that adjoin", map: (machine) => void machine.map(DATA, PAGES * PAGE, RW) },
  { name: "frames in reverse order", map: (machine) => machine.mapReversed(DATA, PAGES * PAGE, RW) },
  {
    name: "rows of three",
    map: (machine) => {
      const pa = frames(machine);
      for (let i = 0; i < PAGES; i++) {
        const row = Math.floor(i / 3);
        machine.mapPage(DATA + i * PAGE, pa + ((row * 3 + 7 * 3) % 15) * PAGE + (i % 3) * PAGE, RW);
      }
    },
  },
  { name: "pages that come by faults, in a row", map: () => undefined, onDemand: true },
  {
    name: "some pages may not be written until they are",
    map: (machine) => {
      const pa = frames(machine);
      for (let i = 0; i < PAGES; i++) {
        machine.mapPage(DATA + i * PAGE, pa + i * PAGE, { read: true, write: i % 3 !== 1 });
      }
    },
    onDemand: true,
  },
];

function result({ map, onDemand }: Setup, tiers: Tiers): { sum: bigint; bytes: Uint8Array; faults: number } {
  let faults = 0;
  let row = 0;
  const machine: TestMachine = new TestMachine(
    {
      fault: (_regs, low, high) => {
        const va = (high >>> 0) * 2 ** 32 + (low >>> 0);
        const page = Math.floor((va - DATA) / PAGE);
        if (onDemand !== true || page < 0 || page >= PAGES) return 1;
        faults++;
        row ||= frames(machine);
        // A page that may be read moves to another frame when it is written, as a copy does.
        const old = machine.physical(DATA + page * PAGE);
        const pa = row + page * PAGE;
        if (old >= PAGE) machine.bytes.copyWithin(pa, old, old + PAGE);
        machine.mapPage(DATA + page * PAGE, pa, RW);
        return 0;
      },
    },
    32,
    tiers,
  );
  machine.map(CODE, PAGE, { fetch: true });
  machine.writeCode(CODE, WALK);
  machine.map(0x20_0000, PAGE, RW);
  map(machine);
  if (onDemand !== true) {
    for (let at = 0; at < PAGES * PAGE; at += 8) {
      const value = BigInt.asUintN(64, BigInt(at + 1) * 0x9e37_79b9_7f4a_7c15n);
      machine.view.setBigUint64(machine.physical(DATA + at), value, true);
    }
  }
  machine.setX(2, 0x20_0000n);
  for (let round = 0; round < 3; round++) {
    machine.pc = BigInt(CODE);
    machine.setX(A0, BigInt(DATA + 3));
    machine.setX(A1, BigInt(DATA + PAGES * PAGE - 80));
    machine.setX(A2, BigInt(DATA + 61));
    assert.equal(machine.run(), EXIT.BREAKPOINT);
  }
  const bytes = machine.readBytes(DATA, PAGES * PAGE);
  return { sum: machine.x(SUM), bytes, faults };
}

for (const setup of setups) {
  test(`${setup.name}: the same as in tier 0`, () => {
    const [regions, tier0] = [result(setup, "eager regions"), result(setup, "tier 0")];
    assert.equal(regions.sum, tier0.sum);
    assert.deepEqual(regions.bytes, tier0.bytes);
    assert.equal(regions.faults, tier0.faults);
    assert.equal(tier0.faults > 0, setup.onDemand === true);
  });
}

test("a run that was kept is forgotten when the kernel makes it void", () => {
  let calls = 0;
  const machine: TestMachine = new TestMachine(
    {
      syscall: () => {
        // The third page is another one from now on.
        calls++;
        machine.mapPage(DATA + 2 * PAGE, other, RW);
        const pc = machine.pc + 4n;
        machine.pc = pc;
        return 0;
      },
    },
    32,
    "eager regions",
  );
  const sum = [
    assemble("lbu", { rd: T0, rs1: A0, imm: 0 }),
    assemble("add", { rd: SUM, rs1: SUM, rs2: T0 }),
    assemble("addi", { rd: A0, rs1: A0, imm: 1024 }),
    assemble("bltu", { rs1: A0, rs2: A1, imm: -12 }),
  ];
  machine.map(CODE, PAGE, { fetch: true });
  machine.writeCode(CODE, [
    ...sum,
    assemble("ecall"),
    assemble("addi", { rd: A0, rs1: A2, imm: 0 }),
    ...sum,
    EBREAK,
  ]);
  const pa = machine.map(DATA, PAGES * PAGE, RW);
  machine.bytes.fill(1, pa, pa + PAGES * PAGE);
  const other = machine.allocate(PAGE);
  machine.bytes.fill(9, other, other + PAGE);
  machine.pc = BigInt(CODE);
  machine.setX(A0, BigInt(DATA));
  machine.setX(A1, BigInt(DATA + PAGES * PAGE));
  machine.setX(A2, BigInt(DATA));
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(calls, 1);
  assert.equal(machine.x(SUM), BigInt(PAGES * 4 + (PAGES - 1) * 4 + 4 * 9));
});

const LOAD = assemble("ld", { rd: T0, rs1: A0, imm: 0 });
const STORE = assemble("sd", { rs1: A0, rs2: T0, imm: 0 });
const BY_SP = assemble("ld", { rd: T0, rs1: 2, imm: 0 });
const LATER = assemble("sd", { rs1: A0, rs2: T0, imm: 16 });
for (const [name, accesses] of Object.entries({
  "a load": [LOAD],
  "a store": [STORE],
  "a load by sp": [BY_SP],
  "a group": [LOAD, LATER],
})) {
  test(`no address that a guest makes up is in a run that is not there: ${name}`, () => {
    const tried = [2n ** 62n, 2n ** 62n + 8n, 2n ** 63n, -8n, 0n, 2n ** 38n, 2n ** 32n, 8n].flatMap((va) => [
      va,
      va + 3n,
    ]);
    const seen: bigint[] = [];
    const fault = (_regs: number, low: number, high: number): number => {
      seen.push(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low >>> 0)));
      return 1;
    };
    const machine = new TestMachine({ fault }, 32, "eager regions");
    machine.map(CODE, PAGE, { fetch: true });
    machine.writeCode(CODE, [...accesses, assemble("bne", { rs1: A1, imm: -4 * accesses.length }), EBREAK]);
    for (const va of tried) {
      machine.pc = BigInt(CODE);
      for (const register of [A0, 2]) machine.setX(register, va);
      assert.equal(machine.run(), EXIT.LEFT);
    }
    assert.deepEqual(
      seen,
      tried.map((va) => BigInt.asIntN(64, va)),
    );
    assert.equal(machine.pc, BigInt(CODE), "and it is the first instruction's");
  });
}
