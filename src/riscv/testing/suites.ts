/**
 * The differential tests: programs that run every instruction of the table on chosen and on random operands.
 * All follow from one seed. A section of output belongs to one instruction (and rounding mode), or to a
 * series of random sequences.
 */
import { type Random, seededRandom } from "../../base/random.ts";
import { decode, decodeCompressed } from "../decode.ts";
import type { CompressedInstruction, Instruction } from "../isa.ts";
import { COMPRESSED_INSTRUCTIONS, INSTRUCTIONS } from "../isa-table.ts";
import { assembleRow, type Operands } from "./assemble.ts";
import { doubleOperands, integerOperands, random64, singleOperands } from "./operands.ts";
import { type Program, ProgramBuilder, SCRATCH, SCRATCH_BYTES } from "./program.ts";

export const SEED = 20261123;

export interface Suite {
  readonly name: string;
  readonly program: Program;
  /** Names of the rows that it runs. */
  readonly covers: ReadonlySet<string>;
}

// Registers of the loops: input, output, counter, initial and final fcsr.
const IN = 5;
const OUT = 6;
const COUNT = 7;
const FCSR_BEFORE = 8;
const FCSR_AFTER = 9;
const RESULT = 18;
const CSR_FCSR = 3;
const CSR_FFLAGS = 1;

const isFloatOperand = (operand: string): boolean => operand.startsWith("f") && operand !== "fd";

/** Which of rs1, rs2, rs3 a row reads, and from which file. */
function sources(row: Instruction): { field: "rs1" | "rs2" | "rs3"; float: boolean }[] {
  const found: { field: "rs1" | "rs2" | "rs3"; float: boolean }[] = [];
  for (const operand of row.format.operands) {
    if (operand === "rs1" || operand === "rs2") found.push({ field: operand, float: false });
    if (isFloatOperand(operand)) found.push({ field: `r${operand.slice(1)}` as "rs1", float: true });
  }
  return found;
}

interface LoopOptions {
  readonly name: string;
  readonly words: readonly number[];
  readonly row: Instruction;
  /** Values of the sources, one after another. */
  readonly operands: readonly bigint[];
  /** fcsr before each execution. */
  readonly fcsr: number;
}

/** For each tuple of operands: load them, set fcsr, run `words`, store the result and fcsr. */
function emitLoop(p: ProgramBuilder, { name, words, row, operands, fcsr }: LoopOptions): void {
  const read = sources(row);
  const count = operands.length / read.length;
  const writesFloat = row.format.operands.includes("fd");
  p.li(IN, p.data(operands));
  p.li(OUT, p.section(name, count * words.length * 16));
  p.li(COUNT, count);
  p.li(FCSR_BEFORE, fcsr);
  const loop = p.here;
  for (const word of words) {
    // The sources are registers 10, 11, 12 of either file; the result goes to 18.
    read.forEach(({ float }, index) =>
      p.op(float ? "fld" : "ld", { rd: 10 + index, rs1: IN, imm: index * 8 }),
    );
    p.op("csrrw", { rs1: FCSR_BEFORE, imm: CSR_FCSR });
    p.word(word);
    p.op("csrrs", { rd: FCSR_AFTER, imm: CSR_FCSR });
    p.op(writesFloat ? "fsd" : "sd", { rs2: RESULT, rs1: OUT, imm: 0 });
    p.op("sd", { rs2: FCSR_AFTER, rs1: OUT, imm: 8 });
    p.op("addi", { rd: OUT, rs1: OUT, imm: 16 });
  }
  p.op("addi", { rd: IN, rs1: IN, imm: read.length * 8 });
  p.op("addi", { rd: COUNT, rs1: COUNT, imm: -1 });
  // The loop may be longer than a branch reaches.
  p.op("beq", { rs1: COUNT, rs2: 0, imm: 8 });
  p.op("jal", { rd: 0, imm: loop - p.here });
}

function wordsOf(row: Instruction, more: readonly Operands[]): number[] {
  const fields = Object.fromEntries(sources(row).map(({ field }, index) => [field, 10 + index]));
  return more.map((operands) => assembleRow(row, { rd: RESULT, ...fields, ...operands }));
}

