/**
 * The event server: files that stand for events rather than bytes, and the epolls that watch any file. Its
 * operations, and how open files reach them. docs/design/events.md has the whole.
 */

import { errno } from "../../base/errno.ts";
import type { Ref } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import {
  createFile,
  File,
  FILE_KINDS,
  type FileKind,
  type FileKindName,
  POLL,
  registerFileKind,
} from "../../kernel/file.ts";
import { defineServer } from "../../kernel/placement.ts";
import { Eventpoll, type Process } from "../../kernel/task.ts";
import { dropAfterCommit } from "../server.ts";
import {
  closeCounter,
  createCounter,
  type EventCounter,
  pollCounter,
  readCounter,
  writeCounter,
} from "./counter.ts";
import { createPoll, harvest, isReadable, rewatch, unwatch, watch } from "./epoll.ts";
import { closePidFile, openPidFile, PidFile, pollPidFile } from "./pid-file.ts";
import {
  closeSignalFile,
  createSignalFile,
  pollSignals,
  readSignals,
  setSignalMask,
  type SignalFile,
} from "./signal-file.ts";
import {
  closeTimerFile,
  createTimerFile,
  pollTimerFile,
  readTimerFile,
  setTimerFile,
  type TimerFile,
  timerFileClock,
  timerFileInterval,
  timerFileLeft,
} from "./timer-file.ts";

export const eventServer = defineServer("event", {
  createPoll,
  watch,
  rewatch,
  unwatch,
  harvest,
  isReadable,
  createCounter,
  readCounter,
  writeCounter,
  pollCounter,
  closeCounter,
  createTimerFile,
  setTimerFile,
  timerFileLeft,
  timerFileInterval,
  timerFileClock,
  readTimerFile,
  pollTimerFile,
  closeTimerFile,
  createSignalFile,
  setSignalMask,
  readSignals,
  pollSignals,
  closeSignalFile,
  openPidFile,
  pollPidFile,
  closePidFile,
});

const events = eventServer.operations;

const O_RDWR = 2;

/** The record behind a file of the kind `name`; none if it is another kind. */
function objectOf<N extends "eventpoll" | "timer-file" | "signal-file" | "pid-file">(
  tx: Transaction,
  file: File,
  name: FileKindName,
): Ref<N> {
  const isKind = File.kind.get(tx, file) === FILE_KINDS.indexOf(name);
  return (isKind ? File.object.get(tx, file) : 0) as Ref<N>;
}

/** A new epoll's file. */
export function createEpollFile(tx: Transaction): File {
  const poll = events.createPoll(tx) as Eventpoll;
  const file = createFile(tx, "eventpoll", poll, O_RDWR);
  Eventpoll.file.init(tx, poll, file);
  return file;
}

/** The epoll of a file; none if it is no epoll. */
export const epollOf = (tx: Transaction, file: File): Eventpoll => objectOf(tx, file, "eventpoll");
export const timerOfFile = (tx: Transaction, file: File): TimerFile => objectOf(tx, file, "timerfd");
export const signalsOfFile = (tx: Transaction, file: File): SignalFile => objectOf(tx, file, "signalfd");

/** The process of a pidfd's file, none once it is reaped. Throws EBADF if it is no pidfd. With the tree locked. */
export function processOfFile(tx: Transaction, file: File): Process {
  const record: PidFile = objectOf(tx, file, "pidfd");
  if (record === 0) throw errno.EBADF;
  return PidFile.process.get(tx, record);
}

/** A counter's file with `flags` (O_NONBLOCK). */
export function createCounterFile(tx: Transaction, initial: number, semaphore: boolean, flags: number): File {
  const file = createFile(tx, "eventfd", events.createCounter(tx, initial), O_RDWR | flags);
  File.detail.init(tx, file, semaphore ? 1 : 0);
  return file;
}

export function createTimerFileFile(tx: Transaction, clock: number, flags: number): File {
  return createFile(tx, "timerfd", events.createTimerFile(tx, clock), O_RDWR | flags);
}

export function createSignalFileFile(tx: Transaction, low: number, high: number, flags: number): File {
  return createFile(tx, "signalfd", events.createSignalFile(tx, low, high), O_RDWR | flags);
}

/** A file that stands for `process`. With the lock of the process tree. */
export function createPidFileFile(tx: Transaction, process: Process, flags: number): File {
  return createFile(tx, "pidfd", events.openPidFile(tx, process), O_RDWR | flags);
}

const counterOf = (tx: Transaction, file: File): EventCounter => File.object.get(tx, file) as EventCounter;
const timerOf = (tx: Transaction, file: File): TimerFile => File.object.get(tx, file) as TimerFile;
const signalsOf = (tx: Transaction, file: File): SignalFile => File.object.get(tx, file) as SignalFile;
const pidOf = (tx: Transaction, file: File): PidFile => File.object.get(tx, file) as PidFile;

const refuse = (): never => {
  throw errno.EINVAL;
};

/** Positions mean nothing to these files: pread and pwrite answer ESPIPE. */
function here(offset: number): void {
  if (offset !== -1) throw errno.ESPIPE;
}

const kinds: readonly FileKind[] = [
  {
    name: "eventpoll",
    read: refuse,
    write: refuse,
    poll: (tx, file, note) =>
      events.isReadable(tx, File.object.get(tx, file) as Eventpoll, note) !== 0 ? POLL.IN | POLL.RDNORM : 0,
    release: (tx, file) => dropAfterCommit(tx, File.object.get(tx, file)),
  },
  {
    name: "eventfd",
    read(tx, file, length, offset, nonblock) {
      here(offset);
      return events.readCounter(tx, counterOf(tx, file), length, File.detail.get(tx, file), nonblock);
    },
    write(tx, file, length, offset, nonblock) {
      here(offset);
      return events.writeCounter(tx, counterOf(tx, file), length, nonblock);
    },
    poll: (tx, file, note) => events.pollCounter(tx, counterOf(tx, file), note),
    release: (tx, file) => events.closeCounter(tx, counterOf(tx, file)),
  },
  {
    name: "timerfd",
    read(tx, file, length, offset, nonblock) {
      here(offset);
      return events.readTimerFile(tx, timerOf(tx, file), length, nonblock);
    },
    write: refuse,
    poll: (tx, file, note) => events.pollTimerFile(tx, timerOf(tx, file), note),
    release: (tx, file) => events.closeTimerFile(tx, timerOf(tx, file)),
  },
  {
    name: "signalfd",
    read(tx, file, length, offset, nonblock) {
      here(offset);
      return events.readSignals(tx, signalsOf(tx, file), length, nonblock);
    },
    write: refuse,
    poll: (tx, file, note) => events.pollSignals(tx, signalsOf(tx, file), note),
    release: (tx, file) => events.closeSignalFile(tx, signalsOf(tx, file)),
  },
  {
    name: "pidfd",
    read: refuse,
    write: refuse,
    poll: (tx, file, note) => events.pollPidFile(tx, pidOf(tx, file), note),
    release: (tx, file) => events.closePidFile(tx, pidOf(tx, file)),
  },
];
for (const kind of kinds) registerFileKind(kind);
