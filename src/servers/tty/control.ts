/**
 * The ioctls of terminals, as one typed operation: command and argument are numbers, and a structure that the
 * command copies lies in the request's segments (TTY_IOCTLS says which, and how long).
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { jobControl } from "../../kernel/job-control.ts";
import { bytesFromSegments, bytesToSegments } from "../../kernel/request.ts";
import { SIG } from "../../kernel/signal.ts";
import { flushInput, flushOutput, newsForMaster, PACKET, startOutput, STOPPED, stopOutput } from "./input.ts";
import {
  checkBackgroundWrite,
  foregroundGroup,
  giveUpTerminal,
  sessionOf,
  setControlling,
  setForegroundGroup,
} from "./job.ts";
import { available } from "./transfer.ts";
import {
  CC,
  I,
  IOCTL,
  L,
  NCCS,
  TERMIOS2_BYTES,
  TERMIOS_BYTES,
  TTY_IOCTLS,
  WINSIZE_BYTES,
} from "./termios.ts";
import { clearLineEnds, inputUsed, setLineEnd, SIDE, Tty } from "./tty.ts";

/** Queue selectors of tcflush, actions of tcflow. */
const TCIFLUSH = 0;
const TCOFLUSH = 1;
const TCIOFLUSH = 2;
const FLOW = { OUT_OFF: 0, OUT_ON: 1, IN_OFF: 2, IN_ON: 3 } as const;

/** Commands by which a program in the background changes the terminal: it gets SIGTTOU. */
const CHANGES: ReadonlySet<number> = new Set([
  IOCTL.TCSETS,
  IOCTL.TCSETSW,
  IOCTL.TCSETSF,
  IOCTL.TCSETS2,
  IOCTL.TCSETSW2,
  IOCTL.TCSETSF2,
  IOCTL.TCSBRK,
  IOCTL.TCSBRKP,
  IOCTL.TCXONC,
  IOCTL.TCFLSH,
  IOCTL.TIOCSBRK,
  IOCTL.TIOCCBRK,
]);

/** Carries out an ioctl. ENOTTY if terminals do not know it; the result is 0 but where Linux says otherwise. */
export function control(tx: Transaction, tty: Tty, side: number, command: number, argument: number): number {
  const shape = TTY_IOCTLS.get(command);
  if (shape === undefined) throw errno.ENOTTY;
  const isMaster = side === SIDE.MASTER;
  if (!isMaster && CHANGES.has(command)) checkBackgroundWrite(tx, tty, 0);
  switch (command) {
    case IOCTL.TIOCGPGRP:
      return putWord(tx, foregroundGroup(tx, tty, isMaster));
    case IOCTL.TIOCSPGRP:
      setForegroundGroup(tx, tty, isMaster, getWord(tx));
      return 0;
    case IOCTL.TIOCGSID:
      return putWord(tx, sessionOf(tx, tty, isMaster));
    case IOCTL.TIOCSCTTY:
      if (isMaster) throw errno.ENOTTY;
      setControlling(tx, tty);
      return 0;
    case IOCTL.TIOCNOTTY:
      giveUpTerminal(tx, tty);
      return 0;
    case IOCTL.FIONREAD:
      return putWord(tx, available(tx, tty, side));
    default:
  }
  Tty.lock.acquire(tx, tty);
  if (!isMaster && Tty.hungUp.get(tx, tty) !== 0) throw errno.EIO;
  if (isMaster) {
    const done = masterControl(tx, tty, command);
    if (done) return 0;
  }
  switch (command) {
    case IOCTL.TCGETS:
      bytesToSegments(tx, 0, getSettings(tx, tty).subarray(0, TERMIOS_BYTES));
      return 0;
    case IOCTL.TCGETS2:
      bytesToSegments(tx, 0, getSettings(tx, tty));
      return 0;
    case IOCTL.TCSETSF:
    case IOCTL.TCSETSF2:
      flushInput(tx, tty);
      setSettings(tx, tty, shape.bytes);
      return 0;
    case IOCTL.TCSETS:
    case IOCTL.TCSETSW:
    case IOCTL.TCSETS2:
    case IOCTL.TCSETSW2:
      // What a pseudo-terminal has written has left it: there is nothing to drain.
      setSettings(tx, tty, shape.bytes);
      return 0;
    case IOCTL.TIOCGWINSZ:
      bytesToSegments(tx, 0, getWindow(tx, tty));
      return 0;
    case IOCTL.TIOCSWINSZ:
      setWindow(tx, tty);
      return 0;
    case IOCTL.TCFLSH:
      flush(tx, tty, argument);
      return 0;
    case IOCTL.TCXONC:
      flow(tx, tty, argument);
      return 0;
    case IOCTL.TIOCEXCL:
      Tty.exclusive.set(tx, tty, 1);
      return 0;
    case IOCTL.TIOCNXCL:
      Tty.exclusive.set(tx, tty, 0);
      return 0;
    case IOCTL.TIOCGEXCL:
      return putWord(tx, Tty.exclusive.get(tx, tty));
    case IOCTL.TIOCOUTQ:
    case IOCTL.TIOCGETD:
      return putWord(tx, 0);
    case IOCTL.TIOCSETD:
      if (getWord(tx) !== 0) throw errno.EINVAL;
      return 0;
    case IOCTL.TIOCSTI:
      throw errno.EPERM;
    case IOCTL.TCSBRK:
    case IOCTL.TCSBRKP:
    case IOCTL.TIOCSBRK:
    case IOCTL.TIOCCBRK:
      return 0;
    default:
      throw errno.ENOTTY;
  }
}

