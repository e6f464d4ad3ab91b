// Processes: fork storms, vfork, wait in all forms, orphans, groups and sessions, ids after fork, exit codes.
#include "lib/rt.h"

static int exitWith(long code) { return (int)code; }

static void storm(void) {
  static u8 seen[200];
  long pids[200];
  for (int i = 0; i < 200; i++) pids[i] = spawnChild(exitWith, i);
  int good = 1;
  for (int i = 0; i < 200; i++) {
    int st = 0;
    long pid = wait4(-1, &st, 0, 0);
    int known = 0;
    for (int k = 0; k < 200; k++)
      if (pids[k] == pid) known = WIFEXITED(st) && WEXITSTATUS(st) == k && !seen[k], seen[k] = 1;
    good &= known;
  }
  ok("200 children at once", good);
  errIs("none is left", wait4(-1, 0, 0, 0), ECHILD);
}

static long *total;
static void grow(int depth) {
  __atomic_fetch_add(total, 1, __ATOMIC_SEQ_CST);
  if (depth == 0) return;
  for (int i = 0; i < 2; i++)
    if (fork() == 0) {
      grow(depth - 1);
      exit_group(0);
    }
  while (wait4(-1, 0, 0, 0) > 0) {
  }
}
static void tree(void) {
  total = shared(4096);
  grow(6);
  eq("a tree of 127 processes", *total, 127);
  *total = 0;
  int depth = 0;
  while (depth < 40 && fork() == 0) depth++;
  if (depth == 40) *total = 40;
  else {
    int st = 0;
    wait4(-1, &st, 0, 0);
    if (depth == 0) {
      eq("a chain of 40 processes", *total, 40);
      statusIs("its statuses add up", st, 40 << 8);
      return;
    }
    exit_group(WEXITSTATUS(st) + 1);
  }
  exit_group(1);
}

static volatile int touched;
static int vforkChild(void *arg) {
  sleepMs(30);
  touched = 1;
  return 9;
}
static void shareUntilExec(void) {
  // vfork(2) is clone with these two flags; the child gets a stack of its own here.
  long pid = clone_fn(vforkChild, 0, CLONE_VM | CLONE_VFORK | SIGCHLD, stackTop(65536), 0, 0, 0);
  eq("the parent waits and shares memory", touched, 1);
  statusIs("exit status", waitStatus(pid), 9 << 8);
}
static int vforkExec(void *arg) {
  char *args[] = {selfPath, "-n", "nothing", 0}, *env[] = {0};
  touched = 2;
  dup3(open("/dev/null", O_WRONLY, 0), 1, 0);
  execve(selfPath, args, env);
  return 99;
}
static void spawn(void) {
  for (int i = 0; i < 5; i++) {
    touched = 0;
    long pid = clone_fn(vforkExec, 0, CLONE_VM | CLONE_VFORK | SIGCHLD, stackTop(65536), 0, 0, 0);
    int st = waitStatus(pid);
    if (i == 4) {
      eq("memory until exec", touched, 2);
      statusIs("exit status after exec", st, 0);
    }
  }
}

static int waiting(long code) {
  int *go = (int *)code;
  waitFor(go);
  return go[1];
}
static void waitForms(void) {
  int *go = shared(4096), st = 0;
  siginfo_t i;
  errIs("no children", wait4(-1, &st, WNOHANG, 0), ECHILD);
  errIs("not a child", wait4(1, &st, WNOHANG, 0), ECHILD);
  long pid = spawnChild(waiting, (long)go);
  eq("WNOHANG while it runs", wait4(pid, &st, WNOHANG, 0), 0);
  memset(&i, 0xff, sizeof i);
  eq("waitid WNOHANG", SYS(waitid, P_PID, pid, &i, WEXITED | WNOHANG, 0), 0);
  ok("clears si_pid and si_signo", i.si_pid == 0 && i.si_signo == 0);
  go[1] = 6;
  go[0] = 1;
  eq("WNOWAIT", SYS(waitid, P_PID, pid, &i, WEXITED | WNOWAIT, 0), 0);
  ok("its information", i.si_signo == SIGCHLD && i.si_code == CLD_EXITED && i.si_status == 6 && i.si_pid == pid);
  eq("a zombie can be signalled", kill(pid, 0), 0);
  struct rusage ru;
  memset(&ru, 0xff, sizeof ru);
  eq("it is still there", wait4(pid, &st, 0, &ru), pid);
  statusIs("status", st, 6 << 8);
  ok("plausible usage", ru.ru_utime.tv_sec >= 0 && ru.ru_utime.tv_sec < 60 && ru.ru_maxrss >= 0);
  errIs("now it is gone", wait4(pid, &st, 0, 0), ECHILD);
  errIs("and not to be signalled", kill(pid, 0), ESRCH);
  errIs("waitid without a kind", SYS(waitid, P_ALL, 0, &i, WNOHANG, 0), EINVAL);
  errIs("waitid with a bad type", SYS(waitid, 77, 0, &i, WEXITED, 0), EINVAL);
  errIs("bad options", wait4(-1, &st, 0x1000, 0), EINVAL);
  pid = spawnChild(exitWith, 3);
  errIs("a bad pointer for the status", wait4(pid, (int *)8, 0, 0), EFAULT);
  pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    exit_group(8);
  }
  setpgid(pid, pid);
  errIs("another group", wait4(-getpid() - 10000, &st, 0, 0), ECHILD);
  eq("by its group", wait4(-pid, &st, 0, 0), pid);
  statusIs("only 8 bits of the code", waitStatus(spawnChild(exitWith, 0x1ff)), 0xff00);
  long a = spawnChild(exitWith, 1), b = spawnChild(exitWith, 2);
  eq("a chosen one", wait4(b, &st, 0, 0), b);
  eq("then any", wait4(-1, &st, 0, 0), a);
}

