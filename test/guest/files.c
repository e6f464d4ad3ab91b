// Files and directories: opening, offsets, vectors, holes, links, renames, symbolic links, directory reading,
// times, descriptors.
#include "lib/rt.h"

static struct statx st;
static long size(const char *p) { return statx(AT_FDCWD, p, AT_SYMLINK_NOFOLLOW, STATX_ALL, &st) < 0 ? -1 : (long)st.stx_size; }
static long links(const char *p) { return statx(AT_FDCWD, p, AT_SYMLINK_NOFOLLOW, STATX_ALL, &st) < 0 ? -1 : (long)st.stx_nlink; }
static long mode(const char *p) { return statx(AT_FDCWD, p, AT_SYMLINK_NOFOLLOW, STATX_ALL, &st) < 0 ? -1 : (long)st.stx_mode; }

static void opening(void) {
  errIs("no file", open("none", O_RDONLY, 0), ENOENT);
  errIs("no directory", open("none/x", O_RDWR | O_CREAT, 0644), ENOENT);
  errIs("an empty name", open("", O_RDONLY, 0), ENOENT);
  long fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 0640);
  ok("O_CREAT|O_EXCL", fd >= 0);
  write(fd, "hello", 5);
  errIs("read of a write-only descriptor", read(fd, &st, 1), EBADF);
  close(fd);
  errIs("O_EXCL again", open("f", O_WRONLY | O_CREAT | O_EXCL, 0640), EEXIST);
  eq("mode", mode("f"), 0100640);
  fd = open("f", O_RDONLY | O_CREAT, 0777);
  ok("O_CREAT of an existing file", fd >= 0 && mode("f") == 0100640);
  errIs("write of a read-only descriptor", write(fd, "x", 1), EBADF);
  errIs("ftruncate of it", ftruncate(fd, 0), EINVAL);
  close(fd);
  fd = open("f", O_WRONLY | O_APPEND, 0);
  lseek(fd, 0, SEEK_SET);
  write(fd, "+1", 2);
  eq("O_APPEND writes at the end", size("f"), 7);
  eq("and moves the offset there", lseek(fd, 0, SEEK_CUR), 7);
  pwrite(fd, "Z", 1, 0);
  eq("pwrite appends too", size("f"), 8);
  close(fd);
  close(open("f", O_WRONLY | O_TRUNC, 0));
  eq("O_TRUNC", size("f"), 0);
  mkdir("d", 0755);
  errIs("a directory for writing", open("d", O_WRONLY, 0), EISDIR);
  errIs("O_CREAT of a directory", open("d", O_RDONLY | O_CREAT, 0644), EISDIR);
  errIs("O_DIRECTORY of a file", open("f", O_RDONLY | O_DIRECTORY, 0), ENOTDIR);
  errIs("a file as a directory", open("f/x", O_RDONLY, 0), ENOTDIR);
  errIs("a file with a slash", open("f/", O_RDONLY, 0), ENOTDIR);
  errIs("create with a slash", open("new/", O_RDWR | O_CREAT, 0644), EISDIR);
  fd = open("d", O_RDONLY, 0);
  errIs("read of a directory", read(fd, &st, 10), EISDIR);
  close(fd);
  symlink("f", "s");
  errIs("O_NOFOLLOW of a link", open("s", O_RDONLY | O_NOFOLLOW, 0), ELOOP);
  symlink("missing", "dangling");
  errIs("a dangling link", open("dangling", O_RDONLY, 0), ENOENT);
  errIs("O_EXCL of a dangling link", open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
  fd = open("dangling", O_RDWR | O_CREAT, 0644);
  ok("O_CREAT through it", fd >= 0 && mode("missing") == 0100644);
  close(fd);
  fd = open("s", O_PATH | O_NOFOLLOW, 0);
  ok("O_PATH of a link", fd >= 0);
  errIs("no reading through O_PATH", read(fd, &st, 1), EBADF);
  statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &st);
  eq("but its status", st.stx_mode & S_IFMT, S_IFLNK);
  close(fd);
  fd = open(".", 020000000 | 0200000 | O_RDWR, 0600);  // O_TMPFILE
  ok("O_TMPFILE or the standard error", fd >= 0 || fd == -EOPNOTSUPP || fd == -EISDIR);
  SYS(umask, 027);
  close(open("masked", O_WRONLY | O_CREAT, 0666));
  eq("umask", mode("masked"), 0100640);
  eq("umask returns the old one", SYS(umask, 022), 027);
  mkdir("maskdir", 0777);
  eq("umask of mkdir", mode("maskdir"), 040755);
}

