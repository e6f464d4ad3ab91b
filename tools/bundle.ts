/**
 * Bundles the sources: one file for each thread of a machine, and two for the command.
 *
 *     node tools/bundle.ts            for this checkout, where bin/coppice runs it
 *
 * What it buys is speed. In a module, every use of an import reads a cell, asks whether it is initialised, and
 * guards what it found; in one scope the engine knows constants and functions. `node bench/run.ts --only
 * write-null` of a bundle takes about 0.7 of what the modules take, a start 0.65.
 *
 * The interpreter's module and tables are made here too: they follow from the sources, and take longer to make
 * than all else that a boot does.
 *
 * A checkout's bundle lies in src/dist/run-ID, and src/dist/current names the folder: several processes may
 * bundle at once, and one that runs keeps its files. The published package has src/dist/run.
 */

import { randomBytes } from "node:crypto";
import {
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { rolldown } from "rolldown";
import { makeTier0Tables } from "../src/machine/interpreter.ts";
import { INTERPRETER_FILES } from "../src/machine/interpreter-files.ts";
import { buildTier0 } from "../src/riscv/tier0.ts";
import { root } from "./source.ts";

const src = path.join(root, "src");
const dist = path.join(src, "dist");
const currentFile = path.join(dist, "current");

/** Files that are entered by themselves: as a program, as the library, as a thread. */
export const ENTRIES = [
  "machine/index",
  "machine/hart-thread",
  "machine/io-thread",
  "machine/server-thread",
  "machine/translator-thread",
  "machine/warden-thread",
  "image/unpack-worker",
  "cli/main",
] as const;

/** A bundle that no process can run on any more, if it is no longer the current one. */
const OLD_MS = 3_600_000;

/** Bundles every entry into `folder`, each by itself, so that nothing it uses is outside its scope. */
export async function bundleInto(folder: string): Promise<void> {
  const external = [/^node:/, ...Object.keys(publishedDependencies())];
  for (const entry of ENTRIES) {
    const build = await rolldown({ input: path.join(src, `${entry}.ts`), platform: "node", external });
    // The command's first file is small: it asks for the compile cache before it loads the rest.
    const isCommand = entry === "cli/main";
    await build.write({
      dir: folder,
      format: "esm",
      entryFileNames: "[name].js",
      chunkFileNames: "command-[name].js",
      codeSplitting: isCommand,
      comments: false,
    });
    await build.close();
  }
  writeFileSync(path.join(folder, INTERPRETER_FILES.module), buildTier0());
  writeFileSync(path.join(folder, INTERPRETER_FILES.withRegions), buildTier0({ regions: true }));
  writeFileSync(path.join(folder, INTERPRETER_FILES.tables), makeTier0Tables());
}

function publishedDependencies(): Readonly<Record<string, string>> {
  const text = readFileSync(path.join(src, "package.json"), "utf8");
  return (JSON.parse(text) as { dependencies: Record<string, string> }).dependencies;
}

/** The folder of this checkout's bundle, or undefined if there is none or a source has changed since. */
function freshBundle(): string | undefined {
  const since = statSync(currentFile, { throwIfNoEntry: false })?.mtimeMs;
  if (since === undefined) return undefined;
  // Folders too: they change when a file in them goes.
  const names = globSync(["**/*.ts", "**/", "package.json"], {
    cwd: src,
    exclude: (name) => name === "dist",
  });
  if (names.some((name) => statSync(path.join(src, name)).mtimeMs > since)) return undefined;
  const folder = path.join(dist, readFileSync(currentFile, "utf8").trim());
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true ? folder : undefined;
}

function removeOld(keep: string): void {
  for (const name of readdirSync(dist)) {
    const folder = path.join(dist, name);
    if (!name.startsWith("run-") || name === keep) continue;
    if (Date.now() - statSync(folder).mtimeMs > OLD_MS) rmSync(folder, { recursive: true, force: true });
  }
}

/** The folder of this checkout's bundle, made anew if a source has changed. */
export async function currentBundle(): Promise<string> {
  const fresh = freshBundle();
  if (fresh !== undefined) return fresh;
  const name = `run-${randomBytes(6).toString("hex")}`;
  mkdirSync(dist, { recursive: true });
  const began = new Date();
  await bundleInto(path.join(dist, name));
  const temporary = path.join(dist, `${name}.current`);
  writeFileSync(temporary, `${name}\n`);
  // Sources that have changed while they were read are newer than the bundle.
  utimesSync(temporary, began, began);
  renameSync(temporary, currentFile);
  removeOld(name);
  return path.join(dist, name);
}

if (import.meta.main) console.log(await currentBundle());
