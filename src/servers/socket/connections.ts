/**
 * Sockets come, are named, joined, shut and go.
 *
 * A connection is made by connect(2): it makes the other side's socket, an embryo in the backlog of the
 * listener's mailbox, and joins the two; accept(2) only gives the embryo a file. So a client may send before
 * anybody has accepted, as on Linux.
 *
 * A socket ends in a redo step after the commit that released its file: ending one touches both mailboxes, the
 * namespace and an inode, whose locks rank before those that a release may come with.
 */

import { assert } from "../../base/assert.ts";
import { errno } from "../../base/errno.ts";
import { redoFree } from "../../heap/allocator.ts";
import type { HeapAddr } from "../../heap/heap.ts";
import { append, remove } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { dismissEntriesStep } from "../../kernel/scheduler.ts";
import { jobControl } from "../../kernel/job-control.ts";
import { waitFor } from "../../kernel/request.ts";
import { threadOf } from "../../kernel/thread.ts";
import { dropAfterCommit, registerDrop } from "../server.ts";
import { addressAt, answerAddress, callerIdentity, clearLetter, letterField, letterInode } from "./letter.ts";
import { discard } from "./messages.ts";
import {
  autobind,
  bucketOfBytes,
  bucketOfNumber,
  copyName,
  dropName,
  findAbstract,
  findUnix,
  giveName,
  lockNames,
  UNIX_PATH,
} from "./names.ts";
import {
  AF,
  BACKLOG_MAX,
  BOX,
  BUFFER_BYTES,
  ENDED,
  isConnectionType,
  Mailbox,
  SHUT,
  Socket,
  STATE,
} from "./records.ts";
import { suspectCycles } from "./rights.ts";

/** A new socket with its mailbox. */
export function createSocket(tx: Transaction, family: number, type: number, protocol: number): Socket {
  const inbox = Mailbox.allocate(tx);
  Mailbox.references.init(tx, inbox, 1);
  Mailbox.family.init(tx, inbox, family);
  Mailbox.type.init(tx, inbox, type);
  Mailbox.limit.init(tx, inbox, BUFFER_BYTES);
  const socket = Socket.allocate(tx);
  Socket.family.init(tx, socket, family);
  Socket.type.init(tx, socket, type);
  Socket.protocol.init(tx, socket, protocol);
  Socket.inbox.init(tx, socket, inbox);
  Socket.sendBuffer.init(tx, socket, BUFFER_BYTES);
  Socket.receiveBuffer.init(tx, socket, BUFFER_BYTES);
  Socket.lowWater.init(tx, socket, 1);
  Socket.linger.init(tx, socket, -1);
  Socket.peerUid.init(tx, socket, -1);
  Socket.peerGid.init(tx, socket, -1);
  return socket;
}

/** Locks two mailboxes, either of which may be none. */
export function lockBoxes(tx: Transaction, a: Mailbox, b: Mailbox): void {
  const [low, high] = a < b ? [a, b] : [b, a];
  if (low !== 0) Mailbox.lock.acquire(tx, low);
  if (high !== 0) Mailbox.lock.acquire(tx, high);
}

/** What to throw instead of going on: EAGAIN, or a wait for `condition` of at most `timeoutNs` (0: for ever). */
export function waitOrFail(
  tx: Transaction,
  condition: HeapAddr,
  nonblock: boolean | number,
  timeoutNs: number,
): unknown {
  if (nonblock) return errno.EAGAIN;
  if (timeoutNs > 0 && threadOf(tx).clock.monotonic() >= jobControl().deadlineIn(tx, timeoutNs)) {
    return errno.EAGAIN;
  }
  return waitFor(tx, condition);
}

/** Both directions of a locked mailbox's waiters look again. */
export function signalBox(tx: Transaction, box: Mailbox): void {
  signalCondition(tx, Mailbox.readable.at(box));
  signalCondition(tx, Mailbox.writable.at(box));
}

/** `socket` sends to `box` from now on; both are locked or new. */
function setOutbox(tx: Transaction, socket: Socket, box: Mailbox): void {
  Socket.outbox.set(tx, socket, box);
  Mailbox.references.set(tx, box, Mailbox.references.get(tx, box) + 1);
}

