/** Every instruction against qemu's answers, and disassembly against binutils' (tools/riscv-golden.ts). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { COMPRESSED_INSTRUCTIONS, INSTRUCTIONS } from "./isa-table.ts";
import { disassemblySamples } from "./testing/disassembly-samples.ts";
import { digest, GOLDEN_URL, type Golden, sectionDigests } from "./testing/golden.ts";
import { runHere } from "./testing/program.ts";
import type { Tiers } from "./testing/test-machine.ts";
import { buildSuites } from "./testing/suites.ts";

const golden = JSON.parse(readFileSync(GOLDEN_URL, "utf8")) as Golden;
const suites = buildSuites(golden.seed);

const tiers: readonly Tiers[] = ["tier 0", "regions", "eager regions"];

for (const [{ name, program }, tier] of suites.flatMap((suite) =>
  tiers.map((each) => [suite, each] as const),
)) {
  test(`${name}, ${tier}: as ${golden.qemu}`, () => {
    const actual = sectionDigests(program, runHere(program, tier));
    const expected = golden.suites[name] ?? {};
    assert.deepEqual(Object.keys(actual), Object.keys(expected), "the golden file has these sections");
    const wrong = Object.keys(actual).filter((section) => actual[section] !== expected[section]);
    assert.deepEqual(wrong, [], "sections that differ; see tools/riscv-golden.ts --show");
    console.log(`${name}: ${Object.keys(actual).length} sections, ${program.outputBytes} bytes compared`);
  });
}

test("every row is compared with qemu", () => {
  const covered = new Set(suites.flatMap(({ covers }) => [...covers]));
  const rows = [...INSTRUCTIONS, ...COMPRESSED_INSTRUCTIONS].map(({ name }) => name);
  const missing = rows.filter((name) => !covered.has(name));
  // ebreak leaves the interpreter, so tier0.test.ts has it.
  assert.deepEqual(missing, ["ebreak", "c.ebreak"]);
  console.log(`${rows.length - missing.length} of ${rows.length} rows are compared with qemu`);
});

test(`disassembly: as ${golden.objdump}`, () => {
  const texts = new Map<string, string>();
  for (const { name, spelling } of disassemblySamples()) {
    texts.set(name, `${texts.get(name) ?? ""}${spelling}\n`);
  }
  const wrong = [...texts].filter(
    ([name, text]) => golden.disassembly[name] !== digest(new TextEncoder().encode(text)),
  );
  assert.deepEqual(
    wrong.map(([name]) => name),
    [],
  );
  assert.equal(texts.size, INSTRUCTIONS.length + COMPRESSED_INSTRUCTIONS.length);
});
