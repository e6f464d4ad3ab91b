// The runtime of the guest programs: entry point, strings, a small printf, verdicts, and the frame in which
// the sections of a program run. A program prints verdicts only, never pids, times or addresses:
//
//     ok pipe/eof
//     FAIL pipe/epipe: got EAGAIN want EPIPE
//     9 ok, 1 failed
//
// Each section runs in a child of its own, so that a crash in one leaves the rest; `-n` as first argument runs
// them in the program's own process (for a kernel that cannot fork yet). Further arguments choose sections.
#pragma once
#include "sys.h"

void *memcpy(void *d, const void *s, usize n);
void *memmove(void *d, const void *s, usize n);
void *memset(void *d, int c, usize n);
int memcmp(const void *a, const void *b, usize n);
usize strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, usize n);
char *strcpy(char *d, const char *s);
char *strcat(char *d, const char *s);
char *strstr(const char *h, const char *n);
long parseInt(const char *s);

/// %d %u %x %o (each also with l), %s, %c, %%, zero padding and width.
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int format(char *out, usize cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/// Verdicts. `errIs` names errors; `eq` prints numbers.
int ok(const char *name, int holds);
int eq(const char *name, long got, long want);
int errIs(const char *name, long got, int wantErrno);
int eqStr(const char *name, const char *got, const char *want);
int statusIs(const char *name, int got, int want);
/// A line that says why something could not be judged; it counts neither way.
void note(const char *text);
const char *errnoName(long e);

struct section {
  const char *name;
  void (*run)(void);
};
int runSections(const char *program, const struct section *s, int n, int argc, char **argv);
#define SECTIONS(program, list) \
  int main(int argc, char **argv) { \
    return runSections(program, list, sizeof(list) / sizeof(list[0]), argc, argv); \
  }

extern char **environ;
extern u64 *auxv;
u64 auxValue(u64 type);

/// argv[0]: the path by which a program can execute itself.
extern char *selfPath;

/// Touches one byte and says what happened: 0, or the signal (SIGSEGV, SIGBUS, SIGILL, SIGTRAP), with its
/// si_code and si_addr in probeCode and probeAddr.
int probeLoad(const void *p);
int probeStore(void *p);
/// Calls p as a function without arguments.
int probeCall(const void *p);
extern int probeCode;
extern void *probeAddr;

struct thread {
  u32 tid;
  u8 *stack;
};
#define THREAD_FLAGS \
  (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID | \
   CLONE_CHILD_CLEARTID | CLONE_SETTLS)
int startThread(struct thread *t, int (*fn)(void *), void *arg);
void joinThread(struct thread *t);

/// Forks, runs fn in the child, returns the raw wait status.
int childStatus(int (*fn)(void));
/// Forks and runs fn(arg) in the child without waiting.
long spawnChild(int (*fn)(long), long arg);
int waitStatus(long pid);
void sleepMs(long ms);
i64 nowNs(void);
/// Installs a handler; flags as in SA_*.
long handle(int sig, void *handler, u64 flags, mask_t mask);
mask_t setMask(mask_t m);
void writeFile(const char *path, const char *text);
/// Reads a whole small file as a string; "" if it cannot be opened.
const char *readFile(const char *path);
/// Anonymous shared memory, zeroed.
void *shared(usize n);
void *stackTop(usize n);
/// Waits until *p != 0, at most two seconds.
int waitFor(volatile int *p);
