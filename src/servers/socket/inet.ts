/**
 * Internet sockets inside the machine: AF_INET and AF_INET6 on 127.0.0.0/8 and ::1, streams (TCP) and datagrams
 * (UDP). There is no network: what is sent is put into the receiver's mailbox, or refused, at once.
 *
 * An address is a port and 16 bytes, in which IPv4 is mapped (::ffff:a.b.c.d). A mailbox is found by its port's
 * bucket; among several the one with the very address comes before one with the wildcard. A socket that is bound
 * to the wildcard shows the loopback address once it is connected.
 *
 * Where TCP on a wire would answer later, the answer is here at once: a connect(2) that may not wait is told
 * EINPROGRESS, as programs expect, and how it went by the next call, SO_ERROR or poll(2).
 */

import { errno } from "../../base/errno.ts";
import type { HeapView } from "../../heap/heap.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { lockBoxes, enterBacklog, signalBox } from "./connections.ts";
import { addressAt, addressOf, letterField, setAddress } from "./letter.ts";
import { deliver, newMessage, putBytes } from "./messages.ts";
import { bucketOfNumber, giveName, lockNames, mailboxesIn } from "./names.ts";
import { AF, BOX, ENDED, Mailbox, Message, OPTION, Socket, SocketState, STATE, TYPE } from "./records.ts";
import { socketState } from "./state.ts";

/** A port and the 16 bytes of an address. */
export interface Endpoint {
  readonly port: number;
  readonly bytes: Uint8Array;
}

const V4_BYTES = 16;
const V6_BYTES = 28;
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const;
const EPHEMERAL = { first: 32_768, last: 60_999 } as const;
/** Longest datagram of UDP over IPv4. */
const DATAGRAM_MAX = 65_507;
const OVERHEAD = 768;

function mapped(...v4: readonly number[]): Uint8Array {
  return Uint8Array.from([...MAPPED, ...v4]);
}

const ANY6 = new Uint8Array(16);
const LOOPBACK6: Uint8Array = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const LOOPBACK4: Uint8Array = mapped(127, 0, 0, 1);

const isMapped = (bytes: Uint8Array): boolean => MAPPED.every((byte, i) => bytes[i] === byte);
const isAny4 = (bytes: Uint8Array): boolean =>
  isMapped(bytes) && bytes.subarray(12).every((byte) => byte === 0);
const isAny6 = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);
const isAny = (bytes: Uint8Array): boolean => isAny4(bytes) || isAny6(bytes);
const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, i) => byte === b[i]);
/** Addresses that exist in this machine. */
const isLocal = (bytes: Uint8Array): boolean =>
  isAny(bytes) || (isMapped(bytes) && bytes[12] === 127) || isSame(bytes, LOOPBACK6);

/** The endpoint in a struct sockaddr_in or sockaddr_in6. Throws EINVAL, EAFNOSUPPORT. */
function parse(address: Uint8Array, family: number): Endpoint {
  const own = address.length < 2 ? AF.UNSPEC : address[0]! | (address[1]! << 8);
  if (address.length < (family === AF.INET ? V4_BYTES : V6_BYTES - 4)) throw errno.EINVAL;
  if (own !== family) throw errno.EAFNOSUPPORT;
  const port = (address[2]! << 8) | address[3]!;
  const bytes = own === AF.INET ? mapped(...address.subarray(4, 8)) : address.slice(8, 24);
  return { port, bytes };
}

/** The endpoint as an address of `family`. */
function format({ port, bytes }: Endpoint, family: number): Uint8Array {
  const address = new Uint8Array(family === AF.INET ? V4_BYTES : V6_BYTES);
  address[0] = family;
  address[2] = port >>> 8;
  address[3] = port & 0xff;
  if (family === AF.INET) address.set(bytes.subarray(12), 4);
  else address.set(bytes, 8);
  return address;
}

/** The endpoint that a mailbox is bound to; undefined if it has no name. */
function endpointOf(view: HeapView, box: Mailbox): Endpoint | undefined {
  const length = Mailbox.nameLength.get(view, box);
  if (length === 0) return undefined;
  const at = Mailbox.name.at(box);
  return parse(view.bytes.slice(at, at + length), Mailbox.family.get(view, box));
}