/** The commands that only a master knows; false if `command` is none of them. */
function masterControl(tx: Transaction, tty: Tty, command: number): boolean {
  switch (command) {
    case IOCTL.TIOCGPTN:
      putWord(tx, Tty.index.get(tx, tty));
      return true;
    case IOCTL.TIOCSPTLCK:
      Tty.locked.set(tx, tty, getWord(tx) === 0 ? 0 : 1);
      return true;
    case IOCTL.TIOCGPTLCK:
      putWord(tx, Tty.locked.get(tx, tty));
      return true;
    case IOCTL.TIOCPKT:
      Tty.packet.set(tx, tty, getWord(tx) === 0 ? 0 : 1);
      Tty.packetNews.set(tx, tty, 0);
      return true;
    case IOCTL.TIOCGPKT:
      putWord(tx, Tty.packet.get(tx, tty));
      return true;
    default:
      return false;
  }
}

/** TIOCSIG: the master sends a signal to the foreground group. */
export function signalFromMaster(tx: Transaction, tty: Tty, signal: number): void {
  if (signal !== SIG.INT && signal !== SIG.QUIT && signal !== SIG.TSTP) throw errno.EINVAL;
  Tty.lock.acquire(tx, tty);
  const group = Tty.foreground.get(tx, tty);
  if (group !== 0) jobControl().signalGroup(tx, group, signal);
}

// Structures in the segments.

function putWord(tx: Transaction, value: number): number {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  bytesToSegments(tx, 0, bytes);
  return 0;
}

function getWord(tx: Transaction): number {
  const bytes = new Uint8Array(4);
  bytesFromSegments(tx, 0, bytes);
  return new DataView(bytes.buffer).getInt32(0, true);
}

function getSettings(tx: Transaction, tty: Tty): Uint8Array {
  const bytes = new Uint8Array(TERMIOS2_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Tty.inputFlags.get(tx, tty), true);
  view.setUint32(4, Tty.outputFlags.get(tx, tty), true);
  view.setUint32(8, Tty.controlFlags.get(tx, tty), true);
  view.setUint32(12, Tty.localFlags.get(tx, tty), true);
  bytes[16] = Tty.line.get(tx, tty);
  for (let i = 0; i < NCCS; i++) bytes[17 + i] = Tty.cc.get(tx, tty, i);
  view.setUint32(36, Tty.inputSpeed.get(tx, tty), true);
  view.setUint32(40, Tty.outputSpeed.get(tx, tty), true);
  return bytes;
}

