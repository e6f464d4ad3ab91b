// Grows and shrinks the heap with brk, maps and unmaps memory, and touches every page of both.
#include "../lib/rt.h"

static int bssZero(void) {
  static u8 bss[40000];
  for (usize i = 0; i < sizeof bss; i++)
    if (bss[i]) return 0;
  return 1;
}

static int pages(u8 *p, int n) {
  for (int i = 0; i < n; i++)
    if (p[i * 4096]) return 0;
  for (int i = 0; i < n; i++) p[i * 4096 + i % 4096] = (u8)(i + 1);
  for (int i = 0; i < n; i++)
    if (p[i * 4096 + i % 4096] != (u8)(i + 1)) return 0;
  return 1;
}

int main(void) {
  ok("bss is zero", bssZero());
  u64 base = (u64)brk(0);
  ok("brk grows", (u64)brk(base + 256 * 4096) == base + 256 * 4096);
  ok("heap pages", pages((u8 *)((base + 4095) & ~4095UL), 255));
  ok("brk shrinks", (u64)brk(base) == base);
  ok("brk grows again", (u64)brk(base + 8192) == base + 8192);
  ok("the new pages are zero", *(u8 *)((base + 8191) & ~4095UL) == 0);
  u8 *m = (u8 *)mmap(0, 512 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ok("mmap", !IS_ERR(m) && ((u64)m & 4095) == 0);
  ok("mapped pages", pages(m, 512));
  eq("munmap", munmap(m, 512 * 4096), 0);
  errIs("munmap of an odd address", munmap(m + 1, 4096), EINVAL);
  errIs("mmap of nothing", mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
  volatile u8 deep[200000];
  for (int i = 0; i < 200000; i += 512) deep[i] = 1;
  ok("the stack grows", deep[0] == 1);
  return 0;
}
