/** Translated code's contract with the kernel, in tier 0 and in regions: exits, faults, imports, budget, pages. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test as nodeTest } from "node:test";
import { Worker } from "node:worker_threads";
import {
  ACCESS,
  EXIT,
  HART_INTERRUPT,
  INTERRUPTED,
  REG_BUDGET,
  REG_FRM,
  REG_RESERVATION,
  REG_SCRATCH,
  REG_X,
  REGISTER_FILE_BYTES,
} from "../base/hart-abi.ts";
import { assemble } from "./testing/assemble.ts";
import type { HartWork } from "./testing/hart-worker.ts";
import { type TestImports, TestMachine, type Tiers } from "./testing/test-machine.ts";
import { buildTier0 } from "./tier0.ts";

const CODE = 0x10_000;
const DATA = 0x40_0000;
const A0 = 10;
const A1 = 11;
const A2 = 12;
const ECALL: number = assemble("ecall");
const C_EBREAK = 0x9002;
const C_NOP = 0x0001;

/** What the test that runs is about. */
let tiers: Tiers = "tier 0";

/** Registers a test twice: for tier 0 alone, and with a region for everything. */
function test(name: string, body: () => void | Promise<void>): void {
  for (const each of ["tier 0", "eager regions"] as const) {
    nodeTest(`${name}; ${each}`, async () => {
      tiers = each;
      await body();
    });
  }
}

const li = (rd: number, imm: number): number => assemble("addi", { rd, imm });

/** A machine with two pages of code and the words at its start. */
function machineWith(words: readonly number[], imports: TestImports = {}): TestMachine {
  const machine = new TestMachine(imports, 16, tiers);
  machine.map(CODE, 8192, { read: true, fetch: true });
  machine.writeCode(CODE, words);
  machine.pc = BigInt(CODE);
  return machine;
}

test("ecall gives the kernel exact registers, and goes on where it says", () => {
  const seen: bigint[] = [];
  const machine: TestMachine = machineWith([li(A0, 7), ECALL, li(A1, 1), ECALL], {
    syscall: () => {
      seen.push(machine.pc, machine.x(A0), machine.x(A1));
      machine.setX(0, 99n);
      if (seen.length > 3) return 1;
      machine.setX(A0, 8n);
      machine.pc += 4n;
      return 0;
    },
  });
  assert.equal(machine.run(), EXIT.LEFT);
  assert.deepEqual(seen, [BigInt(CODE + 4), 7n, 0n, BigInt(CODE + 12), 8n, 1n]);
});

test("an exception in an import leaves the registers exact, and the hart can go on", () => {
  let fail = true;
  const machine: TestMachine = machineWith([li(A0, 7), ECALL], {
    syscall: () => {
      if (fail) throw new RangeError("from the kernel");
      return 1;
    },
  });
  assert.throws(() => machine.run(), /from the kernel/);
  assert.equal(machine.pc, BigInt(CODE + 4));
  assert.equal(machine.x(A0), 7n);
  fail = false;
  assert.equal(machine.run(), EXIT.LEFT);
});

test("each taken transfer costs one of the budget; at 0 the target is in pc", () => {
  // addi a0,a0,1; jal -4
  const machine = machineWith([
    assemble("addi", { rd: A0, rs1: A0, imm: 1 }),
    assemble("beq", { rs1: A0, rs2: 0, imm: 16 }),
    assemble("jal", { imm: -8 }),
  ]);
  machine.setWord(REG_BUDGET, 10);
  assert.equal(machine.run(), EXIT.BUDGET);
  assert.equal(machine.x(A0), 10n);
  assert.equal(machine.pc, BigInt(CODE));
  assert.equal(machine.word(REG_BUDGET), 0);
});

test("the interrupt word is polled at taken transfers and not cleared", () => {
  const machine = machineWith([assemble("jal", { rd: 0, imm: 8 })]);
  machine.view.setUint32(machine.hart + HART_INTERRUPT, INTERRUPTED, true);
  assert.equal(machine.run(), EXIT.INTERRUPT);
  // A region looks before it begins.
  assert.equal(machine.pc, BigInt(tiers === "tier 0" ? CODE + 8 : CODE));
  assert.equal(machine.view.getUint32(machine.hart + HART_INTERRUPT, true), INTERRUPTED);
});

