/** What run-module.py writes about a module's tests, and what follows when two sides are compared. */

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

export type Verdict = "passed" | "failed" | "skipped";

export interface TestResult {
  readonly verdict: Verdict;
  readonly seconds?: number;
  /** The traceback of a test that failed, the reason of one that was skipped. */
  readonly detail?: string;
}

export type TestResults = Readonly<Record<string, TestResult>>;

/** What the file of verdicts says. */
export interface Verdicts {
  readonly tests: TestResults;
  /** Failures in fixtures of classes and modules, which are no tests. */
  readonly fixtures: readonly string[];
  /** The exit status of the last test program, or `hung`; absent if the module was not run to its end. */
  readonly end?: number | string;
  /** The test that runs, or ran when the file was left. */
  readonly running?: string;
}

export interface ModuleResult extends Verdicts {
  readonly seconds: number;
  /** The end of what it printed, for whoever looks why something failed. */
  readonly output: string;
}

interface Entry extends Partial<TestResult> {
  readonly start?: string;
  readonly test?: string;
  readonly fixture?: string;
  readonly end?: number | string;
}

/** Reads the lines of verdicts.jsonl; the last one may be torn. */
export function readVerdicts(text: string): Verdicts {
  const tests: Record<string, TestResult> = {};
  const fixtures: string[] = [];
  let running: string | undefined;
  let end: number | string | undefined;
  for (const line of text.split("\n")) {
    if (!line.endsWith("}")) continue;
    const {
      start,
      test,
      fixture,
      end: ended,
      verdict = "failed",
      seconds,
      detail,
    } = JSON.parse(line) as Entry;
    if (start !== undefined) running = start;
    if (ended !== undefined) end = ended;
    if (fixture !== undefined && verdict === "failed") fixtures.push(`${fixture}: ${detail ?? ""}`);
    if (test === undefined) continue;
    running = undefined;
    // A test that was begun and did not end has no time of its own.
    const time = seconds === undefined ? {} : { seconds };
    if (tests[test]?.verdict !== "failed")
      tests[test] = { verdict, ...time, ...(verdict === "passed" || detail === undefined ? {} : { detail }) };
  }
  return {
    tests,
    fixtures,
    ...(end === undefined ? {} : { end }),
    ...(running === undefined ? {} : { running }),
  };
}

export const isComplete = (result: Verdicts): boolean => result.end !== undefined;

export const tally = (tests: TestResults, wanted: Verdict): number =>
  Object.values(tests).filter(({ verdict }) => verdict === wanted).length;

/** The kept result of a module after some of its tests were run again. */
export function mergeResults(kept: ModuleResult, again: ModuleResult): ModuleResult {
  const { fixtures, output } = again;
  return { ...kept, tests: { ...kept.tests, ...again.tests }, fixtures, output };
}

export function readResult(folder: string, module: string): ModuleResult | undefined {
  const file = path.join(folder, `${module}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as ModuleResult) : undefined;
}

/** The tests that pass in the oracle. */
export const wantedTests = (oracle: Verdicts): readonly string[] =>
  Object.keys(oracle.tests).filter((name) => oracle.tests[name]?.verdict === "passed");

/** The tests that pass in the oracle and not here; none if either side has not been run. */
export function lostTests(oracle: Verdicts | undefined, here: Verdicts | undefined): readonly string[] {
  if (oracle === undefined || here === undefined) return [];
  return wantedTests(oracle).filter((name) => here.tests[name]?.verdict !== "passed");
}
