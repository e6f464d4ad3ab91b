// Clocks and timers: what a program can rely on, as bounds.
#include "lib/rt.h"

static volatile int count;
static void counting(int sig) { count++; }

static void clocks(void) {
  struct timespec t, u;
  int rising = 1;
  i64 last = nowNs();
  for (int i = 0; i < 2000; i++) {
    i64 n = nowNs();
    rising &= n >= last;
    last = n;
  }
  ok("the monotonic clock never goes back", rising);
  SYS(clock_gettime, CLOCK_REALTIME, &t);
  ok("the real time is after 2020", t.tv_sec > 1577836800);
  struct __kernel_old_timeval tv;
  SYS(gettimeofday, &tv, 0);
  ok("gettimeofday agrees", tv.tv_sec - t.tv_sec >= 0 && tv.tv_sec - t.tv_sec <= 2);
  eq("resolution", SYS(clock_getres, CLOCK_MONOTONIC, &u), 0);
  ok("of at most 10 ms", u.tv_sec == 0 && u.tv_nsec > 0 && u.tv_nsec <= 10000000);
  SYS(clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &t);
  for (volatile int i = 0; i < 3000000; i++) {
  }
  SYS(clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &u);
  ok("the processor time grows with work", (u.tv_sec - t.tv_sec) * 1000000000L + u.tv_nsec - t.tv_nsec > 0);
  SYS(clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &t);
  sleepMs(100);
  SYS(clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &u);
  ok("and not with sleep", (u.tv_sec - t.tv_sec) * 1000000000L + u.tv_nsec - t.tv_nsec < 80000000);
  for (int id = 0; id < 8; id++)
    if (id != 8 && SYS(clock_gettime, id, &t) != 0) count++;
  eq("clocks 0 to 7", count, 0);
  errIs("an unknown clock", SYS(clock_gettime, 99, &t), EINVAL);
  errIs("a bad pointer", SYS(clock_gettime, 0, 8), EFAULT);
}

static void sleeping(void) {
  struct timespec t = {0, 30000000}, left = {7, 7};
  i64 t0 = nowNs();
  eq("nanosleep", SYS(nanosleep, &t, &left), 0);
  i64 took = nowNs() - t0;
  ok("not too short", took >= 30000000);
  ok("not far too long", took < 1000000000);
  ok("the rest is untouched", left.tv_sec == 7);
  SYS(clock_gettime, CLOCK_MONOTONIC, &t);
  t.tv_nsec += 30000000;
  if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
  t0 = nowNs();
  eq("clock_nanosleep to a time", SYS(clock_nanosleep, CLOCK_MONOTONIC, 1, &t, 0), 0);
  ok("kept", nowNs() - t0 >= 29000000);
  eq("a time that has passed", SYS(clock_nanosleep, CLOCK_MONOTONIC, 1, &t, 0), 0);
  t.tv_nsec = 1000000000;
  errIs("bad nanoseconds", SYS(nanosleep, &t, 0), EINVAL);
  t.tv_sec = -1, t.tv_nsec = 0;
  errIs("negative seconds", SYS(nanosleep, &t, 0), EINVAL);
  errIs("a bad pointer", SYS(nanosleep, 8, 0), EFAULT);
  t.tv_sec = 0;
  eq("no time at all", SYS(nanosleep, &t, 0), 0);
}

