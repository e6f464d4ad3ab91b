/**
 * What placement and deaths cost in a running machine: the time of three bash commands with servers in their
 * callers' threads and in threads of their own, and the time from the end of a thread until another has taken
 * its place. Needs the image `debian`.
 *
 *     node bench/machine.ts [ROUNDS]
 */

import { boot, bootWithFaults } from "../src/machine/boot.ts";
import { median } from "./lib/measure.ts";
import { roundsFrom } from "./lib/rounds.ts";

const COMMANDS: readonly (readonly [name: string, script: string])[] = [
  ["8 MB through a pipe, 64 KiB a time", "head -c 8000000 /dev/zero | cat | wc -c"],
  [
    "5,000 bytes through a pipe, 1 a time",
    "dd if=/dev/zero bs=1 count=5000 2>/dev/null | dd bs=1 2>/dev/null | wc -c",
  ],
  ["20 forks and execs of /bin/true", "for i in $(seq 20); do /bin/true; done"],
];
const PLACEMENTS = [
  {},
  { pipe: "worker" },
  { auth: "worker" },
  { pipe: "worker", auth: "worker" },
  { vfs: "worker", tty: "worker", pipe: "worker", auth: "worker" },
] as const;

/** Measures the commands in each placement. */
export async function measurePlacements(rounds: number, print: (line: string) => void): Promise<void> {
  for (const placement of PLACEMENTS) {
    const workers = Object.keys(placement).join(", ");
    await using machine = await boot({ image: "debian", placement });
    for (const [name, script] of COMMANDS) {
      const times: number[] = [];
      for (let round = 0; round <= rounds; round++) {
        const start = performance.now();
        await machine.exec(["bash", "-c", script]);
        times.push(performance.now() - start);
      }
      // The first round loads programs from the image.
      const [best, middle] = [Math.min(...times.slice(1)), median(times.slice(1))];
      const place = workers === "" ? "all in their callers" : `${workers} in worker`;
      print(
        `${place.padEnd(34)} ${name.padEnd(38)} best ${best.toFixed(0).padStart(5)} ms, median ${middle.toFixed(0)}`,
      );
    }
  }
}

/** Ends harts and servers' threads under load, and says how long their places stay empty. */
export async function measureDeaths(rounds: number, print: (line: string) => void): Promise<void> {
  for (const [what, target, pause] of [
    ["hart, a spare at hand", 0, 2500],
    ["hart, at once again", 0, 0],
    ["pipe server", "pipe", 0],
  ] as const) {
    const placement = target === "pipe" ? { pipe: "worker" as const } : {};
    const { machine, faults } = await bootWithFaults({ image: "debian", placement }, { hooks: true });
    let isOver = false;
    const load = (async () => {
      while (!isOver) await machine.exec(["bash", "-c", "seq 300 | sort -n | cat | tail -1"]);
    })();
    const times: number[] = [];
    while (times.length < rounds) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      if ((await faults.stopAt(target, { point: "store", count: 20 }, 10_000)) === undefined) continue;
      const start = performance.now();
      faults.end(target);
      if (!(await faults.replaced(target, 30_000))) throw new Error(`${what}: not replaced`);
      times.push(performance.now() - start);
    }
    isOver = true;
    await load;
    await machine[Symbol.asyncDispose]();
    const [best, worst] = [Math.min(...times), Math.max(...times)];
    print(
      `${what.padEnd(24)} best ${best.toFixed(0)} ms, median ${median(times).toFixed(0)}, worst ${worst.toFixed(0)}`,
    );
  }
}

if (import.meta.main) {
  const rounds = roundsFrom(
    "Three bash commands in five placements, and how long the places of dead threads stay empty.",
    9,
  );
  await measurePlacements(rounds, (line) => console.log(line));
  await measureDeaths(rounds, (line) => console.log(line));
}
