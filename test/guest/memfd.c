// Files of memory without a name, and their seals.
#include "lib/rt.h"
#include <linux/memfd.h>

// Newer than the headers of some systems.
#ifndef MFD_EXEC
#define MFD_NOEXEC_SEAL 8U
#define MFD_EXEC 16U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 32
#endif
#define X_OK 1
#define PAGE 4096
static long make(const char *name, u32 flags) { return SYS(memfd_create, name, flags); }
static long seals(long fd) { return fcntl(fd, F_GET_SEALS, 0); }
static long seal(long fd, long bits) { return fcntl(fd, F_ADD_SEALS, bits); }
static const char *linkOf(long fd) {
  static char link[400], path[32];
  format(path, sizeof path, "/proc/self/fd/%ld", fd);
  long n = readlink(path, link, sizeof link - 1);
  link[n > 0 ? n : 0] = 0;
  return link;
}
static long reopen(long fd, long flags) {
  char path[32];
  format(path, sizeof path, "/proc/self/fd/%ld", fd);
  return open(path, flags, 0);
}

static void making(void) {
  long fd = make("a name", 0);
  ok("made", fd >= 0);
  eqStr("its link", linkOf(fd), "/memfd:a name (deleted)");
  eqStr("without a name", linkOf(make("", 0)), "/memfd: (deleted)");
  struct statx s;
  statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &s);
  eq("mode", s.stx_mode, S_IFREG | 0777);
  eq("no links", s.stx_nlink, 0);
  eq("empty", s.stx_size, 0);
  eq("open to read and write", fcntl(fd, F_GETFL, 0) & O_ACCMODE, O_RDWR);
  eq("kept by exec", fcntl(fd, F_GETFD, 0), 0);
  eq("unless asked", fcntl(make("x", MFD_CLOEXEC), F_GETFD, 0), 1);
  char name[260];
  memset(name, 'n', sizeof name);
  name[249] = 0;
  ok("the longest name", make(name, 0) >= 0);
  name[249] = 'n', name[250] = 0;
  errIs("a longer one", make(name, 0), EINVAL);
  errIs("unknown flags", make("x", 0x100), EINVAL);
  errIs("executable and not", make("x", MFD_EXEC | MFD_NOEXEC_SEAL), EINVAL);
  errIs("a bad pointer", make((char *)8, 0), EFAULT);
  eq("write", write(fd, "hello", 5), 5);
  char b[8] = {0};
  eq("read", pread(fd, b, 8, 0), 5);
  eqStr("what was written", b, "hello");
  long again = reopen(fd, O_RDONLY);
  ok("opened again", again >= 0);
  eq("the same file", read(again, b, 8), 5);
  eq("execute", SYS(faccessat2, fd, "", X_OK, AT_EMPTY_PATH), 0);
}

static void mapping(void) {
  long fd = make("map", 0);
  ftruncate(fd, 3 * PAGE);
  char *a = (char *)mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ok("mapped", !IS_ERR(a));
  a[PAGE] = 'x';
  char c = 0;
  pread(fd, &c, 1, PAGE);
  eq("a store is read", c, 'x');
  pwrite(fd, "y", 1, PAGE + 1);
  eq("a write is loaded", a[PAGE + 1], 'y');
  if (fork() == 0) {
    a[2 * PAGE] = 'z';
    exit_group(0);
  }
  waitStatus(-1);
  eq("shared with a child", a[2 * PAGE], 'z');
  close(fd);
  eq("it outlives its descriptor", a[PAGE], 'x');
  munmap(a, 3 * PAGE);
}

