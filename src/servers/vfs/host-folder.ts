/**
 * Granted host folders: names, attributes and contents come from the host, one question each (folder-call.ts),
 * and nothing is kept but what is in use.
 *
 * All in a folder appears to belong to the owner that the grant declares, with the host's permission bits. What
 * the host sends is checked like anything from outside. Symbolic links are shown as they are and lead wherever
 * they lead in the guest's own namespace; the host never follows one. There are no hard links to be made, no
 * devices, no changes of owner, and a file that is removed is gone for those who have it open (ESTALE).
 */

import { errno } from "../../base/errno.ts";
import {
  FOLDER_ATTRIBUTE,
  FOLDER_DATA_BYTES,
  FOLDER_ENTRY_HEAD,
  FOLDER_OPERATION,
} from "../../base/host-folder-io.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File, type FileKind, POLL, registerFileKind } from "../../kernel/file.ts";
import { bytesFromSegments, copyToSegments } from "../../kernel/request.ts";
import { type DirentWriter, registerGeneratedListing } from "./directory.ts";
import { findEntry, nameOfEntry } from "./entries.ts";
import { seekTo } from "./file-kinds.ts";
import { askFolder, type FolderAnswer } from "./folder-call.ts";
import { registerForeign } from "./foreign.ts";
import { forgetGenerated, generatedEntry } from "./generated.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "./inodes.ts";
import { registerGeneratedLinks } from "./links.ts";
import { registerGeneratedNames } from "./lookup.ts";
import { addMount, createMemoryFileSystem, MS } from "./mounts.ts";
import { type NameBytes, nameOf, NAME_MAX } from "./names.ts";
import { O, wantsRead, wantsWrite } from "./open-flags.ts";
import { registerOpenKind } from "./open.ts";
import { allocateFrame, copyFrame } from "./page-frames.ts";
import { directoryAt } from "./boot.ts";
import { Dirent, DIRENT, FILE_SYSTEM, FileSystem, Inode, VfsState } from "./records.ts";
import { registerRefresh } from "./stat.ts";
import { lockInAnyOrder, lockVfs, stateOf } from "./state.ts";

const SLASH = 0x2f;

/** The path of an inode in its folder, as bytes: names joined by "/". ESTALE if it has none any more. */
function pathOf(tx: Transaction, inode: Inode, name?: NameBytes): Uint8Array {
  const names: NameBytes[] = name === undefined ? [] : [name];
  let entry =
    Inode.object.get(tx, inode) === 0 ? Inode.entry.get(tx, inode) : (Inode.object.get(tx, inode) as Dirent);
  while (entry !== 0 && (Dirent.flags.get(tx, entry) & DIRENT.ROOT) === 0) {
    if ((Dirent.flags.get(tx, entry) & DIRENT.DELETED) !== 0) throw errno.ESTALE;
    names.push(nameOfEntry(tx, entry));
    entry = Inode.entry.get(tx, Dirent.directory.get(tx, entry));
  }
  if (entry === 0) throw errno.ESTALE;
  const path = new Uint8Array(names.reduce((sum, each) => sum + each.length + 1, 0));
  let at = 0;
  for (const each of names.reverse()) {
    path.set(each.source.subarray(each.start, each.start + each.length), at);
    at += each.length;
    path[at++] = SLASH;
  }
  return path.subarray(0, Math.max(0, at - 1));
}

interface HostAttributes {
  readonly mode: number;
  readonly size: number;
  readonly links: number;
  readonly ino: number;
  readonly times: readonly number[];
}

/** The attributes of an answer, as far as they can be right. EIO for what cannot. */
function readAttributes(tx: Transaction, answer: FolderAnswer): HostAttributes {
  const at = answer.frames[0];
  if (at === undefined) throw errno.EIO;
  const view = new DataView(tx.memoryBytes.slice(at, at + FOLDER_ATTRIBUTE.COUNT * 8).buffer);
  const value = (index: number): number => view.getFloat64(index * 8, true);
  const whole = (index: number): number => {
    const number = value(index);
    if (!Number.isSafeInteger(number)) throw errno.EIO;
    return number;
  };
  const mode = whole(FOLDER_ATTRIBUTE.mode);
  const type = mode & S_IFMT;
  if (type !== S_IFREG && type !== S_IFDIR && type !== S_IFLNK) throw errno.EACCES;
  const size = whole(FOLDER_ATTRIBUTE.size);
  if (size < 0) throw errno.EIO;
  const first = FOLDER_ATTRIBUTE.mtime;
  const times = Array.from({ length: 6 }, (_, i) => whole(first + i));
  return {
    // Neither set-uid nor devices come from the host.
    mode: type | (mode & 0o777),
    size,
    links: Math.max(1, Math.min(whole(FOLDER_ATTRIBUTE.links), 65000)),
    ino: value(FOLDER_ATTRIBUTE.ino),
    times,
  };
}

