/** First things first: what a newcomer tries. */

import type { Scenario } from "../../tools/oracle/scenario.ts";

const script = (name: string, text: string): Scenario => ({ name, argv: ["bash", "-c", text], cwd: "/tmp" });

export const basics: readonly Scenario[] = [
  { name: "basics/true", argv: ["true"] },
  { name: "basics/false", argv: ["false"] },
  { name: "basics/echo", argv: ["echo", "hello", "two words", ""] },
  { name: "basics/uname", argv: ["uname", "-sm"] },
  { name: "basics/stdin", argv: ["cat"], stdin: "first\nsecond\nno newline at the end" },
  { name: "basics/stderr", argv: ["sh", "-c", "echo out; echo err >&2; exit 7"] },
  {
    name: "basics/environment",
    argv: ["sh", "-c", 'echo "$PATH|$HOME|$A|$PWD"'],
    env: { A: "b c" },
    cwd: "/usr",
  },
  { name: "basics/killed", argv: ["sh", "-c", "echo before; kill -TERM $$; echo after"] },
  { name: "basics/segfault", argv: ["sh", "-c", "kill -SEGV $$"] },
  { name: "basics/user", argv: ["id"], user: "nobody" },
  { name: "basics/user-number", argv: ["sh", "-c", "id; touch /root/x"], user: "1234:5678" },
  { name: "basics/user-group", argv: ["id"], user: "daemon:staff" },
  script(
    "basics/files",
    "wc -l < /etc/debian_version; head -3 /etc/passwd; ls -d /bin /etc /usr /var; readlink /bin /lib",
  ),
  script("basics/os-release", "grep -E '^(ID|VERSION_ID|VERSION_CODENAME)=' /etc/os-release"),
  script("basics/large-output", "seq 1 4000; seq 1 300000 | cksum; seq 1 300000 | tail -n 1"),
  script("basics/version", "bash --version | head -1; sed --version | head -1; perl -e 'print \"$^V\\n\"'"),
];
