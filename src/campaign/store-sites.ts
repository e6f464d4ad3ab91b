/**
 * Where a store was made: the first place on the stack outside src/heap and src/campaign, as
 * "src/…/file.ts:line:column". The places are those of the call expressions that the syntax tree has
 * (tools/campaign/setter-sites.ts), so that one can be counted against the other.
 */

import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(import.meta.dirname, "../..");
/** Frames that lie between a hook and the code that asked for the store, at most. */
const DEPTH = 12;
const SKIPPED = /^src\/(heap|campaign)\//;

const names = new Map<string, string>();

/** A file URL or path as a path from the root. */
function relative(file: string): string {
  let name = names.get(file);
  if (name === undefined) {
    const absolute = file.startsWith("file:") ? fileURLToPath(file) : file;
    name = path.relative(root, absolute).replaceAll(path.sep, "/");
    names.set(file, name);
  }
  return name;
}

/** The site of the store that calls this, directly or through a hook. */
export function storeSite(): string {
  const { prepareStackTrace, stackTraceLimit } = Error;
  Error.stackTraceLimit = DEPTH;
  Error.prepareStackTrace = (_error, frames) => frames;
  const holder: { stack?: unknown } = {};
  Error.captureStackTrace(holder, storeSite);
  const frames = holder.stack as NodeJS.CallSite[];
  Error.prepareStackTrace = prepareStackTrace;
  Error.stackTraceLimit = stackTraceLimit;
  for (const frame of frames) {
    const file = frame.getFileName();
    if (file === null || file === undefined || file.startsWith("node:")) continue;
    const name = relative(file);
    if (!SKIPPED.test(name)) return `${name}:${frame.getLineNumber()}:${frame.getColumnNumber()}`;
  }
  return "unknown";
}
