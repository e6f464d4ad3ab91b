/** Time in Node. */

import type { HostClock } from "../contract.ts";

/** How far the wall clock may differ before it counts as set. */
const WALL_TOLERANCE_MS = 50;

/** Readings that are compared at most, and how close together two of them are good enough, ms. */
const READINGS_MAX = 100;
const CLOSE_MS = 0.002;

/**
 * How far the process's clock, which all threads share, is ahead of this thread's `performance.now`, ns. The
 * thread may lose its processor between two readings, so the closest pair of many counts.
 */
function aheadNs(): number {
  let best = Number.POSITIVE_INFINITY;
  let ahead = 0;
  for (let i = 0; i < READINGS_MAX && best > CLOSE_MS; i++) {
    const before = performance.now();
    const [seconds, nanoseconds] = process.hrtime();
    const took = performance.now() - before;
    if (took < best) {
      best = took;
      ahead = seconds * 1e9 + nanoseconds - (before + took / 2) * 1e6;
    }
  }
  return ahead;
}

/** A clock for this thread that agrees with those of the others: `performance.now` counts from its own start. */
export function nodeClock(): HostClock {
  const offset = aheadNs();
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
