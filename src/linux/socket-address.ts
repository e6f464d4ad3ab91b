/**
 * Socket addresses between user memory and the request's letter (servers/socket/letter.ts). A path becomes an
 * inode here: names in the file system are the vfs server's.
 */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { pathAt } from "../kernel/request.ts";
import { none } from "../heap/record.ts";
import { clearLetter, setAddress, setLetterField } from "../servers/socket/letter.ts";
import { AF } from "../servers/socket/records.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { ADDRESS_BYTES, UNIX_ADDRESS_BYTES } from "./abi-socket.ts";
import { contextOf, type Place } from "./paths.ts";
import { readStruct, readUser, writeUser } from "./user.ts";

/** Where the path begins in struct sockaddr_un. */
const PATH_AT = 2;

/** The address of `length` bytes at `address`. Throws EINVAL for a length that no address has. */
export function readAddress(call: SystemCall, address: number, length: number): Uint8Array<ArrayBuffer> {
  if (length < 0 || length > ADDRESS_BYTES) throw errno.EINVAL;
  return length === 0 ? new Uint8Array(0) : readUser(call, address, length);
}

export function familyOf(bytes: Uint8Array): number {
  return bytes.length < 2 ? AF.UNSPEC : bytes[0]! | (bytes[1]! << 8);
}

/**
 * Writes a unix address into an empty letter; its path is looked up, or made for `bind`. A letter without an
 * inode has an abstract name, or no name at all, which only `bind` allows.
 */
export function putUnixAddress(call: SystemCall, bytes: Uint8Array<ArrayBuffer>, bind: boolean): void {
  const { tx } = call;
  if (bytes.length < PATH_AT || bytes.length > UNIX_ADDRESS_BYTES) throw errno.EINVAL;
  if (familyOf(bytes) !== AF.UNIX) throw errno.EINVAL;
  if (bytes.length === PATH_AT) {
    if (!bind) throw errno.EINVAL;
    setAddress(tx, bytes);
    return;
  }
  if (bytes[PATH_AT] === 0) {
    setAddress(tx, bytes);
    return;
  }
  const zero = bytes.indexOf(0, PATH_AT);
  const path = bytes.subarray(PATH_AT, zero < 0 ? bytes.length : zero);
  tx.bytes.set(path, pathAt(tx, 0));
  const [context, credentials] = contextOf(call);
  const place: Place = [context, credentials, none(), 0, path.length];
  const inode = bind ? makeNode(call, place) : vfs.findSocket(tx, ...place);
  setLetterField(tx, "inode", inode);
  const whole = new Uint8Array(PATH_AT + path.length + 1);
  whole.set(bytes.subarray(0, PATH_AT + path.length));
  setAddress(tx, whole);
}

function makeNode(call: SystemCall, place: Place): number {
  try {
    return vfs.makeSocket(call.tx, ...place);
  } catch (error) {
    throw error === errno.EEXIST ? errno.EADDRINUSE : error;
  }
}

/** An empty letter that has `bytes` as its address, for a socket of `family`; nothing for no bytes. */
export function putAddress(call: SystemCall, family: number, bytes: Uint8Array<ArrayBuffer>): void {
  clearLetter(call.tx);
  if (bytes.length === 0) return;
  if (family === AF.UNIX) putUnixAddress(call, bytes, false);
  else setAddress(call.tx, bytes);
}

/** Writes an address to a buffer whose size stands at `lengthAt`, which gets the address's own length. */
export function writeAddress(
  call: SystemCall,
  address: number,
  lengthAt: number,
  bytes: Uint8Array<ArrayBuffer>,
): void {
  const room = readStruct(call, lengthAt, 4).getInt32(0, true);
  if (room < 0) throw errno.EINVAL;
  if (room > 0 && bytes.length > 0) writeUser(call, address, bytes.slice(0, Math.min(room, bytes.length)));
  const length = new DataView(new ArrayBuffer(4));
  length.setInt32(0, bytes.length, true);
  writeUser(call, lengthAt, length);
}
