/**
 * Tier 0's slow paths: instruction fetch on a new page, accesses that a page table entry does not allow,
 * misaligned accesses, CSRs.
 *
 * A status says how an instruction goes on: DONE, RETRY (the mapping was made, execute the instruction
 * again) or LEAVE (return EXIT.LEFT). No function here has an effect on memory or registers, REG_PC,
 * REG_TRAP_VALUE and REG_SCRATCH apart, unless its status is DONE.
 */
import {
  ACCESS,
  ENTRY_INVALID,
  HART_KEEPS,
  HART_KEPT,
  KEPT_BYTES,
  KEPT_SLOTS,
  LEAF_PAGE,
  LEAF_READ,
  LEAF_WRITE,
  PAGE_FETCH,
  PAGE_SIZE,
  REG_FFLAGS,
  REG_FRM,
  REG_PC,
  REG_ROOT,
  REG_SCRATCH,
  REG_TRAP_VALUE,
  REG_X,
  VA_BITS,
} from "../base/hart-abi.ts";
import type { HelperDefinition } from "./helpers.ts";
import { CSR_OPERATION } from "./isa.ts";
import { type Expr, i32, i64, load } from "./wasm/expression.ts";
import type { FunctionBuilder } from "./wasm/function-builder.ts";
import { I32, I64, LOAD, STORE } from "./wasm/opcodes.ts";

export const STATUS = { done: 0, retry: 1, leave: 2 } as const;

/** What a CSR instruction came to. */
export const CSR_STATUS = {
  done: 0,
  illegal: 1,
  /** Done, and the kernel was called, so that cached translations are void. */
  called: 2,
} as const;

/** The bits that a usable va has as 0. */
export const VA_HIGH: bigint = -(1n << BigInt(VA_BITS));

/** The pa of the leaf table of `va`: bits 37..24 of the va index the root's words. */
function leafOf(regs: Expr, va: Expr): Expr {
  return load(LOAD.i32, load(LOAD.i32, regs, REG_ROOT).add(va.shrU(22).wrap().and(0xfffc)));
}

/** One word of the leaf's array at `array`: bits 23..12 of the va index it. */
export function leafWord(regs: Expr, va: Expr, array: number): Expr {
  return load(LOAD.i32, leafOf(regs, va).add(va.shrU(10).wrap().and(0x3ffc)), array);
}

/** i64, not 0 if `entry` forbids an access of `size` bytes at `va` (hart-abi.ts). */
export function forbidden(entry: Expr, va: Expr, size: number): Expr {
  return entry
    .and(ENTRY_INVALID)
    .extendU()
    .or(va.and(VA_HIGH | BigInt(size - 1)));
}

/** Calls the fault import for `va`; i32, 0 if the mapping was made. */
function fault(
  f: FunctionBuilder,
  call: (name: string, ...args: Expr[]) => Expr,
  regs: Expr,
  pc: Expr,
  va: Expr,
  kind: Expr,
): Expr {
  f.store(STORE.i64, regs, pc, REG_PC);
  f.store(STORE.i64, regs, va, REG_TRAP_VALUE);
  return call("fault", regs, va.wrap(), va.shrU(32).wrap(), kind)
    .eqz()
    .select(i32(STATUS.retry), i32(STATUS.leave));
}

const pageOf = (va: Expr): Expr => va.and(-PAGE_SIZE);
const offsetOf = (va: Expr): Expr => va.wrap().and(PAGE_SIZE - 1);

/** (regs, pc, va, size) → status; the bytes are in REG_SCRATCH, zero-extended. */
function slowLoad(name: string, probe: "probe" | "peek"): HelperDefinition {
  return {
    name,
    signature: { parameters: [I32, I64, I64, I32], result: I32 },
    body: (f, call) => {
      const { regs, address, index } = twoPages(f, call, ACCESS.READ, probe);
      const value = f.let(i64(0));
      f.loop((again) => {
        f.set(index, index.sub(1));
        f.set(value, value.shl(8).or(load(LOAD.i64U8, address())));
        f.brIf(again, index);
      });
      f.store(STORE.i64, regs, value, REG_SCRATCH);
      f.return(i32(STATUS.done));
    },
  };
}

/** (regs, pc, va, size, value) → status; stores all bytes or none. */
function slowStore(name: string, probe: "probe" | "peek"): HelperDefinition {
  return {
    name,
    signature: { parameters: [I32, I64, I64, I32, I64], result: I32 },
    body: (f, call) => {
      const { address, index } = twoPages(f, call, ACCESS.WRITE, probe);
      const value = f.parameter(4);
      f.loop((again) => {
        f.set(index, index.sub(1));
        f.store(STORE.i64Low8, address(), value.shrU(index.extendU().shl(3)));
        f.brIf(again, index);
      });
      f.return(i32(STATUS.done));
    },
  };
}

