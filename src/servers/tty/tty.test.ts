import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Errno } from "../../base/errno.ts";
import { seededRandom } from "../../base/random.ts";
import { census, checkHeap } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { createHeap, type HeapView } from "../../heap/heap.ts";
import { REDO, type RedoKind } from "../../heap/layout.ts";
import { none } from "../../heap/record.ts";
import { HookedTransaction, type Transaction } from "../../heap/transaction.ts";
import { dropFile, File, kindOf, POLL } from "../../kernel/file.ts";
import {
  BACKGROUND_READ,
  BACKGROUND_WRITE,
  type JobControl,
  registerJobControl,
  terminalControl,
} from "../../kernel/job-control.ts";
import { addSegment, clearSegments, clearWaits, WOULD_BLOCK } from "../../kernel/request.ts";
import { SIG } from "../../kernel/signal.ts";
import { KernelThread } from "../../kernel/thread.ts";
import { PACKET } from "./input.ts";
import { CC, I, IOCTL, L, O, TTY_IOCTLS } from "./termios.ts";
import {
  openControllingTerminal,
  openPeer,
  openPtmx,
  openPts,
  resizeTerminal,
  terminalIndex,
} from "./tty-server.ts";
import { placeTerminals, terminalIndices, Tty, TtyPage } from "./tty.ts";

const OUT = 0;
const IN: number = 1 << 18;

/** A process tree of one caller, whose place in it the tests set. */
const world = {
  group: 0,
  session: 0,
  leads: false,
  terminal: 0,
  ignores: new Set<number>(),
  orphaned: false,
  sessions: new Map<number, number>(),
  signals: [] as string[],
  deadline: 0,
  now: 0,
};

// Signals go out after the commit: here by a redo step that writes them down.
const fakeJobControl: JobControl = {
  lock: () => {},
  callerGroup: () => world.group,
  callerSession: () => world.session,
  callerLeadsSession: () => world.leads,
  callerTerminal: () => world.terminal,
  setCallerTerminal: (_tx, terminal) => void (world.terminal = terminal),
  callerIgnores: (_tx, signal) => world.ignores.has(signal),
  isOrphaned: () => world.orphaned,
  sessionOfGroup: (_tx, group) => world.sessions.get(group) ?? 0,
  signalGroup: (tx, group, signal) => tx.afterCommit(REDO.group, group * 64 + signal),
  dropTerminal: (tx, session, _terminal, signals) =>
    tx.afterCommit(REDO.group, -(session * 2 + (signals ? 1 : 0))),
  deadlineIn: (_tx, ns) => (world.deadline = world.deadline || world.now + ns),
};
registerJobControl(fakeJobControl);

class TestThread extends KernelThread {
  constructor() {
    super(1, { monotonic: () => world.now, realtime: () => 0 }, { fill: () => {} }, () =>
      assert.fail("contended"),
    );
  }
  override redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    if (kind === REDO.wake) return true;
    if (kind !== REDO.group) return super.redo(tx, kind, value);
    if (value > 0) world.signals.push(`${value >>> 6}:${nameOf(value & 63)}`);
    else world.signals.push(`session ${-value >>> 1}${-value & 1 ? " HUP CONT" : ""}`);
    return true;
  }
}

function nameOf(signal: number): string {
  return Object.entries(SIG).find(([, number]) => number === signal)?.[0] ?? String(signal);
}

interface Pair {
  readonly tx: HookedTransaction;
  readonly master: File;
  readonly slave: File;
  readonly tty: Tty;
}

function request<T>(tx: HookedTransaction, work: () => T): T {
  clearWaits(tx);
  try {
    const result = work();
    tx.commit();
    return result;
  } catch (error) {
    tx.rollback();
    throw error;
  }
}

