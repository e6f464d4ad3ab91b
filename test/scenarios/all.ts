/** All scenarios. The answers of each group lie in a file of `golden`. */

import type { Scenario } from "../../tools/oracle/scenario.ts";
import { basics } from "./basics.ts";
import { coreutils } from "./coreutils.ts";
import { mounts } from "./mounts.ts";
import { atTerminal } from "./programs-at-terminal.ts";
import { scripts } from "./scripts.ts";
import { terminal } from "./terminal.ts";

export const scenarios: readonly Scenario[] = [
  ...basics,
  ...scripts,
  ...coreutils,
  ...mounts,
  ...terminal,
  ...atTerminal,
];
