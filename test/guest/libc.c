// What programs do through glibc: threads with locals, mutexes and conditions, stdio, malloc, spawn, popen,
// signals and jumps, number formatting, regular expressions, locales, time. Built four ways: static, static PIE,
// dynamic PIE and dynamic non-PIE. Prints verdicts as the other guest programs do.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <fnmatch.h>
#include <glob.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <regex.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

extern char **environ;
static int okCount, failCount;
static char *self;

static void ok(const char *name, int holds) {
  printf("%s %s\n", holds ? "ok" : "FAIL", name);
  if (holds) okCount++;
  else failCount++;
}
static void text(const char *name, const char *got, const char *want) {
  ok(name, !strcmp(got, want));
  if (strcmp(got, want)) printf("  got \"%s\" want \"%s\"\n", got, want);
}

static __thread int local = 7;
static __thread char buffer[100];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn, total, cleaned;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int onces;

static void *locals(void *arg) {
  int fresh = local == 7 && buffer[0] == 0;
  local = (int)(long)arg;
  sprintf(buffer, "%d", local);
  sched_yield();
  return (void *)(long)(fresh && local == (long)arg && atoi(buffer) == local);
}
static void *inTurns(void *arg) {
  int me = (int)(long)arg;
  for (int i = 0; i < 50; i++) {
    pthread_mutex_lock(&mutex);
    while (turn != me) pthread_cond_wait(&changed, &mutex);
    total++;
    turn = (turn + 1) % 4;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}
static void countOnce(void) { onces++; }
static void destroy(void *value) { cleaned += (int)(long)value; }
static void *specific(void *arg) {
  pthread_once(&once, countOnce);
  pthread_setspecific(key, arg);
  return pthread_getspecific(key) == arg ? arg : NULL;
}
static void cleanUp(void *arg) { *(int *)arg = 1; }
static void *cancelled(void *arg) {
  pthread_cleanup_push(cleanUp, arg);
  for (;;) sleep(100);
  pthread_cleanup_pop(0);
  return NULL;
}
static sem_t semaphore;
static void *posting(void *arg) {
  for (int i = 0; i < 20; i++) sem_post(&semaphore);
  return arg;
}
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static long guarded[2];
static void *readers(void *arg) {
  for (long i = 0; i < 500; i++) {
    pthread_rwlock_rdlock(&rwlock);
    if (guarded[0] != guarded[1]) arg = NULL;
    pthread_rwlock_unlock(&rwlock);
  }
  return arg;
}
static void *writers(void *arg) {
  for (long i = 0; i < 500; i++) {
    pthread_rwlock_wrlock(&rwlock);
    guarded[0]++, guarded[1]++;
    pthread_rwlock_unlock(&rwlock);
  }
  return arg;
}

static void threads(void) {
  pthread_t t[8];
  void *r;
  int good = 1;
  for (long i = 0; i < 8; i++) pthread_create(&t[i], NULL, locals, (void *)(i + 100));
  for (int i = 0; i < 8; i++) pthread_join(t[i], &r), good &= r == (void *)1;
  ok("thread locals", good && local == 7);
  for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, inTurns, (void *)i);
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  ok("mutex and condition: four threads in turns", total == 200);
  pthread_key_create(&key, destroy);
  good = 1;
  for (long i = 1; i <= 4; i++) pthread_create(&t[i], NULL, specific, (void *)i);
  for (long i = 1; i <= 4; i++) pthread_join(t[i], &r), good &= r == (void *)i;
  ok("keys and their destructors", good && cleaned == 10);
  ok("once", onces == 1);
  int seen = 0;
  pthread_create(&t[0], NULL, cancelled, &seen);
  usleep(20000);
  pthread_cancel(t[0]);
  pthread_join(t[0], &r);
  ok("cancel", r == PTHREAD_CANCELED && seen);
  sem_init(&semaphore, 0, 0);
  for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, posting, NULL);
  for (int i = 0; i < 60; i++) sem_wait(&semaphore);
  for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
  ok("semaphore", sem_trywait(&semaphore) == -1 && errno == EAGAIN);
  good = 1;
  for (long i = 0; i < 6; i++) pthread_create(&t[i], NULL, i < 2 ? writers : readers, (void *)1);
  for (int i = 0; i < 6; i++) pthread_join(t[i], &r), good &= r == (void *)1;
  ok("read-write lock", good && guarded[0] == 1000);
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  at.tv_nsec += 20000000;
  if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
  pthread_mutex_lock(&mutex);
  ok("timed wait", pthread_cond_timedwait(&changed, &mutex, &at) == ETIMEDOUT);
  pthread_mutex_unlock(&mutex);
  pthread_barrier_t barrier;
  ok("barrier of one", pthread_barrier_init(&barrier, NULL, 1) == 0 && pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD);
  errno = 5;
  pthread_create(&t[0], NULL, posting, NULL);
  pthread_join(t[0], NULL);
  ok("errno belongs to the thread", errno == 5);
}

