// Futexes with an owner (priority inheritance): who owns them, who is next, and what becomes of them when it ends.
#include "lib/rt.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif
#define PRIVATE FUTEX_PRIVATE_FLAG
static u32 word, other;
static volatile int stage, order[4], orderN;
static volatile long result[4];

static long lock(u32 *w) { return futex(w, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0); }
static long unlock(u32 *w) { return futex(w, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0); }
static long trylock(u32 *w) { return futex(w, FUTEX_TRYLOCK_PI | PRIVATE, 0, 0, 0, 0); }
static u32 me(void) { return (u32)gettid(); }
/// Until somebody waits in the kernel.
static void awaitWaiters(u32 *w) {
  for (int i = 0; i < 2000 && !(*(volatile u32 *)w & FUTEX_WAITERS); i++) sleepMs(1);
  sleepMs(20);
}

static void alone(void) {
  eq("lock", lock(&word), 0);
  eq("the word names the owner", word, me());
  errIs("twice", lock(&word), EDEADLK);
  errIs("try it twice", trylock(&word), EDEADLK);
  eq("unlock", unlock(&word), 0);
  eq("nobody", word, 0);
  errIs("unlock what is free", unlock(&word), EPERM);
  eq("try", trylock(&word), 0);
  word = 1;
  errIs("another's", unlock(&word), EPERM);
  word = 0x3ffffff;
  errIs("of nobody who lives", lock(&word), ESRCH);
  errIs("nor to try", trylock(&word), ESRCH);
  word = FUTEX_OWNER_DIED;
  eq("after an owner's death", lock(&word), 0);
  eq("the word says so", word, me() | FUTEX_OWNER_DIED);
  eq("and not for ever", unlock(&word), 0);
  eq("free", word, 0);
  errIs("a bad address", lock((u32 *)((char *)&word + 1)), EINVAL);
  errIs("an address of nothing", lock((u32 *)8), EFAULT);
  struct timespec past = {1, 0};
  eq("with a limit that is over", futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &past, 0, 0), 0);
  unlock(&word);
  eq("by the other clock", futex(&word, FUTEX_LOCK_PI2 | PRIVATE, 0, &past, 0, 0), 0);
  unlock(&word);
}

static int lockAndTell(void *arg) {
  long i = (long)arg;
  result[i] = lock(&word);
  order[orderN++] = (int)i;
  if ((word & FUTEX_TID_MASK) != me()) result[i] = 1;
  unlock(&word);
  return 0;
}

static void waiting(void) {
  struct thread t[3];
  lock(&word);
  for (long i = 0; i < 3; i++) {
    startThread(&t[i], lockAndTell, (void *)i);
    awaitWaiters(&word);
  }
  eq("somebody waits", word, me() | FUTEX_WAITERS);
  errIs("nobody else wakes them", futex(&word, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), EINVAL);
  errIs("or moves them", futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 0, (void *)5, &other, word), EINVAL);
  eq("unlock", unlock(&word), 0);
  for (int i = 0; i < 3; i++) joinThread(&t[i]);
  ok("each gets it", result[0] == 0 && result[1] == 0 && result[2] == 0);
  ok("the first comes first", order[0] == 0 && order[1] == 1 && order[2] == 2);
  eq("in the end it is free", word & FUTEX_TID_MASK, 0);
}

static int hold(void *arg) {
  lock(&word);
  stage = 1;
  while (stage == 1) sleepMs(1);
  unlock(&word);
  return 0;
}

static void limits(void) {
  struct thread t;
  startThread(&t, hold, 0);
  waitFor(&stage);
  errIs("try", trylock(&word), EAGAIN);
  struct timespec at;
  SYS(clock_gettime, CLOCK_REALTIME, &at);
  at.tv_nsec += 60000000;
  if (at.tv_nsec >= 1000000000) at.tv_nsec -= 1000000000, at.tv_sec++;
  i64 t0 = nowNs();
  errIs("a time of day", futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &at, 0, 0), ETIMEDOUT);
  ok("not before", nowNs() - t0 >= 55000000);
  SYS(clock_gettime, CLOCK_MONOTONIC, &at);
  at.tv_nsec += 60000000;
  if (at.tv_nsec >= 1000000000) at.tv_nsec -= 1000000000, at.tv_sec++;
  t0 = nowNs();
  errIs("a time since the start", futex(&word, FUTEX_LOCK_PI2 | PRIVATE, 0, &at, 0, 0), ETIMEDOUT);
  ok("not before that", nowNs() - t0 >= 55000000);
  eq("the owner is the same", word & FUTEX_TID_MASK, t.tid);
  stage = 2;
  joinThread(&t);
  eq("it is free then", word & FUTEX_TID_MASK, 0);
  eq("and can be had", lock(&word), 0);
}

