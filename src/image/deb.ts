/**
 * Reads a Debian binary package: an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*`.
 *
 *     "!<arch>\n", then members: name[16] mtime[12] uid[6] gid[6] mode[8] size[10] "`\n", content, padded to 2
 */

import { CompressionError, compressionOf, decompress } from "./decompress.ts";
import { TarError, readTar } from "./tar.ts";
import type { TarEntry } from "./tar.ts";

/** A file that is no Debian package, or a damaged one. */
export class DebError extends Error {
  override readonly name: string = "DebError";
}

export interface DebPackage {
  /** The files of the control archive by name: `control`, `postinst`, `conffiles` and so on. */
  control: Map<string, Uint8Array>;
  /** Modes of the control files, since maintainer scripts keep theirs. */
  controlModes: Map<string, number>;
  /** The members of the data archive; their contents lie in `data`. */
  entries: TarEntry[];
  data: Uint8Array;
}

/** A package's files, unpacked, may take this much: far above any in Debian, far below what ends a process. */
const dataLimit = 4 * 1024 ** 3 - 1;
const controlLimit = 64 * 1024 ** 2;

interface ArMember {
  name: string;
  content: Uint8Array;
}

/** The members of an `ar` archive. */
export function readAr(file: Uint8Array): ArMember[] {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  if (bytes.toString("latin1", 0, 8) !== "!<arch>\n") throw new DebError("not an ar archive");
  const members: ArMember[] = [];
  let at = 8;
  while (at < bytes.length) {
    const header = bytes.toString("latin1", at, at + 60);
    const size = header.slice(48, 58).trim();
    if (header.length !== 60 || !header.endsWith("`\n") || !/^[0-9]+$/.test(size)) {
      throw new DebError(`damaged member header at byte ${at}`);
    }
    const end = at + 60 + Number(size);
    if (end > bytes.length) throw new DebError("the file ends in the middle of a member");
    members.push({
      name: header.slice(0, 16).trim().replace(/\/$/, ""),
      content: bytes.subarray(at + 60, end),
    });
    at = end + (end % 2);
  }
  return members;
}

/**
 * Unpacks a package into memory.
 * @throws {DebError} when any part of it is damaged or in an unknown form.
 */
export async function readDeb(file: Uint8Array): Promise<DebPackage> {
  const members = readAr(file);
  const format = members[0];
  if (format?.name !== "debian-binary" || !Buffer.from(format.content).toString("latin1").startsWith("2.")) {
    throw new DebError("not a Debian package of format 2");
  }
  try {
    const controlTar = await expand(members, "control.tar", controlLimit);
    const control = new Map<string, Uint8Array>();
    const controlModes = new Map<string, number>();
    for (const entry of readTar(controlTar)) {
      if (entry.kind !== "file") continue;
      control.set(entry.path, controlTar.slice(entry.offset, entry.offset + entry.size));
      controlModes.set(entry.path, entry.mode);
    }
    if (!control.has("control")) throw new DebError("its control archive has no control file");
    const data = await expand(members, "data.tar", dataLimit);
    return { control, controlModes, entries: readTar(data), data };
  } catch (error) {
    if (error instanceof TarError || error instanceof CompressionError) {
      throw new DebError(error.message, { cause: error });
    }
    throw error;
  }
}

async function expand(members: readonly ArMember[], stem: string, limit: number): Promise<Uint8Array> {
  const member = members.find(({ name }) => name === stem || name.startsWith(`${stem}.`));
  if (member === undefined) throw new DebError(`it has no ${stem}`);
  const compression = compressionOf(member.name);
  if (compression === undefined)
    throw new DebError(`${member.name} is compressed in a way that is not supported`);
  return decompress(member.content, compression, limit);
}
