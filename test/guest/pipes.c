// Pipes and FIFOs: end of file, capacity, atomic writes, non-blocking, poll, select, blocking opens.
#include "lib/rt.h"

static int p[2];
static u8 buf[200000];
static void fresh(int flags) {
  close(p[0]);
  close(p[1]);
  pipe2(p, flags);
}

static void basics(void) {
  eq("pipe2", pipe2(p, 0), 0);
  eq("write", write(p[1], "abcdef", 6), 6);
  eq("a short read", read(p[0], buf, 4), 4);
  eq("the rest", read(p[0], buf, 100), 2);
  errIs("read of the writing end", read(p[1], buf, 1), EBADF);
  errIs("write of the reading end", write(p[0], buf, 1), EBADF);
  write(p[1], "z", 1);
  close(p[1]);
  eq("data before the end", read(p[0], buf, 10), 1);
  eq("end of file", read(p[0], buf, 10), 0);
  eq("again", read(p[0], buf, 10), 0);
  errIs("bad flags", pipe2(p, 1), EINVAL);
  errIs("a bad pointer", pipe2((int *)8, 0), EFAULT);
  fresh(O_CLOEXEC);
  eq("O_CLOEXEC", fcntl(p[0], F_GETFD, 0) + fcntl(p[1], F_GETFD, 0), 2);
  eq("read of 0 bytes", read(p[0], buf, 0), 0);
  eq("write of 0 bytes", write(p[1], buf, 0), 0);
}

static void capacity(void) {
  fresh(O_NONBLOCK);
  errIs("empty", read(p[0], buf, 1), EAGAIN);
  long total = 0, n;
  while ((n = write(p[1], buf, 4096)) > 0) total += n;
  errIs("full", n, EAGAIN);
  eq("65,536 bytes", total, 65536);
  eq("F_GETPIPE_SZ", fcntl(p[0], 1032, 0), 65536);
  eq("take a page", read(p[0], buf, 4096), 4096);
  eq("there is room for one", write(p[1], buf, 4096), 4096);
  read(p[0], buf, 100);
  errIs("an atomic write waits for room", write(p[1], buf, 4096), EAGAIN);
  fresh(O_NONBLOCK);
  eq("a large write is partial", write(p[1], buf, 100000), 65536);
  int left = 0;
  eq("FIONREAD", ioctl(p[0], 0x541b, &left), 0);
  eq("its count", left, 65536);
}

static void blocking(void) {
  fresh(0);
  long pid = fork();
  if (pid == 0) {
    close(p[0]);
    for (int i = 0; i < 200000; i++) buf[i] = (u8)(i * 7 + i / 256);
    exit_group(write(p[1], buf, 200000) == 200000 ? 0 : 1);
  }
  close(p[1]);
  long total = 0, n;
  int right = 1;
  u8 part[3000];
  while ((n = read(p[0], part, sizeof part)) > 0) {
    for (long i = 0; i < n; i++) right &= part[i] == (u8)((total + i) * 7 + (total + i) / 256);
    total += n;
  }
  eq("200,000 bytes through a pipe", total, 200000);
  ok("in order", right);
  statusIs("the writer was not cut short", waitStatus(pid), 0);
}

static void atomicity(void) {
  fresh(0);
  for (int c = 0; c < 4; c++)
    if (fork() == 0) {
      close(p[0]);
      u8 record[1000];
      memset(record, 'A' + c, sizeof record);
      for (int i = 0; i < 60; i++) write(p[1], record, sizeof record);
      exit_group(0);
    }
  close(p[1]);
  int whole = 1, count = 0;
  u8 record[1000];
  for (;;) {
    long got = 0, n = 0;
    while (got < 1000 && (n = read(p[0], record + got, 1000 - got)) > 0) got += n;
    if (got == 0) break;
    for (int i = 1; i < got; i++) whole &= record[i] == record[0];
    count++;
  }
  while (wait4(-1, 0, 0, 0) > 0) {
  }
  eq("all records", count, 240);
  ok("none torn", whole);
}

