/**
 * The invariants of kernel memory, for the whole-heap checker. Each is stated where its data are described:
 * P in pool.ts, M in records.ts.
 */

import {
  ENTRY_INVALID,
  LEAF_BYTES,
  LEAF_ENTRIES,
  LEAF_INDEX_BITS,
  PAGE_SHIFT,
  ROOT_BYTES,
  ROOT_ENTRIES,
} from "../../base/hart-abi.ts";
import { liveRecords, registerInvariant, type Report } from "../../heap/check.ts";
import type { HeapView } from "../../heap/heap.ts";
import { eachFrameOfMap } from "./frame-map.ts";
import { BATCH, FrameBatch } from "./frames.ts";
import { type FrameNumber, hasMemory, memoryLayout } from "./layout.ts";
import { eachMapping, priority } from "./mapping-tree.ts";
import {
  frameOf,
  PAGE_COW,
  PAGE_CLEAN,
  PAGE_EXEC,
  PAGE_FETCH,
  PAGE_MOVING,
  PAGE_PRESENT,
  PAGE_READ,
  PAGE_STALE,
  PAGE_WRITE,
  TO_READ,
  TO_WRITE,
} from "./page-table.ts";
import { CONTROL, HOLD_RING, holdsAt, type Pool, RING, stockAt, stockWords } from "./pool.ts";
import { AddressSpace, Mapping, PAGE_LIMIT, PAGE_MIN, type PageNumber, PROT } from "./records.ts";
import { SharedObject } from "./shared-object.ts";

/** Reports each reference to a frame that a module keeps in its records, by calling `add`. */
export type FrameHolder = (view: HeapView, add: (frame: FrameNumber) => void) => void;
const holders: FrameHolder[] = [];

/** Tells the checker where else references to frames are. Modules call this when they are loaded. */
export function registerFrameHolder(holder: FrameHolder): void {
  holders.push(holder);
}

/** Each present page of a space. */
export function eachPage(
  view: HeapView,
  space: AddressSpace,
  visit: (page: PageNumber, word: number, at: number) => void,
): void {
  const layout = memoryLayout(view);
  const root = AddressSpace.root.get(view, space) >>> 2;
  for (let index = 0; index < ROOT_ENTRIES; index++) {
    const leaf = view.memory[root + index]! >>> 0;
    if (leaf === layout.emptyLeaf) continue;
    const at = (leaf >>> 2) + -TO_READ;
    for (let i = 0; i < LEAF_ENTRIES; i++) {
      const word = view.memory[at + i]!;
      if (word !== 0) visit((index << LEAF_INDEX_BITS) | i, word, at + i);
    }
  }
}

/** How often each item is free: on the stack, never used, or a home that nobody has. By its number. `wrong` hears of no item's number. */
function freeItemsOf(view: HeapView, pool: Pool, wrong: (item: number) => void = () => {}): Uint8Array {
  const w = view.words;
  const end = w[pool.controlAt + CONTROL.end]!;
  const free = new Uint8Array(end);
  const homes = w[pool.controlAt + CONTROL.homes]!;
  free.fill(1, w[pool.controlAt + CONTROL.fresh], homes);
  for (let item = homes; item < end; item++) if (view.memory[pool.referencesAt + item] === 0) free[item] = 1;
  for (let i = 0; i < w[pool.controlAt + CONTROL.stacked]!; i++) {
    const item = view.memory[pool.stackAt + i]!;
    if (item >= 0 && item < end) free[item]!++;
    else wrong(item);
  }
  return free;
}

/** References to each item from stocks and hold rings. */
function slotReferences(view: HeapView, pool: Pool, add: (item: number) => void): void {
  const w = view.words;
  for (let slot = 0; slot < view.slotCount; slot++) {
    const rings: [number, number][] = [[stockAt(pool, slot), pool.ring]];
    if (pool.stride > stockWords(pool.ring)) rings.push([holdsAt(pool, slot), HOLD_RING]);
    for (const [at, size] of rings) {
      const count = (w[at + RING.filled]! - w[at]!) | 0;
      for (let i = 0; i < count; i++) add(w[at + RING.items + ((w[at]! + i) & (size - 1))]!);
    }
  }
}

function poolsOf(view: HeapView): Pool[] {
  const layout = memoryLayout(view);
  return [layout.framePool, layout.rootPool, layout.leafPool];
}

