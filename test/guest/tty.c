// Pseudo-terminals: both ends, canonical and raw input, echo and editing, signals from keys, sizes, job control,
// hang-up.
#include "lib/rt.h"

typedef struct termios tio;
static long master, slave;
static char name[32], text[512];

static int openPty(void) {
  int number = -1, unlock = 0;
  master = open("/dev/ptmx", O_RDWR | O_NOCTTY, 0);
  if (master < 0) return 0;
  ioctl(master, TIOCSPTLCK, &unlock);
  ioctl(master, TIOCGPTN, &number);
  format(name, sizeof name, "/dev/pts/%d", number);
  slave = open(name, O_RDWR | O_NOCTTY, 0);
  return slave >= 0;
}
static long ready(long fd, long ms) {
  struct pollfd f = {(int)fd, POLLIN, 0};
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  return SYS(ppoll, &f, 1, &t, 0, 8) == 1 ? f.revents : 0;
}
/// Reads what comes within a short time as text; control bytes stay.
static const char *take(long fd) {
  long n = 0, k;
  while (n < 500 && ready(fd, 60) & POLLIN && (k = read(fd, text + n, 500 - n)) > 0) n += k;
  text[n] = 0;
  return text;
}
static void type(const char *s) { write(master, s, strlen(s)); }
static void attributes(void (*change)(tio *)) {
  tio t;
  ioctl(slave, TCGETS, &t);
  change(&t);
  ioctl(slave, TCSETS, &t);
}
static void noEcho(tio *t) { t->c_lflag &= ~(u32)ECHO; }
static void raw(tio *t) {
  t->c_iflag = 0;
  t->c_oflag &= ~(u32)OPOST;
  t->c_lflag &= ~(u32)(ECHO | ICANON | ISIG | IEXTEN);
  t->c_cc[VMIN] = 1, t->c_cc[VTIME] = 0;
}

static void opening(void) {
  ok("open both ends", openPty());
  struct statx s;
  statx(slave, "", AT_EMPTY_PATH, STATX_ALL, &s);
  ok("the slave is a character device 136:n", (s.stx_mode & S_IFMT) == S_IFCHR && s.stx_rdev_major == 136);
  tio t;
  eq("TCGETS", ioctl(slave, TCGETS, &t), 0);
  ok("usual settings", (t.c_lflag & (ICANON | ECHO | ISIG | ECHOE | ECHOK)) == (ICANON | ECHO | ISIG | ECHOE | ECHOK) &&
                           (t.c_iflag & ICRNL) && (t.c_oflag & (OPOST | ONLCR)) == (OPOST | ONLCR) && (t.c_cflag & CREAD));
  ok("usual keys", t.c_cc[VINTR] == 3 && t.c_cc[VQUIT] == 28 && t.c_cc[VERASE] == 127 && t.c_cc[VKILL] == 21 &&
                       t.c_cc[VEOF] == 4 && t.c_cc[VSUSP] == 26 && t.c_cc[VMIN] == 1);
  errIs("TCGETS of a file", ioctl(open("f", O_RDWR | O_CREAT, 0644), TCGETS, &t), ENOTTY);
  long second = open(name, O_RDWR | O_NOCTTY, 0);
  ok("the slave opens twice", second >= 0);
  long other = open("/dev/ptmx", O_RDWR | O_NOCTTY, 0);
  int number = -1;
  ioctl(other, TIOCGPTN, &number);
  char otherName[32];
  format(otherName, sizeof otherName, "/dev/pts/%d", number);
  ok("another pair has another number", strcmp(name, otherName) != 0);
  errIs("a locked slave", open(otherName, O_RDWR | O_NOCTTY, 0), EIO);
}

static void peer(void) {
  openPty();
  close(slave);
  struct statx named, own;
  long fd = ioctl(master, TIOCGPTPEER, (void *)(O_RDWR | O_NOCTTY));
  ok("without its name", fd >= 0);
  char link[64], path[32];
  format(path, sizeof path, "/proc/self/fd/%ld", fd);
  long n = readlink(path, link, sizeof link - 1);
  link[n > 0 ? n : 0] = 0;
  ok("it has one all the same", strcmp(link, name) == 0);
  statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &own);
  statx(AT_FDCWD, name, 0, STATX_ALL, &named);
  ok("it is the node", own.stx_ino == named.stx_ino && own.stx_rdev_minor == named.stx_rdev_minor &&
                           own.stx_dev_minor == named.stx_dev_minor);
  eq("its mode can be changed", SYS(fchmod, fd, 0600), 0);
  statx(AT_FDCWD, name, 0, STATX_ALL, &named);
  eq("and is", named.stx_mode & 0777, 0600);
  errIs("the slave has no peer", ioctl(fd, TIOCGPTPEER, (void *)O_RDWR), EIO);
  long locked = open("/dev/ptmx", O_RDWR | O_NOCTTY, 0);
  errIs("a locked pair", ioctl(locked, TIOCGPTPEER, (void *)(O_RDWR | O_NOCTTY)), EIO);
}

