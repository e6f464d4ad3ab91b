/**
 * How long a task waits for a turn while endless loops keep every hart busy: how late it is woken from a sleep
 * of one millisecond, and how late it reads what another task writes into a pipe. Beside the same program on
 * this host's kernel with as many processors, where a C compiler is. Needs the image `debian`.
 *
 *     node bench/fairness.ts [ROUNDS]
 */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { boot } from "../src/machine/boot.ts";
import { roundsFrom } from "./lib/rounds.ts";

const SPINNERS = [0, 2, 4, 8];
const HARTS = 2;
const GUEST_PATH = "/tmp/fairness";
const folder = path.join(import.meta.dirname, "guest");

/** What the program prints, as a row of the table. */
function row(system: string, spinners: number, output: string): string {
  const values = [...output.matchAll(/^(?:sleep|pipe) (-?\d+) (-?\d+)$/gm)].flatMap(([, median, most]) => [
    Number(median) / 1000,
    Number(most) / 1000,
  ]);
  if (values.length !== 4) throw new Error(`fairness printed ${JSON.stringify(output)}`);
  return `${system.padEnd(9)}${String(spinners).padStart(6)}  ${values.map((ms) => ms.toFixed(2).padStart(11)).join("")}`;
}

/** Measures with each number of endless loops. */
export async function measureFairness(rounds: number, print: (line: string) => void): Promise<void> {
  print(`${HARTS} harts, ${cpus().length} processors, ${rounds} rounds; milliseconds too late`);
  print("         loops   sleep: median    latest   pipe: median    latest");
  const native = mkdtempSync(path.join(tmpdir(), "fairness-"));
  try {
    const isBuilt = spawnSync("sh", [path.join(folder, "build.sh"), "--native", native]).status === 0;
    if (!isBuilt) print("native: not measured, its programs cannot be built here");
    await using machine = await boot({ image: "debian", harts: HARTS });
    await machine.fs.writeFile(GUEST_PATH, readFileSync(path.join(folder, "bin/fairness")), { mode: 0o755 });
    for (const spinners of SPINNERS) {
      const args = [String(spinners), String(rounds)];
      const { exitCode, stdout, stderr } = await machine.exec([GUEST_PATH, ...args]);
      if (exitCode !== 0) throw new Error(`fairness ended with ${exitCode}: ${stderr}`);
      print(row("coppice", spinners, stdout));
      if (isBuilt)
        print(
          row("native", spinners, execFileSync(path.join(native, "fairness"), args, { encoding: "utf8" })),
        );
    }
  } finally {
    rmSync(native, { recursive: true });
  }
}

if (import.meta.main) {
  const rounds = roundsFrom(
    "How long a task waits for a turn while endless loops keep every hart busy.",
    500,
  );
  await measureFairness(rounds, (line) => console.log(line));
}
