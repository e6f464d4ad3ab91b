/**
 * The region translator's side of the instruction table: what a row means, recorded with holes for its
 * operands (region-template.ts). Registers are WebAssembly locals, integer ones i64, floating-point ones f64.
 *
 * Of a control transfer only what its condition or its target is computed from is recorded: `branch` leaves
 * the condition on the stack, `jump` the target in a local. The rest is region-function.ts's business.
 */
import {
  ACCESS,
  LEAF_READ,
  LEAF_WRITE,
  PAGE_SIZE,
  REG_FFLAGS,
  REG_FRM,
  REG_RESERVATION,
  REG_RESERVED_VALUE,
  REG_SCRATCH,
  RUN_BOUND,
  RUN_ENTRY,
  RUN_GUARD,
  RUN_START,
} from "../base/hart-abi.ts";
import type { CsrOperation, Emitter, FloatSource, HelperName, Instruction } from "./isa.ts";
import { FIXED } from "./region-locals.ts";
import {
  constantHole,
  HOLE,
  record,
  recordedCall,
  registerHole,
  type Template,
  VARIANT,
} from "./region-template.ts";
import type { Group } from "./region-accesses.ts";
import { forbidden, RUN, unusable } from "./tier0-memory.ts";
import { asBits, asFloat, type Binary, BINARY32, BINARY64, boxed, FLAG, unboxed } from "./softfloat.ts";
import { type Expr, f64, i32, i64, load, loadAtHole, rmw } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function-builder.ts";
import {
  accessLog2,
  F32,
  F64,
  I32,
  I64,
  LOAD,
  type LoadOp,
  RMW,
  type RmwOp,
  STORE,
  type StoreOp,
  type ValueType,
} from "./wasm/opcodes.ts";

const { regs, hart, root, target, offset, ceiling, ceiling32 } = FIXED;

/** Sets the ceilings (region-locals.ts) as frm and fflags say. */
export function setCeilings(f: FunctionBuilder): void {
  const isNative = load(LOAD.i32, regs, REG_FRM)
    .eqz()
    .and(load(LOAD.i32, regs, REG_FFLAGS));
  f.set(ceiling, isNative.select(f64(Number.POSITIVE_INFINITY), f64(0)));
  f.set(ceiling32, isNative.select(i32(INFINITY_32), i32(0)).asF32());
}
const INFINITY_32 = 0x7f800000;
const LEAST_NORMAL_32 = 0x00800000;
const LEAST_NORMAL = 2.2250738585072014e-308;

/** fsgnj.d, fsgnjn.d and fsgnjx.d of one register: a move, a negation, the absolute value. */
export function recordSign(f: FunctionBuilder, row: Instruction): boolean {
  const x = registerHole(F64, HOLE.fs1);
  const value = { "fsgnj.d": x, "fsgnjn.d": x.neg(), "fsgnjx.d": x.abs() }[row.name];
  if (value === undefined) return false;
  f.set(registerHole(F64, HOLE.fd), value);
  return true;
}

/** and, or, xor of narrow registers into one: in 32 bits. */
export function recordLogic(f: FunctionBuilder, { name }: Instruction, variant: number): void {
  // What is not narrow is x0.
  const source = (narrow: number, kind: number): Expr =>
    (variant & narrow) === 0 ? i32(0) : registerHole(I32, kind);
  const a = source(VARIANT.narrowRs1, HOLE.narrowRs1);
  const b = name.endsWith("i") ? constantHole(I32, HOLE.imm) : source(VARIANT.narrowRs2, HOLE.narrowRs2);
  const operation = name.replace(/i$/, "") as "and" | "or" | "xor";
  f.set(registerHole(I32, HOLE.narrowRd), a[operation](b));
}

/** The table's entry for `va`, from the read or the write array. */
function entryOf(va: Expr, array: number): Expr {
  const leaf = load(LOAD.i32, root.add(va.shrU(22).wrap().and(0xfffc)));
  return load(LOAD.i32, leaf.add(va.shrU(10).wrap().and(0x3ffc)), array);
}

