/** Job control and line editing at a terminal of 24 by 80. */

import type { KeyStep, Scenario } from "../../tools/oracle/scenario.ts";

const PROMPT = "$ ";

/** A session of bash: each line is typed when the prompt is there; a step may be given in full. */
function session(name: string, steps: readonly (string | KeyStep)[], more: Partial<Scenario> = {}): Scenario {
  return {
    name: `terminal/${name}`,
    argv: ["bash", "--norc", "--noprofile", "--noediting", "-i"],
    env: { PS1: PROMPT, TERM: "dumb" },
    cwd: "/tmp",
    keys: steps.map((step) => (typeof step === "string" ? { expect: PROMPT, send: `${step}\n` } : step)),
    ...more,
  };
}

/** Keys typed while a program runs: after its text came and it had a moment to get ready. */
const key = (expect: string, send: string, pauseMs = 300): KeyStep => ({ expect, send, pauseMs });
const jobs = { normalise: ["jobPid"] } as const;

export const terminal: readonly Scenario[] = [
  session("simple", ["echo hello", "tty | sed 's/[0-9]*$/N/'", "stty size", "false", "echo $?", "exit 3"]),
  session("editing", [
    { expect: PROMPT, send: "echo wronX\x7fg word\x17words\n" },
    { expect: PROMPT, send: "everything wrong\x15echo right\n" },
    "cat",
    key("cat\r\n", "typed line\n"),
    key("typed line\r\ntyped line\r\n", "\x04"),
    { expect: PROMPT, send: "\x04" },
  ]),
  session("interrupt", [
    "echo ready; sleep 100",
    key("\nready\r\n", "\x03"),
    "echo $?",
    { expect: PROMPT, send: "\x03" },
    "echo next",
    "exit",
  ]),
  session("quit", ["ulimit -c 0; echo ready; sleep 100", key("\nready\r\n", "\x1c"), "echo $?", "exit"]),
  session("suspend", [
    "sh -c 'echo begin; sleep 1; echo end'",
    key("\nbegin\r\n", "\x1a"),
    "jobs",
    "fg",
    key("\nend\r\n", ""),
    "jobs; echo $?",
    "exit",
  ]),
  session(
    "background",
    [
      "sleep 100 &",
      "jobs",
      "kill %1; sleep 0.3",
      "wait; echo waited",
      "sleep 0.1 & wait",
      "jobs; echo none",
      "exit",
    ],
    jobs,
  ),
  session(
    "stop-and-bg",
    [
      "sleep 100",
      key("sleep 100\r\n", "\x1a"),
      "bg",
      "jobs",
      "kill -STOP %1; sleep 0.3",
      "jobs",
      "kill -KILL %1; sleep 0.3",
      "jobs",
      "exit",
    ],
    jobs,
  ),
  session(
    "background-input",
    [
      "cat &",
      "sleep 0.3",
      "jobs",
      "fg",
      key("cat\r\n", "to cat\n"),
      key("to cat\r\nto cat\r\n", "\x04"),
      "exit",
    ],
    jobs,
  ),
  session(
    "several-jobs",
    [
      "sleep 101 & sleep 102 & sleep 103 &",
      "jobs",
      "kill %2; sleep 0.3",
      "jobs %1 %3",
      "kill %1 %3; sleep 0.3",
      "jobs",
      "exit",
    ],
    jobs,
  ),
  session("exit-with-stopped", ["sleep 100", key("sleep 100\r\n", "\x1a"), "exit", "exit"]),
  session("pipeline", [
    "seq 3 | tr '\\n' ' ' | cat; echo",
    "sleep 100 | cat",
    key("sleep 100 | cat\r\n", "\x03"),
    "echo ${PIPESTATUS[@]}",
    "exit",
  ]),
  session("trap", [
    "trap 'echo caught' INT",
    "sleep 100",
    key("sleep 100\r\n", "\x03"),
    "echo after",
    "trap - INT",
    "exit",
  ]),
  session("winch", [
    "trap 'echo resized' WINCH",
    "stty rows 30 cols 100",
    "stty size",
    "stty rows 30 cols 100",
    "echo unchanged",
    "exit",
  ]),
  session("echo-off", [
    "stty -echo; echo ask; read -r secret; stty echo; echo got=$secret",
    key("\nask\r\n", "hidden\n"),
    "exit",
  ]),
  session("raw", [
    "stty raw -echo; echo go; head -c 3 | od -An -c; stty sane",
    key("\ngo\n", "\x03a\r"),
    "echo back",
    "exit",
  ]),
  session("settings", ["stty -a | head -n 4", "stty intr ^A; stty -a | grep -o 'intr = [^;]*'", "exit"]),
  session(
    "heredoc",
    ["cat <<E", { expect: "> ", send: "line one\n" }, { expect: "> ", send: "E\n" }, "exit"],
    {
      env: { PS1: PROMPT, PS2: "> ", TERM: "dumb" },
    },
  ),
  session(
    "dash",
    [
      "echo $0; echo ready; sleep 100",
      key("\nready\r\n", "\x03"),
      "echo $?",
      { expect: PROMPT, send: "\x04" },
    ],
    { argv: ["dash", "-i"] },
  ),
  session("user", ["id -un; tty | sed 's/[0-9]*$/N/'; stat -c %U $(tty)", "echo x > /dev/tty", "exit"], {
    user: "nobody",
  }),
  session("output", ["seq 200", "printf 'a\\tb\\nc\\n'", "ls -C /etc/apt /etc/pam.d | head -5", "exit"]),
  {
    name: "terminal/readline",
    argv: ["bash", "--norc", "--noprofile", "-i"],
    env: { PS1: PROMPT, TERM: "dumb", HISTFILE: "/dev/null", INPUTRC: "/dev/null" },
    cwd: "/tmp",
    keys: [
      key(PROMPT, "echo one twx\x7fo\r"),
      key("one two\r\n", ""),
      key(PROMPT, "\x10\r"),
      key(PROMPT, "echo /etc/debian_v\t\r"),
      key(PROMPT, "middle\x01echo \x05 end\r"),
      key(PROMPT, "\x04"),
    ],
  },
  {
    name: "terminal/not-a-terminal",
    argv: ["sh", "-c", "tty; stty size; test -t 0 || echo no; cat"],
    stdin: "x\n",
  },
];
