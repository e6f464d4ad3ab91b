/**
 * getsockopt(2) and setsockopt(2), and what else the kernel is asked about a socket. Values travel in the
 * letter. Options that only matter on a wire are kept and answered.
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { signalCondition } from "../../kernel/condition.ts";
import { lockBoxes } from "./connections.ts";
import { valueAt } from "./letter.ts";
import { AF, BOX, BUFFER_MAX, isConnectionType, Mailbox, OPTION, Socket, STATE, TYPE } from "./records.ts";

export const SOL = { SOCKET: 1, IP: 0, TCP: 6, UDP: 17, IPV6: 41 } as const;
export const SO = {
  DEBUG: 1,
  REUSEADDR: 2,
  TYPE: 3,
  ERROR: 4,
  DONTROUTE: 5,
  BROADCAST: 6,
  SNDBUF: 7,
  RCVBUF: 8,
  KEEPALIVE: 9,
  OOBINLINE: 10,
  PRIORITY: 12,
  LINGER: 13,
  REUSEPORT: 15,
  PASSCRED: 16,
  PEERCRED: 17,
  RCVLOWAT: 18,
  SNDLOWAT: 19,
  RCVTIMEO: 20,
  SNDTIMEO: 21,
  PEERNAME: 28,
  TIMESTAMP: 29,
  ACCEPTCONN: 30,
  PEERSEC: 31,
  SNDBUFFORCE: 32,
  RCVBUFFORCE: 33,
  PROTOCOL: 38,
  DOMAIN: 39,
  PEERGROUPS: 59,
  COOKIE: 57,
} as const;

const SWITCHES = new Map<number, number>([
  [SO.DEBUG, OPTION.DEBUG],
  [SO.REUSEADDR, OPTION.REUSEADDR],
  [SO.DONTROUTE, OPTION.DONTROUTE],
  [SO.BROADCAST, OPTION.BROADCAST],
  [SO.KEEPALIVE, OPTION.KEEPALIVE],
  [SO.OOBINLINE, OPTION.OOBINLINE],
  [SO.REUSEPORT, OPTION.REUSEPORT],
  [SO.PASSCRED, OPTION.PASSCRED],
  [SO.TIMESTAMP, OPTION.TIMESTAMP],
]);

const TCP_OPTION = {
  NODELAY: 1,
  MAXSEG: 2,
  CORK: 3,
  KEEPIDLE: 4,
  KEEPINTVL: 5,
  KEEPCNT: 6,
  INFO: 11,
  QUICKACK: 12,
} as const;
const IPV6_V6ONLY = 26;
const INT = 4;
const SMALLEST_SEND = 4608;
const SMALLEST_RECEIVE = 2304;

function putInts(tx: Transaction, ...values: readonly number[]): number {
  const view = new DataView(tx.bytes.buffer, valueAt(tx), values.length * INT);
  for (const [i, value] of values.entries()) view.setInt32(i * INT, value, true);
  return values.length * INT;
}

/** The option's value in the letter; its bytes. Throws ENOPROTOOPT. */
export function getOption(tx: Transaction, socket: Socket, level: number, name: number): number {
  Socket.lock.acquire(tx, socket);
  const inbox = Socket.inbox.get(tx, socket);
  if (level !== SOL.SOCKET) return getProtocolOption(tx, socket, level, name);
  const bit = SWITCHES.get(name);
  if (bit !== undefined) return putInts(tx, (Socket.options.get(tx, socket) & bit) !== 0 ? 1 : 0);
  switch (name) {
    case SO.TYPE:
      return putInts(tx, Socket.type.get(tx, socket));
    case SO.DOMAIN:
      return putInts(tx, Socket.family.get(tx, socket));
    case SO.PROTOCOL:
      return putInts(tx, Socket.protocol.get(tx, socket));
    case SO.ACCEPTCONN:
      return putInts(tx, Socket.state.get(tx, socket) === STATE.LISTENING ? 1 : 0);
    case SO.SNDBUF:
      return putInts(tx, Socket.sendBuffer.get(tx, socket));
    case SO.RCVBUF:
      return putInts(tx, Socket.receiveBuffer.get(tx, socket));
    case SO.PRIORITY:
      return putInts(tx, Socket.priority.get(tx, socket));
    case SO.RCVLOWAT:
      return putInts(tx, Socket.lowWater.get(tx, socket));
    case SO.SNDLOWAT:
      return putInts(tx, 1);
    case SO.LINGER: {
      const linger = Socket.linger.get(tx, socket);
      return putInts(tx, linger < 0 ? 0 : 1, Math.max(linger, 0));
    }
    case SO.RCVTIMEO:
      return putTime(tx, Socket.receiveTimeout.get(tx, socket));
    case SO.SNDTIMEO:
      return putTime(tx, Socket.sendTimeout.get(tx, socket));
    case SO.ERROR: {
      Mailbox.lock.acquire(tx, inbox);
      const error = Mailbox.error.get(tx, inbox);
      if (error !== 0) Mailbox.error.set(tx, inbox, 0);
      return putInts(tx, error);
    }
    case SO.PEERCRED:
      return putInts(
        tx,
        Socket.peerPid.get(tx, socket),
        Socket.peerUid.get(tx, socket),
        Socket.peerGid.get(tx, socket),
      );
    default:
      throw errno.ENOPROTOOPT;
  }
}

