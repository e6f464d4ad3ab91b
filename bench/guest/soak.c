// Long and many: what tools/soak.ts runs between two counts of everything that a machine holds. Each mode
// checks what it does and ends with status 0 only if all of it came out right.
//
//   soak cycles N         fork, exec, exit, wait, N times
//   soak threads N        N threads, made and joined one after the other
//   soak maps N           N rounds of mmap, touch, mprotect, munmap in two threads at once
//   soak alive N          N processes alive at once, each heard from twice
//   soak alive-threads N  N threads alive at once
//   soak file MEGABYTES   a file written, read back and summed, in the current directory
#include "../../test/guest/lib/rt.h"

static int fail(const char *what, long got) {
  print("FAIL %s: %ld\n", what, got);
  exit_group(1);
}

static void cycles(long n) {
  char *args[] = {selfPath, "leave", 0}, *env[] = {0};
  for (long i = 0; i < n; i++) {
    long pid = fork();
    if (pid < 0) fail("fork", pid);
    if (pid == 0) {
      execve(selfPath, args, env);
      exit_group(127);
    }
    int status = waitStatus(pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) fail("status", status);
  }
}

static volatile long counted;
static int count(void *arg) {
  __atomic_add_fetch(&counted, (long)arg, __ATOMIC_SEQ_CST);
  return 0;
}

// One stack for all: rt.c's own threads take a new one each.
static void threads(long n) {
  u8 *top = (u8 *)stackTop(65536);
  static u32 tid;
  for (long i = 0; i < n; i++) {
    tid = 1;
    long made = clone_fn(count, (void *)1, THREAD_FLAGS, top, &tid, top - 65536, &tid);
    if (made < 0) fail("clone", made);
    for (u32 v; (v = __atomic_load_n(&tid, __ATOMIC_ACQUIRE)) != 0;) futex(&tid, FUTEX_WAIT, v, 0, 0, 0);
  }
  if (counted != n) fail("threads that ran", counted);
}

static int mapRounds(void *arg) {
  for (long i = 0; i < (long)arg; i++) {
    const usize pages = 1 + i % 61;
    u8 *p = (u8 *)mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (IS_ERR(p)) fail("mmap", (long)p);
    for (usize k = 0; k < pages; k++) p[k * 4096] = (u8)(i + k);
    long e = mprotect(p, pages * 4096, PROT_READ);
    if (e) fail("mprotect", e);
    for (usize k = 0; k < pages; k++)
      if (p[k * 4096] != (u8)(i + k)) fail("a byte of a page", (long)k);
    e = munmap(p, pages * 4096);
    if (e) fail("munmap", e);
  }
  count((void *)1);
  return 0;
}
static void maps(long n) {
  struct thread one, two;
  if (!startThread(&one, mapRounds, (void *)n) || !startThread(&two, mapRounds, (void *)n)) fail("clone", 0);
  joinThread(&one);
  joinThread(&two);
  if (counted != 2) fail("threads that ended well", counted);
}

static void alive(long n) {
  int up[2], down[2];
  u8 b = 0;
  pipe2(up, 0);
  pipe2(down, 0);
  for (long i = 0; i < n; i++) {
    long pid = fork();
    if (pid < 0) fail("fork", pid);
    if (pid == 0) {
      close(down[1]);
      write(up[1], &b, 1);
      read(down[0], &b, 1);
      exit_group(3);
    }
  }
  for (long i = 0; i < n; i++)
    if (read(up[0], &b, 1) != 1) fail("a process that is heard from", i);
  close(down[1]);
  for (long i = 0; i < n; i++) {
    int status = 0;
    long pid = wait4(-1, &status, 0, 0);
    if (pid <= 0 || WEXITSTATUS(status) != 3) fail("wait", pid);
  }
}

static u32 gate;
static int waitAtGate(void *arg) {
  count(arg);
  while (__atomic_load_n(&gate, __ATOMIC_ACQUIRE) == 0) futex(&gate, FUTEX_WAIT, 0, 0, 0, 0);
  return 0;
}
static void aliveThreads(long n) {
  static struct thread made[1024];
  if (n > 1024) fail("at most 1024 threads", n);
  for (long i = 0; i < n; i++)
    if (!startThread(&made[i], waitAtGate, (void *)1)) fail("clone", i);
  while (counted != n) sched_yield();
  __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
  futex(&gate, FUTEX_WAKE, 0x7fffffff, 0, 0, 0);
  for (long i = 0; i < n; i++) joinThread(&made[i]);
}

static u64 words[65536 / 8];
static void file(long megabytes) {
  long fd = open("soak-file", O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) fail("open", fd);
  u64 state = 0x9e3779b97f4a7c15, sum = 0;
  for (long i = 0; i < megabytes * 16; i++) {
    for (usize k = 0; k < sizeof words / 8; k++) {
      state = state * 6364136223846793005 + 1442695040888963407;
      words[k] = state;
      sum += state;
    }
    long put = write(fd, words, sizeof words);
    if (put != (long)sizeof words) fail("write", put);
  }
  lseek(fd, 0, 0);
  for (long i = 0; i < megabytes * 16; i++) {
    long got = read(fd, words, sizeof words);
    if (got != (long)sizeof words) fail("read", got);
    for (usize k = 0; k < sizeof words / 8; k++) sum -= words[k];
  }
  if (sum != 0) fail("the sum of what was read differs", 1);
  if (read(fd, words, 1) != 0) fail("more than was written", 1);
  close(fd);
  unlink("soak-file");
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "leave") == 0) return 7;
  static const struct {
    const char *name;
    void (*run)(long);
  } modes[] = {{"cycles", cycles}, {"threads", threads},           {"maps", maps},
               {"alive", alive},   {"alive-threads", aliveThreads}, {"file", file}};
  for (usize i = 0; argc == 3 && i < sizeof modes / sizeof modes[0]; i++) {
    if (strcmp(argv[1], modes[i].name) != 0) continue;
    modes[i].run(parseInt(argv[2]));
    print("ok %s %s\n", argv[1], argv[2]);
    return 0;
  }
  print("usage: soak cycles|threads|maps|alive|alive-threads|file N\n");
  return 2;
}
