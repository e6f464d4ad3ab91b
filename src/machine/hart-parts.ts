/** Puts a hart together: the kernel's loop, the Linux personality, the servers, and translated code. */

import type { Transaction } from "../heap/transaction.ts";
import type { Host } from "../host/contract.ts";
import { completeNextIo, hasCompletedIo, ioInFlight } from "../kernel/block-io.ts";
import type { CallTrace } from "../kernel/call.ts";
import { HartLoop, type HartParts } from "../kernel/hart.ts";
import { postedAt, startPostedCalls } from "../kernel/host-call.ts";
import { hartBlock, memoryLayout } from "../kernel/memory/layout.ts";
import { bindSafepoint } from "../kernel/memory/safepoint.ts";
import { enterPlacement } from "../kernel/placement.ts";
import { hartOf } from "../kernel/scheduler.ts";
import { createTrace } from "../linux/strace.ts";
import { linuxPersonality } from "../linux/table.ts";
import { instantiateTier0 } from "../riscv/tier0.ts";
import { Translator } from "../riscv/translator.ts";
import type { WasmMemory, WasmModule } from "../base/webassembly.ts";
import { hostCallHandlers } from "./host-operations.ts";
import "./parts.ts";

export interface HartSetup {
  readonly tx: Transaction;
  readonly host: Host;
  readonly memory: WasmMemory;
  /** Tier 0, compiled; with regions if the memory has a code area. */
  readonly module: WasmModule;
  readonly index: number;
  /** Hears a line for each system call, if tracing is on. */
  readonly trace: ((line: string) => void) | undefined;
}

/** The loop of hart `index`, working from the slot of `tx`. */
export function createHartLoop(setup: HartSetup): HartLoop {
  const { tx, host, index } = setup;
  enterPlacement(tx, { parking: host.parking, spins: 0 });
  bindSafepoint(tx, index);
  const parts: HartParts = {
    tx,
    index,
    personality: linuxPersonality(setup.trace === undefined ? undefined : traceBy(setup.trace)),
    wait: (word, value, ms) => host.parking.wait(tx.words, word, value, ms),
    hostWork: hostWorkOf(tx),
    hostCalls: hostCallHandlers,
    csr: (csr) => counterOf(csr, host),
  };
  const loop = new HartLoop(parts, hartOf(tx, index));
  const { memory, module } = setup;
  const layout = memoryLayout(tx);
  const imports = { memory, tables: layout.tier0, ...loop.imports };
  if (layout.codeBytes === 0) loop.attach(instantiateTier0(module, imports));
  else {
    const area = { at: layout.code, bytes: layout.codeBytes, harts: layout.harts };
    loop.attach(new Translator({ module, imports, area, index, block: hartBlock(tx, index), asks: true }));
  }
  return loop;
}

/** A trace whose lines go to `hear` one by one, without their line feeds. */
function traceBy(hear: (line: string) => void): CallTrace {
  return createTrace((text) => hear(text.endsWith("\n") ? text.slice(0, -1) : text));
}

/** Looks for finished I/O and posted calls, cheaply when there are none. */
function hostWorkOf(tx: Transaction): (tx: Transaction) => boolean {
  let seen = -1;
  return () => {
    let worked = false;
    while (ioInFlight(tx) > 0 && hasCompletedIo(tx) && completeNextIo(tx)) {
      tx.commit();
      worked = true;
    }
    tx.rollback();
    const posted = Atomics.load(tx.words, postedAt(tx));
    if (posted !== seen) {
      seen = posted;
      worked = startPostedCalls(tx) || worked;
    }
    return worked;
  };
}

const TIME = 0xc01;
/** Ticks of the time CSR in a second: what QEMU's virt machine and many boards have. */
const TIME_TICK_NS = 100;

/** The time CSR counts 100 ns ticks of the monotonic clock; programs may not read the others (Linux 6.6). */
function counterOf(csr: number, host: Host): readonly [number, number] | undefined {
  if (csr !== TIME) return undefined;
  const ticks = Math.floor(host.clock.monotonic() / TIME_TICK_NS);
  return [ticks | 0, Math.floor(ticks / 0x1_0000_0000)];
}
