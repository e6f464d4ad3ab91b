// Signals: handlers, masks, queues, siginfo, restart, alternate stacks, groups, waiting, default actions, stop and
// continue, and which thread gets what.
#include "lib/rt.h"

#define RT 34
static volatile int count, lastSig, lastCode, lastStatus, lastValue, order[16], orderN;
static volatile long lastPid;
static volatile u64 frameAt;

static void counting(int sig) {
  count++;
  lastSig = sig;
}
static void recording(int sig, siginfo_t *info, void *ctx) {
  count++;
  lastSig = sig;
  lastCode = info->si_code;
  lastPid = info->si_pid;
  lastStatus = info->si_status;
  lastValue = info->si_int;
  if (orderN < 16) order[orderN++] = sig >= RT ? info->si_int : sig;
}

static void handlers(void) {
  struct ksigaction old;
  eq("install", handle(SIGUSR1, counting, 0, BIT(SIGUSR2)), 0);
  kill(getpid(), SIGUSR1);
  eq("runs before kill returns", count, 1);
  eq("argument", lastSig, SIGUSR1);
  SYS(rt_sigaction, SIGUSR1, 0, &old, 8);
  ok("old handler", old.handler == (void *)counting);
  ok("old mask", old.mask == BIT(SIGUSR2));
  errIs("SIGKILL", handle(SIGKILL, counting, 0, 0), EINVAL);
  errIs("SIGSTOP", handle(SIGSTOP, counting, 0, 0), EINVAL);
  errIs("signal 0", handle(0, counting, 0, 0), EINVAL);
  errIs("signal 65", handle(65, counting, 0, 0), EINVAL);
  eq("signal 64", handle(64, counting, 0, 0), 0);
  errIs("size of the mask", SYS(rt_sigaction, SIGUSR1, 0, &old, 4), EINVAL);
  handle(SIGUSR1, counting, SA_RESETHAND, 0);
  kill(getpid(), SIGUSR1);
  SYS(rt_sigaction, SIGUSR1, 0, &old, 8);
  ok("SA_RESETHAND", count == 2 && old.handler == NULL);
}

static void masks(void) {
  handle(SIGUSR1, counting, 0, 0);
  handle(SIGUSR2, counting, 0, 0);
  setMask(BIT(SIGUSR1) | BIT(SIGKILL) | BIT(SIGSTOP));
  ok("SIGKILL and SIGSTOP cannot be blocked", setMask(BIT(SIGUSR1)) == BIT(SIGUSR1));
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGUSR1);
  eq("blocked", count, 0);
  mask_t pending = 0;
  SYS(rt_sigpending, &pending, 8);
  ok("pending", pending == BIT(SIGUSR1));
  setMask(0);
  eq("a standard signal is not queued", count, 1);
  mask_t m = BIT(SIGUSR2), old = 99;
  SYS(rt_sigprocmask, SIG_BLOCK, &m, &old, 8);
  ok("SIG_BLOCK returns the old mask", old == 0);
  m = BIT(SIGUSR1);
  SYS(rt_sigprocmask, SIG_BLOCK, &m, 0, 8);
  m = BIT(SIGUSR2);
  SYS(rt_sigprocmask, SIG_UNBLOCK, &m, &old, 8);
  ok("SIG_BLOCK adds", old == (BIT(SIGUSR1) | BIT(SIGUSR2)));
  ok("SIG_UNBLOCK removes", setMask(0) == BIT(SIGUSR1));
  errIs("another how", SYS(rt_sigprocmask, 7, &m, 0, 8), EINVAL);
  setMask(BIT(SIGUSR1));
  kill(getpid(), SIGUSR1);
  handle(SIGUSR1, SIG_IGN, 0, 0);
  handle(SIGUSR1, counting, 0, 0);
  setMask(0);
  eq("ignoring discards what is pending", count, 1);
}

