/**
 * What the documents name exists. In a document, code in backticks that begins with a folder of the project is a
 * name: `src/base/assert.ts` (a file or folder) or `src/base/assert.ts#assert` (what that file declares).
 */

import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { identifier, parseSource, root, type SourceFile, type SyntaxNode, walk } from "./source.ts";

const NAME = /`((?:src|test|tools|bench|docs|bin|\.ci)\/[\w./-]*)(?:#([\w$.]+))?(?:\(\))?`/g;

const DECLARATIONS = new Set([
  "FunctionDeclaration",
  "ClassDeclaration",
  "TSInterfaceDeclaration",
  "TSTypeAliasDeclaration",
  "VariableDeclarator",
]);
const MEMBERS = new Set([
  "MethodDefinition",
  "PropertyDefinition",
  "TSMethodSignature",
  "TSPropertySignature",
]);

/** Names that a file declares: functions, types, constants, and members as `Class.member`. */
function declaredNames(file: SourceFile): Set<string> {
  const names = new Set<string>();
  const visit = (node: SyntaxNode): void => {
    if (!DECLARATIONS.has(node.type)) return;
    const name = identifier(node["id"]);
    if (name === undefined) return;
    names.add(name);
    if (node.type !== "ClassDeclaration" && node.type !== "TSInterfaceDeclaration") return;
    for (const member of walk(node)) {
      if (MEMBERS.has(member.type)) names.add(`${name}.${identifier(member["key"])}`);
    }
  };
  for (const node of walk(file.program)) visit(node);
  return names;
}

/** What is wrong with the names in a document, as lines to print. */
function nameFaults(document: string, text: string): string[] {
  const faults: string[] = [];
  for (const [, file = "", name] of text.matchAll(NAME)) {
    const absolute = path.join(root, file);
    if (!existsSync(absolute)) faults.push(`${document}: there is no ${file}`);
    else if (
      name !== undefined &&
      !declaredNames(parseSource(file, readFileSync(absolute, "utf8"))).has(name)
    ) {
      faults.push(`${document}: ${file} does not declare ${name}`);
    }
  }
  return faults;
}

const documents = ["README.md", "CONTRIBUTING.md", ...globSync("docs/**/*.md", { cwd: root })];
const read = (name: string): string => readFileSync(path.join(root, name), "utf8");

test("files and functions that the documents name exist", () => {
  assert.deepEqual(
    documents.flatMap((name) => nameFaults(name, read(name))),
    [],
  );
});

test("links between the documents lead somewhere", () => {
  const broken = documents.flatMap((name) =>
    [...read(name).matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !existsSync(path.join(root, path.dirname(name), target)))
      .map((target) => `${name}: ${target}`),
  );
  assert.deepEqual(broken, []);
});

test("the check itself sees names that do not exist", () => {
  const text = "`src/base/assert.ts#assert` `src/base/assert.ts#nope` `src/base/nope.ts` `src/base/` `nope`";
  assert.deepEqual(nameFaults("x", text), [
    "x: src/base/assert.ts does not declare nope",
    "x: there is no src/base/nope.ts",
  ]);
  assert.deepEqual(nameFaults("x", "`src/machine/api.ts#Machine.spawn`"), []);
});
