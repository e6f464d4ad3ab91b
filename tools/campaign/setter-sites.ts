/**
 * Setter call sites in the syntax trees: the places of the program at which it changes a machine's state. A
 * site is a call whose first argument is a transaction, through one of the setters of src/heap:
 *
 *     X.field.set(tx, …)  .add(tx, …)  .init(tx, …)       fields of records
 *     append(tx, …)  prepend(tx, …)  remove(tx, …)        lists
 *     X.allocate(tx)  X.free(tx, …)  redoFree(tx, …)      records
 *     tx.store(…)  .storeMemory  .storeFresh  .storeFreshMemory  .afterCommit
 *
 * Its key is the place that a stack trace gives for the call: "file:line:column" of the called name.
 */

import { identifier, isTest, readSources, type SourceFile, type SyntaxNode, walk } from "../source.ts";

const FOLDERS = ["src/kernel", "src/servers", "src/linux", "src/machine"];
const METHODS = new Set(["set", "add", "init", "allocate", "free"]);
const FUNCTIONS = new Set(["append", "prepend", "remove", "redoFree"]);
const STORES = new Set(["store", "storeMemory", "storeFresh", "storeFreshMemory", "afterCommit"]);

/** Objects of the kernel whose methods have such names: their own stores are counted where they are made. */
const WRAPPERS = new Set(["root", "frames", "leaves", "batches"]);

/** Whether an expression is a transaction, by its name: `tx`, `call.tx`, `this.tx`. */
function isTransaction(node: SyntaxNode | undefined): boolean {
  if (node === undefined) return false;
  if (identifier(node) === "tx") return true;
  return node.type === "MemberExpression" && identifier(node["property"]) === "tx";
}

/** The node at whose start a stack trace puts the call, if the call is a setter's. */
function calledName(call: SyntaxNode): SyntaxNode | undefined {
  const callee = call["callee"] as SyntaxNode;
  const [first] = call["arguments"] as readonly SyntaxNode[];
  if (callee.type === "MemberExpression") {
    const name = identifier(callee["property"]) ?? "";
    const property = callee["property"] as SyntaxNode;
    if (STORES.has(name) && isTransaction(callee["object"] as SyntaxNode)) return property;
    const object = callee["object"] as SyntaxNode;
    const owner = object.type === "MemberExpression" ? (object["property"] as SyntaxNode) : object;
    if (WRAPPERS.has(identifier(owner) ?? "")) return undefined;
    return METHODS.has(name) && isTransaction(first) ? property : undefined;
  }
  return FUNCTIONS.has(identifier(callee) ?? "") && isTransaction(first) ? callee : undefined;
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function* sitesOf(file: SourceFile): Generator<string> {
  const starts = lineStarts(file.text);
  for (const node of walk(file.program)) {
    const name = node.type === "CallExpression" ? calledName(node) : undefined;
    if (name === undefined) continue;
    let line = starts.findIndex((start) => start > name.start);
    if (line < 0) line = starts.length;
    yield `${file.path}:${line}:${name.start - starts[line - 1]! + 1}`;
  }
}

/** Every setter call site of the machine's code, tests left out. */
export function setterSites(): string[] {
  return readSources(FOLDERS)
    .filter((file) => !isTest(file))
    .flatMap((file) => [...sitesOf(file)]);
}
