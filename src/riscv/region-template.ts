/**
 * Recorded code: what a row emits, once for each way in which its operands may lie, with holes where operands
 * belong. A region is put together by copying bytes and filling holes, which takes a tenth of the time that
 * building and writing expressions takes.
 */
import { assert } from "../base/assert.ts";
import { PAGE_SIZE, RUN_GUARD } from "../base/hart-abi.ts";
import type { Instruction } from "./isa.ts";
import { type RegionLocals, SCRATCH_TYPES } from "./region-locals.ts";
import { ByteWriter, type Hole } from "./wasm/bytes.ts";
import { type Expr, hole } from "./wasm/expression.ts";
import { FunctionBuilder, type Label } from "./wasm/function-builder.ts";
import { CONTROL, type F32, type F64, I32, type I64, type ValueType } from "./wasm/opcodes.ts";

/** What is to be filled in; a number with some says more. */
export const HOLE = {
  /** Index of the local of: scratch (its number), */
  scratch: 0,
  /** the registers that the word names, */
  rd: 1,
  rs1: 2,
  rs2: 3,
  fd: 4,
  fs1: 5,
  fs2: 6,
  fs3: 7,
  /** integer registers that are narrow, */
  narrowRd: 28,
  narrowRs1: 29,
  narrowRs2: 30,
  /** floating-point registers as the singles that they hold, */
  singleRd: 31,
  single1: 32,
  single2: 33,
  single3: 34,
  /** the physical address of a group of accesses, */
  base: 8,
  /** Where the hart block keeps the run of a group, from the block's start; or something behind that. */
  slot: 27,
  /** Constants: immediate, pc, pc of the next instruction, bytes from the region's start, rounding mode. */
  imm: 9,
  pc: 10,
  next: 11,
  offset: 12,
  rm: 13,
  /** Offset of an access from its group's first byte. */
  displacement: 14,
  /**
   * Of a group's check: the first byte from the base register; bytes from the first to the last; how many of them are
   * more than the guard; the largest offset of the first in a page.
   */
  low: 15,
  span: 16,
  beyond: 17,
  limit: 22,
  /** How far out the place is that leaves the region (the depth where it stands). */
  leave: 18,
  /** Index of an imported function (its number among the names). */
  call: 19,
} as const;

/** Names of functions that templates call; their numbers are the places. */
const callNames: string[] = [];

export function calledName(number: number): string {
  return callNames[number]!;
}

/** A call in recorded code. */
export function recordedCall(name: string, result: ValueType, args: readonly Expr[]): Expr {
  let number = callNames.indexOf(name);
  if (number < 0) number = callNames.push(name) - 1;
  return hole(result, CONTROL.call, HOLE.call, number, args);
}

export const registerHole = (type: typeof I32 | typeof I64 | typeof F32 | typeof F64, kind: number): Expr =>
  hole(type, CONTROL.localGet, kind);
export const constantHole = (type: typeof I32 | typeof I64, kind: number): Expr =>
  hole(type, type === I32 ? CONTROL.i32Const : CONTROL.i64Const, kind);

const SCRATCH: readonly Expr[] = SCRATCH_TYPES.map((type, number) =>
  hole(type, CONTROL.localGet, HOLE.scratch, number),
);

export interface Template {
  readonly bytes: Uint8Array;
  readonly holes: readonly Hole[];
  readonly hints: ReadonlyArray<{ readonly at: number; readonly likely: boolean }>;
}

/** Records what `body` emits. */
export function record(body: (f: FunctionBuilder) => void): Template {
  const to = new ByteWriter(256);
  const holes: Hole[] = [];
  to.recordHoles(holes);
  const f = new FunctionBuilder(to, { parameters: [], result: undefined }, SCRATCH);
  body(f);
  assert(f.depth === 0 && f.localCount === 0, "recorded code has scratch enough");
  return { bytes: to.copy(), holes, hints: f.hints };
}

/** The values of holes, for one place. */
export interface Filling {
  readonly locals: RegionLocals;
  readonly importIndex: (name: string) => number;
  rd: number;
  rs1: number;
  rs2: number;
  rs3: number;
  imm: number;
  pc: number;
  next: number;
  offset: number;
  rm: number;
  /** Index of the local with a group's base. */
  base: number;
  displacement: number;
  slot: number;
  low: number;
  span: number;
  leave: Label | undefined;
}

