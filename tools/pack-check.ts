/**
 * Packs the published package, installs it into an empty project, and uses it from there: the command, the
 * library, and its types. Nothing of the checkout is on any path while it does.
 *
 *     node tools/pack-check.ts [--keep]
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import assert from "node:assert/strict";
import { root } from "./source.ts";

const { values } = parseArgs({ options: { keep: { type: "boolean", default: false } } });

const folder = mkdtempSync(path.join(os.tmpdir(), "coppice-pack-"));
const project = path.join(folder, "project");

/** Runs a program in the empty project, where `node` is the Node that runs this. */
function run(program: string, ...argv: readonly string[]): string {
  const PATH = `${path.dirname(process.execPath)}${path.delimiter}${process.env["PATH"] ?? ""}`;
  return execFileSync(program, [...argv], { cwd: project, encoding: "utf8", env: { ...process.env, PATH } });
}

interface Packed {
  readonly filename: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

function pack(): Packed {
  const text = execFileSync("npm", ["pack", "-w", "coppice", "--json", "--pack-destination", folder], {
    cwd: root,
    encoding: "utf8",
  });
  // Newer versions of npm print an object by package name, older ones a list.
  const answer = JSON.parse(text.slice(text.search(/^[[{]/m))) as object;
  const [packed] = Object.values(answer) as Packed[];
  assert.ok(packed, "npm pack printed nothing");
  return packed;
}

function checkFiles({ files, unpackedSize }: Packed): void {
  const names = files.map(({ path: name }) => name);
  for (const needed of [
    "LICENSE",
    "README.md",
    "package.json",
    "dist/run/main.js",
    "dist/run/index.js",
    "dist/machine/index.d.ts",
  ]) {
    assert.ok(names.includes(needed), `${needed} is not in the package`);
  }
  const known = /^(LICENSE|README\.md|package\.json|dist\/run\/.+|dist\/.+\.d\.ts)$/;
  const unwanted = names.filter((name) => !known.test(name) || /\.test\.|\/testing\/|campaign/.test(name));
  assert.deepEqual(unwanted, [], "files that do not belong in the package");
  console.log(`     ${names.length} files, ${(unpackedSize / 1e6).toFixed(2)} MB`);
}

interface Manifest {
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: object;
}

function checkManifest(manifest: Manifest): void {
  const dependencies = manifest.dependencies ?? {};
  const platform = Object.keys(dependencies).filter((name) => /^node-(bin-)?(linux|darwin|win)/.test(name));
  assert.deepEqual(platform, [], "the pinned Node is for development only");
  assert.equal(manifest.optionalDependencies, undefined);
  for (const [name, version] of Object.entries(dependencies))
    assert.match(version, /^\d/, `${name} is not exact`);
}

const USE = `
import { boot, CoppiceError, type Machine } from "coppice";

export async function use(): Promise<string> {
  await using machine: Machine = await boot({ image: "debian", memory: 2 ** 28 });
  const { stdout, exitCode } = await machine.exec(["uname", "-m"]);
  if (exitCode !== 0) throw new CoppiceError({ code: "INTERNAL", part: "test", reason: "no" });
  return stdout;
}
`;

try {
  const packed = pack();
  checkFiles(packed);
  mkdirSync(project);
  writeFileSync(path.join(project, "package.json"), '{ "private": true, "type": "module" }\n');
  run("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", path.join(folder, packed.filename));
  const manifest = JSON.parse(
    readFileSync(path.join(project, "node_modules/coppice/package.json"), "utf8"),
  ) as Manifest;
  checkManifest(manifest);

  assert.equal(run("npx", "--no-install", "coppice", "--version"), `coppice ${manifest.version}\n`);
  assert.match(run("npx", "--no-install", "coppice", "run", "--help"), /^Usage: coppice run /);
  const kinds = 'import("coppice").then((m) => console.log(typeof m.boot, typeof m.CoppiceError))';
  assert.equal(run("node", "-e", kinds), "function function\n");

  writeFileSync(path.join(project, "use.ts"), USE);
  const tsc = path.join(root, "node_modules/typescript/bin/tsc");
  const options = "--noEmit --strict --exactOptionalPropertyTypes --module nodenext --target es2024";
  run("node", tsc, ...options.split(" "), "--lib", "es2024,esnext.disposable,dom", "--types", "", "use.ts");
  console.log("the packed package works in an empty project");
} finally {
  if (values.keep) console.log(folder);
  else rmSync(folder, { recursive: true, force: true });
}
