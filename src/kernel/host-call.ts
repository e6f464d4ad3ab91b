/**
 * Host calls: how the host asks something of the machine (rule R11). The library, the command line and tests
 * enter here and nowhere else.
 *
 * There is a fixed number of call records. The host takes a free one, writes the operation, the arguments and
 * bytes into the call's buffer (a piece of guest memory that belongs to the call), and posts it. A hart then
 * runs it like a system call, as a kernel task of its own: in transactions, with waits that park, retried
 * when something fails. When it is done the host reads the result and takes or frees the record.
 *
 *     FREE ──host──▶ FILLING ──host──▶ POSTED ──hart──▶ RUNNING ──hart──▶ DONE ──host──▶ FREE
 *
 * The state word has one writer in each state, as drawn; the host never holds a lock and never waits for one.
 */

import { type HeapAddr, type HeapView, placeRoot } from "../heap/heap.ts";
import { REDO } from "../heap/layout.ts";
import { defineRecord, i64, ref, type Ref, u32, words } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { SystemCall } from "./call.ts";
import { ringDoorbell, Scheduler, schedulerOf } from "./scheduler.ts";
import { RUN, Task } from "./task.ts";
import { append } from "../heap/list.ts";
import { registerRedo } from "./thread.ts";

/**
 * FREE ──host──▶ FILLING ──▶ POSTED ──hart──▶ RUNNING ──▶ FINISHED ──redo step──▶ DONE ──host──▶ FREE
 *
 * FINISHED is stored by the call's transaction, which may yet be rolled back; DONE only after its commit. The
 * host believes nothing but DONE: it looks at the record at any time and knows no locks.
 */
export const CALL_STATE = { FREE: 0, FILLING: 1, POSTED: 2, RUNNING: 3, FINISHED: 4, DONE: 5 } as const;

/** Calls that can be under way at once, and bytes of each one's buffer. */
export const HOST_CALLS = 64;
export const HOST_CALL_BYTES = 65536;
/**
 * Where in its buffer a call that has brought a path answers with bytes: behind the longest path. A call that is
 * rolled back after it has written its answer reads the path again.
 */
export const HOST_ANSWER_AT = 4096;
/** Where in the root "host-calls" the records stand, behind the two counters. */
export const HOST_CALL_RECORDS = 2;
/** Arguments and results of a call. */
export const HOST_CALL_ARGUMENTS = 8;

/** Operations of the host. The numbers are in the heap: append only. */
export const HOST_OPERATIONS = [
  "spawn",
  "wait",
  "kill",
  "read",
  "write",
  "close",
  "resize",
  "open",
  "stat",
  "readdir",
  "mkdir",
  "unlink",
  "rename",
  "symlink",
  "readlink",
  "chmod",
  "chown",
  "mount",
  "shutdown",
  "lookup",
  "start",
] as const;
export type HostOperation = (typeof HOST_OPERATIONS)[number];

export const HostCall = defineRecord("host-call", {
  state: u32(),
  operation: u32(),
  /** Physical address of the buffer, and how many bytes of it are used. */
  buffer: u32(),
  length: u32(),
  arguments: words(HOST_CALL_ARGUMENTS * 2),
  /** Result, or −errno: a call that has failed is no longer run, only given up. */
  result: i64(),
  results: words(HOST_CALL_ARGUMENTS),
  task: ref("task"),
  /** Asked to give up: a waiting call then ends with EINTR. */
  cancelled: u32(),
  /** Goes up with each call made with this record. Written by the host. */
  sequence: u32(),
  index: u32(),
});
export type HostCall = Ref<"host-call">;

/** Carries out an operation; as a system call's handler, with the call's record. */
export type HostCallHandler = (call: SystemCall, record: HostCall) => number;

/** Gives up what the attempts of a failed call have left: one bounded step; true when nothing is left (rule R4). */
export type HostCallCancel = (tx: Transaction, record: HostCall) => boolean;

const cancels = new Map<HostOperation, HostCallCancel>();

/** Declares how a failed call of `operation` is given up; the others leave nothing. */
export function registerHostCancel(operation: HostOperation, cancel: HostCallCancel): void {
  cancels.set(operation, cancel);
}

/** Gives up what a call that has failed has left, in committed steps. */
export function cancelHostCall(tx: Transaction, record: HostCall): void {
  const cancel = cancels.get(HOST_OPERATIONS[HostCall.operation.get(tx, record)]!);
  if (cancel === undefined) return;
  while (!cancel(tx, record)) tx.commit();
  tx.commit();
}

/** Places the records: root "host-calls" counts posted calls and finished ones, then come the records. */
export function createHostCalls(tx: Transaction, bufferOf: (index: number) => number): void {
  const at = placeRoot(tx, "host-calls", HOST_CALL_RECORDS + HOST_CALLS);
  for (let i = 0; i < HOST_CALLS; i++) {
    const record = HostCall.allocate(tx);
    const task = Task.allocate(tx);
    HostCall.buffer.init(tx, record, bufferOf(i));
    HostCall.index.init(tx, record, i);
    HostCall.task.init(tx, record, task);
    Task.hostCall.init(tx, task, record);
    Task.hart.init(tx, task, -1);
    tx.words[at + HOST_CALL_RECORDS + i] = record;
    // The stock of a slot holds few blocks; each record is final by itself.
    tx.commit();
  }
}

