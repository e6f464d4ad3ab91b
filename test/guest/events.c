// Files for events: eventfd, timerfd, signalfd, pidfd, and epoll over them and others.
#include "lib/rt.h"
#include <linux/eventpoll.h>
#include <linux/timerfd.h>
#include <linux/signalfd.h>

#define P_PIDFD 3

static long self(void) { return SYS(getpid); }
static int newEpoll(void) { return (int)SYS(epoll_create1, EPOLL_CLOEXEC); }
static long ctl(int ep, int op, int fd, u32 events, u64 data) {
  struct epoll_event e = {.events = events, .data = data};
  return SYS(epoll_ctl, ep, op, fd, &e);
}
static struct epoll_event got[16];
static long waitMs(int ep, int max, int ms) { return SYS(epoll_pwait, ep, got, max, ms, 0, 8); }
static long pollOne(int fd, short events) {
  struct pollfd p = {fd, events, 0};
  struct timespec none = {0, 0};
  return SYS(ppoll, &p, 1, &none, 0, 8) == 0 ? 0 : p.revents;
}
static long add(int fd, u64 n) { return SYS(write, fd, &n, 8); }
static long take(int fd) {
  u64 n;
  long r = SYS(read, fd, &n, 8);
  return r == 8 ? (long)n : r;
}

