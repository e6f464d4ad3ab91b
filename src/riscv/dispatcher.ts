/**
 * The dispatcher: the loop around regions and tier 0, in WebAssembly. It is what a hart's `run` is when its
 * module has regions.
 *
 *     look REG_PC up ──region──▶ call it ──even: next pc──▶ look that up …
 *         │ none                    └────odd: an exit, or INTERPRET
 *         ▼
 *     tier 0 until a transfer to something known (enter), or often taken (hot), or an exit
 *
 * ## A region's function
 *
 *     (regs, hart, entry, depth) → i64
 *
 * `entry` says at which of its entries the region begins, `depth` how many regions it may still call one
 * inside another (rule R12). It comes back with all registers and the budget in the register file, and gives
 *     an even number   the pc to go on at; REG_PC is not up to date; the budget may be used up
 *     an odd number    (why << 1) | 1, where `why` is an EXIT, INTERPRET or POLL, with REG_PC exact
 * INTERPRET asks for at least one instruction in tier 0: the region cannot execute the one at REG_PC. POLL says
 * that the budget is used up, or too small for the region's longest way, or the hart interrupted.
 */
import { EXIT, HART_INTERRUPT, HART_RUNS, REG_BUDGET, REG_PC, RUNS_KEPT } from "../base/hart-abi.ts";
import type { CallByName } from "./helpers.ts";
import { emitLookUp, ENTRY } from "./jump-cache.ts";
import { callIndirect, type Expr, i32, load } from "./wasm/expression.ts";
import type { FunctionBuilder, Signature } from "./wasm/function-builder.ts";
import { I32, I64, LOAD, STORE } from "./wasm/opcodes.ts";

export const REGION_SIGNATURE: Signature = { parameters: [I32, I32, I32, I32], result: I64 };

/** Regions that may be active one inside another on a hart's stack. */
const DEPTH_MAX = 200;

/** Exits of tier 0 to the dispatcher, beside EXIT. */
export const INTERNAL_EXIT = { enter: 64, hot: 65, interpret: 66, poll: 67 } as const;

/** What a region's function gives for an exit. */
export const exitValue = (why: number): bigint => BigInt(why * 2 + 1);

/** Functions of tier 0's module that regions may import. */
export const REGION_IMPORTS: string[] = [
  "syscall",
  "find_run",
  "forget_runs",
  "load_peek",
  "store_peek",
  "mulh",
  "mulhu",
  "mulhsu",
  ...["f32", "f64"].flatMap((format) =>
    [
      ..."add sub mul div sqrt fma min max eq lt le class".split(" "),
      ..."to_w to_wu to_l to_lu from_l from_lu".split(" "),
    ].map((name) => `${format}_${name}`),
  ),
  "f32_from_f64",
  "f64_from_f32",
];

/** Calls the region that the jump cache's `entry` names. */
export function callRegion(typeIndex: number, regs: Expr, hart: Expr, entry: Expr, depth: Expr): Expr {
  return callIndirect(I64, typeIndex, [
    regs,
    hart,
    load(LOAD.i32, entry, ENTRY.entry),
    depth,
    load(LOAD.i32, entry, ENTRY.element),
  ]);
}

/** The kernel may have been called: forgets the hart's runs if it says that they are void. */
export function emitForgetRuns(f: FunctionBuilder, call: CallByName, hart: Expr): void {
  const isVoid = load(LOAD.i32, hart, HART_RUNS).ne(RUNS_KEPT);
  f.if(isVoid, () => f.drop(call("forget_runs", hart)), undefined, "unlikely");
}

export function emitDispatcher(
  f: FunctionBuilder,
  call: CallByName,
  regionType: number,
  firstCount: number,
): void {
  const regs = f.parameter(0);
  const hart = f.parameter(1);
  const pc = f.let(load(LOAD.i64, regs, REG_PC));
  const value = f.local(I64);
  const why = f.local(I32);
  emitForgetRuns(f, call, hart);
  f.loop((again) => {
    f.block((interpret) => {
      emitLookUp(
        f,
        { hart, pc, firstCount },
        (entry) => {
          f.set(value, callRegion(regionType, regs, hart, entry, i32(DEPTH_MAX)));
          f.if(value.and(1).eqz(), () => {
            f.set(pc, value);
            f.brIf(again, load(LOAD.i32, regs, REG_BUDGET).gt(0), "likely");
            f.store(STORE.i64, regs, pc, REG_PC);
            f.return(i32(EXIT.BUDGET));
          });
          f.set(why, value.wrap().shrU(1));
          f.brIf(interpret, why.eq(INTERNAL_EXIT.interpret));
          f.if(why.eq(INTERNAL_EXIT.poll), () => {
            f.if(load(LOAD.i32, regs, REG_BUDGET).le(0), () => f.return(i32(EXIT.BUDGET)));
            f.if(load(LOAD.i32, hart, HART_INTERRUPT), () => f.return(i32(EXIT.INTERRUPT)));
            f.br(interpret);
          });
          f.return(why);
        },
        () => {
          f.store(STORE.i64, regs, pc, REG_PC);
          f.drop(call("hot", regs));
          f.br(again);
        },
      );
      f.store(STORE.i64, regs, pc, REG_PC);
    });
    f.set(why, call("interpret", regs, hart));
    emitForgetRuns(f, call, hart);
    f.set(pc, load(LOAD.i64, regs, REG_PC));
    f.brIf(again, why.eq(INTERNAL_EXIT.enter));
    f.if(why.eq(INTERNAL_EXIT.hot), () => {
      f.drop(call("hot", regs));
      f.br(again);
    });
    f.return(why);
  });
  f.unreachable();
}
