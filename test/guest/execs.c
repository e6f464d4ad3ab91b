// Executing programs: arguments, environment, auxiliary vector, scripts, errors, and what survives.
#include "lib/rt.h"

static char *none[] = {0};

/// Executes in a child, with the output in a file; returns the wait status, the text is in `output`.
static const char *output;
static int run(const char *path, char **argv, char **env) {
  long pid = fork();
  if (pid == 0) {
    dup3(open("out", O_WRONLY | O_CREAT | O_TRUNC, 0644), 1, 0);
    long r = execve(path, argv, env);
    exit_group(r < 0 ? (int)-r : 0);
  }
  int st = waitStatus(pid);
  output = readFile("out");
  return st;
}
static void script(const char *name, const char *text) {
  writeFile(name, text);
  chmod(name, 0755);
}
static char line[8192];

static void arguments(void) {
  char *argv[] = {"zero", "args", "one two", "", "\xc3\xa4", 0}, *env[] = {"A=1", "EMPTY=", "no equals sign", 0};
  statusIs("status", run(selfPath, argv, env), 5 << 8);
  eqStr("arguments and environment", output,
        "[zero][args][one two][][\xc3\xa4]\n[A=1][EMPTY=][no equals sign]\n");
  char *many[600];
  for (int i = 0; i < 598; i++) many[i] = "x";
  many[0] = "p", many[1] = "count", many[598] = 0;
  run(selfPath, many, none);
  eqStr("598 arguments", output, "598\n");
  static char big[100001];
  memset(big, 'b', 100000);
  char *large[] = {"p", "length", big, 0};
  run(selfPath, large, none);
  eqStr("an argument of 100,000 bytes", output, "100000\n");
  static char huge[131073];
  memset(huge, 'h', 131072);
  large[2] = huge;
  statusIs("one of 131,072 is too long", run(selfPath, large, none), E2BIG << 8);
  huge[131071] = 0;
  run(selfPath, large, none);
  eqStr("one of 131,071 is not", output, "131071\n");
  static char *lots[200000];
  for (int i = 0; i < 40; i++) lots[i] = huge;
  lots[40] = 0;
  statusIs("five megabytes in all", run(selfPath, lots, none), E2BIG << 8);
}

static void auxiliary(void) {
  eq("AT_PAGESZ", (long)auxValue(AT_PAGESZ), 4096);
  ok("AT_PHDR and AT_PHNUM", auxValue(AT_PHDR) != 0 && auxValue(AT_PHNUM) >= 1 && auxValue(AT_PHENT) == 56);
  ok("AT_ENTRY", auxValue(AT_ENTRY) != 0);
  ok("AT_RANDOM", auxValue(AT_RANDOM) != 0 && probeLoad((void *)(auxValue(AT_RANDOM) + 15)) == 0);
  eqStr("AT_EXECFN", (const char *)auxValue(AT_EXECFN), selfPath);
  ok("ids", auxValue(AT_UID) == (u64)SYS(getuid) && auxValue(AT_EGID) == (u64)SYS(getegid) && auxValue(AT_SECURE) == 0);
  eq("AT_CLKTCK", (long)auxValue(AT_CLKTCK), 100);
  eq("AT_BASE of a static program", (long)auxValue(AT_BASE), 0);
#if defined(__riscv)
  eq("AT_HWCAP: IMAFDC", (long)auxValue(AT_HWCAP) & 0x112d, 0x112d);
#else
  ok("AT_HWCAP: IMAFDC", 1);
#endif
  char *argv[] = {"p", "random", 0};
  static char first[64];
  run(selfPath, argv, none);
  strcpy(first, output);
  run(selfPath, argv, none);
  ok("AT_RANDOM differs from run to run", strlen(first) > 30 && strcmp(first, output) != 0);
  char *none2[] = {"p", "align", 0};
  statusIs("the stack is aligned to 16", run(selfPath, none2, none), 0);
}

