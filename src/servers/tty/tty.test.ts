import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Errno } from "../../base/errno.ts";
import { seededRandom } from "../../base/random.ts";
import { census } from "../../heap/check.ts";
import { dropFile, kindOf, POLL } from "../../kernel/file.ts";
import { BACKGROUND_READ, BACKGROUND_WRITE, terminalControl } from "../../kernel/job-control.ts";
import { WOULD_BLOCK } from "../../kernel/request.ts";
import { SIG } from "../../kernel/signal.ts";
import { PACKET } from "./input.ts";
import { I, L, O } from "./termios.ts";
import {
  openControllingTerminal,
  openPeer,
  openPtmx,
  openPts,
  resizeTerminal,
  terminalIndex,
} from "./tty-server.ts";
import { terminalIndices, Tty } from "./tty.ts";
import {
  IN,
  world,
  request,
  fresh,
  withJob,
  write,
  read,
  poll,
  ioctl,
  getWord,
  setWord,
  type Settings,
  stty,
  failsWith,
  clean,
} from "./testing/terminal.ts";

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

  // What is typed, what the screen gets, what the program reads: as a pseudo-terminal of Linux gave them.
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
    {
      name: "erase words of letters and signs",
      typed: "foo-bar_1 \t\x17\x17y\n",
      screen: "foo-bar_1 \t\b\b\b\b\b\b\b \b\b \b\b \b\b \b\b \b\b \b\b \b\b \b\b \b\b \by\r\n",
      line: "y\n",
    },
    {
      name: "kill with a tab",
      typed: "a\tb\x01\x15z\n",
      screen: "a\tb^A\b \b\b \b\b \b\b\b\b\b\b\b\b\b \bz\r\n",
      line: "z\n",
    },
    {
      name: "erase a word behind a control character",
      typed: "x\x01y \x17\n",
      screen: "x^Ay \b \b\b \b\r\n",
      line: "x\x01\n",
    },
    {
      name: "a literal tab, erased",
      typed: "a\x16\tb\x7f\x7f\n",
      screen: "a^\b\tb\b \b\b\b\b\b\b\b\b\r\n",
      line: "a\n",
    },
    { name: "eight bits", typed: "\xe1\xe2\x7f\n", screen: "\xe1\xe2\b \b\r\n", line: "\xe1\n" },
    {
      name: "erase a word in UTF-8",
      settings: { iflag: I.IUTF8 },
      typed: "x \xc3\xa9\xc3\xa8\x17\n",
      screen: "x \xc3\xa9\xc3\xa8\b \b\b \b\r\n",
      line: "x \n",
    },
    {
      name: "ECHOPRT, a word",
      settings: { lflag: L.ECHOPRT },
      typed: "one two\x17x\n",
      screen: "one two\\owt/x\r\n",
      line: "one x\n",
    },
    {
      name: "no ECHOCTL, erase a control character",
      settings: { lflag: -L.ECHOCTL },
      typed: "a\x01\x7f\n",
      screen: "a\x01\r\n",
      line: "a\n",
    },
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
  test("interrupt, quit and suspend go to the foreground group and throw the input away", () => {
    const { tx, master, slave } = withJob();
    write(tx, master, "typed ahead\nhalf");
    write(tx, slave, "output");
    write(tx, master, "\x03");
    assert.deepEqual(world.signals, ["10:INT"]);
    assert.equal(read(tx, master), "typed ahead\r\nhalfoutput^C");
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
