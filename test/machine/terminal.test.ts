/** A terminal as a person uses one: what the library's stdin and stdout carry, with Debian's bash behind them. */

import assert from "node:assert/strict";
import type { GuestProcess, Machine } from "../../src/machine/api.ts";
import { boot } from "../../src/machine/index.ts";
import { IMAGE, machineTest } from "./image.ts";

/** How long a text may take to appear. */
const PATIENCE_MS = 60_000;

/** Types at a terminal and waits for what it shows. */
class Typist {
  readonly program: GuestProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #shown = "";
  #seen = 0;
  #changed: () => void = () => {};
  readonly #ended: Promise<void>;
  #over = false;

  constructor(program: GuestProcess) {
    this.program = program;
    this.#writer = program.stdin.getWriter();
    this.#ended = this.#read();
  }

  async #read(): Promise<void> {
    for await (const chunk of this.program.stdout) {
      this.#shown += Buffer.from(chunk).toString();
      this.#changed();
    }
    this.#over = true;
    this.#changed();
  }

  async type(keys: string): Promise<void> {
    await this.#writer.write(Buffer.from(keys));
  }

  /** Waits until `text` appears behind what was waited for before. */
  async see(text: string): Promise<void> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const at = this.#shown.indexOf(text, this.#seen);
      if (at >= 0) {
        this.#seen = at + text.length;
        return;
      }
      const late = deadline.aborted ? "in time" : this.#over ? "before the end" : undefined;
      if (late !== undefined) {
        assert.fail(
          `${JSON.stringify(text)} did not appear ${late}: ${JSON.stringify(this.#shown.slice(-400))}`,
        );
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#changed = resolve;
      deadline.addEventListener("abort", () => resolve(), { once: true });
      await promise;
    }
  }

  /** Everything that was shown, once the program has ended. */
  async all(): Promise<string> {
    await this.#ended;
    return this.#shown;
  }
}

async function openShell(machine: Machine): Promise<Typist> {
  const program = await machine.spawn(["bash", "--norc", "--noprofile", "-i"], {
    env: { PS1: "ready> " },
    tty: { columns: 80, rows: 24 },
  });
  const typist = new Typist(program);
  await typist.see("ready> ");
  return typist;
}

machineTest("a shell at a terminal: echo, editing, exit status", async () => {
  await using machine = await boot({ image: IMAGE });
  const shell = await openShell(machine);
  await shell.type("echo a$((40+2))b; tty; test -t 0 -a -t 1 && echo both\r");
  await shell.see("a42b");
  await shell.see("/dev/pts/");
  await shell.see("both");
  await shell.see("ready> ");
  await shell.type("echo wromg\u007f\u007fng | tr a-z A-Z\r");
  await shell.see("WRONG");
  await shell.type("exit 3\r");
  assert.deepEqual(await shell.program.wait(), { exitCode: 3, signal: null });
  assert.match(await shell.all(), /exit\r\n$/);
});

machineTest("Ctrl-C ends the job in the foreground and not the shell", async () => {
  await using machine = await boot({ image: IMAGE });
  const shell = await openShell(machine);
  await shell.type("echo begun; sleep 1000\r");
  await shell.see("begun\r\n");
  await shell.type("\u0003");
  await shell.see("^C");
  await shell.see("ready> ");
  await shell.type("echo status $?\r");
  await shell.see("status 130");
  await shell.type("echo looping; while :; do :; done\r");
  await shell.see("looping\r\n");
  await shell.type("\u0003");
  await shell.see("ready> ");
  await shell.type("\u0004");
  assert.equal((await shell.program.wait()).signal, null);
});

machineTest("Ctrl-Z stops a job; bg and fg take it up again", async () => {
  await using machine = await boot({ image: IMAGE });
  const shell = await openShell(machine);
  await shell.type("cat\r");
  await shell.see("cat\r\n");
  await shell.type("one\r");
  await shell.see("one\r\none\r\n");
  await shell.type("\u001a");
  await shell.see("Stopped");
  await shell.see("ready> ");
  await shell.type("jobs\r");
  await shell.see("Stopped");
  await shell.see("ready> ");
  await shell.type("fg\r");
  await shell.see("cat\r\n");
  await shell.type("two\r");
  await shell.see("two\r\ntwo\r\n");
  await shell.type("\u0004");
  await shell.see("ready> ");
  await shell.type("sleep 1000 & jobs; kill %1; wait %1; echo ended $?\r");
  await shell.see("Running");
  await shell.see("ended 143");
  await shell.type("exit\r");
  assert.deepEqual(await shell.program.wait(), { exitCode: 0, signal: null });
});

machineTest("a change of the window reaches the program in the foreground", async () => {
  await using machine = await boot({ image: IMAGE });
  const script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done";
  const program = await machine.spawn(["bash", "-c", script], { tty: { columns: 80, rows: 24 } });
  const typist = new Typist(program);
  await typist.see("24 80\r\n");
  program.resize({ columns: 132, rows: 50 });
  await typist.see("50 132\r\n");
  program.kill("SIGKILL");
  assert.deepEqual(await program.wait(), { exitCode: null, signal: "SIGKILL" });
});

machineTest("a program in the background that reads from the terminal is stopped", async () => {
  await using machine = await boot({ image: IMAGE });
  const shell = await openShell(machine);
  await shell.type("cat &\r");
  await shell.see("ready> ");
  await shell.type("sleep 0.3; jobs -l\r");
  await shell.see("Stopped (tty input)");
  await shell.type("kill -9 %1; wait; exit\r");
  await shell.program.wait();
});
