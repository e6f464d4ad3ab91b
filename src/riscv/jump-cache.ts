/**
 * The jump cache: what a hart knows of the targets of control transfers, in guest memory. Dispatcher, tier 0
 * and regions look targets up in it; JavaScript fills it in (translator.ts).
 *
 * ## Entries: sets of two, 16 bytes each, at the place that a hash of the pc gives
 *
 *     +0   tag      pc in bits 37..0, the hart's code tag in bits 62..38
 *     +8   element  of the function table
 *     +12  entry    of the region at which to begin
 *
 * Regions look at the first of a set alone; what lies in the second costs the way by the dispatcher.
 *
 * ## Counts: a word each, for targets that have no entry
 *
 *     15..0   transfers left until `hot` is called; 0: as many as at first
 *     31..16  bits 30..15 of the pc that came last
 *
 * Targets may share a count; whoever comes when it runs out is asked about, and that is the more likely the more
 * often it comes. A target that comes once drives nobody out.
 *
 * Invariants
 *   1. A tag that equals pc | HART_CODE_TAG says: a region that begins at pc, of code that has been compared
 *      with what is mapped since the hart has had this tag, is at `element` of this hart's table.
 *   2. A code tag is used again for the same address space only as long as no mapping of code has been taken
 *      away from it and no fence has been executed in it. So entries need not be cleared.
 *   3. A pc from 2^38 on is never looked up: its upper bits would run into the tag's.
 *
 * No other hart touches a hart's jump cache.
 *
 * Rejected: counts in the entries. A target that came once drove out a region, and two of one place each other: a
 * loop in bash called JavaScript ten thousand times a second.
 */
import { HART_CODE_TAG, HART_JUMP_CACHE, HART_JUMPS_NOTED, VA_BITS } from "../base/hart-abi.ts";
import { type Expr, i32, load } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function-builder.ts";
import { LOAD, STORE } from "./wasm/opcodes.ts";

const INDEX_BITS = 13;
const ENTRY_BYTES = 16;
const SET_BYTES: number = 2 * ENTRY_BYTES;
const SETS_BYTES: number = (1 << INDEX_BITS) * SET_BYTES;
const COUNT_BITS = 14;
/** Where the counts and the jumps noted begin. */
const COUNTS_AT: number = SETS_BYTES;
const JUMPS_AT: number = COUNTS_AT + (1 << COUNT_BITS) * 4;

/** The last indirect jumps of tier 0 that were not returns: pc and target, 8 bytes each. */
const JUMPS_NOTED = 256;
const JUMP_BYTES = 16;
/** Bytes of a hart's jump cache with the jumps behind it. */
export const JUMP_CACHE_BYTES: number = JUMPS_AT + JUMPS_NOTED * JUMP_BYTES;

/** Notes an indirect jump, so that a region can have its targets as blocks. */
export function emitNote(f: FunctionBuilder, hart: Expr, pc: Expr, target: Expr): void {
  const count = f.let(load(LOAD.i32, hart, HART_JUMPS_NOTED));
  f.store(STORE.i32, hart, count.add(1), HART_JUMPS_NOTED);
  const at = f.let(load(LOAD.i32, hart, HART_JUMP_CACHE).add(count.and(JUMPS_NOTED - 1).shl(4)));
  f.store(STORE.i64, at, pc, JUMPS_AT);
  f.store(STORE.i64, at, target, JUMPS_AT + 8);
}

/** Whether a transfer to `pc`, of whatever address space, has been seen in the cache at pa `cache`. */
export function hasSeen(words: Int32Array, cache: number, pc: number): boolean {
  const count = words[countOf(cache, pc)]!;
  if (count !== 0 && (count ^ countTag(pc)) >>> 16 === 0) return true;
  const high = Math.floor(pc / 2 ** 32);
  for (let at = setOf(cache, pc), i = 0; i < 2; i++, at += ENTRY_BYTES / 4) {
    const isIt = words[at] === ((pc % 2 ** 32) | 0);
    if (isIt && (words[at + 1]! & ((1 << TAG_SHIFT_HIGH) - 1)) === high) return true;
  }
  return false;
}

/** The indirect jumps noted in the cache at pa `cache`, the targets of each. */
export function notedJumps(words: Int32Array, cache: number): Map<number, Set<number>> {
  const found = new Map<number, Set<number>>();
  const value = (at: number): number => words[at + 1]! * 2 ** 32 + (words[at]! >>> 0);
  for (let i = 0; i < JUMPS_NOTED; i++) {
    const at = (cache + JUMPS_AT + i * JUMP_BYTES) >>> 2;
    const pc = value(at);
    if (pc === 0) continue;
    const targets = found.get(pc);
    if (targets === undefined) found.set(pc, new Set([value(at + 2)]));
    else targets.add(value(at + 2));
  }
  return found;
}
export const ENTRY = { tag: 0, element: 8, entry: 12 } as const;
/** The lowest bit of the code tag in the upper word of a tag. */
export const TAG_SHIFT_HIGH: number = VA_BITS - 32;
/** Code tags: 1 to this. */
export const CODE_TAG_MAX: number = (1 << (63 - VA_BITS)) - 1;

