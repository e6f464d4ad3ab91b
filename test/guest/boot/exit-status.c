// exit-status N ends with status N; exit-status -N kills itself with signal N. Prints its argument count and
// arguments first, so it also shows argv on the initial stack.
#include "../lib/rt.h"

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) print("%d %s\n", i, argv[i]);
  long n = argc > 1 ? parseInt(argv[1]) : 0;
  if (n < 0) kill(getpid(), -n);
  return (int)n;
}
