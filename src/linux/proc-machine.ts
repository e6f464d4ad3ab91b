/** What /proc tells of the machine as a whole (proc(5)), made from the records when it is read. */

import { decodeUtf8 } from "../base/text.ts";
import type { HeapView } from "../heap/heap.ts";
import { each } from "../heap/list.ts";
import type { WordsField } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { DESCRIPTORS_MAX } from "../kernel/descriptors.ts";
import { GROUPS_MAX } from "../kernel/credentials.ts";
import { frameUsage } from "../kernel/memory/frames.ts";
import { MAPPINGS_MAX } from "../kernel/memory/records.ts";
import { kernelOf, PID_MAX } from "../kernel/process.ts";
import { hartCount, Scheduler, schedulerOf } from "../kernel/scheduler.ts";
import { Kernel, Process, Task } from "../kernel/task.ts";
import { threadOf } from "../kernel/thread.ts";
import { PIPE_MAX_BYTES } from "../servers/pipe/pipe.ts";
import { BACKLOG_MAX, BUFFER_BYTES, DATAGRAMS_MAX } from "../servers/socket/records.ts";
import { unixText } from "../servers/socket/listing.ts";
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

/** What is not counted apart, in the order of Linux; the two that are calculated come where CommitLimit stands. */
const MEMORY_ZEROS = [
  "Buffers",
  "Cached",
  "SwapCached",
  "Active",
  "Inactive",
  "Active(anon)",
  "Inactive(anon)",
  "Active(file)",
  "Inactive(file)",
  "Unevictable",
  "Mlocked",
  "SwapTotal",
  "SwapFree",
  "Dirty",
  "Writeback",
  "AnonPages",
  "Mapped",
  "Shmem",
  "KReclaimable",
  "Slab",
  "SReclaimable",
  "SUnreclaim",
  "KernelStack",
  "PageTables",
  "SecPageTables",
  "NFS_Unstable",
  "Bounce",
  "WritebackTmp",
  "CommitLimit",
  "VmallocTotal",
  "VmallocUsed",
  "VmallocChunk",
  "Percpu",
];

function meminfo(tx: Transaction): string {
  const { free, total } = frameUsage(tx);
  const lines: readonly (readonly [string, number])[] = [
    ["MemTotal", total],
    ["MemFree", free],
    ["MemAvailable", free],
    ...MEMORY_ZEROS.slice(0, MEMORY_ZEROS.indexOf("CommitLimit")).map((name) => [name, 0] as const),
    ["CommitLimit", total],
    ["Committed_AS", total - free],
    ...MEMORY_ZEROS.slice(MEMORY_ZEROS.indexOf("CommitLimit") + 1).map((name) => [name, 0] as const),
  ];
  const line = (name: string, value: number): string =>
    `${`${name}:`.padEnd(16)}${String(value).padStart(8)}`;
  const text = lines.map(([name, pages]) => `${line(name, pages * 4)} kB\n`).join("");
  const huge = ["Total", "Free", "Rsvd", "Surp"].map((name) => `${line(`HugePages_${name}`, 0)}\n`).join("");
  return `${text}${huge}${line("Hugepagesize", 2048)} kB\n${line("Hugetlb", 0)} kB\n`;
}

function cpuinfo(view: HeapView): string {
  let text = "";
  for (let i = 0; i < hartCount(view); i++) {
    text += `processor\t: ${i}\nhart\t\t: ${i}\nisa\t\t: rv64imafdc_zicsr_zifencei\nmmu\t\t: sv39\nuarch\t\t: coppice\n\n`;
  }
  return text;
}

/** Nanoseconds that processes have run, those that have been waited for included. */
function timeRun(view: HeapView): number {
  let total = 0;
  for (const process of each(view, Kernel.all, kernelOf(view), Process.allLinks)) {
    total += Process.userTime.get(view, process) + Process.childrenUserTime.get(view, process);
    for (const task of each(view, Process.tasks, process, Task.taskLinks))
      total += Task.runTime.get(view, task);
  }
  return total;
}

/** Ticks in which harts had something to do, and in which they had not. */
function hartTicks(tx: Transaction): { busy: number; idle: number } {
  const all = Math.floor(secondsUp(tx) * 100) * hartCount(tx);
  const busy = Math.min(all, Math.floor(timeRun(tx) / 1e7));
  return { busy, idle: all - busy };
}

