/** System calls about who the caller is: user and group ids, supplementary groups, capabilities. */

import { errno } from "../base/errno.ts";
import type { CallHandler, SystemCall } from "../kernel/call.ts";
import { Credentials, GROUPS_MAX } from "../kernel/credentials.ts";
import { lockTree, taskOf } from "../kernel/process.ts";
import { Process, Task } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { type CallRow, full, partial } from "./row.ts";
import { readStruct, segmentsFor, writeUser } from "./user.ts";

function own(call: SystemCall): Credentials {
  return Task.credentials.get(call.tx, call.task);
}

/** Makes `made` the caller's credentials. */
function adopt(call: SystemCall, made: number): number {
  const { tx, task } = call;
  auth.drop(tx, own(call));
  const credentials = made as Credentials;
  Task.credentials.set(tx, task, credentials);
  Process.uid.set(tx, call.process, Credentials.uid.get(tx, credentials));
  return 0;
}

const getter =
  (field: "uid" | "gid" | "effectiveUid" | "effectiveGid"): CallHandler =>
  (call) =>
    Credentials[field].get(call.tx, own(call));

const setter =
  (change: (call: SystemCall, credentials: Credentials) => number): CallHandler =>
  (call) =>
    adopt(call, change(call, own(call)));

function writeThree(call: SystemCall, values: readonly number[]): number {
  values.forEach((value, index) => writeUser(call, call.address(index), new Uint32Array([value])));
  return 0;
}

const getresuid: CallHandler = (call) => {
  const { tx } = call;
  const c = own(call);
  return writeThree(call, [
    Credentials.uid.get(tx, c),
    Credentials.effectiveUid.get(tx, c),
    Credentials.savedUid.get(tx, c),
  ]);
};

const getresgid: CallHandler = (call) => {
  const { tx } = call;
  const c = own(call);
  return writeThree(call, [
    Credentials.gid.get(tx, c),
    Credentials.effectiveGid.get(tx, c),
    Credentials.savedGid.get(tx, c),
  ]);
};

const setfsuid: CallHandler = (call) => {
  const old = Credentials.fsUid.get(call.tx, own(call));
  adopt(call, auth.setfsuid(call.tx, own(call), call.uint(0)));
  return old;
};

const setfsgid: CallHandler = (call) => {
  const old = Credentials.fsGid.get(call.tx, own(call));
  adopt(call, auth.setfsgid(call.tx, own(call), call.uint(0)));
  return old;
};

const getgroups: CallHandler = (call) => {
  const count = Credentials.groupCount.get(call.tx, own(call));
  const room = call.int(0);
  if (room < 0 || (room > 0 && room < count)) throw errno.EINVAL;
  if (room === 0 || count === 0) return count;
  segmentsFor(call, call.address(1), count * 4, true);
  return auth.getgroups(call.tx, own(call), room);
};

const setgroups: CallHandler = (call) => {
  const count = call.uint(0);
  if (auth.isCapable(call.tx, own(call), 6) === 0) throw errno.EPERM;
  if (count > GROUPS_MAX) throw errno.EINVAL;
  if (count > 0) segmentsFor(call, call.address(1), count * 4, false);
  return adopt(call, auth.setgroups(call.tx, own(call), count));
};

const CAPABILITY_VERSION_3 = 0x2008_0522;

/** Reads the header of capget and capset: the task that is meant. An unknown version is answered with ours. */
function capabilityTask(call: SystemCall): Task {
  const header = readStruct(call, call.address(0), 8);
  if (header.getUint32(0, true) !== CAPABILITY_VERSION_3) {
    writeUser(call, call.address(0), new Uint32Array([CAPABILITY_VERSION_3]));
    throw errno.EINVAL;
  }
  const pid = header.getInt32(4, true);
  if (pid < 0) throw errno.EINVAL;
  if (pid === 0) return call.task;
  lockTree(call.tx);
  const task = taskOf(call.tx, pid);
  if (task === 0) throw errno.ESRCH;
  return task;
}

const capget: CallHandler = (call) => {
  const { tx } = call;
  const credentials = Task.credentials.get(tx, capabilityTask(call));
  if (call.address(1) === 0) return 0;
  const sets = [
    Credentials.effectiveCapabilities,
    Credentials.permittedCapabilities,
    Credentials.inheritableCapabilities,
  ];
  const words = new Int32Array(6);
  sets.forEach((set, index) => {
    words[index] = set.get(tx, credentials, 0);
    words[index + 3] = set.get(tx, credentials, 1);
  });
  writeUser(call, call.address(1), words);
  return 0;
};

const capset: CallHandler = (call) => {
  if (capabilityTask(call) !== call.task) throw errno.EPERM;
  // Only a request for what is there already is granted; capabilities cannot be given up one by one yet.
  const { tx } = call;
  const wanted = readStruct(call, call.address(1), 24);
  const c = own(call);
  const same = (set: typeof Credentials.effectiveCapabilities, index: number): boolean =>
    wanted.getInt32(index * 4, true) === set.get(tx, c, 0) &&
    wanted.getInt32((index + 3) * 4, true) === set.get(tx, c, 1);
  if (!same(Credentials.effectiveCapabilities, 0) || !same(Credentials.permittedCapabilities, 1))
    throw errno.EPERM;
  return 0;
};

export const identityRows: readonly CallRow[] = [
  full(90, "capget", ["address", "address"], capget),
  partial(91, "capset", ["address", "address"], "only the sets that are in force", capset),
  full(
    143,
    "setregid",
    ["int", "int"],
    setter((c, id) => auth.setregid(c.tx, id, c.uint(0), c.uint(1))),
  ),
  full(
    144,
    "setgid",
    ["unsigned"],
    setter((c, id) => auth.setgid(c.tx, id, c.uint(0))),
  ),
  full(
    145,
    "setreuid",
    ["int", "int"],
    setter((c, id) => auth.setreuid(c.tx, id, c.uint(0), c.uint(1))),
  ),
  full(
    146,
    "setuid",
    ["unsigned"],
    setter((c, id) => auth.setuid(c.tx, id, c.uint(0))),
  ),
  full(
    147,
    "setresuid",
    ["int", "int", "int"],
    setter((c, id) => auth.setresuid(c.tx, id, c.uint(0), c.uint(1), c.uint(2))),
  ),
  full(148, "getresuid", ["address", "address", "address"], getresuid),
  full(
    149,
    "setresgid",
    ["int", "int", "int"],
    setter((c, id) => auth.setresgid(c.tx, id, c.uint(0), c.uint(1), c.uint(2))),
  ),
  full(150, "getresgid", ["address", "address", "address"], getresgid),
  full(151, "setfsuid", ["unsigned"], setfsuid),
  full(152, "setfsgid", ["unsigned"], setfsgid),
  full(158, "getgroups", ["int", "address"], getgroups),
  full(159, "setgroups", ["unsigned", "address"], setgroups),
  full(174, "getuid", [], getter("uid")),
  full(175, "geteuid", [], getter("effectiveUid")),
  full(176, "getgid", [], getter("gid")),
  full(177, "getegid", [], getter("effectiveGid")),
];
