// System-call microbenchmarks: `syscalls NAME [ITERATIONS]` prints "NAME ITERATIONS NS" with the nanoseconds of
// one operation, by clock_gettime around the whole loop. Without a name: all, with their usual iterations.
// `syscalls fork-exec` executes the program `hello-exit` that lies beside it (argv[0] must be a path).
#include "../../test/guest/lib/rt.h"

static char *self;

static void nullCall(long n) {
  for (long i = 0; i < n; i++) getppid();
}
static void readZero(long n) {
  long fd = open("/dev/zero", O_RDONLY, 0);
  u8 b;
  for (long i = 0; i < n; i++) read(fd, &b, 1);
  close(fd);
}
static void writeNull(long n) {
  long fd = open("/dev/null", O_WRONLY, 0);
  u8 b = 0;
  for (long i = 0; i < n; i++) write(fd, &b, 1);
  close(fd);
}
static void pipeByte(long n) {
  int p[2];
  u8 b = 0;
  pipe2(p, 0);
  for (long i = 0; i < n; i++) write(p[1], &b, 1), read(p[0], &b, 1);
  close(p[0]);
  close(p[1]);
}
static void pipeRoundTrip(long n) {
  int there[2], back[2];
  u8 b = 0;
  pipe2(there, 0);
  pipe2(back, 0);
  long pid = fork();
  if (pid == 0) {
    close(there[1]);
    while (read(there[0], &b, 1) == 1) write(back[1], &b, 1);
    exit_group(0);
  }
  for (long i = 0; i < n; i++) write(there[1], &b, 1), read(back[0], &b, 1);
  close(there[1]);
  waitStatus(pid);
  close(there[0]);
  close(back[0]);
  close(back[1]);
}
static void forkExit(long n) {
  for (long i = 0; i < n; i++) {
    long pid = fork();
    if (pid == 0) exit_group(0);
    waitStatus(pid);
  }
}
static void forkExec(long n) {
  char path[512];
  strcpy(path, self);
  char *slash = path;
  for (char *p = path; *p; p++)
    if (*p == '/') slash = p + 1;
  strcpy(slash, "hello-exit");
  char *args[] = {path, 0}, *env[] = {0};
  for (long i = 0; i < n; i++) {
    long pid = fork();
    if (pid == 0) {
      execve(path, args, env);
      exit_group(127);
    }
    int st = waitStatus(pid);
    if (st != 0) {
      print("fork-exec: %s ended with status %d\n", path, st);
      exit_group(1);
    }
  }
}
static void clockRead(long n) {
  struct timespec t;
  for (long i = 0; i < n; i++) SYS(clock_gettime, CLOCK_MONOTONIC, &t);
}
static void openClose(long n) {
  for (long i = 0; i < n; i++) close(open("/dev/null", O_RDONLY, 0));
}
static void pageFault(long n) {
  while (n > 0) {
    long k = n < 4096 ? n : 4096;
    u8 *p = (u8 *)mmap(0, k * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < k; i++) p[i * 4096] = 1;
    munmap(p, k * 4096);
    n -= k;
  }
}

static const struct {
  const char *name;
  void (*run)(long);
  long iterations;
} benches[] = {
    {"null-call", nullCall, 1000000},      {"read-zero", readZero, 500000},   {"write-null", writeNull, 500000},
    {"pipe-byte", pipeByte, 300000},       {"pipe-trip", pipeRoundTrip, 30000}, {"fork-exit", forkExit, 1000},
    {"fork-exec", forkExec, 500},          {"clock-read", clockRead, 500000}, {"open-close", openClose, 100000},
    {"page-fault", pageFault, 50000},
};

int main(int argc, char **argv) {
  self = argv[0];
  int found = 0;
  for (usize i = 0; i < sizeof benches / sizeof benches[0]; i++) {
    if (argc > 1 && strcmp(argv[1], benches[i].name)) continue;
    long n = argc > 2 ? parseInt(argv[2]) : benches[i].iterations;
    benches[i].run(n / 10 + 1);
    i64 t0 = nowNs();
    benches[i].run(n);
    i64 t1 = nowNs();
    print("%s %ld %ld\n", benches[i].name, n, (t1 - t0) / (n ? n : 1));
    found = 1;
  }
  if (!found) print("syscalls: no such benchmark\n");
  return !found;
}
