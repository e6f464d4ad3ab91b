/** Conversions, comparisons, minimum and maximum, classification, for both formats (softfloat.ts). */
import type { CallByName, HelperDefinition } from "./helpers.ts";
import {
  asBits,
  asFloat,
  BINARIES,
  type Binary,
  BINARY32,
  BINARY64,
  bitsOf,
  canonicalNan,
  FLAG,
  infinity,
  isNan,
  isOrdinary,
  isSignaling,
  magnitude,
  nativeSuffices,
  open,
  raise,
  returnRounded,
  ROUND,
  signOf,
} from "./softfloat.ts";
import { type Expr, f64, i32, i64 } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function-builder.ts";
import { I32, I64 } from "./wasm/opcodes.ts";

/** An integer type that is converted to: its bounds as doubles, and what a conversion saturates to. */
interface IntegerType {
  readonly name: "w" | "wu" | "l" | "lu";
  readonly least: number;
  /** The first double above the range. */
  readonly above: number;
  readonly minimum: bigint;
  /** Sign-extended from its width, as the register holds it. */
  readonly maximum: bigint;
}

const INTEGER_TYPES: readonly IntegerType[] = [
  { name: "w", least: -(2 ** 31), above: 2 ** 31, minimum: -(1n << 31n), maximum: (1n << 31n) - 1n },
  { name: "wu", least: 0, above: 2 ** 32, minimum: 0n, maximum: -1n },
  { name: "l", least: -(2 ** 63), above: 2 ** 63, minimum: -(1n << 63n), maximum: (1n << 63n) - 1n },
  { name: "lu", least: 0, above: 2 ** 64, minimum: 0n, maximum: -1n },
];

/** (regs, rm, a) → i64. Both formats go through f64, which holds every single exactly. */
function toInteger(binary: Binary, type: IntegerType): HelperDefinition {
  return {
    name: `${binary.name}_to_${type.name}`,
    signature: { parameters: [I32, I32, binary.bits], result: I64 },
    body: (f) => {
      const [regs, rm, a] = f.parameters as [Expr, Expr, Expr];
      const x = f.let(binary.bits === I32 ? a.asF32().promote() : a.asF64());
      f.if(x.ne(x), () => {
        raise(f, regs, FLAG.NV);
        f.return(i64(type.maximum));
      });
      const rounded = f.let(x.trunc());
      f.if(rm.eq(ROUND.RNE), () => f.set(rounded, x.nearest()));
      f.if(rm.eq(ROUND.RDN), () => f.set(rounded, x.floor()));
      f.if(rm.eq(ROUND.RUP), () => f.set(rounded, x.ceil()));
      f.if(rm.eq(ROUND.RMM).and(x.sub(rounded).abs().ge(f64(0.5))), () =>
        f.set(rounded, rounded.add(f64(1).copysign(x))),
      );
      f.if(rounded.lt(f64(type.least)), () => {
        raise(f, regs, FLAG.NV);
        f.return(i64(type.minimum));
      });
      f.if(rounded.ge(f64(type.above)), () => {
        raise(f, regs, FLAG.NV);
        f.return(i64(type.maximum));
      });
      f.if(rounded.ne(x), () => raise(f, regs, FLAG.NX));
      const integer = type.name === "lu" ? rounded.truncU() : rounded.truncS();
      f.return(type.name === "wu" ? integer.extend32S() : integer);
    },
  };
}

/** (regs, rm, x: i64) → bits. */
function fromInteger(binary: Binary, name: "l" | "lu"): HelperDefinition {
  return {
    name: `${binary.name}_from_${name}`,
    signature: { parameters: [I32, I32, I64], result: binary.bits },
    body: (f, call) => {
      const [regs, rm, x] = f.parameters as [Expr, Expr, Expr];
      const sign = f.let(name === "l" ? x.shrU(63).wrap() : i32(0));
      const value = f.let(sign.choose(i64(0).sub(x), x));
      const shift = f.let(value.clz());
      const significand = f.let(value.shl(shift));
      // The engine's conversion is right if nothing is cut off; 0 is such a case.
      const cut = (1n << BigInt(64 - binary.precision)) - 1n;
      f.if(significand.and(cut).eqz().or(nativeSuffices(regs, rm)), () =>
        f.return(asBits(binary, name === "l" ? x.convertS(binary.float) : x.convertU(binary.float))),
      );
      const exponent = i32(63).sub(shift.wrap());
      returnRounded(f, call, binary, regs, rm, { sign, exponent, significand });
    },
  };
}

