/**
 * WebAssembly expressions as small trees. A tree is built by methods (`a.add(b)`), costs nothing until it is
 * written, and is written once, in evaluation order, to a ByteWriter. Statements (function-builder.ts) are
 * emitted at once; so an expression that reads a local must be written before the local changes.
 */
import { assert } from "../../base/assert.ts";
import type { ByteWriter } from "./bytes.ts";
import {
  accessLog2,
  CONTROL,
  F32,
  F64,
  I32,
  I64,
  type LoadOp,
  loadType,
  PREFIX_ATOMIC,
  RMW,
  type RmwOp,
  type ValueType,
} from "./opcodes.ts";

/** Index of a function that is not known yet: one byte is left for it (ByteWriter.later). */
export const SELF = -1;

/** How a node is written. */
const KIND = {
  operator: 0,
  constant: 1,
  local: 2,
  global: 3,
  load: 4,
  call: 5,
  choice: 6,
  tee: 7,
  rmw: 8,
  select: 9,
  callIndirect: 10,
  hole: 11,
} as const;
type Kind = (typeof KIND)[keyof typeof KIND];

/** i64.extend_i32_s */
export const EXTEND_SIGNED = 0xac;

/** An operator's opcode for each of i32, i64, f32, f64; 0 where there is none. */
type OpcodeRow = readonly [i32: number, i64: number, f32: number, f64: number];

const OPS = {
  eqz: [0x45, 0x50, 0, 0],
  eq: [0x46, 0x51, 0x5b, 0x61],
  ne: [0x47, 0x52, 0x5c, 0x62],
  ltS: [0x48, 0x53, 0x5d, 0x63],
  ltU: [0x49, 0x54, 0, 0],
  gtS: [0x4a, 0x55, 0x5e, 0x64],
  gtU: [0x4b, 0x56, 0, 0],
  leS: [0x4c, 0x57, 0x5f, 0x65],
  leU: [0x4d, 0x58, 0, 0],
  geS: [0x4e, 0x59, 0x60, 0x66],
  geU: [0x4f, 0x5a, 0, 0],
  clz: [0x67, 0x79, 0, 0],
  ctz: [0x68, 0x7a, 0, 0],
  add: [0x6a, 0x7c, 0x92, 0xa0],
  sub: [0x6b, 0x7d, 0x93, 0xa1],
  mul: [0x6c, 0x7e, 0x94, 0xa2],
  div: [0x6d, 0x7f, 0x95, 0xa3],
  divU: [0x6e, 0x80, 0, 0],
  rem: [0x6f, 0x81, 0, 0],
  remU: [0x70, 0x82, 0, 0],
  and: [0x71, 0x83, 0, 0],
  or: [0x72, 0x84, 0, 0],
  xor: [0x73, 0x85, 0, 0],
  shl: [0x74, 0x86, 0, 0],
  shrS: [0x75, 0x87, 0, 0],
  shrU: [0x76, 0x88, 0, 0],
  rotr: [0x78, 0x8a, 0, 0],
  ceil: [0, 0, 0x8d, 0x9b],
  floor: [0, 0, 0x8e, 0x9c],
  trunc: [0, 0, 0x8f, 0x9d],
  nearest: [0, 0, 0x90, 0x9e],
  sqrt: [0, 0, 0x91, 0x9f],
  abs: [0, 0, 0x8b, 0x99],
  neg: [0, 0, 0x8c, 0x9a],
  copysign: [0, 0, 0x98, 0xa6],
} as const satisfies Record<string, OpcodeRow>;

function column(type: ValueType): 0 | 1 | 2 | 3 {
  return (I32 - type) as 0 | 1 | 2 | 3;
}

export class Expr {
  readonly type: ValueType;
  readonly #kind: Kind;
  /** Opcode, or index of a local, a global or a function. */
  readonly #op: number;
  /** A constant's value, or a load's offset. */
  readonly #value: number | bigint;
  /** Operands, in order of evaluation. */
  readonly #a: Expr | undefined;
  readonly #b: Expr | undefined;
  readonly #c: Expr | undefined;
  /** A call's arguments. */
  readonly #arguments: readonly Expr[];