static volatile mask_t maskInside;
static void nesting(int sig) {
  order[orderN++] = sig;
  maskInside = setMask(~0UL);
  setMask(maskInside);
  if (sig == SIGUSR1) kill(getpid(), SIGUSR2);
  order[orderN++] = -sig;
}
static void nested(void) {
  handle(SIGUSR1, nesting, 0, 0);
  handle(SIGUSR2, nesting, 0, 0);
  kill(getpid(), SIGUSR1);
  ok("the second runs inside the first", orderN == 4 && order[0] == SIGUSR1 && order[1] == SIGUSR2 &&
                                             order[2] == -SIGUSR2 && order[3] == -SIGUSR1);
  orderN = 0;
  handle(SIGUSR1, nesting, 0, BIT(SIGUSR2) | BIT(SIGHUP));
  kill(getpid(), SIGUSR1);
  ok("sa_mask defers it", orderN == 4 && order[1] == -SIGUSR1 && order[2] == SIGUSR2);
  handle(SIGUSR1, nesting, 0, BIT(SIGHUP));
  handle(SIGUSR2, counting, 0, 0);
  kill(getpid(), SIGUSR1);
  ok("the mask inside", maskInside == (BIT(SIGUSR1) | BIT(SIGHUP)));
  ok("the mask after", setMask(0) == 0);
  handle(SIGUSR1, nesting, SA_NODEFER, 0);
  kill(getpid(), SIGUSR1);
  ok("SA_NODEFER", maskInside == 0);
}

static void queues(void) {
  siginfo_t info;
  handle(RT, recording, SA_SIGINFO, 0);
  handle(RT + 1, recording, SA_SIGINFO, 0);
  handle(SIGUSR1, recording, SA_SIGINFO, 0);
  setMask(~0UL);
  for (int i = 3; i; i--) {
    memset(&info, 0, sizeof info);
    info.si_signo = RT + (i & 1);
    info.si_code = SI_QUEUE;
    info.si_pid = (int)getpid();
    info.si_int = i;
    eq("rt_sigqueueinfo", SYS(rt_sigqueueinfo, getpid(), RT + (i & 1), &info), 0);
  }
  kill(getpid(), SIGUSR1);
  setMask(~(BIT(RT) | BIT(RT + 1) | BIT(SIGUSR1)));
  eq("real-time signals queue", count, 4);
  // Handlers are entered for all, lowest number first, so the last entered (the highest) runs first.
  ok("SI_QUEUE or SI_USER", lastCode == SI_QUEUE || lastCode == SI_USER);
  int sum = 0;
  for (int i = 0; i < orderN; i++) sum += order[i];
  eq("values arrive", sum, 1 + 2 + 3 + SIGUSR1);
  int at1 = -1, at3 = -1;
  for (int i = 0; i < orderN; i++) {
    if (order[i] == 3) at3 = i;
    if (order[i] == 1) at1 = i;
  }
  ok("the same signal keeps its order", at3 >= 0 && at1 > at3);
  setMask(0);
}

static void info(void) {
  handle(SIGUSR1, recording, SA_SIGINFO, 0);
  kill(getpid(), SIGUSR1);
  ok("kill: SI_USER and the sender", lastCode == SI_USER && lastPid == getpid());
  SYS(tgkill, getpid(), gettid(), SIGUSR1);
  ok("tgkill: SI_TKILL", lastCode == SI_TKILL && lastPid == getpid());
  long parent = getpid();
  long pid = fork();
  if (pid == 0) exit_group(kill(parent, SIGUSR1) != 0);
  waitStatus(pid);
  ok("from another process", lastCode == SI_USER && lastPid == pid);
  siginfo_t i;
  memset(&i, 0, sizeof i);
  i.si_code = SI_USER;
  pid = fork();
  if (pid == 0) {
    sleepMs(1000);
    exit_group(0);
  }
  errIs("a forged SI_USER for another process", SYS(rt_sigqueueinfo, pid, SIGUSR1, &i), EPERM);
  kill(pid, SIGKILL);
  waitStatus(pid);
}

