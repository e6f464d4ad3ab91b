/**
 * Groups of memory accesses: those in one block that go through the same value of one register, near to each
 * other. One check covers a group (region-emitter.ts); where it fails, each access is made on its own.
 *
 * How a group is checked:
 *   walk   by the page table. A single access is no group: it walks and accesses at once.
 *   run    in a loop and through sp: by a run of pages that the hart block keeps (hart-abi.ts). So are single
 *          accesses. The slot is the loop's and the register's.
 *
 * A run that is kept is right because a hart that runs a region passes no safepoint, and the kernel makes the runs
 * void when it has taken something away meanwhile (kernel/memory/safepoint.ts, noteTaken).
 */
import { immediate, rs1 } from "./decode.ts";
import type { Instruction } from "./isa.ts";
import type { Step } from "./region-graph.ts";

export interface Group {
  readonly first: Step;
  readonly register: number;
  /** Which half of the slots: a run that may be written serves reads through sp too. */
  slot: "read" | "write";
  check: "walk" | "run";
  /** First and last byte, from the base register's value. */
  low: number;
  high: number;
  writes: boolean;
  members: number;
  /** Index of the local that holds the physical address of `low`, or 0. */
  local: number;
  /** Which of the hart block's slots, of those for its kind. */
  readonly place: number;
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

/** Single accesses that go by the page table check and access at once. */
const isWorthIt = ({ members, check }: Group): boolean => members > 1 || check === "run";

export const SP = 2;

/**
 * The group of each step, undefined where there is none. `placeOf`: the slots for what a step accesses through a
 * register, or −1 if it goes by the page table.
 */
export function groupAccesses(
  steps: readonly Step[],
  placeOf: (step: Step, register: number) => number,
): (Group | undefined)[] {
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
          const place = placeOf(step, base);
          group = {
            first: step,
            register: base,
            check: place < 0 ? "walk" : "run",
            slot: "write",
            low: at,
            high: at,
            writes: false,
            members: 0,
            local: 0,
            place,
          };
          open[base] = group;
        }
        group.low = Math.min(group.low, at);
        group.high = Math.max(group.high, at + size - 1);
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
    group.slot = group.writes || group.register === SP ? "write" : "read";
  }
  return groups.map((group) => (group !== undefined && isWorthIt(group) ? group : undefined));
}
