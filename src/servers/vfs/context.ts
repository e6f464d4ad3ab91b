/** Fs contexts: root, working directory and umask of a task, shared by clone(CLONE_FS). */

import { errno } from "../../base/errno.ts";
import { redoFree } from "../../heap/allocator.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import { File } from "../../kernel/file.ts";
import { auth } from "../auth/auth.ts";
import { CAP } from "../auth/capabilities.ts";
import { dropAfterCommit, registerDrop } from "../server.ts";
import { holdEntry } from "./entries.ts";
import { holdMount } from "./mounts.ts";
import { FsContext, Mount, VfsState } from "./records.ts";
import { lockVfs } from "./state.ts";
import { type Place, Walk, pathBytes } from "./walk.ts";

export function createContext(tx: Transaction): FsContext {
  const state = lockVfs(tx);
  const mount = VfsState.rootMount.get(tx, state);
  const entry = Mount.root.get(tx, mount);
  const context = FsContext.allocate(tx);
  FsContext.references.init(tx, context, 1);
  FsContext.umask.init(tx, context, 0o022);
  FsContext.rootMount.init(tx, context, mount);
  FsContext.root.init(tx, context, entry);
  FsContext.cwdMount.init(tx, context, mount);
  FsContext.cwd.init(tx, context, entry);
  for (let i = 0; i < 2; i++) {
    holdMount(tx, mount);
    holdEntry(tx, entry);
  }
  return context;
}

export function copyContext(tx: Transaction, context: FsContext): FsContext {
  FsContext.lock.acquire(tx, context);
  lockVfs(tx);
  const made = FsContext.allocate(tx);
  FsContext.references.init(tx, made, 1);
  FsContext.umask.init(tx, made, FsContext.umask.get(tx, context));
  for (const field of ["rootMount", "cwdMount"] as const) {
    const mount = FsContext[field].get(tx, context);
    FsContext[field].init(tx, made, mount);
    holdMount(tx, mount);
  }
  for (const field of ["root", "cwd"] as const) {
    const entry = FsContext[field].get(tx, context);
    FsContext[field].init(tx, made, entry);
    holdEntry(tx, entry);
  }
  return made;
}

export function holdContext(tx: Transaction, context: FsContext): void {
  FsContext.lock.acquire(tx, context);
  FsContext.references.set(tx, context, FsContext.references.get(tx, context) + 1);
}

registerDrop("fs-context", (tx, context) => {
  FsContext.lock.acquire(tx, context);
  const references = FsContext.references.get(tx, context);
  if (references > 1) {
    FsContext.references.set(tx, context, references - 1);
    return true;
  }
  if (FsContext.root.get(tx, context) !== 0) {
    FsContext.references.set(tx, context, 0);
    for (const field of [FsContext.rootMount, FsContext.cwdMount]) {
      dropAfterCommit(tx, field.get(tx, context));
      field.set(tx, context, none());
    }
    for (const field of [FsContext.root, FsContext.cwd]) {
      dropAfterCommit(tx, field.get(tx, context));
      field.set(tx, context, none());
    }
    return false;
  }
  redoFree(tx, context);
  return true;
});

export function umask(tx: Transaction, context: FsContext, mask: number): number {
  FsContext.lock.acquire(tx, context);
  const old = FsContext.umask.get(tx, context);
  FsContext.umask.set(tx, context, mask & 0o777);
  return old;
}

function setCwd(tx: Transaction, context: FsContext, place: Place): void {
  const oldMount = FsContext.cwdMount.get(tx, context);
  const oldEntry = FsContext.cwd.get(tx, context);
  holdMount(tx, place.mount);
  holdEntry(tx, place.entry);
  FsContext.cwdMount.set(tx, context, place.mount);
  FsContext.cwd.set(tx, context, place.entry);
  dropAfterCommit(tx, oldEntry);
  dropAfterCommit(tx, oldMount);
}

export function chdir(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
): void {
  const walk = new Walk(tx, context, credentials, base);
  const place = walk.toEnd(pathBytes(tx, path, length), true);
  walk.needDirectory(walk.inode);
  setCwd(tx, context, place);
}

export function fchdir(tx: Transaction, context: FsContext, credentials: Credentials, file: File): void {
  if (File.entry.get(tx, file) === 0) throw errno.ENOTDIR;
  const walk = new Walk(tx, context, credentials, file);
  walk.needDirectory(walk.inode);
  setCwd(tx, context, walk.at);
}

export function chroot(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
): void {
  const walk = new Walk(tx, context, credentials, base);
  const place = walk.toEnd(pathBytes(tx, path, length), true);
  walk.needDirectory(walk.inode);
  if (auth.isCapable(tx, credentials, CAP.SYS_CHROOT) === 0) throw errno.EPERM;
  const oldMount = FsContext.rootMount.get(tx, context);
  const oldEntry = FsContext.root.get(tx, context);
  holdMount(tx, place.mount);
  holdEntry(tx, place.entry);
  FsContext.rootMount.set(tx, context, place.mount);
  FsContext.root.set(tx, context, place.entry);
  dropAfterCommit(tx, oldEntry);
  dropAfterCommit(tx, oldMount);
}
