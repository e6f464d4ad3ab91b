/**
 * Call frames: a contract call on its way to another thread and back, and the servers' control blocks. Both
 * lie in the heap under the root "placement".
 *
 *     +0                 control blocks: SERVERS_MAX × CONTROL_WORDS
 *     ...                for each server, a bit for each slot: "this slot may have a call for you"
 *     ...                for each slot: CALL_DEPTH frames of FRAME_WORDS, then MESSAGE_WORDS for a message
 *
 * A slot's frames are a stack: frame 0 is the call by whom the request belongs to, frame 1 a call that the
 * server of frame 0 makes, and so on. SLOT.call holds how many are in use.
 *
 *     IDLE ──caller──▶ POSTED ──server──▶ TAKEN by thread t ──server──▶ DONE ──caller──▶ IDLE
 *                        └── withdrawn by the caller, or by whoever recovers the slot ──▶ IDLE
 *
 * The state word alone says who may write in the slot: the taker of the deepest frame that is TAKEN, else the
 * thread that the slot belongs to. SLOT.holder follows it.
 *
 * None of this is undone by a rollback. It means nothing after the request has ended, and whoever recovers a
 * slot sets all its frames to IDLE (reclaim).
 *
 * Invariants
 *   PL1  At rest every frame is IDLE and no slot has a frame in use.
 *   PL2  A server in caller placement names no thread of its own.
 *
 * Rejected: a ring of calls for each server. A ring with many producers has a moment in which a producer has
 * reserved a cell and not yet filled it; one that dies there stops everybody behind it. A bit in a set is set
 * or it is not; setting it twice does no harm; and what it points to is checked against the frame.
 */

import { assert } from "../../base/assert.ts";
import { decodeUtf8 } from "../../base/text.ts";
import { registerInvariant } from "../../heap/check.ts";
import { type HeapAddr, type HeapView, placeRoot } from "../../heap/heap.ts";
import { SLOT } from "../../heap/layout.ts";

export const SERVERS_MAX = 16;
/** Nested calls; servers call each other along their order, so there can be no more than servers. */
export const CALL_DEPTH = 8;
export const FRAME_WORDS = 32;
/** Words for the message of a crash. */
const MESSAGE_WORDS = 64;
const CALLS_WORDS: number = CALL_DEPTH * FRAME_WORDS + MESSAGE_WORDS;
/** Arguments of an operation, besides the transaction. */
export const ARGUMENTS_MAX = 10;

export const CONTROL_WORDS = 16;
/** Control block of a server. */
export const CONTROL = {
  /** 1 if the server has a thread of its own. */
  worker: 0,
  /** Its thread, 0 before there is one. */
  thread: 1,
  /** Goes up with each call; the server's thread sleeps on it. */
  wake: 2,
  /** 1 while the server's thread sleeps or is about to. */
  sleeping: 3,
  /** 1 asks the thread to return. */
  stop: 4,
  /** Goes up with each call that the thread takes: with `sleeping`, it tells a hung thread from an idle one. */
  beats: 5,
} as const;

export const FRAME = {
  state: 0,
  server: 1,
  operation: 2,
  argumentCount: 3,
  /** What came back: one of OUTCOME. */
  outcome: 4,
  /** Word that is raised and notified when the call is done; 0: none (the caller waits on the state word). */
  bell: 5,
  /** Thread that made the call. */
  caller: 6,
  /** errno, or the word of the lock that could not be had. */
  detail: 7,
  /** 1 while the caller sleeps on the state word, or is about to. */
  sleeping: 8,
  /** The result, a 64-bit float. */
  result: 10,
  /** Arguments, 64-bit floats. */
  arguments: 12,
} as const;

/** States of a frame; TAKEN is combined with the taker's number. */
export const FRAME_STATE = { IDLE: 0, POSTED: 1, DONE: 2, TAKEN: 4 } as const;
const TAKER_SHIFT = 3;

export const OUTCOME = { VALUE: 0, ERRNO: 1, WOULD_BLOCK: 2, CRASH: 3, CONTENDED: 4, DIED: 5 } as const;

/** The state word of a frame that `thread` has taken. */
export function takenBy(thread: number): number {
  return FRAME_STATE.TAKEN | (thread << TAKER_SHIFT);
}

/** The thread that has taken the frame with this state word, 0 if none has. */
export function takerOf(state: number): number {
  return (state & FRAME_STATE.TAKEN) === 0 ? 0 : state >>> TAKER_SHIFT;
}

/** Places frames and control blocks. Once, at boot. */
export function placeFrames(view: HeapView): void {
  const sets = SERVERS_MAX * setWords(view);
  placeRoot(view, "placement", SERVERS_MAX * CONTROL_WORDS + sets + view.slotCount * CALLS_WORDS);
}

