/** Time in Node. */

import type { HostClock } from "../contract.ts";

/** How far the wall clock may differ before it counts as set. */
const WALL_TOLERANCE_MS = 50;

/**
 * A clock for this thread. `performance.now` counts from the thread's own start; one reading of the process's
 * clock, which all threads share, tells how far that is from theirs.
 */
export function nodeClock(): HostClock {
  const [seconds, nanoseconds] = process.hrtime();
  const offset = seconds * 1e9 + nanoseconds - performance.now() * 1e6;
  let last = 0;
  // The wall clock when this clock began, finer than Date.now tells it; moved when the host's is set.
  let wallOffset = performance.timeOrigin;
  let checkedAt = Number.NEGATIVE_INFINITY;
  return {
    monotonic: () => {
      const now = Math.round(performance.now() * 1e6 + offset);
      if (now > last) last = now;
      return last;
    },
    realtime: () => {
      const now = performance.now();
      if (now - checkedAt > 1000) {
        checkedAt = now;
        // Threads must agree to within microseconds, so that files made one after the other show it.
        const off = Date.now() - (now + wallOffset);
        if (Math.abs(off) > WALL_TOLERANCE_MS) wallOffset += off;
      }
      return Math.round((now + wallOffset) * 1e6);
    },
  };
}
