/**
 * What the benchmark measures, as data: one row for each line of the table. A row names a program, how it is
 * run cold and warm, and how the nanoseconds of one operation follow from what it printed or how long it took.
 */

import { cpuPrograms } from "../guest/manifest.ts";

/** How much work: as documented, less of it, or just enough to see that the row still works. */
export type Effort = "full" | "quick" | "tiny";

/** A program that every system can run. */
export type Program =
  /** A program of bench/guest. */
  | { readonly kind: "guest"; readonly name: string }
  /** The shell of the system with this script as its `-c` argument. */
  | { readonly kind: "bash" }
  /** Python 3, with these arguments. */
  | { readonly kind: "python" }
  /** From nothing to the end of an interactive shell that is told to exit. */
  | { readonly kind: "startup" };

/** What a run gave. */
export interface RunOutput {
  readonly stdout: string;
  readonly stderr: string;
  readonly wallNs: number;
}

export interface Row {
  readonly name: string;
  readonly what: string;
  /** Unit of the table. */
  readonly unit: "ns" | "µs" | "ms";
  readonly program: Program;
  /** Arguments of the first run in a fresh machine, and of the runs that are repeated. */
  readonly cold: (effort: Effort) => readonly string[];
  readonly warm: (effort: Effort) => readonly string[];
  /** Nanoseconds of one operation. Throws if the program did not do what it should. */
  readonly read: (output: RunOutput, effort: Effort) => { readonly cold: number; readonly warm: number };
  /** Runs of each system in a full measurement; their median counts. */
  readonly rounds: number;
  /** The greatest ratio to native Linux that the project demands, where it demands one. */
  readonly required?: number;
}

const ROUNDS = 5;

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const cpuRows: readonly Row[] = cpuPrograms.map((program) => {
  const sizeFor = (effort: Effort): { size: number; output: string } =>
    effort === "tiny" ? program.tiny : program.usual;
  return {
    name: program.name,
    what: program.what,
    unit: "ms",
    program: { kind: "guest", name: program.name },
    cold: (effort) => [String(sizeFor(effort).size), "1"],
    warm: (effort) => [String(sizeFor(effort).size), "3"],
    rounds: ROUNDS,
    read: ({ stdout, stderr }, effort) => {
      if (stdout.trim() !== sizeFor(effort).output) throw new Error(`${program.name} printed ${stdout}`);
      const runs = [...stderr.matchAll(/^run \d+: (\d+) ns$/gm)].map((match) => Number(match[1]));
      const [first] = runs;
      if (first === undefined) throw new Error(`${program.name} printed no time: ${stderr}`);
      return { cold: first, warm: runs.length > 1 ? median(runs.slice(1)) : first };
    },
  };
});

/** Operations that a cold run makes: so few that no code is warm. */
const COLD_OPERATIONS = 10;
const QUICK_DIVISOR = 10;

function callRow(name: string, what: string, iterations: number, unit: Row["unit"], required?: number): Row {
  const operations = (effort: Effort): number => {
    if (effort === "full") return iterations;
    return effort === "quick" ? Math.ceil(iterations / QUICK_DIVISOR) : 2;
  };
  return {
    name,
    what,
    unit,
    program: { kind: "guest", name: "syscalls" },
    cold: () => [name, String(COLD_OPERATIONS)],
    warm: (effort) => [name, String(operations(effort))],
    rounds: ROUNDS,
    ...(required === undefined ? {} : { required }),
    read: ({ stdout }) => {
      const match = /^(\S+) \d+ (\d+)$/.exec(stdout.trim());
      if (match?.[1] !== name) throw new Error(`syscalls ${name} printed ${stdout}`);
      return { cold: Number(match[2]), warm: Number(match[2]) };
    },
  };
}

const LOOP = { full: 100_000, quick: 20_000, tiny: 20 } as const;

const bashLoop: Row = {
  name: "bash-loop",
  what: `a loop of ${LOOP.full} rounds in bash`,
  unit: "ms",
  program: { kind: "bash" },
  cold: (effort) => ["-c", `i=0; while ((i < ${LOOP[effort]})); do ((i += 1)); done; echo $i`],
  warm: (effort) => ["-c", `i=0; while ((i < ${LOOP[effort]})); do ((i += 1)); done; echo $i`],
  rounds: ROUNDS,
  read: ({ stdout, wallNs }, effort) => {
    if (stdout.trim() !== String(LOOP[effort])) throw new Error(`bash printed ${stdout}`);
    // The table shows the time of the documented loop.
    const ns = (wallNs * LOOP.full) / LOOP[effort];
    return { cold: ns, warm: ns };
  },
};

const startup: Row = {
  name: "start-up",
  what: "printf exit | bin/coppice run -i debian bash",
  unit: "ms",
  program: { kind: "startup" },
  cold: () => [],
  warm: () => [],
  rounds: 9,
  read: ({ wallNs }) => ({ cold: wallNs, warm: wallNs }),
};

const pythonStart: Row = {
  name: "python-start",
  what: "python3 -c pass (native: the host's own version)",
  unit: "ms",
  program: { kind: "python" },
  cold: () => ["-c", "pass"],
  warm: () => ["-c", "pass"],
  rounds: 9,
  read: ({ wallNs }) => ({ cold: wallNs, warm: wallNs }),
};

export const rows: readonly Row[] = [
  ...cpuRows,
  bashLoop,
  pythonStart,
  callRow("null-call", "getppid", 1_000_000, "ns", 1),
  callRow("read-zero", "1-byte read of /dev/zero", 500_000, "ns", 1),
  callRow("write-null", "1-byte write to /dev/null", 500_000, "ns", 1),
  callRow("pipe-byte", "1-byte write to and read from a pipe", 300_000, "ns", 1),
  callRow("pipe-trip", "pipe round trip between two processes", 20_000, "µs"),
  callRow("fork-exit", "fork, exit, wait", 1500, "µs"),
  callRow("fork-exec", "fork, exec, exit, wait", 1500, "µs", 3),
  startup,
];
