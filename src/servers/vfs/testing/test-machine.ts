/**
 * A machine for tests of the vfs server: a heap, a guest memory, one request slot, a host thread that is a
 * function call, and short names for the operations with paths given as text.
 */

import { assert } from "../../../base/assert.ts";
import { Errno } from "../../../base/errno.ts";
import { IO_KIND, IO_REQUEST, IO_STATE } from "../../../base/host-io.ts";
import { decodeUtf8, encodeUtf8 } from "../../../base/text.ts";
import { liveRecords } from "../../../heap/check.ts";
import { createHeap } from "../../../heap/heap.ts";
import { REDO, type RedoKind, SLOT } from "../../../heap/layout.ts";
import { defineRecord, none, ref } from "../../../heap/record.ts";
import { HookedTransaction, type Transaction } from "../../../heap/transaction.ts";
import { completeNextIo, createHostIo, HostIo } from "../../../kernel/block-io.ts";
import type { Credentials } from "../../../kernel/credentials.ts";
import { dropFile, type File, kindOf } from "../../../kernel/file.ts";
import { memoryLayout, placeMemory } from "../../../kernel/memory/layout.ts";
import { addSegment, clearSegments, clearWaits, pathAt, WOULD_BLOCK } from "../../../kernel/request.ts";
import { KernelThread } from "../../../kernel/thread.ts";
import { placeAccounts } from "../../../kernel/account.ts";
import { auth, createAuth } from "../../auth/auth.ts";
import { type BootMount, createVfs, mountAtBoot, mountRoot, type VfsOptions } from "../boot.ts";
import { O } from "../open-flags.ts";
import type { FsContext } from "../records.ts";
import { vfs } from "../vfs.ts";

/** Stands for the processes of a machine: what holds credentials. */
const Holder = defineRecord("test-a", { credentials: ref("credentials") });

/** A thread whose wake-ups go nowhere: in one thread nobody sleeps. */
class TestThread extends KernelThread {
  override redo(tx: Transaction, kind: RedoKind, value: number): boolean {
    return kind === REDO.wake ? true : super.redo(tx, kind, value);
  }
}

/** Attributes as `stat` delivers them. */
export interface TestStat {
  readonly device: number;
  readonly ino: number;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blocks: number;
  readonly mtime: number;
}

/** Bytes of user memory that the tests use. */
const USER_BYTES = 256 * 1024;
export const AT_REMOVEDIR = 0x200;

export interface TestOptions extends VfsOptions {
  /** Bytes of the root image. */
  readonly image?: Uint8Array;
  readonly mounts?: readonly BootMount[];
  readonly heapBytes?: number;
  readonly memoryBytes?: number;
  /** Blocks that cannot be read. */
  readonly badBlocks?: ReadonlySet<number>;
  /** Serves requests of other kinds than blocks: the host's side of a granted folder. */
  readonly serve?: (
    words: Int32Array<SharedArrayBuffer>,
    memory: Uint8Array<SharedArrayBuffer>,
    request: number,
  ) => number;
}

/** Credentials with a record that refers to them. */
export function held(tx: Transaction, credentials: Credentials): Credentials {
  Holder.credentials.init(tx, Holder.allocate(tx), credentials);
  return credentials;
}

export class TestMachine {
  readonly tx: HookedTransaction;
  /** For what another hart does meanwhile. */
  readonly second: HookedTransaction;
  root: Credentials = none();
  context: FsContext = none();
  /** Who the operations run as. */
  who: Credentials = none();
  /** Seconds since 1970, for the next operations. */
  seconds = 1000;
  /** Blocks that the host has read, and requests. */
  blocksRead = 0;
  requests = 0;
  readonly #image: Uint8Array | undefined;
  readonly #bad: ReadonlySet<number>;
  readonly #serve: TestOptions["serve"];
  readonly #userAt: number;

