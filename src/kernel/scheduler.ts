/**
 * The scheduler: which task runs next, who sleeps until when, who waits for what.
 *
 *              start                pick
 *     NEW ─────────────▶ READY ──────────────▶ RUNNING ──▶ DEAD
 *                          ▲  ◀─── yield ───────┤
 *                    wake  │                    │ park
 *                          └───── WAITING ◀─────┤
 *                          └───── STOPPED ◀─────┘
 *
 * One lock, one run queue (first in, first out), one heap of deadlines. Everything here is a few stores, so
 * one lock serves two to eight harts; with more, the queue is the first thing to divide.
 *
 * A hart that finds nothing to do parks on the doorbell word. Whoever makes work rings it: at once if more is
 * ready than the ringing hart itself will take next, else only if the work is still there when the hart's own
 * task is preempted. So a ping-pong between two processes stays on one hart without a host call.
 *
 * Invariants
 *   S1  A task is on the run queue if and only if its state is READY.
 *   S2  A task is in the deadline heap at its timerIndex − 1 if and only if timerIndex ≠ 0; the heap is in
 *       order.
 *   S3  Every waiter is on the list of its condition, which lies in a live record, and on that of its task or
 *       entry; only tasks that are WAITING have waiters.
 *   S4  A task is RUNNING on hart h if and only if h's current task is that task.
 */

import { assert } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import { HART_INTERRUPT, INTERRUPTED } from "../base/hart-abi.ts";
import { liveBlockAround, redoFree } from "../heap/allocator.ts";
import { liveRecords, registerInvariant } from "../heap/check.ts";
import { type HeapAddr, type HeapView, placeRoot } from "../heap/heap.ts";
import { REDO, SLOT } from "../heap/layout.ts";
import { append, each, next, remove } from "../heap/list.ts";
import { defineRecord, i64, list, lock, type Ref, u32 } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { CONDITION } from "./condition.ts";
import { ATTENTION, Eventpoll, PollEntry, RUN, Task, Waiter, WATCH } from "./task.ts";
import { registerRedo } from "./thread.ts";

/** Harts that a machine can have. */
export const HARTS_MAX = 8;
/** Alarms that a machine has room for, for each task that it has room for. */
const ALARMS_PER_TASK = 4;

export const Scheduler = defineRecord("scheduler", {
  lock: lock("scheduler"),
  queue: list("task"),
  ready: u32(),
  /** Goes up at every ring; idle harts wait on this word. Changed by atomic additions, not undone. */
  doorbell: u32(),
  /** Deadline heap: address of its words (task references), and how many. */
  heapAt: u32(),
  heapCount: u32(),
  heapMax: u32(),
  /** Set by a hart that has queued work without ringing. */
  unrung: u32(),
  nextWaitAt: i64(),
  /** Alarms that there are and may be (alarm.ts). */
  alarms: u32(),
  alarmsMax: u32(),
});
export type Scheduler = Ref<"scheduler">;

export const Hart = defineRecord("hart", {
  index: u32(),
  /** Thread that is this hart, 0 if none. */
  thread: u32(),
  current: u32(),
  /** Physical address ÷ 4 of the hart's block in the guest memory. */
  blockAt: u32(),
  /** Request slot from which it works. */
  slot: u32(),
  /** 1 while the hart is in user mode. Not undone: written by the hart alone. */
  inUser: u32(),
  /** Beats: goes up at every turn of the loop. */
  beats: u32(),
  /** 1 while the hart is parked or about to be. Not undone: written by the hart, or for a dead one. */
  idle: u32(),
});
export type Hart = Ref<"hart">;

