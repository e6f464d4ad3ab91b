/**
 * Reads a tar archive that lies in memory: POSIX ustar, pax headers, and GNU's long names.
 *
 *     block of 512 bytes: 0 name[100]  100 mode[8]  108 uid[8]  116 gid[8]  124 size[12]  136 mtime[12]
 *     148 checksum[8]  156 type  157 link target[100]  257 magic[6]  263 version[2]  329 major[8]
 *     337 minor[8]  345 name prefix[155]; numbers octal in ASCII, or base 256 when bit 7 of the first byte is set
 *
 * Paths come out normalised: "" for the root, no leading or trailing slash, no empty, "." or ".." component.
 * Contents are views of the archive, nothing is copied.
 *
 * Rejected: tar-stream. The archive is in memory already; streaming it entry by entry copies every file once
 * more and cannot check one archive within a worker synchronously. What is read here fits in one file.
 */

/** An archive that breaks the format, or names a path outside itself. */
export class TarError extends Error {
  override readonly name: string = "TarError";
}

export type TarKind = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

/** One member. Names and targets are byte strings: one character for each byte. */
export interface TarEntry {
  path: string;
  kind: TarKind;
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  /** Target of a link; normalised for hard links, as it stands for symbolic ones. */
  link: string;
  major: number;
  minor: number;
  /** Where a file's content lies in the archive. */
  offset: number;
  size: number;
  xattrs: Map<string, Uint8Array> | undefined;
}

const blockSize = 512;

/** Pax records and GNU names that hold for the next member. */
interface Overrides {
  path?: string;
  link?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtimeSeconds?: number;
  mtimeNanoseconds?: number;
  xattrs?: Map<string, Uint8Array>;
}

const kinds: ReadonlyMap<string, TarKind> = new Map([
  ["0", "file"],
  ["\0", "file"],
  ["7", "file"],
  ["1", "hardlink"],
  ["2", "symlink"],
  ["3", "character"],
  ["4", "block"],
  ["5", "directory"],
  ["6", "fifo"],
]);

/**
 * The members of `archive` in order.
 * @throws {TarError} for anything that is not a tar archive from end to end.
 */
export function readTar(archive: Uint8Array): TarEntry[] {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.length);
  const entries: TarEntry[] = [];
  let next: Overrides = {};
  const global: Overrides = {};
  let at = 0;
  for (;;) {
    if (at + blockSize > bytes.length) throw new TarError("the archive ends in the middle of a header");
    const header = bytes.subarray(at, at + blockSize);
    if (isZero(header)) break;
    checkHeader(header, at);
    const type = String.fromCharCode(header[156] ?? 0);
    const declared = number(header, 124, 12);
    const size = "xgLK".includes(type) ? declared : (next.size ?? global.size ?? declared);
    const offset = at + blockSize;
    const kind = kinds.get(type);
    const stored = kind === "file" || kind === undefined ? size : 0;
    const end = offset + Math.ceil(stored / blockSize) * blockSize;
    if (end > bytes.length) throw new TarError("the archive ends in the middle of a member");
    at = end;
    if (type === "x") Object.assign(next, paxRecords(bytes.subarray(offset, offset + size)));
    else if (type === "g") Object.assign(global, paxRecords(bytes.subarray(offset, offset + size)));
    else if (type === "L") next.path = cString(bytes, offset, size);
    else if (type === "K") next.link = cString(bytes, offset, size);
    else if (kind === undefined) throw new TarError(`member of unknown type ${JSON.stringify(type)}`);
    else {
      entries.push(member(header, kind, offset, stored, { ...global, ...next }));
      next = {};
    }
  }
  return entries;
}

function member(header: Buffer, kind: TarKind, offset: number, size: number, over: Overrides): TarEntry {
  const prefix =
    header.toString("latin1", 257, 262) === "ustar" && header[262] === 0 ? cString(header, 345, 155) : "";
  const ownName = cString(header, 0, 100);
  const name = over.path ?? (prefix === "" ? ownName : `${prefix}/${ownName}`);
  const path = normalisePath(name);
  const rawLink = over.link ?? cString(header, 157, 100);
  const isDirectory = kind === "directory" || (kind === "file" && name.endsWith("/"));
  const special = kind === "character" || kind === "block";
  if (path === "" && !isDirectory) throw new TarError(`member "${name}" has no name`);
  return {
    path,
    kind: isDirectory ? "directory" : kind,
    mode: number(header, 100, 8) & 0o7777,
    uid: over.uid ?? number(header, 108, 8),
    gid: over.gid ?? number(header, 116, 8),
    mtimeSeconds: over.mtimeSeconds ?? number(header, 136, 12),
    mtimeNanoseconds: over.mtimeNanoseconds ?? 0,
    link: kind === "hardlink" ? normalisePath(rawLink) : kind === "symlink" ? rawLink : "",
    major: special ? number(header, 329, 8) : 0,
    minor: special ? number(header, 337, 8) : 0,
    offset,
    size: isDirectory ? 0 : size,
    xattrs: over.xattrs,
  };
}

