/**
 * What /proc tells of a process's memory: maps, smaps, statm and the lines of status, counted from the mappings
 * and the page table when they are read (proc_pid_smaps(5)). Without locks, as all of procfs.
 */

import { mostResident } from "../kernel/process.ts";
import { PAGE_SIZE } from "../base/hart-abi.ts";
import type { HeapView } from "../heap/heap.ts";
import { File } from "../kernel/file.ts";
import { spaceUsage } from "../kernel/memory/address-space.ts";
import { eachMapping } from "../kernel/memory/mapping-tree.ts";
import { readPage } from "../kernel/memory/page-table.ts";
import { AddressSpace, Mapping, MAPPING, PROT } from "../kernel/memory/records.ts";
import { FileSystem, Inode } from "../servers/vfs/records.ts";

/** Gives the path of an open file. */
export type PathOf = (file: File) => string;

const KILOBYTES: number = PAGE_SIZE / 1024;

/** Present pages of a mapping. */
function presentPages(view: HeapView, space: AddressSpace, mapping: Mapping): number {
  const root = AddressSpace.root.get(view, space);
  const end = Mapping.end.get(view, mapping);
  let count = 0;
  for (let page = Mapping.first.get(view, mapping); page < end; page++) {
    if (readPage(view, root, page) !== 0) count++;
  }
  return count;
}

/** Pages of a space by what they are for, as status and statm count them. */
export interface SpacePages {
  readonly virtual: number;
  readonly resident: number;
  readonly tables: number;
  readonly residentFile: number;
  readonly residentShared: number;
  /** Private writable memory, stack, and code of the program and of its libraries. */
  readonly data: number;
  readonly stack: number;
  /** Resident at most, and locked. */
  readonly most: number;
  readonly locked: number;
  readonly code: number;
  readonly libraries: number;
}

export function pagesOf(view: HeapView, space: AddressSpace, program: File): SpacePages {
  const { virtual, resident, tables } = spaceUsage(view, space);
  let [residentFile, residentShared, data, stack, code, libraries, locked] = [0, 0, 0, 0, 0, 0, 0];
  const own = program === 0 ? 0 : File.inode.get(view, program);
  for (const mapping of eachMapping(view, space)) {
    const size = Mapping.end.get(view, mapping) - Mapping.first.get(view, mapping);
    const flags = Mapping.flags.get(view, mapping);
    const prot = Mapping.prot.get(view, mapping);
    const file = Mapping.file.get(view, mapping);
    if (file !== 0) residentFile += presentPages(view, space, mapping);
    else if ((flags & MAPPING.SHARED) !== 0) residentShared += presentPages(view, space, mapping);
    if ((flags & MAPPING.LOCKED) !== 0) locked += size;
    if ((flags & MAPPING.STACK) !== 0) stack += size;
    else if ((prot & PROT.WRITE) !== 0 && (flags & MAPPING.SHARED) === 0) data += size;
    if ((prot & PROT.EXEC) !== 0 && file !== 0) {
      if (File.inode.get(view, file) === own) code += size;
      else libraries += size;
    }
  }
  const most = mostResident(view, space);
  return {
    virtual,
    resident,
    most,
    tables,
    residentFile,
    residentShared,
    data,
    stack,
    code,
    libraries,
    locked,
  };
}

/** The memory lines of /proc/PID/status. */
export function memoryLines(pages: SpacePages): (readonly [string, string])[] {
  const line = (name: string, count: number): readonly [string, string] => [
    name,
    `${String(count * KILOBYTES).padStart(8)} kB`,
  ];
  const anonymous = Math.max(0, pages.resident - pages.residentFile - pages.residentShared);
  return [
    line("VmPeak", pages.virtual),
    line("VmSize", pages.virtual),
    line("VmLck", pages.locked),
    line("VmPin", 0),
    line("VmHWM", pages.most),
    line("VmRSS", pages.resident),
    line("RssAnon", anonymous),
    line("RssFile", pages.residentFile),
    line("RssShmem", pages.residentShared),
    line("VmData", pages.data),
    line("VmStk", pages.stack),
    line("VmExe", pages.code),
    line("VmLib", pages.libraries),
    line("VmPTE", pages.tables),
    line("VmSwap", 0),
    line("HugetlbPages", 0),
  ];
}

/** /proc/PID/statm, in pages. */
export function statmText(pages: SpacePages | undefined): string {
  if (pages === undefined) return "0 0 0 0 0 0 0\n";
  const shared = pages.residentFile + pages.residentShared;
  return `${pages.virtual} ${pages.resident} ${shared} ${pages.code} 0 ${pages.data + pages.stack} 0\n`;
}

const HEADING_WIDTH = 73;

/** The line of a mapping in maps. */
function mapLine(view: HeapView, mapping: Mapping, pathOf: PathOf): string {
  const prot = Mapping.prot.get(view, mapping);
  const flags = Mapping.flags.get(view, mapping);
  const file = Mapping.file.get(view, mapping);
  const address = (page: number): string => (page * PAGE_SIZE).toString(16).padStart(8, "0");
  const letters =
    ((prot & PROT.READ) !== 0 ? "r" : "-") +
    ((prot & PROT.WRITE) !== 0 ? "w" : "-") +
    ((prot & PROT.EXEC) !== 0 ? "x" : "-") +
    ((flags & MAPPING.SHARED) !== 0 ? "s" : "p");
  const offset = file === 0 ? 0 : Mapping.filePage.get(view, mapping) * PAGE_SIZE;
  const inode = file === 0 ? 0 : File.inode.get(view, file);
  const number = inode === 0 ? 0 : Inode.ino.get(view, inode);
  const device = inode === 0 ? 0 : FileSystem.device.get(view, Inode.fileSystem.get(view, inode));
  const hex = (value: number): string => value.toString(16).padStart(2, "0");
  let name = file === 0 ? "" : pathOf(file);
  if ((flags & MAPPING.BREAK) !== 0) name = "[heap]";
  else if ((flags & MAPPING.STACK) !== 0 && (flags & MAPPING.GROWSDOWN) !== 0) name = "[stack]";
  const range = `${address(Mapping.first.get(view, mapping))}-${address(Mapping.end.get(view, mapping))}`;
  const place = `${offset.toString(16).padStart(8, "0")} ${hex((device >>> 8) & 0xfff)}:${hex(device & 0xff)}`;
  const line = `${range} ${letters} ${place} ${number} `;
  return name === "" ? `${line}\n` : `${line.padEnd(HEADING_WIDTH)}${name}\n`;
}

