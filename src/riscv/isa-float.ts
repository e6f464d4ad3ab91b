/**
 * The F and D extensions. Unprivileged specification, chapters 20 and 21.
 *
 * A single is 32 bits as i32, a double 64 bits as i64; f32 and f64 appear only inside the helpers, because
 * an engine may change a NaN's bits on the way through a float register. A single in an f register is boxed:
 * its upper 32 bits are ones, and a value that is not boxed reads as the canonical NaN (21.2).
 */
import {
  type Emitter,
  type FloatSource,
  FORMAT,
  type Format,
  type HelperName,
  type Instruction,
  OPCODE,
  row,
} from "./isa.ts";
import { type Expr, i32, i64 } from "./wasm/expression.ts";
import { I64, LOAD, STORE } from "./wasm/opcodes.ts";

/** How the two formats differ. */
interface FloatFormat {
  readonly extension: "F" | "D";
  readonly suffix: "s" | "d";
  readonly fmt: 0 | 1;
  readonly helper: "f32" | "f64";
  readonly signBit: bigint;
  /** The value of a source, and how the destination gets one. */
  readonly open: (e: Emitter, source: FloatSource) => Expr;
  readonly set: (e: Emitter, value: Expr) => void;
}

const SINGLE: FloatFormat = {
  extension: "F",
  suffix: "s",
  fmt: 0,
  helper: "f32",
  signBit: 1n << 31n,
  open: (e, source) => e.single(source),
  set: (e, value) => e.setSingle(value),
};

const DOUBLE: FloatFormat = {
  extension: "D",
  suffix: "d",
  fmt: 1,
  helper: "f64",
  signBit: 1n << 63n,
  open: (e, source) => [e.fs1, e.fs2, e.fs3][source - 1]!.call(e),
  set: (e, value) => e.setFd(value),
};

function rowsOf(format: FloatFormat): Instruction[] {
  const { extension, suffix, fmt, open, set } = format;
  const a = (e: Emitter): Expr => open(e, 1);
  const b = (e: Emitter): Expr => open(e, 2);
  const c = (e: Emitter): Expr => open(e, 3);
  const signBit = format.fmt === 0 ? i32(Number(format.signBit)) : i64(format.signBit);
  const withoutSign = format.fmt === 0 ? i32(0x7fffffff) : i64(format.signBit - 1n);
  type Suffix<N extends HelperName> = N extends `f64_${infer S}` ? S : never;
  const helper = (name: Suffix<HelperName>): HelperName => `${format.helper}_${name}` as HelperName;

  const opFp = (
    name: string,
    funct5: number,
    more: { funct3?: number; rs2?: number },
    operands: Format,
    emit: (e: Emitter) => void,
  ): Instruction =>
    row(name, extension, OPCODE.opFp, { funct7: (funct5 << 2) | fmt, ...more }, operands, emit);

  const arithmetic = (name: "add" | "sub" | "mul" | "div", funct5: number): Instruction =>
    opFp(`f${name}.${suffix}`, funct5, {}, FORMAT.float2Rounded, (e) => {
      const rm = e.roundingMode();
      set(e, e.helper(helper(name), e.regs(), rm, a(e), b(e)));
    });

  /** Negates by a bit, which 20.6's definitions of fmsub, fnmsub and fnmadd come to; NaNs stay NaNs. */
  const fused = (name: string, opcode: number, negateProduct: boolean, negateAddend: boolean): Instruction =>
    row(`${name}.${suffix}`, extension, opcode, { fmt }, FORMAT.float3Rounded, (e) => {
      const rm = e.roundingMode();
      const x = negateProduct ? a(e).xor(signBit) : a(e);
      const z = negateAddend ? c(e).xor(signBit) : c(e);
      set(e, e.helper(helper("fma"), e.regs(), rm, x, b(e), z));
    });

  const sign = (name: string, funct3: number, f: (a: Expr, b: Expr) => Expr): Instruction =>
    opFp(`${name}.${suffix}`, 0x04, { funct3 }, FORMAT.float2, (e) => set(e, f(e.f.let(a(e)), b(e))));

  const extreme = (name: "min" | "max", funct3: number): Instruction =>
    opFp(`f${name}.${suffix}`, 0x05, { funct3 }, FORMAT.float2, (e) =>
      set(e, e.helper(helper(name), e.regs(), a(e), b(e))),
    );

  const compare = (name: "eq" | "lt" | "le", funct3: number): Instruction =>
    opFp(`f${name}.${suffix}`, 0x14, { funct3 }, FORMAT.floatCompare, (e) =>
      e.setRd(e.helper(helper(name), e.regs(), a(e), b(e)).extendU()),
    );

  const toInteger = (name: "w" | "wu" | "l" | "lu", rs2: number): Instruction =>
    opFp(`fcvt.${name}.${suffix}`, 0x18, { rs2 }, FORMAT.floatToIntegerRounded, (e) => {
      const rm = e.roundingMode();
      e.setRd(e.helper(helper(`to_${name}`), e.regs(), rm, a(e)));
    });

  const formatFromInteger = (name: string): Format =>
    name.startsWith("w") && suffix === "d" ? FORMAT.integerToFloatExact : FORMAT.integerToFloatRounded;

  /** 32-bit integers are converted as the 64-bit ones that they extend to. */
  const fromInteger = (name: string, rs2: number, to: "from_l" | "from_lu", x: (rs1: Expr) => Expr) =>
    opFp(`fcvt.${suffix}.${name}`, 0x1a, { rs2 }, formatFromInteger(name), (e) => {
      const rm = e.roundingMode();
      set(e, e.helper(helper(to), e.regs(), rm, x(e.rs1())));
    });

  return [
    fused("fmadd", OPCODE.madd, false, false),
    fused("fmsub", OPCODE.msub, false, true),
    fused("fnmsub", OPCODE.nmsub, true, false),
    fused("fnmadd", OPCODE.nmadd, true, true),
    arithmetic("add", 0x00),
    arithmetic("sub", 0x01),
    arithmetic("mul", 0x02),
    arithmetic("div", 0x03),
    opFp(`fsqrt.${suffix}`, 0x0b, { rs2: 0 }, FORMAT.float1Rounded, (e) => {
      const rm = e.roundingMode();
      set(e, e.helper(helper("sqrt"), e.regs(), rm, a(e)));
    }),
    sign("fsgnj", 0, (x, y) => x.and(withoutSign).or(y.and(signBit))),
    sign("fsgnjn", 1, (x, y) => x.and(withoutSign).or(y.xor(signBit).and(signBit))),
    sign("fsgnjx", 2, (x, y) => x.xor(y.and(signBit))),
    extreme("min", 0),
    extreme("max", 1),
    compare("le", 0),
    compare("lt", 1),
    compare("eq", 2),
    opFp(`fclass.${suffix}`, 0x1c, { rs2: 0, funct3: 1 }, FORMAT.floatToInteger, (e) =>
      e.setRd(e.helper(helper("class"), a(e)).extendU()),
    ),
    toInteger("w", 0),
    toInteger("wu", 1),
    toInteger("l", 2),
    toInteger("lu", 3),
    fromInteger("w", 0, "from_l", (x) => x.extend32S()),
    fromInteger("wu", 1, "from_l", (x) => x.and(0xffffffff)),
    fromInteger("l", 2, "from_l", (x) => x),
    fromInteger("lu", 3, "from_lu", (x) => x),
  ];
}

