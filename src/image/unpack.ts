/**
 * Lays the files of packages into one tree, as dpkg does when it unpacks:
 *
 *   U1  a directory that is there already, itself or through a link, stays as it is, also where a package
 *       brings a link to a directory in its place;
 *   U2  a file that another package has brought is replaced if either of the two says `Replaces` of the
 *       other, and then the one that says so wins;
 *   U3  a hard link is a second name of the node that its target names.
 */

import type { ErofsNode } from "../erofs/writer.ts";
import { parseStanzas } from "./control-file.ts";
import type { Stanza } from "./control-file.ts";
import type { DebPackage } from "./deb.ts";
import { ImageError, messageOf } from "./errors.ts";
import { parseRelations } from "./package-index.ts";
import { satisfiesRelation } from "./version.ts";
import type { TarEntry } from "./tar.ts";
import type { FileTree } from "./tree.ts";

/** A package that lies in the tree. */
export interface UnpackedPackage {
  name: string;
  version: string;
  architecture: string;
  stanza: Stanza;
  control: ReadonlyMap<string, Uint8Array>;
  controlModes: ReadonlyMap<string, number>;
  /** Absolute paths in the order of the archive, as `dpkg -L` lists them. */
  paths: string[];
}

/** Reads the control data of `deb`. `file` is named in errors. */
export function describeDeb(deb: DebPackage, file: string): Omit<UnpackedPackage, "paths"> {
  const control = deb.control.get("control") ?? new Uint8Array(0);
  const [stanza] = parseStanzas(Buffer.from(control).toString("latin1"));
  const name = stanza?.get("Package");
  const version = stanza?.get("Version");
  const architecture = stanza?.get("Architecture");
  if (stanza === undefined || name === undefined || version === undefined || architecture === undefined) {
    throw new ImageError({
      part: "package",
      problem: `${file} has a control file without Package, Version or Architecture`,
      remedy: "use another mirror, this package is broken",
    });
  }
  return { name, version, architecture, stanza, control: deb.control, controlModes: deb.controlModes };
}

/** Lays packages into `tree`, one after the other; keeps who brought which file. */
export class Unpacker {
  readonly #tree: FileTree;
  readonly #owners = new Map<ErofsNode, Omit<UnpackedPackage, "paths">>();
  readonly #note: (message: string) => void;

  constructor(tree: FileTree, note: (message: string) => void) {
    this.#tree = tree;
    this.#note = note;
  }

  /** @throws {ImageError} when the package's files cannot be laid down. */
  unpack(deb: DebPackage, file: string): UnpackedPackage {
    const about = describeDeb(deb, file);
    const paths: string[] = [];
    try {
      for (const entry of deb.entries) {
        paths.push(entry.path === "" ? "/." : `/${entry.path}`);
        this.#lay(entry, deb.data, about);
      }
    } catch (error) {
      if (error instanceof ImageError) throw error;
      throw new ImageError({
        part: "package",
        problem: `${file} cannot be unpacked: ${messageOf(error)}`,
        remedy: "leave the package out of --include",
        cause: error,
      });
    }
    return { ...about, paths };
  }

  #lay(entry: TarEntry, data: Uint8Array, by: Omit<UnpackedPackage, "paths">): void {
    const tree = this.#tree;
    if (entry.kind === "directory") {
      const there = tree.get(entry.path, true);
      if (there?.kind === "directory") {
        if (entry.path === "" && !this.#owners.has(there)) {
          Object.assign(there, attributes(entry));
          this.#owners.set(there, by);
        }
        return; // U1
      }
    }
    const node = entry.kind === "hardlink" ? tree.get(entry.link) : nodeOf(entry, data);
    if (node === undefined || (entry.kind === "hardlink" && node.kind === "directory")) {
      throw new Error(`hard link /${entry.path} to /${entry.link}, which is not there`);
    }
    const there = tree.get(entry.path);
    const owner = there === undefined ? undefined : this.#owners.get(there);
    if (owner !== undefined && owner !== by) {
      if (replaces(owner, by)) return; // U2
      if (!replaces(by, owner)) {
        this.#note(`/${entry.path} is in ${owner.name} and in ${by.name}; the one of ${by.name} stays`);
      }
    }
    if (there?.kind === "directory") {
      if (entry.kind === "symlink") return; // U1
      throw new Error(`/${entry.path} would replace a directory`);
    }
    tree.put(entry.path, node);
    this.#owners.set(node, by);
  }
}

function replaces(a: Omit<UnpackedPackage, "paths">, b: Omit<UnpackedPackage, "paths">): boolean {
  return parseRelations(a.stanza.get("Replaces") ?? "", a.name).some((clause) =>
    clause.some(
      ({ name, relation, version }) =>
        name === b.name && (relation === undefined || satisfiesRelation(b.version, relation, version)),
    ),
  );
}

function attributes(entry: TarEntry): Pick<
  ErofsNode,
  "mode" | "uid" | "gid" | "mtimeSeconds" | "mtimeNanoseconds"
> & {
  xattrs?: Map<string, Uint8Array>;
} {
  const { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs } = entry;
  const common = { mode, uid, gid, mtimeSeconds, mtimeNanoseconds };
  return xattrs === undefined ? common : { ...common, xattrs };
}

function nodeOf(entry: TarEntry, data: Uint8Array): ErofsNode {
  const common = attributes(entry);
  switch (entry.kind) {
    case "directory":
      return { kind: "directory", ...common, children: new Map() };
    case "symlink":
      return { kind: "symlink", ...common, mode: 0o777, target: entry.link };
    case "character":
    case "block":
    case "fifo":
      return { kind: entry.kind, ...common, major: entry.major, minor: entry.minor };
    default:
      return { kind: "file", ...common, data: data.subarray(entry.offset, entry.offset + entry.size) };
  }
}
