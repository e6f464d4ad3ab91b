/**
 * Descriptors on their way (SCM_RIGHTS), and the end of those that never arrive.
 *
 * A message's rights hold a reference to each of their files. Receiving them passes the references to the
 * receiver's descriptors. Rights of a message that is dropped (its mailbox ends, or the receiver has no room for
 * control data) go to the graves: giving up a file may need any server, which a redo step must not call, so an
 * alarm, the collector, does it, one file to a transaction.
 *
 * ## Cycles
 *
 * Sockets that lie in each other's mailboxes and nowhere else can be reached by nobody. As on Linux, the
 * collector looks for them after a socket has been closed while rights were in flight:
 *
 *   1. It raises `collecting`. Until it is lowered no rights are received: what is in flight stays where it is or
 *      goes to the graves, which only the collector opens.
 *   2. Candidates are the sockets in flight whose files have no reference but those of rights. Nobody has a
 *      descriptor of one, so nobody can make one: a candidate stays one.
 *   3. A candidate is alive if rights that name it lie outside of candidates' mailboxes, or in that of a live one.
 *   4. The rights in the mailboxes of the others go to the graves, and `collecting` is lowered.
 *
 * What the collector knows between its transactions, it can find again: if its hart dies, it begins anew.
 */

import { errno } from "../../base/errno.ts";
import { append, each, next, remove } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { ALARM, armAlarm, createAlarm, registerAlarm } from "../../kernel/alarm.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { dropFile, File, FILE_KINDS } from "../../kernel/file.ts";
import { waitFor } from "../../kernel/request.ts";
import { threadOf } from "../../kernel/thread.ts";
import { AF, IN_FLIGHT_MAX, Mailbox, Message, Rights, Socket, SocketState } from "./records.ts";
import { free, socketState } from "./state.ts";

/** Empty rights in flight, for the caller's message. Takes the flight lock. */
export function newRights(tx: Transaction): Rights {
  const state = socketState(tx);
  SocketState.flight.acquire(tx, state);
  if (SocketState.collector.get(tx, state) === 0) {
    SocketState.collector.set(tx, state, createAlarm(tx, ALARM.COLLECTOR, state));
  }
  const rights = Rights.allocate(tx);
  append(tx, SocketState.flying, state, Rights.links, rights);
  return rights;
}

/** Adds a file, whose reference passes to the rights. Throws ETOOMANYREFS. */
export function addRight(tx: Transaction, rights: Rights, file: File): void {
  const state = socketState(tx);
  SocketState.flight.acquire(tx, state);
  const total = SocketState.inFlight.get(tx, state);
  if (total >= IN_FLIGHT_MAX) throw errno.ETOOMANYREFS;
  SocketState.inFlight.set(tx, state, total + 1);
  const count = Rights.count.get(tx, rights);
  Rights.files.set(tx, rights, count, file);
  Rights.count.set(tx, rights, count + 1);
}

/** Rights are about to be taken out of a message: waits while the collector looks for cycles. */
export function awaitCollector(tx: Transaction): void {
  const state = socketState(tx);
  SocketState.flight.acquire(tx, state);
  if (SocketState.collecting.get(tx, state) !== 0) throw waitFor(tx, SocketState.collected.at(state));
}

/**
 * Ends rights that have been taken out of their message, up to `count` of whose files, the first, now belong to
 * the caller. The others go to the graves.
 */
export function land(tx: Transaction, rights: Rights, count: number): void {
  const state = socketState(tx);
  SocketState.flight.acquire(tx, state);
  const had = Rights.count.get(tx, rights);
  const taken = Math.min(count, had);
  if (taken < had) {
    for (let i = taken; i < had; i++)
      Rights.files.set(tx, rights, i - taken, Rights.files.get(tx, rights, i));
    Rights.count.set(tx, rights, had - taken);
    SocketState.inFlight.set(tx, state, SocketState.inFlight.get(tx, state) - taken);
    bury(tx, rights);
    return;
  }
  SocketState.inFlight.set(tx, state, SocketState.inFlight.get(tx, state) - had);
  remove(tx, SocketState.flying, state, Rights.links, rights);
  free(tx, Rights, rights);
}

