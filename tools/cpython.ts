/**
 * CPython's own regression tests, from Debian's libpython3-testsuite, in Coppice and under real execution.
 *
 *     node tools/cpython.ts oracle [MODULE…]     runs them in the oracle (as root; docs/design/oracle.md)
 *     node tools/cpython.ts coppice [MODULE…]    runs them in Coppice
 *     node tools/cpython.ts compare              of the tests that pass in the oracle, how many pass here
 *
 * Each module is a run of its own. Results are kept in --folder (default: coppice-cpython in the folder for
 * temporary files), so the two may be run at different times and module by module. The image is `pytest`:
 *
 *     coppice image build --include python3,libpython3.13-testsuite pytest
 */

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { findImage } from "../src/image/images.ts";
import { chrootRunner } from "./oracle/chroot.ts";
import type { Runner, RunRequest } from "./oracle/compare.ts";
import { coppiceRunner } from "./oracle/coppice.ts";

const IMAGE = "pytest";
/** The modules that stand for the system: files, processes, threads, signals, memory, terminals, events. */
const MODULES = [
  "test_os",
  "test_posix",
  "test_subprocess",
  "test_threading",
  "test_signal",
  "test_mmap",
  "test_fcntl",
  "test_select",
  "test_selectors",
  "test_asyncio",
  "test_multiprocessing_fork",
  "test_multiprocessing_spawn",
  "test_multiprocessing_forkserver",
  "test_tempfile",
  "test_shutil",
  "test_pty",
  "test_resource",
] as const;
/** One test may take this long, s; a module this long, ms. Interpreted code is slow. */
const TEST_SECONDS = 300;
const MODULE_MS = 1_800_000;

type Verdict = "passed" | "failed" | "skipped";
type Verdicts = Readonly<Record<string, Verdict>>;
interface ModuleResult {
  readonly verdicts: Verdicts;
  readonly exitCode: number;
  /** The end of what it printed, for whoever looks why something failed. */
  readonly output: string;
}

/** The verdicts of a JUnit file as regrtest writes it. */
export function readVerdicts(xml: string): Verdicts {
  const verdicts: Record<string, Verdict> = {};
  for (const [, attributes = "", , body = ""] of xml.matchAll(
    /<testcase ([^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const name = /\bname="([^"]*)"/.exec(attributes)?.[1];
    if (name === undefined) continue;
    const failed = /<(failure|error)\b/.test(body);
    const verdict: Verdict = failed ? "failed" : /<skipped\b/.test(body) ? "skipped" : "passed";
    // A test with subtests stands there more than once: one failure is enough.
    if (verdicts[name] !== "failed") verdicts[name] = verdict;
  }
  return verdicts;
}

async function runModule(runner: Runner, module: string): Promise<ModuleResult> {
  const results = mkdtempSync(path.join(tmpdir(), "coppice-cpython-"));
  try {
    const command = `python3 -m test -v --timeout ${TEST_SECONDS} --junit-xml /results/out.xml ${module} 2>&1`;
    const request: RunRequest = {
      argv: ["sh", "-c", command],
      env: { LANG: "C.UTF-8" },
      cwd: "/tmp",
      user: "root",
      stdin: "",
      mounts: [{ host: results, guest: "/results", readOnly: false }],
      timeoutMs: MODULE_MS,
    };
    const { stdout, exitCode } = await runner.run(request);
    const file = path.join(results, "out.xml");
    const verdicts = existsSync(file) ? readVerdicts(readFileSync(file, "utf8")) : {};
    return { verdicts, exitCode, output: stdout.slice(-200_000) };
  } catch (error) {
    return { verdicts: {}, exitCode: -1, output: error instanceof Error ? error.message : String(error) };
  } finally {
    rmSync(results, { recursive: true, force: true });
  }
}

const tally = (verdicts: Verdicts, wanted: Verdict): number =>
  Object.values(verdicts).filter((verdict) => verdict === wanted).length;

async function runAll(runner: Runner, modules: readonly string[], folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const module of modules) {
    const since = performance.now();
    const result = await runModule(runner, module);
    writeFileSync(path.join(folder, `${module}.json`), JSON.stringify(result));
    const { verdicts, exitCode } = result;
    const counts = (["passed", "failed", "skipped"] as const).map(
      (each) => `${tally(verdicts, each)} ${each}`,
    );
    const seconds = ((performance.now() - since) / 1000).toFixed(0);
    console.log(`${module.padEnd(34)} ${counts.join(", ")} (status ${exitCode}, ${seconds} s)`);
  }
}

async function runOracle(modules: readonly string[], folder: string): Promise<void> {
  if (process.env["COPPICE_ORACLE_INSIDE"] === undefined) {
    // Mounts are made in a namespace that ends with this program.
    const again = ["--mount", "--propagation", "private", process.execPath, ...process.argv.slice(1)];
    const env = { ...process.env, COPPICE_ORACLE_INSIDE: "1" };
    process.exit(spawnSync("unshare", again, { stdio: "inherit", env }).status ?? 1);
  }
  const image = await findImage(IMAGE);
  const root = mkdtempSync(path.join(tmpdir(), "coppice-image-"));
  execFileSync("mount", ["-t", "erofs", "-o", "loop,ro", image.path, root]);
  try {
    await using runner = await chrootRunner(root);
    await runAll(runner, modules, folder);
  } finally {
    execFileSync("umount", [root]);
    rmdirSync(root);
  }
}

function readResult(folder: string, module: string): ModuleResult | undefined {
  const file = path.join(folder, `${module}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as ModuleResult) : undefined;
}

/** Prints the comparison; true if at least 97 % of what passes in the oracle passes here. */
function compare(folder: string): boolean {
  let wanted = 0;
  let got = 0;
  const failures: string[] = [];
  for (const module of MODULES) {
    const oracle = readResult(path.join(folder, "oracle"), module);
    const here = readResult(path.join(folder, "coppice"), module);
    if (oracle === undefined || here === undefined) {
      console.log(`${module.padEnd(34)} not run ${oracle === undefined ? "in the oracle" : "here"}`);
      continue;
    }
    const names = Object.keys(oracle.verdicts).filter((name) => oracle.verdicts[name] === "passed");
    const lost = names.filter((name) => here.verdicts[name] !== "passed");
    wanted += names.length;
    got += names.length - lost.length;
    failures.push(...lost.map((name) => `${name}: ${here.verdicts[name] ?? "no verdict"}`));
    console.log(`${module.padEnd(34)} ${names.length - lost.length} of ${names.length}`);
  }
  for (const failure of failures) console.log(`  ${failure}`);
  const share = wanted === 0 ? 0 : got / wanted;
  console.log(`${got} of ${wanted} tests that pass in the oracle pass here: ${(share * 100).toFixed(1)} %`);
  return share >= 0.97;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { folder: { type: "string", default: path.join(tmpdir(), "coppice-cpython") } },
  });
  const [command, ...names] = positionals;
  const modules = names.length > 0 ? names : MODULES;
  if (command === "oracle") await runOracle(modules, path.join(values.folder, "oracle"));
  else if (command === "coppice") {
    await runAll(coppiceRunner(IMAGE), modules, path.join(values.folder, "coppice"));
  } else if (command === "compare") return compare(values.folder) ? 0 : 1;
  else {
    process.stderr.write("usage: node tools/cpython.ts oracle|coppice|compare [--folder F] [MODULE…]\n");
    return 2;
  }
  return 0;
}

if (import.meta.main) process.exitCode = await main();
