/**
 * The walk from a path to what it names (path_resolution(7), openat2(2)).
 *
 * A place is a mount and a dirent in it. The walk holds the vfs lock, and nothing that it finds is held by a
 * reference: what an operation wants to keep it holds itself, before the transaction ends.
 */

import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { Credentials } from "../../kernel/credentials.ts";
import { File } from "../../kernel/file.ts";
import { pathAt } from "../../kernel/request.ts";
import { PATH_BYTES } from "../../heap/layout.ts";
import { auth } from "../auth/auth.ts";
import { MAY } from "../auth/permission.ts";
import { evictSome } from "./cache.ts";
import { isDirectory, S_IFDIR, S_IFLNK, typeOf } from "./inodes.ts";
import { linkTarget } from "./links.ts";
import { lookUpEntry } from "./lookup.ts";
import { isName, NAME_MAX, type NameBytes } from "./names.ts";
import { Dirent, DIRENT, FsContext, Inode, Mount, VfsState } from "./records.ts";
import { lockVfs, stateOf } from "./state.ts";

export interface Place {
  mount: Mount;
  entry: Dirent;
}

/** What a walk that stops before the last name comes to: the directory, the name in it, and what is there. */
export interface LastName extends Place {
  /** The directory, as a place; its inode is `directory`. */
  directory: Inode;
  /** The last name, "." and ".." included; of length 0 for the path "/". */
  name: NameBytes;
  /** Slashes came after the name: it has to be a directory. */
  slash: boolean;
}

export const RESOLVE = { NO_XDEV: 1, NO_MAGICLINKS: 2, NO_SYMLINKS: 4, BENEATH: 8, IN_ROOT: 16 } as const;

/** Thrown when a walk ends at an open file that has no name: a pipe behind /proc/self/fd/0. */
export class NamelessFile {
  readonly file: File;
  constructor(file: File) {
    this.file = file;
  }
}

/** Symbolic links that one walk follows at most (MAXSYMLINKS). */
const LINKS_MAX = 40;
const SLASH = 0x2f;

/** A walk under way: where it is and what it may do. */
export class Walk {
  readonly tx: Transaction;
  readonly credentials: Credentials;
  readonly resolve: number;
  readonly state: VfsState;
  /** Where ".." ends. */
  readonly root: Place;
  at: Place;
  /** Whether the caller can do something with an open file that has no name: it catches NamelessFile. */
  tellsFiles = false;
  #links = 0;

  constructor(
    tx: Transaction,
    context: FsContext,
    credentials: Credentials,
    base: File,
    resolve: number = 0,
  ) {
    FsContext.lock.acquire(tx, context);
    this.tx = tx;
    this.credentials = credentials;
    this.resolve = resolve;
    // Only the first walk of a transaction makes room: a later one must not forget what the first has found.
    const isFirst = !VfsState.lock.heldBy(tx, stateOf(tx));
    this.state = lockVfs(tx);
    if (isFirst) evictSome(tx);
    if (base === 0)
      this.at = { mount: FsContext.cwdMount.get(tx, context), entry: FsContext.cwd.get(tx, context) };
    else this.at = { mount: File.mount.get(tx, base), entry: File.entry.get(tx, base) };
    const scoped = (resolve & (RESOLVE.IN_ROOT | RESOLVE.BENEATH)) !== 0;
    this.root = scoped
      ? { ...this.at }
      : { mount: FsContext.rootMount.get(tx, context), entry: FsContext.root.get(tx, context) };
  }

  get inode(): Inode {
    return Dirent.inode.get(this.tx, this.at.entry);
  }

  /** Walks to the directory of the last name. */
  toLast(path: NameBytes): LastName {
    if (path.length === 0) throw errno.ENOENT;
    return this.#walk(path, false);
  }

  /** Walks the whole path; the last name's link is followed if `follow`. */
  toEnd(path: NameBytes, follow: boolean): Place {
    const last = this.toLast(path);
    return this.finish(last, follow);
  }

