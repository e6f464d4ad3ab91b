/** Sockets: layouts and constants of Linux riscv64 (linux/socket.h, asm-generic/socket.h). */

export const SOCK = { NONBLOCK: 0o4000, CLOEXEC: 0o2000000, TYPE_MASK: 0xf } as const;
export const SCM = { RIGHTS: 1, CREDENTIALS: 2 } as const;
/** struct sockaddr_storage: no address is longer. */
export const ADDRESS_BYTES = 128;
/** struct sockaddr_un. */
export const UNIX_ADDRESS_BYTES = 110;
export const IN_ADDRESS_BYTES = 16;
export const IN6_ADDRESS_BYTES = 28;

/** struct msghdr: offsets of its fields. */
export const MSGHDR = {
  name: 0,
  nameLength: 8,
  vectors: 16,
  vectorCount: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
  bytes: 56,
} as const;
/** struct mmsghdr: a msghdr and the bytes that were moved. */
export const MMSGHDR_BYTES = 64;
export const MMSG_LENGTH = 56;
/** struct cmsghdr: length (8 bytes), level, type. */
export const CMSG_HEADER = 16;
export const CMSG_ALIGN = 8;
/** struct ucred: pid, uid, gid. */
export const UCRED_BYTES = 12;
/** Most messages of sendmmsg and recvmmsg (UIO_MAXIOV). */
export const MESSAGES_MAX = 1024;

export const FAMILY_NAMES = {
  AF_UNSPEC: 0,
  AF_UNIX: 1,
  AF_INET: 2,
  AF_INET6: 10,
  AF_NETLINK: 16,
  AF_PACKET: 17,
} as const;
export const SHUT_NAMES = { SHUT_RD: 0, SHUT_WR: 1, SHUT_RDWR: 2 } as const;
