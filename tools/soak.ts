/**
 * Long and many: thousands of processes, threads and mappings, and nothing left of them (bench/guest/soak.c).
 *
 *     node tools/soak.ts [--scale N]
 *
 * Counts what the machine holds (records of every type, frames, page tables) before and after, and compares
 * exactly. `--scale 0.01` is the small version that the tests run. Exit status 0 if nothing was lost.
 */

import { readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import type { Machine } from "../src/machine/api.ts";
import { bootWithFaults } from "../src/machine/boot.ts";
import type { MachineFaults } from "../src/machine/faults.ts";

const PROGRAM = path.resolve(import.meta.dirname, "../bench/guest/bin/soak");
const GUEST_PATH = "/tmp/soak";
const MEMORY_BYTES = 2 ** 31;
const SETTLE_MS = 10_000;

interface Mode {
  readonly name: string;
  /** At full scale. */
  readonly count: number;
}

/** What is run, in this order. */
export const MODES: readonly Mode[] = [
  { name: "cycles", count: 10_000 },
  { name: "threads", count: 10_000 },
  { name: "maps", count: 1000 },
  { name: "alive", count: 300 },
  { name: "alive-threads", count: 64 },
  { name: "file", count: 1024 },
];

/** The lines that differ, as `name: before → after`. */
function differences(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names]
    .map((name) => [name, before.get(name) ?? 0, after.get(name) ?? 0] as const)
    .filter(([, was, is]) => was !== is)
    .map(([name, was, is]) => `${name}: ${was} → ${is}`);
}

async function run(machine: Machine, mode: string, count: number): Promise<string | undefined> {
  const { stdout, stderr, exitCode, signal } = await machine.exec([GUEST_PATH, mode, String(count)], {
    cwd: "/tmp",
  });
  if (exitCode === 0) return undefined;
  return `${mode} ${count} ended with ${signal ?? exitCode}: ${stdout}${stderr}`.trim();
}

/** Waits until the machine holds what it held; what then still differs. */
async function settle(faults: MachineFaults, baseline: ReadonlyMap<string, number>): Promise<string[]> {
  // The last process has been reaped, but what its end filed for later may still be under way.
  for (const deadline = performance.now() + SETTLE_MS; ; ) {
    const different = differences(baseline, faults.holdings());
    if (different.length === 0 || performance.now() > deadline) return different;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Runs every mode at `scale`; the problems found. */
export async function soak(scale: number, print: (line: string) => void): Promise<string[]> {
  const problems: string[] = [];
  const { machine, faults } = await bootWithFaults(
    { image: "debian", memory: MEMORY_BYTES, harts: 2 },
    { hooks: false },
  );
  try {
    await machine.fs.writeFile(GUEST_PATH, readFileSync(PROGRAM));
    await machine.fs.chmod(GUEST_PATH, 0o755);
    for (const { name, count } of MODES) {
      const scaled = Math.max(2, Math.round(count * scale));
      // Once before the baseline: pages of the image, names and stocks that stay are then there.
      for (let warm = 0; warm < 2; warm++) await run(machine, name, 2);
      await new Promise((resolve) => setTimeout(resolve, 200));
      const baseline = faults.holdings();
      const since = performance.now();
      const failure = await run(machine, name, scaled);
      const seconds = ((performance.now() - since) / 1000).toFixed(1);
      const lost = failure === undefined ? await settle(faults, baseline) : [];
      if (failure !== undefined) problems.push(failure);
      if (lost.length > 0) problems.push(`${name} ${scaled}: ${lost.join(", ")}`);
      const verdict = failure ?? (lost.length === 0 ? "nothing left behind" : lost.join(", "));
      print(`${name.padEnd(14)} ${String(scaled).padStart(6)}  ${seconds.padStart(6)} s  ${verdict}`);
    }
  } finally {
    await machine[Symbol.asyncDispose]();
  }
  for (const violation of faults.check()) problems.push(`${violation.invariant}: ${violation.text}`);
  return problems;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { scale: { type: "string", default: "1" }, help: { type: "boolean", default: false } },
  });
  if (values.help) {
    process.stdout.write(
      "usage: node tools/soak.ts [--scale N]\n\nN times the soak's usual counts; 1 if left out\n",
    );
    return 0;
  }
  const scale = Number(values.scale);
  if (!(scale > 0)) {
    process.stderr.write("soak: --scale takes a number above 0\n");
    return 2;
  }
  const problems = await soak(scale, (line) => console.log(line));
  for (const problem of problems) console.log(`LOST  ${problem}`);
  console.log(problems.length === 0 ? "nothing was lost" : `${problems.length} problems`);
  return problems.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
