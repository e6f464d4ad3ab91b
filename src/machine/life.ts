/** Whether the machine is to end: one word that every thread looks at. Root "life", set once. */

import { type HeapView, placeRoot } from "../heap/heap.ts";
import { ringDoorbell } from "../kernel/scheduler.ts";

export function placeLife(view: HeapView): void {
  placeRoot(view, "life", 1);
}

export function isStopping(view: HeapView): boolean {
  return Atomics.load(view.words, view.root("life")) !== 0;
}

/** Tells every thread to end its loop. */
export function stopMachine(view: HeapView): void {
  Atomics.store(view.words, view.root("life"), 1);
  ringDoorbell(view);
}
