/**
 * Snapshots of a machine in one thread: copies of the parts of the two buffers that are in use, and putting
 * back what has changed since. Copying shared memory is slow (about 1.5 GB/s), so unused ranges are left out:
 * they are zero until they are used for the first time, and then they stay in use.
 *
 * `restorePages` puts back only the pages in which two snapshots differ, those that were marked meanwhile (the
 * stores of transactions are), the tables and the request slots. What else a run may have left is bytes that mean nothing:
 * the contents of frames and buffers that are free in both snapshots.
 */

import { HOST_CALL_BYTES } from "../kernel/host-call.ts";
import type { HeapView } from "../heap/heap.ts";
import { CHUNK_WORDS, HEADER, LOG_MEMORY, SLOT_WORDS } from "../heap/layout.ts";
import { memoryLayout } from "../kernel/memory/layout.ts";
import { CONTROL, type Pool } from "../kernel/memory/pool.ts";
import { LEAF_BYTES, PAGE_SIZE, REGISTER_FILE_BYTES, ROOT_BYTES } from "../base/hart-abi.ts";

/** Copies of the heap and of the guest memory, by word. What was not in use is zero. */
export interface Snapshot {
  readonly heap: Int32Array;
  readonly memory: Int32Array;
}

/** A run of words of one of the buffers. */
export interface Range {
  readonly buffer: "heap" | "memory";
  readonly from: number;
  readonly to: number;
}

const PAGE_WORDS = 1024;
/** Slots and host-call buffers that one-thread machines use. */
export const SLOTS = 4;
export const HOST_CALLS_USED = 4;

/** A page of PAGE_WORDS words in which two snapshots differ. */
export type DirtyPages = readonly { readonly buffer: "heap" | "memory"; readonly at: number }[];

export class Snapshots {
  readonly #view: HeapView;
  /** Marked pages, of the heap and then of the guest memory, and a list of them. */
  readonly #marks: Uint8Array;
  readonly #heapPages: number;
  #marked: number[] = [];

  constructor(view: HeapView) {
    this.#view = view;
    this.#heapPages = Math.ceil(view.words.length / PAGE_WORDS);
    this.#marks = new Uint8Array(this.#heapPages + Math.ceil(view.memory.length / PAGE_WORDS));
  }

