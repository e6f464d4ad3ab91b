/** What tasks and processes have used: struct rusage (getrusage(2), wait4(2)). */

import { each } from "../heap/list.ts";
import type { HeapView } from "../heap/heap.ts";
import { PAGE_SIZE } from "../base/hart-abi.ts";
import { processTime } from "../kernel/posix-timer.ts";
import { mostResident } from "../kernel/process.ts";
import { Process, Task } from "../kernel/task.ts";

export interface Usage {
  /** On harts, ns. User and system time are not told apart. */
  readonly timeNs: number;
  readonly minorFaults: number;
  readonly voluntary: number;
  readonly involuntary: number;
  /** Pages that were resident at most. */
  readonly resident: number;
}

/** A live process so far. With the tree lock, which guards its list of tasks. */
export function processUsage(view: HeapView, process: Process): Usage {
  const counted = endedUsage(view, process);
  let { minorFaults, voluntary, involuntary, resident } = counted;
  for (const task of each(view, Process.tasks, process, Task.taskLinks)) {
    minorFaults += Task.minorFaults.get(view, task);
    voluntary += Task.switches.get(view, task);
    involuntary += Task.preemptions.get(view, task);
    resident = Math.max(resident, taskUsage(view, task).resident);
  }
  return { timeNs: processTime(view, process), minorFaults, voluntary, involuntary, resident };
}

/** One task; resident pages are those of its process, as on Linux. */
export function taskUsage(view: HeapView, task: Task): Usage {
  return {
    timeNs: Task.runTime.get(view, task),
    minorFaults: Task.minorFaults.get(view, task),
    voluntary: Task.switches.get(view, task),
    involuntary: Task.preemptions.get(view, task),
    resident: Math.max(Task.maxResident.get(view, task), mostResident(view, Task.space.get(view, task))),
  };
}

/** The children of a process that have been waited for, and theirs. */
export function childrenUsage(view: HeapView, process: Process): Usage {
  return {
    timeNs: Process.childrenUserTime.get(view, process),
    minorFaults: Process.childrenMinorFaults.get(view, process),
    voluntary: Process.childrenVoluntarySwitches.get(view, process),
    involuntary: Process.childrenInvoluntarySwitches.get(view, process),
    resident: Process.childrenMaxResident.get(view, process),
  };
}

/** What the ended tasks of a process have left: of a zombie, all that is its own. */
function endedUsage(view: HeapView, process: Process): Usage {
  return {
    timeNs: Process.userTime.get(view, process),
    minorFaults: Process.minorFaults.get(view, process),
    voluntary: Process.voluntarySwitches.get(view, process),
    involuntary: Process.involuntarySwitches.get(view, process),
    resident: Process.maxResident.get(view, process),
  };
}

/** What wait4(2) tells of a child: its own and that of its children. With the tree lock. */
export function childUsage(view: HeapView, child: Process): Usage {
  const [own, children] = [processUsage(view, child), childrenUsage(view, child)];
  return {
    timeNs: own.timeNs + children.timeNs,
    minorFaults: own.minorFaults + children.minorFaults,
    voluntary: own.voluntary + children.voluntary,
    involuntary: own.involuntary + children.involuntary,
    resident: Math.max(own.resident, children.resident),
  };
}

const RUSAGE_BYTES = 144;
const NS = 1e9;

/** struct rusage; what is not counted is 0, as most of it is on Linux. */
export function rusageBytes(usage: Usage): Uint8Array {
  const view = new DataView(new ArrayBuffer(RUSAGE_BYTES));
  const put = (at: number, value: number): void => view.setBigInt64(at, BigInt(Math.floor(value)), true);
  put(0, usage.timeNs / NS);
  put(8, (usage.timeNs % NS) / 1000);
  put(32, (usage.resident * PAGE_SIZE) / 1024);
  put(64, usage.minorFaults);
  put(128, usage.voluntary);
  put(136, usage.involuntary);
  return new Uint8Array(view.buffer);
}
