/**
 * Baton mode (rule R16): real threads over shared memory, of which one runs at a time. Who holds the baton
 * runs; at each store and each lock a seed decides whether it passes the baton on, and to whom. So threads are
 * switched at the places where races are, and the same seed switches them in the same way.
 *
 * The control words are written by the holder of the baton alone; `turn` is the baton.
 */

import { LOG_HEAD, SLOT } from "../heap/layout.ts";
import type { CrashPoint, Transaction } from "../heap/transaction.ts";
import type { HostClock, HostParking } from "../host/contract.ts";

const WORD = { turn: 0, random: 1, alive: 2, idle: 3, hash: 4, switches: 5, clock: 8 } as const;
const CONTROL_BYTES = 128;
/** One in so many steps passes the baton on. */
const PERIOD = 3;
const CLOCK_START_NS = 1_000_000_000;

/** What the threads of a run share. */
export function createBaton(seed: number, threads: number): SharedArrayBuffer {
  const control = new SharedArrayBuffer(CONTROL_BYTES);
  const words = new Int32Array(control);
  // xorshift must not begin with 0; neighbouring seeds must differ.
  words[WORD.random] = Math.imul(seed, 0x9e37_79b1) ^ 0x5bd1_e995 || 1;
  words[WORD.alive] = (1 << threads) - 1;
  words[WORD.turn] = -1;
  new Float64Array(control)[WORD.clock / 2] = CLOCK_START_NS;
  return control;
}

/** Lets the first thread run, once all are ready. */
export function startBaton(control: SharedArrayBuffer): void {
  const words = new Int32Array(control);
  Atomics.store(words, WORD.turn, 0);
  Atomics.notify(words, WORD.turn);
}

/** A hash of every decision, and the number of times that the baton was passed on. */
export function batonTrace(control: SharedArrayBuffer): { readonly hash: string; readonly switches: number } {
  const words = new Int32Array(control);
  return { hash: (words[WORD.hash]! >>> 0).toString(16).padStart(8, "0"), switches: words[WORD.switches]! };
}

/** One thread's hand on the baton. */
export class Baton {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #clock: Float64Array<SharedArrayBuffer>;
  readonly #self: number;
  readonly #threads: number;

  constructor(control: SharedArrayBuffer, self: number, threads: number) {
    this.#words = new Int32Array(control);
    this.#clock = new Float64Array(control);
    this.#self = self;
    this.#threads = threads;
  }

  /** Sleeps until this thread has the baton. */
  take(): void {
    for (let turn = Atomics.load(this.#words, WORD.turn); turn !== this.#self; ) {
      Atomics.wait(this.#words, WORD.turn, turn);
      turn = Atomics.load(this.#words, WORD.turn);
    }
  }

  /** A step at which others may come in between: what hooks call. */
  step(point: CrashPoint, tx: Transaction): void {
    // An idle hart rolls nothing back, again and again: that is no work, and lets nobody go on.
    if ((point === "rollback" || point === "committed") && !holdsLocks(tx)) return;
    this.#words[WORD.idle] = 0;
    if (this.#draw(PERIOD) === 0) this.pass();
  }

  /** Lets a thread that the seed draws run; returns when this one has the baton again. */
  pass(): void {
    const w = this.#words;
    // Those who have found nothing to do since the last step come last.
    const busy = w[WORD.alive]! & ~w[WORD.idle]!;
    const candidates = busy === 0 ? w[WORD.alive]! : busy;
    let next = this.#draw(this.#threads);
    while ((candidates & (1 << next)) === 0) next = (next + 1) % this.#threads;
    w[WORD.hash] = (Math.imul(w[WORD.hash]!, 31) + this.#self * this.#threads + next) | 0;
    if (next === this.#self) return;
    w[WORD.switches]!++;
    Atomics.store(w, WORD.turn, next);
    Atomics.notify(w, WORD.turn);
    this.take();
  }

  /** This thread has ended: the others go on without it. */
  leave(): void {
    const w = this.#words;
    w[WORD.alive]! &= ~(1 << this.#self);
    if (w[WORD.alive] === 0) return;
    let next = this.#self;
    while ((w[WORD.alive]! & (1 << next)) === 0) next = (next + 1) % this.#threads;
    Atomics.store(w, WORD.turn, next);
    Atomics.notify(w, WORD.turn);
  }

  /** Time of all threads; it stands still but for `parking`. */
  get clock(): HostClock {
    const at = WORD.clock / 2;
    return {
      monotonic: () => this.#clock[at]!,
      realtime: () => 1_735_689_600_000_000_000 + this.#clock[at]!,
    };
  }

  /**
   * Parking passes the baton on and comes back. A thread that waits for work at the word `idleAt` is idle; when
   * all have been since the last step, time moves on to the next deadline. `nextDeadline` gives 0 if there is
   * none, and then `onEnd` is called.
   */
  parking(idleAt: () => number, nextDeadline: () => number, onEnd: () => void): HostParking {
    return {
      wait: (_words, index) => {
        const w = this.#words;
        if (index === idleAt()) w[WORD.idle]! |= 1 << this.#self;
        if ((w[WORD.alive]! & ~w[WORD.idle]!) === 0) {
          w[WORD.idle] = 0;
          const deadline = nextDeadline();
          if (deadline === 0) onEnd();
          else this.#clock[WORD.clock / 2] = Math.max(deadline, this.#clock[WORD.clock / 2]!);
        }
        this.pass();
      },
    };
  }

  /** xorshift32: a number below `limit`. */
  #draw(limit: number): number {
    let x = this.#words[WORD.random]!;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#words[WORD.random] = x;
    return (x >>> 0) % limit;
  }
}

/** Whether the request of `tx` has locks, in the main or in a system transaction. */
function holdsLocks({ words, slotAt }: Transaction): boolean {
  return (
    words[slotAt + SLOT.main + LOG_HEAD.locks] !== 0 || words[slotAt + SLOT.system + LOG_HEAD.locks] !== 0
  );
}
