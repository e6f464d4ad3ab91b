/**
 * The socket server: its contract, and open files of kind "socket".
 *
 * Sockets are records; addresses, descriptors and option values travel in the request's letter (letter.ts),
 * bytes in its segments. The locks that an operation takes are in records.ts; no operation calls another server.
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { createFile, File, type FileKind, registerFileKind } from "../../kernel/file.ts";
import { defineServer } from "../../kernel/placement.ts";
import { dropAfterCommit } from "../server.ts";
import * as connections from "./connections.ts";
import * as inet from "./inet.ts";
import "./invariants.ts";
import { getOption, setOption } from "./options.ts";
import { AF, Socket } from "./records.ts";
import { buryFile } from "./rights.ts";
import * as transfer from "./transfer.ts";

export const socketServer = defineServer("socket", {
  create: connections.createSocket,
  pair: connections.pair,
  bindUnix: connections.bindUnix,
  bindInet: inet.bindInet,
  /** Before `listen` on an internet socket: gives it a port if it has none. */
  prepareListen: inet.prepareListen,
  listen: connections.listen,
  connectUnix: connections.connectUnix,
  /** 0 or −errno: EINPROGRESS leaves a connection behind. */
  connectInet: inet.connectInet,
  accept: connections.accept,
  /** The address in the letter; with 1 the peer's. */
  name: (tx: Transaction, socket: Socket, peer: number): void => {
    connections.nameOf(tx, socket, peer);
    if (peer === 0 && Socket.family.get(tx, socket) !== AF.UNIX) inet.showConnected(tx, socket);
  },
  shutdown: connections.shutdown,
  /** Of the segments; 1 at the end: there is a letter. EPIPE comes without its signal. */
  send: transfer.send,
  /** Puts more bytes and descriptors into a message that one transaction cannot make; `send` sends it. */
  stage: transfer.stage,
  dropStaged: transfer.dropStaged,
  receive: transfer.receive,
  receiveRest: transfer.receiveRest,
  poll: transfer.poll,
  /** A file of the letter that found no descriptor: its reference is given up. */
  giveBack: buryFile,
  // What never changes about a socket, and its send buffer as a hint: without a lock.
  family: (tx: Transaction, socket: Socket): number => Socket.family.get(tx, socket),
  type: (tx: Transaction, socket: Socket): number => Socket.type.get(tx, socket),
  sendBuffer: (tx: Transaction, socket: Socket): number => Socket.sendBuffer.get(tx, socket),
  available: transfer.available,
  unsent: transfer.unsent,
  getOption,
  setOption,
  /** The socket's file is gone: so is the socket, after the commit. */
  close: (tx: Transaction, socket: Socket): void => dropAfterCommit(tx, socket),
});

export const sockets: typeof socketServer.operations = socketServer.operations;

const O_RDWR = 2;

export function socketOf(tx: Transaction, file: File): Socket {
  return File.object.get(tx, file) as Socket;
}

/** An open file of a new socket, with `flags` (O_NONBLOCK). */
export function createSocketFile(tx: Transaction, socket: number, flags: number): File {
  return createFile(tx, "socket", socket, O_RDWR | flags);
}

const socketKind: FileKind = {
  name: "socket",
  read(tx, file, length, offset, nonblock) {
    if (offset !== -1) throw errno.ESPIPE;
    if (length === 0) return 0;
    return sockets.receive(tx, socketOf(tx, file), length, length, 0, nonblock ? 1 : 0, 0);
  },
  write(tx, file, length, offset, nonblock) {
    if (offset !== -1) throw errno.ESPIPE;
    return sockets.send(tx, socketOf(tx, file), length, nonblock ? 1 : 0, 0);
  },
  poll: (tx, file, note) => sockets.poll(tx, socketOf(tx, file), note ? 1 : 0),
  release: (tx, file) => sockets.close(tx, socketOf(tx, file)),
};
registerFileKind(socketKind);
