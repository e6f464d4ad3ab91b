// Enters the oracle's root file system and runs one program there as a user, as the first child of a small init.
// Compiled on the host when answers are recorded. `enter --load-module FILE` loads a kernel module instead: the
// image has no insmod for the virtual machine of vm.ts.
//
//     enter ROOT UID GID GROUPS CWD TERMINAL -- PROGRAM ARG…
//
// GROUPS is a list of numbers with commas. With TERMINAL 1 the program gets a new pseudo-terminal of 24 by 80 of
// ROOT's devpts as its controlling terminal, relayed to stdin and stdout. The program is looked up in PATH. Exit
// status: the program's, 128 + signal, 127 if it is not found, 126 if it cannot be executed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "enter: %s: %s\n", what, strerror(errno));
  exit(125);
}

struct flow {
  int from, to;
};

/// Copies a piece; 0 when there is nothing more to come.
static int copy(const struct flow *f) {
  char buffer[65536];
  ssize_t n = read(f->from, buffer, sizeof buffer);
  if (n <= 0) return n < 0 && errno == EINTR;
  for (ssize_t done = 0, w; done < n; done += w)
    if ((w = write(f->to, buffer + done, n - done)) < 0) return 0;
  return 1;
}

/// Relays until the child has ended and its output is through; flow 0 is its input. Returns its wait status.
/// Output of processes that outlive the child is still taken while it comes without a pause of 100 ms.
static int relay(pid_t child, struct flow *flows, int count) {
  int status = 0;
  for (;;) {
    struct pollfd fds[3];
    int ended = 0, open = 0, busy = 0;
    for (pid_t pid; (pid = waitpid(-1, &ended, WNOHANG)) > 0;)
      if (pid == child) status = ended, child = 0;
    for (int i = 0; i < count; i++) {
      fds[i] = (struct pollfd){flows[i].from, POLLIN, 0};
      open += i > 0 && flows[i].from >= 0;
    }
    if (!child && !open) return status;
    if (poll(fds, count, child ? 20 : 100) < 0 && errno != EINTR) fail("poll");
    for (int i = 0; i < count; i++) {
      if (!fds[i].revents || flows[i].from < 0) continue;
      busy += i > 0;
      if (copy(&flows[i])) continue;
      // The master of a terminal stays open: the slave may be opened again while the child lives.
      if (flows[i].from != flows[0].to || !child) {
        if (i == 0 && flows[0].to != flows[1].from) close(flows[0].to);
        flows[i].from = -1;
      } else
        usleep(10000);
    }
    if (!child && !busy) return status;
  }
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "--load-module")) {
    if (syscall(SYS_finit_module, open(argv[2], O_RDONLY), "", 0) < 0) fail(argv[2]);
    return 0;
  }
  if (argc < 9) return 125;
  // What the caller of the oracle happens to have open is no part of the answer.
  if (syscall(SYS_close_range, 3, ~0u, 0) < 0) fail("close_range");
  const char *root = argv[1], *cwd = argv[5];
  int terminal = atoi(argv[6]), slave = -1, pipes[3][2];
  struct flow flows[3] = {{0, -1}, {-1, 1}, {-1, 2}};
  gid_t groups[64];
  int groupCount = 0;
  for (char *g = strtok(argv[4], ","); g && groupCount < 64; g = strtok(NULL, ",")) groups[groupCount++] = atoi(g);
  if (chroot(root) < 0) fail(root);
  if (chdir("/") < 0) fail("/");
  if (terminal) {
    char name[64];
    int number, unlock = 0;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0) fail("ptmx");
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct winsize size = {24, 80, 0, 0};
    if (slave < 0 || ioctl(master, TIOCSWINSZ, &size) < 0) fail(name);
    if (fchown(slave, atoi(argv[2]), -1) < 0) fail(name);
    flows[0].to = flows[1].from = master;
  } else {
    // Pipes of its own: what the caller gives may be sockets, which /dev/stdout cannot open.
    for (int i = 0; i < 3; i++)
      if (pipe2(pipes[i], O_CLOEXEC) < 0 || fchown(pipes[i][0], atoi(argv[2]), -1) < 0) fail("pipe");
    flows[0].to = pipes[0][1], flows[1].from = pipes[1][0], flows[2].from = pipes[2][0];
  }
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    setsid();
    if (terminal) {
      if (ioctl(slave, TIOCSCTTY, 0) < 0) fail("TIOCSCTTY");
      for (int i = 0; i < 3; i++) dup2(slave, i);
    } else
      for (int i = 0; i < 3; i++) dup2(pipes[i][i > 0], i);
    if (setgroups(groupCount, groups) < 0 || setgid(atoi(argv[3])) < 0 || setuid(atoi(argv[2])) < 0) fail("user");
    if (chdir(cwd) < 0) fail(cwd);
    // What the caller ignores or blocks must not reach the program.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int i = 1; i < 65; i++) signal(i, SIG_DFL);
    umask(022);
    execvpe(argv[8], argv + 8, environ);
    fprintf(stderr, "enter: %s: %s\n", argv[8], strerror(errno));
    exit(errno == ENOENT ? 127 : 126);
  }
  if (terminal) close(slave);
  else
    for (int i = 0; i < 3; i++) close(pipes[i][i > 0]);
  signal(SIGPIPE, SIG_IGN);
  int status = relay(child, flows, terminal ? 2 : 3);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