static void counters(void) {
  int fd = (int)SYS(eventfd2, 3, 04000);
  eq("not ready for more than there is", pollOne(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
  eq("the initial value", take(fd), 3);
  errIs("nothing there", take(fd), EAGAIN);
  eq("writable still", pollOne(fd, POLLIN | POLLOUT), POLLOUT);
  eq("add", add(fd, 5), 8);
  add(fd, 6);
  eq("the sum", take(fd), 11);
  errIs("the one that is too large", add(fd, ~0ul), EINVAL);
  eq("the largest", add(fd, ~0ul - 1), 8);
  eq("full", pollOne(fd, POLLIN | POLLOUT), POLLIN);
  errIs("no room", add(fd, 1), EAGAIN);
  eq("of nothing", add(fd, 0), 8);
  ok("it comes back whole", (u64)take(fd) == ~0ul - 1);
  u32 small;
  errIs("a short read", SYS(read, fd, &small, 4), EINVAL);
  errIs("a short write", SYS(write, fd, &small, 4), EINVAL);
  errIs("no positions", SYS(pread64, fd, &small, 8, 0), ESPIPE);
  int s = (int)SYS(eventfd2, 2, 1 | 04000);
  eq("a semaphore gives one", take(s), 1);
  eq("at a time", take(s), 1);
  errIs("and then none", take(s), EAGAIN);
  errIs("unknown flags", SYS(eventfd2, 0, 0x100), EINVAL);
  int waiting = (int)SYS(eventfd2, 0, 0);
  if (fork() == 0) {
    sleepMs(30);
    add(waiting, 9);
    exit_group(0);
  }
  eq("a reader waits", take(waiting), 9);
  waitStatus(-1);
}

static void timers(void) {
  int fd = (int)SYS(timerfd_create, CLOCK_MONOTONIC, 04000);
  struct itimerspec t = {{0, 0}, {0, 20000000}}, old;
  errIs("disarmed", take(fd), EAGAIN);
  eq("set", SYS(timerfd_settime, fd, 0, &t, 0), 0);
  errIs("not yet", take(fd), EAGAIN);
  sleepMs(40);
  eq("ready", pollOne(fd, POLLIN | POLLOUT), POLLIN);
  eq("one", take(fd), 1);
  errIs("once", take(fd), EAGAIN);
  t.it_interval.tv_nsec = 5000000;
  t.it_value.tv_nsec = 5000000;
  SYS(timerfd_settime, fd, 0, &t, &old);
  ok("it was off", old.it_value.tv_nsec == 0 && old.it_interval.tv_nsec == 0);
  sleepMs(60);
  long n = take(fd);
  ok("those in between are counted", n >= 11 && n < 100);
  SYS(timerfd_gettime, fd, &old);
  ok("gettime", old.it_interval.tv_nsec == 5000000 && old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 5000000);
  memset(&t, 0, sizeof t);
  SYS(timerfd_settime, fd, 0, &t, 0);
  sleepMs(15);
  errIs("off", take(fd), EAGAIN);
  SYS(clock_gettime, CLOCK_REALTIME, &t.it_value);
  int real = (int)SYS(timerfd_create, CLOCK_REALTIME, 0);
  eq("a time of day", SYS(timerfd_settime, real, TFD_TIMER_ABSTIME, &t, 0), 0);
  eq("that has passed", take(real), 1);
  t = (struct itimerspec){{0, 0}, {0, 30000000}};
  SYS(timerfd_settime, real, 0, &t, 0);
  i64 t0 = nowNs();
  eq("a reader waits", take(real), 1);
  ok("as long as it takes", nowNs() - t0 >= 29000000);
  errIs("writing", SYS(write, fd, &t, 8), EINVAL);
  errIs("a clock for reading", SYS(timerfd_create, CLOCK_MONOTONIC_RAW, 0), EINVAL);
  errIs("unknown flags", SYS(timerfd_create, CLOCK_MONOTONIC, 0x10), EINVAL);
  errIs("no timer", SYS(timerfd_settime, 0, 0, &t, 0), EINVAL);
  t.it_value.tv_nsec = -1;
  errIs("a bad time", SYS(timerfd_settime, fd, 0, &t, 0), EINVAL);
}

static void signals(void) {
  u64 set = (1ul << (SIGUSR1 - 1)) | (1ul << (SIGCHLD - 1)) | (1ul << (40 - 1));
  SYS(rt_sigprocmask, SIG_BLOCK, &set, 0, 8);
  int fd = (int)SYS(signalfd4, -1, &set, 8, 04000);
  struct signalfd_siginfo info[4];
  errIs("none", SYS(read, fd, info, sizeof info), EAGAIN);
  eq("not ready", pollOne(fd, POLLIN | POLLOUT), 0);
  SYS(kill, self(), SIGUSR1);
  eq("ready", pollOne(fd, POLLIN | POLLOUT), POLLIN);
  eq("one", SYS(read, fd, info, sizeof info), 128);
  ok("from kill", info[0].ssi_signo == SIGUSR1 && info[0].ssi_code == 0 && info[0].ssi_pid == (u32)self());
  siginfo_t queued;
  memset(&queued, 0, sizeof queued);
  queued.si_code = -1;
  queued.si_int = 77;
  for (int i = 0; i < 2; i++) SYS(rt_sigqueueinfo, self(), 40, &queued);
  eq("two at once", SYS(read, fd, info, sizeof info), 256);
  ok("with their values", info[0].ssi_signo == 40 && info[0].ssi_int == 77 && info[1].ssi_int == 77);
  long pid = fork();
  if (pid == 0) exit_group(6);
  int ep = newEpoll();
  ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
  eq("a child's end, by epoll", waitMs(ep, 4, 2000), 1);
  SYS(read, fd, info, sizeof info);
  ok("says who", info[0].ssi_signo == SIGCHLD && info[0].ssi_pid == (u32)pid && info[0].ssi_status == 6);
  waitStatus(pid);
  u64 other = 1ul << (SIGUSR2 - 1);
  eq("another set", SYS(signalfd4, fd, &other, 8, 0), fd);
  SYS(kill, self(), SIGUSR1);
  errIs("is what counts", SYS(read, fd, info, sizeof info), EAGAIN);
  errIs("a short read", SYS(read, fd, info, 127), EINVAL);
  errIs("a bad size", SYS(signalfd4, -1, &set, 4, 0), EINVAL);
  errIs("no signal file", SYS(signalfd4, 0, &set, 8, 0), EINVAL);
}

static void level(void) {
  int p[2], ep = newEpoll();
  SYS(pipe2, p, 04000);
  eq("add", ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 7), 0);
  errIs("twice", ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 7), EEXIST);
  eq("nothing", waitMs(ep, 4, 0), 0);
  SYS(write, p[1], "ab", 2);
  eq("ready", waitMs(ep, 4, 0), 1);
  ok("with its data", got[0].events == EPOLLIN && got[0].data == 7);
  eq("and again", waitMs(ep, 4, 0), 1);
  char c;
  SYS(read, p[0], &c, 1);
  eq("while there is something", waitMs(ep, 4, 0), 1);
  SYS(read, p[0], &c, 1);
  eq("and then not", waitMs(ep, 4, 0), 0);
  eq("nor by poll", pollOne(ep, POLLIN), 0);
  ctl(ep, EPOLL_CTL_ADD, p[1], EPOLLOUT, 8);
  eq("the other end", waitMs(ep, 4, 0), 1);
  ok("is writable", got[0].events == EPOLLOUT && got[0].data == 8);
  eq("by poll too", pollOne(ep, POLLIN), POLLIN);
  eq("change", ctl(ep, EPOLL_CTL_MOD, p[1], 0, 9), 0);
  eq("asks for nothing", waitMs(ep, 4, 0), 0);
  SYS(close, p[0]);
  eq("an error comes all the same", waitMs(ep, 4, 0), 1);
  ok("EPOLLERR", got[0].events == EPOLLERR && got[0].data == 9);
  errIs("a closed one is forgotten", ctl(ep, EPOLL_CTL_DEL, p[0], 0, 0), EBADF);
  eq("delete", ctl(ep, EPOLL_CTL_DEL, p[1], 0, 0), 0);
  errIs("twice", ctl(ep, EPOLL_CTL_DEL, p[1], 0, 0), ENOENT);
  errIs("change what is not there", ctl(ep, EPOLL_CTL_MOD, p[1], 0, 0), ENOENT);
  eq("empty", waitMs(ep, 4, 0), 0);
  // Several, in the order in which they became ready; one at a time goes around.
  int e[3];
  for (int i = 0; i < 3; i++) {
    e[i] = (int)SYS(eventfd2, 0, 04000);
    ctl(ep, EPOLL_CTL_ADD, e[i], EPOLLIN, (u64)i);
  }
  add(e[2], 1), add(e[0], 1), add(e[1], 1);
  eq("three", waitMs(ep, 4, 0), 3);
  ok("in order", got[0].data == 2 && got[1].data == 0 && got[2].data == 1);
  int seen = 0;
  for (int i = 0; i < 3; i++) {
    waitMs(ep, 1, 0);
    seen |= 1 << got[0].data;
  }
  eq("one at a time goes around", seen, 7);
  // A duplicate keeps the file alive, and its entry.
  int copy = (int)SYS(dup, e[0]);
  SYS(close, e[0]);
  eq("a file lives with its copies", waitMs(ep, 4, 0), 3);
  SYS(close, copy);
  eq("and goes with the last", waitMs(ep, 4, 0), 2);
}