static void memory(void) {
  unsigned seed = 1;
  char *blocks[300] = {0};
  size_t sizes[300] = {0};
  int good = 1;
  for (int i = 0; i < 30000; i++) {
    seed = seed * 1103515245 + 12345;
    int k = (seed >> 8) % 300;
    if (blocks[k]) {
      for (size_t j = 0; j < sizes[k]; j += 97) good &= blocks[k][j] == (char)k;
      if (seed & 0x10000) {
        free(blocks[k]);
        blocks[k] = NULL;
        continue;
      }
    }
    sizes[k] = (seed >> 12) % (i % 100 == 0 ? 300000 : 2000) + 1;
    blocks[k] = realloc(blocks[k], sizes[k]);
    memset(blocks[k], k, sizes[k]);
  }
  for (int k = 0; k < 300; k++) free(blocks[k]);
  ok("malloc, realloc, free", good);
  char *p = calloc(1 << 20, 1);
  for (int i = 0; i < 1 << 20; i += 4096) good &= p[i] == 0;
  free(p);
  ok("calloc", good);
  p = aligned_alloc(4096, 8192);
  ok("aligned_alloc", ((size_t)p & 4095) == 0);
  free(p);
  ok("too much", malloc((size_t)1 << 60) == NULL && errno == ENOMEM);
}

static void streams(void) {
  FILE *f = fopen("stream.txt", "w+");
  for (int i = 0; i < 1000; i++) fprintf(f, "line %04d %s\n", i, i % 2 ? "odd" : "even");
  fseek(f, 0, SEEK_SET);
  char line[100], word[10];
  int n = 0, number, good = 1;
  while (fgets(line, sizeof line, f)) good &= sscanf(line, "line %d %9s", &number, word) == 2 && number == n++;
  ok("write, seek, read", good && n == 1000 && feof(f));
  fseek(f, -9, SEEK_END);
  fgets(line, sizeof line, f);
  text("the end", line, "0999 odd\n");
  ungetc('x', f);
  ok("ungetc", getc(f) == 'x');
  ok("ftell", ftell(f) == 14 * 500 + 15 * 500 - 0 || ftell(f) > 0);
  fclose(f);
  f = fopen("stream.txt", "a");
  setvbuf(f, NULL, _IOLBF, 100);
  fputs("appended\n", f);
  struct stat s;
  stat("stream.txt", &s);
  long size = s.st_size;
  fputs("no newline", f);
  stat("stream.txt", &s);
  ok("line buffering", s.st_size == size);
  fclose(f);
  char *lines = NULL;
  size_t room = 0;
  f = open_memstream(&lines, &room);
  fprintf(f, "%5.2f|%-6s|%+d|%#x|%08.3e|%g|%c|%%|%ls", 3.14159, "ab", 5, 255, 12345.678, 1e-10, 'z', L"wide");
  fclose(f);
  text("formats", lines, " 3.14|ab    |+5|0xff|1.235e+04|1e-10|z|%|wide");
  free(lines);
  snprintf(line, sizeof line, "%.17g %a %Lf %.0f %.0f", 0.1, 1.0, 1.5L, 0.5, 1.5);
  text("floating point", line, "0.10000000000000001 0x1p+0 1.500000 0 2");
  f = fopen("no/such", "r");
  ok("fopen fails", f == NULL && errno == ENOENT);
  text("strerror", strerror(ENOENT), "No such file or directory");
  f = tmpfile();
  ok("tmpfile", f != NULL && fputs("x", f) >= 0);
  fclose(f);
}

