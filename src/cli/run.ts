/** `coppice run`: one command in a machine of its own, with the host's streams, terminal and signals. */

import { stat, writeFile } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import type {
  Boot,
  BootOptions,
  ExitStatus,
  GuestProcess,
  HostMount,
  SpawnOptions,
  TimingReport,
} from "../machine/api.ts";
import { UsageError } from "./failure.ts";
import type { ForwardedSignal, HostConsole } from "./host-console.ts";
import type { RunRequest } from "./invocation.ts";
import { signalNumber } from "./signals.ts";

/** So many interrupts that the guest survives, and it is killed, as Docker does. */
const INTERRUPTS_MAX = 3;

async function checkVolume({ host, guest }: HostMount): Promise<void> {
  const status = await stat(host).catch(() => undefined);
  if (status?.isDirectory()) return;
  throw new UsageError(
    `-v ${host}:${guest}: ${status ? "not a folder" : "no such folder on the host"}`,
    status ? "give the folder that the file is in" : `create it first: mkdir -p ${host}`,
  );
}

/** Writes what the guest writes to a stream of the host. A reader that went away ends the guest's stream too. */
async function copyOut(from: ReadableStream<Uint8Array>, to: Writable): Promise<void> {
  const reader = from.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const error = await new Promise<Error | null | undefined>((resolve) => to.write(value, resolve));
    if (error) return reader.cancel(error);
  }
}

/** Streams the host's input to the guest until either end closes. */
async function copyIn(from: Readable, to: WritableStream<Uint8Array>): Promise<void> {
  const writer = to.getWriter();
  try {
    for await (const chunk of from) await writer.write(chunk as Uint8Array);
    await writer.close();
  } catch {
    // The guest no longer reads, or the run is over and closed the input: neither concerns the user.
  }
}

function spawnOptions(request: RunRequest, host: HostConsole): SpawnOptions {
  return {
    env: request.env,
    stdin: request.interactive ? "pipe" : "null",
    ...(request.tty && { tty: host.size() }),
    ...(request.workdir !== undefined && { cwd: request.workdir }),
    ...(request.user !== undefined && { user: request.user }),
  };
}

function bootOptions(request: RunRequest, strace: (line: string) => void, signal: AbortSignal): BootOptions {
  return {
    image: request.image,
    mounts: request.volumes,
    signal,
    ...(request.memory !== undefined && { memory: request.memory }),
    ...(request.harts !== undefined && { harts: request.harts }),
    ...(request.strace && { strace }),
  };
}

/** The table that `--timing` prints. */
export function formatTiming({ phases, counters, missingCalls }: TimingReport): string {
  const rows = [
    ...phases.map(({ name, ms }) => [name, `${ms.toFixed(1)} ms`] as const),
    ...Object.entries(counters).map(([name, count]) => [name, String(count)] as const),
    ...Object.entries(missingCalls).map(([name, count]) => [`ENOSYS: ${name}`, String(count)] as const),
  ];
  const names = Math.max(0, ...rows.map(([name]) => name.length));
  const values = Math.max(0, ...rows.map(([, value]) => value.length));
  return rows.map(([name, value]) => `${name.padEnd(names)}  ${value.padStart(values)}\n`).join("");
}

/** The exit status of the command line for that of the guest. */
export function hostStatus(status: ExitStatus): number {
  return status.signal === null ? status.exitCode : 128 + signalNumber(status.signal);
}

/** Where signals of the host go: to the guest, or to the boot while there is no guest yet. */
class SignalRelay {
  readonly #abort = new AbortController();
  readonly #killed = Promise.withResolvers<ExitStatus>();
  #guest: GuestProcess | undefined;
  #interrupts = 0;

  /** Fires when a signal comes before the guest. */
  get bootSignal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Resolves when the guest was killed because it survived too many interrupts. */
  get killed(): Promise<ExitStatus> {
    return this.#killed.promise;
  }

  attach(guest: GuestProcess): void {
    this.#guest = guest;
  }

  send(signal: ForwardedSignal): void {
    if (signal === "SIGINT" || signal === "SIGTERM") this.#interrupts += 1;
    if (!this.#guest) {
      this.#abort.abort();
    } else if (this.#interrupts >= INTERRUPTS_MAX) {
      this.#guest.kill("SIGKILL");
      this.#killed.resolve({ exitCode: null, signal: "SIGKILL" });
    } else this.#guest.kill(signal);
  }
}

/** Runs the request and returns the exit status for the host. */
export async function run(request: RunRequest, host: HostConsole, boot: Boot): Promise<number> {
  const attached = request.tty && request.interactive;
  if (attached && !host.stdinIsTerminal) {
    throw new UsageError(
      "the input device is not a TTY",
      "leave out -t to read from a pipe or a file, or run it in a terminal",
    );
  }
  for (const volume of request.volumes) await checkVolume(volume);

  const relay = new SignalRelay();
  const endings: (() => void)[] = [host.onSignal((signal) => relay.send(signal))];
  const lineEnd = attached ? "\r\n" : "\n";
  const strace = (line: string): unknown => host.stderr.write(line + lineEnd);
  let timing: TimingReport | undefined;
  try {
    let copies: Promise<unknown>;
    let status: ExitStatus;
    {
      await using machine = await boot(bootOptions(request, strace, relay.bootSignal));
      const guest = await machine.spawn(request.command, spawnOptions(request, host));
      relay.attach(guest);
      if (request.tty) endings.push(host.onResize((size) => guest.resize(size)));
      if (attached) {
        host.setRawMode(true);
        endings.push(() => host.setRawMode(false));
      }
      if (request.interactive) void copyIn(host.stdin, guest.stdin);
      copies = Promise.all([copyOut(guest.stdout, host.stdout), copyOut(guest.stderr, host.stderr)]);
      status = await Promise.race([guest.wait(), relay.killed]);
      timing = machine.timing();
    }
    // The machine is closed and its streams have ended; what was written before still goes out.
    await copies;
    if (request.report !== undefined) await writeFile(request.report, `${JSON.stringify(timing, null, 2)}\n`);
    return hostStatus(status);
  } finally {
    for (const end of endings.toReversed()) end();
    if (request.interactive) host.stdin.destroy();
    if (timing && request.timing) host.stderr.write(formatTiming(timing));
  }
}