static void edge(void) {
  int p[2], ep = newEpoll();
  SYS(pipe2, p, 04000);
  ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET, 1);
  SYS(write, p[1], "a", 1);
  eq("one edge", waitMs(ep, 4, 0), 1);
  eq("told once", waitMs(ep, 4, 0), 0);
  SYS(write, p[1], "b", 1);
  eq("more is another", waitMs(ep, 4, 0), 1);
  char buffer[8];
  SYS(read, p[0], buffer, 1);
  eq("reading is none", waitMs(ep, 4, 0), 0);
  SYS(write, p[1], "c", 1), SYS(write, p[1], "d", 1);
  eq("two are one", waitMs(ep, 4, 0), 1);
  eq("change tells anew", (ctl(ep, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET, 2), waitMs(ep, 4, 0)), 1);
  int e = (int)SYS(eventfd2, 0, 04000);
  ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN | EPOLLET, 3);
  add(e, 1);
  eq("a counter", waitMs(ep, 4, 0), 1);
  add(e, 1);
  eq("each write of a counter", waitMs(ep, 4, 0), 1);
  ctl(ep, EPOLL_CTL_MOD, e, EPOLLIN | EPOLLONESHOT, 4);
  eq("one shot", waitMs(ep, 4, 0), 1);
  add(e, 1);
  eq("is one", waitMs(ep, 4, 0), 0);
  ctl(ep, EPOLL_CTL_MOD, e, EPOLLIN | EPOLLONESHOT, 5);
  eq("until it is set again", waitMs(ep, 4, 0), 1);
  SYS(close, p[1]);
  eq("the end is an edge", waitMs(ep, 4, 0), 1);
  ok("with EPOLLHUP", (got[0].events & EPOLLHUP) != 0);
}

