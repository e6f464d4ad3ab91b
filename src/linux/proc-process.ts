/**
 * What /proc tells of a process and of its tasks: the texts of proc(5), made from the records when they are
 * read. Nothing here takes a lock (servers/vfs/proc/source.ts says why): a number may be a moment old.
 */

import { PAGE_SIZE } from "../base/hart-abi.ts";
import { decodeUtf8 } from "../base/text.ts";
import type { HeapView } from "../heap/heap.ts";
import { each } from "../heap/list.ts";
import { none } from "../heap/record.ts";
import { Credentials } from "../kernel/credentials.ts";
import { nextDescriptor } from "../kernel/descriptors.ts";
import { File } from "../kernel/file.ts";
import { spaceUsage } from "../kernel/memory/address-space.ts";
import { translate } from "../kernel/memory/page-table.ts";
import { AddressSpace } from "../kernel/memory/records.ts";
import { kernelOf } from "../kernel/process.ts";
import { affinityOf } from "./sys-scheduling.ts";
import { hartCount } from "../kernel/scheduler.ts";
import { handlerOf, SIG_IGN, SIGNALS_MAX } from "../kernel/signal.ts";
import { Kernel, LIFE, Limits, Process, RUN, SignalHandlers, Task } from "../kernel/task.ts";
import { Tty } from "../servers/tty/tty.ts";
import { FsContext } from "../servers/vfs/records.ts";
import { processUsage } from "./rusage.ts";
import { memoryLines, pagesOf, type SpacePages } from "./proc-memory.ts";

/** Ticks of user time in a second (sysconf(_SC_CLK_TCK)). */
export const TICKS = 100;
const NS_PER_TICK: number = 1e9 / TICKS;
const TTY_MAJOR = 136;

/** A process and the task of it that is meant: its first one, for a process as such. */
export interface Subject {
  readonly process: Process;
  /** None for a zombie. */
  readonly task: Task;
}

export function spaceOf(view: HeapView, { process, task }: Subject): AddressSpace {
  const space = task === 0 ? Process.space.get(view, process) : Task.space.get(view, task);
  return AddressSpace.isLive(view, space) ? space : (0 as AddressSpace);
}

/** Whether the process is the kernel's own, which adopts and has no task. */
function isInit(view: HeapView, process: Process): boolean {
  return process === Kernel.init.get(view, kernelOf(view));
}

/** comm; a zombie keeps the name of its last task. */
export function commandName(view: HeapView, { process, task }: Subject): string {
  if (isInit(view, process)) return "init";
  const named = task === 0 ? Process.tasks.first(view, process) : task;
  const bytes = new Uint8Array(16);
  const data = new DataView(bytes.buffer);
  for (let i = 0; i < 4; i++) {
    const word = named === 0 ? Process.name.get(view, process, i) : Task.name.get(view, named, i);
    data.setInt32(i * 4, word, true);
  }
  const end = bytes.indexOf(0);
  return decodeUtf8(bytes.subarray(0, end < 0 ? 16 : end));
}

/** The state letter, and what status calls it. */
function stateOf(view: HeapView, { process, task }: Subject): readonly [letter: string, name: string] {
  if (isInit(view, process)) return ["S", "sleeping"];
  if (Process.life.get(view, process) === LIFE.ZOMBIE || task === 0) return ["Z", "zombie"];
  switch (Task.run.get(view, task)) {
    case RUN.WAITING:
      return Task.interruptible.get(view, task) !== 0 ? ["S", "sleeping"] : ["D", "disk sleep"];
    case RUN.STOPPED:
      return ["T", "stopped"];
    case RUN.DEAD:
      return ["X", "dead"];
    default:
      return ["R", "running"];
  }
}

const ticks = (ns: number): number => Math.floor(ns / NS_PER_TICK);

function userTime(view: HeapView, { process, task }: Subject, isTask: boolean): number {
  if (isTask) return Task.runTime.get(view, task);
  let total = Process.userTime.get(view, process);
  for (const one of each(view, Process.tasks, process, Task.taskLinks)) total += Task.runTime.get(view, one);
  return total;
}