static void offsets(void) {
  long fd = open("f", O_RDWR | O_CREAT, 0644);
  char b[64];
  eq("write", write(fd, "0123456789", 10), 10);
  eq("at the end", read(fd, b, 10), 0);
  eq("SEEK_SET", lseek(fd, 3, SEEK_SET), 3);
  eq("SEEK_CUR", lseek(fd, 2, SEEK_CUR), 5);
  eq("SEEK_END", lseek(fd, -1, SEEK_END), 9);
  errIs("before the start", lseek(fd, -20, SEEK_CUR), EINVAL);
  errIs("another whence", lseek(fd, 0, 9), EINVAL);
  eq("the offset is unchanged", lseek(fd, 0, SEEK_CUR), 9);
  eq("pread", pread(fd, b, 4, 2), 4);
  ok("its bytes", !memcmp(b, "2345", 4));
  eq("pread beyond the end", pread(fd, b, 4, 100), 0);
  errIs("a negative offset", pread(fd, b, 4, -1), EINVAL);
  eq("no offset moved", lseek(fd, 0, SEEK_CUR), 9);
  eq("seek beyond the end", lseek(fd, 20, SEEK_SET), 20);
  write(fd, "X", 1);
  eq("makes a hole", size("f"), 21);
  pread(fd, b, 21, 0);
  ok("of zeros", b[10] == 0 && b[19] == 0 && b[20] == 'X');
  long other = dup(fd);
  lseek(other, 4, SEEK_SET);
  eq("dup shares the offset", lseek(fd, 0, SEEK_CUR), 4);
  long own = open("f", O_RDWR, 0);
  eq("open does not", lseek(own, 0, SEEK_CUR), 0);
  long pid = fork();
  if (pid == 0) {
    lseek(fd, 8, SEEK_SET);
    exit_group(0);
  }
  waitStatus(pid);
  eq("fork shares it", lseek(fd, 0, SEEK_CUR), 8);
  struct iovec v[3] = {{b, 2}, {b + 10, 0}, {b + 20, 3}};
  lseek(fd, 0, SEEK_SET);
  eq("readv", SYS(readv, fd, v, 3), 5);
  ok("scatters", !memcmp(b, "01", 2) && !memcmp(b + 20, "234", 3));
  eq("writev", SYS(writev, fd, v, 3), 5);
  pread(fd, b, 10, 0);
  ok("gathers", !memcmp(b, "0123401234", 10));
  errIs("too many vectors", SYS(readv, fd, v, 1025), EINVAL);
  errIs("a negative count", SYS(readv, fd, v, -1), EINVAL);
  eq("no vectors", SYS(readv, fd, v, 0), 0);
  eq("preadv", SYS(preadv, fd, v, 3, 1, 0), 5);
  eq("pwritev", SYS(pwritev, fd, v, 3, 1, 0), 5);
  v[1].iov_len = 1UL << 63;
  errIs("a vector too long", SYS(readv, fd, v, 3), EINVAL);
  eq("ftruncate grows", ftruncate(fd, 9000), 0);
  eq("size", size("f"), 9000);
  eq("with zeros", pread(fd, b, 1, 8999) + b[0], 1);
  ftruncate(fd, 3);
  ftruncate(fd, 10);
  pread(fd, b, 10, 0);
  ok("cut and grown: zeros", b[3] == 0 && b[9] == 0);
  errIs("a negative length", ftruncate(fd, -1), EINVAL);
  errIs("truncate of nothing", truncate("none", 1), ENOENT);
  errIs("truncate of a directory", truncate(".", 1), EISDIR);
  int p[2];
  pipe2(p, 0);
  errIs("lseek of a pipe", lseek(p[0], 0, SEEK_SET), ESPIPE);
  errIs("pread of a pipe", pread(p[0], b, 1, 0), ESPIPE);
  eq("write of nothing", write(fd, b, 0), 0);
  eq("a large write", write(fd, stackTop(1 << 20) - (1 << 20), 1 << 20), 1 << 20);
}

static void holes(void) {
  long fd = open("f", O_RDWR | O_CREAT, 0644);
  pwrite(fd, "a", 1, 0);
  pwrite(fd, "b", 1, 1 << 20);
  long data = lseek(fd, 0, 3), hole = lseek(fd, 0, 4);
  ok("SEEK_DATA finds the start", data == 0);
  ok("SEEK_HOLE finds a hole or the end", hole > 0 && hole <= (1 << 20) + 1);
  long next = lseek(fd, hole, 3);
  ok("SEEK_DATA after it", hole == (1 << 20) + 1 ? next == -ENXIO : next <= 1 << 20 && next >= hole);
  errIs("SEEK_DATA at the end", lseek(fd, (1 << 20) + 1, 3), ENXIO);
  errIs("SEEK_HOLE beyond", lseek(fd, 1 << 21, 4), ENXIO);
  eq("SEEK_HOLE at the last byte", lseek(fd, 1 << 20, 4), (1 << 20) + 1);
}