/** Joins two sockets of a connection, with their mailboxes locked or new. */
function join(tx: Transaction, a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const box = Socket.inbox.get(tx, to);
    setOutbox(tx, from, box);
    Mailbox.limit.set(tx, box, Socket.sendBuffer.get(tx, from));
    Mailbox.only.set(tx, box, Socket.inbox.get(tx, from));
    Socket.state.set(tx, from, STATE.CONNECTED);
  }
}

function setPeer(tx: Transaction, socket: Socket, who: readonly [number, number, number]): void {
  Socket.peerPid.set(tx, socket, who[0]);
  Socket.peerUid.set(tx, socket, who[1]);
  Socket.peerGid.set(tx, socket, who[2]);
}

function setPeerName(tx: Transaction, socket: Socket, from: number, length: number): void {
  tx.bytes.copyWithin(Socket.peer.at(socket), from, from + length);
  Socket.peerLength.set(tx, socket, length);
}

/** socketpair(2): joins two new sockets of the caller. */
export function pair(tx: Transaction, a: Socket, b: Socket): void {
  join(tx, a, b);
  const who = callerIdentity(tx);
  setPeer(tx, a, who);
  setPeer(tx, b, who);
}

/**
 * bind(2) of a unix socket to the letter's address: a path, whose inode the letter holds a reference to, an
 * abstract name, or (a family alone) any free name. The reference is the socket's from the commit on.
 */
export function bindUnix(tx: Transaction, socket: Socket): void {
  lockNames(tx);
  Socket.lock.acquire(tx, socket);
  const box = Socket.inbox.get(tx, socket);
  Mailbox.lock.acquire(tx, box);
  if ((Mailbox.flags.get(tx, box) & BOX.NAMED) !== 0) throw errno.EINVAL;
  const inode = letterInode(tx);
  const length = letterField(tx, "addressLength");
  if (inode !== 0) {
    giveName(tx, box, bucketOfNumber(inode));
    Mailbox.inode.set(tx, box, inode);
  } else if (length <= UNIX_PATH) {
    autobind(tx, box);
  } else {
    if (findAbstract(tx, Mailbox.type.get(tx, box)) !== 0) throw errno.EADDRINUSE;
    giveName(tx, box, bucketOfBytes(tx, addressAt(tx), length));
  }
}

/** listen(2). */
export function listen(tx: Transaction, socket: Socket, backlog: number): void {
  Socket.lock.acquire(tx, socket);
  if (!isConnectionType(Socket.type.get(tx, socket))) throw errno.EOPNOTSUPP;
  const state = Socket.state.get(tx, socket);
  const box = Socket.inbox.get(tx, socket);
  Mailbox.lock.acquire(tx, box);
  if (state !== STATE.LISTENING && state !== STATE.UNCONNECTED) throw errno.EINVAL;
  if (Mailbox.nameLength.get(tx, box) === 0) throw errno.EINVAL;
  const most = backlog < 0 || backlog > BACKLOG_MAX ? BACKLOG_MAX : backlog;
  if (most > Mailbox.backlogMax.get(tx, box)) signalCondition(tx, Mailbox.writable.at(box));
  Mailbox.backlogMax.set(tx, box, most);
  Mailbox.flags.set(tx, box, Mailbox.flags.get(tx, box) | BOX.LISTENING);
  Socket.state.set(tx, socket, STATE.LISTENING);
  const who = callerIdentity(tx);
  Mailbox.pid.set(tx, box, who[0]);
  Mailbox.uid.set(tx, box, who[1]);
  Mailbox.gid.set(tx, box, who[2]);
  setPeer(tx, socket, who);
}

