import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, decodeCompressed, immediate, rd, rs1, rs2 } from "./decode.ts";
import { COMPRESSED_INSTRUCTIONS, INSTRUCTIONS } from "./isa-table.ts";
import { assembleRow } from "./testing/assemble.ts";
import { tier0Handlers, tier0TableBytes, writeTier0Tables } from "./tier0-tables.ts";

test("no word belongs to two rows", () => {
  for (const [i, a] of INSTRUCTIONS.entries()) {
    assert.equal((a.match & ~a.mask) >>> 0, 0, `${a.name} matches bits of its mask`);
    assert.equal(a.match & 3, 3, `${a.name} is a 32-bit instruction`);
    for (const b of INSTRUCTIONS.slice(i + 1)) {
      assert.notEqual(a.name, b.name);
      const common = a.mask & b.mask;
      assert.notEqual((a.match ^ b.match) & common, 0, `${a.name} and ${b.name} overlap`);
    }
  }
});

test("no halfword has two expansions, and every expansion is an instruction", () => {
  let legal = 0;
  const seen = new Set<string>();
  const expansions = new Map<string, string>();
  for (let half = 0; half < 0x10000; half++) {
    if ((half & 3) === 3) continue;
    const rows = COMPRESSED_INSTRUCTIONS.filter(
      (row) => (half & row.mask) === row.match && row.expand(half) !== 0,
    );
    assert.ok(rows.length <= 1, `0x${half.toString(16)}: ${rows.map((row) => row.name).join()}`);
    const found = decodeCompressed(half);
    assert.equal(found?.row, rows[0]);
    if (found === undefined) continue;
    legal++;
    seen.add(found.row.name);
    const name = decode(found.word)?.name;
    assert.ok(name !== undefined, `${found.row.name} expands to an instruction`);
    // The narrow table's construction relies on this.
    assert.equal(expansions.get(found.row.name) ?? name, name, "to one and the same");
    expansions.set(found.row.name, name);
  }
  assert.equal(seen.size, COMPRESSED_INSTRUCTIONS.length);
  assert.equal(decodeCompressed(0), undefined, "the all-zero halfword is illegal");
  console.log(`${legal} of 49152 halfwords are instructions`);
});

test("immediates survive encoding and decoding", () => {
  const ranges = { I: 2048, S: 2048, B: 4096, J: 1 << 20, U: 2 ** 31, none: 0, shamt5: 0, shamt6: 0, csr: 0 };
  for (const row of INSTRUCTIONS) {
    const range = ranges[row.format.immediate];
    const step = { B: 2, J: 2, U: 4096 }[row.format.immediate as string] ?? 1;
    for (const value of [-range, -step, 0, step, range - step]) {
      if (range === 0) continue;
      const word = assembleRow(row, { imm: value });
      assert.equal(immediate(row.format.immediate, word), value | 0, `${row.name} ${value}`);
      assert.equal(decode(word), row);
    }
  }
});

test("reserved rounding modes are illegal", () => {
  for (const row of INSTRUCTIONS.filter((candidate) => candidate.rounds)) {
    for (const rm of [5, 6]) assert.equal(decode(assembleRow(row, { rm })), undefined, row.name);
  }
});

test("the tables give every halfword the operands of its expansion", () => {
  const bytes = new Uint8Array(tier0TableBytes());
  writeTier0Tables(bytes);
  const view = new DataView(bytes.buffer);
  const { narrow } = tier0Handlers();
  for (let half = 0; half < 0x10000; half++) {
    const fields = view.getUint32(half * 8, true);
    const found = (half & 3) === 3 ? undefined : decodeCompressed(half);
    assert.equal(narrow[fields >>> 24]?.name, found && decode(found.word)?.name);
    if (found === undefined) continue;
    const registers = (rd(found.word) | (rs1(found.word) << 8) | (rs2(found.word) << 16)) << 3;
    assert.equal(fields & 0xffffff, registers);
  }
});

test("every row has a handler", () => {
  const { wide, narrow } = tier0Handlers();
  const served = new Set(wide.flat());
  for (const row of INSTRUCTIONS) assert.ok(served.has(row), row.name);
  console.log(`${INSTRUCTIONS.length} rows, ${wide.length} wide and ${narrow.length} narrow handlers`);
});
