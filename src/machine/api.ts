/**
 * The types of the library: boot a machine, run programs in it, reach its files.
 *
 *     await using machine = await boot({ image: "debian" });
 *     const { stdout } = await machine.exec(["uname", "-m"]); // "riscv64\n"
 *
 * Byte streams are Web streams, so the same code runs in Node and in a browser. Every failure of the library
 * itself is a `CoppiceError` (errors.ts). Operations on a closed machine fail with code `CLOSED`.
 */

/** How to boot. Everything but the image has a default. */
export interface BootOptions {
  /** The name of a built image (`debian`), or the path of an image file if it contains a slash. */
  readonly image: string;
  /**
   * Bytes of guest memory: page frames, page tables and registers of all processes together. A multiple of
   * 65536 from 64 MiB to 4 GiB; default 1 GiB. It is reserved at once and becomes resident as it is used.
   */
  readonly memory?: number;
  /** Harts, the machine's processors, each a thread of the host. From 1 to 64; default 2. */
  readonly harts?: number;
  /** What the guest calls itself; up to 64 letters, digits, hyphens and dots. Default `coppice`. */
  readonly hostname?: string;
  /** Host folders that the guest may reach. Without one, it reaches no file of the host. */
  readonly mounts?: readonly HostMount[];
  /**
   * Where a server runs, by its name (`{ auth: "worker" }`): `caller`, in the thread of whoever asks, is the
   * default; `worker` gives it a thread of its own.
   */
  readonly placement?: Readonly<Record<string, ServerPlacement>>;
  /** Whether code that runs often is translated to WebAssembly; otherwise all is interpreted. Default true. */
  readonly translate?: boolean;
  /** Whether what is translated is kept in the cache for later machines with the same image. Default true. */
  readonly keepTranslations?: boolean;
  /** Called with a line, without its line feed, for every system call of the guest. It slows the machine. */
  readonly strace?: (line: string) => void;
  /** Ends the boot. After the boot it has no effect: close the machine instead. */
  readonly signal?: AbortSignal;
}

export type ServerPlacement = "caller" | "worker";

