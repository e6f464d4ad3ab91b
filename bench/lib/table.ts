/** The table that the benchmark prints, and the same as JSON. */

import { cpus, release } from "node:os";
import type { Effort, Row } from "./rows.ts";
import { ratio, type RowResult } from "./measure.ts";
import type { System } from "./systems.ts";

const UNIT_NS = { ns: 1, µs: 1e3, ms: 1e6 } as const;
const COLUMN = { name: 10, time: 10, ratio: 10 } as const;
const NAMES: readonly System["name"][] = ["coppice", "qemu-user", "native"];

function amount(ns: number, unit: Row["unit"]): string {
  const value = ns / UNIT_NS[unit];
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function times(result: RowResult, name: System["name"]): string {
  const cell = result.cells.get(name);
  if (cell === undefined || "missing" in cell) return "—".padStart(COLUMN.time) + "—".padStart(COLUMN.time);
  const { unit } = result.row;
  return amount(cell.coldNs, unit).padStart(COLUMN.time) + amount(cell.warmNs, unit).padStart(COLUMN.time);
}

const multiple = (value: number | undefined): string =>
  (value === undefined ? "—" : `${value.toFixed(2)} ×`).padStart(COLUMN.ratio);

/** The lines above the rows. */
export function header(effort: Effort): string {
  const cpu = cpus()[0]?.model ?? "unknown processor";
  const column = (text: string): string => text.padStart(COLUMN.time * 2);
  const coldWarm = "cold".padStart(COLUMN.time) + "warm".padStart(COLUMN.time);
  return [
    `${cpu}, ${cpus().length} processors, Node ${process.versions.node}, ${process.platform} ${release()}` +
      (effort === "full" ? "" : `; ${effort} run, for orientation only`),
    "cold: the first run in a fresh machine; warm: median of the runs after it, the systems in turn",
    "",
    "".padEnd(COLUMN.name) + "    " + NAMES.map(column).join("") + "   ÷ qemu  ÷ native",
    "".padEnd(COLUMN.name) + "    " + coldWarm.repeat(NAMES.length) + "      warm      warm",
  ].join("\n");
}

/** The line of one row. */
export function line(result: RowResult): string {
  const { name, unit, required } = result.row;
  const toNative = ratio(result, "native");
  const verdict =
    required === undefined || toNative === undefined
      ? ""
      : `  ${toNative <= required ? "meets" : "misses"} ≤ ${required} × native`;
  return (
    `${name.padEnd(COLUMN.name)} ${unit.padStart(2)} ` +
    NAMES.map((system) => times(result, system)).join("") +
    multiple(ratio(result, "qemu-user")) +
    multiple(toNative) +
    verdict
  );
}

/** Each reason why cells are empty, with the rows that it concerns. */
export function missingCells(results: readonly RowResult[]): readonly string[] {
  const reasons = new Map<string, string[]>();
  for (const { row, cells } of results) {
    for (const [system, cell] of cells) {
      if (!("missing" in cell)) continue;
      const key = `${system}: ${cell.missing}`;
      reasons.set(key, [...(reasons.get(key) ?? []), row.name]);
    }
  }
  return [...reasons].map(
    ([reason, names]) => `${reason} (${names.length === results.length ? "all rows" : names.join(", ")})`,
  );
}

/** Geometric mean of the warm ratios of some rows. */
export function geometricMean(results: readonly RowResult[], to: System["name"]): number | undefined {
  const ratios = results.map((result) => ratio(result, to)).filter((value) => value !== undefined);
  if (ratios.length === 0) return undefined;
  return Math.exp(ratios.reduce((sum, value) => sum + Math.log(value), 0) / ratios.length);
}

/** What the rows are, one line each. */
export function legend(rows: readonly Row[]): string {
  return rows.map(({ name, what }) => `${name.padEnd(COLUMN.name)}  ${what}`).join("\n");
}

/** All results for programs: nanoseconds throughout. */
export function toJson(results: readonly RowResult[], effort: Effort): string {
  return JSON.stringify(
    {
      host: {
        cpu: cpus()[0]?.model,
        processors: cpus().length,
        node: process.versions.node,
        kernel: release(),
      },
      effort,
      rows: results.map((result) => ({
        name: result.row.name,
        what: result.row.what,
        systems: Object.fromEntries(result.cells),
        toQemu: ratio(result, "qemu-user"),
        toNative: ratio(result, "native"),
        required: result.row.required,
      })),
    },
    null,
    1,
  );
}
