/**
 * The campaigns that show survival (docs/design/campaign.md).
 *
 *     node tools/campaign.ts crash-loop [--only TEXT] [--points N] [--kind exception|death] [--unreached]
 *     node tools/campaign.ts kills [--kills N] [--seed N] [--harts N]
 *     node tools/campaign.ts simulation [--seed N] [--seeds N] [--deaths N]
 *     node tools/campaign.ts baton [--seed N] [--seeds N]
 *
 * Exit status 0 if everything was survived, 1 if not, 2 for an option that is not understood.
 */

import path from "node:path";
import { parseArgs } from "node:util";
import { batonOperations } from "../src/campaign/baton-operations.ts";
import { runMachine, runOperation } from "../src/campaign/baton-run.ts";
import { scenarios } from "../src/campaign/calls/all.ts";
import { CrashLoop, CrashRecord, type FaultKind, type SegmentResult } from "../src/campaign/crash-loop.ts";
import { killHarts } from "../src/campaign/kills.ts";
import { runScenario } from "../src/campaign/run-scenario.ts";
import { simulate } from "../src/campaign/simulation.ts";
import { rowOf } from "../src/linux/table.ts";
import { setterSites } from "./campaign/setter-sites.ts";

const usage = `usage: node tools/campaign.ts crash-loop [--only TEXT] [--points N] [--kind KIND] [--unreached]
       node tools/campaign.ts kills [--kills N] [--seed N] [--harts N] [--programs A,B] [--minutes N] [--verbose]
       node tools/campaign.ts simulation [--seed N] [--seeds N] [--deaths N] [--harts N] [--programs A,B]
       node tools/campaign.ts baton [--seed N] [--seeds N] [--harts N] [--programs A,B]

Crashes every system call at every store and compares what becomes of it with the run without a crash.

  --only TEXT   scenarios whose name contains TEXT
  --points N    at most N points of each segment, spread over it; all if left out
  --kind KIND   exception (a bug that throws) or death (the hart's thread ends); both if left out
  --unreached   list the setter call sites that no scenario reaches

kills ends hart threads while they are stopped inside the store hook, under unmodified programs.

  --kills N       how many; 1000 if left out
  --seed N        draws the places; 1 if left out
  --harts N       2 if left out
  --minutes N     ends after so long, however many kills that were; 60 if left out
  --programs A,B  programs of test/guest, run over and over

simulation runs programs in one thread, each seed twice: the traces must be the same.

  --seeds N       how many seeds, from --seed on; 3 if left out
  --deaths N      a hart dies about once in N turns; 40 if left out, 0 for never

baton runs threads one at a time, switched at stores and locks by the seed: operations with and without a
planted race, then a whole machine.
`;

function fail(message: string): never {
  process.stderr.write(`campaign: ${message}\n${usage}`);
  process.exit(2);
}

/** What was tried, by the name of the call or of the event. */
class Totals {
  readonly #rows = new Map<string, { ways: number; points: number; runs: number; failed: number }>();

  add({ what, call, points, runs, failed }: SegmentResult): void {
    const name = call < 0 ? `(${what})` : (rowOf(call)?.name ?? what);
    const row = this.#rows.get(name) ?? { ways: 0, points: 0, runs: 0, failed: 0 };
    row.ways++;
    row.points += points;
    row.runs += runs;
    row.failed += failed;
    this.#rows.set(name, row);
  }

