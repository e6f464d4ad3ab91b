/**
 * Unrolled loops, and functions that are written where they are called: which are, and that programs with them are
 * preempted with the same registers as in tier 0.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EXIT, REG_BUDGET } from "../base/hart-abi.ts";
import { seededRandom } from "../base/random.ts";
import { analyse } from "./region-flow.ts";
import { findBlocks } from "./region-graph.ts";
import type { Flow } from "./region-order.ts";
import { assemble, type Operands } from "./testing/assemble.ts";
import { TestMachine, type Tiers } from "./testing/test-machine.ts";

const CODE = 0x10_000;
const DATA = 0x40_0000;

/** Machine code with labels: `[name, operands]`, or a label; an operand `to` is the label of a transfer. */
type Line = string | [name: string, operands?: Operands & { to?: string }];

function build(lines: readonly Line[]): number[] {
  const labels = new Map<string, number>();
  let at = 0;
  for (const line of lines) {
    if (typeof line === "string") labels.set(line, at);
    else at += 4;
  }
  at = 0;
  const words: number[] = [];
  for (const line of lines) {
    if (typeof line === "string") continue;
    const [name, { to, ...operands } = {}] = line;
    if (to !== undefined) assert.ok(labels.has(to), to);
    words.push(assemble(name, to === undefined ? operands : { ...operands, imm: labels.get(to)! - at }));
    at += 4;
  }
  return words;
}

function flowOf(lines: readonly Line[]): Flow {
  const words = build(lines);
  const read = (pc: number): number => {
    const word = words[(pc - CODE) >> 2];
    return word === undefined ? -1 : (word >>> ((pc & 2) * 8)) & 0xffff;
  };
  return analyse(findBlocks(read, CODE), CODE);
}

/** Copies of the block at each pc, as `index of its first instruction: copies`, where there are several. */
function copiesOf({ nodes }: Flow): string {
  const counts = new Map<number, number>();
  for (const { block } of nodes)
    if (block !== undefined) counts.set(block.pc, (counts.get(block.pc) ?? 0) + 1);
  const several = [...counts].filter(([, count]) => count > 1).sort(([a], [b]) => a - b);
  return several.map(([pc, count]) => `${(pc - CODE) / 4}: ${count}`).join(", ");
}

const [A0, A1, A2, A3, A4, T0] = [10, 11, 12, 13, 14, 5];
const step = (rd: number): Line => ["addi", { rd, rs1: rd, imm: 1 }];
const untilEqual = (rs1: number, rs2: number, to: string): Line => ["bne", { rs1, rs2, to }];

test("an innermost loop is unrolled, the one around it is not", () => {
  const flow = flowOf([
    "outer",
    step(A0),
    "inner",
    step(A1),
    untilEqual(A1, A2, "inner"),
    untilEqual(A0, A3, "outer"),
    ["ebreak"],
  ]);
  assert.equal(copiesOf(flow), "1: 4");
});

test("of two loops with one header the inner one is unrolled", () => {
  const flow = flowOf([
    "both",
    step(A1),
    untilEqual(A1, A2, "both"),
    step(A0),
    step(A0),
    step(A0),
    untilEqual(A0, A3, "both"),
    ["ebreak"],
  ]);
  assert.equal(copiesOf(flow), "0: 4");
});

test("a loop with a short cut round is one loop", () => {
  const load: Line = ["lbu", { rd: T0, rs1: A0, imm: 0 }];
  const shortCut: Line = ["beq", { rs1: T0, rs2: A1, to: "loop" }];
  const flow = flowOf(["loop", step(A0), load, shortCut, step(A2), untilEqual(A0, A3, "loop"), ["ebreak"]]);
  assert.equal(copiesOf(flow), "0: 4, 3: 4");
});

/** Blocks that are written where they are called: `index of the first instruction: times`. */
function inlinedOf({ nodes }: Flow): string {
  const counts = new Map<number, number>();
  for (const { block } of nodes)
    if (block !== undefined && block.id !== block.pc) counts.set(block.pc, (counts.get(block.pc) ?? 0) + 1);
  return [...counts].map(([pc, count]) => `${(pc - CODE) / 4}: ${count}`).join(", ");
}

test("a short function without calls is written where it is called, and its loop is unrolled", () => {
  const lines: Line[] = [
    ...([["jal", { rd: 1, to: "leaf" }], ["jal", { rd: 1, to: "leaf" }], step(A2), ["ebreak"]] as Line[]),
    ...(["leaf", step(A0), untilEqual(A0, A1, "leaf"), ["jalr", { rs1: 1 }]] as Line[]),
  ];
  assert.equal(inlinedOf(flowOf(lines)), "4: 8, 6: 2");
  const long: Line[] = Array.from({ length: 40 }, () => step(A0));
  const others: Line[][] = [
    // By another register, to another register, with a call, and too long.
    [["jal", { rd: T0, to: "leaf" }], step(A2), ["ebreak"], "leaf", ["jalr", { rs1: T0 }]],
    [["jal", { rd: 1, to: "leaf" }], step(A2), ["ebreak"], "leaf", ["jalr", { rs1: T0 }]],
    [
      ["jal", { rd: 1, to: "leaf" }],
      step(A2),
      ["ebreak"],
      "leaf",
      ["jal", { rd: 1, to: "leaf" }],
      ["jalr", { rs1: 1 }],
    ],
    [["jal", { rd: 1, to: "leaf" }], step(A2), ["ebreak"], "leaf", ...long, ["jalr", { rs1: 1 }]],
  ];
  for (const other of others) assert.equal(inlinedOf(flowOf(other)), "");
});

