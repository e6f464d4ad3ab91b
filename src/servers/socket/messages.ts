/**
 * Messages: bytes put in and taken out, and the lists of them in mailboxes.
 *
 * Bytes are not logged (rule R9): what lies beyond a message's committed `end` means nothing, so a sender that
 * is rolled back leaves nothing that could be read. A transaction that has taken bytes from a message must not
 * put bytes into the same one, or it would overwrite what its rollback brings back.
 */

import { REDO_MAX, SLOT } from "../../heap/layout.ts";
import { append, next, remove } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { heapToSegments, segmentsToHeap } from "../../kernel/request.ts";
import {
  INLINE_BYTES,
  Mailbox,
  Message,
  PAGE_BYTES,
  pageOf,
  type Rights,
  SocketPage,
  STREAM_MESSAGE,
  TYPE,
} from "./records.ts";
import { bury } from "./rights.ts";
import { free } from "./state.ts";

/**
 * Calls `visit(byte offset in the heap, bytes done before, bytes in this run)` for each run of the message's
 * bytes from `position` on. A page that is missing is made if `makes`, which may throw ENOMEM.
 */
function walk(
  tx: Transaction,
  message: Message,
  position: number,
  length: number,
  makes: boolean,
  visit: (at: number, done: number, run: number) => void,
): void {
  for (let done = 0; done < length; ) {
    const at = position + done;
    const index = pageOf(at);
    if (index < 0) {
      const run = Math.min(INLINE_BYTES - at, length - done);
      visit(Message.inline.at(message) + at, done, run);
      done += run;
      continue;
    }
    const offset = (at - INLINE_BYTES) % PAGE_BYTES;
    const run = Math.min(PAGE_BYTES - offset, length - done);
    let page = Message.pages.get(tx, message, index);
    if (page === 0 && makes) {
      page = SocketPage.allocate(tx);
      Message.pages.set(tx, message, index, page);
    }
    visit(SocketPage.bytes.at(page) + offset, done, run);
    done += run;
  }
}

/** Appends `length` bytes of the segments, `skip` bytes after their beginning. Throws ENOMEM. */
export function putBytes(tx: Transaction, message: Message, skip: number, length: number): void {
  const end = Message.end.get(tx, message);
  walk(tx, message, end, length, true, (at, done, run) => segmentsToHeap(tx, skip + done, at, run));
  Message.end.set(tx, message, end + length);
}

/** Copies `length` bytes from position `from` of the message to the segments, `skip` bytes after their beginning. */
export function showBytes(
  tx: Transaction,
  message: Message,
  from: number,
  skip: number,
  length: number,
): void {
  walk(tx, message, from, length, false, (at, done, run) => heapToSegments(tx, skip + done, at, run));
}

/** Counts `length` bytes as taken, without copying them. Pages that have been passed go. */
export function passBytes(tx: Transaction, message: Message, length: number): void {
  const begin = Message.begin.get(tx, message);
  const end = begin + length;
  const isLast = end === Message.end.get(tx, message);
  for (let index = pageOf(begin); index <= pageOf(end); index++) {
    if (index < 0 || (index === pageOf(end) && !isLast)) continue;
    const page = Message.pages.get(tx, message, index);
    if (page === 0) continue;
    Message.pages.set(tx, message, index, none());
    free(tx, SocketPage, page);
  }
  Message.begin.set(tx, message, end);
}

/** Bytes that the message holds. */
export function messageBytes(tx: Transaction, message: Message): number {
  return Message.end.get(tx, message) - Message.begin.get(tx, message);
}

/** A message without bytes that nobody has yet, from the owner of `from`; `who`: pid, uid, gid. */
export function newMessage(tx: Transaction, from: Mailbox, who: readonly [number, number, number]): Message {
  const message = Message.allocate(tx);
  Message.pid.init(tx, message, who[0]);
  Message.uid.init(tx, message, who[1]);
  Message.gid.init(tx, message, who[2]);
  const length = from === 0 ? 0 : Mailbox.nameLength.get(tx, from);
  if (length > 0) {
    const name = Mailbox.name.at(from);
    tx.bytes.copyWithin(Message.from.at(message), name, name + length);
    Message.fromLength.init(tx, message, length);
  }
  return message;
}

