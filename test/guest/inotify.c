// inotify: the events of everything that happens to files, their order, and what a reader sees.
#include "lib/rt.h"
#include <linux/inotify.h>

#define NONBLOCK 04000
static int fd, wds[8], wdN;
static char text[4096], buffer[16384];

static int start(void) {
  fd = (int)SYS(inotify_init1, NONBLOCK);
  wdN = 0;
  return fd;
}
static long watch(const char *path, u32 mask) {
  long wd = SYS(inotify_add_watch, fd, path, mask);
  if (wd >= 0) wds[wdN++] = (int)wd;
  return wd;
}
/// Watches by letters: 'a' is the first that was made.
static char letter(int wd) {
  for (int i = 0; i < wdN; i++)
    if (wds[i] == wd) return (char)('a' + i);
  return wd == -1 ? '-' : '?';
}
static void addName(u32 mask) {
  static const struct {
    u32 bit;
    const char *name;
  } names[] = {{IN_ACCESS, "access"},       {IN_MODIFY, "modify"},         {IN_ATTRIB, "attrib"},
               {IN_CLOSE_WRITE, "closew"},  {IN_CLOSE_NOWRITE, "close"},   {IN_OPEN, "open"},
               {IN_MOVED_FROM, "from"},     {IN_MOVED_TO, "to"},           {IN_CREATE, "create"},
               {IN_DELETE, "delete"},       {IN_DELETE_SELF, "deleteself"}, {IN_MOVE_SELF, "moveself"},
               {IN_Q_OVERFLOW, "overflow"}, {IN_IGNORED, "ignored"},       {IN_ISDIR, "/"}};
  for (usize i = 0; i < sizeof names / sizeof *names; i++)
    if (mask & names[i].bit) strcat(text, names[i].name);
}
/// All events that wait: "a:create f b:open"; a cookie is told as + where it is the same as that before.
static const char *events(void) {
  text[0] = 0;
  u32 cookie = 0;
  for (;;) {
    long n = read(fd, buffer, sizeof buffer);
    if (n <= 0) break;
    for (char *p = buffer; p < buffer + n;) {
      struct inotify_event *e = (struct inotify_event *)p;
      char head[4] = {letter(e->wd), ':', 0};
      if (text[0]) strcat(text, " ");
      strcat(text, head);
      addName(e->mask);
      if (e->cookie) strcat(text, e->cookie == cookie ? "+" : "*");
      cookie = e->cookie;
      if (e->len) strcat(text, "="), strcat(text, e->name);
      if (e->len % sizeof *e) strcat(text, "(unpadded)");
      p += sizeof *e + e->len;
    }
  }
  return text;
}
static void touch(const char *path) { close(open(path, O_WRONLY | O_CREAT, 0644)); }

