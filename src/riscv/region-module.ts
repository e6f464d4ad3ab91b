/**
 * A module of regions, written into byte arrays that are used again for the next one. Its imports are the
 * memory, the table and those functions of tier 0's module that its code calls; functions are only known by
 * what they are exported as, their number.
 */
import { assert } from "../base/assert.ts";
import { REGION_SIGNATURE } from "./dispatcher.ts";
import { type CallByName, type HelperDefinition, INTEGER_HELPERS } from "./helpers.ts";
import { ARITHMETIC_HELPERS } from "./softfloat-arithmetic.ts";
import { CONVERSION_HELPERS } from "./softfloat-convert.ts";
import { MEMORY_HELPERS } from "./tier0-memory.ts";
import { ByteWriter } from "./wasm/bytes.ts";
import { call } from "./wasm/expression.ts";
import { FunctionBuilder, type Signature } from "./wasm/function-builder.ts";
import { I32, type ValueType } from "./wasm/opcodes.ts";

const SIGNATURES = new Map<string, Signature>([
  ["syscall", { parameters: [I32], result: I32 }],
  ...[...INTEGER_HELPERS, ...ARITHMETIC_HELPERS, ...CONVERSION_HELPERS, ...MEMORY_HELPERS].map(
    ({ name, signature }: HelperDefinition): [string, Signature] => [name, signature],
  ),
]);

const SECTION = { custom: 0, type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const FUNCTION = 0x00;
const TABLE = 0x01;
const MEMORY = 0x02;
const FUNCTION_TYPE = 0x60;
const FUNCTION_REFERENCES = 0x70;
const SHARED_WITH_MAXIMUM = 0x03;
const MAXIMUM_PAGES = 65536;
/** Index of the type of regions. */
const REGION_TYPE = 0;

export class RegionModule {
  readonly #code = new ByteWriter(1 << 18);
  readonly #types = new ByteWriter(1 << 10);
  readonly #body = new ByteWriter(1 << 18);
  readonly #out = new ByteWriter(1 << 18);
  readonly #typeIndexes = new Map<string, number>();
  readonly #imported = new Map<string, number>();
  /** Hints of each function, which name its index; imports come before, so it is not known yet. */
  #pendingHints: { readonly number: number; readonly bytes: ByteWriter }[] = [];
  #functions = 0;
  /** Where the code of each function begins. */
  #starts: number[] = [];

  readonly regionType = REGION_TYPE;

  /** Begins a new module. */
  clear(): void {
    for (const writer of [this.#code, this.#types]) writer.clear();
    this.#typeIndexes.clear();
    this.#imported.clear();
    this.#pendingHints = [];
    this.#functions = 0;
    this.#starts = [];
    assert(this.#type(REGION_SIGNATURE) === REGION_TYPE, "the first type is that of regions");
  }

  /** Bytes of code so far. */
  get size(): number {
    return this.#code.length;
  }

  #type(signature: Signature): number {
    const key = `${signature.parameters.join()}:${signature.result ?? ""}`;
    const found = this.#typeIndexes.get(key);
    if (found !== undefined) return found;
    const to = this.#types;
    to.byte(FUNCTION_TYPE);
    to.unsigned(signature.parameters.length);
    for (const type of signature.parameters) to.byte(type);
    to.unsigned(1);
    to.byte(signature.result!);
    const index = this.#typeIndexes.size;
    this.#typeIndexes.set(key, index);
    return index;
  }

  /** Index of the function `name` of tier 0's module, which is imported if it is not yet. */
  readonly importIndex = (name: string): number => {
    let index = this.#imported.get(name);
    if (index === undefined) {
      index = this.#imported.size;
      this.#imported.set(name, index);
    }
    return index;
  };

  readonly call: CallByName = (name, ...args) => {
    const signature = SIGNATURES.get(name);
    assert(signature !== undefined, "regions call functions of tier 0's module");
    return call(signature.result as ValueType, this.importIndex(name), args);
  };

  /** Adds a function; its number. */
  add(body: (f: FunctionBuilder) => void): number {
    this.#starts.push(this.#code.length);
    const f = new FunctionBuilder(this.#code, REGION_SIGNATURE);
    body(f);
    const hints = f.end();
    if (hints.length > 0) {
      const bytes = new ByteWriter(hints.length * 4 + 8);
      bytes.unsigned(hints.length);
      for (const { at, likely } of hints) {
        bytes.unsigned(at);
        bytes.unsigned(1);
        bytes.byte(likely ? 1 : 0);
      }
      this.#pendingHints.push({ number: this.#functions, bytes });
    }
    return this.#functions++;
  }

  #section(id: number, count: number, write: (to: ByteWriter) => void, name?: string): void {
    const body = this.#body;
    body.clear();
    if (name !== undefined) body.name(name);
    body.unsigned(count);
    write(body);
    this.#out.byte(id);
    this.#out.unsigned(body.length);
    this.#out.append(body);
  }

  /** The finished module. */
  finish(): Uint8Array<ArrayBuffer> {
    const out = this.#out;
    out.clear();
    for (const byte of [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]) out.byte(byte);
    const imports = [...this.#imported.keys()];
    // A function that calls itself does so by its index, which the imports come before.
    this.#starts.forEach((start, number) => this.#code.setLater(start, imports.length + number));
    const typeOf = (name: string): number => this.#type(SIGNATURES.get(name)!);
    // Asking for the types adds them.
    const importTypes = imports.map(typeOf);
    this.#section(SECTION.type, this.#typeIndexes.size, (to) => to.append(this.#types));
    this.#section(SECTION.import, imports.length + 2, (to) => {
      imports.forEach((name, i) => {
        to.name("tier0");
        to.name(name);
        to.byte(FUNCTION);
        to.unsigned(importTypes[i]!);
      });
      to.name("env");
      to.name("memory");
      to.byte(MEMORY);
      to.byte(SHARED_WITH_MAXIMUM);
      to.unsigned(1);
      to.unsigned(MAXIMUM_PAGES);
      to.name("env");
      to.name("table");
      to.byte(TABLE);
      to.byte(FUNCTION_REFERENCES);
      to.byte(0);
      to.unsigned(0);
    });
    this.#section(SECTION.function, this.#functions, (to) => {
      for (let i = 0; i < this.#functions; i++) to.unsigned(REGION_TYPE);
    });
    this.#section(SECTION.export, this.#functions, (to) => {
      for (let i = 0; i < this.#functions; i++) {
        to.name(String(i));
        to.byte(FUNCTION);
        to.unsigned(imports.length + i);
      }
    });
    this.#section(
      SECTION.custom,
      this.#pendingHints.length,
      (to) => {
        for (const { number, bytes } of this.#pendingHints) {
          to.unsigned(imports.length + number);
          to.append(bytes);
        }
      },
      "metadata.code.branch_hint",
    );
    this.#section(SECTION.code, this.#functions, (to) => to.append(this.#code));
    return out.copy();
  }
}
