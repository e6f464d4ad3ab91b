/**
 * The M extension. Unprivileged specification, chapter 12.
 *
 * Division never traps: by zero it gives all ones (remainder: the dividend), and the one signed overflow
 * gives the dividend (remainder: 0); table 11. WebAssembly traps on both, so they are taken out first.
 */
import { type Emitter, FORMAT, type HelperName, type Instruction, OPCODE, row } from "./isa.ts";
import { constant, type Expr } from "./wasm/expression.ts";

type Binary = (a: Expr, b: Expr) => Expr;

/** Divides locals, so that each may be read several times. */
const quotient: Binary = (a, b) =>
  b.eqz().choose(constant(a.type, -1), b.eq(-1).choose(constant(a.type, 0).sub(a), a.div(b)));
const quotientUnsigned: Binary = (a, b) => b.eqz().choose(constant(a.type, -1), a.divU(b));
// wasm's rem_s is 0 for the overflowing pair, as RISC-V wants.
const remainder: Binary = (a, b) => b.eqz().choose(a, a.rem(b));
const remainderUnsigned: Binary = (a, b) => b.eqz().choose(a, a.remU(b));

const divide = (f: Binary) => (e: Emitter) => e.setRd(f(e.f.let(e.rs1()), e.f.let(e.rs2())));
const divide32 = (f: Binary) => (e: Emitter) =>
  e.setRd(f(e.f.let(e.rs1().wrap()), e.f.let(e.rs2().wrap())).extendS());
const upper = (helper: HelperName) => (e: Emitter) => e.setRd(e.helper(helper, e.rs1(), e.rs2()));

const op = (name: string, funct3: number, emit: (e: Emitter) => void): Instruction =>
  row(name, "M", OPCODE.op, { funct3, funct7: 1 }, FORMAT.r, emit);
const op32 = (name: string, funct3: number, emit: (e: Emitter) => void): Instruction =>
  row(name, "M", OPCODE.op32, { funct3, funct7: 1 }, FORMAT.r, emit);

export const MULTIPLY: readonly Instruction[] = [
  op("mul", 0, (e) => e.setRd(e.rs1().mul(e.rs2()))),
  op("mulh", 1, upper("mulh")),
  op("mulhsu", 2, upper("mulhsu")),
  op("mulhu", 3, upper("mulhu")),
  op("div", 4, divide(quotient)),
  op("divu", 5, divide(quotientUnsigned)),
  op("rem", 6, divide(remainder)),
  op("remu", 7, divide(remainderUnsigned)),
  op32("mulw", 0, (e) => e.setRd(e.rs1().wrap().mul(e.rs2().wrap()).extendS())),
  op32("divw", 4, divide32(quotient)),
  op32("divuw", 5, divide32(quotientUnsigned)),
  op32("remw", 6, divide32(remainder)),
  op32("remuw", 7, divide32(remainderUnsigned)),
];
