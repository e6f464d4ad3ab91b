/**
 * Records: typed views of blocks in the heap, declared by a schema.
 *
 *     export const Pipe = defineRecord("pipe", {
 *       lock: lock("pipe"),
 *       readers: u32(),
 *       head: u64(),
 *       owner: ref("task"),
 *     });
 *     export type Pipe = Ref<"pipe">;
 *
 *     const pipe = Pipe.allocate(tx);
 *     Pipe.readers.set(tx, pipe, Pipe.readers.get(tx, pipe) + 1);
 *
 * A reference is the word index of the record, branded with its type; 0 is "none". A getter takes any view, a
 * setter demands the transaction. Fields are whole words, so that no two fields share what the undo log
 * restores at once.
 *
 * A schema's fields are laid out in the order in which they are declared. The schema knows which fields are
 * references, so the heap checker follows them without being told (check.ts).
 */

import { assert } from "../base/assert.ts";
import { LOCK_RANK, type LockName } from "../base/lock-order.ts";
import { RECORD_ID, type RecordName } from "../base/record-ids.ts";
import { allocate, liveTypeAt, release } from "./allocator.ts";
import type { HeapAddr, HeapView } from "./heap.ts";
import { LOCK_HOLDER } from "./layout.ts";
import type { Transaction } from "./transaction.ts";

declare const recordBrand: unique symbol;
/** The address of a record of type `N`, or 0. */
export type Ref<N extends RecordName> = HeapAddr & { readonly [recordBrand]: N };

/** The reference that refers to nothing. */
export function none<N extends RecordName>(): Ref<N> {
  return 0 as Ref<N>;
}

/** One field of a schema: how many words, and where. */
export abstract class Field {
  /** Offset in words from the start of the record. */
  declare readonly word: number;
  abstract readonly words: number;
  /** Record type that the field refers to, for the checker. */
  declare readonly target: RecordName | undefined;

  // Declared, not initialised, and stored once: a property that is never stored to again is a constant to the
  // engine, and a getter of a known field costs one load.
  constructor(word: number, target?: RecordName) {
    this.word = word;
    this.target = target;
  }
}

/** An unsigned 32-bit integer. */
export class U32Field<N extends RecordName> extends Field {
  override readonly words = 1;
  get(view: HeapView, record: Ref<N>): number {
    return view.words[record + this.word]! >>> 0;
  }
  set(tx: Transaction, record: Ref<N>, value: number): void {
    tx.store(record + this.word, value | 0);
  }
  /** Adds `delta`, which may be negative, and returns the new value. */
  add(tx: Transaction, record: Ref<N>, delta: number): number {
    const value = this.get(tx, record) + delta;
    assert(value >= 0 && value <= 0xffff_ffff, "counter out of range");
    tx.store(record + this.word, value | 0);
    return value;
  }
  /** First value of a record that this transaction has allocated: not logged. */
  init(tx: Transaction, record: Ref<N>, value: number): void {
    tx.storeFresh(record + this.word, value | 0);
  }
  /** The word itself, for atomic access. */
  at(record: Ref<N>): HeapAddr {
    return record + this.word;
  }
}

/** A signed 32-bit integer. */
export class I32Field<N extends RecordName> extends Field {
  override readonly words = 1;
  get(view: HeapView, record: Ref<N>): number {
    return view.words[record + this.word]!;
  }
  set(tx: Transaction, record: Ref<N>, value: number): void {
    tx.store(record + this.word, value | 0);
  }
  init(tx: Transaction, record: Ref<N>, value: number): void {
    tx.storeFresh(record + this.word, value | 0);
  }
  at(record: Ref<N>): HeapAddr {
    return record + this.word;
  }
}

/** An integer from −2^53 to 2^53, kept as a 64-bit two's complement number. */
export class I64Field<N extends RecordName> extends Field {
  override readonly words = 2;
  get(view: HeapView, record: Ref<N>): number {
    return view.words[record + this.word + 1]! * 0x1_0000_0000 + (view.words[record + this.word]! >>> 0);
  }
  set(tx: Transaction, record: Ref<N>, value: number): void {
    tx.store(record + this.word, value | 0);
    const high = Math.floor(value / 0x1_0000_0000) | 0;
    if (tx.words[record + this.word + 1] !== high) tx.store(record + this.word + 1, high);
  }
  init(tx: Transaction, record: Ref<N>, value: number): void {
    tx.storeFresh(record + this.word, value | 0);
    tx.storeFresh(record + this.word + 1, Math.floor(value / 0x1_0000_0000) | 0);
  }
  /** The low word. */
  at(record: Ref<N>): HeapAddr {
    return record + this.word;
  }
}