function getProtocolOption(tx: Transaction, socket: Socket, level: number, name: number): number {
  const options = Socket.options.get(tx, socket);
  const has = (bit: number): number => putInts(tx, (options & bit) !== 0 ? 1 : 0);
  const family = Socket.family.get(tx, socket);
  if (level === SOL.TCP && family !== AF.UNIX && Socket.type.get(tx, socket) === TYPE.STREAM) {
    if (name === TCP_OPTION.NODELAY) return has(OPTION.NODELAY);
    if (name === TCP_OPTION.CORK) return has(OPTION.CORK);
    if (name === TCP_OPTION.QUICKACK) return putInts(tx, 1);
    if (name === TCP_OPTION.MAXSEG) return putInts(tx, 65_483);
    if (name === TCP_OPTION.KEEPIDLE) return putInts(tx, 7200);
    if (name === TCP_OPTION.KEEPINTVL) return putInts(tx, 75);
    if (name === TCP_OPTION.KEEPCNT) return putInts(tx, 9);
  }
  if (level === SOL.IPV6 && family === AF.INET6 && name === IPV6_V6ONLY) return has(OPTION.V6ONLY);
  throw family === AF.UNIX ? errno.EOPNOTSUPP : errno.ENOPROTOOPT;
}

/** struct timeval of nanoseconds. */
function putTime(tx: Transaction, ns: number): number {
  const seconds = Math.floor(ns / 1e9);
  return putInts(tx, seconds | 0, Math.floor(seconds / 0x1_0000_0000), Math.floor((ns % 1e9) / 1000), 0);
}

/**
 * Sets the option to the letter's value of `length` bytes. `privileged`: the caller has CAP_NET_ADMIN. Throws
 * EINVAL, EDOM, EPERM, ENOPROTOOPT.
 */
export function setOption(
  tx: Transaction,
  socket: Socket,
  level: number,
  name: number,
  length: number,
  privileged: number,
): void {
  Socket.lock.acquire(tx, socket);
  const view = new DataView(tx.bytes.buffer, valueAt(tx), 16);
  if (length < INT) throw errno.EINVAL;
  const value = view.getInt32(0, true);
  if (level !== SOL.SOCKET) {
    setProtocolOption(tx, socket, level, name, value);
    return;
  }
  const bit = SWITCHES.get(name);
  if (bit !== undefined) {
    setSwitch(tx, socket, bit, value !== 0);
    return;
  }
  switch (name) {
    case SO.SNDBUF:
    case SO.RCVBUF:
      setBuffer(tx, socket, name, Math.min(value < 0 ? BUFFER_MAX : value, BUFFER_MAX / 2));
      return;
    case SO.SNDBUFFORCE:
    case SO.RCVBUFFORCE:
      if (privileged === 0) throw errno.EPERM;
      setBuffer(tx, socket, name === SO.SNDBUFFORCE ? SO.SNDBUF : SO.RCVBUF, Math.min(value, BUFFER_MAX / 2));
      return;
    case SO.PRIORITY:
      if ((value < 0 || value > 6) && privileged === 0) throw errno.EPERM;
      Socket.priority.set(tx, socket, value);
      return;
    case SO.RCVLOWAT:
      Socket.lowWater.set(tx, socket, value < 0 ? 0x7fff_ffff : Math.max(value, 1));
      return;
    case SO.LINGER:
      if (length < 2 * INT) throw errno.EINVAL;
      Socket.linger.set(tx, socket, value === 0 ? -1 : view.getInt32(INT, true));
      return;
    case SO.RCVTIMEO:
    case SO.SNDTIMEO:
      setTimeLimit(tx, socket, name, view, length);
      return;
    default:
      throw errno.ENOPROTOOPT;
  }
}

