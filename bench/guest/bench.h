// The frame of the CPU programs. `PROGRAM [SIZE [RUNS]]` does its work RUNS times (1) on inputs made from SIZE
// alone, and prints the checksum of one run on stdout: the same on every machine. Every run must give the same
// checksum. The time of each run goes to stderr ("run 1: 123456 ns"), so the first shows a cold start.
#pragma once
#include "../../test/guest/lib/rt.h"

u64 work(long size);

/// xorshift64*: the inputs of all programs.
static inline u64 nextRandom(u64 *state) {
  u64 x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * 0x2545F4914F6CDD1DUL;
}

static inline void *take(usize n) {
  return (void *)mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static inline void give(void *p, usize n) { munmap(p, n); }

static inline int runBench(const char *name, long size, int argc, char **argv) {
  if (argc > 1) size = parseInt(argv[1]);
  long runs = argc > 2 ? parseInt(argv[2]) : 1;
  u64 sum = 0;
  for (long i = 0; i < runs; i++) {
    i64 t0 = nowNs();
    u64 s = work(size);
    i64 t1 = nowNs();
    char line[64];
    int n = format(line, sizeof line, "run %ld: %ld ns\n", i + 1, t1 - t0);
    write(2, line, n);
    if (i && s != sum) {
      print("%s: run %ld differs\n", name, i + 1);
      return 1;
    }
    sum = s;
  }
  print("%s %ld %016lx\n", name, size, sum);
  return 0;
}
#define BENCH(name, size) \
  int main(int argc, char **argv) { return runBench(name, size, argc, argv); }
