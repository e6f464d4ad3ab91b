/** The guest's files, as the library shows them: root's view, over host calls. */

import { decodeUtf8, encodeUtf8 } from "../base/text.ts";
import { HOST_ANSWER_AT } from "../kernel/host-call.ts";
import type { DirectoryEntry, FileStatus, GuestFileSystem } from "./api.ts";
import { CoppiceError } from "./errors.ts";
import { HostCallError, type HostCalls } from "./host-calls.ts";

const CHUNK = 65536;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_DIRECTORY = 0o200000;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;

const TYPES: Readonly<Record<number, FileStatus["type"]>> = {
  0o01: "fifo",
  0o02: "char-device",
  0o04: "directory",
  0o06: "block-device",
  0o10: "file",
  0o12: "symlink",
  0o14: "socket",
};

/** Path bytes of a path, which must be absolute and free of zeros. */
function bytesOf(path: string): Uint8Array {
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new CoppiceError({
      code: "INVALID_OPTION",
      part: `path ${JSON.stringify(path)}`,
      reason: "not an absolute path",
      remedy: "begin it with a slash",
    });
  }
  return encodeUtf8(path);
}

/** Awaits a call about `path` and gives its failure the library's form. */
async function about<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof HostCallError)) throw error;
    throw new CoppiceError({
      code: "FILE_SYSTEM",
      part: `guest file ${path}`,
      reason: error.errno,
      errno: error.errno,
      cause: error,
    });
  }
}

export class GuestFiles implements GuestFileSystem {
  readonly #calls: HostCalls;

  constructor(calls: HostCalls) {
    this.#calls = calls;
  }