/** @throws {TarError} for a path that leaves the archive or holds a zero byte. */
function normalisePath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || name.includes("\0"))
    throw new TarError(`path "${name}" leads out of the archive`);
  return parts.join("/");
}

function isZero(block: Buffer): boolean {
  for (let i = 0; i < block.length; i++) if (block[i] !== 0) return false;
  return true;
}

function checkHeader(header: Buffer, at: number): void {
  let sum = 0;
  for (let i = 0; i < blockSize; i++) sum += i >= 148 && i < 156 ? 32 : (header[i] ?? 0);
  if (sum !== number(header, 148, 8)) throw new TarError(`damaged header at byte ${at}`);
}

function number(bytes: Buffer, at: number, length: number): number {
  const first = bytes[at] ?? 0;
  if ((first & 0x80) !== 0) {
    // GNU's base 256: two's complement, the top bit of the first byte being the mark itself.
    let value = (first & 0x40) !== 0 ? (first | 0xffffff00) >> 0 : first & 0x7f;
    for (let i = 1; i < length; i++) value = value * 256 + (bytes[at + i] ?? 0);
    if (!Number.isSafeInteger(value)) throw new TarError("number out of range");
    return value;
  }
  const text = bytes
    .toString("latin1", at, at + length)
    .replace(/[\0 ]+$/, "")
    .trimStart();
  if (text === "") return 0;
  if (!/^[0-7]+$/.test(text)) throw new TarError(`malformed number "${text}"`);
  return Number.parseInt(text, 8);
}

function cString(bytes: Buffer, at: number, length: number): string {
  const zero = bytes.indexOf(0, at);
  return bytes.toString("latin1", at, zero < 0 || zero > at + length ? at + length : zero);
}

function paxRecords(bytes: Buffer): Overrides {
  const result: Overrides = {};
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(32, at);
    const digits = space < 0 ? "" : bytes.toString("latin1", at, space);
    const end = at + Number(digits);
    const equals = bytes.indexOf(61, space);
    if (
      !/^[1-9][0-9]{0,8}$/.test(digits) ||
      end > bytes.length ||
      equals < 0 ||
      equals >= end ||
      bytes[end - 1] !== 10
    ) {
      throw new TarError("malformed pax header");
    }
    const key = bytes.toString("latin1", space + 1, equals);
    const value = bytes.subarray(equals + 1, end - 1);
    applyPax(result, key, value);
    at = end;
  }
  return result;
}

function applyPax(into: Overrides, key: string, value: Buffer): void {
  const text = value.toString("latin1");
  const integer = (): number => {
    if (!/^[0-9]{1,15}$/.test(text)) throw new TarError(`malformed pax value ${key}=${text}`);
    return Number(text);
  };
  if (key === "path") into.path = text;
  else if (key === "linkpath") into.link = text;
  else if (key === "size") into.size = integer();
  else if (key === "uid") into.uid = integer();
  else if (key === "gid") into.gid = integer();
  else if (key === "mtime") {
    const match = /^(-?[0-9]{1,15})(?:\.([0-9]*))?$/.exec(text);
    if (match === null) throw new TarError(`malformed pax value mtime=${text}`);
    const fraction = Number((match[2] ?? "").slice(0, 9).padEnd(9, "0"));
    const negative = text.startsWith("-") && fraction > 0;
    into.mtimeSeconds = Number(match[1]) - (negative ? 1 : 0);
    into.mtimeNanoseconds = negative ? 1_000_000_000 - fraction : fraction;
  } else if (key.startsWith("SCHILY.xattr.")) {
    into.xattrs ??= new Map();
    into.xattrs.set(key.slice("SCHILY.xattr.".length), new Uint8Array(value));
  } else if (key.startsWith("GNU.sparse.")) throw new TarError("sparse members are not supported");
}
