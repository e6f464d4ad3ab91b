/**
 * Words of user memory that the kernel changes while threads in user mode may change them, too: futexes.
 *
 * Such a change is not undone. To put the old value back would wipe out what another thread has made of the new one,
 * and no log can hold what user mode does meanwhile. So it is one compare-and-exchange, and whoever makes it must know
 * afterwards, when the request has died and runs again, that it has been made. Two ways:
 *
 *   - by the word itself, if it then says something that nobody else can have written: the caller's TID
 *     (futex-owner.ts);
 *   - by a note in the heap, stored by the statement that follows the exchange ({@link changeUserWord}). A thread is
 *     stopped at calls and at loop edges only (docs/design/heap.md), never between these two. The note is not undone
 *     either: it outlives the rollback, and is cleared by the transaction that finishes the call.
 *
 * Rejected: *the exchange as a redo step*: one that dies between the exchange and the step's own commit makes it again.
 * *Noting old and new value before the exchange*, and comparing after a death: another thread may have brought the
 * word back to the old value, or to the new one. *Taking the page away from all others* (rule R7) for the time of a
 * logged store: exact too, on any engine, for a hundred times the price.
 */

import type { HeapAddr } from "../../heap/heap.ts";
import type { Transaction } from "../../heap/transaction.ts";

export const loadUserWord = (tx: Transaction, physical: number): number =>
  Atomics.load(tx.memory, physical >>> 2);

/** Stores `value` if the word at `physical` is `old`; whether it was. */
export function exchangeUserWord(tx: Transaction, physical: number, old: number, value: number): boolean {
  return Atomics.compareExchange(tx.memory, physical >>> 2, old, value) === old;
}

/**
 * Replaces the word at `physical` by `change(word)` and stores `note(word)`, which is not 0, in the heap at `noteAt`:
 * once, however often the request dies and runs again. Nothing if the heap word there is not 0: it has been done. The
 * open transaction must not have stored to that word, or its rollback would undo the note.
 */
export function changeUserWord(
  tx: Transaction,
  physical: number,
  noteAt: HeapAddr,
  change: (word: number) => number,
  note: (word: number) => number,
): void {
  const w = tx.words;
  if (w[noteAt] !== 0) return;
  const memory = tx.memory;
  const at = physical >>> 2;
  for (;;) {
    const old = Atomics.load(memory, at);
    const value = change(old);
    const noted = note(old);
    if (Atomics.compareExchange(memory, at, old, value) === old) {
      w[noteAt] = noted;
      return;
    }
  }
}
