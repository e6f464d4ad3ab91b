/**
 * Tier 0's side of the instruction table: operands are found at run time, through register numbers in the
 * instruction word (wide) or in the narrow table's entry (narrow), and live in the register file.
 */
import {
  ACCESS,
  LEAF_READ,
  LEAF_WRITE,
  REG_F,
  REG_FRM,
  REG_PC,
  REG_RESERVATION,
  REG_RESERVED_VALUE,
  REG_SCRATCH,
  REG_X,
  EXIT,
} from "../base/hart-abi.ts";
import type { CallByName } from "./helpers.ts";
import {
  CSR_OPERATION,
  type CsrOperation,
  type Emitter,
  type FloatSource,
  type HelperName,
  type ImmediateKind,
} from "./isa.ts";
import { boxed, unboxed } from "./softfloat.ts";
import { emitNote } from "./jump-cache.ts";
import { CSR_STATUS, forbidden, unusable, leafWord } from "./tier0-memory.ts";
import { type Expr, i32, i64, load, rmw } from "./wasm/expression.ts";
import type { FunctionBuilder, Label } from "./wasm/function-builder.ts";
import { accessLog2, LOAD, type LoadOp, RMW, type RmwOp, STORE, type StoreOp } from "./wasm/opcodes.ts";

/** What the handlers of the interpreter's one function share. */
export interface Frame {
  readonly f: FunctionBuilder;
  readonly call: CallByName;
  readonly regs: Expr;
  readonly hart: Expr;
  /** Address of the instruction that runs, i64. */
  readonly pc: Expr;
  /** The instruction's bytes: a word, or a halfword below anything. */
  readonly raw: Expr;
  /** A narrow instruction's entry, i64, and its lower half. */
  readonly entry: Expr;
  readonly fields: Expr;
  /** Target of a taken control transfer, i64. */
  readonly target: Expr;
  readonly status: Expr;
  /** Goes to `pc` after a fresh page walk. */
  readonly refetch: Label;
  /** Goes on with `status`, which is not DONE. */
  readonly interrupted: Label;
  /** Takes the control transfer to `target`. */
  readonly jump: Label;
  readonly illegal: Label;
  /** The module runs regions, to which a fence must be made known. */
  readonly regions: boolean;
}

/** Where an operand is: `regs` + the byte offset of a register. */
interface Fields {
  readonly rd: () => Expr;
  readonly rs1: () => Expr;
  readonly rs2: () => Expr;
  readonly rs3: () => Expr;
  readonly imm: () => Expr;
  readonly length: 2 | 4;
}

/** Immediates cut out of the word at run time. */
function wideImmediate(kind: ImmediateKind, word: Expr): Expr {
  switch (kind) {
    case "none":
      return i64(0);
    case "I":
      return word.shrS(20).extendS();
    case "S":
      return word.shrS(20).and(~31).or(word.shrU(7).and(31)).extendS();
    case "B":
      return word
        .shrS(19)
        .and(~0xfff)
        .or(word.shl(4).and(0x800))
        .or(word.shrU(20).and(0x7e0))
        .or(word.shrU(7).and(0x1e))
        .extendS();
    case "U":
      return word.and(~0xfff).extendS();
    case "J":
      return word
        .shrS(11)
        .and(~0xfffff)
        .or(word.and(0xff000))
        .or(word.shrU(9).and(0x800))
        .or(word.shrU(20).and(0x7fe))
        .extendS();
    case "shamt6":
      return word.shrU(20).and(63).extendU();
    case "shamt5":
      return word.shrU(20).and(31).extendU();
    case "csr":
      return word.shrU(20).extendU();
  }
}

export function wideFields(word: Expr, kind: ImmediateKind): Fields {
  return {
    rd: () => word.shrU(4).and(0xf8),
    rs1: () => word.shrU(12).and(0xf8),
    rs2: () => word.shrU(17).and(0xf8),
    rs3: () => word.shrU(24).and(0xf8),
    imm: () => wideImmediate(kind, word),
    length: 4,
  };
}

