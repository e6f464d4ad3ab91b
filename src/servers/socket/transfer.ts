/**
 * Sending and receiving.
 *
 * Waiting: a receiver waits only for an empty mailbox, so only what makes it not empty (or ends it) signals
 * `readable`. A sender waits only for a full one; `writable` is signalled when the mailbox has been emptied to a
 * quarter, the mark from which on poll calls the socket writable, and when it is empty.
 */

import { errno } from "../../base/errno.ts";
import { append, each, remove } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import { SLOT } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { hasWaiters, signalCondition } from "../../kernel/condition.ts";
import { File, POLL } from "../../kernel/file.ts";
import { noteRetry, noteWait, WOULD_BLOCK } from "../../kernel/request.ts";
import type { Task } from "../../kernel/task.ts";
import { lockBoxes, waitOrFail } from "./connections.ts";
import {
  addLetterFile,
  answerAddress,
  callerIdentity,
  clearLetter,
  letterField,
  letterFile,
  setLetterField,
} from "./letter.ts";
import {
  countBytes,
  deliver,
  discard,
  freeMessage,
  mayFreeMore,
  messageBytes,
  newMessage,
  nextMessage,
  passBytes,
  putBytes,
  showBytes,
  streamRoom,
  streamTail,
  takeRights,
} from "./messages.ts";
import { findUnix, lockNames } from "./names.ts";
import { sendInetDatagram } from "./inet.ts";
import {
  AF,
  BOX,
  DATAGRAMS_MAX,
  ENDED,
  isConnectionType,
  Mailbox,
  Message,
  MSG,
  OPTION,
  Rights,
  Socket,
  SocketState,
  STATE,
  STEP_BYTES,
  TYPE,
} from "./records.ts";
import { addRight, awaitCollector, land, newRights } from "./rights.ts";
import { socketState } from "./state.ts";

/** What Linux counts for a message beside its bytes, more or less. */
const OVERHEAD = 768;
/** Bytes of SO_SNDBUF that a datagram may not take. */
const RESERVED = 32;
/** Who a message is from if nobody asked (overflowuid). */
const NOBODY: readonly [number, number, number] = [0, 65_534, 65_534];
/** Descriptors of a message that MSG_PEEK shows: each takes a lock. */
const PEEKED_MAX = 12;

type Identity = readonly [pid: number, uid: number, gid: number];

function identity(tx: Transaction, socket: Socket, box: Mailbox, hasLetter: boolean): Identity {
  if (hasLetter && letterField(tx, "hasCredentials") !== 0) {
    return [letterField(tx, "pid"), letterField(tx, "uid"), letterField(tx, "gid")];
  }
  const wanted =
    (Socket.options.get(tx, socket) & OPTION.PASSCRED) !== 0 ||
    (Mailbox.flags.get(tx, box) & BOX.PASSCRED) !== 0;
  return wanted ? callerIdentity(tx) : NOBODY;
}

function hasRights(tx: Transaction, hasLetter: boolean): boolean {
  return hasLetter && letterField(tx, "rights") > 0;
}

/** Makes the letter's files the message's rights. */
function attachRights(tx: Transaction, message: Message): void {
  let rights = Message.rights.get(tx, message);
  if (rights === 0) {
    rights = newRights(tx);
    Message.rights.set(tx, message, rights);
  }
  const count = letterField(tx, "rights");
  for (let i = 0; i < count; i++) addRight(tx, rights, letterFile(tx, i));
}

/** Bytes in a mailbox as its limit counts them. */
function charged(tx: Transaction, box: Mailbox): number {
  const bytes = Mailbox.bytes.get(tx, box);
  return Mailbox.type.get(tx, box) === TYPE.STREAM ? bytes : bytes + Mailbox.count.get(tx, box) * OVERHEAD;
}

/**
 * Sends `length` bytes of the segments; with `hasLetter` what the letter says besides: an address, descriptors,
 * an identity. The bytes sent: of a stream as many as there is room for, else all.
 */
