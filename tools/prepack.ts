/**
 * Runs before `npm pack -w coppice`: builds what is published, takes stale files out of `src/dist`, and puts
 * the licence and the README beside package.json, where npm looks for them.
 */

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, globSync, rmSync } from "node:fs";
import path from "node:path";
import { bundleInto } from "./bundle.ts";
import { isTest, root } from "./source.ts";

const dist = path.join(root, "src/dist");

for (const name of globSync("**/*.d.ts", { cwd: dist })) {
  const source = path.join(root, "src", name.replace(/\.d\.ts$/, ".ts"));
  if (!existsSync(source) || isTest({ path: source })) rmSync(path.join(dist, name));
}
execFileSync("tsc", ["-b", "src/cli"], { cwd: root, stdio: ["ignore", 2, 2] });
rmSync(path.join(dist, "run"), { recursive: true, force: true });
await bundleInto(path.join(dist, "run"));
for (const name of ["LICENSE", "README.md"])
  copyFileSync(path.join(root, name), path.join(root, "src", name));
