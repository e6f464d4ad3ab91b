import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { census, checkHeap } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { createHeap } from "../../heap/heap.ts";
import { each } from "../../heap/list.ts";
import { none } from "../../heap/record.ts";
import { HookedTransaction } from "../../heap/transaction.ts";
import { ALARM, createAlarm } from "../../kernel/alarm.ts";
import { dropFile, File, kindOf, POLL } from "../../kernel/file.ts";
import { createTimer, NOTIFY, TIMER_BASE } from "../../kernel/posix-timer.ts";
import { placeAccounts } from "../../kernel/account.ts";
import { createKernel, createProcess, kernelOf, lockTree } from "../../kernel/process.ts";
import { addSegment, clearSegments, clearWaits } from "../../kernel/request.ts";
import { createScheduler, Hart, hartOf } from "../../kernel/scheduler.ts";
import { Eventpoll, Kernel, PollEntry, Process, Task, Timer, Waiter, WATCH } from "../../kernel/task.ts";
import { KernelThread } from "../../kernel/thread.ts";
import { hartBlock, placeMemory } from "../../kernel/memory/layout.ts";
import { createPipe } from "../pipe/pipe-server.ts";
import { EventCounter } from "./counter.ts";
import { harvest, unwatch, watch } from "./epoll.ts";
import {
  createCounterFile,
  createEpollFile,
  createTimerFileFile,
  epollOf,
  timerOfFile,
} from "./event-server.ts";
import { openPidFile, PidFile } from "./pid-file.ts";
import { setTimerFile, TimerFile } from "./timer-file.ts";

const NONBLOCK = 0o4000;
/** Where what is written and read lies in the guest memory: the first bytes of a page that is nobody's. */
const BYTES: number = 1 << 20;

interface Stage {
  readonly tx: HookedTransaction;
  readonly poll: Eventpoll;
  readonly pollFile: File;
  readonly counter: File;
  readonly reader: File;
  readonly writer: File;
}

function fresh(): HookedTransaction {
  const host = new KernelThread(1, { monotonic: () => 1e9, realtime: () => 1e9 }, { fill: () => {} }, () => {
    throw new Error("contended in one thread");
  });
  const heap = createHeap({ bytes: 8 << 20, slots: 2 });
  const tx = new HookedTransaction({ heap, memory: new SharedArrayBuffer(16 << 20) }, 0, host, () => {});
  placeMemory(tx, { harts: 1, tier0Bytes: 4096, tasksMax: 8, hostCalls: 1 });
  createKernel(tx, 8, 1e9);
  createScheduler(tx, 1, 8);
  Hart.blockAt.init(tx, hartOf(tx, 0), hartBlock(tx, 0) / 4);
  placeAccounts(tx);
  tx.commit();
  return tx;
}

function request<T>(tx: HookedTransaction, work: () => T): T {
  clearWaits(tx);
  try {
    const result = work();
    tx.commit();
    return result;
  } catch (error) {
    tx.rollback();
    throw error;
  }
}

function setUp(): Stage {
  const tx = fresh();
  const pollFile = request(tx, () => createEpollFile(tx));
  const counter = request(tx, () => createCounterFile(tx, 0, false, NONBLOCK));
  const [reader, writer] = request(tx, () => createPipe(tx, NONBLOCK));
  const stage = { tx, poll: epollOf(tx, pollFile), pollFile, counter, reader, writer };
  warmUp(stage);
  return stage;
}

/** The first record of a type costs thousands of stores for its chunk, which are not what is tried here. */
function warmUp({ tx, poll, reader }: Stage): void {
  request(tx, () => watch(tx, poll, reader, 3, POLL.IN, 0, 0));
  request(tx, () => unwatch(tx, poll, reader, 3));
  const timer = request(tx, () => createTimerFileFile(tx, 1, 0));
  request(tx, () => setTimerFile(tx, timerOfFile(tx, timer), 5e9, 0));
  request(tx, () => dropFile(tx, timer));
}

function write({ tx }: Stage, file: File, length: number): void {
  tx.memoryBytes.fill(0, BYTES, BYTES + 8);
  tx.memoryBytes[BYTES] = 1;
  clearSegments(tx);
  addSegment(tx, BYTES, length);
  kindOf(tx, file).write(tx, file, length, -1, true);
}

function read({ tx }: Stage, file: File, length: number): void {
  clearSegments(tx);
  addSegment(tx, BYTES, length);
  kindOf(tx, file).read(tx, file, length, -1, true);
}

