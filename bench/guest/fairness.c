// How late a task gets its turn while others never give theirs up.
//
//     fairness SPINNERS ROUNDS
//
// Forks SPINNERS endless loops, then asks ROUNDS times to sleep for a millisecond and to be woken by a pipe, and
// prints for both by how many microseconds it went on too late: the median, and the latest.
#include "../../test/guest/lib/rt.h"

enum { ROUNDS_MAX = 100000, SLEEP_NS = 1000000 };
static i64 late[ROUNDS_MAX];

static int spin(long unused) {
  (void)unused;
  for (volatile long i = 0;; i = (i + 1) & 0xffff)
    if (i < 0) return 1;
}

static void report(const char *what, long n) {
  // Insertion would be quadratic; a shell sort is short.
  for (long gap = n / 2; gap > 0; gap /= 2)
    for (long i = gap; i < n; i++)
      for (long k = i; k >= gap && late[k - gap] > late[k]; k -= gap) {
        i64 swapped = late[k];
        late[k] = late[k - gap], late[k - gap] = swapped;
      }
  print("%s %ld %ld\n", what, (long)(late[n / 2] / 1000), (long)(late[n - 1] / 1000));
}

/// Writes the time into the pipe every two milliseconds, n times.
static int writeTimes(int fd, long n) {
  for (long i = 0; i < n; i++) {
    sleepMs(2);
    i64 now = nowNs();
    if (write(fd, &now, sizeof now) != sizeof now) return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  long spinners = argc > 1 ? parseInt(argv[1]) : 2, rounds = argc > 2 ? parseInt(argv[2]) : 500;
  if (rounds > ROUNDS_MAX) rounds = ROUNDS_MAX;
  long pids[64];
  if (spinners > 64) spinners = 64;
  for (long i = 0; i < spinners; i++) pids[i] = spawnChild(spin, 0);
  sleepMs(200);
  for (long i = 0; i < rounds; i++) {
    i64 start = nowNs();
    sleepMs(1);
    late[i] = nowNs() - start - SLEEP_NS;
  }
  report("sleep", rounds);
  int fds[2];
  pipe2(fds, 0);
  long writer = fork();
  if (writer == 0) exit_group(writeTimes(fds[1], rounds));
  for (long i = 0; i < rounds; i++) {
    i64 sent;
    if (read(fds[0], &sent, sizeof sent) != sizeof sent) return 1;
    late[i] = nowNs() - sent;
  }
  report("pipe", rounds);
  for (long i = 0; i < spinners; i++) kill(pids[i], 9);
  for (long i = 0; i <= spinners; i++) wait4(-1, 0, 0, 0);
  return 0;
}