static void linking(void) {
  writeFile("a", "one");
  eq("link", link("a", "b"), 0);
  eq("two links", links("a"), 2);
  errIs("link onto a name", link("a", "b"), EEXIST);
  errIs("link of nothing", link("none", "c"), ENOENT);
  mkdir("d", 0755);
  errIs("link of a directory", link("d", "e"), EPERM);
  long fd = open("a", O_RDONLY, 0);
  unlink("a");
  eq("one link", links("b"), 1);
  unlink("b");
  char b[8];
  eq("an unlinked file stays open", read(fd, b, 8), 3);
  statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &st);
  eq("without links", st.stx_nlink, 0);
  close(fd);
  errIs("unlink of nothing", unlink("a"), ENOENT);
  errIs("unlink of a directory", unlink("d"), EISDIR);
  errIs("rmdir of a file", (writeFile("f", ""), rmdir("f")), ENOTDIR);
  writeFile("d/x", "");
  errIs("rmdir of a full directory", rmdir("d"), ENOTEMPTY);
  errIs("rmdir of .", rmdir("d/."), EINVAL);
  errIs("rmdir of ..", rmdir("d/.."), ENOTEMPTY);
  unlink("d/x");
  eq("rmdir", rmdir("d"), 0);
  errIs("mkdir onto a file", mkdir("f", 0755), EEXIST);
  errIs("mkdir in nothing", mkdir("no/x", 0755), ENOENT);
  mkdir("p", 0755);
  eq("a new directory has 2 links or 1", links("p") == 2 || links("p") == 1, 1);
  symlink("f", "s");
  SYS(linkat, AT_FDCWD, "s", AT_FDCWD, "s2", 0);
  eq("link of a symbolic link", mode("s2") & S_IFMT, S_IFLNK);
  SYS(linkat, AT_FDCWD, "s", AT_FDCWD, "f2", AT_SYMLINK_FOLLOW);
  eq("AT_SYMLINK_FOLLOW", mode("f2") & S_IFMT, S_IFREG);
  eq("mknod of a file", mknod("reg", S_IFREG | 0600, 0), 0);
  eq("mknod of a fifo", mknod("fifo", S_IFIFO | 0600, 0), 0);
  eq("its type", mode("fifo"), 010600);
  errIs("mknod again", mknod("fifo", S_IFIFO | 0600, 0), EEXIST);
  errIs("mknod of a directory", mknod("md", S_IFDIR | 0700, 0), EPERM);
}

static void renaming(void) {
  writeFile("a", "A");
  writeFile("b", "B");
  eq("onto a file", rename("a", "b"), 0);
  eqStr("it is replaced", readFile("b"), "A");
  errIs("the old name is gone", open("a", O_RDONLY, 0), ENOENT);
  mkdir("d", 0755);
  mkdir("e", 0755);
  writeFile("e/x", "X");
  errIs("a file onto a directory", rename("b", "d"), EISDIR);
  errIs("a directory onto a file", rename("d", "b"), ENOTDIR);
  errIs("onto a full directory", rename("d", "e"), ENOTEMPTY);
  eq("onto an empty directory", rename("e", "d"), 0);
  eqStr("with its contents", readFile("d/x"), "X");
  errIs("into itself", rename("d", "d/sub"), EINVAL);
  errIs("onto its ancestor", rename("d/x", "d"), ENOTEMPTY);
  errIs("nothing", rename("none", "z"), ENOENT);
  errIs(".", rename(".", "z"), EBUSY);
  eq("onto itself", rename("b", "b"), 0);
  link("b", "b2");
  eq("onto another link of it", rename("b", "b2"), 0);
  eq("leaves both", links("b"), 2);
  errIs("RENAME_NOREPLACE", SYS(renameat2, AT_FDCWD, "b", AT_FDCWD, "d", RENAME_NOREPLACE), EEXIST);
  writeFile("c", "C");
  eq("RENAME_EXCHANGE", SYS(renameat2, AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE), 0);
  ok("both changed", !strcmp(readFile("b"), "C") && !strcmp(readFile("c"), "A"));
  errIs("bad flags", SYS(renameat2, AT_FDCWD, "b", AT_FDCWD, "c", 64), EINVAL);
  errIs("a file with a slash", rename("b", "z/"), ENOTDIR);
  long fd = open("b", O_RDONLY, 0);
  rename("c", "b");
  char t[4];
  ok("an open file is the old one", read(fd, t, 4) == 1 && t[0] == 'C');
  mkdir("w", 0755);
  mkdir("w/v", 0755);
  chdir("w/v");
  rename("../../w", "../../renamed");
  char cwd[256];
  SYS(getcwd, cwd, sizeof cwd);
  ok("getcwd after a rename", strstr(cwd, "/renamed/v") != NULL);
  rmdir("../v");
  errIs("getcwd of a removed directory", SYS(getcwd, cwd, sizeof cwd), ENOENT);
  errIs("create in it", open("x", O_WRONLY | O_CREAT, 0644), ENOENT);
  errIs("getcwd into too little", (chdir("/usr"), SYS(getcwd, cwd, 2)), ERANGE);
}

