/**
 * The oracle: what the scenarios print under real execution.
 *
 *     node tools/oracle.ts record [NAME…]   runs them and writes test/scenarios/golden (as root)
 *     node tools/oracle.ts check [NAME…]    runs them and compares with the recorded answers
 *     node tools/oracle.ts second [NAME…]   compares with Debian's kernel in a virtual machine (see vm.ts)
 *     node tools/oracle.ts list [NAME…]
 *     node tools/oracle.ts show NAME…       runs them and prints the outcome
 *
 * A NAME is a scenario or the start of names. `record` runs each scenario twice and refuses an answer that
 * differs from one run to the next. The images must have been built (`debian`, and what scenarios name). docs/design/oracle.md says how
 * answers come to be trusted.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { findImage } from "../src/image/images.ts";
import { scenarios } from "../test/scenarios/all.ts";
import { chrootRunner, OracleUnavailable } from "./oracle/chroot.ts";
import {
  compareOutcomes,
  prepareScenario,
  type Runner,
  type RunRequest,
  runScenario,
} from "./oracle/compare.ts";
import { groupOf, hashBinaries, readGolden, staleness, writeGolden } from "./oracle/golden.ts";
import { imageOf, type Outcome, type Scenario } from "./oracle/scenario.ts";
import { runInVm } from "./oracle/vm.ts";

const MADE_BY = "node tools/oracle.ts record";

function chosen(names: readonly string[]): Scenario[] {
  if (names.length === 0) return [...scenarios];
  for (const name of names) {
    if (!scenarios.some((s) => s.name.startsWith(name))) throw new Error(`no scenario is called ${name}`);
  }
  return scenarios.filter((s) => names.some((name) => s.name.startsWith(name)));
}

/** Starts this program again in a mount namespace of its own, so that its mounts end with it. */
function reenter(): never {
  const { status, signal } = spawnSync(
    "unshare",
    ["--mount", "--propagation", "private", process.execPath, ...process.argv.slice(1)],
    { stdio: "inherit", env: { ...process.env, COPPICE_ORACLE_INSIDE: "1" } },
  );
  process.exit(status ?? (signal ? 130 : 1));
}

interface Oracle extends AsyncDisposable {
  readonly image: string;
  readonly runner: Runner;
  readonly root: string;
  readonly digest: string;
  readonly release: string;
}

async function openOracle(name: string): Promise<Oracle> {
  const image = await findImage(name);
  const root = mkdtempSync(path.join(tmpdir(), "coppice-image-"));
  execFileSync("mount", ["-t", "erofs", "-o", "loop,ro", image.path, root]);
  const runner = await chrootRunner(root);
  return {
    image: name,
    runner,
    root,
    digest: image.digest,
    release: `${image.suite} ${image.releaseVersion}`,
    [Symbol.asyncDispose]: async () => {
      await runner[Symbol.asyncDispose]();
      execFileSync("umount", [root]);
      rmdirSync(root);
    },
  };
}