const IMMEDIATES = [0, 1, -1, 2, 7, 8, 31, 32, 255, -256, 1023, 2047, -2048, -2047, 0x555, -0x2ab];
const SHIFTS_6 = [0, 1, 2, 7, 31, 32, 33, 47, 62, 63];
const SHIFTS_5 = [0, 1, 2, 7, 15, 16, 30, 31];
const UPPERS = [0, 0x1000, 0x7ffff000, -0x80000000, -0x1000, 0x12345000];

/** Registers and immediates in, a register out. */
function integerSuite(random: Random): Suite {
  const p = new ProgramBuilder();
  const covers = new Set<string>();
  for (const row of INSTRUCTIONS) {
    const { immediate, operands } = row.format;
    const plain = row.extension === "I" || row.extension === "M";
    const first = operands[0];
    if (!plain || first !== "rd" || operands.includes("mem") || operands.includes("target")) continue;
    covers.add(row.name);
    const two = operands.includes("rs2");
    const values = integerOperands(random, two ? 2 : 1);
    const immediates: Record<string, readonly number[]> = {
      I: IMMEDIATES,
      shamt6: SHIFTS_6,
      shamt5: SHIFTS_5,
      U: UPPERS,
      none: [0],
    };
    const words = wordsOf(
      row,
      (immediates[immediate] ?? []).map((imm) => ({ imm })),
    );
    if (immediate === "U") {
      const out = p.section(row.name, words.length * 8);
      p.li(OUT, out);
      words.forEach((word, index) => {
        p.word(word);
        p.op("sd", { rs2: RESULT, rs1: OUT, imm: index * 8 });
      });
    } else {
      emitLoop(p, { name: row.name, words, row, operands: values, fcsr: 0 });
    }
  }
  return { name: "integer", program: p.finish(), covers };
}