function fresh(): Pair {
  Object.assign(world, {
    group: 0,
    session: 0,
    leads: false,
    terminal: 0,
    ignores: new Set(),
    orphaned: false,
    sessions: new Map(),
    signals: [],
    deadline: 0,
    now: 0,
  });
  const buffers = { heap: createHeap({ bytes: 4 << 20, slots: 2 }), memory: new SharedArrayBuffer(1 << 19) };
  const tx = new HookedTransaction(buffers, 0, new TestThread(), () => {});
  placeTerminals(tx);
  const master = request(tx, () => openPtmx(tx, 2));
  setWord(tx, master, "TIOCSPTLCK", 0);
  const slave = request(tx, () => openPts(tx, 0, 2, true, false));
  return { tx, master, slave, tty: File.object.get(tx, master) as Tty };
}

/** As {@link fresh}, with the caller as a shell in its own session, at its controlling terminal. */
function withJob(): Pair {
  const pair = fresh();
  Object.assign(world, { group: 10, session: 10, leads: true });
  world.sessions.set(10, 10).set(11, 10).set(20, 20);
  ioctl(pair.tx, pair.slave, "TIOCSCTTY", 0);
  return pair;
}

function segment(tx: HookedTransaction, pa: number, length: number): void {
  clearSegments(tx);
  if (length > 0) addSegment(tx, pa, length);
}

function write(tx: HookedTransaction, file: File, text: string, nonblock = true): number {
  const data = Uint8Array.from(text, (c) => c.charCodeAt(0));
  let done = 0;
  while (done < data.length || data.length === 0) {
    tx.memoryBytes.set(data.subarray(done), OUT);
    segment(tx, OUT, data.length - done);
    try {
      done += request(tx, () => kindOf(tx, file).write(tx, file, data.length - done, -1, nonblock));
    } catch (error) {
      if (done === 0 || !(error instanceof Errno)) throw error;
      return done;
    }
    if (data.length === 0) break;
  }
  return done;
}

function read(tx: HookedTransaction, file: File, length = 100_000, nonblock = true): string {
  segment(tx, IN, length);
  const count = request(tx, () => kindOf(tx, file).read(tx, file, length, -1, nonblock));
  return String.fromCharCode(...tx.memoryBytes.slice(IN, IN + count));
}

function poll(tx: HookedTransaction, file: File): number {
  return request(tx, () => kindOf(tx, file).poll(tx, file, false));
}

function ioctl(tx: HookedTransaction, file: File, name: keyof typeof IOCTL, argument: number): number {
  const shape = TTY_IOCTLS.get(IOCTL[name]);
  segment(tx, IN, shape?.bytes ?? 0);
  return request(tx, () => kindOf(tx, file).ioctl!(tx, file, IOCTL[name], argument));
}

function getWord(tx: HookedTransaction, file: File, name: keyof typeof IOCTL): number {
  ioctl(tx, file, name, 0);
  return tx.memory[IN / 4]!;
}

function setWord(tx: HookedTransaction, file: File, name: keyof typeof IOCTL, value: number): void {
  tx.memory[IN / 4] = value;
  ioctl(tx, file, name, 0);
}

interface Settings {
  iflag: number;
  oflag: number;
  lflag: number;
  cc: Partial<Record<keyof typeof CC, number>>;
}

/** Changes settings by TCGETS and TCSETS, as stty does: flags are put in or, if negative, taken out. */
function stty(
  tx: HookedTransaction,
  file: File,
  settings: Partial<Settings>,
  how: "TCSETS" | "TCSETSF" = "TCSETS",
): void {
  ioctl(tx, file, "TCGETS", 0);
  const view = new DataView(tx.memory.buffer, IN);
  const apply = (at: number, flags: number | undefined): void => {
    if (flags === undefined) return;
    const old = view.getUint32(at, true);
    view.setUint32(at, flags < 0 ? old & ~-flags : old | flags, true);
  };
  apply(0, settings.iflag);
  apply(4, settings.oflag);
  apply(12, settings.lflag);
  for (const [name, value] of Object.entries(settings.cc ?? {}))
    view.setUint8(17 + CC[name as keyof typeof CC], value);
  ioctl(tx, file, how, 0);
}

function failsWith(name: string, work: () => unknown): void {
  assert.throws(work, (error) => error instanceof Errno && error.name === name, name);
}

const clean = (view: HeapView): void => assert.deepEqual(checkHeap(view), []);

