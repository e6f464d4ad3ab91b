/**
 * The systems that the benchmark compares: Coppice through its library, the same riscv64 programs under
 * qemu-user, and the same C sources built with the host's compiler on the host's own kernel. A system that is
 * not there says why, and the table repeats it.
 */

import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type * as coppiceLibrary from "../../src/machine/index.ts";
import type { Machine } from "../../src/machine/api.ts";
import { currentBundle } from "../../tools/bundle.ts";
import { copyFromImage } from "./image-files.ts";
import type { Program, RunOutput } from "./rows.ts";

/** A row's program made ready on a system. */
export interface Session {
  run(args: readonly string[]): Promise<RunOutput>;
  close(): Promise<void>;
}

export interface System {
  readonly name: "coppice" | "qemu-user" | "native";
  /** Why the system cannot be measured at all, if so. */
  readonly missing: string | undefined;
  open(program: Program): Promise<Session>;
  close(): Promise<void>;
}

const root = path.resolve(import.meta.dirname, "../..");
const guestBinaries = path.join(root, "bench/guest/bin");
const QEMU = "qemu-riscv64-static";
const IMAGE = "debian";
/** The image with python3, which the tests build too. */
const TOOLS_IMAGE = "debian-tools";
/** What bash and Python need beside themselves, wherever they are run by qemu-user. */
const LIBRARIES = "/usr/lib/riscv64-linux-gnu";
const LOADER = "/lib/ld-linux-riscv64-lp64d.so.1";
const GUEST_FOLDER = "/tmp/bench";
/** What the fork+exec row executes beside itself. */
const BESIDE = "hello-exit";

/** Runs a program of the host to its end. Fails if it does not exit with 0. */
function runHost(command: string, args: readonly string[], input: string): Promise<RunOutput> {
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint();
    const child = spawn(command, args, { stdio: "pipe" });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.stdin.on("error", () => {});
    child.on("error", reject);
    child.on("close", (code, signal) => {
      const wallNs = Number(process.hrtime.bigint() - start);
      if (code === 0) resolve({ stdout, stderr, wallNs });
      else
        reject(
          new Error(`${path.basename(command)} ended with ${signal ?? code}: ${(stderr || stdout).trim()}`),
        );
    });
    child.stdin.end(input);
  });
}

function hostSession(command: string, before: readonly string[], input = ""): Session {
  return {
    run: (args) => runHost(command, [...before, ...args], input),
    close: async () => {},
  };
}

async function isInstalled(command: string, versionArgument: string): Promise<boolean> {
  return promisify(execFile)(command, [versionArgument]).then(
    () => true,
    () => false,
  );
}

