/** A Packages file: the packages of one architecture in a suite, with where they lie and what they need. */

import { parseStanzas } from "./control-file.ts";
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
  const newest = new Map<string, IndexedPackage>();
  const wanted: readonly (string | undefined)[] = [architecture, "all"];
  for (const raw of text.split("\n\n")) {
    const name = peek(raw, "Package");
    if (name === undefined || !wanted.includes(peek(raw, "Architecture"))) continue;
    const known = newest.get(name);
    const version = peek(raw, "Version") ?? "";
    if (known !== undefined && compareVersions(version, known.version) <= 0) continue;
    newest.set(name, lazyPackage(name, version, raw));
  }
  const byName = new Map<string, IndexedPackage>();
  const providers = new Map<string, IndexedPackage[]>();
  for (const [name, entry] of [...newest].sort(([a], [b]) => (a < b ? -1 : 1))) {
    byName.set(name, entry);
    for (const virtual of entry.provides) {
      const list = providers.get(virtual.name);
      if (list === undefined) providers.set(virtual.name, [entry]);
      else if (!list.includes(entry)) list.push(entry);
    }
  }
  return { byName, providers };
}

/** A field of a stanza as it stands in the file, without reading the others; undefined when absent or empty. */
function peek(raw: string, name: string): string | undefined {
  const head = `${name}:`;
  let at = raw.startsWith(head) ? 0 : raw.indexOf(`\n${head}`) + 1;
  if (at === 0 && !raw.startsWith(head)) return undefined;
  at += head.length;
  const end = raw.indexOf("\n", at);
  const value = raw.slice(at, end < 0 ? raw.length : end).trim();
  return value === "" ? undefined : value;
}

/**
 * A stanza is read when it is first asked for more than its name: of some 65,000 packages (50 MB) an image
 * needs a few hundred.
 */
function lazyPackage(name: string, version: string, raw: string): IndexedPackage {
  let stanza: Stanza | undefined;
  const text = (key: string): string => {
    stanza ??= parseStanzas(raw)[0] ?? new Map<string, string>();
    return stanza.get(key) ?? "";
  };
  const clauses = (...keys: string[]): Clause[] => keys.flatMap((key) => parseRelations(text(key), name));
  let depends: Clause[] | undefined;
  let conflicts: Clause[] | undefined;
  let provides: Relation[] | undefined;
  return {
    name,
    version,
    essential: peek(raw, "Essential") === "yes",
    priority: peek(raw, "Priority") ?? "",
    get architecture() {
      return text("Architecture");
    },
    get filename() {
      return text("Filename");
    },
    get size() {
      return Number(text("Size"));
    },
    get sha256() {
      return text("SHA256");
    },
    get depends() {
      depends ??= clauses("Pre-Depends", "Depends");
      return depends;
    },
    get conflicts() {
      conflicts ??= clauses("Conflicts", "Breaks");
      return conflicts;
    },
    get provides() {
      provides ??= peek(raw, "Provides") === undefined ? [] : clauses("Provides").flat();
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
