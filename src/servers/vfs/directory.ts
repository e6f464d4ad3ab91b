/**
 * Listing a directory (getdents64(2)).
 *
 * The position of a directory file is a cookie: 0 and 1 for "." and "..", then the names of the image in the
 * image's order, as 2 + 512 × block + entry (a block has at most 315), then the entries of the heap by their
 * own cookies, which start at FIRST_COOKIE and only rise. So a name that is added or removed while somebody
 * lists moves no other: what stays is seen once.
 */

import { errno } from "../../base/errno.ts";
import { next } from "../../heap/list.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File } from "../../kernel/file.ts";
import { bytesToSegments } from "../../kernel/request.ts";
import { IN } from "./inotify.ts";
import { tellOfFile } from "./notify.ts";
import { findEntry, nameOfEntry } from "./entries.ts";
import { visitImageEntries } from "./image.ts";
import { FIRST_COOKIE, S_IFMT } from "./inodes.ts";
import { showsImage } from "./lookup.ts";
import { isName, type NameBytes, nameOf } from "./names.ts";
import { Dirent, DIRENT, FileSystem, Inode } from "./records.ts";
import { lockVfs } from "./state.ts";

const ENTRIES_PER_BLOCK = 512;
/** Bytes of entries that one call hands out at most. */
const BYTES_AT_ONCE = 32768;

/** Makes linux_dirent64 records in a buffer. */
export class DirentWriter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #used = 0;
  #last = -1;

  constructor(length: number) {
    this.#bytes = new Uint8Array(Math.min(length, BYTES_AT_ONCE));
    this.#view = new DataView(this.#bytes.buffer);
  }

  get used(): number {
    return this.#used;
  }

  /** Adds an entry; false if it does not fit. `after` is the cookie from which to go on behind it. */
  add(ino: number, type: number, name: NameBytes, after: number): boolean {
    const size = (19 + name.length + 1 + 7) & ~7;
    if (this.#used + size > this.#bytes.length) return false;
    const at = this.#used;
    this.#view.setUint32(at, ino >>> 0, true);
    this.#view.setUint32(at + 4, Math.floor(ino / 0x1_0000_0000), true);
    this.#view.setUint32(at + 8, after >>> 0, true);
    this.#view.setUint32(at + 12, 0, true);
    this.#view.setUint16(at + 16, size, true);
    this.#bytes[at + 18] = type;
    this.#bytes.set(name.source.subarray(name.start, name.start + name.length), at + 19);
    this.#used += size;
    this.#last = after;
    return true;
  }

  /** Hands the entries to the user and moves the file's position; returns the bytes. */
  finish(tx: Transaction, file: File, position: number): number {
    if (this.#last >= 0) File.position.set(tx, file, this.#last);
    else if (position !== File.position.get(tx, file)) File.position.set(tx, file, position);
    bytesToSegments(tx, 0, this.#bytes.subarray(0, this.#used));
    return this.#used;
  }
}

/** A file system that lists names which it makes itself. */
export interface GeneratedListing {
  /** Adds entries from cookie `from` (2 or more) on until the writer is full. True: some did not fit. */
  list(tx: Transaction, directory: Inode, from: number, writer: DirentWriter): boolean;
}
const generated = new Map<number, GeneratedListing>();
export function registerGeneratedListing(kind: number, listing: GeneratedListing): void {
  generated.set(kind, listing);
}

const DOT = nameOf(new Uint8Array([0x2e]));
const DOT_DOT = nameOf(new Uint8Array([0x2e, 0x2e]));
const DT_DIR = 4;
/** d_type is the file type of the mode, shifted. */
const typeOfMode = (mode: number): number => (mode & S_IFMT) >>> 12;
/** EROFS's file types as d_type. */
const DT_OF_IMAGE = [0, 8, 4, 2, 6, 1, 12, 10];

export function getdents(tx: Transaction, file: File, length: number): number {
  const directory = File.inode.get(tx, file);
  lockVfs(tx);
  Inode.lock.acquire(tx, directory);
  File.lock.acquire(tx, file);
  if (Inode.links.get(tx, directory) === 0) throw errno.ENOENT;
  const position = File.position.get(tx, file);
  const writer = new DirentWriter(length);
  const full = list(tx, directory, position, writer);
  if (full && writer.used === 0) throw errno.EINVAL;
  const used = writer.finish(tx, file, position);
  tellOfFile(tx, file, IN.ACCESS);
  return used;
}

/** True if an entry did not fit. */
function list(tx: Transaction, directory: Inode, position: number, writer: DirentWriter): boolean {
  if (position <= 0 && !writer.add(Inode.ino.get(tx, directory), DT_DIR, DOT, 1)) return true;
  if (position <= 1 && !writer.add(parentIno(tx, directory), DT_DIR, DOT_DOT, 2)) return true;
  const from = Math.max(position, 2);
  const maker = generated.get(FileSystem.kind.get(tx, Inode.fileSystem.get(tx, directory)));
  if (maker !== undefined) return maker.list(tx, directory, from, writer);
  if (from < FIRST_COOKIE && showsImage(tx, directory) && listImage(tx, directory, from - 2, writer))
    return true;
  let entry = Inode.entries.first(tx, directory);
  while (entry !== 0) {
    const cookie = Dirent.cookie.get(tx, entry);
    if (cookie >= from) {
      const inode = Dirent.inode.get(tx, entry);
      const type = typeOfMode(Inode.mode.get(tx, inode));
      if (!writer.add(Inode.ino.get(tx, inode), type, nameOfEntry(tx, entry), cookie + 1)) return true;
    }
    entry = next(tx, Dirent.links, entry);
  }
  return false;
}

function parentIno(tx: Transaction, directory: Inode): number {
  const entry = Inode.entry.get(tx, directory);
  const parent = entry === 0 ? entry : Dirent.directory.get(tx, entry);
  return Inode.ino.get(tx, parent === 0 ? directory : (parent as Inode));
}

function listImage(tx: Transaction, directory: Inode, from: number, writer: DirentWriter): boolean {
  const block = Math.floor(from / ENTRIES_PER_BLOCK);
  return !visitImageEntries(
    tx,
    directory,
    block,
    from % ENTRIES_PER_BLOCK,
    (at, nid, type, bytes, start, end, index) => {
      const name = { source: bytes, start, length: end - start };
      if (isName(name, ".") || isName(name, "..")) return true;
      if (isHidden(tx, directory, name)) return true;
      return writer.add(nid, DT_OF_IMAGE[type] ?? 0, name, 2 + at * ENTRIES_PER_BLOCK + index + 1);
    },
  );
}

/** Whether a name of the image does not show: something else stands in its place, or nothing. */
function isHidden(tx: Transaction, directory: Inode, name: NameBytes): boolean {
  const entry = findEntry(tx, directory, name);
  return entry !== 0 && (Dirent.flags.get(tx, entry) & (DIRENT.WHITEOUT | DIRENT.LISTED)) !== 0;
}

/** Whether a directory has no names but "." and "..". */
export function isEmptyDirectory(tx: Transaction, directory: Inode): boolean {
  if (!Inode.entries.isEmpty(tx, directory)) return false;
  if (!showsImage(tx, directory)) return true;
  return visitImageEntries(tx, directory, 0, 0, (_at, _nid, _type, bytes, start, end) => {
    const name = { source: bytes, start, length: end - start };
    return isName(name, ".") || isName(name, "..") || isHidden(tx, directory, name);
  });
}
