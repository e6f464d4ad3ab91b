/** What the library promises, with Debian's own programs in the guest. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { CoppiceErrorCode } from "../../src/machine/errors.ts";
import { boot, CoppiceError } from "../../src/machine/index.ts";
import { IMAGE, machineTest } from "./image.ts";

const fails =
  (code: CoppiceErrorCode, errno?: string) =>
  (error: unknown): boolean =>
    error instanceof CoppiceError && error.code === code && (errno === undefined || error.errno === errno);

const bash = (script: string): string[] => ["bash", "-c", script];

/** All that a stream gives, as text. */
const textOf = (stream: ReadableStream<Uint8Array>): Promise<string> => new Response(stream as never).text();

machineTest("a program's output, error output and exit status", async () => {
  await using machine = await boot({ image: IMAGE });
  const result = await machine.exec(bash("echo out; echo err >&2; exit 7"));
  assert.deepEqual(result, { exitCode: 7, signal: null, stdout: "out\n", stderr: "err\n" });
  assert.equal((await machine.exec(["uname", "-sm"])).stdout, "Linux riscv64\n");
});

machineTest("a pipeline of many programs", async () => {
  await using machine = await boot({ image: IMAGE });
  const script =
    "seq 1 2000 | grep 7 | sort -rn | tee /tmp/sorted | head -n 3 | tr '\\n' ' '; wc -l < /tmp/sorted";
  const { stdout, exitCode } = await machine.exec(bash(script));
  assert.deepEqual([stdout, exitCode], ["1997 1987 1979 542\n", 0]);
  const statuses = await machine.exec(bash("false | true | (exit 3); echo ${PIPESTATUS[@]}"));
  assert.equal(statuses.stdout, "1 0 3\n");
});

machineTest("a program that a signal ends, by itself, by the library, or by the time limit", async () => {
  await using machine = await boot({ image: IMAGE });
  const own = await machine.exec(bash("kill -SEGV $$"));
  assert.deepEqual([own.exitCode, own.signal], [null, "SIGSEGV"]);
  const sleeper = await machine.spawn(["sleep", "1000"]);
  sleeper.kill();
  assert.deepEqual(await sleeper.wait(), { exitCode: null, signal: "SIGTERM" });
  sleeper.kill("SIGKILL");
  const child = await machine.exec(bash("sleep 1000 & kill -9 $!; wait $!; echo $?"));
  assert.equal(child.stdout, "137\n");
  await assert.rejects(machine.exec(["sleep", "1000"], { timeoutMs: 200 }), fails("ABORTED"));
  await assert.rejects(machine.exec(["yes"], { maxOutputBytes: 100_000 }), fails("TOO_MUCH_OUTPUT"));
});

machineTest("standard input, whole and as it comes", async () => {
  await using machine = await boot({ image: IMAGE });
  const input = Array.from({ length: 40_000 }, (_, line) => `line ${line}\n`).join("");
  const sum = await machine.exec(["wc", "-lc"], { input });
  assert.equal(sum.stdout.trim().replaceAll(/\s+/g, " "), `40000 ${input.length}`);

  const cat = await machine.spawn(["cat"]);
  const writer = cat.stdin.getWriter();
  const reader = cat.stdout.getReader();
  for (const text of ["first", "second", "third"]) {
    await writer.write(Buffer.from(text));
    const { value } = await reader.read();
    assert.equal(Buffer.from(value ?? []).toString(), text);
  }
  await writer.close();
  assert.equal((await reader.read()).done, true);
  assert.deepEqual(await cat.wait(), { exitCode: 0, signal: null });
});

machineTest("bytes go through unchanged", async () => {
  await using machine = await boot({ image: IMAGE });
  const input = Uint8Array.from({ length: 300_000 }, (_, index) => (index * index) >> 3);
  const { stdout } = await machine.exec(["cat"], { input, encoding: "bytes" });
  assert.equal(Buffer.compare(stdout, input), 0);
});

machineTest("environment, working folder and user", async () => {
  await using machine = await boot({ image: IMAGE, hostname: "grove" });
  const { stdout } = await machine.exec(bash('echo "$A|$PWD|$HOME|$(hostname)|$(id -un)"'), {
    env: { A: "b c" },
    cwd: "/srv/new",
    user: "nobody",
  });
  assert.equal(stdout, "b c|/srv/new|/nonexistent|grove|nobody\n");
  await assert.rejects(machine.exec(["true"], { user: "who" }), fails("USER_NOT_FOUND"));
});

machineTest("a command that is not there, and one that cannot be executed", async () => {
  await using machine = await boot({ image: IMAGE });
  await assert.rejects(machine.exec(["no-such-program"]), fails("COMMAND_NOT_FOUND"));
  await assert.rejects(machine.exec(["/nowhere/at/all"]), fails("COMMAND_NOT_FOUND"));
  await assert.rejects(machine.exec(["/etc/passwd"]), fails("COMMAND_NOT_EXECUTABLE"));
  await assert.rejects(machine.exec(["/etc"]), fails("COMMAND_NOT_EXECUTABLE"));
});

