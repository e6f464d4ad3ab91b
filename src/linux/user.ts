/**
 * The caller's memory, as handlers use it: kernel/memory/user-memory.ts with the caller's address space filled
 * in, and structures as views. Missing pages are not these functions' business: the request is run again when
 * they are there. A bad address throws EFAULT.
 */

import { errno } from "../base/errno.ts";
import {
  ENTRY_INVALID,
  LEAF_ENTRIES,
  LEAF_READ,
  LEAF_WRITE,
  PAGE_SHIFT,
  PAGE_SIZE,
  REG_ROOT,
  REG_X,
  VA_BITS,
} from "../base/hart-abi.ts";
import type { SystemCall } from "../kernel/call.ts";
import * as memory from "../kernel/memory/user-memory.ts";
import type { AddressSpace } from "../kernel/memory/records.ts";
import { X } from "../kernel/registers.ts";
import { addSegment, clearSegments } from "../kernel/request.ts";
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

/**
 * Writes `bytes` where the call has read its arguments, or may have: a caller may give one address for both. It is
 * undone with the call, whose next attempt must read what the first one read.
 */
export function writeBack(call: SystemCall, address: number, bytes: ArrayBufferView): void {
  const { buffer, byteOffset, byteLength } = bytes;
  memory.storeToUser(call.tx, spaceOf(call), address, new Uint8Array(buffer, byteOffset, byteLength));
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

const LEAF_MASK: number = LEAF_ENTRIES - 1;
/** High words of addresses that can be valid. */
const HIGH_LIMIT = 2 ** (VA_BITS - 32);

/**
 * Makes the `length` bytes at the address in argument `index` the request's one segment, if they lie in one page
 * that allows the access now: the usual case of a short read or write, in integers only. False: take the long way.
 */
export function placeSegment(call: SystemCall, index: number, length: number, write: boolean): boolean {
  const { tx, registers } = call;
  const m = tx.memory;
  const at = registers + ((REG_X + (X.a0 + index) * 8) >> 2);
  const low = m[at]!;
  const high = m[at + 1]! >>> 0;
  if (length === 0 || high >= HIGH_LIMIT || (low & (PAGE_SIZE - 1)) + length > PAGE_SIZE) return false;
  const root = m[registers + (REG_ROOT >> 2)]! >>> 2;
  const leaf = m[root + ((high << 8) | (low >>> 24))]! >>> 2;
  const entry = m[leaf + ((write ? LEAF_WRITE : LEAF_READ) >> 2) + ((low >>> PAGE_SHIFT) & LEAF_MASK)]!;
  if ((entry & ENTRY_INVALID) !== 0) return false;
  clearSegments(tx);
  addSegment(tx, (entry + low) >>> 0, length);
  return true;
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
  return memory.textFromUser(call.tx, spaceOf(call), address, most);
}
