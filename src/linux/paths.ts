/**
 * Paths as system calls take them: a directory descriptor and a string in user memory become the five numbers
 * by which the vfs server names a file (servers/vfs/vfs.ts).
 */

import { errno } from "../base/errno.ts";
import { none } from "../heap/record.ts";
import type { SystemCall } from "../kernel/call.ts";
import type { Credentials } from "../kernel/credentials.ts";
import { getAnyFile, lockSharedFiles } from "../kernel/descriptors.ts";
import type { File } from "../kernel/file.ts";
import { pathAt } from "../kernel/request.ts";
import { Task } from "../kernel/task.ts";
import type { FsContext } from "../servers/vfs/records.ts";
import { AT_FDCWD } from "./abi-file.ts";
import { copyPath } from "./user.ts";

/** Context, credentials, base, path buffer, bytes: what the vfs server's operations begin with. */
export type Place = [context: FsContext, credentials: Credentials, base: File, path: number, length: number];

const SLASH = 0x2f;
const DOT = 0x2e;

/** Who calls, and where its paths begin. */
export function contextOf(call: SystemCall): [FsContext, Credentials] {
  return [Task.fs.get(call.tx, call.task), Task.credentials.get(call.tx, call.task)];
}

/** The file by which `descriptor` names a directory to start from; none for AT_FDCWD. Throws EBADF. */
export function baseOf(call: SystemCall, descriptor: number): File {
  return descriptor === AT_FDCWD ? none() : getAnyFile(call.tx, call.task, descriptor);
}

/**
 * The place that the string at user address `address` names, starting at `descriptor`, copied into path
 * buffer `which`. Throws ENOENT for an empty string, EFAULT, ENAMETOOLONG, EBADF.
 */
export function placeOf(call: SystemCall, descriptor: number, address: number, which = 0): Place {
  lockSharedFiles(call.tx, call.task);
  const length = copyPath(call, address, which);
  if (length === 0) throw errno.ENOENT;
  return place(call, descriptor, which, length);
}

/**
 * As {@link placeOf}, for calls with AT_EMPTY_PATH: undefined if the string is empty and names the open file
 * `descriptor` itself. The working directory, of which there is no open file, is the place ".".
 */
export function placeOrFile(
  call: SystemCall,
  descriptor: number,
  address: number,
  mayBeEmpty: boolean,
  which = 0,
): Place | undefined {
  lockSharedFiles(call.tx, call.task);
  // A null pointer stands for the empty string here (Linux 6.11).
  const length = mayBeEmpty && address === 0 ? 0 : copyPath(call, address, which);
  if (length > 0) return place(call, descriptor, which, length);
  if (!mayBeEmpty) throw errno.ENOENT;
  if (descriptor !== AT_FDCWD) return undefined;
  call.tx.bytes[pathAt(call.tx, which)] = DOT;
  return place(call, descriptor, which, 1);
}

function place(call: SystemCall, descriptor: number, which: number, length: number): Place {
  const [context, credentials] = contextOf(call);
  // The descriptor does not matter when the path begins at the root.
  const absolute = call.tx.bytes[pathAt(call.tx, which)] === SLASH;
  return [context, credentials, absolute ? none() : baseOf(call, descriptor), which, length];
}