/** What the host tells is guarded by the vfs lock alone: a walk meets inodes in any order. */
function setAttributes(tx: Transaction, inode: Inode, a: HostAttributes): void {
  Inode.mode.set(tx, inode, a.mode);
  Inode.size.set(tx, inode, a.size);
  Inode.links.set(tx, inode, a.links);
  const [mtime, mtimeNanos, atime, atimeNanos, ctime, ctimeNanos] = a.times;
  Inode.mtime.set(tx, inode, mtime!);
  Inode.mtimeNanos.set(tx, inode, mtimeNanos!);
  Inode.atime.set(tx, inode, atime!);
  Inode.atimeNanos.set(tx, inode, atimeNanos!);
  Inode.ctime.set(tx, inode, ctime!);
  Inode.ctimeNanos.set(tx, inode, ctimeNanos!);
}

const systemOf = (tx: Transaction, inode: Inode): FileSystem => Inode.fileSystem.get(tx, inode);

/** The entry of a name whose attributes the host has just told. */
function entryOf(tx: Transaction, directory: Inode, name: NameBytes, answer: FolderAnswer): Dirent {
  const attributes = readAttributes(tx, answer);
  const fileSystem = systemOf(tx, directory);
  const uid = FileSystem.ownerUid.get(tx, fileSystem);
  const gid = FileSystem.ownerGid.get(tx, fileSystem);
  const low = attributes.ino >>> 0;
  const high = ((Math.floor(attributes.ino / 2 ** 32) ^ (attributes.mode & S_IFMT)) | 1) >>> 0;
  const known = findEntry(tx, directory, name);
  if (known !== 0) {
    const inode = Dirent.inode.get(tx, known);
    if (Inode.detail.get(tx, inode) === low && Inode.subject.get(tx, inode) === high) {
      setAttributes(tx, inode, attributes);
      return known;
    }
  }
  const identity = { detail: low, subject: high, object: known };
  const entry = generatedEntry(tx, directory, name, identity, { mode: attributes.mode, uid, gid, rdev: 0 });
  const inode = Dirent.inode.get(tx, entry);
  // What leads from the inode back to its name.
  Inode.object.set(tx, inode, entry);
  setAttributes(tx, inode, attributes);
  return entry;
}

registerGeneratedNames(FILE_SYSTEM.HOST, {
  lookUp(tx, directory, name) {
    const path = pathOf(tx, directory, name);
    const answer = askFolder(tx, systemOf(tx, directory), { operation: FOLDER_OPERATION.LOOKUP, path }, true);
    if (answer.result >= 0) return entryOf(tx, directory, name, answer);
    const known = findEntry(tx, directory, name);
    if (known !== 0) forgetGenerated(tx, known);
    return none();
  },
});

registerGeneratedLinks(FILE_SYSTEM.HOST, {
  read(tx, inode) {
    const question = { operation: FOLDER_OPERATION.READLINK, path: pathOf(tx, inode) };
    const answer = askFolder(tx, systemOf(tx, inode), question);
    if (answer.result > 4095) throw errno.EIO;
    return tx.memoryBytes.slice(answer.frames[0], answer.frames[0]! + answer.result);
  },
});

