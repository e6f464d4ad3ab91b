// Threads by clone and futexes by number: shared memory and descriptors, thread pointers, CLEARTID, wait, wake,
// requeue, bit sets, timeouts.
#include "lib/rt.h"

#define PRIVATE FUTEX_PRIVATE_FLAG
static u32 word, other;
static volatile int started, finished;
static volatile long results[16];

static int store(void *arg) {
  results[(long)arg] = (long)arg + 1;
  return 0;
}
static int tidOf(void *arg) {
  results[0] = gettid();
  results[1] = getpid();
  return 0;
}
static void cloneBasics(void) {
  struct thread t[8];
  int good = 1;
  for (long i = 0; i < 8; i++) good &= startThread(&t[i], store, (void *)i);
  for (int i = 0; i < 8; i++) joinThread(&t[i]);
  for (int i = 0; i < 8; i++) good &= results[i] == i + 1;
  ok("eight threads share memory", good);
  startThread(&t[0], tidOf, 0);
  joinThread(&t[0]);
  ok("its own tid, the same pid", results[0] != getpid() && results[1] == getpid());
  errIs("a thread cannot be waited for", wait4(results[0], 0, 0, 0), ECHILD);
  errIs("CLONE_THREAD without CLONE_SIGHAND", clone_fn(store, 0, CLONE_THREAD | CLONE_VM, stackTop(4096), 0, 0, 0), EINVAL);
  errIs("CLONE_SIGHAND without CLONE_VM", clone_fn(store, 0, CLONE_SIGHAND, stackTop(4096), 0, 0, 0), EINVAL);
}

static int openThere(void *arg) {
  results[0] = open("f", O_RDWR | O_CREAT, 0644);
  results[1] = chdir("/");
  return 0;
}
static void sharing(void) {
  struct thread t;
  startThread(&t, openThere, 0);
  joinThread(&t);
  eq("descriptors are shared", write(results[0], "x", 1), 1);
  char cwd[64];
  SYS(getcwd, cwd, sizeof cwd);
  eqStr("the directory is shared", cwd, "/");
}

#if defined(__riscv)
static int readTp(void *arg) {
  u64 tp;
  __asm__ volatile("mv %0, tp" : "=r"(tp));
  results[0] = (long)tp;
  return 0;
}
static void threadPointer(void) {
  struct thread t;
  startThread(&t, readTp, 0);
  joinThread(&t);
  ok("CLONE_SETTLS sets tp", results[0] == (long)t.stack - 65536);
}
#else
static void threadPointer(void) { ok("CLONE_SETTLS sets tp", 1); }
#endif

static int waiter(void *arg) {
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  results[(long)arg] = futex(&word, FUTEX_WAIT_BITSET | PRIVATE, 0, 0, 0, 1u << (long)arg);
  __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
  return 0;
}
static void begin(struct thread *t, int n) {
  started = finished = 0;
  for (long i = 0; i < n; i++) startThread(&t[i], waiter, (void *)i);
  while (started < n) sleepMs(1);
  sleepMs(60);
}
static void reach(int n) {
  for (int i = 0; i < 1000 && finished < n; i++) sleepMs(1);
  sleepMs(20);
}
static void wake(void) {
  struct thread t[4];
  begin(t, 4);
  eq("wake one", futex(&word, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), 1);
  reach(1);
  eq("one went on", finished, 1);
  eq("wake the rest", futex(&word, FUTEX_WAKE | PRIVATE, 100, 0, 0, 0), 3);
  for (int i = 0; i < 4; i++) joinThread(&t[i]);
  eq("none left", futex(&word, FUTEX_WAKE | PRIVATE, 100, 0, 0, 0), 0);
  ok("each got 0", !(results[0] | results[1] | results[2] | results[3]));
  begin(t, 3);
  eq("bit set wakes its own", futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 100, 0, 0, 1u << 1), 1);
  joinThread(&t[1]);
  eq("and no other", finished, 1);
  errIs("an empty bit set", futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 1, 0, 0, 0), EINVAL);
  eq("the rest of the bits", futex(&word, FUTEX_WAKE_BITSET | PRIVATE, 100, 0, 0, ~0u), 2);
  joinThread(&t[0]);
  joinThread(&t[2]);
}

