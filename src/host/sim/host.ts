/**
 * The simulated host: time that passes only when it is told to, entropy from a seed, and parking that never
 * sleeps. A machine on it does the same thing every time.
 *
 * The clock stands still while code runs, so that an operation that is rolled back and run again sees the same
 * time. Whoever runs the machine advances it when nothing else can happen (`advanceTo`).
 */

import { type Random, seededRandom } from "../../base/random.ts";
import type { Host, HostClock, HostEntropy, HostParking } from "../contract.ts";

/** Where the simulated clocks begin. The wall clock shows 2025-01-01 00:00:00 UTC. */
const MONOTONIC_START_NS = 1_000_000_000;
const REALTIME_START_NS = 1_735_689_600_000_000_000;

/** Time that is set, never measured. */
export class SimulatedClock implements HostClock {
  #now: number = MONOTONIC_START_NS;

  monotonic(): number {
    return this.#now;
  }

  realtime(): number {
    return REALTIME_START_NS + this.#now;
  }

  /** Moves both clocks on to the monotonic time `at`, in nanoseconds. Time does not go back. */
  advanceTo(at: number): void {
    if (at > this.#now) this.#now = at;
  }
}

/**
 * Bytes from a seed. With `fixed`, every call gives the same bytes from the beginning: an operation that is
 * run again then makes up the same numbers.
 */
export class SeededEntropy implements HostEntropy {
  readonly #seed: number;
  readonly #fixed: boolean;
  #random: Random;

  constructor(seed: number, options: { readonly fixed?: boolean } = {}) {
    this.#seed = seed;
    this.#fixed = options.fixed ?? false;
    this.#random = seededRandom(seed);
  }

  fill(bytes: Uint8Array): void {
    if (this.#fixed) this.#random = seededRandom(this.#seed);
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.#random.below(256);
  }
}

/** What a wait tells the one who simulates. Throw to leave the waiting code. */
export type WaitObserver = (
  words: Int32Array<SharedArrayBuffer>,
  index: number,
  value: number,
  ms: number,
) => void;

export interface SimulatedHost extends Host {
  readonly clock: SimulatedClock;
}

/**
 * A host for one thread. `onWait` hears of every wait, which then returns at once: the waker may be simulated
 * by the same thread.
 */
export function simulatedHost(entropy: HostEntropy, onWait: WaitObserver = () => {}): SimulatedHost {
  const parking: HostParking = {
    wait: (words, index, value, ms) => {
      if (Atomics.load(words, index) === value) onWait(words, index, value, ms);
    },
  };
  return { clock: new SimulatedClock(), entropy, parking };
}
