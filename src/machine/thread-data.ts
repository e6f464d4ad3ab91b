/** What the threads of a machine are started with. All of it can be cloned; memory and heap are shared. */

import type { GrantedFolder } from "../host/node/host-folder.ts";
import type { ServerName } from "../kernel/placement.ts";
import type { WasmMemory, WasmModule } from "../base/webassembly.ts";

/** The buffers of a machine. */
export interface MachineBuffers {
  readonly heap: WasmMemory;
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

/** What harts and servers' threads have in common. */
interface WorkerData extends MachineBuffers {
  /** Number in the thread table. */
  readonly thread: number;
  /** The control words of faults (fault-control.ts), if there are to be any. */
  readonly faults?: SharedArrayBuffer;
}

/** What every hart's thread needs. */
interface HartData extends WorkerData {
  /** The tier-0 interpreter. */
  readonly module: WasmModule;
  readonly strace: boolean;
}

/** A hart's thread that the warden has started, maybe as a spare. */
export interface PooledHartData extends HartData {
  /** A word that becomes the number of the hart that the thread is, plus one; 0 while it is a spare. */
  readonly assigned: SharedArrayBuffer;
  /** Request slot of the first hart; the others follow. */
  readonly firstSlot: number;
}

/** A thread that is one hart from the beginning to the end. */
export interface HartThreadData extends HartData {
  /** The hart, and the request slot, that it is. */
  readonly hart: number;
  readonly slot: number;
}

export interface ServerThreadData extends WorkerData {
  readonly server: ServerName;
}

export interface WardenThreadData extends WorkerData {
  readonly harts: number;
  /** Request slot of the first hart; the others follow. The warden recovers from the slots of dead ones. */
  readonly firstSlot: number;
  readonly module: WasmModule;
  readonly strace: boolean;
  /** Time without progress, ms, after which a thread counts as hung. */
  readonly hangMs: number;
}

/** Asks the warden to end a thread: faults in tests. */
export interface EndRequest {
  readonly kind: "end";
  /** A hart's number or a server's name. */
  readonly target: number | ServerName;
}
