/**
 * Completes package-lock.json with the packages for other platforms. `npm install` leaves out those that the
 * registry at hand does not have, and then `npm ci` refuses the lock file, here and everywhere. Such an entry
 * has the exact version that its parent asks for and the platform from its name; npm learns the hash where it
 * installs it.
 *
 *     node tools/complete-lock.ts [--check]
 */

import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { root } from "./source.ts";

interface LockEntry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface LockFile {
  packages: Record<string, LockEntry>;
}

const SYSTEMS = [
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
  "aix",
];
const PROCESSORS = [
  "arm64",
  "arm",
  "ia32",
  "x64",
  "ppc64",
  "riscv64",
  "s390x",
  "loong64",
  "mips64el",
  "wasm32",
];

/** `os`, `cpu` and `libc` of a package such as `@oxlint/binding-linux-arm-musleabihf`. */
function platformOf(name: string): object {
  const words = name.replace(/^.*\//, "").split("-");
  const os = SYSTEMS.find((word) => words.includes(word));
  const cpu = PROCESSORS.find((word) => words.includes(word));
  if (cpu === undefined || (os === undefined && cpu !== "wasm32")) {
    throw new Error(`${name}: the name tells no platform`);
  }
  const libc = words.some((word) => word.startsWith("musl")) ? "musl" : "glibc";
  const libcMatters = words.some((word) => /^(musl|gnu)/.test(word)) && os === "linux";
  return { ...(os && { os: [os] }), cpu: [cpu], ...(libcMatters && { libc: [libc] }) };
}

/** The entries that are missing, by their keys. */
export function missingEntries({ packages }: LockFile): Map<string, LockEntry> {
  const missing = new Map<string, LockEntry>();
  for (const [parent, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const key = `node_modules/${name}`;
      if (key in packages || `${parent}/${key}` in packages) continue;
      missing.set(key, {
        version,
        ...(entry.dev && { dev: true }),
        optional: true,
        ...platformOf(name),
      });
    }
  }
  return missing;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
  const file = path.join(root, "package-lock.json");
  const lock = JSON.parse(readFileSync(file, "utf8")) as LockFile;
  const missing = missingEntries(lock);
  if (missing.size > 0 && !values.check) {
    const all = [...Object.entries(lock.packages), ...missing];
    // The order of npm: by code units, the root first.
    lock.packages = Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
    writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  }
  for (const [key, { version }] of missing) console.log(`${key} ${version}`);
  process.exitCode = values.check && missing.size > 0 ? 1 : 0;
}
