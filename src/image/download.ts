/**
 * Fetches files from a mirror (http, https or file addresses) into the cache.
 *
 * A file of known hash is resumed where an earlier attempt broke off, checked, and only then given out. A
 * connection that brings nothing for a while counts as broken; broken ones are tried again a few times.
 */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import type { ImageCache, TemporaryFile } from "./cache.ts";
import { cacheError } from "./cache.ts";
import { ImageError, codeOf, messageOf } from "./errors.ts";

export interface DownloadSettings {
  /** Pause before the second attempt; it doubles for each further one. */
  retryDelayMs: number;
  /** A connection that brings no byte for so long is broken. */
  idleMs: number;
  attempts: number;
}

export const defaultSettings: DownloadSettings = { retryDelayMs: 500, idleMs: 30_000, attempts: 5 };

/** The server answered, but not with the file. */
export class HttpStatusError extends Error {
  override readonly name: string = "HttpStatusError";
  readonly status: number;
  constructor(status: number) {
    super(`the server answered ${status}`);
    this.status = status;
  }
}

/** A file of known content. */
export interface WantedFile {
  /** Where it may be, tried in order when it is missing. */
  urls: readonly string[];
  sha256: string;
  size: number;
  /** For messages: a package or file name. */
  title: string;
}

export interface Download {
  content: Buffer;
  cached: boolean;
}

/** The address of `path` (slashes between its parts) below `base`. */
export function joinUrl(base: string, path: string): string {
  return `${base.replace(/\/+$/, "")}/${encodeURI(path)}`;
}

/**
 * A whole file of unknown content, at most `limit` bytes.
 * @throws {HttpStatusError} when it is not there (404 also for a missing local file).
 */
export async function fetchWhole(
  url: string,
  limit: number,
  settings: DownloadSettings,
  signal: AbortSignal,
): Promise<Buffer> {
  for (let attempt = 1; ; attempt++) {
    const parts: Uint8Array[] = [];
    let size = 0;
    try {
      await transfer(url, 0, settings.idleMs, signal, {
        begin: () => {},
        chunk: async (bytes) => {
          size += bytes.length;
          if (size > limit) throw new Error(`larger than ${limit} bytes`);
          parts.push(bytes);
        },
      });
      return Buffer.concat(parts);
    } catch (error) {
      await beforeRetry(error, attempt, settings, signal);
    }
  }
}

/**
 * The content of `wanted`, from the cache or from the mirror; `onBytes` hears what arrives (and a negative
 * number when bytes have to be fetched again).
 * @throws {ImageError} when it cannot be had, or what the mirror has is something else.
 */
export async function fetchVerified(
  cache: ImageCache,
  wanted: WantedFile,
  settings: DownloadSettings,
  signal: AbortSignal,
  onBytes: (count: number, cached: boolean) => void,
): Promise<Download> {
  const known = await cache.readBlob(wanted.sha256);
  if (known !== undefined) {
    onBytes(known.length, true);
    return { content: known, cached: true };
  }
  let last: unknown;
  for (const url of wanted.urls) {
    try {
      return { content: await fetchFrom(url, cache, wanted, settings, signal, onBytes), cached: false };
    } catch (error) {
      last = error;
      if (!(error instanceof HttpStatusError) || error.status !== 404) break;
    }
  }
  signal.throwIfAborted();
  if (last instanceof ImageError) throw last;
  throw new ImageError({
    part: "download",
    problem: `${wanted.title} cannot be fetched from ${wanted.urls.at(-1) ?? "nowhere"}: ${reason(last)}`,
    remedy:
      last instanceof HttpStatusError && last.status === 404
        ? "the mirror lacks it or has replaced it: try again later, or use another mirror; for a lock file of older packages, one that keeps them"
        : "check the network and the mirror, then build again: what has arrived is kept",
    cause: last,
  });
}

