/**
 * The checks against real programs of other systems: qemu, binutils, the EROFS and dm-verity tools. Each is
 * run if what it needs is there; what is left out is said, never silent.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { readSources, root } from "./source.ts";

export interface LivePart {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly env?: NodeJS.ProcessEnv;
  /** Programs of the host that it needs. */
  readonly needs: readonly string[];
  /** Whether the part has been written. */
  readonly written: boolean;
}

/** The Debian package of each program that a live part needs. */
export const TOOL_PACKAGES: Readonly<Record<string, string>> = {
  "qemu-riscv64-static": "qemu-user-static",
  "riscv64-linux-gnu-objdump": "binutils-riscv64-linux-gnu",
  "fsck.erofs": "erofs-utils",
  veritysetup: "cryptsetup-bin",
};

const node = process.execPath;
const tool = (name: string): boolean => existsSync(path.join(root, "tools", name));

/** Test files that do more when COPPICE_LIVE is set. */
function liveTests(): string[] {
  return readSources(["src", "test"])
    .filter((file) => file.path.endsWith(".test.ts") && file.text.includes("COPPICE_LIVE"))
    .map((file) => file.path);
}

export function liveParts(): LivePart[] {
  const tests = liveTests();
  return [
    {
      name: "instructions against qemu and binutils",
      command: [node, "tools/riscv-golden.ts", "--check"],
      needs: ["qemu-riscv64-static", "riscv64-linux-gnu-objdump"],
      written: tool("riscv-golden.ts"),
    },
    {
      name: "images against fsck.erofs and veritysetup",
      command: [node, "tools/run-tests.ts", ...tests],
      env: { COPPICE_LIVE: "1" },
      needs: ["fsck.erofs", "veritysetup"],
      written: tests.length > 0,
    },
    {
      name: "scenarios against the same binaries under qemu",
      command: [node, "tools/oracle.ts", "check"],
      needs: ["qemu-riscv64-static"],
      written: tool("oracle.ts"),
    },
  ];
}

function isThere(program: string): boolean {
  const folders = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`.split(":");
  return folders.some((folder) => existsSync(path.join(folder, program)));
}

/** Programs that no folder of PATH holds. */
export function missingTools(parts: readonly LivePart[]): string[] {
  return [...new Set(parts.flatMap(({ needs }) => needs))].filter((name) => !isThere(name));
}

function hasApt(): boolean {
  return process.platform === "linux" && process.getuid?.() === 0 && isThere("apt-get");
}

/** Installs the packages of missing programs where that is possible: as root, with apt. */
export function installTools(missing: readonly string[]): void {
  if (missing.length === 0 || !hasApt()) return;
  const packages = missing.map((name) => TOOL_PACKAGES[name] ?? name);
  console.log(`installing ${packages.join(", ")}`);
  const options = { stdio: "ignore", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
  try {
    execFileSync("apt-get", ["update", "-q"], options);
    execFileSync("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...packages], options);
  } catch (error) {
    console.log(`apt-get failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The distribution, for the report. */
export function hostName(): string {
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  return /^PRETTY_NAME="(.*)"$/m.exec(release)?.[1] ?? process.platform;
}
