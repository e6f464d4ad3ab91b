/**
 * The whole-heap checker: the executable twin of the numbered invariants.
 *
 * It reads a heap in which no request is under way (every log empty, every lock free) and reports what does
 * not hold. The allocator's invariants, the lists' and the references' follow from the schemas; every other
 * invariant is registered by the module whose records it speaks of.
 */

import { RECORD_NAMES, type RecordName } from "../base/record-ids.ts";
import { liveTypeAt, STOCK, stockOf, typeControl } from "./allocator.ts";
import type { HeapAddr, HeapView } from "./heap.ts";
import {
  BLOCK_LIVE,
  CHUNK,
  CHUNK_HEADER_WORDS,
  CHUNK_TYPES_AT,
  CHUNK_WORDS,
  HEADER,
  LOCK_HOLDER,
  LOG_HEAD,
  SLOT,
  STOCK_RING,
  TYPE,
} from "./layout.ts";
import {
  type Field,
  LinkField,
  ListField,
  LockField,
  type Ref,
  type RecordSchema,
  schemaOf,
} from "./record.ts";

/** One thing that does not hold. */
export interface Violation {
  /** Number of the invariant, as its module's header gives it. */
  readonly invariant: string;
  readonly text: string;
}

/** Reports violations of one invariant. */
export type Report = (text: string) => void;

export interface Invariant {
  /** Letter and number, as in "A1". */
  readonly id: string;
  /** What holds, in a sentence. */
  readonly statement: string;
  check(view: HeapView, report: Report): void;
}

const invariants = new Map<string, Invariant>();

/** Adds an invariant to the checker. Modules call this when they are loaded. */
export function registerInvariant(invariant: Invariant): void {
  if (invariants.has(invariant.id)) throw new Error(`invariant ${invariant.id} registered twice`);
  invariants.set(invariant.id, invariant);
}

/** Every registered invariant, for the test that trips each by a mutant. */
export function registeredInvariants(): readonly Invariant[] {
  return [...invariants.values()];
}

/** Every violation in a heap at rest; none if all is well. */
export function checkHeap(view: HeapView): Violation[] {
  const violations: Violation[] = [];
  for (const invariant of invariants.values()) {
    invariant.check(view, (text) => violations.push({ invariant: invariant.id, text }));
  }
  return violations;
}

/** The live records of a type, by rising address. */
export function* liveRecords<N extends RecordName>(
  view: HeapView,
  schema: RecordSchema<N>,
): Generator<Ref<N>> {
  for (const chunk of chunksOf(view, schema.id)) {
    const w = view.words;
    for (let i = 0; i < w[chunk + CHUNK.capacity]!; i++) {
      if (w[chunk + CHUNK_HEADER_WORDS + i] === BLOCK_LIVE) {
        yield (w[chunk + CHUNK.blocksAt]! + i * w[chunk + CHUNK.blockWords]!) as Ref<N>;
      }
    }
  }
}

/** Live records of each type that has any: the baseline that a leak would move. */
export function census(view: HeapView): Map<RecordName, number> {
  const counts = new Map<RecordName, number>();
  for (const [id, name] of RECORD_NAMES.entries()) {
    let count = 0;
    for (const chunk of chunksOf(view, id)) {
      const w = view.words;
      for (let i = 0; i < w[chunk + CHUNK.capacity]!; i++) {
        if (w[chunk + CHUNK_HEADER_WORDS + i] === BLOCK_LIVE) count++;
      }
    }
    if (count > 0) counts.set(name, count);
  }
  return counts;
}

function* chunksOf(view: HeapView, id: number): Generator<HeapAddr> {
  const w = view.words;
  if (id === 0) return;
  for (let index = 0; index < w[HEADER.chunksUsed]!; index++) {
    if (w[CHUNK_TYPES_AT + index] === id) yield w[HEADER.chunksAt]! + index * CHUNK_WORDS;
  }
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}

registerInvariant({
  id: "T1",
  statement: "at rest no log holds an entry, no slot a lock, and no redo list a step",
  check(view, report) {
    for (let index = 0; index < view.slotCount; index++) {
      const at = view.slot(index);
      for (const head of [at + SLOT.main, at + SLOT.system]) {
        if (view.words[head + LOG_HEAD.count] !== 0) report(`slot ${index} has a log that is not empty`);
        if (view.words[head + LOG_HEAD.locks] !== 0) report(`slot ${index} lists locks`);
      }
      if (view.words[at + SLOT.redoCount] !== 0) report(`slot ${index} has redo steps left`);
    }
  },
});

registerInvariant({
  id: "A1",
  statement: "each block of a chunk is in exactly one place: on the chunk's stack, in one stock, or live",
  check(view, report) {
    const w = view.words;
    const stocks = stocksByChunk(view, report);
    for (let type = 1; type < RECORD_NAMES.length; type++) {
      for (const chunk of chunksOf(view, type)) {
        const capacity = w[chunk + CHUNK.capacity]!;
        const free = stocks.get(chunk) ?? new Uint8Array(capacity);
        for (let i = 0; i < w[chunk + CHUNK.freeCount]!; i++) {
          const block = w[w[chunk + CHUNK.stackAt]! + i]!;
          if (block >= 0 && block < capacity) free[block]!++;
          else report(`chunk ${hex(chunk)} lists block ${block} as free and has no such block`);
        }
        for (let i = 0; i < capacity; i++) {
          const live = w[chunk + CHUNK_HEADER_WORDS + i] === BLOCK_LIVE ? 1 : 0;
          const times = live + free[i]!;
          if (times === 1) continue;
          const block = hex(w[chunk + CHUNK.blocksAt]! + i * w[chunk + CHUNK.blockWords]!);
          report(`${RECORD_NAMES[type]} ${block}: ${live ? "live" : "not live"}, ${free[i]} times free`);
        }
      }
    }
  },
});

