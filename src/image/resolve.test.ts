import assert from "node:assert/strict";
import { test } from "node:test";
import { ImageError } from "./errors.ts";
import { parseRelations, readPackageIndex } from "./package-index.ts";
import { baseSet, resolvePackages } from "./resolve.ts";

/** One package a line: `name version field=value; field=value`. */
function indexOf(...lines: string[]): ReturnType<typeof readPackageIndex> {
  const stanzas = lines.map((line) => {
    const [, name, version, rest] = /^(\S+) (\S+) ?(.*)$/.exec(line) ?? [];
    const fields = (rest ?? "")
      .split("; ")
      .filter((part) => part !== "")
      .map((part) => part.replace("=", ": "));
    return [`Package: ${name}`, `Version: ${version}`, "Architecture: riscv64", ...fields].join("\n");
  });
  return readPackageIndex(`${stanzas.join("\n\n")}\n`, "riscv64");
}

function names(index: ReturnType<typeof indexOf>, ...wanted: string[]): string {
  return resolvePackages(index, wanted)
    .packages.map(({ name }) => name)
    .join(" ");
}

test("closure over Depends and Pre-Depends, circles included", () => {
  const index = indexOf("a 1 Depends=b", "b 1 Pre-Depends=c", "c 1 Depends=a", "d 1");
  assert.equal(names(index, "a"), "a b c");
  assert.equal(names(index, "d", "c"), "a b c d");
});

test("alternatives: what is chosen already, else the first that exists", () => {
  const index = indexOf("a 1 Depends=x | y | z", "y 1", "z 1", "b 1 Depends=z");
  assert.equal(names(index, "a"), "a y");
  assert.equal(names(index, "a", "z"), "a z");
  assert.equal(names(index, "a", "y", "b"), "a b y z");
});

test("versioned dependencies choose among alternatives", () => {
  const index = indexOf("a 1 Depends=lib (>= 2) | lib-compat", "lib 1.9", "lib-compat 1");
  assert.equal(names(index, "a"), "a lib-compat");
  assert.equal(names(indexOf("a 1 Depends=lib (>= 2:1.0~rc1)", "lib 2:1.0"), "a"), "a lib");
  assert.equal(names(indexOf("a 1 Depends=lib:any (= 1)", "lib 1"), "a"), "a lib");
});

test("providers: real before virtual, then priority, then name; versions only where provided", () => {
  const providers = ["p 1 Provides=mta", "o 1 Provides=mta; Priority=important", "q 1 Provides=mta (= 3)"];
  assert.equal(names(indexOf("a 1 Depends=mta", ...providers), "a"), "a o");
  assert.equal(names(indexOf("a 1 Depends=mta", ...providers, "mta 1"), "a"), "a mta");
  assert.equal(names(indexOf("a 1 Depends=mta (>= 2)", ...providers), "a"), "a q");
  assert.equal(names(indexOf("a 1 Depends=mta", ...providers), "a", "p"), "a p");
  assert.equal(names(indexOf("p 1 Provides=mta"), "mta"), "p");
});

test("conflicts are passed over while there is another way, and named when there is none", () => {
  const index = indexOf("a 1 Depends=x | y", "b 1 Conflicts=x", "x 1", "y 1");
  assert.equal(names(index, "a", "b"), "a b y");
  const clash = indexOf("a 1 Depends=x", "b 1 Breaks=x (<< 2)", "x 1");
  assert.throws(() => names(clash, "a", "b"), /b and x exclude each other \(x is wanted by a\)/);
  assert.equal(names(indexOf("a 1 Depends=x", "b 1 Breaks=x (<< 1)", "x 1"), "a", "b"), "a b x");
  assert.equal(names(indexOf("a 1 Provides=mta; Conflicts=mta"), "a"), "a");
});

test("missing packages and dependencies say who wants them", () => {
  const index = indexOf("a 1 Depends=b", "b 1 Depends=nothing (>= 3) | nowhere");
  assert.throws(() => names(index, "a"), /b needs nothing \(>= 3\) \| nowhere, .*wanted by a/);
  assert.throws(
    () => names(index, "zzz"),
    (error) => error instanceof ImageError && error.part === "packages" && error.problem.includes('"zzz"'),
  );
});

test("the newer of two versions, only the architecture asked for, and what is essential or required", () => {
  const text =
    "Package: a\nVersion: 1\nArchitecture: riscv64\nEssential: yes\n\nPackage: a\nVersion: 2\nArchitecture: all\nEssential: yes\n\n" +
    "Package: b\nVersion: 1\nArchitecture: amd64\nEssential: yes\n\nPackage: c\nVersion: 1\nArchitecture: all\nPriority: required\n";
  const index = readPackageIndex(text, "riscv64");
  assert.equal(index.byName.get("a")?.version, "2");
  assert.deepEqual(baseSet(index), ["a", "c"]);
});

test("the order of an index does not matter", () => {
  const lines = ["a 1 Depends=m", "b 1 Provides=m", "c 1 Provides=m", "d 1 Depends=a | c"];
  assert.equal(names(indexOf(...lines), "d"), names(indexOf(...lines.reverse()), "d"));
});

test("malformed relations are errors that name the package", () => {
  assert.deepEqual(
    parseRelations("a (>= 1:2.3~rc1-4+b1) | b:any, c [amd64]", "p")[0]?.[0]?.version,
    "1:2.3~rc1-4+b1",
  );
  for (const text of ["a (> )", "a b", "A", "a (!= 1)"]) {
    assert.throws(() => parseRelations(text, "pkg"), /pkg has a malformed dependency/);
  }
});