export const FLOAT: readonly Instruction[] = [
  row("flw", "F", OPCODE.loadFp, { funct3: 2 }, FORMAT.floatLoad, (e) =>
    e.setSingle(e.load(LOAD.i64U32, e.rs1().add(e.imm())).wrap()),
  ),
  row("fsw", "F", OPCODE.storeFp, { funct3: 2 }, FORMAT.floatStore, (e) =>
    e.store(STORE.i64Low32, e.rs1().add(e.imm()), e.fs2()),
  ),
  row("fld", "D", OPCODE.loadFp, { funct3: 3 }, FORMAT.floatLoad, (e) =>
    e.setFd(e.load(LOAD.i64, e.rs1().add(e.imm()))),
  ),
  row("fsd", "D", OPCODE.storeFp, { funct3: 3 }, FORMAT.floatStore, (e) =>
    e.store(STORE.i64, e.rs1().add(e.imm()), e.fs2()),
  ),
  ...rowsOf(SINGLE),
  ...rowsOf(DOUBLE),
  // Moves copy bits and do not look at the box.
  row("fmv.x.w", "F", OPCODE.opFp, { funct7: 0x70, rs2: 0, funct3: 0 }, FORMAT.floatToInteger, (e) =>
    e.setRd(e.fs1().extend32S()),
  ),
  row("fmv.w.x", "F", OPCODE.opFp, { funct7: 0x78, rs2: 0, funct3: 0 }, FORMAT.integerToFloat, (e) =>
    e.setSingle(e.rs1().wrap()),
  ),
  row("fmv.x.d", "D", OPCODE.opFp, { funct7: 0x71, rs2: 0, funct3: 0 }, FORMAT.floatToInteger, (e) =>
    e.setRd(e.fs1()),
  ),
  row("fmv.d.x", "D", OPCODE.opFp, { funct7: 0x79, rs2: 0, funct3: 0 }, FORMAT.integerToFloat, (e) =>
    e.setFd(e.rs1()),
  ),
  row("fcvt.s.d", "D", OPCODE.opFp, { funct7: 0x20, rs2: 1 }, FORMAT.float1Rounded, (e) => {
    const rm = e.roundingMode();
    e.setSingle(e.helper("f32_from_f64", e.regs(), rm, e.fs1()));
  }),
  row("fcvt.d.s", "D", OPCODE.opFp, { funct7: 0x21, rs2: 0 }, FORMAT.float1Exact, (e) => {
    // Exact, so the rounding mode only has to be a valid one.
    const rm = e.roundingMode();
    const value = e.f.local(I64);
    e.f.set(value, e.helper("f64_from_f32", e.regs(), rm, e.single(1)));
    e.setFd(value);
  }),
];
