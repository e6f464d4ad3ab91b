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
import { decodeCompressed, decode, immediate, rd, rs1, rs2 } from "./decode.ts";
import type { Instruction } from "./isa.ts";
import { INSTRUCTIONS } from "./isa-table.ts";

const NARROW_ENTRIES = 0x10000;
const WIDE_ENTRIES = 0x8000;
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
  readonly narrowTable: BigUint64Array;
}

function buildWide(): { wide: (readonly Instruction[])[]; wideTable: Uint8Array } {
  const byOpcode = Array.from({ length: 32 }, (_, opcode) =>
    INSTRUCTIONS.filter((row) => ((row.match >>> 2) & 31) === opcode),
  );
  const wide: (readonly Instruction[])[] = [[]];
  const numbers = new Map<string, number>([["", 0]]);
  const wideTable = new Uint8Array(WIDE_ENTRIES);
  for (let index = 0; index < WIDE_ENTRIES; index++) {
    const word = wordOfIndex(index);
    const rm = (word >>> 12) & 7;
    const rows = (byOpcode[index & 31] ?? []).filter(
      (row) =>
        ((word ^ row.match) & row.mask & WIDE_INDEX_BITS) === 0 && !(row.rounds && (rm === 5 || rm === 6)),
    );
    const key = rows.map((row) => row.name).join();
    let number = numbers.get(key);
    if (number === undefined) {
      number = wide.push(rows) - 1;
      numbers.set(key, number);
    }
    wideTable[index] = number;
  }
  assert(wide.length <= 256, "a wide handler's number fits a byte");
  return { wide, wideTable };
}

function buildNarrow(): { narrow: (Instruction | undefined)[]; narrowTable: BigUint64Array } {
  const narrow: (Instruction | undefined)[] = [undefined];
  const numbers = new Map<Instruction, number>();
  const narrowTable = new BigUint64Array(NARROW_ENTRIES);
  const halves = new Uint32Array(narrowTable.buffer);
  for (let half = 0; half < NARROW_ENTRIES; half++) {
    if ((half & 3) === 3) continue;
    const found = decodeCompressed(half);
    if (found === undefined) continue;
    const row = decode(found.word);
    assert(row !== undefined, `${found.row.name} expands to an instruction`);
    let number = numbers.get(row);
    if (number === undefined) {
      number = narrow.push(row) - 1;
      numbers.set(row, number);
    }
    const word = found.word;
    halves[half * 2] = (number << 24) | (rs2(word) << 19) | (rs1(word) << 11) | (rd(word) << 3);
    halves[half * 2 + 1] = immediate(row.format.immediate, word);
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
