/** What the user asked for: the command line, parsed and checked, as a value. */

import { Command, CommanderError, Option } from "commander";
import type { HostMount } from "../machine/api.ts";
import { UsageError } from "./failure.ts";
import {
  parseHarts,
  parseMemory,
  parseUser,
  parseVariable,
  parseVolume,
  parseWorkdir,
} from "./option-values.ts";

/** The image that `coppice start` uses and that the examples name. */
export const DEFAULT_IMAGE = "debian";

export interface RunRequest {
  readonly kind: "run";
  readonly image: string;
  /** The program and its arguments; never empty. */
  readonly command: readonly string[];
  readonly interactive: boolean;
  readonly tty: boolean;
  readonly env: Readonly<Record<string, string>>;
  readonly workdir?: string;
  readonly user?: string;
  readonly volumes: readonly HostMount[];
  /** Bytes. */
  readonly memory?: number;
  readonly harts?: number;
  readonly timing: boolean;
  /** File of the host for the report. */
  readonly report?: string;
  readonly strace: boolean;
}

export interface BuildRequest {
  readonly kind: "image build";
  readonly name: string;
  readonly suite?: string;
  readonly include: readonly string[];
  readonly mirror?: string;
  readonly lock?: string;
  readonly offline: boolean;
}

export type Invocation =
  | RunRequest
  | BuildRequest
  | { readonly kind: "start" }
  | { readonly kind: "image ls"; readonly quiet: boolean }
  | { readonly kind: "image inspect"; readonly names: readonly string[] }
  | { readonly kind: "image rm"; readonly names: readonly string[] }
  | { readonly kind: "image prune" }
  /** Help or the version: text for stdout. */
  | { readonly kind: "text"; readonly text: string };

export interface Surroundings {
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Width of the help text in characters. */
  readonly columns: number;
}

/** An option that may be given several times: each use adds what `parse` makes of it. */
function repeatable<T>(parse: (text: string) => T): (text: string, before?: readonly T[]) => readonly T[] {
  return (text, before = []) => [...before, parse(text)];
}

/** The help of a list of examples: what each does, then what to type. */
function examples(...pairs: readonly (readonly [what: string, command: string])[]): string {
  return `\nExamples:\n${pairs.map(([what, command]) => `  # ${what}\n  $ ${command}`).join("\n\n")}`;
}

interface RunOptions {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env?: readonly (readonly [string, string] | undefined)[];
  readonly workdir?: string;
  readonly user?: string;
  readonly volume?: readonly HostMount[];
  readonly memory?: number;
  readonly harts?: number;
  readonly timing?: boolean;
  readonly report?: string;
  readonly strace?: boolean;
}