registerInvariant({
  id: "P1",
  statement: "a single that is free (on the stack, or never used) is there once and its count is 0",
  check(view, report) {
    if (!hasMemory(view)) return;
    for (const pool of poolsOf(view)) {
      const wrong = (item: number): void => report(`${pool.name} lists item ${item}, which there is not`);
      for (const [item, times] of freeItemsOf(view, pool, wrong).entries()) {
        if (times === 0) continue;
        if (times !== 1) report(`item ${item} of ${pool.name} is ${times} times free`);
        const count = view.memory[pool.referencesAt + item]!;
        if (count !== 0) report(`free item ${item} of ${pool.name} has ${count} references`);
      }
    }
  },
});

registerInvariant({
  id: "P3",
  statement: "homesFree is the number of homes whose count is 0; those from reached to sunk were never used",
  check(view, report) {
    if (!hasMemory(view)) return;
    for (const pool of poolsOf(view)) {
      const control = (word: number): number => view.words[pool.controlAt + word]!;
      let free = 0;
      for (let item = control(CONTROL.homes); item < control(CONTROL.end); item++) {
        const count = view.memory[pool.referencesAt + item]!;
        if (count === 0) free++;
        else if (item >= control(CONTROL.reached) && item < control(CONTROL.sunk))
          report(`item ${item} of ${pool.name} has ${count} references and was never used`);
      }
      const counted = control(CONTROL.homesFree);
      if (free !== counted) report(`${free} homes of ${pool.name} are free, counted ${counted}`);
    }
  },
});

registerInvariant({
  id: "P2",
  statement: "the count of an item that is not free is the number of references to it",
  check(view, report) {
    if (!hasMemory(view)) return;
    const layout = memoryLayout(view);
    const counts = new Map<Pool, Map<number, number>>(poolsOf(view).map((pool) => [pool, new Map()]));
    const adder = (pool: Pool) => (item: number) => {
      const map = counts.get(pool)!;
      map.set(item, (map.get(item) ?? 0) + 1);
    };
    const addFrame = adder(layout.framePool);
    for (const pool of poolsOf(view)) slotReferences(view, pool, adder(pool));
    for (const space of liveRecords(view, AddressSpace.schema)) {
      const root = AddressSpace.root.get(view, space);
      adder(layout.rootPool)((root - layout.roots) / ROOT_BYTES);
      for (let index = 0; index < ROOT_ENTRIES; index++) {
        const leaf = view.memory[(root >>> 2) + index]! >>> 0;
        if (leaf !== layout.emptyLeaf) adder(layout.leafPool)((leaf - layout.leaves) / LEAF_BYTES);
      }
      eachPage(view, space, (_page, word) => {
        if (frameOf(word) >= layout.framesFrom) addFrame(frameOf(word));
      });
    }
    for (const object of liveRecords(view, SharedObject.schema)) {
      eachFrameOfMap(view, SharedObject.frames.at(object, 0), addFrame);
    }
    for (const batch of liveRecords(view, FrameBatch.schema)) {
      const add = FrameBatch.kind.get(view, batch) === BATCH.leaves ? adder(layout.leafPool) : addFrame;
      for (let i = 0; i < FrameBatch.count.get(view, batch); i++) add(FrameBatch.items.get(view, batch, i));
    }
    for (const holder of holders) holder(view, addFrame);
    for (const pool of poolsOf(view)) {
      const found = counts.get(pool)!;
      const free = freeItemsOf(view, pool);
      for (
        let item = view.words[pool.controlAt + CONTROL.first]!;
        item < view.words[pool.controlAt + CONTROL.end]!;
        item++
      ) {
        const count = view.memory[pool.referencesAt + item]!;
        const expected = found.get(item) ?? 0;
        found.delete(item);
        if (free[item] !== 0) {
          if (expected !== 0) report(`free item ${item} of ${pool.name} is in use ${expected} times`);
        } else if (count !== expected || count === 0) {
          report(`item ${item} of ${pool.name} counts ${count} references and has ${expected}`);
        }
      }
      for (const item of found.keys()) report(`${pool.name} has no item ${item}, but it is in use`);
    }
  },
});

function eachSpace(view: HeapView, report: Report, check: (space: AddressSpace, say: Report) => void): void {
  if (!hasMemory(view)) return;
  for (const space of liveRecords(view, AddressSpace.schema)) {
    check(space, (text) => report(`address space 0x${space.toString(16)}: ${text}`));
  }
}

