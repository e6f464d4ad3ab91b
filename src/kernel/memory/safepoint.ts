/**
 * Taking away (rule R7): before a frame that was mapped may be used for anything else, every hart that may
 * have looked its page up must have let go of it.
 *
 * A hart (or a server's thread that works for a request) uses a physical address between two safepoints, not
 * across one: translated code between two entries from the hart's loop, a request between the start and the
 * end of its transaction. So the table below holds, for each request slot, which address space whoever works
 * from it has active, and how much of the taking-away it has noticed:
 *
 *     +0   sequence     taking-aways begun in this machine
 *     +1   code stamps  that have been given to address spaces (renewCode)
 *     +2   entry stamps likewise (noteTaken); apart, since jump caches are cleared each time code stamps wrap
 *     +16  row of slot 0: active space, noticed sequence, hart + 1       ROW_WORDS each
 *
 *     taker, holding the space's lock            slot that has the space active
 *     -------------------------------            ------------------------------
 *     makes the entries invalid                  publishes: noticed := sequence
 *     sequence += 1; this is its ticket          looks entries up
 *     looks which slots have the space active    …
 *     interrupts their harts                     leaves; publishes: noticed := sequence
 *     commits; its locks are free
 *     waits until they have noticed the ticket
 *     frees the frames in a second transaction
 *
 * The taker makes invalid before it looks, the others become active (or publish) before they look up, and an
 * atomic operation stands between each pair: at least one sees the other. The rows are not undone: each says
 * what its thread does just now, and a slot whose thread has died is set idle when that is certain.
 *
 * The frames stand in batches on the list AddressSpace.pending meanwhile, each with its ticket. Whoever is
 * killed, whatever takes the space's lock next to free memory carries on (releasePending). A task whose call
 * took something away goes back to user mode only when `isTakingDone`, so that it sees what Linux promises:
 * after munmap or mprotect has returned, no thread succeeds in what they forbid.
 *
 * Why entries may be read without the space's lock (translate): what an entry leads to stays allocated until
 * the reader's next safepoint, by the above; and an entry is valid only for what is committed (page-table.ts),
 * so it cannot lead to a frame that a rollback gives away.
 */

import { HART_INTERRUPT, INTERRUPTED } from "../../base/hart-abi.ts";
import type { WasmMemory } from "../../base/webassembly.ts";
import { type HeapAddr, type HeapView, placeRoot } from "../../heap/heap.ts";
import { REDO } from "../../heap/layout.ts";
import { next, remove } from "../../heap/list.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { FrameBatch } from "./frames.ts";
import { hartBlock } from "./layout.ts";
import { TAKEN } from "./page-table.ts";
import { AddressSpace } from "./records.ts";

const ROW_WORDS = 16;
const CODE_STAMPS = 1;
const ENTRY_STAMPS = 2;
const ROW = { space: 0, noticed: 1, hart: 2 } as const;

/** Places the table. At boot. */
export function placeSafepoints(view: HeapView): void {
  placeRoot(view, "safepoints", (view.slotCount + 1) * ROW_WORDS);
}

// The table never moves; the last one asked for is at hand.
let lastHeap: WasmMemory | undefined;
let lastTable: HeapAddr = 0;

function tableOf(view: HeapView): HeapAddr {
  const heap = view.buffers.heap;
  if (heap !== lastHeap) {
    lastTable = view.root("safepoints");
    lastHeap = heap;
  }
  return lastTable;
}

function rowOf(view: HeapView, slot: number): HeapAddr {
  return tableOf(view) + (slot + 1) * ROW_WORDS;
}

/**
 * Says that the hart with number `hart` works from the slot of `tx`, so that it can be interrupted. −1: a
 * thread that runs no translated code.
 */
export function bindSafepoint(tx: Transaction, hart: number): void {
  tx.atomics.store(rowOf(tx, tx.slotIndex) + ROW.hart, hart + 1);
}

/**
 * The slot of `tx` begins to work in `space`, or passes a safepoint in it: it holds no translation now. To
 * be called before translated code of the space runs, whenever it has come back, at the start of each system
 * call and after each request.
 */
export function publishSafepoint(tx: Transaction, space: AddressSpace): void {
  const w = tx.words;
  const table = tableOf(tx);
  const row = table + (tx.slotIndex + 1) * ROW_WORDS;
  if (w[row + ROW.space] !== space) {
    tx.atomics.store(row + ROW.noticed, tx.atomics.load(table));
    tx.atomics.exchange(row + ROW.space, space);
  }
  const sequence = tx.atomics.load(table);
  if (w[row + ROW.noticed] !== sequence) {
    tx.atomics.exchange(row + ROW.noticed, sequence);
    Atomics.notify(w, row + ROW.noticed);
  }
}

/** The slot of `tx` works in no address space: it is idle, or its task has left the space. */
export function leaveSpace(tx: Transaction): void {
  markSlotIdle(tx, tx.slotIndex);
}

/** {@link leaveSpace} for a slot whose thread has certainly ended. */
export function markSlotIdle(view: HeapView, slot: number): void {
  const row = rowOf(view, slot);
  view.atomics.exchange(row + ROW.space, 0);
  Atomics.notify(view.words, row + ROW.noticed);
}

