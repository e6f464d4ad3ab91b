/**
 * Pseudo-terminals: the record of a pair (master and slave), its two queues, and the table of indices.
 *
 *     master write ──▶ line discipline ──▶ input queue ──▶ slave read
 *                            │ echo
 *     master read  ◀── output queue ◀── output processing ◀── slave write
 *
 * The **input queue** is a ring of INPUT_BYTES. Positions run on for ever, modulo 2^32:
 *
 *        head                 lines               tail
 *     ----+--------------------+-------------------+----
 *         |  complete lines    |  line being typed |
 *     ----+--------------------+-------------------+----
 *
 * In canonical mode a reader gets what lies before `lines`; a bit for each byte tells that a line ends with it.
 * An end of file (VEOF) is a byte with that bit and the value 0. Its bytes are stored through the log, because
 * an erased character's place is written again.
 *
 * The **output queue** is a ring of OUTPUT_BYTES, of which the last ECHO_RESERVE bytes are for echoes. What a
 * program writes goes there unlogged, beyond the committed tail (rule R9); an echo goes there through the log,
 * because it may follow a flush in the same transaction.
 *
 * `lock` (rank "tty") guards every field of its record and the bytes. The table (root "tty") has a lock of the
 * same rank; it is placed at boot, before any record, so it comes first by address, too.
 *
 * Invariants
 *   TT1  Neither queue holds more than its ring; head ≤ lines ≤ tail of the input queue.
 *   TT2  A terminal has its pages, and each page belongs to one terminal.
 *   TT3  masters and slaves are the open files of those ends; one of them is not 0.
 *   TT4  Entry i of the table is a live terminal with index i that has a master; each such terminal is there.
 *   TT5  A line-end bit is set only for a byte between head and lines.
 *   TT6  A terminal without a session has no foreground group.
 */

import { liveRecords, registerInvariant } from "../../heap/check.ts";
import { type HeapAddr, type HeapView, placeRoot } from "../../heap/heap.ts";
import {
  bytes,
  condition,
  defineRecord,
  i32,
  lock,
  ref,
  refs,
  type Ref,
  u32,
  words,
} from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File, FILE_KINDS } from "../../kernel/file.ts";
import { NCCS } from "./termios.ts";

export const INPUT_BYTES = 4096;
export const PAGE_BYTES = 4096;
const OUTPUT_PAGES = 4;
export const OUTPUT_BYTES: number = OUTPUT_PAGES * PAGE_BYTES;
/** Bytes of the output queue that programs may not fill. */
export const ECHO_RESERVE = 1024;
/** Terminals at one time. */
export const TTYS_MAX = 256;

export const TtyPage = defineRecord("tty-page", { bytes: bytes(PAGE_BYTES) });

export const Tty = defineRecord("tty", {
  lock: lock("tty"),
  /** N of /dev/pts/N. */
  index: u32(),
  /** Who owns /dev/pts/N: the user for whom the master was opened. */
  owner: u32(),
  /** Open files of each end. */
  masters: u32(),
  slaves: u32(),
  /** 1 once the slave has been opened: before, its absence is not a hang-up. */
  slaveSeen: u32(),
  /** 1 until the master unlocks the slave (unlockpt). */
  locked: u32(),
  /** 1 once the master is gone: the slave's files are dead. */
  hungUp: u32(),
  /** TIOCEXCL. */
  exclusive: u32(),
  /** Session whose controlling terminal this is, and its foreground process group; 0: none. */
  session: u32(),
  foreground: u32(),
  inputFlags: u32(),
  outputFlags: u32(),
  controlFlags: u32(),
  localFlags: u32(),
  line: u32(),
  inputSpeed: u32(),
  outputSpeed: u32(),
  cc: words(NCCS),
  rows: u32(),
  columns: u32(),
  xPixels: u32(),
  yPixels: u32(),
  /** Packet mode of the master, and what it has not yet been told (PACKET bits). */
  packet: u32(),
  packetNews: u32(),
  /** Output is stopped: bit 0 by the stop character, bit 1 by tcflow. */
  stopped: u32(),
  /** The next character is taken literally. */
  literal: u32(),
  /** ECHOPRT is in the middle of an erasure. */
  erasing: u32(),
  /** The cursor's column, and where the line being typed began. */
  column: i32(),
  lineColumn: i32(),
  head: u32(),
  lines: u32(),
  tail: u32(),
  outputHead: u32(),
  outputTail: u32(),
  /** The slave has something to read. */
  readable: condition(),
  /** The slave may write. */
  writable: condition(),
  /** The master has something to read. */
  outputReady: condition(),
  /** The master may write. */
  inputRoom: condition(),
  lineEnds: words(INPUT_BYTES / 32),
  input: ref("tty-page"),
  output: refs("tty-page", OUTPUT_PAGES),
});
export type Tty = Ref<"tty">;