static void making(void) {
  eq("close on exec", fcntl(SYS(inotify_init1, 02000000), F_GETFD, 0), 1);
  errIs("unknown flags", SYS(inotify_init1, 1), EINVAL);
  start();
  mkdir("d", 0755);
  touch("d/f");
  eq("the first", SYS(inotify_add_watch, fd, "d", IN_CREATE), 1);
  eq("the second", SYS(inotify_add_watch, fd, "d/f", IN_OPEN), 2);
  eq("the same again", SYS(inotify_add_watch, fd, "d", IN_DELETE), 1);
  errIs("only if new", SYS(inotify_add_watch, fd, "d", IN_DELETE | IN_MASK_CREATE), EEXIST);
  errIs("both ways", SYS(inotify_add_watch, fd, "d", IN_DELETE | IN_MASK_CREATE | IN_MASK_ADD), EINVAL);
  errIs("no events", SYS(inotify_add_watch, fd, "d", 0), EINVAL);
  errIs("only a directory", SYS(inotify_add_watch, fd, "d/f", IN_OPEN | IN_ONLYDIR), ENOTDIR);
  errIs("no such file", SYS(inotify_add_watch, fd, "d/none", IN_OPEN), ENOENT);
  errIs("a bad pointer", SYS(inotify_add_watch, fd, (char *)8, IN_OPEN), EFAULT);
  errIs("no descriptor", SYS(inotify_add_watch, 99, "d", IN_OPEN), EBADF);
  errIs("no inotify", SYS(inotify_add_watch, 1, "d", IN_OPEN), EINVAL);
  errIs("no watch", SYS(inotify_rm_watch, fd, 7), EINVAL);
  errIs("not in this one", SYS(inotify_rm_watch, 1, 1), EINVAL);
  errIs("nothing yet", read(fd, buffer, sizeof buffer), EAGAIN);
  errIs("writing", write(fd, buffer, 1), EBADF);
  errIs("no positions", pread(fd, buffer, 100, 0), ESPIPE);
  eq("remove", SYS(inotify_rm_watch, fd, 2), 0);
  errIs("twice", SYS(inotify_rm_watch, fd, 2), EINVAL);
  wds[0] = 1, wds[1] = 2, wdN = 2;
  eqStr("the reader is told", events(), "b:ignored");
  eq("numbers are not used again", SYS(inotify_add_watch, fd, "d/f", IN_OPEN), 3);
  symlink("d/f", "s");
  eq("through a link", SYS(inotify_add_watch, fd, "s", IN_OPEN), 3);
  eq("the link itself", SYS(inotify_add_watch, fd, "s", IN_OPEN | IN_DONT_FOLLOW), 4);
}

static void contents(void) {
  mkdir("c", 0755);
  touch("c/f");
  start();
  watch("c", IN_ALL_EVENTS);
  long f = open("c/f", O_RDWR, 0);
  eqStr("open", events(), "a:open=f");
  write(f, "hello", 5);
  write(f, "again", 5);
  eqStr("what repeats is told once", events(), "a:modify=f");
  pread(f, buffer, 5, 0);
  eqStr("read", events(), "a:access=f");
  pread(f, buffer, 5, 100);
  eqStr("nothing read", events(), "");
  ftruncate(f, 3);
  eqStr("size", events(), "a:modify=f");
  truncate("c/f", 2);
  eqStr("by its name", events(), "a:modify=f");
  close(f);
  eqStr("close", events(), "a:closew=f");
  close(open("c/f", O_RDONLY, 0));
  eqStr("for reading", events(), "a:open=f a:close=f");
  close(open("c/f", O_RDONLY | O_PATH, 0));
  eqStr("a path alone", events(), "");
  chmod("c/f", 0600);
  eqStr("mode", events(), "a:attrib=f");
  chown("c/f", 0, 0);
  eqStr("owner", events(), "a:attrib=f");
  struct timespec t[2] = {{5, 0}, {6, 0}};
  SYS(utimensat, AT_FDCWD, "c/f", t, 0);
  eqStr("times", events(), "a:attrib=f");
  t[0].tv_nsec = UTIME_OMIT;
  SYS(utimensat, AT_FDCWD, "c/f", t, 0);
  eqStr("of modification", events(), "a:modify=f");
  t[0].tv_nsec = 0, t[1].tv_nsec = UTIME_OMIT;
  SYS(utimensat, AT_FDCWD, "c/f", t, 0);
  eqStr("of access", events(), "a:access=f");
  SYS(setxattr, "c/f", "user.x", "v", 1, 0);
  eqStr("an attribute", events(), "a:attrib=f");
  SYS(removexattr, "c/f", "user.x");
  eqStr("gone", events(), "a:attrib=f");
  f = open("c/f", O_WRONLY, 0);
  SYS(fallocate, f, 0, 0, 100);
  close(f);
  eqStr("room", events(), "a:open=f a:modify=f a:closew=f");
  long d = open("c", O_RDONLY | O_DIRECTORY, 0);
  eqStr("the directory", events(), "a:open/");
  SYS(getdents64, d, buffer, sizeof buffer);
  close(d);
  eqStr("is read", events(), "a:access/ a:close/");
  watch("c/f", IN_ALL_EVENTS);
  close(open("c/f", O_RDONLY, 0));
  eqStr("a file and its directory", events(), "a:open=f b:open a:close=f b:close");
  long g = dup(open("c/f", O_RDONLY, 0));
  events();
  close(g - 1);
  eqStr("the last descriptor closes", events(), "");
  close(g);
  eqStr("and not before", events(), "a:close=f b:close");
}