/**
 * Begins a taking-away, after the entries have been made invalid: the ticket of the batches, or 0 if no other
 * slot has the space active, so that nothing has to be waited for. The caller holds the space's lock.
 */
export function beginTaking(tx: Transaction, space: AddressSpace): number {
  const w = tx.words;
  const table = tableOf(tx);
  const sequence = (tx.atomics.add(table, 1) + 1) | 0;
  // 0 says "none", so a ticket never is; a slot that has noticed 0 has noticed −1 too.
  const ticket = sequence === 0 ? -1 : sequence;
  let active = false;
  for (let slot = tx.slotCount - 1; slot >= 0; slot--) {
    const row = table + (slot + 1) * ROW_WORDS;
    if (slot === tx.slotIndex || tx.atomics.load(row + ROW.space) !== space) continue;
    active = true;
    const hart = w[row + ROW.hart]!;
    if (hart > 0) Atomics.store(tx.memory, (hartBlock(tx, hart - 1) + HART_INTERRUPT) >>> 2, INTERRUPTED);
  }
  if (!active) return 0;
  AddressSpace.ticket.set(tx, space, ticket);
  return ticket >>> 0;
}

/**
 * The word on which to wait for the next slot that has not noticed the space's last taking-away (with the
 * value that it has now), or undefined if all have. Any view, any time, best without locks.
 */
export function pendingTaking(
  tx: Transaction,
  space: AddressSpace,
): { readonly word: HeapAddr; readonly value: number } | undefined {
  const w = tx.words;
  const ticket = w[AddressSpace.ticket.at(space)]!;
  if (ticket === 0) return undefined;
  const table = tableOf(tx);
  for (let slot = tx.slotCount - 1; slot >= 0; slot--) {
    if (slot === tx.slotIndex) continue;
    const row = table + (slot + 1) * ROW_WORDS;
    const value = tx.atomics.load(row + ROW.noticed);
    if (tx.atomics.load(row + ROW.space) === space && ((value - ticket) | 0) < 0) {
      return { word: row + ROW.noticed, value };
    }
  }
  return undefined;
}

/** Whether every other slot has noticed the space's last taking-away. */
export function isTakingDone(tx: Transaction, space: AddressSpace): boolean {
  return pendingTaking(tx, space) === undefined;
}

/** A code stamp, an entry stamp that no address space has had. Not undone. */
export function newCodeStamp(view: HeapView): number {
  return view.atomics.add(tableOf(view) + CODE_STAMPS, 1) + 1;
}
export function newEntryStamp(view: HeapView): number {
  return view.atomics.add(tableOf(view) + ENTRY_STAMPS, 1) + 1;
}

/**
 * Something has been taken away from the space: `taken` as setPage says. To be called before {@link beginTaking}.
 * Runs that a hart keeps under the old stamp are void; in a space with several tasks they are so after each
 * safepoint, whatever the stamp, since a rollback makes entries invalid that others may have found valid.
 */
export function noteTaken(tx: Transaction, space: AddressSpace, taken: number): void {
  if (taken === 0) return;
  AddressSpace.entryStamp.set(tx, space, newEntryStamp(tx));
  if ((taken & TAKEN.CODE) !== 0) renewCode(tx, space);
}

/**
 * To be called after code of the space has been taken away or replaced, before {@link beginTaking}: what harts
 * keep under its old stamp is void. A hart reads the stamp after each safepoint, before it runs code.
 */
export function renewCode(tx: Transaction, space: AddressSpace): void {
  AddressSpace.codeStamp.set(tx, space, newCodeStamp(tx));
}

/**
 * Instructions have been stored: whatever harts keep about the code of the space is void, when they have all
 * noticed if `everywhere` (as after any taking-away), else on this hart. The caller holds no lock of the space.
 */
export function flushCode(tx: Transaction, space: AddressSpace, everywhere: boolean): void {
  AddressSpace.lock.acquire(tx, space);
  renewCode(tx, space);
  if (everywhere) beginTaking(tx, space);
}

/** Whether frames wait for safepoints, or a finished wait has not been cleared away. */
export function hasPending(view: HeapView, space: AddressSpace): boolean {
  return AddressSpace.ticket.get(view, space) !== 0;
}

/** Frees what waits in the space, if the taking-away is done: the second transaction. False if it is not. */
export function releasePending(tx: Transaction, space: AddressSpace): boolean {
  AddressSpace.lock.acquire(tx, space);
  if (!hasPending(tx, space)) return true;
  if (!isTakingDone(tx, space)) return false;
  let batch = AddressSpace.pending.first(tx, space);
  for (let released = 0; batch !== 0; released++) {
    if (released === RELEASED_AT_ONCE) return false;
    const after = next(tx, FrameBatch.links, batch);
    remove(tx, AddressSpace.pending, space, FrameBatch.links, batch);
    tx.afterCommit(REDO.frames, batch);
    batch = after;
  }
  AddressSpace.ticket.set(tx, space, 0);
  return true;
}
const RELEASED_AT_ONCE = 32;