export function send(
  tx: Transaction,
  socket: Socket,
  length: number,
  nonblock: boolean | number,
  hasLetter: boolean | number,
): number {
  const letter = Boolean(hasLetter);
  const isNamed = letter && letterField(tx, "addressLength") > 0;
  const type = Socket.type.get(tx, socket);
  const isUnix = Socket.family.get(tx, socket) === AF.UNIX;
  // A datagram of the internet families is sent to a name, even if the name is that of the peer.
  if (isNamed || (!isUnix && type === TYPE.DGRAM)) lockNames(tx);
  Socket.lock.acquire(tx, socket);
  if (!isUnix && type === TYPE.DGRAM) return sendInetDatagram(tx, socket, length, isNamed);
  if (isConnectionType(type)) {
    const isConnected = Socket.state.get(tx, socket) === STATE.CONNECTED;
    // An internet stream passes over an address that comes with the bytes, and ends like a broken pipe.
    if (isUnix && isNamed && type === TYPE.STREAM) throw isConnected ? errno.EISCONN : errno.EOPNOTSUPP;
    if (!isConnected) throw isUnix ? errno.ENOTCONN : errno.EPIPE;
    const box = Socket.outbox.get(tx, socket);
    lockBoxes(tx, isUnix ? none() : Socket.inbox.get(tx, socket), box);
    if (!isUnix) {
      const lost = sendIntoNothing(tx, socket, box, length);
      if (lost !== undefined) return lost;
    }
    if ((Mailbox.flags.get(tx, box) & BOX.SHUT) !== 0) throw errno.EPIPE;
    if (type === TYPE.STREAM) return sendStream(tx, socket, box, length, nonblock, letter);
    if (length + stagedBytes(tx) > Socket.sendBuffer.get(tx, socket) - RESERVED) throw errno.EMSGSIZE;
    return sendWhole(tx, socket, box, length, nonblock, letter);
  }
  if ((Socket.shutdown.get(tx, socket) & ENDED.SEND) !== 0) throw errno.EPIPE;
  const box = isNamed ? findUnix(tx, type) : Socket.outbox.get(tx, socket);
  if (box === 0) throw errno.ENOTCONN;
  const inbox = Socket.inbox.get(tx, socket);
  lockBoxes(tx, inbox, box);
  const error = Mailbox.error.get(tx, inbox);
  if (error !== 0) {
    Mailbox.error.set(tx, inbox, 0);
    return -error;
  }
  const flags = Mailbox.flags.get(tx, box);
  if ((flags & BOX.DEAD) !== 0) throw errno.ECONNREFUSED;
  const only = Mailbox.only.get(tx, box);
  if (only !== 0 && only !== inbox) throw errno.EPERM;
  if ((flags & BOX.SHUT) !== 0) throw errno.EPIPE;
  if (length + stagedBytes(tx) > Socket.sendBuffer.get(tx, socket) - RESERVED) throw errno.EMSGSIZE;
  return sendWhole(tx, socket, box, length, nonblock, letter);
}

/**
 * What becomes of bytes for an internet stream whose other end is gone or has failed: −errno once, or all are taken
 * and lost, and the next ones find a broken pipe. Undefined if the other end is there. Both mailboxes are locked.
 */
function sendIntoNothing(tx: Transaction, socket: Socket, box: Mailbox, length: number): number | undefined {
  const inbox = Socket.inbox.get(tx, socket);
  const error = Mailbox.error.get(tx, inbox);
  const flags = Mailbox.flags.get(tx, box);
  if (error !== 0) {
    Mailbox.error.set(tx, inbox, 0);
    Mailbox.flags.set(tx, box, flags | BOX.SHUT);
    return -error;
  }
  if ((flags & BOX.UNREACHED) === 0 || (flags & BOX.SHUT) !== 0) return undefined;
  Mailbox.flags.set(tx, box, flags | BOX.SHUT);
  signalCondition(tx, Mailbox.writable.at(box));
  return length;
}

