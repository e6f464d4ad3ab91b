/**
 * Pools of the guest memory: frames, root tables, leaf tables. A pool hands out numbered items and counts
 * the references to each, so that a request may be rolled back while others take, share and give back.
 *
 *     stack and never-used items ──refill──▶ stock of a slot ──take──▶ in use
 *                ▲                                ▲                       │
 *                └────────── last reference gone ─┴──────────────────────┘
 *
 *     homes: count 0 ───────────claim, or refill when the others are gone──────▶ in use
 *                ▲                                                        │
 *                └────────── last reference gone ─────────────────────────┘
 *
 * ## Two zones
 *
 * The items below `homes` are singles: which one `take` gives is chance. Those from `homes` on can be had by
 * their number, so that neighbours in an address space can be neighbours here (home.ts): such an item is free
 * if its count is 0, and stands in no list that would have to be kept in step. `homesFree` counts them.
 * Either zone serves when the other is exhausted: a refill then takes from the homes, from the top downwards,
 * where it spoils the fewest rows; who claims in vain takes. Root and leaf tables are all singles.
 *
 * ## Counts
 *
 * Several requests may change the count of one item and share no lock (a frame of the page cache, mapped by
 * two processes that fault and exit). An undo log that puts an old count back would wipe out the other's
 * change. Therefore a count changes only in system transactions, under the pool's lock, and is final at once:
 * up *before* the transaction that wants the reference commits, down *after* the one that gives it up has.
 * Until then the count is higher than it need be, and nothing is freed too early. What is counted and not
 * yet, or no longer, in use stands in the slot:
 *
 *   - An item in a stock has the stock's one reference. Taking it is a logged `taken + 1` and passes the
 *     reference on; a rollback gives it back to the stock.
 *   - `hold` raises a count and enters the item in the slot's hold ring in one system transaction; then a
 *     logged `taken + 1` passes that reference on. After a rollback the ring has entries left, which the
 *     slot's next `hold` (or `drainPool`) gives up.
 *   - Giving up is a redo step (REDO.frame, REDO.table, REDO.frames).
 *
 * Who needs to know whether it alone holds an item reads the count: 1 is certain if it owns a reference that
 * nobody else can copy (it has the lock that guards it); a higher number may be an old one.
 *
 * ## Words
 *
 *     control   lock, items on the stack, next single never used, end, first item, first of the homes, free
 *               homes, where the last refill from the homes ended, first home above `reached` … up to `sunk`
 *               was never used, where to look for rows (a hint that everybody stores to without the lock)
 *     stock     taken, filled, ring                            for each slot
 *     holds     taken, filled, ring of HOLD_RING               for each slot, frames only
 *
 * ## Invariants (check.ts)
 *   P1  A single that is free (on the stack, or never used) is there once and its count is 0.
 *   P2  The count of any other item is the number of references to it: by stocks, hold rings, page tables,
 *       shared objects, batches, and those that other modules report.
 *   P3  homesFree is the number of homes whose count is 0; those from `reached` to `sunk` were never used.
 *
 * Rejected: logged stores under a lock that is held to the end (the lock of the counts would have to rank
 * above the servers' locks and would serialise all faults of the machine); atomic additions outside the log
 * (what a dead thread had added nobody could tell).
 */

import { assert } from "../../base/assert.ts";
import { errno } from "../../base/errno.ts";
import type { HeapAddr, HeapView, MemoryWord } from "../../heap/heap.ts";
import { SLOT_LOG } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";

export const CONTROL = {
  lock: 0,
  stacked: 1,
  fresh: 2,
  end: 3,
  first: 4,
  homes: 5,
  homesFree: 6,
  rover: 7,
  reached: 8,
  sunk: 9,
  hint: 10,
} as const;
export const POOL_WORDS = 16;
export const RING = { taken: 0, filled: 1, items: 2 } as const;

/** References that one transaction may take with {@link hold}, and entries of the ring; a power of two. */
export const HOLD_RING = 1024;
export const HOLD_WORDS: number = HOLD_RING + RING.items;
/** References taken in one system transaction: each logs one store. */
const HOLD_BATCH = 240;

/** Homes that one claim asks for at most, and a row that is worth coming back to when it is given up. */
export const CLAIM_MAX = 16;
/** Counts that a refill from the homes looks at, once it has found an item. */
const REFILL_SCAN = 1024;