/** The endpoint as peers see it: a wildcard is the loopback address of the family. */
function shown({ port, bytes }: Endpoint, other: Uint8Array): Endpoint {
  if (!isAny(bytes)) return { port, bytes };
  return { port, bytes: isMapped(other) ? LOOPBACK4 : LOOPBACK6 };
}

/** Whether somebody bound to `own` receives what is sent to `to`. */
function accepts(view: HeapView, box: Mailbox, own: Uint8Array, to: Uint8Array): boolean {
  if (isSame(own, to)) return true;
  if (isAny4(own)) return isMapped(to);
  if (!isAny6(own)) return false;
  return !isMapped(to) || (Mailbox.flags.get(view, box) & BOX.V6ONLY) === 0;
}

/** The mailbox that receives what `from` sends to `to`; none if there is none. The names are locked. */
function findInet(tx: Transaction, type: number, to: Endpoint, from: Endpoint | undefined): Mailbox {
  let best = none<"socket-mailbox">();
  let bestRank = -1;
  for (const box of mailboxesIn(tx, bucketOfNumber(to.port))) {
    if (Mailbox.family.get(tx, box) === AF.UNIX || Mailbox.type.get(tx, box) !== type) continue;
    const own = endpointOf(tx, box);
    if (own === undefined || own.port !== to.port || !accepts(tx, box, own.bytes, to.bytes)) continue;
    if (type === TYPE.STREAM && (Mailbox.flags.get(tx, box) & BOX.LISTENING) === 0) continue;
    const peer = Mailbox.peerPort.get(tx, box);
    if (peer !== 0 && (from === undefined || peer !== from.port)) continue;
    const rank = (isSame(own.bytes, to.bytes) ? 2 : 0) + (peer !== 0 ? 4 : 0);
    if (rank > bestRank) [best, bestRank] = [box, rank];
  }
  return best;
}

/** Whether two names of one protocol may not be there at once. */
function collide(tx: Transaction, box: Mailbox, own: Endpoint, other: Mailbox): boolean {
  const theirs = endpointOf(tx, other);
  if (theirs === undefined || theirs.port !== own.port) return false;
  const meets =
    accepts(tx, box, own.bytes, theirs.bytes) ||
    accepts(tx, other, theirs.bytes, own.bytes) ||
    (isAny(own.bytes) && isAny(theirs.bytes) && isMapped(own.bytes) === isMapped(theirs.bytes));
  if (!meets) return false;
  const both = Mailbox.flags.get(tx, box) & Mailbox.flags.get(tx, other);
  if ((both & BOX.REUSEPORT) !== 0) return false;
  const listens = (Mailbox.flags.get(tx, other) & BOX.LISTENING) !== 0;
  return (both & BOX.REUSEADDR) === 0 || (listens && Mailbox.type.get(tx, box) === TYPE.STREAM);
}

function isFree(tx: Transaction, box: Mailbox, own: Endpoint): boolean {
  const type = Mailbox.type.get(tx, box);
  for (const other of mailboxesIn(tx, bucketOfNumber(own.port))) {
    if (Mailbox.family.get(tx, other) === AF.UNIX || Mailbox.type.get(tx, other) !== type) continue;
    if (collide(tx, box, own, other)) return false;
  }
  return true;
}

/** Names the locked mailbox `own`, with any free port for port 0. The names are locked. Throws EADDRINUSE. */
function name(tx: Transaction, box: Mailbox, own: Endpoint): Endpoint {
  const state = socketState(tx);
  let endpoint = own;
  if (own.port === 0) {
    const count = EPHEMERAL.last - EPHEMERAL.first + 1;
    let next = SocketState.nextPort.get(tx, state);
    for (let tries = 0; ; tries++) {
      if (tries === count) throw errno.EADDRINUSE;
      endpoint = { ...own, port: EPHEMERAL.first + (next++ % count) };
      if (isFree(tx, box, endpoint)) break;
    }
    SocketState.nextPort.set(tx, state, next % count);
  } else if (!isFree(tx, box, own)) throw errno.EADDRINUSE;
  setAddress(tx, format(endpoint, Mailbox.family.get(tx, box)));
  giveName(tx, box, bucketOfNumber(endpoint.port));
  return endpoint;
}