registerInvariant({
  id: "M1",
  statement: "mappings form a search tree and a heap, do not overlap, lie in user space, and are counted",
  check(view, report) {
    eachSpace(view, report, (space, say) => {
      let count = 0;
      let end = PAGE_MIN;
      const walk = (mapping: Mapping, depth: number): void => {
        if (mapping === 0) return;
        if (depth > 200 || !Mapping.isLive(view, mapping)) return say(`no tree at 0x${mapping.toString(16)}`);
        const children = [Mapping.left.get(view, mapping), Mapping.right.get(view, mapping)] as const;
        for (const child of children) {
          if (child !== 0 && priority(child) >= priority(mapping))
            say("a child's priority is above its parent's");
        }
        walk(children[0], depth + 1);
        const first = Mapping.first.get(view, mapping);
        if (first < end) say(`mapping at page ${first} overlaps the one before or lies outside`);
        end = Mapping.end.get(view, mapping);
        if (end <= first || end > PAGE_LIMIT) say(`mapping at page ${first} ends at ${end}`);
        count++;
        walk(children[1], depth + 1);
      };
      walk(AddressSpace.mappings.get(view, space), 0);
      if (count !== AddressSpace.mappingCount.get(view, space)) say(`${count} mappings, counted otherwise`);
    });
  },
});

registerInvariant({
  id: "M2",
  statement: "virtualPages is the sum of the mappings' pages",
  check(view, report) {
    eachSpace(view, report, (space, say) => {
      let pages = 0;
      for (const mapping of eachMapping(view, space)) {
        pages += Mapping.end.get(view, mapping) - Mapping.first.get(view, mapping);
      }
      const counted = AddressSpace.virtualPages.get(view, space);
      if (pages !== counted) say(`${pages} virtual pages, counted ${counted}`);
    });
  },
});

registerInvariant({
  id: "M3",
  statement: "residentPages is the number of present pages that show an ordinary frame",
  check(view, report) {
    eachSpace(view, report, (space, say) => {
      const { framesFrom } = memoryLayout(view);
      let pages = 0;
      eachPage(view, space, (_page, word) => {
        if (frameOf(word) >= framesFrom) pages++;
      });
      const counted = AddressSpace.residentPages.get(view, space);
      if (pages !== counted) say(`${pages} resident pages, counted ${counted}`);
    });
  },
});

registerInvariant({
  id: "M4",
  statement: "a present page lies in a mapping and permits no more than the mapping does",
  check(view, report) {
    eachSpace(view, report, (space, say) => {
      const mappings = [...eachMapping(view, space)];
      let i = 0;
      eachPage(view, space, (page, word) => {
        while (i < mappings.length && Mapping.end.get(view, mappings[i]!) <= page) i++;
        const mapping = mappings[i];
        if (mapping === undefined || Mapping.first.get(view, mapping) > page)
          return say(`page ${page} is in no mapping`);
        if ((word & PAGE_PRESENT) === 0) say(`page ${page} has a word but is not present`);
        const prot = Mapping.prot.get(view, mapping);
        if ((word & PAGE_READ) !== 0 && (prot & (PROT.READ | PROT.WRITE)) === 0)
          say(`page ${page} may be read`);
        if ((word & PAGE_WRITE) !== 0 && (prot & PROT.WRITE) === 0) say(`page ${page} may be written`);
        if ((word & PAGE_EXEC) !== 0 && (prot & PROT.EXEC) === 0) say(`page ${page} may be executed`);
      });
    });
  },
});

