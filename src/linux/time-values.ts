/** Times as system calls take and give them. Inside, a time is a number of nanoseconds. */

import { errno } from "../base/errno.ts";
import type { SystemCall } from "../kernel/call.ts";
import { readUser, writeUser } from "./user.ts";

const NS = 1e9;
/** From here on a time is "for ever", as in Linux (KTIME_MAX): the year 2262, if it is a date. */
const TIME_MAX = 2 ** 63;

/**
 * The struct timespec at `address` in ns; EINVAL if it is none. A date has a resolution of 256 ns here, for it
 * lies beyond 2^53 ns.
 */
export function readTimespec(call: SystemCall, address: number): number {
  const bytes = readUser(call, address, 16);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const seconds = Number(view.getBigInt64(0, true));
  const nanoseconds = Number(view.getBigInt64(8, true));
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
  writeUser(call, address, pairBytes(Math.floor(time / NS), time % NS));
}

/** Writes `time` (ns) as a struct timeval. */
export function writeTimeval(call: SystemCall, address: number, time: number): void {
  writeUser(call, address, pairBytes(Math.floor(time / NS), Math.floor((time % NS) / 1000)));
}

/** The struct timeval at `address` in ns; EINVAL if it is none. */
export function readTimeval(call: SystemCall, address: number): number {
  const bytes = readUser(call, address, 16);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const seconds = Number(view.getBigInt64(0, true));
  const micros = Number(view.getBigInt64(8, true));
  if (seconds < 0 || micros < 0 || micros >= 1e6) throw errno.EINVAL;
  return Math.min(seconds * NS + micros * 1000, Number.MAX_SAFE_INTEGER);
}
