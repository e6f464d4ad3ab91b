/** The checks of the vfs server's invariants, which records.ts states. For a heap at rest. */

import { liveRecords, registerInvariant, type Report } from "../../heap/check.ts";
import type { HeapView } from "../../heap/heap.ts";
import { each } from "../../heap/list.ts";
import type { Ref } from "../../heap/record.ts";
import { File, FILE_KINDS } from "../../kernel/file.ts";
import { registerFrameHolder } from "../../kernel/memory/check.ts";
import { User } from "../../kernel/account.ts";
import { bytesOf, Inotify, Notice, Watch } from "./inotify.ts";
import { SEAL } from "./seals.ts";
import { isMappedForWriting } from "../../kernel/memory/file-change.ts";
import { nameOfEntry } from "./entries.ts";
import { isDirectory, S_IFDIR, S_IFMT } from "./inodes.ts";
import { hashName } from "./names.ts";
import { wantsWrite } from "./open-flags.ts";
import { eachPage, frameOf, PAGE, wrongNodes } from "./radix.ts";
import {
  Dirent,
  DIRENT,
  FileLock,
  FILE_SYSTEM,
  FileSystem,
  FsContext,
  Inode,
  INODE,
  Mount,
  VfsState,
} from "./records.ts";
import { stateOf } from "./state.ts";

/** Runs a check only on a machine that has a vfs. */
function register(id: string, statement: string, check: (view: HeapView, report: Report) => void): void {
  registerInvariant({
    id,
    statement,
    check: (view, report) => {
      if (view.root("vfs") !== 0) check(view, report);
    },
  });
}

class Counts {
  readonly #counts = new Map<number, number>();
  add(record: number): void {
    if (record !== 0) this.#counts.set(record, (this.#counts.get(record) ?? 0) + 1);
  }
  of(record: number): number {
    return this.#counts.get(record) ?? 0;
  }
}

type InodeHolder = (view: HeapView) => Iterable<Inode>;
const inodeHolders: InodeHolder[] = [];

/** Says who else refers to inodes: the names of sockets. Once for each, when a module is loaded. */
export function registerInodeHolder(holder: InodeHolder): void {
  inodeHolders.push(holder);
}

const isHashed = (flags: number): boolean => (flags & (DIRENT.DELETED | DIRENT.ROOT)) === 0;

register(
  "V1",
  "hashed dirents are in the table and on their directory's list; others are not",
  (view, report) => {
    const state = stateOf(view);
    const chained = new Counts();
    const table = VfsState.direntTable.get(view, state);
    const buckets = VfsState.direntBuckets.get(view, state);
    for (let bucket = 0; bucket < buckets; bucket++) {
      for (
        let entry = view.words[table + bucket]! as Dirent;
        entry !== 0;
        entry = Dirent.chain.get(view, entry)
      ) {
        if (chained.of(entry) > 0) return report(`bucket ${bucket} runs in a circle`);
        chained.add(entry);
        if ((Dirent.hash.get(view, entry) & (buckets - 1)) !== bucket)
          report(`dirent ${entry} is in a wrong bucket`);
      }
    }
    const entries = new Counts();
    const shadows = new Counts();
    for (const inode of liveRecords(view, Inode.schema)) {
      for (const entry of each(view, Inode.entries, inode, Dirent.links)) {
        entries.add(entry);
        if (Dirent.directory.get(view, entry) !== inode)
          report(`inode ${inode} lists ${entry}, which is elsewhere`);
      }
      for (const entry of each(view, Inode.shadows, inode, Dirent.links)) {
        shadows.add(entry);
        if (Dirent.directory.get(view, entry) !== inode)
          report(`inode ${inode} lists ${entry}, which is elsewhere`);
      }
    }
    for (const entry of liveRecords(view, Dirent.schema)) {
      const flags = Dirent.flags.get(view, entry);
      const hashed = isHashed(flags) ? 1 : 0;
      if (chained.of(entry) !== hashed) report(`dirent ${entry} is in the table ${chained.of(entry)} times`);
      const listed = hashed !== 0 && (flags & DIRENT.LISTED) !== 0 ? 1 : 0;
      if (entries.of(entry) !== listed)
        report(`dirent ${entry} is among the entries ${entries.of(entry)} times`);
      if (shadows.of(entry) !== hashed - listed)
        report(`dirent ${entry} is a shadow ${shadows.of(entry)} times`);
      if (hashed === 0) continue;
      const name = nameOfEntry(view, entry);
      if (hashName(Dirent.directory.get(view, entry), name) !== Dirent.hash.get(view, entry)) {
        report(`dirent ${entry} has a hash that is not its name's`);
      }
      const whiteout = (flags & DIRENT.WHITEOUT) !== 0;
      if (whiteout !== (Dirent.inode.get(view, entry) === 0)) report(`dirent ${entry}: whiteout or not?`);
    }
  },
);

