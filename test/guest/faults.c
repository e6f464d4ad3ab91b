// Faults: the exact signal, code and address for bad accesses; illegal instructions; breakpoints; misaligned
// access; arithmetic that must not trap.
#include "lib/rt.h"

#define PAGE 4096UL

static void segments(void) {
  u8 *p = (u8 *)mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(p + PAGE, PAGE);
  eq("load from null", probeLoad(0), SIGSEGV);
  ok("MAPERR at 0", probeCode == SEGV_MAPERR && probeAddr == 0);
  eq("load from a small address", probeLoad((void *)0x123), SIGSEGV);
  ok("MAPERR at it", probeCode == SEGV_MAPERR && probeAddr == (void *)0x123);
  eq("store to an unmapped page", probeStore(p + PAGE + 0x456), SIGSEGV);
  ok("MAPERR at the exact byte", probeCode == SEGV_MAPERR && probeAddr == p + PAGE + 0x456);
  eq("store into the program text", probeStore((void *)segments), SIGSEGV);
  ok("ACCERR", probeCode == SEGV_ACCERR && probeAddr == (void *)segments);
  eq("text can be read", probeLoad((void *)segments), 0);
  eq("store into constants", probeStore((void *)"constant"), SIGSEGV);
  eq("ACCERR too", probeCode, SEGV_ACCERR);
  eq("jump to null", probeCall(0), SIGSEGV);
  ok("MAPERR at 0 for the jump", probeCode == SEGV_MAPERR && probeAddr == 0);
  eq("jump into data", probeCall(p), SIGSEGV);
  ok("ACCERR for the jump", probeCode == SEGV_ACCERR && probeAddr == p);
  eq("jump to the stack", probeCall((void *)&p), SIGSEGV);
  // The last byte below the end of user addresses.
  eq("a high user address", probeLoad((void *)0x3ffffff000), SIGSEGV);
}

static void illegal(void) {
  u8 *p = (u8 *)mmap(0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#if defined(__riscv)
  ((u16 *)p)[0] = 0;            // the defined illegal instruction
  ((u32 *)p)[1] = 0xffffffff;   // all ones
  ((u32 *)p)[2] = 0x10200073;   // sret: privileged
  ((u32 *)p)[3] = 0x30002573;   // csrr a0, mstatus
  ((u32 *)p)[4] = 0xc0001573;   // csrrw to a read-only counter
  ((u16 *)p)[10] = 0x9002;      // c.ebreak
  ((u32 *)p)[6] = 0x00100073;   // ebreak
  SYS(riscv_flush_icache, p, p + PAGE, 0);
  static const char *const names[] = {"zero", "all ones", "sret", "a machine register", "a write to a counter"};
  for (int i = 0; i < 5; i++) {
    u8 *at = p + 4 * i;
    int sig = probeCall(at);
    eq(names[i], sig, SIGILL);
    ok("ILL_ILLOPC at it", probeCode == ILL_ILLOPC && probeAddr == at);
  }
  eq("c.ebreak", probeCall(p + 20), SIGTRAP);
  ok("TRAP_BRKPT at it", probeCode == TRAP_BRKPT && probeAddr == p + 20);
  eq("ebreak", probeCall(p + 24), SIGTRAP);
  ok("TRAP_BRKPT at it too", probeCode == TRAP_BRKPT && probeAddr == p + 24);
#else
  (void)p;
  note("only on riscv64");
#endif
}

static int plainTrap(void) {
  __builtin_trap();
}
static int plainNull(void) { return *(volatile int *)4; }
static void deaths(void) {
  statusIs("null pointer", childStatus(plainNull), SIGSEGV);
#if defined(__riscv)
  statusIs("a trap", childStatus(plainTrap), SIGTRAP);
#else
  (void)plainTrap;
#endif
}

static int blockedFault(void) {
  setMask(BIT(SIGSEGV));
  return plainNull();
}
static int ignoredFault(void) {
  handle(SIGSEGV, SIG_IGN, 0, 0);
  return plainNull();
}
static void again(int sig) { *(volatile int *)4 = 1; }
static int faultInHandler(void) {
  handle(SIGSEGV, again, 0, 0);
  return plainNull();
}
static void forced(void) {
  statusIs("a blocked SIGSEGV kills", childStatus(blockedFault), SIGSEGV);
  statusIs("an ignored one too", childStatus(ignoredFault), SIGSEGV);
  statusIs("and one in its own handler", childStatus(faultInHandler), SIGSEGV);
}

static void misaligned(void) {
  u8 *m = (u8 *)mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int right = 1;
  for (int off = 0; off < 16; off++) {
    u8 *p = m + PAGE - 8 + off;
    *(volatile u64 *)p = 0x1122334455667788UL + off;
    right &= *(volatile u64 *)p == 0x1122334455667788UL + off && p[0] == 0x88 + off && p[7] == 0x11;
    *(volatile u32 *)p = 0xa1b2c3d4;
    right &= *(volatile u32 *)p == 0xa1b2c3d4;
    *(volatile u16 *)p = 0xbeef;
    right &= *(volatile u16 *)p == 0xbeef && p[2] == 0xb2;
    *(volatile double *)p = 1.5 + off;
    right &= *(volatile double *)p == 1.5 + off;
  }
  ok("loads and stores at every offset, also over pages", right);
}

static void arithmetic(void) {
#if defined(__riscv)
  volatile long a = 7, z = 0, min = (long)(1UL << 63), m1 = -1;
  long q, r;
  __asm__ volatile("div %0, %2, %3\nrem %1, %2, %3" : "=&r"(q), "=&r"(r) : "r"(a), "r"(z));
  ok("division by zero", q == -1 && r == 7);
  __asm__ volatile("div %0, %2, %3\nrem %1, %2, %3" : "=&r"(q), "=&r"(r) : "r"(min), "r"(m1));
  ok("division overflow", q == min && r == 0);
  __asm__ volatile("divu %0, %2, %3\nremu %1, %2, %3" : "=&r"(q), "=&r"(r) : "r"(a), "r"(z));
  ok("unsigned division by zero", q == -1 && r == 7);
#else
  ok("division by zero", 1);
  ok("division overflow", 1);
  ok("unsigned division by zero", 1);
#endif
  volatile double d = 1.0, dz = 0.0;
  union {
    double d;
    u64 u;
  } x;
  x.d = d / dz;
  ok("floating-point division by zero", x.u == 0x7ff0000000000000UL);
  x.d = dz / dz;
  ok("a NaN", (x.u & 0x7ff8000000000000UL) == 0x7ff8000000000000UL);
}

static const struct section all[] = {
    {"segments", segments}, {"illegal", illegal},       {"deaths", deaths},
    {"forced", forced},     {"misaligned", misaligned}, {"arithmetic", arithmetic},
};
SECTIONS("faults", all)
