/**
 * Addition, multiplication, division, square root and fused multiply-add, for both formats (softfloat.ts).
 *
 * Each begins with what the engine's own operation can answer: if rounding is to nearest even and NX has
 * accrued, an ordinary result is right and tells nothing new; and a result that is shown to be exact is
 * right in every mode. The rest is done on integers.
 */
import type { CallByName, HelperDefinition } from "./helpers.ts";
import {
  asBits,
  asFloat,
  atSign,
  BINARIES,
  type Binary,
  bitsOf,
  cancelledZero,
  FLAG,
  infinity,
  isNan,
  isOrdinary,
  isSignaling,
  magnitude,
  nativeSuffices,
  negate,
  normalize,
  open,
  type Opened,
  raise,
  returnInvalid,
  returnRounded,
  shiftRightJam,
  signOf,
} from "./softfloat.ts";
import { type Expr, i32, i64 } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function-builder.ts";
import { I32 } from "./wasm/opcodes.ts";

/** A body of (regs, rm, a, b). */
interface Operands {
  readonly f: FunctionBuilder;
  readonly call: CallByName;
  readonly binary: Binary;
  readonly regs: Expr;
  readonly rm: Expr;
  readonly a: Expr;
  readonly b: Expr;
}

function helper(binary: Binary, name: string, body: (operands: Operands) => void): HelperDefinition {
  return {
    name: `${binary.name}_${name}`,
    signature: { parameters: [I32, I32, binary.bits, binary.bits], result: binary.bits },
    body: (f, call) => {
      const [regs, rm, a, b] = f.parameters as [Expr, Expr, Expr, Expr];
      body({ f, call, binary, regs, rm, a, b });
    },
  };
}

/** Returns the native `result` (bits) if it is right by {@link nativeSuffices}. */
function returnOrdinary({ f, binary, regs, rm }: Operands, result: Expr): void {
  f.if(nativeSuffices(regs, rm).and(isOrdinary(binary, result)), () => f.return(result));
}

/** i32: both have so few significant bits that their product is exact, if it is ordinary. */
function shortOperands({ binary }: Operands, a: Expr, b: Expr): Expr {
  const low = binary.precision === 53 ? (1n << 27n) - 1n : (1n << 12n) - 1n;
  return a.or(b).and(bitsOf(binary, low)).eqz();
}

function returnNan({ f, call, binary, regs, a, b }: Operands): void {
  f.if(isNan(binary, a).or(isNan(binary, b)), () => f.return(call(`${binary.name}_nan`, regs, a, b)));
}

function swap(f: FunctionBuilder, x: Expr, y: Expr): void {
  const held = f.let(x);
  f.set(x, y);
  f.set(y, held);
}

function add(operands: Operands): void {
  const { f, call, binary, regs, rm, a, b } = operands;
  const result = f.let(asBits(binary, asFloat(binary, a).add(asFloat(binary, b))));
  returnOrdinary(operands, result);
  // Knuth's two-sum: the error of a sum is a number of the format, so a sum with error 0 is exact.
  const x = f.let(asFloat(binary, a));
  const y = f.let(asFloat(binary, b));
  const sum = f.let(asFloat(binary, result));
  const yPart = f.let(sum.sub(x));
  const error = x.sub(sum.sub(yPart)).add(y.sub(yPart));
  f.if(asBits(binary, error).eqz().and(magnitude(binary, result).eqz().eqz()), () => f.return(result));
  f.return(call(`${binary.name}_add_exact`, regs, rm, a, b));
}

function addExact(operands: Operands): void {
  const { f, call, binary, regs, rm, a, b } = operands;
  returnNan(operands);
  const infinite = (x: Expr): Expr => magnitude(binary, x).eq(infinity(binary));
  f.if(infinite(a), () => {
    f.if(a.eq(negate(binary, b)), () => returnInvalid(f, binary, regs));
    f.return(a);
  });
  f.if(infinite(b), () => f.return(b));
  f.if(magnitude(binary, a).eqz(), () => {
    f.if(magnitude(binary, b).eqz(), () => f.return(a.eq(b).choose(a, cancelledZero(binary, rm))));
    f.return(b);
  });
  f.if(magnitude(binary, b).eqz(), () => f.return(a));

  f.if(magnitude(binary, a).ltU(magnitude(binary, b)), () => swap(f, a, b));
  const x = open(f, binary, a);
  const y = open(f, binary, b);
  // One bit of room for the carry. The lowest bits are 0, as a significand has at most 53.
  const sum = f.let(x.significand.shrU(1));
  const other = f.let(y.significand.shrU(1));
  shiftRightJam(f, other, f.let(x.exponent.sub(y.exponent)));
  f.if(
    x.sign.eq(y.sign),
    () => f.set(sum, sum.add(other)),
    () => {
      f.set(sum, sum.sub(other));
      f.if(sum.eqz(), () => f.return(cancelledZero(binary, rm)));
    },
  );
  const exponent = f.let(x.exponent.add(1));
  normalize(f, exponent, sum);
  returnRounded(f, call, binary, regs, rm, { sign: x.sign, exponent, significand: sum });
}

