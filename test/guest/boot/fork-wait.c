// fork-wait [N]: N children one after another, each with its own exit status and its own copy of memory.
#include "../lib/rt.h"

int main(int argc, char **argv) {
  long n = argc > 1 ? parseInt(argv[1]) : 20;
  volatile long mine = 1;
  int statuses = 1, pids = 1;
  for (long i = 0; i < n; i++) {
    long pid = fork();
    if (pid == 0) {
      mine += i;
      exit_group(mine == 1 + i ? i & 0x7f : 255);
    }
    int st = 0;
    pids &= wait4(pid, &st, 0, 0) == pid;
    statuses &= st == (i & 0x7f) << 8;
  }
  ok("wait returns the child", pids);
  ok("exit statuses", statuses);
  eq("the parent's memory is its own", mine, 1);
  errIs("no child is left", wait4(-1, 0, 0, 0), ECHILD);
  return 0;
}