static volatile int signalled;
static void counting(int sig) { signalled++; }
static int interrupted(void *arg) {
  stage = 1;
  result[0] = lock(&word);
  stage = 3;
  return 0;
}

static void signals(void) {
  handle(SIGUSR1, counting, 0, 0);
  lock(&word);
  struct thread t;
  startThread(&t, interrupted, 0);
  waitFor(&stage);
  awaitWaiters(&word);
  SYS(tgkill, getpid(), t.tid, SIGUSR1);
  waitFor(&signalled);
  sleepMs(30);
  eq("a handler runs, and the wait goes on", stage, 1);
  unlock(&word);
  for (int i = 0; i < 2000 && stage != 3; i++) sleepMs(1);
  eq("to its end", result[0], 0);
  joinThread(&t);
}

static int lockAndEnd(void *arg) {
  lock(&word);
  stage = 1;
  awaitWaiters(&word);
  return 0;
}
static int lockShared(void *w) {
  lock(w);
  return 0;
}

static void deaths(void) {
  struct thread t;
  startThread(&t, lockAndEnd, 0);
  waitFor(&stage);
  eq("its owner ends", lock(&word), 0);
  eq("the next is told", word & (FUTEX_TID_MASK | FUTEX_OWNER_DIED), me() | FUTEX_OWNER_DIED);
  joinThread(&t);
  unlock(&word);
  word = 0;
  startThread(&t, lockShared, &word);
  joinThread(&t);
  errIs("one that ended before", lock(&word), ESRCH);
  u32 *between = shared(4096);
  long pid = fork();
  if (pid == 0) {
    futex(between, FUTEX_LOCK_PI, 0, 0, 0, 0);
    awaitWaiters(between);
    kill(getpid(), SIGKILL);
  }
  while (*(volatile u32 *)between == 0) sleepMs(1);
  eq("a process is killed", futex(between, FUTEX_LOCK_PI, 0, 0, 0, 0), 0);
  eq("the next is told, too", *between & (FUTEX_TID_MASK | FUTEX_OWNER_DIED), me() | FUTEX_OWNER_DIED);
  waitStatus(pid);
}

/// struct robust_list_head, and a mutex in it as glibc has one.
struct entry {
  struct entry *next;
};
struct head {
  struct entry *list;
  long offset;
  struct entry *pending;
};
static struct {
  struct entry link;
  u32 word;
} robust;
static int dieWithRobust(void *arg) {
  struct head *h = stackTop(4096);
  h = (struct head *)((char *)h - 256);
  h->list = (struct entry *)((u64)&robust.link | 1);
  robust.link.next = (struct entry *)h;
  h->offset = (char *)&robust.word - (char *)&robust.link;
  h->pending = 0;
  SYS(set_robust_list, h, sizeof *h);
  lock(&robust.word);
  if (arg) awaitWaiters(&robust.word);
  return 0;
}
static void robustLists(void) {
  struct thread t;
  startThread(&t, dieWithRobust, 0);
  joinThread(&t);
  eq("marked", robust.word, FUTEX_OWNER_DIED);
  eq("and free", lock(&robust.word), 0);
  eq("still marked", robust.word, me() | FUTEX_OWNER_DIED);
  unlock(&robust.word);
  robust.word = 0;
  startThread(&t, dieWithRobust, (void *)1);
  while (*(volatile u32 *)&robust.word == 0) sleepMs(1);
  eq("while somebody waits", lock(&robust.word), 0);
  eq("the next is told", robust.word & (FUTEX_TID_MASK | FUTEX_OWNER_DIED), me() | FUTEX_OWNER_DIED);
  joinThread(&t);
}