/** As much of the bytes as the locked mailbox of a stream has room for. */
function sendStream(
  tx: Transaction,
  socket: Socket,
  box: Mailbox,
  length: number,
  nonblock: boolean | number,
  hasLetter: boolean,
): number {
  if (length === 0) return 0;
  const used = Mailbox.bytes.get(tx, box);
  const room = Mailbox.limit.get(tx, box) - used;
  if (room <= 0) {
    throw waitOrFail(tx, Mailbox.writable.at(box), nonblock, Socket.sendTimeout.get(tx, socket));
  }
  const count = Math.min(length, room, STEP_BYTES);
  const who = identity(tx, socket, box, hasLetter);
  const inbox = Socket.inbox.get(tx, socket);
  let done = 0;
  const carries = hasRights(tx, hasLetter);
  const message = takeStaged(tx, inbox, who) ?? (carries ? newMessage(tx, inbox, who) : undefined);
  if (message !== undefined) {
    // Rights begin a message of their own, so that they come with the first byte that they were sent with.
    if (carries) attachRights(tx, message);
    dropSpare(tx, box);
    done = Math.min(count, streamRoom(tx, message));
    putBytes(tx, message, 0, done);
    deliver(tx, box, message);
  }
  while (done < count) {
    const tail = streamTail(tx, box, inbox, who);
    const run = Math.min(count - done, streamRoom(tx, tail));
    putBytes(tx, tail, done, run);
    countBytes(tx, box, run);
    done += run;
  }
  tellReader(tx, box, used === 0);
  return count;
}

/** Signals that something has come, if a reader may wait for that; an epoll hears of everything. */
function tellReader(tx: Transaction, box: Mailbox, wasEmpty: boolean): void {
  const readable = Mailbox.readable.at(box);
  if (wasEmpty || hasWaiters(tx, readable)) signalCondition(tx, readable);
}

/** Frees the empty message that a stream keeps. */
function dropSpare(tx: Transaction, box: Mailbox): void {
  const last = Mailbox.messages.last(tx, box);
  if (last !== 0 && messageBytes(tx, last) === 0) discard(tx, box, last);
}

/** Sends the bytes as one message to the locked mailbox, or waits until there is room for all of it. */
function sendWhole(
  tx: Transaction,
  socket: Socket,
  box: Mailbox,
  length: number,
  nonblock: boolean | number,
  hasLetter: boolean,
): number {
  const inbox = Socket.inbox.get(tx, socket);
  const count = Mailbox.count.get(tx, box);
  const isMutual = Mailbox.only.get(tx, box) === inbox;
  const isFull = isMutual
    ? charged(tx, box) >= Socket.sendBuffer.get(tx, socket)
    : count > DATAGRAMS_MAX && box !== inbox;
  if (isFull) {
    throw waitOrFail(tx, Mailbox.writable.at(box), nonblock, Socket.sendTimeout.get(tx, socket));
  }
  const who = identity(tx, socket, box, hasLetter);
  const message = takeStaged(tx, inbox, who) ?? newMessage(tx, inbox, who);
  if (hasRights(tx, hasLetter)) attachRights(tx, message);
  putBytes(tx, message, 0, length);
  const total = Message.end.get(tx, message);
  deliver(tx, box, message);
  tellReader(tx, box, count === 0);
  return total;
}

// Messages that take several transactions to build: more bytes or descriptors than one may touch.

/** The message that the request's task is building, if it is. The flight lock is held. */
function findStaged(tx: Transaction): Message {
  const task = tx.words[tx.slotAt + SLOT.owner]! as Task;
  const state = socketState(tx);
  for (const message of each(tx, SocketState.building, state, Message.links)) {
    if (Message.builder.get(tx, message) === task) return message;
  }
  return none();
}

/** Bytes that the request's task has staged. Takes the flight lock if anybody has. */
function stagedBytes(tx: Transaction): number {
  const state = socketState(tx);
  if (SocketState.building.isEmpty(tx, state)) return 0;
  SocketState.flight.acquire(tx, state);
  const message = findStaged(tx);
  return message === 0 ? 0 : messageBytes(tx, message);
}

