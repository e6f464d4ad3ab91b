/** The command line from end to end: `bin/coppice` as a process of its own, in pipes and on a pseudo-terminal. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { IMAGE, machineTest } from "./image.ts";
import { Typist } from "./typist.ts";

const cli = path.resolve(import.meta.dirname, "../../bin/coppice");
const TIMEOUT_MS = 90_000;

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function coppice(argv: readonly string[], input = ""): Outcome {
  const { status, stdout, stderr } = spawnSync(cli, argv, { input, encoding: "utf8", timeout: TIMEOUT_MS });
  return { status, stdout, stderr };
}

const run = (...command: string[]): Outcome => coppice(["run", IMAGE, ...command]);

machineTest("the exit status is the program's, or 128 and its signal", async () => {
  assert.deepEqual(run("sh", "-c", "echo out; echo err >&2; exit 7"), {
    status: 7,
    stdout: "out\n",
    stderr: "err\n",
  });
  assert.equal(run("sh", "-c", "kill -TERM $$").status, 143);
});

machineTest("126 for what cannot be executed, 127 for what is not there, with the reason", async () => {
  const folder = run("/etc");
  assert.deepEqual([folder.status, folder.stdout], [126, ""]);
  assert.match(folder.stderr, /\/etc.*cannot be executed/);
  const missing = run("no-such-program");
  assert.equal(missing.status, 127);
  assert.match(missing.stderr, /no-such-program.*not found/);
});

test("125 for what Coppice itself refuses", () => {
  const image = coppice(["run", "no-such-image", "true"]);
  assert.equal(image.status, 125);
  assert.match(image.stderr, /no-such-image/);
  assert.equal(coppice(["run", "--no-such-option"]).status, 125);
});

machineTest("standard input reaches the program with -i and not without", async () => {
  const input = Array.from({ length: 20_000 }, (_, line) => `${line}\n`).join("");
  assert.equal(coppice(["run", "-i", IMAGE, "wc", "-l"], input).stdout, "20000\n");
  assert.equal(coppice(["run", IMAGE, "wc", "-l"], input).stdout, "0\n");
});

machineTest("a signal to the command line goes to the program", async () => {
  const child = spawn(cli, [
    "run",
    IMAGE,
    "bash",
    "-c",
    "trap 'echo caught; exit 9' TERM; echo ready; sleep 60 & wait",
  ]);
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const typist = new Typist(child.stdout, () => {});
  await typist.see("ready");
  child.kill("SIGTERM");
  assert.equal(await ended, 9);
  assert.equal(await typist.all(), "ready\ncaught\n");
});

machineTest("on a terminal: raw keys, job control, exit status", async (t) => {
  // util-linux's script makes the pseudo-terminal: Node has none.
  if (spawnSync("script", ["--version"]).status !== 0) {
    t.skip("there is no script(1) here to make a terminal");
    return;
  }
  const command = `stty rows 30 cols 100; ${cli} run -it -e 'PS1=ready> ' ${IMAGE} bash --norc --noprofile -i`;
  const child = spawn("script", ["-q", "-e", "-c", command, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const typist = new Typist(child.stdout, (keys) => child.stdin.write(keys));
  try {
    await typist.see("ready> ");
    await typist.type("stty size; tty\r");
    await typist.see("30 100");
    await typist.see("/dev/pts/");
    await typist.see("ready> ");
    await typist.type(`sh -c 'echo be""gun; exec sleep 1000'\r`);
    await typist.see("begun");
    await typist.type("\u0003");
    await typist.see("ready> ");
    await typist.type("exit 5\r");
    assert.equal(await ended, 5);
  } finally {
    child.kill("SIGKILL");
  }
});
