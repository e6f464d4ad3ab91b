/**
 * ELF64 files for riscv, as execve reads them (System V gABI chapters 4 and 5; the RISC-V ELF psABI). Pure
 * functions of bytes: every field comes from the guest and is checked before it is used; what cannot be
 * executed is ENOEXEC or EINVAL.
 *
 *     ELF header, 64 bytes                      program header, 56 bytes
 *      0 magic, class, data, version             0 type      4 flags
 *     16 type    18 machine    20 version        8 offset in the file
 *     24 entry   32 phoff      40 shoff         16 virtual address
 *     48 flags   52 ehsize     54 phentsize     32 bytes in the file
 *     56 phnum                                  40 bytes in memory    48 alignment
 */

import { errno } from "../base/errno.ts";
import { PAGE_SIZE, VA_LIMIT } from "../base/hart-abi.ts";
import { PROT } from "./abi-memory.ts";

export const HEADER_BYTES = 64;
export const PROGRAM_HEADER_BYTES = 56;
/** Linux takes no more bytes of program headers than a page of 64 KiB. */
const PROGRAM_HEADERS_MAX = 65536;
const PATH_MAX = 4096;

const ET_EXEC = 2;
const ET_DYN = 3;
const EM_RISCV = 243;
const PT = { LOAD: 1, INTERP: 3, PHDR: 6, GNU_STACK: 0x6474_e551 } as const;
const PF = { X: 1, W: 2, R: 4 } as const;

export interface ElfHeader {
  /** Linked to run at any address (ET_DYN). */
  readonly relocatable: boolean;
  readonly entry: number;
  readonly programHeadersAt: number;
  readonly programHeaders: number;
}

/** A piece of the file that is mapped. Addresses are as linked; a relocatable file is moved as a whole. */
export interface LoadSegment {
  readonly fileOffset: number;
  readonly address: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  /** PROT bits. */
  readonly protection: number;
}

export interface ElfImage extends ElfHeader {
  readonly segments: readonly LoadSegment[];
  /** First page and end, page-aligned, over all segments. */
  readonly start: number;
  readonly end: number;
  /** Alignment that a relocatable file wants of its base, at least a page. */
  readonly alignment: number;
  /** Where the program headers lie in memory, as linked; 0 if they are not loaded. */
  readonly programHeadersAddress: number;
  /** Where the interpreter's name lies in the file, with its zero. */
  readonly interpreter: { readonly offset: number; readonly length: number } | undefined;
  readonly executableStack: boolean;
}

/** Whether `bytes` begin as an ELF file does. */
export function isElf(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** An unsigned 64-bit field; inexact beyond 2^53, but then too large for any use. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

/** The header, from the first bytes of a file. Throws ENOEXEC. */
export function parseHeader(bytes: Uint8Array): ElfHeader {
  if (bytes.length < HEADER_BYTES || !isElf(bytes)) throw errno.ENOEXEC;
  const view = viewOf(bytes);
  const CLASS_64 = 2;
  const LITTLE_ENDIAN = 1;
  if (bytes[4] !== CLASS_64 || bytes[5] !== LITTLE_ENDIAN) throw errno.ENOEXEC;
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) throw errno.ENOEXEC;
  if (view.getUint16(18, true) !== EM_RISCV) throw errno.ENOEXEC;
  if (view.getUint16(54, true) !== PROGRAM_HEADER_BYTES) throw errno.ENOEXEC;
  const programHeaders = view.getUint16(56, true);
  if (programHeaders === 0 || programHeaders * PROGRAM_HEADER_BYTES > PROGRAM_HEADERS_MAX)
    throw errno.ENOEXEC;
  const programHeadersAt = u64(view, 32);
  if (!Number.isSafeInteger(programHeadersAt)) throw errno.ENOEXEC;
  return { relocatable: type === ET_DYN, entry: u64(view, 24), programHeadersAt, programHeaders };
}

function protectionOf(flags: number): number {
  return (
    ((flags & PF.R) !== 0 ? PROT.READ : 0) |
    ((flags & PF.W) !== 0 ? PROT.WRITE : 0) |
    ((flags & PF.X) !== 0 ? PROT.EXEC : 0)
  );
}

function parseLoad(view: DataView, at: number): LoadSegment {
  const segment: LoadSegment = {
    fileOffset: u64(view, at + 8),
    address: u64(view, at + 16),
    fileBytes: u64(view, at + 32),
    memoryBytes: u64(view, at + 40),
    protection: protectionOf(view.getUint32(at + 4, true)),
  };
  const { fileOffset, address, fileBytes, memoryBytes } = segment;
  if (fileBytes > memoryBytes || memoryBytes > VA_LIMIT || address > VA_LIMIT - memoryBytes)
    throw errno.EINVAL;
  if (!Number.isSafeInteger(fileOffset + fileBytes)) throw errno.EINVAL;
  if (fileBytes > 0 && (address - fileOffset) % PAGE_SIZE !== 0) throw errno.EINVAL;
  return segment;
}

