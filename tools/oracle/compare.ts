/**
 * Runs a scenario with a runner (the oracle, or Coppice) and compares its outcome with the recorded answer.
 * What a runner must do is `Runner`; folders for mounts are made here, so that all runners get the same ones.
 */

import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  ALLOWED_MISSING,
  normalise,
  type KeyStep,
  type Outcome,
  type Scenario,
  type ScenarioMount,
} from "./scenario.ts";

export interface RunRequest {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly user: string;
  readonly stdin: string;
  /** With a terminal, its input by steps. */
  readonly keys?: readonly KeyStep[];
  readonly mounts: readonly { readonly host: string; readonly guest: string; readonly readOnly: boolean }[];
  readonly timeoutMs: number;
}

/** What a runner tells of a run. */
export interface RunOutcome extends Omit<Outcome, "files"> {
  /** System calls that were answered ENOSYS, with how often; Coppice tells, real kernels do not. */
  readonly missingCalls?: Readonly<Record<string, number>>;
}

export interface Runner {
  readonly name: string;
  run(request: RunRequest): Promise<RunOutcome>;
}

/** Bytes as text that keeps every byte: UTF-8 where it is valid, else one character for each byte. */
export function decodeOutput(bytes: Uint8Array): string {
  const text = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(bytes);
  return text.includes("\uFFFD") ? `latin1:${Buffer.from(bytes).toString("latin1")}` : text;
}

async function fillFolder(folder: string, mount: ScenarioMount): Promise<void> {
  for (const [name, entry] of Object.entries(mount.files)) {
    const at = path.join(folder, name);
    await mkdir(path.dirname(at), { recursive: true });
    if (typeof entry === "string") await writeFile(at, entry, { mode: 0o644 });
    else if ("text" in entry) {
      await writeFile(at, entry.text);
      await chmod(at, entry.mode);
    } else if ("link" in entry) await symlink(entry.link, at);
    else {
      await mkdir(at, { recursive: true });
      if (entry.mode !== undefined) await chmod(at, entry.mode);
    }
  }
}

/** The files below a folder: text, `-> target` for a link, `/` for a folder. */
async function describeFolder(folder: string, prefix: string): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for (const name of (await readdir(folder)).sort()) {
    const at = path.join(folder, name);
    const status = await lstat(at);
    const mode = (status.mode & 0o7777).toString(8);
    if (status.isSymbolicLink()) found.push([prefix + name, `-> ${await readlink(at)}`]);
    else if (status.isDirectory()) {
      found.push([`${prefix}${name}/`, mode]);
      found.push(...(await describeFolder(at, `${prefix}${name}/`)));
    } else found.push([prefix + name, `${mode} ${decodeOutput(await readFile(at))}`]);
  }
  return found;
}

export interface PreparedScenario extends AsyncDisposable {
  readonly request: RunRequest;
  /** What is in the mounted folders now. */
  files(): Promise<Record<string, string> | undefined>;
}

/** Makes the folders that a scenario mounts, and the request for a runner. */
export async function prepareScenario(scenario: Scenario): Promise<PreparedScenario> {
  const base = await mkdtemp(path.join(tmpdir(), "coppice-scenario-"));
  await chmod(base, 0o755);
  // Beside the mounted folders, where a symbolic link that led out would find it.
  await writeFile(path.join(base, "outside.txt"), "a file of the host\n");
  const mounts: { host: string; guest: string; readOnly: boolean }[] = [];
  for (const [index, mount] of (scenario.mounts ?? []).entries()) {
    const host = path.join(base, `mount-${index}`);
    await mkdir(host);
    await fillFolder(host, mount);
    mounts.push({ host, guest: mount.guest, readOnly: mount.readOnly ?? false });
  }
  return {
    request: {
      argv: scenario.argv,
      env: scenario.env ?? {},
      cwd: scenario.cwd ?? "/",
      user: scenario.user ?? "root",
      stdin: scenario.stdin ?? "",
      ...(scenario.keys && { keys: scenario.keys }),
      mounts,
      timeoutMs: scenario.timeoutMs ?? 30_000,
    },
    files: async () => {
      if (mounts.length === 0) return undefined;
      const found: [string, string][] = [];
      for (const [index, { host }] of mounts.entries())
        found.push(...(await describeFolder(host, `${index}:`)));
      return Object.fromEntries(found);
    },
    [Symbol.asyncDispose]: () => rm(base, { recursive: true, force: true }),
  };
}