static void names(void) {
  mkdir("n", 0755);
  start();
  watch("n", IN_ALL_EVENTS);
  close(open("n/f", O_WRONLY | O_CREAT, 0644));
  eqStr("create", events(), "a:create=f a:open=f a:closew=f");
  close(open("n/f", O_WRONLY | O_CREAT, 0644));
  eqStr("what is there", events(), "a:open=f a:closew=f");
  mkdir("n/d", 0755);
  eqStr("mkdir", events(), "a:create/=d");
  rmdir("n/d");
  eqStr("rmdir", events(), "a:delete/=d");
  symlink("x", "n/s");
  mknod("n/p", S_IFIFO | 0600, 0);
  eqStr("link and fifo", events(), "a:create=s a:create=p");
  unlink("n/s");
  unlink("n/p");
  eqStr("unlink", events(), "a:delete=s a:delete=p");
  link("n/f", "n/g");
  eqStr("another name", events(), "a:create=g");
  rename("n/f", "n/h");
  eqStr("rename", events(), "a:from*=f a:to+=h");
  rename("n/h", "elsewhere");
  eqStr("away", events(), "a:from*=h");
  rename("elsewhere", "n/back");
  eqStr("and back", events(), "a:to*=back");
  touch("n/other");
  events();
  SYS(renameat2, AT_FDCWD, "n/back", AT_FDCWD, "n/other", 2);
  eqStr("exchange", events(), "a:from*=back a:to+=other a:from*=other a:to+=back");
  rename("n/back", "n/other");
  eqStr("over another", events(), "a:from*=back a:to+=other");
  mkdir("n/m", 0755);
  events();
  rename("n/m", "n/m2");
  eqStr("a directory", events(), "a:from/*=m a:to/+=m2");
  errIs("what fails", mkdir("n/m2", 0755), EEXIST);
  eqStr("is no event", events(), "");
  char long255[300] = "n/";
  memset(long255 + 2, 'l', 255);
  long255[257] = 0;
  touch(long255);
  text[0] = 0;
  long n = read(fd, buffer, sizeof buffer);
  eq("the longest name", n, 3 * (16 + 256));
  int bound = open("n/t", O_WRONLY | O_CREAT, 0644);
  write(bound, "x", 1);
  close(bound);
  events();
  close(open("n/t", O_WRONLY | O_TRUNC, 0644));
  ok("cut when opened", strcmp(events(), "a:open=t a:modify=t a:closew=t") == 0 ||
                            strcmp(text, "a:modify=t a:open=t a:closew=t") == 0);
}

static void selves(void) {
  mkdir("s", 0755);
  touch("s/f");
  start();
  watch("s/f", IN_ALL_EVENTS);
  link("s/f", "s/g");
  eqStr("another name", events(), "a:attrib");
  unlink("s/g");
  eqStr("one name less", events(), "a:attrib");
  rename("s/f", "s/h");
  eqStr("moved", events(), "a:moveself");
  unlink("s/h");
  eqStr("the last name", events(), "a:attrib a:deleteself a:ignored");
  errIs("its watch is over", SYS(inotify_rm_watch, fd, wds[0]), EINVAL);
  start();
  touch("s/f");
  watch("s/f", IN_ALL_EVENTS);
  long f = open("s/f", O_RDWR, 0);
  unlink("s/f");
  eqStr("while it is open", events(), "a:open a:attrib");
  write(f, "x", 1);
  close(f);
  eqStr("it ends with the file", events(), "a:modify a:closew a:deleteself a:ignored");
  start();
  watch("s", IN_ALL_EVENTS);
  mkdir("s/d", 0755);
  watch("s/d", IN_ALL_EVENTS);
  rename("s/d", "s/e");
  eqStr("a directory moves", events(), "a:create/=d a:from/*=d a:to/+=e b:moveself");
  rmdir("s/e");
  eqStr("and goes", events(), "b:deleteself b:ignored a:delete/=e");
  touch("s/three");
  watch("s/three", IN_ALL_EVENTS);
  events();
  unlink("s/three");
  eqStr("a file and its directory", events(), "c:attrib c:deleteself c:ignored a:delete=three");
  touch("s/one");
  touch("s/two");
  watch("s/two", IN_ALL_EVENTS);
  events();
  rename("s/one", "s/two");
  eqStr("one is replaced", events(), "a:from*=one a:to+=two d:attrib d:deleteself d:ignored");
}

