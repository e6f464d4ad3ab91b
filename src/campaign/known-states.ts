/**
 * States that have been found right in this segment. Most faults before one commit end in the very same bytes,
 * and what the heap check and the comparison say depends on nothing else: such a state need not be looked at
 * again. A look costs a few milliseconds, comparing bytes a tenth of that.
 *
 * Left out of the bytes is what neither of the two reads: undo logs beyond their count, scratch of the slots, and
 * the count of crashes.
 */

import type { HeapView } from "../heap/heap.ts";
import { HEADER, LOG_HEAD, ROOT_WORD, SLOT, SLOT_SYSTEM_LOG, SLOT_WORDS } from "../heap/layout.ts";
import { SLOTS, type Snapshot, type Snapshots } from "./snapshot.ts";

/** States that are kept at once. */
const STATES_MAX = 6;
/** Looks after which a segment whose faults hardly ever end alike is no longer compared. */
const PATIENCE = 24;

interface State {
  readonly snapshot: Snapshot;
  readonly heap: Buffer;
  readonly memory: Buffer;
}

function bytesOf({ buffer, byteOffset, byteLength }: Int32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

export class KnownStates {
  readonly #view: HeapView;
  readonly #snapshots: Snapshots;
  readonly #heap: Buffer;
  readonly #memory: Buffer;
  readonly #states: State[] = [];
  #count = 0;
  #next = 0;
  #hits = 0;
  #misses = 0;

  constructor(view: HeapView, snapshots: Snapshots) {
    this.#view = view;
    this.#snapshots = snapshots;
    this.#heap = bytesOf(view.words);
    this.#memory = bytesOf(view.memory);
  }

  /** Forgets all: another segment begins. */
  clear(): void {
    this.#count = 0;
    this.#next = 0;
    this.#hits = 0;
    this.#misses = 0;
  }

  /** Whether the present state is one that has been found right. */
  has(): boolean {
    if (this.#isHopeless()) return false;
    for (const state of this.#states.slice(0, this.#count)) {
      if (!this.#isSame(state)) continue;
      this.#hits++;
      return true;
    }
    this.#misses++;
    return false;
  }

  #isHopeless(): boolean {
    return this.#misses >= PATIENCE && this.#hits < this.#misses;
  }

  /** Notes the present state as right. */
  add(): void {
    if (this.#isHopeless()) return;
    let state = this.#states[this.#next];
    if (state === undefined) {
      const snapshot = this.#snapshots.empty();
      state = { snapshot, heap: bytesOf(snapshot.heap), memory: bytesOf(snapshot.memory) };
      this.#states.push(state);
    }
    this.#snapshots.capture(state.snapshot);
    this.#next = (this.#next + 1) % STATES_MAX;
    this.#count = Math.min(this.#count + 1, STATES_MAX);
  }

  #isSame(state: State): boolean {
    const { words } = this.#view;
    const slotsAt = words[HEADER.slotsAt]!;
    if (!this.#sameSlots(state.snapshot.heap, slotsAt)) return false;
    const log = words[ROOT_WORD.log]!;
    for (const { buffer, from, to } of this.#snapshots.ranges()) {
      if (buffer === "memory") {
        if (!same(this.#memory, state.memory, from, to)) return false;
      } else if (from < slotsAt) {
        if (!same(this.#heap, state.heap, from, slotsAt)) return false;
      } else if (!same(this.#heap, state.heap, from, log) || !same(this.#heap, state.heap, log + 1, to)) {
        return false;
      }
    }
    return true;
  }

  /** What the heap check reads of the slots: the logs' heads, the redo count, the stocks of blocks. */
  #sameSlots(then: Int32Array, slotsAt: number): boolean {
    const now = this.#view.words;
    for (let at = slotsAt; at < slotsAt + SLOTS * SLOT_WORDS; at += SLOT_WORDS) {
      for (const head of [SLOT.main, SLOT.system]) {
        for (const word of [LOG_HEAD.count, LOG_HEAD.locks])
          if (now[at + head + word] !== then[at + head + word]) return false;
      }
      for (const word of [SLOT.holder, SLOT.recoverer, SLOT.redoCount])
        if (now[at + word] !== then[at + word]) return false;
      for (let word = at + SLOT.stocks; word < at + SLOT_SYSTEM_LOG; word++)
        if (now[word] !== then[word]) return false;
    }
    return true;
  }
}

/** Whether the words from `from` to `to` are the same. */
function same(a: Buffer, b: Buffer, from: number, to: number): boolean {
  return from >= to || a.compare(b, from * 4, to * 4, from * 4, to * 4) === 0;
}