registerGeneratedListing(FILE_SYSTEM.HOST, {
  list(tx: Transaction, directory: Inode, from: number, writer: DirentWriter): boolean {
    let number = from - 2;
    const question = {
      operation: FOLDER_OPERATION.LIST,
      path: pathOf(tx, directory),
      offset: number,
      room: FOLDER_DATA_BYTES,
    };
    const answer = askFolder(tx, systemOf(tx, directory), question);
    const bytes = new Uint8Array(Math.min(answer.result, answer.frames.length * 4096));
    for (let i = 0; i * 4096 < bytes.length; i++) {
      const at = answer.frames[i]!;
      bytes.set(tx.memoryBytes.subarray(at, at + Math.min(4096, bytes.length - i * 4096)), i * 4096);
    }
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + FOLDER_ENTRY_HEAD <= bytes.length; number++) {
      const length = bytes[at + 5]!;
      if (length === 0 || length > NAME_MAX || at + FOLDER_ENTRY_HEAD + length > bytes.length)
        throw errno.EIO;
      const name = nameOf(bytes.subarray(at + FOLDER_ENTRY_HEAD, at + FOLDER_ENTRY_HEAD + length));
      if (!writer.add(view.getUint32(at, true), bytes[at + 4]!, name, 2 + number + 1)) return true;
      at += FOLDER_ENTRY_HEAD + length;
    }
    return false;
  },
});

registerForeign(FILE_SYSTEM.HOST, {
  create(tx, directory, name, mode, target) {
    const type = mode & S_IFMT;
    const path = pathOf(tx, directory, name);
    let operation: (typeof FOLDER_OPERATION)["CREATE" | "MKDIR" | "SYMLINK"];
    if (type === S_IFREG) operation = FOLDER_OPERATION.CREATE;
    else if (type === S_IFDIR) operation = FOLDER_OPERATION.MKDIR;
    else if (type === S_IFLNK) operation = FOLDER_OPERATION.SYMLINK;
    else throw errno.EPERM;
    const second =
      target === undefined ? undefined : target.source.slice(target.start, target.start + target.length);
    const question = { operation, path, mode: mode & 0o777, ...(second === undefined ? {} : { second }) };
    return entryOf(tx, directory, name, askFolder(tx, systemOf(tx, directory), question));
  },
  remove(tx, entry, isDirectory) {
    const inode = Dirent.inode.get(tx, entry);
    const operation = isDirectory ? FOLDER_OPERATION.RMDIR : FOLDER_OPERATION.UNLINK;
    askFolder(tx, systemOf(tx, inode), { operation, path: pathOf(tx, inode) });
    forgetGenerated(tx, entry);
  },
  rename(tx, entry, directory, name, victim) {
    const inode = Dirent.inode.get(tx, entry);
    const second = pathOf(tx, directory, name);
    const question = { operation: FOLDER_OPERATION.RENAME, path: pathOf(tx, inode), second };
    askFolder(tx, systemOf(tx, inode), question);
    forgetGenerated(tx, entry);
    if (victim !== 0) forgetGenerated(tx, victim);
  },
  setMode(tx, inode, mode) {
    const question = { operation: FOLDER_OPERATION.CHMOD, path: pathOf(tx, inode), mode: mode & 0o777 };
    askFolder(tx, systemOf(tx, inode), question);
  },
  setSize(tx, inode, size) {
    const question = { operation: FOLDER_OPERATION.TRUNCATE, path: pathOf(tx, inode), offset: size };
    askFolder(tx, systemOf(tx, inode), question);
    Inode.size.set(tx, inode, size);
  },
  setTimes(tx, inode, times) {
    const bytes = new Uint8Array(new Float64Array(times).buffer);
    const question = {
      operation: FOLDER_OPERATION.UTIMES,
      path: pathOf(tx, inode),
      data: (put: (data: Uint8Array) => void) => put(bytes),
    };
    askFolder(tx, systemOf(tx, inode), question);
  },
});

/** fstat of an open file, and stat of the folder itself: the host is asked anew. */
registerRefresh(FILE_SYSTEM.HOST, (tx, inode) => {
  lockVfs(tx);
  const answer = askFolder(tx, systemOf(tx, inode), {
    operation: FOLDER_OPERATION.LOOKUP,
    path: pathOf(tx, inode),
  });
  setAttributes(tx, inode, readAttributes(tx, answer));
});