/** bind(2) to the letter's address. */
export function bindInet(tx: Transaction, socket: Socket): void {
  const own = parse(addressOf(tx), Socket.family.get(tx, socket));
  if (!isLocal(own.bytes)) throw errno.EADDRNOTAVAIL;
  lockNames(tx);
  Socket.lock.acquire(tx, socket);
  const box = Socket.inbox.get(tx, socket);
  Mailbox.lock.acquire(tx, box);
  if (Mailbox.nameLength.get(tx, box) !== 0) throw errno.EINVAL;
  name(tx, box, own);
}

/** The socket's own endpoint; a free port is taken if it has none. The names, the socket and its inbox are locked. */
function ensureName(tx: Transaction, socket: Socket): Endpoint {
  const box = Socket.inbox.get(tx, socket);
  const own = endpointOf(tx, box);
  if (own !== undefined) return own;
  return name(tx, box, {
    port: 0,
    bytes: Socket.family.get(tx, socket) === AF.INET ? mapped(0, 0, 0, 0) : ANY6,
  });
}

/** listen(2) on a socket without a name: it gets a free port first. */
export function prepareListen(tx: Transaction, socket: Socket): void {
  lockNames(tx);
  Socket.lock.acquire(tx, socket);
  if (Socket.type.get(tx, socket) !== TYPE.STREAM) throw errno.EOPNOTSUPP;
  Mailbox.lock.acquire(tx, Socket.inbox.get(tx, socket));
  ensureName(tx, socket);
}

/** Where the letter's address leads. Throws ENETUNREACH for what is not in this machine. */
function destination(tx: Transaction, socket: Socket): Endpoint {
  const to = parse(addressOf(tx), Socket.family.get(tx, socket));
  if (!isLocal(to.bytes)) throw errno.ENETUNREACH;
  return isAny(to.bytes) ? { port: to.port, bytes: isMapped(to.bytes) ? LOOPBACK4 : LOOPBACK6 } : to;
}

function setPeer(tx: Transaction, socket: Socket, peer: Endpoint): void {
  const address = format(peer, Socket.family.get(tx, socket));
  tx.bytes.set(address, Socket.peer.at(socket));
  Socket.peerLength.set(tx, socket, address.length);
}

/** connect(2) to the letter's address; 0, or −errno where the failure has to leave something behind. */
export function connectInet(tx: Transaction, socket: Socket, nonblock: number, unspecified: number): number {
  lockNames(tx);
  Socket.lock.acquire(tx, socket);
  const inbox = Socket.inbox.get(tx, socket);
  if (Socket.type.get(tx, socket) === TYPE.STREAM) {
    if (unspecified !== 0) throw errno.EAFNOSUPPORT;
    return connectStream(tx, socket, inbox, nonblock);
  }
  Mailbox.lock.acquire(tx, inbox);
  return connectDatagrams(tx, socket, inbox, unspecified !== 0);
}

function connectStream(tx: Transaction, socket: Socket, inbox: Mailbox, nonblock: number): number {
  const to = destination(tx, socket);
  const listener = findInet(tx, TYPE.STREAM, to, undefined);
  lockBoxes(tx, inbox, listener);
  const state = Socket.state.get(tx, socket);
  const error = Mailbox.error.get(tx, inbox);
  if (error !== 0) {
    Mailbox.error.set(tx, inbox, 0);
    return -error;
  }
  if (state === STATE.CONNECTED && (Socket.options.get(tx, socket) & OPTION.UNTOLD) !== 0) {
    Socket.options.set(tx, socket, Socket.options.get(tx, socket) & ~OPTION.UNTOLD);
    return 0;
  }
  if (state !== STATE.UNCONNECTED) throw errno.EISCONN;
  if (listener === 0) {
    if (nonblock === 0) throw errno.ECONNREFUSED;
    Mailbox.error.set(tx, inbox, errno.ECONNREFUSED.code);
    signalBox(tx, inbox);
    return -errno.EINPROGRESS.code;
  }
  const own = shown(ensureName(tx, socket), to.bytes);
  const embryo = enterBacklog(tx, socket, listener, nonblock);
  setPeer(tx, socket, to);
  setPeer(tx, embryo, own);
  const box = Socket.inbox.get(tx, embryo);
  const address = format(to, Mailbox.family.get(tx, box));
  tx.bytes.set(address, Mailbox.name.at(box));
  Mailbox.nameLength.set(tx, box, address.length);
  if (nonblock === 0) return 0;
  Socket.options.set(tx, socket, Socket.options.get(tx, socket) | OPTION.UNTOLD);
  return -errno.EINPROGRESS.code;
}

