#include "rt.h"

char **environ;
u64 *auxv;
char *selfPath;
int probeCode;
void *probeAddr;
static const char *section = "";
static int okCount, failCount;

int main(int argc, char **argv);

#if defined(__riscv)
__asm__(
    ".globl _start\n_start:\n"
    ".option push\n.option norelax\nla gp, __global_pointer$\n.option pop\n"
    "mv a0, sp\nandi sp, sp, -16\ncall startC\n");
__asm__(
    ".globl clone_fn\nclone_fn:\n"
    "addi a3, a3, -16\nsd a0, 0(a3)\nsd a1, 8(a3)\n"
    "mv a0, a2\nmv a1, a3\nmv a2, a4\nmv a3, a5\nmv a4, a6\nli a7, 220\necall\n"
    "bnez a0, 1f\n"
    "ld a5, 0(sp)\nld a0, 8(sp)\njalr a5\nli a7, 93\necall\n"
    "1: ret\n");
#else
__asm__(".globl _start\n_start:\nmov %rsp, %rdi\nand $-16, %rsp\ncall startC\n");
__asm__(
    ".globl clone_fn\nclone_fn:\n"
    "and $-16, %rcx\nsub $16, %rcx\nmov %rdi, (%rcx)\nmov %rsi, 8(%rcx)\n"
    "mov %rdx, %rdi\nmov %rcx, %rsi\nmov %r8, %rdx\nmov 8(%rsp), %r10\nmov %r9, %r8\nmov $56, %eax\nsyscall\n"
    "test %rax, %rax\njnz 1f\n"
    "pop %rax\npop %rdi\ncall *%rax\nmov %rax, %rdi\nmov $60, %eax\nsyscall\n"
    "1: ret\n");
__asm__(".globl restoreRt\nrestoreRt:\nmov $15, %eax\nsyscall\n");
void restoreRt(void);
#endif

__attribute__((used)) void startC(u64 *sp) {
  int argc = (int)sp[0];
  char **argv = (char **)(sp + 1);
  environ = argv + argc + 1;
  char **e = environ;
  while (*e) e++;
  auxv = (u64 *)(e + 1);
  selfPath = argv[0];
  exit_group(main(argc, argv));
}

u64 auxValue(u64 type) {
  for (u64 *a = auxv; a[0] != AT_NULL; a += 2)
    if (a[0] == type) return a[1];
  return 0;
}

void *memcpy(void *d, const void *s, usize n) {
  u8 *a = d;
  const u8 *b = s;
  if ((((u64)a | (u64)b) & 7) == 0)
    for (; n >= 8; n -= 8, a += 8, b += 8) *(u64 __attribute__((may_alias)) *)a = *(const u64 __attribute__((may_alias)) *)b;
  while (n--) *a++ = *b++;
  return d;
}
void *memmove(void *d, const void *s, usize n) {
  u8 *a = d;
  const u8 *b = s;
  if (a < b) while (n--) *a++ = *b++;
  else while (n--) a[n] = b[n];
  return d;
}
void *memset(void *d, int c, usize n) {
  u8 *a = d;
  while (n--) *a++ = (u8)c;
  return d;
}
int memcmp(const void *a, const void *b, usize n) {
  const u8 *x = a, *y = b;
  for (; n--; x++, y++)
    if (*x != *y) return *x - *y;
  return 0;
}
usize strlen(const char *s) {
  usize n = 0;
  while (s[n]) n++;
  return n;
}
int strcmp(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return (u8)*a - (u8)*b;
}
int strncmp(const char *a, const char *b, usize n) {
  for (; n--; a++, b++) {
    if (*a != *b) return (u8)*a - (u8)*b;
    if (!*a) break;
  }
  return 0;
}
char *strcpy(char *d, const char *s) {
  memcpy(d, s, strlen(s) + 1);
  return d;
}
char *strcat(char *d, const char *s) {
  strcpy(d + strlen(d), s);
  return d;
}
char *strstr(const char *h, const char *n) {
  usize k = strlen(n);
  for (; *h; h++)
    if (!strncmp(h, n, k)) return (char *)h;
  return k ? NULL : (char *)h;
}
long parseInt(const char *s) {
  long v = 0;
  int neg = *s == '-';
  if (neg) s++;
  while (*s >= '0' && *s <= '9') v = v * 10 + (*s++ - '0');
  return neg ? -v : v;
}

