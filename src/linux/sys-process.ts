/** System calls about processes: ending, waiting, ids, groups, sessions, limits, names. */

import { errno, Errno } from "../base/errno.ts";
import { each } from "../heap/list.ts";
import type { CallHandler, SystemCall } from "../kernel/call.ts";
import { Credentials } from "../kernel/credentials.ts";
import { getFile } from "../kernel/descriptors.ts";
import { File } from "../kernel/file.ts";
import { beginExit, kernelOf, lockTree, processOf, reap, taskOf } from "../kernel/process.ts";
import { CLD, raiseAttention, SIG, signalInfo } from "../kernel/signal.ts";
import { ATTENTION, Kernel, LIFE, Limits, Process, Task } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { CAP } from "../servers/auth/capabilities.ts";
import { processOfFile } from "../servers/event/event-server.ts";
import { O } from "./abi-file.ts";
import { type CallRow, flagSet, full, nameSet, partial, unsupported } from "./row.ts";
import { siginfoBytes } from "./signal-frame.ts";
import { childUsage, rusageBytes } from "./rusage.ts";
import { KERNEL_RELEASE, KERNEL_VERSION } from "./kernel-name.ts";
import { readStruct, readUser, writeBack, writeUser } from "./user.ts";

// Ends.

const exit: CallHandler = (call) => {
  const { tx, task, process } = call;
  Task.exitCode.set(tx, task, (call.uint(0) & 0xff) << 8);
  lockTree(tx);
  Process.signals.acquire(tx, process);
  raiseAttention(tx, task, ATTENTION.EXIT);
  return 0;
};

const exitGroup: CallHandler = (call) => {
  beginExit(call.tx, call.process, (call.uint(0) & 0xff) << 8);
  return 0;
};

// Waits.

const WAIT = {
  WNOHANG: 1,
  WUNTRACED: 2,
  WEXITED: 4,
  WCONTINUED: 8,
  WNOWAIT: 0x0100_0000,
  __WNOTHREAD: 0x2000_0000,
  __WALL: 0x4000_0000,
  __WCLONE: 0x8000_0000,
} as const;
const P = { P_ALL: 0, P_PID: 1, P_PGID: 2, P_PIDFD: 3 } as const;

/** A change of a child that a wait reports. */
interface Change {
  readonly child: Process;
  readonly kind: "exit" | "stop" | "continue";
  readonly status: number;
}

/** The first child that `matches` and has something to report; undefined if none has yet. ECHILD if there is none. */
function findChange(
  call: SystemCall,
  matches: (child: Process) => boolean,
  options: number,
): Change | undefined {
  const { tx, process } = call;
  let any = false;
  for (const child of each(tx, Process.children, process, Process.siblings)) {
    if (!matches(child)) continue;
    // Children that do not end with SIGCHLD are for those who ask for them.
    const isClone = Process.exitSignal.get(tx, child) !== SIG.CHLD;
    if ((options & WAIT.__WALL) === 0 && isClone !== ((options & WAIT.__WCLONE) !== 0)) continue;
    any = true;
    // Before an end that came since: who sends SIGCONT and then waits for it finds it, however quick the child is.
    if (Process.unreportedContinue.get(tx, child) !== 0 && (options & WAIT.WCONTINUED) !== 0) {
      return { child, kind: "continue", status: 0xffff };
    }
    if (Process.life.get(tx, child) === LIFE.ZOMBIE) {
      if (Process.settled.get(tx, child) !== 0 && (options & WAIT.WEXITED) !== 0) {
        return { child, kind: "exit", status: Process.exitStatus.get(tx, child) };
      }
      continue;
    }
    const stopped = Process.unreportedStop.get(tx, child);
    if (stopped !== 0 && (options & WAIT.WUNTRACED) !== 0) return { child, kind: "stop", status: stopped };
  }
  if (!any) throw errno.ECHILD;
  return undefined;
}

/** Takes a reported change out of the child. */
function consume(call: SystemCall, change: Change): void {
  const { tx } = call;
  if (change.kind === "exit") reap(tx, change.child);
  else if (change.kind === "stop") Process.unreportedStop.set(tx, change.child, 0);
  else Process.unreportedContinue.set(tx, change.child, 0);
}

