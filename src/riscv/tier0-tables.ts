/**
 * Tier 0's read-only tables, which all harts share. The kernel gives them a place in the guest memory.
 *
 *     +0        narrow table: 65,536 × 8 bytes, by halfword
 *     +524288   wide table: 32,768 bytes, by opcode bits 6..2, funct3 and funct7
 *
 * A narrow entry is a 16-bit instruction decoded:
 *
 *     63          32 31     24 23   16 15    8 7     0
 *    +--------------+---------+-------+-------+-------+
 *    |  immediate   | handler | rs2×8 | rs1×8 |  rd×8 |
 *    +--------------+---------+-------+-------+-------+
 *
 * A wide entry is a handler's number. The wide index does not hold rs2, so that a wide handler may serve
 * several rows (fcvt.w.s and fcvt.wu.s); it then compares masks. Handler 0 is "illegal" in both.
 */
import { assert } from "../base/assert.ts";
import { decode, immediate, rd, rs1, rs2 } from "./decode.ts";
import type { Instruction } from "./isa.ts";
import { COMPRESSED_INSTRUCTIONS, INSTRUCTIONS } from "./isa-table.ts";

const NARROW_ENTRIES = 0x10000;
const WIDE_ENTRIES = 0x8000;
const OPCODES = 32;
export const NARROW_TABLE = 0;
export const WIDE_TABLE: number = NARROW_ENTRIES * 8;
/** The bits of a word that the wide index holds: 6..2, 14..12 and 31..25. */
export const WIDE_INDEX_BITS = 0xfe00707c;

/** Bytes that {@link writeTier0Tables} fills. */
export function tier0TableBytes(): number {
  return WIDE_TABLE + WIDE_ENTRIES;
}

/** A word with the bits of wide index `index`; the inverse of the handlers' index computation. */
function wordOfIndex(index: number): number {
  return (((index & 0x1f) << 2) | ((index & 0xe0) << 7) | ((index & 0x7f00) << 17)) >>> 0;
}

/** Rows that share wide indices, in the order of handler numbers; handler 0, "illegal", has none. */
export interface Handlers {
  readonly wide: ReadonlyArray<readonly Instruction[]>;
  readonly narrow: ReadonlyArray<Instruction | undefined>;
}

interface Tables extends Handlers {
  readonly wideTable: Uint8Array;
  readonly narrowTable: Uint32Array<ArrayBuffer>;
}

/** Tells the rows at a wide index from others by a bit set over the rows of its opcode. */
function buildWide(): { wide: (readonly Instruction[])[]; wideTable: Uint8Array } {
  const wide: (readonly Instruction[])[] = [[]];
  const wideTable = new Uint8Array(WIDE_ENTRIES);
  for (let opcode = 0; opcode < OPCODES; opcode++) {
    const rows = INSTRUCTIONS.filter((row) => ((row.match >>> 2) & 31) === opcode);
    if (rows.length === 0) continue;
    const masks = rows.map((row) => row.mask & WIDE_INDEX_BITS);
    assert(rows.length <= 53, "a set of rows is an integer");
    const numbers = new Map<number, number>([[0, 0]]);
    for (let index = opcode; index < WIDE_ENTRIES; index += OPCODES) {
      const word = wordOfIndex(index);
      const rm = (word >>> 12) & 7;
      let set = 0;
      for (let i = 0; i < rows.length; i++) {
        const row = rows[i] as Instruction;
        if (((word ^ row.match) & (masks[i] as number)) !== 0) continue;
        if (!(row.rounds && (rm === 5 || rm === 6))) set += 2 ** i;
      }
      let number = numbers.get(set);
      if (number === undefined) {
        const members = rows.filter((_, i) => Math.floor(set / 2 ** i) % 2 === 1);
        number = wide.push(members) - 1;
        numbers.set(set, number);
      }
      wideTable[index] = number;
    }
  }
  assert(wide.length <= 256, "a wide handler's number fits a byte");
  return { wide, wideTable };
}

/** Goes row by row: all expansions of a compressed row are one instruction, and rows do not overlap. */
function buildNarrow(): { narrow: (Instruction | undefined)[]; narrowTable: Uint32Array<ArrayBuffer> } {
  const narrow: (Instruction | undefined)[] = [undefined];
  const narrowTable = new Uint32Array(NARROW_ENTRIES * 2);
  for (const { name, mask, match, expand } of COMPRESSED_INSTRUCTIONS) {
    const free = ~mask & 0xffff;
    let row: Instruction | undefined;
    let number = 0;
    // All subsets of the free bits, from none to all.
    for (let bits = 0, last = false; !last; bits = (bits - free) & free) {
      last = bits === free;
      const word = expand(match | bits);
      if (word === 0) continue;
      if (row === undefined) {
        row = decode(word);
        assert(row !== undefined, `${name} expands to an instruction`);
        number = narrow.indexOf(row);
        if (number < 0) number = narrow.push(row) - 1;
      }
      const at = (match | bits) * 2;
      narrowTable[at] = (number << 24) | (rs2(word) << 19) | (rs1(word) << 11) | (rd(word) << 3);
      narrowTable[at + 1] = immediate(row.format.immediate, word);
    }
  }
  return { narrow, narrowTable };
}

let cached: Tables | undefined;
function tables(): Tables {
  cached ??= { ...buildWide(), ...buildNarrow() };
  return cached;
}

/** Which rows each handler number means. */
export function tier0Handlers(): Handlers {
  return tables();
}

/** Fills `bytes`, which has {@link tier0TableBytes} bytes and may be shared memory. */
export function writeTier0Tables(bytes: Uint8Array): void {
  assert(bytes.length === tier0TableBytes(), "size of the tables");
  const { narrowTable, wideTable } = tables();
  bytes.set(new Uint8Array(narrowTable.buffer), NARROW_TABLE);
  bytes.set(wideTable, WIDE_TABLE);
}