static void broken(void) {
  handle(SIGPIPE, SIG_IGN, 0, 0);
  fresh(0);
  close(p[0]);
  errIs("EPIPE", write(p[1], "x", 1), EPIPE);
  struct pollfd f = {p[1], POLLOUT, 0};
  eq("poll of a broken pipe", SYS(ppoll, &f, 1, 0, 0, 8), 1);
  ok("POLLERR", (f.revents & POLLERR) != 0);
  fresh(0);
  long pid = fork();
  if (pid == 0) {
    sleepMs(60);
    exit_group(0);
  }
  close(p[0]);
  long n = 0, total = 0;
  while ((n = write(p[1], buf, 8192)) > 0) total += n;
  errIs("a blocked writer learns it", n, EPIPE);
  waitStatus(pid);
}

static short events(int fd, short want, long ms) {
  struct pollfd f = {fd, want, 0};
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  long n = SYS(ppoll, &f, 1, &t, 0, 8);
  return n < 0 ? (short)n : f.revents;
}
static void polling(void) {
  fresh(0);
  eq("an empty pipe", events(p[0], POLLIN, 0), 0);
  eq("is writable", events(p[1], POLLOUT, 0), POLLOUT);
  write(p[1], "x", 1);
  eq("is readable then", events(p[0], POLLIN, 0), POLLIN);
  fcntl(p[1], F_SETFL, O_NONBLOCK);
  while (write(p[1], buf, 4096) > 0) {
  }
  while (write(p[1], buf, 1) > 0) {
  }
  eq("a full pipe is not writable", events(p[1], POLLOUT, 0), 0);
  fresh(0);
  i64 t0 = nowNs();
  eq("a timeout", events(p[0], POLLIN, 40), 0);
  ok("that is kept", nowNs() - t0 >= 40000000);
  long pid = fork();
  if (pid == 0) {
    sleepMs(40);
    write(p[1], "y", 1);
    exit_group(0);
  }
  eq("woken by a write", events(p[0], POLLIN, 3000), POLLIN);
  waitStatus(pid);
  read(p[0], buf, 1);
  close(p[1]);
  eq("hang-up", events(p[0], POLLIN, 0), POLLHUP);
  struct pollfd f[3] = {{-1, POLLIN, 9}, {999, POLLIN, 0}, {p[0], 0, 0}};
  eq("a mixed list", SYS(ppoll, f, 3, 0, 0, 8), 2);
  ok("negative, invalid, hung up", f[0].revents == 0 && f[1].revents == POLLNVAL && f[2].revents == POLLHUP);
  struct timespec bad = {0, -1};
  errIs("a bad time", SYS(ppoll, f, 3, &bad, 0, 8), EINVAL);
  errIs("a bad pointer", SYS(ppoll, 8, 3, 0, 0, 8), EFAULT);
  fresh(0);
  write(p[1], "z", 1);
  u64 r[16] = {0}, w[16] = {0};
  r[0] = 1UL << p[0];
  w[0] = 1UL << p[1];
  struct timespec t = {1, 0};
  eq("pselect6", SYS(pselect6, p[1] + 1, r, w, 0, &t, 0), 2);
  ok("its sets", r[0] == 1UL << p[0] && w[0] == 1UL << p[1]);
  read(p[0], buf, 1);
  t.tv_sec = 0, t.tv_nsec = 10000000;
  eq("pselect6 times out", SYS(pselect6, p[1] + 1, r, 0, 0, &t, 0), 0);
  eq("and clears", r[0], 0);
  r[15] = 1UL << 40;
  errIs("pselect6 of a closed descriptor", SYS(pselect6, 1001, r, 0, 0, &t, 0), EBADF);
  long fd = open("file", O_RDWR | O_CREAT, 0644);
  eq("a file is always ready", events((int)fd, POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
}

static void fifo(void) {
  eq("mknod", mknod("q", S_IFIFO | 0644, 0), 0);
  errIs("O_WRONLY|O_NONBLOCK without a reader", open("q", O_WRONLY | O_NONBLOCK, 0), ENXIO);
  long r = open("q", O_RDONLY | O_NONBLOCK, 0);
  ok("O_RDONLY|O_NONBLOCK opens", r >= 0);
  eq("end of file without writers", read(r, buf, 1), 0);
  long w = open("q", O_WRONLY | O_NONBLOCK, 0);
  ok("now the writer opens", w >= 0);
  errIs("nothing to read yet", read(r, buf, 1), EAGAIN);
  write(w, "abc", 3);
  eq("three bytes", read(r, buf, 10), 3);
  close(w);
  eq("end of file", read(r, buf, 10), 0);
  close(r);
  int *step = shared(4096);
  long pid = fork();
  if (pid == 0) {
    sleepMs(50);
    step[0] = 1;
    long fd = open("q", O_WRONLY, 0);
    write(fd, "hello", 5);
    exit_group(0);
  }
  r = open("q", O_RDONLY, 0);
  eq("a blocking open waits for the other side", step[0], 1);
  eq("and reads", read(r, buf, 10), 5);
  eq("to the end", read(r, buf, 10), 0);
  waitStatus(pid);
  close(r);
  long rw = open("q", O_RDWR, 0);
  write(rw, "self", 4);
  eq("O_RDWR", read(rw, buf, 10), 4);
  close(rw);
  pid = fork();
  if (pid == 0) {
    long fd = open("q", O_RDONLY, 0);
    exit_group(fd < 0 ? (int)-fd : 0);
  }
  sleepMs(40);
  kill(pid, SIGTERM);
  statusIs("a blocked open can be killed", waitStatus(pid), SIGTERM);
  // Data written stays for the next reader while any end is open, and is lost when all are closed.
  rw = open("q", O_RDWR, 0);
  write(rw, "lost", 4);
  close(rw);
  r = open("q", O_RDONLY | O_NONBLOCK, 0);
  eq("nothing survives the last close", read(r, buf, 10), 0);
}

static void inherit(void) {
  fresh(0);
  long pid = fork();
  if (pid == 0) {
    close(p[0]);
    sleepMs(60);
    write(p[1], "late", 4);
    exit_group(0);
  }
  close(p[1]);
  eq("a child's end keeps it open", read(p[0], buf, 10), 4);
  eq("until it ends", read(p[0], buf, 10), 0);
  waitStatus(pid);
}

static volatile int waiting, left;
static int waitReading(void *fd) {
  char c;
  waiting = 1;
  long n = read((long)fd, &c, 1);
  left = n <= 0 ? 1 : 2;
  return 0;
}
static int waitWriting(void *fd) {
  static char full[70000];
  waiting = 1;
  long n = write((long)fd, full, sizeof full);
  left = n <= 65536 ? 1 : 2;
  return 0;
}
/// Threads wait on a pipe of which the main thread closes both ends: theirs first, so that nobody is left.
static void closing(void) {
  handle(SIGPIPE, SIG_IGN, 0, 0);
  for (int end = 0; end < 2; end++) {
    int fds[2], other[2];
    pipe2(fds, 0);
    waiting = left = 0;
    struct thread t;
    startThread(&t, end == 0 ? waitReading : waitWriting, (void *)(long)fds[end]);
    waitFor(&waiting);
    sleepMs(40);
    close(fds[end]);
    close(fds[1 - end]);
    ok(end == 0 ? "a reader comes back" : "a writer comes back", waitFor(&left) && left == 1);
    joinThread(&t);
    pipe2(other, 0);
    char c = 0;
    write(other[1], "x", 1);
    read(other[0], &c, 1);
    ok("the next pipe is sound", c == 'x');
    close(other[0]);
    close(other[1]);
  }
}

static int told[2];
static volatile long toldBytes;
static void telling(int sig) { toldBytes = write(told[1], "hello", 5); }
/// A handler's own calls begin at their beginning, whatever the call has come to that they interrupt.
static void interruptedOpen(void) {
  char text[8] = "";
  pipe2(told, 0);
  mknod("io", S_IFIFO | 0600, 0);
  handle(SIGALRM, (void *)telling, SA_RESTART, 0);
  long pid = fork();
  if (pid == 0) {
    sleepMs(150);
    exit_group(open("io", O_WRONLY, 0) >= 0 ? 0 : 1);
  }
  struct itimerval t = {{0, 0}, {0, 50000}};
  SYS(setitimer, 0, &t, 0);
  ok("the opening goes on", open("io", O_RDONLY, 0) >= 0);
  eq("the handler has written", toldBytes, 5);
  eq("and all arrives", read(told[0], text, sizeof text), 5);
  eqStr("as it was", text, "hello");
  statusIs("the other end, too", waitStatus(pid), 0);
}

static const struct section all[] = {
    {"basics", basics}, {"capacity", capacity}, {"blocking", blocking}, {"atomicity", atomicity},
    {"broken", broken}, {"poll", polling},      {"fifo", fifo},         {"inherit", inherit}, {"closing", closing}, {"interrupted", interruptedOpen},
};
SECTIONS("pipes", all)