test("illegal instructions and breakpoints leave with the instruction's word", () => {
  const csr = (number: number, rs1: number): number => assemble("csrrs", { rd: A0, rs1, imm: number });
  const illegal: [name: string, word: number, value: number][] = [
    ["all zeros", 0x0000, 0],
    ["reserved c.lwsp", 0x4002, 0x4002],
    ["all ones", 0xffffffff, 0xffffffff],
    ["wfi", 0x10500073, 0x10500073],
    ["mret", 0x30200073, 0x30200073],
    ["sfence.vma", 0x12000073, 0x12000073],
    ["ecall with rd", 0x000000f3, 0x000000f3],
    ["unknown CSR", csr(0x300, 0), csr(0x300, 0)],
    ["write to a read-only CSR", csr(0xc00, 1), csr(0xc00, 1)],
    ["reserved static rounding mode", 0x02a5d553, 0x02a5d553],
    ["lr with rs2", assemble("lr.w", { rd: A0 }) | (1 << 20), 0x1010252f | (1 << 20)],
  ];
  for (const [name, word, value] of illegal) {
    const machine = machineWith([C_NOP, word]);
    assert.equal(machine.run(), EXIT.ILLEGAL, name);
    assert.equal(machine.pc, BigInt(CODE + 2), name);
    assert.equal(machine.trapValue, BigInt(value >>> 0), name);
  }
  for (const word of [C_EBREAK, assemble("ebreak")]) {
    const machine = machineWith([C_NOP, word]);
    assert.equal(machine.run(), EXIT.BREAKPOINT);
    assert.equal(machine.pc, BigInt(CODE + 2));
  }
});

test("a reserved dynamic rounding mode is illegal only when it is used", () => {
  for (const frm of [5, 6, 7]) {
    const machine = machineWith([
      assemble("fadd.d", { rd: 1, rs1: 2, rs2: 3, rm: 0 }),
      assemble("fadd.d", { rd: 1, rs1: 2, rs2: 3, rm: 7 }),
    ]);
    machine.setWord(REG_FRM, frm);
    assert.equal(machine.run(), EXIT.ILLEGAL);
    assert.equal(machine.pc, BigInt(CODE + 4));
  }
});

test("read-only counters come from the kernel", () => {
  const asked: number[] = [];
  const machine: TestMachine = machineWith(
    [assemble("csrrs", { rd: A0, imm: 0xc01 }), assemble("csrrs", { rd: A1, imm: 0xc13 })],
    {
      csr: (_regs, number) => {
        asked.push(number);
        machine.setLong(REG_SCRATCH, 1234n);
        return number === 0xc01 ? 0 : 1;
      },
    },
  );
  assert.equal(machine.run(), EXIT.ILLEGAL);
  assert.deepEqual(asked, [0xc01, 0xc13]);
  assert.equal(machine.x(A0), 1234n);
  assert.equal(machine.pc, BigInt(CODE + 4));
});

interface Fault {
  readonly va: number;
  readonly kind: number;
  readonly pc: number;
}

/** Runs one access and returns the faults that the kernel saw; `answer` says how it answers them. */
function faultsOf(
  word: number,
  address: bigint,
  prepare: (machine: TestMachine) => void,
  answer: (machine: TestMachine, fault: Fault) => number = () => 1,
): { machine: TestMachine; faults: Fault[]; exit: number } {
  const faults: Fault[] = [];
  const machine: TestMachine = machineWith([word, C_EBREAK], {
    fault: (_regs, low, high, kind) => {
      assert.equal(machine.trapValue, BigInt.asUintN(64, (BigInt(high) << 32n) | BigInt(low >>> 0)));
      const fault = { va: Number(machine.trapValue), kind, pc: Number(machine.pc) };
      faults.push(fault);
      return answer(machine, fault);
    },
  });
  machine.setX(A1, address);
  machine.setX(A2, 0x1122334455667788n);
  prepare(machine);
  return { machine, faults, exit: machine.run() };
}