/** connect(2) of a unix socket to the letter's address; family AF_UNSPEC takes a datagram socket's peer away. */
export function connectUnix(tx: Transaction, socket: Socket, nonblock: number, unspecified: number): void {
  lockNames(tx);
  Socket.lock.acquire(tx, socket);
  if (isConnectionType(Socket.type.get(tx, socket))) {
    if (unspecified !== 0) throw errno.EINVAL;
    enterBacklog(tx, socket, findUnix(tx, Socket.type.get(tx, socket)), nonblock);
    return;
  }
  const inbox = Socket.inbox.get(tx, socket);
  const box = unspecified !== 0 ? none<"socket-mailbox">() : findUnix(tx, Socket.type.get(tx, socket));
  lockAll(tx, [inbox, box, Socket.outbox.get(tx, socket)]);
  if (box !== 0) {
    const only = Mailbox.only.get(tx, box);
    if (only !== 0 && only !== inbox) throw errno.EPERM;
  }
  leavePeer(tx, socket, box);
  replacePeer(tx, socket, box);
}

/** Locks mailboxes, of which some may be none or the same. */
function lockAll(tx: Transaction, boxes: readonly Mailbox[]): void {
  for (const box of boxes.filter((each) => each !== 0).sort((x, y) => x - y)) Mailbox.lock.acquire(tx, box);
}

/**
 * A datagram socket is about to turn from its peer to `box`: what the peer has sent is forgotten, and the peer,
 * if it is connected back, gets a reset (unix_dgram_disconnected of Linux). All three mailboxes are locked.
 */
function leavePeer(tx: Transaction, socket: Socket, box: Mailbox): void {
  const old = Socket.outbox.get(tx, socket);
  if (old === 0 || old === box) return;
  const inbox = Socket.inbox.get(tx, socket);
  while (!Mailbox.messages.isEmpty(tx, inbox)) discard(tx, inbox, Mailbox.messages.first(tx, inbox));
  signalCondition(tx, Mailbox.writable.at(inbox));
  if (Mailbox.only.get(tx, old) !== inbox || (Mailbox.flags.get(tx, old) & BOX.DEAD) !== 0) return;
  Mailbox.error.set(tx, old, errno.ECONNRESET.code);
  signalBox(tx, old);
}

/** A datagram socket's peer is `box` (none: nobody). It, the socket and its inbox are locked. */
export function replacePeer(tx: Transaction, socket: Socket, box: Mailbox): void {
  dropAfterCommit(tx, Socket.outbox.get(tx, socket));
  const inbox = Socket.inbox.get(tx, socket);
  Mailbox.only.set(tx, inbox, box);
  if (box === 0) {
    Socket.outbox.set(tx, socket, none());
    Socket.state.set(tx, socket, STATE.UNCONNECTED);
    Socket.peerLength.set(tx, socket, 0);
  } else {
    setOutbox(tx, socket, box);
    Socket.state.set(tx, socket, STATE.CONNECTED);
    setPeerName(tx, socket, Mailbox.name.at(box), Mailbox.nameLength.get(tx, box));
  }
  // Who waits for room in the old peer's mailbox has to look at the new one.
  signalCondition(tx, Mailbox.writable.at(inbox));
}

/** Makes the other side of `socket`, in the backlog of `listener`. The socket is locked. */
export function enterBacklog(
  tx: Transaction,
  socket: Socket,
  listener: Mailbox,
  nonblock: boolean | number,
): Socket {
  const inbox = Socket.inbox.get(tx, socket);
  lockBoxes(tx, inbox, listener);
  const flags = Mailbox.flags.get(tx, listener);
  if ((flags & BOX.LISTENING) === 0 || (flags & (BOX.SHUT | BOX.DEAD)) !== 0) throw errno.ECONNREFUSED;
  const waiting = Mailbox.embryos.get(tx, listener);
  if (waiting > Mailbox.backlogMax.get(tx, listener)) {
    const condition = Mailbox.writable.at(listener);
    throw waitOrFail(tx, condition, nonblock, Socket.sendTimeout.get(tx, socket));
  }
  const state = Socket.state.get(tx, socket);
  if (state === STATE.CONNECTED) throw errno.EISCONN;
  if (state !== STATE.UNCONNECTED) throw errno.EINVAL;
  const type = Socket.type.get(tx, socket);
  const family = Mailbox.family.get(tx, listener);
  const embryo = createSocket(tx, family, type, Socket.protocol.get(tx, socket));
  const box = Socket.inbox.get(tx, embryo);
  copyName(tx, box, Mailbox.name.at(listener), Mailbox.nameLength.get(tx, listener));
  // Until it is accepted nobody knows whether its owner wants to be told who sends.
  Mailbox.flags.init(tx, box, BOX.PASSCRED);
  join(tx, socket, embryo);
  const { pid, uid, gid } = Mailbox;
  setPeer(tx, socket, [pid.get(tx, listener), uid.get(tx, listener), gid.get(tx, listener)]);
  setPeer(tx, embryo, callerIdentity(tx));
  setPeerName(tx, socket, Mailbox.name.at(listener), Mailbox.nameLength.get(tx, listener));
  setPeerName(tx, embryo, Mailbox.name.at(inbox), Mailbox.nameLength.get(tx, inbox));
  append(tx, Mailbox.backlog, listener, Socket.links, embryo);
  Mailbox.embryos.set(tx, listener, waiting + 1);
  signalCondition(tx, Mailbox.readable.at(listener));
  return embryo;
}