register("V2", "a directory's entries have rising cookies, below its nextCookie", (view, report) => {
  for (const inode of liveRecords(view, Inode.schema)) {
    let last = -1;
    for (const entry of each(view, Inode.entries, inode, Dirent.links)) {
      const cookie = Dirent.cookie.get(view, entry);
      if (cookie <= last) report(`directory ${inode}: cookie ${cookie} after ${last}`);
      last = cookie;
    }
    if (last >= Inode.nextCookie.get(view, inode))
      report(`directory ${inode}: cookie ${last} is not below the next`);
  }
});

register("V3", "an inode's references are the dirents and open files that refer to it", (view, report) => {
  const counts = new Counts();
  for (const entry of liveRecords(view, Dirent.schema)) {
    counts.add(Dirent.inode.get(view, entry));
    counts.add(Dirent.directory.get(view, entry));
  }
  for (const file of liveRecords(view, File.schema)) counts.add(File.inode.get(view, file));
  for (const watch of liveRecords(view, Watch.schema)) counts.add(Watch.inode.get(view, watch));
  for (const holder of inodeHolders) for (const inode of holder(view)) counts.add(inode);
  for (const inode of liveRecords(view, Inode.schema)) {
    const references = Inode.references.get(view, inode);
    if (references !== counts.of(inode))
      report(`inode ${inode} counts ${references}, has ${counts.of(inode)}`);
    const kept = (Inode.flags.get(view, inode) & INODE.CHANGED) !== 0 && Inode.links.get(view, inode) > 0;
    if (references === 0 && !kept) report(`inode ${inode} should have ended`);
  }
});

register("V4", "an inode of a memory file system has as many links as names", (view, report) => {
  const names = new Counts();
  const directories = new Counts();
  for (const entry of liveRecords(view, Dirent.schema)) {
    const inode = Dirent.inode.get(view, entry);
    const flags = Dirent.flags.get(view, entry);
    if (inode === 0 || (flags & DIRENT.DELETED) !== 0) continue;
    names.add(inode);
    if (isDirectory(view, inode)) directories.add(Dirent.directory.get(view, entry));
  }
  for (const inode of liveRecords(view, Inode.schema)) {
    const kind = FileSystem.kind.get(view, Inode.fileSystem.get(view, inode));
    if (kind !== FILE_SYSTEM.MEMORY && kind !== FILE_SYSTEM.DEVICES) continue;
    let expected = names.of(inode);
    if ((Inode.mode.get(view, inode) & S_IFMT) === S_IFDIR && expected > 0)
      expected = 2 + directories.of(inode);
    const links = Inode.links.get(view, inode);
    if (links !== expected) report(`inode ${inode} has ${links} links, and ${expected} would be right`);
  }
});