function setProtocolOption(
  tx: Transaction,
  socket: Socket,
  level: number,
  name: number,
  value: number,
): void {
  const family = Socket.family.get(tx, socket);
  if (family === AF.UNIX) throw errno.EOPNOTSUPP;
  const isTcp = level === SOL.TCP && Socket.type.get(tx, socket) === TYPE.STREAM;
  if (isTcp && name === TCP_OPTION.NODELAY) setSwitch(tx, socket, OPTION.NODELAY, value !== 0);
  else if (isTcp && name === TCP_OPTION.CORK) setSwitch(tx, socket, OPTION.CORK, value !== 0);
  else if (level === SOL.IPV6 && family === AF.INET6 && name === IPV6_V6ONLY) {
    setSwitch(tx, socket, OPTION.V6ONLY, value !== 0);
  } else if (isTcp || level === SOL.IP || (level === SOL.IPV6 && family === AF.INET6)) {
    // Times of keep-alives, types of service, errors by a queue: nothing here has a wire that they would show on.
  } else throw errno.ENOPROTOOPT;
}

/** What others have to know of a socket stands in its mailbox, too. */
const SHOWN: readonly (readonly [option: number, flag: number])[] = [
  [OPTION.PASSCRED, BOX.PASSCRED],
  [OPTION.REUSEADDR, BOX.REUSEADDR],
  [OPTION.REUSEPORT, BOX.REUSEPORT],
  [OPTION.V6ONLY, BOX.V6ONLY],
];

function setSwitch(tx: Transaction, socket: Socket, bit: number, on: boolean): void {
  const options = Socket.options.get(tx, socket);
  Socket.options.set(tx, socket, on ? options | bit : options & ~bit);
  const shown = SHOWN.find(([option]) => option === bit)?.[1];
  if (shown === undefined) return;
  const inbox = Socket.inbox.get(tx, socket);
  Mailbox.lock.acquire(tx, inbox);
  const flags = Mailbox.flags.get(tx, inbox);
  Mailbox.flags.set(tx, inbox, on ? flags | shown : flags & ~shown);
}

/** Linux keeps twice what it is asked for, for its own needs, and at least a little. */
function setBuffer(tx: Transaction, socket: Socket, name: number, value: number): void {
  if (name === SO.RCVBUF) {
    const bytes = Math.max(value * 2, SMALLEST_RECEIVE);
    Socket.receiveBuffer.set(tx, socket, bytes);
    const inbox = Socket.inbox.get(tx, socket);
    if (Socket.family.get(tx, socket) === AF.UNIX || Socket.type.get(tx, socket) !== TYPE.DGRAM) return;
    Mailbox.lock.acquire(tx, inbox);
    Mailbox.limit.set(tx, inbox, bytes);
    return;
  }
  const bytes = Math.max(value * 2, SMALLEST_SEND);
  Socket.sendBuffer.set(tx, socket, bytes);
  const outbox = Socket.outbox.get(tx, socket);
  if (outbox === 0 || !isConnectionType(Socket.type.get(tx, socket))) return;
  lockBoxes(tx, outbox, 0 as Mailbox);
  Mailbox.limit.set(tx, outbox, bytes);
  signalCondition(tx, Mailbox.writable.at(outbox));
}

/** struct timeval: seconds and microseconds, 8 bytes each. */
function setTimeLimit(tx: Transaction, socket: Socket, name: number, view: DataView, length: number): void {
  if (length < 16) throw errno.EINVAL;
  const seconds = view.getInt32(4, true) * 0x1_0000_0000 + view.getUint32(0, true);
  const micros = view.getInt32(12, true) * 0x1_0000_0000 + view.getUint32(8, true);
  if (micros < 0 || micros >= 1e6) throw errno.EDOM;
  // A limit of less than nothing is one that has passed: the shortest there is.
  const ns = seconds < 0 ? 1 : Math.min(seconds * 1e9 + micros * 1000, Number.MAX_SAFE_INTEGER);
  (name === SO.RCVTIMEO ? Socket.receiveTimeout : Socket.sendTimeout).set(tx, socket, ns);
}
