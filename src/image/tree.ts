/**
 * The file tree of an image while it is put together: EROFS nodes with paths.
 *
 * Paths are byte strings without a leading slash; "" is the root. On the way to a path symbolic links are
 * followed inside the tree, as dpkg follows them when it unpacks (a file shipped as `lib/x` lands in
 * `usr/lib/x` where `lib` is a link). The last component is followed only where a function says so.
 */

import type { DirectoryNode, ErofsNode, FileNode } from "../erofs/writer.ts";

/** A path that cannot be reached or made: a component is a file, or links run in a circle. */
export class TreeError extends Error {
  override readonly name: string = "TreeError";
}

/** Owner, permissions and time of a new node. */
export interface NodeAttributes {
  mode: number;
  uid?: number;
  gid?: number;
}

const linkLimit = 40;

/** A directory node with nothing in it. */
export function emptyDirectory(mode: number, mtimeSeconds: number): DirectoryNode {
  return { kind: "directory", mode, uid: 0, gid: 0, mtimeSeconds, mtimeNanoseconds: 0, children: new Map() };
}

export class FileTree {
  readonly root: DirectoryNode;
  /** Time of everything that is made here rather than taken from a package. */
  readonly #mtimeSeconds: number;

  constructor(mtimeSeconds: number) {
    this.#mtimeSeconds = mtimeSeconds;
    this.root = emptyDirectory(0o755, mtimeSeconds);
  }

  /** The node at `path`; undefined when it is not there. `follow` also follows a link at the end. */
  get(path: string, follow = false): ErofsNode | undefined {
    return this.#walk(path, follow)?.node;
  }

  /** Whether a file or directory can be reached at `path`, through links. */
  exists(path: string): boolean {
    return this.get(path, true) !== undefined;
  }

  /** The content of the regular file that `path` leads to; undefined when there is none. */
  read(path: string): Uint8Array | undefined {
    const node = this.get(path, true);
    return node?.kind === "file" ? node.data : undefined;
  }

  /** The content of a file as a byte string. */
  readText(path: string): string | undefined {
    const data = this.read(path);
    return data === undefined
      ? undefined
      : Buffer.from(data.buffer, data.byteOffset, data.length).toString("latin1");
  }

  /** Puts `node` at `path`, over what was there. Missing directories on the way are made (0755, root). */
  put(path: string, node: ErofsNode): void {
    const { directory, name } = this.#parent(path);
    directory.children.set(name, node);
  }

  /** The names in the directory at `path`, in byte order; none when it is no directory. */
  list(path: string): string[] {
    const node = this.get(path, true);
    return node?.kind === "directory" ? [...node.children.keys()].sort() : [];
  }

  /** Writes a regular file. */
  write(path: string, content: string | Uint8Array, attributes: NodeAttributes): FileNode {
    const data = typeof content === "string" ? new Uint8Array(Buffer.from(content, "latin1")) : content;
    const node: FileNode = { kind: "file", ...this.#common(attributes), data };
    this.put(path, node);
    return node;
  }

  /** Makes a symbolic link. */
  link(path: string, target: string): void {
    this.put(path, { kind: "symlink", ...this.#common({ mode: 0o777 }), target });
  }

  /** Makes a directory, or leaves one that is there alone. */
  mkdir(path: string, attributes: NodeAttributes): void {
    if (this.get(path, true)?.kind === "directory") return;
    this.put(path, { kind: "directory", ...this.#common(attributes), children: new Map() });
  }

  remove(path: string): void {
    const { directory, name } = this.#parent(path);
    directory.children.delete(name);
  }

  #common(attributes: NodeAttributes): Omit<FileNode, "kind" | "data"> {
    return {
      mode: attributes.mode,
      uid: attributes.uid ?? 0,
      gid: attributes.gid ?? 0,
      mtimeSeconds: this.#mtimeSeconds,
      mtimeNanoseconds: 0,
    };
  }

  #parent(path: string): { directory: DirectoryNode; name: string } {
    const cut = path.lastIndexOf("/");
    const name = path.slice(cut + 1);
    if (name === "") throw new TreeError("the root itself cannot be replaced");
    const parentPath = cut < 0 ? "" : path.slice(0, cut);
    let directory = this.get(parentPath, true);
    if (directory === undefined) {
      const made = emptyDirectory(0o755, this.#mtimeSeconds);
      this.put(parentPath, made);
      directory = made;
    }
    if (directory.kind !== "directory") throw new TreeError(`/${parentPath} is not a directory`);
    return { directory, name };
  }

  #walk(path: string, follow: boolean): { node: ErofsNode } | undefined {
    let pending = path.split("/").filter((part) => part !== "");
    const trail: DirectoryNode[] = [];
    let current: ErofsNode = this.root;
    let links = 0;
    while (pending.length > 0) {
      const [part, ...rest]: string[] = pending;
      pending = rest;
      if (part === undefined || part === ".") continue;
      if (current.kind !== "directory") return undefined;
      if (part === "..") {
        current = trail.pop() ?? this.root;
        continue;
      }
      const next: ErofsNode | undefined = current.children.get(part);
      if (next === undefined) return undefined;
      if (next.kind === "symlink" && (pending.length > 0 || follow)) {
        links += 1;
        if (links > linkLimit) throw new TreeError(`/${path}: too many symbolic links`);
        if (next.target.startsWith("/")) {
          trail.length = 0;
          current = this.root;
        }
        pending = [...next.target.split("/").filter((piece) => piece !== ""), ...pending];
        continue;
      }
      trail.push(current);
      current = next;
    }
    return { node: current };
  }
}
