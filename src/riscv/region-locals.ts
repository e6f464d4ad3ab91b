/**
 * The locals of a region's function. Those that all regions have come first, at fixed indexes, so that
 * recorded code (region-template.ts) can name them; registers and scratch get their index when they are used.
 */
import { REG_F, REG_ROOT, REG_X } from "../base/hart-abi.ts";
import { assert } from "../base/assert.ts";
import type { RegisterSet } from "./region-graph.ts";
import type { ByteWriter } from "./wasm/bytes.ts";
import { EXTEND_SIGNED, type Expr, load, local } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function-builder.ts";
import { CONTROL, F32, F64, I32, I64, LOAD, STORE, type ValueType } from "./wasm/opcodes.ts";

/** Parameters, and the locals behind them, by index. */
export const FIXED: Readonly<
  Record<
    | "regs"
    | "hart"
    | "entry"
    | "depth"
    | "root"
    | "budget"
    | "offset"
    | "why"
    | "target"
    | "ceiling"
    | "ceiling32",
    Expr
  >
> = {
  regs: local(I32, 0),
  hart: local(I32, 1),
  entry: local(I32, 2),
  depth: local(I32, 3),
  /** pa of the root table. */
  root: local(I32, 4),
  /** Taken transfers left. */
  budget: local(I32, 5),
  /** Where the instruction that has to leave begins: bytes from the region's first one. */
  offset: local(I32, 6),
  /** Why the region leaves: an EXIT, or INTERPRET. */
  why: local(I32, 7),
  /** Target of jalr. */
  target: local(I64, 8),
  /**
   * What the magnitude of a result of the engine must be below to be right: infinity if frm is to nearest even and
   * NX has accrued, else 0. Double and single.
   */
  ceiling: local(F64, 9),
  ceiling32: local(F32, 10),
};
const FIXED_TYPES: readonly ValueType[] = [I32, I32, I32, I32, I64, F64, F32];

/** Scratch locals of recorded code, by number. */
export const SCRATCH_TYPES: readonly ValueType[] = [
  ...Array.from({ length: 8 }, () => I32),
  ...Array.from({ length: 12 }, () => I64),
  ...Array.from({ length: 8 }, () => F32),
  ...Array.from({ length: 8 }, () => F64),
] as ValueType[];

export class RegionLocals {
  readonly #f: FunctionBuilder;
  readonly #to: ByteWriter;
  readonly #x = new Uint8Array(32);
  readonly #narrow = new Uint8Array(32);
  readonly #float = new Uint8Array(32);
  readonly #single = new Uint8Array(32);
  readonly #base = new Uint8Array(32);
  readonly #scratch = new Uint8Array(SCRATCH_TYPES.length);

  constructor(f: FunctionBuilder) {
    this.#f = f;
    this.#to = f.to;
    for (const type of FIXED_TYPES) f.local(type);
    f.set(FIXED.root, load(LOAD.i32, FIXED.regs, REG_ROOT));
  }

  #take(type: ValueType): number {
    const index = this.#f.local(type).localIndex;
    assert(index <= 0xff, "a region takes few locals");
    return index;
  }

  /** Index of the local of a register; x0 has none. */
  x(register: number): number {
    return (this.#x[register] ||= this.#take(I64));
  }
  /** Index of the local of a register that is narrow (region-narrow.ts). */
  narrow(register: number): number {
    return (this.#narrow[register] ||= this.#take(I32));
  }
  float(register: number): number {
    return (this.#float[register] ||= this.#take(F64));
  }
  /** The local with the single that a floating-point register is known to hold. */
  single(register: number): number {
    return (this.#single[register] ||= this.#take(F32));
  }
  scratch(number: number): number {
    return (this.#scratch[number] ||= this.#take(SCRATCH_TYPES[number]!));
  }
  /** The local for the physical address of a group of accesses through `register`. */
  base(register: number): number {
    return (this.#base[register] ||= this.#take(I32));
  }
  load(set: RegisterSet): void {
    for (let rest = set.x >>> 0, n = 0; rest !== 0; rest >>>= 1, n++) {
      if (rest & 1) this.#access(LOAD.i64, REG_X + n * 8, this.x(n));
    }
    for (let rest = set.f >>> 0, n = 0; rest !== 0; rest >>>= 1, n++) {
      if (rest & 1) this.#access(LOAD.f64, REG_F + n * 8, this.float(n));
    }
  }

  #access(op: number, offset: number, index: number): void {
    const to = this.#to;
    to.byte(CONTROL.localGet);
    to.byte(0);
    to.byte(op);
    to.byte(0);
    to.unsigned(offset);
    to.byte(CONTROL.localSet);
    to.unsigned(index);
  }

  /** Extends narrow registers into their ordinary locals. */
  extend(registers: number): void {
    const to = this.#to;
    for (let rest = registers >>> 0, n = 0; rest !== 0; rest >>>= 1, n++) {
      if ((rest & 1) === 0) continue;
      to.byte(CONTROL.localGet);
      to.unsigned(this.narrow(n));
      to.byte(EXTEND_SIGNED);
      to.byte(CONTROL.localSet);
      to.unsigned(this.x(n));
    }
  }

  spill(set: RegisterSet): void {
    this.#spill(set.x, REG_X, STORE.i64, this.#x);
    this.#spill(set.f, REG_F, STORE.f64, this.#float);
  }

  #spill(bits: number, base: number, op: number, indexes: Uint8Array): void {
    const to = this.#to;
    for (let rest = bits >>> 0, n = 0; rest !== 0; rest >>>= 1, n++) {
      if ((rest & 1) === 0) continue;
      to.byte(CONTROL.localGet);
      to.byte(0);
      to.byte(CONTROL.localGet);
      to.unsigned(indexes[n]!);
      to.byte(op);
      to.byte(0);
      to.unsigned(base + n * 8);
    }
  }
}
