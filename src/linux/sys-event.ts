/** Files for events: eventfd2, timerfd_*, signalfd4, and epoll, which watches any file (servers/event). */

import { errno, Errno } from "../base/errno.ts";
import type { CallHandler, SystemCall } from "../kernel/call.ts";
import { addFile, getFile, lockFiles } from "../kernel/descriptors.ts";
import { type File, kindOf } from "../kernel/file.ts";
import { clearSegments, clearWaits, WOULD_BLOCK } from "../kernel/request.ts";
import { ATTENTION, Task, WATCH } from "../kernel/task.ts";
import { EPOLL_EVENT_BYTES } from "../servers/event/epoll.ts";
import {
  createCounterFile,
  createEpollFile,
  createSignalFileFile,
  createTimerFileFile,
  epollOf,
  eventServer,
  signalsOfFile,
  timerOfFile,
} from "../servers/event/event-server.ts";
import { O } from "./abi-file.ts";
import { CLOCK, monotonicAt } from "./clocks.ts";
import { type CallRow, flagSet, full, nameSet, partial } from "./row.ts";
import { descriptorLimit } from "./sys-descriptor.ts";
import { itimerspecBytes, readItimerspec } from "./sys-timer.ts";
import { readMask, replaceMask } from "./sys-signal.ts";
import { readTimespec } from "./time-values.ts";
import { readStruct, segmentsFor, writeBack, writeUser } from "./user.ts";

const events = eventServer.operations;

/** A descriptor for the file that `make` makes. */
function install(call: SystemCall, flags: number, make: () => File): number {
  const table = lockFiles(call.tx, call.task);
  return addFile(call.tx, table, make(), (flags & O.CLOEXEC) !== 0, descriptorLimit(call));
}

const EFD_SEMAPHORE = 1;

const eventfd2: CallHandler = (call) => {
  const flags = call.uint(1);
  call.refuseUnknown(flags, EFD_SEMAPHORE | O.CLOEXEC | O.NONBLOCK);
  const isSemaphore = (flags & EFD_SEMAPHORE) !== 0;
  return install(call, flags, () =>
    createCounterFile(call.tx, call.uint(0), isSemaphore, flags & O.NONBLOCK),
  );
};

// Timer files.

const TFD_TIMER_ABSTIME = 1;
const TFD_TIMER_CANCEL_ON_SET = 2;
/** Clocks that a timer file can go by. */
const TIMER_CLOCKS: readonly number[] = [CLOCK.CLOCK_REALTIME, CLOCK.CLOCK_MONOTONIC, CLOCK.CLOCK_BOOTTIME];
const ALARM_CLOCKS: readonly number[] = [CLOCK.CLOCK_REALTIME_ALARM, CLOCK.CLOCK_BOOTTIME_ALARM];

const timerfdCreate: CallHandler = (call) => {
  const clock = call.int(0);
  const flags = call.uint(1);
  call.refuseUnknown(flags, O.CLOEXEC | O.NONBLOCK);
  if (ALARM_CLOCKS.includes(clock)) throw errno.EOPNOTSUPP;
  if (!TIMER_CLOCKS.includes(clock)) throw errno.EINVAL;
  return install(call, flags, () => createTimerFileFile(call.tx, clock, flags & O.NONBLOCK));
};

