/**
 * A call that wakes or moves more waiters than one transaction may, while whoever is woken waits again at once: between
 * any two of its steps. It must be one moment all the same: nobody is counted twice, nobody who came later is touched.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { errno } from "../base/errno.ts";
import { LOCK_RANK } from "../base/lock-order.ts";
import { checkHeap } from "../heap/check.ts";
import type { HeapAddr } from "../heap/heap.ts";
import type { HookedTransaction } from "../heap/transaction.ts";
import {
  bucketOf,
  endFutexWait,
  FUTEX_BITSET_ALL,
  type FutexKey,
  insertWaiter,
  nextWaiter,
  requeueFutex,
} from "../kernel/futex.ts";
import { kernelOf } from "../kernel/process.ts";
import { FutexWaiter, Kernel, Task } from "../kernel/task.ts";
import { LinuxMachine, USER } from "./testing/linux-machine.ts";

const FUTEX = { WAKE: 129, REQUEUE: 131, CMP_REQUEUE: 132, WAKE_OP: 133, WAKE_BITSET: 138 } as const;
/** More than one step sees to, fewer than two. */
const CROWD = 40;
const ALL = 99;
const WORD = USER;
/** The bucket's fourth word. */
const ROUND = 3;

/** A waiter, known by its number. */
interface Sleeper {
  readonly task: Task;
  /** Where it waits again when it is woken; undefined: it does not. */
  readonly again: number | undefined;
}

class Crowds {
  readonly machine: LinuxMachine = new LinuxMachine();
  readonly tx: HookedTransaction = this.machine.tx;
  readonly sleepers: Sleeper[] = [];
  /** Who has been woken, in that order. */
  woken: number[] = [];
  /** What happens once, after the first commit in which somebody was woken or moved. */
  meanwhile: (() => void) | undefined;
  readonly #commit: () => void = this.tx.commit.bind(this.tx);

  constructor(round = 0) {
    const { machine, tx } = this;
    machine.poke(WORD, new Uint8Array(4096));
    Kernel.taskMax.set(tx, kernelOf(tx), 200);
    for (const word of [WORD, elsewhere, nearby]) tx.store(this.bucketOf(word) + ROUND, round);
    tx.commit();
  }

  keyOf(word: number): FutexKey {
    return { object: Task.space.get(this.tx, this.machine.task), offset: word };
  }

  bucketOf(word: number): HeapAddr {
    return bucketOf(this.tx, this.keyOf(word));
  }

  /** `count` tasks wait at the word. */
  gather(word: number, count: number, again: number | undefined = word): void {
    for (let i = 0; i < count; i++) {
      this.sleepers.push({ task: Task.allocate(this.tx), again });
      this.wait(this.sleepers.length - 1, word);
    }
  }

  wait(sleeper: number, word: number, ownerTid = 0): void {
    const { tx } = this;
    tx.lock(this.bucketOf(word), LOCK_RANK.futex);
    insertWaiter(tx, this.sleepers[sleeper]!.task, this.keyOf(word), FUTEX_BITSET_ALL, ownerTid);
    this.#commit();
  }

  leave(sleeper: number): void {
    endFutexWait(this.tx, this.sleepers[sleeper]!.task);
    this.#commit();
  }

  /** Another task's REQUEUE of a few. */
  move(from: number, to: number, count: number): void {
    const caller = { task: Task.allocate(this.tx), goesOn: false };
    requeueFutex(this.tx, caller, [this.keyOf(from), this.keyOf(to)], [0, count], 0, undefined);
    this.#commit();
  }

  /** Who waits at the word, the first first. */
  at(word: number): number[] {
    const { tx } = this;
    const found: number[] = [];
    let waiter = tx.words[this.bucketOf(word) + 1]! as FutexWaiter;
    for (; waiter !== 0; waiter = nextWaiter(tx, waiter)) {
      const task = FutexWaiter.task.get(tx, waiter);
      if (FutexWaiter.keyOffset.get(tx, waiter) === word)
        found.push(this.sleepers.findIndex((sleeper) => sleeper.task === task));
    }
    return found;
  }

  /** What happens between two transactions of the call: the woken ones go on, and wait again. */
  between(): void {
    const { tx, meanwhile } = this;
    const { hook } = tx;
    tx.hook = () => {};
    for (const [sleeper, { task, again }] of this.sleepers.entries()) {
      const waiter = Task.futexWaiter.get(tx, task);
      if (waiter === 0 || FutexWaiter.woken.get(tx, waiter) === 0) continue;
      this.woken.push(sleeper);
      this.leave(sleeper);
      if (again !== undefined) this.wait(sleeper, again);
    }
    if (Task.progress.get(tx, this.machine.task) !== 0) {
      this.meanwhile = undefined;
      meanwhile?.();
    }
    tx.hook = hook;
  }