static void idle(int sig) {}
static int crowdJob(void) {
  // Sixty processes in the foreground: each dies of the key, and the leader counts them.
  for (int i = 0; i < 60; i++)
    if (fork() == 0) {
      sleepMs(20000);
      exit_group(1);
    }
  handle(SIGINT, idle, 0, 0);
  write(slave, "r", 1);
  int dead = 0, status;
  while (dead < 60) {
    long pid = wait4(-1, &status, 0, 0);
    if (pid > 0 && WTERMSIG(status) == SIGINT) dead++;
    else if (pid != -EINTR) break;
  }
  char line[16];
  format(line, sizeof line, "%d dead", dead);
  write(slave, line, strlen(line));
  return 0;
}

static void canonical(void) {
  openPty();
  type("hel");
  eq("no line yet", ready(slave, 30), 0);
  type("lo\r");
  eq("a line", read(slave, text, 100), 6);
  ok("with a newline", !memcmp(text, "hello\n", 6));
  eqStr("echo", take(master), "hello\r\n");
  type("one\ntwo\n");
  eq("one line at a time", read(slave, text, 100), 4);
  eq("then the next", read(slave, text, 100), 4);
  take(master);
  type("abcdef\n");
  eq("a short read", read(slave, text, 3), 3);
  eq("the rest of the line", read(slave, text, 100), 4);
  take(master);
  type("abX\177c\n");
  text[read(slave, text, 100)] = 0;
  eqStr("erase", text, "abc\n");
  eqStr("erase on the screen", take(master), "abX\b \bc\r\n");
  type("wrong\025right\n");
  text[read(slave, text, 100)] = 0;
  eqStr("kill the line", text, "right\n");
  take(master);
  type("two words\027x\n");
  text[read(slave, text, 100)] = 0;
  eqStr("erase a word", text, "two x\n");
  take(master);
  type("\026\003a\n");
  text[read(slave, text, 100)] = 0;
  eqStr("a quoted key", text, "\003a\n");
  take(master);
  type("part\004");
  text[read(slave, text, 100)] = 0;
  eqStr("VEOF ends a read", text, "part");
  type("\004");
  eq("VEOF alone is the end of file", read(slave, text, 100), 0);
  type("more\n");
  eq("reading goes on after it", read(slave, text, 100), 5);
  take(master);
  write(slave, "a\nb\n", 4);
  eqStr("output: newline becomes return, newline", take(master), "a\r\nb\r\n");
  attributes(noEcho);
  type("secret\n");
  eqStr("no echo", take(master), "");
  text[read(slave, text, 100)] = 0;
  eqStr("but input", text, "secret\n");
  type("\001\n");
  read(slave, text, 10);
  tio t;
  ioctl(slave, TCGETS, &t);
  t.c_lflag |= ECHO;
  ioctl(slave, TCSETSW, &t);
  type("\001\n");
  eqStr("control keys echo with ^", take(master), "^A\r\n");
  read(slave, text, 10);
  type("lost");
  ioctl(slave, TCFLSH, (void *)TCIFLUSH);
  type("kept\n");
  text[read(slave, text, 100)] = 0;
  eqStr("TCFLSH", text, "kept\n");
  int n = 0;
  type("12345\n");
  sleepMs(20);
  ioctl(slave, FIONREAD, &n);
  eq("FIONREAD", n, 6);
}

static void rawMode(void) {
  openPty();
  attributes(raw);
  type("x");
  eq("a byte at once", read(slave, text, 10), 1);
  type("\003\r\n\004");
  eq("keys are bytes", read(slave, text, 10), 4);
  ok("unchanged", !memcmp(text, "\003\r\n\004", 4));
  eq("nothing was echoed", ready(master, 20), 0);
  write(slave, "a\nb", 3);
  eqStr("output is unchanged", take(master), "a\nb");
  tio t;
  ioctl(slave, TCGETS, &t);
  t.c_cc[VMIN] = 0, t.c_cc[VTIME] = 0;
  ioctl(slave, TCSETS, &t);
  eq("VMIN 0, VTIME 0: nothing", read(slave, text, 10), 0);
  t.c_cc[VTIME] = 1;
  ioctl(slave, TCSETS, &t);
  i64 t0 = nowNs();
  eq("VTIME", read(slave, text, 10), 0);
  ok("waited a tenth of a second", nowNs() - t0 >= 90000000);
  t.c_cc[VMIN] = 3, t.c_cc[VTIME] = 0;
  ioctl(slave, TCSETS, &t);
  long pid = fork();
  if (pid == 0) {
    type("1");
    sleepMs(40);
    type("23");
    exit_group(0);
  }
  eq("VMIN 3", read(slave, text, 10), 3);
  waitStatus(pid);
  fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK);
  errIs("O_NONBLOCK", read(slave, text, 10), EAGAIN);
}