function matcher(call: SystemCall, pid: number): (child: Process) => boolean {
  const { tx, process } = call;
  if (pid > 0) return (child) => Process.pid.get(tx, child) === pid;
  if (pid === -1) return () => true;
  const group = pid === 0 ? Process.group.get(tx, process) : -pid;
  return (child) => Process.group.get(tx, child) === group;
}

/**
 * `result`, or EFAULT as a result if `write` fails: what was to be told is lost then, and not told again, as
 * on Linux.
 */
function resultOfWriting(result: number, write: () => void): number {
  try {
    write();
    return result;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return -error.code;
  }
}

const wait4: CallHandler = (call) => {
  const { tx, process } = call;
  const options = call.uint(2);
  const known =
    WAIT.WNOHANG | WAIT.WUNTRACED | WAIT.WCONTINUED | WAIT.__WNOTHREAD | WAIT.__WALL | WAIT.__WCLONE;
  if ((options & ~known) !== 0) throw errno.EINVAL;
  if (call.int(0) === -0x8000_0000) throw errno.ESRCH;
  lockTree(tx);
  const change = findChange(call, matcher(call, call.int(0)), options | WAIT.WEXITED);
  if (change === undefined) {
    if ((options & WAIT.WNOHANG) !== 0) return 0;
    throw call.waitFor(Process.childChanged.at(process));
  }
  const pid = Process.pid.get(tx, change.child);
  const result = resultOfWriting(pid, () => {
    if (call.address(1) !== 0) writeUser(call, call.address(1), new Int32Array([change.status]));
    if (call.address(3) !== 0) writeUser(call, call.address(3), rusageBytes(childUsage(tx, change.child)));
  });
  consume(call, change);
  return result;
};

/** si_code and si_status of a change. */
function codeOf(change: Change): [code: number, status: number] {
  if (change.kind === "stop") return [CLD.STOPPED, change.status >> 8];
  if (change.kind === "continue") return [CLD.CONTINUED, SIG.CONT];
  if ((change.status & 0x7f) === 0) return [CLD.EXITED, change.status >> 8];
  return [(change.status & 0x80) !== 0 ? CLD.DUMPED : CLD.KILLED, change.status & 0x7f];
}

const waitid: CallHandler = (call) => {
  const { tx, process } = call;
  const type = call.int(0);
  const id = call.int(1);
  const options = call.uint(3);
  const events = WAIT.WEXITED | WAIT.WUNTRACED | WAIT.WCONTINUED;
  const known = events | WAIT.WNOHANG | WAIT.WNOWAIT | WAIT.__WNOTHREAD | WAIT.__WALL | WAIT.__WCLONE;
  if ((options & ~known) !== 0 || (options & events) === 0) throw errno.EINVAL;
  if (type < 0 || type > P.P_PIDFD) throw errno.EINVAL;
  if (type === P.P_PID && id <= 0) throw errno.EINVAL;
  if (type === P.P_PGID && id < 0) throw errno.EINVAL;
  lockTree(tx);
  const byFile = type === P.P_PIDFD ? getFile(tx, call.task, id) : undefined;
  const pid = type === P.P_ALL ? -1 : type === P.P_PID ? id : -id;
  const wanted = byFile === undefined ? (0 as Process) : processOfFile(tx, byFile);
  const matches = byFile === undefined ? matcher(call, pid) : (child: Process) => child === wanted;
  const change = findChange(call, matches, options);
  if (change === undefined) {
    // A file that does not wait says so.
    if (
      byFile !== undefined &&
      (File.flags.get(tx, byFile) & O.NONBLOCK) !== 0 &&
      (options & WAIT.WNOHANG) === 0
    )
      throw errno.EAGAIN;
    if ((options & WAIT.WNOHANG) === 0) throw call.waitFor(Process.childChanged.at(process));
    if (call.address(2) !== 0) writeUser(call, call.address(2), new Uint8Array(128));
    return 0;
  }
  const result = resultOfWriting(0, () => {
    if (call.address(4) !== 0) {
      writeUser(call, call.address(4), rusageBytes(childUsage(tx, change.child)));
    }
    if (call.address(2) === 0) return;
    const [code, status] = codeOf(change);
    const uid = Process.uid.get(tx, change.child);
    const info = signalInfo(SIG.CHLD, code, { pid: Process.pid.get(tx, change.child), uid, status });
    writeUser(call, call.address(2), siginfoBytes(info));
  });
  if ((options & WAIT.WNOWAIT) === 0) consume(call, change);
  return result;
};

