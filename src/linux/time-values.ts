/** Times as system calls take and give them. Inside, a time is a number of nanoseconds. */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { getI32, getU32, putU64 } from "../kernel/memory/user-memory.ts";
import { spaceOf } from "./user.ts";

const NS = 1e9;
/** From here on a time is "for ever", as in Linux (KTIME_MAX): the year 2262, if it is a date. */
const TIME_MAX = 2 ** 63;

/** The long at `address`; inexact beyond 2^53, where it says "for ever" anyway. */
function readLong(call: SystemCall, address: number): number {
  const space = spaceOf(call);
  return getI32(call.tx, space, address + 4) * 0x1_0000_0000 + getU32(call.tx, space, address);
}

/** Writes two longs. In numbers, word by word: programs read clocks all the time. */
function writeLongs(call: SystemCall, address: number, first: number, second: number): void {
  const space = spaceOf(call);
  putU64(call.tx, space, address, first);
  putU64(call.tx, space, address + 8, second);
}

/**
 * The struct timespec at `address` in ns; EINVAL if it is none. A date has a resolution of 256 ns here, for it
 * lies beyond 2^53 ns.
 */
export function readTimespec(call: SystemCall, address: number): number {
  const seconds = readLong(call, address);
  const nanoseconds = readLong(call, address + 8);
  if (seconds < 0 || nanoseconds < 0 || nanoseconds >= NS) throw errno.EINVAL;
  const time = seconds * NS + nanoseconds;
  return time >= TIME_MAX ? Number.POSITIVE_INFINITY : time;
}

/** Two 64-bit integers. */
export function pairBytes(first: number, second: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigInt64(0, BigInt(Math.trunc(first)), true);
  view.setBigInt64(8, BigInt(Math.trunc(second)), true);
  return new Uint8Array(view.buffer);
}

/** Writes `time` (ns) as a struct timespec. */
export function writeTimespec(call: SystemCall, address: number, time: number): void {
  writeLongs(call, address, Math.floor(time / NS), time % NS);
}

/** Writes `time` (ns) as a struct timeval. */
export function writeTimeval(call: SystemCall, address: number, time: number): void {
  writeLongs(call, address, Math.floor(time / NS), Math.floor((time % NS) / 1000));
}

/** The struct timeval at `address` in ns; EINVAL if it is none. */
export function readTimeval(call: SystemCall, address: number): number {
  const seconds = readLong(call, address);
  const micros = readLong(call, address + 8);
  if (seconds < 0 || micros < 0 || micros >= 1e6) throw errno.EINVAL;
  return Math.min(seconds * NS + micros * 1000, Number.MAX_SAFE_INTEGER);
}
