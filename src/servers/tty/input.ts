/**
 * The line discipline's input side: what becomes of each character that the master writes. The rules are those
 * of Linux's n_tty.c (n_tty_receive_char, eraser), in the same order.
 */

import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { jobControl } from "../../kernel/job-control.ts";
import { SIG } from "../../kernel/signal.ts";
import { continues, isControl, Output } from "./output.ts";
import { CC, DISABLED, I, L } from "./termios.ts";
import {
  clearLineEnds,
  INPUT_BYTES,
  inputByte,
  inputUsed,
  outputUsed,
  putInput,
  setLineEnd,
  Tty,
} from "./tty.ts";

/** Characters that one transaction takes in: some stores for each, so that the log stays bounded (rule R3). */
export const INPUT_STEP = 512;

const NEWLINE = 10;
const RETURN = 13;
const TAB = 9;
const BELL = 7;
const BACKSPACE = 8;
const CARET = 0x5e;
const BACKSLASH = 0x5c;
const SLASH = 0x2f;

/** Bytes that the line discipline of a master buffers (N_TTY_BUF_SIZE). */
const MASTER_BYTES = 4096;

/** What TCIFLUSH and TCOFLUSH throw away. */
export function flushInput(tx: Transaction, tty: Tty): void {
  const tail = Tty.tail.get(tx, tty);
  Tty.head.set(tx, tty, tail);
  Tty.lines.set(tx, tty, tail);
  clearLineEnds(tx, tty);
  signalCondition(tx, Tty.inputRoom.at(tty));
  newsForMaster(tx, tty, PACKET.FLUSH_READ);
}

/**
 * Linux moves output to the master's buffer at once, where no flush reaches it any more: what a reader of the
 * master has not read of the first MASTER_BYTES stays.
 */
export function flushOutput(tx: Transaction, tty: Tty): void {
  if (outputUsed(tx, tty) > MASTER_BYTES) {
    Tty.outputTail.set(tx, tty, Tty.outputHead.get(tx, tty) + MASTER_BYTES);
    signalCondition(tx, Tty.writable.at(tty));
  }
  newsForMaster(tx, tty, PACKET.FLUSH_WRITE);
}

/** Control bytes of packet mode (TIOCPKT_*). */
export const PACKET = {
  DATA: 0,
  FLUSH_READ: 1,
  FLUSH_WRITE: 2,
  STOP: 4,
  START: 8,
  NO_STOP: 16,
  DO_STOP: 32,
} as const;

/** Tells a master in packet mode of something. */
export function newsForMaster(tx: Transaction, tty: Tty, bits: number): void {
  if (Tty.packet.get(tx, tty) === 0) return;
  Tty.packetNews.set(tx, tty, Tty.packetNews.get(tx, tty) | bits);
  signalCondition(tx, Tty.outputReady.at(tty));
}

/** Why output stands still: bits of Tty.stopped. */
export const STOPPED = { BY_CHARACTER: 1, BY_CALL: 2 } as const;

export function stopOutput(tx: Transaction, tty: Tty, by: number): void {
  const before = Tty.stopped.get(tx, tty);
  Tty.stopped.set(tx, tty, before | by);
  if (before === 0) newsForMaster(tx, tty, PACKET.STOP);
}

export function startOutput(tx: Transaction, tty: Tty, by: number): void {
  const before = Tty.stopped.get(tx, tty);
  if ((before & by) === 0) return;
  Tty.stopped.set(tx, tty, before & ~by);
  if ((before & ~by) !== 0) return;
  newsForMaster(tx, tty, PACKET.START);
  signalCondition(tx, Tty.writable.at(tty));
}

/** Whether a reader has something: a complete line, or in raw mode any byte. */
function isReadable(tx: Transaction, tty: Tty): boolean {
  const canonical = (Tty.localFlags.get(tx, tty) & L.ICANON) !== 0;
  return canonical ? Tty.lines.get(tx, tty) !== Tty.head.get(tx, tty) : inputUsed(tx, tty) > 0;
}