/** A host folder that the guest may reach. No symbolic link in it leads out of it. */
export interface HostMount {
  /** The folder on the host. A relative path is taken from the working folder of the host's process. */
  readonly host: string;
  /** Where it appears in the guest: an absolute path. It is created if it is missing. */
  readonly guest: string;
  /** Whether writes fail with EROFS. Default false. */
  readonly readOnly?: boolean;
  /**
   * Who owns the files in the guest's eyes, whatever the host says; what the guest creates belongs to the
   * host user who runs Coppice. Default 0:0.
   */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** A signal by its Linux name. */
export type SignalName =
  | "SIGHUP"
  | "SIGINT"
  | "SIGQUIT"
  | "SIGILL"
  | "SIGTRAP"
  | "SIGABRT"
  | "SIGBUS"
  | "SIGFPE"
  | "SIGKILL"
  | "SIGUSR1"
  | "SIGSEGV"
  | "SIGUSR2"
  | "SIGPIPE"
  | "SIGALRM"
  | "SIGTERM"
  | "SIGSTKFLT"
  | "SIGCHLD"
  | "SIGCONT"
  | "SIGSTOP"
  | "SIGTSTP"
  | "SIGTTIN"
  | "SIGTTOU"
  | "SIGURG"
  | "SIGXCPU"
  | "SIGXFSZ"
  | "SIGVTALRM"
  | "SIGPROF"
  | "SIGWINCH"
  | "SIGIO"
  | "SIGPWR"
  | "SIGSYS"
  /** Real-time signals, by number: 32 to 64. */
  | `SIG${number}`;

/** The size of a terminal in characters; both from 1 to 65535. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** How to start a program. */
export interface SpawnOptions {
  /**
   * Variables added to the environment that every program gets: PATH (Debian's, with the sbin folders), HOME
   * (from passwd), HOSTNAME, and TERM=xterm with a terminal.
   */
  readonly env?: Readonly<Record<string, string>>;
  /** Working folder, an absolute path. It is created if it is missing. Default `/`. */
  readonly cwd?: string;
  /** `NAME`, `UID`, `NAME:GROUP` or `UID:GID`, resolved by the guest's passwd and group. Default root. */
  readonly user?: string;
  /**
   * A pseudo-terminal of this size as the controlling terminal. stdin writes to it, stdout reads from it, and
   * stderr is empty.
   */
  readonly tty?: TerminalSize;
  /** `pipe`: what is written to `stdin`. `null`: end of file at once. Default `pipe`. */
  readonly stdin?: "pipe" | "null";
}

export interface ExecOptions extends Omit<SpawnOptions, "stdin" | "tty"> {
  /** What the program reads from its standard input. Default: nothing. */
  readonly input?: string | Uint8Array;
  /** Greatest length of stdout and of stderr, in bytes; more kills the program. Default 64 MiB. */
  readonly maxOutputBytes?: number;
  /** After this many milliseconds the program is killed. Default: no limit. */
  readonly timeoutMs?: number;
  /** Kills the program. */
  readonly signal?: AbortSignal;
}

/** How a program ended: by exiting (`exitCode` from 0 to 255) or by a signal. The other one is null. */
export type ExitStatus =
  | { readonly exitCode: number; readonly signal: null }
  | { readonly exitCode: null; readonly signal: SignalName };

/** How a program ended and what it wrote. */
export type ExecResult<Output> = ExitStatus & { readonly stdout: Output; readonly stderr: Output };

/** A program that was started by {@link Machine.spawn}. */
export interface GuestProcess {
  readonly pid: number;
  /** Closed from the start with `stdin: "null"`. A write fails with EPIPE when the program no longer reads. */
  readonly stdin: WritableStream<Uint8Array>;
  /**
   * What the program and those that it started write. A stream that is not read stops them when its buffer is
   * full, as a pipe does; cancelling it gives them SIGPIPE.
   */
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  /** Resolves when the program has ended; its descendants may still run. May be called any number of times. */
  wait(): Promise<ExitStatus>;
  /** Sends a signal, by default SIGTERM. Without effect on a program that has ended. */
  kill(signal?: SignalName): void;
  /** Changes the size of the terminal; its foreground group gets SIGWINCH. Without a terminal: no effect. */
  resize(size: TerminalSize): void;
}

/** What `stat` tells of a file. Times are milliseconds since 1970. */
export interface FileStatus {
  readonly type: "file" | "directory" | "symlink" | "fifo" | "socket" | "char-device" | "block-device";
  /** Permission bits, set-uid, set-gid and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes. */
  readonly size: number;
  readonly links: number;
  readonly inode: number;
  readonly accessedMs: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly type: FileStatus["type"];
}

/**
 * The guest's files, as its root user sees them. Paths are absolute. A failure is a `CoppiceError` with code
 * `FILE_SYSTEM` whose `errno` has the name (`ENOENT`, `EISDIR`, …).
 */
export interface GuestFileSystem {
  readFile(path: string): Promise<Uint8Array>;
  readFile(path: string, encoding: "utf8"): Promise<string>;
  /** Replaces or creates a file; `mode` (default 0o644) holds for one that is created. */
  writeFile(path: string, data: string | Uint8Array, options?: { readonly mode?: number }): Promise<void>;
  /** The entries but for `.` and `..`, in the order of their names. */
  readdir(path: string): Promise<DirectoryEntry[]>;
  /** Follows symbolic links. */
  stat(path: string): Promise<FileStatus>;
  /** Does not follow a symbolic link. */
  lstat(path: string): Promise<FileStatus>;
  /** `recursive` creates the folders above too and accepts one that is there. `mode` is 0o755 by default. */
  mkdir(path: string, options?: { readonly recursive?: boolean; readonly mode?: number }): Promise<void>;
  /** `recursive` removes folders with what is in them, `force` accepts that there is nothing. */
  rm(path: string, options?: { readonly recursive?: boolean; readonly force?: boolean }): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  readlink(path: string): Promise<string>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
}

/** Where the time went since `boot` was called, and what the machine did. */
export interface TimingReport {
  /** The steps of the boot in their order, and `run` for the time since. Milliseconds. */
  readonly phases: readonly { readonly name: string; readonly ms: number }[];
  /** Counts since the boot, such as `system calls`, `page faults`, `task switches`. */
  readonly counters: Readonly<Record<string, number>>;
  /**
   * System calls that were answered ENOSYS, by name (by number, if Linux has none of that number), with how
   * often: what programs asked for and the machine does not have.
   */
  readonly missingCalls: Readonly<Record<string, number>>;
}

/** A running machine. `await using` closes it at the end of the block. */
export interface Machine {
  readonly fs: GuestFileSystem;
  /**
   * Starts a program. `argv[0]` is searched in PATH if it has no slash. Fails with `COMMAND_NOT_FOUND`,
   * `COMMAND_NOT_EXECUTABLE` or `USER_NOT_FOUND`.
   */
  spawn(argv: readonly string[], options?: SpawnOptions): Promise<GuestProcess>;
  /**
   * Runs a program to its end and collects what it writes, as UTF-8 text or as bytes. An exit status other
   * than 0 is a result, not an error. Fails as `spawn` does, with `TOO_MUCH_OUTPUT`, and with `ABORTED` when
   * its time is up or its signal fires.
   */
  exec(
    argv: readonly string[],
    options?: ExecOptions & { readonly encoding?: "utf8" },
  ): Promise<ExecResult<string>>;
  exec(
    argv: readonly string[],
    options: ExecOptions & { readonly encoding: "bytes" },
  ): Promise<ExecResult<Uint8Array>>;
  timing(): TimingReport;
  /**
   * Kills every process and ends every thread. Streams of processes deliver what was written and then end.
   * What was written to the image's writable layer is gone.
   */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Boots a machine. Several may run in one process of the host.
 *
 * Fails with `INVALID_OPTION`, `IMAGE_NOT_FOUND`, `IMAGE_DAMAGED`, `MOUNT_FAILED`, `HOST_UNSUPPORTED` or
 * `ABORTED`, and then leaves nothing behind.
 */
export type Boot = (options: BootOptions) => Promise<Machine>;