/** Branches both ways, jumps, links, fences and CSRs. */
function controlSuite(random: Random): Suite {
  const p = new ProgramBuilder();
  const covers = new Set<string>();
  for (const row of INSTRUCTIONS) {
    if (row.format.immediate !== "B") continue;
    covers.add(row.name);
    const operands = integerOperands(random, 2);
    p.li(IN, p.data(operands));
    p.li(OUT, p.section(row.name, operands.length * 4));
    p.li(COUNT, operands.length / 2);
    const loop = p.here;
    p.op("ld", { rd: 10, rs1: IN, imm: 0 });
    p.op("ld", { rd: 11, rs1: IN, imm: 8 });
    p.op("addi", { rd: RESULT, imm: 1 });
    p.word(assembleRow(row, { rs1: 10, rs2: 11, imm: 8 }));
    p.op("addi", { rd: RESULT, rs1: RESULT, imm: 2 });
    p.op("sd", { rs2: RESULT, rs1: OUT, imm: 0 });
    p.op("addi", { rd: IN, rs1: IN, imm: 16 });
    p.op("addi", { rd: OUT, rs1: OUT, imm: 8 });
    p.op("addi", { rd: COUNT, rs1: COUNT, imm: -1 });
    p.op("bne", { rs1: COUNT, imm: loop - p.here });
  }

  p.li(OUT, p.section("jal jalr", 6 * 8));
  const store = (index: number): void => p.op("sd", { rs2: RESULT, rs1: OUT, imm: index * 8 });
  p.op("jal", { rd: RESULT, imm: 8 });
  p.op("addi", { rd: RESULT, imm: 0 });
  store(0);
  // jalr clears bit 0 of the target, and takes it before it sets rd.
  p.op("auipc", { rd: RESULT, imm: 0 });
  p.op("jalr", { rd: RESULT, rs1: RESULT, imm: 13 });
  p.op("addi", { rd: RESULT, imm: 0 });
  store(1);
  // A backward jump: over a jump that jumps out.
  p.op("jal", { rd: 0, imm: 12 });
  p.op("jal", { rd: RESULT, imm: 8 });
  p.op("addi", { rd: RESULT, imm: 0 });
  p.op("beq", { imm: 8 });
  p.op("jal", { rd: 0, imm: -8 });
  store(2);
  p.op("addi", { rd: 0, rs1: 0, imm: 55 });
  p.op("add", { rd: RESULT, rs1: 0, rs2: 0 });
  store(3);
  p.op("fence", { imm: 0 });
  p.op("fence.i", {});
  p.word(0x0ff0000f);
  p.word(0x8330000f);
  store(4);
  for (const name of ["jal", "jalr", "fence", "fence.i", "ecall"]) covers.add(name);

  const csrs = INSTRUCTIONS.filter((row) => row.extension === "Zicsr");
  for (const row of csrs) {
    covers.add(row.name);
    const numbers = [1, 2, 3];
    const values = [0, 1, 3, 5, 7, 0x15, 0x1f, 0x60, 0x7f, 0xff, 0x1ff];
    const out = p.section(row.name, numbers.length * values.length * 24);
    p.li(OUT, out);
    for (const number of numbers) {
      for (const value of values) {
        p.li(10, value);
        p.li(FCSR_BEFORE, 0x4a);
        p.op("csrrw", { rs1: FCSR_BEFORE, imm: CSR_FCSR });
        const rs1 = row.format.operands.includes("zimm") ? value & 31 : 10;
        p.word(assembleRow(row, { rd: RESULT, rs1, imm: number }));
        p.op("csrrs", { rd: FCSR_AFTER, imm: CSR_FCSR });
        p.op("sd", { rs2: RESULT, rs1: OUT, imm: 0 });
        p.op("sd", { rs2: FCSR_AFTER, rs1: OUT, imm: 8 });
        // With x0 (or 0) a set and a clear only read.
        p.word(assembleRow(row, { rd: RESULT, rs1: 0, imm: number }));
        p.op("csrrs", { rd: FCSR_AFTER, imm: CSR_FCSR });
        p.op("sd", { rs2: FCSR_AFTER, rs1: OUT, imm: 16 });
        p.op("addi", { rd: OUT, rs1: OUT, imm: 24 });
      }
    }
  }
  return { name: "control", program: p.finish(), covers };
}

/** Loads and stores at every misalignment, over a page's end too. */
function memorySuite(random: Random): Suite {
  const p = new ProgramBuilder();
  const covers = new Set<string>();
  const pattern = p.data(Array.from({ length: SCRATCH_BYTES / 8 }, () => random64(random)));
  const offsets = [0, 1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -4, -5, -6, -7, -8, 2047, -2048];
  for (const row of INSTRUCTIONS) {
    const { operands } = row.format;
    if (!operands.includes("mem") || row.name === "jalr") continue;
    covers.add(row.name);
    const isLoad = operands[0] === "rd" || operands[0] === "fd";
    const float = operands[0] === "fd" || operands[0] === "fs2";
    const out = p.section(row.name, offsets.length * 24);
    p.li(OUT, out);
    p.li(IN, (isLoad ? pattern : SCRATCH) + 4096);
    p.li(COUNT, pattern);
    for (const imm of offsets) {
      if (isLoad) {
        p.word(assembleRow(row, { rd: RESULT, rs1: IN, imm }));
        p.op(float ? "fsd" : "sd", { rs2: RESULT, rs1: OUT, imm: 0 });
      } else {
        p.op("sd", { rs2: 0, rs1: IN, imm: imm & -8 });
        p.op("sd", { rs2: 0, rs1: IN, imm: Math.min((imm & -8) + 8, 2040) });
        p.op(float ? "fld" : "ld", { rd: RESULT, rs1: COUNT, imm: (imm & 63) * 8 });
        p.word(assembleRow(row, { rs2: RESULT, rs1: IN, imm }));
        p.op("ld", { rd: RESULT, rs1: IN, imm: imm & -8 });
        p.op("sd", { rs2: RESULT, rs1: OUT, imm: 0 });
        p.op("ld", { rd: RESULT, rs1: IN, imm: Math.min((imm & -8) + 8, 2040) });
        p.op("sd", { rs2: RESULT, rs1: OUT, imm: 8 });
      }
      p.op("addi", { rd: OUT, rs1: OUT, imm: 24 });
    }
  }
  return { name: "memory", program: p.finish(), covers };
}

