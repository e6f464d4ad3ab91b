/**
 * Sockets: this machine has no address family yet, which is what Linux without its network modules says too, and
 * what programs (PAM, syslog) take for "there is nobody to tell".
 */

import { errno } from "../base/errno.ts";
import type { CallHandler } from "../kernel/call.ts";
import { type CallRow, partial } from "./row.ts";

/** Types are below 16; SOCK_NONBLOCK and SOCK_CLOEXEC may be added. */
const KNOWN_FLAGS = 0o4000 | 0o2000000 | 0xf;

const noFamily: CallHandler = (call) => {
  call.refuseUnknown(call.uint(1), KNOWN_FLAGS);
  throw errno.EAFNOSUPPORT;
};

const NOTE = "no address family yet: EAFNOSUPPORT";

export const socketRows: readonly CallRow[] = [
  partial(198, "socket", ["int", "hex", "int"], NOTE, noFamily),
  partial(199, "socketpair", ["int", "hex", "int", "fd-pair-out"], NOTE, noFamily),
];
