/**
 * System calls as text, in the manner of strace(1): one line when a call has ended, `name(arguments) = result`,
 * decoded by the argument kinds of the call's row. What the call reads is shown as it was when the call began.
 *
 * Decoding looks at the task's memory without faults: what is not there is shown as its address, or looked at
 * again when the call has ended. The text of calls under way is kept in JavaScript only; a trace that changes
 * its thread in the middle of a call begins the line anew.
 */

import { type Errno, errnoOf } from "../base/errno.ts";
import { PAGE_SIZE } from "../base/hart-abi.ts";
import type { HeapView } from "../heap/heap.ts";
import type { CallTrace, SignalInfo, SystemCall } from "../kernel/call.ts";
import { AddressSpace } from "../kernel/memory/records.ts";
import { translate } from "../kernel/memory/page-table.ts";
import { high, low, X } from "../kernel/registers.ts";
import { SIG } from "../kernel/signal.ts";
import { Task } from "../kernel/task.ts";
import { AT_FDCWD, O, S } from "./abi-file.ts";
import { ERRNO_TEXT } from "./errno-text.ts";
import type { Argument, CallRow, FlagSet, NameSet } from "./row.ts";
import { rowOf } from "./table.ts";

/** Bytes of a string, and elements of an array, that are shown. */
const STRING_MAX = 32;
const ARRAY_MAX = 8;

/** One argument as its register holds it. */
interface Raw {
  readonly low: number;
  readonly high: number;
}

/** Looks at the memory of a task; undefined where it is not there. */
type Look = (address: number, length: number) => Uint8Array | undefined;

const unsigned = ({ low, high }: Raw): number => (high >>> 0) * 0x1_0000_0000 + (low >>> 0);
const signed = ({ low, high }: Raw): number => high * 0x1_0000_0000 + (low >>> 0);
const hex = (value: number): string => (value === 0 ? "0" : `0x${value.toString(16)}`);
/** All 64 bits, exactly. */
const hexRaw = ({ low, high }: Raw): string =>
  high === 0 ? hex(low >>> 0) : `0x${(high >>> 0).toString(16)}${(low >>> 0).toString(16).padStart(8, "0")}`;
const pointer = (raw: Raw): string => (raw.low === 0 && raw.high === 0 ? "NULL" : hexRaw(raw));

// Pieces.

const signalNames = new Map<number, string>(
  Object.entries(SIG).map(([name, value]) => [value, `SIG${name}`]),
);

/** The name of a signal: SIGINT, SIGRT_3, or its number. */
export function signalName(signal: number): string {
  return signalNames.get(signal) ?? (signal >= 32 && signal <= 64 ? `SIGRT_${signal - 32}` : String(signal));
}

const ESCAPES = new Map([
  [0x09, "\\t"],
  [0x0a, "\\n"],
  [0x0b, "\\v"],
  [0x0c, "\\f"],
  [0x0d, "\\r"],
  [0x22, '\\"'],
  [0x5c, "\\\\"],
]);

