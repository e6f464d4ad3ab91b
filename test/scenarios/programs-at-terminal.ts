/** Full-screen programs of the image with tools, driven by keys at a terminal of 24 by 80. */

import type { KeyStep, Scenario } from "../../tools/oracle/scenario.ts";

export const TOOLS_IMAGE = "debian-tools";

/** After the text has come, and a moment for the program to be ready for keys. */
const after = (expect: string, send: string, pauseMs = 400): KeyStep => ({ expect, send, pauseMs });

function program(
  name: string,
  script: string,
  keys: readonly KeyStep[],
  more: Partial<Scenario> = {},
): Scenario {
  return {
    name: `screen/${name}`,
    image: TOOLS_IMAGE,
    argv: ["sh", "-c", script],
    env: { TERM: "xterm", LC_ALL: "C.UTF-8", LESS: "" },
    cwd: "/tmp",
    keys,
    timeoutMs: 90_000,
    ...more,
  };
}

export const atTerminal: readonly Scenario[] = [
  program("less-pages", "seq 1 100 > n; less n; echo status $?", [
    after("n\u001b[", " "),
    after("46", "G"),
    after("100", "g"),
    after("23", "/7[05]\n"),
    after("70", "q"),
  ]),
  program("less-moves", "printf 'line %s\\n' $(seq 60) | less -N; echo done", [
    after("23", "jjj"),
    after("26", "k"),
    after("3", "30g"),
    after("52", "q"),
  ]),
  program("less-help", "seq 5 | less -X -~; echo end", [after("END", "q")]),
  program("more", "seq 1 60 | more; echo ended", [after("--More--", " "), after("--More--", "q")]),
  program("vim-insert", "vi -u NONE -n f; cat f; echo status $?", [
    after("\u001b[?4m", "ifirst line\nsecond line\u001b", 700),
    after("second line", ":wq\n", 700),
  ]),
  program("vim-edit", "seq 1 9 > f; vi -u NONE -n f; cat f", [
    after("\u001b[?4m", "dd", 700),
    after("\u001b[", "jyyp", 700),
    after("\u001b[", "GAx\u001b", 700),
    after("x", ":x\n", 700),
  ]),
  program("vim-quit", "echo text > f; vi -u NONE -n f; echo $?; cat f", [
    after("\u001b[?4m", "x:q\n", 700),
    after("E37", ":q!\n", 700),
  ]),
  program(
    "python-prompt",
    "PYTHON_BASIC_REPL=1 python3 -q; echo status $?",
    [
      after(">>> ", "1 + 1\n"),
      after(">>> ", "for i in range(2):\n"),
      after("... ", " print(i)\n"),
      after("... ", "\n"),
      after(">>> ", "1 / 0\n"),
      after(">>> ", "exit(4)\n"),
    ],
    { slow: "Python's prompt imports much of its library" },
  ),
];
