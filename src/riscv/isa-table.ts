/** The instruction table: every row of RV64GC. */
import type { CompressedInstruction, Instruction } from "./isa.ts";
import { ATOMIC } from "./isa-atomic.ts";
import { COMPRESSED } from "./isa-compressed.ts";
import { FLOAT } from "./isa-float.ts";
import { INTEGER } from "./isa-integer.ts";
import { MULTIPLY } from "./isa-multiply.ts";

/** All 32-bit instructions. No word belongs to two rows. */
export const INSTRUCTIONS: readonly Instruction[] = [...INTEGER, ...MULTIPLY, ...ATOMIC, ...FLOAT];

/** All 16-bit instructions. No halfword has an expansion in two rows. */
export const COMPRESSED_INSTRUCTIONS: readonly CompressedInstruction[] = COMPRESSED;