static void orphans(void) {
  long *seen = shared(4096);
  long pid = fork();
  if (pid == 0) {
    long me = getpid();
    if (fork() == 0) {
      while (getppid() == me) sleepMs(1);
      seen[0] = getppid();
      seen[1] = 1;
      exit_group(0);
    }
    exit_group(0);
  }
  waitStatus(pid);
  waitFor((int *)&seen[1]);
  ok("an orphan gets another parent", seen[0] != pid && seen[0] != 0 && seen[0] != getpid());
  pid = fork();
  if (pid == 0) {
    SYS(prctl, 36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0, 0);
    long middle = fork();
    if (middle == 0) {
      if (fork() == 0) {
        sleepMs(40);
        exit_group(17);
      }
      exit_group(0);
    }
    waitStatus(middle);
    int st = 0;
    exit_group(wait4(-1, &st, 0, 0) > 0 ? WEXITSTATUS(st) : 99);
  }
  statusIs("a subreaper inherits it", waitStatus(pid), 17 << 8);
  pid = fork();
  if (pid == 0) {
    handle(SIGUSR1, SIG_DFL, 0, 0);
    long middle = fork();
    if (middle == 0) {
      long parent = getpid();
      long last = fork();
      if (last == 0) {
        SYS(prctl, 1 /* PR_SET_PDEATHSIG */, SIGUSR1, 0, 0, 0);
        seen[2] = 1;
        if (getppid() == parent)
          for (;;) sleepMs(1000);
      }
      waitFor((int *)&seen[2]);
      seen[3] = last;
      exit_group(0);
    }
    waitStatus(middle);
    long r = 0;
    for (int i = 0; i < 300 && (r = kill(seen[3], 0)) == 0; i++) sleepMs(5);
    exit_group(r == -ESRCH ? 0 : 1);
  }
  statusIs("the parent's death signal", waitStatus(pid), 0);
}

static void countSignal(int sig) {}
static void groups(void) {
  long pid = fork();
  if (pid == 0) {
    int good = getpgid(0) == getpgid(getppid());
    good &= setpgid(0, 0) == 0 && getpgid(0) == getpid();
    good &= setsid() == -EPERM;
    long inner = fork();
    if (inner == 0) {
      int fine = getpgid(0) == getppid();
      fine &= setsid() == getpid() && SYS(getsid, 0) == getpid() && getpgid(0) == getpid();
      fine &= setpgid(0, 0) == -EPERM;
      exit_group(fine ? 0 : 1);
    }
    good &= waitStatus(inner) == 0;
    exit_group(good ? 0 : 1);
  }
  statusIs("groups and sessions", waitStatus(pid), 0);
  int *go = shared(4096);
  pid = fork();
  if (pid == 0) {
    setsid();
    go[0] = 1;
    waitFor(&go[1]);
    exit_group(0);
  }
  waitFor(go);
  errIs("setpgid of a session leader", setpgid(pid, 0), EPERM);
  errIs("setpgid of a stranger", setpgid(1, 0), getpid() == 1 ? EPERM : ESRCH);
  errIs("a negative group", setpgid(0, -1), EINVAL);
  errIs("no such process", getpgid(999999), ESRCH);
  go[1] = 1;
  waitStatus(pid);
  pid = fork();
  if (pid == 0) {
    char *args[] = {selfPath, "-n", "pause", 0}, *env[] = {0};
    dup3(open("/dev/null", O_WRONLY, 0), 1, 0);
    execve(selfPath, args, env);
    exit_group(99);
  }
  sleepMs(150);
  errIs("setpgid of a child after exec", setpgid(pid, pid), EACCES);
  waitStatus(pid);
}

