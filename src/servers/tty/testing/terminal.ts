/**
 * A terminal for tests: a machine of one thread with a pair of ends, a process tree of one caller, and what a
 * program does with a terminal, by short names.
 */

import assert from "node:assert/strict";
import { Errno } from "../../../base/errno.ts";
import { checkHeap } from "../../../heap/check.ts";
import { createHeap, type HeapView } from "../../../heap/heap.ts";
import { REDO, type RedoKind } from "../../../heap/layout.ts";
import { HookedTransaction, type Transaction } from "../../../heap/transaction.ts";
import { File, kindOf } from "../../../kernel/file.ts";
import { type JobControl, registerJobControl } from "../../../kernel/job-control.ts";
import { addSegment, clearSegments, clearWaits } from "../../../kernel/request.ts";
import { SIG } from "../../../kernel/signal.ts";
import { KernelThread } from "../../../kernel/thread.ts";
import { CC, IOCTL, TTY_IOCTLS } from "../termios.ts";
import { openPtmx, openPts } from "../tty-server.ts";
import { placeTerminals, type Tty } from "../tty.ts";

export const OUT = 0;
export const IN: number = 1 << 18;

/** A process tree of one caller, whose place in it the tests set. */
export const world = {
  group: 0,
  session: 0,
  leads: false,
  terminal: 0,
  ignores: new Set<number>(),
  orphaned: false,
  sessions: new Map<number, number>(),
  signals: [] as string[],
  deadline: 0,
  now: 0,
};

// Signals go out after the commit: here by a redo step that writes them down.
export const fakeJobControl: JobControl = {
  lock: () => {},
  callerGroup: () => world.group,
  callerSession: () => world.session,
  callerLeadsSession: () => world.leads,
  callerTerminal: () => world.terminal,
  setCallerTerminal: (_tx, terminal) => void (world.terminal = terminal),
  callerIgnores: (_tx, signal) => world.ignores.has(signal),
  isOrphaned: () => world.orphaned,
  sessionOfGroup: (_tx, group) => world.sessions.get(group) ?? 0,
  signalGroup: (tx, group, signal) => tx.afterCommit(REDO.group, group * 64 + signal),
  dropTerminal: (tx, session, _terminal, signals) =>
    tx.afterCommit(REDO.group, -(session * 2 + (signals ? 1 : 0))),
  deadlineIn: (_tx, ns) => (world.deadline = world.deadline || world.now + ns),
};
registerJobControl(fakeJobControl);

export class TestThread extends KernelThread {
  constructor() {
    super(1, { monotonic: () => world.now, realtime: () => 0 }, { fill: () => {} }, () =>
      assert.fail("contended"),
    );
  }
  override redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    if (kind === REDO.wake) return true;
    if (kind !== REDO.group) return super.redo(tx, kind, value);
    if (value > 0) world.signals.push(`${value >>> 6}:${nameOf(value & 63)}`);
    else world.signals.push(`session ${-value >>> 1}${-value & 1 ? " HUP CONT" : ""}`);
    return true;
  }
}

export function nameOf(signal: number): string {
  return Object.entries(SIG).find(([, number]) => number === signal)?.[0] ?? String(signal);
}

export interface Pair {
  readonly tx: HookedTransaction;
  readonly master: File;
  readonly slave: File;
  readonly tty: Tty;
}

export function request<T>(tx: HookedTransaction, work: () => T): T {
  clearWaits(tx);
  try {
    const result = work();
    tx.commit();
    return result;
  } catch (error) {
    tx.rollback();
    throw error;
  }
}

export function fresh(): Pair {
  Object.assign(world, {
    group: 0,
    session: 0,
    leads: false,
    terminal: 0,
    ignores: new Set(),
    orphaned: false,
    sessions: new Map(),
    signals: [],
    deadline: 0,
    now: 0,
  });
  const buffers = { heap: createHeap({ bytes: 4 << 20, slots: 2 }), memory: new SharedArrayBuffer(1 << 19) };
  const tx = new HookedTransaction(buffers, 0, new TestThread(), () => {});
  placeTerminals(tx);
  const master = request(tx, () => openPtmx(tx, 2));
  setWord(tx, master, "TIOCSPTLCK", 0);
  const slave = request(tx, () => openPts(tx, 0, 2, true, false));
  return { tx, master, slave, tty: File.object.get(tx, master) as Tty };
}