/** Places the scheduler and `harts` hart records. At boot. */
export function createScheduler(tx: Transaction, harts: number, tasksMax: number): Scheduler {
  const scheduler = Scheduler.allocate(tx);
  tx.words[placeRoot(tx, "scheduler", 1)] = scheduler;
  // Every task may sleep, and every alarm be set: the heap never overflows.
  const alarmsMax = tasksMax * ALARMS_PER_TASK;
  Scheduler.heapAt.init(tx, scheduler, placeRoot(tx, "timers", tasksMax + alarmsMax));
  Scheduler.heapMax.init(tx, scheduler, tasksMax + alarmsMax);
  Scheduler.alarmsMax.init(tx, scheduler, alarmsMax);
  const table = placeRoot(tx, "hart-records", HARTS_MAX + 1);
  for (let i = 0; i < harts; i++) {
    const hart = Hart.allocate(tx);
    Hart.index.init(tx, hart, i);
    tx.words[table + i] = hart;
  }
  tx.words[table + HARTS_MAX] = harts;
  return scheduler;
}

export function schedulerOf(view: HeapView): Scheduler {
  return view.words[view.root("scheduler")]! as Scheduler;
}

export function hartCount(view: HeapView): number {
  return view.words[view.root("hart-records") + HARTS_MAX]!;
}

export function hartOf(view: HeapView, index: number): Hart {
  return view.words[view.root("hart-records") + index]! as Hart;
}

/** Whether a hart is parked or about to be. */
export function isAnyIdle(view: HeapView): boolean {
  for (let index = hartCount(view) - 1; index >= 0; index--) {
    if (Atomics.load(view.words, Hart.idle.at(hartOf(view, index))) !== 0) return true;
  }
  return false;
}

/** Makes every idle hart look for work, and every busy one leave user mode soon. */
export function ringDoorbell(view: HeapView, harts: number = HARTS_MAX): void {
  const at = Scheduler.doorbell.at(schedulerOf(view));
  Atomics.add(view.words, at, 1);
  Atomics.notify(view.words, at, harts);
}

/** Sets the interrupt word of hart `index`: it leaves translated code at the next taken control transfer. */
export function interruptHart(view: HeapView, index: number): void {
  const at = Hart.blockAt.get(view, hartOf(view, index)) + (HART_INTERRUPT >> 2);
  Atomics.store(view.memory, at, INTERRUPTED);
}

/** Makes a task that is not on the queue ready, with the scheduler's lock held. */
function enqueue(tx: Transaction, scheduler: Scheduler, task: Task): void {
  append(tx, Scheduler.queue, scheduler, Task.queueLinks, task);
  Scheduler.ready.set(tx, scheduler, Scheduler.ready.get(tx, scheduler) + 1);
  Task.run.set(tx, task, RUN.READY);
}

/**
 * Starts a new task. As with one that is woken, no other hart is rung for it alone: a maker that waits leaves its
 * hart to it, and one that does not is to cut its turn short (SystemCall.cutTurn).
 */
export function startTask(tx: Transaction, task: Task): void {
  const scheduler = schedulerOf(tx);
  Scheduler.lock.acquire(tx, scheduler);
  assert(Task.run.get(tx, task) === RUN.NEW, "task started twice");
  enqueue(tx, scheduler, task);
  if (Scheduler.ready.get(tx, scheduler) >= 2) tx.afterCommit(REDO.doorbell, 0);
}

/** Takes the first ready task for hart `hart`; 0 if there is none. */
export function pickTask(tx: Transaction, hart: Hart): Task {
  const scheduler = schedulerOf(tx);
  if (Scheduler.queue.isEmpty(tx, scheduler)) return 0 as Task;
  Scheduler.lock.acquire(tx, scheduler);
  const task = Scheduler.queue.first(tx, scheduler);
  if (task === 0) return task;
  remove(tx, Scheduler.queue, scheduler, Task.queueLinks, task);
  Scheduler.ready.set(tx, scheduler, Scheduler.ready.get(tx, scheduler) - 1);
  Task.run.set(tx, task, RUN.RUNNING);
  Task.hart.set(tx, task, Hart.index.get(tx, hart));
  Hart.current.set(tx, hart, task);
  return task;
}

/** Puts the running task behind the others. */
export function yieldTask(tx: Transaction, hart: Hart, task: Task): void {
  const scheduler = schedulerOf(tx);
  Scheduler.lock.acquire(tx, scheduler);
  leaveHart(tx, hart, task);
  Task.preemptions.add(tx, task, 1);
  enqueue(tx, scheduler, task);
}