static void requeue(void) {
  struct thread t[4];
  begin(t, 4);
  errIs("CMP_REQUEUE with another value",
        futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 1, (void *)10, &other, 5), EAGAIN);
  eq("CMP_REQUEUE wakes one and moves three", futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 1, (void *)10, &other, 0), 4);
  reach(1);
  eq("one went on", finished, 1);
  eq("the first word has none", futex(&word, FUTEX_WAKE | PRIVATE, 10, 0, 0, 0), 0);
  eq("the second has three", futex(&other, FUTEX_WAKE | PRIVATE, 10, 0, 0, 0), 3);
  for (int i = 0; i < 4; i++) joinThread(&t[i]);
  begin(t, 2);
  // Wake one on word; set other to 5 and, as it was 0, wake one there.
  other = 0;
  eq("WAKE_OP", futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_SET, 5, FUTEX_OP_CMP_EQ, 0)), 1);
  eq("it stored", other, 5);
  reach(1);
  futex(&word, FUTEX_WAKE | PRIVATE, 10, 0, 0, 0);
  joinThread(&t[0]);
  joinThread(&t[1]);
  other = 7;
  begin(t, 2);
  eq("WAKE_OP that adds, with a comparison that fails",
     futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 0)), 1);
  eq("it added once", other, 10);
  reach(1);
  futex(&word, FUTEX_WAKE_OP | PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_XOR, 3, FUTEX_OP_CMP_GT, 9));
  eq("and changed bits", other, 9);
  joinThread(&t[0]);
  joinThread(&t[1]);
  other = 0;
}

/// More threads than one step of the kernel's sees to.
#define CROWD 150
static struct thread crowd[CROWD];
static int waitHere(void *arg) {
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  while (*(volatile u32 *)&word == 0) futex(&word, FUTEX_WAIT | PRIVATE, 0, 0, 0, 0);
  __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
  return 0;
}
static void gather(void) {
  started = finished = word = 0;
  for (int i = 0; i < CROWD; i++) startThread(&crowd[i], waitHere, 0);
  while (started < CROWD) sleepMs(1);
  sleepMs(100);
}
static void disperse(void) {
  word = 1;
  futex(&word, FUTEX_WAKE | PRIVATE, 0x7fffffff, 0, 0, 0);
  futex(&other, FUTEX_WAKE | PRIVATE, 0x7fffffff, 0, 0, 0);
  for (int i = 0; i < CROWD; i++) joinThread(&crowd[i]);
}
static void crowds(void) {
  gather();
  word = 1;
  eq("all are woken", futex(&word, FUTEX_WAKE | PRIVATE, 0x7fffffff, 0, 0, 0), CROWD);
  for (int i = 0; i < CROWD; i++) joinThread(&crowd[i]);
  gather();
  eq("all but one are moved", futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 1, (void *)0x7fffffff, &other, 0), CROWD);
  eq("to the other", futex(&other, FUTEX_CMP_REQUEUE | PRIVATE, 0, (void *)100, &word, 0), 100);
  disperse();
  gather();
  eq("those moved to where they are count once", futex(&word, FUTEX_CMP_REQUEUE | PRIVATE, 0, (void *)0x7fffffff, &word, 0), CROWD);
  disperse();
  gather();
  word = 1;
  eq("all of one word, and none of another",
     futex(&word, FUTEX_WAKE_OP | PRIVATE, 200, (void *)200, &other, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0)), CROWD);
  eq("for one addition", other, 1);
  for (int i = 0; i < CROWD; i++) joinThread(&crowd[i]);
  other = word = 0;
}

static void numbers(void) {
  struct thread t[2];
  begin(t, 2);
  eq("to wake none wakes one", futex(&word, FUTEX_WAKE | PRIVATE, 0, 0, 0, 0), 1);
  eq("fewer than none, too", futex(&word, FUTEX_WAKE | PRIVATE, (u32)-1, 0, 0, 0), 1);
  joinThread(&t[0]);
  joinThread(&t[1]);
  eq("at an address of nothing", futex((u32 *)8, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), 0);
  errIs("that others may share", futex((u32 *)8, FUTEX_WAKE, 1, 0, 0, 0), EFAULT);
  errIs("of the kernel", futex((u32 *)~7UL, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), EFAULT);
  errIs("an odd one", futex((u32 *)9, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), EINVAL);
  errIs("to move fewer than none", futex(&word, FUTEX_REQUEUE | PRIVATE, 1, (void *)-1, &other, 0), EINVAL);
}