register("V5", "an inode with an nid is in the inode table, and no other with the same", (view, report) => {
  const state = stateOf(view);
  const table = VfsState.inodeTable.get(view, state);
  const found = new Counts();
  const keys = new Set<string>();
  for (let bucket = 0; bucket < VfsState.inodeBuckets.get(view, state); bucket++) {
    for (
      let inode = view.words[table + bucket]! as Inode;
      inode !== 0;
      inode = Inode.hashNext.get(view, inode)
    ) {
      if (found.of(inode) > 0) return report(`bucket ${bucket} of the inode table runs in a circle`);
      found.add(inode);
      const key = `${Inode.fileSystem.get(view, inode)}:${Inode.nid.get(view, inode)}`;
      if (keys.has(key)) report(`two inodes for ${key}`);
      keys.add(key);
    }
  }
  for (const inode of liveRecords(view, Inode.schema)) {
    const expected = Inode.nid.get(view, inode) === 0 ? 0 : 1;
    if (found.of(inode) !== expected) report(`inode ${inode} is in the inode table ${found.of(inode)} times`);
  }
});

register("V6", "a dirent's and a mount's references are what refers to them", (view, report) => {
  const entries = new Counts();
  const mounts = new Counts();
  const systems = new Counts();
  for (const file of liveRecords(view, File.schema)) {
    entries.add(File.entry.get(view, file));
    mounts.add(File.mount.get(view, file));
  }
  for (const context of liveRecords(view, FsContext.schema)) {
    entries.add(FsContext.root.get(view, context));
    entries.add(FsContext.cwd.get(view, context));
    mounts.add(FsContext.rootMount.get(view, context));
    mounts.add(FsContext.cwdMount.get(view, context));
  }
  for (const mount of liveRecords(view, Mount.schema)) {
    entries.add(Mount.root.get(view, mount));
    entries.add(Mount.at.get(view, mount));
    mounts.add(Mount.parent.get(view, mount));
    systems.add(Mount.fileSystem.get(view, mount));
  }
  for (const mount of each(view, VfsState.mounts, stateOf(view), Mount.links)) mounts.add(mount);
  mounts.add(VfsState.memoryMount.get(view, stateOf(view)));
  for (const fileSystem of liveRecords(view, FileSystem.schema)) {
    entries.add(FileSystem.rootEntry.get(view, fileSystem));
    const references = FileSystem.references.get(view, fileSystem);
    if (references !== systems.of(fileSystem))
      report(`file system ${fileSystem} counts ${references} mounts`);
  }
  for (const entry of liveRecords(view, Dirent.schema)) {
    const expected = entries.of(entry) + (isHashed(Dirent.flags.get(view, entry)) ? 1 : 0);
    const references = Dirent.references.get(view, entry);
    if (references !== expected) report(`dirent ${entry} counts ${references} references, has ${expected}`);
  }
  for (const mount of liveRecords(view, Mount.schema)) {
    const references = Mount.references.get(view, mount);
    if (references !== mounts.of(mount))
      report(`mount ${mount} counts ${references}, has ${mounts.of(mount)}`);
  }
});

register("V7", "no page lies beyond the end of its file, and pages are counted rightly", (view, report) => {
  for (const inode of liveRecords(view, Inode.schema)) {
    const end = Math.ceil(Inode.size.get(view, inode) / 4096);
    let pages = 0;
    for (const [index, word] of eachPage(view, Inode.pages.get(view, inode))) {
      pages++;
      if ((word & PAGE.MASK) !== PAGE.PRESENT) report(`inode ${inode}: page ${index} is no page`);
      if (index >= end) report(`inode ${inode}: page ${index} lies beyond the end`);
    }
    if (pages !== Inode.pageCount.get(view, inode))
      report(`inode ${inode} has ${pages} pages, counts others`);
    const wrong = wrongNodes(view, Inode.pages.get(view, inode));
    if (wrong > 0) report(`inode ${inode}: ${wrong} nodes of its index hold nothing, or count wrongly`);
    if (Inode.imagePages.get(view, inode) > end) report(`inode ${inode}: pages of the image beyond the end`);
  }
});

register("V8", "the mounts form a tree, and what they lie on is marked", (view, report) => {
  const state = stateOf(view);
  const root = VfsState.rootMount.get(view, state);
  const marked = new Counts();
  for (const mount of each(view, VfsState.mounts, state, Mount.links)) {
    marked.add(Mount.at.get(view, mount));
    let steps = 0;
    let at: Mount = mount;
    while (at !== 0 && at !== root && steps++ < 10_000) at = Mount.parent.get(view, at);
    if (at !== root) report(`mount ${mount} does not hang on the root mount`);
  }
  for (const entry of liveRecords(view, Dirent.schema)) {
    const flag = (Dirent.flags.get(view, entry) & DIRENT.MOUNTPOINT) !== 0;
    if (flag !== marked.of(entry) > 0) report(`dirent ${entry}: mount point or not?`);
  }
});