/** The data of the events that a call would tell, `most` of them. */
function told({ tx, poll }: Stage, most = 8): number[] {
  const found: number[] = [];
  let round = 0;
  while (found.length < most) {
    clearSegments(tx);
    addSegment(tx, BYTES + 4096, 16);
    round = request(tx, () => harvest(tx, poll, round));
    if (round === 0) break;
    found.push(tx.memory[(BYTES + 4096 + 8) >> 2]!);
  }
  return found;
}

const clean = (tx: HookedTransaction): void => assert.deepEqual(checkHeap(tx), []);

describe("epoll", () => {
  test("level, edge, order, and the end of what is watched", () => {
    const s = setUp();
    const { tx, poll, reader, writer, counter, pollFile } = s;
    request(tx, () => watch(tx, poll, reader, 3, POLL.IN, 7, 0));
    request(tx, () => watch(tx, poll, counter, 4, POLL.IN | WATCH.EDGE, 8, 0));
    clean(tx);
    assert.deepEqual(told(s), []);
    request(tx, () => write(s, counter, 8));
    request(tx, () => write(s, writer, 5));
    assert.deepEqual(told(s), [8, 7]);
    clean(tx);
    assert.deepEqual(told(s), [7]);
    request(tx, () => read(s, reader, 5));
    assert.deepEqual(told(s), []);
    assert.ok(Eventpoll.ready.isEmpty(tx, poll));
    request(tx, () => write(s, counter, 8));
    assert.deepEqual(told(s), [8]);
    request(tx, () => dropFile(tx, counter));
    clean(tx);
    request(tx, () => dropFile(tx, pollFile));
    clean(tx);
    for (const file of [reader, writer]) request(tx, () => dropFile(tx, file));
    assert.equal(census(tx).get("poll-entry"), undefined);
    assert.equal(census(tx).get("waiter"), undefined);
  });

  test("a hundred watchers of one file, which is closed before them", () => {
    const s = setUp();
    const { tx, counter } = s;
    const polls = Array.from({ length: 100 }, () => request(tx, () => createEpollFile(tx)));
    for (const file of polls) request(tx, () => watch(tx, epollOf(tx, file), counter, 4, POLL.IN, 1, 0));
    request(tx, () => write(s, counter, 8));
    for (const file of polls) assert.ok(!Eventpoll.ready.isEmpty(tx, epollOf(tx, file)));
    clean(tx);
    request(tx, () => dropFile(tx, counter));
    clean(tx);
    assert.equal(census(tx).get("poll-entry"), undefined);
  });
});

describe("crash loop", () => {
  const cases: Record<string, { prepare?(stage: Stage): void; run(stage: Stage): unknown }> = {
    "watch what is ready": {
      prepare: (s) => request(s.tx, () => write(s, s.counter, 8)),
      run: ({ tx, poll, counter }) => watch(tx, poll, counter, 4, POLL.IN, 1, 0),
    },
    "an event": { prepare: watchBoth, run: (s) => write(s, s.writer, 3) },
    "an event through two epolls": {
      prepare: (s) => {
        watchBoth(s);
        const outer = request(s.tx, () => createEpollFile(s.tx));
        request(s.tx, () => watch(s.tx, epollOf(s.tx, outer), s.pollFile, 9, POLL.IN, 3, 0));
      },
      run: (s) => write(s, s.counter, 8),
    },
    "telling a level": {
      prepare: (s) => {
        watchBoth(s);
        request(s.tx, () => write(s, s.writer, 3));
      },
      run: (s) => tell(s),
    },
    "telling nothing": {
      prepare: (s) => {
        watchBoth(s);
        request(s.tx, () => write(s, s.writer, 3));
        request(s.tx, () => read(s, s.reader, 3));
      },
      run: (s) => tell(s),
    },
    unwatch: { prepare: watchBoth, run: ({ tx, poll, reader }) => unwatch(tx, poll, reader, 3) },
    "the end of a watched file": { prepare: watchBoth, run: ({ tx, counter }) => dropFile(tx, counter) },
    "the end of an epoll": { prepare: watchBoth, run: ({ tx, pollFile }) => dropFile(tx, pollFile) },
    "setting a timer file": {
      run: ({ tx }) => {
        const file = createTimerFileFile(tx, 1, 0);
        setTimerFile(tx, timerOfFile(tx, file), 5e9, 0);
      },
    },
  };

  function watchBoth({ tx, poll, reader, counter }: Stage): void {
    request(tx, () => watch(tx, poll, reader, 3, POLL.IN, 1, 0));
    request(tx, () => watch(tx, poll, counter, 4, POLL.IN | WATCH.EDGE, 2, 0));
  }

  function tell({ tx, poll }: Stage): number {
    clearSegments(tx);
    addSegment(tx, BYTES + 4096, 16);
    return harvest(tx, poll, 0);
  }

  /** Which entries are listed, by what they tell, and what each asks for. */
  function seen(tx: HookedTransaction, poll: Eventpoll): unknown {
    if (!Eventpoll.isLive(tx, poll)) return "gone";
    const entry = (each: PollEntry): unknown => [
      PollEntry.data.get(tx, each, 0),
      PollEntry.events.get(tx, each),
    ];
    return [
      [...each(tx, Eventpoll.entries, poll, PollEntry.links)].map(entry),
      [...each(tx, Eventpoll.ready, poll, PollEntry.readyLinks)].map(entry),
    ];
  }

  for (const [name, { prepare, run }] of Object.entries(cases)) {
    test(name, (t) => {
      const stage = setUp();
      const { tx, poll } = stage;
      prepare?.(stage);
      const report = crashLoop({
        tx,
        operation: () => run(stage),
        observe: () => [seen(tx, poll), [...census(tx)]],
        // The ends of epolls and files are many short transactions: their pairs would take minutes.
        pairs: !name.startsWith("the end of"),
      });
      t.diagnostic(`${report.points} points, ${report.pairs} pairs`);
      assert.ok(report.points > 0);
    });
  }
});

