// pipe-pingpong [N]: N round trips of one byte between two processes over two pipes, then end of file.
#include "../lib/rt.h"

int main(int argc, char **argv) {
  long n = argc > 1 ? parseInt(argv[1]) : 1000;
  int there[2], back[2];
  eq("pipe", pipe2(there, 0) | pipe2(back, 0), 0);
  u8 b = 0;
  long pid = fork();
  if (pid == 0) {
    close(there[1]);
    close(back[0]);
    while (read(there[0], &b, 1) == 1) {
      b++;
      write(back[1], &b, 1);
    }
    exit_group(b);
  }
  close(there[0]);
  close(back[1]);
  int right = 1;
  for (long i = 0; i < n; i++) {
    u8 sent = (u8)i, got = 0;
    right &= write(there[1], &sent, 1) == 1 && read(back[0], &got, 1) == 1 && got == (u8)(i + 1);
  }
  ok("round trips", right);
  close(there[1]);
  eq("end of file", read(back[0], &b, 1), 0);
  int st = 0;
  wait4(pid, &st, 0, 0);
  eq("the child saw the last byte", WEXITSTATUS(st), n & 0xff);
  return 0;
}
