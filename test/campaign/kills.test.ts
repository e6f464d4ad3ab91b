import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { killHarts } from "../../src/campaign/kills.ts";

test("programs print the same while harts are killed inside the store hook", {
  timeout: 120_000,
}, async () => {
  const workload = ["pipe-pingpong", "fork-wait"].map((name) => ({
    name,
    file: path.resolve(import.meta.dirname, "../guest/bin", name),
    args: [],
  }));
  const report = await killHarts({ kills: 5, seed: 1, harts: 2, parallel: 2, workload });
  assert.equal(report.kills.length, 5);
  assert.deepEqual(report.wrong, []);
  assert.deepEqual(report.violations, []);
  assert.equal(report.accidents, 0);
  for (const { site } of report.kills) assert.match(site, /^src\/.*:\d+:\d+$/);
});