/** Whether the master must wait before it writes: the queue is full of what can be read. */
export function inputIsFull(tx: Transaction, tty: Tty): boolean {
  return inputUsed(tx, tty) >= INPUT_BYTES - 1 && isReadable(tx, tty);
}

/** One writing of the master, while it goes through the line discipline. The terminal is locked. */
class Receiver {
  readonly #tx: Transaction;
  readonly #tty: Tty;
  readonly #input: number;
  readonly #local: number;
  #output: Output;

  constructor(tx: Transaction, tty: Tty) {
    this.#tx = tx;
    this.#tty = tty;
    this.#input = Tty.inputFlags.get(tx, tty);
    this.#local = Tty.localFlags.get(tx, tty);
    this.#output = new Output(tx, tty, true);
  }

  finish(): void {
    this.#output.finish();
  }

  #is(character: number, index: number): boolean {
    const set = Tty.cc.get(this.#tx, this.#tty, index);
    return set !== DISABLED && set === character;
  }

  get #extended(): boolean {
    return (this.#local & L.IEXTEN) !== 0;
  }

  get #echoes(): boolean {
    return (this.#local & L.ECHO) !== 0;
  }

  get #lineIsEmpty(): boolean {
    return Tty.lines.get(this.#tx, this.#tty) === Tty.tail.get(this.#tx, this.#tty);
  }

