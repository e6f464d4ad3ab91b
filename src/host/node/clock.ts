/** Time in Node. */

import type { HostClock } from "../contract.ts";

/**
 * A clock for this thread. `performance.now` counts from the thread's own start; one reading of the process's
 * clock, which all threads share, tells how far that is from theirs.
 */
export function nodeClock(): HostClock {
  const [seconds, nanoseconds] = process.hrtime();
  const offset = seconds * 1e9 + nanoseconds - performance.now() * 1e6;
  let last = 0;
  // The wall clock is read again now and then, since it may be set.
  let wallOffset = 0;
  let wallReadAt = Number.NEGATIVE_INFINITY;
  return {
    monotonic: () => {
      const now = Math.round(performance.now() * 1e6 + offset);
      if (now > last) last = now;
      return last;
    },
    realtime: () => {
      const now = performance.now();
      if (now - wallReadAt > 1000) {
        wallReadAt = now;
        const wall = Date.now() - now;
        // Milliseconds are coarse: keep the finer offset while it agrees.
        if (Math.abs(wall - wallOffset) > 2) wallOffset = wall;
      }
      return Math.round((now + wallOffset) * 1e6);
    },
  };
}
