// Threads by clone with their own stacks: a shared counter under a futex mutex, and the end of each thread
// seen through CLONE_CHILD_CLEARTID.
#include "../lib/rt.h"

enum { THREADS = 4, ROUNDS = 500, STACK = 16384 };
static u32 lock;
static volatile long counter;
static u32 tids[THREADS];
static u8 stacks[THREADS][STACK] __attribute__((aligned(16)));

static void acquire(void) {
  u32 seen = 0;
  if (__atomic_compare_exchange_n(&lock, &seen, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
  while (__atomic_exchange_n(&lock, 2, __ATOMIC_ACQUIRE) != 0) futex(&lock, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 2, 0, 0, 0);
}
static void release(void) {
  if (__atomic_exchange_n(&lock, 0, __ATOMIC_RELEASE) == 2) futex(&lock, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0);
}
static int work(void *arg) {
  (void)arg;
  for (int i = 0; i < ROUNDS; i++) {
    acquire();
    long seen = counter;
    if (i % 50 == 0) sched_yield();
    counter = seen + 1;
    release();
  }
  return 0;
}

int main(void) {
  u64 flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
              CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  int started = 1;
  for (int i = 0; i < THREADS; i++)
    started &= clone_fn(work, 0, flags, stacks[i] + STACK, &tids[i], stacks[i], &tids[i]) > 0;
  ok("clone", started);
  for (int i = 0; i < THREADS; i++)
    for (u32 t; (t = __atomic_load_n(&tids[i], __ATOMIC_ACQUIRE)) != 0;) futex(&tids[i], FUTEX_WAIT, t, 0, 0, 0);
  eq("the counter", counter, (long)THREADS * ROUNDS);
  errIs("a wait on another value", futex(&lock, FUTEX_WAIT, 7, 0, 0, 0), EAGAIN);
  struct timespec t = {0, 1000000};
  errIs("a wait that times out", futex(&lock, FUTEX_WAIT, 0, &t, 0, 0), ETIMEDOUT);
  return 0;
}