describe("line discipline", () => {
  test("a line is read when it is complete, echoed as it is typed", () => {
    const { tx, master, slave } = fresh();
    write(tx, master, "echo h");
    failsWith("EAGAIN", () => read(tx, slave));
    write(tx, master, "i\rnext");
    assert.equal(read(tx, master), "echo hi\r\nnext");
    assert.equal(getWord(tx, slave, "FIONREAD"), 8);
    assert.equal(read(tx, slave, 4), "echo");
    assert.equal(read(tx, slave), " hi\n");
    failsWith("EAGAIN", () => read(tx, slave));
    clean(tx);
  });

  // What is typed, what the screen gets, what the program reads. ^D at the end makes the line readable.
  const golden: readonly {
    name: string;
    settings?: Partial<Settings>;
    typed: string;
    screen: string;
    line: string;
  }[] = [
    { name: "erase", typed: "ab\x7fc\n", screen: "ab\b \bc\r\n", line: "ac\n" },
    { name: "erase at the beginning", typed: "\x7fa\n", screen: "a\r\n", line: "a\n" },
    { name: "erase a control character", typed: "a\x01\x7f\n", screen: "a^A\b \b\b \b\r\n", line: "a\n" },
    { name: "erase a tab", typed: "ab\t\x7fc\n", screen: "ab\t\b\b\b\b\b\bc\r\n", line: "abc\n" },
    {
      name: "erase a tab behind a tab",
      typed: "\ta\t\x7f\n",
      screen: "\ta\t\b\b\b\b\b\b\b\r\n",
      line: "\ta\n",
    },
    { name: "kill", typed: "abc\x15d\n", screen: "abc\b \b\b \b\b \bd\r\n", line: "d\n" },
    {
      name: "kill without ECHOKE",
      settings: { lflag: -L.ECHOKE },
      typed: "abc\x15d\n",
      screen: "abc^U\r\nd\r\n",
      line: "d\n",
    },
    {
      name: "erase a word",
      typed: "one two \x17x\n",
      screen: `one two ${"\b \b".repeat(4)}x\r\n`,
      line: "one x\n",
    },
    {
      name: "erase without ECHOE",
      settings: { lflag: -L.ECHOE },
      typed: "ab\x7f\n",
      screen: "ab^?\r\n",
      line: "a\n",
    },
    { name: "literal next", typed: "\x16\x03\n", screen: "^\b^C\r\n", line: "\x03\n" },
    { name: "reprint", typed: "ab\x12c\n", screen: "ab^R\r\nabc\r\n", line: "abc\n" },
    { name: "end of file after some bytes", typed: "ab\x04", screen: "ab", line: "ab" },
    { name: "a second line end", settings: { cc: { VEOL: 0x3b } }, typed: "ab;", screen: "ab;", line: "ab;" },
    { name: "no echo", settings: { lflag: -L.ECHO }, typed: "secret\n", screen: "", line: "secret\n" },
    {
      name: "no echo but of the newline",
      settings: { lflag: -L.ECHO },
      typed: "x\n",
      screen: "",
      line: "x\n",
    },
    {
      name: "ECHOPRT",
      settings: { lflag: L.ECHOPRT },
      typed: "abc\x7f\x7fd\n",
      screen: "abc\\cb/d\r\n",
      line: "ad\n",
    },
    {
      name: "UTF-8 erases a character",
      settings: { iflag: I.IUTF8 },
      typed: "a\xc3\xa9\x7f\n",
      screen: "a\xc3\xa9\b \b\r\n",
      line: "a\n",
    },
    { name: "IGNCR", settings: { iflag: I.IGNCR }, typed: "a\rb\n", screen: "ab\r\n", line: "ab\n" },
    { name: "INLCR", settings: { iflag: I.INLCR }, typed: "a\nb\r", screen: "a^Mb\r\n", line: "a\rb\n" },
    { name: "ISTRIP", settings: { iflag: I.ISTRIP }, typed: "\xe1\n", screen: "a\r\n", line: "a\n" },
  ];
  for (const { name, settings, typed, screen, line } of golden) {
    test(name, () => {
      const { tx, master, slave } = fresh();
      if (settings) stty(tx, slave, settings);
      write(tx, master, typed);
      assert.equal(screen === "" ? "" : read(tx, master), screen);
      assert.equal(read(tx, slave), line);
      clean(tx);
    });
  }

  test("an end of file is an empty read, once", () => {
    const { tx, master, slave } = fresh();
    write(tx, master, "\x04");
    assert.equal(getWord(tx, slave, "FIONREAD"), 0);
    assert.equal(read(tx, slave), "");
    failsWith("EAGAIN", () => read(tx, slave));
    write(tx, master, "abc\x04");
    assert.equal(read(tx, slave, 3), "abc");
    failsWith("EAGAIN", () => read(tx, slave));
    clean(tx);
  });

  test("a line longer than the queue is cut and can still be ended", () => {
    const { tx, master, slave } = fresh();
    stty(tx, slave, { lflag: -L.ECHO });
    assert.equal(write(tx, master, "x".repeat(5000)), 5000);
    write(tx, master, "\n");
    assert.equal(read(tx, slave), `${"x".repeat(4095)}\n`);
    clean(tx);
  });

  test("complete lines that nobody reads hold the master back", () => {
    const { tx, master, slave } = fresh();
    stty(tx, slave, { lflag: -L.ECHO });
    const taken = write(tx, master, "0123456\n".repeat(1000));
    assert.equal(taken, 4095);
    failsWith("EAGAIN", () => write(tx, master, "y"));
    assert.throws(
      () => write(tx, master, "y", false),
      (error) => error === WOULD_BLOCK,
    );
    assert.equal(read(tx, slave), "0123456\n");
    assert.equal(write(tx, master, "y"), 1);
    clean(tx);
  });

  test("raw mode: VMIN and VTIME", () => {
    const { tx, master, slave } = fresh();
    stty(tx, slave, { lflag: -(L.ICANON | L.ECHO), cc: { VMIN: 3, VTIME: 0 } });
    write(tx, master, "ab");
    failsWith("EAGAIN", () => read(tx, slave));
    assert.equal(poll(tx, slave) & POLL.IN, 0);
    write(tx, master, "\x7f");
    assert.equal(poll(tx, slave) & POLL.IN, POLL.IN);
    assert.equal(read(tx, slave), "ab\x7f");
    stty(tx, slave, { cc: { VMIN: 0, VTIME: 0 } });
    assert.equal(read(tx, slave), "");
    stty(tx, slave, { cc: { VMIN: 0, VTIME: 5 } });
    assert.throws(
      () => read(tx, slave, 10, false),
      (error) => error === WOULD_BLOCK,
    );
    assert.equal(world.deadline, 5e8);
    world.now = 5e8;
    assert.equal(read(tx, slave, 10, false), "");
    world.deadline = 0;
    stty(tx, slave, { cc: { VMIN: 5, VTIME: 1 } });
    assert.throws(
      () => read(tx, slave, 10, false),
      (error) => error === WOULD_BLOCK,
    );
    write(tx, master, "z");
    assert.throws(
      () => read(tx, slave, 10, false),
      (error) => error === WOULD_BLOCK,
    );
    world.now += 1e8;
    assert.equal(read(tx, slave, 10, false), "z");
    clean(tx);
  });

  test("changing the mode keeps what is in the queue", () => {
    const { tx, master, slave } = fresh();
    write(tx, master, "half");
    stty(tx, slave, { lflag: -L.ICANON });
    assert.equal(read(tx, slave), "half");
    write(tx, master, "raw");
    stty(tx, slave, { lflag: L.ICANON });
    assert.equal(read(tx, slave), "raw");
    write(tx, master, "lost");
    stty(tx, slave, {}, "TCSETSF");
    write(tx, master, "kept\n");
    assert.equal(read(tx, slave), "kept\n");
    clean(tx);
  });
});

