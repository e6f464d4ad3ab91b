/**
 * What a thread of the machine has at hand besides its transaction: who it is, the host's clock and entropy,
 * and the JavaScript functions that carry out redo steps. None of it is state: a thread that dies takes
 * nothing with it that another could miss.
 */

import { assert } from "../base/assert.ts";
import { redoFree } from "../heap/allocator.ts";
import { REDO, type RedoKind } from "../heap/layout.ts";
import type { HeapAddr } from "../heap/heap.ts";
import type { Transaction, TransactionHost } from "../heap/transaction.ts";

/** Time and chance, as the host contract gives them (host/contract.ts). */
export interface Clock {
  /** Nanoseconds since an arbitrary moment, never going back. A safe integer. */
  monotonic(): number;
  /** Nanoseconds since 1970-01-01 UTC. Beyond 2^53, so with a resolution of 256 ns. */
  realtime(): number;
}

export interface Entropy {
  /** Fills `bytes` with unpredictable bytes (from the seed, in a simulation). */
  fill(bytes: Uint8Array): void;
}

/** Carries out a redo step, or a bounded part of it, inside a system transaction; false: do it again. */
export type RedoStep = (tx: Transaction, value: number) => boolean;

const redoSteps: (RedoStep | undefined)[] = [];
redoSteps[REDO.free] = (tx, address) => {
  redoFree(tx, address);
  return true;
};

/** Says how redo steps of `kind` are carried out. Once for each kind, when a module is loaded. */
export function registerRedo(kind: RedoKind, step: RedoStep): void {
  assert(redoSteps[kind] === undefined, `redo kind ${kind} registered twice`);
  redoSteps[kind] = step;
}

export class KernelThread implements TransactionHost {
  /** Number of this thread in the thread table; never 0. */
  readonly id: number;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly #contended: (tx: Transaction, word: HeapAddr, value: number) => void;

  constructor(
    id: number,
    clock: Clock,
    entropy: Entropy,
    contended: (tx: Transaction, word: HeapAddr, value: number) => void,
  ) {
    this.id = id;
    this.clock = clock;
    this.entropy = entropy;
    this.#contended = contended;
  }

  contended(tx: Transaction, word: HeapAddr, value: number): void {
    this.#contended(tx, word, value);
  }

  redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    const step = redoSteps[kind];
    assert(step !== undefined, "a redo step of unknown kind");
    return step(tx, value);
  }
}

/** The thread that works on `tx`. */
export function threadOf(tx: Transaction): KernelThread {
  return tx.host as KernelThread;
}