static void numbers(void) {
  char out[128];
  ok("strtod", strtod("1.7976931348623157e308", NULL) == 1.7976931348623157e308 && strtod("0x1.8p1", NULL) == 3.0);
  ok("strtol", strtol("-0x1f", NULL, 0) == -31 && strtol("777", NULL, 8) == 511);
  errno = 0;
  ok("overflow", strtol("99999999999999999999", NULL, 10) == 0x7fffffffffffffffL && errno == ERANGE);
  volatile double x = 2.0;
  snprintf(out, sizeof out, "%.15g %.15g %.15g %.15g", sin(x), exp(x), pow(x, 0.5), log(x));
  text("mathematics", out, "0.909297426825682 7.38905609893065 1.4142135623731 0.693147180559945");
  volatile double three = 3.0, one = 1.0;
  volatile double nearest = one / three;
  fesetround(FE_UPWARD);
  volatile double up = one / three;
  fesetround(FE_DOWNWARD);
  volatile double down = one / three;
  fesetround(FE_TONEAREST);
  ok("rounding modes", up > down && nearest >= down && nearest <= up && up - down < 1e-16);
  feclearexcept(FE_ALL_EXCEPT);
  volatile double zero = 0.0, r = one / zero;
  ok("division by zero raises its flag", fetestexcept(FE_DIVBYZERO) == FE_DIVBYZERO && isinf(r));
  feclearexcept(FE_ALL_EXCEPT);
  r = one / three;
  ok("inexact too", fetestexcept(FE_ALL_EXCEPT) == FE_INEXACT);
  r = zero / zero;
  ok("and invalid", fetestexcept(FE_INVALID) == FE_INVALID && isnan(r));
  ok("fma", fma(1e16, 1e16, -1e32) != 0 || fma(3.0, 3.0, -9.0) == 0);
  volatile float single = 16777216.0f;
  ok("single precision", single + 1.0f == 16777216.0f && (double)single + 1.0 == 16777217.0);
  ok("conversions", (int)-2.7 == -2 && (unsigned char)(int)300.5 == 44 && lrint(2.5) == 2 && llround(2.5) == 3);
  __int128 big = (__int128)1 << 100;
  ok("128-bit integers", (long)(big / 12345678901234567LL) == (long)(((__int128)1 << 100) / 12345678901234567LL));
}

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static void library(void) {
  int v[2000], good = 1;
  srand(1);
  for (int i = 0; i < 2000; i++) v[i] = rand() % 10000;
  qsort(v, 2000, sizeof v[0], compare);
  for (int i = 1; i < 2000; i++) good &= v[i - 1] <= v[i];
  ok("qsort", good && bsearch(&v[77], v, 2000, sizeof v[0], compare) != NULL);
  regex_t re;
  regmatch_t m[3];
  ok("regular expressions", regcomp(&re, "([a-z]+)=([0-9]+)", REG_EXTENDED) == 0 && regexec(&re, "x key=42;", 3, m, 0) == 0 &&
                                m[1].rm_so == 2 && m[2].rm_eo == 8);
  regfree(&re);
  ok("fnmatch", fnmatch("*.[ch]", "libc.c", 0) == 0 && fnmatch("a?c", "abbc", 0) == FNM_NOMATCH);
  char out[100];
  struct tm tm;
  time_t t = 1700000000;
  strftime(out, sizeof out, "%Y-%m-%d %H:%M:%S %a %j", gmtime_r(&t, &tm));
  text("time", out, "2023-11-14 22:13:20 Tue 318");
  setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
  tzset();
  t = 1690000000;
  strftime(out, sizeof out, "%H:%M %Z", localtime_r(&t, &tm));
  text("time zones", out, "06:26 CEST");
  tm.tm_isdst = -1;
  ok("mktime", mktime(&tm) == t);
  ok("the C locale", !strcmp(setlocale(LC_ALL, "C"), "C") && mblen("\xc3\xa4", 2) <= 1);
  setenv("COPPICE_TEST", "value", 1);
  ok("environment", !strcmp(getenv("COPPICE_TEST"), "value") && (unsetenv("COPPICE_TEST"), getenv("COPPICE_TEST") == NULL));
  DIR *d = opendir("/");
  int entries = 0;
  while (readdir(d)) entries++;
  closedir(d);
  ok("opendir", entries >= 3);
  glob_t g;
  ok("glob", glob("/de[v]", 0, NULL, &g) == 0 && g.gl_pathc == 1);
  globfree(&g);
  char *real = realpath("/./dev/../dev/null", NULL);
  ok("realpath", real && !strcmp(real, "/dev/null"));
  free(real);
  ok("getcwd", getcwd(out, sizeof out) != NULL && out[0] == '/');
}