describe("output", () => {
  const golden: readonly { name: string; oflag?: number; written: string; screen: string }[] = [
    { name: "ONLCR", written: "a\nb\n", screen: "a\r\nb\r\n" },
    { name: "no OPOST", oflag: -O.OPOST, written: "a\n\t", screen: "a\n\t" },
    { name: "OCRNL", oflag: O.OCRNL, written: "a\r", screen: "a\n" },
    { name: "ONOCR", oflag: O.ONOCR, written: "\ra\r", screen: "a\r" },
    { name: "XTABS", oflag: O.XTABS, written: "ab\tc", screen: "ab      c" },
    { name: "OLCUC", oflag: O.OLCUC, written: "aZ1", screen: "AZ1" },
  ];
  for (const { name, oflag, written, screen } of golden) {
    test(name, () => {
      const { tx, master, slave } = fresh();
      if (oflag !== undefined) stty(tx, slave, { oflag });
      assert.equal(write(tx, slave, written), written.length);
      assert.equal(read(tx, master), screen);
      clean(tx);
    });
  }

  test("a master that does not read holds the writer back, and loses nothing", () => {
    const { tx, master, slave } = fresh();
    const text = Array.from({ length: 40_000 }, (_, i) => String.fromCharCode(33 + (i % 90))).join("");
    let sent = 0;
    let got = "";
    while (got.length < text.length) {
      try {
        if (sent < text.length) sent += write(tx, slave, text.slice(sent));
      } catch (error) {
        assert.ok(error instanceof Errno && error.name === "EAGAIN");
      }
      got += read(tx, master, 7000);
    }
    assert.equal(got, text);
    clean(tx);
  });

  test("the stop character stops output, the start character lets it go on", () => {
    const { tx, master, slave } = fresh();
    write(tx, master, "\x13");
    failsWith("EAGAIN", () => write(tx, slave, "x"));
    assert.equal(poll(tx, slave) & POLL.OUT, 0);
    write(tx, master, "\x11");
    assert.equal(write(tx, slave, "x"), 1);
    ioctl(tx, slave, "TCXONC", 0);
    write(tx, master, "\x11");
    failsWith("EAGAIN", () => write(tx, slave, "x"));
    ioctl(tx, slave, "TCXONC", 1);
    assert.equal(write(tx, slave, "y"), 1);
    assert.equal(read(tx, master), "xy");
    clean(tx);
  });
});

