/** What the host asks of the machine (kernel/host-call.ts), failures among it. */

import { type HostSide, scenario, type Scenario } from "./scenario.ts";

const O_RDWR = 2;
const O_CREAT = 0o100;
const O_DIRECTORY = 0o200000;
const AT_REMOVEDIR = 0x200;
const SIGTERM = 15;

const encoder = new TextEncoder();

function onPath(
  host: HostSide,
  operation: "stat" | "mkdir" | "unlink" | "chmod" | "chown" | "open" | "readlink",
  path: string,
  ...args: number[]
): number {
  const bytes = encoder.encode(path);
  return host.call(operation, [bytes.length, ...args], bytes).result;
}

function onTwo(host: HostSide, operation: "rename" | "symlink", first: string, second: string): number {
  const [a, b] = [encoder.encode(first), encoder.encode(second)];
  return host.call(operation, [a.length, b.length], encoder.encode(first + second)).result;
}

function spawn(host: HostSide, argv: readonly string[], more: object = {}): readonly number[] {
  const payload = {
    argv,
    env: [],
    path: ["/none", "/bin"],
    cwd: "/tmp",
    uid: 0,
    gid: 0,
    groups: [],
    ...more,
  };
  return host.call("spawn", [], encoder.encode(JSON.stringify(payload))).results;
}

/** A program of the scenario that waits to be ended. */
const waits = scenario(
  "host/starting, ending, files",
  function* (g) {
    yield* g.setUp();
    // Any program that the host starts later runs this too.
    yield* g.call("rt_sigsuspend", yield* g.put([0]), 8);
  },
  {
    host(host) {
      for (const more of [{}, { tty: { columns: 80, rows: 24 } }, { uid: 7, gid: 8, groups: [9, 10] }]) {
        host.fails("ENOENT", () => spawn(host, ["missing"], more));
      }
      host.fails("EACCES", () => spawn(host, ["/tmp"]));
      host.fails("ENOTDIR", () => spawn(host, ["hello"], { cwd: "/dev/null/x" }));
      spawn(host, ["hello"], { cwd: "/tmp/made/for/it" });
      onPath(host, "mkdir", "/tmp/d", 0o755);
      host.fails("EEXIST", () => onPath(host, "mkdir", "/tmp/d", 0o755));
      const file = onPath(host, "open", "/tmp/d/f", O_RDWR | O_CREAT, 0o644);
      host.call("write", [file, 5, -1], encoder.encode("bytes"));
      host.call("read", [file, 10, 0], new Uint8Array());
      host.call("close", [file], new Uint8Array());
      onPath(host, "stat", "/tmp/d/f", 0);
      onPath(host, "chmod", "/tmp/d/f", 0o600);
      onPath(host, "chown", "/tmp/d/f", 5, 6);
      onTwo(host, "rename", "/tmp/d/f", "/tmp/d/g");
      onTwo(host, "symlink", "/tmp/d/l", "g");
      onPath(host, "readlink", "/tmp/d/l");
      const directory = onPath(host, "open", "/tmp/d", O_DIRECTORY, 0);
      host.call("readdir", [directory], new Uint8Array());
      host.call("readdir", [directory], new Uint8Array());
      host.call("close", [directory], new Uint8Array());
      onPath(host, "unlink", "/tmp/d/l", 0);
      host.fails("ENOTEMPTY", () => onPath(host, "unlink", "/tmp/d", AT_REMOVEDIR));
      host.call("kill", [host.pid, SIGTERM], new Uint8Array());
      host.call("wait", [host.pid], new Uint8Array());
      host.fails("ECHILD", () => host.call("wait", [host.pid], new Uint8Array()));
      host.call("shutdown", [], new Uint8Array());
    },
  },
);

export const host: readonly Scenario[] = [waits];