export const MEMORY_HELPERS: readonly HelperDefinition[] = [
  {
    // (regs, pc, va, kind) → status of a fault at va.
    name: "fault_at",
    signature: { parameters: [I32, I64, I64, I32], result: I32 },
    body: (f, call) => {
      const [regs, pc, va, kind] = f.parameters as [Expr, Expr, Expr, Expr];
      f.return(fault(f, call, regs, pc, va, kind));
    },
  },
  {
    // (regs, pc, va, kind) → the pa of one byte, or minus the status.
    name: "probe",
    signature: { parameters: [I32, I64, I64, I32], result: I64 },
    body: (f, call) => {
      const [regs, pc, va, kind] = f.parameters as [Expr, Expr, Expr, Expr];
      const entry = f.let(
        kind.eq(ACCESS.WRITE).choose(leafWord(regs, va, LEAF_WRITE), leafWord(regs, va, LEAF_READ)),
      );
      f.if(forbidden(entry, va, 1).eqz(), () => f.return(entry.add(va.wrap()).extendU()));
      f.return(i64(0).sub(call("fault_at", regs, pc, va, kind).extendU()));
    },
  },
  {
    // As probe, but asks nobody: −1 if the entry forbids the access.
    name: "peek",
    signature: { parameters: [I32, I64, I64, I32], result: I64 },
    body: (f) => {
      const [regs, , va, kind] = f.parameters as [Expr, Expr, Expr, Expr];
      const entry = f.let(
        kind.eq(ACCESS.WRITE).choose(leafWord(regs, va, LEAF_WRITE), leafWord(regs, va, LEAF_READ)),
      );
      f.if(forbidden(entry, va, 1).eqz(), () => f.return(entry.add(va.wrap()).extendU()));
      f.return(i64(-1));
    },
  },
  {
    // For regions: (root, low, kind, mask, limit) → the pa of `low`, the first byte of a group of accesses, or
    // 0 if the group may not be accessed on one page: `mask` are the bits that must be 0 in `low`, `limit`
    // the largest offset in the page.
    name: "group_pa",
    signature: { parameters: [I32, I64, I32, I32, I32], result: I32 },
    body: (f) => {
      const [root, low, kind, mask, limit] = f.parameters as [Expr, Expr, Expr, Expr, Expr];
      const leaf = f.let(
        load(LOAD.i32, root.add(low.shrU(22).wrap().and(0xfffc))).add(low.shrU(10).wrap().and(0x3ffc)),
      );
      const entry = f.let(
        kind.eq(ACCESS.WRITE).choose(load(LOAD.i32, leaf, LEAF_WRITE), load(LOAD.i32, leaf, LEAF_READ)),
      );
      const bad = forbidden(entry, low, 1).or(low.and(mask.extendU())).or(offsetOf(low).gtU(limit).extendU());
      f.return(bad.eqz().select(entry.add(low.wrap()), i32(0)));
    },
  },
  {
    // For regions: (hart) → 0; forgets the pages that are kept in the hart block.
    name: "forget_pages",
    signature: { parameters: [I32], result: I32 },
    body: (f) => {
      const hart = f.parameter(0);
      for (let at = 0; at < KEPT_SLOTS * KEPT_BYTES; at += 8)
        f.store(STORE.i64, hart, i64(0), HART_KEPT + at);
      f.store(STORE.i32, hart, i32(0), HART_KEEPS);
      f.return(i32(0));
    },
  },
  slowLoad("load_slow", "probe"),
  slowStore("store_slow", "probe"),
  // For regions, whose registers are elsewhere: not 0 if the kernel would have to be asked.
  slowLoad("load_peek", "peek"),
  slowStore("store_peek", "peek"),
  {
    // (regs, pc) → the page's pa − va in bits 63..32 and the word at pc in bits 31..0 (if it is a 16-bit
    // instruction, the upper half is anything); or ENTRY_INVALID in bits 43..32 and the status below.
    name: "fetch",
    signature: { parameters: [I32, I64], result: I64 },
    body: (f, call) => {
      const [regs, pc] = f.parameters as [Expr, Expr];
      const failed = (va: Expr): Expr =>
        call("fault_at", regs, pc, va, i32(ACCESS.FETCH))
          .extendU()
          .or(i64(BigInt(ENTRY_INVALID) << 32n));
      const fetchable = (va: Expr, word: Expr): Expr => va.and(VA_HIGH).eqz().and(word.and(PAGE_FETCH));
      // An import may have been called, which may have left anything in x0's slot.
      f.store(STORE.i64, regs, i64(0), REG_X);
      const word = f.let(leafWord(regs, pc, LEAF_PAGE));
      f.if(fetchable(pc, word).eqz(), () => f.return(failed(pc)), undefined, "unlikely");
      const delta = f.let(word.and(-PAGE_SIZE).sub(pageOf(pc).wrap()));
      const raw = f.let(load(LOAD.i32U16, delta.add(pc.wrap())));
      f.if(raw.and(3).eq(3), () => {
        const rest = f.let(pc.add(2));
        f.if(
          offsetOf(rest),
          () => f.set(raw, load(LOAD.i32, delta.add(pc.wrap()))),
          () => {
            f.set(word, leafWord(regs, rest, LEAF_PAGE));
            f.if(fetchable(rest, word).eqz(), () => f.return(failed(rest)), undefined, "unlikely");
            f.set(raw, raw.or(load(LOAD.i32U16, word.and(-PAGE_SIZE)).shl(16)));
          },
        );
      });
      f.return(delta.extendU().shl(32).or(raw.extendU()));
    },
  },
  {
    // (regs, pc, word, operation, operand) → CSR_STATUS; the old value is in REG_SCRATCH.
    name: "csr_access",
    signature: { parameters: [I32, I64, I32, I32, I64], result: I32 },
    body: csrAccess,
  },
];