static sigjmp_buf jump;
static volatile sig_atomic_t signals;
static void onSignal(int sig) {
  signals++;
  if (sig == SIGSEGV) siglongjmp(jump, sig);
}
static void jumps(void) {
  jmp_buf b;
  volatile int passes = 0;
  double kept = 2.5;
  if (setjmp(b) < 3) {
    passes++;
    longjmp(b, passes);
  }
  ok("setjmp and longjmp", passes == 3 && kept == 2.5);
  struct sigaction a = {.sa_handler = onSignal};
  sigaction(SIGSEGV, &a, NULL);
  for (int i = 0; i < 3; i++)
    if (sigsetjmp(jump, 1) == 0) *(volatile int *)16 = 1;
  ok("out of a handler", signals == 3);
  signal(SIGSEGV, SIG_DFL);
  sigaction(SIGUSR1, &a, NULL);
  raise(SIGUSR1);
  ok("raise", signals == 4);
  pid_t pid = fork();
  if (pid == 0) abort();
  int st;
  waitpid(pid, &st, 0);
  ok("abort", WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT);
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, &old);
  raise(SIGUSR1);
  int got = 0;
  ok("sigwait", sigwait(&set, &got) == 0 && got == SIGUSR1 && signals == 4);
}

static void processes(void) {
  char *args[] = {self, "exit", "6", NULL};
  pid_t pid;
  int st = 0;
  ok("posix_spawn", posix_spawn(&pid, self, NULL, NULL, args, environ) == 0 && waitpid(pid, &st, 0) == pid && WEXITSTATUS(st) == 6);
  ok("posix_spawn of nothing", posix_spawn(&pid, "./none", NULL, NULL, args, environ) == ENOENT);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "spawned.txt", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  args[1] = "say", args[2] = "hello";
  posix_spawn(&pid, self, &actions, NULL, args, environ);
  waitpid(pid, &st, 0);
  char line[64] = "";
  FILE *f = fopen("spawned.txt", "r");
  fgets(line, sizeof line, f);
  fclose(f);
  text("with a file action", line, "hello\n");
  fflush(stdout);
  pid = vfork();
  if (pid == 0) _exit(8);
  waitpid(pid, &st, 0);
  ok("vfork", WEXITSTATUS(st) == 8);
  int order[2];
  ok("pipe", pipe(order) == 0);
  pid = fork();
  if (pid == 0) {
    dprintf(order[1], "from %s", "child");
    exit(0);
  }
  ok("fork with stdio", read(order[0], line, sizeof line) == 10 && waitpid(pid, &st, 0) == pid && st == 0);
}

static int atExit;
static void leaving(void) { atExit++; }
static __attribute__((constructor)) void before(void) { atExit = 100; }

static int variadic(int n, ...) {
  va_list ap;
  va_start(ap, n);
  double sum = 0;
  for (int i = 0; i < n; i++) sum += i % 2 ? va_arg(ap, double) : va_arg(ap, int);
  va_end(ap);
  return (int)(sum * 2);
}

int main(int argc, char **argv) {
  self = argv[0];
  if (argc > 2 && !strcmp(argv[1], "exit")) return atoi(argv[2]);
  if (argc > 2 && !strcmp(argv[1], "say")) return puts(argv[2]) < 0;
  ok("constructors ran", atExit == 100);
  ok("variadic calls", variadic(6, 1, 2.5, 3, 4.5, 5, 6.5) == 45);
  atexit(leaving);
  static const struct {
    const char *name;
    void (*run)(void);
  } all[] = {{"threads", threads}, {"memory", memory},   {"streams", streams},    {"numbers", numbers},
             {"library", library}, {"jumps", jumps},     {"processes", processes}};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (argc < 2 || !strcmp(argv[1], all[i].name)) all[i].run();
  printf("%d ok, %d failed\n", okCount, failCount);
  return failCount != 0;
}
