/** Boots a machine: image, state, threads, mounts; and what can then be done with it. */

import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { HeapView } from "../heap/heap.ts";
import { nodeHost } from "../host/node/host.ts";
import { cacheDirectory, TRANSLATIONS } from "../image/cache.ts";
import { ImageError } from "../image/errors.ts";
import { openImage } from "../image/image-file.ts";
import { lookUpImage } from "../image/images.ts";
import { crashCount, deathCount, missingCalls } from "../kernel/ledger.ts";
import { memoryLayout } from "../kernel/memory/layout.ts";
import { callsServed, SERVER_ORDER, workerServers } from "../kernel/placement.ts";
import { HARTS_MAX } from "../kernel/scheduler.ts";
import { rowOf } from "../linux/table.ts";
import type {
  BootOptions,
  ExecOptions,
  ExecResult,
  GuestProcess,
  Machine,
  SpawnOptions,
  TimingReport,
} from "./api.ts";
import { Crew } from "./crew.ts";
import { CoppiceError } from "./errors.ts";
import { collectOutput } from "./exec.ts";
import { GuestFiles } from "./guest-files.ts";
import { RunningProcess } from "./guest-process.ts";
import { HostCallError, HostCalls } from "./host-calls.ts";
import { SPAWN_RESULT, type SpawnPayload } from "./host-spawn.ts";
import { tier0Module } from "./interpreter.ts";
import { FAULT_BYTES } from "./fault-control.ts";
import { MachineFaults } from "./faults.ts";
import {
  buildSystem,
  createBuffers,
  FIRST_HART_SLOT,
  type SystemBuffers,
  type SystemOptions,
} from "./system.ts";
import { createThread } from "./thread-context.ts";
import type { ImageGrant, TranslatorThreadData } from "./thread-data.ts";
import { DEFAULT_PATH, environmentOf, resolveUser } from "./user.ts";

const MEMORY_DEFAULT: number = 1024 * 2 ** 20;
const MEMORY_MIN: number = 64 * 2 ** 20;
const MEMORY_MAX: number = 4096 * 2 ** 20;
const HEAP_BYTES: number = 128 * 2 ** 20;
const TASKS_MAX = 4096;
/** Time that a machine's processes have to end when it is closed, ms. */
const SHUTDOWN_MS = 2000;
/** Time without progress after which a thread of the machine counts as hung, ms. */
const HANG_MS = 10_000;

/** Part of the guest memory that holds translations: one in so many bytes. */
const CODE_SHARE = 16;

/** What tests and the fault campaign ask for besides. */
export interface FaultOptions {
  /** Whether threads can be stopped inside their transactions. It slows every store. */
  readonly hooks: boolean;
  /** Time without progress after which a thread counts as hung, ms. */
  readonly hangMs?: number;
}

/** See `Boot` in api.ts. */
export function boot(options: BootOptions): Promise<Machine> {
  return start(options);
}

/** A machine whose threads can be killed: for tests and the fault campaign. */
export async function bootWithFaults(
  options: BootOptions,
  faultOptions: FaultOptions,
): Promise<{ readonly machine: Machine; readonly faults: MachineFaults }> {
  const machine = await start(options, faultOptions);
  return { machine, faults: machine.faults };
}

