/**
 * Runs the tests: every `*.test.ts` under src, test, tools and bench, or those that are named.
 *
 *     node tools/run-tests.ts [--grep PATTERN]… [--concurrency N] [--timeout SECONDS] [FILE|FOLDER]…
 *
 * Each file runs in a process of its own. What a file printed is shown when it ends, and files that still run
 * are named now and then, so a hang has a name; --timeout (600 by default) ends it. The last line is
 * `N passed, N failed`, with `, N skipped` and `, N todo` where there are some, counted from what the runner
 * reported. The exit status is 0 only if something passed and nothing failed; 130 after Ctrl-C.
 *
 * A file that contains no test counts as failed: a file that registers nothing proves nothing.
 */

import { globSync, statSync } from "node:fs";
import path from "node:path";
import { run } from "node:test";
import { parseArgs, styleText } from "node:util";

const root = path.resolve(import.meta.dirname, "..");
const FOLDERS = ["src", "test", "tools", "bench"];
/** How long the runner stays silent before it names the files that still run. */
const HEARTBEAT_MS = 20_000;

const usage = `usage: npm test -- [--grep PATTERN]… [--concurrency N] [--timeout SECONDS] [FILE|FOLDER]…`;

interface Options {
  readonly grep: readonly string[];
  readonly concurrency: number;
  readonly timeoutSeconds: number;
  readonly paths: readonly string[];
}

function fail(message: string): never {
  process.stderr.write(`run-tests: ${message}\n${usage}\n`);
  process.exit(2);
}

function positiveInteger(text: string, option: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) fail(`${option} takes a whole number from 1, not "${text}"`);
  return value;
}

function readOptions(argv: readonly string[]): Options {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        grep: { type: "string", short: "g", multiple: true, default: [] },
        concurrency: { type: "string", short: "j", default: "2" },
        timeout: { type: "string", default: "600" },
      },
    });
    return {
      grep: values.grep,
      concurrency: positiveInteger(values.concurrency, "--concurrency"),
      timeoutSeconds: positiveInteger(values.timeout, "--timeout"),
      paths: positionals,
    };
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
}

function filesIn(folder: string): string[] {
  return globSync("**/*.test.ts", {
    cwd: folder,
    exclude: (name) => name === "node_modules" || name === "dist",
  }).map((name) => path.join(folder, name));
}

