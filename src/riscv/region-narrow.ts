/**
 * Narrow registers: those that, from some instruction of a block on, hold 32-bit results, sign-extended as the
 * architecture has it. Within the block such a register is an i32 local, which 32-bit instructions read and
 * write without extending anything; it is extended where the block ends, where something reads all its bits,
 * and where the region leaves. RISC-V has no 32-bit registers, so code full of `addw` and `slliw` would extend
 * each result, though only the next such instruction reads it.
 *
 * Invariant: a register that becomes narrow stays so until the block ends; so what a larger stub of the block
 * extends, a smaller one need not know (region-function.ts).
 */
import { immediate, rs1, rs2 } from "./decode.ts";
import type { Instruction } from "./isa.ts";
import { isAccess } from "./region-accesses.ts";
import type { Step } from "./region-graph.ts";

const RESULTS = new Set(
  (
    "addw subw addiw slliw srliw sraiw sllw srlw sraw mulw divw divuw remw remuw " +
    "lb lbu lh lhu lw lui slt slti sltu sltiu"
  ).split(" "),
);
const LOGIC = new Set(["and", "or", "xor"]);
const LOGIC_IMMEDIATE = new Set(["andi", "ori", "xori"]);

/** Results that have to be extended once fewer, before the extension at the block's end pays. */
const GAIN_MIN = 4;

/** Whether the step is a logic instruction, which is done in 32 bits if its operands are narrow. */
export function isLogic({ name }: Instruction): boolean {
  return LOGIC.has(name) || LOGIC_IMMEDIATE.has(name);
}

/** Whether the result is a sign-extended 32-bit number, if the registers `narrow` hold such. */
function isNarrow({ row, word }: Step, narrow: number): boolean {
  const { name } = row;
  const holds = (register: number): boolean => register === 0 || ((narrow >>> register) & 1) !== 0;
  if (RESULTS.has(name)) return true;
  if (LOGIC.has(name)) return holds(rs1(word)) && holds(rs2(word));
  if (LOGIC_IMMEDIATE.has(name)) return holds(rs1(word));
  if (name !== "addi") return false;
  return rs1(word) === 0 || (holds(rs1(word)) && immediate(row.format.immediate, word) === 0);
}

/**
 * The narrow registers before each of `steps`, and after the last one; undefined if it does not pay to have any.
 * `initial`: those that are narrow already; any of them that is not so before the first step is to be extended.
 */
export function findNarrow(steps: readonly Step[], initial: number): readonly number[] | undefined {
  let eligible = -1;
  for (const { row, word } of steps) {
    if (isAccess(row) || row.format.operands.includes("base")) eligible &= ~(1 << rs1(word));
  }
  for (;;) {
    let narrow = initial & eligible;
    let results = 0;
    let refused = 0;
    const before = [narrow];
    for (const step of steps) {
      const { x } = step.defines;
      if (x !== 0) {
        if (!isNarrow(step, narrow)) refused |= x & eligible;
        else if ((x & eligible) !== 0) {
          narrow |= x;
          results++;
        }
      }
      before.push(narrow);
    }
    if (refused === 0) return initial !== 0 || results - countOf(narrow) >= GAIN_MIN ? before : undefined;
    eligible &= ~refused;
  }
}

function countOf(set: number): number {
  let count = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) count++;
  return count;
}
