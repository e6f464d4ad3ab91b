/** The command line from arguments to exit status, with a machine and images of paper. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough, Writable } from "node:stream";
import { test } from "node:test";
import { ImageError } from "../image/errors.ts";
import type {
  BootOptions,
  ExitStatus,
  GuestProcess,
  Machine,
  SpawnOptions,
  TerminalSize,
  TimingReport,
} from "../machine/api.ts";
import { CoppiceError } from "../machine/errors.ts";
import { runCommandLine } from "./command-line.ts";
import type { ForwardedSignal, HostConsole } from "./host-console.ts";
import type { ImageService } from "./image.ts";

/** What a guest program of paper can do. */
interface Guest {
  readonly argv: readonly string[];
  readonly options: SpawnOptions;
  /** All of its standard input. */
  input(): Promise<string>;
  out(text: string): void;
  err(text: string): void;
  readonly signals: string[];
  readonly sizes: TerminalSize[];
  readonly onSignal: (listener: (signal: string) => void) => void;
}

type Program = (guest: Guest) => Promise<ExitStatus>;

const TIMING: TimingReport = {
  phases: [{ name: "boot", ms: 12.34 }],
  counters: { "system calls": 1234 },
  missingCalls: { bpf: 2 },
};

const exited = (exitCode: number): ExitStatus => ({ exitCode, signal: null });

function spawnPaper(
  argv: readonly string[],
  options: SpawnOptions,
  program: Program,
): GuestProcess & Disposable {
  const input = new TransformStream<Uint8Array, Uint8Array>();
  if (options.stdin === "null") void input.writable.close();
  const streams = ["stdout", "stderr"].map(() => {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const stream = new ReadableStream<Uint8Array>({
      start: (value) => {
        controller = value;
      },
    });
    const write = (text: string): void => controller?.enqueue(new TextEncoder().encode(text));
    return { stream, write, close: (): void => controller?.close() };
  });
  const [out, err] = streams;
  assert.ok(out && err);
  const listeners: ((signal: string) => void)[] = [];
  const guest: Guest = {
    argv,
    options,
    input: () => new Response(input.readable).text(),
    out: out.write,
    err: err.write,
    signals: [],
    sizes: [],
    onSignal: (listener) => listeners.push(listener),
  };
  const close = (): void => {
    for (const stream of streams) stream.close();
    streams.length = 0;
  };
  const end = program(guest).finally(close);
  return {
    [Symbol.dispose]: close,
    pid: 2,
    stdin: input.writable,
    stdout: out.stream,
    stderr: err.stream,
    wait: () => end,
    kill: (signal = "SIGTERM") => {
      guest.signals.push(signal);
      for (const listener of listeners) listener(signal);
    },
    resize: (size) => guest.sizes.push(size),
  };
}

interface Scene {
  readonly terminal?: boolean;
  readonly input?: string;
  readonly program?: Program;
  readonly bootError?: Error;
  readonly spawnError?: Error;
  readonly images?: Partial<ImageService>;
  /** What the user does while the command runs. */
  readonly act?: (user: { signal(name: ForwardedSignal): void; resize(size: TerminalSize): void }) => void;
}

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly boots: BootOptions[];
  readonly closed: number;
  readonly raw: boolean[];
}

