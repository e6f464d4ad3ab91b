/** Copies single files out of a built image, for systems that run them outside a machine. */

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { blockSize, fileType, modeType } from "../../src/erofs/layout.ts";
import {
  type BlockAccess,
  contentLength,
  directoryBlocks,
  type Inode,
  lookUp,
  readContent,
  readEntries,
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

/** What a built image holds, read block by block. */
interface Source {
  readonly read: BlockAccess;
  readonly sb: Superblock;
}

function contentOf({ read, sb }: Source, inode: Inode): Uint8Array {
  const content = new Uint8Array(inode.size);
  for (let index = 0; index * blockSize < inode.size; index++) {
    const { bytes, offset } = readContent(read, sb, inode, index);
    content.set(bytes.subarray(offset, offset + contentLength(inode, index)), index * blockSize);
  }
  return content;
}

/** Copies a file, or a folder with all that is in it; symbolic links become what they lead to, or are left out. */
async function copy(source: Source, folder: string, name: string): Promise<void> {
  const { read, sb } = source;
  const inode = resolve(read, sb, name);
  const target = path.join(folder, name);
  if ((inode.mode & modeType.mask) === modeType.directory) {
    const names: string[] = [];
    for (let block = 0; block < directoryBlocks(inode); block++) {
      readEntries(read, sb, inode, block, 0, (_nid, type, bytes, start, end) => {
        const entry = new TextDecoder().decode(bytes.subarray(start, end));
        const isUsual = type === fileType.regular || type === fileType.directory;
        if (isUsual && entry !== "." && entry !== "..") names.push(entry);
        return true;
      });
    }
    for (const entry of names) await copy(source, folder, `${name}/${entry}`);
    return;
  }
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, contentOf(source, inode), { mode: 0o755 });
}

/** Copies files and folders out of the image called `imageName` to the same paths below `folder`, executable. */
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
  const source = { read, sb: readSuperblock(read) };
  for (const file of files) await copy(source, folder, file);
}
