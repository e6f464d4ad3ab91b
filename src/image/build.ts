/**
 * Builds an image: release → index → packages → tree → EROFS with its hash tree, in the cache.
 *
 *     mirror ── InRelease ─(signature)─► Packages ─(SHA-256)─► .deb files ─(SHA-256)─► tree ──► image ──► name
 *
 * Every step before the last adds only content-addressed files; the name is written last, in one step, so a
 * build that fails or is stopped leaves the images that were there as they were.
 */

import { createHash } from "node:crypto";
import { planFetch } from "./fetch-packages.ts";
import type { FetchedPackage } from "./fetch-packages.ts";
import { ImageCache, cacheDirectory, isDiskFull } from "./cache.ts";
import type { WriteAll } from "./cache.ts";
import { configureSystem } from "./configure.ts";
import { debianKeys } from "./debian-keys.ts";
import { compressionOf, decompress } from "./decompress.ts";
import { defaultSettings, fetchVerified, joinUrl } from "./download.ts";
import type { DownloadSettings } from "./download.ts";
import { writeDpkgDatabase } from "./dpkg-database.ts";
import { ImageError, messageOf } from "./errors.ts";
import { writeImage } from "./image-file.ts";
import { buildMark, checkImageName } from "./images.ts";
import type { ImageInfo, ImageRecord } from "./images.ts";
import { checkLockFits, makeLock, readLock, writeLock } from "./lock-file.ts";
import type { Lock } from "./lock-file.ts";
import { checkMirrorUrl, findMirror } from "./mirror.ts";
import { readKeys } from "./openpgp-verify.ts";
import type { SigningKey } from "./openpgp-verify.ts";
import { checkPackageFile, readPackageIndex } from "./package-index.ts";
import type { PackageIndex } from "./package-index.ts";
import { beginPhase, silent } from "./progress.ts";
import type { PhaseMeter, Progress } from "./progress.ts";
import { readRelease } from "./release.ts";
import type { Release } from "./release.ts";
import { baseSet, resolvePackages } from "./resolve.ts";
import { FileTree } from "./tree.ts";
import { Unpacker } from "./unpack.ts";
import { UnwritableTreeError } from "../erofs/writer.ts";

export interface BuildOptions {
  /** What the image will be called; an older image of that name loses it. */
  name: string;
  /** Default "trixie". */
  suite?: string;
  /** Packages beyond the base; names, in any order. */
  include?: readonly string[];
  /** Address of a Debian archive. Default: `COPPICE_MIRROR`, then the host's apt sources. */
  mirror?: string;
  /** Lock file: obeyed when it exists, written when it does not. */
  lock?: string;
  /** Use only what the cache holds. */
  offline?: boolean;
  /** Default: see cache.ts. */
  cacheDirectory?: string;
  /** For tests and for other archives than Debian's own. */
  environment?: Partial<BuildEnvironment>;
}

/** What a build takes from around it. */
export interface BuildEnvironment {
  nowMs: () => number;
  env: NodeJS.ProcessEnv;
  /** Where apt keeps its sources. */
  aptDirectory: string;
  /** Armoured public keys that may sign a release; Debian's by default. */
  trustedKeys: readonly string[];
  download: DownloadSettings;
  writeAll: WriteAll | undefined;
}

export interface BuiltImage extends ImageInfo {
  /** Milliseconds by phase. */
  timings: Readonly<Record<string, number>>;
  /** What the build had to say: see {@link Progress.note}. */
  notes: string[];
}

const architecture = "riscv64";
const component = "main";
const indexLimit = 1024 ** 3;

interface Context {
  options: BuildOptions;
  suite: string;
  include: string[];
  environment: BuildEnvironment;
  cache: ImageCache;
  signal: AbortSignal;
  begin: (phase: Parameters<typeof beginPhase>[1]) => PhaseMeter;
  keys: readonly SigningKey[];
}

/** Where the packages come from and which they are. */
interface Selection {
  lock: Lock;
  /** undefined when offline. */
  mirror: string | undefined;
  blobs: string[];
}

/**
 * Builds the image `options.name`.
 * @throws {ImageError} when it cannot be built; the reason of `signal` when that stops it.
 */
