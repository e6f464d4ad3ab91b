/** An InRelease file: is it signed by whom we trust, is it still valid, what does it vouch for. */

import { field, parseStanzas } from "./control-file.ts";
import { ImageError, messageOf } from "./errors.ts";
import { verifyCleartext } from "./openpgp-verify.ts";
import type { SignatureResult, SigningKey } from "./openpgp-verify.ts";

export interface ReleaseFile {
  /** Path below `dists/SUITE/`. */
  path: string;
  size: number;
  sha256: string;
}

export interface Release {
  origin: string;
  suite: string;
  codename: string;
  version: string;
  /** When the release was made; seconds since 1970. */
  dateSeconds: number;
  /** Whether files can be fetched by their hash, so that an update of the mirror does not tear the set. */
  byHash: boolean;
  architectures: readonly string[];
  components: readonly string[];
  files: ReadonlyMap<string, ReleaseFile>;
  /** Fingerprint of the key whose signature counted. */
  signedBy: string;
}

/**
 * Checks and reads an InRelease file at the time `now` (seconds since 1970). `where` is named in errors.
 * @throws {ImageError} when no trusted signature counts, or the file is outdated or malformed.
 */
export function readRelease(
  file: Uint8Array,
  keys: readonly SigningKey[],
  suite: string,
  now: number,
  where: string,
): Release {
  let text: string;
  let results: SignatureResult[];
  try {
    const verified = verifyCleartext(file, keys, now);
    text = verified.text.toString("utf8");
    results = verified.results;
  } catch (error) {
    throw new ImageError({
      part: "signature",
      problem: `${where} is not a signed release file: ${messageOf(error)}`,
      remedy: "check that the address names a Debian mirror, and that nothing rewrites what it sends",
      cause: error,
    });
  }
  const good = results.find(({ fault }) => fault === undefined);
  if (good === undefined) {
    throw new ImageError({
      part: "signature",
      problem: `${where} has no valid signature by a trusted key: ${results.map(describeResult).join(", ")}`,
      remedy: remedyFor(results),
    });
  }
  const [stanza] = parseStanzas(text);
  const fail = (problem: string): never => {
    throw new ImageError({
      part: "release",
      problem: `${where} ${problem}`,
      remedy: "choose another --suite or --mirror",
    });
  };
  const get = (name: string): string => (stanza === undefined ? "" : (field(stanza, name) ?? ""));
  const names = [get("Suite"), get("Codename")];
  if (!names.includes(suite)) fail(`is for suite ${names.filter(Boolean).join("/")}, not for ${suite}`);
  const dateSeconds = Date.parse(get("Date")) / 1000;
  if (!Number.isInteger(dateSeconds) || dateSeconds <= 0) fail("has no readable Date");
  const validUntil = get("Valid-Until");
  if (validUntil !== "") {
    const end = Date.parse(validUntil) / 1000;
    if (Number.isNaN(end)) fail(`has an unreadable Valid-Until "${validUntil}"`);
    if (end <= now) {
      throw new ImageError({
        part: "release",
        problem: `${where} was valid until ${validUntil} only`,
        remedy: "use a mirror that is up to date, and check this machine's clock",
      });
    }
  }
  return {
    origin: get("Origin"),
    suite: get("Suite"),
    codename: get("Codename"),
    version: get("Version"),
    dateSeconds,
    byHash: get("Acquire-By-Hash") === "yes",
    architectures: get("Architectures").split(/\s+/),
    components: get("Components").split(/\s+/),
    files: readHashes(get("SHA256")),
    signedBy: good.issuer,
  };
}

function describeResult({ issuer, fault }: SignatureResult): string {
  return `${fault ?? "valid"} (${issuer})`;
}

function remedyFor(results: readonly SignatureResult[]): string {
  const faults = new Set(results.map(({ fault }) => fault));
  if (faults.has("does not verify")) return "the file was changed on its way; use another mirror";
  if (
    faults.has("key expired") ||
    faults.has("signature expired") ||
    faults.has("signature from the future")
  ) {
    return "check this machine's clock, or update Coppice for Debian's newer keys";
  }
  if (faults.has("unknown key"))
    return "use a mirror of Debian itself, or update Coppice for Debian's newer keys";
  return "use another mirror";
}

function readHashes(text: string): Map<string, ReleaseFile> {
  const files = new Map<string, ReleaseFile>();
  for (const line of text.split("\n")) {
    const match = /^\s*([0-9a-f]{64})\s+([0-9]{1,15})\s+(\S+)\s*$/.exec(line);
    const [, sha256, size, path] = match ?? [];
    if (sha256 === undefined || path === undefined) continue;
    if (path.startsWith("/") || path.split("/").includes("..")) continue;
    files.set(path, { path, size: Number(size), sha256 });
  }
  return files;
}
