/** Random operations on names and contents, compared with a simple model, on memory and over an image. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { census, checkHeap } from "../../heap/check.ts";
import { directory, file, imageOf } from "./testing/test-image.ts";
import { TestMachine } from "./testing/test-machine.ts";

/** A file or directory of the model. */
type Node = { readonly names: Map<string, Node> } | { text: string; links: number };

const isDir = (node: Node): node is { readonly names: Map<string, Node> } => "names" in node;

class Model {
  readonly root: Node = { names: new Map() };

  find(path: string): Node | undefined {
    let at: Node | undefined = this.root;
    for (const name of path.split("/").filter(Boolean)) {
      if (at === undefined || !isDir(at)) return undefined;
      at = at.names.get(name);
    }
    return at;
  }

  /** The directory of the last name, or the errno of the walk to it. */
  parent(path: string): { names: Map<string, Node>; name: string } | string {
    const parts = path.split("/").filter(Boolean);
    const name = parts.pop()!;
    let at: Node = this.root;
    for (const part of parts) {
      if (!isDir(at)) return "ENOTDIR";
      const next: Node | undefined = at.names.get(part);
      if (next === undefined) return "ENOENT";
      at = next;
    }
    return isDir(at) ? { names: at.names, name } : "ENOTDIR";
  }

  mkdir(path: string): string {
    const at = this.parent(path);
    if (typeof at === "string") return at;
    if (at.names.has(at.name)) return "EEXIST";
    at.names.set(at.name, { names: new Map() });
    return "";
  }

  write(path: string, text: string): string {
    const at = this.parent(path);
    if (typeof at === "string") return at;
    const node = at.names.get(at.name);
    if (node === undefined) at.names.set(at.name, { text, links: 1 });
    else if (isDir(node)) return "EISDIR";
    else node.text = text;
    return "";
  }

  unlink(path: string): string {
    const at = this.parent(path);
    if (typeof at === "string") return at;
    const node = at.names.get(at.name);
    if (node === undefined) return "ENOENT";
    if (isDir(node)) return "EISDIR";
    node.links--;
    at.names.delete(at.name);
    return "";
  }

  rmdir(path: string): string {
    const at = this.parent(path);
    if (typeof at === "string") return at;
    const node = at.names.get(at.name);
    if (node === undefined) return "ENOENT";
    if (!isDir(node)) return "ENOTDIR";
    if (node.names.size > 0) return "ENOTEMPTY";
    at.names.delete(at.name);
    return "";
  }

  link(from: string, to: string): string {
    const source = this.parent(from);
    if (typeof source === "string") return source;
    const node = source.names.get(source.name);
    if (node === undefined) return "ENOENT";
    const at = this.parent(to);
    if (typeof at === "string") return at;
    if (at.names.has(at.name)) return "EEXIST";
    if (isDir(node)) return "EPERM";
    node.links++;
    at.names.set(at.name, node);
    return "";
  }

  rename(from: string, to: string): string {
    const source = this.parent(from);
    if (typeof source === "string") return source;
    const target = this.parent(to);
    if (typeof target === "string") return target;
    const node = source.names.get(source.name);
    if (node === undefined) return "ENOENT";
    const victim = target.names.get(target.name);
    if (isDir(node) && (node.names === target.names || contains(node, target.names))) return "EINVAL";
    if (victim === node) return "";
    if (victim !== undefined) {
      if (isDir(victim) && (victim.names === source.names || contains(victim, source.names)))
        return "ENOTEMPTY";
      if (isDir(node) && !isDir(victim)) return "ENOTDIR";
      if (!isDir(node) && isDir(victim)) return "EISDIR";
      if (isDir(victim) && victim.names.size > 0) return "ENOTEMPTY";
      if (!isDir(victim)) victim.links--;
    }
    source.names.delete(source.name);
    target.names.set(target.name, node);
    return "";
  }

  exchange(from: string, to: string): string {
    const source = this.parent(from);
    if (typeof source === "string") return source;
    const target = this.parent(to);
    if (typeof target === "string") return target;
    const node = source.names.get(source.name);
    if (node === undefined) return "ENOENT";
    const other = target.names.get(target.name);
    if (other === undefined) return "ENOENT";
    if (isDir(node) && (node.names === target.names || contains(node, target.names))) return "EINVAL";
    if (isDir(other) && (other.names === source.names || contains(other, source.names))) return "EINVAL";
    source.names.set(source.name, other);
    target.names.set(target.name, node);
    return "";
  }

