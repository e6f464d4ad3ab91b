/**
 * The package archives that the host itself uses: apt's sources, in both of its formats
 * (`sources.list(5)`: one line each, or deb822 stanzas).
 */

import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { field, parseStanzas } from "./control-file.ts";

/** Addresses from one-line sources; `deb` lines only. */
export function readOneLineSources(text: string): string[] {
  const uris: string[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+\S+/.exec(line);
    if (match?.[1] !== undefined) uris.push(match[1]);
  }
  return uris;
}

/** Addresses from deb822 sources that are enabled and of type `deb`. */
export function readStanzaSources(text: string): string[] {
  const uris: string[] = [];
  for (const stanza of parseStanzas(text)) {
    if (/^(no|false|0|off|disable|without)$/i.test(field(stanza, "Enabled") ?? "yes")) continue;
    if (!(field(stanza, "Types") ?? "deb").split(/\s+/).includes("deb")) continue;
    uris.push(...(field(stanza, "URIs") ?? "").split(/\s+/).filter((uri) => uri !== ""));
  }
  return uris;
}

/**
 * The addresses in apt's sources under `root` (normally "/etc/apt") that this program can read, in the order
 * apt reads them, each once, without a slash at the end. None when the host has no apt.
 */
export async function hostArchives(root: string): Promise<string[]> {
  const files = [join(root, "sources.list")];
  try {
    const names = (await readdir(join(root, "sources.list.d"))).sort();
    files.push(...names.map((name) => join(root, "sources.list.d", name)));
  } catch {
    // No such folder: there is nothing to add.
  }
  const uris = new Set<string>();
  for (const file of files) {
    if (!/\.(list|sources)$/.test(file)) continue;
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch {
      continue;
    }
    const found = file.endsWith(".sources") ? readStanzaSources(text) : readOneLineSources(text);
    for (const uri of found) if (/^(https?|file):/.test(uri)) uris.add(uri.replace(/\/+$/, ""));
  }
  return [...uris];
}
