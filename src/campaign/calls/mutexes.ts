/** Futexes with an owner: taken, waited for, given away, left behind. */

import type { Step } from "../guest.ts";
import { scenario, type Scenario, thread } from "./scenario.ts";

const FUTEX = {
  WAIT: 0,
  WAKE: 1,
  REQUEUE: 3,
  WAKE_OP: 5,
  LOCK_PI: 6,
  UNLOCK_PI: 7,
  TRYLOCK_PI: 8,
  LOCK_PI2: 13,
} as const;
const SIGUSR1 = 10;

export const mutexes: readonly Scenario[] = [
  scenario("mutexes/owners", function* (g) {
    yield* g.setUp();
    const word = yield* g.put([0, 0]);
    yield* g.ok("futex", word, FUTEX.LOCK_PI, 0, 0, 0, 0);
    yield* g.fails("EDEADLK", "futex", word, FUTEX.LOCK_PI, 0, 0, 0, 0);
    for (let i = 0; i < 2; i++) {
      yield* thread(g, function* (own) {
        yield* own.ok("futex", word, FUTEX.LOCK_PI, 0, 0, 0, 0);
        yield* own.ok("futex", word, FUTEX.UNLOCK_PI, 0, 0, 0, 0);
      });
      yield* g.ok("sched_yield");
    }
    yield* g.fails("EINVAL", "futex", word, FUTEX.WAKE, 1, 0, 0, 0);
    yield* g.ok("futex", word, FUTEX.UNLOCK_PI, 0, 0, 0, 0);
    yield* g.fails("EPERM", "futex", word, FUTEX.UNLOCK_PI, 0, 0, 0, 0);
    yield* g.ok("nanosleep", yield* g.put([0, 1000]), 0);
    yield* g.ok("futex", word, FUTEX.TRYLOCK_PI, 0, 0, 0, 0);
    yield* thread(g, function* (own) {
      yield* own.fails("EAGAIN", "futex", word, FUTEX.TRYLOCK_PI, 0, 0, 0, 0);
      const limit = yield* own.put([0, 1]);
      yield* own.fails("ETIMEDOUT", "futex", word, FUTEX.LOCK_PI2, 0, limit, 0, 0);
    });
    yield* g.ok("sched_yield");
    yield* g.ok("futex", word, FUTEX.UNLOCK_PI, 0, 0, 0, 0);
  }),
  scenario("mutexes/ends", function* (g) {
    yield* g.setUp();
    const word = yield* g.put([0, 0]);
    yield* g.ok("rt_sigaction", SIGUSR1, yield* g.put([g.handler(function* () {}), 0x400_0000, 0]), 0, 8);
    // An owner ends while others wait: one in vain until a signal, which does not end its wait.
    yield* thread(g, function* (own) {
      yield* own.ok("futex", word, FUTEX.LOCK_PI, 0, 0, 0, 0);
      yield* own.ok("sched_yield");
      yield* own.ok("sched_yield");
    });
    yield* g.ok("sched_yield");
    const second = yield* thread(g, function* (own) {
      yield* own.ok("futex", word, FUTEX.LOCK_PI, 0, 0, 0, 0);
      yield* own.ok("futex", word, FUTEX.UNLOCK_PI, 0, 0, 0, 0);
    });
    yield* g.ok("sched_yield");
    yield* g.call("tgkill", yield* g.ok("getpid"), second, SIGUSR1);
    yield* g.call("futex", word, FUTEX.LOCK_PI, 0, 0, 0, 0);
    yield* g.call("futex", word, FUTEX.UNLOCK_PI, 0, 0, 0, 0);
    yield* g.ok("nanosleep", yield* g.put([0, 1000]), 0);
    yield* g.poke(word, Uint8Array.of(0xff, 0xff, 0xff, 0));
    yield* g.fails("ESRCH", "futex", word, FUTEX.LOCK_PI, 0, 0, 0, 0);
  }),
  scenario("mutexes/a word that is added to", function* (g) {
    yield* g.setUp();
    const words = yield* g.put([0, 7]);
    const other = words + 8;
    /** FUTEX_OP(FUTEX_OP_ADD, operand, FUTEX_OP_CMP_EQ, wanted). */
    const add = (operand: number, wanted: number): number => 0x1000_0000 + operand * 4096 + wanted;
    for (const word of [words, words, other]) {
      yield* thread(g, function* (own) {
        yield* own.ok("futex", word, FUTEX.WAIT, word === words ? 0 : 7, 0, 0, 0);
      });
      yield* g.ok("sched_yield");
    }
    for (const [wanted, woken, sum] of [
      [0, 1, 10],
      [10, 2, 13],
      [13, 0, 16],
    ] as const) {
      const got = yield* g.ok("futex", words, FUTEX.WAKE_OP, 1, 1, other, add(3, wanted));
      if (got !== woken) throw new Error(`${got} were woken`);
      if ((yield* g.word(other)) !== sum) throw new Error("the sum is wrong");
    }
    yield* g.ok("nanosleep", yield* g.put([0, 1000]), 0);
  }),
  scenario("mutexes/a crowd at one word", function* (g) {
    yield* g.setUp();
    const words = yield* g.put([0, 0]);
    const gather = function* (): Step {
      for (let i = 0; i < 34; i++) {
        yield* thread(g, function* (own) {
          yield* own.ok("futex", words, FUTEX.WAIT, 0, 0, 0, 0);
        });
        yield* g.ok("sched_yield");
      }
    };
    yield* gather();
    if ((yield* g.ok("futex", words, FUTEX.REQUEUE, 1, 99, words + 8, 0)) !== 34) throw new Error("not all");
    if ((yield* g.ok("futex", words + 8, FUTEX.WAKE, 99, 0, 0, 0)) !== 33) throw new Error("not all moved");
    yield* g.ok("nanosleep", yield* g.put([0, 1000]), 0);
    yield* gather();
    const woken = yield* g.ok("futex", words, FUTEX.WAKE_OP, 99, 1, words + 8, 0x1000_1000);
    if (woken !== 34 || (yield* g.word(words + 8)) !== 1) throw new Error("not all woken, or not once");
    yield* g.ok("nanosleep", yield* g.put([0, 1000]), 0);
  }),
  scenario("mutexes/robust lists", function* (g) {
    yield* g.setUp();
    // A head, then entries of a link and a word 8 bytes behind it; before the words of glibc's there is the link, too.
    for (const how of ["exit", "execve"] as const) {
      yield* g.fork(function* (child) {
        const base = child.bytes(256);
        const tid = yield* child.ok("gettid");
        const entry = (i: number): number => base + 64 + i * 16;
        yield* child.poke(
          base,
          new Uint8Array(BigInt64Array.from([entry(0), -8, entry(2)].map(BigInt)).buffer),
        );
        for (let i = 0; i < 3; i++) {
          const word = i === 2 ? 0 : tid + 0x8000_0000;
          const link = i < 2 ? entry(i + 1) : base;
          yield* child.poke(
            entry(i) - 8,
            new Uint8Array(BigInt64Array.from([word, link].map(BigInt)).buffer),
          );
          yield* thread(child, function* (own) {
            yield* own.ok("futex", entry(i) - 8, FUTEX.WAIT, word, 0, 0, 0);
          });
        }
        yield* child.ok("sched_yield");
        yield* child.ok("set_robust_list", base, 24);
        const path = yield* child.put("/bin/hello");
        if (how === "exit") yield* child.ok("exit", 0);
        yield* child.ok("execve", path, yield* child.put([path, 0]), 0);
        yield* child.ok("exit_group", 0);
      });
      yield* g.ok("wait4", -1, 0, 0, 0);
    }
  }),
];