/** Ends the running task's time on its hart with state `run` (STOPPED or DEAD). */
export function retireTask(tx: Transaction, hart: Hart, task: Task, run: number): void {
  Scheduler.lock.acquire(tx, schedulerOf(tx));
  leaveHart(tx, hart, task);
  Task.run.set(tx, task, run);
}

function leaveHart(tx: Transaction, hart: Hart, task: Task): void {
  assert(
    Task.run.get(tx, task) === RUN.RUNNING && Hart.current.get(tx, hart) === task,
    "task is not on this hart",
  );
  Hart.current.set(tx, hart, 0);
}

/**
 * Takes the task that a dead hart was running off it, after the hart's slot has been recovered: it is ready
 * again, and runs on from what its registers say. Returns the task, 0 if there was none.
 */
export function abandonHart(tx: Transaction, hart: Hart): Task {
  const scheduler = schedulerOf(tx);
  Scheduler.lock.acquire(tx, scheduler);
  const task = Hart.current.get(tx, hart) as Task;
  if (task === 0) return task;
  leaveHart(tx, hart, task);
  enqueue(tx, scheduler, task);
  tx.afterCommit(REDO.doorbell, 0);
  return task;
}

/** Whether another task is ready to run. */
export function othersReady(view: HeapView): boolean {
  return !Scheduler.queue.isEmpty(view, schedulerOf(view));
}

/**
 * Parks the running task until one of the conditions that its request has noted is signalled, until `wakeAt`
 * (monotonic ns; 0: no limit), or until a signal comes. False if one of the conditions has changed since it
 * was noted, or the task has something to attend to: then the request must run again at once.
 *
 * The second half of the first kind of wait (rule R1), one transaction.
 */
export function parkTask(
  tx: Transaction,
  hart: Hart,
  task: Task,
  wakeAt: number,
  interruptible: boolean,
): boolean {
  const w = tx.words;
  const scheduler = schedulerOf(tx);
  Scheduler.lock.acquire(tx, scheduler);
  const count = w[tx.slotAt + SLOT.waitCount]!;
  for (let i = 0; i < count; i++) {
    const waiter = Waiter.allocate(tx);
    const at = w[tx.slotAt + SLOT.waits + i * 2]!;
    Waiter.task.init(tx, waiter, task);
    Waiter.condition.init(tx, waiter, at);
    const first = w[at + CONDITION.waiters]! as Waiter;
    tx.storeFresh(waiter + Waiter.conditionLinks.word, first);
    if (first !== 0) tx.store(first + Waiter.conditionLinks.word + 1, waiter);
    tx.store(at + CONDITION.waiters, waiter);
    append(tx, Task.waiters, task, Waiter.taskLinks, waiter);
  }
  if (wakeAt > 0) insertDeadline(tx, scheduler, task, wakeAt);
  leaveHart(tx, hart, task);
  Task.switches.add(tx, task, 1);
  Task.interruptible.set(tx, task, interruptible ? 1 : 0);
  Task.run.set(tx, task, RUN.WAITING);
  // The registrations must be visible before the counters are read again (condition.ts); an atomic exchange
  // of a word that nobody else writes is the barrier.
  Atomics.exchange(w, Hart.beats.at(hart), (w[Hart.beats.at(hart)]! + 1) | 0);
  for (let i = 0; i < count; i++) {
    const pair = tx.slotAt + SLOT.waits + i * 2;
    if (Atomics.load(w, w[pair]! + CONDITION.counter) !== w[pair + 1]) {
      tx.rollback();
      return false;
    }
  }
  const attention = Atomics.load(w, Task.attention.at(task));
  const heeded = interruptible ? ~ATTENTION.RESTORE_MASK : ATTENTION.EXIT;
  if ((attention & heeded) !== 0) {
    tx.rollback();
    return false;
  }
  tx.commit();
  return true;
}

/** Makes a waiting task ready, with the scheduler's lock held, in a system transaction. */
function wakeWaiting(tx: Transaction, scheduler: Scheduler, task: Task): void {
  for (let waiter = Task.waiters.first(tx, task); waiter !== 0; ) {
    const after = next(tx, Waiter.taskLinks, waiter);
    unlinkWaiter(tx, waiter);
    waiter = after;
  }
  tx.store(Task.waiters.at(task), 0);
  tx.store(Task.waiters.at(task) + 1, 0);
  if (Task.timerIndex.get(tx, task) !== 0) removeDeadline(tx, scheduler, task);
  enqueue(tx, scheduler, task);
}

