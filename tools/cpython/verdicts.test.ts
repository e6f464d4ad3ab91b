import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isComplete, lostTests, mergeResults, readVerdicts } from "./verdicts.ts";

const line = (entry: object): string => `${JSON.stringify(entry)}\n`;

describe("verdicts of CPython's tests", () => {
  test("what has ended counts, whatever becomes of the module", () => {
    const text =
      line({ start: "a" }) +
      line({ test: "a", verdict: "passed", seconds: 1, detail: "" }) +
      line({ start: "b" }) +
      line({ test: "b", verdict: "failed", detail: "no end after 300 s" }) +
      line({ fixture: "setUpClass (c)", verdict: "failed", detail: "broken" }) +
      line({ start: "d" }) +
      '{"test": "d", "verd';
    const result = readVerdicts(text);
    assert.deepEqual(result.tests, {
      a: { verdict: "passed", seconds: 1 },
      b: { verdict: "failed", detail: "no end after 300 s" },
    });
    assert.deepEqual(result.fixtures, ["setUpClass (c): broken"]);
    assert.equal(result.running, "d");
    assert.equal(isComplete(result), false);
    assert.equal(isComplete(readVerdicts(text + "\n" + line({ end: 0 }))), true);
  });

  test("a test that fails once has failed", () => {
    const both = line({ test: "a", verdict: "failed", detail: "x" }) + line({ test: "a", verdict: "passed" });
    assert.equal(readVerdicts(both).tests["a"]?.verdict, "failed");
  });

  test("lost is what passes there and not here; a test that was run again has its new verdict", () => {
    const of = (tests: Record<string, string>): ReturnType<typeof readVerdicts> =>
      readVerdicts(
        Object.entries(tests)
          .map(([test, verdict]) => line({ test, verdict }))
          .join(""),
      );
    const oracle = of({ a: "passed", b: "passed", c: "passed", d: "skipped", e: "failed" });
    const here = { ...of({ a: "passed", b: "failed", d: "failed", e: "failed" }), seconds: 1, output: "" };
    assert.deepEqual(lostTests(oracle, here), ["b", "c"]);
    const again = { ...of({ b: "passed", c: "skipped" }), seconds: 1, output: "" };
    assert.deepEqual(lostTests(oracle, mergeResults(here, again)), ["c"]);
    assert.deepEqual(lostTests(oracle, undefined), []);
  });
});