/** Rights that nobody will receive: the collector closes their files. */
export function bury(tx: Transaction, rights: Rights): void {
  const state = socketState(tx);
  SocketState.flight.acquire(tx, state);
  remove(tx, SocketState.flying, state, Rights.links, rights);
  append(tx, SocketState.graves, state, Rights.links, rights);
  SocketState.inFlight.set(tx, state, SocketState.inFlight.get(tx, state) - Rights.count.get(tx, rights));
  wakeCollector(tx, state);
}

/** What is buried in one go is given up together. */
const COLLECTION_NS = 1_000_000;

/** Lets the collector run soon. The flight lock is held. */
function wakeCollector(tx: Transaction, state: SocketState): void {
  if (SocketState.collectorSet.get(tx, state) !== 0) return;
  SocketState.collectorSet.set(tx, state, 1);
  armAlarm(tx, SocketState.collector.get(tx, state), threadOf(tx).clock.monotonic() + COLLECTION_NS);
}

/** A file that was received and found no descriptor: its reference goes to the graves. */
export function buryFile(tx: Transaction, file: File): void {
  const rights = newRights(tx);
  addRight(tx, rights, file);
  bury(tx, rights);
}

/** A socket has been closed: if any are in flight, some of them may have become unreachable. */
export function suspectCycles(tx: Transaction): void {
  const state = socketState(tx);
  if (SocketState.flying.isEmpty(tx, state)) return;
  SocketState.flight.acquire(tx, state);
  if (SocketState.flying.isEmpty(tx, state) || SocketState.suspicious.get(tx, state) !== 0) return;
  SocketState.suspicious.set(tx, state, 1);
  wakeCollector(tx, state);
}

// The collector. Each function is one or more whole transactions.

/** Runs until there is nothing to bury and nothing to suspect; then sleeps. */
function collect(tx: Transaction): number {
  const state = socketState(tx);
  for (;;) {
    dissolve(tx, state);
    SocketState.flight.acquire(tx, state);
    const grave = SocketState.graves.first(tx, state);
    if (grave !== 0) {
      remove(tx, SocketState.graves, state, Rights.links, grave);
      SocketState.opened.set(tx, state, grave);
      tx.commit();
      continue;
    }
    if (SocketState.suspicious.get(tx, state) === 0 && SocketState.collecting.get(tx, state) === 0) break;
    SocketState.suspicious.set(tx, state, 0);
    SocketState.collecting.set(tx, state, 1);
    tx.commit();
    buryCycles(tx, state);
  }
  // The alarm sleeps by the same commit; whoever sets it next has the flight lock after that.
  SocketState.collectorSet.set(tx, state, 0);
  return 0;
}

registerAlarm(ALARM.COLLECTOR, collect);

/** Closes the files of the rights that are opened, one to a transaction. */
function dissolve(tx: Transaction, state: SocketState): void {
  for (;;) {
    const rights = SocketState.opened.get(tx, state);
    if (rights === 0) return;
    const left = Rights.count.get(tx, rights);
    if (left > 0) {
      Rights.count.set(tx, rights, left - 1);
      dropFile(tx, Rights.files.get(tx, rights, left - 1));
    } else {
      SocketState.opened.set(tx, state, none());
      Rights.free(tx, rights);
    }
    tx.commit();
  }
}

/** A unix socket in flight, as the collector knows it. */
interface Flier {
  readonly socket: Socket;
  /** Times that rights in flight name it. */
  named: number;
  /** Of these, times in mailboxes of candidates that nobody has shown to be alive. */
  hidden: number;
  isCandidate: boolean;
  isAlive: boolean;
  /** The sockets' files that its mailbox, and those of its backlog, hold. */
  holds: File[];
}