  truncate(path: string, size: number): string {
    const at = this.parent(path);
    if (typeof at === "string") return at;
    const node = at.names.get(at.name);
    if (node === undefined) return "ENOENT";
    if (isDir(node)) return "EISDIR";
    node.text = node.text.slice(0, size).padEnd(size, "\0");
    return "";
  }
}

function contains(node: { readonly names: Map<string, Node> }, names: Map<string, Node>): boolean {
  for (const child of node.names.values()) {
    if (isDir(child) && (child.names === names || contains(child, names))) return true;
  }
  return false;
}

const NAMES = ["a", "b", "c", "img", "deep", "a-name-of-more-than-thirty-two-bytes-in-all"];
const path = fc
  .array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 })
  .map((parts) => `/${parts.join("/")}`);
const text = fc.oneof(
  fc.constantFrom("", "x", "hello"),
  fc.nat({ max: 9000 }).map((n) => "0123456789".repeat(n / 10 + 1).slice(0, n)),
);
const step = fc.oneof(
  fc.record({ op: fc.constant("mkdir" as const), path }),
  fc.record({ op: fc.constant("write" as const), path, text }),
  fc.record({ op: fc.constant("unlink" as const), path }),
  fc.record({ op: fc.constant("rmdir" as const), path }),
  fc.record({ op: fc.constant("link" as const), path, to: path }),
  fc.record({ op: fc.constant("rename" as const), path, to: path }),
  fc.record({ op: fc.constant("exchange" as const), path, to: path }),
  fc.record({ op: fc.constant("truncate" as const), path, size: fc.nat({ max: 9000 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function perform(m: TestMachine, model: Model, each: Step): [string, string] {
  const real = (work: () => void): string => {
    const result = m.attempt(() => {
      work();
      return "";
    });
    return result;
  };
  switch (each.op) {
    case "mkdir":
      return [real(() => m.mkdir(each.path)), model.mkdir(each.path)];
    case "write":
      return [real(() => m.writeFile(each.path, each.text)), model.write(each.path, each.text)];
    case "unlink":
      return [real(() => m.unlink(each.path)), model.unlink(each.path)];
    case "rmdir":
      return [real(() => m.rmdir(each.path)), model.rmdir(each.path)];
    case "link":
      return [real(() => m.link(each.path, each.to)), model.link(each.path, each.to)];
    case "rename":
      return [real(() => m.rename(each.path, each.to)), model.rename(each.path, each.to)];
    case "exchange":
      return [real(() => m.rename(each.path, each.to, 2)), model.exchange(each.path, each.to)];
    case "truncate":
      return [real(() => m.truncate(each.path, each.size)), model.truncate(each.path, each.size)];
  }
}

function compare(m: TestMachine, node: Node, at: string): void {
  if (!isDir(node)) {
    assert.equal(m.readFile(at), node.text, at);
    assert.equal(m.stat(at).links, node.links, at);
    return;
  }
  assert.deepEqual(m.list(at || "/", 200).sort(), [...node.names.keys()].sort(), at);
  const folders = [...node.names.values()].filter(isDir).length;
  assert.equal(m.stat(at || "/").links, 2 + folders, at);
  for (const [name, child] of node.names) compare(m, child, `${at}/${name}`);
}

function run(make: () => TestMachine, fill: (model: Model) => void, runs: number): void {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const m = make();
      const model = new Model();
      fill(model);
      for (const each of steps) {
        const [real, expected] = perform(m, model, each);
        assert.equal(real, expected, JSON.stringify(each));
      }
      compare(m, model.root, "");
      assert.deepEqual(checkHeap(m.tx), []);
      assert.equal(census(m.tx).get("file") ?? 0, 0);
    }),
    { numRuns: runs },
  );
}

const deep = "the contents of a file of the image\n".repeat(300);
const image = await imageOf(
  directory({
    img: directory({ a: file("one"), b: file(deep), deep: directory({ c: file("") }) }),
    c: file("two"),
  }),
);

describe("random operations agree with the model", () => {
  test("in memory", () =>
    run(
      () => new TestMachine({ heapBytes: 6 << 20 }),
      () => {},
      60,
    ));

  test("over an image", () => {
    const fill = (model: Model): void => {
      model.mkdir("/img");
      model.write("/img/a", "one");
      model.write("/img/b", deep);
      model.mkdir("/img/deep");
      model.write("/img/deep/c", "");
      model.write("/c", "two");
    };
    run(() => new TestMachine({ image, heapBytes: 6 << 20 }), fill, 100);
  });
});
