/**
 * Reading and writing at both ends of a terminal, and what may be read or written without waiting.
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { POLL } from "../../kernel/file.ts";
import { jobControl } from "../../kernel/job-control.ts";
import { bytesFromSegments, bytesToSegments, noteWait, waitFor } from "../../kernel/request.ts";
import { threadOf } from "../../kernel/thread.ts";
import { checkBackgroundRead, checkBackgroundWrite } from "./job.ts";
import { inputIsFull, INPUT_STEP, receiveInput } from "./input.ts";
import { processOutput } from "./output.ts";
import { CC, L } from "./termios.ts";
import {
  ECHO_RESERVE,
  endsLine,
  INPUT_BYTES,
  inputByte,
  inputUsed,
  OUTPUT_BYTES,
  outputAt,
  outputUsed,
  PAGE_BYTES,
  setLineEnd,
  SIDE,
  Tty,
} from "./tty.ts";

/** Bytes that one write of a program takes at most. */
const WRITE_STEP = 4096;
/** VTIME counts in tenths of a second. */
const TENTH_NS = 1e8;
/** A program that waits for room is woken when there is this much. */
const ROOM_WANTED = 256;

type Flag = boolean | number;

// The slave: programs.

export function readSlave(tx: Transaction, tty: Tty, length: number, nonblock: Flag): number {
  checkBackgroundRead(tx, tty);
  Tty.lock.acquire(tx, tty);
  if (length === 0) return 0;
  const canonical = (Tty.localFlags.get(tx, tty) & L.ICANON) !== 0;
  if (canonical ? Tty.lines.get(tx, tty) !== Tty.head.get(tx, tty) : rawReady(tx, tty, length)) {
    return canonical ? readLine(tx, tty, length) : readRaw(tx, tty, length);
  }
  if (Tty.hungUp.get(tx, tty) !== 0) return 0;
  if (!canonical && Tty.cc.get(tx, tty, CC.VMIN) === 0 && Tty.cc.get(tx, tty, CC.VTIME) === 0) return 0;
  if (nonblock) throw errno.EAGAIN;
  if (!canonical && timeIsUp(tx, tty)) return readRaw(tx, tty, length);
  throw waitFor(tx, Tty.readable.at(tty));
}

/** Whether a raw read of `length` bytes need not wait, by VMIN. */
function rawReady(tx: Transaction, tty: Tty, length: number): boolean {
  const used = inputUsed(tx, tty);
  return used > 0 && used >= Math.min(Tty.cc.get(tx, tty, CC.VMIN), length, INPUT_BYTES - 1);
}

/** Whether a raw read that lacks bytes has waited as long as VTIME says. */
function timeIsUp(tx: Transaction, tty: Tty): boolean {
  const tenths = Tty.cc.get(tx, tty, CC.VTIME);
  // With VMIN the clock runs from the first byte on.
  if (tenths === 0 || (Tty.cc.get(tx, tty, CC.VMIN) > 0 && inputUsed(tx, tty) === 0)) return false;
  return threadOf(tx).clock.monotonic() >= jobControl().deadlineIn(tx, tenths * TENTH_NS);
}

function readLine(tx: Transaction, tty: Tty, length: number): number {
  const head = Tty.head.get(tx, tty);
  const available = (Tty.lines.get(tx, tty) - head) >>> 0;
  const bytes: number[] = [];
  let taken = 0;
  let ended = false;
  while (!ended && taken < available && bytes.length < length) {
    const byte = inputByte(tx, tty, head + taken);
    ended = endsLine(tx, tty, head + taken);
    if (ended) setLineEnd(tx, tty, head + taken, false);
    if (!(ended && byte === 0)) bytes.push(byte);
    taken++;
  }
  // An end of file right behind what filled the buffer belongs to it; else it would be a second, empty read.
  if (
    !ended &&
    taken < available &&
    endsLine(tx, tty, head + taken) &&
    inputByte(tx, tty, head + taken) === 0
  ) {
    setLineEnd(tx, tty, head + taken, false);
    taken++;
  }
  return consume(tx, tty, bytes, taken);
}

function readRaw(tx: Transaction, tty: Tty, length: number): number {
  const head = Tty.head.get(tx, tty);
  const count = Math.min(inputUsed(tx, tty), length);
  const bytes: number[] = [];
  for (let i = 0; i < count; i++) bytes.push(inputByte(tx, tty, head + i));
  return consume(tx, tty, bytes, count);
}

function consume(tx: Transaction, tty: Tty, bytes: readonly number[], taken: number): number {
  const wasFull = inputIsFull(tx, tty);
  const head = Tty.head.get(tx, tty) + taken;
  Tty.head.set(tx, tty, head);
  if ((Tty.localFlags.get(tx, tty) & L.ICANON) === 0) Tty.lines.set(tx, tty, Tty.tail.get(tx, tty));
  if (wasFull) signalCondition(tx, Tty.inputRoom.at(tty));
  if (bytes.length > 0) bytesToSegments(tx, 0, Uint8Array.from(bytes));
  return bytes.length;
}

export function writeSlave(tx: Transaction, tty: Tty, length: number, nonblock: Flag): number {
  checkBackgroundWrite(tx, tty, L.TOSTOP);
  Tty.lock.acquire(tx, tty);
  if (Tty.hungUp.get(tx, tty) !== 0) throw errno.EIO;
  if (length === 0) return 0;
  if (!writableNow(tx, tty)) {
    if (nonblock) throw errno.EAGAIN;
    throw waitFor(tx, Tty.writable.at(tty));
  }
  const bytes = new Uint8Array(Math.min(length, WRITE_STEP));
  bytesFromSegments(tx, 0, bytes);
  return processOutput(tx, tty, bytes);
}

