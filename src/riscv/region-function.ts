/**
 * The code of one region: blocks structured by dominators, as Ramsey describes it ("Beyond Relooper", 2022).
 *
 *     load what is live at the entry
 *     loop root                        goes round for edges into a block that does not dominate their source
 *       block … block
 *         br_table entry
 *       end  code of an entry …  end
 *
 * A block's code:
 *
 *     block stub 0 … block stub n      one for each set of dirty registers at a step that may leave
 *       budget, interrupt              if a taken transfer may lead here
 *       the steps
 *       br behind the stubs
 *     end  spill  …  end  spill  br to the exit that all share
 *     the transfer at its end
 *
 * Dirty registers only become more within a block, so each stub spills what it has more than the next and
 * runs into it.
 */
import {
  EXIT,
  HART_CODE_TAG,
  HART_INTERRUPT,
  HART_SLOTS,
  REG_BUDGET,
  REG_PC,
  RUN_BYTES,
  RUN_SLOTS,
} from "../base/hart-abi.ts";
import { immediate, rd, rs1, rs2, rs3 } from "./decode.ts";
import { callRegion, emitForgetRuns, exitValue, INTERNAL_EXIT } from "./dispatcher.ts";
import type { CallByName } from "./helpers.ts";
import type { Instruction } from "./isa.ts";
import { ENTRY, isCacheable, jumpCacheEntry, jumpCacheEntryOf, tagOf } from "./jump-cache.ts";
import { type Group, groupAccesses, SP } from "./region-accesses.ts";
import { groupCheck, recordLogic, recordSign, RegionEmitter, setCeilings } from "./region-emitter.ts";
import { findNarrow, isLogic } from "./region-narrow.ts";
import { analyse } from "./region-flow.ts";
import { dominates, type Flow, type Node } from "./region-order.ts";
import { type Block, NO_REGISTERS, type RegisterSet, type Step } from "./region-graph.ts";
import { FIXED, RegionLocals } from "./region-locals.ts";
import { type Filling, instantiate, templateOf, VARIANT } from "./region-template.ts";
import { call, type Expr, i32, i64, load, SELF } from "./wasm/expression.ts";
import type { FunctionBuilder, Label } from "./wasm/function-builder.ts";
import { I64, LOAD, STORE } from "./wasm/opcodes.ts";

const { regs, hart, entry: entryNumber, depth, budget, offset, why, target: jumpTarget } = FIXED;
const union = (a: RegisterSet, b: RegisterSet): RegisterSet => ({ x: a.x | b.x, f: a.f | b.f });

/** What the writer needs of the module that the region is in. */
export interface RegionTarget {
  readonly call: CallByName;
  readonly importIndex: (name: string) => number;
  readonly regionType: number;
}

/** Where a region can be entered: pcs, by number of the entry. */
export type Entries = readonly number[];

/** Emits the region of `blocks` that begins at `start`. */
export function emitRegion(
  f: FunctionBuilder,
  target: RegionTarget,
  blocks: ReadonlyMap<number, Block>,
  start: number,
): Entries {
  const flow = analyse(blocks, start);
  new RegionWriter(f, target, flow, start).write();
  return flow.entries.filter((node) => node !== flow.elsewhere).map(({ block }) => block!.pc);
}

/** Whether the step may have to be left to tier 0. */
const leaves = new Map<Instruction, "always" | "dynamic" | "never">();

function mayLeave({ row, word }: Step): boolean {
  let found = leaves.get(row);
  if (found === undefined) {
    const { operands } = row.format;
    const accesses = operands.includes("base") || (operands.includes("mem") && row.name !== "jalr");
    found = accesses ? "always" : row.rounds ? "dynamic" : "never";
    leaves.set(row, found);
  }
  return found === "always" || (found === "dynamic" && ((word >>> 12) & 7) === 7);
}

/** What a stub of a block spills, and which of it is narrow there. */
interface Stub extends RegisterSet {
  readonly narrow: number;
}

const endsWithTransfer = ({ ending }: Block): boolean => ending !== "falls" && ending !== "stops";
const bodyOf = (block: Block): readonly Step[] =>
  endsWithTransfer(block) ? block.steps.slice(0, -1) : block.steps;