describe("job control", () => {
  test("interrupt, quit and suspend go to the foreground group and throw the queues away", () => {
    const { tx, master, slave } = withJob();
    write(tx, master, "typed ahead\nhalf");
    write(tx, slave, "output");
    write(tx, master, "\x03");
    assert.deepEqual(world.signals, ["10:INT"]);
    assert.equal(read(tx, master), "^C");
    failsWith("EAGAIN", () => read(tx, slave));
    stty(tx, slave, { lflag: L.NOFLSH });
    write(tx, master, "kept\n\x1c\x1a");
    assert.deepEqual(world.signals, ["10:INT", "10:QUIT", "10:TSTP"]);
    assert.equal(read(tx, slave), "kept\n");
    clean(tx);
  });

  test("a background reader and, with TOSTOP, a background writer are stopped", () => {
    const { tx, master, slave } = withJob();
    write(tx, master, "line\n");
    world.group = 11;
    assert.throws(
      () => read(tx, slave),
      (error) => error === BACKGROUND_READ,
    );
    assert.equal(write(tx, slave, "allowed"), 7);
    assert.throws(
      () => stty(tx, slave, { lflag: L.TOSTOP }),
      (error) => error === BACKGROUND_WRITE,
    );
    world.ignores.add(SIG.TTOU).add(SIG.TTIN);
    stty(tx, slave, { lflag: L.TOSTOP });
    assert.equal(write(tx, slave, "ignored"), 7);
    failsWith("EIO", () => read(tx, slave));
    world.ignores.clear();
    assert.throws(
      () => write(tx, slave, "no"),
      (error) => error === BACKGROUND_WRITE,
    );
    world.orphaned = true;
    failsWith("EIO", () => write(tx, slave, "no"));
    failsWith("EIO", () => read(tx, slave));
    world.orphaned = false;
    world.ignores.add(SIG.TTOU);
    setWord(tx, slave, "TIOCSPGRP", 11);
    assert.equal(read(tx, slave), "line\n");
    assert.equal(getWord(tx, slave, "TIOCGPGRP"), 11);
    clean(tx);
  });

  test("the foreground group must be of the session", () => {
    const { tx, slave } = withJob();
    failsWith("EPERM", () => setWord(tx, slave, "TIOCSPGRP", 20));
    failsWith("ESRCH", () => setWord(tx, slave, "TIOCSPGRP", 99));
    failsWith("EINVAL", () => setWord(tx, slave, "TIOCSPGRP", -1));
    assert.equal(getWord(tx, slave, "TIOCGSID"), 10);
    world.terminal = 0;
    failsWith("ENOTTY", () => setWord(tx, slave, "TIOCSPGRP", 10));
    failsWith("ENOTTY", () => getWord(tx, slave, "TIOCGPGRP"));
  });

  test("a session leader gets a terminal by opening it, unless it says no", () => {
    const { tx, slave, tty } = fresh();
    Object.assign(world, { group: 30, session: 30, leads: true });
    request(tx, () => openPts(tx, 0, 2, true, false));
    assert.equal(world.terminal, 0);
    failsWith("ENXIO", () => request(tx, () => openControllingTerminal(tx, 2, false)));
    request(tx, () => openPts(tx, 0, 2, false, false));
    assert.equal(world.terminal, tty);
    assert.equal(getWord(tx, slave, "TIOCGSID"), 30);
    request(tx, () => openControllingTerminal(tx, 2, false));
    Object.assign(world, { session: 31, group: 31, terminal: 0 });
    failsWith("EPERM", () => ioctl(tx, slave, "TIOCSCTTY", 0));
    clean(tx);
  });

  test("the end of the session, and the leader's giving up, free the terminal", () => {
    const { tx, slave, tty } = withJob();
    request(tx, () => terminalControl()!.sessionEnded(tx, tty, 10));
    assert.deepEqual(world.signals, ["10:HUP", "10:CONT", "session 10"]);
    assert.equal(Tty.session.get(tx, tty), 0);
    world.terminal = 0;
    ioctl(tx, slave, "TIOCSCTTY", 0);
    ioctl(tx, slave, "TIOCNOTTY", 0);
    assert.equal(Tty.session.get(tx, tty), 0);
    clean(tx);
  });

  test("another size is a SIGWINCH, the same size is none", () => {
    const { tx, master, slave } = withJob();
    request(tx, () => resizeTerminal(tx, master, 24, 80));
    request(tx, () => resizeTerminal(tx, master, 24, 80));
    assert.deepEqual(world.signals, ["10:WINCH"]);
    ioctl(tx, slave, "TIOCGWINSZ", 0);
    assert.deepEqual([...new Uint16Array(tx.memory.buffer, IN, 4)], [24, 80, 0, 0]);
  });
});