/** Runs `coppice` with the arguments in a scene and tells what came of it. */
async function play(argv: string, scene: Scene = {}): Promise<Outcome> {
  const output = { stdout: "", stderr: "" };
  const sink = (name: "stdout" | "stderr"): Writable =>
    new Writable({
      write: (chunk, _encoding, done) => {
        output[name] += String(chunk);
        done();
      },
    });
  const stdin = new PassThrough();
  if (scene.input !== undefined) stdin.end(scene.input);
  const boots: BootOptions[] = [];
  const raw: boolean[] = [];
  let closed = 0;
  const guests: Disposable[] = [];
  const signalListeners = new Set<(signal: ForwardedSignal) => void>();
  const sizeListeners = new Set<(size: TerminalSize) => void>();
  const listen = <T>(set: Set<T>, listener: T): (() => void) => {
    set.add(listener);
    return () => set.delete(listener);
  };
  const terminal = scene.terminal ?? false;
  const host: HostConsole = {
    stdin,
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    stdinIsTerminal: terminal,
    stdoutIsTerminal: terminal,
    stderrIsTerminal: false,
    size: () => ({ columns: 100, rows: 30 }),
    setRawMode: (value) => raw.push(value),
    onResize: (listener) => listen(sizeListeners, listener),
    onSignal: (listener) => listen(signalListeners, listener),
  };
  const machine = {
    spawn: async (command: readonly string[], options: SpawnOptions = {}) => {
      if (scene.spawnError) throw scene.spawnError;
      const guest = spawnPaper(command, options, scene.program ?? (async () => exited(0)));
      guests.push(guest);
      return guest;
    },
    timing: () => TIMING,
    [Symbol.asyncDispose]: async () => {
      for (const guest of guests) guest[Symbol.dispose]();
      closed += 1;
    },
  } as unknown as Machine;
  const boot = async (options: BootOptions): Promise<Machine> => {
    boots.push(options);
    if (scene.bootError) throw scene.bootError;
    return machine;
  };
  const timer = setTimeout(
    () =>
      scene.act?.({
        signal: (name) => signalListeners.forEach((listener) => listener(name)),
        resize: (size) => sizeListeners.forEach((listener) => listener(size)),
      }),
    20,
  );
  const status = await runCommandLine(argv.split(" "), "1.2.3", {}, host, {
    boot: async () => boot,
    images: async () => scene.images as ImageService,
  });
  clearTimeout(timer);
  assert.equal(signalListeners.size + sizeListeners.size, 0, "listeners that stayed");
  return { status, ...output, boots, closed, raw };
}

test("stdout, stderr and the exit status are the guest's, and the machine is closed", async () => {
  const outcome = await play("run debian ls -l", {
    program: async (guest) => {
      guest.out(guest.argv.join(" "));
      guest.err("oops");
      return exited(3);
    },
  });
  assert.equal(outcome.stdout, "ls -l");
  assert.equal(outcome.stderr, "oops");
  assert.equal(outcome.status, 3);
  assert.equal(outcome.closed, 1);
  assert.deepEqual(outcome.raw, []);
});

test("a signal that killed the guest gives 128 + its number", async () => {
  const killed = (signal: "SIGSEGV" | "SIG34") => async () => ({ exitCode: null, signal });
  assert.equal((await play("run debian x", { program: killed("SIGSEGV") })).status, 139);
  assert.equal((await play("run debian x", { program: killed("SIG34") })).status, 162);
});

test("standard input is streamed with -i and empty without", async () => {
  const program: Program = async (guest) => {
    guest.out(`<${await guest.input()}>`);
    return exited(0);
  };
  assert.equal((await play("run -i debian cat", { input: "a\nb", program })).stdout, "<a\nb>");
  assert.equal((await play("run debian cat", { input: "a\nb", program })).stdout, "<>");
});

test("a guest that ends without reading its input does not hold the command up", async () => {
  const outcome = await play("run -i debian true", { program: async () => exited(0) });
  assert.equal(outcome.status, 0);
});

test("-it sets the terminal raw, passes its size and its changes on, and restores it", async () => {
  let sizes: TerminalSize[] = [];
  const outcome = await play("run -it debian", {
    terminal: true,
    program: async (guest) => {
      sizes = guest.sizes;
      await new Promise((resolve) => setTimeout(resolve, 60));
      guest.out(JSON.stringify(guest.options.tty));
      return exited(0);
    },
    act: (user) => user.resize({ columns: 50, rows: 10 }),
  });
  assert.equal(outcome.stdout, '{"columns":100,"rows":30}');
  assert.deepEqual(sizes, [{ columns: 50, rows: 10 }]);
  assert.deepEqual(outcome.raw, [true, false]);
});

