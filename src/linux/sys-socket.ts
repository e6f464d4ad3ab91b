/**
 * Sockets: making, naming, joining, shutting them; their options. Sending and receiving is in sys-message.ts.
 *
 * A handler looks the descriptor up, reads the address from user memory into the request's letter, and calls the
 * socket server; what is to be told goes from the letter to user memory last of all.
 */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { findFree, getFile, installFile, lockFiles, lockSharedFiles } from "../kernel/descriptors.ts";
import { File, FILE_KINDS } from "../kernel/file.ts";
import { Task } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { CAP } from "../servers/auth/capabilities.ts";
import { addressOf, clearLetter, setAddress, valueAt } from "../servers/socket/letter.ts";
import { AF, TYPE } from "../servers/socket/records.ts";
import { createSocketFile, socketOf, sockets } from "../servers/socket/socket-server.ts";
import { O } from "./abi-file.ts";
import { FAMILY_NAMES, SHUT_NAMES, SOCK } from "./abi-socket.ts";
import { type CallRow, flagSet, full, nameSet, partial, type RestartKind } from "./row.ts";
import { familyOf, putAddress, putUnixAddress, readAddress, writeAddress } from "./socket-address.ts";
import { descriptorLimit } from "./sys-descriptor.ts";
import { isNonblocking } from "./sys-read-write.ts";
import { readStruct, readUser, writeUser } from "./user.ts";

const SOCKET = FILE_KINDS.indexOf("socket");
/** Families, types and protocols below these are ones that Linux might have. */
const FAMILIES = 46;
const TYPES = 11;
const UNIX_PROTOCOL = 1;

/** The caller's socket file `descriptor`. Throws EBADF, ENOTSOCK. */
export function socketFile(call: SystemCall, descriptor: number): File {
  const file = getFile(call.tx, call.task, descriptor);
  if (File.kind.get(call.tx, file) !== SOCKET) throw errno.ENOTSOCK;
  return file;
}

/** The family, type and protocol that a new socket gets. */
function kindOfSocket(call: SystemCall): { family: number; type: number; protocol: number; flags: number } {
  const family = call.int(0);
  const word = call.uint(1);
  const flags = word & ~SOCK.TYPE_MASK;
  let type = word & SOCK.TYPE_MASK;
  const protocol = call.int(2);
  call.refuseUnknown(flags, SOCK.NONBLOCK | SOCK.CLOEXEC);
  if (family < 0 || family >= FAMILIES) throw errno.EAFNOSUPPORT;
  if (type >= TYPES) throw errno.EINVAL;
  if (family === AF.INET || family === AF.INET6) {
    return { family, type, protocol: internetProtocol(call, type, protocol), flags };
  }
  if (family !== AF.UNIX) throw errno.EAFNOSUPPORT;
  if (protocol !== 0 && protocol !== UNIX_PROTOCOL) throw errno.EPROTONOSUPPORT;
  // Linux takes a raw unix socket for one of datagrams.
  if (type === TYPE.RAW) type = TYPE.DGRAM;
  if (type !== TYPE.STREAM && type !== TYPE.DGRAM && type !== TYPE.SEQPACKET) throw errno.ESOCKTNOSUPPORT;
  return { family, type, protocol: 0, flags };
}

const IP_PROTOCOL = { TCP: 6, UDP: 17 } as const;

/** The protocol of an internet socket: TCP for streams, UDP for datagrams; raw ones reach nothing. */
function internetProtocol(call: SystemCall, type: number, protocol: number): number {
  if (type === TYPE.RAW) {
    const who = Task.credentials.get(call.tx, call.task);
    throw auth.isCapable(call.tx, who, CAP.NET_RAW) === 0 ? errno.EPERM : errno.EPROTONOSUPPORT;
  }
  if (type !== TYPE.STREAM && type !== TYPE.DGRAM) throw errno.ESOCKTNOSUPPORT;
  const own = type === TYPE.STREAM ? IP_PROTOCOL.TCP : IP_PROTOCOL.UDP;
  if (protocol !== 0 && protocol !== own) throw errno.EPROTONOSUPPORT;
  return own;
}

/** Gives a socket a file with the flags SOCK_NONBLOCK, and that the free descriptor. */
function install(call: SystemCall, descriptor: number, socket: number, flags: number): number {
  const { tx, task } = call;
  const file = createSocketFile(tx, socket, flags & O.NONBLOCK);
  installFile(tx, Task.files.get(tx, task), descriptor, file, (flags & SOCK.CLOEXEC) !== 0);
  return descriptor;
}