static void masks(void) {
  mkdir("m", 0755);
  touch("m/f");
  start();
  watch("m", IN_CREATE | IN_ONESHOT);
  touch("m/a");
  touch("m/b");
  eqStr("once", events(), "a:create=a a:ignored");
  start();
  watch("m", IN_OPEN);
  SYS(inotify_add_watch, fd, "m", IN_CLOSE | IN_MASK_ADD);
  close(open("m/f", O_RDONLY, 0));
  eqStr("added", events(), "a:open=f a:close=f");
  SYS(inotify_add_watch, fd, "m", IN_DELETE);
  close(open("m/f", O_RDONLY, 0));
  eqStr("replaced", events(), "");
  start();
  watch("m", IN_MODIFY | IN_EXCL_UNLINK);
  int kept = (int)open("m/f", O_WRONLY, 0);
  write(kept, "x", 1);
  unlink("m/f");
  write(kept, "x", 1);
  eqStr("not after its name is gone", events(), "a:modify=f");
  start();
  watch("m", IN_MODIFY);
  write(kept, "x", 1);
  eqStr("unless asked", events(), "a:modify=f");
  close(kept);
  int first = start();
  watch("m", IN_CREATE);
  int second = start();
  watch("m", IN_CREATE);
  touch("m/new");
  eqStr("two hear it", events(), "a:create=new");
  fd = first;
  eqStr("both", events(), "a:create=new");
  close(second);
  touch("m/more");
  eqStr("one is left", events(), "a:create=more");
}

static void reading(void) {
  mkdir("r", 0755);
  start();
  watch("r", IN_CREATE);
  touch("r/a");
  touch("r/name-of-16-chars");
  int waiting = 0;
  ioctl(fd, FIONREAD, &waiting);
  eq("bytes that wait", waiting, 16 + 16 + 16 + 32);
  errIs("too small", read(fd, buffer, 31), EINVAL);
  eq("just one", read(fd, buffer, 79), 32);
  struct pollfd p = {fd, POLLIN | POLLOUT, 0};
  struct timespec none = {0, 0};
  SYS(ppoll, &p, 1, &none, 0, 8);
  eq("ready", p.revents, POLLIN);
  eq("and the other", read(fd, buffer, 48), 48);
  p.revents = 0;
  SYS(ppoll, &p, 1, &none, 0, 8);
  eq("not ready", p.revents, 0);
  fcntl(fd, F_SETFL, 0);
  long pid = fork();
  if (pid == 0) {
    sleepMs(40);
    touch("r/late");
    exit_group(0);
  }
  eq("a reader waits", read(fd, buffer, sizeof buffer), 32);
  waitStatus(pid);
  fcntl(fd, F_SETFL, NONBLOCK);
  int limit = (int)parseInt(readFile("/proc/sys/fs/inotify/max_queued_events"));
  if (limit <= 0) limit = 16384;
  for (int i = 0; i < limit + 10; i++) {
    mkdir("r/x", 0755);
    rmdir("r/x");
    SYS(inotify_add_watch, fd, "r", i % 2 ? IN_CREATE : IN_DELETE);
  }
  long n, count = 0, overflows = 0;
  int last = 0;
  while ((n = read(fd, buffer, sizeof buffer)) > 0)
    for (char *e = buffer; e < buffer + n; e += 16 + ((struct inotify_event *)e)->len) {
      last = (((struct inotify_event *)e)->mask & IN_Q_OVERFLOW) != 0;
      overflows += last;
      count++;
    }
  eq("as many as fit", count, limit + 1);
  ok("the last says that more are lost", overflows == 1 && last);
  SYS(inotify_add_watch, fd, "r", IN_CREATE);
  mkdir("r/x", 0755);
  eqStr("then it goes on", events(), "a:create/=x");
  char path[32], link[64];
  format(path, sizeof path, "/proc/self/fd/%d", fd);
  n = readlink(path, link, sizeof link - 1);
  link[n > 0 ? n : 0] = 0;
  eqStr("its link", link, "anon_inode:inotify");
}