/** Atomic operations on pairs of values; reservations that hold and that do not. */
function atomicSuite(random: Random): Suite {
  const p = new ProgramBuilder();
  const covers = new Set<string>();
  const at = SCRATCH + 64;
  for (const row of INSTRUCTIONS) {
    if (row.extension !== "A") continue;
    covers.add(row.name);
    const narrow = row.name.endsWith(".w");
    const operands = integerOperands(random, 2);
    p.li(IN, p.data(operands));
    p.li(OUT, p.section(row.name, (operands.length / 2) * 32));
    p.li(COUNT, operands.length / 2);
    const loop = p.here;
    p.li(13, at + (narrow ? 4 : 0));
    p.op("ld", { rd: 10, rs1: IN, imm: 0 });
    p.op("ld", { rd: 11, rs1: IN, imm: 8 });
    p.op(narrow ? "sw" : "sd", { rs2: 10, rs1: 13, imm: 0 });
    p.op("addi", { rd: RESULT, imm: 77 });
    const aqrl = random.below(4) << 25;
    if (row.name.startsWith("sc")) {
      p.op(narrow ? "lr.w" : "lr.d", { rd: 14, rs1: 13 });
    }
    const base = { rd: RESULT, rs1: 13 };
    p.word((assembleRow(row, row.name.startsWith("lr") ? base : { ...base, rs2: 11 }) | aqrl) >>> 0);
    p.op("sd", { rs2: RESULT, rs1: OUT, imm: 0 });
    p.op("ld", { rd: 14, rs1: 13, imm: narrow ? -4 : 0 });
    p.op("sd", { rs2: 14, rs1: OUT, imm: 8 });
    // Without a reservation, and with one for another address.
    p.li(13, at);
    p.op("sc.d", { rd: 14, rs1: 13, rs2: 0 });
    p.li(13, at + 8);
    p.op("lr.d", { rd: 14, rs1: 13 });
    p.li(13, at);
    p.op("sc.d", { rd: 14, rs1: 13, rs2: 11 });
    p.op("sd", { rs2: 14, rs1: OUT, imm: 16 });
    p.op("ld", { rd: 14, rs1: 13, imm: 0 });
    p.op("sd", { rs2: 14, rs1: OUT, imm: 24 });
    p.op("addi", { rd: IN, rs1: IN, imm: 16 });
    p.op("addi", { rd: OUT, rs1: OUT, imm: 32 });
    p.op("addi", { rd: COUNT, rs1: COUNT, imm: -1 });
    p.op("bne", { rs1: COUNT, imm: loop - p.here });
  }
  return { name: "atomic", program: p.finish(), covers };
}

/** Every floating-point operation, in every rounding mode, static and dynamic, with NX accrued and not. */
function floatSuite(name: "single" | "double", random: Random): Suite {
  const p = new ProgramBuilder();
  const covers = new Set<string>();
  const wanted = name === "single" ? "F" : "D";
  for (const row of INSTRUCTIONS) {
    const float = row.format.operands.some((operand) => operand.startsWith("f"));
    if (row.extension !== wanted || !float || row.format.operands.includes("mem")) continue;
    covers.add(row.name);
    const read = sources(row);
    const fromSingle = row.name.endsWith(".s") || row.name === "fmv.x.w";
    const values = read.some(({ float: isFloat }) => isFloat)
      ? fromSingle
        ? singleOperands(random, read.length)
        : doubleOperands(random, read.length)
      : integerOperands(random, read.length);
    const modes = row.rounds
      ? [0, 1, 2, 3, 4].flatMap((mode) => [
          { rm: mode, frm: (mode + 2) % 5 },
          { rm: 7, frm: mode },
        ])
      : [{ rm: 0, frm: 0 }];
    for (const { rm, frm } of modes) {
      for (const flags of [0, 1]) {
        emitLoop(p, {
          name: `${row.name} rm=${rm} frm=${frm} flags=${flags}`,
          words: wordsOf(row, [{ rm }]),
          row,
          operands: values,
          fcsr: (frm << 5) | flags,
        });
      }
    }
  }
  return { name, program: p.finish(), covers };
}