/** As {@link fresh}, with the caller as a shell in its own session, at its controlling terminal. */
export function withJob(): Pair {
  const pair = fresh();
  Object.assign(world, { group: 10, session: 10, leads: true });
  world.sessions.set(10, 10).set(11, 10).set(20, 20);
  ioctl(pair.tx, pair.slave, "TIOCSCTTY", 0);
  return pair;
}

export function segment(tx: HookedTransaction, pa: number, length: number): void {
  clearSegments(tx);
  if (length > 0) addSegment(tx, pa, length);
}

export function write(tx: HookedTransaction, file: File, text: string, nonblock = true): number {
  const data = Uint8Array.from(text, (c) => c.charCodeAt(0));
  let done = 0;
  while (done < data.length || data.length === 0) {
    tx.memoryBytes.set(data.subarray(done), OUT);
    segment(tx, OUT, data.length - done);
    try {
      done += request(tx, () => kindOf(tx, file).write(tx, file, data.length - done, -1, nonblock));
    } catch (error) {
      if (done === 0 || !(error instanceof Errno)) throw error;
      return done;
    }
    if (data.length === 0) break;
  }
  return done;
}

export function read(tx: HookedTransaction, file: File, length = 100_000, nonblock = true): string {
  segment(tx, IN, length);
  const count = request(tx, () => kindOf(tx, file).read(tx, file, length, -1, nonblock));
  return String.fromCharCode(...tx.memoryBytes.slice(IN, IN + count));
}

export function poll(tx: HookedTransaction, file: File): number {
  return request(tx, () => kindOf(tx, file).poll(tx, file, false));
}

export function ioctl(tx: HookedTransaction, file: File, name: keyof typeof IOCTL, argument: number): number {
  const shape = TTY_IOCTLS.get(IOCTL[name]);
  segment(tx, IN, shape?.bytes ?? 0);
  return request(tx, () => kindOf(tx, file).ioctl!(tx, file, IOCTL[name], argument));
}

export function getWord(tx: HookedTransaction, file: File, name: keyof typeof IOCTL): number {
  ioctl(tx, file, name, 0);
  return tx.memory[IN / 4]!;
}

export function setWord(tx: HookedTransaction, file: File, name: keyof typeof IOCTL, value: number): void {
  tx.memory[IN / 4] = value;
  ioctl(tx, file, name, 0);
}

export interface Settings {
  iflag: number;
  oflag: number;
  lflag: number;
  cc: Partial<Record<keyof typeof CC, number>>;
}

/** Changes settings by TCGETS and TCSETS, as stty does: flags are put in or, if negative, taken out. */
export function stty(
  tx: HookedTransaction,
  file: File,
  settings: Partial<Settings>,
  how: "TCSETS" | "TCSETSF" = "TCSETS",
): void {
  ioctl(tx, file, "TCGETS", 0);
  const view = new DataView(tx.memory.buffer, IN);
  const apply = (at: number, flags: number | undefined): void => {
    if (flags === undefined) return;
    const old = view.getUint32(at, true);
    view.setUint32(at, flags < 0 ? old & ~-flags : old | flags, true);
  };
  apply(0, settings.iflag);
  apply(4, settings.oflag);
  apply(12, settings.lflag);
  for (const [name, value] of Object.entries(settings.cc ?? {}))
    view.setUint8(17 + CC[name as keyof typeof CC], value);
  ioctl(tx, file, how, 0);
}

export function failsWith(name: string, work: () => unknown): void {
  assert.throws(work, (error) => error instanceof Errno && error.name === name, name);
}

export const clean = (view: HeapView): void => assert.deepEqual(checkHeap(view), []);