static void nested(void) {
  int a = newEpoll(), b = newEpoll(), e = (int)SYS(eventfd2, 0, 04000);
  eq("an epoll in an epoll", ctl(a, EPOLL_CTL_ADD, b, EPOLLIN, 1), 0);
  ctl(b, EPOLL_CTL_ADD, e, EPOLLIN, 2);
  eq("nothing", waitMs(a, 4, 0), 0);
  add(e, 1);
  eq("through both", waitMs(a, 4, 0), 1);
  eq("the inner has it", waitMs(b, 4, 0), 1);
  take(e);
  eq("over", waitMs(a, 4, 0), 0);
  eq("everywhere", waitMs(b, 4, 0), 0);
  if (fork() == 0) {
    sleepMs(30);
    add(e, 1);
    exit_group(0);
  }
  eq("waking through both", waitMs(a, 4, 2000), 1);
  waitStatus(-1);
  errIs("itself", ctl(a, EPOLL_CTL_ADD, a, EPOLLIN, 0), EINVAL);
  errIs("a circle", ctl(b, EPOLL_CTL_ADD, a, EPOLLIN, 0), ELOOP);
  int chain[7], made = 0;
  for (int i = 0; i < 7; i++) chain[i] = newEpoll();
  for (int i = 0; i < 6; i++) made += ctl(chain[i + 1], EPOLL_CTL_ADD, chain[i], EPOLLIN, 0) == 0;
  ok("a long chain", made >= 4 && made < 6);
}

static int wokenUp;
static int poller(void *arg) {
  struct epoll_event event;
  if (SYS(epoll_pwait, *(int *)arg, &event, 1, 2000, 0, 8) == 1) __atomic_fetch_add(&wokenUp, 1, __ATOMIC_SEQ_CST);
  return 0;
}
static void waiting(void) {
  int ep = newEpoll(), e = (int)SYS(eventfd2, 0, 04000);
  struct thread t[3];
  ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN, 1);
  for (int i = 0; i < 3; i++) startThread(&t[i], poller, &ep);
  sleepMs(30);
  add(e, 1);
  for (int i = 0; i < 3; i++) joinThread(&t[i]);
  eq("all who wait for a level", wokenUp, 3);
  wokenUp = 0;
  take(e);
  ctl(ep, EPOLL_CTL_MOD, e, EPOLLIN | EPOLLET, 1);
  for (int i = 0; i < 3; i++) startThread(&t[i], poller, &ep);
  sleepMs(30);
  add(e, 1);
  sleepMs(30);
  eq("one of those who wait for an edge", wokenUp, 1);
  add(e, 1);
  sleepMs(30);
  add(e, 1);
  for (int i = 0; i < 3; i++) joinThread(&t[i]);
  eq("each its own", wokenUp, 3);
  // An exclusive watcher among several epolls.
  int both[2] = {newEpoll(), newEpoll()};
  int x = (int)SYS(eventfd2, 0, 04000);
  for (int i = 0; i < 2; i++) eq("exclusive", ctl(both[i], EPOLL_CTL_ADD, x, EPOLLIN | EPOLLEXCLUSIVE, 1), 0);
  errIs("is not changed", ctl(both[0], EPOLL_CTL_MOD, x, EPOLLIN, 1), EINVAL);
  errIs("nor added with more", ctl(both[0], EPOLL_CTL_ADD, e, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 1), EINVAL);
  wokenUp = 0;
  for (int i = 0; i < 2; i++) startThread(&t[i], poller, &both[i]);
  sleepMs(30);
  add(x, 1);
  for (int i = 0; i < 2; i++) joinThread(&t[i]);
  ok("at least one is woken", wokenUp >= 1);
  // Waiting for what is added meanwhile.
  int late = (int)SYS(eventfd2, 1, 04000);
  wokenUp = 0;
  ctl(ep, EPOLL_CTL_DEL, e, 0, 0);
  startThread(&t[0], poller, &ep);
  sleepMs(30);
  ctl(ep, EPOLL_CTL_ADD, late, EPOLLIN, 1);
  joinThread(&t[0]);
  eq("what is added while one waits", wokenUp, 1);
}