test("-it without a terminal is Docker's error, -t alone is none", async () => {
  const outcome = await play("run -it debian");
  assert.equal(
    outcome.stderr,
    "coppice: the input device is not a TTY\n  leave out -t to read from a pipe or a file, or run it in a terminal\n",
  );
  assert.equal(outcome.status, 125);
  assert.equal((await play("run -t debian true")).status, 0);
});

test("signals go to the guest", async () => {
  const outcome = await play("run debian sleep 9", {
    program: (guest) =>
      new Promise((resolve) => {
        guest.onSignal((signal) => resolve({ exitCode: null, signal: signal as "SIGINT" }));
      }),
    act: (user) => user.signal("SIGINT"),
  });
  assert.equal(outcome.status, 130);
});

test("the third interrupt that a guest survives kills it", async () => {
  let guest: Guest | undefined;
  const outcome = await play("run debian deaf", {
    program: (value) => {
      guest = value;
      return new Promise(() => {});
    },
    act: (user) => {
      for (let i = 0; i < 3; i++) user.signal("SIGINT");
    },
  });
  assert.deepEqual(guest?.signals, ["SIGINT", "SIGINT", "SIGKILL"]);
  assert.equal(outcome.status, 137);
});

test("the options reach the machine", async () => {
  const outcome = await play("run --memory 64m --harts 3 -v /:/host:ro debian true");
  const [options] = outcome.boots;
  assert.equal(options?.image, "debian");
  assert.equal(options.memory, 64 * 1024 ** 2);
  assert.equal(options.harts, 3);
  assert.deepEqual(options.mounts, [{ host: path.resolve("/"), guest: "/host", readOnly: true }]);
});

test("--timing prints a table on stderr, --strace its lines", async () => {
  const outcome = await play("run --timing --strace debian true");
  assert.equal(outcome.stderr, "boot          12.3 ms\nsystem calls     1234\nENOSYS: bpf         2\n");
  outcome.boots[0]?.strace?.("[2] getpid() = 2");
});

test("--report writes what --timing tells to a file", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "coppice-report-"));
  try {
    const file = path.join(folder, "report.json");
    const outcome = await play(`run --report ${file} debian true`);
    assert.equal(outcome.stderr, "");
    assert.deepEqual(JSON.parse(await readFile(file, "utf8")), TIMING);
  } finally {
    await rm(folder, { recursive: true });
  }
});

const fault = (
  code: "COMMAND_NOT_FOUND" | "COMMAND_NOT_EXECUTABLE" | "USER_NOT_FOUND",
  reason: string,
): Error => new CoppiceError({ code, part: "command nope", reason });

test("a command that cannot be started gives 127, 126 or 125", async () => {
  const cases = [
    [fault("COMMAND_NOT_FOUND", "not found in PATH"), 127],
    [fault("COMMAND_NOT_EXECUTABLE", "permission denied"), 126],
    [fault("USER_NOT_FOUND", "no such user"), 125],
  ] as const;
  for (const [spawnError, status] of cases) {
    const outcome = await play("run debian nope", { spawnError });
    assert.equal(outcome.status, status);
    assert.equal(outcome.stderr, `coppice: ${spawnError.message}\n`);
    assert.equal(outcome.closed, 1);
  }
});

test("an absent image names the remedy", async () => {
  const bootError = new CoppiceError({
    code: "IMAGE_NOT_FOUND",
    part: 'image "debain"',
    reason: "no such image",
    remedy: "build it with 'coppice image build debain'",
  });
  const outcome = await play("run debain true", { bootError });
  assert.equal(
    outcome.stderr,
    "coppice: image \"debain\": no such image\n  build it with 'coppice image build debain'\n",
  );
  assert.equal(outcome.status, 125);
  const imageError = new ImageError({
    part: "image",
    problem: "a block is damaged",
    remedy: "build it again",
  });
  assert.equal((await play("run debian true", { bootError: imageError })).status, 125);
});

test("a mount of what is no folder is refused before the boot", async () => {
  const absent = await play("run -v /no/such:/mnt debian true");
  assert.equal(
    absent.stderr,
    "coppice: -v /no/such:/mnt: no such folder on the host\n  create it first: mkdir -p /no/such\n",
  );
  assert.equal(absent.status, 125);
  const file = await play(`run -v ${import.meta.filename}:/mnt debian true`);
  assert.match(file.stderr, /: not a folder\n {2}give the folder that the file is in\n$/);
  assert.deepEqual([absent.boots, file.boots], [[], []]);
});