static int readAfter(int flags) {
  int p[2];
  char b;
  pipe2(p, 0);
  count = 0;
  handle(SIGALRM, counting, flags, 0);
  long pid = fork();
  if (pid == 0) {
    sleepMs(150);
    write(p[1], "x", 1);
    exit_group(0);
  }
  struct __kernel_old_itimerval t = {{0, 0}, {0, 40000}};
  SYS(setitimer, 0, &t, 0);
  long n = read(p[0], &b, 1);
  waitStatus(pid);
  close(p[0]);
  close(p[1]);
  return (int)n;
}
static void restart(void) {
  errIs("read without SA_RESTART", readAfter(0), EINTR);
  eq("the handler ran", count, 1);
  eq("read with SA_RESTART", readAfter(SA_RESTART), 1);
  eq("the handler ran again", count, 1);
  struct __kernel_old_itimerval t = {{0, 0}, {0, 40000}};
  struct timespec wish = {5, 0}, left = {0, 0};
  SYS(setitimer, 0, &t, 0);
  errIs("nanosleep even with SA_RESTART", SYS(nanosleep, &wish, &left), EINTR);
  ok("the time left", left.tv_sec == 4 && left.tv_nsec > 0);
  SYS(setitimer, 0, &t, 0);
  errIs("ppoll even with SA_RESTART", SYS(ppoll, 0, 0, &wish, 0, 8), EINTR);
  SYS(setitimer, 0, &t, 0);
  u32 word = 0;
  long f = futex(&word, FUTEX_WAIT, 0, &wish, 0, 0);
  errIs("futex with a timeout", f, EINTR);
  handle(SIGALRM, counting, 0, 0);
  SYS(setitimer, 0, &t, 0);
  long pid = fork();
  if (pid == 0) {
    handle(SIGALRM, SIG_IGN, 0, 0);
    sleepMs(300);
    exit_group(7);
  }
  errIs("wait4 without SA_RESTART", wait4(pid, 0, 0, 0), EINTR);
  handle(SIGALRM, counting, SA_RESTART, 0);
  SYS(setitimer, 0, &t, 0);
  int st = 0;
  eq("wait4 with SA_RESTART", wait4(pid, &st, 0, 0), pid);
  handle(SIGURG, SIG_IGN, 0, 0);
  pid = fork();
  if (pid == 0) {
    sleepMs(50);
    kill(getppid(), SIGURG);
    exit_group(0);
  }
  wish.tv_sec = 0, wish.tv_nsec = 200000000;
  i64 t0 = nowNs();
  eq("an ignored signal interrupts nothing", SYS(nanosleep, &wish, 0), 0);
  ok("and the sleep is complete", nowNs() - t0 >= 200000000);
  waitStatus(pid);
}

static stack_t inside;
static volatile long changeInside;
static void onStack(int sig) {
  char here;
  frameAt = (u64)&here;
  SYS(sigaltstack, 0, &inside);
  stack_t other = {.ss_sp = (void *)0x10000, .ss_flags = 0, .ss_size = 65536};
  changeInside = SYS(sigaltstack, &other, 0);
}
static void alternateStack(void) {
  u8 *top = stackTop(65536);
  stack_t s = {.ss_sp = top - 65536, .ss_flags = 0, .ss_size = 65536}, old;
  SYS(sigaltstack, 0, &old);
  eq("none at first", old.ss_flags, SS_DISABLE);
  eq("set", SYS(sigaltstack, &s, 0), 0);
  handle(SIGUSR1, onStack, SA_ONSTACK, 0);
  kill(getpid(), SIGUSR1);
  ok("the handler runs on it", frameAt > (u64)s.ss_sp && frameAt < (u64)top);
  eq("SS_ONSTACK inside", inside.ss_flags, SS_ONSTACK);
  errIs("no change while on it", changeInside, EPERM);
  SYS(sigaltstack, 0, &old);
  eq("flags outside", old.ss_flags, 0);
  handle(SIGUSR1, onStack, 0, 0);
  kill(getpid(), SIGUSR1);
  ok("not without SA_ONSTACK", !(frameAt > (u64)s.ss_sp && frameAt < (u64)top));
  s.ss_size = 100;
  errIs("too small", SYS(sigaltstack, &s, 0), ENOMEM);
  s.ss_flags = 0x1234;
  errIs("bad flags", SYS(sigaltstack, &s, 0), EINVAL);
  s.ss_flags = SS_DISABLE;
  eq("disable", SYS(sigaltstack, &s, 0), 0);
}

