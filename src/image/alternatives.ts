/**
 * Debian's alternatives (`/etc/alternatives`): which program is `awk`, which is `pager`.
 *
 * The packages register theirs by calling `update-alternatives --install` in their postinst scripts. Those
 * have not run, so their calls are read: words and quotes, lines joined at a backslash, a call inside a
 * function or a case too. A call whose words hold a variable or a substitution is left out and reported; the
 * package's own script will make it.
 */

import type { FileTree } from "./tree.ts";

/** One `--install`, or one of its `--slave` parts. All paths are absolute. */
export interface AlternativeLink {
  link: string;
  name: string;
  path: string;
}
export interface Alternative extends AlternativeLink {
  priority: number;
  slaves: AlternativeLink[];
}

export interface AlternativeCalls {
  found: Alternative[];
  /** Calls that could not be read, as they stand in the script. */
  skipped: string[];
}

/** The `update-alternatives --install` calls of a script. */
export function readAlternatives(script: string): AlternativeCalls {
  const result: AlternativeCalls = { found: [], skipped: [] };
  for (const line of script.replace(/\\\n/g, " ").split("\n")) {
    const call = /(?:^|[\s;&|(])update-alternatives\s(.*)$/.exec(line)?.[1];
    if (call === undefined || !call.includes("--install") || line.trim().startsWith("#")) continue;
    const parsed = parseInstall(shellWords(call));
    if (parsed === undefined) result.skipped.push(line.trim().replace(/\s+/g, " "));
    else result.found.push(parsed);
  }
  return result;
}

/** The words up to the end of the simple command; undefined when the shell would have to expand one. */
function shellWords(text: string): string[] | undefined {
  const words: string[] = [];
  const token = /\s*(?:("(?:[^"\\$`]*)"|'[^']*'|[A-Za-z0-9_./:+,@%=~-]+)+|([;&|)#}<>]|$)|(\S))/y;
  while (token.lastIndex < text.length) {
    const start = token.lastIndex;
    const match = token.exec(text);
    if (match === null || match[3] !== undefined) return undefined;
    if (match[1] === undefined) break;
    words.push(text.slice(start, token.lastIndex).trim().replace(/["']/g, ""));
  }
  return words;
}

function parseInstall(words: string[] | undefined): Alternative | undefined {
  if (words === undefined) return undefined;
  const at = words.indexOf("--install");
  const [link, name, path, priority] = words.slice(at + 1, at + 5);
  if (at < 0 || !isLink(link, name, path) || !/^-?[0-9]+$/.test(priority ?? "")) return undefined;
  const result: Alternative = {
    link,
    name: name ?? "",
    path: path ?? "",
    priority: Number(priority),
    slaves: [],
  };
  for (let i = 0; i < words.length; i++) {
    if (words[i] !== "--slave" && words[i] !== "--follower") continue;
    const [slaveLink, slaveName, slavePath] = words.slice(i + 1, i + 4);
    if (!isLink(slaveLink, slaveName, slavePath)) return undefined;
    result.slaves.push({ link: slaveLink, name: slaveName ?? "", path: slavePath ?? "" });
  }
  return result;
}

function isLink(
  link: string | undefined,
  name: string | undefined,
  path: string | undefined,
): link is string {
  const absolute = (value: string | undefined): boolean =>
    value !== undefined && /^\/[^\s]+$/.test(value) && !value.split("/").includes("..");
  return absolute(link) && absolute(path) && name !== undefined && /^[A-Za-z0-9][^/\s]*$/.test(name);
}

/**
 * Makes the links and the records of `update-alternatives` for all that `calls` register. For each name the
 * highest priority wins, of equals the first. Alternatives whose file is missing are left out.
 */
export function applyAlternatives(tree: FileTree, calls: readonly Alternative[]): void {
  const byName = new Map<string, Alternative[]>();
  for (const call of calls) {
    if (!tree.exists(call.path.slice(1))) continue;
    byName.set(call.name, [...(byName.get(call.name) ?? []), call]);
  }
  tree.mkdir("etc/alternatives", { mode: 0o755 });
  for (const name of [...byName.keys()].sort()) {
    const choices = byName.get(name) ?? [];
    const best = choices.reduce((a, b) => (b.priority > a.priority ? b : a));
    connect(tree, { link: best.link, name, path: best.path });
    for (const slave of best.slaves) if (tree.exists(slave.path.slice(1))) connect(tree, slave);
    tree.write(`var/lib/dpkg/alternatives/${name}`, record(best, choices), { mode: 0o644 });
  }
}

function connect(tree: FileTree, { link, name, path }: AlternativeLink): void {
  const there = tree.get(link.slice(1));
  if (there !== undefined && there.kind !== "symlink") return; // As update-alternatives: never over a file.
  tree.link(`etc/alternatives/${name}`, path);
  tree.link(link.slice(1), `/etc/alternatives/${name}`);
}

/** The administrative file: mode, link, slave names and links, then each choice with its priority and paths. */
function record(best: Alternative, choices: readonly Alternative[]): string {
  const slaves = new Map<string, string>();
  for (const choice of choices) for (const slave of choice.slaves) slaves.set(slave.name, slave.link);
  const names = [...slaves.keys()].sort();
  let text = `auto\n${best.link}\n`;
  for (const name of names) text += `${name}\n${slaves.get(name) ?? ""}\n`;
  text += "\n";
  for (const choice of [...choices].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    text += `${choice.path}\n${choice.priority}\n`;
    for (const name of names) text += `${choice.slaves.find((slave) => slave.name === name)?.path ?? ""}\n`;
  }
  return `${text}\n`;
}