test("a bug shows its stack and asks for a report", async () => {
  const outcome = await play("run debian true", { bootError: new TypeError("x is undefined") });
  assert.match(
    outcome.stderr,
    /^coppice: internal error: TypeError: x is undefined\n {4}at .*\n {2}this is a bug/s,
  );
  assert.equal(outcome.status, 125);
});

const summary = {
  name: "debian",
  release: "trixie 13.2",
  bytes: 123_456_789,
  builtMs: Date.now() - 7_300_000,
};

test("image ls prints a table, or names", async () => {
  const images = { list: async () => [summary, { ...summary, name: "a", builtMs: Date.now() }] };
  assert.equal(
    (await play("image ls", { images })).stdout,
    "NAME    DEBIAN       SIZE    BUILT\ndebian  trixie 13.2  123 MB  2 hours ago\na       trixie 13.2  123 MB  just now\n",
  );
  assert.equal((await play("image ls -q", { images })).stdout, "debian\na\n");
});

test("image build draws plain lines elsewhere than on a terminal and prints the name", async () => {
  const images: Partial<ImageService> = {
    build: async (request, progress) => {
      const report = { phase: "download", detail: "", items: 86, totalItems: 86, bytes: 41_700_000 } as const;
      const rest = { totalBytes: 41_700_000, cachedBytes: 0, rate: 8_310_000, elapsedMs: 5018 };
      progress.report({ ...report, ...rest, state: "begin" });
      progress.report({ ...report, ...rest, state: "end" });
      return { ...summary, name: request.name };
    },
  };
  const outcome = await play("image build debian", { images });
  assert.equal(outcome.stdout, "debian\n");
  assert.match(
    outcome.stderr,
    /^download: 86, 41\.7 MB, 8\.31 MB\/s, 5\.0 s\nimage "debian": Debian trixie 13\.2, 123 MB, built in [\d.]+ s\n$/,
  );
});

test("a failed image command exits with 1 and names cause and remedy", async () => {
  const images: Partial<ImageService> = {
    remove: () =>
      Promise.reject(
        new ImageError({ part: "image", problem: 'no image "x"', remedy: "see 'coppice image ls'" }),
      ),
  };
  const outcome = await play("image rm x", { images });
  assert.equal(outcome.stderr, "coppice: no image \"x\"\n  see 'coppice image ls'\n");
  assert.equal(outcome.status, 1);
});

test("start builds the image when it is missing, then runs a shell", async () => {
  const built: string[] = [];
  const images: Partial<ImageService> = {
    has: async () => built.length > 0,
    build: async ({ name }) => {
      built.push(name);
      return summary;
    },
  };
  const program: Program = async (guest) => {
    guest.out(`${guest.argv.join(" ")} in ${guest.options.cwd}: ${await guest.input()}`);
    return exited(0);
  };
  const first = await play("start", { images, input: "exit", program });
  assert.deepEqual(built, ["debian"]);
  assert.equal(first.stdout, "bash in /root: exit");
  assert.match(first.stderr, /^The image "debian" is not there yet/);
  const second = await play("start", { images, input: "exit", program });
  assert.deepEqual(built, ["debian"]);
  assert.equal(second.stderr, "");
});

test("the command from the checkout prints its version and fails with 125 on a wrong option", () => {
  const main = path.join(import.meta.dirname, "main.ts");
  const coppice = (...argv: readonly string[]): unknown[] => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...argv], { encoding: "utf8" });
    return [status, stdout.split("\n", 1)[0], stderr];
  };
  assert.match(String(coppice("--version")[1]), /^coppice \d+\.\d+\.\d+$/);
  assert.deepEqual(coppice("--bogus"), [
    125,
    "",
    "coppice: unknown option '--bogus'\n  see 'coppice --help'\n",
  ]);
});
