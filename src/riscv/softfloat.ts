/**
 * Exact floating point, emitted as WebAssembly functions on integers: the parts that all operations share.
 *
 * A finite number that is not 0 is opened into a sign, an exponent and a significand with its leading one in
 * bit 63:
 *
 *     value = (−1)^sign × significand / 2^63 × 2^exponent
 *
 * Both formats open into the same form, so that each operation is written once. An operation computes at
 * least p + 2 bits of its result and ORs whatever lies below into the lowest bit ("jam"), and `round` closes
 * the result: it is the one place that rounds, overflows, underflows and raises NX, UF and OF.
 *
 * RISC-V's choices (unprivileged specification, 20.2 to 20.3): results that are NaN are the canonical NaN;
 * tininess is detected after rounding; flags only accrue.
 */
import { REG_FFLAGS } from "../base/hart-abi.ts";
import type { CallByName, HelperDefinition } from "./helpers.ts";
import { constant, type Expr, i32, i64, load } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function-builder.ts";
import { F32, F64, I32, I64, LOAD, STORE } from "./wasm/opcodes.ts";

/** Accrued exception flags. Unprivileged specification, table 27. */
export const FLAG = { NX: 1, UF: 2, OF: 4, DZ: 8, NV: 16 } as const;
/** Rounding modes. Table 26. */
export const ROUND = { RNE: 0, RTZ: 1, RDN: 2, RUP: 3, RMM: 4 } as const;

const CANONICAL_NAN_32 = 0x7fc00000;
const BOX = 0xffffffff_00000000n;

/** A single as an f register holds it. */
export const boxed = (value: Expr): Expr => value.extendU().or(i64(BOX));

/** The single in the bits of an f register. */
export function unboxed(f: FunctionBuilder, bits: Expr): Expr {
  const held = f.let(bits);
  return held.shrS(32).eq(-1).select(held.wrap(), i32(CANONICAL_NAN_32));
}

/** An IEEE 754 binary format. */
export interface Binary {
  readonly name: "f32" | "f64";
  /** The type that holds the bits, and the type that computes. */
  readonly bits: typeof I32 | typeof I64;
  readonly float: typeof F32 | typeof F64;
  /** Bits of the significand with its hidden one. */
  readonly precision: 24 | 53;
  readonly bias: 127 | 1023;
  /** The exponent field of infinities and NaNs. */
  readonly top: 255 | 2047;
}

export const BINARY32: Binary = {
  name: "f32",
  bits: I32,
  float: F32,
  precision: 24,
  bias: 127,
  top: 255,
};
export const BINARY64: Binary = {
  name: "f64",
  bits: I64,
  float: F64,
  precision: 53,
  bias: 1023,
  top: 2047,
};
export const BINARIES: readonly Binary[] = [BINARY32, BINARY64];

/** A constant of `binary`'s bit type. */
export function bitsOf(binary: Binary, value: bigint): Expr {
  return constant(binary.bits, binary.bits === I32 ? Number(BigInt.asIntN(32, value)) : value);
}
const shiftFraction = (binary: Binary, value: number): bigint =>
  BigInt(value) << BigInt(binary.precision - 1);
const width = (binary: Binary): number => (binary.bits === I32 ? 32 : 64);

export const infinity = (binary: Binary): Expr => bitsOf(binary, shiftFraction(binary, binary.top));
/** The canonical NaN: positive, quiet, no payload. */
export const canonicalNan = (binary: Binary): Expr =>
  bitsOf(binary, shiftFraction(binary, binary.top) | (1n << BigInt(binary.precision - 2)));
