/**
 * A transaction: the only way to change the heap, the page tables, the register files or a frame record.
 *
 * Every store first logs the old value in the request slot's undo log. `commit` makes the changes final with
 * one store (log count := 0); `rollback` restores the old values, newest first. Then the locks are released:
 * they are two-phase, none is released before the end. Then what was asked for "after commit" is done.
 *
 *     idle ──store, lock──▶ open ──commit──▶ committed ──locks released, redo list empty──▶ idle
 *                            └────rollback──▶ undone ────locks released──────────────────▶ idle
 *
 * ## System transactions
 *
 * Inside an open transaction, `system(work)` runs a short transaction of its own with its own log and locks,
 * final at once whatever becomes of the outer one. It is for moves that mean nothing to anybody (a stock of
 * free blocks is refilled) and must not hold a lock of the whole machine until the outer end.
 *
 * ## Redo list
 *
 * `afterCommit(kind, value)` files a step to be done once the transaction has committed: free a block, wake
 * those who wait for a condition. The list is filled by logged stores, so it is empty if the transaction is
 * rolled back and final if it is committed. Each step is a system transaction that also shortens the list, so
 * whoever finds a committed slot with steps left (its thread died) carries on where the dead one stopped.
 *
 * ## Invariants
 *
 *   T1  A word is stored to only after its old value is in the log and the log's count covers it.
 *   T2  A lock is in the lock list before it is taken, and leaves the list after it is free.
 *   T3  The log's count is zero before any lock of the transaction is released.
 *   T4  A block freed in a transaction is not reused before the transaction has committed.
 *   T5  Locks are taken by rising (rank, address), in the main and in each system transaction by itself; the
 *       locks that system transactions take rank above all others.
 *   T6  The redo list is empty while a transaction begins.
 *
 * The object holds no state that the slot does not: a request may pass to another thread, which works on from
 * the same slot (rule R10), and what survives a killed thread is all in the slot.
 *
 * `Transaction` is what runs normally. `HookedTransaction` calls a hook before each step that a crash may
 * interrupt; tests and the fault campaign use it. With one class in use, the hook costs nothing.
 */

import { assert, AssertionError } from "../base/assert.ts";
import { errno } from "../base/errno.ts";
import { lockName } from "../base/lock-order.ts";
import { type HeapAddr, type HeapBuffers, HeapView, type MemoryWord } from "./heap.ts";
import {
  LOCK_CONTENDED,
  LOCK_HOLDER,
  LOCKS_MAX,
  LOG_HEAD,
  LOG_MAX,
  LOG_MEMORY,
  REDO_MAX,
  type RedoKind,
  SLOT,
  SLOT_LOG,
  SLOT_SYSTEM_LOG,
  SYSTEM_LOG_MAX,
} from "./layout.ts";
import { releaseLocks, undo } from "./undo.ts";

/** What a transaction asks of its surroundings. */
export interface TransactionHost {
  /**
   * Called when the lock at `word` has stayed taken (its word holds `value`) for a while. Sleeps until it may
   * have changed, or throws if it never will (simulation in one thread).
   */
  contended(tx: Transaction, word: HeapAddr, value: number): void;
  /**
   * Does one step of a redo list, or a bounded part of it, by stores of the running system transaction.
   * False if the step has to be done again, in a system transaction of its own, to complete it.
   */
  redo(tx: Transaction, kind: RedoKind, value: number): boolean;
}

/** Steps before which a crash may strike. */
export type CrashPoint = "store" | "fresh" | "lock" | "commit" | "committed" | "rollback";

export class Transaction extends HeapView {
  /** Number of the request slot. */
  readonly slotIndex: number;
  /** Address of the request slot. */
  readonly slotAt: HeapAddr;
  /** The thread that works here; the kernel knows it as a KernelThread (kernel/thread.ts). */
  readonly host: TransactionHost;
  // Where the log in use lies: the main one, or the system one inside `system`.
  #headAt: HeapAddr;
  #logAt: HeapAddr;
  #logMax: number;

