/**
 * What a row of the instruction table is. Decoder, disassembler, interpreter and translator all follow from
 * the rows in the isa-*.ts files; isa-table.ts puts them together.
 *
 * A row says what an instruction is called, which words are this instruction (`word & mask === match`), what
 * its operands are, and what it means: a function that emits WebAssembly through an {@link Emitter}. Where
 * the operands come from is the emitter's business: the interpreter reads them at run time from register
 * numbers in the word, a translator knows them when it emits.
 */
import type { Expr } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function-builder.ts";
import type { LoadOp, RmwOp, StoreOp } from "./wasm/opcodes.ts";

export type Extension = "I" | "M" | "A" | "F" | "D" | "C" | "Zicsr" | "Zifencei";

/** How the immediate lies in the word. Unprivileged specification, 2.3. */
export type ImmediateKind = "none" | "I" | "S" | "B" | "U" | "J" | "shamt6" | "shamt5" | "csr";

/** Operands as assembly language spells them, in its order. */
export type Operand =
  | "rd"
  | "rs1"
  | "rs2"
  | "fd"
  | "fs1"
  | "fs2"
  | "fs3"
  /** Signed decimal immediate. */
  | "imm"
  /** Immediate and base: `8(sp)`. */
  | "mem"
  /** Base alone: `(a0)`. */
  | "base"
  | "shamt"
  /** The 20 bits of lui and auipc. */
  | "upper"
  /** A pc-relative target, spelled as an absolute address. */
  | "target"
  | "csr"
  /** The 5-bit immediate of csrrwi and its like. */
  | "zimm"
  | "pred"
  | "succ"
  | "rm";

export interface Format {
  readonly immediate: ImmediateKind;
  readonly operands: readonly Operand[];
  /** Bits 14..12 are a rounding mode; said of any format with an operand `rm`. */
  readonly rounds?: true;
}

/** Which floating-point source of an instruction: rs1, rs2 or rs3. */
export type FloatSource = 1 | 2 | 3;

/** Names of the operand formats of the 32-bit instructions. */
type FormatName =
  | "none"
  | "r"
  | "i"
  | "load"
  | "store"
  | "branch"
  | "upper"
  | "jal"
  | "jalr"
  | "shift6"
  | "shift5"
  | "fence"
  | "csr"
  | "csrImmediate"
  | "amo"
  | "lr"
  | "floatLoad"
  | "floatStore"
  | "float2"
  | "float2Rounded"
  | "float3Rounded"
  | "float1Rounded"
  | "floatCompare"
  | "floatToInteger"
  | "floatToIntegerRounded"
  | "integerToFloat"
  | "integerToFloatRounded"
  | "integerToFloatExact"
  | "float1Exact";

/** Operand formats of the 32-bit instructions. */
export const FORMAT: Readonly<Record<FormatName, Format>> = {
  none: { immediate: "none", operands: [] },
  r: { immediate: "none", operands: ["rd", "rs1", "rs2"] },
  i: { immediate: "I", operands: ["rd", "rs1", "imm"] },
  load: { immediate: "I", operands: ["rd", "mem"] },
  store: { immediate: "S", operands: ["rs2", "mem"] },
  branch: { immediate: "B", operands: ["rs1", "rs2", "target"] },
  upper: { immediate: "U", operands: ["rd", "upper"] },
  jal: { immediate: "J", operands: ["rd", "target"] },
  jalr: { immediate: "I", operands: ["rd", "mem"] },
  shift6: { immediate: "shamt6", operands: ["rd", "rs1", "shamt"] },
  shift5: { immediate: "shamt5", operands: ["rd", "rs1", "shamt"] },
  fence: { immediate: "none", operands: ["pred", "succ"] },
  csr: { immediate: "csr", operands: ["rd", "csr", "rs1"] },
  csrImmediate: { immediate: "csr", operands: ["rd", "csr", "zimm"] },
  amo: { immediate: "none", operands: ["rd", "rs2", "base"] },
  lr: { immediate: "none", operands: ["rd", "base"] },
  floatLoad: { immediate: "I", operands: ["fd", "mem"] },
  floatStore: { immediate: "S", operands: ["fs2", "mem"] },
  float2: { immediate: "none", operands: ["fd", "fs1", "fs2"] },
  float2Rounded: { immediate: "none", operands: ["fd", "fs1", "fs2", "rm"] },
  float3Rounded: { immediate: "none", operands: ["fd", "fs1", "fs2", "fs3", "rm"] },
  float1Rounded: { immediate: "none", operands: ["fd", "fs1", "rm"] },
  floatCompare: { immediate: "none", operands: ["rd", "fs1", "fs2"] },
  floatToInteger: { immediate: "none", operands: ["rd", "fs1"] },
  floatToIntegerRounded: { immediate: "none", operands: ["rd", "fs1", "rm"] },
  integerToFloat: { immediate: "none", operands: ["fd", "rs1"] },
  integerToFloatRounded: { immediate: "none", operands: ["fd", "rs1", "rm"] },
  // Exact conversions have a rounding mode that must be valid and that nobody spells.
  integerToFloatExact: { immediate: "none", operands: ["fd", "rs1"], rounds: true },
  float1Exact: { immediate: "none", operands: ["fd", "fs1"], rounds: true },
};

