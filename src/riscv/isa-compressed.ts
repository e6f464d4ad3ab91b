/**
 * The C extension for RV64 with D. Unprivileged specification, chapter 26.
 *
 * A compressed instruction means what its expansion means, so a row holds only an encoding, the operands for
 * the disassembler, and the expansion, which gives 0 for reserved encodings. Hints expand to the instruction
 * that does nothing which their encoding spells.
 */
import { type CompressedInstruction, type CompressedOperand, OPCODE } from "./isa.ts";

/** `bits` bits of `half` from bit `from`, moved to bit `to`. */
function move(half: number, from: number, bits: number, to: number): number {
  return ((half >>> from) & ((1 << bits) - 1)) << to;
}

function signed(value: number, bits: number): number {
  return (value << (32 - bits)) >> (32 - bits);
}

// Register fields; the three-bit ones name x8 to x15.
const rdFull = (half: number): number => (half >>> 7) & 31;
const rs2Full = (half: number): number => (half >>> 2) & 31;
const rdLow = (half: number): number => 8 + ((half >>> 2) & 7);
const rs1Low = (half: number): number => 8 + ((half >>> 7) & 7);
const SP = 2;
const RA = 1;

// Immediates, by the specification's figures of each format.
const imm6 = (half: number): number => signed(move(half, 12, 1, 5) | move(half, 2, 5, 0), 6);
const shamt = (half: number): number => move(half, 12, 1, 5) | move(half, 2, 5, 0);
const offsetWord = (half: number): number => move(half, 10, 3, 3) | move(half, 6, 1, 2) | move(half, 5, 1, 6);
const offsetDouble = (half: number): number => move(half, 10, 3, 3) | move(half, 5, 2, 6);
const spLoadWord = (half: number): number => move(half, 12, 1, 5) | move(half, 4, 3, 2) | move(half, 2, 2, 6);
const spLoadDouble = (half: number): number =>
  move(half, 12, 1, 5) | move(half, 5, 2, 3) | move(half, 2, 3, 6);
const spStoreWord = (half: number): number => move(half, 9, 4, 2) | move(half, 7, 2, 6);
const spStoreDouble = (half: number): number => move(half, 10, 3, 3) | move(half, 7, 3, 6);
const addi4spn = (half: number): number =>
  move(half, 11, 2, 4) | move(half, 7, 4, 6) | move(half, 6, 1, 2) | move(half, 5, 1, 3);
const addi16sp = (half: number): number =>
  signed(
    move(half, 12, 1, 9) |
      move(half, 6, 1, 4) |
      move(half, 5, 1, 6) |
      move(half, 3, 2, 7) |
      move(half, 2, 1, 5),
    10,
  );
const jumpOffset = (half: number): number =>
  signed(
    move(half, 12, 1, 11) |
      move(half, 11, 1, 4) |
      move(half, 9, 2, 8) |
      move(half, 8, 1, 10) |
      move(half, 7, 1, 6) |
      move(half, 6, 1, 7) |
      move(half, 3, 3, 1) |
      move(half, 2, 1, 5),
    12,
  );
const branchOffset = (half: number): number =>
  signed(
    move(half, 12, 1, 8) |
      move(half, 10, 2, 3) |
      move(half, 5, 2, 6) |
      move(half, 3, 2, 1) |
      move(half, 2, 1, 5),
    9,
  );