test("neither a loop with a call nor one that is too long is unrolled", () => {
  assert.equal(
    copiesOf(
      flowOf([
        "loop",
        ["jal", { rd: 1, to: "far" }],
        untilEqual(A0, A1, "loop"),
        ["ebreak"],
        "far",
        ["jal", { rd: T0, to: "far" }],
      ]),
    ),
    "",
  );
  const long: Line[] = Array.from({ length: 160 }, () => step(A0));
  assert.equal(copiesOf(flowOf(["loop", ...long, untilEqual(A0, A1, "loop"), ["ebreak"]])), "");
});

/** Loops in loops, with short cuts, 32-bit registers that are carried round, and stores that are read again. */
const PROGRAM: readonly Line[] = [
  "outer",
  ["addi", { rd: A1, rs1: A0, imm: 0 }],
  ["addi", { rd: A2, imm: 13 }],
  "inner",
  ["lw", { rd: T0, rs1: A1, imm: 0 }],
  ["slliw", { rd: 6, rs1: T0, imm: 7 }],
  ["srliw", { rd: 7, rs1: T0, imm: 25 }],
  ["or", { rd: 6, rs1: 6, rs2: 7 }],
  ["addw", { rd: 28, rs1: 28, rs2: 6 }],
  ["xor", { rd: 29, rs1: 29, rs2: 28 }],
  ["slliw", { rd: 6, rs1: 29, imm: 3 }],
  ["addw", { rd: 6, rs1: 6, rs2: 28 }],
  ["srliw", { rd: 7, rs1: 6, imm: 9 }],
  ["xor", { rd: 28, rs1: 28, rs2: 7 }],
  ["addi", { rd: 30, rs1: 29, imm: 0 }],
  ["andi", { rd: 31, rs1: T0, imm: 3 }],
  ["addi", { rd: A2, rs1: A2, imm: -1 }],
  ["beq", { rs1: 31, to: "skip" }],
  ["sw", { rs1: A1, rs2: 28, imm: 0 }],
  ["add", { rd: A4, rs1: A4, rs2: 30 }],
  "skip",
  ["addi", { rd: A1, rs1: A1, imm: 4 }],
  ["bne", { rs1: A2, to: "inner" }],
  ["addi", { rd: 9, imm: 200 }],
  "bytes",
  ["lbu", { rd: 31, rs1: A1, imm: 0 }],
  ["addi", { rd: A1, rs1: A1, imm: 1 }],
  ["addi", { rd: 9, rs1: 9, imm: -1 }],
  ["add", { rd: 8, rs1: 8, rs2: 31 }],
  ["bne", { rs1: 9, to: "bytes" }],
  ["jal", { to: "outer" }],
];

/** Calls of short functions: with a branch, with a loop, one that skips an instruction of its caller's. */
const CALLS: readonly Line[] = [
  "round",
  ["jal", { rd: 1, to: "mix" }],
  ["addi", { rd: A1, rs1: A1, imm: 3 }],
  ["jal", { rd: 1, to: "skip" }],
  ["addi", { rd: A2, rs1: A2, imm: 5 }],
  ["add", { rd: A2, rs1: A2, rs2: 1 }],
  ["jal", { rd: 1, to: "count" }],
  ["jal", { rd: 1, to: "mix" }],
  ["jal", { to: "round" }],
  "mix",
  ["xor", { rd: A3, rs1: A3, rs2: A1 }],
  ["andi", { rd: T0, rs1: A1, imm: 1 }],
  ["beq", { rs1: T0, to: "even" }],
  ["slliw", { rd: A3, rs1: A3, imm: 3 }],
  "even",
  ["addi", { rd: A1, rs1: A1, imm: 7 }],
  ["jalr", { rs1: 1 }],
  "skip",
  ["andi", { rd: T0, rs1: A3, imm: 4 }],
  ["add", { rd: 1, rs1: 1, rs2: T0 }],
  ["jalr", { rs1: 1 }],
  "count",
  ["andi", { rd: 6, rs1: A3, imm: 15 }],
  "more",
  ["add", { rd: A4, rs1: A4, rs2: 6 }],
  ["addi", { rd: 6, rs1: 6, imm: -1 }],
  ["blt", { rs2: 6, to: "more" }],
  ["jalr", { rs1: 1 }],
];

function programMachine(tiers: Tiers, program: readonly Line[]): TestMachine {
  const machine = new TestMachine({}, 32, tiers);
  machine.map(CODE, 4096, { fetch: true });
  machine.map(DATA, 4096, { read: true, write: true });
  machine.writeCode(CODE, build(program));
  for (let i = 0; i < 4096; i += 4)
    machine.view.setUint32(machine.physical(DATA + i), Math.imul(i + 1, 0x9e37_79b1) >>> 0, true);
  machine.setX(A0, BigInt(DATA));
  machine.pc = BigInt(CODE);
  return machine;
}

for (const [name, program] of [
  ["unrolled loops", PROGRAM],
  ["functions written where they are called", CALLS],
] as const)
  test(`${name}: preempted with the same registers as in tier 0`, () => {
    const [regions, tier0] = [programMachine("eager regions", program), programMachine("tier 0", program)];
    const random = seededRandom(23);
    const state = (machine: TestMachine): string =>
      `${machine.pc} ${Array.from({ length: 31 }, (_, i) => machine.x(i + 1).toString(16)).join()}`;
    for (let round = 0; round < 2000; round++) {
      const budget = 1 + random.below(round % 2 === 0 ? 40 : 700);
      for (const machine of [regions, tier0]) {
        machine.setWord(REG_BUDGET, budget);
        assert.equal(machine.run(), EXIT.BUDGET);
      }
      assert.equal(state(regions), state(tier0), `after preemption ${round}`);
    }
  });
