/** What a scenario of the crash campaign is: a guest program and its surroundings, as data. */

import type { Program } from "../guest.ts";

export interface Scenario {
  /** `group/name`. */
  readonly name: string;
  readonly program: Program;
  /** A terminal in place of pipes. */
  readonly tty?: boolean;
  /** Who runs it; default 0. */
  readonly uid?: number;
  /** Programs of test/guest or bench/guest that it needs, by name in /bin. */
  readonly install?: readonly string[];
  /** Bytes of guest memory, if not the usual ones. */
  readonly memory?: number;
}

/** A scenario of a group. */
export function scenario(
  name: string,
  program: Program,
  options: Omit<Scenario, "name" | "program"> = {},
): Scenario {
  return { name, program, ...options };
}

// Numbers of Linux riscv64 that scenarios use.
export const AT_FDCWD = -100;
export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
} as const;
