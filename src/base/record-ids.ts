/**
 * Every record type that may live in the heap, with its number. The number stands in the heap itself (in the
 * header of each chunk), so it must be the same in every thread and in every version that reads the heap:
 * append only, never reuse.
 */

export const RECORD_NAMES = [
  "none",
  "test-a",
  "test-b",
  "process",
  "task",
  "waiter",
  "timer",
  "address-space",
  "mapping",
  "file-table",
  "file",
  "fs-context",
  "signal-handlers",
  "queued-signal",
  "credentials",
  "inode",
  "dirent",
  "mount",
  "page",
  "pipe",
  "tty",
  "host-call",
  "host-io",
  "futex-waiter",
  "process-group",
  "session",
  "name-32",
  "name-64",
  "name-128",
  "name-256",
  "bytes-1k",
  "bytes-4k",
  "exec",
  "limits",
  "user",
  "descriptor-block",
  "eventpoll",
  "poll-entry",
  "pty",
  "host-stream",
  "host-folder",
  "radix-node",
  "file-lock",
  "symlink",
  "bytes-16k",
  "poison",
  "scheduler",
  "kernel",
  "hart",
  "futex-bucket",
  "host-process",
  "pipe-page",
  "tty-page",
  "file-system",
  "vfs-state",
  "xattr",
  "frame-batch",
  "shared-object",
  "frame-node",
] as const;

export type RecordName = (typeof RECORD_NAMES)[number];

/** The number of a record type. */
export const RECORD_ID: { readonly [N in RecordName]: number } = Object.fromEntries(
  RECORD_NAMES.map((name, index) => [name, index]),
) as { readonly [N in RecordName]: number };
