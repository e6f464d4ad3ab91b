import assert from "node:assert/strict";
import { test } from "node:test";
import { missingImage } from "../test/machine/debian.ts";
import { measureFairness } from "./fairness.ts";

const skip = await missingImage();

test("the benchmark of fairness runs", { skip, timeout: 120_000 }, async () => {
  const lines: string[] = [];
  await measureFairness(5, (line) => lines.push(line));
  assert.ok(lines.filter((line) => line.startsWith("coppice")).length >= 4);
});