// Random sequences keep these registers for themselves: input, two bases, output and link.
const STATE_IN = 3;
const BASE_UNALIGNED = 28;
const BASE_ALIGNED = 29;
const STATE_OUT = 30;
const LINK = 31;
const RESERVED: ReadonlySet<number> = new Set([STATE_IN, BASE_UNALIGNED, BASE_ALIGNED, STATE_OUT, LINK]);
const STATE_WORDS = 32 + 32 + 1;

function freeRegister(random: Random): number {
  for (;;) {
    const register = random.below(32);
    if (!RESERVED.has(register)) return register;
  }
}

/** A random instruction that stays within the scratch memory and the sequence. */
function randomWord(row: Instruction, random: Random): number {
  const { operands, immediate } = row.format;
  const integerRd = operands[0] === "rd";
  const rm = [0, 1, 2, 3, 4, 7][random.below(6)] ?? 0;
  const fixed: { -readonly [K in keyof Operands]: number } = {
    rd: integerRd ? freeRegister(random) : random.below(32),
    rs1: random.below(32),
    rs2: random.below(32),
    rs3: random.below(32),
    imm: random.u32() | 0,
    rm,
  };
  if (operands.includes("mem")) {
    fixed.rs1 = BASE_UNALIGNED;
    fixed.imm = random.below(128) - 64;
  }
  if (operands.includes("base")) fixed.rs1 = BASE_ALIGNED;
  if (immediate === "csr") {
    fixed.imm = CSR_FFLAGS;
  }
  if (immediate === "B" || immediate === "J") fixed.imm = 8;
  // Fields that the row does not have stay 0.
  const has = (...names: string[]): boolean => names.some((name) => operands.includes(name as never));
  const word: { -readonly [K in keyof Operands]: number } = { imm: fixed.imm ?? 0, rm };
  if (has("rd", "fd")) word.rd = fixed.rd ?? 0;
  if (has("rs1", "fs1", "mem", "base", "zimm")) word.rs1 = fixed.rs1 ?? 0;
  if (has("rs2", "fs2")) word.rs2 = fixed.rs2 ?? 0;
  if (has("fs3")) word.rs3 = fixed.rs3 ?? 0;
  return assembleRow(row, word);
}

/** A random 16-bit instruction of `row` whose expansion is harmless, with its expansion's row. */
function randomHalf(match: number, mask: number, random: Random): number | undefined {
  for (let attempt = 0; attempt < 200; attempt++) {
    const half = (match | (random.u32() & 0xffff & ~mask)) >>> 0;
    const found = decodeCompressed(half);
    if (found === undefined) continue;
    const row = decode(found.word);
    if (row === undefined) continue;
    const { operands } = row.format;
    const rd = (found.word >>> 7) & 31;
    if (operands[0] === "rd" && RESERVED.has(rd)) continue;
    if (operands.includes("mem") || operands.includes("target") || row.name === "jalr") continue;
    if (row.name === "ebreak") continue;
    return half;
  }
  return undefined;
}

const SP = 2;
const S0 = 8;

