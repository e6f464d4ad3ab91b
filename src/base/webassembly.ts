/**
 * The part of the WebAssembly JavaScript interface that is used here. The layer compiles without the DOM's
 * or Node's types, so the few names it needs are declared; the global object provides them everywhere.
 */

/** A WebAssembly.Memory. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

/** A WebAssembly.Module: compiled code, which may be posted to other threads. */
export type WasmModule = object;

interface WasmInstance {
  readonly exports: object;
}

/** A WebAssembly.Table of functions. */
export interface WasmTable {
  readonly length: number;
  grow(by: number): number;
  set(index: number, value: unknown): void;
}

interface WebAssemblyApi {
  readonly Table: new (descriptor: { initial: number; element: "anyfunc" }) => WasmTable;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => WasmModule;
  readonly Instance: new (
    module: WasmModule,
    imports: Record<string, Record<string, unknown>>,
  ) => WasmInstance;
  /** Sizes in pages of 64 KiB. */
  readonly Memory: new (descriptor: {
    initial: number;
    maximum: number;
    shared: boolean;
  }) => WasmMemory;
}

/** The engine's WebAssembly object. */
export const WebAssembly: WebAssemblyApi = (globalThis as unknown as { WebAssembly: WebAssemblyApi })
  .WebAssembly;
