/**
 * Frame maps: from an index to a frame number, as a radix tree of records with NODE_ENTRIES words each. The
 * head is two words in the record of the owner, whose lock guards the map: the top node, and the height
 * (levels of nodes). A node's entries are nodes on the upper levels and frames on the lowest; 0 is none.
 * Nodes with nothing in them go with the map.
 */

import { assert } from "../../base/assert.ts";
import type { HeapAddr, HeapView } from "../../heap/heap.ts";
import { defineRecord, type Ref, words } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import type { FrameNumber } from "./layout.ts";

const NODE_BITS = 7;
const NODE_ENTRIES: number = 1 << NODE_BITS;
/** Levels that a map may have: 2^35 pages. */
const HEIGHT_MAX = 5;

export const FrameNode = defineRecord("frame-node", { entries: words(NODE_ENTRIES) });
type FrameNode = Ref<"frame-node">;

/** Words of a map's head. */
export const FRAME_MAP_WORDS = 2;

function shiftOf(level: number): number {
  return NODE_BITS * level;
}

/** Entry of `index` in a node whose entries stand for 2^(7·level) indices each. */
function entryOf(index: number, level: number): number {
  return Math.floor(index / 2 ** shiftOf(level)) % NODE_ENTRIES;
}

/** The frame at `index`, 0 if there is none. */
export function frameMapGet(view: HeapView, head: HeapAddr, index: number): FrameNumber {
  const w = view.words;
  const height = w[head + 1]!;
  if (index >= 2 ** shiftOf(height)) return 0;
  let node = w[head]!;
  for (let level = height - 1; level >= 0 && node !== 0; level--) {
    node = FrameNode.entries.get(view, node as FrameNode, entryOf(index, level));
  }
  return node;
}

/** Puts `frame` at `index`. Throws ENOMEM. */
export function frameMapSet(tx: Transaction, head: HeapAddr, index: number, frame: FrameNumber): void {
  const w = tx.words;
  assert(index >= 0 && index < 2 ** shiftOf(HEIGHT_MAX), "index beyond the largest frame map");
  while (w[head + 1] === 0 || index >= 2 ** shiftOf(w[head + 1]!)) {
    const node = FrameNode.allocate(tx);
    FrameNode.entries.init(tx, node, 0, w[head]!);
    tx.store(head, node);
    tx.store(head + 1, w[head + 1]! + 1);
  }
  let node = w[head]! as FrameNode;
  for (let level = w[head + 1]! - 1; level > 0; level--) {
    const entry = entryOf(index, level);
    let child = FrameNode.entries.get(tx, node, entry) as FrameNode;
    if (child === 0) {
      child = FrameNode.allocate(tx);
      FrameNode.entries.set(tx, node, entry, child);
    }
    node = child;
  }
  FrameNode.entries.set(tx, node, entryOf(index, 0), frame);
}

/** Nodes that one call of {@link frameMapDrain} frees at most. */
const DRAINED_NODES = 16;

/**
 * Takes up to `budget` frames (rounded up to a node) out of the map and hands them to `visit`. True when the
 * map is empty; else call it again in the next transaction.
 */
export function frameMapDrain(
  tx: Transaction,
  head: HeapAddr,
  budget: number,
  visit: (frame: FrameNumber) => void,
): boolean {
  const w = tx.words;
  let left = budget;
  let nodes = DRAINED_NODES;
  const drain = (node: FrameNode, level: number): boolean => {
    for (let i = 0; i < NODE_ENTRIES; i++) {
      const entry = FrameNode.entries.get(tx, node, i);
      if (entry === 0) continue;
      if (left <= 0 || nodes <= 0) return false;
      if (level > 0) {
        if (!drain(entry as FrameNode, level - 1)) return false;
      } else {
        visit(entry);
        left--;
      }
      FrameNode.entries.set(tx, node, i, 0);
    }
    FrameNode.free(tx, node);
    nodes--;
    return true;
  };
  const top = w[head]! as FrameNode;
  if (top === 0) return true;
  if (!drain(top, w[head + 1]! - 1)) return false;
  tx.store(head, 0);
  tx.store(head + 1, 0);
  return true;
}

/** Every frame of the map, for checks and accounting. */
export function eachFrameOfMap(
  view: HeapView,
  head: HeapAddr,
  visit: (frame: FrameNumber, index: number) => void,
): void {
  const walk = (node: FrameNode, level: number, base: number): void => {
    for (let i = 0; i < NODE_ENTRIES; i++) {
      const entry = FrameNode.entries.get(view, node, i);
      if (entry === 0) continue;
      const index = base + i * 2 ** shiftOf(level);
      if (level > 0) walk(entry as FrameNode, level - 1, index);
      else visit(entry, index);
    }
  };
  const top = view.words[head]! as FrameNode;
  if (top !== 0) walk(top, view.words[head + 1]! - 1, 0);
}