describe("opening and closing", () => {
  test("the master gone: readers see the end, writers EIO, the session a hang-up", () => {
    const { tx, master, slave } = withJob();
    write(tx, master, "last\n");
    request(tx, () => dropFile(tx, master));
    assert.deepEqual(world.signals, ["session 10 HUP CONT"]);
    assert.equal(read(tx, slave), "last\n");
    assert.equal(read(tx, slave), "");
    failsWith("EIO", () => write(tx, slave, "x"));
    failsWith("EIO", () => ioctl(tx, slave, "TCGETS", 0));
    assert.equal(poll(tx, slave), POLL.IN | POLL.RDNORM | POLL.OUT | POLL.WRNORM | POLL.ERR | POLL.HUP);
    assert.deepEqual(terminalIndices(tx), []);
    clean(tx);
    request(tx, () => dropFile(tx, slave));
    clean(tx);
    assert.deepEqual([...census(tx)], []);
  });

  test("the slave gone: the master reads what is left, then EIO, until it is opened again", () => {
    const { tx, master, slave } = fresh();
    write(tx, slave, "bye");
    request(tx, () => dropFile(tx, slave));
    assert.equal(read(tx, master), "bye");
    assert.equal(poll(tx, master) & POLL.HUP, POLL.HUP);
    failsWith("EIO", () => read(tx, master));
    request(tx, () => openPeer(tx, master, 2));
    failsWith("EAGAIN", () => read(tx, master));
    clean(tx);
  });

  test("indices, locks, exclusive use", () => {
    const { tx, master, slave } = fresh();
    const second = request(tx, () => openPtmx(tx, 2));
    assert.equal(getWord(tx, second, "TIOCGPTN"), 1);
    assert.deepEqual(terminalIndices(tx), [0, 1]);
    assert.deepEqual(terminalIndex(tx, slave), { index: 0, isMaster: false });
    failsWith("EIO", () => request(tx, () => openPts(tx, 1, 2, true, false)));
    failsWith("ENXIO", () => request(tx, () => openPts(tx, 7, 2, true, false)));
    ioctl(tx, slave, "TIOCEXCL", 0);
    failsWith("EBUSY", () => request(tx, () => openPts(tx, 0, 2, true, false)));
    request(tx, () => openPts(tx, 0, 2, true, true));
    failsWith("ENOTTY", () => getWord(tx, slave, "TIOCGPTN"));
    failsWith("EPERM", () => ioctl(tx, slave, "TIOCSTI", 0));
    failsWith("ENOTTY", () => request(tx, () => kindOf(tx, slave).ioctl!(tx, slave, 0x1234, 0)));
    request(tx, () => dropFile(tx, master));
    assert.equal(
      getWord(
        tx,
        request(tx, () => openPtmx(tx, 2)),
        "TIOCGPTN",
      ),
      0,
    );
    clean(tx);
  });

  test("packet mode tells the master of flushes, stops and starts", () => {
    const { tx, master, slave } = fresh();
    setWord(tx, master, "TIOCPKT", 1);
    write(tx, slave, "data");
    assert.equal(read(tx, master), "\0data");
    ioctl(tx, slave, "TCFLSH", 2);
    assert.equal(poll(tx, master) & POLL.PRI, POLL.PRI);
    assert.equal(read(tx, master), String.fromCharCode(PACKET.FLUSH_READ | PACKET.FLUSH_WRITE));
    ioctl(tx, slave, "TCXONC", 0);
    ioctl(tx, slave, "TCXONC", 1);
    assert.equal(read(tx, master), String.fromCharCode(PACKET.STOP | PACKET.START));
    stty(tx, slave, { iflag: -I.IXON });
    assert.equal(read(tx, master), String.fromCharCode(PACKET.NO_STOP));
    clean(tx);
  });
});