function multiply(operands: Operands): void {
  const { f, call, binary, regs, rm, a, b } = operands;
  const result = f.let(asBits(binary, asFloat(binary, a).mul(asFloat(binary, b))));
  returnOrdinary(operands, result);
  f.if(shortOperands(operands, a, b).and(isOrdinary(binary, result)), () => f.return(result));

  returnNan(operands);
  const sign = f.let(signOf(binary, a).xor(signOf(binary, b)));
  const zero = f.let(magnitude(binary, a).eqz().or(magnitude(binary, b).eqz()));
  const infinite = (x: Expr): Expr => magnitude(binary, x).eq(infinity(binary));
  f.if(infinite(a).or(infinite(b)), () => {
    f.if(zero, () => returnInvalid(f, binary, regs));
    f.return(infinity(binary).or(atSign(binary, sign)));
  });
  f.if(zero, () => f.return(atSign(binary, sign)));

  const x = open(f, binary, a);
  const y = open(f, binary, b);
  const low = x.significand.mul(y.significand).ne(0).extendU();
  const significand = f.let(call("mulhu", x.significand, y.significand).or(low));
  const exponent = f.let(x.exponent.add(y.exponent).add(1));
  normalize(f, exponent, significand);
  returnRounded(f, call, binary, regs, rm, { sign, exponent, significand });
}

/** Digits of 11 bits are the most that a 53-bit remainder leaves room for in 64 bits. */
const DIGIT_BITS = 11;
const DIGITS = 5;

function divide(operands: Operands): void {
  const { f, call, binary, regs, rm, a, b } = operands;
  const result = f.let(asBits(binary, asFloat(binary, a).div(asFloat(binary, b))));
  returnOrdinary(operands, result);
  // Exact if quotient × divisor, which is exact for short operands, gives the dividend.
  f.if(
    shortOperands(operands, result, b)
      .and(isOrdinary(binary, result))
      .and(isOrdinary(binary, a))
      .and(asFloat(binary, result).mul(asFloat(binary, b)).eq(asFloat(binary, a))),
    () => f.return(result),
  );

  returnNan(operands);
  const sign = f.let(signOf(binary, a).xor(signOf(binary, b)));
  const signedInfinity = (): Expr => infinity(binary).or(atSign(binary, sign));
  const infinite = (x: Expr): Expr => magnitude(binary, x).eq(infinity(binary));
  f.if(infinite(a), () => {
    f.if(infinite(b), () => returnInvalid(f, binary, regs));
    f.return(signedInfinity());
  });
  f.if(infinite(b), () => f.return(atSign(binary, sign)));
  f.if(magnitude(binary, b).eqz(), () => {
    f.if(magnitude(binary, a).eqz(), () => returnInvalid(f, binary, regs));
    raise(f, regs, FLAG.DZ);
    f.return(signedInfinity());
  });
  f.if(magnitude(binary, a).eqz(), () => f.return(atSign(binary, sign)));

  const x = open(f, binary, a);
  const y = open(f, binary, b);
  const divisor = f.let(y.significand.shrU(DIGIT_BITS));
  const rest = f.let(x.significand.shrU(DIGIT_BITS));
  const quotient = f.let(rest.divU(divisor));
  f.set(rest, rest.remU(divisor));
  for (let digit = 0; digit < DIGITS; digit++) {
    f.set(rest, rest.shl(DIGIT_BITS));
    f.set(quotient, quotient.shl(DIGIT_BITS).or(rest.divU(divisor)));
    f.set(rest, rest.remU(divisor));
  }
  const exponent = f.let(x.exponent.sub(y.exponent).add(63 - DIGIT_BITS * DIGITS));
  normalize(f, exponent, quotient);
  f.set(quotient, quotient.or(rest.ne(0).extendU()));
  returnRounded(f, call, binary, regs, rm, { sign, exponent, significand: quotient });
}

