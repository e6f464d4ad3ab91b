// Permissions: who may read, write, enter, change and own. Needs root to start with: it becomes other users in
// children. Users and groups are plain numbers; no name is looked up.
#include "lib/rt.h"

enum { ALICE = 1001, BOB = 1002, STAFF = 2001, GUESTS = 2002 };

static long become(u32 uid, u32 gid, int n, u32 *groups) {
  long r = SYS(setgroups, n, groups);
  if (r == 0) r = SYS(setresgid, gid, gid, gid);
  if (r == 0) r = SYS(setresuid, uid, uid, uid);
  return r;
}
/// Runs fn as a user, in a child; the value is what fn returns (an errno or a small number).
static int as(u32 uid, u32 gid, int (*fn)(void)) {
  long pid = fork();
  if (pid == 0) exit_group(become(uid, gid, 0, 0) < 0 ? 255 : fn());
  int st = waitStatus(pid);
  return WIFEXITED(st) ? WEXITSTATUS(st) : 1000 + st;
}
static const char *target;
static int failure(long r) { return r < 0 ? (int)-r : 0; }
static int tryExecute(void) { return failure(SYS(faccessat, AT_FDCWD, target, 1)); }

static int isRoot(void) {
  if (SYS(geteuid) == 0) return 1;
  note("needs root");
  return 0;
}

static void matrix(void) {
  if (!isRoot()) return;
  SYS(umask, 0);
  int right = 1;
  for (int bits = 0; bits < 512; bits += 1) {
    char name[16];
    format(name, sizeof name, "f%03o", bits);
    close(open(name, O_WRONLY | O_CREAT, 0600));
    chown(name, ALICE, STAFF);
    chmod(name, bits);
  }
  chmod(".", 0755);
  static const struct {
    u32 uid, gid;
    int shift;
  } who[] = {{ALICE, GUESTS, 6}, {BOB, STAFF, 3}, {BOB, GUESTS, 0}, {ALICE, STAFF, 6}};
  for (int w = 0; w < 4; w++) {
    long pid = fork();
    if (pid == 0) {
      become(who[w].uid, who[w].gid, 0, 0);
      for (int bits = 0; bits < 512; bits++) {
        char name[16];
        format(name, sizeof name, "f%03o", bits);
        int mine = bits >> who[w].shift & 7;
        right &= (open(name, O_RDONLY, 0) >= 0) == ((mine & 4) != 0);
        right &= (open(name, O_WRONLY, 0) >= 0) == ((mine & 2) != 0);
        right &= (open(name, O_RDWR, 0) >= 0) == ((mine & 6) == 6);
        right &= (SYS(faccessat, AT_FDCWD, name, 1) == 0) == (mine & 1);
        for (int fd = 3; fd < 12; fd++) close(fd);
      }
      exit_group(right ? 0 : 1);
    }
    static const char *const names[] = {"owner", "group", "others", "the owner's bits come first"};
    statusIs(names[w], waitStatus(pid), 0);
  }
  int root = 1;
  for (int bits = 0; bits < 512; bits++) {
    char name[16];
    format(name, sizeof name, "f%03o", bits);
    long fd = open(name, O_RDWR, 0);
    root &= fd >= 0;
    close(fd);
    root &= (SYS(faccessat, AT_FDCWD, name, 1) == 0) == ((bits & 0111) != 0);
  }
  ok("root reads and writes all, executes what has an x bit", root);
}

static int inAdditionalGroup(void) { return failure(open("g", O_RDONLY, 0)); }
static void groups(void) {
  if (!isRoot()) return;
  u32 list[3] = {GUESTS, STAFF, 5};
  writeFile("g", "x");
  chown("g", 0, STAFF);
  chmod("g", 0040);
  long pid = fork();
  if (pid == 0) {
    become(BOB, 9, 3, list);
    u32 got[8] = {0};
    int good = SYS(getgroups, 8, got) == 3 && SYS(getgroups, 0, 0) == 3;
    good &= SYS(getgroups, 1, got) == -EINVAL;
    exit_group(good && inAdditionalGroup() == 0 ? 0 : 1);
  }
  statusIs("additional groups count", waitStatus(pid), 0);
  eq("without them", as(BOB, 9, inAdditionalGroup), EACCES);
  target = "g";
  chmod("g", 0070);
  eq("a user of the group executes", as(BOB, STAFF, tryExecute), 0);
}