/**
 * Puts `length` bytes of the segments, and the letter's files if there is one, into the message that the task is
 * building; one is begun if there is none. Committed by the caller; {@link dropStaged} undoes it.
 */
export function stage(tx: Transaction, length: number, hasLetter: number): void {
  const state = socketState(tx);
  SocketState.flight.acquire(tx, state);
  let message = findStaged(tx);
  if (message === 0) {
    message = newMessage(tx, none(), NOBODY);
    Message.builder.init(tx, message, tx.words[tx.slotAt + SLOT.owner]! as Task);
    append(tx, SocketState.building, state, Message.links, message);
  }
  putBytes(tx, message, 0, length);
  if (hasLetter !== 0) attachRights(tx, message);
}

/** The staged message, taken off its list, with its sender's name and identity; undefined if there is none. */
function takeStaged(tx: Transaction, from: Mailbox, who: Identity): Message | undefined {
  const state = socketState(tx);
  if (SocketState.building.isEmpty(tx, state)) return undefined;
  SocketState.flight.acquire(tx, state);
  const message = findStaged(tx);
  if (message === 0) return undefined;
  remove(tx, SocketState.building, state, Message.links, message);
  Message.builder.set(tx, message, none());
  Message.pid.set(tx, message, who[0]);
  Message.uid.set(tx, message, who[1]);
  Message.gid.set(tx, message, who[2]);
  const length = Mailbox.nameLength.get(tx, from);
  const name = Mailbox.name.at(from);
  tx.bytes.copyWithin(Message.from.at(message), name, name + length);
  Message.fromLength.set(tx, message, length);
  return message;
}

/** Puts what is left of a message that has been taken off its mailbox where its receiver finds it again. */
function keepRest(tx: Transaction, message: Message): void {
  const state = socketState(tx);
  SocketState.flight.acquire(tx, state);
  Message.builder.set(tx, message, tx.words[tx.slotAt + SLOT.owner]! as Task);
  append(tx, SocketState.building, state, Message.links, message);
}

/**
 * The next bytes of a message whose first ones the task has received with {@link receive}: at most `length`, into
 * the segments; 0 when there are none, and then nothing is kept any more. With `length` 0 the rest is dropped.
 */
export function receiveRest(tx: Transaction, length: number): number {
  const state = socketState(tx);
  if (SocketState.building.isEmpty(tx, state)) return 0;
  SocketState.flight.acquire(tx, state);
  const message = findStaged(tx);
  if (message === 0) return 0;
  const count = Math.min(length, messageBytes(tx, message));
  if (count > 0) {
    showBytes(tx, message, Message.begin.get(tx, message), 0, count);
    passBytes(tx, message, count);
  }
  if (length === 0 || messageBytes(tx, message) === 0) {
    remove(tx, SocketState.building, state, Message.links, message);
    freeMessage(tx, message);
  }
  return count;
}

/** Gives up what the task has staged, or left of a long message; 1 if there was anything. */
export function dropStaged(tx: Transaction, task: Task): number {
  const state = socketState(tx);
  if (SocketState.building.isEmpty(tx, state)) return 0;
  SocketState.flight.acquire(tx, state);
  for (const message of each(tx, SocketState.building, state, Message.links)) {
    if (Message.builder.get(tx, message) !== task) continue;
    remove(tx, SocketState.building, state, Message.links, message);
    freeMessage(tx, message);
    return 1;
  }
  return 0;
}

// Receiving.

/** What the reader of a socket waits for and gets when there is no message: −errno, 0 at the end, or a wait. */
function nothingThere(tx: Transaction, socket: Socket, inbox: Mailbox, nonblock: boolean | number): number {
  const error = Mailbox.error.get(tx, inbox);
  if (error !== 0) {
    // The error is told once: that must not be rolled back, so it is a result.
    Mailbox.error.set(tx, inbox, 0);
    return -error;
  }
  const ended =
    (Mailbox.flags.get(tx, inbox) & BOX.SHUT) !== 0 ||
    (Socket.shutdown.get(tx, socket) & ENDED.RECEIVE) !== 0;
  if (ended) return 0;
  throw waitOrFail(tx, Mailbox.readable.at(inbox), nonblock, Socket.receiveTimeout.get(tx, socket));
}