/** Takes a waiter off its condition's list and frees it. */
function unlinkWaiter(tx: Transaction, waiter: Waiter): void {
  const links = waiter + Waiter.conditionLinks.word;
  const after = tx.words[links]!;
  const before = tx.words[links + 1]!;
  if (before === 0) tx.store(Waiter.condition.get(tx, waiter) + CONDITION.waiters, after);
  else tx.store(before + Waiter.conditionLinks.word, after);
  if (after !== 0) tx.store(after + Waiter.conditionLinks.word + 1, before);
  if (tx.inSystem) redoFree(tx, waiter);
  else Waiter.free(tx, waiter);
}

/** Waiters that a task may have for its waking to fit in one system log; more are taken off in parts. */
const WAITERS_AT_ONCE = 16;

/** Takes off up to WAITERS_AT_ONCE waiters of a task; true when none is left. */
function shedWaiters(tx: Transaction, task: Task): boolean {
  for (let i = 0; i < WAITERS_AT_ONCE; i++) {
    const waiter = Task.waiters.first(tx, task);
    if (waiter === 0) return true;
    remove(tx, Task.waiters, task, Waiter.taskLinks, waiter);
    unlinkWaiter(tx, waiter);
  }
  return Task.waiters.isEmpty(tx, task);
}

/** Wakes `task` if it waits; in a system transaction. False: not all done yet. */
function wakeStep(tx: Transaction, scheduler: Scheduler, task: Task): boolean {
  if (!shedWaiters(tx, task)) return false;
  wakeWaiting(tx, scheduler, task);
  ringForWork(tx, scheduler);
  return true;
}

function ringForWork(tx: Transaction, scheduler: Scheduler): void {
  if (Scheduler.ready.get(tx, scheduler) >= 2) ringDoorbell(tx, 1);
}

/** What one step of waking may still do, so that it fits in one system log. */
interface WakeBudget {
  left: number;
  /** An entry that asked to be alone (EPOLLEXCLUSIVE) has woken somebody. */
  served: boolean;
}
const WAKES_AT_ONCE = 8;

/**
 * Wakes the tasks that wait for a condition and announces it to the epolls that watch it, as far as the budget
 * goes; false: not all done yet. Tasks leave the list, entries stay; an entry that has been announced already
 * costs a look.
 */
function wakeWaiters(
  tx: Transaction,
  scheduler: Scheduler,
  condition: HeapAddr,
  budget: WakeBudget,
): boolean {
  const firstAt = condition + CONDITION.waiters;
  let waiter = tx.words[firstAt]! as Waiter;
  while (waiter !== 0) {
    const entry = Waiter.entry.get(tx, waiter);
    if (entry === 0) {
      if (budget.left-- === 0 || !wakeStep(tx, scheduler, Waiter.task.get(tx, waiter))) return false;
      // Others of the list may have gone with it.
      waiter = tx.words[firstAt]! as Waiter;
      continue;
    }
    const before = budget.left;
    if (!announce(tx, scheduler, entry, budget)) return false;
    waiter = (
      budget.left === before ? tx.words[waiter + Waiter.conditionLinks.word]! : tx.words[firstAt]!
    ) as Waiter;
  }
  return true;
}

/** The file of an epoll's entry may be ready: the entry joins its list, and who waits for that is woken. */
function announce(tx: Transaction, scheduler: Scheduler, entry: PollEntry, budget: WakeBudget): boolean {
  const events = PollEntry.events.get(tx, entry);
  if ((events & ~WATCH.PRIVATE) === 0) return true;
  const poll = PollEntry.poll.get(tx, entry);
  const readable = Eventpoll.readable.at(poll);
  const isAwaited = tx.words[readable + CONDITION.waiters] !== 0;
  const isExclusive = (events & WATCH.EXCLUSIVE) !== 0;
  if (isExclusive && budget.served) return true;
  if (PollEntry.queued.get(tx, entry) === 0) {
    if (budget.left-- === 0) return false;
    queueEntry(tx, entry);
  }
  if (!isAwaited) return true;
  if (isExclusive) budget.served = true;
  return wakeWaiters(tx, scheduler, readable, budget);
}

