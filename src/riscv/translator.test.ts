/** Regions: preemption as in tier 0, code that changes, code that several address spaces share. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EXIT, REG_BUDGET, REG_ROOT, ROOT_BYTES } from "../base/hart-abi.ts";
import { seededRandom } from "../base/random.ts";
import { CODE_TAG_MAX, setOffset } from "./jump-cache.ts";
import { assemble } from "./testing/assemble.ts";
import { prepare } from "./testing/program.ts";
import { buildSuites, SEED } from "./testing/suites.ts";
import { TestMachine, type Tiers } from "./testing/test-machine.ts";

const CODE = 0x10_000;
const DATA = 0x40_0000;
const A0 = 10;
const A1 = 11;
const RA = 1;
const EBREAK: number = assemble("ebreak");
const li = (rd: number, imm: number): number => assemble("addi", { rd, imm });

const suites = buildSuites(SEED);
/** Preemptions that are compared. */
const PREEMPTIONS = 150;

const regionsOf = (machine: TestMachine): number => machine.translator?.maker?.counts.regions ?? 0;

/** A machine with regions, and code that may be written. */
function machineWith(words: readonly number[], syscall?: () => number): TestMachine {
  const machine = new TestMachine(syscall === undefined ? {} : { syscall }, 32, "eager regions");
  machine.map(CODE, 8192, { read: true, write: true, fetch: true });
  machine.writeCode(CODE, words);
  machine.pc = BigInt(CODE);
  return machine;
}

/** Where a program is preempted, with the registers there, if its budget is `budgets` in turn. */
function preemptions(suite: string, tiers: Tiers): string[] {
  const found = suites.find(({ name }) => name === suite);
  assert.ok(found !== undefined);
  const machine = prepare(found.program, tiers);
  const random = seededRandom(7);
  const trace: string[] = [];
  while (trace.length < PREEMPTIONS) {
    // Small ones are used up in tier 0: a region leaves while its longest way on still is within the budget.
    machine.setWord(REG_BUDGET, 1 + random.below(trace.length % 2 === 0 ? 60 : 250));
    const exit = machine.run();
    if (exit === EXIT.FENCE) machine.renewCode();
    else if (exit !== EXIT.BUDGET) return trace;
    const registers = Array.from({ length: 31 }, (_, i) => machine.x(i + 1).toString(16)).join();
    if (exit === EXIT.BUDGET) trace.push(`${machine.word(REG_BUDGET)} ${machine.pc} ${registers}`);
  }
  return trace;
}

for (const suite of ["control", "atomic", "random"]) {
  test(`${suite}: preempted at the same places, with the same registers, as in tier 0`, () => {
    const withRegions = preemptions(suite, "eager regions");
    const without = preemptions(suite, "tier 0");
    assert.ok(without.length > 50, "the program is preempted often");
    assert.equal(withRegions.length, without.length);
    for (const [i, line] of without.entries()) assert.equal(withRegions[i], line);
  });
}

/** An interpreter of `HANDLERS` operations that runs a random program for ever: a table of indirect jumps. */
function interpreterMachine(tiers: Tiers): TestMachine {
  const HANDLERS = 40;
  const OPERATIONS = 4096;
  const [next, at, wrapped, end] = [5, 6, 7, 8];
  const machine = new TestMachine({}, 32, tiers);
  machine.map(CODE, 4096, { fetch: true });
  machine.map(DATA, OPERATIONS * 8, { read: true });
  // The dispatch goes round at the end of the program.
  const dispatch = [
    assemble("bne", { rs1: at, rs2: end, imm: 8 }),
    assemble("addi", { rd: at, rs1: wrapped, imm: 0 }),
    assemble("ld", { rd: next, rs1: at, imm: 0 }),
    assemble("addi", { rd: at, rs1: at, imm: 8 }),
    assemble("jalr", { rs1: next }),
  ];
  machine.writeCode(CODE, dispatch);
  const handlers = Array.from({ length: HANDLERS }, (_, i) => CODE + 64 + i * 12);
  handlers.forEach((pc, i) => {
    const rd = 10 + (i % 20);
    machine.writeCode(pc, [
      assemble("addi", { rd, rs1: rd, imm: i + 1 }),
      assemble("xor", { rd: 30, rs1: 30, rs2: rd }),
      assemble("jal", { imm: CODE - (pc + 8) }),
    ]);
  });
  const random = seededRandom(11);
  for (let i = 0; i < OPERATIONS; i++) {
    // Some operations are rare.
    const handler = handlers[Math.min(random.below(HANDLERS), random.below(HANDLERS))]!;
    machine.view.setBigUint64(machine.physical(DATA + i * 8), BigInt(handler), true);
  }
  machine.setX(at, BigInt(DATA));
  machine.setX(wrapped, BigInt(DATA));
  machine.setX(end, BigInt(DATA + OPERATIONS * 8));
  machine.pc = BigInt(CODE);
  return machine;
}