/** Bits of the root that are computed: more than 53 + 2, and two remainder bits each fit 64. */
const ROOT_BITS = 58;

function squareRoot(f: FunctionBuilder, call: CallByName, binary: Binary): void {
  const [regs, rm, a] = f.parameters as [Expr, Expr, Expr];
  const result = f.let(asBits(binary, asFloat(binary, a).sqrt()));
  const operands: Operands = { f, call, binary, regs, rm, a, b: a };
  returnOrdinary(operands, result);
  f.if(
    shortOperands(operands, result, result)
      .and(isOrdinary(binary, result))
      .and(isOrdinary(binary, a))
      .and(asFloat(binary, result).mul(asFloat(binary, result)).eq(asFloat(binary, a))),
    () => f.return(result),
  );

  returnNan(operands);
  f.if(magnitude(binary, a).eqz(), () => f.return(a));
  f.if(signOf(binary, a), () => returnInvalid(f, binary, regs));
  f.if(a.eq(infinity(binary)), () => f.return(a));

  const x = open(f, binary, a);
  // A radicand in [1, 4) with 62 bits of fraction, and an even exponent.
  const radicand = f.let(x.exponent.and(1).choose(x.significand, x.significand.shrU(1)));
  const rest = f.let(i64(0));
  const root = f.let(i64(0));
  const count = f.let(i32(ROOT_BITS));
  f.loop((again) => {
    f.set(rest, rest.shl(2).or(radicand.shrU(62)));
    f.set(radicand, radicand.shl(2));
    const trial = f.let(root.shl(2).or(1));
    f.set(root, root.shl(1));
    f.if(rest.geU(trial), () => {
      f.set(rest, rest.sub(trial));
      f.set(root, root.or(1));
    });
    f.set(count, count.sub(1));
    f.brIf(again, count);
  });
  const significand = root.shl(64 - ROOT_BITS).or(rest.ne(0).extendU());
  returnRounded(f, call, binary, regs, rm, { sign: i32(0), exponent: x.exponent.shrS(1), significand });
}

/** high:low shifted right by `count`, jammed. */
function shiftRightJam128(f: FunctionBuilder, high: Expr, low: Expr, count: Expr): void {
  f.if(count.ge(64), () => {
    f.set(low, high.or(low.ne(0).extendU()));
    f.set(high, i64(0));
    f.set(count, count.sub(64));
  });
  f.if(
    count.ge(64),
    () => f.set(low, low.ne(0).extendU()),
    () =>
      f.if(count, () => {
        const up = f.let(i32(64).sub(count).extendU());
        const lost = low.shl(up).ne(0).extendU();
        f.set(low, low.shrU(count.extendU()).or(high.shl(up)).or(lost));
        f.set(high, high.shrU(count.extendU()));
      }),
  );
}

