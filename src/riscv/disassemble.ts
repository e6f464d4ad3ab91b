/**
 * Disassembly, spelled as binutils' objdump spells it with `-M no-aliases`: mnemonic, one blank, operands.
 */
import { decode, decodeCompressed, immediate, isCompressed, rd, rs1, rs2, rs3 } from "./decode.ts";
import type { CompressedOperand, Instruction, Operand } from "./isa.ts";

// The ABI's register names. RISC-V ELF psABI, tables 1 and 2.
const X_NAMES: readonly string[] =
  "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6".split(
    " ",
  );
const F_NAMES: readonly string[] =
  "ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11".split(
    " ",
  );
const ROUNDING: readonly string[] = ["rne", "rtz", "rdn", "rup", "rmm", "", "", "dyn"];
const DYNAMIC = "dyn";

const x = (index: number): string => X_NAMES[index] ?? "?";
const f = (index: number): string => F_NAMES[index] ?? "?";
const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
/** A 64-bit address. */
const address = (value: number): string => `0x${BigInt.asUintN(64, BigInt(value)).toString(16)}`;

/** The sets of a fence: `iorw`. */
function fenceSet(bits: number): string {
  return bits === 0 ? "unknown" : [..."iorw"].filter((_, i) => (bits & (8 >> i)) !== 0).join("");
}

const CSR_NAMES: Readonly<Record<number, string>> = {
  0x001: "fflags",
  0x002: "frm",
  0x003: "fcsr",
  0xc00: "cycle",
  0xc01: "time",
  0xc02: "instret",
};

function operand(row: Instruction, kind: Operand, word: number, pc: number): string {
  const imm = immediate(row.format.immediate, word);
  switch (kind) {
    case "rd":
      return x(rd(word));
    case "rs1":
      return x(rs1(word));
    case "rs2":
      return x(rs2(word));
    case "fd":
      return f(rd(word));
    case "fs1":
      return f(rs1(word));
    case "fs2":
      return f(rs2(word));
    case "fs3":
      return f(rs3(word));
    case "imm":
      return String(imm);
    case "mem":
      return `${imm}(${x(rs1(word))})`;
    case "base":
      return `(${x(rs1(word))})`;
    case "shamt":
      return hex(imm);
    case "upper":
      return hex(imm >>> 12);
    case "target":
      return address(pc + imm);
    case "csr":
      return CSR_NAMES[imm] ?? hex(imm);
    case "zimm":
      return String(rs1(word));
    case "pred":
      return fenceSet((word >>> 24) & 15);
    case "succ":
      return fenceSet((word >>> 20) & 15);
    case "rm":
      return ROUNDING[(word >>> 12) & 7] ?? "";
  }
}

/** aq and rl are part of an atomic's name. */
function mnemonic(row: Instruction, word: number): string {
  if (row.extension !== "A") return row.name;
  return row.name + (["", ".rl", ".aq", ".aqrl"][(word >>> 25) & 3] ?? "");
}

function compressedOperand(kind: CompressedOperand, word: number, row: Instruction, pc: number): string {
  const imm = immediate(row.format.immediate, word);
  switch (kind) {
    case "rd":
    case "rd'":
      return x(rd(word));
    case "rs1'":
      return x(rs1(word));
    case "rs1":
      return x(rs1(word));
    case "rs2":
    case "rs2'":
      return x(rs2(word));
    case "fd":
    case "fd'":
      return f(rd(word));
    case "fs2":
    case "fs2'":
      return f(rs2(word));
    case "sp":
      return "sp";
    case "imm":
      return String(imm);
    case "shamt":
      return hex(imm);
    case "upper":
      return hex((imm >>> 12) & 0xfffff);
    case "target":
      return address(pc + imm);
    case "mem":
      return `${imm}(${x(rs1(word))})`;
    case "spmem":
      return `${imm}(sp)`;
  }
}

/**
 * The instruction in `word` (of a 16-bit one, the upper half is anything), which lies at `pc`. What is not an
 * instruction is spelled `.word` or `.half`.
 */
export function disassemble(word: number, pc: number): string {
  if (isCompressed(word)) {
    const half = word & 0xffff;
    const found = decodeCompressed(half);
    const row = found === undefined ? undefined : decode(found.word);
    if (found === undefined || row === undefined) return `.half ${hex(half)}`;
    if (found.row.operands.includes("shamt") && immediate(row.format.immediate, found.word) === 0) {
      // binutils' name for the hint that RV64 has in the place of RV128's shift by 64.
      return `${found.row.name}64 ${x(rd(found.word))}`;
    }
    const operands = found.row.operands.map((kind) => compressedOperand(kind, found.word, row, pc));
    return `${found.row.spelling ?? found.row.name} ${operands.join(",")}`.trim();
  }
  const row = decode(word);
  if (row === undefined) return `.word ${hex(word)}`;
  const operands = row.format.operands
    .map((kind) => operand(row, kind, word, pc))
    // The dynamic rounding mode is not spelled.
    .filter((spelling) => spelling !== DYNAMIC);
  return `${mnemonic(row, word)} ${operands.join(",")}`.trim();
}
