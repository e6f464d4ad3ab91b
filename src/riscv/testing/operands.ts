/** Operands for the differential tests: every pair of edge values, then random ones near each other. */
import type { Random } from "../../base/random.ts";

export function random64(random: Random): bigint {
  return (BigInt(random.u32()) << 32n) | BigInt(random.u32());
}

function pick<T>(random: Random, values: readonly T[]): T {
  const found = values[random.below(values.length)];
  if (found === undefined) throw new RangeError("nothing to pick from");
  return found;
}

const INTEGER_EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  7n,
  31n,
  32n,
  63n,
  64n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0x8000000000000001n,
  0xffffffff80000000n,
  0xffffffff7fffffffn,
  0xfffffffffffffffen,
  0xffffffffffffffffn,
  0x123456789abcdef0n,
  0x0020000000000001n,
  0x003fffffffffffffn,
];

const DOUBLE_EDGES: readonly bigint[] = [
  0x0000000000000000n, // 0
  0x0000000000000001n, // least subnormal
  0x0000000000000003n,
  0x0008000000000000n,
  0x000fffffffffffffn, // greatest subnormal
  0x0010000000000000n, // least normal
  0x0010000000000001n,
  0x001fffffffffffffn,
  0x36a0000000000000n, // least subnormal single
  0x3690000000000000n, // half of it
  0x3690000000000001n,
  0x380fffffe0000000n, // near the least normal single
  0x380ffffff0000000n,
  0x3810000000000000n,
  0x3ca0000000000000n, // 2^-53
  0x3fe0000000000000n, // 0.5
  0x3fdfffffffffffffn,
  0x3feccccccccccccdn, // 0.9
  0x3fefffffffffffffn,
  0x3ff0000000000000n, // 1
  0x3ff0000000000001n,
  0x3ff8000000000000n, // 1.5
  0x4000000000000000n, // 2
  0x4004000000000000n, // 2.5
  0x4008000000000000n, // 3
  0x41dfffffff800000n, // 2^31 - 0.5
  0x41dfffffffc00000n, // 2^31 - 1
  0x41e0000000000000n, // 2^31
  0x41efffffffe00000n, // 2^32 - 1
  0x41effffffff00000n, // 2^32 - 0.5
  0x41f0000000000000n, // 2^32
  0x433fffffffffffffn, // 2^53 - 1
  0x4340000000000000n, // 2^53
  0x43dfffffffffffffn, // below 2^63
  0x43e0000000000000n, // 2^63
  0x43efffffffffffffn,
  0x43f0000000000000n, // 2^64
  0x47efffffe0000000n, // greatest single
  0x47effffff0000000n, // half an ulp above it
  0x7fe0000000000000n,
  0x7fefffffffffffffn, // greatest
  0x7ff0000000000000n, // infinity
  0x7ff0000000000001n, // signaling NaN
  0x7ff7ffffffffffffn,
  0x7ff8000000000000n, // canonical NaN
  0x7ff8dead0000beefn, // quiet with a payload
];

const SINGLE_EDGES: readonly bigint[] = [
  0x00000000n,
  0x00000001n,
  0x00000003n,
  0x00400000n,
  0x007fffffn,
  0x00800000n,
  0x00800001n,
  0x00ffffffn,
  0x33800000n, // 2^-24
  0x3f000000n,
  0x3effffffn,
  0x3f666666n,
  0x3f7fffffn,
  0x3f800000n,
  0x3f800001n,
  0x3fc00000n,
  0x40000000n,
  0x40200000n,
  0x40400000n,
  0x4b7fffffn, // 2^24 - 1
  0x4b800000n,
  0x4effffffn, // below 2^31
  0x4f000000n,
  0x4f7fffffn,
  0x4f800000n, // 2^32
  0x5effffffn,
  0x5f000000n, // 2^63
  0x5f7fffffn,
  0x5f800000n,
  0x7f000000n,
  0x7f7fffffn,
  0x7f800000n,
  0x7f800001n,
  0x7fbfffffn,
  0x7fc00000n,
  0x7fc0beefn,
];

interface Kind {
  readonly edges: readonly bigint[];
  readonly sign: bigint;
  readonly fractionBits: number;
  readonly exponents: number;
  readonly finish: (value: bigint, random: Random) => bigint;
}

/** Tuples of `size`: all pairs of edges (for pairs), a choice of edges (for triples), then random values. */
function tuples(kind: Kind, random: Random, size: number, count?: number): bigint[] {
  const signed = [...kind.edges, ...kind.edges.map((value) => value | kind.sign)];
  const values: bigint[] = [];
  const put = (value: bigint): void => void values.push(kind.finish(value, random));
  if (count === undefined) {
    if (size === 1) signed.forEach(put);
    else if (size === 2) {
      for (const a of signed) {
        for (const b of kind.edges) {
          put(a);
          put(random.below(2) === 0 ? b : b | kind.sign);
        }
      }
    } else {
      for (let i = 0; i < 3000 * size; i++) put(pick(random, signed));
    }
  }
  const fraction = BigInt(kind.fractionBits);
  const randomCount = count ?? (size === 1 ? 1000 : 2500);
  for (let i = 0; i < randomCount; i++) {
    // Exponents near each other, so that sums cancel and round; products of about the addend's size.
    const middle = random.below(kind.exponents - 1);
    const near = random.below(4) !== 0;
    for (let n = 0; n < size; n++) {
      const spread = near
        ? middle + random.below(2 * kind.fractionBits) - kind.fractionBits
        : random.below(kind.exponents);
      const half = size === 3 && n < 2 ? (spread + ((kind.exponents + 1) >> 1)) >> 1 : spread;
      const exponent = BigInt(Math.max(0, Math.min(kind.exponents - 1, half)));
      let bits = random64(random) & ((1n << fraction) - 1n);
      if (random.below(3) === 0) bits &= -1n << BigInt(random.below(kind.fractionBits));
      if (random.below(8) === 0) bits |= (1n << BigInt(random.below(kind.fractionBits))) - 1n;
      put((exponent << fraction) | bits | (random.below(2) === 0 ? kind.sign : 0n));
    }
  }
  return values;
}

const DOUBLE: Kind = {
  edges: DOUBLE_EDGES,
  sign: 1n << 63n,
  fractionBits: 52,
  exponents: 2047,
  finish: (value) => value,
};

/** Boxed, all but one in sixty. */
const SINGLE: Kind = {
  edges: SINGLE_EDGES,
  sign: 1n << 31n,
  fractionBits: 23,
  exponents: 255,
  finish: (value, random) =>
    random.below(60) === 0 ? value | (random64(random) & ~0xffffffffn) : value | 0xffffffff00000000n,
};

/** Tuples of `size` doubles, one after another; `count` random ones alone, if it is given. */
export function doubleOperands(random: Random, size: number, count?: number): bigint[] {
  return tuples(DOUBLE, random, size, count);
}

export function singleOperands(random: Random, size: number, count?: number): bigint[] {
  return tuples(SINGLE, random, size, count);
}

export function integerOperands(random: Random, size: number, count?: number): bigint[] {
  const values: bigint[] = [];
  if (count === undefined) {
    if (size === 1) values.push(...INTEGER_EDGES);
    else for (const a of INTEGER_EDGES) for (const b of INTEGER_EDGES) values.push(a, b);
  }
  for (let i = 0; i < (count ?? 300) * size; i++) {
    const value = random64(random) >> BigInt(random.below(64));
    values.push(random.below(2) === 0 ? value : BigInt.asUintN(64, -value));
  }
  return values;
}
