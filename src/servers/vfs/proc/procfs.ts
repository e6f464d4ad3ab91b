/**
 * procfs: names, links and contents made from the table (tree.ts) and from what the source tells (source.ts).
 *
 * An inode of a process stands for (node, pid, tid or descriptor). Contents are made anew for every read, and
 * a read takes its part of them; nothing is kept between reads.
 */

import { errno } from "../../../base/errno.ts";
import { decodeUtf8, encodeUtf8 } from "../../../base/text.ts";
import { none } from "../../../heap/record.ts";
import type { Transaction } from "../../../heap/transaction.ts";
import { File, type FileKind, POLL, registerFileKind } from "../../../kernel/file.ts";
import { bytesFromSegments, bytesToSegments } from "../../../kernel/request.ts";
import { type DirentWriter, registerGeneratedListing } from "../directory.ts";
import { seekTo } from "../file-kinds.ts";
import { generatedEntry, type Identity } from "../generated.ts";
import { S_IFDIR, S_IFLNK, S_IFREG } from "../inodes.ts";
import { registerGeneratedLinks } from "../links.ts";
import { registerGeneratedNames } from "../lookup.ts";
import { type NameBytes, nameOf } from "../names.ts";
import { wantsRead, wantsWrite } from "../open-flags.ts";
import { registerOpenKind } from "../open.ts";
import { pathFrom } from "../paths.ts";
import { Dirent, FILE_SYSTEM, FileSystem, Inode, Mount, VfsState } from "../records.ts";
import { stateOf } from "../state.ts";
import { type ProcSource, procSource } from "./source.ts";
import { filesystemsText, mountsText } from "./text.ts";
import {
  childrenOf,
  DESCRIPTOR_INFO,
  DESCRIPTOR_LINK,
  MAPPING_LINK,
  nodeAt,
  NODES,
  pathOfNode,
  PROCESS,
  TASK,
} from "./tree.ts";

const S_DESCRIPTOR_LINK: number = S_IFLNK | 0o700;
const S_DESCRIPTOR_INFO: number = S_IFREG | 0o400;
const S_MAPPING_LINK: number = S_IFLNK | 0o500;

/** A name that is a decimal number without leading zeros; −1 for any other. */
function numberOf(name: NameBytes): number {
  if (name.length === 0 || name.length > 9) return -1;
  let value = 0;
  for (let i = 0; i < name.length; i++) {
    const digit = name.source[name.start + i]! - 0x30;
    if (digit < 0 || digit > 9 || (digit === 0 && i === 0 && name.length > 1)) return -1;
    value = value * 10 + digit;
  }
  return value;
}

const PAGE_BYTES = 4096;

/** The name of a mapping in map_files. */
function rangeName(first: number, end: number): string {
  return `${(first * PAGE_BYTES).toString(16)}-${(end * PAGE_BYTES).toString(16)}`;
}

interface Found {
  readonly identity: Identity;
  readonly mode: number;
}

/** Whether what a directory of procfs belongs to exists: for that of a process, the one for which it was made. */
function isStillThere(tx: Transaction, source: ProcSource, directory: Inode): boolean {
  const pid = Inode.subject.get(tx, directory);
  if (pid === 0) return true;
  if (Inode.detail.get(tx, directory) !== nodeAt(PROCESS)) return source.isProcess(tx, pid);
  return source.serial(tx, pid) === Inode.object.get(tx, directory);
}

/**
 * The process whose directory /proc/PID an open file is: its pid, 0 if it has been reaped (whoever has its pid
 * now), −1 if the file is no such directory. With the process tree locked.
 */
export function processOfDirectory(tx: Transaction, file: File): number {
  const inode = File.inode.get(tx, file);
  if (inode === 0 || FileSystem.kind.get(tx, Inode.fileSystem.get(tx, inode)) !== FILE_SYSTEM.PROC) return -1;
  if (Inode.detail.get(tx, inode) !== nodeAt(PROCESS)) return -1;
  const source = procSource();
  return source !== undefined && isStillThere(tx, source, inode) ? Inode.subject.get(tx, inode) : 0;
}

