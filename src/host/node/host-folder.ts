/**
 * Granted host folders on Node: carries out the requests of base/host-folder-io.ts, one after the other, with
 * calls that may block. It keeps nothing between requests but the folders' own paths.
 *
 * ## How nothing leads out of a folder
 *
 * The kernel sends names, never "." or "..", and never follows a link; this side trusts neither. A path is
 * walked component by component: each directory is opened relative to the one before, as
 * /proc/self/fd/N/NAME with O_NOFOLLOW, so a component that is a symbolic link, or becomes one between two
 * steps, is refused (ELOOP), and a directory that is moved away meanwhile stays the one that was opened. The
 * last name is then used relative to its open directory by a call that does not follow links.
 *
 * Where there is no /proc/self/fd (macOS, Windows) each component is checked by lstat, and afterwards the real
 * path of the directory is compared with what it should be. A program on the host that exchanges a directory
 * for a link in just that moment is then noticed only when a file has been opened (EXDEV is the answer, and
 * nothing of it reaches the guest); a change of names may have happened elsewhere by then.
 *
 * Only regular files are opened, and without waiting: a FIFO or device in the folder is shown and refused.
 */

import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { errno, type ErrnoName } from "../../base/errno.ts";
import {
  FOLDER_ARGUMENT,
  FOLDER_ATTRIBUTE,
  FOLDER_DATA_BYTES,
  FOLDER_ENTRY_HEAD,
  FOLDER_OPERATION,
  FOLDER_PATH_BYTES,
} from "../../base/host-folder-io.ts";
import { IO_REQUEST } from "../../base/host-io.ts";

/** A folder that the machine may use. */
export interface GrantedFolder {
  /** Path on the host. It may lead through links: it is resolved once, when it is granted. */
  readonly path: string;
  /** Nothing in it is changed, whatever is asked. */
  readonly readOnly: boolean;
}

const FRAME_BYTES = 4096;
const NO_FOLLOW: number = constants.O_NOFOLLOW ?? 0;
const DIRECTORY: number = constants.O_DIRECTORY ?? 0;
const NONBLOCK: number = constants.O_NONBLOCK ?? 0;
/** Linux: names a directory without the right to list it. */
const O_PATH = 0o10000000;

const FD_DIRECTORY = "/proc/self/fd";
const hasFdPaths = (): boolean => process.platform === "linux" && existsSync(FD_DIRECTORY);

/** What is done with the words and bytes of one request. */
interface Request {
  readonly operation: number;
  readonly path: Buffer;
  readonly second: Buffer;
  readonly offset: number;
  readonly length: number;
  readonly mode: number;
  /** The data frames, as windows on the guest memory. */
  readonly data: readonly Uint8Array[];
}

const CHANGES: ReadonlySet<number> = new Set([
  FOLDER_OPERATION.WRITE,
  FOLDER_OPERATION.CREATE,
  FOLDER_OPERATION.MKDIR,
  FOLDER_OPERATION.UNLINK,
  FOLDER_OPERATION.RMDIR,
  FOLDER_OPERATION.RENAME,
  FOLDER_OPERATION.SYMLINK,
  FOLDER_OPERATION.CHMOD,
  FOLDER_OPERATION.TRUNCATE,
  FOLDER_OPERATION.UTIMES,
]);

export class HostFolders {
  readonly #folders: readonly { readonly root: string; readonly readOnly: boolean }[];
  readonly #fdPaths: boolean = hasFdPaths();

  constructor(folders: readonly GrantedFolder[]) {
    this.#folders = folders.map(({ path, readOnly }) => ({ root: realpathSync(path), readOnly }));
  }

  /** Carries out the request at word `at` of the heap; a count, 0, or −errno. Throws nothing. */
  serve(words: Int32Array<SharedArrayBuffer>, memory: Uint8Array<SharedArrayBuffer>, at: number): number {
    try {
      const folder = this.#folders[words[at + IO_REQUEST.device]!];
      if (folder === undefined) return -errno.ENXIO.code;
      const request = readRequest(words, memory, at);
      if (folder.readOnly && CHANGES.has(request.operation)) return -errno.EROFS.code;
      return this.#carryOut(folder.root, request);
    } catch (error) {
      return -codeOf(error);
    }
  }