  *lines(): Generator<string> {
    const line = (name: string, ...columns: readonly (number | string)[]): string =>
      name.padEnd(24) + columns.map((column) => String(column).padStart(9)).join("");
    yield line("", "ways", "points", "runs", "failed");
    const sum = { ways: 0, points: 0, runs: 0, failed: 0 };
    for (const [name, row] of [...this.#rows].sort(([a], [b]) => a.localeCompare(b))) {
      yield line(name, row.ways, row.points, row.runs, row.failed);
      sum.ways += row.ways;
      sum.points += row.points;
      sum.runs += row.runs;
      sum.failed += row.failed;
    }
    yield line("in all", sum.ways, sum.points, sum.runs, sum.failed);
  }
}

function crashLoop(argv: readonly string[]): boolean {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: "string", default: "" },
      points: { type: "string" },
      kind: { type: "string", multiple: true, default: ["exception", "death"] },
      unreached: { type: "boolean", default: false },
    },
  });
  for (const kind of values.kind) if (kind !== "exception" && kind !== "death") fail(`no such kind: ${kind}`);
  const points = values.points === undefined ? Number.POSITIVE_INFINITY : Number(values.points);
  if (!(points >= 1)) fail("--points takes a number from 1");
  const record = new CrashRecord();
  const totals = new Totals();
  const started = performance.now();
  let broken = 0;
  for (const scenario of scenarios.filter(({ name }) => name.includes(values.only))) {
    const loop = new CrashLoop(record, {
      kinds: values.kind as FaultKind[],
      pointsMax: points,
      onSegment: (result) => totals.add(result),
    });
    const [before, failedBefore] = [record.runs, record.failed];
    const [began, printed] = [performance.now(), record.failures.length];
    try {
      runScenario(scenario, loop.driver.bind(loop));
      const seconds = ((performance.now() - began) / 1000).toFixed(0);
      const failed = record.failed - failedBefore;
      console.log(`${scenario.name}: ${record.runs - before} runs, ${failed} failed, ${seconds} s`);
      for (const { kind, what, step, point, site, text } of record.failures.slice(printed, printed + 40))
        console.log(
          `  ${kind} in ${what}, step ${step}, before ${point} at ${site}\n    ${text.slice(0, 600)}`,
        );
    } catch (error) {
      broken++;
      console.log(
        `${scenario.name}: cannot be run: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  console.log();
  for (const line of totals.lines()) console.log(line);
  const all = setterSites();
  const unreached = all.filter((site) => !record.sites.has(site));
  const reached = all.length - unreached.length;
  console.log(
    `\nSetter call sites reached: ${reached} of ${all.length} (${((100 * reached) / all.length).toFixed(1)} %)`,
  );
  if (values.unreached) for (const site of unreached) console.log(`  ${site}`);
  console.log(`${((performance.now() - started) / 1000).toFixed(0)} s`);
  return record.failed === 0 && broken === 0;
}

const WORKLOAD = "pipes,files,fork-wait,pipe-pingpong,execs";

function wholeNumber(option: string, value: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1) fail(`--${option} takes a whole number from 1`);
  return number;
}

/** Counts how often each value occurs, most frequent first. */
function histogram(values: readonly string[]): [value: string, count: number][] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

async function kills(argv: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      kills: { type: "string", default: "1000" },
      seed: { type: "string", default: "1" },
      harts: { type: "string", default: "2" },
      programs: { type: "string", default: WORKLOAD },
      minutes: { type: "string", default: "60" },
      verbose: { type: "boolean", default: false },
    },
  });
  const started = performance.now();
  const report = await killHarts({
    kills: wholeNumber("kills", values.kills),
    seed: wholeNumber("seed", values.seed),
    harts: wholeNumber("harts", values.harts),
    parallel: 2,
    isOver: () => performance.now() - started > wholeNumber("minutes", values.minutes) * 60_000,
    workload: filesOf(values.programs).map((program) => ({ ...program, args: [] })),
    onKill: (kill, number) => {
      if (values.verbose) console.log(`${number}: ${kill.point} ${kill.site} ${kill.death ?? ""}`);
      else if (number % 50 === 0) console.log(`${number} kills`);
    },
    onProblem: (text) => console.log(text.slice(0, 3000)),
  });
  console.log("\nKills by site:");
  for (const [site, count] of histogram(
    report.kills.map(({ point, site }) => `${point.padEnd(10)} ${site}`),
  )) {
    console.log(`${String(count).padStart(6)}  ${site}`);
  }
  console.log("\nWhat the hart was at:");
  for (const [death, count] of histogram(report.kills.map(({ death }) => death ?? "recovered by another"))) {
    console.log(`${String(count).padStart(6)}  ${death}`);
  }
  for (const { invariant, text } of report.violations.slice(0, 20)) console.log(`${invariant}: ${text}`);
  console.log(
    `\n${report.kills.length} kills, ${report.programs} programs run, ${report.wrong.length} of them wrong, ` +
      `${report.violations.length} violations, frames in use ${report.frames.join(" before and ")} after, ` +
      ` ${report.crashes} failures by a bug, ${report.accidents} harts ended by one, ` +
      `${((performance.now() - started) / 1000).toFixed(0)} s`,
  );
  return report.wrong.length === 0 && report.violations.length === 0;
}

const binaries = path.resolve(import.meta.dirname, "../test/guest/bin");
const filesOf = (names: string): { name: string; file: string }[] =>
  names.split(",").map((name) => ({ name, file: path.join(binaries, name) }));

const SIMULATED = "pipes,files,fork-wait,pipe-pingpong";

function readSeeds(argv: readonly string[]): {
  seeds: number[];
  harts: number;
  deaths: number;
  programs: { name: string; file: string }[];
} {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seed: { type: "string", default: "1" },
      seeds: { type: "string", default: "3" },
      harts: { type: "string", default: "2" },
      deaths: { type: "string", default: "40" },
      programs: { type: "string", default: SIMULATED },
    },
  });
  const first = wholeNumber("seed", values.seed);
  return {
    seeds: Array.from({ length: wholeNumber("seeds", values.seeds) }, (_, index) => first + index),
    harts: wholeNumber("harts", values.harts),
    deaths: values.deaths === "0" ? 0 : wholeNumber("deaths", values.deaths),
    programs: filesOf(values.programs),
  };
}

function simulation(argv: readonly string[]): boolean {
  const { seeds, harts, deaths, programs } = readSeeds(argv);
  let isGood = true;
  let printed: string | undefined;
  for (const seed of seeds) {
    const run = (): ReturnType<typeof simulate> =>
      simulate({ seed, harts, programs, deathsPerTurns: deaths, keepTrace: true });
    const [first, second] = [run(), run()];
    const isSame = first.trace.hash === second.trace.hash;
    const outputs = JSON.stringify(first.outputs);
    printed ??= outputs;
    console.log(
      `seed ${seed}: trace ${first.trace.hash} of ${first.trace.count} entries, ${first.turns} turns, ` +
        `${first.deaths} deaths; twice ${isSame ? "the same" : "not the same"}, ` +
        `output ${outputs === printed ? "unchanged" : "changed"}, ${first.violations.length} violations`,
    );
    if (!isSame) {
      const [ours, theirs] = [first.trace.entries, second.trace.entries];
      const at = ours.findIndex((entry, index) => entry !== theirs[index]);
      console.log(`  entry ${at}: "${ours[at] ?? "none"}" and "${theirs[at] ?? "none"}"`);
    }
    for (const { invariant, text } of first.violations.slice(0, 3)) console.log(`  ${invariant}: ${text}`);
    isGood &&= isSame && outputs === printed && first.violations.length === 0;
  }
  return isGood;
}

async function baton(argv: readonly string[]): Promise<boolean> {
  const { seeds, harts, programs } = readSeeds(argv);
  let isGood = true;
  for (const { name, isPlanted } of batonOperations) {
    let found = 0;
    let example = "";
    for (const seed of seeds) {
      const { problems } = await runOperation(name, seed);
      if (problems.length === 0) continue;
      found++;
      example ||= `; seed ${seed}: ${problems[0]}`;
    }
    console.log(
      `${name}: a race in ${found} of ${seeds.length} seeds${isPlanted ? ", planted" : ""}${example}`,
    );
    isGood &&= found > 0 === isPlanted;
  }
  for (const seed of seeds) {
    const first = await runMachine(programs, seed, harts);
    const second = await runMachine(programs, seed, harts);
    const isSame =
      first.hash === second.hash && JSON.stringify(first.outputs) === JSON.stringify(second.outputs);
    console.log(
      `machine, seed ${seed}: trace ${first.hash}, ${first.switches} switches; twice ` +
        `${isSame ? "the same" : "not the same"}, ${first.problems.length} problems`,
    );
    for (const problem of first.problems.slice(0, 3)) console.log(`  ${problem}`);
    isGood &&= isSame && first.problems.length === 0;
  }
  return isGood;
}

type Campaign = (argv: readonly string[]) => boolean | Promise<boolean>;
const campaigns: Readonly<Record<string, Campaign>> = { "crash-loop": crashLoop, kills, simulation, baton };

const [command, ...rest] = process.argv.slice(2);
if (command === "--help" || rest.includes("--help")) {
  process.stdout.write(usage);
} else if (campaigns[command ?? ""] !== undefined) {
  try {
    process.exitCode = (await campaigns[command!]!(rest)) ? 0 : 1;
  } catch (error) {
    if (error instanceof TypeError) fail(error.message);
    throw error;
  }
} else fail(command === undefined ? "which campaign?" : `no such campaign: ${command}`);
