/** The comparison of the two sides: as text, and as a page of the documentation. */

import { CAUSES } from "./causes.ts";
import { MODULES } from "./modules.ts";
import { isComplete, lostTests, type ModuleResult, readResult, wantedTests } from "./verdicts.ts";
import { writeFileSync } from "node:fs";
import path from "node:path";

const PAGE = path.resolve(import.meta.dirname, "../../docs/design/cpython.md");
/** Of the tests that pass in the oracle, this share has to pass here. */
const WANTED_SHARE = 0.97;

interface Row {
  readonly module: string;
  readonly wanted: number;
  readonly lost: readonly string[];
  readonly here: ModuleResult;
  /** How many pass here that fail in the oracle. */
  readonly gained: number;
}

function rowsOf(oracle: string, coppice: string, modules: readonly string[]): readonly Row[] {
  return modules.flatMap((module) => {
    const there = readResult(oracle, module);
    const here = readResult(coppice, module);
    if (there === undefined || here === undefined) return [];
    const gained = wantedTests(here).filter((name) => there.tests[name]?.verdict === "failed").length;
    return [{ module, wanted: wantedTests(there).length, lost: lostTests(there, here), here, gained }];
  });
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

function totalsOf(rows: readonly Row[]): { wanted: number; got: number; percent: string } {
  const wanted = sum(rows.map((row) => row.wanted));
  const got = wanted - sum(rows.map((row) => row.lost.length));
  return { wanted, got, percent: wanted === 0 ? "0" : ((100 * got) / wanted).toFixed(1) };
}

/** The last line of a traceback says the most. */
function reasonOf(here: ModuleResult, test: string): string {
  const result = here.tests[test];
  if (result === undefined) return isComplete(here) ? "no verdict" : "not reached";
  return `${result.verdict}: ${result.detail?.trim().split("\n").at(-1) ?? ""}`;
}

/** Prints the comparison; true if enough of what passes in the oracle passes here. */
export function describeLost(oracle: string, coppice: string, modules: readonly string[]): boolean {
  const rows = rowsOf(oracle, coppice, modules);
  for (const { module, wanted, lost, here } of rows) {
    console.log(`${module.padEnd(44)} ${wanted - lost.length} of ${wanted}`);
    for (const test of lost) console.log(`    ${test}: ${reasonOf(here, test)}`);
  }
  const missing = modules.filter((module) => !rows.some((row) => row.module === module));
  if (missing.length > 0) console.log(`not run on both sides: ${missing.join(", ")}`);
  const { wanted, got, percent } = totalsOf(rows);
  console.log(`${got} of ${wanted} tests that pass in the oracle pass here: ${percent} %`);
  return wanted > 0 && got / wanted >= WANTED_SHARE;
}

const causeOf = (test: string): string | undefined =>
  CAUSES.find(({ tests }) => tests.some((name) => test === name || test.startsWith(`${name}.`)))?.cause;

/** Writes the page from the kept results and the table of causes. */
export function writePage(oracle: string, coppice: string): void {
  const rows = rowsOf(oracle, coppice, MODULES);
  const missing = MODULES.filter((module) => !rows.some((row) => row.module === module));
  const { wanted, got, percent } = totalsOf(rows);
  const table = rows.map(({ module, wanted: inOracle, lost, here, gained }) => {
    const end = isComplete(here) ? "" : ", not to its end";
    return `| \`${module}\`${end} | ${inOracle} | ${inOracle - lost.length} | ${lost.length} | ${gained || ""} |`;
  });
  const failures = rows.flatMap(({ lost, here }) =>
    lost.map(
      (test) =>
        `| \`${test.replace(/^test\./, "")}\` | ${causeOf(test) ?? `not known: ${reasonOf(here, test)}`} |`,
    ),
  );
  const lines = [
    "# CPython's own tests",
    "",
    "What `node tools/cpython.ts page` wrote from the kept results of `node tools/cpython.ts oracle` and",
    "`node tools/cpython.ts coppice`; its header says how. The tests are those of Debian's libpython3-testsuite, run as",
    "root without resources (so nothing leaves the machine), each module in a fresh machine; the oracle is qemu-user in",
    "a chroot (oracle.md). *Here alone* counts tests that fail in the oracle and pass here: qemu-user's own faults.",
    "",
    `${got} of ${wanted} tests that pass in the oracle pass here: ${percent} %.`,
    "",
    "| Module | Passed in the oracle | of these here | not | here alone |",
    "|---|---:|---:|---:|---:|",
    ...table,
    "",
    ...(missing.length > 0
      ? ["Not run on both sides:", "", ...missing.map((name) => `- \`${name}\``), ""]
      : []),
    "## What does not pass",
    "",
    ...(failures.length > 0 ? ["| Test | Cause |", "|---|---|", ...failures] : ["Nothing."]),
    "",
  ];
  writeFileSync(PAGE, lines.join("\n"));
}