const timerfdSettime: CallHandler = (call) => {
  const { tx } = call;
  const flags = call.uint(1);
  call.refuseUnknown(flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
  const { interval, value } = readItimerspec(call, call.address(2));
  const timer = timerOfFile(tx, getFile(tx, call.task, call.int(0)));
  if (timer === 0) throw errno.EINVAL;
  const old = itimerspecBytes(events.timerFileLeft(tx, timer), events.timerFileInterval(tx, timer));
  let at = 0;
  if (value !== 0) {
    const isAbsolute = (flags & TFD_TIMER_ABSTIME) !== 0;
    at = isAbsolute ? monotonicAt(call, events.timerFileClock(tx, timer), value) : call.now() + value;
    at = Math.min(Math.max(1, Math.floor(at)), 2 ** 52);
  }
  events.setTimerFile(tx, timer, at, interval);
  if (call.address(3) !== 0) writeBack(call, call.address(3), old);
  return 0;
};

const timerfdGettime: CallHandler = (call) => {
  const { tx } = call;
  const timer = timerOfFile(tx, getFile(tx, call.task, call.int(0)));
  if (timer === 0) throw errno.EINVAL;
  const left = events.timerFileLeft(tx, timer);
  writeUser(call, call.address(1), itimerspecBytes(left, events.timerFileInterval(tx, timer)));
  return 0;
};

const signalfd4: CallHandler = (call) => {
  const { tx } = call;
  const flags = call.uint(3);
  call.refuseUnknown(flags, O.CLOEXEC | O.NONBLOCK);
  const [low, high] = readMask(call, call.address(1), call.address(2));
  const descriptor = call.int(0);
  if (descriptor === -1)
    return install(call, flags, () => createSignalFileFile(tx, low, high, flags & O.NONBLOCK));
  const file = signalsOfFile(tx, getFile(tx, call.task, descriptor));
  if (file === 0) throw errno.EINVAL;
  events.setSignalMask(tx, file, low, high);
  return descriptor;
};

// Epoll.

const EPOLL = {
  IN: 1,
  OUT: 4,
  ERR: 8,
  HUP: 16,
} as const;
const CTL = { EPOLL_CTL_ADD: 1, EPOLL_CTL_DEL: 2, EPOLL_CTL_MOD: 3 } as const;
/** What may go with EPOLLEXCLUSIVE (EPOLLEXCLUSIVE_OK_BITS). */
const EXCLUSIVE_ALLOWED: number =
  EPOLL.IN | EPOLL.OUT | EPOLL.ERR | EPOLL.HUP | WATCH.WAKEUP | WATCH.EDGE | WATCH.EXCLUSIVE;

const epollCreate1: CallHandler = (call) => {
  const flags = call.uint(0);
  call.refuseUnknown(flags, O.CLOEXEC);
  return install(call, flags, () => createEpollFile(call.tx));
};

const epollCtl: CallHandler = (call) => {
  const { tx, task } = call;
  const operation = call.int(1);
  const descriptor = call.int(2);
  const event =
    operation === CTL.EPOLL_CTL_DEL ? undefined : readStruct(call, call.address(3), EPOLL_EVENT_BYTES);
  const source = getFile(tx, task, call.int(0));
  const file = getFile(tx, task, descriptor);
  if (kindOf(tx, file).watchable === false) throw errno.EPERM;
  const poll = epollOf(tx, source);
  if (source === file || poll === 0) throw errno.EINVAL;
  if (event === undefined) {
    events.unwatch(tx, poll, file, descriptor);
    return 0;
  }
  // Whether the machine may sleep meanwhile is not asked here.
  const bits = event.getInt32(0, true) & ~WATCH.WAKEUP;
  if ((bits & WATCH.EXCLUSIVE) !== 0) {
    if (operation === CTL.EPOLL_CTL_MOD || (bits & ~EXCLUSIVE_ALLOWED) !== 0) throw errno.EINVAL;
    if (epollOf(tx, file) !== 0) throw errno.EINVAL;
  }
  const data = [event.getInt32(8, true), event.getInt32(12, true)] as const;
  const wanted = bits | EPOLL.ERR | EPOLL.HUP;
  if (operation === CTL.EPOLL_CTL_ADD) events.watch(tx, poll, file, descriptor, wanted, ...data);
  else if (operation === CTL.EPOLL_CTL_MOD) events.rewatch(tx, poll, file, descriptor, wanted, ...data);
  else throw errno.EINVAL;
  return 0;
};

/**
 * Tells events until there are no more, or no room: each in a transaction of its own, because each file has locks
 * of its own. Task.progress counts what has been told, progressDetail is the round (servers/event/epoll.ts).
 */
function tellEvents(call: SystemCall, most: number): number {
  const { tx, task } = call;
  for (;;) {
    const done = Task.progress.get(tx, task);
    if (done >= most) return done;
    try {
      const poll = epollOf(tx, getFile(tx, task, call.int(0)));
      if (poll === 0) throw errno.EINVAL;
      clearSegments(tx);
      segmentsFor(call, call.address(1) + done * EPOLL_EVENT_BYTES, EPOLL_EVENT_BYTES, true);
      const round = events.harvest(tx, poll, done === 0 ? 0 : Task.progressDetail.get(tx, task));
      if (round === 0) return done;
      Task.progress.set(tx, task, done + 1);
      Task.progressDetail.set(tx, task, round);
      call.step();
    } catch (error) {
      // What has been told is told: a bad address or a descriptor that was closed ends the list.
      if (!(error instanceof Errno) || done === 0) throw error;
      tx.rollback();
      return done;
    }
  }
}

/** `timeout` in ns; Infinity: none. */
function awaitEvents(call: SystemCall, timeout: number): number {
  const { tx, task } = call;
  const most = call.int(2);
  if (most <= 0 || most > 0x7fff_ffff / EPOLL_EVENT_BYTES) throw errno.EINVAL;
  if (epollOf(tx, getFile(tx, task, call.int(0))) === 0) throw errno.EINVAL;
  const mask = call.address(4) === 0 ? undefined : readMask(call, call.address(4), call.address(5));
  clearWaits(tx);
  const deadline = timeout === 0 ? 0 : call.deadlineIn(timeout);
  const count = tellEvents(call, most);
  if (count > 0) {
    Task.progress.set(tx, task, 0);
    Task.progressDetail.set(tx, task, 0);
    return count;
  }
  // As for poll: a signal that the mask lets through comes before time that is over (sys-poll.ts).
  if (mask !== undefined) replaceMask(call, mask);
  const isSignalled = (Task.attention.get(tx, task) & ATTENTION.SIGNAL) !== 0;
  if (isSignalled || (timeout !== 0 && call.now() < deadline)) throw WOULD_BLOCK;
  clearWaits(tx);
  return 0;
}

const epollPwait: CallHandler = (call) => {
  const ms = call.int(3);
  return awaitEvents(call, ms < 0 ? Number.POSITIVE_INFINITY : ms * 1e6);
};

const epollPwait2: CallHandler = (call) =>
  awaitEvents(call, call.address(3) === 0 ? Number.POSITIVE_INFINITY : readTimespec(call, call.address(3)));

const FD_FLAGS = flagSet({ EFD_SEMAPHORE, CLOEXEC: O.CLOEXEC, NONBLOCK: O.NONBLOCK });
const TFD_FLAGS = flagSet({ TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET });
const waits = { wait: "enqueue", restart: "interrupt" } as const;

export const eventRows: readonly CallRow[] = [
  full(19, "eventfd2", ["unsigned", FD_FLAGS], eventfd2),
  full(20, "epoll_create1", [FD_FLAGS], epollCreate1),
  full(21, "epoll_ctl", ["fd", nameSet(CTL), "fd", "address"], epollCtl),
  full(22, "epoll_pwait", ["fd", "address", "int", "int", "sigset", "unsigned"], epollPwait, waits),
  full(74, "signalfd4", ["fd", "sigset", "unsigned", FD_FLAGS], signalfd4),
  partial(85, "timerfd_create", [nameSet(CLOCK), FD_FLAGS], "no alarms that wake a machine", timerfdCreate),
  full(86, "timerfd_settime", ["fd", TFD_FLAGS, "address", "address"], timerfdSettime),
  full(87, "timerfd_gettime", ["fd", "address"], timerfdGettime),
  full(441, "epoll_pwait2", ["fd", "address", "int", "timespec", "sigset", "unsigned"], epollPwait2, waits),
];