registerInvariant({
  id: "M5",
  statement: "valid entries and PAGE_FETCH agree with the page word",
  check(view, report) {
    eachSpace(view, report, (space, say) => {
      const layout = memoryLayout(view);
      const root = AddressSpace.root.get(view, space) >>> 2;
      for (let index = 0; index < ROOT_ENTRIES; index++) {
        const leaf = view.memory[root + index]! >>> 0;
        if (leaf === layout.emptyLeaf) continue;
        const at = (leaf >>> 2) - TO_READ;
        for (let i = 0; i < LEAF_ENTRIES; i++) {
          const page = (index << LEAF_INDEX_BITS) | i;
          const word = view.memory[at + i]!;
          const right = ((word >>> PAGE_SHIFT) - page) << PAGE_SHIFT;
          const read = view.memory[at + i + TO_READ]!;
          const write = view.memory[at + i + TO_WRITE]!;
          const still = (word & (PAGE_MOVING | PAGE_STALE)) === 0;
          if (read !== ENTRY_INVALID && !(read === right && still && (word & PAGE_READ) !== 0)) {
            say(`page ${page}: read entry against page word 0x${(word >>> 0).toString(16)}`);
          }
          if (write !== ENTRY_INVALID && !(write === right && still && (word & PAGE_WRITE) !== 0)) {
            say(`page ${page}: write entry against page word 0x${(word >>> 0).toString(16)}`);
          }
          if ((word & PAGE_FETCH) !== 0 && !(still && (word & PAGE_EXEC) !== 0)) say(`page ${page}: FETCH`);
          if ((word & PAGE_WRITE) !== 0 && (word & (PAGE_COW | PAGE_CLEAN)) !== 0)
            say(`page ${page}: WRITE too early`);
        }
      }
    });
  },
});

registerInvariant({
  id: "M6",
  statement: "a leaf table is reached from exactly one root word, and leafTables counts those of a space",
  check(view, report) {
    const seen = new Set<number>();
    eachSpace(view, report, (space, say) => {
      const layout = memoryLayout(view);
      const root = AddressSpace.root.get(view, space) >>> 2;
      let count = 0;
      for (let index = 0; index < ROOT_ENTRIES; index++) {
        const leaf = view.memory[root + index]! >>> 0;
        if (leaf === layout.emptyLeaf) continue;
        count++;
        if (seen.has(leaf)) say(`leaf ${leaf} is reached twice`);
        seen.add(leaf);
      }
      const counted = AddressSpace.leafTables.get(view, space);
      if (count !== counted) say(`${count} leaf tables, counted ${counted}`);
    });
  },
});

registerInvariant({
  id: "M7",
  statement: "only ordinary frames, that of zeros and the trampoline's are mapped, these two never writable",
  check(view, report) {
    eachSpace(view, report, (space, say) => {
      const layout = memoryLayout(view);
      eachPage(view, space, (page, word) => {
        const frame = frameOf(word);
        if (frame < layout.zeroFrame || frame >= layout.framesEnd) say(`page ${page} shows frame ${frame}`);
        if (frame < layout.framesFrom && (word & PAGE_WRITE) !== 0)
          say(`page ${page} writes a frame of all spaces`);
      });
    });
  },
});

registerInvariant({
  id: "M8",
  statement: "a shared object's references are the mappings of it",
  check(view, report) {
    if (!hasMemory(view)) return;
    const references = new Map<number, number>();
    for (const mapping of liveRecords(view, Mapping.schema)) {
      const object = Mapping.object.get(view, mapping);
      if (object !== 0) references.set(object, (references.get(object) ?? 0) + 1);
    }
    for (const object of liveRecords(view, SharedObject.schema)) {
      const counted = SharedObject.references.get(view, object);
      const found = references.get(object) ?? 0;
      if (counted !== found)
        report(`shared object 0x${object.toString(16)} counts ${counted} of ${found} mappings`);
    }
  },
});

registerInvariant({
  id: "M9",
  statement: "a table that is free is clean",
  check(view, report) {
    if (!hasMemory(view)) return;
    const layout = memoryLayout(view);
    const clean = (pool: Pool, at: number, bytes: number, wanted: (word: number) => number): void => {
      const free = freeItemsOf(view, pool);
      slotReferences(view, pool, (item) => {
        free[item] = 1;
      });
      for (const [item, times] of free.entries()) {
        if (times === 0) continue;
        const base = (at + item * bytes) >>> 2;
        if (view.memory[base] === 0) continue;
        for (let i = 0; i < bytes >>> 2; i++) {
          if (view.memory[base + i] !== wanted(i)) {
            report(`free item ${item} of ${pool.name} is not clean at word ${i}`);
            break;
          }
        }
      }
    };
    clean(layout.rootPool, layout.roots, ROOT_BYTES, () => layout.emptyLeaf | 0);
    clean(layout.leafPool, layout.leaves, LEAF_BYTES, (i) => (i < -TO_READ ? ENTRY_INVALID : 0));
  },
});