/// More readers of one object than one operation tells: each hears something, and the operations do not fail.
#define READERS 60
static void crowds(void) {
  static int readers[READERS];
  mkdir("cr", 0755);
  touch("cr/f");
  int good = 1;
  for (int i = 0; i < READERS; i++) {
    readers[i] = (int)SYS(inotify_init1, NONBLOCK);
    good &= SYS(inotify_add_watch, readers[i], "cr", IN_ALL_EVENTS) > 0;
    good &= SYS(inotify_add_watch, readers[i], "cr/f", IN_ALL_EVENTS | (i % 2 ? IN_ONESHOT : 0)) > 0;
  }
  ok("sixty readers", good);
  long f = open("cr/f", O_RDWR, 0);
  ok("open", f >= 0);
  eq("write", write(f, "x", 1), 1);
  eq("close", close(f), 0);
  touch("cr/g");
  eq("rename over another", rename("cr/g", "cr/f"), 0);
  eq("unlink", unlink("cr/f"), 0);
  int heard = 0;
  for (int i = 0; i < READERS; i++) heard += read(readers[i], buffer, sizeof buffer) > 0;
  eq("each has heard something", heard, READERS);
  for (int i = 0; i < READERS - 1; i++) close(readers[i]);
  eq("and the last goes on", SYS(inotify_add_watch, readers[READERS - 1], "cr", IN_CREATE), 1);
  touch("cr/h");
  eq("to hear", read(readers[READERS - 1], buffer, sizeof buffer), 32);
  close(readers[READERS - 1]);
}

/// More watches than one step ends, and more instances than a user may have.
static void numbers(void) {
  mkdir("nu", 0755);
  start();
  char path[32];
  int good = 0;
  for (int i = 0; i < 600; i++) {
    format(path, sizeof path, "nu/%d", i);
    touch(path);
    good += SYS(inotify_add_watch, fd, path, IN_ALL_EVENTS) == i + 1;
  }
  eq("watches", good, 600);
  for (int i = 0; i < 600; i++) {
    format(path, sizeof path, "nu/%d", i);
    chmod(path, 0600);
  }
  eq("an end with all of them", close(fd), 0);
  static int made[5000];
  struct rlimit l = {4096, 4096};
  setrlimit(RLIMIT_NOFILE, &l);
  int n = 0;
  long r;
  while ((r = SYS(inotify_init1, 0)) >= 0 && n < 5000) made[n++] = (int)r;
  errIs("too many instances", r, EMFILE);
  // A hundred and twenty-eight, less what others of the user have.
  ok("a user's share", n > 20 && n <= 128);
  for (int i = 0; i < n; i++) close(made[i]);
  ok("given back", start() >= 0);
}

static const struct section all[] = {
    {"making", making}, {"contents", contents}, {"names", names},
    {"selves", selves}, {"masks", masks},       {"reading", reading}, {"crowds", crowds}, {"numbers", numbers},
};
SECTIONS("inotify", all)