function emitRow(f: FunctionBuilder, row: Instruction, variant: number): void {
  if ((variant & VARIANT.same) !== 0 && recordSign(f, row)) return;
  if ((variant & VARIANT.narrowRd) !== 0 && isLogic(row)) {
    recordLogic(f, row, variant);
    return;
  }
  row.emit(new RegionEmitter(f, row, variant));
}

/** Whether budget and interrupt are looked at where it begins. */
const isPoll = (node: Node): boolean => node.isLoop || node.entry >= 0;

/** Whether what the row puts into a floating-point register is a single. */
const isSingle = ({ extension, name }: Instruction): boolean => extension === "F" || name === "fcvt.s.d";

/** Offset in the hart block of the slot for a group's run. */
const slotOf = ({ place, slot }: Group): number =>
  HART_SLOTS + (place + (slot === "write" ? 0 : RUN_SLOTS)) * RUN_BYTES;

class RegionWriter {
  readonly #f: FunctionBuilder;
  readonly #target: RegionTarget;
  readonly #flow: Flow;
  readonly #base: number;
  readonly #locals: RegionLocals;
  readonly #fill: Filling;
  readonly #byPc = new Map<number, Node>();
  readonly #labels = new Map<Node, Label>();
  readonly #loops = new Map<Node, Label>();
  /** Slots by loop or instruction, and register. */
  readonly #places = new Map<number, number>();
  readonly #groups = new Map<Node, (Group | undefined)[]>();
  readonly #hasArithmetic: boolean;
  readonly #slack: number;
  /** Behind everything: leaves with what `offset` and `why` say. */
  #exit: Label | undefined;
  #rootLoop: Label | undefined;
  /** The node whose code is written. */
  #node: Node;
  /** Narrow registers before and after the step that is written. */
  #narrow = 0;
  #narrowAfter = 0;
  /** Floating-point registers that hold singles before it, as the block has set them. */
  #singles = 0;
  /** Dirty registers where code is written. */
  #dirty: RegisterSet = NO_REGISTERS;

