/**
 * The server's side of worker placement: the loop of a server's own thread.
 *
 * The thread looks for calls in its set of slots, takes them one by one, and works on each with a transaction
 * of its own attached to the caller's slot: the same log, the same locks, the same scratch. It neither commits
 * nor rolls back; that is for whom the request belongs to.
 *
 * The thread keeps nothing between calls but objects that it could make anew. One that starts in the place of
 * a dead one looks through all frames once, because the dead one may have cleared a bit and not yet taken the
 * call.
 */

import { assert } from "../../base/assert.ts";
import { Errno } from "../../base/errno.ts";
import type { HeapAddr, HeapView } from "../../heap/heap.ts";
import { SLOT } from "../../heap/layout.ts";
import { rollbackTo, savepoint } from "../../heap/savepoint.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { WOULD_BLOCK } from "../request.ts";
import { LOOK_MS, type Parking, ServerDied } from "./call.ts";
import {
  CALL_DEPTH,
  CONTROL,
  controlOf,
  FRAME,
  FRAME_STATE,
  frameOf,
  loadFloat,
  OUTCOME,
  setOf,
  storeFloat,
  storeMessage,
  takenBy,
} from "./frame.ts";

/** What a server does on behalf of a request. It throws Errno, WOULD_BLOCK, or by a bug anything. */
export type Operation = (tx: Transaction, ...args: never[]) => number | void;

/** Thrown in a server's thread when a lock is taken: undoes the call's part and hands it back. */
class HandBack {
  readonly word: HeapAddr;
  constructor(word: HeapAddr) {
    this.word = word;
  }
}

/** What passes through the loop and ends the thread; everything else that a call throws is an outcome. */
export class ThreadEnd extends Error {
  override readonly name = "ThreadEnd";
}

/** How a server's thread treats a lock that somebody holds; for its KernelThread. */
export function contendedInServer(
  parking: Parking,
): (tx: Transaction, word: HeapAddr, value: number) => void {
  return (tx, word, value) => {
    // Whoever holds a lock in a system transaction calls nobody and is done at once.
    if (!tx.inSystem) throw new HandBack(word);
    parking.wait(tx.words, word, value, LOOK_MS);
  };
}

export interface ServeOptions {
  /** The server's index, and its operations in the order that numbers them. */
  readonly server: number;
  readonly operations: readonly Operation[];
  /** This thread's number. */
  readonly thread: number;
  readonly view: HeapView;
  readonly parking: Parking;
  /** Times that the thread looks again before it sleeps. */
  readonly spins: number;
  /** A transaction for a slot, whose host treats locks as {@link contendedInServer} does. */
  attach(slotIndex: number): Transaction;
}

/** Serves calls until the control block says stop. */
export function serve(options: ServeOptions): void {
  const { view, parking, server } = options;
  const w = view.words;
  const control = controlOf(view, server);
  const set = setOf(view, server);
  const attached: (Transaction | undefined)[] = [];
  Atomics.store(w, control + CONTROL.thread, options.thread);
  Atomics.store(w, control + CONTROL.sleeping, 0);
  for (let index = 0; index < view.slotCount; index++) answer(options, attached, index);
  let idle = 0;
  while (Atomics.load(w, control + CONTROL.stop) === 0) {
    const wake = Atomics.load(w, control + CONTROL.wake);
    if (sweep(options, attached, set)) {
      idle = 0;
      continue;
    }
    if (idle++ < options.spins) continue;
    Atomics.store(w, control + CONTROL.sleeping, 1);
    if (Atomics.load(w, control + CONTROL.wake) === wake) parking.wait(w, control + CONTROL.wake, wake, 1000);
    Atomics.store(w, control + CONTROL.sleeping, 0);
    idle = 0;
  }
  Atomics.store(w, control + CONTROL.thread, 0);
}

/** Answers every call in the set; false if there was none. */
function sweep(
  options: ServeOptions,
  attached: (Transaction | undefined)[],
  set: { at: HeapAddr; words: number },
): boolean {
  const w = options.view.words;
  let any = false;
  for (let i = 0; i < set.words; i++) {
    if (w[set.at + i] === 0) continue;
    let bits = Atomics.exchange(w, set.at + i, 0);
    while (bits !== 0) {
      const bit = 31 - Math.clz32(bits & -bits);
      bits &= bits - 1;
      any = true;
      answer(options, attached, i * 32 + bit);
    }
  }
  return any;
}

/** Takes the call in slot `index`, if there is one for this server, carries it out and hands it back. */
function answer(options: ServeOptions, attached: (Transaction | undefined)[], index: number): void {
  const { view } = options;
  const w = view.words;
  const depth = w[view.slot(index) + SLOT.call]! - 1;
  if (depth < 0 || depth >= CALL_DEPTH) return;
  const frame = frameOf(view, index, depth);
  if (w[frame + FRAME.server] !== options.server) return;
  const taken = takenBy(options.thread);
  if (Atomics.compareExchange(w, frame + FRAME.state, FRAME_STATE.POSTED, taken) !== FRAME_STATE.POSTED)
    return;
  Atomics.store(w, view.slot(index) + SLOT.holder, options.thread);
  const beats = controlOf(view, options.server) + CONTROL.beats;
  w[beats] = (w[beats]! + 1) | 0;
  const tx = (attached[index] ??= options.attach(index));
  w[frame + FRAME.outcome] = carryOut(options, tx, frame);
  // After a failure inside a system transaction the object still points to the system log.
  if (tx.inSystem) attached[index] = undefined;
  const bell = w[frame + FRAME.bell]!;
  Atomics.store(w, view.slot(index) + SLOT.holder, w[frame + FRAME.caller]!);
  Atomics.store(w, frame + FRAME.state, FRAME_STATE.DONE);
  // From here on the slot is the caller's; the frame may already be in use for the next call.
  if (bell !== 0) {
    Atomics.add(w, bell, 1);
    Atomics.notify(w, bell);
  } else if (Atomics.load(w, frame + FRAME.sleeping) !== 0) Atomics.notify(w, frame + FRAME.state);
}

/** Runs the operation and writes its result into the frame; gives the outcome. */
function carryOut(options: ServeOptions, tx: Transaction, frame: HeapAddr): number {
  const w = tx.words;
  const mark = savepoint(tx);
  const waits = w[tx.slotAt + SLOT.waitCount]!;
  try {
    const operation = options.operations[w[frame + FRAME.operation]!];
    assert(operation !== undefined, "a call of an operation that the server does not have");
    const args: number[] = [];
    for (let i = 0; i < w[frame + FRAME.argumentCount]!; i++) {
      args.push(loadFloat(tx, frame + FRAME.arguments + i * 2));
    }
    const result = (operation as (tx: Transaction, ...args: number[]) => number | void)(tx, ...args);
    storeFloat(tx, frame + FRAME.result, result ?? 0);
    return OUTCOME.VALUE;
  } catch (error) {
    if (error instanceof ThreadEnd) throw error;
    if (error === WOULD_BLOCK) return OUTCOME.WOULD_BLOCK;
    if (error instanceof ServerDied) return OUTCOME.DIED;
    if (error instanceof Errno) {
      w[frame + FRAME.detail] = error.code;
      return OUTCOME.ERRNO;
    }
    if (error instanceof HandBack) {
      rollbackTo(tx, mark);
      w[tx.slotAt + SLOT.waitCount] = waits;
      w[frame + FRAME.detail] = error.word;
      return OUTCOME.CONTENDED;
    }
    storeMessage(
      tx,
      tx.slotIndex,
      error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    );
    return OUTCOME.CRASH;
  }
}
