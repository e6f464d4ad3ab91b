/**
 * CPython's own regression tests, from Debian's libpython3-testsuite, in Coppice and under real execution.
 *
 *     node tools/cpython.ts oracle [MODULE…]     runs them in the oracle (as root; docs/design/oracle.md)
 *     node tools/cpython.ts coppice [MODULE…]    runs them in Coppice
 *     node tools/cpython.ts compare [MODULE…]    of the tests that pass in the oracle, how many pass here
 *     node tools/cpython.ts page                 the same as docs/design/cpython.md, with causes
 *
 * Each module is a run of its own, in a fresh machine, and its result is kept in --folder (default: coppice-cpython
 * in the folder for temporary files). Without names, the modules that have no result yet are run. A test's verdict
 * is written when it is known (cpython/run-module.py), so a module that is ended loses only the tests to come.
 *
 *     --match PATTERN     only tests of that name (repeatable); their verdicts replace the kept ones
 *     --lost              only tests that pass in the oracle and did not here, likewise
 *     --minutes N         a module may take this long; default 60
 *
 * The image is `pytest`. What Debian does when it installs Python is done first: the sources are compiled, once, in
 * the oracle; `oracle` makes that archive, and both sides unpack it.
 *
 *     coppice image build --include python3,libpython3.13-testsuite pytest
 */

import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { findImage } from "../src/image/images.ts";
import { MODULES } from "./cpython/modules.ts";
import { describeLost, writePage } from "./cpython/report.ts";
import {
  isComplete,
  lostTests,
  mergeResults,
  type ModuleResult,
  readResult,
  readVerdicts,
  tally,
} from "./cpython/verdicts.ts";
import { chrootRunner } from "./oracle/chroot.ts";
import type { Runner } from "./oracle/compare.ts";
import { coppiceRunner } from "./oracle/coppice.ts";

const IMAGE = "pytest";
/** One test may take this long without a verdict. Interpreted code is slow. */
const TEST_SECONDS = 300;
/** What tests wait for may take so many times as long as on hardware. */
const SLOWNESS = 4;
const PROGRESS_MS = 30_000;
const LIBRARY = "/usr/lib/python3.13";
const BYTECODE = "bytecode.tar";

interface RunOptions {
  /** Where results of this side are kept. */
  readonly folder: string;
  /** The archive of compiled modules. */
  readonly bytecode: string;
  readonly minutes: number;
  readonly patterns: (module: string) => readonly string[];
}

/** Says now and then how far a module is, as its file of verdicts tells; returns what stops it. */
function showProgress(module: string, file: string): () => void {
  const timer = setInterval(() => {
    if (!existsSync(file)) return;
    const { tests, running } = readVerdicts(readFileSync(file, "utf8"));
    console.error(`  ${module}: ${Object.keys(tests).length} tests; ${running ?? "between tests"}`);
  }, PROGRESS_MS);
  return () => clearInterval(timer);
}

async function runModule(runner: Runner, module: string, options: RunOptions): Promise<ModuleResult> {
  const results = mkdtempSync(path.join(tmpdir(), "coppice-cpython-"));
  const file = path.join(results, "verdicts.jsonl");
  const stopProgress = showProgress(module, file);
  const since = performance.now();
  let output: string;
  try {
    copyFileSync(options.bytecode, path.join(results, BYTECODE));
    copyFileSync(
      path.join(import.meta.dirname, "cpython/run-module.py"),
      path.join(results, "run-module.py"),
    );
    const words = ["/results", TEST_SECONDS, SLOWNESS, module, ...options.patterns(module)];
    const argv = words.map((word) => `'${word}'`).join(" ");
    const outcome = await runner.run({
      argv: [
        "sh",
        "-c",
        `tar -x -C ${LIBRARY} -f /results/${BYTECODE} && python3 /results/run-module.py ${argv} 2>&1`,
      ],
      env: { LANG: "C.UTF-8" },
      cwd: "/tmp",
      user: "root",
      stdin: "",
      mounts: [{ host: results, guest: "/results", readOnly: false }],
      timeoutMs: options.minutes * 60_000,
    });
    output = outcome.stdout + outcome.stderr;
  } catch (error) {
    output = error instanceof Error ? error.message : String(error);
  } finally {
    stopProgress();
  }
  const verdicts = readVerdicts(existsSync(file) ? readFileSync(file, "utf8") : "");
  rmSync(results, { recursive: true, force: true });
  const seconds = Math.round((performance.now() - since) / 1000);
  return { ...verdicts, seconds, output: output.slice(-200_000) };
}