/** /proc/PID/maps. */
export function mapsText(view: HeapView, space: AddressSpace, pathOf: PathOf): string {
  let text = "";
  for (const mapping of eachMapping(view, space)) text += mapLine(view, mapping, pathOf);
  return text;
}

/** The mappings of files: first page, page after the last, file. */
export function mappedFiles(view: HeapView, space: AddressSpace): [first: number, end: number, file: File][] {
  const found: [number, number, File][] = [];
  for (const mapping of eachMapping(view, space)) {
    const file = Mapping.file.get(view, mapping);
    if (file !== 0) found.push([Mapping.first.get(view, mapping), Mapping.end.get(view, mapping), file]);
  }
  return found;
}

/** The counts of one mapping, or of several together. */
function smapsCounts(size: number | undefined, shared: number, clean: number, anonymous: number): string {
  const resident = shared + clean + anonymous;
  const rows: (readonly [string, number])[] = [
    ...(size === undefined
      ? []
      : ([
          ["Size", size * KILOBYTES],
          ["KernelPageSize", KILOBYTES],
          ["MMUPageSize", KILOBYTES],
        ] as const)),
    ["Rss", resident * KILOBYTES],
    ["Pss", resident * KILOBYTES],
    ["Pss_Dirty", (anonymous + shared) * KILOBYTES],
    ["Shared_Clean", 0],
    ["Shared_Dirty", shared * KILOBYTES],
    ["Private_Clean", clean * KILOBYTES],
    ["Private_Dirty", anonymous * KILOBYTES],
    ["Referenced", resident * KILOBYTES],
    ["Anonymous", anonymous * KILOBYTES],
    ["LazyFree", 0],
    ["AnonHugePages", 0],
    ["ShmemPmdMapped", 0],
    ["FilePmdMapped", 0],
    ["Shared_Hugetlb", 0],
    ["Private_Hugetlb", 0],
    ["Swap", 0],
    ["SwapPss", 0],
    ["Locked", 0],
  ];
  return rows.map(([name, value]) => `${`${name}:`.padEnd(16)}${String(value).padStart(8)} kB\n`).join("");
}

/** Present pages of a mapping as shared, read from a file, and its own. */
function residence(view: HeapView, space: AddressSpace, mapping: Mapping): readonly [number, number, number] {
  const present = presentPages(view, space, mapping);
  if ((Mapping.flags.get(view, mapping) & MAPPING.SHARED) !== 0) return [present, 0, 0];
  const isRead =
    Mapping.file.get(view, mapping) !== 0 && (Mapping.prot.get(view, mapping) & PROT.WRITE) === 0;
  return isRead ? [0, present, 0] : [0, 0, present];
}

/** The two-letter flags of a mapping, as far as there are such things here. */
function letters(view: HeapView, mapping: Mapping): string {
  const prot = Mapping.prot.get(view, mapping);
  const flags = Mapping.flags.get(view, mapping);
  const holds = [
    (prot & PROT.READ) !== 0,
    (prot & PROT.WRITE) !== 0,
    (prot & PROT.EXEC) !== 0,
    (flags & MAPPING.SHARED) !== 0,
    true,
    true,
    true,
    (flags & MAPPING.GROWSDOWN) !== 0,
    (flags & MAPPING.NORESERVE) !== 0,
  ];
  return "rd wr ex sh mr mw me gd nr"
    .split(" ")
    .filter((_, i) => holds[i])
    .map((name) => `${name} `)
    .join("");
}

/** /proc/PID/smaps. */
export function smapsText(view: HeapView, space: AddressSpace, pathOf: PathOf): string {
  let text = "";
  for (const mapping of eachMapping(view, space)) {
    const size = Mapping.end.get(view, mapping) - Mapping.first.get(view, mapping);
    text += mapLine(view, mapping, pathOf) + smapsCounts(size, ...residence(view, space, mapping));
    text += `THPeligible:    ${"0".padStart(8)}\nVmFlags: ${letters(view, mapping)}\n`;
  }
  return text;
}

/** /proc/PID/smaps_rollup. */
export function rollupText(view: HeapView, space: AddressSpace): string {
  let [first, end, shared, clean, anonymous] = [-1, 0, 0, 0, 0];
  for (const mapping of eachMapping(view, space)) {
    if (first < 0) first = Mapping.first.get(view, mapping);
    end = Mapping.end.get(view, mapping);
    const [a, b, c] = residence(view, space, mapping);
    shared += a;
    clean += b;
    anonymous += c;
  }
  if (first < 0) return "";
  const range = `${(first * PAGE_SIZE).toString(16).padStart(8, "0")}-${(end * PAGE_SIZE).toString(16).padStart(8, "0")}`;
  const heading = `${`${range} ---p 00000000 00:00 0 `.padEnd(HEADING_WIDTH)}[rollup]\n`;
  return heading + smapsCounts(undefined, shared, clean, anonymous);
}
