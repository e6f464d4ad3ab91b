/**
 * System calls that answer ENOSYS, each with the reason. Numbers without a row (they are gaps, or belong to
 * other architectures) answer ENOSYS too.
 */

import { type Argument, type CallRow, unsupported } from "./row.ts";

const group = (
  why: string,
  ...calls: readonly (readonly [number, string, readonly Argument[]])[]
): CallRow[] => calls.map(([number, name, args]) => unsupported(number, name, args, why));

const later = "comes with a later server";
const administration = "there is no kernel to administer";
const asynchronous = "asynchronous I/O; programs fall back";
const events = "files that stand for events come with a later server";
const old = "not in Linux any more";
const namespaces = "there is one mount tree and one namespace of each kind";
const systemV = "System V IPC comes with a later server";
const queues = "POSIX message queues come with a later server";
const numa = "memory has one node";
const keys = "no keyrings";
const security = "no security modules";
const tracing = "no tracing of processes";

export const unsupportedRows: readonly CallRow[] = [
  ...group(
    asynchronous,
    [0, "io_setup", ["unsigned", "address"]],
    [1, "io_destroy", ["address"]],
    [2, "io_submit", ["address", "long", "address"]],
    [3, "io_cancel", ["address", "address", "address"]],
    [4, "io_getevents", ["address", "long", "long", "address", "timespec"]],
    [292, "io_pgetevents", ["address", "long", "long", "address", "timespec", "address"]],
    [425, "io_uring_setup", ["unsigned", "address"]],
    [426, "io_uring_enter", ["fd", "unsigned", "unsigned", "hex", "sigset", "unsigned"]],
    [427, "io_uring_register", ["fd", "unsigned", "address", "unsigned"]],
  ),
  ...group(
    old,
    [18, "lookup_dcookie", ["long", "address", "unsigned"]],
    [42, "nfsservctl", ["int", "address", "address"]],
  ),
  ...group(
    events,
    [262, "fanotify_init", ["hex", "hex"]],
    [263, "fanotify_mark", ["fd", "hex", "hex", "dirfd", "string"]],
    [447, "memfd_secret", ["hex"]],
  ),
  ...group(
    namespaces,
    [41, "pivot_root", ["string", "string"]],
    [97, "unshare", ["hex"]],
    [268, "setns", ["fd", "hex"]],
    [428, "open_tree", ["dirfd", "string", "hex"]],
    [429, "move_mount", ["dirfd", "string", "dirfd", "string", "hex"]],
    [430, "fsopen", ["string", "hex"]],
    [431, "fsconfig", ["fd", "unsigned", "string", "address", "int"]],
    [432, "fsmount", ["fd", "hex", "hex"]],
    [433, "fspick", ["dirfd", "string", "hex"]],
    [442, "mount_setattr", ["dirfd", "string", "hex", "address", "unsigned"]],
    [457, "statmount", ["address", "address", "unsigned", "hex"]],
    [458, "listmount", ["address", "address", "unsigned", "hex"]],
    [467, "open_tree_attr", ["dirfd", "string", "hex", "address", "unsigned"]],
  ),
  ...group(
    administration,
    [58, "vhangup", []],
    [60, "quotactl", ["hex", "string", "int", "address"]],
    [89, "acct", ["string"]],
    [104, "kexec_load", ["address", "unsigned", "address", "hex"]],
    [105, "init_module", ["address", "unsigned", "string"]],
    [106, "delete_module", ["string", "hex"]],
    [116, "syslog", ["int", "address", "int"]],
    [142, "reboot", ["hex", "hex", "hex", "address"]],
    [171, "adjtimex", ["address"]],
    [224, "swapon", ["string", "hex"]],
    [225, "swapoff", ["string"]],
    [266, "clock_adjtime", ["int", "address"]],
    [273, "finit_module", ["fd", "string", "hex"]],
    [294, "kexec_file_load", ["fd", "fd", "unsigned", "string", "hex"]],
    [443, "quotactl_fd", ["fd", "hex", "int", "address"]],
  ),
  ...group(
    later,
    [264, "name_to_handle_at", ["dirfd", "string", "address", "address", "hex"]],
    [265, "open_by_handle_at", ["fd", "address", "hex"]],
    [448, "process_mrelease", ["fd", "hex"]],
    [440, "process_madvise", ["fd", "iovec-in", "unsigned", "int", "hex"]],
    [449, "futex_waitv", ["address", "unsigned", "hex", "timespec", "int"]],
    [454, "futex_wake", ["address", "hex", "int", "hex"]],
    [455, "futex_wait", ["address", "hex", "hex", "hex", "timespec", "int"]],
    [456, "futex_requeue", ["address", "hex", "int", "int"]],
    [451, "cachestat", ["fd", "address", "address", "hex"]],
    [463, "setxattrat", ["dirfd", "string", "hex", "string", "address", "unsigned"]],
    [464, "getxattrat", ["dirfd", "string", "hex", "string", "address", "unsigned"]],
    [465, "listxattrat", ["dirfd", "string", "hex", "address", "unsigned"]],
    [466, "removexattrat", ["dirfd", "string", "hex", "string"]],
    [468, "file_getattr", ["dirfd", "string", "address", "unsigned", "hex"]],
    [469, "file_setattr", ["dirfd", "string", "address", "unsigned", "hex"]],
  ),
  ...group(
    tracing,
    [117, "ptrace", ["int", "pid", "address", "address"]],
    [241, "perf_event_open", ["address", "pid", "int", "fd", "hex"]],
    [270, "process_vm_readv", ["pid", "iovec-in", "unsigned", "address", "unsigned", "hex"]],
    [271, "process_vm_writev", ["pid", "iovec-in", "unsigned", "address", "unsigned", "hex"]],
    [272, "kcmp", ["pid", "pid", "int", "unsigned", "unsigned"]],
    [280, "bpf", ["int", "address", "unsigned"]],
    [282, "userfaultfd", ["hex"]],
  ),
  ...group("each call says itself how it is begun again", [128, "restart_syscall", []]),
  ...group(
    queues,
    [180, "mq_open", ["string", "hex", "mode", "address"]],
    [181, "mq_unlink", ["string"]],
    [182, "mq_timedsend", ["fd", "bytes-in", "unsigned", "unsigned", "timespec"]],
    [183, "mq_timedreceive", ["fd", "bytes-out", "unsigned", "address", "timespec"]],
    [184, "mq_notify", ["fd", "address"]],
    [185, "mq_getsetattr", ["fd", "address", "address"]],
  ),
  ...group(
    systemV,
    [186, "msgget", ["int", "hex"]],
    [187, "msgctl", ["int", "int", "address"]],
    [188, "msgrcv", ["int", "address", "unsigned", "long", "hex"]],
    [189, "msgsnd", ["int", "address", "unsigned", "hex"]],
    [190, "semget", ["int", "int", "hex"]],
    [191, "semctl", ["int", "int", "int", "address"]],
    [192, "semtimedop", ["int", "address", "unsigned", "timespec"]],
    [193, "semop", ["int", "address", "unsigned"]],
    [194, "shmget", ["int", "unsigned", "hex"]],
    [195, "shmctl", ["int", "int", "address"]],
    [196, "shmat", ["int", "address", "hex"]],
    [197, "shmdt", ["address"]],
  ),
  ...group(
    keys,
    [217, "add_key", ["string", "string", "bytes-in", "unsigned", "int"]],
    [218, "request_key", ["string", "string", "string", "int"]],
    [219, "keyctl", ["int", "hex", "hex", "hex", "hex"]],
  ),
  ...group(old, [234, "remap_file_pages", ["address", "unsigned", "hex", "unsigned", "hex"]]),
  ...group(
    numa,
    [235, "mbind", ["address", "unsigned", "int", "address", "unsigned", "hex"]],
    [236, "get_mempolicy", ["address", "address", "unsigned", "address", "hex"]],
    [237, "set_mempolicy", ["int", "address", "unsigned"]],
    [238, "migrate_pages", ["pid", "unsigned", "address", "address"]],
    [239, "move_pages", ["pid", "unsigned", "address", "address", "address", "hex"]],
    [450, "set_mempolicy_home_node", ["address", "unsigned", "unsigned", "hex"]],
  ),
  ...group(
    security,
    [277, "seccomp", ["unsigned", "hex", "address"]],
    [444, "landlock_create_ruleset", ["address", "unsigned", "hex"]],
    [445, "landlock_add_rule", ["fd", "int", "address", "hex"]],
    [446, "landlock_restrict_self", ["fd", "hex"]],
    [459, "lsm_get_self_attr", ["unsigned", "address", "address", "hex"]],
    [460, "lsm_set_self_attr", ["unsigned", "address", "unsigned", "hex"]],
    [461, "lsm_list_modules", ["address", "address", "hex"]],
    [462, "mseal", ["address", "unsigned", "hex"]],
  ),
  ...group(
    "the hardware has none",
    [288, "pkey_mprotect", ["address", "unsigned", "hex", "int"]],
    [289, "pkey_alloc", ["hex", "hex"]],
    [290, "pkey_free", ["int"]],
    [453, "map_shadow_stack", ["address", "unsigned", "hex"]],
  ),
  ...group("riscv64 has renameat2 instead", [38, "renameat", ["dirfd", "string", "dirfd", "string"]]),
];
