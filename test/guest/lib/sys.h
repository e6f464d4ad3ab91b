// Raw Linux system calls without a C library, for riscv64 (what Coppice runs) and for x86-64 (so that the same
// source can be judged by a Linux kernel directly). Every call returns what the kernel returns: a value, or
// minus an errno. Structures and constants are the kernel's own uapi headers.
#pragma once

#include <asm/errno.h>
#include <asm/signal.h>
#include <asm/stat.h>
#include <asm/termios.h>
#include <asm/siginfo.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
#include <asm/unistd.h>
#include <linux/auxvec.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/limits.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/time.h>
#include <linux/uio.h>
#include <linux/wait.h>


typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;
typedef unsigned long usize;
#ifndef NULL
#define NULL ((void *)0)
#endif

#if defined(__riscv)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f) {
  register long a7 __asm__("a7") = n;
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d;
  register long a4 __asm__("a4") = e;
  register long a5 __asm__("a5") = f;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
  return a0;
}
#elif defined(__x86_64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f) {
  long ret;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(ret)
                   : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return ret;
}
#else
#error "riscv64 or x86-64"
#endif

#define SYS_PICK(_0, _1, _2, _3, _4, _5, _6, name, ...) name
#define SYS0(n) sys6(n, 0, 0, 0, 0, 0, 0)
#define SYS1(n, a) sys6(n, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(n, a, b) sys6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(n, a, b, c) sys6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(n, a, b, c, d) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS5(n, a, b, c, d, e) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS6(n, a, b, c, d, e, f) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/// SYS(getppid), SYS(write, 1, p, n): the call by its name in asm/unistd.h.
#define SYS(name, ...) \
  SYS_PICK(_, ##__VA_ARGS__, SYS6, SYS5, SYS4, SYS3, SYS2, SYS1, SYS0)(__NR_##name, ##__VA_ARGS__)

// Signals. The kernel's sigaction has a restorer on x86-64 only.
typedef u64 mask_t;
#define BIT(sig) (1UL << ((sig) - 1))
struct ksigaction {
  void *handler;
  u64 flags;
#if defined(__x86_64__)
  void *restorer;
#endif
  mask_t mask;
};
// glibc keeps these in its own headers.
#ifndef UTIME_NOW
#define UTIME_NOW 0x3fffffffL
#define UTIME_OMIT 0x3ffffffeL
#endif
#ifndef SS_ONSTACK
#define SS_ONSTACK 1
#define SS_DISABLE 2
#endif
#if defined(__riscv)
#define CTX_PC(uc) (((struct ucontext *)(uc))->uc_mcontext.sc_regs.pc)
#else
#define CTX_PC(uc) (((struct ucontext *)(uc))->uc_mcontext.rip)
#endif

/// Starts a task that runs fn(arg) on its own stack and then ends (only itself) with fn's result.
long clone_fn(int (*fn)(void *), void *arg, u64 flags, void *stackTop, void *ptid, void *tls, void *ctid);

static inline long open(const char *p, long flags, long mode) { return SYS(openat, AT_FDCWD, p, flags, mode); }
static inline long openat(long d, const char *p, long flags, long mode) { return SYS(openat, d, p, flags, mode); }
static inline long close(long fd) { return SYS(close, fd); }
static inline long read(long fd, void *b, usize n) { return SYS(read, fd, b, n); }
static inline long write(long fd, const void *b, usize n) { return SYS(write, fd, b, n); }
static inline long pread(long fd, void *b, usize n, i64 o) { return SYS(pread64, fd, b, n, o); }
static inline long pwrite(long fd, const void *b, usize n, i64 o) { return SYS(pwrite64, fd, b, n, o); }
static inline long lseek(long fd, i64 o, long w) { return SYS(lseek, fd, o, w); }
static inline long ftruncate(long fd, i64 n) { return SYS(ftruncate, fd, n); }
static inline long truncate(const char *p, i64 n) { return SYS(truncate, p, n); }
static inline long dup(long fd) { return SYS(dup, fd); }
static inline long dup3(long a, long b, long flags) { return SYS(dup3, a, b, flags); }
static inline long fcntl(long fd, long c, long a) { return SYS(fcntl, fd, c, a); }
static inline long ioctl(long fd, long c, void *a) { return SYS(ioctl, fd, c, a); }
static inline long pipe2(int *fds, long flags) { return SYS(pipe2, fds, flags); }
static inline long mkdir(const char *p, long m) { return SYS(mkdirat, AT_FDCWD, p, m); }
static inline long rmdir(const char *p) { return SYS(unlinkat, AT_FDCWD, p, AT_REMOVEDIR); }
static inline long unlink(const char *p) { return SYS(unlinkat, AT_FDCWD, p, 0); }
static inline long symlink(const char *t, const char *p) { return SYS(symlinkat, t, AT_FDCWD, p); }
static inline long link(const char *a, const char *b) { return SYS(linkat, AT_FDCWD, a, AT_FDCWD, b, 0); }
static inline long rename(const char *a, const char *b) { return SYS(renameat2, AT_FDCWD, a, AT_FDCWD, b, 0); }
static inline long readlink(const char *p, char *b, usize n) { return SYS(readlinkat, AT_FDCWD, p, b, n); }
static inline long mknod(const char *p, long m, u64 dev) { return SYS(mknodat, AT_FDCWD, p, m, dev); }
static inline long chmod(const char *p, long m) { return SYS(fchmodat, AT_FDCWD, p, m); }
static inline long chown(const char *p, long u, long g) { return SYS(fchownat, AT_FDCWD, p, u, g, 0); }
static inline long chdir(const char *p) { return SYS(chdir, p); }
static inline long statx(long d, const char *p, long f, u32 m, struct statx *s) { return SYS(statx, d, p, f, m, s); }
static inline long getpid(void) { return SYS(getpid); }
static inline long gettid(void) { return SYS(gettid); }
static inline long getppid(void) { return SYS(getppid); }
static inline long kill(long p, long s) { return SYS(kill, p, s); }
static inline long wait4(long p, int *st, long o, void *ru) { return SYS(wait4, p, st, o, ru); }
static inline long sched_yield(void) { return SYS(sched_yield); }
__attribute__((noreturn)) static inline void exit_group(long c) {
  for (;;) SYS(exit_group, c);
}
static inline long fork(void) { return SYS(clone, SIGCHLD, 0, 0, 0, 0); }
static inline long execve(const char *p, char *const *a, char *const *e) { return SYS(execve, p, a, e); }
static inline long mmap(void *a, usize n, long prot, long fl, long fd, i64 o) {
  return SYS(mmap, a, n, prot, fl, fd, o);
}
static inline long munmap(void *a, usize n) { return SYS(munmap, a, n); }
static inline long mprotect(void *a, usize n, long prot) { return SYS(mprotect, a, n, prot); }
static inline long brk(u64 a) { return SYS(brk, a); }
static inline long futex(u32 *u, long op, u32 v, const void *t, u32 *u2, u32 v3) {
  return SYS(futex, u, op, v, t, u2, v3);
}
static inline long setpgid(long p, long g) { return SYS(setpgid, p, g); }
static inline long getpgid(long p) { return SYS(getpgid, p); }
static inline long setsid(void) { return SYS(setsid); }
static inline long getrlimit(long r, struct rlimit *l) { return SYS(prlimit64, 0, r, 0, l); }
static inline long setrlimit(long r, const struct rlimit *l) { return SYS(prlimit64, 0, r, l, 0); }

#define IS_ERR(v) ((u64)(v) > -4096UL)

#define WIFEXITED(s) (((s) & 0x7f) == 0)
#define WEXITSTATUS(s) (((s) >> 8) & 0xff)
#define WTERMSIG(s) ((s) & 0x7f)
#define WIFSIGNALED(s) (((s) & 0x7f) != 0 && ((s) & 0xff) != 0x7f)
#define WCOREDUMP(s) (((s) & 0x80) != 0)
#define WIFSTOPPED(s) (((s) & 0xff) == 0x7f)
#define WSTOPSIG(s) (((s) >> 8) & 0xff)
#define WIFCONTINUED(s) ((s) == 0xffff)
