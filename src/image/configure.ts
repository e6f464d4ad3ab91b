/**
 * What an unpacked system lacks before it can be used, and what the packages' own postinst scripts would make.
 * Those scripts run in the system itself, later; here their results are made by hand, each from the files
 * that the package ships for the purpose. Nothing that a package brought is overwritten.
 *
 * | made                                                   | as by the postinst of                     |
 * |--------------------------------------------------------|-------------------------------------------|
 * | /etc/passwd, group from the masters                    | base-passwd                               |
 * | /etc/shadow, gshadow                                   | passwd (shadowconfig on)                  |
 * | /root/.profile, .bashrc, /etc/profile, motd, logs …    | base-files                                |
 * | /etc/nsswitch.conf                                     | libc-bin                                  |
 * | /etc/shells                                            | debianutils (update-shells)               |
 * | /etc/localtime                                         | tzdata                                    |
 * | /etc/pam.d/common-*                                    | libpam-runtime (pam-auth-update)          |
 * | /etc/alternatives                                      | whoever calls update-alternatives         |
 * | /etc/hosts, hostname; /dev, /proc, /sys, /run, /tmp    | an installer                              |
 */

import { applyAlternatives, readAlternatives } from "./alternatives.ts";
import type { Alternative } from "./alternatives.ts";
import { writePamConfiguration } from "./pam.ts";
import type { FileTree } from "./tree.ts";
import type { UnpackedPackage } from "./unpack.ts";

export interface ConfigureOptions {
  hostname: string;
  /** Date of the suite's release, the day on which accounts say their password was set. */
  releaseSeconds: number;
  note: (message: string) => void;
}

/** Group numbers that Debian fixes (base-passwd's group.master). */
const gidMail = 8;
const gidUtmp = 43;
const gidShadow = 42;
const gidStaff = 50;

/** Completes `tree`, which holds the files of `packages`. */
export function configureSystem(
  tree: FileTree,
  packages: readonly UnpackedPackage[],
  options: ConfigureOptions,
): void {
  makeDirectories(tree);
  makeAccounts(tree, options.releaseSeconds);
  makeDefaults(tree, options.hostname);
  makeShells(tree);
  writePamConfiguration(tree);
  makeAlternatives(tree, packages, options.note);
}

function makeDirectories(tree: FileTree): void {
  for (const path of [
    "dev",
    "dev/pts",
    "dev/shm",
    "proc",
    "sys",
    "run",
    "mnt",
    "srv",
    "opt",
    "media",
    "home",
  ]) {
    tree.mkdir(path, { mode: 0o755 });
  }
  tree.mkdir("root", { mode: 0o700 });
  for (const path of ["tmp", "var/tmp", "run/lock"]) tree.mkdir(path, { mode: 0o1777 });
  for (const path of ["etc/opt", "var/opt"]) tree.mkdir(path, { mode: 0o755 });
  tree.mkdir("var/mail", { mode: 0o2775, gid: gidMail });
  linkUnlessThere(tree, "var/spool/mail", "../mail");
  // base-files moves these two only when they are empty, which on a fresh system they are.
  replaceEmptyDirectory(tree, "var/run", "/run");
  replaceEmptyDirectory(tree, "var/lock", "/run/lock");
  const local = { mode: 0o755 };
  tree.mkdir("usr/local", local);
  for (const name of "share share/man bin games lib libexec include sbin src etc".split(" ")) {
    tree.mkdir(
      `usr/local/${name}`,
      tree.exists("etc/staff-group-for-usr-local") ? { mode: 0o2775, gid: gidStaff } : local,
    );
  }
  linkUnlessThere(tree, "usr/local/man", "share/man");
}

function linkUnlessThere(tree: FileTree, path: string, target: string): void {
  if (tree.get(path) === undefined) tree.link(path, target);
}

function replaceEmptyDirectory(tree: FileTree, path: string, target: string): void {
  const there = tree.get(path);
  if (there === undefined || (there.kind === "directory" && there.children.size === 0))
    tree.link(path, target);
}

