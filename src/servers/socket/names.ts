/**
 * Names: which mailbox others find by which address. The names lock guards the buckets; what is found is alive
 * until it is released.
 *
 * Three kinds of name: an inode (a path; the bytes are only what getsockname shows), an abstract name (bytes that
 * begin with a zero), a port with an address. A mailbox keeps its name to its end, whatever becomes of the path.
 */

import { errno } from "../../base/errno.ts";
import type { HeapAddr, HeapView } from "../../heap/heap.ts";
import { next, previous } from "../../heap/list.ts";
import { none, type Ref } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { addressAt, letterField, setLetterField } from "./letter.ts";
import { AF, BOX, Mailbox, NAME_BUCKETS, SocketState } from "./records.ts";
import { socketState } from "./state.ts";

/** Offset of the path in struct sockaddr_un. */
export const UNIX_PATH = 2;

export function lockNames(tx: Transaction): void {
  SocketState.names.acquire(tx, socketState(tx));
}

/** The word of a bucket: its first mailbox. */
export function bucketAt(view: HeapView, bucket: number): HeapAddr {
  return SocketState.bucketsAt.get(view, socketState(view)) + bucket;
}

export function bucketOfNumber(number: number): number {
  return (Math.imul(number, 0x9e37_79b1) >>> 16) % NAME_BUCKETS;
}

/** The bucket of `length` bytes at heap offset `at`. */
export function bucketOfBytes(view: HeapView, at: number, length: number): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ view.bytes[at + i]!, 0x0100_0193);
  return bucketOfNumber(hash);
}

/** The named mailboxes of a bucket. */
export function* mailboxesIn(view: HeapView, bucket: number): Generator<Mailbox> {
  let box = view.words[bucketAt(view, bucket)]! as Mailbox;
  while (box !== 0) {
    const after = next(view, Mailbox.links, box);
    yield box;
    box = after;
  }
}

/** Gives the locked mailbox the letter's address as its name, and puts it into `bucket`. The names are locked. */
export function giveName(tx: Transaction, box: Mailbox, bucket: number): void {
  copyName(tx, box, addressAt(tx), letterField(tx, "addressLength"));
  const at = bucketAt(tx, bucket);
  const first = tx.words[at]! as Mailbox;
  Mailbox.bucket.set(tx, box, bucket);
  tx.store(box + Mailbox.links.word, first);
  if (first !== 0) tx.store(first + Mailbox.links.word + 1, box);
  tx.store(at, box);
  Mailbox.flags.set(tx, box, Mailbox.flags.get(tx, box) | BOX.NAMED);
}

/** The mailbox's name becomes `length` bytes at heap offset `from`; it is not found by it. */
export function copyName(tx: Transaction, box: Mailbox, from: number, length: number): void {
  tx.bytes.copyWithin(Mailbox.name.at(box), from, from + length);
  Mailbox.nameLength.set(tx, box, length);
}

/** Takes the locked mailbox off its bucket. The names are locked. */
export function dropName(tx: Transaction, box: Mailbox): void {
  const after = next(tx, Mailbox.links, box);
  const before = previous(tx, Mailbox.links, box);
  const at = before === 0 ? bucketAt(tx, Mailbox.bucket.get(tx, box)) : before + Mailbox.links.word;
  tx.store(at, after);
  if (after !== 0) tx.store(after + Mailbox.links.word + 1, before);
  tx.store(box + Mailbox.links.word, none());
  tx.store(box + Mailbox.links.word + 1, none());
  Mailbox.flags.set(tx, box, Mailbox.flags.get(tx, box) & ~BOX.NAMED);
}

/** Whether the mailbox's name is `length` bytes at heap offset `at`. */
function isNamed(view: HeapView, box: Mailbox, at: number, length: number): boolean {
  if (Mailbox.nameLength.get(view, box) !== length) return false;
  const name = Mailbox.name.at(box);
  for (let i = 0; i < length; i++) if (view.bytes[name + i] !== view.bytes[at + i]) return false;
  return true;
}

/** The mailbox with the letter's abstract name and `type`; none if there is none. The names are locked. */
export function findAbstract(tx: Transaction, type: number): Mailbox {
  const at = addressAt(tx);
  const length = letterField(tx, "addressLength");
  for (const box of mailboxesIn(tx, bucketOfBytes(tx, at, length))) {
    if (Mailbox.type.get(tx, box) !== type || Mailbox.inode.get(tx, box) !== 0) continue;
    if (isNamed(tx, box, at, length)) return box;
  }
  return none();
}

/** The mailbox bound to an inode; none if its socket is gone. The names are locked. */
export function findInode(tx: Transaction, inode: Ref<"inode">): Mailbox {
  for (const box of mailboxesIn(tx, bucketOfNumber(inode))) {
    if (Mailbox.inode.get(tx, box) === inode) return box;
  }
  return none();
}

/**
 * The unix mailbox that the letter's address names, for a socket of `type`. Throws ECONNREFUSED, EPROTOTYPE. The
 * names are locked.
 */
export function findUnix(tx: Transaction, type: number): Mailbox {
  const inode = letterField(tx, "inode") as Ref<"inode">;
  const box = inode === 0 ? findAbstract(tx, type) : findInode(tx, inode);
  if (box === 0) throw errno.ECONNREFUSED;
  if (Mailbox.type.get(tx, box) !== type) throw errno.EPROTOTYPE;
  return box;
}

/** Bytes of an address without a path: struct sockaddr_un of family alone. */
const BARE = 2;
const AUTOBIND_DIGITS = 5;

/**
 * Gives a unix mailbox a name of five hexadecimal digits that nobody has (unix(7), autobind). The names and the
 * mailbox are locked.
 */
export function autobind(tx: Transaction, box: Mailbox): void {
  const state = socketState(tx);
  const at = addressAt(tx);
  for (let tries = 0; tries < 1 << 16; tries++) {
    const number = SocketState.nextName.get(tx, state) & 0xf_ffff;
    SocketState.nextName.set(tx, state, number + 1);
    tx.bytes[at] = AF.UNIX;
    tx.bytes[at + 1] = 0;
    tx.bytes[at + BARE] = 0;
    const digits = number.toString(16).padStart(AUTOBIND_DIGITS, "0");
    for (let i = 0; i < AUTOBIND_DIGITS; i++) tx.bytes[at + BARE + 1 + i] = digits.charCodeAt(i);
    const length = BARE + 1 + AUTOBIND_DIGITS;
    setLetterField(tx, "addressLength", length);
    if (findAbstract(tx, Mailbox.type.get(tx, box)) !== 0) continue;
    giveName(tx, box, bucketOfBytes(tx, at, length));
    return;
  }
  throw errno.ENOSPC;
}