function socket(call: SystemCall): number {
  const { tx } = call;
  const { family, type, protocol, flags } = kindOfSocket(call);
  const table = lockFiles(tx, call.task);
  const descriptor = findFree(tx, table, 0, descriptorLimit(call));
  return install(call, descriptor, sockets.create(tx, family, type, protocol), flags);
}

function socketpair(call: SystemCall): number {
  const { tx } = call;
  const { family, type, protocol, flags } = kindOfSocket(call);
  if (family !== AF.UNIX) throw errno.EOPNOTSUPP;
  const table = lockFiles(tx, call.task);
  const limit = descriptorLimit(call);
  const a = sockets.create(tx, family, type, protocol);
  const b = sockets.create(tx, family, type, protocol);
  sockets.pair(tx, a, b);
  const fds = new DataView(new ArrayBuffer(8));
  fds.setInt32(0, install(call, findFree(tx, table, 0, limit), a, flags), true);
  fds.setInt32(4, install(call, findFree(tx, table, 0, limit), b, flags), true);
  writeUser(call, call.address(3), fds);
  return 0;
}

function bind(call: SystemCall): number {
  const { tx } = call;
  lockSharedFiles(tx, call.task);
  const file = socketFile(call, call.int(0));
  const bytes = readAddress(call, call.address(1), call.int(2));
  clearLetter(tx);
  if (sockets.family(tx, socketOf(tx, file)) === AF.UNIX) {
    putUnixAddress(call, bytes, true);
    sockets.bindUnix(tx, socketOf(tx, file));
    return 0;
  }
  checkPort(call, bytes);
  setAddress(tx, bytes);
  sockets.bindInet(tx, socketOf(tx, file));
  return 0;
}

/** Ports below this are for those with CAP_NET_BIND_SERVICE. */
const PRIVILEGED_PORTS = 1024;

function checkPort(call: SystemCall, address: Uint8Array): void {
  const port = address.length < 4 ? 0 : (address[2]! << 8) | address[3]!;
  if (port === 0 || port >= PRIVILEGED_PORTS) return;
  const who = Task.credentials.get(call.tx, call.task);
  if (auth.isCapable(call.tx, who, CAP.NET_BIND_SERVICE) === 0) throw errno.EACCES;
}

function listen(call: SystemCall): number {
  const { tx } = call;
  const listener = socketOf(tx, socketFile(call, call.int(0)));
  if (sockets.family(tx, listener) !== AF.UNIX) sockets.prepareListen(tx, listener);
  sockets.listen(tx, listener, call.int(1));
  return 0;
}

function connect(call: SystemCall): number {
  const { tx } = call;
  lockSharedFiles(tx, call.task);
  const file = socketFile(call, call.int(0));
  const bytes = readAddress(call, call.address(1), call.int(2));
  const nonblock = isNonblocking(call, file) ? 1 : 0;
  if (bytes.length < 2) throw errno.EINVAL;
  const unspecified = familyOf(bytes) === AF.UNSPEC;
  const family = sockets.family(tx, socketOf(tx, file));
  if (!unspecified) putAddress(call, family, bytes);
  if (family !== AF.UNIX) return sockets.connectInet(tx, socketOf(tx, file), nonblock, unspecified ? 1 : 0);
  sockets.connectUnix(tx, socketOf(tx, file), nonblock, unspecified ? 1 : 0);
  return 0;
}

function acceptWith(call: SystemCall, flags: number): number {
  const { tx } = call;
  call.refuseUnknown(flags, SOCK.NONBLOCK | SOCK.CLOEXEC);
  const table = lockFiles(tx, call.task);
  const file = socketFile(call, call.int(0));
  const family = sockets.family(tx, socketOf(tx, file));
  const descriptor = findFree(tx, table, 0, descriptorLimit(call));
  const embryo = sockets.accept(tx, socketOf(tx, file), isNonblocking(call, file) ? 1 : 0);
  const peer = nameInLetter(call, family);
  install(call, descriptor, embryo, flags);
  if (call.address(1) !== 0) writeAddress(call, call.address(1), call.address(2), peer);
  return descriptor;
}

/** The address in the letter; a socket without a name has its family. */
function nameInLetter(call: SystemCall, family: number): Uint8Array<ArrayBuffer> {
  const name = addressOf(call.tx);
  return name.length > 0 ? name : Uint8Array.of(family, 0);
}

function tellName(call: SystemCall, peer: number): number {
  const { tx } = call;
  lockSharedFiles(tx, call.task);
  const file = socketFile(call, call.int(0));
  const family = sockets.family(tx, socketOf(tx, file));
  sockets.name(tx, socketOf(tx, file), peer);
  writeAddress(call, call.address(1), call.address(2), nameInLetter(call, family));
  return 0;
}