// Ids.

const getpid: CallHandler = (call) => Process.pid.get(call.tx, call.process);
const gettid: CallHandler = (call) => Task.tid.get(call.tx, call.task);
const getppid: CallHandler = (call) => {
  const parent = Process.parent.get(call.tx, call.process);
  return parent === 0 ? 0 : Process.pid.get(call.tx, parent);
};

const setTidAddress: CallHandler = (call) => {
  Task.clearTid.set(call.tx, call.task, call.address(0));
  return Task.tid.get(call.tx, call.task);
};

/** The process that `pid` names, 0 being the caller's; ESRCH. */
function target(call: SystemCall, pid: number): Process {
  if (pid === 0) return call.process;
  const process = processOf(call.tx, pid);
  if (process === 0) throw errno.ESRCH;
  return process;
}

const getpgid: CallHandler = (call) => {
  lockTree(call.tx);
  return Process.group.get(call.tx, target(call, call.int(0)));
};

const getsid: CallHandler = (call) => {
  lockTree(call.tx);
  return Process.session.get(call.tx, target(call, call.int(0)));
};

const setpgid: CallHandler = (call) => {
  const { tx } = call;
  const group = call.int(1);
  if (group < 0) throw errno.EINVAL;
  lockTree(tx);
  const process = target(call, call.int(0));
  const own = process === call.process;
  if (!own && Process.parent.get(tx, process) !== call.process) throw errno.ESRCH;
  if (!own && Process.hasExecuted.get(tx, process) !== 0) throw errno.EACCES;
  const pid = Process.pid.get(tx, process);
  const session = Process.session.get(tx, call.process);
  if (Process.session.get(tx, process) !== session || Process.session.get(tx, process) === pid)
    throw errno.EPERM;
  const wanted = group === 0 ? pid : group;
  if (wanted !== pid && !hasGroupInSession(call, wanted, session)) throw errno.EPERM;
  Process.group.set(tx, process, wanted);
  return 0;
};

function hasGroupInSession(call: SystemCall, group: number, session: number): boolean {
  const { tx } = call;
  for (const process of each(tx, Kernel.all, kernelOf(tx), Process.allLinks)) {
    if (Process.group.get(tx, process) === group && Process.session.get(tx, process) === session) return true;
  }
  return false;
}

const setsid: CallHandler = (call) => {
  const { tx, process } = call;
  lockTree(tx);
  const pid = Process.pid.get(tx, process);
  if (Process.session.get(tx, process) === pid) throw errno.EPERM;
  for (const other of each(tx, Kernel.all, kernelOf(tx), Process.allLinks)) {
    if (Process.group.get(tx, other) === pid) throw errno.EPERM;
  }
  Process.session.set(tx, process, pid);
  Process.group.set(tx, process, pid);
  Process.terminal.set(tx, process, 0);
  return pid;
};

// Limits.

const RLIMITS = 16;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;
const RLIMIT_NOFILE = 7;
/** Descriptors that a table can hold (kernel/descriptors.ts bounds it too). */
const NOFILE_MAX = 1_048_576n;

/** Gives the process another limit, two 64-bit numbers. With the limits' lock. Throws EINVAL, EPERM. */
function setLimit(call: SystemCall, limits: Limits, resource: number, fresh: DataView): void {
  const at = resource * 4;
  const hard = fresh.getBigUint64(8, true);
  const low = BigInt(Limits.values.get(call.tx, limits, at + 2) >>> 0);
  const oldHard = (BigInt(Limits.values.get(call.tx, limits, at + 3) >>> 0) << 32n) | low;
  if (fresh.getBigUint64(0, true) > hard) throw errno.EINVAL;
  if (resource === RLIMIT_NOFILE && hard > NOFILE_MAX) throw errno.EPERM;
  if (hard > oldHard && !isCapable(call, CAP.SYS_RESOURCE)) throw errno.EPERM;
  for (let i = 0; i < 4; i++) Limits.values.set(call.tx, limits, at + i, fresh.getInt32(i * 4, true));
}

