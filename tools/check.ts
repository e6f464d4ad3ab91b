/**
 * `npm run check`: types of the layers and of the tests, lint rules, formatting. All of them run, whatever the
 * others say; `--fix` formats first and lets the linter repair what it can.
 */

import { parseArgs } from "node:util";
import { runStep, type StepResult } from "./steps.ts";

const { values } = parseArgs({ options: { fix: { type: "boolean", default: false } } });

const results: StepResult[] = [];
if (values.fix) {
  results.push(await runStep("lint --fix", ["oxlint", "--type-aware", "--fix"]));
  results.push(await runStep("format --write", ["biome", "format", "--write", "."]));
}
results.push(await runStep("types", ["tsc", "-b", "--pretty", "false"]));
results.push(await runStep("lint", ["oxlint", "--type-aware", "--deny-warnings", "--format", "unix"]));
results.push(await runStep("format", ["biome", "ci", "--colors=off", "--reporter=summary", "."]));

process.exitCode = results.every(({ passed }) => passed) ? 0 : 1;