function shutdown(call: SystemCall): number {
  const how = call.uint(1);
  const file = socketFile(call, call.int(0));
  if (how > SHUT_NAMES.SHUT_RDWR) throw errno.EINVAL;
  sockets.shutdown(call.tx, socketOf(call.tx, file), how);
  return 0;
}

// Options.

const OPTION_BYTES = 16;

function setsockopt(call: SystemCall): number {
  const { tx } = call;
  lockSharedFiles(tx, call.task);
  const file = socketFile(call, call.int(0));
  const length = call.int(4);
  if (length < 0) throw errno.EINVAL;
  const value = readUser(call, call.address(3), Math.min(length, OPTION_BYTES));
  const privileged = auth.isCapable(tx, Task.credentials.get(tx, call.task), CAP.NET_ADMIN);
  tx.bytes.fill(0, valueAt(tx), valueAt(tx) + OPTION_BYTES);
  tx.bytes.set(value, valueAt(tx));
  sockets.setOption(tx, socketOf(tx, file), call.int(1), call.int(2), length, privileged);
  return 0;
}

function getsockopt(call: SystemCall): number {
  const { tx } = call;
  lockSharedFiles(tx, call.task);
  const file = socketFile(call, call.int(0));
  const room = readStruct(call, call.address(4), 4).getInt32(0, true);
  if (room < 0) throw errno.EINVAL;
  const bytes = sockets.getOption(tx, socketOf(tx, file), call.int(1), call.int(2));
  const length = Math.min(room, bytes);
  if (length > 0) writeUser(call, call.address(3), tx.bytes.slice(valueAt(tx), valueAt(tx) + length));
  const told = new DataView(new ArrayBuffer(4));
  told.setInt32(0, length, true);
  writeUser(call, call.address(4), told);
  return 0;
}

/** A wait with a time limit (SO_RCVTIMEO, SO_SNDTIMEO) is not begun again after a handler (signal(7)). */
export function restartUnlessTimed(call: SystemCall): RestartKind {
  return Task.deadline.get(call.tx, call.task) === 0 ? "restart" : "interrupt";
}

const families = nameSet(FAMILY_NAMES);
const types = flagSet(
  { SOCK_CLOEXEC: SOCK.CLOEXEC, SOCK_NONBLOCK: SOCK.NONBLOCK },
  {
    mask: SOCK.TYPE_MASK,
    names: [
      ["SOCK_STREAM", TYPE.STREAM],
      ["SOCK_DGRAM", TYPE.DGRAM],
      ["SOCK_RAW", TYPE.RAW],
      ["SOCK_SEQPACKET", TYPE.SEQPACKET],
    ],
  },
);
const acceptFlags = flagSet({ SOCK_CLOEXEC: SOCK.CLOEXEC, SOCK_NONBLOCK: SOCK.NONBLOCK });
const levels = nameSet({ SOL_SOCKET: 1, SOL_IP: 0, SOL_TCP: 6, SOL_UDP: 17, SOL_IPV6: 41 });
const hows = nameSet(SHUT_NAMES);
const waits = { wait: "retry", restartOf: restartUnlessTimed } as const;
const FAMILIES_NOTE = "AF_UNIX, and AF_INET and AF_INET6 inside the machine; other families are EAFNOSUPPORT";

export const socketRows: readonly CallRow[] = [
  partial(198, "socket", [families, types, "int"], FAMILIES_NOTE, socket),
  partial(199, "socketpair", [families, types, "int", "fd-pair-out"], FAMILIES_NOTE, socketpair),
  full(200, "bind", ["fd", "address", "unsigned"], bind),
  full(201, "listen", ["fd", "int"], listen),
  full(202, "accept", ["fd", "address", "address"], (call) => acceptWith(call, 0), waits),
  full(203, "connect", ["fd", "address", "unsigned"], connect, waits),
  full(204, "getsockname", ["fd", "address", "address"], (call) => tellName(call, 0)),
  full(205, "getpeername", ["fd", "address", "address"], (call) => tellName(call, 1)),
  partial(
    208,
    "setsockopt",
    ["fd", levels, "int", "address", "unsigned"],
    "no filters, time stamps or SO_PEEK_OFF; what matters on a wire is kept and has no effect",
    setsockopt,
  ),
  partial(
    209,
    "getsockopt",
    ["fd", levels, "int", "address", "address"],
    "no filters, time stamps, SO_PEERSEC or SO_PEERGROUPS",
    getsockopt,
  ),
  full(210, "shutdown", ["fd", hows], shutdown),
  full(
    242,
    "accept4",
    ["fd", "address", "address", acceptFlags],
    (call) => acceptWith(call, call.uint(3)),
    waits,
  ),
];
