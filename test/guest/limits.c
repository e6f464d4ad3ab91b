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

static const struct section all[] = {
    {"rules", rules}, {"descriptors", descriptors}, {"file-size", fileSize}, {"stack", stack},
    {"address-space", addressSpace}, {"cpu", processor}, {"processes", processes},
};
SECTIONS("limits", all)
