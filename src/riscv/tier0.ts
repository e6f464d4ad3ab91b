/**
 * Tier 0: an interpreter in WebAssembly, made from the instruction table (docs/design/riscv.md).
 *
 * One function holds a loop with a handler for each group of rows. Invariants at the head of the inner loop:
 *
 * 1. `pc` is the address of an instruction that has not begun, `raw` its bytes (of a 16-bit instruction, the
 *    upper half is anything), and `delta` is pa − va of pc's page, which may be fetched from.
 * 2. No import has been called since `delta` was looked up.
 * 3. x0's slot is 0.
 * 4. Everything else that a guest can see is in the register file and in memory; REG_PC is not up to date.
 *
 * Whoever calls an import or returns stores REG_PC before.
 */
import { EXIT, HART_INTERRUPT, PAGE_SIZE, REG_BUDGET, REG_PC, REG_TRAP_VALUE } from "../base/hart-abi.ts";
import { addHelpers, FunctionNames, INTEGER_HELPERS } from "./helpers.ts";
import { emitDispatcher, INTERNAL_EXIT, REGION_IMPORTS, REGION_SIGNATURE } from "./dispatcher.ts";
import type { Instruction } from "./isa.ts";
import { emitLookUp, FIRST_COUNT } from "./jump-cache.ts";
import { ROUNDING_HELPERS } from "./softfloat.ts";
import { ARITHMETIC_HELPERS } from "./softfloat-arithmetic.ts";
import { CONVERSION_HELPERS } from "./softfloat-convert.ts";
import { type Frame, narrowFields, Tier0Emitter, wideFields } from "./tier0-emitter.ts";
import { MEMORY_HELPERS, STATUS } from "./tier0-memory.ts";
import { NARROW_TABLE, tier0Handlers, WIDE_INDEX_BITS, WIDE_TABLE } from "./tier0-tables.ts";
import { type WasmMemory, type WasmModule, type WasmTable, WebAssembly } from "../base/webassembly.ts";
import { type Expr, global, i32, load } from "./wasm/expression.ts";
import type { FunctionBuilder, Label, Signature } from "./wasm/function-builder.ts";
import { ModuleBuilder } from "./wasm/module-builder.ts";
import { I32, I64, LOAD, STORE } from "./wasm/opcodes.ts";

/** Pages of 64 KiB in the largest memory, 4 GiB. */
const MAXIMUM_PAGES = 65536;
const CODE_CAPACITY = 1 << 18;

const IMPORTS: Readonly<Record<"syscall" | "fault" | "csr", Signature>> = {
  syscall: { parameters: [I32], result: I32 },
  fault: { parameters: [I32, I32, I32, I32], result: I32 },
  csr: { parameters: [I32, I32], result: I32 },
};

/** What a build may have beside the interpreter. */
export interface Tier0Options {
  /** Counts executed instructions in the 64-bit word at this offset of the register file. For measurements. */
  readonly countAt?: number;
  /** Runs regions: `run` is the dispatcher (dispatcher.ts), `env.table` and `env.hot` are imported. */
  readonly regions?: boolean;
  /** With regions: transfers to a target before `hot` is called for it; 0: when it is met first. */
  readonly firstCount?: number;
}

/** The interpreter's module. It is the same at every call with the same options. */
export function buildTier0(options: Tier0Options = {}): Uint8Array<ArrayBuffer> {
  const { countAt, regions = false, firstCount = FIRST_COUNT } = options;
  const module = new ModuleBuilder(CODE_CAPACITY);
  const names = new FunctionNames();
  module.importSharedMemory("env", "memory", 1, MAXIMUM_PAGES);
  for (const name of ["syscall", "fault", "csr"] as const) {
    names.add(name, module.importFunction("env", name, IMPORTS[name]));
  }
  if (regions) {
    names.add("hot", module.importFunction("env", "hot", { parameters: [I32], result: I32 }));
    module.importTable("env", "table");
  }
  const tables = global(I32, module.importGlobal("env", "tables", I32));
  addHelpers(module, names, [
    ...INTEGER_HELPERS,
    ...ROUNDING_HELPERS,
    ...ARITHMETIC_HELPERS,
    ...CONVERSION_HELPERS,
    ...MEMORY_HELPERS,
  ]);
  const interpret = module.declare({ parameters: [I32, I32], result: I32 });
  module.define(interpret, (f) =>
    emitInterpreter(f, { names, tables, countAt, firstCount: regions ? firstCount : undefined }),
  );
  if (regions) {
    names.add("interpret", interpret);
    const run = module.declare({ parameters: [I32, I32], result: I32 });
    const regionType = module.typeIndex(REGION_SIGNATURE);
    module.define(run, (f) => emitDispatcher(f, names.call, regionType, firstCount));
    module.exportFunction("run", run);
    for (const name of REGION_IMPORTS) module.exportFunction(name, names.get(name));
  } else module.exportFunction("run", interpret);
  return module.finish();
}

