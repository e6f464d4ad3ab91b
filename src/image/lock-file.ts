/**
 * The lock file: exactly which packages an image consists of, so that a build can be repeated bit for bit.
 *
 * It holds hashes that a verified release vouched for when it was written, so a build from it checks files
 * against the lock alone and needs neither the release nor the index, which a mirror replaces in time.
 */

import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { ImageError, codeOf, messageOf } from "./errors.ts";

const format = "coppice-lock 1";

export interface LockedPackage {
  name: string;
  version: string;
  architecture: string;
  /** Path below the mirror. */
  filename: string;
  size: number;
  sha256: string;
}

export interface Lock {
  format: typeof format;
  suite: string;
  architecture: string;
  include: string[];
  release: {
    version: string;
    /** Seconds since 1970; the time of every generated file. */
    dateSeconds: number;
    /** SHA-256 of the InRelease file. */
    inRelease: string;
  };
  /** In byte order of their names. */
  packages: LockedPackage[];
}

/** A lock without its format line, as a build makes it. */
export function makeLock(parts: Omit<Lock, "format">): Lock {
  return { format, ...parts };
}

/** Reads `file`; undefined when it does not exist. @throws {ImageError} when it is no lock file. */
export async function readLock(file: string): Promise<Lock | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw lockError(file, `cannot be read: ${messageOf(error)}`, "check its permissions", error);
  }
  const spoilt = "restore it, or delete it and build again to make a new one";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw lockError(file, `is no JSON: ${messageOf(error)}`, spoilt, error);
  }
  const problem = findProblem(value);
  if (problem !== undefined) throw lockError(file, problem, spoilt);
  return canonical(value as Lock);
}

/** The same lock with its fields in the order in which they are written: the image's bytes depend on them. */
function canonical({ suite, architecture, include, release, packages }: Lock): Lock {
  const { version, dateSeconds, inRelease } = release;
  return makeLock({
    suite,
    architecture,
    include: [...include].sort(),
    release: { version, dateSeconds, inRelease },
    packages: packages
      .map((p) => ({
        name: p.name,
        version: p.version,
        architecture: p.architecture,
        filename: p.filename,
        size: p.size,
        sha256: p.sha256,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  });
}

/** Writes `lock` in one step. */
export async function writeLock(file: string, lock: Lock): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, `${JSON.stringify(lock, null, 2)}\n`);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw lockError(
      file,
      `cannot be written: ${messageOf(error)}`,
      "check that its folder exists and can be written",
      error,
    );
  }
}

/** @throws {ImageError} when the lock is for another suite, architecture or wish than the build. */
export function checkLockFits(
  lock: Lock,
  file: string,
  wanted: { suite: string; architecture: string; include: readonly string[] },
): void {
  const remedy = "build without --lock, name another lock file, or delete this one to make it anew";
  if (lock.suite !== wanted.suite) {
    throw lockError(file, `is for suite ${lock.suite}, not for ${wanted.suite}`, remedy);
  }
  if (lock.architecture !== wanted.architecture) {
    throw lockError(file, `is for architecture ${lock.architecture}, not for ${wanted.architecture}`, remedy);
  }
  const asked = [...wanted.include].sort().join(",");
  const locked = [...lock.include].sort().join(",");
  if (asked !== locked) {
    throw lockError(file, `was made with --include "${locked}", this build says "${asked}"`, remedy);
  }
}

function lockError(file: string, problem: string, remedy: string, cause?: unknown): ImageError {
  return new ImageError({ part: "lock file", problem: `${file} ${problem}`, remedy, cause });
}

function findProblem(value: unknown): string | undefined {
  if (!isRecord(value) || value["format"] !== format) return `is not a lock file of format "${format}"`;
  const { suite, architecture, include, release, packages } = value;
  if (!isText(suite) || !isText(architecture)) return "lacks suite or architecture";
  if (!Array.isArray(include) || !include.every(isText)) return "lacks the list of included packages";
  if (!isRecord(release) || typeof release["version"] !== "string" || !isHash(release["inRelease"])) {
    return "lacks the release";
  }
  if (!isCount(release["dateSeconds"])) return "lacks the date of the release";
  if (!Array.isArray(packages) || packages.length === 0) return "lists no packages";
  const seen = new Set<unknown>();
  for (const entry of packages as unknown[]) {
    const ok =
      isRecord(entry) &&
      isText(entry["name"]) &&
      isText(entry["version"]) &&
      isText(entry["architecture"]) &&
      isText(entry["filename"]) &&
      !entry["filename"].split("/").includes("..") &&
      !entry["filename"].startsWith("/") &&
      isCount(entry["size"]) &&
      isHash(entry["sha256"]);
    if (!ok) return "has a malformed package entry";
    if (seen.has(entry["name"])) return `lists package ${String(entry["name"])} twice`;
    seen.add(entry["name"]);
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "" && !/\s/.test(value);
}

function isHash(value: unknown): boolean {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
