// Memory: private and shared mappings, copy on write across fork, files mapped and read at once, protection,
// partial unmapping, fixed mappings, brk, mremap, madvise.
#include "lib/rt.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)

static u8 *map(usize pages, int prot, int flags) { return (u8 *)mmap(0, pages * PAGE, prot, flags, -1, 0); }
static int allBytes(const u8 *p, usize n, u8 want) {
  for (usize i = 0; i < n; i++)
    if (p[i] != want) return 0;
  return 1;
}
static long newFile(const char *name, usize n) {
  long fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  u8 b[256];
  for (usize i = 0; i < n; i += 256) {
    memset(b, 'a' + (int)(i / PAGE), 256);
    write(fd, b, n - i < 256 ? n - i : 256);
  }
  return fd;
}

static void anonymous(void) {
  u8 *p = map(16, RW, PRIV);
  ok("page aligned", !IS_ERR(p) && ((u64)p & (PAGE - 1)) == 0);
  ok("zero", allBytes(p, 16 * PAGE, 0));
  memset(p, 7, 16 * PAGE);
  ok("keeps its bytes", allBytes(p, 16 * PAGE, 7));
  errIs("length 0", mmap(0, 0, RW, PRIV, -1, 0), EINVAL);
  errIs("no kind", mmap(0, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
  errIs("bad descriptor", mmap(0, PAGE, RW, MAP_PRIVATE, 77, 0), EBADF);
  errIs("odd offset", mmap(0, PAGE, RW, MAP_PRIVATE, 0, 100), EINVAL);
  errIs("too much", mmap(0, 1UL << 60, RW, PRIV, -1, 0), ENOMEM);
  u8 *n = map(1 << 16, RW, PRIV | MAP_NORESERVE);
  ok("MAP_NORESERVE of 256 MiB", !IS_ERR(n));
  n[200 << 20] = 1;
  eq("and a page of it", n[200 << 20] + n[100 << 20], 1);
  eq("munmap", munmap(n, 1UL << 28), 0);
  eq("munmap of nothing mapped", munmap(n, PAGE), 0);
  errIs("munmap length 0", munmap(p, 0), EINVAL);
  eq("MAP_POPULATE", *(u8 *)mmap(0, PAGE, RW, PRIV | MAP_POPULATE, -1, 0), 0);
}

static void copyOnWrite(void) {
  u8 *p = map(64, RW, PRIV);
  for (int i = 0; i < 64; i++) p[i * PAGE] = (u8)i;
  int *seen = shared(PAGE);
  long pid = fork();
  if (pid == 0) {
    int same = 1;
    for (int i = 0; i < 64; i++) same &= p[i * PAGE] == i, p[i * PAGE] = (u8)(i + 100);
    seen[0] = same;
    waitFor(&seen[1]);
    for (int i = 0; i < 64; i++) same &= p[i * PAGE] == (u8)(i + 100);
    exit_group(same ? 0 : 1);
  }
  waitFor(&seen[0]);
  int same = 1;
  for (int i = 0; i < 64; i++) same &= p[i * PAGE] == i;
  ok("the parent does not see the child's writes", same);
  for (int i = 0; i < 64; i++) p[i * PAGE] = 200;
  seen[1] = 1;
  statusIs("the child does not see the parent's", waitStatus(pid), 0);
  volatile long local = 5;
  static long data = 6;
  pid = fork();
  if (pid == 0) {
    long inner = fork();
    if (inner == 0) {
      local = data = 50;
      exit_group(0);
    }
    waitStatus(inner);
    exit_group(local == 5 && data == 6 ? 0 : 1);
  }
  statusIs("over two generations", waitStatus(pid), 0);
  // The kernel writes into a page that is shared by copy on write.
  int fds[2];
  pipe2(fds, 0);
  write(fds[1], "xy", 2);
  pid = fork();
  if (pid == 0) exit_group(read(fds[0], p, 1) == 1 && p[0] == 'x' ? 0 : 1);
  statusIs("read into such a page", waitStatus(pid), 0);
  eq("leaves the parent's", p[0], 200);
}

static void sharedAnonymous(void) {
  volatile int *p = shared(4 * PAGE);
  long pid = fork();
  if (pid == 0) {
    p[0] = 11;
    p[1024] = 22;
    waitFor(&p[1]);
    exit_group(p[2048] == 33 ? 0 : 1);
  }
  waitFor((volatile int *)&p[1024]);
  eq("the parent sees the child's write", p[0], 11);
  p[2048] = 33;
  p[1] = 1;
  statusIs("and the child the parent's", waitStatus(pid), 0);
  long *sum = shared(PAGE);
  for (int i = 0; i < 4; i++)
    if (fork() == 0) {
      for (int k = 0; k < 5000; k++) __atomic_fetch_add(sum, 1, __ATOMIC_SEQ_CST);
      exit_group(0);
    }
  while (wait4(-1, 0, 0, 0) > 0) {
  }
  eq("atomic sums from four processes", *sum, 20000);
}

static void sharedFile(void) {
  long fd = newFile("f", 3 * PAGE);
  u8 *p = (u8 *)mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0);
  u8 *q = (u8 *)mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
  u8 b[8];
  eq("contents", p[0] == 'a' && p[PAGE] == 'b' && q[5] == 'b', 1);
  pwrite(fd, "NEW", 3, PAGE + 10);
  ok("a write is seen in both mappings", !memcmp(p + PAGE + 10, "NEW", 3) && !memcmp(q + 10, "NEW", 3));
  memcpy(p + 100, "MAPPED", 6);
  pread(fd, b, 6, 100);
  ok("a store is seen by read", !memcmp(b, "MAPPED", 6));
  q[0] == 'b' ? p[PAGE] = 'Q' : 0;
  eq("and by the other mapping", q[0], 'Q');
  close(fd);
  long pid = fork();
  if (pid == 0) {
    p[200] = 'C';
    long other = open("f", O_RDONLY, 0);
    u8 *r = (u8 *)mmap(0, PAGE, PROT_READ, MAP_SHARED, other, 0);
    exit_group(r[200] == 'C' && r[100] == 'M' ? 0 : 1);
  }
  statusIs("after close and fork, through another open", waitStatus(pid), 0);
  eq("the child's store", p[200], 'C');
  eq("msync", SYS(msync, p, 3 * PAGE, MS_SYNC), 0);
  errIs("msync of an odd address", SYS(msync, p + 1, PAGE, MS_SYNC), EINVAL);
  unlink("f");
  eq("the mapping outlives the name", p[200], 'C');
  fd = open("g", O_RDONLY | O_CREAT, 0644);
  errIs("shared and writable of a read-only descriptor", mmap(0, PAGE, RW, MAP_SHARED, fd, 0), EACCES);
  ok("private and writable of it", !IS_ERR(mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0)));
  u8 *ro = (u8 *)mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0);
  errIs("mprotect cannot widen it", mprotect(ro, PAGE, RW), EACCES);
  long w = open("g", O_WRONLY, 0);
  errIs("a write-only descriptor", mmap(0, PAGE, PROT_READ, MAP_PRIVATE, w, 0), EACCES);
  int p2[2];
  pipe2(p2, 0);
  errIs("a pipe", mmap(0, PAGE, PROT_READ, MAP_PRIVATE, p2[0], 0), ENODEV);
}

