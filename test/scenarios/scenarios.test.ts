/** Every scenario in Coppice, against the answers that were recorded under real execution. */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { suite, test } from "node:test";
import { lookUpImage } from "../../src/image/images.ts";
import { compareOutcomes, type Runner, runScenario } from "../../tools/oracle/compare.ts";
import { coppiceRunner, whyNoBoot } from "../../tools/oracle/coppice.ts";
import { groupOf, readGolden, staleness } from "../../tools/oracle/golden.ts";
import { imageOf, type Scenario } from "../../tools/oracle/scenario.ts";
import { whyNoImage } from "../machine/image.ts";
import { scenarios } from "./all.ts";

const groups = [...new Set(scenarios.map(({ name }) => groupOf(name)))];

test("every scenario has a recorded answer, and every answer a scenario", () => {
  const names = scenarios.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, "names are unique");
  const answered = groups.flatMap((group) => Object.keys(readGolden(group)?.answers ?? {}));
  assert.deepEqual(answered.sort(), names.sort());
  const files = readdirSync(path.join(import.meta.dirname, "golden"));
  assert.deepEqual(files.sort(), groups.map((group) => `${group}.json`).sort());
});

test("at least 40 scenarios; at most 10 use a normalisation", () => {
  assert.ok(scenarios.length >= 40);
  const normalised = scenarios.filter(({ normalise }) => (normalise ?? []).length > 0);
  assert.ok(normalised.length <= 10, normalised.map(({ name }) => name).join(", "));
});

const runsSlow = process.env["COPPICE_SLOW_SCENARIOS"] !== undefined;
const images = [...new Set(scenarios.map(imageOf))];

for (const name of images) {
  const own = scenarios.filter((scenario) => imageOf(scenario) === name);

  test(`all answers for ${name} come from one image`, () => {
    const members = new Set(own.map((scenario) => groupOf(scenario.name)));
    const goldens = [...members].map((group) => readGolden(group)?.image);
    assert.equal(new Set(goldens.map((image) => image?.digest)).size, 1);
    assert.deepEqual([...new Set(goldens.map((image) => image?.name))], [name]);
  });

  const reason = await whyNoImage(name);
  const image = await lookUpImage(name);

  test(`the machine boots ${name}`, { skip: reason ?? false }, () => {
    assert.equal(whyNoBoot(name), undefined);
  });

  suite(`scenarios in ${name}`, { skip: reason ?? false, concurrency: 2 }, () => {
    const runner = coppiceRunner(name);
    for (const scenario of own) runOne(scenario, runner, image?.digest ?? "");
  });
}

function runOne(scenario: Scenario, runner: Runner, digest: string): void {
  const skip = scenario.slow !== undefined && !runsSlow ? scenario.slow : false;
  void test(scenario.name, { skip }, async (t) => {
    const golden = readGolden(groupOf(scenario.name));
    assert.ok(golden);
    const want = golden.answers[scenario.name];
    assert.ok(want);
    for (const line of staleness(golden, digest)) t.diagnostic(line);
    const differences = compareOutcomes(await runScenario(scenario, runner), want);
    assert.deepEqual(differences, [], `${scenario.name} differs from real execution`);
  });
}
