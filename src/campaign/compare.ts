/**
 * Whether two states of a machine are the same, as far as anybody can tell. Both are walked together, from the
 * tables that boot has placed, along every reference: two records are the same if their fields are, where a
 * reference must lead to records that are the same. Where a record or a frame lies does not count.
 *
 * Compared are all records that can be reached, the number of live records of each type, the kernel's tables,
 * the pages of every address space with their contents, the pages of files, the registers of every task, the results
 * and buffers of the host's calls.
 *
 * Not compared is what says nothing about the machine: request slots (logs, scratch, counters), beats, the
 * ledger of crashes, stocks, what lies in free blocks and frames.
 */

import {
  LEAF_ENTRIES,
  LEAF_PAGE,
  REG_BUDGET,
  REG_ROOT,
  REG_SCRATCH,
  REGISTER_FILE_BYTES,
  ROOT_ENTRIES,
} from "../base/hart-abi.ts";
import { RECORD_ID, RECORD_NAMES, type RecordName } from "../base/record-ids.ts";
import type { HeapView } from "../heap/heap.ts";
import {
  BLOCK_LIVE,
  CHUNK,
  CHUNK_HEADER_WORDS,
  CHUNK_SHIFT,
  CHUNK_TYPES_AT,
  CHUNK_WORDS,
  HEADER,
  ROOT_NAMES,
  ROOT_WORD,
  type RootName,
} from "../heap/layout.ts";
import { BytesField, I64Field, LockField, schemaOf } from "../heap/record.ts";
import {
  CALL_STATE,
  HOST_CALL_ARGUMENTS,
  HOST_CALL_BYTES,
  HOST_CALL_RECORDS,
  HostCall,
} from "../kernel/host-call.ts";
import { memoryLayout, type MemoryLayout } from "../kernel/memory/layout.ts";
import { PAGE_STALE } from "../kernel/memory/page-table.ts";
import { AddressSpace, Mapping } from "../kernel/memory/records.ts";
import { Task } from "../kernel/task.ts";
import { PAGE } from "../servers/vfs/radix.ts";
import { HOST_CALLS_USED, type Snapshot } from "./snapshot.ts";

/** Fields that may differ, by record type. */
const FREE_FIELDS: Partial<Record<RecordName, readonly string[]>> = {
  // Progress of the hart's own loop, and who is asleep: changed by atomic operations, not undone.
  hart: ["beats", "inUser", "thread"],
  // In which order tasks run next is nobody's business; that they are ready is said by themselves.
  scheduler: ["doorbell", "idle", "unrung", "nextWaitAt", "queue"],
  // Failures are counted; a register file is compared by what it holds.
  // A fault or a wait that a task goes through again is counted again.
  task: ["attempts", "switches", "preemptions", "minorFaults", "number", "registers", "queueLinks"],
  process: [
    "minorFaults",
    "voluntarySwitches",
    "involuntarySwitches",
    "childrenMinorFaults",
    "childrenVoluntarySwitches",
    "childrenInvoluntarySwitches",
  ],
  // The tables are compared page by page; a stamp is any number that no space has had.
  "address-space": ["root", "ticket", "leafTables", "mappings", "codeStamp", "entryStamp"],
  // The tree's form follows from addresses; its members are compared in their order. A home is a hint.
  mapping: ["left", "right", "home"],
  // What a batch of frames that is to be freed holds.
  "frame-batch": ["items", "ticket"],
};

/** Tables that may differ: what threads do just now, stocks, the order of free numbers. */
const FREE_ROOTS: ReadonlySet<RootName> = new Set([
  "log",
  "missing-calls",
  "safepoints",
  "threads",
  "placement",
  "frames",
  "tables",
  "host-calls",
  "tasks",
]);

const DIFFERENCES_MAX = 8;
const LEAF_PAGE_WORDS: number = LEAF_PAGE >>> 2;
const FRAME_WORDS = 1024;
/** PAGE_STALE says that the next access asks the file again: a fault that is handled twice has done so already. */
const PAGE_FLAGS: number = 0xfff & ~PAGE_STALE;

interface Block {
  readonly type: number;
  readonly base: number;
}