function setSettings(tx: Transaction, tty: Tty, length: number): void {
  const bytes = new Uint8Array(length);
  bytesFromSegments(tx, 0, bytes);
  const view = new DataView(bytes.buffer);
  const oldLocal = Tty.localFlags.get(tx, tty);
  const oldInput = Tty.inputFlags.get(tx, tty);
  const local = view.getUint32(12, true);
  const input = view.getUint32(0, true);
  Tty.inputFlags.set(tx, tty, input);
  Tty.outputFlags.set(tx, tty, view.getUint32(4, true));
  // A pseudo-terminal has eight bits, no parity, and a receiver that is always on.
  Tty.controlFlags.set(tx, tty, (view.getUint32(8, true) & ~(0o60 | 0o400)) | 0o60 | 0o200);
  Tty.localFlags.set(tx, tty, local);
  const oldStop = [Tty.cc.get(tx, tty, CC.VSTART), Tty.cc.get(tx, tty, CC.VSTOP)];
  for (let i = 0; i < NCCS; i++) {
    if (Tty.cc.get(tx, tty, i) !== bytes[17 + i]) Tty.cc.set(tx, tty, i, bytes[17 + i]!);
  }
  if (length === TERMIOS2_BYTES) {
    Tty.inputSpeed.set(tx, tty, view.getUint32(36, true));
    Tty.outputSpeed.set(tx, tty, view.getUint32(40, true));
  }
  if (((oldLocal ^ local) & L.ICANON) !== 0) changeMode(tx, tty, (local & L.ICANON) !== 0);
  if ((oldInput & I.IXON) !== 0 && (input & I.IXON) === 0) startOutput(tx, tty, STOPPED.BY_CHARACTER);
  const newStop = [Tty.cc.get(tx, tty, CC.VSTART), Tty.cc.get(tx, tty, CC.VSTOP)];
  const stops = (flags: number, characters: readonly number[]): boolean =>
    (flags & I.IXON) !== 0 && characters[0] === 0o21 && characters[1] === 0o23;
  if (stops(oldInput, oldStop) !== stops(input, newStop)) {
    newsForMaster(tx, tty, stops(input, newStop) ? PACKET.DO_STOP : PACKET.NO_STOP);
  }
}

/** ICANON has changed: what is in the queue becomes a line, or plain bytes (n_tty_set_termios). */
function changeMode(tx: Transaction, tty: Tty, canonical: boolean): void {
  const tail = Tty.tail.get(tx, tty);
  clearLineEnds(tx, tty);
  if (canonical && inputUsed(tx, tty) > 0) setLineEnd(tx, tty, tail - 1, true);
  Tty.lines.set(tx, tty, tail);
  Tty.literal.set(tx, tty, 0);
  Tty.erasing.set(tx, tty, 0);
  if (inputUsed(tx, tty) > 0) signalCondition(tx, Tty.readable.at(tty));
}

function getWindow(tx: Transaction, tty: Tty): Uint8Array {
  const bytes = new Uint8Array(WINSIZE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, Tty.rows.get(tx, tty), true);
  view.setUint16(2, Tty.columns.get(tx, tty), true);
  view.setUint16(4, Tty.xPixels.get(tx, tty), true);
  view.setUint16(6, Tty.yPixels.get(tx, tty), true);
  return bytes;
}

function setWindow(tx: Transaction, tty: Tty): void {
  const bytes = new Uint8Array(WINSIZE_BYTES);
  bytesFromSegments(tx, 0, bytes);
  const view = new DataView(bytes.buffer);
  resize(
    tx,
    tty,
    view.getUint16(0, true),
    view.getUint16(2, true),
    view.getUint16(4, true),
    view.getUint16(6, true),
  );
}

/** The window has another size: SIGWINCH to the foreground group, if it really has. */
export function resize(
  tx: Transaction,
  tty: Tty,
  rows: number,
  columns: number,
  xPixels: number,
  yPixels: number,
): void {
  Tty.lock.acquire(tx, tty);
  const same =
    Tty.rows.get(tx, tty) === rows &&
    Tty.columns.get(tx, tty) === columns &&
    Tty.xPixels.get(tx, tty) === xPixels &&
    Tty.yPixels.get(tx, tty) === yPixels;
  if (same) return;
  Tty.rows.set(tx, tty, rows);
  Tty.columns.set(tx, tty, columns);
  Tty.xPixels.set(tx, tty, xPixels);
  Tty.yPixels.set(tx, tty, yPixels);
  const group = Tty.foreground.get(tx, tty);
  if (group !== 0) jobControl().signalGroup(tx, group, SIG.WINCH);
}

function flush(tx: Transaction, tty: Tty, queue: number): void {
  if (queue !== TCIFLUSH && queue !== TCOFLUSH && queue !== TCIOFLUSH) throw errno.EINVAL;
  if (queue !== TCOFLUSH) flushInput(tx, tty);
  if (queue !== TCIFLUSH) flushOutput(tx, tty);
}

function flow(tx: Transaction, tty: Tty, action: number): void {
  switch (action) {
    case FLOW.OUT_OFF:
      return stopOutput(tx, tty, STOPPED.BY_CALL);
    case FLOW.OUT_ON:
      return startOutput(tx, tty, STOPPED.BY_CALL);
    case FLOW.IN_OFF:
    case FLOW.IN_ON:
      // The stop and start characters would go to the other end, which is a program: Linux sends them, nobody
      // looks at them.
      return;
    default:
      throw errno.EINVAL;
  }
}