/** Transfers to a target before JavaScript is asked whether there is a region for it. */
export const FIRST_COUNT = 8;

/** Greatest count of transfers left. */
export const COUNT_MAX = 0xffff;

const lowHalf = (pc: number): number => (pc % 2 ** 32) >>> 1;

/** Byte offset of the set for `pc` in the cache. */
export function setOffset(pc: number): number {
  const low = lowHalf(pc);
  return ((low ^ (low >>> INDEX_BITS)) & ((1 << INDEX_BITS) - 1)) * SET_BYTES;
}
/** Its word in guest memory, for the cache at pa `cache`. */
function setOf(cache: number, pc: number): number {
  return (cache + setOffset(pc)) >>> 2;
}
/** The word of the count for `pc`. */
function countOf(cache: number, pc: number): number {
  const low = lowHalf(pc);
  return ((cache + COUNTS_AT) >>> 2) + ((low ^ (low >>> COUNT_BITS)) & ((1 << COUNT_BITS) - 1));
}
const countTag = (pc: number): number => (lowHalf(pc) << 2) & ~COUNT_MAX;

/** Sets how many transfers are left until `hot` is called for `pc`, at most COUNT_MAX; 0: as many as at first. */
export function setCount(words: Int32Array, cache: number, pc: number, left: number): void {
  words[countOf(cache, pc)] = countTag(pc) | left;
}

/**
 * Puts a region into the cache. `tagHigh` is the upper word of the hart's code tag. What was the first of its set
 * becomes the second if it is valid.
 */
export function fillEntry(
  words: Int32Array,
  cache: number,
  pc: number,
  tagHigh: number,
  region: { readonly element: number; readonly entry: number },
): void {
  const at = setOf(cache, pc);
  const tag = Math.floor(pc / 2 ** 32) | tagHigh;
  const low = (pc % 2 ** 32) | 0;
  const isOther = words[at] !== low || words[at + 1] !== tag;
  if (isOther && words[at + 1]! >>> TAG_SHIFT_HIGH === tagHigh >>> TAG_SHIFT_HIGH)
    words.copyWithin(at + ENTRY_BYTES / 4, at, at + ENTRY_BYTES / 4);
  words[at] = low;
  words[at + 1] = tag;
  words[at + 2] = region.element;
  words[at + 3] = region.entry;
}

/** The pa of the first entry of the set for `pc`, a local (i64). */
export function jumpCacheEntry(hart: Expr, pc: Expr): Expr {
  const low = (): Expr => pc.wrap();
  const hash = low()
    .shl(4)
    .xor(
      low()
        .shrU(INDEX_BITS + 1)
        .shl(5),
    )
    .and(((1 << INDEX_BITS) - 1) * SET_BYTES);
  return load(LOAD.i32, hart, HART_JUMP_CACHE).add(hash);
}

/** The same for a pc that is known. */
export function jumpCacheEntryOf(hart: Expr, pc: number): Expr {
  return load(LOAD.i32, hart, HART_JUMP_CACHE).add(setOffset(pc));
}

/** i32: `pc` may be looked up. */
export function isCacheable(pc: Expr): Expr {
  return pc.shrU(VA_BITS).eqz();
}

/** The tag of a valid entry for `pc`. */
export function tagOf(hart: Expr, pc: Expr): Expr {
  return load(LOAD.i64, hart, HART_CODE_TAG).or(pc);
}

/**
 * Looks `pc` (a local, i64) up: runs `found` with the pa of its entry if there is a region; otherwise counts,
 * and runs `hot` if it is time to ask JavaScript.
 */
export function emitLookUp(
  f: FunctionBuilder,
  { hart, pc, firstCount }: { hart: Expr; pc: Expr; firstCount: number },
  found: (entry: Expr) => void,
  hot: () => void,
): void {
  f.if(isCacheable(pc), () => {
    const tag = f.let(tagOf(hart, pc));
    const entry = f.let(jumpCacheEntry(hart, pc));
    const isSecond = load(LOAD.i64, entry, ENTRY.tag).ne(tag);
    f.set(entry, entry.add(isSecond.shl(Math.log2(ENTRY_BYTES))));
    f.if(load(LOAD.i64, entry, ENTRY.tag).eq(tag), () => found(entry));
    const low = f.let(pc.wrap().shl(1));
    const hash = low.xor(low.shrU(COUNT_BITS + 2).shl(2));
    const at = f.let(load(LOAD.i32, hart, HART_JUMP_CACHE).add(hash.and(((1 << COUNT_BITS) - 1) * 4)));
    const known = f.let(load(LOAD.i32, at, COUNTS_AT));
    const left = f.let(known.and(COUNT_MAX));
    // Where everything is to have a region at once, in tests, each target is asked about.
    const isNew = firstCount === 0 ? known.xor(low).and(~COUNT_MAX).or(left.eqz()) : left.eqz();
    const count = f.let(isNew.select(i32(Math.max(0, firstCount - 1)), left.sub(1)));
    f.store(STORE.i32, at, low.and(~COUNT_MAX).or(count), COUNTS_AT);
    f.if(count.eqz(), hot, undefined, "unlikely");
  });
}