/** WebAssembly functions that the semantics call; their definitions are in helpers.ts and softfloat*.ts. */
export type HelperName = IntegerHelper | `${"f32" | "f64"}_${FloatHelper}` | "f32_from_f64" | "f64_from_f32";
/** (a, b: i64) → i64: the upper half of a product. */
type IntegerHelper = "mulh" | "mulhu" | "mulhsu";
type FloatHelper =
  /** (regs, rm, a, b) → float. */
  | "add"
  | "sub"
  | "mul"
  | "div"
  /** (regs, rm, a) → float. */
  | "sqrt"
  /** (regs, rm, a, b, c) → float: a × b + c, rounded once. */
  | "fma"
  /** (regs, a, b) → float. */
  | "min"
  | "max"
  /** (regs, a, b) → i32. */
  | "eq"
  | "lt"
  | "le"
  /** (a) → i32. */
  | "class"
  /** (regs, rm, a) → i64, a 32-bit result sign-extended. */
  | "to_w"
  | "to_wu"
  | "to_l"
  | "to_lu"
  /** (regs, rm, x: i64) → float. */
  | "from_l"
  | "from_lu";

/** How a CSR instruction combines its operand with the old value. */
export const CSR_OPERATION = { write: 0, set: 1, clear: 2 } as const;
export type CsrOperation = keyof typeof CSR_OPERATION;

/**
 * What semantics are written in. Methods that return an expression may emit statements first (an access is
 * checked at once); registers are read when the expression is written, so set a register last.
 */
export interface Emitter {
  /** For locals and statements. */
  readonly f: FunctionBuilder;
  /** The register file, an i32 address. */
  regs(): Expr;
  /** Integer sources and destination: i64. */
  rs1(): Expr;
  rs2(): Expr;
  setRd(value: Expr): void;
  /** The immediate of the row's format, i64. */
  imm(): Expr;
  /** Address of this instruction and of the next one, i64. */
  pc(): Expr;
  next(): Expr;
  /** Floating-point sources and destination: 64 bits as i64, without looking at NaN boxes. */
  fs1(): Expr;
  fs2(): Expr;
  fs3(): Expr;
  setFd(value: Expr): void;
  /** A source as a single, i32: what is not boxed is the canonical NaN. The destination gets one, boxed. */
  single(source: FloatSource): Expr;
  setSingle(value: Expr): void;
  /** The rounding mode, i32, 0 to 4. Leaves as illegal instruction if frm is needed and reserved. */
  roundingMode(): Expr;
  helper(name: HelperName, ...args: Expr[]): Expr;
  /** Reads at virtual address `address`. */
  load(op: LoadOp, address: Expr): Expr;
  store(op: StoreOp, address: Expr, value: Expr): void;
  /** lr.w (log2 2) and lr.d (log2 3): reserves, gives the value. */
  loadReserved(log2: 2 | 3, address: Expr): Expr;
  /** Gives i64 0 if `value` was stored, else 1. */
  storeConditional(log2: 2 | 3, address: Expr, value: Expr): Expr;
  /** The physical address, i32, of an aligned word that may be written. */
  atomicAddress(log2: 2 | 3, address: Expr): Expr;
  /** An atomic operation at {@link atomicAddress}'s result. */
  rmw(op: RmwOp, address: Expr, ...operands: Expr[]): Expr;
  /** Goes to pc + imm if `condition` (i32) is not 0. */
  branch(condition: Expr): void;
  /** Goes to `target`, i64. */
  jump(target: Expr): void;
  /** rd = old value; the register = `operand` combined with it. */
  csr(operation: CsrOperation, operand: "rs1" | "zimm"): void;
  fence(): void;
  fenceI(): void;
  ecall(): void;
  ebreak(): void;
}

