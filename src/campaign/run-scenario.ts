/** Running one scenario in a machine of its own. */

import path from "node:path";
import { low, X } from "../kernel/registers.ts";
import { Task } from "../kernel/task.ts";
import type { Scenario } from "./calls/scenario.ts";
import type { Driver, SegmentRunner, UserCode } from "./driver.ts";
import { GuestPrograms } from "./guest.ts";
import { installProgram, OneThreadMachine, spawnProgram, startMachine } from "./machine.ts";

const root = path.resolve(import.meta.dirname, "../..");
const HELLO = path.join(root, "bench/guest/bin/hello-exit");
const STEPS_MAX = 20_000;

export interface ScenarioRun {
  /** System calls that the scenario made, by number. */
  readonly calls: ReadonlySet<number>;
}

/** Makes the driver of a machine; `crashLoop.driver.bind(crashLoop)`, or a plain one. */
export type DriverFactory = (machine: OneThreadMachine, code: UserCode) => Driver;

/**
 * Runs `scenario` to its end. `whenReady` is called when the machine stands and the program is about to begin:
 * from there on its segments are the scenario's.
 */
export function runScenario(
  scenario: Scenario,
  createDriver: DriverFactory,
  whenReady: () => void = () => {},
): ScenarioRun {
  const machine = new OneThreadMachine({
    fixedEntropy: true,
    ...(scenario.memory === undefined ? {} : { memory: scenario.memory }),
  });
  const calls = new Set<number>();
  const programs = new GuestPrograms(machine.view, scenario.program);
  const code: UserCode = {
    drives: () => true,
    advance: (task) => {
      const trap = programs.advance(task);
      if (trap.kind === "syscall") calls.add(low(machine.view, Task.registers.get(machine.view, task), X.a7));
      return trap;
    },
  };
  const driver = createDriver(machine, code);
  const turn = (): void => {
    if (!driver.step()) throw new Error(`${scenario.name}: the machine stands still`);
  };
  startMachine(machine, turn);
  installProgram(machine, HELLO, "/bin/hello", turn);
  const options = {
    uid: scenario.uid ?? 0,
    ...(scenario.tty === true ? { tty: { columns: 80, rows: 24 } } : {}),
  };
  const { pid } = spawnProgram(machine, ["hello"], turn, options);
  whenReady();
  let steps = 0;
  while (driver.step()) {
    if (++steps > STEPS_MAX) throw new Error(`${scenario.name}: does not end`);
  }
  scenario.host?.({
    pid,
    call: (operation, args, payload) => machine.hostCall(operation, args, payload, turn),
    fails: (errno, work) => expectFailure(scenario, errno, work),
  });
  if (scenario.host === undefined && !programs.hasEnded)
    throw new Error(`${scenario.name}: its program did not come to its end`);
  return { calls };
}

function expectFailure({ name }: Scenario, errno: string, work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (error instanceof Error && error.message.endsWith(`: ${errno}`)) return;
    throw error;
  }
  throw new Error(`${name}: something of the host's did not fail with ${errno}`);
}

/** Runs segments as they are. */
export const plainly: SegmentRunner = (segment) => segment.run();