function buryCycles(tx: Transaction, state: SocketState): void {
  const fliers = inFlight(tx, state);
  for (const [file, flier] of fliers) {
    File.lock.acquire(tx, file);
    flier.isCandidate = File.references.get(tx, file) === flier.named;
    tx.rollback();
    if (!flier.isCandidate) continue;
    for (const box of boxesOf(tx, flier.socket)) flier.holds.push(...filesIn(tx, box, fliers));
  }
  for (const flier of fliers.values()) for (const file of flier.holds) fliers.get(file)!.hidden++;
  const alive = [...fliers.values()].filter((flier) => flier.isCandidate && flier.named > flier.hidden);
  for (let flier = alive.pop(); flier !== undefined; flier = alive.pop()) {
    if (flier.isAlive) continue;
    flier.isAlive = true;
    for (const file of flier.holds) if (fliers.get(file)!.isCandidate) alive.push(fliers.get(file)!);
  }
  for (const flier of fliers.values()) {
    if (!flier.isCandidate || flier.isAlive) continue;
    for (const box of boxesOf(tx, flier.socket)) emptyOfRights(tx, box);
  }
  SocketState.flight.acquire(tx, state);
  SocketState.collecting.set(tx, state, 0);
  signalCondition(tx, SocketState.collected.at(state));
  tx.commit();
}

/** The unix sockets that rights in flight name. */
function inFlight(tx: Transaction, state: SocketState): Map<File, Flier> {
  const fliers = new Map<File, Flier>();
  SocketState.flight.acquire(tx, state);
  for (const rights of each(tx, SocketState.flying, state, Rights.links)) {
    for (let i = 0; i < Rights.count.get(tx, rights); i++) {
      const file = Rights.files.get(tx, rights, i);
      if (!isUnixSocket(tx, file)) continue;
      const known = fliers.get(file);
      if (known !== undefined) known.named++;
      else {
        const socket = File.object.get(tx, file) as Socket;
        fliers.set(file, { socket, named: 1, hidden: 0, isCandidate: false, isAlive: false, holds: [] });
      }
    }
  }
  tx.rollback();
  return fliers;
}

const SOCKET_KIND = FILE_KINDS.indexOf("socket");

function isUnixSocket(tx: Transaction, file: File): boolean {
  if (File.kind.get(tx, file) !== SOCKET_KIND) return false;
  return Socket.family.get(tx, File.object.get(tx, file) as Socket) === AF.UNIX;
}

/** The socket's mailbox, and those of the connections in its backlog. */
function boxesOf(tx: Transaction, socket: Socket): Mailbox[] {
  const inbox = Socket.inbox.get(tx, socket);
  const boxes = [inbox];
  Mailbox.lock.acquire(tx, inbox);
  for (const embryo of each(tx, Mailbox.backlog, inbox, Socket.links))
    boxes.push(Socket.inbox.get(tx, embryo));
  tx.rollback();
  return boxes;
}

function filesIn(tx: Transaction, box: Mailbox, fliers: ReadonlyMap<File, Flier>): File[] {
  const files: File[] = [];
  Mailbox.lock.acquire(tx, box);
  for (const message of each(tx, Mailbox.messages, box, Message.links)) {
    const rights = Message.rights.get(tx, message);
    if (rights === 0) continue;
    for (let i = 0; i < Rights.count.get(tx, rights); i++) {
      const file = Rights.files.get(tx, rights, i);
      if (fliers.has(file)) files.push(file);
    }
  }
  tx.rollback();
  return files;
}

/** Takes all rights out of a mailbox that nobody reads any more; the bytes stay until the socket ends. */
function emptyOfRights(tx: Transaction, box: Mailbox): void {
  Mailbox.lock.acquire(tx, box);
  for (
    let message = Mailbox.messages.first(tx, box);
    message !== 0;
    message = next(tx, Message.links, message)
  ) {
    const rights = Message.rights.get(tx, message);
    if (rights === 0) continue;
    Message.rights.set(tx, message, none());
    bury(tx, rights);
  }
  tx.commit();
}
