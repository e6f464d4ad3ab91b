/**
 * Coppice as a runner of scenarios: the command line from the checkout, one machine for each run; for a terminal
 * the library, because the command line takes one only from a terminal of the host.
 */

import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ExitStatus, TimingReport } from "../../src/machine/api.ts";
import { decodeOutput, type RunOutcome, type Runner, type RunRequest, Typist } from "./compare.ts";

const root = path.resolve(import.meta.dirname, "../..");
const cli = path.join(root, "bin/coppice");

/** The command line for a request; its report goes to the file `report`. */
export function commandLine(request: RunRequest, image: string, report: string): string[] {
  return [
    "run",
    "--report",
    report,
    ...(request.stdin === "" ? [] : ["-i"]),
    ...Object.entries(request.env).flatMap(([name, value]) => ["-e", `${name}=${value}`]),
    "-w",
    request.cwd,
    "-u",
    request.user,
    ...request.mounts.flatMap(({ host, guest, readOnly }) => [
      "-v",
      `${host}:${guest}${readOnly ? ":ro" : ""}`,
    ]),
    image,
    ...request.argv,
  ];
}

async function runCli(request: RunRequest, image: string): Promise<RunOutcome> {
  const folder = await mkdtemp(path.join(tmpdir(), "coppice-report-"));
  try {
    return await runWithReport(request, image, path.join(folder, "report.json"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function runWithReport(request: RunRequest, image: string, report: string): Promise<RunOutcome> {
  const child = spawn(cli, commandLine(request, image, report), { stdio: ["pipe", "pipe", "pipe"] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdin.on("error", () => {});
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  child.stdin.end(request.stdin);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, request.timeoutMs);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on("error", reject);
  child.on("close", (code) => resolve(code ?? -1));
  const exitCode = await promise;
  clearTimeout(timer);
  const stdout = decodeOutput(Buffer.concat(out));
  const stderr = decodeOutput(Buffer.concat(err));
  if (late)
    throw new Error(
      `no end after ${request.timeoutMs} ms; it printed ${JSON.stringify(stdout.slice(-300) + stderr.slice(-300))}`,
    );
  // Without a report, Coppice itself failed: its status and message say how.
  const text = await readFile(report, "utf8").catch(() => "{}");
  const { missingCalls = {} } = JSON.parse(text) as Partial<TimingReport>;
  return { stdout, stderr, exitCode, missingCalls };
}

/** 128 + the number of a signal, as the command line reports it. */
async function hostStatus(status: ExitStatus): Promise<number> {
  const { hostStatus: convert } = await import("../../src/cli/run.ts");
  return convert(status);
}

async function runTerminal(request: RunRequest, image: string): Promise<RunOutcome> {
  const { boot } = await import("../../src/machine/index.ts");
  await using machine = await boot({ image, mounts: request.mounts });
  const program = await machine.spawn(request.argv, {
    env: request.env,
    cwd: request.cwd,
    user: request.user,
    tty: { columns: 80, rows: 24 },
  });
  const writer = program.stdin.getWriter();
  const typist = new Typist(request.keys ?? [], (keys) => {
    // A program that has ended takes no more keys; the comparison shows what is missing.
    writer.write(Buffer.from(keys, "latin1")).catch(() => {});
  });
  const timer = setTimeout(() => program.kill("SIGKILL"), request.timeoutMs);
  const shown: Uint8Array[] = [];
  for await (const chunk of program.stdout) {
    shown.push(chunk);
    typist.show(Buffer.from(chunk).toString("latin1"));
  }
  const exitCode = await hostStatus(await program.wait());
  clearTimeout(timer);
  const { missingCalls } = machine.timing();
  return { stdout: decodeOutput(Buffer.concat(shown)), stderr: "", exitCode, missingCalls };
}

export function coppiceRunner(image: string): Runner {
  return {
    name: "coppice",
    run: (request) => (request.keys ? runTerminal(request, image) : runCli(request, image)),
  };
}

/** Why the command line cannot run a program of the image here, or undefined if it can. */
export function whyNoBoot(image: string): string | undefined {
  const version = spawnSync(cli, ["--version"], { encoding: "utf8" });
  if (version.status !== 0) return `bin/coppice --version fails: ${version.stderr.split("\n")[0]}`;
  const run = spawnSync(cli, ["run", image, "true"], { encoding: "utf8", timeout: 60_000 });
  if (run.status === 0) return undefined;
  return `bin/coppice run ${image} true: ${run.stderr.split("\n")[0] || `status ${run.status ?? run.signal}`}`;
}
