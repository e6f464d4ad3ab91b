/** Decoding: which row a word belongs to, and its fields. */
import type { CompressedInstruction, ImmediateKind, Instruction } from "./isa.ts";
import { COMPRESSED_INSTRUCTIONS, INSTRUCTIONS } from "./isa-table.ts";

/** Rows by opcode, bits 6..2. */
const BY_OPCODE: readonly (readonly Instruction[])[] = Array.from({ length: 32 }, (_, opcode) =>
  INSTRUCTIONS.filter((row) => ((row.match >>> 2) & 31) === opcode),
);
/** Rows by quadrant and funct3: bits 1..0 and 15..13. */
const BY_QUADRANT: readonly (readonly CompressedInstruction[])[] = Array.from({ length: 32 }, (_, key) =>
  COMPRESSED_INSTRUCTIONS.filter((row) => (row.match & 3) === (key & 3) && row.match >>> 13 === key >> 2),
);

/** Bits in the instruction that starts with `half`: 16 or 32. */
export function isCompressed(half: number): boolean {
  return (half & 3) !== 3;
}

/** The row of a 32-bit instruction, or undefined if it is illegal. */
export function decode(word: number): Instruction | undefined {
  for (const row of BY_OPCODE[(word >>> 2) & 31] ?? []) {
    if ((word & row.mask) >>> 0 !== row.match) continue;
    const rm = (word >>> 12) & 7;
    return row.rounds && (rm === 5 || rm === 6) ? undefined : row;
  }
  return undefined;
}

/** The row of a 16-bit instruction and its expansion, or undefined if it is illegal. */
export function decodeCompressed(
  half: number,
): { readonly row: CompressedInstruction; readonly word: number } | undefined {
  for (const row of BY_QUADRANT[(half & 3) | ((half >>> 13) << 2)] ?? []) {
    if ((half & row.mask) !== row.match) continue;
    const word = row.expand(half);
    if (word !== 0) return { row, word };
  }
  return undefined;
}

/** The immediate of `word`, sign-extended to a JavaScript number (at most 32 bits). */
export function immediate(kind: ImmediateKind, word: number): number {
  switch (kind) {
    case "none":
      return 0;
    case "I":
      return word >> 20;
    case "S":
      return ((word >> 20) & ~31) | ((word >>> 7) & 31);
    case "B":
      return (
        ((word >> 19) & ~0xfff) | ((word << 4) & 0x800) | ((word >>> 20) & 0x7e0) | ((word >>> 7) & 0x1e)
      );
    case "U":
      return word & ~0xfff;
    case "J":
      return ((word >> 11) & ~0xfffff) | (word & 0xff000) | ((word >>> 9) & 0x800) | ((word >>> 20) & 0x7fe);
    case "shamt6":
      return (word >>> 20) & 63;
    case "shamt5":
      return (word >>> 20) & 31;
    case "csr":
      return word >>> 20;
  }
}

export const rd = (word: number): number => (word >>> 7) & 31;
export const rs1 = (word: number): number => (word >>> 15) & 31;
export const rs2 = (word: number): number => (word >>> 20) & 31;
export const rs3 = (word: number): number => word >>> 27;