/** How often each block is in a stock, by chunk and the block's number there; chunks without any are left out. */
function stocksByChunk(view: HeapView, report: (text: string) => void): Map<HeapAddr, Uint8Array> {
  const w = view.words;
  const found = new Map<HeapAddr, Uint8Array>();
  const count = (address: HeapAddr): void => {
    const index = Math.floor((address - w[HEADER.chunksAt]!) / CHUNK_WORDS);
    const isUsed = index >= 0 && index < w[HEADER.chunksUsed]! && w[CHUNK_TYPES_AT + index] !== 0;
    const chunk = w[HEADER.chunksAt]! + index * CHUNK_WORDS;
    const block = isUsed ? (address - w[chunk + CHUNK.blocksAt]!) / w[chunk + CHUNK.blockWords]! : -1;
    if (!Number.isInteger(block) || block < 0 || block >= w[chunk + CHUNK.capacity]!) {
      report(`${hex(address)} is listed as free and is no block`);
      return;
    }
    let blocks = found.get(chunk);
    if (blocks === undefined) {
      blocks = new Uint8Array(w[chunk + CHUNK.capacity]!);
      found.set(chunk, blocks);
    }
    blocks[block]!++;
  };
  for (let index = 0; index < view.slotCount; index++) {
    for (let type = 1; type < RECORD_NAMES.length; type++) {
      const stock = stockOf(view.slot(index), type);
      const held = (w[stock + STOCK.filled]! - w[stock + STOCK.taken]!) | 0;
      if (held < 0 || held > STOCK_RING) {
        report(`stock of ${RECORD_NAMES[type]} in slot ${index} holds ${held}`);
        continue;
      }
      for (let i = 0; i < held; i++)
        count(w[stock + STOCK.ring + ((w[stock + STOCK.taken]! + i) & (STOCK_RING - 1))]!);
    }
  }
  return found;
}

registerInvariant({
  id: "A3",
  statement: "a chunk is on its type's list of partial chunks if and only if its stack is not empty",
  check(view, report) {
    const w = view.words;
    for (let type = 1; type < RECORD_NAMES.length; type++) {
      const listed = new Set<HeapAddr>();
      let chunk = w[typeControl(type) + TYPE.partial]!;
      while (chunk !== 0 && !listed.has(chunk)) {
        listed.add(chunk);
        chunk = w[chunk + CHUNK.nextPartial]!;
      }
      if (chunk !== 0) report(`partial list of ${RECORD_NAMES[type]} runs in a circle`);
      let chunks = 0;
      for (const each of chunksOf(view, type)) {
        chunks++;
        const partial = w[each + CHUNK.freeCount]! > 0;
        if (partial !== listed.has(each) || partial !== (w[each + CHUNK.isPartial] === 1)) {
          report(
            `chunk ${hex(each)} of ${RECORD_NAMES[type]}: ${w[each + CHUNK.freeCount]} free, listed ${listed.has(each)}`,
          );
        }
        if (w[each + CHUNK.type] !== type)
          report(`chunk ${hex(each)} holds type ${w[each + CHUNK.type]}, not ${type}`);
      }
      if (chunks !== w[typeControl(type) + TYPE.chunks])
        report(`${RECORD_NAMES[type]} counts chunks wrongly`);
    }
  },
});

registerInvariant({
  id: "R1",
  statement: "every reference in a live record is none or the address of a live record of the declared type",
  check(view, report) {
    eachField(view, (schema, record, name, field) => {
      if (field.target === undefined || field instanceof ListField) return;
      const target = schemaOf(idOf(field.target));
      if (target === undefined) return;
      for (let i = 0; i < field.words; i++) {
        const value = view.words[record + field.word + i]!;
        if (value !== 0 && liveTypeAt(view, value) !== target.id) {
          report(`${schema.name} ${hex(record)}.${name} = ${hex(value)}, which is no live ${target.name}`);
        }
      }
    });
  },
});

registerInvariant({
  id: "R2",
  statement: "no lock is held",
  check(view, report) {
    eachField(view, (schema, record, name, field) => {
      if (!(field instanceof LockField)) return;
      const holder = view.words[record + field.word]! & LOCK_HOLDER;
      if (holder !== 0) report(`${schema.name} ${hex(record)}.${name} is held by slot ${holder - 1}`);
    });
  },
});

registerInvariant({
  id: "R3",
  statement: "neighbours on a list point at each other",
  check(view, report) {
    eachField(view, (schema, record, name, field) => {
      if (!(field instanceof LinkField)) return;
      const after = view.words[record + field.word]!;
      const before = view.words[record + field.word + 1]!;
      if (
        after !== 0 &&
        liveTypeAt(view, after) === schema.id &&
        view.words[after + field.word + 1] !== record
      ) {
        report(`${schema.name} ${hex(record)}.${name}: the next one does not point back`);
      }
      if (
        before !== 0 &&
        liveTypeAt(view, before) === schema.id &&
        view.words[before + field.word] !== record
      ) {
        report(`${schema.name} ${hex(record)}.${name}: the previous one does not point here`);
      }
    });
  },
});

function eachField(
  view: HeapView,
  visit: (schema: RecordSchema<RecordName>, record: HeapAddr, name: string, field: Field) => void,
): void {
  for (let id = 1; id < RECORD_NAMES.length; id++) {
    const schema = schemaOf(id);
    if (schema === undefined) continue;
    for (const record of liveRecords(view, schema)) {
      for (const [name, field] of schema.fields) visit(schema, record, name, field);
    }
  }
}

function idOf(name: RecordName): number {
  return RECORD_NAMES.indexOf(name);
}
