/**
 * Groups of memory accesses: those in one block that go through the same value of one register, near to each
 * other. One check covers a group (region-emitter.ts); where it fails, each access is made on its own.
 */
import { immediate, rs1 } from "./decode.ts";
import type { Instruction } from "./isa.ts";
import type { Step } from "./region-graph.ts";

export interface Group {
  readonly first: Step;
  /** First and last byte, from the base register's value. */
  low: number;
  high: number;
  /** Bits that alignment wants to be 0 in the base register. */
  mask: number;
  writes: boolean;
  members: number;
  /** Index of the local that holds the physical base. */
  local: number;
}

/** Bytes that loads and stores touch; 0: not an access that can be grouped. */
const sizes = new Map<Instruction, number>();

function sizeOf(row: Instruction): number {
  let size = sizes.get(row);
  if (size === undefined) {
    const isAccess = row.format.operands.includes("mem") && row.name !== "jalr";
    // Loads and stores have log2 of their size in the lower bits of funct3.
    size = isAccess ? 1 << ((row.match >>> 12) & 3) : 0;
    sizes.set(row, size);
  }
  return size;
}

/** Widest group: it has to lie on one page, and the wider it is the more often it does not. */
const SPAN_MAX = 512;

/** The group of each step, undefined where there is none. */
export function groupAccesses(steps: readonly Step[]): (Group | undefined)[] {
  const groups: (Group | undefined)[] = [];
  const open: (Group | undefined)[] = [];
  for (const step of steps) {
    const size = sizeOf(step.row);
    let group: Group | undefined;
    if (size > 0) {
      const base = rs1(step.word);
      const at = immediate(step.row.format.immediate, step.word);
      if (base !== 0 && at % size === 0) {
        group = open[base];
        if (
          group === undefined ||
          Math.max(group.high, at + size - 1) - Math.min(group.low, at) >= SPAN_MAX
        ) {
          group = { first: step, low: at, high: at, mask: 0, writes: false, members: 0, local: 0 };
          open[base] = group;
        }
        group.low = Math.min(group.low, at);
        group.high = Math.max(group.high, at + size - 1);
        group.mask |= size - 1;
        group.writes ||= step.row.format.immediate === "S";
        group.members++;
      }
    }
    groups.push(group);
    for (let rest = step.defines.x >>> 0, n = 0; rest !== 0; rest >>>= 1, n++)
      if (rest & 1) open[n] = undefined;
  }
  return groups.map((group) => (group !== undefined && group.members > 1 ? group : undefined));
}
