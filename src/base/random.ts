/**
 * Seeded random numbers (xoshiro128**, Blackman and Vigna), the only source of chance in simulations,
 * campaigns and tests, so that every run can be played again from its seed.
 */

export interface Random {
  /** An integer from 0 to 2^32 − 1. */
  u32(): number;
  /** An integer from 0 to `bound` − 1. `bound` is from 1 to 2^32. */
  below(bound: number): number;
  /** A number from 0 (included) to 1 (excluded). */
  unit(): number;
}

/** A generator whose whole sequence follows from `seed` (any integer). */
export function seededRandom(seed: number): Random {
  // SplitMix32 spreads the seed over the four state words.
  let mix = seed | 0;
  const next = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) | 0;
  };
  let a = next();
  let b = next();
  let c = next();
  let d = next() | 1;
  const u32 = (): number => {
    const scrambled = Math.imul(b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  return {
    u32,
    below: (bound) => Math.floor((u32() / 0x1_0000_0000) * bound),
    unit: () => u32() / 0x1_0000_0000,
  };
}
