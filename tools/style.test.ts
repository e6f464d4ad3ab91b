/** What the compiler, the linter and the formatter do not see: the habits of CONTRIBUTING.md as a test. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import {
  identifier,
  isTest,
  parseSource,
  place,
  readSources,
  root,
  type SourceFile,
  walk,
} from "./source.ts";

/** Longest file, in lines. */
const LINES_MAX = 800;

/** Files that are tables, which may be longer, each with what it is a table of. */
const TABLES: Readonly<Record<string, string>> = {};

/** Layers that reach time, chance, threads and the host only through the host contract (law 6). */
const CONTRACT_LAYERS = ["heap", "kernel", "servers", "linux", "riscv", "erofs"];

/** Globals that go past the host contract; `*` stands for every member. */
const HOST_GLOBALS: Readonly<Record<string, readonly string[]>> = {
  Date: ["*"],
  Math: ["random"],
  performance: ["*"],
  crypto: ["*"],
  process: ["*"],
  Atomics: ["wait", "waitAsync"],
  globalThis: ["*"],
};
const HOST_FUNCTIONS = [
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "fetch",
  "Date",
  "Worker",
];

/** Where the host contract is met from below, each with its reason. */
const HOST_EXCEPTIONS: Readonly<Record<string, string>> = {};

/** Layers in which no guest program may be treated specially. */
const NEUTRAL_LAYERS = ["kernel", "servers", "linux"];

/** Names of guest programs, but for those that are system calls or plain words too (kill, tee, find, head). */
const PROGRAMS = new Set(
  `apt awk base64 basename bash busybox cat csh curl dash dd df dpkg dpkg-deb du egrep emacs
  fgrep gawk gcc git grep gunzip gzip ksh ld.so ls make mawk md5sum mkfifo mktemp mv nano nohup nproc od perl pgrep
  ping ps pwd python python3 readelf rm rustc scp sed sh sha256sum shuf ssh stdbuf stty su sudo tac tar tcsh tsort
  uniq vi vim vdir wc wget xargs xterm zcat zsh`.split(/\s+/),
);

/** Absolute paths that the system itself must know. */
const PATHS: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  { pattern: /^\/$/, reason: "the root" },
  { pattern: /^\/(dev|proc|sys)(\/|$)/, reason: "file systems that the kernel itself provides" },
  { pattern: /^\/tmp$/, reason: "a tmpfs that every Debian system mounts" },
  { pattern: /^\/run(\/|$)/, reason: "a tmpfs that every Debian system mounts" },
  { pattern: /^\/etc\/(passwd|group)$/, reason: "users by name and their home folders, in the public API" },
  { pattern: /^\/(bin|usr\/bin)\/\/?$/, reason: "search path entries" },
];

const sources = readSources(["src", "test", "tools", "bench"]);
const production = sources.filter((file) => file.path.startsWith("src/") && !isTest(file));
const inLayers = (names: readonly string[]): SourceFile[] =>
  production.filter((file) => names.includes(file.path.split("/")[1] ?? ""));

function lengthFaults(file: SourceFile): string[] {
  const lines = file.text.split("\n").length - 1;
  if (lines <= LINES_MAX || file.path in TABLES) return [];
  return [`${file.path}: ${lines} lines, more than ${LINES_MAX}`];
}

function syntaxFaults(file: SourceFile): string[] {
  const faults: string[] = [];
  for (const node of walk(file.program)) {
    if (node.type === "TSEnumDeclaration") faults.push(`${place(file, node.start)}: enum`);
    if (node.type === "TSParameterProperty") faults.push(`${place(file, node.start)}: parameter property`);
    if (node.type === "TSModuleDeclaration" && node["declare"] !== true) {
      faults.push(`${place(file, node.start)}: namespace`);
    }
  }
  return faults;
}