/** A reference to a record of type `T`, or none. */
export class RefField<N extends RecordName, T extends RecordName> extends Field {
  override readonly words = 1;
  declare readonly target: T;
  get(view: HeapView, record: Ref<N>): Ref<T> {
    return view.words[record + this.word]! as Ref<T>;
  }
  set(tx: Transaction, record: Ref<N>, value: Ref<T>): void {
    tx.store(record + this.word, value);
  }
  init(tx: Transaction, record: Ref<N>, value: Ref<T>): void {
    tx.storeFresh(record + this.word, value);
  }
}

/** A row of `length` words. */
export class WordsField<N extends RecordName> extends Field {
  override readonly words: number;
  constructor(word: number, length: number) {
    super(word);
    this.words = length;
  }
  get(view: HeapView, record: Ref<N>, index: number): number {
    return view.words[record + this.word + index]!;
  }
  set(tx: Transaction, record: Ref<N>, index: number, value: number): void {
    assert(index >= 0 && index < this.words, "index outside the field");
    tx.store(record + this.word + index, value | 0);
  }
  init(tx: Transaction, record: Ref<N>, index: number, value: number): void {
    assert(index >= 0 && index < this.words, "index outside the field");
    tx.storeFresh(record + this.word + index, value | 0);
  }
  at(record: Ref<N>, index: number): HeapAddr {
    return record + this.word + index;
  }
}

/** A row of `length` references. */
export class RefsField<N extends RecordName, T extends RecordName> extends Field {
  override readonly words: number;
  declare readonly target: T;
  constructor(word: number, target: T, length: number) {
    super(word, target);
    this.words = length;
  }
  get(view: HeapView, record: Ref<N>, index: number): Ref<T> {
    return view.words[record + this.word + index]! as Ref<T>;
  }
  set(tx: Transaction, record: Ref<N>, index: number, value: Ref<T>): void {
    assert(index >= 0 && index < this.words, "index outside the field");
    tx.store(record + this.word + index, value);
  }
}

/**
 * Raw bytes inside a record. They are not logged (rule R9): write them only into a record that the same
 * transaction has allocated, or where a logged count says how many of them are valid.
 */
export class BytesField<N extends RecordName> extends Field {
  override readonly words: number;
  readonly length: number;
  constructor(word: number, length: number) {
    super(word);
    this.length = length;
    this.words = Math.ceil(length / 4);
  }
  /** Offset of the first byte in `view.bytes`. */
  at(record: Ref<N>): number {
    return (record + this.word) * 4;
  }
  /** A window on the bytes, for reading and for writing what is not valid yet. */
  window(view: HeapView, record: Ref<N>): Uint8Array<SharedArrayBuffer> {
    const at = this.at(record);
    return view.bytes.subarray(at, at + this.length);
  }
}

/** A lock. It guards the fields that its record's documentation says. */
export class LockField<N extends RecordName> extends Field {
  override readonly words = 1;
  readonly rank: number;
  constructor(word: number, name: LockName) {
    super(word);
    this.rank = LOCK_RANK[name];
  }
  /** Takes the lock for the rest of the transaction. */
  acquire(tx: Transaction, record: Ref<N>): void {
    tx.lock(record + this.word, this.rank);
  }
  /** Takes the lock if it is free; see Transaction.tryLock. */
  tryAcquire(tx: Transaction, record: Ref<N>): boolean {
    return tx.tryLock(record + this.word, this.rank);
  }
  heldBy(tx: Transaction, record: Ref<N>): boolean {
    return tx.holds(record + this.word);
  }
  /** Whether any slot holds the lock. */
  isTaken(view: HeapView, record: Ref<N>): boolean {
    return (view.words[record + this.word]! & LOCK_HOLDER) !== 0;
  }
}

/**
 * Something that requests wait for: a counter that goes up whenever a wait for it may be over, and the first
 * of those who wait. The counter is guarded as its record says, the list by the scheduler's lock. See
 * kernel/wait.ts, which alone reads and writes these.
 */
export class ConditionField<N extends RecordName> extends Field {
  override readonly words = 2;
  /** Address of the condition. */
  at(record: Ref<N>): HeapAddr {
    return record + this.word;
  }
}

/** Links of an intrusive list (list.ts): next, previous. */
export class LinkField<N extends RecordName> extends Field {
  override readonly words = 2;
  declare readonly target: N;
}

/** Head of an intrusive list of records of type `T`: first, last. */
export class ListField<N extends RecordName, T extends RecordName> extends Field {
  override readonly words = 2;
  declare readonly target: T;
  first(view: HeapView, record: Ref<N>): Ref<T> {
    return view.words[record + this.word]! as Ref<T>;
  }
  last(view: HeapView, record: Ref<N>): Ref<T> {
    return view.words[record + this.word + 1]! as Ref<T>;
  }
  isEmpty(view: HeapView, record: Ref<N>): boolean {
    return view.words[record + this.word] === 0;
  }
  /** Address of the head, for list.ts. */
  at(record: Ref<N>): HeapAddr {
    return record + this.word;
  }
}