  /** Goes from the directory of the last name to what it names. ENOENT if there is nothing. */
  finish(last: LastName, follow: boolean): Place {
    let name = last;
    for (;;) {
      this.at = { mount: name.mount, entry: name.entry };
      if (!this.#step(name.name)) throw errno.ENOENT;
      if (typeOf(this.tx, this.inode) !== S_IFLNK || !(follow || name.slash)) break;
      name = this.#throughLink(name, follow);
    }
    if (name.slash && !isDirectory(this.tx, this.inode)) throw errno.ENOTDIR;
    return this.at;
  }

  /**
   * The walk stands on a symbolic link that was the last name `name`: goes on to the last name of its target.
   * For opening with O_CREAT through a link that leads nowhere.
   */
  #throughLink(name: LastName, _follow: boolean): LastName {
    const target = this.#target();
    this.at = { mount: name.mount, entry: name.entry };
    const next = this.#walk(target, true);
    return name.slash ? { ...next, slash: true } : next;
  }

  /** {@link finish} for O_CREAT: if the last name does not exist, the place where it would be. */
  finishOrWhere(last: LastName, follow: boolean): { found: boolean; last: LastName } {
    let name = last;
    for (;;) {
      this.at = { mount: name.mount, entry: name.entry };
      if (!this.#step(name.name)) return { found: false, last: name };
      if (typeOf(this.tx, this.inode) !== S_IFLNK || !(follow || name.slash))
        return { found: true, last: name };
      name = this.#throughLink(name, follow);
    }
  }

  /** The target of the link on which the walk stands, counted. */
  #target(): NameBytes {
    if ((this.resolve & RESOLVE.NO_SYMLINKS) !== 0 || ++this.#links > LINKS_MAX) throw errno.ELOOP;
    const inode = this.inode;
    const magic = linkTarget.magic(this.tx, inode);
    if (magic !== undefined) {
      if ((this.resolve & RESOLVE.NO_MAGICLINKS) !== 0) throw errno.ELOOP;
      if ("file" in magic) {
        if (!this.tellsFiles) throw errno.ENXIO;
        throw new NamelessFile(magic.file);
      }
      this.#jump = magic;
      return NOTHING;
    }
    const bytes = linkTarget.read(this.tx, inode);
    if (bytes.length === 0) throw errno.ENOENT;
    return { source: bytes, start: 0, length: bytes.length };
  }
  /** Where a magic link of /proc leads, if the walk has just met one. */
  #jump: Place | undefined;

  /** Walks all names but the last; links on the way are followed. */
  #walk(path: NameBytes, fromLink: boolean): LastName {
    if (this.#jump !== undefined) {
      // A magic link leads to an open file or directory, whatever its name is now.
      this.at = this.#jump;
      this.#jump = undefined;
      return this.#last(NOTHING, false);
    }
    const { source } = path;
    let at = path.start;
    const end = path.start + path.length;
    if (source[at] === SLASH) {
      if ((this.resolve & RESOLVE.BENEATH) !== 0) throw errno.EXDEV;
      this.at = { ...this.root };
    } else if (this.at.entry === 0 || (!fromLink && !isDirectory(this.tx, this.inode))) {
      // A base that has no name (a pipe, a socket) is no directory either.
      throw errno.ENOTDIR;
    }
    while (at < end && source[at] === SLASH) at++;
    if (at === end) return this.#last(NOTHING, true);
    for (;;) {
      const start = at;
      while (at < end && source[at] !== SLASH) at++;
      if (at - start > NAME_MAX) throw errno.ENAMETOOLONG;
      const name = { source, start, length: at - start };
      const slash = at < end;
      while (at < end && source[at] === SLASH) at++;
      if (at === end) return this.#last(name, slash);
      const before = this.at;
      if (!this.#step(name)) throw errno.ENOENT;
      while (typeOf(this.tx, this.inode) === S_IFLNK) {
        const target = this.#target();
        this.at = before;
        this.finish(this.#walk(target, true), true);
      }
      if (!isDirectory(this.tx, this.inode)) throw errno.ENOTDIR;
    }
  }

  #last(name: NameBytes, slash: boolean): LastName {
    return { mount: this.at.mount, entry: this.at.entry, directory: this.inode, name, slash };
  }

  /** Goes to `name` in the directory where the walk stands; false if there is no such name. */
  #step(name: NameBytes): boolean {
    const tx = this.tx;
    if (name.length === 0) return true;
    const directory = this.inode;
    this.needDirectory(directory);
    if (isName(name, ".")) return true;
    if (isName(name, "..")) {
      this.#up();
      return true;
    }
    const entry = lookUpEntry(tx, directory, name);
    if (entry === 0) return false;
    this.at = this.#onTop(this.at.mount, entry);
    return true;
  }