machineTest("the guest's files, from both sides", async () => {
  await using machine = await boot({ image: IMAGE });
  const { fs } = machine;
  await fs.mkdir("/work/a/b", { recursive: true });
  await fs.writeFile("/work/a/b/text", "héllo\n", { mode: 0o600 });
  assert.equal(await fs.readFile("/work/a/b/text", "utf8"), "héllo\n");
  const seen = await machine.exec(bash("cat /work/a/b/text; stat -c '%a %s %U' /work/a/b/text"));
  assert.equal(seen.stdout, "héllo\n600 7 root\n");

  const big = Uint8Array.from({ length: 1_000_003 }, (_, index) => index * 31);
  await fs.writeFile("/work/big", big);
  assert.equal(Buffer.compare(await fs.readFile("/work/big"), big), 0);

  await fs.symlink("a/b/text", "/work/link");
  assert.equal(await fs.readlink("/work/link"), "a/b/text");
  assert.equal((await fs.lstat("/work/link")).type, "symlink");
  assert.equal((await fs.stat("/work/link")).size, 7);
  await fs.chmod("/work/big", 0o444);
  await fs.chown("/work/big", 12, 34);
  const { mode, uid, gid, type } = await fs.stat("/work/big");
  assert.deepEqual({ mode, uid, gid, type }, { mode: 0o444, uid: 12, gid: 34, type: "file" });
  await fs.rename("/work/big", "/work/bigger");
  assert.deepEqual(await fs.readdir("/work"), [
    { name: "a", type: "directory" },
    { name: "bigger", type: "file" },
    { name: "link", type: "symlink" },
  ]);

  await assert.rejects(fs.readFile("/work/big"), fails("FILE_SYSTEM", "ENOENT"));
  await assert.rejects(fs.readFile("/work"), fails("FILE_SYSTEM", "EISDIR"));
  await assert.rejects(fs.mkdir("/work"), fails("FILE_SYSTEM", "EEXIST"));
  await assert.rejects(fs.rm("/work"), fails("FILE_SYSTEM"));
  await fs.rm("/work", { recursive: true });
  await fs.rm("/work", { force: true });
  await assert.rejects(fs.stat("/work"), fails("FILE_SYSTEM", "ENOENT"));
});

machineTest("a host folder is reached when it is granted, and only then", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "coppice-grant-"));
  try {
    await writeFile(path.join(folder, "from-host"), "host\n");
    {
      await using machine = await boot({ image: IMAGE });
      const { stdout, exitCode } = await machine.exec(
        bash(`cat ${folder}/from-host 2>&1; find / -xdev -name from-host`),
      );
      assert.equal(stdout, `cat: ${folder}/from-host: No such file or directory\n`);
      assert.equal(exitCode, 0);
    }
    await using machine = await boot({
      image: IMAGE,
      mounts: [
        { host: folder, guest: "/shared" },
        { host: folder, guest: "/fixed", readOnly: true },
      ],
    });
    const written = await machine.exec(
      bash("cat /shared/from-host; echo guest > /shared/from-guest; echo no > /fixed/x"),
    );
    assert.equal(written.stdout, "host\n");
    assert.match(written.stderr, /\/fixed\/x: Read-only file system/);
    assert.equal(await readFile(path.join(folder, "from-guest"), "utf8"), "guest\n");
    await assert.rejects(readFile(path.join(folder, "x")), { code: "ENOENT" });
  } finally {
    await rm(folder, { recursive: true });
  }
});

machineTest("two machines at once know nothing of each other", async () => {
  await using first = await boot({ image: IMAGE, hostname: "one" });
  await using second = await boot({ image: IMAGE, hostname: "two" });
  const script = bash("hostname > /tmp/name; sleep 0.2; cat /tmp/name");
  const [one, two] = await Promise.all([first.exec(script), second.exec(script)]);
  assert.deepEqual([one.stdout, two.stdout], ["one\n", "two\n"]);
  await first[Symbol.asyncDispose]();
  assert.equal((await second.exec(["hostname"])).stdout, "two\n");
});

machineTest("closing a machine ends its programs and its streams", async () => {
  const machine = await boot({ image: IMAGE });
  const program = await machine.spawn(bash("echo ready; while :; do :; done"));
  const reader = program.stdout.getReader();
  const { value } = await reader.read();
  assert.equal(Buffer.from(value ?? []).toString(), "ready\n");
  const idle = await machine.spawn(["sleep", "1000"]);
  const rest = textOf(idle.stdout);
  await machine[Symbol.asyncDispose]();
  assert.equal((await reader.read()).done, true);
  assert.equal(await rest, "");
  await Promise.allSettled([program.wait(), idle.wait()]);
  await assert.rejects(machine.exec(["true"]), fails("CLOSED"));
  await assert.rejects(machine.fs.stat("/"), fails("CLOSED"));
  await machine[Symbol.asyncDispose]();
});

machineTest("options that are out of range, and an image that is not there, are refused", async () => {
  await assert.rejects(boot({ image: "no-such-image" }), fails("IMAGE_NOT_FOUND"));
  await assert.rejects(boot({ image: IMAGE, harts: 0 }), fails("INVALID_OPTION"));
  await assert.rejects(boot({ image: IMAGE, memory: 1 }), fails("INVALID_OPTION"));
  await assert.rejects(
    boot({ image: IMAGE, mounts: [{ host: "/no/such/folder", guest: "/x" }] }),
    fails("MOUNT_FAILED"),
  );
});

machineTest("the machine tells which system calls programs asked for in vain", async () => {
  await using machine = await boot({ image: IMAGE });
  await machine.exec(["true"]);
  // The allowance of all scenarios (tools/oracle/scenario.ts).
  assert.deepEqual(machine.timing().missingCalls, { rseq: 1 });
  // bpf, a number of no call, and one beyond all tables; getpid in between answers.
  const calls = "syscall(280, 0, 0, 0); syscall(280, 0, 0, 0); syscall(172); syscall(250); syscall(100000)";
  await machine.exec(["perl", "-e", `${calls}; print $!{ENOSYS} ? 1 : 0`]);
  assert.deepEqual(machine.timing().missingCalls, { rseq: 2, bpf: 2, 250: 1, 512: 1 });
});