static void timeouts(void) {
  struct timespec t = {0, 30000000}, bad = {0, 1000000000}, past = {0, 0}, now;
  i64 t0 = nowNs();
  errIs("relative", futex(&word, FUTEX_WAIT | PRIVATE, 0, &t, 0, 0), ETIMEDOUT);
  ok("it waited", nowNs() - t0 >= 30000000);
  errIs("another value", futex(&word, FUTEX_WAIT | PRIVATE, 3, &t, 0, 0), EAGAIN);
  errIs("a bad time", futex(&word, FUTEX_WAIT | PRIVATE, 0, &bad, 0, 0), EINVAL);
  errIs("an absolute time in the past", futex(&word, FUTEX_WAIT_BITSET | PRIVATE, 0, &past, 0, ~0u), ETIMEDOUT);
  SYS(clock_gettime, CLOCK_REALTIME, &now);
  now.tv_nsec += 30000000;
  if (now.tv_nsec >= 1000000000) now.tv_sec++, now.tv_nsec -= 1000000000;
  t0 = nowNs();
  errIs("absolute real time", futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME | PRIVATE, 0, &now, 0, ~0u), ETIMEDOUT);
  ok("it waited too", nowNs() - t0 >= 20000000);
  errIs("an odd address", futex((u32 *)((u8 *)&word + 1), FUTEX_WAIT | PRIVATE, 0, &t, 0, 0), EINVAL);
  errIs("a bad address", futex((u32 *)8, FUTEX_WAIT | PRIVATE, 0, &t, 0, 0), EFAULT);
  errIs("an unknown operation", futex(&word, 99, 0, 0, 0, 0), ENOSYS);
}

static void acrossProcesses(void) {
  u32 *w = shared(4096);
  long pid = fork();
  if (pid == 0) exit_group((int)-futex(w, FUTEX_WAIT, 0, 0, 0, 0));
  sleepMs(60);
  w[0] = 1;
  long n = 0;
  for (int i = 0; i < 100 && (n = futex(w, FUTEX_WAKE, 1, 0, 0, 0)) == 0; i++) sleepMs(2);
  int st = waitStatus(pid);
  ok("a shared word wakes another process", n == 1 ? st == 0 : st == EAGAIN << 8);
}

