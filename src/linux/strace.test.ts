import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SystemCall } from "../kernel/call.ts";
import { signalInfo } from "../kernel/signal.ts";
import { Task } from "../kernel/task.ts";
import { AT_FDCWD, O } from "./abi-file.ts";
import { createTrace, flagText, modeText, quote, resultText, signalText, sigsetText } from "./strace.ts";
import { openNames } from "./sys-open.ts";
import { rowOf } from "./table.ts";
import { LinuxMachine, USER } from "./testing/linux-machine.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The line that a call leaves in the trace. */
function line(machine: LinuxMachine, name: string, ...args: (number | string)[]): string {
  let text = "";
  const trace = createTrace((more) => (text += more));
  const number = machine.prepare(name, ...args);
  const call = new SystemCall(machine.tx);
  call.task = machine.task;
  call.registers = Task.registers.get(machine.tx, machine.task);
  trace.enter(call, number);
  const result = machine.carryOut(number);
  if (typeof result === "number") trace.exit(call, number, result);
  return text;
}

describe("traces", () => {
  test("calls read as strace shows them", () => {
    const machine = new LinuxMachine();
    const shows = (expected: string, name: string, ...args: (number | string)[]): void =>
      assert.equal(line(machine, name, ...args), `[pid 2] ${expected}\n`);
    shows(
      'openat(AT_FDCWD, "/tmp/a", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 0',
      "openat",
      AT_FDCWD,
      "/tmp/a",
      O.RDWR | O.CREAT | O.CLOEXEC,
      0o644,
    );
    shows(
      'openat(AT_FDCWD, "/no", O_RDONLY) = -1 ENOENT (No such file or directory)',
      "openat",
      AT_FDCWD,
      "/no",
      0,
      0,
    );
    shows('write(0, "hello\\n", 6) = 6', "write", 0, "hello\n", 6);
    shows("lseek(0, 0, SEEK_SET) = 0", "lseek", 0, 0, 0);
    shows('read(0, "hello\\n", 100) = 6', "read", 0, USER, 100);
    shows('read(0, "", 100) = 0', "read", 0, USER, 100);
    shows("read(9, 0x10000000, 100) = -1 EBADF (Bad file descriptor)", "read", 9, USER, 100);
    shows("fstat(0, {st_mode=S_IFREG|0644, st_size=6, ...}) = 0", "fstat", 0, USER);
    shows("pipe2([1, 2], O_NONBLOCK) = 0", "pipe2", USER, O.NONBLOCK);
    shows(
      "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x3ff7eff000",
      "mmap",
      0,
      4096,
      3,
      0x22,
      -1,
      0,
    );
    shows("munmap(0x3ff7eff000, 4096) = 0", "munmap", 0x3f_f7ef_f000, 4096);
    shows("fcntl(0, F_GETFD, 0) = 1", "fcntl", 0, 1);
    shows(
      'writev(0, [{iov_base="ab", iov_len=2}], 1) = 2',
      "writev",
      0,
      machine.words(machine.put("ab"), 2),
      1,
    );
    shows(
      "mknodat(AT_FDCWD, NULL, S_IFIFO|0x180, 0) = -1 EFAULT (Bad address)",
      "mknodat",
      AT_FDCWD,
      0,
      0o010600,
      0,
    );
    shows("getpid() = 2", "getpid");
    shows("vhangup() = -1 ENOSYS (Function not implemented)", "vhangup");
    const argv = machine.words(machine.put("a"), machine.put("b c"), 0);
    shows(
      `execve("/no", ["a", "b c"], 0x${argv.toString(16)} /* 2 vars */) = -1 ENOENT (No such file or directory)`,
      "execve",
      "/no",
      argv,
      argv,
    );
    shows(
      "ppoll([{fd=1, events=POLLIN}], 1, {tv_sec=0, tv_nsec=0}, NULL, 0) = 0",
      "ppoll",
      machine.put(Uint8Array.from([1, 0, 0, 0, 1, 0, 0, 0])),
      1,
      machine.words(0, 0),
      0,
      0,
    );
    assert.equal(line(machine, "exit_group", 3), "[pid 2] exit_group(3) = ?\n");
  });

  test("what is not in memory is shown as its address", () => {
    const machine = new LinuxMachine();
    assert.match(line(machine, "write", 1, 0x6000_0000, 5), /write\(1, 0x60000000, 5\) = -1 EBADF/);
    assert.match(line(machine, "chdir", 2 ** 45), /chdir\(0x200000000000\) = -1 EFAULT/);
    assert.match(line(machine, "chdir", -1), /chdir\(0xffffffffffffffff\) = -1 EFAULT/);
  });

  test("pieces", () => {
    assert.equal(quote(bytes('a"\\\n\t'), false), '"a\\"\\\\\\n\\t"');
    assert.equal(quote(Uint8Array.from([0, 0x31, 1, 0xff]), true), '"\\0001\\1\\377"...');
    assert.equal(flagText(openNames, O.WRONLY | O.SYNC | O.TMPFILE), "O_WRONLY|O_SYNC|O_TMPFILE");
    assert.equal(flagText(openNames, 0x4000_0000), "O_RDONLY|0x40000000");
    assert.equal(modeText(0o100755), "S_IFREG|0755");
    assert.equal(sigsetText(0b10, 0), "[INT]");
    assert.match(sigsetText(-1, -1 << 1), /^~\[RT_1\]$/);
    assert.equal(resultText(rowOf(214), 0x1000), "0x1000");
    assert.equal(resultText(undefined, -(2 ** 40)), String(-(2 ** 40)));
    const info = signalInfo(17, 1, { pid: 7, uid: 0, status: 3 });
    assert.equal(
      signalText(info),
      "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=7, si_uid=0, si_status=3} ---",
    );
    const fault = signalInfo(11, 1, { address: 0x10 });
    assert.equal(signalText(fault), "--- SIGSEGV {si_signo=SIGSEGV, si_code=1, si_addr=0x10} ---");
  });

  test("a call that is interrupted says so before the signal", () => {
    const machine = new LinuxMachine();
    machine.call("pipe2", USER, 0);
    let text = "";
    const trace = createTrace((more) => (text += more));
    const number = machine.prepare("read", 0, USER, 5);
    const call = new SystemCall(machine.tx);
    call.task = machine.task;
    call.registers = Task.registers.get(machine.tx, machine.task);
    trace.enter(call, number);
    trace.signal(call, 2, signalInfo(2, 0, { pid: 1, uid: 0 }));
    const [first, second] = text.split("\n");
    assert.equal(
      first,
      "[pid 2] read(0, 0x10000000, 5) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
    );
    assert.equal(second, "[pid 2] --- SIGINT {si_signo=SIGINT, si_code=SI_USER, si_pid=1, si_uid=0} ---");
  });
});
