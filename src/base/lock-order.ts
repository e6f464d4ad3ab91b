/**
 * The order in which a request may take locks.
 *
 * A request takes locks of rising rank only; two locks of one rank are taken by rising address. Locks are
 * held until the transaction ends (two-phase), so this order alone rules out deadlock. It follows the order
 * in which servers call each other (rule R10): what calls comes before what is called, and the kernel's own
 * bookkeeping, which everybody calls, comes last.
 */

export const LOCK_ORDER = [
  // Whole-machine coarse locks, for sets of locks that are found on the way (rule R5).
  "rename",
  "process-tree",
  // Processes and what hangs on them.
  "task",
  "signal-handlers",
  "file-table",
  "fs-context",
  "address-space",
  "shared-object",
  "io-completion",
  // Servers, callers first.
  "vfs",
  "mount",
  "inode",
  "file",
  "epoll",
  "event",
  "socket-names",
  "socket",
  "socket-queue",
  "socket-flight",
  "tty",
  "pipe",
  "page-cache",
  "auth",
  // The kernel's bookkeeping.
  "futex",
  "signal",
  "account",
  "host-io",
  // System locks: taken in system transactions, or last of all.
  "scheduler",
  "frames",
  "tables",
  "allocator",
] as const;

export type LockName = (typeof LOCK_ORDER)[number];

/** Position in {@link LOCK_ORDER}, from 1. */
export const LOCK_RANK: { readonly [N in LockName]: number } = Object.fromEntries(
  LOCK_ORDER.map((name, index) => [name, index + 1]),
) as { readonly [N in LockName]: number };

/** The name of a rank, for messages. */
export function lockName(rank: number): string {
  return LOCK_ORDER[rank - 1] ?? `rank ${rank}`;
}
