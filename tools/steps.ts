/** Running the programs that checks consist of, one after the other, with a line for each. */

import { spawn } from "node:child_process";
import { root } from "./source.ts";

export interface StepResult {
  readonly name: string;
  readonly passed: boolean;
  /** What it wrote to stdout and stderr. */
  readonly output: string;
}

export interface StepOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Show what the step writes as it comes. Default: only when it failed, at its end. */
  readonly live?: boolean;
}

/** Runs a program and tells on stdout how it went. */
export async function runStep(
  name: string,
  command: readonly [string, ...string[]],
  options: StepOptions = {},
): Promise<StepResult> {
  const startedAt = performance.now();
  const [program, ...argv] = command;
  const live = options.live ?? false;
  if (live) console.log(`\n== ${name}`);
  const child = spawn(program, argv, {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
      if (live) process.stdout.write(chunk);
    });
  }
  const passed = await new Promise<boolean>((resolve) => {
    child.on("error", (error) => {
      output += `${error.message}\n`;
      resolve(false);
    });
    child.on("close", (status) => resolve(status === 0));
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  if (!passed && !live && output.trim() !== "") console.log(output.trimEnd());
  console.log(`${passed ? "pass" : "FAIL"} ${name} (${seconds} s)`);
  return { name, passed, output };
}
