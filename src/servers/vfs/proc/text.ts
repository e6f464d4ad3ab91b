/** Contents of those files of /proc that the vfs server knows itself: file systems and mounts. */

import { decodeUtf8 } from "../../../base/text.ts";
import type { Transaction } from "../../../heap/transaction.ts";
import { MS } from "../mounts.ts";
import { eachMount } from "../mount-calls.ts";
import { pathFrom } from "../paths.ts";
import { FILE_SYSTEM, FileSystem, Mount, VfsState } from "../records.ts";
import { lockVfs } from "../state.ts";

/** Names of file systems as mount(2) and /proc/filesystems have them. */
const TYPE_NAMES: Readonly<Record<number, string>> = {
  [FILE_SYSTEM.MEMORY]: "tmpfs",
  [FILE_SYSTEM.IMAGE]: "overlay",
  [FILE_SYSTEM.PROC]: "proc",
  [FILE_SYSTEM.PTS]: "devpts",
  [FILE_SYSTEM.HOST]: "9p",
  [FILE_SYSTEM.ANONYMOUS]: "pipefs",
  [FILE_SYSTEM.DEVICES]: "devtmpfs",
};

export function filesystemsText(): string {
  const names = ["proc", "tmpfs", "devtmpfs", "devpts", "pipefs", "overlay"];
  return names.map((name) => `nodev\t${name}\n`).join("") + "\terofs\n";
}

function options(flags: number): string {
  const parts = [(flags & MS.RDONLY) !== 0 ? "ro" : "rw"];
  if ((flags & MS.NOSUID) !== 0) parts.push("nosuid");
  if ((flags & MS.NODEV) !== 0) parts.push("nodev");
  if ((flags & MS.NOEXEC) !== 0) parts.push("noexec");
  parts.push("relatime");
  return parts.join(",");
}

/** Spaces and the like in paths, as getmntent(3) reads them. */
function escapePath(path: string): string {
  return path.replace(/[ \t\n\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/** /proc/PID/mounts and mountinfo. */
export function mountsText(tx: Transaction, withInfo: boolean): string {
  const state = lockVfs(tx);
  const rootMount = VfsState.rootMount.get(tx, state);
  const root = { mount: rootMount, entry: Mount.root.get(tx, rootMount) };
  let text = "";
  for (const mount of eachMount(tx)) {
    const fileSystem = Mount.fileSystem.get(tx, mount);
    const type = TYPE_NAMES[FileSystem.kind.get(tx, fileSystem)] ?? "none";
    const place = { mount, entry: Mount.root.get(tx, mount) };
    const path = escapePath(decodeUtf8(pathFrom(tx, root, place)));
    const flags = Mount.flags.get(tx, mount) | FileSystem.flags.get(tx, fileSystem);
    if (!withInfo) {
      text += `${type} ${path} ${type} ${options(flags)} 0 0\n`;
      continue;
    }
    const parent = Mount.parent.get(tx, mount);
    const parentId = Mount.id.get(tx, parent === 0 ? mount : parent);
    const device = FileSystem.device.get(tx, fileSystem);
    const base = { mount, entry: FileSystem.rootEntry.get(tx, fileSystem) };
    const inner = base.entry === place.entry ? "/" : decodeUtf8(pathFrom(tx, base, place));
    text += `${Mount.id.get(tx, mount)} ${parentId} 0:${device & 0xff} ${escapePath(inner)} ${path} `;
    text += `${options(Mount.flags.get(tx, mount))} - ${type} ${type} ${options(flags).replace(",relatime", "")}\n`;
  }
  return text;
}