/** i32, not 0 if the next instruction in order, at `pc`, may lie on another page, or may straddle two. */
function atPageEdge(pc: Expr): Expr {
  return pc
    .wrap()
    .and(PAGE_SIZE - 1)
    .sub(4)
    .gtU(PAGE_SIZE - 8);
}

/** i32, not 0 if an instruction at `pc` may straddle two pages. */
function atLastHalfword(pc: Expr): Expr {
  return pc
    .wrap()
    .and(PAGE_SIZE - 1)
    .eq(PAGE_SIZE - 2);
}

interface InterpreterParts {
  readonly names: FunctionNames;
  readonly tables: Expr;
  readonly countAt: number | undefined;
  /** Undefined: without regions. */
  readonly firstCount: number | undefined;
}

function emitInterpreter(f: FunctionBuilder, parts: InterpreterParts): void {
  const { names, tables, countAt, firstCount } = parts;
  const call = names.call;
  const regs = f.parameter(0);
  const hart = f.parameter(1);
  const pc = f.let(load(LOAD.i64, regs, REG_PC));
  const raw = f.local(I32);
  const delta = f.local(I32);
  const entry = f.local(I64);
  const fields = f.local(I32);
  const target = f.local(I64);
  const status = f.local(I32);

  f.loop((refetch) => {
    f.scoped(() => {
      const fetched = f.let(call("fetch", regs, pc));
      f.set(raw, fetched.wrap());
      f.set(delta, fetched.shrU(32).wrap());
    });
    f.if(
      delta.and(PAGE_SIZE - 1),
      () => {
        f.brIf(refetch, raw.eq(STATUS.retry));
        f.return(i32(EXIT.LEFT));
      },
      undefined,
      "unlikely",
    );
    f.loop((next) => {
      /** Goes on with the instruction at `pc`, on the same page unless `isElsewhere`. */
      const fetchNext = (isElsewhere: Expr): void => {
        f.brIf(refetch, isElsewhere, "unlikely");
        f.set(raw, load(LOAD.i32, delta.add(pc.wrap())));
        f.br(next);
      };
      if (countAt !== undefined) {
        f.store(STORE.i64, regs, load(LOAD.i64, regs, countAt).add(1), countAt);
      }
      f.block((interrupted) => {
        f.block((jump) => {
          f.block((illegalWide) => {
            f.block((illegalNarrow) => {
              const frame = {
                f,
                call,
                regs,
                hart,
                pc,
                raw,
                entry,
                fields,
                target,
                status,
                refetch,
                interrupted,
                jump,
                regions: firstCount !== undefined,
              };
              emitHandlers({ ...frame, illegal: illegalWide }, tables, illegalNarrow, (length) => {
                f.set(pc, pc.add(length));
                fetchNext(atPageEdge(pc));
              });
            });
            f.set(raw, raw.and(0xffff));
          });
          f.store(STORE.i64, regs, raw.extendU(), REG_TRAP_VALUE);
          f.store(STORE.i64, regs, pc, REG_PC);
          f.return(i32(EXIT.ILLEGAL));
        });
        emitJump(f, { regs, hart, pc, target, firstCount }, refetch);
        fetchNext(atLastHalfword(pc));
      });
      f.brIf(refetch, status.eq(STATUS.retry));
      f.return(i32(EXIT.LEFT));
    });
    f.unreachable();
  });
  f.unreachable();
}

/** A taken control transfer: counts it, polls, sets `pc`; goes to `refetch` if the page changes. */
function emitJump(
  f: FunctionBuilder,
  {
    regs,
    hart,
    pc,
    target,
    firstCount,
  }: { regs: Expr; hart: Expr; pc: Expr; target: Expr; firstCount: number | undefined },
  refetch: Label,
): void {
  f.scoped(() => {
    const budget = f.let(load(LOAD.i32, regs, REG_BUDGET).sub(1));
    f.store(STORE.i32, regs, budget, REG_BUDGET);
    f.if(
      budget.le(0).or(load(LOAD.atomicI32, hart, HART_INTERRUPT)),
      () => {
        f.store(STORE.i64, regs, target, REG_PC);
        f.return(budget.le(0).select(i32(EXIT.BUDGET), i32(EXIT.INTERRUPT)));
      },
      undefined,
      "unlikely",
    );
    if (firstCount !== undefined) {
      const leave = (exit: number): void => {
        f.store(STORE.i64, regs, target, REG_PC);
        f.return(i32(exit));
      };
      emitLookUp(
        f,
        { hart, pc: target, firstCount },
        () => leave(INTERNAL_EXIT.enter),
        () => leave(INTERNAL_EXIT.hot),
      );
    }
    const changed = f.let(pc.xor(target).shrU(12).eqz().eqz());
    f.set(pc, target);
    f.brIf(refetch, changed);
  });
}