/** Words of a stock whose ring holds `ring` items. */
export function stockWords(ring: number): number {
  return ring + RING.items;
}

export interface Pool {
  readonly name: string;
  readonly rank: number;
  readonly controlAt: HeapAddr;
  /** The stocks, one for each slot, `stride` words apart; a hold ring, if there is one, follows the stock. */
  readonly stocksAt: HeapAddr;
  readonly stride: number;
  /** Entries of a stock's ring (a power of two), items that a refill brings, and items that a stock keeps. */
  readonly ring: number;
  readonly refill: number;
  readonly high: number;
  /** Count of item n: word referencesAt + n of the guest memory. */
  readonly referencesAt: MemoryWord;
  readonly stackAt: MemoryWord;
}

/** Makes the items from `first` to `end` (excluded) free; those from `homes` on can be claimed. At boot. */
export function initPool(view: HeapView, pool: Pool, first: number, end: number, homes: number = end): void {
  const at = pool.controlAt;
  const w = view.words;
  w[at + CONTROL.fresh] = first;
  w[at + CONTROL.first] = first;
  w[at + CONTROL.end] = end;
  w[at + CONTROL.homes] = homes;
  w[at + CONTROL.homesFree] = end - homes;
  w[at + CONTROL.rover] = end;
  w[at + CONTROL.reached] = homes;
  w[at + CONTROL.sunk] = end;
  w[at + CONTROL.hint] = homes;
}

/** Items that are free for everybody; the slots' stocks hold some more. */
export function freeItems(view: HeapView, pool: Pool): number {
  const w = view.words;
  return (
    w[pool.controlAt + CONTROL.stacked]! +
    w[pool.controlAt + CONTROL.homes]! -
    w[pool.controlAt + CONTROL.fresh]! +
    w[pool.controlAt + CONTROL.homesFree]!
  );
}

/**
 * Items that somebody has: neither free nor in the stock of a slot. Exact only while nothing changes; items that
 * a rolled back hold still counts are not told apart from free ones.
 */
export function itemsInUse(view: HeapView, pool: Pool): number {
  const w = view.words;
  let stocked = 0;
  for (let slot = 0; slot < view.slotCount; slot++) {
    const stock = stockAt(pool, slot);
    stocked += (w[stock + RING.filled]! - w[stock + RING.taken]!) | 0;
  }
  return (
    w[pool.controlAt + CONTROL.end]! - w[pool.controlAt + CONTROL.first]! - freeItems(view, pool) - stocked
  );
}

/** The stock that slot `index` keeps. */
export function stockAt(pool: Pool, index: number): HeapAddr {
  return pool.stocksAt + index * pool.stride;
}

/** The hold ring of slot `index`. */
export function holdsAt(pool: Pool, index: number): HeapAddr {
  return stockAt(pool, index) + stockWords(pool.ring);
}

/** References to an item. */
export function references(view: HeapView, pool: Pool, item: number): number {
  return view.memory[pool.referencesAt + item]!;
}

/** An item with one reference, which is the transaction's. Throws ENOMEM when there is none. */
export function take(tx: Transaction, pool: Pool): number {
  const w = tx.words;
  const stock = stockAt(pool, tx.slotIndex);
  const taken = w[stock]!;
  if (taken === w[stock + RING.filled]) refillStock(tx, pool, stock);
  const item = w[stock + RING.items + (taken & (pool.ring - 1))]!;
  tx.store(stock, (taken + 1) | 0);
  return item;
}

/** One more reference to an item of which the caller knows that it has one. */
export function hold(tx: Transaction, pool: Pool, item: number): void {
  one[0] = item;
  holdAll(tx, pool, one, 1);
}
const one = [0];

/** One more reference to each of the first `count` of `items`. */
export function holdAll(tx: Transaction, pool: Pool, items: ArrayLike<number>, count: number): void {
  const w = tx.words;
  const ring = holdsAt(pool, tx.slotIndex);
  const room = holdRoom(tx, pool, ring);
  assert(room >= count, `more than ${HOLD_RING} references taken in one transaction`);
  assert(!tx.inSystem, "a system transaction must not take references");
  for (let from = 0; from < count; from += HOLD_BATCH) {
    const to = Math.min(count, from + HOLD_BATCH);
    const filled = w[ring + RING.filled]!;
    tx.beginSystem();
    tx.lock(pool.controlAt, pool.rank);
    for (let i = from; i < to; i++) {
      const word = pool.referencesAt + items[i]!;
      const references = tx.memory[word]!;
      assert(references > 0, `reference to free item ${items[i]} of ${pool.name}`);
      tx.storeMemory(word, references + 1);
      // Behind `filled` nothing is valid, so the entry needs no undo.
      tx.storeFresh(ring + RING.items + ((filled + i - from) & (HOLD_RING - 1)), items[i]!);
    }
    tx.store(ring + RING.filled, (filled + to - from) | 0);
    tx.endSystem();
    tx.store(ring, (w[ring]! + to - from) | 0);
  }
}