static void crowd(void) {
  // More than one transaction can signal: every one of them must get it, once.
  volatile int *up = shared(4096);
  long leader = fork();
  if (leader == 0) {
    setpgid(0, 0);
    for (int i = 0; i < 60; i++)
      if (fork() == 0) {
        mask_t none = 0;
        setMask(BIT(SIGUSR1));
        handle(SIGUSR1, countSignal, 0, 0);
        __atomic_add_fetch(&up[0], 1, __ATOMIC_SEQ_CST);
        SYS(rt_sigsuspend, &none, 8);
        __atomic_add_fetch(&up[1], 1, __ATOMIC_SEQ_CST);
        for (;;) sleepMs(1000);
      }
    handle(SIGUSR1, countSignal, 0, 0);
    for (;;) sleepMs(1000);
  }
  for (int i = 0; i < 2000 && up[0] < 60; i++) sleepMs(5);
  eq("all are there", up[0], 60);
  eq("ask after them", kill(-leader, 0), 0);
  eq("a signal for all", kill(-leader, SIGUSR1), 0);
  for (int i = 0; i < 2000 && up[1] < 60; i++) sleepMs(5);
  eq("sixty have it", up[1], 60);
  eq("the end of all", kill(-leader, SIGKILL), 0);
  statusIs("the leader's too", waitStatus(leader), SIGKILL);
  long r = 0;
  for (int i = 0; i < 400 && (r = kill(-leader, 0)) == 0; i++) sleepMs(5);
  errIs("nobody is left", r, ESRCH);
}

static void identity(void) {
  long me = getpid();
  eq("the thread id of the first thread", gettid(), me);
  long pid = fork();
  if (pid == 0) exit_group(getppid() == me && getpid() != me && gettid() == getpid() ? 0 : 1);
  statusIs("pids in a child", waitStatus(pid), 0);
  u32 *tid = shared(4096);
  pid = SYS(clone, CLONE_PARENT_SETTID | SIGCHLD, 0, &tid[0], 0, 0);
  if (pid == 0) exit_group(0);
  eq("CLONE_PARENT_SETTID", tid[0], pid);
  waitStatus(pid);
  handle(SIGUSR1, SIG_IGN, 0, 0);
  pid = SYS(clone, SIGUSR1, 0, 0, 0, 0);
  if (pid == 0) exit_group(4);
  errIs("a child with another signal is no ordinary child", wait4(pid, 0, 0, 0), ECHILD);
  int st = 0;
  eq("__WALL finds it", wait4(pid, &st, __WALL, 0), pid);
  statusIs("with its status", st, 4 << 8);
}

static void mixed(void) {
  // Pipes, files and forks together: every child appends lines, all lines are whole.
  long fd = open("log", O_RDWR | O_CREAT | O_APPEND, 0644);
  int p[2];
  pipe2(p, 0);
  for (int c = 0; c < 8; c++)
    if (fork() == 0) {
      for (int i = 0; i < 25; i++) {
        char line[32];
        int n = format(line, sizeof line, "child %d line %02d\n", c, i);
        write(fd, line, n);
        write(p[1], line, n);
      }
      exit_group(0);
    }
  close(p[1]);
  long got = 0, sum = 0;
  char b[777];
  for (long n; (n = read(p[0], b, sizeof b)) > 0; got += n)
    for (long i = 0; i < n; i++) sum += (u8)b[i];
  while (wait4(-1, 0, 0, 0) > 0) {
  }
  eq("bytes through the pipe", got, 8 * 25 * 16);
  long fileSum = 0, size = 0;
  lseek(fd, 0, SEEK_SET);
  int whole = 1;
  for (; read(fd, b, 16) == 16; size += 16) {
    whole &= b[15] == '\n' && b[0] == 'c';
    for (int i = 0; i < 16; i++) fileSum += (u8)b[i];
  }
  eq("bytes in the file", size, 8 * 25 * 16);
  ok("whole lines", whole);
  eq("the same bytes", fileSum, sum);
}

static void nothing(void) {}
static void pauseBriefly(void) { sleepMs(400); }

/// A process ends that has not waited for its children: more than one step's list has room for.
static int leaveMany(void) {
  int ready[2];
  char c;
  pipe2(ready, 0);
  for (int i = 0; i < 300; i++) {
    long pid = fork();
    if (pid < 0) return 2;
    if (pid == 0) exit_group(0);
  }
  close(ready[1]);
  // The children's ends of the pipe close with them.
  while (read(ready[0], &c, 1) > 0) continue;
  return 0;
}
static void zombies(void) {
  statusIs("with three hundred zombies", childStatus(leaveMany), 0);
  statusIs("and again", childStatus(leaveMany), 0);
}

static const struct section all[] = {
    {"storm", storm}, {"tree", tree},         {"vfork", shareUntilExec}, {"spawn", spawn},       {"wait", waitForms},
    {"orphans", orphans}, {"groups", groups}, {"crowd", crowd}, {"identity", identity},    {"mixed", mixed},
    {"zombies", zombies},
};
static const struct section helpers[] = {{"nothing", nothing}, {"pause", pauseBriefly}};
int main(int argc, char **argv) {
  if (argc == 3 && (!strcmp(argv[2], "nothing") || !strcmp(argv[2], "pause")))
    return runSections("processes", helpers, 2, argc, argv);
  return runSections("processes", all, sizeof all / sizeof all[0], argc, argv);
}
