// Unix sockets: pairs, names, listeners, streams, datagrams, descriptors and identities on their way, readiness.
#include "lib/rt.h"
typedef int i32;

#define AF_UNIX 1
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_SEQPACKET 5
#define SOL_SOCKET 1
#define MSG_PEEK 2
#define MSG_CTRUNC 8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_WAITALL 0x100
#define MSG_NOSIGNAL 0x4000
#define MSG_CMSG_CLOEXEC 0x40000000
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
enum { SO_TYPE = 3, SO_ERROR = 4, SO_SNDBUF = 7, SO_RCVBUF = 8, SO_LINGER = 13, SO_PASSCRED = 16, SO_PEERCRED = 17,
       SO_RCVTIMEO = 20, SO_SNDTIMEO = 21, SO_ACCEPTCONN = 30, SO_PROTOCOL = 38, SO_DOMAIN = 39 };
enum { IN = 1, OUT = 4, ERR = 8, HUP = 16, RDHUP = 0x2000 };
#define E_NOTSOCK 88
#define E_MSGSIZE 90
#define E_PROTOTYPE 91
#define E_NOPROTOOPT 92
#define E_PROTONOSUPPORT 93
#define E_SOCKTNOSUPPORT 94
#define E_AFNOSUPPORT 97
#define E_ADDRINUSE 98
#define E_CONNRESET 104
#define E_ISCONN 106
#define E_NOTCONN 107
#define E_CONNREFUSED 111

struct address { u16 family; char path[108]; };
struct vector { void *base; usize length; };
struct header { void *name; u32 nameLength; struct vector *vectors; usize count; void *control; usize controlLength; u32 flags; };
struct control { usize length; i32 level, type; };
struct identity { i32 pid; u32 uid, gid; };

static long socket(long t) { return SYS(socket, AF_UNIX, t, 0); }
static long socketpair(long t, int *fds) { return SYS(socketpair, AF_UNIX, t, 0, fds); }
static long send(long fd, const void *b, usize n, long flags) { return SYS(sendto, fd, b, n, flags, 0, 0); }
static long recv(long fd, void *b, usize n, long flags) { return SYS(recvfrom, fd, b, n, flags, 0, 0); }
static u32 at(struct address *a, const char *name) {
  memset(a, 0, sizeof *a);
  a->family = AF_UNIX;
  memcpy(a->path, name, strlen(name));
  if (name[0] == '@') a->path[0] = 0;
  return 2 + strlen(name) + (name[0] == '@' ? 0 : 1);
}
static long bindTo(long fd, const char *name) {
  struct address a;
  u32 n = at(&a, name);
  return SYS(bind, fd, &a, n);
}
static long connectTo(long fd, const char *name) {
  struct address a;
  u32 n = at(&a, name);
  return SYS(connect, fd, &a, n);
}
static long sendTo(long fd, const char *text, const char *name) {
  struct address a;
  u32 n = at(&a, name);
  return SYS(sendto, fd, text, strlen(text), 0, &a, n);
}
static int option(long fd, int name) {
  int value = -77;
  u32 n = 4;
  long r = SYS(getsockopt, fd, SOL_SOCKET, name, &value, &n);
  return r < 0 ? (int)r : value;
}
static int events(long fd, int wanted) {
  struct { int fd; short events, revents; } p = {(int)fd, (short)wanted, 0};
  i64 zero[2] = {0, 0};
  SYS(ppoll, &p, 1, zero, 0, 8);
  return p.revents;
}
static u8 buf[300000];
static int s[2];
static void fresh(long type) {
  close(s[0]);
  close(s[1]);
  socketpair(type, s);
}