  futex(word: number, ...args: readonly number[]): number {
    const number = this.machine.prepare("futex", word, ...args);
    return this.carryOut(number);
  }

  carryOut(number: number): number {
    const { tx, machine } = this;
    tx.commit = () => {
      this.#commit();
      this.between();
    };
    try {
      const result = machine.carryOut(number);
      assert.equal(typeof result, "number");
      return result as number;
    } finally {
      tx.commit = this.#commit;
    }
  }

  check(): void {
    const wrong = checkHeap(this.tx).filter(({ invariant }) => invariant.startsWith("X"));
    assert.deepEqual(wrong, []);
    assert.equal(Task.progress.get(this.tx, this.machine.task), 0, "the call has left something");
  }
}

/** Words behind WORD, the one in another bucket, the other in the same. */
const [elsewhere, nearby] = ((): [number, number] => {
  const { tx, task } = new LinuxMachine();
  const bucket = (offset: number): HeapAddr => bucketOf(tx, { object: Task.space.get(tx, task), offset });
  const find = (same: boolean): number => {
    for (let word = WORD + 4; word < WORD + 4096; word += 4)
      if ((bucket(word) === bucket(WORD)) === same) return word;
    throw new Error("no such word");
  };
  return [find(false), find(true)];
})();
const targets = [
  ["another bucket", elsewhere],
  ["the same bucket", nearby],
] as const;

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const everybody = range(0, CROWD);

/** Words of bits: set the second word to 1, wake there if it was 0. */
const SET_ONE_IF_NONE = 0x0000_1000;

interface Case {
  readonly name: string;
  readonly before: (crowds: Crowds) => void;
  readonly call: readonly [word: number, ...args: number[]];
  readonly result: number;
  readonly woken: readonly number[];
  /** Who waits in the end, and where. */
  readonly at: readonly (readonly [word: number, sleepers: readonly number[]])[];
}

const cases: readonly Case[] = [
  {
    name: "WAKE of all",
    before: (c) => c.gather(WORD, CROWD),
    call: [WORD, FUTEX.WAKE, ALL],
    result: CROWD,
    woken: everybody,
    at: [[WORD, everybody]],
  },
  {
    name: "WAKE_BITSET of all but some",
    before: (c) => c.gather(WORD, CROWD + 10),
    call: [WORD, FUTEX.WAKE_BITSET, CROWD, 0, 0, 1],
    result: CROWD,
    woken: everybody,
    at: [[WORD, [...range(CROWD, CROWD + 10), ...everybody]]],
  },
  {
    name: "WAKE of one word, waiting again at another of the same bucket",
    before: (c) => c.gather(WORD, CROWD, nearby),
    call: [WORD, FUTEX.WAKE, ALL],
    result: CROWD,
    woken: everybody,
    at: [
      [WORD, []],
      [nearby, everybody],
    ],
  },
  ...targets.flatMap(([where, target]): Case[] => [
    {
      name: `CMP_REQUEUE to ${where}`,
      before: (c) => {
        c.gather(WORD, CROWD);
        c.gather(target, 2);
      },
      call: [WORD, FUTEX.CMP_REQUEUE, 1, ALL, target, 0],
      result: CROWD,
      woken: [0],
      at: [
        [WORD, [0]],
        [target, [CROWD, CROWD + 1, ...range(1, CROWD)]],
      ],
    },
    {
      name: `REQUEUE to ${where}, waking many`,
      before: (c) => c.gather(WORD, CROWD + CROWD),
      call: [WORD, FUTEX.REQUEUE, CROWD, CROWD - 5, target],
      result: CROWD + CROWD - 5,
      woken: everybody,
      at: [
        [WORD, [...range(CROWD + CROWD - 5, CROWD + CROWD), ...everybody]],
        [target, range(CROWD, CROWD + CROWD - 5)],
      ],
    },
    {
      name: `REQUEUE to ${where}, some being moved back meanwhile`,
      before: (c) => {
        c.gather(WORD, CROWD);
        c.meanwhile = () => c.move(target, WORD, 2);
      },
      call: [WORD, FUTEX.REQUEUE, 0, ALL, target],
      result: CROWD,
      woken: [],
      at: [
        [WORD, [0, 1]],
        [target, range(2, CROWD)],
      ],
    },
    {
      name: `WAKE_OP with ${where}, many of the first`,
      before: (c) => {
        c.gather(WORD, CROWD);
        c.gather(target, 20);
      },
      call: [WORD, FUTEX.WAKE_OP, ALL, ALL, target, SET_ONE_IF_NONE],
      result: CROWD + 20,
      woken: range(0, CROWD + 20),
      at: [
        [WORD, everybody],
        [target, range(CROWD, CROWD + 20)],
      ],
    },
    {
      name: `WAKE_OP with ${where}, many of the second, which come to the first`,
      before: (c) => {
        c.gather(WORD, 5);
        c.gather(target, CROWD, WORD);
      },
      call: [WORD, FUTEX.WAKE_OP, ALL, ALL, target, SET_ONE_IF_NONE],
      result: CROWD + 5,
      woken: range(0, CROWD + 5),
      at: [
        [WORD, range(0, CROWD + 5)],
        [target, []],
      ],
    },
  ]),
  {
    name: "REQUEUE to where they are",
    before: (c) => c.gather(WORD, CROWD),
    call: [WORD, FUTEX.REQUEUE, 1, ALL, WORD],
    result: CROWD,
    woken: [0],
    at: [[WORD, [...range(1, CROWD), 0]]],
  },
  {
    name: "REQUEUE to where they are, waking many",
    before: (c) => c.gather(WORD, CROWD + CROWD),
    call: [WORD, FUTEX.REQUEUE, CROWD, CROWD - 5, WORD],
    result: CROWD + CROWD - 5,
    woken: everybody,
    at: [[WORD, [...range(CROWD, CROWD + CROWD), ...everybody]]],
  },
  {
    name: "WAKE, while somebody comes that waits for the owner of a mutex",
    before: (c) => {
      c.gather(WORD, CROWD, elsewhere);
      c.sleepers.push({ task: Task.allocate(c.tx), again: undefined });
      c.tx.commit();
      c.meanwhile = () => c.wait(CROWD, WORD, 9);
    },
    call: [WORD, FUTEX.WAKE, ALL],
    result: CROWD,
    woken: everybody,
    at: [
      [WORD, [CROWD]],
      [elsewhere, everybody],
    ],
  },
];