static int enter(void) { return failure(chdir("d")); }
static int list(void) { return failure(open("d", O_RDONLY, 0)); }
static int openIn(void) { return failure(open("d/f", O_RDONLY, 0)); }
static int createIn(void) { return failure(open("d/new", O_WRONLY | O_CREAT, 0644)); }
static int removeIn(void) { return failure(unlink("d/f")); }
static int renameIn(void) { return failure(rename("d/f", "d/g")); }
static int mkdirIn(void) { return failure(mkdir("d/sub", 0755)); }
static int linkIn(void) { return failure(symlink("x", "d/l")); }
static int statIn(void) {
  struct statx s;
  return failure(statx(AT_FDCWD, "d/f", 0, STATX_ALL, &s));
}
static void directories(void) {
  if (!isRoot()) return;
  chmod(".", 0755);
  mkdir("d", 0755);
  writeFile("d/f", "x");
  chmod("d", 0644);
  eq("r-- lists", as(BOB, 9, list), 0);
  eq("r-- does not enter", as(BOB, 9, enter), EACCES);
  eq("r-- opens nothing inside", as(BOB, 9, openIn), EACCES);
  eq("r-- tells no status", as(BOB, 9, statIn), EACCES);
  chmod("d", 0711);
  eq("--x does not list", as(BOB, 9, list), EACCES);
  eq("--x enters", as(BOB, 9, enter), 0);
  eq("--x opens by name", as(BOB, 9, openIn), 0);
  eq("r-x does not create", (chmod("d", 0755), as(BOB, 9, createIn)), EACCES);
  eq("r-x does not remove", as(BOB, 9, removeIn), EACCES);
  eq("r-x does not rename", as(BOB, 9, renameIn), EACCES);
  eq("r-x makes no directory", as(BOB, 9, mkdirIn), EACCES);
  eq("r-x makes no link", as(BOB, 9, linkIn), EACCES);
  chmod("d", 0777);
  eq("rwx creates", as(BOB, 9, createIn), 0);
  eq("rwx removes another's file", as(BOB, 9, removeIn), 0);
  writeFile("d/f", "x");
  chown("d/f", ALICE, STAFF);
  chmod("d", 01777);
  eq("sticky: not another's file", as(BOB, 9, removeIn), EPERM);
  eq("sticky: nor its name", as(BOB, 9, renameIn), EPERM);
  eq("sticky: the owner's own", as(ALICE, 9, renameIn), 0);
  rename("d/g", "d/f");
  chown("d", BOB, 0);
  eq("sticky: the directory's owner", as(BOB, 9, removeIn), 0);
  chmod("d", 02777);
  chown("d", 0, STAFF);
  close(open("d/sg", O_WRONLY | O_CREAT, 0644));
  mkdir("d/sgd", 0755);
  struct statx s;
  statx(AT_FDCWD, "d/sg", 0, STATX_ALL, &s);
  eq("set-gid directory: the file's group", s.stx_gid, STAFF);
  statx(AT_FDCWD, "d/sgd", 0, STATX_ALL, &s);
  ok("set-gid directory: a new directory too", s.stx_gid == STAFF && (s.stx_mode & 07777) == 02755);
}