/** Ends of a terminal, in File.detail. */
export const SIDE = { SLAVE: 0, MASTER: 1 } as const;

// The table.

const TABLE = { lock: 0, first: 16 } as const;

/** Places the table of terminals. Once, at boot, before the first record is allocated. */
export function placeTerminals(view: HeapView): void {
  placeRoot(view, "tty", TABLE.first + TTYS_MAX);
}

export function tableLock(view: HeapView): HeapAddr {
  return view.root("tty") + TABLE.lock;
}

export function tableEntry(view: HeapView, index: number): HeapAddr {
  return view.root("tty") + TABLE.first + index;
}

/** The terminal behind /dev/pts/`index`, none if there is none. */
export function terminalAt(view: HeapView, index: number): Tty {
  return index < TTYS_MAX ? (view.words[tableEntry(view, index)]! as Tty) : (0 as Tty);
}

/** The indices in use: what /dev/pts lists. */
export function terminalIndices(view: HeapView): number[] {
  const indices: number[] = [];
  for (let index = 0; index < TTYS_MAX; index++) if (terminalAt(view, index) !== 0) indices.push(index);
  return indices;
}

// The input queue.

/** Stores a byte at byte offset `at` of the heap through the log. */
export function storeByte(tx: Transaction, at: number, value: number): void {
  const word = at >>> 2;
  const shift = (at & 3) * 8;
  tx.store(word, (tx.words[word]! & ~(0xff << shift)) | (value << shift));
}

export function inputUsed(view: HeapView, tty: Tty): number {
  return (Tty.tail.get(view, tty) - Tty.head.get(view, tty)) >>> 0;
}

export function inputByte(view: HeapView, tty: Tty, position: number): number {
  return view.bytes[TtyPage.bytes.at(Tty.input.get(view, tty)) + (position & (INPUT_BYTES - 1))]!;
}

/** Appends a byte to the input queue, which must have room. */
export function putInput(tx: Transaction, tty: Tty, byte: number): void {
  const tail = Tty.tail.get(tx, tty);
  storeByte(tx, TtyPage.bytes.at(Tty.input.get(tx, tty)) + (tail & (INPUT_BYTES - 1)), byte);
  Tty.tail.set(tx, tty, tail + 1);
}

export function endsLine(view: HeapView, tty: Tty, position: number): boolean {
  const index = position & (INPUT_BYTES - 1);
  return ((Tty.lineEnds.get(view, tty, index >> 5) >>> (index & 31)) & 1) !== 0;
}

export function setLineEnd(tx: Transaction, tty: Tty, position: number, ends: boolean): void {
  const index = position & (INPUT_BYTES - 1);
  const old = Tty.lineEnds.get(tx, tty, index >> 5);
  const bit = 1 << (index & 31);
  const value = ends ? old | bit : old & ~bit;
  if (value !== old) Tty.lineEnds.set(tx, tty, index >> 5, value);
}

/** Forgets all line ends. */
export function clearLineEnds(tx: Transaction, tty: Tty): void {
  for (let i = 0; i < INPUT_BYTES / 32; i++) {
    if (Tty.lineEnds.get(tx, tty, i) !== 0) Tty.lineEnds.set(tx, tty, i, 0);
  }
}

// The output queue.

export function outputUsed(view: HeapView, tty: Tty): number {
  return (Tty.outputTail.get(view, tty) - Tty.outputHead.get(view, tty)) >>> 0;
}

/** Byte offset in the heap of position `position` of the output queue. */
export function outputAt(view: HeapView, tty: Tty, position: number): number {
  const at = position & (OUTPUT_BYTES - 1);
  return TtyPage.bytes.at(Tty.output.get(view, tty, (at / PAGE_BYTES) | 0)) + (at & (PAGE_BYTES - 1));
}

// Invariants.

