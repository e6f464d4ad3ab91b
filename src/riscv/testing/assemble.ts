/** Instruction words from the table's rows: the assembler that tests build their programs with. */
import { assert, defined } from "../../base/assert.ts";
import type { ImmediateKind, Instruction } from "../isa.ts";
import { INSTRUCTIONS } from "../isa-table.ts";

const BY_NAME = new Map(INSTRUCTIONS.map((row) => [row.name, row]));

/** The row called `name`. */
export function rowNamed(name: string): Instruction {
  return defined(BY_NAME.get(name), `instruction ${name}`);
}

/** Operands by field; a float register goes into the field of the integer one. */
export interface Operands {
  readonly rd?: number;
  readonly rs1?: number;
  readonly rs2?: number;
  readonly rs3?: number;
  readonly imm?: number;
  readonly rm?: number;
}

/** The bits of immediate `value`. */
function immediateBits(kind: ImmediateKind, value: number): number {
  switch (kind) {
    case "none":
      return 0;
    case "I":
    case "csr":
      return (value & 0xfff) << 20;
    case "S":
      return ((value & 0xfe0) << 20) | ((value & 31) << 7);
    case "B":
      return (
        ((value & 0x1000) << 19) | ((value & 0x7e0) << 20) | ((value & 0x1e) << 7) | ((value & 0x800) >>> 4)
      );
    case "U":
      return value & ~0xfff;
    case "J":
      return (
        ((value & 0x100000) << 11) | (value & 0xff000) | ((value & 0x800) << 9) | ((value & 0x7fe) << 20)
      );
    case "shamt6":
      return (value & 63) << 20;
    case "shamt5":
      return (value & 31) << 20;
  }
}

/** The word of `row` with `operands`; fields that the row fixes stay. */
export function assembleRow(row: Instruction, operands: Operands): number {
  const { rd = 0, rs1 = 0, rs2 = 0, rs3 = 0, imm = 0, rm = 0 } = operands;
  const free =
    (rd << 7) |
    (rs1 << 15) |
    (rs2 << 20) |
    (rs3 << 27) |
    (row.rounds ? rm << 12 : 0) |
    immediateBits(row.format.immediate, imm);
  assert((((free & row.mask) >>> 0) & ~row.match) === 0, `operands of ${row.name} fit its free fields`);
  return (row.match | free) >>> 0;
}

export function assemble(name: string, operands: Operands = {}): number {
  return assembleRow(rowNamed(name), operands);
}