/** Compressed loads, stores, jumps and branches, placed so that they are harmless. */
function compressedSuite(random: Random): Suite {
  const p = new ProgramBuilder();
  const covers = new Set<string>();
  const pattern = p.data(Array.from({ length: 256 }, () => random64(random)));
  for (const row of COMPRESSED_INSTRUCTIONS) {
    if (row.name === "c.ebreak") continue;
    covers.add(row.name);
    const rounds = 24;
    p.li(OUT, p.section(row.name, rounds * 5 * 8));
    for (let round = 0; round < rounds; round++) {
      // Registers 8 to 15 are what the three-bit fields name; s0 is the base of loads and stores.
      for (let register = S0 + 1; register < 16; register++) {
        p.li(4, pattern);
        p.op("ld", { rd: register, rs1: 4, imm: random.below(256) * 8 });
        p.op("fld", { rd: register, rs1: 4, imm: random.below(256) * 8 });
      }
      p.li(S0, SCRATCH);
      p.li(SP, SCRATCH + 256);
      emitCompressed(p, row, random);
      for (const [index, register] of [S0, 9, 10, SP].entries()) {
        p.op("sd", { rs2: register, rs1: OUT, imm: index * 8 });
      }
      p.op("fsd", { rs2: 9, rs1: OUT, imm: 32 });
      p.op("addi", { rd: OUT, rs1: OUT, imm: 40 });
    }
  }
  p.li(OUT, p.section("memory", 1024));
  p.li(IN, SCRATCH);
  for (let at = 0; at < 1024; at += 8) {
    p.op("ld", { rd: 10, rs1: IN, imm: at });
    p.op("sd", { rs2: 10, rs1: OUT, imm: at });
  }
  return { name: "compressed", program: p.finish(), covers };
}

/** One instruction with the encoding `match`, and whatever makes its effect visible in s0, x9, x10, sp, f9. */
function emitCompressed(p: ProgramBuilder, wanted: CompressedInstruction, random: Random): void {
  const { match, mask } = wanted;
  for (;;) {
    const half = (match | (random.u32() & 0xffff & ~mask)) >>> 0;
    const found = decodeCompressed(half);
    const row = found === undefined ? undefined : decode(found.word);
    if (found?.row !== wanted || row === undefined) continue;
    const { operands } = row.format;
    const word = found.word;
    const rd = (word >>> 7) & 31;
    const rs1 = (word >>> 15) & 31;
    const rs2 = (word >>> 20) & 31;
    if (operands.includes("target")) {
      // Only c.j, c.beqz and c.bnez two halfwords ahead.
      const forward = row.name === "jal" ? match | (1 << 4) : (half & ~0x1c7c) | (1 << 4);
      p.op("addi", { rd: 10, imm: 1 });
      p.word(forward);
      p.word(0x0505);
      return;
    }
    if (row.name === "jalr") {
      if (rs1 < 9 || rs1 > 15) continue;
      p.op("auipc", { rd: rs1, imm: 0 });
      p.op("addi", { rd: rs1, rs1, imm: 12 });
      p.word(half);
      p.word(0x0505);
      p.op("addi", { rd: 9, rs1: rd === 1 ? 1 : 0 });
      return;
    }
    if (operands.includes("mem")) {
      if (rs1 !== S0 && rs1 !== SP) continue;
      const isLoad = operands[0] === "rd" || operands[0] === "fd";
      const register = isLoad ? rd : rs2;
      if (operands[0] !== "fd" && operands[0] !== "fs2" && (register < 9 || register > 10)) continue;
      if (operands[0] === "fd" && register !== 9) continue;
      if (operands[0] === "fs2" && (register < 8 || register > 15)) continue;
      p.word(half);
      return;
    }
    if (operands[0] === "rd" && ![8, 9, 10, 2, 0].includes(rd)) continue;
    if ([IN, OUT, COUNT, 1, 3, 4].includes(rs2) && operands.includes("rs2")) continue;
    if (rs2 > 15 && operands.includes("rs2")) continue;
    p.word(half);
    return;
  }
}

