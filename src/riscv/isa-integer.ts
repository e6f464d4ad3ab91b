/** RV64I, Zicsr and Zifencei. Unprivileged specification, chapters 2, 4, 6 and 7. */
import { type Emitter, type Fields, FORMAT, type Instruction, OPCODE, row } from "./isa.ts";
import type { Expr } from "./wasm/expression.ts";
import { I64, LOAD, type LoadOp, STORE, type StoreOp } from "./wasm/opcodes.ts";

type Binary = (a: Expr, b: Expr) => Expr;

const add: Binary = (a, b) => a.add(b);
const sub: Binary = (a, b) => a.sub(b);
const and: Binary = (a, b) => a.and(b);
const or: Binary = (a, b) => a.or(b);
const xor: Binary = (a, b) => a.xor(b);
const setLess: Binary = (a, b) => a.lt(b).extendU();
const setLessUnsigned: Binary = (a, b) => a.ltU(b).extendU();
const shiftLeft: Binary = (a, b) => a.shl(b);
const shiftRight: Binary = (a, b) => a.shrU(b);
const shiftRightArithmetic: Binary = (a, b) => a.shrS(b);

/** rd = a op b on 64 bits, with rs2 or with the immediate. */
const register = (f: Binary) => (e: Emitter) => e.setRd(f(e.rs1(), e.rs2()));
const immediate = (f: Binary) => (e: Emitter) => e.setRd(f(e.rs1(), e.imm()));
/** The same on the low 32 bits, with the result sign-extended. */
const register32 = (f: Binary) => (e: Emitter) => e.setRd(f(e.rs1().wrap(), e.rs2().wrap()).extendS());
const immediate32 = (f: Binary) => (e: Emitter) => e.setRd(f(e.rs1().wrap(), e.imm().wrap()).extendS());

const op = (name: string, funct3: number, funct7: number, f: Binary): Instruction =>
  row(name, "I", OPCODE.op, { funct3, funct7 }, FORMAT.r, register(f));
const op32 = (name: string, funct3: number, funct7: number, f: Binary): Instruction =>
  row(name, "I", OPCODE.op32, { funct3, funct7 }, FORMAT.r, register32(f));
const opImm = (name: string, funct3: number, f: Binary): Instruction =>
  row(name, "I", OPCODE.opImm, { funct3 }, FORMAT.i, immediate(f));
const shift = (name: string, funct3: number, funct6: number, f: Binary): Instruction =>
  row(name, "I", OPCODE.opImm, { funct3, funct6 }, FORMAT.shift6, immediate(f));
const shift32 = (name: string, funct3: number, funct7: number, f: Binary): Instruction =>
  row(name, "I", OPCODE.opImm32, { funct3, funct7 }, FORMAT.shift5, immediate32(f));

const load = (name: string, funct3: number, access: LoadOp): Instruction =>
  row(name, "I", OPCODE.load, { funct3 }, FORMAT.load, (e) => e.setRd(e.load(access, e.rs1().add(e.imm()))));
const store = (name: string, funct3: number, access: StoreOp): Instruction =>
  row(name, "I", OPCODE.store, { funct3 }, FORMAT.store, (e) =>
    e.store(access, e.rs1().add(e.imm()), e.rs2()),
  );
const branch = (name: string, funct3: number, condition: Binary): Instruction =>
  row(name, "I", OPCODE.branch, { funct3 }, FORMAT.branch, (e) => e.branch(condition(e.rs1(), e.rs2())));

const system = (name: string, fields: Fields, emit: (e: Emitter) => void): Instruction =>
  row(name, "I", OPCODE.system, { funct3: 0, rd: 0, rs1: 0, ...fields }, FORMAT.none, emit);