describe("mutants: each invariant is tripped by a state that breaks it", () => {
  const trips = (id: string, spoil: (stage: Stage, entry: PollEntry) => void): void => {
    test(id, () => {
      const stage = setUp();
      const { tx, poll, counter } = stage;
      request(tx, () => write(stage, counter, 8));
      request(tx, () => watch(tx, poll, counter, 4, POLL.IN, 1, 0));
      clean(tx);
      request(tx, () => spoil(stage, Eventpoll.entries.first(tx, poll)));
      const found = new Set(checkHeap(tx).map((violation) => violation.invariant));
      assert.ok(found.has(id), `${id} not in ${[...found].join(" ")}`);
    });
  };
  trips("E1", ({ tx }, entry) => PollEntry.poll.set(tx, entry, none()));
  trips("E1", ({ tx, reader }, entry) => PollEntry.file.set(tx, entry, reader));
  trips("E2", ({ tx }, entry) => PollEntry.queued.set(tx, entry, 0));
  trips("E4", ({ tx }, entry) => {
    const waiter = PollEntry.waiters.first(tx, entry);
    tx.store(Waiter.condition.get(tx, waiter) + 1, 0);
  });
  trips("E5", ({ tx, pollFile }, entry) => {
    tx.store(PollEntry.file.word + entry, pollFile);
  });
  trips("S3", ({ tx }, entry) => {
    const waiter = PollEntry.waiters.first(tx, entry);
    tx.store(Waiter.condition.get(tx, waiter) + 1, 0);
  });
  trips("S3", ({ tx, counter }) => EventCounter.free(tx, File.object.get(tx, counter) as EventCounter));
  trips("S3", ({ tx }, entry) => {
    const waiter = PollEntry.waiters.first(tx, entry);
    Waiter.task.set(tx, waiter, Task.allocate(tx));
  });
  trips("EC1", ({ tx, counter }) => {
    const record = File.object.get(tx, counter) as EventCounter;
    for (const word of [0, 1]) EventCounter.count.set(tx, record, word, -1);
  });
  trips("TF1", ({ tx }) => {
    const timer = timerOfFile(tx, createTimerFileFile(tx, 1, 0));
    TimerFile.alarm.set(tx, timer, createAlarm(tx, ALARM.TIMER_FILE, 64));
  });
  const process = (tx: HookedTransaction): Process => {
    lockTree(tx);
    return createProcess(tx, Kernel.init.get(tx, kernelOf(tx)), 1e9);
  };
  trips("PF1", ({ tx }) => {
    const record = openPidFile(tx, process(tx)) as PidFile;
    PidFile.process.set(tx, record, none());
  });
  const timer = (tx: HookedTransaction): Timer => {
    const owner = process(tx);
    const rest = { clockTid: 0, clock: 1, notify: NOTIFY.SIGNAL, signal: 10, tid: 0, value: undefined };
    createTimer(tx, owner, { base: TIMER_BASE.PROCESS, ...rest });
    return Process.timers.first(tx, owner);
  };
  trips("PT1", ({ tx }) => Timer.process.set(tx, timer(tx), none()));
  trips("PT2", ({ tx }) => Timer.at.set(tx, timer(tx), 5));
  trips("U1", ({ tx }) => tx.store(tx.root("accounts") + 1, timer(tx) && 0));
  trips("U2", ({ tx }) => Timer.account.set(tx, timer(tx), 0));
});
