import { test } from "node:test";
import { measureMemory } from "./memory.ts";

test("the benchmark of kernel memory runs", () => {
  measureMemory(2, () => {});
});