register(
  "V9",
  "an inode's writers are its files open for writing; none while writing is denied",
  (view, report) => {
    const writers = new Counts();
    const denials = new Counts();
    for (const file of liveRecords(view, File.schema)) {
      if (FILE_KINDS[File.kind.get(view, file)] !== "inode") continue;
      if (wantsWrite(File.flags.get(view, file))) writers.add(File.inode.get(view, file));
      if ((File.detail.get(view, file) & 2) !== 0) denials.add(File.inode.get(view, file));
    }
    for (const inode of liveRecords(view, Inode.schema)) {
      const counted = Inode.writers.get(view, inode);
      const denied = Inode.denials.get(view, inode);
      if (counted !== writers.of(inode))
        report(`inode ${inode} counts ${counted} writers, has ${writers.of(inode)}`);
      if (denied !== denials.of(inode))
        report(`inode ${inode} counts ${denied} denials, has ${denials.of(inode)}`);
      if (counted > 0 && denied > 0) report(`inode ${inode} is written to while that is denied`);
    }
  },
);

register("V10", "locks of different owners on a file do not conflict", (view, report) => {
  for (const inode of liveRecords(view, Inode.schema)) {
    const locks: Ref<"file-lock">[] = [...each(view, Inode.locks, inode, FileLock.links)];
    for (const [i, a] of locks.entries()) {
      if (FileLock.inode.get(view, a) !== inode) report(`lock ${a} is on the list of another inode`);
      for (const b of locks.slice(i + 1)) {
        if (FileLock.kind.get(view, a) !== FileLock.kind.get(view, b)) continue;
        if (FileLock.owner.get(view, a) === FileLock.owner.get(view, b)) continue;
        if (FileLock.type.get(view, a) === 0 && FileLock.type.get(view, b) === 0) continue;
        const apart =
          FileLock.end.get(view, a) < FileLock.start.get(view, b) ||
          FileLock.end.get(view, b) < FileLock.start.get(view, a);
        if (!apart) report(`inode ${inode}: locks ${a} and ${b} conflict`);
      }
    }
  }
});

register(
  "V11",
  "only files of memory without a name have seals, and no mapping breaks them",
  (view, report) => {
    const mount = VfsState.memoryMount.get(view, stateOf(view));
    const fileSystem = mount === 0 ? 0 : Mount.fileSystem.get(view, mount);
    for (const inode of liveRecords(view, Inode.schema)) {
      const seals = Inode.seals.get(view, inode);
      if (seals === 0) continue;
      if (Inode.fileSystem.get(view, inode) !== fileSystem) report(`inode ${inode} has seals ${seals}`);
      if ((seals & SEAL.WRITE) !== 0 && isMappedForWriting(view, inode))
        report(`a mapping may write to inode ${inode}, which is sealed`);
    }
  },
);

register("V12", "a lock that belongs to an open file is on the inode of that file", (view, report) => {
  for (const lock of liveRecords(view, FileLock.schema)) {
    const isFiles = FileLock.kind.get(view, lock) === 1 || (FileLock.pid.get(view, lock) | 0) === -1;
    const owner = FileLock.owner.get(view, lock) as File;
    if (!isFiles) continue;
    if (!File.isLive(view, owner) || File.inode.get(view, owner) !== FileLock.inode.get(view, lock))
      report(`lock ${lock} belongs to ${owner}`);
  }
});

