// Resource limits: what happens at each, and the rules for changing them.
#include "lib/rt.h"

static void rules(void) {
  struct rlimit l, old;
  eq("getrlimit", getrlimit(RLIMIT_NOFILE, &old), 0);
  ok("soft is at most hard", old.rlim_cur <= old.rlim_max);
  l.rlim_cur = 50, l.rlim_max = 40;
  errIs("soft above hard", setrlimit(RLIMIT_NOFILE, &l), EINVAL);
  errIs("an unknown limit", setrlimit(99, &l), EINVAL);
  errIs("a bad pointer", setrlimit(RLIMIT_NOFILE, (void *)8), EFAULT);
  long pid = fork();
  if (pid == 0) {
    SYS(setresuid, 1001, 1001, 1001);
    l.rlim_cur = 30, l.rlim_max = 40;
    int good = setrlimit(RLIMIT_NOFILE, &l) == 0;
    l.rlim_cur = 40;
    good &= setrlimit(RLIMIT_NOFILE, &l) == 0;
    l.rlim_max = 41;
    good &= setrlimit(RLIMIT_NOFILE, &l) == -EPERM;
    getrlimit(RLIMIT_NOFILE, &l);
    good &= l.rlim_cur == 40 && l.rlim_max == 40;
    long inner = fork();
    if (inner == 0) {
      getrlimit(RLIMIT_NOFILE, &l);
      exit_group(l.rlim_max == 40 ? 0 : 1);
    }
    good &= waitStatus(inner) == 0;
    exit_group(good ? 0 : 1);
  }
  statusIs("an ordinary user may only lower the hard limit; children inherit", waitStatus(pid), 0);
}

static void descriptors(void) {
  struct rlimit l = {20, 20};
  setrlimit(RLIMIT_NOFILE, &l);
  long fd = 0, last = -1;
  while ((fd = open("/dev/null", O_RDONLY, 0)) >= 0) last = fd;
  errIs("open", fd, EMFILE);
  eq("the last number", last, 19);
  errIs("dup", dup(0), EMFILE);
  int p[2];
  errIs("pipe2", pipe2(p, 0), EMFILE);
  errIs("dup3 at the limit", dup3(0, 20, 0), EBADF);
  errIs("F_DUPFD at the limit", fcntl(0, F_DUPFD, 20), EINVAL);
  close(10);
  errIs("pipe2 with one free", pipe2(p, 0), EMFILE);
  eq("which stays free", dup(0), 10);
}

static volatile int seen;
static void counting(int sig) { seen = sig; }
static int tooLarge(void) {
  struct rlimit l = {1000, 1000};
  setrlimit(RLIMIT_FSIZE, &l);
  long fd = open("f", O_RDWR | O_CREAT, 0644);
  u8 b[2000];
  write(fd, b, 500);
  lseek(fd, 1000, SEEK_SET);
  return write(fd, b, 1) == -EFBIG ? 1 : 2;
}
static void fileSize(void) {
  statusIs("SIGXFSZ", childStatus(tooLarge), SIGXFSZ);
  struct rlimit l = {1000, 1000};
  setrlimit(RLIMIT_FSIZE, &l);
  handle(SIGXFSZ, counting, 0, 0);
  long fd = open("g", O_RDWR | O_CREAT, 0644);
  u8 b[2000];
  eq("a write up to the limit is partial", write(fd, b, 2000), 1000);
  eq("without a signal", seen, 0);
  errIs("the next", write(fd, b, 1), EFBIG);
  eq("has one", seen, SIGXFSZ);
  seen = 0;
  errIs("ftruncate beyond", ftruncate(fd, 1001), EFBIG);
  eq("has one too", seen, SIGXFSZ);
  int p[2];
  pipe2(p, 0);
  eq("pipes are free of it", write(p[1], b, 2000), 2000);
}