static void onOverflow(int sig, siginfo_t *i, void *c) {
  char here;
  exit_group((u64)&here > frameAt - 65536 && (u64)&here < frameAt && i->si_code == SEGV_MAPERR ? 33 : 34);
}
static __attribute__((noinline)) int deeper(volatile char *p) {
  volatile char big[4096];
  big[0] = p[0];
  return deeper(big) + big[0];
}
static int overflow(void) {
  struct rlimit l = {1 << 20, 1 << 20};
  setrlimit(RLIMIT_STACK, &l);
  frameAt = (u64)stackTop(65536);
  stack_t s = {.ss_sp = (void *)(frameAt - 65536), .ss_flags = 0, .ss_size = 65536};
  SYS(sigaltstack, &s, 0);
  handle(SIGSEGV, onOverflow, SA_ONSTACK | SA_SIGINFO, 0);
  char c = 0;
  return deeper(&c);
}
static int overflowPlain(void) {
  char c = 0;
  handle(SIGSEGV, onOverflow, SA_SIGINFO, 0);
  return deeper(&c);
}
static void stackOverflow(void) {
  statusIs("a handler on the alternate stack", childStatus(overflow), 33 << 8);
  statusIs("without one the process dies", childStatus(overflowPlain), SIGSEGV);
}

static void child(void) {
  handle(SIGCHLD, recording, SA_SIGINFO, 0);
  setMask(BIT(SIGCHLD));
  long pid = fork();
  if (pid == 0) exit_group(9);
  waitStatus(pid);
  setMask(0);
  ok("exit: CLD_EXITED, status, pid", count == 1 && lastCode == CLD_EXITED && lastStatus == 9 && lastPid == pid);
  setMask(BIT(SIGCHLD));
  pid = fork();
  if (pid == 0) {
    kill(getpid(), SIGKILL);
    exit_group(0);
  }
  waitStatus(pid);
  setMask(0);
  ok("kill: CLD_KILLED, signal", count == 2 && lastCode == CLD_KILLED && lastStatus == SIGKILL && lastPid == pid);
  setMask(BIT(SIGCHLD));
  pid = fork();
  if (pid == 0) {
    kill(getpid(), SIGSTOP);
    exit_group(0);
  }
  int st;
  wait4(pid, &st, WUNTRACED, 0);
  setMask(0);
  ok("stop: CLD_STOPPED", count == 3 && lastCode == CLD_STOPPED && lastStatus == SIGSTOP);
  handle(SIGCHLD, recording, SA_SIGINFO | SA_NOCLDSTOP, 0);
  kill(pid, SIGCONT);
  waitStatus(pid);
  sleepMs(1);
  ok("exit after continuing", lastCode == CLD_EXITED);
  count = 0;
  pid = fork();
  if (pid == 0) {
    kill(getpid(), SIGSTOP);
    exit_group(0);
  }
  wait4(pid, &st, WUNTRACED, 0);
  eq("SA_NOCLDSTOP", count, 0);
  kill(pid, SIGKILL);
  waitStatus(pid);
  handle(SIGCHLD, SIG_IGN, 0, 0);
  pid = fork();
  if (pid == 0) exit_group(1);
  errIs("SIG_IGN reaps", wait4(pid, 0, 0, 0), ECHILD);
  handle(SIGCHLD, SIG_DFL, SA_NOCLDWAIT, 0);
  pid = fork();
  if (pid == 0) exit_group(1);
  errIs("SA_NOCLDWAIT reaps", wait4(pid, 0, 0, 0), ECHILD);
}

static int writeBroken(void) {
  int p[2];
  pipe2(p, 0);
  close(p[0]);
  return -(int)write(p[1], "x", 1);
}
static int writeBrokenIgnoring(void) {
  handle(SIGPIPE, SIG_IGN, 0, 0);
  return writeBroken();
}
static void brokenPipe(void) {
  statusIs("default", childStatus(writeBroken), SIGPIPE);
  statusIs("ignored: EPIPE", childStatus(writeBrokenIgnoring), EPIPE << 8);
  handle(SIGPIPE, counting, 0, 0);
  eq("handled: EPIPE and the signal", writeBroken() * 10 + count, EPIPE * 10 + 1);
}