const down = (address: number): number => Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
const up = (address: number): number => Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;

function isPowerOfTwo(value: number): boolean {
  return value > 0 && value <= 2 ** 40 && Number.isInteger(Math.log2(value));
}

/** What the program headers say; `bytes` are those that the header names. Throws ENOEXEC, EINVAL. */
export function parseImage(header: ElfHeader, bytes: Uint8Array): ElfImage {
  if (bytes.length < header.programHeaders * PROGRAM_HEADER_BYTES) throw errno.ENOEXEC;
  const view = viewOf(bytes);
  const segments: LoadSegment[] = [];
  let interpreter: ElfImage["interpreter"];
  let programHeadersAddress = 0;
  let executableStack = false;
  let alignment = PAGE_SIZE;
  for (let i = 0; i < header.programHeaders; i++) {
    const at = i * PROGRAM_HEADER_BYTES;
    const type = view.getUint32(at, true);
    if (type === PT.LOAD) {
      const segment = parseLoad(view, at);
      const wanted = u64(view, at + 48);
      if (isPowerOfTwo(wanted) && wanted > alignment) alignment = wanted;
      // A segment that takes no memory maps nothing.
      if (segment.memoryBytes > 0) segments.push(segment);
    } else if (type === PT.INTERP && interpreter === undefined) {
      const length = u64(view, at + 32);
      const offset = u64(view, at + 8);
      if (length < 2 || length > PATH_MAX || !Number.isSafeInteger(offset + length)) throw errno.ENOEXEC;
      interpreter = { offset, length };
    } else if (type === PT.PHDR) {
      programHeadersAddress = u64(view, at + 16);
    } else if (type === PT.GNU_STACK) {
      executableStack = (view.getUint32(at + 4, true) & PF.X) !== 0;
    }
  }
  if (segments.length === 0) throw errno.ENOEXEC;
  const start = Math.min(...segments.map(({ address }) => down(address)));
  const end = Math.max(...segments.map(({ address, memoryBytes }) => up(address + memoryBytes)));
  // Linux looks for the segment that holds them; PT_PHDR says the same in every file that has it.
  if (programHeadersAddress === 0 || programHeadersAddress > VA_LIMIT) {
    programHeadersAddress = addressInFile(segments, header.programHeadersAt);
  }
  return {
    ...header,
    segments,
    start,
    end,
    alignment,
    programHeadersAddress,
    interpreter,
    executableStack,
  };
}

function addressInFile(segments: readonly LoadSegment[], offset: number): number {
  for (const { fileOffset, fileBytes, address } of segments) {
    if (offset >= fileOffset && offset < fileOffset + fileBytes) return address + (offset - fileOffset);
  }
  return 0;
}

/** The interpreter's path out of its bytes in the file. Throws ENOEXEC if it does not end in a zero. */
export function interpreterPath(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  if (end <= 0 || bytes[bytes.length - 1] !== 0) throw errno.ENOEXEC;
  return bytes.slice(0, end);
}

/** Bytes of a `#!` line that count (BINPRM_BUF_SIZE). */
export const SCRIPT_BYTES = 256;

export interface ScriptLine {
  readonly interpreter: Uint8Array;
  /** The one argument: all that follows, or undefined. */
  readonly argument: Uint8Array | undefined;
}

/**
 * The interpreter line of a script, from the first SCRIPT_BYTES bytes of the file; undefined if it is none.
 * Throws ENOEXEC for a line without an interpreter, or with one that is cut off.
 */
export function parseScript(bytes: Uint8Array): ScriptLine | undefined {
  if (bytes.length < 2 || bytes[0] !== 0x23 || bytes[1] !== 0x21) return undefined;
  const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09;
  const window = bytes.subarray(2, SCRIPT_BYTES);
  let end = window.findIndex((byte) => byte === 0x0a || byte === 0);
  const cut = end < 0 && bytes.length >= SCRIPT_BYTES;
  if (end < 0) end = window.length;
  let from = 0;
  while (from < end && isBlank(window[from]!)) from++;
  while (end > from && isBlank(window[end - 1]!)) end--;
  if (from === end) throw errno.ENOEXEC;
  let nameEnd = from;
  while (nameEnd < end && !isBlank(window[nameEnd]!)) nameEnd++;
  // A name that runs into the end of the window may be only a part of it.
  if (cut && nameEnd === window.length) throw errno.ENOEXEC;
  let argumentAt = nameEnd;
  while (argumentAt < end && isBlank(window[argumentAt]!)) argumentAt++;
  return {
    interpreter: window.slice(from, nameEnd),
    argument: argumentAt < end ? window.slice(argumentAt, end) : undefined,
  };
}
