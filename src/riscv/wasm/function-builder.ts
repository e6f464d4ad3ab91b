/**
 * Statements of one WebAssembly function, written at once to the module's one byte array. Expressions are
 * trees (expression.ts). Locals may be taken at any time and given back by scope, so that the many handlers
 * of one function share them; their declaration is put before the code when the function ends.
 */
import { assert } from "../../base/assert.ts";
import { ByteWriter } from "./bytes.ts";
import { type Expr, local } from "./expression.ts";
import {
  BLOCK_VOID,
  CONTROL,
  F32,
  F64,
  I32,
  I64,
  PREFIX_ATOMIC,
  type StoreOp,
  type ValueType,
} from "./opcodes.ts";

/** A block or loop that `br` can name: the nesting depth at which it was opened. */
export type Label = number & { readonly brand: "Label" };

/** What the host engine should expect of a condition. Branch hinting proposal: 0 unlikely, 1 likely. */
export type Hint = "likely" | "unlikely";

/** A function's parameters and result. */
export interface Signature {
  readonly parameters: readonly ValueType[];
  readonly result: ValueType | undefined;
}

export class FunctionBuilder {
  readonly parameters: readonly Expr[];
  readonly #to: ByteWriter;
  readonly #start: number;
  readonly #header = new ByteWriter(64);
  readonly #localTypes: ValueType[] = [];
  readonly #free: Record<ValueType, Expr[]> = { [I32]: [], [I64]: [], [F32]: [], [F64]: [] };
  readonly #taken: Expr[] = [];
  readonly #hints: { at: number; likely: boolean }[] = [];
  #depth = 0;

  /** `locals`: what {@link local} gives, instead of locals of the function; for recorded code. */
  constructor(to: ByteWriter, signature: Signature, locals: readonly Expr[] = []) {
    for (const each of locals) this.#free[each.type].unshift(each);
    this.#to = to;
    this.#start = to.length;
    this.parameters = signature.parameters.map((type, index) => local(type, index));
  }

  /** Parameter `index`. */
  parameter(index: number): Expr {
    const found = this.parameters[index];
    assert(found !== undefined, "no such parameter");
    return found;
  }