// The 32-bit formats. Unprivileged specification, 2.2 and 2.3.
const iType = (opcode: number, funct3: number, rd: number, rs1: number, imm: number): number =>
  (((imm & 0xfff) << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode) >>> 0;
const rType = (
  opcode: number,
  funct3: number,
  funct7: number,
  rd: number,
  rs1: number,
  rs2: number,
): number => ((funct7 << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode) >>> 0;
const sType = (opcode: number, funct3: number, rs1: number, rs2: number, imm: number): number =>
  (((imm >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | ((imm & 31) << 7) | opcode) >>> 0;
const bType = (funct3: number, rs1: number, rs2: number, imm: number): number =>
  ((((imm >> 12) & 1) << 31) |
    (((imm >> 5) & 0x3f) << 25) |
    (rs2 << 20) |
    (rs1 << 15) |
    (funct3 << 12) |
    (((imm >> 1) & 15) << 8) |
    (((imm >> 11) & 1) << 7) |
    OPCODE.branch) >>>
  0;
const jType = (rd: number, imm: number): number =>
  ((((imm >> 20) & 1) << 31) |
    (((imm >> 1) & 0x3ff) << 21) |
    (((imm >> 11) & 1) << 20) |
    (((imm >> 12) & 0xff) << 12) |
    (rd << 7) |
    OPCODE.jal) >>>
  0;

function row(
  name: string,
  mask: number,
  match: number,
  operands: readonly CompressedOperand[],
  expand: (half: number) => number,
): CompressedInstruction {
  return { name, extension: "C", mask, match, operands, expand };
}

/** A register-register operation on x8 … x15. */
const low = (name: string, match: number, opcode: number, funct3: number, funct7: number) =>
  row(name, 0xfc63, match, ["rs1'", "rs2'"], (h) =>
    rType(opcode, funct3, funct7, rs1Low(h), rs1Low(h), rdLow(h)),
  );

export const COMPRESSED: readonly CompressedInstruction[] = [
  // Quadrant 0. The all-zero halfword is c.addi4spn with immediate 0, which is reserved.
  row("c.addi4spn", 0xe003, 0x0000, ["rd'", "sp", "imm"], (h) =>
    addi4spn(h) === 0 ? 0 : iType(OPCODE.opImm, 0, rdLow(h), SP, addi4spn(h)),
  ),
  row("c.fld", 0xe003, 0x2000, ["fd'", "mem"], (h) =>
    iType(OPCODE.loadFp, 3, rdLow(h), rs1Low(h), offsetDouble(h)),
  ),
  row("c.lw", 0xe003, 0x4000, ["rd'", "mem"], (h) =>
    iType(OPCODE.load, 2, rdLow(h), rs1Low(h), offsetWord(h)),
  ),
  row("c.ld", 0xe003, 0x6000, ["rd'", "mem"], (h) =>
    iType(OPCODE.load, 3, rdLow(h), rs1Low(h), offsetDouble(h)),
  ),
  row("c.fsd", 0xe003, 0xa000, ["fs2'", "mem"], (h) =>
    sType(OPCODE.storeFp, 3, rs1Low(h), rdLow(h), offsetDouble(h)),
  ),
  row("c.sw", 0xe003, 0xc000, ["rs2'", "mem"], (h) =>
    sType(OPCODE.store, 2, rs1Low(h), rdLow(h), offsetWord(h)),
  ),
  row("c.sd", 0xe003, 0xe000, ["rs2'", "mem"], (h) =>
    sType(OPCODE.store, 3, rs1Low(h), rdLow(h), offsetDouble(h)),
  ),

  // Quadrant 1.
  // binutils has no c.nop once aliases are off.
  {
    ...row("c.nop", 0xef83, 0x0001, ["rd", "imm"], (h) => iType(OPCODE.opImm, 0, 0, 0, imm6(h))),
    spelling: "c.addi",
  },
  row("c.addi", 0xe003, 0x0001, ["rd", "imm"], (h) =>
    rdFull(h) === 0 ? 0 : iType(OPCODE.opImm, 0, rdFull(h), rdFull(h), imm6(h)),
  ),
  row("c.addiw", 0xe003, 0x2001, ["rd", "imm"], (h) =>
    rdFull(h) === 0 ? 0 : iType(OPCODE.opImm32, 0, rdFull(h), rdFull(h), imm6(h)),
  ),
  row("c.li", 0xe003, 0x4001, ["rd", "imm"], (h) => iType(OPCODE.opImm, 0, rdFull(h), 0, imm6(h))),
  row("c.addi16sp", 0xef83, 0x6101, ["sp", "imm"], (h) =>
    addi16sp(h) === 0 ? 0 : iType(OPCODE.opImm, 0, SP, SP, addi16sp(h)),
  ),
  row("c.lui", 0xe003, 0x6001, ["rd", "upper"], (h) =>
    imm6(h) === 0 || rdFull(h) === SP ? 0 : ((imm6(h) << 12) | (rdFull(h) << 7) | OPCODE.lui) >>> 0,
  ),
  row("c.srli", 0xec03, 0x8001, ["rs1'", "shamt"], (h) =>
    iType(OPCODE.opImm, 5, rs1Low(h), rs1Low(h), shamt(h)),
  ),
  row("c.srai", 0xec03, 0x8401, ["rs1'", "shamt"], (h) =>
    iType(OPCODE.opImm, 5, rs1Low(h), rs1Low(h), 0x400 | shamt(h)),
  ),
  row("c.andi", 0xec03, 0x8801, ["rs1'", "imm"], (h) =>
    iType(OPCODE.opImm, 7, rs1Low(h), rs1Low(h), imm6(h)),
  ),
  low("c.sub", 0x8c01, OPCODE.op, 0, 0x20),
  low("c.xor", 0x8c21, OPCODE.op, 4, 0x00),
  low("c.or", 0x8c41, OPCODE.op, 6, 0x00),
  low("c.and", 0x8c61, OPCODE.op, 7, 0x00),
  low("c.subw", 0x9c01, OPCODE.op32, 0, 0x20),
  low("c.addw", 0x9c21, OPCODE.op32, 0, 0x00),
  row("c.j", 0xe003, 0xa001, ["target"], (h) => jType(0, jumpOffset(h))),
  row("c.beqz", 0xe003, 0xc001, ["rs1'", "target"], (h) => bType(0, rs1Low(h), 0, branchOffset(h))),
  row("c.bnez", 0xe003, 0xe001, ["rs1'", "target"], (h) => bType(1, rs1Low(h), 0, branchOffset(h))),

  // Quadrant 2.
  row("c.slli", 0xe003, 0x0002, ["rd", "shamt"], (h) =>
    iType(OPCODE.opImm, 1, rdFull(h), rdFull(h), shamt(h)),
  ),
  row("c.fldsp", 0xe003, 0x2002, ["fd", "spmem"], (h) =>
    iType(OPCODE.loadFp, 3, rdFull(h), SP, spLoadDouble(h)),
  ),
  row("c.lwsp", 0xe003, 0x4002, ["rd", "spmem"], (h) =>
    rdFull(h) === 0 ? 0 : iType(OPCODE.load, 2, rdFull(h), SP, spLoadWord(h)),
  ),
  row("c.ldsp", 0xe003, 0x6002, ["rd", "spmem"], (h) =>
    rdFull(h) === 0 ? 0 : iType(OPCODE.load, 3, rdFull(h), SP, spLoadDouble(h)),
  ),
  row("c.jr", 0xf07f, 0x8002, ["rs1"], (h) => (rdFull(h) === 0 ? 0 : iType(OPCODE.jalr, 0, 0, rdFull(h), 0))),
  row("c.mv", 0xf003, 0x8002, ["rd", "rs2"], (h) =>
    rs2Full(h) === 0 ? 0 : rType(OPCODE.op, 0, 0, rdFull(h), 0, rs2Full(h)),
  ),
  row("c.ebreak", 0xffff, 0x9002, [], () => iType(OPCODE.system, 0, 0, 0, 1)),
  row("c.jalr", 0xf07f, 0x9002, ["rs1"], (h) =>
    rdFull(h) === 0 ? 0 : iType(OPCODE.jalr, 0, RA, rdFull(h), 0),
  ),
  row("c.add", 0xf003, 0x9002, ["rd", "rs2"], (h) =>
    rs2Full(h) === 0 ? 0 : rType(OPCODE.op, 0, 0, rdFull(h), rdFull(h), rs2Full(h)),
  ),
  row("c.fsdsp", 0xe003, 0xa002, ["fs2", "spmem"], (h) =>
    sType(OPCODE.storeFp, 3, SP, rs2Full(h), spStoreDouble(h)),
  ),
  row("c.swsp", 0xe003, 0xc002, ["rs2", "spmem"], (h) =>
    sType(OPCODE.store, 2, SP, rs2Full(h), spStoreWord(h)),
  ),
  row("c.sdsp", 0xe003, 0xe002, ["rs2", "spmem"], (h) =>
    sType(OPCODE.store, 3, SP, rs2Full(h), spStoreDouble(h)),
  ),
];
