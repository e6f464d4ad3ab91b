/** The sources of the project as the checks see them: files, syntax trees and what each file imports. */

import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseSync } from "oxc-parser";

/** The root folder of the checkout. */
export const root: string = path.resolve(import.meta.dirname, "..");

/** A node of the ESTree syntax tree. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

export interface Comment {
  readonly text: string;
  readonly start: number;
}

/** One import of one file. `target` is a path from the root for a relative import, else as written. */
export interface ImportEdge {
  readonly target: string;
  readonly relative: boolean;
  readonly start: number;
}

export interface SourceFile {
  /** Path from the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly program: SyntaxNode;
  readonly comments: readonly Comment[];
  /** Static, dynamic, type-only and re-exporting imports, and worker entries. */
  readonly imports: readonly ImportEdge[];
}

/** Tests, and the folders named `testing` that hold what tests share. Neither is published. */
export const isTest = (file: { readonly path: string }): boolean =>
  file.path.endsWith(".test.ts") || file.path.includes("/testing/");

/** The line of a byte offset, as `path:line`. */
export function place(file: SourceFile, start: number): string {
  return `${file.path}:${file.text.slice(0, start).split("\n").length}`;
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "type") === "string";
}

/** All nodes below `node`, itself first. */
export function* walk(node: SyntaxNode): Generator<SyntaxNode> {
  yield node;
  for (const value of Object.values(node)) {
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) yield* walk(item);
    } else if (isNode(value)) yield* walk(value);
  }
}

/** The name of an identifier, or undefined for any other node. */
export function identifier(node: unknown): string | undefined {
  return isNode(node) && node.type === "Identifier" ? String(node["name"]) : undefined;
}

function stringValue(node: unknown): string | undefined {
  return isNode(node) && node.type === "Literal" && typeof node["value"] === "string"
    ? node["value"]
    : undefined;
}

/**
 * The module that a template such as `./hart-thread${moduleExtension(import.meta.url)}` names: worker entries
 * are imports too, though the parser does not know it.
 */
function workerEntry(node: SyntaxNode): string | undefined {
  const [expression] = node["expressions"] as readonly SyntaxNode[];
  if (expression?.type !== "CallExpression" || identifier(expression["callee"]) !== "moduleExtension") return;
  const [head] = node["quasis"] as readonly { readonly value: { readonly cooked: string } }[];
  return head && `${head.value.cooked}.ts`;
}

function specifierOf(node: SyntaxNode): string | undefined {
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
    case "ImportExpression":
    case "TSImportType":
      return stringValue(node["source"]);
    case "TemplateLiteral":
      return workerEntry(node);
    default:
      return undefined;
  }
}

/** Parses `text` as the file `name` (a path from the root). */
export function parseSource(name: string, text: string): SourceFile {
  const result = parseSync(name, text);
  const [error] = result.errors;
  if (error) throw new Error(`${name}: ${error.message}`);
  const program: unknown = result.program;
  if (!isNode(program)) throw new Error(`${name}: the parser gave no tree`);
  const imports: ImportEdge[] = [];
  for (const node of walk(program)) {
    const specifier = specifierOf(node);
    if (specifier === undefined) continue;
    const relative = specifier.startsWith(".");
    const target = relative ? path.posix.join(path.posix.dirname(name), specifier) : specifier;
    imports.push({ target, relative, start: node.start });
  }
  const comments = result.comments.map(({ value, start }) => ({ text: value, start }));
  return { path: name, text, program, comments, imports };
}

/** Every `.ts` file in the folders (paths from the root), parsed, in the order of their paths. */
export function readSources(folders: readonly string[]): SourceFile[] {
  return folders
    .flatMap((folder) =>
      globSync(`${folder}/**/*.ts`, {
        cwd: root,
        exclude: (name) => name === "node_modules" || name === "dist",
      }),
    )
    .map((name) => name.replaceAll(path.sep, "/"))
    .sort()
    .map((name) => parseSource(name, readFileSync(path.join(root, name), "utf8")));
}