  constructor(f: FunctionBuilder, target: RegionTarget, flow: Flow, base: number) {
    this.#f = f;
    this.#target = target;
    this.#flow = flow;
    this.#base = base;
    this.#locals = new RegionLocals(f);
    this.#node = flow.root;
    for (const node of flow.nodes)
      if (node.block !== undefined && node.copy === 0 && node.block.id === node.block.pc)
        this.#byPc.set(node.block.pc, node);
    this.#hasArithmetic = flow.nodes.some((node) => node.block?.steps.some(({ row }) => row.rounds));
    this.#slack = flow.nodes.length;
    this.#fill = {
      locals: this.#locals,
      importIndex: target.importIndex,
      rd: 0,
      rs1: 0,
      rs2: 0,
      rs3: 0,
      imm: 0,
      pc: 0,
      next: 0,
      offset: 0,
      rm: 0,
      base: 0,
      displacement: 0,
      slot: 0,
      low: 0,
      span: 0,
      leave: undefined,
    };
  }

  write(): void {
    const f = this.#f;
    const { entries, root } = this.#flow;
    f.set(budget, load(LOAD.i32, regs, REG_BUDGET));
    f.set(why, i32(INTERNAL_EXIT.interpret));
    this.#setNative();
    f.block((label) => {
      this.#exit = label;
      this.#writeBlocks(entries, root);
    });
    this.#spillBudget();
    f.store(STORE.i64, regs, offset.extendS().add(this.#base), REG_PC);
    f.return(why.shl(1).or(1).extendU());
  }

  #writeBlocks(entries: readonly Node[], root: Node): void {
    const f = this.#f;
    const locals = this.#locals;
    const [first, ...others] = entries;
    if (others.length === 0) {
      locals.load(first!.live);
      this.#tree(first!);
      f.unreachable();
      return;
    }
    let live = NO_REGISTERS;
    for (const entry of others) live = union(live, entry.live);
    f.if(
      entryNumber.eqz(),
      () => locals.load(first!.live),
      () => locals.load(live),
    );
    f.loop((label) => {
      this.#rootLoop = label;
      this.#within(root, [...root.children].reverse(), () => {
        f.brTable(entryNumber, ...this.#dispatch());
      });
    });
    f.unreachable();
  }

  /** The labels of the root's dispatch: entries by number, then targets of indirect jumps by address. */
  #dispatch(): [labels: Label[], otherwise: Label] {
    const { entries, elsewhere, lowest, highest } = this.#flow;
    const labels = entries.map((entry) => this.#labels.get(entry)!);
    if (elsewhere === undefined) return [labels, labels[0]!];
    const otherwise = this.#labels.get(elsewhere)!;
    for (let pc = lowest; pc <= highest; pc += 2) {
      const node = this.#byPc.get(pc);
      labels.push(node !== undefined && node.entry >= 0 ? this.#labels.get(node)! : otherwise);
    }
    return [labels, otherwise];
  }

  /** `node` and all that it dominates. */
  #tree(node: Node): void {
    const merges = node.children.filter((child) => child.forwardEdges > 1).reverse();
    const inside = (): void => this.#within(node, merges, () => this.#code(node));
    if (!node.isLoop) {
      inside();
      return;
    }
    this.#f.loop((label) => {
      this.#loops.set(node, label);
      inside();
    });
  }

  /** The slots for what a step of the node accesses through a register; −1: it goes by the page table. */
  #placeOf({ loop }: Node, step: Step, register: number): number {
    if (register === SP) return 0;
    if (loop === undefined) return -1;
    // In a loop that goes by the root's dispatch each instruction goes its own way.
    const key = (loop?.block?.pc ?? step.pc) * 32 + register;
    let place = this.#places.get(key);
    if (place === undefined) {
      place = 1 + (((this.#base >>> 1) * 13 + this.#places.size) % (RUN_SLOTS - 1));
      this.#places.set(key, place);
    }
    return place;
  }

  #groupsOf(node: Node): (Group | undefined)[] {
    let groups = this.#groups.get(node);
    if (groups === undefined) {
      groups = groupAccesses(bodyOf(node.block!), (step, register) => this.#placeOf(node, step, register));
      this.#groups.set(node, groups);
    }
    return groups;
  }

  /** The code of a node, with what it dominates and several edges lead to behind it; the last ones first. */
  #within(node: Node, merges: readonly Node[], code: () => void): void {
    const [last, ...before] = merges;
    if (last === undefined) {
      code();
      return;
    }
    this.#f.block((label) => {
      this.#labels.set(last, label);
      this.#within(node, before, code);
    });
    this.#narrow = 0;
    this.#tree(last);
  }

  /** Goes to `to` from the node that is being written. */
  #goTo(to: Node): void {
    const from = this.#node;
    const isInline = to.index > from.index && to.forwardEdges === 1 && to.dominator === from;
    if (!isInline || isPoll(to)) this.#settle();
    if (isInline) {
      const dirty = this.#dirty;
      this.#tree(to);
      this.#node = from;
      this.#dirty = dirty;
    } else if (to.index > from.index) this.#f.br(this.#labels.get(to)!);
    else if (dominates(to, from)) this.#f.br(this.#loops.get(to)!);
    else {
      this.#f.set(entryNumber, i32(to.entry));
      this.#f.br(this.#rootLoop!);
    }
  }

  #code(node: Node): void {
    this.#node = node;
    const block = node.block!;
    const { steps } = block;
    if (steps.length === 0) {
      this.#dirty = node.dirty;
      this.#leave();
      return;
    }
    this.#body(node, bodyOf(block));
    if (endsWithTransfer(block)) this.#transfer(block, steps.at(-1)!);
    else this.#continue(node.next, block.next, block.ending === "stops");
  }

  /** Emits `step`; if tier 0 has to execute it, the code goes to `leave` with the offset set. */
  #emit(step: Step, leave: Label | undefined, group: Group | undefined): void {
    const { row, word, pc, length } = step;
    const fill = this.#fill;
    fill.rd = rd(word);
    fill.rs1 = rs1(word);
    fill.rs2 = rs2(word);
    fill.rs3 = rs3(word);
    fill.imm = immediate(row.format.immediate, word);
    fill.pc = pc;
    fill.next = pc + length;
    fill.offset = pc - this.#base;
    fill.rm = (word >>> 12) & 7;
    fill.leave = leave;
    let variant =
      (fill.rd === 0 ? VARIANT.rd0 : 0) |
      (fill.rs1 === 0 ? VARIANT.rs10 : 0) |
      (fill.rs2 === 0 ? VARIANT.rs20 : 0) |
      (row.rounds && fill.rm === 7 ? VARIANT.dynamic : 0) |
      (row.rounds && fill.rm === 1 ? VARIANT.towardsZero : 0) |
      (fill.rs1 === fill.rs2 && row.extension === "D" ? VARIANT.same : 0);
    if (this.#narrowAfter !== 0) {
      const { operands } = row.format;
      if (step.defines.x !== 0 && (this.#narrowAfter >>> fill.rd) & 1) variant |= VARIANT.narrowRd;
      if (operands.includes("rs1") && (this.#narrow >>> fill.rs1) & 1) variant |= VARIANT.narrowRs1;
      if (operands.includes("rs2") && (this.#narrow >>> fill.rs2) & 1) variant |= VARIANT.narrowRs2;
    }
    if (this.#singles !== 0) {
      const held = (register: number): number => (this.#singles >>> register) & 1;
      const reads = step.uses.f;
      if (((reads >>> fill.rs1) & 1 & held(fill.rs1)) !== 0) variant |= VARIANT.single1;
      if (((reads >>> fill.rs2) & 1 & held(fill.rs2)) !== 0) variant |= VARIANT.single2;
      if (((reads >>> fill.rs3) & 1 & held(fill.rs3)) !== 0) variant |= VARIANT.single3;
    }
    if (group !== undefined && group.members === 1) {
      variant |= VARIANT.run | (group.writes || group.slot === "read" ? 0 : VARIANT.writeSlot);
      fill.slot = slotOf(group);
    } else if (group !== undefined) {
      variant |= VARIANT.grouped;
      if (group.first === step) this.#check(group);
      fill.base = group.local;
      fill.displacement = fill.imm - group.low;
    }
    instantiate(this.#f, templateOf(row, variant, emitRow), fill);
  }

  /** Checks a group's accesses, and sets its base. */
  #check(group: Group): void {
    const fill = this.#fill;
    group.local = this.#locals.base(fill.rs1);
    fill.base = group.local;
    fill.low = group.low;
    fill.span = group.high - group.low + 1;
    fill.slot = slotOf(group);
    instantiate(this.#f, groupCheck(group), fill);
  }

  /** The steps, inside their stubs. */
  #body(node: Node, steps: readonly Step[]): void {
    const f = this.#f;
    const polls = isPoll(node);
    const narrow = findNarrow(steps, this.#narrow);
    this.#locals.extend(this.#narrow & ~(narrow?.[0] ?? 0));
    const stubs: Stub[] = polls ? [{ ...node.dirty, narrow: 0 }] : [];
    const stubOf: number[] = [];
    let dirty = node.dirty;
    for (const [i, step] of steps.entries()) {
      if (mayLeave(step)) {
        const known = stubs.at(-1);
        const set = { ...dirty, narrow: narrow?.[i] ?? 0 };
        if (known === undefined || known.x !== set.x || known.f !== set.f || known.narrow !== set.narrow)
          stubs.push(set);
      }
      stubOf.push(stubs.length - 1);
      dirty = union(dirty, step.defines);
    }
    this.#dirty = dirty;
    const groups = this.#groupsOf(node);
    const labels: Label[] = [];
    const emit = (): void => {
      if (polls) this.#checkBudget(node, labels[0]!);
      for (let i = 0; i < steps.length; i++) {
        this.#narrow = narrow?.[i] ?? 0;
        this.#narrowAfter = narrow?.[i + 1] ?? 0;
        const step = steps[i]!;
        this.#emit(step, labels[stubOf[i]!], groups[i]);
        this.#singles &= ~step.defines.f;
        if (isSingle(step.row)) this.#singles |= step.defines.f;
      }
      this.#singles = 0;
      this.#narrow = narrow?.at(-1) ?? 0;
      this.#narrowAfter = this.#narrow;
    };
    if (stubs.length === 0) {
      emit();
      return;
    }
    f.block((behind) => {
      const open = (index: number): void => {
        if (index === stubs.length) {
          emit();
          f.br(behind);
          return;
        }
        f.block((label) => {
          labels[index] = label;
          open(index + 1);
        });
        const smaller = stubs[index - 1] ?? { ...NO_REGISTERS, narrow: 0 };
        const set = stubs[index]!;
        this.#locals.extend(set.narrow & ~smaller.narrow);
        this.#locals.spill({ x: set.x & ~smaller.x, f: set.f & ~smaller.f });
      };
      open(0);
      f.br(this.#exit!);
    });
  }

  /** Looks whether the engine's arithmetic is right now, in regions that have some. */
  #setNative(): void {
    if (this.#hasArithmetic) setCeilings(this.#f);
  }

  #spillBudget(): void {
    this.#f.store(STORE.i32, regs, budget, REG_BUDGET);
  }

  /** Leaves if the budget is used up or the hart is interrupted. */
  #checkBudget(node: Node, leave: Label): void {
    const f = this.#f;
    // Not an atomic load: whatever the engine makes of it, the budget comes to an end.
    f.if(
      budget.sub(this.#slack).le(load(LOAD.i32, hart, HART_INTERRUPT)),
      () => {
        f.set(offset, i32(node.block!.pc - this.#base));
        f.set(why, i32(INTERNAL_EXIT.poll));
        f.br(leave);
      },
      undefined,
      "unlikely",
    );
  }

  /** Goes on at `pc`, at a node of the region or outside; `stops`: tier 0 has to execute what is there. */
  #continue(to: Node | undefined, pc: number, stops = false): void {
    if (to !== undefined && !stops) {
      this.#goTo(to);
      return;
    }
    this.#settle();
    this.#spillAll();
    if (stops) {
      this.#f.store(STORE.i64, regs, i64(pc), REG_PC);
      this.#f.return(i64(exitValue(INTERNAL_EXIT.interpret)));
    } else {
      this.#goOnIn(pc);
      this.#f.return(i64(pc));
    }
  }

  /** Extends what is narrow. */
  #settle(): void {
    this.#locals.extend(this.#narrow);
    this.#narrow = 0;
    this.#narrowAfter = 0;
  }

  #count(): void {
    this.#f.set(budget, budget.sub(1));
  }

  /** The transfer at the end of a block. */
  #transfer(block: Block, last: Step): void {
    const f = this.#f;
    const node = this.#node;
    this.#dirty = union(this.#dirty, last.defines);
    if (block.ending === "branches") {
      this.#emit(last, undefined, undefined);
      const dirty = this.#dirty;
      const narrow = this.#narrow;
      f.ifPushed(() => {
        this.#count();
        this.#continue(node.taken, block.target);
      });
      this.#node = node;
      this.#dirty = dirty;
      this.#narrow = narrow;
      this.#narrowAfter = narrow;
      this.#continue(node.next, block.next);
      return;
    }
    if (block.ending !== "jumps") this.#settle();
    this.#emit(last, undefined, undefined);
    if (block.ending === "traps") {
      this.#trap();
      return;
    }
    this.#count();
    if (block.ending === "jumps" || block.ending === "enters") {
      this.#continue(node.taken, block.target);
      return;
    }
    if (block.ending === "returns") {
      const dirty = this.#dirty;
      const back = node.next;
      if (back !== undefined)
        f.if(jumpTarget.eq(i64(block.next)), () => this.#goTo(back), undefined, "likely");
      this.#node = node;
      this.#dirty = dirty;
    }
    if (block.ending === "calls") {
      this.#spillAll();
      this.#callTo(block);
    } else if (node.indirect.length > 0) {
      // What lies below the lowest target wraps round to a number that is larger than any.
      const { lowest, highest, entries } = this.#flow;
      const slot = jumpTarget.sub(lowest).shrU(1);
      const slots = (highest - lowest) / 2 + 1;
      const first = entries.length;
      f.set(entryNumber, slot.ltU(slots).select(slot.wrap().add(first), i32(first + slots)));
      f.br(this.#rootLoop!);
    } else if (rs1(last.word) === 1) {
      // ra holds return addresses by convention (unprivileged specification, table 3).
      this.#spillAll();
      f.return(jumpTarget);
    } else this.#leave();
  }

  #spillAll(): void {
    this.#locals.spill(this.#dirty);
    this.#spillBudget();
  }

  /** Leaves for the target of an indirect jump. */
  #leave(): void {
    this.#spillAll();
    this.#goOnIn(-1);
    this.#f.return(jumpTarget);
  }

  /** Leaves for the region for `pc` (−1: for the target of jalr), if the jump cache has one. */
  #goOnIn(pc: number): void {
    const f = this.#f;
    const isKnown = pc >= 0;
    const leave = (): void =>
      f.scoped(() => {
        const entry = f.let(isKnown ? jumpCacheEntryOf(hart, pc) : jumpCacheEntry(hart, jumpTarget));
        f.if(load(LOAD.i64, entry, ENTRY.tag).eq(tagOf(hart, isKnown ? i64(pc) : jumpTarget)), () => {
          const args = [regs, hart, load(LOAD.i32, entry, ENTRY.entry), depth];
          f.returnCallIndirect(this.#target.regionType, args, load(LOAD.i32, entry, ENTRY.element));
        });
      });
    if (isKnown) leave();
    else f.if(isCacheable(jumpTarget), leave);
  }

  /** A guest call: it comes back to the return address, or it does not, and then neither does this region. */
  #callTo(block: Block): void {
    const f = this.#f;
    const after = this.#node.after;
    this.#enter(block.target, (value) => {
      if (after !== undefined) {
        f.if(value.eq(i64(block.next)), () => this.#resume(after), undefined, "likely");
      }
      f.return(value);
    });
    f.return(block.target >= 0 ? i64(block.target) : jumpTarget);
  }

  /** Calls the region for `pc` (−1: for the target of jalr), if the jump cache has one and depth is left. */
  #enter(pc: number, then: (value: Expr) => void): void {
    const f = this.#f;
    const known = pc >= 0;
    if (pc === this.#base) {
      // The region runs, so its code is what is mapped.
      f.if(depth, () => f.scoped(() => then(f.let(call(I64, SELF, [regs, hart, i32(0), depth.sub(1)])))));
      return;
    }
    f.if(known ? depth : isCacheable(jumpTarget).and(depth.ne(0)), () =>
      f.scoped(() => {
        const entry = f.let(known ? jumpCacheEntryOf(hart, pc) : jumpCacheEntry(hart, jumpTarget));
        f.if(
          load(LOAD.i64, entry, ENTRY.tag).eq(tagOf(hart, known ? i64(pc) : jumpTarget)),
          () => {
            const value = f.let(callRegion(this.#target.regionType, regs, hart, entry, depth.sub(1)));
            then(value);
          },
          undefined,
          "likely",
        );
      }),
    );
  }

  /** Goes on at the return address of a call or behind a trap: anything may have changed. */
  #resume(after: Node): void {
    const f = this.#f;
    const node = this.#node;
    const dirty = this.#dirty;
    this.#locals.load(after.live);
    f.set(budget, load(LOAD.i32, regs, REG_BUDGET));
    this.#setNative();
    this.#dirty = NO_REGISTERS;
    // A return address is an entry, so there is a label for it or the root's dispatch.
    if (after.index > node.index) f.br(this.#labels.get(after)!);
    else if (dominates(after, node)) f.br(this.#loops.get(after)!);
    else {
      f.set(entryNumber, i32(after.entry));
      f.br(this.#rootLoop!);
    }
    this.#node = node;
    this.#dirty = dirty;
  }

  #trap(): void {
    const f = this.#f;
    const { block, after } = this.#node;
    const pc = block!.next - 4;
    this.#locals.spill(this.#dirty);
    this.#spillBudget();
    f.store(STORE.i64, regs, i64(pc), REG_PC);
    const tag = f.let(load(LOAD.i64, hart, HART_CODE_TAG));
    f.if(this.#target.call("syscall", regs), () => f.return(i64(exitValue(EXIT.LEFT))));
    emitForgetRuns(f, this.#target.call, hart);
    if (after !== undefined) {
      const isHere = load(LOAD.i64, regs, REG_PC).eq(i64(block!.next));
      f.if(isHere.and(load(LOAD.i64, hart, HART_CODE_TAG).eq(tag)), () => this.#resume(after));
    }
    f.return(load(LOAD.i64, regs, REG_PC));
  }
}
