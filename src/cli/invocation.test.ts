/** The command line's syntax: what is understood, and the message for what is not. */

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { UsageError } from "./failure.ts";
import { parseCommandLine, type Surroundings } from "./invocation.ts";
import { parseMemory } from "./option-values.ts";

const surroundings: Surroundings = { version: "1.2.3", env: { HOME: "/home/me" }, columns: 90 };
const parse = (...argv: readonly string[]): unknown => parseCommandLine(argv, surroundings);

const plainRun = {
  kind: "run",
  image: "debian",
  command: ["bash"],
  interactive: false,
  tty: false,
  env: {},
  volumes: [],
  timing: false,
  strace: false,
};

test("run has the defaults of Docker users", () => {
  assert.deepEqual(parse("run", "debian"), plainRun);
});

test("run takes every option, long and short", () => {
  const argv =
    "-it -e A=b=c -e HOME -e UNSET_ON_HOST -w /tmp -u 1000:100 -v /data:/mnt:ro -v ./x:/y --memory 512m --harts 4";
  assert.deepEqual(
    parse("run", ...argv.split(" "), "--timing", "--report", "r.json", "--strace", "--rm", "debian", "true"),
    {
      ...plainRun,
      command: ["true"],
      interactive: true,
      tty: true,
      env: { A: "b=c", HOME: "/home/me" },
      workdir: "/tmp",
      user: "1000:100",
      volumes: [
        { host: path.resolve("/data"), guest: "/mnt", readOnly: true },
        { host: path.resolve("x"), guest: "/y", readOnly: false },
      ],
      memory: 512 * 1024 ** 2,
      harts: 4,
      timing: true,
      report: "r.json",
      strace: true,
    },
  );
});

test("what follows IMAGE belongs to the command, options and -- included", () => {
  assert.deepEqual(parse("run", "debian", "ls", "-l", "--help", "--", "-v"), {
    ...plainRun,
    command: ["ls", "-l", "--help", "--", "-v"],
  });
  assert.deepEqual(parse("run", "--", "debian", "ls"), { ...plainRun, command: ["ls"] });
});

test("the image commands", () => {
  assert.deepEqual(
    parse("image", "build", "--include", "git,python3", "--include", "g++", "--offline", "dev"),
    {
      kind: "image build",
      name: "dev",
      include: ["git", "python3", "g++"],
      offline: true,
    },
  );
  assert.deepEqual(parse("image", "build", "--suite", "sid", "--mirror", "file:///m", "--lock", "l", "d"), {
    kind: "image build",
    name: "d",
    suite: "sid",
    include: [],
    mirror: "file:///m",
    lock: "l",
    offline: false,
  });
  assert.deepEqual(parse("image", "ls", "-q"), { kind: "image ls", quiet: true });
  assert.deepEqual(parse("image", "inspect", "a", "b"), { kind: "image inspect", names: ["a", "b"] });
  assert.deepEqual(parse("image", "rm", "a"), { kind: "image rm", names: ["a"] });
  assert.deepEqual(parse("image", "prune"), { kind: "image prune" });
  assert.deepEqual(parse("start"), { kind: "start" });
});

test("help and version are text", () => {
  assert.deepEqual(parse("--version"), { kind: "text", text: "coppice 1.2.3\n" });
  assert.deepEqual(parse(), parse("--help"));
  for (const command of [
    "run",
    "start",
    "image build",
    "image ls",
    "image inspect",
    "image rm",
    "image prune",
  ]) {
    const { text } = parseCommandLine([...command.split(" "), "--help"], surroundings) as { text: string };
    assert.match(text, new RegExp(`^Usage: coppice ${command}`));
    assert.match(text, /\nExamples:\n {2}# .+\n {2}\$ .*coppice /);
    assert.ok(text.split("\n").every((line) => line.length <= 90));
  }
});

test("sizes", () => {
  const mebibyte = 1024 ** 2;
  const sizes: [string, number][] = [
    ["64m", 64 * mebibyte],
    ["1g", 1024 * mebibyte],
    ["1G", 1024 * mebibyte],
    ["1.5g", 1536 * mebibyte],
    ["4GiB", 4096 * mebibyte],
    ["262144k", 256 * mebibyte],
    ["100000000", 1526 * 65_536],
  ];
  for (const [text, bytes] of sizes) assert.equal(parseMemory(text), bytes, text);
});

const wrong: readonly (readonly [argv: string, message: string, remedy: string])[] = [
  ["rnu", "unknown command 'rnu' (Did you mean run?)", "see 'coppice --help'"],
  ["--bogus", "unknown option '--bogus'", "see 'coppice --help'"],
  ["run", "missing required argument 'IMAGE'", "see 'coppice run --help'"],
  ["run --bogus debian", "unknown option '--bogus'", "see 'coppice run --help'"],
  [
    "run --memmory 1g debian",
    "unknown option '--memmory' (Did you mean --memory?)",
    "see 'coppice run --help'",
  ],
  ["run --memory lots debian", "--memory lots: not a size", "write it like 512m, 1g or 4g"],
  ["run --memory 1m debian", "--memory 1m: less than the least possible", "give a size from 64m to 4g"],
  ["run --memory 8g debian", "--memory 8g: more than a machine can have", "give a size from 64m to 4g"],
  ["run --harts 0 debian", "--harts 0: not a number of harts", "give a whole number from 1 to 64"],
  ["run --harts two debian", "--harts two: not a number of harts", "give a whole number from 1 to 64"],
  [
    "run -w tmp debian",
    "-w tmp: not an absolute path",
    "give the folder in the guest from its root on: /root",
  ],
  ["run -u a:b:c debian", "-u a:b:c: not a user", "write NAME, UID, NAME:GROUP or UID:GID"],
  [
    "run -e =x debian",
    "-e =x: no name of a variable",
    "write NAME=VALUE, or NAME to pass on the host's value",
  ],
  ["run -e", "option '-e, --env <K=V>' argument missing", "see 'coppice run --help'"],
  [
    "run -v /data debian",
    "-v /data: not a mount",
    "write HOST:GUEST or HOST:GUEST:ro, as in -v ./src:/mnt/src:ro",
  ],
  ["run -v /a:/b:rx debian", '-v /a:/b:rx: "rx" is not a mode of a mount', "the modes are ro and rw"],
  [
    "run -v /a:b debian",
    "-v /a:b: b is not an absolute path in the guest",
    "write HOST:GUEST or HOST:GUEST:ro, as in -v ./src:/mnt/src:ro",
  ],
  [
    "run -v data:/b debian",
    "-v data:/b: there are no named volumes",
    "for a folder of that name here, write ./data:/b",
  ],
  ["image", "no command given", "see 'coppice image --help'"],
  ["image bogus", "unknown command 'bogus'", "see 'coppice image --help'"],
  ["image rm", "missing required argument 'NAME'", "see 'coppice image rm --help'"],
  [
    "image ls extra",
    "too many arguments for 'ls'. Expected 0 arguments but got 1: extra",
    "see 'coppice image ls --help'",
  ],
  [
    "image build --include A! x",
    '--include A!: "A!" is not the name of a package',
    "give Debian package names with commas between them: --include git,python3",
  ],
];

for (const [argv, message, remedy] of wrong) {
  test(`wrong: coppice ${argv}`, () => {
    assert.throws(
      () => parse(...argv.split(" ")),
      (error) => {
        assert.ok(error instanceof UsageError);
        assert.deepEqual([error.message, error.remedy], [message, remedy]);
        return true;
      },
    );
  });
}