/** Checks the one or two pages of a slow access; the access goes through bytes `size` − 1 to 0. */
function twoPages(
  f: FunctionBuilder,
  call: (name: string, ...args: Expr[]) => Expr,
  kind: number,
  probe: "probe" | "peek",
): { regs: Expr; index: Expr; address: () => Expr } {
  const [regs, pc, va, size] = f.parameters as [Expr, Expr, Expr, Expr];
  const first = f.let(call(probe, regs, pc, va, i32(kind)));
  f.if(first.lt(0), () => f.return(i64(0).sub(first).wrap()));
  // Where byte 0 would lie if the second page's frame followed the first page's.
  const second = f.let(first);
  const last = f.let(va.add(size.extendU()).sub(1));
  f.if(pageOf(last).ne(pageOf(va)), () => {
    f.set(second, call(probe, regs, pc, pageOf(last), i32(kind)));
    f.if(second.lt(0), () => f.return(i64(0).sub(second).wrap()));
    f.set(second, second.sub(pageOf(last).sub(va)));
  });
  const index = f.let(size);
  const onFirst = (): Expr => offsetOf(va).add(index).lt(PAGE_SIZE);
  const address = (): Expr => onFirst().select(first, second).wrap().add(index);
  return { regs, index, address };
}

const CSR_FFLAGS = 0x001;
const CSR_FRM = 0x002;
const CSR_FCSR = 0x003;
/** CSR numbers from here on are read-only. Privileged specification, 2.1. */
const CSR_READ_ONLY = 0xc00;

/** Zicsr on the floating-point CSRs; any other read is the kernel's. Unprivileged specification, 6.1, 20.2. */
function csrAccess(f: FunctionBuilder, call: (name: string, ...args: Expr[]) => Expr): void {
  const [regs, pc, word, operation, operand] = f.parameters as [Expr, Expr, Expr, Expr, Expr];
  const number = f.let(word.shrU(20));
  // csrrs and csrrc with x0, or with immediate 0, only read.
  const writes = f.let(operation.eq(CSR_OPERATION.write).or(word.shrU(15).and(31).ne(0)));
  const combine = (old: Expr): Expr =>
    operation
      .eq(CSR_OPERATION.write)
      .select(operand, operation.eq(CSR_OPERATION.set).select(old.or(operand), old.and(operand.xor(-1))));
  f.if(number.gtU(CSR_FCSR).or(number.eqz()), () => {
    f.if(writes.or(number.ltU(CSR_READ_ONLY)), () => f.return(i32(CSR_STATUS.illegal)));
    f.store(STORE.i64, regs, pc, REG_PC);
    f.return(call("csr", regs, number).eqz().select(i32(CSR_STATUS.called), i32(CSR_STATUS.illegal)));
  });
  const old = f.let(
    number
      .eq(CSR_FFLAGS)
      .choose(
        load(LOAD.i32, regs, REG_FFLAGS),
        number.eq(CSR_FRM).choose(
          load(LOAD.i32, regs, REG_FRM),
          load(LOAD.i32, regs, REG_FRM)
            .shl(5)
            .or(load(LOAD.i32, regs, REG_FFLAGS)),
        ),
      )
      .extendU(),
  );
  f.store(STORE.i64, regs, old, REG_SCRATCH);
  f.if(writes, () => {
    const value = f.let(combine(old).wrap());
    f.if(number.ne(CSR_FRM), () => f.store(STORE.i32, regs, value.and(31), REG_FFLAGS));
    f.if(number.eq(CSR_FRM), () => f.store(STORE.i32, regs, value.and(7), REG_FRM));
    f.if(number.eq(CSR_FCSR), () => f.store(STORE.i32, regs, value.shrU(5).and(7), REG_FRM));
  });
  f.return(i32(CSR_STATUS.done));
}
