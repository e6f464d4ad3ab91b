/**
 * Measuring: every row on every system, the systems' runs interleaved so that what else the machine does falls
 * on all of them alike. What counts is the median of a row's warm runs, and the ratio of two such medians.
 */

import type { Effort, Row } from "./rows.ts";
import type { Session, System } from "./systems.ts";

/** What a system gave for a row: nanoseconds of one operation, or why there are none. */
export type Cell =
  | { readonly coldNs: number; readonly warmNs: number; readonly samplesNs: readonly number[] }
  | { readonly missing: string };

export interface RowResult {
  readonly row: Row;
  readonly cells: ReadonlyMap<System["name"], Cell>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** One system at work on one row. */
class Runner {
  readonly system: System;
  readonly samples: number[] = [];
  cold = Number.NaN;
  missing: string | undefined;
  #session: Session | undefined;

  constructor(system: System) {
    this.system = system;
    this.missing = system.missing;
  }

  async start(row: Row, effort: Effort): Promise<void> {
    await this.#guarded(async () => {
      this.#session = await this.system.open(row.program);
      const output = await this.#session.run(row.cold(effort));
      this.cold = row.read(output, effort).cold;
    });
  }

  async round(row: Row, effort: Effort): Promise<void> {
    await this.#guarded(async () => {
      const output = await this.#session!.run(row.warm(effort));
      this.samples.push(row.read(output, effort).warm);
    });
  }

  async end(): Promise<Cell> {
    await this.#guarded(async () => this.#session?.close());
    if (this.missing !== undefined) return { missing: this.missing };
    return { coldNs: this.cold, warmNs: median(this.samples), samplesNs: this.samples };
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    if (this.missing !== undefined) return;
    try {
      await work();
    } catch (error) {
      this.missing = messageOf(error).split("\n")[0]!;
      await this.#session?.close().catch(() => {});
    }
  }
}

/** Measures one row on all systems. */
export async function measureRow(row: Row, systems: readonly System[], effort: Effort): Promise<RowResult> {
  const runners = systems.map((system) => new Runner(system));
  for (const runner of runners) await runner.start(row, effort);
  const rounds = effort === "full" ? row.rounds : effort === "quick" ? Math.min(3, row.rounds) : 1;
  for (let round = 0; round < rounds; round++) {
    for (const runner of runners) await runner.round(row, effort);
  }
  const cells = new Map<System["name"], Cell>();
  for (const runner of runners) cells.set(runner.system.name, await runner.end());
  return { row, cells };
}

/** Coppice's warm median ÷ that of another system; undefined if one of them is missing. */
export function ratio(result: RowResult, to: System["name"]): number | undefined {
  const ours = result.cells.get("coppice");
  const theirs = result.cells.get(to);
  if (ours === undefined || theirs === undefined || "missing" in ours || "missing" in theirs)
    return undefined;
  return ours.warmNs / theirs.warmNs;
}
