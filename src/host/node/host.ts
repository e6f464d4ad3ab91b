/** What Node gives a thread of a machine: time, entropy, sleep. */

import { webcrypto } from "node:crypto";
import type { Host } from "../contract.ts";
import { nodeClock } from "./clock.ts";

/** The host as the calling thread sees it. */
export function nodeHost(): Host {
  return {
    clock: nodeClock(),
    entropy: {
      fill: (bytes) => {
        // Random bytes are not made in shared memory.
        const own = new Uint8Array(bytes.length);
        for (let at = 0; at < own.length; at += 65536)
          webcrypto.getRandomValues(own.subarray(at, at + 65536));
        bytes.set(own);
      },
    },
    parking: {
      wait: (words, index, value, ms) => void Atomics.wait(words, index, value, ms),
    },
  };
}