/** The check of a group of accesses by the page table: sets the group's base, to 0 if they are not allowed. */
function walkCheck(array: number): Template {
  return record((f) => {
    const low = f.let(registerHole(I64, HOLE.rs1).add(constantHole(I64, HOLE.low)));
    const entry = f.let(entryOf(low, array));
    const inPage = low.wrap().and(PAGE_SIZE - 1);
    const isBad = forbidden(entry, low, 1)
      .or(unusable(low))
      .or(inPage.gtU(constantHole(I32, HOLE.limit)));
    f.set(registerHole(I32, HOLE.base), isBad.select(i32(0), entry.add(low.wrap())));
  });
}

/** The check of a group of accesses by a run of pages that the hart block keeps. */
function runCheck(kind: number, isWide: boolean): Template {
  return record((f) => {
    const low = f.let(registerHole(I64, HOLE.rs1).add(constantHole(I64, HOLE.low)));
    const base = registerHole(I32, HOLE.base);
    const span = constantHole(I32, HOLE.span);
    inRun(f, { low, pa: base, isWide }, () => f.set(base, findRun(low, kind, span)));
  });
}

const kept = (op: LoadOp, part: number): Expr => loadAtHole(op, hart, HOLE.slot, part);

const findRun = (low: Expr, kind: number, span: Expr): Expr =>
  recordedCall("find_run", I32, [hart, root, low, constantHole(I32, HOLE.slot), i32(kind), span]);

/** Sets `pa` to where `low` is if it is in the run of the slot; `missed` does so otherwise. */
function inRun(
  f: FunctionBuilder,
  { low, pa, isWide }: { low: Expr; pa: Expr; isWide: boolean },
  missed: () => void,
): void {
  f.set(pa, kept(LOAD.i32, RUN_ENTRY).add(low.wrap()));
  const place = f.let(low.sub(kept(LOAD.i64, RUN_START)));
  // Both ends of a wide group: the sum alone may wrap round.
  const isOutside = place.geU(kept(LOAD.i64, RUN_BOUND));
  const isEndOutside = place.add(constantHole(I64, HOLE.beyond)).geU(kept(LOAD.i64, RUN_BOUND));
  f.if(isWide ? isOutside.or(isEndOutside) : isOutside, missed, undefined, "unlikely");
}

const checks = new Map<string, Template>();

/** The check of a group, whose place and shape the holes say. */
export function groupCheck({ check, slot, writes, low, high }: Group): Template {
  const isWide = high - low + 1 > RUN_GUARD;
  const key = `${check} ${slot} ${writes} ${isWide}`;
  let found = checks.get(key);
  if (found === undefined) {
    const kind = writes ? RUN.write : slot === "write" ? RUN.readInWriteSlot : RUN.read;
    found = check === "run" ? runCheck(kind, isWide) : walkCheck(writes ? LEAF_WRITE : LEAF_READ);
    checks.set(key, found);
  }
  return found;
}

/** Records one row. */
export class RegionEmitter implements Emitter {
  readonly f: FunctionBuilder;
  readonly #row: Instruction;
  readonly #variant: number;

  constructor(f: FunctionBuilder, row: Instruction, variant: number) {
    this.f = f;
    this.#row = row;
    this.#variant = variant;
  }

