/** A terminal as a person uses one: what the library's stdin and stdout carry, with Debian's bash behind them. */

import assert from "node:assert/strict";
import type { GuestProcess, Machine } from "../../src/machine/api.ts";
import { boot } from "../../src/machine/index.ts";
import { IMAGE, machineTest } from "./image.ts";
import { Typist } from "./typist.ts";

interface Shell extends Typist {
  readonly program: GuestProcess;
}

/** A program at a terminal, and somebody who uses it. */
function sit(program: GuestProcess): Shell {
  const writer = program.stdin.getWriter();
  const typist = new Typist(program.stdout, (keys) => writer.write(keys));
  return Object.assign(typist, { program });
}

async function openShell(machine: Machine): Promise<Shell> {
  const program = await machine.spawn(["bash", "--norc", "--noprofile", "-i"], {
    env: { PS1: "ready> " },
    tty: { columns: 80, rows: 24 },
  });
  const typist = sit(program);
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
  // The job says itself that it runs: before that, the shell may still be about to start it.
  for (const job of ["exec sleep 1000", "while :; do :; done", "sleep 1000 | cat"]) {
    await shell.type(`sh -c 'echo be""gun; ${job}'\r`);
    await shell.see("begun\r\n");
    await shell.type("\u0003");
    await shell.see("^C");
    await shell.see("ready> ");
    await shell.type("echo status $?\r");
    await shell.see("status 130");
    await shell.see("ready> ");
  }
  await shell.type("\u0004");
  assert.equal((await shell.program.wait()).signal, null);
});

machineTest("what is typed before the prompt is there is not lost", async () => {
  await using machine = await boot({ image: IMAGE });
  const shell = await openShell(machine);
  for (let round = 0; round < 10; round++) {
    await shell.type(`echo round ${round}$((1))\r`);
    await shell.see(`round ${round}1`);
    await shell.type("echo ahead $((1+1))\r");
    await shell.see("ahead 2");
  }
  await shell.see("ready> ");
  await shell.type("exit\r");
  assert.deepEqual(await shell.program.wait(), { exitCode: 0, signal: null });
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
  const typist = sit(program);
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
  await shell.see("ready> ");
  // A stopped job that is killed may be waited for before it is dead; bash then answers that it is stopped.
  await shell.type("kill -9 %1; while kill -0 $!; do sleep 0.05; done 2> /dev/null; echo gone$((1))\r");
  await shell.see("gone1");
  await shell.see("ready> ");
  await shell.type("exit\r");
  assert.deepEqual(await shell.program.wait(), { exitCode: 0, signal: null });
});
