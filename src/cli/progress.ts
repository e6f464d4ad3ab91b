/**
 * Draws the progress of an image build on stderr: on a terminal one line that changes, and a line that stays
 * for each phase that has ended; elsewhere plain lines, every few seconds.
 */

import type { Phase, PhaseReport, Progress } from "../image/progress.ts";

/** Where progress goes. */
export interface ProgressTarget {
  write(text: string): void;
  /** Whether the line may be drawn over. */
  readonly terminal: boolean;
  /** Width in characters. */
  columns(): number;
  nowMs(): number;
}

/** Between two drawings on a terminal, and two lines elsewhere. */
const REDRAW_MS = 100;
const LINE_MS = 5000;

/** Bytes for people, in powers of ten, as download tools show them: `41.7 MB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[unit]}`;
}

/** `3/86` when the whole is known, else `3`. */
function ofTotal(done: number, total: number, format: (value: number) => string): string {
  return total > 0 ? `${format(done)}/${format(total)}` : format(done);
}

function facts(report: PhaseReport): string[] {
  const parts: string[] = [];
  if (report.items > 0 || report.totalItems > 0) parts.push(ofTotal(report.items, report.totalItems, String));
  if (report.bytes > 0 || report.totalBytes > 0) {
    parts.push(ofTotal(report.bytes, report.totalBytes, formatBytes));
  }
  if (report.rate > 0) parts.push(`${formatBytes(report.rate)}/s`);
  if (report.totalBytes > 0) parts.push(`${Math.floor((100 * report.bytes) / report.totalBytes)} %`);
  return parts;
}

/** What is going on in a phase: `download 12/86 10.2 MB/41.7 MB 8.31 MB/s 24 % perl-base`. */
function ongoing(report: PhaseReport): string {
  return [report.phase, ...facts(report), report.detail].filter((part) => part !== "").join(" ");
}

/** What came of a phase: `download: 86, 41.7 MB (30.1 MB from the cache), 8.31 MB/s, 1.4 s`. */
function ended(report: PhaseReport): string {
  const parts: string[] = [];
  if (report.items > 0) parts.push(String(report.items));
  if (report.bytes > 0) {
    const cached = report.cachedBytes > 0 ? ` (${formatBytes(report.cachedBytes)} from the cache)` : "";
    parts.push(formatBytes(report.bytes) + cached);
  }
  if (report.rate > 0) parts.push(`${formatBytes(report.rate)}/s`);
  parts.push(`${(report.elapsedMs / 1000).toFixed(1)} s`);
  return `${report.phase}: ${parts.join(", ")}`;
}

/** A progress that draws, and `close`, which takes the changing line away. */
export function drawProgress(target: ProgressTarget): Progress & { close(): void } {
  const active = new Map<Phase, PhaseReport>();
  let drawnAtMs = target.nowMs();
  let drawn = false;

  const erase = (): void => {
    if (drawn) target.write("\r\u001b[K");
    drawn = false;
  };
  const line = (text: string): void => {
    erase();
    target.write(`${text}\n`);
  };
  const draw = (): void => {
    const text = [...active.values()].map(ongoing).join(" │ ");
    if (target.terminal) {
      target.write(`\r\u001b[K${text.slice(0, target.columns() - 1)}`);
      drawn = true;
    } else line(text);
    drawnAtMs = target.nowMs();
  };
  return {
    report(report) {
      if (report.state === "end") {
        active.delete(report.phase);
        line(ended(report));
        return;
      }
      active.set(report.phase, report);
      if (target.nowMs() - drawnAtMs >= (target.terminal ? REDRAW_MS : LINE_MS)) draw();
    },
    note(message) {
      line(message);
    },
    close: erase,
  };
}
