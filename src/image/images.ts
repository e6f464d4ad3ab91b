/**
 * The images in the cache: finding, listing, removing them. Building one is in build.ts.
 *
 * An image is a file named by its digest; a name is a small file that points to one. Several names may point
 * to the same image, and an image that no name points to is garbage until the next prune.
 */

import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ImageCache, TRANSLATIONS, cacheDirectory, isAbandoned, isAlive } from "./cache.ts";
import { ImageError } from "./errors.ts";
import type { LockedPackage } from "./lock-file.ts";

/** What the cache knows about an image. */
export interface ImageInfo {
  name: string;
  /** dm-verity root digest, 64 hexadecimal digits. */
  digest: string;
  /** The file. */
  path: string;
  /** Size of the file. */
  bytes: number;
  /** Blocks of 4096 bytes of the file system; the hash area follows. */
  dataBlocks: number;
  inodes: number;
  suite: string;
  architecture: string;
  /** Of the Debian release, for example "13.7". */
  releaseVersion: string;
  /** When Debian made the release; seconds since 1970. */
  releaseSeconds: number;
  /** When the image was built here; milliseconds since 1970. */
  createdMs: number;
  include: string[];
  packages: LockedPackage[];
  /** Hashes of everything it was made from. */
  blobs: string[];
}

/** The part of {@link ImageInfo} that is stored beside the image. */
export type ImageRecord = Omit<ImageInfo, "name" | "path">;

export interface CacheOptions {
  /** Default: see cache.ts. */
  cacheDirectory?: string;
}

/** @throws {ImageError} for a name that is not made of lower-case letters, digits, dots, dashes, underscores. */
export function checkImageName(name: string): void {
  if (/^[a-z0-9][a-z0-9._-]{0,127}$/.test(name)) return;
  throw new ImageError({
    part: "options",
    problem: `"${name}" is not a name for an image`,
    remedy: "use lower-case letters, digits, dots, dashes and underscores, beginning with a letter or digit",
  });
}

function openCache(options: CacheOptions): ImageCache {
  return new ImageCache(options.cacheDirectory ?? cacheDirectory());
}

/** The image called `name`; undefined when there is none. */
export async function lookUpImage(name: string, options: CacheOptions = {}): Promise<ImageInfo | undefined> {
  checkImageName(name);
  const cache = openCache(options);
  const digest = await digestOf(cache, name);
  if (digest === undefined) return undefined;
  const record = (await cache.readJson("images", `${digest}.json`)) as ImageRecord | undefined;
  const path = cache.path("images", `${digest}.img`);
  const there = await stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
  if (!there || !isRecord(record) || record.digest !== digest) return undefined;
  return { ...record, name, path };
}

/** Whether what lies beside an image is what {@link ImageRecord} says, as far as anyone relies on it. */
function isRecord(value: ImageRecord | undefined): value is ImageRecord {
  return (
    typeof value === "object" &&
    value !== null &&
    Number.isSafeInteger(value.dataBlocks) &&
    value.dataBlocks > 0 &&
    Array.isArray(value.packages) &&
    Array.isArray(value.blobs)
  );
}

/** The image called `name`. @throws {ImageError} when there is none, saying how to build it. */
export async function findImage(name: string, options: CacheOptions = {}): Promise<ImageInfo> {
  const found = await lookUpImage(name, options);
  if (found !== undefined) return found;
  throw new ImageError({
    part: "image",
    problem: `there is no image "${name}"`,
    remedy: `build it with coppice image build ${name}, or see what there is with coppice image ls`,
  });
}

/** The same as {@link findImage}, under the name of the command. */
export const inspectImage: typeof findImage = findImage;

/** All images that have a name, by name. */
export async function listImages(options: CacheOptions = {}): Promise<ImageInfo[]> {
  const cache = openCache(options);
  const found: ImageInfo[] = [];
  for (const file of await cache.names("names")) {
    const name = file.replace(/\.json$/, "");
    if (!/^[a-z0-9][a-z0-9._-]{0,127}$/.test(name)) continue;
    const info = await lookUpImage(name, options);
    if (info !== undefined) found.push(info);
  }
  return found;
}

export interface RemoveReport {
  name: string;
  digest: string;
  /** 0 when another name still points to the image. */
  freedBytes: number;
}