test("a table of indirect jumps: preempted with the same registers as in tier 0", () => {
  const [regions, tier0] = [interpreterMachine("regions"), interpreterMachine("tier 0")];
  const random = seededRandom(5);
  const state = (machine: TestMachine): string =>
    `${machine.pc} ${Array.from({ length: 31 }, (_, i) => machine.x(i + 1).toString(16)).join()}`;
  for (let round = 0; round < 3000; round++) {
    const budget = 1 + random.below(400);
    for (const machine of [regions, tier0]) {
      machine.setWord(REG_BUDGET, budget);
      assert.equal(machine.run(), EXIT.BUDGET);
    }
    assert.equal(state(regions), state(tier0), `after preemption ${round}`);
  }
  assert.ok(regionsOf(regions) > 1, "there are regions");
});

test("stored instructions are seen after fence.i", () => {
  // a0 = 1 (stored over); the code is called twice with a fence between.
  const machine = machineWith([
    assemble("jal", { rd: RA, imm: 24 }),
    assemble("addi", { rd: A1, rs1: A0, imm: 0 }),
    assemble("sw", { rs1: 12, rs2: 13, imm: 0 }),
    assemble("fence.i"),
    assemble("jal", { rd: RA, imm: 8 }),
    EBREAK,
    li(A0, 1),
    assemble("jalr", { rs1: RA }),
  ]);
  machine.setX(12, BigInt(CODE + 24));
  machine.setX(13, BigInt(li(A0, 2)));
  assert.equal(machine.run(), EXIT.FENCE);
  assert.equal(machine.pc, BigInt(CODE + 16));
  machine.renewCode();
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A1), 1n);
  assert.equal(machine.x(A0), 2n);
});

test("a fence after which nothing is different costs no translation", () => {
  const machine = machineWith([li(A0, 1), EBREAK]);
  for (let i = 0; i < 3; i++) {
    machine.pc = BigInt(CODE);
    assert.equal(machine.run(), EXIT.BREAKPOINT);
    machine.renewCode();
  }
  assert.equal(regionsOf(machine), 1);
});

test("a system call that replaces the code is followed by the new code", () => {
  const machine: TestMachine = machineWith([assemble("ecall"), li(A0, 1), EBREAK], () => {
    machine.writeCode(CODE + 4, [li(A0, 2)]);
    machine.renewCode();
    machine.pc += 4n;
    return 0;
  });
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A0), 2n);
});

test("a system call may put the registers somewhere else altogether", () => {
  const machine: TestMachine = machineWith([assemble("ecall"), li(A0, 1), EBREAK, li(A1, 5), EBREAK], () => {
    machine.pc = BigInt(CODE + 12);
    machine.setX(A0, 9n);
    return 0;
  });
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.deepEqual([machine.x(A0), machine.x(A1)], [9n, 5n]);
});

test("a frame that is used for other code, and a page that may not be fetched from any more", () => {
  const machine = machineWith([li(A0, 1), EBREAK]);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  machine.writeCode(CODE, [li(A0, 7)]);
  machine.renewCode();
  machine.pc = BigInt(CODE);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A0), 7n);
  machine.mapPage(CODE, machine.physical(CODE), { read: true });
  machine.renewCode();
  machine.pc = BigInt(CODE);
  assert.equal(machine.run(), EXIT.LEFT, "a fetch fault");
  assert.equal(machine.pc, BigInt(CODE));
});

test("two address spaces: equal code is translated once, different code at one address stays apart", () => {
  const words = [li(A0, 3), assemble("jal", { rd: RA, imm: 4092 }), EBREAK];
  const machine = machineWith(words);
  machine.writeCode(CODE + 4096, [
    assemble("addi", { rd: A0, rs1: A0, imm: 1 }),
    assemble("jalr", { rs1: RA }),
  ]);
  const first = machine.root;
  const second = machine.allocate(ROOT_BYTES);
  // A copy of the tables: the first page is shared, the second is another frame.
  const leaf = machine.copyLeaf(CODE);
  machine.bytes.copyWithin(second, first, first + ROOT_BYTES);
  machine.view.setUint32(second + Math.floor(CODE / 2 ** 24) * 4, leaf, true);
  machine.setWord(REG_ROOT, second);
  machine.map(CODE + 4096, 4096, { read: true, write: true, fetch: true }, second);
  machine.writeCode(
    CODE + 4096,
    [assemble("addi", { rd: A0, rs1: A0, imm: 2 }), assemble("jalr", { rs1: RA })],
    second,
  );
  const results: bigint[] = [];
  let made = 0;
  for (let round = 0; round < 6; round++) {
    machine.setWord(REG_ROOT, round % 2 === 0 ? first : second);
    machine.translator?.setCode(1 + (round % 2));
    machine.pc = BigInt(CODE);
    assert.equal(machine.run(), EXIT.BREAKPOINT);
    results.push(machine.x(A0));
    if (round === 1) made = regionsOf(machine);
  }
  assert.deepEqual(results, [4n, 5n, 4n, 5n, 4n, 5n]);
  assert.equal(made, 3, "the shared page once, the other one for each space");
  assert.equal(regionsOf(machine), made);
});