static void symlinks(void) {
  char b[256], name[300];
  eq("symlink", symlink("target/x", "s"), 0);
  eq("readlink", readlink("s", b, sizeof b), 8);
  ok("its text", !memcmp(b, "target/x", 8));
  eq("cut short", readlink("s", b, 3), 3);
  errIs("a size of 0", readlink("s", b, 0), EINVAL);
  errIs("of a file", (writeFile("f", "F"), readlink("f", b, 9)), EINVAL);
  errIs("onto a name", symlink("x", "s"), EEXIST);
  errIs("empty", symlink("", "e"), ENOENT);
  symlink("l2", "l1");
  symlink("l1", "l2");
  errIs("a loop", open("l1", O_RDONLY, 0), ELOOP);
  errIs("inside a path", open("l1/x", O_RDONLY, 0), ELOOP);
  eq("unlink one", unlink("l1"), 0);
  symlink("f", "c0");
  for (int i = 1; i <= 45; i++) {
    char from[16], to[16];
    format(from, sizeof from, "c%d", i - 1);
    format(to, sizeof to, "c%d", i);
    symlink(from, to);
  }
  ok("40 links are followed", open("c39", O_RDONLY, 0) >= 0);
  errIs("41 are not", open("c40", O_RDONLY, 0), ELOOP);
  mkdir("d", 0755);
  writeFile("d/in", "IN");
  symlink("d", "sd");
  eqStr("a directory link in a path", readFile("sd/in"), "IN");
  symlink("../f", "d/up");
  eqStr("relative to its own directory", readFile("sd/up"), "F");
  errIs("rmdir of a link", rmdir("sd"), ENOTDIR);
  errIs("rmdir of a link with a slash", rmdir("sd/"), ENOTDIR);
  eq("unlink of a link", unlink("sd"), 0);
  eqStr("leaves its target", readFile("d/in"), "IN");
  memset(name, 'n', 299);
  name[255] = 0;
  eq("a name of 255 bytes", mkdir(name, 0755), 0);
  name[255] = 'n', name[256] = 0;
  errIs("of 256", mkdir(name, 0755), ENAMETOOLONG);
  static char path[5000];
  for (int i = 0; i < 4094; i += 2) path[i] = '.', path[i + 1] = '/';
  path[4094] = 'f', path[4095] = 0;
  ok("a path of 4095 bytes", open(path, O_RDONLY, 0) >= 0);
  path[4094] = '/', path[4095] = 'f', path[4096] = 0;
  errIs("of 4096", open(path, O_RDONLY, 0), ENAMETOOLONG);
  eqStr("dots and slashes", readFile(".//d/..///d/./in"), "IN");
}