async function answer(scenario: Scenario, runner: Runner): Promise<Outcome> {
  try {
    return await runScenario(scenario, runner);
  } catch (error) {
    if (error instanceof OracleUnavailable) throw error;
    throw new Error(`${scenario.name}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

async function record(oracle: Oracle, list: readonly Scenario[]): Promise<number> {
  let failed = 0;
  for (const group of new Set(list.map(({ name }) => groupOf(name)))) {
    const all = scenarios.filter(({ name }) => groupOf(name) === group);
    const before = readGolden(group);
    const answers: Record<string, Outcome> = {};
    for (const scenario of all) {
      const old = before?.image.digest === oracle.digest ? before.answers[scenario.name] : undefined;
      if (old && !list.includes(scenario)) {
        answers[scenario.name] = old;
        continue;
      }
      try {
        const first = await answer(scenario, oracle.runner);
        const differences = compareOutcomes(await answer(scenario, oracle.runner), first);
        if (differences.length > 0)
          throw new Error(`${scenario.name} differs from run to run: ${differences.join("; ")}`);
        answers[scenario.name] = first;
        console.log(`recorded ${scenario.name}`);
      } catch (error) {
        if (error instanceof OracleUnavailable) throw error;
        failed += 1;
        console.log(`FAILED ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    writeGolden(group, {
      madeBy: `${MADE_BY} ${group}/`,
      image: { name: oracle.image, digest: oracle.digest, release: oracle.release },
      binaries: hashBinaries(oracle.root, all),
      answers,
    });
  }
  console.log(`${list.length - failed} passed, ${failed} failed`);
  return failed;
}

async function check(oracle: Oracle, list: readonly Scenario[]): Promise<number> {
  let failed = 0;
  for (const group of new Set(list.map(({ name }) => groupOf(name)))) {
    const members = list.filter(({ name }) => groupOf(name) === group);
    const golden = readGolden(group);
    const all = scenarios.filter(({ name }) => groupOf(name) === group);
    if (golden) {
      for (const line of staleness(golden, oracle.digest, hashBinaries(oracle.root, all))) {
        console.log(`${group}: ${line}`);
      }
    }
    for (const scenario of members) {
      const want = golden?.answers[scenario.name];
      const differences = want
        ? compareOutcomes(await answer(scenario, oracle.runner), want)
        : [`no recorded answer: run ${MADE_BY} ${scenario.name}`];
      if (differences.length === 0) continue;
      failed += 1;
      console.log(`FAIL ${scenario.name}\n  ${differences.join("\n  ")}`);
    }
  }
  console.log(`${list.length - failed} passed, ${failed} failed`);
  return failed;
}

async function show(oracle: Oracle, list: readonly Scenario[]): Promise<number> {
  for (const scenario of list) {
    const outcome = await answer(scenario, oracle.runner);
    console.log(
      `== ${scenario.name}: exit ${outcome.exitCode}\n${outcome.stdout}-- stderr\n${outcome.stderr}`,
    );
    if (outcome.files) console.log(outcome.files);
  }
  return 0;
}

/** The recorded answers against a real kernel. COPPICE_ORACLE_KERNEL is an unpacked kernel package. */
async function second(oracle: Oracle, list: readonly Scenario[]): Promise<number> {
  const kernel = process.env["COPPICE_ORACLE_KERNEL"];
  if (kernel === undefined)
    throw new Error("COPPICE_ORACLE_KERNEL must name the folder of an unpacked kernel package");
  const plain = list.filter(({ keys }) => keys === undefined);
  const requests: RunRequest[] = [];
  const prepared: AsyncDisposable[] = [];
  for (const scenario of plain) {
    const scene = await prepareScenario(scenario);
    prepared.push(scene);
    requests.push(scene.request);
  }
  let failed = 0;
  const outcomes = await runInVm(oracle.root, kernel, requests);
  for (const [index, scenario] of plain.entries()) {
    const want = readGolden(groupOf(scenario.name))?.answers[scenario.name];
    const got = outcomes[index];
    const differences =
      got && want
        ? compareOutcomes({ ...got, ...(want.files && { files: want.files }) }, want)
        : [got ? "no recorded answer" : "the machine did not come to it"];
    if (differences.length === 0) continue;
    failed += 1;
    console.log(`FAIL ${scenario.name}\n  ${differences.join("\n  ")}`);
  }
  for (const scene of prepared) await scene[Symbol.asyncDispose]();
  console.log(
    `${plain.length - failed} passed, ${failed} failed, ${list.length - plain.length} skipped (they need a terminal)`,
  );
  return failed;
}

const commands = { record, check, second, show };

async function main(command: string | undefined, names: readonly string[]): Promise<number> {
  const list = chosen(names);
  if (command === "list") {
    for (const { name } of list) console.log(name);
    return 0;
  }
  if (command === undefined || !Object.hasOwn(commands, command)) {
    console.error("usage: node tools/oracle.ts record|check|second|show|list [NAME…]");
    return 2;
  }
  try {
    if (process.getuid?.() !== 0) throw new OracleUnavailable("the oracle needs root");
    for (const tool of ["/usr/bin/unshare", "/usr/bin/cc", "/usr/bin/qemu-riscv64-static"]) {
      if (!existsSync(tool)) throw new OracleUnavailable(`${tool} is missing`);
    }
    if (process.env["COPPICE_ORACLE_INSIDE"] === undefined) reenter();
    let failed = 0;
    for (const image of new Set(list.map(imageOf))) {
      await using oracle = await openOracle(image);
      const own = list.filter((scenario) => imageOf(scenario) === image);
      failed += await commands[command as keyof typeof commands](oracle, own);
    }
    return failed === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof OracleUnavailable)) throw error;
    console.log(`LEFT OUT: ${error.message}`);
    console.log(`0 passed, 0 failed, ${list.length} skipped`);
    return command === "check" ? 0 : 1;
  }
}

process.exitCode = await main(process.argv[2], process.argv.slice(3));