/** What `name` stands for in a directory of procfs. */
function resolve(tx: Transaction, source: ProcSource, directory: Inode, name: NameBytes): Found | undefined {
  const at = Inode.detail.get(tx, directory);
  const pid = Inode.subject.get(tx, directory);
  const node = NODES[at];
  if (node === undefined) return undefined;
  const number = numberOf(name);
  if (!isStillThere(tx, source, directory)) return undefined;
  // The directory of a process keeps a serial there, which what is in it does not need.
  const object = at === nodeAt(PROCESS) ? 0 : Inode.object.get(tx, directory);
  if (node.type === "processes" && number > 0) {
    const serial = source.serial(tx, number);
    if (serial === 0) return undefined;
    return { identity: { detail: nodeAt(PROCESS), subject: number, object: serial }, mode: S_IFDIR | 0o555 };
  }
  if (node.type === "tasks") {
    if (number <= 0 || !source.tasks(tx, pid).includes(number)) return undefined;
    return { identity: { detail: nodeAt(TASK), subject: pid, object: number }, mode: S_IFDIR | 0o555 };
  }
  if (node.type === "descriptors") {
    if (number < 0 || source.file(tx, pid, number) === 0) return undefined;
    const isInfo = node.name === "fdinfo";
    const identity = { detail: isInfo ? DESCRIPTOR_INFO : DESCRIPTOR_LINK, subject: pid, object: number };
    return { identity, mode: isInfo ? S_DESCRIPTOR_INFO : S_DESCRIPTOR_LINK };
  }
  const text = decodeUtf8(name.source.slice(name.start, name.start + name.length));
  if (node.type === "mappings") {
    const found = source.mappings(tx, pid).find(([first, end]) => rangeName(first, end) === text);
    if (found === undefined) return undefined;
    return { identity: { detail: MAPPING_LINK, subject: pid, object: found[0] }, mode: S_MAPPING_LINK };
  }
  const path = pathOfNode(node);
  const child = nodeAt(path === "" ? text : `${path}/${text}`);
  if (child <= 0 || text === PROCESS || text === "TID" || text.includes("/")) return undefined;
  return { identity: { detail: child, subject: pid, object }, mode: NODES[child]!.mode };
}

function entryFor(tx: Transaction, directory: Inode, name: NameBytes): Dirent {
  const source = procSource();
  if (source === undefined) return none();
  const found = resolve(tx, source, directory, name);
  if (found === undefined) return none();
  const { subject } = found.identity;
  const owner = subject === 0 ? { uid: 0, gid: 0 } : source.owner(tx, subject);
  return generatedEntry(tx, directory, name, found.identity, { mode: found.mode, ...owner, rdev: 0 });
}

registerGeneratedNames(FILE_SYSTEM.PROC, { lookUp: entryFor });

// listing: cookies are 2 + place in the table, then PROCESS_COOKIES + number

const NUMBER_COOKIES = 4096;

function* listed(
  tx: Transaction,
  source: ProcSource,
  directory: Inode,
): Generator<[cookie: number, name: string]> {
  const at = Inode.detail.get(tx, directory);
  const pid = Inode.subject.get(tx, directory);
  const node = NODES[at];
  if (node === undefined || !isStillThere(tx, source, directory)) return;
  for (const [i, [name]] of childrenOf(at).entries()) yield [2 + i, name];
  if (node.type === "mappings") {
    for (const [i, [first, end]] of source.mappings(tx, pid).entries())
      yield [NUMBER_COOKIES + i, rangeName(first, end)];
  }
  const numbers = numbersIn(tx, source, node.type, pid);
  for (const number of numbers) yield [NUMBER_COOKIES + number, `${number}`];
}

function* numbersIn(tx: Transaction, source: ProcSource, type: string, pid: number): Generator<number> {
  if (type === "processes") {
    for (let next = source.nextProcess(tx, 0); next !== 0; next = source.nextProcess(tx, next)) yield next;
  } else if (type === "tasks") yield* source.tasks(tx, pid);
  else if (type === "descriptors") yield* source.descriptors(tx, pid);
}

registerGeneratedListing(FILE_SYSTEM.PROC, {
  list(tx: Transaction, directory: Inode, from: number, writer: DirentWriter): boolean {
    const source = procSource();
    if (source === undefined) return false;
    for (const [cookie, text] of listed(tx, source, directory)) {
      if (cookie < from) continue;
      const name = nameOf(encodeUtf8(text));
      const found = resolve(tx, source, directory, name);
      if (found === undefined) continue;
      // Numbers of inodes are given when they are looked up; readers of /proc do not use them.
      if (!writer.add(cookie, (found.mode & 0o170000) >>> 12, name, cookie + 1)) return true;
    }
    return false;
  },
});

// links

registerGeneratedLinks(FILE_SYSTEM.PROC, {
  read(tx: Transaction, inode: Inode): Uint8Array {
    const source = procSource();
    if (source === undefined) throw errno.ENOENT;
    const detail = Inode.detail.get(tx, inode);
    const pid = Inode.subject.get(tx, inode);
    const name = NODES[detail]?.name;
    const self = source.self(tx);
    if (name === "self") return encodeUtf8(`${self.pid}`);
    if (name === "thread-self") return encodeUtf8(`${self.pid}/task/${self.tid}`);
    if (name === "mounts") return encodeUtf8("self/mounts");
    const place = magic(tx, source, inode);
    if (place === undefined) throw errno.ENOENT;
    if ("file" in place) return encodeUtf8(source.describe(tx, place.file));
    // As the asking process sees it: from its own root, which "root" of itself gives.
    const state = stateOf(tx);
    const rootMount = VfsState.rootMount.get(tx, state);
    const root = source.place(tx, self.pid, "root") ?? {
      mount: rootMount,
      entry: Mount.root.get(tx, rootMount),
    };
    return pid === 0 ? encodeUtf8("") : pathFrom(tx, root, place);
  },

  magic(tx: Transaction, inode: Inode) {
    const source = procSource();
    if (source === undefined || Inode.subject.get(tx, inode) === 0) return undefined;
    const place = magic(tx, source, inode);
    if (place === undefined) throw errno.ENOENT;
    return place;
  },
});

