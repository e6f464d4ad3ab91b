// null-call [N]: N system calls that do nothing (getppid), then a verdict.
#include "../lib/rt.h"

int main(int argc, char **argv) {
  long n = argc > 1 ? parseInt(argv[1]) : 1000;
  long first = getppid();
  int same = 1;
  for (long i = 0; i < n; i++) same &= getppid() == first;
  ok("getppid is stable", same && first >= 0);
  errIs("an unknown call", sys6(1999, 0, 0, 0, 0, 0, 0), ENOSYS);
  return 0;
}