/** Removes the name, and the image unless another name points to it. @throws {ImageError} when there is none. */
export async function removeImage(name: string, options: CacheOptions = {}): Promise<RemoveReport> {
  checkImageName(name);
  const cache = openCache(options);
  const digest = await digestOf(cache, name);
  if (digest === undefined) await findImage(name, options); // Throws, with the message for it.
  return cache.guard(async () => {
    await rm(cache.path("names", `${name}.json`), { force: true });
    const others = await namedDigests(cache);
    let freedBytes = 0;
    if (digest !== undefined && !others.has(digest)) {
      freedBytes += await removeFile(cache.path("images", `${digest}.img`));
      freedBytes += await removeFile(cache.path("images", `${digest}.json`));
      for (const file of await cache.names(TRANSLATIONS)) {
        if (file.startsWith(`${digest}.`)) freedBytes += await removeFile(cache.path(TRANSLATIONS, file));
      }
    }
    return { name, digest: digest ?? "", freedBytes };
  });
}

export interface PruneOptions extends CacheOptions {
  /** Also the downloads that the images left were made from; rebuilding one then needs the mirror. */
  all?: boolean;
}

export interface PruneReport {
  images: number;
  downloads: number;
  temporary: number;
  freedBytes: number;
}

/**
 * Removes what nothing needs: images without a name, downloads that no named image was made from, broken
 * downloads, and what dead processes left. What a running build has made since it began stays.
 */
export async function pruneImages(options: PruneOptions = {}): Promise<PruneReport> {
  const cache = openCache(options);
  const report: PruneReport = { images: 0, downloads: 0, temporary: 0, freedBytes: 0 };
  const since = await oldestRunningBuild(cache);
  const digests = await namedDigests(cache);
  const blobs = new Set<string>();
  for (const digest of options.all === true ? [] : digests) {
    const record = (await cache.readJson("images", `${digest}.json`)) as ImageRecord | undefined;
    for (const blob of record?.blobs ?? []) blobs.add(blob);
  }
  const sweep = async (
    folder: "images" | "blobs" | "partial" | typeof TRANSLATIONS,
    keep: (name: string) => boolean,
  ): Promise<number> => {
    let count = 0;
    for (const name of await cache.names(folder)) {
      const path = cache.path(folder, name);
      if (keep(name) || (await modifiedMs(path)) >= since) continue;
      report.freedBytes += await removeFile(path);
      count += 1;
    }
    return count;
  };
  await cache.guard(async () => {
    await sweep("images", (name) => name.endsWith(".img") || digests.has(name.replace(/\.json$/, "")));
    report.images = await sweep("images", (name) => digests.has(name.replace(/\.(img|json)$/, "")));
    await sweep(TRANSLATIONS, (name) => digests.has(name.split(".")[0]!));
    report.downloads = await sweep("blobs", (name) => blobs.has(name));
    report.temporary = await sweep("partial", () => false);
    for (const name of await cache.names("tmp")) {
      const path = cache.path("tmp", name);
      if (!(await isAbandoned(path, 0))) continue;
      report.freedBytes += await removeFile(path);
      report.temporary += 1;
    }
  });
  return report;
}

/** File name stem of the marks that running builds keep in tmp/. */
export const buildMark = "build";

/** When the oldest build that still runs began; Infinity when none does. */
async function oldestRunningBuild(cache: ImageCache): Promise<number> {
  let oldest = Infinity;
  for (const name of await cache.names("tmp")) {
    const pid = Number(/^build\.([0-9]+)\./.exec(name)?.[1]);
    if (isAlive(pid)) oldest = Math.min(oldest, await modifiedMs(cache.path("tmp", name)));
  }
  return oldest;
}

async function digestOf(cache: ImageCache, name: string): Promise<string | undefined> {
  const reference = (await cache.readJson("names", `${name}.json`)) as { digest?: unknown } | undefined;
  const digest = reference?.digest;
  return typeof digest === "string" && /^[0-9a-f]{64}$/.test(digest) ? digest : undefined;
}

async function namedDigests(cache: ImageCache): Promise<Set<string>> {
  const digests = new Set<string>();
  for (const file of await cache.names("names")) {
    const digest = await digestOf(cache, file.replace(/\.json$/, ""));
    if (digest !== undefined) digests.add(digest);
  }
  return digests;
}

async function modifiedMs(path: string): Promise<number> {
  return stat(path).then(
    (info) => info.mtimeMs,
    () => 0,
  );
}

/** Removes a file; its size, or 0 when it was gone already. */
async function removeFile(path: string): Promise<number> {
  const size = await stat(path).then(
    (info) => info.size,
    () => 0,
  );
  await rm(path, { force: true });
  return size;
}

/** Bytes that the whole cache takes. */
export async function cacheSize(options: CacheOptions = {}): Promise<number> {
  const root = options.cacheDirectory ?? cacheDirectory();
  let total = 0;
  try {
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) total += (await stat(join(entry.parentPath, entry.name))).size;
    }
  } catch {
    return total; // A file that went while we counted, or no cache yet.
  }
  return total;
}