export function narrowFields(entry: Expr, fields: Expr): Fields {
  return {
    rd: () => fields.and(0xff),
    rs1: () => fields.shrU(8).and(0xff),
    rs2: () => fields.shrU(16).and(0xff),
    rs3: () => fields.and(0),
    imm: () => entry.shrS(32),
    length: 2,
  };
}

export class Tier0Emitter implements Emitter {
  readonly f: FunctionBuilder;
  readonly #frame: Frame;
  readonly #fields: Fields;
  readonly #isIndirect: boolean;

  /** `isIndirect`: the row is jalr. */
  constructor(frame: Frame, fields: Fields, isIndirect: boolean) {
    this.f = frame.f;
    this.#frame = frame;
    this.#fields = fields;
    this.#isIndirect = isIndirect;
  }

  regs(): Expr {
    return this.#frame.regs;
  }
  #at(field: Expr): Expr {
    return this.#frame.regs.add(field);
  }
  rs1(): Expr {
    return load(LOAD.i64, this.#at(this.#fields.rs1()), REG_X);
  }
  rs2(): Expr {
    return load(LOAD.i64, this.#at(this.#fields.rs2()), REG_X);
  }
  /** Whatever went into x0's slot is put back to 0, which is cheaper than a test by every reader. */
  setRd(value: Expr): void {
    this.f.store(STORE.i64, this.#at(this.#fields.rd()), value, REG_X);
    this.f.store(STORE.i64, this.#frame.regs, i64(0), REG_X);
  }
  imm(): Expr {
    return this.#fields.imm();
  }
  pc(): Expr {
    return this.#frame.pc;
  }
  next(): Expr {
    return this.#frame.pc.add(this.#fields.length);
  }
  fs1(): Expr {
    return load(LOAD.i64, this.#at(this.#fields.rs1()), REG_F);
  }
  fs2(): Expr {
    return load(LOAD.i64, this.#at(this.#fields.rs2()), REG_F);
  }
  fs3(): Expr {
    return load(LOAD.i64, this.#at(this.#fields.rs3()), REG_F);
  }
  setFd(value: Expr): void {
    this.f.store(STORE.i64, this.#at(this.#fields.rd()), value, REG_F);
  }
  single(source: FloatSource): Expr {
    return unboxed(this.f, source === 1 ? this.fs1() : source === 2 ? this.fs2() : this.fs3());
  }
  setSingle(value: Expr): void {
    this.setFd(boxed(value));
  }

  roundingMode(): Expr {
    const mode = this.f.let(this.#frame.raw.shrU(12).and(7));
    this.f.if(mode.eq(7), () => {
      this.f.set(mode, load(LOAD.i32, this.#frame.regs, REG_FRM));
      this.f.brIf(this.#frame.illegal, mode.gtU(4), "unlikely");
    });
    return mode;
  }

  helper(name: HelperName, ...args: Expr[]): Expr {
    return this.#frame.call(name, ...args);
  }

  #goOnIfDone(status: Expr): void {
    const { f, status: held, interrupted } = this.#frame;
    f.set(held, status);
    f.brIf(interrupted, held);
  }

  load(op: LoadOp, address: Expr): Expr {
    const { f, regs, pc, call } = this.#frame;
    const size = 1 << accessLog2(op);
    const va = f.let(address);
    const entry = f.let(leafWord(regs, va, LEAF_READ));
    const pa = f.let(entry.add(va.wrap()));
    f.if(
      forbidden(entry, va, size).or(unusable(va)),
      () => {
        this.#goOnIfDone(call("load_slow", regs, pc, va, i32(size)));
        f.set(pa, regs.add(REG_SCRATCH));
      },
      undefined,
      "unlikely",
    );
    return load(op, pa);
  }

  store(op: StoreOp, address: Expr, value: Expr): void {
    const { f, regs, pc, call } = this.#frame;
    const size = 1 << accessLog2(op);
    const va = f.let(address);
    const entry = f.let(leafWord(regs, va, LEAF_WRITE));
    f.if(
      forbidden(entry, va, size).or(unusable(va)),
      () => this.#goOnIfDone(call("store_slow", regs, pc, va, i32(size), value)),
      () => f.store(op, entry.add(va.wrap()), value),
      "unlikely",
    );
  }

  /** Misaligned is a fault of kind WRITE, whatever the instruction. */
  #aligned(log2: 2 | 3, va: Expr, kind: typeof ACCESS.READ | typeof ACCESS.WRITE): Expr {
    const { f, regs, pc, call } = this.#frame;
    const size = 1 << log2;
    const entry = f.let(leafWord(regs, va, kind === ACCESS.READ ? LEAF_READ : LEAF_WRITE));
    f.if(
      forbidden(entry, va, size).or(unusable(va)),
      () => {
        const misaligned = va
          .and(size - 1)
          .eqz()
          .eqz();
        this.#goOnIfDone(call("fault_at", regs, pc, va, misaligned.select(i32(ACCESS.WRITE), i32(kind))));
      },
      undefined,
      "unlikely",
    );
    return entry.add(va.wrap());
  }

  atomicAddress(log2: 2 | 3, address: Expr): Expr {
    return this.f.let(this.#aligned(log2, this.f.let(address), ACCESS.WRITE));
  }

  rmw(op: RmwOp, address: Expr, ...operands: Expr[]): Expr {
    return rmw(op, address, ...operands);
  }

  loadReserved(log2: 2 | 3, address: Expr): Expr {
    const { f, regs } = this.#frame;
    const va = f.let(address);
    const pa = this.#aligned(log2, va, ACCESS.READ);
    const value = f.let(log2 === 2 ? load(LOAD.atomicI32, pa).extendS() : load(LOAD.atomicI64, pa));
    f.store(STORE.i64, regs, va, REG_RESERVATION);
    f.store(STORE.i64, regs, value, REG_RESERVED_VALUE);
    return value;
  }

  storeConditional(log2: 2 | 3, address: Expr, value: Expr): Expr {
    const { f, regs } = this.#frame;
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
    const { f, pc, target, jump } = this.#frame;
    f.if(condition, () => {
      f.set(target, pc.add(this.imm()));
      f.br(jump);
    });
  }

  jump(to: Expr): void {
    const { f, target, jump, regions, hart, pc } = this.#frame;
    f.set(target, to);
    if (regions && this.#isIndirect) {
      // Not calls, and not returns, which go by ra (x1).
      const isNoted = this.#fields.rd().eqz().and(this.#fields.rs1().ne(8));
      f.if(isNoted, () => emitNote(f, hart, pc, target));
    }
    f.br(jump);
  }

  csr(operation: CsrOperation, operand: "rs1" | "zimm"): void {
    const { f, regs, pc, raw, status, call, illegal, refetch } = this.#frame;
    const value = operand === "rs1" ? this.rs1() : raw.shrU(15).and(31).extendU();
    f.set(status, call("csr_access", regs, pc, raw, i32(CSR_OPERATION[operation]), value));
    f.brIf(illegal, status.eq(CSR_STATUS.illegal), "unlikely");
    this.setRd(load(LOAD.i64, regs, REG_SCRATCH));
    f.if(status.eq(CSR_STATUS.called), () => {
      f.set(pc, this.next());
      f.br(refetch);
    });
  }

  fence(): void {
    this.f.atomicFence();
  }

  fenceI(): void {
    const { f, regs, pc, refetch, regions } = this.#frame;
    f.set(pc, this.next());
    if (regions) {
      f.store(STORE.i64, regs, pc, REG_PC);
      f.return(i32(EXIT.FENCE));
    } else f.br(refetch);
  }

  ecall(): void {
    const { f, regs, pc, call, refetch } = this.#frame;
    f.store(STORE.i64, regs, pc, REG_PC);
    f.if(call("syscall", regs), () => f.return(i32(EXIT.LEFT)));
    f.set(pc, load(LOAD.i64, regs, REG_PC));
    f.br(refetch);
  }

  ebreak(): void {
    const { f, regs, pc } = this.#frame;
    f.store(STORE.i64, regs, pc, REG_PC);
    f.return(i32(EXIT.BREAKPOINT));
  }
}
