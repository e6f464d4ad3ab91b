/**
 * File names and link targets in the heap: bytes in records of a fitting size, which never change once they
 * are written, so they need no undo (rule R9). A name that changes gets a new record.
 */

import { assert } from "../../base/assert.ts";
import { errno } from "../../base/errno.ts";
import { redoFree } from "../../heap/allocator.ts";
import type { HeapAddr, HeapView } from "../../heap/heap.ts";
import { bytes, defineRecord } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";

export const Name32 = defineRecord("name-32", { bytes: bytes(32) });
export const Name64 = defineRecord("name-64", { bytes: bytes(64) });
export const Name128 = defineRecord("name-128", { bytes: bytes(128) });
export const Name256 = defineRecord("name-256", { bytes: bytes(256) });
export const Bytes4k = defineRecord("bytes-4k", { bytes: bytes(4096) });

/** Longest name in a directory (NAME_MAX). */
export const NAME_MAX = 255;

/** Bytes in some buffer: a name on its way through the server. */
export interface NameBytes {
  readonly source: Uint8Array;
  readonly start: number;
  readonly length: number;
}

/** A record that holds a copy of the bytes; 0 for none. */
export function storeBytes(tx: Transaction, name: NameBytes): HeapAddr {
  const { source, start, length } = name;
  if (length === 0) return 0;
  assert(length <= 4096, "name too long for a record");
  let record: HeapAddr;
  if (length <= 32) record = Name32.allocate(tx);
  else if (length <= 64) record = Name64.allocate(tx);
  else if (length <= 128) record = Name128.allocate(tx);
  else if (length <= 256) record = Name256.allocate(tx);
  else record = Bytes4k.allocate(tx);
  tx.bytes.set(source.subarray(start, start + length), record * 4);
  return record;
}

/** Frees the record of {@link storeBytes} when the transaction commits. */
export function freeBytes(tx: Transaction, record: HeapAddr): void {
  if (record !== 0) Name32.free(tx, record as never);
}

/** The same at once, in a system transaction. */
export function freeBytesNow(tx: Transaction, record: HeapAddr): void {
  if (record !== 0) redoFree(tx, record);
}

/** The bytes of a record, as a window on the heap. */
export function bytesAt(view: HeapView, record: HeapAddr, length: number): NameBytes {
  return { source: view.bytes, start: record * 4, length };
}

export function nameOf(text: Uint8Array): NameBytes {
  return { source: text, start: 0, length: text.length };
}

/** Whether the record holds just these bytes. */
export function sameBytes(view: HeapView, record: HeapAddr, length: number, name: NameBytes): boolean {
  if (length !== name.length) return false;
  const at = record * 4;
  for (let i = 0; i < length; i++) if (view.bytes[at + i] !== name.source[name.start + i]) return false;
  return true;
}

/** Whether the text begins with just these bytes. */
export function sameName(text: Uint8Array, name: NameBytes): boolean {
  for (let i = 0; i < name.length; i++) if (text[i] !== name.source[name.start + i]) return false;
  return true;
}

/** FNV-1a of the bytes, mixed with the directory's address. */
export function hashName(directory: HeapAddr, name: NameBytes): number {
  let hash = 0x811c9dc5 ^ Math.imul(directory, 0x9e3779b1);
  const end = name.start + name.length;
  for (let i = name.start; i < end; i++) hash = Math.imul(hash ^ name.source[i]!, 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** Whether the bytes are the text, which is ASCII. */
export function isName(name: NameBytes, text: string): boolean {
  if (name.length !== text.length) return false;
  for (let i = 0; i < name.length; i++) if (name.source[name.start + i] !== text.charCodeAt(i)) return false;
  return true;
}

export function checkNameLength(name: NameBytes): void {
  if (name.length > NAME_MAX) throw errno.ENAMETOOLONG;
}