const prlimit: CallHandler = (call) => {
  const { tx } = call;
  const resource = call.uint(1);
  if (resource >= RLIMITS) throw errno.EINVAL;
  lockTree(tx);
  const process = target(call, call.int(0));
  const limits = Process.limits.get(tx, process);
  if (limits === 0) throw errno.ESRCH;
  if (process !== call.process && !isCapable(call, CAP.SYS_RESOURCE)) throw errno.EPERM;
  Limits.lock.acquire(tx, limits);
  const old = new Int32Array(4);
  for (let i = 0; i < 4; i++) old[i] = Limits.values.get(tx, limits, resource * 4 + i);
  if (call.address(2) !== 0) setLimit(call, limits, resource, readStruct(call, call.address(2), 16));
  if (call.address(3) !== 0) writeBack(call, call.address(3), old);
  return 0;
};

const setrlimit: CallHandler = (call) => {
  const resource = call.uint(0);
  const fresh = readStruct(call, call.address(1), 16);
  if (resource >= RLIMITS) throw errno.EINVAL;
  const limits = Process.limits.get(call.tx, call.process);
  Limits.lock.acquire(call.tx, limits);
  setLimit(call, limits, resource, fresh);
  return 0;
};

/** The limits of the first process: Linux's defaults, unlimited where those depend on the machine. */
export function initialLimits(): BigUint64Array {
  const values = new BigUint64Array(RLIMITS * 2).fill(RLIM_INFINITY);
  const set = (resource: number, soft: bigint, hard: bigint): void => {
    values[resource * 2] = soft;
    values[resource * 2 + 1] = hard;
  };
  set(3, 8n << 20n, RLIM_INFINITY);
  set(4, 0n, RLIM_INFINITY);
  set(RLIMIT_NOFILE, 1024n, 4096n);
  set(8, 8n << 20n, 8n << 20n);
  set(12, 819_200n, 819_200n);
  set(13, 0n, 0n);
  set(14, 0n, 0n);
  return values;
}

export function isCapable(call: SystemCall, capability: number): boolean {
  return auth.isCapable(call.tx, Task.credentials.get(call.tx, call.task), capability) !== 0;
}

// Names and odds and ends.

const UTS_BYTES = 65;

const uname: CallHandler = (call) => {
  const { tx } = call;
  const kernel = kernelOf(tx);
  const bytes = new Uint8Array(UTS_BYTES * 6);
  const text = (index: number, value: string): void => {
    for (let i = 0; i < value.length; i++) bytes[index * UTS_BYTES + i] = value.charCodeAt(i);
  };
  const words = (index: number, at: number): void => {
    bytes.set(tx.bytes.subarray(at * 4, at * 4 + UTS_BYTES - 1), index * UTS_BYTES);
  };
  text(0, "Linux");
  words(1, Kernel.hostname.at(kernel, 0));
  text(2, KERNEL_RELEASE);
  text(3, KERNEL_VERSION);
  text(4, "riscv64");
  words(5, Kernel.domainname.at(kernel, 0));
  writeUser(call, call.address(0), bytes);
  return 0;
};

const setRobustList: CallHandler = (call) => {
  if (call.address(1) !== 24) throw errno.EINVAL;
  Task.robustList.set(call.tx, call.task, call.address(0));
  return 0;
};

const getRobustList: CallHandler = (call) => {
  const { tx } = call;
  lockTree(tx);
  const task = call.int(0) === 0 ? call.task : taskOf(tx, call.int(0));
  if (task === 0) throw errno.ESRCH;
  writeUser(call, call.address(1), new BigUint64Array([BigInt(Task.robustList.get(tx, task))]));
  writeUser(call, call.address(2), new BigUint64Array([24n]));
  return 0;
};

const PR = {
  PR_SET_PDEATHSIG: 1,
  PR_GET_PDEATHSIG: 2,
  PR_GET_DUMPABLE: 3,
  PR_SET_DUMPABLE: 4,
  PR_GET_KEEPCAPS: 7,
  PR_SET_NAME: 15,
  PR_GET_NAME: 16,
  PR_CAPBSET_READ: 23,
  PR_SET_CHILD_SUBREAPER: 36,
  PR_GET_CHILD_SUBREAPER: 37,
  PR_SET_NO_NEW_PRIVS: 38,
  PR_GET_NO_NEW_PRIVS: 39,
} as const;