static void groups(void) {
  long leader = fork();
  if (leader == 0) {
    setpgid(0, 0);
    for (int i = 0; i < 3; i++)
      if (fork() == 0) {
        for (;;) sleepMs(1000);
      }
    for (;;) sleepMs(1000);
  }
  setpgid(leader, leader);
  sleepMs(60);
  eq("the group of the child", getpgid(leader), leader);
  eq("signal 0", kill(-leader, 0), 0);
  eq("kill the group", kill(-leader, SIGTERM), 0);
  statusIs("its leader died", waitStatus(leader), SIGTERM);
  long r = 0;
  for (int i = 0; i < 200 && (r = kill(-leader, 0)) == 0; i++) sleepMs(5);
  errIs("and all others", r, ESRCH);
  errIs("no such process", kill(999999, 0), ESRCH);
  errIs("no such signal", kill(getpid(), 65), EINVAL);
  errIs("tgkill with another group", SYS(tgkill, getppid(), gettid(), 0), ESRCH);
  long pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    handle(SIGUSR1, counting, 0, 0);
    long other = fork();
    if (other == 0) {
      handle(SIGUSR1, SIG_DFL, 0, 0);
      for (;;) sleepMs(1000);
    }
    sleepMs(60);
    kill(0, SIGUSR1);
    exit_group(count == 1 && waitStatus(other) == SIGUSR1 ? 0 : 1);
  }
  statusIs("kill(0) is the own group", waitStatus(pid), 0);
}

static void suspend(void) {
  handle(SIGUSR1, counting, 0, 0);
  handle(SIGUSR2, counting, 0, 0);
  setMask(BIT(SIGUSR1) | BIT(SIGUSR2));
  long me = getpid();
  long pid = fork();
  if (pid == 0) {
    sleepMs(50);
    kill(me, SIGUSR2);
    sleepMs(50);
    kill(me, SIGUSR1);
    exit_group(0);
  }
  mask_t wait = BIT(SIGUSR2);
  errIs("sigsuspend", SYS(rt_sigsuspend, &wait, 8), EINTR);
  ok("only the unmasked one ran", count == 1 && lastSig == SIGUSR1);
  ok("the mask is back", setMask(0) == (BIT(SIGUSR1) | BIT(SIGUSR2)));
  eq("the other after that", count, 2);
  waitStatus(pid);
  count = 0;
  setMask(BIT(SIGUSR1));
  kill(me, SIGUSR1);
  struct timespec t = {2, 0};
  wait = 0;
  errIs("ppoll with a mask", SYS(ppoll, 0, 0, &t, &wait, 8), EINTR);
  eq("delivered inside", count, 1);
  ok("the mask is back after ppoll", setMask(0) == BIT(SIGUSR1));
}

static void timedWait(void) {
  siginfo_t i;
  mask_t set = BIT(SIGUSR1) | BIT(RT);
  struct timespec none = {0, 0}, brief = {0, 20000000}, late = {3, 0};
  handle(SIGUSR2, counting, 0, 0);
  setMask(set);
  errIs("nothing pending", SYS(rt_sigtimedwait, &set, &i, &none, 8), EAGAIN);
  errIs("timeout", SYS(rt_sigtimedwait, &set, &i, &brief, 8), EAGAIN);
  kill(getpid(), SIGUSR1);
  eq("takes a pending signal", SYS(rt_sigtimedwait, &set, &i, &none, 8), SIGUSR1);
  ok("its information", i.si_code == SI_USER && i.si_pid == getpid());
  errIs("it is gone", SYS(rt_sigtimedwait, &set, &i, &none, 8), EAGAIN);
  long me = getpid(), pid = fork();
  if (pid == 0) {
    sleepMs(40);
    kill(me, SIGUSR1);
    exit_group(0);
  }
  eq("waits for one", SYS(rt_sigtimedwait, &set, &i, &late, 8), SIGUSR1);
  eq("the sender", i.si_pid, pid);
  waitStatus(pid);
  pid = fork();
  if (pid == 0) {
    sleepMs(40);
    kill(me, SIGUSR2);
    exit_group(0);
  }
  errIs("another handler interrupts", SYS(rt_sigtimedwait, &set, &i, &late, 8), EINTR);
  eq("which ran", count, 1);
  late.tv_nsec = 2000000000;
  errIs("bad time", SYS(rt_sigtimedwait, &set, &i, &late, 8), EINVAL);
  waitStatus(pid);
}