static volatile int handled;
static void onSignal(int sig) { handled++; }
static void arguments(void) {
  int ep = newEpoll(), e = (int)SYS(eventfd2, 1, 04000), p[2];
  errIs("no events", SYS(epoll_pwait, ep, got, 0, 0, 0, 8), EINVAL);
  errIs("no epoll", SYS(epoll_pwait, e, got, 1, 0, 0, 8), EINVAL);
  errIs("no file", SYS(epoll_pwait, 99, got, 1, 0, 0, 8), EBADF);
  int regular = (int)SYS(openat, -100, selfPath, 0, 0);
  errIs("a file that is always ready", ctl(ep, EPOLL_CTL_ADD, regular, EPOLLIN, 0), EPERM);
  errIs("a file that is none", ctl(ep, EPOLL_CTL_ADD, 99, EPOLLIN, 0), EBADF);
  errIs("no event", SYS(epoll_ctl, ep, EPOLL_CTL_ADD, e, 8), EFAULT);
  errIs("an unknown operation", ctl(ep, 9, e, EPOLLIN, 0), EINVAL);
  errIs("unknown flags", SYS(epoll_create1, 1), EINVAL);
  errIs("reading it", SYS(read, ep, got, 8), EINVAL);
  ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN, 0);
  errIs("a bad place", SYS(epoll_pwait, ep, 8, 1, 0, 0, 8), EFAULT);
  eq("and nothing is lost", waitMs(ep, 1, 0), 1);
  take(e);
  i64 t0 = nowNs();
  eq("time", waitMs(ep, 1, 30), 0);
  ok("passes", nowNs() - t0 >= 29000000);
  struct timespec t = {0, 20000000};
  t0 = nowNs();
  eq("epoll_pwait2", SYS(epoll_pwait2, ep, got, 1, &t, 0, 8), 0);
  ok("in nanoseconds", nowNs() - t0 >= 19000000);
  handle(SIGUSR1, onSignal, 0, 0);
  u64 set = 1ul << (SIGUSR1 - 1), empty = 0;
  SYS(rt_sigprocmask, SIG_BLOCK, &set, 0, 8);
  SYS(kill, self(), SIGUSR1);
  eq("blocked", handled, 0);
  errIs("a signal that the mask lets through", SYS(epoll_pwait, ep, got, 1, 2000, &empty, 8), EINTR);
  eq("is handled", handled, 1);
  SYS(pipe2, p, 0);
  errIs("the set is put back", SYS(epoll_pwait, ep, got, 1, 0, &empty, 4), EINVAL);
  // A child inherits it, and the parent sees what the child changes.
  if (fork() == 0) exit_group((int)-ctl(ep, EPOLL_CTL_ADD, p[1], EPOLLOUT, 5));
  statusIs("a child adds", waitStatus(-1), 0);
  eq("for the parent too", waitMs(ep, 1, 0), 1);
}

static void sockets(void) {
  int p[2], ep = newEpoll();
  eq("a pair", SYS(socketpair, 1, 1 | 04000, 0, p), 0);
  ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1);
  eq("writable at once", waitMs(ep, 4, 0), 1);
  ok("only that", got[0].events == EPOLLOUT);
  eq("told once", waitMs(ep, 4, 0), 0);
  SYS(write, p[1], "ab", 2);
  eq("bytes are an edge", waitMs(ep, 4, 0), 1);
  ok("readable", (got[0].events & EPOLLIN) != 0);
  SYS(write, p[1], "c", 1);
  eq("more are another", waitMs(ep, 4, 0), 1);
  char buffer[65536];
  SYS(read, p[0], buffer, 3);
  if (fork() == 0) {
    sleepMs(30);
    SYS(write, p[1], "d", 1);
    exit_group(0);
  }
  eq("one that is waited for", waitMs(ep, 4, 2000), 1);
  waitStatus(-1);
  SYS(read, p[0], buffer, 3);
  while (SYS(write, p[0], buffer, sizeof buffer) > 0) continue;
  waitMs(ep, 4, 0);
  eq("full", waitMs(ep, 4, 0), 0);
  while (SYS(read, p[1], buffer, sizeof buffer) > 0) continue;
  eq("room is an edge", waitMs(ep, 4, 0), 1);
  ok("writable again", (got[0].events & EPOLLOUT) != 0);
  SYS(shutdown, p[1], 1);
  eq("the other's shutdown", waitMs(ep, 4, 0), 1);
  ok("EPOLLRDHUP", (got[0].events & (EPOLLRDHUP | EPOLLIN | EPOLLHUP)) == (EPOLLRDHUP | EPOLLIN));
  SYS(close, p[1]);
  eq("its end", waitMs(ep, 4, 0), 1);
  ok("EPOLLHUP", (got[0].events & EPOLLHUP) != 0);
  // A listener: level.
  struct {
    u16 family;
    char path[20];
  } name = {1, "\0events-test"};
  int listener = (int)SYS(socket, 1, 1 | 04000, 0), client = (int)SYS(socket, 1, 1, 0);
  SYS(bind, listener, &name, 14);
  SYS(listen, listener, 5);
  ctl(ep, EPOLL_CTL_DEL, p[0], 0, 0);
  ctl(ep, EPOLL_CTL_ADD, listener, EPOLLIN, 2);
  eq("nobody calls", waitMs(ep, 4, 0), 0);
  eq("connect", SYS(connect, client, &name, 14), 0);
  eq("somebody calls", waitMs(ep, 4, 0), 1);
  int server = (int)SYS(accept4, listener, 0, 0, 04000);
  ok("accept", server > 0 && waitMs(ep, 4, 0) == 0);
  ctl(ep, EPOLL_CTL_ADD, client, EPOLLIN, 3);
  SYS(write, server, "x", 1);
  eq("what was connected", waitMs(ep, 4, 0), 1);
  // A descriptor travels, with the file that is watched.
  SYS(close, server);
  eq("the end of the connection", waitMs(ep, 4, 0), 1);
  ok("EPOLLIN and EPOLLHUP", (got[0].events & (EPOLLIN | EPOLLHUP)) == (EPOLLIN | EPOLLHUP));
}

