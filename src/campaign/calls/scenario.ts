/** What a scenario of the crash campaign is: a guest program and its surroundings, as data. */

import type { HostOperation } from "../../kernel/host-call.ts";
import type { Guest, Program, Step } from "../guest.ts";
import type { HostResult } from "../machine.ts";

/** What a scenario may do as the host. */
export interface HostSide {
  /** Pid of the program. */
  readonly pid: number;
  /** Makes a call of the host, while the machine works. Throws if it fails. */
  call(operation: HostOperation, args: readonly number[], payload: Uint8Array): HostResult;
  /** Does what must fail with the given errno. */
  fails(errno: string, work: () => unknown): void;
}

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
  /** What the host does when nobody in the machine has anything left to do; the program need not end by itself. */
  readonly host?: (host: HostSide) => void;
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

/** All that glibc shares with a thread that it makes. */
const CLONE_THREAD = 0x3d_0f00;

/** A thread that runs `program` and ends; its tid. */
export function* thread(g: Guest, program: (own: Guest) => Step): Step<number> {
  const word = g.bytes(16);
  return yield* g.clone(
    CLONE_THREAD,
    function* (own) {
      yield* program(own);
      yield* own.ok("exit", 0);
    },
    g.bytes(1024) + 1024,
    word,
    0x1000,
    word + 8,
  );
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