function findFiles(paths: readonly string[]): string[] {
  if (paths.length === 0) return FOLDERS.flatMap((name) => filesIn(path.join(root, name))).sort();
  return paths
    .flatMap((name) => {
      const absolute = path.resolve(name);
      const status = statSync(absolute, { throwIfNoEntry: false });
      if (!status) fail(`${name}: no such file or folder`);
      return status.isDirectory() ? filesIn(absolute) : [absolute];
    })
    .sort();
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const shown = (file: string): string => path.relative(root, file);

interface FileResult {
  readonly counts: Readonly<Record<"passed" | "failed" | "skipped" | "todo", number>>;
  /** Name, place and stack of each failure. */
  readonly failures: readonly string[];
  /** Name and reason of what was left out, and of what is marked as not done. */
  readonly skipped: readonly string[];
  readonly todo: readonly string[];
  /** What the file wrote to stdout and stderr. */
  readonly output: string;
}

/** The stack of a test's failure, without the wrapper that the runner puts around it. */
function describeError(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}

/** Whether a suite's own function threw; the failures of its tests are events of their own. */
function failedByItself({ error }: { readonly error?: unknown }): boolean {
  return error !== undefined && Reflect.get(Object(error), "failureType") !== "subtestsFailed";
}

const indent = (text: string, by: number): string => text.trimEnd().replaceAll(/^(?=.)/gm, " ".repeat(by));

async function runFile(file: string, options: Options, signal: AbortSignal): Promise<FileResult> {
  const counts = { passed: 0, failed: 0, skipped: 0, todo: 0 };
  const failures: string[] = [];
  const skipped: string[] = [];
  const undone: string[] = [];
  let output = "";
  const timeout = AbortSignal.timeout(options.timeoutSeconds * 1000);
  const stream = run({
    files: [file],
    signal: AbortSignal.any([signal, timeout]),
    ...(options.grep.length > 0 && { testNamePatterns: options.grep.map((pattern) => new RegExp(pattern)) }),
  });
  for await (const event of stream) {
    if (event.type === "test:stdout" || event.type === "test:stderr") output += event.data.message;
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { name, line, details, skip, todo } = event.data;
    const isSkipped = skip !== undefined && skip !== false;
    // A suite that is left out, or that fails by itself, says nothing of its tests: it counts as one.
    if (details.type === "suite" && !isSkipped && !failedByItself(details)) continue;
    if (name === file && event.type === "test:pass") {
      // The runner reports a file without tests as one test that passed.
      if (options.grep.length > 0) continue;
      counts.failed += 1;
      failures.push(`${shown(file)}: the file registers no test`);
      continue;
    }
    if (isSkipped) {
      counts.skipped += 1;
      skipped.push(`${shown(file)}: ${name}${typeof skip === "string" ? `: ${skip}` : ""}`);
    } else if (todo !== undefined && todo !== false) {
      counts.todo += 1;
      const state = event.type === "test:pass" ? "passes here" : "fails";
      undone.push(`${shown(file)}: ${name} (${state})${typeof todo === "string" ? `: ${todo}` : ""}`);
    } else if (event.type === "test:pass") counts.passed += 1;
    else {
      counts.failed += 1;
      const title = name === file ? `${shown(file)}: the file` : `${shown(file)}:${line ?? 0}: ${name}`;
      const why = timeout.aborted
        ? `ended by --timeout after ${options.timeoutSeconds} s`
        : describeError(event.data.details.error);
      failures.push(`${title}\n${indent(why, 2)}`);
    }
  }
  return { counts, failures, skipped, todo: undone, output };
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  const files = findFiles(options.paths);
  const abort = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => abort.abort());

  const startedAt = performance.now();
  const running = new Map<string, number>();
  const heartbeat = setInterval(() => {
    const now = performance.now();
    const names = [...running].map(([file, since]) => `${shown(file)} (${seconds(now - since)})`);
    console.log(`… ${seconds(now - startedAt)}: running ${names.join(", ")}`);
  }, HEARTBEAT_MS);

  const total = { passed: 0, failed: 0, skipped: 0, todo: 0 };
  const failures: string[] = [];
  const skipped: string[] = [];
  const undone: string[] = [];
  let ended = 0;
  const queue = files.values();
  const runNext = async (): Promise<void> => {
    for (const file of queue) {
      if (abort.signal.aborted) return;
      const since = performance.now();
      running.set(file, since);
      const result = await runFile(file, options, abort.signal);
      running.delete(file);
      ended += 1;
      for (const key of ["passed", "failed", "skipped", "todo"] as const) total[key] += result.counts[key];
      failures.push(...result.failures);
      skipped.push(...result.skipped);
      undone.push(...result.todo);
      const count = Object.values(result.counts).reduce((sum, value) => sum + value, 0);
      if (count === 0) continue;
      const mark = result.failures.length === 0 ? styleText("green", "pass") : styleText("red", "FAIL");
      const elapsed = seconds(performance.now() - since);
      console.log(`${mark} [${ended}/${files.length}] ${shown(file)}: ${count} in ${elapsed}`);
      if (result.output.trim() !== "") console.log(indent(result.output, 5));
      for (const failure of result.failures) console.log(indent(failure, 5));
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, runNext));
  clearInterval(heartbeat);

  const list = (title: string, lines: readonly string[]): void => {
    if (lines.length > 0) console.log(`\n${title}\n${lines.map((each) => `  ${each}`).join("\n")}`);
  };
  list("SKIPPED, so not shown to work here:", skipped);
  list("TO DO, so known not to work:", undone);
  if (failures.length > 0) {
    console.log(`\nFailed:`);
    for (const failure of failures) console.log(`  ${failure.split("\n", 1)[0]}`);
  }
  if (abort.signal.aborted) console.log("\nInterrupted: the counts below are not of the whole run.");
  if (total.passed + total.failed === 0) console.log("\nNo test ran.");
  const extra = (["skipped", "todo"] as const).filter((key) => total[key] > 0);
  console.log(`\nTests took ${seconds(performance.now() - startedAt)}.`);
  console.log(
    [`${total.passed} passed`, `${total.failed} failed`, ...extra.map((key) => `${total[key]} ${key}`)].join(
      ", ",
    ),
  );
  if (abort.signal.aborted) return 130;
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

process.exitCode = await main();
