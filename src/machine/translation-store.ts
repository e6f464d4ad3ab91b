/**
 * Translations on the host's disk: one file for each image and translator, of chunks that are appended.
 *
 *     translations/IMAGE.TRANSLATOR      in the cache (image/cache.ts); digests of the image and of the translator
 *
 *     chunk    +0 magic, a word  +4 bytes of the body, a word  +8 SHA-256 of the body  +40 body: regions
 *              (riscv/kept-regions.ts)
 *
 * A file is read up to the first chunk that is not whole: a machine may have been killed while it wrote. Who finds such
 * an end writes the file anew when it has something to add, as a new file that is renamed into place; so a reader
 * never sees half of that. What two machines add at the same time may be lost in part: it is made again.
 *
 * Nothing here is needed for a machine to run. A cache that cannot be read or written to costs time.
 */

import { createHash, hash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { moduleExtension } from "../base/module-extension.ts";
import { INTERPRETER_FILES } from "./interpreter-files.ts";

const MAGIC = 0x4745_5243;
const HEAD_BYTES = 40;
/** A file of so many bytes gets nothing added, and the next machine begins a new one. */
const FILE_MAX: number = 64 << 20;
/** When the file of another translator is removed that nobody has added to, ms. */
const STALE_MS = 86_400_000;

/**
 * What a region's code depends on besides the guest's: the translator and the interpreter that calls it. Of a bundle
 * these two files, else the sources of both.
 */
export function translatorIdentity(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const isBundle = moduleExtension(import.meta.url) !== ".ts";
  const names = isBundle
    ? [basename(fileURLToPath(import.meta.url)), INTERPRETER_FILES.withRegions]
    : globSync(["../riscv/**/*.ts", "../base/hart-abi.ts"], { cwd: here }).sort();
  const digest = createHash("sha256");
  for (const name of names) digest.update(readFileSync(join(here, name)));
  return digest.digest("hex").slice(0, 16);
}

function chunkOf(body: Uint8Array): Uint8Array {
  const chunk = Buffer.alloc(HEAD_BYTES + body.length);
  chunk.writeUInt32LE(MAGIC, 0);
  chunk.writeUInt32LE(body.length, 4);
  chunk.set(hash("sha256", body, "buffer"), 8);
  chunk.set(body, HEAD_BYTES);
  return chunk;
}

export class TranslationStore {
  readonly #path: string;
  /** Bytes of whole chunks that the file began with, if it is to be written anew. */
  #rewrite: Uint8Array | undefined;
  /** Bytes of the file, as far as is known. */
  #size = 0;
  /** Whether something could not be added, so that the end of the file is in doubt. */
  #hasFailed = false;

  /** Of the image with digest `image`, in `folder`, which need not be there. */
  constructor(folder: string, image: string, identity: string = translatorIdentity()) {
    this.#path = join(folder, `${image}.${identity}`);
  }

  /** The bodies of all chunks that are whole. */
  load(): Uint8Array[] {
    let bytes: Buffer;
    this.#rewrite = undefined;
    this.#size = 0;
    try {
      // One that is full is not read: it would be in memory as long as the machine.
      if (statSync(this.#path).size >= FILE_MAX) {
        this.#rewrite = new Uint8Array(0);
        return [];
      }
      bytes = readFileSync(this.#path);
    } catch {
      this.#removeStale();
      return [];
    }
    const bodies: Uint8Array[] = [];
    let at = 0;
    while (at + HEAD_BYTES <= bytes.length && bytes.readUInt32LE(at) === MAGIC) {
      const end = at + HEAD_BYTES + bytes.readUInt32LE(at + 4);
      if (end > bytes.length) break;
      const body = bytes.subarray(at + HEAD_BYTES, end);
      if (!hash("sha256", body, "buffer").equals(bytes.subarray(at + 8, at + HEAD_BYTES))) break;
      bodies.push(body);
      at = end;
    }
    if (at < bytes.length) this.#rewrite = bytes.subarray(0, at);
    this.#size = at;
    return bodies;
  }

  /** Adds a chunk, unless the file is full. */
  append(body: Uint8Array): void {
    if (this.#hasFailed) this.load();
    if (this.#size >= FILE_MAX) return;
    const chunk = chunkOf(body);
    this.#hasFailed = true;
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      if (this.#rewrite === undefined) appendFileSync(this.#path, chunk);
      else this.#writeAnew(this.#rewrite, chunk);
      this.#rewrite = undefined;
      this.#size += chunk.length;
      this.#hasFailed = false;
    } catch {
      // Nothing is lost but the time to make them again.
    }
  }

  #writeAnew(before: Uint8Array, chunk: Uint8Array): void {
    // Where and as the cache has such files (rule C2 of image/cache.ts), so that a prune finds what a dead process left.
    const folder = join(dirname(dirname(this.#path)), "tmp");
    mkdirSync(folder, { recursive: true });
    const name = `${basename(this.#path)}.${process.pid}.${randomBytes(6).toString("hex")}`;
    const temporary = join(folder, name);
    try {
      writeFileSync(temporary, Buffer.concat([before, chunk]), { flag: "wx" });
      renameSync(temporary, this.#path);
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** Removes files of the same image that other translators have made and nobody uses. */
  #removeStale(): void {
    const folder = dirname(this.#path);
    const own = basename(this.#path);
    try {
      for (const name of readdirSync(folder)) {
        const isOther = name.split(".")[0] === own.split(".")[0] && name !== own;
        if (!isOther || Date.now() - statSync(join(folder, name)).mtimeMs < STALE_MS) continue;
        rmSync(join(folder, name), { force: true });
      }
    } catch {
      // There is no such folder yet, or another machine was quicker.
    }
  }
}