function parentPid(view: HeapView, process: Process): number {
  const parent = Process.parent.get(view, process);
  return parent === 0 ? 0 : Process.pid.get(view, parent);
}

function terminalOf(view: HeapView, process: Process): readonly [device: number, group: number] {
  const tty = Process.terminal.get(view, process) as Tty;
  if (tty === 0 || !Tty.isLive(view, tty)) return [0, -1];
  return [(TTY_MAJOR << 8) | Tty.index.get(view, tty), Tty.foreground.get(view, tty)];
}

interface Signals {
  readonly pending: string;
  readonly shared: string;
  readonly blocked: string;
  readonly ignored: string;
  readonly caught: string;
}

const hex64 = (lowBits: number, highBits: number): string =>
  (highBits >>> 0).toString(16).padStart(8, "0") + (lowBits >>> 0).toString(16).padStart(8, "0");

function signalsOf(view: HeapView, { process, task }: Subject): Signals {
  const ignored = [0, 0];
  const caught = [0, 0];
  const handlers = Process.handlers.get(view, process);
  if (handlers !== 0 && SignalHandlers.isLive(view, handlers)) {
    for (let signal = 1; signal <= SIGNALS_MAX; signal++) {
      const handler = handlerOf(view, handlers, signal);
      if (handler === 0) continue;
      const set = handler === SIG_IGN ? ignored : caught;
      set[(signal - 1) >> 5]! |= 1 << ((signal - 1) & 31);
    }
  }
  const words = (field: typeof Task.mask): string =>
    task === 0 ? hex64(0, 0) : hex64(field.get(view, task, 0), field.get(view, task, 1));
  return {
    pending: words(Task.pending),
    shared: hex64(Process.pending.get(view, process, 0), Process.pending.get(view, process, 1)),
    blocked: words(Task.mask),
    ignored: hex64(ignored[0]!, ignored[1]!),
    caught: hex64(caught[0]!, caught[1]!),
  };
}

/** The low word of a mask as stat shows it. */
const lowDecimal = (mask: string): number => Number.parseInt(mask.slice(8), 16);

/** /proc/PID/stat: 52 fields (proc_pid_stat(5)). */
export function statText(view: HeapView, subject: Subject, isTask: boolean): string {
  const { process, task } = subject;
  const space = spaceOf(view, subject);
  const usage = space === 0 ? undefined : spaceUsage(view, space);
  const signals = signalsOf(view, subject);
  const [terminal, foreground] = terminalOf(view, process);
  const fields: (number | string)[] = [
    isTask ? Task.tid.get(view, task) : Process.pid.get(view, process),
    `(${commandName(view, subject)})`,
    stateOf(view, subject)[0],
    parentPid(view, process),
    Process.group.get(view, process),
    Process.session.get(view, process),
    terminal,
    foreground,
    0,
    isTask ? Task.minorFaults.get(view, task) : processUsage(view, process).minorFaults,
    Process.childrenMinorFaults.get(view, process),
    0,
    0,
    ticks(userTime(view, subject, isTask)),
    0,
    ticks(Process.childrenUserTime.get(view, process)),
    0,
    20 + Process.nice.get(view, process),
    Process.nice.get(view, process),
    isInit(view, process) ? 1 : Process.taskCount.get(view, process),
    0,
    ticks(Math.max(0, Process.startedAt.get(view, process) - Kernel.bootedAt.get(view, kernelOf(view)))),
    (usage?.virtual ?? 0) * PAGE_SIZE,
    usage?.resident ?? 0,
    "18446744073709551615",
    0,
    0,
    0,
    0,
    0,
    lowDecimal(signals.shared),
    lowDecimal(signals.blocked),
    lowDecimal(signals.ignored),
    lowDecimal(signals.caught),
    0,
    0,
    0,
    Process.exitSignal.get(view, process),
    task === 0 ? 0 : Math.max(0, Task.hart.get(view, task)),
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    space === 0 ? 0 : AddressSpace.breakStart.get(view, space),
    Process.argumentsStart.get(view, process),
    Process.argumentsEnd.get(view, process),
    Process.environmentStart.get(view, process),
    Process.environmentEnd.get(view, process),
    Process.exitStatus.get(view, process),
  ];
  return `${fields.join(" ")}\n`;
}