/** Puts an entry on its epoll's list of those that may be ready, with the scheduler's lock held. */
export function queueEntry(tx: Transaction, entry: PollEntry): void {
  const poll = PollEntry.poll.get(tx, entry);
  append(tx, Eventpoll.ready, poll, PollEntry.readyLinks, entry);
  PollEntry.queued.set(tx, entry, 1);
  const counter = Eventpoll.readable.at(poll) + CONDITION.counter;
  tx.store(counter, (tx.words[counter]! + 1) | 0);
}

/** Takes an entry off that list, with the scheduler's lock held. */
export function unqueueEntry(tx: Transaction, entry: PollEntry): void {
  if (PollEntry.queued.get(tx, entry) === 0) return;
  remove(tx, Eventpoll.ready, PollEntry.poll.get(tx, entry), PollEntry.readyLinks, entry);
  PollEntry.queued.set(tx, entry, 0);
}

/** Takes the lock under which entries become ready. */
export function lockReady(tx: Transaction): void {
  Scheduler.lock.acquire(tx, schedulerOf(tx));
}

/** Registers an entry for a condition, with the scheduler's lock held and the lock that guards the condition. */
export function registerEntry(tx: Transaction, entry: PollEntry, condition: HeapAddr): void {
  const waiter = Waiter.allocate(tx);
  Waiter.entry.init(tx, waiter, entry);
  Waiter.condition.init(tx, waiter, condition);
  const first = tx.words[condition + CONDITION.waiters]! as Waiter;
  tx.storeFresh(waiter + Waiter.conditionLinks.word, first);
  if (first !== 0) tx.store(first + Waiter.conditionLinks.word + 1, waiter);
  tx.store(condition + CONDITION.waiters, waiter);
  append(tx, PollEntry.waiters, entry, Waiter.taskLinks, waiter);
}

/** Takes an entry off all conditions, with the scheduler's lock held. */
export function unregisterEntry(tx: Transaction, entry: PollEntry): void {
  for (const waiter of each(tx, PollEntry.waiters, entry, Waiter.taskLinks)) {
    remove(tx, PollEntry.waiters, entry, Waiter.taskLinks, waiter);
    unlinkWaiter(tx, waiter);
  }
}

/**
 * Takes some of the entries off a condition whose record is going to end before their files do (a process with
 * signal files): one bounded step. True, without a lock, when none was left.
 */
export function dismissEntriesStep(tx: Transaction, condition: HeapAddr): boolean {
  if (tx.words[condition + CONDITION.waiters] === 0) return true;
  Scheduler.lock.acquire(tx, schedulerOf(tx));
  for (let i = 0; i < WAITERS_AT_ONCE; i++) {
    const waiter = tx.words[condition + CONDITION.waiters]! as Waiter;
    if (waiter === 0) break;
    const entry = Waiter.entry.get(tx, waiter);
    assert(entry !== 0, "a task waits for a process that ends");
    remove(tx, PollEntry.waiters, entry, Waiter.taskLinks, waiter);
    unlinkWaiter(tx, waiter);
  }
  return false;
}

registerRedo(REDO.wake, (tx, condition) => {
  if (Atomics.load(tx.words, condition + CONDITION.waiters) === 0) return true;
  const scheduler = schedulerOf(tx);
  Scheduler.lock.acquire(tx, scheduler);
  return wakeWaiters(tx, scheduler, condition, { left: WAKES_AT_ONCE, served: false });
});

