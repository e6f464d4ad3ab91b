// Bad arguments: every call that takes a pointer, a descriptor or flags answers the standard error.
#include "lib/rt.h"

#define BAD ((void *)0x10)
// Not canonical for Sv39 and not a user address for anyone.
#define HIGH ((void *)0xffffffffffff0000UL)

static void pointers(void) {
  long fd = open("f", O_RDWR | O_CREAT, 0644);
  int p[2];
  pipe2(p, 0);
  write(fd, "0123456789", 10);
  void *bad[2] = {BAD, HIGH};
  for (int i = 0; i < 2; i++) {
    void *b = bad[i];
    char name[40];
#define T(call, text) (format(name, sizeof name, "%s%s", text, i ? " (high)" : ""), errIs(name, call, EFAULT))
    T(open(b, O_RDONLY, 0), "open");
    T(pread(fd, b, 5, 0), "read");
    T(pwrite(fd, b, 5, 0), "write");
    T(write(p[1], b, 5), "write to a pipe");
    T(SYS(readv, fd, b, 2), "readv");
    T(SYS(getcwd, b, 100), "getcwd");
    T(chdir(b), "chdir");
    T(mkdir(b, 0755), "mkdir");
    T(unlink(b), "unlink");
    T(rename("f", b), "rename");
    T(symlink(b, "x"), "symlink");
    T(readlink("/proc/self/exe", b, 10), "readlink");
    T(SYS(newfstatat, AT_FDCWD, "f", b, 0), "fstatat");
    T(SYS(fstat, fd, b), "fstat");
    T(SYS(statx, AT_FDCWD, "f", 0, STATX_ALL, b), "statx");
    T(SYS(getdents64, open(".", O_RDONLY, 0), b, 1000), "getdents64");
    T(pipe2(b, 0), "pipe2");
    T(SYS(uname, b), "uname");
    T(SYS(clock_gettime, CLOCK_REALTIME, b), "clock_gettime");
    T(SYS(nanosleep, b, 0), "nanosleep");
    T(SYS(rt_sigaction, SIGUSR1, b, 0, 8), "rt_sigaction");
    T(SYS(rt_sigprocmask, SIG_SETMASK, b, 0, 8), "rt_sigprocmask");
    T(SYS(sigaltstack, b, 0), "sigaltstack");
    T(SYS(ppoll, b, 1, 0, 0, 8), "ppoll");
    T(SYS(getrlimit, RLIMIT_NOFILE, b), "getrlimit");
    T(SYS(getrusage, 0, b), "getrusage");
    T(SYS(sysinfo, b), "sysinfo");
    T(SYS(times, b), "times");
    T(SYS(getrandom, b, 10, 0), "getrandom");
    T(SYS(getresuid, b, b, b), "getresuid");
    T(SYS(execve, b, 0, 0), "execve");
    T(SYS(utimensat, AT_FDCWD, "f", b, 0), "utimensat");
    T(SYS(statfs, "/", b), "statfs");
    T(SYS(sched_getaffinity, 0, 128, b), "sched_getaffinity");
    T(ioctl(p[0], 0x541b, b), "ioctl FIONREAD");
    T(fcntl(fd, F_SETLK, (long)b), "fcntl F_SETLK");
    T(futex(b, FUTEX_WAKE, 1, 0, 0, 0), "futex");
  }
}

static void halves(void) {
  // A buffer whose second page is missing: what lies before the hole counts.
  u8 *m = (u8 *)mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(m + 4096, 4096);
  long fd = open("f", O_RDWR | O_CREAT, 0644);
  static u8 zeros[8192];
  write(fd, zeros, 8192);
  // 128: Linux's copy routine for riscv64 reports progress in blocks of 64 aligned bytes, and where it reports
  // none, a write to tmpfs never ends there (seen with 6.12).
  eq("a read into half a buffer is partial", pread(fd, m + 4096 - 128, 1024, 0), 128);
  eq("so is a write", pwrite(fd, m + 4096 - 128, 1024, 0), 128);
  errIs("a structure over the edge", SYS(uname, m + 4096 - 10), EFAULT);
  m[4095] = 'x';
  errIs("a path without its end", open((char *)m + 4095, O_RDONLY, 0), EFAULT);
  m[4094] = '/', m[4095] = 0;
  ok("a path that ends at the edge", open((char *)m + 4094, O_RDONLY, 0) >= 0);
  eq("read of a zero-length bad buffer", read(fd, BAD, 0), 0);
  struct timespec *t = (void *)(m + 4096 - 8);
  errIs("a time over the edge", SYS(nanosleep, t, 0), EFAULT);
  errIs("argv over the edge", execve(selfPath, (char **)(m + 4096 - 4), 0), EFAULT);
}