/** A value for each option that was given, so that absent ones stay absent properties. */
function present<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function addRun(program: Command, surroundings: Surroundings, done: (invocation: Invocation) => void): void {
  program
    .command("run")
    .summary("run a command in a new machine")
    .description(
      "Boots a machine from IMAGE, runs COMMAND in it (bash if none is given) and ends the\n" +
        "machine with it. What the guest writes to its own files ends with the machine too; use\n" +
        "-v to keep something.",
    )
    .argument("IMAGE", "name of a built image, or path of an image file if it contains a slash")
    .argument("[COMMAND...]", "program and arguments; everything after IMAGE belongs to it")
    .option("-i, --interactive", "pass standard input on to the command (else it reads end of file)")
    .option("-t, --tty", "give the command a terminal; together with -i, as -it, for a shell")
    .option(
      "-e, --env <K=V>",
      "set a variable; K alone passes on the host's value (repeatable)",
      repeatable((text) => parseVariable(text, surroundings.env)),
    )
    .option("-w, --workdir <DIR>", "folder in the guest to start in (default: /)", parseWorkdir)
    .option("-u, --user <USER>", "NAME, UID, NAME:GROUP or UID:GID (default: root)", parseUser)
    .option(
      "-v, --volume <HOST:GUEST[:ro]>",
      "let the guest reach a folder of the host (repeatable)",
      repeatable(parseVolume),
    )
    .option("--memory <SIZE>", "guest memory, 64m to 4g (default: 1g)", parseMemory)
    .option("--harts <N>", "processors, each a thread of the host, 1 to 64 (default: 2)", parseHarts)
    .option("--timing", "print on stderr, at the end, where the time went")
    .option("--report <FILE>", "write that, and calls that are missing, to FILE as JSON")
    .option("--strace", "print every system call on stderr")
    .addOption(new Option("--rm", "accepted out of habit: nothing of a machine ever stays").hideHelp())
    .addHelpText(
      "after",
      `
Exit status: that of COMMAND; 128 + N if signal N killed it; 127 if it was not found;
126 if it cannot be executed; 125 if Coppice itself failed.
${examples(
  ["A shell", "coppice run -it debian"],
  ["One command", "coppice run debian uname -m"],
  ["In a pipe", "git log | coppice run -i debian grep -c Author"],
  ["On your own files, read only", "coppice run -v ./src:/src:ro -w /src debian ls -l"],
  ["As a user, with a variable", "coppice run -u nobody -e LANG=C.UTF-8 debian id"],
)}`,
    )
    .action((image: string, command: readonly string[], options: RunOptions) => {
      const { interactive = false, tty = false, timing = false, strace = false } = options;
      const { env = [], volume = [], workdir, user, memory, harts, report } = options;
      done({
        kind: "run",
        image,
        command: command.length > 0 ? command : ["bash"],
        interactive,
        tty,
        env: Object.fromEntries(env.filter((pair) => pair !== undefined)),
        volumes: volume,
        timing,
        strace,
        ...present({ workdir, user, memory, harts, report }),
      });
    });
}

interface BuildOptions {
  readonly suite?: string;
  readonly include?: readonly (readonly string[])[];
  readonly mirror?: string;
  readonly lock?: string;
  readonly offline?: boolean;
}

function parseInclude(text: string): string[] {
  const names = text.split(",").filter((name) => name !== "");
  const bad = names.find((name) => !/^[a-z0-9][a-z0-9+.-]+$/.test(name));
  if (names.length === 0 || bad !== undefined) {
    throw new UsageError(
      `--include ${text}: ${bad === undefined ? "no packages" : `"${bad}" is not the name of a package`}`,
      "give Debian package names with commas between them: --include git,python3",
    );
  }
  return names;
}

function addBuild(image: Command, done: (invocation: Invocation) => void): void {
  image
    .command("build")
    .summary("build an image from Debian packages")
    .description(
      "Downloads Debian riscv64 packages, checks their signatures, and writes a root file system\n" +
        "image. It needs neither root nor tools of the host. Downloads are kept and resumed.",
    )
    .argument("NAME", "name of the image")
    .option("--suite <SUITE>", "release of Debian (default: trixie)")
    .option(
      "--include <A,B>",
      "packages besides the essential ones, with what they depend on (repeatable)",
      repeatable(parseInclude),
    )
    .option(
      "--mirror <URL>",
      "Debian mirror, http(s):// or file:// (default: COPPICE_MIRROR, else the host's apt sources)",
    )
    .option("--lock <FILE>", "take exactly the packages that FILE lists; write it if it is missing")
    .option("--offline", "use only what has been downloaded before")
    .addHelpText(
      "after",
      examples(
        ["A minimal Debian", "coppice image build debian"],
        ["With more in it", "coppice image build --include python3,git dev"],
        ["The same bytes on every machine", "coppice image build --lock debian.lock debian"],
        ["From a mirror of your own", "coppice image build --mirror https://mirror.example/debian debian"],
      ),
    )
    .action((name: string, { include = [], offline = false, suite, mirror, lock }: BuildOptions) => {
      done({
        kind: "image build",
        name,
        include: include.flat(),
        offline,
        ...present({ suite, mirror, lock }),
      });
    });
}