  /** ENOTDIR or EACCES unless `directory` is one that may be searched. */
  needDirectory(directory: Inode): void {
    const tx = this.tx;
    const mode = Inode.mode.get(tx, directory);
    if ((mode & 0o170000) !== S_IFDIR) throw errno.ENOTDIR;
    const uid = Inode.uid.get(tx, directory);
    const gid = Inode.gid.get(tx, directory);
    if (auth.mayAccess(tx, this.credentials, uid, gid, mode, MAY.EXECUTE) === 0) throw errno.EACCES;
  }

  #up(): void {
    const tx = this.tx;
    if (this.at.mount === this.root.mount && this.at.entry === this.root.entry) {
      if ((this.resolve & RESOLVE.BENEATH) !== 0) throw errno.EXDEV;
      return;
    }
    let { mount, entry } = this.at;
    while (entry === Mount.root.get(tx, mount)) {
      const parent = Mount.parent.get(tx, mount);
      if (parent === 0) return;
      if ((this.resolve & RESOLVE.NO_XDEV) !== 0) throw errno.EXDEV;
      entry = Mount.at.get(tx, mount);
      mount = parent;
      if (mount === this.root.mount && entry === this.root.entry) {
        this.at = { mount, entry };
        return;
      }
    }
    const directory = Dirent.directory.get(tx, entry);
    if (directory === 0) return;
    this.at = this.#onTop(mount, Inode.entry.get(tx, directory));
  }

  /** The root of what is mounted on a place, or the place itself. */
  #onTop(mount: Mount, entry: Dirent): Place {
    const tx = this.tx;
    let place = { mount, entry };
    while ((Dirent.flags.get(tx, place.entry) & DIRENT.MOUNTPOINT) !== 0) {
      const upper = mountOn(tx, this.state, place);
      if (upper === 0) break;
      if ((this.resolve & RESOLVE.NO_XDEV) !== 0) throw errno.EXDEV;
      place = { mount: upper, entry: Mount.root.get(tx, upper) };
    }
    return place;
  }
}

const NOTHING: NameBytes = { source: new Uint8Array(0), start: 0, length: 0 };

/** The mount that lies on a place; none if there is none. */
export function mountOn(tx: Transaction, state: VfsState, place: Place): Mount {
  for (let mount = VfsState.mounts.first(tx, state); mount !== 0; mount = nextMount(tx, mount)) {
    if (Mount.parent.get(tx, mount) === place.mount && Mount.at.get(tx, mount) === place.entry) return mount;
  }
  return 0 as Mount;
}

export function nextMount(tx: Transaction, mount: Mount): Mount {
  return tx.words[mount + Mount.links.word]! as Mount;
}

/** The bytes of a path buffer of the request. */
export function pathBytes(tx: Transaction, which: number, length: number): NameBytes {
  if (length >= PATH_BYTES) throw errno.ENAMETOOLONG;
  return { source: tx.bytes, start: pathAt(tx, which), length };
}

/** Walks a path from arguments as the operations get them. */
export function walkTo(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  follow: boolean,
): Place {
  return new Walk(tx, context, credentials, base).toEnd(pathBytes(tx, path, length), follow);
}

/** AT_EMPTY_PATH: an empty path names `base` itself, or the working directory. */
export function walkOrBase(
  tx: Transaction,
  context: FsContext,
  credentials: Credentials,
  base: File,
  path: number,
  length: number,
  flags: number,
  tellsFiles: boolean = false,
): Place {
  const walk = new Walk(tx, context, credentials, base);
  walk.tellsFiles = tellsFiles;
  if (length === 0 && (flags & AT.EMPTY_PATH) !== 0) return walk.at;
  return walk.toEnd(pathBytes(tx, path, length), (flags & AT.SYMLINK_NOFOLLOW) === 0);
}

export const AT = {
  SYMLINK_NOFOLLOW: 0x100,
  EACCESS: 0x200,
  REMOVEDIR: 0x200,
  SYMLINK_FOLLOW: 0x400,
  EMPTY_PATH: 0x1000,
} as const;
