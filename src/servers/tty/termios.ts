/**
 * Terminal settings: the flags of termios(3) with the numbers of Linux riscv64 (asm-generic/termbits.h), the
 * control characters, and the structures in which programs get and set them.
 *
 *     struct termios   +0 c_iflag  +4 c_oflag  +8 c_cflag  +12 c_lflag  +16 c_line  +17 c_cc[19]   = 36 bytes
 *     struct termios2  … the same … +36 c_ispeed  +40 c_ospeed                                     = 44 bytes
 *     struct winsize   u16 rows, columns, x pixels, y pixels                                      = 8 bytes
 */

/** Input flags. */
export const I = {
  IGNBRK: 0o1,
  BRKINT: 0o2,
  IGNPAR: 0o4,
  PARMRK: 0o10,
  INPCK: 0o20,
  ISTRIP: 0o40,
  INLCR: 0o100,
  IGNCR: 0o200,
  ICRNL: 0o400,
  IUCLC: 0o1000,
  IXON: 0o2000,
  IXANY: 0o4000,
  IXOFF: 0o10000,
  IMAXBEL: 0o20000,
  IUTF8: 0o40000,
} as const;

/** Output flags. */
export const O = {
  OPOST: 0o1,
  OLCUC: 0o2,
  ONLCR: 0o4,
  OCRNL: 0o10,
  ONOCR: 0o20,
  ONLRET: 0o40,
  TABDLY: 0o14000,
  XTABS: 0o14000,
} as const;

/** Control flags: only their defaults matter to a pseudo-terminal. */
export const C = { B38400: 0o17, CS8: 0o60, CREAD: 0o200, CBAUD: 0o10017 } as const;

/** Local flags. */
export const L = {
  ISIG: 0o1,
  ICANON: 0o2,
  ECHO: 0o10,
  ECHOE: 0o20,
  ECHOK: 0o40,
  ECHONL: 0o100,
  NOFLSH: 0o200,
  TOSTOP: 0o400,
  ECHOCTL: 0o1000,
  ECHOPRT: 0o2000,
  ECHOKE: 0o4000,
  FLUSHO: 0o10000,
  PENDIN: 0o40000,
  IEXTEN: 0o100000,
} as const;

/** Indices of the control characters. */
export const CC = {
  VINTR: 0,
  VQUIT: 1,
  VERASE: 2,
  VKILL: 3,
  VEOF: 4,
  VTIME: 5,
  VMIN: 6,
  VSWTC: 7,
  VSTART: 8,
  VSTOP: 9,
  VSUSP: 10,
  VEOL: 11,
  VREPRINT: 12,
  VDISCARD: 13,
  VWERASE: 14,
  VLNEXT: 15,
  VEOL2: 16,
} as const;
export const NCCS = 19;
/** A control character that is switched off. */
export const DISABLED = 0;

/** The control characters of a new terminal (INIT_C_CC of Linux). */
export const DEFAULT_CC: readonly number[] = [
  3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0,
];

/** The settings of a new pseudo-terminal's slave (tty_std_termios). */
export const DEFAULT_FLAGS = {
  iflag: I.ICRNL | I.IXON,
  oflag: O.OPOST | O.ONLCR,
  cflag: C.B38400 | C.CS8 | C.CREAD,
  lflag: L.ISIG | L.ICANON | L.ECHO | L.ECHOE | L.ECHOK | L.ECHOCTL | L.ECHOKE | L.IEXTEN,
  speed: 38400,
} as const;

export const TERMIOS_BYTES = 36;
export const TERMIOS2_BYTES = 44;
export const WINSIZE_BYTES = 8;

/** ioctl numbers (asm-generic/ioctls.h). */
export const IOCTL = {
  TCGETS: 0x5401,
  TCSETS: 0x5402,
  TCSETSW: 0x5403,
  TCSETSF: 0x5404,
  TCSBRK: 0x5409,
  TCXONC: 0x540a,
  TCFLSH: 0x540b,
  TIOCEXCL: 0x540c,
  TIOCNXCL: 0x540d,
  TIOCSCTTY: 0x540e,
  TIOCGPGRP: 0x540f,
  TIOCSPGRP: 0x5410,
  TIOCOUTQ: 0x5411,
  TIOCSTI: 0x5412,
  TIOCGWINSZ: 0x5413,
  TIOCSWINSZ: 0x5414,
  FIONREAD: 0x541b,
  TIOCPKT: 0x5420,
  TIOCNOTTY: 0x5422,
  TIOCSETD: 0x5423,
  TIOCGETD: 0x5424,
  TCSBRKP: 0x5425,
  TIOCSBRK: 0x5427,
  TIOCCBRK: 0x5428,
  TIOCGSID: 0x5429,
  TCGETS2: 0x802c542a,
  TCSETS2: 0x402c542b,
  TCSETSW2: 0x402c542c,
  TCSETSF2: 0x402c542d,
  TIOCGPTN: 0x80045430,
  TIOCSPTLCK: 0x40045431,
  TIOCSIG: 0x40045436,
  TIOCGPKT: 0x80045438,
  TIOCGPTLCK: 0x80045439,
  TIOCGEXCL: 0x80045440,
  TIOCGPTPEER: 0x5441,
} as const;

/**
 * What an ioctl copies: "in" from the user's structure, "out" to it, "value" when the argument is a number.
 * The caller puts the structure (so many bytes at the argument's address) into the request's segments.
 */
export interface IoctlShape {
  readonly name: string;
  readonly direction: "in" | "out" | "value";
  readonly bytes: number;
}

const shape = (
  direction: IoctlShape["direction"],
  bytes: number,
  ...names: (keyof typeof IOCTL)[]
): [number, IoctlShape][] => names.map((name) => [IOCTL[name], { name, direction, bytes }]);

/** Each ioctl that terminals know. Any other is ENOTTY. TIOCGPTPEER opens a file and is the caller's to do. */
export const TTY_IOCTLS: ReadonlyMap<number, IoctlShape> = new Map([
  ...shape("out", TERMIOS_BYTES, "TCGETS"),
  ...shape("in", TERMIOS_BYTES, "TCSETS", "TCSETSW", "TCSETSF"),
  ...shape("out", TERMIOS2_BYTES, "TCGETS2"),
  ...shape("in", TERMIOS2_BYTES, "TCSETS2", "TCSETSW2", "TCSETSF2"),
  ...shape("out", WINSIZE_BYTES, "TIOCGWINSZ"),
  ...shape("in", WINSIZE_BYTES, "TIOCSWINSZ"),
  ...shape(
    "out",
    4,
    "TIOCGPGRP",
    "TIOCGSID",
    "TIOCOUTQ",
    "FIONREAD",
    "TIOCGPTN",
    "TIOCGPTLCK",
    "TIOCGPKT",
    "TIOCGEXCL",
    "TIOCGETD",
  ),
  ...shape("in", 4, "TIOCSPGRP", "TIOCSPTLCK", "TIOCPKT", "TIOCSETD"),
  ...shape("in", 1, "TIOCSTI"),
  ...shape(
    "value",
    0,
    "TCSBRK",
    "TCSBRKP",
    "TCXONC",
    "TCFLSH",
    "TIOCEXCL",
    "TIOCNXCL",
    "TIOCSCTTY",
    "TIOCNOTTY",
    "TIOCSBRK",
    "TIOCCBRK",
    "TIOCSIG",
  ),
]);