test("targets of one place in the jump cache do not drive each other out", () => {
  const machine = new TestMachine({}, 32, "regions");
  const functions = findRivals();
  machine.map(CODE, 2 << 20, { read: true, write: true, fetch: true });
  // Too long to be written where it is called.
  const body = Array.from({ length: 50 }, () => assemble("addi", { rd: A1, rs1: A1, imm: 1 }));
  for (const pc of functions) machine.writeCode(pc, [...body, assemble("jalr", { rs1: RA })]);
  const calls = functions.map((pc, i) => assemble("jal", { rd: RA, imm: pc - CODE - i * 4 }));
  machine.writeCode(CODE, [
    ...calls,
    assemble("addi", { rd: A0, rs1: A0, imm: -1 }),
    assemble("bne", { rs1: A0, rs2: 0, imm: -16 }),
    EBREAK,
  ]);
  machine.pc = BigInt(CODE);
  machine.setX(A0, 50_000n);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(regionsOf(machine), 1 + functions.length, "the loop, and each function");
});

/** Three addresses near CODE with one place in the jump cache. */
function findRivals(): number[] {
  const bySet = new Map<number, number[]>();
  for (let pc = CODE + 64; pc < CODE + 0xf_0000; pc += 4) {
    const rivals = bySet.get(setOffset(pc)) ?? [];
    rivals.push(pc);
    if (rivals.length === 3) return rivals;
    bySet.set(setOffset(pc), rivals);
  }
  throw new Error("there are none");
}

test("code stamps may wrap", () => {
  const machine = machineWith([li(A0, 1), EBREAK]);
  let value = 1;
  for (const stamp of [1, CODE_TAG_MAX, CODE_TAG_MAX + 1, 2 * CODE_TAG_MAX + 1, -1]) {
    machine.writeCode(CODE, [li(A0, ++value)]);
    machine.translator?.setCode(stamp);
    machine.pc = BigInt(CODE);
    assert.equal(machine.run(), EXIT.BREAKPOINT);
    assert.equal(machine.x(A0), BigInt(value));
  }
});

test("recursion far beyond the depth of nested regions", () => {
  // f: if (a0 == 0) return; push ra; a0--; f(); a1++; pop ra; return
  const SP = 2;
  const machine = machineWith([
    assemble("jal", { rd: RA, imm: 8 }),
    EBREAK,
    assemble("beq", { rs1: A0, imm: 32 }),
    assemble("addi", { rd: SP, rs1: SP, imm: -8 }),
    assemble("sd", { rs1: SP, rs2: RA, imm: 0 }),
    assemble("addi", { rd: A0, rs1: A0, imm: -1 }),
    assemble("jal", { rd: RA, imm: -16 }),
    assemble("addi", { rd: A1, rs1: A1, imm: 1 }),
    assemble("ld", { rd: RA, rs1: SP, imm: 0 }),
    assemble("addi", { rd: SP, rs1: SP, imm: 8 }),
    assemble("jalr", { rs1: RA }),
  ]);
  machine.map(DATA, 1 << 20, { read: true, write: true });
  machine.setX(SP, BigInt(DATA + (1 << 20)));
  machine.setX(A0, 100_000n);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A1), 100_000n);
});

test("a full code area: what has no region runs in tier 0", () => {
  const machine = new TestMachine({}, 32, "eager regions");
  machine.map(CODE, 1 << 20, { fetch: true });
  const words = Array.from({ length: 60_000 }, (_, i) =>
    i % 2 === 0 ? assemble("addi", { rd: A0, rs1: A0, imm: 1 }) : assemble("jal", { imm: 4 }),
  );
  machine.writeCode(CODE, [...words, EBREAK]);
  machine.pc = BigInt(CODE);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  assert.equal(machine.x(A0), 30_000n);
});
