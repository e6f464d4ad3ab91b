/** What the threads of a machine are started with. All of it can be cloned; memory and heap are shared. */

import type { GrantedFolder } from "../host/node/host-folder.ts";
import type { WasmMemory, WasmModule } from "../riscv/wasm/api.ts";

/** The buffers of a machine. */
export interface MachineBuffers {
  readonly heap: SharedArrayBuffer;
  readonly memory: WasmMemory;
}

/** An image that the I/O thread opens; its place in the list is its device number. */
export interface ImageGrant {
  readonly path: string;
  readonly digest: string;
  readonly dataBlocks: number;
}

export interface IoThreadData extends MachineBuffers {
  readonly images: readonly ImageGrant[];
  /** Granted folders of the host; a folder's place in the list is its number. */
  readonly folders: readonly GrantedFolder[];
}

export interface HartThreadData extends MachineBuffers {
  /** Number in the thread table. */
  readonly thread: number;
  /** The hart, and the request slot, that it is. */
  readonly hart: number;
  readonly slot: number;
  /** The tier-0 interpreter. */
  readonly module: WasmModule;
  readonly strace: boolean;
}

export interface WardenThreadData extends MachineBuffers {
  readonly thread: number;
  readonly harts: number;
  /** Request slot of the first hart; the others follow. The warden itself recovers from the dead hart's slot. */
  readonly firstSlot: number;
  readonly module: WasmModule;
  readonly strace: boolean;
}