const signBit = (binary: Binary): bigint => 1n << BigInt(width(binary) - 1);
export const negate = (binary: Binary, x: Expr): Expr => x.xor(bitsOf(binary, signBit(binary)));
/** `x` without its sign. */
export const magnitude = (binary: Binary, x: Expr): Expr => x.and(bitsOf(binary, signBit(binary) - 1n));
/** The sign of `x` as i32 0 or 1. */
export function signOf(binary: Binary, x: Expr): Expr {
  const sign = x.shrU(width(binary) - 1);
  return binary.bits === I32 ? sign : sign.wrap();
}
/** `sign` (i32, 0 or 1) at its place. */
export function atSign(binary: Binary, sign: Expr): Expr {
  return binary.bits === I32 ? sign.shl(31) : sign.extendU().shl(63);
}
/** +0 or −0, which an exact sum of 0 of different signs is: −0 only when rounding down. */
export function cancelledZero(binary: Binary, rm: Expr): Expr {
  return atSign(binary, rm.eq(ROUND.RDN));
}
export const asFloat = (binary: Binary, x: Expr): Expr => (binary.bits === I32 ? x.asF32() : x.asF64());
export const asBits = (binary: Binary, x: Expr): Expr => (binary.bits === I32 ? x.asI32() : x.asI64());
const widened = (binary: Binary, x: Expr): Expr => (binary.bits === I32 ? x.extendU() : x);

export function isNan(binary: Binary, x: Expr): Expr {
  return magnitude(binary, x).gtU(infinity(binary));
}
/** A NaN with its quiet bit clear. */
export function isSignaling(binary: Binary, x: Expr): Expr {
  const quiet = bitsOf(binary, 1n << BigInt(binary.precision - 2));
  return isNan(binary, x).and(x.and(quiet).eqz());
}

/** Accrues `flags`. */
export function raise(f: FunctionBuilder, regs: Expr, flags: number): void {
  f.store(STORE.i32, regs, load(LOAD.i32, regs, REG_FFLAGS).or(flags), REG_FFLAGS);
}

/**
 * i32, not 0 if the engine's own operation, which rounds to nearest even and tells no flags, is right when
 * its result is ordinary: nearest even is wanted and NX has accrued.
 */
export function nativeSuffices(regs: Expr, rm: Expr): Expr {
  return rm.eqz().and(load(LOAD.i32, regs, REG_FFLAGS));
}

/**
 * i32: `x` is neither NaN, infinite, 0, subnormal, nor the least normal power of two (to which a tiny value
 * may have been rounded, with UF).
 */
export function isOrdinary(binary: Binary, x: Expr): Expr {
  const exponent = x.shrU(binary.precision - 1).and(bitsOf(binary, BigInt(binary.top)));
  return exponent.sub(bitsOf(binary, 2n)).ltU(bitsOf(binary, BigInt(binary.top - 2)));
}

/** A finite number opened. */
export interface Opened {
  readonly sign: Expr;
  readonly exponent: Expr;
  /** i64; 0 if the number is 0. */
  readonly significand: Expr;
}

export function open(f: FunctionBuilder, binary: Binary, x: Expr): Opened {
  const { precision, bias } = binary;
  const fractionBits = precision - 1;
  const wide = f.let(widened(binary, magnitude(binary, x)));
  const field = f.let(wide.shrU(fractionBits).wrap());
  const fraction = f.let(wide.and((1n << BigInt(fractionBits)) - 1n));
  const exponent = f.local(I32);
  const significand = f.local(I64);
  f.if(
    field,
    () => {
      f.set(exponent, field.sub(bias));
      f.set(significand, fraction.or(1n << BigInt(fractionBits)).shl(64 - precision));
    },
    () => {
      // fraction × 2^(1 − bias − fractionBits), normalised.
      f.set(exponent, i32(63 + 1 - bias - fractionBits).sub(fraction.clz().wrap()));
      f.set(significand, fraction.shl(fraction.clz()));
    },
  );
  return { sign: f.let(signOf(binary, x)), exponent, significand };
}

/** `value` shifted right by `count` (i32, 0 or more), with what falls out jammed. */
export function shiftRightJam(f: FunctionBuilder, value: Expr, count: Expr): void {
  f.if(count, () => {
    f.set(
      value,
      count
        .ltU(64)
        .choose(
          value.shrU(count.extendU()).or(value.shl(i32(64).sub(count).extendU()).ne(0).extendU()),
          value.ne(0).extendU(),
        ),
    );
  });
}

/** Puts the leading one of `significand`, which is not 0, into bit 63. */
export function normalize(f: FunctionBuilder, exponent: Expr, significand: Expr): void {
  f.set(exponent, exponent.sub(significand.clz().wrap()));
  f.set(significand, significand.shl(significand.clz()));
}