/** passwd and group with the passwords moved into shadow files, as `pwconv` and `grpconv` do. */
function makeAccounts(tree: FileTree, releaseSeconds: number): void {
  const day = Math.floor(releaseSeconds / 86_400);
  const masters = "usr/share/base-passwd";
  const split = (name: string, shadowLine: (fields: string[]) => string): void => {
    const master = tree.readText(`${masters}/${name}.master`);
    if (master === undefined || tree.exists(`etc/${name}`)) return;
    const lines = master.split("\n").filter((line) => line.includes(":"));
    const open = lines.map((line) => line.replace(/^([^:]*):[^:]*:/, "$1:x:"));
    tree.write(`etc/${name}`, open.map((line) => `${line}\n`).join(""), { mode: 0o644 });
    const shadow = lines.map((line) => `${shadowLine(line.split(":"))}\n`).join("");
    const file = name === "passwd" ? "etc/shadow" : "etc/gshadow";
    tree.write(file, shadow, { mode: 0o640, gid: gidShadow });
  };
  split("passwd", ([name, password]) => `${name}:${password}:${day}:0:99999:7:::`);
  split("group", ([name, password, , members]) => `${name}:${password}::${members ?? ""}`);
}

function makeDefaults(tree: FileTree, hostname: string): void {
  const plain = { mode: 0o644 };
  const copy = (from: string, to: string): void => {
    const content = tree.read(from);
    if (content !== undefined && !tree.exists(to)) tree.write(to, content, plain);
  };
  const base = "usr/share/base-files";
  copy(`${base}/dot.profile`, "root/.profile");
  copy(`${base}/dot.bashrc`, "root/.bashrc");
  copy(`${base}/profile`, "etc/profile");
  copy(`${base}/motd`, "etc/motd");
  copy(`${base}/info.dir`, "usr/share/info/dir");
  copy("usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf");
  if (tree.exists("etc/dpkg/origins/debian")) linkUnlessThere(tree, "etc/dpkg/origins/default", "debian");
  if (tree.exists("usr/share/zoneinfo/Etc/UTC")) {
    linkUnlessThere(tree, "etc/localtime", "/usr/share/zoneinfo/Etc/UTC");
  }
  const log = (name: string, mode: number): void => {
    if (!tree.exists(`var/log/${name}`)) tree.write(`var/log/${name}`, "", { mode, gid: gidUtmp });
  };
  log("wtmp", 0o664);
  log("btmp", 0o660);
  log("lastlog", 0o664);
  const write = (path: string, content: string): void => {
    if (!tree.exists(path)) tree.write(path, content, plain);
  };
  write("etc/hostname", `${hostname}\n`);
  write(
    "etc/hosts",
    `127.0.0.1\tlocalhost\n127.0.1.1\t${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n` +
      "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
  );
  write("etc/environment", "");
  write("etc/fstab", "# The root file system is the image; its changes live in memory.\n");
}

/** The shells that the packages bring, each by its own path and by the one behind /bin's link. */
function makeShells(tree: FileTree): void {
  const template = tree.readText("usr/share/debianutils/shells");
  if (template === undefined || tree.exists("etc/shells")) return;
  const folder = "usr/share/debianutils/shells.d";
  const shells = new Set<string>();
  for (const text of [
    template,
    ...tree.list(folder).map((name) => tree.readText(`${folder}/${name}`) ?? ""),
  ]) {
    for (const line of text.split("\n")) {
      const shell = line.replace(/#.*$/, "").trim();
      if (!shell.startsWith("/")) continue;
      shells.add(shell);
      if (shell.startsWith("/bin/") && tree.get("bin")?.kind === "symlink") shells.add(`/usr${shell}`);
    }
  }
  const comments = template.split("\n").filter((line) => line.startsWith("#"));
  tree.write("etc/shells", [...comments, ...shells].map((line) => `${line}\n`).join(""), { mode: 0o644 });
}

function makeAlternatives(
  tree: FileTree,
  packages: readonly UnpackedPackage[],
  note: (message: string) => void,
): void {
  const calls: Alternative[] = [];
  for (const entry of packages) {
    const script = entry.control.get("postinst");
    if (script === undefined) continue;
    const { found, skipped } = readAlternatives(Buffer.from(script).toString("latin1"));
    calls.push(...found);
    for (const line of skipped) note(`${entry.name}: alternative left to the package's own script: ${line}`);
  }
  applyAlternatives(tree, calls);
}
