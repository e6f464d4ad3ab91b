/**
 * The row of a system call: one place that says its number, name, arguments, how far it is supported, how it
 * waits, what a signal does to it, and what carries it out. Dispatch, `--strace` and docs/SYSCALLS.md are all
 * read from the rows (table.ts); nothing else lists system calls.
 */

import type { Transaction } from "../heap/transaction.ts";
import type { CallHandler, SystemCall } from "../kernel/call.ts";
import type { Task } from "../kernel/task.ts";

/** A set of flag names for decoding: bits, or (under `mask`) the values of a field inside the word. */
export interface FlagSet {
  readonly kind: "flags";
  /** Names by value. A value with several bits is tried before its parts: list it first. */
  readonly names: readonly (readonly [name: string, value: number])[];
  /** Bits that hold a number rather than flags, with its names: O_ACCMODE, MAP_TYPE. Printed first. */
  readonly field?: {
    readonly mask: number;
    readonly names: readonly (readonly [name: string, value: number])[];
  };
}

/** A number that is one of several names: a command, a clock, a signal how. */
export interface NameSet {
  readonly kind: "names";
  readonly names: readonly (readonly [name: string, value: number])[];
}

/** How an argument is shown in a trace. */
export type Argument =
  /** Signed 32-bit and 64-bit decimal; unsigned decimal; hexadecimal. */
  | "int"
  | "long"
  | "unsigned"
  | "hex"
  /** A pointer: hexadecimal, or NULL. */
  | "address"
  | "fd"
  /** A descriptor or AT_FDCWD. */
  | "dirfd"
  /** Octal permissions; those of a file to be created, shown if the flags before them ask for one. */
  | "mode"
  | "open-mode"
  | "pid"
  | "signal"
  /** A string that ends in a zero byte. */
  | "string"
  /** An array of such strings, NULL at its end; an environment, of which only the number is shown. */
  | "strings"
  | "environment"
  /** Bytes that the call reads, as many as the next argument says. */
  | "bytes-in"
  /** Bytes that the call has written, as many as its result says. */
  | "bytes-out"
  /** A string that the call has written, at its exit. */
  | "string-out"
  /** Structures: shown at entry, or (-out) at exit. */
  | "timespec"
  | "timespec-out"
  | "sigset"
  | "sigset-out"
  | "stat-out"
  | "fd-pair-out"
  | "int-out"
  | "iovec-in"
  | "iovec-out"
  | "pollfds"
  | FlagSet
  | NameSet;

/** How much of the call programs can rely on. */
export type SupportLevel = "full" | "partial" | "none";

/**
 * How the call waits (rule R1): it does not; it runs again from the beginning when its condition may hold
 * (retry); or it has left a record that a waker completes, and never decides again (enqueue).
 */
export type WaitKind = "none" | "retry" | "enqueue";

/**
 * What a handler that interrupts the wait does to the call: it is run again if the handler was set up with
 * SA_RESTART, else EINTR ("restart"); it is run again whatever the handler ("always"); always EINTR ("interrupt"). No handler runs before the call is finished,
 * and only the end of the task keeps it from that ("uninterruptible").
 */
export type RestartKind = "restart" | "always" | "interrupt" | "uninterruptible";

/**
 * Gives up what the earlier attempts of a call hold, when a signal or the task's end keeps it from being resumed:
 * one bounded step. False: commit, and call again. With the last step Task.progress is 0.
 */
export type Abandon = (tx: Transaction, task: Task) => boolean;

/**
 * Whether what a waiting call waits for has come, so that it succeeds although a signal wants to interrupt it. It may
 * take locks; the caller rolls back.
 */
export type HasCome = (tx: Transaction, task: Task) => boolean;

export interface CallRow {
  readonly number: number;
  readonly name: string;
  readonly args: readonly Argument[];
  /** How the result is shown: decimal if absent. */
  readonly result: "int" | "address" | "none";
  readonly support: SupportLevel;
  /** For "partial": what is missing. For "none": why. */
  readonly note: string;
  readonly wait: WaitKind;
  readonly restart: RestartKind;
  /** Says so by the arguments, for a call whose kind depends on them. */
  readonly restartOf: ((call: SystemCall) => RestartKind) | undefined;
  /**
   * Whether Task.progress is a count of bytes while the call waits: what it answers when a signal ends the wait.
   */
  readonly countsProgress: boolean;
  /** Set if earlier attempts leave more than a count in Task.progress: gives that up when the call is not resumed. */
  readonly abandon: Abandon | undefined;
  /** Absent: the call is interrupted all the same, since running it again comes to the same. */
  readonly hasCome: HasCome | undefined;
  /** Absent: ENOSYS. */
  readonly handler: CallHandler | undefined;
}

export interface RowOptions {
  readonly wait?: WaitKind;
  readonly restart?: RestartKind;
  readonly restartOf?: (call: SystemCall) => RestartKind;
  readonly result?: CallRow["result"];
  readonly countsProgress?: boolean;
  readonly abandon?: Abandon;
  readonly hasCome?: HasCome;
}

function row(
  number: number,
  name: string,
  args: readonly Argument[],
  support: SupportLevel,
  note: string,
  handler: CallHandler | undefined,
  options: RowOptions,
): CallRow {
  const { wait = "none", restart = "restart", restartOf, result = "int", countsProgress = false } = options;
  const waiting = {
    wait,
    restart,
    restartOf,
    countsProgress,
    abandon: options.abandon,
    hasCome: options.hasCome,
  };
  return { number, name, args, support, note, handler, result, ...waiting };
}

/** A call that does all that Linux documents. */
export function full(
  number: number,
  name: string,
  args: readonly Argument[],
  handler: CallHandler,
  options: RowOptions = {},
): CallRow {
  return row(number, name, args, "full", "", handler, options);
}

/** A call of which something is missing: `note` says what. */
export function partial(
  number: number,
  name: string,
  args: readonly Argument[],
  note: string,
  handler: CallHandler,
  options: RowOptions = {},
): CallRow {
  return row(number, name, args, "partial", note, handler, options);
}

/** A call that answers ENOSYS: `why` says for what reason. */
export function unsupported(number: number, name: string, args: readonly Argument[], why: string): CallRow {
  return row(number, name, args, "none", why, undefined, {});
}

/** A {@link FlagSet} from an object of constants. */
export function flagSet(constants: { readonly [name: string]: number }, field?: FlagSet["field"]): FlagSet {
  const names = Object.entries(constants);
  return field === undefined ? { kind: "flags", names } : { kind: "flags", names, field };
}

/** A {@link NameSet} from an object of constants. */
export function nameSet(constants: { readonly [name: string]: number }): NameSet {
  return { kind: "names", names: Object.entries(constants) };
}