  receive(typed: number): void {
    const tx = this.#tx;
    const tty = this.#tty;
    let c = typed;
    if ((this.#input & I.ISTRIP) !== 0) c &= 0x7f;
    if ((this.#input & I.IUCLC) !== 0 && this.#extended && c >= 0x41 && c <= 0x5a) c += 32;
    if (Tty.literal.get(tx, tty) !== 0) {
      Tty.literal.set(tx, tty, 0);
      return this.#plain(c);
    }
    const stopped = Tty.stopped.get(tx, tty) & STOPPED.BY_CHARACTER;
    const wakes = stopped !== 0 && (this.#input & (I.IXON | I.IXANY)) === (I.IXON | I.IXANY);
    if (wakes && !this.#isSpecial(c)) startOutput(tx, tty, STOPPED.BY_CHARACTER);
    if ((this.#input & I.IXON) !== 0) {
      if (this.#is(c, CC.VSTART)) return startOutput(tx, tty, STOPPED.BY_CHARACTER);
      if (this.#is(c, CC.VSTOP)) return stopOutput(tx, tty, STOPPED.BY_CHARACTER);
    }
    if ((this.#local & L.ISIG) !== 0) {
      if (this.#is(c, CC.VINTR)) return this.#signal(SIG.INT, c);
      if (this.#is(c, CC.VQUIT)) return this.#signal(SIG.QUIT, c);
      if (this.#is(c, CC.VSUSP)) return this.#signal(SIG.TSTP, c);
    }
    if (c === RETURN) {
      if ((this.#input & I.IGNCR) !== 0) return;
      if ((this.#input & I.ICRNL) !== 0) c = NEWLINE;
    } else if (c === NEWLINE && (this.#input & I.INLCR) !== 0) c = RETURN;
    if ((this.#local & L.ICANON) !== 0 && this.#edit(c)) return;
    this.#plain(c);
  }

  #isSpecial(c: number): boolean {
    return (
      this.#is(c, CC.VSTART) ||
      this.#is(c, CC.VSTOP) ||
      this.#is(c, CC.VINTR) ||
      this.#is(c, CC.VQUIT) ||
      this.#is(c, CC.VSUSP)
    );
  }

  #signal(signal: number, c: number): void {
    const tx = this.#tx;
    const tty = this.#tty;
    const group = Tty.foreground.get(tx, tty);
    if (group !== 0) jobControl().signalGroup(tx, group, signal);
    if ((this.#local & L.NOFLSH) === 0) {
      this.#output.finish();
      flushInput(tx, tty);
      flushOutput(tx, tty);
      this.#output = new Output(tx, tty, true);
    }
    if ((this.#input & I.IXON) !== 0) startOutput(tx, tty, STOPPED.BY_CHARACTER);
    if (this.#echoes) this.#output.echo(c, this.#local);
  }

  /** Editing characters of canonical mode; false if `c` is none. */
  #edit(c: number): boolean {
    if (this.#is(c, CC.VERASE) || this.#is(c, CC.VKILL) || (this.#is(c, CC.VWERASE) && this.#extended)) {
      this.#erase(c);
      return true;
    }
    if (this.#is(c, CC.VLNEXT) && this.#extended) {
      Tty.literal.set(this.#tx, this.#tty, 1);
      if (this.#echoes) {
        this.#endErasing();
        if ((this.#local & L.ECHOCTL) !== 0) {
          this.#output.raw(CARET);
          this.#output.raw(BACKSPACE);
        }
      }
      return true;
    }
    if (this.#is(c, CC.VREPRINT) && this.#echoes && this.#extended) {
      this.#reprint(c);
      return true;
    }
    if (c === NEWLINE) {
      if ((this.#local & (L.ECHO | L.ECHONL)) !== 0) {
        this.#endErasing();
        this.#output.put(NEWLINE);
      }
      this.#endLine(c);
      return true;
    }
    if (this.#is(c, CC.VEOF)) {
      this.#endLine(0);
      return true;
    }
    if (this.#is(c, CC.VEOL) || (this.#is(c, CC.VEOL2) && this.#extended)) {
      if (this.#echoes) {
        if (this.#lineIsEmpty) this.#output.lineColumn = this.#output.column;
        this.#output.echo(c, this.#local);
      }
      this.#endLine(c);
      return true;
    }
    return false;
  }

  /** A line ends with `c`; 0 is an end of file. There is always room for it: see #plain. */
  #endLine(c: number): void {
    const tx = this.#tx;
    const tty = this.#tty;
    if (inputUsed(tx, tty) >= INPUT_BYTES) return;
    setLineEnd(tx, tty, Tty.tail.get(tx, tty), true);
    putInput(tx, tty, c);
    Tty.lines.set(tx, tty, Tty.tail.get(tx, tty));
    signalCondition(tx, Tty.readable.at(tty));
  }

  /** A character that means itself. */
  #plain(c: number): void {
    const tx = this.#tx;
    const tty = this.#tty;
    const canonical = (this.#local & L.ICANON) !== 0;
    // One byte is kept for the end of the line.
    if (inputUsed(tx, tty) >= INPUT_BYTES - (canonical ? 1 : 0)) {
      if ((this.#input & I.IMAXBEL) !== 0) this.#output.raw(BELL);
      return;
    }
    if (this.#echoes) {
      this.#endErasing();
      if (c === NEWLINE) this.#output.put(NEWLINE);
      else {
        if (this.#lineIsEmpty) this.#output.lineColumn = this.#output.column;
        this.#output.echo(c, this.#local);
      }
    }
    if (c === 0xff && (this.#input & I.PARMRK) !== 0) putInput(tx, tty, c);
    const wasEmpty = inputUsed(tx, tty) === 0;
    putInput(tx, tty, c);
    if (canonical) return;
    Tty.lines.set(tx, tty, Tty.tail.get(tx, tty));
    // A reader may wait for a number of bytes, so it hears of each writing, but of each only once.
    if (wasEmpty || !this.#told) signalCondition(tx, Tty.readable.at(tty));
    this.#told = true;
  }

  #told = false;

  #endErasing(): void {
    if (Tty.erasing.get(this.#tx, this.#tty) === 0) return;
    this.#output.raw(SLASH);
    Tty.erasing.set(this.#tx, this.#tty, 0);
  }

  #reprint(c: number): void {
    this.#endErasing();
    this.#output.echo(c, this.#local);
    this.#output.put(NEWLINE);
    const tail = Tty.tail.get(this.#tx, this.#tty);
    for (let at = Tty.lines.get(this.#tx, this.#tty); at !== tail; at = (at + 1) >>> 0) {
      this.#output.echo(inputByte(this.#tx, this.#tty, at), this.#local);
    }
  }

  /** VERASE: a character. VWERASE: a word. VKILL: the line. */
  #erase(c: number): void {
    const tx = this.#tx;
    const tty = this.#tty;
    if (this.#lineIsEmpty) return;
    const utf8 = (this.#input & I.IUTF8) !== 0;
    const lines = Tty.lines.get(tx, tty);
    const kill = this.#is(c, CC.VKILL);
    const word = !kill && this.#is(c, CC.VWERASE) && !this.#is(c, CC.VERASE);
    if (kill) {
      const shows = (this.#local & (L.ECHOK | L.ECHOKE | L.ECHOE)) === (L.ECHOK | L.ECHOKE | L.ECHOE);
      if (!this.#echoes || !shows) {
        Tty.tail.set(tx, tty, lines);
        if (!this.#echoes) return;
        this.#endErasing();
        this.#output.echo(c, this.#local);
        if ((this.#local & L.ECHOK) !== 0) this.#output.put(NEWLINE);
        return;
      }
    }
    let inWord = false;
    while (Tty.tail.get(tx, tty) !== lines) {
      const tail = Tty.tail.get(tx, tty);
      let at = tail;
      let erased: number;
      do {
        at = (at - 1) >>> 0;
        erased = inputByte(tx, tty, at);
      } while (continues(erased, utf8) && at !== lines);
      if (continues(erased, utf8)) break;
      if (word) {
        if (isWordByte(erased)) inWord = true;
        else if (inWord) break;
      }
      const length = (tail - at) >>> 0;
      Tty.tail.set(tx, tty, at);
      if (this.#echoes) this.#showErased(erased, at, length, kill || word, c);
      if (!kill && !word) break;
    }
    if (this.#echoes && this.#lineIsEmpty) this.#endErasing();
  }

  #showErased(erased: number, at: number, length: number, several: boolean, c: number): void {
    const output = this.#output;
    if ((this.#local & L.ECHOPRT) !== 0) {
      if (Tty.erasing.get(this.#tx, this.#tty) === 0) {
        output.raw(BACKSLASH);
        Tty.erasing.set(this.#tx, this.#tty, 1);
      }
      output.echo(erased, this.#local);
      for (let i = 1; i < length; i++) output.raw(inputByte(this.#tx, this.#tty, at + i));
    } else if (!several && (this.#local & L.ECHOE) === 0) {
      output.echo(c, this.#local);
    } else if (erased === TAB) {
      const { columns, afterTab } = this.#columnsBefore(at);
      output.rubOutTab(columns, afterTab);
    } else {
      if (isControl(erased) && (this.#local & L.ECHOCTL) !== 0) output.rubOut();
      if (!isControl(erased) || (this.#local & L.ECHOCTL) !== 0) output.rubOut();
    }
  }

  /** Columns between position `at` of the line being typed and the tab before it, or the line's beginning. */
  #columnsBefore(end: number): { columns: number; afterTab: boolean } {
    const lines = Tty.lines.get(this.#tx, this.#tty);
    const utf8 = (this.#input & I.IUTF8) !== 0;
    let columns = 0;
    for (let at = end; at !== lines; ) {
      at = (at - 1) >>> 0;
      const byte = inputByte(this.#tx, this.#tty, at);
      if (byte === TAB) return { columns, afterTab: true };
      if (isControl(byte)) columns += (this.#local & L.ECHOCTL) !== 0 ? 2 : 0;
      else if (!continues(byte, utf8)) columns++;
    }
    return { columns, afterTab: false };
  }
}

/** Letters, digits and the underscore; letters as Linux counts them, by Latin-1, which most of UTF-8 begins with. */
function isWordByte(byte: number): boolean {
  const letter = byte | 0x20;
  if (byte >= 0xc0) return byte !== 0xd7 && byte !== 0xf7;
  return (letter >= 0x61 && letter <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x5f;
}

/** Takes in what the master writes; how many of `bytes` (at most INPUT_STEP) there was room for. */
export function receiveInput(tx: Transaction, tty: Tty, bytes: Uint8Array): number {
  const receiver = new Receiver(tx, tty);
  let done = 0;
  while (done < bytes.length && done < INPUT_STEP && !inputIsFull(tx, tty)) receiver.receive(bytes[done++]!);
  receiver.finish();
  return done;
}
