/**
 * The oracle: programs of an image executed for real, by qemu-user under binfmt_misc in a root file system of
 * their own, with mount, process, IPC and UTS namespaces. Needs root on a Linux host, qemu-riscv64-static and a C
 * compiler for the small `enter` program.
 *
 * The root is the image itself (its EROFS mounted read-only) under an overlay whose upper layer is a tmpfs that
 * ends with the program. Nothing is executed on the host side of the chroot, and a run is refused unless
 * `uname -m` inside says riscv64.
 *
 * The process that uses this must already be in a mount namespace of its own (`reenter` in oracle.ts), so that
 * mounts go when it does. The binfmt_misc entry belongs to the whole host: it is registered only if no entry for
 * riscv64 is there, and removed at the end.
 */

import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { decodeOutput, type Runner, type RunRequest, Typist } from "./compare.ts";
import type { Outcome } from "./scenario.ts";

const BINFMT = "/proc/sys/fs/binfmt_misc";
const ENTRY = "coppice-oracle-riscv64";
const QEMU = "/usr/bin/qemu-riscv64-static";
// An ELF header, 64 bits, little endian, executable or shared object, machine 243.
const MAGIC = String.raw`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00`;
const MASK = String.raw`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`;

export class OracleUnavailable extends Error {}

/** Held shared by every oracle that runs, so that the last one to end knows it. */
const LOCK = "/run/lock/coppice-oracle";

/** Registers qemu for riscv64 if nothing is; returns what undoes it once no other oracle runs. */
export async function registerBinfmt(): Promise<() => void> {
  if (!existsSync(QEMU)) throw new OracleUnavailable(`${QEMU} is missing: install qemu-user-static`);
  const holder = spawn("flock", ["--no-fork", "--shared", LOCK, "sh", "-c", "echo held; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise((resolve, reject) => {
    holder.stdout.once("data", resolve);
    holder.once("error", reject);
  });
  if (!existsSync(`${BINFMT}/register`)) execFileSync("mount", ["-t", "binfmt_misc", "binfmt_misc", BINFMT]);
  const present = readdirSync(BINFMT).some(
    (name) =>
      name !== "register" && name !== "status" && readFileSync(`${BINFMT}/${name}`, "utf8").includes("f300"),
  );
  // P keeps argv[0]; O and C open the program with the kernel's own rights, so that set-uid and unreadable
  // programs work; F opens qemu now, so that the chroot need not contain it.
  if (!present) writeFileSync(`${BINFMT}/register`, `:${ENTRY}:M::${MAGIC}:${MASK}:${QEMU}:POCF`);
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    holder.kill("SIGKILL");
    spawnSync("flock", [
      "--exclusive",
      "--wait",
      "1",
      LOCK,
      "sh",
      "-c",
      `[ ! -e ${BINFMT}/${ENTRY} ] || echo -1 > ${BINFMT}/${ENTRY}`,
    ]);
  };
}

function numberOf(file: string, name: string): { id: string; gid: string } | undefined {
  for (const line of file.split("\n")) {
    const [user, , id = "", gid = ""] = line.split(":");
    if (user === name || id === name) return { id, gid };
  }
  return undefined;
}

/** uid, gid and the list of groups of a user as `coppice run -u` reads it. */
function identity(root: string, user: string): readonly [uid: string, gid: string, groups: string] {
  const passwd = readFileSync(path.join(root, "etc/passwd"), "utf8");
  const group = readFileSync(path.join(root, "etc/group"), "utf8");
  const [name = "root", groupName] = user.split(":");
  const entry = numberOf(passwd, name);
  const uid = entry?.id ?? name;
  const gid = groupName === undefined ? (entry?.gid ?? "0") : (numberOf(group, groupName)?.id ?? groupName);
  const login = passwd
    .split("\n")
    .find((line) => line.split(":")[2] === uid)
    ?.split(":")[0];
  const more =
    groupName === undefined
      ? group
          .split("\n")
          .map((line) => line.split(":"))
          .filter((fields) => login !== undefined && (fields[3] ?? "").split(",").includes(login))
          .map((fields) => fields[2] ?? "")
      : [];
  return [uid, gid, [...new Set([gid, ...more])].join(",")];
}

const quote = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;

/**
 * The shell script that builds the root file system in a fresh mount namespace and enters it. `image` is where
 * the image can be read now, `lower` where it will be when the script runs.
 */