static void sealing(void) {
  eq("sealed from the beginning", seals(make("x", 0)), F_SEAL_SEAL);
  errIs("and stays so", seal(make("x", 0), F_SEAL_GROW), EPERM);
  long fd = make("x", MFD_ALLOW_SEALING);
  eq("open to seals", seals(fd), 0);
  write(fd, "0123456789", 10);
  errIs("unknown seals", seal(fd, 0x100), EINVAL);
  errIs("for a reader", seal(reopen(fd, O_RDONLY), F_SEAL_GROW), EPERM);
  eq("grow", seal(fd, F_SEAL_GROW), 0);
  eq("shown", seals(fd), F_SEAL_GROW);
  eq("a write inside", pwrite(fd, "ab", 2, 8), 2);
  errIs("a write beyond", pwrite(fd, "abc", 3, 8), EPERM);
  errIs("a larger size", ftruncate(fd, 11), EPERM);
  errIs("room", SYS(fallocate, fd, 0, 0, 20), EPERM);
  eq("a smaller size", ftruncate(fd, 9), 0);
  eq("shrink", seal(fd, F_SEAL_SHRINK), 0);
  errIs("no smaller size", ftruncate(fd, 8), EPERM);
  errIs("nor by opening", reopen(fd, O_RDWR | O_TRUNC), EPERM);
  eq("the same size", ftruncate(fd, 9), 0);
  eq("both are shown", seals(fd), F_SEAL_GROW | F_SEAL_SHRINK);
  eq("no more seals", seal(fd, F_SEAL_SEAL), 0);
  errIs("none", seal(fd, F_SEAL_WRITE), EPERM);
  long big = make("x", MFD_ALLOW_SEALING);
  ftruncate(big, PAGE);
  seal(big, F_SEAL_GROW);
  static char two[2 * PAGE];
  eq("whole pages inside", write(big, two, sizeof two), PAGE);
  errIs("and no more", write(big, two, 1), EPERM);
  errIs("of a pipe", seals(open("/dev/null", O_RDWR, 0)), EINVAL);
  eq("of a duplicate", seals(dup(fd)), F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
}

static void writing(void) {
  long fd = make("x", MFD_ALLOW_SEALING);
  ftruncate(fd, PAGE);
  char *w = (char *)mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  errIs("while mapped for writing", seal(fd, F_SEAL_WRITE), EBUSY);
  mprotect(w, PAGE, PROT_READ);
  errIs("or that could be", seal(fd, F_SEAL_WRITE), EBUSY);
  eq("only in future", seal(fd, F_SEAL_FUTURE_WRITE), 0);
  mprotect(w, PAGE, PROT_READ | PROT_WRITE);
  w[0] = 'k';
  char c = 0;
  pread(fd, &c, 1, 0);
  eq("the old mapping writes on", c, 'k');
  errIs("a descriptor does not", pwrite(fd, "x", 1, 0), EPERM);
  errIs("a new mapping neither", mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
  char *r = (char *)mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0);
  ok("it may read", !IS_ERR(r) && r[0] == 'k');
  errIs("and never write", mprotect(r, PAGE, PROT_READ | PROT_WRITE), EACCES);
  munmap(w, PAGE);
  eq("nobody writes", seal(fd, F_SEAL_WRITE), 0);
  errIs("no hole", SYS(fallocate, fd, 3, 0, 10), EPERM);
  char *p = (char *)mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  p[0] = 'q';
  eq("a private copy", r[0], 'k');
  errIs("opened again", write(reopen(fd, O_RDWR), "x", 1), EPERM);
  long child = make("y", MFD_ALLOW_SEALING);
  ftruncate(child, PAGE);
  w = (char *)mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, child, 0);
  long pid = fork();
  if (pid == 0) {
    sleepMs(60000);
    exit_group(0);
  }
  munmap(w, PAGE);
  errIs("a child has it mapped", seal(child, F_SEAL_WRITE), EBUSY);
  kill(pid, SIGKILL);
  waitStatus(pid);
  eq("not any more", seal(child, F_SEAL_WRITE), 0);
}

static void executing(void) {
  long fd = make("x", MFD_NOEXEC_SEAL);
  eq("sealed", seals(fd), F_SEAL_EXEC);
  struct statx s;
  statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &s);
  eq("mode", s.stx_mode & 0777, 0666);
  errIs("not to be made executable", SYS(fchmod, fd, 0777), EPERM);
  eq("other bits", SYS(fchmod, fd, 0600), 0);
  long run = make("y", MFD_ALLOW_SEALING);
  eq("of one that can be executed", seal(run, F_SEAL_EXEC), 0);
  eq("seals its contents", seals(run), F_SEAL_EXEC | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
  errIs("not to be made other", SYS(fchmod, run, 0666), EPERM);
}

/// Seals are not to be got round by the ways that change a file without writing.
static void roundabout(void) {
  long fd = make("r", MFD_ALLOW_SEALING);
  char byte = 0;
  write(fd, "sealed", 6);
  seal(fd, F_SEAL_SHRINK);
  errIs("cut by opening it", reopen(fd, O_RDWR | O_TRUNC), EPERM);
  ok("opened as it is", reopen(fd, O_RDWR) >= 0);
  eq("sealed against writing", seal(fd, F_SEAL_WRITE), 0);
  ok("zeroes", SYS(fallocate, fd, 0x10 | 1, 0, 3) < 0);
  errIs("a hole", SYS(fallocate, fd, 2 | 1, 0, 3), EPERM);
  ok("it is what it was", pread(fd, &byte, 1, 0) == 1 && byte == 's');
}

static const struct section all[] = {
    {"making", making}, {"mapping", mapping}, {"sealing", sealing}, {"writing", writing}, {"executing", executing},
    {"roundabout", roundabout},
};
SECTIONS("memfd", all)
