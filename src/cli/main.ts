#!/usr/bin/env node
/** The entry of the `coppice` command. */

import { readFileSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { dirname } from "node:path";
import { moduleExtension } from "../base/module-extension.ts";

/** Oldest major version of Node that the package runs on, as `engines` says. */
const NODE_MIN = 24;

/** The version in package.json, which lies one folder further up from the built files. */
function readVersion(): string {
  const up = moduleExtension(import.meta.url) === ".ts" ? "../" : "../../";
  const text = readFileSync(new URL(`${up}package.json`, import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

async function main(): Promise<number> {
  // Compiled modules are kept on disk, for this thread and those of the machine: half of a start is compiling.
  const cache = enableCompileCache();
  if (cache.directory !== undefined) process.env["NODE_COMPILE_CACHE"] ??= dirname(cache.directory);
  if (Number.parseInt(process.versions.node, 10) < NODE_MIN) {
    process.stderr.write(
      `coppice: Node ${process.versions.node} is too old\n  use Node ${NODE_MIN} or later: https://nodejs.org\n`,
    );
    return 125;
  }
  const { processConsole } = await import("./host-console.ts");
  const { runCommandLine } = await import("./command-line.ts");
  const { services } = await import("./services.ts");
  return runCommandLine(process.argv.slice(2), readVersion(), process.env, processConsole(), services);
}

const status = await main();
// What has been written goes out first; then nothing that still runs (a pending read, a timer) may delay the end.
for (const stream of [process.stdout, process.stderr]) {
  if (!stream.destroyed) await new Promise((resolve) => stream.write("", resolve));
}
process.exit(status);
