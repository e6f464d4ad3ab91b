/**
 * Who says what the guest programs of test/guest must print:
 *
 *     node tools/oracle-guests.ts record [NAME…]   Debian's riscv64 kernel, in a virtual machine (vm.ts)
 *     node tools/oracle-guests.ts check [NAME…]    compares qemu-user in the chroot; known faults are counted apart
 *     node tools/oracle-guests.ts native [NAME…]   builds for this machine's own kernel and compares
 *
 * `record` needs COPPICE_ORACLE_KERNEL (an unpacked kernel package). All need root.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { findImage } from "../src/image/images.ts";
import { type GuestProgram, guestPrograms } from "../test/guest/manifest.ts";
import { chrootRunner } from "./oracle/chroot.ts";
import type { RunRequest } from "./oracle/compare.ts";
import { runInVm } from "./oracle/vm.ts";

const folder = path.resolve(import.meta.dirname, "../test/guest");
const expectedFile = (program: GuestProgram): string => path.join(folder, "expected", `${program.name}.txt`);

function requestFor(program: GuestProgram): RunRequest {
  return {
    argv: [`/guest/${program.program}`, ...(program.args ?? [])],
    env: {},
    cwd: "/tmp",
    user: program.user ?? "root",
    stdin: "",
    mounts: [{ host: path.join(folder, "bin"), guest: "/guest", readOnly: false }],
    timeoutMs: 240_000,
  };
}

/** Lines of verdicts that differ; lines that only one side has count too. */
function differences(got: string, want: string): string[] {
  const seen = new Set(got.split("\n"));
  const lost = want.split("\n").filter((line) => !seen.has(line));
  const known = new Set(want.split("\n"));
  const added = got.split("\n").filter((line) => !known.has(line));
  const verdict = /^(ok|FAIL|note) /;
  return [...lost.map((line) => `lost ${line}`), ...added.map((line) => `new ${line}`)].filter((line) =>
    verdict.test(line.replace(/^(lost|new) /, "")),
  );
}

const isKnown = (program: GuestProgram, line: string): boolean =>
  program.qemuUserDiffers !== "all" &&
  (program.qemuUserDiffers ?? []).some((start) =>
    line.replace(/^(lost|new) (ok|FAIL|note) /, "").startsWith(start),
  );

async function record(image: string, programs: readonly GuestProgram[]): Promise<number> {
  const kernel = process.env["COPPICE_ORACLE_KERNEL"];
  if (kernel === undefined)
    throw new Error("COPPICE_ORACLE_KERNEL must name the folder of an unpacked kernel package");
  const outcomes = await runInVm(image, kernel, programs.map(requestFor));
  let failed = 0;
  for (const [index, program] of programs.entries()) {
    const outcome = outcomes[index];
    const wrong =
      outcome === undefined
        ? "the machine did not come to it"
        : outcome.exitCode !== program.exitCode
          ? `exit status ${outcome.exitCode}, not ${program.exitCode}`
          : (/^FAIL.*$/m.exec(outcome.stdout)?.[0] ?? (outcome.stderr || undefined));
    if (wrong !== undefined || outcome === undefined) {
      failed += 1;
      console.log(`FAILED ${program.name}: ${wrong}`);
    } else writeFileSync(expectedFile(program), outcome.stdout);
  }
  console.log(`${programs.length - failed} passed, ${failed} failed`);
  return failed;
}

async function check(image: string, programs: readonly GuestProgram[]): Promise<number> {
  await using runner = await chrootRunner(image);
  let failed = 0;
  let known = 0;
  let skipped = 0;
  for (const program of programs) {
    if (program.qemuUserDiffers === "all") {
      skipped += 1;
      continue;
    }
    const want = readFileSync(expectedFile(program), "utf8");
    const outcome = await runner
      .run(requestFor(program))
      .catch((error: unknown) => ({ stdout: "", stderr: String(error), exitCode: -1 }));
    const lines = differences(outcome.stdout, want);
    const unknown = lines.filter((line) => !isKnown(program, line));
    known += lines.length - unknown.length;
    const ended = outcome.exitCode === program.exitCode || program.qemuUserDiffers !== undefined;
    if (unknown.length === 0 && ended) continue;
    failed += 1;
    console.log(`FAIL ${program.name} (exit ${outcome.exitCode})\n  ${unknown.slice(0, 40).join("\n  ")}`);
  }
  console.log(`${known} differing lines are known faults of qemu-user`);
  console.log(`${programs.length - failed - skipped} passed, ${failed} failed, ${skipped} skipped`);
  return failed;
}

function native(programs: readonly GuestProgram[]): number {
  const work = mkdtempSync(path.join(tmpdir(), "coppice-native-"));
  execFileSync(path.join(folder, "build.sh"), ["--native", work], { stdio: ["ignore", "ignore", "inherit"] });
  let failed = 0;
  for (const program of programs) {
    const file = path.join(work, program.program);
    if (!existsSync(file)) continue;
    const scratch = mkdtempSync(path.join(tmpdir(), "coppice-native-"));
    // A process namespace of its own whose init reaps, so that no process outlives the test.
    const args = [
      "--pid",
      "--fork",
      "--kill-child=KILL",
      "--mount-proc",
      "bash",
      "-c",
      '"$@"; exit $?',
      "bash",
      file,
    ];
    const { stdout } = spawnSync("unshare", [...args, ...(program.args ?? [])], {
      cwd: scratch,
      encoding: "utf8",
      timeout: 120_000,
    });
    // Sections for riscv64 alone are missing here; what is there must agree.
    const bad = differences(stdout, readFileSync(expectedFile(program), "utf8")).filter(
      (line) => line.startsWith("new") && !line.includes("only on riscv64"),
    );
    rmSync(scratch, { recursive: true, force: true });
    if (bad.length === 0) continue;
    failed += 1;
    console.log(`FAIL ${program.name}\n  ${bad.join("\n  ")}`);
  }
  rmSync(work, { recursive: true, force: true });
  console.log(`${programs.length - failed} passed, ${failed} failed`);
  return failed;
}

function reenter(): never {
  const { status } = spawnSync(
    "unshare",
    ["--mount", "--propagation", "private", process.execPath, ...process.argv.slice(1)],
    { stdio: "inherit", env: { ...process.env, COPPICE_ORACLE_INSIDE: "1" } },
  );
  process.exit(status ?? 1);
}

async function main(command: string | undefined, names: readonly string[]): Promise<number> {
  const programs = guestPrograms.filter(({ name }) => names.length === 0 || names.includes(name));
  if (command !== "record" && command !== "check" && command !== "native") {
    console.error("usage: node tools/oracle-guests.ts record|check|native [NAME…]");
    return 2;
  }
  if (command === "native") return native(programs) === 0 ? 0 : 1;
  if (process.env["COPPICE_ORACLE_INSIDE"] === undefined) reenter();
  const root = mkdtempSync(path.join(tmpdir(), "coppice-image-"));
  execFileSync("mount", ["-t", "erofs", "-o", "loop,ro", (await findImage("debian")).path, root]);
  try {
    return (await (command === "record" ? record : check)(root, programs)) === 0 ? 0 : 1;
  } finally {
    execFileSync("umount", [root]);
    rmdirSync(root);
  }
}

process.exitCode = await main(process.argv[2], process.argv.slice(3));