/** Where a link of a process leads: a place, or an open file that has no name. */
function magic(
  tx: Transaction,
  source: ProcSource,
  inode: Inode,
): { readonly mount: Mount; readonly entry: Dirent } | { readonly file: File } | undefined {
  const detail = Inode.detail.get(tx, inode);
  const pid = Inode.subject.get(tx, inode);
  if (detail !== DESCRIPTOR_LINK && detail !== MAPPING_LINK)
    return source.place(tx, pid, NODES[detail]!.name);
  const object = Inode.object.get(tx, inode);
  const file =
    detail === DESCRIPTOR_LINK
      ? source.file(tx, pid, object)
      : (source.mappings(tx, pid).find(([first]) => first === object)?.[2] ?? none<"file">());
  if (file === 0) return undefined;
  const entry = File.entry.get(tx, file);
  if (entry === 0 || !Dirent.isLive(tx, entry)) return { file };
  return { mount: File.mount.get(tx, file), entry };
}

// contents

function contentsOf(tx: Transaction, inode: Inode): Uint8Array {
  const source = procSource();
  const detail = Inode.detail.get(tx, inode);
  const pid = Inode.subject.get(tx, inode);
  const node = NODES[detail];
  if (source === undefined) throw errno.ENOENT;
  if (detail === DESCRIPTOR_INFO)
    return encodeUtf8(descriptorInfo(tx, source, pid, Inode.object.get(tx, inode)));
  if (node === undefined) throw errno.EINVAL;
  if (pid === 0) {
    const path = pathOfNode(node);
    return encodeUtf8(path === "filesystems" ? filesystemsText() : source.machineText(tx, path));
  }
  if (!source.isProcess(tx, pid)) throw errno.ESRCH;
  if (node.name === "mounts" || node.name === "mountinfo") {
    return encodeUtf8(mountsText(tx, node.name === "mountinfo"));
  }
  const text = source.text(tx, pid, Inode.object.get(tx, inode), node.name);
  if (text === undefined) throw errno.ESRCH;
  return typeof text === "string" ? encodeUtf8(text) : text;
}

function descriptorInfo(tx: Transaction, source: ProcSource, pid: number, descriptor: number): string {
  const file = source.file(tx, pid, descriptor);
  if (file === 0) throw errno.ENOENT;
  const mount = File.mount.get(tx, file);
  const id = mount === 0 ? 15 : Mount.id.get(tx, mount);
  const inode = File.inode.get(tx, file);
  const ino = inode === 0 ? File.object.get(tx, file) : Inode.ino.get(tx, inode);
  const flags = File.flags.get(tx, file).toString(8);
  return `pos:\t${File.position.get(tx, file)}\nflags:\t0${flags}\nmnt_id:\t${id}\nino:\t${ino}\n`;
}

const procKind: FileKind = {
  name: "proc",
  read(tx, file, length, offset) {
    if (!wantsRead(File.flags.get(tx, file))) throw errno.EBADF;
    const bytes = contentsOf(tx, File.inode.get(tx, file));
    if (offset < 0) File.lock.acquire(tx, file);
    const position = offset < 0 ? File.position.get(tx, file) : offset;
    const part = bytes.subarray(Math.min(position, bytes.length), Math.min(position + length, bytes.length));
    bytesToSegments(tx, 0, part);
    if (offset < 0 && part.length > 0) File.position.set(tx, file, position + part.length);
    return part.length;
  },
  write(tx, file, length) {
    if (!wantsWrite(File.flags.get(tx, file))) throw errno.EBADF;
    const inode = File.inode.get(tx, file);
    const node = NODES[Inode.detail.get(tx, inode)];
    const source = procSource();
    if (node === undefined || source?.write === undefined) throw errno.EINVAL;
    const bytes = new Uint8Array(Math.min(length, 4096));
    bytesFromSegments(tx, 0, bytes);
    const path = node.parent.startsWith(PROCESS) ? node.name : pathOfNode(node);
    if (!source.write(tx, Inode.subject.get(tx, inode), path, decodeUtf8(bytes))) throw errno.EINVAL;
    return length;
  },
  poll: () => POLL.IN | POLL.OUT | POLL.RDNORM | POLL.WRNORM,
  release: () => {},
  seek: (tx, file, offset, whence) => seekTo(tx, file, offset, whence === 2 ? 3 : whence, 0),
};
registerFileKind(procKind);
registerOpenKind(FILE_SYSTEM.PROC, "proc");
