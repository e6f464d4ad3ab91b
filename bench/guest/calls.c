// Recursion and calls: Fibonacci, Ackermann and a walk through function pointers. Almost no memory but stack.
#include "bench.h"

static __attribute__((noinline)) u64 fib(u64 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static __attribute__((noinline)) u64 ack(u64 m, u64 n) {
  if (m == 0) return n + 1;
  return n == 0 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1));
}

typedef u64 (*step)(u64);
static __attribute__((noinline)) u64 rotate(u64 x) { return x << 7 | x >> 57; }
static __attribute__((noinline)) u64 scramble(u64 x) { return x * 0x9E3779B97F4A7C15UL; }
static __attribute__((noinline)) u64 fold(u64 x) { return x ^ x >> 31; }
static __attribute__((noinline)) u64 offset(u64 x) { return x + 0x632BE59BD9B4E019UL; }
static step volatile steps[4] = {rotate, scramble, fold, offset};

u64 work(long size) {
  u64 sum = fib(size) + ack(2, 40 * size) + ack(3, 6);
  u64 x = 1;
  for (long i = 0; i < size * 20000; i++) x = steps[x & 3](x) + i;
  return sum ^ x;
}
BENCH("calls", 32)
