// Moving bytes between pipes and files: splice, tee, vmsplice, sendfile.
#include "lib/rt.h"

static char buffer[70000];
static int pipes[3][2];
static void fresh(void) {
  for (int i = 0; i < 3; i++) SYS(pipe2, pipes[i], 0);
}
static long text(int fd, const char *want) {
  long n = SYS(read, fd, buffer, sizeof buffer - 1);
  buffer[n < 0 ? 0 : n] = 0;
  return strcmp(buffer, want);
}

static void between(void) {
  fresh();
  SYS(write, pipes[0][1], "hello", 5);
  eq("pipe to pipe", SYS(splice, pipes[0][0], 0, pipes[1][1], 0, 3, 0), 3);
  eq("the rest stays", text(pipes[0][0], "lo"), 0);
  eq("it has moved", text(pipes[1][0], "hel"), 0);
  SYS(write, pipes[2][1], "back", 4);
  eq("the other way round", SYS(splice, pipes[2][0], 0, pipes[0][1], 0, 100, 0), 4);
  eq("too", text(pipes[0][0], "back"), 0);
  errIs("nothing there", SYS(splice, pipes[0][0], 0, pipes[1][1], 0, 9, 2), EAGAIN);
  if (fork() == 0) {
    sleepMs(30);
    SYS(write, pipes[0][1], "later", 5);
    exit_group(0);
  }
  eq("waiting", SYS(splice, pipes[0][0], 0, pipes[1][1], 0, 100, 0), 5);
  waitStatus(-1);
  eq("for what comes", text(pipes[1][0], "later"), 0);
  SYS(close, pipes[0][1]);
  eq("the end", SYS(splice, pipes[0][0], 0, pipes[1][1], 0, 9, 0), 0);
  eq("nothing at all", SYS(splice, pipes[0][0], 0, pipes[1][1], 0, 0, 0), 0);
}

static void files(void) {
  fresh();
  writeFile("splice.file", "0123456789");
  int fd = (int)SYS(openat, -100, "splice.file", 2, 0);
  i64 at = 4;
  eq("file to pipe, at an offset", SYS(splice, fd, &at, pipes[0][1], 0, 3, 0), 3);
  ok("which moves", at == 7 && SYS(lseek, fd, 0, 1) == 0);
  eq("bytes", text(pipes[0][0], "456"), 0);
  eq("from the position", SYS(splice, fd, 0, pipes[0][1], 0, 2, 0), 2);
  eq("which moves", SYS(lseek, fd, 0, 1), 2);
  eq("pipe to file, at the position", SYS(splice, pipes[0][0], 0, fd, 0, 100, 0), 2);
  eq("which moves too", SYS(lseek, fd, 0, 1), 4);
  SYS(write, pipes[0][1], "xy", 2);
  at = 8;
  eq("pipe to file, at an offset", SYS(splice, pipes[0][0], 0, fd, &at, 100, 0), 2);
  ok("moved", at == 10 && SYS(lseek, fd, 0, 1) == 4);
  eqStr("the file", readFile("splice.file"), "01014567xy");
  eq("the end of a file", SYS(splice, fd, &at, pipes[0][1], 0, 9, 0), 0);
  memset(buffer, 'b', sizeof buffer);
  SYS(ftruncate, fd, 0);
  SYS(pwrite64, fd, buffer, 40000, 0);
  at = 0;
  eq("many pages", SYS(splice, fd, &at, pipes[1][1], 0, 40000, 0), 40000);
  eq("and back", SYS(splice, pipes[1][0], 0, fd, &at, 40000, 0), 40000);
  eq("at the end", at, 80000);
  int out = (int)SYS(openat, -100, "splice.file", 02001, 0);
  SYS(write, pipes[0][1], "z", 1);
  errIs("appending", SYS(splice, pipes[0][0], 0, out, 0, 1, 0), EINVAL);
  SYS(close, out);
  // sendfile fills a pipe, and waits for a socket.
  SYS(fcntl, pipes[2][1], 1031, 4096);
  at = 0;
  eq("sendfile to a small pipe", SYS(sendfile, pipes[2][1], fd, &at, 80000), 4096);
  eq("as far as it came", at, 4096);
  for (int i = 0; i < 15; i++) SYS(pwrite64, fd, buffer, 65536, i * 65536L);
  int p[2];
  SYS(socketpair, 1, 1, 0, p);
  long pid = fork();
  if (pid == 0) {
    long total = 0, n;
    SYS(close, p[0]);
    while ((n = SYS(read, p[1], buffer, 3000)) > 0) total += n;
    exit_group(total == 15 * 65536 ? 5 : 6);
  }
  at = 0;
  SYS(close, p[1]);
  eq("sendfile waits for a socket", SYS(sendfile, p[0], fd, &at, 15 * 65536), 15 * 65536);
  SYS(close, p[0]);
  statusIs("and all arrives", waitStatus(pid), 5 << 8);
  SYS(unlinkat, -100, "splice.file", 0);
}

