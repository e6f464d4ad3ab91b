/**
 * The benchmark: Coppice beside qemu-user and native Linux, from one run.
 *
 *     npm run bench -- [--quick] [--only NAME]… [--json] [--binfmt] [--help]
 *
 * Exit status 0 when the table was printed, whatever is in it; 2 for an option that is not understood.
 */

import { parseArgs } from "node:util";
import { registerBinfmt } from "../tools/oracle/chroot.ts";
import { measureRow, type RowResult } from "./lib/measure.ts";
import { type Effort, type Row, rows } from "./lib/rows.ts";
import { coppice, openNative, openQemu, type System } from "./lib/systems.ts";
import { geometricMean, header, legend, line, missingCells, toJson } from "./lib/table.ts";

const usage = `usage: npm run bench -- [--quick] [--only NAME]… [--json] [--binfmt]

Measures Coppice beside qemu-user and native Linux.

  --quick      less work and fewer rounds: for orientation
  --only NAME  this row only; may be given again
  --json       print JSON, times in nanoseconds
  --binfmt     let the host's kernel execute riscv64 programs meanwhile, if it does not yet: what qemu-user
               needs for fork+exec (root only; it is undone at the end)
  --help       print this

Rows:
`;

export interface BenchOptions {
  readonly effort: Effort;
  readonly only: readonly Row[];
  readonly systems?: readonly System[];
  /** Hears each row as it is done. */
  readonly onRow?: (result: RowResult) => void;
}

/** Measures the rows on all systems. */
export async function runBenchmark({ effort, only, systems, onRow }: BenchOptions): Promise<RowResult[]> {
  const opened = systems ?? [coppice, await openQemu(), await openNative()];
  const results: RowResult[] = [];
  try {
    for (const row of only) {
      const result = await measureRow(row, opened, effort);
      results.push(result);
      onRow?.(result);
    }
  } finally {
    for (const system of opened) await system.close();
  }
  return results;
}

function fail(message: string): never {
  process.stderr.write(`bench: ${message}\n${usage}${legend(rows)}\n`);
  process.exit(2);
}

function readOptions(argv: readonly string[]): {
  effort: Effort;
  only: Row[];
  json: boolean;
  binfmt: boolean;
} {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", multiple: true, default: [] },
      json: { type: "boolean", default: false },
      binfmt: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${usage}${legend(rows)}\n`);
    process.exit(0);
  }
  const names = values.only.flatMap((each) => each.split(","));
  const only = names.map((name) => {
    const row = rows.find((each) => each.name === name);
    if (row === undefined) fail(`there is no row "${name}"`);
    return row;
  });
  return {
    effort: values.quick ? "quick" : "full",
    only: only.length > 0 ? only : [...rows],
    json: values.json,
    binfmt: values.binfmt,
  };
}

async function main(): Promise<void> {
  let options: ReturnType<typeof readOptions>;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
  const { effort, only, json, binfmt } = options;
  const unregister = binfmt ? await registerBinfmt() : (): void => {};
  try {
    if (!json) console.log(header(effort));
    const results = await runBenchmark({
      effort,
      only,
      onRow: (result) => {
        if (!json) console.log(line(result));
      },
    });
    if (json) {
      console.log(toJson(results, effort));
      return;
    }
    const cpu = results.filter(({ row }) => row.unit === "ms" && row.program.kind === "guest");
    const [toQemu, toNative] = [geometricMean(cpu, "qemu-user"), geometricMean(cpu, "native")];
    if (toQemu !== undefined || toNative !== undefined) {
      const show = (value: number | undefined): string =>
        value === undefined ? "—" : `${value.toFixed(2)} ×`;
      console.log(
        `\nCPU programs, geometric mean, warm: ${show(toQemu)} qemu-user, ${show(toNative)} native`,
      );
    }
    console.log(`\n${legend(only)}`);
    const missing = missingCells(results);
    if (missing.length > 0) console.log(`\nNot measured:\n${missing.map((each) => `  ${each}`).join("\n")}`);
  } finally {
    unregister();
  }
}

if (import.meta.main) await main();
