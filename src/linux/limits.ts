/** Resource limits of the calling process, as the calls that they bound read them. */

import type { SystemCall } from "../kernel/call.ts";
import { Limits, Process, Task } from "../kernel/task.ts";

/** The soft limit of `resource` (RLIMIT); Infinity for RLIM_INFINITY. */
export function softLimit(call: SystemCall, resource: number): number {
  const { tx } = call;
  const limits = Process.limits.get(tx, Task.process.get(tx, call.task));
  if (limits === 0) return Number.POSITIVE_INFINITY;
  const high = Limits.values.get(tx, limits, resource * 4 + 1) >>> 0;
  // Beyond 2^53 there is nothing to limit.
  if (high >= 0x20_0000) return Number.POSITIVE_INFINITY;
  return high * 0x1_0000_0000 + (Limits.values.get(tx, limits, resource * 4) >>> 0);
}
