/**
 * The guest programs: what to run and the file of verdicts that must come out, byte for byte.
 *
 * The verdicts are those of Debian's riscv64 kernel (`node tools/oracle-guests.ts record`), which agree with a
 * native build under x86-64 Linux wherever the test exists for both. qemu-user is no judge of everything:
 * `qemuUserDiffers` lists the verdicts that it gets wrong, by section or by whole line; docs/design/oracle.md has
 * the reasons.
 */

export interface GuestProgram {
  /** Unique; also the name of the file of verdicts in `expected`. */
  readonly name: string;
  /** In `bin`. */
  readonly program: string;
  readonly args?: readonly string[];
  /** Default root. Programs that need root say so in their first lines. */
  readonly user?: string;
  readonly exitCode: number;
  /** Starts of verdicts that qemu-user fails; `all` where it does not come to an end. */
  readonly qemuUserDiffers?: readonly string[] | "all";
}

/** For the first boots: no libc, few system calls, a few kilobytes each. In the order of what they need. */
const boot: readonly GuestProgram[] = [
  { name: "hello", program: "hello", exitCode: 42 },
  { name: "exit-status", program: "exit-status", args: ["3", "two words", ""], exitCode: 3 },
  { name: "exit-signal", program: "exit-status", args: ["-15"], exitCode: 143 },
  { name: "null-call", program: "null-call", exitCode: 0 },
  { name: "write-loop", program: "write-loop", args: ["50"], exitCode: 0 },
  { name: "memory-touch", program: "memory-touch", exitCode: 0 },
  { name: "fork-wait", program: "fork-wait", exitCode: 0 },
  { name: "pipe-pingpong", program: "pipe-pingpong", exitCode: 0 },
  { name: "exec-self", program: "exec-self", exitCode: 5 },
  { name: "thread-futex", program: "thread-futex", exitCode: 0 },
];

const verdicts: readonly GuestProgram[] = [
  {
    name: "signals",
    program: "signals",
    exitCode: 0,
    qemuUserDiffers: [
      "nested/sa_mask defers it",
      "nested/the mask inside",
      "overflow/a handler on the alternate stack",
      "child/SA_NOCLDSTOP",
      "child/SA_NOCLDWAIT reaps",
      "threads/tgkill to a thread that ended",
    ],
  },
  {
    name: "sockets",
    program: "sockets",
    exitCode: 0,
    qemuUserDiffers: ["making/an unknown flag", "descriptors"],
  },
  { name: "threads", program: "threads", exitCode: 0 },
  { name: "memory", program: "memory", exitCode: 0, qemuUserDiffers: "all" },
  { name: "faults", program: "faults", exitCode: 0 },
  {
    name: "processes",
    program: "processes",
    exitCode: 0,
    qemuUserDiffers: [
      "vfork/the parent waits and shares memory",
      "spawn/memory until exec",
      "orphans/a subreaper inherits it",
      "identity/CLONE_PARENT_SETTID",
      "identity/__WALL finds it",
      "identity/with its status",
    ],
  },
  { name: "permissions", program: "permissions", exitCode: 0 },
  { name: "files", program: "files", exitCode: 0 },
  { name: "pipes", program: "pipes", exitCode: 0 },
  { name: "tty", program: "tty", exitCode: 0, qemuUserDiffers: ["jobs/"] },
  { name: "timers", program: "timers", exitCode: 0, qemuUserDiffers: ["sleep/a bad pointer"] },
  { name: "events", program: "events", exitCode: 0 },
  { name: "xattrs", program: "xattrs", exitCode: 0 },
  { name: "memfd", program: "memfd", exitCode: 0 },
  { name: "inotify", program: "inotify", exitCode: 0 },
  { name: "mutexes", program: "mutexes", exitCode: 0 },
  { name: "splices", program: "splices", exitCode: 0 },
  {
    name: "limits",
    program: "limits",
    exitCode: 0,
    qemuUserDiffers: ["stack/three times the limit", "address-space/", "processes/RLIMIT_NPROC"],
  },
  {
    name: "execs",
    program: "execs",
    exitCode: 0,
    qemuUserDiffers: [
      "arguments/arguments and environment",
      "scripts/five deep",
      "busy/writing a running program",
      "descriptor/execveat of a descriptor",
    ],
  },
  {
    name: "badargs",
    program: "badargs",
    exitCode: 0,
    qemuUserDiffers: ["pointers/nanosleep", "halves/", "descriptors/readv", "flags/pipe2", "flags/madvise"],
  },
];

/** The same source against glibc, linked in three ways. */
const libc: readonly GuestProgram[] = ["libc-static", "libc-pie", "libc-nopie"].map((program) => ({
  name: program,
  program,
  exitCode: 0,
  qemuUserDiffers: ["posix_spawn of nothing"],
}));

export const guestPrograms: readonly GuestProgram[] = [...boot, ...verdicts, ...libc];
