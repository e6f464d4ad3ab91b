/** Futexes with an owner: taken, waited for, given away, left behind. */

import type { Guest, Step } from "../guest.ts";
import { scenario, type Scenario } from "./scenario.ts";

const CLONE_THREAD = 0x3d_0f00;
const FUTEX = { WAKE: 1, LOCK_PI: 6, UNLOCK_PI: 7, TRYLOCK_PI: 8, LOCK_PI2: 13 } as const;
const SIGUSR1 = 10;

function* thread(g: Guest, program: (own: Guest) => Step): Step<number> {
  const word = g.bytes(16);
  return yield* g.clone(
    CLONE_THREAD,
    function* (own) {
      yield* program(own);
      yield* own.ok("exit", 0);
    },
    g.bytes(1024) + 1024,
    word,
    0x1000,
    word + 8,
  );
}

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
];