  constructor(buffers: HeapBuffers, slotIndex: number, host: TransactionHost) {
    super(buffers);
    this.slotIndex = slotIndex;
    this.slotAt = this.slot(slotIndex);
    this.host = host;
    this.#headAt = this.slotAt + SLOT.main;
    this.#logAt = this.slotAt + SLOT_LOG;
    this.#logMax = LOG_MAX;
  }

  // Stores.

  /** Stores `value` in the heap at `word`, undoably. Field setters call this; nothing else should. */
  store(word: HeapAddr, value: number): void {
    const w = this.words;
    const head = this.#headAt;
    const count = w[head]!;
    if (count >= this.#logMax) throw errno.ENOMEM;
    const entry = this.#logAt + (count << 1);
    w[entry] = word;
    w[entry + 1] = w[word]!;
    w[head] = count + 1;
    w[word] = value;
  }

  /** Stores `value` in the guest memory at `word`, undoably: page tables, register files, frame records. */
  storeMemory(word: MemoryWord, value: number): void {
    const w = this.words;
    const head = this.#headAt;
    const count = w[head]!;
    if (count >= this.#logMax) throw errno.ENOMEM;
    const entry = this.#logAt + (count << 1);
    w[entry] = word | LOG_MEMORY;
    w[entry + 1] = this.memory[word]!;
    w[head] = count + 1;
    this.memory[word] = value;
  }

  /** Stores in a block that this transaction has allocated: nobody else can see it, so nothing is logged. */
  storeFresh(word: HeapAddr, value: number): void {
    this.words[word] = value;
  }

  /** {@link storeFresh} for a frame or table in the guest memory that this transaction has allocated. */
  storeFreshMemory(word: MemoryWord, value: number): void {
    this.memory[word] = value;
  }

  // Locks.

  /** Takes the lock at `word` and keeps it until the end of the transaction; nothing if it is held already. */
  lock(word: HeapAddr, rank: number): void {
    const w = this.words;
    const me = this.slotIndex + 1;
    if ((w[word]! & LOCK_HOLDER) === me) return;
    const head = this.#headAt;
    const held = w[head + LOG_HEAD.locks]!;
    const pair = head + LOG_HEAD.list + (held << 1);
    if (held > 0) {
      const topRank = w[pair - 1]!;
      if (topRank >= rank && (topRank > rank || w[pair - 2]! >= word)) this.#refuseOrder(word, rank);
      if (held >= LOCKS_MAX) throw new AssertionError("too many locks in one transaction");
    }
    w[pair] = word;
    w[pair + 1] = rank;
    w[head + LOG_HEAD.locks] = held + 1;
    if (this.atomics.compareExchange(word, 0, me) !== 0) this.#lockSlow(word, me);
  }

  /** Takes the lock if that is possible at once; false if somebody else holds it. Any order (rule R5). */
  tryLock(word: HeapAddr, rank: number): boolean {
    const w = this.words;
    const me = this.slotIndex + 1;
    if ((w[word]! & LOCK_HOLDER) === me) return true;
    const head = this.#headAt;
    const held = w[head + LOG_HEAD.locks]!;
    if (held >= LOCKS_MAX) throw new AssertionError("too many locks in one transaction");
    const pair = head + LOG_HEAD.list + (held << 1);
    w[pair] = word;
    // A lock taken out of order must not lower the rank from which `lock` goes on.
    w[pair + 1] = held > 0 ? Math.max(rank, w[pair - 1]!) : rank;
    w[head + LOG_HEAD.locks] = held + 1;
    if (this.atomics.compareExchange(word, 0, me) === 0) return true;
    w[head + LOG_HEAD.locks] = held;
    return false;
  }

  /** Whether this request holds the lock at `word`. */
  holds(word: HeapAddr): boolean {
    return (this.words[word]! & LOCK_HOLDER) === this.slotIndex + 1;
  }

  #lockSlow(word: HeapAddr, me: number): void {
    const w = this.words;
    let mark = 0;
    for (let round = 1; ; round++) {
      const value = Atomics.load(w, word);
      if (value === 0) {
        // Others may still sleep on a lock that was contended: whoever slept keeps the mark set.
        if (Atomics.compareExchange(w, word, 0, me | mark) === 0) return;
      } else if (round % 256 === 0) {
        const marked = value | LOCK_CONTENDED;
        if (value === marked || Atomics.compareExchange(w, word, value, marked) === value) {
          mark = LOCK_CONTENDED;
          this.host.contended(this, word, marked);
        }
      }
    }
  }

  #refuseOrder(word: HeapAddr, rank: number): never {
    const w = this.words;
    const held = w[this.#headAt + LOG_HEAD.locks]!;
    const names: string[] = [];
    for (let i = 0; i < held; i++) names.push(lockName(w[this.#headAt + LOG_HEAD.list + i * 2 + 1]!));
    throw new AssertionError(`lock order: ${lockName(rank)}@${word} after ${names.join(", ")}`);
  }

  // System transactions and the redo list.

  /** Whether a system transaction is open. */
  get inSystem(): boolean {
    return this.#headAt !== this.slotAt + SLOT.main;
  }

  /** Opens a system transaction. What it changes is final at `endSystem`, whatever becomes of the outer one. */
  beginSystem(): void {
    assert(!this.inSystem, "system transactions do not nest");
    this.#headAt = this.slotAt + SLOT.system;
    this.#logAt = this.slotAt + SLOT_SYSTEM_LOG;
    this.#logMax = SYSTEM_LOG_MAX;
  }

  /** Commits the system transaction and releases its locks. */
  endSystem(): void {
    this.words[this.slotAt + SLOT.system] = 0;
    this.releaseLocks();
    this.#useMain();
  }

  #useMain(): void {
    this.#headAt = this.slotAt + SLOT.main;
    this.#logAt = this.slotAt + SLOT_LOG;
    this.#logMax = LOG_MAX;
  }

  /** Files a step to be done after this transaction has committed. Throws ENOMEM if the list is full. */
  afterCommit(kind: RedoKind, value: number): void {
    const w = this.words;
    const count = w[this.slotAt + SLOT.redoCount]!;
    if (count >= REDO_MAX) throw errno.ENOMEM;
    // A ring, so that steps which file further steps may go on for ever, if only few are due at a time.
    const index = (w[this.slotAt + SLOT.redoHead]! + count) & (REDO_MAX - 1);
    const item = this.slotAt + SLOT.redo + (index << 1);
    w[item] = kind;
    w[item + 1] = value;
    this.store(this.slotAt + SLOT.redoCount, count + 1);
  }

  /**
   * Does what the redo list of a committed transaction still holds, first in, first out. A step may file
   * further steps. What a part of a step has filed is done before its next part, so that a step of many parts does not
   * fill the list; what stood in the list before waits until the step is done.
   */
  settle(): void {
    const w = this.words;
    const countAt = this.slotAt + SLOT.redoCount;
    const headAt = this.slotAt + SLOT.redoHead;
    const filedAt = this.slotAt + SLOT.redoFiled;
    while (w[countAt] !== 0) {
      const before = w[filedAt]!;
      if (before !== 0 && w[countAt]! > before) {
        this.#settleFiled(before);
        continue;
      }
      const head = w[headAt]!;
      const count = w[countAt]!;
      const item = this.slotAt + SLOT.redo + (head << 1);
      this.beginSystem();
      const done = this.host.redo(this, w[item]! as RedoKind, w[item + 1]!);
      if (done) {
        this.store(headAt, (head + 1) & (REDO_MAX - 1));
        this.store(countAt, w[countAt]! - 1);
      }
      const parts = done ? 0 : before || count;
      if (before !== parts) this.store(filedAt, parts);
      this.endSystem();
    }
  }

  /** Does the first item that a part of the list's first one has filed; it stands `index` behind that. */
  #settleFiled(index: number): void {
    const w = this.words;
    const at = (i: number): number =>
      this.slotAt + SLOT.redo + (((w[this.slotAt + SLOT.redoHead]! + i) & (REDO_MAX - 1)) << 1);
    this.beginSystem();
    if (this.host.redo(this, w[at(index)]! as RedoKind, w[at(index) + 1]!)) {
      const last = w[this.slotAt + SLOT.redoCount]! - 1;
      for (let i = index; i < last; i++) {
        this.store(at(i), w[at(i + 1)]!);
        this.store(at(i) + 1, w[at(i + 1) + 1]!);
      }
      this.store(this.slotAt + SLOT.redoCount, last);
    }
    this.endSystem();
  }

  /** Where a step that is done in parts notes how far it has come: 0 at its beginning, and to be 0 at its end. */
  get redoCursorAt(): HeapAddr {
    const before = this.words[this.slotAt + SLOT.redoFiled]!;
    const isFiled = before !== 0 && this.words[this.slotAt + SLOT.redoCount]! > before;
    return this.slotAt + (isFiled ? SLOT.partCursor : SLOT.redoCursor);
  }

  // Ends.

  /** Makes all changes final, releases the locks, and does what was filed for afterwards. */
  commit(): void {
    const w = this.words;
    w[this.slotAt + SLOT.main] = 0;
    w[this.slotAt + SLOT.sequence] = (w[this.slotAt + SLOT.sequence]! + 1) | 0;
    this.releaseLocks();
    if (w[this.slotAt + SLOT.redoCount] !== 0) this.settle();
  }

  /** Restores everything as it was when the transaction began and releases the locks. */
  rollback(): void {
    this.undo();
    // A crash may have struck between the commit point and the end: what is committed is carried out.
    if (this.words[this.slotAt + SLOT.redoCount] !== 0) this.settle();
  }

  /**
   * The first half of a rollback: what is committed and not yet carried out stays filed. Takes no lock, so it
   * can be done for a dead thread's slot whatever locks the caller holds elsewhere.
   */
  undo(): void {
    // By what the slot says, not by what this object knows: it may be new, and the slot a dead thread's.
    const systemAt = this.slotAt + SLOT.system;
    if (this.words[systemAt + LOG_HEAD.count] !== 0 || this.words[systemAt + LOG_HEAD.locks] !== 0) {
      undo(this, systemAt, this.slotAt + SLOT_SYSTEM_LOG);
      releaseLocks(this, systemAt, this.slotIndex);
    }
    this.#useMain();
    undo(this, this.slotAt + SLOT.main, this.slotAt + SLOT_LOG);
    this.releaseLocks();
  }

  /** Releases the locks of the log in use, whose count must be zero (T3). */
  protected releaseLocks(): void {
    releaseLocks(this, this.#headAt, this.slotIndex);
  }

  /** Entries in the undo log of the main transaction. */
  get logged(): number {
    return this.words[this.slotAt + SLOT.main]!;
  }

  /** Locks that the main transaction holds. */
  get locksHeld(): number {
    return this.words[this.slotAt + SLOT.main + LOG_HEAD.locks]!;
  }

  /** Transactions that this slot has committed: tells a crash before the commit point from one after it. */
  get sequence(): number {
    return this.words[this.slotAt + SLOT.sequence]!;
  }
}

/** Called before each step at which a crash may strike. It may throw, stop the thread, or hand the baton on. */
export type TransactionHook = (point: CrashPoint, tx: Transaction, word: number) => void;

/** A transaction that calls a hook before each step. */
export class HookedTransaction extends Transaction {
  /** Replaceable, so that a test arms and disarms it without a new object. */
  hook: TransactionHook;

  constructor(buffers: HeapBuffers, slotIndex: number, host: TransactionHost, hook: TransactionHook) {
    super(buffers, slotIndex, host);
    this.hook = hook;
  }

  override store(word: HeapAddr, value: number): void {
    this.hook("store", this, word);
    super.store(word, value);
  }

  override storeMemory(word: MemoryWord, value: number): void {
    this.hook("store", this, word | LOG_MEMORY);
    super.storeMemory(word, value);
  }

  override storeFresh(word: HeapAddr, value: number): void {
    this.hook("fresh", this, word);
    super.storeFresh(word, value);
  }

  override storeFreshMemory(word: MemoryWord, value: number): void {
    this.hook("fresh", this, word | LOG_MEMORY);
    super.storeFreshMemory(word, value);
  }

  override lock(word: HeapAddr, rank: number): void {
    this.hook("lock", this, word);
    super.lock(word, rank);
  }

  override commit(): void {
    this.hook("commit", this, 0);
    super.commit();
  }

  protected override releaseLocks(): void {
    this.hook("committed", this, 0);
    super.releaseLocks();
  }

  override rollback(): void {
    this.hook("rollback", this, 0);
    super.rollback();
  }
}