test("hostile bytes in any mode break nothing", () => {
  const random = seededRandom(5);
  for (let round = 0; round < 30; round++) {
    const { tx, master, slave } = withJob();
    stty(tx, slave, {
      iflag: random.u32() & 0x7fff,
      oflag: random.u32() & 0xffff,
      lflag: random.u32() & 0x1ffff,
    });
    for (let step = 0; step < 20; step++) {
      const bytes = String.fromCharCode(...Array.from({ length: 300 }, () => random.below(256)));
      const tame = String.fromCharCode(
        ...Array.from({ length: 300 }, () => [9, 8, 127, 10, 97, 23, 21, 4][random.below(8)]!),
      );
      for (const work of [
        () => write(tx, master, random.below(2) ? bytes : tame),
        () => write(tx, slave, bytes),
        () => read(tx, master, random.below(600)),
        () => read(tx, slave, random.below(600)),
        () =>
          stty(tx, slave, { lflag: random.below(2) ? L.ICANON : -L.ICANON, cc: { VMIN: random.below(3) } }),
      ]) {
        try {
          work();
        } catch (error) {
          assert.ok(error instanceof Errno || error === WOULD_BLOCK, String(error));
        }
      }
    }
    clean(tx);
  }
});

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
      prepare: ({ tx, master }) => void request(tx, () => dropFile(tx, master)),
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