/** What a schema is written with: the kind of a field, and the record type that it refers to. */
export interface Declaration<K extends FieldKindName, T extends RecordName = never> {
  readonly kind: K;
  readonly target?: T;
  make(record: RecordName, word: number): Field;
}
type FieldKindName =
  | "u32"
  | "i32"
  | "i64"
  | "ref"
  | "refs"
  | "words"
  | "bytes"
  | "lock"
  | "condition"
  | "link"
  | "list";
/** The field that a declaration becomes in a record of type `N`. */
type FieldOf<N extends RecordName, D> =
  D extends Declaration<infer K, infer T>
    ? {
        u32: U32Field<N>;
        i32: I32Field<N>;
        i64: I64Field<N>;
        ref: RefField<N, T>;
        refs: RefsField<N, T>;
        words: WordsField<N>;
        bytes: BytesField<N>;
        lock: LockField<N>;
        condition: ConditionField<N>;
        link: LinkField<N>;
        list: ListField<N, T>;
      }[K]
    : never;
type AnyDeclaration = Declaration<FieldKindName, RecordName>;

export interface RecordSchema<N extends RecordName> {
  readonly name: N;
  /** The type's number in the heap. */
  readonly id: number;
  /** Words that the fields take. */
  readonly words: number;
  readonly fields: readonly (readonly [string, Field])[];
}

export interface RecordOperations<N extends RecordName> {
  readonly schema: RecordSchema<N>;
  /** A new record, all zero, that is free again if the transaction is rolled back. Throws ENOMEM. */
  allocate(tx: Transaction): Ref<N>;
  /** Frees the record when the transaction commits. */
  free(tx: Transaction, record: Ref<N>): void;
  /** Whether a live record of this type begins at `address`, which may be any number. */
  isLive(view: HeapView, address: number): boolean;
}

const schemas = new Map<number, RecordSchema<RecordName>>();

/** The schema of a record type, if a module that declares it has been loaded. */
export function schemaOf(id: number): RecordSchema<RecordName> | undefined {
  return schemas.get(id);
}

/** Declares the layout of record type `name`. Once for each name. */
export function defineRecord<N extends RecordName, F extends { readonly [name: string]: AnyDeclaration }>(
  name: N,
  declared: F,
): { readonly [K in keyof F]: FieldOf<N, F[K]> } & RecordOperations<N> {
  const fields: [string, Field][] = [];
  const byName: { [name: string]: Field } = {};
  let word = 0;
  for (const [fieldName, declaration] of Object.entries(declared)) {
    const field = declaration.make(name, word);
    word += field.words;
    fields.push([fieldName, field]);
    byName[fieldName] = field;
  }
  const id = RECORD_ID[name];
  assert(!schemas.has(id), `record type ${name} declared twice`);
  const schema: RecordSchema<N> = { name, id, words: word, fields };
  schemas.set(id, schema);
  const operations: RecordOperations<N> = {
    schema,
    allocate: (tx) => allocate(tx, id, word) as Ref<N>,
    free: (tx, record) => release(tx, record),
    isLive: (view, address) => liveTypeAt(view, address) === id,
  };
  // A copy: what was built property by property is a hash table to the engine once it has a dozen of them, and
  // each use of a field would look its name up.
  return { ...byName, ...operations } as unknown as {
    readonly [K in keyof F]: FieldOf<N, F[K]>;
  } & RecordOperations<N>;
}

// What schemas are written with.

export const u32 = (): Declaration<"u32"> => ({ kind: "u32", make: (_record, word) => new U32Field(word) });
export const i32 = (): Declaration<"i32"> => ({ kind: "i32", make: (_record, word) => new I32Field(word) });
export const i64 = (): Declaration<"i64"> => ({ kind: "i64", make: (_record, word) => new I64Field(word) });
export const ref = <T extends RecordName>(target: T): Declaration<"ref", T> => ({
  kind: "ref",
  make: (_record, word) => new RefField(word, target),
});
export const refs = <T extends RecordName>(target: T, length: number): Declaration<"refs", T> => ({
  kind: "refs",
  make: (_record, word) => new RefsField(word, target, length),
});
export const words = (length: number): Declaration<"words"> => ({
  kind: "words",
  make: (_record, word) => new WordsField(word, length),
});
export const bytes = (length: number): Declaration<"bytes"> => ({
  kind: "bytes",
  make: (_record, word) => new BytesField(word, length),
});
export const lock = (name: LockName): Declaration<"lock"> => ({
  kind: "lock",
  make: (_record, word) => new LockField(word, name),
});
export const condition = (): Declaration<"condition"> => ({
  kind: "condition",
  make: (_record, word) => new ConditionField(word),
});
export const link = (): Declaration<"link"> => ({
  kind: "link",
  make: (record, word) => new LinkField(word, record),
});
export const list = <T extends RecordName>(target: T): Declaration<"list", T> => ({
  kind: "list",
  make: (_record, word) => new ListField(word, target),
});
