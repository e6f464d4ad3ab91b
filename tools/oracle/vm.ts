/**
 * The second opinion: Debian's own riscv64 kernel in qemu's system emulation, with the same image as root. It
 * judges what qemu-user gets wrong (docs/design/oracle.md has the list): all guest programs, and all scenarios
 * that need no terminal.
 *
 * Needs qemu-system-riscv64, cpio, a cross compiler for `enter.c`, and a kernel: a folder made by
 * `dpkg-deb -x linux-image-*-riscv64_*.deb FOLDER`, because neither kernel nor modules are in the image. The
 * machine boots from an initial file system in memory that holds the image, the folders to be mounted and a
 * script for each request; the console carries the outcomes as base64.
 */

import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { enterScript } from "./chroot.ts";
import { decodeOutput, type RunRequest } from "./compare.ts";
import type { Outcome } from "./scenario.ts";

const BOOT_MS = 120_000;

/** A file below a folder whose path matches, or an error that names both. */
function find(folder: string, pattern: RegExp): string {
  const name = readdirSync(folder, { recursive: true, encoding: "utf8" }).find((at) => pattern.test(at));
  if (name === undefined)
    throw new Error(`${folder} has no file like ${pattern.source}: is it an unpacked kernel package?`);
  return path.join(folder, name);
}

const INIT = `#!/image/bin/bash
export PATH=/image/usr/sbin:/image/usr/bin LD_LIBRARY_PATH=/image/usr/lib/riscv64-linux-gnu
mkdir -p /proc /tmp /dev
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
exec < /dev/null > /dev/ttyS0 2>&1
stty -F /dev/ttyS0 -opost
/enter --load-module /overlay.ko
echo 1 > /proc/sys/fs/protected_hardlinks
uname -m | base64 -w 0 | sed 's/^/machine /'
echo
for script in /requests/*.sh; do
  name=$(basename "$script" .sh)
  timeout -s KILL 120 unshare --mount --pid --ipc --uts --fork --kill-child=KILL sh "$script" < "/requests/$name.in" > /tmp/out 2> /tmp/err
  echo "outcome $name $?"
  base64 -w 0 /tmp/out | sed 's/^/stdout /'
  echo
  base64 -w 0 /tmp/err | sed 's/^/stderr /'
  echo
  echo end
done
echo o > /proc/sysrq-trigger
sleep 60
`;

interface Parsed {
  readonly machine: string;
  readonly outcomes: Map<number, Omit<Outcome, "files">>;
}

function parseConsole(text: string): Parsed {
  const outcomes = new Map<number, Omit<Outcome, "files">>();
  const decode = (name: string, part: string): string => {
    const base64 = new RegExp(`^${name} ?(\\S*)`, "m").exec(part)?.[1] ?? "";
    return decodeOutput(Buffer.from(base64, "base64"));
  };
  for (const part of text.split(/^outcome /m).slice(1)) {
    const [, name, code] = /^(\d+) (\d+)/.exec(part) ?? [];
    if (name === undefined || !/^end/m.test(part)) continue;
    outcomes.set(Number(name), {
      stdout: decode("stdout", part),
      stderr: decode("stderr", part),
      exitCode: Number(code),
    });
  }
  return { machine: decode("machine", text).trim(), outcomes };
}

async function boot(kernel: string, initrd: string, limitMs: number): Promise<string> {
  const child = spawn(
    "qemu-system-riscv64",
    [
      "-M",
      "virt",
      "-smp",
      "2",
      "-m",
      "4G",
      "-nographic",
      "-no-reboot",
      "-kernel",
      kernel,
      "-initrd",
      initrd,
    ].concat("-append", "console=ttyS0 quiet loglevel=0 rdinit=/init panic=-1"),
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1").replaceAll("\r", "");
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.on("error", reject);
  child.on("close", () => resolve());
  await promise;
  clearTimeout(timer);
  return text;
}

/** Runs all requests, one after another, in one boot. An outcome is missing if the machine did not reach it. */
export async function runInVm(
  image: string,
  kernelFolder: string,
  requests: readonly RunRequest[],
): Promise<(Omit<Outcome, "files"> | undefined)[]> {
  const work = mkdtempSync(path.join(tmpdir(), "coppice-vm-"));
  const root = path.join(work, "root");
  try {
    mkdirSync(path.join(root, "requests"), { recursive: true });
    execFileSync("cp", ["-a", image, path.join(root, "image")]);
    writeFileSync(path.join(root, "init"), INIT, { mode: 0o755 });
    // The scripts and bash itself look for these at their usual places.
    for (const link of ["lib", "bin", "sbin", "usr", "etc"])
      execFileSync("ln", ["-s", `image/${link}`, path.join(root, link)]);
    const module = find(kernelFolder, /\/overlay\.ko(\.xz)?$/);
    const stream = createWriteStream(path.join(root, "overlay.ko"));
    stream.end(
      module.endsWith(".xz")
        ? execFileSync("xz", ["-dc", module], { maxBuffer: 1 << 28 })
        : execFileSync("cat", [module]),
    );
    await new Promise((resolve) => stream.on("close", resolve));
    const enter = path.join(import.meta.dirname, "enter.c");
    execFileSync("riscv64-linux-gnu-gcc", ["-O1", "-static", "-o", path.join(root, "enter"), enter]);
    let timeMs = BOOT_MS;
    for (const [index, request] of requests.entries()) {
      const mounts = request.mounts.map((mount, number) => {
        const inside = `/mounts/${index}-${number}`;
        cpSync(mount.host, path.join(root, inside), {
          recursive: true,
          verbatimSymlinks: true,
          preserveTimestamps: true,
        });
        return { ...mount, host: inside };
      });
      const name = path.join(root, "requests", String(index).padStart(4, "0"));
      writeFileSync(`${name}.sh`, enterScript(image, "/image", "/enter", { ...request, mounts }));
      writeFileSync(`${name}.in`, request.stdin);
      timeMs += 20_000;
    }
    const initrd = path.join(work, "initrd");
    execFileSync("sh", ["-c", `find . | cpio -o -H newc --quiet > ${initrd}`], { cwd: root });
    const text = await boot(find(kernelFolder, /\/vmlinu[xz]-/), initrd, timeMs);
    const { machine, outcomes } = parseConsole(text);
    if (machine !== "riscv64") throw new Error(`the machine did not start: ${text.slice(-1000)}`);
    return requests.map((_, index) => outcomes.get(index));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
