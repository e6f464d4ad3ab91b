/** Opening files (open(2), openat2(2)). */

import { errno } from "../../base/errno.ts";
import { encodeUtf8 } from "../../base/text.ts";
import { each } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import { createFile, File, FILE_KINDS, type FileKindName, registerNameRelease } from "../../kernel/file.ts";
import { auth } from "../auth/auth.ts";
import { MAY } from "../auth/permission.ts";
import { dropAfterCommit } from "../server.ts";
import { IN } from "./inotify.ts";
import { tellOf } from "./notify.ts";
import { setSize, NO_LIMIT } from "./contents.ts";
import { createIn, createOwned, needDirectoryWrite, needNames, needWritable } from "./create.ts";
import { foreignOf } from "./foreign.ts";
import { createRemovedEntry, holdEntry, holdInode, uncache } from "./entries.ts";
import {
  ENDS,
  isDirectory,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "./inodes.ts";
import { lookUpEntry } from "./lookup.ts";
import { holdMount, MS } from "./mounts.ts";
import { isName, nameOf } from "./names.ts";
import { O, O_EXEC_DENY, wantsRead, wantsWrite } from "./open-flags.ts";
import { Dirent, FILE_SYSTEM, FileSystem, FsContext, Inode, Mount, VfsState } from "./records.ts";
import { needResizable } from "./seals.ts";
import { lockVfs } from "./state.ts";
import { NamelessFile, type Place, pathBytes, Walk } from "./walk.ts";

/**
 * The word `detail` of a file of kind "inode" or "directory": what its release ends for the inode (ENDS), and
 * above these bits the record of its flock, if it holds one.
 */
export const ENDS_MASK = 15;

/** Flags that only concern the opening and are not kept in the file. */
const CREATION = O.CREAT | O.EXCL | O.NOCTTY | O.TRUNC | O.CLOEXEC | O_EXEC_DENY;

/**
 * What a server does when a special file of its kind is opened: it may set the file's kind, object and detail,
 * wait, or refuse. Runs last, with the vfs lock held; the file has been made and holds its inode.
 */
export type Opener = (tx: Transaction, file: File, inode: Inode, flags: number) => void;

const openers = new Map<string, Opener>();

/** Says who opens FIFOs ("fifo"), or character devices of a major number ("char 5"). Once for each. */
export function registerOpener(what: string, opener: Opener): void {
  openers.set(what, opener);
}

/** How a file of this place is opened in generated file systems: its kind, by file system. */
const kindOfGenerated = new Map<number, FileKindName>();
export function registerOpenKind(fileSystemKind: number, kind: FileKindName): void {
  kindOfGenerated.set(fileSystemKind, kind);
}

/**
 * Opens again a file without a name, that /proc/PID/fd has led to: a new open file of the same pipe or
 * terminal, with flags of its own.
 */
export type Reopener = (tx: Transaction, file: File, flags: number) => File;
const reopeners = new Map<string, Reopener>();

/** Says how files of a kind are opened again. Once for each kind. */
export function registerReopener(kind: FileKindName, reopener: Reopener): void {
  reopeners.set(kind, reopener);
}

export function open(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  flags: number,
  mode: number,
  resolve: number,
): File {
  try {
    return openNamed(tx, context, credentials, base, path, length, flags, mode, resolve);
  } catch (error) {
    if (!(error instanceof NamelessFile)) throw error;
    const reopener = reopeners.get(FILE_KINDS[File.kind.get(tx, error.file)] ?? "none");
    if (reopener === undefined) throw errno.ENXIO;
    return reopener(tx, error.file, flags & ~CREATION);
  }
}

function openNamed(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  flags: number,
  mode: number,
  resolve: number,
): File {
  const walk = new Walk(tx, context, credentials, base, resolve);
  walk.tellsFiles = true;
  const bytes = pathBytes(tx, path, length);
  if ((flags & O.TMPFILE) === O.TMPFILE) return openUnnamed(walk, context, bytes, flags, mode);
  const exclusive = (flags & (O.CREAT | O.EXCL)) === (O.CREAT | O.EXCL);
  const follow = (flags & O.NOFOLLOW) === 0 && !exclusive;
  if ((flags & O.CREAT) === 0) {
    if (length === 0) throw errno.ENOENT;
    return openPlace(walk, walk.toEnd(bytes, follow), flags, false);
  }
  const first = walk.toLast(bytes);
  const { found, last } = walk.finishOrWhere(first, follow);
  if (found) {
    if (exclusive) throw errno.EEXIST;
    if (last.slash || isName(last.name, ".") || isName(last.name, "..") || last.name.length === 0)
      throw errno.EISDIR;
    if ((Inode.mode.get(tx, walk.inode) & S_IFMT) === S_IFDIR) throw errno.EISDIR;
    return openPlace(walk, walk.at, flags, false);
  }
  if (last.slash) throw errno.EISDIR;
  if (Inode.links.get(tx, last.directory) === 0) throw errno.ENOENT;
  needWritable(tx, last.mount);
  needNamesToCreate(tx, last.directory);
  needDirectoryWrite(tx, credentials, last.directory);
  const bits = S_IFREG | (mode & 0o7777 & ~FsContext.umask.get(tx, context));
  const { entry } = createIn(tx, credentials, last, bits, 0);
  return openPlace(walk, { mount: last.mount, entry }, flags & ~O.TRUNC, true);
}

function needNamesToCreate(tx: Transaction, directory: Inode): void {
  // proc says ENOENT to the creation of a file, not EPERM.
  if (FileSystem.kind.get(tx, Inode.fileSystem.get(tx, directory)) === FILE_SYSTEM.PROC) throw errno.ENOENT;
  needNames(tx, directory);
}

/** O_TMPFILE: a file without a name in a directory's file system. */
function openUnnamed(
  walk: Walk,
  context: FsContext,
  bytes: { source: Uint8Array; start: number; length: number },
  flags: number,
  mode: number,
): File {
  const { tx, credentials } = walk;
  if (!wantsWrite(flags)) throw errno.EINVAL;
  const place = walk.toEnd(bytes, true);
  const directory = walk.inode;
  walk.needDirectory(directory);
  needWritable(tx, place.mount);
  needNames(tx, directory);
  needDirectoryWrite(tx, credentials, directory);
  if (foreignOf(tx, directory) !== undefined) throw errno.EOPNOTSUPP;
  const bits = S_IFREG | (mode & 0o7777 & ~FsContext.umask.get(tx, context));
  const inode = createOwned(tx, credentials, directory, bits, 0);
  Inode.writers.init(tx, inode, 1);
  const name = nameOf(encodeUtf8(`#${Inode.ino.get(tx, inode)}`));
  const entry = createRemovedEntry(tx, directory, name, inode);
  return makeFile(
    tx,
    credentials,
    { mount: place.mount, entry },
    inode,
    "inode",
    flags & ~O.TMPFILE,
    ENDS.WRITER,
  );
}

/**
 * Opens the node of terminal `index` in devpts, whoever may open it by name (TIOCGPTPEER); none if no devpts is
 * mounted or has it. The first of several mounts is taken, as its names are the same in all.
 */
export function openTerminal(tx: Transaction, credentials: Credentials, index: number, flags: number): File {
  const state = lockVfs(tx);
  for (const mount of each(tx, VfsState.mounts, state, Mount.links)) {
    if (FileSystem.kind.get(tx, Mount.fileSystem.get(tx, mount)) !== FILE_SYSTEM.PTS) continue;
    const directory = Dirent.inode.get(tx, Mount.root.get(tx, mount));
    if (!isDirectory(tx, directory)) continue;
    const entry = lookUpEntry(tx, directory, nameOf(encodeUtf8(`${index}`)));
    if (entry === 0) return none();
    return makeFile(tx, credentials, { mount, entry }, Dirent.inode.get(tx, entry), "device", flags, 0);
  }
  return none();
}

/** Opens what the walk has found. `created`: just now, so that its mode does not matter. */
function openPlace(walk: Walk, place: Place, flags: number, created: boolean): File {
  const { tx, credentials } = walk;
  const inode = Dirent.inode.get(tx, place.entry);
  const mode = Inode.mode.get(tx, inode);
  const type = mode & S_IFMT;
  if ((flags & O.DIRECTORY) !== 0 && type !== S_IFDIR) throw errno.ENOTDIR;
  if ((flags & O.PATH) !== 0) {
    return makeFile(tx, credentials, place, inode, "path", flags & (O.PATH | O.DIRECTORY | O.NOFOLLOW), 0);
  }
  if (type === S_IFLNK) throw errno.ELOOP;
  if (type === S_IFSOCK) throw errno.ENXIO;
  const write = wantsWrite(flags) || (flags & O.TRUNC) !== 0;
  if (type === S_IFDIR && write) throw errno.EISDIR;
  if ((flags & O_EXEC_DENY) !== 0 && type !== S_IFREG) throw errno.EACCES;
  if (!created) needAccess(tx, credentials, place.mount, inode, mode, flags);
  if (write && (type === S_IFREG || type === S_IFDIR)) needWritable(tx, place.mount);
  if ((flags & O.NOATIME) !== 0 && auth.isOwner(tx, credentials, Inode.uid.get(tx, inode)) === 0)
    throw errno.EPERM;
  if (type === S_IFCHR || type === S_IFBLK) {
    if ((Mount.flags.get(tx, place.mount) & MS.NODEV) !== 0) throw errno.EACCES;
  }
  // A new inode is nobody else's yet; its directory's lock is held and may rank behind its own.
  if (!created) Inode.lock.acquire(tx, inode);
  let ends = 0;
  const kind = kindFor(tx, inode, type);
  if (kind === "host" && (flags & O.TRUNC) !== 0) foreignOf(tx, inode)?.setSize(tx, inode, 0);
  if (kind === "inode") {
    // Files that are made as they are read have no contents that a writer could disturb.
    const fileWrite = wantsWrite(flags) && kindFor(tx, inode, type) === "inode";
    if ((flags & O_EXEC_DENY) !== 0) {
      if (Inode.writers.get(tx, inode) > 0) throw errno.ETXTBSY;
      Inode.denials.set(tx, inode, Inode.denials.get(tx, inode) + 1);
      ends = ENDS.DENIAL;
    }
    if (write && Inode.denials.get(tx, inode) > 0) throw errno.ETXTBSY;
    if (fileWrite) {
      Inode.writers.set(tx, inode, Inode.writers.get(tx, inode) + 1);
      ends |= ENDS.WRITER;
    }
    // A large file is cut in parts by later calls of open or read, before anybody can see it: see Contents.
    if ((flags & O.TRUNC) !== 0) {
      needResizable(tx, inode, 0);
      truncateAtOpen(tx, inode);
    }
  }
  return makeFile(tx, credentials, place, inode, kind, flags, ends);
}

/**
 * O_TRUNC. A file with more pages than one transaction may cut loses the rest with its old page index, which
 * goes to an inode without a name, whose end frees it in parts.
 */
function truncateAtOpen(tx: Transaction, inode: Inode): void {
  if (setSize(tx, inode, 0, NO_LIMIT) === 0) return;
  detachPages(tx, inode);
  setSize(tx, inode, 0, NO_LIMIT);
}

/** Moves all pages of a file to an unnamed inode that ends with the commit. */
function detachPages(tx: Transaction, inode: Inode): void {
  const grave = Inode.allocate(tx);
  const fileSystem = Inode.fileSystem.get(tx, inode);
  FileSystem.inodes.set(tx, fileSystem, FileSystem.inodes.get(tx, fileSystem) + 1);
  Inode.fileSystem.init(tx, grave, fileSystem);
  Inode.references.init(tx, grave, 1);
  Inode.pages.init(tx, grave, Inode.pages.get(tx, inode));
  Inode.pageCount.init(tx, grave, Inode.pageCount.get(tx, inode));
  Inode.pages.set(tx, inode, 0 as never);
  Inode.pageCount.set(tx, inode, 0);
  dropAfterCommit(tx, grave);
}

function needAccess(
  tx: Transaction,
  credentials: Credentials,
  mount: Mount,
  inode: Inode,
  mode: number,
  flags: number,
): void {
  let wanted = 0;
  if ((flags & O_EXEC_DENY) !== 0) {
    if ((Mount.flags.get(tx, mount) & MS.NOEXEC) !== 0) throw errno.EACCES;
    wanted = MAY.EXECUTE;
  } else {
    if (wantsRead(flags)) wanted |= MAY.READ;
    if (wantsWrite(flags) || (flags & O.TRUNC) !== 0) wanted |= MAY.WRITE;
  }
  const uid = Inode.uid.get(tx, inode);
  const gid = Inode.gid.get(tx, inode);
  if (auth.mayAccess(tx, credentials, uid, gid, mode, wanted) === 0) throw errno.EACCES;
}

function kindFor(tx: Transaction, inode: Inode, type: number): FileKindName {
  if (type === S_IFDIR) return "directory";
  if (type === S_IFIFO) return "fifo";
  if (type === S_IFCHR || type === S_IFBLK) return "device";
  return kindOfGenerated.get(FileSystem.kind.get(tx, Inode.fileSystem.get(tx, inode))) ?? "inode";
}

/** The open file, holding what it refers to; special files are handed to their opener. */
export function makeFile(
  tx: Transaction,
  credentials: Credentials,
  place: Place,
  inode: Inode,
  kind: FileKindName,
  flags: number,
  ends: number,
): File {
  const file = createFile(tx, kind, inode, flags & ~CREATION);
  File.inode.init(tx, file, inode);
  File.mount.init(tx, file, place.mount);
  File.entry.init(tx, file, place.entry);
  File.credentials.init(tx, file, credentials);
  File.detail.init(tx, file, ends);
  holdInode(tx, inode);
  holdMount(tx, place.mount);
  holdEntry(tx, place.entry);
  uncache(tx, place.entry);
  // Before openers, whose locks rank later. A program that is executed is opened, and read, in silence.
  if (kind !== "path" && (flags & O_EXEC_DENY) === 0) {
    tellOf(tx, place.entry, IN.OPEN);
    if (kind === "inode" && (flags & O.TRUNC) !== 0) tellOf(tx, place.entry, IN.MODIFY);
  }
  if (kind === "fifo") {
    const opener = openers.get("fifo");
    if (opener === undefined) throw errno.ENXIO;
    opener(tx, file, inode, flags);
  } else if (kind === "device") {
    const rdev = Inode.rdev.get(tx, inode);
    const major = (rdev >>> 8) & 0xfff;
    const character = (Inode.mode.get(tx, inode) & S_IFMT) === S_IFCHR;
    const opener = openers.get(character ? `char ${major}` : `block ${major}`);
    if (opener === undefined) throw errno.ENXIO;
    opener(tx, file, inode, flags);
  }
  // Last of all, since the auth lock ranks behind those that openers take.
  auth.hold(tx, credentials);
  return file;
}

/** What an open file of any kind with a name holds is given up. */
registerNameRelease((tx, file) => {
  const kind = FILE_KINDS[File.kind.get(tx, file)];
  const detail = kind === "inode" || kind === "directory" ? File.detail.get(tx, file) : 0;
  // Steps are done in this order: locks go while the inode is still held, and the file's record last of all.
  if (File.ownsLocks.get(tx, file) !== 0) dropAfterCommit(tx, file);
  dropAfterCommit(tx, detail & ~ENDS_MASK);
  dropAfterCommit(tx, File.inode.get(tx, file), detail & ENDS_MASK);
  dropAfterCommit(tx, File.entry.get(tx, file));
  dropAfterCommit(tx, File.mount.get(tx, file));
  dropAfterCommit(tx, File.credentials.get(tx, file));
});