async function fetchFrom(
  url: string,
  cache: ImageCache,
  wanted: WantedFile,
  settings: DownloadSettings,
  signal: AbortSignal,
  onBytes: (count: number, cached: boolean) => void,
): Promise<Buffer> {
  const file = await cache.claimPartial(wanted.sha256);
  let have = 0;
  let keep = true;
  try {
    const content = Buffer.alloc(wanted.size);
    have = (await file.content(wanted.size)).copy(content);
    let resumed = have > 0;
    onBytes(have, true);
    for (let attempt = 1; ; attempt++) {
      try {
        if (have < wanted.size) {
          await transfer(url, have, settings.idleMs, signal, {
            begin: (offset) => {
              if (offset === have) return;
              onBytes(-have, true);
              have = 0;
              resumed = false;
            },
            chunk: async (bytes) => {
              if (have + bytes.length > wanted.size)
                throw differs(wanted, url, "is longer than it should be");
              await writeChunk(file, bytes, have, cache);
              content.set(bytes, have);
              have += bytes.length;
              onBytes(bytes.length, false);
            },
          });
        }
        if (have < wanted.size) throw new Error(`it ends after ${have} of ${wanted.size} bytes`);
        if (createHash("sha256").update(content).digest("hex") !== wanted.sha256) {
          if (!resumed) throw differs(wanted, url, "does not match its SHA-256");
          // The part that was kept may be of something else: once more from the start.
          resumed = false;
          onBytes(-have, false);
          have = 0;
          continue;
        }
        await cache.guard(() => file.commit(cache.path("blobs", wanted.sha256)));
        return content;
      } catch (error) {
        if (error instanceof ImageError) {
          keep = false;
          throw error;
        }
        await beforeRetry(error, attempt, settings, signal);
      }
    }
  } catch (error) {
    if (keep && have > 0) {
      await file.setAside(cache.path("partial", wanted.sha256)).catch(() => file.discard());
    } else await file.discard();
    throw error;
  }
}

async function writeChunk(
  file: TemporaryFile,
  bytes: Uint8Array,
  at: number,
  cache: ImageCache,
): Promise<void> {
  try {
    await file.write(bytes, at);
  } catch (error) {
    throw cacheError(error, cache.directory);
  }
}

function differs(wanted: WantedFile, url: string, problem: string): ImageError {
  return new ImageError({
    part: "download",
    problem: `${wanted.title} ${problem} (${url})`,
    remedy: "the file was damaged or changed on its way or on the mirror: try again, or use another mirror",
  });
}

/** Returns when another attempt is worth making, else throws `error`. */
async function beforeRetry(
  error: unknown,
  attempt: number,
  settings: DownloadSettings,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const final = error instanceof HttpStatusError && error.status < 500 && error.status !== 429;
  if (final || error instanceof ImageError || attempt >= settings.attempts) throw error;
  await delay(settings.retryDelayMs * 2 ** (attempt - 1), undefined, { signal });
}

interface Receiver {
  /** Called once with the offset from which the bytes come: the one asked for, or 0. */
  begin(offset: number): void;
  chunk(bytes: Uint8Array): Promise<void>;
}

/** One attempt to bring the bytes of `url` from `offset` on. */
async function transfer(
  url: string,
  offset: number,
  idleMs: number,
  signal: AbortSignal,
  receiver: Receiver,
): Promise<void> {
  signal.throwIfAborted();
  if (url.startsWith("file:")) {
    const content = await readLocal(url, signal);
    receiver.begin(0);
    await receiver.chunk(content);
    return;
  }
  const idle = new AbortController();
  const stop = (): void => idle.abort(new Error(`no answer for ${Math.round(idleMs / 1000)} seconds`));
  let timer = setTimeout(stop, idleMs);
  try {
    const headers: Record<string, string> = { "accept-encoding": "identity" };
    if (offset > 0) headers["range"] = `bytes=${offset}-`;
    const response = await fetch(url, { headers, signal: AbortSignal.any([signal, idle.signal]) });
    if (response.status === 416 && offset > 0) {
      await response.body?.cancel();
      return await transfer(url, 0, idleMs, signal, receiver);
    }
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new HttpStatusError(response.status);
    }
    const from = Number(/^bytes ([0-9]+)-/.exec(response.headers.get("content-range") ?? "")?.[1]);
    if (response.status === 206 && from !== offset)
      throw new Error("the server sent another part than asked for");
    receiver.begin(response.status === 206 ? offset : 0);
    for await (const bytes of response.body) {
      clearTimeout(timer);
      await receiver.chunk(bytes);
      timer = setTimeout(stop, idleMs);
    }
  } catch (error) {
    if (idle.signal.aborted && !signal.aborted) throw idle.signal.reason;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function readLocal(url: string, signal: AbortSignal): Promise<Buffer> {
  try {
    return await readFile(fileURLToPath(url), { signal });
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") throw new HttpStatusError(404);
    throw error;
  }
}

/** What went wrong, in words: fetch hides the reason in the cause of its error. */
export function reason(error: unknown): string {
  if (error instanceof HttpStatusError) return error.status === 404 ? "there is no such file" : error.message;
  const parts: string[] = [];
  for (let e = error, depth = 0; e instanceof Error && depth < 4; e = e.cause, depth++) {
    const text = e.message === "" ? (codeOf(e) ?? "") : e.message;
    if (text !== "" && text !== "fetch failed" && !parts.includes(text)) parts.push(text);
  }
  return parts.length > 0 ? parts.join(": ") : messageOf(error);
}
