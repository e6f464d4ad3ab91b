/**
 * The table of system calls: every call of Linux riscv64 (asm-generic/unistd.h, asm/unistd.h), from which
 * dispatch, `--strace` and docs/SYSCALLS.md are made.
 */

import { assert } from "../base/assert.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { CallHandler, CallTrace, Personality, SystemCall } from "../kernel/call.ts";
import { registerTaskResource } from "../kernel/process.ts";
import { low, X } from "../kernel/registers.ts";
import { Task } from "../kernel/task.ts";
import { eventRows } from "./sys-event.ts";
import { execRows } from "./exec.ts";
import { clearExecStep } from "./exec-record.ts";
// oxlint-disable-next-line import/no-unassigned-import -- it registers what /proc says
import "./proc-source.ts";
import type { CallRow, RestartKind } from "./row.ts";
import { unsupportedRows } from "./rows-unsupported.ts";
import { pushSignalFrame } from "./signal-frame.ts";
import { cloneRows } from "./sys-clone.ts";
import { descriptorRows } from "./sys-descriptor.ts";
import { futexRows } from "./sys-futex.ts";
import { identityRows } from "./sys-identity.ts";
import { inotifyRows } from "./sys-inotify.ts";
import { ioctlRows } from "./sys-ioctl.ts";
import { memoryRows } from "./sys-memory.ts";
import { messageRows } from "./sys-message.ts";
import { mountRows } from "./sys-mount.ts";
import { nameRows } from "./sys-name.ts";
import { openRows } from "./sys-open.ts";
import { pidfdRows } from "./sys-pidfd.ts";
import { pollRows } from "./sys-poll.ts";
import { processRows } from "./sys-process.ts";
import { schedulingRows } from "./sys-scheduling.ts";
import { readWriteRows } from "./sys-read-write.ts";
import { signalRows } from "./sys-signal.ts";
import { socketRows } from "./sys-socket.ts";
import { spliceRows } from "./sys-splice.ts";
import { statRows } from "./sys-stat.ts";
import { systemRows } from "./sys-system.ts";
import { timeRows } from "./sys-time.ts";
import { timerRows } from "./sys-timer.ts";
import { transferRows } from "./sys-transfer.ts";

/** All rows, by rising number. */
export const callRows: readonly CallRow[] = [
  ...cloneRows,
  ...descriptorRows,
  ...eventRows,
  ...execRows,
  ...futexRows,
  ...identityRows,
  ...inotifyRows,
  ...ioctlRows,
  ...memoryRows,
  ...messageRows,
  ...mountRows,
  ...nameRows,
  ...openRows,
  ...pidfdRows,
  ...pollRows,
  ...processRows,
  ...schedulingRows,
  ...readWriteRows,
  ...signalRows,
  ...socketRows,
  ...spliceRows,
  ...statRows,
  ...systemRows,
  ...timeRows,
  ...timerRows,
  ...transferRows,
  ...unsupportedRows,
].sort((a, b) => a.number - b.number);

const byNumber: (CallRow | undefined)[] = [];
const handlers: (CallHandler | undefined)[] = [];
for (const row of callRows) {
  assert(byNumber[row.number] === undefined, `system call ${row.number} has two rows: ${row.name}`);
  byNumber[row.number] = row;
  handlers[row.number] = row.handler;
}
// An array without holes, so that looking a handler up stays fast.
for (let number = 0; number < byNumber.length; number++) {
  byNumber[number] ??= undefined;
  handlers[number] ??= undefined;
}

/** The row of system call `number`, if there is such a call. */
export function rowOf(number: number): CallRow | undefined {
  return byNumber[number];
}

/** The row of the call that the task is in. */
function currentRow(tx: Transaction, task: Task): CallRow | undefined {
  return rowOf(low(tx, Task.registers.get(tx, task), X.a7));
}

function restartKind(call: SystemCall): RestartKind | undefined {
  const row = currentRow(call.tx, call.task);
  return row?.restartOf?.(call) ?? row?.restart;
}

/** Whether the call is begun again after a handler, which has SA_RESTART or not. */
export function restarts(call: SystemCall, hasRestart: boolean): boolean {
  const kind = restartKind(call);
  return kind === "always" || (hasRestart && kind !== "interrupt");
}

/** Whether signals interrupt the call while it waits. */
export function isInterruptible(call: SystemCall): boolean {
  return restartKind(call) !== "uninterruptible";
}

/**
 * What a call that a signal interrupts answers instead of EINTR or a new beginning: the bytes that it has moved
 * already; undefined if there are none.
 */
export function partialResult(call: SystemCall): number | undefined {
  const { tx, task } = call;
  const done = Task.progress.get(tx, task);
  return done > 0 && currentRow(tx, task)?.countsProgress === true ? done : undefined;
}

/** Whether what the task's waiting call waits for has come (row.ts). */
export function hasCome(tx: Transaction, task: Task): boolean {
  return currentRow(tx, task)?.hasCome?.(tx, task) ?? false;
}

/**
 * Gives up what earlier attempts of the task's call have left, when it is not going to be resumed: one bounded
 * step; true when nothing is left.
 */
export function abandonStep(tx: Transaction, task: Task): boolean {
  const row = currentRow(tx, task);
  if (row?.abandon !== undefined) return row.abandon(tx, task);
  if (Task.progress.get(tx, task) !== 0) Task.progress.set(tx, task, 0);
  if (Task.progressDetail.get(tx, task) !== 0) Task.progressDetail.set(tx, task, 0);
  return true;
}

registerTaskResource({
  name: "call under way",
  release(tx, task) {
    if (Task.progress.get(tx, task) === 0) return true;
    // What the call's own cancel procedure leaves is a number.
    if (abandonStep(tx, task)) Task.progress.set(tx, task, 0);
    return false;
  },
});

/** Only an execve leaves something behind when it is finished. */
const clearStep = clearExecStep;

/** Linux riscv64, traced if `trace` is given. */
export function linuxPersonality(trace?: CallTrace): Personality {
  return {
    handlers,
    pushSignalFrame,
    restarts,
    isInterruptible,
    partialResult,
    hasCome,
    abandonStep,
    clearStep,
    trace,
  };
}
