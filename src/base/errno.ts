/**
 * The errno values of Linux riscv64 (include/uapi/asm-generic/errno-base.h, errno.h).
 *
 * A guest-visible failure is thrown as one of these values and translated once, where the system call ends.
 * They are single objects without a stack, so that a throw costs no more than the unwinding.
 */

/** A failure that a guest program sees as errno. */
export class Errno {
  /** The name, as in `EACCES`. */
  readonly name: string;
  /** The positive number. */
  readonly code: number;

  constructor(name: string, code: number) {
    this.name = name;
    this.code = code;
  }

  toString(): string {
    return `${this.name} (${this.code})`;
  }
}

const numbers = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  ENOTBLK: 15,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EPROTO: 71,
  EOVERFLOW: 75,
  ELIBBAD: 80,
  EILSEQ: 84,
  EUSERS: 87,
  ENOTSOCK: 88,
  EDESTADDRREQ: 89,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ESHUTDOWN: 108,
  ETOOMANYREFS: 109,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
  ESTALE: 116,
  EDQUOT: 122,
  ECANCELED: 125,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
} as const;

export type ErrnoName = keyof typeof numbers;

/** Each errno by its name: `throw errno.ENOENT`. */
export const errno: { readonly [N in ErrnoName]: Errno } = Object.fromEntries(
  Object.entries(numbers).map(([name, code]) => [name, new Errno(name, code)]),
) as { readonly [N in ErrnoName]: Errno };

const byCode = new Map<number, Errno>(Object.values(errno).map((value) => [value.code, value]));

/** The errno with this positive number; EIO for a number that Linux does not define. */
export function errnoOf(code: number): Errno {
  return byCode.get(code) ?? errno.EIO;
}
