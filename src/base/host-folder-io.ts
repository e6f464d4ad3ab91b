/**
 * Requests for granted host folders (IO_KIND.FOLDER in host-io.ts): what the kernel asks and how the host
 * answers. The request's device is the number of the folder.
 *
 *     arguments   FOLDER_ARGUMENT below
 *     frame 0     the path in its first half, a second path in its second half
 *     frames 1 …  data: bytes to write, bytes read, a list of entries, or the attributes
 *
 * Paths are relative to the folder: names joined by "/", without ".", ".." or empty names; the empty path is the
 * folder itself. No name of a path is followed if it is a symbolic link. The result is a count, 0, or −errno.
 */

export const FOLDER_OPERATION = {
  /** Attributes of the path itself. */
  LOOKUP: 1,
  /** Entries from number `offset` on, in a fixed order; the result is how many bytes they take. */
  LIST: 2,
  READ: 3,
  WRITE: 4,
  /** A new, empty file with `mode`. Then as LOOKUP. */
  CREATE: 5,
  MKDIR: 6,
  UNLINK: 7,
  RMDIR: 8,
  /** The path gets the second path as its name; an existing file there is replaced. */
  RENAME: 9,
  /** A link at the path that leads to the second path, which may be anything. */
  SYMLINK: 10,
  READLINK: 11,
  CHMOD: 12,
  TRUNCATE: 13,
  /** Times: seconds and nanoseconds of access and modification in the data, as four doubles. */
  UTIMES: 14,
} as const;
export type FolderOperation = (typeof FOLDER_OPERATION)[keyof typeof FOLDER_OPERATION];

/** Places of the arguments. Offsets and sizes are 64-bit numbers of at most 2^53, low word first. */
export const FOLDER_ARGUMENT = {
  operation: 0,
  pathLength: 1,
  secondLength: 2,
  offset: 3,
  length: 5,
  mode: 6,
  /** The kernel's own: when the answer came, in milliseconds. */
  arrived: 7,
  /** The kernel's own: the request that asked has taken the answer. */
  taken: 8,
} as const;

export const FOLDER_PATH_BYTES = 2048;
/** Data frames, and bytes in them. */
export const FOLDER_DATA_FRAMES = 8;
export const FOLDER_DATA_BYTES: number = FOLDER_DATA_FRAMES * 4096;

/** Attributes in the first data frame: doubles, by number. */
export const FOLDER_ATTRIBUTE = {
  mode: 0,
  size: 1,
  links: 2,
  ino: 3,
  mtime: 4,
  mtimeNanos: 5,
  atime: 6,
  atimeNanos: 7,
  ctime: 8,
  ctimeNanos: 9,
  COUNT: 10,
} as const;

/** An entry of a list: u32 low part of the inode number, u8 type (d_type), u8 length of the name, the name. */
export const FOLDER_ENTRY_HEAD = 6;