static u32 mutex;
static volatile long total;
static void lockWord(u32 *m) {
  u32 zero = 0;
  if (__atomic_compare_exchange_n(m, &zero, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
  while (__atomic_exchange_n(m, 2, __ATOMIC_ACQUIRE)) futex(m, FUTEX_WAIT | PRIVATE, 2, 0, 0, 0);
}
static void unlockWord(u32 *m) {
  if (__atomic_exchange_n(m, 0, __ATOMIC_RELEASE) == 2) futex(m, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0);
}
static int adding(void *arg) {
  for (int i = 0; i < 3000; i++) {
    lockWord(&mutex);
    total++;
    unlockWord(&mutex);
  }
  return 0;
}
static void contention(void) {
  struct thread t[6];
  for (int i = 0; i < 6; i++) startThread(&t[i], adding, 0);
  for (int i = 0; i < 6; i++) joinThread(&t[i]);
  eq("a mutex under six threads", total, 18000);
}

static u64 atomics[8];
static int atomicWork(void *arg) {
  long id = (long)arg;
  for (int i = 0; i < 4000; i++) {
    __atomic_fetch_add(&atomics[0], 1, __ATOMIC_RELAXED);
    __atomic_fetch_xor(&atomics[1], 1UL << id, __ATOMIC_SEQ_CST);
    __atomic_fetch_add((u32 *)&atomics[2], 3, __ATOMIC_ACQ_REL);
    u64 seen = __atomic_load_n(&atomics[3], __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&atomics[3], &seen, seen + 2, 1, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
#if defined(__riscv)
    long tmp;
    __asm__ volatile("1: lr.d.aq %0, (%1)\naddi %0, %0, 5\nsc.d.rl t0, %0, (%1)\nbnez t0, 1b" : "=&r"(tmp) : "r"(&atomics[4]) : "t0", "memory");
    __asm__ volatile("amomax.d zero, %0, (%1)" ::"r"((long)i * 4 + id), "r"(&atomics[5]) : "memory");
    __asm__ volatile("amominu.w zero, %0, (%1)" ::"r"(1000 - i % 900), "r"(&atomics[6]) : "memory");
#endif
  }
  return 0;
}
static void atomicOperations(void) {
  struct thread t[4];
  *(u32 *)&atomics[6] = 5000;
  for (long i = 0; i < 4; i++) startThread(&t[i], atomicWork, (void *)i);
  for (int i = 0; i < 4; i++) joinThread(&t[i]);
  eq("add", atomics[0], 16000);
  eq("exclusive or", atomics[1], 0);
  eq("32-bit add", (u32)atomics[2], 48000);
  eq("compare and swap", atomics[3], 32000);
#if defined(__riscv)
  eq("LR and SC", atomics[4], 80000);
  eq("maximum", atomics[5], 3999 * 4 + 3);
  eq("unsigned minimum", (u32)atomics[6], 101);
#endif
}

static int tree(void *arg) {
  long depth = (long)arg;
  if (depth > 0) {
    struct thread a, b;
    startThread(&a, tree, (void *)(depth - 1));
    startThread(&b, tree, (void *)(depth - 1));
    joinThread(&a);
    joinThread(&b);
  }
  __atomic_fetch_add(&total, 1, __ATOMIC_SEQ_CST);
  return 0;
}
static void threadTree(void) {
  total = 0;
  tree((void *)5);
  eq("threads that start threads", total, 63);
}

static int leaveLater(void *arg) {
  sleepMs(60);
  exit_group(44);
  return 0;
}
static int mainLeavesFirst(void) {
  struct thread t;
  startThread(&t, leaveLater, 0);
  for (;;) SYS(exit, 5);
}
static int forkThere(void *arg) {
  long pid = fork();
  if (pid == 0) exit_group(getpid() == gettid() ? 12 : 13);
  results[0] = waitStatus(pid);
  return 0;
}
/// Threads enough that one transaction of the kernel's could not tell all of them.
#define MANY 300
static int wait300(void *arg) {
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
  for (;;) futex(&word, FUTEX_WAIT | PRIVATE, 0, 0, 0, 0);
}
static int makeMany(void) {
  started = 0;
  for (int i = 0; i < MANY; i++) {
    if (clone_fn(wait300, 0, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, stackTop(8192), 0, 0, 0) < 0)
      return 0;
  }
  while (started < MANY) sleepMs(1);
  return 1;
}
static int manyExitGroup(void) {
  if (!makeMany()) return 1;
  exit_group(45);
}
static int manyFatal(void) {
  if (!makeMany()) return 1;
  for (;;) kill(getpid(), SIGTERM);
}
static int executing(void *arg) {
  char *argv[] = {selfPath, "-n", "nothing", 0};
  sleepMs(20);
  execve(selfPath, argv, environ);
  exit_group(46);
}
static int manyExec(void) {
  if (!makeMany()) return 1;
  struct thread t[2];
  // Two at once: one of them ends the other.
  startThread(&t[0], executing, 0);
  startThread(&t[1], executing, 0);
  for (;;) sleepMs(1000);
}
static int manyStop(void) {
  if (!makeMany()) return 1;
  kill(getpid(), SIGSTOP);
  exit_group(47);
}
static void many(void) {
  statusIs("all end by exit_group", childStatus(manyExitGroup), 45 << 8);
  statusIs("by a signal", childStatus(manyFatal), SIGTERM);
  int quiet[2];
  pipe2(quiet, 0);
  long pid = fork();
  if (pid == 0) {
    dup3(quiet[1], 1, 0);
    manyExec();
  }
  statusIs("by an execve in one of them", waitStatus(pid), 0);
  pid = fork();
  if (pid == 0) exit_group(manyStop());
  int status = 0;
  wait4(pid, &status, WUNTRACED, 0);
  ok("all stop", WIFSTOPPED(status));
  kill(pid, SIGCONT);
  statusIs("and go on", waitStatus(pid), 47 << 8);
}

static void ends(void) {
  statusIs("the first thread may end before the last", childStatus(mainLeavesFirst), 44 << 8);
  struct thread t;
  startThread(&t, forkThere, 0);
  joinThread(&t);
  statusIs("fork in a thread", (int)results[0], 12 << 8);
}

static const struct section all[] = {
    {"clone", cloneBasics}, {"sharing", sharing},     {"tp", threadPointer},       {"wake", wake},
    {"requeue", requeue},   {"crowds", crowds}, {"numbers", numbers}, {"timeouts", timeouts},   {"processes", acrossProcesses}, {"contention", contention},
    {"atomics", atomicOperations}, {"tree", threadTree}, {"ends", ends}, {"many", many},
};
SECTIONS("threads", all)
