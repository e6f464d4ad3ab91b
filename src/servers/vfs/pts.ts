/**
 * devpts: the names of terminals in /dev/pts. Which there are the terminal server knows, which is asked through
 * an object that the personality registers; it is called with the vfs lock held, so it reads without locks.
 */

import { encodeUtf8 } from "../../base/text.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { registerGeneratedListing } from "./directory.ts";
import { generatedEntry } from "./generated.ts";
import { S_IFCHR } from "./inodes.ts";
import { registerGeneratedNames } from "./lookup.ts";
import { type NameBytes, nameOf } from "./names.ts";
import { deviceNumber } from "./devices.ts";
import type { Dirent, Inode } from "./records.ts";
import { FILE_SYSTEM } from "./records.ts";

export interface PtsSource {
  /** Indexes of the terminals that there are, ascending. */
  indexes(tx: Transaction): readonly number[];
  /**
   * A terminal's own number, which no later terminal with this index has, and who owns it; undefined if there
   * is no such terminal.
   */
  terminal(
    tx: Transaction,
    index: number,
  ): { readonly generation: number; readonly uid: number; readonly gid: number } | undefined;
}

let source: PtsSource | undefined;
export function registerPtsSource(given: PtsSource): void {
  source = given;
}

const PTS_MAJOR = 136;
const PTMX = { major: 5, minor: 2 } as const;

function entryFor(tx: Transaction, directory: Inode, name: NameBytes): Dirent {
  let text = "";
  for (let i = 0; i < name.length && i < 8; i++) text += String.fromCharCode(name.source[name.start + i]!);
  if (text === "ptmx" && name.length === 4) {
    const rdev = deviceNumber(PTMX.major, PTMX.minor);
    const attributes = { mode: S_IFCHR | 0o666, uid: 0, gid: 0, rdev };
    return generatedEntry(tx, directory, name, { detail: 1, subject: 0, object: 0 }, attributes);
  }
  if (!/^(0|[1-9][0-9]{0,3})$/.test(text) || text.length !== name.length) return none();
  const index = Number(text);
  const terminal = source?.terminal(tx, index);
  if (terminal === undefined) return none();
  const { generation, uid, gid } = terminal;
  const attributes = { mode: S_IFCHR | 0o620, uid, gid, rdev: deviceNumber(PTS_MAJOR, index) };
  return generatedEntry(tx, directory, name, { detail: 2, subject: index, object: generation }, attributes);
}

registerGeneratedNames(FILE_SYSTEM.PTS, { lookUp: entryFor });

registerGeneratedListing(FILE_SYSTEM.PTS, {
  list(tx, _directory, from, writer) {
    const names: [number, string][] = [[2, "ptmx"]];
    for (const index of source?.indexes(tx) ?? []) names.push([3 + index, `${index}`]);
    for (const [cookie, text] of names) {
      if (cookie >= from && !writer.add(cookie, 2, nameOf(encodeUtf8(text)), cookie + 1)) return true;
    }
    return false;
  },
});
