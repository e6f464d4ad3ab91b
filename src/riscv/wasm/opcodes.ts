/** WebAssembly's binary opcodes, as far as they are emitted here. WebAssembly core specification, 5.4. */

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
/** A value type by its binary code. */
export type ValueType = typeof I32 | typeof I64 | typeof F32 | typeof F64;

export const BLOCK_VOID = 0x40;
export const PREFIX_ATOMIC = 0xfe;

export const CONTROL = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  returnCallIndirect: 0x13,
  drop: 0x1a,
  select: 0x1b,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
} as const;

/**
 * Loads by their opcode: the low bits of `LOAD_LOG2[op - 0x28]` give log2 of the size in bytes. Opcodes of
 * atomic accesses carry their prefix in bits 15..8.
 */
export const LOAD = {
  i32: 0x28,
  i64: 0x29,
  f32: 0x2a,
  f64: 0x2b,
  i64S8: 0x30,
  i64U8: 0x31,
  i64S16: 0x32,
  i64U16: 0x33,
  i64S32: 0x34,
  i64U32: 0x35,
  i32U8: 0x2d,
  i32U16: 0x2f,
  atomicI32: 0xfe10,
  atomicI64: 0xfe11,
} as const;
export type LoadOp = (typeof LOAD)[keyof typeof LOAD];

export const STORE = {
  i32: 0x36,
  i64: 0x37,
  f64: 0x39,
  i32Low8: 0x3a,
  i32Low16: 0x3b,
  i64Low8: 0x3c,
  i64Low16: 0x3d,
  i64Low32: 0x3e,
} as const;
export type StoreOp = (typeof STORE)[keyof typeof STORE];

/** Atomic read-modify-write operations on 32 bits; the 64-bit form is one higher. */
export const RMW = { add: 0x1e, and: 0x2c, or: 0x33, xor: 0x3a, xchg: 0x41, cmpxchg: 0x48 } as const;
export type RmwOp = (typeof RMW)[keyof typeof RMW];

/** The type that a load pushes. */
export function loadType(op: LoadOp): ValueType {
  switch (op) {
    case LOAD.i32:
    case LOAD.i32U8:
    case LOAD.i32U16:
    case LOAD.atomicI32:
      return I32;
    case LOAD.f32:
      return F32;
    case LOAD.f64:
      return F64;
    default:
      return I64;
  }
}

/** log2 of the bytes that a load or a store touches, which atomic accesses must name as their alignment. */
export function accessLog2(op: LoadOp | StoreOp): 0 | 1 | 2 | 3 {
  switch (op) {
    case LOAD.i64S8:
    case LOAD.i64U8:
    case LOAD.i32U8:
    case STORE.i32Low8:
    case STORE.i64Low8:
      return 0;
    case LOAD.i64S16:
    case LOAD.i64U16:
    case LOAD.i32U16:
    case STORE.i32Low16:
    case STORE.i64Low16:
      return 1;
    case LOAD.i64:
    case LOAD.f64:
    case LOAD.atomicI64:
    case STORE.i64:
    case STORE.f64:
      return 3;
    default:
      return 2;
  }
}
