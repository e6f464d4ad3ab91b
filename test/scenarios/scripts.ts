/** The scenarios that are shell scripts: each `.sh` file of these folders, run with `-c` in /tmp. */

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Scenario } from "../../tools/oracle/scenario.ts";

/** What a script needs beside itself, by the name of the scenario. */
const SETTINGS: Readonly<Record<string, Partial<Scenario>>> = {
  "bash/printf": { env: { LC_ALL: "C.UTF-8", TZ: "UTC" } },
  "bash/strings": { env: { LC_ALL: "C.UTF-8" } },
  "permissions/owner-bits": { user: "nobody" },
  "programs/users": { allowMissing: { keyctl: "su looks for a session's keyring and goes on without" } },
};

const SHELLS = {
  bash: "bash",
  dash: "dash",
  files: "bash",
  permissions: "bash",
  programs: "bash",
  shell: "bash",
} as const;

export const scripts: readonly Scenario[] = Object.entries(SHELLS).flatMap(([group, shell]) => {
  const folder = path.join(import.meta.dirname, group);
  return readdirSync(folder)
    .sort()
    .map((file) => {
      const name = `${group}/${path.basename(file, ".sh")}`;
      const text = readFileSync(path.join(folder, file), "utf8");
      return { name, argv: [shell, "-c", text], cwd: "/tmp", ...SETTINGS[name] };
    });
});