function verify(crowds: Crowds, expected: Case, result: number, where: string): void {
  assert.equal(result, expected.result, where);
  // A step wakes in the order of waiting; who of its waiters goes on first is the scheduler's business.
  assert.deepEqual(crowds.woken, expected.woken, where);
  for (const [word, sleepers] of expected.at) assert.deepEqual(crowds.at(word), sleepers, where);
  crowds.check();
}

describe("a call for a crowd is one moment", () => {
  for (const each of cases) {
    test(each.name, () => {
      // Rounds wrap, as unsigned numbers and as signed ones.
      for (const round of [0, -1, 0x7fff_ffff]) {
        const crowds = new Crowds(round);
        each.before(crowds);
        verify(crowds, each, crowds.futex(...each.call), `from round ${round}`);
      }
    });
  }
});

class Crash extends Error {}

/** Crash points that are tried in one case at most: beyond, every n-th. */
const POINTS_MAX = 40;

/** Carries the call out with a crash before step `at`, and again from where it is; the steps of the first attempt. */
function crashing(each: Case, at: number): number {
  const crowds = new Crowds();
  const { machine, tx } = crowds;
  each.before(crowds);
  const number = machine.prepare("futex", ...each.call);
  let count = 0;
  tx.hook = () => {
    if (++count === at) throw new Crash();
  };
  let result: number | undefined;
  try {
    result = crowds.carryOut(number);
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
  }
  tx.hook = () => {};
  if (result === undefined) {
    tx.rollback();
    crowds.between();
    result = machine.finished ? machine.result : crowds.carryOut(number);
  }
  verify(crowds, each, result, `${each.name}: crash before step ${at}`);
  return count;
}

describe("a call for a crowd that crashes", () => {
  for (const each of cases) {
    test(each.name, () => {
      const steps = crashing(each, 0);
      const stride = Math.ceil(steps / POINTS_MAX);
      for (let at = 1; at <= steps; at += stride) crashing(each, at);
    });
  }
});

test("a call that fails in a later step leaves nothing behind", () => {
  const crowds = new Crowds();
  crowds.gather(WORD, CROWD, elsewhere);
  crowds.leave(CROWD - 1);
  crowds.wait(CROWD - 1, WORD, 9);
  for (const operation of [FUTEX.WAKE, FUTEX.WAKE_OP]) {
    assert.equal(crowds.futex(WORD, operation, ALL, 1, elsewhere, SET_ONE_IF_NONE), -errno.EINVAL.code);
    crowds.check();
  }
  crowds.leave(CROWD - 1);
  const left = crowds.at(WORD).length;
  assert.equal(crowds.futex(WORD, FUTEX.WAKE, ALL), left);
  crowds.check();
});