static const struct {
  short number;
  char name[14];
} errnoNames[] = {
#define E(x) {x, #x},
    E(EPERM) E(ENOENT) E(ESRCH) E(EINTR) E(EIO) E(ENXIO) E(E2BIG) E(ENOEXEC) E(EBADF) E(ECHILD) E(EAGAIN) E(ENOMEM)
    E(EACCES) E(EFAULT) E(ENOTBLK) E(EBUSY) E(EEXIST) E(EXDEV) E(ENODEV) E(ENOTDIR) E(EISDIR) E(EINVAL) E(ENFILE)
    E(EMFILE) E(ENOTTY) E(ETXTBSY) E(EFBIG) E(ENOSPC) E(ESPIPE) E(EROFS) E(EMLINK) E(EPIPE) E(EDOM) E(ERANGE)
    E(EDEADLK) E(ENAMETOOLONG) E(ENOLCK) E(ENOSYS) E(ENOTEMPTY) E(ELOOP) E(EOVERFLOW) E(EOPNOTSUPP) E(ETIMEDOUT)
    E(ELIBBAD) E(ENODATA) E(ENOTSOCK)
#undef E
};

/// The name of an errno (positive or as a negative result); results that are no error print as "success".
const char *errnoName(long e) {
  if (e < 0) e = -e;
  else if (e >= 4096) return "success";
  for (usize i = 0; i < sizeof errnoNames / sizeof errnoNames[0]; i++)
    if (errnoNames[i].number == e) return errnoNames[i].name;
  return e == 0 ? "success" : "errno?";
}

struct sink {
  char *out;
  usize cap, n;
};
static void put(struct sink *s, char c) {
  if (s->n + 1 < s->cap) s->out[s->n++] = c;
}
static void putNumber(struct sink *s, u64 v, u32 base, int width, char pad, int neg) {
  char digits[24];
  int n = 0;
  do digits[n++] = "0123456789abcdef"[v % base];
  while (v /= base);
  if (neg) digits[n++] = '-';
  while (width-- > n) put(s, pad);
  while (n) put(s, digits[--n]);
}
static int vformat(char *out, usize cap, const char *f, __builtin_va_list ap) {
  struct sink s = {out, cap, 0};
  for (; *f; f++) {
    if (*f != '%') {
      put(&s, *f);
      continue;
    }
    f++;
    char pad = *f == '0' ? '0' : ' ';
    int width = 0, isLong = 0;
    while (*f >= '0' && *f <= '9') width = width * 10 + (*f++ - '0');
    while (*f == 'l') isLong = 1, f++;
    switch (*f) {
      case 'd': {
        long v = isLong ? __builtin_va_arg(ap, long) : __builtin_va_arg(ap, int);
        putNumber(&s, v < 0 ? -(u64)v : (u64)v, 10, width, pad, v < 0);
        break;
      }
      case 'u':
      case 'x':
      case 'o': {
        u64 v = isLong ? __builtin_va_arg(ap, u64) : __builtin_va_arg(ap, u32);
        putNumber(&s, v, *f == 'u' ? 10 : *f == 'x' ? 16 : 8, width, pad, 0);
        break;
      }
      case 's': {
        const char *t = __builtin_va_arg(ap, const char *);
        int n = (int)strlen(t);
        while (*t) put(&s, *t++);
        while (n++ < width) put(&s, ' ');
        break;
      }
      case 'c': put(&s, (char)__builtin_va_arg(ap, int)); break;
      default: put(&s, *f);
    }
  }
  out[s.n] = 0;
  return (int)s.n;
}
int format(char *out, usize cap, const char *f, ...) {
  __builtin_va_list ap;
  __builtin_va_start(ap, f);
  int n = vformat(out, cap, f, ap);
  __builtin_va_end(ap);
  return n;
}
void print(const char *f, ...) {
  char line[1024];
  __builtin_va_list ap;
  __builtin_va_start(ap, f);
  int n = vformat(line, sizeof line, f, ap);
  __builtin_va_end(ap);
  for (int done = 0; done < n;) {
    long w = write(1, line + done, n - done);
    if (w == -EINTR) continue;
    if (w <= 0) break;
    done += w;
  }
}