export const INTEGER: readonly Instruction[] = [
  row("lui", "I", OPCODE.lui, {}, FORMAT.upper, (e) => e.setRd(e.imm())),
  row("auipc", "I", OPCODE.auipc, {}, FORMAT.upper, (e) => e.setRd(e.pc().add(e.imm()))),
  row("jal", "I", OPCODE.jal, {}, FORMAT.jal, (e) => {
    e.setRd(e.next());
    e.jump(e.pc().add(e.imm()));
  }),
  row("jalr", "I", OPCODE.jalr, { funct3: 0 }, FORMAT.jalr, (e) => {
    // The target is taken before rd is set: they may be the same register.
    const target = e.f.local(I64);
    e.f.set(target, e.rs1().add(e.imm()).and(-2));
    e.setRd(e.next());
    e.jump(target);
  }),

  branch("beq", 0, (a, b) => a.eq(b)),
  branch("bne", 1, (a, b) => a.ne(b)),
  branch("blt", 4, (a, b) => a.lt(b)),
  branch("bge", 5, (a, b) => a.ge(b)),
  branch("bltu", 6, (a, b) => a.ltU(b)),
  branch("bgeu", 7, (a, b) => a.geU(b)),

  load("lb", 0, LOAD.i64S8),
  load("lh", 1, LOAD.i64S16),
  load("lw", 2, LOAD.i64S32),
  load("ld", 3, LOAD.i64),
  load("lbu", 4, LOAD.i64U8),
  load("lhu", 5, LOAD.i64U16),
  load("lwu", 6, LOAD.i64U32),
  store("sb", 0, STORE.i64Low8),
  store("sh", 1, STORE.i64Low16),
  store("sw", 2, STORE.i64Low32),
  store("sd", 3, STORE.i64),

  opImm("addi", 0, add),
  opImm("slti", 2, setLess),
  opImm("sltiu", 3, setLessUnsigned),
  opImm("xori", 4, xor),
  opImm("ori", 6, or),
  opImm("andi", 7, and),
  shift("slli", 1, 0x00, shiftLeft),
  shift("srli", 5, 0x00, shiftRight),
  shift("srai", 5, 0x10, shiftRightArithmetic),
  row("addiw", "I", OPCODE.opImm32, { funct3: 0 }, FORMAT.i, immediate32(add)),
  shift32("slliw", 1, 0x00, shiftLeft),
  shift32("srliw", 5, 0x00, shiftRight),
  shift32("sraiw", 5, 0x20, shiftRightArithmetic),

  op("add", 0, 0x00, add),
  op("sub", 0, 0x20, sub),
  op("sll", 1, 0x00, shiftLeft),
  op("slt", 2, 0x00, setLess),
  op("sltu", 3, 0x00, setLessUnsigned),
  op("xor", 4, 0x00, xor),
  op("srl", 5, 0x00, shiftRight),
  op("sra", 5, 0x20, shiftRightArithmetic),
  op("or", 6, 0x00, or),
  op("and", 7, 0x00, and),
  op32("addw", 0, 0x00, add),
  op32("subw", 0, 0x20, sub),
  op32("sllw", 1, 0x00, shiftLeft),
  op32("srlw", 5, 0x00, shiftRight),
  op32("sraw", 5, 0x20, shiftRightArithmetic),

  // Reserved fm, rd and rs1 are ignored, as 2.7 asks of implementations.
  row("fence", "I", OPCODE.miscMem, { funct3: 0 }, FORMAT.fence, (e) => e.fence()),
  row("fence.i", "Zifencei", OPCODE.miscMem, { funct3: 1 }, FORMAT.none, (e) => e.fenceI()),
  system("ecall", { funct7: 0, rs2: 0 }, (e) => e.ecall()),
  system("ebreak", { funct7: 0, rs2: 1 }, (e) => e.ebreak()),

  row("csrrw", "Zicsr", OPCODE.system, { funct3: 1 }, FORMAT.csr, (e) => e.csr("write", "rs1")),
  row("csrrs", "Zicsr", OPCODE.system, { funct3: 2 }, FORMAT.csr, (e) => e.csr("set", "rs1")),
  row("csrrc", "Zicsr", OPCODE.system, { funct3: 3 }, FORMAT.csr, (e) => e.csr("clear", "rs1")),
  row("csrrwi", "Zicsr", OPCODE.system, { funct3: 5 }, FORMAT.csrImmediate, (e) => e.csr("write", "zimm")),
  row("csrrsi", "Zicsr", OPCODE.system, { funct3: 6 }, FORMAT.csrImmediate, (e) => e.csr("set", "zimm")),
  row("csrrci", "Zicsr", OPCODE.system, { funct3: 7 }, FORMAT.csrImmediate, (e) => e.csr("clear", "zimm")),
];
