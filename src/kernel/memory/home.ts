/**
 * Homes: where the frames of a mapping's pages are looked for, so that pages that follow each other have
 * frames that follow each other. Entries are pa − va: such pages have equal entries, which is what translated
 * code makes use of.
 *
 * A private anonymous mapping of HOME_PAGES_MIN pages or more, and any that grows, gets a home when the first
 * of its pages is written to: a row of frames that were free a moment ago, enough for the pages around that one
 * which have none yet, with room for what grows. Page p then asks for frame p + home, and gets any frame if that
 * one is taken. Nothing is reserved: a home that two mappings have found, or that a third has overtaken, costs
 * adjoining frames, and the page that opens the next group of 16, or the mapping, looks for a new one. So a home
 * may be old or wrong at any time: nothing but speed depends on it.
 *
 *     Mapping.home    0           not looked for yet
 *                     HOME_VAIN   looked for in vain
 *                     n | 1       frame − page = n, mod 2^32, a multiple of 16
 *
 * Rows begin at frames that are multiples of 16, and so do the pages that they are for.
 */

import { LEAF_ENTRIES, LEAF_INDEX_BITS } from "../../base/hart-abi.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { type FrameNumber, memoryLayout } from "./layout.ts";
import { frameOf, LEAF_MASK, pageWordAt } from "./page-table.ts";
import { claim, CLAIM_MAX, CONTROL, freeItems, giveUpLeftovers, type Pool } from "./pool.ts";
import { AddressSpace, HOME_VAIN, Mapping, MAPPING, type PageNumber } from "./records.ts";

/** Pages of the smallest mapping that gets a home. */
const HOME_PAGES_MIN = 16;
/** A group: frames that are free or not as a whole when a row is looked for. */
const GROUP: number = CLAIM_MAX;
/** Pages for which a growing mapping looks beyond its end: a stack below it, a break above. */
const STACK_ROOM = 64;
const BREAK_ROOM = 256;
/** Groups that a search looks at, at least, and for each that it wants. */
const SCAN_MIN = 64;
const SCAN_EACH = 4;
/** Below one free frame in so many, rows are not looked for and nothing is given out ahead. */
const SCARCE = 16;

/**
 * A frame at the home of `page` with one reference, which is the caller's; 0 if there is none to be had. Its
 * bytes are anything. `mayLook`: whether a home may be looked for.
 */
export function claimHome(
  tx: Transaction,
  space: AddressSpace,
  mapping: Mapping,
  page: PageNumber,
  mayLook: boolean,
): FrameNumber {
  let home = Mapping.home.get(tx, mapping);
  if (home === 0 && (!mayLook || !mayHaveHome(tx, mapping))) return 0;
  const pool = memoryLayout(tx).framePool;
  if (home !== 0) {
    if (claimAt(tx, pool, home, page, 1) === 1) return frameAt(home, page);
    if (!mayLook || !mayLookAgain(tx, mapping, page)) return 0;
  }
  home = lookForHome(tx, space, mapping, page);
  if (home !== Mapping.home.get(tx, mapping)) Mapping.home.set(tx, mapping, home);
  return claimAt(tx, pool, home, page, 1) === 1 ? frameAt(home, page) : 0;
}

/**
 * How many pages from `page` on, which is absent as are those behind it, one fault should fill: as many as
 * have been filled one behind the other right before it, so that no more than half of them are never used. At
 * most CLAIM_MAX, and in one leaf table. `at`: the page word.
 */
export function pagesAhead(tx: Transaction, mapping: Mapping, page: PageNumber, at: number): number {
  const home = Mapping.home.get(tx, mapping);
  if ((home & 1) === 0) return 1;
  const m = tx.memory;
  const inLeaf = page & LEAF_MASK;
  const before = Math.min(CLAIM_MAX, inLeaf, page - Mapping.first.get(tx, mapping));
  const shown = frameAt(home, page);
  let count = 0;
  while (count < before && frameOf(m[at - 1 - count]!) === shown - 1 - count) count++;
  if (count < 2 || isScarce(tx, memoryLayout(tx).framePool)) return 1;
  const limit = Math.min(count, LEAF_ENTRIES - inLeaf, Mapping.end.get(tx, mapping) - page);
  let pages = 1;
  while (pages < limit && m[at + pages] === 0) pages++;
  return pages;
}

/** Takes the frames at the home of `page` and of those behind it, up to `count`; returns how many it got. */
export function claimRow(tx: Transaction, mapping: Mapping, page: PageNumber, count: number): number {
  return claimAt(tx, memoryLayout(tx).framePool, Mapping.home.get(tx, mapping), page, count);
}

/** The frame at the home of `page`, in a mapping that has one. */
export function homeFrame(tx: Transaction, mapping: Mapping, page: PageNumber): FrameNumber {
  return frameAt(Mapping.home.get(tx, mapping), page);
}

/** The home of a mapping's pages when each is moved up by `shift` pages. */
export function movedHome(home: number, shift: number): number {
  // A move by part of a group leaves no row that begins where a group does.
  return (home & 1) !== 0 && shift % GROUP === 0 ? (home - shift) >>> 0 : 0;
}

function frameAt(home: number, page: PageNumber): FrameNumber {
  return (page + home - 1) >>> 0;
}

function claimAt(tx: Transaction, pool: Pool, home: number, page: PageNumber, count: number): number {
  return (home & 1) !== 0 ? claim(tx, pool, frameAt(home, page), count) : 0;
}