  #carryOut(root: string, request: Request): number {
    const { operation, path } = request;
    if (operation === FOLDER_OPERATION.RENAME) return this.#rename(root, request);
    return this.#within(root, path, (name, isRoot) => {
      switch (operation) {
        case FOLDER_OPERATION.LOOKUP:
          return putAttributes(request, name, isRoot);
        case FOLDER_OPERATION.LIST:
          return this.#list(name, isRoot, request);
        case FOLDER_OPERATION.READLINK:
          return putBytes(request, readlinkSync(name, { encoding: "buffer" }));
        case FOLDER_OPERATION.READ:
          return withFile(name, constants.O_RDONLY, (fd) => readInto(fd, request));
        case FOLDER_OPERATION.WRITE:
          return withFile(name, constants.O_WRONLY | (request.offset < 0 ? constants.O_APPEND : 0), (fd) =>
            writeFrom(fd, request),
          );
        case FOLDER_OPERATION.TRUNCATE:
          return withFile(name, constants.O_WRONLY, (fd) => (ftruncateSync(fd, request.offset), 0));
        default:
          return change(name, isRoot, request);
      }
    });
  }

  #rename(root: string, request: Request): number {
    return this.#within(root, request.path, (from, fromRoot) =>
      this.#within(root, request.second, (to, toRoot) => {
        if (fromRoot || toRoot) throw errno.EBUSY;
        renameSync(from, to);
        return 0;
      }),
    );
  }

  /** Opens the directory of a path's last name and calls `work` with a path for that name. */
  #within(root: string, path: Buffer, work: (name: Buffer, isRoot: boolean) => number): number {
    const names = namesOf(path);
    return this.#fdPaths ? withinByDescriptor(root, names, work) : withinByPath(root, names, work);
  }

  /** Entries from number `offset` on, in the order of their bytes. */
  #list(name: Buffer, isRoot: boolean, request: Request): number {
    const inside = (path: Buffer): number => {
      const entries = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
      const out = Buffer.alloc(request.data.length * FRAME_BYTES);
      let used = 0;
      for (const entry of entries.slice(request.offset)) {
        if (entry.length > 255 || used + FOLDER_ENTRY_HEAD + entry.length > out.length) break;
        const [ino, type] = inodeOf(Buffer.concat([path, Buffer.from("/"), entry]));
        out.writeUInt32LE(ino, used);
        out[used + 4] = type;
        out[used + 5] = entry.length;
        entry.copy(out, used + FOLDER_ENTRY_HEAD);
        used += FOLDER_ENTRY_HEAD + entry.length;
      }
      return putBytes(request, out.subarray(0, used));
    };
    if (isRoot || !this.#fdPaths) {
      if (!isRoot && !lstatSync(name).isDirectory()) throw errno.ENOTDIR;
      return inside(name);
    }
    const fd = openSync(name, DIRECTORY | NO_FOLLOW);
    try {
      return inside(Buffer.from(`${FD_DIRECTORY}/${fd}`));
    } finally {
      closeSync(fd);
    }
  }
}

function readRequest(
  words: Int32Array<SharedArrayBuffer>,
  memory: Uint8Array<SharedArrayBuffer>,
  at: number,
): Request {
  const argument = (index: number): number => words[at + IO_REQUEST.arguments + index]!;
  const count = Math.min(words[at + IO_REQUEST.count]!, 1 + FOLDER_DATA_BYTES / FRAME_BYTES);
  const frame = (index: number): Uint8Array => {
    const start = (words[at + IO_REQUEST.frames + index]! >>> 0) * FRAME_BYTES;
    return memory.subarray(start, start + FRAME_BYTES);
  };
  const paths = frame(0);
  const pathLength = Math.min(FOLDER_PATH_BYTES, argument(FOLDER_ARGUMENT.pathLength));
  const secondLength = Math.min(FOLDER_PATH_BYTES, argument(FOLDER_ARGUMENT.secondLength));
  return {
    operation: argument(FOLDER_ARGUMENT.operation),
    path: Buffer.from(paths.slice(0, pathLength)),
    second: Buffer.from(paths.slice(FOLDER_PATH_BYTES, FOLDER_PATH_BYTES + secondLength)),
    offset: argument(FOLDER_ARGUMENT.offset + 1) * 2 ** 32 + (argument(FOLDER_ARGUMENT.offset) >>> 0),
    length: argument(FOLDER_ARGUMENT.length),
    mode: argument(FOLDER_ARGUMENT.mode) & 0o777,
    data: Array.from({ length: Math.max(0, count - 1) }, (_, i) => frame(i + 1)),
  };
}