/** a × b + c. The product is kept whole, in 128 bits with the leading one in bit 127. */
function fuse(f: FunctionBuilder, call: CallByName, binary: Binary): void {
  const [regs, rm, a, b, c] = f.parameters as [Expr, Expr, Expr, Expr, Expr];
  const infinite = (x: Expr): Expr => magnitude(binary, x).eq(infinity(binary));
  const isZero = (x: Expr): Expr => magnitude(binary, x).eqz();
  // ∞ × 0 is invalid even when a quiet NaN is added (20.6).
  f.if(
    infinite(a)
      .and(isZero(b))
      .or(isZero(a).and(infinite(b))),
    () => returnInvalid(f, binary, regs),
  );
  f.if(isNan(binary, a).or(isNan(binary, b)).or(isNan(binary, c)), () => {
    f.if(isSignaling(binary, c), () => raise(f, regs, FLAG.NV));
    f.return(call(`${binary.name}_nan`, regs, a, b));
  });
  const sign = f.let(signOf(binary, a).xor(signOf(binary, b)));
  f.if(infinite(a).or(infinite(b)), () => {
    f.if(infinite(c).and(signOf(binary, c).ne(sign)), () => returnInvalid(f, binary, regs));
    f.return(infinity(binary).or(atSign(binary, sign)));
  });
  f.if(infinite(c), () => f.return(c));
  f.if(isZero(a).or(isZero(b)), () => {
    f.if(isZero(c).and(signOf(binary, c).ne(sign)), () => f.return(cancelledZero(binary, rm)));
    f.return(c);
  });

  const x = open(f, binary, a);
  const y = open(f, binary, b);
  const z = open(f, binary, c);
  const high = f.let(call("mulhu", x.significand, y.significand));
  const low = f.let(x.significand.mul(y.significand));
  const exponent = f.let(x.exponent.add(y.exponent).add(1));
  f.if(high.ge(0), () => {
    f.set(high, high.shl(1).or(low.shrU(63)));
    f.set(low, low.shl(1));
    f.set(exponent, exponent.sub(1));
  });
  f.if(z.significand.eqz(), () =>
    returnRounded(f, call, binary, regs, rm, {
      sign,
      exponent,
      significand: high.or(low.ne(0).extendU()),
    }),
  );

  const otherHigh = f.let(z.significand);
  const otherLow = f.let(i64(0));
  const otherExponent = f.let(z.exponent);
  const otherSign = f.let(z.sign);
  f.if(otherExponent.gt(exponent).or(otherExponent.eq(exponent).and(otherHigh.gtU(high))), () => {
    swap(f, high, otherHigh);
    swap(f, low, otherLow);
    swap(f, exponent, otherExponent);
    swap(f, sign, otherSign);
  });
  // One bit of room for the carry; 106 bits of the product leave the lowest bits 0.
  const halve = (h: Expr, l: Expr): void => {
    f.set(l, l.shrU(1).or(h.shl(63)));
    f.set(h, h.shrU(1));
  };
  halve(high, low);
  halve(otherHigh, otherLow);
  shiftRightJam128(f, otherHigh, otherLow, f.let(exponent.sub(otherExponent)));
  addOrSubtract128(f, { sign, otherSign, high, low, otherHigh, otherLow });
  f.if(high.or(low).eqz(), () => f.return(cancelledZero(binary, rm)));
  f.set(exponent, exponent.add(1));
  f.if(high.eqz(), () => {
    f.set(high, low);
    f.set(low, i64(0));
    f.set(exponent, exponent.sub(64));
  });
  const shift = f.let(high.clz());
  f.if(shift.ne(0), () => {
    f.set(high, high.shl(shift).or(low.shrU(i64(64).sub(shift))));
    f.set(low, low.shl(shift));
  });
  const result: Opened = {
    sign,
    exponent: exponent.sub(shift.wrap()),
    significand: high.or(low.ne(0).extendU()),
  };
  returnRounded(f, call, binary, regs, rm, result);
}

/** high:low ± otherHigh:otherLow, of which the second is not larger. */
function addOrSubtract128(
  f: FunctionBuilder,
  {
    sign,
    otherSign,
    high,
    low,
    otherHigh,
    otherLow,
  }: Record<"sign" | "otherSign" | "high" | "low" | "otherHigh" | "otherLow", Expr>,
): void {
  f.if(
    sign.eq(otherSign),
    () => {
      f.set(low, low.add(otherLow));
      f.set(high, high.add(otherHigh).add(low.ltU(otherLow).extendU()));
    },
    () => {
      f.set(high, high.sub(otherHigh).sub(low.ltU(otherLow).extendU()));
      f.set(low, low.sub(otherLow));
    },
  );
}

export const ARITHMETIC_HELPERS: readonly HelperDefinition[] = BINARIES.flatMap((binary) => [
  helper(binary, "add", add),
  helper(binary, "add_exact", addExact),
  helper(binary, "sub", ({ f, call, regs, rm, a, b }) =>
    f.return(call(`${binary.name}_add`, regs, rm, a, negate(binary, b))),
  ),
  helper(binary, "mul", multiply),
  helper(binary, "div", divide),
  {
    name: `${binary.name}_sqrt`,
    signature: { parameters: [I32, I32, binary.bits], result: binary.bits },
    body: (f, call) => squareRoot(f, call, binary),
  },
  {
    name: `${binary.name}_fma`,
    signature: { parameters: [I32, I32, binary.bits, binary.bits, binary.bits], result: binary.bits },
    body: (f, call) => fuse(f, call, binary),
  },
]);