static void scripts(void) {
  char *argv[] = {"ignored", "a b", "c", 0};
  format(line, sizeof line, "#!%s args\nrest\n", selfPath);
  script("s1", line);
  statusIs("a script", run("./s1", argv, none), 5 << 8);
  format(line, sizeof line, "[%s][args][./s1][a b][c]\n\n", selfPath);
  eqStr("its arguments", output, line);
  format(line, sizeof line, "#! \t%s   args  two words  \n", selfPath);
  script("s2", line);
  run("./s2", argv, none);
  format(line, sizeof line, "[%s][args  two words][./s2][a b][c]\n\n", selfPath);
  eqStr("one argument at most, trimmed", output, line);
  script("s3", "#!./s1 more\n");
  run("./s3", argv, none);
  format(line, sizeof line, "[%s][args][./s1][more][./s3][a b][c]\n\n", selfPath);
  eqStr("a script of a script", output, line);
  script("n1", "#!./n0\n");
  format(line, sizeof line, "#!%s count\n", selfPath);
  script("n0", line);
  script("n2", "#!./n1\n");
  script("n3", "#!./n2\n");
  script("n4", "#!./n3\n");
  script("n5", "#!./n4\n");
  run("./n4", argv, none);
  eqStr("five deep", output, "9\n");
  statusIs("six deep", run("./n5", argv, none), ELOOP << 8);
  script("loop", "#!./loop\n");
  statusIs("itself", run("./loop", argv, none), ELOOP << 8);
  script("missing", "#!./nothing\n");
  statusIs("a missing interpreter", run("./missing", argv, none), ENOENT << 8);
  script("empty", "#!\n");
  statusIs("no interpreter", run("./empty", argv, none), ENOEXEC << 8);
  script("plain", "echo hello\n");
  statusIs("no #!", run("./plain", argv, none), ENOEXEC << 8);
  script("nothing0", "");
  statusIs("an empty file", run("./nothing0", argv, none), ENOEXEC << 8);
  format(line, sizeof line, "#!%s args", selfPath);
  script("s4", line);
  statusIs("no newline at the end", run("./s4", argv, none), 5 << 8);
  memset(line, 'x', 400);
  memcpy(line, "#!/", 3);
  line[400] = '\n', line[401] = 0;
  script("long", line);
  statusIs("an interpreter path over 255 bytes", run("./long", argv, none), ENOEXEC << 8);
  chmod("s1", 0644);
  statusIs("without x bit", run("./s1", argv, none), EACCES << 8);
}

static void errors(void) {
  char *argv[] = {"p", "count", 0};
  errIs("no file", execve("./none", argv, none), ENOENT);
  errIs("a directory", execve(".", argv, none), EACCES);
  errIs("below a file", (script("f", "x"), execve("./f/g", argv, none)), ENOTDIR);
  errIs("an empty path", execve("", argv, none), ENOENT);
  errIs("a bad path pointer", execve((char *)8, argv, none), EFAULT);
  errIs("a bad argv", execve(selfPath, (char **)8, none), EFAULT);
  char *bad[] = {"p", (char *)8, 0};
  errIs("a bad argument", execve(selfPath, bad, none), EFAULT);
  symlink("l1", "l1");
  errIs("a loop of links", execve("./l1", argv, none), ELOOP);
  static u8 image[64];
  memcpy(image, "\x7f"
                "ELF\2\1\1",
         7);
  long fd = open("elf", O_WRONLY | O_CREAT, 0755);
  write(fd, image, 64);
  close(fd);
  statusIs("an ELF header of zeros", run("./elf", argv, none), ENOEXEC << 8);
  fd = open("cut", O_WRONLY | O_CREAT, 0755);
  write(fd, image, 20);
  close(fd);
  statusIs("a cut ELF header", run("./cut", argv, none), ENOEXEC << 8);
  long self = open(selfPath, O_RDONLY, 0);
  read(self, image, 64);
  image[18] = 40, image[19] = 0;  // 32-bit ARM
  fd = open("foreign", O_WRONLY | O_CREAT, 0755);
  write(fd, image, 64);
  close(fd);
  statusIs("an ELF of another machine", run("./foreign", argv, none), ENOEXEC << 8);
}

static void copySelf(const char *to, int mode) {
  static u8 b[65536];
  long in = open(selfPath, O_RDONLY, 0), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, mode), n;
  while ((n = read(in, b, sizeof b)) > 0) write(out, b, n);
  close(in);
  close(out);
}
static void busy(void) {
  char *argv[] = {"p", "count", 0}, *sleeper[] = {"p", "sleep", 0};
  copySelf("copy", 0755);
  long w = open("copy", O_WRONLY, 0);
  statusIs("open for writing", run("./copy", argv, none), ETXTBSY << 8);
  close(w);
  statusIs("closed", run("./copy", argv, none), 0);
  long pid = fork();
  if (pid == 0) {
    execve("./copy", sleeper, none);
    exit_group(1);
  }
  sleepMs(120);
  errIs("writing a running program", open("copy", O_WRONLY, 0), ETXTBSY);
  eq("removing it", unlink("copy"), 0);
  kill(pid, SIGKILL);
  waitStatus(pid);
}