registerInvariant({
  id: "TT1",
  statement: "a terminal's queues hold no more than their rings, and its lines end between head and tail",
  check(view, report) {
    for (const tty of liveRecords(view, Tty.schema)) {
      const lines = (Tty.lines.get(view, tty) - Tty.head.get(view, tty)) >>> 0;
      if (inputUsed(view, tty) > INPUT_BYTES)
        report(`terminal ${tty} holds ${inputUsed(view, tty)} bytes of input`);
      if (lines > inputUsed(view, tty))
        report(`terminal ${tty}: ${lines} bytes of lines in ${inputUsed(view, tty)}`);
      if (outputUsed(view, tty) > OUTPUT_BYTES)
        report(`terminal ${tty} holds ${outputUsed(view, tty)} bytes of output`);
    }
  },
});

registerInvariant({
  id: "TT2",
  statement: "a terminal has its pages, and each page belongs to one terminal",
  check(view, report) {
    const owners = new Map<number, number>();
    for (const tty of liveRecords(view, Tty.schema)) {
      for (let i = -1; i < OUTPUT_PAGES; i++) {
        const page = i < 0 ? Tty.input.get(view, tty) : Tty.output.get(view, tty, i);
        if (page === 0) report(`terminal ${tty} lacks page ${i}`);
        owners.set(page, (owners.get(page) ?? 0) + 1);
      }
    }
    for (const page of liveRecords(view, TtyPage.schema)) {
      if (owners.get(page) !== 1) report(`page ${page} belongs to ${owners.get(page) ?? 0} terminals`);
    }
  },
});

registerInvariant({
  id: "TT3",
  statement: "a terminal's masters and slaves are the open files of those ends, and there is one",
  check(view, report) {
    const files = new Map<string, number>();
    for (const file of liveRecords(view, File.schema)) {
      if (File.kind.get(view, file) !== FILE_KINDS.indexOf("tty")) continue;
      const key = `${File.object.get(view, file)} ${File.detail.get(view, file)}`;
      files.set(key, (files.get(key) ?? 0) + 1);
    }
    for (const tty of liveRecords(view, Tty.schema)) {
      const slaves = files.get(`${tty} ${SIDE.SLAVE}`) ?? 0;
      const masters = files.get(`${tty} ${SIDE.MASTER}`) ?? 0;
      if (slaves !== Tty.slaves.get(view, tty) || masters !== Tty.masters.get(view, tty)) {
        const counts = `${Tty.slaves.get(view, tty)} slaves and ${Tty.masters.get(view, tty)} masters`;
        report(`terminal ${tty} counts ${counts}; its files are ${slaves} and ${masters}`);
      }
      if (slaves + masters === 0) report(`terminal ${tty} has no end`);
    }
  },
});

registerInvariant({
  id: "TT4",
  statement: "the table leads from each index to the terminal with that index and a master",
  check(view, report) {
    if (view.root("tty") === 0) return;
    for (let index = 0; index < TTYS_MAX; index++) {
      const tty = terminalAt(view, index);
      if (tty === 0) continue;
      const right =
        Tty.isLive(view, tty) && Tty.index.get(view, tty) === index && Tty.masters.get(view, tty) > 0;
      if (!right) report(`entry ${index} leads to ${tty}`);
    }
    for (const tty of liveRecords(view, Tty.schema)) {
      if (Tty.masters.get(view, tty) > 0 && terminalAt(view, Tty.index.get(view, tty)) !== tty) {
        report(`terminal ${tty}, index ${Tty.index.get(view, tty)}, is not in the table`);
      }
    }
  },
});

registerInvariant({
  id: "TT5",
  statement: "only bytes of complete lines end a line",
  check(view, report) {
    for (const tty of liveRecords(view, Tty.schema)) {
      const head = Tty.head.get(view, tty);
      const lines = (Tty.lines.get(view, tty) - head) >>> 0;
      for (let i = lines; i < INPUT_BYTES; i++) {
        if (endsLine(view, tty, head + i)) report(`terminal ${tty}: position ${head + i} ends a line`);
      }
    }
  },
});

registerInvariant({
  id: "TT6",
  statement: "a terminal without a session has no foreground group",
  check(view, report) {
    for (const tty of liveRecords(view, Tty.schema)) {
      if (Tty.session.get(view, tty) === 0 && Tty.foreground.get(view, tty) !== 0) {
        report(`terminal ${tty} has the foreground group ${Tty.foreground.get(view, tty)}`);
      }
    }
  },
});
