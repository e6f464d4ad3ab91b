/** Open flags of Linux riscv64 (asm-generic/fcntl.h). */
export const O = {
  ACCMODE: 3,
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  NOCTTY: 0o400,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  NOATIME: 0o1000000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
  TMPFILE: 0o20200000,
} as const;

/** An open flag of the kernel's own: for execve (`open` in vfs.ts). */
export const O_EXEC_DENY = 0x2000_0000;

export const wantsRead = (flags: number): boolean =>
  (flags & O.ACCMODE) !== O.WRONLY && (flags & O.PATH) === 0;
export const wantsWrite = (flags: number): boolean =>
  (flags & O.PATH) === 0 && ((flags & O.ACCMODE) === O.WRONLY || (flags & O.ACCMODE) === O.RDWR);