static void making(void) {
  int fds[2];
  errIs("an unknown family", SYS(socket, 99, 1, 0), E_AFNOSUPPORT);
  errIs("an unknown type", SYS(socket, AF_UNIX, 4, 0), E_SOCKTNOSUPPORT);
  errIs("a type out of range", SYS(socket, AF_UNIX, 14, 0), EINVAL);
  errIs("an unknown flag", SYS(socket, AF_UNIX, 1 | 0x100, 0), EINVAL);
  errIs("a protocol", SYS(socket, AF_UNIX, 1, 7), E_PROTONOSUPPORT);
  long fd = socket(SOCK_STREAM | O_CLOEXEC | O_NONBLOCK);
  eq("close on exec", fcntl(fd, F_GETFD, 0), 1);
  eq("flags", fcntl(fd, F_GETFL, 0) & (O_NONBLOCK | 3), O_NONBLOCK | 2);
  struct statx st;
  eq("statx", statx(fd, "", AT_EMPTY_PATH, 0x7ff, &st), 0);
  eq("its mode", st.stx_mode, 0140777);
  errIs("a read without a peer", read(fd, buf, 1), EINVAL);
  errIs("a write without a peer", write(fd, buf, 1), E_NOTCONN);
  errIs("seek", lseek(fd, 0, 0), ESPIPE);
  errIs("pread", pread(fd, buf, 1, 0), ESPIPE);
  errIs("no socket", send(0, buf, 1, 0), ENOTSOCK);
  errIs("no descriptor", send(99, buf, 1, 0), EBADF);
  eq("socketpair", socketpair(SOCK_DGRAM, fds), 0);
  eq("SO_TYPE", option(fds[0], SO_TYPE), 2);
  eq("SO_DOMAIN", option(fds[0], SO_DOMAIN), 1);
  eq("SO_PROTOCOL", option(fds[0], SO_PROTOCOL), 0);
  eq("SO_ERROR", option(fds[0], SO_ERROR), 0);
  eq("SO_ACCEPTCONN", option(fds[0], SO_ACCEPTCONN), 0);
  errIs("a bad option", option(fds[0], 9999), E_NOPROTOOPT);
  errIs("a bad pointer", socketpair(SOCK_STREAM, (int *)8), EFAULT);
}