function singleFromDouble(f: FunctionBuilder, call: CallByName): void {
  const [regs, rm, a] = f.parameters as [Expr, Expr, Expr];
  const result = f.let(a.asF64().demote().asI32());
  f.if(
    result
      .asF32()
      .promote()
      .eq(a.asF64())
      .or(nativeSuffices(regs, rm).and(isOrdinary(BINARY32, result))),
    () => f.return(result),
  );
  f.if(isNan(BINARY64, a), () => {
    f.if(isSignaling(BINARY64, a), () => raise(f, regs, FLAG.NV));
    f.return(canonicalNan(BINARY32));
  });
  returnRounded(f, call, BINARY32, regs, rm, open(f, BINARY64, a));
}

function doubleFromSingle(f: FunctionBuilder): void {
  const [regs, , a] = f.parameters as [Expr, Expr, Expr];
  f.if(isNan(BINARY32, a), () => {
    f.if(isSignaling(BINARY32, a), () => raise(f, regs, FLAG.NV));
    f.return(canonicalNan(BINARY64));
  });
  f.return(a.asF32().promote().asI64());
}

/** (regs, a, b) → bits: IEEE 754-2019 minimumNumber and maximumNumber (20.6). */
function extreme(binary: Binary, name: "min" | "max"): HelperDefinition {
  return {
    name: `${binary.name}_${name}`,
    signature: { parameters: [I32, binary.bits, binary.bits], result: binary.bits },
    body: (f) => {
      const [regs, a, b] = f.parameters as [Expr, Expr, Expr];
      const x = (): Expr => asFloat(binary, a);
      const y = (): Expr => asFloat(binary, b);
      f.if(x().lt(y()), () => f.return(name === "min" ? a : b));
      f.if(x().gt(y()), () => f.return(name === "min" ? b : a));
      // Equal numbers differ at most in the sign of 0, and −0 is less than +0.
      f.if(x().eq(y()), () => f.return(name === "min" ? a.or(b) : a.and(b)));
      f.if(isSignaling(binary, a).or(isSignaling(binary, b)), () => raise(f, regs, FLAG.NV));
      f.if(isNan(binary, a).eqz(), () => f.return(a));
      f.if(isNan(binary, b).eqz(), () => f.return(b));
      f.return(canonicalNan(binary));
    },
  };
}

/** (regs, a, b) → i32. feq is quiet, flt and fle signal on every NaN (20.8). */
function compare(binary: Binary, name: "eq" | "lt" | "le"): HelperDefinition {
  return {
    name: `${binary.name}_${name}`,
    signature: { parameters: [I32, binary.bits, binary.bits], result: I32 },
    body: (f) => {
      const [regs, a, b] = f.parameters as [Expr, Expr, Expr];
      const x = f.let(asFloat(binary, a));
      const y = f.let(asFloat(binary, b));
      f.if(x.ne(x).or(y.ne(y)), () => {
        if (name === "eq") {
          f.if(isSignaling(binary, a).or(isSignaling(binary, b)), () => raise(f, regs, FLAG.NV));
        } else {
          raise(f, regs, FLAG.NV);
        }
        f.return(i32(0));
      });
      f.return(x[name](y));
    },
  };
}

/** (a) → i32: one bit of ten, from −∞ to quiet NaN. Table 30. */
function classify(binary: Binary): HelperDefinition {
  return {
    name: `${binary.name}_class`,
    signature: { parameters: [binary.bits], result: I32 },
    body: (f) => {
      const a = f.parameter(0);
      f.if(isNan(binary, a), () => f.return(isSignaling(binary, a).choose(i32(1 << 8), i32(1 << 9))));
      const size = f.let(magnitude(binary, a));
      const leastNormal = bitsOf(binary, 1n << BigInt(binary.precision - 1));
      // 0 for zero, 1 subnormal, 2 normal, 3 infinite.
      const kind = f.let(
        size
          .eqz()
          .eqz()
          .add(size.geU(leastNormal))
          .add(size.eq(infinity(binary))),
      );
      f.return(i32(1).shl(signOf(binary, a).choose(i32(3).sub(kind), kind.add(4))));
    },
  };
}

export const CONVERSION_HELPERS: readonly HelperDefinition[] = [
  ...BINARIES.flatMap((binary) => [
    ...INTEGER_TYPES.map((type) => toInteger(binary, type)),
    fromInteger(binary, "l"),
    fromInteger(binary, "lu"),
    extreme(binary, "min"),
    extreme(binary, "max"),
    compare(binary, "eq"),
    compare(binary, "lt"),
    compare(binary, "le"),
    classify(binary),
  ]),
  {
    name: "f32_from_f64",
    signature: { parameters: [I32, I32, I64], result: I32 },
    body: singleFromDouble,
  },
  {
    name: "f64_from_f32",
    signature: { parameters: [I32, I32, I32], result: I64 },
    body: doubleFromSingle,
  },
];