const LD: number = assemble("ld", { rd: A0, rs1: A1 });
const SD: number = assemble("sd", { rs1: A1, rs2: A2 });

test("a refused access faults with va, kind and pc, and changes nothing", () => {
  const cases: [name: string, word: number, permissions: object, kind: number][] = [
    ["load, unmapped", LD, {}, ACCESS.READ],
    ["load, write only", LD, { write: true }, ACCESS.READ],
    ["store, read only", SD, { read: true }, ACCESS.WRITE],
    ["lr", assemble("lr.d", { rd: A0, rs1: A1 }), {}, ACCESS.READ],
    ["sc", assemble("sc.d", { rd: A0, rs1: A1, rs2: A2 }), { read: true }, ACCESS.WRITE],
    ["amo", assemble("amoadd.d", { rd: A0, rs1: A1, rs2: A2 }), { read: true }, ACCESS.WRITE],
    ["fld", assemble("fld", { rd: A0, rs1: A1 }), {}, ACCESS.READ],
  ];
  for (const [name, word, permissions, kind] of cases) {
    const { machine, faults, exit } = faultsOf(word, BigInt(DATA + 8), (m) => {
      m.map(DATA, 4096, permissions);
      m.setX(A0, 5n);
    });
    assert.equal(exit, EXIT.LEFT, name);
    assert.deepEqual(faults, [{ va: DATA + 8, kind, pc: CODE }], name);
    assert.equal(machine.x(A0), 5n, name);
    assert.equal(machine.pc, BigInt(CODE), name);
  }
});

test("addresses from 2^38 on are refused, whatever lies below", () => {
  for (const high of [1n << 38n, 1n << 63n, -(1n << 38n)]) {
    const va = BigInt.asUintN(64, high + BigInt(DATA));
    const { faults, exit } = faultsOf(LD, va, (m) => m.map(DATA, 4096, { read: true }));
    assert.equal(exit, EXIT.LEFT);
    assert.deepEqual(faults, [{ va: Number(va), kind: ACCESS.READ, pc: CODE }]);
  }
});

test("after the kernel has made a mapping the instruction is executed again", () => {
  const { machine, faults, exit } = faultsOf(
    SD,
    BigInt(DATA),
    () => {},
    (m) => {
      m.map(DATA, 4096, { read: true, write: true });
      return 0;
    },
  );
  assert.equal(exit, EXIT.BREAKPOINT);
  assert.equal(faults.length, 1);
  assert.equal(machine.view.getBigUint64(machine.physical(DATA), true), 0x1122334455667788n);
});

test("a misaligned access over two pages checks both first", () => {
  for (const offset of [1, 2, 3, 4, 5, 6, 7]) {
    const va = DATA + 4096 - offset;
    const { machine, faults, exit } = faultsOf(SD, BigInt(va), (m) =>
      m.map(DATA, 4096, { read: true, write: true }),
    );
    assert.equal(exit, EXIT.LEFT);
    assert.deepEqual(faults, [{ va: DATA + 4096, kind: ACCESS.WRITE, pc: CODE }]);
    assert.equal(machine.view.getBigUint64(machine.physical(DATA) + 4088, true), 0n, "no partial store");
  }
  // Frames that do not follow each other.
  const { machine, exit } = faultsOf(SD, BigInt(DATA + 4096 - 3), (m) => {
    const frames = m.allocate(3 * 4096);
    m.mapPage(DATA, frames + 8192, { read: true, write: true });
    m.mapPage(DATA + 4096, frames, { read: true, write: true });
  });
  assert.equal(exit, EXIT.BREAKPOINT);
  const byte = (va: number): number => machine.bytes[machine.physical(va)] ?? -1;
  const stored = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => byte(DATA + 4096 - 3 + i));
  assert.deepEqual(stored, [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
  machine.setX(A1, BigInt(DATA + 4096 - 3));
  machine.writeCode(CODE, [LD, C_EBREAK]);
  machine.renewCode();
  machine.pc = BigInt(CODE);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A0), 0x1122334455667788n);
});