/** Makes a task see its attention word: wakes it if it waits, interrupts its hart if it runs. */
function heed(tx: Transaction, task: Task): boolean {
  if (!Task.isLive(tx, task)) return true;
  const scheduler = schedulerOf(tx);
  Scheduler.lock.acquire(tx, scheduler);
  const run = Task.run.get(tx, task);
  if (run === RUN.RUNNING) interruptHart(tx, Task.hart.get(tx, task));
  const exiting = (Task.attention.get(tx, task) & ATTENTION.EXIT) !== 0;
  if (run === RUN.WAITING && (Task.interruptible.get(tx, task) !== 0 || exiting))
    return wakeStep(tx, scheduler, task);
  if (run === RUN.STOPPED && (exiting || (Task.attention.get(tx, task) & ATTENTION.STOP) === 0)) {
    enqueue(tx, scheduler, task);
    ringForWork(tx, scheduler);
  }
  return true;
}

registerRedo(REDO.task, (tx, address) => heed(tx, address as Task));

registerRedo(REDO.doorbell, (tx) => {
  ringDoorbell(tx, 1);
  return true;
});

/**
 * Asks that `task` look at its attention word: once the transaction has committed, or now in a redo step, as far as
 * that goes: a task with many waiters is woken in steps of its own.
 */
export function nudgeTask(tx: Transaction, task: Task): void {
  if (!tx.inSystem || !heed(tx, task)) tx.afterCommit(REDO.task, task);
}

// A binary heap of task references, earliest first.

function deadlineAt(view: HeapView, scheduler: Scheduler, index: number): Task {
  return view.words[Scheduler.heapAt.get(view, scheduler) + index]! as Task;
}

function place(tx: Transaction, scheduler: Scheduler, index: number, task: Task): void {
  tx.store(Scheduler.heapAt.get(tx, scheduler) + index, task);
  Task.timerIndex.set(tx, task, index + 1);
}

function insertDeadline(tx: Transaction, scheduler: Scheduler, task: Task, at: number): void {
  const count = Scheduler.heapCount.get(tx, scheduler);
  if (count >= Scheduler.heapMax.get(tx, scheduler)) throw errno.ENOMEM;
  Task.wakeAt.set(tx, task, at);
  Scheduler.heapCount.set(tx, scheduler, count + 1);
  siftUp(tx, scheduler, count, task);
}

function siftUp(tx: Transaction, scheduler: Scheduler, from: number, task: Task): void {
  let index = from;
  const at = Task.wakeAt.get(tx, task);
  while (index > 0) {
    const parent = (index - 1) >> 1;
    const other = deadlineAt(tx, scheduler, parent);
    if (Task.wakeAt.get(tx, other) <= at) break;
    place(tx, scheduler, index, other);
    index = parent;
  }
  place(tx, scheduler, index, task);
}

function siftDown(tx: Transaction, scheduler: Scheduler, from: number, task: Task): void {
  const count = Scheduler.heapCount.get(tx, scheduler);
  const at = Task.wakeAt.get(tx, task);
  let index = from;
  for (;;) {
    let child = index * 2 + 1;
    if (child >= count) break;
    let other = deadlineAt(tx, scheduler, child);
    if (child + 1 < count) {
      const right = deadlineAt(tx, scheduler, child + 1);
      if (Task.wakeAt.get(tx, right) < Task.wakeAt.get(tx, other)) {
        child++;
        other = right;
      }
    }
    if (Task.wakeAt.get(tx, other) >= at) break;
    place(tx, scheduler, index, other);
    index = child;
  }
  place(tx, scheduler, index, task);
}

function removeDeadline(tx: Transaction, scheduler: Scheduler, task: Task): void {
  const index = Task.timerIndex.get(tx, task) - 1;
  const count = Scheduler.heapCount.get(tx, scheduler) - 1;
  assert(
    index >= 0 && index <= count && deadlineAt(tx, scheduler, index) === task,
    "deadline heap out of order",
  );
  const last = deadlineAt(tx, scheduler, count);
  Scheduler.heapCount.set(tx, scheduler, count);
  Task.timerIndex.set(tx, task, 0);
  tx.store(Scheduler.heapAt.get(tx, scheduler) + count, 0);
  if (last === task) return;
  if (
    index > 0 &&
    Task.wakeAt.get(tx, deadlineAt(tx, scheduler, (index - 1) >> 1)) > Task.wakeAt.get(tx, last)
  ) {
    siftUp(tx, scheduler, index, last);
  } else siftDown(tx, scheduler, index, last);
}