export async function buildImage(
  options: BuildOptions,
  progress: Progress = silent,
  signal: AbortSignal = new AbortController().signal,
): Promise<BuiltImage> {
  checkOptions(options);
  const environment: BuildEnvironment = {
    nowMs: Date.now,
    env: process.env,
    aptDirectory: "/etc/apt",
    trustedKeys: debianKeys.map(({ armor }) => armor),
    download: defaultSettings,
    writeAll: undefined,
    ...options.environment,
  };
  const timings: Record<string, number> = {};
  const notes: string[] = [];
  const cache = new ImageCache(
    options.cacheDirectory ?? cacheDirectory(environment.env),
    environment.writeAll,
  );
  await cache.prepare();
  const context: Context = {
    options,
    suite: options.suite ?? "trixie",
    include: [...new Set(options.include ?? [])].sort(),
    environment,
    cache,
    signal,
    keys: environment.trustedKeys.flatMap((armor) => readKeys(armor)),
    begin: (phase) => {
      const meter = beginPhase(progress, phase, environment.nowMs);
      const end = (): void => {
        meter.end();
        timings[phase] = meter.elapsedMs;
      };
      return {
        plan: (items, bytes) => meter.plan(items, bytes),
        add: (items, bytes, detail, cached) => meter.add(items, bytes, detail, cached),
        end,
        get elapsedMs() {
          return meter.elapsedMs;
        },
      };
    },
  };
  const note = (message: string): void => {
    notes.push(message);
    progress.note?.(message);
  };
  signal.throwIfAborted();
  const mark = await cache.createTemporary(buildMark);
  try {
    const selection = await selectPackages(context);
    const fetched = await fetchAll(context, selection);
    const info = await assemble(context, selection, fetched, note);
    return { ...info, timings, notes };
  } catch (error) {
    if (isDiskFull(error)) await cache.takeBack();
    signal.throwIfAborted(); // Whatever the stop has torn on its way here.
    throw error;
  } finally {
    await mark.discard();
  }
}

function checkOptions(options: BuildOptions): void {
  checkImageName(options.name);
  if (!/^[a-z][a-z0-9.-]*$/.test(options.suite ?? "trixie")) {
    throw new ImageError({
      part: "options",
      problem: `"${options.suite}" is not the name of a Debian suite`,
      remedy: "use a name such as trixie or bookworm",
    });
  }
  for (const name of options.include ?? []) {
    if (/^[a-z0-9][a-z0-9+.-]+$/.test(name)) continue;
    throw new ImageError({
      part: "options",
      problem: `"${name}" is not the name of a Debian package`,
      remedy: "write --include with package names separated by commas",
    });
  }
  if (options.mirror !== undefined) checkMirrorUrl(options.mirror, "--mirror");
}

/** Decides on the packages: from the lock file, or from the release and its index. */
async function selectPackages(context: Context): Promise<Selection> {
  const { options, suite, include } = context;
  if (options.lock !== undefined) {
    const lock = await readLock(options.lock);
    if (lock !== undefined) {
      checkLockFits(lock, options.lock, { suite, architecture, include });
      const mirror = options.offline === true ? undefined : await mirrorForLock(context, lock);
      return { lock, mirror, blobs: [] };
    }
  }
  const meter = context.begin("release");
  const source = options.offline === true ? await cachedRelease(context) : await onlineRelease(context);
  meter.add(1, source.inRelease.length, `${source.release.codename} ${source.release.version}`);
  meter.end();
  const index = await readIndex(context, source);
  const resolving = context.begin("resolve");
  const { packages } = resolvePackages(index.index, [...baseSet(index.index), ...include]);
  packages.forEach(checkPackageFile);
  // The clone's strings are its own: parts of the index's text would keep all of its 50 MB in memory.
  const lock = structuredClone(
    makeLock({
      suite,
      architecture,
      include,
      release: {
        version: source.release.version,
        dateSeconds: source.release.dateSeconds,
        inRelease: source.sha256,
      },
      packages: packages.map(({ name, version, architecture: its, filename, size, sha256 }) => ({
        name,
        version,
        architecture: its,
        filename,
        size,
        sha256,
      })),
    }),
  );
  resolving.plan(packages.length, 0);
  resolving.add(packages.length, 0);
  resolving.end();
  return { lock, mirror: source.mirror, blobs: [source.sha256, index.sha256] };
}

interface ReleaseSource {
  release: Release;
  inRelease: Buffer;
  sha256: string;
  mirror: string | undefined;
}