/** The names of a path. EINVAL for what the kernel never sends. */
function namesOf(path: Buffer): Buffer[] {
  if (path.length === 0) return [];
  const names: Buffer[] = [];
  for (let start = 0; start <= path.length; ) {
    const slash = path.indexOf(0x2f, start);
    const end = slash < 0 ? path.length : slash;
    const name = path.subarray(start, end);
    const isDots = name.equals(Buffer.from(".")) || name.equals(Buffer.from(".."));
    if (name.length === 0 || isDots || name.includes(0)) throw errno.EINVAL;
    // Where these separate or end names too, such a name would be several.
    if (process.platform === "win32" && (name.includes(0x5c) || name.includes(0x3a))) throw errno.EINVAL;
    names.push(name);
    start = end + 1;
  }
  return names;
}

type Work = (name: Buffer, isRoot: boolean) => number;

function withinByDescriptor(root: string, names: readonly Buffer[], work: Work): number {
  let fd = openSync(root, DIRECTORY | NO_FOLLOW | O_PATH);
  try {
    for (const name of names.slice(0, -1)) {
      const next = openSync(under(fd, name), DIRECTORY | NO_FOLLOW | O_PATH);
      closeSync(fd);
      fd = next;
    }
    const last = names.at(-1);
    return last === undefined
      ? work(Buffer.from(`${FD_DIRECTORY}/${fd}/.`), true)
      : work(under(fd, last), false);
  } finally {
    closeSync(fd);
  }
}