static void interval(void) {
  handle(SIGALRM, counting, SA_RESTART, 0);
  struct __kernel_old_itimerval t = {{0, 20000}, {0, 20000}}, old;
  i64 t0 = nowNs();
  eq("setitimer", SYS(setitimer, 0, &t, 0), 0);
  while (count < 5 && nowNs() - t0 < 3000000000L) sleepMs(1);
  ok("five ticks", count >= 5);
  ok("in at least 100 ms", nowNs() - t0 >= 95000000);
  SYS(getitimer, 0, &old);
  ok("getitimer", old.it_interval.tv_usec == 20000 && old.it_value.tv_usec <= 20001);
  memset(&t, 0, sizeof t);
  eq("stop", SYS(setitimer, 0, &t, &old), 0);
  int seen = count;
  sleepMs(60);
  ok("no more", count <= seen + 1);
  t.it_value.tv_sec = 100;
  SYS(setitimer, 0, &t, 0);
  memset(&t, 0, sizeof t);
  SYS(setitimer, 0, &t, &old);
  ok("the old value", old.it_value.tv_sec == 99 || old.it_value.tv_sec == 100);
  t.it_value.tv_sec = 100;
  SYS(setitimer, 0, &t, 0);
  long pid = fork();
  if (pid == 0) {
    SYS(getitimer, 0, &old);
    exit_group(old.it_value.tv_sec == 0 ? 0 : 1);
  }
  statusIs("a child has none", waitStatus(pid), 0);
  t.it_value.tv_usec = 1000000;
  errIs("bad microseconds", SYS(setitimer, 0, &t, 0), EINVAL);
  errIs("an unknown timer", SYS(setitimer, 5, &t, 0), EINVAL);
}

static void processor(void) {
  handle(SIGPROF, counting, SA_RESTART, 0);
  handle(SIGVTALRM, counting, SA_RESTART, 0);
  count = 0;
  struct __kernel_old_itimerval t = {{0, 0}, {0, 20000}};
  SYS(setitimer, 2, &t, 0);
  i64 t0 = nowNs();
  while (!count && nowNs() - t0 < 5000000000L) {
  }
  eq("ITIMER_PROF after work", count, 1);
  count = 0;
  SYS(setitimer, 1, &t, 0);
  t0 = nowNs();
  while (!count && nowNs() - t0 < 5000000000L) {
    for (volatile int i = 0; i < 100000; i++) {
    }
  }
  eq("ITIMER_VIRTUAL after work", count, 1);
}

struct event {
  u64 value;
  int signo, notify;
  u64 pad[6];
};
static volatile int code, value;
static void onTimer(int sig, siginfo_t *i, void *c) {
  count++;
  code = i->si_code;
  value = i->si_int;
}
static void posix(void) {
  handle(SIGUSR1, onTimer, SA_SIGINFO, 0);
  struct event e = {.value = 77, .signo = SIGUSR1, .notify = 0};
  struct itimerspec t = {{0, 10000000}, {0, 10000000}}, now;
  int id = -1;
  eq("timer_create", SYS(timer_create, CLOCK_MONOTONIC, &e, &id), 0);
  eq("timer_settime", SYS(timer_settime, id, 0, &t, 0), 0);
  i64 t0 = nowNs();
  while (count < 3 && nowNs() - t0 < 3000000000L) sleepMs(1);
  ok("its signals", count >= 3 && code == SI_TIMER && value == 77);
  ok("timer_gettime", SYS(timer_gettime, id, &now) == 0 && now.it_interval.tv_nsec == 10000000);
  ok("timer_getoverrun", SYS(timer_getoverrun, id) >= 0);
  eq("timer_delete", SYS(timer_delete, id), 0);
  errIs("deleted", SYS(timer_delete, id), EINVAL);
  e.notify = 1;
  eq("SIGEV_NONE", SYS(timer_create, CLOCK_REALTIME, &e, &id), 0);
  t.it_value.tv_sec = 50, t.it_interval.tv_nsec = 0;
  SYS(timer_settime, id, 0, &t, 0);
  SYS(timer_gettime, id, &now);
  ok("the rest of it", now.it_value.tv_sec >= 49 && now.it_value.tv_sec <= 50);
  e.signo = 99, e.notify = 0;
  errIs("a bad signal", SYS(timer_create, CLOCK_REALTIME, &e, &id), EINVAL);
}