register("N1", "a watch is on two lists, is counted, and has what it needs in reserve", (view, report) => {
  const watches = [...liveRecords(view, Watch.schema)];
  const counted = VfsState.watches.get(view, stateOf(view));
  if (watches.length !== counted) report(`${watches.length} watches, ${counted} counted`);
  for (const watch of watches) {
    const [instance, inode] = [Watch.instance.get(view, watch), Watch.inode.get(view, watch)];
    const isListed = Inotify.isLive(view, instance) && Inode.isLive(view, inode);
    const ofInstance = isListed && [...each(view, Inotify.watches, instance, Watch.links)].includes(watch);
    const ofInode = isListed && [...each(view, Inode.watches, inode, Watch.inodeLinks)].includes(watch);
    if (!ofInstance || !ofInode) report(`watch ${watch} is not on its lists`);
    for (const notice of [Watch.deleted.get(view, watch), Watch.ignored.get(view, watch)])
      if (!Notice.isLive(view, notice)) report(`watch ${watch} has ${notice} in reserve`);
  }
});

register("N2", "a notice is in one place, and queues are counted", (view, report) => {
  const places = new Counts();
  for (const watch of liveRecords(view, Watch.schema)) {
    places.add(Watch.deleted.get(view, watch));
    places.add(Watch.ignored.get(view, watch));
  }
  for (const instance of liveRecords(view, Inotify.schema)) {
    places.add(Inotify.overflow.get(view, instance));
    const queue = [...each(view, Inotify.queue, instance, Notice.links)];
    for (const notice of queue) places.add(notice);
    const bytes = queue.reduce((sum, notice) => sum + bytesOf(view, notice), 0);
    if (queue.length !== Inotify.count.get(view, instance) || bytes !== Inotify.bytes.get(view, instance))
      report(`inotify ${instance} counts its queue wrongly`);
  }
  for (const notice of liveRecords(view, Notice.schema))
    if (places.of(notice) !== 1) report(`notice ${notice} is in ${places.of(notice)} places`);
});

register("N3", "an inotify instance belongs to one file", (view, report) => {
  const files = new Counts();
  for (const file of liveRecords(view, File.schema))
    if (FILE_KINDS[File.kind.get(view, file)] === "inotify") files.add(File.object.get(view, file));
  for (const instance of liveRecords(view, Inotify.schema))
    if (files.of(instance) !== 1) report(`inotify ${instance} belongs to ${files.of(instance)} files`);
});

register("N4", "who has lost an event is on a list, and all queues are counted", (view, report) => {
  const state = stateOf(view);
  const losers = new Set(each(view, VfsState.losers, state, Inotify.loserLinks));
  let notices = 0;
  for (const instance of liveRecords(view, Inotify.schema)) {
    notices += Inotify.count.get(view, instance);
    if (losers.has(instance) !== (Inotify.loses.get(view, instance) !== 0))
      report(`inotify ${instance} is on the list of losers and does not say so, or the other way`);
  }
  const counted = VfsState.notices.get(view, state);
  if (notices !== counted) report(`${notices} events wait, ${counted} counted`);
});

register("N5", "users are charged for their inotify instances and watches", (view, report) => {
  const [instances, watches] = [new Counts(), new Counts()];
  for (const instance of liveRecords(view, Inotify.schema))
    instances.add(Inotify.account.get(view, instance));
  for (const watch of liveRecords(view, Watch.schema))
    watches.add(Inotify.account.get(view, Watch.instance.get(view, watch)));
  for (const user of liveRecords(view, User.schema)) {
    const charged = [User.instances.get(view, user), User.watches.get(view, user)];
    if (instances.of(user) !== charged[0] || watches.of(user) !== charged[1])
      report(`user ${user} is charged for ${charged.join(" and ")}`);
  }
});

registerFrameHolder((view, add) => {
  if (view.root("vfs") === 0) return;
  for (const inode of liveRecords(view, Inode.schema)) {
    for (const [, word] of eachPage(view, Inode.pages.get(view, inode))) add(frameOf(word));
  }
  for (const fileSystem of liveRecords(view, FileSystem.schema)) {
    for (const [, word] of eachPage(view, FileSystem.blocks.get(view, fileSystem))) {
      if ((word & PAGE.MASK) !== PAGE.FAILED) add(frameOf(word));
    }
  }
});
