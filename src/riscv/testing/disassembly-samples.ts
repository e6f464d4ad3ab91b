/** Words whose disassembly is compared with binutils': each row with several random operands. */
import { type Random, seededRandom } from "../../base/random.ts";
import { decode, decodeCompressed } from "../decode.ts";
import { disassemble } from "../disassemble.ts";
import type { Instruction } from "../isa.ts";
import { COMPRESSED_INSTRUCTIONS, INSTRUCTIONS } from "../isa-table.ts";

const SAMPLES = 24;
const SEED = 42;

export interface DisassemblySample {
  /** The row's name. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** What disassemble() says. */
  readonly spelling: string;
}

const CSRS: readonly number[] = [0x001, 0x002, 0x003, 0xc00, 0xc01, 0xc02];

/** Bits that keep the row's own value, because binutils knows only that one. */
function fixedBits(row: Instruction): number {
  if (row.name === "fence") return 0xf00fff80;
  if (row.name === "fence.i") return 0xffffff80;
  if (row.extension === "Zicsr") return 0xfff00000;
  return row.format.rounds === true ? 0x7000 : 0;
}

function draw(random: Random, mask: number, match: number, accepts: (word: number) => boolean): number {
  for (;;) {
    const word = (match | (random.u32() & ~mask)) >>> 0;
    if (accepts(word)) return word;
  }
}

export function disassemblySamples(): DisassemblySample[] {
  const random = seededRandom(SEED);
  const samples: DisassemblySample[] = [];
  let at = 0;
  const put = (name: string, word: number, size: 2 | 4): void => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, word, true);
    samples.push({ name, bytes: bytes.subarray(0, size), spelling: disassemble(word, at) });
    at += size;
  };
  for (const row of INSTRUCTIONS) {
    for (let i = 0; i < SAMPLES; i++) {
      const csr = (CSRS[random.below(CSRS.length)] ?? 0) << 20;
      const match = (row.match | (row.extension === "Zicsr" ? csr : 0)) >>> 0;
      const word = draw(random, (row.mask | fixedBits(row)) >>> 0, match, (word) => decode(word) === row);
      put(row.name, word, 4);
    }
  }
  for (const row of COMPRESSED_INSTRUCTIONS) {
    for (let i = 0; i < SAMPLES; i++) {
      const half = draw(
        random,
        (row.mask | 0xffff0000) >>> 0,
        row.match,
        (word) => decodeCompressed(word)?.row === row,
      );
      put(row.name, half, 2);
    }
  }
  return samples;
}