/** Room has come into being in the locked mailbox, which held `before`. */
function signalRoom(tx: Transaction, box: Mailbox, before: number, countBefore: number): void {
  const now = charged(tx, box);
  const limit = Mailbox.limit.get(tx, box);
  const isLow = before * 4 > limit && now * 4 <= limit;
  const count = Mailbox.count.get(tx, box);
  const mayCome = countBefore > DATAGRAMS_MAX && count <= DATAGRAMS_MAX;
  if (isLow || mayCome || Mailbox.bytes.get(tx, box) === 0) signalCondition(tx, Mailbox.writable.at(box));
}

/**
 * Receives up to `length` bytes into the segments, with MSG flags. Of a message that has more, and of which the
 * caller wants `total`, the rest is kept for {@link receiveRest}. The letter says who sent them, from what
 * address, with what flags (MSG_TRUNC, MSG_CTRUNC), and has as many descriptors as `room` bytes of control data
 * hold, whose references are the caller's. −errno for an error that has been waiting.
 */
export function receive(
  tx: Transaction,
  socket: Socket,
  length: number,
  total: number,
  flags: number,
  nonblock: boolean | number,
  room: number,
): number {
  Socket.lock.acquire(tx, socket);
  const type = Socket.type.get(tx, socket);
  const state = Socket.state.get(tx, socket);
  if (state === STATE.LISTENING && type === TYPE.STREAM) throw errno.EINVAL;
  if (isConnectionType(type) && state !== STATE.CONNECTED) {
    if (Socket.family.get(tx, socket) !== AF.UNIX) throw errno.ENOTCONN;
    throw type === TYPE.STREAM ? errno.EINVAL : errno.ENOTCONN;
  }
  const inbox = Socket.inbox.get(tx, socket);
  Mailbox.lock.acquire(tx, inbox);
  clearLetter(tx);
  const asksWho = (Socket.options.get(tx, socket) & OPTION.PASSCRED) !== 0;
  const rightsMax = Math.max(0, Math.floor((room - (asksWho ? CREDENTIALS_SPACE : 0) - CONTROL_HEADER) / 4));
  const before = charged(tx, inbox);
  const count = Mailbox.count.get(tx, inbox);
  let got: number;
  if (type === TYPE.STREAM) {
    // As on Linux, who asks for nothing waits until there is something.
    if (Mailbox.bytes.get(tx, inbox) === 0) return nothingThere(tx, socket, inbox, nonblock);
    got = receiveStream(tx, inbox, length, flags, asksWho, rightsMax);
  } else {
    if (count === 0) return nothingThere(tx, socket, inbox, nonblock);
    got = receiveWhole(tx, inbox, length, total, flags, asksWho, rightsMax);
  }
  if ((flags & MSG.PEEK) === 0) signalRoom(tx, inbox, before, count);
  return got;
}

/** Bytes of struct cmsghdr, and of one with a struct ucred. */
const CONTROL_HEADER = 16;
const CREDENTIALS_SPACE = 32;

function describe(tx: Transaction, message: Message, asksWho: boolean): void {
  if (asksWho) {
    setLetterField(tx, "pid", Message.pid.get(tx, message));
    setLetterField(tx, "uid", Message.uid.get(tx, message));
    setLetterField(tx, "gid", Message.gid.get(tx, message));
    setLetterField(tx, "hasCredentials", 1);
  }
  answerAddress(tx, Message.from.at(message), Message.fromLength.get(tx, message));
}

function isSameSender(tx: Transaction, a: Message, b: Message): boolean {
  const { pid, uid, gid } = Message;
  return [pid, uid, gid].every((field) => field.get(tx, a) === field.get(tx, b));
}

