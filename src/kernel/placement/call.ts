/**
 * The caller's side of a contract call to a server that has a thread of its own.
 *
 * A nested call waits in place (rule R10): the thread does nothing else until the server has handed the
 * request back or has ended. A call at the top of a request, before the first lock, may instead be shipped:
 * the caller goes on with other requests and collects the result when its bell has rung.
 *
 * A lock that the server cannot get is waited for here, not there: the server undoes its own part of the
 * transaction and hands the call back, and the caller, when the lock has been released, calls again. So a
 * server's thread never waits for a request that may itself be waiting for that server, and who waits for
 * whom is the same as in caller placement.
 */

import { assert } from "../../base/assert.ts";
import { errnoOf } from "../../base/errno.ts";
import type { HeapAddr, HeapView } from "../../heap/heap.ts";
import { LOCK_CONTENDED, SLOT } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { backgroundStop } from "../job-control.ts";
import { WOULD_BLOCK } from "../request.ts";
import { threadOf } from "../thread.ts";
import {
  ARGUMENTS_MAX,
  CALL_DEPTH,
  CONTROL,
  controlOf,
  FRAME,
  FRAME_STATE,
  frameOf,
  loadFloat,
  loadMessage,
  OUTCOME,
  reclaim,
  setOf,
  storeFloat,
  takerOf,
} from "./frame.ts";
import { isDead } from "./threads.ts";

/** How a thread sleeps: the part of the host contract that placement needs. */
export interface Parking {
  /** Sleeps while `words[at]` is `value`, at most `timeoutMs`; may return early. */
  wait(words: Int32Array<SharedArrayBuffer>, at: number, value: number, timeoutMs: number): void;
}

/** The server's thread ended while it worked on the request. Roll back and run the request again. */
export class ServerDied extends Error {
  override readonly name = "ServerDied";
}

/** The server threw what no operation may throw. Its thread goes on; the request is to be rolled back. */
export class ServerCrash extends Error {
  override readonly name = "ServerCrash";
}

/**
 * Longest sleep before a waiting caller looks whether the server has died, in milliseconds. What it waits for
 * is notified; this bound only says how late a death is seen.
 */
export const LOOK_MS = 5;

/** Posts a call in the next frame of the request's slot. `bell`: see FRAME.bell. */
function post(
  tx: Transaction,
  server: number,
  operation: number,
  args: readonly unknown[],
  bell: HeapAddr,
): number {
  const w = tx.words;
  const depthAt = tx.slotAt + SLOT.call;
  const depth = w[depthAt]!;
  assert(!tx.inSystem, "a system transaction must not call a server");
  assert(depth < CALL_DEPTH, "contract calls nest too deeply");
  assert(args.length <= ARGUMENTS_MAX, "too many arguments");
  const frame = frameOf(tx, tx.slotIndex, depth);
  assert(w[frame + FRAME.state] === FRAME_STATE.IDLE, "the call frame is in use");
  w[frame + FRAME.server] = server;
  w[frame + FRAME.operation] = operation;
  w[frame + FRAME.argumentCount] = args.length;
  w[frame + FRAME.bell] = bell;
  w[frame + FRAME.caller] = threadOf(tx).id;
  w[frame + FRAME.sleeping] = 0;
  for (let i = 0; i < args.length; i++) storeFloat(tx, frame + FRAME.arguments + i * 2, Number(args[i]));
  w[depthAt] = depth + 1;
  raise(tx, frame, server);
  return depth;
}

/** Makes a filled frame visible to its server and wakes that if it sleeps. */
function raise(tx: Transaction, frame: HeapAddr, server: number): void {
  const w = tx.words;
  Atomics.store(w, frame + FRAME.state, FRAME_STATE.POSTED);
  const set = setOf(tx, server);
  Atomics.or(w, set.at + (tx.slotIndex >> 5), 1 << (tx.slotIndex & 31));
  const control = controlOf(tx, server);
  Atomics.add(w, control + CONTROL.wake, 1);
  if (Atomics.load(w, control + CONTROL.sleeping) !== 0) Atomics.notify(w, control + CONTROL.wake);
}

/**
 * Calls operation `operation` of `server` on behalf of the request of `tx`, in the server's thread, and waits
 * in place. Gives and throws what the operation does; ServerDied or ServerCrash if it failed.
 */
export function callServer(
  tx: Transaction,
  parking: Parking,
  spins: number,
  server: number,
  operation: number,
  args: readonly unknown[],
): number {
  for (;;) {
    const depth = post(tx, server, operation, args, 0);
    awaitDone(tx, parking, spins, depth);
    const result = finish(tx, depth);
    if (result !== undefined) return result;
  }
}