async function bootMachine(image: string): Promise<Machine> {
  try {
    // What is published and what bin/coppice runs: the bundle.
    const index = pathToFileURL(path.join(await currentBundle(), "index.js"));
    const { boot } = (await import(index.href)) as typeof coppiceLibrary;
    // What earlier runs have translated would make the cold columns depend on them.
    return await boot({ image, keepTranslations: false });
  } catch (error) {
    throw new Error(`cannot boot yet: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

async function machineSession(program: Exclude<Program, { kind: "startup" }>): Promise<Session> {
  const machine = await bootMachine(program.kind === "python" ? TOOLS_IMAGE : IMAGE);
  try {
    let command = program.kind === "python" ? "python3" : "bash";
    if (program.kind === "guest") {
      await machine.fs.mkdir(GUEST_FOLDER, { recursive: true });
      for (const name of new Set([program.name, BESIDE])) {
        const bytes = readFileSync(path.join(guestBinaries, name));
        await machine.fs.writeFile(`${GUEST_FOLDER}/${name}`, bytes, { mode: 0o755 });
      }
      command = `${GUEST_FOLDER}/${program.name}`;
    }
    return {
      async run(args) {
        const start = process.hrtime.bigint();
        const { exitCode, signal, stdout, stderr } = await machine.exec([command, ...args]);
        const wallNs = Number(process.hrtime.bigint() - start);
        if (exitCode !== 0) throw new Error(`${command} ended with ${signal ?? exitCode}: ${stderr.trim()}`);
        return { stdout, stderr, wallNs };
      },
      close: async () => machine[Symbol.asyncDispose](),
    };
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
}

export const coppice: System = {
  name: "coppice",
  missing: undefined,
  async open(program) {
    if (program.kind !== "startup") return machineSession(program);
    return hostSession(path.join(root, "bin/coppice"), ["run", "-i", IMAGE, "bash"], "exit");
  },
  close: async () => {},
};

/** Whether the host's kernel executes riscv64 programs by itself, which qemu-user needs for execve. */
function executesRiscv(): boolean {
  const folder = "/proc/sys/fs/binfmt_misc";
  if (!existsSync(folder)) return false;
  return readdirSync(folder).some(
    (entry) =>
      entry !== "register" &&
      entry !== "status" &&
      readFileSync(path.join(folder, entry), "utf8").includes("0200f300"),
  );
}

/** The programs under qemu-user; bash and its libraries come out of the image. */
export async function openQemu(): Promise<System> {
  const installed = await isInstalled(QEMU, "--version");
  const roots = new Map<string, Promise<string>>();
  /** qemu's arguments for a program of an image, which is copied out with the files that it needs. */
  const outOf = async (image: string, command: string, files: readonly string[]): Promise<string[]> => {
    let copied = roots.get(command);
    if (copied === undefined) {
      copied = mkdtemp(path.join(tmpdir(), "coppice-bench-qemu-")).then(async (folder) => {
        await copyFromImage(image, folder, [command, LOADER, ...files]);
        return folder;
      });
      roots.set(command, copied);
    }
    const folder = await copied;
    return ["-L", folder, "-E", `LD_LIBRARY_PATH=${LIBRARIES}:/usr/lib`, `${folder}${command}`];
  };
  const shell = (): Promise<string[]> => {
    const libraries = ["libc.so.6", "libtinfo.so.6"].map((name) => `${LIBRARIES}/${name}`);
    return outOf(IMAGE, "/usr/bin/bash", libraries);
  };
  const python = (): Promise<string[]> => {
    const libraries = ["libc.so.6", "libm.so.6", "libz.so.1", "libexpat.so.1"].map(
      (name) => `${LIBRARIES}/${name}`,
    );
    return outOf(TOOLS_IMAGE, "/usr/bin/python3", [...libraries, "/usr/lib/python3.13"]);
  };
  return {
    name: "qemu-user",
    missing: installed ? undefined : `${QEMU} is not installed`,
    async open(program) {
      if (program.kind === "bash") return hostSession(QEMU, await shell());
      if (program.kind === "python") return hostSession(QEMU, await python());
      if (program.kind === "startup") return hostSession(QEMU, await shell(), "exit");
      const session = hostSession(QEMU, [path.join(guestBinaries, program.name)]);
      return {
        run: (args) => {
          if (args[0] === "fork-exec" && !executesRiscv()) {
            return Promise.reject(new Error("execve needs a binfmt_misc entry for riscv64 (see --binfmt)"));
          }
          return session.run(args);
        },
        close: session.close,
      };
    },
    async close() {
      for (const copied of roots.values()) {
        const folder = await copied.catch(() => undefined);
        if (folder !== undefined) await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/** The same sources built for this host; its own bash for the rows that are about bash. */
export async function openNative(): Promise<System> {
  let missing: string | undefined;
  if (process.platform !== "linux") missing = "the host does not run Linux";
  else if (!(await isInstalled("gcc", "--version"))) missing = "gcc is not installed";
  const folder = missing === undefined ? await mkdtemp(path.join(tmpdir(), "coppice-bench-native-")) : "";
  if (missing === undefined) {
    try {
      await promisify(execFile)("sh", [path.join(root, "bench/guest/build.sh"), "--native", folder]);
    } catch (error) {
      missing = `the programs do not build here: ${(error as Error).message.split("\n").at(1) ?? ""}`;
    }
  }
  return {
    name: "native",
    missing,
    async open(program) {
      if (program.kind === "bash") return hostSession("bash", []);
      if (program.kind === "python") {
        if (!(await isInstalled("python3", "--version"))) throw new Error("python3 is not installed");
        return hostSession("python3", []);
      }
      if (program.kind === "startup") return hostSession("bash", [], "exit");
      return hostSession(path.join(folder, program.name), []);
    },
    async close() {
      if (folder !== "") await rm(folder, { recursive: true, force: true });
    },
  };
}