static int good(const char *name) {
  okCount++;
  print("ok %s%s%s\n", section, *section ? "/" : "", name);
  return 1;
}
static int bad(const char *name, const char *why) {
  failCount++;
  print("FAIL %s%s%s%s%s\n", section, *section ? "/" : "", name, *why ? ": " : "", why);
  return 0;
}
int ok(const char *name, int holds) { return holds ? good(name) : bad(name, ""); }
int eq(const char *name, long got, long want) {
  if (got == want) return good(name);
  char why[96];
  if (got < 0 && got > -4096) format(why, sizeof why, "got %s want %ld", errnoName(got), want);
  else format(why, sizeof why, "got %ld want %ld", got, want);
  return bad(name, why);
}
int errIs(const char *name, long got, int want) {
  if (got == -want) return good(name);
  char why[96];
  if (got < 0 && got > -4096) format(why, sizeof why, "got %s want %s", errnoName(got), errnoName(want));
  else format(why, sizeof why, "got success want %s", errnoName(want));
  return bad(name, why);
}
int eqStr(const char *name, const char *got, const char *want) {
  if (!strcmp(got, want)) return good(name);
  char why[400];
  format(why, sizeof why, "got \"%s\" want \"%s\"", got, want);
  return bad(name, why);
}
static void describe(char *out, usize cap, int st) {
  if (WIFSTOPPED(st)) format(out, cap, "stopped by %d", WSTOPSIG(st));
  else if (WIFCONTINUED(st)) format(out, cap, "continued");
  else if (WIFEXITED(st)) format(out, cap, "exit %d", WEXITSTATUS(st));
  else format(out, cap, "signal %d", WTERMSIG(st));
}
/// Compares wait statuses; whether a core was dumped is the host's configuration, so that bit is ignored.
int statusIs(const char *name, int got, int want) {
  if (WIFSIGNALED(got)) got &= ~0x80;
  if (got == want) return good(name);
  char why[96], g[32], w[32];
  describe(g, sizeof g, got);
  describe(w, sizeof w, want);
  format(why, sizeof why, "got %s want %s", g, w);
  return bad(name, why);
}
void note(const char *text) { print("note %s%s%s\n", section, *section ? ": " : "", text); }

/// Every section has its own directory, made in the current one.
static void enterScratch(const char *name) {
  mkdir(name, 0755);
  if (chdir(name) < 0) note("no scratch directory");
}

static void runInChild(const struct section *s) {
  int fds[2], counts[2] = {0, 0}, st = 0;
  if (pipe2(fds, O_CLOEXEC) < 0) {
    bad("pipe", "the frame needs pipe2");
    return;
  }
  long pid = fork();
  if (pid == 0) {
    close(fds[0]);
    // A descriptor number that no section uses.
    dup3(fds[1], 900, O_CLOEXEC);
    close(fds[1]);
    section = s->name;
    okCount = failCount = 0;
    struct __kernel_old_itimerval limit = {{0, 0}, {30, 0}};
    SYS(setitimer, 0, &limit, 0);
    enterScratch(s->name);
    s->run();
    counts[0] = okCount;
    counts[1] = failCount;
    write(900, counts, sizeof counts);
    exit_group(0);
  }
  close(fds[1]);
  // The child's end comes first: a process it left behind may still hold the pipe.
  wait4(pid, &st, 0, 0);
  fcntl(fds[0], F_SETFL, O_NONBLOCK);
  long n = read(fds[0], counts, sizeof counts);
  close(fds[0]);
  if (n == (long)sizeof counts) {
    okCount += counts[0];
    failCount += counts[1];
    return;
  }
  char how[32], why[64];
  describe(how, sizeof how, st & ~0x80);
  format(why, sizeof why, "the section ended by %s", how);
  bad(s->name, why);
}

int runSections(const char *program, const struct section *s, int n, int argc, char **argv) {
  (void)program;
  int direct = argc > 1 && !strcmp(argv[1], "-n");
  int first = direct ? 2 : 1;
  for (int i = 0; i < n; i++) {
    int chosen = argc <= first;
    for (int k = first; k < argc; k++) chosen |= !strcmp(argv[k], s[i].name);
    if (!chosen) continue;
    if (direct) {
      section = s[i].name;
      enterScratch(s[i].name);
      s[i].run();
      chdir("..");
      section = "";
    } else
      runInChild(&s[i]);
  }
  print("%d ok, %d failed\n", okCount, failCount);
  return failCount != 0;
}