function connectDatagrams(tx: Transaction, socket: Socket, inbox: Mailbox, unspecified: boolean): number {
  if (unspecified) {
    Mailbox.peerPort.set(tx, inbox, 0);
    Socket.peerLength.set(tx, socket, 0);
    Socket.state.set(tx, socket, STATE.UNCONNECTED);
    return 0;
  }
  const to = destination(tx, socket);
  ensureName(tx, socket);
  setPeer(tx, socket, to);
  Mailbox.peerPort.set(tx, inbox, to.port);
  Socket.state.set(tx, socket, STATE.CONNECTED);
  return 0;
}

/** Sends the segments as a datagram of UDP to the letter's address, or to the peer. It arrives, or is lost. */
export function sendInetDatagram(tx: Transaction, socket: Socket, length: number, isNamed: boolean): number {
  const inbox = Socket.inbox.get(tx, socket);
  if ((Socket.shutdown.get(tx, socket) & ENDED.SEND) !== 0) throw errno.EPIPE;
  if (length > DATAGRAM_MAX) throw errno.EMSGSIZE;
  const family = Socket.family.get(tx, socket);
  let to: Endpoint;
  if (isNamed) to = destination(tx, socket);
  else if (Socket.state.get(tx, socket) === STATE.CONNECTED) {
    const at = Socket.peer.at(socket);
    to = parse(tx.bytes.slice(at, at + Socket.peerLength.get(tx, socket)), family);
  } else throw errno.EDESTADDRREQ;
  if (to.port === 0) throw errno.EINVAL;
  const known = endpointOf(tx, inbox);
  const box = findInet(tx, TYPE.DGRAM, to, known);
  lockBoxes(tx, inbox, box);
  const error = Mailbox.error.get(tx, inbox);
  if (error !== 0) {
    Mailbox.error.set(tx, inbox, 0);
    return -error;
  }
  const own = shown(ensureName(tx, socket), to.bytes);
  if (box === 0) {
    if (isNamed) return length;
    // What ICMP would tell a connected socket.
    Mailbox.error.set(tx, inbox, errno.ECONNREFUSED.code);
    signalBox(tx, inbox);
    return length;
  }
  const charged = Mailbox.bytes.get(tx, box) + (Mailbox.count.get(tx, box) + 1) * OVERHEAD + length;
  if (charged > Mailbox.limit.get(tx, box)) return length;
  const message = newMessage(tx, none(), [0, 0, 0]);
  const from = format(own, Mailbox.family.get(tx, box));
  tx.bytes.set(from, Message.from.at(message));
  Message.fromLength.init(tx, message, from.length);
  putBytes(tx, message, 0, length);
  const wasEmpty = Mailbox.count.get(tx, box) === 0;
  deliver(tx, box, message);
  if (wasEmpty) signalCondition(tx, Mailbox.readable.at(box));
  return length;
}

/** The letter's address, of a socket that is connected, with the loopback address in place of the wildcard. */
export function showConnected(tx: Transaction, socket: Socket): void {
  const family = Socket.family.get(tx, socket);
  if (letterField(tx, "addressLength") === 0) {
    setAddress(tx, format({ port: 0, bytes: family === AF.INET ? mapped(0, 0, 0, 0) : ANY6 }, family));
    return;
  }
  if (Socket.state.get(tx, socket) !== STATE.CONNECTED) return;
  const own = parse(addressOf(tx), family);
  const at = Socket.peer.at(socket);
  const peer = parse(tx.bytes.slice(at, at + Socket.peerLength.get(tx, socket)), family);
  tx.bytes.set(format(shown(own, peer.bytes), family), addressAt(tx));
}
