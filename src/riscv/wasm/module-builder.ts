/**
 * The binary format of one WebAssembly module (core specification, 5.5), with the branch hinting section.
 *
 * Order: imports are declared first, since they come first in the index spaces; then functions may be
 * declared (which gives their index) and defined in the order of declaration.
 */
import { assert } from "../../base/assert.ts";
import { ByteWriter } from "./bytes.ts";
import { FunctionBuilder, type Signature } from "./function-builder.ts";
import type { ValueType } from "./opcodes.ts";

const SECTION = { custom: 0, type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const EXTERN = { function: 0x00, table: 0x01, memory: 0x02, global: 0x03 } as const;
const FUNCTION_REFERENCES = 0x70;
const FUNCTION_TYPE = 0x60;
const MEMORY_SHARED_WITH_MAXIMUM = 0x03;

/** A function that was declared: its index and its signature. */
export interface FunctionReference {
  readonly index: number;
  readonly signature: Signature;
}

export class ModuleBuilder {
  readonly #types: string[] = [];
  readonly #typeBytes = new ByteWriter(256);
  readonly #imports = new ByteWriter(256);
  #importCount = 0;
  #importedFunctions = 0;
  #importedGlobals = 0;
  readonly #functionTypes: number[] = [];
  readonly #exports = new ByteWriter(64);
  #exportCount = 0;
  readonly #code: ByteWriter;
  #defined = 0;
  readonly #hints = new ByteWriter(1024);
  #hintedFunctions = 0;

  /** `capacity`: bytes of code expected. */
  constructor(capacity: number) {
    this.#code = new ByteWriter(capacity);
  }

  /** Index of the type of functions with `signature`. */
  typeIndex(signature: Signature): number {
    const key = `${signature.parameters.join()}:${signature.result ?? ""}`;
    const found = this.#types.indexOf(key);
    if (found >= 0) return found;
    this.#typeBytes.byte(FUNCTION_TYPE);
    this.#typeBytes.unsigned(signature.parameters.length);
    for (const type of signature.parameters) this.#typeBytes.byte(type);
    this.#typeBytes.unsigned(signature.result === undefined ? 0 : 1);
    if (signature.result !== undefined) this.#typeBytes.byte(signature.result);
    return this.#types.push(key) - 1;
  }

  #import(module: string, name: string): void {
    this.#importCount++;
    this.#imports.name(module);
    this.#imports.name(name);
  }

  importFunction(module: string, name: string, signature: Signature): FunctionReference {
    assert(this.#functionTypes.length === 0, "imports are declared before functions");
    this.#import(module, name);
    this.#imports.byte(EXTERN.function);
    this.#imports.unsigned(this.typeIndex(signature));
    return { index: this.#importedFunctions++, signature };
  }

  /** Imports a shared memory of `minimum` to `maximum` pages of 64 KiB. */
  importSharedMemory(module: string, name: string, minimum: number, maximum: number): void {
    this.#import(module, name);
    this.#imports.byte(EXTERN.memory);
    this.#imports.byte(MEMORY_SHARED_WITH_MAXIMUM);
    this.#imports.unsigned(minimum);
    this.#imports.unsigned(maximum);
  }

  /** Imports a table of functions, table 0. */
  importTable(module: string, name: string): void {
    this.#import(module, name);
    this.#imports.byte(EXTERN.table);
    this.#imports.byte(FUNCTION_REFERENCES);
    this.#imports.byte(0);
    this.#imports.unsigned(0);
  }

  /** Imports an immutable global; returns its index. */
  importGlobal(module: string, name: string, type: ValueType): number {
    this.#import(module, name);
    this.#imports.byte(EXTERN.global);
    this.#imports.byte(type);
    this.#imports.byte(0);
    return this.#importedGlobals++;
  }

  declare(signature: Signature): FunctionReference {
    this.#functionTypes.push(this.typeIndex(signature));
    return { index: this.#importedFunctions + this.#functionTypes.length - 1, signature };
  }

  /** Writes the body of a declared function. Functions are defined in the order of declaration. */
  define(reference: FunctionReference, body: (f: FunctionBuilder) => void): void {
    assert(reference.index === this.#importedFunctions + this.#defined, "defined in order of declaration");
    this.#defined++;
    const builder = new FunctionBuilder(this.#code, reference.signature);
    body(builder);
    const hints = builder.end();
    if (hints.length === 0) return;
    this.#hintedFunctions++;
    this.#hints.unsigned(reference.index);
    this.#hints.unsigned(hints.length);
    for (const { at, likely } of hints) {
      this.#hints.unsigned(at);
      this.#hints.unsigned(1);
      this.#hints.byte(likely ? 1 : 0);
    }
  }

  exportFunction(name: string, reference: FunctionReference): void {
    this.#exportCount++;
    this.#exports.name(name);
    this.#exports.byte(EXTERN.function);
    this.#exports.unsigned(reference.index);
  }

  /** The finished module. */
  finish(): Uint8Array<ArrayBuffer> {
    assert(this.#defined === this.#functionTypes.length, "every declared function is defined");
    const out = new ByteWriter(this.#code.length + 4096);
    for (const byte of [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]) out.byte(byte);
    const section = (id: number, count: number, content: ByteWriter, name?: string): void => {
      const body = new ByteWriter(content.length + 64);
      if (name !== undefined) body.name(name);
      body.unsigned(count);
      body.append(content);
      out.byte(id);
      out.unsigned(body.length);
      out.append(body);
    };
    section(SECTION.type, this.#types.length, this.#typeBytes);
    section(SECTION.import, this.#importCount, this.#imports);
    const functions = new ByteWriter(1024);
    for (const type of this.#functionTypes) functions.unsigned(type);
    section(SECTION.function, this.#functionTypes.length, functions);
    section(SECTION.export, this.#exportCount, this.#exports);
    section(SECTION.custom, this.#hintedFunctions, this.#hints, "metadata.code.branch_hint");
    section(SECTION.code, this.#functionTypes.length, this.#code);
    return out.copy();
  }
}