static void privateFile(void) {
  long fd = newFile("f", 2 * PAGE);
  u8 *p = (u8 *)mmap(0, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
  u8 b[4];
  p[0] = 'X';
  pread(fd, b, 1, 0);
  eq("a store stays private", b[0], 'a');
  pwrite(fd, "Z", 1, PAGE);
  eq("an untouched page shows the file", p[PAGE], 'Z');
  pwrite(fd, "Y", 1, 0);
  eq("a touched page does not", p[0], 'X');
  long tail = newFile("tail", 100);
  u8 *t = (u8 *)mmap(0, PAGE, RW, MAP_PRIVATE, tail, 0);
  ok("bytes after the end are zero", allBytes(t, 100, 'a') && allBytes(t + 100, PAGE - 100, 0));
  u8 *s = (u8 *)mmap(0, PAGE, RW, MAP_SHARED, tail, 0);
  s[200] = 9;
  ftruncate(tail, 300);
  pread(tail, b, 1, 99);
  eq("the file within its end", b[0], 'a');
  struct statx st;
  statx(tail, "", AT_EMPTY_PATH, STATX_SIZE, &st);
  eq("a store beyond the end does not grow it", st.stx_size, 300);
}

static void beyondEnd(void) {
  long fd = newFile("f", 100);
  u8 *p = (u8 *)mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0);
  eq("the last page is there", probeLoad(p + PAGE - 1), 0);
  eq("SIGBUS beyond", probeLoad(p + PAGE + 5), SIGBUS);
  ok("BUS_ADRERR at the address", probeCode == BUS_ADRERR && probeAddr == p + PAGE + 5);
  eq("SIGBUS for a store", probeStore(p + 2 * PAGE), SIGBUS);
  ftruncate(fd, 2 * PAGE);
  eq("growing the file gives the page", probeStore(p + PAGE + 5), 0);
  ftruncate(fd, 50);
  eq("shrinking takes it", probeLoad(p + PAGE + 5), SIGBUS);
  ftruncate(fd, PAGE);
  ok("the cut part is zero", p[49] == 'a' && allBytes(p + 50, PAGE - 50, 0));
  int fds[2];
  pipe2(fds, 0);
  errIs("write from there", write(fds[1], p + PAGE, 1), EFAULT);
}

