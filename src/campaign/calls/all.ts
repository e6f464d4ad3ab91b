/** All scenarios of the crash campaign. */

import { crowds } from "./crowds.ts";
import { events } from "./events.ts";
import { files } from "./files.ts";
import { host } from "./host.ts";
import { inodes } from "./inodes.ts";
import { interrupts, terminalModes } from "./interrupts.ts";
import { identity, memory, signals, system, terminals, time } from "./others.ts";
import { memoryFiles } from "./memory-files.ts";
import { mutexes } from "./mutexes.ts";
import { pipes } from "./pipes.ts";
import { processes } from "./processes.ts";
import type { Scenario } from "./scenario.ts";
import { sharing } from "./sharing.ts";
import { watches } from "./watches.ts";
import { socketScenarios } from "./sockets.ts";

export const scenarios: readonly Scenario[] = [
  ...files,
  ...pipes,
  ...socketScenarios,
  ...events,
  ...processes,
  ...signals,
  ...memory,
  ...time,
  ...identity,
  ...terminals,
  ...system,
  ...inodes,
  ...sharing,
  ...interrupts,
  ...terminalModes,
  ...crowds,
  ...memoryFiles,
  ...watches,
  ...mutexes,
  ...host,
];
