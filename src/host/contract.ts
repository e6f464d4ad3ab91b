/**
 * The host contract: all that a machine gets from outside itself. Three implementations: Node (host/node),
 * browser, simulation. Nothing is granted that is not asked for here.
 */

/** Time. */
export interface HostClock {
  /** Nanoseconds since an arbitrary moment that all threads of the host share; never going back. */
  monotonic(): number;
  /** Nanoseconds since 1970-01-01 UTC: beyond 2^53, so with a resolution of 256 ns. */
  realtime(): number;
}

export interface HostEntropy {
  fill(bytes: Uint8Array): void;
}

/** Sleeping on a word of shared memory. */
export interface HostParking {
  /** Returns when `words[index]` is not `value`, after a notification, or after `ms` milliseconds. */
  wait(words: Int32Array<SharedArrayBuffer>, index: number, value: number, ms: number): void;
}

/** What a thread runs. The host knows where the code is. */
export type ThreadRole = "warden" | "hart" | "io" | "translator" | "server";

/** A thread that this thread has started. */
export interface HostThread {
  /** Ends the thread. Resolves when it has ended: nothing of it runs any more. */
  end(): Promise<void>;
  /** Calls `hear` once, when the thread has ended, with what it died of, if it died. */
  onEnd(hear: (error: Error | undefined) => void): void;
  /** Calls `hear` for every message of the thread. Messages are for boot and diagnosis only. */
  onMessage(hear: (message: unknown) => void): void;
  post(message: unknown): void;
}

export interface HostThreads {
  /** Starts a thread in the given role; `data` can be cloned (shared memory is shared). */
  start(role: ThreadRole, data: unknown): HostThread;
}

export interface Host {
  readonly clock: HostClock;
  readonly entropy: HostEntropy;
  readonly parking: HostParking;
}