/**
 * Takes homes by their number: `item` and those behind it, at most `count`, up to the first that is not free.
 * Each has one reference, which is the transaction's. Returns how many it got: 0 if `item` is not free, is no
 * home, or the transaction has taken as many references as its hold ring holds.
 */
export function claim(tx: Transaction, pool: Pool, item: number, count: number): number {
  const w = tx.words;
  const m = tx.memory;
  const control = pool.controlAt;
  const end = w[control + CONTROL.end]!;
  if (item < w[control + CONTROL.homes]! || item >= end) return 0;
  assert(!tx.inSystem, "a system transaction must not take references");
  const ring = holdsAt(pool, tx.slotIndex);
  // First, so that a request which is run again gets what it had.
  giveUpLeftovers(tx, pool);
  // Looked at without the lock: most that are not free are so for long.
  if (m[pool.referencesAt + item] !== 0) return 0;
  const wanted = Math.min(count, CLAIM_MAX, end - item, holdRoom(tx, pool, ring));
  const filled = w[ring + RING.filled]!;
  let got = 0;
  tx.beginSystem();
  tx.lock(control, pool.rank);
  for (; got < wanted && m[pool.referencesAt + item + got] === 0; got++) {
    tx.storeMemory(pool.referencesAt + item + got, 1);
    // Behind `filled` nothing is valid, so the entry needs no undo.
    tx.storeFresh(ring + RING.items + ((filled + got) & (HOLD_RING - 1)), item + got);
  }
  if (got > 0) {
    tx.store(control + CONTROL.homesFree, w[control + CONTROL.homesFree]! - got);
    if (item + got > w[control + CONTROL.reached]!) tx.store(control + CONTROL.reached, item + got);
    tx.store(ring + RING.filled, (filled + got) | 0);
  }
  tx.endSystem();
  if (got > 0) tx.store(ring, (w[ring]! + got) | 0);
  return got;
}

/** Gives up what a rolled back transaction of this slot has left in its hold ring. */
export function giveUpLeftovers(tx: Transaction, pool: Pool): void {
  const ring = holdsAt(pool, tx.slotIndex);
  if (tx.words[ring] !== tx.words[ring + RING.filled]) dropLeftovers(tx, pool, ring);
}

/** Entries of the hold ring that the transaction may still fill; gives up what a rollback has left in it. */
function holdRoom(tx: Transaction, pool: Pool, ring: HeapAddr): number {
  const w = tx.words;
  giveUpLeftovers(tx, pool);
  return HOLD_RING - ((w[ring + RING.filled]! - valueAtBegin(tx, ring)) | 0);
}

/** One reference less; the last one frees the item. Inside a system transaction (a redo step). */
export function dropNow(tx: Transaction, pool: Pool, item: number): void {
  tx.lock(pool.controlAt, pool.rank);
  const w = tx.words;
  const word = pool.referencesAt + item;
  const references = tx.memory[word]!;
  assert(references > 0, `item ${item} of ${pool.name} given up twice`);
  if (references > 1) {
    tx.storeMemory(word, references - 1);
    return;
  }
  const stock = stockAt(pool, tx.slotIndex);
  const filled = w[stock + RING.filled]!;
  const isSingle = item < w[pool.controlAt + CONTROL.homes]!;
  if (isSingle && ((filled - w[stock]!) | 0) < pool.high) {
    // The reference passes to the stock.
    tx.storeFresh(stock + RING.items + (filled & (pool.ring - 1)), item);
    tx.store(stock + RING.filled, (filled + 1) | 0);
  } else {
    freeItem(tx, pool, item);
  }
}

