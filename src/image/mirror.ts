/**
 * Finds the mirror and its signed release file: the option, `COPPICE_MIRROR`, or the host's apt sources, of
 * which the first whose release for the suite is Debian's own (`Origin: Debian`) and properly signed is taken.
 */

import { hostArchives } from "./apt-sources.ts";
import { HttpStatusError, fetchWhole, joinUrl, reason } from "./download.ts";
import type { DownloadSettings } from "./download.ts";
import { ImageError } from "./errors.ts";
import type { SigningKey } from "./openpgp-verify.ts";
import { readRelease } from "./release.ts";
import type { Release } from "./release.ts";

export interface MirrorQuery {
  /** The option; undefined when it was not given. */
  mirror: string | undefined;
  env: NodeJS.ProcessEnv;
  aptDirectory: string;
  suite: string;
  keys: readonly SigningKey[];
  nowSeconds: number;
  settings: DownloadSettings;
}

export interface FoundMirror {
  /** Without a slash at the end. */
  url: string;
  release: Release;
  inRelease: Buffer;
}

const releaseLimit = 64 * 1024 ** 2;
const howToName =
  "name one with --mirror or COPPICE_MIRROR: the address of a Debian archive (http, https or file) that has dists/ and pool/ below it";

/** @throws {ImageError} when `url` is no address that can be used. */
export function checkMirrorUrl(url: string, from: string): string {
  const valid = /^(https?:\/\/[^\s/]|file:\/\/\/)\S*$/.test(url) && URL.canParse(url);
  if (!valid) {
    const hint = url.startsWith("/")
      ? `write file://${url}`
      : "write an address that begins with http://, https:// or file:///";
    throw new ImageError({ part: "options", problem: `${from} "${url}" is not an address`, remedy: hint });
  }
  return url.replace(/\/+$/, "");
}

/** @throws {ImageError} when there is no mirror, or none that can be trusted. */
export async function findMirror(query: MirrorQuery, signal: AbortSignal): Promise<FoundMirror> {
  const fromEnv = query.env["COPPICE_MIRROR"];
  if (query.mirror !== undefined) return tryMirror(checkMirrorUrl(query.mirror, "--mirror"), query, signal);
  if (fromEnv !== undefined && fromEnv !== "") {
    return tryMirror(checkMirrorUrl(fromEnv, "COPPICE_MIRROR"), query, signal);
  }
  const archives = await hostArchives(query.aptDirectory);
  const failures: string[] = [];
  let only: ImageError | undefined;
  for (const url of archives) {
    try {
      const found = await tryMirror(url, query, signal);
      if (found.release.origin === "Debian") return found;
      failures.push(`${url} is of ${found.release.origin || "unknown origin"}, not of Debian`);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ImageError)) throw error;
      // A plain "not here" is expected of archives for other things; anything else is worth showing whole.
      if (!(error.cause instanceof HttpStatusError)) only ??= error;
      failures.push(error.problem);
    }
  }
  if (only !== undefined && archives.length === 1) throw only;
  const tried =
    failures.length === 0
      ? "the host has no apt sources"
      : `of the host's apt sources none serves: ${failures.join("; ")}`;
  throw new ImageError({
    part: "mirror",
    problem: `no Debian mirror with suite ${query.suite} is known: ${tried}`,
    remedy: howToName,
    cause: only,
  });
}

async function tryMirror(url: string, query: MirrorQuery, signal: AbortSignal): Promise<FoundMirror> {
  const address = joinUrl(url, `dists/${query.suite}/InRelease`);
  let inRelease: Buffer;
  try {
    inRelease = await fetchWhole(address, releaseLimit, query.settings, signal);
  } catch (error) {
    signal.throwIfAborted();
    const missing = error instanceof HttpStatusError && error.status === 404;
    throw new ImageError({
      part: "mirror",
      problem: missing
        ? `${url} has no suite ${query.suite} (${address} is missing)`
        : `${address} cannot be fetched: ${reason(error)}`,
      remedy: missing ? "check --suite and --mirror" : `check the network, or ${howToName}`,
      cause: error,
    });
  }
  const release = readRelease(inRelease, query.keys, query.suite, query.nowSeconds, address);
  return { url, release, inRelease };
}