  readFile(path: string): Promise<Uint8Array>;
  readFile(path: string, encoding: "utf8"): Promise<string>;
  async readFile(path: string, encoding?: "utf8"): Promise<Uint8Array | string> {
    const file = await this.#open(path, 0, 0);
    const chunks: Uint8Array[] = [];
    try {
      for (;;) {
        const chunk = await about(
          path,
          this.#calls.call("read", [file, CHUNK, -1], undefined, ({ result, buffer }) =>
            Uint8Array.from(buffer.subarray(0, result)),
          ),
        );
        if (chunk.length === 0) break;
        chunks.push(chunk);
      }
    } finally {
      await this.#calls.call("close", [file]);
    }
    const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return encoding === "utf8" ? decodeUtf8(all) : all;
  }

  async writeFile(
    path: string,
    data: string | Uint8Array,
    options: { readonly mode?: number } = {},
  ): Promise<void> {
    const bytes = typeof data === "string" ? encodeUtf8(data) : data;
    const file = await this.#open(path, O_WRONLY | O_CREAT | O_TRUNC, options.mode ?? 0o644);
    try {
      for (let at = 0; at < bytes.length; ) {
        const part = bytes.subarray(at, at + CHUNK);
        at += await about(path, this.#calls.call("write", [file, part.length, -1], part));
      }
    } finally {
      await this.#calls.call("close", [file]);
    }
  }

  async readdir(path: string): Promise<DirectoryEntry[]> {
    const directory = await this.#open(path, O_DIRECTORY, 0);
    const entries: DirectoryEntry[] = [];
    try {
      for (;;) {
        const found = await about(
          path,
          this.#calls.call("readdir", [directory], undefined, ({ result, buffer }) =>
            parseEntries(Uint8Array.from(buffer.subarray(0, result))),
          ),
        );
        if (found.length === 0) break;
        entries.push(...found.filter(({ name }) => name !== "." && name !== ".."));
      }
    } finally {
      await this.#calls.call("close", [directory]);
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  stat(path: string): Promise<FileStatus> {
    return this.#stat(path, 0);
  }

  lstat(path: string): Promise<FileStatus> {
    return this.#stat(path, AT_SYMLINK_NOFOLLOW);
  }

  async mkdir(
    path: string,
    options: { readonly recursive?: boolean; readonly mode?: number } = {},
  ): Promise<void> {
    const make = async (each: string): Promise<void> => {
      const bytes = bytesOf(each);
      await about(each, this.#calls.call("mkdir", [bytes.length, options.mode ?? 0o755], bytes));
    };
    if (options.recursive !== true) return make(path);
    const parts = path.split("/").filter((part) => part !== "");
    for (let i = 1; i <= parts.length; i++) {
      const each = `/${parts.slice(0, i).join("/")}`;
      try {
        await make(each);
      } catch (error) {
        const there = error instanceof CoppiceError && error.errno === "EEXIST";
        if (!there || (await this.stat(each)).type !== "directory") throw error;
      }
    }
  }

  async rm(
    path: string,
    options: { readonly recursive?: boolean; readonly force?: boolean } = {},
  ): Promise<void> {
    let status: FileStatus;
    try {
      status = await this.lstat(path);
    } catch (error) {
      if (options.force === true && error instanceof CoppiceError && error.errno === "ENOENT") return;
      throw error;
    }
    const isDirectory = status.type === "directory";
    if (isDirectory && options.recursive === true) {
      for (const { name } of await this.readdir(path)) await this.rm(`${path}/${name}`, options);
    }
    const bytes = bytesOf(path);
    const flags = isDirectory && options.recursive === true ? AT_REMOVEDIR : 0;
    await about(path, this.#calls.call("unlink", [bytes.length, flags], bytes));
  }

  async rename(from: string, to: string): Promise<void> {
    const [a, b] = [bytesOf(from), bytesOf(to)];
    await about(from, this.#calls.call("rename", [a.length, b.length], joined(a, b)));
  }

  async symlink(target: string, path: string): Promise<void> {
    const [a, b] = [bytesOf(path), encodeUtf8(target)];
    await about(path, this.#calls.call("symlink", [a.length, b.length], joined(a, b)));
  }

  async readlink(path: string): Promise<string> {
    const bytes = bytesOf(path);
    return about(
      path,
      this.#calls.call("readlink", [bytes.length], bytes, ({ result, buffer }) =>
        decodeUtf8(Uint8Array.from(buffer.subarray(HOST_ANSWER_AT, HOST_ANSWER_AT + result))),
      ),
    );
  }

  async chmod(path: string, mode: number): Promise<void> {
    const bytes = bytesOf(path);
    await about(path, this.#calls.call("chmod", [bytes.length, mode], bytes));
  }

  async chown(path: string, uid: number, gid: number): Promise<void> {
    const bytes = bytesOf(path);
    await about(path, this.#calls.call("chown", [bytes.length, uid, gid], bytes));
  }

  #open(path: string, flags: number, mode: number): Promise<number> {
    const bytes = bytesOf(path);
    return about(path, this.#calls.call("open", [bytes.length, flags, mode], bytes));
  }

  #stat(path: string, flags: number): Promise<FileStatus> {
    const bytes = bytesOf(path);
    return about(
      path,
      this.#calls.call("stat", [bytes.length, flags], bytes, ({ buffer }) =>
        parseStat(buffer.subarray(HOST_ANSWER_AT)),
      ),
    );
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** struct stat of riscv64 (include/uapi/asm-generic/stat.h). */
function parseStat(bytes: Uint8Array): FileStatus {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 128);
  const long = (at: number): number => Number(view.getBigUint64(at, true));
  const ms = (at: number): number => long(at) * 1000 + long(at + 8) / 1e6;
  const mode = view.getUint32(16, true);
  return {
    type: TYPES[mode >> 12] ?? "file",
    mode: mode & 0o7777,
    uid: view.getUint32(24, true),
    gid: view.getUint32(28, true),
    size: long(48),
    links: view.getUint32(20, true),
    inode: long(8),
    accessedMs: ms(72),
    modifiedMs: ms(88),
    changedMs: ms(104),
  };
}

/** struct linux_dirent64 records. */
function parseEntries(bytes: Uint8Array): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint16(at + 16, true);
    const name = bytes.subarray(at + 19, at + length);
    const end = name.indexOf(0);
    entries.push({ name: decodeUtf8(name.slice(0, end)), type: TYPES[bytes[at + 18]!] ?? "file" });
    at += length;
  }
  return entries;
}