/**
 * Runs a scenario and returns its outcome, normalised. Throws if a program met ENOSYS from a system call for which
 * neither the scenario nor ALLOWED_MISSING has a reason: then the outcome may agree by luck only.
 */
export async function runScenario(scenario: Scenario, runner: Runner): Promise<Outcome> {
  await using scene = await prepareScenario(scenario);
  const raw = await runner.run(scene.request);
  refuseMissing(raw.missingCalls ?? {}, scenario);
  const files = await scene.files();
  return {
    stdout: normalise(raw.stdout, scenario.normalise),
    stderr: normalise(raw.stderr, scenario.normalise),
    exitCode: raw.exitCode,
    ...(files && { files }),
  };
}

function refuseMissing(missing: Readonly<Record<string, number>>, scenario: Scenario): void {
  const allowed = { ...ALLOWED_MISSING, ...scenario.allowMissing };
  const unexcused = Object.entries(missing).filter(([name]) => !Object.hasOwn(allowed, name));
  if (unexcused.length === 0) return;
  const list = unexcused.map(([name, count]) => `${name} (${count} times)`).join(", ");
  throw new Error(`${scenario.name} met system calls that are not there: ${list}`);
}

function firstDifference(name: string, got: string, want: string): string | undefined {
  if (got === want) return undefined;
  const a = got.split("\n");
  const b = want.split("\n");
  const line = a.findIndex((text, i) => text !== b[i]);
  const at = line < 0 ? a.length : line;
  return `${name}, line ${at + 1}: got ${JSON.stringify(a[at] ?? "(the end)")}, want ${JSON.stringify(b[at] ?? "(the end)")}`;
}

/** What differs between an outcome and the answer; empty if nothing does. */
export function compareOutcomes(got: Outcome, want: Outcome): string[] {
  const differences = [
    firstDifference("stdout", got.stdout, want.stdout),
    firstDifference("stderr", got.stderr, want.stderr),
    got.exitCode === want.exitCode ? undefined : `exit status: got ${got.exitCode}, want ${want.exitCode}`,
    firstDifference(
      "files",
      JSON.stringify(got.files ?? {}, null, 1),
      JSON.stringify(want.files ?? {}, null, 1),
    ),
  ];
  return differences.filter((text) => text !== undefined);
}

/** Types the keys of a scenario as their texts appear. Give it what the terminal shows; it sends by `send`. */
export class Typist {
  readonly #steps: readonly KeyStep[];
  readonly #send: (keys: string) => void;
  #next = 0;
  #seen = "";
  #waiting = false;

  constructor(steps: readonly KeyStep[], send: (keys: string) => void) {
    this.#steps = steps;
    this.#send = send;
    this.#proceed();
  }

  /** The step that still waits for its text, for a message when the time is over. */
  get pending(): KeyStep | undefined {
    return this.#steps[this.#next];
  }

  show(text: string): void {
    this.#seen += text;
    this.#proceed();
  }

  #proceed(): void {
    const step = this.#steps[this.#next];
    if (!step || this.#waiting) return;
    const at = this.#seen.indexOf(step.expect);
    if (at < 0) return;
    this.#seen = this.#seen.slice(at + step.expect.length);
    this.#waiting = true;
    // A moment even without a pause, so that what still belongs to the text is shown before the echo.
    setTimeout(() => {
      this.#waiting = false;
      this.#next += 1;
      this.#send(step.send);
      this.#proceed();
    }, step.pauseMs ?? 20);
  }
}