  constructor(options: TestOptions = {}) {
    const clock = { monotonic: () => this.seconds * 1e9, realtime: () => this.seconds * 1e9 };
    const thread = new TestThread(1, clock, { fill: (bytes) => void bytes.fill(7) }, () => {
      throw new Error("contended in one thread");
    });
    const heap = createHeap({ bytes: options.heapBytes ?? 16 << 20, slots: 2 });
    const memory = new SharedArrayBuffer(options.memoryBytes ?? 16 << 20);
    this.tx = new HookedTransaction({ heap, memory }, 0, thread, () => {});
    this.second = new HookedTransaction({ heap, memory }, 1, thread, () => {});
    this.#image = options.image;
    this.#serve = options.serve;
    this.#bad = options.badBlocks ?? new Set();
    placeMemory(this.tx, { harts: 1, tier0Bytes: 4096, tasksMax: 4, hostCalls: USER_BYTES / 65536 });
    this.#userAt = memoryLayout(this.tx).hostCalls;
    createAuth(this.tx);
    createHostIo(this.tx);
    const sizes = { direntBuckets: 1024, inodeBuckets: 1024, cachedNames: 64 };
    placeAccounts(this.tx);
    this.run((tx) => createVfs(tx, { sizes, ...options, ...(options.image ? { device: 1 } : {}) }));
    this.run((tx) => mountRoot(tx));
    for (const what of options.mounts ?? []) this.run((tx) => mountAtBoot(tx, what));
    this.root = this.run((tx) => held(tx, auth.createInitial(tx)));
    this.who = this.root;
    this.context = this.run((tx) => vfs.createContext(tx));
  }

  /** Runs `work` as a request: commits, or rolls back what it throws; waits for blocks as long as it must. */
  run<T>(work: (tx: Transaction) => T): T {
    for (let attempt = 0; attempt < 1000; attempt++) {
      clearWaits(this.tx);
      try {
        const result = work(this.tx);
        this.tx.commit();
        return result;
      } catch (error) {
        this.tx.rollback();
        if (error !== WOULD_BLOCK) throw error;
        if (!this.doIo() && !this.#mayRunAgain())
          throw new Error("waits for something that nobody does", { cause: error });
      }
    }
    throw new Error("a request does not come to an end");
  }

  /** Whether a condition that the request has noted has been signalled since. */
  #mayRunAgain(): boolean {
    const { words, slotAt } = this.tx;
    for (let i = 0; i < words[slotAt + SLOT.waitCount]!; i++) {
      const at = slotAt + SLOT.waits + i * 2;
      if (words[words[at]!] !== words[at + 1]) return true;
    }
    return false;
  }

  /** The name of the errno that `work` throws, or what it gives. */
  attempt<T>(work: () => T): T | string {
    try {
      return work();
    } catch (error) {
      if (error instanceof Errno) return error.name;
      throw error;
    }
  }

  /** Does what the host thread would do, and what a hart does afterwards; false if there was nothing. */
  doIo(): boolean {
    const { tx } = this;
    let any = this.serveIo();
    while (completeNextIo(tx)) {
      tx.commit();
      any = true;
    }
    tx.rollback();
    return any;
  }

