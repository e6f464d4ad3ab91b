/** The manifests and the lock file. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { type LockFile, missingEntries } from "./complete-lock.ts";
import { root } from "./source.ts";

type Versions = Readonly<Record<string, string>>;

interface Manifest {
  readonly dependencies?: Versions;
  readonly devDependencies?: Versions;
  readonly optionalDependencies?: Versions;
  readonly peerDependencies?: Versions;
}

function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(path.join(root, name), "utf8")) as T;
}

const workspace = readJson<Manifest>("package.json");
const published = readJson<Manifest>("src/package.json");

test("the lock file holds no download addresses", () => {
  const { packages } = readJson<LockFile>("package-lock.json");
  const resolved = Object.entries(packages).filter(([, { resolved: address, link }]) => address && !link);
  assert.deepEqual(resolved, []);
});

test("the lock file has the packages of every platform; else run node tools/complete-lock.ts", () => {
  assert.deepEqual([...missingEntries(readJson<LockFile>("package-lock.json")).keys()], []);
});

test("every version is exact", () => {
  for (const manifest of [workspace, published]) {
    const { dependencies, devDependencies, optionalDependencies } = manifest;
    for (const [name, version] of Object.entries({
      ...dependencies,
      ...devDependencies,
      ...optionalDependencies,
    })) {
      assert.match(version, /^\d+\.\d+\.\d+/, name);
    }
  }
});

test("the pinned Node is for development: same version on all platforms, none in the published package", () => {
  const pinned = Object.entries(workspace.optionalDependencies ?? {});
  assert.equal(pinned.length, 5);
  assert.equal(new Set(pinned.map(([, version]) => version)).size, 1);
  assert.equal(published.optionalDependencies, undefined);
  assert.equal(published.devDependencies, undefined);
});

test("docs/DEPENDENCIES.md has a section for each dependency", () => {
  const text = readFileSync(path.join(root, "docs/DEPENDENCIES.md"), "utf8");
  const all = { ...workspace.devDependencies, ...workspace.optionalDependencies, ...published.dependencies };
  const missing = Object.keys(all).filter((name) => !text.includes(`\`${name}\``));
  assert.deepEqual(missing, []);
});