/** {@link dropNow} for the `count` items that stand in the heap from word `at` on. Logs one store for each. */
export function dropAllNow(tx: Transaction, pool: Pool, at: HeapAddr, count: number): void {
  tx.lock(pool.controlAt, pool.rank);
  const w = tx.words;
  const m = tx.memory;
  const stock = stockAt(pool, tx.slotIndex);
  let room = pool.high - ((w[stock + RING.filled]! - w[stock]!) | 0);
  let filled = w[stock + RING.filled]!;
  let stacked = w[pool.controlAt + CONTROL.stacked]!;
  const homes = w[pool.controlAt + CONTROL.homes]!;
  let freed = 0;
  // Homes that were given up one behind the other, just now.
  let row = 0;
  let next = 0;
  for (let i = 0; i < count; i++) {
    const item = w[at + i]!;
    const word = pool.referencesAt + item;
    const references = m[word]!;
    assert(references > 0, `item ${item} of ${pool.name} given up twice`);
    if (references > 1) {
      tx.storeMemory(word, references - 1);
    } else if (item >= homes) {
      tx.storeMemory(word, 0);
      freed++;
      row = item === next ? row + 1 : 1;
      next = item + 1;
      if (row === CLAIM_MAX) suggestRow(tx, pool, item + 1 - row);
    } else if (room > 0) {
      room--;
      tx.storeFresh(stock + RING.items + (filled & (pool.ring - 1)), item);
      filled = (filled + 1) | 0;
    } else {
      tx.storeMemory(word, 0);
      // Above `stacked` nothing is valid, so the entry needs no undo.
      tx.storeFreshMemory(pool.stackAt + stacked++, item);
    }
  }
  if (filled !== w[stock + RING.filled]) tx.store(stock + RING.filled, filled);
  if (stacked !== w[pool.controlAt + CONTROL.stacked]) tx.store(pool.controlAt + CONTROL.stacked, stacked);
  if (freed > 0) tx.store(pool.controlAt + CONTROL.homesFree, w[pool.controlAt + CONTROL.homesFree]! + freed);
}

/**
 * Lets the next search for a row begin at the free one at `item`, if it would begin behind: what was used before
 * is likely to be in the processor's caches, and its pages to be there in the host.
 */
function suggestRow(tx: Transaction, pool: Pool, item: number): void {
  const at = pool.controlAt + CONTROL.hint;
  const hint = tx.words[at]!;
  const isTaken = hint < tx.words[pool.controlAt + CONTROL.end]! && tx.memory[pool.referencesAt + hint] !== 0;
  if (item < hint || isTaken) tx.store(at, item);
}

/** Gives back what the slot keeps in stock and what a rollback has left in its hold ring. */
export function drainPool(tx: Transaction, pool: Pool): void {
  const w = tx.words;
  const stock = stockAt(pool, tx.slotIndex);
  while (w[stock] !== w[stock + RING.filled]) {
    tx.beginSystem();
    tx.lock(pool.controlAt, pool.rank);
    const filled = (w[stock + RING.filled]! - 1) | 0;
    tx.store(stock + RING.filled, filled);
    const item = w[stock + RING.items + (filled & (pool.ring - 1))]!;
    const left = tx.memory[pool.referencesAt + item]! - 1;
    // A hold that was rolled back may still count; whoever gives that up frees the item.
    if (left > 0) tx.storeMemory(pool.referencesAt + item, left);
    else freeItem(tx, pool, item);
    tx.endSystem();
  }
  if (pool.stride > stockWords(pool.ring)) giveUpLeftovers(tx, pool);
}

/** Gives up the references that a rolled back transaction of this slot had taken. */
function dropLeftovers(tx: Transaction, pool: Pool, ring: HeapAddr): void {
  const w = tx.words;
  while (w[ring] !== w[ring + RING.filled]) {
    tx.beginSystem();
    tx.lock(pool.controlAt, pool.rank);
    // From the end, so that `taken` is left to the log of the main transaction.
    const filled = (w[ring + RING.filled]! - 1) | 0;
    tx.store(ring + RING.filled, filled);
    const item = w[ring + RING.items + (filled & (HOLD_RING - 1))]!;
    const left = tx.memory[pool.referencesAt + item]! - 1;
    // Not to the stock: its ring may still hold what the main transaction's rollback would look for.
    if (left > 0) tx.storeMemory(pool.referencesAt + item, left);
    else freeItem(tx, pool, item);
    tx.endSystem();
  }
}

