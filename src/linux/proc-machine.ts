/** What /proc tells of the machine as a whole (proc(5)), made from the records when it is read. */

import { decodeUtf8 } from "../base/text.ts";
import type { HeapView } from "../heap/heap.ts";
import type { WordsField } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { DESCRIPTORS_MAX } from "../kernel/descriptors.ts";
import { GROUPS_MAX } from "../kernel/credentials.ts";
import { frameUsage } from "../kernel/memory/frames.ts";
import { MAPPINGS_MAX } from "../kernel/memory/records.ts";
import { kernelOf, PID_MAX } from "../kernel/process.ts";
import { hartCount } from "../kernel/scheduler.ts";
import { Kernel } from "../kernel/task.ts";
import { threadOf } from "../kernel/thread.ts";
import { PIPE_MAX_BYTES } from "../servers/pipe/pipe.ts";
import { KERNEL_RELEASE, KERNEL_VERSION } from "./kernel-name.ts";

function secondsUp(tx: Transaction): number {
  return (threadOf(tx).clock.monotonic() - Kernel.bootedAt.get(tx, kernelOf(tx))) / 1e9;
}

function kernelText(view: HeapView, field: WordsField<"kernel">): string {
  const at = field.at(kernelOf(view), 0) * 4;
  const bytes = view.bytes.slice(at, at + 65);
  const end = bytes.indexOf(0);
  return decodeUtf8(bytes.subarray(0, end < 0 ? bytes.length : end));
}

function meminfo(tx: Transaction): string {
  const { free, total } = frameUsage(tx);
  const lines: readonly (readonly [string, number])[] = [
    ["MemTotal", total],
    ["MemFree", free],
    ["MemAvailable", free],
    ["Buffers", 0],
    ["Cached", 0],
    ["SwapCached", 0],
    ["Active", 0],
    ["Inactive", 0],
    ["SwapTotal", 0],
    ["SwapFree", 0],
    ["Dirty", 0],
    ["Writeback", 0],
    ["Shmem", 0],
    ["Slab", 0],
  ];
  return lines
    .map(([name, pages]) => `${`${name}:`.padEnd(16)}${String(pages * 4).padStart(8)} kB\n`)
    .join("");
}

function cpuinfo(view: HeapView): string {
  let text = "";
  for (let i = 0; i < hartCount(view); i++) {
    text += `processor\t: ${i}\nhart\t\t: ${i}\nisa\t\t: rv64imafdc_zicsr_zifencei\nmmu\t\t: sv39\nuarch\t\t: coppice\n\n`;
  }
  return text;
}

function statText(tx: Transaction): string {
  const idle = Math.floor(secondsUp(tx) * 100);
  const harts = hartCount(tx);
  const line = (name: string, ticks: number): string => `${name} 0 0 0 ${ticks} 0 0 0 0 0 0\n`;
  let text = line("cpu ", idle * harts);
  for (let i = 0; i < harts; i++) text += line(`cpu${i}`, idle);
  const booted = Math.floor((threadOf(tx).clock.realtime() / 1e9 - secondsUp(tx)) * 1);
  return `${text}intr 0\nctxt 0\nbtime ${booted}\nprocesses ${Kernel.lastPid.get(tx, kernelOf(tx))}\nprocs_running 1\nprocs_blocked 0\n`;
}

/** 16 bytes as a random UUID (RFC 9562, version 4). */
function uuid(bytes: Uint8Array): string {
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}\n`;
}

function freshUuid(tx: Transaction): string {
  const bytes = new Uint8Array(16);
  // oxlint-disable-next-line unicorn/no-array-fill-with-reference-type -- the host's entropy is no array
  threadOf(tx).entropy.fill(bytes);
  return uuid(bytes);
}

/** The same for all of a boot. */
function bootId(tx: Transaction): string {
  const bytes = new Uint8Array(16);
  let state = (Kernel.bootedAt.get(tx, kernelOf(tx)) % 0x1_0000_0000) | 1;
  for (let i = 0; i < 16; i++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b_3c6d);
    bytes[i] = state >>> 24;
  }
  return uuid(bytes);
}

const uptime = (tx: Transaction): string => `${secondsUp(tx).toFixed(2)} ${secondsUp(tx).toFixed(2)}\n`;
const number =
  (value: number): (() => string) =>
  () =>
    `${value}\n`;
const empty = (): string => "";

/** The files by path below /proc. */
const FILES: { readonly [path: string]: (tx: Transaction) => string } = {
  version: () => `Linux version ${KERNEL_RELEASE} (coppice) ${KERNEL_VERSION}\n`,
  cpuinfo,
  meminfo,
  uptime,
  loadavg: (tx) =>
    `0.00 0.00 0.00 1/${Kernel.tasks.get(tx, kernelOf(tx))} ${Kernel.lastPid.get(tx, kernelOf(tx))}\n`,
  stat: statText,
  cmdline: () => "\n",
  devices: () => "Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n",
  partitions: () => "major minor  #blocks  name\n\n",
  swaps: () => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
  vmstat: empty,
  interrupts: empty,
  modules: empty,
  "sys/kernel/ostype": () => "Linux\n",
  "sys/kernel/osrelease": () => `${KERNEL_RELEASE}\n`,
  "sys/kernel/version": () => `${KERNEL_VERSION}\n`,
  "sys/kernel/hostname": (tx) => `${kernelText(tx, Kernel.hostname)}\n`,
  "sys/kernel/domainname": (tx) => `${kernelText(tx, Kernel.domainname)}\n`,
  "sys/kernel/pid_max": number(PID_MAX),
  "sys/kernel/threads-max": (tx) => `${Kernel.taskMax.get(tx, kernelOf(tx))}\n`,
  "sys/kernel/cap_last_cap": number(40),
  "sys/kernel/ngroups_max": number(GROUPS_MAX),
  "sys/kernel/overflowuid": number(65534),
  "sys/kernel/overflowgid": number(65534),
  "sys/kernel/randomize_va_space": number(0),
  "sys/kernel/core_pattern": () => "core\n",
  "sys/kernel/printk": () => "4\t4\t1\t7\n",
  "sys/kernel/random/uuid": freshUuid,
  "sys/kernel/random/boot_id": bootId,
  "sys/kernel/random/entropy_avail": number(256),
  "sys/kernel/random/poolsize": number(256),
  "sys/vm/overcommit_memory": number(1),
  "sys/vm/overcommit_ratio": number(50),
  "sys/vm/max_map_count": number(MAPPINGS_MAX),
  "sys/vm/swappiness": number(0),
  "sys/fs/file-max": number(1_000_000),
  "sys/fs/file-nr": () => "0\t0\t1000000\n",
  "sys/fs/inode-nr": () => "0\t0\n",
  "sys/fs/nr_open": number(DESCRIPTORS_MAX),
  "sys/fs/pipe-max-size": number(PIPE_MAX_BYTES),
};

/** Contents of a file of the machine; empty for one that there is nothing to say of. */
export function machineText(tx: Transaction, path: string): string {
  return FILES[path]?.(tx) ?? "";
}