function mayHaveHome(tx: Transaction, mapping: Mapping): boolean {
  const flags = Mapping.flags.get(tx, mapping);
  if ((flags & MAPPING.SHARED) !== 0 || Mapping.file.get(tx, mapping) !== 0) return false;
  if ((flags & (MAPPING.GROWSDOWN | MAPPING.BREAK)) !== 0) return true;
  return Mapping.end.get(tx, mapping) - Mapping.first.get(tx, mapping) >= HOME_PAGES_MIN;
}

/** Whether a page opens a group or the mapping from either side: what lies behind it may want another home. */
function mayLookAgain(tx: Transaction, mapping: Mapping, page: PageNumber): boolean {
  const inGroup = page & (GROUP - 1);
  if (inGroup === 0 || inGroup === GROUP - 1) return true;
  return page === Mapping.first.get(tx, mapping) || page === Mapping.end.get(tx, mapping) - 1;
}

function isScarce(tx: Transaction, pool: Pool): boolean {
  const w = tx.words;
  const all = w[pool.controlAt + CONTROL.end]! - w[pool.controlAt + CONTROL.first]!;
  return freeItems(tx, pool) * SCARCE < all;
}

/** A home for the pages without frames around `page`: a value of Mapping.home, not 0. */
function lookForHome(tx: Transaction, space: AddressSpace, mapping: Mapping, page: PageNumber): number {
  const pool = memoryLayout(tx).framePool;
  if (isScarce(tx, pool)) return HOME_VAIN;
  giveUpLeftovers(tx, pool);
  const flags = Mapping.flags.get(tx, mapping);
  let low = lowFrom(tx, space, mapping, page);
  let high = highUpTo(tx, space, mapping, page);
  const growsDown = (flags & MAPPING.GROWSDOWN) !== 0;
  const first = Mapping.first.get(tx, mapping);
  const end = Mapping.end.get(tx, mapping);
  if (growsDown && low === first) low = Math.max(0, low - STACK_ROOM);
  // A big heap is likely to grow by more than a small one.
  if ((flags & MAPPING.BREAK) !== 0 && high === end) high += Math.max(BREAK_ROOM, page - first);
  low -= low % GROUP;
  high = Math.min(low + LEAF_ENTRIES, Math.ceil(high / GROUP) * GROUP);
  const row = findRow(tx, pool, (high - low) / GROUP);
  const found = row.groups * GROUP;
  if (found === 0) return HOME_VAIN;
  // A row that is too short begins at the page, or ends at it, whichever way the mapping is likely to be filled.
  const group = page - (page % GROUP);
  const from = growsDown
    ? Math.max(low, Math.min(high, group + GROUP) - found)
    : Math.min(group, Math.max(low, high - found));
  return ((row.first - from) >>> 0) + 1;
}

/** First of the pages right below `page` that have no frames, in its leaf and the mapping. */
function lowFrom(tx: Transaction, space: AddressSpace, mapping: Mapping, page: PageNumber): PageNumber {
  const first = Math.max(Mapping.first.get(tx, mapping), (page >>> LEAF_INDEX_BITS) << LEAF_INDEX_BITS);
  let at = pageWordAt(tx, AddressSpace.root.get(tx, space), page);
  while (page > first && hasNoFrame(tx, tx.memory[--at]!)) page--;
  return page;
}

/** End of those right above `page`, likewise. */
function highUpTo(tx: Transaction, space: AddressSpace, mapping: Mapping, page: PageNumber): PageNumber {
  const end = Math.min(Mapping.end.get(tx, mapping), ((page >>> LEAF_INDEX_BITS) + 1) << LEAF_INDEX_BITS);
  let at = pageWordAt(tx, AddressSpace.root.get(tx, space), page);
  while (++page < end && hasNoFrame(tx, tx.memory[++at]!));
  return page;
}

/** Whether a page will ask for a frame when it is written to. */
function hasNoFrame(tx: Transaction, word: number): boolean {
  return word === 0 || frameOf(word) === memoryLayout(tx).zeroFrame;
}

/**
 * Looks for `want` free groups one behind the other, from where the last search ended or a row was given up;
 * returns the most that there were, 0 for none, and where they begin. A glance without any lock.
 */
function findRow(tx: Transaction, pool: Pool, want: number): { first: FrameNumber; groups: number } {
  const w = tx.words;
  const first = w[pool.controlAt + CONTROL.homes]! / GROUP;
  const end = Math.floor(w[pool.controlAt + CONTROL.end]! / GROUP);
  let at = Math.ceil(w[pool.controlAt + CONTROL.hint]! / GROUP);
  let best = 0;
  let bestAt: FrameNumber = 0;
  let row = 0;
  for (let left = Math.min(end - first, Math.max(SCAN_MIN, want * SCAN_EACH)); left > 0; left--) {
    if (at >= end) {
      at = first;
      row = 0;
    }
    row = isGroupFree(tx, pool, at++) ? row + 1 : 0;
    if (row <= best) continue;
    best = row;
    bestAt = (at - row) * GROUP;
    if (best === want) break;
  }
  // The next one looks behind this row, for as long as it is not taken. Logged, so that a request that is run again
  // finds the same; an older hint that comes back with a rollback does no harm to the others.
  tx.store(pool.controlAt + CONTROL.hint, at * GROUP);
  return { first: bestAt, groups: best };
}

function isGroupFree(tx: Transaction, pool: Pool, group: number): boolean {
  const at = pool.referencesAt + group * GROUP;
  for (let i = 0; i < GROUP; i++) if (tx.memory[at + i] !== 0) return false;
  return true;
}