/** Bytes as a C string; `more` if there are others behind them. */
export function quote(bytes: Uint8Array, more: boolean): string {
  let text = "";
  for (const [i, byte] of bytes.entries()) {
    const next = bytes[i + 1];
    const digitFollows = next !== undefined && next >= 0x30 && next <= 0x39;
    const octal = byte.toString(8);
    if (ESCAPES.has(byte)) text += ESCAPES.get(byte)!;
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\${digitFollows ? octal.padStart(3, "0") : octal}`;
  }
  return `"${text}"${more ? "..." : ""}`;
}

/** The names of the flags in `value`, with what has no name in hexadecimal. */
export function flagText(set: FlagSet, value: number): string {
  const parts: string[] = [];
  let rest = value >>> 0;
  if (set.field !== undefined) {
    const field = (rest & set.field.mask) >>> 0;
    const found = set.field.names.find(([, known]) => known === field);
    if (found !== undefined) {
      parts.push(found[0]);
      rest = (rest & ~set.field.mask) >>> 0;
    }
  }
  for (const [name, bits] of set.names) {
    if (bits === 0 || (rest & bits) >>> 0 !== bits >>> 0) continue;
    parts.push(name);
    rest = (rest & ~bits) >>> 0;
  }
  if (rest !== 0) parts.push(hex(rest));
  return parts.length === 0 ? "0" : parts.join("|");
}

function nameText(set: NameSet, value: number): string {
  return set.names.find(([, known]) => known >>> 0 === value >>> 0)?.[0] ?? hex(value >>> 0);
}

/** The signals of a set: [INT CHLD], or ~[…] if most are in it. */
export function sigsetText(lowBits: number, highBits: number): string {
  const within: string[] = [];
  const without: string[] = [];
  for (let signal = 1; signal <= 64; signal++) {
    const bits = signal <= 32 ? lowBits : highBits;
    const name = signalName(signal).replace(/^SIG/, "");
    (((bits >>> ((signal - 1) & 31)) & 1) !== 0 ? within : without).push(name);
  }
  return within.length > 32 ? `~[${without.join(" ")}]` : `[${within.join(" ")}]`;
}

/** st_mode: S_IFREG|0644. */
export function modeText(mode: number): string {
  const type = Object.entries(S).find(
    ([name, value]) => name.startsWith("IF") && name !== "IFMT" && value === (mode & S.IFMT),
  );
  const rest = `0${(mode & 0o7777).toString(8).padStart(3, "0")}`;
  return type === undefined ? rest : `S_${type[0]}|${rest}`;
}

// Structures in memory.

function viewAt(look: Look, address: number, length: number): DataView | undefined {
  const bytes = look(address, length);
  return bytes && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function bytesText(look: Look, address: number, length: number): string | undefined {
  if (length === 0) return '""';
  const bytes = look(address, Math.min(length, STRING_MAX));
  return bytes && quote(bytes, length > STRING_MAX);
}

function stringText(look: Look, address: number): string | undefined {
  const bytes: number[] = [];
  const MOST = 4096;
  while (bytes.length < MOST) {
    const byte = look(address + bytes.length, 1)?.[0];
    if (byte === undefined) return undefined;
    if (byte === 0) return quote(Uint8Array.from(bytes), false);
    bytes.push(byte);
  }
  return quote(Uint8Array.from(bytes), true);
}

function pointersAt(look: Look, address: number): number[] | undefined {
  const pointers: number[] = [];
  for (;;) {
    const view = viewAt(look, address + pointers.length * 8, 8);
    if (view === undefined) return undefined;
    const value = view.getUint32(4, true) * 0x1_0000_0000 + view.getUint32(0, true);
    if (value === 0 || pointers.length === 4096) return pointers;
    pointers.push(value);
  }
}

function stringsText(look: Look, address: number): string | undefined {
  const pointers = pointersAt(look, address);
  if (pointers === undefined) return undefined;
  const shown = pointers.slice(0, STRING_MAX).map((at) => stringText(look, at) ?? hex(at));
  return `[${shown.join(", ")}${pointers.length > STRING_MAX ? ", ..." : ""}]`;
}

function timespecText(look: Look, address: number): string | undefined {
  const view = viewAt(look, address, 16);
  if (view === undefined) return undefined;
  const seconds = view.getInt32(4, true) * 0x1_0000_0000 + view.getUint32(0, true);
  return `{tv_sec=${seconds}, tv_nsec=${view.getUint32(8, true)}}`;
}

function statText(look: Look, address: number): string | undefined {
  const view = viewAt(look, address, 128);
  if (view === undefined) return undefined;
  const mode = view.getUint32(16, true);
  const size = view.getUint32(52, true) * 0x1_0000_0000 + view.getUint32(48, true);
  const device = view.getUint32(32, true);
  const isDevice = (mode & S.IFMT) === S.IFCHR || (mode & S.IFMT) === S.IFBLK;
  const rdev = `st_rdev=makedev(${hex((device >>> 8) & 0xfff)}, ${hex((device & 0xff) | ((device >>> 12) & 0xf_ff00))})`;
  return `{st_mode=${modeText(mode)}, ${isDevice ? rdev : `st_size=${size}`}, ...}`;
}

function vectorsText(look: Look, address: number, count: number, filled: number): string | undefined {
  const parts: string[] = [];
  let left = filled;
  for (let i = 0; i < Math.min(count, ARRAY_MAX); i++) {
    const view = viewAt(look, address + i * 16, 16);
    if (view === undefined) return undefined;
    const base = view.getUint32(4, true) * 0x1_0000_0000 + view.getUint32(0, true);
    const length = view.getUint32(12, true) * 0x1_0000_0000 + view.getUint32(8, true);
    const bytes = Math.min(length, left);
    left -= bytes;
    parts.push(`{iov_base=${bytesText(look, base, bytes) ?? hex(base)}, iov_len=${length}}`);
  }
  return `[${parts.join(", ")}${count > ARRAY_MAX ? ", ..." : ""}]`;
}

const POLL_NAMES: FlagSet = {
  kind: "flags",
  names: [
    ["POLLIN", 1],
    ["POLLPRI", 2],
    ["POLLOUT", 4],
    ["POLLERR", 8],
    ["POLLHUP", 16],
    ["POLLNVAL", 32],
    ["POLLRDNORM", 64],
    ["POLLWRNORM", 256],
  ],
};

function pollText(look: Look, address: number, count: number): string | undefined {
  const parts: string[] = [];
  for (let i = 0; i < Math.min(count, ARRAY_MAX); i++) {
    const view = viewAt(look, address + i * 8, 8);
    if (view === undefined) return undefined;
    parts.push(`{fd=${view.getInt32(0, true)}, events=${flagText(POLL_NAMES, view.getUint16(4, true))}}`);
  }
  return `[${parts.join(", ")}${count > ARRAY_MAX ? ", ..." : ""}]`;
}

function sigsetAt(look: Look, address: number): string | undefined {
  const view = viewAt(look, address, 8);
  return view && sigsetText(view.getInt32(0, true), view.getInt32(4, true));
}

// Arguments.

/** Kinds that are looked at when the call has ended. */
const AT_EXIT = new Set<Argument>([
  "bytes-out",
  "string-out",
  "timespec-out",
  "sigset-out",
  "stat-out",
  "fd-pair-out",
  "int-out",
  "iovec-out",
]);

/** What a pointer argument leads to; undefined if that is not to be seen. `result`: of the call, at its end. */
function pointed(kind: Argument, look: Look, address: number, next: Raw, result: number): string | undefined {
  switch (kind) {
    case "string":
    case "string-out":
      return stringText(look, address);
    case "strings":
      return stringsText(look, address);
    case "environment": {
      const pointers = pointersAt(look, address);
      return pointers && `${hex(address)} /* ${pointers.length} vars */`;
    }
    case "bytes-in":
      return bytesText(look, address, unsigned(next));
    case "bytes-out":
      return bytesText(look, address, result);
    case "timespec":
    case "timespec-out":
      return timespecText(look, address);
    case "sigset":
    case "sigset-out":
      return sigsetAt(look, address);
    case "stat-out":
      return statText(look, address);
    case "fd-pair-out": {
      const view = viewAt(look, address, 8);
      return view && `[${view.getInt32(0, true)}, ${view.getInt32(4, true)}]`;
    }
    case "int-out": {
      const view = viewAt(look, address, 4);
      return view && `[${view.getInt32(0, true)}]`;
    }
    case "iovec-in":
      return vectorsText(look, address, unsigned(next), Number.POSITIVE_INFINITY);
    case "iovec-out":
      return vectorsText(look, address, unsigned(next), result);
    case "pollfds":
      return pollText(look, address, unsigned(next));
    default:
      return undefined;
  }
}

/** The text of an argument, or undefined if it must be looked at when the call has ended. */
export function argumentText(
  kind: Argument,
  raw: Raw,
  next: Raw,
  look: Look,
  result: number | undefined,
): string | undefined {
  if (typeof kind === "object") {
    return kind.kind === "flags" ? flagText(kind, raw.low) : nameText(kind, raw.low);
  }
  switch (kind) {
    case "int":
    case "fd":
    case "pid":
      return String(raw.low);
    case "long":
      return String(signed(raw));
    case "unsigned":
      return String(unsigned(raw));
    case "hex":
      return hexRaw(raw);
    case "address":
      return pointer(raw);
    case "dirfd":
      return raw.low === AT_FDCWD ? "AT_FDCWD" : String(raw.low);
    case "mode":
    case "open-mode":
      return `0${(raw.low & 0o177777).toString(8).padStart(3, "0")}`;
    case "signal":
      return signalName(raw.low);
    default:
  }
  const address = unsigned(raw);
  if (address === 0) return "NULL";
  if (result === undefined) return AT_EXIT.has(kind) ? undefined : pointed(kind, look, address, next, 0);
  if (result < 0 && AT_EXIT.has(kind)) return pointer(raw);
  return pointed(kind, look, address, next, result) ?? pointer(raw);
}

/** The result as strace shows it. */
export function resultText(row: CallRow | undefined, result: number): string {
  if (Number.isNaN(result)) return "0";
  if (result < 0 && result >= -4095) {
    const error: Errno = errnoOf(-result);
    const text = ERRNO_TEXT[error.name as keyof typeof ERRNO_TEXT];
    return `-1 ${error.name} (${text})`;
  }
  return row?.result === "address" ? hex(result) : String(result);
}

// The trace.

/** A call under way. */
interface Line {
  readonly number: number;
  readonly raw: readonly Raw[];
  readonly parts: (string | undefined)[];
}

const CHILD_CODES = [
  "",
  "CLD_EXITED",
  "CLD_KILLED",
  "CLD_DUMPED",
  "CLD_TRAPPED",
  "CLD_STOPPED",
  "CLD_CONTINUED",
];

function codeText(info: SignalInfo): string {
  if (info.signal === SIG.CHLD && info.code > 0) return CHILD_CODES[info.code] ?? String(info.code);
  const names = new Map([
    [0, "SI_USER"],
    [0x80, "SI_KERNEL"],
    [-1, "SI_QUEUE"],
    [-2, "SI_TIMER"],
    [-6, "SI_TKILL"],
  ]);
  return names.get(info.code) ?? String(info.code);
}

/** A signal as strace shows it between calls. */
export function signalText(info: SignalInfo): string {
  const name = signalName(info.signal);
  const fields = [`si_signo=${name}`, `si_code=${codeText(info)}`];
  const isFault = [SIG.SEGV, SIG.BUS, SIG.ILL, SIG.TRAP, SIG.FPE].some((signal) => signal === info.signal);
  if (isFault && info.code > 0) fields.push(`si_addr=${hex(info.address)}`);
  else fields.push(`si_pid=${info.pid}`, `si_uid=${info.uid}`);
  if (info.signal === SIG.CHLD) fields.push(`si_status=${info.status}`);
  return `--- ${name} {${fields.join(", ")}} ---`;
}

function lookAt(view: HeapView, space: AddressSpace): Look {
  const root = space === 0 ? 0 : AddressSpace.root.get(view, space);
  return (address, length) => {
    if (space === 0) return undefined;
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const at = address + done;
      const pa = translate(view, root, at, false);
      if (pa < 0) return undefined;
      const run = Math.min(PAGE_SIZE - (at % PAGE_SIZE), length - done);
      bytes.set(view.memoryBytes.subarray(pa, pa + run), done);
      done += run;
    }
    return bytes;
  };
}

/** A trace that gives each line, with its newline, to `write`. One for each thread. */
export function createTrace(write: (text: string) => void): CallTrace {
  const lines = new Map<number, Line>();
  const prefix = (call: SystemCall): string => `[pid ${Task.tid.get(call.tx, call.task)}] `;
  const nameOf = (number: number): string => rowOf(number)?.name ?? `syscall_${hex(number)}`;
  const decode = (call: SystemCall, line: Line, result: number | undefined): void => {
    const look = lookAt(call.tx, Task.space.get(call.tx, call.task));
    const args = rowOf(line.number)?.args ?? [];
    for (const [i, kind] of args.entries()) {
      const zero = { low: 0, high: 0 };
      const creates = O.CREAT | (O.TMPFILE & ~O.DIRECTORY);
      if (kind === "open-mode" && ((line.raw[i - 1] ?? zero).low & creates) === 0) continue;
      line.parts[i] ??= argumentText(kind, line.raw[i] ?? zero, line.raw[i + 1] ?? zero, look, result);
    }
  };
  const print = (call: SystemCall, line: Line, result: string): void => {
    write(
      `${prefix(call)}${nameOf(line.number)}(${line.parts.filter((part) => part !== undefined).join(", ")}) = ${result}\n`,
    );
  };
  return {
    enter(call, number) {
      // A call that is run again goes on with its line.
      if (lines.get(call.task)?.number === number && Task.inCall.get(call.tx, call.task) !== 0) return;
      const raw: Raw[] = [];
      for (let i = 0; i < 6; i++) {
        raw.push({
          low: low(call.tx, call.registers, X.a0 + i),
          high: high(call.tx, call.registers, X.a0 + i),
        });
      }
      const line: Line = { number, raw, parts: [] };
      decode(call, line, undefined);
      if (rowOf(number)?.result === "none") {
        print(call, line, "?");
        return;
      }
      lines.set(call.task, line);
    },
    exit(call, number, result) {
      const line = lines.get(call.task);
      lines.delete(call.task);
      if (line === undefined || line.number !== number) return;
      // After an execve the old memory is gone: what could not be seen at its beginning is not to be seen now.
      decode(call, line, Number.isNaN(result) ? 0 : result);
      print(call, line, resultText(rowOf(number), result));
    },
    signal(call, signal, info) {
      const line = lines.get(call.task);
      if (line !== undefined) {
        lines.delete(call.task);
        decode(call, line, -1);
        print(call, line, "? ERESTARTSYS (To be restarted if SA_RESTART is set)");
      }
      write(`${prefix(call)}${signalText({ ...info, signal })}\n`);
    },
  };
}
