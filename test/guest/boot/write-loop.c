// write-loop [N]: N numbered lines, one write each.
#include "../lib/rt.h"

int main(int argc, char **argv) {
  long n = argc > 1 ? parseInt(argv[1]) : 100;
  for (long i = 0; i < n; i++) print("line %ld of %ld\n", i + 1, n);
  return 0;
}
