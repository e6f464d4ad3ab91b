/** Every scenario in Coppice, against the answers that were recorded under real execution. */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { suite, test } from "node:test";
import { lookUpImage } from "../../src/image/images.ts";
import { compareOutcomes, runScenario } from "../../tools/oracle/compare.ts";
import { coppiceRunner, whyNoBoot } from "../../tools/oracle/coppice.ts";
import { groupOf, readGolden, staleness } from "../../tools/oracle/golden.ts";
import { IMAGE, whyNoImage } from "../machine/image.ts";
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

test("all answers come from one image", () => {
  const digests = new Set(groups.map((group) => readGolden(group)?.image.digest));
  assert.equal(digests.size, 1);
});

const reason = await whyNoImage();
const image = await lookUpImage(IMAGE);

test("the machine boots", { skip: reason ?? false }, () => {
  assert.equal(whyNoBoot(IMAGE), undefined);
});

suite("scenarios", { skip: reason ?? false, concurrency: 2 }, () => {
  const runner = coppiceRunner(IMAGE);
  for (const scenario of scenarios) {
    test(scenario.name, async (t) => {
      const golden = readGolden(groupOf(scenario.name));
      assert.ok(golden && image);
      const want = golden.answers[scenario.name];
      assert.ok(want);
      for (const line of staleness(golden, image.digest)) t.diagnostic(line);
      const differences = compareOutcomes(await runScenario(scenario, runner), want);
      assert.deepEqual(differences, [], `${scenario.name} differs from real execution`);
    });
  }
});
