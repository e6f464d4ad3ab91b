/** Each invariant of the vfs, auth and I/O has a mutant that trips it: a store that breaks what it says. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkHeap, liveRecords } from "../../heap/check.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { HostIo } from "../../kernel/block-io.ts";
import { Credentials } from "../../kernel/credentials.ts";
import { File } from "../../kernel/file.ts";
import { O } from "./open-flags.ts";
import { User } from "../../kernel/account.ts";
import { IN, Inotify, Notice, Watch, watchInode } from "./inotify.ts";
import { Dirent, DIRENT, FileLock, Inode, Mount, VfsState } from "./records.ts";
import { stateOf } from "./state.ts";
import { directory, file, imageOf } from "./testing/test-image.ts";
import { TestMachine } from "./testing/test-machine.ts";
import { vfs } from "./vfs.ts";

const image = await imageOf(
  directory({ dir: directory({ a: file("a"), b: file("b") }), tmp: directory({}) }),
);

function machine(): TestMachine {
  const m = new TestMachine({ image, mounts: ["dev"] });
  m.writeFile("/tmp/x", "contents");
  m.writeFile("/tmp/y", "contents");
  m.readFile("/dir/a");
  m.unlink("/dir/b");
  const opened = m.open("/tmp/x", O.RDWR);
  m.run((tx) => vfs.setRecordLock(tx, opened, 1, 1, 1, 0, 10, 0));
  const notify = m.run((tx) => vfs.openInotify(tx, 0, 0));
  m.run((tx) =>
    watchInode(tx, File.object.get(tx, notify) as Inotify, File.inode.get(tx, opened), IN.ATTRIB),
  );
  m.run((tx) => vfs.chmodFile(tx, File.credentials.get(tx, opened), opened, 0o600));
  assert.deepEqual(checkHeap(m.tx), []);
  return m;
}

/** An entry of memory that is listed. */
function listed(tx: Transaction): Dirent {
  for (const entry of liveRecords(tx, Dirent.schema)) {
    if ((Dirent.flags.get(tx, entry) & (DIRENT.LISTED | DIRENT.MOUNTPOINT)) === DIRENT.LISTED) return entry;
  }
  throw new Error("no listed entry");
}
function fileInode(tx: Transaction): Inode {
  for (const inode of liveRecords(tx, Inode.schema)) if (Inode.pageCount.get(tx, inode) > 0) return inode;
  throw new Error("no file with pages");
}
function imageInode(tx: Transaction): Inode {
  for (const inode of liveRecords(tx, Inode.schema)) if (Inode.nid.get(tx, inode) > 0) return inode;
  throw new Error("no inode of the image");
}
function someMount(tx: Transaction): Mount {
  return VfsState.mounts.last(tx, stateOf(tx));
}

function liveInodeWatched(tx: Transaction): Inode {
  return Watch.inode.get(tx, liveRecords(tx, Watch.schema).next().value as Watch);
}

const mutants: Readonly<Record<string, readonly ((tx: Transaction) => void)[]>> = {
  V1: [
    (tx) => Dirent.hash.set(tx, listed(tx), Dirent.hash.get(tx, listed(tx)) ^ 0x100000),
    (tx) => Dirent.flags.set(tx, listed(tx), 0),
    (tx) => Dirent.flags.set(tx, listed(tx), Dirent.flags.get(tx, listed(tx)) | DIRENT.WHITEOUT),
  ],
  V2: [(tx) => Dirent.cookie.set(tx, listed(tx), 0x7fff_ffff)],
  V3: [(tx) => Inode.references.set(tx, fileInode(tx), 9)],
  V4: [
    (tx) => {
      const entry = [...liveRecords(tx, Inode.schema)].find((i) => Inode.rdev.get(tx, i) !== 0)!;
      Inode.links.set(tx, entry, 2);
    },
  ],
  V5: [(tx) => Inode.nid.set(tx, fileInode(tx), 77), (tx) => Inode.nid.set(tx, imageInode(tx), 0)],
  V6: [(tx) => Dirent.references.set(tx, listed(tx), 5), (tx) => Mount.references.set(tx, someMount(tx), 5)],
  V7: [(tx) => Inode.size.set(tx, fileInode(tx), 0), (tx) => Inode.pageCount.set(tx, fileInode(tx), 3)],
  V8: [
    (tx) => Dirent.flags.set(tx, listed(tx), Dirent.flags.get(tx, listed(tx)) | DIRENT.MOUNTPOINT),
    (tx) => Mount.parent.set(tx, someMount(tx), none()),
  ],
  V9: [(tx) => Inode.writers.set(tx, imageInode(tx), 1), (tx) => Inode.denials.set(tx, fileInode(tx), 1)],
  V10: [
    (tx) => {
      const [lock] = liveRecords(tx, FileLock.schema);
      const other = FileLock.allocate(tx);
      const inode = FileLock.inode.get(tx, lock!);
      FileLock.inode.init(tx, other, inode);
      FileLock.owner.init(tx, other, 2);
      FileLock.type.init(tx, other, 1);
      FileLock.end.init(tx, other, 5);
      tx.store(other + FileLock.links.word + 1, lock!);
      tx.store(lock! + FileLock.links.word, other);
      tx.store(Inode.locks.at(inode) + 1, other);
    },
  ],
  V11: [
    (tx) => {
      const [lock] = liveRecords(tx, FileLock.schema);
      Inode.seals.set(tx, FileLock.inode.get(tx, lock!), 1);
    },
  ],
  V12: [
    (tx) => {
      const [lock] = liveRecords(tx, FileLock.schema);
      FileLock.pid.set(tx, lock!, -1);
    },
  ],
  N1: [
    (tx) => Watch.ignored.set(tx, liveRecords(tx, Watch.schema).next().value as Watch, none()),
    (tx) => VfsState.watches.set(tx, stateOf(tx), 2),
    (tx) => tx.store(Inode.watches.at(liveInodeWatched(tx)), 0),
  ],
  N2: [
    (tx) => void Notice.allocate(tx),
    (tx) => Inotify.bytes.set(tx, liveRecords(tx, Inotify.schema).next().value as Inotify, 3),
  ],
  N3: [(tx) => void Inotify.allocate(tx)],
  N4: [
    (tx) => VfsState.notices.set(tx, stateOf(tx), 7),
    (tx) => Inotify.loses.set(tx, liveRecords(tx, Inotify.schema).next().value as Inotify, 1),
  ],
  N5: [
    (tx) => User.watches.set(tx, liveRecords(tx, User.schema).next().value as User, 5),
    (tx) => User.instances.set(tx, liveRecords(tx, User.schema).next().value as User, 2),
  ],
  C1: [
    (tx) => {
      const [who] = liveRecords(tx, Credentials.schema);
      Credentials.permittedCapabilities.set(tx, who!, 0, 0);
    },
  ],
  C2: [
    (tx) => {
      const [who] = liveRecords(tx, Credentials.schema);
      Credentials.references.set(tx, who!, 99);
    },
  ],
  I1: [(tx) => void HostIo.allocate(tx)],
};

describe("a mutant trips each invariant", () => {
  for (const [id, stores] of Object.entries(mutants)) {
    for (const [index, mutate] of stores.entries()) {
      test(`${id}, mutant ${index + 1}`, () => {
        const m = machine();
        m.run((tx) => mutate(tx));
        const found = new Set(checkHeap(m.tx).map((violation) => violation.invariant));
        assert.ok(found.has(id), [...found].join(", "));
      });
    }
  }
});