/**
 * accept(2): the oldest connection of the backlog, which the caller gives a file in the same transaction; its
 * peer's address is in the letter.
 */
export function accept(tx: Transaction, socket: Socket, nonblock: number): Socket {
  Socket.lock.acquire(tx, socket);
  if (!isConnectionType(Socket.type.get(tx, socket))) throw errno.EOPNOTSUPP;
  if (Socket.state.get(tx, socket) !== STATE.LISTENING) throw errno.EINVAL;
  const box = Socket.inbox.get(tx, socket);
  Mailbox.lock.acquire(tx, box);
  const embryo = Mailbox.backlog.first(tx, box);
  if (embryo === 0) {
    if ((Mailbox.flags.get(tx, box) & BOX.SHUT) !== 0) throw errno.EINVAL;
    throw waitOrFail(tx, Mailbox.readable.at(box), nonblock, Socket.receiveTimeout.get(tx, socket));
  }
  remove(tx, Mailbox.backlog, box, Socket.links, embryo);
  Mailbox.embryos.set(tx, box, Mailbox.embryos.get(tx, box) - 1);
  signalCondition(tx, Mailbox.writable.at(box));
  // What waits in a backlog is guarded by the mailbox's lock.
  Socket.options.set(tx, embryo, Socket.options.get(tx, socket));
  clearLetter(tx);
  answerAddress(tx, Socket.peer.at(embryo), Socket.peerLength.get(tx, embryo));
  return embryo;
}

/** getsockname(2), or getpeername(2) with `peer`: the address, in the letter. Throws ENOTCONN. */
export function nameOf(tx: Transaction, socket: Socket, peer: number): void {
  Socket.lock.acquire(tx, socket);
  clearLetter(tx);
  if (peer !== 0) {
    if (Socket.state.get(tx, socket) !== STATE.CONNECTED) throw errno.ENOTCONN;
    answerAddress(tx, Socket.peer.at(socket), Socket.peerLength.get(tx, socket));
    return;
  }
  const box = Socket.inbox.get(tx, socket);
  Mailbox.lock.acquire(tx, box);
  answerAddress(tx, Mailbox.name.at(box), Mailbox.nameLength.get(tx, box));
}

/** shutdown(2). */
export function shutdown(tx: Transaction, socket: Socket, how: number): void {
  Socket.lock.acquire(tx, socket);
  const inbox = Socket.inbox.get(tx, socket);
  const isConnection = isConnectionType(Socket.type.get(tx, socket));
  const outbox = isConnection ? Socket.outbox.get(tx, socket) : none<"socket-mailbox">();
  const isUnix = Socket.family.get(tx, socket) === AF.UNIX;
  if (!isUnix && Socket.state.get(tx, socket) === STATE.UNCONNECTED) throw errno.ENOTCONN;
  lockBoxes(tx, inbox, outbox);
  const receive = how === SHUT.RD || how === SHUT.RDWR;
  const send = how === SHUT.WR || how === SHUT.RDWR;
  const ended = (receive ? ENDED.RECEIVE : 0) | (send ? ENDED.SEND : 0);
  Socket.shutdown.set(tx, socket, Socket.shutdown.get(tx, socket) | ended);
  // What the other side of an internet connection still sends is taken, not refused.
  if (receive && (isUnix || !isConnection)) shut(tx, inbox);
  if (send && outbox !== 0) shut(tx, outbox);
  signalBox(tx, inbox);
}

