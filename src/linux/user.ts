/**
 * The caller's memory, as handlers use it: kernel/memory/user-memory.ts with the caller's address space filled
 * in, and structures as views. Missing pages are not these functions' business: the request is run again when
 * they are there. A bad address throws EFAULT.
 */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import * as memory from "../kernel/memory/user-memory.ts";
import type { AddressSpace } from "../kernel/memory/records.ts";
import { Task } from "../kernel/task.ts";

/** The caller's address space. */
export function spaceOf(call: SystemCall): AddressSpace {
  return Task.space.get(call.tx, call.task);
}

/** A copy of `length` bytes at `address`. */
export function readUser(call: SystemCall, address: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  memory.copyFromUser(call.tx, spaceOf(call), address, bytes);
  return bytes;
}

/** A copy of the structure of `length` bytes at `address`. */
export function readStruct(call: SystemCall, address: number, length: number): DataView<ArrayBuffer> {
  return new DataView(readUser(call, address, length).buffer);
}

/** Writes `bytes` to `address`. Not undone by a rollback: the last thing that a handler does. */
export function writeUser(call: SystemCall, address: number, bytes: ArrayBufferView): void {
  const { buffer, byteOffset, byteLength } = bytes;
  memory.copyToUser(call.tx, spaceOf(call), address, new Uint8Array(buffer, byteOffset, byteLength));
}

/** The pointer-sized number at `address`; inexact beyond 2^53, which no valid address or size is. */
export function readPointer(call: SystemCall, address: number): number {
  const space = spaceOf(call);
  const high = memory.getU32(call.tx, space, address + 4);
  return high * 0x1_0000_0000 + memory.getU32(call.tx, space, address);
}

/**
 * Makes the `length` bytes at `address` the request's segments, all of them; with `partial` as many as there
 * are, at least one. Returns their number.
 */
export function segmentsFor(
  call: SystemCall,
  address: number,
  length: number,
  write: boolean,
  partial = false,
): number {
  const got = memory.userSegments(call.tx, spaceOf(call), address, length, write);
  if (got < length && !partial) throw errno.EFAULT;
  return got;
}

/** Adds up to `length` bytes at `address` behind the segments that are there; returns how many. */
export function addUserSegments(call: SystemCall, address: number, length: number, write: boolean): number {
  return memory.addUserSegments(call.tx, spaceOf(call), address, length, write);
}

/** Copies the string at `address` into path buffer `which`; returns its bytes. Throws ENAMETOOLONG. */
export function copyPath(call: SystemCall, address: number, which: number): number {
  return memory.pathFromUser(call.tx, spaceOf(call), address, which);
}

/** The string at `address` without its zero, or undefined if it is longer than `most` bytes. */
export function readString(
  call: SystemCall,
  address: number,
  most: number,
): Uint8Array<ArrayBuffer> | undefined {
  const buffer = new Uint8Array(most + 1);
  const length = memory.stringFromUser(call.tx, spaceOf(call), address, buffer);
  return length < 0 ? undefined : buffer.slice(0, length);
}