async function runAll(runner: Runner, modules: readonly string[], options: RunOptions): Promise<void> {
  mkdirSync(options.folder, { recursive: true });
  for (const module of modules) {
    const result = await runModule(runner, module, options);
    const before = options.patterns(module).length > 0 ? readResult(options.folder, module) : undefined;
    const kept = before ? mergeResults(before, result) : result;
    writeFileSync(path.join(options.folder, `${module}.json`), JSON.stringify(kept, undefined, 1));
    const counts = (["passed", "failed", "skipped"] as const).map(
      (verdict) => `${tally(result.tests, verdict)} ${verdict}`,
    );
    const end = isComplete(result) ? "" : " (not to its end)";
    console.log(`${module.padEnd(44)} ${counts.join(", ")} in ${result.seconds} s${end}`);
  }
}

/** Compiles the library as Debian's packages do when they are installed, and packs what came of it. */
async function compileLibrary(runner: Runner, bytecode: string): Promise<void> {
  const results = mkdtempSync(path.join(tmpdir(), "coppice-cpython-"));
  try {
    const tests = MODULES.map((module) => module.replace(/^test\.(\w+)\..*/, "$1")).join("|");
    const others = `/test/(?!(__|_test|support|libregrtest|${tests}))|/lib2to3|/idlelib`;
    const command = [
      `cd ${LIBRARY}`,
      `python3 -m compileall -q -x '${others}' . > /results/log`,
      `find . -name __pycache__ | tar -c -f /results/${BYTECODE} -T -`,
    ].join("; ");
    const { stderr } = await runner.run({
      argv: ["sh", "-c", command],
      env: { LANG: "C.UTF-8" },
      cwd: "/tmp",
      user: "root",
      stdin: "",
      mounts: [{ host: results, guest: "/results", readOnly: false }],
      timeoutMs: 1_800_000,
    });
    if (!existsSync(path.join(results, BYTECODE))) throw new Error(`nothing was compiled: ${stderr}`);
    copyFileSync(path.join(results, BYTECODE), bytecode);
  } finally {
    rmSync(results, { recursive: true, force: true });
  }
}

async function runOracle(modules: readonly string[], options: RunOptions): Promise<void> {
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
    if (!existsSync(options.bytecode)) await compileLibrary(runner, options.bytecode);
    await runAll(runner, modules, options);
  } finally {
    execFileSync("umount", [root]);
    rmdirSync(root);
  }
}

const usage = `usage: node tools/cpython.ts oracle|coppice|compare|page [--folder F] [--minutes N] [--match P] [--lost] [MODULE…]

Runs CPython's own tests: oracle under qemu-user in a chroot (root only), coppice here. compare lists what passes there
and not here; page writes docs/design/cpython.md.

  --folder F   where results are kept
  --minutes N  a module may take this long; 60 if left out
  --match P    only tests that match; may be given again
  --lost       only tests that pass in the oracle and did not here
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      folder: { type: "string", default: path.join(tmpdir(), "coppice-cpython") },
      minutes: { type: "string", default: "60" },
      match: { type: "string", multiple: true, default: [] },
      lost: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const [command, ...names] = positionals;
  const oracle = path.join(values.folder, "oracle");
  const coppice = path.join(values.folder, "coppice");
  const lost = (module: string): readonly string[] =>
    lostTests(readResult(oracle, module), readResult(coppice, module));
  const chosen = names.length > 0 ? names : MODULES;
  if (command === "compare") return describeLost(oracle, coppice, chosen) ? 0 : 1;
  if (command === "page") {
    writePage(oracle, coppice);
    return 0;
  }
  if (command !== "oracle" && command !== "coppice") {
    process.stderr.write(usage);
    return 2;
  }
  const folder = command === "oracle" ? oracle : coppice;
  const anew = names.length > 0 || values.match.length > 0 || values.lost;
  const modules = chosen.filter((module) =>
    values.lost ? lost(module).length > 0 : anew || readResult(folder, module) === undefined,
  );
  const options: RunOptions = {
    folder,
    bytecode: path.join(values.folder, BYTECODE),
    minutes: Number(values.minutes),
    patterns: values.lost ? lost : () => values.match,
  };
  mkdirSync(folder, { recursive: true });
  if (command === "oracle") await runOracle(modules, options);
  else await runAll(coppiceRunner(IMAGE), modules, options);
  return 0;
}

if (import.meta.main) process.exitCode = await main();