export function hostCallOf(view: HeapView, index: number): HostCall {
  return view.words[view.root("host-calls") + HOST_CALL_RECORDS + index]! as HostCall;
}

/** The word that counts posted calls. */
export function postedAt(view: HeapView): HeapAddr {
  return view.root("host-calls");
}

/** The word that counts finished calls: the host waits for it to change. */
export function finishedAt(view: HeapView): HeapAddr {
  return view.root("host-calls") + 1;
}

/** Argument `index` as a number between −2^53 and 2^53. */
export function hostArgument(view: HeapView, record: HostCall, index: number): number {
  const at = HostCall.arguments.at(record, index * 2);
  return view.words[at + 1]! * 0x1_0000_0000 + (view.words[at]! >>> 0);
}

/** The bytes of a call's buffer. */
export function hostBuffer(view: HeapView, record: HostCall): Uint8Array {
  const at = HostCall.buffer.get(view, record);
  return view.memoryBytes.subarray(at, at + HOST_CALL_BYTES);
}

/** Starts the task of every call that has been posted since; true if there was one. */
export function startPostedCalls(tx: Transaction): boolean {
  let started = false;
  for (let i = 0; i < HOST_CALLS; i++) {
    const record = hostCallOf(tx, i);
    if (Atomics.load(tx.words, HostCall.state.at(record)) !== CALL_STATE.POSTED) continue;
    const scheduler = schedulerOf(tx);
    Scheduler.lock.acquire(tx, scheduler);
    // Another hart may have been faster.
    if (HostCall.state.get(tx, record) === CALL_STATE.POSTED) {
      const task = HostCall.task.get(tx, record);
      HostCall.state.set(tx, record, CALL_STATE.RUNNING);
      Task.run.set(tx, task, RUN.READY);
      append(tx, Scheduler.queue, scheduler, Task.queueLinks, task);
      Scheduler.ready.set(tx, scheduler, Scheduler.ready.get(tx, scheduler) + 1);
      started = true;
    }
    tx.commit();
  }
  return started;
}

/** Ends a call: result and state in the transaction, the host told after it. */
export function finishHostCall(tx: Transaction, record: HostCall, result: number): void {
  HostCall.result.set(tx, record, result);
  HostCall.state.set(tx, record, CALL_STATE.FINISHED);
  tx.afterCommit(REDO.hostCall, ticketOf(tx, record));
}

/** Record and sequence in one number: a step that is repeated must not touch the record's next call. */
function ticketOf(view: HeapView, record: HostCall): number {
  return HostCall.index.get(view, record) | (HostCall.sequence.get(view, record) << INDEX_BITS);
}
const INDEX_BITS = 6;

registerRedo(REDO.hostCall, (tx, ticket) => {
  const record = hostCallOf(tx, ticket & (HOST_CALLS - 1));
  const { FINISHED, DONE } = CALL_STATE;
  if (ticketOf(tx, record) !== ticket) return true;
  // Not undone: from here on the record is the host's.
  Atomics.compareExchange(tx.words, HostCall.state.at(record), FINISHED, DONE);
  const at = finishedAt(tx);
  Atomics.add(tx.words, at, 1);
  Atomics.notify(tx.words, at);
  return true;
});

/** Takes a free record; undefined if all are in use. Any thread of the host may ask. */
export function takeHostCall(view: HeapView): HostCall | undefined {
  for (let i = 0; i < HOST_CALLS; i++) {
    const record = hostCallOf(view, i);
    const at = HostCall.state.at(record);
    if (Atomics.compareExchange(view.words, at, CALL_STATE.FREE, CALL_STATE.FILLING) === CALL_STATE.FREE)
      return record;
  }
  return undefined;
}

/** Posts a call that this host thread has taken and whose buffer it has filled with `length` bytes. */
export function postHostCall(
  view: HeapView,
  record: HostCall,
  operation: HostOperation,
  args: readonly number[],
  length: number,
): void {
  const w = view.words;
  w[record + HostCall.operation.word] = HOST_OPERATIONS.indexOf(operation);
  w[record + HostCall.length.word] = length;
  w[record + HostCall.cancelled.word] = 0;
  w[record + HostCall.sequence.word] = (w[record + HostCall.sequence.word]! + 1) | 0;
  for (const [index, value] of args.entries()) {
    const at = HostCall.arguments.at(record, index * 2);
    w[at] = value | 0;
    w[at + 1] = Math.floor(value / 0x1_0000_0000) | 0;
  }
  // What a call before has handed over must not be taken for this one's.
  w.fill(0, record + HostCall.result.word, record + HostCall.result.word + 2);
  w.fill(0, record + HostCall.results.word, record + HostCall.results.word + HOST_CALL_ARGUMENTS);
  Atomics.store(w, HostCall.state.at(record), CALL_STATE.POSTED);
  Atomics.add(w, postedAt(view), 1);
  ringDoorbell(view, 1);
}

/** The result of a call that is done; the record is free afterwards unless `keep`. */
export function hostCallResult(view: HeapView, record: HostCall): number {
  return HostCall.result.get(view, record);
}

export function freeHostCall(view: HeapView, record: HostCall): void {
  Atomics.store(view.words, HostCall.state.at(record), CALL_STATE.FREE);
}