export function enterScript(image: string, lower: string, enter: string, request: RunRequest): string {
  const [uid, gid, groups] = identity(image, request.user);
  const home = readFileSync(path.join(image, "etc/passwd"), "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .find((fields) => fields[2] === uid)?.[5];
  const env = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: home ?? "/",
    ...(request.keys && { TERM: "xterm" }),
    ...request.env,
  };
  const binds = request.mounts.flatMap(({ host, guest, readOnly }) => [
    `mkdir -p "$r"${quote(guest)}`,
    `mount --bind ${quote(host)} "$r"${quote(guest)}`,
    ...(readOnly ? [`mount -o remount,bind,ro "$r"${quote(guest)}`] : []),
  ]);
  const nodes = [
    ["null", "1 3", "666"],
    ["zero", "1 5", "666"],
    ["full", "1 7", "666"],
    ["random", "1 8", "666"],
    ["urandom", "1 9", "666"],
    ["tty", "5 0", "666"],
  ].map(([name, device, mode]) => `mknod -m ${mode} "$r/dev/${name}" c ${device}`);
  return [
    "set -e",
    "umask 022",
    "w=$(mktemp -d)",
    'mount -t tmpfs -o mode=755 none "$w"',
    'mkdir "$w/upper" "$w/work" "$w/root"',
    "r=$w/root",
    `mount -t overlay -o lowerdir=${quote(lower)},upperdir="$w/upper",workdir="$w/work" overlay "$r"`,
    'mount -t proc proc "$r/proc"',
    'mount -t tmpfs -o mode=755 none "$r/dev"',
    ...nodes,
    'ln -s /proc/self/fd "$r/dev/fd"; ln -s /proc/self/fd/0 "$r/dev/stdin"; ln -s /proc/self/fd/1 "$r/dev/stdout"; ln -s /proc/self/fd/2 "$r/dev/stderr"',
    'mkdir -m 755 "$r/dev/pts"; mkdir -m 1777 "$r/dev/shm"; ln -s pts/ptmx "$r/dev/ptmx"',
    'mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 none "$r/dev/pts"',
    'mount -t tmpfs -o mode=1777 none "$r/tmp"',
    "hostname coppice",
    ...binds,
    `mkdir -p "$r"${quote(request.cwd)}`,
    `exec env -i ${Object.entries(env)
      .map(([name, value]) => quote(`${name}=${value}`))
      .join(
        " ",
      )} ${quote(enter)} "$r" ${uid} ${gid} ${groups} ${quote(request.cwd)} ${request.keys ? 1 : 0} -- ${request.argv
      .map(quote)
      .join(" ")}`,
  ].join("\n");
}

/** Runs a program with input, or with keys, and a limit of time; kills it by closing its process namespace. */
async function runProcess(
  program: string,
  args: readonly string[],
  request: RunRequest,
): Promise<Omit<Outcome, "files">> {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const typist = request.keys && new Typist(request.keys, (keys) => child.stdin.write(keys));
  child.stdin.on("error", () => {});
  child.stdout.on("data", (chunk: Buffer) => {
    out.push(chunk);
    typist?.show(chunk.toString("latin1"));
  });
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  if (!typist) child.stdin.end(request.stdin);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, request.timeoutMs);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on("error", reject);
  child.on("close", (code, signal) => resolve(code ?? 128 + (signal === "SIGKILL" ? 9 : 15)));
  const exitCode = await promise;
  clearTimeout(timer);
  const stdout = decodeOutput(Buffer.concat(out));
  if (late) {
    const waiting = typist?.pending ? ` while waiting for ${JSON.stringify(typist.pending.expect)}` : "";
    throw new Error(
      `no end after ${request.timeoutMs} ms${waiting}; it printed ${JSON.stringify(stdout.slice(-300))}`,
    );
  }
  return { stdout, stderr: decodeOutput(Buffer.concat(err)), exitCode };
}

/** Compiles `enter` and returns the runner. `image` is the mounted root file system of the image. */
export async function chrootRunner(image: string): Promise<Runner & AsyncDisposable> {
  if (process.getuid?.() !== 0) throw new OracleUnavailable("the oracle needs root");
  const folder = mkdtempSync(path.join(tmpdir(), "coppice-oracle-"));
  mkdirSync(folder, { recursive: true });
  const enter = path.join(folder, "enter");
  execFileSync("cc", ["-O1", "-static", "-o", enter, path.join(import.meta.dirname, "enter.c")]);
  const unregister = await registerBinfmt();
  const onSignal = (): never => {
    unregister();
    process.exit(130);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  let machine: Promise<string> | undefined;
  const raw = (request: RunRequest): Promise<Omit<Outcome, "files">> =>
    runProcess(
      "unshare",
      [
        "--mount",
        "--pid",
        "--ipc",
        "--uts",
        "--fork",
        "--kill-child=KILL",
        "sh",
        "-c",
        enterScript(image, image, enter, request),
      ],
      request,
    );
  const run = async (request: RunRequest): Promise<Omit<Outcome, "files">> => {
    machine ??= raw({
      argv: ["uname", "-m"],
      env: {},
      cwd: "/",
      user: "root",
      stdin: "",
      mounts: [],
      timeoutMs: 20_000,
    }).then(({ stdout, stderr }) => stdout.trim() || stderr);
    const name = await machine;
    if (name !== "riscv64")
      throw new Error(`the oracle's uname -m says ${JSON.stringify(name)}, not riscv64`);
    return raw(request);
  };
  return {
    name: "qemu-user in a chroot",
    run,
    [Symbol.asyncDispose]: async () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
      unregister();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