function umaskOf(view: HeapView, task: Task): string {
  const context = Task.fs.get(view, task);
  const mask = FsContext.isLive(view, context) ? FsContext.umask.get(view, context) : 0;
  return mask.toString(8).padStart(4, "0");
}

/** The bits of a set as Linux lists them: "0-1,3". */
function rangesOf(set: number): string {
  const ranges: string[] = [];
  for (let first = 0; first < 32; first++) {
    if (((set >>> first) & 1) === 0) continue;
    let last = first;
    while (last < 31 && ((set >>> (last + 1)) & 1) === 1) last++;
    ranges.push(first === last ? `${first}` : `${first}-${last}`);
    first = last;
  }
  return ranges.join(",");
}

/** /proc/PID/status. */
export function statusText(view: HeapView, subject: Subject, isTask: boolean): string {
  const { process, task } = subject;
  const pid = Process.pid.get(view, process);
  const [letter, name] = stateOf(view, subject);
  const pages = pagesOfSubject(view, subject);
  const harts = task === 0 ? (1 << hartCount(view)) - 1 : affinityOf(view, task);
  const own = isTask ? Task.tid.get(view, task) : pid;
  const lines: (readonly [string, string])[] = [
    ["Name", commandName(view, subject)],
    ...(task === 0 ? [] : [["Umask", umaskOf(view, task)] as const]),
    ["State", `${letter} (${name})`],
    ["Tgid", `${pid}`],
    ["Ngid", "0"],
    ["Pid", `${own}`],
    ["PPid", `${parentPid(view, process)}`],
    ["TracerPid", "0"],
    ...identityLines(view, task),
    ["FDSize", `${descriptorCount(view, task)}`],
    ["NStgid", `${pid}`],
    ["NSpid", `${own}`],
    ["NSpgid", `${Process.group.get(view, process)}`],
    ["NSsid", `${Process.session.get(view, process)}`],
    ["Kthread", "0"],
    ...(pages === undefined ? [] : memoryLines(pages)),
    ["Threads", `${Process.taskCount.get(view, process)}`],
    ["SigQ", "0/0"],
    ...signalLines(view, subject),
    ["NoNewPrivs", `${Process.noNewPrivileges.get(view, process)}`],
    ["Seccomp", "0"],
    ["Seccomp_filters", "0"],
    ["Cpus_allowed", harts.toString(16)],
    ["Cpus_allowed_list", rangesOf(harts)],
    ["Mems_allowed", "1"],
    ["Mems_allowed_list", "0"],
    ["voluntary_ctxt_switches", `${task === 0 ? 0 : Task.switches.get(view, task)}`],
    ["nonvoluntary_ctxt_switches", `${task === 0 ? 0 : Task.preemptions.get(view, task)}`],
  ];
  return lines.map(([key, value]) => `${key}:\t${value}\n`).join("");
}

function identityLines(view: HeapView, task: Task): (readonly [string, string])[] {
  const who = task === 0 ? (0 as Credentials) : Task.credentials.get(view, task);
  if (who === 0 || !Credentials.isLive(view, who)) return [];
  const list = (...fields: (typeof Credentials.uid)[]): string =>
    fields.map((field) => field.get(view, who)).join("\t");
  const groups: number[] = [];
  for (let i = 0; i < Credentials.groupCount.get(view, who); i++)
    groups.push(Credentials.groups.get(view, who, i));
  const set = (field: typeof Credentials.effectiveCapabilities): string =>
    hex64(field.get(view, who, 0), field.get(view, who, 1));
  return [
    ["Uid", list(Credentials.uid, Credentials.effectiveUid, Credentials.savedUid, Credentials.fsUid)],
    ["Gid", list(Credentials.gid, Credentials.effectiveGid, Credentials.savedGid, Credentials.fsGid)],
    ["Groups", groups.map((id) => `${id} `).join("")],
    ["CapInh", set(Credentials.inheritableCapabilities)],
    ["CapPrm", set(Credentials.permittedCapabilities)],
    ["CapEff", set(Credentials.effectiveCapabilities)],
    ["CapBnd", set(Credentials.boundingCapabilities)],
    ["CapAmb", hex64(0, 0)],
  ];
}