/// Several robust mutexes of one that dies, each with somebody who waits.
#define HELD 12
static struct {
  struct entry link;
  u32 word;
} several[HELD];
static int dieWithSeveral(void *arg) {
  struct head *h = stackTop(4096);
  h = (struct head *)((char *)h - 256);
  h->list = &several[0].link;
  for (int i = 0; i < HELD; i++) {
    several[i].link.next = i + 1 < HELD ? &several[i + 1].link : (struct entry *)h;
    several[i].word = me();
  }
  h->offset = (char *)&several[0].word - (char *)&several[0].link;
  h->pending = 0;
  SYS(set_robust_list, h, sizeof *h);
  stage = 1;
  while (stage == 1) sleepMs(1);
  sleepMs(50);
  return 0;
}
static volatile int inherited;
static int inherit(void *arg) {
  u32 *w = &several[(long)arg].word;
  u32 held = *(volatile u32 *)w;
  __atomic_compare_exchange_n(w, &held, held | FUTEX_WAITERS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  while (!(*(volatile u32 *)w & FUTEX_OWNER_DIED)) futex(w, FUTEX_WAIT, *(volatile u32 *)w, 0, 0, 0);
  __atomic_add_fetch(&inherited, 1, __ATOMIC_SEQ_CST);
  return 0;
}
static void severalRobust(void) {
  struct thread t, w[HELD];
  startThread(&t, dieWithSeveral, 0);
  waitFor(&stage);
  for (long i = 0; i < HELD; i++) startThread(&w[i], inherit, (void *)i);
  sleepMs(50);
  stage = 2;
  joinThread(&t);
  for (int i = 0; i < HELD; i++) joinThread(&w[i]);
  eq("each is inherited", inherited, HELD);
}

/// A mutex that was freed, whose waiter was to be woken next.
static int dieBeforeWaking(void *arg) {
  struct head *h = stackTop(4096);
  h = (struct head *)((char *)h - 256);
  h->list = (struct entry *)h;
  h->offset = (char *)&robust.word - (char *)&robust.link;
  h->pending = &robust.link;
  SYS(set_robust_list, h, sizeof *h);
  while (stage != 1) sleepMs(1);
  sleepMs(50);
  robust.word = 0;
  return 0;
}
static void pendingRobust(void) {
  struct thread t;
  robust.word = 5;
  startThread(&t, dieBeforeWaking, 0);
  stage = 1;
  long r = futex(&robust.word, FUTEX_WAIT, 5, 0, 0, 0);
  ok("its waiter is woken", r == 0 || r == -EAGAIN);
  joinThread(&t);
}

/// A program that executes another lets go of what it shares.
static void executing(void) {
  u32 *between = shared(4096);
  struct entry *link = (struct entry *)(between + 8);
  struct head *h = (struct head *)(between + 16);
  long pid = fork();
  if (pid == 0) {
    char *argv[] = {selfPath, "-n", "nothing", 0};
    h->list = link;
    link->next = (struct entry *)h;
    h->offset = (char *)&between[4] - (char *)link;
    SYS(set_robust_list, h, sizeof *h);
    between[4] = me() | FUTEX_WAITERS;
    futex(between, FUTEX_LOCK_PI, 0, 0, 0, 0);
    awaitWaiters(between);
    long null = open("/dev/null", O_WRONLY, 0);
    dup3(null, 1, 0);
    execve(selfPath, argv, environ);
    exit_group(1);
  }
  while (*(volatile u32 *)between == 0) sleepMs(1);
  eq("a mutex", futex(between, FUTEX_LOCK_PI, 0, 0, 0, 0), 0);
  statusIs("the other program runs", waitStatus(pid), 0);
  eq("a robust one", between[4], FUTEX_WAITERS | FUTEX_OWNER_DIED);
}

static const struct section all[] = {
    {"alone", alone},     {"waiting", waiting}, {"limits", limits},
    {"signals", signals}, {"deaths", deaths},   {"robust", robustLists},
    {"several", severalRobust}, {"pending", pendingRobust}, {"executing", executing},
};
SECTIONS("mutexes", all)