/** Random sequences of 24 instructions, 16-bit and 32-bit mixed, from random register states. */
function randomSuite(random: Random, count: number): Suite {
  const p = new ProgramBuilder();
  const rows = INSTRUCTIONS.filter(
    ({ name, format }) =>
      !["ecall", "ebreak", "jalr", "fence.i", "auipc"].includes(name) && !format.operands.includes("target"),
  );
  const compressed = COMPRESSED_INSTRUCTIONS;

  // The two routines: load a state from STATE_IN, store it at STATE_OUT.
  const skip = p.jumpAhead();
  const load = p.here;
  // An sc elsewhere ends the last sequence's reservation: it may have been of another width, and whether an
  // sc of another width succeeds is left open (13.2).
  p.li(1, SCRATCH);
  p.op("sc.w", { rd: 1, rs1: 1, rs2: 1 });
  p.op("ld", { rd: 1, rs1: STATE_IN, imm: 64 * 8 });
  p.op("csrrw", { rs1: 1, imm: CSR_FCSR });
  for (let i = 1; i < 28; i++) if (i !== STATE_IN) p.op("ld", { rd: i, rs1: STATE_IN, imm: i * 8 });
  for (let i = 0; i < 32; i++) p.op("fld", { rd: i, rs1: STATE_IN, imm: (32 + i) * 8 });
  p.op("addi", { rd: STATE_IN, rs1: STATE_IN, imm: STATE_WORDS * 8 });
  p.op("jalr", { rd: 0, rs1: LINK });
  const save = p.here;
  for (let i = 1; i < 28; i++) if (i !== STATE_IN) p.op("sd", { rs2: i, rs1: STATE_OUT, imm: i * 8 });
  for (let i = 0; i < 32; i++) p.op("fsd", { rs2: i, rs1: STATE_OUT, imm: (32 + i) * 8 });
  p.op("csrrs", { rd: 1, imm: CSR_FCSR });
  p.op("sd", { rs2: 1, rs1: STATE_OUT, imm: 64 * 8 });
  p.op("addi", { rd: STATE_OUT, rs1: STATE_OUT, imm: STATE_WORDS * 8 });
  p.op("jalr", { rd: 0, rs1: LINK });
  skip();

  const states: bigint[] = [];
  for (let i = 0; i < count; i++) {
    for (let r = 0; r < 32; r++) states.push(integerOperands(random, 1, 1)[0] ?? 0n);
    for (let r = 0; r < 32; r++) {
      states.push((random.below(2) === 0 ? singleOperands : doubleOperands)(random, 1, 1)[0] ?? 0n);
    }
    states.push(BigInt((random.below(5) << 5) | random.below(32)));
  }
  p.li(STATE_IN, p.data(states));
  const perSection = 50;
  let out = 0;
  for (let i = 0; i < count; i++) {
    if (i % perSection === 0) {
      const name = `sequences ${i}`;
      out = p.section(name, Math.min(perSection, count - i) * STATE_WORDS * 8);
      p.li(STATE_OUT, out);
    }
    p.li(BASE_UNALIGNED, SCRATCH + 4096 + random.below(16) - 8);
    p.li(BASE_ALIGNED, SCRATCH + 4096 + random.below(8) * 8);
    p.op("jal", { rd: LINK, imm: load - p.here });
    const otherWidth = random.below(2) === 0 ? ".w" : ".d";
    for (let n = 0; n < 24; n++) {
      if (random.below(3) === 0) {
        const row = compressed[random.below(compressed.length)];
        const half = row === undefined ? undefined : randomHalf(row.match, row.mask, random);
        if (half !== undefined) p.word(half);
        continue;
      }
      const row = rows[random.below(rows.length)];
      if (row === undefined || (/^(lr|sc)/.test(row.name) && row.name.endsWith(otherWidth))) continue;
      p.word(randomWord(row, random));
    }
    p.op("jal", { rd: LINK, imm: save - p.here });
  }
  // What the stores and atomics left.
  const touched = 256;
  p.li(STATE_OUT, p.section("memory", touched));
  p.li(STATE_IN, SCRATCH + 4096 - touched / 2);
  for (let at = 0; at < touched; at += 8) {
    p.op("ld", { rd: 1, rs1: STATE_IN, imm: at });
    p.op("sd", { rs2: 1, rs1: STATE_OUT, imm: at });
  }
  return { name: "random", program: p.finish(), covers: new Set() };
}

/** All suites, the same for the same seed. */
export function buildSuites(seed: number = SEED): Suite[] {
  const random = seededRandom(seed);
  return [
    integerSuite(random),
    controlSuite(random),
    memorySuite(random),
    atomicSuite(random),
    floatSuite("single", random),
    floatSuite("double", random),
    compressedSuite(random),
    randomSuite(random, 4000),
  ];
}
