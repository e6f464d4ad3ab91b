/**
 * Groups of memory accesses: those in one block that go through the same value of one register, near to each
 * other. One check covers a group (region-emitter.ts); where it fails, each access is made on its own.
 *
 * How a group is checked:
 *   walk    by the page table. A single access is no group: it walks and accesses at once.
 *   leaf    in a loop, by the page table too, but two locals hold the leaf table that was found last through
 *           the register, and of which 16 MiB it is: a chain of pointers waits for one table, not for two.
 *   cached  in a loop, through a register that goes up and down in it or stays: two locals of the region
 *           hold the page that was found last, and its entry. So are single accesses.
 *   kept    through sp, and through such a register in a loop that goes by the root's dispatch: the hart
 *           block holds the page and the entry (hart-abi.ts). So are single accesses. Locals would be moved
 *           about at each dispatch.
 *
 * Cached pages are right because a hart that runs a region passes no safepoint: the locals are cleared where
 * a loop begins, and behind every call; the hart block's are cleared whenever the kernel may have been called.
 */
import { immediate, rs1 } from "./decode.ts";
import type { Instruction } from "./isa.ts";
import type { Step } from "./region-graph.ts";

export interface Group {
  readonly first: Step;
  readonly register: number;
  /** Through a register through which the loop writes too, `kept` ones use the slot for writes. */
  slot: "read" | "write";
  check: "walk" | "leaf" | "cached" | "kept";
  /** First and last byte, from the base register's value. */
  low: number;
  high: number;
  /** Bits that alignment wants to be 0 at `low`. */
  mask: number;
  writes: boolean;
  members: number;
  /** Index of the local that holds the physical address of `low`, or 0. */
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

/** Whether it is a load or a store, and no atomic. */
export const isAccess = (row: Instruction): boolean => sizeOf(row) > 0;

/** Widest group: it has to lie on one page, and the wider it is the more often it does not. */
const SPAN_MAX = 512;

const SP = 2;

function checkOf(base: number, loop: Loop | undefined): Group["check"] {
  if (base === SP) return "kept";
  if (loop === undefined) return "walk";
  const isSteady = ((loop.steady >>> base) & 1) !== 0;
  if (loop.isRoot) return isSteady ? "kept" : "walk";
  return isSteady ? "cached" : "leaf";
}

/** Single accesses that go by the page table check and access at once. */
const isWorthIt = ({ members, check }: Group): boolean =>
  members > 1 || check === "cached" || check === "kept";

/** The loop that steps are in: the registers whose page is worth keeping, and whether it goes by the root. */
export interface Loop {
  readonly steady: number;
  /** Registers through which it stores. */
  readonly written: number;
  readonly isRoot: boolean;
}

/** The group of each step, undefined where there is none. */
export function groupAccesses(steps: readonly Step[], loop: Loop | undefined): (Group | undefined)[] {
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
          group = {
            first: step,
            register: base,
            check: checkOf(base, loop),
            slot: "write",
            low: at,
            high: at,
            mask: 0,
            writes: false,
            members: 0,
            local: 0,
          };
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
  for (const group of groups) {
    if (group === undefined) continue;
    group.low &= ~group.mask;
    const isWritten = group.register === SP || (((loop?.written ?? 0) >>> group.register) & 1) !== 0;
    group.slot = isWritten ? "write" : "read";
  }
  return groups.map((group) => (group !== undefined && isWorthIt(group) ? group : undefined));
}
