/**
 * Chooses the packages of an image: the wanted ones and everything they need.
 *
 * The choice is the one `apt-get` makes on an empty system, made greedily and in a fixed order:
 *   S1  a clause that a chosen package satisfies adds nothing;
 *   S2  otherwise its first alternative that exists in the wanted version is taken, a real package before a
 *       provider of the name, and of several providers the one of highest priority, then the first by name;
 *   S3  an alternative that conflicts with a chosen package is passed over while another one is left;
 *   S4  the result is closed under Depends and Pre-Depends and free of Conflicts and Breaks, or it is an error.
 * Every name is looked at in byte order, so the same index and wishes give the same packages.
 *
 * Rejected: a backtracking solver. One suite holds one version of each package, and Debian keeps its suites
 * installable, so a dead end means a contradiction in the wishes; a message that says which is worth more than
 * a far-fetched solution.
 */

import { ImageError } from "./errors.ts";
import type { Clause, IndexedPackage, PackageIndex, Relation } from "./package-index.ts";
import { satisfiesRelation } from "./version.ts";

const priorities = ["required", "important", "standard", "optional", "extra"];

function priorityRank(entry: IndexedPackage): number {
  const rank = priorities.indexOf(entry.priority);
  return rank < 0 ? priorities.length : rank;
}

/** Whether `entry` itself, or something it provides, satisfies `relation`. */
export function satisfies(entry: IndexedPackage, relation: Relation): boolean {
  if (entry.name === relation.name) {
    return (
      relation.relation === undefined || satisfiesRelation(entry.version, relation.relation, relation.version)
    );
  }
  return entry.provides.some(
    (virtual) =>
      virtual.name === relation.name &&
      // A provision without a version satisfies no versioned dependency (Debian Policy 7.5).
      (relation.relation === undefined ||
        (virtual.relation === "=" &&
          satisfiesRelation(virtual.version, relation.relation, relation.version))),
  );
}

/** The packages that could satisfy `relation`, the best first. */
function candidates(index: PackageIndex, relation: Relation): IndexedPackage[] {
  const real = index.byName.get(relation.name);
  const virtual = [...(index.providers.get(relation.name) ?? [])].sort(
    (a, b) => priorityRank(a) - priorityRank(b) || (a.name < b.name ? -1 : 1),
  );
  const all = real === undefined ? virtual : [real, ...virtual.filter((entry) => entry !== real)];
  return all.filter((entry) => satisfies(entry, relation));
}

function conflictsWith(a: IndexedPackage, b: IndexedPackage): boolean {
  // A package never conflicts with itself, so that it can be the only provider of a name.
  return a !== b && a.conflicts.some((clause) => clause.some((relation) => satisfies(b, relation)));
}

export interface Resolution {
  /** In byte order of their names. */
  packages: IndexedPackage[];
  /** For each package, the one that wanted it; `""` for those asked for. */
  neededBy: ReadonlyMap<string, string>;
}

/**
 * The closure of `wanted` (names, in any order).
 * @throws {ImageError} for a name that does not exist, a dependency that nothing satisfies, or a conflict.
 */
export function resolvePackages(index: PackageIndex, wanted: readonly string[]): Resolution {
  const chosen = new Map<string, IndexedPackage>();
  const neededBy = new Map<string, string>();
  const queue: IndexedPackage[] = [];
  const choose = (entry: IndexedPackage, by: string): void => {
    if (chosen.has(entry.name)) return;
    chosen.set(entry.name, entry);
    neededBy.set(entry.name, by);
    queue.push(entry);
  };
  for (const name of [...new Set(wanted)].sort()) {
    const [entry] = candidates(index, { name, qualifier: "", relation: undefined, version: "" });
    if (entry === undefined) {
      throw new ImageError({
        part: "packages",
        problem: `there is no package "${name}" for this architecture in the suite`,
        remedy: "check the spelling of --include, or choose another --suite",
      });
    }
    choose(entry, "");
  }
  for (let next = 0; next < queue.length; next++) {
    const entry = queue[next];
    if (entry === undefined) break;
    for (const clause of entry.depends) {
      if (isSatisfied(clause, chosen, index)) continue;
      const options = clause.flatMap((relation) => candidates(index, relation));
      const current = [...chosen.values()];
      const peaceful = options.find(
        (option) => !current.some((other) => conflictsWith(option, other) || conflictsWith(other, option)),
      );
      const choice = peaceful ?? options[0];
      if (choice === undefined) {
        throw new ImageError({
          part: "packages",
          problem: `${entry.name} needs ${describe(clause)}, which the suite does not have${chain(entry.name, neededBy)}`,
          remedy: "leave out the package that needs it, or choose another --suite",
        });
      }
      choose(choice, entry.name);
    }
  }
  const packages = [...chosen.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const a of packages) {
    const clash = packages.find((b) => conflictsWith(a, b));
    if (clash === undefined) continue;
    throw new ImageError({
      part: "packages",
      problem: `${a.name} and ${clash.name} exclude each other${chain(a.name, neededBy)}${chain(clash.name, neededBy)}`,
      remedy: "leave one of them out of --include",
    });
  }
  return { packages, neededBy };
}

function isSatisfied(
  clause: Clause,
  chosen: ReadonlyMap<string, IndexedPackage>,
  index: PackageIndex,
): boolean {
  return clause.some((relation) => {
    const real = chosen.get(relation.name);
    if (real !== undefined && satisfies(real, relation)) return true;
    const providers = index.providers.get(relation.name) ?? [];
    return providers.some((entry) => chosen.has(entry.name) && satisfies(entry, relation));
  });
}

function describe(clause: Clause): string {
  return clause
    .map(({ name, relation, version }) =>
      relation === undefined ? name : `${name} (${relation} ${version})`,
    )
    .join(" | ");
}

/** ` (a, wanted by b, wanted by c)` for the package at the start of the chain; "" if it was asked for. */
function chain(name: string, neededBy: ReadonlyMap<string, string>): string {
  const names: string[] = [];
  for (let by = neededBy.get(name); by !== undefined && by !== ""; by = neededBy.get(by)) names.push(by);
  return names.length === 0 ? "" : ` (${name} is wanted by ${names.join(", by ")})`;
}

/** The names that every image holds: what is essential, and what Debian's own minimal systems have. */
export function baseSet(index: PackageIndex): string[] {
  const names: string[] = [];
  for (const entry of index.byName.values()) {
    if (entry.essential || entry.priority === "required") names.push(entry.name);
  }
  return names;
}
