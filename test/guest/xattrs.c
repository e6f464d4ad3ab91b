// Extended attributes: setting, reading, listing, removing, and who may. Needs root.
#include "lib/rt.h"

static char buffer[8192];
static const char *file = "xattrs.file";
static long set(const char *path, const char *name, const char *value, int flags) {
  return SYS(setxattr, path, name, value, strlen(value), flags);
}
static int has(const char *path, const char *name) {
  long n = SYS(listxattr, path, buffer, sizeof buffer);
  for (long i = 0; i < n; i += (long)strlen(buffer + i) + 1)
    if (strcmp(buffer + i, name) == 0) return 1;
  return 0;
}
static const char *get(const char *path, const char *name) {
  long n = SYS(getxattr, path, name, buffer, sizeof buffer - 1);
  if (n < 0) return errnoName(-n);
  buffer[n] = 0;
  return buffer;
}

static void values(void) {
  writeFile(file, "x");
  errIs("none", SYS(getxattr, file, "user.a", buffer, 10), ENODATA);
  eq("set", set(file, "user.a", "one", 0), 0);
  eqStr("get", get(file, "user.a"), "one");
  eq("its size", SYS(getxattr, file, "user.a", 0, 0), 3);
  errIs("too little room", SYS(getxattr, file, "user.a", buffer, 2), ERANGE);
  eq("again", set(file, "user.a", "a longer one", 0), 0);
  eqStr("replaced", get(file, "user.a"), "a longer one");
  errIs("XATTR_CREATE", set(file, "user.a", "x", 1), EEXIST);
  errIs("XATTR_REPLACE", set(file, "user.b", "x", 2), ENODATA);
  eq("an empty value", SYS(setxattr, file, "user.b", 0, 0, 1), 0);
  eq("is empty", SYS(getxattr, file, "user.b", buffer, 10), 0);
  ok("listed", has(file, "user.a") && has(file, "user.b"));
  errIs("too little room for the list", SYS(listxattr, file, buffer, 3), ERANGE);
  memset(buffer, 'v', 2000);
  eq("two thousand bytes", SYS(setxattr, file, "user.large", buffer, 2000, 0), 0);
  eq("come back", SYS(getxattr, file, "user.large", buffer, sizeof buffer), 2000);
  eq("remove", SYS(removexattr, file, "user.a"), 0);
  errIs("removed", SYS(getxattr, file, "user.a", buffer, 10), ENODATA);
  errIs("twice", SYS(removexattr, file, "user.a"), ENODATA);
  ok("not listed", !has(file, "user.a"));
  int fd = (int)SYS(openat, -100, file, 0, 0);
  eq("by descriptor", SYS(fsetxattr, fd, "user.fd", "7", 1, 0), 0);
  eq("read by it", SYS(fgetxattr, fd, "user.fd", buffer, 10), 1);
  eq("removed by it", SYS(fremovexattr, fd, "user.fd"), 0);
  SYS(close, fd);
}

static void errors(void) {
  writeFile(file, "x");
  errIs("unknown flags", set(file, "user.a", "x", 4), EINVAL);
  errIs("no namespace", set(file, "a", "x", 0), EOPNOTSUPP);
  errIs("an unknown one", set(file, "other.a", "x", 0), EOPNOTSUPP);
  errIs("nothing behind it", set(file, "user.", "x", 0), EINVAL);
  errIs("no name", set(file, "", "x", 0), ERANGE);
  char name[300] = "user.";
  for (int i = 5; i < 299; i++) name[i] = 'n';
  errIs("a long name", set(file, name, "x", 0), ERANGE);
  errIs("a long value", SYS(setxattr, file, "user.a", buffer, 65537, 0), E2BIG);
  errIs("no file", set("no such file", "user.a", "x", 0), ENOENT);
  errIs("a bad value", SYS(setxattr, file, "user.a", 8, 10, 0), EFAULT);
  errIs("a bad name", SYS(setxattr, file, 8, "x", 1, 0), EFAULT);
  errIs("a bad descriptor", SYS(fsetxattr, 99, "user.a", "x", 1, 0), EBADF);
  SYS(unlinkat, -100, "xattrs.link", 0);
  SYS(symlinkat, file, -100, "xattrs.link");
  errIs("user attributes of a link", SYS(lsetxattr, "xattrs.link", "user.a", "x", 1, 0), EPERM);
  eq("trusted ones", SYS(lsetxattr, "xattrs.link", "trusted.a", "x", 1, 0), 0);
  eq("through the link", set("xattrs.link", "user.a", "x", 0), 0);
  eqStr("to the file", get(file, "user.a"), "x");
  SYS(lremovexattr, "xattrs.link", "trusted.a");
}

static void rights(void) {
  writeFile(file, "x");
  SYS(fchmodat, -100, file, 0644);
  set(file, "user.a", "x", 0);
  eq("a trusted one", set(file, "trusted.t", "secret", 0), 0);
  eq("a security one", set(file, "security.s", "label", 0), 0);
  SYS(unlinkat, -100, "xattrs.dir", 0x200);
  SYS(mkdirat, -100, "xattrs.dir", 0777);
  SYS(fchmodat, -100, "xattrs.dir", 01777);
  int fails = 0;
  if (fork() == 0) {
    SYS(setresuid, 4321, 4321, 4321);
    fails += strcmp(get(file, "user.a"), "x") != 0;
    fails += 2 * (set(file, "user.a", "y", 0) != -EACCES);
    fails += 4 * (set(file, "trusted.t", "y", 0) != -EPERM);
    fails += 8 * (SYS(getxattr, file, "trusted.t", buffer, 10) != -ENODATA);
    fails += 16 * (has(file, "trusted.t") != 0);
    fails += 32 * (strcmp(get(file, "security.s"), "label") != 0);
    fails += 64 * (set(file, "security.s", "y", 0) != -EPERM);
    fails += 128 * (set("xattrs.dir", "user.a", "y", 0) != -EPERM);
    exit_group(fails);
  }
  statusIs("somebody else", waitStatus(-1), 0);
  ok("root sees all", has(file, "trusted.t") && has(file, "security.s") && has(file, "user.a"));
  SYS(unlinkat, -100, file, 0);
  SYS(unlinkat, -100, "xattrs.link", 0);
  SYS(unlinkat, -100, "xattrs.dir", 0x200);
}

static const struct section all[] = {{"values", values}, {"errors", errors}, {"rights", rights}};
SECTIONS("xattrs", all)
