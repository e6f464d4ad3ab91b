/** What the tasks and harts of a machine are at, as text: for a program that does not come to its end. */

import { liveRecords } from "../heap/check.ts";
import type { HeapView } from "../heap/heap.ts";
import { pc, unsigned, X } from "../kernel/registers.ts";
import { hartCount, hartOf, Hart, Scheduler, schedulerOf } from "../kernel/scheduler.ts";
import { Process, RUN, Task } from "../kernel/task.ts";
import { rowOf } from "../linux/table.ts";

const RUN_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(RUN).map(([name, run]) => [run, name]));

function describeTask(view: HeapView, task: Task): string {
  const registers = Task.registers.get(view, task);
  const call = rowOf(unsigned(view, registers, X.a7))?.name ?? "";
  return [
    `pid ${Process.pid.get(view, Task.process.get(view, task))} tid ${Task.tid.get(view, task)}`,
    RUN_NAMES.get(Task.run.get(view, task)),
    `pc 0x${pc(view, registers).toString(16)} (a7: ${call}; a0: ${unsigned(view, registers, X.a0)})`,
    `attention ${Task.attention.get(view, task)}, inCall ${Task.inCall.get(view, task)}`,
    `waits ${Task.waiters.isEmpty(view, task) ? "for nothing" : "for a condition"}`,
    `wakes at ${Task.wakeAt.get(view, task)} (timer ${Task.timerIndex.get(view, task)})`,
    `hart ${Task.hart.get(view, task)}, switched ${Task.switches.get(view, task)} times`,
  ].join(", ");
}

/** A line for each task of a process, and one for each hart. */
export function describeMachine(view: HeapView): string {
  const lines: string[] = [];
  for (const task of liveRecords(view, Task.schema)) {
    if (Task.process.get(view, task) !== 0) lines.push(describeTask(view, task));
  }
  for (let index = 0; index < hartCount(view); index++) {
    const hart = hartOf(view, index);
    lines.push(
      `hart ${index}: task 0x${Hart.current.get(view, hart).toString(16)}, idle ${Hart.idle.get(view, hart)}`,
    );
  }
  return [...lines, `${Scheduler.ready.get(view, schedulerOf(view))} tasks ready`].join("\n");
}