/** The live record that holds the word `address`, if any. */
function recordAround(w: Int32Array, address: number): Block | undefined {
  const index = (address - w[HEADER.chunksAt]!) >> CHUNK_SHIFT;
  if (index < 0 || index >= w[HEADER.chunksUsed]!) return undefined;
  const type = w[CHUNK_TYPES_AT + index]!;
  if (type === 0) return undefined;
  const chunk = w[HEADER.chunksAt]! + index * CHUNK_WORDS;
  const block = Math.floor((address - w[chunk + CHUNK.blocksAt]!) / w[chunk + CHUNK.blockWords]!);
  if (block < 0 || block >= w[chunk + CHUNK.capacity]!) return undefined;
  if (w[chunk + CHUNK_HEADER_WORDS + block] !== BLOCK_LIVE) return undefined;
  return { type, base: w[chunk + CHUNK.blocksAt]! + block * w[chunk + CHUNK.blockWords]! };
}

const everyWord: Iterable<number> = Array.from({ length: CHUNK_WORDS }, (_, i) => i);

function bytesOf(w: Int32Array, at: number): Buffer {
  return Buffer.from(w.buffer, w.byteOffset + at * 4, CHUNK_WORDS * 4);
}

function sameChunk(w: Int32Array, e: Int32Array, at: number): boolean {
  return bytesOf(w, at).equals(bytesOf(e, at));
}

/** Words of a chunk of a snapshot that are not zero, found once for each content. */
const used = new WeakMap<Int32Array, Map<number, { readonly copy: Buffer; readonly words: number[] }>>();

function usedWords(e: Int32Array, at: number): Iterable<number> {
  let chunks = used.get(e);
  if (chunks === undefined) {
    chunks = new Map();
    used.set(e, chunks);
  }
  const known = chunks.get(at);
  if (known?.copy.equals(bytesOf(e, at)) === true) return known.words;
  const words = everyWord as number[];
  const found = { copy: Buffer.from(bytesOf(e, at)), words: words.filter((i) => e[at + i] !== 0) };
  chunks.set(at, found);
  return found.words;
}

/** A machine's present state beside a snapshot. */
export class Comparison {
  readonly #layout: MemoryLayout;
  readonly #now: Snapshot;
  readonly #then: Snapshot;
  readonly #pairs = new Map<number, number>();
  readonly #backwards = new Map<number, number>();
  readonly #work: [now: Block, then: Block][] = [];
  readonly #differences: string[] = [];

  constructor(view: HeapView, expected: Snapshot) {
    this.#layout = memoryLayout(view);
    this.#now = { heap: view.words, memory: view.memory };
    this.#then = expected;
  }

  /** What differs; nothing if the states are the same. */
  run(): readonly string[] {
    this.#compareCensus();
    this.#compareTables();
    this.#compareHostCalls();
    for (let pair = this.#work.pop(); pair !== undefined; pair = this.#work.pop())
      this.#compareRecord(...pair);
    return this.#differences;
  }

  #differ(where: string, now: unknown, then: unknown): void {
    if (this.#differences.length < DIFFERENCES_MAX) {
      this.#differences.push(`${where} = ${String(now)} instead of ${String(then)}`);
    }
  }

