/** The checks of the socket server's invariants, which records.ts states. For a heap at rest. */

import { liveRecords, registerInvariant, type Report } from "../../heap/check.ts";
import type { HeapView } from "../../heap/heap.ts";
import { each } from "../../heap/list.ts";
import { File, FILE_KINDS } from "../../kernel/file.ts";
import { registerInodeHolder } from "../vfs/invariants.ts";
import { mailboxesIn } from "./names.ts";
import {
  BOX,
  Mailbox,
  Message,
  MESSAGE_PAGES,
  NAME_BUCKETS,
  pageOf,
  Rights,
  Socket,
  SocketPage,
  SocketState,
  TYPE,
} from "./records.ts";
import { socketState } from "./state.ts";

/** Runs a check only on a machine that has sockets. */
function register(id: string, statement: string, check: (view: HeapView, report: Report) => void): void {
  registerInvariant({
    id,
    statement,
    check: (view, report) => {
      if (view.root("sockets") !== 0) check(view, report);
    },
  });
}

class Counts {
  readonly #counts = new Map<number, number>();
  add(record: number): void {
    if (record !== 0) this.#counts.set(record, (this.#counts.get(record) ?? 0) + 1);
  }
  of(record: number): number {
    return this.#counts.get(record) ?? 0;
  }
}

registerInodeHolder(function* inodesOfNames(view) {
  for (const box of liveRecords(view, Mailbox.schema)) yield Mailbox.inode.get(view, box);
});

register(
  "SO1",
  "a mailbox's references are the sockets that have it; an inbox has one owner",
  (view, report) => {
    const references = new Counts();
    const owners = new Counts();
    for (const socket of liveRecords(view, Socket.schema)) {
      owners.add(Socket.inbox.get(view, socket));
      references.add(Socket.inbox.get(view, socket));
      references.add(Socket.outbox.get(view, socket));
    }
    for (const box of liveRecords(view, Mailbox.schema)) {
      const counted = Mailbox.references.get(view, box);
      if (counted !== references.of(box))
        report(`mailbox ${box} counts ${counted}, has ${references.of(box)}`);
      const isDead = (Mailbox.flags.get(view, box) & BOX.DEAD) !== 0;
      if (owners.of(box) !== (isDead ? 0 : 1)) report(`mailbox ${box} has ${owners.of(box)} owners`);
    }
  },
);

register("SO2", "a mailbox's bytes and count are those of its messages", (view, report) => {
  for (const box of liveRecords(view, Mailbox.schema)) {
    let bytes = 0;
    let count = 0;
    for (const message of each(view, Mailbox.messages, box, Message.links)) {
      const size = Message.end.get(view, message) - Message.begin.get(view, message);
      const mayBeEmpty =
        Mailbox.type.get(view, box) !== TYPE.STREAM || message === Mailbox.messages.last(view, box);
      if (size < 0 || (size === 0 && !mayBeEmpty)) report(`message ${message} of ${box} holds ${size} bytes`);
      bytes += size;
      count++;
    }
    if (bytes !== Mailbox.bytes.get(view, box) || count !== Mailbox.count.get(view, box)) {
      report(`mailbox ${box} holds ${count} messages and ${bytes} bytes, and counts others`);
    }
  }
});

register(
  "SO3",
  "a message has the pages that its bytes need; pages and messages have one owner",
  (view, report) => {
    const pages = new Counts();
    const messages = new Counts();
    for (const box of liveRecords(view, Mailbox.schema)) {
      for (const message of each(view, Mailbox.messages, box, Message.links)) messages.add(message);
    }
    for (const message of each(view, SocketState.building, socketState(view), Message.links))
      messages.add(message);
    for (const message of liveRecords(view, Message.schema)) {
      if (messages.of(message) !== 1) report(`message ${message} is in ${messages.of(message)} mailboxes`);
      const [begin, end] = [Message.begin.get(view, message), Message.end.get(view, message)];
      for (let index = 0; index < MESSAGE_PAGES; index++) {
        const page = Message.pages.get(view, message, index);
        const isNeeded = begin < end && index >= pageOf(begin) && index <= pageOf(end - 1);
        if ((page !== 0) !== isNeeded) report(`message ${message}: part ${index} has page ${page}`);
        pages.add(page);
      }
    }
    for (const page of liveRecords(view, SocketPage.schema)) {
      if (pages.of(page) !== 1) report(`page ${page} belongs to ${pages.of(page)} messages`);
    }
  },
);

register("SO4", "mailboxes with a name are in its bucket once, others in none", (view, report) => {
  const listed = new Counts();
  for (let bucket = 0; bucket < NAME_BUCKETS; bucket++) {
    for (const box of mailboxesIn(view, bucket)) {
      if (listed.of(box) > 0 || !Mailbox.isLive(view, box)) return report(`bucket ${bucket} leads astray`);
      listed.add(box);
      if (Mailbox.bucket.get(view, box) !== bucket) report(`mailbox ${box} is in bucket ${bucket}`);
    }
  }
  for (const box of liveRecords(view, Mailbox.schema)) {
    const expected = (Mailbox.flags.get(view, box) & BOX.NAMED) !== 0 ? 1 : 0;
    if (listed.of(box) !== expected) report(`mailbox ${box} is listed ${listed.of(box)} times`);
  }
});

register("SO5", "a socket belongs to one file or to one place in a backlog", (view, report) => {
  const owners = new Counts();
  const kind = FILE_KINDS.indexOf("socket");
  for (const file of liveRecords(view, File.schema)) {
    if (File.kind.get(view, file) === kind) owners.add(File.object.get(view, file));
  }
  for (const box of liveRecords(view, Mailbox.schema)) {
    let count = 0;
    for (const embryo of each(view, Mailbox.backlog, box, Socket.links)) {
      owners.add(embryo);
      count++;
    }
    if (count !== Mailbox.embryos.get(view, box)) report(`mailbox ${box} has a backlog of ${count}`);
  }
  for (const socket of liveRecords(view, Socket.schema)) {
    if (owners.of(socket) !== 1) report(`socket ${socket} has ${owners.of(socket)} owners`);
  }
});

register(
  "SO6",
  "rights in flight belong to a message, others are on their way to their end",
  (view, report) => {
    const state = socketState(view);
    const carried = new Counts();
    for (const message of liveRecords(view, Message.schema)) carried.add(Message.rights.get(view, message));
    const places = new Counts();
    let files = 0;
    for (const rights of each(view, SocketState.flying, state, Rights.links)) {
      places.add(rights);
      files += Rights.count.get(view, rights);
      if (carried.of(rights) !== 1) report(`rights ${rights} fly, carried by ${carried.of(rights)} messages`);
    }
    for (const rights of each(view, SocketState.graves, state, Rights.links)) {
      places.add(rights);
      if (carried.of(rights) !== 0) report(`rights ${rights} are buried and still carried`);
    }
    places.add(SocketState.opened.get(view, state));
    for (const rights of liveRecords(view, Rights.schema)) {
      if (places.of(rights) !== 1) report(`rights ${rights} are in ${places.of(rights)} places`);
    }
    const counted = SocketState.inFlight.get(view, state);
    if (counted !== files) report(`${files} files are in flight, counted are ${counted}`);
  },
);