static void descriptors(void) {
  static const long bad[] = {-1, 77, 1 << 20};
  char b[16];
  for (int i = 0; i < 3; i++) {
    long fd = bad[i];
    char name[40];
#define B(call, text) (format(name, sizeof name, "%s %ld", text, fd), errIs(name, call, EBADF))
    B(read(fd, b, 1), "read");
    B(write(fd, b, 1), "write");
    B(close(fd), "close");
    B(lseek(fd, 0, 0), "lseek");
    B(SYS(fstat, fd, b), "fstat");
    B(fcntl(fd, F_GETFD, 0), "fcntl");
    B(ioctl(fd, TCGETS, b), "ioctl");
    B(dup(fd), "dup");
    B(ftruncate(fd, 0), "ftruncate");
    B(SYS(fchmod, fd, 0644), "fchmod");
    B(SYS(fchown, fd, 0, 0), "fchown");
    B(SYS(fchdir, fd), "fchdir");
    B(SYS(fsync, fd), "fsync");
    B(SYS(getdents64, fd, b, 16), "getdents64");
    B(SYS(readv, fd, 0, 0), "readv");
    B(pread(fd, b, 1, 0), "pread");
    B(openat(fd, "x", O_RDONLY, 0), "openat");
    B(SYS(fstatfs, fd, b), "fstatfs");
  }
  long path = open(".", O_PATH, 0);
  errIs("fchmod of O_PATH", SYS(fchmod, path, 0755), EBADF);
  errIs("ioctl of O_PATH", ioctl(path, TCGETS, b), EBADF);
  eq("fchdir of O_PATH", SYS(fchdir, path), 0);
}

static void flags(void) {
  struct statx st;
  char b[64];
  writeFile("f", "x");
  errIs("unlinkat", SYS(unlinkat, AT_FDCWD, "f", 0x4000), EINVAL);
  errIs("linkat", SYS(linkat, AT_FDCWD, "f", AT_FDCWD, "g", 0x1), EINVAL);
  errIs("fstatat", SYS(newfstatat, AT_FDCWD, "f", b, 0x8000), EINVAL);
  errIs("statx with a reserved mask", statx(AT_FDCWD, "f", 0, 0x80000000u, &st), EINVAL);
  errIs("fchownat", SYS(fchownat, AT_FDCWD, "f", 0, 0, 0x8000), EINVAL);
  errIs("utimensat", SYS(utimensat, AT_FDCWD, "f", 0, 0x8000), EINVAL);
  errIs("faccessat2", SYS(faccessat2, AT_FDCWD, "f", 0, 0x8000), EINVAL);
  errIs("pipe2", pipe2((int *)b, 0x7), EINVAL);
  errIs("dup3", dup3(1, 50, 0x7), EINVAL);
  errIs("getrandom", SYS(getrandom, b, 8, 0x80), EINVAL);
  errIs("mprotect", mprotect((void *)0x10000, 4096, 0x100), EINVAL);
  errIs("wait4", wait4(-1, 0, 0x10000, 0), EINVAL);
  errIs("rt_sigprocmask with another size", SYS(rt_sigprocmask, 0, b, 0, 4), EINVAL);
  errIs("setpriority", SYS(setpriority, 9, 0, 0), EINVAL);
  errIs("getrusage", SYS(getrusage, 9, b), EINVAL);
  errIs("madvise", SYS(madvise, 0x10000, 4096, 1000), EINVAL);
  errIs("a call that does not exist", sys6(4000, 0, 0, 0, 0, 0, 0), ENOSYS);
  errIs("call -1", sys6(-1, 0, 0, 0, 0, 0, 0), ENOSYS);
}

static const struct section all[] = {
    {"pointers", pointers}, {"halves", halves}, {"descriptors", descriptors}, {"flags", flags},
};
SECTIONS("badargs", all)
