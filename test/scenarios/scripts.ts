/** The scenarios that are scripts: each file of these folders, run in /tmp as the argument of its interpreter. */

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Scenario } from "../../tools/oracle/scenario.ts";
import { TOOLS_IMAGE } from "./programs-at-terminal.ts";

/** What a script needs beside itself, by the name of the scenario. */
const SETTINGS: Readonly<Record<string, Partial<Scenario>>> = {
  "bash/printf": { env: { LC_ALL: "C.UTF-8", TZ: "UTC" } },
  "bash/strings": { env: { LC_ALL: "C.UTF-8" } },
  "permissions/owner-bits": { user: "nobody" },
  "python/stdin-lines": { stdin: "a 1\nb 20\nlonger 300\nlast" },
  "tools/free-and-uptime": {
    allowMissing: { shmget: "pmap looks whether a mapping is a segment of System V" },
  },
  "programs/users": { allowMissing: { keyctl: "su looks for a session's keyring and goes on without" } },
};

/**
 * Python has no compiled modules in the image, so each run compiles what it imports: seconds without a translator.
 * These import little.
 */
const QUICK_PYTHON: ReadonlySet<string> = new Set([
  "python/exit-status",
  "python/recursion",
  "python/stdin-lines",
  "python/thread-exception",
  "python/fork-and-wait",
  "python/mmap",
  "python/select-and-poll",
  "python/resource-limits",
  "python/signal-death",
  "python/signal-handlers",
  "python/threading",
  "python/condition-and-timer",
]);
const SLOW = "it imports much of Python's library";

/** By group: what runs a script, and what the image needs for it. */
const GROUPS: Readonly<
  Record<string, { readonly argv: readonly string[]; readonly more?: Partial<Scenario> }>
> = {
  bash: { argv: ["bash", "-c"] },
  dash: { argv: ["dash", "-c"] },
  files: { argv: ["bash", "-c"] },
  permissions: { argv: ["bash", "-c"] },
  programs: { argv: ["bash", "-c"] },
  shell: { argv: ["bash", "-c"] },
  python: { argv: ["python3", "-c"], more: { image: TOOLS_IMAGE, timeoutMs: 240_000 } },
  perl: { argv: ["perl", "-e"], more: { image: TOOLS_IMAGE, timeoutMs: 60_000 } },
  tools: { argv: ["bash", "-c"], more: { image: TOOLS_IMAGE, timeoutMs: 120_000 } },
};

export const scripts: readonly Scenario[] = Object.entries(GROUPS).flatMap(([group, { argv, more }]) => {
  const folder = path.join(import.meta.dirname, group);
  return readdirSync(folder)
    .sort()
    .map((file) => {
      const name = `${group}/${path.parse(file).name}`;
      const text = readFileSync(path.join(folder, file), "utf8");
      const slow = group === "python" && !QUICK_PYTHON.has(name) ? { slow: SLOW } : {};
      return { name, argv: [...argv, text], cwd: "/tmp", ...more, ...slow, ...SETTINGS[name] };
    });
});
