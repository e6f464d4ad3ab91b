/**
 * Functions that a module of translated code holds beside its handlers or regions. A definition is a name, a
 * signature and a body; bodies call one another by name, so the order of definitions does not matter.
 */
import { assert } from "../base/assert.ts";
import { call, type Expr } from "./wasm/expression.ts";
import type { FunctionBuilder, Signature } from "./wasm/function-builder.ts";
import type { FunctionReference, ModuleBuilder } from "./wasm/module-builder.ts";
import { I64 } from "./wasm/opcodes.ts";

/** Calls the function `name`. */
export type CallByName = (name: string, ...args: Expr[]) => Expr;

export interface HelperDefinition {
  readonly name: string;
  readonly signature: Signature;
  readonly body: (f: FunctionBuilder, call: CallByName) => void;
}

/** The functions of a module by name. */
export class FunctionNames {
  readonly #references = new Map<string, FunctionReference>();

  add(name: string, reference: FunctionReference): void {
    assert(!this.#references.has(name), `function ${name} is defined once`);
    this.#references.set(name, reference);
  }

  get(name: string): FunctionReference {
    const found = this.#references.get(name);
    assert(found !== undefined, `function ${name} exists`);
    return found;
  }

  readonly call: CallByName = (name, ...args) => {
    const { index, signature } = this.get(name);
    assert(
      args.length === signature.parameters.length &&
        args.every((argument, i) => argument.type === signature.parameters[i]),
      `arguments of ${name} fit its signature`,
    );
    assert(signature.result !== undefined, `${name} has a result`);
    return call(signature.result, index, args);
  };
}

/** Declares all of `definitions`, then defines them. */
export function addHelpers(
  module: ModuleBuilder,
  names: FunctionNames,
  definitions: readonly HelperDefinition[],
): void {
  for (const { name, signature } of definitions) names.add(name, module.declare(signature));
  for (const { name, body } of definitions) {
    module.define(names.get(name), (f) => body(f, names.call));
  }
}

const LOW_32 = 0xffffffff;

/** The upper half of an unsigned product, from four products of 32 bits. */
function highProduct(f: FunctionBuilder, a: Expr, b: Expr): Expr {
  const aLow = f.let(a.and(LOW_32));
  const aHigh = f.let(a.shrU(32));
  const bLow = f.let(b.and(LOW_32));
  const bHigh = f.let(b.shrU(32));
  const middle = f.let(aHigh.mul(bLow).add(aLow.mul(bLow).shrU(32)));
  const other = f.let(aLow.mul(bHigh).add(middle.and(LOW_32)));
  return aHigh.mul(bHigh).add(middle.shrU(32)).add(other.shrU(32));
}

const PRODUCT: Signature = { parameters: [I64, I64], result: I64 };

export const INTEGER_HELPERS: readonly HelperDefinition[] = [
  {
    name: "mulhu",
    signature: PRODUCT,
    body: (f) => f.return(highProduct(f, f.parameter(0), f.parameter(1))),
  },
  {
    // A negative factor counts 2^64 too much as unsigned: take the other one off the upper half.
    name: "mulh",
    signature: PRODUCT,
    body: (f, call) => {
      const a = f.parameter(0);
      const b = f.parameter(1);
      f.return(call("mulhu", a, b).sub(a.shrS(63).and(b)).sub(b.shrS(63).and(a)));
    },
  },
  {
    name: "mulhsu",
    signature: PRODUCT,
    body: (f, call) => {
      const a = f.parameter(0);
      const b = f.parameter(1);
      f.return(call("mulhu", a, b).sub(a.shrS(63).and(b)));
    },
  },
];
