/**
 * The terminal server: opening and closing pseudo-terminals, its contract, and how open files reach it.
 *
 * The greatest log is that of INPUT_STEP characters that the master writes in canonical mode with echo: about
 * eight stores for each. The host's end of a terminal (a terminal that the embedder draws) is a master like
 * any other, which the host reads and writes by requests of its own.
 */

import { errno } from "../../base/errno.ts";
import { LOCK_RANK } from "../../base/lock-order.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { createFile, File, registerFileKind } from "../../kernel/file.ts";
import { jobControl } from "../../kernel/job-control.ts";
import { defineServer } from "../../kernel/placement.ts";
import { control, resize, signalFromMaster } from "./control.ts";
import { hangUp, takeTerminal } from "./job.ts";
import { DEFAULT_CC, DEFAULT_FLAGS, IOCTL } from "./termios.ts";
import { available, poll, readMaster, readSlave, writeMaster, writeSlave } from "./transfer.ts";
import {
  OUTPUT_BYTES,
  PAGE_BYTES,
  SIDE,
  tableEntry,
  tableLock,
  terminalAt,
  Tty,
  TtyPage,
  TTYS_MAX,
} from "./tty.ts";

/** A new pair whose master is open once: the caller makes its file in the same transaction. ENOSPC if all are in use. */
function openMaster(tx: Transaction, owner: number): number {
  tx.lock(tableLock(tx), LOCK_RANK.tty);
  let index = 0;
  while (index < TTYS_MAX && terminalAt(tx, index) !== 0) index++;
  if (index === TTYS_MAX) throw errno.ENOSPC;
  const tty = Tty.allocate(tx);
  Tty.index.init(tx, tty, index);
  Tty.owner.init(tx, tty, owner);
  Tty.masters.init(tx, tty, 1);
  Tty.locked.init(tx, tty, 1);
  Tty.inputFlags.init(tx, tty, DEFAULT_FLAGS.iflag);
  Tty.outputFlags.init(tx, tty, DEFAULT_FLAGS.oflag);
  Tty.controlFlags.init(tx, tty, DEFAULT_FLAGS.cflag);
  Tty.localFlags.init(tx, tty, DEFAULT_FLAGS.lflag);
  Tty.inputSpeed.init(tx, tty, DEFAULT_FLAGS.speed);
  Tty.outputSpeed.init(tx, tty, DEFAULT_FLAGS.speed);
  for (const [i, character] of DEFAULT_CC.entries()) Tty.cc.init(tx, tty, i, character);
  Tty.input.init(tx, tty, TtyPage.allocate(tx));
  for (let i = 0; i < OUTPUT_BYTES / PAGE_BYTES; i++) Tty.output.set(tx, tty, i, TtyPage.allocate(tx));
  tx.store(tableEntry(tx, index), tty);
  return tty;
}

/**
 * Opens the slave of terminal `index` once more and gives the terminal. ENXIO if there is none, EIO while it
 * is locked. A session leader without terminal gets it as its controlling terminal, unless `noControl`.
 * `privileged` overrides TIOCEXCL.
 */
function openSlave(
  tx: Transaction,
  index: number,
  noControl: boolean | number,
  privileged: boolean | number,
): number {
  const job = jobControl();
  const mayControl = !noControl && job.callerLeadsSession(tx) && job.callerTerminal(tx) === 0;
  if (mayControl) job.lock(tx);
  tx.lock(tableLock(tx), LOCK_RANK.tty);
  const tty = terminalAt(tx, index);
  if (tty === 0) throw errno.ENXIO;
  return openLocked(tx, tty, mayControl, Boolean(privileged));
}

/** Opens `tty` once more from a file or from /dev/tty, if its master is still there. */
function openAgain(tx: Transaction, tty: Tty, privileged: boolean | number): number {
  return openLocked(tx, tty, false, Boolean(privileged));
}

function openLocked(tx: Transaction, tty: Tty, mayControl: boolean, privileged: boolean): number {
  Tty.lock.acquire(tx, tty);
  // The caller may know the terminal from a process's record, which does not keep it.
  if (!Tty.isLive(tx, tty)) throw errno.EIO;
  if (Tty.locked.get(tx, tty) !== 0 || Tty.hungUp.get(tx, tty) !== 0) throw errno.EIO;
  if (Tty.exclusive.get(tx, tty) !== 0 && !privileged) throw errno.EBUSY;
  Tty.slaves.add(tx, tty, 1);
  Tty.slaveSeen.set(tx, tty, 1);
  if (mayControl && Tty.session.get(tx, tty) === 0) takeTerminal(tx, tty);
  return tty;
}

