/**
 * The recorded answers: one file for each group of scenarios, with the digest of the image, the hashes of the
 * programs that its scenarios name, and the command that makes it again.
 */

import { createHash } from "node:crypto";
import { existsSync, lstatSync, readFileSync, readlinkSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Outcome, Scenario } from "./scenario.ts";

export interface GoldenFile {
  readonly madeBy: string;
  readonly image: { readonly name: string; readonly digest: string; readonly release: string };
  /** SHA-256 by path in the image. */
  readonly binaries: Readonly<Record<string, string>>;
  readonly answers: Readonly<Record<string, Outcome>>;
}

const folder = path.resolve(import.meta.dirname, "../../test/scenarios/golden");

export const groupOf = (name: string): string => name.split("/")[0] ?? name;
const fileOf = (group: string): string => path.join(folder, `${group}.json`);

export function readGolden(group: string): GoldenFile | undefined {
  return existsSync(fileOf(group))
    ? (JSON.parse(readFileSync(fileOf(group), "utf8")) as GoldenFile)
    : undefined;
}

export function writeGolden(group: string, golden: GoldenFile): void {
  writeFileSync(fileOf(group), `${JSON.stringify(golden, null, 1)}\n`);
}

/** What every scenario stands on. */
const ALWAYS = [
  "/usr/bin/bash",
  "/usr/bin/dash",
  "/usr/lib/riscv64-linux-gnu/libc.so.6",
  "/usr/lib/ld-linux-riscv64-lp64d.so.1",
];

/** Resolves a path of the image inside the image, links included; undefined if it is not a file. */
function inImage(root: string, name: string): string | undefined {
  let at = name;
  for (let links = 0; links < 10; links += 1) {
    const host = path.join(root, at);
    const status = lstatSync(host, { throwIfNoEntry: false });
    if (!status) return undefined;
    if (status.isFile())
      return path.join("/", path.relative(root, realpathSync(path.dirname(host))), path.basename(at));
    if (!status.isSymbolicLink()) return undefined;
    // realpath would leave the image at an absolute link, so each link is followed by hand.
    at = path.resolve(path.dirname(at), readlinkSync(host));
  }
  return undefined;
}

/** The programs of the image that the scenarios name, and what they all stand on, with their hashes. */
export function hashBinaries(root: string, scenarios: readonly Scenario[]): Record<string, string> {
  const found = new Set<string>();
  const words = scenarios.flatMap(({ argv, stdin = "", keys = [] }) =>
    [...argv, stdin, ...keys.map(({ send }) => send)].join(" ").split(/[^\w.+[-]+/),
  );
  const paths = [...new Set(words)].flatMap((word) => [`/usr/bin/${word}`, `/usr/sbin/${word}`]);
  for (const name of [...ALWAYS, ...paths]) {
    if (name.endsWith("/")) continue;
    const file = inImage(root, name);
    if (file) found.add(file);
  }
  return Object.fromEntries(
    [...found].sort().map((name) => [
      name,
      createHash("sha256")
        .update(readFileSync(path.join(root, name)))
        .digest("hex"),
    ]),
  );
}

/** What about an answer file is no longer so, as lines for the user; empty if it is current. */
export function staleness(
  golden: GoldenFile,
  digest: string,
  binaries?: Readonly<Record<string, string>>,
): string[] {
  if (golden.image.digest === digest) return [];
  const lines = [`stale: the answers were made with image ${golden.image.digest}, this is ${digest}`];
  for (const [name, hash] of Object.entries(golden.binaries)) {
    const now = binaries?.[name];
    if (binaries && now !== hash)
      lines.push(`stale: ${name} ${now === undefined ? "is missing" : "has changed"}`);
  }
  return lines;
}
