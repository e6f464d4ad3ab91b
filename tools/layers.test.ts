/** The direction of imports: see layers.ts for the edges that are allowed. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { LAYERS, layerOf, PUBLIC_FACE } from "./layers.ts";
import { isTest, parseSource, place, readSources, root, type SourceFile } from "./source.ts";

interface PackageFile {
  readonly dependencies?: Readonly<Record<string, string>>;
}

interface ProjectFile {
  readonly compilerOptions?: { readonly types?: readonly string[] };
  readonly references?: readonly { readonly path: string }[];
}

const sources = readSources(["src"]).filter((file) => !isTest(file));

function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(path.join(root, name), "utf8")) as T;
}

/** What is wrong with the imports of `file`, as lines to print. */
function importFaults(file: SourceFile, dependencies: ReadonlySet<string>): string[] {
  const own = layerOf(file.path);
  const layer = LAYERS[own];
  if (!layer) return [`${file.path}: the folder src/${own} is not in LAYERS`];
  const faults: string[] = [];
  for (const { target, relative, start } of file.imports) {
    const fault = (text: string): unknown => faults.push(`${place(file, start)}: ${text}`);
    if (relative) {
      const other = layerOf(target);
      if (!target.startsWith("src/")) fault(`imports ${target}, which is not part of the package`);
      else if (other !== own && !layer.imports.includes(other)) fault(`${own} may not import ${target}`);
      else if (!target.endsWith(".ts")) fault(`write the import of ${target} with its .ts extension`);
      else if (isTest({ path: target })) fault(`imports the test ${target}`);
    } else if (target.startsWith("node:")) {
      if (!layer.node) fault(`${own} runs on any host and may not import ${target}`);
    } else {
      const name = target.split("/", target.startsWith("@") ? 2 : 1).join("/");
      if (!dependencies.has(name)) fault(`${name} is not a dependency of the published package`);
    }
  }
  return faults;
}

/** A cycle of imports as a list of paths, or undefined when there is none. */
function findCycle(files: readonly SourceFile[]): string[] | undefined {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const finished = new Set<string>();
  const trail: string[] = [];
  const visit = (name: string): string[] | undefined => {
    if (finished.has(name)) return undefined;
    const at = trail.indexOf(name);
    if (at >= 0) return [...trail.slice(at), name];
    trail.push(name);
    for (const { target, relative } of byPath.get(name)?.imports ?? []) {
      const cycle = relative ? visit(target) : undefined;
      if (cycle) return cycle;
    }
    trail.pop();
    finished.add(name);
    return undefined;
  };
  for (const { path: name } of files) {
    const cycle = visit(name);
    if (cycle) return cycle;
  }
  return undefined;
}

/** Whether a file does nothing but hand on what others export. */
function isBarrel(file: SourceFile): boolean {
  const body = file.program["body"] as readonly { readonly type: string; readonly source?: unknown }[];
  const handsOn = (type: string, source: unknown): boolean =>
    type === "ExportAllDeclaration" || (type === "ExportNamedDeclaration" && Boolean(source));
  const rest = body.filter(({ type }) => type !== "ImportDeclaration");
  return rest.length > 0 && rest.every(({ type, source }) => handsOn(type, source));
}

test("imports go only where the layers allow", () => {
  const dependencies = new Set(Object.keys(readJson<PackageFile>("src/package.json").dependencies ?? {}));
  assert.deepEqual(
    sources.flatMap((file) => importFaults(file, dependencies)),
    [],
  );
});

test("relative imports and worker entries name files that exist", () => {
  const missing = sources.flatMap((file) =>
    file.imports
      .filter(({ target, relative }) => relative && !existsSync(path.join(root, target)))
      .map(({ target, start }) => `${place(file, start)}: ${target}`),
  );
  assert.deepEqual(missing, []);
});

test("no imports go in a circle, not even of types", () => {
  assert.equal(findCycle(sources)?.join(" → "), undefined);
});

test("no file but the public face only hands on what others export", () => {
  const barrels = sources.filter((file) => file.path !== PUBLIC_FACE && isBarrel(file));
  assert.deepEqual(
    barrels.map(({ path: name }) => name),
    [],
  );
});

test("the tsconfig of each layer has the same edges as project references", () => {
  for (const [name, layer] of Object.entries(LAYERS)) {
    const project = readJson<ProjectFile>(`src/${name}/tsconfig.json`);
    const references = (project.references ?? []).map((reference) => path.posix.basename(reference.path));
    assert.deepEqual(
      references.toSorted(),
      layer.imports.toSorted(),
      `references of src/${name}/tsconfig.json`,
    );
    assert.equal(
      project.compilerOptions?.types?.includes("node") ?? false,
      layer.node,
      `Node's types in src/${name}/tsconfig.json`,
    );
  }
  const all = readJson<ProjectFile>("tsconfig.json").references ?? [];
  assert.deepEqual(
    all
      .filter(({ path: name }) => name.startsWith("src/"))
      .map(({ path: name }) => layerOf(name))
      .toSorted(),
    Object.keys(LAYERS).toSorted(),
    "references of tsconfig.json",
  );
});

test("the checks themselves see forbidden edges, circles and barrels", () => {
  const upward = parseSource("src/heap/x.ts", `import type { A } from "../kernel/a.ts";`);
  assert.match(importFaults(upward, new Set()).join(), /heap may not import src\/kernel\/a\.ts/);
  const types = parseSource("src/heap/x.ts", `export type A = import("../linux/a.ts").A;`);
  assert.match(importFaults(types, new Set()).join(), /heap may not import src\/linux\/a\.ts/);
  const worker = parseSource(
    "src/kernel/x.ts",
    "new URL(`../machine/entry${moduleExtension(import.meta.url)}`, import.meta.url);",
  );
  assert.match(importFaults(worker, new Set()).join(), /kernel may not import src\/machine\/entry\.ts/);
  const node = parseSource("src/heap/x.ts", `import "node:fs"; import "left-pad";`);
  assert.equal(importFaults(node, new Set()).length, 2);
  assert.deepEqual(
    importFaults(parseSource("src/cli/x.ts", `import "left-pad/x";`), new Set(["left-pad"])),
    [],
  );
  const circle = [
    parseSource("src/heap/a.ts", `import "./b.ts";`),
    parseSource("src/heap/b.ts", `export type A = import("./a.ts").A;`),
  ];
  assert.deepEqual(findCycle(circle), ["src/heap/a.ts", "src/heap/b.ts", "src/heap/a.ts"]);
  assert.equal(
    isBarrel(parseSource("src/heap/a.ts", `export * from "./b.ts"; export { c } from "./c.ts";`)),
    true,
  );
  assert.equal(
    isBarrel(parseSource("src/heap/a.ts", `export { c } from "./c.ts"; export const d = 1;`)),
    false,
  );
});