function signalLines(view: HeapView, subject: Subject): (readonly [string, string])[] {
  const { pending, shared, blocked, ignored, caught } = signalsOf(view, subject);
  return [
    ["SigPnd", pending],
    ["ShdPnd", shared],
    ["SigBlk", blocked],
    ["SigIgn", ignored],
    ["SigCgt", caught],
  ];
}

function descriptorCount(view: HeapView, task: Task): number {
  const table = task === 0 ? none<"file-table">() : Task.files.get(view, task);
  if (table === 0) return 0;
  let end = 0;
  for (let fd = nextDescriptor(view, table, 0); fd >= 0; fd = nextDescriptor(view, table, fd + 1))
    end = fd + 1;
  return Math.ceil(end / 64) * 64;
}

/** The pages of the subject's space by what they are for; undefined if it has none any more. */
export function pagesOfSubject(view: HeapView, subject: Subject): SpacePages | undefined {
  const space = spaceOf(view, subject);
  const program = Process.executable.get(view, subject.process);
  return space === 0 ? undefined : pagesOf(view, space, File.isLive(view, program) ? program : none());
}

/** Bytes of a process's memory, as far as they are present. */
export function memoryOf(view: HeapView, subject: Subject, start: number, end: number): Uint8Array {
  const space = spaceOf(view, subject);
  const MOST = 1 << 20;
  const length = Math.min(end - start, MOST);
  if (space === 0 || !(length > 0)) return new Uint8Array(0);
  const bytes = new Uint8Array(length);
  const root = AddressSpace.root.get(view, space);
  for (let done = 0; done < length; ) {
    const at = start + done;
    const run = Math.min(PAGE_SIZE - (at % PAGE_SIZE), length - done);
    const pa = translate(view, root, at, false);
    if (pa < 0) return bytes.subarray(0, done);
    bytes.set(view.memoryBytes.subarray(pa, pa + run), done);
    done += run;
  }
  return bytes;
}

/** /proc/PID/cmdline. */
export function argumentsOf(view: HeapView, subject: Subject): Uint8Array {
  const { process } = subject;
  return memoryOf(
    view,
    subject,
    Process.argumentsStart.get(view, process),
    Process.argumentsEnd.get(view, process),
  );
}

/** /proc/PID/environ. */
export function environmentOf(view: HeapView, subject: Subject): Uint8Array {
  const { process } = subject;
  const start = Process.environmentStart.get(view, process);
  return memoryOf(view, subject, start, Process.environmentEnd.get(view, process));
}

const LIMIT_NAMES: readonly (readonly [name: string, unit: string])[] = [
  ["Max cpu time", "seconds"],
  ["Max file size", "bytes"],
  ["Max data size", "bytes"],
  ["Max stack size", "bytes"],
  ["Max core file size", "bytes"],
  ["Max resident set", "bytes"],
  ["Max processes", "processes"],
  ["Max open files", "files"],
  ["Max locked memory", "bytes"],
  ["Max address space", "bytes"],
  ["Max file locks", "locks"],
  ["Max pending signals", "signals"],
  ["Max msgqueue size", "bytes"],
  ["Max nice priority", ""],
  ["Max realtime priority", ""],
  ["Max realtime timeout", "us"],
];

/** /proc/PID/limits. */
export function limitsText(view: HeapView, { process }: Subject): string {
  const limits = Process.limits.get(view, process);
  const value = (index: number): string => {
    if (limits === 0) return "unlimited";
    const high = Limits.values.get(view, limits, index + 1) >>> 0;
    const low = Limits.values.get(view, limits, index) >>> 0;
    return high === 0xffff_ffff && low === 0xffff_ffff ? "unlimited" : String(high * 0x1_0000_0000 + low);
  };
  const line = (name: string, soft: string, hard: string, unit: string): string =>
    `${name.padEnd(25)} ${soft.padEnd(20)} ${hard.padEnd(20)} ${unit.padEnd(10)}\n`;
  const rows = LIMIT_NAMES.map(([name, unit], i) => line(name, value(i * 4), value(i * 4 + 2), unit));
  return line("Limit", "Soft Limit", "Hard Limit", "Units") + rows.join("");
}
