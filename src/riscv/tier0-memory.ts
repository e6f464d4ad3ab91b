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
  HART_LIST,
  HART_MISSES,
  HART_REACH,
  HART_RUNS,
  HART_SEARCHES,
  HART_SLOTS,
  HART_SLOTS_USED,
  LEAF_ENTRIES,
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
  RUN_BOUND,
  RUN_BYTES,
  RUN_ENTRY,
  RUN_GUARD,
  RUN_LIST,
  RUN_SLOTS,
  RUN_START,
  RUNS_KEPT,
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

/** i32, not 0 if `entry` forbids an access of `size` bytes at a usable `va` (hart-abi.ts). */
export function forbidden(entry: Expr, va: Expr, size: number): Expr {
  // Of the low bits of an entry all are set or none is.
  return size === 1 ? entry.and(1) : entry.or(va.wrap()).and(size - 1);
}

/** i32, not 0 if no page may be at `va`. */
export function unusable(va: Expr): Expr {
  return va.shrU(VA_BITS).wrap();
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
      f.if(forbidden(entry, va, 1).or(unusable(va)).eqz(), () => f.return(entry.add(va.wrap()).extendU()));
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
      f.if(forbidden(entry, va, 1).or(unusable(va)).eqz(), () => f.return(entry.add(va.wrap()).extendU()));
      f.return(i64(-1));
    },
  },
  {
    // For regions: (hart, root, low, slot, kind, span) → the pa of `low`, the first of `span` bytes, or 0 if they may
    // not be accessed or are not in one run of pages. Keeps the run in the slot at `slot` of the hart block.
    name: "find_run",
    signature: { parameters: [I32, I32, I64, I32, I32, I32], result: I32 },
    body: findRun,
  },
  {
    // For regions: (hart) → 0; forgets the runs that are kept.
    name: "forget_runs",
    signature: { parameters: [I32], result: I32 },
    body: forgetRuns,
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

/** What a group of accesses wants of its slot. */
export const RUN = { write: 0, read: 1, readInWriteSlot: 2 } as const;
/** Pages to each side of the first search after runs were forgotten; each further one may go twice as far. */
const REACH_FIRST = 16;
const REACH_MAX = 16384;
const PAGES: number = 2 ** (VA_BITS - 12);
/** One miss of a slot in so many looks for a run, the others for their page alone. */
const LOOKED_UP = 4;
/** One search for a run that is not in the list in so many is carried out: scattered pages would be searched for ever. */
const SEARCHED = 4;
/** Most pages by which a run in the list is made longer at once. */
const GROWTH_MAX = 64;

function forgetRuns(f: FunctionBuilder): void {
  const hart = f.parameter(0);
  const clear = (at: Expr, offset: number): void => f.store(STORE.i64, at, i64(0), offset + RUN_BOUND);
  for (const half of [0, 1]) {
    const used = f.let(load(LOAD.i64, hart, HART_SLOTS_USED + half * 8));
    f.block((end) => {
      f.loop((again) => {
        f.brIf(end, used.eqz());
        clear(hart.add(used.ctz().wrap().mul(RUN_BYTES)), HART_SLOTS + half * RUN_SLOTS * RUN_BYTES);
        f.set(used, used.and(used.sub(1)));
        f.br(again);
      });
    });
    f.store(STORE.i64, hart, i64(0), HART_SLOTS_USED + half * 8);
  }
  for (let run = 0; run < 2 * RUN_LIST; run++) clear(hart, HART_LIST + run * RUN_BYTES);
  f.store(STORE.i32, hart, i32(REACH_FIRST), HART_REACH);
  f.store(STORE.i32, hart, i32(RUNS_KEPT), HART_RUNS);
  f.return(i32(0));
}

function findRun(f: FunctionBuilder): void {
  const [hart, root, low, slot, kind, span] = f.parameters as Expr[] as [Expr, Expr, Expr, Expr, Expr, Expr];
  const array = f.let(kind.eq(RUN.read).select(i32(LEAF_READ), i32(LEAF_WRITE)));
  const wordAt = (page: Expr): Expr => {
    const leaf = load(LOAD.i32, root.add(page.shrU(10).and(0xfffc)));
    return load(LOAD.i32, leaf.add(array).add(page.and(LEAF_ENTRIES - 1).shl(2)));
  };
  const page = f.let(low.shrU(12).wrap());
  const entry = f.let(wordAt(page));
  const inPage = f.let(offsetOf(low).add(span).leU(PAGE_SIZE));
  const bad = (): Expr => forbidden(entry, low, 1).or(unusable(low));
  const given = (): Expr => bad().eqz().and(inPage).select(entry.add(low.wrap()), i32(0));
  f.if(bad(), () => {
    f.if(kind.ne(RUN.readInWriteSlot), () => f.return(i32(0)));
    // May be read only: found, but not kept.
    f.set(array, i32(LEAF_READ));
    f.set(entry, wordAt(page));
    f.return(given());
  });
  // Where accesses go to and fro between two runs, the page table is quicker than the list.
  const misses = f.let(load(LOAD.i32, hart, HART_MISSES).add(1));
  f.store(STORE.i32, hart, misses, HART_MISSES);
  f.if(misses.and(LOOKED_UP - 1), () => f.return(given()));
  const start = f.local(I64);
  const bound = f.local(I64);
  const keep = (at: Expr): void => {
    f.store(STORE.i64, at, start, RUN_START);
    f.store(STORE.i64, at, bound, RUN_BOUND);
    f.store(STORE.i32, at, entry, RUN_ENTRY);
  };
  const keepInSlot = (): void => {
    // A shift goes by the last six bits of its distance, and 64 slots have one word.
    const number = slot.sub(HART_SLOTS).divU(RUN_BYTES);
    const word = hart.add(number.shrU(6).shl(3));
    const used = load(LOAD.i64, word, HART_SLOTS_USED).or(i64(1).shl(number.extendU()));
    f.store(STORE.i64, word, used, HART_SLOTS_USED);
    keep(hart.add(slot));
  };
  const list = f.let(hart.add(HART_LIST).add(kind.eq(RUN.read).select(i32(RUN_LIST * RUN_BYTES), i32(0))));
  const at = f.let(list);
  const end = f.let(list.add(RUN_LIST * RUN_BYTES));
  // The run just before the page, which may have grown since.
  const behind = f.let(i32(0));
  f.loop((again) => {
    f.set(start, load(LOAD.i64, at, RUN_START));
    f.set(bound, load(LOAD.i64, at, RUN_BOUND));
    f.if(low.sub(start).ltU(bound), () => {
      keepInSlot();
      f.return(given());
    });
    const isNear = low
      .sub(start)
      .sub(bound)
      .leU(GROWTH_MAX * PAGE_SIZE);
    f.if(load(LOAD.i32, at, RUN_ENTRY).eq(entry).and(isNear), () => f.set(behind, at));
    f.set(at, at.add(RUN_BYTES));
    f.brIf(again, at.ltU(end));
  });
  const first = f.let(page);
  const last = f.let(page);
  const search = (from: Expr, to: Expr, by: 1 | -1): void =>
    f.block((done) => {
      f.loop((again) => {
        f.brIf(done, from.eq(to));
        f.brIf(done, wordAt(from.add(by)).ne(entry));
        f.set(from, from.add(by));
        f.br(again);
      });
    });
  const highest = (reach: Expr | number): Expr => {
    const to = f.let(page.add(reach));
    f.if(to.gtU(PAGES - 1), () => f.set(to, i32(PAGES - 1)));
    return to;
  };
  const isKept = (): void => {
    f.set(start, first.extendU().shl(12));
    f.set(
      bound,
      last
        .sub(first)
        .add(1)
        .extendU()
        .shl(12)
        .sub(RUN_GUARD - 1),
    );
  };
  f.if(behind, () => {
    f.set(start, load(LOAD.i64, behind, RUN_START));
    const next = f.let(
      start
        .add(load(LOAD.i64, behind, RUN_BOUND))
        .add(RUN_GUARD)
        .shrU(12)
        .wrap(),
    );
    f.if(next.leU(page), () => {
      search(first, next, -1);
      f.if(first.eq(next), () => {
        search(last, highest(GROWTH_MAX), 1);
        f.set(first, start.shrU(12).wrap());
        isKept();
        keep(behind);
        keepInSlot();
        f.return(given());
      });
      f.set(first, page);
    });
  });
  const searches = f.let(load(LOAD.i32, hart, HART_SEARCHES).add(1));
  f.store(STORE.i32, hart, searches, HART_SEARCHES);
  f.if(searches.and(SEARCHED - 1), () => f.return(given()));
  const reach = f.let(load(LOAD.i32, hart, HART_REACH));
  f.store(STORE.i32, hart, reach.ltU(REACH_MAX).select(reach.shl(1), reach), HART_REACH);
  search(first, page.gtU(reach).select(page.sub(reach), i32(0)), -1);
  search(last, highest(reach), 1);
  isKept();
  keepInSlot();
  keep(
    list.add(
      searches
        .shrU(Math.log2(SEARCHED))
        .and(RUN_LIST - 1)
        .mul(RUN_BYTES),
    ),
  );
  f.return(given());
}

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