  constructor(
    type: ValueType,
    kind: Kind,
    op: number,
    value: number | bigint = 0,
    a?: Expr,
    b?: Expr,
    c?: Expr,
    args: readonly Expr[] = NO_ARGUMENTS,
  ) {
    this.type = type;
    this.#kind = kind;
    this.#op = op;
    this.#value = value;
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#arguments = args;
  }

  /** Writes the code that pushes this value. */
  write(to: ByteWriter): void {
    if (this.#kind === KIND.choice) {
      this.#a?.write(to);
      to.byte(CONTROL.if);
      to.byte(this.type);
      this.#b?.write(to);
      to.byte(CONTROL.else);
      this.#c?.write(to);
      to.byte(CONTROL.end);
      return;
    }
    this.#a?.write(to);
    this.#b?.write(to);
    this.#c?.write(to);
    switch (this.#kind) {
      case KIND.operator:
        to.byte(this.#op);
        return;
      case KIND.constant:
        if (this.type === I32) {
          to.byte(CONTROL.i32Const);
          to.signed32(Number(this.#value));
        } else if (this.type === I64) {
          to.byte(CONTROL.i64Const);
          to.signed64(this.#value);
        } else {
          assert(this.type === F64, "no constants of type f32 are used");
          to.byte(CONTROL.f64Const);
          to.float64(Number(this.#value));
        }
        return;
      case KIND.local:
        to.byte(CONTROL.localGet);
        to.unsigned(this.#op);
        return;
      case KIND.tee:
        to.byte(CONTROL.localTee);
        to.unsigned(this.#op);
        return;
      case KIND.global:
        to.byte(CONTROL.globalGet);
        to.unsigned(this.#op);
        return;
      case KIND.call:
        for (const argument of this.#arguments) argument.write(to);
        to.byte(CONTROL.call);
        if (this.#op === SELF) to.later();
        else to.unsigned(this.#op);
        return;
      case KIND.hole:
        // A recorded local, constant or call: the opcode, and what comes behind it is left open.
        for (const argument of this.#arguments) argument.write(to);
        to.byte(this.#op);
        to.hole(Number(this.#value) & 0xff, Number(this.#value) >>> 8);
        return;
      case KIND.callIndirect:
        for (const argument of this.#arguments) argument.write(to);
        to.byte(CONTROL.callIndirect);
        to.unsigned(this.#op);
        to.unsigned(0);
        return;
      case KIND.select:
        to.byte(CONTROL.select);
        return;
      case KIND.load:
        if (this.#op > 0xff) to.byte(this.#op >> 8);
        to.byte(this.#op & 0xff);
        // A plain access promises no alignment: slow paths read misaligned words in place.
        to.unsigned(this.#op > 0xff ? accessLog2(this.#op as LoadOp) : 0);
        if (Number(this.#value) >= 0) to.unsigned(Number(this.#value));
        else to.hole(~Number(this.#value) & 0xff, ~Number(this.#value) >>> 8);
        return;
      case KIND.rmw:
        to.byte(PREFIX_ATOMIC);
        to.unsigned(this.#op + (this.type === I64 ? 1 : 0));
        to.unsigned(this.type === I64 ? 3 : 2);
        to.unsigned(0);
        return;
      default:
        assert(false, "no such kind of expression");
    }
  }

  /** The index of a local that this expression reads, for assignment. */
  get localIndex(): number {
    assert(this.#kind === KIND.local, "not a local");
    return this.#op;
  }

  /** Writes what names this local, after the opcode of an assignment. */
  writeIndex(to: ByteWriter): void {
    if (this.#kind === KIND.hole) to.hole(Number(this.#value) & 0xff, Number(this.#value) >>> 8);
    else to.unsigned(this.localIndex);
  }

  #unary(row: OpcodeRow, type: ValueType = this.type): Expr {
    return new Expr(type, KIND.operator, row[column(this.type)], 0, this);
  }

  #binary(row: OpcodeRow, other: Expr | number | bigint, type: ValueType = this.type): Expr {
    const right = other instanceof Expr ? other : constant(this.type, other);
    const op = row[column(this.type)];
    assert(op !== 0 && right.type === this.type, "operand types do not fit the operator");
    return new Expr(type, KIND.operator, op, 0, this, right);
  }

  eqz(): Expr {
    return this.#unary(OPS.eqz, I32);
  }
  eq(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.eq, other, I32);
  }
  ne(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.ne, other, I32);
  }
  /** Signed, or floating-point. */
  lt(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.ltS, other, I32);
  }
  ltU(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.ltU, other, I32);
  }
  gt(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.gtS, other, I32);
  }
  gtU(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.gtU, other, I32);
  }
  le(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.leS, other, I32);
  }
  leU(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.leU, other, I32);
  }
  ge(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.geS, other, I32);
  }
  geU(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.geU, other, I32);
  }
  clz(): Expr {
    return this.#unary(OPS.clz);
  }
  ctz(): Expr {
    return this.#unary(OPS.ctz);
  }
  add(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.add, other);
  }
  sub(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.sub, other);
  }
  mul(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.mul, other);
  }
  /** Signed, or floating-point. Integers trap on 0 and on overflow. */
  div(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.div, other);
  }
  divU(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.divU, other);
  }
  rem(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.rem, other);
  }
  remU(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.remU, other);
  }
  and(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.and, other);
  }
  or(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.or, other);
  }
  xor(other: Expr | number | bigint): Expr {
    return this.#binary(OPS.xor, other);
  }
  /** Shifts take the count modulo the width, as RISC-V's do. */
  shl(other: Expr | number): Expr {
    return this.#binary(OPS.shl, other);
  }
  shrS(other: Expr | number): Expr {
    return this.#binary(OPS.shrS, other);
  }
  shrU(other: Expr | number): Expr {
    return this.#binary(OPS.shrU, other);
  }
  rotr(other: Expr | number): Expr {
    return this.#binary(OPS.rotr, other);
  }
  ceil(): Expr {
    return this.#unary(OPS.ceil);
  }
  floor(): Expr {
    return this.#unary(OPS.floor);
  }
  trunc(): Expr {
    return this.#unary(OPS.trunc);
  }
  /** To the nearest integer, ties to even. */
  nearest(): Expr {
    return this.#unary(OPS.nearest);
  }
  sqrt(): Expr {
    return this.#unary(OPS.sqrt);
  }
  abs(): Expr {
    return this.#unary(OPS.abs);
  }
  neg(): Expr {
    return this.#unary(OPS.neg);
  }
  copysign(other: Expr): Expr {
    return this.#binary(OPS.copysign, other);
  }

  #convert(from: ValueType, type: ValueType, op: number): Expr {
    assert(this.type === from, "operand type does not fit the conversion");
    return new Expr(type, KIND.operator, op, 0, this);
  }
  /** i64 to i32: the low half. */
  wrap(): Expr {
    if (this.#kind === KIND.operator && this.#op === EXTEND_SIGNED) return this.#a!;
    return this.#convert(I64, I32, 0xa7);
  }
  /** i32 to i64. */
  extendS(): Expr {
    return this.#convert(I32, I64, EXTEND_SIGNED);
  }
  extendU(): Expr {
    return this.#convert(I32, I64, 0xad);
  }
  /** i64: the low 32 bits, sign-extended. */
  extend32S(): Expr {
    return this.#convert(I64, I64, 0xc4);
  }
  asF32(): Expr {
    return this.#convert(I32, F32, 0xbe);
  }
  asF64(): Expr {
    return this.#convert(I64, F64, 0xbf);
  }
  asI32(): Expr {
    return this.#convert(F32, I32, 0xbc);
  }
  asI64(): Expr {
    return this.#convert(F64, I64, 0xbd);
  }
  promote(): Expr {
    return this.#convert(F32, F64, 0xbb);
  }
  demote(): Expr {
    return this.#convert(F64, F32, 0xb6);
  }
  /** f64 to i64; traps if out of range. */
  truncS(): Expr {
    return this.#convert(F64, I64, 0xb0);
  }
  truncU(): Expr {
    return this.#convert(F64, I64, 0xb1);
  }
  /** An integer of either width to f32 or f64, to nearest even. */
  convertS(to: typeof F32 | typeof F64): Expr {
    const op = (to === F32 ? 0xb2 : 0xb7) + (this.type === I64 ? 2 : 0);
    return new Expr(to, KIND.operator, op, 0, this);
  }
  convertU(to: typeof F32 | typeof F64): Expr {
    const op = (to === F32 ? 0xb3 : 0xb8) + (this.type === I64 ? 2 : 0);
    return new Expr(to, KIND.operator, op, 0, this);
  }

  /** `yes` if this i32 is not 0, else `no`; only the chosen one is evaluated. */
  choose(yes: Expr, no: Expr): Expr {
    assert(yes.type === no.type, "both values of a choice have one type");
    return new Expr(yes.type, KIND.choice, 0, 0, this, yes, no);
  }
  /** Like {@link choose}, but both are evaluated, without a branch. */
  select(yes: Expr, no: Expr): Expr {
    assert(yes.type === no.type, "both values of a selection have one type");
    return new Expr(yes.type, KIND.select, 0, 0, yes, no, this);
  }
}

const NO_ARGUMENTS: readonly Expr[] = [];

export function constant(type: ValueType, value: number | bigint): Expr {
  return new Expr(type, KIND.constant, 0, value);
}
export function i32(value: number): Expr {
  return constant(I32, value | 0);
}
export function i64(value: number | bigint): Expr {
  return constant(I64, value);
}
export function f64(value: number): Expr {
  return constant(F64, value);
}
/** Reads a local. */
export function local(type: ValueType, index: number): Expr {
  return new Expr(type, KIND.local, index);
}
/** Sets a local and gives its new value. */
export function tee(target: Expr, value: Expr): Expr {
  assert(target.type === value.type, "value does not fit the local");
  return new Expr(target.type, KIND.tee, target.localIndex, 0, value);
}
export function global(type: ValueType, index: number): Expr {
  return new Expr(type, KIND.global, index);
}
/** A load from `address` (i32) + `offset`. */
export function load(op: LoadOp, address: Expr, offset = 0): Expr {
  return new Expr(loadType(op), KIND.load, op, offset, address);
}
/** The same with an offset that is left open: a hole of `kind`. */
export function loadAtHole(op: LoadOp, address: Expr, kind: number, value: number): Expr {
  return new Expr(loadType(op), KIND.load, op, ~(kind | (value << 8)), address);
}
/** An atomic read-modify-write; its width is the operands' type. */
export function rmw(op: RmwOp, address: Expr, ...operands: Expr[]): Expr {
  const type = operands[0]?.type ?? I64;
  assert(operands.length === (op === RMW.cmpxchg ? 2 : 1), "operands of an atomic operation");
  return new Expr(type, KIND.rmw, op, 0, address, operands[0], operands[1]);
}
/** A call of the function with index `index`. */
export function call(type: ValueType, index: number, args: readonly Expr[]): Expr {
  return new Expr(type, KIND.call, index, 0, undefined, undefined, undefined, args);
}
/**
 * A call of what table 0 has at `element` (i32), a function of the type with index `typeIndex`. The element is
 * the last of `args`.
 */
export function callIndirect(type: ValueType, typeIndex: number, args: readonly Expr[]): Expr {
  return new Expr(type, KIND.callIndirect, typeIndex, 0, undefined, undefined, undefined, args);
}
/** Code with a hole behind its opcode: a local, a constant, or a call with `args`. For templates. */
export function hole(
  type: ValueType,
  opcode: number,
  kind: number,
  value = 0,
  args: readonly Expr[] = NO_ARGUMENTS,
): Expr {
  return new Expr(type, KIND.hole, opcode, kind | (value << 8), undefined, undefined, undefined, args);
}