function addImage(program: Command, done: (invocation: Invocation) => void): void {
  const image = program
    .command("image")
    .summary("build and manage images")
    .description("Builds, lists and removes root file system images.")
    .helpCommand(false);
  addBuild(image, done);
  image
    .command("ls")
    .alias("list")
    .summary("list images")
    .description("Lists the images that have been built.")
    .option("-q, --quiet", "names only")
    .addHelpText("after", examples(["Remove all images", "coppice image rm $(coppice image ls -q)"]))
    .action(({ quiet = false }: { readonly quiet?: boolean }) => done({ kind: "image ls", quiet }));
  image
    .command("inspect")
    .summary("show what is known of images, as JSON")
    .description(
      "Prints what is known of each image, as a JSON list: packages, hashes, size, time of the build.",
    )
    .argument("<NAME...>", "names of images")
    .addHelpText("after", examples(["See what an image is made of", "coppice image inspect debian"]))
    .action((names: readonly string[]) => done({ kind: "image inspect", names }));
  image
    .command("rm")
    .alias("remove")
    .summary("remove images")
    .description("Removes images. Their downloads stay for the next build: see 'coppice image prune'.")
    .argument("<NAME...>", "names of images")
    .addHelpText("after", examples(["Remove an image", "coppice image rm debian"]))
    .action((names: readonly string[]) => done({ kind: "image rm", names }));
  image
    .command("prune")
    .summary("remove what no image needs")
    .description(
      "Removes downloads, translations and leftovers that no image needs, and says how much that was.",
    )
    .addHelpText("after", examples(["Free the space", "coppice image prune"]))
    .action(() => done({ kind: "image prune" }));
}

function addStart(program: Command, done: (invocation: Invocation) => void): void {
  program
    .command("start")
    .summary("a Debian shell: builds the image if it is missing")
    .description(
      `Builds the image "${DEFAULT_IMAGE}" if it is missing and opens a root shell in it.\n` +
        "Without a terminal, the shell reads its commands from standard input.",
    )
    .addHelpText(
      "after",
      examples(["A shell", "coppice start"], ["A script", "echo 'uname -a' | coppice start"]),
    )
    .action(() => done({ kind: "start" }));
}

/** Applies `configure` to a command and all below it. */
function configureAll(command: Command, configure: (command: Command) => void): void {
  configure(command);
  for (const child of command.commands) configureAll(child, configure);
}

/** The words that name a command, as typed: `coppice image build`. */
function commandPath(command: Command): string {
  return command.parent ? `${commandPath(command.parent)} ${command.name()}` : command.name();
}

/** Parses the arguments that follow the program's name. Throws {@link UsageError}. */
export function parseCommandLine(argv: readonly string[], surroundings: Surroundings): Invocation {
  let invocation: Invocation | undefined;
  let text = "";
  let failed: Command | undefined;
  const done = (value: Invocation): void => {
    invocation = value;
  };
  const program = new Command("coppice")
    .description("An operating system as a library: runs Debian riscv64 programs in one Node.js process.")
    .version(`coppice ${surroundings.version}`, "-V, --version", "print the version")
    .enablePositionalOptions()
    .helpCommand(false);
  addRun(program, surroundings, done);
  addStart(program, done);
  addImage(program, done);
  program.addHelpText(
    "after",
    `${examples(
      ["A Debian shell, the first time with a download of some megabytes", "coppice start"],
      ["One command", "coppice run debian cat /etc/os-release"],
    )}\n\n'coppice COMMAND --help' tells more about a command.`,
  );
  configureAll(program, (command) => {
    command
      .helpOption("--help", "print this help")
      .exitOverride((error) => {
        failed = command;
        throw error;
      })
      .configureOutput({
        writeOut: (chunk) => {
          text += chunk;
        },
        writeErr: () => {},
        getOutHelpWidth: () => surroundings.columns,
      })
      .passThroughOptions(command.name() === "run");
  });
  try {
    program.parse(argv.length === 0 ? ["--help"] : [...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: "text", text };
    const path = commandPath(failed ?? program);
    if (error.code === "commander.help") throw new UsageError("no command given", `see '${path} --help'`);
    const [first = "", ...more] = error.message.replace(/^error: /, "").split("\n");
    throw new UsageError([first.replace(/\.$/, ""), ...more].join(" "), `see '${path} --help'`);
  }
  if (!invocation) throw new UsageError("no command given", "see 'coppice --help'");
  return invocation;
}
