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

/**
 * What the main thread's children are started with. They are started first of all and load while the state is
 * built, so they must leave the buffers alone until the machine has begun.
 */
interface EarlyData extends MachineBuffers {
  /** A word that becomes the number of the warden's thread when the state is there; 0 until then. */
  readonly begun: SharedArrayBuffer;
}

export interface IoThreadData extends EarlyData {
  readonly images: readonly ImageGrant[];
  /** Granted folders of the host; a folder's place in the list is its number. */
  readonly folders: readonly GrantedFolder[];
}

export interface TranslatorThreadData {
  readonly memory: WasmMemory;
  /** The code area: pa, bytes, and of how many harts. */
  readonly area: { readonly at: number; readonly bytes: number; readonly harts: number };
  /** Where regions are kept for later machines: a folder, and the digest of the image. Undefined: nowhere. */
  readonly kept: { readonly folder: string; readonly image: string } | undefined;
}

/** What harts and servers' threads have in common. */
interface WorkerData extends MachineBuffers {
  /** The control words of faults (fault-control.ts), if there are to be any. */
  readonly faults?: SharedArrayBuffer;
}

/** A hart's thread that the warden has started: a spare until it is told which hart it is. */
export interface PooledHartData extends WorkerData {
  readonly strace: boolean;
  /**
   * Two words: the number of the hart that the thread is, plus one, 0 while it is a spare; and its number in the
   * thread table. When the first is set, a {@link HartStart} waits among the thread's messages.
   */
  readonly assigned: SharedArrayBuffer;
  /** Request slot of the first hart; the others follow. */
  readonly firstSlot: number;
}

/** What a hart's thread is told when it becomes a hart, and the warden when the machine begins. */
export interface HartStart {
  /** The tier-0 interpreter. */
  readonly module: WasmModule;
}

/** A thread that is one hart from the beginning to the end. */
export interface HartThreadData extends WorkerData, HartStart {
  /** Number in the thread table. */
  readonly thread: number;
  readonly strace: boolean;
  /** The hart, and the request slot, that it is. */
  readonly hart: number;
  readonly slot: number;
}

export interface ServerThreadData extends WorkerData {
  /** Number in the thread table. */
  readonly thread: number;
  readonly server: ServerName;
}

export interface WardenThreadData extends WorkerData, EarlyData {
  readonly harts: number;
  /** Request slot of the first hart; the others follow. The warden recovers from the slots of dead ones. */
  readonly firstSlot: number;
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