static const struct itimerspec off;
static void counts(void) {
  // While its signal is blocked a timer only counts; what it counted comes with the signal.
  u64 set = 1ul << (SIGUSR2 - 1), old;
  struct event e = {.value = 5, .signo = SIGUSR2, .notify = 0};
  struct itimerspec t = {{0, 5000000}, {0, 5000000}};
  siginfo_t info;
  int id = -1, other = -1;
  SYS(rt_sigprocmask, SIG_BLOCK, &set, &old, 8);
  SYS(timer_create, CLOCK_MONOTONIC, &e, &id);
  eq("the first timer is 0", id, 0);
  SYS(timer_settime, id, 0, &t, 0);
  sleepMs(60);
  struct timespec none = {0, 0};
  eq("its signal", SYS(rt_sigtimedwait, &set, &info, &none, 8), SIGUSR2);
  ok("si_code, si_timerid, si_value", info.si_code == SI_TIMER && info.si_tid == 0 && info.si_int == 5);
  ok("si_overrun", info.si_overrun >= 9 && info.si_overrun < 100);
  eq("timer_getoverrun says the same", SYS(timer_getoverrun, id), info.si_overrun);
  eq("set off", SYS(timer_settime, id, 0, &off, &t), 0);
  ok("the old setting", t.it_interval.tv_nsec == 5000000 && t.it_value.tv_nsec > 0);
  SYS(timer_gettime, id, &t);
  ok("off shows zeros", t.it_value.tv_nsec == 0 && t.it_value.tv_sec == 0 && t.it_interval.tv_nsec == 0);
  while (SYS(rt_sigtimedwait, &set, &info, &none, 8) > 0) continue;
  // Two timers with one standard signal: each has its own.
  SYS(timer_create, CLOCK_MONOTONIC, &e, &other);
  ok("ids go on", other == 1);
  t = (struct itimerspec){{0, 0}, {0, 1000000}};
  SYS(timer_settime, id, 0, &t, 0);
  SYS(timer_settime, other, 0, &t, 0);
  sleepMs(20);
  int seen = 0;
  while (SYS(rt_sigtimedwait, &set, &info, &none, 8) > 0) seen |= 1 << info.si_tid;
  eq("a signal from each", seen, 3);
  SYS(timer_delete, id);
  SYS(timer_delete, other);
  SYS(timer_create, CLOCK_MONOTONIC, 0, &id);
  eq("ids are not used again", id, 2);
  set = 1ul << (SIGALRM - 1);
  SYS(rt_sigprocmask, SIG_BLOCK, &set, 0, 8);
  SYS(timer_settime, id, 0, &t, 0);
  sleepMs(20);
  eq("without an event it is SIGALRM", SYS(rt_sigtimedwait, &set, &info, &none, 8), SIGALRM);
  eq("with the id as its value", info.si_int, 2);
  // An absolute time that has passed.
  SYS(clock_gettime, CLOCK_REALTIME, &t.it_value);
  SYS(timer_create, CLOCK_REALTIME, 0, &id);
  SYS(timer_settime, id, 1, &t, 0);
  struct timespec second = {1, 0};
  eq("a time that has passed", SYS(rt_sigtimedwait, &set, &info, &second, 8), SIGALRM);
  SYS(rt_sigprocmask, SIG_SETMASK, &old, 0, 8);
}

