/** A second hart for tests: instantiates the interpreter's module on a memory that it was given, and runs. */
import { parentPort, workerData } from "node:worker_threads";
import { instantiateTier0 } from "../tier0.ts";
import { type WasmMemory, WebAssembly } from "../../base/webassembly.ts";

export interface HartWork {
  readonly module: Uint8Array<ArrayBuffer>;
  readonly memory: WasmMemory;
  readonly tables: number;
  readonly regs: number;
  readonly hart: number;
}

if (parentPort !== null) {
  const { module, memory, tables, regs, hart } = workerData as HartWork;
  const leave = (): number => 1;
  const imports = { memory, tables, syscall: leave, fault: leave, csr: leave };
  const exit = instantiateTier0(new WebAssembly.Module(module), imports).run(regs, hart);
  parentPort.postMessage(exit);
}