static void copies(void) {
  fresh();
  SYS(write, pipes[0][1], "twice", 5);
  eq("tee", SYS(tee, pipes[0][0], pipes[1][1], 100, 0), 5);
  eq("there", text(pipes[1][0], "twice"), 0);
  eq("and here", text(pipes[0][0], "twice"), 0);
  errIs("of nothing", SYS(tee, pipes[0][0], pipes[1][1], 100, 2), EAGAIN);
  errIs("to itself", SYS(tee, pipes[0][0], pipes[0][1], 100, 2), EINVAL);
  struct iovec v[2] = {{"ab", 2}, {"cde", 3}};
  eq("vmsplice", SYS(vmsplice, pipes[0][1], v, 2, 0), 5);
  eq("puts", text(pipes[0][0], "abcde"), 0);
  SYS(write, pipes[0][1], "xyz", 3);
  v[0] = (struct iovec){buffer, 10};
  memset(buffer, 0, 20);
  eq("takes", SYS(vmsplice, pipes[0][0], v, 1, 0), 3);
  eqStr("bytes", buffer, "xyz");
  int p[2];
  SYS(socketpair, 1, 1, 0, p);
  SYS(write, pipes[0][1], "to a socket", 11);
  eq("pipe to socket", SYS(splice, pipes[0][0], 0, p[0], 0, 100, 0), 11);
  eq("arrives", text(p[1], "to a socket"), 0);
  SYS(write, p[1], "from a socket", 13);
  eq("socket to pipe", SYS(splice, p[0], 0, pipes[0][1], 0, 4, 0), 4);
  eq("a part", text(pipes[0][0], "from"), 0);
  eq("the rest stays", text(p[0], " a socket"), 0);
}

static void errors(void) {
  fresh();
  i64 at = 0;
  int fd = (int)SYS(openat, -100, selfPath, 0, 0);
  SYS(write, pipes[0][1], "x", 1);
  errIs("no pipe", SYS(splice, fd, 0, fd, 0, 1, 0), EBADF);
  errIs("an offset in a pipe", SYS(splice, pipes[0][0], &at, pipes[1][1], 0, 1, 0), ESPIPE);
  errIs("in the other", SYS(splice, fd, 0, pipes[1][1], &at, 1, 0), ESPIPE);
  errIs("the same pipe", SYS(splice, pipes[0][0], 0, pipes[0][1], 0, 1, 0), EINVAL);
  errIs("the wrong ends", SYS(splice, pipes[0][1], 0, pipes[1][0], 0, 1, 0), EBADF);
  errIs("unknown flags", SYS(splice, pipes[0][0], 0, pipes[1][1], 0, 1, 64), EINVAL);
  errIs("no descriptor", SYS(splice, 99, 0, pipes[1][1], 0, 1, 0), EBADF);
  errIs("a bad offset", SYS(splice, fd, 8, pipes[1][1], 0, 1, 0), EFAULT);
  errIs("tee of a file", SYS(tee, fd, pipes[1][1], 1, 0), EINVAL);
  struct iovec one = {buffer, 1};
  errIs("vmsplice of a file", SYS(vmsplice, fd, &one, 1, 0), EBADF);
  eq("of nothing", SYS(vmsplice, fd, &one, 0, 0), 0);
  handle(SIGPIPE, (void *)1, 0, 0);
  SYS(close, pipes[1][0]);
  errIs("nobody reads", SYS(splice, pipes[0][0], 0, pipes[1][1], 0, 1, 0), EPIPE);
  eq("and nothing is lost", text(pipes[0][0], "x"), 0);
}

// How far a call that failed had come is nothing to the next.
static void afterwards(void) {
  fresh();
  int fd = (int)SYS(openat, -100, selfPath, 0, 0);
  i64 *at = (i64 *)SYS(mmap, 0, 4096, 3, 0x22, -1, 0);
  *at = 16;
  SYS(mprotect, at, 4096, 1);
  errIs("an offset that cannot be written", SYS(sendfile, pipes[0][1], fd, at, 8), EFAULT);
  int p[2];
  SYS(socketpair, 1, 2, 0, p);
  struct iovec v = {"a message that is whole", 23};
  struct {
    void *name;
    u64 nameLength;
    struct iovec *vectors;
    u64 count;
    void *control;
    u64 controlLength, flags;
  } h = {0, 0, &v, 1, 0, 0, 0};
  eq("a message after it", SYS(sendmsg, p[0], &h, 0), 23);
  eq("arrives as it is", text(p[1], "a message that is whole"), 0);
}

static const struct section all[] = {
    {"between", between}, {"files", files}, {"copies", copies}, {"errors", errors}, {"afterwards", afterwards}};
SECTIONS("splices", all)
