/**
 * Output: from programs and from echoes to the output queue, with the processing that termios(3) calls OPOST.
 * The rules are those of Linux's n_tty.c (do_output_char, process_echoes).
 */

import { defined } from "../../base/assert.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { hasWaiters, signalCondition } from "../../kernel/condition.ts";
import { L, O } from "./termios.ts";
import { ECHO_RESERVE, OUTPUT_BYTES, outputAt, outputUsed, storeByte, Tty } from "./tty.ts";

const TAB = 9;
const NEWLINE = 10;
const RETURN = 13;
const BACKSPACE = 8;
const SPACE = 32;
const CARET = 0x5e;
const DELETE = 127;
const TAB_STOP = 8;
/** Most bytes that one character becomes: a tab as spaces. */
const GREATEST = 8;

export function isControl(byte: number): boolean {
  return byte < 32 || byte === DELETE;
}

/** Whether the byte continues a UTF-8 character, if the terminal knows of UTF-8. */
export function continues(byte: number, utf8: boolean): boolean {
  return utf8 && (byte & 0xc0) === 0x80;
}

/**
 * Where output goes while one operation runs: the end of the queue and the cursor's column, which are stored
 * when the operation is done.
 */
export class Output {
  readonly #tx: Transaction;
  readonly #tty: Tty;
  readonly #flags: number;
  readonly #utf8: boolean;
  /** Whether bytes are stored through the log. */
  readonly #logged: boolean;
  readonly #wasEmpty: boolean;
  readonly #begin: number;
  #tail: number;
  #room: number;
  column: number;
  lineColumn: number;

  constructor(tx: Transaction, tty: Tty, logged: boolean) {
    this.#tx = tx;
    this.#tty = tty;
    this.#flags = Tty.outputFlags.get(tx, tty);
    this.#utf8 = (Tty.inputFlags.get(tx, tty) & 0o40000) !== 0;
    this.#logged = logged;
    this.#begin = Tty.outputTail.get(tx, tty);
    this.#tail = this.#begin;
    this.#wasEmpty = outputUsed(tx, tty) === 0;
    this.#room = OUTPUT_BYTES - outputUsed(tx, tty) - (logged ? 0 : ECHO_RESERVE);
    this.column = Tty.column.get(tx, tty);
    this.lineColumn = Tty.lineColumn.get(tx, tty);
  }

  /** Stores what has changed and tells the master. */
  finish(): void {
    const tx = this.#tx;
    if (this.column !== Tty.column.get(tx, this.#tty)) Tty.column.set(tx, this.#tty, this.column);
    if (this.lineColumn !== Tty.lineColumn.get(tx, this.#tty))
      Tty.lineColumn.set(tx, this.#tty, this.lineColumn);
    if (this.#tail === this.#begin) return;
    Tty.outputTail.set(tx, this.#tty, this.#tail);
    const ready = Tty.outputReady.at(this.#tty);
    if (this.#wasEmpty || hasWaiters(tx, ready)) signalCondition(tx, ready);
  }

  /** Whether any character can still be put. */
  get hasRoom(): boolean {
    return this.#room >= GREATEST;
  }

  /** Appends a byte as it is; drops it if there is no room (an echo that nobody reads). */
  raw(byte: number): void {
    if (this.#room <= 0) return;
    const at = outputAt(this.#tx, this.#tty, this.#tail);
    if (this.#logged) storeByte(this.#tx, at, byte);
    else this.#tx.bytes[at] = byte;
    this.#tail = (this.#tail + 1) >>> 0;
    this.#room--;
  }

  /** Appends a character as output processing turns it. */
  put(byte: number): void {
    if ((this.#flags & O.OPOST) === 0) return this.raw(byte);
    switch (byte) {
      case NEWLINE:
        if ((this.#flags & O.ONLRET) !== 0) this.column = 0;
        if ((this.#flags & O.ONLCR) !== 0) {
          this.raw(RETURN);
          this.column = 0;
        }
        this.lineColumn = this.column;
        return this.raw(NEWLINE);
      case RETURN:
        if ((this.#flags & O.ONOCR) !== 0 && this.column === 0) return;
        if ((this.#flags & O.OCRNL) !== 0) {
          if ((this.#flags & O.ONLRET) !== 0) this.lineColumn = this.column = 0;
          return this.raw(NEWLINE);
        }
        this.lineColumn = this.column = 0;
        return this.raw(RETURN);
      case TAB: {
        const spaces = TAB_STOP - (this.column & (TAB_STOP - 1));
        this.column += spaces;
        if ((this.#flags & O.TABDLY) !== O.XTABS) return this.raw(TAB);
        for (let i = 0; i < spaces; i++) this.raw(SPACE);
        return;
      }
      case BACKSPACE:
        if (this.column > 0) this.column--;
        return this.raw(BACKSPACE);
      default: {
        const upper = (this.#flags & O.OLCUC) !== 0 && byte >= 0x61 && byte <= 0x7a ? byte - 32 : byte;
        if (!isControl(byte) && !continues(byte, this.#utf8)) this.column++;
        return this.raw(upper);
      }
    }
  }

  /** Echoes a typed character: control characters as ^X, if the terminal says so. */
  echo(byte: number, localFlags: number): void {
    if ((localFlags & L.ECHOCTL) === 0 || !isControl(byte) || byte === TAB) return this.put(byte);
    this.raw(CARET);
    this.raw(byte ^ 0x40);
    this.column += 2;
  }

  /** Takes the character before the cursor off the screen. */
  rubOut(): void {
    this.put(BACKSPACE);
    this.put(SPACE);
    this.put(BACKSPACE);
  }

  /** Takes a tab off the screen, which stands `columns` behind the line's beginning or behind another tab. */
  rubOutTab(columns: number, afterTab: boolean): void {
    const column = columns + (afterTab ? 0 : this.lineColumn);
    for (let i = TAB_STOP - (column & (TAB_STOP - 1)); i > 0; i--) {
      this.raw(BACKSPACE);
      if (this.column > 0) this.column--;
    }
  }
}

/** Processes `bytes` into the output queue; how many of them there was room for. */
export function processOutput(tx: Transaction, tty: Tty, bytes: Uint8Array): number {
  const output = new Output(tx, tty, false);
  let done = 0;
  while (done < bytes.length && output.hasRoom) output.put(defined(bytes[done++], "byte"));
  output.finish();
  return done;
}
