/** Small EROFS images for tests. */

import { encodeUtf8 } from "../../../base/text.ts";
import { type DirectoryNode, type ErofsNode, planErofs, writeErofs } from "../../../erofs/writer.ts";

const common = { mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 500, mtimeNanoseconds: 25 };

export function directory(
  children: Readonly<Record<string, ErofsNode>>,
  mode: number = 0o755,
): DirectoryNode {
  return { kind: "directory", ...common, mode, children: new Map(Object.entries(children)) };
}

export function file(text: string | Uint8Array, mode: number = 0o644): ErofsNode {
  return { kind: "file", ...common, mode, data: typeof text === "string" ? encodeUtf8(text) : text };
}

export function symlink(target: string): ErofsNode {
  return { kind: "symlink", ...common, mode: 0o777, target };
}

/** The bytes of an image of the tree. */
export async function imageOf(root: DirectoryNode): Promise<Uint8Array> {
  const plan = planErofs(root, { uuid: new Uint8Array(16), label: "test", buildSeconds: 1 });
  const bytes = new Uint8Array(plan.blocks * 4096);
  let at = 0;
  await writeErofs(plan, (chunk) => {
    bytes.set(chunk, at);
    at += chunk.length;
  });
  return bytes;
}
