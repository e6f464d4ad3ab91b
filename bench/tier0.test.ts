import { test } from "node:test";
import { measureTier0 } from "./tier0.ts";

test("the benchmark of tier 0 runs, and its programs print their checksums", () => {
  measureTier0(true, 1);
});
