/**
 * The CPU programs of the benchmark and the checksum line each prints for its usual size and for a tiny one.
 * riscv64 and native builds print the same line; `run N: T ns` per run goes to stderr.
 */
export interface CpuProgram {
  readonly name: string;
  readonly what: string;
  /** A size that takes about a tenth of a second under qemu-user, and the line it prints. */
  readonly usual: { readonly size: number; readonly output: string };
  /** A size for tests. */
  readonly tiny: { readonly size: number; readonly output: string };
}

export const cpuPrograms: readonly CpuProgram[] = [
  {
    name: "calls",
    what: "recursion, calls, function pointers",
    usual: { size: 32, output: "calls 32 e9d2b8fb8112f8a4" },
    tiny: { size: 8, output: "calls 8 b4b2616c2e2d212e" },
  },
  {
    name: "sha256",
    what: "SHA-256",
    usual: { size: 4096, output: "sha256 4096 fd06fd3d0c3df309" },
    tiny: { size: 4, output: "sha256 4 58abf1ab2d7d36f3" },
  },
  {
    name: "strings",
    what: "hash table and strings",
    usual: { size: 400000, output: "strings 400000 713efec3d6fbc339" },
    tiny: { size: 200, output: "strings 200 35a53e67bee35f23" },
  },
  {
    name: "structures",
    what: "linked list, matrix, state machine",
    usual: { size: 100, output: "structures 100 1cef068b8e0735b3" },
    tiny: { size: 2, output: "structures 2 abb060fc93e18ef4" },
  },
  {
    name: "floating",
    what: "n-body, spectral norm, single precision",
    usual: { size: 300, output: "floating 300 7cee4574fd27b3d4" },
    tiny: { size: 3, output: "floating 3 7c80fe2f60b14afd" },
  },
  {
    name: "bytecode",
    what: "a bytecode interpreter",
    usual: { size: 500000, output: "bytecode 500000 75df433d786be657" },
    tiny: { size: 500, output: "bytecode 500 c2a89498a2e914dd" },
  },
];

/** Names that `syscalls NAME ITERATIONS` accepts; it prints "NAME ITERATIONS NS". */
export const syscallBenches = [
  "null-call",
  "read-zero",
  "write-null",
  "pipe-byte",
  "pipe-trip",
  "fork-exit",
  "fork-exec",
  "clock-read",
  "open-close",
  "page-fault",
] as const;
