/** `coppice image …` and the image that `coppice start` needs. */

import type { Progress } from "../image/progress.ts";
import type { HostConsole } from "./host-console.ts";
import type { BuildRequest } from "./invocation.ts";
import { drawProgress, formatBytes } from "./progress.ts";

/** What the list of images shows of one. */
export interface ImageSummary {
  readonly name: string;
  /** The suite and version of Debian: `trixie 13.2`. */
  readonly release: string;
  readonly bytes: number;
  /** When it was built, in milliseconds since 1970. */
  readonly builtMs: number;
}

/** The image functions as the command line uses them (services.ts connects them with `src/image`). */
export interface ImageService {
  build(request: BuildRequest, progress: Progress, signal: AbortSignal): Promise<ImageSummary>;
  has(name: string): Promise<boolean>;
  list(): Promise<readonly ImageSummary[]>;
  /** Everything that is known of an image, fit for JSON. */
  inspect(name: string): Promise<object>;
  remove(name: string): Promise<void>;
  prune(): Promise<{ readonly files: number; readonly bytes: number }>;
}

/** Builds an image, draws the progress on stderr, and prints the name on stdout if `announce` is set. */
export async function buildImage(
  request: BuildRequest,
  host: HostConsole,
  images: ImageService,
  announce: boolean,
): Promise<void> {
  const abort = new AbortController();
  const ending = host.onSignal(() => abort.abort());
  const progress = drawProgress({
    write: (text) => host.stderr.write(text),
    terminal: host.stderrIsTerminal,
    columns: () => host.size().columns,
    nowMs: () => performance.now(),
  });
  try {
    const startedAt = performance.now();
    const image = await images.build(request, progress, abort.signal);
    progress.close();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    host.stderr.write(
      `image "${image.name}": Debian ${image.release}, ${formatBytes(image.bytes)}, built in ${seconds} s\n`,
    );
    if (announce) host.stdout.write(`${image.name}\n`);
  } finally {
    progress.close();
    ending();
  }
}

/** How long ago, in the unit that fits. */
export function formatAge(ms: number): string {
  const units = [
    ["day", 86_400_000],
    ["hour", 3_600_000],
    ["minute", 60_000],
  ] as const;
  for (const [name, unitMs] of units) {
    const count = Math.floor(ms / unitMs);
    if (count > 0) return `${count} ${name}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

/** Rows as columns that line up. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

export async function listImages(quiet: boolean, host: HostConsole, images: ImageService): Promise<void> {
  const list = await images.list();
  if (quiet) host.stdout.write(list.map(({ name }) => `${name}\n`).join(""));
  else {
    const rows = list.map(({ name, release, bytes, builtMs }) => {
      return [name, release, formatBytes(bytes), formatAge(Date.now() - builtMs)];
    });
    host.stdout.write(formatTable([["NAME", "DEBIAN", "SIZE", "BUILT"], ...rows]));
  }
}

export async function inspectImages(
  names: readonly string[],
  host: HostConsole,
  images: ImageService,
): Promise<void> {
  const list = await Promise.all(names.map((name) => images.inspect(name)));
  host.stdout.write(`${JSON.stringify(list, null, 2)}\n`);
}

export async function removeImages(
  names: readonly string[],
  host: HostConsole,
  images: ImageService,
): Promise<void> {
  for (const name of names) {
    await images.remove(name);
    host.stdout.write(`${name}\n`);
  }
}

export async function pruneImages(host: HostConsole, images: ImageService): Promise<void> {
  const { files, bytes } = await images.prune();
  host.stdout.write(`removed ${files} ${files === 1 ? "file" : "files"}, ${formatBytes(bytes)}\n`);
}