const under = (fd: number, name: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${FD_DIRECTORY}/${fd}/`), name]);

function withinByPath(root: string, names: readonly Buffer[], work: Work): number {
  let at = Buffer.from(root);
  for (const name of names.slice(0, -1)) {
    at = Buffer.concat([at, Buffer.from("/"), name]);
    const stat = lstatSync(at);
    if (stat.isSymbolicLink()) throw errno.ELOOP;
    if (!stat.isDirectory()) throw errno.ENOTDIR;
  }
  const check = (): void => {
    if (!realpathSync(at, { encoding: "buffer" }).equals(at)) throw errno.EXDEV;
  };
  check();
  const last = names.at(-1);
  const result =
    last === undefined ? work(at, true) : work(Buffer.concat([at, Buffer.from("/"), last]), false);
  check();
  return result;
}

/** Opens a regular file without following a link and without waiting. */
function withFile(name: Buffer, flags: number, work: (fd: number) => number): number {
  if (!lstatSync(name).isFile()) throw lstatSync(name).isDirectory() ? errno.EISDIR : errno.EACCES;
  const fd = openSync(name, flags | NO_FOLLOW | NONBLOCK);
  try {
    if (!fstatSync(fd).isFile()) throw errno.EACCES;
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

function readInto(fd: number, request: Request): number {
  let done = 0;
  for (const frame of request.data) {
    const want = Math.min(FRAME_BYTES, request.length - done);
    if (want <= 0) break;
    const got = readSync(fd, frame, 0, want, request.offset + done);
    done += got;
    if (got < want) break;
  }
  return done;
}

function writeFrom(fd: number, request: Request): number {
  let done = 0;
  for (const frame of request.data) {
    const want = Math.min(FRAME_BYTES, request.length - done);
    if (want <= 0) break;
    const got = writeSync(fd, frame, 0, want, request.offset < 0 ? null : request.offset + done);
    done += got;
    if (got < want) break;
  }
  return done;
}

/** Changes of names and attributes. */
function change(name: Buffer, isRoot: boolean, request: Request): number {
  if (request.operation === FOLDER_OPERATION.CHMOD) {
    setMode(name, isRoot, request.mode);
    return 0;
  }
  if (request.operation === FOLDER_OPERATION.UTIMES) {
    const times = new Float64Array(request.data[0]!.slice(0, 32).buffer);
    lutimesSync(name, times[0]! + times[1]! / 1e9, times[2]! + times[3]! / 1e9);
    return 0;
  }
  if (isRoot) throw errno.EBUSY;
  switch (request.operation) {
    case FOLDER_OPERATION.CREATE: {
      const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | NO_FOLLOW;
      closeSync(openSync(name, flags, request.mode));
      return putAttributes(request, name, false);
    }
    case FOLDER_OPERATION.MKDIR:
      mkdirSync(name, request.mode);
      return putAttributes(request, name, false);
    case FOLDER_OPERATION.SYMLINK:
      symlinkSync(request.second, name);
      return putAttributes(request, name, false);
    case FOLDER_OPERATION.UNLINK:
      unlinkSync(name);
      return 0;
    case FOLDER_OPERATION.RMDIR:
      rmdirSync(name);
      return 0;
    default:
      throw errno.EINVAL;
  }
}

function setMode(name: Buffer, isRoot: boolean, mode: number): void {
  if (isRoot) {
    chmodSync(name, mode);
    return;
  }
  const stat = lstatSync(name);
  if (!stat.isFile() && !stat.isDirectory()) throw errno.EOPNOTSUPP;
  const fd = openSync(name, constants.O_RDONLY | NO_FOLLOW | NONBLOCK);
  try {
    fchmodSync(fd, mode);
  } finally {
    closeSync(fd);
  }
}

function putAttributes(request: Request, name: Buffer, isRoot: boolean): number {
  const stat = lstatSync(name, { bigint: true });
  const values = new Float64Array(FOLDER_ATTRIBUTE.COUNT);
  const time = (index: number, ns: bigint): void => {
    const seconds = ns / 1_000_000_000n;
    values[index] = Number(seconds);
    values[index + 1] = Number(ns - seconds * 1_000_000_000n);
  };
  values[FOLDER_ATTRIBUTE.mode] = Number(stat.mode);
  values[FOLDER_ATTRIBUTE.size] = Number(stat.size);
  values[FOLDER_ATTRIBUTE.links] = Number(stat.nlink);
  values[FOLDER_ATTRIBUTE.ino] = Number(stat.ino);
  time(FOLDER_ATTRIBUTE.mtime, stat.mtimeNs);
  time(FOLDER_ATTRIBUTE.atime, stat.atimeNs);
  time(FOLDER_ATTRIBUTE.ctime, stat.ctimeNs);
  if (isRoot && !stat.isDirectory()) throw errno.ENOTDIR;
  return Math.min(0, putBytes(request, Buffer.from(values.buffer)));
}

/** Copies bytes into the data frames; ERANGE if they do not fit. */
function putBytes(request: Request, bytes: Buffer): number {
  if (bytes.length > request.data.length * FRAME_BYTES) throw errno.ERANGE;
  for (let i = 0; i * FRAME_BYTES < bytes.length; i++) {
    request.data[i]!.set(bytes.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES));
  }
  return bytes.length;
}

/** Low part of the inode number, and d_type. */
function inodeOf(path: Buffer): readonly [ino: number, type: number] {
  try {
    const stat = lstatSync(path, { bigint: true });
    return [Number(stat.ino & 0xffff_ffffn), Number((stat.mode & 0o170000n) >> 12n)];
  } catch {
    // Removed since it was listed.
    return [1, 0];
  }
}

function codeOf(error: unknown): number {
  const code = (error as { code?: unknown }).code;
  if (typeof code === "number") return code;
  if (typeof code === "string" && code in errno) return errno[code as ErrnoName].code;
  return errno.EIO.code;
}
