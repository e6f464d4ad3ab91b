/** Terminals under the crash loop, and a mutant for each of their invariants. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { census, checkHeap } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { none } from "../../heap/record.ts";
import type { HookedTransaction } from "../../heap/transaction.ts";
import { dropFile, type File, kindOf } from "../../kernel/file.ts";
import { clearWaits } from "../../kernel/request.ts";
import { IOCTL, TTY_IOCTLS } from "./termios.ts";
import { openPtmx, openPts } from "./tty-server.ts";
import { Tty, TtyPage } from "./tty.ts";
import {
  OUT,
  IN,
  world,
  type Pair,
  request,
  withJob,
  segment,
  write,
  ioctl,
  clean,
} from "./testing/terminal.ts";

describe("crash loop", () => {
  const cases: Record<string, { prepare?(pair: Pair): void; run(pair: Pair): unknown }> = {
    "open a pair": { run: ({ tx }) => void openPtmx(tx, 2) },
    "open the slave": { run: ({ tx }) => void openPts(tx, 0, 2, false, false) },
    "type, erase, end a line": { run: (p) => put(p, p.master, "ab\tc\x7f\x17d\n") },
    "type an interrupt": {
      prepare: (p) => void write(p.tx, p.master, "some\nmore"),
      run: (p) => put(p, p.master, "\x03"),
    },
    "write with processing": { run: (p) => put(p, p.slave, "line\n\ttab\n") },
    "read a line": { prepare: (p) => void write(p.tx, p.master, "one\ntwo\n"), run: (p) => get(p, p.slave) },
    "read that waits": { run: (p) => get(p, p.slave) },
    "read at the master": {
      prepare: (p) => void write(p.tx, p.slave, "output\n"),
      run: (p) => get(p, p.master),
    },
    "read in the background": { prepare: () => void (world.group = 11), run: (p) => get(p, p.slave) },
    "to raw mode and flush": {
      prepare: (p) => {
        write(p.tx, p.master, "one\ntw");
        ioctl(p.tx, p.slave, "TCGETS", 0);
        p.tx.memory[IN / 4 + 3] = 0;
      },
      run: (p) => order(p, p.slave, "TCSETSF"),
    },
    "set the foreground group": {
      prepare: (p) => void (p.tx.memory[IN / 4] = 11),
      run: (p) => order(p, p.slave, "TIOCSPGRP"),
    },
    "another size": {
      prepare: (p) => void (p.tx.memory[IN / 4] = 0x0050_0018),
      run: (p) => order(p, p.slave, "TIOCSWINSZ"),
    },
    "give the terminal up": { run: (p) => order(p, p.slave, "TIOCNOTTY") },
    "close the master": { run: ({ tx, master }) => dropFile(tx, master) },
    "close the slave, the last end": {
      prepare: ({ tx, master }) => {
        request(tx, () => dropFile(tx, master));
      },
      run: ({ tx, slave }) => dropFile(tx, slave),
    },
  };

  function put({ tx }: Pair, file: File, text: string): number {
    clearWaits(tx);
    tx.memoryBytes.set(
      Uint8Array.from(text, (c) => c.charCodeAt(0)),
      OUT,
    );
    segment(tx, OUT, text.length);
    return kindOf(tx, file).write(tx, file, text.length, -1, false);
  }

  function get({ tx }: Pair, file: File): string {
    clearWaits(tx);
    segment(tx, IN, 100);
    const count = kindOf(tx, file).read(tx, file, 100, -1, false);
    return String.fromCharCode(...tx.memoryBytes.slice(IN, IN + count));
  }

  function order({ tx }: Pair, file: File, name: keyof typeof IOCTL): number {
    segment(tx, IN, TTY_IOCTLS.get(IOCTL[name])!.bytes);
    return kindOf(tx, file).ioctl!(tx, file, IOCTL[name], 0);
  }

  /** All that anybody could see of a terminal: its settings and queues. */
  function seen(tx: HookedTransaction, tty: Tty): unknown {
    if (!Tty.isLive(tx, tty)) return "gone";
    const fields = [];
    for (const [name, field] of Tty.schema.fields) {
      if (["lock", "readable", "writable", "outputReady", "inputRoom"].includes(name)) continue;
      fields.push([name, [...tx.words.subarray(tty + field.word, tty + field.word + field.words)]]);
    }
    let text = "";
    const page = TtyPage.bytes.window(tx, Tty.input.get(tx, tty));
    for (let p = Tty.head.get(tx, tty); p !== Tty.tail.get(tx, tty); p++)
      text += String.fromCharCode(page[p & 4095]!);
    return [fields, text];
  }

  for (const [name, { prepare, run }] of Object.entries(cases)) {
    test(name, (t) => {
      const pair = withJob();
      prepare?.(pair);
      const before = structuredClone(world);
      const report = crashLoop({
        tx: pair.tx,
        operation: () => {
          // The fake's own state is not in the heap: put it back, as a rollback would.
          Object.assign(world, structuredClone(before));
          return run(pair);
        },
        observe: (tx) => [seen(tx, pair.tty), [...census(tx)]],
        pairs: true,
      });
      t.diagnostic(`${report.points} points, ${report.pairs} pairs, ${JSON.stringify(report.outcome)}`);
      assert.ok(report.points > 0);
    });
  }
});

describe("mutants: each invariant is tripped by a terminal that breaks it", () => {
  const trips = (id: string, spoil: (tx: HookedTransaction, tty: Tty) => void): void => {
    test(id, () => {
      const { tx, master, tty } = withJob();
      write(tx, master, "a line\n");
      clean(tx);
      request(tx, () => spoil(tx, tty));
      const found = new Set(checkHeap(tx).map((violation) => violation.invariant));
      assert.ok(found.has(id), `${id} not in ${[...found].join(" ")}`);
    });
  };
  trips("TT1", (tx, tty) => Tty.tail.set(tx, tty, 5000));
  trips("TT1", (tx, tty) => Tty.lines.set(tx, tty, 8));
  trips("TT1", (tx, tty) => Tty.outputTail.set(tx, tty, 20_000));
  trips("TT2", (tx, tty) => Tty.input.set(tx, tty, none()));
  trips("TT2", (tx) => void TtyPage.allocate(tx));
  trips("TT3", (tx, tty) => Tty.slaves.set(tx, tty, 2));
  trips("TT4", (tx, tty) => Tty.index.set(tx, tty, 3));
  trips("TT4", (tx) => tx.store(tx.root("tty") + 16, 0));
  trips("TT5", (tx, tty) => Tty.lineEnds.set(tx, tty, 100, 1));
  trips("TT6", (tx, tty) => Tty.session.set(tx, tty, 0));
});
