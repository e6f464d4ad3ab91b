/**
 * The cache on the host's disk: what was downloaded and what was built, addressed by content.
 *
 *     blobs/SHA256            complete downloads
 *     partial/SHA256          the beginnings of broken ones
 *     images/DIGEST.img       an image: EROFS and its hash tree; DIGEST is the dm-verity root digest
 *     images/DIGEST.json      what is known about it
 *     names/NAME.json         { "digest": … }
 *     suites/SUITE.json       { "sha256": …, "mirror": … } of the InRelease file that was used last
 *     translations/DIGEST.ID  what machines with that image have translated; machine/translation-store.ts
 *     tmp/LABEL.PID.RANDOM    files being written
 *
 *   C1  A file outside tmp/ and partial/ is complete: it is written in tmp/, synced, and renamed into place.
 *   C2  A file in tmp/ has one writer, which its name tells. A partial download is claimed by renaming it
 *       into tmp/; of two that try, one succeeds, the other starts afresh.
 *   C3  Content is checked against its address when it is read, so a damaged disk costs a download, not trust.
 *   C4  Nothing in the cache that is in place is ever written to, but translations, which look after themselves.
 */

import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readFile, readdir, rename, rm, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { ImageError, codeOf, messageOf } from "./errors.ts";

/** Where the cache lies: `COPPICE_CACHE`, or what the platform has for such things. */
export function cacheDirectory(
  env: NodeJS.ProcessEnv = process.env,
  platform: string = process.platform,
): string {
  const own = env["COPPICE_CACHE"];
  if (own !== undefined && own !== "") return resolve(own);
  const xdg = env["XDG_CACHE_HOME"];
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "coppice");
  if (platform === "darwin") return join(homedir(), "Library", "Caches", "coppice");
  if (platform === "win32")
    return join(env["LOCALAPPDATA"] ?? join(homedir(), "AppData", "Local"), "coppice", "cache");
  return join(homedir(), ".cache", "coppice");
}

/** The folder of what machines have translated (machine/translation-store.ts). */
export const TRANSLATIONS = "translations";

/** Writes all of `bytes` at `position`. Tests put one in its place that fails like a full disk. */
export type WriteAll = (handle: FileHandle, bytes: Uint8Array, position: number) => Promise<void>;

const writeAllToDisk: WriteAll = async (handle, bytes, position) => {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
};

/** A file in tmp/ that is being written. */
export interface TemporaryFile {
  readonly path: string;
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Reads what is there from the start; at most `limit` bytes. */
  content(limit: number): Promise<Buffer>;
  /** Syncs the file and moves it to `target`, replacing what is there. */
  commit(target: string): Promise<void>;
  /** Closes it without syncing and moves it to `target`. */
  setAside(target: string): Promise<void>;
  discard(): Promise<void>;
}

const folders = ["blobs", "partial", "images", "names", "suites", TRANSLATIONS, "tmp"] as const;
/** A temporary file this old belongs to nobody, whatever process has its number now. */
const staleAfterMs = 24 * 3_600_000;
/** A claim of a dead process's file waits this long, in case the process lives in another container. */
const orphanAfterMs = 60_000;

export class ImageCache {
  readonly directory: string;
  readonly #writeAll: WriteAll;
  /** Files that came into being through this object: what {@link takeBack} removes. */
  readonly #added = new Set<string>();

  constructor(directory: string, writeAll: WriteAll = writeAllToDisk) {
    this.directory = directory;
    this.#writeAll = writeAll;
  }

  /** Makes the folders. @throws {ImageError} when that is not possible. */
  async prepare(): Promise<void> {
    await this.guard(async () => {
      for (const folder of folders) await mkdir(join(this.directory, folder), { recursive: true });
    });
  }

  path(folder: (typeof folders)[number], name: string): string {
    return join(this.directory, folder, name);
  }