  /** Notes that the word of a hook's report may be stored to. */
  mark(word: number): void {
    const isMemory = (word & LOG_MEMORY) !== 0;
    const page = isMemory ? this.#heapPages + ((word & ~LOG_MEMORY) >>> 10) : word >>> 10;
    if (this.#marks[page] === 1) return;
    this.#marks[page] = 1;
    this.#marked.push(page);
  }

  /** A snapshot of nothing, to be filled by `capture`. */
  empty(): Snapshot {
    const { words, memory } = this.#view;
    return { heap: new Int32Array(words.length), memory: new Int32Array(memory.length) };
  }

  /** Copies the state. The target must be fresh, or hold an earlier state of the same machine. */
  capture(target: Snapshot): void {
    for (const { buffer, from, to } of this.#ranges(this.#view.words)) {
      const source = buffer === "heap" ? this.#view.words : this.#view.memory;
      target[buffer].set(source.subarray(from, to), from);
    }
  }

  /** Makes the state that of the snapshot. */
  restore(snapshot: Snapshot): void {
    // What only one of the two states uses is zero in the other.
    for (const { buffer, from, to } of [...this.#ranges(this.#view.words), ...this.#ranges(snapshot.heap)]) {
      const target = buffer === "heap" ? this.#view.words : this.#view.memory;
      target.set(snapshot[buffer].subarray(from, to), from);
    }
  }

  /** The pages in which the state differs from the snapshot, and those of the slots. */
  dirty(snapshot: Snapshot): DirtyPages {
    const pages: { buffer: "heap" | "memory"; at: number }[] = [];
    for (const { buffer, from, to } of this.#ranges(this.#view.words)) {
      const now = buffer === "heap" ? this.#view.words : this.#view.memory;
      const then = snapshot[buffer];
      for (let at = from - (from % PAGE_WORDS); at < to; at += PAGE_WORDS) {
        const end = Math.min(at + PAGE_WORDS, to);
        for (let i = Math.max(at, from); i < end; i++) {
          if (now[i] === then[i]) continue;
          pages.push({ buffer, at });
          break;
        }
      }
    }
    return pages;
  }

  /** Puts the given pages and the marked ones back. */
  restorePages(snapshot: Snapshot, pages: DirtyPages): void {
    // Tables are filled and copied as a whole, past the hook.
    const { leaves, leafPool } = memoryLayout(this.#view);
    const used = Math.max(
      this.#view.words[leafPool.controlAt + CONTROL.fresh]!,
      snapshot.heap[leafPool.controlAt + CONTROL.fresh]!,
    );
    const [from, to] = [leaves >>> 2, (leaves + used * LEAF_BYTES) >>> 2];
    this.#view.memory.set(snapshot.memory.subarray(from, to), from);
    for (const page of this.#marked) {
      const isMemory = page >= this.#heapPages;
      const at = (isMemory ? page - this.#heapPages : page) * PAGE_WORDS;
      const target = isMemory ? this.#view.memory : this.#view.words;
      target.set((isMemory ? snapshot.memory : snapshot.heap).subarray(at, at + PAGE_WORDS), at);
      this.#marks[page] = 0;
    }
    this.#marked = [];
    for (const { buffer, at } of pages) {
      const target = buffer === "heap" ? this.#view.words : this.#view.memory;
      target.set(snapshot[buffer].subarray(at, at + PAGE_WORDS), at);
    }
    const w = this.#view.words;
    const slotsAt = w[HEADER.slotsAt]!;
    w.set(snapshot.heap.subarray(slotsAt, slotsAt + SLOTS * SLOT_WORDS), slotsAt);
  }

  /** What is in use now. */
  ranges(): readonly Range[] {
    return this.#ranges(this.#view.words);
  }

  /** What is in use in the state whose heap is `w`. */
  #ranges(w: Int32Array): Range[] {
    const layout = memoryLayout(this.#view);
    const used = (pool: Pool): number => w[pool.controlAt + CONTROL.fresh]!;
    const ranges: Range[] = [
      { buffer: "heap", from: 0, to: w[HEADER.slotsAt]! + SLOTS * SLOT_WORDS },
      {
        buffer: "heap",
        from: w[HEADER.chunksAt]!,
        to: w[HEADER.chunksAt]! + w[HEADER.chunksUsed]! * CHUNK_WORDS,
      },
    ];
    const memory = (from: number, bytes: number): void =>
      void ranges.push({ buffer: "memory", from: from >>> 2, to: (from + bytes) >>> 2 });
    memory(0, layout.tier0);
    memory(layout.registers, layout.tasksMax * REGISTER_FILE_BYTES);
    memory(layout.hostCalls, HOST_CALLS_USED * HOST_CALL_BYTES);
    // The counts and stacks of the pools lie between the host-call buffers and the tables.
    const pools = layout.hostCalls + layout.hostCallsMax * HOST_CALL_BYTES;
    memory(pools, layout.roots - pools);
    memory(layout.roots, used(layout.rootPool) * ROOT_BYTES);
    memory(layout.leaves, used(layout.leafPool) * LEAF_BYTES);
    memory(layout.emptyLeaf, LEAF_BYTES);
    memory(layout.zeroFrame * PAGE_SIZE, (used(layout.framePool) - layout.zeroFrame) * PAGE_SIZE);
    // Of the homes, those in the middle were never used.
    const control = (word: number): number => w[layout.framePool.controlAt + word]!;
    const homes = (from: number, to: number): void => memory(from * PAGE_SIZE, (to - from) * PAGE_SIZE);
    homes(control(CONTROL.homes), control(CONTROL.reached));
    homes(Math.max(control(CONTROL.sunk), control(CONTROL.reached)), control(CONTROL.end));
    return ranges;
  }
}
