/** Who a started program is, by the guest's passwd and group, and the environment that it gets. */

import type { GuestFileSystem, SpawnOptions } from "./api.ts";
import { CoppiceError } from "./errors.ts";

export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly home: string;
}

type Row = readonly string[];

async function rows(files: GuestFileSystem, path: string): Promise<Row[]> {
  try {
    const text = await files.readFile(path, "utf8");
    return text.split("\n").map((line) => line.split(":"));
  } catch (error) {
    if (error instanceof CoppiceError && error.errno === "ENOENT") return [];
    throw error;
  }
}

const isNumber = (text: string): boolean => /^\d+$/.test(text) && Number(text) < 2 ** 32 - 1;

/** `NAME`, `UID`, `NAME:GROUP` or `UID:GID`; root if left out. Fails with USER_NOT_FOUND. */
export async function resolveUser(files: GuestFileSystem, user: string | undefined): Promise<ResolvedUser> {
  const [name = "root", group] = (user ?? "root").split(":");
  const passwd = await rows(files, "/etc/passwd");
  const row = passwd.find(
    ([entry, , uid]) => entry === name || (isNumber(name) && uid === String(Number(name))),
  );
  if (row === undefined && !isNumber(name) && name !== "root") {
    throw new CoppiceError({
      code: "USER_NOT_FOUND",
      part: `user "${name}"`,
      reason: "no such user in the guest's /etc/passwd",
      remedy: "name one that is there, or give a number",
    });
  }
  const uid = Number(row?.[2] ?? (isNumber(name) ? name : 0));
  const home = row?.[5] || "/";
  if (group === undefined && user === undefined) return { uid, gid: 0, groups: [], home };
  const groupRows = await rows(files, "/etc/group");
  if (group !== undefined && group !== "") {
    const found = groupRows.find(([entry]) => entry === group);
    if (found === undefined && !isNumber(group)) {
      throw new CoppiceError({
        code: "USER_NOT_FOUND",
        part: `group "${group}"`,
        reason: "no such group in the guest's /etc/group",
        remedy: "name one that is there, or give a number",
      });
    }
    return { uid, gid: Number(found?.[2] ?? group), groups: [], home };
  }
  const gid = Number(row?.[3] ?? 0);
  const member = row?.[0] ?? "";
  const groups = groupRows
    .filter(([, , , members]) => member !== "" && (members ?? "").split(",").includes(member))
    .map(([, , id]) => Number(id));
  return { uid, gid, groups, home };
}

/** The variables of a started program. */
export function environmentOf(
  user: ResolvedUser,
  hostname: string,
  options: SpawnOptions,
): Readonly<Record<string, string>> {
  return {
    PATH: DEFAULT_PATH,
    HOSTNAME: hostname,
    ...(options.tty !== undefined && { TERM: "xterm" }),
    HOME: user.home,
    ...options.env,
  };
}
