/**
 * Job control at a terminal: who may read and write, whose terminal it is, and what happens when it hangs up.
 * The rules are those of Linux's tty_jobctrl.c.
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import {
  BACKGROUND_READ,
  BACKGROUND_WRITE,
  jobControl,
  registerTerminalControl,
} from "../../kernel/job-control.ts";
import { SIG } from "../../kernel/signal.ts";
import { Tty } from "./tty.ts";

/** Whether the caller belongs to the terminal's session, but not to its foreground group. */
function inBackground(tx: Transaction, tty: Tty): boolean {
  const job = jobControl();
  const foreground = Tty.foreground.get(tx, tty);
  if (foreground === 0 || job.callerTerminal(tx) !== tty) return false;
  return job.callerGroup(tx) !== foreground;
}

/** Throws what stops a background reader. Before the terminal's lock: it may need the tree's. */
export function checkBackgroundRead(tx: Transaction, tty: Tty): void {
  if (!inBackground(tx, tty)) return;
  const job = jobControl();
  job.lock(tx);
  if (job.callerIgnores(tx, SIG.TTIN) || job.isOrphaned(tx, job.callerGroup(tx))) throw errno.EIO;
  throw BACKGROUND_READ;
}

/** Throws what stops a background writer, if `flag` is among the local flags (0: always). */
export function checkBackgroundWrite(tx: Transaction, tty: Tty, flag: number): void {
  if (flag !== 0 && (Tty.localFlags.get(tx, tty) & flag) === 0) return;
  if (!inBackground(tx, tty)) return;
  const job = jobControl();
  if (job.callerIgnores(tx, SIG.TTOU)) return;
  job.lock(tx);
  if (job.isOrphaned(tx, job.callerGroup(tx))) throw errno.EIO;
  throw BACKGROUND_WRITE;
}

/** Makes the terminal the controlling terminal of the caller's session. Tree and terminal are locked. */
export function takeTerminal(tx: Transaction, tty: Tty): void {
  const job = jobControl();
  Tty.session.set(tx, tty, job.callerSession(tx));
  Tty.foreground.set(tx, tty, job.callerGroup(tx));
  job.setCallerTerminal(tx, tty);
}

/** TIOCSCTTY. */
export function setControlling(tx: Transaction, tty: Tty): void {
  const job = jobControl();
  job.lock(tx);
  Tty.lock.acquire(tx, tty);
  if (job.callerLeadsSession(tx) && Tty.session.get(tx, tty) === job.callerSession(tx)) return;
  if (!job.callerLeadsSession(tx) || job.callerTerminal(tx) !== 0) throw errno.EPERM;
  if (Tty.session.get(tx, tty) !== 0) throw errno.EPERM;
  takeTerminal(tx, tty);
}

/** TIOCNOTTY: the caller gives its controlling terminal up; a leader does so for its session. */
export function giveUpTerminal(tx: Transaction, tty: Tty): void {
  const job = jobControl();
  job.lock(tx);
  Tty.lock.acquire(tx, tty);
  if (job.callerTerminal(tx) !== tty) throw errno.ENOTTY;
  if (job.callerLeadsSession(tx)) leaveSession(tx, tty, false);
  else job.setCallerTerminal(tx, 0);
}

/** Ends the terminal's tie to its session. Its foreground group gets SIGHUP and SIGCONT. */
function leaveSession(tx: Transaction, tty: Tty, hangUp: boolean): void {
  const job = jobControl();
  const session = Tty.session.get(tx, tty);
  const foreground = Tty.foreground.get(tx, tty);
  if (session === 0) return;
  if (!hangUp && foreground !== 0) {
    job.signalGroup(tx, foreground, SIG.HUP);
    job.signalGroup(tx, foreground, SIG.CONT);
  }
  Tty.session.set(tx, tty, 0);
  Tty.foreground.set(tx, tty, 0);
  job.dropTerminal(tx, session, tty, hangUp);
}

/** The master is gone: the slave's readers see the end, its writers EIO, its session SIGHUP. It is locked. */
export function hangUp(tx: Transaction, tty: Tty): void {
  Tty.hungUp.set(tx, tty, 1);
  leaveSession(tx, tty, true);
  signalCondition(tx, Tty.readable.at(tty));
  signalCondition(tx, Tty.writable.at(tty));
}

/** TIOCGPGRP. The master may ask, too. */
export function foregroundGroup(tx: Transaction, tty: Tty, isMaster: boolean): number {
  Tty.lock.acquire(tx, tty);
  if (!isMaster && jobControl().callerTerminal(tx) !== tty) throw errno.ENOTTY;
  return Tty.foreground.get(tx, tty);
}

/** TIOCSPGRP. */
export function setForegroundGroup(tx: Transaction, tty: Tty, isMaster: boolean, group: number): void {
  const job = jobControl();
  if (!isMaster) checkBackgroundWrite(tx, tty, 0);
  job.lock(tx);
  Tty.lock.acquire(tx, tty);
  const session = Tty.session.get(tx, tty);
  if (job.callerTerminal(tx) !== tty || session === 0 || session !== job.callerSession(tx))
    throw errno.ENOTTY;
  if (group <= 0) throw errno.EINVAL;
  const of = job.sessionOfGroup(tx, group);
  if (of === 0) throw errno.ESRCH;
  if (of !== session) throw errno.EPERM;
  Tty.foreground.set(tx, tty, group);
}

/** TIOCGSID. */
export function sessionOf(tx: Transaction, tty: Tty, isMaster: boolean): number {
  Tty.lock.acquire(tx, tty);
  if (!isMaster && jobControl().callerTerminal(tx) !== tty) throw errno.ENOTTY;
  const session = Tty.session.get(tx, tty);
  if (session === 0) throw errno.ENOTTY;
  return session;
}

registerTerminalControl({
  sessionEnded(tx, terminal, session) {
    const tty = terminal as Tty;
    if (!Tty.isLive(tx, tty)) return;
    Tty.lock.acquire(tx, tty);
    if (Tty.session.get(tx, tty) === session) leaveSession(tx, tty, false);
  },
});