static volatile int got[65];
static void counting(int sig) { got[sig]++; }
/// Runs fn in a session whose terminal is the slave; fn's value is the exit status.
static long session(int (*fn)(void)) {
  long pid = fork();
  if (pid == 0) {
    setsid();
    ioctl(slave, TIOCSCTTY, 0);
    exit_group(fn());
  }
  return pid;
}
static int waitKeys(void) {
  handle(SIGINT, counting, 0, 0);
  handle(SIGQUIT, counting, 0, 0);
  handle(SIGTSTP, counting, 0, 0);
  write(slave, "ready\n", 6);
  for (int i = 0; i < 400 && !(got[SIGINT] && got[SIGQUIT] && got[SIGTSTP]); i++) sleepMs(5);
  return got[SIGINT] + 4 * got[SIGQUIT] + 16 * got[SIGTSTP];
}
static int readInterrupted(void) {
  handle(SIGINT, counting, 0, 0);
  write(slave, "ready\n", 6);
  char b[8];
  long n = read(slave, b, 8);
  return n == -EINTR && got[SIGINT] == 1 ? 0 : 1;
}
static void keys(void) {
  openPty();
  long pid = session(waitKeys);
  eqStr("ready", take(master), "ready\r\n");
  type("\003");
  sleepMs(40);
  type("\034");
  sleepMs(40);
  type("\032");
  statusIs("Ctrl-C, Ctrl-\\ and Ctrl-Z", waitStatus(pid), (1 + 4 + 16) << 8);
  eqStr("echo", take(master), "^C^\\^Z");
  openPty();
  pid = session(readInterrupted);
  take(master);
  type("dropped\003");
  statusIs("Ctrl-C interrupts a read", waitStatus(pid), 0);
}

static int waitWinch(void) {
  handle(SIGWINCH, counting, 0, 0);
  write(slave, "ready\n", 6);
  for (int i = 0; i < 400 && !got[SIGWINCH]; i++) sleepMs(5);
  struct winsize w;
  ioctl(slave, TIOCGWINSZ, &w);
  return got[SIGWINCH] == 1 && w.ws_row == 50 && w.ws_col == 132 ? 0 : 1;
}
static void size(void) {
  openPty();
  struct winsize w = {1, 1, 1, 1}, set = {24, 80, 0, 0};
  ioctl(slave, TIOCGWINSZ, &w);
  ok("0 by 0 at first", w.ws_row == 0 && w.ws_col == 0);
  eq("TIOCSWINSZ", ioctl(master, TIOCSWINSZ, &set), 0);
  ioctl(slave, TIOCGWINSZ, &w);
  ok("seen at the other end", w.ws_row == 24 && w.ws_col == 80);
  long pid = session(waitWinch);
  take(master);
  ioctl(master, TIOCSWINSZ, &set);
  set.ws_row = 50, set.ws_col = 132;
  ioctl(master, TIOCSWINSZ, &set);
  statusIs("SIGWINCH, only when it changes", waitStatus(pid), 0);
}

