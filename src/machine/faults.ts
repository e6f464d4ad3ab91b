/** Faults from outside, for tests and the fault campaign: threads of a running machine are killed. */

import { census, checkHeap, type Violation } from "../heap/check.ts";
import type { HeapView } from "../heap/heap.ts";
import { deathCount, type MortalRole } from "../kernel/ledger.ts";
import { memoryLayout } from "../kernel/memory/layout.ts";
import { itemsInUse } from "../kernel/memory/pool.ts";
import type { Crew } from "./crew.ts";
import {
  FAULT,
  FAULT_POINTS,
  FAULT_STATE,
  type FaultTarget,
  faultBlock,
  stoppedAt,
} from "./fault-control.ts";

interface WaitAsync {
  readonly async: boolean;
  readonly value: Promise<string> | string;
}
const waitAsync = (
  Atomics as unknown as {
    waitAsync(words: Int32Array, index: number, value: number, ms: number): WaitAsync;
  }
).waitAsync;

/** Where a thread is to be stopped: before the `count`-th step of kind `point` from now on. */
export interface FaultPoint {
  readonly point: (typeof FAULT_POINTS)[number];
  readonly count: number;
}

export class MachineFaults {
  readonly #view: HeapView;
  readonly #crew: Crew;
  readonly #control: SharedArrayBuffer | undefined;

  constructor(view: HeapView, crew: Crew, control: SharedArrayBuffer | undefined) {
    this.#view = view;
    this.#crew = crew;
    this.#control = control;
  }

  /**
   * Lets the thread run into the point and stay there; resolves with the place (`store src/…:line`), or
   * undefined if it has not come there within `ms`. Needs hooks.
   */
  async stopAt(target: FaultTarget, { point, count }: FaultPoint, ms: number): Promise<string | undefined> {
    const block = this.#block(target);
    block[FAULT.point] = FAULT_POINTS.indexOf(point);
    block[FAULT.count] = count;
    Atomics.store(block, FAULT.state, FAULT_STATE.ARMED);
    const waiting = waitAsync(block, FAULT.state, FAULT_STATE.ARMED, ms);
    if (waiting.async) await waiting.value;
    const { ARMED, RUNNING } = FAULT_STATE;
    if (Atomics.compareExchange(block, FAULT.state, ARMED, RUNNING) === ARMED) return undefined;
    return stoppedAt(block);
  }

  /** Resolves when another thread has taken the place of one that was stopped; false if not within `ms`. */
  async replaced(target: FaultTarget, ms: number): Promise<boolean> {
    const block = this.#block(target);
    const waiting = waitAsync(block, FAULT.state, FAULT_STATE.STOPPED, ms);
    if (waiting.async) await waiting.value;
    return Atomics.load(block, FAULT.state) !== FAULT_STATE.STOPPED;
  }

  /** Ends a hart or a server's thread, wherever it is. */
  end(target: FaultTarget): void {
    this.#crew.end(target);
  }

  /** Ends the warden, and with it all harts and servers' threads. */
  endWarden(): Promise<void> {
    return this.#crew.endWarden();
  }

  /** Threads of a role that have ended and been replaced so far. */
  deaths(role: MortalRole): number {
    return deathCount(this.#view, role);
  }

  /** The whole-heap check; only after the machine has been closed. */
  check(): readonly Violation[] {
    return checkHeap(this.#view);
  }

  /** What the machine holds at this moment: records by type, frames, page tables. A leak moves a number. */
  holdings(): ReadonlyMap<string, number> {
    const { framePool, rootPool, leafPool } = memoryLayout(this.#view);
    return new Map<string, number>([
      ...census(this.#view),
      ["frames", itemsInUse(this.#view, framePool)],
      ["root tables", itemsInUse(this.#view, rootPool)],
      ["leaf tables", itemsInUse(this.#view, leafPool)],
    ]);
  }

  #block(target: FaultTarget): Int32Array<SharedArrayBuffer> {
    if (this.#control === undefined) throw new Error("the machine was booted without hooks");
    return faultBlock(this.#control, target);
  }
}