  /** A local of `type`, with any value in it; {@link scoped} gives it back. */
  local(type: ValueType): Expr {
    let found = this.#free[type].pop();
    if (found === undefined) {
      found = local(type, this.parameters.length + this.#localTypes.length);
      this.#localTypes.push(type);
    }
    this.#taken.push(found);
    return found;
  }

  /** Runs `body`; locals that it takes are free again afterwards. */
  scoped(body: () => void): void {
    const mark = this.#taken.length;
    body();
    for (const taken of this.#taken.splice(mark).reverse()) this.#free[taken.type].push(taken);
  }

  /** A new local that holds `value`. */
  let(value: Expr): Expr {
    const target = this.local(value.type);
    this.set(target, value);
    return target;
  }

  set(target: Expr, value: Expr): void {
    assert(target.type === value.type, "value does not fit the local");
    value.write(this.#to);
    this.#to.byte(CONTROL.localSet);
    target.writeIndex(this.#to);
  }

  /** Stores `value` at `address` (i32) + `offset`. */
  store(op: StoreOp, address: Expr, value: Expr, offset = 0): void {
    address.write(this.#to);
    value.write(this.#to);
    this.#to.byte(op);
    // A plain access promises no alignment: slow paths write misaligned words in place.
    this.#to.unsigned(0);
    this.#to.unsigned(offset);
  }

  atomicFence(): void {
    this.#to.byte(PREFIX_ATOMIC);
    this.#to.byte(0x03);
    this.#to.byte(0x00);
  }

  /** The writer, for code that was recorded elsewhere. */
  get to(): ByteWriter {
    return this.#to;
  }
  /** Locals of its own. */
  get localCount(): number {
    return this.#localTypes.length;
  }
  get depth(): number {
    return this.#depth;
  }
  /** Takes over a hint for the code at byte `at`. */
  addHint(at: number, likely: boolean): void {
    this.#hints.push({ at: at - this.#start, likely });
  }
  /** The hints of recorded code. */
  get hints(): ReadonlyArray<{ readonly at: number; readonly likely: boolean }> {
    return this.#hints;
  }
  /** Writes `br_if` whose target is left open: a hole of `kind`, with the depth at which it stands. */
  brIfHole(kind: number, condition: Expr, hint?: Hint): void {
    condition.write(this.#to);
    this.#hint(hint);
    this.#to.byte(CONTROL.brIf);
    this.#to.hole(kind, this.#depth);
  }
  /** Leaves `value` on the stack. */
  push(value: Expr): void {
    value.write(this.#to);
  }

  /** Evaluates `value` for its effect. */
  drop(value: Expr): void {
    value.write(this.#to);
    this.#to.byte(CONTROL.drop);
  }

  #hint(hint: Hint | undefined): void {
    if (hint !== undefined)
      this.#hints.push({ at: this.#to.length - this.#start, likely: hint === "likely" });
  }

  if(condition: Expr, yes: () => void, no?: () => void, hint?: Hint): void {
    condition.write(this.#to);
    this.#hint(hint);
    this.#to.byte(CONTROL.if);
    this.#to.byte(BLOCK_VOID);
    this.#depth++;
    yes();
    if (no !== undefined) {
      this.#to.byte(CONTROL.else);
      no();
    }
    this.#close();
  }

  /** As {@link if}, with the condition on the stack. */
  ifPushed(yes: () => void, no?: () => void): void {
    this.#to.byte(CONTROL.if);
    this.#to.byte(BLOCK_VOID);
    this.#depth++;
    yes();
    if (no !== undefined) {
      this.#to.byte(CONTROL.else);
      no();
    }
    this.#close();
  }

  #close(): void {
    this.#to.byte(CONTROL.end);
    this.#depth--;
  }

  #open(op: number): Label {
    this.#to.byte(op);
    this.#to.byte(BLOCK_VOID);
    return this.#depth++ as Label;
  }

  /** Leaves the function for what table 0 has at `element`, of the type with index `typeIndex`, called with `args`. */
  returnCallIndirect(typeIndex: number, args: readonly Expr[], element: Expr): void {
    for (const argument of [...args, element]) argument.write(this.#to);
    this.#to.byte(CONTROL.returnCallIndirect);
    this.#to.unsigned(typeIndex);
    this.#to.unsigned(0);
  }

  /** `br` to the label leaves the block. */
  block(body: (label: Label) => void): void {
    body(this.#open(CONTROL.block));
    this.#close();
  }

  /** `br` to the label goes round again; running off the end leaves the loop. */
  loop(body: (label: Label) => void): void {
    body(this.#open(CONTROL.loop));
    this.#close();
  }

  br(label: Label): void {
    this.#to.byte(CONTROL.br);
    this.#to.unsigned(this.#depth - 1 - label);
  }

  brIf(label: Label, condition: Expr, hint?: Hint): void {
    condition.write(this.#to);
    this.#hint(hint);
    this.#to.byte(CONTROL.brIf);
    this.#to.unsigned(this.#depth - 1 - label);
  }

  brTable(index: Expr, labels: readonly Label[], otherwise: Label): void {
    index.write(this.#to);
    this.#to.byte(CONTROL.brTable);
    this.#to.unsigned(labels.length);
    for (const label of labels) this.#to.unsigned(this.#depth - 1 - label);
    this.#to.unsigned(this.#depth - 1 - otherwise);
  }

  return(value?: Expr): void {
    value?.write(this.#to);
    this.#to.byte(CONTROL.return);
  }

  unreachable(): void {
    this.#to.byte(CONTROL.unreachable);
  }

  /** Ends the function: puts its size and its locals before the code. Returns the branch hints' section part. */
  end(): ReadonlyArray<{ readonly at: number; readonly likely: boolean }> {
    assert(this.#depth === 0, "blocks are closed");
    this.#to.byte(CONTROL.end);
    const runs: [ValueType, number][] = [];
    for (const type of this.#localTypes) {
      const last = runs.at(-1);
      if (last !== undefined && last[0] === type) last[1]++;
      else runs.push([type, 1]);
    }
    const locals = new ByteWriter(64);
    locals.unsigned(runs.length);
    for (const [type, count] of runs) {
      locals.unsigned(count);
      locals.byte(type);
    }
    this.#header.unsigned(this.#to.length - this.#start + locals.length);
    this.#header.append(locals);
    this.#to.insert(this.#start, this.#header);
    return this.#hints.map(({ at, likely }) => ({ at: at + locals.length, likely }));
  }
}
