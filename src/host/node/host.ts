/** What Node gives a thread of a machine: time, entropy, sleep. */

import type { Host } from "../contract.ts";
import { nodeClock } from "./clock.ts";

/** Bytes that the host is asked for at once: a call of it takes about 15 µs. */
const STOCK_BYTES = 4096;
/** Most bytes that getRandomValues gives. */
const REQUEST_MAX = 65_536;

/**
 * The host's random bytes. The global object, since that loads Node's cryptography when it is first used, which takes a
 * thread 5 ms: most threads of a machine never do. Few bytes come from a stock, in which what has been given out is
 * erased.
 */
function nodeEntropy(): Host["entropy"] {
  const stock = new Uint8Array(STOCK_BYTES);
  let left = 0;
  const fillFromHost = (bytes: Uint8Array): void => {
    // Random bytes are not made in shared memory.
    const own = new Uint8Array(bytes.length);
    for (let at = 0; at < own.length; at += REQUEST_MAX)
      crypto.getRandomValues(own.subarray(at, at + REQUEST_MAX));
    bytes.set(own);
  };
  return {
    fill: (bytes) => {
      if (bytes.length > STOCK_BYTES / 8) {
        fillFromHost(bytes);
        return;
      }
      if (left < bytes.length) {
        crypto.getRandomValues(stock);
        left = STOCK_BYTES;
      }
      for (let i = 0; i < bytes.length; i++) {
        bytes[i] = stock[--left]!;
        stock[left] = 0;
      }
    },
  };
}

/** The host as the calling thread sees it. */
export function nodeHost(): Host {
  return {
    clock: nodeClock(),
    entropy: nodeEntropy(),
    parking: {
      wait: (words, index, value, ms) => void Atomics.wait(words, index, value, ms),
    },
  };
}
