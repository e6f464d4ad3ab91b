/** Copies single files out of a built image, for systems that run them outside a machine. */

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { blockSize, modeType } from "../../src/erofs/layout.ts";
import {
  type BlockAccess,
  contentLength,
  type Inode,
  lookUp,
  readContent,
  readInode,
  readSuperblock,
  readSymlink,
  type Superblock,
} from "../../src/erofs/reader.ts";
import { openImage } from "../../src/image/image-file.ts";
import { findImage } from "../../src/image/images.ts";

const LINKS_MAX = 20;

/** The inode at `name` in the image, symbolic links followed. */
function resolve(read: BlockAccess, sb: Superblock, name: string): Inode {
  let at = name;
  for (let links = 0; links < LINKS_MAX; links++) {
    const parts = at.split("/").filter((part) => part !== "");
    let inode = readInode(read, sb, sb.rootNid);
    let link: string | undefined;
    for (const [index, part] of parts.entries()) {
      const nid = lookUp(read, sb, inode, new TextEncoder().encode(part));
      if (nid < 0) throw new Error(`the image has no ${name}`);
      inode = readInode(read, sb, nid);
      if ((inode.mode & modeType.mask) !== modeType.symlink) continue;
      const target = new TextDecoder().decode(readSymlink(read, sb, inode));
      const folder = `/${parts.slice(0, index).join("/")}`;
      link = path.posix.resolve(folder, target, ...parts.slice(index + 1));
      break;
    }
    if (link === undefined) return inode;
    at = link;
  }
  throw new Error(`${name}: too many symbolic links`);
}

/** Copies `files` out of the image called `imageName` to the same paths below `folder`, executable. */
export async function copyFromImage(
  imageName: string,
  folder: string,
  files: readonly string[],
): Promise<void> {
  const { path: imagePath, digest, dataBlocks } = await findImage(imageName);
  using image = openImage(imagePath, digest, dataBlocks);
  const read: BlockAccess = (block) => {
    const bytes = new Uint8Array(blockSize);
    image.readBlock(block, bytes);
    return { bytes, offset: 0 };
  };
  const sb = readSuperblock(read);
  for (const file of files) {
    const inode = resolve(read, sb, file);
    const content = new Uint8Array(inode.size);
    for (let index = 0; index * blockSize < inode.size; index++) {
      const { bytes, offset } = readContent(read, sb, inode, index);
      content.set(bytes.subarray(offset, offset + contentLength(inode, index)), index * blockSize);
    }
    const target = path.join(folder, file);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, content, { mode: 0o755 });
  }
}
