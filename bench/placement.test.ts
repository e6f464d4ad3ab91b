import assert from "node:assert/strict";
import { test } from "node:test";
import { measurePlacement } from "./placement.ts";

test("the benchmark of placement runs", async () => {
  const lines: string[] = [];
  await measurePlacement(50, (line) => lines.push(line));
  assert.equal(lines.length, 10);
});