/** One 32-bit instruction. */
export interface Instruction {
  readonly name: string;
  readonly extension: Extension;
  /** `word & mask === match` says that a word is this instruction (both unsigned). */
  readonly mask: number;
  readonly match: number;
  readonly format: Format;
  /** Bits 14..12 are a rounding mode, of which 5 and 6 are reserved. */
  readonly rounds: boolean;
  /** Emits the meaning. */
  readonly emit: (e: Emitter) => void;
}

/** Operands of a compressed instruction as assembly language spells them. */
export type CompressedOperand =
  | "rd"
  | "rd'"
  | "rs1'"
  | "rs2"
  | "rs2'"
  | "fd"
  | "fd'"
  | "fs2"
  | "fs2'"
  | "rs1"
  | "sp"
  | "imm"
  | "shamt"
  | "upper"
  | "target"
  | "mem"
  | "spmem";

/** One 16-bit instruction: what it expands to says everything else. */
export interface CompressedInstruction {
  readonly name: string;
  /** The name that disassembly gives it, if it is another one. */
  readonly spelling?: string;
  readonly extension: "C";
  readonly mask: number;
  readonly match: number;
  readonly operands: readonly CompressedOperand[];
  /** The 32-bit instruction that `half` stands for, or 0 if this encoding is reserved. */
  readonly expand: (half: number) => number;
}

/** Opcodes: bits 6..0. Unprivileged specification, table 70. */
export const OPCODE = {
  load: 0x03,
  loadFp: 0x07,
  miscMem: 0x0f,
  opImm: 0x13,
  auipc: 0x17,
  opImm32: 0x1b,
  store: 0x23,
  storeFp: 0x27,
  amo: 0x2f,
  op: 0x33,
  lui: 0x37,
  op32: 0x3b,
  madd: 0x43,
  msub: 0x47,
  nmsub: 0x4b,
  nmadd: 0x4f,
  opFp: 0x53,
  branch: 0x63,
  jalr: 0x67,
  jal: 0x6f,
  system: 0x73,
} as const;

/** Fields that a row fixes, beside the opcode. */
export interface Fields {
  readonly funct3?: number;
  readonly funct7?: number;
  /** Bits 31..26, of shifts by a 6-bit amount. */
  readonly funct6?: number;
  /** Bits 31..27, of the A extension, whose bits 26..25 are aq and rl. */
  readonly funct5?: number;
  readonly rs2?: number;
  readonly rs1?: number;
  readonly rd?: number;
  /** Bits 26..25: the format of a fused multiply-add. */
  readonly fmt?: number;
}

/** Mask and match of a word with these fields. */
export function encoding(opcode: number, fields: Fields): { mask: number; match: number } {
  let mask = 0x7f;
  let match = opcode;
  const put = (value: number | undefined, at: number, bits: number): void => {
    if (value === undefined) return;
    mask |= ((1 << bits) - 1) << at;
    match |= value << at;
  };
  put(fields.rd, 7, 5);
  put(fields.funct3, 12, 3);
  put(fields.rs1, 15, 5);
  put(fields.rs2, 20, 5);
  put(fields.fmt, 25, 2);
  put(fields.funct7, 25, 7);
  put(fields.funct6, 26, 6);
  put(fields.funct5, 27, 5);
  return { mask: mask >>> 0, match: match >>> 0 };
}

/** A row. */
export function row(
  name: string,
  extension: Extension,
  opcode: number,
  fields: Fields,
  format: Format,
  emit: (e: Emitter) => void,
): Instruction {
  return {
    name,
    extension,
    ...encoding(opcode, fields),
    format,
    rounds: format.rounds === true || format.operands.includes("rm"),
    emit,
  };
}