function writableNow(tx: Transaction, tty: Tty): boolean {
  return Tty.stopped.get(tx, tty) === 0 && OUTPUT_BYTES - ECHO_RESERVE - outputUsed(tx, tty) >= ROOM_WANTED;
}

// The master: the terminal itself.

export function readMaster(tx: Transaction, tty: Tty, length: number, nonblock: Flag): number {
  Tty.lock.acquire(tx, tty);
  if (length === 0) return 0;
  const packet = Tty.packet.get(tx, tty) !== 0;
  const news = Tty.packetNews.get(tx, tty);
  if (packet && news !== 0) {
    Tty.packetNews.set(tx, tty, 0);
    bytesToSegments(tx, 0, Uint8Array.of(news));
    return 1;
  }
  const used = outputUsed(tx, tty);
  if (used === 0) {
    if (slaveIsGone(tx, tty)) throw errno.EIO;
    if (nonblock) throw errno.EAGAIN;
    throw waitFor(tx, Tty.outputReady.at(tty));
  }
  const prefix = packet ? 1 : 0;
  const count = Math.min(used, length - prefix);
  const head = Tty.outputHead.get(tx, tty);
  const wasFull = !hasRoom(tx, tty);
  if (packet) bytesToSegments(tx, 0, Uint8Array.of(0));
  for (let done = 0; done < count; ) {
    const run = Math.min(count - done, PAGE_BYTES - ((head + done) & (PAGE_BYTES - 1)));
    const at = outputAt(tx, tty, head + done);
    bytesToSegments(tx, prefix + done, tx.bytes.subarray(at, at + run));
    done += run;
  }
  Tty.outputHead.set(tx, tty, head + count);
  if (wasFull && hasRoom(tx, tty)) signalCondition(tx, Tty.writable.at(tty));
  return prefix + count;
}

function hasRoom(tx: Transaction, tty: Tty): boolean {
  return OUTPUT_BYTES - ECHO_RESERVE - outputUsed(tx, tty) >= ROOM_WANTED;
}

function slaveIsGone(tx: Transaction, tty: Tty): boolean {
  return Tty.slaves.get(tx, tty) === 0 && Tty.slaveSeen.get(tx, tty) !== 0;
}

export function writeMaster(tx: Transaction, tty: Tty, length: number, nonblock: Flag): number {
  Tty.lock.acquire(tx, tty);
  if (length === 0) return 0;
  if (slaveIsGone(tx, tty)) throw errno.EIO;
  if (inputIsFull(tx, tty)) {
    if (nonblock) throw errno.EAGAIN;
    throw waitFor(tx, Tty.inputRoom.at(tty));
  }
  const bytes = new Uint8Array(Math.min(length, INPUT_STEP));
  bytesFromSegments(tx, 0, bytes);
  return receiveInput(tx, tty, bytes);
}

// Poll and FIONREAD.

/** Bytes that a reader of the given end could get now (FIONREAD); ends of file do not count. */
export function available(tx: Transaction, tty: Tty, side: number): number {
  Tty.lock.acquire(tx, tty);
  if (side === SIDE.MASTER) return outputUsed(tx, tty);
  if ((Tty.localFlags.get(tx, tty) & L.ICANON) === 0) return inputUsed(tx, tty);
  const head = Tty.head.get(tx, tty);
  const count = (Tty.lines.get(tx, tty) - head) >>> 0;
  let ends = 0;
  for (let i = 0; i < count; i++) {
    if (endsLine(tx, tty, head + i) && inputByte(tx, tty, head + i) === 0) ends++;
  }
  return count - ends;
}

export function poll(tx: Transaction, tty: Tty, side: number, note: Flag): number {
  Tty.lock.acquire(tx, tty);
  const IN = POLL.IN | POLL.RDNORM;
  const OUT = POLL.OUT | POLL.WRNORM;
  let bits = 0;
  if (side === SIDE.MASTER) {
    if (outputUsed(tx, tty) > 0 || (Tty.packet.get(tx, tty) !== 0 && Tty.packetNews.get(tx, tty) !== 0))
      bits |= IN;
    if (Tty.packet.get(tx, tty) !== 0 && Tty.packetNews.get(tx, tty) !== 0) bits |= POLL.PRI;
    if (slaveIsGone(tx, tty)) bits |= POLL.HUP;
    if (!inputIsFull(tx, tty)) bits |= OUT;
    if (note) {
      noteWait(tx, Tty.outputReady.at(tty));
      noteWait(tx, Tty.inputRoom.at(tty));
    }
    return bits;
  }
  if (note) {
    noteWait(tx, Tty.readable.at(tty));
    noteWait(tx, Tty.writable.at(tty));
  }
  if (Tty.hungUp.get(tx, tty) !== 0) return IN | OUT | POLL.ERR | POLL.HUP;
  const canonical = (Tty.localFlags.get(tx, tty) & L.ICANON) !== 0;
  const wanted = Tty.cc.get(tx, tty, CC.VTIME) === 0 ? Math.max(1, Tty.cc.get(tx, tty, CC.VMIN)) : 1;
  const ready = canonical ? Tty.lines.get(tx, tty) !== Tty.head.get(tx, tty) : inputUsed(tx, tty) >= wanted;
  if (ready) bits |= IN;
  if (writableNow(tx, tty)) bits |= OUT;
  return bits;
}