static __attribute__((noinline)) int use(int kib) {
  volatile u8 page[1024];
  page[0] = (u8)kib;
  return kib > 0 ? use(kib - 1) + page[0] : 0;
}
static int deepStack(void) { return use(6000) >= 0 ? 0 : 1; }
static int shallow(void) {
  struct rlimit l = {1 << 20, RLIM_INFINITY};
  setrlimit(RLIMIT_STACK, &l);
  return use(3000) >= 0 ? 0 : 1;
}
static int shallowEnough(void) {
  struct rlimit l = {1 << 20, RLIM_INFINITY};
  setrlimit(RLIMIT_STACK, &l);
  return use(500) >= 0 ? 0 : 1;
}
static void stack(void) {
  statusIs("six megabytes", childStatus(deepStack), 0);
  statusIs("half of the limit", childStatus(shallowEnough), 0);
  statusIs("three times the limit", childStatus(shallow), SIGSEGV);
}

static void addressSpace(void) {
  struct rlimit l = {64 << 20, 64 << 20};
  eq("RLIMIT_AS", setrlimit(RLIMIT_AS, &l), 0);
  errIs("mmap beyond", mmap(0, 128 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
  u8 *p = (u8 *)mmap(0, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ok("mmap within", !IS_ERR(p));
  errIs("mremap beyond", SYS(mremap, p, 16 << 20, 128 << 20, MREMAP_MAYMOVE, 0), ENOMEM);
  u64 b = (u64)brk(0);
  ok("brk beyond", (u64)brk(b + (100 << 20)) == b);
  ok("a child can start", childStatus(shallowEnough) == 0);
}

static int burn(void) {
  struct rlimit l = {1, 3};
  setrlimit(RLIMIT_CPU, &l);
  for (;;) {
  }
}
static void processor(void) { statusIs("SIGXCPU after one second of work", childStatus(burn), SIGXCPU); }

static void processes(void) {
  long pid = fork();
  if (pid == 0) {
    struct rlimit l = {5, 5};
    SYS(setresuid, 4321, 4321, 4321);
    setrlimit(RLIMIT_NPROC, &l);
    int n = 0;
    long c = 0;
    while (n < 10 && (c = fork()) > 0) n++;
    if (c == 0) {
      sleepMs(300);
      exit_group(0);
    }
    while (wait4(-1, 0, 0, 0) > 0) {
    }
    exit_group(c == -EAGAIN ? n : 99);
  }
  statusIs("RLIMIT_NPROC allows four children and itself", waitStatus(pid), 4 << 8);
}

static long blankInt(const char *s) {
  while (*s == ' ' || *s == '\t') s++;
  return parseInt(s);
}
static long statusLine(const char *name) {
  const char *line = strstr(readFile("/proc/self/status"), name);
  return line ? blankInt(line + strlen(name)) : -1;
}
static long mlock(void *p, usize n) { return SYS(mlock, p, n); }
static void locking(void) {
  enum { PAGE = 4096 };
  char *p = (char *)mmap(0, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  eq("nothing is locked", statusLine("VmLck:"), 0);
  eq("root", mlock(p + 10, 2 * PAGE), 0);
  eq("whole pages", statusLine("VmLck:"), 12);
  eq("the same again", mlock(p, PAGE), 0);
  eq("counts once", statusLine("VmLck:"), 12);
  eq("unlock", SYS(munlock, p + PAGE, PAGE), 0);
  eq("one less", statusLine("VmLck:"), 8);
  if (fork() == 0) {
    eq("a child has none", statusLine("VmLck:"), 0);
    exit_group(0);
  }
  waitStatus(-1);
  munmap(p + 15 * PAGE, PAGE);
  errIs("a hole", mlock(p + 14 * PAGE, 2 * PAGE), ENOMEM);
  eq("up to the hole", statusLine("VmLck:"), 12);
  errIs("unlocking a hole", SYS(munlock, p + 14 * PAGE, 2 * PAGE), ENOMEM);
  errIs("unknown flags", SYS(mlock2, p, PAGE, 8), EINVAL);
  errIs("of all", SYS(mlockall, 0), EINVAL);
  eq("all", SYS(mlockall, 1), 0);
  ok("is much", statusLine("VmLck:") >= 15 * 4);
  eq("none", SYS(munlockall), 0);
  eq("is nothing", statusLine("VmLck:"), 0);
  eq("what comes", SYS(mlockall, 2), 0);
  char *q = (char *)mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  eq("is locked", statusLine("VmLck:"), 8);
  munmap(q, 2 * PAGE);
  SYS(munlockall);
  struct rlimit l = {4 * PAGE, 4 * PAGE};
  setrlimit(RLIMIT_MEMLOCK, &l);
  eq("root has no limit", mlock(p, 8 * PAGE), 0);
  SYS(munlock, p, 8 * PAGE);
  SYS(setresuid, 1000, 1000, 1000);
  eq("as much as is allowed", mlock(p, 4 * PAGE), 0);
  errIs("one more", mlock(p + 4 * PAGE, PAGE), ENOMEM);
  eq("what is locked already", mlock(p + PAGE, 3 * PAGE), 0);
  errIs("by mmap", mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0), EAGAIN);
  errIs("all of it", SYS(mlockall, 1), ENOMEM);
  SYS(munlock, p, 4 * PAGE);
  q = (char *)mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
  ok("then it fits", !IS_ERR(q));
  eq("and counts", statusLine("VmLck:"), 4);
  errIs("a locked mapping that grows", SYS(mremap, q, PAGE, 5 * PAGE, MREMAP_MAYMOVE), EAGAIN);
  q = (char *)SYS(mremap, q, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
  ok("by less", !IS_ERR(q));
  eq("all of it counts", statusLine("VmLck:"), 8);
  eq("the heap, in future", SYS(mlockall, 2), 0);
  u64 top = (u64)brk(0);
  eq("it grows", brk(top + PAGE) - (long)top, PAGE);
  eq("and counts, too", statusLine("VmLck:"), 12);
  eq("not beyond", brk(top + 4 * PAGE) - (long)top, PAGE);
  eq("it shrinks", brk(top) - (long)top, 0);
  eq("and does not count", statusLine("VmLck:"), 8);
  l.rlim_cur = l.rlim_max = 0;
  setrlimit(RLIMIT_MEMLOCK, &l);
  errIs("nothing allowed", mlock(p, PAGE), EPERM);
  errIs("nor by mmap", mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0), EPERM);
  errIs("nor all", SYS(mlockall, 1), EPERM);
  eq("unlocking is", SYS(munlock, p, PAGE), 0);
}

static void usage(void) {
  struct rusage a, b;
  enum { PAGE = 4096, PAGES = 1024 };
  SYS(getrusage, RUSAGE_SELF, &a);
  char *p = (char *)mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SYS(madvise, p, PAGES * PAGE, 15); // MADV_NOHUGEPAGE
  for (int i = 0; i < PAGES; i++) ((volatile char *)p)[i * PAGE] = 1;
  SYS(getrusage, RUSAGE_SELF, &b);
  ok("faults", b.ru_minflt - a.ru_minflt >= PAGES && b.ru_minflt - a.ru_minflt < PAGES + 200);
  ok("the most that was resident", b.ru_maxrss - a.ru_maxrss >= PAGES * 4 - 1000 && b.ru_maxrss >= PAGES * 4);
  munmap(p, PAGES * PAGE);
  SYS(getrusage, RUSAGE_SELF, &a);
  ok("stays", a.ru_maxrss >= PAGES * 4);
  // Long enough that none is over before it has begun, however busy the machine is.
  for (int i = 0; i < 5; i++) sleepMs(30);
  SYS(getrusage, RUSAGE_SELF, &b);
  ok("waits", b.ru_nvcsw - a.ru_nvcsw >= 5);
  SYS(getrusage, 1, &b);
  ok("of the thread", b.ru_nvcsw >= 5 && b.ru_minflt >= PAGES);
  SYS(getrusage, -1, &a);
  long pid = fork();
  if (pid == 0) {
    p = (char *)mmap(0, 4 * PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SYS(madvise, p, 4 * PAGES * PAGE, 15);
    for (int i = 0; i < 4 * PAGES; i++) ((volatile char *)p)[i * PAGE] = 1;
    exit_group(0);
  }
  wait4(pid, 0, 0, &b);
  ok("of a child", b.ru_minflt >= 4 * PAGES && b.ru_maxrss >= 16 * PAGES);
  SYS(getrusage, -1, &b);
  ok("of children", b.ru_minflt - a.ru_minflt >= 4 * PAGES && b.ru_maxrss >= 16 * PAGES);
}

static const struct section all[] = {
    {"rules", rules}, {"descriptors", descriptors}, {"file-size", fileSize}, {"stack", stack},
    {"address-space", addressSpace}, {"cpu", processor}, {"processes", processes},
    {"locking", locking}, {"usage", usage},
};
SECTIONS("limits", all)
