/** Regions that outlive their machine: their records, and a machine that begins with those of another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EXIT } from "../base/hart-abi.ts";
import { seededRandom } from "../base/random.ts";
import { decodeRegions, encodeRegion, type KeptRegion, KeptRegions } from "./kept-regions.ts";
import { assemble } from "./testing/assemble.ts";
import { TestMachine } from "./testing/test-machine.ts";

const CODE = 0x10_000;
const A0 = 10;
const A1 = 11;
const li = (rd: number, imm: number): number => assemble("addi", { rd, imm });

/** a0 = the sum of 1 to `count`, by a loop whose step is `step`. */
const sum = (count: number, step = 1): number[] => [
  li(A0, 0),
  li(A1, count),
  assemble("add", { rd: A0, rs1: A0, rs2: A1 }),
  assemble("addi", { rd: A1, rs1: A1, imm: -step }),
  assemble("bne", { rs1: A1, imm: -8 }),
  assemble("ebreak"),
];

/** Runs `words` in a machine that has `kept`, at another place of its memory each time; what it has made anew. */
function run(words: readonly number[], kept: KeptRegions, pages: number) {
  const made: KeptRegion[] = [];
  const keeping = { kept, made: (region: KeptRegion) => void made.push(region) };
  const machine = new TestMachine({}, 32, "eager regions", undefined, keeping);
  for (let i = 0; i < pages; i++) machine.allocate(4096);
  machine.map(CODE, 4096, { read: true, write: true, fetch: true });
  machine.writeCode(CODE, words);
  machine.pc = BigInt(CODE);
  assert.equal(machine.run(), EXIT.BREAKPOINT);
  return { made, sum: Number(machine.x(A0)), counts: machine.translator!.maker!.counts };
}

function keptOf(regions: readonly KeptRegion[]): KeptRegions {
  const kept = new KeptRegions();
  for (const region of regions.flatMap((each) => decodeRegions(encodeRegion(each)))) kept.add(region);
  return kept;
}

test("a machine publishes what another has made, and makes nothing", () => {
  const first = run(sum(100), new KeptRegions(), 0);
  assert.equal(first.sum, 5050);
  assert.ok(first.made.length > 0);
  assert.deepEqual([first.counts.kept, first.counts.regions], [0, first.made.length]);
  const second = run(sum(100), keptOf(first.made), 7);
  assert.equal(second.sum, 5050);
  assert.deepEqual([second.counts.kept, second.counts.regions], [first.made.length, 0]);
});

test("other code at the same address is made anew, and both are kept", () => {
  const one = run(sum(100), new KeptRegions(), 0).made;
  const other = run(sum(100, 2), keptOf(one), 0);
  assert.equal(other.sum, 2550);
  assert.deepEqual([other.counts.kept, other.counts.regions > 0], [0, true]);
  const both = keptOf([...one, ...other.made]);
  assert.deepEqual([run(sum(100), both, 1).counts.regions, run(sum(100, 2), both, 2).counts.regions], [0, 0]);
});

test("of the same code only the newest is kept, beside that of other programs", () => {
  const [region] = run(sum(100), new KeptRegions(), 0).made;
  const [other] = run(sum(100, 2), new KeptRegions(), 0).made;
  assert.ok(region !== undefined && other !== undefined);
  const kept = keptOf([other, ...Array.from({ length: 9 }, () => region)]);
  const half = (words: readonly number[]) => (va: number) => {
    const at = va - CODE;
    return (words[at >> 2]! >>> ((at & 2) * 8)) & 0xffff;
  };
  assert.ok(kept.find(region.pc, half(sum(100))) !== undefined);
  assert.ok(kept.find(other.pc, half(sum(100, 2))) !== undefined);
  assert.equal(kept.find(other.pc, half(sum(50))), undefined);
});

test("records say what the regions were; what is cut off or contradicts itself is left out", () => {
  const regions = run(sum(100), new KeptRegions(), 0).made;
  const high = 2 ** 37;
  const region = {
    ...regions[0]!,
    pc: regions[0]!.pc + high,
    entries: regions[0]!.entries.map((pc) => pc + high),
    spans: regions[0]!.spans.map(({ va, bytes }) => ({ va: va + high, bytes })),
  };
  const record = encodeRegion(region);
  const plain = ({ module, spans, ...rest }: KeptRegion) => ({
    ...rest,
    module: [...module],
    spans: spans.map(({ va, bytes }) => [va, ...bytes]),
  });
  const twice = Buffer.concat([record, record]);
  assert.deepEqual(decodeRegions(twice).map(plain), [region, region].map(plain));
  assert.equal(decodeRegions(twice.subarray(0, twice.length - 1)).length, 1);
  const random = seededRandom(3);
  for (let round = 0; round < 2000; round++) {
    const damaged = Uint8Array.from(twice);
    // Heads and lists, where a wrong length could lead anywhere.
    damaged[random.below(28 + region.spans.length * 12)] = random.below(256);
    const size = random.below(damaged.length + 1);
    // What passes is a region like any other.
    for (const passed of decodeRegions(damaged.subarray(0, size)))
      assert.deepEqual(decodeRegions(encodeRegion(passed)).map(plain), [plain(passed)]);
  }
});