/** With a lock, the mirror needs no release: what it sends is checked against the lock. */
async function mirrorForLock(context: Context, lock: Lock): Promise<string | undefined> {
  const { environment, options, cache } = context;
  const named = options.mirror ?? environment.env["COPPICE_MIRROR"];
  if (named !== undefined && named !== "") return checkMirrorUrl(named, "the mirror");
  // Nothing to fetch, no mirror needed: a locked build in a warm cache works without a network.
  const missing = await Promise.all(lock.packages.map(async ({ sha256 }) => !(await cache.readBlob(sha256))));
  return missing.includes(true) ? (await onlineRelease(context)).mirror : undefined;
}

async function onlineRelease(context: Context): Promise<ReleaseSource> {
  const { environment, options, suite, cache, keys, signal } = context;
  const found = await findMirror(
    {
      mirror: options.mirror,
      env: environment.env,
      aptDirectory: environment.aptDirectory,
      suite,
      keys,
      nowSeconds: environment.nowMs() / 1000,
      settings: environment.download,
    },
    signal,
  );
  const sha256 = await cache.storeBlob(found.inRelease);
  return { release: found.release, inRelease: found.inRelease, sha256, mirror: found.url };
}

async function cachedRelease(context: Context): Promise<ReleaseSource> {
  const { environment, suite, cache, keys } = context;
  const known = (await cache.readJson("suites", `${suite}.json`)) as { sha256?: unknown } | undefined;
  const sha256 = typeof known?.sha256 === "string" && /^[0-9a-f]{64}$/.test(known.sha256) ? known.sha256 : "";
  const inRelease = sha256 === "" ? undefined : await cache.readBlob(sha256);
  if (inRelease === undefined) {
    throw new ImageError({
      part: "release",
      problem: `the cache holds no release file of suite ${suite}`,
      remedy: "build once without --offline, or name a lock file whose packages the cache holds",
    });
  }
  const where = `the cached release file of ${suite}`;
  const release = readRelease(inRelease, keys, suite, environment.nowMs() / 1000, where);
  return { release, inRelease, sha256, mirror: undefined };
}

async function readIndex(
  context: Context,
  source: ReleaseSource,
): Promise<{ index: PackageIndex; sha256: string }> {
  const { cache, environment, signal, suite } = context;
  const { release, mirror } = source;
  const stem = `${component}/binary-${architecture}/Packages`;
  const file = [".xz", ".gz", ""].map((ending) => release.files.get(stem + ending)).find(Boolean);
  if (file === undefined) {
    throw new ImageError({
      part: "release",
      problem: `suite ${suite} has no packages for ${architecture} (${stem} is not in its release file)`,
      remedy: "choose a suite that Debian builds for riscv64, such as trixie",
    });
  }
  const meter = context.begin("index");
  meter.plan(1, file.size);
  const folder = `dists/${suite}/${file.path.slice(0, file.path.lastIndexOf("/"))}`;
  const urls =
    mirror === undefined
      ? []
      : [
          ...(release.byHash ? [joinUrl(mirror, `${folder}/by-hash/SHA256/${file.sha256}`)] : []),
          joinUrl(mirror, `dists/${suite}/${file.path}`),
        ];
  const wanted = { urls, sha256: file.sha256, size: file.size, title: `the package index of ${suite}` };
  const onBytes = (bytes: number, cached: boolean): void => meter.add(0, bytes, "Packages", cached);
  const { content } =
    mirror === undefined
      ? await fromCache(context, wanted, onBytes)
      : await fetchVerified(cache, wanted, environment.download, signal, onBytes);
  try {
    const text = await decompress(content, compressionOf(file.path) ?? "none", indexLimit);
    signal.throwIfAborted();
    const index = readPackageIndex(Buffer.from(text.buffer, 0, text.length).toString("latin1"), architecture);
    meter.add(1, 0);
    meter.end();
    return { index, sha256: file.sha256 };
  } catch (error) {
    if (error instanceof ImageError || signal.aborted) throw error;
    throw new ImageError({
      part: "index",
      problem: `the package index of ${suite} cannot be read: ${messageOf(error)}`,
      remedy: "use another mirror, this one's index is broken",
      cause: error,
    });
  }
}

