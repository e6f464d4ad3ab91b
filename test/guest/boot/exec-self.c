// Executes itself (argv[0] must be its path) with new arguments and a new environment, over a fork and without.
#include "../lib/rt.h"

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "child")) {
    ok("argc", argc == 4);
    eqStr("argv[2]", argv[2], "two words");
    eqStr("argv[3] is empty", argv[3], "");
    ok("environment", environ[0] && !strcmp(environ[0], "A=b") && !environ[1]);
    errIs("close-on-exec", fcntl(10, F_GETFD, 0), EBADF);
    eq("other descriptors stay", fcntl(11, F_GETFD, 0), 0);
    return 5;
  }
  char *args[] = {argv[0], "child", "two words", "", 0};
  char *env[] = {"A=b", 0};
  dup3(0, 10, O_CLOEXEC);
  dup3(0, 11, 0);
  long pid = fork();
  if (pid == 0) {
    execve(argv[0], args, env);
    exit_group(99);
  }
  int st = 0;
  wait4(pid, &st, 0, 0);
  eq("exit status of the new program", st, 5 << 8);
  errIs("a missing program", execve("./no-such-file", args, env), ENOENT);
  errIs("a directory", execve("/", args, env), EACCES);
  execve(argv[0], args, env);
  return 98;
}