test("misaligned atomics fault as writes", () => {
  for (const name of ["lr.d", "sc.d", "amoswap.d", "amomaxu.w"]) {
    const { faults } = faultsOf(assemble(name, { rd: A0, rs1: A1 }), BigInt(DATA + 2), (m) =>
      m.map(DATA, 4096, { read: true, write: true }),
    );
    assert.deepEqual(faults, [{ va: DATA + 2, kind: ACCESS.WRITE, pc: CODE }], name);
  }
});

test("an instruction may straddle pages; its fetch faults at the first byte that is missing", () => {
  const faults: Fault[] = [];
  const machine: TestMachine = new TestMachine({
    fault: (_regs, _low, _high, kind) => {
      faults.push({ va: Number(machine.trapValue), kind, pc: Number(machine.pc) });
      if (faults.length === 1) machine.map(CODE, 4096, { fetch: true });
      else if (faults.length === 2) machine.map(CODE + 4096, 4096, { fetch: true });
      else return 1;
      machine.view.setUint32(machine.physical(CODE + 4094), li(A0, 77), true);
      const second = machine.physical(CODE + 4096);
      if (faults.length === 2) {
        machine.view.setUint16(machine.physical(CODE + 4094), li(A0, 77) & 0xffff, true);
        machine.view.setUint16(second, li(A0, 77) >>> 16, true);
        machine.view.setUint16(second + 2, C_EBREAK, true);
      }
      return 0;
    },
  });
  machine.pc = BigInt(CODE + 4094);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A0), 77n);
  assert.equal(machine.pc, BigInt(CODE + 4098));
  assert.deepEqual(faults, [
    { va: CODE + 4094, kind: ACCESS.FETCH, pc: CODE + 4094 },
    { va: CODE + 4096, kind: ACCESS.FETCH, pc: CODE + 4094 },
  ]);
});

test("instructions next to a page's edge are found, however they are reached", () => {
  const edge = CODE + 4096;
  // Reached from before, by a jump on the same page, and by a jump from another page.
  for (const from of [edge - 6, edge - 64, edge + 64]) {
    for (const to of [edge - 6, edge - 4, edge - 2, edge, edge + 2]) {
      const machine = new TestMachine();
      machine.mapReversed(CODE, 8192, { fetch: true });
      for (let at = CODE; at < CODE + 8192; at += 2) machine.writeCode(at, [C_NOP]);
      // A wide instruction at `to` (a straddling one, if `to` is the last halfword), then the end.
      machine.writeCode(to, [li(A0, 77), C_EBREAK]);
      if (from !== to && (from < to - 4 || from > to + 4)) {
        machine.writeCode(from, [assemble("jal", { rd: 0, imm: to - from })]);
      }
      machine.pc = BigInt(from);
      const name = `${from - edge} to ${to - edge}`;
      assert.equal(machine.run(), EXIT.BREAKPOINT, name);
      assert.equal(machine.x(A0), 77n, name);
      assert.equal(machine.pc, BigInt(to + 4), name);
    }
  }
});

test("a page that may not be fetched from faults, also after running off the page before", () => {
  const faults: number[] = [];
  const machine: TestMachine = new TestMachine({
    fault: () => {
      faults.push(Number(machine.trapValue));
      return 1;
    },
  });
  machine.map(CODE, 4096, { fetch: true });
  machine.map(CODE + 4096, 4096, { read: true, write: true });
  machine.writeCode(CODE + 4092, [C_NOP, C_NOP]);
  machine.pc = BigInt(CODE + 4092);
  assert.equal(machine.run(), EXIT.LEFT);
  assert.deepEqual(faults, [CODE + 4096]);
  assert.equal(machine.pc, BigInt(CODE + 4096));
});

