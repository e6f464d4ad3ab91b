/**
 * The A extension. Unprivileged specification, chapter 13.
 *
 * WebAssembly's atomic accesses are sequentially consistent, which covers every aq and rl.
 */
import { type Emitter, FORMAT, type Instruction, OPCODE, row } from "./isa.ts";
import type { Expr } from "./wasm/expression.ts";
import { I32, I64, LOAD, RMW, type RmwOp } from "./wasm/opcodes.ts";
import { load } from "./wasm/expression.ts";

type Width = 2 | 3;
const widen = (value: Expr): Expr => (value.type === I32 ? value.extendS() : value);
const narrow = (width: Width, value: Expr): Expr => (width === 2 ? value.wrap() : value);

/** An operation that WebAssembly has. */
const direct = (op: RmwOp, width: Width) => (e: Emitter) => {
  const address = e.atomicAddress(width, e.rs1());
  e.setRd(widen(e.rmw(op, address, narrow(width, e.rs2()))));
};

/** Any other operation: compare and exchange until nobody came between. */
const retried = (f: (old: Expr, operand: Expr) => Expr, width: Width) => (e: Emitter) => {
  const address = e.atomicAddress(width, e.rs1());
  const type = width === 2 ? I32 : I64;
  const operand = e.f.let(narrow(width, e.rs2()));
  const old = e.f.let(load(width === 2 ? LOAD.atomicI32 : LOAD.atomicI64, address));
  const seen = e.f.local(type);
  e.f.block((done) => {
    e.f.loop((again) => {
      e.f.set(seen, e.rmw(RMW.cmpxchg, address, old, f(old, operand)));
      e.f.brIf(done, seen.eq(old));
      e.f.set(old, seen);
      e.f.br(again);
    });
  });
  e.setRd(widen(old));
};

const amo = (name: string, funct5: number, make: (width: Width) => (e: Emitter) => void): Instruction[] => [
  row(`${name}.w`, "A", OPCODE.amo, { funct3: 2, funct5 }, FORMAT.amo, make(2)),
  row(`${name}.d`, "A", OPCODE.amo, { funct3: 3, funct5 }, FORMAT.amo, make(3)),
];

const reserve = (width: Width) => (e: Emitter) => e.setRd(e.loadReserved(width, e.rs1()));

export const ATOMIC: readonly Instruction[] = [
  row("lr.w", "A", OPCODE.amo, { funct3: 2, funct5: 0x02, rs2: 0 }, FORMAT.lr, reserve(2)),
  row("lr.d", "A", OPCODE.amo, { funct3: 3, funct5: 0x02, rs2: 0 }, FORMAT.lr, reserve(3)),
  ...amo("sc", 0x03, (width) => (e) => e.setRd(e.storeConditional(width, e.rs1(), e.rs2()))),
  ...amo("amoswap", 0x01, (width) => direct(RMW.xchg, width)),
  ...amo("amoadd", 0x00, (width) => direct(RMW.add, width)),
  ...amo("amoxor", 0x04, (width) => direct(RMW.xor, width)),
  ...amo("amoand", 0x0c, (width) => direct(RMW.and, width)),
  ...amo("amoor", 0x08, (width) => direct(RMW.or, width)),
  ...amo("amomin", 0x10, (width) => retried((a, b) => a.lt(b).select(a, b), width)),
  ...amo("amomax", 0x14, (width) => retried((a, b) => a.gt(b).select(a, b), width)),
  ...amo("amominu", 0x18, (width) => retried((a, b) => a.ltU(b).select(a, b), width)),
  ...amo("amomaxu", 0x1c, (width) => retried((a, b) => a.gtU(b).select(a, b), width)),
];
