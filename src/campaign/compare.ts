/**
 * Whether two states of a machine are the same, as far as anybody can tell: every live record, every table of
 * the kernel, the bytes of every frame that is in use, the registers of every task.
 *
 * What may differ is what says nothing about the machine: request slots (logs, scratch, counters), beats,
 * the ledger of crashes, what lies in free blocks and frames.
 */

import { REG_BUDGET, REG_SCRATCH, REGISTER_FILE_BYTES } from "../base/hart-abi.ts";
import { RECORD_NAMES, type RecordName } from "../base/record-ids.ts";
import { HeapView } from "../heap/heap.ts";
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
import { schemaOf } from "../heap/record.ts";
import { memoryLayout } from "../kernel/memory/layout.ts";
import type { Snapshot } from "./snapshot.ts";

/** Fields that may differ, by record type. */
const FREE_FIELDS: Partial<Record<RecordName, readonly string[]>> = {
  // Progress of the hart's own loop, and who is asleep: changed by atomic operations, not undone.
  hart: ["beats", "inUser", "thread"],
  scheduler: ["doorbell", "idle", "unrung", "nextWaitAt"],
  // Task.attempts counts failures.
  task: ["attempts", "switches"],
};

/** Tables that may differ: what is counted there says what threads do just now. */
const FREE_ROOTS: ReadonlySet<RootName> = new Set([
  "log",
  "safepoints",
  "threads",
  "placement",
  // Stocks and hold rings of slots: which free frame comes next.
  "frames",
  "tables",
  // The number of posted and finished calls; the records are compared.
  "host-calls",
]);

const DIFFERENCES_MAX = 12;

/** A machine's present state beside a snapshot. */
export class Comparison {
  readonly #view: HeapView;
  readonly #expected: Snapshot;
  readonly differences: string[] = [];

  constructor(view: HeapView, expected: Snapshot) {
    this.#view = view;
    this.#expected = expected;
  }

  /** What differs; nothing if the states are the same. */
  run(): readonly string[] {
    this.#compareHeap();
    this.#compareMemory();
    return this.differences;
  }

  #differ(text: string): void {
    if (this.differences.length < DIFFERENCES_MAX) this.differences.push(text);
  }

  #compareHeap(): void {
    const [w, e] = [this.#view.words, this.#expected.heap];
    const used = w[HEADER.chunksUsed]!;
    const rootsByChunk = new Map<number, RootName>();
    for (const name of ROOT_NAMES) {
      const at = w[ROOT_WORD[name]]!;
      if (at >= w[HEADER.chunksAt]!) rootsByChunk.set((at - w[HEADER.chunksAt]!) >> CHUNK_SHIFT, name);
    }
    let root: RootName | undefined;
    for (let index = 0; index < used; index++) {
      const type = w[CHUNK_TYPES_AT + index]!;
      const at = w[HEADER.chunksAt]! + index * CHUNK_WORDS;
      if (type !== 0) {
        this.#compareChunk(RECORD_NAMES[type]!, at, type === e[CHUNK_TYPES_AT + index]);
        continue;
      }
      root = rootsByChunk.get(index) ?? root;
      if (root === undefined || FREE_ROOTS.has(root)) continue;
      for (let i = at; i < at + CHUNK_WORDS; i++) {
        if (w[i] !== e[i])
          this.#differ(`table ${root}[${i - w[ROOT_WORD[root]]!}] = ${w[i]} instead of ${e[i]}`);
      }
    }
  }

  #compareChunk(name: RecordName, at: number, wasThere: boolean): void {
    const [w, e] = [this.#view.words, this.#expected.heap];
    const schema = schemaOf(RECORD_NAMES.indexOf(name));
    const free = FREE_FIELDS[name] ?? [];
    for (let block = 0; block < w[at + CHUNK.capacity]!; block++) {
      const state = at + CHUNK_HEADER_WORDS + block;
      const live = w[state] === BLOCK_LIVE;
      const address = w[at + CHUNK.blocksAt]! + block * w[at + CHUNK.blockWords]!;
      const where = `${name} 0x${address.toString(16)}`;
      if (live !== (wasThere && e[state] === BLOCK_LIVE))
        this.#differ(`${where} is ${live ? "" : "not "}live`);
      if (!live || schema === undefined) continue;
      for (const [fieldName, field] of schema.fields) {
        if (free.includes(fieldName)) continue;
        for (let i = address + field.word; i < address + field.word + field.words; i++) {
          if (w[i] === e[i]) continue;
          const index = field.words > 1 ? `[${i - address - field.word}]` : "";
          this.#differ(`${where}.${fieldName}${index} = ${w[i]} instead of ${e[i]}`);
        }
      }
    }
  }

  #compareMemory(): void {
    const layout = memoryLayout(this.#view);
    const [m, e] = [this.#view.memory, this.#expected.memory];
    const { framePool } = layout;
    for (let frame = layout.zeroFrame; frame < layout.framesEnd; frame++) {
      const count = framePool.referencesAt + frame;
      // A reference too many is no difference: what a request has let go of may be given up later.
      if (m[count] === 0 || e[count] === 0) continue;
      this.#compareWords(frame * 1024, frame * 1024 + 1024, `frame ${frame}`);
    }
    const words = REGISTER_FILE_BYTES >>> 2;
    const skipped = new Set([0, 1, REG_BUDGET >> 2, REG_SCRATCH >> 2, (REG_SCRATCH >> 2) + 1]);
    for (let file = 0; file < layout.tasksMax; file++) {
      const at = layout.registers / 4 + file * words;
      for (let i = 0; i < words; i++) {
        if (m[at + i] !== e[at + i] && !skipped.has(i)) {
          this.#differ(`register file ${file}+${i * 4} = ${m[at + i]} instead of ${e[at + i]}`);
        }
      }
    }
  }

  #compareWords(from: number, to: number, where: string): void {
    const [m, e] = [this.#view.memory, this.#expected.memory];
    for (let i = from; i < to; i++) {
      if (m[i] === e[i]) continue;
      this.#differ(`${where}+${(i - from) * 4} = ${m[i]} instead of ${e[i]}`);
      return;
    }
  }
}
