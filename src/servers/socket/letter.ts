/**
 * What a request and the socket server tell each other besides numbers: addresses, descriptors, identities,
 * option values. It lies in the request's second path buffer, so that it needs no marshalling when the server
 * has a thread of its own; like a path it is scratch, written before it is read in every attempt.
 *
 *     word 0   pid, uid, gid of SCM_CREDENTIALS; 3: whether there are any
 *     word 4   descriptors in it: files, whose references go with it
 *     word 5   bytes of the address (0: none)
 *     word 6   inode that the address names in the file system, 0: none
 *     word 7   flags that recvmsg answers with
 *     word 16  the files
 *     word 272 the address, struct sockaddr_*
 *     word 320 the value of an option
 */

import { errno } from "../../base/errno.ts";
import type { Ref } from "../../heap/record.ts";
import { SLOT } from "../../heap/layout.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { File } from "../../kernel/file.ts";
import { pathAt } from "../../kernel/request.ts";
import { Credentials } from "../../kernel/credentials.ts";
import { Process, Task } from "../../kernel/task.ts";
import { ADDRESS_MAX, RIGHTS_MAX } from "./records.ts";

export const LETTER = {
  pid: 0,
  uid: 1,
  gid: 2,
  hasCredentials: 3,
  rights: 4,
  addressLength: 5,
  inode: 6,
  flags: 7,
} as const;
const FILES_AT = 16;
const ADDRESS_AT = 272;
const VALUE_AT = 320;
const WHICH = 1;

function wordsAt(tx: Transaction): number {
  return pathAt(tx, WHICH) / 4;
}

/** An empty letter. */
export function clearLetter(tx: Transaction): void {
  const at = wordsAt(tx);
  tx.words.fill(0, at, at + FILES_AT);
}

export function letterField(tx: Transaction, field: keyof typeof LETTER): number {
  return tx.words[wordsAt(tx) + LETTER[field]]!;
}

export function setLetterField(tx: Transaction, field: keyof typeof LETTER, value: number): void {
  tx.words[wordsAt(tx) + LETTER[field]] = value;
}

export function letterFile(tx: Transaction, index: number): File {
  return tx.words[wordsAt(tx) + FILES_AT + index]! as File;
}

export function addLetterFile(tx: Transaction, file: File): void {
  const count = letterField(tx, "rights");
  if (count >= RIGHTS_MAX) throw errno.EINVAL;
  tx.words[wordsAt(tx) + FILES_AT + count] = file;
  setLetterField(tx, "rights", count + 1);
}

/** Byte offset of the letter's address in `tx.bytes`. */
export function addressAt(tx: Transaction): number {
  return (wordsAt(tx) + ADDRESS_AT) * 4;
}

export function setAddress(tx: Transaction, bytes: Uint8Array): void {
  if (bytes.length > ADDRESS_MAX + 17) throw errno.EINVAL;
  tx.bytes.set(bytes, addressAt(tx));
  setLetterField(tx, "addressLength", bytes.length);
}

/** A copy of the letter's address. */
export function addressOf(tx: Transaction): Uint8Array<ArrayBuffer> {
  const at = addressAt(tx);
  return tx.bytes.slice(at, at + letterField(tx, "addressLength"));
}

/** Copies `length` bytes at heap offset `from` into the letter as its address. */
export function answerAddress(tx: Transaction, from: number, length: number): void {
  tx.bytes.copyWithin(addressAt(tx), from, from + length);
  setLetterField(tx, "addressLength", length);
}

export function letterInode(tx: Transaction): Ref<"inode"> {
  return letterField(tx, "inode") as Ref<"inode">;
}

/** Byte offset of the letter's option value. */
export function valueAt(tx: Transaction): number {
  return (wordsAt(tx) + VALUE_AT) * 4;
}

/** Pid, effective uid and gid of the task on whose behalf the request runs; zeros for the host. */
export function callerIdentity(tx: Transaction): readonly [pid: number, uid: number, gid: number] {
  const task = tx.words[tx.slotAt + SLOT.owner]! as Task;
  if (task === 0) return [0, 0, 0];
  const who = Task.credentials.get(tx, task);
  const pid = Process.pid.get(tx, Task.process.get(tx, task));
  return [pid, Credentials.effectiveUid.get(tx, who), Credentials.effectiveGid.get(tx, who)];
}