const hostKind: FileKind = {
  name: "host",
  read(tx, file, length, offset) {
    if (!wantsRead(File.flags.get(tx, file))) throw errno.EBADF;
    const inode = File.inode.get(tx, file);
    lockVfs(tx);
    if (offset < 0) File.lock.acquire(tx, file);
    const position = offset < 0 ? File.position.get(tx, file) : offset;
    const count = Math.min(length, FOLDER_DATA_BYTES);
    if (count === 0) return 0;
    const path = pathOf(tx, inode);
    const question = { operation: FOLDER_OPERATION.READ, path, offset: position, length: count, room: count };
    const answer = askFolder(tx, systemOf(tx, inode), question);
    const got = Math.min(answer.result, count);
    for (let i = 0; i * 4096 < got; i++) {
      copyToSegments(tx, i * 4096, answer.frames[i]!, Math.min(4096, got - i * 4096));
    }
    if (offset < 0 && got > 0) File.position.set(tx, file, position + got);
    return got;
  },
  write(tx, file, length, offset) {
    if (!wantsWrite(File.flags.get(tx, file))) throw errno.EBADF;
    const inode = File.inode.get(tx, file);
    lockVfs(tx);
    if (offset < 0) File.lock.acquire(tx, file);
    const append = offset < 0 && (File.flags.get(tx, file) & O.APPEND) !== 0;
    const position = append ? -1 : offset < 0 ? File.position.get(tx, file) : offset;
    const count = Math.min(length, FOLDER_DATA_BYTES);
    if (count === 0) return 0;
    const bytes = new Uint8Array(count);
    bytesFromSegments(tx, 0, bytes);
    const question = {
      operation: FOLDER_OPERATION.WRITE,
      path: pathOf(tx, inode),
      offset: position,
      length: count,
      room: count,
      data: (put: (data: Uint8Array) => void) => put(bytes),
    };
    const written = Math.min(askFolder(tx, systemOf(tx, inode), question).result, count);
    if (offset < 0 && !append) File.position.set(tx, file, position + written);
    return written;
  },
  poll: () => POLL.IN | POLL.OUT | POLL.RDNORM | POLL.WRNORM,
  watchable: false,
  release: () => {},
  seek(tx, file, offset, whence) {
    if (whence !== 2) return seekTo(tx, file, offset, whence, 0);
    const inode = File.inode.get(tx, file);
    lockVfs(tx);
    const answer = askFolder(tx, systemOf(tx, inode), {
      operation: FOLDER_OPERATION.LOOKUP,
      path: pathOf(tx, inode),
    });
    return seekTo(tx, file, offset, whence, readAttributes(tx, answer).size);
  },
  /** A private copy of the page as it is now: mappings of host files are not coherent with the host. */
  page(tx, file, index, forWrite) {
    if (forWrite) throw errno.EACCES;
    const inode = File.inode.get(tx, file);
    const { word, rank } = VfsState.lock;
    lockInAnyOrder(tx, stateOf(tx) + word, rank, FileSystem.arrived.at(systemOf(tx, inode), 0));
    const question = {
      operation: FOLDER_OPERATION.READ,
      path: pathOf(tx, inode),
      offset: index * 4096,
      length: 4096,
      room: 4096,
    };
    const answer = askFolder(tx, systemOf(tx, inode), question);
    if (answer.result === 0) return 0;
    const frame = allocateFrame(tx);
    copyFrame(tx, frame, answer.frames[0]! / 4096);
    const end = (frame + 1) * 4096;
    if (answer.result < 4096) tx.memoryBytes.fill(0, frame * 4096 + answer.result, end);
    return frame;
  },
};
registerFileKind(hostKind);
registerOpenKind(FILE_SYSTEM.HOST, "host");

/**
 * Mounts granted folder number `folder` at the absolute guest path `path`, making directories on the way. At
 * boot; may throw WOULD_BLOCK.
 */
export function mountHostFolder(
  tx: Transaction,
  folder: number,
  path: string,
  readOnly: boolean,
  uid: number,
  gid: number,
): void {
  const state = lockVfs(tx);
  const at = directoryAt(
    tx,
    state,
    path.split("/").filter((name) => name !== "" && name !== "."),
  );
  const fileSystem = createMemoryFileSystem(tx, state, FILE_SYSTEM.HOST, 0o755);
  const root = FileSystem.root.get(tx, fileSystem);
  FileSystem.folder.init(tx, fileSystem, folder);
  FileSystem.ownerUid.init(tx, fileSystem, uid);
  FileSystem.ownerGid.init(tx, fileSystem, gid);
  Inode.uid.init(tx, root, uid);
  Inode.gid.init(tx, root, gid);
  const flags = MS.NOSUID | MS.NODEV | (readOnly ? MS.RDONLY : 0);
  addMount(tx, state, fileSystem, FileSystem.rootEntry.get(tx, fileSystem), at, flags);
}
