/** Calls about the machine as a whole: random bytes, sysinfo, names, sync. */

import { errno } from "../base/errno.ts";
import type { WordsField } from "../heap/record.ts";
import type { SystemCall } from "../kernel/call.ts";
import { getFile } from "../kernel/descriptors.ts";
import { frameUsage } from "../kernel/memory/frames.ts";
import { kernelOf, lockTree } from "../kernel/process.ts";
import { Kernel, Limits, Process, Task } from "../kernel/task.ts";
import { threadOf } from "../kernel/thread.ts";
import { auth } from "../servers/auth/auth.ts";
import { CAP } from "../servers/auth/capabilities.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { GRND } from "./abi-file.ts";
import { type CallRow, flagSet, full, partial } from "./row.ts";
import { addUserSegments, readUser, writeUser } from "./user.ts";
import { bytesToSegments, clearSegments } from "../kernel/request.ts";

/** Bytes that one call gives at most: it is one step. */
const RANDOM_MAX = 65536;

function getrandom(call: SystemCall): number {
  const flags = call.uint(2);
  call.refuseUnknown(flags, GRND.NONBLOCK | GRND.RANDOM | GRND.INSECURE);
  if ((flags & GRND.RANDOM) !== 0 && (flags & GRND.INSECURE) !== 0) throw errno.EINVAL;
  const length = Math.min(call.address(1), RANDOM_MAX);
  if (length === 0) return 0;
  clearSegments(call.tx);
  const room = addUserSegments(call, call.address(0), length, true);
  const bytes = new Uint8Array(room);
  // oxlint-disable-next-line unicorn/no-array-fill-with-reference-type -- the host's entropy is no array
  threadOf(call.tx).entropy.fill(bytes);
  bytesToSegments(call.tx, 0, bytes);
  return room;
}

/** struct sysinfo, 112 bytes. */
function sysinfo(call: SystemCall): number {
  const { tx } = call;
  const { free, total } = frameUsage(tx);
  const view = new DataView(new ArrayBuffer(112));
  const uptime = Math.floor((call.now() - Kernel.bootedAt.get(tx, kernelOf(tx))) / 1e9);
  view.setUint32(0, uptime, true);
  const putBytes = (at: number, frames: number): void => {
    view.setUint32(at, (frames * 4096) % 0x1_0000_0000, true);
    view.setUint32(at + 4, Math.floor((frames * 4096) / 0x1_0000_0000), true);
  };
  putBytes(32, total);
  putBytes(40, free);
  view.setUint16(80, Kernel.processes.get(tx, kernelOf(tx)), true);
  // mem_unit
  view.setUint32(104, 1, true);
  writeUser(call, call.address(0), view);
  return 0;
}

const NAME_MAX = 64;

/** Sets one of the machine's names: a length, and up to 64 bytes. */
function setName(call: SystemCall, field: WordsField<"kernel">): number {
  const { tx } = call;
  if (auth.isCapable(tx, Task.credentials.get(tx, call.task), CAP.SYS_ADMIN) === 0) throw errno.EPERM;
  const length = call.int(1);
  if (length < 0 || length > NAME_MAX) throw errno.EINVAL;
  const bytes = readUser(call, call.address(0), length);
  tx.commit();
  const kernel = lockTree(tx);
  const padded = new DataView(new ArrayBuffer(68));
  for (const [i, byte] of bytes.entries()) padded.setUint8(i, byte);
  for (let i = 0; i < 17; i++) field.set(tx, kernel, i, padded.getInt32(i * 4, true));
  return 0;
}

function sethostname(call: SystemCall): number {
  return setName(call, Kernel.hostname);
}

function setdomainname(call: SystemCall): number {
  return setName(call, Kernel.domainname);
}

/** Bytes of struct rlimit: soft and hard limit. */
const RLIMIT_BYTES = 16;

/** The limits of the caller, and the word at which those of the resource in argument 0 begin. */
function limitsOf(call: SystemCall): [limits: Limits, at: number] {
  const resource = call.uint(0);
  if (resource >= 16) throw errno.EINVAL;
  return [Process.limits.get(call.tx, call.process), resource * 4];
}

function getrlimit(call: SystemCall): number {
  const [limits, at] = limitsOf(call);
  const view = new DataView(new ArrayBuffer(RLIMIT_BYTES));
  for (let i = 0; i < 4; i++)
    view.setInt32(i * 4, limits === 0 ? -1 : Limits.values.get(call.tx, limits, at + i), true);
  writeUser(call, call.address(1), view);
  return 0;
}

// Nothing that a file system here holds outlives the machine, so everything written is as safe as it will be.

function fsync(call: SystemCall): number {
  vfs.sync(call.tx, getFile(call.tx, call.task, call.int(0)));
  return 0;
}

function sync(): number {
  return 0;
}

const grndNames = flagSet({ GRND_NONBLOCK: 1, GRND_RANDOM: 2, GRND_INSECURE: 4 });

export const systemRows: readonly CallRow[] = [
  full(81, "sync", [], sync),
  full(82, "fsync", ["fd"], fsync),
  full(83, "fdatasync", ["fd"], fsync),
  full(84, "sync_file_range", ["fd", "long", "long", "hex"], fsync),
  full(161, "sethostname", ["bytes-in", "unsigned"], sethostname),
  full(162, "setdomainname", ["bytes-in", "unsigned"], setdomainname),
  full(163, "getrlimit", ["int", "address"], getrlimit),
  partial(179, "sysinfo", ["address"], "loads and swap are 0", sysinfo),
  full(267, "syncfs", ["fd"], fsync),
  full(278, "getrandom", ["bytes-out", "unsigned", grndNames], getrandom),
];