function receiveStream(
  tx: Transaction,
  inbox: Mailbox,
  length: number,
  flags: number,
  asksWho: boolean,
  rightsMax: number,
): number {
  const peeks = (flags & MSG.PEEK) !== 0;
  const most = Math.min(length, STEP_BYTES);
  const first = Mailbox.messages.first(tx, inbox);
  describe(tx, first, asksWho);
  let done = 0;
  for (let message = first; message !== 0 && done < most; ) {
    if (asksWho && message !== first && !isSameSender(tx, first, message)) break;
    const after = nextMessage(tx, message);
    const size = messageBytes(tx, message);
    const run = Math.min(size, most - done);
    showBytes(tx, message, Message.begin.get(tx, message), done, run);
    const carries = Message.rights.get(tx, message) !== 0;
    if (carries) handOver(tx, message, peeks, rightsMax);
    if (!peeks) {
      passBytes(tx, message, run);
      countBytes(tx, inbox, -run);
      // The last one is kept, for the next bytes to go into.
      if (run === size && after !== 0) discard(tx, inbox, message);
    }
    done += run;
    if (carries || !mayFreeMore(tx)) break;
    message = after;
  }
  return done;
}

function receiveWhole(
  tx: Transaction,
  inbox: Mailbox,
  length: number,
  total: number,
  flags: number,
  asksWho: boolean,
  rightsMax: number,
): number {
  const peeks = (flags & MSG.PEEK) !== 0;
  const message = Mailbox.messages.first(tx, inbox);
  const size = messageBytes(tx, message);
  describe(tx, message, asksWho);
  const count = Math.min(size, length);
  showBytes(tx, message, Message.begin.get(tx, message), 0, count);
  const isLong = size > length && total > length && !peeks;
  if (size > (isLong ? total : length)) setLetterField(tx, "flags", letterField(tx, "flags") | MSG.TRUNC);
  if (Message.rights.get(tx, message) !== 0) handOver(tx, message, peeks, rightsMax);
  if (isLong) {
    passBytes(tx, message, count);
    countBytes(tx, inbox, -size);
    Mailbox.count.set(tx, inbox, Mailbox.count.get(tx, inbox) - 1);
    remove(tx, Mailbox.messages, inbox, Message.links, message);
    keepRest(tx, message);
    return count;
  }
  if (!peeks) discard(tx, inbox, message);
  return (flags & MSG.TRUNC) !== 0 ? size : count;
}

/** Puts the message's descriptors into the letter: the first `most`, with their references. */
function handOver(tx: Transaction, message: Message, peeks: boolean, most: number): void {
  const rights = Message.rights.get(tx, message);
  const had = Rights.count.get(tx, rights);
  const count = Math.min(had, most, peeks ? PEEKED_MAX : had);
  if (count < had) setLetterField(tx, "flags", letterField(tx, "flags") | MSG.CTRUNC);
  if (!peeks) awaitCollector(tx);
  for (let i = 0; i < count; i++) {
    const file = Rights.files.get(tx, rights, i);
    if (peeks) holdLate(tx, file);
    addLetterFile(tx, file);
  }
  if (!peeks) land(tx, takeRights(tx, message), count);
}

/** Attempts to take a file's lock out of order, before the request begins again without any lock. */
const ATTEMPTS = 1000;

/** One more reference to a file, whose lock ranks before those that are held. */
function holdLate(tx: Transaction, file: File): void {
  for (let i = 0; i < ATTEMPTS; i++) {
    if (!File.lock.tryAcquire(tx, file)) continue;
    File.references.set(tx, file, File.references.get(tx, file) + 1);
    return;
  }
  noteRetry(tx, SocketState.collected.at(socketState(tx)));
  throw WOULD_BLOCK;
}

// Readiness.