  #compareCensus(): void {
    const [now, then] = [census(this.#now.heap), census(this.#then.heap)];
    for (const [type, name] of RECORD_NAMES.entries()) {
      if (now[type] !== then[type]) this.#differ(`number of ${name} records`, now[type], then[type]);
    }
  }

  #compareTables(): void {
    const [w, e] = [this.#now.heap, this.#then.heap];
    const chunks = new Map<number, RootName>();
    for (const name of ROOT_NAMES) {
      const at = w[ROOT_WORD[name]]!;
      if (at >= w[HEADER.chunksAt]!) chunks.set((at - w[HEADER.chunksAt]!) >> CHUNK_SHIFT, name);
    }
    let root: RootName | undefined;
    for (let index = 0; index < w[HEADER.chunksUsed]!; index++) {
      if (w[CHUNK_TYPES_AT + index] !== 0) continue;
      root = chunks.get(index) ?? root;
      if (root === undefined || FREE_ROOTS.has(root)) continue;
      const at = w[HEADER.chunksAt]! + index * CHUNK_WORDS;
      // Tables are large and hardly ever differ: the same words are followed only where they are not zero.
      const words = sameChunk(w, e, at) ? usedWords(e, at) : everyWord;
      for (const i of words) {
        const [now, then] = [w[at + i]!, e[at + i]!];
        if (now !== 0 || then !== 0) this.#compareWord(now, then, root, at + i - w[ROOT_WORD[root]]!);
      }
    }
  }

  /** What the calls of the host have been given: the host looks at nothing else of them. */
  #compareHostCalls(): void {
    const [w, e] = [this.#now.heap, this.#then.heap];
    for (let index = 0; index < HOST_CALLS_USED; index++) {
      const at = w[ROOT_WORD["host-calls"]]! + HOST_CALL_RECORDS + index;
      const [now, then] = [w[at]!, e[at]!];
      const where = `host call ${index}`;
      const field = (name: { readonly word: number }, offset = 0): [number, number] => {
        return [w[now + name.word + offset]!, e[then + name.word + offset]!];
      };
      const [state, expected] = field(HostCall.state);
      if (state !== expected) this.#differ(`state of ${where}`, state, expected);
      if (state !== CALL_STATE.DONE || expected !== CALL_STATE.DONE) continue;
      // Open files and processes are given by where their records lie.
      this.#compareWord(...field(HostCall.result), `result of ${where}`);
      for (let i = 0; i < HOST_CALL_ARGUMENTS; i++)
        this.#compareWord(...field(HostCall.results, i), `result of ${where}`, i);
      const [buffer, same] = field(HostCall.buffer);
      this.#compareMemory(buffer >>> 2, same >>> 2, HOST_CALL_BYTES >>> 2, `buffer of ${where}`);
    }
  }

  /** A word that may be a reference to a record, or into one. */
  #compareWord(now: number, then: number, where: string, index = -1): void {
    const ours = recordAround(this.#now.heap, now);
    const theirs = ours === undefined ? undefined : recordAround(this.#then.heap, then);
    if (ours !== undefined && theirs !== undefined && now - ours.base === then - theirs.base) {
      this.#pair(ours, theirs, where);
    } else if (now !== then) this.#differ(index < 0 ? where : `${where}[${index}]`, now, then);
  }

  #pair(now: Block, then: Block, where: string): void {
    const known = this.#pairs.get(now.base);
    if (known === undefined && !this.#backwards.has(then.base) && now.type === then.type) {
      this.#pairs.set(now.base, then.base);
      this.#backwards.set(then.base, now.base);
      this.#work.push([now, then]);
    } else if (known !== then.base) this.#differ(where, nameOf(now), `what was ${nameOf(then)}`);
  }

  #compareRecord(now: Block, then: Block): void {
    const name = RECORD_NAMES[now.type]!;
    const schema = schemaOf(now.type);
    if (schema === undefined) return;
    const free = FREE_FIELDS[name] ?? [];
    const [w, e] = [this.#now.heap, this.#then.heap];
    for (const [fieldName, field] of schema.fields) {
      if (free.includes(fieldName) || field instanceof LockField) continue;
      const isPlain = field instanceof I64Field || field instanceof BytesField;
      for (let i = 0; i < field.words; i++) {
        const [a, b] = [w[now.base + field.word + i]!, e[then.base + field.word + i]!];
        if (isPlain ? a === b : a === 0 && b === 0) continue;
        const where = `${nameOf(now)}.${fieldName}${field.words > 1 ? `[${i}]` : ""}`;
        if (isPlain) this.#differ(where, a, b);
        else if (!this.#samePage(name, a, b, where)) this.#compareWord(a, b, where);
      }
    }
    if (now.type === RECORD_ID["address-space"]) this.#compareSpace(now.base, then.base);
    else if (now.type === RECORD_ID.task) this.#compareRegisters(now.base, then.base);
  }

  /** Whether both words name a page's frame, in a record that may; the contents are then compared. */
  #samePage(name: RecordName, now: number, then: number, where: string): boolean {
    const { zeroFrame, framesEnd } = this.#layout;
    const isFrame = (frame: number): boolean => frame >= zeroFrame && frame < framesEnd;
    if (name === "radix-node") {
      if ((now & PAGE.MASK) !== PAGE.PRESENT || (then & PAGE.MASK) !== PAGE.PRESENT) return false;
      if (!isFrame(now >>> 2) || !isFrame(then >>> 2)) return false;
      this.#compareFrame(now >>> 2, then >>> 2, where);
      return true;
    }
    // Bytes that a pipe or terminal holds are seen when they are read; beyond them lies anything.
    return (name.endsWith("-page") || name === "frame-node") && isFrame(now) && isFrame(then);
  }

  #compareFrame(now: number, then: number, where: string): void {
    this.#compareMemory(now * FRAME_WORDS, then * FRAME_WORDS, FRAME_WORDS, where);
  }