static int jobControl(void) {
  int good = 1, st, pgrp = 0;
  handle(SIGTTOU, SIG_IGN, 0, 0);
  ioctl(slave, TIOCGPGRP, &pgrp);
  good &= pgrp == getpid();
  int sid = 0;
  ioctl(slave, TIOCGSID, &sid);
  good &= sid == getpid();
  long fd = open("/dev/tty", O_RDWR, 0);
  good &= fd >= 0;
  long job = fork();
  if (job == 0) {
    setpgid(0, 0);
    handle(SIGTTOU, SIG_DFL, 0, 0);
    char b[8];
    long n = read(slave, b, 8);
    exit_group(n == 4 ? 6 : 7);
  }
  setpgid(job, job);
  wait4(job, &st, WUNTRACED, 0);
  good &= WIFSTOPPED(st) && WSTOPSIG(st) == SIGTTIN;
  if (!good) return 10;
  int front = (int)job;
  good &= ioctl(slave, TIOCSPGRP, &front) == 0;
  kill(-job, SIGCONT);
  write(slave, "go\n", 3);
  wait4(job, &st, 0, 0);
  good &= st == 6 << 8;
  if (!good) return 11;
  front = (int)getpid();
  ioctl(slave, TIOCSPGRP, &front);
  // A background write stops only with TOSTOP.
  tio t;
  ioctl(slave, TCGETS, &t);
  job = fork();
  if (job == 0) {
    setpgid(0, 0);
    handle(SIGTTOU, SIG_DFL, 0, 0);
    write(slave, "bg\n", 3);
    ioctl(slave, TCSETS, &t);
    exit_group(3);
  }
  setpgid(job, job);
  wait4(job, &st, WUNTRACED, 0);
  good &= WIFSTOPPED(st) && WSTOPSIG(st) == SIGTTOU;
  if (!good) return 12;
  kill(-job, SIGKILL);
  waitStatus(job);
  front = 999999;
  good &= ioctl(slave, TIOCSPGRP, &front) == -ESRCH;
  // An orphaned background group gets EIO instead of being stopped.
  job = fork();
  if (job == 0) {
    long inner = fork();
    if (inner == 0) {
      setpgid(0, 0);
      while (getppid() == job) sleepMs(1);
      sleepMs(40);
      char b[4];
      write(slave, read(slave, b, 4) == -EIO ? "eio\n" : "???\n", 4);
      exit_group(0);
    }
    setpgid(inner, inner);
    exit_group(0);
  }
  waitStatus(job);
  sleepMs(150);
  return good ? 0 : 13;
}
static void jobs(void) {
  openPty();
  long pid = session(jobControl);
  for (int i = 0; i < 50 && !strstr(text, "go"); i++) take(master);
  type("abc\n");
  statusIs("background reads stop, the foreground reads", waitStatus(pid), 0);
  const char *rest = take(master);
  ok("a background write passes", strstr(rest, "bg\r\n") != NULL);
  ok("an orphaned group gets EIO", strstr(rest, "eio\r\n") != NULL);
  errIs("/dev/tty without a terminal", (setsid(), open("/dev/tty", O_RDWR, 0)), ENXIO);
  errIs("TIOCSPGRP of another's terminal", ioctl(slave, TIOCSPGRP, &text), ENOTTY);
}

static int waitHup(void) {
  handle(SIGHUP, counting, 0, 0);
  close(master);
  write(slave, "ready\n", 6);
  for (int i = 0; i < 400 && !got[SIGHUP]; i++) sleepMs(5);
  char b[8];
  return got[SIGHUP] == 1 && read(slave, b, 8) == 0 && write(slave, "x", 1) == -EIO ? 0 : 1;
}
static int leaveJob(void) {
  long job = fork();
  if (job == 0) {
    handle(SIGHUP, counting, 0, 0);
    write(slave, "r\n", 2);
    for (int i = 0; i < 400 && !got[SIGHUP]; i++) sleepMs(5);
    write(slave, got[SIGHUP] ? "hup\n" : "non\n", 4);
    exit_group(0);
  }
  sleepMs(60);
  return 0;
}
static void crowd(void) {
  openPty();
  attributes(noEcho);
  long pid = session(crowdJob);
  char c;
  read(master, &c, 1);
  type("\003");
  struct pollfd f = {(int)master, POLLIN, 0};
  struct timespec t = {15, 0};
  SYS(ppoll, &f, 1, &t, 0, 8);
  eqStr("a key reaches sixty", take(master), "60 dead");
  waitStatus(pid);
}
static void hangup(void) {
  openPty();
  long pid = session(waitHup);
  take(master);
  close(master);
  statusIs("closing the master: SIGHUP, end of file, EIO", waitStatus(pid), 0);
  openPty();
  close(slave);
  errIs("reading the master without a slave", read(master, text, 10), EIO);
  eq("POLLHUP", ready(master, 0) & POLLHUP, POLLHUP);
  slave = open(name, O_RDWR | O_NOCTTY, 0);
  write(slave, "again", 5);
  eqStr("a slave can come back", take(master), "again");
  close(slave);
  errIs("and go", read(master, text, 10), EIO);
  openPty();
  pid = session(leaveJob);
  close(slave);
  waitStatus(pid);
  ok("the end of the session leader hangs up the foreground", !strncmp(take(master), "r\r\n", 3));
}

static const struct section all[] = {
    {"open", opening}, {"canonical", canonical}, {"raw", rawMode}, {"keys", keys},
    {"size", size},    {"jobs", jobs},           {"hangup", hangup},
    {"peer", peer},    {"crowd", crowd},
};
SECTIONS("tty", all)