/** Puts the message, with what it holds, behind the others of the locked mailbox. */
export function deliver(tx: Transaction, box: Mailbox, message: Message): void {
  append(tx, Mailbox.messages, box, Message.links, message);
  Mailbox.bytes.set(tx, box, Mailbox.bytes.get(tx, box) + messageBytes(tx, message));
  Mailbox.count.set(tx, box, Mailbox.count.get(tx, box) + 1);
}

/**
 * The message of a locked stream's mailbox that further bytes from `who` go into: its last, if nothing keeps them
 * apart, or a new one.
 */
export function streamTail(
  tx: Transaction,
  box: Mailbox,
  from: Mailbox,
  who: readonly [number, number, number],
): Message {
  const last = Mailbox.messages.last(tx, box);
  if (last !== 0) {
    const isEmpty = messageBytes(tx, last) === 0;
    const fits = Message.end.get(tx, last) < STREAM_MESSAGE;
    const isSame =
      Message.pid.get(tx, last) === who[0] &&
      Message.uid.get(tx, last) === who[1] &&
      Message.gid.get(tx, last) === who[2] &&
      Message.fromLength.get(tx, last) === Mailbox.nameLength.get(tx, from);
    if (isSame && Message.rights.get(tx, last) === 0 && (fits || isEmpty)) {
      // An empty message starts over, so that a ping-pong of small messages stays where it is.
      if (isEmpty && Message.end.get(tx, last) !== 0) {
        Message.begin.set(tx, last, 0);
        Message.end.set(tx, last, 0);
      }
      return last;
    }
    if (isEmpty) discard(tx, box, last);
  }
  const message = newMessage(tx, from, who);
  deliver(tx, box, message);
  return message;
}

/** Bytes that one more message of a stream takes. */
export function streamRoom(tx: Transaction, message: Message): number {
  return STREAM_MESSAGE - Message.end.get(tx, message);
}

/** Bytes have come into or gone from a message of the locked mailbox. */
export function countBytes(tx: Transaction, box: Mailbox, change: number): void {
  if (change !== 0) Mailbox.bytes.set(tx, box, Mailbox.bytes.get(tx, box) + change);
}

/** Takes the message off its locked mailbox and frees it with what it holds. */
export function discard(tx: Transaction, box: Mailbox, message: Message): void {
  countBytes(tx, box, -messageBytes(tx, message));
  Mailbox.count.set(tx, box, Mailbox.count.get(tx, box) - 1);
  remove(tx, Mailbox.messages, box, Message.links, message);
  freeMessage(tx, message);
}

/** Frees a message that is on no list. Its rights, if nobody has taken them, go to the graves. */
export function freeMessage(tx: Transaction, message: Message): void {
  const pages = pageOf(Math.max(Message.end.get(tx, message), 1) - 1);
  for (let index = 0; index <= pages; index++) {
    const page = Message.pages.get(tx, message, index);
    if (page !== 0) free(tx, SocketPage, page);
  }
  const rights = Message.rights.get(tx, message);
  if (rights !== 0) bury(tx, rights);
  free(tx, Message, message);
}

/** Whether the request can still free a whole message and more: its list of steps has a bound. */
export function mayFreeMore(tx: Transaction): boolean {
  return tx.words[tx.slotAt + SLOT.redoCount]! < REDO_MAX / 4;
}

/** Takes the message's rights out of it. */
export function takeRights(tx: Transaction, message: Message): Rights {
  const rights = Message.rights.get(tx, message);
  if (rights !== 0) Message.rights.set(tx, message, none());
  return rights;
}

/** The message behind `message`, none if it is the last. */
export function nextMessage(tx: Transaction, message: Message): Message {
  return next(tx, Message.links, message);
}

/** Whether what the mailbox holds is a stream of bytes. */
export function isStream(tx: Transaction, box: Mailbox): boolean {
  return Mailbox.type.get(tx, box) === TYPE.STREAM;
}