static int chmodIt(void) { return failure(chmod("f", 0600)); }
static int chownIt(void) { return failure(chown("f", BOB, -1)); }
static int chgrpOwn(void) { return failure(chown("f", -1, GUESTS)); }
static int chgrpOther(void) { return failure(chown("f", -1, STAFF)); }
static int chmodGid(void) {
  struct statx s;
  chmod("f", 02755);
  statx(AT_FDCWD, "f", 0, STATX_ALL, &s);
  return (s.stx_mode & 02000) != 0;
}
static int touchNow(void) { return failure(SYS(utimensat, AT_FDCWD, "f", 0, 0)); }
static int touchThen(void) {
  struct timespec t[2] = {{1, 0}, {1, 0}};
  return failure(SYS(utimensat, AT_FDCWD, "f", t, 0));
}
static int appendTo(void) { return failure(write(open("f", O_WRONLY | O_APPEND, 0), "x", 1)); }
static void owners(void) {
  if (!isRoot()) return;
  struct statx s;
  chmod(".", 0755);
  writeFile("f", "x");
  chown("f", ALICE, GUESTS);
  chmod("f", 0666);
  eq("the owner may chmod", as(ALICE, GUESTS, chmodIt), 0);
  eq("another may not", as(BOB, GUESTS, chmodIt), EPERM);
  eq("the owner may not give it away", as(ALICE, GUESTS, chownIt), EPERM);
  eq("a group of his own", as(ALICE, GUESTS, chgrpOwn), 0);
  eq("not of another", as(ALICE, GUESTS, chgrpOther), EPERM);
  eq("another user: no group", as(BOB, GUESTS, chgrpOwn), EPERM);
  chmod("f", 0666);
  eq("set-gid for a member", as(ALICE, GUESTS, chmodGid), 1);
  eq("dropped for others", as(ALICE, STAFF, chmodGid), 0);
  chmod("f", 0666);
  eq("a writer may touch now", as(BOB, 9, touchNow), 0);
  eq("but not to a chosen time", as(BOB, 9, touchThen), EPERM);
  eq("the owner may", as(ALICE, 9, touchThen), 0);
  chmod("f", 0644);
  eq("no writer, no touch", as(BOB, 9, touchNow), EACCES);
  chmod("f", 06777);
  eq("a write", as(BOB, 9, appendTo), 0);
  statx(AT_FDCWD, "f", 0, STATX_ALL, &s);
  eq("takes set-uid and set-gid away", s.stx_mode & 07000, 0);
  chmod("f", 06755);
  chown("f", BOB, STAFF);
  statx(AT_FDCWD, "f", 0, STATX_ALL, &s);
  ok("so does chown", (s.stx_mode & 07000) == 0 && s.stx_uid == BOB && s.stx_gid == STAFF);
  chown("f", -1, -1);
  statx(AT_FDCWD, "f", 0, STATX_ALL, &s);
  ok("-1 leaves them", s.stx_uid == BOB && s.stx_gid == STAFF);
}

static int idsOfUser(void) {
  u32 r, e, s;
  int good = SYS(setuid, 0) == -EPERM && SYS(setgid, 0) == -EPERM && SYS(setgroups, 0, 0) == -EPERM;
  good &= SYS(setresuid, -1, 0, -1) == -EPERM && SYS(setreuid, 0, 0) == -EPERM;
  SYS(getresuid, &r, &e, &s);
  good &= r == ALICE && e == ALICE && s == ALICE;
  good &= SYS(setuid, ALICE) == 0;
  good &= SYS(chroot, ".") == -EPERM && mknod("dev", S_IFCHR | 0600, 0x103) == -EPERM;
  good &= SYS(sethostname, "x", 1) == -EPERM;
  good &= kill(1, 0) == -EPERM || getpid() == 1;
  return good ? 0 : 1;
}
static void identity(void) {
  if (!isRoot()) return;
  u32 r, e, s;
  chmod(".", 0777);
  eq("a user may become nobody else", as(ALICE, GUESTS, idsOfUser), 0);
  long pid = fork();
  if (pid == 0) {
    int good = SYS(setresuid, ALICE, BOB, 0) == 0;
    SYS(getresuid, &r, &e, &s);
    good &= r == ALICE && e == BOB && s == 0;
    good &= SYS(getuid) == ALICE && SYS(geteuid) == BOB;
    good &= SYS(setuid, ALICE) == 0 && SYS(geteuid) == ALICE;
    good &= SYS(setresuid, -1, 0, -1) == 0 && SYS(geteuid) == 0;
    good &= SYS(setuid, BOB) == 0;
    SYS(getresuid, &r, &e, &s);
    good &= r == BOB && e == BOB && s == BOB && SYS(setuid, 0) == -EPERM;
    exit_group(good ? 0 : 1);
  }
  statusIs("real, effective and saved ids", waitStatus(pid), 0);
  pid = fork();
  if (pid == 0) {
    writeFile("f", "x");
    chmod("f", 0600);
    SYS(setresuid, ALICE, 0, 0);
    int good = SYS(faccessat, AT_FDCWD, "f", 4) == -EACCES;
    good &= SYS(faccessat2, AT_FDCWD, "f", 4, AT_EACCESS) == 0;
    good &= open("f", O_RDONLY, 0) >= 0;
    exit_group(good ? 0 : 1);
  }
  statusIs("access asks with the real id", waitStatus(pid), 0);
  pid = fork();
  if (pid == 0) {
    SYS(setresuid, -1, ALICE, -1);
    close(open("made", O_WRONLY | O_CREAT, 0644));
    struct statx x;
    int good = open("/", O_RDONLY, 0) >= 0;
    SYS(setresuid, -1, 0, -1);
    chmod(".", 0777);
    SYS(setresgid, -1, STAFF, -1);
    SYS(setresuid, -1, ALICE, -1);
    close(open("made2", O_WRONLY | O_CREAT, 0644));
    statx(AT_FDCWD, "made2", 0, STATX_ALL, &x);
    exit_group(good && x.stx_uid == ALICE && x.stx_gid == STAFF ? 0 : 1);
  }
  statusIs("new files belong to the effective ids", waitStatus(pid), 0);
}