/** Makes an item free that has one reference. Inside a system transaction, with the pool's lock. */
function freeItem(tx: Transaction, pool: Pool, item: number): void {
  const control = pool.controlAt;
  tx.storeMemory(pool.referencesAt + item, 0);
  if (item >= tx.words[control + CONTROL.homes]!) {
    tx.store(control + CONTROL.homesFree, tx.words[control + CONTROL.homesFree]! + 1);
    return;
  }
  const stacked = tx.words[control + CONTROL.stacked]!;
  // Above `stacked` nothing is valid, so the entry needs no undo.
  tx.storeFreshMemory(pool.stackAt + stacked, item);
  tx.store(pool.controlAt + CONTROL.stacked, stacked + 1);
}

/** Moves some free items to an empty stock. */
function refillStock(tx: Transaction, pool: Pool, stock: HeapAddr): void {
  const w = tx.words;
  // What this transaction has taken must stay in the ring, where its rollback will look for it.
  const room = pool.ring - ((w[stock + RING.filled]! - valueAtBegin(tx, stock)) | 0);
  if (room < pool.refill) throw errno.ENOMEM;
  assert(!tx.inSystem, `a system transaction must not allocate ${pool.name}`);
  tx.beginSystem();
  tx.lock(pool.controlAt, pool.rank);
  let stacked = w[pool.controlAt + CONTROL.stacked]!;
  let fresh = w[pool.controlAt + CONTROL.fresh]!;
  const homes = w[pool.controlAt + CONTROL.homes]!;
  const filled = w[stock + RING.filled]!;
  let moved = 0;
  for (; moved < pool.refill && (stacked > 0 || fresh < homes); moved++) {
    const item = stacked > 0 ? tx.memory[pool.stackAt + --stacked]! : fresh++;
    tx.storeMemory(pool.referencesAt + item, 1);
    tx.storeFresh(stock + RING.items + ((filled + moved) & (pool.ring - 1)), item);
  }
  if (moved > 0) {
    tx.store(pool.controlAt + CONTROL.stacked, stacked);
    tx.store(pool.controlAt + CONTROL.fresh, fresh);
  } else moved = refillFromHomes(tx, pool, stock);
  if (moved > 0) tx.store(stock + RING.filled, (filled + moved) | 0);
  tx.endSystem();
  if (moved === 0) throw errno.ENOMEM;
}

/**
 * Enters homes in a stock, from where the last refill ended downwards; returns how many. Looks at no more
 * counts than it takes to find one item, or REFILL_SCAN.
 */
function refillFromHomes(tx: Transaction, pool: Pool, stock: HeapAddr): number {
  const w = tx.words;
  const control = pool.controlAt;
  const free = w[control + CONTROL.homesFree]!;
  if (free === 0) return 0;
  const homes = w[control + CONTROL.homes]!;
  const end = w[control + CONTROL.end]!;
  const filled = w[stock + RING.filled]!;
  let sunk = w[control + CONTROL.sunk]!;
  let at = w[control + CONTROL.rover]!;
  let moved = 0;
  for (let scanned = 0; scanned < end - homes && moved < pool.refill; scanned++) {
    if (moved > 0 && scanned >= REFILL_SCAN) break;
    at = at > homes ? at - 1 : end - 1;
    if (tx.memory[pool.referencesAt + at] !== 0) continue;
    tx.storeMemory(pool.referencesAt + at, 1);
    tx.storeFresh(stock + RING.items + ((filled + moved) & (pool.ring - 1)), at);
    moved++;
    if (at < sunk && at >= w[control + CONTROL.reached]!) sunk = at;
  }
  assert(moved > 0, `${free} free items of ${pool.name} are not to be found`);
  tx.store(control + CONTROL.rover, at);
  tx.store(control + CONTROL.homesFree, free - moved);
  if (sunk !== w[control + CONTROL.sunk]) tx.store(control + CONTROL.sunk, sunk);
  return moved;
}

/** The value of a heap word as it was when the open transaction began: its oldest one in the log. */
function valueAtBegin(tx: Transaction, word: HeapAddr): number {
  const w = tx.words;
  const count = tx.logged;
  for (let i = 0; i < count; i++) {
    const entry = tx.slotAt + SLOT_LOG + (i << 1);
    if (w[entry] === word) return w[entry + 1]!;
  }
  return w[word]!;
}
