/**
 * Writes `/var/lib/dpkg` as `dpkg --unpack` leaves it.
 *
 * The state is `install ok unpacked`, which is the truth: the files are there, the packages' own scripts have
 * not run. `dpkg --configure -a` completes it once scripts can run. Conffiles already have their final names
 * and their real checksums, so configuring finds nothing to ask about them.
 */

import { createHash } from "node:crypto";
import type { FileTree } from "./tree.ts";
import type { UnpackedPackage } from "./unpack.ts";

/** The order in which dpkg writes the fields; others follow in the order of the control file. */
const fieldOrder = [
  ..."Package Essential Protected Status Priority Section Installed-Size Origin Maintainer Bugs".split(" "),
  ..."Architecture Multi-Arch Source Version Replaces Provides Depends Pre-Depends Recommends".split(" "),
  ..."Suggests Breaks Conflicts Enhances Conffiles Description".split(" "),
];

const base = "var/lib/dpkg";

/** Writes the database for `packages` into `tree`. */
export function writeDpkgDatabase(tree: FileTree, packages: readonly UnpackedPackage[]): void {
  const sorted = [...packages].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const folder of ["", "/alternatives", "/info", "/parts", "/triggers", "/updates"]) {
    tree.mkdir(base + folder, { mode: 0o755 });
  }
  const plain = { mode: 0o644 };
  tree.write(`${base}/status`, sorted.map((entry) => statusStanza(tree, entry)).join(""), plain);
  tree.write(`${base}/available`, "", plain);
  tree.write(`${base}/diversions`, "", plain);
  tree.write(`${base}/statoverride`, "", plain);
  tree.write(`${base}/info/format`, "1\n", plain);
  for (const entry of sorted) writeInfo(tree, entry);
  writeTriggers(tree, sorted);
}

function infoName(entry: UnpackedPackage): string {
  const same = entry.stanza.get("Multi-Arch") === "same";
  return same ? `${entry.name}:${entry.architecture}` : entry.name;
}

function writeInfo(tree: FileTree, entry: UnpackedPackage): void {
  const stem = `${base}/info/${infoName(entry)}`;
  tree.write(`${stem}.list`, entry.paths.map((path) => `${path}\n`).join(""), { mode: 0o644 });
  for (const name of [...entry.control.keys()].sort()) {
    if (name === "control" || name.includes("/")) continue;
    const executable = ((entry.controlModes.get(name) ?? 0) & 0o111) !== 0;
    tree.write(`${stem}.${name}`, entry.control.get(name) ?? "", { mode: executable ? 0o755 : 0o644 });
  }
}

function statusStanza(tree: FileTree, entry: UnpackedPackage): string {
  const fields = new Map(entry.stanza);
  fields.set("Status", "install ok unpacked");
  const conffiles = conffileLines(tree, entry);
  if (conffiles !== "") fields.set("Conffiles", conffiles);
  const names = [...fieldOrder.filter((name) => fields.has(name)), ...fields.keys()];
  let text = "";
  for (const name of new Set(names)) {
    const value = (fields.get(name) ?? "").split("\n").join("\n ");
    text += value.startsWith("\n") ? `${name}:${value}\n` : `${name}: ${value}\n`;
  }
  return `${text}\n`;
}

/** The Conffiles field: each path with the MD5 that dpkg compares when it looks for local changes. */
function conffileLines(tree: FileTree, entry: UnpackedPackage): string {
  const listed = Buffer.from(entry.control.get("conffiles") ?? new Uint8Array(0)).toString("latin1");
  let lines = "";
  for (const line of listed.split("\n")) {
    // Flags ("remove-on-upgrade") stand before the path.
    const path = line.trim().split(/\s+/).at(-1) ?? "";
    const content = path.startsWith("/") ? tree.read(path.slice(1)) : undefined;
    if (content !== undefined) lines += `\n${path} ${createHash("md5").update(content).digest("hex")}`;
  }
  return lines;
}

/** The packages' interests in triggers: paths in `triggers/File`, other names in a file each. */
function writeTriggers(tree: FileTree, packages: readonly UnpackedPackage[]): void {
  const byPath: string[] = [];
  const byName = new Map<string, string[]>();
  for (const entry of packages) {
    const text = Buffer.from(entry.control.get("triggers") ?? new Uint8Array(0)).toString("latin1");
    for (const line of text.split("\n")) {
      const match = /^\s*interest(-await|-noawait)?\s+(\S+)\s*$/.exec(line);
      const what = match?.[2];
      if (what === undefined) continue;
      const who = infoName(entry) + (match?.[1] === "-noawait" ? "/noawait" : "");
      if (what.startsWith("/")) byPath.push(`${what} ${who}\n`);
      else if (/^[A-Za-z0-9+.-]+$/.test(what)) byName.set(what, [...(byName.get(what) ?? []), `${who}\n`]);
    }
  }
  tree.write(`${base}/triggers/File`, byPath.join(""), { mode: 0o644 });
  tree.write(`${base}/triggers/Unincorp`, "", { mode: 0o644 });
  tree.write(`${base}/triggers/Lock`, "", { mode: 0o644 });
  for (const [name, lines] of byName) tree.write(`${base}/triggers/${name}`, lines.join(""), { mode: 0o644 });
}
