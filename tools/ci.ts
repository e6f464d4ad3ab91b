/**
 * What `.ci/run` runs once Node is there: checks, tests, the packed package, and the live parts. Every step
 * runs, whatever the others say. The last line is `N passed, N failed` over tests and steps; before it stand
 * the live parts that were left out as `skipped`, and what is known not to work as `todo`.
 */

import { hostName, installTools, liveParts, missingTools } from "./live.ts";
import { runStep, type StepResult } from "./steps.ts";

/** The whole run must end within this time. */
const LIMIT_MINUTES = 20;

const node = process.execPath;
const startedAt = performance.now();
const total = { passed: 0, failed: 0, skipped: 0, todo: 0 };
const notes: string[] = [];

/** Adds a step to the total: the tests that it counted on its last line, else itself. */
function count(result: StepResult): void {
  const line = result.output.trimEnd().split("\n").at(-1) ?? "";
  const counts = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?(?:, (\d+) todo)?/.exec(line);
  if (counts) {
    total.passed += Number(counts[1]);
    total.failed += Number(counts[2]);
    total.skipped += Number(counts[3] ?? 0);
    total.todo += Number(counts[4] ?? 0);
    if (result.passed || Number(counts[2]) > 0) return;
  }
  total[result.passed ? "passed" : "failed"] += 1;
  if (!result.passed) notes.push(`failed: ${result.name}`);
}

function leaveOut(name: string, reason: string): void {
  total.skipped += 1;
  notes.push(`LEFT OUT: ${name}: ${reason}`);
}

console.log(`${hostName()}, Node ${process.versions.node}`);
count(await runStep("check", [node, "tools/check.ts"], { live: true }));
count(await runStep("tests", [node, "tools/run-tests.ts"], { live: true }));
count(await runStep("packed package", [node, "tools/pack-check.ts"], { live: true }));

const parts = liveParts();
installTools(missingTools(parts.filter(({ written }) => written)));
for (const part of parts) {
  const missing = missingTools([part]);
  if (!part.written) leaveOut(part.name, "not written yet");
  else if (missing.length > 0) leaveOut(part.name, `${missing.join(", ")} cannot be installed here`);
  else count(await runStep(`live: ${part.name}`, part.command, { live: true, env: part.env ?? {} }));
}

const minutes = (performance.now() - startedAt) / 60_000;
console.log(`\n${notes.map((note) => `${note}\n`).join("")}The run took ${minutes.toFixed(1)} minutes.`);
if (minutes > LIMIT_MINUTES) {
  total.failed += 1;
  console.log(`That is more than ${LIMIT_MINUTES}.`);
}
console.log(`${total.skipped} skipped, ${total.todo} todo`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