  #is(variant: number): boolean {
    return (this.#variant & variant) !== 0;
  }
  regs(): Expr {
    return regs;
  }
  rs1(): Expr {
    if (this.#is(VARIANT.narrowRs1)) return registerHole(I32, HOLE.narrowRs1).extendS();
    return this.#is(VARIANT.rs10) ? i64(0) : registerHole(I64, HOLE.rs1);
  }
  rs2(): Expr {
    if (this.#is(VARIANT.narrowRs2)) return registerHole(I32, HOLE.narrowRs2).extendS();
    return this.#is(VARIANT.rs20) ? i64(0) : registerHole(I64, HOLE.rs2);
  }
  setRd(value: Expr): void {
    if (this.#is(VARIANT.rd0)) this.f.drop(value);
    else if (this.#is(VARIANT.narrowRd)) this.f.set(registerHole(I32, HOLE.narrowRd), value.wrap());
    else this.f.set(registerHole(I64, HOLE.rd), value);
  }
  imm(): Expr {
    return constantHole(I64, HOLE.imm);
  }
  pc(): Expr {
    return constantHole(I64, HOLE.pc);
  }
  next(): Expr {
    return constantHole(I64, HOLE.next);
  }
  fs1(): Expr {
    return registerHole(F64, HOLE.fs1).asI64();
  }
  fs2(): Expr {
    return registerHole(F64, HOLE.fs2).asI64();
  }
  fs3(): Expr {
    return registerHole(F64, HOLE.fs3).asI64();
  }
  setFd(value: Expr): void {
    this.f.set(registerHole(F64, HOLE.fd), value.asF64());
  }
  single(source: FloatSource): Expr {
    const { f } = this;
    if (source === 1)
      return this.#is(VARIANT.single1) ? registerHole(F32, HOLE.single1).asI32() : unboxed(f, this.fs1());
    if (source === 2)
      return this.#is(VARIANT.single2) ? registerHole(F32, HOLE.single2).asI32() : unboxed(f, this.fs2());
    return this.#is(VARIANT.single3) ? registerHole(F32, HOLE.single3).asI32() : unboxed(f, this.fs3());
  }
  /** Both the register and, until the end of the block, the single alone. */
  setSingle(value: Expr): void {
    const { f } = this;
    const single = f.let(value.asF32());
    f.set(registerHole(F32, HOLE.singleRd), single);
    this.setFd(boxed(single.asI32()));
  }

  /** Leaves the instruction to tier 0 if `condition`; nothing must have been done yet. */
  #leaveIf(condition: Expr): void {
    this.f.brIfHole(HOLE.leave, condition, "unlikely");
  }
  #setOffset(): void {
    this.f.set(offset, constantHole(I32, HOLE.offset));
  }
  #call(name: string, result: ValueType, ...args: Expr[]): Expr {
    return recordedCall(name, result, args);
  }

  roundingMode(): Expr {
    if (!this.#is(VARIANT.dynamic)) return constantHole(I32, HOLE.rm);
    // The native path needs no mode; the other one asks below.
    if (this.#arithmetic() !== undefined) return i32(0);
    return this.#dynamicMode();
  }

  #dynamicMode(): Expr {
    const mode = this.f.let(load(LOAD.i32, regs, REG_FRM));
    this.#setOffset();
    this.#leaveIf(mode.gtU(4));
    return mode;
  }

  /** The row's arithmetic, if the engine has it and the rounding mode is the dynamic one. */
  #arithmetic(): "add" | "sub" | "mul" | "div" | "sqrt" | undefined {
    const name = /^f(add|sub|mul|div|sqrt)\.[sd]$/.exec(this.#row.name)?.[1];
    return this.#is(VARIANT.dynamic) ? (name as "add" | undefined) : undefined;
  }

  helper(name: HelperName, ...args: Expr[]): Expr {
    const binary = name.startsWith("f32") ? BINARY32 : BINARY64;
    const [, , x] = args;
    if (this.#arithmetic() !== undefined) return this.#native(binary, name, args);
    if (/_(eq|lt|le)$/.test(name)) return this.#compare(binary, name, args);
    // 32-bit integers are doubles exactly.
    if (/^fcvt\.d\.wu?$/.test(this.#row.name)) return x!.convertS(F64).asI64();
    if (/^f64_to_[wl]$/.test(name) && this.#is(VARIANT.towardsZero)) return this.#truncate(name, args);
    return this.#call(name, resultOf(name), ...args);
  }

  /**
   * The engine's operation, if it must be right, else the exact one. Where the engine rounds as it is to be and NX
   * has accrued, a finite sum or root is right, since a tiny one is exact; so is a finite product or quotient
   * above the least normal number, to which a tiny one may have been rounded (softfloat.ts).
   */
  #native(binary: Binary, name: HelperName, [, , a, b]: Expr[]): Expr {
    const { f } = this;
    const operation = this.#arithmetic()!;
    const isDouble = binary === BINARY64;
    const x = f.let(asFloat(binary, a!));
    const y = b === undefined ? undefined : f.let(asFloat(binary, b));
    const result = f.let(operation === "sqrt" ? x.sqrt() : x[operation](y!));
    const magnitude = f.let(result.abs());
    const conditions = [magnitude.lt(isDouble ? ceiling : ceiling32)];
    if (operation === "mul" || operation === "div")
      conditions.push(magnitude.gt(isDouble ? f64(LEAST_NORMAL) : i32(LEAST_NORMAL_32).asF32()));
    f.block((done) => {
      f.block((slow) => {
        for (const condition of conditions) f.brIf(slow, condition.eqz(), "unlikely");
        f.br(done);
      });
      const mode = this.#dynamicMode();
      const operands = [asBits(binary, x), ...(y === undefined ? [] : [asBits(binary, y)])];
      f.set(result, asFloat(binary, this.#call(name, binary.bits, regs, mode, ...operands)));
      setCeilings(f);
    });
    return asBits(binary, result);
  }

  #compare(binary: Binary, name: HelperName, [, a, b]: Expr[]): Expr {
    const { f } = this;
    const x = f.let(asFloat(binary, a!));
    const y = f.let(asFloat(binary, b!));
    const operation = name.slice(4) as "eq" | "lt" | "le";
    const result = f.let(x[operation](y));
    const isOrdered = operation === "eq" ? x.eq(x).and(y.eq(y)) : x.lt(y).or(x.ge(y));
    f.if(
      isOrdered.eqz(),
      () => f.set(result, this.#call(name, I32, regs, asBits(binary, x), asBits(binary, y))),
      undefined,
      "unlikely",
    );
    return result;
  }

  /** A double cut off to an integer, if it is in range and either exact or NX has accrued. */
  #truncate(name: HelperName, [, mode, a]: Expr[]): Expr {
    const { f } = this;
    const x = f.let(a!.asF64());
    const whole = f.let(x.trunc());
    const result = f.local(I64);
    const isQuiet = whole.eq(x).or(load(LOAD.i32, regs, REG_FFLAGS).and(FLAG.NX));
    f.if(
      whole
        .abs()
        .lt(f64(name.endsWith("w") ? 2 ** 31 : 2 ** 63))
        .and(isQuiet),
      () => f.set(result, whole.truncS()),
      () => f.set(result, this.#call(name, I64, regs, mode!, x.asI64())),
    );
    return result;
  }

  #forbidden(entry: Expr, va: Expr, size: number): Expr {
    return forbidden(entry, va, size).or(unusable(va));
  }

  /** Where `va` is by the slot's run; `slow` sets the local otherwise. */
  #inRun(va: Expr, pa: Expr, kind: number, size: number, slow: () => void): void {
    const { f } = this;
    inRun(f, { low: va, pa, isWide: false }, () => {
      f.set(pa, findRun(va, kind, i32(size)));
      f.if(pa.eqz(), slow);
    });
  }

  load(op: LoadOp, address: Expr): Expr {
    const { f } = this;
    const size = 1 << accessLog2(op);
    const pa = f.local(I32);
    const slow = (va: Expr): void => {
      this.#setOffset();
      this.#leaveIf(this.#call("load_peek", I32, regs, i64(0), va, i32(size)));
      f.set(pa, regs.add(REG_SCRATCH));
    };
    if (this.#is(VARIANT.grouped)) {
      const base = registerHole(I32, HOLE.base);
      f.if(
        base.ltU(PAGE_SIZE),
        () => slow(address),
        () => f.set(pa, base.add(constantHole(I32, HOLE.displacement))),
        "unlikely",
      );
      return load(op, pa);
    }
    const va = f.let(address);
    if (this.#is(VARIANT.run)) {
      this.#inRun(va, pa, this.#is(VARIANT.writeSlot) ? RUN.readInWriteSlot : RUN.read, size, () => slow(va));
      return load(op, pa);
    }
    const entry = f.let(entryOf(va, LEAF_READ));
    f.set(pa, entry.add(va.wrap()));
    f.if(this.#forbidden(entry, va, size), () => slow(va), undefined, "unlikely");
    return load(op, pa);
  }

  store(op: StoreOp, address: Expr, value: Expr): void {
    const { f } = this;
    const size = 1 << accessLog2(op);
    const slow = (va: Expr): void => {
      this.#setOffset();
      this.#leaveIf(this.#call("store_peek", I32, regs, i64(0), va, i32(size), value));
    };
    if (this.#is(VARIANT.grouped)) {
      const base = registerHole(I32, HOLE.base);
      f.if(
        base.ltU(PAGE_SIZE),
        () => slow(address),
        () => f.store(op, base.add(constantHole(I32, HOLE.displacement)), value),
        "unlikely",
      );
      return;
    }
    const va = f.let(address);
    if (this.#is(VARIANT.run)) {
      const pa = f.local(I32);
      this.#inRun(va, pa, RUN.write, size, () => {
        slow(va);
        // It has been done: the one below goes where nobody looks.
        f.set(pa, regs.add(REG_SCRATCH));
      });
      f.store(op, pa, value);
      return;
    }
    const entry = f.let(entryOf(va, LEAF_WRITE));
    f.if(
      this.#forbidden(entry, va, size),
      () => slow(va),
      () => f.store(op, entry.add(va.wrap()), value),
      "unlikely",
    );
  }

  /** What is misaligned or not there is for tier 0. */
  #aligned(log2: 2 | 3, va: Expr, kind: typeof ACCESS.READ | typeof ACCESS.WRITE): Expr {
    const entry = this.f.let(entryOf(va, kind === ACCESS.READ ? LEAF_READ : LEAF_WRITE));
    this.#setOffset();
    this.#leaveIf(forbidden(entry, va, 1 << log2).or(unusable(va)));
    return entry.add(va.wrap());
  }

  atomicAddress(log2: 2 | 3, address: Expr): Expr {
    return this.f.let(this.#aligned(log2, this.f.let(address), ACCESS.WRITE));
  }

  rmw(op: RmwOp, address: Expr, ...args: Expr[]): Expr {
    return rmw(op, address, ...args);
  }

  loadReserved(log2: 2 | 3, address: Expr): Expr {
    const { f } = this;
    const va = f.let(address);
    const pa = this.#aligned(log2, va, ACCESS.READ);
    const value = f.let(log2 === 2 ? load(LOAD.atomicI32, pa).extendS() : load(LOAD.atomicI64, pa));
    f.store(STORE.i64, regs, va, REG_RESERVATION);
    f.store(STORE.i64, regs, value, REG_RESERVED_VALUE);
    return value;
  }

  storeConditional(log2: 2 | 3, address: Expr, value: Expr): Expr {
    const { f } = this;
    const va = f.let(address);
    const pa = f.let(this.#aligned(log2, va, ACCESS.WRITE));
    const failed = f.let(i64(1));
    const seen = f.let(load(LOAD.i64, regs, REG_RESERVED_VALUE));
    f.if(load(LOAD.i64, regs, REG_RESERVATION).eq(va), () => {
      const exchanged =
        log2 === 2
          ? rmw(RMW.cmpxchg, pa, seen.wrap(), value.wrap()).ne(seen.wrap())
          : rmw(RMW.cmpxchg, pa, seen, value).ne(seen);
      f.set(failed, exchanged.extendU());
    });
    f.store(STORE.i64, regs, i64(-1), REG_RESERVATION);
    return failed;
  }

  branch(condition: Expr): void {
    this.f.push(condition);
  }
  /** A jal's target is known. */
  jump(to: Expr): void {
    if (this.#row.name === "jalr") this.f.set(target, to);
  }
  ecall(): void {
    // Nothing is computed.
  }
  fence(): void {
    this.f.atomicFence();
  }
  /** Of fflags: the others are for tier 0. */
  csr(operation: CsrOperation): void {
    const { f } = this;
    const old = f.let(load(LOAD.i32, regs, REG_FFLAGS));
    if (operation === "write") {
      f.store(STORE.i32, regs, this.rs1().wrap().and(31), REG_FFLAGS);
      setCeilings(f);
    }
    this.setRd(old.extendU());
  }
  // A block ends before these (region-graph.ts).
  fenceI(): void {
    this.f.unreachable();
  }
  ebreak(): void {
    this.f.unreachable();
  }
}

/** The type of a helper's result. */
function resultOf(name: HelperName): ValueType {
  if (name.startsWith("mulh") || name.includes("_to_") || name === "f64_from_f32") return I64;
  if (/_(eq|lt|le|class)$/.test(name) || name.startsWith("f32")) return I32;
  return I64;
}