/** A file that has to be in the cache, since nothing may be fetched. */
async function fromCache(
  context: Context,
  wanted: { sha256: string; title: string },
  onBytes: (count: number, cached: boolean) => void,
): Promise<{ content: Buffer; cached: boolean }> {
  const content = await context.cache.readBlob(wanted.sha256);
  if (content === undefined) {
    throw new ImageError({
      part: "cache",
      problem: `${wanted.title} is not in the cache`,
      remedy: "build once without --offline",
    });
  }
  onBytes(content.length, true);
  return { content, cached: true };
}

/** Fetches and unpacks all packages, several at a time. */
async function fetchAll(context: Context, selection: Selection): Promise<FetchedPackage[]> {
  const { cache, environment, signal } = context;
  const { mirror, lock } = selection;
  const downloading = context.begin("download");
  const unpacking = context.begin("unpack");
  const get = (
    entry: Lock["packages"][number],
    stop: AbortSignal,
  ): Promise<{ content: Buffer; cached: boolean }> => {
    const onBytes = (bytes: number, cached: boolean): void => downloading.add(0, bytes, entry.name, cached);
    const title = `package ${entry.name} ${entry.version}`;
    if (mirror === undefined) return fromCache(context, { sha256: entry.sha256, title }, onBytes);
    const wanted = { urls: [joinUrl(mirror, entry.filename)], sha256: entry.sha256, size: entry.size, title };
    return fetchVerified(cache, wanted, environment.download, stop, onBytes);
  };
  const fetched = await planFetch(lock.packages, get, downloading, unpacking, signal);
  downloading.end();
  unpacking.end();
  return fetched;
}

/** Puts the tree together and writes the image. */
async function assemble(
  context: Context,
  selection: Selection,
  fetched: readonly FetchedPackage[],
  note: (message: string) => void,
): Promise<ImageInfo> {
  const { cache, signal, options, environment } = context;
  const { lock } = selection;
  const configuring = context.begin("configure");
  const tree = new FileTree(lock.release.dateSeconds);
  const unpacker = new Unpacker(tree, note);
  const unpacked = fetched.map(({ deb, entry }) =>
    unpacker.unpack(deb, `package ${entry.name} ${entry.version}`),
  );
  try {
    configureSystem(tree, unpacked, { hostname: "coppice", releaseSeconds: lock.release.dateSeconds, note });
    writeDpkgDatabase(tree, unpacked);
  } catch (error) {
    throw new ImageError({
      part: "file system",
      problem: `the system cannot be configured: ${messageOf(error)}`,
      remedy: "leave out the packages that were added by --include",
      cause: error,
    });
  }
  configuring.end();
  signal.throwIfAborted();

  const writing = context.begin("write");
  const seed = createHash("sha256").update(JSON.stringify(lock)).digest();
  const file = await cache.createTemporary("image");
  try {
    const written = await cache.guard(() =>
      writeImage(
        file,
        tree.root,
        seed,
        lock.release.dateSeconds,
        signal,
        (bytes) => writing.plan(1, bytes),
        (bytes) => writing.add(0, bytes),
      ),
    );
    const record: ImageRecord = {
      digest: written.digest,
      bytes: written.bytes,
      dataBlocks: written.dataBlocks,
      inodes: written.inodes,
      suite: lock.suite,
      architecture: lock.architecture,
      releaseVersion: lock.release.version,
      releaseSeconds: lock.release.dateSeconds,
      createdMs: environment.nowMs(),
      include: lock.include,
      packages: lock.packages,
      blobs: [...selection.blobs, ...lock.packages.map(({ sha256 }) => sha256)],
    };
    signal.throwIfAborted();
    if (options.lock !== undefined) await writeLock(options.lock, lock);
    const path = cache.path("images", `${written.digest}.img`);
    await cache.guard(() => file.commit(path));
    await cache.writeJson("images", `${written.digest}.json`, record);
    const { mirror } = selection;
    if (selection.blobs.length > 0 && mirror !== undefined) {
      await cache.writeJson("suites", `${lock.suite}.json`, { sha256: lock.release.inRelease, mirror });
    }
    await cache.writeJson("names", `${options.name}.json`, { digest: written.digest });
    writing.add(1, 0);
    writing.end();
    return { ...record, name: options.name, path };
  } catch (error) {
    await file.discard();
    if (!(error instanceof UnwritableTreeError)) throw error;
    throw new ImageError({
      part: "file system",
      problem: `the tree does not fit the image format: ${error.message}`,
      remedy: "leave out the package that brings this file",
      cause: error,
    });
  }
}