const prctl: CallHandler = (call) => {
  const { tx, task, process } = call;
  switch (call.int(0)) {
    case PR.PR_SET_NAME: {
      const name = new Uint8Array(16);
      // The string may end before a page that is not there.
      for (let i = 0; i < 15; i++) {
        const [byte] = readUser(call, call.address(1) + i, 1);
        if (byte === 0) break;
        name[i] = byte!;
      }
      const words = new Int32Array(name.buffer);
      for (let i = 0; i < 4; i++) Task.name.set(tx, task, i, words[i]!);
      return 0;
    }
    case PR.PR_GET_NAME: {
      const words = new Int32Array(4);
      for (let i = 0; i < 4; i++) words[i] = Task.name.get(tx, task, i);
      writeUser(call, call.address(1), words);
      return 0;
    }
    case PR.PR_SET_PDEATHSIG:
      // A real-time signal is queued, and at the end of the parent there may be no room for that.
      if (call.uint(1) > 31) throw errno.EINVAL;
      Process.parentDeathSignal.set(tx, process, call.uint(1));
      return 0;
    case PR.PR_GET_PDEATHSIG:
      writeUser(call, call.address(1), new Int32Array([Process.parentDeathSignal.get(tx, process)]));
      return 0;
    case PR.PR_GET_DUMPABLE:
      return Process.dumpable.get(tx, process);
    case PR.PR_SET_DUMPABLE:
      if (call.address(1) > 1) throw errno.EINVAL;
      Process.dumpable.set(tx, process, call.uint(1));
      return 0;
    case PR.PR_GET_KEEPCAPS:
      return 0;
    case PR.PR_CAPBSET_READ:
      if (call.address(1) > 40) throw errno.EINVAL;
      return (
        (Credentials.boundingCapabilities.get(tx, Task.credentials.get(tx, task), call.uint(1) >> 5) >>
          (call.uint(1) & 31)) &
        1
      );
    case PR.PR_SET_CHILD_SUBREAPER:
      Process.childSubreaper.set(tx, process, call.address(1) === 0 ? 0 : 1);
      return 0;
    case PR.PR_GET_CHILD_SUBREAPER:
      writeUser(call, call.address(1), new Int32Array([Process.childSubreaper.get(tx, process)]));
      return 0;
    case PR.PR_SET_NO_NEW_PRIVS:
      if (call.address(1) !== 1) throw errno.EINVAL;
      Process.noNewPrivileges.set(tx, process, 1);
      return 0;
    case PR.PR_GET_NO_NEW_PRIVS:
      return Process.noNewPrivileges.get(tx, process);
    default:
      throw errno.EINVAL;
  }
};

const personality: CallHandler = (call) => {
  const old = Task.personality.get(call.tx, call.task);
  if (call.uint(0) !== 0xffff_ffff) Task.personality.set(call.tx, call.task, call.uint(0));
  return old;
};

const WAIT_FLAGS = flagSet(WAIT);

export const processRows: readonly CallRow[] = [
  full(92, "personality", ["hex"], personality),
  full(93, "exit", ["int"], exit, { result: "none" }),
  full(94, "exit_group", ["int"], exitGroup, { result: "none" }),
  full(95, "waitid", [nameSet(P), "int", "address", WAIT_FLAGS, "address"], waitid, { wait: "retry" }),
  full(96, "set_tid_address", ["address"], setTidAddress),
  full(99, "set_robust_list", ["address", "unsigned"], setRobustList),
  full(100, "get_robust_list", ["pid", "address", "address"], getRobustList),
  full(164, "setrlimit", ["int", "address"], setrlimit),
  full(154, "setpgid", ["pid", "pid"], setpgid),
  full(155, "getpgid", ["pid"], getpgid),
  full(156, "getsid", ["pid"], getsid),
  full(157, "setsid", [], setsid),
  full(160, "uname", ["address"], uname),
  partial(
    167,
    "prctl",
    [nameSet(PR), "hex", "hex", "hex", "hex"],
    "the options that shells and libraries use",
    prctl,
  ),
  full(172, "getpid", [], getpid),
  full(173, "getppid", [], getppid),
  full(178, "gettid", [], gettid),
  full(260, "wait4", ["pid", "int-out", WAIT_FLAGS, "address"], wait4, { wait: "retry" }),
  full(261, "prlimit64", ["pid", "int", "address", "address"], prlimit),
  unsupported(
    293,
    "rseq",
    ["address", "unsigned", "hex", "hex"],
    "restartable sequences need a hook in every preemption",
  ),
];