/** One open file of the given end less. With the last master the slave hangs up; with the last file all is gone. */
function close(tx: Transaction, tty: Tty, side: number): void {
  if (side === SIDE.MASTER) tx.lock(tableLock(tx), LOCK_RANK.tty);
  Tty.lock.acquire(tx, tty);
  if (side === SIDE.MASTER) {
    if (Tty.masters.add(tx, tty, -1) > 0) return;
    tx.store(tableEntry(tx, Tty.index.get(tx, tty)), 0);
    hangUp(tx, tty);
  } else if (Tty.slaves.add(tx, tty, -1) === 0) {
    Tty.exclusive.set(tx, tty, 0);
    signalCondition(tx, Tty.outputReady.at(tty));
    signalCondition(tx, Tty.inputRoom.at(tty));
  }
  if (Tty.masters.get(tx, tty) + Tty.slaves.get(tx, tty) > 0) return;
  // Threads whose descriptors another thread has closed are woken before the record goes.
  for (const end of [Tty.readable, Tty.writable, Tty.outputReady, Tty.inputRoom])
    signalCondition(tx, end.at(tty));
  TtyPage.free(tx, Tty.input.get(tx, tty));
  for (let i = 0; i < OUTPUT_BYTES / PAGE_BYTES; i++) TtyPage.free(tx, Tty.output.get(tx, tty, i));
  Tty.free(tx, tty);
}

export const ttyServer = defineServer("tty", {
  openMaster,
  openSlave,
  openAgain,
  close,
  read: (tx: Transaction, tty: Tty, side: number, length: number, nonblock: boolean | number): number =>
    side === SIDE.MASTER ? readMaster(tx, tty, length, nonblock) : readSlave(tx, tty, length, nonblock),
  write: (tx: Transaction, tty: Tty, side: number, length: number, nonblock: boolean | number): number =>
    side === SIDE.MASTER ? writeMaster(tx, tty, length, nonblock) : writeSlave(tx, tty, length, nonblock),
  poll,
  available,
  control: (tx: Transaction, tty: Tty, side: number, command: number, argument: number): number => {
    if (command !== IOCTL.TIOCSIG) return control(tx, tty, side, command, argument);
    if (side !== SIDE.MASTER) throw errno.ENOTTY;
    signalFromMaster(tx, tty, argument);
    return 0;
  },
  resize,
});

const ttys = ttyServer.operations;

function terminalOf(tx: Transaction, file: File): Tty {
  return File.object.get(tx, file) as Tty;
}

function makeFile(tx: Transaction, tty: number, flags: number, side: number): File {
  const file = createFile(tx, "tty", tty, flags);
  File.detail.init(tx, file, side);
  return file;
}

/** An open of /dev/ptmx by user `owner`: the master's file. */
export function openPtmx(tx: Transaction, flags: number, owner: number = 0): File {
  return makeFile(tx, ttys.openMaster(tx, owner), flags, SIDE.MASTER);
}

/** An open of /dev/pts/`index`. `noControl`: O_NOCTTY. `privileged`: CAP_SYS_ADMIN. */
export function openPts(
  tx: Transaction,
  index: number,
  flags: number,
  noControl: boolean,
  privileged: boolean,
): File {
  return makeFile(tx, ttys.openSlave(tx, index, noControl, privileged), flags, SIDE.SLAVE);
}

/** An open of /dev/tty: the caller's controlling terminal; ENXIO if it has none. */
export function openControllingTerminal(tx: Transaction, flags: number, privileged: boolean): File {
  // With the tree locked, the terminal that the caller's process names is not freed.
  jobControl().lock(tx);
  const tty = jobControl().callerTerminal(tx) as Tty;
  if (tty === 0 || !Tty.isLive(tx, tty)) throw errno.ENXIO;
  return makeFile(tx, ttys.openAgain(tx, tty, privileged), flags, SIDE.SLAVE);
}

/** TIOCGPTPEER: the slave of the master `file`, without looking for its name. */
export function openPeer(tx: Transaction, file: File, flags: number): File {
  if (File.detail.get(tx, file) !== SIDE.MASTER) throw errno.ENOTTY;
  return makeFile(tx, ttys.openAgain(tx, terminalOf(tx, file), true), flags, SIDE.SLAVE);
}

/** The index of the terminal of `file`, and whether it is the master: for ttyname, fstat and /proc. */
export function terminalIndex(
  tx: Transaction,
  file: File,
): { readonly index: number; readonly isMaster: boolean } {
  const index = Tty.index.get(tx, terminalOf(tx, file));
  return { index, isMaster: File.detail.get(tx, file) === SIDE.MASTER };
}

/** The window of the terminal of `file` has another size, says the host. */
export function resizeTerminal(tx: Transaction, file: File, rows: number, columns: number): void {
  ttys.resize(tx, terminalOf(tx, file), rows, columns, 0, 0);
}

registerFileKind({
  name: "tty",
  read(tx, file, length, offset, nonblock) {
    if (offset !== -1) throw errno.ESPIPE;
    return ttys.read(tx, terminalOf(tx, file), File.detail.get(tx, file), length, nonblock);
  },
  write(tx, file, length, offset, nonblock) {
    if (offset !== -1) throw errno.ESPIPE;
    return ttys.write(tx, terminalOf(tx, file), File.detail.get(tx, file), length, nonblock);
  },
  poll(tx, file, note) {
    return ttys.poll(tx, terminalOf(tx, file), File.detail.get(tx, file), note);
  },
  release(tx, file) {
    ttys.close(tx, terminalOf(tx, file), File.detail.get(tx, file));
  },
  ioctl(tx, file, command, argument) {
    return ttys.control(tx, terminalOf(tx, file), File.detail.get(tx, file), command, argument);
  },
});