/** Waits until frame `depth` is done; throws ServerDied when its taker has ended and all below is at rest. */
function awaitDone(tx: Transaction, parking: Parking, spins: number, depth: number): void {
  const w = tx.words;
  const frame = frameOf(tx, tx.slotIndex, depth);
  for (let i = 0; i < spins; i++) {
    if (Atomics.load(w, frame + FRAME.state) === FRAME_STATE.DONE) return;
  }
  for (;;) {
    Atomics.store(w, frame + FRAME.sleeping, 1);
    const state = Atomics.load(w, frame + FRAME.state);
    if (state === FRAME_STATE.DONE) return;
    const taker = takerOf(state);
    if (taker !== 0 && isDead(tx, taker)) {
      takeBack(tx, parking, depth);
      throw new ServerDied(`thread ${taker} ended in a call`);
    }
    parking.wait(w, frame + FRAME.state, state, LOOK_MS);
  }
}

/** Makes this thread the slot's only writer again, after the taker of frame `depth` has died. */
function takeBack(tx: Transaction, parking: Parking, depth: number): void {
  const dead = (thread: number): boolean => isDead(tx, thread);
  const holderAt = tx.slotAt + SLOT.holder;
  // A server that the dead one had called may still be at work; it comes to an end by itself or dies.
  while (!reclaim(tx, tx.slotIndex, depth, threadOf(tx).id, dead)) {
    parking.wait(tx.words, holderAt, tx.words[holderAt]!, 1);
  }
}

/**
 * Takes the result of frame `depth`, which is done, and frees the frame. Undefined when the call has to be
 * made again: a lock that it could not get has been released meanwhile.
 */
function finish(tx: Transaction, depth: number): number | undefined {
  const w = tx.words;
  const frame = frameOf(tx, tx.slotIndex, depth);
  const outcome = w[frame + FRAME.outcome]!;
  const detail = w[frame + FRAME.detail]!;
  w[frame + FRAME.state] = FRAME_STATE.IDLE;
  w[tx.slotAt + SLOT.call] = depth;
  switch (outcome) {
    case OUTCOME.VALUE:
      return loadFloat(tx, frame + FRAME.result);
    case OUTCOME.ERRNO:
      throw backgroundStop(detail) ?? errnoOf(detail);
    case OUTCOME.WOULD_BLOCK:
      throw WOULD_BLOCK;
    case OUTCOME.CONTENDED:
      awaitLock(tx, detail);
      return undefined;
    case OUTCOME.DIED:
      throw new ServerDied("a server ended in a call made by the server called");
    default:
      throw new ServerCrash(loadMessage(tx, tx.slotIndex));
  }
}

/** Sleeps until the lock at `word`, which ranks above all that the request holds, may be free. */
function awaitLock(tx: Transaction, word: HeapAddr): void {
  const w = tx.words;
  const value = Atomics.load(w, word);
  if (value === 0) return;
  const marked = value | LOCK_CONTENDED;
  if (value !== marked && Atomics.compareExchange(w, word, value, marked) !== value) return;
  threadOf(tx).contended(tx, word, marked);
}

// Shipping.

/** Where a shipped request is. */
export type Shipment = "lent" | "returned" | "lost";

/**
 * Ships the call: it is carried out in the server's thread while this one does something else. Only at the top
 * of a request, before its first store and lock. When it is done, the word at `bell` goes up by one and is
 * notified; then {@link collect} gives the result. Until then the caller must not touch the slot; if it may
 * have to see the server's death, it asks {@link shipment} now and then.
 */
export function ship(
  tx: Transaction,
  server: number,
  operation: number,
  args: readonly unknown[],
  bell: HeapAddr,
): void {
  assert(tx.logged === 0 && tx.locksHeld === 0, "a request is shipped before its first store and lock");
  assert(tx.words[tx.slotAt + SLOT.call] === 0, "only a top-level call is shipped");
  post(tx, server, operation, args, bell);
}

/** Where the request of slot `index`, which was shipped, is now. */
export function shipment(view: HeapView, index: number): Shipment {
  const state = Atomics.load(view.words, frameOf(view, index, 0) + FRAME.state);
  if (state === FRAME_STATE.DONE) return "returned";
  const taker = takerOf(state);
  return taker !== 0 && isDead(view, taker) ? "lost" : "lent";
}

/**
 * The result of a shipped request that has returned or is lost, as {@link callServer} gives it; undefined if
 * it has to be shipped again. The caller commits or rolls back.
 */
export function collect(tx: Transaction, parking: Parking): number | undefined {
  if (shipment(tx, tx.slotIndex) === "lost") {
    takeBack(tx, parking, 0);
    throw new ServerDied("the server ended while the request was shipped to it");
  }
  return finish(tx, 0);
}
