/**
 * Writes docs/SYSCALLS.md from the table of system calls (src/linux/table.ts), or says whether it is current.
 *
 *     node tools/syscalls.ts [--check]
 */

import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { CallRow, SupportLevel } from "../src/linux/row.ts";
import { callRows } from "../src/linux/table.ts";
import { root } from "./source.ts";

export const SYSCALLS_PAGE: string = path.join(root, "docs", "SYSCALLS.md");

const WORDS: Readonly<Record<SupportLevel, string>> = { full: "yes", partial: "partly", none: "no" };

function waitText(row: CallRow): string {
  if (row.handler === undefined || row.wait === "none") return "";
  return row.restart === "restart" ? row.wait : `${row.wait}, ${row.restart}`;
}

function line(row: CallRow): string {
  const cells = [String(row.number), `\`${row.name}\``, WORDS[row.support], waitText(row), row.note];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

/** The page, from the table. */
export function syscallsPage(rows: readonly CallRow[]): string {
  const count = (level: SupportLevel): number => rows.filter(({ support }) => support === level).length;
  const page = [
    "# System calls",
    "",
    "<!-- Written by `node tools/syscalls.ts` from src/linux/table.ts; a test checks that it is current. -->",
    "",
    `The system calls of Linux riscv64: ${count("full")} are there, ${count("partial")} partly, ${count("none")} not.`,
    "One that is not there, and any number without a row, answers `ENOSYS`.",
    "",
    "*Waits* says how a call waits: **retry** runs again from its beginning when its condition may hold, **enqueue**",
    "has left a record that whoever wakes it completes (rule R1 of the design). A call that a signal handler",
    "interrupts begins again if the handler was set up with `SA_RESTART`, else ends with `EINTR`; **interrupt** always",
    "ends, **uninterruptible** is finished before any handler runs.",
    "",
    "| number | name | supported | waits | note |",
    "|---:|---|---|---|---|",
    ...rows.map(line),
  ];
  return `${page.join("\n")}\n`;
}

/** Whether docs/SYSCALLS.md says what the table says. */
export function isCurrent(): boolean {
  try {
    return readFileSync(SYSCALLS_PAGE, "utf8") === syscallsPage(callRows);
  } catch {
    return false;
  }
}

if (import.meta.main) {
  if (!process.argv.includes("--check")) writeFileSync(SYSCALLS_PAGE, syscallsPage(callRows));
  else if (!isCurrent()) {
    process.stderr.write("docs/SYSCALLS.md is not current: run `node tools/syscalls.ts`\n");
    process.exitCode = 1;
  }
}