struct dirent64 {
  u64 ino;
  i64 off;
  u16 reclen;
  u8 type;
  char name[];
};
/// Reads a directory; returns the number of entries and a sum over their names and types.
static int readDirectory(const char *p, u64 *sum, int unlinkThem) {
  static u8 buf[1024];
  long fd = open(p, O_RDONLY | O_DIRECTORY, 0), n;
  int count = 0;
  *sum = 0;
  while ((n = SYS(getdents64, fd, buf, sizeof buf)) > 0)
    for (long i = 0; i < n;) {
      struct dirent64 *d = (void *)(buf + i);
      u64 h = d->type;
      for (char *c = d->name; *c; c++) h = h * 31 + (u8)*c;
      *sum += h;
      count++;
      if (unlinkThem && d->name[0] != '.') SYS(unlinkat, fd, d->name, 0);
      i += d->reclen;
    }
  close(fd);
  return n < 0 ? (int)n : count;
}
static void directories(void) {
  char name[32];
  u64 sum, want = 4 * 31UL + '.';
  want += (4 * 31UL + '.') * 31 + '.';
  mkdir("d", 0755);
  for (int i = 0; i < 150; i++) {
    format(name, sizeof name, "d/file-%d", i);
    writeFile(name, "");
    u64 h = 8;
    for (char *c = name + 2; *c; c++) h = h * 31 + (u8)*c;
    want += h;
  }
  eq("entries", readDirectory("d", &sum, 0), 152);
  ok("names and types", sum == want);
  eq("removing while reading", readDirectory("d", &sum, 1), 152);
  eq("empties it", readDirectory("d", &sum, 0), 2);
  eq("rmdir", rmdir("d"), 0);
  writeFile("f", "");
  long fd = open("f", O_RDONLY, 0);
  u8 b[64];
  errIs("getdents of a file", SYS(getdents64, fd, b, sizeof b), ENOTDIR);
  fd = open(".", O_RDONLY, 0);
  errIs("into too little", SYS(getdents64, fd, b, 8), EINVAL);
  mkdir("e", 0755);
  fd = open("e", O_RDONLY, 0);
  rmdir("e");
  eq("of a removed directory", SYS(getdents64, fd, b, sizeof b), -ENOENT);
  mkdir("g", 0755);
  fd = open("g", O_RDONLY, 0);
  long n = SYS(getdents64, fd, b, sizeof b);
  eq("to the end", SYS(getdents64, fd, b, sizeof b), 0);
  lseek(fd, 0, SEEK_SET);
  eq("and again", SYS(getdents64, fd, b, sizeof b), n);
  long d = open("g", O_PATH, 0);
  long in = openat(d, "inside", O_WRONLY | O_CREAT, 0600);
  ok("openat", in >= 0 && mode("g/inside") == 0100600);
  errIs("openat of a file descriptor", openat(in, "x", O_RDONLY, 0), ENOTDIR);
  errIs("openat of no descriptor", openat(99, "x", O_RDONLY, 0), EBADF);
  ok("an absolute path needs none", openat(99, "/", O_RDONLY, 0) >= 0);
  eq("fchdir", SYS(fchdir, d), 0);
  eq("there", mode("inside"), 0100600);
  errIs("chdir to a file", chdir("inside"), ENOTDIR);
  errIs("chdir to nothing", chdir("none"), ENOENT);
}

