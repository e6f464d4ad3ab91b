/** The small version of tools/soak.ts: processes, threads, mappings and a file, and nothing left of them. */

import assert from "node:assert/strict";
import { soak } from "../../tools/soak.ts";
import { machineTest } from "./image.ts";

machineTest("processes, threads, mappings and files leave nothing behind", async () => {
  assert.deepEqual(await soak(0.01, () => {}), []);
});