  /** `words` words of guest memory from word `now`, and from `then` in the snapshot. */
  #compareMemory(now: number, then: number, words: number, where: string): void {
    const [m, e] = [this.#now.memory, this.#then.memory];
    for (let i = 0; i < words; i++) {
      if (m[now + i] === e[then + i]) continue;
      this.#differ(`${where}+${i * 4}`, m[now + i], e[then + i]);
      return;
    }
  }

  #compareSpace(now: number, then: number): void {
    const ours = mappingsOf(this.#now.heap, now);
    const theirs = mappingsOf(this.#then.heap, then);
    if (ours.length !== theirs.length) this.#differ("mappings", ours.length, theirs.length);
    else
      for (const [index, mapping] of ours.entries())
        this.#compareWord(mapping, theirs[index]!, "mappings", index);
    const [m, e] = [this.#now.memory, this.#then.memory];
    const rootAt = AddressSpace.root.word;
    const a = this.#now.heap[now + rootAt]! >>> 2;
    const b = this.#then.heap[then + rootAt]! >>> 2;
    const empty = this.#layout.emptyLeaf | 0;
    for (let i = 0; i < ROOT_ENTRIES; i++) {
      const [leaf, other] = [m[a + i]!, e[b + i]!];
      if (leaf === other && (leaf === empty || leaf === 0)) continue;
      for (let page = 0; page < LEAF_ENTRIES; page++) {
        const ours = m[(leaf >>> 2) + LEAF_PAGE_WORDS + page]!;
        const theirs = e[(other >>> 2) + LEAF_PAGE_WORDS + page]!;
        if (ours === 0 && theirs === 0) continue;
        const where = `page 0x${((i * LEAF_ENTRIES + page) * 4096).toString(16)} of space 0x${now.toString(16)}`;
        if ((ours & PAGE_FLAGS) !== (theirs & PAGE_FLAGS) || ours === 0 || theirs === 0) {
          this.#differ(where, (ours & PAGE_FLAGS).toString(2), (theirs & PAGE_FLAGS).toString(2));
        } else this.#compareFrame(ours >>> 12, theirs >>> 12, where);
      }
    }
  }

  #compareRegisters(now: number, then: number): void {
    const at = Task.registers.word;
    const a = this.#now.heap[now + at]!;
    const b = this.#then.heap[then + at]!;
    if (a === 0 || b === 0) return;
    for (let i = 2; i < REGISTER_FILE_BYTES >>> 2; i++) {
      if (SCRATCH_WORDS.has(i)) continue;
      const [ours, theirs] = [this.#now.memory[a + i], this.#then.memory[b + i]];
      if (ours !== theirs) this.#differ(`${registerName(i)} of task 0x${now.toString(16)}`, ours, theirs);
    }
  }
}

const SCRATCH_WORDS = new Set([REG_BUDGET >> 2, REG_SCRATCH >> 2, (REG_SCRATCH >> 2) + 1, REG_ROOT >> 2]);

function registerName(word: number): string {
  if (word < 64) return `x${word >> 1}${word & 1 ? " (high)" : ""}`;
  return word === 128 ? "pc" : `register file +${word * 4}`;
}

function nameOf({ type, base }: Block): string {
  return `${RECORD_NAMES[type]} 0x${base.toString(16)}`;
}

/** The mappings of the space at `space`, by rising address. */
function mappingsOf(w: Int32Array, space: number): number[] {
  const found: number[] = [];
  const visit = (mapping: number): void => {
    if (mapping === 0) return;
    visit(w[mapping + Mapping.left.word]!);
    found.push(mapping);
    visit(w[mapping + Mapping.right.word]!);
  };
  visit(w[space + AddressSpace.mappings.word]!);
  return found;
}

/** Live records of each type. */
function census(w: Int32Array): number[] {
  const counts = RECORD_NAMES.map(() => 0);
  for (let index = 0; index < w[HEADER.chunksUsed]!; index++) {
    const type = w[CHUNK_TYPES_AT + index]!;
    if (type === 0) continue;
    const chunk = w[HEADER.chunksAt]! + index * CHUNK_WORDS;
    for (let i = 0; i < w[chunk + CHUNK.capacity]!; i++) {
      if (w[chunk + CHUNK_HEADER_WORDS + i] === BLOCK_LIVE) counts[type]!++;
    }
  }
  return counts;
}