static void status(void) {
  struct stat s;
  writeFile("f", "12345");
  eq("fstatat", SYS(newfstatat, AT_FDCWD, "f", &s, 0), 0);
  ok("its fields", s.st_size == 5 && s.st_mode == 0100644 && s.st_nlink == 1 && s.st_uid == SYS(geteuid) && s.st_blksize > 0);
  ok("statx agrees", size("f") == 5 && st.stx_ino == s.st_ino && (st.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
  long fd = open("f", O_RDONLY, 0);
  struct stat t;
  eq("fstat", SYS(fstat, fd, &t), 0);
  ok("the same file", t.st_ino == s.st_ino && t.st_dev == s.st_dev);
  struct timespec times[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
  eq("utimensat", SYS(utimensat, AT_FDCWD, "f", times, 0), 0);
  size("f");
  ok("nanoseconds", st.stx_atime.tv_sec == 1000000000 && st.stx_mtime.tv_sec == 1100000000 && st.stx_mtime.tv_nsec == 987654321);
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_sec = 5, times[1].tv_nsec = 0;
  SYS(utimensat, AT_FDCWD, "f", times, 0);
  size("f");
  ok("UTIME_OMIT", st.stx_atime.tv_sec == 1000000000 && st.stx_mtime.tv_sec == 5);
  times[1].tv_nsec = UTIME_NOW;
  SYS(utimensat, AT_FDCWD, "f", times, 0);
  size("f");
  ok("UTIME_NOW", st.stx_mtime.tv_sec > 1500000000);
  times[1].tv_nsec = 2000000000;
  errIs("a bad time", SYS(utimensat, AT_FDCWD, "f", times, 0), EINVAL);
  times[1].tv_sec = 77, times[1].tv_nsec = 0;
  SYS(utimensat, AT_FDCWD, "f", times, 0);
  writeFile("f", "more");
  size("f");
  ok("a write sets the time", st.stx_mtime.tv_sec > 1500000000);
  size("/dev/null");
  ok("/dev/null is 1:3", st.stx_rdev_major == 1 && st.stx_rdev_minor == 3 && (st.stx_mode & S_IFMT) == S_IFCHR);
  errIs("AT_EMPTY_PATH is needed", statx(fd, "", 0, STATX_ALL, &st), ENOENT);
  errIs("bad flags", statx(AT_FDCWD, "f", 0x8000, STATX_ALL, &st), EINVAL);
  eq("faccessat", SYS(faccessat, AT_FDCWD, "f", 4), 0);
  errIs("of nothing", SYS(faccessat, AT_FDCWD, "none", 0), ENOENT);
  errIs("a bad mode", SYS(faccessat, AT_FDCWD, "f", 9), EINVAL);
}

static void descriptors(void) {
  long a = open("f", O_RDWR | O_CREAT, 0644), b = dup(a);
  eq("the lowest free number", b, a + 1);
  close(a);
  eq("again", open("f", O_RDONLY, 0), a);
  eq("dup3", dup3(a, 40, O_CLOEXEC), 40);
  eq("close-on-exec", fcntl(40, F_GETFD, 0), FD_CLOEXEC);
  errIs("dup3 onto itself", dup3(a, a, 0), EINVAL);
  errIs("dup3 of nothing", dup3(77, 40, 0), EBADF);
  errIs("dup3 too high", dup3(a, 1 << 24, 0), EBADF);
  errIs("dup3 with a bad flag", dup3(a, 41, 1), EINVAL);
  eq("F_DUPFD", fcntl(a, F_DUPFD, 50), 50);
  eq("F_DUPFD_CLOEXEC", fcntl(a, F_DUPFD_CLOEXEC, 50), 51);
  eq("its flag", fcntl(51, F_GETFD, 0), 1);
  eq("F_SETFD", fcntl(51, F_SETFD, 0) + fcntl(51, F_GETFD, 0), 0);
  eq("F_GETFL", fcntl(b, F_GETFL, 0) & (O_ACCMODE | O_APPEND), O_RDWR);
  eq("F_SETFL", fcntl(b, F_SETFL, O_APPEND | O_NONBLOCK), 0);
  eq("the flags", fcntl(b, F_GETFL, 0) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND | O_NONBLOCK);
  errIs("an unknown command", fcntl(b, 9999, 0), EINVAL);
  errIs("of nothing", fcntl(77, F_GETFD, 0), EBADF);
  errIs("close of nothing", close(77), EBADF);
  eq("close_range", SYS(close_range, 40, 60, 0), 0);
  errIs("closed", close(50), EBADF);
  char name[32], to[64];
  format(name, sizeof name, "/proc/self/fd/%ld", b);
  long n = readlink(name, to, sizeof to - 1);
  to[n > 0 ? n : 0] = 0;
  ok("/proc/self/fd", n > 2 && !strcmp(to + n - 2, "/f"));
  long again = open(name, O_RDONLY, 0);
  ok("opens the same file", again >= 0 && fcntl(again, F_GETFL, 0) % 4 == O_RDONLY);
  ok("a lock and its conflict", SYS(flock, b, 2) == 0 && SYS(flock, open("f", O_RDWR, 0), 2 | 4) == -EAGAIN);
}

static void locks(void) {
  long fd = open("f", O_RDWR | O_CREAT, 0644);
  struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
  eq("F_SETLK", fcntl(fd, F_SETLK, (long)&l), 0);
  long pid = fork();
  if (pid == 0) {
    struct flock m = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1};
    int good = fcntl(fd, F_SETLK, (long)&m) == -EAGAIN;
    fcntl(fd, F_GETLK, (long)&m);
    good &= m.l_type == F_WRLCK && m.l_pid == getppid() && m.l_start == 10;
    m.l_type = F_WRLCK, m.l_start = 20, m.l_len = 5;
    good &= fcntl(fd, F_SETLK, (long)&m) == 0;
    m.l_type = F_WRLCK, m.l_start = 15, m.l_len = 1;
    good &= fcntl(fd, F_SETLKW, (long)&m) == 0;
    exit_group(good ? 0 : 1);
  }
  sleepMs(60);
  l.l_type = F_UNLCK;
  fcntl(fd, F_SETLK, (long)&l);
  statusIs("record locks between processes", waitStatus(pid), 0);
}

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
#endif
static void nothing(int sig) {}
static long lockOf(long fd, long command, int type, i64 start, i64 length) {
  struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(fd, command, (long)&l);
}
/// What F_GETLK or F_OFD_GETLK tells: "w 5+3 own", "r 0+0 ofd", "free".
static const char *inTheWay(long fd, long command, int type, i64 start, i64 length, long pid) {
  static char text[64];
  struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  long r = fcntl(fd, command, (long)&l);
  if (r < 0) format(text, sizeof text, "%s", errnoName(-r));
  else if (l.l_type == F_UNLCK) return "free";
  else
    format(text, sizeof text, "%c %ld+%ld %s", l.l_type == F_WRLCK ? 'w' : 'r', (long)l.l_start, (long)l.l_len,
           l.l_pid == -1 ? "ofd" : l.l_pid == pid ? "other" : "?");
  return text;
}

static void ownedLocks(void) {
  long a = open("lk", O_RDWR | O_CREAT, 0644), b = open("lk", O_RDWR, 0), same = dup(a);
  eq("set", lockOf(a, F_OFD_SETLK, F_WRLCK, 10, 10), 0);
  errIs("another open file", lockOf(b, F_OFD_SETLK, F_WRLCK, 15, 1), EAGAIN);
  errIs("to read, too", lockOf(b, F_OFD_SETLK, F_RDLCK, 19, 1), EAGAIN);
  eq("beside it", lockOf(b, F_OFD_SETLK, F_WRLCK, 20, 1), 0);
  eq("a duplicate is the same", lockOf(same, F_OFD_SETLK, F_RDLCK, 12, 2), 0);
  errIs("of the process", lockOf(a, F_SETLK, F_WRLCK, 10, 1), EAGAIN);
  eqStr("who is in the way", inTheWay(b, F_OFD_GETLK, F_WRLCK, 0, 0, 0), "w 10+2 ofd");
  eqStr("asked for the process", inTheWay(a, F_GETLK, F_WRLCK, 12, 1, 0), "r 12+2 ofd");
  eqStr("a reader is not", inTheWay(b, F_OFD_GETLK, F_RDLCK, 12, 1, 0), "free");
  struct flock l = {.l_type = F_WRLCK, .l_pid = 5};
  errIs("with a pid", fcntl(a, F_OFD_SETLK, (long)&l), EINVAL);
  errIs("with a pid to ask", fcntl(a, F_OFD_GETLK, (long)&l), EINVAL);
  errIs("of a file to read", lockOf(open("lk", O_RDONLY, 0), F_OFD_SETLK, F_WRLCK, 100, 1), EBADF);
  errIs("an unknown type", lockOf(a, F_OFD_SETLK, 7, 0, 1), EINVAL);
  long pid = fork();
  if (pid == 0) {
    // The child has the same open file: closing its descriptors ends nothing.
    int good = lockOf(a, F_OFD_SETLK, F_WRLCK, 12, 2) == 0;
    close(a);
    exit_group(good ? 0 : 1);
  }
  statusIs("a child has them too", waitStatus(pid), 0);
  close(open("lk", O_RDWR, 0));
  eqStr("they outlive another descriptor", inTheWay(b, F_OFD_GETLK, F_WRLCK, 0, 20, 0), "w 10+10 ofd");
  close(a);
  eqStr("and their own", inTheWay(b, F_OFD_GETLK, F_WRLCK, 0, 20, 0), "w 10+10 ofd");
  pid = fork();
  if (pid == 0) {
    close(same);
    close(b);
    long own = open("lk", O_RDWR, 0);
    exit_group(lockOf(own, F_OFD_SETLKW, F_WRLCK, 0, 0) == 0 ? 7 : 1);
  }
  sleepMs(30);
  eq("nobody waits in vain", SYS(wait4, pid, 0, WNOHANG, 0), 0);
  close(same);
  close(b);
  statusIs("the last descriptor ends them", waitStatus(pid), 7 << 8);
}

static void mergedLocks(void) {
  long a = open("mg", O_RDWR | O_CREAT, 0644);
  int go[2];
  pipe2(go, 0);
  long pid = getpid();
  lockOf(a, F_SETLK, F_WRLCK, 0, 10);
  lockOf(a, F_SETLK, F_WRLCK, 10, 10);
  lockOf(a, F_SETLK, F_RDLCK, 20, 5);
  lockOf(a, F_SETLK, F_WRLCK, 40, 0);
  if (fork() == 0) {
    long b = open("mg", O_RDWR, 0);
    eqStr("those that touch are one", inTheWay(b, F_GETLK, F_WRLCK, 0, 0, pid), "w 0+20 other");
    eqStr("of one type", inTheWay(b, F_GETLK, F_WRLCK, 20, 0, pid), "r 20+5 other");
    eqStr("a hole is free", inTheWay(b, F_GETLK, F_WRLCK, 25, 15, pid), "free");
    eqStr("to the end", inTheWay(b, F_GETLK, F_RDLCK, 30, 0, pid), "w 40+0 other");
    exit_group(0);
  }
  waitStatus(-1);
}

/// Many locks on one file, of several owners, that end by unlocking, closing, and the end of a process.
static void manyLocks(void) {
  long a = open("ml", O_RDWR | O_CREAT, 0644);
  volatile int *done = shared(4096);
  for (int n = 0; n < 4; n++) {
    if (fork() != 0) continue;
    int good = 0;
    long own = open("ml", O_RDWR, 0);
    for (int i = 0; i < 150; i++) good += lockOf(own, F_SETLK, F_RDLCK, i * 4 + n, 1) == 0;
    __atomic_add_fetch(&done[0], good, __ATOMIC_SEQ_CST);
    done[1 + n] = 1;
    while (done[9] == 0) sleepMs(1);
    int freed = 1;
    if (n == 0) freed = lockOf(own, F_SETLK, F_UNLCK, 0, 0) == 0;
    if (n == 1) freed = close(own) == 0;
    if (n == 2) freed = lockOf(own, F_SETLK, F_WRLCK, 2, 1) == 0;
    exit_group(freed ? 0 : 1);
  }
  for (int n = 0; n < 4; n++) waitFor(&done[1 + n]);
  eq("each has its own", done[0], 600);
  errIs("they are in the way", lockOf(a, F_SETLK, F_WRLCK, 301, 1), EAGAIN);
  done[9] = 1;
  int bad = 0;
  for (int n = 0; n < 4; n++) bad += waitStatus(-1) != 0;
  eq("all can be given up", bad, 0);
  eq("and none is left", lockOf(a, F_SETLK, F_WRLCK, 0, 0), 0);
}

/// Two processes that wait for each other's locks, and three in a ring.
static void circles(void) {
  for (int n = 2; n <= 3; n++) {
    volatile int *done = shared(4096);
    long fd = open("cy", O_RDWR | O_CREAT, 0644);
    long pids[3];
    for (int i = 0; i < n; i++) {
      pids[i] = fork();
      if (pids[i] != 0) continue;
      long own = open("cy", O_RDWR, 0);
      lockOf(own, F_SETLK, F_WRLCK, i, 1);
      __atomic_add_fetch(&done[0], 1, __ATOMIC_SEQ_CST);
      while (done[0] < n) sleepMs(1);
      // Whoever comes last closes the circle; that it is the last process is likely, and no more.
      sleepMs(60 * i);
      long r = lockOf(own, F_SETLKW, F_WRLCK, (i + 1) % n, 1);
      if (r == -EDEADLK) __atomic_add_fetch(&done[1], 1, __ATOMIC_SEQ_CST);
      if (r == 0) __atomic_add_fetch(&done[2], 1, __ATOMIC_SEQ_CST);
      exit_group(r == -EDEADLK ? 9 : 0);
    }
    int refused = 0;
    for (int i = 0; i < n; i++) refused += waitStatus(pids[i]) == 9 << 8;
    eq(n == 2 ? "one of two" : "one of three", refused, 1);
    eq("one alone", done[1], 1);
    eq("the others get theirs", done[2], n - 1);
    close(fd);
  }
  // Locks of open files are not looked for: here the wait ends by a signal.
  long a = open("cz", O_RDWR | O_CREAT, 0644), b = open("cz", O_RDWR, 0);
  lockOf(a, F_OFD_SETLK, F_WRLCK, 0, 1);
  handle(SIGALRM, (void *)nothing, 0, 0);
  struct itimerval t = {{0, 0}, {0, 50000}};
  SYS(setitimer, 0, &t, 0);
  errIs("an open file waits for its process", lockOf(b, F_OFD_SETLKW, F_WRLCK, 0, 1), EINTR);
  errIs("and a process for its file", (SYS(setitimer, 0, &t, 0), lockOf(b, F_SETLKW, F_WRLCK, 0, 1)), EINTR);
}

static const struct section all[] = {
    {"open", opening},   {"offsets", offsets},   {"holes", holes},           {"link", linking},   {"rename", renaming},
    {"symlink", symlinks}, {"directories", directories}, {"status", status}, {"descriptors", descriptors}, {"locks", locks},
    {"owned", ownedLocks}, {"merged", mergedLocks}, {"many", manyLocks}, {"circles", circles},
};
SECTIONS("files", all)