static void streams(void) {
  fresh(SOCK_STREAM);
  eq("write", write(s[0], "hello, ", 7), 7);
  eq("send", send(s[0], "socket", 6, 0), 6);
  int n = 0;
  eq("FIONREAD", ioctl(s[1], 0x541b, &n), 0);
  eq("its count", n, 13);
  eq("peek", recv(s[1], buf, 5, MSG_PEEK), 5);
  eq("read glues them", read(s[1], buf, 100), 13);
  ok("what was sent", memcmp(buf, "hello, socket", 13) == 0);
  errIs("empty", recv(s[1], buf, 1, MSG_DONTWAIT), EAGAIN);
  errIs("recv of nothing waits for something", recv(s[1], buf, 0, MSG_DONTWAIT), EAGAIN);
  eq("read of nothing does not", read(s[1], buf, 0), 0);
  eq("send of nothing", send(s[1], buf, 0, 0), 0);
  eq("the other way", write(s[1], "back", 4), 4);
  eq("shutdown of a direction", SYS(shutdown, s[1], 1), 0);
  eq("what was on its way", read(s[0], buf, 10), 4);
  eq("the end", read(s[0], buf, 10), 0);
  eq("this way goes on", write(s[0], "x", 1), 1);
  errIs("not that one", send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
  errIs("a bad direction", SYS(shutdown, s[0], 9), EINVAL);
  errIs("sendto with an address", sendTo(s[0], "x", "@x"), E_ISCONN);
  fresh(SOCK_STREAM);
  struct vector v[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
  eq("writev", SYS(writev, s[0], v, 3), 5);
  u8 first[2], second[9];
  struct vector w[2] = {{first, 2}, {second, 9}};
  eq("readv", SYS(readv, s[1], w, 2), 5);
  ok("in its places", first[1] == 'b' && second[2] == 'e');
  write(s[0], "unread", 6);
  write(s[1], "first", 5);
  close(s[1]);
  eq("bytes before the reset", read(s[0], buf, 10), 5);
  errIs("the reset", read(s[0], buf, 10), E_CONNRESET);
  eq("and then the end", read(s[0], buf, 10), 0);
  errIs("write to nobody", send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

static volatile int pipes;
static void onPipe(int sig) { pipes++; }
static void signals(void) {
  handle(SIGPIPE, onPipe, 0, 0);
  fresh(SOCK_STREAM);
  close(s[1]);
  errIs("write", write(s[0], "x", 1), EPIPE);
  eq("SIGPIPE", pipes, 1);
  errIs("send", send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  eq("none with MSG_NOSIGNAL", pipes, 1);
  errIs("send without it", send(s[0], "x", 1, 0), EPIPE);
  eq("SIGPIPE again", pipes, 2);
}

static void blocking(void) {
  fresh(SOCK_STREAM);
  for (usize i = 0; i < sizeof buf; i++) buf[i] = (u8)(i * 7 + i / 256);
  long pid = fork();
  if (pid == 0) {
    close(s[0]);
    exit_group(write(s[1], buf, 300000) == 300000 ? 0 : 1);
  }
  close(s[1]);
  static u8 got[300000];
  eq("MSG_WAITALL waits for all", recv(s[0], got, 250000, MSG_WAITALL), 250000);
  long total = 250000, n;
  while ((n = read(s[0], got + total, 7001)) > 0) total += n;
  eq("all bytes", total, 300000);
  ok("unchanged", memcmp(buf, got, 300000) == 0);
  eq("the writer", waitStatus(pid), 0);
  fresh(SOCK_STREAM);
  i64 limit[2] = {0, 20000};
  eq("SO_RCVTIMEO", SYS(setsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO, limit, 16), 0);
  errIs("a wait with a limit", read(s[0], buf, 1), EAGAIN);
  eq("SO_SNDTIMEO", SYS(setsockopt, s[0], SOL_SOCKET, SO_SNDTIMEO, limit, 16), 0);
  while ((n = write(s[0], buf, 65536)) > 0) {}
  errIs("a full one", n, EAGAIN);
  i64 bad[2] = {0, 2000000};
  errIs("no time", SYS(setsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO, bad, 16), EDOM);
  errIs("too short", SYS(setsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO, limit, 8), EINVAL);
}

static void names(void) {
  struct address a;
  u32 n = sizeof a;
  long fd = socket(SOCK_STREAM);
  eq("the name of none", SYS(getsockname, fd, &a, &n), 0);
  eq("is a family", n, 2);
  errIs("nor a peer", SYS(getpeername, fd, &a, &n), E_NOTCONN);
  errIs("listen without a name", SYS(listen, fd, 1), EINVAL);
  eq("bind", bindTo(fd, "/tmp/guest-socket"), 0);
  errIs("bind again", bindTo(fd, "@guest-again"), EINVAL);
  struct statx st;
  statx(AT_FDCWD, "/tmp/guest-socket", 0, 0x7ff, &st);
  eq("the node", st.stx_mode & 0170000, 0140000);
  errIs("open of it", open("/tmp/guest-socket", O_RDWR, 0), ENXIO);
  n = sizeof a;
  SYS(getsockname, fd, &a, &n);
  eq("its length", n, 2 + 17 + 1);
  eqStr("its path", a.path, "/tmp/guest-socket");
  long other = socket(SOCK_STREAM);
  errIs("a name that is taken", bindTo(other, "/tmp/guest-socket"), E_ADDRINUSE);
  errIs("nobody listens", connectTo(other, "/tmp/guest-socket"), E_CONNREFUSED);
  errIs("no such file", connectTo(other, "/tmp/guest-none"), ENOENT);
  errIs("no socket", connectTo(other, "/tmp"), E_CONNREFUSED);
  errIs("no such name", connectTo(other, "@guest-none"), E_CONNREFUSED);
  eq("listen", SYS(listen, fd, 0), 0);
  eq("SO_ACCEPTCONN", option(fd, SO_ACCEPTCONN), 1);
  long dgram = socket(SOCK_DGRAM);
  errIs("another type", connectTo(dgram, "/tmp/guest-socket"), E_PROTOTYPE);
  eq("connect", connectTo(other, "/tmp/guest-socket"), 0);
  eq("send before it is accepted", send(other, "early", 5, 0), 5);
  n = sizeof a;
  long peer = SYS(accept4, fd, &a, &n, O_CLOEXEC);
  eq("a peer without a name", n, 2);
  errIs("connect again", connectTo(other, "/tmp/guest-socket"), E_ISCONN);
  errIs("of a listener", connectTo(fd, "/tmp/guest-socket"), EINVAL);
  eq("what it sent", read(peer, buf, 10), 5);
  n = 5;
  SYS(getpeername, other, &a, &n);
  eq("a name that is cut off", n, 20);
  errIs("accept of no listener", SYS(accept4, other, 0, 0, 0), EINVAL);
  errIs("accept with bad flags", SYS(accept4, fd, 0, 0, 1), EINVAL);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  errIs("nobody waits", SYS(accept4, fd, 0, 0, 0), EAGAIN);
  long third = socket(SOCK_STREAM), fourth = socket(SOCK_STREAM | O_NONBLOCK);
  eq("one in the backlog", connectTo(third, "/tmp/guest-socket"), 0);
  errIs("and no more", connectTo(fourth, "/tmp/guest-socket"), EAGAIN);
  close(fd);
  errIs("who was not accepted", read(third, buf, 1), E_CONNRESET);
  errIs("the listener is gone", connectTo(fourth, "/tmp/guest-socket"), E_CONNREFUSED);
  eq("the node stays", unlink("/tmp/guest-socket"), 0);
  long free = socket(SOCK_STREAM);
  u16 family = AF_UNIX;
  eq("autobind", SYS(bind, free, &family, 2), 0);
  n = sizeof a;
  SYS(getsockname, free, &a, &n);
  ok("six bytes, the first zero", n == 8 && a.path[0] == 0);
  eq("an abstract name", bindTo(fourth, "@guest"), 0);
  errIs("is taken", bindTo(socket(SOCK_STREAM), "@guest"), E_ADDRINUSE);
  close(fourth);
  eq("until it is closed", bindTo(socket(SOCK_STREAM), "@guest"), 0);
  errIs("too long", SYS(bind, dgram, &a, 200), EINVAL);
  errIs("too short", SYS(connect, dgram, &a, 1), EINVAL);
}

static void datagrams(void) {
  struct address a;
  long server = socket(SOCK_DGRAM), client = socket(SOCK_DGRAM);
  bindTo(server, "@guest-server");
  errIs("to nobody", send(client, "x", 1, 0), E_NOTCONN);
  u32 n = sizeof a;
  eq("to a name", sendTo(client, "nameless", "@guest-server"), 8);
  eq("which reads it", SYS(recvfrom, server, buf, 10, 0, &a, &n), 8);
  eq("from nobody", n, 0);
  eq("another", sendTo(client, "first", "@guest-server"), 5);
  bindTo(client, "@guest-client");
  eq("connect", connectTo(client, "@guest-server"), 0);
  eq("an empty one", send(client, "", 0, 0), 0);
  eq("the third", write(client, "third", 5), 5);
  eq("cut off", SYS(recvfrom, server, buf, 2, 0, &a, &n), 2);
  n = sizeof a;
  eq("the empty one", SYS(recvfrom, server, buf, 10, 0, &a, &n), 0);
  ok("from the client", n == 15 && memcmp(a.path + 1, "guest-client", 12) == 0);
  eq("peek says the length", recv(server, buf, 1, MSG_PEEK | MSG_TRUNC), 5);
  eq("and leaves it", read(server, buf, 10), 5);
  errIs("nothing more", recv(server, buf, 10, MSG_DONTWAIT), EAGAIN);
  long sent = 0;
  while (send(client, "x", 1, MSG_DONTWAIT) == 1) sent++;
  eq("eleven wait", sent, 11);
  eq("not writable", events(client, OUT), 0);
  read(server, buf, 10);
  eq("writable", events(client, OUT), OUT);
  long third = socket(SOCK_DGRAM);
  connectTo(server, "@guest-client");
  errIs("who is connected hears one", sendTo(third, "x", "@guest-server"), EPERM);
  a.family = 0;
  eq("disconnect", SYS(connect, server, &a, 2), 0);
  eq("and hears all", sendTo(third, "x", "@guest-server"), 1);
  errIs("its peer hears of it", send(client, "x", 1, 0), E_CONNRESET);
  eq("once", send(client, "x", 1, 0), 1);
  errIs("too long", send(client, buf, 300000, 0), E_MSGSIZE);
  close(server);
  errIs("to one that is gone", send(client, "x", 1, 0), E_CONNREFUSED);
  fresh(SOCK_SEQPACKET);
  eq("a packet", write(s[0], "packet", 6), 6);
  eq("another", write(s[0], "more", 4), 4);
  eq("is read", read(s[1], buf, 3), 3);
  eq("and the rest is lost", read(s[1], buf, 10), 4);
  for (int i = 0; i < 150000; i++) buf[i] = (u8)(i * 13);
  eq("a large one", send(s[0], buf, 150000, 0), 150000);
  static u8 got[200000];
  eq("comes as a whole", recv(s[1], got, 200000, 0), 150000);
  ok("unchanged", memcmp(buf, got, 150000) == 0);
  close(s[0]);
  eq("the end of packets", read(s[1], buf, 10), 0);
}

static u8 control[1200];
static struct header message(void *text, usize n, usize room) {
  static struct vector v;
  v.base = text;
  v.length = n;
  struct header h = {0, 0, &v, 1, room ? control : 0, room, 0};
  return h;
}
static long sendFds(long fd, const int *fds, int count) {
  struct header h = message("x", 1, 16 + count * 4);
  struct control *c = (struct control *)control;
  c->length = 16 + count * 4;
  c->level = SOL_SOCKET;
  c->type = SCM_RIGHTS;
  memcpy(c + 1, fds, count * 4);
  return SYS(sendmsg, fd, &h, 0);
}
static long recvFds(long fd, usize room, struct header *h, long flags) {
  *h = message(buf, 100, room);
  memset(control, 0, sizeof control);
  return SYS(recvmsg, fd, h, flags);
}

static void descriptors(void) {
  int p[2], one[3];
  struct header h;
  struct control *c = (struct control *)control;
  int *fds = (int *)(c + 1);
  fresh(SOCK_STREAM);
  pipe2(p, 0);
  one[0] = p[1];
  one[1] = p[0];
  one[2] = p[1];
  eq("sendmsg", sendFds(s[0], one, 3), 1);
  close(p[1]);
  eq("recvmsg", recvFds(s[1], 64, &h, MSG_CMSG_CLOEXEC), 1);
  eq("control data", h.controlLength, 32);
  eq("its length", c->length, 28);
  eq("its type", c->type, SCM_RIGHTS);
  eq("flags", h.flags & 0xffff, 0);
  eq("close on exec", fcntl(fds[0], F_GETFD, 0), 1);
  eq("write through it", write(fds[0], "through", 7), 7);
  eq("and read", read(p[0], buf, 10), 7);
  int held[3] = {fds[0], fds[1], fds[2]};
  for (int i = 0; i < 3; i++) close(held[i]);
  eq("the last writer is gone", read(p[0], buf, 10), 0);
  errIs("a bad descriptor", sendFds(s[0], (int[]){99}, 1), EBADF);
  pipe2(p, 0);
  sendFds(s[0], (int[]){p[1], p[1]}, 2);
  close(p[1]);
  eq("room for one", recvFds(s[1], 20, &h, 0), 1);
  eq("says so", h.flags & MSG_CTRUNC, MSG_CTRUNC);
  eq("and gives one", h.controlLength, 20);
  close(fds[0]);
  eq("the other is closed", read(p[0], buf, 10), 0);
  pipe2(p, 0);
  sendFds(s[0], &p[1], 1);
  close(p[1]);
  eq("without control data", recvFds(s[1], 0, &h, 0), 1);
  eq("it is lost", h.flags & MSG_CTRUNC, MSG_CTRUNC);
  eq("and closed", read(p[0], buf, 10), 0);
  // Bytes before descriptors are read with them, bytes after are not.
  pipe2(p, 0);
  write(s[0], "before", 6);
  sendFds(s[0], &p[1], 1);
  write(s[0], "after", 5);
  eq("bytes to the descriptor", recvFds(s[1], 64, &h, 0), 7);
  eq("which came", h.controlLength, 24);
  eq("bytes behind it", recvFds(s[1], 64, &h, 0), 5);
  eq("bring none", h.controlLength, 0);
  pipe2(p, 0);
  int many[200];
  for (int i = 0; i < 200; i++) many[i] = p[1];
  eq("two hundred", sendFds(s[0], many, 200), 1);
  eq("come", recvFds(s[1], sizeof control, &h, 0), 1);
  eq("all", (long)c->length, 816);
  for (int i = 0; i < 200; i++) close(fds[i]);
  close(p[1]);
  eq("and were closed", read(p[0], buf, 10), 0);
  int tooMany[254];
  for (int i = 0; i < 254; i++) tooMany[i] = p[0];
  errIs("too many", sendFds(s[0], tooMany, 254), EINVAL);
  // A message that nobody receives.
  pipe2(p, 0);
  sendFds(s[0], &p[1], 1);
  close(p[1]);
  close(s[1]);
  eq("closed with its mailbox", read(p[0], buf, 10), 0);
}

static void cycles(void) {
  int p[2], t[2];
  pipe2(p, 0);
  socketpair(SOCK_STREAM, t);
  fresh(SOCK_STREAM);
  sendFds(s[0], (int[]){s[0], p[1]}, 2);
  sendFds(s[1], (int[]){s[1], s[0]}, 2);
  close(p[1]);
  fcntl(p[0], F_SETFL, O_NONBLOCK);
  errIs("in flight", read(p[0], buf, 1), EAGAIN);
  close(s[0]);
  close(s[1]);
  close(t[0]);
  close(t[1]);
  long n = 0;
  for (int i = 0; i < 400 && (n = read(p[0], buf, 1)) != 0; i++) sleepMs(5);
  eq("sockets in each other's mailboxes end", n, 0);
}

static void identities(void) {
  struct header h;
  struct control *c = (struct control *)control;
  struct identity *who = (struct identity *)(c + 1);
  fresh(SOCK_STREAM);
  struct identity peer;
  u32 n = sizeof peer;
  eq("SO_PEERCRED", SYS(getsockopt, s[0], SOL_SOCKET, SO_PEERCRED, &peer, &n), 0);
  eq("is the maker", peer.pid, getpid());
  int one = 1;
  eq("SO_PASSCRED", SYS(setsockopt, s[1], SOL_SOCKET, SO_PASSCRED, &one, 4), 0);
  write(s[0], "x", 1);
  eq("recvmsg", recvFds(s[1], 64, &h, 0), 1);
  eq("control data", h.controlLength, 32);
  eq("its type", c->type, SCM_CREDENTIALS);
  eq("the sender", who->pid, getpid());
  write(s[0], "x", 1);
  eq("without room", recvFds(s[1], 0, &h, 0), 1);
  eq("it is lost", h.flags & MSG_CTRUNC, MSG_CTRUNC);
  long child = fork();
  if (child == 0) exit_group(write(s[0], "child", 5) == 5 ? 0 : 1);
  waitStatus(child);
  write(s[0], "parent", 6);
  eq("senders are kept apart", recvFds(s[1], 64, &h, 0), 5);
  eq("the child", who->pid, child);
  eq("then the parent", recvFds(s[1], 64, &h, 0), 6);
}

static void readiness(void) {
  fresh(SOCK_STREAM);
  int all = IN | OUT | RDHUP;
  eq("a fresh one", events(s[0], all), OUT);
  write(s[1], "x", 1);
  eq("with a byte", events(s[0], all), IN | OUT);
  SYS(shutdown, s[1], 1);
  eq("with the end behind it", events(s[0], all), IN | OUT | RDHUP);
  close(s[1]);
  eq("hung up", events(s[0], all), IN | OUT | RDHUP | HUP);
  fresh(SOCK_STREAM);
  write(s[0], "x", 1);
  close(s[1]);
  eq("reset", events(s[0], all), IN | OUT | RDHUP | HUP | ERR);
  eq("SO_ERROR tells it", option(s[0], SO_ERROR), E_CONNRESET);
  eq("once", option(s[0], SO_ERROR), 0);
  long fd = socket(SOCK_STREAM);
  eq("without a peer", events(fd, all), OUT | HUP);
  bindTo(fd, "@guest-poll");
  SYS(listen, fd, 1);
  eq("a listener", events(fd, all), 0);
  connectTo(socket(SOCK_STREAM), "@guest-poll");
  eq("with a connection", events(fd, all), IN);
  fresh(SOCK_STREAM);
  fcntl(s[0], F_SETFL, O_NONBLOCK);
  while (write(s[0], buf, 4096) > 0) {}
  eq("full", events(s[0], all), 0);
  // Another process makes room, and this one waits for it.
  long child = fork();
  if (child == 0) {
    sleepMs(20);
    while (recv(s[1], buf, 65536, MSG_DONTWAIT) > 0) {}
    exit_group(0);
  }
  struct { int fd; short events, revents; } p = {s[0], OUT, 0};
  i64 limit[2] = {5, 0};
  eq("ppoll waits for room", SYS(ppoll, &p, 1, limit, 0, 8), 1);
  waitStatus(child);
}

static const struct section list[] = {
    {"making", making},       {"streams", streams},         {"signals", signals},       {"blocking", blocking},
    {"names", names},         {"datagrams", datagrams},     {"descriptors", descriptors}, {"cycles", cycles},
    {"identities", identities}, {"readiness", readiness},
};
SECTIONS("sockets", list)