/**
 * Sets the moment at which the kernel task `task`, which is not on a hart, becomes ready; 0: never. Nothing if
 * it is ready already.
 */
export function setAlarm(tx: Transaction, task: Task, at: number): void {
  const scheduler = schedulerOf(tx);
  Scheduler.lock.acquire(tx, scheduler);
  const run = Task.run.get(tx, task);
  if (run === RUN.READY || run === RUN.RUNNING) return;
  if (Task.timerIndex.get(tx, task) !== 0) removeDeadline(tx, scheduler, task);
  Task.run.set(tx, task, RUN.WAITING);
  if (at === 0) return;
  insertDeadline(tx, scheduler, task, at);
  tx.afterCommit(REDO.doorbell, 0);
}

/** Ends a kernel task that is not on a hart; false if it is ready or running, and must end itself. */
export function cancelAlarm(tx: Transaction, task: Task): boolean {
  const scheduler = schedulerOf(tx);
  Scheduler.lock.acquire(tx, scheduler);
  const run = Task.run.get(tx, task);
  if (run === RUN.READY || run === RUN.RUNNING) return false;
  if (Task.timerIndex.get(tx, task) !== 0) removeDeadline(tx, scheduler, task);
  return true;
}

/** Counts alarms that are made (1) or gone (−1). Throws EAGAIN when there are too many. */
export function countAlarm(tx: Transaction, change: 1 | -1): void {
  const scheduler = schedulerOf(tx);
  Scheduler.lock.acquire(tx, scheduler);
  const alarms = Scheduler.alarms.get(tx, scheduler);
  if (change > 0 && alarms >= Scheduler.alarmsMax.get(tx, scheduler)) throw errno.EAGAIN;
  Scheduler.alarms.set(tx, scheduler, alarms + change);
}

/** The earliest deadline, monotonic ns; 0 if there is none. Without the lock: a hint. */
export function nextDeadline(view: HeapView): number {
  const scheduler = schedulerOf(view);
  if (Scheduler.heapCount.get(view, scheduler) === 0) return 0;
  const task = deadlineAt(view, scheduler, 0);
  return task === 0 ? 0 : Task.wakeAt.get(view, task);
}

/** Wakes one task whose deadline has passed; false if there is none. A transaction of its own. */
export function wakeDue(tx: Transaction, now: number): boolean {
  const scheduler = schedulerOf(tx);
  if (Scheduler.heapCount.get(tx, scheduler) === 0) return false;
  tx.beginSystem();
  Scheduler.lock.acquire(tx, scheduler);
  let woke = false;
  const count = Scheduler.heapCount.get(tx, scheduler);
  const task = count === 0 ? (0 as Task) : deadlineAt(tx, scheduler, 0);
  if (task !== 0 && Task.wakeAt.get(tx, task) <= now) {
    wakeStep(tx, scheduler, task);
    woke = true;
  }
  tx.endSystem();
  return woke;
}

/** The doorbell word, for parking: read it, look for work, then wait for it to change. */
export function doorbellAt(view: HeapView): HeapAddr {
  return Scheduler.doorbell.at(schedulerOf(view));
}

registerInvariant({
  id: "S3",
  statement: "a waiter is on its condition's list, in a live record; only tasks that wait have waiters",
  check(view, report) {
    for (const waiter of liveRecords(view, Waiter.schema)) {
      const at = Waiter.condition.get(view, waiter);
      if (liveBlockAround(view, at) === 0)
        report(`waiter ${waiter} waits for ${at}, which is in no live record`);
      const before = view.words[waiter + Waiter.conditionLinks.word + 1]!;
      const names = before === 0 ? at + CONDITION.waiters : before + Waiter.conditionLinks.word;
      if (view.words[names] !== waiter) report(`waiter ${waiter} is not on the list of ${at}`);
      const task = Waiter.task.get(view, waiter);
      if (task === 0) continue;
      if (!Task.isLive(view, task) || Task.run.get(view, task) !== RUN.WAITING)
        report(`task ${task} has a waiter and does not wait`);
    }
  },
});