test("a mapping that a system call changes is seen by the next fetch", () => {
  const machine: TestMachine = machineWith([ECALL, li(A0, 1), C_EBREAK], {
    syscall: () => {
      machine.map(CODE, 4096, { fetch: true });
      machine.writeCode(CODE + 4, [li(A0, 2), C_EBREAK]);
      machine.renewCode();
      machine.pc += 4n;
      return 0;
    },
  });
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A0), 2n);
});

test("lr records, sc clears", () => {
  const machine = machineWith([
    assemble("lr.w", { rd: A0, rs1: A1 }),
    assemble("sc.w", { rd: A0, rs1: A1, rs2: A2 }),
    C_EBREAK,
  ]);
  machine.map(DATA, 4096, { read: true, write: true });
  machine.setX(A1, BigInt(DATA + 4));
  machine.setX(A2, 5n);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A0), 0n);
  assert.equal(machine.long(REG_RESERVATION), 0xffffffffffffffffn);
  assert.equal(machine.view.getUint32(machine.physical(DATA + 4), true), 5);
});

test("x0 reads as 0 whatever its slot holds", () => {
  const machine = machineWith([assemble("add", { rd: A0, rs1: 0, rs2: 0 }), C_EBREAK]);
  machine.setLong(REG_X, 0x5555n);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A0), 0n);
});

test("frames may lie anywhere in 4 GiB", () => {
  const machine = new TestMachine({}, 4096, tiers, 0xfe00_0000);
  machine.map(CODE, 4096, { fetch: true });
  machine.map(DATA, 4096, { read: true, write: true });
  machine.writeCode(CODE, [SD, LD, assemble("amoadd.w", { rd: A2, rs1: A1, rs2: A2 }), C_EBREAK]);
  machine.setX(A1, BigInt(DATA + 16));
  machine.setX(A2, 0x1122334455667788n);
  machine.pc = BigInt(CODE);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A0), 0x1122334455667788n);
  assert.equal(machine.x(A2), 0x55667788n);
});

test("atomics of several harts lose nothing", async () => {
  const ROUNDS = 200_000;
  const HARTS = 3;
  const COUNT = 13;
  const machine = machineWith([
    // An amoadd, and an addition by lr and sc, retried until it succeeds.
    assemble("amoadd.d", { rd: 0, rs1: A1, rs2: A2 }),
    assemble("addi", { rd: 14, rs1: A1, imm: 8 }),
    assemble("lr.w", { rd: 15, rs1: 14 }),
    assemble("addi", { rd: 15, rs1: 15, imm: 1 }),
    assemble("sc.w", { rd: 16, rs1: 14, rs2: 15 }),
    assemble("bne", { rs1: 16, rs2: 0, imm: -12 }),
    assemble("addi", { rd: COUNT, rs1: COUNT, imm: -1 }),
    assemble("bne", { rs1: COUNT, rs2: 0, imm: -28 }),
    C_EBREAK,
  ]);
  machine.map(DATA, 4096, { read: true, write: true });
  machine.setX(A1, BigInt(DATA));
  machine.setX(A2, 3n);
  machine.setX(COUNT, BigInt(ROUNDS));
  const module = buildTier0();
  const exits = Array.from({ length: HARTS }, async () => {
    const regs = machine.allocate(4096);
    const state = machine.bytes.slice(machine.regs, machine.regs + REGISTER_FILE_BYTES);
    machine.bytes.set(state, regs);
    const { memory, tables } = machine;
    const work: HartWork = { module, memory, tables, regs, hart: regs + REGISTER_FILE_BYTES };
    const worker = new Worker(new URL("./testing/hart-worker.ts", import.meta.url), { workerData: work });
    return ((await once(worker, "message")) as [number])[0];
  });
  assert.deepEqual(await Promise.all(exits), Array(HARTS).fill(EXIT.BREAKPOINT));
  assert.equal(machine.view.getBigUint64(machine.physical(DATA), true), BigInt(3 * HARTS * ROUNDS));
  assert.equal(machine.view.getUint32(machine.physical(DATA + 8), true), HARTS * ROUNDS);
});