/** Writes `template` with its holes filled. */
export function instantiate(f: FunctionBuilder, { bytes, holes, hints }: Template, fill: Filling): void {
  const { to } = f;
  let from = 0;
  let hint = 0;
  for (let i = 0; i < holes.length; i++) {
    const { at, kind, value } = holes[i]!;
    for (; hint < hints.length && hints[hint]!.at < at; hint++) {
      f.addHint(to.length + hints[hint]!.at - from, hints[hint]!.likely);
    }
    to.part(bytes, from, at);
    from = at;
    switch (kind) {
      case HOLE.scratch:
        to.unsigned(fill.locals.scratch(value));
        break;
      case HOLE.rd:
        to.unsigned(fill.locals.x(fill.rd));
        break;
      case HOLE.rs1:
        to.unsigned(fill.locals.x(fill.rs1));
        break;
      case HOLE.rs2:
        to.unsigned(fill.locals.x(fill.rs2));
        break;
      case HOLE.narrowRd:
        to.unsigned(fill.locals.narrow(fill.rd));
        break;
      case HOLE.narrowRs1:
        to.unsigned(fill.locals.narrow(fill.rs1));
        break;
      case HOLE.narrowRs2:
        to.unsigned(fill.locals.narrow(fill.rs2));
        break;
      case HOLE.fd:
        to.unsigned(fill.locals.float(fill.rd));
        break;
      case HOLE.fs1:
        to.unsigned(fill.locals.float(fill.rs1));
        break;
      case HOLE.fs2:
        to.unsigned(fill.locals.float(fill.rs2));
        break;
      case HOLE.fs3:
        to.unsigned(fill.locals.float(fill.rs3));
        break;
      case HOLE.singleRd:
        to.unsigned(fill.locals.single(fill.rd));
        break;
      case HOLE.single1:
        to.unsigned(fill.locals.single(fill.rs1));
        break;
      case HOLE.single2:
        to.unsigned(fill.locals.single(fill.rs2));
        break;
      case HOLE.single3:
        to.unsigned(fill.locals.single(fill.rs3));
        break;
      case HOLE.base:
        to.unsigned(fill.base);
        break;
      case HOLE.imm:
        to.signed64(fill.imm);
        break;
      case HOLE.pc:
        to.signed64(fill.pc);
        break;
      case HOLE.next:
        to.signed64(fill.next);
        break;
      case HOLE.offset:
        to.signed32(fill.offset);
        break;
      case HOLE.rm:
        to.signed32(fill.rm);
        break;
      case HOLE.displacement:
        to.signed32(fill.displacement);
        break;
      case HOLE.low:
        to.signed64(fill.low);
        break;
      case HOLE.span:
        to.signed32(fill.span);
        break;
      case HOLE.beyond:
        to.signed32(fill.span - RUN_GUARD);
        break;
      case HOLE.limit:
        to.signed32(PAGE_SIZE - fill.span);
        break;
      case HOLE.slot:
        // The offset of a load, or a constant: from 128 to 8191 both are written alike.
        to.unsigned(fill.slot + value);
        break;
      case HOLE.leave:
        to.unsigned(f.depth + value - 1 - fill.leave!);
        break;
      default:
        to.unsigned(fill.importIndex(calledName(value)));
    }
  }
  for (; hint < hints.length; hint++) f.addHint(to.length + hints[hint]!.at - from, hints[hint]!.likely);
  to.part(bytes, from, bytes.length);
}

/** What makes a row's code differ, beside the values of its holes. */
export const VARIANT = {
  /** The destination, a source is x0. */
  rd0: 1,
  rs10: 2,
  rs20: 4,
  /** The access belongs to a group that has been checked. */
  grouped: 8,
  /** The rounding mode is the dynamic one. */
  dynamic: 16,
  /** Both sources are one register. */
  same: 32,
  /** The rounding mode is fixed, towards zero. */
  towardsZero: 64,
  /** The access is alone in its group, which a run covers: it checks and accesses at once. */
  run: 128,
  /** It reads, by the slot of a run that may be written. */
  writeSlot: 16384,
  /** The destination, a source is narrow. */
  narrowRd: 256,
  narrowRs1: 512,
  narrowRs2: 1024,
  /** A floating-point source is known to hold a single, which a local of its own has. */
  single1: 2048,
  single2: 4096,
  single3: 8192,
} as const;

const recorded = new Map<Instruction, Map<number, Template>>();

/** The code of `row` in a variant; `emit` emits it if it has not been recorded yet. */
export function templateOf(
  row: Instruction,
  variant: number,
  emit: (f: FunctionBuilder, row: Instruction, variant: number) => void,
): Template {
  let templates = recorded.get(row);
  if (templates === undefined) {
    templates = new Map();
    recorded.set(row, templates);
  }
  let template = templates.get(variant);
  if (template === undefined) {
    template = record((f) => emit(f, row, variant));
    templates.set(variant, template);
  }
  return template;
}
