/** The values of options: their syntax, and messages for those that are wrong. */

import os from "node:os";
import path from "node:path";
import type { HostMount } from "../machine/api.ts";
import { UsageError } from "./failure.ts";

const MEMORY_UNIT = 65_536;
const MEMORY_MIN = 64 * 1024 ** 2;
const MEMORY_MAX = 4 * 1024 ** 3;
const HARTS_MAX = 64;

const UNIT_BYTES: Readonly<Record<string, number>> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/**
 * Bytes of a size such as `512m`, `1.5g`, `2GiB` or `1073741824`, rounded up to what a memory can be made of.
 */
export function parseMemory(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([bkmg]?)(?:i?b)?$/i.exec(text);
  const unit = match?.[2] === "" ? "b" : match?.[2]?.toLowerCase();
  if (!match || unit === undefined) {
    throw new UsageError(`--memory ${text}: not a size`, "write it like 512m, 1g or 4g");
  }
  const bytes = Number(match[1]) * (UNIT_BYTES[unit] ?? 1);
  if (bytes < MEMORY_MIN || bytes > MEMORY_MAX) {
    const relation = bytes < MEMORY_MIN ? "less than the least possible" : "more than a machine can have";
    throw new UsageError(`--memory ${text}: ${relation}`, "give a size from 64m to 4g");
  }
  return Math.ceil(bytes / MEMORY_UNIT) * MEMORY_UNIT;
}

export function parseHarts(text: string): number {
  const harts = /^\d+$/.test(text) ? Number(text) : 0;
  if (harts < 1 || harts > HARTS_MAX) {
    throw new UsageError(
      `--harts ${text}: not a number of harts`,
      `give a whole number from 1 to ${HARTS_MAX}`,
    );
  }
  return harts;
}

export function parseWorkdir(text: string): string {
  if (!text.startsWith("/")) {
    throw new UsageError(
      `-w ${text}: not an absolute path`,
      "give the folder in the guest from its root on: /root",
    );
  }
  return text;
}

export function parseUser(text: string): string {
  if (!/^[^:\s]+(?::[^:\s]+)?$/.test(text)) {
    throw new UsageError(`-u ${text}: not a user`, "write NAME, UID, NAME:GROUP or UID:GID");
  }
  return text;
}

/** `NAME=VALUE`, or `NAME` alone for the host's value, which is left out when the host has none. */
export function parseVariable(
  text: string,
  hostEnvironment: Readonly<Record<string, string | undefined>>,
): readonly [name: string, value: string] | undefined {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  if (name === "") {
    throw new UsageError(
      `-e ${text}: no name of a variable`,
      "write NAME=VALUE, or NAME to pass on the host's value",
    );
  }
  if (equals >= 0) return [name, text.slice(equals + 1)];
  const value = hostEnvironment[name];
  return value === undefined ? undefined : [name, value];
}

const VOLUME_FORM = "write HOST:GUEST or HOST:GUEST:ro, as in -v ./src:/mnt/src:ro";

/** `HOST:GUEST[:ro|rw]`. A Windows drive's colon belongs to the host's path. */
export function parseVolume(text: string): HostMount {
  const match = /^((?:[A-Za-z]:(?=[\\/]))?[^:]+):([^:]+)(?::([^:]*))?$/.exec(text);
  const [, host, guest, mode = "rw"] = match ?? [];
  if (host === undefined || guest === undefined) throw new UsageError(`-v ${text}: not a mount`, VOLUME_FORM);
  if (mode !== "ro" && mode !== "rw") {
    throw new UsageError(`-v ${text}: "${mode}" is not a mode of a mount`, "the modes are ro and rw");
  }
  if (!guest.startsWith("/")) {
    throw new UsageError(`-v ${text}: ${guest} is not an absolute path in the guest`, VOLUME_FORM);
  }
  // A name without a slash would be a named volume in Docker; taking it for a folder would surprise.
  if (!/^(?:[./~\\]|[A-Za-z]:[\\/])/.test(host)) {
    throw new UsageError(
      `-v ${text}: there are no named volumes`,
      `for a folder of that name here, write ./${host}:${guest}`,
    );
  }
  const home = /^~(?=\/|$)/.test(host) ? os.homedir() + host.slice(1) : host;
  return { host: path.resolve(home), guest, readOnly: mode === "ro" };
}