static void nothing(int sig) {}
static void survival(void) {
  char *argv[] = {"p", "state", 0};
  handle(SIGUSR1, nothing, 0, 0);
  handle(SIGUSR2, SIG_IGN, 0, 0);
  setMask(BIT(SIGHUP));
  dup3(0, 30, 0);
  dup3(0, 31, O_CLOEXEC);
  SYS(umask, 035);
  mkdir("here", 0777);
  run(selfPath, argv, none);
  eqStr("handlers go, ignored signals, the mask, descriptors and umask stay", output,
        "usr1 default usr2 ignored mask 1 fd30 open fd31 closed umask 35\n");
  int fds[2];
  pipe2(fds, 0);
  long pid = fork();
  if (pid == 0) {
    char *tell[] = {"p", "pid", 0};
    dup3(fds[1], 1, 0);
    execve(selfPath, tell, none);
  }
  long n = read(fds[0], line, 100);
  line[n > 0 ? n : 0] = 0;
  waitStatus(pid);
  eq("the pid stays", parseInt(line), pid);
}

static int forever(void *arg) {
  for (;;) sleepMs(1000);
}
static int execInThread(void *arg) {
  char *argv[] = {"p", "tid", 0};
  dup3(open("/dev/null", O_WRONLY, 0), 1, 0);
  execve(selfPath, argv, none);
  return 1;
}
static int execWithThreads(void) {
  struct thread a, b;
  startThread(&a, forever, 0);
  startThread(&b, execInThread, 0);
  for (;;) sleepMs(1000);
}
static void threads(void) {
  statusIs("exec in a thread ends the others and takes the pid", childStatus(execWithThreads), 23 << 8);
}

static void descriptorExec(void) {
  char *argv[] = {"p", "count", "x", 0};
  long fd = open(selfPath, O_RDONLY | O_CLOEXEC, 0);
  long pid = fork();
  if (pid == 0) {
    dup3(open("out", O_WRONLY | O_CREAT | O_TRUNC, 0644), 1, 0);
    SYS(execveat, fd, "", argv, none, AT_EMPTY_PATH);
    exit_group(99);
  }
  waitStatus(pid);
  eqStr("execveat of a descriptor", readFile("out"), "3\n");
  char *state[] = {"p", "comm", 0};
  copySelf("a-very-long-program-name", 0755);
  run("./a-very-long-program-name", state, none);
  eqStr("the name of the process is cut to 15 bytes", output, "a-very-long-pro\n");
}

static const struct section all[] = {
    {"arguments", arguments}, {"auxv", auxiliary}, {"scripts", scripts}, {"errors", errors}, {"busy", busy},
    {"survival", survival},   {"threads", threads}, {"descriptor", descriptorExec},
};

static int helper(int argc, char **argv) {
  const char *what = argv[1];
  if (!strcmp(what, "args") || !strncmp(what, "args ", 5)) {
    for (int i = 0; i < argc; i++) print("[%s]", argv[i]);
    print("\n");
    for (char **e = environ; *e; e++) print("[%s]", *e);
    print("\n");
    return 5;
  }
  if (!strcmp(what, "count")) return print("%d\n", argc), 0;
  if (!strcmp(what, "length")) return print("%lu\n", strlen(argv[2])), 0;
  if (!strcmp(what, "pid")) return print("%ld\n", getpid()), 0;
  if (!strcmp(what, "tid")) return getpid() == gettid() ? 23 : 24;
  if (!strcmp(what, "sleep")) return sleepMs(3000), 0;
  if (!strcmp(what, "align")) return ((u64)argv - 8) % 16 == 0 ? 0 : 1;
  if (!strcmp(what, "random")) {
    for (int i = 0; i < 16; i++) print("%02x", ((u8 *)auxValue(AT_RANDOM))[i]);
    return print("\n"), 0;
  }
  if (!strcmp(what, "comm")) {
    char name[17] = {0};
    SYS(prctl, 16 /* PR_GET_NAME */, name, 0, 0, 0);
    return print("%s\n", name), 0;
  }
  if (!strcmp(what, "state")) {
    struct ksigaction a, b;
    SYS(rt_sigaction, SIGUSR1, 0, &a, 8);
    SYS(rt_sigaction, SIGUSR2, 0, &b, 8);
    print("usr1 %s usr2 %s mask %lx fd30 %s fd31 %s umask %o\n", a.handler == SIG_DFL ? "default" : "other",
          b.handler == SIG_IGN ? "ignored" : "other", setMask(0), fcntl(30, F_GETFD, 0) >= 0 ? "open" : "closed",
          fcntl(31, F_GETFD, 0) >= 0 ? "open" : "closed", (int)SYS(umask, 0));
    return 0;
  }
  return -1;
}
int main(int argc, char **argv) {
  int r = argc > 1 ? helper(argc, argv) : -1;
  return r >= 0 ? r : runSections("execs", all, sizeof all / sizeof all[0], argc, argv);
}