static void protect(void) {
  u8 *p = map(3, RW, PRIV);
  p[PAGE] = 5;
  eq("mprotect", mprotect(p + PAGE, PAGE, PROT_READ), 0);
  eq("reading goes on", probeLoad(p + PAGE), 0);
  eq("a store faults", probeStore(p + PAGE + 7), SIGSEGV);
  ok("SEGV_ACCERR at the address", probeCode == SEGV_ACCERR && probeAddr == p + PAGE + 7);
  ok("its neighbours are writable", probeStore(p + PAGE - 1) == 0 && probeStore(p + 2 * PAGE) == 0);
  mprotect(p + PAGE, PAGE, PROT_NONE);
  eq("PROT_NONE", probeLoad(p + PAGE), SIGSEGV);
  eq("its code", probeCode, SEGV_ACCERR);
  mprotect(p, 3 * PAGE, RW);
  eq("back, with its contents", p[PAGE], 5);
  eq("writable again", probeStore(p + PAGE), 0);
  errIs("odd address", mprotect(p + 1, PAGE, RW), EINVAL);
  munmap(p + PAGE, PAGE);
  errIs("over a hole", mprotect(p, 3 * PAGE, PROT_READ), ENOMEM);
  eq("the part before the hole changed", probeStore(p), SIGSEGV);
  int fds[2];
  pipe2(fds, 0);
  write(fds[1], "abc", 3);
  errIs("read into a read-only page", read(fds[0], p, 3), EFAULT);
  u8 *code = map(1, RW | PROT_EXEC, PRIV);
#if defined(__riscv)
  *(u16 *)code = 0x8082;  // c.jr ra
  SYS(riscv_flush_icache, code, code + PAGE, 0);
#else
  *code = 0xc3;
#endif
  eq("code runs", probeCall(code), 0);
  mprotect(code, PAGE, RW);
  eq("not without PROT_EXEC", probeCall(code), SIGSEGV);
  ok("ACCERR at it", probeCode == SEGV_ACCERR && probeAddr == code);
}

static void rewriteCode(void) {
#if defined(__riscv)
  u32 *code = (u32 *)map(1, RW | PROT_EXEC, PRIV);
  int right = 1;
  for (int i = 0; i < 50; i++) {
    code[0] = 0x00000513u | (u32)i << 20;  // li a0, i
    code[1] = 0x00008067;                  // ret
    __asm__ volatile("fence.i" ::: "memory");
    SYS(riscv_flush_icache, code, code + 2, 0);
    right &= ((int (*)(void))code)() == i;
  }
  ok("new instructions take effect after a flush", right);
#else
  ok("new instructions take effect after a flush", 1);
#endif
}