function setWords(view: HeapView): number {
  // Whole cache lines, and an even number of words, so that the frames behind are aligned for floats.
  return Math.ceil(view.slotCount / 32 / 16) * 16;
}

export function controlOf(view: HeapView, server: number): HeapAddr {
  return view.root("placement") + server * CONTROL_WORDS;
}

/** The server's set of slots that may have a call for it: address and length in words. */
export function setOf(view: HeapView, server: number): { at: HeapAddr; words: number } {
  const words = setWords(view);
  return { at: view.root("placement") + SERVERS_MAX * CONTROL_WORDS + server * words, words };
}

/** Frame `depth` of slot `index`. */
export function frameOf(view: HeapView, index: number, depth: number): HeapAddr {
  const calls = view.root("placement") + SERVERS_MAX * (CONTROL_WORDS + setWords(view));
  return calls + index * CALLS_WORDS + depth * FRAME_WORDS;
}

const float = new Float64Array(1);
const floatWords = new Int32Array(float.buffer);

export function storeFloat(view: HeapView, at: HeapAddr, value: number): void {
  float[0] = value;
  view.words[at] = floatWords[0]!;
  view.words[at + 1] = floatWords[1]!;
}

export function loadFloat(view: HeapView, at: HeapAddr): number {
  floatWords[0] = view.words[at]!;
  floatWords[1] = view.words[at + 1]!;
  return float[0]!;
}

/** Leaves the message of a crash in slot `index`, cut to what there is room for. */
export function storeMessage(view: HeapView, index: number, message: string): void {
  const at = frameOf(view, index, CALL_DEPTH) * 4;
  const ascii = message.slice(0, MESSAGE_WORDS * 4 - 1);
  for (let i = 0; i < ascii.length; i++) view.bytes[at + i] = Math.min(ascii.charCodeAt(i), 127);
  view.bytes[at + ascii.length] = 0;
}

export function loadMessage(view: HeapView, index: number): string {
  const at = frameOf(view, index, CALL_DEPTH) * 4;
  let end = at;
  while (end < at + MESSAGE_WORDS * 4 && view.bytes[end] !== 0) end++;
  return decodeUtf8(view.bytes.slice(at, end));
}

/**
 * Takes back what slot `index` has lent in frames `keep` and above, and makes `owner` its holder: withdraws
 * calls that nobody has taken. False while a living thread still works in the slot: ask again. When it is true,
 * nobody but the asker may write there. The asker is the slot's owner or has claimed its recovery.
 */
export function reclaim(
  view: HeapView,
  index: number,
  keep: number,
  owner: number,
  dead: (thread: number) => boolean,
): boolean {
  const w = view.words;
  for (let depth = CALL_DEPTH - 1; depth >= keep; depth--) {
    const at = frameOf(view, index, depth) + FRAME.state;
    const state = Atomics.load(w, at);
    const taker = takerOf(state);
    if (taker !== 0 && !dead(taker)) return false;
    // Nobody else changes the state of a call that is done or whose taker is dead; a posted one may be taken
    // at this moment.
    if (Atomics.compareExchange(w, at, state, FRAME_STATE.IDLE) !== state) return false;
  }
  // In this order: a slot that is not lent and whose holder is dead is anybody's to recover.
  Atomics.store(w, view.slot(index) + SLOT.holder, owner);
  w[view.slot(index) + SLOT.call] = keep;
  return true;
}

registerInvariant({
  id: "PL1",
  statement: "at rest every call frame is idle and no slot has one in use",
  check(view, report) {
    if (view.root("placement") === 0) return;
    for (let index = 0; index < view.slotCount; index++) {
      const used = view.words[view.slot(index) + SLOT.call]!;
      if (used !== 0) report(`slot ${index} has ${used} frames in use`);
      for (let depth = 0; depth < CALL_DEPTH; depth++) {
        const state = view.words[frameOf(view, index, depth) + FRAME.state]!;
        if (state !== FRAME_STATE.IDLE) report(`frame ${depth} of slot ${index} has the state ${state}`);
      }
    }
  },
});

registerInvariant({
  id: "PL2",
  statement: "a server in caller placement has no thread of its own",
  check(view, report) {
    if (view.root("placement") === 0) return;
    for (let server = 0; server < SERVERS_MAX; server++) {
      const control = controlOf(view, server);
      const worker = view.words[control + CONTROL.worker]!;
      const thread = view.words[control + CONTROL.thread]!;
      if (worker !== 0 && worker !== 1) report(`server ${server} has the placement ${worker}`);
      if (worker === 0 && thread !== 0)
        report(`server ${server} runs in its callers and in thread ${thread}`);
    }
  },
});

assert(FRAME.arguments + ARGUMENTS_MAX * 2 <= FRAME_WORDS, "a call frame is too small for its arguments");