static void processes(void) {
  long pid = fork();
  if (pid == 0) {
    sleepMs(30);
    exit_group(4);
  }
  int fd = (int)SYS(pidfd_open, pid, 0), ep = newEpoll();
  ok("pidfd_open", fd >= 0);
  eq("not ready", pollOne(fd, POLLIN), 0);
  ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN, 1);
  eq("its end", waitMs(ep, 1, 2000), 1);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  eq("waitid", SYS(waitid, P_PIDFD, fd, &info, WEXITED, 0), 0);
  ok("says how", info.si_pid == pid && info.si_status == 4 && info.si_code == CLD_EXITED);
  ok("ready for ever", (pollOne(fd, POLLIN) & POLLIN) != 0);
  errIs("gone", SYS(pidfd_send_signal, fd, 0, 0, 0), ESRCH);
  errIs("no child any more", SYS(waitid, P_PIDFD, fd, &info, WEXITED, 0), ECHILD);
  errIs("nobody", SYS(pidfd_open, 30000, 0), ESRCH);
  errIs("nothing", SYS(pidfd_open, 0, 0), EINVAL);
  errIs("unknown flags", SYS(pidfd_open, self(), 1), EINVAL);
  errIs("another file", SYS(pidfd_send_signal, ep, 0, 0, 0), EBADF);
  pid = fork();
  if (pid == 0)
    for (;;) sleepMs(1000);
  fd = (int)SYS(pidfd_open, pid, 04000);
  errIs("one that does not wait", SYS(waitid, P_PIDFD, fd, &info, WEXITED, 0), EAGAIN);
  eq("a signal", SYS(pidfd_send_signal, fd, SIGTERM, 0, 0), 0);
  statusIs("arrives", waitStatus(pid), SIGTERM);
  int childFd = -1;
  struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (u64)&childFd, .exit_signal = SIGCHLD};
  pid = SYS(clone3, &args, sizeof args);
  if (pid == 0) exit_group(8);
  ok("CLONE_PIDFD", pid > 0 && childFd > 2);
  memset(&info, 0, sizeof info);
  SYS(waitid, P_PIDFD, childFd, &info, WEXITED, 0);
  ok("is the child's", info.si_pid == pid && info.si_status == 8);
  ok("closed by exec", SYS(fcntl, childFd, F_GETFD) == 1);
}

static const struct section all[] = {
    {"counters", counters}, {"timers", timers},   {"signals", signals},     {"level", level},         {"edge", edge},
    {"nested", nested},     {"waiting", waiting}, {"arguments", arguments}, {"processes", processes}, {"sockets", sockets},
};
SECTIONS("events", all)