  /** Does what the host thread would do; false if there was nothing. */
  serveIo(): boolean {
    const { tx } = this;
    let any = false;
    for (const io of Array.from(liveRecords(tx, HostIo.schema))) {
      if (HostIo.state.get(tx, io) !== IO_STATE.QUEUED) continue;
      if (HostIo.kind.get(tx, io) !== IO_KIND.READ_BLOCKS) {
        assert(this.#serve !== undefined, "nobody serves this kind of request");
        any = true;
        const result = this.#serve(tx.words, tx.memoryBytes, io);
        tx.words[io + IO_REQUEST.result] = result;
        tx.words[HostIo.state.at(io)] = result < 0 ? IO_STATE.FAILED : IO_STATE.DONE;
        continue;
      }
      any = true;
      this.requests++;
      let failed = false;
      for (let i = 0; i < HostIo.count.get(tx, io); i++) {
        const block = HostIo.block.get(tx, io) + i;
        const bytes = this.#image?.subarray(block * 4096, block * 4096 + 4096);
        if (bytes === undefined || bytes.length < 4096 || this.#bad.has(block)) failed = true;
        else tx.memoryBytes.set(bytes, HostIo.frames.get(tx, io, i) * 4096);
        this.blocksRead++;
      }
      tx.words[HostIo.state.at(io)] = failed ? IO_STATE.FAILED : IO_STATE.DONE;
    }
    return any;
  }

  /** Puts text into a path buffer; returns its length. */
  path(text: string, which: number = 0): number {
    const bytes = encodeUtf8(text);
    this.tx.bytes.set(bytes, pathAt(this.tx, which));
    return bytes.length;
  }

  user(length: number): number {
    clearSegments(this.tx);
    if (length > 0) addSegment(this.tx, this.#userAt, length);
    return this.#userAt;
  }

  open(path: string, flags: number = 0, mode: number = 0o644, resolve: number = 0): File {
    return this.run((tx) =>
      vfs.open(tx, this.context, this.who, none(), 0, this.path(path), flags, mode, resolve),
    );
  }

  close(file: File): void {
    this.run((tx) => dropFile(tx, file));
  }

  read(file: File, length: number, offset: number = -1): Uint8Array {
    const parts: number[] = [];
    while (parts.length < length) {
      const at = this.user(Math.min(length - parts.length, USER_BYTES));
      const ask = Math.min(length - parts.length, USER_BYTES);
      const from = offset < 0 ? -1 : offset + parts.length;
      const count = this.run((tx) => kindOf(tx, file).read(tx, file, ask, from, false));
      if (count === 0) break;
      for (const byte of this.tx.memoryBytes.subarray(at, at + count)) parts.push(byte);
    }
    return new Uint8Array(parts);
  }

  write(file: File, bytes: Uint8Array | string, offset: number = -1): number {
    const data = typeof bytes === "string" ? encodeUtf8(bytes) : bytes;
    let done = 0;
    while (done < data.length) {
      const part = data.subarray(done, done + USER_BYTES);
      this.tx.memoryBytes.set(part, this.user(part.length));
      const from = offset < 0 ? -1 : offset + done;
      done += this.run((tx) => kindOf(tx, file).write(tx, file, part.length, from, false));
    }
    return done;
  }

  seek(file: File, offset: number, whence: number): number {
    return this.run((tx) => kindOf(tx, file).seek!(tx, file, offset, whence));
  }

  readFile(path: string): string {
    const file = this.open(path);
    const bytes = this.read(file, 1 << 22);
    this.close(file);
    return decodeUtf8(bytes);
  }

  writeFile(path: string, text: string | Uint8Array, flags: number = O.CREAT | O.WRONLY | O.TRUNC): void {
    const file = this.open(path, flags);
    this.write(file, text);
    this.close(file);
  }

  /** What is at the user memory that the last operation wrote to. */
  #view(length: number): DataView {
    const at = this.#userAt;
    return new DataView(this.tx.memoryBytes.slice(at, at + length).buffer);
  }

  stat(path: string, flags: number = 0): TestStat {
    this.user(128);
    this.run((tx) => vfs.stat(tx, this.context, this.who, none(), 0, this.path(path), flags, 0));
    return this.#stat();
  }

  statFile(file: File): TestStat {
    this.user(128);
    this.run((tx) => vfs.statFile(tx, file, 0));
    return this.#stat();
  }

  #stat(): TestStat {
    const view = this.#view(128);
    const u32 = (at: number): number => view.getUint32(at, true);
    return {
      device: u32(0),
      ino: u32(8),
      mode: u32(16),
      links: u32(20),
      uid: u32(24),
      gid: u32(28),
      rdev: u32(32),
      size: u32(48) + view.getInt32(52, true) * 2 ** 32,
      blocks: u32(64),
      mtime: u32(88),
    };
  }

  /** Names in a directory, in the order in which they are listed, by calls with `length` bytes of room. */
  list(path: string, length: number = 4096): string[] {
    const file = this.open(path, O.DIRECTORY);
    const names: string[] = [];
    for (;;) {
      const part = this.listSome(file, length);
      if (part.length === 0) break;
      names.push(...part);
    }
    this.close(file);
    return names.filter((name) => name !== "." && name !== "..");
  }

  /** Names that one getdents call gives. */
  listSome(file: File, length: number): string[] {
    const names: string[] = [];
    const at = this.user(length);
    const count = this.run((tx) => vfs.getdents(tx, file, length));
    const bytes = this.tx.memoryBytes.slice(at, at + count);
    for (let offset = 0; offset < count; ) {
      const size = bytes[offset + 16]! | (bytes[offset + 17]! << 8);
      const end = bytes.indexOf(0, offset + 19);
      names.push(decodeUtf8(bytes.slice(offset + 19, end)));
      offset += size;
    }
    return names;
  }

  mkdir(path: string, mode: number = 0o755): void {
    this.run((tx) => vfs.mkdir(tx, this.context, this.who, none(), 0, this.path(path), mode));
  }

  mknod(path: string, mode: number, device: number = 0): void {
    this.run((tx) => vfs.mknod(tx, this.context, this.who, none(), 0, this.path(path), mode, device));
  }

  unlink(path: string): void {
    this.run((tx) => vfs.unlink(tx, this.context, this.who, none(), 0, this.path(path), 0));
  }

  rmdir(path: string): void {
    this.run((tx) => vfs.unlink(tx, this.context, this.who, none(), 0, this.path(path), AT_REMOVEDIR));
  }

  rename(from: string, to: string, flags: number = 0): void {
    this.run((tx) => {
      const length = this.path(from, 0);
      vfs.rename(tx, this.context, this.who, none(), 0, length, none(), 1, this.path(to, 1), flags);
    });
  }

  link(from: string, to: string, flags: number = 0): void {
    this.run((tx) => {
      const length = this.path(from, 0);
      vfs.link(tx, this.context, this.who, none(), 0, length, none(), 1, this.path(to, 1), flags);
    });
  }

  symlink(target: string, path: string): void {
    this.run((tx) => {
      const length = this.path(path, 0);
      vfs.symlink(tx, this.context, this.who, none(), 0, length, 1, this.path(target, 1));
    });
  }

  readlink(path: string): string {
    const at = this.user(4096);
    const count = this.run((tx) =>
      vfs.readlink(tx, this.context, this.who, none(), 0, this.path(path), 4096),
    );
    return decodeUtf8(this.tx.memoryBytes.slice(at, at + count));
  }

  chmod(path: string, mode: number): void {
    this.run((tx) => vfs.chmod(tx, this.context, this.who, none(), 0, this.path(path), mode, 0));
  }

  chown(path: string, uid: number, gid: number): void {
    this.run((tx) => vfs.chown(tx, this.context, this.who, none(), 0, this.path(path), uid, gid, 0));
  }

  access(path: string, mode: number): void {
    this.run((tx) => vfs.access(tx, this.context, this.who, none(), 0, this.path(path), mode, 0));
  }

  truncate(path: string, size: number): void {
    const step = (): number =>
      this.run((tx) => vfs.truncate(tx, this.context, this.who, none(), 0, this.path(path), size, 2 ** 53));
    while (step() !== 0);
  }

  chdir(path: string): void {
    this.run((tx) => vfs.chdir(tx, this.context, this.who, none(), 0, this.path(path)));
  }

  getcwd(): string {
    const count = this.run((tx) => vfs.getcwd(tx, this.context));
    const at = pathAt(this.tx, 0);
    return decodeUtf8(this.tx.bytes.slice(at, at + count - 1));
  }

  /** Credentials of an ordinary user. */
  user1000(): Credentials {
    return this.run((tx) => {
      const group = auth.setgid(tx, this.root, 1000);
      const user = auth.setuid(tx, group, 1000);
      auth.drop(tx, group);
      return held(tx, user);
    });
  }
}
