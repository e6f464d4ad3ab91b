/** The command line of a benchmark that takes nothing but a number of rounds. */

import { basename } from "node:path";
import { parseArgs } from "node:util";

/**
 * The number of rounds that the command line asks for, `fallback` without one. `--help` prints what the benchmark
 * measures; with that, or with anything that is not understood (exit status 2), the process ends here.
 */
export function roundsFrom(what: string, fallback: number): number {
  const name = basename(process.argv[1] ?? "", ".ts");
  const usage = `usage: node bench/${name}.ts [ROUNDS]\n\n${what}\n\n  ROUNDS  ${fallback} if left out\n`;
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { help: { type: "boolean" } },
    });
    if (values.help === true) {
      process.stdout.write(usage);
      process.exit(0);
    }
    const rounds = Number(positionals[0] ?? fallback);
    if (positionals.length > 1 || !Number.isInteger(rounds) || rounds < 1)
      throw new TypeError("give one whole number of rounds, from 1");
    return rounds;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    process.stderr.write(`bench: ${error.message}\n${usage}`);
    process.exit(2);
  }
}
