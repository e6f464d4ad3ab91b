/** Resource limits, as the calls that they bound read them. */

import type { HeapView } from "../heap/heap.ts";
import type { SystemCall } from "../kernel/call.ts";
import { Limits, Process } from "../kernel/task.ts";

/** The soft limit of `resource` (RLIMIT) of a process; Infinity for RLIM_INFINITY. */
export function limitOf(view: HeapView, process: Process, resource: number): number {
  const limits = Process.limits.get(view, process);
  if (limits === 0) return Number.POSITIVE_INFINITY;
  const high = Limits.values.get(view, limits, resource * 4 + 1) >>> 0;
  // Beyond 2^53 there is nothing to limit.
  if (high >= 0x20_0000) return Number.POSITIVE_INFINITY;
  return high * 0x1_0000_0000 + (Limits.values.get(view, limits, resource * 4) >>> 0);
}

/** {@link limitOf} for the calling process. */
export function softLimit(call: SystemCall, resource: number): number {
  return limitOf(call.tx, call.process, resource);
}
