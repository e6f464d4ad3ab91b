/**
 * The character devices that need no server of their own: major 1 of Linux's list, null, zero, full, random,
 * urandom. They are files of kind "device", whose object is the minor number.
 */

import { errno } from "../../base/errno.ts";
import { File, type FileKind, POLL, registerFileKind } from "../../kernel/file.ts";
import { fillSegments, walkSegments } from "../../kernel/request.ts";
import { threadOf } from "../../kernel/thread.ts";
import { memoryLayout } from "../../kernel/memory/layout.ts";
import { wantsRead, wantsWrite } from "./open-flags.ts";
import { registerOpener } from "./open.ts";
import { Inode } from "./records.ts";

export const MEMORY_DEVICE = { NULL: 3, ZERO: 5, FULL: 7, RANDOM: 8, URANDOM: 9, KMSG: 11 } as const;
const MEMORY_MAJOR = 1;

/** Linux's new_encode_dev. */
export const deviceNumber = (major: number, minor: number): number =>
  ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;

/** Random bytes that one call hands out at most. */
const RANDOM_AT_ONCE = 65536;

registerOpener(`char ${MEMORY_MAJOR}`, (tx, file, inode) => {
  const minor = Inode.rdev.get(tx, inode) & 0xff;
  if (!Object.values<number>(MEMORY_DEVICE).includes(minor)) throw errno.ENXIO;
  File.object.init(tx, file, minor);
});

const deviceKind: FileKind = {
  name: "device",
  read(tx, file, length) {
    if (!wantsRead(File.flags.get(tx, file))) throw errno.EBADF;
    switch (File.object.get(tx, file)) {
      case MEMORY_DEVICE.NULL:
      case MEMORY_DEVICE.KMSG:
        return 0;
      case MEMORY_DEVICE.RANDOM:
      case MEMORY_DEVICE.URANDOM: {
        const count = Math.min(length, RANDOM_AT_ONCE);
        const { entropy } = threadOf(tx);
        walkSegments(tx, 0, count, (pa, _done, run) => {
          const drawn = new Uint8Array(run);
          // oxlint-disable-next-line unicorn/no-array-fill-with-reference-type -- the host's entropy is no array
          entropy.fill(drawn);
          tx.memoryBytes.set(drawn, pa);
        });
        return count;
      }
      default:
        fillSegments(tx, 0, length, 0);
        return length;
    }
  },
  write(tx, file, length) {
    if (!wantsWrite(File.flags.get(tx, file))) throw errno.EBADF;
    if (File.object.get(tx, file) === MEMORY_DEVICE.FULL) throw errno.ENOSPC;
    return length;
  },
  poll: () => POLL.IN | POLL.OUT | POLL.RDNORM | POLL.WRNORM,
  watchable: false,
  release: () => {},
  seek: () => 0,
  page(tx, file, _index, forWrite) {
    // A private mapping of /dev/zero; a shared one is anonymous memory, which the caller makes.
    if (File.object.get(tx, file) !== MEMORY_DEVICE.ZERO || forWrite) throw errno.ENODEV;
    return memoryLayout(tx).zeroFrame;
  },
};
registerFileKind(deviceKind);
