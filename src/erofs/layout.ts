/**
 * EROFS on disk: offsets and constants, little-endian, as in Linux's `fs/erofs/erofs_fs.h`.
 *
 * Coppice writes the plainest form that Linux mounts: 4 KiB blocks, no compression, extended inodes.
 *
 *     block 0     bytes 0–1023 zero · superblock (128 bytes) at 1024 · inodes from 1152 (nid 36), the root's first
 *     block 1 …   more inodes, each with its xattrs and its inline tail, never across a block border
 *     …           directory blocks, long symbolic links
 *     …           file contents: page n of a file is block (first + n), zero-filled at the end
 *     block N     (N = the superblock's `blocks`) dm-verity superblock and hash tree, see verity.ts
 *
 * Superblock, from byte 1024:
 *
 *      0 u32 magic            4 u32 checksum        8 u32 compatible features  12 u8 log2(block size)
 *     13 u8  extra slots     14 u16 root nid       16 u64 inodes               24 u64 build time
 *     32 u32 its nanoseconds 36 u32 blocks         40 u32 first metadata block 44 u32 first xattr block
 *     48 u8[16] uuid         64 u8[16] label       80 u32 incompatible features 84…127 zero here
 *
 * Extended inode (64 bytes), at byte `first metadata block × 4096 + nid × 32`:
 *
 *      0 u16 format (bit 0: extended; bits 1–3: data layout)   2 u16 xattr words + 1, or 0
 *      4 u16 mode    8 u64 size   16 u32 first data block, or device number   20 u32 inode number
 *     24 u32 uid    28 u32 gid    32 u64 mtime   40 u32 its nanoseconds       44 u32 links
 *
 * The compact inode (32 bytes: links at 6, size u32 at 8, uid u16 at 24, gid u16 at 26) is read, never
 * written: it has no time of its own.
 *
 * Directory block: entries of 12 bytes { u64 nid, u16 name offset, u8 type, u8 0 }, then the names without
 * terminators; the first name offset ÷ 12 is the number of entries; the last name ends at a zero byte or at
 * the end of the block. Names ascend by bytes over the whole directory, "." and ".." among them.
 *
 * Xattrs follow the inode: 12-byte header { u32 name filter, u8 shared count, 7 × 0 }, shared ids (u32 each),
 * then { u8 name length, u8 prefix, u16 value length, name, value } padded to 4 bytes.
 */

export const blockSize = 4096;
export const blockBits = 12;

export const superblockOffset = 1024;
export const superblockSize = 128;
export const superblockMagic = 0xe0f5e1e2;
export const featureSuperblockChecksum = 0x1;
export const featureMtime = 0x2;

export const slotSize = 32;
/** The first inode slot after the superblock. */
export const firstNid: number = (superblockOffset + superblockSize) / slotSize;
export const compactInodeSize = 32;
export const extendedInodeSize = 64;
export const direntSize = 12;
export const nameLimit = 255;
export const xattrHeaderSize = 12;
export const xattrEntrySize = 4;

/** How an inode's bytes are stored. Others (compressed, chunk-based) are neither written nor read. */
export const dataLayout = { plain: 0, inline: 2 } as const;

/** File types as stored in directory entries; the values of Linux's `FT_*`. */
export const fileType = {
  unknown: 0,
  regular: 1,
  directory: 2,
  character: 3,
  block: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
} as const;

/** The file-type bits of a mode (`S_IF*`). */
export const modeType = {
  mask: 0o170000,
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  regular: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const;

/** Xattr name prefixes that are stored as a number. The longest match wins, so order matters to the writer. */
export const xattrPrefixes: readonly { readonly index: number; readonly prefix: string }[] = [
  { index: 2, prefix: "system.posix_acl_access" },
  { index: 3, prefix: "system.posix_acl_default" },
  { index: 1, prefix: "user." },
  { index: 4, prefix: "trusted." },
  { index: 6, prefix: "security." },
];

/** The directory-entry type for a mode; `unknown` for a mode with no valid type. */
export function fileTypeOfMode(mode: number): number {
  switch (mode & modeType.mask) {
    case modeType.regular:
      return fileType.regular;
    case modeType.directory:
      return fileType.directory;
    case modeType.character:
      return fileType.character;
    case modeType.block:
      return fileType.block;
    case modeType.fifo:
      return fileType.fifo;
    case modeType.socket:
      return fileType.socket;
    case modeType.symlink:
      return fileType.symlink;
    default:
      return fileType.unknown;
  }
}

/** Linux's `new_encode_dev`: how a device number is stored in 32 bits. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

/** Undoes {@link encodeDevice}. */
export function decodeDevice(rdev: number): { major: number; minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}