function statText(tx: Transaction): string {
  const { busy, idle } = hartTicks(tx);
  const harts = hartCount(tx);
  const line = (name: string, part: number): string =>
    `${name} ${Math.floor(busy / part)} 0 0 ${Math.floor(idle / part)} 0 0 0 0 0 0\n`;
  let text = line("cpu ", 1);
  for (let i = 0; i < harts; i++) text += line(`cpu${i}`, harts);
  const booted = Math.floor(threadOf(tx).clock.realtime() / 1e9 - secondsUp(tx));
  const made = Kernel.lastPid.get(tx, kernelOf(tx));
  const running = Math.max(1, Scheduler.ready.get(tx, schedulerOf(tx)));
  const rest = `intr 0\nctxt 0\nbtime ${booted}\nprocesses ${made}\nprocs_running ${running}\nprocs_blocked 0\n`;
  return `${text}${rest}softirq 0 0 0 0 0 0 0 0 0 0 0\n`;
}

/** /proc/vmstat: the counters that vmstat(8) and sar(1) want to find. */
function vmstatText(tx: Transaction): string {
  const { free } = frameUsage(tx);
  const zeros = ["pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault", "pgfree", "oom_kill"];
  return `nr_free_pages ${free}\n${zeros.map((name) => `${name} 0\n`).join("")}`;
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

const uptime = (tx: Transaction): string =>
  `${secondsUp(tx).toFixed(2)} ${(hartTicks(tx).idle / 100).toFixed(2)}\n`;
const number =
  (value: number): (() => string) =>
  () =>
    `${value}\n`;
const empty = (): string => "";

const NET_DEVICES: string =
  "Inter-|   Receive                                                |  Transmit\n" +
  " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
  "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n";
const TCP_HEADING =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const TCP6_HEADING =
  "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

/** The files by path below /proc. */
const FILES: { readonly [path: string]: (tx: Transaction) => string } = {
  version: () => `Linux version ${KERNEL_RELEASE} (coppice) ${KERNEL_VERSION}\n`,
  cpuinfo,
  meminfo,
  uptime,
  loadavg: (tx) =>
    `0.00 0.00 0.00 ${Math.max(1, Scheduler.ready.get(tx, schedulerOf(tx)))}/${Kernel.tasks.get(tx, kernelOf(tx))} ${Kernel.lastPid.get(tx, kernelOf(tx))}\n`,
  stat: statText,
  cmdline: () => "\n",
  devices: () => "Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n",
  partitions: () => "major minor  #blocks  name\n\n",
  swaps: () => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
  vmstat: vmstatText,
  slabinfo: () =>
    "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n",
  "net/unix": unixText,
  "net/dev": () => NET_DEVICES,
  "net/tcp": () => TCP_HEADING,
  "net/tcp6": () => TCP6_HEADING,
  "net/udp": () => TCP_HEADING,
  "net/udp6": () => TCP6_HEADING,
  "sys/kernel/tainted": number(0),
  "sys/kernel/sysrq": number(0),
  "sys/kernel/kptr_restrict": number(1),
  "sys/kernel/dmesg_restrict": number(1),
  "sys/kernel/perf_event_paranoid": number(3),
  "sys/kernel/panic": number(0),
  "sys/kernel/shmmax": () => "18446744073692774399\n",
  "sys/kernel/shmall": () => "18446744073692774399\n",
  "sys/kernel/shmmni": number(4096),
  "sys/kernel/sem": () => "32000\t1024000000\t500\t32000\n",
  "sys/kernel/msgmax": number(8192),
  "sys/kernel/msgmnb": number(16384),
  "sys/kernel/msgmni": number(32000),
  "sys/vm/mmap_min_addr": number(65536),
  "sys/vm/nr_hugepages": number(0),
  "sys/vm/overcommit_kbytes": number(0),
  "sys/vm/dirty_ratio": number(20),
  "sys/fs/protected_hardlinks": number(0),
  "sys/fs/protected_symlinks": number(0),
  "sys/net/core/somaxconn": number(BACKLOG_MAX),
  "sys/net/core/rmem_max": number(BUFFER_BYTES),
  "sys/net/core/wmem_max": number(BUFFER_BYTES),
  "sys/net/core/rmem_default": number(BUFFER_BYTES),
  "sys/net/core/wmem_default": number(BUFFER_BYTES),
  "sys/net/unix/max_dgram_qlen": number(DATAGRAMS_MAX),
  "sys/net/ipv4/ip_local_port_range": () => "32768\t60999\n",
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