/** The POLL bits that hold now; notes the conditions whose signal may change them. */
export function poll(tx: Transaction, socket: Socket, note: boolean | number): number {
  Socket.lock.acquire(tx, socket);
  const inbox = Socket.inbox.get(tx, socket);
  const outbox = Socket.outbox.get(tx, socket);
  lockBoxes(tx, inbox, outbox);
  if (note) {
    noteWait(tx, Mailbox.readable.at(inbox));
    noteWait(tx, Mailbox.writable.at(outbox === 0 ? inbox : outbox));
  }
  return Socket.state.get(tx, socket) === STATE.LISTENING
    ? listenerBits(tx, inbox)
    : socketBits(tx, socket, inbox, outbox);
}

function listenerBits(tx: Transaction, inbox: Mailbox): number {
  const ended = (Mailbox.flags.get(tx, inbox) & BOX.SHUT) !== 0;
  const readable = Mailbox.embryos.get(tx, inbox) > 0;
  return (readable ? POLL.IN | POLL.RDNORM : 0) | (ended ? POLL.IN | POLL.RDNORM | POLL.RDHUP : 0);
}

function socketBits(tx: Transaction, socket: Socket, inbox: Mailbox, outbox: Mailbox): number {
  const isConnection = isConnectionType(Socket.type.get(tx, socket));
  const isConnected = Socket.state.get(tx, socket) === STATE.CONNECTED;
  const ended = Socket.shutdown.get(tx, socket);
  const isShut = (box: Mailbox): boolean => box !== 0 && (Mailbox.flags.get(tx, box) & BOX.SHUT) !== 0;
  const noMore = (ended & ENDED.RECEIVE) !== 0 || isShut(inbox);
  const mayNot = (ended & ENDED.SEND) !== 0 || (isConnection && isShut(outbox));
  let bits = 0;
  if (Mailbox.error.get(tx, inbox) !== 0) bits |= POLL.ERR;
  if (noMore && mayNot) bits |= POLL.HUP;
  if (noMore) bits |= POLL.RDHUP | POLL.IN | POLL.RDNORM;
  const isEmpty =
    isConnection && Socket.type.get(tx, socket) === TYPE.STREAM
      ? Mailbox.bytes.get(tx, inbox) === 0
      : Mailbox.count.get(tx, inbox) === 0;
  if (!isEmpty) bits |= POLL.IN | POLL.RDNORM;
  if (isConnection && !isConnected) bits |= POLL.HUP;
  if (isWritable(tx, socket, inbox, outbox)) bits |= POLL.OUT | POLL.WRNORM | POLL.WRBAND;
  return bits;
}

function isWritable(tx: Transaction, socket: Socket, inbox: Mailbox, outbox: Mailbox): boolean {
  if (outbox === 0) return true;
  if ((Mailbox.flags.get(tx, outbox) & (BOX.SHUT | BOX.DEAD)) !== 0) return true;
  if (!isConnectionType(Socket.type.get(tx, socket)) && Mailbox.only.get(tx, outbox) !== inbox) {
    return Mailbox.count.get(tx, outbox) <= DATAGRAMS_MAX;
  }
  return charged(tx, outbox) * 4 <= Socket.sendBuffer.get(tx, socket);
}

/** Bytes that a read would find (FIONREAD): of a stream all, else those of the first message. */
export function available(tx: Transaction, socket: Socket): number {
  Socket.lock.acquire(tx, socket);
  if (Socket.state.get(tx, socket) === STATE.LISTENING) throw errno.EINVAL;
  const inbox = Socket.inbox.get(tx, socket);
  Mailbox.lock.acquire(tx, inbox);
  if (Socket.type.get(tx, socket) !== TYPE.DGRAM) return Mailbox.bytes.get(tx, inbox);
  const first = Mailbox.messages.first(tx, inbox);
  return first === 0 ? 0 : messageBytes(tx, first);
}

/** Bytes that the peer has not read yet (SIOCOUTQ). */
export function unsent(tx: Transaction, socket: Socket): number {
  Socket.lock.acquire(tx, socket);
  const outbox = Socket.outbox.get(tx, socket);
  if (outbox === 0 || Socket.type.get(tx, socket) === TYPE.DGRAM) return 0;
  Mailbox.lock.acquire(tx, outbox);
  return Mailbox.bytes.get(tx, outbox);
}