async function start(options: BootOptions, faultOptions?: FaultOptions): Promise<RunningMachine> {
  const startedAt = performance.now();
  const memory = options.memory ?? MEMORY_DEFAULT;
  const harts = options.harts ?? 2;
  checkOptions(memory, harts, options.hostname ?? "coppice");
  checkPlacement(options.placement ?? {});
  await checkMounts(options);
  const image = await findImage(options.image);
  options.signal?.throwIfAborted();
  const machine = new RunningMachine(options, memory, harts, image, startedAt, faultOptions);
  try {
    await machine.start(options.signal);
    return machine;
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
}

function invalid(part: string, reason: string, remedy: string): never {
  throw new CoppiceError({ code: "INVALID_OPTION", part, reason, remedy });
}

function checkOptions(memory: number, harts: number, hostname: string): void {
  if (!Number.isInteger(memory / 65536) || memory < MEMORY_MIN || memory > MEMORY_MAX) {
    invalid(
      "option memory",
      `${memory} bytes are not possible`,
      "give a multiple of 64 KiB from 64 MiB to 4 GiB",
    );
  }
  if (!Number.isInteger(harts) || harts < 1 || harts > HARTS_MAX) {
    invalid("option harts", `${harts} harts are not possible`, `give a number from 1 to ${HARTS_MAX}`);
  }
  if (!/^[A-Za-z0-9.-]{1,64}$/.test(hostname)) {
    invalid(
      "option hostname",
      `"${hostname}" is not a host name`,
      "use up to 64 letters, digits, hyphens and dots",
    );
  }
}

function checkPlacement(placement: Readonly<Record<string, string>>): void {
  for (const [server, place] of Object.entries(placement)) {
    if (!(SERVER_ORDER as readonly string[]).includes(server)) {
      invalid("option placement", `there is no server "${server}"`, `name one of ${SERVER_ORDER.join(", ")}`);
    }
    if (place !== "caller" && place !== "worker") {
      invalid(`placement of ${server}`, `"${place}" is not a placement`, "say caller or worker");
    }
  }
}

async function checkMounts(options: BootOptions): Promise<void> {
  for (const mount of options.mounts ?? []) {
    const status = await stat(mount.host).catch(() => undefined);
    if (status?.isDirectory() !== true) {
      throw new CoppiceError({
        code: "MOUNT_FAILED",
        part: `mount ${resolve(mount.host)}`,
        reason: status === undefined ? "no such folder" : "not a folder",
        remedy: "name a folder of the host that exists",
      });
    }
    if (!mount.guest.startsWith("/")) {
      invalid(
        `mount ${mount.host}`,
        `"${mount.guest}" is not an absolute path`,
        "begin the guest's path with a slash",
      );
    }
  }
}

async function findImage(name: string): Promise<ImageGrant> {
  if (name.includes("/")) {
    throw new CoppiceError({
      code: "IMAGE_NOT_FOUND",
      part: `image file "${name}"`,
      reason: "images are found by name only, so that their digest is known",
      remedy: "build one with coppice image build NAME and give that name",
    });
  }
  let found: Awaited<ReturnType<typeof lookUpImage>>;
  try {
    found = await lookUpImage(name);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    throw new CoppiceError({
      code: "INVALID_OPTION",
      part: `image "${name}"`,
      reason: error.problem,
      remedy: error.remedy,
    });
  }
  if (found === undefined) {
    throw new CoppiceError({
      code: "IMAGE_NOT_FOUND",
      part: `image "${name}"`,
      reason: "there is no image of that name",
      remedy: `build it with 'coppice image build ${name}'`,
    });
  }
  const { path, digest, dataBlocks } = found;
  try {
    // Header and size are looked at now, so that a damaged image is refused here and not by its first reader.
    openImage(path, digest, dataBlocks).close();
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    throw new CoppiceError({
      code: "IMAGE_DAMAGED",
      part: `image "${name}"`,
      reason: error.problem,
      remedy: error.remedy,
      cause: error,
    });
  }
  return { path, digest, dataBlocks };
}

interface ThreadMessage {
  readonly kind: "ready" | "crash" | "strace" | "io-error" | "died" | "hung";
  readonly line?: string;
  readonly where?: string;
  readonly text?: string;
  /** Hart or server. */
  readonly target?: number | string;
  readonly death?: string;
}

const nameOf = (target: number | string | undefined): string =>
  typeof target === "number" ? `hart ${target}` : `server ${target}`;

class RunningMachine implements Machine {
  readonly fs: GuestFiles;
  readonly #options: BootOptions;
  readonly #buffers: SystemBuffers;
  readonly #view: HeapView;
  readonly #calls: HostCalls;
  readonly #crew: Crew;
  readonly faults: MachineFaults;
  readonly #closed: Promise<void>;
  readonly #startedAt: number;
  readonly #processes = new Set<RunningProcess>();
  readonly #phases: { name: string; ms: number }[] = [];
  readonly #hostname: string;
  readonly #kept: TranslatorThreadData["kept"];
  #lastPhase: number;
  #close: () => void = () => undefined;
  #closing: Promise<void> | undefined;

  constructor(
    options: BootOptions,
    memory: number,
    harts: number,
    image: ImageGrant,
    startedAt: number,
    faultOptions: FaultOptions | undefined,
  ) {
    this.#options = options;
    this.#startedAt = startedAt;
    this.#lastPhase = startedAt;
    this.#hostname = options.hostname ?? "coppice";
    const folder = join(cacheDirectory(), TRANSLATIONS);
    this.#kept = options.keepTranslations === false ? undefined : { folder, image: image.digest };
    this.#closed = new Promise((resolve) => {
      this.#close = resolve;
    });
    this.#phase("image");
    const translates = options.translate !== false;
    const system: SystemOptions = {
      memory,
      heap: HEAP_BYTES,
      harts,
      tasksMax: TASKS_MAX,
      hostname: this.#hostname,
      rootDevice: 0,
      codeBytes: translates ? memory / CODE_SHARE : 0,
      ...(options.placement !== undefined && { placements: options.placement }),
    };
    const buffers = createBuffers(system);
    this.#buffers = buffers;
    this.#view = new HeapView({ heap: buffers.heap, memory: buffers.memory.buffer as SharedArrayBuffer });
    const faults = faultOptions?.hooks === true ? new SharedArrayBuffer(FAULT_BYTES) : undefined;
    // The threads load while this one builds the state.
    this.#crew = new Crew({
      view: this.#view,
      warden: {
        ...buffers,
        harts,
        firstSlot: FIRST_HART_SLOT,
        strace: options.strace !== undefined,
        hangMs: faultOptions?.hangMs ?? HANG_MS,
        ...(faults !== undefined && { faults }),
      },
      io: {
        ...buffers,
        images: [image],
        folders: (options.mounts ?? []).map(({ host, readOnly }) => ({
          path: resolve(host),
          readOnly: readOnly === true,
        })),
      },
      hear: (message) => this.#hear(message as ThreadMessage),
      onDeath: (role, error) => this.#report(`${role} thread ended: ${error?.stack ?? "no reason given"}`),
    });
    this.#phase("buffers");
    try {
      buildSystem(buffers, system, createThread(1, nodeHost()));
    } catch (error) {
      this.#crew.abandon();
      throw error;
    }
    this.#calls = new HostCalls(this.#view);
    this.fs = new GuestFiles(this.#calls);
    this.#phase("state");
    this.#crew.begin({ module: tier0Module(translates) });
    this.#phase("interpreter");
    this.faults = new MachineFaults(this.#view, this.#crew, faults);
  }

  /** Mounts what every machine has. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    aborted.catch(() => undefined);
    await Promise.race([this.#calls.call("start", []), aborted]);
    const { code, codeBytes, harts } = memoryLayout(this.#view);
    if (codeBytes > 0) {
      const { memory } = this.#buffers;
      const area = { at: code, bytes: codeBytes, harts };
      void this.#crew.translateWhenAsked({ memory, area, kept: this.#kept });
    }
    for (const [index, { guest, readOnly, owner }] of (this.#options.mounts ?? []).entries()) {
      const path = new TextEncoder().encode(guest);
      const args = [index, path.length, readOnly === true ? 1 : 0, owner?.uid ?? 0, owner?.gid ?? 0];
      await Promise.race([this.#calls.call("mount", args, path), aborted]);
    }
    this.#phase("threads and mounts");
  }

  #phase(name: string): void {
    const now = performance.now();
    this.#phases.push({ name, ms: now - this.#lastPhase });
    this.#lastPhase = now;
  }

  #hear(message: ThreadMessage): void {
    if (message.kind === "strace") this.#options.strace?.(message.line ?? "");
    else if (message.kind === "crash") this.#report(`${message.where}: ${message.text}`);
    else if (message.kind === "io-error") this.#report(`I/O: ${message.text}`);
    else if (message.kind === "died") {
      this.#report(
        `${nameOf(message.target)} died (${message.death ?? "nothing lost"}): ${message.text ?? ""}`,
      );
    } else if (message.kind === "hung") this.#report(`${nameOf(message.target)} hangs`);
  }

  /** Failures of the system's own code, which the guest does not see, are shown to developers who ask. */
  #report(text: string): void {
    // oxlint-disable-next-line no-console
    if (process.env["COPPICE_DEBUG"] !== undefined) console.error(`coppice: ${text}`);
  }

  async spawn(argv: readonly string[], options: SpawnOptions = {}): Promise<GuestProcess> {
    this.#checkOpen();
    if (argv.length === 0) invalid("spawn", "no command was given", "name a program");
    const user = await resolveUser(this.fs, options.user);
    const env = environmentOf(user, this.#hostname, options);
    const payload: SpawnPayload = {
      argv,
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      path: (env["PATH"] ?? DEFAULT_PATH).split(":").map((folder) => (folder === "" ? "." : folder)),
      cwd: options.cwd ?? "/",
      uid: user.uid,
      gid: user.gid,
      groups: user.groups,
      ...(options.tty !== undefined && { tty: options.tty }),
    };
    const bytes = new TextEncoder().encode(JSON.stringify(payload));
    const ends = await this.#calls
      .call("spawn", [], bytes, ({ results }) => results)
      .catch((error: unknown) => this.#spawnFailed(argv[0]!, error));
    const started = new RunningProcess(
      { calls: this.#calls, closed: this.#closed },
      {
        pid: ends[SPAWN_RESULT.pid]!,
        input: ends[SPAWN_RESULT.input]!,
        output: ends[SPAWN_RESULT.output]!,
        error: ends[SPAWN_RESULT.error]!,
        isTerminal: options.tty !== undefined,
      },
      options.stdin ?? "pipe",
    );
    for (const each of this.#processes) if (each.isSilent) this.#processes.delete(each);
    this.#processes.add(started);
    return started;
  }

  #spawnFailed(command: string, error: unknown): never {
    if (!(error instanceof HostCallError)) throw error;
    const missing = error.errno === "ENOENT" || error.errno === "ENOTDIR";
    throw new CoppiceError({
      code: missing ? "COMMAND_NOT_FOUND" : "COMMAND_NOT_EXECUTABLE",
      part: `command "${command}"`,
      reason: missing ? "not found in the guest" : `cannot be executed: ${error.errno}`,
      errno: error.errno,
      cause: error,
    });
  }

  exec(
    argv: readonly string[],
    options?: ExecOptions & { readonly encoding?: "utf8" },
  ): Promise<ExecResult<string>>;
  exec(
    argv: readonly string[],
    options: ExecOptions & { readonly encoding: "bytes" },
  ): Promise<ExecResult<Uint8Array>>;
  async exec(
    argv: readonly string[],
    options: ExecOptions & { readonly encoding?: "utf8" | "bytes" } = {},
  ): Promise<ExecResult<string> | ExecResult<Uint8Array>> {
    const child = await this.spawn(argv, {
      ...options,
      stdin: options.input === undefined ? "null" : "pipe",
    });
    return collectOutput(child, argv, options);
  }

  timing(): TimingReport {
    const phases = [...this.#phases, { name: "run", ms: performance.now() - this.#lastPhase }];
    void this.#startedAt;
    return {
      phases,
      counters: {
        "crashes survived": crashCount(this.#view),
        "harts replaced": deathCount(this.#view, "harts"),
        "servers replaced": deathCount(this.#view, "servers"),
        "wardens replaced": deathCount(this.#view, "wardens"),
        ...Object.fromEntries(
          workerServers(this.#view).map((name) => [`calls of ${name}`, callsServed(this.#view, name)]),
        ),
      },
      missingCalls: Object.fromEntries(
        [...missingCalls(this.#view)].map(([number, count]) => [rowOf(number)?.name ?? `${number}`, count]),
      ),
    };
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw new CoppiceError({ code: "CLOSED", part: "machine", reason: "it has been closed" });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #shutDown(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SHUTDOWN_MS);
    });
    const processes = [...this.#processes];
    const quiet = async (): Promise<void> => {
      await this.#calls.call("shutdown", []);
      // Nobody can write any more: what is in the pipes is all there is.
      await Promise.all(processes.map((process) => process.drain()));
    };
    await Promise.race([quiet(), patience]).catch(() => undefined);
    clearTimeout(timer);
    await this.#crew.stop();
    for (const process of processes) process.endStreams();
    this.#close();
    this.#calls.close();
  }
}
