/**
 * The interpreter, tier 0, ready to run: its WebAssembly module and its decode tables. Both follow from the
 * instruction table alone, and to make them takes longer than everything else that a boot does; so a bundle has
 * them beside it as files (tools/bundle.ts), and sources make them when they are first asked for.
 */

import { readFileSync } from "node:fs";
import { moduleExtension } from "../base/module-extension.ts";
import { type WasmModule, WebAssembly } from "../base/webassembly.ts";
import { buildTier0 } from "../riscv/tier0.ts";
import { tier0TableBytes, writeTier0Tables } from "../riscv/tier0-tables.ts";
import { INTERPRETER_FILES } from "./interpreter-files.ts";

/** The decode tables, made from the instruction table. */
export function makeTier0Tables(): Uint8Array<ArrayBuffer> {
  const tables = new Uint8Array(tier0TableBytes());
  writeTier0Tables(tables);
  return tables;
}

/** What a bundle has in the file `name`, or what `make` gives where the sources run. */
function readOrMake(name: string, make: () => Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (moduleExtension(import.meta.url) === ".ts") return make();
  return new Uint8Array(readFileSync(new URL(`./${name}`, import.meta.url)));
}

const compiled: { plain?: WasmModule; withRegions?: WasmModule } = {};
let tables: Uint8Array<ArrayBuffer> | undefined;

/** The module, alone or for a machine that translates: the same for all machines of the process. */
export function tier0Module(regions = false): WasmModule {
  const name = regions ? "withRegions" : "module";
  const make = (): WasmModule =>
    new WebAssembly.Module(readOrMake(INTERPRETER_FILES[name], () => buildTier0({ regions })));
  return regions ? (compiled.withRegions ??= make()) : (compiled.plain ??= make());
}

/** The decode tables, to be copied into each machine's memory. */
export function tier0Tables(): Uint8Array<ArrayBuffer> {
  tables ??= readOrMake(INTERPRETER_FILES.tables, makeTier0Tables);
  return tables;
}