static int killSelf(long sig) {
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  setpgid(0, 0);
  kill(getpid(), sig);
  return 77;
}
static void defaults(void) {
  static const u8 ignored[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
  static const u8 stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
  for (int sig = 1; sig < 32; sig++) {
    char name[32];
    int isIgnored = 0, isStop = 0;
    for (int i = 0; i < 4; i++) isIgnored |= ignored[i] == sig, isStop |= stops[i] == sig;
    format(name, sizeof name, "signal %d", sig);
    long pid = spawnChild(killSelf, sig);
    int st = 0;
    while (wait4(pid, &st, WUNTRACED, 0) == -EINTR) {
    }
    // The child's group is not orphaned: its parent is in another group of the same session.
    if (isStop) {
      statusIs(name, st, sig << 8 | 0x7f);
      kill(pid, SIGKILL);
      waitStatus(pid);
    } else if (isIgnored)
      statusIs(name, st, 77 << 8);
    else
      statusIs(name, st, sig);
  }
  statusIs("a real-time signal", waitStatus(spawnChild(killSelf, RT)), RT);
}

static void stopContinue(void) {
  int st = 0;
  long pid = fork();
  if (pid == 0) {
    handle(SIGCONT, counting, 0, 0);
    kill(getpid(), SIGSTOP);
    exit_group(count == 1 ? 3 : 4);
  }
  eq("WUNTRACED", wait4(pid, &st, WUNTRACED, 0), pid);
  ok("stopped", WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
  eq("it is reported once", wait4(pid, &st, WUNTRACED | WNOHANG, 0), 0);
  kill(pid, SIGCONT);
  eq("WCONTINUED", wait4(pid, &st, WCONTINUED, 0), pid);
  ok("continued", WIFCONTINUED(st));
  statusIs("the handler of SIGCONT ran", waitStatus(pid), 3 << 8);
  pid = fork();
  if (pid == 0) {
    for (;;) sleepMs(1000);
  }
  kill(pid, SIGSTOP);
  siginfo_t i;
  memset(&i, 0, sizeof i);
  SYS(waitid, P_PID, pid, &i, WSTOPPED, 0);
  ok("waitid WSTOPPED", i.si_code == CLD_STOPPED && i.si_status == SIGSTOP && i.si_pid == pid);
  kill(pid, SIGTERM);
  sleepMs(20);
  eq("a stopped process does not act", wait4(pid, &st, WNOHANG, 0), 0);
  kill(pid, SIGCONT);
  statusIs("then it does", waitStatus(pid), SIGTERM);
  pid = fork();
  if (pid == 0) {
    for (;;) sleepMs(1000);
  }
  kill(pid, SIGSTOP);
  wait4(pid, &st, WUNTRACED, 0);
  kill(pid, SIGKILL);
  statusIs("SIGKILL ends a stopped process", waitStatus(pid), SIGKILL);
  handle(SIGTSTP, counting, 0, 0);
  setMask(BIT(SIGTSTP));
  kill(getpid(), SIGTSTP);
  kill(getpid(), SIGCONT);
  setMask(0);
  eq("SIGCONT discards a pending stop", count, 0);
}

static void inherit(void) {
  handle(SIGUSR1, counting, 0, 0);
  setMask(BIT(SIGUSR1));
  kill(getpid(), SIGUSR1);
  long pid = fork();
  if (pid == 0) {
    mask_t pending = 0;
    SYS(rt_sigpending, &pending, 8);
    int good = pending == 0 && setMask(0) == BIT(SIGUSR1) && count == 0;
    kill(getpid(), SIGUSR1);
    exit_group(good && count == 1 ? 0 : 1);
  }
  statusIs("mask and handlers, not what is pending", waitStatus(pid), 0);
}

static volatile long threadTid, gotTid;
static volatile int threadReady, threadEnd;
static void whichThread(int sig) {
  gotTid = gettid();
  count++;
}
static int waiting(void *arg) {
  setMask((mask_t)arg);
  threadTid = gettid();
  threadReady = 1;
  while (!threadEnd) sleepMs(2);
  return 0;
}
static int endAll(void *arg) { exit_group(21); return 0; }
static int threadExitsGroup(void) {
  struct thread t;
  startThread(&t, endAll, 0);
  for (;;) sleepMs(1000);
}
static int threadFaults(void *arg) { return *(volatile int *)8; }
static int threadCrashes(void) {
  struct thread t;
  startThread(&t, threadFaults, 0);
  for (;;) sleepMs(1000);
}
static void threads(void) {
  struct thread t;
  handle(SIGUSR1, whichThread, SA_RESTART, 0);
  setMask(BIT(SIGUSR1));
  startThread(&t, waiting, 0);
  waitFor(&threadReady);
  kill(getpid(), SIGUSR1);
  waitFor(&count);
  ok("a process signal goes to the thread that takes it", count == 1 && gotTid == threadTid);
  setMask(0);
  count = 0;
  SYS(tgkill, getpid(), threadTid, SIGUSR1);
  waitFor(&count);
  ok("tgkill reaches that thread", gotTid == threadTid);
  count = 0;
  SYS(tgkill, getpid(), gettid(), SIGUSR1);
  ok("tgkill to itself", count == 1 && gotTid == gettid());
  threadEnd = 1;
  joinThread(&t);
  // A thread's end wakes its joiner before the thread has lost its tid, on Linux too.
  for (int i = 0; i < 1000 && SYS(tgkill, getpid(), threadTid, 0) == 0; i++) sleepMs(1);
  errIs("tgkill to a thread that ended", SYS(tgkill, getpid(), threadTid, 0), ESRCH);
  statusIs("exit_group in a thread ends all", childStatus(threadExitsGroup), 21 << 8);
  statusIs("a fault in a thread ends all", childStatus(threadCrashes), SIGSEGV);
}

static volatile int noise;
static void disturb(int sig) {
  volatile double a = 1.0;
  for (int i = 0; i < 20; i++) a = a * 1.0001 + noise;
  noise++;
}
static void registers(void) {
  handle(SIGALRM, disturb, SA_RESTART, 0);
  struct __kernel_old_itimerval t = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
  u64 first = 0;
  int same = 1;
  SYS(setitimer, 0, &t, 0);
  for (int round = 0; round < 40 || noise < 20; round++) {
    double x = 0.5, y = 1.5, z = 2.5, w = 3.5;
    u64 a = 1, b = 2, c = 3, d = 5;
    for (int i = 0; i < 20000; i++) {
      x = x * 0.999 + y, y = y * 0.5 + 0.25 * z, z = z * 0.9 + w * 0.01, w = w * 0.99 + 0.1;
      a = a * 6364136223846793005UL + b, b ^= c << 3, c += d * a, d = d >> 1 | a << 63;
    }
    union {
      double d;
      u64 u;
    } r = {x + y + z + w};
    u64 h = r.u ^ a ^ b ^ c ^ d;
    if (round == 0) first = h;
    same &= h == first;
  }
  SYS(setitimer, 0, &off, 0);
  ok("integer and floating-point registers survive handlers", same);
}

// A call in many steps that waits for a disk is not left for a handler, whose own calls would take its steps for theirs.
static int pipeEnd[2];
static volatile int interrupted, wrong;
static void writeByte(int sig) {
  u8 b = 7;
  interrupted++;
  if (write(pipeEnd[1], &b, 1) != 1 || read(pipeEnd[0], &b, 1) != 1 || b != 7) wrong++;
}
static void disk(void) {
  pipe2(pipeEnd, 0);
  handle(SIGALRM, writeByte, SA_RESTART, 0);
  // A program of the image that no other test runs; what was read once is not waited for again.
  long fd = open("/usr/bin/perl", O_RDONLY, 0);
  long size = lseek(fd, 0, SEEK_END);
  u8 *text = (u8 *)mmap(0, size, PROT_READ, MAP_PRIVATE, fd, 0);
  struct __kernel_old_itimerval t = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
  long out = open("written", O_RDWR | O_CREAT | O_TRUNC, 0600);
  SYS(setitimer, 0, &t, 0);
  long written = write(out, text, size);
  while (interrupted < 3) SYS(sched_yield);
  SYS(setitimer, 0, &off, 0);
  eq("a write of what is on the disk is whole", written, size);
  u8 *copy = (u8 *)mmap(0, size, PROT_READ, MAP_SHARED, out, 0);
  eq("what was written is what was read", memcmp(copy, text, size), 0);
  eq("calls of handlers that went wrong", wrong, 0);
  unlink("written");
}

static const struct section all[] = {
    {"handlers", handlers}, {"masks", masks},       {"nested", nested},         {"queues", queues},
    {"info", info},         {"restart", restart},   {"altstack", alternateStack}, {"overflow", stackOverflow},
    {"child", child},       {"sigpipe", brokenPipe}, {"groups", groups},        {"suspend", suspend},
    {"timedwait", timedWait}, {"defaults", defaults}, {"stop", stopContinue},   {"inherit", inherit},
    {"threads", threads},   {"registers", registers}, {"disk", disk},
};
SECTIONS("signals", all)
