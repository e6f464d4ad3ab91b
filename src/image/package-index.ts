/** A Packages file: the packages of one architecture in a suite, with where they lie and what they need. */

import { field, parseStanzas } from "./control-file.ts";
import type { Stanza } from "./control-file.ts";
import { ImageError } from "./errors.ts";
import type { VersionRelation } from "./version.ts";
import { compareVersions } from "./version.ts";

/** One package as a dependency names it. */
export interface Relation {
  name: string;
  /** The qualifier after a colon (`any`, `native` or an architecture); "" without one. */
  qualifier: string;
  relation: VersionRelation | undefined;
  version: string;
}

/** Alternatives, the preferred one first. */
export type Clause = readonly Relation[];

export interface IndexedPackage {
  name: string;
  version: string;
  architecture: string;
  essential: boolean;
  priority: string;
  filename: string;
  size: number;
  sha256: string;
  /** Pre-Depends and Depends together. */
  depends: readonly Clause[];
  /** Conflicts and Breaks together. */
  conflicts: readonly Clause[];
  /** Virtual packages; a provided version stands in `version` with relation `=`. */
  provides: readonly Relation[];
}

/** The packages of a suite by name, and who provides each virtual name. Names are in byte order. */
export interface PackageIndex {
  byName: ReadonlyMap<string, IndexedPackage>;
  providers: ReadonlyMap<string, readonly IndexedPackage[]>;
}

const relationPattern =
  /^([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?\s*(?:\[[^\]]*\])?$/;

/**
 * Reads a dependency field.
 * @throws {ImageError} for anything that is no relation; `owner` is named in it.
 */
export function parseRelations(text: string, owner: string): Clause[] {
  const clauses: Clause[] = [];
  for (const part of text.split(",")) {
    if (part.trim() === "") continue;
    clauses.push(
      part.split("|").map((alternative) => {
        const match = relationPattern.exec(alternative.trim());
        if (match === null) {
          throw new ImageError({
            part: "index",
            problem: `${owner} has a malformed dependency "${alternative.trim()}"`,
            remedy: "use another mirror, this one's index is broken",
          });
        }
        return {
          name: match[1] ?? "",
          qualifier: match[2] ?? "",
          relation: match[3] as VersionRelation | undefined,
          version: match[4] ?? "",
        };
      }),
    );
  }
  return clauses;
}

/** Makes an index of stanzas for `architecture` (and `all`); of two versions the newer one stays. */
export function readPackageIndex(text: string, architecture: string): PackageIndex {
  const newest = new Map<string, Stanza>();
  // Split by hand: the file is some 50 MB, and most of its stanzas are looked at for their name alone.
  for (const raw of text.split("\n\n")) {
    const name = /^Package: *(\S+)/m.exec(raw)?.[1];
    if (name === undefined) continue;
    const [stanza] = parseStanzas(raw);
    if (stanza === undefined) continue;
    const its = field(stanza, "Architecture");
    if (its !== architecture && its !== "all") continue;
    const known = newest.get(name);
    if (
      known === undefined ||
      compareVersions(field(stanza, "Version") ?? "", field(known, "Version") ?? "") > 0
    ) {
      newest.set(name, stanza);
    }
  }
  const byName = new Map<string, IndexedPackage>();
  const providers = new Map<string, IndexedPackage[]>();
  for (const name of [...newest.keys()].sort()) {
    const entry = lazyPackage(name, newest.get(name) ?? new Map<string, string>());
    byName.set(name, entry);
    const provides = newest.get(name)?.get("Provides");
    if (provides === undefined) continue;
    for (const virtual of entry.provides) {
      const list = providers.get(virtual.name);
      if (list === undefined) providers.set(virtual.name, [entry]);
      else if (!list.includes(entry)) list.push(entry);
    }
  }
  return { byName, providers };
}

/** Dependency fields are parsed when first asked for: of some 65,000 packages an image needs a few hundred. */
function lazyPackage(name: string, stanza: Stanza): IndexedPackage {
  const text = (key: string): string => field(stanza, key) ?? "";
  const clauses = (...keys: string[]): Clause[] => keys.flatMap((key) => parseRelations(text(key), name));
  let depends: Clause[] | undefined;
  let conflicts: Clause[] | undefined;
  let provides: Relation[] | undefined;
  return {
    name,
    version: text("Version"),
    architecture: text("Architecture"),
    essential: text("Essential") === "yes",
    priority: text("Priority"),
    filename: text("Filename"),
    size: Number(text("Size")),
    sha256: text("SHA256"),
    get depends() {
      depends ??= clauses("Pre-Depends", "Depends");
      return depends;
    },
    get conflicts() {
      conflicts ??= clauses("Conflicts", "Breaks");
      return conflicts;
    },
    get provides() {
      provides ??= clauses("Provides").flat();
      return provides;
    },
  };
}

/** Checks what a package says about its file before it is used to fetch one. */
export function checkPackageFile(entry: IndexedPackage): void {
  const path = entry.filename;
  const safe =
    path !== "" && !path.startsWith("/") && !path.split("/").includes("..") && !/[\s\\?#]/.test(path);
  const ok =
    safe && Number.isSafeInteger(entry.size) && entry.size > 0 && /^[0-9a-f]{64}$/.test(entry.sha256);
  if (ok && entry.version !== "") return;
  throw new ImageError({
    part: "index",
    problem: `the entry of package ${entry.name} lacks a usable Filename, Size, SHA256 or Version`,
    remedy: "use another mirror, this one's index is broken",
  });
}