int childStatus(int (*fn)(void)) {
  long pid = fork();
  if (pid == 0) exit_group(fn());
  return waitStatus(pid);
}
long spawnChild(int (*fn)(long), long arg) {
  long pid = fork();
  if (pid == 0) exit_group(fn(arg));
  return pid;
}
int waitStatus(long pid) {
  int st = -1;
  while (wait4(pid, &st, 0, 0) == -EINTR) {
  }
  return st;
}
void sleepMs(long ms) {
  struct timespec t = {ms / 1000, (ms % 1000) * 1000000};
  while (SYS(nanosleep, &t, &t) == -EINTR) {
  }
}
i64 nowNs(void) {
  struct timespec t;
  SYS(clock_gettime, CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}
long handle(int sig, void *handler, u64 flags, mask_t mask) {
  struct ksigaction a = {.handler = handler, .flags = flags, .mask = mask};
#if defined(__x86_64__)
  a.flags |= 0x04000000;
  a.restorer = (void *)restoreRt;
#endif
  return SYS(rt_sigaction, sig, &a, 0, 8);
}
mask_t setMask(mask_t m) {
  mask_t old = 0;
  SYS(rt_sigprocmask, SIG_SETMASK, &m, &old, 8);
  return old;
}
void writeFile(const char *path, const char *text) {
  long fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  write(fd, text, strlen(text));
  close(fd);
}
const char *readFile(const char *path) {
  static char text[4096];
  long fd = open(path, O_RDONLY, 0), n = 0;
  text[0] = 0;
  if (fd < 0) return text;
  for (long k; (k = read(fd, text + n, sizeof text - 1 - n)) > 0;) n += k;
  text[n] = 0;
  close(fd);
  return text;
}
void *shared(usize n) {
  return (void *)mmap(0, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}
void *stackTop(usize n) {
  return (u8 *)mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + n;
}
int waitFor(volatile int *p) {
  for (int i = 0; i < 2000 && !*p; i++) sleepMs(1);
  return *p;
}

#if defined(__riscv)
__asm__(
    "probeLoadCode: lbu a0, 0(a0)\nli a0, 0\nret\n"
    "probeStoreCode: sb zero, 0(a0)\nli a0, 0\nret\n"
    "probeCallCode: jr a0\n"
    "probeFailed: li a0, 1\nret\n");
#else
__asm__(
    "probeLoadCode: movb (%rdi), %al\nxor %eax, %eax\nret\n"
    "probeStoreCode: movb $0, (%rdi)\nxor %eax, %eax\nret\n"
    "probeCallCode: jmp *%rdi\n"
    "probeFailed: mov $1, %eax\nret\n");
#endif
int probeLoadCode(const void *);
int probeStoreCode(const void *);
int probeCallCode(const void *);
void probeFailed(void);
static volatile int probeSignal;
static void onProbe(int sig, siginfo_t *info, void *context) {
  probeSignal = sig;
  probeCode = info->si_code;
  probeAddr = info->si_addr;
  CTX_PC(context) = (u64)probeFailed;
}
static int probe(int (*code)(const void *), const void *p) {
  static const u8 signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
  struct ksigaction old[sizeof signals];
  for (usize i = 0; i < sizeof signals; i++) {
    SYS(rt_sigaction, signals[i], 0, &old[i], 8);
    handle(signals[i], onProbe, SA_SIGINFO | SA_NODEFER | SA_ONSTACK, 0);
  }
  probeSignal = probeCode = 0;
  probeAddr = NULL;
  code(p);
  for (usize i = 0; i < sizeof signals; i++) SYS(rt_sigaction, signals[i], &old[i], 0, 8);
  return probeSignal;
}
int probeLoad(const void *p) { return probe(probeLoadCode, p); }
int probeStore(void *p) { return probe(probeStoreCode, p); }
int probeCall(const void *p) { return probe(probeCallCode, p); }

int startThread(struct thread *t, int (*fn)(void *), void *arg) {
  t->stack = (u8 *)stackTop(65536);
  t->tid = 1;
  return clone_fn(fn, arg, THREAD_FLAGS, t->stack, &t->tid, t->stack - 65536, &t->tid) > 0;
}
void joinThread(struct thread *t) {
  for (u32 v; (v = __atomic_load_n(&t->tid, __ATOMIC_ACQUIRE)) != 0;) futex(&t->tid, FUTEX_WAIT, v, 0, 0, 0);
}
