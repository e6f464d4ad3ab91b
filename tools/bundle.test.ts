/** The bundle holds every file that is entered by itself. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ENTRIES } from "./bundle.ts";
import { isTest, readSources } from "./source.ts";

test("every file that a thread begins with is an entry of the bundle", () => {
  const threads = readSources(["src"])
    .filter((file) => !isTest(file) && !file.path.startsWith("src/campaign/"))
    .filter((file) =>
      /import \{[^}]*\b(?:parentPort|workerData)\b[^}]*\} from "node:worker_threads"/.test(file.text),
    )
    .map((file) => file.path.replace(/^src\/(.*)\.ts$/, "$1"));
  assert.ok(threads.length > 4, "the search found no threads");
  assert.deepEqual(
    threads.filter((name) => !(ENTRIES as readonly string[]).includes(name)),
    [],
  );
});
