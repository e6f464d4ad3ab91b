/** The test runner itself: a runner that says "passed" too easily would hide everything else. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";

const folder = mkdtempSync(path.join(os.tmpdir(), "run-tests-"));
after(() => rmSync(folder, { recursive: true }));

const HEADER = `import { test } from "node:test";\n`;

interface Outcome {
  readonly status: number | null;
  readonly lastLine: string;
  readonly output: string;
}

/** Runs the runner on files with these texts; `interrupt` sends it Ctrl-C when it has printed something. */
async function runTests(
  texts: Readonly<Record<string, string>>,
  argv: readonly string[] = [],
  interrupt = false,
): Promise<Outcome> {
  const files = Object.entries(texts).map(([name, text]) => {
    const file = path.join(folder, `${name}.test.ts`);
    writeFileSync(file, text);
    return file;
  });
  // A runner inside a runner must not take part in the outer one's protocol.
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
  const script = path.join(import.meta.dirname, "run-tests.ts");
  const child = spawn(process.execPath, [script, ...argv, ...files], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  let interrupted = !interrupt;
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
    if (interrupted || !chunk.includes("pass")) return;
    interrupted = true;
    child.kill("SIGINT");
  });
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status, lastLine: output.trimEnd().split("\n").at(-1) ?? "", output };
}

test("counts what ran, skipped tests apart", async () => {
  const text = `${HEADER}test("a", () => {}); test("b", () => {}); test.skip("c", () => {});`;
  const outcome = await runTests({ good: text });
  assert.deepEqual([outcome.status, outcome.lastLine], [0, "2 passed, 0 failed, 1 skipped"]);
});

test("a failing test, a file that does not load and one without tests each fail", async () => {
  const outcome = await runTests({
    bad: `${HEADER}test("a", () => {}); test("b", () => { throw new Error("boom"); });`,
    broken: `import "./absent.ts";`,
    empty: "const nothing = 1;",
  });
  assert.deepEqual([outcome.status, outcome.lastLine], [1, "1 passed, 3 failed"]);
  assert.match(outcome.output, /Error: boom/);
  assert.match(outcome.output, /the file registers no test/);
});

test("a suite whose own function throws fails, and one is not counted for its tests' failures", async () => {
  const suites = `import { describe, test } from "node:test";
    describe("throws", () => { test("a", () => {}); throw new Error("before the rest"); });
    describe("holds", () => { test("b", () => {}); test("c", () => { throw new Error("c"); }); });`;
  const outcome = await runTests({ suites });
  assert.equal(outcome.status, 1);
  // The suite, the test that it was to wait for, and the test that fails.
  assert.equal(outcome.lastLine, "1 passed, 3 failed");
  assert.match(outcome.output, /before the rest/);
});

test("nothing that ran is a failure", async () => {
  const outcome = await runTests({ good: `${HEADER}test("a", () => {});` }, ["--grep", "no such test"]);
  assert.deepEqual([outcome.status, outcome.lastLine], [1, "0 passed, 0 failed"]);
  assert.equal((await runTests({}, [path.join(folder, "absent.test.ts")])).status, 2);
});

test("a file that hangs is ended by the time limit", async () => {
  const outcome = await runTests({ hang: `${HEADER}test("a", () => { for (;;); });` }, ["--timeout", "1"]);
  assert.deepEqual([outcome.status, outcome.lastLine], [1, "0 passed, 1 failed"]);
  assert.match(outcome.output, /ended by --timeout after 1 s/);
});

test("Ctrl-C ends the run with status 130", async () => {
  const slow = `${HEADER}test("b", () => new Promise((resolve) => setTimeout(resolve, 60_000)));`;
  const outcome = await runTests({ a: `${HEADER}test("a", () => {});`, b: slow }, [], true);
  assert.equal(outcome.status, 130);
  assert.match(outcome.output, /Interrupted/);
});
