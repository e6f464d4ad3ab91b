/** The tree of procfs as a table. An inode's `detail` is an index into NODES: append only. */

export type NodeType = "directory" | "file" | "link" | "processes" | "tasks" | "descriptors" | "mappings";

export interface ProcNode {
  /** Path of the directory that it lies in: "" for /proc, "PID" for a process's, "PID/task/TID" for a task's. */
  readonly parent: string;
  readonly name: string;
  readonly type: NodeType;
  readonly mode: number;
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

const directory = (
  parent: string,
  name: string,
  type: NodeType = "directory",
  mode: number = 0o555,
): ProcNode => ({
  parent,
  name,
  type,
  mode: S_IFDIR | mode,
});
const file = (parent: string, name: string, mode: number = 0o444): ProcNode => ({
  parent,
  name,
  type: "file",
  mode: S_IFREG | mode,
});
const link = (parent: string, name: string): ProcNode => ({
  parent,
  name,
  type: "link",
  mode: S_IFLNK | 0o777,
});

/** Files of the machine, by path below /proc. */
export const MACHINE_FILES: readonly string[] = [
  "version",
  "cpuinfo",
  "meminfo",
  "uptime",
  "loadavg",
  "filesystems",
  "stat",
  "cmdline",
  "devices",
  "partitions",
  "swaps",
  "vmstat",
  "interrupts",
  "modules",
];
const KERNEL_FILES = [
  "ostype",
  "osrelease",
  "version",
  "hostname",
  "domainname",
  "pid_max",
  "threads-max",
  "cap_last_cap",
  "ngroups_max",
  "overflowuid",
  "overflowgid",
  "randomize_va_space",
  "core_pattern",
  "printk",
];
/** Files of a process; a task has the same. */
export const TASK_FILES: readonly (readonly [name: string, mode: number])[] = [
  ["stat", 0o444],
  ["status", 0o444],
  ["statm", 0o444],
  ["cmdline", 0o444],
  ["comm", 0o644],
  ["environ", 0o400],
  ["maps", 0o444],
  ["smaps", 0o444],
  ["limits", 0o444],
  ["mounts", 0o444],
  ["mountinfo", 0o444],
  ["oom_score", 0o444],
  ["oom_score_adj", 0o644],
  ["oom_adj", 0o644],
  ["wchan", 0o444],
  ["cgroup", 0o444],
  ["auxv", 0o400],
  ["io", 0o400],
  ["loginuid", 0o644],
  ["sessionid", 0o444],
  ["personality", 0o400],
  ["syscall", 0o400],
  ["schedstat", 0o444],
  ["uid_map", 0o644],
  ["gid_map", 0o644],
  ["setgroups", 0o644],
];
/** Further files of a process and of a task. */
const MORE_TASK_FILES = ["smaps_rollup", "children"];
/** Files of the machine that lie in folders, by path. */
const MORE_FILES = [
  "diskstats",
  "slabinfo",
  "net/unix",
  "net/dev",
  "net/tcp",
  "net/tcp6",
  "net/udp",
  "net/udp6",
  "net/raw",
  "net/netlink",
  "net/packet",
  "net/route",
  "net/protocols",
  "net/sockstat",
  ...["tainted", "sysrq", "kptr_restrict", "dmesg_restrict", "perf_event_paranoid", "panic"].map(
    (name) => `sys/kernel/${name}`,
  ),
  ...["shmmax", "shmall", "shmmni", "sem", "msgmax", "msgmnb", "msgmni"].map((name) => `sys/kernel/${name}`),
  ...["mmap_min_addr", "nr_hugepages", "overcommit_kbytes", "dirty_ratio"].map((name) => `sys/vm/${name}`),
  ...["protected_hardlinks", "protected_symlinks"].map((name) => `sys/fs/${name}`),
  ...["somaxconn", "rmem_max", "wmem_max", "rmem_default", "wmem_default"].map(
    (name) => `sys/net/core/${name}`,
  ),
  "sys/net/unix/max_dgram_qlen",
  "sys/net/ipv4/ip_local_port_range",
];
const TASK_LINKS = ["exe", "cwd", "root"];

/** Nodes of a kind of directory that stands for many: a process, a task. */
export const PROCESS = "PID";
export const TASK = "PID/task/TID";

function taskNodes(parent: string): ProcNode[] {
  return [
    ...TASK_FILES.map(([name, mode]) => file(parent, name, mode)),
    ...TASK_LINKS.map((name) => link(parent, name)),
    directory(parent, "fd", "descriptors", 0o500),
    directory(parent, "fdinfo", "descriptors", 0o500),
  ];
}

export const NODES: readonly ProcNode[] = [
  directory("", "", "processes"),
  ...MACHINE_FILES.map((name) => file("", name)),
  link("", "self"),
  link("", "thread-self"),
  link("", "mounts"),
  directory("", "sys"),
  directory("sys", "kernel"),
  directory("sys", "vm"),
  directory("sys", "fs"),
  directory("sys", "net"),
  directory("sys/kernel", "random"),
  ...KERNEL_FILES.map((name) => file("sys/kernel", name)),
  ...["uuid", "boot_id", "entropy_avail", "poolsize"].map((name) => file("sys/kernel/random", name)),
  ...["overcommit_memory", "overcommit_ratio", "max_map_count", "swappiness"].map((name) =>
    file("sys/vm", name),
  ),
  ...["file-max", "file-nr", "inode-nr", "nr_open", "pipe-max-size"].map((name) => file("sys/fs", name)),
  directory("", PROCESS),
  ...taskNodes(PROCESS),
  directory(PROCESS, "task", "tasks"),
  directory("PID/task", "TID"),
  ...taskNodes(TASK),
  directory("", "net"),
  directory("sys/net", "core"),
  directory("sys/net", "unix"),
  directory("sys/net", "ipv4"),
  ...MORE_FILES.map((path) =>
    file(path.slice(0, Math.max(path.lastIndexOf("/"), 0)), path.slice(path.lastIndexOf("/") + 1)),
  ),
  ...[PROCESS, TASK].map((parent) => directory(parent, "map_files", "mappings", 0o500)),
  ...[PROCESS, TASK].flatMap((parent) => MORE_TASK_FILES.map((name) => file(parent, name))),
];

/** A node's own path. */
export const pathOfNode = (node: ProcNode): string =>
  node.parent === "" ? node.name : `${node.parent}/${node.name}`;

const indexByPath: ReadonlyMap<string, number> = new Map(
  NODES.map((node, index) => [pathOfNode(node), index]),
);

/** The index of the node at a path; −1 if there is none. */
export const nodeAt = (path: string): number => indexByPath.get(path) ?? -1;

/** The names in the directory of a node that are always there, with their indexes. */
export function childrenOf(index: number): readonly (readonly [name: string, index: number])[] {
  const path = pathOfNode(NODES[index]!);
  const found: (readonly [string, number])[] = [];
  for (const [at, node] of NODES.entries()) {
    if (at !== 0 && node.parent === path && node.name !== PROCESS && node.name !== "TID")
      found.push([node.name, at]);
  }
  return found;
}

/** Details of descriptors' links and info files, and of mappings' links, beyond the table. */
export const DESCRIPTOR_LINK = 1000;
export const DESCRIPTOR_INFO = 1001;
/** A link of map_files; its object is the mapping's first page. */
export const MAPPING_LINK = 1002;