function commentFaults(file: SourceFile): string[] {
  const faults: string[] = [];
  for (const { text, start } of file.comments) {
    if (/\b(TODO|FIXME|XXX|HACK)\b(?!.*#\d)/.test(text))
      faults.push(`${place(file, start)}: no issue number`);
    if (/^\s*[-=*#/~─━═]{4,}/.test(text) || /[-=*#~─━═]{8,}\s*$/.test(text.split("\n", 1)[0] ?? "")) {
      faults.push(`${place(file, start)}: a banner`);
    }
  }
  return faults;
}

function hostFaults(file: SourceFile): string[] {
  const faults: string[] = [];
  for (const node of walk(file.program)) {
    if (node.type === "MemberExpression") {
      const object = identifier(node["object"]) ?? "";
      const property = identifier(node["property"]) ?? "*";
      const banned = Object.hasOwn(HOST_GLOBALS, object) ? (HOST_GLOBALS[object] ?? []) : [];
      if (banned.includes("*") || banned.includes(property)) {
        faults.push(`${place(file, node.start)}: ${object}.${property} goes past the host contract`);
      }
    }
    if (node.type === "CallExpression" || node.type === "NewExpression") {
      const callee = identifier(node["callee"]) ?? "";
      if (HOST_FUNCTIONS.includes(callee)) {
        faults.push(`${place(file, node.start)}: ${callee} goes past the host contract`);
      }
    }
  }
  return faults;
}

function programFaults(file: SourceFile): string[] {
  const faults: string[] = [];
  for (const node of walk(file.program)) {
    const value = node.type === "Literal" ? node["value"] : undefined;
    if (typeof value !== "string") continue;
    const isPath = /^\/[\w.+/-]*$/.test(value);
    const known = isPath ? !PATHS.some(({ pattern }) => pattern.test(value)) : PROGRAMS.has(value);
    if (known) faults.push(`${place(file, node.start)}: "${value}" looks like a special case for a program`);
  }
  return faults;
}

test("no file is too long, and the list of tables holds only tables that are", () => {
  assert.deepEqual(sources.flatMap(lengthFaults), []);
  for (const name of Object.keys(TABLES)) {
    const lines = readFileSync(path.join(root, name), "utf8").split("\n").length - 1;
    assert.ok(lines > LINES_MAX, `${name} has ${lines} lines: take it off the list`);
  }
});

test("no syntax that stripping types cannot remove", () => {
  assert.deepEqual(sources.flatMap(syntaxFaults), []);
});

test("no banners, and what is left to do names an issue", () => {
  assert.deepEqual(sources.flatMap(commentFaults), []);
});

test("time, chance, threads and host I/O come through the host contract", () => {
  const files = inLayers(CONTRACT_LAYERS).filter((file) => !(file.path in HOST_EXCEPTIONS));
  assert.deepEqual(files.flatMap(hostFaults), []);
});

test("no special case by program name or path", () => {
  assert.deepEqual(inLayers(NEUTRAL_LAYERS).flatMap(programFaults), []);
});

test("the checks themselves see what they look for", () => {
  const lines = (text: string): SourceFile => parseSource("src/kernel/x.ts", text);
  assert.equal(lengthFaults(lines("\n".repeat(LINES_MAX + 1))).length, 1);
  assert.equal(syntaxFaults(lines("enum A { B } namespace C { export const d = 1; } ")).length, 2);
  assert.equal(syntaxFaults(lines("class A { constructor(readonly b: number) {} }")).length, 1);
  assert.equal(commentFaults(lines("// TODO tidy\n// TODO(#7) tidy\n// ------ part ------\n")).length, 2);
  assert.equal(
    hostFaults(lines("Date.now(); new Date(); Math.random(); Math.max(1); setTimeout(f);")).length,
    4,
  );
  assert.equal(hostFaults(lines("Atomics.wait(a, 0, 0); Atomics.load(a, 0);")).length, 1);
  assert.equal(
    programFaults(lines(`if (name === "bash" || path === "/usr/bin/perl") f("/dev/null");`)).length,
    2,
  );
});