static void copySelf(const char *to) {
  static u8 b[65536];
  long in = open(selfPath, O_RDONLY, 0), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755), n;
  while ((n = read(in, b, sizeof b)) > 0) write(out, b, n);
  close(in);
  close(out);
}
static int runCopy(void) {
  char *args[] = {"./su", "report", 0}, *env[] = {0};
  execve("./su", args, env);
  return 250;
}
static int runSealed(void) {
  char *args[] = {"./su", "report", 0}, *env[] = {0};
  return failure(execve("./sealed", args, env));
}
/// The exit status tells the ids: 1 effective user is BOB, 2 effective group is STAFF, 4 real user is ALICE,
/// 8 AT_SECURE is set, 16 saved user is the effective.
static int report(void) {
  u32 r, e, s;
  SYS(getresuid, &r, &e, &s);
  return (e == BOB) + 2 * (SYS(getegid) == STAFF) + 4 * (r == ALICE) + 8 * (auxValue(AT_SECURE) == 1) + 16 * (s == e);
}
static void setUid(void) {
  if (!isRoot()) return;
  chmod(".", 0777);
  copySelf("su");
  chown("su", BOB, STAFF);
  chmod("su", 0755);
  eq("an ordinary program keeps the ids", as(ALICE, GUESTS, runCopy), 4 + 16);
  chmod("su", 04755);
  eq("set-uid", as(ALICE, GUESTS, runCopy), 1 + 4 + 8 + 16);
  chmod("su", 02755);
  eq("set-gid", as(ALICE, GUESTS, runCopy), 2 + 4 + 8 + 16);
  chmod("su", 06755);
  eq("both", as(ALICE, GUESTS, runCopy), 1 + 2 + 4 + 8 + 16);
  copySelf("sealed");
  chmod("sealed", 0644);
  eq("no x bit", as(ALICE, GUESTS, runSealed), EACCES);
  eq("not even for root", as(0, 0, runSealed), EACCES);
  chmod("sealed", 0711);
  eq("execute without read", as(ALICE, GUESTS, runSealed), 16 + 4);
}

static long victim;
static int killVictim(void) { return failure(kill(victim, 0)); }
static void signalling(void) {
  if (!isRoot()) return;
  victim = fork();
  if (victim == 0) {
    become(ALICE, 9, 0, 0);
    for (;;) sleepMs(1000);
  }
  sleepMs(50);
  eq("the same user", as(ALICE, GUESTS, killVictim), 0);
  eq("another user", as(BOB, GUESTS, killVictim), EPERM);
  eq("root", killVictim(), 0);
  kill(victim, SIGKILL);
  waitStatus(victim);
}

static const struct section all[] = {
    {"matrix", matrix}, {"groups", groups}, {"directories", directories}, {"owners", owners},
    {"identity", identity}, {"setuid", setUid}, {"signalling", signalling},
};
int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "report")) return report();
  return runSections("permissions", all, sizeof all / sizeof all[0], argc, argv);
}
