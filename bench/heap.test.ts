import assert from "node:assert/strict";
import { test } from "node:test";
import { measureHeap } from "./heap.ts";

test("the benchmark of the heap runs", () => {
  const lines: string[] = [];
  measureHeap(10, (line) => lines.push(line));
  assert.ok(lines.length > 8);
});
