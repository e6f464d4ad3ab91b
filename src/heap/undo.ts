/**
 * The two steps by which a transaction is undone: the old values put back, the locks released. Both go by what
 * the slot says, whoever does it, and each is idempotent (recovery.ts says why).
 */

import type { HeapAddr, HeapView } from "./heap.ts";
import { LOCK_CONTENDED, LOCK_HOLDER, LOG_HEAD, LOG_MEMORY } from "./layout.ts";

/**
 * Puts back the old values of the log with head `headAt` and entries at `logAt`, newest first, down to its
 * first `keep` entries, which stay.
 */
export function undo(view: HeapView, headAt: HeapAddr, logAt: HeapAddr, keep = 0): void {
  const w = view.words;
  for (let i = w[headAt + LOG_HEAD.count]! - 1; i >= keep; i--) {
    const entry = logAt + (i << 1);
    const target = w[entry]!;
    if ((target & LOG_MEMORY) !== 0) view.memory[target & ~LOG_MEMORY] = w[entry + 1]!;
    else w[target] = w[entry + 1]!;
  }
  w[headAt + LOG_HEAD.count] = keep;
}

/**
 * Releases the locks in the list of the log head at `headAt`, which slot `index` holds or tried to take, but
 * for the first `keep`.
 */
export function releaseLocks(view: HeapView, headAt: HeapAddr, index: number, keep = 0): void {
  const w = view.words;
  for (let held = w[headAt + LOG_HEAD.locks]! - 1; held >= keep; held--) {
    const word = w[headAt + LOG_HEAD.list + (held << 1)]!;
    // The list may name a lock that was never got (T2) and that somebody else holds by now.
    if ((w[word]! & LOCK_HOLDER) === index + 1) {
      const old = view.atomics.exchange(word, 0);
      if ((old & LOCK_CONTENDED) !== 0) Atomics.notify(w, word, 1);
    }
    w[headAt + LOG_HEAD.locks] = held;
  }
}
