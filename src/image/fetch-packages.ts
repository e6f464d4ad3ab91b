/**
 * Downloads packages several at a time and unpacks each as it arrives.
 */

import { DebError } from "./deb.ts";
import type { DebPackage } from "./deb.ts";
import { ImageError } from "./errors.ts";
import type { LockedPackage } from "./lock-file.ts";
import type { PhaseMeter } from "./progress.ts";
import { createUnpackPool } from "./unpack-pool.ts";
import type { UnpackPool } from "./unpack-pool.ts";

export interface FetchedPackage {
  entry: LockedPackage;
  deb: DebPackage;
}

/** Connections at a time: enough to hide the latency of small files, few enough to be polite. */
const parallel = 8;

/** base-files brings the root directory and the links of a merged /usr, so it goes first, as in debootstrap. */
const firstToUnpack: readonly string[] = ["base-files", "base-passwd"];

/**
 * Fetches and unpacks `packages`; the result is in the order in which they are laid into the tree. The first
 * failure stops the rest, and nothing is under way any more when it is thrown.
 */
export async function planFetch(
  packages: readonly LockedPackage[],
  get: (entry: LockedPackage, signal: AbortSignal) => Promise<{ content: Buffer; cached: boolean }>,
  downloading: PhaseMeter,
  unpacking: PhaseMeter,
  signal: AbortSignal,
): Promise<FetchedPackage[]> {
  const totalBytes = packages.reduce((sum, { size }) => sum + size, 0);
  downloading.plan(packages.length, totalBytes);
  unpacking.plan(packages.length, 0);
  const results = new Map<string, DebPackage>();
  const failed = new AbortController();
  const stop = AbortSignal.any([signal, failed.signal]);
  // The largest first: the last connection to finish then carries little.
  const queue = [...packages].sort((a, b) => b.size - a.size || (a.name < b.name ? -1 : 1));
  const pool = createUnpackPool();
  let failure: { error: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
      try {
        const { content } = await get(entry, stop);
        downloading.add(1, 0, entry.name);
        const deb = await unpack(pool, content, entry);
        results.set(entry.name, deb);
        unpacking.add(1, deb.data.length, entry.name);
        stop.throwIfAborted();
      } catch (error) {
        failure ??= { error };
        failed.abort(error);
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  await pool.close();
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
  const rank = ({ name }: LockedPackage): number =>
    firstToUnpack.indexOf(name) + 1 || firstToUnpack.length + 1;
  return [...packages]
    .sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
    .map((entry) => ({ entry, deb: results.get(entry.name) as DebPackage }));
}

async function unpack(pool: UnpackPool, content: Buffer, entry: LockedPackage): Promise<DebPackage> {
  try {
    return await pool.unpack(content);
  } catch (error) {
    if (!(error instanceof DebError)) throw error;
    throw new ImageError({
      part: "package",
      problem: `package ${entry.name} ${entry.version} (${entry.filename}) cannot be unpacked: ${error.message}`,
      remedy: "leave it out of --include, or use another mirror",
      cause: error,
    });
  }
}