static void ends(void) {
  struct event e = {.signo = SIGTERM, .notify = 0};
  struct itimerspec t = {{0, 0}, {1, 0}};
  int id = -1;
  SYS(timer_create, CLOCK_MONOTONIC, &e, &id);
  SYS(timer_settime, id, 0, &t, 0);
  long pid = fork();
  if (pid == 0) {
    struct itimerspec now;
    exit_group(SYS(timer_gettime, id, &now) == -EINVAL ? 3 : 4);
  }
  statusIs("a child has none", waitStatus(pid), 3 << 8);
  SYS(timer_delete, id);
  pid = fork();
  if (pid == 0) {
    SYS(timer_create, CLOCK_MONOTONIC, &e, &id);
    SYS(timer_settime, id, 0, &t, 0);
    char *argv[] = {(char *)selfPath, "again", 0}, *envp[] = {0};
    SYS(execve, selfPath, argv, envp);
    exit_group(99);
  }
  statusIs("a new program has none", waitStatus(pid), 7 << 8);
  errIs("no such timer", SYS(timer_settime, 77, 0, &t, 0), EINVAL);
  errIs("no new setting", SYS(timer_settime, id, 0, 0, 0), EINVAL);
  errIs("a bad clock", SYS(timer_create, 77, &e, &id), EINVAL);
  errIs("a clock for reading", SYS(timer_create, CLOCK_MONOTONIC_RAW, &e, &id), EOPNOTSUPP);
  errIs("a bad place for the id", SYS(timer_create, CLOCK_MONOTONIC, &e, 8), EFAULT);
  errIs("a bad event", SYS(timer_create, CLOCK_MONOTONIC, 8, &id), EFAULT);
  e.notify = 9;
  errIs("a bad way", SYS(timer_create, CLOCK_MONOTONIC, &e, &id), EINVAL);
  e.notify = 4;
  e.pad[0] = 1;
  errIs("another's thread", SYS(timer_create, CLOCK_MONOTONIC, &e, &id), EINVAL);
  e.pad[0] = (u64)SYS(gettid);
  eq("one's own thread", SYS(timer_create, CLOCK_MONOTONIC, &e, &id), 0);
  t.it_value.tv_nsec = 1000000000;
  errIs("bad nanoseconds", SYS(timer_settime, id, 0, &t, 0), EINVAL);
  // Signals and timers of a user are bounded together.
  struct rlimit64 few = {4, 4};
  e.notify = 0;
  if (fork() == 0) {
    SYS(setresuid, 4321, 4321, 4321);
    SYS(prlimit64, 0, RLIMIT_SIGPENDING, &few, 0);
    int made = 0;
    while (made < 10 && SYS(timer_create, CLOCK_MONOTONIC, &e, &id) == 0) made++;
    exit_group(made);
  }
  statusIs("RLIMIT_SIGPENDING", waitStatus(-1), 4 << 8);
}

static void ofProcessor(void) {
  struct event e = {.value = 1, .signo = SIGUSR1, .notify = 0};
  struct itimerspec t = {{0, 0}, {0, 20000000}};
  struct timespec before, after;
  int id;
  count = 0;
  handle(SIGUSR1, onTimer, SA_SIGINFO, 0);
  for (int clock = CLOCK_PROCESS_CPUTIME_ID; clock <= CLOCK_THREAD_CPUTIME_ID; clock++) {
    int want = count + 1;
    eq("by time on processors", SYS(timer_create, clock, &e, &id), 0);
    SYS(clock_gettime, clock, &before);
    SYS(timer_settime, id, 0, &t, 0);
    sleepMs(60);
    ok("not by sleep", count < want);
    i64 t0 = nowNs();
    while (count < want && nowNs() - t0 < 5000000000L) continue;
    SYS(clock_gettime, clock, &after);
    ok("after work", count == want);
    ok("of that length", (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 20000000);
    SYS(timer_delete, id);
  }
  // The clock of a process by its number.
  int clock = (int)(~(unsigned)SYS(getpid) << 3) | 2;
  eq("the clock of a process by its number", SYS(clock_gettime, clock, &before), 0);
  eq("a timer by it", SYS(timer_create, clock, &e, &id), 0);
  errIs("of nobody", SYS(clock_gettime, (int)(~(unsigned)32000 << 3) | 2, &before), EINVAL);
}

static int alarmed(void) {
  struct __kernel_old_itimerval t = {{0, 0}, {0, 20000}};
  SYS(setitimer, 0, &t, 0);
  for (;;) sleepMs(1000);
}
static void alarms(void) {
  statusIs("SIGALRM kills by default", childStatus(alarmed), SIGALRM);
  int good = 1;
  long pids[8];
  i64 t0 = nowNs();
  for (int i = 0; i < 8; i++) {
    pids[i] = fork();
    if (pids[i] == 0) {
      sleepMs(100);
      exit_group(i);
    }
  }
  for (int i = 0; i < 8; i++) good &= waitStatus(pids[i]) == i << 8;
  i64 took = nowNs() - t0;
  ok("eight sleepers sleep at once", good && took >= 100000000 && took < 700000000);
}

static const struct section all[] = {
    {"clocks", clocks}, {"sleep", sleeping}, {"interval", interval}, {"processor", processor}, {"posix", posix}, {"counts", counts},
    {"ends", ends},     {"of processors", ofProcessor}, {"alarms", alarms},
};
int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "again") == 0) {
    sleepMs(1200);
    return 7;
  }
  return runSections("timers", all, sizeof all / sizeof all[0], argc, argv);
}
