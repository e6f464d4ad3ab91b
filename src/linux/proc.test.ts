import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkHeap } from "../heap/check.ts";
import { AT_FDCWD, O } from "./abi-file.ts";
import { LinuxMachine, USER } from "./testing/linux-machine.ts";

function machineWithProc(): LinuxMachine {
  return new LinuxMachine(["dev", "pts", "tmp", "proc"]);
}

/** The text of a file, or the errno of opening it. */
function cat(machine: LinuxMachine, path: string): string {
  const fd = machine.attempt("openat", AT_FDCWD, path, 0, 0);
  if (typeof fd === "string") return fd;
  const bytes = machine.attempt("read", fd, USER, 65_536);
  machine.call("close", fd);
  return typeof bytes === "string" ? bytes : machine.text(USER, bytes);
}

describe("/proc", () => {
  test("tells of the process that asks, and of no other", () => {
    const machine = machineWithProc();
    const fields = cat(machine, "/proc/self/stat").trim().split(" ");
    assert.equal(fields.length, 52);
    assert.deepEqual(fields.slice(0, 8), ["2", "()", "R", "1", "1", "1", "0", "-1"]);
    assert.match(cat(machine, "/proc/self/status"), /\nPid:\t2\nPPid:\t1\n/);
    assert.match(cat(machine, "/proc/self/status"), /\nCapEff:\t000001ffffffffff\n/);
    assert.match(cat(machine, "/proc/thread-self/maps"), /^10000000-10100000 rw-p 00000000 00:00 0 \n$/);
    assert.match(cat(machine, "/proc/2/statm"), /^256 1\d 0 0 0 256 0\n$/);
    assert.equal(cat(machine, "/proc/self/limits").split("\n").length, 18);
    assert.equal(cat(machine, "/proc/77/stat"), "ENOENT");
    const comm = machine.attempt("openat", AT_FDCWD, "/proc/self/comm", O.WRONLY, 0);
    assert.equal(machine.attempt("write", comm as number, "renamed by itself\n", 18), 18);
    assert.equal(machine.attempt("close", comm as number), 0);
    assert.equal(cat(machine, "/proc/self/comm"), "renamed by itse\n");
    assert.deepEqual(checkHeap(machine.tx), []);
  });

  test("tells of the machine", () => {
    const machine = machineWithProc();
    assert.match(cat(machine, "/proc/version"), /^Linux version [\w.-]+ \(coppice\) #1 /);
    assert.match(cat(machine, "/proc/meminfo"), /^MemTotal: +\d+ kB\nMemFree: +\d+ kB\n/);
    assert.match(cat(machine, "/proc/cpuinfo"), /isa\t\t: rv64imafdc/);
    assert.match(cat(machine, "/proc/uptime"), /^\d+\.\d\d \d+\.\d\d\n$/);
    assert.equal(cat(machine, "/proc/sys/kernel/pid_max"), "32768\n");
    assert.match(
      cat(machine, "/proc/sys/kernel/random/uuid"),
      /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/,
    );
    assert.equal(
      cat(machine, "/proc/sys/kernel/random/boot_id"),
      cat(machine, "/proc/sys/kernel/random/boot_id"),
    );
  });

  test("descriptors are links, and files without a name open again", () => {
    const machine = machineWithProc();
    assert.equal(machine.attempt("pipe2", USER, 0), 0);
    const link = machine.attempt("readlinkat", AT_FDCWD, "/proc/self/fd/1", USER, 100) as number;
    assert.match(machine.text(USER, link), /^pipe:\[\d+\]$/);
    assert.equal(machine.attempt("openat", AT_FDCWD, "/dev/fd/1", O.WRONLY, 0), 2);
    assert.equal(machine.attempt("write", 2, "through", 7), 7);
    assert.equal(machine.attempt("read", 0, USER, 100), 7);
    assert.equal(machine.attempt("openat", AT_FDCWD, "/dev/ptmx", O.RDWR | O.NOCTTY, 0), 3);
    assert.equal(machine.attempt("ioctl", 3, 0x4004_5431, machine.words(0)), 0);
    assert.equal(machine.attempt("openat", AT_FDCWD, "/dev/pts/0", O.RDWR | O.NOCTTY, 0), 4);
    const name = machine.attempt("readlinkat", AT_FDCWD, "/proc/self/fd/4", USER, 100) as number;
    assert.equal(machine.text(USER, name), "/dev/pts/0");
    assert.deepEqual(checkHeap(machine.tx), []);
  });
});