/** The dispatch, and around it a block for each handler with the handler's code after it. */
function emitHandlers(
  frame: Frame,
  tables: Expr,
  illegalNarrow: Label,
  advance: (length: 2 | 4) => void,
): void {
  const { f, raw, entry, fields } = frame;
  const { wide, narrow } = tier0Handlers();
  const wideLabels: Label[] = [frame.illegal];
  const narrowLabels: Label[] = [illegalNarrow];

  const dispatch = (): void => {
    f.if(raw.and(3).ne(3), () => {
      f.set(entry, load(LOAD.i64, tables.add(raw.and(0xffff).shl(3)), NARROW_TABLE));
      f.set(fields, entry.wrap());
      f.brTable(fields.shrU(24), narrowLabels, illegalNarrow);
    });
    const index = raw.shrU(2).and(0x1f).or(raw.shrU(7).and(0xe0)).or(raw.shrU(17).and(0x7f00));
    f.brTable(load(LOAD.i32U8, tables.add(index), WIDE_TABLE), wideLabels, frame.illegal);
  };

  const wideHandler = (rows: readonly Instruction[]): void => {
    for (const row of rows) {
      const rest = row.mask & ~WIDE_INDEX_BITS & ~3;
      const emit = (): void => {
        row.emit(new Tier0Emitter(frame, wideFields(raw, row.format.immediate), row.name === "jalr"));
        advance(4);
      };
      if (rest === 0) emit();
      else f.if(raw.and(rest).eq(row.match & rest), () => f.scoped(emit));
    }
    if (rows.every((row) => (row.mask & ~WIDE_INDEX_BITS & ~3) !== 0)) f.br(frame.illegal);
  };
  const narrowHandler = (row: Instruction): void => {
    row.emit(new Tier0Emitter(frame, narrowFields(entry, fields), row.name === "jalr"));
    advance(2);
  };

  const nestWide = (number: number): void => {
    const rows = wide[number];
    if (rows === undefined) {
      dispatch();
      return;
    }
    f.block((label) => {
      wideLabels[number] = label;
      nestWide(number + 1);
    });
    f.scoped(() => wideHandler(rows));
  };
  const nestNarrow = (number: number): void => {
    const row = narrow[number];
    if (row === undefined) {
      nestWide(1);
      return;
    }
    f.block((label) => {
      narrowLabels[number] = label;
      nestNarrow(number + 1);
    });
    f.scoped(() => narrowHandler(row));
  };
  nestNarrow(1);
}

/** What the kernel gives the interpreter. `fault`, `syscall` and `csr`: see docs/design/riscv.md. */
export interface Tier0Imports {
  readonly memory: WasmMemory;
  /** pa of the tables that writeTier0Tables filled, a multiple of 64. */
  readonly tables: number;
  /** Handles the ecall at REG_PC. 0: go on at REG_PC; else leave. */
  syscall(regs: number): number;
  /** Handles a refused access to va vaHigh:vaLow. 0: execute the instruction again; else leave. */
  fault(regs: number, vaLow: number, vaHigh: number, kind: number): number;
  /** Writes the value of a CSR to REG_SCRATCH. 0: done; else the instruction is illegal. */
  csr(regs: number, csr: number): number;
  /** Of a module with regions: their table, and what makes a region for REG_PC (translator.ts). */
  readonly table?: WasmTable;
  hot?(regs: number): number;
}

/** The running interpreter of one hart. */
export interface Tier0 {
  /** Runs from REG_PC of the register file at pa `regs` until an exit, whose EXIT code it returns. */
  run(regs: number, hart: number): number;
}

/** An instance of the module that {@link buildTier0} gives. */
export function instantiateTier0(module: WasmModule, imports: Tier0Imports): Tier0 {
  const { memory, tables, syscall, fault, csr, table, hot } = imports;
  const env = { memory, tables, syscall, fault, csr, ...(table && { table }), ...(hot && { hot }) };
  const instance = new WebAssembly.Instance(module, { env });
  return instance.exports as unknown as Tier0;
}