/** (regs, rm, sign, exponent, significand) → bits. The significand has its leading one in bit 63. */
function roundHelper(binary: Binary): HelperDefinition {
  const { precision, bias, top } = binary;
  // The significand moves to bit 62, so that an increment cannot carry out of 64 bits.
  const dropped = 63 - precision;
  const below = (1n << BigInt(dropped)) - 1n;
  const half = 1n << BigInt(dropped - 1);
  return {
    name: `${binary.name}_round`,
    signature: { parameters: [I32, I32, I32, I32, I64], result: binary.bits },
    body: (f) => {
      const [regs, rm, sign, exponent, significand] = f.parameters as [Expr, Expr, Expr, Expr, Expr];
      const field = f.let(exponent.add(bias));
      const value = f.let(significand.shrU(1).or(significand.and(1)));
      // What is added before the low bits are cut off; 0 rounds towards zero.
      const away = (isAway: Expr): Expr => isAway.select(i64(below), i64(0));
      const increment = f.let(i64(half));
      f.if(rm.eq(ROUND.RTZ), () => f.set(increment, i64(0)));
      f.if(rm.eq(ROUND.RDN), () => f.set(increment, away(sign)));
      f.if(rm.eq(ROUND.RUP), () => f.set(increment, away(sign.eqz())));
      const tiny = f.let(i32(0));
      f.if(field.le(0), () => {
        // Tiny after rounding: with an unbounded exponent it would still be below the least normal number.
        f.set(tiny, field.lt(0).or(value.add(increment).ge(0)));
        shiftRightJam(f, value, f.let(i32(1).sub(field)));
        f.set(field, i32(1));
      });
      const rest = f.let(value.and(below));
      f.set(value, value.add(increment).shrU(dropped));
      f.if(rm.eq(ROUND.RNE).and(rest.eq(half)), () => f.set(value, value.and(-2)));
      f.if(rest.ne(0), () => {
        raise(f, regs, FLAG.NX);
        f.if(tiny, () => raise(f, regs, FLAG.UF));
      });
      // The hidden one adds 1 to the field; a carry out of the significand adds 1 more, as it should.
      f.set(
        value,
        value.add(
          field
            .sub(1)
            .extendU()
            .shl(precision - 1),
        ),
      );
      const infinite = shiftFraction(binary, top);
      f.if(value.geU(infinite), () => {
        raise(f, regs, FLAG.OF | FLAG.NX);
        f.set(value, increment.eqz().select(i64(infinite - 1n), i64(infinite)));
      });
      const bits = binary.bits === I32 ? value.wrap() : value;
      f.return(bits.or(atSign(binary, sign)));
    },
  };
}

/** (regs, a, b) → the canonical NaN, for operands of which one is NaN: NV if one is signaling. */
function nanHelper(binary: Binary): HelperDefinition {
  return {
    name: `${binary.name}_nan`,
    signature: { parameters: [I32, binary.bits, binary.bits], result: binary.bits },
    body: (f) => {
      const [regs, a, b] = f.parameters as [Expr, Expr, Expr];
      f.if(isSignaling(binary, a).or(isSignaling(binary, b)), () => raise(f, regs, FLAG.NV));
      f.return(canonicalNan(binary));
    },
  };
}

/** Returns the canonical NaN and raises NV. */
export function returnInvalid(f: FunctionBuilder, binary: Binary, regs: Expr): void {
  raise(f, regs, FLAG.NV);
  f.return(canonicalNan(binary));
}

/** Closes a result. */
export function returnRounded(
  f: FunctionBuilder,
  call: CallByName,
  binary: Binary,
  regs: Expr,
  rm: Expr,
  { sign, exponent, significand }: Opened,
): void {
  f.return(call(`${binary.name}_round`, regs, rm, sign, exponent, significand));
}

export const ROUNDING_HELPERS: readonly HelperDefinition[] = BINARIES.flatMap((binary) => [
  roundHelper(binary),
  nanHelper(binary),
]);