static void unmap(void) {
  u8 *p = map(9, RW, PRIV);
  memset(p, 3, 9 * PAGE);
  munmap(p + 3 * PAGE, 3 * PAGE);
  ok("both ends stay", p[2 * PAGE] == 3 && p[6 * PAGE] == 3);
  eq("the middle is gone", probeLoad(p + 3 * PAGE), SIGSEGV);
  eq("its code", probeCode, SEGV_MAPERR);
  u8 *q = (u8 *)mmap(p + 4 * PAGE, PAGE, RW, PRIV | MAP_FIXED, -1, 0);
  ok("MAP_FIXED into the hole", q == p + 4 * PAGE && q[0] == 0);
  q = (u8 *)mmap(p + 7 * PAGE, PAGE, RW, PRIV | MAP_FIXED, -1, 0);
  ok("MAP_FIXED over a mapping", q[0] == 0 && p[6 * PAGE] == 3 && p[8 * PAGE] == 3);
  errIs("MAP_FIXED_NOREPLACE", mmap(p + 8 * PAGE, PAGE, RW, PRIV | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
  errIs("MAP_FIXED at an odd address", mmap(p + 1, PAGE, RW, PRIV | MAP_FIXED, -1, 0), EINVAL);
  q = (u8 *)mmap(p + 3 * PAGE, PAGE, RW, PRIV, -1, 0);
  ok("a free hint is taken", q == p + 3 * PAGE);
  q = (u8 *)mmap(p, PAGE, RW, PRIV, -1, 0);
  ok("a used one is not", q != p && !IS_ERR(q));
  ok("a length is rounded up", munmap(p, 1) == 0 && probeLoad(p + PAGE - 1) == SIGSEGV);
}

static void breakPointer(void) {
  u64 b = (u64)brk(0);
  ok("there is one", b > 0);
  ok("grow", (u64)brk(b + 10 * PAGE) == b + 10 * PAGE);
  u8 *p = (u8 *)((b + PAGE - 1) & ~(PAGE - 1));
  ok("zero", allBytes(p, 9 * PAGE, 0));
  memset(p, 1, 9 * PAGE);
  ok("shrink", (u64)brk(b + PAGE) == b + PAGE);
  eq("the rest is gone", probeLoad(p + 5 * PAGE), SIGSEGV);
  brk(b + 10 * PAGE);
  ok("grown again it is zero", allBytes(p + 2 * PAGE, PAGE, 0));
  ok("a foolish wish changes nothing", (u64)brk(1) == b + 10 * PAGE && (u64)brk(~0UL) == b + 10 * PAGE);
  struct rlimit l = {0, RLIM_INFINITY};
  setrlimit(RLIMIT_DATA, &l);
  ok("RLIMIT_DATA", (u64)brk(b + 4000 * PAGE) == b + 10 * PAGE);
}

static void remap(void) {
  u8 *p = map(4, RW, PRIV);
  for (int i = 0; i < 4; i++) p[i * PAGE] = (u8)(i + 1);
  u8 *q = (u8 *)SYS(mremap, p, 4 * PAGE, 2 * PAGE, 0, 0);
  ok("shrink in place", q == p && q[PAGE] == 2 && probeLoad(p + 2 * PAGE) == SIGSEGV);
  u8 *wall = (u8 *)mmap(p + 2 * PAGE, PAGE, RW, PRIV | MAP_FIXED, -1, 0);
  errIs("no room to grow", SYS(mremap, p, 2 * PAGE, 4 * PAGE, 0, 0), ENOMEM);
  q = (u8 *)SYS(mremap, p, 2 * PAGE, 8 * PAGE, MREMAP_MAYMOVE, 0);
  ok("MREMAP_MAYMOVE keeps the bytes", !IS_ERR(q) && q[0] == 1 && q[PAGE] == 2 && q[7 * PAGE] == 0);
  eq("the old place is gone", probeLoad(p), SIGSEGV);
  eq("the wall stands", probeLoad(wall), 0);
  u8 *r = (u8 *)SYS(mremap, q, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, wall);
  ok("MREMAP_FIXED", r == wall && r[PAGE] == 2);
  errIs("nothing there", SYS(mremap, q, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0), EFAULT);
  errIs("bad flags", SYS(mremap, r, PAGE, PAGE, 64, 0), EINVAL);
}

static void advise(void) {
  u8 *p = map(4, RW, PRIV);
  memset(p, 9, 4 * PAGE);
  eq("MADV_DONTNEED", SYS(madvise, p + PAGE, PAGE, MADV_DONTNEED), 0);
  ok("gives zero pages", p[0] == 9 && allBytes(p + PAGE, PAGE, 0) && p[2 * PAGE] == 9);
  eq("MADV_WILLNEED", SYS(madvise, p, 4 * PAGE, MADV_WILLNEED), 0);
  errIs("odd address", SYS(madvise, p + 1, PAGE, MADV_DONTNEED), EINVAL);
  errIs("unknown advice", SYS(madvise, p, PAGE, 9999), EINVAL);
  long fd = newFile("f", PAGE);
  u8 *f = (u8 *)mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0);
  f[0] = 'X';
  SYS(madvise, f, PAGE, MADV_DONTNEED);
  eq("a private file page shows the file again", f[0], 'a');
}

static void big(void) {
  // 64 MiB touched sparsely in the parent and in four children at once.
  u8 *p = map(16384, RW, PRIV);
  for (usize i = 0; i < 16384; i += 16) p[i * PAGE] = (u8)(i / 16);
  int right = 1;
  for (int c = 0; c < 4; c++)
    if (fork() == 0) {
      int same = 1;
      for (usize i = 0; i < 16384; i += 16) same &= p[i * PAGE] == (u8)(i / 16), p[i * PAGE + 1] = (u8)c;
      for (usize i = 0; i < 16384; i += 16) same &= p[i * PAGE + 1] == c;
      exit_group(same ? 0 : 1);
    }
  for (int st, c = 0; c < 4; c++) right &= wait4(-1, &st, 0, 0) > 0 && st == 0;
  ok("sparse memory in five processes", right && p[1] == 0);
}

static const struct section all[] = {
    {"anonymous", anonymous}, {"cow", copyOnWrite},   {"shared-anon", sharedAnonymous}, {"shared-file", sharedFile},
    {"private-file", privateFile}, {"beyond-end", beyondEnd}, {"protect", protect},     {"rewrite-code", rewriteCode},
    {"unmap", unmap},         {"brk", breakPointer},  {"mremap", remap},                {"madvise", advise},
    {"big", big},
};
SECTIONS("memory", all)
