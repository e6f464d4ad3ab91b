/**
 * The thread table: which threads of the machine are alive. It decides when the work of a thread may be undone,
 * so an entry says "dead" only after the thread's parent has seen it end.
 *
 * A number names one life of one thread and is never used again: generation × THREADS_MAX + index. Whatever
 * names a thread (a slot's holder, a call frame's taker) therefore tells for ever whether that thread is gone.
 *
 *     root "threads":  THREADS_MAX entries of 4 words: number, state, role, unused
 *
 *     FREE, DEAD ──claim──▶ CLAIMED ──number stored──▶ ALIVE ──end confirmed by the parent──▶ DEAD
 *
 * Invariants
 *   TH1  An entry's number, once there, is its index modulo THREADS_MAX; its state is one of the four.
 *   TH2  The holder and the recoverer of every slot at rest are threads that are alive, or nobody.
 */

import { assert } from "../../base/assert.ts";
import { registerInvariant } from "../../heap/check.ts";
import { type HeapView, placeRoot } from "../../heap/heap.ts";
import { SLOT } from "../../heap/layout.ts";

export const THREADS_MAX = 64;
const ENTRY_WORDS = 4;
const ENTRY = { number: 0, state: 1, role: 2 } as const;
const STATE = { FREE: 0, ALIVE: 1, DEAD: 2, CLAIMED: 3 } as const;
/** Numbers stay below this, so that a call frame's state word holds one with some bits to spare. */
export const THREAD_NUMBER_LIMIT: number = 1 << 28;

/** What a thread is for; servers' threads are SERVER + the server's index. */
export const ROLE = { OTHER: 0, MAIN: 1, WARDEN: 2, HART: 3, SERVER: 16 } as const;

/** Places the table. Once, at boot. */
export function placeThreads(view: HeapView): void {
  placeRoot(view, "threads", THREADS_MAX * ENTRY_WORDS);
}

/** Enters a thread, before it is started, and gives its number. Its parent does this, and later markDead. */
export function registerThread(view: HeapView, role: number): number {
  const w = view.words;
  const table = view.root("threads");
  for (let index = 0; index < THREADS_MAX; index++) {
    const entry = table + index * ENTRY_WORDS;
    const state = Atomics.load(w, entry + ENTRY.state);
    if (state !== STATE.FREE && state !== STATE.DEAD) continue;
    if (Atomics.compareExchange(w, entry + ENTRY.state, state, STATE.CLAIMED) !== state) continue;
    const number = (w[entry + ENTRY.number] || index) + THREADS_MAX;
    assert(number < THREAD_NUMBER_LIMIT, "thread numbers used up");
    w[entry + ENTRY.number] = number;
    w[entry + ENTRY.role] = role;
    Atomics.store(w, entry + ENTRY.state, STATE.ALIVE);
    return number;
  }
  throw new Error(`more than ${THREADS_MAX} threads`);
}

/** Notes that the thread has ended. Only its parent says so, after it has seen it. */
export function markDead(view: HeapView, thread: number): void {
  const entry = view.root("threads") + (thread % THREADS_MAX) * ENTRY_WORDS;
  assert(view.words[entry + ENTRY.number] === thread, `thread ${thread} is not in the table`);
  Atomics.store(view.words, entry + ENTRY.state, STATE.DEAD);
}

/**
 * Notes that all threads which a warden had started have ended: harts and servers. They end with it; only the
 * warden's parent says so, after it has seen the end.
 */
export function markChildrenDead(view: HeapView): void {
  const w = view.words;
  const table = view.root("threads");
  for (let entry = table; entry < table + THREADS_MAX * ENTRY_WORDS; entry += ENTRY_WORDS) {
    const role = w[entry + ENTRY.role]!;
    const isChild = role === ROLE.HART || role >= ROLE.SERVER;
    if (isChild) Atomics.compareExchange(w, entry + ENTRY.state, STATE.ALIVE, STATE.DEAD);
  }
}

/** Whether the thread has ended, for certain. */
export function isDead(view: HeapView, thread: number): boolean {
  const w = view.words;
  const entry = view.root("threads") + (thread % THREADS_MAX) * ENTRY_WORDS;
  return w[entry + ENTRY.number] !== thread || Atomics.load(w, entry + ENTRY.state) !== STATE.ALIVE;
}

/** The role of a thread that is in the table. */
export function roleOf(view: HeapView, thread: number): number {
  return view.words[view.root("threads") + (thread % THREADS_MAX) * ENTRY_WORDS + ENTRY.role]!;
}

/** Who can start threads and see them end: the warden in a machine, the test's main thread in a test. */
export interface ThreadOwner {
  /** Starts a thread of the given role and gives its number. The owner calls markDead when it has ended. */
  start(role: number): number;
  /** Ends the thread, whatever it is doing; resolves when its end is confirmed and noted. */
  end(thread: number): Promise<void>;
}

registerInvariant({
  id: "TH1",
  statement: "each entry of the thread table has a state, and a number that leads back to it",
  check(view, report) {
    const table = view.root("threads");
    for (let index = 0; table !== 0 && index < THREADS_MAX; index++) {
      const number = view.words[table + index * ENTRY_WORDS + ENTRY.number]!;
      const state = view.words[table + index * ENTRY_WORDS + ENTRY.state]!;
      if (number !== 0 && number % THREADS_MAX !== index) report(`entry ${index} has the number ${number}`);
      if (state < 0 || state > STATE.CLAIMED) report(`entry ${index} has the state ${state}`);
      if (state === STATE.ALIVE && number === 0) report(`entry ${index} is alive without a number`);
    }
  },
});

registerInvariant({
  id: "TH2",
  statement: "at rest the holder and the recoverer of each slot are threads that are alive, or nobody",
  check(view, report) {
    if (view.root("threads") === 0) return;
    for (let index = 0; index < view.slotCount; index++) {
      for (const who of ["holder", "recoverer"] as const) {
        const thread = view.words[view.slot(index) + SLOT[who]]!;
        if (thread !== 0 && isDead(view, thread)) report(`slot ${index}: ${who} ${thread} is dead`);
      }
    }
  },
});