/** Nothing more goes into the locked mailbox. */
function shut(tx: Transaction, box: Mailbox): void {
  Mailbox.flags.set(tx, box, Mailbox.flags.get(tx, box) | BOX.SHUT);
  signalBox(tx, box);
}

/** Messages that one step of an ending mailbox frees. */
const MESSAGES_AT_ONCE = 2;
/** Note to a mailbox's drop: its owner is gone. */
const OWNED = 1;
/** Note to a socket's drop: nobody has accepted it. */
const REFUSED = 1;

// The end of a socket: of its file, or of the listener in whose backlog it waits.
registerDrop("socket", (tx, socket, note) => {
  const inbox = Socket.inbox.get(tx, socket);
  const outbox = Socket.outbox.get(tx, socket);
  const isNamed = (Mailbox.flags.get(tx, inbox) & BOX.NAMED) !== 0;
  if (isNamed) lockNames(tx);
  Socket.lock.acquire(tx, socket);
  lockBoxes(tx, inbox, outbox);
  if (isNamed) dropName(tx, inbox);
  dropAfterCommit(tx, Mailbox.inode.get(tx, inbox));
  Mailbox.inode.set(tx, inbox, none());
  const isUnix = Socket.family.get(tx, socket) === AF.UNIX;
  // The first bytes to an internet socket that is gone are lost on their way; only their answer ends the peer.
  const end = isUnix ? BOX.SHUT : BOX.UNREACHED;
  Mailbox.flags.set(tx, inbox, Mailbox.flags.get(tx, inbox) | BOX.DEAD | end);
  Mailbox.only.set(tx, inbox, none());
  signalBox(tx, inbox);
  if (outbox !== 0 && isConnectionType(Socket.type.get(tx, socket)))
    leave(tx, inbox, outbox, note === REFUSED);
  dropAfterCommit(tx, inbox, OWNED);
  dropAfterCommit(tx, outbox);
  redoFree(tx, socket);
  if (isUnix) suspectCycles(tx);
  return true;
});

/** The peer of a connection learns that its other side is gone; bytes that nobody read make it a reset. */
function leave(tx: Transaction, inbox: Mailbox, outbox: Mailbox, refused: boolean): void {
  Mailbox.flags.set(tx, outbox, Mailbox.flags.get(tx, outbox) | BOX.SHUT);
  const isReset = refused || Mailbox.bytes.get(tx, inbox) > 0;
  if (isReset && Mailbox.error.get(tx, outbox) === 0) Mailbox.error.set(tx, outbox, errno.ECONNRESET.code);
  if (Mailbox.only.get(tx, outbox) === inbox) Mailbox.only.set(tx, outbox, none());
  signalBox(tx, outbox);
}

// One reference to a mailbox less. Its owner's takes with it, in bounded parts, what nobody will read.
registerDrop("socket-mailbox", (tx, box, note) => {
  Mailbox.lock.acquire(tx, box);
  if (note === OWNED) {
    for (let i = 0; i < MESSAGES_AT_ONCE; i++) {
      const message = Mailbox.messages.first(tx, box);
      if (message !== 0) discard(tx, box, message);
    }
    if (!Mailbox.messages.isEmpty(tx, box)) return false;
    const embryo = Mailbox.backlog.first(tx, box);
    if (embryo !== 0) {
      remove(tx, Mailbox.backlog, box, Socket.links, embryo);
      Mailbox.embryos.set(tx, box, Mailbox.embryos.get(tx, box) - 1);
      dropAfterCommit(tx, embryo, REFUSED);
      return false;
    }
  }
  const references = Mailbox.references.get(tx, box) - 1;
  assert(references >= 0, "a mailbox is given up twice");
  if (references === 0) {
    // An epoll may still be registered with what was the other side of a socket that has another by now.
    if (!dismissEntriesStep(tx, Mailbox.readable.at(box))) return false;
    if (!dismissEntriesStep(tx, Mailbox.writable.at(box))) return false;
    redoFree(tx, box);
  } else Mailbox.references.set(tx, box, references);
  return true;
});