  /** Runs `work`, turning a failure of the disk into an {@link ImageError} with a remedy. */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw cacheError(error, this.directory);
    }
  }

  /** A blob whose content matches its address; undefined when there is none. A damaged one is removed. */
  async readBlob(sha256: string): Promise<Buffer | undefined> {
    const path = this.path("blobs", sha256);
    let content: Buffer;
    try {
      content = await readFile(path);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw cacheError(error, this.directory);
    }
    if (createHash("sha256").update(content).digest("hex") === sha256) return content;
    await rm(path, { force: true });
    return undefined;
  }

  /** Stores `content` under its hash, which is returned. */
  async storeBlob(content: Uint8Array): Promise<string> {
    const sha256 = createHash("sha256").update(content).digest("hex");
    await this.#store(this.path("blobs", sha256), sha256, content);
    return sha256;
  }

  async #store(target: string, label: string, content: Uint8Array): Promise<void> {
    const file = await this.createTemporary(label);
    try {
      await file.write(content, 0);
      await file.commit(target);
    } catch (error) {
      await file.discard();
      throw cacheError(error, this.directory);
    }
  }

  /** Writes a small JSON file in one step. */
  async writeJson(folder: (typeof folders)[number], name: string, value: unknown): Promise<void> {
    await this.#store(this.path(folder, name), name, Buffer.from(`${JSON.stringify(value, null, 2)}\n`));
  }

  /** A JSON file; undefined when it is missing or no JSON. */
  async readJson(folder: (typeof folders)[number], name: string): Promise<unknown> {
    try {
      return JSON.parse(await readFile(this.path(folder, name), "utf8")) as unknown;
    } catch {
      return undefined;
    }
  }

  /** The file names in a folder of the cache, sorted; none when there is no cache yet. */
  async names(folder: (typeof folders)[number]): Promise<string[]> {
    try {
      return (await readdir(join(this.directory, folder))).sort();
    } catch {
      return [];
    }
  }

  /** A new temporary file. */
  async createTemporary(label: string): Promise<TemporaryFile> {
    return this.guard(async () => {
      const path = this.path("tmp", temporaryName(label));
      return this.#temporary(path, await open(path, "wx+"));
    });
  }

  /** What is left of an earlier download of `sha256`, now ours alone; or a new temporary file (C2). */
  async claimPartial(sha256: string): Promise<TemporaryFile> {
    const path = this.path("tmp", temporaryName(sha256));
    for (const source of [this.path("partial", sha256), ...(await this.#orphans(sha256))]) {
      try {
        await rename(source, path);
        return this.#temporary(path, await open(path, "r+"));
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw cacheError(error, this.directory);
      }
    }
    return this.createTemporary(sha256);
  }

  /** Temporary files for `label` whose process has died without setting them aside. */
  async #orphans(label: string): Promise<string[]> {
    const found: string[] = [];
    for (const name of await this.names("tmp")) {
      if (!name.startsWith(`${label}.`)) continue;
      const path = this.path("tmp", name);
      if (await isAbandoned(path, orphanAfterMs)) found.push(path);
    }
    return found;
  }

  /** Removes everything that was added through this object: on a full disk, half an image helps nobody. */
  async takeBack(): Promise<void> {
    for (const path of this.#added) await rm(path, { force: true });
    this.#added.clear();
  }

  #temporary(path: string, handle: FileHandle): TemporaryFile {
    let closed = false;
    const close = async (): Promise<void> => {
      if (closed) return;
      closed = true;
      await handle.close();
    };
    return {
      path,
      write: (bytes, position) => this.#writeAll(handle, bytes, position),
      content: async (limit) => {
        const { size } = await handle.stat();
        const buffer = Buffer.alloc(Math.min(size, limit));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
        return buffer.subarray(0, bytesRead);
      },
      commit: async (target) => {
        await handle.datasync();
        await close();
        const isNew = !(await exists(target));
        await rename(path, target);
        if (isNew) this.#added.add(target);
        await syncDirectory(dirname(target));
      },
      setAside: async (target) => {
        await close();
        await rename(path, target);
        this.#added.add(target);
      },
      discard: async () => {
        await close().catch(() => {});
        await rm(path, { force: true });
      },
    };
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Whether `error` says that there is no room left. */
export function isDiskFull(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOSPC" || code === "EDQUOT";
}

function temporaryName(label: string): string {
  return `${label}.${process.pid}.${randomBytes(6).toString("hex")}`;
}

/** Whether a temporary file's writer is gone. `youngMs` protects files that were touched just now. */
export async function isAbandoned(path: string, youngMs: number): Promise<boolean> {
  const pid = Number(/\.([0-9]+)\.[0-9a-f]{12}$/.exec(path)?.[1]);
  try {
    const age = Date.now() - (await stat(path)).mtimeMs;
    if (age > staleAfterMs) return true;
    return age > youngMs && !isAlive(pid);
  } catch {
    return false;
  }
}

/** Whether a process of this number runs. */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

/** Makes a rename last through a power cut. Platforms that cannot open folders do without. */
async function syncDirectory(path: string): Promise<void> {
  try {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // Windows refuses; the content is checked when it is read (C3).
  }
}

/** An {@link ImageError} for a failure of the disk; others pass through unchanged. */
export function cacheError(error: unknown, directory: string): unknown {
  if (error instanceof ImageError) return error;
  const code = codeOf(error);
  if (code === undefined || !/^E[A-Z]+$/.test(code)) return error;
  const remedies: Record<string, string> = {
    ENOSPC: "free some space (coppice image prune), or set COPPICE_CACHE to a folder on another disk",
    EDQUOT: "free some space (coppice image prune), or set COPPICE_CACHE to a folder on another disk",
    EACCES: "give yourself write access to it, or set COPPICE_CACHE to another folder",
    EPERM: "give yourself write access to it, or set COPPICE_CACHE to another folder",
    EROFS: "set COPPICE_CACHE to a folder that can be written",
  };
  const full = isDiskFull(error);
  return new ImageError({
    part: "cache",
    problem: full ? `the disk is full: ${directory}` : `${directory} cannot be used: ${messageOf(error)}`,
    remedy: remedies[code] ?? "check the folder, or set COPPICE_CACHE to another one",
    cause: error,
  });
}
