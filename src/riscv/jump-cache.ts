/**
 * The jump cache: what a hart knows of the targets of control transfers, in guest memory. Dispatcher, tier 0
 * and regions look targets up in it; JavaScript fills it in (translator.ts).
 *
 * ## Entry: 16 bytes, at the place that a hash of the pc gives
 *
 *     +0   tag      pc in bits 37..0, the hart's code tag in bits 62..38, COUNTING in bit 63
 *     +8   element  of the function table; of a COUNTING entry: transfers left until `hot` is called
 *     +12  entry    of the region at which to begin; of a COUNTING entry: how often `hot` has been called
 *
 * Invariants
 *   1. A tag that equals pc | HART_CODE_TAG says: a region that begins at pc, of code that has been compared
 *      with what is mapped since the hart has had this tag, is at `element` of this hart's table.
 *   2. A code tag is used again for the same address space only as long as no mapping of code has been taken
 *      away from it and no fence has been executed in it. So entries need not be cleared.
 *   3. A pc from 2^38 on is never looked up: its upper bits would run into the tag's.
 *
 * No other hart touches a hart's jump cache.
 */
import { HART_CODE_TAG, HART_JUMP_CACHE, HART_JUMPS_NOTED, VA_BITS } from "../base/hart-abi.ts";
import { type Expr, i32, i64, load } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function-builder.ts";
import { LOAD, STORE } from "./wasm/opcodes.ts";

const INDEX_BITS = 13;
const ENTRY_BYTES = 16;
const ENTRIES_BYTES: number = (1 << INDEX_BITS) * ENTRY_BYTES;

/** The last indirect jumps of tier 0 that were not returns: pc and target, 8 bytes each. */
const JUMPS_NOTED = 256;
const JUMP_BYTES = 16;
/** Bytes of a hart's jump cache with the jumps behind it. */
export const JUMP_CACHE_BYTES: number = ENTRIES_BYTES + JUMPS_NOTED * JUMP_BYTES;

/** Notes an indirect jump, so that a region can have its targets as blocks. */
export function emitNote(f: FunctionBuilder, hart: Expr, pc: Expr, target: Expr): void {
  const count = f.let(load(LOAD.i32, hart, HART_JUMPS_NOTED));
  f.store(STORE.i32, hart, count.add(1), HART_JUMPS_NOTED);
  const at = f.let(load(LOAD.i32, hart, HART_JUMP_CACHE).add(count.and(JUMPS_NOTED - 1).shl(4)));
  f.store(STORE.i64, at, pc, ENTRIES_BYTES);
  f.store(STORE.i64, at, target, ENTRIES_BYTES + 8);
}

/** Whether the cache at pa `cache` has an entry for `pc`, of whatever address space. */
export function hasEntry(words: Int32Array, cache: number, pc: number): boolean {
  const at = (cache + jumpCacheOffset(pc)) >>> 2;
  const high = words[at + 1]! & ((1 << TAG_SHIFT_HIGH) - 1);
  return words[at] === ((pc % 2 ** 32) | 0) && high === Math.floor(pc / 2 ** 32);
}

/** The indirect jumps noted in the cache at pa `cache`, the targets of each. */
export function notedJumps(words: Int32Array, cache: number): Map<number, Set<number>> {
  const found = new Map<number, Set<number>>();
  const value = (at: number): number => words[at + 1]! * 2 ** 32 + (words[at]! >>> 0);
  for (let i = 0; i < JUMPS_NOTED; i++) {
    const at = (cache + ENTRIES_BYTES + i * JUMP_BYTES) >>> 2;
    const pc = value(at);
    if (pc === 0) continue;
    const targets = found.get(pc);
    if (targets === undefined) found.set(pc, new Set([value(at + 2)]));
    else targets.add(value(at + 2));
  }
  return found;
}
export const ENTRY = { tag: 0, element: 8, entry: 12, count: 8, calls: 12 } as const;
/** Bit 63 of a tag. */
const COUNTING: bigint = -(1n << 63n);
/** In the upper word of a tag, for JavaScript. */
export const COUNTING_HIGH: number = -(2 ** 31);
/** The lowest bit of the code tag in the upper word of a tag. */
export const TAG_SHIFT_HIGH: number = VA_BITS - 32;
/** Code tags: 1 to this. */
export const CODE_TAG_MAX: number = (1 << (63 - VA_BITS)) - 1;

/** Transfers to a target before JavaScript is asked whether there is a region for it. */
export const FIRST_COUNT = 8;

/** Byte offset of the entry for `pc` in the cache. */
export function jumpCacheOffset(pc: number): number {
  const low = (pc % 2 ** 32) >>> 1;
  return ((low ^ (low >>> INDEX_BITS)) & ((1 << INDEX_BITS) - 1)) * ENTRY_BYTES;
}

/** The pa of the entry for `pc`, a local (i64). */
export function jumpCacheEntry(hart: Expr, pc: Expr): Expr {
  const low = (): Expr => pc.wrap();
  const hash = low()
    .shl(3)
    .xor(
      low()
        .shrU(INDEX_BITS + 1)
        .shl(4),
    )
    .and(((1 << INDEX_BITS) - 1) * ENTRY_BYTES);
  return load(LOAD.i32, hart, HART_JUMP_CACHE).add(hash);
}

/** The same for a pc that is known. */
export function jumpCacheEntryOf(hart: Expr, pc: number): Expr {
  return load(LOAD.i32, hart, HART_JUMP_CACHE).add(jumpCacheOffset(pc));
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
    const entry = f.let(jumpCacheEntry(hart, pc));
    const known = f.let(load(LOAD.i64, entry, ENTRY.tag));
    const tag = f.let(tagOf(hart, pc));
    f.if(known.eq(tag), () => found(entry));
    f.if(
      known.eq(tag.or(i64(COUNTING))),
      () => {
        const count = f.let(load(LOAD.i32, entry, ENTRY.count).sub(1));
        f.store(STORE.i32, entry, count, ENTRY.count);
        f.if(count.eqz(), hot, undefined, "unlikely");
      },
      () => {
        f.store(STORE.i64, entry, tag.or(i64(COUNTING)), ENTRY.tag);
        f.store(STORE.i32, entry, i32(firstCount), ENTRY.count);
        f.store(STORE.i32, entry, i32(0), ENTRY.calls);
        if (firstCount === 0) hot();
      },
    );
  });
}
